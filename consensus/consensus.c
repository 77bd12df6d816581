/*
 * consensus.c - the facade: the only caller of engine operations.
 *
 * It forbids re-entry, keeps time and who was heard from, collects what an engine wants written and
 * sent, and counts writes. A write that was handed out is remembered (a reference to it) until it
 * is durable: its age is what a leader with a stuck disk is judged by, and its entries are what
 * log_mark_stable marks. A later cut may not be undone by the completion of an earlier write:
 * each remembered write carries the lowest cut asked for since (`below`).
 */

#include "consensus/consensus.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/engine.h"
#include "consensus/timer_policy.h"

/* Adding an engine: its file, its declaration in engine.h, and its line here. */
static const struct engine_ops *const engines[] = {
    &engine_paxos_ops,
    &engine_multipaxos_ops,
    &engine_raft_ops,
};

/* A write that was handed out and is not yet known to be durable. */
struct outstanding {
    struct list_node node;
    struct log_write *write; /* one reference */
    uint64_t since_us;       /* when its first part was asked for */
    uint64_t below;          /* lowest later cut; UINT64_MAX: none */
};

/* Grow-only arrays, two of each kind: one is filled while the caller of take reads the other. */
struct reads {
    struct read_state *items;
    uint32_t count;
    uint32_t capacity;
};

struct loads {
    struct load *items;
    uint32_t count;
    uint32_t capacity;
};

struct output {
    struct log_write *write; /* collected in this turn; NULL: nothing yet */
    uint64_t write_since_us;
    uint64_t write_id; /* of the newest write handed out */
    struct list outstanding;
    struct hard_state hard; /* newest that the engine set */
    bool hard_fresh;        /* it differs from what the last write holds */
    bool hard_due;          /* and in more than the commit hint */
    uint64_t hard_since_us; /* when that became so */
    struct list after;
    struct list now;
    struct reads reads[2];
    struct loads loads[2];
    uint32_t filling; /* index of the arrays being filled */
    uint64_t load_id;
    uint64_t commit_given;
};

struct consensus {
    struct engine *engine;
    struct output out;
    struct hard_state hard; /* found at recovery; for start */
    bool busy;              /* a call is running */
    bool started;
    uint64_t messages_dropped;
};

/* The table. */

const struct engine_ops *engine_at(uint32_t i)
{
    return i < ARRAY_SIZE(engines) ? engines[i] : NULL;
}

const struct engine_ops *engine_by_name(const char *name)
{
    const struct engine_ops *ops;
    for (uint32_t i = 0; (ops = engine_at(i)) != NULL; i++) {
        if (strcmp(ops->name, name) == 0) {
            return ops;
        }
    }
    return NULL;
}

const struct engine_ops *engine_by_id(uint8_t id)
{
    const struct engine_ops *ops;
    for (uint32_t i = 0; (ops = engine_at(i)) != NULL; i++) {
        if (ops->id == id) {
            return ops;
        }
    }
    return NULL;
}

const char *engine_name(const struct engine_ops *ops)
{
    return ops->name;
}

uint8_t engine_number(const struct engine_ops *ops)
{
    return ops->id;
}

uint32_t engine_capabilities(const struct engine_ops *ops)
{
    return ops->capabilities;
}

const char *consensus_role_name(uint8_t role)
{
    static const char *const names[] = {"follower", "candidate", "leader", "learner", "proposer"};
    return role < ARRAY_SIZE(names) ? names[role] : "unknown";
}

void consensus_options_init(struct consensus_options *o)
{
    *o = (struct consensus_options){
        .election_us = 500000,
        .heartbeat_us = 50000,
        .resend_us = 150000,
        .backoff_min_us = 5000,
        .backoff_max_us = 500000,
        .disk_stuck_us = 2000000,
        .message_bytes_max = 1u << 20,
        .inflight_max = 64,
        .reads_max = 4096,
        .pre_vote = true,
        .check_quorum = true,
        .quorum_connected = true,
    };
}

static bool options_valid(const struct consensus_options *o)
{
    if (o->members.count == 0 || membership_rank(&o->members, o->self) < 0) {
        return false;
    }
    if (o->heartbeat_us == 0 || o->heartbeat_us >= o->election_us || o->resend_us == 0 ||
        o->disk_stuck_us == 0 || !timer_policy_valid(o)) {
        return false;
    }
    if (o->backoff_min_us == 0 || o->backoff_min_us > o->backoff_max_us) {
        return false;
    }
    return o->message_bytes_max > 0 && o->inflight_max > 0 && o->reads_max > 0;
}

/* Life cycle. */

int consensus_new(const struct engine_ops *engine, const struct consensus_options *options,
                  const struct hard_state *hard, struct log *log, struct consensus **ret_consensus)
{
    if (!options_valid(options)) {
        return ERR_INVALID;
    }
    struct consensus *c = xcalloc(1, sizeof *c);
    c->hard = *hard;
    c->out.hard = *hard;
    list_init(&c->out.outstanding);
    list_init(&c->out.after);
    list_init(&c->out.now);
    struct engine *e = engine->create();
    e->ops = engine;
    e->options = *options;
    e->log = log;
    rng_init(&e->rng, options->seed);
    e->self_rank = membership_rank(&options->members, options->self);
    e->applied = log_applied(log);
    e->deadline_us = 0;
    e->out = &c->out;
    c->engine = e;
    *ret_consensus = c;
    return OK;
}

static void outstanding_free(struct outstanding *o)
{
    log_write_free(o->write);
    free(o);
}

void consensus_free(struct consensus *c)
{
    if (c == NULL) {
        return;
    }
    ASSERT(!c->busy);
    c->engine->ops->destroy(c->engine);
    struct list_node *node;
    while ((node = list_pop_front(&c->out.outstanding)) != NULL) {
        outstanding_free(list_entry(node, struct outstanding, node));
    }
    message_list_free(&c->out.after);
    message_list_free(&c->out.now);
    log_write_free(c->out.write);
    for (uint32_t i = 0; i < 2; i++) {
        free(c->out.reads[i].items);
        free(c->out.loads[i].items);
    }
    free(c);
}

/* A call may not come in while another runs (from a trace sink, say). */
static struct engine *enter(struct consensus *c)
{
    ASSERT(!c->busy);
    c->busy = true;
    return c->engine;
}

static void leave(struct consensus *c)
{
    ASSERT(c->busy);
    c->busy = false;
}

/* Inputs. */

void consensus_tick(struct consensus *c, uint64_t now_us)
{
    struct engine *e = enter(c);
    ASSERT(now_us >= e->now_us);
    e->now_us = now_us;
    if (!c->started) {
        c->started = true;
        e->heard_start_us = now_us;
        e->ops->start(e, &c->hard);
    }
    e->ops->tick(e);
    leave(c);
}

uint64_t consensus_deadline(const struct consensus *c)
{
    ASSERT(!c->busy);
    return c->started ? c->engine->deadline_us : 0;
}

int consensus_step(struct consensus *c, const struct message *m)
{
    struct engine *e = enter(c);
    int rank = membership_rank(&e->options.members, m->from);
    int err = OK;
    if (m->engine != e->ops->id || rank < 0 || m->to != e->options.self || !c->started) {
        c->messages_dropped++;
        err = ERR_INVALID;
    } else {
        e->heard_us[rank] = u64_max(e->now_us, 1);
        e->ops->step(e, m);
    }
    leave(c);
    return err;
}

int consensus_propose(struct consensus *c, struct value *value)
{
    struct engine *e = enter(c);
    int err = c->started ? e->ops->propose(e, value) : ERR_NO_LEADER;
    leave(c);
    return err;
}

bool consensus_can_propose(const struct consensus *c)
{
    ASSERT(!c->busy);
    return c->started && c->engine->ops->can_propose(c->engine);
}

int consensus_read(struct consensus *c, uint64_t ctx)
{
    struct engine *e = enter(c);
    int err = c->started ? e->ops->read(e, ctx) : ERR_NO_LEADER;
    leave(c);
    return err;
}

void consensus_stored(struct consensus *c, uint64_t write_id)
{
    struct engine *e = enter(c);
    ASSERT(write_id <= c->out.write_id);
    struct list_node *node;
    while ((node = list_first(&c->out.outstanding)) != NULL) {
        struct outstanding *o = list_entry(node, struct outstanding, node);
        if (o->write->id > write_id) {
            break;
        }
        list_remove(node);
        if (o->below != UINT64_MAX) {
            engine_mark(e, MARK_RAFT_STORED_AFTER_CUT);
        }
        log_mark_stable(e->log, o->write, o->below);
        engine_trace(e, (struct trace_event){.kind = TRACE_DURABLE, .ctx = o->write->id});
        e->ops->stored(e, o->write);
        outstanding_free(o);
    }
    log_evict(e->log);
    leave(c);
}

void consensus_applied(struct consensus *c, uint64_t index)
{
    struct engine *e = enter(c);
    log_apply_to(e->log, index);
    e->applied = log_applied(e->log);
    log_evict(e->log);
    if (c->started) {
        e->ops->applied(e, index);
    }
    leave(c);
}

void consensus_loaded(struct consensus *c, uint64_t load_id, int err, const struct entry *entries,
                      uint32_t count)
{
    struct engine *e = enter(c);
    ASSERT(c->started);
    e->ops->loaded(e, load_id, err, entries, count);
    leave(c);
}

int consensus_transfer(struct consensus *c, uint32_t to)
{
    struct engine *e = enter(c);
    int err = ERR_UNSUPPORTED;
    if (e->ops->transfer != NULL) {
        err = ERR_NOT_FOUND;
        if (membership_rank(&e->options.members, to) >= 0) {
            err = c->started ? e->ops->transfer(e, to) : ERR_NOT_LEADER;
        }
    }
    leave(c);
    return err;
}

int consensus_change(struct consensus *c, const struct membership *to)
{
    struct engine *e = enter(c);
    int err = ERR_UNSUPPORTED;
    if (e->ops->change != NULL) {
        err = c->started ? e->ops->change(e, to) : ERR_NOT_LEADER;
    }
    leave(c);
    return err;
}

/* Output. */

bool consensus_has_ready(const struct consensus *c)
{
    ASSERT(!c->busy);
    const struct output *o = &c->out;
    return o->write != NULL || o->hard_due || !list_empty(&o->after) || !list_empty(&o->now) ||
           log_commit(c->engine->log) > o->commit_given || o->reads[o->filling].count > 0 ||
           o->loads[o->filling].count > 0 || c->engine->flush_wanted;
}

/* The write of this turn, made with its first part. */
static struct log_write *writing(struct engine *e)
{
    struct output *o = e->out;
    if (o->write == NULL) {
        o->write = log_write_new();
        o->write_since_us = o->hard_due ? u64_min(o->hard_since_us, e->now_us) : e->now_us;
    }
    return o->write;
}

/* Closes the write of this turn and remembers it; NULL when there is none. */
static struct log_write *take_write(struct engine *e)
{
    struct output *o = e->out;
    if (o->hard_due) {
        (void) writing(e); /* a changed term or vote is a write of its own */
    }
    struct log_write *w = o->write;
    if (w == NULL) {
        return NULL;
    }
    o->write = NULL;
    if (o->hard_fresh) {
        w->hard_set = true;
        w->hard = o->hard;
        o->hard_fresh = false;
        o->hard_due = false;
    }
    ASSERT(!log_write_empty(w));
    w->id = ++o->write_id;
    struct outstanding *out = xcalloc(1, sizeof *out);
    out->write = log_write_ref(w);
    out->since_us = o->write_since_us;
    out->below = UINT64_MAX;
    list_push_back(&o->outstanding, &out->node);
    struct trace_event event = {.kind = TRACE_WRITE, .ctx = w->id};
    if (w->entries_count > 0) {
        event.index = w->entries[0].index;
        event.last = w->entries[w->entries_count - 1].index;
    }
    engine_trace(e, event);
    return w;
}

static void list_move(struct list *to, struct list *from)
{
    list_init(to);
    struct list_node *node;
    while ((node = list_pop_front(from)) != NULL) {
        list_push_back(to, node);
    }
}

void consensus_take(struct consensus *c, struct ready *ret_ready)
{
    struct engine *e = enter(c);
    struct output *o = &c->out;
    if (e->flush_wanted) {
        e->flush_wanted = false;
        if (c->started && e->ops->flush != NULL) {
            e->ops->flush(e);
        }
    }
    ret_ready->write = take_write(e);
    ret_ready->after_write = list_empty(&o->outstanding) ? 0 : o->write_id;
    list_move(&ret_ready->after, &o->after);
    list_move(&ret_ready->now, &o->now);
    ret_ready->commit = log_commit(e->log);
    o->commit_given = ret_ready->commit;
    const struct reads *reads = &o->reads[o->filling];
    const struct loads *loads = &o->loads[o->filling];
    ret_ready->reads = reads->items;
    ret_ready->reads_count = reads->count;
    ret_ready->loads = loads->items;
    ret_ready->loads_count = loads->count;
    o->filling ^= 1;
    o->reads[o->filling].count = 0;
    o->loads[o->filling].count = 0;
    leave(c);
}

void consensus_status(const struct consensus *c, struct consensus_status *ret_status)
{
    ASSERT(!c->busy);
    const struct engine *e = c->engine;
    *ret_status = (struct consensus_status){
        .engine = e->ops->id,
        .self = e->options.self,
        .proposer = e->options.self,
        .epoch = c->hard.epoch,
        .commit = log_commit(e->log),
        .applied = log_applied(e->log),
        .last = log_last(e->log),
        .stable = log_stable(e->log),
        .heard = engine_heard(e, e->options.election_us),
        .messages_dropped = c->messages_dropped,
        .writes = c->out.write_id,
    };
    if (c->started) {
        e->ops->status(e, ret_status);
    }
    if ((e->ops->capabilities & CAP_LEADER) != 0) {
        ret_status->proposer = ret_status->leader;
    }
}

/* For engines. */

static void send(struct engine *e, struct message *m, struct list *list)
{
    m->from = e->options.self;
    m->engine = e->ops->id;
    list_push_back(list, &m->node);
}

void engine_send_after_write(struct engine *e, struct message *m)
{
    send(e, m, &e->out->after);
}

void engine_send_now(struct engine *e, struct message *m)
{
    send(e, m, &e->out->now);
}

static void broadcast(struct engine *e, const struct message *m, struct list *list)
{
    const struct membership *members = &e->options.members;
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->ids[i] != e->options.self) {
            struct message *copy = message_copy(m);
            copy->to = members->ids[i];
            send(e, copy, list);
        }
    }
}

void engine_broadcast_after_write(struct engine *e, const struct message *m)
{
    broadcast(e, m, &e->out->after);
}

void engine_broadcast_now(struct engine *e, const struct message *m)
{
    broadcast(e, m, &e->out->now);
}

void engine_write_hard(struct engine *e, const struct hard_state *hard)
{
    struct output *o = e->out;
    bool due = hard->epoch != o->hard.epoch || hard->vote != o->hard.vote;
    ASSERT(hard->epoch >= o->hard.epoch); /* R1, P4: terms and promises never fall */
    if (due && !o->hard_due) {
        o->hard_due = true;
        o->hard_since_us = e->now_us;
    }
    if (due || hard->commit != o->hard.commit) {
        o->hard_fresh = true;
    }
    o->hard = *hard;
}

void engine_write_entry(struct engine *e, const struct entry *entry)
{
    log_write_add(writing(e), entry);
}

void engine_write_promise(struct engine *e, struct slot_promise promise)
{
    log_write_promise(writing(e), promise);
}

void engine_write_truncate(struct engine *e, uint64_t from)
{
    log_write_truncate(writing(e), from);
    LIST_FOR_EACH(&e->out->outstanding, node) {
        struct outstanding *o = list_entry(node, struct outstanding, node);
        o->below = u64_min(o->below, from);
    }
}

void engine_read_done(struct engine *e, struct read_state read)
{
    struct reads *reads = &e->out->reads[e->out->filling];
    if (reads->count == reads->capacity) {
        reads->capacity = reads->capacity == 0 ? 16 : reads->capacity * 2;
        reads->items = xrealloc(reads->items, reads->capacity * sizeof *reads->items);
    }
    reads->items[reads->count++] = read;
    if (read.err == OK) {
        engine_trace(e, (struct trace_event){.kind = TRACE_READ_READY,
                                             .ctx = read.ctx,
                                             .index = read.index});
    }
}

uint64_t engine_load(struct engine *e, uint64_t first, uint64_t last, uint64_t bytes_max)
{
    ASSERT(first > 0);
    ASSERT(first <= last);
    struct loads *loads = &e->out->loads[e->out->filling];
    if (loads->count == loads->capacity) {
        loads->capacity = loads->capacity == 0 ? 4 : loads->capacity * 2;
        loads->items = xrealloc(loads->items, loads->capacity * sizeof *loads->items);
    }
    uint64_t id = ++e->out->load_id;
    loads->items[loads->count++] =
        (struct load){.id = id, .first = first, .last = last, .bytes_max = bytes_max};
    return id;
}

uint64_t engine_write_age(const struct engine *e)
{
    const struct output *o = e->out;
    const struct list_node *node = list_first(&o->outstanding);
    if (node != NULL) {
        return e->now_us -
               list_entry((struct list_node *) node, struct outstanding, node)->since_us;
    }
    if (o->write != NULL) {
        return e->now_us - o->write_since_us;
    }
    return o->hard_due ? e->now_us - o->hard_since_us : 0;
}

uint64_t engine_heard(const struct engine *e, uint64_t within_us)
{
    uint64_t set = UINT64_C(1) << e->self_rank;
    for (uint32_t i = 0; i < e->options.members.count; i++) {
        if (e->heard_us[i] != 0 && e->now_us - u64_min(e->now_us, e->heard_us[i]) <= within_us) {
            set |= UINT64_C(1) << i;
        }
    }
    return set;
}

void engine_trace(const struct engine *e, struct trace_event event)
{
    const struct trace_sink *sink = &e->options.trace;
    if (sink->emit == NULL) {
        return;
    }
    event.time_us = e->now_us;
    event.node = e->options.self;
    event.engine = e->ops->id;
    sink->emit(sink->ctx, &event);
}

void engine_mark(const struct engine *e, enum mark mark)
{
    if (e->options.trace.emit != NULL) {
        engine_trace(e, mark_event(mark));
    }
}

/*
 * puppet.c - see puppet.h.
 */
#include "tests/support/puppet.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/support/entries.h"

struct puppet_after {
    struct list_node node;
    struct message *message;
    uint64_t write_id;
};

struct puppet_load {
    struct list_node node;
    struct load load;
};

/* Small values, so that limits of bytes are reached with few. */
static struct value *value_of(uint64_t command)
{
    return value_numbered(command, 8);
}

void puppet_init(struct puppet *p, const char *engine, uint32_t self, uint32_t nodes)
{
    *p =
        (struct puppet){.engine = engine_by_name(engine), .memory_max = 1 << 20, .slots_max = 4096};
    uint32_t ids[16];
    ASSERT(p->engine != NULL);
    ASSERT(nodes <= ARRAY_SIZE(ids));
    consensus_options_init(&p->options);
    p->options.self = self;
    p->options.seed = self;
    p->options.election_us = 100000;
    p->options.heartbeat_us = 20000;
    p->options.resend_us = 50000;
    for (uint32_t i = 0; i < nodes; i++) {
        ids[i] = i + 1;
    }
    int err = membership_init(&p->options.members, ids, nodes);
    ASSERT(err == OK);
    list_init(&p->writes);
    list_init(&p->waiting);
    list_init(&p->sent);
    list_init(&p->loads);
}

/* Drops all that is on its way, and the instance. */
static void stop(struct puppet *p)
{
    struct list_node *node;
    while ((node = list_pop_front(&p->writes)) != NULL) {
        log_write_free(list_entry(node, struct log_write, node));
    }
    while ((node = list_pop_front(&p->waiting)) != NULL) {
        struct puppet_after *a = list_entry(node, struct puppet_after, node);
        message_free(a->message);
        free(a);
    }
    while ((node = list_pop_front(&p->loads)) != NULL) {
        free(list_entry(node, struct puppet_load, node));
    }
    message_list_free(&p->sent);
    consensus_free(p->c);
    log_free(p->log);
    p->c = NULL;
    p->log = NULL;
}

void puppet_release(struct puppet *p)
{
    stop(p);
    for (uint32_t i = 0; i < PUPPET_SLOTS; i++) {
        value_unref(p->entries[i].value);
    }
}

static void make_durable(struct puppet *p, const struct log_write *w)
{
    if (w->hard_set) {
        p->hard = w->hard;
    }
    for (uint32_t i = 0; i < w->entries_count; i++) {
        struct entry *at = &p->entries[w->entries[i].index];
        ASSERT(w->entries[i].index < PUPPET_SLOTS);
        value_unref(at->value);
        *at = w->entries[i];
        (void) value_ref(at->value);
    }
    for (uint32_t i = 0; i < w->promises_count; i++) {
        p->promises[w->promises[i].index] = w->promises[i].ballot;
    }
}

/* To a peer: kept for the test. To the instance itself: true, and to be given back. */
static bool for_itself(struct puppet *p, struct message *m)
{
    if (m->to == p->options.self) {
        return true;
    }
    list_push_back(&p->sent, &m->node);
    return false;
}

static void give(struct puppet *p, struct message *m)
{
    int err = consensus_step(p->c, m);
    ASSERT(err == OK);
    message_free(m);
}

static void answer_loads(struct puppet *p)
{
    struct list_node *node;
    while ((node = list_pop_front(&p->loads)) != NULL) {
        struct puppet_load *l = list_entry(node, struct puppet_load, node);
        struct entry found[PUPPET_SLOTS];
        uint32_t count = 0;
        uint64_t bytes = 0;
        for (uint64_t i = l->load.first; i <= l->load.last; i++) {
            if (p->entries[i].value == NULL ||
                (count > 0 && bytes + p->entries[i].value->bytes.size > l->load.bytes_max)) {
                break;
            }
            bytes += p->entries[i].value->bytes.size;
            found[count++] = p->entries[i];
        }
        consensus_loaded(p->c, l->load.id, OK, found, count);
        free(l);
    }
}

/* Fetches and acts on one output. */
static void take(struct puppet *p)
{
    struct ready r;
    struct list_node *node;
    consensus_take(p->c, &r);
    for (uint32_t i = 0; i < r.reads_count; i++) {
        p->read_ctx = r.reads[i].ctx;
        p->read_index = r.reads[i].index;
        p->read_err = r.reads[i].err;
    }
    for (uint32_t i = 0; i < r.loads_count; i++) {
        struct puppet_load *l = xcalloc(1, sizeof *l);
        l->load = r.loads[i];
        list_push_back(&p->loads, &l->node);
    }
    if (r.write != NULL) {
        p->writes_count++;
        list_push_back(&p->writes, &r.write->node);
    }
    while ((node = list_pop_front(&r.after)) != NULL) {
        struct puppet_after *a = xcalloc(1, sizeof *a);
        a->message = list_entry(node, struct message, node);
        a->write_id = r.after_write;
        list_push_back(&p->waiting, &a->node);
    }
    uint64_t commit = r.commit;
    while ((node = list_pop_front(&r.now)) != NULL) {
        struct message *m = list_entry(node, struct message, node);
        if (for_itself(p, m)) {
            give(p, m);
        }
    }
    if (commit > log_applied(p->log)) {
        consensus_applied(p->c, commit);
    }
}

/* Completes writes and lets go what waited for them. */
static bool disk(struct puppet *p)
{
    bool any = false;
    struct list_node *node;
    while (!p->held && (node = list_pop_front(&p->writes)) != NULL) {
        struct log_write *w = list_entry(node, struct log_write, node);
        make_durable(p, w);
        consensus_stored(p->c, w->id);
        log_write_free(w);
        any = true;
    }
    const struct list_node *oldest = list_first(&p->writes);
    uint64_t pending = oldest == NULL
                           ? UINT64_MAX
                           : list_entry((struct list_node *) oldest, struct log_write, node)->id;
    while ((node = list_first(&p->waiting)) != NULL) {
        struct puppet_after *a = list_entry(node, struct puppet_after, node);
        if (a->write_id >= pending) {
            break;
        }
        list_remove(node);
        if (for_itself(p, a->message)) {
            give(p, a->message);
        }
        free(a);
        any = true;
    }
    return any;
}

static void pump(struct puppet *p)
{
    bool more = true;
    while (more) {
        more = false;
        while (consensus_has_ready(p->c)) {
            take(p);
        }
        more = disk(p) || !list_empty(&p->loads);
        answer_loads(p);
        more = more || consensus_has_ready(p->c);
    }
}

void puppet_start(struct puppet *p)
{
    struct entry found[PUPPET_SLOTS];
    struct slot_promise promised[PUPPET_SLOTS];
    uint32_t count = 0;
    uint32_t promises = 0;
    for (uint64_t i = 0; i < PUPPET_SLOTS; i++) {
        if (p->entries[i].value != NULL) {
            found[count++] = p->entries[i];
        }
        if (p->promises[i] != 0) {
            promised[promises++] = (struct slot_promise){i, p->promises[i]};
        }
    }
    p->log = log_new(p->memory_max, p->slots_max, (struct log_pos){0, 0});
    int err = log_restore(p->log, found, count, promised, promises, p->hard.commit);
    ASSERT(err == OK);
    err = consensus_new(p->engine, &p->options, &p->hard, p->log, &p->c);
    ASSERT(err == OK);
    p->now_us++;
    consensus_tick(p->c, p->now_us);
    pump(p);
}

void puppet_restart(struct puppet *p)
{
    stop(p);
    p->held = false;
    puppet_start(p);
}

void puppet_run(struct puppet *p, uint64_t us)
{
    uint64_t end = p->now_us + us;
    while (p->now_us < end) {
        uint64_t next = u64_max(consensus_deadline(p->c), p->now_us + 1);
        p->now_us = u64_min(next, end);
        consensus_tick(p->c, p->now_us);
        pump(p);
    }
}

void puppet_step(struct puppet *p, struct message *m_take)
{
    give(p, m_take);
    pump(p);
}

int puppet_propose_many(struct puppet *p, uint64_t command, uint32_t count)
{
    int err = OK;
    for (uint32_t i = 0; i < count && err == OK; i++) {
        struct value *value = value_of(command + i);
        err = consensus_propose(p->c, value);
        value_unref(value);
    }
    pump(p);
    return err;
}

int puppet_propose(struct puppet *p, uint64_t command)
{
    return puppet_propose_many(p, command, 1);
}

int puppet_read(struct puppet *p, uint64_t ctx)
{
    int err = consensus_read(p->c, ctx);
    pump(p);
    return err;
}

void puppet_sync(struct puppet *p)
{
    bool held = p->held;
    p->held = false;
    pump(p);
    p->held = held;
}

struct message *puppet_sent(struct puppet *p, enum message_type type, uint32_t to)
{
    LIST_FOR_EACH(&p->sent, node) {
        struct message *m = list_entry(node, struct message, node);
        if (m->type == (uint8_t) type && (to == 0 || m->to == to)) {
            list_remove(node);
            return m;
        }
    }
    return NULL;
}

uint32_t puppet_count(const struct puppet *p, enum message_type type)
{
    uint32_t count = 0;
    LIST_FOR_EACH(&p->sent, node) {
        count += list_entry(node, struct message, node)->type == (uint8_t) type ? 1 : 0;
    }
    return count;
}

void puppet_forget(struct puppet *p)
{
    message_list_free(&p->sent);
}

struct message *puppet_message(const struct puppet *p, enum message_type type, uint32_t from)
{
    struct message *m = message_new(type, p->options.self);
    m->engine = engine_number(p->engine);
    m->from = from;
    return m;
}

void puppet_add(struct message *m, struct log_pos pos, uint64_t command)
{
    const struct entry entry = {pos.index, pos.epoch, value_of(command)};
    message_add_entry(m, &entry);
    value_unref(entry.value);
}

uint64_t puppet_at(const struct puppet *p, uint64_t index)
{
    const struct slot *s = log_slot(p->log, index);
    return s == NULL || s->state == SLOT_EMPTY ? UINT64_MAX : value_number(s->value);
}

void puppet_greet(struct puppet *p, uint64_t seen, uint64_t promised)
{
    struct message *m;
    for (uint32_t i = 0; i < p->options.members.count; i++) {
        uint32_t peer = p->options.members.ids[i];
        if (peer == p->options.self) {
            continue;
        }
        struct message *hello = puppet_message(p, MSG_PAXOS_HEARTBEAT, peer);
        hello->seen = seen;
        puppet_step(p, hello);
    }
    while ((m = puppet_sent(p, MSG_PAXOS_PREPREPARE, 0)) != NULL) {
        struct message *yes = puppet_message(p, MSG_PAXOS_PREPREPARE_REPLY, m->to);
        yes->ctx = m->ctx;
        yes->hint.epoch = promised;
        message_free(m);
        puppet_step(p, yes);
    }
}

uint64_t puppet_elect(struct puppet *p)
{
    for (uint32_t round = 0; round < 100; round++) {
        struct message *m;
        puppet_greet(p, UINT64_MAX, 0);
        while ((m = puppet_sent(p, MSG_PAXOS_PREPARE, 0)) != NULL) {
            struct message *yes = puppet_message(p, MSG_PAXOS_PROMISE, m->to);
            yes->epoch = m->epoch;
            yes->pos = m->pos;
            yes->ctx = m->ctx;
            message_free(m);
            puppet_step(p, yes);
        }
        struct consensus_status status;
        consensus_status(p->c, &status);
        if (status.role == ROLE_LEADER) {
            puppet_forget(p);
            return status.epoch;
        }
        puppet_run(p, p->options.heartbeat_us);
    }
    return 0;
}

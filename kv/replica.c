/*
 * replica.c - life of a replica, its turn, and the messages that wait for a write.
 *
 * The turn: tick, then any inputs, then take. Take lets the engine, the state machine and the
 * calls work on each other until nothing moves (or a limit of the turn is reached) and hands over
 * what the world has to do. The other files: see replica_internal.h.
 */
#include "kv/replica.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/diag.h"
#include "base/mem.h"
#include "kv/replica_internal.h"

enum {
    ARENA_CHUNK = 16 * 1024,
    ARENA_MAX = 64 * 1024 * 1024,
    DEFAULT_MEMORY = 64 * 1024 * 1024,
    DEFAULT_SLOTS = 65536,
};

void replica_options_init(struct replica_options *o)
{
    *o = (struct replica_options){
        .log_memory_max = DEFAULT_MEMORY,
        .log_slots_max = DEFAULT_SLOTS,
        .batch_bytes_max = 256 * 1024,
        .batch_commands_max = 2048,
        .calls_max = 32768,
        .call_bytes_max = DEFAULT_MEMORY,
        .apply_lag_max = 5000,
        .unwritten_max = DEFAULT_MEMORY,
        .fetch_rows_max = 4096,
        .retry_us = 1000000,
        .read_retry_us = 200000,
        .gossip_us = 200000,
        .trim_keep = 10000,
        .flush_us = 20000,
        .flush_operations = 4000,
        .flush_bytes = 1024 * 1024,
        .mvcc = {.cache_bytes_max = DEFAULT_MEMORY, .txn_ops_max = 128, .sessions_max = 65536},
    };
    consensus_options_init(&o->consensus);
}

static bool options_valid(const struct replica_options *o)
{
    return o->engine != NULL && o->cluster_id != 0 && o->incarnation != 0 &&
           o->log_memory_max > 0 && o->log_slots_max > 0 && o->batch_bytes_max > 0 &&
           o->batch_commands_max > 0 && o->batch_commands_max <= SEQUENCES_MAX / 2 &&
           o->calls_max > 0 && o->call_bytes_max > 0 && o->apply_lag_max > 0 &&
           o->unwritten_max > 0 && o->fetch_rows_max > 0 && o->retry_us > 0 &&
           o->read_retry_us > 0 && o->gossip_us > 0 && o->flush_operations > 0 &&
           o->flush_bytes > 0;
}

/* Do the log and the state belong together, and is the last entry there? */
static int recovery_check(const struct logstore_recovery *recovery, const struct mvcc *mvcc)
{
    uint64_t applied = mvcc_applied(mvcc);
    if (applied > recovery->last || applied < recovery->trimmed.index) {
        DIAG_ERROR("the state is at index %llu, but the log holds %llu to %llu: one of the two "
                   "databases was replaced or damaged; restore both, or join as a new node",
                   (unsigned long long) applied, (unsigned long long) recovery->trimmed.index + 1,
                   (unsigned long long) recovery->last);
        return ERR_CORRUPT;
    }
    if (recovery->last > recovery->trimmed.index &&
        (recovery->entries_count == 0 ||
         recovery->entries[recovery->entries_count - 1].index != recovery->last)) {
        return ERR_INVALID;
    }
    return OK;
}

/* The log and the engine over it. What the state machine applied was chosen, whatever the commit
 * hint says. */
static int engine_start(struct replica *r, const struct logstore_recovery *recovery)
{
    uint64_t applied = mvcc_applied(r->mvcc);
    uint64_t chosen = u64_max(applied, u64_min(recovery->hard.commit, recovery->last));
    r->log = log_new(r->options.log_memory_max, r->options.log_slots_max, recovery->trimmed);
    int err = log_restore(r->log, recovery->entries, recovery->entries_count, recovery->promises,
                          recovery->promises_count, chosen);
    if (err != OK) {
        return ERR_CORRUPT;
    }
    log_apply_to(r->log, applied);
    return consensus_new(r->options.engine, &r->options.consensus, &recovery->hard, r->log,
                         &r->consensus);
}

static void lists_init(struct replica *r)
{
    list_init(&r->calls_free);
    list_init(&r->queued);
    list_init(&r->sent);
    list_init(&r->due);
    list_init(&r->batches_free);
    list_init(&r->forwards);
    list_init(&r->compactions);
    list_init(&r->fetches_waiting);
    list_init(&r->held);
    list_init(&r->loop);
    list_init(&r->out_messages);
    list_init(&r->out_writes);
}

static struct replica *replica_alloc(const struct replica_options *options, struct mvcc *mvcc)
{
    struct replica *r = xcalloc(1, sizeof *r);
    r->options = *options;
    r->mvcc = mvcc;
    r->self = options->consensus.self;
    r->capabilities = engine_capabilities(options->engine);
    r->session = (uint64_t) r->self << 32 | (options->incarnation & UINT32_MAX);
    r->sequence_next = 1;
    r->flush_at_us = UINT64_MAX;
    r->flush_index = mvcc_durable(mvcc);
    arena_init(&r->arena, ARENA_CHUNK, ARENA_MAX);
    lists_init(r);
    timer_wheel_init(&r->wheel);
    map_init(&r->calls, options->calls_max);
    map_init(&r->batches, SIZE_MAX / 64);       /* bounded by call_bytes_max and the window */
    map_init(&r->batches_index, SIZE_MAX / 64); /* the same */
    map_init(&r->fetches, SIZE_MAX / 64);       /* bounded by what replica_call_admit lets in */
    value_builder_init(&r->builder, options->batch_bytes_max, options->batch_commands_max);
    replica_reads_init(r);
    return r;
}

int replica_new(const struct replica_options *options, struct logstore_recovery *recovery,
                struct mvcc *mvcc, struct replica **ret_replica)
{
    if (!options_valid(options)) {
        return ERR_INVALID;
    }
    int err = recovery_check(recovery, mvcc);
    if (err != OK) {
        return err;
    }
    struct replica *r = replica_alloc(options, mvcc);
    err = engine_start(r, recovery);
    if (err != OK) {
        r->mvcc = NULL; /* the caller keeps it on failure */
        replica_free(r);
        return err;
    }
    r->written = recovery->written;
    replica_gossip_init(r);
    logstore_recovery_release(recovery);
    *ret_replica = r;
    return OK;
}

static void out_release(struct replica *r)
{
    message_list_free(&r->out_messages);
    message_list_free(&r->held);
    message_list_free(&r->loop);
    struct list_node *node;
    while ((node = list_pop_front(&r->out_writes)) != NULL) {
        log_write_free(list_entry(node, struct log_write, node));
    }
    for (uint32_t i = 0; i < 2; i++) {
        struct out_arrays *out = &r->out[i];
        for (uint32_t k = 0; i == r->out_now && k < out->replies_count; k++) {
            mvcc_result_free(out->replies[k].result);
        }
        free(out->loads);
        free(out->fetches);
        free(out->replies);
    }
    free(r->holds);
}

void replica_free(struct replica *r)
{
    if (r == NULL) {
        return;
    }
    replica_calls_close(r);
    replica_writes_release(r);
    replica_apply_release(r);
    if (r->mvcc != NULL && r->out_flush != NULL) {
        mvcc_flush_done(r->mvcc, r->out_flush);
    }
    out_release(r);
    replica_calls_release(r);
    consensus_free(r->consensus);
    log_free(r->log);
    mvcc_free(r->mvcc);
    arena_release(&r->arena);
    free(r);
}

/* Time. */

static void timer_fire(struct replica *r, struct timer *t)
{
    switch (t->kind) {
    case TIMER_CALL:
        replica_call_expire(r, container_of(t, struct call, timer));
        break;
    case TIMER_BATCH:
        replica_batch_retry(r, container_of(t, struct batch, timer));
        break;
    case TIMER_ROUND:
        replica_round_retry(r, container_of(t, struct read_round, timer));
        break;
    default:
        UNREACHABLE();
    }
}

/* Who leads, as far as the engine knows, or stands in for a leader. A change is the moment to send
 * everything again that may have been lost with the old one. */
static void leader_refresh(struct replica *r)
{
    struct consensus_status status;
    consensus_status(r->consensus, &status);
    bool leaders = (r->capabilities & CAP_LEADER) != 0; /* else an epoch is no change */
    bool changed = status.proposer != r->leader || (leaders && status.epoch != r->epoch);
    r->role = status.role;
    r->leader = status.proposer;
    r->epoch = status.epoch;
    if (changed && r->leader != 0) {
        replica_batches_hurry(r);
        replica_reads_hurry(r);
    }
}

void replica_tick(struct replica *r, uint64_t now_us)
{
    ASSERT(now_us >= r->now_us);
    r->now_us = now_us;
    timer_wheel_advance(&r->wheel, now_us);
    if (!r->ticked) {
        r->ticked = true;
        r->gossip_at_us = now_us;
        r->dirty = true; /* what was recovered may have to be applied */
        if (log_commit(r->log) > mvcc_applied(r->mvcc)) {
            replica_mark(r, MARK_REPLICA_REPLAY);
        }
    }
    consensus_tick(r->consensus, now_us);
    leader_refresh(r);
    struct timer *t;
    while ((t = timer_wheel_pop(&r->wheel)) != NULL) {
        timer_fire(r, t);
        r->dirty = true;
    }
    if (now_us >= r->gossip_at_us) {
        r->gossip_at_us = now_us + r->options.gossip_us;
        replica_gossip_send(r);
    }
    if (now_us >= r->flush_at_us || (!list_empty(&r->reads_new) && now_us >= r->reads_retry_us)) {
        r->dirty = true;
    }
}

uint64_t replica_deadline(const struct replica *r)
{
    if (!r->ticked) {
        return 0;
    }
    uint64_t at = u64_min(consensus_deadline(r->consensus), timer_wheel_deadline(&r->wheel));
    at = u64_min(at, r->gossip_at_us);
    if (r->flush_at_us > r->now_us) { /* else only a completion can help */
        at = u64_min(at, r->flush_at_us);
    }
    if (!list_empty(&r->reads_new) && r->reads_retry_us > r->now_us) {
        at = u64_min(at, r->reads_retry_us);
    }
    return at;
}

/* The engine. */

static void send_all(struct replica *r, struct list *messages)
{
    struct list_node *node;
    while ((node = list_pop_front(messages)) != NULL) {
        replica_send(r, list_entry(node, struct message, node));
    }
}

/* Gives the engine its messages to itself. What it answers comes with the next ready. */
static bool loop_step(struct replica *r)
{
    struct list_node *node = list_first(&r->loop);
    bool progress = node != NULL;
    while ((node = list_pop_front(&r->loop)) != NULL) {
        struct message *m = list_entry(node, struct message, node);
        int err = consensus_step(r->consensus, m);
        ASSERT(err == OK); /* the engine made it for itself */
        message_free(m);
    }
    return progress;
}

static void collect(struct replica *r)
{
    struct ready ready;
    consensus_take(r->consensus, &ready);
    if (ready.write != NULL) {
        list_push_back(&r->out_writes, &ready.write->node);
    }
    for (uint32_t i = 0; i < ready.loads_count; i++) {
        struct load load = ready.loads[i];
        load.id *= 2; /* ours are odd */
        replica_push_load(r, load);
    }
    for (uint32_t i = 0; i < ready.reads_count; i++) {
        replica_read_answer(r, &ready.reads[i]);
    }
    send_all(r, &ready.now);
    if (ready.after_write <= r->stored) {
        ASSERT(r->holds_count == 0); /* an older ready cannot wait for a newer write */
        send_all(r, &ready.after);
    } else {
        replica_hold(r, &ready.after, ready.after_write);
    }
    leader_refresh(r);
}

void replica_log_stored(struct replica *r, uint64_t write_id)
{
    if (write_id <= r->stored) {
        return;
    }
    r->stored = write_id;
    consensus_stored(r->consensus, write_id);
    replica_hold_release(r);
    r->dirty = true;
}

/* The end of a turn. */

void replica_push_load(struct replica *r, struct load load)
{
    struct out_arrays *out = &r->out[r->out_now];
    if (out->loads_count == out->loads_capacity) {
        out->loads_capacity = out->loads_capacity == 0 ? 4 : out->loads_capacity * 2;
        out->loads = xrealloc(out->loads, out->loads_capacity * sizeof(*out->loads));
    }
    out->loads[out->loads_count++] = load;
}

void replica_push_fetch(struct replica *r, const struct fetch *fetch)
{
    struct out_arrays *out = &r->out[r->out_now];
    if (out->fetches_count == out->fetches_capacity) {
        out->fetches_capacity = out->fetches_capacity == 0 ? 16 : out->fetches_capacity * 2;
        out->fetches = xrealloc(out->fetches, out->fetches_capacity * sizeof(*out->fetches));
    }
    out->fetches[out->fetches_count++] = (struct replica_fetch){.id = fetch->id,
                                                                .revisions = fetch->revisions,
                                                                .count = fetch->count};
}

bool replica_has_output(const struct replica *r)
{
    const struct out_arrays *out = &r->out[r->out_now];
    return r->dirty || r->busy || !list_empty(&r->out_messages) || !list_empty(&r->out_writes) ||
           !list_empty(&r->loop) || r->out_trim.index != 0 || r->out_flush != NULL ||
           out->loads_count > 0 || out->fetches_count > 0 || out->replies_count > 0 ||
           consensus_has_ready(r->consensus);
}

bool replica_busy(const struct replica *r)
{
    return r->busy;
}

bool replica_overloaded(const struct replica *r)
{
    return mvcc_unwritten(r->mvcc) > r->options.unwritten_max;
}

/* Lets everything that can move, move. */
static int settle(struct replica *r)
{
    bool progress = true;
    for (uint32_t i = 0; progress; i++) {
        if (i == TAKE_ROUNDS_MAX) {
            r->busy = true;
            break;
        }
        progress = loop_step(r);
        progress |= replica_writes_send(r);
        progress |= replica_reads_start(r);
        if (consensus_has_ready(r->consensus)) {
            collect(r);
            progress = true;
        }
        int err = replica_apply(r, &progress);
        if (err == OK) {
            err = replica_reads_run(r);
        }
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

static void hand_over(struct replica *r, struct replica_output *ret)
{
    struct out_arrays *out = &r->out[r->out_now];
    struct list_node *node;
    list_init(&ret->messages);
    while ((node = list_pop_front(&r->out_messages)) != NULL) {
        list_push_back(&ret->messages, node);
    }
    list_init(&ret->writes);
    while ((node = list_pop_front(&r->out_writes)) != NULL) {
        list_push_back(&ret->writes, node);
    }
    ret->envelope_base = replica_envelope(r, 0);
    ret->trim = r->out_trim;
    ret->flush = r->out_flush;
    ret->loads = out->loads;
    ret->loads_count = out->loads_count;
    ret->fetches = out->fetches;
    ret->fetches_count = out->fetches_count;
    ret->replies = out->replies;
    ret->replies_count = out->replies_count;
    r->out_trim = (struct log_pos){0};
    r->out_flush = NULL;
    r->out_now ^= 1;
    out = &r->out[r->out_now];
    out->loads_count = 0;
    out->fetches_count = 0;
    out->replies_count = 0;
}

int replica_take(struct replica *r, struct replica_output *ret_output)
{
    ASSERT(r->ticked);
    if (r->fatal != OK) {
        return r->fatal;
    }
    r->dirty = false;
    r->busy = false;
    r->apply_budget = APPLY_COMMANDS_MAX;
    r->reads_budget = READS_MAX;
    replica_flush(r); /* before applying runs ahead of our own log again */
    int err = settle(r);
    if (err != OK) {
        r->fatal = err;
        return err;
    }
    if (!r->entry_open && mvcc_work(r->mvcc, WORK_KEYS_MAX)) {
        r->busy = true;
    }
    replica_flush(r);
    replica_trim(r);
    hand_over(r, ret_output);
    return OK;
}

/* Leadership, stopping, status. */

int replica_transfer(struct replica *r, uint32_t to)
{
    r->dirty = true;
    return consensus_transfer(r->consensus, to);
}

void replica_stop(struct replica *r)
{
    if (r->stopping) {
        return;
    }
    r->stopping = true;
    if (r->leader != r->self || (r->capabilities & CAP_TRANSFER) == 0) {
        return;
    }
    /* To the peer whose log is most complete among those heard from. */
    const struct membership *members = &r->options.consensus.members;
    struct consensus_status status;
    consensus_status(r->consensus, &status);
    uint32_t best = 0;
    uint64_t match = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        bool heard = (status.heard >> i & 1) != 0 && members->ids[i] != r->self;
        if (heard && (best == 0 || status.match[i] > match)) {
            best = members->ids[i];
            match = status.match[i];
        }
    }
    if (best != 0) {
        ERR_IGNORE(replica_transfer(r, best)); /* a courtesy: an election does it otherwise */
    }
}

bool replica_idle(const struct replica *r)
{
    return map_size(&r->calls) == 0;
}

void replica_status(const struct replica *r, struct replica_status *ret_status)
{
    const struct membership *members = &r->options.consensus.members;
    *ret_status = (struct replica_status){
        .applied = mvcc_applied(r->mvcc),
        .durable_applied = r->durable,
        .revision = mvcc_revision(r->mvcc),
        .compact_revision = mvcc_compact_revision(r->mvcc),
        .hash = mvcc_hash(r->mvcc),
        .keys = mvcc_keys(r->mvcc),
        .size_in_use = mvcc_size_in_use(r->mvcc),
        .incarnation = r->options.incarnation,
        .calls = (uint32_t) map_size(&r->calls),
        .writes = r->writes,
        .reads = r->reads,
        .retries = r->retries,
        .forwards = r->forwards_sent,
        .strays = r->strays,
        .timeouts = r->timeouts,
        .refused = r->refused,
        .log_first = log_first(r->log),
    };
    consensus_status(r->consensus, &ret_status->consensus);
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->ids[i] != r->self) {
            const struct peer *p = &r->peers[i];
            ret_status->peers[ret_status->peers_count++] =
                (struct replica_peer_status){.id = p->id,
                                             .incarnation = p->incarnation,
                                             .applied = p->applied,
                                             .durable = p->durable,
                                             .heard_us = p->heard_us};
        }
    }
}

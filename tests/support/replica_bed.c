/*
 * replica_bed.c - see replica_bed.h.
 */
#include "tests/support/replica_bed.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/store.h"
#include "kv/store_memory.h"
#include "proto/wire_kv.h"

/* The engine made last; the bed takes it right after. */
static struct bed_engine *engine_made;

static struct bed_engine *of(struct engine *e)
{
    return container_of(e, struct bed_engine, engine);
}

static struct engine *engine_create(void)
{
    engine_made = xcalloc(1, sizeof *engine_made);
    return &engine_made->engine;
}

static void engine_start(struct engine *e, const struct hard_state *hard)
{
    (void) hard;
    e->deadline_us = UINT64_MAX;
}

static void engine_destroy(struct engine *e)
{
    struct bed_engine *r = of(e);
    for (uint32_t i = 0; i < r->proposed_count; i++) {
        value_unref(r->proposed[i]);
    }
    free(r);
}

static void engine_tick(struct engine *e)
{
    struct bed_engine *r = of(e);
    if (r->act != NULL) {
        void (*act)(struct bed_engine *, void *) = r->act;
        r->act = NULL;
        act(r, r->act_ctx);
    }
}

static void engine_step(struct engine *e, const struct message *m)
{
    struct bed_engine *r = of(e);
    ASSERT(r->stepped < BED_MAX);
    r->stepped_ctx[r->stepped++] = m->ctx;
}

static bool engine_can_propose(const struct engine *e)
{
    const struct bed_engine *r = container_of(e, const struct bed_engine, engine);
    bool leaders = (e->ops->capabilities & CAP_LEADER) != 0;
    return !r->full && (leaders ? r->role == ROLE_LEADER : r->leader == 0);
}

static int engine_propose(struct engine *e, struct value *value)
{
    struct bed_engine *r = of(e);
    ASSERT(engine_can_propose(e));
    ASSERT(r->proposed_count < BED_MAX);
    r->proposed[r->proposed_count++] = value_ref(value);
    return OK;
}

static int engine_read(struct engine *e, uint64_t ctx)
{
    struct bed_engine *r = of(e);
    if (r->read_err == OK) {
        ASSERT(r->reads_count < BED_MAX);
        r->reads[r->reads_count++] = ctx;
    }
    return r->read_err;
}

static void engine_stored(struct engine *e, const struct log_write *write)
{
    (void) e;
    (void) write;
}

static void engine_applied(struct engine *e, uint64_t index)
{
    (void) e;
    (void) index;
}

static void engine_loaded(struct engine *e, uint64_t load_id, int err, const struct entry *entries,
                          uint32_t count)
{
    (void) load_id;
    (void) err;
    (void) entries;
    of(e)->loaded += count;
}

static int engine_transfer(struct engine *e, uint32_t to)
{
    of(e)->transfer_to = to;
    return OK;
}

static void engine_status(const struct engine *e, struct consensus_status *status)
{
    const struct bed_engine *r = container_of(e, const struct bed_engine, engine);
    status->role = r->role;
    if ((e->ops->capabilities & CAP_LEADER) != 0) {
        status->leader = r->leader;
    } else if (r->leader != 0) {
        status->proposer = r->leader;
    }
    status->epoch = r->epoch;
    status->heard = 7;
    status->match[2] = 1;
}

#define BED_ENGINE(text, number, caps)                                                             \
    {                                                                                              \
        .name = (text), .id = (number), .capabilities = (caps), .create = engine_create,           \
        .start = engine_start, .destroy = engine_destroy, .tick = engine_tick,                     \
        .step = engine_step, .propose = engine_propose, .can_propose = engine_can_propose,         \
        .read = engine_read, .stored = engine_stored, .applied = engine_applied,                   \
        .loaded = engine_loaded, .transfer = engine_transfer, .status = engine_status,             \
    }

const struct engine_ops bed_engine_leader_ops =
    BED_ENGINE("bed-leader", ENGINE_RAFT, CAP_LEADER | CAP_TRANSFER);
const struct engine_ops bed_engine_leaderless_ops = BED_ENGINE("bed-leaderless", ENGINE_PAXOS, 0);

/* Life. */

void bed_init(struct bed *bed, const struct engine_ops *ops, uint32_t nodes)
{
    static const uint32_t ids[] = {1, 2, 3, 4, 5};
    *bed = (struct bed){.now_us = 1000000};
    list_init(&bed->writes);
    list_init(&bed->messages);
    replica_options_init(&bed->options);
    struct replica_options *o = &bed->options;
    o->engine = ops;
    o->cluster_id = BED_CLUSTER;
    o->consensus.self = BED_SELF;
    o->consensus.seed = 1;
    int err = membership_init(&o->consensus.members, ids, nodes);
    ASSERT(err == OK);
    o->gossip_us = 1000000000;
    o->flush_us = 1000000000;
    o->trim_keep = 10;
    o->mvcc.cache_bytes_max = 0;
    bed->disk = memory_disk_new();
}

static int open_state(struct bed *bed, bool create, struct mvcc **ret_mvcc)
{
    const struct store_options options = {.create = create, .device = bed->disk};
    struct buf error;
    struct store_iter *it = NULL;
    buf_init(&error, 1000);
    int err = store_open(store_by_name("memory"), "state", &options, &bed->state, &error);
    ASSERT(err == OK);
    buf_release(&error);
    err = store_iter_new(bed->state, true, &it);
    ASSERT(err == OK);
    *ret_mvcc = mvcc_new(&bed->options.mvcc);
    for (store_iter_seek(it, (struct bytes){0}); err == OK && store_iter_valid(it);
         store_iter_next(it)) {
        err = mvcc_restore_row(*ret_mvcc, store_iter_key(it), store_iter_value(it));
    }
    store_iter_free(it);
    return err == OK ? mvcc_restore_done(*ret_mvcc) : err;
}

static int open_log(struct bed *bed, bool create, uint64_t from, struct logstore_recovery *ret)
{
    const struct identity identity = {.cluster_id = BED_CLUSTER,
                                      .node = BED_SELF,
                                      .engine = engine_number(bed->options.engine),
                                      .members_count = 1,
                                      .members = {BED_SELF}};
    const struct logstore_options options = {.create = create ? &identity : NULL,
                                             .device = bed->disk};
    struct buf error;
    buf_init(&error, 1000);
    int err = logstore_open(logstore_by_name("memory"), "log", &options, &bed->log, &error);
    ASSERT(err == OK);
    err = logstore_recover(bed->log, u64_max(from, 1), ret, &error);
    buf_release(&error);
    return err;
}

static int open_all(struct bed *bed, bool create)
{
    struct mvcc *mvcc;
    struct logstore_recovery recovery = {0};
    int err = open_state(bed, create, &mvcc);
    ASSERT(err == OK);
    uint64_t from = bed->recover_from != 0 ? bed->recover_from : mvcc_applied(mvcc);
    err = open_log(bed, create, from, &recovery);
    ASSERT(err == OK);
    bed->options.incarnation = BED_INCARNATION + (create ? 0 : bed->options.incarnation);
    err = replica_new(&bed->options, &recovery, mvcc, &bed->replica);
    logstore_recovery_release(&recovery);
    if (err != OK) {
        mvcc_free(mvcc);
        bed->replica = NULL;
        return err;
    }
    bed->engine = engine_made;
    return OK;
}

/* A word from each peer, without which nothing is sent to it. */
static void peers_speak(struct bed *bed)
{
    const struct membership *members = &bed->options.consensus.members;
    for (uint32_t i = 0; !bed->peers_silent && i < members->count; i++) {
        if (members->ids[i] != BED_SELF) {
            const struct envelope envelope = {.cluster_id = BED_CLUSTER};
            struct message *m = bed_message(bed, MSG_REPLICA_FORWARD_REPLY, members->ids[i]);
            int err = replica_receive(bed->replica, m, &envelope);
            ASSERT(err == OK);
            message_free(m);
        }
    }
}

void bed_start(struct bed *bed)
{
    int err = open_all(bed, true);
    ASSERT(err == OK);
    bed_lead(bed, ROLE_FOLLOWER, 0, 1);
    bed_turn(bed);
    peers_speak(bed);
}

static void close_all(struct bed *bed)
{
    struct list_node *node;
    while ((node = list_pop_front(&bed->writes)) != NULL) {
        log_write_free(list_entry(node, struct log_write, node));
    }
    bed_forget_sent(bed);
    for (uint32_t i = 0; i < bed->replies_count; i++) {
        mvcc_result_free(bed->replies[i].result);
    }
    for (uint32_t i = 0; i < bed->fetches_count; i++) {
        free(bed->fetch_revisions[i]);
    }
    bed->replies_count = 0;
    bed->fetches_count = 0;
    bed->loads_count = 0;
    if (bed->flush != NULL) {
        replica_state_flushed(bed->replica, bed->flush, ERR_IO);
        bed->flush = NULL;
    }
    replica_free(bed->replica);
    bed->replica = NULL;
    memory_disk_crash(bed->disk);
    logstore_close(bed->log);
    store_close(bed->state);
}

int bed_restart(struct bed *bed)
{
    close_all(bed);
    int err = open_all(bed, false);
    if (err == OK) {
        bed_turn(bed);
        peers_speak(bed);
    }
    return err;
}

void bed_release(struct bed *bed)
{
    close_all(bed);
    memory_disk_free(bed->disk);
}

void bed_lead(struct bed *bed, uint8_t role, uint32_t leader, uint64_t epoch)
{
    bed->engine->role = role;
    bed->engine->leader = leader;
    bed->engine->epoch = epoch;
}

/* Turns. */

static void collect(struct bed *bed, struct replica_output *out)
{
    struct list_node *node;
    while ((node = list_pop_front(&out->writes)) != NULL) {
        list_push_back(&bed->writes, node);
    }
    while ((node = list_pop_front(&out->messages)) != NULL) {
        list_push_back(&bed->messages, node);
    }
    for (uint32_t i = 0; i < out->replies_count; i++) {
        const struct replica_reply *reply = &out->replies[i];
        ASSERT(bed->replies_count < BED_MAX);
        ASSERT((reply->err == OK) == (reply->result != NULL));
        bed->replies[bed->replies_count++] = (struct bed_reply){
            .call = reply->call,
            .err = reply->err,
            .revision = reply->result == NULL ? 0 : reply->result->response.revision,
            .result = reply->result,
        };
    }
    for (uint32_t i = 0; i < out->loads_count; i++) {
        ASSERT(bed->loads_count < BED_MAX);
        bed->loads[bed->loads_count++] = out->loads[i];
    }
    for (uint32_t i = 0; i < out->fetches_count; i++) {
        const struct replica_fetch *f = &out->fetches[i];
        uint32_t at = bed->fetches_count++;
        ASSERT(at < BED_MAX);
        bed->fetch_ids[at] = f->id;
        bed->fetch_counts[at] = f->count;
        bed->fetch_revisions[at] = xmemdup(f->revisions, f->count * sizeof(*f->revisions));
    }
    if (out->flush != NULL) {
        ASSERT(bed->flush == NULL);
        bed->flush = out->flush;
    }
    if (out->trim.index != 0) {
        bed->trim = out->trim;
    }
}

void bed_turn(struct bed *bed)
{
    struct replica_output out;
    replica_tick(bed->replica, bed->now_us);
    bed->take_err = replica_take(bed->replica, &out);
    if (bed->take_err == OK) {
        collect(bed, &out);
    }
}

void bed_pass(struct bed *bed, uint64_t us)
{
    bed->now_us += us;
    bed_turn(bed);
}

void bed_settle(struct bed *bed)
{
    do {
        bed_turn(bed);
        while (bed_store_write(bed) != 0) {
        }
        while (bed->fetches_count > 0) {
            bed_fetch_done(bed);
        }
        if (bed->flush != NULL) {
            bed_flush_done(bed);
        }
    } while (!list_empty(&bed->writes) || bed->flush != NULL || bed->fetches_count > 0);
}

/* Calls. */

static int write_call(struct bed *bed, struct replica_write_args args, struct buf *request)
{
    args.request = buf_bytes(request);
    int err = replica_write(bed->replica, &args);
    buf_release(request);
    return err;
}

static int put(struct bed *bed, struct replica_write_args args, const char *key, const char *value)
{
    const struct put_request request = {.key = bytes_str(key), .value = bytes_str(value)};
    struct buf buf;
    buf_init(&buf, 1 << 20);
    int err = wire_put_request_encode(&request, &buf);
    ASSERT(err == OK);
    args.tag = TAG_PUT;
    return write_call(bed, args, &buf);
}

int bed_put(struct bed *bed, uint64_t call, const char *key, const char *value)
{
    return put(bed, (struct replica_write_args){.call = call, .deadline_us = UINT64_MAX}, key,
               value);
}

int bed_put_until(struct bed *bed, uint64_t call, const char *key, uint64_t deadline_us)
{
    return put(bed, (struct replica_write_args){.call = call, .deadline_us = deadline_us}, key,
               "v");
}

int bed_put_session(struct bed *bed, uint64_t call, const char *key, uint64_t session,
                    uint64_t sequence)
{
    return put(bed,
               (struct replica_write_args){.call = call,
                                           .deadline_us = UINT64_MAX,
                                           .session = session,
                                           .sequence = sequence},
               key, "v");
}

int bed_swap(struct bed *bed, uint64_t call, const char *key, const char *expected,
             const char *value)
{
    const struct compare compare = {.result = COMPARE_EQUAL,
                                    .target = COMPARE_VALUE,
                                    .key = bytes_str(key),
                                    .value = bytes_str(expected)};
    const struct txn_op op = {.kind = OP_PUT,
                              .put = {.key = bytes_str(key), .value = bytes_str(value)}};
    const struct txn_request txn = {.compares = &compare,
                                    .compares_count = 1,
                                    .success = &op,
                                    .success_count = 1};
    struct buf buf;
    buf_init(&buf, 1 << 20);
    int err = wire_txn_request_encode(&txn, &buf);
    ASSERT(err == OK);
    return write_call(
        bed, (struct replica_write_args){.call = call, .deadline_us = UINT64_MAX, .tag = TAG_TXN},
        &buf);
}

int bed_compact(struct bed *bed, uint64_t call, int64_t revision, bool physical)
{
    const struct compact_request request = {.revision = revision, .physical = physical};
    struct buf buf;
    buf_init(&buf, 1 << 20);
    int err = wire_compact_request_encode(&request, &buf);
    ASSERT(err == OK);
    return write_call(bed,
                      (struct replica_write_args){.call = call,
                                                  .deadline_us = UINT64_MAX,
                                                  .tag = TAG_COMPACT},
                      &buf);
}

int bed_get(struct bed *bed, uint64_t call, const char *key, bool serializable)
{
    const struct range_request request = {.key = bytes_str(key)};
    struct buf buf;
    buf_init(&buf, 1 << 20);
    int err = wire_range_request_encode(&request, &buf);
    ASSERT(err == OK);
    const struct replica_read_args args = {.call = call,
                                           .deadline_us = bed->now_us + 60000000,
                                           .kind = OP_RANGE,
                                           .serializable = serializable,
                                           .request = buf_bytes(&buf)};
    err = replica_read(bed->replica, &args);
    buf_release(&buf);
    return err;
}

/* The engine. */

static void act_commit(struct bed_engine *e, void *ctx)
{
    struct log *log = e->engine.log;
    const struct entry entry = {.index = log_last(log) + 1, .epoch = e->epoch, .value = ctx};
    int err = log_append(log, &entry);
    ASSERT(err == OK);
    engine_write_entry(&e->engine, &entry);
    log_commit_to(log, entry.index);
    engine_write_hard(&e->engine, &(struct hard_state){.epoch = 1, .commit = entry.index});
}

void bed_commit(struct bed *bed, struct value *value)
{
    ASSERT(bed->engine->act == NULL);
    bed->engine->act = act_commit;
    bed->engine->act_ctx = value;
    bed_turn(bed);
}

void bed_commit_next(struct bed *bed)
{
    struct bed_engine *e = bed->engine;
    ASSERT(e->committed < e->proposed_count);
    bed_commit(bed, e->proposed[e->committed++]);
}

struct send {
    uint32_t to;
    uint64_t ctx;
    bool now;
    bool write;
};

static void act_send(struct bed_engine *e, void *ctx)
{
    const struct send *s = ctx;
    struct message *m = message_new(MSG_RAFT_ALIVE, s->to);
    m->ctx = s->ctx;
    if (s->write) {
        struct value *noop = value_new_noop();
        const struct entry entry = {.index = log_last(e->engine.log) + 1,
                                    .epoch = e->epoch,
                                    .value = noop};
        int err = log_append(e->engine.log, &entry);
        ASSERT(err == OK);
        engine_write_entry(&e->engine, &entry);
        value_unref(noop);
    }
    if (s->now) {
        engine_send_now(&e->engine, m);
    } else {
        engine_send_after_write(&e->engine, m);
    }
}

void bed_engine_send(struct bed *bed, uint32_t to, uint64_t ctx, bool now, bool write)
{
    struct send s = {.to = to, .ctx = ctx, .now = now, .write = write};
    bed->engine->act = act_send;
    bed->engine->act_ctx = &s;
    bed_turn(bed);
}

static void act_read_done(struct bed_engine *e, void *ctx)
{
    engine_read_done(&e->engine, *(struct read_state *) ctx);
}

void bed_read_done(struct bed *bed, struct read_state state)
{
    bed->engine->act = act_read_done;
    bed->engine->act_ctx = &state;
    bed_turn(bed);
}

/* Disk. */

uint64_t bed_store_write(struct bed *bed)
{
    struct list_node *node = list_pop_front(&bed->writes);
    if (node == NULL) {
        return 0;
    }
    struct log_write *w = list_entry(node, struct log_write, node);
    const struct log_write *one = w;
    int err = logstore_write(bed->log, &one, 1);
    ASSERT(err == OK);
    uint64_t id = w->id;
    replica_log_stored(bed->replica, id);
    log_write_free(w);
    bed_turn(bed);
    return id;
}

void bed_flush_done(struct bed *bed)
{
    struct store_batch *batch = store_batch_new();
    ASSERT(bed->flush != NULL);
    mvcc_flush_fill(bed->flush, batch);
    int err = store_write(bed->state, batch, true);
    ASSERT(err == OK);
    store_batch_free(batch);
    struct mvcc_flush *flush = bed->flush;
    bed->flush = NULL;
    replica_state_flushed(bed->replica, flush, OK);
    bed_turn(bed);
}

void bed_fetch_done(struct bed *bed)
{
    ASSERT(bed->fetches_count > 0);
    uint64_t id = bed->fetch_ids[0];
    uint32_t count = bed->fetch_counts[0];
    struct revision *revisions = bed->fetch_revisions[0];
    bed->fetches_count--;
    for (uint32_t i = 0; i < bed->fetches_count; i++) {
        bed->fetch_ids[i] = bed->fetch_ids[i + 1];
        bed->fetch_counts[i] = bed->fetch_counts[i + 1];
        bed->fetch_revisions[i] = bed->fetch_revisions[i + 1];
    }
    struct blob **rows = xcalloc(count, sizeof *rows);
    struct buf row;
    buf_init(&row, 1 << 20);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t key[MVCC_ROW_KEY_SIZE];
        mvcc_row_key(revisions[i], key);
        int err = store_get(bed->state, bytes_of(key, sizeof key), &row);
        ASSERT(err == OK);
        rows[i] = blob_copy(buf_bytes(&row));
    }
    int err = replica_rows_fetched(bed->replica, id, rows, count);
    ASSERT(err == OK);
    for (uint32_t i = 0; i < count; i++) {
        blob_unref(rows[i]);
    }
    free(rows);
    free(revisions);
    buf_release(&row);
    bed_turn(bed);
}

void bed_trim_done(struct bed *bed)
{
    ASSERT(bed->trim.index != 0);
    int err = logstore_trim(bed->log, bed->trim);
    ASSERT(err == OK);
    struct log_pos pos = bed->trim;
    bed->trim = (struct log_pos){0};
    replica_log_trimmed(bed->replica, pos);
    bed_turn(bed);
}

int bed_load_done(struct bed *bed)
{
    struct entry_list entries = {0};
    ASSERT(bed->loads_count > 0);
    struct load load = bed->loads[0];
    bed->loads_count--;
    memmove(bed->loads, bed->loads + 1, bed->loads_count * sizeof(bed->loads[0]));
    int err = logstore_read(bed->log, load.first, load.last, load.bytes_max, &entries);
    err = replica_log_loaded(bed->replica, load.id, err, &entries);
    ASSERT(entries.count == 0); /* emptied */
    if (err == OK) {
        bed_turn(bed);
    }
    return err;
}

/* Messages and answers. */

struct message *bed_message(const struct bed *bed, enum message_type type, uint32_t from)
{
    struct message *m = message_new(type, BED_SELF);
    m->from = from;
    m->engine = engine_number(bed->options.engine);
    return m;
}

int bed_receive_take(struct bed *bed, struct message *m)
{
    const struct envelope envelope = {.cluster_id = BED_CLUSTER, .from_incarnation = 1};
    int err = replica_receive(bed->replica, m, &envelope);
    message_free(m);
    return err;
}

const struct bed_reply *bed_reply(const struct bed *bed, uint64_t call)
{
    for (uint32_t i = 0; i < bed->replies_count; i++) {
        if (bed->replies[i].call == call) {
            return &bed->replies[i];
        }
    }
    return NULL;
}

struct message *bed_sent(struct bed *bed, enum message_type type)
{
    LIST_FOR_EACH(&bed->messages, node) {
        struct message *m = list_entry(node, struct message, node);
        if (m->type == type) {
            list_remove(node);
            return m;
        }
    }
    return NULL;
}

void bed_forget_sent(struct bed *bed)
{
    message_list_free(&bed->messages);
}

struct replica_status bed_status(const struct bed *bed)
{
    struct replica_status status;
    replica_status(bed->replica, &status);
    return status;
}

/*
 * cluster_sim_node.c - a simulated node: replica, two disks, and the network between nodes.
 *
 * The pump of kv/server.c without threads: every job of a disk is an event at the time when it is
 * done. Messages travel as the bytes of proto/wire_peer.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/support/cluster_sim_internal.h"

enum { TAKES_MAX = 4, TURN_US = 20 };

void sim_event_release(struct sim_event *event)
{
    if (event->kind == EVENT_MESSAGE) {
        blob_unref(event->object);
    } else {
        free(event->object);
    }
    event->object = NULL;
}

void sim_node_init(struct cluster_sim *sim, uint32_t id)
{
    struct sim_node *n = &sim->nodes[id];
    n->id = id;
    n->disk = memory_disk_new();
    n->slowness = 1;
    list_init(&n->log_queue);
    list_init(&n->log_group);
}

void sim_node_release(struct sim_node *n)
{
    memory_disk_free(n->disk);
    free(n->image.epochs);
    free(n->image.promises);
}

/* The image of what is durable. */

static void image_reserve(struct sim_image *image, uint64_t index)
{
    if (index < image->size) {
        return;
    }
    uint64_t size = u64_max(1024, 2 * index);
    image->epochs = xrealloc(image->epochs, size * sizeof(*image->epochs));
    image->promises = xrealloc(image->promises, size * sizeof(*image->promises));
    for (uint64_t i = image->size; i < size; i++) {
        image->epochs[i] = 0;
        image->promises[i] = 0;
    }
    image->size = size;
}

static uint64_t image_epoch(const struct sim_image *image, uint64_t index)
{
    return index < image->size ? image->epochs[index] : 0;
}

static void image_write(struct sim_image *image, const struct log_write *w)
{
    for (uint64_t i = w->truncate_from; i != 0 && i < image->size; i++) {
        image->epochs[i] = 0;
        image->contiguous = u64_min(image->contiguous, i - 1);
    }
    for (uint32_t i = 0; i < w->entries_count; i++) {
        image_reserve(image, w->entries[i].index);
        image->epochs[w->entries[i].index] = w->entries[i].epoch;
    }
    for (uint32_t i = 0; i < w->promises_count; i++) {
        image_reserve(image, w->promises[i].index);
        image->promises[w->promises[i].index] = w->promises[i].ballot;
    }
    if (w->hard_set) {
        image->hard = w->hard;
    }
    while (image_epoch(image, image->contiguous + 1) != 0) {
        image->contiguous++;
    }
}

/* R6, P14: is what this message promises true of the disk? */
static void check_send(struct cluster_sim *sim, const struct sim_node *n, const struct message *m)
{
    struct replica_status status;
    bool good = true;
    if (m->reject) {
        return;
    }
    replica_status(n->replica, &status);
    uint64_t commit = status.consensus.commit;
    uint64_t slot = m->pos.index;
    switch (m->type) {
    case MSG_RAFT_VOTE_REPLY:
        good = n->image.hard.epoch > m->epoch ||
               (n->image.hard.epoch == m->epoch && n->image.hard.vote == m->to);
        break;
    case MSG_RAFT_APPEND_REPLY:
    case MSG_RAFT_HEARTBEAT_REPLY:
        good = m->last <= n->image.contiguous;
        break;
    case MSG_PAXOS_PROMISE:
        good = slot <= commit || n->image.hard.epoch >= m->epoch;
        if (sim->options.engine == engine_by_id(ENGINE_PAXOS)) {
            good = slot <= commit || image_epoch(&n->image, slot) >= m->epoch ||
                   (slot < n->image.size && n->image.promises[slot] >= m->epoch);
        }
        break;
    case MSG_PAXOS_ACCEPTED:
        for (uint64_t i = slot; i <= m->last && good; i++) {
            good = i <= commit || image_epoch(&n->image, i) >= m->epoch;
        }
        break;
    default:
        break;
    }
    if (!good) {
        sim_fail(sim,
                 "R6: node %u sent %s (epoch %llu, index %llu, last %llu) before it is durable",
                 n->id, message_name(m->type), (unsigned long long) m->epoch,
                 (unsigned long long) slot, (unsigned long long) m->last);
    }
}

/* Network. */

static struct blob *encode(const struct message *m, const struct envelope *envelope)
{
    struct buf head;
    buf_init(&head, SIZE_MAX / 4);
    int err = wire_peer_encode(m, envelope, &head);
    ASSERT(err == OK);
    struct blob *body = blob_new(head.size + m->bytes);
    memcpy(body->data, head.data, head.size);
    size_t at = head.size;
    for (uint32_t i = 0; i < m->entries_count; i++) {
        struct bytes bytes = m->entries[i].value->bytes;
        if (bytes.size > 0) {
            memcpy(body->data + at, bytes.data, bytes.size);
        }
        at += bytes.size;
    }
    ASSERT(at == body->size);
    buf_release(&head);
    return body;
}

static void deliver_later(struct cluster_sim *sim, uint32_t to, struct blob *body)
{
    sim_push(sim, (struct sim_event){.time_us = sim->now_us + sim_draw(sim, sim->options.delay),
                                     .kind = EVENT_MESSAGE,
                                     .node = to,
                                     .object = blob_ref(body)});
}

static void post(struct cluster_sim *sim, struct sim_node *n, struct message *m)
{
    check_send(sim, n, m);
    sim->counts.messages++;
    const struct envelope envelope = replica_envelope(n->replica, m->to);
    struct blob *body = encode(m, &envelope);
    if (sim->cuts[n->id][m->to] || rng_chance(&sim->rng, sim->loss_permille, 1000)) {
        sim->counts.lost++;
    } else {
        deliver_later(sim, m->to, body);
        if (rng_chance(&sim->rng, sim->options.duplicate_permille, 1000)) {
            sim->counts.duplicated++;
            deliver_later(sim, m->to, body);
        }
    }
    blob_unref(body);
    message_free(m);
}

static void arrive(struct cluster_sim *sim, struct sim_node *n, struct blob *body)
{
    struct message *m = NULL;
    struct envelope envelope;
    arena_reset(&sim->arena);
    int err = wire_peer_decode(body, &sim->arena, &m, &envelope);
    if (err != OK) {
        sim_fail(sim, "a message to node %u does not decode: %s", n->id, err_name(err));
        return;
    }
    sim_node_enter(sim, n);
    err = replica_receive(n->replica, m, &envelope);
    message_free(m);
    if (err != OK) {
        sim_fail(sim, "node %u stopped on a message: %s", n->id, err_name(err));
        return;
    }
    sim_node_leave(sim, n);
}

/* Disks. */

static void log_start(struct cluster_sim *sim, struct sim_node *n)
{
    if (!list_empty(&n->log_group) || list_empty(&n->log_queue)) {
        return;
    }
    struct list_node *node;
    while ((node = list_first(&n->log_queue)) != NULL) {
        bool trim = list_entry(node, struct sim_job, node)->write == NULL;
        if (trim && !list_empty(&n->log_group)) {
            break;
        }
        list_remove(node);
        list_push_back(&n->log_group, node);
        if (trim) {
            break;
        }
    }
    uint64_t us = sim_draw(sim, sim->options.log_disk) * n->slowness;
    sim_push(sim, (struct sim_event){.time_us = sim->now_us + us,
                                     .kind = EVENT_LOG,
                                     .node = n->id,
                                     .life = n->life});
}

static void log_enqueue(struct sim_node *n, struct log_write *write, struct log_pos trim)
{
    struct sim_job *job = xcalloc(1, sizeof *job);
    job->write = write;
    job->trim = trim;
    list_push_back(&n->log_queue, &job->node);
}

/* Makes the group under way durable. */
static void log_perform(struct cluster_sim *sim, struct sim_node *n)
{
    int err = OK;
    LIST_FOR_EACH(&n->log_group, node) {
        struct sim_job *job = list_entry(node, struct sim_job, node);
        if (job->write == NULL) {
            sim->counts.trims++;
            err = logstore_trim(n->log, job->trim);
        } else {
            const struct log_write *w = job->write;
            err = logstore_write(n->log, &w, 1);
            image_write(&n->image, w);
        }
        if (err != OK) {
            sim_fail(sim, "node %u: log write: %s", n->id, err_name(err));
        }
    }
}

static void jobs_free(struct list *jobs)
{
    struct list_node *node;
    while ((node = list_pop_front(jobs)) != NULL) {
        struct sim_job *job = list_entry(node, struct sim_job, node);
        log_write_free(job->write);
        free(job);
    }
}

static void log_done(struct cluster_sim *sim, struct sim_node *n)
{
    log_perform(sim, n);
    sim_node_enter(sim, n);
    LIST_FOR_EACH(&n->log_group, node) {
        struct sim_job *job = list_entry(node, struct sim_job, node);
        if (job->write != NULL) {
            replica_log_stored(n->replica, job->write->id);
        } else {
            replica_log_trimmed(n->replica, job->trim);
        }
    }
    jobs_free(&n->log_group);
    sim_node_leave(sim, n);
    log_start(sim, n);
}

static void state_perform(struct cluster_sim *sim, struct sim_node *n)
{
    struct store_batch *batch = store_batch_new();
    mvcc_flush_fill(n->flush, batch);
    int err = store_write(n->state, batch, true);
    if (err != OK) {
        sim_fail(sim, "node %u: state write: %s", n->id, err_name(err));
    }
    store_batch_free(batch);
}

static void state_done(struct cluster_sim *sim, struct sim_node *n)
{
    state_perform(sim, n);
    struct mvcc_flush *flush = n->flush;
    n->flush = NULL;
    sim->counts.flushes++;
    sim_node_enter(sim, n);
    replica_state_flushed(n->replica, flush, OK);
    sim_node_leave(sim, n);
}

static void load_done(struct cluster_sim *sim, struct sim_node *n, const struct load *load)
{
    struct entry_list entries = {0};
    int err = logstore_read(n->log, load->first, load->last, load->bytes_max, &entries);
    sim->counts.loads++;
    sim_node_enter(sim, n);
    err = replica_log_loaded(n->replica, load->id, err, &entries);
    if (err != OK) {
        sim_fail(sim, "node %u: load: %s", n->id, err_name(err));
        return;
    }
    sim_node_leave(sim, n);
}

static void fetch_done(struct cluster_sim *sim, struct sim_node *n, const struct sim_fetch *f)
{
    struct blob **rows = xcalloc(f->count, sizeof *rows);
    struct buf row;
    buf_init(&row, SIZE_MAX / 4);
    for (uint32_t i = 0; i < f->count; i++) {
        uint8_t key[MVCC_ROW_KEY_SIZE];
        mvcc_row_key(f->revisions[i], key);
        if (store_get(n->state, bytes_of(key, sizeof key), &row) == OK) {
            rows[i] = blob_copy(buf_bytes(&row));
        }
    }
    buf_release(&row);
    sim->counts.fetches++;
    sim_node_enter(sim, n);
    int err = replica_rows_fetched(n->replica, f->id, rows, f->count);
    for (uint32_t i = 0; i < f->count; i++) {
        blob_unref(rows[i]);
    }
    free(rows);
    if (err != OK) {
        sim_fail(sim, "node %u: fetch: %s", n->id, err_name(err));
        return;
    }
    sim_node_leave(sim, n);
}

/* The turn. */

static void push_read(struct cluster_sim *sim, struct sim_node *n, uint32_t kind, void *object)
{
    uint64_t us = sim_draw(sim, sim->options.reads) * n->slowness;
    sim_push(sim, (struct sim_event){.time_us = sim->now_us + us,
                                     .kind = kind,
                                     .node = n->id,
                                     .life = n->life,
                                     .object = object});
}

static void carry_out(struct cluster_sim *sim, struct sim_node *n, struct replica_output *out)
{
    struct list_node *node;
    while ((node = list_pop_front(&out->writes)) != NULL) {
        log_enqueue(n, list_entry(node, struct log_write, node), (struct log_pos){0});
    }
    if (out->trim.index != 0) {
        log_enqueue(n, NULL, out->trim);
    }
    log_start(sim, n);
    if (out->flush != NULL) {
        ASSERT(n->flush == NULL);
        n->flush = out->flush;
        uint64_t us = sim_draw(sim, sim->options.state_disk) * n->slowness;
        sim_push(sim, (struct sim_event){.time_us = sim->now_us + us,
                                         .kind = EVENT_STATE,
                                         .node = n->id,
                                         .life = n->life});
    }
    for (uint32_t i = 0; i < out->loads_count; i++) {
        push_read(sim, n, EVENT_LOAD, xmemdup(&out->loads[i], sizeof out->loads[i]));
    }
    for (uint32_t i = 0; i < out->fetches_count; i++) {
        const struct replica_fetch *fetch = &out->fetches[i];
        size_t size = fetch->count * sizeof(*fetch->revisions);
        struct sim_fetch *f = xmalloc(sizeof *f + size);
        f->id = fetch->id;
        f->count = fetch->count;
        memcpy(f->revisions, fetch->revisions, size);
        push_read(sim, n, EVENT_FETCH, f);
    }
    for (uint32_t i = 0; i < out->replies_count; i++) {
        sim_client_reply(sim, &out->replies[i]);
    }
    while ((node = list_pop_front(&out->messages)) != NULL) {
        post(sim, n, list_entry(node, struct message, node));
    }
}

void sim_node_enter(struct cluster_sim *sim, struct sim_node *n)
{
    replica_tick(n->replica, sim->now_us);
}

void sim_node_leave(struct cluster_sim *sim, struct sim_node *n)
{
    for (uint32_t i = 0; i < TAKES_MAX && (i == 0 || replica_has_output(n->replica)); i++) {
        struct replica_output out;
        int err = replica_take(n->replica, &out);
        if (err != OK) {
            sim_fail(sim, "node %u stopped: %s", n->id, err_name(err));
            return;
        }
        carry_out(sim, n, &out);
    }
    uint64_t at = u64_max(replica_deadline(n->replica), sim->now_us + 1);
    if (replica_busy(n->replica) || replica_has_output(n->replica)) {
        at = sim->now_us + TURN_US;
    }
    if (at != UINT64_MAX && (n->wake_us <= sim->now_us || at < n->wake_us)) {
        n->wake_us = at;
        sim_push(sim, (struct sim_event){
                          .time_us = at, .kind = EVENT_WAKE, .node = n->id, .life = n->life});
    }
}

void sim_node_event(struct cluster_sim *sim, struct sim_event *event)
{
    struct sim_node *n = &sim->nodes[event->node];
    if (n->replica == NULL || (event->life != 0 && event->life != n->life)) {
        return;
    }
    switch (event->kind) {
    case EVENT_WAKE:
        if (event->time_us == n->wake_us) {
            sim_node_enter(sim, n);
            sim_node_leave(sim, n);
        }
        break;
    case EVENT_MESSAGE:
        arrive(sim, n, event->object);
        break;
    case EVENT_LOG:
        log_done(sim, n);
        break;
    case EVENT_STATE:
        state_done(sim, n);
        break;
    case EVENT_LOAD:
        load_done(sim, n, event->object);
        break;
    case EVENT_FETCH:
        fetch_done(sim, n, event->object);
        break;
    default:
        UNREACHABLE();
    }
}

/* Start and stop. */

static int open_stores(struct cluster_sim *sim, struct sim_node *n, struct buf *error)
{
    struct identity identity = {.cluster_id = sim->options.replica.cluster_id,
                                .node = n->id,
                                .engine = engine_number(sim->options.engine),
                                .members_count = sim->options.nodes};
    for (uint32_t i = 0; i < sim->options.nodes; i++) {
        identity.members[i] = i + 1;
    }
    const struct store_options state = {.create = !n->created, .device = n->disk};
    const struct logstore_options log = {.create = n->created ? NULL : &identity,
                                         .device = n->disk};
    int err = store_open(store_by_name("memory"), "state", &state, &n->state, error);
    if (err == OK) {
        err = logstore_open(logstore_by_name("memory"), "log", &log, &n->log, error);
    }
    n->created = true;
    return err;
}

static int restore_state(struct cluster_sim *sim, struct sim_node *n, struct mvcc *mvcc)
{
    struct store_iter *it = NULL;
    (void) sim;
    int err = store_iter_new(n->state, true, &it);
    if (err != OK) {
        return err;
    }
    for (store_iter_seek(it, (struct bytes){0}); store_iter_valid(it); store_iter_next(it)) {
        err = mvcc_restore_row(mvcc, store_iter_key(it), store_iter_value(it));
        if (err != OK) {
            goto out;
        }
    }
    err = store_iter_error(it);
    if (err == OK) {
        err = mvcc_restore_done(mvcc);
    }
out:
    store_iter_free(it);
    return err;
}

static int make_replica(struct cluster_sim *sim, struct sim_node *n, struct mvcc *mvcc,
                        struct buf *error)
{
    struct replica_options options = sim->options.replica;
    struct logstore_recovery recovery = {0};
    uint32_t ids[CLUSTER_SIM_NODES_MAX];
    for (uint32_t i = 0; i < sim->options.nodes; i++) {
        ids[i] = i + 1;
    }
    int err = logstore_recover(n->log, u64_max(mvcc_applied(mvcc), 1), &recovery, error);
    if (err != OK) {
        return err;
    }
    options.engine = sim->options.engine;
    options.incarnation = n->life;
    options.consensus.self = n->id;
    options.consensus.seed = rng_u64(&sim->rng);
    options.consensus.trace = sim_sink(sim);
    err = membership_init(&options.consensus.members, ids, sim->options.nodes);
    if (err == OK) {
        err = replica_new(&options, &recovery, mvcc, &n->replica);
    }
    logstore_recovery_release(&recovery);
    return err;
}

/* Connections come up where no cut is: each side learns the other's life. */
static void greet(struct cluster_sim *sim, struct sim_node *n)
{
    for (uint32_t i = 1; i <= sim->options.nodes; i++) {
        struct sim_node *other = &sim->nodes[i];
        bool cut = sim->cuts[n->id][i] || sim->cuts[i][n->id];
        if (i != n->id && other->replica != NULL && !cut) {
            replica_peer_up(n->replica, i, other->life);
            replica_peer_up(other->replica, n->id, n->life);
        }
    }
}

void sim_node_start(struct cluster_sim *sim, struct sim_node *n)
{
    struct mvcc *mvcc = mvcc_new(&sim->options.replica.mvcc);
    struct buf error;
    buf_init(&error, 1024);
    int err = open_stores(sim, n, &error);
    if (err == OK) {
        err = logstore_bump_incarnation(n->log, &n->life);
    }
    if (err == OK) {
        err = restore_state(sim, n, mvcc);
    }
    if (err == OK) {
        err = make_replica(sim, n, mvcc, &error);
    }
    if (err != OK) {
        sim_fail(sim, "node %u does not start: %s %.*s", n->id, err_name(err), (int) error.size,
                 error.size == 0 ? "" : (const char *) error.data);
        mvcc_free(mvcc);
    } else {
        n->wake_us = 0;
        greet(sim, n);
        sim_node_enter(sim, n);
        sim_node_leave(sim, n);
    }
    buf_release(&error);
}

void sim_node_stop(struct cluster_sim *sim, struct sim_node *n)
{
    if (!list_empty(&n->log_group) && rng_chance(&sim->rng, 1, 2)) {
        log_perform(sim, n);
    }
    if (n->flush != NULL) {
        if (rng_chance(&sim->rng, 1, 2)) {
            state_perform(sim, n);
        }
        replica_state_flushed(n->replica, n->flush, ERR_IO); /* frees it */
        n->flush = NULL;
    }
    jobs_free(&n->log_group);
    jobs_free(&n->log_queue);
    replica_free(n->replica);
    n->replica = NULL;
    memory_disk_crash(n->disk);
    logstore_close(n->log);
    store_close(n->state);
    n->log = NULL;
    n->state = NULL;
}

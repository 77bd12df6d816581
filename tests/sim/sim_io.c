/*
 * sim_io.c - disk jobs of a simulated node: each is an event at the time when it is done.
 *
 * As the workers of kv/server_disk.c: the log writer makes all that is queued durable with one
 * batch, the state writer has one flush at a time, reads are answered when they are done. What a
 * crash finds under way reaches the disk whole, in part, or not at all, and nobody is told.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/sim/sim_internal.h"

enum { LOAD_BYTES_MAX = 16 * 1024 * 1024, GROUP_MAX = 512 };

static struct sim_disk_counts counts_of(const struct node *n)
{
    struct sim_disk_counts counts;
    sim_disk_counts(n->disk, &counts);
    return counts;
}

/* When a job that begins now is done. */
static uint64_t done_at(struct sim *sim, struct node *n, struct sim_span span)
{
    uint64_t begin = u64_max(sim->now_us, n->hung_until_us);
    return begin + rng_between(&n->rng, span.min, span.max) * n->factor;
}

/* The log's writes and the state's are synced; trims and reads are not. */
static bool syncs(const struct node *n, uint32_t kind)
{
    struct list_node *first = list_first(&n->log_group);
    return kind == EVENT_STATE ||
           (kind == EVENT_LOG && list_entry(first, struct job, node)->write != NULL);
}

static void push(struct sim *sim, struct node *n, uint32_t kind, struct sim_span span, void *object)
{
    sim_push(sim,
             (struct event){.time_us = done_at(sim, n, span) + (syncs(n, kind) ? n->delay_us : 0),
                            .kind = kind,
                            .node = n->id,
                            .life = n->life,
                            .object = object});
}

/* The log. */

static void enqueue(struct node *n, struct log_write *write, struct log_pos trim)
{
    struct job *job = xcalloc(1, sizeof *job);
    job->write = write;
    job->trim = trim;
    list_push_back(&n->log_queue, &job->node);
}

void sim_io_write(struct node *n, struct log_write *write)
{
    enqueue(n, write, (struct log_pos){0});
}

void sim_io_trim(struct node *n, struct log_pos pos)
{
    enqueue(n, NULL, pos);
}

/* A trim goes alone, writes mostly together: what was queued when the writer looked. */
void sim_io_start(struct sim *sim, struct node *n)
{
    struct list_node *node;
    uint32_t count = 0;
    uint32_t most = rng_chance(&n->rng, 1, 4) ? 1 : GROUP_MAX;
    if (!list_empty(&n->log_group) || list_empty(&n->log_queue)) {
        return;
    }
    while ((node = list_first(&n->log_queue)) != NULL && count < most) {
        bool trim = list_entry(node, struct job, node)->write == NULL;
        if (trim && count > 0) {
            break;
        }
        list_remove(node);
        list_push_back(&n->log_group, node);
        count++;
        if (trim) {
            break;
        }
    }
    push(sim, n, EVENT_LOG, sim->scenario->log_disk, NULL);
}

static void jobs_free(struct list *jobs)
{
    struct list_node *node;
    while ((node = list_pop_front(jobs)) != NULL) {
        struct job *job = list_entry(node, struct job, node);
        log_write_free(job->write);
        free(job);
    }
}

static int log_perform(struct node *n)
{
    const struct log_write *writes[GROUP_MAX];
    struct job *first = list_entry(list_first(&n->log_group), struct job, node);
    uint32_t count = 0;
    if (first->write == NULL) {
        return logstore_trim(n->log, first->trim);
    }
    LIST_FOR_EACH(&n->log_group, node) {
        writes[count++] = list_entry(node, struct job, node)->write;
    }
    return logstore_write(n->log, writes, count);
}

/* D6: a call of the disk failed, so the store must have said so. */
static int failed_call(struct sim *sim, struct node *n, const struct sim_disk_counts *before,
                       int err)
{
    struct sim_disk_counts after = counts_of(n);
    uint64_t writes = after.failed_writes - before->failed_writes;
    uint64_t full = after.no_space_writes - before->no_space_writes;
    uint64_t syncs = after.failed_syncs - before->failed_syncs;
    sim->result->counts[COUNT_EIO_WRITES] += writes - full;
    sim->result->counts[COUNT_EIO_SYNCS] += syncs;
    sim->result->counts[COUNT_ENOSPC] += full;
    if (writes + syncs > 0 && err == OK) {
        sim_fail(sim, "D6", "node %u: a call of the disk failed and the store reports success",
                 n->id);
    }
    return err;
}

static void log_done(struct sim *sim, struct node *n)
{
    struct sim_disk_counts before = counts_of(n);
    sim_disk_lie(n->disk, sim->now_us < n->lies_until_us);
    int err = failed_call(sim, n, &before, log_perform(n));
    if (err != OK) {
        sim_node_fatal(sim, n, err, "a log write");
        return;
    }
    if (list_entry(list_first(&n->log_group), struct job, node)->write != NULL) {
        sim_count(sim, COUNT_LOG_SYNCS);
    }
    LIST_FOR_EACH(&n->log_group, node) {
        struct job *job = list_entry(node, struct job, node);
        if (job->write != NULL) {
            observer_synced(sim->observer, n->id, job->write);
        } else {
            observer_trimmed(sim->observer, n->id, job->trim);
            sim_count(sim, COUNT_TRIMS);
        }
    }
    sim_node_enter(sim, n);
    LIST_FOR_EACH(&n->log_group, node) {
        struct job *job = list_entry(node, struct job, node);
        if (job->write != NULL) {
            replica_log_stored(n->replica, job->write->id);
        } else {
            replica_log_trimmed(n->replica, job->trim);
        }
    }
    jobs_free(&n->log_group);
    sim_node_leave(sim, n);
    if (n->replica != NULL) {
        sim_io_start(sim, n);
    }
}

/* The state. */

void sim_io_flush(struct sim *sim, struct node *n, struct mvcc_flush *flush)
{
    ASSERT(n->flush == NULL);
    n->flush = flush;
    push(sim, n, EVENT_STATE, sim->scenario->state_disk, NULL);
}

static int state_perform(struct node *n)
{
    struct store_batch *batch = store_batch_new();
    mvcc_flush_fill(n->flush, batch);
    int err = store_write(n->store, batch, true);
    store_batch_free(batch);
    return err;
}

static void state_done(struct sim *sim, struct node *n)
{
    struct sim_disk_counts before = counts_of(n);
    sim_disk_lie(n->disk, sim->now_us < n->lies_until_us);
    int err = failed_call(sim, n, &before, state_perform(n));
    if (err != OK) {
        sim_node_fatal(sim, n, err, "a state write");
        return;
    }
    struct mvcc_flush *flush = n->flush;
    n->flush = NULL;
    sim_count(sim, COUNT_FLUSHES);
    sim_count(sim, COUNT_STATE_SYNCS);
    sim_node_enter(sim, n);
    replica_state_flushed(n->replica, flush, OK);
    sim_node_leave(sim, n);
}

/* Reads. */

void sim_io_load(struct sim *sim, struct node *n, const struct load *load)
{
    push(sim, n, EVENT_LOAD, sim->scenario->reads, xmemdup(load, sizeof *load));
}

static void load_done(struct sim *sim, struct node *n, const struct load *load)
{
    struct entry_list entries = {0};
    int err = logstore_read(n->log, load->first, load->last,
                            u64_min(load->bytes_max, LOAD_BYTES_MAX), &entries);
    sim_count(sim, COUNT_LOADS);
    if (err_is_fatal(err)) {
        sim_node_fatal(sim, n, err, "a read of the log");
        return;
    }
    sim_node_enter(sim, n);
    err = replica_log_loaded(n->replica, load->id, err, &entries);
    entry_list_release(&entries);
    if (err != OK) {
        sim_node_fatal(sim, n, err, "entries read back");
        return;
    }
    sim_node_leave(sim, n);
}

void sim_io_fetch(struct sim *sim, struct node *n, const struct replica_fetch *fetch)
{
    size_t size = fetch->count * sizeof(*fetch->revisions);
    struct fetch *f = xmalloc(sizeof *f + size);
    f->id = fetch->id;
    f->count = fetch->count;
    memcpy(f->revisions, fetch->revisions, size);
    push(sim, n, EVENT_FETCH, sim->scenario->reads, f);
}

static int fetch_rows(struct node *n, const struct fetch *f, struct blob **rows)
{
    struct buf row;
    int err = OK;
    buf_init(&row, SIZE_MAX / 4);
    for (uint32_t i = 0; i < f->count && err == OK; i++) {
        uint8_t key[MVCC_ROW_KEY_SIZE];
        mvcc_row_key(f->revisions[i], key);
        err = store_get(n->store, bytes_of(key, sizeof key), &row);
        if (err == OK) {
            rows[i] = blob_copy(buf_bytes(&row));
        } else if (err == ERR_NOT_FOUND) {
            err = OK; /* compacted meanwhile; the replica knows what that means */
        }
    }
    buf_release(&row);
    return err;
}

static void fetch_done(struct sim *sim, struct node *n, const struct fetch *f)
{
    struct blob **rows = xcalloc(f->count, sizeof(*rows));
    int err = fetch_rows(n, f, rows);
    sim_count(sim, COUNT_FETCHES);
    if (err != OK) {
        sim_node_fatal(sim, n, err, "a read of the state");
    } else {
        sim_node_enter(sim, n);
        err = replica_rows_fetched(n->replica, f->id, rows, f->count);
    }
    for (uint32_t i = 0; i < f->count; i++) {
        blob_unref(rows[i]);
    }
    free(rows);
    if (n->replica == NULL) {
        return;
    }
    if (err != OK) {
        sim_node_fatal(sim, n, err, "rows read back");
        return;
    }
    sim_node_leave(sim, n);
}

void sim_io_event(struct sim *sim, struct node *n, struct event *event)
{
    if (n->hung_until_us > sim->now_us) {
        event->time_us = n->hung_until_us;
        sim_push(sim, *event);
        event->object = NULL;
        return;
    }
    switch (event->kind) {
    case EVENT_LOG:
        log_done(sim, n);
        break;
    case EVENT_STATE:
        state_done(sim, n);
        break;
    case EVENT_LOAD:
        load_done(sim, n, event->object);
        break;
    default:
        fetch_done(sim, n, event->object);
        break;
    }
}

void sim_io_abandon(struct sim *sim, struct node *n, bool power)
{
    if (power) {
        sim_disk_hold_syncs(n->disk);
    }
    if (!list_empty(&n->log_group) && rng_chance(&sim->fault_rng, 1, 2)) {
        ERR_IGNORE(log_perform(n)); /* nobody is told */
    }
    if (n->flush != NULL) {
        if (rng_chance(&sim->fault_rng, 1, 2)) {
            ERR_IGNORE(state_perform(n));
        }
        replica_state_flushed(n->replica, n->flush, ERR_IO); /* frees it */
        n->flush = NULL;
    }
    jobs_free(&n->log_group);
    jobs_free(&n->log_queue);
}

/*
 * server_disk.c - the three workers of a node: log writer, state writer, reader (design.md 9).
 *
 * The log writer makes everything that is queued durable with one synced batch: group commit. A
 * failed write or read is final: the node stops with the reason (design.md 5, property D6).
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/server_internal.h"

enum {
    LOG_QUEUE_MAX = 1 << 16,
    LOG_QUEUE_BEHIND = 1024, /* from here on nothing more is taken from peers */
    LOG_GROUP_MAX = 512,     /* writes in one synced batch */
    LOG_GROUP_BYTES = 8 * 1024 * 1024,
    STATE_QUEUE_MAX = 4,
    READ_QUEUE_MAX = 1 << 16,
    DISK_SIZE_INTERVAL_US = 1000 * 1000,
    LOAD_BYTES_MAX = 16 * 1024 * 1024,
};

enum job_kind { JOB_WRITE, JOB_TRIM, JOB_FLUSH, JOB_LOAD, JOB_FETCH, JOB_SIZE };

struct disk_job {
    struct job job;
    uint8_t kind; /* enum job_kind */
    int err;
    struct log_write *write;   /* WRITE */
    struct log_pos trim;       /* TRIM */
    struct mvcc_flush *flush;  /* FLUSH */
    struct load load;          /* LOAD */
    struct entry_list entries; /* LOAD */
    uint64_t fetch;            /* FETCH */
    struct revision *revisions;
    struct blob **rows;
    uint32_t rows_count;
    uint64_t size; /* SIZE */
};

static struct disk_job *job_new(enum job_kind kind)
{
    struct disk_job *job = xcalloc(1, sizeof(*job));

    job->kind = (uint8_t) kind;
    return job;
}

static struct disk_job *job_of(struct list_node *node)
{
    return container_of(container_of(node, struct job, node), struct disk_job, job);
}

/* Log writer's thread: the writes from `node` on that go together; returns how many. */
static uint32_t take_group(struct list *jobs, struct list_node *node,
                           const struct log_write *writes[LOG_GROUP_MAX])
{
    uint64_t bytes = 0;
    uint32_t count = 0;

    while (node != NULL && count < LOG_GROUP_MAX && bytes < LOG_GROUP_BYTES) {
        const struct disk_job *job = job_of(node);

        if (job->kind != JOB_WRITE) {
            break;
        }
        writes[count++] = job->write;
        bytes += job->write->bytes;
        node = list_next(jobs, node);
    }
    return count;
}

static void log_run(void *ctx, struct list *jobs)
{
    struct server *s = ctx;
    const struct log_write *writes[LOG_GROUP_MAX];
    struct list_node *node = list_first(jobs);
    int err = OK;

    while (node != NULL) {
        struct disk_job *job = job_of(node);
        uint32_t count = take_group(jobs, node, writes);

        if (err == OK) {
            err = count > 0 ? logstore_write(s->data.log, writes, count)
                            : logstore_trim(s->data.log, job->trim);
        }
        for (uint32_t i = 0; i < (count > 0 ? count : 1); i++) {
            job_of(node)->err = err;
            node = list_next(jobs, node);
        }
    }
}

static void log_done(void *ctx, struct job *base)
{
    struct server *s = ctx;
    struct disk_job *job = container_of(base, struct disk_job, job);

    if (job->err != OK) {
        server_fail(s, job->err,
                    "log database in %s: write failed: %s: %s; nothing after this "
                    "write was acknowledged; mend the disk and start the node again",
                    s->options->data_dir, err_text(job->err), logstore_last_error(s->data.log));
    } else if (job->kind == JOB_WRITE) {
        replica_log_stored(s->replica, job->write->id);
    } else {
        replica_log_trimmed(s->replica, job->trim);
    }
    log_write_free(job->write);
    free(job);
}

static void state_run(void *ctx, struct list *jobs)
{
    struct server *s = ctx;
    struct store_batch *batch = store_batch_new();

    LIST_FOR_EACH(jobs, node) {
        struct disk_job *job = job_of(node);

        store_batch_clear(batch);
        mvcc_flush_fill(job->flush, batch);
        job->err = store_write(s->data.state, batch, true);
    }
    store_batch_free(batch);
}

static void state_done(void *ctx, struct job *base)
{
    struct server *s = ctx;
    struct disk_job *job = container_of(base, struct disk_job, job);

    if (job->err != OK) {
        server_fail(s, job->err,
                    "state database in %s: write failed: %s: %s; nothing is lost, the "
                    "log has it; mend the disk and start the node again",
                    s->options->data_dir, err_text(job->err), store_last_error(s->data.state));
    }
    replica_state_flushed(s->replica, job->flush, job->err);
    free(job);
}

static int fetch_rows(struct server *s, struct disk_job *job)
{
    struct buf row;
    int err = OK;

    buf_init(&row, SIZE_MAX);
    for (uint32_t i = 0; i < job->rows_count && err == OK; i++) {
        uint8_t key[MVCC_ROW_KEY_SIZE];

        mvcc_row_key(job->revisions[i], key);
        err = store_get(s->data.state, bytes_of(key, sizeof(key)), &row);
        if (err == OK) {
            job->rows[i] = blob_copy(buf_bytes(&row));
        } else if (err == ERR_NOT_FOUND) {
            err = OK; /* compacted meanwhile; the replica knows what that means */
        }
    }
    buf_release(&row);
    return err;
}

static void read_run(void *ctx, struct list *jobs)
{
    struct server *s = ctx;

    LIST_FOR_EACH(jobs, node) {
        struct disk_job *job = job_of(node);
        const struct load *load = &job->load;

        switch (job->kind) {
        case JOB_LOAD:
            job->err = logstore_read(s->data.log, load->first, load->last,
                                     u64_min(load->bytes_max, LOAD_BYTES_MAX), &job->entries);
            break;
        case JOB_FETCH:
            job->err = fetch_rows(s, job);
            break;
        default:
            job->size = logstore_disk_size(s->data.log) + store_disk_size(s->data.state);
            break;
        }
    }
}

static void fetch_done(struct server *s, struct disk_job *job)
{
    if (job->err == OK && s->fatal == OK) {
        int err = replica_rows_fetched(s->replica, job->fetch, job->rows, job->rows_count);

        if (err != OK) {
            server_fail(s, err, "state database in %s: a row the index knows is missing: %s",
                        s->options->data_dir, err_text(err));
        }
    }
    for (uint32_t i = 0; i < job->rows_count; i++) {
        blob_unref(job->rows[i]);
    }
    free(job->rows);
    free(job->revisions);
}

static void read_done(void *ctx, struct job *base)
{
    struct server *s = ctx;
    struct disk_job *job = container_of(base, struct disk_job, job);

    if (err_is_fatal(job->err)) {
        bool log = job->kind == JOB_LOAD;

        server_fail(s, job->err,
                    "%s database in %s: read failed: %s: %s; restore this node's "
                    "directory, or remove it and let the node join anew",
                    log ? "log" : "state", s->options->data_dir, err_text(job->err),
                    log ? logstore_last_error(s->data.log) : store_last_error(s->data.state));
    }
    if (job->kind == JOB_FETCH) {
        fetch_done(s, job);
    } else if (job->kind == JOB_LOAD) {
        int err = replica_log_loaded(s->replica, job->load.id, job->err, &job->entries);

        if (err != OK) {
            server_fail(s, err, "log database in %s: entries %llu to %llu: %s",
                        s->options->data_dir, (unsigned long long) job->load.first,
                        (unsigned long long) job->load.last, err_text(err));
        }
        entry_list_release(&job->entries);
    } else {
        s->disk_size = job->size;
        s->disk_size_pending = false;
    }
    free(job);
}

int server_disk_start(struct server *s, struct buf *error)
{
    const struct {
        struct worker **worker;
        struct worker_options options;
    } workers[] = {
        {&s->log_worker, {"synod-log", LOG_QUEUE_MAX, log_run, log_done, s}},
        {&s->state_worker, {"synod-state", STATE_QUEUE_MAX, state_run, state_done, s}},
        {&s->read_worker, {"synod-read", READ_QUEUE_MAX, read_run, read_done, s}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
        int err = worker_new(s->loop, &workers[i].options, workers[i].worker);

        if (err != OK) {
            ERR_IGNORE(buf_printf(error, "cannot start thread %s: raise the limit of threads",
                                  workers[i].options.name));
            return err;
        }
    }
    return OK;
}

void server_disk_stop(struct server *s)
{
    worker_close(s->log_worker);
    worker_close(s->state_worker);
    worker_close(s->read_worker);
    s->log_worker = NULL;
    s->state_worker = NULL;
    s->read_worker = NULL;
}

bool server_disk_behind(const struct server *s)
{
    return worker_pending(s->log_worker) >= LOG_QUEUE_BEHIND;
}

/* Queues that cannot fill by the limits above them: peers are held off, the engine's window and the
 * calls are bounded. */
static void submit(struct server *s, struct worker *w, struct disk_job *job)
{
    int err = worker_submit(w, &job->job);

    if (err != OK) {
        server_fail(s, ERR_IO, "the disk of %s is stuck: a queue of %u jobs is full",
                    s->options->data_dir, worker_pending(w));
        /* Unreachable in practice; the process ends, the job's memory with it. */
    }
}

void server_disk_ask_size(struct server *s, uint64_t now_us)
{
    if (s->disk_size_pending ||
        (s->disk_size_asked_us != 0 && now_us < s->disk_size_asked_us + DISK_SIZE_INTERVAL_US)) {
        return;
    }
    s->disk_size_pending = true;
    s->disk_size_asked_us = now_us;
    submit(s, s->read_worker, job_new(JOB_SIZE));
}

void server_disk_carry_out(struct server *s, struct replica_output *output)
{
    struct disk_job *job;

    while (!list_empty(&output->writes)) {
        job = job_new(JOB_WRITE);
        job->write = container_of(list_pop_front(&output->writes), struct log_write, node);
        submit(s, s->log_worker, job);
    }
    if (output->trim.index != 0) {
        job = job_new(JOB_TRIM);
        job->trim = output->trim;
        submit(s, s->log_worker, job);
    }
    if (output->flush != NULL) {
        job = job_new(JOB_FLUSH);
        job->flush = output->flush;
        submit(s, s->state_worker, job);
    }
    for (uint32_t i = 0; i < output->loads_count; i++) {
        job = job_new(JOB_LOAD);
        job->load = output->loads[i];
        submit(s, s->read_worker, job);
    }
    for (uint32_t i = 0; i < output->fetches_count; i++) {
        const struct replica_fetch *fetch = &output->fetches[i];

        job = job_new(JOB_FETCH);
        job->fetch = fetch->id;
        job->rows_count = fetch->count;
        job->revisions = xmemdup(fetch->revisions, fetch->count * sizeof(*fetch->revisions));
        job->rows = xcalloc(fetch->count, sizeof(*job->rows));
        submit(s, s->read_worker, job);
    }
}

/*
 * worker.h - one thread with one bounded queue each way: what the loop may not wait for.
 *
 * The owner submits jobs on the loop thread; the worker's thread takes everything that is queued at
 * once (that is what makes group commit) and runs it; finished jobs come back to the loop thread in
 * order. Wake-ups coalesce (uv_async), so each side drains its whole queue.
 */
#ifndef SYNOD_KV_WORKER_H
#define SYNOD_KV_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

struct uv_loop_s;
struct worker;

/* First member of every job. */
struct job {
    struct list_node node;
};

struct worker_options {
    const char *name;   /* thread name, at most 15 characters */
    uint32_t queue_max; /* jobs submitted and not yet done */
    /* Worker's thread: run every job of the list (never empty); the list is left as it is. */
    void (*run)(void *ctx, struct list *jobs);
    /* Loop thread: one finished job; it belongs to the callee. */
    void (*done)(void *ctx, struct job *job);
    void *ctx;
};

/* Errors: ERR_IO (no thread). */
MUST_USE int worker_new(struct uv_loop_s *loop, const struct worker_options *options,
                        struct worker **ret_worker);

/* Loop thread. Errors: ERR_LIMIT: queue_max jobs are under way; the job still belongs to the
 * caller. */
MUST_USE int worker_submit(struct worker *w, struct job *job);

/* Jobs submitted and not yet done. */
uint32_t worker_pending(const struct worker *w);

/* Runs what is queued to its end, gives every job to `done`, joins the thread and closes the handle
 * (freed by the loop, which must run once more). NULL is legal. */
void worker_close(struct worker *w);

#endif

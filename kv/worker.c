/*
 * worker.c - see worker.h.
 */
#include "kv/worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"

struct worker {
    struct worker_options options;
    uv_thread_t thread;
    uv_async_t async;
    uv_mutex_t mutex;
    uv_cond_t wake;
    struct list queued;   /* under mutex */
    struct list finished; /* under mutex */
    bool stopping;        /* under mutex */
    uint32_t pending;     /* loop thread */
};

static void worker_main(void *arg)
{
    struct worker *w = arg;
    struct list taken;

    (void) pthread_setname_np(pthread_self(), w->options.name); /* only for people who look at ps */
    for (;;) {
        list_init(&taken);
        uv_mutex_lock(&w->mutex);
        while (list_empty(&w->queued) && !w->stopping) {
            uv_cond_wait(&w->wake, &w->mutex);
        }
        list_splice_back(&taken, &w->queued);
        uv_mutex_unlock(&w->mutex);
        if (list_empty(&taken)) {
            return; /* stopping, and nothing left */
        }
        w->options.run(w->options.ctx, &taken);
        uv_mutex_lock(&w->mutex);
        list_splice_back(&w->finished, &taken);
        uv_mutex_unlock(&w->mutex);
        (void) uv_async_send(&w->async); /* cannot fail on an open handle */
    }
}

/* Gives everything that is finished to the owner. Loop thread. */
static void worker_drain(struct worker *w)
{
    struct list taken;

    list_init(&taken);
    uv_mutex_lock(&w->mutex);
    list_splice_back(&taken, &w->finished);
    uv_mutex_unlock(&w->mutex);
    while (!list_empty(&taken)) {
        struct job *job = container_of(list_pop_front(&taken), struct job, node);

        ASSERT(w->pending > 0);
        w->pending--;
        w->options.done(w->options.ctx, job);
    }
}

static void on_async(uv_async_t *async)
{
    worker_drain(async->data);
}

int worker_new(struct uv_loop_s *loop, const struct worker_options *options,
               struct worker **ret_worker)
{
    struct worker *w = xcalloc(1, sizeof(*w));

    w->options = *options;
    list_init(&w->queued);
    list_init(&w->finished);
    if (uv_mutex_init(&w->mutex) != 0) {
        goto err_free;
    }
    if (uv_cond_init(&w->wake) != 0) {
        goto err_mutex;
    }
    if (uv_async_init(loop, &w->async, on_async) != 0) {
        goto err_cond;
    }
    w->async.data = w;
    if (uv_thread_create(&w->thread, worker_main, w) != 0) {
        goto err_async;
    }
    *ret_worker = w;
    return OK;

err_async:
    /* The handle may only be freed by its close callback; without a thread the rest goes with it.
     */
    w->stopping = true;
    uv_close((uv_handle_t *) &w->async, NULL);
err_cond:
    uv_cond_destroy(&w->wake);
err_mutex:
    uv_mutex_destroy(&w->mutex);
err_free:
    if (!w->stopping) {
        free(w);
    }
    return ERR_IO;
}

int worker_submit(struct worker *w, struct job *job)
{
    ASSERT(!w->stopping);
    if (w->pending >= w->options.queue_max) {
        return ERR_LIMIT;
    }
    w->pending++;
    uv_mutex_lock(&w->mutex);
    list_push_back(&w->queued, &job->node);
    uv_cond_signal(&w->wake);
    uv_mutex_unlock(&w->mutex);
    return OK;
}

uint32_t worker_pending(const struct worker *w)
{
    return w->pending;
}

static void on_close(uv_handle_t *handle)
{
    struct worker *w = handle->data;

    uv_cond_destroy(&w->wake);
    uv_mutex_destroy(&w->mutex);
    free(w);
}

void worker_close(struct worker *w)
{
    if (w == NULL) {
        return;
    }
    uv_mutex_lock(&w->mutex);
    w->stopping = true;
    uv_cond_signal(&w->wake);
    uv_mutex_unlock(&w->mutex);
    (void) uv_thread_join(&w->thread); /* only fails for a thread that was never made */
    worker_drain(w);
    ASSERT(w->pending == 0);
    uv_close((uv_handle_t *) &w->async, on_close);
}

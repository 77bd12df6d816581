/*
 * client_blocking.c - the synchronous wrapper of client.h: a loop of its own, run until done.
 */
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/client.h"

/* One result and what it borrows. */
struct kept {
    struct client_blocking *owner;
    struct client_result result;
    char *text;
};

struct client_blocking {
    uv_loop_t loop;
    uv_timer_t timer;
    struct client *client;
    struct kept *kept;
    uint32_t kept_count;
    uint32_t open;
    bool fired;
};

static void drop_kept(struct client_blocking *b)
{
    for (uint32_t i = 0; i < b->kept_count; i++) {
        free(b->kept[i].text);
        blob_unref(b->kept[i].result.message);
    }
    free(b->kept);
    b->kept = NULL;
    b->kept_count = 0;
}

static void loop_close(struct client_blocking *b)
{
    int err;

    uv_close((uv_handle_t *) &b->timer, NULL);
    ERR_IGNORE(uv_run(&b->loop, UV_RUN_DEFAULT)); /* until all is closed */
    err = uv_loop_close(&b->loop);
    ASSERT(err == 0);
}

int client_blocking_new(const struct client_options *options, struct client_blocking **ret_blocking,
                        struct buf *error)
{
    struct client_blocking *b = xcalloc(1, sizeof(*b));
    int err;

    if (uv_loop_init(&b->loop) != 0) {
        free(b);
        if (error != NULL) {
            /* The text is all that could be lost. */
            ERR_IGNORE(
                buf_printf(error, "cannot make an event loop: raise the limit of open files"));
        }
        return ERR_IO;
    }
    ERR_IGNORE(uv_timer_init(&b->loop, &b->timer)); /* cannot fail */
    b->timer.data = b;
    err = client_new(&b->loop, options, &b->client, error);
    if (err != OK) {
        loop_close(b);
        free(b);
        return err;
    }
    *ret_blocking = b;
    return OK;
}

void client_blocking_free(struct client_blocking *b)
{
    if (b == NULL) {
        return;
    }
    client_close(b->client, NULL, NULL);
    loop_close(b);
    drop_kept(b);
    free(b);
}

static void on_done(void *ctx, const struct client_result *result)
{
    struct kept *k = ctx;

    k->text = xstrdup(result->text);
    k->result = *result;
    k->result.text = k->text;
    blob_ref(k->result.message);
    k->owner->open--;
    if (k->owner->open == 0) {
        uv_stop(&k->owner->loop); /* results come just before the loop would wait for input */
    }
}

void client_blocking_call(struct client_blocking *b, const struct client_request *requests,
                          uint32_t count, struct client_result *ret_results)
{
    drop_kept(b);
    b->kept = xcalloc(count, sizeof(*b->kept));
    b->kept_count = count;
    b->open = count;
    for (uint32_t i = 0; i < count; i++) {
        struct client_request request = requests[i];

        b->kept[i].owner = b;
        request.on_done = on_done;
        request.ctx = &b->kept[i];
        (void) client_call(b->client, &request); /* not canceled: its name is not needed */
    }
    while (b->open > 0) {
        ERR_IGNORE(uv_run(&b->loop, UV_RUN_ONCE)); /* says only whether something is left */
    }
    for (uint32_t i = 0; i < count; i++) {
        ret_results[i] = b->kept[i].result;
    }
}

struct client *client_blocking_client(struct client_blocking *b)
{
    return b->client;
}

static void on_timer(uv_timer_t *timer)
{
    struct client_blocking *b = timer->data;

    b->fired = true;
}

uint64_t client_blocking_wait(struct client_blocking *b, uint64_t ms)
{
    b->fired = false;
    uv_update_time(&b->loop);
    ERR_IGNORE(uv_timer_start(&b->timer, on_timer, ms, 0)); /* fails only when closing */
    while (!b->fired) {
        ERR_IGNORE(uv_run(&b->loop, UV_RUN_ONCE));
    }
    return uv_now(&b->loop);
}

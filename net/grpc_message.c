/*
 * grpc_message.c - length-prefixed messages inside DATA frames, both ways.
 *
 * A message may span frames and a frame may hold many messages (gRPC over HTTP2, "Requests").
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"
#include "net/grpc_impl.h"

#define TEXT_MAX 128

static void message_fail(struct grpc *g, struct grpc_call *call, int status, const char *text)
{
    if (g->server) {
        grpc_server_fail(g, call, status, text);
    } else {
        grpc_client_fail(g, call, status, text);
    }
}

/* Looks at a complete prefix and makes room for the message; false when the call failed. */
static bool message_begin(struct grpc *g, struct grpc_call *call)
{
    uint32_t size = enc_get_be32(call->prefix + 1);
    if (call->prefix[0] == 1) {
        message_fail(g, call, GRPC_UNIMPLEMENTED,
                     "grpc: compressed messages are not supported (identity only)");
        return false;
    }
    if (call->prefix[0] != 0) {
        message_fail(g, call, GRPC_INTERNAL, "grpc: received unexpected payload format");
        return false;
    }
    if (size > g->limits.message_max) {
        char text[TEXT_MAX];
        int n = snprintf(text, sizeof text, "grpc: received message larger than max (%u vs. %u)",
                         size, g->limits.message_max);
        ASSERT(n > 0);
        message_fail(g, call, GRPC_RESOURCE_EXHAUSTED, text);
        return false;
    }
    call->message = blob_new(size);
    call->message_size = 0;
    return true;
}

/* Moves up to `want` bytes of *in to `to`; returns how many. */
static size_t take(uint8_t *to, size_t want, struct bytes *in)
{
    size_t n = want < in->size ? want : in->size;
    if (n > 0) {
        memcpy(to, in->data, n);
        *in = bytes_of(in->data + n, in->size - n);
    }
    return n;
}

void grpc_message_receive(struct grpc *g, struct grpc_call *call, struct bytes in)
{
    while (in.size > 0 && !call->ended && !g->broken) {
        if (call->message == NULL) {
            size_t n = take(call->prefix + call->prefix_size,
                            (size_t) (GRPC_PREFIX_SIZE - call->prefix_size), &in);
            call->prefix_size = (uint8_t) (call->prefix_size + n);
            if (call->prefix_size < GRPC_PREFIX_SIZE) {
                return;
            }
            if (!message_begin(g, call)) {
                return;
            }
        }
        struct blob *message = call->message;
        call->message_size +=
            take(message->data + call->message_size, message->size - call->message_size, &in);
        if (call->message_size < message->size) {
            return;
        }
        call->message = NULL;
        call->prefix_size = 0;
        if (g->callbacks.on_message != NULL) {
            g->callbacks.on_message(g->callbacks.ctx, g, call->id, message);
        }
        blob_unref(message);
    }
}

bool grpc_message_partial(const struct grpc_call *call)
{
    return call->prefix_size > 0;
}

int grpc_message_queue(struct grpc *g, struct grpc_call *call, struct blob *message)
{
    ASSERT(message != NULL);
    ASSERT(message->size <= UINT32_MAX);
    if (g->queued + g->out.size >= g->limits.output_max) {
        return ERR_LIMIT;
    }
    struct grpc_out *out = g->free_outs;
    if (out != NULL) {
        g->free_outs = out->next;
    } else {
        out = xmalloc(sizeof *out);
    }
    out->next = NULL;
    out->blob = blob_ref(message);
    if (call->out_first == NULL) {
        call->out_first = out;
    } else {
        call->out_last->next = out;
    }
    call->out_last = out;
    call->out_size += GRPC_PREFIX_SIZE + message->size;
    g->queued += GRPC_PREFIX_SIZE + message->size;
    return OK;
}

int grpc_message_pack(struct grpc_call *call, size_t max, size_t *ret_size, bool *ret_last)
{
    if (call->out_size == 0 && !call->last) {
        call->deferred = true;
        return ERR_AGAIN;
    }
    size_t size = call->out_size < max ? call->out_size : max;
    *ret_size = size;
    *ret_last = call->last && size == call->out_size;
    return OK;
}

void grpc_message_resume(struct grpc *g, struct grpc_call *call)
{
    if (call->deferred) {
        call->deferred = false;
        grpc_expect(g, nghttp2_session_resume_data(g->session, (int32_t) call->id));
    }
}

static void out_pop(struct grpc *g, struct grpc_call *call)
{
    struct grpc_out *out = call->out_first;
    call->out_first = out->next;
    if (call->out_first == NULL) {
        call->out_last = NULL;
    }
    call->out_offset = 0;
    blob_unref(out->blob);
    out->blob = NULL;
    out->next = g->free_outs;
    g->free_outs = out;
}

int grpc_message_write(struct grpc *g, struct grpc_call *call, size_t size)
{
    ASSERT(size <= call->out_size);
    int err = buf_reserve(&g->out, size);
    if (err != OK) {
        return err;
    }
    uint8_t *to = g->out.data + g->out.size;
    buf_advance(&g->out, size);
    call->out_size -= size;
    g->queued -= size;
    while (size > 0) {
        const struct blob *blob = call->out_first->blob;
        uint8_t prefix[GRPC_PREFIX_SIZE] = {0};
        enc_put_be32(prefix + 1, (uint32_t) blob->size);
        struct bytes part;
        if (call->out_offset < GRPC_PREFIX_SIZE) {
            part = bytes_of(prefix + call->out_offset, GRPC_PREFIX_SIZE - call->out_offset);
        } else {
            size_t offset = call->out_offset - GRPC_PREFIX_SIZE;
            part = bytes_of(blob->data + offset, blob->size - offset);
        }
        size_t n = part.size < size ? part.size : size;
        memcpy(to, part.data, n);
        to += n;
        size -= n;
        call->out_offset += n;
        if (call->out_offset == GRPC_PREFIX_SIZE + blob->size) {
            out_pop(g, call);
        }
    }
    return OK;
}

void grpc_message_clear(struct grpc *g, struct grpc_call *call)
{
    while (call->out_first != NULL) {
        out_pop(g, call);
    }
    g->queued -= call->out_size;
    call->out_size = 0;
    blob_unref(call->message);
    call->message = NULL;
    call->prefix_size = 0;
}

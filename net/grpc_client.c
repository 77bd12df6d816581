/*
 * grpc_client.c - the client's side of a call: requests out, status in.
 *
 * Which status a call ends with when the server did not say: from :status by
 * grpc/doc/http-grpc-status-mapping.md, from a reset by gRPC over HTTP2, "HTTP2 Transport Mapping".
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/grpc_impl.h"
#include "net/grpc_text.h"

#define NV_STATIC (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)
#define NV(name, value)                                                                            \
    {                                                                                              \
        (uint8_t *) (name), (uint8_t *) (value), sizeof(name) - 1, sizeof(value) - 1, NV_STATIC    \
    }

#define METADATA_MAX 24
#define TEXT_MAX 128

/* ---- Requests */

static ssize_t on_read(nghttp2_session *session, int32_t stream, uint8_t *to, size_t max,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void) session;
    (void) stream;
    (void) to;
    (void) user;
    size_t size = 0;
    bool last = false;
    if (grpc_message_pack(source->ptr, max, &size, &last) != OK) {
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY | (last ? NGHTTP2_DATA_FLAG_EOF : 0);
    return (ssize_t) size;
}

static nghttp2_nv nv_bytes(struct bytes name, struct bytes value)
{
    nghttp2_nv nv = {(uint8_t *) (uintptr_t) name.data, (uint8_t *) (uintptr_t) value.data,
                     name.size, value.size, NGHTTP2_NV_FLAG_NONE};
    return nv;
}

/* Fills `nva`; returns the count. `timeout` is scratch for the text of grpc-timeout. */
static size_t request_headers(const struct grpc *g, const char *path, uint64_t timeout_us,
                              char timeout[GRPC_TIMEOUT_TEXT_MAX], nghttp2_nv *nva)
{
    static const nghttp2_nv fixed[] = {NV(":method", "POST"), NV(":scheme", "http"),
                                       NV("te", "trailers"), NV("content-type", "application/grpc"),
                                       NV("user-agent", "synod")};
    /* Pseudo headers come first (RFC 9113, 8.3). */
    size_t count = 0;
    nva[count++] = fixed[0];
    nva[count++] = fixed[1];
    nva[count++] = nv_bytes(bytes_str(":path"), bytes_str(path));
    nva[count++] = nv_bytes(bytes_str(":authority"), bytes_str(g->authority));
    nva[count++] = fixed[2];
    nva[count++] = fixed[3];
    nva[count++] = fixed[4];
    if (timeout_us != UINT64_MAX) {
        grpc_timeout_format(timeout_us, timeout);
        nva[count++] = nv_bytes(bytes_str("grpc-timeout"), bytes_str(timeout));
    }
    return count;
}

int grpc_call(struct grpc *g, const char *path, uint64_t timeout_us,
              const struct grpc_metadata *metadata, uint32_t metadata_count, void *user,
              uint32_t *ret_call)
{
    ASSERT(!g->server);
    if (g->broken || g->lost || g->closing || g->going_away) {
        return ERR_CLOSED;
    }
    uint32_t peer_max =
        nghttp2_session_get_remote_settings(g->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (grpc_calls(g) >= peer_max || grpc_calls(g) >= g->limits.streams_max ||
        metadata_count > METADATA_MAX) {
        return ERR_LIMIT;
    }
    int32_t id = nghttp2_session_get_next_stream_id(g->session) > INT32_MAX
                     ? -1
                     : (int32_t) nghttp2_session_get_next_stream_id(g->session);
    struct grpc_call *call = id < 0 ? NULL : grpc_call_add(g, (uint32_t) id);
    if (call == NULL) {
        return ERR_CLOSED;
    }
    nghttp2_nv nva[8 + METADATA_MAX];
    char timeout[GRPC_TIMEOUT_TEXT_MAX];
    size_t count = request_headers(g, path, timeout_us, timeout, nva);
    for (uint32_t i = 0; i < metadata_count; i++) {
        nva[count++] = nv_bytes(metadata[i].name, metadata[i].value);
    }
    nghttp2_data_provider provider = {.source = {.ptr = call}, .read_callback = on_read};
    int32_t rv = nghttp2_submit_request(g->session, NULL, nva, count, &provider, NULL);
    if (rv < 0) {
        grpc_break(g);
        return ERR_CLOSED;
    }
    ASSERT(rv == id);
    call->begun = true;
    call->user = user;
    *ret_call = call->id;
    return OK;
}

int grpc_call_send(struct grpc *g, uint32_t id, struct blob *message, bool last)
{
    ASSERT(!g->server);
    ASSERT(message != NULL || last);
    struct grpc_call *call = grpc_find_open(g, id);
    if (call == NULL) {
        return ERR_NOT_FOUND;
    }
    if (call->last) {
        return ERR_CLOSED;
    }
    if (message != NULL) {
        int err = grpc_message_queue(g, call, message);
        if (err != OK) {
            return err;
        }
    }
    call->last = last;
    grpc_message_resume(g, call);
    return OK;
}

/* ---- Responses */

void grpc_client_header(struct grpc *g, struct bytes name, struct bytes value)
{
    struct grpc_block *b = &g->block;
    if (GRPC_IS(name, ":status")) {
        b->http_status = grpc_status_parse(value); /* three digits, as nghttp2 has checked */
    } else if (GRPC_IS(name, "grpc-status")) {
        b->status_seen = true;
        b->status = arena_copy(&b->arena, value);
    } else if (GRPC_IS(name, "grpc-message")) {
        b->text = arena_copy(&b->arena, value);
    } else if (GRPC_IS(name, "content-type")) {
        b->content_type_ok = bytes_has_prefix(value, bytes_str("application/grpc"));
    }
}

/* The decoded text as a C string to be freed. */
static char *text_decode(struct bytes wire)
{
    struct buf b;
    buf_init(&b, wire.size + 1);
    int err = grpc_percent_decode(&b, wire);
    ASSERT(err == OK); /* decoding never makes it longer */
    err = buf_append(&b, "", 1);
    ASSERT(err == OK);
    char *text = xmemdup(b.data, b.size);
    buf_release(&b);
    return text;
}

void grpc_client_headers_done(struct grpc *g, struct grpc_call *call)
{
    const struct grpc_block *b = &g->block;
    ASSERT(b->call == call->id);
    if (call->ended) {
        return;
    }
    if (b->too_large) {
        grpc_client_fail(g, call, GRPC_RESOURCE_EXHAUSTED, "the header list is too large");
        return;
    }
    if (b->http_status != 0) {
        call->http_status = b->http_status;
    }
    if (b->status_seen) {
        call->has_status = true;
        call->status = grpc_status_parse(b->status);
        free(call->text);
        call->text = b->text.size > 0 ? text_decode(b->text) : NULL;
    } else if (b->http_status == 200 && !b->content_type_ok) {
        grpc_client_fail(g, call, GRPC_UNKNOWN, "the content-type of the answer is not gRPC's");
    }
}

void grpc_client_end_stream(struct grpc *g, struct grpc_call *call)
{
    char text[TEXT_MAX];
    if (call->has_status && call->status == GRPC_OK && grpc_message_partial(call)) {
        grpc_call_end(g, call, GRPC_INTERNAL, bytes_str("the answer ends inside a message"), false);
    } else if (call->has_status) {
        grpc_call_end(g, call, call->status, bytes_str(call->text), false);
    } else if (call->http_status != 200) {
        int n = snprintf(text, sizeof text, "unexpected HTTP status %d", call->http_status);
        ASSERT(n > 0);
        grpc_call_end(g, call, grpc_status_of_http(call->http_status), bytes_str(text), false);
    } else {
        grpc_call_end(g, call, GRPC_UNKNOWN, bytes_str("the answer has no status"), false);
    }
    if (nghttp2_session_get_stream_local_close(g->session, (int32_t) call->id) == 0) {
        grpc_reset(g, call, NGHTTP2_NO_ERROR);
    }
}

void grpc_client_fail(struct grpc *g, struct grpc_call *call, int status, const char *text)
{
    if (!call->ended) {
        grpc_call_end(g, call, status, bytes_str(text), false);
        grpc_reset(g, call, NGHTTP2_CANCEL);
    }
}

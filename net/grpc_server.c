/*
 * grpc_server.c - the server's side of a call: request headers in, answers out, shutdown.
 *
 * An answer is HEADERS, DATA, HEADERS (trailers with grpc-status); a status without a message is
 * one HEADERS frame ("Trailers-Only", gRPC over HTTP2, "Responses").
 */

#include <inttypes.h>
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

/* The percent-encoded text of a status; what is longer is cut. */
#define TEXT_WIRE_MAX ((size_t) 8192)
#define TEXT_MAX 256
#define STATUS_NV_MAX 5

/* Streams share the connection by frames instead of one after the other: a long answer must not
 * hold up the short ones behind it (RFC 9218, 4.2 "incremental"). */
static const nghttp2_extpri priority_incremental = {NGHTTP2_EXTPRI_DEFAULT_URGENCY, 1};

/* ---- Requests */

static bool content_type_is_grpc(struct bytes value)
{
    const struct bytes prefix = bytes_str("application/grpc");
    if (!bytes_has_prefix(value, prefix)) {
        return false;
    }
    return value.size == prefix.size || value.data[prefix.size] == '+' ||
           value.data[prefix.size] == ';';
}

static void metadata_add(struct grpc_block *b, struct bytes name, struct bytes value)
{
    if (b->metadata_count == b->metadata_capacity) {
        b->metadata_capacity = b->metadata_capacity == 0 ? 8 : b->metadata_capacity * 2;
        b->metadata = xrealloc(b->metadata, b->metadata_capacity * sizeof b->metadata[0]);
    }
    struct grpc_metadata *m = &b->metadata[b->metadata_count++];
    m->name = arena_copy(&b->arena, name);
    m->value = arena_copy(&b->arena, value);
}

/*
 * nghttp2 does not check requests as HTTP (see session_new in grpc.c); what follows are the rules
 * of RFC 9113, 8.2.1 and 8.3.1, that matter to us: pseudo headers are known, come first and once.
 */
enum pseudo {
    PSEUDO_METHOD = 1,
    PSEUDO_SCHEME = 2,
    PSEUDO_PATH = 4,
    PSEUDO_AUTHORITY = 8, /* may be missing */
    PSEUDO_NEEDED = PSEUDO_METHOD | PSEUDO_SCHEME | PSEUDO_PATH,
};

static void pseudo_header(struct grpc_block *b, struct bytes name, struct bytes value)
{
    uint8_t which = 0;
    if (GRPC_IS(name, ":path")) {
        which = PSEUDO_PATH;
        b->path = arena_copy(&b->arena, value);
    } else if (GRPC_IS(name, ":method")) {
        which = PSEUDO_METHOD;
        b->post = GRPC_IS(value, "POST");
    } else if (GRPC_IS(name, ":scheme")) {
        which = PSEUDO_SCHEME;
    } else if (GRPC_IS(name, ":authority")) {
        which = PSEUDO_AUTHORITY; /* any text: clients put a URL or the path of a socket there */
    }
    b->malformed = b->malformed || which == 0 || (b->pseudo & which) != 0 || b->regular ||
                   nghttp2_check_header_value(value.data, value.size) == 0;
    b->pseudo |= which;
}

static bool request_malformed(const struct grpc_block *b)
{
    /* Not all headers were looked at when they are too large. */
    return b->malformed || (!b->too_large && (b->pseudo & PSEUDO_NEEDED) != PSEUDO_NEEDED);
}

static void grpc_header(struct grpc_block *b, struct bytes name, struct bytes value)
{
    if (GRPC_IS(name, "grpc-timeout")) {
        b->timeout_bad = grpc_timeout_parse(value, &b->timeout_us) != OK;
    } else if (GRPC_IS(name, "grpc-encoding") && !GRPC_IS(value, "identity")) {
        b->encoding = arena_copy(&b->arena, value);
    }
}

void grpc_server_header(struct grpc *g, struct bytes name, struct bytes value)
{
    struct grpc_block *b = &g->block;
    if (name.size > 0 && name.data[0] == ':') {
        pseudo_header(b, name, value);
        return;
    }
    b->regular = true;
    if (nghttp2_check_header_name(name.data, name.size) == 0 ||
        nghttp2_check_header_value(value.data, value.size) == 0) {
        b->malformed = true;
    } else if (GRPC_IS(name, "content-type")) {
        b->content_type_ok = content_type_is_grpc(value);
    } else if (bytes_has_prefix(name, bytes_str("grpc-"))) {
        grpc_header(b, name, value);
    } else if (!GRPC_IS(name, "te") && !GRPC_IS(name, "user-agent")) {
        metadata_add(b, name, value);
    }
}

/* ---- Answers */

/* Digits of a status code; static storage for those that exist. */
static const char *status_text(int status, char scratch[16])
{
    static const char *const texts[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                        "9", "10", "11", "12", "13", "14", "15", "16"};
    if (status >= 0 && (size_t) status < ARRAY_SIZE(texts)) {
        return texts[status];
    }
    int n = snprintf(scratch, 16, "%d", status);
    ASSERT(n > 0);
    return scratch;
}

static nghttp2_nv nv_copied(const char *name, const char *value)
{
    nghttp2_nv nv = {(uint8_t *) name, (uint8_t *) value, strlen(name), strlen(value),
                     NGHTTP2_NV_FLAG_NONE};
    return nv;
}

/* Appends grpc-status and grpc-message to `nva`, which has room for two; returns the new count. */
static size_t status_headers(nghttp2_nv *nva, size_t count, int status, const char *text,
                             char scratch[16])
{
    if (status == GRPC_OK) {
        const nghttp2_nv ok = NV("grpc-status", "0");
        nva[count++] = ok;
    } else {
        nva[count++] = nv_copied("grpc-status", status_text(status, scratch));
    }
    if (text != NULL) {
        nva[count] = nv_copied("grpc-message", text);
        /* Texts differ too much to earn a place in the header table. */
        nva[count++].flags = NGHTTP2_NV_FLAG_NO_INDEX;
    }
    return count;
}

/* The percent-encoded form of `text` to be freed, or NULL for none. */
static char *text_encode(const char *text)
{
    if (text == NULL || text[0] == '\0') {
        return NULL;
    }
    struct buf b;
    buf_init(&b, TEXT_WIRE_MAX);
    /* A text that is too long is cut, which harms nobody. */
    ERR_IGNORE(grpc_percent_encode(&b, bytes_str(text)));
    char *wire = xmalloc(b.size + 1);
    memcpy(wire, b.data, b.size);
    wire[b.size] = '\0';
    buf_release(&b);
    return wire;
}

/* One HEADERS frame that ends the stream. http_status: "200" or what HTTP says of a request that is
 * not gRPC. */
static void respond_status(struct grpc *g, struct grpc_call *call, const char *http_status,
                           int status, const char *text)
{
    nghttp2_nv nva[STATUS_NV_MAX] = {NV(":status", "200"), NV("content-type", "application/grpc")};
    char scratch[16];
    size_t count = 2;
    if (strcmp(http_status, "200") != 0) {
        nva[0] = nv_copied(":status", http_status);
    }
    char *wire = text_encode(text);
    count = status_headers(nva, count, status, wire, scratch);
    if (status == GRPC_UNIMPLEMENTED) {
        /* "the server must tell which encodings it accepts" (gRPC compression). */
        const nghttp2_nv accept = NV("grpc-accept-encoding", "identity");
        nva[count++] = accept;
    }
    ASSERT(count <= STATUS_NV_MAX);
    call->submitted = true;
    call->last = true;
    grpc_expect(g, nghttp2_submit_response(g->session, (int32_t) call->id, nva, count, NULL));
    free(wire);
}

static ssize_t on_read(nghttp2_session *session, int32_t stream, uint8_t *to, size_t max,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void) session;
    (void) stream;
    (void) to;
    size_t size = 0;
    bool last = false;
    if (grpc_message_pack(source->ptr, max, &size, &last) != OK) {
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (last) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        grpc_server_trailers(user, source->ptr);
    }
    return (ssize_t) size;
}

/* Gives nghttp2 the response headers, and the queue as the source of the data. */
static void respond_begin(struct grpc *g, struct grpc_call *call)
{
    static const nghttp2_nv nva[] = {NV(":status", "200"), NV("content-type", "application/grpc")};
    nghttp2_data_provider provider = {.source = {.ptr = call}, .read_callback = on_read};
    call->submitted = true;
    grpc_expect(g, nghttp2_submit_response(g->session, (int32_t) call->id, nva, ARRAY_SIZE(nva),
                                           &provider));
}

void grpc_server_trailers(struct grpc *g, struct grpc_call *call)
{
    nghttp2_nv nva[2];
    char scratch[16];
    size_t count = status_headers(nva, 0, call->status, call->text, scratch);
    grpc_expect(g, nghttp2_submit_trailer(g->session, (int32_t) call->id, nva, count));
}

/* Sends the status behind what is queued. */
static void answer_status(struct grpc *g, struct grpc_call *call, int status, const char *text)
{
    if (!call->submitted) {
        respond_status(g, call, "200", status, text);
        return;
    }
    call->status = status;
    call->text = text_encode(text);
    call->last = true;
    grpc_message_resume(g, call);
}

static int answer_queue(struct grpc *g, struct grpc_call *call, struct blob *message)
{
    int err = grpc_message_queue(g, call, message);
    if (err != OK) {
        grpc_break(g);
    }
    return err;
}

int grpc_send(struct grpc *g, uint32_t id, struct blob *message)
{
    ASSERT(g->server);
    struct grpc_call *call = grpc_find_open(g, id);
    if (call == NULL) {
        return ERR_NOT_FOUND;
    }
    int err = answer_queue(g, call, message);
    if (err != OK) {
        return err;
    }
    if (!call->submitted) {
        respond_begin(g, call);
    }
    grpc_message_resume(g, call);
    return OK;
}

int grpc_finish(struct grpc *g, uint32_t id, int status, const char *text)
{
    ASSERT(g->server);
    struct grpc_call *call = grpc_find_open(g, id);
    if (call == NULL) {
        return ERR_NOT_FOUND;
    }
    call->ended = true;
    call->user = NULL;
    answer_status(g, call, status, text);
    return OK;
}

int grpc_reply(struct grpc *g, uint32_t id, struct blob *message)
{
    ASSERT(g->server);
    struct grpc_call *call = grpc_find_open(g, id);
    if (call == NULL) {
        return ERR_NOT_FOUND;
    }
    int err = answer_queue(g, call, message);
    if (err != OK) {
        return err;
    }
    call->ended = true;
    call->user = NULL;
    call->status = GRPC_OK;
    call->last = true;
    if (!call->submitted) {
        respond_begin(g, call);
    }
    grpc_message_resume(g, call);
    return OK;
}

void grpc_server_fail(struct grpc *g, struct grpc_call *call, int status, const char *text)
{
    if (call->ended) {
        return;
    }
    grpc_call_end(g, call, status, bytes_str(text), false);
    answer_status(g, call, status, text);
}

/* ---- From headers to callbacks */

/* Answers a request that cannot be a call of ours; true when it was answered. */
static bool refuse_request(struct grpc *g, struct grpc_call *call)
{
    const struct grpc_block *b = &g->block;
    char text[TEXT_MAX];
    if (!b->post) {
        respond_status(g, call, "405", GRPC_INTERNAL, "the method of a gRPC request is POST");
    } else if (b->too_large) {
        respond_status(g, call, "200", GRPC_RESOURCE_EXHAUSTED, "the header list is too large");
    } else if (!b->content_type_ok) {
        respond_status(g, call, "415", GRPC_INTERNAL, "invalid gRPC request content-type");
    } else if (b->timeout_bad) {
        respond_status(g, call, "200", GRPC_INTERNAL, "malformed grpc-timeout");
    } else if (b->encoding.size > 0) {
        int n = snprintf(text, sizeof text,
                         "grpc: Decompressor is not installed for grpc-encoding \"%.*s\"",
                         (int) u64_min(b->encoding.size, 64), (const char *) b->encoding.data);
        ASSERT(n > 0);
        respond_status(g, call, "200", GRPC_UNIMPLEMENTED, text);
    } else {
        return false;
    }
    return true;
}

void grpc_server_headers_done(struct grpc *g, struct grpc_call *call)
{
    const struct grpc_block *b = &g->block;
    ASSERT(b->call == call->id);
    if (request_malformed(b)) {
        call->ended = true;
        grpc_reset(g, call, NGHTTP2_PROTOCOL_ERROR);
        return;
    }
    grpc_expect(g, nghttp2_session_change_extpri_stream_priority(g->session, (int32_t) call->id,
                                                                 &priority_incremental, 1));
    if (refuse_request(g, call)) {
        call->ended = true;
        return;
    }
    call->begun = true;
    struct grpc_begin begin = {.call = call->id,
                               .path = b->path,
                               .timeout_us = b->timeout_us,
                               .metadata = b->metadata,
                               .metadata_count = b->metadata_count};
    if (g->callbacks.on_begin != NULL) {
        g->callbacks.on_begin(g->callbacks.ctx, g, &begin);
    }
}

void grpc_server_half_close(struct grpc *g, struct grpc_call *call)
{
    if (call->ended || !call->begun) {
        return;
    }
    if (grpc_message_partial(call)) {
        grpc_server_fail(g, call, GRPC_INTERNAL, "the request ends inside a message");
    } else if (g->callbacks.on_half_close != NULL) {
        g->callbacks.on_half_close(g->callbacks.ctx, g, call->id);
    }
}

/* ---- Shutdown */

void grpc_shutdown(struct grpc *g)
{
    ASSERT(g->server);
    if (g->broken || g->lost || g->shutting_down) {
        return;
    }
    g->shutting_down = true;
    grpc_expect(g, nghttp2_submit_shutdown_notice(g->session));
    grpc_expect(g, nghttp2_submit_ping(g->session, NGHTTP2_FLAG_NONE, grpc_ping_shutdown));
}

void grpc_server_shutdown_acked(struct grpc *g)
{
    if (!g->shutting_down) {
        return;
    }
    int32_t last = nghttp2_session_get_last_proc_stream_id(g->session);
    grpc_expect(g, nghttp2_submit_goaway(g->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR,
                                         NULL, 0));
}

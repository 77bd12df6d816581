/*
 * grpc.c - the life of a connection: its calls, nghttp2's callbacks, input and output.
 *
 * nghttp2 decides what is sent when. DATA bypasses its buffers (NGHTTP2_DATA_FLAG_NO_COPY): a
 * message is copied once, from its blob to the output.
 */

#include "net/grpc.h"

#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/grpc_impl.h"
#include "net/grpc_text.h"

/* nghttp2 is asked for more only below this; a message that waits costs no second copy. */
#define OUT_CHUNK ((size_t) 256 * 1024)
/* One frame more than the chunk: DATA is 16 KiB at most, a header block 64 KiB. */
#define OUT_MAX (OUT_CHUNK + (size_t) 256 * 1024)
/* An empty output buffer larger than this is given back when nothing waits to fill it again: most
 * connections are idle. */
#define OUT_KEEP ((size_t) 64 * 1024)

#define BLOCK_ARENA_CHUNK ((size_t) 2048)
#define FRAME_HEADER 9
#define WINDOW_MIN 65535
#define WINDOW_MAX INT32_MAX
#define MESSAGE_MAX ((uint32_t) INT32_MAX)

const uint8_t grpc_ping_keepalive[8] = {'s', 'y', 'n', 'o', 'd', 'k', 'e', 'e'};
const uint8_t grpc_ping_shutdown[8] = {'s', 'y', 'n', 'o', 'd', 'b', 'y', 'e'};

/* ---- Calls */

struct grpc_call *grpc_find(struct grpc *g, uint32_t id)
{
    if (g->last_call == NULL || g->last_call->id != id) {
        g->last_call = map_get(&g->calls, id);
    }
    return g->last_call;
}

struct grpc_call *grpc_find_open(struct grpc *g, uint32_t id)
{
    struct grpc_call *call = g->broken || g->closing ? NULL : grpc_find(g, id);
    return call == NULL || call->ended || !call->begun ? NULL : call;
}

struct grpc_call *grpc_call_add(struct grpc *g, uint32_t id)
{
    struct grpc_call *call = g->free_calls;
    if (call != NULL) {
        g->free_calls = call->next_free;
    } else {
        call = xmalloc(sizeof *call);
    }
    memset(call, 0, sizeof *call);
    call->id = id;
    if (map_put(&g->calls, id, call) != OK) {
        call->next_free = g->free_calls;
        g->free_calls = call;
        return NULL;
    }
    g->last_call = call;
    return call;
}

static void call_remove(struct grpc *g, struct grpc_call *call)
{
    if (g->last_call == call) {
        g->last_call = NULL;
    }
    ASSERT(map_remove(&g->calls, call->id) == call);
    grpc_message_clear(g, call);
    free(call->text);
    call->text = NULL;
    call->next_free = g->free_calls;
    g->free_calls = call;
}

void grpc_call_end(struct grpc *g, struct grpc_call *call, int status, struct bytes text,
                   bool refused)
{
    if (call->ended) {
        return;
    }
    call->ended = true;
    if (call->begun && g->callbacks.on_end != NULL) {
        g->callbacks.on_end(g->callbacks.ctx, g, call->id, status, text, refused);
    }
    call->user = NULL;
}

void grpc_break(struct grpc *g)
{
    g->broken = true;
}

void grpc_expect(struct grpc *g, int rv)
{
    if (rv < 0) {
        grpc_break(g);
    }
}

void grpc_reset(struct grpc *g, struct grpc_call *call, uint32_t error_code)
{
    grpc_expect(g, nghttp2_submit_rst_stream(g->session, NGHTTP2_FLAG_NONE, (int32_t) call->id,
                                             error_code));
}

/* ---- nghttp2's callbacks */

static void block_reset(struct grpc_block *b, uint32_t call)
{
    arena_reset(&b->arena);
    struct grpc_block fresh = {.call = call,
                               .arena = b->arena,
                               .timeout_us = UINT64_MAX,
                               .metadata = b->metadata,
                               .metadata_capacity = b->metadata_capacity};
    *b = fresh;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void) session;
    struct grpc *g = user;
    uint32_t id = (uint32_t) frame->hd.stream_id;
    if (g->broken) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    block_reset(&g->block, id);
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST &&
        grpc_call_add(g, id) == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void) session;
    (void) flags;
    struct grpc *g = user;
    struct grpc_block *b = &g->block;
    b->size += name_size + value_size + GRPC_HEADER_OVERHEAD;
    if (b->size > g->limits.headers_max) {
        b->too_large = true;
        return 0;
    }
    if (!g->server) {
        grpc_client_header(g, bytes_of(name, name_size), bytes_of(value, value_size));
    } else if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        grpc_server_header(g, bytes_of(name, name_size), bytes_of(value, value_size));
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream,
                         const uint8_t *data, size_t size, void *user)
{
    (void) session;
    (void) flags;
    struct grpc *g = user;
    struct grpc_call *call = grpc_find(g, (uint32_t) stream);
    /* What comes with another :status than 200 is some proxy's page. */
    if (call != NULL && call->begun && (g->server || call->http_status == 200)) {
        grpc_message_receive(g, call, bytes_of(data, size));
    }
    return g->broken ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void ping_acked(struct grpc *g, const uint8_t opaque[8])
{
    if (memcmp(opaque, grpc_ping_shutdown, sizeof grpc_ping_shutdown) == 0) {
        grpc_server_shutdown_acked(g);
    } else if (g->pings_pending > 0) {
        g->pings_pending--;
    }
}

static void goaway_received(struct grpc *g)
{
    g->going_away = true;
    if (!g->server && g->callbacks.on_goaway != NULL) {
        g->callbacks.on_goaway(g->callbacks.ctx, g);
    }
}

static void headers_received(struct grpc *g, struct grpc_call *call, const nghttp2_frame *frame)
{
    if (!g->server) {
        grpc_client_headers_done(g, call);
    } else if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        grpc_server_headers_done(g, call);
    }
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void) session;
    struct grpc *g = user;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
        ping_acked(g, frame->ping.opaque_data);
        return 0;
    }
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        goaway_received(g);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    struct grpc_call *call = grpc_find(g, (uint32_t) frame->hd.stream_id);
    if (call == NULL) {
        return 0;
    }
    bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    call->remote_closed = call->remote_closed || last;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        headers_received(g, call, frame);
    }
    if (last && g->server) {
        grpc_server_half_close(g, call);
    } else if (last) {
        grpc_client_end_stream(g, call);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error_code,
                           void *user)
{
    (void) session;
    struct grpc *g = user;
    struct grpc_call *call = grpc_find(g, (uint32_t) stream);
    if (call == NULL) {
        return 0;
    }
    if (g->server) {
        grpc_call_end(g, call, GRPC_CANCELED, bytes_of(NULL, 0), false);
    } else {
        const char *text = nghttp2_http2_strerror(error_code);
        grpc_call_end(g, call, grpc_status_of_reset(error_code), bytes_str(text),
                      error_code == NGHTTP2_REFUSED_STREAM);
    }
    call_remove(g, call);
    return 0;
}

/* "If a server sends a final status while the client may still send, it resets the stream with
 * NO_ERROR" (RFC 9113, 8.1); a client that has its answer does the same to free the stream. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void) session;
    struct grpc *g = user;
    if (frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    struct grpc_call *call = grpc_find(g, (uint32_t) frame->hd.stream_id);
    if (call == NULL) {
        return 0;
    }
    call->sent = true;
    if (g->server && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && !call->remote_closed) {
        grpc_reset(g, call, NGHTTP2_NO_ERROR);
    }
    return 0;
}

/* A request that could not be sent, because of a GOAWAY, has no stream that could be closed. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *user)
{
    (void) session;
    (void) error;
    struct grpc *g = user;
    if (g->server || frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    struct grpc_call *call = grpc_find(g, (uint32_t) frame->hd.stream_id);
    if (call != NULL && !call->sent) {
        grpc_call_end(g, call, GRPC_UNAVAILABLE, bytes_str("the connection is going away"), true);
        call_remove(g, call);
    }
    return 0;
}

/* nghttp2 sends one DATA frame: header and data go straight to the output. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
                        size_t size, nghttp2_data_source *source, void *user)
{
    (void) session;
    struct grpc *g = user;
    if (g->out.size >= OUT_CHUNK) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    ASSERT(frame->data.padlen == 0); /* no select_padding callback is set */
    int err = buf_append(&g->out, header, FRAME_HEADER);
    if (err == OK) {
        err = grpc_message_write(g, source->ptr, size);
    }
    return err == OK ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* ---- Construction */

void grpc_limits_init(struct grpc_limits *l)
{
    l->message_max = 2 * 1024 * 1024;
    l->streams_max = 1024;
    l->headers_max = 16 * 1024;
    l->output_max = (size_t) 64 * 1024 * 1024;
    l->window = 1024 * 1024;
}

static bool limits_valid(const struct grpc_limits *l)
{
    return l->message_max > 0 && l->message_max <= MESSAGE_MAX && l->streams_max > 0 &&
           l->headers_max > 0 && l->output_max > 0 && l->window >= WINDOW_MIN &&
           l->window <= WINDOW_MAX;
}

static int session_callbacks(nghttp2_session_callbacks **ret_callbacks)
{
    nghttp2_session_callbacks *c = NULL;
    if (nghttp2_session_callbacks_new(&c) != 0) {
        return ERR_LIMIT;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
    nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
    *ret_callbacks = c;
    return OK;
}

static int session_settings(struct grpc *g)
{
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, g->limits.window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, g->limits.headers_max},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, g->limits.streams_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    if (!g->server) {
        entries[2].settings_id = NGHTTP2_SETTINGS_ENABLE_PUSH;
        entries[2].value = 0;
    }
    size_t count = ARRAY_SIZE(entries) - (g->server ? 0 : 1);
    int rv = nghttp2_submit_settings(g->session, NGHTTP2_FLAG_NONE, entries, count);
    if (rv == 0) {
        rv = nghttp2_session_set_local_window_size(g->session, NGHTTP2_FLAG_NONE, 0,
                                                   (int32_t) g->limits.window);
    }
    return rv == 0 ? OK : ERR_LIMIT;
}

static int session_new(struct grpc *g)
{
    int err = ERR_LIMIT;
    nghttp2_option *option = NULL;
    nghttp2_session_callbacks *callbacks = NULL;
    if (nghttp2_option_new(&option) != 0) {
        goto out;
    }
    err = session_callbacks(&callbacks);
    if (err != OK) {
        goto out;
    }
    /* Closed streams are of use to the priority tree of RFC 7540 only. */
    nghttp2_option_set_no_closed_streams(option, 1);
    /* Go's clients send the endpoint as :authority as the user wrote it, "http://127.0.0.1:2379"
     * with a scheme too, which nghttp2 takes for a malformed request: grpc_server.c checks what we
     * need. */
    nghttp2_option_set_no_http_messaging(option, g->server);
    int rv = g->server ? nghttp2_session_server_new2(&g->session, callbacks, g, option)
                       : nghttp2_session_client_new2(&g->session, callbacks, g, option);
    err = rv == 0 ? session_settings(g) : ERR_LIMIT;
out:
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    return err;
}

static int grpc_new(const struct grpc_callbacks *callbacks, const struct grpc_limits *limits,
                    const char *authority, struct grpc **ret_grpc)
{
    if (!limits_valid(limits)) {
        return ERR_INVALID;
    }
    struct grpc *g = xcalloc(1, sizeof *g);
    g->callbacks = *callbacks;
    g->limits = *limits;
    g->server = authority == NULL;
    g->authority = authority == NULL ? NULL : xstrdup(authority);
    /* nghttp2 holds the streams at the announced maximum, except that it counts only those whose
     * settings the client has acknowledged; twice is a limit that only nonsense reaches. */
    map_init(&g->calls, (size_t) limits->streams_max * 2);
    buf_init(&g->out, OUT_MAX);
    arena_init(&g->block.arena, BLOCK_ARENA_CHUNK, limits->headers_max * (size_t) 2);
    int err = session_new(g);
    if (err != OK) {
        grpc_free(g);
        return err;
    }
    *ret_grpc = g;
    return OK;
}

int grpc_new_server(const struct grpc_callbacks *callbacks, const struct grpc_limits *limits,
                    struct grpc **ret_grpc)
{
    return grpc_new(callbacks, limits, NULL, ret_grpc);
}

int grpc_new_client(const struct grpc_callbacks *callbacks, const struct grpc_limits *limits,
                    const char *authority, struct grpc **ret_grpc)
{
    ASSERT(authority != NULL);
    return grpc_new(callbacks, limits, authority, ret_grpc);
}

static void calls_end_all(struct grpc *g)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(&g->calls, &cursor, NULL, &value)) {
        struct grpc_call *call = value;
        if (g->server) {
            grpc_call_end(g, call, GRPC_CANCELED, bytes_of(NULL, 0), false);
        } else {
            grpc_call_end(g, call, GRPC_UNAVAILABLE, bytes_str("the connection is lost"),
                          !call->sent);
        }
    }
    cursor = 0;
    while (map_next(&g->calls, &cursor, NULL, &value)) {
        struct grpc_call *call = value;
        grpc_message_clear(g, call);
        free(call->text);
        free(call);
    }
    map_release(&g->calls);
}

void grpc_free(struct grpc *g)
{
    if (g == NULL) {
        return;
    }
    ASSERT(!g->inside);
    g->closing = true;
    calls_end_all(g);
    nghttp2_session_del(g->session);
    while (g->free_calls != NULL) {
        struct grpc_call *call = g->free_calls;
        g->free_calls = call->next_free;
        free(call);
    }
    while (g->free_outs != NULL) {
        struct grpc_out *out = g->free_outs;
        g->free_outs = out->next;
        free(out);
    }
    arena_release(&g->block.arena);
    free(g->block.metadata);
    buf_release(&g->out);
    free(g->authority);
    free(g);
}

/* ---- Input and output */

/* nghttp2 answers most protocol errors by itself: it ignores all further input, and stops reading
 * when its GOAWAY is in the output. */
static bool input_lost(const struct grpc *g)
{
    return !g->shutting_down && !g->going_away && nghttp2_session_want_read(g->session) == 0;
}

int grpc_feed(struct grpc *g, struct bytes in)
{
    ASSERT(!g->inside);
    ASSERT(!g->closing);
    if (g->broken || g->lost) {
        return ERR_CLOSED;
    }
    if (in.size == 0) {
        return OK;
    }
    g->inside = true;
    ssize_t n = nghttp2_session_mem_recv(g->session, in.data, in.size);
    g->inside = false;
    if (n == NGHTTP2_ERR_FLOODED) {
        grpc_break(g);
    }
    g->lost = n < 0;
    if (g->broken) {
        return ERR_LIMIT;
    }
    return g->lost ? ERR_MALFORMED : OK;
}

struct bytes grpc_output(struct grpc *g)
{
    ASSERT(!g->inside);
    ASSERT(!g->closing);
    if (g->broken) {
        return bytes_of(NULL, 0);
    }
    g->inside = true;
    while (g->out.size < OUT_CHUNK) {
        const uint8_t *data = NULL;
        ssize_t n = nghttp2_session_mem_send(g->session, &data);
        if (n < 0 || (n > 0 && buf_append(&g->out, data, (size_t) n) != OK)) {
            grpc_break(g);
        }
        if (n <= 0 || g->broken) {
            break;
        }
    }
    g->inside = false;
    g->lost = g->lost || input_lost(g);
    return g->broken ? bytes_of(NULL, 0) : buf_bytes(&g->out);
}

void grpc_sent(struct grpc *g, size_t n)
{
    ASSERT(!g->inside);
    ASSERT(n <= g->out.size);
    buf_consume(&g->out, n);
    if (g->out.size == 0 && g->queued == 0 && g->out.cap > OUT_KEEP) {
        buf_release(&g->out);
    }
}

bool grpc_broken(const struct grpc *g)
{
    return g->broken;
}

bool grpc_finished(const struct grpc *g)
{
    if (g->broken) {
        return true;
    }
    if (g->out.size > 0 || nghttp2_session_want_write(g->session) != 0) {
        return false;
    }
    return g->lost || nghttp2_session_want_read(g->session) == 0;
}

/* ---- What both sides offer */

void grpc_cancel(struct grpc *g, uint32_t id)
{
    struct grpc_call *call = grpc_find_open(g, id);
    if (call != NULL) {
        call->ended = true;
        call->user = NULL;
        grpc_reset(g, call, NGHTTP2_CANCEL);
    }
}

void grpc_call_set_user(struct grpc *g, uint32_t id, void *user)
{
    /* Also on a broken connection: the on_end of its calls is still to come and reads the pointer.
     */
    struct grpc_call *call = map_get(&g->calls, id);
    if (call != NULL && call->begun && !call->ended) {
        call->user = user;
    }
}

void *grpc_call_user(const struct grpc *g, uint32_t id)
{
    const struct grpc_call *call = map_get(&g->calls, id);
    return call == NULL ? NULL : call->user;
}

uint32_t grpc_calls(const struct grpc *g)
{
    return (uint32_t) map_size(&g->calls);
}

size_t grpc_queued(const struct grpc *g)
{
    return g->queued + g->out.size;
}

size_t grpc_call_queued(const struct grpc *g, uint32_t id)
{
    const struct grpc_call *call = map_get(&g->calls, id);
    return call == NULL ? 0 : call->out_size;
}

void grpc_ping(struct grpc *g)
{
    if (!g->broken && !g->lost) {
        g->pings_pending++;
        grpc_expect(g, nghttp2_submit_ping(g->session, NGHTTP2_FLAG_NONE, grpc_ping_keepalive));
    }
}

uint32_t grpc_pings_pending(const struct grpc *g)
{
    return g->pings_pending;
}

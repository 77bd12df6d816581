#ifndef SYNOD_NET_GRPC_IMPL_H
#define SYNOD_NET_GRPC_IMPL_H

/*
 * grpc_impl.h - what the files of the gRPC module share; private to net/grpc*.c.
 *
 * grpc.c         life of a connection, its calls, nghttp2's callbacks, input and output
 * grpc_message.c messages: cut out of DATA, and packed into DATA
 * grpc_server.c  request headers, answers, shutdown
 * grpc_client.c  requests, response headers
 *
 * A call object lives from the first byte of its stream until nghttp2 closes the stream, because
 * nghttp2 keeps a pointer to it as the source of its data. The owner's view is shorter: from
 * on_begin (`begun`) to its end, by either side (`ended`).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/map.h"
#include "net/grpc.h"

struct nghttp2_session;

enum { GRPC_PREFIX_SIZE = 5 }; /* compressed flag, then the size as u32 big-endian */

/* A message that waits for output. Pooled per connection. */
struct grpc_out {
    struct grpc_out *next;
    struct blob *blob;
};

struct grpc_call {
    struct grpc_call *next_free;
    void *user;
    uint32_t id;
    bool begun;         /* the owner knows the call */
    bool ended;         /* the owner is done with it: every function answers ERR_NOT_FOUND */
    bool remote_closed; /* the other end has sent its last frame */
    bool submitted;     /* server: response headers are with nghttp2 */
    bool deferred;      /* nghttp2 waits for nghttp2_session_resume_data */
    bool last;          /* nothing is queued after what is queued now */
    bool sent;          /* client: the request headers are in the output */
    bool has_status;    /* client: grpc-status was seen */

    /* The message being received. */
    uint8_t prefix[GRPC_PREFIX_SIZE];
    uint8_t prefix_size;
    size_t message_size; /* received so far */
    struct blob *message;

    /* Messages to be sent. */
    struct grpc_out *out_first;
    struct grpc_out *out_last;
    size_t out_offset; /* bytes of the first one, prefix included, that are gone */
    size_t out_size;   /* bytes to go */

    int status;      /* server: to be sent; client: received */
    int http_status; /* client: :status, 0 before */
    char *text;      /* grpc-message: server: percent-encoded; client: decoded; NULL for none */
};

/* The header block being received; those of a connection never interleave (RFC 9113, 4.3). */
struct grpc_block {
    uint32_t call;
    size_t size; /* as SETTINGS_MAX_HEADER_LIST_SIZE counts */
    struct arena arena;
    struct bytes path;
    uint64_t timeout_us;
    struct grpc_metadata *metadata;
    uint32_t metadata_count;
    uint32_t metadata_capacity;
    uint8_t pseudo; /* server: which pseudo headers were seen */
    bool regular;   /* server: another header was seen */
    bool malformed; /* server: a header that no HTTP/2 request has */
    bool post;
    bool content_type_ok;
    bool too_large;
    bool timeout_bad;
    bool status_seen;
    struct bytes encoding; /* grpc-encoding unless identity */
    struct bytes status;
    struct bytes text;
    int http_status;
};

struct grpc {
    struct nghttp2_session *session;
    struct grpc_callbacks callbacks;
    struct grpc_limits limits;
    bool server;
    bool inside;        /* a call into nghttp2, and so maybe a callback, is running */
    bool closing;       /* grpc_free runs */
    bool broken;        /* nothing more goes in or out */
    bool lost;          /* a protocol error ended the input */
    bool shutting_down; /* server: grpc_shutdown was called */
    bool going_away;    /* client: GOAWAY was received */
    uint32_t pings_pending;
    char *authority;

    struct map calls;            /* by stream id */
    struct grpc_call *last_call; /* the latest one looked up, or NULL */
    struct grpc_call *free_calls;
    struct grpc_out *free_outs;
    struct grpc_block block;

    struct buf out;
    size_t queued; /* bytes in the calls' queues */
};

/* ---- grpc.c */

/* The call with this stream id, ended or not; or NULL. */
struct grpc_call *grpc_find(struct grpc *g, uint32_t id);
/* As grpc_find, but NULL when the owner does not know it (any more). */
struct grpc_call *grpc_find_open(struct grpc *g, uint32_t id);
struct grpc_call *grpc_call_add(struct grpc *g, uint32_t id);
/* Ends the call for the owner, once, and tells. `text` may point into the call. */
void grpc_call_end(struct grpc *g, struct grpc_call *call, int status, struct bytes text,
                   bool refused);
/* Something failed that cannot: the connection is finished without a word. */
void grpc_break(struct grpc *g);
/* Looks whether `rv` of nghttp2 is an error, which here can only be one of memory or state. */
void grpc_expect(struct grpc *g, int rv);
void grpc_reset(struct grpc *g, struct grpc_call *call, uint32_t error_code);

/* ---- grpc_message.c */

/* Received DATA of a call. */
void grpc_message_receive(struct grpc *g, struct grpc_call *call, struct bytes in);
/* Whether the input stops inside a message. */
bool grpc_message_partial(const struct grpc_call *call);
/* Queues a message; what nghttp2 has to be told is the caller's. Errors: ERR_LIMIT. */
int grpc_message_queue(struct grpc *g, struct grpc_call *call, struct blob *message) MUST_USE;
/*
 * How much of the queue goes into a frame of at most `max` bytes, and whether that is the last of
 * the call. ERR_AGAIN: nothing now, nghttp2 is to wait for grpc_message_resume.
 */
int grpc_message_pack(struct grpc_call *call, size_t max, size_t *ret_size,
                      bool *ret_last) MUST_USE;
/* Wakes up nghttp2 for a call that has something to send again. */
void grpc_message_resume(struct grpc *g, struct grpc_call *call);
/* Writes the next `size` bytes of the queue to the output. Errors: ERR_LIMIT. */
int grpc_message_write(struct grpc *g, struct grpc_call *call, size_t size) MUST_USE;
/* Drops queue and partial message. */
void grpc_message_clear(struct grpc *g, struct grpc_call *call);

/* ---- grpc_server.c */

void grpc_server_header(struct grpc *g, struct bytes name, struct bytes value);
void grpc_server_headers_done(struct grpc *g, struct grpc_call *call);
void grpc_server_half_close(struct grpc *g, struct grpc_call *call);
/* Ends a call whose input is bad: status to the client, on_end to the owner. */
void grpc_server_fail(struct grpc *g, struct grpc_call *call, int status, const char *text);
/* The last DATA is being packed: trailers follow. */
void grpc_server_trailers(struct grpc *g, struct grpc_call *call);
/* The shutdown's PING came back. */
void grpc_server_shutdown_acked(struct grpc *g);

/* ---- grpc_client.c */

void grpc_client_header(struct grpc *g, struct bytes name, struct bytes value);
void grpc_client_headers_done(struct grpc *g, struct grpc_call *call);
/* The server has sent its last frame. */
void grpc_client_end_stream(struct grpc *g, struct grpc_call *call);
void grpc_client_fail(struct grpc *g, struct grpc_call *call, int status, const char *text);

/* The opaque data of a PING: which of ours was answered. */
extern const uint8_t grpc_ping_keepalive[8];
extern const uint8_t grpc_ping_shutdown[8];

/* Bytes of a header in a header list beyond name and value (RFC 9113, 6.5.2). */
enum { GRPC_HEADER_OVERHEAD = 32 };

/* "name" of a literal: comparison by size first. */
#define GRPC_IS(bytes, literal)                                                                    \
    ((bytes).size == sizeof(literal) - 1 &&                                                        \
     memcmp((bytes).data, (literal), sizeof(literal) - 1) == 0)

#endif

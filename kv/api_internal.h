/*
 * api_internal.h - what the service files (api_*.c) share: calls, methods, and how to answer.
 */
#ifndef SYNOD_KV_API_INTERNAL_H
#define SYNOD_KV_API_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "kv/api.h"

struct api_call;

/* A unary method. `execute` gets the whole request message and either answers at once (api_answer,
 * api_fail) or hands the call to the replica; an error it returns is answered by the caller. */
struct api_method {
    const char *path;
    int (*execute)(struct api_call *call, struct bytes request);
};

struct api_call {
    struct api *api;
    struct api_connection *connection;
    const struct api_method *method;
    uint64_t id; /* what the replica calls it */
    uint32_t grpc_call;
    bool submitted;       /* the replica owes an answer */
    bool client_deadline; /* the client's own deadline is the nearer one */
    uint64_t deadline_us;
    uint64_t session; /* 0: none */
    uint64_t sequence;
    struct blob *message; /* the request, until half-close */
};

struct api {
    struct api_options options;
    struct replica *replica;
    uint64_t now_us;
    uint64_t epoch; /* term or ballot at the beginning of the turn */
    uint64_t next_id;
    struct map calls;   /* id -> struct api_call */
    struct list dirty;  /* of struct api_connection */
    struct arena arena; /* reset per request */
    struct buf out;     /* encoding of one answer */
};

/* Tables of the service files, each ended by a NULL path. */
extern const struct api_method api_kv_methods[];
extern const struct api_method api_maintenance_methods[];
extern const struct api_method api_cluster_methods[];
extern const struct api_method api_health_methods[];

/* Header of an answer from this node now. */
struct api_header api_header_now(const struct api *a);

/* Sends what is in api->out as the answer and ends the call; the call is gone. */
void api_answer(struct api_call *call);

/* Ends the call with an error; the call is gone. */
void api_fail(struct api_call *call, int err);

#endif

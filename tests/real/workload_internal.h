/*
 * workload_internal.h - what workload.c (when clients call, whom, and how it ends) and
 * workload_call.c (requests, answers, history) share.
 */
#ifndef SYNOD_TESTS_REAL_WORKLOAD_INTERNAL_H
#define SYNOD_TESTS_REAL_WORKLOAD_INTERNAL_H

#include "base/arena.h"
#include "base/blob.h"
#include "base/map.h"
#include "base/rng.h"
#include "kv/client.h"
#include "tests/real/workload.h"

enum { WORKLOAD_LIST_MAX = 300 }; /* bytes; a longer one is deleted by whoever would extend it */

enum worker_state { WORKER_THINKS, WORKER_WAITS, WORKER_DONE };

/* Keys: registers r0 r1 .., lists l0 .., pairs t0a t0b .. that transactions use. */
enum worker_space { SPACE_REGISTER, SPACE_LIST, SPACE_PAIR_A, SPACE_PAIR_B, SPACES };

struct worker_key {
    uint8_t space; /* enum worker_space */
    uint32_t number;
};

enum worker_txn { WORKER_TXN_WRITE, WORKER_TXN_READ, WORKER_TXN_SWAP, WORKER_TXNS };

/* What a client wants done. */
struct worker_op {
    uint8_t kind;    /* enum sim_op_kind */
    uint8_t variant; /* TXN: enum worker_txn */
    bool final;      /* of the reads of the end */
    bool unknown;    /* it may have been applied, or may yet be */
    struct worker_key key;
    uint32_t attempts;
    uint64_t value;         /* numbers of the values it writes: this and, for TXN, the next */
    uint64_t expected;      /* CAS: number of the value that must be there, 0: absent */
    int64_t compare;        /* APPEND: mod revision of the list that is extended */
    int64_t floor_revision; /* answered before the call began */
    uint32_t number;        /* in the history; UINT32_MAX: not recorded */
};

struct worker_handles; /* of libuv */

/* A client. (struct client is kv/client's.) */
struct worker {
    struct workload *workload;
    uint32_t id;
    uint8_t state; /* enum worker_state */
    struct rng rng;
    uint64_t name; /* in the history */
    struct worker_handles *handles;
    uint64_t wake_us;
    struct client *once;  /* sends a call once, to one node */
    struct client *again; /* repeats it elsewhere; NULL when nobody retries */
    struct client *via;   /* the call under way */
    uint64_t call;
    uint32_t node; /* where it went; 0: any */
    uint64_t life; /* of that node then */
    bool free;     /* with a rate: waits to be chosen */
    bool goes_on;  /* the next call goes on with `op` */
    bool abandoned;
    struct worker_op op;
    uint64_t known[SIM_KEYS_MAX];   /* value numbers last seen */
    int64_t list_mod[SIM_KEYS_MAX]; /* lists as last seen */
    char *list_text[SIM_KEYS_MAX];  /* malloc'd, "" when NULL */
    uint32_t local_node;            /* LOCAL reads: whose state was seen, and how far it was */
    uint64_t local_life;
    int64_t local_revision;
    uint64_t answered;
    char last[160];  /* what it was told besides OK */
    uint32_t finals; /* reads of the end still to make */
};

struct workload {
    struct workload_options options;
    const struct scenario *scenario;
    struct workload_counts counts;
    struct worker workers[SIM_CLIENTS_MAX];
    uint32_t workers_count;
    uint64_t lives[SIM_NODES_MAX + 1]; /* changes when a process begins or ends */
    bool down[SIM_NODES_MAX + 1];
    bool stopping;
    bool strict;
    bool core[SIM_NODES_MAX + 1];
    uint64_t strict_timeout_us;
    uint64_t names;
    uint64_t last_ns; /* last time written into the history */
    uint64_t value_number;
    int64_t revision_floor; /* highest one answered */
    uint64_t write_us;
    struct worker_handles *handles; /* with a rate: the next call */
    struct rng rate_rng;
    uint64_t moment_us; /* of the next call; 0: none yet */
    struct map seen;    /* key and mod revision -> value */
    struct arena arena;
    struct buf request;    /* scratch */
    struct buf values[3];  /* scratch: texts of values */
    uint32_t open_handles; /* what closing waits for */
    bool closing;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

/* workload.c */
uint32_t workload_keys(const struct workload *w, uint8_t space);
bool worker_op_writes(const struct worker_op *op);
uint64_t workload_now_us(const struct workload *w);
void workload_fail(struct workload *w, const char *property, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* workload_call.c */
/* The request of c->op: method, message (a reference for the caller), and whether it writes. */
void worker_encode(struct worker *c, struct client_request *ret_request);
enum worker_answer {
    ANSWER_DONE,
    ANSWER_GOES_ON, /* an append that lost a race: it changed nothing */
    ANSWER_BAD,     /* it says nothing to this call; told by workload_fail */
};
enum worker_answer worker_answer(struct worker *c, struct bytes message);
bool worker_fits(const struct worker *c); /* APPEND: is the list, as last seen, not too long? */
void worker_begin(struct worker *c);      /* enters op into the history */
void worker_end(struct worker *c, uint8_t result); /* enum history_result */

#endif

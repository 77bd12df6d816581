/*
 * cluster_sim_internal.h - what the files of the simulated cluster share.
 *
 *     cluster_sim.c         time, events, trace, the checks on it, faults by chance
 *     cluster_sim_node.c    a node: its replica, disks and network
 *     cluster_sim_client.c  clients, what they know, and the check at the end
 */
#ifndef SYNOD_TESTS_SUPPORT_CLUSTER_SIM_INTERNAL_H
#define SYNOD_TESTS_SUPPORT_CLUSTER_SIM_INTERNAL_H

#include "base/arena.h"
#include "base/map.h"
#include "base/rng.h"
#include "kv/logstore.h"
#include "kv/store.h"
#include "kv/store_memory.h"
#include "tests/support/cluster_sim.h"

enum { SIM_SLOTS = 2 * CLUSTER_SIM_KEYS_MAX + CLUSTER_SIM_CLIENTS_MAX };

enum event_kind {
    EVENT_WAKE,    /* a node's deadline */
    EVENT_MESSAGE, /* arrives */
    EVENT_LOG,     /* a group of log writes, or a trim, is complete */
    EVENT_STATE,   /* a flush is complete */
    EVENT_LOAD,
    EVENT_FETCH,
    EVENT_CLIENT, /* a client goes on, or gives a call up */
    EVENT_RESTART,
    EVENT_FAULT,
};

struct sim_event {
    uint64_t time_us;
    uint64_t number; /* of events at one time the older goes first */
    uint32_t kind;   /* enum event_kind */
    uint32_t node;   /* or client */
    uint64_t life;   /* of the node; 0: any */
    void *object;    /* message: blob; fetch: struct sim_fetch; load: struct load */
};

struct sim_fetch {
    uint64_t id;
    uint32_t count;
    struct revision revisions[];
};

/* What the node's log holds durably, by index: epochs of entries, promises. */
struct sim_image {
    uint64_t *epochs;
    uint64_t *promises;
    uint64_t size;
    uint64_t contiguous; /* all from 1 to here are there */
    struct hard_state hard;
};

/* Log writes of one group or a trim, under way or waiting. */
struct sim_job {
    struct list_node node;
    struct log_write *write; /* NULL: a trim */
    struct log_pos trim;
};

struct sim_node {
    uint32_t id;
    uint64_t life; /* incarnation; 0: never started */
    bool created;
    struct memory_disk *disk;
    struct logstore *log;
    struct store *state;
    struct replica *replica; /* NULL: down */
    uint64_t wake_us;
    struct list log_queue;
    struct list log_group; /* under way */
    struct mvcc_flush *flush;
    uint32_t slowness; /* disk times are multiplied by it */
    struct sim_image image;
};

enum client_state { CLIENT_THINKS, CLIENT_WAITS, CLIENT_DONE };
enum op_type { SIM_PUT, SIM_GET, SIM_CAS, SIM_COUNT, SIM_PAIR_PUT, SIM_PAIR_GET };

struct sim_op {
    uint8_t type; /* enum op_type */
    uint32_t key;
    uint64_t value;
    int64_t compare;      /* CAS: mod revision asked for */
    uint64_t expected;    /* CAS: ask for this value instead, which was written there; 0: no */
    int64_t floor_key;    /* what was answered about this key before the call */
    int64_t floor_global; /* and about the store */
};

struct sim_client {
    uint32_t id;
    uint8_t state; /* enum client_state */
    uint64_t wake_us;
    uint64_t call; /* open one */
    struct sim_op op;
    bool retry; /* the same op again: it carries our session */
    uint64_t sequence;
    int64_t known[CLUSTER_SIM_KEYS_MAX]; /* mod revisions last seen, for compares */
    uint64_t known_values[CLUSTER_SIM_KEYS_MAX];
};

enum value_state {
    VALUE_UNKNOWN, /* asked for; no answer says what became of it */
    VALUE_ACKED,
    VALUE_NEVER, /* the answer says that it is not and will not be there (K3) */
};

/* What a client knows about a value it asked to have written, by the value's number. */
struct sim_value {
    uint8_t state; /* enum value_state */
    bool cas;
    bool found; /* by the check at the end */
    uint32_t slot;
    int64_t compare;
    int64_t revision; /* ACKED */
};

struct cluster_sim {
    struct cluster_sim_options options;
    struct rng rng;
    uint64_t now_us;
    struct sim_event *heap;
    size_t heap_count, heap_capacity;
    uint64_t event_number;
    struct sim_node nodes[CLUSTER_SIM_NODES_MAX + 1]; /* by id */
    bool cuts[CLUSTER_SIM_NODES_MAX + 1][CLUSTER_SIM_NODES_MAX + 1];
    uint32_t loss_permille;
    bool faults_on;
    bool clients_on;
    struct arena arena;

    struct sim_client clients[CLUSTER_SIM_CLIENTS_MAX];
    uint64_t call_number;
    uint64_t value_number;
    int64_t floor_keys[SIM_SLOTS]; /* registers, pairs, counters */
    int64_t floor_global;
    struct map seen;          /* key and mod revision -> value */
    struct sim_value *values; /* by number, from 1 */
    uint64_t values_capacity;
    uint64_t query; /* call of the final check; its answer: */
    struct mvcc_result *query_result;
    int query_err;

    uint64_t trace_hash;
    uint64_t *apply_hashes; /* by index; 0 unknown */
    uint64_t apply_hashes_size;
    struct map leaders; /* epoch -> node */
    struct cluster_sim_counts counts;
    char failure[512];
};

/* cluster_sim.c */
void sim_fail(struct cluster_sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_push(struct cluster_sim *sim, struct sim_event event);
uint64_t sim_draw(struct cluster_sim *sim, struct sim_span span);
void sim_note(struct cluster_sim *sim, uint32_t node, const char *what); /* a fault, traced */
struct trace_sink sim_sink(struct cluster_sim *sim);

/* cluster_sim_node.c */
void sim_node_init(struct cluster_sim *sim, uint32_t id);
void sim_node_release(struct sim_node *n);
void sim_node_start(struct cluster_sim *sim, struct sim_node *n);
void sim_node_stop(struct cluster_sim *sim, struct sim_node *n); /* as by a power cut */
void sim_node_event(struct cluster_sim *sim, struct sim_event *event);
void sim_event_release(struct sim_event *event);
/* Around every input: time first; afterwards everything it caused is carried out. */
void sim_node_enter(struct cluster_sim *sim, struct sim_node *n);
void sim_node_leave(struct cluster_sim *sim, struct sim_node *n);

/* cluster_sim_client.c */
void sim_clients_init(struct cluster_sim *sim);
void sim_client_event(struct cluster_sim *sim, uint32_t client);
void sim_client_reply(struct cluster_sim *sim, const struct replica_reply *reply);
bool sim_clients_idle(const struct cluster_sim *sim);

#endif

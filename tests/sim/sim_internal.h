/*
 * sim_internal.h - what the files of the simulated cluster share.
 *
 *     sim.c          a run from start to verdict; events in the order of virtual time; the trace
 *     sim_node.c     a node: the pump of kv/server.c over virtual time, without threads
 *     sim_io.c       its disk jobs: log, state, reads, and what a crash does to those under way
 *     sim_network.c  links between nodes; sim_wire.c: how long messages are
 *     sim_fault.c    steps of the scenario
 *     sim_client.c   clients: what they ask; sim_call.c: requests, answers and the history
 *     sim_end.c      how a run ends, and what must be true then
 *
 * Every domain draws from a generator of its own, so that a scenario with one fault less is still
 * much the same run.
 */
#ifndef SYNOD_TESTS_SIM_SIM_INTERNAL_H
#define SYNOD_TESTS_SIM_SIM_INTERNAL_H

#include "base/arena.h"
#include "base/map.h"
#include "base/rng.h"
#include "kv/node_data.h"
#include "kv/replica.h"
#include "tests/sim/disk.h"
#include "tests/sim/observer.h"
#include "tests/sim/sim.h"
#include "tests/sim/trigger.h"

enum event_kind {
    EVENT_WAKE,    /* a node's deadline */
    EVENT_MESSAGE, /* arrives */
    EVENT_LOG,     /* a group of log writes, or a trim, is complete */
    EVENT_STATE,   /* a flush is complete */
    EVENT_LOAD,
    EVENT_FETCH,
    EVENT_CLIENT, /* a client goes on, or gives a call up */
    EVENT_CALL,   /* with a rate: some client begins a call */
    EVENT_START,  /* a node is started again */
};

struct event {
    uint64_t time_us;
    uint64_t number; /* of events at one time the older goes first */
    uint32_t kind;   /* enum event_kind */
    uint32_t node;   /* or client */
    uint64_t life;   /* of the node; 0: any */
    void *object;    /* message: struct flight; fetch: struct fetch; load: struct load */
};

/* A message on its way: as bytes or as an object. */
struct flight {
    struct blob *wire;
    struct message *message;
    struct envelope envelope;
};

struct fetch {
    uint64_t id;
    uint32_t count;
    struct revision revisions[];
};

/* Log writes of one group or a trim, under way or waiting. */
struct job {
    struct list_node node;
    struct log_write *write; /* NULL: a trim */
    struct log_pos trim;
};

enum node_state {
    NODE_DOWN, /* may be started */
    NODE_UP,
    NODE_OUT, /* for good: its disk is damaged, or its image is an old one */
};

struct node {
    uint32_t id;
    uint8_t state; /* enum node_state */
    uint64_t life; /* counts starts here; the incarnation is the log store's count */
    uint64_t incarnation;
    bool created;
    bool wiped;
    bool damaged;  /* it may refuse to start, or find damage later */
    bool restored; /* an old image was put back: it must find out */
    bool failing;  /* the next write or sync fails: it must stop */
    struct sim_disk *disk;
    struct sim_disk_image *saved;
    struct logstore *log;
    struct store *store;
    struct replica *replica; /* NULL unless up */
    struct rng rng;          /* of its disk times */
    uint64_t wake_us;
    struct list log_queue;
    struct list log_group; /* under way */
    struct mvcc_flush *flush;
    uint64_t factor;   /* disk times are multiplied by it */
    uint64_t delay_us; /* and each sync takes so much longer */
    uint64_t hung_until_us;
    uint64_t lies_until_us; /* what it says is synced is not */
    uint64_t paused_until_us;
    uint64_t slow_until_us;
    uint64_t turn_us; /* while slow: what a turn takes */
    uint64_t busy_until_us;
    /* its clock: local = local_us + (now - anchor_us) * (1 + ppm / 10^6) */
    uint64_t anchor_us;
    uint64_t local_us;
    int64_t ppm;
};

struct link {
    bool cut;
    bool quality; /* the four below are set */
    struct sim_span delay;
    uint32_t loss_permyriad;
    uint32_t duplicate_permyriad;
    uint64_t rate;    /* bytes a second; 0: any */
    uint64_t free_us; /* until then it is busy with what was sent before; 0: it is not */
    uint64_t clogged_until_us;
    uint64_t arrival_us; /* latest one planned, to count what overtakes */
    uint64_t greeted;    /* life of `to` << 32 | life of `from` that shook hands last */
};

enum client_state { CLIENT_THINKS, CLIENT_WAITS, CLIENT_DONE };

/* Keys: registers r0 r1 .., lists l0 .., pairs t0a t0b .. that transactions use. */
enum key_space { KEY_REGISTER, KEY_LIST, KEY_PAIR_A, KEY_PAIR_B, KEY_SPACES };

struct sim_key {
    uint8_t space; /* enum key_space */
    uint32_t number;
};

enum txn_variant { TXN_WRITE, TXN_READ, TXN_SWAP, TXN_VARIANTS };

/* What a client wants done; lasts over retries. */
struct client_op {
    uint8_t kind;    /* enum sim_op_kind */
    uint8_t variant; /* TXN: enum txn_variant */
    bool unknown;    /* an attempt may have been applied, or may yet be */
    struct sim_key key;
    uint32_t attempts;
    uint64_t value;         /* numbers of the values it writes: this and, for TXN, the next */
    uint64_t expected;      /* CAS: number of the value that must be there, 0: absent */
    int64_t compare;        /* APPEND: mod revision of the list that is extended */
    uint64_t floor;         /* of the observer */
    int64_t floor_revision; /* answered before the op began */
    uint64_t sequence;      /* PUT asked again under its old name, after later ones; else 0 */
    uint32_t number;        /* in the history; UINT32_MAX: not recorded */
};

struct client {
    uint32_t id;
    uint8_t state; /* enum client_state */
    struct rng rng;
    uint64_t name; /* in the history */
    uint64_t wake_us;
    uint64_t call; /* open one; 0: none */
    uint32_t node; /* where it is */
    uint64_t life;
    struct client_op op;
    bool again;            /* the next call goes on with `op` */
    bool strict;           /* the call began when every call must be answered */
    bool abandoned;        /* it will not wait for the answer */
    uint64_t session;      /* 0: it uses none, and tries no write again */
    struct client_op past; /* a PUT that was answered, with the sequence it had; sequence 0: none */
    uint64_t sequence;     /* of the next write; a write tried again keeps its own */
    uint64_t known[SIM_KEYS_MAX];   /* value numbers last seen */
    int64_t list_mod[SIM_KEYS_MAX]; /* lists as last seen */
    char *list_text[SIM_KEYS_MAX];  /* malloc'd, "" when NULL */
    uint64_t local_life;            /* LOCAL reads: whose state was seen, and how far it was */
    uint32_t local_node;
    int64_t local_revision;
    uint64_t answered; /* OK answers */
    int last_err;      /* of its last call */
    uint32_t finals;   /* reads of the end still to make */
};

struct sim {
    const struct scenario *scenario;
    const struct sim_hooks *hooks;
    struct sim_result *result;
    struct observer *observer;
    uint64_t now_us;
    struct event *heap;
    size_t heap_count, heap_capacity;
    uint64_t event_number;
    struct node nodes[SIM_NODES_MAX + 1];                    /* by id */
    struct link links[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1]; /* from, to */
    struct rng network_rng;
    struct rng fault_rng;
    struct rng rate_rng;
    struct trigger trigger;
    struct arena arena;
    struct buf text;      /* scratch of clients */
    struct buf head;      /* and of messages */
    struct buf values[3]; /* and of values */

    struct client clients[SIM_CLIENTS_MAX];
    struct history *history;
    bool history_owned;
    bool clients_stop;          /* no new operations */
    bool healed;                /* the faults are over: a node that stops is started again */
    bool strict;                /* end of a liveness run: every call must be answered */
    uint64_t strict_timeout_us; /* of a call then: messages are still lost and sent again */
    uint64_t client_names;
    uint64_t last_ns; /* last time written into the history */
    uint64_t call_number;
    uint64_t value_number;
    int64_t revision_floor; /* highest one answered */
    struct map seen;        /* key and mod revision -> value */
    uint64_t write_us;      /* when a write was answered last, 0: never */
};

/* sim.c */
void sim_fail(struct sim *sim, const char *property, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool sim_red(const struct sim *sim);
void sim_count(struct sim *sim, enum sim_count count);
void sim_push(struct sim *sim, struct event event);
/* A fault or something else of the simulator's own, traced. */
void sim_note(struct sim *sim, uint32_t node, const char *what);
struct trace_sink sim_sink(struct sim *sim);
/* Runs until the time, or until the condition holds (then true). False also when red. */
bool sim_run_until(struct sim *sim, uint64_t time_us, bool (*condition)(struct sim *sim));

/* sim_node.c */
void sim_node_init(struct sim *sim, uint32_t id);
void sim_node_release(struct node *n);
void sim_node_start(struct sim *sim, struct node *n);
/* Power loss or death of the process. Nothing happens when it is not up. */
void sim_node_stop(struct sim *sim, struct node *n, bool power, const char *why);
/* Its replica or a store failed: the process ends, and that must have a reason. */
void sim_node_fatal(struct sim *sim, struct node *n, int err, const char *where);
void sim_node_event(struct sim *sim, struct event *event);
/* Around every input: time first; afterwards everything it caused is carried out. leave returns at
 * once when the node is gone meanwhile. */
void sim_node_enter(struct sim *sim, struct node *n);
void sim_node_leave(struct sim *sim, struct node *n);
uint64_t sim_node_local(const struct sim *sim, const struct node *n);
void sim_node_clock(struct sim *sim, struct node *n, uint64_t jump_us, int64_t ppm);
/* The leader with the highest epoch; without leaders the first node that is up; 0: none. */
uint32_t sim_leader(const struct sim *sim);

/* sim_io.c */
void sim_io_write(struct node *n, struct log_write *write);
void sim_io_trim(struct node *n, struct log_pos pos);
void sim_io_start(struct sim *sim, struct node *n);
void sim_io_flush(struct sim *sim, struct node *n, struct mvcc_flush *flush);
void sim_io_load(struct sim *sim, struct node *n, const struct load *load);
void sim_io_fetch(struct sim *sim, struct node *n, const struct replica_fetch *fetch);
void sim_io_event(struct sim *sim, struct node *n, struct event *event);
/* The node dies: some of what is under way reaches the disk, the rest is dropped. */
void sim_io_abandon(struct sim *sim, struct node *n, bool power);

/* sim_network.c */
void sim_network_post(struct sim *sim, struct node *n, struct message *m);
void sim_network_arrive(struct sim *sim, struct node *n, struct flight *flight);
void sim_network_greet(struct sim *sim); /* where a connection can come up, it does */
void sim_network_cut(struct sim *sim, uint32_t from, uint32_t to);
void sim_network_join(struct sim *sim, uint32_t from, uint32_t to);
void sim_flight_free(struct flight *flight);

/* sim_wire.c */
uint64_t sim_wire_size(const struct message *m, const struct envelope *envelope); /* of a frame */

/* sim_fault.c */
/* Carries the step out; what ends it is due by itself. */
void sim_fault_step(struct sim *sim, const struct sim_step *step);
void sim_fault_heal_node(struct sim *sim, struct node *n); /* speed and disk as new; starts it */

/* sim_client.c */
void sim_clients_init(struct sim *sim);
void sim_clients_release(struct sim *sim);
void sim_client_event(struct sim *sim, uint32_t client);
void sim_clients_call(struct sim *sim); /* with a rate: the next call is due */
void sim_clients_heal(struct sim *sim); /* the faults are over: from now on clients think */
void sim_client_sleep(struct sim *sim, struct client *c, uint64_t us);
void sim_client_reply(struct sim *sim, struct node *n, const struct replica_reply *reply);
void sim_clients_node_gone(struct sim *sim, const struct node *n); /* connections break */
bool sim_clients_idle(struct sim *sim);
/* The call is over: OK, or the error that its client got (ERR_TIMEOUT: nobody knows). */
void sim_client_over(struct sim *sim, struct client *c, int err);
void sim_clients_final(struct sim *sim);                 /* one reads every key once more */
uint32_t sim_keys(const struct sim *sim, uint8_t space); /* how many keys of a kind there are */
bool sim_op_writes(const struct client_op *op);
bool sim_op_local(const struct sim *sim, const struct client_op *op); /* read without a quorum */

/* sim_call.c */
MUST_USE int sim_call_submit(struct sim *sim, struct client *c, struct node *n,
                             uint64_t timeout_us);
/* False: the operation goes on (an append that lost a race). */
bool sim_call_answer(struct sim *sim, struct client *c, const struct node *n,
                     const struct mvcc_result *result);
bool sim_call_fits(const struct client *c); /* APPEND: is the list, as last seen, not too long? */
void sim_call_begin(struct sim *sim, struct client *c); /* enters op into the history */
void sim_call_end(struct sim *sim, struct client *c, uint8_t result); /* enum history_result */

/* sim_end.c */
void sim_end(struct sim *sim);

#endif

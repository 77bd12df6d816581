/*
 * scenario.h - everything a run is a function of: cluster, workload, faults, expectations.
 *
 * A scenario comes from a seed (tests/sim/swarm) or from a file, a fault script, and is the unit
 * that is run, compared, shrunk and kept. Both back ends carry it out: the simulator (sim.h) and
 * real processes (tests/real/real.h). As text (docs/testing.md has the grammar; `#` begins a
 * comment; the comment above the first line says what the script is about):
 *
 *     scenario 2
 *     engine raft                          raft | multipaxos | paxos | any
 *     nodes 5
 *     seed 42                              of network, disks, clients, engines
 *     length 20s                           then the end: settle and check
 *     mode safety                          or: liveness core 1 2 3
 *     option election 1s                   one line per name in SCENARIO_OPTION_MAP
 *     clients 8 keys 5 think 0..200ms timeout 5s retry 50%
 *     clients 8 keys 5 rate 200 value 256 reads local      calls a second, all clients together
 *     mix put 3 get 3 cas 2 del 1 append 2 txn 2 local 1
 *     network delay 100us..3ms loss 0.5% duplicate 0.5%
 *     disk log 100us..1500us state 500us..5ms read 50us..2ms
 *     at 1.5s crash leader for 2s          with `for`, the step that ends it comes by itself
 *     at 2s partition 1 2 | 3 4 5
 *     at 4s heal
 *     at 3 election-timeouts power-loss 1 3
 *     when leader changes after 50ms crash 2
 *     when commit 500 from 2s isolate leader for 1.5 election-timeouts
 *     when no leader times 3 restart all
 *     expect safe
 *     expect available within 4 election-timeouts    or: expect gap 4
 *     expect red K1                        a control: the run must fail, and by this property
 *
 * Only the first line must be there; what is not said is as scenario_init makes it. A line that
 * counts things (`mix`) names all that are not zero. Durations are exact (`1.5s`, `250us`, `0`,
 * `1.5 election-timeouts`), sizes `65536` or `64KiB`, shares `0.05%`, spans `1ms..3ms`, `2ms` or
 * `20ms+-10ms`.
 *
 * All times are microseconds: virtual in the simulator, real since the cluster was up in the other.
 */
#ifndef SYNOD_TESTS_SIM_SCENARIO_H
#define SYNOD_TESTS_SIM_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "consensus/consensus.h"

enum {
    SIM_NODES_MAX = 7,
    SIM_CLIENTS_MAX = 64,
    SIM_KEYS_MAX = 64,
    SIM_STEPS_MAX = 4096,
    SIM_NODE_ALL = 0xfffe,    /* in sim_step.a */
    SIM_NODE_LEADER = 0xffff, /* whoever leads then; nothing happens when nobody does */
};

/* A span that values are drawn from, both ends included. */
struct sim_span {
    uint64_t min;
    uint64_t max;
};

/* X(name, word, form): form is how the operands are written, for parser and printer.
 *   NODE      a = node, `leader` or `all`; as text also several: `crash 1 3` is two steps
 *   NODE_FOR  the same, then `for 3s`            NODE_TURN  the same, then `turn 5ms for 3s`
 *   LINK      `1->3` (a, b) or `1<->3` (both)    LINK_FOR   the same, then `for 3s`
 *   QUALITY   link, then `delay 20ms..40ms loss 5% duplicate 1% rate 1MiB`, each once, any of them
 *   GROUPS    `1 2 | 3 4 5`; a node that is not named is alone
 *   DISK..    `disk 3 WORD ...`                  CLOCK..    `clock 2 WORD ...`
 * Where scenario_undo knows what ends a step, `for 3s` may follow, and that step comes then. What
 * QUALITY does not say is as the network line has it.
 */
#define SIM_STEP_MAP(X)                                                                            \
    X(POWER_LOSS, "power-loss", NODE)  /* un-synced data may be lost */                            \
    X(CRASH, "crash", NODE)            /* the process only: what was written stays */              \
    X(RESTART, "restart", NODE)        /* starts it if it is down and not out */                   \
    X(PAUSE, "pause", NODE_FOR)        /* makes no turn; what arrives waits */                     \
    X(SLOW, "slow", NODE_TURN)         /* a turn takes amount us */                                \
    X(TRANSFER, "transfer", NODE)      /* the leader is asked to hand over to a */                 \
    X(CUT, "cut", LINK)                /* what is sent is lost */                                  \
    X(JOIN, "join", LINK)              /* ends CUT, CLOG and QUALITY of the link */                \
    X(CLOG, "clog", LINK_FOR)          /* what is sent arrives after the end of it */              \
    X(QUALITY, "link", QUALITY)        /* another delay, loss, duplication, bandwidth */           \
    X(ISOLATE, "isolate", NODE)        /* cut, both ways, from everybody */                        \
    X(REJOIN, "rejoin", NODE)          /* joins all links of the node, both ways */                \
    X(PARTITION, "partition", GROUPS)  /* cut, both ways, between groups */                        \
    X(HEAL, "heal", NONE)              /* joins all links */                                       \
    X(DISK_SLOW, "slow", DISK_FACTOR)  /* `disk 3 slow 100`: times as long; 1 ends it and DELAY */ \
    X(DISK_DELAY, "delay", DISK_TIME)  /* `disk 3 delay 200ms`, also `slow 200ms`: each sync */    \
    X(DISK_HANG, "hang", DISK_FOR)     /* nothing completes meanwhile */                           \
    X(DISK_LIE, "lie", DISK_FOR)       /* syncs succeed and make nothing durable */                \
    X(DISK_EIO, "eio", DISK_CALL)      /* `disk 3 eio [write|sync]`: the next one fails (sync) */  \
    X(DISK_ENOSPC, "enospc", DISK)     /* the next append writes a part and fails */               \
    X(DISK_FLIP, "flip", DISK_FILE)    /* node down first; a bit in `log` or `state` */            \
    X(DISK_LOSE, "lose", DISK_FILE)    /* node down first; a file of `log` or `state` is gone */   \
    X(DISK_WIPE, "wipe", DISK)         /* node down first; everything is gone */                   \
    X(DISK_SAVE, "save", DISK)         /* a copy of the synced image is kept */                    \
    X(DISK_RESTORE, "restore", DISK)   /* node down first; the copy is put back */                 \
    X(CLOCK_JUMP, "jump", CLOCK_TIME)  /* `clock 2 jump 5s`: monotonic, so forwards */             \
    X(CLOCK_DRIFT, "drift", CLOCK_PPM) /* `clock 2 drift -200ppm` from now on */

enum sim_step_kind {
#define X(name, word, form) STEP_##name,
    SIM_STEP_MAP(X)
#undef X
        STEP_KINDS
};

enum sim_file { SIM_FILE_LOG = 1, SIM_FILE_STATE = 2 };
enum sim_disk_call { SIM_CALL_WRITE = 1, SIM_CALL_SYNC = 2 };

/* When a step is due. X(name, words, operand) */
#define SIM_WHEN_MAP(X)                                                                            \
    X(TIME, "at", TIME)                                                                            \
    X(LEADER_CHANGES, "leader changes", NONE) /* a node became leader in a higher epoch */         \
    X(LEADER_IS, "leader is", NODE)           /* `leader is 3`: that node did */                   \
    X(NO_LEADER, "no leader", NONE)           /* the leader went down or stepped down */           \
    X(ELECTION, "election starts", NONE)      /* a node became a candidate */                      \
    X(STOPS, "stops", NODE)                   /* `stops 2`: its process ended */                   \
    X(COMMIT, "commit", COUNT)                /* an index of the log was chosen somewhere */       \
    X(WRITES, "writes", COUNT)                /* so many writes of clients were answered */

enum sim_when_kind {
#define X(name, words, operand) WHEN_##name,
    SIM_WHEN_MAP(X)
#undef X
        WHEN_KINDS
};

/* A condition other than TIME: the step is due each time that it becomes true, up to `times`. */
struct sim_when {
    uint8_t kind;      /* enum sim_when_kind */
    uint32_t node;     /* LEADER_IS, STOPS */
    uint64_t count;    /* COMMIT, WRITES */
    uint64_t after_us; /* from then on */
    uint32_t times;    /* at least 1 */
};

struct sim_step {
    uint64_t at_us; /* unless when is TIME: what happens before is not looked at (`from 2s`) */
    struct sim_when when;
    uint8_t kind; /* enum sim_step_kind */
    uint8_t what; /* enum sim_file or sim_disk_call, for the forms that name one */
    bool both;    /* LINK: the other direction too */
    uint32_t a;   /* node from 1, SIM_NODE_ALL, SIM_NODE_LEADER; 0: not used */
    uint32_t b;
    uint64_t for_us;                  /* 0: for good, where that is possible */
    int64_t amount;                   /* factor, microseconds or ppm */
    struct sim_span delay;            /* QUALITY */
    uint32_t loss_permyriad;          /* QUALITY: of 10,000 */
    uint32_t duplicate_permyriad;     /* QUALITY */
    uint64_t rate;                    /* QUALITY: bytes a second, 0: any */
    uint8_t group[SIM_NODES_MAX + 1]; /* PARTITION: by node; 0: alone */
};

/* Numbers that a node is configured with. X(name, word, unit): unit TIME, COUNT, BYTES, FLAG. */
#define SCENARIO_OPTION_MAP(X)                                                                     \
    X(ELECTION, "election", TIME)                                                                  \
    X(HEARTBEAT, "heartbeat", TIME)                                                                \
    X(RESEND, "resend", TIME)                                                                      \
    X(BACKOFF_MIN, "backoff-min", TIME)                                                            \
    X(BACKOFF_MAX, "backoff-max", TIME)                                                            \
    X(DISK_STUCK, "disk-stuck", TIME)                                                              \
    X(RETRY, "retry", TIME)                                                                        \
    X(READ_RETRY, "read-retry", TIME)                                                              \
    X(GOSSIP, "gossip", TIME)                                                                      \
    X(FLUSH, "flush", TIME)                                                                        \
    X(TRIM_KEEP, "trim-keep", COUNT)                                                               \
    X(LOG_MEMORY, "log-memory", BYTES)                                                             \
    X(LOG_SLOTS, "log-slots", COUNT)                                                               \
    X(BATCH_COMMANDS, "batch-commands", COUNT)                                                     \
    X(BATCH_BYTES, "batch-bytes", BYTES)                                                           \
    X(INFLIGHT, "inflight", COUNT)                                                                 \
    X(MESSAGE_BYTES, "message-bytes", BYTES)                                                       \
    X(CACHE_BYTES, "cache-bytes", BYTES)                                                           \
    X(CALLS, "calls", COUNT)                                                                       \
    X(CALL_BYTES, "call-bytes", BYTES) /* of requests under way */                                 \
    X(APPLY_LAG, "apply-lag", COUNT)   /* committed and not applied */                             \
    X(UNWRITTEN, "unwritten", BYTES)   /* rows not yet durable */                                  \
    X(SESSIONS, "sessions", COUNT)                                                                 \
    X(DISK_BUFFER, "disk-buffer", BYTES) /* of the model disk: when it begins a new log file */    \
    X(ELECTION_SPREAD, "election-spread", TIME) /* consensus_options, as the next three */         \
    X(CANDIDATE, "candidate", TIME)                                                                \
    X(CANDIDATE_SPREAD, "candidate-spread", TIME)                                                  \
    X(CANDIDATE_BACKOFF, "candidate-backoff", FLAG)                                                \
    X(PRE_VOTE, "pre-vote", FLAG)                                                                  \
    X(CHECK_QUORUM, "check-quorum", FLAG)                                                          \
    X(QUORUM_CONNECTED, "quorum-connected", FLAG)                                                  \
    X(WIRE, "wire", FLAG) /* messages travel as bytes of proto/wire_peer; else as objects */

enum scenario_option {
#define X(name, word, unit) OPTION_##name,
    SCENARIO_OPTION_MAP(X)
#undef X
        SCENARIO_OPTIONS
};

/* What clients do. X(name, word) */
#define SIM_OP_MAP(X)                                                                              \
    X(PUT, "put")                                                                                  \
    X(GET, "get")                                                                                  \
    X(CAS, "cas") /* compare the value, then put */                                                \
    X(DEL, "del")                                                                                  \
    X(APPEND, "append")   /* to a list, with unique elements */                                    \
    X(TXN, "txn")         /* reads and writes several keys at once */                              \
    X(LOCAL, "local")     /* a serializable get: of this node's state, maybe old */                \
    X(COMPACT, "compact") /* forgets the history of keys up to shortly before now */

enum sim_op_kind {
#define X(name, word) SIM_OP_##name,
    SIM_OP_MAP(X)
#undef X
        SIM_OPS
};

enum sim_mode {
    SIM_SAFETY,   /* at the end everything heals, and all nodes that are not out agree */
    SIM_LIVENESS, /* at the end `core` heals, the rest stays as it is, and core must go on */
};

enum { SCENARIO_ABOUT_MAX = 512, SCENARIO_PROPERTY_MAX = 8 };

struct scenario {
    char about[SCENARIO_ABOUT_MAX];  /* the comment above the first line, as one line; may be cut */
    const struct engine_ops *engine; /* NULL: any */
    uint32_t nodes;
    uint64_t seed;
    uint64_t length_us;
    uint8_t mode;                 /* enum sim_mode */
    bool core[SIM_NODES_MAX + 1]; /* LIVENESS: by node */
    uint64_t options[SCENARIO_OPTIONS];
    uint32_t clients;
    uint32_t keys;
    struct sim_span think; /* between two calls of a client; not looked at with a rate */
    uint32_t rate; /* calls a second of all clients together, begun at random moments that do
                      not depend on answers (a client has one open at a time); 0: think */
    struct sim_span value; /* bytes of a value of put and cas; 0: a few, below 200 */
    bool reads_local;      /* `get` asks one node's state without a quorum, and is held to be what a
                              linearizable read is: a control, whose runs can be red */
    uint64_t timeout_us;   /* of a call */
    uint32_t mix[SIM_OPS];
    uint32_t retry_percent; /* of calls without an answer that are made again elsewhere: `retry 50%`
                               on the clients line */
    struct sim_span delay;
    uint32_t loss_permyriad;
    uint32_t duplicate_permyriad;
    struct sim_span log_disk; /* a group of writes with its sync */
    struct sim_span state_disk;
    struct sim_span reads;
    struct sim_step *steps; /* ascending by time; owned */
    uint32_t steps_count;
    uint32_t steps_capacity;
    uint32_t gap_elections; /* expect gap, available: after scenario_start_us; 0: none */
    bool expect_red;
    char expect_property[SCENARIO_PROPERTY_MAX]; /* "": any */
};

/* Production's defaults, three nodes, some clients, no faults. */
void scenario_init(struct scenario *s, const struct engine_ops *engine, uint64_t seed);
void scenario_release(struct scenario *s);
void scenario_copy(struct scenario *to, const struct scenario *from); /* `to` is uninitialised */

/* Adds a step behind those of the same time. */
void scenario_add(struct scenario *s, const struct sim_step *step);

/* The step that ends `step` after step->for_us, with what `leader` stood for then (`node`; not
 * looked at by steps of links). False: none does (its for_us is part of the step, or 0). */
bool scenario_undo(const struct sim_step *step, uint32_t node, struct sim_step *ret_step);

/* What is noted in the trace (TRACE_FAULT) when a step of this kind is carried out; static. And
 * whether that breaks something (crash, cut ...) rather than mending or moving it. */
const char *scenario_step_note(uint8_t kind);
bool scenario_step_harms(uint8_t kind);
bool scenario_note_harms(const char *note);

/* Time to get going: a cluster that has answered no write until then is counted as down from then
 * on. Eight election time-outs. */
uint64_t scenario_start_us(const struct scenario *s);

/* Is it a possible one? `error` (NULL is legal, here and below) gets one line: what, and what is
 * allowed. Errors: ERR_INVALID. */
MUST_USE int scenario_check(const struct scenario *s, struct buf *error);

/* Text to scenario (initialised by this; release it also on failure) and back. The error line names
 * line and word: "line 7: `craash`: unknown fault; one of crash, kill, ...". Errors: ERR_INVALID.
 */
MUST_USE int scenario_parse(struct bytes text, struct scenario *ret_scenario, struct buf *error);
MUST_USE int scenario_print(const struct scenario *s, struct buf *out); /* ERR_LIMIT: out is full */
void scenario_print_step(const struct sim_step *step,
                         struct buf *out); /* one line without newline; cut when out is full */

/* Reads a file, parses and checks it; the error line names the file. ret_scenario is initialised,
 * also on failure. Errors: ERR_NOT_FOUND, ERR_IO, ERR_TOO_LARGE, ERR_INVALID. */
MUST_USE int scenario_load(const char *path, struct scenario *ret_scenario, struct buf *error);

#endif

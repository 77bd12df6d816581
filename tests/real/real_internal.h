/*
 * real_internal.h - what the files of a run on real processes share.
 *
 *     real.c          a run from its folder to its verdict; the clock, the traces, the phases
 *     real_cluster.c  bringing nodes, links and clients up; asking nodes how they are
 *     real_steps.c    steps of the scenario, and the ends of those that last
 *     real_supports.c which steps can be carried out here
 *     real_files.c    what is done to directories: removed, copied, damaged
 *     real_end.c      how a run ends, and what must be true then
 *
 * One uv timer drives it all (real_tick): traces are read, what is due is done, and the phase looks
 * whether it is over.
 */
#ifndef SYNOD_TESTS_REAL_REAL_INTERNAL_H
#define SYNOD_TESTS_REAL_REAL_INTERNAL_H

#include "base/arena.h"
#include "base/rng.h"
#include "kv/client.h"
#include "tests/real/link.h"
#include "tests/real/process.h"
#include "tests/real/real.h"
#include "tests/real/trace_read.h"
#include "tests/real/workload.h"
#include "tests/sim/trigger.h"

struct uv_loop_s;

enum real_phase {
    PHASE_UP,     /* nodes start; over when all answer */
    PHASE_RUN,    /* the faults */
    PHASE_SETTLE, /* safety: until all have applied the same */
    PHASE_FINAL,  /* every key is read once more */
    PHASE_QUIET,  /* no majority is left: nothing is due, and must not go wrong */
    PHASE_GRACE,  /* liveness: the core may take its time */
    PHASE_STRICT, /* every call to the core is answered */
    PHASE_OVER,
};

/* What a node last said of itself (Maintenance/Status). */
struct real_status {
    bool known;
    bool asked; /* the answer is under way */
    uint64_t commit, applied, durable, hash;
    struct real *real;
    uint32_t node;
};

struct real_node {
    struct trace_read *trace;
    struct real_status status;
    bool out;                /* for good: its disk is damaged, or its image is an old one */
    bool damaged;            /* it may refuse to start, or find damage later */
    bool wiped;              /* it must refuse to start */
    bool restored;           /* an old image was put back: it must find out */
    bool failing;            /* a call to its disk fails: it must stop */
    uint64_t failed_base;    /* calls that had failed before */
    uint64_t failed_us;      /* when the call was seen to have failed; 0: not yet */
    char *saved;             /* path of the copy of its data; NULL: none */
    uint64_t pause_until_us; /* 0: not paused; UINT64_MAX: until the end */
    uint64_t slow_until_us;  /* it is held back by being stopped and continued in turn */
    uint64_t slow_turn_us;   /* so long of each turn it stands still */
    uint64_t slow_switch_us; /* when it is stopped or continued next */
    uint64_t lie_until_us;   /* 0: its disk is honest */
    uint64_t cpu_base_us;    /* at time 0 */
    uint64_t cpu_sample_us;  /* at the last sample */
    uint64_t sync_base;      /* counts of the shim at time 0 */
    uint64_t state_sync_base;
    struct trace_event role; /* while PHASE_UP: the last event about its role */
    bool role_known;
};

struct real {
    const struct scenario *scenario;
    const struct real_options *options;
    struct record *record;
    struct buf *error; /* of the caller */
    int err;           /* not OK: no verdict */
    uint8_t phase;     /* enum real_phase */
    bool temporary;    /* the folder is removed at the end */
    bool trigger_ready;
    bool leaderless;
    char folder[PROCESS_PATH_MAX];
    uint16_t peer_ports[SIM_NODES_MAX];
    uint16_t client_ports[SIM_NODES_MAX];
    char endpoints_text[SIM_NODES_MAX][80];
    const char *endpoints[SIM_NODES_MAX];

    struct uv_loop_s *loop;
    struct real_handles *handles; /* of libuv */
    struct link_layer *links;
    struct processes *processes;
    struct workload *workload;
    struct client *asker;  /* of statuses */
    struct keeper *keeper; /* of the folder, while it is temporary */
    struct trigger trigger;
    struct rng rng; /* of damage */
    struct arena arena;
    struct real_node nodes[SIM_NODES_MAX + 1];                           /* by id */
    struct link_state links_state[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1]; /* from, to */
    struct trace_event *events;                                          /* read by this poll */
    size_t events_count, events_capacity;

    uint64_t start_ns;    /* uv_hrtime at time 0 */
    uint64_t deadline_us; /* of the phase */
    uint64_t sample_us;   /* of CPU times, next */
    uint32_t sample_leader;
    uint64_t progress_us; /* next */
    uint64_t ask_us;      /* statuses, next */
    uint64_t bytes_base;  /* of links, at time 0 */
    uint64_t write_us;    /* when a write was answered last; 0: never */
    uint64_t gap_us;
    uint64_t epoch;                     /* highest that had a leader */
    uint64_t leaders;                   /* how often one became leader in a higher one */
    uint64_t answered[SIM_CLIENTS_MAX]; /* when PHASE_STRICT began */
    uint64_t strict_leaders;
};

/* real.c */
uint64_t real_now_us(const struct real *r); /* since time 0; 0 before */
/* It cannot go on: the error line is what `format` makes of it; the first one stays. */
void real_abort(struct real *r, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The error line is there already. */
void real_abort_said(struct real *r, int err);
void real_fail(struct real *r, const char *property, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void real_note(struct real *r, uint32_t node, const char *note); /* TRACE_FAULT; static */
void real_events(struct real *r);                                /* reads what was traced */
void real_roles(struct real *r); /* at time 0: who leads and who follows already */
void real_phase(struct real *r, enum real_phase phase, uint64_t patience_us);
/* Does the run go on? Not when it is red or cannot. */
bool real_goes_on(const struct real *r);
/* An answer that cannot be; for the workload. */
void real_on_fail(void *ctx, const char *property, const char *text);
void real_on_write(void *ctx, uint64_t us);

/* real_cluster.c */
MUST_USE int real_cluster_new(struct real *r);
MUST_USE int real_start_node(struct real *r, uint32_t node); /* the error line is there */
void real_totals(struct real *r, bool begin);       /* of the record: at time 0, and at the end */
void real_node_gone(struct real *r, uint32_t node); /* its process is not there any more */
uint32_t real_up(const struct real *r);             /* how many processes there are */
uint32_t real_leader(const struct real *r);
/* Asks all nodes that are up; their status is not known until they answer. */
void real_ask(struct real *r);
bool real_asked(const struct real *r); /* all answers are there, or will not come */
void real_ready(struct real *r);       /* PHASE_UP: looks whether all are up, and begins */

/* real_supports.c */
bool real_loses_power(const struct scenario *s);

/* real_steps.c */
void real_step(struct real *r, const struct sim_step *step, uint64_t at_us);
void real_step_ends(struct real *r); /* pauses and the like that are over */
void real_links_join(struct real *r, uint32_t from, uint32_t to); /* as the scenario began */
void real_disk_mend(struct real *r, uint32_t node);
struct link_state real_link_default(const struct scenario *s);
uint64_t real_sync_delay_default(const struct scenario *s);

/* real_files.c */
MUST_USE int real_files_remove(const char *path, struct buf *error);
MUST_USE int real_files_copy(const char *from, const char *to, struct buf *error);
/* A file below `folder`, chosen by `rng`, is gone, or has one bit less right. False: there is none.
 */
bool real_files_lose(const char *folder, struct rng *rng);
bool real_files_flip(const char *folder, struct rng *rng);

/* real_end.c */
void real_end(struct real *r);       /* the faults are over */
void real_end_tick(struct real *r);  /* later phases */
void real_end_check(struct real *r); /* the history, when everything is closed */

#endif

/*
 * workload.h - the clients of a scenario against real nodes: kv/client on a libuv loop, with the
 * same keys, operations, values and history as the simulator's (tests/sim/sim_client.c).
 *
 * Each client has one call at a time. A call goes to one node, chosen anew each time, and once;
 * with the chance `retry` it goes by a client of the same program that repeats it at other nodes,
 * under the name of its session. An answer that leaves open whether a write was applied ends the
 * operation as unknown, and the client comes back under a new name.
 *
 * What can be seen by looking at answers alone is checked here: a value nobody wrote (P2), a value
 * at two revisions (K2), two values at one revision (K4), an answer that is older than what was
 * answered before the call began (R9, K4), a node that goes back in one life (K7).
 *
 * Times are microseconds and nanoseconds since options.start_ns. Loop thread only.
 */
#ifndef SYNOD_TESTS_REAL_WORKLOAD_H
#define SYNOD_TESTS_REAL_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "tests/sim/history.h"
#include "tests/sim/scenario.h"

struct uv_loop_s;
struct workload;

struct workload_options {
    const struct scenario *scenario;          /* borrowed until it is closed */
    const char *const *endpoints;             /* "host:port" by node - 1; copied */
    struct history *history;                  /* borrowed until it is closed */
    uint64_t start_ns;                        /* uv_hrtime at time 0 of the run */
    void (*on_write)(void *ctx, uint64_t us); /* a write was answered OK; NULL: nobody asks */
    /* An answer that cannot be. Property as in properties.md, "" when none says it. */
    void (*on_fail)(void *ctx, const char *property, const char *text);
    void *ctx;
};

struct workload_counts {
    uint64_t calls;
    uint64_t writes_ok;
    uint64_t reads_ok;
    uint64_t failed;    /* certainly without effect */
    uint64_t unknown;   /* writes */
    uint64_t abandoned; /* calls whose client did not want to wait for the answer */
    uint64_t missed;    /* with a rate: no client was free then */
};

/* Makes the clients; they do nothing yet. Errors: ERR_INVALID (an endpoint), with a line. */
MUST_USE int workload_new(struct uv_loop_s *loop, const struct workload_options *options,
                          struct workload **ret_workload, struct buf *error);

/* The clients begin. Once. */
void workload_start(struct workload *w);
/* No new operations: what is under way is finished. */
void workload_stop(struct workload *w);
/* Whether all clients have finished, after stop or final. */
bool workload_idle(const struct workload *w);
/* After stop, when idle: one client reads every key once more, linearizably. */
void workload_final(struct workload *w);

/* From now on every call goes to a node of `core` (by node) and must be answered in timeout_us: one
 * that is not is on_fail R11. What is under way is given up. */
void workload_strict(struct workload *w, const bool core[SIM_NODES_MAX + 1], uint64_t timeout_us);

/* The process of a node began (true) or ended. All are held to be up at first. */
void workload_node(struct workload *w, uint32_t node, bool up);

void workload_counts(const struct workload *w, struct workload_counts *ret_counts);
/* When a write was answered last; 0: never. */
uint64_t workload_write_us(const struct workload *w);
/* OK answers that a client (from 0) got, and the last thing it was told besides. */
uint64_t workload_answered(const struct workload *w, uint32_t client, const char **ret_last);

/* Ends everything; operations that are open stay unknown in the history. on_closed comes from the
 * loop when it is freed. */
void workload_close(struct workload *w, void (*on_closed)(void *ctx), void *ctx);

#endif

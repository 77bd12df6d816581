/*
 * trial.h - a run in a process of its own.
 *
 * A run that dies by a signal (an ASSERT of the product, a sanitizer) or that does not come to an
 * end is then a red run of its seed and not the end of the program. Nothing leaks from one run into
 * the next. What the process writes to stderr is kept until the end.
 *
 * Either trial_run, or trial_start, trial_read whenever fd is readable until it says true, and
 * trial_end. One thread.
 */
#ifndef SYNOD_TESTS_SIM_TRIAL_H
#define SYNOD_TESTS_SIM_TRIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/sim/sim.h"

/* Runs in the child. */
struct trial_work {
    void (*execute)(void *ctx, struct sim_result *ret_result);
    void *ctx;
};

struct trial {
    pid_t pid;
    int fd;        /* the result comes here; readable at the end */
    int errors_fd; /* what the child wrote to stderr */
    size_t got;
    uint64_t cpu_us; /* after the end: what it cost on one core */
    struct sim_result result;
};

/* Starts the child. Errors: ERR_IO (no process or no file could be made). */
MUST_USE int trial_start(struct trial *t, const struct trial_work *work);

/* Reads what is there; true: the child is at its end, call trial_end. */
bool trial_read(struct trial *t);

/* Waits for the child and gives its result: its own, or one that says how it died. */
void trial_end(struct trial *t, struct sim_result *ret_result);

/* Ends the child now; the trial is over. */
void trial_kill(struct trial *t);

/* As trial_end, of a child that took longer than limit_s of real time. */
void trial_end_late(struct trial *t, uint32_t limit_s, struct sim_result *ret_result);

struct trial_limits {
    uint32_t real_s; /* a run that takes longer is red */
    bool echo;       /* the child's stderr is copied to ours at the end */
};

/* Runs work to its end. ret_cpu_us may be NULL. Errors: ERR_IO. */
MUST_USE int trial_run(const struct trial_work *work, const struct trial_limits *limits,
                       struct sim_result *ret_result, uint64_t *ret_cpu_us);

/* The work that only executes a scenario. */
struct trial_work trial_scenario(const struct scenario *scenario);

#endif

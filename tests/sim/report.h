/*
 * report.h - results of the simulator for people and for programs: one run, and a sweep with what
 * happened in it (S4) and what was reached.
 */
#ifndef SYNOD_TESTS_SIM_REPORT_H
#define SYNOD_TESTS_SIM_REPORT_H

#include <stdio.h>

#include "tests/sim/sweep.h"

enum {
    /* Runs of an engine after which a sweep must have reached every mark and every fault. */
    REPORT_REACH_RUNS = 200,
};

/* What a report says of a run besides its result. */
struct report_run {
    const char *name;    /* "raft:42" */
    const char *words;   /* the arguments that make it again */
    const char *program; /* as it was called */
    const char *build;
    const struct scenario *scenario;
    bool short_form; /* one line when green */
};

void report_run(FILE *out, const struct report_run *run, const struct sim_result *result);

/* "1h02m", "3m05s", "12.5s", "340ms": real or virtual time, short. */
enum { REPORT_TIME_MAX = 32 };
void report_time(uint64_t us, char text[REPORT_TIME_MAX]);

/* The tables of a sweep and its red runs, with the command that makes each again. */
void report_sweep(FILE *out, const struct sweep *s, const char *program);

/* Whether the engine can count this at all (a leaderless one has no leader changes). */
bool report_count_applies(const struct engine_ops *engine, uint32_t count);

/* Prints what was never reached, a line each, and returns how many things that were. */
uint32_t report_unreached(FILE *out, const struct sweep *s);

/* The same as one JSON object. Errors: ERR_IO, with its cause in errno. */
MUST_USE int report_json(const char *path, const struct sweep *s, uint32_t unreached);

/* The flags of a sweep that a command for one of its runs needs too: " --nodes 5". */
void report_swarm_flags(const struct swarm_options *swarm, struct buf *out);

#endif

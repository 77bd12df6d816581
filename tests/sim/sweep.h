/*
 * sweep.h - many seeds, several at a time, each in a process of its own; and what they add up to.
 *
 * Jobs are numbered: job j is engine j % engines_count and seed from + j / engines_count, so that
 * an ended sweep has done the same for every engine. What is done can be kept in a file, and a
 * sweep that was interrupted goes on from there. One thread; the clock comes as a function.
 */
#ifndef SYNOD_TESTS_SIM_SWEEP_H
#define SYNOD_TESTS_SIM_SWEEP_H

#include "tests/sim/sim.h"
#include "tests/sim/swarm.h"
#include "tests/sim/trial.h"

enum {
    SWEEP_ENGINES_MAX = 8,
    SWEEP_JOBS_MAX = 256,
    SWEEP_REDS_MAX = 10, /* kept with their text */
};

struct sweep;

struct sweep_options {
    const struct engine_ops *engines[SWEEP_ENGINES_MAX];
    uint32_t engines_count;
    uint64_t from;
    uint64_t seeds;   /* per engine; UINT64_MAX: until the time is over */
    uint64_t time_us; /* of real time, then no new runs; UINT64_MAX: no limit */
    uint32_t jobs;    /* at a time */
    uint32_t run_limit_s;
    bool until_red; /* no new runs after a red one */
    struct swarm_options swarm;
    const char *resume; /* file; NULL: none */
    const char *build;  /* of this program, for the file */
    uint64_t (*now_us)(void);
    uint32_t (*interrupts)(void); /* > 0: end now, runs under way are not counted */
    void (*progress)(void *ctx, const struct sweep *s); /* several times a second */
    void *progress_ctx;
};

/* Of one engine. */
struct sweep_totals {
    uint64_t runs;
    uint64_t red;
    uint64_t virtual_us;
    uint64_t cpu_us;
    uint64_t gap_us;    /* longest */
    uint64_t settle_us; /* longest */
    uint64_t hash;      /* of all seeds and their trace hashes, in any order */
    uint64_t counts[SIM_COUNTS];
    uint64_t marks[MARKS];
};

struct sweep_red {
    uint64_t job;
    uint64_t at_us;
    char property[8];
    char text[768];
};

struct sweep {
    const struct sweep_options *options;
    struct sweep_totals totals[SWEEP_ENGINES_MAX];
    struct sweep_red reds[SWEEP_REDS_MAX]; /* those with the lowest job numbers, ascending */
    uint32_t reds_count;
    uint64_t low;    /* all jobs below it are done */
    uint64_t *ahead; /* jobs above it that are done */
    size_t ahead_count;
    size_t ahead_capacity;
    uint64_t runs;    /* done, those of a resumed file included */
    uint64_t resumed; /* of these, done before */
    uint64_t red;
    uint64_t start_us;
    uint64_t before_us; /* real time of the sweep before it was interrupted */
    bool interrupted;
};

const struct engine_ops *sweep_job_engine(const struct sweep_options *options, uint64_t job);
uint64_t sweep_job_seed(const struct sweep_options *options, uint64_t job);

/* How many jobs there are; UINT64_MAX: no end. */
uint64_t sweep_jobs(const struct sweep_options *options);

/* Real time so far, earlier parts included. */
uint64_t sweep_elapsed(const struct sweep *s);

/*
 * Runs the sweep; *s is initialised by this, release it also on failure. Errors, with one line in
 * `error`: ERR_INVALID (the resume file does not parse), ERR_MISMATCH (it is of another build or
 * other options), ERR_IO (it cannot be read or written, no process can be made).
 */
MUST_USE int sweep_run(struct sweep *s, const struct sweep_options *options, struct buf *error);
void sweep_release(struct sweep *s);

/* sweep_state.c: the file. A file that is not there is an empty sweep. Errors as above. */
MUST_USE int sweep_load(struct sweep *s, struct buf *error);
MUST_USE int sweep_save(const struct sweep *s, struct buf *error);

/* Notes a job as done. */
void sweep_mark_done(struct sweep *s, uint64_t job);

#endif

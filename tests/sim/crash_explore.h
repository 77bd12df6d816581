/*
 * crash_explore.h - runs workloads over a store on real files and looks at what crashes leave.
 *
 * Each workload is run once while its file operations are recorded. Then, for each moment, each
 * image that a crash may leave is made and opened by a store of its own (D2, D4, D8). And it is run
 * again for each of its calls that may fail (D6, D7): the store must give a fatal error and repeat
 * it without touching the disk, and what the process leaves behind must open again.
 *
 * The program must define the functions of the C library as file_journal.h says. Nothing in here
 * forks; one explorer per process.
 */
#ifndef SYNOD_TESTS_SIM_CRASH_EXPLORE_H
#define SYNOD_TESTS_SIM_CRASH_EXPLORE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/crash_points.h"
#include "tests/sim/file_image.h"

/* Which crashes there are. */
struct crash_scope {
    bool whole;  /* moments of the whole workload; else of its last operation only, as those
                    before belong to a shorter workload */
    bool strict; /* with FILE_NAMES_STRICT too */
    bool faults; /* calls that fail */
    bool apart;  /* an image after a failed call is another one, as its outcome is counted apart */
    uint32_t sample;     /* one of so many images is looked at; 0, 1: all */
    uint32_t go_on;      /* one of so many must also take a write; 0: none */
    uint32_t blocks_max; /* as in file_state_losses */
};

/* Plain data: may be shared with another process. */
struct crash_tally {
    uint64_t workloads;
    uint64_t points;  /* moments of a crash */
    uint64_t images;  /* different images with what is allowed for them */
    uint64_t checked; /* of these, looked at */
    uint64_t losses;  /* crashes, of which many leave the same image */
    uint64_t faults;  /* calls that failed */
    uint64_t refused; /* of these: the operation failed; else it could go on without the call */
    uint64_t spoilt;  /* images that were refused, as they may: see crash_explore.c */
    bool red;
    char text[3072]; /* of the first that was wrong */
};

struct crash_explorer;

/* `dir`: an empty directory for everything. All is borrowed. */
struct crash_explorer *crash_explorer_new(const struct crash_rig *rig,
                                          const struct crash_scope *scope, const char *dir,
                                          struct crash_tally *tally);
void crash_explorer_free(struct crash_explorer *x); /* NULL is legal */

/*
 * Does nothing when the tally is red. Gives the outcomes that were seen with an operation under
 * way: a sum of enum crash_outcome; of those with a failed call, shifted by CRASH_FAULT_SHIFT.
 */
uint32_t crash_explore(struct crash_explorer *x, const struct crash_workload *w);

#endif

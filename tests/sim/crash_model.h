/*
 * crash_model.h - the workloads of crash_points.h over the model disk (tests/sim/disk.h).
 *
 * The model disk has no moments between file operations to choose from, but what leads to the same
 * ends: power losses with syncs held back, after the sync, kills, and failing writes and syncs.
 * What is left is judged as on real files, so the two can be compared.
 */
#ifndef SYNOD_TESTS_SIM_CRASH_MODEL_H
#define SYNOD_TESTS_SIM_CRASH_MODEL_H

#include "tests/sim/crash_points.h"

/* Plain data. */
struct crash_model_tally {
    uint64_t workloads;
    uint64_t crashes; /* power losses and kills, each judged */
    uint64_t faults;  /* calls that failed */
    bool red;
    char text[3072]; /* of the first that was wrong */
};

/*
 * Runs a workload with each crash of its last operation, each with disks of the seeds
 * [seed, seed + seeds). The rig needs the operations of the model disk; its device is not used.
 * Gives outcomes as crash_explore does. Does nothing when the tally is red.
 */
uint32_t crash_model_explore(const struct crash_rig *rig, const struct crash_workload *w,
                             uint64_t seed, uint32_t seeds, struct crash_model_tally *tally);

#endif

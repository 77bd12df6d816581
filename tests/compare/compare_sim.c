/*
 * compare_sim.c - a trial of a comparison in the simulator.
 */
#include <stdio.h>
#include <string.h>

#include "tests/compare/compare.h"
#include "tests/sim/sim.h"

void compare_trial_sim(const struct scenario *scenario, struct measured *ret_measured)
{
    struct sim_hooks hooks = {0};
    struct sim_result result;
    struct record record;
    record_init(&record, scenario, false);
    hooks.trace = record_sink(&record);
    hooks.history = record.history;
    sim_execute(scenario, &hooks, &result);
    record.totals[TOTAL_BYTES] = result.length_counts[COUNT_BYTES];
    record.totals[TOTAL_SYNCS] = result.length_counts[COUNT_LOG_SYNCS];
    record.totals[TOTAL_STATE_SYNCS] = result.length_counts[COUNT_STATE_SYNCS];
    record.totals[TOTAL_DISK_FAILURES] = result.counts[COUNT_EIO_WRITES] +
                                         result.counts[COUNT_EIO_SYNCS] +
                                         result.counts[COUNT_ENOSPC];
    record.undecided = result.counts[COUNT_UNDECIDED] > 0;
    if (result.red) {
        record_fail(&record, result.property, "%s", result.text);
        record.end_us = u64_min(record.length_us, result.at_us);
    }
    measure_record(&record, ret_measured);
    measure_missing(scenario, &record, ret_measured);
    record_release(&record);
}

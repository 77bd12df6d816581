/*
 * loss.h - counts, from a history that ends with a read of every key, what was acknowledged and is
 * gone, and what was done twice.
 *
 * The verdict is the linearizability checker's (lincheck.h); these are the two numbers that people
 * ask for. Both are lower bounds: what they count is certainly wrong.
 */
#ifndef SYNOD_TESTS_COMPARE_LOSS_H
#define SYNOD_TESTS_COMPARE_LOSS_H

#include "tests/sim/history.h"

/* Acknowledged writes that the last read of their key contradicts: an appended element is not in
 * its list; a register has a value (or none) that was certainly replaced before the write. */
uint64_t loss_lost(const struct history *h);

/* Elements that are in a list more than once. Values are unique in a workload, so no client asked
 * for that. */
uint64_t loss_duplicated(const struct history *h);

#endif

/*
 * lincheck_sample.h - histories of a correct store, of any size, to try the checker on.
 */
#ifndef SYNOD_TESTS_SIM_LINCHECK_SAMPLE_H
#define SYNOD_TESTS_SIM_LINCHECK_SAMPLE_H

#include "tests/sim/history.h"

struct lincheck_sample {
    uint64_t seed;
    uint32_t operations;
    uint32_t clients;
    uint32_t keys;
    uint32_t values;              /* different ones for each key; 0: each is written once */
    uint32_t unknown_percent;     /* of operations; half of those take effect, some long after */
    uint32_t kinds[HIST_TXN + 1]; /* weights */
};

/* Gets and writes of a store that does one thing at a time; each takes effect between its call and
 * its return. A client makes the next call a little later; after an unknown outcome under a new
 * name. Free it. */
struct history *lincheck_sample(const struct lincheck_sample *sample);

#endif

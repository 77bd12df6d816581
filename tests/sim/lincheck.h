/*
 * lincheck.h - is a history linearizable? (Herlihy and Wing 1990; the search of Wing and Gong 1993
 * with the memory of Lowe 2017, as in Knossos and Porcupine.)
 *
 * Keys that no transaction joins are checked one by one (linearizability is local). An operation
 * with result unknown may take effect at any time after its call, or never; one that failed never
 * did.
 */
#ifndef SYNOD_TESTS_SIM_LINCHECK_H
#define SYNOD_TESTS_SIM_LINCHECK_H

#include "tests/sim/history.h"

enum lincheck_verdict {
    LINCHECK_OK = 0,
    LINCHECK_WRONG = 1,
    LINCHECK_INVALID = 2, /* the history contradicts itself: a client with two open calls, ... */
    LINCHECK_GAVE_UP = 3, /* steps_max were not enough */
};

struct lincheck_options {
    uint64_t steps_max; /* of the search, for all keys together; 0: no limit */
    /* asked now and then: true gives up (a time limit belongs to the caller); NULL: never */
    bool (*give_up)(void *ctx);
    void *ctx;
};

struct lincheck_report {
    uint64_t operations;
    uint64_t partitions;
    uint64_t steps;
    uint32_t op;    /* WRONG: the first return that no order explains */
    char text[512]; /* one line: verdict, key, that operation, the longest order found before it */
};

int lincheck_run(struct history *h, const struct lincheck_options *options,
                 struct lincheck_report *ret_report);

#endif

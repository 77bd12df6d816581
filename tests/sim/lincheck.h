/*
 * lincheck.h - is a history linearizable? (Herlihy and Wing 1990; the search of Wing and Gong 1993
 * with the memory of Lowe 2017, as in Knossos and Porcupine.)
 *
 * Keys that no transaction joins are checked one by one (linearizability is local). An operation
 * with result unknown may take effect at any time after its call, or never; one that failed never
 * did. All keys are absent at first. Deterministic.
 */
#ifndef SYNOD_TESTS_SIM_LINCHECK_H
#define SYNOD_TESTS_SIM_LINCHECK_H

#include "tests/sim/history.h"

enum lincheck_verdict {
    LINCHECK_OK = 0,
    LINCHECK_WRONG = 1,
    LINCHECK_INVALID = 2, /* the history contradicts itself, see history_validate */
    LINCHECK_GAVE_UP = 3, /* steps_max, give_up or the memory for it were not enough */
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
    uint32_t op; /* WRONG: the first return that no order explains, of all keys; else UINT32_MAX */
    char text[768]; /* one line: verdict, key, that operation, the longest order found before it */
};

/*
 * The verdict. `options` NULL: no limits.
 *
 * "The first return that no order explains": what was answered up to it, not including it, has an
 * order, in which operations without an answer by then may take part; including it there is none.
 * That needs every order up to it to fail, which may take far longer than the verdict; so it is
 * given up after some million steps. Then `op` is the first one for which no order was found in few
 * steps, and the text says "or of one after it": all before it is explained, WRONG stays certain.
 */
enum lincheck_verdict lincheck_run(const struct history *h, const struct lincheck_options *options,
                                   struct lincheck_report *ret_report);

#endif

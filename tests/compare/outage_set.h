/*
 * outage_set.h - many runs of outages, in processes, and samples of what they show.
 */
#ifndef SYNOD_TESTS_COMPARE_OUTAGE_SET_H
#define SYNOD_TESTS_COMPARE_OUTAGE_SET_H

#include "tests/compare/outage.h"

enum outage_measure {
    OUTAGE_DOWN,      /* longest time without an answered write, us */
    OUTAGE_SILENT,    /* sum of those longer than an election time-out, us */
    OUTAGE_FIRST,     /* cut to the first answer of a write called after it, us; none: all of it */
    OUTAGE_WRITES,    /* answered */
    OUTAGE_LEADERS,   /* leader changes a minute */
    OUTAGE_CAMPAIGNS, /* campaigns a minute */
    OUTAGE_DEAD,      /* 1: no write was answered in the second half, 0 */
};

struct outage_set {
    struct outage *jobs;           /* owned */
    struct outage_result *results; /* one for each, NULL before outage_set_run */
    uint32_t count;
    uint32_t capacity;
};

void outage_set_init(struct outage_set *set);
void outage_set_release(struct outage_set *set);

/* Seeds first_seed, first_seed + 1 ..: `count` runs like `o`. */
void outage_set_add(struct outage_set *set, const struct outage *o, uint32_t count);

/* Runs all. Errors: ERR_CANCELED (progress said so). */
MUST_USE int outage_set_run(struct outage_set *set, const struct figure_options *options);

/* A measure of the runs that are like `o` but for the seed, of those whose leader was in its place.
 * Returns how many there are; ret_samples (NULL: only count) has room for set->count. */
uint32_t outage_set_samples(const struct outage_set *set, const struct outage *o,
                            enum outage_measure measure, double *ret_samples);

/* The run like `o` that was down longest; NULL: there is none. */
const struct outage *outage_set_worst(const struct outage_set *set, const struct outage *o);

/* Answered writes a second in each bucket, the mean of the runs like `o`. */
void outage_set_rates(const struct outage_set *set, const struct outage *o,
                      double ret_rates[OUTAGE_BUCKETS]);

/* Checks that are the same for every set: no property violated, every run done, leaders in place.
 * Adds them to the figure. */
void outage_set_check(const struct outage_set *set, const struct figure_options *options,
                      struct figure *f);

#endif

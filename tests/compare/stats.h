/*
 * stats.h - medians, quantiles and confidence of samples, without assuming their distribution.
 *
 * NAN in samples is left out. Pure.
 */
#ifndef SYNOD_TESTS_COMPARE_STATS_H
#define SYNOD_TESTS_COMPARE_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sorted copy without NAN; free it. */
double *stats_sorted(const double *samples, size_t count, size_t *ret_count);

/* Linear interpolation between order statistics (Hyndman and Fan, type 7); NAN when there are none.
 * share: 0 to 1. */
double stats_quantile(const double *sorted, size_t count, double share);
double stats_mean(const double *samples, size_t count);

/* A range that holds the quantile of the population with at least 95 %: order statistics by the
 * binomial distribution. False when there are too few samples to say; then the range is all of
 * them. */
bool stats_quantile_range(const double *sorted, size_t count, double share, double *ret_low,
                          double *ret_high);

/* A range for a proportion (Wilson's score interval, 95 %). */
void stats_share_range(uint64_t hits, uint64_t count, double *ret_low, double *ret_high);

/* What a table shows of samples. */
struct stats_summary {
    size_t count;
    double min, p25, median, p75, p90, p95, p99, max, mean;
    double low, high; /* of the median, see above */
    bool sure;        /* the range has 95 % */
};
void stats_summary(const double *samples, size_t count, struct stats_summary *ret_summary);

#endif

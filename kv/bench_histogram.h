/*
 * bench_histogram.h - latencies in log-linear buckets: under 1 % error from 1 us to over an hour,
 * fixed memory.
 */
#ifndef SYNOD_KV_BENCH_HISTOGRAM_H
#define SYNOD_KV_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 7, /* 128 buckets per power of two */
    HISTOGRAM_BUCKETS = (33 - HISTOGRAM_SUB_BITS) << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Counts one value; values of 2^32 and more count as the largest bucket. */
void histogram_add(struct histogram *h, uint64_t value);

/* The value below or at which `parts_per_million` of all values lie (990000: p99); 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, uint32_t parts_per_million);

/* The mean; 0 when empty. */
uint64_t histogram_mean(const struct histogram *h);

#endif

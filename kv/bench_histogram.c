/*
 * bench_histogram.c - see bench_histogram.h.
 */
#include "kv/bench_histogram.h"

#include "base/mem.h"

enum { SUB = 1 << HISTOGRAM_SUB_BITS };

/* Values below SUB have a bucket each; above, each power of two has SUB buckets. */
static uint32_t bucket_of(uint64_t value)
{
    uint32_t top;
    uint32_t shift;

    if (value < SUB) {
        return (uint32_t) value;
    }
    if (value > UINT32_MAX) {
        return HISTOGRAM_BUCKETS - 1;
    }
    top = 63 - (uint32_t) __builtin_clzll(value);
    shift = top - HISTOGRAM_SUB_BITS;
    return ((shift + 1) << HISTOGRAM_SUB_BITS) + (uint32_t) ((value >> shift) - SUB);
}

/* The largest value of a bucket. */
static uint64_t bucket_top(uint32_t bucket)
{
    uint32_t shift;

    if (bucket < SUB) {
        return bucket;
    }
    shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    return ((((uint64_t) bucket & (SUB - 1)) + SUB + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    h->count++;
    h->sum += value;
    h->max = u64_max(h->max, value);
    h->buckets[bucket_of(value)]++;
}

uint64_t histogram_quantile(const struct histogram *h, uint32_t parts_per_million)
{
    uint64_t rank = (h->count * parts_per_million + 999999) / 1000000;
    uint64_t seen = 0;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && h->count > 0; i++) {
        seen += h->buckets[i];
        if (seen >= rank && seen > 0) {
            return u64_min(bucket_top(i), h->max);
        }
    }
    return h->max;
}

uint64_t histogram_mean(const struct histogram *h)
{
    return h->count == 0 ? 0 : h->sum / h->count;
}

/*
 * stats.c - see stats.h. Sums are made in one order, so that a result depends on the samples alone.
 */
#include "tests/compare/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

/* What may be missed at one end of a range that holds with 95 %. */
static const double tail_share = 0.025;
/* The point that a standard normal value exceeds in that share. */
static const double tail_point = 1.959963984540054;

static int compare(const void *left, const void *right)
{
    const double *a = left;
    const double *b = right;

    return (*a > *b) - (*a < *b);
}

double *stats_sorted(const double *samples, size_t count, size_t *ret_count)
{
    double *sorted = xcalloc(count, sizeof(*sorted));
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        if (!isnan(samples[i])) {
            sorted[used] = samples[i];
            used++;
        }
    }
    if (used > 0) {
        qsort(sorted, used, sizeof(*sorted), compare);
    }
    *ret_count = used;
    return sorted;
}

double stats_quantile(const double *sorted, size_t count, double share)
{
    double place;
    double below;
    size_t i;

    ASSERT(share >= 0 && share <= 1);
    if (count == 0) {
        return NAN;
    }
    place = (double) (count - 1) * share;
    below = floor(place);
    i = (size_t) below;
    /* Equal neighbours may both be infinite: their difference is no number. */
    if (i + 1 >= count || place == below || sorted[i] == sorted[i + 1]) {
        return sorted[i];
    }
    return sorted[i] + (place - below) * (sorted[i + 1] - sorted[i]);
}

double stats_mean(const double *samples, size_t count)
{
    double sum = 0;
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        if (!isnan(samples[i])) {
            sum += samples[i];
            used++;
        }
    }
    return used == 0 ? NAN : sum / (double) used;
}

/* The probabilities of 0 to count hits among count trials, times a common factor: the largest is 1,
 * the others follow from their neighbours, so that nothing overflows and what underflows does not
 * matter. Returns their sum. */
static double binomial(size_t count, double share, double *weights)
{
    size_t mode = (size_t) u64_min((uint64_t) floor((double) (count + 1) * share), count);
    double odds = share / (1 - share);
    double sum = 0;

    weights[mode] = 1;
    for (size_t k = mode; k > 0; k--) {
        weights[k - 1] = weights[k] * ((double) k / (double) (count - k + 1)) / odds;
    }
    for (size_t k = mode; k < count; k++) {
        weights[k + 1] = weights[k] * ((double) (count - k) / (double) (k + 1)) * odds;
    }
    for (size_t k = 0; k <= count; k++) {
        sum += weights[k];
    }
    return sum;
}

/*
 * How many samples lie below the quantile is binomial. Sample number l (from 1) is above it when
 * fewer than l do, sample number h is below it when at least h do: the largest l and the smallest h
 * for which that has at most 2.5 % each.
 */
bool stats_quantile_range(const double *sorted, size_t count, double share, double *ret_low,
                          double *ret_high)
{
    double *weights;
    double allowed;
    double tail;
    size_t low = 0;
    size_t high = count + 1;

    ASSERT(share >= 0 && share <= 1);
    *ret_low = count == 0 ? NAN : sorted[0];
    *ret_high = count == 0 ? NAN : sorted[count - 1];
    if (count == 0 || share == 0 || share == 1) {
        return false;
    }
    weights = xcalloc(count + 1, sizeof(*weights));
    allowed = tail_share * binomial(count, share, weights);
    tail = 0;
    while (low < count && tail + weights[low] <= allowed) {
        tail += weights[low];
        low++;
    }
    tail = 0;
    while (high > 1 && tail + weights[high - 1] <= allowed) {
        high--;
        tail += weights[high];
    }
    free(weights);
    if (low == 0 || high > count) {
        return false;
    }
    *ret_low = sorted[low - 1];
    *ret_high = sorted[high - 1];
    return true;
}

void stats_share_range(uint64_t hits, uint64_t count, double *ret_low, double *ret_high)
{
    double n = (double) count;
    double share;
    double square = tail_point * tail_point;
    double middle;
    double half;

    ASSERT(hits <= count);
    if (count == 0) {
        *ret_low = 0;
        *ret_high = 1;
        return;
    }
    share = (double) hits / n;
    middle = (share + square / (2 * n)) / (1 + square / n);
    half = tail_point * sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n);
    /* At the ends the score interval touches them; rounding must not move it away. */
    *ret_low = hits == 0 ? 0 : middle - half;
    *ret_high = hits == count ? 1 : middle + half;
}

void stats_summary(const double *samples, size_t count, struct stats_summary *ret_summary)
{
    struct stats_summary *s = ret_summary;
    double *sorted = stats_sorted(samples, count, &s->count);

    s->min = stats_quantile(sorted, s->count, 0);
    s->p25 = stats_quantile(sorted, s->count, 0.25);
    s->median = stats_quantile(sorted, s->count, 0.5);
    s->p75 = stats_quantile(sorted, s->count, 0.75);
    s->p90 = stats_quantile(sorted, s->count, 0.9);
    s->p95 = stats_quantile(sorted, s->count, 0.95);
    s->p99 = stats_quantile(sorted, s->count, 0.99);
    s->max = stats_quantile(sorted, s->count, 1);
    s->mean = stats_mean(sorted, s->count);
    s->sure = stats_quantile_range(sorted, s->count, 0.5, &s->low, &s->high);
    free(sorted);
}

/*
 * timer_policy.c - the lengths of election and candidate timers. See timer_policy.h.
 */
#include "consensus/timer_policy.h"

#include "base/assert.h"
#include "base/mem.h"

/* Longest that may be set: far enough from 2^64 that 64-fold spreads and sums do not overflow. */
#define TIMER_MAX_US (UINT64_MAX / 1024)

bool timer_policy_valid(const struct consensus_options *o)
{
    if (o->election_us > TIMER_MAX_US || o->election_spread_us > TIMER_MAX_US ||
        o->candidate_us > TIMER_MAX_US || o->candidate_spread_us > TIMER_MAX_US) {
        return false;
    }
    return o->candidate_us != 0 || o->candidate_spread_us == 0;
}

struct timer_range timer_election_range(const struct consensus_options *o)
{
    uint64_t spread_us = o->election_spread_us == 0 ? o->election_us : o->election_spread_us;
    return (struct timer_range){.base_us = o->election_us, .spread_us = spread_us};
}

static uint64_t draw(struct rng *rng, struct timer_range range)
{
    ASSERT(range.spread_us > 0);
    return range.base_us + rng_below(rng, range.spread_us);
}

uint64_t timer_election(const struct consensus_options *o, struct rng *rng)
{
    return draw(rng, timer_election_range(o));
}

bool timer_candidate_own(const struct consensus_options *o)
{
    return o->candidate_us != 0;
}

uint64_t timer_candidate(const struct consensus_options *o, struct rng *rng,
                         struct timer_range usual, uint32_t failed)
{
    struct timer_range range = usual;
    if (timer_candidate_own(o)) {
        range.base_us = o->candidate_us;
        range.spread_us = o->candidate_spread_us == 0 ? o->candidate_us : o->candidate_spread_us;
    }
    if (o->candidate_backoff) {
        range.spread_us <<= u64_min(failed, TIMER_DOUBLINGS_MAX);
    }
    return draw(rng, range);
}

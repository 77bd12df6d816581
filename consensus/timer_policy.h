/*
 * timer_policy.h - how long followers wait for a leader, and candidates for a result.
 *
 * The engines say when a timer starts; how long it runs is drawn here, from the options, so that
 * both leader-based engines can be compared under the same policy:
 *
 *   election_us, election_spread_us      Raft 5.2, 9.3: a follower's time-out
 *   candidate_us, candidate_spread_us    "Raft Refloated" (Howard et al., 2015): a candidate that
 *                                        has not won need not wait as long as a follower does
 *   candidate_backoff                    same paper: binary exponential back-off of candidates
 */
#ifndef SYNOD_CONSENSUS_TIMER_POLICY_H
#define SYNOD_CONSENSUS_TIMER_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "consensus/consensus.h"

enum {
    /* Back-off doubles so many times at most: the spread is then 64-fold. */
    TIMER_DOUBLINGS_MAX = 6,
};

/* Drawn from [base_us, base_us + spread_us); spread_us is above 0. */
struct timer_range {
    uint64_t base_us;
    uint64_t spread_us;
};

/* Are the settings in order? Part of what consensus_new checks. */
bool timer_policy_valid(const struct consensus_options *o);

/* The range of a follower's time-out. */
struct timer_range timer_election_range(const struct consensus_options *o);

/* Draws a follower's time-out, in microseconds from now. */
uint64_t timer_election(const struct consensus_options *o, struct rng *rng);

/* Does a candidate have a timer of its own? */
bool timer_candidate_own(const struct consensus_options *o);

/*
 * Draws how long a candidate waits before it tries again, in microseconds from now. usual: the
 * engine's own range, which holds unless the options set another. failed: attempts of this node
 * since it last heard a leader, without the one under way; each doubles the spread when
 * candidate_backoff is set. The base stays: what candidates need is to differ, not to wait.
 */
uint64_t timer_candidate(const struct consensus_options *o, struct rng *rng,
                         struct timer_range usual, uint32_t failed);

#endif

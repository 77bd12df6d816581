#ifndef SYNOD_BASE_RNG_H
#define SYNOD_BASE_RNG_H

/*
 * rng.h - the seeded generator every random choice comes from: xoshiro256**, its state filled by
 * splitmix64. The same seed gives the same sequence on every machine. Not for secrets.
 */

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

/* Starts the sequence of `seed`; every seed, 0 too, is a good one. */
void rng_init(struct rng *r, uint64_t seed);

/* The next 64 random bits. */
uint64_t rng_u64(struct rng *r);

/* A number in [0, bound), each equally likely. `bound` is above 0. */
uint64_t rng_below(struct rng *r, uint64_t bound);

/* A number in [lo, hi], each equally likely. lo <= hi. */
uint64_t rng_between(struct rng *r, uint64_t lo, uint64_t hi);

/* True in `num` of `den` cases. `den` is above 0; num >= den is always true. */
bool rng_chance(struct rng *r, uint64_t num, uint64_t den);

#endif

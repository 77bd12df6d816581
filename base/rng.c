/*
 * rng.c - xoshiro256** 1.0 seeded by splitmix64 (both by Blackman and Vigna, public domain).
 */

#include "base/rng.h"

#include "base/assert.h"

static uint64_t rotl64(uint64_t x, unsigned k)
{
    return (x << k) | (x >> (64 - k));
}

/* One step of splitmix64: from any seed, 0 too, four of these fill a good xoshiro state. */
static uint64_t splitmix64(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void rng_init(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        r->s[i] = splitmix64(&seed);
    }
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t result = rotl64(r->s[1] * 5, 7) * 9;
    uint64_t t = r->s[1] << 17;
    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = rotl64(r->s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *r, uint64_t bound)
{
    ASSERT(bound > 0);
    /* The lowest 2^64 mod bound values are drawn again: what is left is a multiple of bound. */
    uint64_t skip = (0 - bound) % bound;
    uint64_t x = rng_u64(r);
    while (x < skip) {
        x = rng_u64(r);
    }
    return x % bound;
}

uint64_t rng_between(struct rng *r, uint64_t lo, uint64_t hi)
{
    ASSERT(lo <= hi);
    uint64_t span = hi - lo;
    return span == UINT64_MAX ? rng_u64(r) : lo + rng_below(r, span + 1);
}

bool rng_chance(struct rng *r, uint64_t num, uint64_t den)
{
    ASSERT(den > 0);
    return rng_below(r, den) < num;
}

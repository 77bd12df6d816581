#ifndef SYNOD_BASE_HASH_H
#define SYNOD_BASE_HASH_H

/*
 * hash.h - 64-bit hashes that are the same on every machine and in every build: nodes compare state
 * hashes with each other. Not cryptographic, not against an adversary who chooses keys.
 *
 * Changing a function here changes what nodes of different versions compare: do not.
 */

#include <stdint.h>

#include "base/bytes.h"

/* Mixes `b` into `a`: depends on both and on their order. */
uint64_t hash64_mix(uint64_t a, uint64_t b);

/* The hash of `src` under `seed`; independent of the alignment of `src`. */
uint64_t hash64_bytes(uint64_t seed, struct bytes src);

#endif

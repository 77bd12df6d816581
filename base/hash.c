/*
 * hash.c - 64-bit hashes: multiply-rotate rounds over 8-byte words, as in MurmurHash3, ended by its
 * 64-bit finalizer (Austin Appleby, public domain).
 */

#include "base/hash.h"

#include "base/enc.h"

#define HASH_K1 UINT64_C(0x87c37b91114253d5)
#define HASH_K2 UINT64_C(0x4cf5ad432745937f)

static uint64_t rotl64(uint64_t x, unsigned k)
{
    return (x << k) | (x >> (64 - k));
}

/* Every bit of the input changes about half of the bits of the result. */
static uint64_t hash64_final(uint64_t h)
{
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    h ^= h >> 33;
    return h;
}

static uint64_t hash64_round(uint64_t h, uint64_t word)
{
    h ^= rotl64(word * HASH_K1, 31) * HASH_K2;
    return rotl64(h, 27) * 5 + UINT64_C(0x52dce729);
}

uint64_t hash64_mix(uint64_t a, uint64_t b)
{
    return hash64_final(hash64_round(a, b));
}

uint64_t hash64_bytes(uint64_t seed, struct bytes src)
{
    uint64_t h = hash64_final(seed + UINT64_C(0x9e3779b97f4a7c15));
    size_t left = src.size;
    const uint8_t *p = src.data;
    while (left >= sizeof(uint64_t)) {
        h = hash64_round(h, enc_get_u64(p));
        p += sizeof(uint64_t);
        left -= sizeof(uint64_t);
    }
    uint64_t tail = 0;
    for (size_t i = 0; i < left; i++) {
        tail |= (uint64_t) p[i] << (8 * i);
    }
    h = hash64_round(h, tail);
    /* The size tells "ab" from "ab\0": their tail words are the same. */
    return hash64_final(h ^ (uint64_t) src.size);
}

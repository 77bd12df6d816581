/*
 * explore_intern.h - equal things get equal numbers: byte strings to 0, 1, 2 ... in the order in
 * which they were first seen, and a map from numbers to numbers.
 *
 * A state of the cluster is made of a few such numbers, so that millions fit into memory, and two
 * states are equal exactly if their numbers are.
 */
#ifndef SYNOD_TESTS_SIM_EXPLORE_INTERN_H
#define SYNOD_TESTS_SIM_EXPLORE_INTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct intern_item {
    uint64_t hash;
    uint64_t offset;
    uint32_t size;
};

struct intern {
    struct intern_item *items;
    uint32_t count;
    uint32_t capacity;
    uint8_t *bytes;
    uint64_t used;
    uint64_t room;
    uint64_t *table; /* half of the hash, and the number + 1 below it; 0: free */
    uint64_t mask;
};

void intern_init(struct intern *t);
void intern_release(struct intern *t);

/* The number of these bytes; *ret_fresh (may be NULL) tells whether it is new. */
uint32_t intern_put(struct intern *t, struct bytes bytes, bool *ret_fresh);

/* The bytes of a number, 8-aligned, valid until the next put. */
struct bytes intern_get(const struct intern *t, uint32_t number);

/* A hash of the bytes: the same in every run. */
uint64_t intern_hash(const struct intern *t, uint32_t number);

/* From 64-bit keys to numbers. Key UINT64_MAX is not allowed. */
struct intern_map {
    uint64_t *keys; /* key + 1; 0: free */
    uint32_t *values;
    uint64_t mask;
    uint64_t count;
};

void intern_map_init(struct intern_map *m);
void intern_map_release(struct intern_map *m);
bool intern_map_get(const struct intern_map *m, uint64_t key, uint32_t *ret_value);
void intern_map_put(struct intern_map *m, uint64_t key, uint32_t value); /* a new key */

#endif

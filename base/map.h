#ifndef SYNOD_BASE_MAP_H
#define SYNOD_BASE_MAP_H

/*
 * map.h - a hash map from uint64_t to pointers, with a maximum.
 *
 * Open addressing with linear probing; removal shifts back what follows, so there are no
 * tombstones. The values are the caller's; the map frees none of them. Iteration order is a
 * function of the operations made, but means nothing: never let it decide what is replicated.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct map_slot;

struct map {
    struct map_slot *slots; /* NULL before the first put */
    size_t slot_count;      /* 0 or a power of two */
    size_t size;
    size_t capacity_max;
};

/* Makes `m` an empty map of at most `capacity_max` entries. Allocates nothing. */
void map_init(struct map *m, size_t capacity_max);

/* Frees the memory of `m`, not the values; `m` is then empty with the same maximum. */
void map_release(struct map *m);

/*
 * Adds `key` with `value`, which is not NULL.
 * Errors: ERR_EXISTS (the key is there; its value stays), ERR_LIMIT (the map is full).
 */
int map_put(struct map *m, uint64_t key, void *value) MUST_USE;

/* The value of `key`, or NULL. */
void *map_get(const struct map *m, uint64_t key);

/* Removes `key` and returns its value, or NULL when there is none. */
void *map_remove(struct map *m, uint64_t key);

/* The number of entries. */
size_t map_size(const struct map *m);

/*
 * Visits the entries one by one: start with *cursor = 0 and call until it returns false. ret_key
 * and ret_value may be NULL. The map must not change during the visit; to empty a map, visit it,
 * dispose of the values, then release it.
 */
bool map_next(const struct map *m, size_t *cursor, uint64_t *ret_key, void **ret_value);

#endif

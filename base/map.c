/*
 * map.c - the hash map from uint64_t to pointers.
 *
 * An entry lives at or after its home slot, with no empty slot between. At most three quarters of
 * the slots are in use, so a probe always meets an empty one.
 */

#include "base/map.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

struct map_slot {
    uint64_t key;
    void *value; /* NULL marks an empty slot */
};

#define MAP_SLOTS_MIN ((size_t) 16)

/* Spreads keys that are small or in sequence over all bits, since the home slot uses the low ones
 * (the finalizer of splitmix64). */
static size_t map_home(uint64_t key, size_t slot_count)
{
    key = (key ^ (key >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    key = (key ^ (key >> 27)) * UINT64_C(0x94d049bb133111eb);
    key ^= key >> 31;
    return (size_t) (key & (slot_count - 1));
}

void map_init(struct map *m, size_t capacity_max)
{
    ASSERT(capacity_max <= SIZE_MAX / sizeof(struct map_slot) / 4);
    m->slots = NULL;
    m->slot_count = 0;
    m->size = 0;
    m->capacity_max = capacity_max;
}

void map_release(struct map *m)
{
    free(m->slots);
    map_init(m, m->capacity_max);
}

/* The slot that holds `key`, or the empty one where it belongs. There are slots. */
static struct map_slot *map_probe(struct map_slot *slots, size_t slot_count, uint64_t key)
{
    size_t i = map_home(key, slot_count);
    while (slots[i].value != NULL && slots[i].key != key) {
        i = (i + 1) & (slot_count - 1);
    }
    return &slots[i];
}

/* Doubles the number of slots, or makes the first ones. */
static void map_grow(struct map *m)
{
    size_t slot_count = m->slot_count == 0 ? MAP_SLOTS_MIN : m->slot_count * 2;
    struct map_slot *slots = xcalloc(slot_count, sizeof *slots);
    for (size_t i = 0; i < m->slot_count; i++) {
        if (m->slots[i].value != NULL) {
            *map_probe(slots, slot_count, m->slots[i].key) = m->slots[i];
        }
    }
    free(m->slots);
    m->slots = slots;
    m->slot_count = slot_count;
}

int map_put(struct map *m, uint64_t key, void *value)
{
    ASSERT(value != NULL);
    if (map_get(m, key) != NULL) {
        return ERR_EXISTS;
    }
    if (m->size >= m->capacity_max) {
        return ERR_LIMIT;
    }
    if (m->size + 1 > m->slot_count / 4 * 3) {
        map_grow(m);
    }
    struct map_slot *slot = map_probe(m->slots, m->slot_count, key);
    ASSERT(slot->value == NULL);
    slot->key = key;
    slot->value = value;
    m->size++;
    return OK;
}

void *map_get(const struct map *m, uint64_t key)
{
    return m->size == 0 ? NULL : map_probe(m->slots, m->slot_count, key)->value;
}

void *map_remove(struct map *m, uint64_t key)
{
    if (m->size == 0) {
        return NULL;
    }
    struct map_slot *slot = map_probe(m->slots, m->slot_count, key);
    void *value = slot->value;
    if (value == NULL) {
        return NULL;
    }
    size_t mask = m->slot_count - 1;
    size_t hole = (size_t) (slot - m->slots);
    for (size_t i = (hole + 1) & mask; m->slots[i].value != NULL; i = (i + 1) & mask) {
        /* An entry may move back into the hole unless its home lies after the hole: compare how far
         * each is from the home, going round the end of the table. */
        size_t home = map_home(m->slots[i].key, m->slot_count);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole].key = 0;
    m->slots[hole].value = NULL;
    m->size--;
    return value;
}

size_t map_size(const struct map *m)
{
    return m->size;
}

bool map_next(const struct map *m, size_t *cursor, uint64_t *ret_key, void **ret_value)
{
    for (size_t i = *cursor; i < m->slot_count; i++) {
        if (m->slots[i].value != NULL) {
            if (ret_key != NULL) {
                *ret_key = m->slots[i].key;
            }
            if (ret_value != NULL) {
                *ret_value = m->slots[i].value;
            }
            *cursor = i + 1;
            return true;
        }
    }
    *cursor = m->slot_count;
    return false;
}

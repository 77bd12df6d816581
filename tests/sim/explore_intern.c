/*
 * explore_intern.c - equal things get equal numbers. See explore_intern.h. Open addressing; tables
 * double at two thirds.
 */
#include "tests/sim/explore_intern.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

enum {
    TABLE_MIN = 1024,
    ROOM_MIN = 65536,
};

#define HIGH (~UINT64_C(0xffffffff))

void intern_init(struct intern *t)
{
    *t = (struct intern){.mask = TABLE_MIN - 1, .room = ROOM_MIN};
    t->bytes = xmalloc(t->room); /* so that no bytes, too, are somewhere */
    t->table = xcalloc(TABLE_MIN, sizeof *t->table);
}

void intern_release(struct intern *t)
{
    free(t->items);
    free(t->bytes);
    free(t->table);
}

static void place(struct intern *t, uint32_t number)
{
    uint64_t at = t->items[number].hash & t->mask;
    while (t->table[at] != 0) {
        at = (at + 1) & t->mask;
    }
    t->table[at] = (t->items[number].hash & HIGH) | (number + 1);
}

static void grow_table(struct intern *t)
{
    free(t->table);
    t->mask = t->mask * 2 + 1;
    t->table = xcalloc(t->mask + 1, sizeof *t->table);
    for (uint32_t i = 0; i < t->count; i++) {
        place(t, i);
    }
}

static uint32_t add(struct intern *t, struct bytes bytes, uint64_t hash)
{
    if (t->count == t->capacity) {
        t->capacity = t->capacity == 0 ? 256 : t->capacity * 2;
        t->items = xrealloc(t->items, t->capacity * sizeof *t->items);
    }
    uint64_t size = (bytes.size + 7) / 8 * 8;
    if (t->used + size > t->room) {
        t->room = u64_max(t->room * 2, t->used + size);
        t->bytes = xrealloc(t->bytes, t->room);
    }
    if (bytes.size > 0) {
        memcpy(t->bytes + t->used, bytes.data, bytes.size);
    }
    t->items[t->count] =
        (struct intern_item){.hash = hash, .offset = t->used, .size = (uint32_t) bytes.size};
    t->used += size;
    return t->count++;
}

uint32_t intern_put(struct intern *t, struct bytes bytes, bool *ret_fresh)
{
    uint64_t hash = hash64_bytes(0, bytes);
    for (uint64_t at = hash & t->mask; t->table[at] != 0; at = (at + 1) & t->mask) {
        if (((t->table[at] ^ hash) & HIGH) != 0) {
            continue;
        }
        uint32_t number = (uint32_t) t->table[at] - 1;
        const struct intern_item *item = &t->items[number];
        if (item->size == bytes.size &&
            (bytes.size == 0 || memcmp(t->bytes + item->offset, bytes.data, bytes.size) == 0)) {
            if (ret_fresh != NULL) {
                *ret_fresh = false;
            }
            return number;
        }
    }
    uint32_t number = add(t, bytes, hash);
    if ((uint64_t) t->count * 3 > t->mask * 2) {
        grow_table(t);
    } else {
        place(t, number);
    }
    if (ret_fresh != NULL) {
        *ret_fresh = true;
    }
    return number;
}

struct bytes intern_get(const struct intern *t, uint32_t number)
{
    ASSERT(number < t->count);
    const struct intern_item *item = &t->items[number];
    return bytes_of(t->bytes + item->offset, item->size);
}

uint64_t intern_hash(const struct intern *t, uint32_t number)
{
    ASSERT(number < t->count);
    return t->items[number].hash;
}

void intern_map_init(struct intern_map *m)
{
    *m = (struct intern_map){.mask = TABLE_MIN - 1};
    m->keys = xcalloc(TABLE_MIN, sizeof *m->keys);
    m->values = xcalloc(TABLE_MIN, sizeof *m->values);
}

void intern_map_release(struct intern_map *m)
{
    free(m->keys);
    free(m->values);
}

static uint64_t map_at(const struct intern_map *m, uint64_t stored)
{
    uint64_t at = hash64_mix(0, stored) & m->mask;
    while (m->keys[at] != 0 && m->keys[at] != stored) {
        at = (at + 1) & m->mask;
    }
    return at;
}

bool intern_map_get(const struct intern_map *m, uint64_t key, uint32_t *ret_value)
{
    uint64_t at = map_at(m, key + 1);
    if (m->keys[at] == 0) {
        return false;
    }
    *ret_value = m->values[at];
    return true;
}

void intern_map_put(struct intern_map *m, uint64_t key, uint32_t value)
{
    ASSERT(key != UINT64_MAX);
    if ((m->count + 1) * 3 > m->mask * 2) {
        struct intern_map old = *m;
        m->mask = old.mask * 2 + 1;
        m->keys = xcalloc(m->mask + 1, sizeof *m->keys);
        m->values = xcalloc(m->mask + 1, sizeof *m->values);
        for (uint64_t i = 0; i <= old.mask; i++) {
            if (old.keys[i] != 0) {
                uint64_t at = map_at(m, old.keys[i]);
                m->keys[at] = old.keys[i];
                m->values[at] = old.values[i];
            }
        }
        intern_map_release(&old);
    }
    uint64_t at = map_at(m, key + 1);
    ASSERT(m->keys[at] == 0);
    m->keys[at] = key + 1;
    m->values[at] = value;
    m->count++;
}

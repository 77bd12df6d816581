/*
 * lincheck_memo.c - where the search has been, so that it goes nowhere twice.
 *
 * A place is a key (which required operations have their place in the order, and the state they
 * left) and a set of optional operations that were used. From a place, anything can be reached that
 * can be reached from one with the same key and more used ones: optional ones need not be used, and
 * are there for good once called. So a place is only worth a visit if none with the same key and a
 * part of its set, or the same set, was visited.
 *
 * Sets are leaves of a tree in which each node adds one class to that of its parent: two sets of
 * one search have most of their way from the root in common.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/sim/lincheck_internal.h"

enum { FIRST_SLOTS = 1024 };

/* Words of 4 bytes, and places. Together some 1.5 GB at the worst. */
#define WORDS_MAX (UINT32_C(1) << 28)
#define PLACES_MAX (UINT32_C(1) << 24)

struct set {
    uint32_t parent;
    uint32_t class;
    uint32_t depth;
};

struct place {
    uint64_t hash;
    uint32_t words; /* into words */
    uint32_t size;
    uint32_t set;
};

struct lin_memo {
    struct set *sets;
    uint32_t sets_count;
    uint32_t sets_capacity;
    uint32_t *set_slots; /* hash table by (parent, class): number + 1 */
    uint32_t set_slots_count;
    uint32_t *extra; /* by class, zero between calls */
    struct place *places;
    uint32_t places_count;
    uint32_t places_capacity;
    uint32_t *place_slots; /* hash table: number + 1; equal keys side by side, each on its own */
    uint32_t place_slots_count;
    struct u32s words;
};

struct lin_memo *memo_new(uint32_t classes)
{
    struct lin_memo *m = xcalloc(1, sizeof(*m));

    m->extra = xcalloc((size_t) classes + 1, sizeof(m->extra[0]));
    m->set_slots_count = FIRST_SLOTS;
    m->set_slots = xcalloc(FIRST_SLOTS, sizeof(m->set_slots[0]));
    m->place_slots_count = FIRST_SLOTS;
    m->place_slots = xcalloc(FIRST_SLOTS, sizeof(m->place_slots[0]));
    m->sets_capacity = FIRST_SLOTS;
    m->sets = xcalloc(FIRST_SLOTS, sizeof(m->sets[0]));
    m->sets_count = 1; /* the empty one */
    return m;
}

void memo_free(struct lin_memo *m)
{
    free(m->sets);
    free(m->set_slots);
    free(m->extra);
    free(m->places);
    free(m->place_slots);
    u32s_release(&m->words);
    free(m);
}

bool memo_full(const struct lin_memo *m)
{
    return m->words.count >= WORDS_MAX || m->places_count >= PLACES_MAX ||
           m->sets_count >= PLACES_MAX;
}

/* ---- Sets ---- */

static uint32_t set_place(const struct lin_memo *m, uint32_t parent, uint32_t class)
{
    uint32_t mask = m->set_slots_count - 1;
    uint32_t at = (uint32_t) hash64_mix(parent, class) & mask;

    for (; m->set_slots[at] != 0; at = (at + 1) & mask) {
        const struct set *s = &m->sets[m->set_slots[at] - 1];
        if (s->parent == parent && s->class == class) {
            break;
        }
    }
    return at;
}

static void sets_grow(struct lin_memo *m)
{
    if (m->sets_count == m->sets_capacity) {
        m->sets_capacity *= 2;
        m->sets = xrealloc(m->sets, m->sets_capacity * sizeof(m->sets[0]));
    }
    if (2 * (m->sets_count + 1) <= m->set_slots_count) {
        return;
    }
    free(m->set_slots);
    m->set_slots_count *= 2;
    m->set_slots = xcalloc(m->set_slots_count, sizeof(m->set_slots[0]));
    for (uint32_t i = 1; i < m->sets_count; i++) {
        m->set_slots[set_place(m, m->sets[i].parent, m->sets[i].class)] = i + 1;
    }
}

uint32_t memo_set_with(struct lin_memo *m, uint32_t set, uint32_t class)
{
    uint32_t at;

    sets_grow(m);
    at = set_place(m, set, class);
    if (m->set_slots[at] == 0) {
        m->sets[m->sets_count] = (struct set){set, class, m->sets[set].depth + 1};
        m->sets_count++;
        m->set_slots[at] = m->sets_count;
    }
    return m->set_slots[at] - 1;
}

/* Does `whole` have all that `part` has? Only where their ways differ there is something to count.
 */
static bool set_covers(struct lin_memo *m, uint32_t whole, uint32_t part)
{
    uint32_t w = whole;
    uint32_t p = part;
    bool covers = true;

    if (m->sets[whole].depth < m->sets[part].depth) {
        return false;
    }
    for (; w != p; w = m->sets[w].parent) {
        if (m->sets[w].depth <= m->sets[p].depth) {
            p = m->sets[p].parent;
        }
        m->extra[m->sets[w].class]++;
    }
    for (p = part; p != w && covers; p = m->sets[p].parent) {
        covers = m->extra[m->sets[p].class] > 0;
        m->extra[m->sets[p].class] -= covers ? 1 : 0;
    }
    for (p = whole; p != w; p = m->sets[p].parent) {
        m->extra[m->sets[p].class] = 0;
    }
    return covers;
}

/* ---- Places ---- */

static void places_grow(struct lin_memo *m)
{
    if (m->places_count == m->places_capacity) {
        m->places_capacity = m->places_capacity == 0 ? FIRST_SLOTS : 2 * m->places_capacity;
        m->places = xrealloc(m->places, m->places_capacity * sizeof(m->places[0]));
    }
    if (2 * (m->places_count + 1) <= m->place_slots_count) {
        return;
    }
    free(m->place_slots);
    m->place_slots_count *= 2;
    m->place_slots = xcalloc(m->place_slots_count, sizeof(m->place_slots[0]));
    for (uint32_t i = 0; i < m->places_count; i++) {
        uint32_t at = (uint32_t) m->places[i].hash & (m->place_slots_count - 1);
        while (m->place_slots[at] != 0) {
            at = (at + 1) & (m->place_slots_count - 1);
        }
        m->place_slots[at] = i + 1;
    }
}

static bool same_key(const struct lin_memo *m, const struct place *place, uint64_t hash,
                     const uint32_t *key, uint32_t size)
{
    return place->hash == hash && place->size == size &&
           memcmp(m->words.at + place->words, key, size * sizeof(key[0])) == 0;
}

bool memo_visited(struct lin_memo *m, const uint32_t *key, uint32_t size, uint32_t set, bool add)
{
    uint64_t hash = hash64_bytes(0, bytes_of(key, size * sizeof(key[0])));
    uint32_t words = LIN_NONE; /* of a place with this key */
    uint32_t at;

    places_grow(m);
    at = (uint32_t) hash & (m->place_slots_count - 1);
    for (; m->place_slots[at] != 0; at = (at + 1) & (m->place_slots_count - 1)) {
        const struct place *place = &m->places[m->place_slots[at] - 1];
        if (!same_key(m, place, hash, key, size)) {
            continue;
        }
        if (set_covers(m, set, place->set)) {
            return true;
        }
        words = place->words;
    }
    if (!add) {
        return false;
    }
    if (words == LIN_NONE) {
        words = m->words.count;
        for (uint32_t i = 0; i < size; i++) {
            u32s_push(&m->words, key[i]);
        }
    }
    m->places[m->places_count] = (struct place){hash, words, size, set};
    m->places_count++;
    m->place_slots[at] = m->places_count;
    return false;
}

/*
 * cut_space.c - orbits of sets of directed cuts. See cut_space.h.
 */
#include "tests/compare/cut_space.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    LINKS_MAX = CUT_NODES_MAX * (CUT_NODES_MAX - 1),
    RENAMINGS_MAX = 120, /* 5! */
    HALF_BITS = 10,      /* masks are renamed by halves, from tables */
    HALF = 1 << HALF_BITS,
};

/* All renamings of the nodes, and what each does to masks. */
struct renamings {
    uint32_t nodes;
    uint32_t links;
    uint32_t count;
    uint8_t names[RENAMINGS_MAX][CUT_NODES_MAX]; /* node i becomes names[i], both from 0 */
    uint32_t low[RENAMINGS_MAX][HALF];
    uint32_t high[RENAMINGS_MAX][HALF];
};

uint32_t cut_space_links(uint32_t nodes)
{
    ASSERT(nodes >= 2 && nodes <= CUT_NODES_MAX);
    return nodes * (nodes - 1);
}

uint32_t cut_space_bit(uint32_t nodes, uint32_t from, uint32_t to)
{
    ASSERT(from >= 1 && from <= nodes);
    ASSERT(to >= 1 && to <= nodes);
    ASSERT(from != to);
    return (from - 1) * (nodes - 1) + (to < from ? to - 1 : to - 2);
}

/* The next permutation in the order of dictionaries; false: that was the last. */
static bool next_permutation(uint8_t *at, uint32_t count)
{
    uint32_t i = count - 1;
    while (i > 0 && at[i - 1] >= at[i]) {
        i--;
    }
    if (i == 0 || count == 0) {
        return false;
    }
    uint32_t j = count - 1;
    while (at[j] <= at[i - 1]) {
        j--;
    }
    uint8_t swap = at[i - 1];
    at[i - 1] = at[j];
    at[j] = swap;
    for (uint32_t a = i, b = count - 1; a < b; a++, b--) {
        swap = at[a];
        at[a] = at[b];
        at[b] = swap;
    }
    return true;
}

static void link_map(const struct renamings *r, uint32_t k, uint8_t map[LINKS_MAX])
{
    for (uint32_t a = 1; a <= r->nodes; a++) {
        for (uint32_t b = 1; b <= r->nodes; b++) {
            if (a != b) {
                map[cut_space_bit(r->nodes, a, b)] =
                    (uint8_t) cut_space_bit(r->nodes, r->names[k][a - 1] + 1u,
                                            r->names[k][b - 1] + 1u);
            }
        }
    }
}

static struct renamings *renamings_new(uint32_t nodes, bool marked)
{
    struct renamings *r = xcalloc(1, sizeof *r);
    uint8_t names[CUT_NODES_MAX] = {0, 1, 2, 3, 4};
    uint32_t fixed = marked ? 1 : 0;
    r->nodes = nodes;
    r->links = cut_space_links(nodes);
    do {
        uint8_t map[LINKS_MAX];
        uint32_t k = r->count++;
        memcpy(r->names[k], names, sizeof names);
        link_map(r, k, map);
        for (uint32_t half = 0; half < HALF; half++) {
            for (uint32_t bit = 0; bit < r->links; bit++) {
                uint32_t source = bit < HALF_BITS ? half >> bit : half >> (bit - HALF_BITS);
                uint32_t image = (source & 1) << map[bit];
                *(bit < HALF_BITS ? &r->low[k][half] : &r->high[k][half]) |= image;
            }
        }
    } while (next_permutation(names + fixed, nodes - fixed));
    return r;
}

static uint32_t renamed(const struct renamings *r, uint32_t k, uint32_t cuts)
{
    return r->low[k][cuts & (HALF - 1)] | r->high[k][cuts >> HALF_BITS];
}

uint32_t cut_space_classes(uint32_t nodes, bool marked, struct cut_class **ret_classes)
{
    struct renamings *r = renamings_new(nodes, marked);
    uint32_t masks = UINT32_C(1) << r->links;
    uint8_t *seen = xcalloc(masks, 1);
    struct cut_class *classes = NULL;
    uint32_t count = 0, capacity = 0;
    for (uint32_t cuts = 0; cuts < masks; cuts++) {
        uint32_t size = 0;
        if (seen[cuts] != 0) {
            continue;
        }
        for (uint32_t k = 0; k < r->count; k++) {
            uint32_t image = renamed(r, k, cuts);
            ASSERT(image >= cuts); /* or its orbit had been found from there */
            size += seen[image] == 0 ? 1 : 0;
            seen[image] = 1;
        }
        if (count == capacity) {
            capacity = capacity == 0 ? 64 : capacity * 2;
            classes = xrealloc(classes, capacity * sizeof *classes);
        }
        classes[count++] = (struct cut_class){cuts, size};
    }
    free(seen);
    free(r);
    *ret_classes = classes;
    return count;
}

uint32_t cut_space_canonical(uint32_t nodes, bool marked, uint32_t cuts)
{
    struct renamings *r = renamings_new(nodes, marked);
    uint32_t least = cuts;
    for (uint32_t k = 0; k < r->count; k++) {
        uint32_t image = renamed(r, k, cuts);
        least = image < least ? image : least;
    }
    free(r);
    return least;
}

/* A renaming leaves a mask as it is when the mask is all or nothing on each of its cycles of
 * ordered pairs, so 2^cycles of them. */
uint64_t cut_space_burnside(uint32_t nodes, bool marked)
{
    uint8_t names[CUT_NODES_MAX] = {0, 1, 2, 3, 4};
    uint32_t fixed = marked ? 1 : 0;
    uint64_t sum = 0, count = 0;
    ASSERT(nodes >= 2 && nodes <= CUT_NODES_MAX);
    do {
        bool visited[CUT_NODES_MAX][CUT_NODES_MAX] = {{false}};
        uint32_t cycles = 0;
        for (uint32_t a = 0; a < nodes; a++) {
            for (uint32_t b = 0; b < nodes; b++) {
                uint32_t x = a, y = b;
                cycles += a != b && !visited[a][b] ? 1 : 0;
                while (a != b && !visited[x][y]) {
                    visited[x][y] = true;
                    x = names[x];
                    y = names[y];
                }
            }
        }
        sum += UINT64_C(1) << cycles;
        count++;
    } while (next_permutation(names + fixed, nodes - fixed));
    ASSERT(sum % count == 0);
    return sum / count;
}

static bool linked_both_ways(uint32_t nodes, uint32_t cuts, uint32_t set)
{
    for (uint32_t a = 1; a <= nodes; a++) {
        for (uint32_t b = 1; b <= nodes; b++) {
            bool both = (set >> (a - 1) & 1) != 0 && (set >> (b - 1) & 1) != 0;
            if (a != b && both && (cuts >> cut_space_bit(nodes, a, b) & 1) != 0) {
                return false;
            }
        }
    }
    return true;
}

uint32_t cut_space_core(uint32_t nodes, uint32_t cuts)
{
    uint32_t best = 1;
    int best_size = 1;
    for (uint32_t set = 1; set < UINT32_C(1) << nodes; set++) {
        int size = __builtin_popcount(set);
        if (size > best_size && linked_both_ways(nodes, cuts, set)) {
            best = set;
            best_size = size;
        }
    }
    return best;
}

bool cut_space_has_core(uint32_t nodes, uint32_t cuts)
{
    return 2 * (uint32_t) __builtin_popcount(cut_space_core(nodes, cuts)) > nodes;
}

bool cut_space_has_hub(uint32_t nodes, uint32_t cuts)
{
    for (uint32_t a = 1; a <= nodes; a++) {
        uint32_t links = 1;
        for (uint32_t b = 1; b <= nodes; b++) {
            uint32_t pair = UINT32_C(1) << (a - 1) | UINT32_C(1) << (b - 1);
            links += a != b && linked_both_ways(nodes, cuts, pair) ? 1 : 0;
        }
        if (2 * links > nodes) {
            return true;
        }
    }
    return false;
}

/*
 * lincheck_values.c - values as numbers: nodes of a tree of pieces. See lincheck_internal.h.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/sim/lincheck_internal.h"

enum { FIRST_CAPACITY = 64 };

void u32s_push(struct u32s *a, uint32_t value)
{
    if (a->count == a->capacity) {
        a->capacity = a->capacity == 0 ? FIRST_CAPACITY : 2 * a->capacity;
        a->at = xrealloc(a->at, a->capacity * sizeof(a->at[0]));
    }
    a->at[a->count++] = value;
}

void u32s_release(struct u32s *a)
{
    free(a->at);
    *a = (struct u32s){NULL, 0, 0};
}

/* ---- Pieces ---- */

static uint64_t piece_hash(const char *data, uint32_t size)
{
    return hash64_bytes(0, bytes_of(data, size));
}

/* Where the piece is in the table, or the empty place where it belongs. */
static uint32_t piece_place(const struct lin_values *v, const char *data, uint32_t size,
                            uint64_t hash)
{
    uint32_t mask = v->piece_slots_count - 1;
    uint32_t at = (uint32_t) hash & mask;

    for (; v->piece_slots[at] != 0; at = (at + 1) & mask) {
        const struct lin_piece *p = &v->pieces[v->piece_slots[at] - 1];
        if (p->hash == hash && p->size == size && memcmp(p->data, data, size) == 0) {
            break;
        }
    }
    return at;
}

static void pieces_grow(struct lin_values *v)
{
    if (v->pieces_count == v->pieces_capacity) {
        v->pieces_capacity = v->pieces_capacity == 0 ? FIRST_CAPACITY : 2 * v->pieces_capacity;
        v->pieces = xrealloc(v->pieces, v->pieces_capacity * sizeof(v->pieces[0]));
    }
    if (2 * (v->pieces_count + 1) <= v->piece_slots_count) {
        return;
    }
    free(v->piece_slots);
    v->piece_slots_count *= 2;
    v->piece_slots = xcalloc(v->piece_slots_count, sizeof(v->piece_slots[0]));
    for (uint32_t i = 0; i < v->pieces_count; i++) {
        const struct lin_piece *p = &v->pieces[i];
        v->piece_slots[piece_place(v, p->data, p->size, p->hash)] = i + 1;
    }
}

static uint32_t piece_find(const struct lin_values *v, const char *data, uint32_t size)
{
    uint32_t found = v->piece_slots[piece_place(v, data, size, piece_hash(data, size))];

    return found == 0 ? LIN_NONE : found - 1;
}

static uint32_t piece_insert(struct lin_values *v, const char *data, uint32_t size)
{
    uint64_t hash = piece_hash(data, size);
    uint32_t at;

    pieces_grow(v);
    at = piece_place(v, data, size, hash);
    if (v->piece_slots[at] == 0) {
        v->pieces[v->pieces_count] = (struct lin_piece){data, size, hash};
        v->pieces_count++;
        v->piece_slots[at] = v->pieces_count;
    }
    return v->piece_slots[at] - 1;
}

/* The size of the piece that begins at `at`. */
static uint32_t piece_size(struct history_value value, uint32_t at, bool split)
{
    const char *comma = split ? memchr(value.data + at, ',', value.size - at) : NULL;

    return comma == NULL ? value.size - at : (uint32_t) (comma - (value.data + at));
}

/* ---- Nodes ---- */

static uint32_t node_place(const struct lin_values *v, uint32_t parent, uint32_t piece)
{
    uint32_t mask = v->node_slots_count - 1;
    uint32_t at = (uint32_t) hash64_mix(parent, piece) & mask;

    for (; v->node_slots[at] != 0; at = (at + 1) & mask) {
        const struct lin_node *n = &v->nodes[v->node_slots[at] - 1];
        if (n->parent == parent && n->piece == piece) {
            break;
        }
    }
    return at;
}

static void nodes_grow(struct lin_values *v)
{
    if (v->nodes_count == v->nodes_capacity) {
        v->nodes_capacity = v->nodes_capacity == 0 ? FIRST_CAPACITY : 2 * v->nodes_capacity;
        v->nodes = xrealloc(v->nodes, v->nodes_capacity * sizeof(v->nodes[0]));
    }
    if (2 * (v->nodes_count + 1) <= v->node_slots_count) {
        return;
    }
    free(v->node_slots);
    v->node_slots_count *= 2;
    v->node_slots = xcalloc(v->node_slots_count, sizeof(v->node_slots[0]));
    for (uint32_t i = 1; i < v->nodes_count; i++) {
        if (v->nodes[i].parent != LIN_NONE) {
            v->node_slots[node_place(v, v->nodes[i].parent, v->nodes[i].piece)] = i + 1;
        }
    }
}

static void node_add(struct lin_values *v, uint32_t parent, uint32_t piece, uint32_t slot)
{
    nodes_grow(v);
    v->nodes[v->nodes_count++] = (struct lin_node){parent, piece, slot, 0, 0};
}

static uint32_t node_child(const struct lin_values *v, uint32_t parent, uint32_t piece)
{
    uint32_t found = v->node_slots[node_place(v, parent, piece)];

    return found == 0 ? LIN_OTHER : found - 1;
}

void values_init(struct lin_values *v, uint32_t slots)
{
    memset(v, 0, sizeof(*v));
    v->piece_slots_count = FIRST_CAPACITY;
    v->piece_slots = xcalloc(v->piece_slots_count, sizeof(v->piece_slots[0]));
    v->node_slots_count = FIRST_CAPACITY;
    v->node_slots = xcalloc(v->node_slots_count, sizeof(v->node_slots[0]));
    node_add(v, LIN_NONE, LIN_NONE, LIN_NONE); /* LIN_OTHER */
    for (uint32_t i = 0; i < slots; i++) {
        node_add(v, LIN_NONE, LIN_NONE, i);
    }
}

void values_release(struct lin_values *v)
{
    free(v->pieces);
    free(v->piece_slots);
    free(v->nodes);
    free(v->node_slots);
}

uint32_t values_insert(struct lin_values *v, uint32_t slot, struct history_value value, bool split)
{
    uint32_t node = values_root(slot);
    uint32_t at = 0;

    /* A text of n commas has n + 1 pieces; the empty text has one, which is empty. */
    while (value.data != NULL && at <= value.size) {
        uint32_t size = piece_size(value, at, split);
        uint32_t piece = piece_insert(v, value.data + at, size);
        uint32_t child = node_child(v, node, piece);
        if (child == LIN_OTHER) {
            child = v->nodes_count;
            node_add(v, node, piece, slot);
            v->node_slots[node_place(v, node, piece)] = child + 1;
        }
        node = child;
        at += size + 1;
    }
    return node;
}

uint32_t values_find(const struct lin_values *v, uint32_t slot, struct history_value value,
                     bool split)
{
    uint32_t node = values_root(slot);
    uint32_t at = 0;

    while (value.data != NULL && at <= value.size && node != LIN_OTHER) {
        uint32_t size = piece_size(value, at, split);
        uint32_t piece = piece_find(v, value.data + at, size);
        node = piece == LIN_NONE ? LIN_OTHER : node_child(v, node, piece);
        at += size + 1;
    }
    return node;
}

void values_pieces(const struct lin_values *v, struct history_value value, struct u32s *out)
{
    uint32_t at = 0;

    while (value.data != NULL && at <= value.size) {
        uint32_t size = piece_size(value, at, true);
        u32s_push(out, piece_find(v, value.data + at, size));
        at += size + 1;
    }
}

uint32_t values_append(const struct lin_values *v, uint32_t node, const uint32_t *pieces,
                       uint32_t count)
{
    for (uint32_t i = 0; i < count && node != LIN_OTHER; i++) {
        node = pieces[i] == LIN_NONE ? LIN_OTHER : node_child(v, node, pieces[i]);
    }
    return node;
}

void values_seal(struct lin_values *v)
{
    uint32_t *next = xcalloc(v->nodes_count, sizeof(*next)); /* free number below a node */
    uint32_t root = 0;

    /* A child comes behind its parent: sizes bottom up, then numbers top down. */
    for (uint32_t i = v->nodes_count; i-- > 0;) {
        struct lin_node *n = &v->nodes[i];
        n->end++; /* the size for now: itself, and what its children added */
        if (n->parent != LIN_NONE) {
            v->nodes[n->parent].end += n->end;
        }
    }
    for (uint32_t i = 0; i < v->nodes_count; i++) {
        struct lin_node *n = &v->nodes[i];
        uint32_t size = n->end;
        uint32_t *from = n->parent == LIN_NONE ? &root : &next[n->parent];
        n->first = *from;
        n->end = n->first + size;
        *from = n->end;
        next[i] = n->first + 1;
    }
    free(next);
}

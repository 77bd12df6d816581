/*
 * lincheck_ahead.c - what operations to come still need, and who could still give it.
 *
 * The search may leave a value only if nobody to come must find it, or somebody to come can make it
 * again; and an append may miss the place where its element was seen only if another could still
 * put it there. With values that are written once this ends nearly every wrong turn at once, where
 * a search without it would notice thousands of operations later.
 *
 * It is about the whole problem and so sees further than a return: a search that uses it must not
 * conclude which return was the first that failed. lincheck.c asks that by problems that end
 * earlier.
 *
 * "Below" a node are the values that begin with it. A value below m is reached by setting it, or
 * through m by appending; `appended` of m counts who can do the latter.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/sim/lincheck_internal.h"

/* More places for an element than this are not counted. */
enum { PLACES_MAX = 16 };

/* ---- Counting ---- */

static void count_up(const struct lin_values *v, uint32_t *live, uint32_t node)
{
    while (node != LIN_NONE && live[node]++ == 0) {
        node = v->nodes[node].parent;
    }
}

static void count_down(const struct lin_values *v, uint32_t *live, uint32_t node)
{
    while (node != LIN_NONE && --live[node] == 0) {
        node = v->nodes[node].parent;
    }
}

void ahead_give(struct lin_problem *p, const struct lin_effect *e)
{
    struct lin_ahead *a = &p->ahead;

    if (e->op != LIN_NONE && e->act != ACT_KEEP) {
        uint32_t rank = a->writer_rank[e - p->effects];
        a->writers_from[e->slot] = (uint32_t) u64_min(rank, a->writers_from[e->slot]);
    }
    if (e->op != LIN_NONE && e->need == NEED_SAME) {
        a->wanted[e->need_node]++;
        count_up(&p->values, a->wanted_live, e->need_node);
    }
    if (e->act == ACT_SET && e->set_node != LIN_OTHER) {
        a->set[e->set_node]++;
        count_up(&p->values, a->set_live, e->set_node);
    }
    for (uint32_t i = 0; i < e->results_count; i++) {
        a->appended[p->results.at[e->results + i]]++;
    }
}

void ahead_take(struct lin_problem *p, const struct lin_effect *e)
{
    struct lin_ahead *a = &p->ahead;

    if (e->op != LIN_NONE && e->need == NEED_SAME) {
        a->wanted[e->need_node]--;
        count_down(&p->values, a->wanted_live, e->need_node);
    }
    if (e->act == ACT_SET && e->set_node != LIN_OTHER) {
        a->set[e->set_node]--;
        count_down(&p->values, a->set_live, e->set_node);
    }
    for (uint32_t i = 0; i < e->results_count; i++) {
        a->appended[p->results.at[e->results + i]]--;
    }
}

/* ---- Where an element can go ---- */

/* The nodes of a slot that end in the same piece, as chains. */
struct places {
    uint32_t *head; /* hash table by (slot, piece): node */
    uint32_t mask;
    uint32_t *next;   /* by node */
    uint32_t *length; /* of the chain, by its head's place */
};

static uint32_t places_at(const struct lin_values *v, const struct places *places, uint32_t slot,
                          uint32_t piece)
{
    uint32_t at = (uint32_t) hash64_mix(slot, piece) & places->mask;

    for (; places->head[at] != LIN_OTHER; at = (at + 1) & places->mask) {
        const struct lin_node *n = &v->nodes[places->head[at]];
        if (n->slot == slot && n->piece == piece) {
            break;
        }
    }
    return at;
}

static void places_init(struct places *places, const struct lin_values *v)
{
    uint32_t size = 64;

    while (size < 2 * v->nodes_count) {
        size *= 2;
    }
    places->mask = size - 1;
    places->head = xcalloc(size, sizeof(uint32_t)); /* LIN_OTHER: empty */
    places->length = xcalloc(size, sizeof(uint32_t));
    places->next = xcalloc(v->nodes_count, sizeof(uint32_t));
    for (uint32_t i = 1; i < v->nodes_count; i++) {
        if (v->nodes[i].parent != LIN_NONE) {
            uint32_t at = places_at(v, places, v->nodes[i].slot, v->nodes[i].piece);
            places->next[i] = places->head[at];
            places->head[at] = i;
            places->length[at]++;
        }
    }
}

static void places_release(struct places *places)
{
    free(places->head);
    free(places->length);
    free(places->next);
}

/* Do the last pieces of a node's value equal these? */
static bool ends_with(const struct lin_values *v, uint32_t node, const uint32_t *pieces,
                      uint32_t count)
{
    for (uint32_t i = count; i-- > 0;) {
        if (v->nodes[node].parent == LIN_NONE || v->nodes[node].piece != pieces[i]) {
            return false;
        }
        node = v->nodes[node].parent;
    }
    return true;
}

/* An element of several pieces passes through nodes on its way: they are reached by it too. */
static void find_results(struct lin_problem *p, const struct places *places, struct lin_effect *e)
{
    const struct lin_values *v = &p->values;
    const uint32_t *pieces = p->pieces.at + e->pieces;
    uint32_t at;
    bool many;

    e->results = p->results.count;
    if (e->pieces_count == 0 || pieces[e->pieces_count - 1] == LIN_NONE) {
        return;
    }
    at = places_at(v, places, e->slot, pieces[e->pieces_count - 1]);
    many = places->length[at] > PLACES_MAX || e->pieces_count > PLACES_MAX;
    for (uint32_t node = places->head[at]; node != LIN_OTHER; node = places->next[node]) {
        uint32_t passed = node;
        if (!ends_with(v, node, pieces, e->pieces_count)) {
            continue;
        }
        for (uint32_t i = 0; i < e->pieces_count; i++) {
            if (many) {
                p->ahead.endless[passed] = true;
            } else {
                u32s_push(&p->results, passed);
            }
            passed = v->nodes[passed].parent;
        }
    }
    e->results_count = p->results.count - e->results;
}

/* ---- Who reads a value, who changes a slot ---- */

/* A required operation that must find a node, or that changes a slot: its list, else LIN_NONE. */
static uint32_t reader_row(const struct lin_effect *e)
{
    return e->need == NEED_SAME ? e->need_node : LIN_NONE;
}

static uint32_t writer_row(const struct lin_effect *e)
{
    return e->act != ACT_KEEP ? e->slot : LIN_NONE;
}

static void init_readers(struct lin_problem *p)
{
    struct lin_rows *rows = &p->ahead.readers;
    uint32_t *filled = xcalloc(p->values.nodes_count, sizeof(uint32_t));

    rows->from = xcalloc((size_t) p->values.nodes_count + 1, sizeof(uint32_t));
    for (uint32_t i = 0; i < p->effects_count; i++) {
        if (p->effects[i].op != LIN_NONE && reader_row(&p->effects[i]) != LIN_NONE) {
            rows->from[reader_row(&p->effects[i]) + 1]++;
        }
    }
    rows_reserve(rows, p->values.nodes_count);
    /* Effects stand in the order of their operations, which is that of the calls. */
    for (uint32_t i = 0; i < p->effects_count; i++) {
        const struct lin_effect *e = &p->effects[i];
        if (e->op != LIN_NONE && reader_row(e) != LIN_NONE) {
            rows->at[rows->from[reader_row(e)] + filled[reader_row(e)]++] = e->op;
        }
    }
    free(filled);
}

static void init_writers(struct lin_problem *p)
{
    struct lin_rows *rows = &p->ahead.writers;

    rows->from = xcalloc((size_t) p->slots + 1, sizeof(uint32_t));
    p->ahead.writers_from = xcalloc(p->slots, sizeof(uint32_t));
    p->ahead.writer_rank = xcalloc((size_t) p->effects_count + 1, sizeof(uint32_t));
    for (uint32_t i = 0; i < p->effects_count; i++) {
        if (p->effects[i].op != LIN_NONE && writer_row(&p->effects[i]) != LIN_NONE) {
            rows->from[writer_row(&p->effects[i]) + 1]++;
        }
    }
    rows_reserve(rows, p->slots);
    for (uint32_t i = 0; i < p->events.count; i++) {
        const struct lin_op *op = &p->ops[p->events.at[i] / 2];
        for (uint32_t j = 0; (p->events.at[i] & 1) != 0 && j < op->effects_count; j++) {
            const struct lin_effect *e = &p->effects[op->effects + j];
            uint32_t row = writer_row(e);
            if (row != LIN_NONE) {
                uint32_t rank = p->ahead.writers_from[row]++;
                rows->at[rows->from[row] + rank] = e->op;
                p->ahead.writer_rank[op->effects + j] = rank;
            }
        }
    }
    memset(p->ahead.writers_from, 0, p->slots * sizeof(uint32_t));
}

void ahead_init(struct lin_problem *p)
{
    struct lin_ahead *a = &p->ahead;
    uint32_t count = p->values.nodes_count;
    struct places places;

    a->wanted = xcalloc(count, sizeof(uint32_t));
    a->wanted_live = xcalloc(count, sizeof(uint32_t));
    a->set = xcalloc(count, sizeof(uint32_t));
    a->set_live = xcalloc(count, sizeof(uint32_t));
    a->appended = xcalloc(count, sizeof(uint32_t));
    a->endless = xcalloc(count, sizeof(bool));
    init_readers(p);
    init_writers(p);
    places_init(&places, &p->values);
    for (uint32_t i = 0; i < p->effects_count; i++) {
        if (p->effects[i].act == ACT_APPEND) {
            find_results(p, &places, &p->effects[i]);
        }
    }
    places_release(&places);
    for (uint32_t i = 0; i < p->ops_count; i++) {
        for (uint32_t j = 0; j < p->ops[i].effects_count; j++) {
            ahead_give(p, &p->effects[p->ops[i].effects + j]);
        }
    }
    for (uint32_t i = 0; i < p->classes_count; i++) {
        const struct lin_class *c = &p->classes[i];
        for (uint32_t j = 0; j < c->effects_count * c->members_count; j++) {
            ahead_give(p, &p->effects[c->effects + j % c->effects_count]);
        }
    }
}

void ahead_release(struct lin_problem *p)
{
    free(p->ahead.wanted);
    free(p->ahead.wanted_live);
    free(p->ahead.set);
    free(p->ahead.set_live);
    free(p->ahead.appended);
    free(p->ahead.endless);
    rows_release(&p->ahead.readers);
    rows_release(&p->ahead.writers);
    free(p->ahead.writer_rank);
    free(p->ahead.writers_from);
}

/* ---- Questions ---- */

/* Must this very value be found again, and can nobody make it? */
static bool value_missed(const struct lin_ahead *a, uint32_t node)
{
    return a->wanted[node] > 0 && a->set[node] == 0 && a->appended[node] == 0 && !a->endless[node];
}

/* The same for the values that begin with it. The slot holds none of them. Absence is no beginning
 * one comes through: each value can be set, or appended to absence. */
static bool below_missed(const struct lin_problem *p, uint32_t node)
{
    const struct lin_ahead *a = &p->ahead;

    return p->values.nodes[node].parent != LIN_NONE && a->wanted_live[node] > 0 &&
           a->set_live[node] == 0 && a->appended[node] == 0 && !a->endless[node];
}

static bool holds_below(const struct lin_problem *p, uint32_t node, uint32_t state)
{
    return state != LIN_OTHER && values_covers(&p->values, node, state);
}

static bool node_missed(const struct lin_problem *p, uint32_t node, uint32_t state)
{
    return (node != state && value_missed(&p->ahead, node)) ||
           (!holds_below(p, node, state) && below_missed(p, node));
}

/* The slot holds a value that nobody can make again. Must a change come before all who must find it
 * have found it? */
static bool lost_too_early(struct lin_problem *p, uint32_t slot, uint32_t node)
{
    struct lin_ahead *a = &p->ahead;
    const struct lin_rows *w = &a->writers;
    const struct lin_rows *r = &a->readers;
    uint32_t reader = r->from[node + 1];
    uint32_t count = w->from[slot + 1] - w->from[slot];

    while (lin_bit(p->done, r->at[reader - 1])) {
        reader--; /* some is left: the node is wanted */
    }
    while (a->writers_from[slot] < count &&
           lin_bit(p->done, w->at[w->from[slot] + a->writers_from[slot]])) {
        a->writers_from[slot]++;
    }
    return a->writers_from[slot] < count &&
           p->ops[w->at[w->from[slot] + a->writers_from[slot]]].return_ns <
               p->ops[r->at[reader - 1]].call_ns;
}

bool ahead_hopeless(struct lin_problem *p, const struct lin_effect *e, uint32_t before,
                    uint32_t after)
{
    if (e->act == ACT_KEEP) {
        return false;
    }
    if (after != LIN_OTHER && value_missed(&p->ahead, after) && lost_too_early(p, e->slot, after)) {
        return true;
    }
    for (uint32_t i = 0; i < e->results_count; i++) {
        if (node_missed(p, p->results.at[e->results + i], after)) {
            return true;
        }
    }
    if (before == LIN_OTHER || before == after) {
        return false;
    }
    if (value_missed(&p->ahead, before)) {
        return true;
    }
    while (p->values.nodes[before].parent != LIN_NONE && !holds_below(p, before, after)) {
        if (below_missed(p, before)) {
            return true;
        }
        before = p->values.nodes[before].parent;
    }
    return false;
}

bool ahead_hopeless_start(const struct lin_problem *p)
{
    for (uint32_t i = 1; i < p->values.nodes_count; i++) {
        if (node_missed(p, i, values_root(p->values.nodes[i].slot))) {
            return true;
        }
    }
    return false;
}

/*
 * lincheck_internal.h - the parts of the linearizability checker, private to lincheck*.c.
 *
 *     lincheck.c         which keys belong together; the first return that no order explains
 *     lincheck_build.c   operations of some keys -> a problem: effects on slots, classes
 *     lincheck_values.c  values as numbers
 *     lincheck_ahead.c   what operations to come still need, and who could still give it
 *     lincheck_search.c  the search; lincheck_choose.c  what may come next
 *     lincheck_memo.c    where the search has been
 *     lincheck_text.c    the verdict in words
 *
 * Words: a *slot* is a key of the problem, a *node* the number of a value. A *required* operation
 * must have its place in the order, an *optional* one may have one: its outcome is unknown, or it
 * is answered later than the part of the history that is looked at. Optional operations that do the
 * same are members of one *class*: they differ in nothing but the time from which they can be used.
 */
#ifndef SYNOD_TESTS_SIM_LINCHECK_INTERNAL_H
#define SYNOD_TESTS_SIM_LINCHECK_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/history.h"
#include "tests/sim/lincheck.h"

#define LIN_NONE UINT32_MAX

/* ---- Arrays of numbers ---- */

struct u32s {
    uint32_t *at;
    uint32_t count;
    uint32_t capacity;
};

void u32s_push(struct u32s *a, uint32_t value);
void u32s_release(struct u32s *a);

/* ---- Values ---- */

/* A value is a path in a tree of pieces, so that appending is one step down: on a key that anyone
 * appends to, the pieces are what is between the commas, elsewhere the text as a whole. The tree
 * holds what some operation must find, and nothing else: all other values are LIN_OTHER, which no
 * operation can tell apart (appending to one of them gives one of them, as the tree has the
 * beginnings of all it has). */
enum { LIN_OTHER = 0 };

struct lin_piece {
    const char *data; /* of the history */
    uint32_t size;
    uint64_t hash;
};

struct lin_node {
    uint32_t parent; /* LIN_NONE: absence, the root of a slot */
    uint32_t piece;
    uint32_t slot;
    uint32_t first; /* a below b: a->first <= b->first < a->end; set by values_seal */
    uint32_t end;
};

struct lin_values {
    struct lin_piece *pieces;
    uint32_t pieces_count;
    uint32_t pieces_capacity;
    uint32_t *piece_slots; /* hash table: number + 1 */
    uint32_t piece_slots_count;
    struct lin_node *nodes;
    uint32_t nodes_count;
    uint32_t nodes_capacity;
    uint32_t *node_slots; /* hash table by (parent, piece): number + 1 */
    uint32_t node_slots_count;
};

void values_init(struct lin_values *v, uint32_t slots);
void values_release(struct lin_values *v);

static inline bool lin_bit(const uint64_t *bits, uint32_t number)
{
    return (bits[number / 64] >> (number % 64) & 1) != 0;
}

/* Absence at this slot. */
static inline uint32_t values_root(uint32_t slot)
{
    return 1 + slot;
}

/* Adds a value to the tree; data NULL is the root. `split`: at commas. */
uint32_t values_insert(struct lin_values *v, uint32_t slot, struct history_value value, bool split);

/* After the last insertion. */
void values_seal(struct lin_values *v);

/* A value's node, LIN_OTHER when it is not in the tree. */
uint32_t values_find(const struct lin_values *v, uint32_t slot, struct history_value value,
                     bool split);

/* The numbers of an element's pieces, LIN_NONE for one that is in no value of the tree. */
void values_pieces(const struct lin_values *v, struct history_value value, struct u32s *out);
uint32_t values_append(const struct lin_values *v, uint32_t node, const uint32_t *pieces,
                       uint32_t count);

/* Is `node` the value `below` begins with (or the same)? Neither is LIN_OTHER. */
static inline bool values_covers(const struct lin_values *v, uint32_t node, uint32_t below)
{
    return v->nodes[node].first <= v->nodes[below].first &&
           v->nodes[below].first < v->nodes[node].end;
}

/* ---- Operations ---- */

enum lin_need { NEED_ANY, NEED_SAME, NEED_DIFFERENT, NEED_PRESENT };
enum lin_act { ACT_KEEP, ACT_SET, ACT_APPEND };

/* What an operation asks of one slot and does to it. */
struct lin_effect {
    uint32_t slot;
    uint8_t need; /* enum lin_need */
    uint8_t act;  /* enum lin_act */
    uint32_t need_node;
    uint32_t set_node;
    uint32_t pieces; /* APPEND: into the problem's pieces */
    uint32_t pieces_count;
    uint32_t results; /* APPEND: into the problem's results: nodes it could make or pass through */
    uint32_t results_count;
    uint32_t op; /* required operation this belongs to; LIN_NONE: of a class */
};

struct lin_op {
    uint32_t number; /* in the history */
    uint32_t effects;
    uint32_t effects_count;
    uint64_t call_ns;
    uint64_t return_ns;
    bool pure;   /* changes nothing */
    bool unseen; /* a put that nobody sees, see lincheck_search.c */
};

struct lin_class {
    uint32_t effects;
    uint32_t effects_count;
    uint32_t members; /* into the problem's members, ascending by call */
    uint32_t members_count;
    bool reads; /* what it does depends on the state */
};

struct lin_member {
    uint32_t number;
    uint64_t call_ns;
};

/* Lists of operations: that of i is at[from[i]] to at[from[i + 1]], without it. */
struct lin_rows {
    uint32_t *from;
    uint32_t *at;
};

struct lin_ahead {
    uint32_t *wanted;      /* by node: required operations to come that must find it */
    uint32_t *wanted_live; /* that, and children whose number is not 0 */
    uint32_t *set;         /* operations to come that set it */
    uint32_t *set_live;
    uint32_t *appended; /* operations to come that can make it, or pass it, by appending */
    bool *endless;      /* too many ways to count */
    /* Operations by node they must find, and by slot they change. */
    struct lin_rows readers; /* ascending by call */
    struct lin_rows writers; /* ascending by return */
    uint32_t *writer_rank;   /* by effect: its place among the writers of the slot */
    uint32_t *writers_from;  /* by slot: writers before this one have their place in the order */
};

struct lin_problem {
    uint32_t slots;
    struct lin_values values;
    struct lin_op *ops; /* required, ascending by call */
    uint32_t ops_count;
    struct lin_class *classes;
    uint32_t classes_count;
    struct lin_member *members;
    struct lin_effect *effects;
    uint32_t effects_count;
    struct u32s pieces;
    struct u32s results;
    struct u32s events;      /* op * 2, + 1 its return; in order of time */
    struct u32s multi;       /* classes with several effects */
    uint32_t *setter;        /* by node: the class that sets it blindly, LIN_NONE */
    bool *sensitive;         /* by slot: some operation asks for anything but one value */
    struct lin_rows by_slot; /* classes by the slot of their first effect */
    struct lin_rows reading; /* effects of classes that read, by slot */
    uint32_t *class_of;      /* by effect: its class, LIN_NONE */
    uint64_t *done;          /* by required operation, bits: has its place; kept by the search */
    struct lin_ahead ahead;  /* kept by the search */
};

/* Some keys and what was done to them. */
struct lin_part {
    const struct history *h;
    const uint32_t *numbers; /* of operations, ascending by call; none failed */
    uint32_t count;
    const uint32_t *slot_of_key; /* by key of the history */
    uint32_t slots;
};

/* The part of a history up to and including the return of this operation: what is answered later
 * is optional, what is called later is not there. LIN_NONE: all of it. */
void problem_init(struct lin_problem *p, const struct lin_part *part, uint32_t horizon);
void problem_release(struct lin_problem *p);

/* Does the return of `a` come no later than that of `b`? A total order of answered operations. */
bool lin_returns_by(const struct history_op *ops_a, uint32_t a, const struct history_op *ops_b,
                    uint32_t b);

/* Room for `count` lists whose lengths are in from[1..count], which become their borders. */
void rows_reserve(struct lin_rows *rows, uint32_t count);
void rows_release(struct lin_rows *rows);

/* ---- What is to come ---- */

void ahead_init(struct lin_problem *p);
void ahead_release(struct lin_problem *p);

/* This operation has its place, or has lost it again; `done` is right already. */
void ahead_take(struct lin_problem *p, const struct lin_effect *e);
void ahead_give(struct lin_problem *p, const struct lin_effect *e);

/* After `e` took a slot from `before` to `after`, its own part taken: will something be missed? */
bool ahead_hopeless(struct lin_problem *p, const struct lin_effect *e, uint32_t before,
                    uint32_t after);

/* Is something wanted from the start that nobody gives? */
bool ahead_hopeless_start(const struct lin_problem *p);

/* ---- Where the search has been ---- */

struct lin_memo;

struct lin_memo *memo_new(uint32_t classes);
void memo_free(struct lin_memo *m);

/* Sets of used optional operations, counted by class. 0 is empty. */
uint32_t memo_set_with(struct lin_memo *m, uint32_t set, uint32_t class);

/* Was there a place with the same key and no more used operations? Adds this one otherwise, if
 * `add`. */
bool memo_visited(struct lin_memo *m, const uint32_t *key, uint32_t size, uint32_t set, bool add);

/* It holds as much as it may. */
bool memo_full(const struct lin_memo *m);

/* ---- The search ---- */

/* What is left to spend, for all problems together. */
struct lin_budget {
    uint64_t steps;
    uint64_t steps_max; /* 0: no limit */
    uint64_t probe_end; /* this search ends at so many steps; 0: no limit */
    bool (*give_up)(void *ctx);
    void *ctx;
    bool over;
    bool memory; /* that is why */
};

/* OK, WRONG or GAVE_UP. OK: ret_order gets the numbers of the operations in an order that explains
 * the history. */
enum lincheck_verdict lin_search(struct lin_problem *p, struct lin_budget *budget,
                                 struct u32s *ret_order);

/* ---- Words ---- */

/* One line about the first return that no order explains, after this order. Not exact: it may be a
 * later one. */
void lin_text_wrong(const struct history *h, uint32_t number, const struct u32s *order, bool exact,
                    char *text, size_t size);

#endif

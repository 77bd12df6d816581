/*
 * lincheck_search.h - a place of the search; private to lincheck_search.c and lincheck_choose.c.
 */
#ifndef SYNOD_TESTS_SIM_LINCHECK_SEARCH_H
#define SYNOD_TESTS_SIM_LINCHECK_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/lincheck_internal.h"

/* A choice, and an entry of the trail: the number of an operation, or this and that of a class. */
#define CLASS_BIT (UINT32_C(1) << 31)

enum { HEAD = 0 };

enum phase { PHASE_FIRST, PHASE_WINDOW, PHASE_CLASSES, PHASE_WANTED };

struct frame {
    uint32_t trail; /* marks: how much of it belongs to this place and those above */
    uint32_t states;
    uint32_t low;
    uint32_t high;
    uint32_t set;
    uint32_t last;
    uint32_t block;
    uint32_t first;       /* the operation whose return is first in the list */
    uint32_t cursor;      /* event or class to be looked at next */
    uint32_t slot;        /* of that class */
    uint32_t unseen_slot; /* a put that nobody sees was chosen here */
    uint8_t phase;
};

struct search {
    struct lin_problem *p;
    struct lin_memo *memo;
    struct lin_budget *budget;
    uint32_t *next; /* the list: event number + 1; HEAD and the end have none */
    uint32_t *prev;
    uint32_t *call_at; /* by operation */
    uint32_t *return_at;
    uint32_t end;
    uint32_t left;
    uint32_t low;  /* the first operation without a place */
    uint32_t high; /* the last one with a place, or 0 */
    uint32_t *state;
    uint32_t *used; /* by class */
    uint32_t set;   /* the same for the memo */
    uint32_t last;  /* class of the optional operation that came last and was not used yet */
    uint32_t block; /* if there is one: where in the trail such operations begin */
    uint32_t first;
    struct u32s trail;  /* the order: operations, and classes with CLASS_BIT */
    struct u32s states; /* slot, what it held before */
    struct u32s key;
    struct frame *frames;
    uint32_t frames_count;
    uint32_t frames_capacity;
    uint64_t *masks; /* slots, a row for each frame */
    uint32_t mask_words;
};

/* The operation whose call this event is; LIN_NONE: the window ends here. */
static inline uint32_t called_at(const struct search *s, uint32_t e)
{
    uint32_t code;

    if (e == s->end) {
        return LIN_NONE;
    }
    code = s->p->events.at[e - 1];
    return (code & 1) == 0 ? code / 2 : LIN_NONE;
}

static inline const struct lin_effect *op_effects(const struct search *s, const struct lin_op *op)
{
    return &s->p->effects[op->effects];
}

static inline bool need_holds(const struct lin_effect *e, uint32_t state)
{
    switch (e->need) {
    case NEED_SAME:
        return state == e->need_node;
    case NEED_DIFFERENT:
        return state != e->need_node;
    case NEED_PRESENT:
        return state != values_root(e->slot);
    default:
        return true;
    }
}

static inline uint32_t result_of(const struct search *s, const struct lin_effect *e, uint32_t state)
{
    switch (e->act) {
    case ACT_SET:
        return e->set_node;
    case ACT_APPEND:
        return values_append(&s->p->values, state, s->p->pieces.at + e->pieces, e->pieces_count);
    default:
        return state;
    }
}

static inline bool needs_hold(const struct search *s, const struct lin_effect *effects,
                              uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!need_holds(&effects[i], s->state[effects[i].slot])) {
            return false;
        }
    }
    return true;
}

static inline bool is_blind(const struct lin_effect *e)
{
    return e->need == NEED_ANY && e->act == ACT_SET;
}

/* Does the class change a slot that the effects touch? */
static inline bool shares_slot(const struct search *s, const struct lin_class *c,
                               const struct lin_effect *effects, uint32_t count)
{
    for (uint32_t i = 0; i < c->effects_count; i++) {
        for (uint32_t j = 0; j < count; j++) {
            if (s->p->effects[c->effects + i].slot == effects[j].slot) {
                return true;
            }
        }
    }
    return false;
}

/* ---- lincheck_choose.c ---- */

/* The slots that matter at a new frame: those connected with the operation that returns first. */
void choose_mask(const struct search *s, const struct frame *f);

/* The next thing to try at this place; false: all was tried. */
bool choose_next(const struct search *s, struct frame *f, uint32_t *ret);

#endif

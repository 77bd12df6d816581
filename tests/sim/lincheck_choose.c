/*
 * lincheck_choose.c - what may come next at a place of the search. lincheck_search.c says what is
 * left out, and why that does no harm.
 */
#include <string.h>

#include "tests/sim/lincheck_search.h"

/* ---- The mask ---- */

static uint64_t *mask_of(const struct search *s, const struct frame *f)
{
    return s->masks + (size_t) (f - s->frames) * s->mask_words;
}

static bool in_mask(const struct search *s, const struct frame *f, uint32_t slot)
{
    return s->mask_words == 0 || (mask_of(s, f)[slot / 64] >> (slot % 64) & 1) != 0;
}

/* Adds the slots of an operation of which one is in the mask. True if that changed it. */
static bool mask_connect(const struct search *s, const struct frame *f,
                         const struct lin_effect *effects, uint32_t count, bool anyway)
{
    bool touches = anyway;
    bool changed = false;

    for (uint32_t i = 0; i < count && !touches; i++) {
        touches = in_mask(s, f, effects[i].slot);
    }
    for (uint32_t i = 0; i < count && touches; i++) {
        if (!in_mask(s, f, effects[i].slot)) {
            mask_of(s, f)[effects[i].slot / 64] |= UINT64_C(1) << (effects[i].slot % 64);
            changed = true;
        }
    }
    return changed;
}

/* Could somebody to come read what this effect leaves? A slot that is sensitive, or read by
 * optional operations, has more readers than are counted. */
static bool may_be_read(const struct search *s, const struct lin_effect *e)
{
    return s->p->sensitive[e->slot] ||
           s->p->reading.from[e->slot] != s->p->reading.from[e->slot + 1] || e->act != ACT_SET ||
           (e->set_node != LIN_OTHER && s->p->ahead.wanted_live[e->set_node] > 0);
}

/* Was the next member called, and is there any use for what it leaves? */
static bool class_available(const struct search *s, const struct frame *f, uint32_t number)
{
    const struct lin_class *c = &s->p->classes[number];

    if (s->used[number] == c->members_count ||
        s->p->members[c->members + s->used[number]].call_ns > s->p->ops[f->first].return_ns) {
        return false;
    }
    for (uint32_t i = 0; i < c->effects_count; i++) {
        if (may_be_read(s, &s->p->effects[c->effects + i])) {
            return true;
        }
    }
    return false;
}

void choose_mask(const struct search *s, const struct frame *f)
{
    const struct lin_op *first = &s->p->ops[f->first];
    bool changed = true;

    if (s->mask_words == 0) {
        return;
    }
    memset(mask_of(s, f), 0, s->mask_words * sizeof(uint64_t));
    (void) mask_connect(s, f, op_effects(s, first), first->effects_count, true);
    if (s->last != LIN_NONE) {
        /* It is behind us, but whoever uses it belongs to what matters here because it did. */
        const struct lin_class *last = &s->p->classes[s->last];
        (void) mask_connect(s, f, &s->p->effects[last->effects], last->effects_count, true);
    }
    while (changed) {
        uint32_t number;
        changed = false;
        for (uint32_t e = s->next[HEAD]; (number = called_at(s, e)) != LIN_NONE; e = s->next[e]) {
            const struct lin_op *op = &s->p->ops[number];
            if (op->effects_count > 1 &&
                mask_connect(s, f, op_effects(s, op), op->effects_count, false)) {
                changed = true;
            }
        }
        for (uint32_t i = 0; i < s->p->multi.count; i++) {
            const struct lin_class *c = &s->p->classes[s->p->multi.at[i]];
            if (class_available(s, f, s->p->multi.at[i]) &&
                mask_connect(s, f, &s->p->effects[c->effects], c->effects_count, false)) {
                changed = true;
            }
        }
    }
}

/* ---- Who uses what an optional operation leaves ---- */

/* The effect on this slot, or NULL. */
static const struct lin_effect *effect_on(const struct lin_effect *effects, uint32_t count,
                                          uint32_t slot)
{
    for (uint32_t i = 0; i < count; i++) {
        if (effects[i].slot == slot) {
            return &effects[i];
        }
    }
    return NULL;
}

/* Does an operation with these effects use what the class leaves? One that overwrites a part of
 * what a transaction leaves must come behind it for the sake of the rest. */
static bool uses(const struct search *s, const struct lin_effect *effects, uint32_t count,
                 const struct lin_class *c)
{
    const struct lin_effect *made = &s->p->effects[c->effects];
    const struct lin_effect *e;

    if (c->effects_count > 1) {
        return shares_slot(s, c, effects, count);
    }
    e = effect_on(effects, count, made->slot);
    return e != NULL && !is_blind(e);
}

/* Is there a class that could be used now and would make something of this state of a slot? */
static bool class_uses(const struct search *s, const struct frame *f, uint32_t slot, uint32_t state)
{
    const struct lin_rows *rows = &s->p->reading;

    for (uint32_t i = rows->from[slot]; i < rows->from[slot + 1]; i++) {
        const struct lin_effect *e = &s->p->effects[rows->at[i]];
        uint32_t class = s->p->class_of[rows->at[i]];
        if (need_holds(e, state) &&
            (s->p->classes[class].effects_count > 1 || result_of(s, e, state) != state) &&
            class_available(s, f, class)) {
            return true;
        }
    }
    return false;
}

/* The same for what a class left, or a part of it. */
static bool class_uses_class(const struct search *s, const struct frame *f,
                             const struct lin_class *c)
{
    for (uint32_t i = 0; i < c->effects_count; i++) {
        uint32_t slot = s->p->effects[c->effects + i].slot;
        if (class_uses(s, f, slot, s->state[slot])) {
            return true;
        }
    }
    return false;
}

/* Does an optional operation of those not used yet, from `from` in the trail on, use this one? */
static bool block_uses(const struct search *s, uint32_t from, const struct lin_class *c)
{
    for (uint32_t i = from; i < s->trail.count; i++) {
        const struct lin_class *other = &s->p->classes[s->trail.at[i] & ~CLASS_BIT];
        if ((s->trail.at[i] & CLASS_BIT) != 0 &&
            uses(s, &s->p->effects[other->effects], other->effects_count, c)) {
            return true;
        }
    }
    return false;
}

/* Are all optional operations that were not used yet used by this required one, or by others of
 * them? */
static bool uses_block(const struct search *s, const struct lin_op *op)
{
    for (uint32_t i = s->block; s->last != LIN_NONE && i < s->trail.count; i++) {
        const struct lin_class *c = &s->p->classes[s->trail.at[i] & ~CLASS_BIT];
        if ((s->trail.at[i] & CLASS_BIT) != 0 &&
            !uses(s, op_effects(s, op), op->effects_count, c) && !block_uses(s, i + 1, c)) {
            return false;
        }
    }
    return true;
}

/* Could they be, with class `next` and maybe others in front of it? */
static bool may_use_block(const struct search *s, const struct frame *f, const struct lin_op *op,
                          const struct lin_class *next)
{
    for (uint32_t i = s->block; s->last != LIN_NONE && i < s->trail.count; i++) {
        const struct lin_class *c = &s->p->classes[s->trail.at[i] & ~CLASS_BIT];
        if ((s->trail.at[i] & CLASS_BIT) != 0 &&
            !uses(s, op_effects(s, op), op->effects_count, c) &&
            !uses(s, &s->p->effects[next->effects], next->effects_count, c) &&
            !block_uses(s, i + 1, c) && !class_uses_class(s, f, c)) {
            return false;
        }
    }
    return true;
}

/* May this class come behind `last`? */
static bool may_follow(const struct search *s, uint32_t number)
{
    const struct lin_class *c = &s->p->classes[number];
    const struct lin_class *last;

    if (s->last == LIN_NONE) {
        return true;
    }
    last = &s->p->classes[s->last];
    return shares_slot(s, last, &s->p->effects[c->effects], c->effects_count)
               ? uses(s, &s->p->effects[c->effects], c->effects_count, last)
               : number > s->last;
}

/* ---- What may come ---- */

static bool may_place(const struct search *s, struct frame *f, uint32_t number)
{
    const struct lin_op *op = &s->p->ops[number];
    const struct lin_effect *effects = op_effects(s, op);

    /* The mask has all slots of an operation of the window, or none. */
    if (!in_mask(s, f, effects->slot) || !needs_hold(s, effects, op->effects_count) ||
        !uses_block(s, op)) {
        return false;
    }
    if (op->unseen) {
        if (f->unseen_slot == effects->slot) {
            return false;
        }
        f->unseen_slot = effects->slot;
    }
    return true;
}

/* Would this operation be glad of what the class leaves? A del finds any value as good as another.
 */
static bool welcomes(const struct search *s, const struct lin_effect *effects, uint32_t count,
                     const struct lin_class *c)
{
    const struct lin_effect *made = &s->p->effects[c->effects];
    const struct lin_effect *e;
    uint32_t state = s->state[made->slot];

    if (!uses(s, effects, count, c)) {
        return false;
    }
    if (c->effects_count > 1) {
        return true;
    }
    e = effect_on(effects, count, made->slot);
    return need_holds(e, result_of(s, made, state)) &&
           (e->need != NEED_PRESENT || state == values_root(made->slot));
}

/* Will somebody use what the class leaves, and all that was not used yet? */
static bool somebody_uses(const struct search *s, const struct frame *f, uint32_t number)
{
    const struct lin_class *c = &s->p->classes[number];
    uint32_t op;

    for (uint32_t e = s->next[HEAD]; (op = called_at(s, e)) != LIN_NONE; e = s->next[e]) {
        const struct lin_op *x = &s->p->ops[op];
        if (welcomes(s, op_effects(s, x), x->effects_count, c) &&
            in_mask(s, f, op_effects(s, x)->slot) && may_use_block(s, f, x, c)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < c->effects_count; i++) {
        const struct lin_effect *made = &s->p->effects[c->effects + i];
        if (class_uses(s, f, made->slot, result_of(s, made, s->state[made->slot]))) {
            return true;
        }
    }
    return false;
}

static bool may_use(const struct search *s, const struct frame *f, uint32_t number)
{
    const struct lin_class *c = &s->p->classes[number];
    const struct lin_effect *effects = &s->p->effects[c->effects];
    bool changes = false;

    if (!class_available(s, f, number) || !in_mask(s, f, effects->slot) ||
        !needs_hold(s, effects, c->effects_count) || !may_follow(s, number)) {
        return false;
    }
    for (uint32_t i = 0; i < c->effects_count && !changes; i++) {
        changes = result_of(s, &effects[i], s->state[effects[i].slot]) != s->state[effects[i].slot];
    }
    return changes && somebody_uses(s, f, number);
}

/* Can only those classes be of use that set the very value somebody in the window asks for? */
static bool only_wanted_values(const struct search *s)
{
    uint32_t number;

    if (s->p->slots > 1 || s->p->reading.from[1] > 0) {
        return false;
    }
    for (uint32_t e = s->next[HEAD]; (number = called_at(s, e)) != LIN_NONE; e = s->next[e]) {
        const struct lin_effect *x = op_effects(s, &s->p->ops[number]);
        if (x->need != NEED_SAME && !is_blind(x)) {
            return false;
        }
    }
    return true;
}

static bool next_op(const struct search *s, struct frame *f, uint32_t *ret)
{
    uint32_t number;

    while ((number = called_at(s, f->cursor)) != LIN_NONE) {
        f->cursor = s->next[f->cursor];
        if (number != f->first && may_place(s, f, number)) {
            *ret = number;
            return true;
        }
    }
    return false;
}

static bool next_class(const struct search *s, struct frame *f, uint32_t *ret)
{
    const struct lin_rows *rows = &s->p->by_slot;

    while (f->slot < s->p->slots) {
        while (in_mask(s, f, f->slot) && f->cursor < rows->from[f->slot + 1]) {
            uint32_t number = rows->at[f->cursor++];
            if (may_use(s, f, number)) {
                *ret = number | CLASS_BIT;
                return true;
            }
        }
        f->slot++;
        f->cursor = rows->from[f->slot];
    }
    return false;
}

static bool next_wanted(const struct search *s, struct frame *f, uint32_t *ret)
{
    uint32_t number;

    while ((number = called_at(s, f->cursor)) != LIN_NONE) {
        const struct lin_effect *x = op_effects(s, &s->p->ops[number]);
        uint32_t class = x->need == NEED_SAME ? s->p->setter[x->need_node] : LIN_NONE;
        f->cursor = s->next[f->cursor];
        if (class != LIN_NONE && may_use(s, f, class)) {
            *ret = class | CLASS_BIT;
            return true;
        }
    }
    return false;
}

bool choose_next(const struct search *s, struct frame *f, uint32_t *ret)
{
    if (f->phase == PHASE_FIRST) {
        f->phase = PHASE_WINDOW;
        f->cursor = s->next[HEAD];
        if (may_place(s, f, f->first)) {
            *ret = f->first;
            return true;
        }
    }
    if (f->phase == PHASE_WINDOW) {
        bool wanted;
        if (next_op(s, f, ret)) {
            return true;
        }
        wanted = only_wanted_values(s);
        f->phase = wanted ? PHASE_WANTED : PHASE_CLASSES;
        f->cursor = wanted ? s->next[HEAD] : 0;
    }
    return f->phase == PHASE_WANTED ? next_wanted(s, f, ret) : next_class(s, f, ret);
}

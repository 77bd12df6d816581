/*
 * lincheck_search.c - is there an order? The search of Wing and Gong with Lowe's memory, and what
 * may be left out of it.
 *
 * Required operations stand in a list of calls and returns, in order of time. One that gets its
 * place in the order leaves the list. Those that may come next are called before the first return
 * in the list; the *window*. When the list is empty, an order is found.
 *
 * At each place the search first takes what can be taken without choosing (settle):
 *
 *   - operations that change nothing and find what they ask for: in an order where they come later
 *     they may as well come now;
 *   - puts that nobody sees (a LIN_OTHER at a slot that is not sensitive, see lincheck_build.c)
 *     while the slot holds LIN_OTHER anyway.
 *
 * Then it chooses what comes next, and leaves out:
 *
 *   - what has nothing to do with the operation whose return is first: of all operations before it
 *     in an order, those that share no slot with it, directly or through others of them, may as
 *     well come behind it. (`mask`: slots that are connected through operations of the window.)
 *   - puts that nobody sees, one by one, in front of another blind put: all that may, come right in
 *     front of it, where they are overwritten at once.
 *   - an optional operation that is not used by what follows it. In an order with as few optional
 *     operations as possible, each can be moved right in front of the next operation that shares a
 *     slot with it; and that one reads the slot, as otherwise the order without the optional one
 *     were as good. Among several optional ones in front of one reader those that share no slot
 *     come in ascending order. So optional operations are only used if somebody of the window is
 *     glad of them, and after them (`last`, `block`) only few may follow.
 *   - places that were visited with no more optional operations used (lincheck_memo.c), and places
 *     from which something cannot be found any more (lincheck_ahead.c).
 *
 * Each of these keeps at least one of the shortest orders, if there is an order at all.
 */
#include "tests/sim/lincheck_search.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum { ASK_EVERY = 1024 };

static void search_init(struct search *s, struct lin_problem *p, struct lin_budget *budget)
{
    uint32_t events = p->events.count;

    *s = (struct search){.p = p, .budget = budget, .last = LIN_NONE, .left = p->ops_count};
    s->memo = memo_new(p->classes_count);
    s->end = events + 1;
    s->next = xcalloc((size_t) events + 2, sizeof(s->next[0]));
    s->prev = xcalloc((size_t) events + 2, sizeof(s->prev[0]));
    s->call_at = xcalloc((size_t) p->ops_count + 1, sizeof(s->call_at[0]));
    s->return_at = xcalloc((size_t) p->ops_count + 1, sizeof(s->return_at[0]));
    s->next[HEAD] = 1;
    for (uint32_t i = 0; i < events; i++) {
        uint32_t code = p->events.at[i];
        s->prev[i + 1] = i;
        s->next[i + 1] = i + 2;
        if ((code & 1) == 0) {
            s->call_at[code / 2] = i + 1;
        } else {
            s->return_at[code / 2] = i + 1;
        }
    }
    s->prev[s->end] = events;
    s->state = xcalloc(p->slots, sizeof(s->state[0]));
    for (uint32_t i = 0; i < p->slots; i++) {
        s->state[i] = values_root(i);
    }
    s->used = xcalloc((size_t) p->classes_count + 1, sizeof(s->used[0]));
    s->mask_words = p->slots > 1 ? (p->slots + 63) / 64 : 0;
}

static void search_release(struct search *s)
{
    memo_free(s->memo);
    free(s->next);
    free(s->prev);
    free(s->call_at);
    free(s->return_at);
    free(s->state);
    free(s->used);
    u32s_release(&s->trail);
    u32s_release(&s->states);
    u32s_release(&s->key);
    free(s->frames);
    free(s->masks);
}

/* ---- The list ---- */

static void unlink_event(struct search *s, uint32_t e)
{
    s->next[s->prev[e]] = s->next[e];
    s->prev[s->next[e]] = s->prev[e];
}

static void relink_event(struct search *s, uint32_t e)
{
    s->next[s->prev[e]] = e;
    s->prev[s->next[e]] = e;
}

/* ---- Effects ---- */

/* Carries the effects out. False: something will be missed for good. */
static bool act(struct search *s, const struct lin_effect *effects, uint32_t count)
{
    uint32_t mark = s->states.count;
    bool good = true;

    for (uint32_t i = 0; i < count; i++) {
        const struct lin_effect *e = &effects[i];
        ahead_take(s->p, e);
        u32s_push(&s->states, e->slot);
        u32s_push(&s->states, s->state[e->slot]);
        s->state[e->slot] = result_of(s, e, s->state[e->slot]);
    }
    for (uint32_t i = 0; i < count && good; i++) {
        const struct lin_effect *e = &effects[i];
        good = !ahead_hopeless(s->p, e, s->states.at[mark + 2 * i + 1], s->state[e->slot]);
    }
    return good;
}

/* ---- Giving an operation its place, and taking it back ---- */

static void leave_list(struct search *s, uint32_t number)
{
    /* In this order the call's successor is right for who walks along the list. */
    unlink_event(s, s->return_at[number]);
    unlink_event(s, s->call_at[number]);
    s->p->done[number / 64] |= UINT64_C(1) << (number % 64);
    s->high = number > s->high ? number : s->high;
    s->left--;
    u32s_push(&s->trail, number);
}

static bool place_op(struct search *s, uint32_t number)
{
    const struct lin_op *op = &s->p->ops[number];

    leave_list(s, number);
    return act(s, op_effects(s, op), op->effects_count);
}

/* One that changes nothing here. */
static void place_quietly(struct search *s, uint32_t number)
{
    const struct lin_op *op = &s->p->ops[number];

    leave_list(s, number);
    for (uint32_t i = 0; i < op->effects_count; i++) {
        ahead_take(s->p, &op_effects(s, op)[i]);
    }
}

static bool place_class(struct search *s, uint32_t number)
{
    const struct lin_class *c = &s->p->classes[number];

    s->used[number]++;
    s->set = memo_set_with(s->memo, s->set, number);
    s->block = s->last == LIN_NONE ? s->trail.count : s->block;
    s->last = number;
    u32s_push(&s->trail, number | CLASS_BIT);
    return act(s, &s->p->effects[c->effects], c->effects_count);
}

static void take_back_op(struct search *s, uint32_t number)
{
    const struct lin_op *op = &s->p->ops[number];

    relink_event(s, s->call_at[number]);
    relink_event(s, s->return_at[number]);
    s->p->done[number / 64] &= ~(UINT64_C(1) << (number % 64));
    s->left++;
    for (uint32_t i = 0; i < op->effects_count; i++) {
        ahead_give(s->p, &op_effects(s, op)[i]);
    }
}

static void take_back_class(struct search *s, uint32_t number)
{
    const struct lin_class *c = &s->p->classes[number];

    s->used[number]--;
    for (uint32_t i = 0; i < c->effects_count; i++) {
        ahead_give(s->p, &s->p->effects[c->effects + i]);
    }
}

/* Back to the place of this frame. */
static void back_to(struct search *s, const struct frame *f)
{
    while (s->trail.count > f->trail) {
        uint32_t entry = s->trail.at[--s->trail.count];
        if ((entry & CLASS_BIT) != 0) {
            take_back_class(s, entry & ~CLASS_BIT);
        } else {
            take_back_op(s, entry);
        }
    }
    while (s->states.count > f->states) {
        s->states.count -= 2;
        s->state[s->states.at[s->states.count]] = s->states.at[s->states.count + 1];
    }
    s->low = f->low;
    s->high = f->high;
    s->set = f->set;
    s->last = f->last;
    s->block = f->block;
    s->first = f->first;
}

/* ---- Taking without choosing ---- */

static bool comes_quietly(const struct search *s, const struct lin_op *op)
{
    if (op->unseen) {
        return s->state[op_effects(s, op)->slot] == LIN_OTHER;
    }
    return op->pure && needs_hold(s, op_effects(s, op), op->effects_count);
}

static void settle(struct search *s)
{
    uint32_t e = s->next[HEAD];
    uint32_t number;

    while ((number = called_at(s, e)) != LIN_NONE) {
        const struct lin_op *op = &s->p->ops[number];
        if (comes_quietly(s, op)) {
            if (s->last != LIN_NONE && op->pure &&
                shares_slot(s, &s->p->classes[s->last], op_effects(s, op), op->effects_count)) {
                s->last = LIN_NONE;
            }
            place_quietly(s, number);
        }
        e = s->next[e]; /* of an event that just left, too */
    }
    s->first = e == s->end ? LIN_NONE : s->p->events.at[e - 1] / 2;
    while (s->low < s->p->ops_count && lin_bit(s->p->done, s->low)) {
        s->low++;
    }
}

/* Puts that nobody sees, right in front of a blind one at their slot. */
static void take_unseen(struct search *s, const struct lin_effect *blind, uint32_t except)
{
    uint32_t e = s->next[HEAD];
    uint32_t number;

    if (s->p->sensitive[blind->slot]) {
        return;
    }
    while ((number = called_at(s, e)) != LIN_NONE) {
        const struct lin_op *op = &s->p->ops[number];
        if (op->unseen && number != except && op_effects(s, op)->slot == blind->slot) {
            place_quietly(s, number);
        }
        e = s->next[e];
    }
}

/* ---- The search ---- */

/* What tells places apart, but for the optional operations used. Operations below `low` have their
 * places, those above `high` have none. Last come the optional operations not used yet: they say
 * what may follow. Returns the size without them. */
static uint32_t make_key(struct search *s)
{
    uint32_t from = s->low / 64;
    uint32_t to = s->high / 64 > from ? s->high / 64 : from;
    uint32_t size;

    s->key.count = 0;
    u32s_push(&s->key, 0); /* number of operations not used yet */
    for (uint32_t i = 0; i < s->p->slots; i++) {
        u32s_push(&s->key, s->state[i]);
    }
    u32s_push(&s->key, from);
    for (uint32_t i = from; i <= to; i++) {
        u32s_push(&s->key, (uint32_t) s->p->done[i]);
        u32s_push(&s->key, (uint32_t) (s->p->done[i] >> 32));
    }
    size = s->key.count;
    for (uint32_t i = s->block; s->last != LIN_NONE && i < s->trail.count; i++) {
        if ((s->trail.at[i] & CLASS_BIT) != 0) {
            u32s_push(&s->key, s->trail.at[i]);
        }
    }
    return size;
}

/* Is this place worth a visit? */
static bool is_new(struct search *s)
{
    uint32_t size = make_key(s);

    if (s->last == LIN_NONE) {
        return !memo_visited(s->memo, s->key.at, size, s->set, true);
    }
    /* Where anything may follow, all can be reached that can be reached from here. */
    if (memo_visited(s->memo, s->key.at, size, s->set, false)) {
        return false;
    }
    s->key.at[0] = s->key.count - size;
    return !memo_visited(s->memo, s->key.at, s->key.count, s->set, true);
}

static void push_frame(struct search *s)
{
    struct frame *f;

    if (s->frames_count == s->frames_capacity) {
        s->frames_capacity = s->frames_capacity == 0 ? 64 : 2 * s->frames_capacity;
        s->frames = xrealloc(s->frames, s->frames_capacity * sizeof(s->frames[0]));
        s->masks = xrealloc(s->masks,
                            (size_t) s->frames_capacity * s->mask_words * sizeof(s->masks[0]) + 1);
    }
    f = &s->frames[s->frames_count++];
    *f = (struct frame){.trail = s->trail.count,
                        .states = s->states.count,
                        .low = s->low,
                        .high = s->high,
                        .set = s->set,
                        .last = s->last,
                        .block = s->block,
                        .first = s->first,
                        .unseen_slot = LIN_NONE,
                        .phase = PHASE_FIRST};
    choose_mask(s, f);
}

/* Makes a choice. True: it led to a place worth a visit. */
static bool try_choice(struct search *s, uint32_t choice)
{
    bool is_class = (choice & CLASS_BIT) != 0;
    uint32_t number = choice & ~CLASS_BIT;
    const struct lin_effect *effects =
        &s->p->effects[is_class ? s->p->classes[number].effects : s->p->ops[number].effects];
    uint32_t count =
        is_class ? s->p->classes[number].effects_count : s->p->ops[number].effects_count;

    if (count == 1 && is_blind(effects)) {
        take_unseen(s, effects, is_class ? LIN_NONE : number);
    }
    if (!is_class) {
        s->last = LIN_NONE;
    }
    if (is_class ? !place_class(s, number) : !place_op(s, number)) {
        return false;
    }
    settle(s);
    return s->left == 0 || is_new(s);
}

static bool spend(struct search *s)
{
    struct lin_budget *b = s->budget;

    b->steps++;
    if (b->steps_max != 0 && b->steps > b->steps_max) {
        b->over = true;
    }
    if (b->give_up != NULL && b->steps % ASK_EVERY == 0 && b->give_up(b->ctx)) {
        b->over = true;
    }
    if (memo_full(s->memo)) {
        b->over = true;
        b->memory = true;
    }
    return !b->over && (b->probe_end == 0 || b->steps < b->probe_end);
}

static enum lincheck_verdict search_run(struct search *s)
{
    if (ahead_hopeless_start(s->p)) {
        return LINCHECK_WRONG;
    }
    settle(s);
    if (s->left == 0) {
        return LINCHECK_OK;
    }
    push_frame(s);
    while (s->frames_count > 0) {
        struct frame *f = &s->frames[s->frames_count - 1];
        uint32_t choice = 0;
        if (!choose_next(s, f, &choice)) {
            s->frames_count--;
            if (s->frames_count > 0) {
                back_to(s, &s->frames[s->frames_count - 1]);
            }
            continue;
        }
        if (!spend(s)) {
            return LINCHECK_GAVE_UP;
        }
        if (!try_choice(s, choice)) {
            back_to(s, f);
            continue;
        }
        if (s->left == 0) {
            return LINCHECK_OK;
        }
        push_frame(s);
    }
    return LINCHECK_WRONG;
}

enum lincheck_verdict lin_search(struct lin_problem *p, struct lin_budget *budget,
                                 struct u32s *ret_order)
{
    struct search s;
    enum lincheck_verdict verdict;

    search_init(&s, p, budget);
    verdict = search_run(&s);
    if (verdict == LINCHECK_OK) {
        memset(s.used, 0, p->classes_count * sizeof(s.used[0]));
        ret_order->count = 0;
        for (uint32_t i = 0; i < s.trail.count; i++) {
            uint32_t number = s.trail.at[i] & ~CLASS_BIT;
            bool is_class = (s.trail.at[i] & CLASS_BIT) != 0;
            u32s_push(ret_order,
                      is_class ? p->members[p->classes[number].members + s.used[number]++].number
                               : p->ops[number].number);
        }
    }
    search_release(&s);
    return verdict;
}

/*
 * timer_wheel.c - see timer_wheel.h. The lists are rings through their heads, so a wheel does not
 * move in memory.
 */
#include "kv/timer_wheel.h"

#include "base/assert.h"
#include "base/mem.h"

enum { SLOT_MASK = TIMER_WHEEL_SLOTS - 1, WORDS = TIMER_WHEEL_SLOTS / 64 };

STATIC_ASSERT((TIMER_WHEEL_SLOTS & SLOT_MASK) == 0, "slots are found by a mask");

void timer_wheel_init(struct timer_wheel *w)
{
    *w = (struct timer_wheel){0};
    for (uint32_t i = 0; i < TIMER_WHEEL_SLOTS; i++) {
        list_init(&w->slots[i]);
    }
    list_init(&w->expired);
}

bool timer_is_set(const struct timer *t)
{
    return list_node_linked(&t->node);
}

void timer_clear(struct timer_wheel *w, struct timer *t)
{
    if (!timer_is_set(t)) {
        return;
    }
    uint64_t slot = t->tick & SLOT_MASK;
    list_remove(&t->node);
    if (list_empty(&w->slots[slot])) {
        w->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    }
}

void timer_set(struct timer_wheel *w, struct timer *t, uint64_t at_us)
{
    timer_clear(w, t);
    if (at_us == UINT64_MAX) {
        return;
    }
    /* The first tick that begins at or after at_us, so that nothing fires early. */
    uint64_t tick = at_us >> TIMER_TICK_SHIFT;
    tick += (at_us & ((UINT64_C(1) << TIMER_TICK_SHIFT) - 1)) != 0;
    t->tick = u64_max(tick, w->tick + 1);
    uint64_t slot = t->tick & SLOT_MASK;
    list_push_back(&w->slots[slot], &t->node);
    w->used[slot / 64] |= UINT64_C(1) << (slot % 64);
}

/* Moves what is due in one slot to the expired ones; timers of later rounds stay. */
static void slot_expire(struct timer_wheel *w, uint64_t slot, uint64_t tick)
{
    struct list *l = &w->slots[slot];
    LIST_FOR_EACH_SAFE(l, node, after) {
        struct timer *t = list_entry(node, struct timer, node);
        if (t->tick <= tick) {
            list_remove(node);
            list_push_back(&w->expired, node);
        }
    }
    if (list_empty(l)) {
        w->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    }
}

void timer_wheel_advance(struct timer_wheel *w, uint64_t now_us)
{
    uint64_t tick = now_us >> TIMER_TICK_SHIFT;
    if (tick <= w->tick) {
        return;
    }
    /* After a long sleep each slot is looked at once. */
    uint64_t steps = u64_min(tick - w->tick, TIMER_WHEEL_SLOTS);
    for (uint64_t i = 1; i <= steps; i++) {
        uint64_t slot = (w->tick + i) & SLOT_MASK;
        if ((w->used[slot / 64] >> (slot % 64)) & 1) {
            slot_expire(w, slot, tick);
        }
    }
    w->tick = tick;
}

struct timer *timer_wheel_pop(struct timer_wheel *w)
{
    struct list_node *node = list_pop_front(&w->expired);
    return node == NULL ? NULL : list_entry(node, struct timer, node);
}

uint64_t timer_wheel_deadline(const struct timer_wheel *w)
{
    if (!list_empty(&w->expired)) {
        return w->tick << TIMER_TICK_SHIFT;
    }
    uint64_t start = (w->tick + 1) & SLOT_MASK;
    for (uint64_t i = 0; i <= WORDS; i++) {
        uint64_t word = (start / 64 + i) % WORDS;
        uint64_t bits = w->used[word];
        if (i == 0) {
            bits &= ~UINT64_C(0) << (start % 64);
        } else if (i == WORDS) {
            bits &= (UINT64_C(1) << (start % 64)) - 1;
        }
        if (bits != 0) {
            uint64_t slot = word * 64 + (uint64_t) __builtin_ctzll(bits);
            uint64_t ahead = (slot - start) & SLOT_MASK;
            return (w->tick + 1 + ahead) << TIMER_TICK_SHIFT;
        }
    }
    return UINT64_MAX;
}

/*
 * timer_wheel.h - many deadlines, set and cleared in constant time.
 *
 * A hashed wheel: a timer sits in the slot of its tick (4,096 us), further rounds in the same slot.
 * Timers fire up to one tick late and never early. No clock: time comes with timer_wheel_advance.
 */
#ifndef SYNOD_KV_TIMER_WHEEL_H
#define SYNOD_KV_TIMER_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

enum {
    TIMER_WHEEL_SLOTS = 2048, /* 8.4 s in one round */
    TIMER_TICK_SHIFT = 12,
};

/* Embedded in what it wakes; zeroed means not set. */
struct timer {
    struct list_node node;
    uint64_t tick;
    uint8_t kind; /* the owner's: says what the timer is embedded in */
};

struct timer_wheel {
    struct list slots[TIMER_WHEEL_SLOTS];
    uint64_t used[TIMER_WHEEL_SLOTS / 64]; /* bitmap of slots with timers */
    uint64_t tick;                         /* everything up to it has fired */
    struct list expired;
};

void timer_wheel_init(struct timer_wheel *w);

/* (Re)sets `t` to fire at at_us; UINT64_MAX clears it. */
void timer_set(struct timer_wheel *w, struct timer *t, uint64_t at_us);
void timer_clear(struct timer_wheel *w, struct timer *t);
bool timer_is_set(const struct timer *t);

/* Moves time to now_us; what is due is then given out by timer_wheel_pop, each once. */
void timer_wheel_advance(struct timer_wheel *w, uint64_t now_us);
struct timer *timer_wheel_pop(struct timer_wheel *w); /* NULL: no more */

/* No timer fires before this time; UINT64_MAX when none is set. It may be too early, never late. */
uint64_t timer_wheel_deadline(const struct timer_wheel *w);

#endif

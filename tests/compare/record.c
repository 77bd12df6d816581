/*
 * record.c - see record.h.
 */
#include "tests/compare/record.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

enum { ROUNDS_MAX = 1 << 22 };

void record_init(struct record *r, const struct scenario *scenario, bool real)
{
    memset(r, 0, sizeof *r);
    r->engine = scenario->engine;
    r->nodes = scenario->nodes;
    r->seed = scenario->seed;
    r->length_us = scenario->length_us;
    r->end_us = scenario->length_us;
    r->election_us = scenario->options[OPTION_ELECTION];
    r->start_us = scenario_start_us(scenario);
    r->real = real;
    r->history = history_new();
    map_init(&r->rounds, ROUNDS_MAX);
}

void record_release(struct record *r)
{
    free(r->events);
    history_free(r->history);
    map_release(&r->rounds);
    memset(r, 0, sizeof *r);
}

static bool is_round(const struct trace_event *e)
{
    switch (e->message) {
    case MSG_PAXOS_PREPARE:
        return true;
    case MSG_PAXOS_ACCEPT:
    case MSG_RAFT_APPEND:
        return e->last != 0; /* without entries it asks for nothing to be chosen */
    default:
        return false;
    }
}

static void count_send(struct record *r, const struct trace_event *e)
{
    r->totals[TOTAL_MESSAGES]++;
    if (!is_round(e)) {
        return;
    }
    uint64_t key = hash64_mix((uint64_t) e->from << 8 | e->message, e->epoch);
    key = hash64_mix(hash64_mix(key, e->index), e->last);
    if (map_put(&r->rounds, key, r) == OK) { /* any value but NULL: only the key counts */
        r->totals[TOTAL_ROUNDS]++;
    }
}

/* What measures and diagrams look at. */
static bool is_kept(uint8_t kind)
{
    switch (kind) {
    case TRACE_BECAME_LEADER:
    case TRACE_BECAME_FOLLOWER:
    case TRACE_BECAME_CANDIDATE:
    case TRACE_STEP_DOWN:
    case TRACE_FAULT:
    case TRACE_START:
    case TRACE_STOP:
    case TRACE_TRUNCATE:
    case TRACE_GAP_FILLED:
    case TRACE_DISPLACED:
        return true;
    default:
        return false;
    }
}

static void keep(struct record *r, const struct trace_event *event)
{
    if (r->events_count == RECORD_EVENTS_MAX) {
        r->dropped++;
        return;
    }
    if (r->events_count == r->events_capacity) {
        r->events_capacity = r->events_capacity == 0 ? 256 : 2 * r->events_capacity;
        r->events = xrealloc(r->events, r->events_capacity * sizeof *r->events);
    }
    size_t at = r->events_count++;
    /* Traces of processes are read one after another: a little out of order. */
    while (at > 0 && r->events[at - 1].time_us > event->time_us) {
        r->events[at] = r->events[at - 1];
        at--;
    }
    r->events[at] = *event;
}

void record_event(struct record *r, const struct trace_event *event)
{
    if (event->time_us > r->length_us && event->kind != TRACE_FAULT) {
        return; /* the end is not measured */
    }
    if (event->kind == TRACE_SEND) {
        count_send(r, event);
    } else if (event->kind == TRACE_COMMIT) {
        r->totals[TOTAL_COMMITS] = u64_max(r->totals[TOTAL_COMMITS], event->index);
    } else if (is_kept(event->kind)) {
        keep(r, event);
    }
}

static void emit(void *ctx, const struct trace_event *event)
{
    record_event(ctx, event);
}

struct trace_sink record_sink(struct record *r)
{
    return (struct trace_sink){.emit = emit, .ctx = r};
}

void record_fail(struct record *r, const char *property, const char *format, ...)
{
    va_list args;
    if (r->red) {
        return;
    }
    r->red = true;
    (void) snprintf(r->property, sizeof r->property, "%s", property);
    va_start(args, format);
    (void) vsnprintf(r->text, sizeof r->text, format, args); /* a longer line is cut */
    va_end(args);
}

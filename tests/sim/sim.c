/*
 * sim.c - a run of the simulator: virtual time, the events in it, and the trace.
 */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/diag.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/sim/sim_internal.h"

enum {
    START_US = 1000,
    CONDITION_EVENTS = 16,
    SEEN_MAX = 1 << 22, /* values at revisions that clients are told about, in one run */
};

const char *sim_count_text(uint32_t count)
{
    static const char *const texts[] = {
#define X(name, text) text,
        SIM_COUNT_MAP(X)
#undef X
    };
    return count < ARRAY_SIZE(texts) ? texts[count] : "unknown";
}

void sim_count(struct sim *sim, enum sim_count count)
{
    sim->result->counts[count]++;
}

/* Failure and trace. */

bool sim_red(const struct sim *sim)
{
    return sim->result->red;
}

void sim_fail(struct sim *sim, const char *property, const char *format, ...)
{
    struct sim_result *r = sim->result;
    va_list args;
    if (r->red) {
        return;
    }
    r->red = true;
    r->at_us = sim->now_us;
    (void) snprintf(r->property, sizeof r->property, "%s", property);
    va_start(args, format);
    (void) vsnprintf(r->text, sizeof r->text, format, args); /* a longer line is cut */
    va_end(args);
}

static void on_violation(void *ctx, const char *property, const char *text)
{
    sim_fail(ctx, property, "%s", text);
}

/* Cheap, as it is paid for every event; each step depends on all before it. */
static uint64_t fold(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static void on_trace(void *ctx, const struct trace_event *event)
{
    struct sim *sim = ctx;
    struct trace_event e = *event;
    e.time_us = sim->now_us; /* the node stamped it by its own clock */
    const uint64_t fields[] = {e.time_us,
                               (uint64_t) e.node << 32 | e.kind,
                               (uint64_t) e.message << 56 | (uint64_t) e.from << 32 | e.to,
                               e.epoch,
                               e.index,
                               e.last,
                               e.ctx,
                               e.hash};
    uint64_t hash = sim->result->trace_hash;
    for (uint32_t i = 0; i < ARRAY_SIZE(fields); i++) {
        hash = fold(hash, fields[i]);
    }
    if (e.note != NULL) {
        hash = hash64_bytes(hash, bytes_str(e.note));
    }
    sim->result->trace_hash = hash;
    if (e.kind == TRACE_MARK && e.index < MARKS) {
        sim->result->marks[e.index]++;
    }
    observer_trace(sim->observer, &e);
    trigger_event(&sim->trigger, &e);
    if (sim->hooks->trace.emit != NULL) {
        sim->hooks->trace.emit(sim->hooks->trace.ctx, &e);
    }
}

struct trace_sink sim_sink(struct sim *sim)
{
    return (struct trace_sink){.emit = on_trace, .ctx = sim};
}

void sim_note(struct sim *sim, uint32_t node, const char *what)
{
    const struct trace_event event = {.node = node,
                                      .engine = engine_number(sim->scenario->engine),
                                      .kind = TRACE_FAULT,
                                      .note = what};
    on_trace(sim, &event);
}

/* Events: a binary heap. */

static bool before(const struct event *a, const struct event *b)
{
    return a->time_us != b->time_us ? a->time_us < b->time_us : a->number < b->number;
}

void sim_push(struct sim *sim, struct event event)
{
    if (sim->heap_count == sim->heap_capacity) {
        sim->heap_capacity = sim->heap_capacity == 0 ? 256 : sim->heap_capacity * 2;
        sim->heap = xrealloc(sim->heap, sim->heap_capacity * sizeof(*sim->heap));
    }
    event.number = ++sim->event_number;
    size_t at = sim->heap_count++;
    while (at > 0 && before(&event, &sim->heap[(at - 1) / 2])) {
        sim->heap[at] = sim->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->heap[at] = event;
}

static struct event pop(struct sim *sim)
{
    ASSERT(sim->heap_count > 0);
    struct event first = sim->heap[0];
    struct event last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->heap_count) {
            break;
        }
        if (child + 1 < sim->heap_count && before(&sim->heap[child + 1], &sim->heap[child])) {
            child++;
        }
        if (!before(&sim->heap[child], &last)) {
            break;
        }
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return first;
}

static void event_release(struct event *event)
{
    if (event->kind == EVENT_MESSAGE) {
        sim_flight_free(event->object);
    } else {
        free(event->object);
    }
    event->object = NULL;
}

static void step(struct sim *sim)
{
    struct event event = pop(sim);
    ASSERT(event.time_us >= sim->now_us);
    sim->now_us = event.time_us;
    sim_count(sim, COUNT_EVENTS);
    switch (event.kind) {
    case EVENT_CLIENT:
        sim_client_event(sim, event.node);
        break;
    case EVENT_CALL:
        sim_clients_call(sim);
        break;
    case EVENT_START:
        sim_node_start(sim, &sim->nodes[event.node]);
        break;
    default:
        sim_node_event(sim, &event); /* may put it off, and takes the object then */
        break;
    }
    event_release(&event);
}

/* When the next step of the scenario is due, now at the earliest. */
static uint64_t step_due(const struct sim *sim)
{
    return sim->healed ? UINT64_MAX : u64_max(trigger_due(&sim->trigger), sim->now_us);
}

/* At one time, before anything else. */
static void take_step(struct sim *sim)
{
    struct trigger_due due;
    sim->now_us = step_due(sim);
    sim_count(sim, COUNT_EVENTS);
    bool any = trigger_next(&sim->trigger, sim->now_us, &due);
    ASSERT(any);
    sim_fault_step(sim, &due.step);
}

bool sim_run_until(struct sim *sim, uint64_t time_us, bool (*condition)(struct sim *sim))
{
    while (!sim_red(sim)) {
        /* Not after every event: looking at all nodes costs more than an event. */
        if (condition != NULL && sim->result->counts[COUNT_EVENTS] % CONDITION_EVENTS == 0 &&
            condition(sim)) {
            return true;
        }
        uint64_t next_us = sim->heap_count == 0 ? UINT64_MAX : sim->heap[0].time_us;
        uint64_t due_us = step_due(sim);
        if (u64_min(next_us, due_us) > time_us) {
            sim->now_us = time_us;
            return false;
        }
        if (due_us <= next_us) {
            take_step(sim);
        } else {
            step(sim);
        }
    }
    return false;
}

/* A run. */

static void start(struct sim *sim)
{
    const struct scenario *s = sim->scenario;
    const struct observer_options observer = {.engine = s->engine,
                                              .nodes = s->nodes,
                                              .fail = on_violation,
                                              .ctx = sim};
    sim->now_us = START_US;
    sim->observer = observer_new(&observer);
    rng_init(&sim->network_rng, s->seed ^ UINT64_C(0x6e6574));
    rng_init(&sim->fault_rng, s->seed ^ UINT64_C(0x6661756c74));
    rng_init(&sim->rate_rng, s->seed ^ UINT64_C(0x72617465));
    trigger_init(&sim->trigger, s);
    arena_init(&sim->arena, 1 << 14, SIZE_MAX / 4);
    buf_init(&sim->text, 4 << 20);
    buf_init(&sim->head, SIZE_MAX / 4);
    for (uint32_t i = 0; i < ARRAY_SIZE(sim->values); i++) {
        buf_init(&sim->values[i], 4 << 20);
    }
    map_init(&sim->seen, SEEN_MAX);
    sim->history = sim->hooks->history;
    if (sim->history == NULL) {
        sim->history = history_new();
        sim->history_owned = true;
    }
    for (uint32_t i = 1; i <= s->nodes; i++) {
        sim_node_init(sim, i);
    }
    for (uint32_t i = 1; i <= s->nodes; i++) {
        sim_node_start(sim, &sim->nodes[i]);
    }
    sim_clients_init(sim);
}

static void release(struct sim *sim)
{
    for (uint32_t i = 1; i <= sim->scenario->nodes; i++) {
        sim_node_release(&sim->nodes[i]);
    }
    for (size_t i = 0; i < sim->heap_count; i++) {
        event_release(&sim->heap[i]);
    }
    free(sim->heap);
    sim_clients_release(sim);
    map_release(&sim->seen);
    arena_release(&sim->arena);
    buf_release(&sim->text);
    buf_release(&sim->head);
    for (uint32_t i = 0; i < ARRAY_SIZE(sim->values); i++) {
        buf_release(&sim->values[i]);
    }
    trigger_release(&sim->trigger);
    observer_free(sim->observer);
    if (sim->history_owned) {
        history_free(sim->history);
    }
    free(sim);
}

/* What nodes say of their end is in the verdict. */
static void on_diag(enum diag_level level, const char *text, void *ctx)
{
    (void) level;
    (void) text;
    (void) ctx;
}

/* The counts so far, with those that others keep. */
static void collect(const struct sim *sim, uint64_t counts[SIM_COUNTS])
{
    memmove(counts, sim->result->counts, sizeof sim->result->counts);
    for (uint32_t i = 1; i <= sim->scenario->nodes; i++) {
        struct sim_disk_counts c;
        sim_disk_counts(sim->nodes[i].disk, &c);
        counts[COUNT_LOST_RECORDS] += c.lost_records;
        counts[COUNT_TORN_RECORDS] += c.torn_records;
    }
    counts[COUNT_LEADERS] = observer_leader_changes(sim->observer);
    counts[COUNT_COMMITS] = observer_committed(sim->observer);
}

void sim_execute(const struct scenario *scenario, const struct sim_hooks *hooks,
                 struct sim_result *ret_result)
{
    static const struct sim_hooks none;
    ASSERT(scenario->engine != NULL);
    *ret_result = (struct sim_result){0};
    struct sim *sim = xcalloc(1, sizeof *sim);
    sim->scenario = scenario;
    sim->hooks = hooks == NULL ? &none : hooks;
    sim->result = ret_result;
    diag_set_sink(on_diag, NULL);
    start(sim);
    uint64_t stop_us = sim->hooks->stop_us;
    if (stop_us != 0 && stop_us < scenario->length_us) {
        (void) sim_run_until(sim, stop_us, NULL); /* no condition, no answer */
    } else {
        (void) sim_run_until(sim, scenario->length_us, NULL);
        collect(sim, ret_result->length_counts);
        sim_end(sim);
    }
    ret_result->virtual_us = sim->now_us;
    collect(sim, ret_result->counts);
    release(sim);
    diag_set_sink(NULL, NULL);
}

bool sim_as_expected(const struct scenario *scenario, const struct sim_result *result)
{
    if (!scenario->expect_red || !result->red) {
        return scenario->expect_red == result->red;
    }
    return scenario->expect_property[0] == '\0' ||
           strcmp(scenario->expect_property, result->property) == 0;
}

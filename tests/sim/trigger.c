/*
 * trigger.c - decides when the steps of a scenario are due, for both back ends.
 */
#include "tests/sim/trigger.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

/* Goes on to the next step at a time. */
static void skip_conditions(struct trigger *t)
{
    const struct scenario *s = t->scenario;
    while (t->next < s->steps_count && s->steps[t->next].when.kind != WHEN_TIME) {
        t->next++;
    }
}

void trigger_init(struct trigger *t, const struct scenario *scenario)
{
    *t = (struct trigger){.scenario = scenario};
    t->fired = xcalloc(u64_max(scenario->steps_count, 1), sizeof *t->fired);
    t->number = scenario->steps_count; /* those below are of the steps themselves */
    for (uint32_t i = 0; i < scenario->steps_count; i++) {
        t->conditions[scenario->steps[i].when.kind]++;
    }
    skip_conditions(t);
}

void trigger_release(struct trigger *t)
{
    free(t->pending);
    free(t->fired);
    t->pending = NULL;
    t->fired = NULL;
}

/* What is pending: a binary heap. */

static bool before(const struct trigger_due *a, const struct trigger_due *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

static void add(struct trigger *t, const struct sim_step *step, uint64_t at_us)
{
    if (t->pending_count == TRIGGER_PENDING_MAX) {
        t->dropped++;
        return;
    }
    if (t->pending == NULL) {
        t->pending = xcalloc(TRIGGER_PENDING_MAX, sizeof *t->pending);
    }
    const struct trigger_due due = {.at_us = at_us, .number = t->number++, .step = *step};
    uint32_t at = t->pending_count++;
    while (at > 0 && before(&due, &t->pending[(at - 1) / 2])) {
        t->pending[at] = t->pending[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    t->pending[at] = due;
}

static void pop(struct trigger *t, struct trigger_due *ret_due)
{
    ASSERT(t->pending_count > 0);
    *ret_due = t->pending[0];
    const struct trigger_due last = t->pending[--t->pending_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= t->pending_count) {
            break;
        }
        if (child + 1 < t->pending_count && before(&t->pending[child + 1], &t->pending[child])) {
            child++;
        }
        if (!before(&t->pending[child], &last)) {
            break;
        }
        t->pending[at] = t->pending[child];
        at = child;
    }
    t->pending[at] = last;
}

static uint64_t step_due(const struct trigger *t)
{
    return t->next < t->scenario->steps_count ? t->scenario->steps[t->next].at_us : UINT64_MAX;
}

uint64_t trigger_due(const struct trigger *t)
{
    return t->pending_count > 0 ? u64_min(t->pending[0].at_us, step_due(t)) : step_due(t);
}

bool trigger_next(struct trigger *t, uint64_t now_us, struct trigger_due *ret_due)
{
    uint64_t at_us = trigger_due(t);
    if (at_us == UINT64_MAX || at_us > now_us) {
        return false;
    }
    if (step_due(t) > at_us) {
        pop(t, ret_due);
        return true;
    }
    /* Of equal times the step of the scenario goes first: its number is lower. */
    *ret_due = (struct trigger_due){.at_us = at_us,
                                    .number = t->next,
                                    .step = t->scenario->steps[t->next]};
    t->next++;
    skip_conditions(t);
    return true;
}

/* Conditions. */

/* What just happened; what is not said of it is 0. */
struct happened {
    uint64_t now_us;
    uint32_t node;
    uint64_t count;
};

static bool holds(const struct sim_when *when, const struct happened *h, uint32_t fired)
{
    switch (when->kind) {
    case WHEN_LEADER_IS:
    case WHEN_STOPS:
        return when->node == h->node;
    case WHEN_COMMIT:
    case WHEN_WRITES:
        /* the next multiple; without an overflow */
        return h->count / when->count > fired;
    default:
        return true;
    }
}

static void fire(struct trigger *t, uint8_t kind, const struct happened *h)
{
    const struct scenario *s = t->scenario;
    if (t->conditions[kind] == 0) {
        return;
    }
    for (uint32_t i = 0; i < s->steps_count && s->steps[i].at_us <= h->now_us; i++) {
        const struct sim_step *step = &s->steps[i];
        if (step->when.kind == kind && t->fired[i] < step->when.times &&
            holds(&step->when, h, t->fired[i])) {
            t->fired[i]++;
            add(t, step, h->now_us + step->when.after_us);
        }
    }
}

static void stop_standing(struct trigger *t, uint32_t node)
{
    if (node <= SIM_NODES_MAX) {
        t->standing[node] = false;
    }
}

static void on_candidate(struct trigger *t, const struct trace_event *e)
{
    if (e->node > SIM_NODES_MAX || (t->standing[e->node] && t->stands_for[e->node] == e->epoch)) {
        return;
    }
    t->standing[e->node] = true;
    t->stands_for[e->node] = e->epoch;
    fire(t, WHEN_ELECTION, &(struct happened){.now_us = e->time_us, .node = e->node});
}

static void on_leader(struct trigger *t, const struct trace_event *e)
{
    const struct happened h = {.now_us = e->time_us, .node = e->node};
    bool first = t->epoch == 0;
    stop_standing(t, e->node);
    if (e->epoch <= t->epoch) {
        return; /* of the past: another leads already */
    }
    t->epoch = e->epoch;
    t->leader = e->node;
    if (!first) {
        fire(t, WHEN_LEADER_CHANGES, &h);
    }
    fire(t, WHEN_LEADER_IS, &h);
}

static void leads_no_more(struct trigger *t, uint32_t node, uint64_t now_us)
{
    stop_standing(t, node);
    if (t->leader != 0 && t->leader == node) {
        t->leader = 0;
        fire(t, WHEN_NO_LEADER, &(struct happened){.now_us = now_us, .node = node});
    }
}

void trigger_event(struct trigger *t, const struct trace_event *event)
{
    switch (event->kind) {
    case TRACE_BECAME_LEADER:
        on_leader(t, event);
        break;
    case TRACE_BECAME_CANDIDATE:
        on_candidate(t, event);
        break;
    case TRACE_BECAME_FOLLOWER:
        leads_no_more(t, event->node, event->time_us);
        break;
    case TRACE_STEP_DOWN:
        if (event->to == 0) { /* else it asks another to take over, and leads until then */
            leads_no_more(t, event->node, event->time_us);
        }
        break;
    case TRACE_COMMIT:
        if (event->index > t->commit) {
            t->commit = event->index;
        }
        fire(t, WHEN_COMMIT, &(struct happened){.now_us = event->time_us, .count = t->commit});
        break;
    default:
        break;
    }
}

void trigger_write(struct trigger *t, uint64_t now_us)
{
    t->writes++;
    fire(t, WHEN_WRITES, &(struct happened){.now_us = now_us, .count = t->writes});
}

void trigger_down(struct trigger *t, uint32_t node, uint64_t now_us)
{
    leads_no_more(t, node, now_us);
    fire(t, WHEN_STOPS, &(struct happened){.now_us = now_us, .node = node});
}

void trigger_undo(struct trigger *t, const struct sim_step *step, uint32_t node, uint64_t now_us)
{
    struct sim_step end;
    if (scenario_undo(step, node, &end)) {
        end.at_us = now_us + step->for_us;
        add(t, &end, end.at_us);
    }
}

uint32_t trigger_leader(const struct trigger *t)
{
    return t->leader;
}

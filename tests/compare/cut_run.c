/*
 * cut_run.c - a run of figure E10. See cut_run.h.
 */
#include "tests/compare/cut_run.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/compare/cut_space.h"

enum {
    CLIENTS = 8,
    KEYS = 3,
    T = CUT_ELECTION_US,
};

static void shorten_times(struct scenario *s)
{
    s->options[OPTION_ELECTION] = T;
    s->options[OPTION_HEARTBEAT] = T / 4;
    s->options[OPTION_RESEND] = 2 * T / 5;
    s->options[OPTION_BACKOFF_MIN] = T / 100;
    s->options[OPTION_BACKOFF_MAX] = T;
    s->options[OPTION_RETRY] = T;
    s->options[OPTION_READ_RETRY] = 2 * T / 5;
    s->options[OPTION_GOSSIP] = T;
    s->options[OPTION_FLUSH] = T;
    s->delay = (struct sim_span){100, 2000};
    s->log_disk = (struct sim_span){100, 1500};
}

static void add(struct scenario *s, uint64_t elections, struct sim_step step)
{
    step.at_us = elections * T;
    scenario_add(s, &step);
}

void cut_run_scenario(const struct cut_run *run, struct scenario *s)
{
    scenario_init(s, run->engine, run->seed);
    (void) snprintf(s->about, sizeof s->about, "cuts 0x%x of %u nodes", (unsigned) run->cuts,
                    (unsigned) run->nodes);
    s->nodes = run->nodes;
    s->length_us = (uint64_t) CUT_END * T;
    shorten_times(s);
    s->clients = CLIENTS;
    s->keys = KEYS;
    s->think = (struct sim_span){T / 5, 3 * T / 5};
    s->timeout_us = 3 * T / 4;
    s->retry_percent = 30;
    memset(s->mix, 0, sizeof s->mix);
    s->mix[SIM_OP_PUT] = 3;
    s->mix[SIM_OP_GET] = 2;
    s->mix[SIM_OP_APPEND] = 1;
    if ((engine_capabilities(run->engine) & CAP_TRANSFER) != 0) {
        add(s, 3, (struct sim_step){.kind = STEP_TRANSFER, .a = 1});
        add(s, 4, (struct sim_step){.kind = STEP_TRANSFER, .a = 1});
    }
    for (uint32_t a = 1; a <= run->nodes; a++) {
        for (uint32_t b = 1; b <= run->nodes; b++) {
            if (a != b && (run->cuts >> cut_space_bit(run->nodes, a, b) & 1) != 0) {
                add(s, CUT_AT, (struct sim_step){.kind = STEP_CUT, .a = a, .b = b});
            }
        }
    }
    add(s, HEAL_AT, (struct sim_step){.kind = STEP_HEAL});
}

struct watch {
    struct cut_result *result;
    uint64_t epoch;
    uint32_t leader; /* of the newest epoch before the cut */
    struct {
        uint64_t ctx;
        bool during; /* it was made while cut */
    } calls[SIM_CLIENTS_MAX];
};

static void on_leader(struct watch *w, const struct trace_event *event)
{
    if (event->time_us < (uint64_t) CUT_AT * T) {
        if (event->epoch >= w->epoch) {
            w->epoch = event->epoch;
            w->leader = event->node;
        }
    } else if (event->time_us < (uint64_t) HEAL_AT * T && w->result->leaders < UINT8_MAX) {
        w->result->leaders++;
    }
}

static void on_event(void *ctx, const struct trace_event *event)
{
    struct watch *w = ctx;
    uint64_t client = event->ctx >> 40;
    bool cut = event->time_us >= (uint64_t) CUT_AT * T && event->time_us < (uint64_t) HEAL_AT * T;
    switch (event->kind) {
    case TRACE_BECAME_LEADER:
        on_leader(w, event);
        break;
    case TRACE_REQUEST:
        if (client < SIM_CLIENTS_MAX) {
            w->calls[client].ctx = event->ctx;
            w->calls[client].during = cut;
        }
        break;
    case TRACE_REPLY:
        if (cut && client < SIM_CLIENTS_MAX && w->calls[client].ctx == event->ctx &&
            w->calls[client].during && strcmp(event->note, err_name(OK)) == 0) {
            w->result->answered |= (uint8_t) (1u << (event->node - 1));
        }
        break;
    default:
        break;
    }
}

/* The first answer in [from, to) of a write that was called after `from`. */
static uint32_t first_write(const struct history *h, uint64_t from_us, uint64_t to_us)
{
    uint32_t first = UINT32_MAX;
    for (uint32_t i = 0; i < history_count(h); i++) {
        const struct history_op *op = history_get(h, i);
        uint64_t at = op->return_ns / 1000;
        bool write = op->kind == HIST_PUT || op->kind == HIST_APPEND;
        if (write && op->result == HIST_OK && op->call_ns / 1000 >= from_us && at < to_us &&
            at - from_us < first) {
            first = (uint32_t) (at - from_us);
        }
    }
    return first;
}

void cut_run_execute(const struct cut_run *run, struct cut_result *ret_result)
{
    struct scenario s;
    struct sim_result sim;
    struct watch w = {.result = ret_result};
    struct sim_hooks hooks = {.trace = {on_event, &w}, .history = history_new()};
    *ret_result = (struct cut_result){.ran = true};
    cut_run_scenario(run, &s);
    sim_execute(&s, &hooks, &sim);
    bool leads = (engine_capabilities(run->engine) & CAP_LEADER) != 0;
    ret_result->placed = !leads || w.leader == 1;
    ret_result->first_us =
        first_write(hooks.history, (uint64_t) CUT_AT * T, (uint64_t) HEAL_AT * T);
    ret_result->healed_us = first_write(hooks.history, (uint64_t) HEAL_AT * T, s.length_us);
    ret_result->undecided = sim.counts[COUNT_UNDECIDED] > 0;
    ret_result->unsafe = sim.red && strcmp(sim.property, "R11") != 0;
    ret_result->unrecovered =
        (sim.red && !ret_result->unsafe) || ret_result->healed_us == UINT32_MAX;
    if (sim.red) {
        (void) snprintf(ret_result->text, sizeof ret_result->text, "%s: %.100s", sim.property,
                        sim.text);
    }
    history_free(hooks.history);
    scenario_release(&s);
}

/*
 * real_end.c - how a run ends, and what must be true then: as tests/sim/sim_end.c, in real time.
 *
 * Safety: everything heals, all nodes that are not out start, the clients finish what they began,
 * and in bounded time all nodes have applied the same (P9, R11); then every key is read once more.
 * Liveness: the core heals, everything else stays as broken as it is; after some time every call to
 * a core node is answered, without a new leader every other moment (R11). Both: the history of the
 * clients is linearizable (K1, K2, K3, D1).
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/real/real_internal.h"
#include "tests/sim/lincheck.h"

enum {
    SETTLE_ELECTIONS = 40,           /* to agree, in election time-outs, above what calls take */
    SETTLE_SLACK_US = 10000000,      /* a busy machine starts processes slowly */
    QUIET_ELECTIONS = 3,             /* how long a minority is watched doing nothing */
    GRACE_ELECTIONS = 10,            /* until every call must be answered */
    STRICT_ELECTIONS = 10,           /* how long that is watched */
    STRICT_TIMEOUT_MIN_US = 5000000, /* of a call then */
    LEADERS_MAX = 2,                 /* changes of leader meanwhile */
    ASK_US = 50000,
    LINCHECK_STEPS_MAX = 2 * 1000 * 1000,
};

static uint64_t elections(const struct real *r, uint64_t count)
{
    const uint64_t *options = r->scenario->options;
    return count * u64_max(options[OPTION_ELECTION], options[OPTION_RETRY]);
}

static uint64_t patience(const struct real *r)
{
    return elections(r, SETTLE_ELECTIONS) + 4 * r->scenario->timeout_us + SETTLE_SLACK_US;
}

static bool majority(const struct real *r)
{
    return real_up(r) > r->scenario->nodes / 2;
}

static void check_gap(struct real *r)
{
    const struct scenario *s = r->scenario;
    uint64_t limit = s->gap_elections * s->options[OPTION_ELECTION];
    if (r->write_us != 0 && r->write_us < s->length_us) {
        r->gap_us = u64_max(r->gap_us, s->length_us - r->write_us);
    }
    uint64_t gap = r->write_us == 0 ? s->length_us : r->gap_us;
    if (s->gap_elections != 0 && gap > limit) {
        real_fail(r, "R11",
                  "no write was answered for %" PRIu64 " us, %u election time-outs are allowed",
                  gap, s->gap_elections);
    }
}

/* Healing. */

static void heal_node(struct real *r, uint32_t node)
{
    struct real_node *n = &r->nodes[node];
    real_disk_mend(r, node);
    n->slow_until_us = 0;
    n->pause_until_us = 0;
    processes_pause(r->processes, node, false);
    if (!processes_up(r->processes, node) && !n->out) {
        real_note(r, node, scenario_step_note(STEP_RESTART));
        int err = real_start_node(r, node);
        if (err != OK) {
            real_abort_said(r, err);
        }
    }
}

static void heal(struct real *r, const bool *core)
{
    uint32_t nodes = r->scenario->nodes;
    real_note(r, 0, core == NULL ? scenario_step_note(STEP_HEAL) : "core heals");
    for (uint32_t a = 1; a <= nodes; a++) {
        for (uint32_t b = 1; b <= nodes; b++) {
            if (a != b && (core == NULL || (core[a] && core[b]))) {
                real_links_join(r, a, b);
            }
        }
    }
    for (uint32_t i = 1; i <= nodes && real_goes_on(r); i++) {
        if (core == NULL || core[i]) {
            heal_node(r, i);
        }
    }
}

void real_end(struct real *r)
{
    check_gap(r);
    if (!real_goes_on(r)) {
        return;
    }
    if (r->scenario->mode == SIM_LIVENESS) {
        real_phase(r, PHASE_GRACE, elections(r, GRACE_ELECTIONS));
        heal(r, r->scenario->core);
    } else {
        real_phase(r, PHASE_SETTLE, patience(r));
        workload_stop(r->workload);
        heal(r, NULL);
    }
}

/* Safety. */

/* A node whose disk has failed is about to stop. */
static bool stopping(struct real *r, uint32_t node)
{
    const struct real_node *n = &r->nodes[node];
    return n->failing && atomic_load(&processes_shim(r->processes, node)->failed) > n->failed_base;
}

static bool agree(struct real *r)
{
    const struct real_status *first = NULL;
    for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
        const struct real_status *s = &r->nodes[i].status;
        if (!processes_up(r->processes, i)) {
            continue;
        }
        if (!s->known || s->applied != s->commit || s->durable != s->applied || stopping(r, i)) {
            return false;
        }
        first = first == NULL ? s : first;
        if (s->applied != first->applied || s->hash != first->hash) {
            return false;
        }
    }
    return true;
}

static void fail_unsettled(struct real *r, const char *what)
{
    char text[512] = "";
    size_t used = 0;
    for (uint32_t i = 1; i <= r->scenario->nodes && used < sizeof text; i++) {
        const struct real_status *s = &r->nodes[i].status;
        if (!processes_up(r->processes, i)) {
            used += (size_t) snprintf(text + used, sizeof text - used, " %u:%s", i,
                                      r->nodes[i].out ? "out" : "down");
        } else if (!s->known) {
            used += (size_t) snprintf(text + used, sizeof text - used, " %u:silent", i);
        } else {
            used += (size_t) snprintf(text + used, sizeof text - used,
                                      " %u:%" PRIu64 "/%" PRIu64 "/%" PRIu64 " %016" PRIx64, i,
                                      s->durable, s->applied, s->commit, s->hash);
        }
    }
    real_fail(r, "R11", "%s; durable/applied/commit and state:%s; clients idle %d", what, text,
              workload_idle(r->workload));
}

static void settle(struct real *r, uint64_t now)
{
    if (!majority(r)) {
        real_phase(r, PHASE_QUIET, elections(r, QUIET_ELECTIONS));
        return;
    }
    bool idle = workload_idle(r->workload);
    if (idle && r->ask_us != 0 && real_asked(r) && agree(r)) {
        if (r->scenario->clients == 0) {
            r->phase = PHASE_OVER;
            return;
        }
        real_phase(r, PHASE_FINAL, patience(r));
        workload_final(r->workload);
    } else if (now > r->deadline_us) {
        fail_unsettled(r, "not settled");
    } else if (idle && now >= r->ask_us && real_asked(r)) {
        r->ask_us = now + ASK_US;
        real_ask(r);
    }
}

static void read_back(struct real *r, uint64_t now)
{
    if (workload_idle(r->workload)) {
        r->phase = PHASE_OVER;
    } else if (!majority(r)) {
        real_phase(r, PHASE_QUIET, elections(r, QUIET_ELECTIONS));
    } else if (now > r->deadline_us) {
        fail_unsettled(r, "the keys are not read back");
    }
}

/* Liveness. */

static void watch(struct real *r)
{
    const char *last = NULL;
    uint64_t timeout = u64_max(elections(r, STRICT_ELECTIONS) / 2, STRICT_TIMEOUT_MIN_US);
    workload_strict(r->workload, r->scenario->core, timeout);
    r->strict_leaders = r->leaders;
    for (uint32_t i = 0; i < r->scenario->clients; i++) {
        r->answered[i] = workload_answered(r->workload, i, &last);
    }
    real_phase(r, PHASE_STRICT, elections(r, STRICT_ELECTIONS) + timeout);
}

static void end_watch(struct real *r)
{
    for (uint32_t i = 0; i < r->scenario->clients; i++) {
        const char *last = NULL;
        if (workload_answered(r->workload, i, &last) == r->answered[i]) {
            real_fail(r, "R11",
                      "client %u had no call answered for %" PRIu64 " us; last it was told: %s", i,
                      elections(r, STRICT_ELECTIONS), last);
        }
    }
    uint64_t leaders = r->leaders - r->strict_leaders;
    if (leaders > LEADERS_MAX) {
        real_fail(r, "R11", "the leader changed %" PRIu64 " times in %d election time-outs",
                  leaders, STRICT_ELECTIONS);
    }
    r->phase = PHASE_OVER;
}

void real_end_tick(struct real *r)
{
    uint64_t now = real_now_us(r);
    switch (r->phase) {
    case PHASE_SETTLE:
        settle(r, now);
        break;
    case PHASE_FINAL:
        read_back(r, now);
        break;
    case PHASE_GRACE:
        if (now >= r->deadline_us) {
            watch(r);
        }
        break;
    case PHASE_STRICT:
        if (now >= r->deadline_us) {
            end_watch(r);
        }
        break;
    default:
        ASSERT(r->phase == PHASE_QUIET);
        if (now >= r->deadline_us) {
            r->phase = PHASE_OVER;
        }
        break;
    }
}

void real_end_check(struct real *r)
{
    const struct lincheck_options options = {.steps_max = LINCHECK_STEPS_MAX};
    struct lincheck_report report;
    int verdict = lincheck_run(r->record->history, &options, &report);
    if (verdict == LINCHECK_WRONG) {
        real_fail(r, "K1", "%s", report.text);
    } else if (verdict == LINCHECK_INVALID) {
        real_fail(r, "", "the history is not one: %s", report.text);
    } else if (verdict == LINCHECK_GAVE_UP) {
        r->record->undecided = true;
    }
}

/*
 * sim_end.c - how a run ends, and what must be true then.
 *
 * Safety mode: everything heals, all nodes that are not out start, the clients finish what they
 * began, and in bounded time all nodes have applied the same (P9, R11); then every key is read once
 * more. Liveness mode: the core heals, everything else stays as broken as it is; after some time
 * every call to a core node is answered, without a new leader every other moment (R11). Both: the
 * history of the clients is linearizable (K1, K2, K3, D1).
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "tests/sim/lincheck.h"
#include "tests/sim/sim_internal.h"

enum {
    SETTLE_ELECTIONS = 100, /* to agree, in election time-outs, above what calls may take */
    GRACE_ELECTIONS = 40,   /* until every call must be answered */
    STRICT_ELECTIONS = 30,  /* how long that is watched */
    LEADERS_MAX = 2,        /* changes of leader meanwhile */
    LINCHECK_STEPS_MAX = 2 * 1000 * 1000,
};

static uint64_t elections(const struct sim *sim, uint64_t count)
{
    static const enum scenario_option waits[] = {OPTION_RETRY, OPTION_ELECTION_SPREAD,
                                                 OPTION_CANDIDATE, OPTION_CANDIDATE_SPREAD};
    uint64_t longest = sim->scenario->options[OPTION_ELECTION];
    for (uint32_t i = 0; i < ARRAY_SIZE(waits); i++) {
        longest = u64_max(longest, sim->scenario->options[waits[i]]);
    }
    return count * longest;
}

static bool settled(struct sim *sim)
{
    const struct replica_status *first = NULL;
    struct replica_status statuses[2];
    if (!sim_clients_idle(sim)) {
        return false;
    }
    for (uint32_t i = 1; i <= sim->scenario->nodes; i++) {
        if (sim->nodes[i].replica == NULL) {
            continue;
        }
        struct replica_status *status = &statuses[first == NULL ? 0 : 1];
        replica_status(sim->nodes[i].replica, status);
        if (first == NULL) {
            first = status;
        }
        if (status->calls > 0 || status->applied != status->consensus.commit ||
            status->applied != first->applied || status->hash != first->hash ||
            status->durable_applied != status->applied) {
            return false;
        }
    }
    return true;
}

static void fail_unsettled(struct sim *sim, const char *what)
{
    char text[512] = "";
    size_t used = 0;
    for (uint32_t i = 1; i <= sim->scenario->nodes && used < sizeof text; i++) {
        struct replica_status s;
        const struct node *n = &sim->nodes[i];
        if (n->replica == NULL) {
            used += (size_t) snprintf(text + used, sizeof text - used, " %u:%s", i,
                                      n->state == NODE_OUT ? "out" : "down");
            continue;
        }
        replica_status(n->replica, &s);
        used += (size_t) snprintf(text + used, sizeof text - used,
                                  " %u:%s %" PRIu64 "/%" PRIu64 "/%" PRIu64 " last %" PRIu64
                                  " calls %u",
                                  i, consensus_role_name(s.consensus.role), s.durable_applied,
                                  s.applied, s.consensus.commit, s.consensus.last, s.calls);
    }
    sim_fail(sim, "R11", "%s; durable/applied/commit:%s; clients idle %d", what, text,
             sim_clients_idle(sim));
}

static uint32_t nodes_up(const struct sim *sim)
{
    uint32_t up = 0;
    for (uint32_t i = 1; i <= sim->scenario->nodes; i++) {
        up += sim->nodes[i].replica != NULL ? 1 : 0;
    }
    return up;
}

/* Without a majority, "safely unavailable" is the right answer: nothing is waited for. */
static bool majority(const struct sim *sim)
{
    return nodes_up(sim) > sim->scenario->nodes / 2;
}

static void end_safety(struct sim *sim)
{
    uint64_t begin = sim->now_us;
    uint64_t patience = elections(sim, SETTLE_ELECTIONS) + 4 * sim->scenario->timeout_us;
    const struct sim_step heal = {.kind = STEP_HEAL};
    sim->clients_stop = true;
    sim->healed = true;
    sim_clients_heal(sim);
    sim_fault_step(sim, &heal);
    for (uint32_t i = 1; i <= sim->scenario->nodes; i++) {
        sim_fault_heal_node(sim, &sim->nodes[i]);
    }
    if (sim_red(sim)) {
        return;
    }
    if (!majority(sim)) {
        (void) sim_run_until(sim, begin + elections(sim, 10), NULL); /* nothing is due */
        return;
    }
    if (!sim_run_until(sim, begin + patience, settled)) {
        if (majority(sim)) {
            fail_unsettled(sim, "not settled");
        }
        return;
    }
    sim->result->settle_us = sim->now_us - begin;
    if (sim->scenario->clients > 0) {
        sim_clients_final(sim);
        if (!sim_run_until(sim, sim->now_us + patience, sim_clients_idle) && majority(sim)) {
            fail_unsettled(sim, "the keys are not read back");
        }
    }
}

static void heal_core(struct sim *sim)
{
    const struct scenario *s = sim->scenario;
    sim_note(sim, 0, "core heals");
    for (uint32_t a = 1; a <= s->nodes; a++) {
        for (uint32_t b = 1; b <= s->nodes && s->core[a]; b++) {
            if (s->core[b]) {
                sim_network_join(sim, a, b);
            }
        }
    }
    for (uint32_t i = 1; i <= s->nodes; i++) {
        if (s->core[i]) {
            sim_fault_heal_node(sim, &sim->nodes[i]);
        }
    }
    sim_network_greet(sim);
}

/* Clients leave the nodes that nobody promises anything of. */
static void to_the_core(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->scenario->clients; i++) {
        struct client *c = &sim->clients[i];
        if (c->state == CLIENT_WAITS) {
            c->abandoned = true;
            sim_client_sleep(sim, c, 1 + i);
        }
    }
}

static void end_liveness(struct sim *sim)
{
    uint64_t begin = sim->now_us;
    uint64_t answered[SIM_CLIENTS_MAX];
    sim->healed = true;
    sim_clients_heal(sim);
    heal_core(sim);
    (void) sim_run_until(sim, begin + elections(sim, GRACE_ELECTIONS), NULL);
    to_the_core(sim);
    (void) sim_run_until(sim, sim->now_us + 1000, NULL); /* they all have */
    sim->strict = true;
    sim->strict_timeout_us = elections(sim, STRICT_ELECTIONS) / 2;
    uint64_t leaders = observer_leader_changes(sim->observer);
    for (uint32_t i = 0; i < sim->scenario->clients; i++) {
        answered[i] = sim->clients[i].answered;
    }
    (void) sim_run_until(sim,
                         sim->now_us + elections(sim, STRICT_ELECTIONS) + sim->strict_timeout_us,
                         NULL);
    sim->result->settle_us = sim->now_us - begin;
    for (uint32_t i = 0; i < sim->scenario->clients; i++) {
        if (sim->clients[i].answered == answered[i]) {
            sim_fail(sim, "R11",
                     "client %u had no call answered for %" PRIu64
                     " us; the last one, to node %u: %s",
                     i, elections(sim, STRICT_ELECTIONS), sim->clients[i].node,
                     err_name(sim->clients[i].last_err));
        }
    }
    leaders = observer_leader_changes(sim->observer) - leaders;
    if (leaders > LEADERS_MAX) {
        sim_fail(sim, "R11", "the leader changed %" PRIu64 " times in %d election time-outs",
                 leaders, STRICT_ELECTIONS);
    }
}

static void check_history(struct sim *sim)
{
    const struct lincheck_options options = {.steps_max = LINCHECK_STEPS_MAX};
    struct lincheck_report report;
    int verdict = lincheck_run(sim->history, &options, &report);
    if (verdict == LINCHECK_WRONG) {
        sim_fail(sim, "K1", "%s", report.text);
    } else if (verdict == LINCHECK_INVALID) {
        sim_fail(sim, "", "the history is not one: %s", report.text);
    } else if (verdict == LINCHECK_GAVE_UP) {
        sim_count(sim, COUNT_UNDECIDED);
    }
}

static void check_gap(struct sim *sim)
{
    const struct scenario *s = sim->scenario;
    uint64_t limit = s->gap_elections * s->options[OPTION_ELECTION];
    if (sim->write_us != 0 && sim->write_us < s->length_us) {
        sim->result->gap_us = u64_max(sim->result->gap_us, s->length_us - sim->write_us);
    }
    uint64_t gap = sim->write_us == 0 ? s->length_us : sim->result->gap_us;
    if (s->gap_elections != 0 && gap > limit) {
        sim_fail(sim, "R11",
                 "no write was answered for %" PRIu64 " us, %u election time-outs are allowed", gap,
                 s->gap_elections);
    }
}

void sim_end(struct sim *sim)
{
    if (!sim_red(sim)) {
        check_gap(sim);
    }
    if (!sim_red(sim)) {
        if (sim->scenario->mode == SIM_LIVENESS) {
            end_liveness(sim);
        } else {
            end_safety(sim);
        }
    }
    if (!sim_red(sim)) {
        check_history(sim);
    }
}

/*
 * trigger.h - decides when the steps of a scenario are due, for both back ends.
 *
 * Steps at a time are due by the clock alone; steps with a condition are due when what the trace
 * and the clients show makes it true. Also known here, from the trace alone: who leads.
 *
 *     trigger_init(&t, &scenario);
 *     trigger_event(&t, &event);            every event of every node, in order
 *     trigger_write(&t, now_us);            a write of a client was answered OK
 *     trigger_down(&t, node, now_us);       its process ended, for whatever reason
 *     while (trigger_next(&t, now_us, &due)) ... carry due.step out, then trigger_undo
 *     ... trigger_due(&t) is when to look again, UINT64_MAX: not by time alone
 *
 * What makes a condition true, if it is at the step's at_us (`from`) or later:
 *
 *     leader changes   a node becomes leader in a higher epoch than any leader before; not the
 *                      first leader there is, as nothing changes then
 *     leader is N      the same of node N, also as the first
 *     no leader        the leader of the highest epoch steps down, or its process ends
 *     election starts  a node becomes a candidate that was none, or in a new epoch: a pre-vote and
 *                      the election that follows it are one
 *     stops N          its process ends
 *     commit C         an index of C or more is committed somewhere; the k-th time: k * C
 *     writes C         that many writes have been answered; the k-th time: k * C
 *
 * Epochs, commits and writes before at_us are known all the same. Without leaders (paxos) the
 * conditions about them never become true. Pure: no clock, no I/O. One thread.
 */
#ifndef SYNOD_TESTS_SIM_TRIGGER_H
#define SYNOD_TESTS_SIM_TRIGGER_H

#include "consensus/trace.h"
#include "tests/sim/scenario.h"

enum { TRIGGER_PENDING_MAX = 4096 };

/* due by time: later ones are dropped beyond TRIGGER_PENDING_MAX, and counted */
struct trigger_due {
    uint64_t at_us;
    uint64_t number;      /* of equal times the lower goes first */
    struct sim_step step; /* a copy */
};

struct trigger {
    const struct scenario *scenario;
    uint32_t next;               /* of the steps at a time, which are in order */
    struct trigger_due *pending; /* what conditions and ends added: a heap by (at_us, number) */
    uint32_t pending_count;
    uint64_t number;
    uint64_t dropped;
    uint32_t conditions[WHEN_KINDS]; /* steps with each */
    uint32_t *fired;                 /* by step: how often its condition became true */
    uint64_t writes;
    uint64_t commit;
    uint64_t epoch;                   /* highest that had a leader */
    uint32_t leader;                  /* who leads in it, 0: it stepped down or went down */
    bool standing[SIM_NODES_MAX + 1]; /* for election, by node; and in which epoch */
    uint64_t stands_for[SIM_NODES_MAX + 1];
};

/* scenario is borrowed until release. */
void trigger_init(struct trigger *t, const struct scenario *scenario);
void trigger_release(struct trigger *t);

void trigger_event(struct trigger *t, const struct trace_event *event);
void trigger_write(struct trigger *t, uint64_t now_us);
void trigger_down(struct trigger *t, uint32_t node, uint64_t now_us);

/* The next step that is due at now_us or before, in the order of time; false: none. */
bool trigger_next(struct trigger *t, uint64_t now_us, struct trigger_due *ret_due);
uint64_t trigger_due(const struct trigger *t);

/* `step` was carried out just now on `node` (what `leader` stood for; SIM_NODE_ALL for `all`): if
 * it has an end, that is due for_us later. */
void trigger_undo(struct trigger *t, const struct sim_step *step, uint32_t node, uint64_t now_us);

/* The leader as the trace shows it; 0: none known. Leaderless engines: always 0. */
uint32_t trigger_leader(const struct trigger *t);

#endif

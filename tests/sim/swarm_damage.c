/*
 * swarm_damage.c - the atlas: which nodes may lose what on their disks, and what stays broken at
 * the end of a liveness run.
 *
 * A victim is crashed, damaged and started at once; whether it refuses, and is then out for ever,
 * or had luck is the run's business. Victims are a minority, so what survives is a majority, which
 * loses nothing but what was never synced.
 *
 * That an old image was put back is found out when a peer tells the node of a later write of its
 * own. To be certain of it everybody must be up, connected and awake from some time before the
 * crash until after the start; so that one gets a time of its own, in which nothing else happens.
 */
#include "base/mem.h"
#include "tests/sim/swarm_internal.h"

static void add(struct swarm *w, uint64_t at_us, uint32_t kind, uint32_t node)
{
    const struct sim_step step = {.at_us = at_us, .kind = (uint8_t) kind, .a = node};
    scenario_add(w->s, &step);
}

/* An old image. */

/* Long enough for everybody to have told everybody else how far they are. */
static uint64_t quiet_us(const struct swarm *w)
{
    return u64_max(2000000, 20 * w->s->options[OPTION_HEARTBEAT]);
}

/* Everything that may still be wrong ends. A node may have a failing disk in front of it, and one
 * more in its next life. */
static void calm_down(struct swarm *w, uint64_t at_us)
{
    const struct sim_step speed = {.at_us = at_us,
                                   .kind = STEP_DISK_SLOW,
                                   .a = SIM_NODE_ALL,
                                   .amount = 1};
    add(w, at_us, STEP_HEAL, 0);
    scenario_add(w->s, &speed);
    for (uint32_t i = 0; i < 4; i++) {
        add(w, at_us + i * 250000, STEP_RESTART, SIM_NODE_ALL);
    }
}

static void put_back(struct swarm *w, struct rng *rng, uint32_t node)
{
    uint64_t settle = 1000000 + 6 * w->election_us;
    uint64_t down = rng_between(rng, 0, 2 * w->election_us);
    uint64_t before = settle + quiet_us(w) + rng_between(rng, 0, 2 * w->election_us);
    w->reserved_at_us = rng_between(rng, w->begin_us + (w->end_us - w->begin_us) / 8, w->end_us);
    w->reserved_us = before + down + quiet_us(w) + 4 * w->election_us;
    w->s->length_us += w->reserved_us;
    w->s->loss_permyriad = 0; /* what is told must arrive */
    uint64_t crash = w->reserved_at_us + before;
    add(w, rng_between(rng, w->reserved_at_us / 4, w->reserved_at_us - 1), STEP_DISK_SAVE, node);
    calm_down(w, w->reserved_at_us);
    add(w, crash, rng_chance(rng, 1, 2) ? STEP_POWER_LOSS : STEP_CRASH, node);
    add(w, crash, STEP_DISK_RESTORE, node);
    add(w, crash + down, STEP_RESTART, node);
}

/* The rest. */

static void damage(struct swarm *w, struct rng *rng, uint32_t node, uint64_t at_us)
{
    uint64_t kind = rng_below(rng, 10);
    struct sim_step step = {.at_us = at_us,
                            .kind = kind < 5   ? STEP_DISK_FLIP
                                    : kind < 7 ? STEP_DISK_LOSE
                                               : STEP_DISK_WIPE,
                            .a = node};
    add(w, at_us, rng_chance(rng, 1, 2) ? STEP_POWER_LOSS : STEP_CRASH, node);
    uint64_t times = kind < 5 && rng_chance(rng, 1, 3) ? rng_between(rng, 2, 4) : 1;
    for (uint64_t i = 0; i < times; i++) {
        step.what = kind >= 7 ? 0 : (uint8_t) rng_between(rng, SIM_FILE_LOG, SIM_FILE_STATE);
        scenario_add(w->s, &step);
    }
    at_us += rng_between(rng, 0, 4 * w->election_us);
    add(w, u64_min(at_us, w->s->length_us), STEP_RESTART, node);
}

static uint32_t victims_count(const struct swarm *w, struct rng *rng)
{
    uint32_t nodes = w->s->nodes;
    uint32_t minority = (nodes - 1) / 2;
    if (w->options.beyond && w->s->mode == SIM_SAFETY) {
        return (uint32_t) rng_between(rng, minority + 1, nodes);
    }
    return minority > 0 && rng_chance(rng, 2, 5) ? (uint32_t) rng_between(rng, 1, minority) : 0;
}

void swarm_atlas(struct swarm *w)
{
    struct rng rng;
    uint32_t order[SIM_NODES_MAX];
    swarm_fork(w, DOMAIN_ATLAS, &rng);
    uint32_t count = victims_count(w, &rng);
    swarm_shuffle(&rng, order, w->s->nodes);
    bool old = count > 0 && w->s->nodes > 1 && rng_chance(&rng, 1, 3);
    if (old) {
        put_back(w, &rng, order[0]);
    }
    for (uint32_t i = 0; i < count; i++) {
        w->victim[order[i]] = true;
        if (old && i == 0) {
            continue;
        }
        /* Behind the time in which everybody must be there. */
        uint64_t first = old ? w->reserved_at_us + w->reserved_us : w->begin_us;
        for (uint64_t times = rng_between(&rng, 1, 2); times > 0; times--) {
            damage(w, &rng, order[i], rng_between(&rng, first, w->s->length_us));
        }
    }
}

/* The end of a liveness run. */

static void link_step(struct swarm *w, uint32_t kind, uint32_t a, uint32_t b, bool both)
{
    const struct sim_step step = {
        .at_us = w->s->length_us, .kind = (uint8_t) kind, .a = a, .b = b, .both = both};
    scenario_add(w->s, &step);
}

/* A node outside may lead over such links, so what a call needs must get through: it is sent four
 * times in the time a call has at the end. */
static void bad_link(struct swarm *w, struct rng *rng, uint32_t a, uint32_t b)
{
    uint64_t most = rng_between(rng, 1000, w->election_us / 2);
    const struct sim_step step = {
        .at_us = w->s->length_us,
        .kind = STEP_QUALITY,
        .a = a,
        .b = b,
        .both = rng_chance(rng, 1, 2),
        .delay = {most / 10, most},
        .loss_permyriad = (uint32_t) rng_between(rng, 100, 500),
    };
    scenario_add(w->s, &step);
}

enum outside {
    OUTSIDE_DOWN,
    OUTSIDE_ALONE,
    OUTSIDE_PARTIAL,
    OUTSIDE_MUTE, /* hears some and is heard by none of these */
    OUTSIDE_DEAF,
    OUTSIDE_BAD_LINKS,
    OUTSIDE_PAUSED,
    OUTSIDE_WELL,
    OUTSIDES,
};

static void leave_outside(struct swarm *w, struct rng *rng, uint32_t node)
{
    uint64_t shape = rng_below(rng, OUTSIDES);
    add(w, w->s->length_us, shape == OUTSIDE_DOWN ? STEP_POWER_LOSS : STEP_RESTART, node);
    if (shape == OUTSIDE_ALONE) {
        add(w, w->s->length_us, STEP_ISOLATE, node);
    }
    for (uint32_t i = 1; i <= w->s->nodes; i++) {
        bool some = i != node && rng_chance(rng, 2, 3);
        if (some && shape == OUTSIDE_PARTIAL) {
            link_step(w, STEP_CUT, node, i, true);
        } else if (some && shape == OUTSIDE_MUTE) {
            link_step(w, STEP_CUT, node, i, false);
        } else if (some && shape == OUTSIDE_DEAF) {
            link_step(w, STEP_CUT, i, node, false);
        } else if (some && shape == OUTSIDE_BAD_LINKS) {
            bad_link(w, rng, node, i);
        }
    }
    if (shape == OUTSIDE_PAUSED) {
        const struct sim_step step = {.at_us = w->s->length_us,
                                      .kind = STEP_PAUSE,
                                      .a = node,
                                      .for_us = w->election_us * rng_between(rng, 5, 60)};
        scenario_add(w->s, &step);
    }
    if (rng_chance(rng, 1, 4)) {
        const struct sim_step step = {.at_us = w->s->length_us,
                                      .kind = STEP_CLOCK_DRIFT,
                                      .a = node,
                                      .amount = (int64_t) rng_below(rng, 600001) - 300000};
        scenario_add(w->s, &step);
    }
}

void swarm_end_liveness(struct swarm *w)
{
    struct rng rng;
    uint32_t order[SIM_NODES_MAX];
    uint32_t majority = w->s->nodes / 2 + 1;
    uint32_t left = 0;
    swarm_fork(w, DOMAIN_END, &rng);
    for (uint32_t i = 1; i <= w->s->nodes; i++) {
        left += w->victim[i] ? 0 : 1;
    }
    /* A bare majority mostly: the less there is to spare, the harder. */
    uint32_t size =
        rng_chance(&rng, 2, 3) ? majority : (uint32_t) rng_between(&rng, majority, left);
    swarm_shuffle(&rng, order, w->s->nodes);
    for (uint32_t i = 0; i < w->s->nodes && size > 0; i++) {
        if (!w->victim[order[i]]) {
            w->s->core[order[i]] = true;
            size--;
        }
    }
    if (rng_chance(&rng, 1, 2)) {
        add(w, w->s->length_us, STEP_HEAL, 0);
    }
    for (uint32_t i = 1; i <= w->s->nodes; i++) {
        if (!w->s->core[i]) {
            leave_outside(w, &rng, i);
        }
    }
}

/*
 * swarm_network.c - faults of links: cuts of all shapes, clogs, links that flap or are bad.
 */
#include "base/mem.h"
#include "tests/sim/swarm_internal.h"

struct pair {
    uint32_t a;
    uint32_t b;
};

static void link_step(struct storm *storm, uint64_t at_us, uint32_t kind, struct pair pair,
                      bool both)
{
    swarm_emit(storm->w,
               (struct sim_step){
                   .at_us = at_us, .kind = (uint8_t) kind, .a = pair.a, .b = pair.b, .both = both});
}

static void heal(struct storm *storm, uint64_t at_us)
{
    swarm_emit(storm->w, (struct sim_step){.at_us = at_us, .kind = STEP_HEAL});
}

static struct pair any_pair(struct storm *storm)
{
    uint32_t order[SIM_NODES_MAX];
    swarm_shuffle(&storm->rng, order, storm->w->s->nodes);
    return (struct pair){order[0], order[1]};
}

/* Cuts those for which apart[a][b] (a < b) is set, and joins them again, in one of three ways. */
typedef bool apart_matrix[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1];

static void cut_for(struct storm *storm, uint64_t at_us, apart_matrix apart)
{
    uint32_t nodes = storm->w->s->nodes;
    uint64_t until = at_us + swarm_lasting(storm);
    bool ragged = rng_chance(&storm->rng, 1, 4); /* not all at one moment */
    bool alone = rng_chance(&storm->rng, 1, 2);  /* only these links are joined again */
    for (uint32_t a = 1; a <= nodes; a++) {
        for (uint32_t b = a + 1; b <= nodes; b++) {
            if (apart[a][b]) {
                uint64_t late = ragged ? rng_below(&storm->rng, storm->w->election_us) : 0;
                link_step(storm, at_us + late, STEP_CUT, (struct pair){a, b}, true);
                if (alone) {
                    link_step(storm, until + late, STEP_JOIN, (struct pair){a, b}, true);
                }
            }
        }
    }
    if (!alone) {
        heal(storm, until + storm->w->election_us * (ragged ? 1 : 0));
    }
}

/* One link, or all into a node (deaf), or all out of it (mute). */
void swarm_fault_one_way(struct storm *storm, uint64_t at_us)
{
    uint64_t until = at_us + swarm_lasting(storm);
    uint64_t shape = rng_below(&storm->rng, 4);
    struct pair pair = any_pair(storm);
    if (shape <= 1) {
        link_step(storm, at_us, STEP_CUT, pair, false);
        link_step(storm, until, STEP_JOIN, pair, false);
        return;
    }
    for (uint32_t i = 1; i <= storm->w->s->nodes; i++) {
        if (i != pair.a && !rng_chance(&storm->rng, 1, 8)) {
            struct pair link = {shape == 2 ? i : pair.a, shape == 2 ? pair.a : i};
            link_step(storm, at_us, STEP_CUT, link, false);
            link_step(storm, until, STEP_JOIN, link, false);
        }
    }
}

void swarm_fault_partition(struct storm *storm, uint64_t at_us)
{
    uint32_t order[SIM_NODES_MAX];
    uint32_t nodes = storm->w->s->nodes;
    struct sim_step step = {.at_us = at_us, .kind = STEP_PARTITION};
    /* Two groups mostly. Numbers of groups rise with the nodes', as when they are read. */
    uint32_t groups = (uint32_t) rng_between(&storm->rng, 2, rng_chance(&storm->rng, 1, 4) ? 3 : 2);
    uint8_t number[SIM_NODES_MAX + 1] = {0};
    uint8_t count = 0;
    swarm_shuffle(&storm->rng, order, nodes);
    uint32_t cut = (uint32_t) rng_between(&storm->rng, 1, nodes - 1);
    for (uint32_t i = 1; i <= nodes; i++) {
        uint32_t group = order[i - 1] <= cut ? 1 : groups == 3 && order[i - 1] % 2 == 0 ? 3 : 2;
        if (number[group] == 0) {
            number[group] = ++count;
        }
        step.group[i] = number[group];
    }
    swarm_emit(storm->w, step);
    heal(storm, at_us + swarm_lasting(storm));
}

/* A hears B, B hears C, A and C hear nothing of each other. */
void swarm_fault_partial(struct storm *storm, uint64_t at_us)
{
    uint32_t order[SIM_NODES_MAX];
    uint32_t nodes = storm->w->s->nodes;
    apart_matrix apart = {{false}};
    uint8_t side[SIM_NODES_MAX + 1] = {0}; /* 0: the bridge */
    swarm_shuffle(&storm->rng, order, nodes);
    for (uint32_t i = 0; i < nodes; i++) {
        side[order[i]] = i < 3 ? (uint8_t) i : (uint8_t) rng_below(&storm->rng, 3);
    }
    for (uint32_t a = 1; a <= nodes; a++) {
        for (uint32_t b = a + 1; b <= nodes; b++) {
            apart[a][b] = side[a] != 0 && side[b] != 0 && side[a] != side[b];
        }
    }
    cut_for(storm, at_us, apart);
}

/* Everybody hears two neighbours only; or all but the ends of a chain do. */
void swarm_fault_ring(struct storm *storm, uint64_t at_us)
{
    uint32_t place[SIM_NODES_MAX]; /* of node i + 1, from 1 */
    uint32_t nodes = storm->w->s->nodes;
    apart_matrix apart = {{false}};
    bool chain = rng_chance(&storm->rng, 1, 3);
    swarm_shuffle(&storm->rng, place, nodes);
    for (uint32_t a = 1; a <= nodes; a++) {
        for (uint32_t b = a + 1; b <= nodes; b++) {
            uint32_t pa = place[a - 1];
            uint32_t pb = place[b - 1];
            uint32_t apart_by = pa < pb ? pb - pa : pa - pb;
            apart[a][b] = apart_by != 1 && (chain || apart_by != nodes - 1);
        }
    }
    cut_for(storm, at_us, apart);
}

/* Only the links to one node are left. */
void swarm_fault_star(struct storm *storm, uint64_t at_us)
{
    uint32_t hub = swarm_node(storm);
    uint32_t nodes = storm->w->s->nodes;
    apart_matrix apart = {{false}};
    for (uint32_t a = 1; a <= nodes; a++) {
        for (uint32_t b = a + 1; b <= nodes; b++) {
            apart[a][b] = a != hub && b != hub;
        }
    }
    cut_for(storm, at_us, apart);
}

/* Some nodes' links stop one node after another, and go on in another order (FoundationDB's
 * swizzle-clogging). */
void swarm_fault_swizzle(struct storm *storm, uint64_t at_us)
{
    uint32_t order[SIM_NODES_MAX];
    uint32_t back[SIM_NODES_MAX];
    uint32_t nodes = storm->w->s->nodes;
    uint32_t count = (uint32_t) rng_between(&storm->rng, 1, nodes);
    uint64_t pace = rng_between(&storm->rng, 1, storm->w->election_us);
    uint64_t apart = rng_between(&storm->rng, 1, storm->w->election_us);
    swarm_shuffle(&storm->rng, order, nodes);
    swarm_shuffle(&storm->rng, back, count);
    uint64_t all_us = at_us + count * pace + rng_below(&storm->rng, 3 * storm->w->election_us);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t from = at_us + i * pace;
        uint64_t until = all_us + back[i] * apart;
        for (uint32_t k = 1; k <= nodes; k++) {
            if (k != order[i]) {
                swarm_emit(storm->w, (struct sim_step){.at_us = from,
                                                       .kind = STEP_CLOG,
                                                       .a = order[i],
                                                       .b = k,
                                                       .both = true,
                                                       .for_us = until - from});
            }
        }
    }
}

static void isolate(struct storm *storm, uint64_t at_us, uint32_t node)
{
    swarm_emit(storm->w, (struct sim_step){.at_us = at_us, .kind = STEP_ISOLATE, .a = node});
    heal(storm, at_us + swarm_lasting(storm));
}

void swarm_fault_isolate_leader(struct storm *storm, uint64_t at_us)
{
    isolate(storm, at_us, SIM_NODE_LEADER);
}

/*
 * One leader after another is cut off while it has proposals under way, comes back when the next
 * one has some of its own, and may win again: logs part and meet as in figure 7 of Raft, slots are
 * accepted under several ballots.
 */
void swarm_fault_churn(struct storm *storm, uint64_t at_us)
{
    uint64_t election = storm->w->election_us;
    bool crash = rng_chance(&storm->rng, 1, 2);
    for (uint64_t i = rng_between(&storm->rng, 3, 10); i > 0; i--) {
        const struct sim_step heal = {.at_us = at_us, .kind = STEP_HEAL};
        swarm_emit(storm->w, heal);
        if (rng_chance(&storm->rng, 1, 2)) {
            at_us += rng_between(&storm->rng, 0, election / 4); /* some get the news, some do not */
        }
        if (rng_chance(&storm->rng, 1, 3)) { /* it hands over and does not hear that it did */
            const struct sim_step transfer = {.at_us = at_us,
                                              .kind = STEP_TRANSFER,
                                              .a = swarm_node(storm)};
            swarm_emit(storm->w, transfer);
            at_us += rng_between(&storm->rng, 0, storm->w->s->delay.max);
        }
        const struct sim_step cut = {.at_us = at_us, .kind = STEP_ISOLATE, .a = SIM_NODE_LEADER};
        swarm_emit(storm->w, cut);
        if (crash && rng_chance(&storm->rng, 1, 3)) {
            const struct sim_step down = {.at_us = at_us + rng_between(&storm->rng, 0, election),
                                          .kind = STEP_POWER_LOSS,
                                          .a = swarm_node(storm)};
            const struct sim_step up = {.at_us = down.at_us + rng_between(&storm->rng, 0, election),
                                        .kind = STEP_RESTART,
                                        .a = SIM_NODE_ALL};
            swarm_emit(storm->w, down);
            swarm_emit(storm->w, up);
        }
        at_us += rng_between(&storm->rng, election / 2, 4 * election);
    }
    const struct sim_step heal = {.at_us = at_us, .kind = STEP_HEAL};
    swarm_emit(storm->w, heal);
}

void swarm_fault_isolate_one(struct storm *storm, uint64_t at_us)
{
    isolate(storm, at_us, swarm_node(storm));
}

/* Comes and goes, faster and slower than an election. */
void swarm_fault_flap(struct storm *storm, uint64_t at_us)
{
    struct pair pair = any_pair(storm);
    bool both = !rng_chance(&storm->rng, 1, 3);
    uint64_t least = storm->w->s->options[OPTION_HEARTBEAT] / 2;
    uint64_t most = storm->w->election_us * rng_between(&storm->rng, 1, 4) / 2;
    for (uint64_t i = rng_between(&storm->rng, 3, 12); i > 0; i--) {
        link_step(storm, at_us, STEP_CUT, pair, both);
        at_us += rng_between(&storm->rng, least, least + most);
        link_step(storm, at_us, STEP_JOIN, pair, both);
        at_us += rng_between(&storm->rng, least, least + most);
    }
}

static void quality(struct storm *storm, uint64_t at_us, struct sim_step *step)
{
    step->at_us = at_us;
    step->kind = STEP_QUALITY;
    uint64_t most = rng_between(&storm->rng, 1000, storm->w->election_us);
    step->delay = (struct sim_span){rng_between(&storm->rng, 50, most), most};
    if (rng_chance(&storm->rng, 1, 2)) {
        step->loss_permyriad = (uint32_t) rng_below(&storm->rng, 5000);
    }
    if (rng_chance(&storm->rng, 1, 2)) {
        step->duplicate_permyriad = (uint32_t) rng_below(&storm->rng, 3000);
    }
}

/* One link or all of a node. */
void swarm_fault_bad_link(struct storm *storm, uint64_t at_us)
{
    struct pair pair = any_pair(storm);
    uint64_t until = at_us + swarm_lasting(storm);
    bool all = rng_chance(&storm->rng, 1, 3);
    struct sim_step step = {.both = all || rng_chance(&storm->rng, 1, 2)};
    quality(storm, at_us, &step);
    for (uint32_t i = 1; i <= storm->w->s->nodes; i++) {
        if (i != pair.a && (all || i == pair.b)) {
            step.a = pair.a;
            step.b = i;
            swarm_emit(storm->w, step);
            link_step(storm, until, STEP_JOIN, (struct pair){pair.a, i}, step.both);
        }
    }
}

/* Everything takes long, nothing is lost. */
void swarm_fault_delay_spike(struct storm *storm, uint64_t at_us)
{
    struct sim_step step = {.both = true};
    uint64_t lasting = swarm_lasting(storm);
    quality(storm, at_us, &step);
    step.loss_permyriad = 0;
    for (step.a = 1; step.a <= storm->w->s->nodes; step.a++) {
        for (step.b = step.a + 1; step.b <= storm->w->s->nodes; step.b++) {
            swarm_emit(storm->w, step);
        }
    }
    heal(storm, at_us + u64_min(lasting, 4 * storm->w->election_us));
}

/*
 * swarm_nodes.c - faults of nodes, of their disks (but for damage) and of their clocks.
 */
#include "base/mem.h"
#include "tests/sim/swarm_internal.h"

static void emit(struct storm *storm, uint64_t at_us, uint32_t kind, uint32_t node)
{
    swarm_emit(storm->w, (struct sim_step){.at_us = at_us, .kind = (uint8_t) kind, .a = node});
}

/* Power loss mostly: it loses more. Often the disk stands still a moment before, so that much is
 * under way and nothing synced. */
static uint64_t crash(struct storm *storm, uint64_t at_us, uint32_t node)
{
    if (rng_chance(&storm->rng, 1, 3)) {
        uint64_t held = rng_between(&storm->rng, 1000, storm->w->election_us / 2);
        swarm_emit(storm->w, (struct sim_step){.at_us = at_us,
                                               .kind = STEP_DISK_HANG,
                                               .a = node,
                                               .for_us = held + 1});
        at_us += held;
    }
    emit(storm, at_us, rng_chance(&storm->rng, 1, 3) ? STEP_CRASH : STEP_POWER_LOSS, node);
    return at_us;
}

/* Who led is not known when it shall start again. */
static void restart(struct storm *storm, uint64_t at_us, uint32_t node)
{
    emit(storm, at_us, STEP_RESTART, node == SIM_NODE_LEADER ? SIM_NODE_ALL : node);
}

void swarm_fault_crash_one(struct storm *storm, uint64_t at_us)
{
    uint32_t node = swarm_node(storm);
    at_us = crash(storm, at_us, node);
    restart(storm, at_us + swarm_lasting(storm), node);
}

void swarm_fault_crash_leader(struct storm *storm, uint64_t at_us)
{
    at_us = crash(storm, at_us, SIM_NODE_LEADER);
    restart(storm, at_us + swarm_lasting(storm), SIM_NODE_LEADER);
}

/* Again while it is still coming up. */
void swarm_fault_crash_loop(struct storm *storm, uint64_t at_us)
{
    uint32_t node = swarm_node_or_leader(storm);
    uint64_t pace = rng_between(&storm->rng, 1000, storm->w->election_us);
    for (uint64_t i = rng_between(&storm->rng, 2, 6); i > 0; i--) {
        at_us = crash(storm, at_us, node);
        at_us += rng_between(&storm->rng, 0, pace);
        restart(storm, at_us, node);
        at_us += rng_between(&storm->rng, 0, pace);
    }
}

void swarm_fault_crash_all(struct storm *storm, uint64_t at_us)
{
    at_us = crash(storm, at_us, SIM_NODE_ALL);
    if (rng_chance(&storm->rng, 1, 2)) {
        restart(storm, at_us + swarm_lasting(storm), SIM_NODE_ALL);
        return;
    }
    for (uint32_t i = 1; i <= storm->w->s->nodes; i++) {
        restart(storm, at_us + swarm_lasting(storm), i);
    }
}

/* One after the other, so that the last ones may know what the first ones lost. */
void swarm_fault_crash_majority(struct storm *storm, uint64_t at_us)
{
    uint32_t order[SIM_NODES_MAX];
    uint32_t nodes = storm->w->s->nodes;
    swarm_shuffle(&storm->rng, order, nodes);
    uint64_t pace = storm->w->s->options[OPTION_HEARTBEAT];
    for (uint32_t i = 0; i <= nodes / 2; i++) {
        uint64_t down_us = crash(storm, at_us, order[i]);
        restart(storm, down_us + swarm_lasting(storm), order[i]);
        at_us += rng_between(&storm->rng, 0, pace);
    }
}

/* Longer than an election takes: it comes back believing in what was. */
void swarm_fault_pause(struct storm *storm, uint64_t at_us)
{
    uint64_t election = storm->w->election_us;
    swarm_emit(storm->w,
               (struct sim_step){.at_us = at_us,
                                 .kind = STEP_PAUSE,
                                 .a = swarm_node_or_leader(storm),
                                 .for_us = rng_between(&storm->rng, election / 2, 6 * election)});
}

void swarm_fault_slow_node(struct storm *storm, uint64_t at_us)
{
    uint64_t turn = storm->w->election_us / rng_between(&storm->rng, 20, 1000);
    swarm_emit(storm->w, (struct sim_step){.at_us = at_us,
                                           .kind = STEP_SLOW,
                                           .a = swarm_node_or_leader(storm),
                                           .amount = (int64_t) u64_max(turn, 50),
                                           .for_us = swarm_lasting(storm)});
}

void swarm_fault_disk_slow(struct storm *storm, uint64_t at_us)
{
    uint32_t node = swarm_node_or_leader(storm);
    uint64_t factor = rng_between(&storm->rng, 2, rng_chance(&storm->rng, 1, 3) ? 500 : 30);
    swarm_emit(storm->w, (struct sim_step){.at_us = at_us,
                                           .kind = STEP_DISK_SLOW,
                                           .a = node,
                                           .amount = (int64_t) factor});
    swarm_emit(storm->w, (struct sim_step){.at_us = at_us + swarm_lasting(storm),
                                           .kind = STEP_DISK_SLOW,
                                           .a = node == SIM_NODE_LEADER ? SIM_NODE_ALL : node,
                                           .amount = 1});
}

/* Around the time after which a leader whose disk is stuck steps aside. */
void swarm_fault_disk_hang(struct storm *storm, uint64_t at_us)
{
    uint64_t stuck = storm->w->s->options[OPTION_DISK_STUCK];
    swarm_emit(storm->w,
               (struct sim_step){.at_us = at_us,
                                 .kind = STEP_DISK_HANG,
                                 .a = swarm_node_or_leader(storm),
                                 .for_us = rng_between(&storm->rng, stuck / 4, 2 * stuck)});
}

/* The node stops at the next such call, maybe while it starts: two restarts. A liveness run must
 * not end with a failure that is still to come. */
static void disk_fails(struct storm *storm, uint64_t at_us, uint32_t node, uint32_t kind)
{
    if (storm->w->s->mode == SIM_LIVENESS && at_us > storm->w->end_us / 3 * 2) {
        return;
    }
    swarm_emit(storm->w, (struct sim_step){.at_us = at_us,
                                           .kind = (uint8_t) kind,
                                           .a = node,
                                           .what = kind == STEP_DISK_EIO ? storm->w->failing[node]
                                                                         : (uint8_t) 0});
    at_us += swarm_lasting(storm);
    restart(storm, at_us, node);
    restart(storm, at_us + swarm_lasting(storm), node);
}

void swarm_fault_disk_eio(struct storm *storm, uint64_t at_us)
{
    disk_fails(storm, at_us, swarm_node(storm), STEP_DISK_EIO);
}

void swarm_fault_disk_enospc(struct storm *storm, uint64_t at_us)
{
    uint32_t node = swarm_node(storm);
    disk_fails(storm, at_us, node,
               storm->w->failing[node] == SIM_CALL_WRITE ? STEP_DISK_ENOSPC : STEP_DISK_EIO);
}

void swarm_fault_transfer(struct storm *storm, uint64_t at_us)
{
    for (uint64_t i = rng_between(&storm->rng, 1, 3); i > 0; i--) {
        emit(storm, at_us, STEP_TRANSFER, swarm_node(storm));
        at_us += rng_between(&storm->rng, 0, storm->w->election_us);
    }
}

void swarm_fault_clock_jump(struct storm *storm, uint64_t at_us)
{
    uint64_t jump = rng_between(&storm->rng, 1, 5 * storm->w->election_us);
    swarm_emit(storm->w, (struct sim_step){.at_us = at_us,
                                           .kind = STEP_CLOCK_JUMP,
                                           .a = swarm_node_or_leader(storm),
                                           .amount = (int64_t) jump});
}

void swarm_fault_clock_drift(struct storm *storm, uint64_t at_us)
{
    /* What a bad quartz does; or what only a broken virtual machine does. */
    int64_t most = storm->w->s->mode == SIM_SAFETY && rng_chance(&storm->rng, 1, 3) ? 300000
                   : rng_chance(&storm->rng, 1, 2)                                  ? 50000
                                                                                    : 500;
    uint64_t ppm = rng_between(&storm->rng, 0, 2 * (uint64_t) most);
    swarm_emit(storm->w, (struct sim_step){.at_us = at_us,
                                           .kind = STEP_CLOCK_DRIFT,
                                           .a = swarm_node(storm),
                                           .amount = (int64_t) ppm - most});
}

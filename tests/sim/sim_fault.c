/*
 * sim_fault.c - what breaks: the steps of the scenario, carried out.
 */
#include "base/assert.h"
#include "tests/sim/sim_internal.h"

/* Links. */

static bool apart(const struct sim_step *step, uint32_t a, uint32_t b)
{
    return step->group[a] == 0 || step->group[a] != step->group[b];
}

static void cut_all(struct sim *sim, uint32_t node)
{
    for (uint32_t i = 1; i <= sim->scenario->nodes; i++) {
        if (i != node) {
            sim_network_cut(sim, node, i);
            sim_network_cut(sim, i, node);
        }
    }
}

/* All links of the node, both ways. */
static void join_node(struct sim *sim, uint32_t node)
{
    for (uint32_t i = 1; i <= sim->scenario->nodes; i++) {
        sim_network_join(sim, node, i);
        sim_network_join(sim, i, node);
    }
}

static void join_all(struct sim *sim)
{
    for (uint32_t a = 1; a <= sim->scenario->nodes; a++) {
        for (uint32_t b = 1; b <= sim->scenario->nodes; b++) {
            sim_network_join(sim, a, b);
        }
    }
}

static void partition(struct sim *sim, const struct sim_step *step)
{
    for (uint32_t a = 1; a <= sim->scenario->nodes; a++) {
        for (uint32_t b = 1; b <= sim->scenario->nodes; b++) {
            if (a != b && apart(step, a, b)) {
                sim_network_cut(sim, a, b);
            }
        }
    }
}

static void link_step(struct sim *sim, const struct sim_step *step, uint32_t from, uint32_t to)
{
    struct link *link = &sim->links[from][to];
    switch (step->kind) {
    case STEP_CUT:
        sim_note(sim, from, "cut");
        sim_count(sim, COUNT_CUTS);
        sim_network_cut(sim, from, to);
        break;
    case STEP_JOIN:
        sim_note(sim, from, "join");
        sim_network_join(sim, from, to);
        break;
    case STEP_CLOG:
        sim_note(sim, from, "clog");
        link->clogged_until_us = u64_max(link->clogged_until_us, sim->now_us + step->for_us);
        break;
    default:
        sim_note(sim, from, "link");
        link->quality = true;
        link->delay = step->delay;
        link->loss_permyriad = step->loss_permyriad;
        link->duplicate_permyriad = step->duplicate_permyriad;
        link->rate = step->rate;
        link->free_us = 0;
        break;
    }
}

static void network_step(struct sim *sim, const struct sim_step *step, uint32_t node)
{
    switch (step->kind) {
    case STEP_ISOLATE:
        sim_note(sim, node, "isolate");
        sim_count(sim, COUNT_ISOLATIONS);
        cut_all(sim, node);
        break;
    case STEP_REJOIN:
        sim_note(sim, node, "rejoin");
        join_node(sim, node);
        break;
    case STEP_PARTITION:
        sim_note(sim, 0, "partition");
        sim_count(sim, COUNT_PARTITIONS);
        partition(sim, step);
        break;
    case STEP_HEAL:
        sim_note(sim, 0, "heal");
        sim_count(sim, COUNT_HEALS);
        join_all(sim);
        break;
    default:
        link_step(sim, step, step->a, step->b);
        if (step->both) {
            link_step(sim, step, step->b, step->a);
        }
        break;
    }
    sim_network_greet(sim);
}

/* Disks. */

static void save(struct node *n)
{
    sim_disk_image_free(n->saved);
    n->saved = sim_disk_save(n->disk);
}

/* Damage needs a disk that nobody uses; a node that is up keeps its own. */
static void damage(struct sim *sim, struct node *n, const struct sim_step *step)
{
    if (n->replica != NULL || !n->created || n->wiped) {
        return;
    }
    if (step->kind == STEP_DISK_FLIP && sim_disk_flip(n->disk, step->what)) {
        sim_note(sim, n->id, "flip");
        sim_count(sim, COUNT_FLIPS);
        n->damaged = true;
    } else if (step->kind == STEP_DISK_LOSE && sim_disk_lose(n->disk, step->what)) {
        sim_note(sim, n->id, "lost file");
        sim_count(sim, COUNT_LOST_FILES);
        n->damaged = true;
    } else if (step->kind == STEP_DISK_WIPE) {
        sim_note(sim, n->id, "wipe");
        sim_count(sim, COUNT_WIPES);
        sim_disk_wipe(n->disk);
        n->wiped = true;
        observer_lost(sim->observer, n->id);
    } else if (step->kind == STEP_DISK_RESTORE && n->saved != NULL) {
        sim_note(sim, n->id, "old image");
        sim_count(sim, COUNT_ROLLBACKS);
        sim_disk_restore(n->disk, n->saved);
        n->restored = true;
    }
}

static void disk_step(struct sim *sim, struct node *n, const struct sim_step *step)
{
    switch (step->kind) {
    case STEP_DISK_SLOW:
        sim_note(sim, n->id, "slow disk");
        sim_count(sim, COUNT_SLOW_DISKS);
        n->factor = (uint64_t) step->amount;
        n->delay_us = n->factor == 1 ? 0 : n->delay_us;
        break;
    case STEP_DISK_DELAY:
        sim_note(sim, n->id, "slow disk");
        sim_count(sim, COUNT_SLOW_DISKS);
        n->delay_us = (uint64_t) step->amount;
        break;
    case STEP_DISK_LIE:
        sim_note(sim, n->id, "lying disk");
        sim_count(sim, COUNT_LYING_DISKS);
        n->lies_until_us = sim->now_us + step->for_us;
        break;
    case STEP_DISK_HANG:
        sim_note(sim, n->id, "hung disk");
        sim_count(sim, COUNT_HUNG_DISKS);
        n->hung_until_us = sim->now_us + step->for_us;
        break;
    case STEP_DISK_EIO:
        sim_note(sim, n->id, "EIO");
        sim_disk_fail(n->disk, step->what, ERR_IO);
        n->failing = true;
        break;
    case STEP_DISK_ENOSPC:
        sim_note(sim, n->id, "ENOSPC");
        sim_disk_fail(n->disk, SIM_CALL_WRITE, ERR_NO_SPACE);
        n->failing = true;
        break;
    case STEP_DISK_SAVE:
        save(n);
        break;
    default:
        damage(sim, n, step);
        break;
    }
}

/* Nodes. */

static void transfer(struct sim *sim, uint32_t to)
{
    uint32_t leader = sim_leader(sim);
    if (leader == 0 || leader == to) {
        return;
    }
    struct node *n = &sim->nodes[leader];
    if (n->paused_until_us > sim->now_us) {
        return;
    }
    sim_node_enter(sim, n);
    if (replica_transfer(n->replica, to) == OK) {
        sim_note(sim, to, "transfer");
        sim_count(sim, COUNT_TRANSFERS);
    }
    sim_node_leave(sim, n);
}

static void node_step(struct sim *sim, struct node *n, const struct sim_step *step)
{
    bool up = n->replica != NULL;
    switch (step->kind) {
    case STEP_POWER_LOSS:
        if (up) {
            sim_count(sim, COUNT_POWER_LOSSES);
        }
        sim_node_stop(sim, n, true, "power loss");
        break;
    case STEP_CRASH:
        if (up) {
            sim_count(sim, COUNT_CRASHES);
        }
        sim_node_stop(sim, n, false, "crash");
        break;
    case STEP_RESTART:
        if (n->state == NODE_DOWN) {
            sim_note(sim, n->id, "restart");
            sim_count(sim, COUNT_RESTARTS);
            sim_node_start(sim, n);
        }
        break;
    case STEP_PAUSE:
        if (up) {
            sim_note(sim, n->id, "pause");
            sim_count(sim, COUNT_PAUSES);
            n->paused_until_us = sim->now_us + step->for_us;
        }
        break;
    case STEP_SLOW:
        sim_note(sim, n->id, "slow");
        sim_count(sim, COUNT_SLOW_NODES);
        n->slow_until_us = sim->now_us + step->for_us;
        n->turn_us = (uint64_t) step->amount;
        break;
    case STEP_TRANSFER:
        transfer(sim, n->id);
        break;
    case STEP_CLOCK_JUMP:
        sim_note(sim, n->id, "clock jump");
        sim_count(sim, COUNT_CLOCK_JUMPS);
        sim_node_clock(sim, n, (uint64_t) step->amount, n->ppm);
        break;
    case STEP_CLOCK_DRIFT:
        sim_note(sim, n->id, "clock drift");
        sim_count(sim, COUNT_CLOCK_DRIFTS);
        sim_node_clock(sim, n, 0, step->amount);
        break;
    default:
        disk_step(sim, n, step);
        break;
    }
}

static bool of_network(const struct sim_step *step)
{
    switch (step->kind) {
    case STEP_CUT:
    case STEP_JOIN:
    case STEP_CLOG:
    case STEP_QUALITY:
    case STEP_ISOLATE:
    case STEP_REJOIN:
    case STEP_PARTITION:
    case STEP_HEAL:
        return true;
    default:
        return false;
    }
}

void sim_fault_step(struct sim *sim, const struct sim_step *step)
{
    uint32_t first = step->a;
    uint32_t last = step->a;
    if (step->a == SIM_NODE_ALL) {
        first = 1;
        last = sim->scenario->nodes;
    } else if (step->a == SIM_NODE_LEADER) {
        first = sim_leader(sim);
        last = first;
    }
    if (step->a == SIM_NODE_LEADER && first == 0) {
        return; /* nobody leads */
    }
    if (of_network(step) && first == 0) {
        network_step(sim, step, 0);
    }
    for (uint32_t i = first; i <= last && i != 0 && !sim_red(sim); i++) {
        if (of_network(step)) {
            network_step(sim, step, i);
        } else {
            node_step(sim, &sim->nodes[i], step);
        }
    }
    trigger_undo(&sim->trigger, step, step->a == SIM_NODE_ALL ? step->a : first, sim->now_us);
}

void sim_fault_heal_node(struct sim *sim, struct node *n)
{
    n->factor = 1;
    n->delay_us = 0;
    n->lies_until_us = 0;
    n->hung_until_us = 0;
    n->paused_until_us = 0;
    n->slow_until_us = 0;
    sim_node_start(sim, n);
}

/*
 * real_steps.c - what breaks: the steps of the scenario, carried out on processes, links and disks.
 * The same as tests/sim/sim_fault.c does in the simulator.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/real/real_internal.h"

enum {
    SLOW_RUN_US = 2000, /* a slow node makes a turn in this, then stands still */
};

/* Links. */

/* The machine's own network, unless the scenario asks for another one than the simulator's. */
struct link_state real_link_default(const struct scenario *s)
{
    struct link_state state = {.cut = false};
    struct scenario plain;
    scenario_init(&plain, s->engine, 0);
    if (s->delay.min != plain.delay.min || s->delay.max != plain.delay.max) {
        state.delay = s->delay;
    }
    if (s->loss_permyriad != plain.loss_permyriad) {
        state.loss_permyriad = s->loss_permyriad;
    }
    scenario_release(&plain);
    return state;
}

/* The same of disks: half way between the least and the most that a write may take. */
uint64_t real_sync_delay_default(const struct scenario *s)
{
    struct scenario plain;
    uint64_t delay = 0;
    scenario_init(&plain, s->engine, 0);
    if (s->log_disk.min != plain.log_disk.min || s->log_disk.max != plain.log_disk.max) {
        delay = s->log_disk.min + (s->log_disk.max - s->log_disk.min) / 2;
    }
    scenario_release(&plain);
    return delay;
}

static void set_link(struct real *r, uint32_t from, uint32_t to, const struct link_state *state)
{
    r->links_state[from][to] = *state;
    int err = r->links->ops->set(r->links, from, to, state);
    if (err != OK) {
        const char *name = r->links->ops->name;
        if (err == ERR_UNSUPPORTED) {
            real_abort(r, err, "link %u->%u: %s can only cut", from, to, name);
        } else {
            real_abort(r, err, "link %u->%u: %s cannot do this (%s)", from, to, name,
                       err_text(err));
        }
    }
}

static void cut(struct real *r, uint32_t from, uint32_t to)
{
    struct link_state state = r->links_state[from][to];
    state.cut = true;
    set_link(r, from, to, &state);
}

void real_links_join(struct real *r, uint32_t from, uint32_t to)
{
    const struct link_state state = real_link_default(r->scenario);
    const struct link_state *now = &r->links_state[from][to];
    bool same = !now->cut && now->delay.min == state.delay.min &&
                now->delay.max == state.delay.max && now->loss_permyriad == state.loss_permyriad &&
                now->rate == state.rate && now->clog_until_us == 0;
    if (!same) {
        set_link(r, from, to, &state);
    }
}

/* Does something to all links of a node, both ways. */
static void around(struct real *r, uint32_t node,
                   void (*change)(struct real *r, uint32_t from, uint32_t to))
{
    for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
        if (i != node) {
            change(r, node, i);
            change(r, i, node);
        }
    }
}

static void partition(struct real *r, const struct sim_step *step)
{
    for (uint32_t a = 1; a <= r->scenario->nodes; a++) {
        for (uint32_t b = 1; b <= r->scenario->nodes; b++) {
            if (a != b && (step->group[a] == 0 || step->group[a] != step->group[b])) {
                cut(r, a, b);
            }
        }
    }
}

static void link_step(struct real *r, const struct sim_step *step, uint32_t from, uint32_t to)
{
    struct link_state state = r->links_state[from][to];
    real_note(r, from, scenario_step_note(step->kind));
    switch (step->kind) {
    case STEP_CUT:
        cut(r, from, to);
        return;
    case STEP_JOIN:
        real_links_join(r, from, to);
        return;
    case STEP_CLOG:
        state.clog_until_us = u64_max(state.clog_until_us, uv_hrtime() / 1000 + step->for_us);
        break;
    default:
        state.delay = step->delay;
        state.loss_permyriad = step->loss_permyriad;
        state.rate = step->rate;
        break;
    }
    set_link(r, from, to, &state);
}

static void network_step(struct real *r, const struct sim_step *step, uint32_t node)
{
    switch (step->kind) {
    case STEP_ISOLATE:
        real_note(r, node, scenario_step_note(step->kind));
        around(r, node, cut);
        break;
    case STEP_REJOIN:
        real_note(r, node, scenario_step_note(step->kind));
        around(r, node, real_links_join);
        break;
    case STEP_PARTITION:
        real_note(r, 0, scenario_step_note(step->kind));
        partition(r, step);
        break;
    case STEP_HEAL:
        real_note(r, 0, scenario_step_note(step->kind));
        for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
            around(r, i, real_links_join);
        }
        break;
    default:
        link_step(r, step, step->a, step->b);
        if (step->both) {
            link_step(r, step, step->b, step->a);
        }
        break;
    }
}

/* Disks. */

static void arm(struct real *r, uint32_t node, _Atomic uint32_t *call, uint32_t number)
{
    struct real_node *n = &r->nodes[node];
    struct shim_page *page = processes_shim(r->processes, node);
    n->failing = true;
    n->failed_us = 0;
    n->failed_base = atomic_load(&page->failed);
    atomic_store(call, number);
}

void real_disk_mend(struct real *r, uint32_t node)
{
    struct shim_page *page = processes_shim(r->processes, node);
    atomic_store(&page->sync_delay_us, real_sync_delay_default(r->scenario));
    atomic_store(&page->hang_until_us, 0);
    atomic_store(&page->lie, 0);
    atomic_store(&page->fail_sync_errno, 0);
    atomic_store(&page->fail_write_errno, 0);
    r->nodes[node].lie_until_us = 0;
}

/* A copy of what is on the disk. The node stands still meanwhile. */
static void save(struct real *r, uint32_t node)
{
    struct real_node *n = &r->nodes[node];
    bool paused = processes_paused(r->processes, node);
    if (n->saved == NULL) {
        n->saved = xmalloc(PROCESS_PATH_MAX);
        (void) snprintf(n->saved, PROCESS_PATH_MAX, "%.4000s/n%u.saved", r->folder, node);
    }
    int err = real_files_remove(n->saved, r->error);
    processes_pause(r->processes, node, true);
    if (err == OK) {
        err = real_files_copy(processes_data(r->processes, node), n->saved, r->error);
    }
    processes_pause(r->processes, node, paused);
    if (err != OK) {
        real_abort_said(r, err);
    }
}

static void restore(struct real *r, uint32_t node)
{
    struct real_node *n = &r->nodes[node];
    const char *data = processes_data(r->processes, node);
    int err = real_files_remove(data, r->error);
    if (err == OK) {
        err = real_files_copy(n->saved, data, r->error);
    }
    if (err != OK) {
        real_abort_said(r, err);
    }
    n->restored = true;
}

/* Damage needs a disk that nobody uses; a node that is up keeps its own. */
static void damage(struct real *r, uint32_t node, const struct sim_step *step)
{
    struct real_node *n = &r->nodes[node];
    char folder[PROCESS_PATH_MAX];
    bool done = true;
    if (processes_up(r->processes, node) || n->wiped) {
        return;
    }
    (void) snprintf(folder, sizeof folder, "%.4000s/%s", processes_data(r->processes, node),
                    step->what == SIM_FILE_LOG ? "log" : "state");
    if (step->kind == STEP_DISK_FLIP) {
        done = real_files_flip(folder, &r->rng);
        n->damaged = n->damaged || done;
    } else if (step->kind == STEP_DISK_LOSE) {
        done = real_files_lose(folder, &r->rng);
        n->damaged = n->damaged || done;
    } else if (step->kind == STEP_DISK_WIPE) {
        int err = real_files_remove(processes_data(r->processes, node), r->error);
        n->wiped = true;
        if (err != OK) {
            real_abort_said(r, err);
        }
    } else if (n->saved != NULL) {
        restore(r, node);
    } else {
        done = false;
    }
    if (done) {
        real_note(r, node, scenario_step_note(step->kind));
    }
}

/* Between the least and the most that the scenario's disk takes, as many times as is asked for. */
static uint64_t slowed(const struct scenario *s, uint64_t factor)
{
    uint64_t usual = s->log_disk.min + (s->log_disk.max - s->log_disk.min) / 2;
    return real_sync_delay_default(s) + (factor - 1) * usual;
}

static void disk_step(struct real *r, uint32_t node, const struct sim_step *step)
{
    struct shim_page *page = processes_shim(r->processes, node);
    switch (step->kind) {
    case STEP_DISK_SLOW:
        atomic_store(&page->sync_delay_us,
                     slowed(r->scenario, u64_max((uint64_t) step->amount, 1)));
        break;
    case STEP_DISK_DELAY:
        atomic_store(&page->sync_delay_us, (uint64_t) step->amount);
        break;
    case STEP_DISK_HANG:
        atomic_store(&page->hang_until_us, uv_hrtime() / 1000 + step->for_us);
        break;
    case STEP_DISK_LIE:
        r->nodes[node].lie_until_us =
            step->for_us == 0 ? UINT64_MAX : real_now_us(r) + step->for_us;
        atomic_store(&page->lie, 1);
        break;
    case STEP_DISK_EIO:
        arm(r, node,
            step->what == SIM_CALL_WRITE ? &page->fail_write_errno : &page->fail_sync_errno, EIO);
        break;
    case STEP_DISK_ENOSPC:
        arm(r, node, &page->fail_write_errno, ENOSPC);
        break;
    case STEP_DISK_SAVE:
        save(r, node);
        break;
    default:
        damage(r, node, step);
        return;
    }
    real_note(r, node, scenario_step_note(step->kind));
}

/* Nodes. */

static void power_loss(struct real *r, uint32_t node)
{
    int err = processes_power_loss(r->processes, node, r->error);
    if (err != OK) {
        real_abort_said(r, err);
        return;
    }
    real_node_gone(r, node);
}

static void node_step(struct real *r, uint32_t node, const struct sim_step *step)
{
    struct real_node *n = &r->nodes[node];
    uint64_t until = step->for_us == 0 ? UINT64_MAX : real_now_us(r) + step->for_us;
    bool up = processes_up(r->processes, node);
    switch (step->kind) {
    case STEP_POWER_LOSS:
    case STEP_CRASH:
        if (!up) {
            return;
        }
        real_note(r, node, scenario_step_note(step->kind));
        if (step->kind == STEP_POWER_LOSS) {
            power_loss(r, node);
        } else {
            processes_kill(r->processes, node);
            real_node_gone(r, node);
        }
        return;
    case STEP_RESTART:
        if (!up && !n->out) {
            real_note(r, node, scenario_step_note(step->kind));
            int err = real_start_node(r, node);
            if (err != OK) {
                real_abort_said(r, err);
            }
        }
        return;
    case STEP_PAUSE:
        if (up) {
            real_note(r, node, scenario_step_note(step->kind));
            n->pause_until_us = u64_max(n->pause_until_us, until);
            processes_pause(r->processes, node, true);
        }
        return;
    case STEP_SLOW:
        real_note(r, node, scenario_step_note(step->kind));
        n->slow_until_us = until;
        n->slow_turn_us = (uint64_t) step->amount;
        n->slow_switch_us = 0;
        return;
    default:
        disk_step(r, node, step);
        return;
    }
}

/* Stops and continues a slow node in turn. */
static void slow_turn(struct real *r, uint32_t node, uint64_t now)
{
    struct real_node *n = &r->nodes[node];
    if (n->slow_until_us == 0 || n->pause_until_us != 0) {
        return;
    }
    if (now >= n->slow_until_us) {
        n->slow_until_us = 0;
        processes_pause(r->processes, node, false);
    } else if (now >= n->slow_switch_us) {
        bool stops = !processes_paused(r->processes, node);
        processes_pause(r->processes, node, stops);
        n->slow_switch_us = now + (stops ? n->slow_turn_us : SLOW_RUN_US);
    }
}

void real_step_ends(struct real *r)
{
    uint64_t now = real_now_us(r);
    for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
        struct real_node *n = &r->nodes[i];
        if (n->pause_until_us != 0 && now >= n->pause_until_us) {
            n->pause_until_us = 0;
            processes_pause(r->processes, i, false);
        }
        slow_turn(r, i, now);
        if (n->lie_until_us != 0 && now >= n->lie_until_us) {
            n->lie_until_us = 0;
            atomic_store(&processes_shim(r->processes, i)->lie, 0);
        }
    }
}

static bool of_network(uint8_t kind)
{
    switch (kind) {
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

void real_step(struct real *r, const struct sim_step *step, uint64_t at_us)
{
    bool of_node = step->kind == STEP_ISOLATE || step->kind == STEP_REJOIN;
    uint32_t node = step->a == SIM_NODE_LEADER ? real_leader(r) : step->a;
    uint32_t first = step->a == SIM_NODE_ALL ? 1 : node;
    uint32_t last = step->a == SIM_NODE_ALL ? r->scenario->nodes : node;
    if (step->a == SIM_NODE_LEADER && node == 0) {
        return; /* nobody leads */
    }
    if (of_network(step->kind) && !of_node) {
        network_step(r, step, node);
    } else {
        for (uint32_t i = first; i <= last && real_goes_on(r); i++) {
            if (of_node) {
                network_step(r, step, i);
            } else {
                node_step(r, i, step);
            }
        }
    }
    trigger_undo(&r->trigger, step, node, at_us);
}

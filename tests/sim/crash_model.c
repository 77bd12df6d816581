/*
 * crash_model.c - the workloads of crash_points.h over the model disk.
 */

#include "tests/sim/crash_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/sim/disk.h"

enum {
    HELD_MAX = 2, /* operations with syncs held back, before a power loss */
    GO_ON = 4,    /* one of so many judged stores must also take a write */
};

/* How a life ends. */
struct ending {
    const char *words;
    uint32_t held; /* the power goes while the last so many operations are under way */
    bool kill;     /* the process dies instead, after the last operation */
    int call;      /* the last operation has a call of this kind fail; 0: not */
    int err;
};

/* One life on one disk. */
struct life {
    struct crash_rig rig; /* with the disk */
    const struct crash_workload *w;
    const struct ending *ending;
    uint64_t seed;
    struct crash_model_tally *tally;
    struct sim_disk *disk;
    struct crash_store store;
    bool open;
    struct crash_model *after[CRASH_OPS_MAX + 1]; /* creation, then each operation */
    uint32_t steps;
    int rc; /* of the last step */
};

static const char *path_of(const struct life *l)
{
    return l->rig.kind == &crash_log_kind ? "node/log" : "node/state";
}

static void red(struct life *l, struct bytes what)
{
    struct buf words;
    if (l->tally->red) {
        return;
    }
    buf_init(&words, 1024);
    crash_workload_print(l->w, &words);
    l->tally->red = true;
    (void) snprintf(l->tally->text, sizeof l->tally->text,
                    "%s, workload \"%.*s\", disk %llu, %s: %.*s", l->rig.kind->name,
                    (int) words.size, (const char *) words.data, (unsigned long long) l->seed,
                    l->ending->words, (int) what.size, (const char *) what.data);
    buf_release(&words);
}

static void life_close(struct life *l)
{
    if (l->open) {
        l->rig.kind->close(&l->store);
        l->open = false;
    }
}

static int life_open(struct life *l, bool create)
{
    int rc = l->rig.kind->open(&l->rig, path_of(l), create, &l->store, NULL);
    l->open = rc == OK;
    return rc;
}

/* Whether a step is the one in which a call fails. */
static bool call_fails(const struct life *l, uint32_t step)
{
    return l->ending->call != 0 && step == l->w->count;
}

static void arm(struct life *l)
{
    sim_disk_fail(l->disk, (enum sim_disk_call) l->ending->call, l->ending->err);
    l->tally->faults++;
}

/* The power goes after a part of a write reached the disk. */
static int power_loss(struct life *l, uint32_t step)
{
    const struct crash_model *before = l->after[step - 1];
    sim_disk_fail(l->disk, SIM_CALL_WRITE, ERR_NO_SPACE);
    int rc = l->rig.kind->apply(&l->store, before, l->rig.kind->alphabet.ops[1]);
    ASSERT(rc == ERR_NO_SPACE);
    sim_disk_crash(l->disk);
    life_close(l);
    if (call_fails(l, step)) {
        arm(l);
    }
    return life_open(l, false);
}

static int life_step(struct life *l, uint32_t step)
{
    const struct crash_kind *kind = l->rig.kind;
    if (step == 0) {
        l->after[0] = kind->model_new(&l->rig);
        l->steps = 1;
        return life_open(l, true);
    }
    const struct crash_model *before = l->after[step - 1];
    const uint32_t op = l->w->ops[step - 1];
    l->after[step] = kind->model_copy(before);
    kind->model_apply(l->after[step], op);
    l->steps = step + 1;
    switch (op) {
    case CRASH_OP_POWER:
        return power_loss(l, step);
    case CRASH_OP_REOPEN:
        life_close(l);
        return life_open(l, false);
    default:
        return kind->apply(&l->store, before, op);
    }
}

/* The last step had a failed call: it must say so, and so must what follows (D6). */
static void check_failed(struct life *l)
{
    if (l->rc == OK) {
        red(l, bytes_str("a call failed, and the operation did not"));
    } else if (l->open && !err_is_fatal(l->rc)) {
        red(l, bytes_str("a failed write is not fatal"));
    } else if (l->open && !l->rig.kind->repeats(&l->store, l->after[l->steps - 2], l->rc)) {
        red(l, bytes_str("a write after a failed one does not repeat its error"));
    }
}

/* Runs the workload up to its end. */
static void life_run(struct life *l)
{
    const struct ending *e = l->ending;
    for (uint32_t step = 0; step <= l->w->count; step++) {
        if (e->held > 0 && step + e->held == l->w->count + 1) {
            sim_disk_hold_syncs(l->disk);
        }
        bool power = step > 0 && l->w->ops[step - 1] == CRASH_OP_POWER;
        if (call_fails(l, step) && !power) {
            arm(l);
        }
        l->rc = life_step(l, step);
        if (l->rc != OK && !call_fails(l, step)) {
            red(l, bytes_str(err_name(l->rc)));
            return;
        }
    }
    if (e->call != 0) {
        check_failed(l);
    }
}

/* What may be there when the power went with the last `held` operations under way: as many of them
 * as there are models between. Judged for one number of survivors. */
static uint32_t judge_held(struct life *l, uint32_t last, struct buf *why)
{
    const uint32_t under = l->ending->held > 0 ? l->ending->held : l->ending->call != 0 ? 1 : 0;
    struct crash_allowed allowed = {
        .created = l->after[0],
        .acknowledged = last >= under ? l->after[last - under] : NULL,
        .under_way = under > 0 ? l->after[last - under + 1] : NULL,
        .under_way_next = under > 1 ? l->after[last] : NULL,
    };
    bool go_on = (l->seed + l->w->count) % GO_ON == 0;
    return crash_check(&l->rig, path_of(l), &allowed, go_on, why);
}

/* One life and its end. */
static uint32_t explore_one(const struct crash_rig *rig, const struct crash_workload *w,
                            const struct ending *ending, uint64_t seed,
                            struct crash_model_tally *tally)
{
    const struct sim_disk_options options = {.seed = seed};
    struct life *l = xcalloc(1, sizeof *l);
    struct buf why;
    uint32_t outcome = 0;
    buf_init(&why, 8192);
    l->rig = *rig;
    l->w = w;
    l->ending = ending;
    l->seed = seed;
    l->tally = tally;
    l->disk = sim_disk_new(&options);
    l->rig.device = l->disk;
    life_run(l);
    if (ending->kill) {
        sim_disk_kill(l->disk);
    } else {
        sim_disk_crash(l->disk);
    }
    life_close(l);
    if (!tally->red) {
        outcome = judge_held(l, w->count, &why);
        tally->crashes++;
        if (outcome == 0) {
            red(l, buf_bytes(&why));
        }
    }
    for (uint32_t i = 0; i < l->steps; i++) {
        rig->kind->model_free(l->after[i]);
    }
    sim_disk_free(l->disk);
    buf_release(&why);
    free(l);
    return ending->call == 0 ? outcome : outcome << CRASH_FAULT_SHIFT;
}

uint32_t crash_model_explore(const struct crash_rig *rig, const struct crash_workload *w,
                             uint64_t seed, uint32_t seeds, struct crash_model_tally *tally)
{
    static const struct ending endings[] = {
        {.words = "power loss after the last operation"},
        {.words = "kill after the last operation", .kill = true},
        {.words = "power loss during the last operation", .held = 1},
        {.words = "power loss during the last two operations", .held = 2},
        {.words = "EIO of a write, power loss", .call = SIM_CALL_WRITE, .err = ERR_IO},
        {.words = "EIO of a write, kill", .call = SIM_CALL_WRITE, .err = ERR_IO, .kill = true},
        {.words = "ENOSPC of a write, power loss", .call = SIM_CALL_WRITE, .err = ERR_NO_SPACE},
        {.words = "ENOSPC of a write, kill",
         .call = SIM_CALL_WRITE,
         .err = ERR_NO_SPACE,
         .kill = true},
        {.words = "EIO of a sync, power loss", .call = SIM_CALL_SYNC, .err = ERR_IO},
        {.words = "EIO of a sync, kill", .call = SIM_CALL_SYNC, .err = ERR_IO, .kill = true},
    };
    STATIC_ASSERT(HELD_MAX == 2, "judge_held knows of two");
    uint32_t outcomes = 0;
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        const struct ending *e = &endings[i];
        bool fits = e->held <= w->count + 1 &&
                    (w->count == 0 || e->held < 2 || w->ops[w->count - 1] != CRASH_OP_POWER);
        for (uint32_t n = 0; n < seeds && fits && !tally->red; n++) {
            uint32_t outcome = explore_one(rig, w, e, seed + n, tally);
            bool one = e->held == 1 || e->call != 0;
            outcomes |= one ? outcome : 0;
        }
    }
    tally->workloads++;
    return outcomes;
}

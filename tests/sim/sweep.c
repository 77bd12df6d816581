/*
 * sweep.c - see sweep.h.
 */
#include "tests/sim/sweep.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

enum {
    WAIT_MS = 200,     /* for progress and limits */
    SAVE_US = 1000000, /* how often the file is written */
};

/* A run under way. */
struct runner {
    bool busy;
    uint64_t job;
    uint64_t start_us;
    struct trial trial;
};

const struct engine_ops *sweep_job_engine(const struct sweep_options *options, uint64_t job)
{
    return options->engines[job % options->engines_count];
}

uint64_t sweep_job_seed(const struct sweep_options *options, uint64_t job)
{
    return options->from + job / options->engines_count;
}

uint64_t sweep_jobs(const struct sweep_options *options)
{
    if (options->seeds > UINT64_MAX / options->engines_count) {
        return UINT64_MAX;
    }
    return options->seeds * options->engines_count;
}

uint64_t sweep_elapsed(const struct sweep *s)
{
    return s->before_us + s->options->now_us() - s->start_us;
}

/* ---- What is done ---- */

static bool is_ahead(const struct sweep *s, uint64_t job, size_t *ret_at)
{
    for (size_t i = 0; i < s->ahead_count; i++) {
        if (s->ahead[i] == job) {
            *ret_at = i;
            return true;
        }
    }
    return false;
}

void sweep_mark_done(struct sweep *s, uint64_t job)
{
    size_t at;

    if (job != s->low) {
        if (s->ahead_count == s->ahead_capacity) {
            s->ahead_capacity = 2 * s->ahead_capacity + 64;
            s->ahead = xrealloc(s->ahead, s->ahead_capacity * sizeof(*s->ahead));
        }
        s->ahead[s->ahead_count++] = job;
        return;
    }
    s->low++;
    while (is_ahead(s, s->low, &at)) {
        s->ahead[at] = s->ahead[--s->ahead_count];
        s->low++;
    }
}

/* Keeps the reds with the lowest numbers, so that what is printed does not depend on who was first.
 */
static void keep_red(struct sweep *s, uint64_t job, const struct sim_result *result)
{
    uint32_t at = s->reds_count;
    struct sweep_red *red;

    while (at > 0 && s->reds[at - 1].job > job) {
        at--;
    }
    if (at == SWEEP_REDS_MAX) {
        return;
    }
    if (s->reds_count < SWEEP_REDS_MAX) {
        s->reds_count++;
    }
    memmove(&s->reds[at + 1], &s->reds[at], (s->reds_count - at - 1) * sizeof(s->reds[0]));
    red = &s->reds[at];
    red->job = job;
    red->at_us = result->at_us;
    (void) snprintf(red->property, sizeof(red->property), "%s", result->property);
    (void) snprintf(red->text, sizeof(red->text), "%s", result->text);
    red->text[strcspn(red->text, "\n")] = '\0'; /* it becomes a line of a file */
}

static void add_result(struct sweep *s, uint64_t job, const struct sim_result *r, uint64_t cpu_us)
{
    struct sweep_totals *t = &s->totals[job % s->options->engines_count];
    uint64_t seed = sweep_job_seed(s->options, job);

    t->runs++;
    t->virtual_us += r->virtual_us;
    t->cpu_us += cpu_us;
    t->gap_us = u64_max(t->gap_us, r->gap_us);
    t->settle_us = u64_max(t->settle_us, r->settle_us);
    t->hash += hash64_mix(seed, r->trace_hash);
    for (uint32_t i = 0; i < SIM_COUNTS; i++) {
        t->counts[i] += r->counts[i];
    }
    for (uint32_t i = 0; i < MARKS; i++) {
        t->marks[i] += r->marks[i];
    }
    if (r->red) {
        t->red++;
        s->red++;
        keep_red(s, job, r);
    }
    s->runs++;
    sweep_mark_done(s, job);
}

/* ---- Running ---- */

/* What a child needs; made after the fork, so that drawing a scenario is part of the run. */
struct work {
    const struct sweep_options *options;
    uint64_t job;
};

static void execute(void *ctx, struct sim_result *ret)
{
    const struct work *w = ctx;
    struct scenario scenario;

    swarm_scenario(sweep_job_engine(w->options, w->job), sweep_job_seed(w->options, w->job),
                   &w->options->swarm, &scenario);
    sim_execute(&scenario, NULL, ret);
    scenario_release(&scenario);
}

static bool may_start(const struct sweep *s, uint64_t next)
{
    const struct sweep_options *o = s->options;

    return next < sweep_jobs(o) && !s->interrupted && o->now_us() - s->start_us < o->time_us &&
           !(o->until_red && s->red > 0);
}

static int start_runs(struct sweep *s, struct runner *slots, uint64_t *next)
{
    size_t at;

    for (uint32_t i = 0; i < s->options->jobs; i++) {
        while (is_ahead(s, *next, &at)) {
            (*next)++;
        }
        if (!slots[i].busy && may_start(s, *next)) {
            struct work w = {s->options, *next};
            struct trial_work work = {execute, &w};

            if (trial_start(&slots[i].trial, &work) != OK) {
                return ERR_IO;
            }
            slots[i].busy = true;
            slots[i].job = (*next)++;
            slots[i].start_us = s->options->now_us();
        }
    }
    return OK;
}

static uint32_t busy_slots(const struct sweep *s, const struct runner *slots,
                           struct pollfd *ret_fds)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < s->options->jobs; i++) {
        /* poll ignores negative ones */
        ret_fds[i] =
            (struct pollfd){.fd = slots[i].busy ? slots[i].trial.fd : -1, .events = POLLIN};
        count += slots[i].busy;
    }
    return count;
}

static void end_run(struct sweep *s, struct runner *slot, bool late)
{
    struct sim_result result;

    if (late) {
        trial_end_late(&slot->trial, s->options->run_limit_s, &result);
    } else {
        trial_end(&slot->trial, &result);
    }
    slot->busy = false;
    add_result(s, slot->job, &result, slot->trial.cpu_us);
}

static void collect(struct sweep *s, struct runner *slots, const struct pollfd *fds)
{
    uint64_t limit_us = (uint64_t) s->options->run_limit_s * 1000000;

    for (uint32_t i = 0; i < s->options->jobs; i++) {
        if (!slots[i].busy) {
            continue;
        }
        if (fds[i].revents != 0 && trial_read(&slots[i].trial)) {
            end_run(s, &slots[i], false);
        } else if (s->options->now_us() - slots[i].start_us > limit_us) {
            end_run(s, &slots[i], true);
        }
    }
}

static void kill_runs(struct sweep *s, struct runner *slots)
{
    for (uint32_t i = 0; i < s->options->jobs; i++) {
        if (slots[i].busy) {
            trial_kill(&slots[i].trial);
            slots[i].busy = false;
        }
    }
}

static int run_all(struct sweep *s, struct runner *slots, struct buf *error)
{
    const struct sweep_options *o = s->options;
    struct pollfd fds[SWEEP_JOBS_MAX];
    uint64_t next = s->low;
    uint64_t saved_us = o->now_us();

    for (;;) {
        if (o->interrupts() > 0) {
            s->interrupted = true;
            return OK;
        }
        if (start_runs(s, slots, &next) != OK) {
            ERR_IGNORE(buf_printf(error, "cannot start a run: %s", strerror(errno)));
            return ERR_IO;
        }
        if (busy_slots(s, slots, fds) == 0) {
            return OK;
        }
        if (poll(fds, o->jobs, WAIT_MS) > 0) {
            collect(s, slots, fds);
        } else {
            memset(fds, 0, sizeof(fds)); /* after an error nothing is known */
            collect(s, slots, fds);
        }
        if (o->progress != NULL) {
            o->progress(o->progress_ctx, s);
        }
        if (o->resume != NULL && o->now_us() - saved_us > SAVE_US) {
            saved_us = o->now_us();
            if (sweep_save(s, error) != OK) {
                return ERR_IO;
            }
        }
    }
}

int sweep_run(struct sweep *s, const struct sweep_options *options, struct buf *error)
{
    struct runner *slots;
    int err = OK;

    ASSERT(options->engines_count > 0);
    ASSERT(options->jobs > 0 && options->jobs <= SWEEP_JOBS_MAX);
    memset(s, 0, sizeof(*s));
    s->options = options;
    s->start_us = options->now_us();
    if (options->resume != NULL) {
        err = sweep_load(s, error);
        if (err != OK) {
            return err;
        }
        s->resumed = s->runs;
        err = sweep_save(s, error); /* that it cannot be written is known before the first run */
        if (err != OK) {
            return err;
        }
    }
    slots = xcalloc(options->jobs, sizeof(*slots));
    err = run_all(s, slots, error);
    kill_runs(s, slots);
    free(slots);
    if (err == OK && options->resume != NULL) {
        err = sweep_save(s, error);
    }
    return err;
}

void sweep_release(struct sweep *s)
{
    free(s->ahead);
    s->ahead = NULL;
    s->ahead_count = 0;
    s->ahead_capacity = 0;
}

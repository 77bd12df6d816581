/*
 * cut_set.c - planning, running and adding up the runs of figure E10. See cut_set.h.
 */
#include "tests/compare/cut_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"

enum { PLACINGS_MAX = 4 }; /* seeds tried until node 1 leads */

const uint32_t CUT_NODES[CUT_SIZES] = {3, 5};

static void add_job(struct cut_set *set, struct cut_job job, struct cut_class class)
{
    if (set->count == set->capacity) {
        set->capacity = set->capacity == 0 ? 1024 : set->capacity * 2;
        set->jobs = xrealloc(set->jobs, set->capacity * sizeof *set->jobs);
    }
    job.run.engine = engine_at(job.engine);
    job.run.nodes = CUT_NODES[job.size];
    job.run.cuts = class.cuts;
    job.weight = class.size;
    job.core = cut_space_has_core(job.run.nodes, class.cuts);
    job.hub = cut_space_has_hub(job.run.nodes, class.cuts);
    set->jobs[set->count++] = job;
}

static void add_totals(struct cut_totals *t, uint32_t nodes)
{
    struct cut_class *classes;
    uint32_t count = cut_space_classes(nodes, false, &classes);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t cuts = (uint32_t) __builtin_popcount(classes[i].cuts);
        uint32_t core = cut_space_has_core(nodes, classes[i].cuts) ? classes[i].size : 0;
        uint32_t hub = cut_space_has_hub(nodes, classes[i].cuts) ? classes[i].size : 0;
        t->sets += classes[i].size;
        t->at[cuts] += classes[i].size;
        t->core += core;
        t->core_at[cuts] += core;
        t->hub += hub;
        t->hub_at[cuts] += hub;
    }
    free(classes);
}

/* `want` of the classes, or all (0). like: size, engine, and the seed of the first. */
static void plan(struct cut_set *set, struct cut_job like, uint32_t want)
{
    struct cut_class *classes;
    struct rng rng;
    uint32_t nodes = CUT_NODES[like.size];
    bool marked = (engine_capabilities(engine_at(like.engine)) & CAP_LEADER) != 0;
    uint32_t count = cut_space_classes(nodes, marked, &classes);
    uint32_t left = want == 0 || want > count ? count : want;
    rng_init(&rng, like.run.seed + like.engine);
    set->tallies[like.size][like.engine] =
        (struct cut_tally){.classes = count, .first_bad = -1, .first_part = -1};
    for (uint32_t i = 0; i < count && left > 0; i++) {
        if (rng_chance(&rng, left, count - i)) {
            struct cut_job job = like;
            job.run.seed += i;
            add_job(set, job, classes[i]);
            left--;
        }
    }
    free(classes);
}

void cut_set_init(struct cut_set *set, const struct figure_options *options, uint32_t classes)
{
    *set = (struct cut_set){.sampled = classes > 0};
    for (uint8_t s = 0; s < CUT_SIZES; s++) {
        add_totals(&set->totals[s], CUT_NODES[s]);
    }
    for (uint8_t g = 0; engine_at(g) != NULL; g++) {
        ASSERT(g < CUT_ENGINES_MAX);
        for (uint8_t s = 0; s < CUT_SIZES; s++) {
            const struct cut_job like = {.run = {.seed = options->seed}, .size = s, .engine = g};
            plan(set, like, CUT_NODES[s] == CUT_NODES_MAX ? classes : 0);
        }
        set->engines++;
    }
}

void cut_set_release(struct cut_set *set)
{
    free(set->jobs);
    if (set->results != NULL) {
        figure_slots_free(set->results, set->count, sizeof *set->results);
    }
    *set = (struct cut_set){0};
}

struct cut_run cut_set_job(const struct cut_set *set, int64_t job)
{
    struct cut_run run = set->jobs[job].run;
    run.seed += (uint64_t) set->results[job].tries * CUT_NEXT_SEED;
    return run;
}

static void run_job(void *ctx, uint64_t i, void *slot)
{
    const struct cut_set *set = ctx;
    struct cut_result *r = slot;
    struct cut_run run = set->jobs[i].run;
    for (uint32_t k = 0; k < PLACINGS_MAX; k++) {
        cut_run_execute(&run, r);
        r->tries = (uint8_t) k;
        if (r->placed || r->unsafe) {
            return;
        }
        run.seed += CUT_NEXT_SEED;
    }
}

/* ---- Counting ---- */

static bool in_time(const struct cut_result *r)
{
    return r->first_us <= CUT_AVAILABLE_ELECTIONS * CUT_ELECTION_US;
}

static void count_reach(struct cut_tally *t, const struct cut_job *j, const struct cut_result *r)
{
    uint32_t cuts = (uint32_t) __builtin_popcount(j->run.cuts);
    bool up = r->first_us != UINT32_MAX;
    uint32_t followers = (uint32_t) __builtin_popcount(r->answered >> 1u);
    t->sets += j->weight;
    t->at[cuts] += j->weight;
    t->up += up ? j->weight : 0;
    t->up_at[cuts] += up ? j->weight : 0;
    t->leader_up += (r->answered & 1) != 0 ? j->weight : 0;
    t->follower_up += (uint64_t) followers * j->weight;
    t->hub_runs += j->hub ? 1 : 0;
    t->hub_down += j->hub && !up ? 1 : 0;
    t->wonders += !j->hub && up ? 1 : 0;
}

static void count_core(struct cut_tally *t, const struct cut_job *j, const struct cut_result *r,
                       uint32_t number)
{
    uint32_t core = cut_space_core(j->run.nodes, j->run.cuts);
    bool part = (r->answered & core) != core;
    t->core_runs++;
    t->core_down += in_time(r) ? 0 : 1;
    t->core_part += part ? 1 : 0;
    t->first_part = part && t->first_part < 0 ? number : t->first_part;
    t->worst_us =
        r->first_us != UINT32_MAX && r->first_us > t->worst_us ? r->first_us : t->worst_us;
}

static void count_run(struct cut_set *set, uint32_t i)
{
    const struct cut_job *j = &set->jobs[i];
    const struct cut_result *r = &set->results[i];
    struct cut_tally *t = &set->tallies[j->size][j->engine];
    bool good = r->ran && r->placed;
    t->runs++;
    t->died += r->ran ? 0 : 1;
    t->misplaced += r->ran && !r->placed ? 1 : 0;
    t->unsafe += r->unsafe ? 1 : 0;
    if (good) {
        t->unrecovered += r->unrecovered ? 1 : 0;
        t->undecided += r->undecided ? 1 : 0;
        if (r->healed_us != UINT32_MAX && r->healed_us > t->worst_heal_us) {
            t->worst_heal_us = r->healed_us;
        }
        count_reach(t, j, r);
    }
    if (good && j->core) {
        count_core(t, j, r, i);
    }
    bool bad = !r->ran || r->unsafe || (good && (r->unrecovered || (j->core && !in_time(r))));
    t->first_bad = bad && t->first_bad < 0 ? i : t->first_bad;
}

int cut_set_run(struct cut_set *set, const struct figure_options *options)
{
    ASSERT(set->results == NULL);
    set->results = figure_slots(set->count, sizeof *set->results);
    uint64_t missing =
        figure_fork(options, set->count, sizeof *set->results, set->results, run_job, set);
    if (missing > 0 && options->progress != NULL &&
        !options->progress(options->ctx, set->count - missing, set->count)) {
        return ERR_CANCELED;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        count_run(set, i);
    }
    return OK;
}

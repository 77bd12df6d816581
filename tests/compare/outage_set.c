/*
 * outage_set.c - runs of outages as one batch. See outage_set.h.
 */
#include "tests/compare/outage_set.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum { COMMAND_MAX = 1 << 20, MINUTE_US = 60000000 };

void outage_set_init(struct outage_set *set)
{
    *set = (struct outage_set){0};
}

void outage_set_release(struct outage_set *set)
{
    free(set->jobs);
    if (set->results != NULL) {
        figure_slots_free(set->results, set->count, sizeof *set->results);
    }
    *set = (struct outage_set){0};
}

void outage_set_add(struct outage_set *set, const struct outage *o, uint32_t count)
{
    ASSERT(set->results == NULL);
    for (uint32_t i = 0; i < count; i++) {
        if (set->count == set->capacity) {
            set->capacity = set->capacity == 0 ? 256 : set->capacity * 2;
            set->jobs = xrealloc(set->jobs, set->capacity * sizeof *set->jobs);
        }
        set->jobs[set->count] = *o;
        set->jobs[set->count].seed += i;
        set->count++;
    }
}

static void run_job(void *ctx, uint64_t i, void *slot)
{
    const struct outage_set *set = ctx;
    outage_run(&set->jobs[i], slot);
}

int outage_set_run(struct outage_set *set, const struct figure_options *options)
{
    ASSERT(set->count > 0);
    set->results = figure_slots(set->count, sizeof *set->results);
    uint64_t missing =
        figure_fork(options, set->count, sizeof *set->results, set->results, run_job, set);
    if (missing > 0 && options->progress != NULL &&
        !options->progress(options->ctx, set->count - missing, set->count)) {
        return ERR_CANCELED;
    }
    return OK;
}

static bool like(const struct outage *a, const struct outage *b)
{
    return a->engine == b->engine && a->graph == b->graph && a->elector == b->elector &&
           a->election_us == b->election_us && a->lasts_us == b->lasts_us;
}

/* The run counts: it is one of those asked for, and was what it should be. */
static bool counts(const struct outage_set *set, uint32_t i, const struct outage *o)
{
    return like(&set->jobs[i], o) && set->results[i].ran && set->results[i].placed;
}

static double sample(const struct outage *o, const struct outage_result *r,
                     enum outage_measure measure)
{
    double minutes = (double) o->lasts_us / MINUTE_US;
    switch (measure) {
    case OUTAGE_DOWN:
        return (double) r->down_us;
    case OUTAGE_SILENT:
        return (double) r->silent_us;
    case OUTAGE_FIRST:
        return (double) u64_min(r->first_us, o->lasts_us);
    case OUTAGE_WRITES:
        return r->writes;
    case OUTAGE_LEADERS:
        return r->leaders / minutes;
    case OUTAGE_CAMPAIGNS:
        return r->campaigns / minutes;
    case OUTAGE_DEAD:
        return r->last_us < o->lasts_us / 2 ? 1 : 0;
    }
    UNREACHABLE();
}

uint32_t outage_set_samples(const struct outage_set *set, const struct outage *o,
                            enum outage_measure measure, double *ret_samples)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        if (!counts(set, i, o)) {
            continue;
        }
        if (ret_samples != NULL) {
            ret_samples[count] = sample(o, &set->results[i], measure);
        }
        count++;
    }
    return count;
}

const struct outage *outage_set_worst(const struct outage_set *set, const struct outage *o)
{
    const struct outage *worst = NULL;
    uint64_t down_us = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        if (counts(set, i, o) && (worst == NULL || set->results[i].down_us > down_us)) {
            worst = &set->jobs[i];
            down_us = set->results[i].down_us;
        }
    }
    return worst;
}

void outage_set_rates(const struct outage_set *set, const struct outage *o,
                      double ret_rates[OUTAGE_BUCKETS])
{
    uint32_t runs = outage_set_samples(set, o, OUTAGE_WRITES, NULL);
    double seconds = (double) outage_bucket_us(o) / 1e6 * (runs > 0 ? runs : 1);
    memset(ret_rates, 0, OUTAGE_BUCKETS * sizeof *ret_rates);
    for (uint32_t i = 0; i < set->count; i++) {
        for (uint32_t k = 0; counts(set, i, o) && k < OUTAGE_BUCKETS; k++) {
            ret_rates[k] += set->results[i].written[k] / seconds;
        }
    }
}

/* The check's replay is the run itself; the longest rhythms of steps are too long for a line. */
static void replay_run(struct figure_check *c, const struct figure_options *options,
                       const struct outage *o)
{
    struct scenario s;
    struct buf command;
    buf_init(&command, COMMAND_MAX);
    outage_scenario(o, &s);
    outage_command(options->program, &s, &command);
    figure_replay(c, "%.*s", (int) command.size, (const char *) command.data);
    scenario_release(&s);
    buf_release(&command);
}

void outage_set_check(const struct outage_set *set, const struct figure_options *options,
                      struct figure *f)
{
    uint32_t red = 0, missing = 0, misplaced = 0;
    uint32_t first = 0;
    for (uint32_t i = set->count; i-- > 0;) {
        const struct outage_result *r = &set->results[i];
        missing += r->ran ? 0 : 1;
        misplaced += r->ran && !r->placed ? 1 : 0;
        red += r->red ? 1 : 0;
        first = r->red ? i : first;
    }
    struct figure_check *c = figure_check(f, "runs that violate a property", "-", "none");
    if (red > 0) {
        const struct outage *o = &set->jobs[first];
        figure_ours(c, false, "%u of %u; %s, %s, %s, seed %" PRIu64 ": %s", red, set->count,
                    outage_graph_title(o->graph), engine_name(o->engine),
                    outage_elector_title(o->elector), o->seed, set->results[first].text);
        replay_run(c, options, o);
    } else {
        figure_ours(c, true, "0 of %u", set->count);
    }
    c = figure_check(f, "runs that could be measured", "-", "all but 5 %");
    figure_ours(c, (missing + misplaced) * 20 <= set->count,
                "%u of %u (%u died, in %u the leader was elsewhere)",
                set->count - missing - misplaced, set->count, missing, misplaced);
}

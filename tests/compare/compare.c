/*
 * compare.c - runs the trials of a comparison and says what they amount to. What it looks like is
 * in compare_text.c, compare_page.c and compare_data.c.
 */
#include "tests/compare/compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/compare/pool.h"
#include "tests/compare/table.h"

/* Running. */

struct job {
    const struct comparison *c;
};

static uint64_t slot_number(const struct compare_options *o, uint32_t script, uint32_t engine,
                            uint32_t trial)
{
    return ((uint64_t) script * o->engines_count + engine) * o->trials + trial;
}

static uint64_t trial_seed(const struct compare_options *o, const struct compare_script *script,
                           uint32_t trial)
{
    return (o->seed_set ? o->seed : script->scenario.seed) + trial;
}

static bool other_engine(const struct scenario *s, const struct engine_ops *engine)
{
    return s->engine != NULL && s->engine != engine;
}

static void run_trial(void *ctx, uint64_t i, void *slot)
{
    const struct comparison *c = ((const struct job *) ctx)->c;
    const struct compare_options *o = c->options;
    uint64_t cell = i / o->trials;
    const struct compare_script *script = &o->scripts[cell / o->engines_count];
    const struct engine_ops *engine = o->engines[cell % o->engines_count];
    struct measured *m = slot;
    struct scenario scenario;
    if (other_engine(&script->scenario, engine)) {
        m->skipped = true;
        (void) snprintf(m->text, sizeof m->text, "the script is for %s",
                        engine_name(script->scenario.engine));
        return;
    }
    scenario_copy(&scenario, &script->scenario);
    scenario.engine = engine;
    scenario.seed = trial_seed(o, script, (uint32_t) (i % o->trials));
    if (o->real) {
        compare_trial_real(&scenario, o->netns, m);
    } else {
        compare_trial_sim(&scenario, m);
    }
    scenario_release(&scenario);
}

static void survey(struct compare_cell *cell, bool stopped)
{
    const struct scenario *scenario = &cell->script->scenario;
    uint32_t trials = cell->count;
    cell->count = 0;
    for (uint32_t i = 0; i < trials; i++) {
        const struct measured *m = &cell->trials[i];
        if (m->skipped || (!m->done && stopped)) {
            cell->skipped++; /* an interruption is not the trial's fault */
            continue;
        }
        if (!m->done) {
            cell->broken++;
        } else {
            cell->count++;
            cell->red += m->red;
            cell->undecided += m->undecided;
            cell->missing += m->missing > 0;
            if (m->missing > 0 && cell->first_missing == NULL) {
                cell->first_missing = m;
            }
        }
        if (!m->done || !compare_expected(scenario, m)) {
            cell->wrong++;
            cell->first_wrong = cell->first_wrong == NULL ? m : cell->first_wrong;
        }
    }
}

static void set_cells(struct comparison *c)
{
    const struct compare_options *o = c->options;
    for (uint32_t s = 0; s < o->scripts_count; s++) {
        for (uint32_t e = 0; e < o->engines_count; e++) {
            struct compare_cell *cell = &c->cells[s * o->engines_count + e];
            *cell = (struct compare_cell){.script = &o->scripts[s],
                                          .engine = o->engines[e],
                                          .trials = &c->slots[slot_number(o, s, e, 0)],
                                          .count = o->trials};
            for (uint32_t t = 0; t < o->trials; t++) {
                /* Also where the process died before it could say. */
                c->slots[slot_number(o, s, e, t)].seed = trial_seed(o, &o->scripts[s], t);
            }
            survey(cell, c->stopped);
        }
    }
}

void compare_init(struct comparison *c, const struct compare_options *options)
{
    ASSERT(options->engines_count > 0 && options->engines_count <= COMPARE_ENGINES_MAX);
    ASSERT(options->trials > 0);
    *c = (struct comparison){.options = options};
}

void compare_release(struct comparison *c)
{
    pool_slots_free(c->slots, c->slots_count, sizeof *c->slots);
    free(c->cells);
    *c = (struct comparison){0};
}

int compare_run(struct comparison *c, struct buf *error)
{
    const struct compare_options *o = c->options;
    const struct pool_options pool = {
        .workers = o->real ? 1 : o->workers, /* nodes and clients would take each other's cores */
        .chunk = 1,
        .limit_s = o->real ? 900 : 300,
        .progress = o->progress,
        .ctx = o->ctx,
    };
    struct pool_result result;
    struct job job = {c};
    c->slots_count = slot_number(o, o->scripts_count, 0, 0);
    c->slots = pool_slots(c->slots_count, sizeof *c->slots);
    if (c->slots == NULL) {
        ERR_IGNORE(buf_printf(error,
                              "no memory for the results of %" PRIu64 " trials; ask for "
                              "fewer of them (--trials)",
                              c->slots_count));
        return ERR_LIMIT;
    }
    pool_run(&pool, c->slots_count, sizeof *c->slots, c->slots, run_trial, &job, &result);
    c->stopped = result.stopped;
    c->cells = xcalloc((size_t) o->scripts_count * o->engines_count, sizeof *c->cells);
    set_cells(c);
    return OK;
}

/* What they amount to. */

const struct compare_cell *compare_cell(const struct comparison *c, uint32_t script,
                                        uint32_t engine)
{
    ASSERT(script < c->options->scripts_count && engine < c->options->engines_count);
    return &c->cells[script * c->options->engines_count + engine];
}

uint32_t compare_wrong(const struct comparison *c)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->options->scripts_count * c->options->engines_count; i++) {
        count += c->cells[i].wrong > 0;
    }
    return count;
}

uint32_t compare_skipped(const struct comparison *c)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->options->scripts_count * c->options->engines_count; i++) {
        count += c->cells[i].count + c->cells[i].broken == 0;
    }
    return count;
}

bool compare_expected(const struct scenario *scenario, const struct measured *m)
{
    if (!scenario->expect_red) {
        return !m->red && !m->undecided;
    }
    return m->red && (scenario->expect_property[0] == '\0' ||
                      strcmp(scenario->expect_property, m->property) == 0);
}

double *compare_samples(const struct compare_cell *cell, uint32_t measure, size_t *ret_count)
{
    uint32_t trials = cell->count + cell->skipped + cell->broken;
    double *samples = xcalloc(trials + 1, sizeof *samples);
    size_t count = 0;
    for (uint32_t i = 0; i < trials; i++) {
        if (cell->trials[i].done && !cell->trials[i].skipped) {
            samples[count++] = cell->trials[i].values[measure];
        }
    }
    *ret_count = count;
    return samples;
}

void compare_summary(const struct compare_cell *cell, uint32_t measure,
                     struct stats_summary *ret_summary)
{
    size_t count = 0;
    double *samples = compare_samples(cell, measure, &count);
    stats_summary(samples, count, ret_summary);
    free(samples);
}

const struct measured *compare_representative(const struct compare_cell *cell)
{
    struct stats_summary summary;
    const struct measured *best = NULL;
    uint32_t trials = cell->count + cell->skipped + cell->broken;
    compare_summary(cell, MEASURE_GAP, &summary);
    for (uint32_t i = 0; i < trials; i++) {
        const struct measured *m = &cell->trials[i];
        if (m->done && !m->skipped &&
            (best == NULL || fabs(m->values[MEASURE_GAP] - summary.median) <
                                 fabs(best->values[MEASURE_GAP] - summary.median))) {
            best = m;
        }
    }
    return best;
}

void compare_verdict(const struct compare_cell *cell, char text[COMPARE_VERDICT_MAX],
                     uint8_t *ret_tone)
{
    uint32_t trials = cell->count + cell->broken;
    bool control = cell->script->scenario.expect_red;
    const struct measured *wrong = cell->first_wrong;
    *ret_tone = TONE_GOOD;
    if (trials == 0) {
        *ret_tone = TONE_QUIET;
        (void) snprintf(text, COMPARE_VERDICT_MAX, "skipped: %.150s",
                        cell->trials[0].skipped ? cell->trials[0].text : "interrupted");
    } else if (cell->wrong == 0) {
        int used = snprintf(text, COMPARE_VERDICT_MAX, "%s %u/%u",
                            control ? "red as expected" : "green", trials, trials);
        if (cell->missing > 0) {
            *ret_tone = TONE_WARN;
            (void) snprintf(text + used, COMPARE_VERDICT_MAX - (size_t) used, "; in %u never: %s",
                            cell->missing, cell->first_missing->missing_step);
        }
    } else {
        *ret_tone = TONE_BAD;
        (void) snprintf(text, COMPARE_VERDICT_MAX, "%s %u/%u (%s%sseed %" PRIu64 ")",
                        !wrong->done                      ? "died"
                        : wrong->undecided && !wrong->red ? "undecided"
                        : control                         ? "not red as expected"
                                                          : "RED",
                        cell->wrong, trials, wrong->property,
                        wrong->property[0] == '\0' ? "" : ", ", wrong->seed);
    }
}

/* Commands. */

static void put(struct buf *out, const char *text)
{
    ERR_IGNORE(buf_append(out, text, strlen(text))); /* a longer command is cut */
}

void compare_cell_command(const struct comparison *c, const struct compare_cell *cell,
                          struct buf *out)
{
    const struct compare_options *o = c->options;
    ERR_IGNORE(
        buf_printf(out, "%s compare%s%s %s --engine %s --seed %" PRIu64 " --trials %u --no-output",
                   o->program, o->real ? " --real" : "", o->netns ? " --netns" : "",
                   cell->script->path, engine_name(cell->engine), trial_seed(o, cell->script, 0),
                   o->trials));
}

void compare_trial_command(const struct comparison *c, const struct compare_cell *cell,
                           const struct measured *m, struct buf *out)
{
    const struct compare_options *o = c->options;
    if (o->real) {
        ERR_IGNORE(buf_printf(out,
                              "%s compare --real%s %s --engine %s --seed %" PRIu64 " --trials 1",
                              o->program, o->netns ? " --netns" : "", cell->script->path,
                              engine_name(cell->engine), m->seed));
        return;
    }
    put(out, o->program);
    ERR_IGNORE(buf_printf(out, " run --scenario %s --engine %s --seed %" PRIu64, cell->script->path,
                          engine_name(cell->engine), m->seed));
}

void compare_value(uint32_t measure, double value, char *text, size_t size)
{
    char number[TABLE_NUMBER_MAX];
    if (measure_unit(measure) == MEASURE_UNIT_TIME) {
        table_time(value, number);
    } else {
        table_number(value, number);
    }
    bool rate = measure_unit(measure) == MEASURE_UNIT_RATE && !isnan(value);
    (void) snprintf(text, size, "%s%s", number, rate ? "/s" : "");
}

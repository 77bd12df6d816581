/*
 * compare_page.c - a comparison as one HTML page: an overview, and for each script its table, plots
 * and one run as a space-time diagram.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/compare/compare.h"
#include "tests/compare/compare_run.h"
#include "tests/compare/compare_table.h"
#include "tests/compare/page.h"
#include "tests/compare/plot.h"

enum {
    CDF_POINTS = 400,
    COMMAND_MAX = 1 << 16,
    MARKS_MAX = 16,
    MARK_TEXT_MAX = 64,
    NAME_MAX_TEXT = 64,
    DRAWN_SCRIPTS = 8,
};

/* Raft, Multi-Paxos and Paxos have the same colour on every page. */
static uint32_t colour_of(const struct engine_ops *engine)
{
    static const char *const order[] = {"raft", "multipaxos", "paxos"};
    for (uint32_t i = 0; i < ARRAY_SIZE(order); i++) {
        if (strcmp(engine_name(engine), order[i]) == 0) {
            return i;
        }
    }
    return ARRAY_SIZE(order) + engine_number(engine) % (PLOT_COLOURS - ARRAY_SIZE(order));
}

static bool has_trials(const struct compare_cell *cell)
{
    return cell->count > 0;
}

/* Series of all engines of a script, with the points they own. */
struct lines {
    struct plot_series series[COMPARE_ENGINES_MAX];
    struct plot_point *points[COMPARE_ENGINES_MAX];
    struct buf commands[COMPARE_ENGINES_MAX];
    uint32_t count;
};

static struct plot_series *add_line(struct lines *l, const struct comparison *c,
                                    const struct compare_cell *cell, uint32_t points)
{
    uint32_t i = l->count++;
    l->points[i] = xcalloc(points + 1, sizeof *l->points[i]);
    buf_init(&l->commands[i], COMMAND_MAX);
    compare_cell_command(c, cell, &l->commands[i]);
    ERR_IGNORE(buf_append(&l->commands[i], "", 1));
    l->series[i] = (struct plot_series){.name = engine_name(cell->engine),
                                        .colour = colour_of(cell->engine),
                                        .points = l->points[i],
                                        .replay = (const char *) l->commands[i].data};
    return &l->series[i];
}

static void release_lines(struct lines *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        free(l->points[i]);
        buf_release(&l->commands[i]);
    }
    l->count = 0;
}

static struct plot plot_of(const struct lines *l, const char *title, enum plot_kind kind)
{
    return (struct plot){.title = title,
                         .kind = kind,
                         .series = l->series,
                         .series_count = l->count,
                         .x_min = NAN,
                         .x_max = NAN,
                         .y_min = NAN,
                         .y_max = NAN};
}

/* Faults as marks: those of a trial at one moment are one mark. */
struct marks {
    struct plot_mark marks[MARKS_MAX];
    char texts[MARKS_MAX][MARK_TEXT_MAX];
    uint32_t count;
};

static void find_marks(const struct measured *m, struct marks *ret)
{
    ret->count = 0;
    for (uint32_t i = 0; i < m->faults_count && ret->count < MARKS_MAX;) {
        uint32_t end = i;
        while (end < m->faults_count && m->faults[end].at_us - m->faults[i].at_us < 1000 &&
               strcmp(m->faults[end].note, m->faults[i].note) == 0) {
            end++;
        }
        uint32_t same = end - i;
        char *text = ret->texts[ret->count];
        if (same > 1) {
            (void) snprintf(text, MARK_TEXT_MAX, "%s \303\227%u", m->faults[i].note, same);
        } else if (m->faults[i].node != 0) {
            (void) snprintf(text, MARK_TEXT_MAX, "%s %u", m->faults[i].note, m->faults[i].node);
        } else {
            (void) snprintf(text, MARK_TEXT_MAX, "%s", m->faults[i].note);
        }
        double at = (double) m->faults[i].at_us;
        ret->marks[ret->count] = (struct plot_mark){.from = at, .to = at, .text = text};
        ret->count++;
        i = end;
    }
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *) a;
    const double y = *(const double *) b;
    return (x > y) - (x < y);
}

/* Answers a second in one stretch of time, over all trials: median and quarters. */
static struct plot_point bucket_point(const struct compare_cell *cell, uint32_t bucket,
                                      double *samples)
{
    uint32_t trials = cell->count + cell->skipped + cell->broken;
    uint64_t bucket_us = 1;
    size_t count = 0;
    for (uint32_t i = 0; i < trials; i++) {
        const struct measured *m = &cell->trials[i];
        if (m->done && !m->skipped && bucket < m->buckets) {
            bucket_us = m->bucket_us;
            samples[count++] = m->ok[bucket] * 1e6 / (double) bucket_us;
        }
    }
    qsort(samples, count, sizeof *samples, compare_doubles);
    return (struct plot_point){.x = ((double) bucket + 0.5) * (double) bucket_us,
                               .y = stats_quantile(samples, count, 0.5),
                               .low = count < 4 ? NAN : stats_quantile(samples, count, 0.25),
                               .high = count < 4 ? NAN : stats_quantile(samples, count, 0.75)};
}

static void plot_throughput(const struct comparison *c, uint32_t script, FILE *out)
{
    const struct compare_options *o = c->options;
    const struct measured *shown = NULL;
    struct marks marks = {.count = 0};
    struct lines l = {.count = 0};
    double *samples = xcalloc(o->trials, sizeof *samples);
    for (uint32_t e = 0; e < o->engines_count; e++) {
        const struct compare_cell *cell = compare_cell(c, script, e);
        const struct measured *m = has_trials(cell) ? compare_representative(cell) : NULL;
        struct plot_series *series = add_line(&l, c, cell, MEASURED_BUCKETS);
        shown = shown == NULL ? m : shown;
        for (uint32_t b = 0; m != NULL && b < m->buckets; b++) {
            l.points[l.count - 1][series->count++] = bucket_point(cell, b, samples);
        }
    }
    free(samples);
    struct plot p = plot_of(&l, "Throughput around the fault", PLOT_LINE);
    p.about = o->trials >= 4 ? "Answered reads and writes a second: median of the trials, and the "
                               "middle half of them. Faults as in a run of the first engine."
                             : "Answered reads and writes a second.";
    p.x_title = "time";
    p.y_title = "operations a second";
    p.x_time = true;
    p.y_min = 0;
    if (shown != NULL) {
        find_marks(shown, &marks);
        p.marks = marks.marks;
        p.marks_count = marks.count;
    }
    plot_svg(&p, out);
    release_lines(&l);
}

/* How a measure is spread over the trials. */
static void plot_spread(const struct comparison *c, uint32_t script, uint32_t measure, FILE *out)
{
    const struct compare_options *o = c->options;
    struct lines l = {.count = 0};
    char title[NAME_MAX_TEXT];
    uint32_t points = 0;
    for (uint32_t e = 0; e < o->engines_count; e++) {
        const struct compare_cell *cell = compare_cell(c, script, e);
        struct plot_series *series = add_line(&l, c, cell, CDF_POINTS);
        size_t count = 0;
        size_t numbers = 0;
        double *samples = compare_samples(cell, measure, &count);
        double *sorted = stats_sorted(samples, count, &numbers);
        series->count = plot_cdf(sorted, numbers, l.points[l.count - 1], CDF_POINTS);
        points += series->count;
        free(samples);
        free(sorted);
    }
    (void) snprintf(title, sizeof title, "Distribution: %s", measure_title(measure));
    struct plot p = plot_of(&l, title, PLOT_STEP);
    p.about = "Share of the trials at or below.";
    p.x_title = measure_title(measure);
    p.y_title = "share of trials";
    p.x_time = measure_unit(measure) == MEASURE_UNIT_TIME;
    p.y_min = 0;
    p.y_max = 1;
    if (points > 0) {
        plot_svg(&p, out);
    }
    release_lines(&l);
}

static uint32_t latency_points(const struct compare_cell *cell, struct plot_point *points)
{
    uint32_t trials = cell->count + cell->skipped + cell->broken;
    uint64_t all[MEASURED_LATENCIES] = {0};
    uint64_t total = 0;
    uint64_t below = 0;
    uint32_t count = 0;
    for (uint32_t t = 0; t < trials; t++) {
        for (uint32_t i = 0; i < MEASURED_LATENCIES; i++) {
            all[i] += cell->trials[t].latencies[i];
            total += cell->trials[t].latencies[i];
        }
    }
    for (uint32_t i = 0; i < MEASURED_LATENCIES; i++) {
        below += all[i];
        if (all[i] > 0) {
            points[count++] = (struct plot_point){.x = fmax(measured_latency_us(i), 1),
                                                  .y = (double) below / (double) total,
                                                  .low = NAN,
                                                  .high = NAN};
        }
    }
    return count;
}

static void plot_latency(const struct comparison *c, uint32_t script, FILE *out)
{
    const struct compare_options *o = c->options;
    struct lines l = {.count = 0};
    uint32_t points = 0;
    for (uint32_t e = 0; e < o->engines_count; e++) {
        const struct compare_cell *cell = compare_cell(c, script, e);
        struct plot_series *series = add_line(&l, c, cell, MEASURED_LATENCIES);
        series->count = latency_points(cell, l.points[l.count - 1]);
        points += series->count;
    }
    struct plot p = plot_of(&l, "Latency of answered operations", PLOT_STEP);
    p.about = "Share of all answered operations of all trials at or below; reads and writes.";
    p.x_title = "latency";
    p.y_title = "share of operations";
    p.x_time = true;
    p.x_scale = PLOT_LOG;
    p.y_min = 0;
    p.y_max = 1;
    if (points > 0) {
        plot_svg(&p, out);
    }
    release_lines(&l);
}

static void plot_costs(const struct comparison *c, uint32_t script, FILE *out)
{
    static const uint32_t measures[] = {MEASURE_ROUNDS, MEASURE_SYNCS, MEASURE_MESSAGES};
    const char *groups[ARRAY_SIZE(measures)];
    const struct compare_options *o = c->options;
    struct lines l = {.count = 0};
    for (uint32_t i = 0; i < ARRAY_SIZE(measures); i++) {
        groups[i] = measure_title(measures[i]);
    }
    for (uint32_t e = 0; e < o->engines_count; e++) {
        const struct compare_cell *cell = compare_cell(c, script, e);
        struct plot_series *series = add_line(&l, c, cell, ARRAY_SIZE(measures));
        for (uint32_t i = 0; i < ARRAY_SIZE(measures) && has_trials(cell); i++) {
            struct stats_summary s;
            compare_summary(cell, measures[i], &s);
            l.points[l.count - 1][series->count++] =
                (struct plot_point){.x = i, .y = s.median, .low = s.p25, .high = s.p75};
        }
    }
    struct plot p = plot_of(&l, "What a commit costs in this run", PLOT_BARS);
    p.about =
        "All messages between nodes count, heartbeats too; durable writes of all nodes' logs. "
        "Commits are slots of the log: under load a slot holds several writes. Median and "
        "middle half of the trials.";
    p.groups = groups;
    p.groups_count = ARRAY_SIZE(groups);
    p.y_min = 0;
    plot_svg(&p, out);
    release_lines(&l);
}

/* Pictures are large: of many scripts one engine is drawn, and what is wrong. */
static bool is_drawn(const struct comparison *c, const struct compare_cell *cell, uint32_t engine)
{
    const struct compare_options *o = c->options;
    return o->scripts_count <= DRAWN_SCRIPTS || engine + 1 == o->engines_count ||
           cell->first_wrong != NULL;
}

static void print_runs(const struct comparison *c, uint32_t script, FILE *out)
{
    const struct compare_options *o = c->options;
    struct buf command;
    buf_init(&command, COMMAND_MAX);
    for (uint32_t e = 0; e < o->engines_count; e++) {
        const struct compare_cell *cell = compare_cell(c, script, e);
        const struct measured *m =
            cell->first_wrong != NULL ? cell->first_wrong : compare_representative(cell);
        char title[NAME_MAX_TEXT + 64];
        if (m == NULL) {
            continue;
        }
        buf_clear(&command);
        compare_trial_command(c, cell, m, &command);
        ERR_IGNORE(buf_append(&command, "", 1));
        (void) snprintf(title, sizeof title, "One run on %s: seed %" PRIu64 "%s",
                        engine_name(cell->engine), m->seed,
                        cell->first_wrong != NULL ? ", not as expected" : "");
        page_fold(out, title);
        page_command(out, (const char *) command.data);
        if (m->text[0] != '\0') {
            page_paragraph(out, m->text);
        }
        if (!o->real && m->done && is_drawn(c, cell, e)) {
            compare_run_diagram(cell, m, out);
        } else if (!o->real) {
            page_paragraph(out,
                           "As a space-time diagram: the same words with show instead of run, and "
                           "--html FILE.");
        }
        page_fold_end(out);
    }
    buf_release(&command);
}

static bool has_any(const struct comparison *c, uint32_t script)
{
    for (uint32_t e = 0; e < c->options->engines_count; e++) {
        if (has_trials(compare_cell(c, script, e))) {
            return true;
        }
    }
    return false;
}

static void print_results(const struct comparison *c, uint32_t script, FILE *out)
{
    struct table t;
    plot_throughput(c, script, out);
    compare_table_measures(c, script, &t);
    table_html(&t, out);
    table_release(&t);
    page_fold(out, "Distributions and costs");
    plot_latency(c, script, out);
    if (c->options->trials > 1) {
        plot_spread(c, script, MEASURE_GAP, out);
        plot_spread(c, script, MEASURE_FIRST_COMMIT, out);
    }
    plot_costs(c, script, out);
    page_fold_end(out);
}

static void print_script(const struct comparison *c, uint32_t script, FILE *out)
{
    const struct compare_options *o = c->options;
    const struct compare_script *s = &o->scripts[script];
    page_section(out, s->name, s->name, s->scenario.about);
    for (uint32_t e = 0; e < o->engines_count; e++) {
        char verdict[COMPARE_VERDICT_MAX];
        char text[COMPARE_VERDICT_MAX + NAME_MAX_TEXT];
        uint8_t tone;
        compare_verdict(compare_cell(c, script, e), verdict, &tone);
        (void) snprintf(text, sizeof text, "%s: %s", engine_name(o->engines[e]), verdict);
        page_badge(out, text, tone);
    }
    if (has_any(c, script)) {
        print_results(c, script, out);
    }
    print_runs(c, script, out);
    page_fold(out, "The script");
    compare_run_script(s, out);
    page_fold_end(out);
    page_section_end(out);
}

static void print_contents(const struct comparison *c, FILE *out)
{
    uint32_t count = c->options->scripts_count;
    const char **links = xcalloc(2 * (size_t) count + 1, sizeof *links);
    for (uint32_t s = 0; s < count; s++) {
        links[2 * s] = c->options->scripts[s].name;
        links[2 * s + 1] = c->options->scripts[s].name;
    }
    page_contents(out, links);
    free(links);
}

void compare_page(const struct comparison *c, FILE *out)
{
    const struct compare_options *o = c->options;
    char lead[512];
    struct table t;
    (void) snprintf(
        lead, sizeof lead,
        "%u %s, %u %s each, %s. The same script, seeds, clients, log and disks for every "
        "engine; every cell has the command that makes it again. synod-sim %s.%s",
        o->scripts_count, o->scripts_count == 1 ? "script" : "scripts", o->trials,
        o->trials == 1 ? "trial" : "trials", o->real ? "on real processes" : "in the simulator",
        o->build, c->stopped ? " Interrupted: not all trials were run." : "");
    page_begin(out, "Synod: one fault script, every engine, one verdict", lead);
    if (o->scripts_count > 1) {
        page_section(out, "overview", "Overview", "");
        compare_table_overview(c, &t);
        table_html(&t, out);
        table_release(&t);
        page_section_end(out);
        print_contents(c, out);
    }
    for (uint32_t s = 0; s < o->scripts_count; s++) {
        print_script(c, s, out);
    }
    page_end(out);
}

/*
 * election_lines.c - trials of lines in parallel, and what is read off them. See election_lines.h.
 */
#include "tests/compare/election_lines.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"

enum {
    TRIALS_USUAL = 1000,
    QUICK_SHARE = 20,
    QUICK_MIN = 20,
};

void election_lines_init(struct election_lines *l)
{
    *l = (struct election_lines){0};
}

void election_lines_release(struct election_lines *l)
{
    if (l->slots != NULL) {
        figure_slots_free(l->slots, l->slots_count, sizeof *l->slots);
    }
    free(l->at);
    *l = (struct election_lines){0};
}

uint32_t election_lines_add(struct election_lines *l, const struct election_options *o,
                            uint32_t trials, const char *format, ...)
{
    ASSERT(l->slots == NULL);
    if (l->count == l->capacity) {
        l->capacity = l->capacity == 0 ? 32 : 2 * l->capacity;
        l->at = xrealloc(l->at, l->capacity * sizeof *l->at);
    }
    struct election_line *line = &l->at[l->count];
    *line = (struct election_line){.options = *o, .trials = trials};
    va_list args;
    va_start(args, format);
    (void) vsnprintf(line->name, sizeof line->name, format, args); /* cut when long */
    va_end(args);
    return l->count++;
}

uint32_t election_trials(const struct figure_options *options, uint32_t usual)
{
    if (options->trials != 0) {
        return options->trials;
    }
    uint32_t few = usual / QUICK_SHARE;
    few = few < QUICK_MIN ? QUICK_MIN : few;
    return options->quick && few < usual ? few : usual;
}

struct batch {
    const struct election_lines *lines;
    uint64_t seed;
};

/* Trial i of all lines one after another. Neither its line's place nor the number of trials of
 * others changes what it is: the seed is of the line's name and the trial. */
static void run_one(void *ctx, uint64_t i, void *slot)
{
    const struct batch *b = ctx;
    uint32_t k = 0;
    while (i >= b->lines->at[k].trials) {
        i -= b->lines->at[k].trials;
        k++;
    }
    const struct election_line *line = &b->lines->at[k];
    struct rng rng;
    rng_init(&rng, b->seed ^ hash64_bytes(0, bytes_str(line->name)));
    uint64_t base = rng_u64(&rng);
    rng_init(&rng, base + i);
    struct election_options o = line->options;
    o.seed = rng_u64(&rng);
    election_run(&o, slot);
    ((struct election_result *) slot)->done = true;
}

static int check(struct election_lines *l, struct buf *error)
{
    for (uint32_t k = 0; k < l->count; k++) {
        struct election_line *line = &l->at[k];
        for (uint32_t i = 0; i < line->trials; i++) {
            if (line->results[i].broken) {
                ERR_IGNORE(buf_printf(error, "%s, trial %u: %s", line->name, i,
                                      line->results[i].failure)); /* cut when long */
                return ERR_IO;
            }
            line->lost += line->results[i].done ? 0 : 1;
        }
        if (line->lost > 0) {
            ERR_IGNORE(buf_printf(error, "%s: %u of %u trials ended with their process", line->name,
                                  line->lost, line->trials)); /* cut when long */
            return ERR_IO;
        }
    }
    return OK;
}

static bool count_progress(void *ctx, uint64_t done, uint64_t total)
{
    const struct figure_options *options = ctx;
    return options->progress == NULL || options->progress(options->ctx, done, total);
}

struct watcher {
    const struct figure_options *options;
    bool stopped;
};

static bool watch(void *ctx, uint64_t done, uint64_t total)
{
    struct watcher *w = ctx;
    if (!count_progress((void *) w->options, done, total)) {
        w->stopped = true;
    }
    return !w->stopped;
}

int election_lines_run(struct election_lines *l, const struct figure_options *options,
                       struct buf *error)
{
    ASSERT(l->slots == NULL);
    for (uint32_t k = 0; k < l->count; k++) {
        if (l->at[k].trials == 0) {
            l->at[k].trials = election_trials(options, TRIALS_USUAL);
        }
        l->slots_count += l->at[k].trials;
    }
    l->slots = figure_slots(l->slots_count, sizeof *l->slots);
    struct election_result *next = l->slots;
    for (uint32_t k = 0; k < l->count; k++) {
        l->at[k].results = next;
        next += l->at[k].trials;
    }
    struct batch b = {.lines = l, .seed = options->seed};
    struct watcher w = {.options = options};
    struct figure_options watched = *options;
    watched.progress = watch;
    watched.ctx = &w;
    (void) figure_fork(&watched, l->slots_count, sizeof *l->slots, l->slots, run_one, &b);
    return w.stopped ? ERR_CANCELED : check(l, error); /* which processes died is seen there */
}

/* Reading. */

static double value_of(const struct election_result *r, enum election_measure what)
{
    switch (what) {
    case ELECTION_WON:
        return r->elected ? (double) r->won_us / 1000 : NAN;
    case ELECTION_ELECTED:
        return r->elected ? (double) r->elected_us / 1000 : NAN;
    case ELECTION_COMMITTED:
        return r->committed ? (double) r->commit_us / 1000 : NAN;
    case ELECTION_ATTEMPTS:
        return (double) r->attempts;
    case ELECTION_PACKETS:
        return (double) r->packets;
    case ELECTION_VOTE_BYTES:
        return (double) r->vote_bytes;
    case ELECTION_BYTES:
        return (double) r->bytes;
    case ELECTION_REWRITTEN:
        return (double) r->rewritten;
    case ELECTION_WRITTEN:
        return (double) r->written;
    case ELECTION_MEASURES:
        break;
    }
    UNREACHABLE();
}

double *election_values(const struct election_line *line, enum election_measure what)
{
    double *values = xcalloc(line->trials, sizeof *values);
    for (uint32_t i = 0; i < line->trials; i++) {
        values[i] = value_of(&line->results[i], what);
    }
    return values;
}

struct election_summary election_sum(const struct election_line *line, enum election_measure what)
{
    struct election_summary sum;
    double *values = election_values(line, what);
    stats_summary(values, line->trials, &sum.stats);
    sum.missing = line->trials - (uint32_t) sum.stats.count;
    free(values);
    return sum;
}

double election_share(const struct election_line *line, enum election_measure what, double limit_ms)
{
    uint32_t hits = 0;
    for (uint32_t i = 0; i < line->trials; i++) {
        hits += value_of(&line->results[i], what) <= limit_ms ? 1 : 0; /* NAN: no */
    }
    return line->trials == 0 ? NAN : (double) hits / line->trials;
}

/* Plots. */

void election_plot_init(struct election_plot *p, const char *title, const char *about)
{
    *p = (struct election_plot){
        .plot =
            {
                .title = title,
                .about = about,
                .x_title = "time since the leader died",
                .y_title = "share of trials",
                .kind = PLOT_STEP,
                .x_scale = PLOT_LOG,
                .y_scale = PLOT_LINEAR,
                .x_min = NAN,
                .x_max = NAN,
                .y_min = 0,
                .y_max = 1,
                .x_time = true,
            },
    };
}

void election_plot_add(struct election_plot *p, const struct election_line *line,
                       enum election_measure what, uint32_t colour)
{
    ASSERT(p->count < ELECTION_SERIES_MAX);
    double *values = election_values(line, what);
    size_t count;
    double *sorted = stats_sorted(values, line->trials, &count);
    struct plot_point *points = xcalloc(ELECTION_POINTS_MAX, sizeof *points);
    for (size_t i = 0; i < count; i++) {
        sorted[i] *= 1000; /* axes of time are in microseconds */
    }
    uint32_t n = plot_cdf(sorted, count, points, ELECTION_POINTS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        points[i].y *= (double) count / line->trials; /* who never ended keeps it below 1 */
    }
    p->points[p->count] = points;
    p->series[p->count] = (struct plot_series){
        .name = line->name,
        .colour = colour % PLOT_COLOURS,
        .points = points,
        .count = n,
    };
    p->count++;
    free(sorted);
    free(values);
}

void election_plot_mark(struct election_plot *p, double ms, const char *text)
{
    ASSERT(p->marks_count < ELECTION_SERIES_MAX);
    p->marks[p->marks_count++] =
        (struct plot_mark){.from = ms * 1000, .to = ms * 1000, .text = text};
}

void election_plot_end(struct election_plot *p, struct figure *f)
{
    p->plot.marks = p->marks;
    p->plot.marks_count = p->marks_count;
    p->plot.series = p->series;
    p->plot.series_count = p->count;
    figure_plot(f, &p->plot);
    for (uint32_t i = 0; i < p->count; i++) {
        free(p->points[i]);
    }
}

void election_replay(struct figure_check *c, const struct figure_options *options,
                     const char *figure)
{
    const char *program = options->program != NULL ? options->program : "synod-sim";
    char trials[32] = "";
    if (options->trials != 0) {
        (void) snprintf(trials, sizeof trials, " --trials %u", options->trials); /* it fits */
    }
    figure_replay(c, "%s figures %s --seed %llu%s%s", program, figure,
                  (unsigned long long) options->seed, trials, options->quick ? " --quick" : "");
}

/*
 * election_lines.h - many elections under one setting, several settings at once: the lines of
 * figures E1 to E3.
 */
#ifndef SYNOD_TESTS_COMPARE_ELECTION_LINES_H
#define SYNOD_TESTS_COMPARE_ELECTION_LINES_H

#include "tests/compare/election.h"
#include "tests/compare/figure.h"
#include "tests/compare/stats.h"

struct election_line {
    char name[48];
    struct election_options options; /* the seed is filled in, from the figure's and the trial's */
    uint32_t trials;
    struct election_result *results; /* trials of them */
    uint32_t lost;                   /* trials of which nothing is known, because a process died */
};

struct election_lines {
    struct election_line *at;
    uint32_t count;
    uint32_t capacity;
    struct election_result *slots; /* shared memory that the results are in */
    uint64_t slots_count;
};

/* Which number of a result; in milliseconds where it is a time. NAN: not elected, not committed. */
enum election_measure {
    ELECTION_WON,
    ELECTION_ELECTED,
    ELECTION_COMMITTED,
    ELECTION_ATTEMPTS,
    ELECTION_PACKETS,
    ELECTION_VOTE_BYTES,
    ELECTION_BYTES,
    ELECTION_REWRITTEN,
    ELECTION_WRITTEN,
    ELECTION_MEASURES,
};

void election_lines_init(struct election_lines *l);
void election_lines_release(struct election_lines *l);

/* A further line; its index. Trials 0: as the figure's options say, else 1000. */
uint32_t election_lines_add(struct election_lines *l, const struct election_options *o,
                            uint32_t trials, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Trials of a line: `usual`, or as many as the options say, or a twentieth if quick (20 at least).
 */
uint32_t election_trials(const struct figure_options *options, uint32_t usual);

/* Runs all lines that have no results yet. Errors: ERR_CANCELED, ERR_IO with a line in `error` (a
 * rule was broken, or processes died). */
MUST_USE int election_lines_run(struct election_lines *l, const struct figure_options *options,
                                struct buf *error);

/* The measure of all trials, in their order; free it. */
double *election_values(const struct election_line *line, enum election_measure what);

/* Of the values that are numbers; a trial without one counts in `missing`. */
struct election_summary {
    struct stats_summary stats;
    uint32_t missing;
};
struct election_summary election_sum(const struct election_line *line, enum election_measure what);

/* The share of trials that ended in time. */
double election_share(const struct election_line *line, enum election_measure what,
                      double limit_ms);

/* A plot of cumulative distributions: series by election_plot_add, drawn into the figure by
 * election_plot_end. Times above max_ms lie beyond the right edge. */
enum { ELECTION_SERIES_MAX = 12, ELECTION_POINTS_MAX = 200 };
struct election_plot {
    struct plot plot;
    struct plot_series series[ELECTION_SERIES_MAX];
    struct plot_point *points[ELECTION_SERIES_MAX];
    uint32_t count;
    struct plot_mark marks[ELECTION_SERIES_MAX];
    uint32_t marks_count;
};
void election_plot_init(struct election_plot *p, const char *title, const char *about);
void election_plot_add(struct election_plot *p, const struct election_line *line,
                       enum election_measure what, uint32_t colour);
/* What somebody published, at so many milliseconds. The text is borrowed until the end. */
void election_plot_mark(struct election_plot *p, double ms, const char *text);
void election_plot_end(struct election_plot *p, struct figure *f);

/* "synod-sim figures NAME --seed N --trials M". */
void election_replay(struct figure_check *c, const struct figure_options *options,
                     const char *figure);

#endif

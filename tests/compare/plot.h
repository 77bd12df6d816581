/*
 * plot.h - plots as SVG, for a page without scripts or network.
 *
 * Colours are CSS variables of page.h, so that a plot is readable in light and dark; each colour
 * has a sign of its own too (disc, square, triangle, ...), and series of one colour differ in their
 * dashes, so that it is readable without colour. Pure: writes to a FILE, the same for the same
 * plot.
 */
#ifndef SYNOD_TESTS_COMPARE_PLOT_H
#define SYNOD_TESTS_COMPARE_PLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum plot_kind {
    PLOT_LINE,
    PLOT_STEP,    /* a line that goes right, then up: cumulative distributions */
    PLOT_BARS,    /* grouped: x of a point is the number of its group */
    PLOT_SCATTER, /* points only */
};

enum plot_scale { PLOT_LINEAR, PLOT_LOG };

struct plot_point {
    double x, y;
    double low, high; /* a band or a whisker; NAN: none */
};
/* A y of NAN is missing: it breaks a line, a bar is a dash. INFINITY never came: missing too, but a
 * bar goes to the top. */

struct plot_series {
    const char *name;
    uint32_t colour; /* 0..PLOT_COLOURS-1, the same thing has the same one on a page */
    bool dashed;     /* published values, oracles */
    const struct plot_point *points;
    uint32_t count;
    const char *replay; /* NULL: none; title of its legend */
};

/* A stretch or moment of the x axis: a fault. */
struct plot_mark {
    double from, to; /* equal: a line */
    const char *text;
};

enum { PLOT_COLOURS = 8, PLOT_WIDTH = 760, PLOT_HEIGHT = 300 };

struct plot {
    const char *title;
    const char *about; /* a sentence: read out, and shown below; NULL: none */
    const char *x_title, *y_title;
    enum plot_kind kind;
    enum plot_scale x_scale, y_scale;
    const char *const *groups; /* BARS: names by number */
    uint32_t groups_count;
    const struct plot_series *series;
    uint32_t series_count;
    const struct plot_mark *marks;
    uint32_t marks_count;
    double x_min, x_max, y_min, y_max; /* NAN: from the points; what is outside is clipped */
    bool x_time, y_time;               /* ticks as times; values are microseconds */
};

/* <figure> with <svg> and <figcaption>. Series without points are named in the legend as "no data".
 */
void plot_svg(const struct plot *p, FILE *out);

/* A series' points as a cumulative distribution of sorted samples, thinned to at most `max` points
 * (at least 2); returns how many. For PLOT_STEP. INFINITY is a sample that never ended: the line
 * stays below 1. */
uint32_t plot_cdf(const double *sorted, size_t count, struct plot_point *ret_points, uint32_t max);

/* Ticks of an axis: at most `max` round numbers in [min, max]; how many. For tests too. */
uint32_t plot_ticks(double min, double max, enum plot_scale scale, bool time, double *ret_ticks,
                    uint32_t ticks_max);

#endif

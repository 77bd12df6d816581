/*
 * plot_series.c - the data of a plot: lines, bands, points, and the signs that tell them apart.
 */
#include "tests/compare/plot_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "tests/compare/page.h"

/* More points than this are thinned to the pixels that they cover. */
enum { POINTS_MAX = 2 * PLOT_WIDTH, MARKERS_MAX = 40, SCATTERED_MAX = 300, GRID = 2 };

struct plot_pixel plot_px(double value)
{
    struct plot_pixel px;
    long tenths = lrint(value * 10);
    long size = labs(tenths);

    if (size % 10 == 0) {
        (void) snprintf(px.text, sizeof(px.text), "%s%ld", tenths < 0 ? "-" : "", size / 10);
    } else {
        (void) snprintf(px.text, sizeof(px.text), "%s%ld.%ld", tenths < 0 ? "-" : "", size / 10,
                        size % 10);
    }
    return px;
}

double plot_text_width(const char *text, double size)
{
    double width = 0;

    for (const char *c = text; *c != '\0'; c++) {
        if (((unsigned char) *c & 0xc0) != 0x80) {
            width += strchr(" .,:;il|'", *c) != NULL ? 0.32 : 0.59;
        }
    }
    return width * size;
}

void plot_put_clipped(FILE *out, const char *text, double width, double size)
{
    char part[128];
    size_t used = 0;

    if (plot_text_width(text, size) <= width) {
        page_escape(out, text);
        return;
    }
    /* Whole characters, as long as they and the sign fit. */
    for (const char *c = text; *c != '\0' && used + 8 < sizeof(part); c++) {
        bool begins = ((unsigned char) *c & 0xc0) != 0x80;

        part[used] = '\0';
        if (begins && plot_text_width(part, size) + size > width) {
            break;
        }
        part[used] = *c;
        used++;
    }
    while (used > 0 && part[used - 1] == ' ') {
        used--;
    }
    part[used] = '\0';
    page_escape(out, part);
    (void) fputs("…", out);
}

bool plot_has_range(const struct plot_point *p)
{
    return isfinite(p->y) && !isnan(p->low) && !isnan(p->high) && p->low <= p->high;
}

uint32_t plot_variant(const struct plot *p, uint32_t series)
{
    uint32_t variant = 0;

    for (uint32_t s = 0; s < series; s++) {
        variant += p->series[s].colour == p->series[series].colour &&
                   p->series[s].dashed == p->series[series].dashed;
    }
    return variant;
}

void plot_put_dashes(FILE *out, const struct plot *p, uint32_t series)
{
    static const char *const solid[] = {NULL, "9 3 2 3", "2 3", "14 4"};
    static const char *const dashed[] = {"6 4", "3 2 1 2", "10 5", "4 2"};
    uint32_t variant = plot_variant(p, series) % ARRAY_SIZE(solid);
    const char *dashes = p->series[series].dashed ? dashed[variant] : solid[variant];

    if (dashes != NULL) {
        (void) fprintf(out, " stroke-dasharray=\"%s\"", dashes);
    }
}

const char *plot_marker(uint32_t shape)
{
    static const char *const paths[PLOT_COLOURS] = {
        "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0z",            /* disc */
        "M-3.2 -3.2h6.4v6.4h-6.4z",                                     /* square */
        "M0 -4.4L4.2 3.1H-4.2z",                                        /* triangle */
        "M0 -4.7L4.7 0L0 4.7L-4.7 0z",                                  /* diamond */
        "M0 4.4L4.2 -3.1H-4.2z",                                        /* triangle, down */
        "M-1.4 -4.2h2.8v2.8h2.8v2.8h-2.8v2.8h-2.8v-2.8h-2.8v-2.8h2.8z", /* cross */
        "M0 -4.4L4.2 -1.4L2.6 3.6H-2.6L-4.2 -1.4z",                     /* pentagon */
        "M-4.4 -2h8.8v4h-8.8z",                                         /* bar */
    };

    ASSERT(shape < PLOT_COLOURS);
    return paths[shape];
}

/* What a pointer that rests on a point is told. */
static void put_marker_told(const struct plot_area *a, uint32_t series, const struct plot_point *p)
{
    const struct plot_series *s = &a->plot->series[series];
    char x[TABLE_NUMBER_MAX];
    char y[TABLE_NUMBER_MAX];

    plot_axis_value(&a->x, p->x, x);
    plot_axis_value(&a->y, p->y, y);
    (void) fprintf(a->out, "<path class=\"mark%s\" transform=\"translate(%s %s)%s\" d=\"%s\">",
                   s->dashed || plot_variant(a->plot, series) > 0 ? " hollow" : "",
                   plot_px(plot_axis_px(&a->x, p->x)).text, plot_px(plot_axis_px(&a->y, p->y)).text,
                   a->plot->kind == PLOT_SCATTER && s->count > SCATTERED_MAX ? "scale(.6)" : "",
                   plot_marker(s->colour));
    (void) fputs("<title>", a->out);
    page_escape(a->out, s->name);
    (void) fprintf(a->out, ": %s, %s</title></path>\n", x, y);
}

static bool drawable(const struct plot_area *a, const struct plot_point *p)
{
    return !isnan(plot_axis_px(&a->x, p->x)) && !isnan(plot_axis_px(&a->y, p->y));
}

static bool visible(const struct plot_area *a, const struct plot_point *p)
{
    return drawable(a, p) && plot_axis_has(&a->x, p->x) && plot_axis_has(&a->y, p->y);
}

/* ------------------------------------------------------------------------------------------- */
/* Lines */

struct pen {
    FILE *out;
    bool step;
    bool down; /* a line has begun */
    double x, y;
    /* The points of one column of pixels, when they are thinned. */
    bool thin, filled;
    double column, first, last, low, high;
};

static void pen_to(struct pen *pen, double x, double y)
{
    if (!pen->down) {
        (void) fprintf(pen->out, "M%s %s", plot_px(x).text, plot_px(y).text);
    } else if (pen->step) {
        if (x != pen->x) {
            (void) fprintf(pen->out, "H%s", plot_px(x).text);
        }
        if (y != pen->y) {
            (void) fprintf(pen->out, "V%s", plot_px(y).text);
        }
    } else if (x != pen->x || y != pen->y) {
        (void) fprintf(pen->out, "L%s %s", plot_px(x).text, plot_px(y).text);
    }
    pen->down = true;
    pen->x = x;
    pen->y = y;
}

static void pen_flush(struct pen *pen)
{
    if (pen->filled) {
        pen_to(pen, pen->column, pen->first);
        pen_to(pen, pen->column, pen->low);
        pen_to(pen, pen->column, pen->high);
        pen_to(pen, pen->column, pen->last);
    }
    pen->filled = false;
}

static void pen_up(struct pen *pen)
{
    pen_flush(pen);
    pen->down = false;
}

static void pen_point(struct pen *pen, double x, double y)
{
    if (!pen->thin) {
        pen_to(pen, x, y);
        return;
    }
    if (pen->filled && rint(x) == pen->column) {
        pen->low = fmin(pen->low, y);
        pen->high = fmax(pen->high, y);
        pen->last = y;
        return;
    }
    pen_flush(pen);
    pen->filled = true;
    pen->column = rint(x);
    pen->first = y;
    pen->last = y;
    pen->low = y;
    pen->high = y;
}

static void put_line(const struct plot_area *a, uint32_t series)
{
    const struct plot_series *s = &a->plot->series[series];
    struct pen pen = {.out = a->out,
                      .step = a->plot->kind == PLOT_STEP,
                      .thin = s->count > POINTS_MAX};

    (void) fputs("<path class=\"line\"", a->out);
    plot_put_dashes(a->out, a->plot, series);
    (void) fputs(" d=\"", a->out);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct plot_point *p = &s->points[i];

        if (drawable(a, p)) {
            pen_point(&pen, plot_axis_px(&a->x, p->x), plot_axis_px(&a->y, p->y));
        } else {
            pen_up(&pen);
        }
    }
    pen_up(&pen);
    (void) fputs("\"/>\n", a->out);
}

/* A bound of a range, which may lie where the axis has no pixel. */
static double bound_px(const struct plot_axis *axis, double value, double otherwise)
{
    double px = plot_axis_px(axis, value);

    return isnan(px) ? otherwise : px;
}

/* A point with its range is one of a stretch of a band. */
static bool in_band(const struct plot_area *a, const struct plot_point *p)
{
    return plot_has_range(p) && !isnan(plot_axis_px(&a->x, p->x));
}

/* One edge of the points [from, to), forward above or backward below; thinned, it keeps the
 * extremes. Steps go right, then up: their corners are below right of a rise. */
static void put_edge(const struct plot_area *a, const struct plot_series *s, uint32_t from,
                     uint32_t to, bool above)
{
    uint32_t stride = s->count > POINTS_MAX ? s->count / POINTS_MAX + 1 : 1;
    uint32_t groups = (to - from + stride - 1) / stride;
    double before_x = 0;
    double before_y = 0;

    for (uint32_t g = 0; g < groups; g++) {
        uint32_t begin = from + (above ? g : groups - 1 - g) * stride;
        uint32_t end = (uint32_t) u64_min(begin + stride, to);
        double x = plot_axis_px(&a->x, s->points[begin].x);
        double y = above ? INFINITY : -INFINITY;

        for (uint32_t i = begin; i < end; i++) {
            const struct plot_point *p = &s->points[i];

            y = above ? fmin(y, bound_px(&a->y, p->high, a->top))
                      : fmax(y, bound_px(&a->y, p->low, a->bottom));
        }
        if (a->plot->kind == PLOT_STEP && g > 0) {
            (void) fprintf(a->out, "L%s %s", plot_px(above ? x : before_x).text,
                           plot_px(above ? before_y : y).text);
        }
        (void) fprintf(a->out, "%s%s %s", above && g == 0 ? "M" : "L", plot_px(x).text,
                       plot_px(y).text);
        before_x = x;
        before_y = y;
    }
}

static void put_bands(const struct plot_area *a, const struct plot_series *s)
{
    uint32_t from = 0;

    while (from < s->count) {
        uint32_t to = from;

        while (to < s->count && in_band(a, &s->points[to])) {
            to++;
        }
        if (to - from == 1) {
            plot_put_whisker(a, plot_axis_px(&a->x, s->points[from].x), &s->points[from]);
        } else if (to > from) {
            (void) fputs("<path class=\"band\" d=\"", a->out);
            put_edge(a, s, from, to, true);
            put_edge(a, s, from, to, false);
            (void) fputs("z\"/>\n", a->out);
        }
        from = to + 1;
    }
}

/* Signs on a line: on every point while there are few, then at a distance that differs by series,
 * and always on a point without neighbours, which has no line. */
static void put_line_markers(const struct plot_area *a, uint32_t series)
{
    const struct plot_series *s = &a->plot->series[series];
    double next = s->count <= MARKERS_MAX ? -INFINITY : a->left + 20 + 27 * (series % 4);

    for (uint32_t i = 0; i < s->count; i++) {
        const struct plot_point *p = &s->points[i];
        bool alone = (i == 0 || !drawable(a, p - 1)) && (i + 1 == s->count || !drawable(a, p + 1));
        double x = plot_axis_px(&a->x, p->x);

        if (!visible(a, p) || (!alone && x < next)) {
            continue;
        }
        put_marker_told(a, series, p);
        if (!alone) {
            next = x + (s->count <= MARKERS_MAX ? 7 : 108);
        }
    }
}

static void put_series_lines(const struct plot_area *a, uint32_t series)
{
    const struct plot_series *s = &a->plot->series[series];
    const double edge = 2; /* lines at the border keep their width */

    (void) fprintf(a->out, "<g class=\"k%" PRIu32 "\">\n<svg x=\"%s\" y=\"%s\" width=\"%s\" ",
                   s->colour, plot_px(a->left - edge).text, plot_px(a->top - edge).text,
                   plot_px(a->right - a->left + 2 * edge).text);
    (void) fprintf(a->out, "height=\"%s\" viewBox=\"%s %s %s %s\">\n",
                   plot_px(a->bottom - a->top + 2 * edge).text, plot_px(a->left - edge).text,
                   plot_px(a->top - edge).text, plot_px(a->right - a->left + 2 * edge).text,
                   plot_px(a->bottom - a->top + 2 * edge).text);
    put_bands(a, s);
    put_line(a, series);
    (void) fputs("</svg>\n", a->out);
    put_line_markers(a, series);
    (void) fputs("</g>\n", a->out);
}

void plot_put_lines(const struct plot_area *a)
{
    for (uint32_t s = 0; s < a->plot->series_count; s++) {
        put_series_lines(a, s);
    }
}

/* ------------------------------------------------------------------------------------------- */
/* Scattered points */

static void put_series_points(const struct plot_area *a, uint32_t series)
{
    enum { COLUMNS = PLOT_WIDTH / GRID + 1, ROWS = 2 * PLOT_HEIGHT / GRID };
    const struct plot_series *s = &a->plot->series[series];
    bool thin = s->count > POINTS_MAX;
    bool *taken = xcalloc((size_t) COLUMNS * ROWS, sizeof(*taken));

    (void) fprintf(a->out, "<g class=\"k%" PRIu32 " scatter\">\n", s->colour);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct plot_point *p = &s->points[i];
        double x = plot_axis_px(&a->x, p->x);
        size_t place;

        if (!visible(a, p)) {
            continue;
        }
        place = (size_t) (x / GRID) * ROWS + (size_t) (plot_axis_px(&a->y, p->y) / GRID);
        ASSERT(place < (size_t) COLUMNS * ROWS);
        if (thin && taken[place]) {
            continue;
        }
        taken[place] = true;
        if (plot_has_range(p)) {
            plot_put_whisker(a, x, p);
        }
        put_marker_told(a, series, p);
    }
    (void) fputs("</g>\n", a->out);
    free(taken);
}

/* The series with most points first, so that none is hidden by it. */
void plot_put_scatter(const struct plot_area *a)
{
    const struct plot *p = a->plot;
    bool *done = xcalloc(p->series_count, sizeof(*done));

    for (uint32_t round = 0; round < p->series_count; round++) {
        uint32_t most = p->series_count;

        for (uint32_t s = 0; s < p->series_count; s++) {
            if (!done[s] &&
                (most == p->series_count || p->series[s].count > p->series[most].count)) {
                most = s;
            }
        }
        put_series_points(a, most);
        done[most] = true;
    }
    free(done);
}

/* ------------------------------------------------------------------------------------------- */

uint32_t plot_cdf(const double *sorted, size_t count, struct plot_point *ret_points, uint32_t max)
{
    size_t ended = count;
    uint32_t used = 0;

    ASSERT(max >= 2);
    while (ended > 0 && isinf(sorted[ended - 1])) {
        ended--;
    }
    if (ended == 0) {
        return 0;
    }
    ret_points[used++] = (struct plot_point){.x = sorted[0], .y = 0, .low = NAN, .high = NAN};
    for (uint32_t k = 1; k < max; k++) {
        /* The last sample of the k-th of equal parts. */
        size_t i = (size_t) (((uint64_t) k * ended + max - 2) / (max - 1)) - 1;
        double share;

        while (i + 1 < ended && sorted[i + 1] == sorted[i]) {
            i++;
        }
        share = (double) (i + 1) / (double) count;
        if (ret_points[used - 1].y < share) {
            ret_points[used++] =
                (struct plot_point){.x = sorted[i], .y = share, .low = NAN, .high = NAN};
        }
    }
    return used;
}

/*
 * plot.c - a plot as a whole: its layout, axes, legend, and what is read out of it.
 */
#include "tests/compare/plot.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/compare/page.h"
#include "tests/compare/plot_internal.h"

enum { TITLE_HEIGHT = 20, TICKS_HEIGHT = 20, TEXT_SIZE = 12 };

/* A name for references within a page, of what is drawn. */
static uint64_t identity(const struct plot *p)
{
    uint64_t hash = hash64_bytes(p->kind, bytes_str(p->title));

    hash = p->about == NULL ? hash : hash64_bytes(hash, bytes_str(p->about));
    for (uint32_t s = 0; s < p->series_count; s++) {
        const struct plot_series *series = &p->series[s];

        hash = hash64_bytes(hash, bytes_str(series->name));
        for (uint32_t i = 0; i < series->count; i++) {
            const double xy[] = {series->points[i].x, series->points[i].y};

            hash =
                hash64_bytes(hash, (struct bytes){.data = (const void *) xy, .size = sizeof(xy)});
        }
    }
    return hash;
}

static bool has_points(const struct plot *p, const struct plot_series *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        const struct plot_point *point = &s->points[i];
        bool drawn = isfinite(point->y) && !(p->y_scale == PLOT_LOG && point->y <= 0) &&
                     isfinite(point->x) && !(p->x_scale == PLOT_LOG && point->x <= 0);

        if (drawn || (p->kind == PLOT_BARS && !isnan(point->y))) {
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------------------------------- */
/* Layout */

static void count_groups(struct plot_area *a)
{
    const struct plot *p = a->plot;

    a->groups = p->groups_count;
    for (uint32_t s = 0; s < p->series_count; s++) {
        for (uint32_t i = 0; i < p->series[s].count; i++) {
            double x = p->series[s].points[i].x;

            if (p->groups == NULL && x >= a->groups && x < PLOT_WIDTH) {
                a->groups = (uint32_t) x + 1;
            }
        }
    }
}

static double left_margin(const struct plot_area *a)
{
    char text[TABLE_NUMBER_MAX];
    double widest = 0;

    for (uint32_t i = 0; i < a->y.ticks_count; i++) {
        plot_axis_label(&a->y, a->y.ticks[i], text);
        widest = fmax(widest, plot_text_width(text, TEXT_SIZE));
    }
    return widest + 12;
}

/*
 * The labels of the y axis make the left margin, on which depends how bars and marks fit, and thus
 * the height of what is above and below the data: first with a guess, then as it is.
 */
static void lay_out(struct plot_area *a)
{
    const struct plot *p = a->plot;
    bool x_title = p->x_title != NULL && p->x_title[0] != '\0';
    bool y_title = p->y_title != NULL && p->y_title[0] != '\0';

    a->left = 60;
    a->right = PLOT_WIDTH - 14;
    a->top = y_title ? TITLE_HEIGHT + 8 : 10;
    a->bottom = PLOT_HEIGHT - TICKS_HEIGHT - (x_title ? TITLE_HEIGHT : 4);
    count_groups(a);
    for (int round = 0; round < 2; round++) {
        a->x.from = a->left;
        a->x.to = a->right;
        a->y.from = a->bottom;
        a->y.to = a->top;
        a->y.time = p->y_time; /* for the values of bars */
        a->values = p->kind == PLOT_BARS ? plot_bar_values(a) : PLOT_VALUES_NONE;
        plot_axis_x(a);
        plot_axis_y(a);
        a->left = round == 0 ? left_margin(a) : a->left;
    }
    a->height = PLOT_HEIGHT;
    if (p->kind == PLOT_BARS) {
        plot_names_place(a);
        a->height += plot_names_height(a) - TICKS_HEIGHT;
        a->mark_row = NULL;
    } else {
        plot_marks_place(a);
        a->top += PLOT_MARK_HEIGHT * (double) a->mark_rows;
        a->bottom += PLOT_MARK_HEIGHT * (double) a->mark_rows;
        a->height += PLOT_MARK_HEIGHT * (double) a->mark_rows;
        a->y.from = a->bottom;
        a->y.to = a->top;
    }
    for (uint32_t s = 0; s < p->series_count; s++) {
        a->any = a->any || has_points(p, &p->series[s]);
    }
}

/* ------------------------------------------------------------------------------------------- */
/* Axes */

static void put_y_axis(const struct plot_area *a)
{
    char text[TABLE_NUMBER_MAX];

    for (uint32_t i = 0; i < a->y.ticks_count; i++) {
        double y = plot_axis_px(&a->y, a->y.ticks[i]);

        plot_axis_label(&a->y, a->y.ticks[i], text);
        (void) fprintf(a->out, "<path class=\"grid\" d=\"M%s %sH%s\"/>", plot_px(a->left).text,
                       plot_px(y).text, plot_px(a->right).text);
        (void) fprintf(a->out, "<text text-anchor=\"end\" x=\"%s\" y=\"%s\">%s</text>\n",
                       plot_px(a->left - 7).text, plot_px(y + 4).text, text);
    }
    if (a->plot->y_title != NULL && a->plot->y_title[0] != '\0') {
        (void) fputs("<text class=\"axis\" x=\"0\" y=\"13\">", a->out);
        plot_put_clipped(a->out, a->plot->y_title, PLOT_WIDTH, TEXT_SIZE);
        (void) fputs("</text>\n", a->out);
    }
}

static void put_x_tick(const struct plot_area *a, double value)
{
    char text[TABLE_NUMBER_MAX];
    double x = plot_axis_px(&a->x, value);
    double half;

    plot_axis_label(&a->x, value, text);
    half = plot_text_width(text, TEXT_SIZE) / 2;
    (void) fprintf(a->out, "<path class=\"grid\" d=\"M%s %sV%s\"/>", plot_px(x).text,
                   plot_px(a->top).text, plot_px(a->bottom).text);
    (void) fprintf(a->out, "<path class=\"tick\" d=\"M%s %sv4\"/>", plot_px(x).text,
                   plot_px(a->bottom).text);
    (void) fprintf(a->out, "<text text-anchor=\"middle\" x=\"%s\" y=\"%s\">%s</text>\n",
                   plot_px(fmin(x, PLOT_WIDTH - half)).text, plot_px(a->bottom + 17).text, text);
}

/* The places between decades, without names. */
static void put_small_ticks(const struct plot_area *a)
{
    double decades = log10(a->x.max / a->x.min);

    if (a->x.scale != PLOT_LOG || decades > 5) {
        return;
    }
    for (int power = (int) floor(log10(a->x.min)); pow(10, power) <= a->x.max; power++) {
        for (int digit = 1; digit <= 9; digit++) {
            double value = digit * pow(10, power);

            if (plot_axis_has(&a->x, value)) {
                (void) fprintf(a->out, "<path class=\"tick\" d=\"M%s %sv2.5\"/>",
                               plot_px(plot_axis_px(&a->x, value)).text, plot_px(a->bottom).text);
            }
        }
    }
    (void) fputc('\n', a->out);
}

static void put_x_axis(const struct plot_area *a)
{
    if (a->plot->kind != PLOT_BARS) {
        for (uint32_t i = 0; i < a->x.ticks_count; i++) {
            put_x_tick(a, a->x.ticks[i]);
        }
        put_small_ticks(a);
    }
    if (a->plot->x_title != NULL && a->plot->x_title[0] != '\0') {
        (void) fprintf(a->out, "<text class=\"axis\" text-anchor=\"middle\" x=\"%s\" y=\"%s\">",
                       plot_px((a->left + a->right) / 2).text, plot_px(a->height - 5).text);
        plot_put_clipped(a->out, a->plot->x_title, a->right - a->left, TEXT_SIZE);
        (void) fputs("</text>\n", a->out);
    }
}

static void put_base(const struct plot_area *a)
{
    double zero = a->y.scale == PLOT_LINEAR ? plot_axis_px(&a->y, fmax(0, a->y.min)) : a->bottom;

    (void) fprintf(a->out, "<path class=\"base\" d=\"M%s %sH%s\"/>\n", plot_px(a->left).text,
                   plot_px(fmin(fmax(zero, a->top), a->bottom)).text, plot_px(a->right).text);
}

/* ------------------------------------------------------------------------------------------- */
/* Around the picture */

static void put_key(FILE *out, const struct plot *p, uint32_t series)
{
    const struct plot_series *s = &p->series[series];
    bool hollow = s->dashed || plot_variant(p, series) > 0;

    if (p->kind == PLOT_BARS) {
        (void) fprintf(out,
                       "<svg class=\"key\" width=\"14\" height=\"14\" aria-hidden=\"true\">"
                       "<rect class=\"bar%s\" x=\"0.7\" y=\"0.7\" width=\"12.6\" height=\"12.6\"/>"
                       "<path class=\"%s\" transform=\"translate(7 7)\" d=\"%s\"/>",
                       s->dashed ? " hollow" : "", s->dashed ? "mark" : "sign",
                       plot_marker(s->colour));
    } else {
        int width = p->kind == PLOT_SCATTER ? 12 : 30;

        (void) fprintf(out, "<svg class=\"key\" width=\"%d\" height=\"14\" aria-hidden=\"true\">",
                       width);
        if (p->kind != PLOT_SCATTER) {
            (void) fputs("<path class=\"line\" d=\"M1 7H29\"", out);
            plot_put_dashes(out, p, series);
            (void) fputs("/>", out);
        }
        (void) fprintf(out, "<path class=\"mark%s\" transform=\"translate(%d 7)\" d=\"%s\"/>",
                       hollow ? " hollow" : "", width / 2, plot_marker(s->colour));
    }
    (void) fputs("</svg>", out);
}

static void put_legend(const struct plot *p, FILE *out)
{
    (void) fputs("<ul class=\"legend\">\n", out);
    for (uint32_t s = 0; s < p->series_count; s++) {
        const struct plot_series *series = &p->series[s];
        bool empty = !has_points(p, series);

        (void) fprintf(out, "<li class=\"k%" PRIu32 "%s\"", series->colour, empty ? " empty" : "");
        if (series->replay != NULL) {
            (void) fputs(" title=\"", out);
            page_escape(out, series->replay);
            (void) fputc('"', out);
        }
        (void) fputc('>', out);
        put_key(out, p, s);
        page_escape(out, series->name);
        (void) fputs(empty ? " (no data)</li>\n" : "</li>\n", out);
    }
    (void) fputs("</ul>\n", out);
}

/* What a picture says to who does not see it. */
static void put_description(const struct plot_area *a)
{
    static const char *const kinds[] = {[PLOT_LINE] = "Lines",
                                        [PLOT_STEP] = "Steps",
                                        [PLOT_BARS] = "Bars",
                                        [PLOT_SCATTER] = "Points"};
    const struct plot *p = a->plot;

    (void) fprintf(a->out, "<desc id=\"p%016" PRIx64 "d\">", identity(p));
    if (p->about != NULL) {
        page_escape(a->out, p->about);
        (void) fputc(' ', a->out);
    }
    (void) fputs(kinds[p->kind], a->out);
    for (uint32_t s = 0; s < p->series_count; s++) {
        (void) fputs(s == 0 ? ": " : ", ", a->out);
        page_escape(a->out, p->series[s].name);
    }
    if (p->x_title != NULL && p->y_title != NULL) {
        (void) fputs(". Upward: ", a->out);
        page_escape(a->out, p->y_title);
        (void) fputs("; to the right: ", a->out);
        page_escape(a->out, p->x_title);
    }
    (void) fputs(".</desc>\n", a->out);
}

static void put_picture(const struct plot_area *a)
{
    const struct plot *p = a->plot;

    (void) fprintf(a->out,
                   "<div class=\"scroll\" tabindex=\"0\">\n"
                   "<svg viewBox=\"0 0 %d %s\" role=\"img\" aria-labelledby=\"p%016" PRIx64
                   "t\" aria-describedby=\"p%016" PRIx64 "d\">\n",
                   PLOT_WIDTH, plot_px(a->height).text, identity(p), identity(p));
    put_description(a);
    put_y_axis(a);
    put_x_axis(a);
    if (p->kind == PLOT_BARS) {
        plot_put_bars(a);
        put_base(a);
    } else {
        plot_put_mark_spans(a);
        put_base(a);
        if (p->kind == PLOT_SCATTER) {
            plot_put_scatter(a);
        } else {
            plot_put_lines(a);
        }
        plot_put_mark_labels(a);
    }
    if (!a->any) {
        (void) fprintf(a->out,
                       "<text class=\"axis\" text-anchor=\"middle\" x=\"%s\" y=\"%s\">no "
                       "data</text>\n",
                       plot_px((a->left + a->right) / 2).text,
                       plot_px((a->top + a->bottom) / 2).text);
    }
    (void) fputs("</svg>\n</div>\n", a->out);
}

static void put_marks_list(const struct plot_area *a)
{
    char from[TABLE_NUMBER_MAX];
    char to[TABLE_NUMBER_MAX];

    (void) fprintf(a->out,
                   "<details class=\"more\"><summary>All %" PRIu32 " marks</summary>\n<dl>\n",
                   a->plot->marks_count);
    for (uint32_t i = 0; i < a->plot->marks_count; i++) {
        const struct plot_mark *m = &a->plot->marks[i];

        plot_axis_value(&a->x, m->from, from);
        plot_axis_value(&a->x, m->to, to);
        (void) fprintf(a->out, "<dt>%s%s%s</dt><dd>", from, m->to > m->from ? " to " : "",
                       m->to > m->from ? to : "");
        page_escape(a->out, m->text == NULL ? "" : m->text);
        (void) fputs("</dd>\n", a->out);
    }
    (void) fputs("</dl></details>\n", a->out);
}

static void put_replays(const struct plot *p, FILE *out)
{
    bool any = false;

    for (uint32_t s = 0; s < p->series_count; s++) {
        if (p->series[s].replay == NULL) {
            continue;
        }
        (void) fputs(any ? ""
                         : "<details class=\"more\"><summary>Commands that make this plot "
                           "again</summary>\n<dl>\n",
                     out);
        any = true;
        (void) fputs("<dt>", out);
        page_escape(out, p->series[s].name);
        (void) fputs("</dt><dd><code>", out);
        page_escape(out, p->series[s].replay);
        (void) fputs("</code></dd>\n", out);
    }
    (void) fputs(any ? "</dl></details>\n" : "", out);
}

void plot_svg(const struct plot *p, FILE *out)
{
    struct plot_area a = {.plot = p, .out = out};

    ASSERT(p->title != NULL);
    for (uint32_t s = 0; s < p->series_count; s++) {
        ASSERT(p->series[s].colour < PLOT_COLOURS);
        ASSERT(p->series[s].name != NULL);
    }
    lay_out(&a);
    (void) fprintf(out, "<figure class=\"plot\">\n<figcaption><strong id=\"p%016" PRIx64 "t\">",
                   identity(p));
    page_escape(out, p->title);
    (void) fputs("</strong></figcaption>\n", out);
    put_legend(p, out);
    put_picture(&a);
    if (p->about != NULL) {
        (void) fputs("<p class=\"note\">", out);
        page_prose(out, p->about);
        (void) fputs("</p>\n", out);
    }
    if (p->kind != PLOT_BARS && a.marks_left) {
        put_marks_list(&a);
    }
    put_replays(p, out);
    (void) fputs("</figure>\n", out);
    free(a.mark_row);
}

/*
 * plot_bars.c - grouped bars: the bars, their values, the names of their groups.
 */
#include "tests/compare/plot_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "tests/compare/page.h"

/* Pixels; a share of a group is left empty. */
static const double bar_max = 46;
static const double group_used = 0.8;
static const double value_size = 11;
static const double sign_least = 12; /* smaller bars carry no sign */

static double group_width(const struct plot_area *a)
{
    return (a->right - a->left) / (double) u64_max(a->groups, 1);
}

static double bar_width(const struct plot_area *a)
{
    double width = group_width(a) * group_used / (double) u64_max(a->plot->series_count, 1);

    return fmin(width, bar_max);
}

/* The middle of a bar. */
static double bar_middle(const struct plot_area *a, uint32_t group, uint32_t series)
{
    double offset = (double) series - ((double) a->plot->series_count - 1) / 2;

    return a->left + (group + 0.5) * group_width(a) + offset * bar_width(a);
}

/* The group of a point; a->groups: none. */
static uint32_t group_of(const struct plot_area *a, const struct plot_point *p)
{
    return p->x >= 0 && p->x < a->groups && p->x == floor(p->x) ? (uint32_t) p->x : a->groups;
}

enum plot_values plot_bar_values(const struct plot_area *a)
{
    const struct plot *p = a->plot;
    double room = p->series_count == 1 ? group_width(a) : bar_width(a);
    double widest = 0;
    char text[TABLE_NUMBER_MAX];

    for (uint32_t s = 0; s < p->series_count; s++) {
        for (uint32_t i = 0; i < p->series[s].count; i++) {
            plot_axis_value(&a->y, p->series[s].points[i].y, text);
            widest = fmax(widest, plot_text_width(text, value_size));
        }
    }
    return widest + 3 <= room                 ? PLOT_VALUES_FLAT
           : bar_width(a) >= value_size + 0.5 ? PLOT_VALUES_UPRIGHT
                                              : PLOT_VALUES_NONE;
}

void plot_put_whisker(const struct plot_area *a, double x, const struct plot_point *p)
{
    double low = plot_axis_px(&a->y, p->low);
    double high = plot_axis_px(&a->y, p->high);
    const double cap = 3.5;

    low = isnan(low) ? a->bottom : fmin(fmax(low, a->top), a->bottom);
    high = isnan(high) ? a->top : fmin(fmax(high, a->top), a->bottom);
    /* Twice: light around dark, to be seen on a bar too. */
    for (int i = 0; i < 2; i++) {
        (void) fprintf(a->out, "<path class=\"%s\" d=\"M%s %sH%s", i == 0 ? "halo" : "whisker",
                       plot_px(x - cap).text, plot_px(high).text, plot_px(x + cap).text);
        (void) fprintf(a->out, "M%s %sV%sM%s %sH%s\"/>\n", plot_px(x).text, plot_px(high).text,
                       plot_px(low).text, plot_px(x - cap).text, plot_px(low).text,
                       plot_px(x + cap).text);
    }
}

static void put_value(const struct plot_area *a, double x, double top, const struct plot_point *p)
{
    char text[TABLE_NUMBER_MAX];
    double y = top - 4;

    plot_axis_value(&a->y, p->y, text);
    if (a->values == PLOT_VALUES_NONE && isfinite(p->y)) {
        return;
    }
    if (a->values == PLOT_VALUES_UPRIGHT && isfinite(p->y)) {
        (void) fprintf(a->out,
                       "<text class=\"value\" text-anchor=\"start\" "
                       "transform=\"translate(%s %s)rotate(-90)\">%s</text>\n",
                       plot_px(x + 3.8).text, plot_px(y).text, text);
        return;
    }
    (void) fprintf(a->out,
                   "<text class=\"value\" text-anchor=\"middle\" x=\"%s\" y=\"%s\">%s</text>\n",
                   plot_px(x).text, plot_px(fmax(y, value_size)).text, isnan(p->y) ? "–" : text);
}

static void put_told(const struct plot_area *a, uint32_t group, const struct plot_series *s,
                     const struct plot_point *p)
{
    char text[TABLE_NUMBER_MAX];

    (void) fputs("<title>", a->out);
    if (group < a->plot->groups_count) {
        page_escape(a->out, a->plot->groups[group]);
        (void) fputs(", ", a->out);
    }
    plot_axis_value(&a->y, p->y, text);
    page_escape(a->out, s->name);
    (void) fprintf(a->out, ": %s", text);
    if (plot_has_range(p)) {
        plot_axis_value(&a->y, p->low, text);
        (void) fprintf(a->out, " (%s", text);
        plot_axis_value(&a->y, p->high, text);
        (void) fprintf(a->out, " to %s)", text);
    }
    (void) fputs("</title>", a->out);
}

/* Where a bar ends, within the area; a value that never came goes to the top. */
static double bar_end(const struct plot_area *a, double y)
{
    double px = plot_axis_px(&a->y, y);

    if (isinf(y)) {
        px = y > 0 ? a->top : a->bottom;
    } else if (isnan(px)) {
        px = a->bottom;
    }
    return fmin(fmax(px, a->top), a->bottom);
}

static void put_bar(const struct plot_area *a, uint32_t group, uint32_t series,
                    const struct plot_point *p)
{
    const struct plot_series *s = &a->plot->series[series];
    double middle = bar_middle(a, group, series);
    double width = fmax(bar_width(a) - (bar_width(a) > 6 ? 2 : 0.5), 0.8);
    double base = bar_end(a, a->y.scale == PLOT_LOG ? a->y.min : fmax(0, a->y.min));
    double end = bar_end(a, p->y);
    /* What is there and small is still seen. */
    double height = fmax(fabs(base - end), 1.5);
    double top = fmin(base - (end < base || end == base ? height : 0), a->bottom);

    if (isnan(p->y)) {
        put_value(a, middle, base, p);
        return;
    }
    (void) fprintf(a->out, "<rect class=\"bar%s\" x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\">",
                   s->dashed ? " hollow" : "", plot_px(middle - width / 2).text, plot_px(top).text,
                   plot_px(width).text, plot_px(height).text);
    put_told(a, group, s, p);
    (void) fputs("</rect>\n", a->out);
    if (width >= sign_least && end < base && height >= 2 * sign_least) {
        (void) fprintf(a->out, "<path class=\"%s\" transform=\"translate(%s %s)\" d=\"%s\"/>\n",
                       s->dashed ? "mark" : "sign", plot_px(middle).text, plot_px(base - 9).text,
                       plot_marker(s->colour));
    }
    if (plot_has_range(p)) {
        plot_put_whisker(a, middle, p);
        top = fmin(top, bar_end(a, p->high));
    }
    put_value(a, middle, top, p);
}

/* ------------------------------------------------------------------------------------------- */
/* Names of groups */

enum { NAME_LINES = 3, NAME_MAX = 96 };

/* Takes words that fit into the width from *text; false: none are left. */
static bool take_words(const char **text, double width, char line[NAME_MAX])
{
    size_t used = 0;

    while (**text == ' ') {
        (*text)++;
    }
    if (**text == '\0') {
        return false;
    }
    for (;;) {
        size_t end = used + (used > 0);

        while ((*text)[end] != '\0' && (*text)[end] != ' ' && end + 1 < NAME_MAX) {
            end++;
        }
        memcpy(line, *text, end);
        line[end] = '\0';
        if (used > 0 && plot_text_width(line, 12) > width) {
            break;
        }
        used = end;
        if ((*text)[used] == '\0' || end + 1 >= NAME_MAX) {
            break;
        }
    }
    line[used] = '\0';
    *text += used;
    return true;
}

void plot_names_place(struct plot_area *a)
{
    double width = group_width(a) - 4;
    char line[NAME_MAX];

    a->slanted = false;
    a->name_lines = 1;
    for (uint32_t g = 0; g < a->groups && g < a->plot->groups_count; g++) {
        const char *rest = a->plot->groups[g];
        uint32_t lines = 0;

        while (take_words(&rest, width, line)) {
            lines++;
            a->slanted = a->slanted || plot_text_width(line, 12) > width;
        }
        a->name_lines = (uint32_t) u64_max(a->name_lines, lines);
    }
    a->slanted = a->slanted || a->name_lines > NAME_LINES;
}

double plot_names_height(const struct plot_area *a)
{
    double widest = 0;

    if (!a->slanted) {
        return 6 + 14 * (double) a->name_lines;
    }
    for (uint32_t g = 0; g < a->groups && g < a->plot->groups_count; g++) {
        widest = fmax(widest, plot_text_width(a->plot->groups[g], 12));
    }
    return 14 + fmin(widest, 150) * 0.6;
}

static void put_name(const struct plot_area *a, uint32_t group)
{
    double x = a->left + (group + 0.5) * group_width(a);
    const char *rest = a->plot->groups[group];
    char line[NAME_MAX];
    uint32_t number = 0;

    if (a->slanted) {
        double room = fmin(150, (x - 4) / 0.8);

        (void) fprintf(a->out,
                       "<text class=\"name\" text-anchor=\"end\" "
                       "transform=\"translate(%s %s)rotate(-36)\"><title>",
                       plot_px(x + 4).text, plot_px(a->bottom + 14).text);
        page_escape(a->out, rest);
        (void) fputs("</title>", a->out);
        plot_put_clipped(a->out, rest, room, 12);
        (void) fputs("</text>\n", a->out);
        return;
    }
    while (take_words(&rest, group_width(a) - 4, line)) {
        (void) fprintf(a->out, "<text class=\"name\" text-anchor=\"middle\" x=\"%s\" y=\"%s\">",
                       plot_px(x).text, plot_px(a->bottom + 16 + 14 * number).text);
        page_escape(a->out, line);
        (void) fputs("</text>\n", a->out);
        number++;
    }
}

void plot_put_bars(const struct plot_area *a)
{
    for (uint32_t s = 0; s < a->plot->series_count; s++) {
        const struct plot_series *series = &a->plot->series[s];

        (void) fprintf(a->out, "<g class=\"k%" PRIu32 "\">\n", series->colour);
        for (uint32_t i = 0; i < series->count; i++) {
            uint32_t group = group_of(a, &series->points[i]);

            if (group < a->groups) {
                put_bar(a, group, s, &series->points[i]);
            }
        }
        (void) fputs("</g>\n", a->out);
    }
    for (uint32_t g = 0; g < a->groups && g < a->plot->groups_count; g++) {
        put_name(a, g);
    }
}

/*
 * plot_marks.c - stretches and moments of the x axis: shades behind the data, labels above it.
 *
 * Labels stand right of the line of their mark, in rows from the top, each in the first row where
 * its line does not run down through a label. Of many marks that say the same the first is
 * labelled.
 */
#include "tests/compare/plot_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/compare/page.h"

static const double size = 11;
static const double gap = 8;
static const double widest = 190;

enum { ALL_LABELLED = 10 };

struct place {
    double from, to; /* of the label */
    bool before;     /* it ends at the line */
    bool clipped;
};

static double mark_px(const struct plot_area *a, double value)
{
    double px = plot_axis_px(&a->x, value);

    if (isnan(px)) {
        px = value > 0 ? a->right : a->left;
    }
    return fmin(fmax(px, a->left), a->right);
}

static bool in_sight(const struct plot_area *a, const struct plot_mark *m)
{
    return m->to >= a->x.min && m->from <= a->x.max;
}

static struct place place_of(const struct plot_area *a, const struct plot_mark *m)
{
    double from = mark_px(a, m->from);
    double whole = plot_text_width(m->text, size);
    double width = fmin(whole, widest);
    struct place p = {.from = from + 4, .to = from + 4 + width, .clipped = whole > widest};

    if (p.to > PLOT_WIDTH) {
        p = (struct place){.from = from - 4 - width,
                           .to = from - 4,
                           .before = true,
                           .clipped = whole > widest};
    }
    return p;
}

/* The numbers of marks by where they begin; in the caller's order when that is equal. */
static uint32_t *sorted_marks(const struct plot *p)
{
    uint32_t *order = xcalloc(p->marks_count, sizeof(*order));

    for (uint32_t i = 0; i < p->marks_count; i++) {
        uint32_t at = i;

        while (at > 0 && p->marks[order[at - 1]].from > p->marks[i].from) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
    return order;
}

/* Whether a label fits into a row, and its line past the rows below. */
static bool row_is_free(const double *ends, uint32_t row, const struct place *p)
{
    double line = p->before ? p->to + 4 : p->from - 4;

    for (uint32_t below = row + 1; below < PLOT_MARK_ROWS; below++) {
        if (ends[below] + 1 > line) {
            return false;
        }
    }
    return ends[row] + gap <= p->from;
}

static bool said_before(const struct plot *p, const uint32_t *order, uint32_t place)
{
    const char *text = p->marks[order[place]].text;

    for (uint32_t i = 0; i < place && text != NULL; i++) {
        const char *other = p->marks[order[i]].text;

        if (other != NULL && strcmp(other, text) == 0) {
            return true;
        }
    }
    return false;
}

void plot_marks_place(struct plot_area *a)
{
    const struct plot *p = a->plot;
    uint32_t *order = sorted_marks(p);
    double ends[PLOT_MARK_ROWS];

    for (uint32_t row = 0; row < PLOT_MARK_ROWS; row++) {
        ends[row] = -INFINITY;
    }
    a->mark_row = xcalloc(p->marks_count, sizeof(*a->mark_row));
    a->mark_rows = 0;
    a->marks_left = false;
    for (uint32_t i = 0; i < p->marks_count; i++) {
        const struct plot_mark *m = &p->marks[order[i]];
        struct place place = place_of(a, m);
        uint8_t row = 0;

        while (row < PLOT_MARK_ROWS && !row_is_free(ends, row, &place)) {
            row++;
        }
        if (p->marks_count > ALL_LABELLED && said_before(p, order, i)) {
            row = PLOT_MARK_ROWS;
        }
        if (!in_sight(a, m) || m->text == NULL || m->text[0] == '\0') {
            row = PLOT_MARK_ROWS;
        } else if (row == PLOT_MARK_ROWS || place.clipped) {
            a->marks_left = true;
        }
        a->mark_row[order[i]] = row;
        if (row < PLOT_MARK_ROWS) {
            ends[row] = place.to;
            a->mark_rows = (uint32_t) u64_max(a->mark_rows, row + 1u);
        }
    }
    free(order);
}

/* The line under the text of a row. */
static double row_bottom(const struct plot_area *a, uint32_t row)
{
    return a->top - PLOT_MARK_HEIGHT * (double) (a->mark_rows - row - 1) - 4;
}

void plot_put_mark_spans(const struct plot_area *a)
{
    for (uint32_t i = 0; i < a->plot->marks_count; i++) {
        const struct plot_mark *m = &a->plot->marks[i];
        double from = mark_px(a, m->from);
        double to = mark_px(a, m->to);
        double top = a->mark_row[i] < PLOT_MARK_ROWS ? row_bottom(a, a->mark_row[i]) - 9 : a->top;

        if (!in_sight(a, m)) {
            continue;
        }
        if (m->to > m->from) {
            (void) fprintf(a->out, "<rect class=\"span\" x=\"%s\" y=\"%s\" width=\"%s\" ",
                           plot_px(from).text, plot_px(a->top).text,
                           plot_px(fmax(to - from, 1)).text);
            (void) fprintf(a->out, "height=\"%s\"><title>", plot_px(a->bottom - a->top).text);
            page_escape(a->out, m->text == NULL ? "" : m->text);
            (void) fputs("</title></rect>\n", a->out);
        }
        if (m->to > m->from && a->mark_row[i] == PLOT_MARK_ROWS) {
            continue; /* its edge is enough */
        }
        (void) fprintf(a->out, "<path class=\"moment\" d=\"M%s %sV%s\"/>\n", plot_px(from).text,
                       plot_px(top).text, plot_px(a->bottom).text);
    }
}

void plot_put_mark_labels(const struct plot_area *a)
{
    for (uint32_t i = 0; i < a->plot->marks_count; i++) {
        const struct plot_mark *m = &a->plot->marks[i];
        struct place place;

        if (a->mark_row[i] == PLOT_MARK_ROWS) {
            continue;
        }
        place = place_of(a, m);
        (void) fprintf(a->out, "<text class=\"label\" x=\"%s\" y=\"%s\"%s>",
                       plot_px(place.before ? place.to : place.from).text,
                       plot_px(row_bottom(a, a->mark_row[i])).text,
                       place.before ? " text-anchor=\"end\"" : "");
        plot_put_clipped(a->out, m->text, widest, size);
        (void) fputs("</text>\n", a->out);
    }
}

/*
 * plot_internal.h - what the files of plot.h share: axes, pixels, markers.
 *
 * Pixels are those of the viewBox, from the upper left corner.
 */
#ifndef SYNOD_TESTS_COMPARE_PLOT_INTERNAL_H
#define SYNOD_TESTS_COMPARE_PLOT_INTERNAL_H

#include "tests/compare/plot.h"
#include "tests/compare/table.h"

enum { PLOT_TICKS_MAX = 13, PLOT_MARK_ROWS = 4, PLOT_MARK_HEIGHT = 15 };

struct plot_axis {
    double min, max;
    double from, to; /* their pixels */
    enum plot_scale scale;
    bool time;
    double ticks[PLOT_TICKS_MAX];
    uint32_t ticks_count;
};

/* How the values of bars are written above them. */
enum plot_values { PLOT_VALUES_FLAT, PLOT_VALUES_UPRIGHT, PLOT_VALUES_NONE };

struct plot_area {
    const struct plot *plot;
    FILE *out;
    struct plot_axis x, y;
    double left, right, top, bottom; /* of what the axes span */
    double height;                   /* of the picture */
    bool any;                        /* there is a point to draw */
    uint32_t groups;                 /* BARS */
    enum plot_values values;
    bool slanted;        /* names of groups */
    uint32_t name_lines; /* of them, when they are not */
    uint32_t mark_rows;  /* of labels above the area */
    uint8_t *mark_row;   /* of each mark; PLOT_MARK_ROWS: not labelled */
    bool marks_left;     /* there is one at least whose text is not shown whole */
};

/* A number of pixels as SVG wants it, with one decimal in every locale. Valid to the end of the
 * full expression. */
struct plot_pixel {
    char text[32];
};
struct plot_pixel plot_px(double value);

/* Width of text of about this size, and its first characters with a sign that there are more. */
double plot_text_width(const char *text, double size);
void plot_put_clipped(FILE *out, const char *text, double width, double size);

/* Axes: from the points, then with what the caller of plot_svg demands, then ticks. */
void plot_axis_x(struct plot_area *a);
void plot_axis_y(struct plot_area *a);
/* The pixel of a value; NAN: it has none. At most far outside. */
double plot_axis_px(const struct plot_axis *axis, double value);
bool plot_axis_has(const struct plot_axis *axis, double value);
void plot_axis_label(const struct plot_axis *axis, double value, char text[TABLE_NUMBER_MAX]);
/* A value of this axis, as a person reads it. */
void plot_axis_value(const struct plot_axis *axis, double value, char text[TABLE_NUMBER_MAX]);

/* Where a series has a band or whisker at a point. */
bool plot_has_range(const struct plot_point *p);
/* How many series before this one would look the same. */
uint32_t plot_variant(const struct plot *p, uint32_t series);
/* The shape of the sign of a colour, around 0 0. */
const char *plot_marker(uint32_t shape);
void plot_put_dashes(FILE *out, const struct plot *p, uint32_t series);

void plot_put_lines(const struct plot_area *a); /* LINE, STEP */
void plot_put_scatter(const struct plot_area *a);
void plot_put_bars(const struct plot_area *a);
enum plot_values plot_bar_values(const struct plot_area *a); /* which way they fit */
void plot_names_place(struct plot_area *a);                  /* of groups: how they fit */
double plot_names_height(const struct plot_area *a);
void plot_put_whisker(const struct plot_area *a, double x, const struct plot_point *p);

/* Marks: gives rows to labels, draws spans behind the data and labels above it. mark_row is made
 * here and owned by the caller. */
void plot_marks_place(struct plot_area *a);
void plot_put_mark_spans(const struct plot_area *a);
void plot_put_mark_labels(const struct plot_area *a);

#endif

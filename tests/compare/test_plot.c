/*
 * test_plot.c - ticks, and what of its points a plot draws. Pixels are read from the SVG.
 */
#include "tests/compare/plot.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

enum { POINTS = 20000 };

static char *draw(const struct plot *p)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    char *copy;

    if (out == NULL) {
        return xstrdup("");
    }
    plot_svg(p, out);
    (void) fclose(out);
    copy = xstrdup(text);
    free(text);
    return copy;
}

static uint32_t times(const char *text, const char *part)
{
    uint32_t count = 0;

    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

/* What stands between `before` and the next quote. */
static char *attribute(const char *text, const char *before)
{
    const char *from = strstr(text, before);
    const char *to;

    if (from == NULL) {
        return xstrdup("");
    }
    from += strlen(before);
    to = strchr(from, '"');
    return strndup(from, (size_t) (to - from));
}

static struct plot plot_of(enum plot_kind kind, const struct plot_series *series, uint32_t count)
{
    return (struct plot){.title = "A title",
                         .x_title = "to the right",
                         .y_title = "upward",
                         .kind = kind,
                         .series = series,
                         .series_count = count,
                         .x_min = NAN,
                         .x_max = NAN,
                         .y_min = NAN,
                         .y_max = NAN};
}

static struct plot_point point(double x, double y)
{
    return (struct plot_point){.x = x, .y = y, .low = NAN, .high = NAN};
}

/* ------------------------------------------------------------------------------------------- */

static void ticks_are(double min, double max, enum plot_scale scale, bool time, uint32_t ticks_max,
                      const double *expected, uint32_t count)
{
    double ticks[16];

    assert_int_equal(plot_ticks(min, max, scale, time, ticks, ticks_max), count);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(ticks[i] == expected[i]);
    }
}

#define TICKS_ARE(min, max, scale, time, ticks_max, ...)                                           \
    ticks_are(min, max, scale, time, ticks_max, (const double[]){__VA_ARGS__},                     \
              ARRAY_SIZE(((const double[]){__VA_ARGS__})))

static void test_plot_ticks_are_round_numbers(void **state)
{
    (void) state;
    TICKS_ARE(0, 1, PLOT_LINEAR, false, 6, 0, 0.2, 0.4, 0.6, 0.8, 1);
    TICKS_ARE(0, 1, PLOT_LINEAR, false, 5, 0, 0.5, 1);
    TICKS_ARE(0.1, 0.3, PLOT_LINEAR, false, 5, 0.1, 0.15, 0.2, 0.25, 0.3);
    TICKS_ARE(-3, 17, PLOT_LINEAR, false, 6, 0, 5, 10, 15);
    TICKS_ARE(0, 123456, PLOT_LINEAR, false, 4, 0, 50000, 100000);
    TICKS_ARE(1e-7, 3e-7, PLOT_LINEAR, false, 3, 1e-7, 2e-7, 3e-7);
}

static void test_plot_ticks_of_times_are_seconds_and_minutes(void **state)
{
    const double s = 1e6;

    (void) state;
    TICKS_ARE(0, 50000, PLOT_LINEAR, true, 6, 0, 10000, 20000, 30000, 40000, 50000);
    TICKS_ARE(0, 61 * s, PLOT_LINEAR, true, 7, 0, 10 * s, 20 * s, 30 * s, 40 * s, 50 * s, 60 * s);
    TICKS_ARE(0, 61 * s, PLOT_LINEAR, true, 6, 0, 20 * s, 40 * s, 60 * s);
    TICKS_ARE(0, 100 * s, PLOT_LINEAR, true, 4, 0, 30 * s, 60 * s, 90 * s);
    TICKS_ARE(0, 240 * s, PLOT_LINEAR, true, 5, 0, 60 * s, 120 * s, 180 * s, 240 * s);
    TICKS_ARE(0, 7200 * s, PLOT_LINEAR, true, 5, 0, 1800 * s, 3600 * s, 5400 * s, 7200 * s);
    TICKS_ARE(0, 86400 * s, PLOT_LINEAR, true, 3, 0, 36000 * s, 72000 * s);
}

static void test_plot_ticks_of_logarithms_are_1_2_5_then_decades(void **state)
{
    (void) state;
    TICKS_ARE(1, 10, PLOT_LOG, false, 6, 1, 2, 5, 10);
    TICKS_ARE(0.1, 3, PLOT_LOG, false, 6, 0.1, 0.2, 0.5, 1, 2);
    TICKS_ARE(1, 10000, PLOT_LOG, false, 6, 1, 10, 100, 1000, 10000);
    TICKS_ARE(1, 1e9, PLOT_LOG, false, 6, 1, 100, 10000, 1e6, 1e8);
    TICKS_ARE(150000, 513000, PLOT_LOG, true, 6, 200000, 500000);
    /* Within less than half a decade, equal steps. */
    TICKS_ARE(11, 14, PLOT_LOG, false, 8, 11, 12, 13, 14);
    TICKS_ARE(85000, 280000, PLOT_LOG, true, 10, 100000, 150000, 200000, 250000);
}

static void test_plot_ticks_of_no_range_are_none(void **state)
{
    double ticks[4];

    (void) state;
    assert_int_equal(plot_ticks(1, 1, PLOT_LINEAR, false, ticks, 4), 0);
    assert_int_equal(plot_ticks(2, 1, PLOT_LINEAR, false, ticks, 4), 0);
    assert_int_equal(plot_ticks(NAN, 1, PLOT_LINEAR, false, ticks, 4), 0);
    assert_int_equal(plot_ticks(0, INFINITY, PLOT_LINEAR, false, ticks, 4), 0);
    assert_int_equal(plot_ticks(0, 10, PLOT_LOG, false, ticks, 4), 0);
}

static void test_plot_ticks_never_exceed_their_number(void **state)
{
    double ticks[12];

    (void) state;
    for (uint32_t most = 1; most <= 12; most++) {
        for (int power = -30; power < 30; power++) {
            for (double width = 1.01; width < 1e6; width *= 1.7) {
                double min = 1.3 * pow(10, power);
                enum plot_scale scale = power % 2 == 0 ? PLOT_LINEAR : PLOT_LOG;
                uint32_t count = plot_ticks(min, min * width, scale, true, ticks, most);

                assert_true(count <= most);
                for (uint32_t i = 0; i < count; i++) {
                    assert_true(ticks[i] >= min * (1 - 1e-6));
                    assert_true(ticks[i] <= min * width * (1 + 1e-6));
                    assert_true(i == 0 || ticks[i] > ticks[i - 1]);
                }
            }
        }
    }
}

/* ------------------------------------------------------------------------------------------- */

static void test_plot_cdf_ends_at_the_share_that_ended(void **state)
{
    static const double sorted[] = {1, 2, 2, 5};
    static const double never[] = {1, 2, INFINITY, INFINITY};
    struct plot_point points[8];

    (void) state;
    assert_int_equal(plot_cdf(sorted, 4, points, 8), 4);
    assert_true(points[0].x == 1 && points[0].y == 0);
    assert_true(points[1].x == 1 && points[1].y == 0.25);
    assert_true(points[2].x == 2 && points[2].y == 0.75);
    assert_true(points[3].x == 5 && points[3].y == 1 && isnan(points[3].low));
    assert_int_equal(plot_cdf(sorted, 0, points, 8), 0);
    /* What never ended has no place: the line ends below 1. */
    assert_int_equal(plot_cdf(never, 4, points, 8), 3);
    assert_true(points[2].x == 2 && points[2].y == 0.5);
    assert_int_equal(plot_cdf(&never[2], 2, points, 8), 0);
}

static void test_plot_cdf_is_thinned_and_keeps_its_ends(void **state)
{
    double *sorted = xcalloc(POINTS, sizeof(*sorted));
    struct plot_point points[100];
    uint32_t count;

    (void) state;
    for (uint32_t i = 0; i < POINTS; i++) {
        sorted[i] = i + 1;
    }
    count = plot_cdf(sorted, POINTS, points, 100);
    assert_int_equal(count, 100);
    assert_true(points[0].x == 1 && points[0].y == 0);
    assert_true(points[99].x == POINTS && points[99].y == 1);
    for (uint32_t i = 1; i < count; i++) {
        /* Exact where it has a point. */
        assert_true(points[i].y == points[i].x / POINTS);
        assert_true(points[i].y > points[i - 1].y);
    }
    assert_int_equal(plot_cdf(sorted, POINTS, points, 2), 2);
    assert_true(points[1].y == 1);
    free(sorted);
}

/* ------------------------------------------------------------------------------------------- */

static void test_plot_svg_is_the_same_twice(void **state)
{
    struct plot_point points[] = {point(1, 2), point(2, 3), point(3, NAN), point(4, 1)};
    struct plot_series series = {.name = "raft", .points = points, .count = 4};
    struct plot p = plot_of(PLOT_LINE, &series, 1);
    char *one = draw(&p);
    char *two = draw(&p);

    (void) state;
    assert_string_equal(one, two);
    free(one);
    free(two);
}

static void test_plot_line_is_broken_by_nan_and_lone_points_are_seen(void **state)
{
    struct plot_point points[200];
    struct plot_series series = {.name = "raft", .points = points, .count = 200};
    struct plot p = plot_of(PLOT_LINE, &series, 1);
    char *text;
    char *line;

    (void) state;
    for (uint32_t i = 0; i < 200; i++) {
        points[i] = point(i, i == 100 || i == 102 ? (double) NAN : (double) i);
    }
    text = draw(&p);
    line = attribute(strstr(text, "viewBox=\"0 0"), "<path class=\"line\" d=\"");
    assert_int_equal(times(line, "M"), 3);
    assert_int_equal(times(line, "L"), 200 - 2 - 3);
    assert_null(strstr(text, "nan"));
    assert_non_null(strstr(text, "raft: 101, 101</title>"));
    free(line);
    free(text);
}

static void test_plot_step_goes_right_then_up(void **state)
{
    struct plot_point points[] = {point(0, 0), point(1, 0.5), point(2, 1)};
    struct plot_series series = {.name = "raft", .points = points, .count = 3};
    struct plot p = plot_of(PLOT_STEP, &series, 1);
    char *text = draw(&p);
    char *line = attribute(strstr(text, "viewBox=\"0 0"), "<path class=\"line\" d=\"");
    const char *h = strchr(line, 'H');

    (void) state;
    assert_true(line[0] == 'M');
    assert_non_null(h);
    assert_true(h < strchr(line, 'V'));
    assert_int_equal(times(line, "H"), 2);
    assert_int_equal(times(line, "V"), 2);
    assert_int_equal(times(line, "L"), 0);
    free(line);
    free(text);
}

static void test_plot_long_series_is_thinned_and_keeps_extremes(void **state)
{
    struct plot_point *points = xcalloc(POINTS, sizeof(*points));
    struct plot_series series = {.name = "raft", .points = points, .count = POINTS};
    struct plot p = plot_of(PLOT_LINE, &series, 1);
    char *text;
    char *line;

    (void) state;
    for (uint32_t i = 0; i < POINTS; i++) {
        double y = i == 12345 ? 100 : i == 5010 ? 0 : 10 + i % 7;

        points[i] = (struct plot_point){i, y, i % 7, i % 7 + 1};
    }
    p.y_min = 0;
    p.y_max = 100;
    text = draw(&p);
    line = attribute(strstr(text, "viewBox=\"0 0"), "<path class=\"line\" d=\"");
    assert_true(times(line, "L") < 4 * PLOT_WIDTH);
    assert_int_equal(times(line, " 28L"), 1);  /* the top of the area: 100 */
    assert_int_equal(times(line, " 260L"), 1); /* the bottom: 0 */
    free(line);
    line = attribute(text, "<path class=\"band\" d=\"");
    assert_true(times(line, "L") < 4 * PLOT_WIDTH);
    free(line);
    p.kind = PLOT_SCATTER;
    free(text);
    text = draw(&p);
    assert_true(times(text, "class=\"mark") < 8 * PLOT_WIDTH);
    free(text);
    free(points);
}

static void test_plot_points_outside_are_clipped(void **state)
{
    struct plot_point points[] = {point(-1e300, 5), point(5, 5), point(6, 1e300), point(7, 5)};
    struct plot_series series = {.name = "raft", .points = points, .count = 4};
    struct plot p = plot_of(PLOT_LINE, &series, 1);
    char *text;

    (void) state;
    p.x_min = 0;
    p.x_max = 10;
    p.y_min = 0;
    p.y_max = 10;
    text = draw(&p);
    /* Within a picture of the size of the area; signs for what is inside. */
    assert_int_equal(times(text, "<svg x="), 1);
    assert_int_equal(times(text, "raft: "), 2);
    assert_int_equal(times(text, "M-20000 "), 1);
    assert_int_equal(times(text, " -20000L"), 1);
    assert_null(strstr(text, "e+"));
    assert_null(strstr(text, "inf"));
    free(text);
}

static void test_plot_without_data_says_so(void **state)
{
    struct plot_point points[] = {point(1, NAN)};
    struct plot_series series[] = {{.name = "raft"},
                                   {.name = "pax<os>", .points = points, .count = 1, .colour = 2}};
    struct plot p = plot_of(PLOT_LINE, series, 2);
    char *text;

    (void) state;
    for (int kind = PLOT_LINE; kind <= PLOT_SCATTER; kind++) {
        for (int scale = PLOT_LINEAR; scale <= PLOT_LOG; scale++) {
            p.kind = (enum plot_kind) kind;
            p.x_scale = (enum plot_scale) scale;
            p.y_scale = (enum plot_scale) scale;
            text = draw(&p);
            assert_non_null(strstr(text, "raft (no data)</li>"));
            assert_non_null(strstr(text, "pax&lt;os&gt; (no data)</li>"));
            assert_non_null(strstr(text, ">no data</text>"));
            assert_null(strstr(text, "nan"));
            free(text);
        }
    }
    p.series_count = 0;
    text = draw(&p);
    assert_non_null(strstr(text, ">no data</text>"));
    free(text);
}

static void test_plot_one_point_is_seen_with_its_whisker(void **state)
{
    struct plot_point points[] = {{5, 7, 6, 9}};
    struct plot_series series = {.name = "raft", .points = points, .count = 1};
    struct plot p = plot_of(PLOT_LINE, &series, 1);
    char *text = draw(&p);

    (void) state;
    assert_non_null(strstr(text, "raft: 5, 7</title>"));
    assert_int_equal(times(text, "class=\"whisker\""), 1);
    assert_int_equal(times(text, "class=\"band\""), 0);
    free(text);
}

static void test_plot_band_is_broken_where_there_is_none(void **state)
{
    struct plot_point points[] = {{1, 2, 1, 3}, {2, 2, 1, 3},   {3, 2, NAN, NAN},
                                  {4, 2, 1, 3}, {5, NAN, 1, 3}, {6, 2, 1.5, 3},
                                  {7, 2, 0, 3}, {8, 2, 1.5, 30}};
    struct plot_series series = {.name = "raft", .points = points, .count = ARRAY_SIZE(points)};
    struct plot p = plot_of(PLOT_LINE, &series, 1);
    char *text;
    char *band;

    (void) state;
    p.y_scale = PLOT_LOG; /* low 0 has no place: the band goes to the bottom */
    text = draw(&p);
    assert_int_equal(times(text, "class=\"band\""), 2);
    assert_int_equal(times(text, "class=\"whisker\""), 1);
    band = attribute(strstr(text, "class=\"whisker\""), "<path class=\"band\" d=\"");
    assert_int_equal(times(band, " 260"), 1);
    free(band);
    assert_null(strstr(text, "nan"));
    free(text);
}

static void test_plot_band_of_steps_has_their_corners(void **state)
{
    struct plot_point points[] = {{0, 1, 0.5, 2}, {1, 2, 1, 3}, {2, 4, 3, 5}};
    struct plot_series series = {.name = "raft", .points = points, .count = 3};
    struct plot p = plot_of(PLOT_STEP, &series, 1);
    char *text = draw(&p);
    char *band = attribute(text, "<path class=\"band\" d=\"");
    double x[16];
    double y[16];
    uint32_t count = 0;

    (void) state;
    for (const char *at = strpbrk(band, "ML"); at != NULL; at = strpbrk(at + 1, "ML")) {
        assert_true(count < 16);
        assert_int_equal(sscanf(at + 1, "%lf %lf", &x[count], &y[count]), 2);
        assert_true(count == 0 || x[count] == x[count - 1] || y[count] == y[count - 1]);
        count++;
    }
    assert_int_equal(count, 10);
    /* Above: right, then up; where the second begins the first still holds. */
    assert_true(y[1] == y[0] && x[1] > x[0] && y[2] < y[1]);
    free(band);
    free(text);
}

static void test_plot_bars_have_values_and_names(void **state)
{
    static const char *const groups[] = {"quorum loss", "a & b"};
    struct plot_point raft[] = {{0, 364000, 300000, 420000}, {1, NAN, NAN, NAN}};
    struct plot_point paxos[] = {{0, 0, NAN, NAN}, {1, INFINITY, NAN, NAN}, {7, 1, NAN, NAN}};
    struct plot_series series[] = {
        {.name = "raft", .points = raft, .count = 2},
        {.name = "paxos", .points = paxos, .count = 3, .colour = 2, .dashed = true}};
    struct plot p = plot_of(PLOT_BARS, series, 2);
    char *text;

    (void) state;
    p.groups = groups;
    p.groups_count = 2;
    p.y_time = true;
    for (int scale = PLOT_LINEAR; scale <= PLOT_LOG; scale++) {
        p.y_scale = (enum plot_scale) scale;
        text = draw(&p);
        /* No bar for what is missing or belongs to no group; one for what never came. */
        assert_int_equal(times(text, "<title>"), 3);
        assert_non_null(strstr(text, "quorum loss, raft: 364 ms (300 ms to 420 ms)</title>"));
        assert_non_null(strstr(text, ">364 ms</text>"));
        assert_non_null(strstr(text, ">0 s</text>"));
        assert_non_null(strstr(text, ">∞</text>"));
        assert_non_null(strstr(text, ">–</text>"));
        assert_non_null(strstr(text, ">a &amp; b</text>"));
        assert_int_equal(times(text, "class=\"whisker\""), 1);
        free(text);
    }
}

static void test_plot_bars_below_zero_hang_from_it(void **state)
{
    struct plot_point points[] = {point(0, 10), point(1, -10)};
    struct plot_series series = {.name = "raft", .points = points, .count = 2};
    struct plot p = plot_of(PLOT_BARS, &series, 1);
    char *text = draw(&p);
    const char *bar = strstr(strstr(text, "viewBox=\"0 0"), "<rect");
    double y[2];
    double height[2];

    (void) state;
    for (uint32_t i = 0; i < 2; i++) {
        char *of_y = attribute(bar, " y=\"");
        char *of_height = attribute(bar, " height=\"");

        y[i] = strtod(of_y, NULL);
        height[i] = strtod(of_height, NULL);
        free(of_y);
        free(of_height);
        bar = strstr(bar + 1, "<rect");
    }
    assert_true(fabs(y[0] + height[0] - y[1]) < 0.2);
    assert_true(fabs(height[0] - height[1]) < 0.2);
    free(text);
}

static void test_plot_bars_too_narrow_stand_values_upright_or_leave_them(void **state)
{
    struct plot_point points[100];
    struct plot_series series = {.name = "raft", .points = points, .count = 20};
    struct plot p = plot_of(PLOT_BARS, &series, 1);
    char *text;

    (void) state;
    for (uint32_t i = 0; i < 100; i++) {
        points[i] = point(i, 1234567);
    }
    text = draw(&p);
    assert_int_equal(times(text, "rotate(-90)\">1,234,567</text>"), 20);
    free(text);
    series.count = 100;
    text = draw(&p);
    assert_int_equal(times(text, ">1,234,567</text>"), 0);
    assert_int_equal(times(text, "raft: 1,234,567</title>"), 100);
    free(text);
}

static void test_plot_names_too_long_are_slanted(void **state)
{
    static const char *const shorts[] = {"one two three", "four"};
    static const char *const longs[] = {
        "a-word-that-is-much-too-long-to-stand-below-its-group-of-bars", "b", "c", "d", "e"};
    struct plot_point points[] = {point(0, 1), point(1, 2)};
    struct plot_series series = {.name = "raft", .points = points, .count = 2};
    struct plot p = plot_of(PLOT_BARS, &series, 1);
    char *text;

    (void) state;
    p.groups = shorts;
    p.groups_count = 2;
    text = draw(&p);
    assert_non_null(strstr(text, ">one two three</text>"));
    assert_null(strstr(text, "rotate(-36)"));
    free(text);
    p.groups = longs;
    p.groups_count = 5;
    text = draw(&p);
    assert_int_equal(times(text, "rotate(-36)"), 5);
    assert_non_null(strstr(text, "…</text>"));
    assert_non_null(strstr(text, "<title>a-word-that-is-much-too-long-to-stand-below-its-group-of-"
                                 "bars</title>"));
    free(text);
}

struct span {
    double from, to, y;
};

/* The labels of marks, as they are drawn; widths as generous as a wide font. */
static uint32_t read_labels(const char *text, struct span *spans, uint32_t max)
{
    uint32_t count = 0;

    for (const char *at = strstr(text, "class=\"label\""); at != NULL && count < max;
         at = strstr(at + 1, "class=\"label\"")) {
        char *x = attribute(at, "x=\"");
        char *y = attribute(at, "y=\"");
        const char *from = strchr(at, '>') + 1;
        double width = 5.5 * (double) (strchr(from, '<') - from);
        const char *anchor = strstr(at, "text-anchor=\"end\"");
        bool end = anchor != NULL && anchor < from;

        spans[count].from = strtod(x, NULL) - (end ? width : 0);
        spans[count].to = spans[count].from + width;
        spans[count].y = strtod(y, NULL);
        count++;
        free(x);
        free(y);
    }
    return count;
}

/* Whether the line of a mark runs through a label. */
static bool lines_cross_labels(const char *text, const struct span *spans, uint32_t count)
{
    static const char before[] = "class=\"moment\" d=\"";

    for (const char *at = strstr(text, before); at != NULL; at = strstr(at + 1, before)) {
        double x = 0;
        double top = 0;

        (void) sscanf(at + strlen(before), "M%lf %lf", &x, &top);
        for (uint32_t i = 0; i < count; i++) {
            if (spans[i].y > top && x > spans[i].from && x < spans[i].to) {
                return true;
            }
        }
    }
    return false;
}

static void test_plot_labels_of_marks_do_not_overlap(void **state)
{
    struct plot_point points[] = {point(0, 1), point(100, 2)};
    struct plot_series series = {.name = "raft", .points = points, .count = 2};
    struct plot_mark marks[] = {{10, 30, "cut 1 and 2 from the rest"},
                                {11, 11, "crash 3"},
                                {12, 12, "restart 3"},
                                {50, 50, "crash 3"},
                                {99, 99, "power-loss of all nodes"},
                                {9, 9, "an earlier one, which is listed later"}};
    struct plot p = plot_of(PLOT_LINE, &series, 1);
    struct span spans[16];
    uint32_t count;
    char *text;

    (void) state;
    p.marks = marks;
    p.marks_count = ARRAY_SIZE(marks);
    text = draw(&p);
    count = read_labels(text, spans, 16);
    assert_int_equal(count, ARRAY_SIZE(marks));
    for (uint32_t i = 0; i < count; i++) {
        assert_true(spans[i].from >= 0 && spans[i].to <= PLOT_WIDTH);
        for (uint32_t k = 0; k < i; k++) {
            assert_true(spans[i].y != spans[k].y || spans[i].to <= spans[k].from ||
                        spans[k].to <= spans[i].from);
        }
    }
    assert_false(lines_cross_labels(text, spans, count));
    assert_int_equal(times(text, "class=\"span\""), 1);
    assert_int_equal(times(text, "class=\"moment\""), ARRAY_SIZE(marks));
    free(text);
}

static void test_plot_line_of_a_mark_runs_past_labels(void **state)
{
    struct plot_point points[] = {point(0, 1), point(100, 2)};
    struct plot_series series = {.name = "raft", .points = points, .count = 2};
    struct plot_mark marks[] = {{10, 10, "cut"},
                                {12, 12, "a long label below the first one"},
                                {25, 25, "free above, but not below"}};
    struct plot p = plot_of(PLOT_LINE, &series, 1);
    struct span spans[4];
    char *text;

    (void) state;
    p.marks = marks;
    p.marks_count = 3;
    text = draw(&p);
    assert_int_equal(read_labels(text, spans, 4), 3);
    assert_false(lines_cross_labels(text, spans, 3));
    assert_true(spans[0].y < spans[1].y);
    assert_true(spans[1].y < spans[2].y);
    free(text);
}

static void test_plot_marks_that_are_not_labelled_are_listed(void **state)
{
    struct plot_point points[] = {point(0, 1), point(60e6, 2)};
    struct plot_series series = {.name = "raft", .points = points, .count = 2};
    struct plot_mark marks[40];
    struct plot p = plot_of(PLOT_LINE, &series, 1);
    char *text;

    (void) state;
    for (uint32_t i = 0; i < ARRAY_SIZE(marks); i++) {
        marks[i] = (struct plot_mark){i * 1.5e6, i * 1.5e6 + 5e5, i % 2 == 0 ? "cut" : "heal"};
    }
    p.marks = marks;
    p.marks_count = ARRAY_SIZE(marks);
    p.x_time = true;
    text = draw(&p);
    assert_int_equal(times(text, "class=\"label\""), 2);
    assert_non_null(strstr(text, "<summary>All 40 marks</summary>"));
    assert_non_null(strstr(text, "<dt>1.50 s to 2.00 s</dt><dd>heal</dd>"));
    free(text);
    p.marks_count = 2;
    text = draw(&p);
    assert_null(strstr(text, "<summary>"));
    free(text);
}

static void test_plot_axes_are_labelled_in_their_units(void **state)
{
    struct plot_point points[] = {point(1000, 1), point(2e6, 1e7)};
    struct plot_series series = {.name = "raft", .points = points, .count = 2};
    struct plot p = plot_of(PLOT_LINE, &series, 1);
    char *text;

    (void) state;
    p.x_time = true;
    p.x_scale = PLOT_LOG;
    p.y_scale = PLOT_LOG;
    text = draw(&p);
    assert_non_null(strstr(text, ">1 ms</text>"));
    assert_non_null(strstr(text, ">100 ms</text>"));
    assert_non_null(strstr(text, ">1 s</text>"));
    assert_non_null(strstr(text, ">100</text>"));
    assert_non_null(strstr(text, ">10⁶</text>"));
    free(text);
    p.x_scale = PLOT_LINEAR;
    p.y_scale = PLOT_LINEAR;
    text = draw(&p);
    assert_non_null(strstr(text, ">0.5 s</text>"));
    assert_non_null(strstr(text, ">2.0 s</text>"));
    assert_non_null(strstr(text, ">10 M</text>"));
    free(text);
    points[1] = point(900e6, 5);
    text = draw(&p);
    assert_non_null(strstr(text, ">10 min</text>"));
    assert_non_null(strstr(text, ">2</text>"));
    free(text);
}

static void test_plot_series_of_one_colour_differ(void **state)
{
    struct plot_point points[] = {point(0, 1), point(1, 2)};
    struct plot_series series[] = {
        {.name = "a", .points = points, .count = 2},
        {.name = "b", .points = points, .count = 2},
        {.name = "published", .points = points, .count = 2, .dashed = true},
        {.name = "c", .points = points, .count = 2, .colour = 1, .replay = "run \"c\""}};
    struct plot p = plot_of(PLOT_LINE, series, 4);
    char *text = draw(&p);

    (void) state;
    /* Twice each: line and legend. */
    assert_int_equal(times(text, "stroke-dasharray=\"9 3 2 3\""), 2);
    assert_int_equal(times(text, "stroke-dasharray=\"6 4\""), 2);
    assert_int_equal(times(text, "stroke-dasharray"), 4);
    assert_non_null(strstr(text, "<li class=\"k1\" title=\"run &quot;c&quot;\">"));
    assert_non_null(strstr(text, "<dt>c</dt><dd><code>run &quot;c&quot;</code></dd>"));
    free(text);
}

static void test_plot_is_named_for_who_does_not_see_it(void **state)
{
    struct plot_point points[] = {point(0, 1), point(1, 2)};
    struct plot_series series = {.name = "raft", .points = points, .count = 2};
    struct plot p = plot_of(PLOT_LINE, &series, 1);
    char *text;
    char *label;
    char *described;
    char *wanted;

    (void) state;
    p.about = "One & two.";
    text = draw(&p);
    label = attribute(text, "role=\"img\" aria-labelledby=\"");
    described = attribute(text, "aria-describedby=\"");
    assert_true(asprintf(&wanted, "<strong id=\"%s\">A title</strong>", label) > 0);
    assert_non_null(strstr(text, wanted));
    free(wanted);
    assert_true(asprintf(&wanted,
                         "<desc id=\"%s\">One &amp; two. Lines: raft. Upward: upward; to the "
                         "right: to the right.</desc>",
                         described) > 0);
    assert_non_null(strstr(text, wanted));
    free(wanted);
    free(label);
    free(described);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plot_ticks_are_round_numbers),
        cmocka_unit_test(test_plot_ticks_of_times_are_seconds_and_minutes),
        cmocka_unit_test(test_plot_ticks_of_logarithms_are_1_2_5_then_decades),
        cmocka_unit_test(test_plot_ticks_of_no_range_are_none),
        cmocka_unit_test(test_plot_ticks_never_exceed_their_number),
        cmocka_unit_test(test_plot_cdf_ends_at_the_share_that_ended),
        cmocka_unit_test(test_plot_cdf_is_thinned_and_keeps_its_ends),
        cmocka_unit_test(test_plot_svg_is_the_same_twice),
        cmocka_unit_test(test_plot_line_is_broken_by_nan_and_lone_points_are_seen),
        cmocka_unit_test(test_plot_step_goes_right_then_up),
        cmocka_unit_test(test_plot_long_series_is_thinned_and_keeps_extremes),
        cmocka_unit_test(test_plot_points_outside_are_clipped),
        cmocka_unit_test(test_plot_without_data_says_so),
        cmocka_unit_test(test_plot_one_point_is_seen_with_its_whisker),
        cmocka_unit_test(test_plot_band_is_broken_where_there_is_none),
        cmocka_unit_test(test_plot_band_of_steps_has_their_corners),
        cmocka_unit_test(test_plot_bars_have_values_and_names),
        cmocka_unit_test(test_plot_bars_below_zero_hang_from_it),
        cmocka_unit_test(test_plot_bars_too_narrow_stand_values_upright_or_leave_them),
        cmocka_unit_test(test_plot_names_too_long_are_slanted),
        cmocka_unit_test(test_plot_labels_of_marks_do_not_overlap),
        cmocka_unit_test(test_plot_line_of_a_mark_runs_past_labels),
        cmocka_unit_test(test_plot_marks_that_are_not_labelled_are_listed),
        cmocka_unit_test(test_plot_axes_are_labelled_in_their_units),
        cmocka_unit_test(test_plot_series_of_one_colour_differ),
        cmocka_unit_test(test_plot_is_named_for_who_does_not_see_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * plot_axis.c - axes of a plot: range, round ticks, their names.
 */
#include "tests/compare/plot_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

/* A value that is a tick but for rounding. */
static const double tolerance = 1e-9;
/* Pixels far outside, which still fit into a path. */
static const double far_px = 20000;

static const double second_us = 1e6;

/* A step of a linear axis: whole * 10^power, so that multiples are exact. */
struct step {
    double whole;
    int power;
};

static double step_times(struct step s, double times)
{
    double scale = pow(10, abs(s.power));

    return s.power < 0 ? times * s.whole / scale : times * s.whole * scale;
}

/* The step after this one: 1, 2, 5, 10; of times from 10 s on: 20 s, 30 s, 1, 2, 5, 10, 20, 30 min,
 * 1, 2, 5 hours. */
static struct step step_next(struct step s, bool time)
{
    static const double seconds[] = {10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000};

    if (time && step_times(s, 1) >= 10 * second_us) {
        for (size_t i = 0; i + 1 < ARRAY_SIZE(seconds); i++) {
            if (step_times(s, 1) < seconds[i + 1] * second_us) {
                return (struct step){.whole = seconds[i + 1], .power = 6};
            }
        }
        return (struct step){.whole = s.whole * 2, .power = s.power};
    }
    if (s.whole == 1) {
        return (struct step){.whole = 2, .power = s.power};
    }
    if (s.whole == 2) {
        return (struct step){.whole = 5, .power = s.power};
    }
    return (struct step){.whole = 1, .power = s.power + 1};
}

/* The smallest step with at most `max` ticks in the range. */
static struct step step_of(double min, double max, bool time, uint32_t ticks_max)
{
    struct step s = {.whole = 1, .power = (int) floor(log10((max - min) / ticks_max)) - 1};

    for (;;) {
        double size = step_times(s, 1);
        double first = ceil(min / size - tolerance);
        double last = floor(max / size + tolerance);

        if (last - first + 1 <= ticks_max) {
            return s;
        }
        s = step_next(s, time);
    }
}

static uint32_t linear_ticks(double min, double max, bool time, double *ret_ticks,
                             uint32_t ticks_max)
{
    struct step s = step_of(min, max, time, ticks_max);
    double size = step_times(s, 1);
    double last = floor(max / size + tolerance);
    uint32_t count = 0;

    for (double i = ceil(min / size - tolerance); i <= last && count < ticks_max; i++) {
        ret_ticks[count] = i == 0 ? 0 : step_times(s, i);
        count++;
    }
    return count;
}

/* The values of some digits in every n-th decade; more than ticks_max: only how many. */
static uint32_t decade_ticks(double min, double max, const char *digits, int every,
                             double *ret_ticks, uint32_t ticks_max)
{
    int first = (int) floor(log10(min) + tolerance);
    int last = (int) floor(log10(max) + tolerance);
    uint32_t count = 0;

    for (int power = (int) (every * floor((double) first / every)); power <= last; power += every) {
        for (const char *d = digits; *d != '\0'; d++) {
            double value = step_times((struct step){.whole = 1, .power = power}, *d - '0');

            if (value < min * (1 - tolerance) || value > max * (1 + tolerance)) {
                continue;
            }
            if (count < ticks_max) {
                ret_ticks[count] = value;
            }
            count++;
        }
    }
    return count;
}

/* Of less than a decade: half as many as may be, since they stand closer to the right. */
static uint32_t narrow_ticks(double min, double max, bool time, double *ret_ticks,
                             uint32_t ticks_max)
{
    return linear_ticks(min, max, time, ret_ticks, (uint32_t) u64_max(ticks_max / 2, 1));
}

static uint32_t log_ticks(double min, double max, bool time, double *ret_ticks, uint32_t ticks_max)
{
    double other[PLOT_TICKS_MAX];
    uint32_t most = (uint32_t) u64_min(ticks_max, PLOT_TICKS_MAX);
    uint32_t count = decade_ticks(min, max, "125", 1, ret_ticks, ticks_max);

    for (int every = 1; count > ticks_max; every++) {
        count = decade_ticks(min, max, "1", every, ret_ticks, ticks_max);
    }
    if (max / min < 5 && narrow_ticks(min, max, time, other, most) > count) {
        return narrow_ticks(min, max, time, ret_ticks, most);
    }
    return count;
}

uint32_t plot_ticks(double min, double max, enum plot_scale scale, bool time, double *ret_ticks,
                    uint32_t ticks_max)
{
    ASSERT(ticks_max > 0);
    if (!isfinite(min) || !isfinite(max) || min >= max || (scale == PLOT_LOG && min <= 0)) {
        return 0;
    }
    return scale == PLOT_LINEAR ? linear_ticks(min, max, time, ret_ticks, ticks_max)
                                : log_ticks(min, max, time, ret_ticks, ticks_max);
}

double plot_axis_px(const struct plot_axis *axis, double value)
{
    double share;

    if (!isfinite(value) || (axis->scale == PLOT_LOG && value <= 0)) {
        return NAN;
    }
    share = axis->scale == PLOT_LOG ? log(value / axis->min) / log(axis->max / axis->min)
                                    : (value - axis->min) / (axis->max - axis->min);
    return fmax(-far_px, fmin(far_px, axis->from + share * (axis->to - axis->from)));
}

bool plot_axis_has(const struct plot_axis *axis, double value)
{
    double slack = tolerance * (axis->max - axis->min);

    return isfinite(value) && value >= axis->min - slack && value <= axis->max + slack;
}

/* Digits behind the point that tell multiples of a step apart. */
static uint32_t digits_of(double step)
{
    uint32_t digits = 0;

    while (digits < 9 && fabs(step - rint(step)) > tolerance * fmax(1, fabs(step))) {
        step *= 10;
        digits++;
    }
    return digits;
}

static double tick_step(const struct plot_axis *axis)
{
    return axis->ticks_count < 2 ? axis->max - axis->min : axis->ticks[1] - axis->ticks[0];
}

struct unit {
    double size;
    const char *name;
};

static struct unit time_unit(double us)
{
    static const struct unit units[] = {{600e6, " min"}, {1e6, " s"}, {1e3, " ms"}, {0, " µs"}};
    size_t i = 0;

    while (us < units[i].size * (1 - tolerance)) {
        i++;
    }
    return i == 0   ? (struct unit){.size = 60e6, .name = " min"}
           : i == 3 ? (struct unit){.size = 1, .name = " µs"}
                    : units[i];
}

static struct unit count_unit(double value)
{
    return value >= 1e10  ? (struct unit){.size = 1e9, .name = " G"}
           : value >= 1e7 ? (struct unit){.size = 1e6, .name = " M"}
                          : (struct unit){.size = 1, .name = ""};
}

static void put_with_unit(double value, double step, struct unit unit, char text[TABLE_NUMBER_MAX])
{
    table_decimals(value / unit.size, digits_of(step / unit.size), text);
    (void) strncat(text, unit.name, TABLE_NUMBER_MAX - strlen(text) - 1);
}

/* "10⁶", "2·10⁶" */
static void put_power(double value, char text[TABLE_NUMBER_MAX])
{
    static const char *const raised[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    int power = (int) floor(log10(value) + tolerance);
    int whole = (int) rint(value / pow(10, power));
    char digits[8];

    (void) snprintf(digits, sizeof(digits), "%d", power % 1000);
    (void) snprintf(text, TABLE_NUMBER_MAX, "%d·10", whole);
    if (whole == 1) {
        (void) strcpy(text, "10");
    }
    for (const char *d = digits; *d != '\0'; d++) {
        (void) strcat(text, *d == '-' ? "⁻" : raised[*d - '0']);
    }
}

void plot_axis_label(const struct plot_axis *axis, double value, char text[TABLE_NUMBER_MAX])
{
    double step = axis->scale == PLOT_LOG ? value : tick_step(axis);
    double top = axis->scale == PLOT_LOG ? value : fmax(fabs(axis->min), fabs(axis->max));

    if (value == 0) {
        (void) strcpy(text, "0");
    } else if (axis->time) {
        put_with_unit(value, step, time_unit(top), text);
    } else if (axis->scale == PLOT_LOG && (value >= 0.99e6 || value < 0.99e-3)) {
        put_power(value, text);
    } else {
        put_with_unit(value, step, count_unit(top), text);
    }
    if (text[0] == '-') {
        char digits[TABLE_NUMBER_MAX];

        (void) strcpy(digits, &text[1]);
        (void) snprintf(text, TABLE_NUMBER_MAX, "−%.24s", digits);
    }
}

void plot_axis_value(const struct plot_axis *axis, double value, char text[TABLE_NUMBER_MAX])
{
    if (axis->time) {
        table_time(value, text);
    } else {
        table_number(value, text);
    }
}

/* ------------------------------------------------------------------------------------------- */
/* Ranges */

static void take(struct plot_axis *axis, double value)
{
    if (!isfinite(value) || (axis->scale == PLOT_LOG && value <= 0)) {
        return;
    }
    axis->min = fmin(axis->min, value); /* NAN: the other one */
    axis->max = fmax(axis->max, value);
}

static void take_points(struct plot_axis *axis, const struct plot *p, bool of_y)
{
    axis->min = NAN;
    axis->max = NAN;
    for (uint32_t s = 0; s < p->series_count; s++) {
        for (uint32_t i = 0; i < p->series[s].count; i++) {
            const struct plot_point *point = &p->series[s].points[i];

            if (!of_y) {
                take(axis, isfinite(point->y) ? point->x : NAN);
            } else {
                take(axis, point->y);
                take(axis, point->low);
                take(axis, point->high);
            }
        }
    }
}

/* A range of no size gets one around it. */
static void widen(struct plot_axis *axis)
{
    bool log = axis->scale == PLOT_LOG;

    if (isnan(axis->min) && isnan(axis->max)) {
        axis->min = log ? 1 : 0;
        axis->max = log ? 10 : 1;
    } else if (isnan(axis->max)) {
        axis->max = axis->min;
    } else if (isnan(axis->min)) {
        axis->min = axis->max;
    }
    if (log && axis->min <= 0) {
        axis->min = axis->max > 0 ? axis->max / 10 : 1;
    }
    if (axis->min < axis->max) {
        return;
    }
    if (log) {
        axis->max = axis->min * 2;
        axis->min /= 2;
    } else if (axis->min == 0) {
        axis->max = 1;
    } else {
        double around = fabs(axis->min) / 4;

        axis->max = axis->min + around;
        axis->min -= around;
    }
}

static void demand(struct plot_axis *axis, double min, double max)
{
    axis->min = isfinite(min) ? min : axis->min;
    axis->max = isfinite(max) ? max : axis->max;
    widen(axis);
}

/* Where to end so that the last tick is the end. */
static double rounded_up(const struct plot_axis *axis, uint32_t ticks_max)
{
    double size;

    if (axis->scale == PLOT_LOG) {
        double decade = pow(10, floor(log10(axis->max) + tolerance));
        double digit = axis->max / decade * (1 - tolerance);

        return decade * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
    }
    size = step_times(step_of(axis->min, axis->max, axis->time, ticks_max), 1);
    return ceil(axis->max / size - tolerance) * size;
}

static double rounded_down_log(double value)
{
    double decade = pow(10, floor(log10(value) + tolerance));
    double digit = value / decade * (1 + tolerance);

    return decade * (digit >= 5 ? 5 : digit >= 2 ? 2 : 1);
}

static uint32_t ticks_that_fit(double pixels, double each, uint32_t least)
{
    double fit = floor(fabs(pixels) / each);

    return fit < least ? least : fit >= PLOT_TICKS_MAX ? PLOT_TICKS_MAX - 1 : (uint32_t) fit;
}

void plot_axis_x(struct plot_area *a)
{
    const struct plot *p = a->plot;
    struct plot_axis *axis = &a->x;

    axis->scale = p->x_scale;
    axis->time = p->x_time;
    take_points(axis, p, false);
    for (uint32_t i = 0; i < p->marks_count; i++) {
        take(axis, p->marks[i].from);
        take(axis, p->marks[i].to);
    }
    widen(axis);
    if (axis->scale == PLOT_LINEAR && axis->min > 0 && axis->min <= axis->max / 4) {
        axis->min = 0;
    }
    if (p->kind == PLOT_SCATTER && axis->scale == PLOT_LINEAR) {
        axis->max += (axis->max - axis->min) / 40;
    } else if (p->kind == PLOT_SCATTER) {
        double around = pow(axis->max / axis->min, 1.0 / 40);

        axis->min /= around;
        axis->max *= around;
    }
    demand(axis, p->x_min, p->x_max);
    axis->ticks_count = plot_ticks(axis->min, axis->max, axis->scale, axis->time, axis->ticks,
                                   ticks_that_fit(a->right - a->left, 68, 3));
}

/* The room that values above bars take, as a share of the height. */
static void add_headroom(struct plot_area *a, double share)
{
    struct plot_axis *axis = &a->y;

    if (axis->scale == PLOT_LOG) {
        axis->max *= pow(axis->max / axis->min, share / (1 - share));
    } else {
        axis->max += (axis->max - axis->min) * share / (1 - share);
    }
}

void plot_axis_y(struct plot_area *a)
{
    const struct plot *p = a->plot;
    struct plot_axis *axis = &a->y;
    uint32_t fit = ticks_that_fit(a->bottom - a->top, 36, 3);

    axis->scale = p->y_scale;
    axis->time = p->y_time;
    take_points(axis, p, true);
    if (axis->scale == PLOT_LOG) {
        widen(axis);
        axis->min = rounded_down_log(p->kind == PLOT_BARS ? axis->min / 2 : axis->min);
    } else if (axis->min > 0 && (p->kind == PLOT_BARS || axis->min <= axis->max / 2)) {
        axis->min = 0;
    } else if (p->kind == PLOT_BARS) {
        axis->max = fmax(axis->max, 0);
    }
    demand(axis, p->y_min, NAN);
    if (p->kind == PLOT_BARS && a->values != PLOT_VALUES_NONE) {
        add_headroom(a, a->values == PLOT_VALUES_FLAT ? 0.08 : 0.22);
    }
    axis->max = rounded_up(axis, fit);
    demand(axis, p->y_min, p->y_max);
    /* Rounding up may have made room for one more. */
    axis->ticks_count =
        plot_ticks(axis->min, axis->max, axis->scale, axis->time, axis->ticks, fit + 1);
}

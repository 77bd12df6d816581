/*
 * compare_table.c - see compare_table.h.
 */
#include "tests/compare/compare_table.h"

#include <math.h>

#include "base/mem.h"

enum { VALUE_MAX = 48, COMMAND_MAX = 1 << 16 };

static void set_replay(const struct comparison *c, const struct compare_cell *cell,
                       struct table_cell *to)
{
    struct buf command;
    buf_init(&command, COMMAND_MAX);
    compare_cell_command(c, cell, &command);
    table_replay(to, "%.*s", (int) command.size, (const char *) command.data);
    buf_release(&command);
}

static void set_verdict(const struct comparison *c, const struct compare_cell *cell,
                        struct table *t, uint32_t column)
{
    char text[COMPARE_VERDICT_MAX];
    uint8_t tone;
    compare_verdict(cell, text, &tone);
    struct table_cell *to = table_set(t, column, "%s", text);
    to->tone = tone;
    if (cell->first_wrong != NULL && cell->first_wrong->text[0] != '\0') {
        table_details(to, "%s", cell->first_wrong->text);
    }
    set_replay(c, cell, to);
}

/* Numbers that must be 0. */
static bool is_bad(uint32_t measure, double value)
{
    return (measure == MEASURE_LOST || measure == MEASURE_DUPLICATED) && value > 0;
}

static void set_measure(const struct comparison *c, const struct compare_cell *cell,
                        struct table *t, uint32_t column, uint32_t measure)
{
    struct stats_summary s;
    char median[VALUE_MAX];
    char text[6][VALUE_MAX];
    compare_summary(cell, measure, &s);
    /* What must never happen is told by its worst case. */
    bool worst = measure == MEASURE_LOST || measure == MEASURE_DUPLICATED;
    double value = s.count == 0 ? NAN : worst ? s.max : s.median;
    compare_value(measure, value, median, sizeof median);
    struct table_cell *to = table_set(t, column, "%s", median);
    to->value = value;
    if (is_bad(measure, value)) {
        to->tone = cell->script->scenario.expect_red ? TONE_WARN : TONE_BAD;
    }
    if (s.count > 1) {
        const double values[] = {s.low, s.high, s.min, s.p25, s.p75, s.max};
        for (uint32_t i = 0; i < ARRAY_SIZE(values); i++) {
            compare_value(measure, values[i], text[i], sizeof text[i]);
        }
        table_details(to, "%s: median of %zu in %s to %s (%s), quarters %s and %s, range %s to %s",
                      measure_title(measure), s.count, text[0], text[1],
                      s.sure ? "95 % sure" : "too few to be 95 % sure", text[3], text[4], text[2],
                      text[5]);
    }
    set_replay(c, cell, to);
}

void compare_table_script(const struct comparison *c, uint32_t script, struct table *t)
{
    const struct compare_options *o = c->options;
    const struct compare_script *s = &o->scripts[script];
    char title[768];
    (void) snprintf(title, sizeof title, "%s: %u nodes, %u %s. %s", s->name, s->scenario.nodes,
                    o->trials, o->trials == 1 ? "trial" : "trials, medians", s->scenario.about);
    table_init(t, title);
    table_column(t, "engine", false);
    table_column(t, "verdict", false);
    for (uint32_t m = 0; m < MEASURES; m++) {
        if (o->real || m != MEASURE_CPU_LEADER) {
            table_column(t, measure_title(m), true);
        }
    }
    for (uint32_t e = 0; e < o->engines_count; e++) {
        const struct compare_cell *cell = compare_cell(c, script, e);
        table_row(t);
        (void) table_set(t, 0, "%s", engine_name(cell->engine));
        set_verdict(c, cell, t, 1);
        uint32_t column = 2;
        for (uint32_t m = 0; m < MEASURES; m++) {
            if (o->real || m != MEASURE_CPU_LEADER) {
                set_measure(c, cell, t, column++, m);
            }
        }
    }
}

void compare_table_measures(const struct comparison *c, uint32_t script, struct table *t)
{
    const struct compare_options *o = c->options;
    table_init(t, o->trials == 1 ? "Measures" : "Measures: medians over the trials");
    table_column(t, "measure", false);
    for (uint32_t e = 0; e < o->engines_count; e++) {
        table_column(t, engine_name(o->engines[e]), true);
    }
    for (uint32_t m = 0; m < MEASURES; m++) {
        if (!o->real && m == MEASURE_CPU_LEADER) {
            continue;
        }
        table_row(t);
        (void) table_set(t, 0, "%s", measure_title(m));
        for (uint32_t e = 0; e < o->engines_count; e++) {
            set_measure(c, compare_cell(c, script, e), t, 1 + e, m);
        }
    }
}

void compare_table_overview(const struct comparison *c, struct table *t)
{
    const struct compare_options *o = c->options;
    table_init(t, "All scripts: verdict, and median down-time");
    table_column(t, "script", false);
    for (uint32_t e = 0; e < o->engines_count; e++) {
        table_column(t, engine_name(o->engines[e]), false);
        table_column(t, "down", true);
    }
    for (uint32_t s = 0; s < o->scripts_count; s++) {
        table_row(t);
        (void) table_set(t, 0, "%s", o->scripts[s].name);
        for (uint32_t e = 0; e < o->engines_count; e++) {
            const struct compare_cell *cell = compare_cell(c, s, e);
            set_verdict(c, cell, t, 1 + 2 * e);
            set_measure(c, cell, t, 2 + 2 * e, MEASURE_DOWN);
        }
    }
}

/*
 * compare_data.c - a comparison for programs: JSON with every sample, CSV with a line a trial.
 */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/compare/compare.h"

/* JSON. jansson fails for want of memory and for text that is not UTF-8 only. */

static json_t *number(double value)
{
    return isnan(value) ? json_null() : json_real(value);
}

static json_t *text(const char *value)
{
    json_t *t = json_string(value);
    return t == NULL ? json_string("?") : t;
}

static void set(json_t *object, const char *name, json_t *value)
{
    int failed = json_object_set_new(object, name, value);
    ASSERT(failed == 0);
}

static void append(json_t *array, json_t *value)
{
    int failed = json_array_append_new(array, value);
    ASSERT(failed == 0);
}

static json_t *measure_object(const struct compare_cell *cell, uint32_t measure)
{
    json_t *o = json_object();
    json_t *all = json_array();
    struct stats_summary s;
    size_t count = 0;
    double *samples = compare_samples(cell, measure, &count);
    compare_summary(cell, measure, &s);
    const struct {
        const char *name;
        double value;
    } fields[] = {
        {"min", s.min}, {"p25", s.p25}, {"median", s.median},  {"p75", s.p75},
        {"p95", s.p95}, {"max", s.max}, {"median_low", s.low}, {"median_high", s.high},
    };
    for (uint32_t i = 0; i < ARRAY_SIZE(fields); i++) {
        set(o, fields[i].name, number(fields[i].value));
    }
    for (size_t i = 0; i < count; i++) {
        append(all, number(samples[i]));
    }
    set(o, "samples", all);
    free(samples);
    return o;
}

static json_t *wrong_object(const struct comparison *c, const struct compare_cell *cell)
{
    const struct measured *m = cell->first_wrong;
    json_t *o = json_object();
    struct buf command;
    buf_init(&command, 1 << 16);
    compare_trial_command(c, cell, m, &command);
    ERR_IGNORE(buf_append(&command, "", 1));
    set(o, "seed", json_integer((json_int_t) m->seed));
    set(o, "property", text(m->property));
    set(o, "text", text(m->text));
    set(o, "replay", text((const char *) command.data));
    buf_release(&command);
    return o;
}

static json_t *cell_object(const struct comparison *c, const struct compare_cell *cell)
{
    char verdict[COMPARE_VERDICT_MAX];
    uint8_t tone;
    json_t *o = json_object();
    json_t *measures = json_object();
    struct buf command;
    buf_init(&command, 1 << 16);
    compare_cell_command(c, cell, &command);
    ERR_IGNORE(buf_append(&command, "", 1));
    compare_verdict(cell, verdict, &tone);
    set(o, "engine", text(engine_name(cell->engine)));
    set(o, "verdict", text(verdict));
    set(o, "as_expected", json_boolean(cell->wrong == 0));
    set(o, "trials", json_integer(cell->count));
    set(o, "skipped", json_integer(cell->skipped));
    set(o, "red", json_integer(cell->red));
    set(o, "replay", text((const char *) command.data));
    buf_release(&command);
    if (cell->first_wrong != NULL) {
        set(o, "first_wrong", wrong_object(c, cell));
    }
    for (uint32_t m = 0; m < MEASURES; m++) {
        set(measures, measure_word(m), measure_object(cell, m));
    }
    set(o, "measures", measures);
    return o;
}

static json_t *script_object(const struct comparison *c, uint32_t script)
{
    const struct compare_script *s = &c->options->scripts[script];
    json_t *o = json_object();
    json_t *cells = json_array();
    set(o, "name", text(s->name));
    set(o, "path", text(s->path));
    set(o, "about", text(s->scenario.about));
    set(o, "nodes", json_integer(s->scenario.nodes));
    for (uint32_t e = 0; e < c->options->engines_count; e++) {
        append(cells, cell_object(c, compare_cell(c, script, e)));
    }
    set(o, "engines", cells);
    return o;
}

void compare_json(const struct comparison *c, FILE *out)
{
    const struct compare_options *o = c->options;
    json_t *root = json_object();
    json_t *scripts = json_array();
    set(root, "program", text(o->build));
    set(root, "back_end", text(o->real ? "processes" : "simulator"));
    set(root, "trials", json_integer(o->trials));
    set(root, "interrupted", json_boolean(c->stopped));
    for (uint32_t s = 0; s < o->scripts_count; s++) {
        append(scripts, script_object(c, s));
    }
    set(root, "scripts", scripts);
    (void) json_dumpf(root, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)); /* ferror tells */
    (void) fputc('\n', out);
    json_decref(root);
}

/* CSV: all words are plain but the texts of violations, and those are left out. */

static void csv_trial(const struct comparison *c, const struct compare_cell *cell,
                      const struct measured *m, FILE *out)
{
    const char *verdict = m->skipped     ? "skipped"
                          : !m->done     ? "died"
                          : m->red       ? "red"
                          : m->undecided ? "undecided"
                                         : "green";
    (void) fprintf(out, "%s,%s,%s,%" PRIu64 ",%s,%s,%s", cell->script->name,
                   engine_name(cell->engine), c->options->real ? "processes" : "simulator", m->seed,
                   verdict, m->property,
                   m->done && compare_expected(&cell->script->scenario, m) ? "yes" : "no");
    for (uint32_t i = 0; i < MEASURES; i++) {
        double value = m->done ? m->values[i] : NAN;
        (void) fputc(',', out);
        if (!isnan(value)) {
            (void) fprintf(out, "%.9g", value);
        }
    }
    (void) fputs("\r\n", out);
}

void compare_csv(const struct comparison *c, FILE *out)
{
    const struct compare_options *o = c->options;
    (void) fputs("script,engine,back_end,seed,verdict,property,as_expected", out);
    for (uint32_t i = 0; i < MEASURES; i++) {
        (void) fprintf(out, ",%s", measure_word(i));
    }
    (void) fputs("\r\n", out);
    for (uint32_t i = 0; i < o->scripts_count * o->engines_count; i++) {
        for (uint32_t t = 0; t < o->trials; t++) {
            csv_trial(c, &c->cells[i], &c->cells[i].trials[t], out);
        }
    }
}

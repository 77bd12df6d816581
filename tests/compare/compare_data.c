/*
 * compare_data.c - a comparison for programs: JSON with every sample, CSV with a line a trial.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "kv/cli_json.h"
#include "tests/compare/compare.h"

/* JSON. */

static void put_text(struct json *j, const char *key, const char *text)
{
    json_text(j, key, bytes_str(text));
}

static void put_command(struct json *j, const struct buf *command)
{
    json_text(j, "replay", bytes_of(command->data, command->size));
}

static void put_measure(struct json *j, const struct compare_cell *cell, uint32_t measure)
{
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
    json_object(j, measure_word(measure));
    for (uint32_t i = 0; i < ARRAY_SIZE(fields); i++) {
        json_double(j, fields[i].name, fields[i].value);
    }
    json_array(j, "samples");
    for (size_t i = 0; i < count; i++) {
        json_double(j, NULL, samples[i]);
    }
    json_end_array(j);
    json_end_object(j);
    free(samples);
}

static void put_wrong(struct json *j, const struct comparison *c, const struct compare_cell *cell,
                      struct buf *command)
{
    const struct measured *m = cell->first_wrong;
    buf_clear(command);
    compare_trial_command(c, cell, m, command);
    json_object(j, "first_wrong");
    json_u64(j, "seed", m->seed);
    put_text(j, "property", m->property);
    put_text(j, "text", m->text);
    put_command(j, command);
    json_end_object(j);
}

static void put_cell(struct json *j, const struct comparison *c, const struct compare_cell *cell)
{
    char verdict[COMPARE_VERDICT_MAX];
    uint8_t tone;
    struct buf command;
    buf_init(&command, 1 << 16);
    compare_cell_command(c, cell, &command);
    compare_verdict(cell, verdict, &tone);
    json_object(j, NULL);
    put_text(j, "engine", engine_name(cell->engine));
    put_text(j, "verdict", verdict);
    json_bool(j, "as_expected", cell->wrong == 0);
    json_u64(j, "trials", cell->count);
    json_u64(j, "skipped", cell->skipped);
    json_u64(j, "died", cell->broken);
    json_u64(j, "red", cell->red);
    json_u64(j, "undecided", cell->undecided); /* the checker gave up */
    json_u64(j, "missing", cell->missing);     /* trials in which a step never happened */
    put_command(j, &command);
    if (cell->first_wrong != NULL) {
        put_wrong(j, c, cell, &command);
    }
    json_object(j, "measures");
    for (uint32_t m = 0; m < MEASURES; m++) {
        put_measure(j, cell, m);
    }
    json_end_object(j);
    json_end_object(j);
    buf_release(&command);
}

static void put_script(struct json *j, const struct comparison *c, uint32_t script)
{
    const struct compare_script *s = &c->options->scripts[script];
    json_object(j, NULL);
    put_text(j, "name", s->name);
    put_text(j, "path", s->path);
    put_text(j, "about", s->scenario.about);
    json_u64(j, "nodes", s->scenario.nodes);
    json_array(j, "engines");
    for (uint32_t e = 0; e < c->options->engines_count; e++) {
        put_cell(j, c, compare_cell(c, script, e));
    }
    json_end_array(j);
    json_end_object(j);
}

void compare_json(const struct comparison *c, FILE *out)
{
    const struct compare_options *o = c->options;
    struct buf text;
    struct json j = {.out = &text};
    buf_init(&text, SIZE_MAX / 4);
    json_object(&j, NULL);
    put_text(&j, "program", o->build);
    put_text(&j, "back_end", o->real ? "processes" : "simulator");
    json_u64(&j, "trials", o->trials);
    json_bool(&j, "interrupted", c->stopped);
    json_array(&j, "scripts");
    for (uint32_t s = 0; s < o->scripts_count; s++) {
        put_script(&j, c, s);
    }
    json_end_array(&j);
    json_end_object(&j);
    (void) fwrite(text.data, 1, text.size, out); /* ferror tells */
    (void) fputc('\n', out);
    buf_release(&text);
}

/* CSV: all words are plain but the texts of violations, and those are left out. */

static void csv_trial(const struct comparison *c, const struct compare_cell *cell,
                      const struct measured *m, FILE *out)
{
    bool skipped = m->skipped || (!m->done && c->stopped);
    const char *verdict = skipped        ? "skipped"
                          : !m->done     ? "died"
                          : m->red       ? "red"
                          : m->undecided ? "undecided"
                                         : "green";
    bool expected = m->done && compare_expected(&cell->script->scenario, m);
    (void) fprintf(out, "%s,%s,%s,%" PRIu64 ",%s,%s,%s", cell->script->name,
                   engine_name(cell->engine), c->options->real ? "processes" : "simulator", m->seed,
                   verdict, m->property,
                   skipped    ? ""
                   : expected ? "yes"
                              : "no");
    for (uint32_t i = 0; i < MEASURES; i++) {
        double value = m->done && !m->skipped ? m->values[i] : NAN;
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

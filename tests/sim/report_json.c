/*
 * report_json.c - a sweep as one JSON object: see report.h.
 */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "tests/sim/report.h"

/* Numbers above 2^63 do not occur but in hashes, which go as text. */
static json_t *number(uint64_t value)
{
    return json_integer((json_int_t) value);
}

static json_t *hash_text(uint64_t hash)
{
    return json_sprintf("%016" PRIx64, hash);
}

static json_t *engine_object(const struct sweep_totals *t, const char *name)
{
    json_t *counts = json_object();
    json_t *marks = json_object();
    json_t *object = json_object();

    for (uint32_t i = 0; i < SIM_COUNTS; i++) {
        (void) json_object_set_new(counts, sim_count_text(i), number(t->counts[i]));
    }
    for (uint32_t i = 0; i < MARKS; i++) {
        (void) json_object_set_new(marks, mark_name(i), number(t->marks[i]));
    }
    (void) json_object_set_new(object, "engine", json_string(name));
    (void) json_object_set_new(object, "runs", number(t->runs));
    (void) json_object_set_new(object, "red", number(t->red));
    (void) json_object_set_new(object, "virtual_us", number(t->virtual_us));
    (void) json_object_set_new(object, "cpu_us", number(t->cpu_us));
    (void) json_object_set_new(object, "longest_gap_us", number(t->gap_us));
    (void) json_object_set_new(object, "longest_end_us", number(t->settle_us));
    (void) json_object_set_new(object, "trace_hash", hash_text(t->hash));
    (void) json_object_set_new(object, "counts", counts);
    (void) json_object_set_new(object, "marks", marks);
    return object;
}

static json_t *red_object(const struct sweep *s, const struct sweep_red *r)
{
    json_t *object = json_object();
    /* A text is cut at its limit, perhaps inside of a character. */
    json_t *text = json_string(r->text);

    (void) json_object_set_new(object, "seed",
                               json_sprintf("%s:%" PRIu64,
                                            engine_name(sweep_job_engine(s->options, r->job)),
                                            sweep_job_seed(s->options, r->job)));
    (void) json_object_set_new(object, "property", json_string(r->property));
    (void) json_object_set_new(object, "at_us", number(r->at_us));
    (void) json_object_set_new(object, "text", text != NULL ? text : json_string("?"));
    return object;
}

int report_json(const char *path, const struct sweep *s, uint32_t unreached)
{
    json_t *root = json_object();
    json_t *engines = json_array();
    json_t *reds = json_array();
    int result;

    for (uint32_t e = 0; e < s->options->engines_count; e++) {
        (void) json_array_append_new(engines, engine_object(&s->totals[e],
                                                            engine_name(s->options->engines[e])));
    }
    for (uint32_t i = 0; i < s->reds_count; i++) {
        (void) json_array_append_new(reds, red_object(s, &s->reds[i]));
    }
    (void) json_object_set_new(root, "build", json_string(s->options->build));
    (void) json_object_set_new(root, "from", number(s->options->from));
    (void) json_object_set_new(root, "runs", number(s->runs));
    (void) json_object_set_new(root, "red", number(s->red));
    (void) json_object_set_new(root, "unreached", number(unreached));
    (void) json_object_set_new(root, "interrupted", json_boolean(s->interrupted));
    (void) json_object_set_new(root, "real_us", number(sweep_elapsed(s)));
    (void) json_object_set_new(root, "engines", engines);
    (void) json_object_set_new(root, "reds", reds);
    result = json_dump_file(root, path, JSON_INDENT(2));
    json_decref(root);
    return result == 0 ? OK : ERR_IO;
}

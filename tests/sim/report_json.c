/*
 * report_json.c - a sweep as one JSON object: see report.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "kv/cli_json.h"
#include "tests/sim/report.h"

enum { TEXT_MAX = 16 * 1024 * 1024 };

static void put_text(struct json *j, const char *key, const char *text)
{
    json_text(j, key, bytes_str(text));
}

static void put_hash(struct json *j, const char *key, uint64_t hash)
{
    char text[32];

    (void) snprintf(text, sizeof(text), "%016" PRIx64, hash);
    put_text(j, key, text);
}

static void put_engine(struct json *j, const struct sweep_totals *t, const char *name)
{
    json_object(j, NULL);
    put_text(j, "engine", name);
    json_u64(j, "runs", t->runs);
    json_u64(j, "red", t->red);
    json_u64(j, "virtual_us", t->virtual_us);
    json_u64(j, "cpu_us", t->cpu_us);
    json_u64(j, "longest_gap_us", t->gap_us);
    json_u64(j, "longest_end_us", t->settle_us);
    put_hash(j, "trace_hash", t->hash);
    json_object(j, "counts");
    for (uint32_t i = 0; i < SIM_COUNTS; i++) {
        json_u64(j, sim_count_text(i), t->counts[i]);
    }
    json_end_object(j);
    json_object(j, "marks");
    for (uint32_t i = 0; i < MARKS; i++) {
        json_u64(j, mark_name(i), t->marks[i]);
    }
    json_end_object(j);
    json_end_object(j);
}

static void put_red(struct json *j, const struct sweep *s, const struct sweep_red *r)
{
    char seed[64];

    (void) snprintf(seed, sizeof(seed), "%s:%" PRIu64,
                    engine_name(sweep_job_engine(s->options, r->job)),
                    sweep_job_seed(s->options, r->job));
    json_object(j, NULL);
    put_text(j, "seed", seed);
    put_text(j, "property", r->property);
    json_u64(j, "at_us", r->at_us);
    put_text(j, "text", r->text);
    json_end_object(j);
}

static void put_sweep(struct json *j, const struct sweep *s, uint32_t unreached)
{
    json_object(j, NULL);
    put_text(j, "build", s->options->build);
    json_u64(j, "from", s->options->from);
    json_u64(j, "runs", s->runs);
    json_u64(j, "red", s->red);
    json_u64(j, "unreached", unreached);
    json_bool(j, "interrupted", s->interrupted);
    json_u64(j, "real_us", sweep_elapsed(s));
    json_array(j, "engines");
    for (uint32_t e = 0; e < s->options->engines_count; e++) {
        put_engine(j, &s->totals[e], engine_name(s->options->engines[e]));
    }
    json_end_array(j);
    json_array(j, "reds");
    for (uint32_t i = 0; i < s->reds_count; i++) {
        put_red(j, s, &s->reds[i]);
    }
    json_end_array(j);
    json_end_object(j);
}

int report_json(const char *path, const struct sweep *s, uint32_t unreached)
{
    struct buf text;
    struct json j = {.out = &text};
    FILE *f = fopen(path, "w");
    bool good;
    int why;

    if (f == NULL) {
        return ERR_IO;
    }
    buf_init(&text, TEXT_MAX);
    put_sweep(&j, s, unreached);
    good =
        fwrite(text.data, 1, text.size, f) == text.size && fputc('\n', f) != EOF && fflush(f) == 0;
    why = errno;
    if (fclose(f) != 0 && good) {
        why = errno;
        good = false;
    }
    buf_release(&text);
    errno = why;
    return good ? OK : ERR_IO;
}

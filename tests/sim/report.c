/*
 * report.c - see report.h; the JSON is in report_json.c.
 */
#include "tests/sim/report.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "tests/sim/cmd.h"

enum { NAME_WIDTH = 46, VALUE_WIDTH = 13, FLAGS_MAX = 256 };

void report_time(uint64_t us, char text[REPORT_TIME_MAX])
{
    uint64_t s = us / 1000000;

    if (us < 1000) {
        (void) snprintf(text, REPORT_TIME_MAX, "%" PRIu64 "us", us);
    } else if (us < 1000000) {
        (void) snprintf(text, REPORT_TIME_MAX, "%" PRIu64 "ms", us / 1000);
    } else if (s < 100) {
        (void) snprintf(text, REPORT_TIME_MAX, "%.1fs", (double) us / 1e6);
    } else if (s < 6000) {
        (void) snprintf(text, REPORT_TIME_MAX, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    } else {
        (void) snprintf(text, REPORT_TIME_MAX, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    }
}

void report_swarm_flags(const struct swarm_options *swarm, struct buf *out)
{
    /* A few words: the limit of the buffer is far away. */
    if (swarm->nodes != 0) {
        ERR_IGNORE(buf_printf(out, " --nodes %u", swarm->nodes));
    }
    if (swarm->mode >= 0) {
        ERR_IGNORE(buf_printf(out, " --mode %s", cmd_modes[swarm->mode]));
    }
    if (swarm->beyond) {
        ERR_IGNORE(buf_printf(out, " --beyond"));
    }
}

/* ---- One run ---- */

/* What a control should have come to and did not. */
static void print_unexpected(FILE *out, const struct scenario *s, const struct sim_result *r)
{
    const char *property = s->expect_property;

    (void) fprintf(out, "  what      expected red%s%s, came out %s%s\n",
                   property[0] == '\0' ? "" : " ", property, r->red ? "red by " : "green",
                   !r->red                  ? ""
                   : r->property[0] == '\0' ? "none of the table"
                                            : r->property);
}

static void print_red(FILE *out, const struct sim_result *r)
{
    (void) fprintf(out, "  property  %s\n",
                   r->property[0] == '\0' ? "none of the table" : r->property);
    (void) fprintf(out, "  what      %s\n", r->text);
    (void) fprintf(out, "  at        %.6f s of virtual time\n", (double) r->at_us / 1e6);
}

/* The commands that make the run again. */
static void print_again(FILE *out, const struct report_run *run, const struct sim_result *r)
{
    (void) fprintf(out, "  seed      %" PRIu64 "\n", run->scenario->seed);
    (void) fprintf(out, "  build     %s\n", run->build);
    (void) fprintf(out, "  again     %s run %s\n", run->program, run->words);
    if (r->red) {
        (void) fprintf(out, "  shrink    %s shrink %s\n", run->program, run->words);
    }
    (void) fprintf(out, "  picture   %s show %s --html run.html\n", run->program, run->words);
}

/* Green is what came out as expected: of a control, red. */
static void print_verdict(FILE *out, const struct report_run *run, const struct sim_result *r)
{
    bool good = sim_as_expected(run->scenario, r);

    (void) fprintf(out, "%s  %s  (%u nodes, %s)\n", good ? "green" : "RED  ", run->name,
                   run->scenario->nodes, cmd_modes[run->scenario->mode]);
    if (good && r->red) {
        (void) fprintf(out, "  red as expected\n");
    }
    if (!good && run->scenario->expect_red) {
        print_unexpected(out, run->scenario, r);
    }
    if (r->red) {
        print_red(out, r);
    }
    if (!good) {
        print_again(out, run, r);
    }
}

void report_run(FILE *out, const struct report_run *run, const struct sim_result *r)
{
    char longest[REPORT_TIME_MAX];
    char settle[REPORT_TIME_MAX];

    if (run->short_form && sim_as_expected(run->scenario, r)) {
        (void) fprintf(out, "green  %s  trace %016" PRIx64 "%s%s\n", run->name, r->trace_hash,
                       r->red ? "  red as expected: " : "", r->red ? r->property : "");
        return;
    }
    print_verdict(out, run, r);
    report_time(r->gap_us, longest);
    report_time(r->settle_us, settle);
    (void) fprintf(out, "  trace hash %016" PRIx64 "\n", r->trace_hash);
    (void) fprintf(out,
                   "  virtual time %.6f s; longest time without an answered write %s; end %s\n",
                   (double) r->virtual_us / 1e6, longest, settle);
    for (uint32_t i = 0; i < SIM_COUNTS; i++) {
        if (r->counts[i] != 0) {
            (void) fprintf(out, "  %-*s %*" PRIu64 "\n", NAME_WIDTH, sim_count_text(i), VALUE_WIDTH,
                           r->counts[i]);
        }
    }
    for (uint32_t i = 0; i < MARKS; i++) {
        if (r->marks[i] != 0) {
            (void) fprintf(out, "  reached %-*s %*" PRIu64 "\n", NAME_WIDTH - 8, mark_name(i),
                           VALUE_WIDTH, r->marks[i]);
        }
    }
}

/* ---- A sweep ---- */

bool report_count_applies(const struct engine_ops *engine, uint32_t count)
{
    uint32_t can = engine_capabilities(engine);

    return !(count == COUNT_TRANSFERS && (can & CAP_TRANSFER) == 0) &&
           !(count == COUNT_LEADERS && (can & CAP_LEADER) == 0);
}

static bool mark_applies(const struct engine_ops *engine, uint32_t mark)
{
    return (mark_engines(mark) >> engine_number(engine) & 1) != 0;
}

static void print_name(FILE *out, const char *name)
{
    (void) fprintf(out, "  %-*s", NAME_WIDTH, name);
}

static double per(uint64_t a, uint64_t b)
{
    return b == 0 ? 0 : (double) a / (double) b;
}

static void print_speed(FILE *out, const struct sweep *s)
{
    uint32_t n = s->options->engines_count;

    print_name(out, "virtual time, hours");
    for (uint32_t e = 0; e < n; e++) {
        (void) fprintf(out, "%*.2f", VALUE_WIDTH, (double) s->totals[e].virtual_us / 3.6e9);
    }
    (void) fputc('\n', out);
    print_name(out, "times faster than real, on one core");
    for (uint32_t e = 0; e < n; e++) {
        (void) fprintf(out, "%*.0f", VALUE_WIDTH,
                       per(s->totals[e].virtual_us, s->totals[e].cpu_us));
    }
    (void) fputc('\n', out);
    print_name(out, "events a second, on one core");
    for (uint32_t e = 0; e < n; e++) {
        (void) fprintf(out, "%*.0f", VALUE_WIDTH,
                       1e6 * per(s->totals[e].counts[COUNT_EVENTS], s->totals[e].cpu_us));
    }
    (void) fputc('\n', out);
}

static void print_time_row(FILE *out, const struct sweep *s, const char *name, size_t offset)
{
    print_name(out, name);
    for (uint32_t e = 0; e < s->options->engines_count; e++) {
        char text[REPORT_TIME_MAX];
        uint64_t us;

        memcpy(&us, (const char *) &s->totals[e] + offset, sizeof(us));
        report_time(us, text);
        (void) fprintf(out, "%*s", VALUE_WIDTH, text);
    }
    (void) fputc('\n', out);
}

static void print_u64_row(FILE *out, const struct sweep *s, const char *name, size_t offset)
{
    print_name(out, name);
    for (uint32_t e = 0; e < s->options->engines_count; e++) {
        uint64_t value;

        memcpy(&value, (const char *) &s->totals[e] + offset, sizeof(value));
        (void) fprintf(out, "%*" PRIu64, VALUE_WIDTH, value);
    }
    (void) fputc('\n', out);
}

static void print_hash(FILE *out, const struct sweep *s)
{
    print_name(out, "hash of all traces");
    for (uint32_t e = 0; e < s->options->engines_count; e++) {
        (void) fprintf(out, " %012" PRIx64, s->totals[e].hash >> 16);
    }
    (void) fputc('\n', out);
}

/* A row in which no engine could have a value says nothing. */
static bool has_count(const struct sweep *s, uint32_t count)
{
    for (uint32_t e = 0; e < s->options->engines_count; e++) {
        if (report_count_applies(s->options->engines[e], count) || s->totals[e].counts[count] > 0) {
            return true;
        }
    }
    return false;
}

static bool has_mark(const struct sweep *s, uint32_t mark)
{
    for (uint32_t e = 0; e < s->options->engines_count; e++) {
        if (mark_applies(s->options->engines[e], mark) || s->totals[e].marks[mark] > 0) {
            return true;
        }
    }
    return false;
}

/* A value, or a dash where the engine cannot have one. */
static void print_value(FILE *out, bool applies, uint64_t value)
{
    if (applies || value != 0) {
        (void) fprintf(out, "%*" PRIu64, VALUE_WIDTH, value);
    } else {
        (void) fprintf(out, "%*s", VALUE_WIDTH, "-");
    }
}

static void print_tables(FILE *out, const struct sweep *s)
{
    const struct sweep_options *o = s->options;

    (void) fprintf(out, "\nWhat happened\n");
    for (uint32_t i = 0; i < SIM_COUNTS; i++) {
        if (!has_count(s, i)) {
            continue;
        }
        print_name(out, sim_count_text(i));
        for (uint32_t e = 0; e < o->engines_count; e++) {
            print_value(out, report_count_applies(o->engines[e], i), s->totals[e].counts[i]);
        }
        (void) fputc('\n', out);
    }
    (void) fprintf(out, "\nWhat was reached\n");
    for (uint32_t i = 0; i < MARKS; i++) {
        if (!has_mark(s, i)) {
            continue;
        }
        print_name(out, mark_name(i));
        for (uint32_t e = 0; e < o->engines_count; e++) {
            print_value(out, mark_applies(o->engines[e], i), s->totals[e].marks[i]);
        }
        (void) fputc('\n', out);
    }
}

static void print_reds(FILE *out, const struct sweep *s, const char *program)
{
    struct buf flags;

    buf_init(&flags, FLAGS_MAX);
    report_swarm_flags(&s->options->swarm, &flags);
    (void) fprintf(out, "\n%" PRIu64 " red run%s%s\n", s->red, s->red == 1 ? "" : "s",
                   s->red > s->reds_count ? "; the first ones:" : ":");
    for (uint32_t i = 0; i < s->reds_count; i++) {
        const struct sweep_red *r = &s->reds[i];
        const char *engine = engine_name(sweep_job_engine(s->options, r->job));
        uint64_t seed = sweep_job_seed(s->options, r->job);

        (void) fprintf(out, "  %s:%" PRIu64 "  %s  at %.6f s: %s\n", engine, seed,
                       r->property[0] == '\0' ? "-" : r->property, (double) r->at_us / 1e6,
                       r->text);
        (void) fprintf(out, "      %s run %s:%" PRIu64 "%.*s\n", program, engine, seed,
                       (int) flags.size, flags.size > 0 ? (const char *) flags.data : "");
    }
    (void) fprintf(out, "  build %s\n", s->options->build);
    buf_release(&flags);
}

void report_sweep(FILE *out, const struct sweep *s, const char *program)
{
    print_name(out, "");
    for (uint32_t e = 0; e < s->options->engines_count; e++) {
        (void) fprintf(out, "%*s", VALUE_WIDTH, engine_name(s->options->engines[e]));
    }
    (void) fputc('\n', out);
    print_u64_row(out, s, "runs", offsetof(struct sweep_totals, runs));
    print_u64_row(out, s, "red", offsetof(struct sweep_totals, red));
    print_speed(out, s);
    print_time_row(out, s, "longest time without an answered write",
                   offsetof(struct sweep_totals, gap_us));
    print_time_row(out, s, "longest end", offsetof(struct sweep_totals, settle_us));
    print_hash(out, s);
    print_tables(out, s);
    if (s->red > 0) {
        print_reds(out, s, program);
    }
}

/* ---- Reach ---- */

/* Everything there is to count is meant to be seen, but for what nobody wants. */
static bool must_happen(const struct engine_ops *engine, uint32_t count)
{
    return report_count_applies(engine, count) && count != COUNT_UNDECIDED &&
           count != COUNT_LYING_DISKS && count != COUNT_MISSED; /* not drawn from seeds */
}

uint32_t report_unreached(FILE *out, const struct sweep *s)
{
    const struct sweep_options *o = s->options;
    uint32_t unreached = 0;

    for (uint32_t e = 0; e < o->engines_count; e++) {
        const char *name = engine_name(o->engines[e]);

        for (uint32_t i = 0; i < MARKS; i++) {
            if (mark_applies(o->engines[e], i) && s->totals[e].marks[i] == 0) {
                (void) fprintf(out, "never reached by %s: mark %s\n", name, mark_name(i));
                unreached++;
            }
        }
        for (uint32_t i = 0; i < SIM_COUNTS; i++) {
            if (must_happen(o->engines[e], i) && s->totals[e].counts[i] == 0) {
                (void) fprintf(out, "never happened to %s: %s\n", name, sim_count_text(i));
                unreached++;
            }
        }
    }
    return unreached;
}

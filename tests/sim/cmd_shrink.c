/*
 * cmd_shrink.c - synod-sim shrink: a red run becomes a small scenario that is red for the same
 * reason.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/sim/cmd.h"
#include "tests/sim/shrink.h"
#include "tests/sim/trial.h"

enum {
    TEXT_MAX = 8192,
    SCENARIO_MAX = 2 * 1024 * 1024,
    TRIES_DEFAULT = 3000,
    TRIES_MAX = 1000000,
    LIMIT_S = 120, /* of the first run */
    SHOWN_EVERY_US = 200 * 1000,
    LINE_EVERY_US = 10 * 1000000,
};

static const char help[] =
    "Usage: synod-sim shrink SEED | --scenario FILE [-o FILE] [--tries N]\n"
    "\n"
    "Makes a red run small: leaves out what it can while the run breaks the same\n"
    "property, and prints what is left as a scenario file. Each try is a process of\n"
    "its own: a run that crashes can be shrunk too. Ctrl-C ends it with the smallest\n"
    "one so far.\n"
    "\n" CMD_TARGET_HELP "  -o, --output FILE    write the scenario there instead of to stdout\n"
    "  --tries N            runs at most (3000)\n"
    "\n"
    "  synod-sim shrink raft:42 -o tests/fault/what-it-shows.fault\n"
    "\n"
    "Exit codes: 0 a scenario that is red was written; 2 wrong usage, bad input, or\n"
    "the run is green.\n";

enum flag { SHRINK_OUTPUT = TARGET_FLAGS, SHRINK_TRIES, SHRINK_FLAGS };

static const struct cli_flag flags[] = {
    CMD_TARGET_FLAGS,
    [SHRINK_OUTPUT] = {"output", 'o', FLAG_TEXT, "FILE", NULL, NULL},
    [SHRINK_TRIES] = {"tries", 0, FLAG_NUMBER, "N", NULL, NULL},
};

/* What is wanted, and the last try. */
struct judge {
    struct sim_result first;
    struct sim_result last; /* that was red for the same reason */
    struct trial_limits limits;
    bool broken; /* no process could be made */
    bool terminal;
    uint64_t shown_us;
};

static int fail(const struct buf *error)
{
    return cmd_fail("shrink", "%.*s", (int) error->size,
                    error->size > 0 ? (const char *) error->data : "");
}

/* ---- Judging ---- */

/* Equal but for numbers: nodes, indexes and times differ in a smaller run. */
static bool same_words(const char *a, const char *b)
{
    while (*a != '\0' || *b != '\0') {
        while (isdigit((unsigned char) *a)) {
            a++;
        }
        while (isdigit((unsigned char) *b)) {
            b++;
        }
        if (*a != *b) {
            return false;
        }
        if (*a != '\0') {
            a++;
            b++;
        }
    }
    return true;
}

/* A run without a property of the table (it died, it hung) is known by what it said. */
static bool same_reason(const struct sim_result *a, const struct sim_result *b)
{
    /* Clients that write nothing wait for nobody: that is another reason. */
    bool written = strcmp(a->property, "R11") != 0 || a->counts[COUNT_WRITES_OK] == 0 ||
                   b->counts[COUNT_WRITES_OK] > 0;

    return a->red && b->red && strcmp(a->property, b->property) == 0 && written &&
           (a->property[0] != '\0' || same_words(a->text, b->text));
}

static bool is_red(void *ctx, const struct scenario *s)
{
    struct judge *j = ctx;
    struct trial_work work = trial_scenario(s);
    struct sim_result result;

    if (j->broken || cmd_interrupts() > 0) {
        return false; /* the rest goes quickly */
    }
    if (trial_run(&work, &j->limits, &result, NULL) != OK) {
        j->broken = true;
        return false;
    }
    if (!same_reason(&j->first, &result)) {
        return false;
    }
    j->last = result;
    return true;
}

static uint64_t red_at_us(void *ctx)
{
    const struct judge *j = ctx;

    return j->last.at_us;
}

static void show_progress(void *ctx, const struct shrink_progress *p)
{
    struct judge *j = ctx;
    uint64_t now_us = cmd_now_us();

    if (cmd_interrupts() > 0 || now_us - j->shown_us < (j->terminal ? (uint64_t) SHOWN_EVERY_US
                                                                    : (uint64_t) LINE_EVERY_US)) {
        return;
    }
    j->shown_us = now_us;
    (void) fprintf(stderr, "%s%u tries: %u nodes, %u clients, %u steps, %.3f s; leaving out %s%s",
                   j->terminal ? "\r" : "shrink: ", p->tries, p->best->nodes, p->best->clients,
                   p->best->steps_count, (double) p->best->length_us / 1e6, p->what,
                   j->terminal ? "\033[K" : "\n");
    (void) fflush(stderr);
}

/* ---- Output ---- */

static int write_scenario(const struct scenario *s, const struct judge *j,
                          const struct cmd_target *target, FILE *out)
{
    char build[CMD_BUILD_MAX];
    struct buf text;
    struct buf name;
    int err;

    cmd_build(build);
    buf_init(&name, TEXT_MAX);
    cmd_target_name(target, s->engine, &name);
    buf_init(&text, SCENARIO_MAX);
    err = scenario_print(s, &text);
    if (err == OK) {
        (void) fprintf(out, "# %s%s%s\n# made from %.*s with build %s\n", j->last.property,
                       j->last.property[0] == '\0' ? "" : ": ", j->last.text, (int) name.size,
                       (const char *) name.data, build);
        (void) fwrite(text.data, 1, text.size, out); /* asked for below */
        err = fflush(out) == 0 && ferror(out) == 0 ? OK : ERR_IO;
    }
    buf_release(&text);
    buf_release(&name);
    return err;
}

static int write_out(const struct scenario *s, const struct judge *j,
                     const struct cmd_target *target, const struct cli_value *output)
{
    FILE *out = output->set ? fopen(output->text, "w") : stdout;
    int err;

    if (out == NULL) {
        return cmd_fail("shrink", "%s: cannot write: %s", output->text, strerror(errno));
    }
    err = write_scenario(s, j, target, out);
    if (output->set && fclose(out) != 0) {
        err = ERR_IO;
    }
    if (err != OK) {
        return cmd_fail("shrink", "%s: cannot write: %s", output->set ? output->text : "stdout",
                        strerror(errno));
    }
    return CMD_GREEN;
}

static int shrink(const struct scenario *from, const struct cmd_target *target, struct judge *j,
                  const struct cli_args *args, uint32_t tries_max)
{
    struct shrink_options options = {
        .red = is_red,
        .red_at_us = red_at_us,
        .ctx = j,
        .tries_max = tries_max,
        .progress = show_progress,
    };
    struct scenario smallest;
    uint32_t tries;
    int result;

    cmd_catch_interrupts();
    j->terminal = isatty(STDERR_FILENO) == 1;
    tries = shrink_scenario(from, &options, &smallest);
    (void) fprintf(stderr,
                   "%s%u tries: %u nodes, %u steps, %.3f s became %u nodes, %u steps, "
                   "%.3f s\n",
                   j->terminal ? "\r\033[K" : "", tries, from->nodes, from->steps_count,
                   (double) from->length_us / 1e6, smallest.nodes, smallest.steps_count,
                   (double) smallest.length_us / 1e6);
    if (j->broken) {
        (void) cmd_fail("shrink", "no process could be started any more; this is how far it came");
    } else if (cmd_interrupts() > 0 || tries >= tries_max) {
        (void) fprintf(stderr, "it ended early; there may be a smaller one\n");
    }
    result = write_out(&smallest, j, target, &args->values[SHRINK_OUTPUT]);
    scenario_release(&smallest);
    return result;
}

/* Runs the original; a red one is shrunk. */
static int judge_and_shrink(const struct scenario *scenario, const struct cmd_target *target,
                            const struct cli_args *args, uint32_t tries_max)
{
    struct trial_work work = trial_scenario(scenario);
    struct judge j = {.limits = {LIMIT_S, false}};
    uint64_t cpu_us = 0;

    if (trial_run(&work, &j.limits, &j.first, &cpu_us) != OK) {
        return cmd_fail("shrink", "cannot start a process: %s", strerror(errno));
    }
    if (!j.first.red) {
        return cmd_fail("shrink", "the run is green: there is nothing to shrink");
    }
    (void) fprintf(stderr, "red: %s %s\n", j.first.property, j.first.text);
    j.last = j.first;
    /* A smaller run that takes much longer hangs. */
    j.limits.real_s = (uint32_t) u64_min(LIMIT_S, 10 + 20 * cpu_us / 1000000);
    return shrink(scenario, target, &j, args, tries_max);
}

static int run(const struct cli_args *args, struct cmd_target *target, struct buf *error)
{
    const struct cli_value *tries = &args->values[SHRINK_TRIES];
    struct scenario scenario;
    int result;

    if (tries->set && (tries->number < 1 || tries->number > TRIES_MAX)) {
        return cmd_fail("shrink", "--tries %lld: it must be 1 to %d", (long long) tries->number,
                        TRIES_MAX);
    }
    if (target->engine == NULL && cmd_target_file_engine(target, &target->engine, error) != OK) {
        return fail(error);
    }
    if (target->engine == NULL) {
        return cmd_fail("shrink", "%s is for any engine: give --engine ENGINE beside it",
                        target->path);
    }
    if (cmd_target_scenario(target, target->engine, &scenario, error) != OK) {
        return fail(error);
    }
    result = judge_and_shrink(&scenario, target, args,
                              tries->set ? (uint32_t) tries->number : (uint32_t) TRIES_DEFAULT);
    scenario_release(&scenario);
    return result;
}

int cmd_shrink(int argc, char **argv)
{
    static const struct cmd_target_command command = {
        .name = "shrink", .help = help, .flags = flags, .flags_count = SHRINK_FLAGS, .run = run};

    return cmd_target_main(&command, argc, argv);
}

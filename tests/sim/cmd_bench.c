/*
 * cmd_bench.c - synod-sim bench: how much virtual time the simulator does in a second of one core.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tests/sim/cmd.h"
#include "tests/sim/trial.h"

enum {
    TEXT_MAX = 1024,
    LIMIT_S = 600,
    CLIENTS = 5,
    THINK_MIN_US = 150 * 1000, /* 5 clients and 200 ms: 25 calls a second */
    THINK_MAX_US = 250 * 1000,
    FAULT_EVERY_US = 5 * 1000 * 1000,
};

static const char help[] =
    "Usage: synod-sim bench [--engine ENGINE] [--nodes N] [--length T]\n"
    "\n"
    "Measures the simulator: virtual seconds per second of one core, for a cluster\n"
    "with the defaults of production under 25 calls a second, without faults and\n"
    "with one every 5 s.\n"
    "\n"
    "  -e, --engine ENGINE  only this one\n"
    "  -n, --nodes N        1 to 7 (5)\n"
    "  --length T           of virtual time for each row (60s)\n"
    "\n"
    "Exit codes: 0 measured; 1 a run was red; 2 wrong usage.\n";

enum flag { BENCH_HELP, BENCH_ENGINE, BENCH_NODES, BENCH_LENGTH, BENCH_FLAGS };

static const struct cli_flag flags[] = {
    [BENCH_HELP] = CMD_HELP_FLAG,
    [BENCH_ENGINE] = {"engine", 'e', FLAG_TEXT, "ENGINE", NULL, NULL},
    [BENCH_NODES] = {"nodes", 'n', FLAG_NUMBER, "N", NULL, NULL},
    [BENCH_LENGTH] = {"length", 0, FLAG_TEXT, "T", NULL, NULL},
};

struct bench {
    const struct engine_ops *engine; /* NULL: all */
    uint32_t nodes;
    uint64_t length_us;
};

static void add_step(struct scenario *s, uint64_t at_us, uint8_t kind, uint32_t node)
{
    const struct sim_step step = {.at_us = at_us, .kind = kind, .a = node};

    scenario_add(s, &step);
}

/* The leader crashes, and comes back; it is cut off, and comes back. */
static void add_faults(struct scenario *s)
{
    bool crash = true;

    for (uint64_t at = FAULT_EVERY_US; at + FAULT_EVERY_US < s->length_us; at += FAULT_EVERY_US) {
        uint64_t back = at + FAULT_EVERY_US / 2;

        if (crash) {
            add_step(s, at, STEP_POWER_LOSS, SIM_NODE_LEADER);
            add_step(s, back, STEP_RESTART, SIM_NODE_ALL);
        } else {
            add_step(s, at, STEP_ISOLATE, SIM_NODE_LEADER);
            add_step(s, back, STEP_HEAL, 0);
        }
        crash = !crash;
    }
}

static void fill(struct scenario *s, const struct bench *b, const struct engine_ops *engine,
                 bool faults)
{
    scenario_init(s, engine, 1);
    s->nodes = b->nodes;
    s->length_us = b->length_us;
    s->clients = CLIENTS;
    s->think = (struct sim_span){THINK_MIN_US, THINK_MAX_US};
    if (faults) {
        add_faults(s);
    }
}

static int measure(const struct bench *b, const struct engine_ops *engine, bool faults)
{
    struct trial_limits limits = {LIMIT_S, true};
    struct scenario s;
    struct sim_result r;
    uint64_t cpu_us = 0;
    double seconds;
    int err;

    fill(&s, b, engine, faults);
    {
        struct trial_work work = trial_scenario(&s);

        err = trial_run(&work, &limits, &r, &cpu_us);
    }
    scenario_release(&s);
    if (err != OK) {
        return cmd_fail("bench", "cannot start a process: %s", strerror(errno));
    }
    seconds = (double) u64_max(cpu_us, 1) / 1e6;
    (void) printf("%-12s %-8s %9.1f %9.3f %9.0f %12.0f %9.1f %9.1f%s\n", engine_name(engine),
                  faults ? "faults" : "calm", (double) r.virtual_us / 1e6, seconds,
                  (double) r.virtual_us / 1e6 / seconds, (double) r.counts[COUNT_EVENTS] / seconds,
                  (double) r.counts[COUNT_CALLS] / ((double) u64_max(r.virtual_us, 1) / 1e6),
                  (double) r.counts[COUNT_MESSAGES] / ((double) u64_max(r.virtual_us, 1) / 1e6),
                  r.red ? "  RED" : "");
    if (r.red) {
        (void) printf("    %s %s\n", r.property, r.text);
    }
    return r.red ? CMD_RED : CMD_GREEN;
}

static int measure_all(const struct bench *b)
{
    int result = CMD_GREEN;

    (void) printf("%u nodes, %d clients\n%-12s %-8s %9s %9s %9s %12s %9s %9s\n", b->nodes, CLIENTS,
                  "engine", "", "virtual s", "core s", "x real", "events/s", "calls/vs", "msgs/vs");
    for (uint32_t i = 0; engine_at(i) != NULL; i++) {
        for (int faults = 0; faults < 2 && (b->engine == NULL || b->engine == engine_at(i));
             faults++) {
            int one = measure(b, engine_at(i), faults == 1);

            result = one > result ? one : result;
        }
    }
    return result;
}

static int parse(const struct cli_args *args, struct bench *b, struct buf *error)
{
    const struct cli_value *v = args->values;

    *b = (struct bench){.length_us = 60 * 1000000};
    if (args->words_count > 0) {
        ERR_IGNORE(
            buf_printf(error, "unexpected \"%.80s\"; see synod-sim bench --help", args->words[0]));
        return ERR_INVALID;
    }
    if ((v[BENCH_ENGINE].set && cmd_engine(v[BENCH_ENGINE].text, &b->engine, error) != OK) ||
        cmd_nodes(&v[BENCH_NODES], &b->nodes, error) != OK ||
        (v[BENCH_LENGTH].set && cmd_time(v[BENCH_LENGTH].text, &b->length_us, error) != OK)) {
        return ERR_INVALID;
    }
    if (b->nodes == 0) {
        b->nodes = 5;
    }
    if (b->length_us < 1000000 || b->length_us > UINT64_C(3600000000)) {
        ERR_IGNORE(buf_printf(error, "--length %s: it must be 1s to 1h", v[BENCH_LENGTH].text));
        return ERR_INVALID;
    }
    return OK;
}

int cmd_bench(int argc, char **argv)
{
    struct cli_args args;
    struct bench bench;
    struct buf error;
    int result;

    buf_init(&error, TEXT_MAX);
    if (cli_parse("synod-sim bench", flags, BENCH_FLAGS, argc, argv, &args, &error) != OK) {
        (void) fprintf(stderr, "%.*s\n", (int) error.size, (const char *) error.data);
        result = CMD_USAGE;
    } else if (args.values[BENCH_HELP].set) {
        (void) fputs(help, stdout);
        result = CMD_GREEN;
    } else if (parse(&args, &bench, &error) != OK) {
        result = cmd_fail("bench", "%.*s", (int) error.size, (const char *) error.data);
    } else {
        result = measure_all(&bench);
    }
    buf_release(&error);
    return result;
}

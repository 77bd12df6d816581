/*
 * cmd_sweep.c - synod-sim sweep: many seeds on all cores, with a bar that says how far it is.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/compare/pool.h"
#include "tests/sim/cmd.h"
#include "tests/sim/report.h"

enum {
    TEXT_MAX = 8192,
    SEEDS_DEFAULT = 300,
    RUN_LIMIT_S = 300,
    BAR_CELLS = 24,
    BAR_MIN = 8, /* rather than a shorter one, fewer numbers */
    BAR_US = 200 * 1000,
    LINE_US = 10 * 1000000,
};

static const char help[] =
    "Usage: synod-sim sweep [--engine ENGINE[,ENGINE]|all] [--seeds N]\n"
    "                       [--seconds T] [FLAG...]\n"
    "\n"
    "Runs many seeds, several at a time, each in a process of its own (one that\n"
    "crashes is red). Says at the end what happened, which rare branches were\n"
    "reached, and which runs were red.\n"
    "\n"
    "  -e, --engine ENGINE  raft, multipaxos, paxos, several with commas, or all\n"
    "                       (all)\n"
    "  --seeds N            for each engine (300; without limit when --seconds is\n"
    "                       given)\n"
    "  --from SEED          the first seed (1)\n"
    "  --seconds T          begin no more runs after this time\n"
    "  -j, --jobs N         runs at a time (one for each core)\n"
    "  -n, --nodes N        1 to 7 nodes instead of a number drawn from the seed\n"
    "  --mode MODE          safety or liveness instead of one drawn from the seed\n"
    "  --beyond             draw damage to more nodes than the cluster can bear\n"
    "  --until-red          end at the first red run\n"
    "  --run-limit SECONDS  of real time, then a run is red (300)\n"
    "  --resume FILE        keep there what is done, and go on from there after an\n"
    "                       interruption; --seeds, --seconds and --jobs may be\n"
    "                       others then\n"
    "  --reach              what was never reached is red, also after a few runs\n"
    "  --no-reach           it is not red, also after many runs; without either it\n"
    "                       is red from 200 runs an engine on, unless --nodes,\n"
    "                       --mode or --beyond is given\n"
    "  --json FILE          the numbers as JSON\n"
    "  -q, --quiet          no progress; tables only when something is red\n"
    "\n"
    "  synod-sim sweep                                    300 seeds of each engine\n"
    "  synod-sim sweep --seconds 3600 --resume sweep.txt  an hour; again: one more\n"
    "  synod-sim sweep --engine raft --from 1000 --seeds 50 --nodes 5\n"
    "\n"
    "Exit codes: 0 green; 1 a run was red or something was never reached; 2 wrong\n"
    "usage or bad input; 130 interrupted and nothing red until then.\n";

enum flag {
    SWEEP_HELP,
    SWEEP_ENGINE,
    SWEEP_SEEDS,
    SWEEP_FROM,
    SWEEP_SECONDS,
    SWEEP_JOBS,
    SWEEP_NODES,
    SWEEP_MODE,
    SWEEP_BEYOND,
    SWEEP_UNTIL_RED,
    SWEEP_RUN_LIMIT,
    SWEEP_RESUME,
    SWEEP_REACH,
    SWEEP_NO_REACH,
    SWEEP_JSON,
    SWEEP_QUIET,
    SWEEP_FLAGS,
};

static const struct cli_flag flags[] = {
    [SWEEP_HELP] = CMD_HELP_FLAG,
    [SWEEP_ENGINE] = {"engine", 'e', FLAG_TEXT, "ENGINE", NULL, NULL},
    [SWEEP_SEEDS] = {"seeds", 0, FLAG_TEXT, "N", NULL, NULL},
    [SWEEP_FROM] = {"from", 0, FLAG_TEXT, "SEED", NULL, NULL},
    [SWEEP_SECONDS] = {"seconds", 0, FLAG_TEXT, "T", NULL, NULL},
    [SWEEP_JOBS] = {"jobs", 'j', FLAG_TEXT, "N", NULL, NULL},
    [SWEEP_NODES] = {"nodes", 'n', FLAG_NUMBER, "N", NULL, NULL},
    [SWEEP_MODE] = {"mode", 0, FLAG_CHOICE, "MODE", NULL, cmd_modes},
    [SWEEP_BEYOND] = {"beyond", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [SWEEP_UNTIL_RED] = {"until-red", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [SWEEP_RUN_LIMIT] = {"run-limit", 0, FLAG_TEXT, "SECONDS", NULL, NULL},
    [SWEEP_RESUME] = {"resume", 0, FLAG_TEXT, "FILE", NULL, NULL},
    [SWEEP_REACH] = {"reach", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [SWEEP_NO_REACH] = {"no-reach", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [SWEEP_JSON] = {"json", 0, FLAG_TEXT, "FILE", NULL, NULL},
    [SWEEP_QUIET] = {"quiet", 'q', FLAG_SWITCH, NULL, NULL, NULL},
};

static int fail(const struct buf *error)
{
    return cmd_fail("sweep", "%.*s", (int) error->size,
                    error->size > 0 ? (const char *) error->data : "");
}

/* ---- Progress ---- */

struct progress {
    bool terminal;
    uint64_t shown_us;
    bool on_line; /* the cursor is behind a bar */
};

static void time_left(const struct sweep *s, char text[REPORT_TIME_MAX])
{
    const struct sweep_options *o = s->options;
    uint64_t here_us = o->now_us() - s->start_us;
    uint64_t here = s->runs - s->resumed;
    uint64_t jobs = sweep_jobs(o);
    uint64_t left_us = UINT64_MAX;

    if (o->time_us != UINT64_MAX) {
        left_us = o->time_us > here_us ? o->time_us - here_us : 0;
    }
    if (jobs != UINT64_MAX && here > 0 && jobs >= s->runs) {
        left_us = u64_min(left_us, (uint64_t) ((double) here_us / (double) here *
                                               (double) (jobs - s->runs)));
    }
    if (left_us == UINT64_MAX) {
        (void) snprintf(text, REPORT_TIME_MAX, "?");
    } else {
        report_time(left_us / 1000000 * 1000000, text);
    }
}

static double share_done(const struct sweep *s)
{
    const struct sweep_options *o = s->options;
    uint64_t jobs = sweep_jobs(o);
    double runs = jobs == UINT64_MAX ? 0 : (double) s->runs / (double) jobs;
    double time =
        o->time_us == UINT64_MAX ? 0 : (double) (o->now_us() - s->start_us) / (double) o->time_us;
    double share = runs > time ? runs : time;

    return share < 1 ? share : 1;
}

/* The numbers; the less room there is, the fewer. */
static void format_numbers(const struct sweep *s, int level, char *text, size_t size)
{
    uint64_t jobs = sweep_jobs(s->options);
    double seconds = (double) sweep_elapsed(s) / 1e6 + 1e-9;
    uint64_t virtual_us = 0;
    char of[24] = "";
    char speed[48] = "";
    char faster[48] = "";
    char left[REPORT_TIME_MAX];

    for (uint32_t e = 0; e < s->options->engines_count; e++) {
        virtual_us += s->totals[e].virtual_us;
    }
    if (jobs != UINT64_MAX) {
        (void) snprintf(of, sizeof(of), "/%" PRIu64, jobs);
    }
    if (level < 2) {
        (void) snprintf(speed, sizeof(speed), "  %.1f runs/s", (double) s->runs / seconds);
    }
    if (level < 1) {
        (void) snprintf(faster, sizeof(faster), "  %.0f x real time",
                        (double) virtual_us / 1e6 / seconds);
    }
    time_left(s, left);
    (void) snprintf(text, size, "%" PRIu64 "%s runs  %.0f%%%s%s  %" PRIu64 " red  ETA %s", s->runs,
                    of, 100 * share_done(s), speed, faster, s->red, left);
}

/* One line that does not reach the last column: it would break there. */
static void print_bar(const struct sweep *s)
{
    size_t room = cmd_columns() - 1;
    char text[TEXT_MAX];
    char bar[BAR_CELLS + 1];
    size_t cells = 0;

    for (int level = 0; level <= 2 && cells < BAR_MIN; level++) {
        size_t used;

        format_numbers(s, level, text, sizeof(text));
        used = strlen(text) + strlen("[] ");
        cells = used < room ? room - used : 0;
    }
    cells = cells > BAR_CELLS ? BAR_CELLS : cells;
    for (size_t i = 0; i < cells; i++) {
        bar[i] = (double) i + 1 <= share_done(s) * (double) cells ? '#' : '.';
    }
    bar[cells] = '\0';
    if (cells == 0) {
        (void) fprintf(stderr, "\r%.*s\033[K", (int) room, text);
    } else {
        (void) fprintf(stderr, "\r[%s] %s\033[K", bar, text);
    }
}

static void print_progress(const struct sweep *s, const struct progress *p)
{
    char text[TEXT_MAX];

    if (p->terminal) {
        print_bar(s);
    } else {
        format_numbers(s, 0, text, sizeof(text));
        (void) fprintf(stderr, "sweep: %s\n", text);
    }
    (void) fflush(stderr);
}

static void show_progress(void *ctx, const struct sweep *s)
{
    struct progress *p = ctx;
    uint64_t now_us = s->options->now_us();

    if (p->shown_us == 0) {
        p->shown_us = s->start_us;
    }
    if (now_us - p->shown_us < (p->terminal ? (uint64_t) BAR_US : (uint64_t) LINE_US)) {
        return;
    }
    p->shown_us = now_us;
    p->on_line = p->terminal;
    print_progress(s, p);
}

/* ---- Options ---- */

static int parse_options(const struct cli_args *args, struct sweep_options *o, struct buf *error)
{
    const struct cli_value *v = args->values;
    uint64_t seconds = 0;
    uint64_t jobs = u64_min(pool_cores(), SWEEP_JOBS_MAX);
    uint64_t limit = RUN_LIMIT_S;
    const struct engine_ops *engine = NULL;

    o->seeds = v[SWEEP_SECONDS].set ? UINT64_MAX : SEEDS_DEFAULT;
    o->from = 1;
    if (args->words_count > 0) {
        ERR_IGNORE(
            buf_printf(error, "unexpected \"%.80s\"; see synod-sim sweep --help", args->words[0]));
        return ERR_INVALID;
    }
    if (cmd_engines(v[SWEEP_ENGINE].set ? v[SWEEP_ENGINE].text : NULL, o->engines,
                    SWEEP_ENGINES_MAX, &o->engines_count, error) != OK ||
        cmd_positive("seeds", &v[SWEEP_SEEDS], INT64_MAX / SWEEP_ENGINES_MAX, &o->seeds, error) !=
            OK ||
        cmd_positive("seconds", &v[SWEEP_SECONDS], 1u << 30, &seconds, error) != OK ||
        cmd_positive("jobs", &v[SWEEP_JOBS], SWEEP_JOBS_MAX, &jobs, error) != OK ||
        cmd_positive("run-limit", &v[SWEEP_RUN_LIMIT], 86400, &limit, error) != OK ||
        cmd_nodes(&v[SWEEP_NODES], &o->swarm.nodes, error) != OK) {
        return ERR_INVALID;
    }
    if (v[SWEEP_REACH].set && v[SWEEP_NO_REACH].set) {
        ERR_IGNORE(buf_printf(error, "--reach and --no-reach contradict each other"));
        return ERR_INVALID;
    }
    if (v[SWEEP_FROM].set && cmd_seed(v[SWEEP_FROM].text, &engine, &o->from, error) != OK) {
        return ERR_INVALID;
    }
    if (engine != NULL) {
        ERR_IGNORE(buf_printf(error, "--from %s: a number without an engine; that is --engine %s",
                              v[SWEEP_FROM].text, engine_name(engine)));
        return ERR_INVALID;
    }
    o->time_us = v[SWEEP_SECONDS].set ? seconds * 1000000 : UINT64_MAX;
    o->jobs = (uint32_t) jobs;
    o->run_limit_s = (uint32_t) limit;
    o->until_red = v[SWEEP_UNTIL_RED].set;
    o->swarm.mode = v[SWEEP_MODE].set ? (int) v[SWEEP_MODE].number : -1;
    o->swarm.beyond = v[SWEEP_BEYOND].set;
    o->resume = v[SWEEP_RESUME].set ? v[SWEEP_RESUME].text : NULL;
    o->now_us = cmd_now_us;
    o->interrupts = cmd_interrupts;
    return OK;
}

/* ---- The end ---- */

/* Is it red that something was never reached? */
static bool reach_is_due(const struct sweep *s, const struct cli_args *args)
{
    const struct swarm_options *w = &s->options->swarm;

    if (args->values[SWEEP_NO_REACH].set || s->interrupted) {
        return false;
    }
    if (args->values[SWEEP_REACH].set) {
        return true;
    }
    for (uint32_t e = 0; e < s->options->engines_count; e++) {
        if (s->totals[e].runs < REPORT_REACH_RUNS) {
            return false;
        }
    }
    return w->nodes == 0 && w->mode < 0 && !w->beyond;
}

static int finish(const struct sweep *s, const struct cli_args *args)
{
    bool reach = reach_is_due(s, args);
    uint32_t unreached = 0;
    char real[REPORT_TIME_MAX];

    if (!args->values[SWEEP_QUIET].set || s->red > 0) {
        report_sweep(stdout, s, cmd_program());
    }
    if (reach) {
        unreached = report_unreached(stdout, s);
    }
    report_time(sweep_elapsed(s), real);
    (void) printf("%s%" PRIu64 " runs, %" PRIu64 " red%s in %s\n",
                  args->values[SWEEP_QUIET].set ? "" : "\n", s->runs, s->red,
                  unreached > 0 ? ", something never reached" : "", real);
    if (s->interrupted) {
        (void) printf("interrupted%s%s\n",
                      s->options->resume == NULL ? "" : "; go on with --resume ",
                      s->options->resume == NULL ? "" : s->options->resume);
    }
    if (args->values[SWEEP_JSON].set &&
        report_json(args->values[SWEEP_JSON].text, s, unreached) != OK) {
        return cmd_fail("sweep", "%s: cannot write: %s", args->values[SWEEP_JSON].text,
                        strerror(errno));
    }
    if (s->red > 0 || unreached > 0) {
        return CMD_RED;
    }
    return s->interrupted ? CMD_INTERRUPTED : CMD_GREEN;
}

/* A file that cannot be written is told before the first run, not after the last. */
static int try_json(const struct cli_value *value)
{
    FILE *f;

    if (!value->set) {
        return CMD_GREEN;
    }
    f = fopen(value->text, "a"); /* what is in it stays until there is something new */
    if (f == NULL || fclose(f) != 0) {
        return cmd_fail("sweep", "%s: cannot write: %s", value->text, strerror(errno));
    }
    return CMD_GREEN;
}

static int run_sweep(struct sweep_options *o, const struct cli_args *args, struct buf *error)
{
    struct progress progress = {.terminal = isatty(STDERR_FILENO) == 1};
    char build[CMD_BUILD_MAX];
    struct sweep s;
    int result;
    int err;

    cmd_build(build);
    o->build = build;
    if (!args->values[SWEEP_QUIET].set) {
        o->progress = show_progress;
        o->progress_ctx = &progress;
    }
    cmd_catch_interrupts();
    err = sweep_run(&s, o, error);
    if (progress.on_line) {
        (void) fputs("\r\033[K", stderr);
    }
    result = err == OK ? finish(&s, args) : fail(error);
    sweep_release(&s);
    return result;
}

int cmd_sweep(int argc, char **argv)
{
    struct sweep_options options = {0};
    struct cli_args args;
    struct buf error;
    int result;

    buf_init(&error, TEXT_MAX);
    if (cli_parse("synod-sim sweep", flags, SWEEP_FLAGS, argc, argv, &args, &error) != OK) {
        (void) fprintf(stderr, "%.*s\n", (int) error.size, (const char *) error.data);
        result = CMD_USAGE;
    } else if (args.values[SWEEP_HELP].set) {
        (void) fputs(help, stdout);
        result = CMD_GREEN;
    } else if (parse_options(&args, &options, &error) != OK) {
        result = fail(&error);
    } else {
        result = try_json(&args.values[SWEEP_JSON]);
        if (result == CMD_GREEN) {
            result = run_sweep(&options, &args, &error);
        }
    }
    buf_release(&error);
    return result;
}

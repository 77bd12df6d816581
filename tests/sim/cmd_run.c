/*
 * cmd_run.c - synod-sim run: one seed or one scenario, judged.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "kv/trace_json.h"
#include "tests/sim/cmd.h"
#include "tests/sim/report.h"

enum { TEXT_MAX = 8192, SCENARIO_MAX = 2 * 1024 * 1024, LIMIT_S = 600 };

static const char help[] =
    "Usage: synod-sim run SEED | --engine ENGINE --seed N | --scenario FILE\n"
    "\n"
    "Runs one scenario, drawn from a seed or read from a file, and judges it. A\n"
    "scenario for any engine is run with each, or with the one of --engine. A red\n"
    "run names the property, the virtual time and the command that is red again.\n"
    "\n" CMD_TARGET_HELP
    "  --print              print the scenario, as --scenario reads it, instead of\n"
    "                       running it\n"
    "  --trace FILE         every event as a line of JSON, as synod serve --trace\n"
    "                       writes it\n"
    "  --history FILE       what clients saw, as synod-sim check reads it\n"
    "  -q, --quiet          one line for a green run\n"
    "  --no-fork            run in this process, for a debugger: a crash is a crash\n"
    "\n"
    "  synod-sim run raft:42\n"
    "  synod-sim run --engine paxos --seed 7 --mode liveness --trace run.jsonl\n"
    "  synod-sim run raft:42 --print > mine.txt; synod-sim run --scenario mine.txt\n"
    "\n"
    "A control, whose file has `expect red`, is green when it is red as expected.\n"
    "\n"
    "Exit codes: 0 green; 1 red; 2 wrong usage or bad input.\n";

enum flag { RUN_PRINT = TARGET_FLAGS, RUN_TRACE, RUN_HISTORY, RUN_QUIET, RUN_NO_FORK, RUN_FLAGS };

static const struct cli_flag flags[] = {
    CMD_TARGET_FLAGS,
    [RUN_PRINT] = {"print", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [RUN_TRACE] = {"trace", 0, FLAG_TEXT, "FILE", NULL, NULL},
    [RUN_HISTORY] = {"history", 0, FLAG_TEXT, "FILE", NULL, NULL},
    [RUN_QUIET] = {"quiet", 'q', FLAG_SWITCH, NULL, NULL, NULL},
    [RUN_NO_FORK] = {"no-fork", 0, FLAG_SWITCH, NULL, NULL, NULL},
};

/* Errors of the files, 0: none. Shared with the child, in which they happen. */
struct write_errors {
    int trace;
    int history;
};

/* One run with its outputs; what the child of a trial needs. */
struct run {
    const struct scenario *scenario;
    FILE *trace;
    FILE *history;
    struct write_errors *errors;
    struct buf line;
};

static int fail(const struct buf *error)
{
    return cmd_fail("run", "%.*s", (int) error->size,
                    error->size > 0 ? (const char *) error->data : "");
}

/* ---- Running ---- */

/* The first error of a file: later ones only follow from it. */
static void note_error(FILE *file, bool good, int *error)
{
    if ((!good || ferror(file) != 0) && *error == 0) {
        *error = errno != 0 ? errno : EIO;
    }
}

static void write_event(void *ctx, const struct trace_event *event)
{
    struct run *r = ctx;

    buf_clear(&r->line);
    ERR_IGNORE(trace_json_format(event, &r->line)); /* an event is far below the limit */
    note_error(r->trace, fwrite(r->line.data, 1, r->line.size, r->trace) == r->line.size,
               &r->errors->trace);
}

static void execute(void *ctx, struct sim_result *ret)
{
    struct run *r = ctx;
    struct sim_hooks hooks = {.history = r->history == NULL ? NULL : history_new()};

    buf_init(&r->line, TEXT_MAX);
    if (r->trace != NULL) {
        hooks.trace = (struct trace_sink){write_event, r};
        /* Line by line: what happened before a crash is what one wants to see. */
        (void) setvbuf(r->trace, NULL, _IOLBF, TEXT_MAX);
    }
    sim_execute(r->scenario, &hooks, ret);
    if (r->trace != NULL) {
        note_error(r->trace, fflush(r->trace) == 0, &r->errors->trace);
    }
    if (r->history != NULL) {
        bool good = history_write(hooks.history, r->history) == OK;

        note_error(r->history, fflush(r->history) == 0 && good, &r->errors->history);
    }
    history_free(hooks.history);
    buf_release(&r->line);
}

static int execute_one(const struct cmd_target *target, const struct engine_ops *engine,
                       const struct cli_args *args, struct run *r)
{
    struct trial_work work = {execute, r};
    struct trial_limits limits = {LIMIT_S, true};
    char build[CMD_BUILD_MAX];
    struct sim_result result;
    struct buf name;
    struct buf words;

    memset(&result, 0, sizeof(result));
    if (args->values[RUN_NO_FORK].set) {
        execute(r, &result);
    } else if (trial_run(&work, &limits, &result, NULL) != OK) {
        return cmd_fail("run", "cannot start a process: %s; try --no-fork", strerror(errno));
    }
    cmd_build(build);
    buf_init(&name, TEXT_MAX);
    buf_init(&words, TEXT_MAX);
    cmd_target_name(target, engine, &name);
    cmd_target_words(target, engine, &words);
    ERR_IGNORE(buf_append(&name, "", 1)); /* terminators: paths are below the limit */
    ERR_IGNORE(buf_append(&words, "", 1));
    report_run(stdout,
               &(struct report_run){.name = (const char *) name.data,
                                    .words = (const char *) words.data,
                                    .program = cmd_program(),
                                    .build = build,
                                    .scenario = r->scenario,
                                    .short_form = args->values[RUN_QUIET].set},
               &result);
    buf_release(&words);
    buf_release(&name);
    return sim_as_expected(r->scenario, &result) ? CMD_GREEN : CMD_RED;
}

static int print_scenario(const struct scenario *s)
{
    struct buf text;
    int err;

    buf_init(&text, SCENARIO_MAX);
    err = scenario_print(s, &text);
    if (err == OK) {
        (void) fwrite(text.data, 1, text.size, stdout); /* main.c of a pipe that is gone */
    }
    buf_release(&text);
    return err == OK ? CMD_GREEN : cmd_fail("run", "the scenario is too long to be printed");
}

static int run_one(const struct cmd_target *target, const struct engine_ops *engine,
                   const struct cli_args *args, struct run *r)
{
    struct scenario scenario;
    struct buf error;
    int result;

    buf_init(&error, TEXT_MAX);
    if (cmd_target_scenario(target, engine, &scenario, &error) != OK) {
        result = fail(&error);
    } else {
        r->scenario = &scenario;
        result = args->values[RUN_PRINT].set ? print_scenario(&scenario)
                                             : execute_one(target, engine, args, r);
        scenario_release(&scenario);
    }
    buf_release(&error);
    return result;
}

/* ---- Which engines ---- */

/* The target's engine, or that of its file, or all. */
static int run_engines(const struct cmd_target *target, const struct cli_args *args, struct run *r,
                       struct buf *error)
{
    const struct engine_ops *engine = target->engine;
    int result = CMD_GREEN;

    if (engine == NULL && cmd_target_file_engine(target, &engine, error) != OK) {
        return fail(error);
    }
    if (engine != NULL) {
        return run_one(target, engine, args, r);
    }
    if (r->trace != NULL || r->history != NULL || args->values[RUN_PRINT].set) {
        return cmd_fail("run",
                        "%s is for any engine: --print, --trace and --history need "
                        "--engine ENGINE beside it",
                        target->path);
    }
    for (uint32_t i = 0; engine_at(i) != NULL; i++) {
        int one = run_one(target, engine_at(i), args, r);

        result = one > result ? one : result;
    }
    return result;
}

static int open_output(const struct cli_value *value, FILE **ret_file)
{
    if (!value->set) {
        return CMD_GREEN;
    }
    *ret_file = fopen(value->text, "w");
    return *ret_file != NULL
               ? CMD_GREEN
               : cmd_fail("run", "%s: cannot write: %s", value->text, strerror(errno));
}

/* `error` is what the run met. */
static int close_output(const struct cli_value *value, FILE *file, int error, int result)
{
    if (file == NULL) {
        return result;
    }
    if (fclose(file) != 0 && error == 0) {
        error = errno;
    }
    return error == 0 ? result
                      : cmd_fail("run", "%s: cannot write: %s", value->text, strerror(error));
}

/* Runs with the files that are wanted. */
static int run_with_outputs(const struct cli_args *args, struct cmd_target *target,
                            struct buf *error)
{
    const struct cli_value *v = args->values;
    struct run r = {0};
    int result;

    if (v[RUN_PRINT].set && (v[RUN_TRACE].set || v[RUN_HISTORY].set || v[RUN_QUIET].set)) {
        return cmd_fail("run", "--print runs nothing: leave it out, or --trace, --history and "
                               "--quiet");
    }
    r.errors =
        mmap(NULL, sizeof(*r.errors), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r.errors == MAP_FAILED) {
        return cmd_fail("run", "no memory: %s", strerror(errno));
    }
    result = open_output(&v[RUN_TRACE], &r.trace);
    if (result == CMD_GREEN) {
        result = open_output(&v[RUN_HISTORY], &r.history);
    }
    if (result == CMD_GREEN) {
        result = run_engines(target, args, &r, error);
    }
    result = close_output(&v[RUN_TRACE], r.trace, r.errors->trace, result);
    result = close_output(&v[RUN_HISTORY], r.history, r.errors->history, result);
    (void) munmap(r.errors, sizeof(*r.errors)); /* of our own mapping */
    return result;
}

int cmd_run(int argc, char **argv)
{
    static const struct cmd_target_command command = {.name = "run",
                                                      .help = help,
                                                      .flags = flags,
                                                      .flags_count = RUN_FLAGS,
                                                      .run = run_with_outputs};

    return cmd_target_main(&command, argc, argv);
}

/*
 * cmd_show.c - synod-sim show: draws a run.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tests/sim/cmd.h"
#include "tests/sim/diagram.h"
#include "tests/sim/trial.h"

enum { TEXT_MAX = 8192, LIMIT_S = 600, RECORDED_MAX = 4 * 1000 * 1000 };

static const char help[] =
    "Usage: synod-sim show SEED | --scenario FILE [FLAG...]\n"
    "\n"
    "Runs it and draws it: a lane for each node, messages as arrows, faults,\n"
    "leaders, commits, writes. Without --from and --to: the events before the\n"
    "violation, or those around the first change of leader after a fault.\n"
    "\n" CMD_TARGET_HELP "  --html FILE          a picture for the browser, in one file\n"
    "  --text               for the terminal, a line for each event (without --html\n"
    "                       anyway)\n"
    "  --from T             from this virtual time on: 1.5s, 300ms\n"
    "  --to T               up to this one\n"
    "  --max N              events at most (200; up to 5000)\n"
    "  --all                heartbeats, gossip and what follows from other events,\n"
    "                       too\n"
    "\n"
    "  synod-sim show raft:42\n"
    "  synod-sim show --scenario red.txt --html red.html\n"
    "  synod-sim show raft:42 --from 2s --to 2.3s --max 1000 --html run.html\n"
    "\n"
    "Exit codes: 0 drawn, whether the run was green or red; 2 wrong usage or bad\n"
    "input.\n";

enum flag {
    SHOW_HTML = TARGET_FLAGS,
    SHOW_TEXT,
    SHOW_FROM,
    SHOW_TO,
    SHOW_MAX,
    SHOW_ALL,
    SHOW_FLAGS,
};

static const struct cli_flag flags[] = {
    CMD_TARGET_FLAGS,
    [SHOW_HTML] = {"html", 0, FLAG_TEXT, "FILE", NULL, NULL},
    [SHOW_TEXT] = {"text", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [SHOW_FROM] = {"from", 0, FLAG_TEXT, "T", NULL, NULL},
    [SHOW_TO] = {"to", 0, FLAG_TEXT, "T", NULL, NULL},
    [SHOW_MAX] = {"max", 0, FLAG_NUMBER, "N", NULL, NULL},
    [SHOW_ALL] = {"all", 0, FLAG_SWITCH, NULL, NULL, NULL},
};

struct work {
    const struct scenario *scenario;
    struct diagram_log *log;
};

static int fail(const struct buf *error)
{
    return cmd_fail("show", "%.*s", (int) error->size,
                    error->size > 0 ? (const char *) error->data : "");
}

static void execute(void *ctx, struct sim_result *ret)
{
    const struct work *w = ctx;
    struct sim_hooks hooks = diagram_hooks(w->log);

    sim_execute(w->scenario, &hooks, ret);
}

static int write_html(const struct diagram *d, const char *path)
{
    FILE *f = fopen(path, "w");
    int err;

    if (f == NULL) {
        return cmd_fail("show", "%s: cannot write: %s", path, strerror(errno));
    }
    err = diagram_html(d, f);
    if (fclose(f) != 0 || err != OK) {
        return cmd_fail("show", "%s: cannot write: %s", path, strerror(errno));
    }
    (void) fprintf(stderr, "%s: %zu of %zu events, %.3f s to %.3f s (%s)\n", path, d->count,
                   d->total, (double) d->from_us / 1e6, (double) d->to_us / 1e6, d->why);
    return CMD_GREEN;
}

static int draw(const struct cli_args *args, const struct diagram_log *log,
                const struct diagram_options *o)
{
    struct diagram *d = diagram_new(log, o);
    int result = CMD_GREEN;

    if (d->count == 0) {
        (void) fprintf(stderr, "synod-sim show: nothing happens in this window\n");
    }
    if (args->values[SHOW_TEXT].set || !args->values[SHOW_HTML].set) {
        ERR_IGNORE(diagram_text(d, stdout)); /* a pipe that was closed is no error of ours */
    }
    if (args->values[SHOW_HTML].set) {
        result = write_html(d, args->values[SHOW_HTML].text);
    }
    diagram_free(d);
    return result;
}

static int run_and_draw(const struct cli_args *args, struct diagram_options *o)
{
    struct work work = {o->scenario, diagram_log_new(RECORDED_MAX)};
    struct trial_work trial = {execute, &work};
    struct trial_limits limits = {LIMIT_S, true};
    struct sim_result result;
    int code;

    if (work.log == NULL) {
        return cmd_fail("show", "no memory for the events of a run: %s", strerror(errno));
    }
    if (trial_run(&trial, &limits, &result, NULL) != OK) {
        code = cmd_fail("show", "cannot start a process: %s", strerror(errno));
    } else {
        o->result = &result;
        code =
            args->values[SHOW_FROM].set && result.virtual_us > 0 && o->from_us > result.virtual_us
                ? cmd_fail("show", "--from %s: the run ends at %.3f s",
                           args->values[SHOW_FROM].text, (double) result.virtual_us / 1e6)
                : draw(args, work.log, o);
    }
    diagram_log_free(work.log);
    return code;
}

static int parse_window(const struct cli_args *args, struct diagram_options *o, struct buf *error)
{
    const struct cli_value *v = args->values;

    o->max = DIAGRAM_EVENTS_DEFAULT;
    o->all = v[SHOW_ALL].set;
    if (v[SHOW_FROM].set && cmd_time(v[SHOW_FROM].text, &o->from_us, error) != OK) {
        return ERR_INVALID;
    }
    if (v[SHOW_TO].set && cmd_time(v[SHOW_TO].text, &o->to_us, error) != OK) {
        return ERR_INVALID;
    }
    if (v[SHOW_TO].set && o->to_us <= o->from_us) {
        ERR_IGNORE(buf_printf(error, "--to %s is not after --from %s", v[SHOW_TO].text,
                              v[SHOW_FROM].set ? v[SHOW_FROM].text : "0"));
        return ERR_INVALID;
    }
    if (v[SHOW_MAX].set && (v[SHOW_MAX].number < 1 || v[SHOW_MAX].number > DIAGRAM_EVENTS_MAX)) {
        ERR_IGNORE(buf_printf(error, "--max %lld: it must be 1 to %d",
                              (long long) v[SHOW_MAX].number, DIAGRAM_EVENTS_MAX));
        return ERR_INVALID;
    }
    if (v[SHOW_MAX].set) {
        o->max = (uint32_t) v[SHOW_MAX].number;
    }
    return OK;
}

static int show(const struct cli_args *args, struct cmd_target *target, struct buf *error)
{
    struct diagram_options o = {0};
    struct scenario scenario;
    struct buf name;
    int result;

    if (parse_window(args, &o, error) != OK) {
        return fail(error);
    }
    if (target->engine == NULL && cmd_target_file_engine(target, &target->engine, error) != OK) {
        return fail(error);
    }
    if (target->engine == NULL) {
        return cmd_fail("show", "%s is for any engine: give --engine ENGINE beside it",
                        target->path);
    }
    if (cmd_target_scenario(target, target->engine, &scenario, error) != OK) {
        return fail(error);
    }
    buf_init(&name, TEXT_MAX);
    cmd_target_name(target, target->engine, &name);
    ERR_IGNORE(buf_append(&name, "", 1)); /* paths are below the limit */
    o.name = (const char *) name.data;
    o.scenario = &scenario;
    result = run_and_draw(args, &o);
    buf_release(&name);
    scenario_release(&scenario);
    return result;
}

int cmd_show(int argc, char **argv)
{
    static const struct cmd_target_command command = {
        .name = "show", .help = help, .flags = flags, .flags_count = SHOW_FLAGS, .run = show};

    return cmd_target_main(&command, argc, argv);
}

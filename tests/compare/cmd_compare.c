/*
 * cmd_compare.c - synod-sim compare: the same fault scripts on every engine, one verdict.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/compare/bar.h"
#include "tests/compare/compare.h"
#include "tests/compare/library.h"
#include "tests/compare/pool.h"
#include "tests/sim/cmd.h"

enum { TEXT_MAX = 8192, TRIALS_SIM = 20, TRIALS_REAL = 3, PATH_TEXT_MAX = 4096 };

static const char help[] =
    "Usage: synod-sim compare [--real] [SCRIPT...] [FLAG...]\n"
    "\n"
    "Runs fault scripts on every engine with the same seeds, clients, log and disks,\n"
    "judges each run, and prints what it did to the clients and what it cost. Writes\n"
    "the same as a page, as JSON and as CSV. SCRIPT is a file, or a name of --list;\n"
    "without one all of the library are run.\n"
    "\n"
    "  -e, --engine ENGINE  raft, multipaxos, paxos, several with commas, or all\n"
    "                       (all)\n"
    "  --trials N           of each script on each engine (20; 3 with --real)\n"
    "  -s, --seed SEED      of the first trial; the next ones count up (the script's)\n"
    "  --real               on processes of synod instead of the simulator: faults\n"
    "                       by a proxy between and a library below them\n"
    "  --netns              with --real: cut links by network namespaces (root)\n"
    "  -j, --jobs N         runs at a time in the simulator (one for each core)\n"
    "  -o, --output NAME    NAME.html, NAME.json and NAME.csv (synod-compare)\n"
    "  --no-output          none of them\n"
    "  --list               names and what each script is about, and nothing else\n"
    "  -q, --quiet          no progress and no tables but of what is red\n"
    "\n"
    "  synod-sim compare isolate-leader --trials 200\n"
    "  synod-sim compare --real crash-leader isolate-leader\n"
    "\n"
    "Exit codes: 0 all as the scripts expect; 1 something was not, or all was skipped;\n"
    "2 wrong usage, bad input or output that cannot be written; 130 interrupted.\n";

enum flag {
    COMPARE_HELP,
    COMPARE_ENGINE,
    COMPARE_TRIALS,
    COMPARE_SEED,
    COMPARE_REAL,
    COMPARE_NETNS,
    COMPARE_JOBS,
    COMPARE_OUTPUT,
    COMPARE_NO_OUTPUT,
    COMPARE_LIST,
    COMPARE_QUIET,
    COMPARE_FLAGS,
};

static const struct cli_flag flags[] = {
    [COMPARE_HELP] = CMD_HELP_FLAG,
    [COMPARE_ENGINE] = {"engine", 'e', FLAG_TEXT, "ENGINE", NULL, NULL},
    [COMPARE_TRIALS] = {"trials", 0, FLAG_TEXT, "N", NULL, NULL},
    [COMPARE_SEED] = {"seed", 's', FLAG_TEXT, "SEED", NULL, NULL},
    [COMPARE_REAL] = {"real", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [COMPARE_NETNS] = {"netns", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [COMPARE_JOBS] = {"jobs", 'j', FLAG_TEXT, "N", NULL, NULL},
    [COMPARE_OUTPUT] = {"output", 'o', FLAG_TEXT, "NAME", NULL, NULL},
    [COMPARE_NO_OUTPUT] = {"no-output", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [COMPARE_LIST] = {"list", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [COMPARE_QUIET] = {"quiet", 'q', FLAG_SWITCH, NULL, NULL, NULL},
};

static int fail(const struct buf *error)
{
    return cmd_fail("compare", "%.*s", (int) error->size,
                    error->size > 0 ? (const char *) error->data : "");
}

/* ---- Options ---- */

static int parse_options(const struct cli_args *args, struct compare_options *o, struct buf *error)
{
    const struct cli_value *v = args->values;
    const struct engine_ops *engine = NULL;
    uint64_t trials = v[COMPARE_REAL].set ? TRIALS_REAL : TRIALS_SIM;
    uint64_t jobs = pool_cores();

    if (cmd_engines(v[COMPARE_ENGINE].set ? v[COMPARE_ENGINE].text : NULL, o->engines,
                    COMPARE_ENGINES_MAX, &o->engines_count, error) != OK ||
        cmd_positive("trials", &v[COMPARE_TRIALS], COMPARE_TRIALS_MAX, &trials, error) != OK ||
        cmd_positive("jobs", &v[COMPARE_JOBS], POOL_WORKERS_MAX, &jobs, error) != OK) {
        return ERR_INVALID;
    }
    if (v[COMPARE_SEED].set && cmd_seed(v[COMPARE_SEED].text, &engine, &o->seed, error) != OK) {
        return ERR_INVALID;
    }
    if (engine != NULL) {
        ERR_IGNORE(buf_printf(error, "--seed %s: a number without an engine; that is --engine %s",
                              v[COMPARE_SEED].text, engine_name(engine)));
        return ERR_INVALID;
    }
    if (v[COMPARE_NETNS].set && !v[COMPARE_REAL].set) {
        ERR_IGNORE(buf_printf(error, "--netns is for processes: add --real"));
        return ERR_INVALID;
    }
    if (v[COMPARE_OUTPUT].set && v[COMPARE_OUTPUT].text[0] == '\0') {
        ERR_IGNORE(buf_printf(error, "--output needs a name"));
        return ERR_INVALID;
    }
    if (v[COMPARE_OUTPUT].set && v[COMPARE_NO_OUTPUT].set) {
        ERR_IGNORE(buf_printf(error, "--output and --no-output contradict each other"));
        return ERR_INVALID;
    }
    o->seed_set = v[COMPARE_SEED].set;
    o->trials = (uint32_t) trials;
    o->workers = (uint32_t) jobs;
    o->real = v[COMPARE_REAL].set;
    o->netns = v[COMPARE_NETNS].set;
    o->program = cmd_program();
    return OK;
}

/* ---- Output ---- */

static const struct {
    const char *ending;
    void (*write)(const struct comparison *c, FILE *out);
} outputs[] = {
    {".html", compare_page},
    {".json", compare_json},
    {".csv", compare_csv},
};

static const char *output_name(const struct cli_args *args)
{
    const struct cli_value *v = args->values;

    return v[COMPARE_OUTPUT].set ? v[COMPARE_OUTPUT].text : "synod-compare";
}

/* A file that cannot be written is told before the first run, not after the last. */
static int try_outputs(const struct cli_args *args)
{
    char path[PATH_TEXT_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(outputs) && !args->values[COMPARE_NO_OUTPUT].set; i++) {
        if ((size_t) snprintf(path, sizeof(path), "%s%s", output_name(args), outputs[i].ending) >=
            sizeof(path)) {
            return cmd_fail("compare", "--output: the name is too long");
        }
        FILE *f = fopen(path, "a"); /* what is in it stays until there is something new */
        if (f == NULL || fclose(f) != 0) {
            return cmd_fail("compare", "%s: cannot write: %s", path, strerror(errno));
        }
    }
    return CMD_GREEN;
}

static int write_outputs(const struct comparison *c, const struct cli_args *args)
{
    char path[PATH_TEXT_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(outputs); i++) {
        (void) snprintf(path, sizeof(path), "%s%s", output_name(args), outputs[i].ending);
        FILE *f = fopen(path, "w");
        if (f != NULL) {
            outputs[i].write(c, f);
        }
        if (f == NULL || ferror(f) != 0 || fclose(f) != 0) {
            return cmd_fail("compare", "%s: cannot write: %s", path, strerror(errno));
        }
    }
    (void) printf("\n%s.html has the plots; .json and .csv beside it have the numbers\n",
                  output_name(args));
    return CMD_GREEN;
}

static int finish(const struct comparison *c, const struct cli_args *args)
{
    uint32_t wrong = compare_wrong(c);
    uint32_t skipped = compare_skipped(c);
    uint32_t cells = c->options->scripts_count * c->options->engines_count;
    int result = CMD_GREEN;

    if (!args->values[COMPARE_QUIET].set || wrong > 0) {
        /* a file or a pipe is not cut to a terminal's width */
        compare_text(c, stdout, isatty(STDOUT_FILENO) == 1 ? cmd_columns() : 160,
                     isatty(STDOUT_FILENO) == 1);
    }
    if (!args->values[COMPARE_NO_OUTPUT].set) {
        result = write_outputs(c, args);
    }
    (void) printf("%u of %u cells as expected", cells - skipped - wrong, cells);
    if (skipped > 0) {
        (void) printf(", %u skipped", skipped);
    }
    (void) printf("%s\n", c->stopped         ? "; interrupted"
                          : skipped == cells ? "; nothing was run"
                                             : "");
    if (result != CMD_GREEN) {
        return result;
    }
    return c->stopped ? CMD_INTERRUPTED : wrong > 0 || skipped == cells ? CMD_RED : CMD_GREEN;
}

/* ---- The command ---- */

static int run_compare(struct compare_options *o, const struct cli_args *args, struct buf *error)
{
    struct comparison c;
    struct bar bar;
    char build[CMD_BUILD_MAX];
    int result = try_outputs(args);

    if (result != CMD_GREEN) {
        return result;
    }
    cmd_build(build);
    o->build = build;
    bar_init(&bar, "compare", args->values[COMPARE_QUIET].set);
    o->progress = bar_progress;
    o->ctx = &bar;
    cmd_catch_interrupts();
    compare_init(&c, o);
    int err = compare_run(&c, error);
    bar_end(&bar);
    result = err == OK ? finish(&c, args) : fail(error);
    compare_release(&c);
    return result;
}

static int print_list(const struct compare_script *scripts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        (void) printf("%s\n    %s\n", scripts[i].name, scripts[i].scenario.about);
    }
    return CMD_GREEN;
}

static int with_scripts(struct cli_args *args, struct buf *error)
{
    struct compare_options options = {0};
    struct compare_script *scripts = NULL;
    uint32_t count = 0;
    int result;

    if (parse_options(args, &options, error) != OK ||
        library_load(cmd_program(), args->words, args->words_count, &scripts, &count, error) !=
            OK) {
        result = fail(error);
    } else if (args->values[COMPARE_LIST].set) {
        result = print_list(scripts, count);
    } else {
        options.scripts = scripts;
        options.scripts_count = count;
        result = run_compare(&options, args, error);
    }
    library_release(scripts, count);
    return result;
}

int cmd_compare(int argc, char **argv)
{
    struct cli_args args;
    struct buf error;
    int result;

    buf_init(&error, TEXT_MAX);
    if (cli_parse("synod-sim compare", flags, COMPARE_FLAGS, argc, argv, &args, &error) != OK) {
        (void) fprintf(stderr, "%.*s\n", (int) error.size, (const char *) error.data);
        result = CMD_USAGE;
    } else if (args.values[COMPARE_HELP].set) {
        (void) fputs(help, stdout);
        result = CMD_GREEN;
    } else {
        result = with_scripts(&args, &error);
    }
    buf_release(&error);
    return result;
}

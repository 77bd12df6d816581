/*
 * cmd_figures.c - synod-sim figures: published experiments, made again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/compare/bar.h"
#include "tests/compare/figure.h"
#include "tests/compare/page.h"
#include "tests/compare/pool.h"
#include "tests/sim/cmd.h"

enum { TEXT_MAX = 8192, PATH_TEXT_MAX = 4096, FIGURES_MAX = 32 };

static const char help_head[] =
    "Usage: synod-sim figures [NAME...] [FLAG...]\n"
    "\n"
    "Makes published experiments again on these engines and prints the published value\n"
    "beside ours, with the band in which it passes. Writes the same as a page with\n"
    "plots, and as JSON. Without a NAME all are made:\n"
    "\n";

static const char help_tail[] =
    "\n"
    "  --trials N           instead of each figure's own number\n"
    "  -s, --seed SEED      of everything random (1)\n"
    "  --quick              few trials, to see what comes\n"
    "  --real               also the parts that need real processes\n"
    "  -j, --jobs N         processes at a time (one for each core)\n"
    "  -o, --output NAME    NAME.html and NAME.json (synod-figures)\n"
    "  --no-output          none of them\n"
    "  -q, --quiet          no progress, and only what does not pass\n"
    "\n"
    "Exit codes: 0 all pass; 1 something does not; 2 wrong usage or output that\n"
    "cannot be written; 130 interrupted.\n";

enum flag {
    FIGURES_HELP,
    FIGURES_TRIALS,
    FIGURES_SEED,
    FIGURES_QUICK,
    FIGURES_REAL,
    FIGURES_JOBS,
    FIGURES_OUTPUT,
    FIGURES_NO_OUTPUT,
    FIGURES_QUIET,
    FIGURES_FLAGS,
};

static const struct cli_flag flags[] = {
    [FIGURES_HELP] = CMD_HELP_FLAG,
    [FIGURES_TRIALS] = {"trials", 0, FLAG_TEXT, "N", NULL, NULL},
    [FIGURES_SEED] = {"seed", 's', FLAG_TEXT, "SEED", NULL, NULL},
    [FIGURES_QUICK] = {"quick", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [FIGURES_REAL] = {"real", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [FIGURES_JOBS] = {"jobs", 'j', FLAG_TEXT, "N", NULL, NULL},
    [FIGURES_OUTPUT] = {"output", 'o', FLAG_TEXT, "NAME", NULL, NULL},
    [FIGURES_NO_OUTPUT] = {"no-output", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [FIGURES_QUIET] = {"quiet", 'q', FLAG_SWITCH, NULL, NULL, NULL},
};

/* The figures that are wanted, and what came of them. */
struct wanted {
    const struct figure_ops *ops[FIGURES_MAX];
    struct figure figures[FIGURES_MAX];
    uint32_t count;
    uint32_t made;
};

static int fail(const struct buf *error)
{
    return cmd_fail("figures", "%.*s", (int) error->size,
                    error->size > 0 ? (const char *) error->data : "");
}

/* ---- Options ---- */

static int want(struct wanted *w, const char *name, struct buf *error)
{
    const struct figure_ops *ops = figure_by_name(name);

    if (ops == NULL) {
        ERR_IGNORE(buf_printf(error, "%.80s: there is no such figure; there are", name));
        for (uint32_t i = 0; figure_at(i) != NULL; i++) {
            ERR_IGNORE(buf_printf(error, " %s", figure_at(i)->name));
        }
        return ERR_INVALID;
    }
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->ops[i] == ops) {
            ERR_IGNORE(buf_printf(error, "%s is given twice", name));
            return ERR_INVALID;
        }
    }
    w->ops[w->count++] = ops;
    return OK;
}

static int want_words(struct wanted *w, const struct cli_args *args, struct buf *error)
{
    if (args->words_count == 0) {
        for (uint32_t i = 0; figure_at(i) != NULL && i < FIGURES_MAX; i++) {
            w->ops[w->count++] = figure_at(i);
        }
        return OK;
    }
    for (uint32_t i = 0; i < args->words_count; i++) {
        int err = want(w, args->words[i], error);
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

static int parse_options(const struct cli_args *args, struct figure_options *o, struct buf *error)
{
    const struct cli_value *v = args->values;
    const struct engine_ops *engine = NULL;
    uint64_t trials = 0;
    uint64_t jobs = pool_cores();

    o->seed = 1;
    if (v[FIGURES_OUTPUT].set && v[FIGURES_OUTPUT].text[0] == '\0') {
        ERR_IGNORE(buf_printf(error, "--output needs a name"));
        return ERR_INVALID;
    }
    if (cmd_positive("trials", &v[FIGURES_TRIALS], 10000000, &trials, error) != OK ||
        cmd_positive("jobs", &v[FIGURES_JOBS], POOL_WORKERS_MAX, &jobs, error) != OK ||
        (v[FIGURES_SEED].set && cmd_seed(v[FIGURES_SEED].text, &engine, &o->seed, error) != OK)) {
        return ERR_INVALID;
    }
    if (engine != NULL) {
        ERR_IGNORE(buf_printf(error, "--seed %s: a number without an engine: a figure has all",
                              v[FIGURES_SEED].text));
        return ERR_INVALID;
    }
    o->trials = (uint32_t) trials;
    o->workers = (uint32_t) jobs;
    o->quick = v[FIGURES_QUICK].set;
    o->real = v[FIGURES_REAL].set;
    o->program = cmd_program();
    return OK;
}

/* ---- Output ---- */

static void write_page(const struct wanted *w, FILE *out)
{
    const char *links[2 * FIGURES_MAX + 1] = {NULL};
    char build[CMD_BUILD_MAX];
    char lead[256];

    cmd_build(build);
    (void) snprintf(lead, sizeof(lead),
                    "Experiments from the literature on consensus, made again with the engines of "
                    "synod-sim %s. Each value of ours has the command that makes it again.",
                    build);
    page_begin(out, "Synod: published figures, made again", lead);
    for (uint32_t i = 0; i < w->made; i++) {
        links[2 * i] = w->ops[i]->name;
        links[2 * i + 1] = w->figures[i].title;
    }
    page_contents(out, links);
    for (uint32_t i = 0; i < w->made; i++) {
        page_section(out, w->ops[i]->name, w->figures[i].title, "");
        figure_html(&w->figures[i], out);
        page_section_end(out);
    }
    page_end(out);
}

static void write_json(const struct wanted *w, FILE *out)
{
    (void) fputs("{", out);
    for (uint32_t i = 0; i < w->made; i++) {
        (void) fprintf(out, "%s\"%s\":", i == 0 ? "" : ",", w->ops[i]->name);
        figure_json(&w->figures[i], out);
    }
    (void) fputs("}\n", out);
}

static const struct {
    const char *ending;
    void (*write)(const struct wanted *w, FILE *out);
} outputs[] = {
    {".html", write_page},
    {".json", write_json},
};

static int write_outputs(const struct wanted *w, const struct cli_args *args, bool try)
{
    const struct cli_value *v = args->values;
    const char *name = v[FIGURES_OUTPUT].set ? v[FIGURES_OUTPUT].text : "synod-figures";
    char path[PATH_TEXT_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(outputs) && !v[FIGURES_NO_OUTPUT].set; i++) {
        if ((size_t) snprintf(path, sizeof(path), "%s%s", name, outputs[i].ending) >=
            sizeof(path)) {
            return cmd_fail("figures", "--output: the name is too long");
        }
        FILE *f = fopen(path, try ? "a" : "w"); /* when tried, what is in it stays */
        if (f != NULL && !try) {
            outputs[i].write(w, f);
        }
        if (f == NULL || ferror(f) != 0 || fclose(f) != 0) {
            return cmd_fail("figures", "%s: cannot write: %s", path, strerror(errno));
        }
    }
    if (!try && !v[FIGURES_NO_OUTPUT].set) {
        (void) printf("\n%s.html has the plots, %s.json the numbers\n", name, name);
    }
    return CMD_GREEN;
}

/* ---- The command ---- */

static void print_figure(const struct figure *f, bool quiet)
{
    bool terminal = isatty(STDOUT_FILENO) == 1;

    if (!quiet || figure_failed(f) > 0) {
        figure_text(f, stdout, terminal ? cmd_columns() : 160, terminal);
        (void) fputc('\n', stdout);
        (void) fflush(stdout);
    }
}

static int make_all(struct wanted *w, struct figure_options *o, bool quiet, struct buf *error)
{
    for (uint32_t i = 0; i < w->count; i++) {
        struct bar bar;
        bar_init(&bar, w->ops[i]->name, quiet);
        o->progress = bar_progress;
        o->ctx = &bar;
        figure_init(&w->figures[i], w->ops[i]->title, "");
        w->made++;
        int err = w->ops[i]->run(o, &w->figures[i], error);
        bar_end(&bar);
        if (cmd_interrupts() > 0) {
            figure_release(&w->figures[--w->made]); /* half of one says nothing */
            return ERR_CANCELED;
        }
        if (err != OK) {
            return err;
        }
        print_figure(&w->figures[i], quiet);
    }
    return OK;
}

static int run_figures(struct wanted *w, struct figure_options *o, const struct cli_args *args,
                       struct buf *error)
{
    uint32_t failed = 0;
    uint32_t checks = 0;
    int result = write_outputs(w, args, true);

    if (result != CMD_GREEN) {
        return result;
    }
    cmd_catch_interrupts();
    int err = make_all(w, o, args->values[FIGURES_QUIET].set, error);
    if (err != OK && err != ERR_CANCELED) {
        return fail(error);
    }
    for (uint32_t i = 0; i < w->made; i++) {
        failed += figure_failed(&w->figures[i]);
        checks += w->figures[i].checks_count;
    }
    result = write_outputs(w, args, false);
    (void) printf("%u checks, %u failed%s\n", checks, failed,
                  err == ERR_CANCELED ? "; interrupted" : "");
    if (result != CMD_GREEN) {
        return result;
    }
    return err == ERR_CANCELED ? CMD_INTERRUPTED : failed > 0 ? CMD_RED : CMD_GREEN;
}

static void print_help(void)
{
    (void) fputs(help_head, stdout);
    for (uint32_t i = 0; figure_at(i) != NULL; i++) {
        (void) printf("  %-4s %s\n", figure_at(i)->name, figure_at(i)->title);
    }
    (void) fputs(help_tail, stdout);
}

int cmd_figures(int argc, char **argv)
{
    struct wanted *wanted = xcalloc(1, sizeof(*wanted));
    struct figure_options options = {0};
    struct cli_args args;
    struct buf error;
    int result;

    buf_init(&error, TEXT_MAX);
    if (cli_parse("synod-sim figures", flags, FIGURES_FLAGS, argc, argv, &args, &error) != OK) {
        (void) fprintf(stderr, "%.*s\n", (int) error.size, (const char *) error.data);
        result = CMD_USAGE;
    } else if (args.values[FIGURES_HELP].set) {
        print_help();
        result = CMD_GREEN;
    } else if (parse_options(&args, &options, &error) != OK ||
               want_words(wanted, &args, &error) != OK) {
        result = fail(&error);
    } else {
        result = run_figures(wanted, &options, &args, &error);
    }
    for (uint32_t i = 0; i < wanted->made; i++) {
        figure_release(&wanted->figures[i]);
    }
    free(wanted);
    buf_release(&error);
    return result;
}

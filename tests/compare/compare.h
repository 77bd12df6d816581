/*
 * compare.h - the same scripts, seeds and measures for several engines, and what came of it.
 *
 *     compare_init(&c, &options);            scripts are borrowed
 *     err = compare_run(&c, &error);         all trials, in processes of their own
 *     compare_text / _page / _json / _csv    any of them
 *     compare_release(&c);
 *
 * A cell is a script on an engine; a trial is a cell with a seed: that of the script plus the
 * number of the trial. All engines get the same seeds. Everything printed names the command that
 * makes it again.
 */
#ifndef SYNOD_TESTS_COMPARE_COMPARE_H
#define SYNOD_TESTS_COMPARE_COMPARE_H

#include <stdio.h>

#include "base/buf.h"
#include "tests/compare/measure.h"
#include "tests/compare/stats.h"
#include "tests/sim/scenario.h"

enum { COMPARE_ENGINES_MAX = 8, COMPARE_SCRIPTS_MAX = 256, COMPARE_TRIALS_MAX = 100000 };

struct compare_script {
    char *name; /* the file's name without folder and ending; owned by whoever made it */
    char *path;
    struct scenario scenario;
};

struct compare_options {
    const struct compare_script *scripts;
    uint32_t scripts_count;
    const struct engine_ops *engines[COMPARE_ENGINES_MAX];
    uint32_t engines_count;
    bool seed_set; /* else each script has its own */
    uint64_t seed;
    uint32_t trials;
    bool real;           /* processes instead of the simulator */
    bool netns;          /* real: links by network namespaces */
    uint32_t workers;    /* simulator: processes at a time */
    const char *program; /* as it was called, for commands */
    const char *build;
    bool (*progress)(void *ctx, uint64_t done, uint64_t total); /* false: stop; NULL: none */
    void *ctx;
};

struct compare_cell {
    const struct compare_script *script;
    const struct engine_ops *engine;
    const struct measured *trials; /* options->trials */
    uint32_t count;                /* done: neither skipped nor broken */
    uint32_t skipped;
    uint32_t broken; /* the process of the trial died, or there was no trial */
    uint32_t red;
    uint32_t wrong; /* not as the script expects, see compare_expected; broken ones too */
    uint32_t undecided;
    uint32_t missing; /* trials in which something of the script never happened */
    const struct measured *first_missing;
    const struct measured *first_wrong; /* NULL: none; the trial with the lowest number */
};

struct comparison {
    const struct compare_options *options;
    struct measured *slots;
    uint64_t slots_count;
    struct compare_cell *cells; /* scripts * engines */
    bool stopped;               /* progress said so: there may be fewer trials */
};

/* options and what they point to are borrowed until release. */
void compare_init(struct comparison *c, const struct compare_options *options);
void compare_release(struct comparison *c);

/* Runs all trials. Errors: ERR_LIMIT (no memory for so many), with a line. */
MUST_USE int compare_run(struct comparison *c, struct buf *error);

const struct compare_cell *compare_cell(const struct comparison *c, uint32_t script,
                                        uint32_t engine);

/* Cells that did not come out as their script expects. */
uint32_t compare_wrong(const struct comparison *c);

/* Cells none of whose trials was run. */
uint32_t compare_skipped(const struct comparison *c);

/* Is this what the script expects: green, or red by that property? What the checker could not
 * decide is neither. */
bool compare_expected(const struct scenario *scenario, const struct measured *m);

/* One trial in this process, in the simulator; seed and engine are those of the scenario. */
void compare_trial_sim(const struct scenario *scenario, struct measured *ret_measured);
/* The same on processes. What cannot be done here is a skipped trial, what fails a red one. */
void compare_trial_real(const struct scenario *scenario, bool netns, struct measured *ret_measured);

/* The samples of one measure over the trials of a cell (done ones); free it. */
double *compare_samples(const struct compare_cell *cell, uint32_t measure, size_t *ret_count);
void compare_summary(const struct compare_cell *cell, uint32_t measure,
                     struct stats_summary *ret_summary);

/* "green 20/20", "red 1/20 (R9)", "red as expected 20/20", "skipped: why". */
enum { COMPARE_VERDICT_MAX = 192 };
void compare_verdict(const struct compare_cell *cell, char text[COMPARE_VERDICT_MAX],
                     uint8_t *ret_tone);

/* The commands that make a cell, or one trial of it, again. */
void compare_cell_command(const struct comparison *c, const struct compare_cell *cell,
                          struct buf *out);
void compare_trial_command(const struct comparison *c, const struct compare_cell *cell,
                           const struct measured *m, struct buf *out);

/* A value as people read it. */
void compare_value(uint32_t measure, double value, char *text, size_t size);

/* The trial whose longest gap is the median of the cell's: it stands for the others. NULL: none. */
const struct measured *compare_representative(const struct compare_cell *cell);

/* Printing. Errors of writing stay with `out`. */
void compare_text(const struct comparison *c, FILE *out, uint32_t width, bool colour);
void compare_page(const struct comparison *c, FILE *out);
void compare_json(const struct comparison *c, FILE *out);
void compare_csv(const struct comparison *c, FILE *out); /* a line a trial */

#endif

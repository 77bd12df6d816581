/*
 * figure.h - a published experiment, made again: what was published beside what came out here.
 *
 * A figure is one file figure_NAME.c that ends in a `const struct figure_ops`, found in the one
 * table of figures.c; `synod-sim figures NAME` runs it. It fills tables, plots and checks; printing
 * is shared.
 */
#ifndef SYNOD_TESTS_COMPARE_FIGURE_H
#define SYNOD_TESTS_COMPARE_FIGURE_H

#include "base/buf.h"
#include "tests/compare/plot.h"
#include "tests/compare/table.h"

/* Something published, or predicted, and whether we see it. */
struct figure_check {
    char *what;      /* "median election time at 150-155 ms" */
    char *published; /* "287 ms", with its source where it differs; "-": nobody has published it */
    char *band;      /* "200 to 400 ms": when it passes */
    char *ours;      /* "301 ms" */
    char *replay;    /* the command */
    bool passed;
    bool informal; /* nothing to pass: published for another system */
};

enum { FIGURE_ITEMS_MAX = 64 };

struct figure {
    char *title;   /* "E1: Raft Figure 16" */
    char *source;  /* paper, section */
    char *setup;   /* how it was run here, what differs from the paper */
    char *finding; /* one or two sentences on what it shows; set at the end */
    struct table tables[FIGURE_ITEMS_MAX];
    uint32_t tables_count;
    char *plots[FIGURE_ITEMS_MAX]; /* as SVG: plots borrow their points, this does not */
    uint32_t plots_count;
    struct figure_check checks[FIGURE_ITEMS_MAX];
    uint32_t checks_count;
};

struct figure_options {
    uint64_t seed;
    uint32_t trials;  /* 0: as many as the paper, where that ends in minutes; else what it says */
    bool quick;       /* a tenth or less, for tests and a first look */
    bool real;        /* also on processes, where the figure has such a part */
    uint32_t workers; /* processes at a time; at least 1 */
    const char *program; /* for commands */
    /* Progress: done of total, in whatever unit; may be NULL. False: stop. */
    bool (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
};

struct figure_ops {
    const char *name;  /* "e1" */
    const char *title; /* "Raft Figure 16: election time against the spread of time-outs" */
    /* Fills f, which is initialised with the title and an empty source. Errors: ERR_CANCELED
     * (progress said so), ERR_IO with a line in error. What does not come out as published is a
     * failed check, not an error. */
    int (*run)(const struct figure_options *options, struct figure *f, struct buf *error);
};

/* The table; NULL past the end. */
const struct figure_ops *figure_at(uint32_t i);
const struct figure_ops *figure_by_name(const char *name);

void figure_init(struct figure *f, const char *title, const char *source);
void figure_release(struct figure *f);
void figure_source(struct figure *f, const char *source);
void figure_setup(struct figure *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
void figure_finding(struct figure *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct table *figure_table(struct figure *f, const char *title); /* to be filled; owned by f */
void figure_plot(struct figure *f, const struct plot *plot);     /* drawn at once */
struct figure_check *figure_check(struct figure *f, const char *what, const char *published,
                                  const char *band);
void figure_ours(struct figure_check *c, bool passed, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void figure_replay(struct figure_check *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Checks that do not pass; those for comparison only do not count. */
uint32_t figure_failed(const struct figure *f);

/* Checks, tables, plots. */
void figure_text(const struct figure *f, FILE *out, uint32_t width, bool colour); /* no plots */
void figure_html(const struct figure *f, FILE *out); /* sections of a page */
void figure_json(const struct figure *f, FILE *out);

/* pool.h with the workers and the progress of the options. `slots` is count * size bytes of
 * figure_slots that the children write and the caller reads; how many jobs did not come to their
 * end is returned: their slots are zero, or progress stopped it all. */
uint64_t figure_fork(const struct figure_options *options, uint64_t count, size_t size, void *slots,
                     void (*job)(void *ctx, uint64_t i, void *slot), void *ctx);
void *figure_slots(uint64_t count, size_t size); /* shared, zeroed; ASSERTs that it could be had */
void figure_slots_free(void *slots, uint64_t count, size_t size);

#endif

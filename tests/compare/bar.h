/*
 * bar.h - how far a long command is: a bar on a terminal, a line now and then elsewhere.
 */
#ifndef SYNOD_TESTS_COMPARE_BAR_H
#define SYNOD_TESTS_COMPARE_BAR_H

#include <stdbool.h>
#include <stdint.h>

struct bar {
    const char *what; /* "compare", "e3" */
    bool quiet;
    bool terminal;
    bool on_line; /* the cursor is behind a bar */
    uint64_t start_us;
    uint64_t shown_us;
};

void bar_init(struct bar *b, const char *what, bool quiet);

/* Shows done of total on stderr. False: the user has interrupted. ctx: a struct bar; for `progress`
 * of pool.h and its users. */
bool bar_progress(void *ctx, uint64_t done, uint64_t total);

/* Removes the bar. */
void bar_end(struct bar *b);

#endif

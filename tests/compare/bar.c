/*
 * bar.c - see bar.h.
 */
#include "tests/compare/bar.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/sim/cmd.h"
#include "tests/sim/report.h"

enum { BAR_CELLS = 24, BAR_US = 200 * 1000, LINE_US = 10 * 1000000 };

void bar_init(struct bar *b, const char *what, bool quiet)
{
    *b = (struct bar){.what = what,
                      .quiet = quiet,
                      .terminal = isatty(STDERR_FILENO) == 1,
                      .start_us = cmd_now_us(),
                      .shown_us = cmd_now_us()};
}

static void print(struct bar *b, uint64_t done, uint64_t total)
{
    char text[128];
    char bar[BAR_CELLS + 1];
    char left[REPORT_TIME_MAX] = "?";
    double share = total == 0 ? 0 : (double) done / (double) total;
    double took_us = (double) (cmd_now_us() - b->start_us);
    if (done > 0) {
        report_time((uint64_t) (took_us / share * (1 - share)) / 1000000 * 1000000, left);
    }
    (void) snprintf(text, sizeof text, "%s  %" PRIu64 "/%" PRIu64 "  %.0f%%  ETA %s", b->what, done,
                    total, 100 * share, left);
    for (uint32_t i = 0; i < BAR_CELLS; i++) {
        bar[i] = i + 1 <= share * BAR_CELLS ? '#' : '.';
    }
    bar[BAR_CELLS] = '\0';
    if (!b->terminal) {
        (void) fprintf(stderr, "%s\n", text);
    } else if (strlen(text) + BAR_CELLS + 4 < cmd_columns()) {
        (void) fprintf(stderr, "\r[%s] %s\033[K", bar, text);
    } else {
        (void) fprintf(stderr, "\r%.*s\033[K", (int) cmd_columns() - 1, text);
    }
    (void) fflush(stderr);
}

bool bar_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct bar *b = ctx;
    uint64_t now_us = cmd_now_us();
    if (!b->quiet && now_us - b->shown_us >= (b->terminal ? (uint64_t) BAR_US : LINE_US)) {
        b->shown_us = now_us;
        b->on_line = b->terminal;
        print(b, done, total);
    }
    return cmd_interrupts() == 0;
}

void bar_end(struct bar *b)
{
    if (b->on_line) {
        (void) fputs("\r\033[K", stderr);
        b->on_line = false;
    }
}

/*
 * figure.c - figures as objects, and how they are printed.
 */
#include "tests/compare/figure.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/compare/page.h"
#include "tests/compare/pool.h"

static char *vtext(const char *format, va_list args)
{
    char *text = NULL;
    int length = vasprintf(&text, format, args);
    ASSERT(length >= 0);
    return text;
}

void figure_init(struct figure *f, const char *title, const char *source)
{
    memset(f, 0, sizeof *f);
    f->title = xstrdup(title);
    f->source = xstrdup(source);
}

void figure_release(struct figure *f)
{
    free(f->title);
    free(f->source);
    free(f->setup);
    free(f->finding);
    for (uint32_t i = 0; i < f->tables_count; i++) {
        table_release(&f->tables[i]);
    }
    for (uint32_t i = 0; i < f->plots_count; i++) {
        free(f->plots[i]);
    }
    for (uint32_t i = 0; i < f->checks_count; i++) {
        free(f->checks[i].what);
        free(f->checks[i].published);
        free(f->checks[i].band);
        free(f->checks[i].ours);
        free(f->checks[i].replay);
    }
    memset(f, 0, sizeof *f);
}

void figure_source(struct figure *f, const char *source)
{
    free(f->source);
    f->source = xstrdup(source);
}

void figure_setup(struct figure *f, const char *format, ...)
{
    va_list args;
    free(f->setup);
    va_start(args, format);
    f->setup = vtext(format, args);
    va_end(args);
}

void figure_finding(struct figure *f, const char *format, ...)
{
    va_list args;
    free(f->finding);
    va_start(args, format);
    f->finding = vtext(format, args);
    va_end(args);
}

struct table *figure_table(struct figure *f, const char *title)
{
    ASSERT(f->tables_count < FIGURE_ITEMS_MAX);
    struct table *t = &f->tables[f->tables_count++];
    table_init(t, title);
    return t;
}

void figure_plot(struct figure *f, const struct plot *plot)
{
    char *text = NULL;
    size_t size = 0;
    ASSERT(f->plots_count < FIGURE_ITEMS_MAX);
    FILE *out = open_memstream(&text, &size);
    ASSERT(out != NULL);
    plot_svg(plot, out);
    int failed = fclose(out);
    ASSERT(failed == 0);
    f->plots[f->plots_count++] = text;
}

struct figure_check *figure_check(struct figure *f, const char *what, const char *published,
                                  const char *band)
{
    ASSERT(f->checks_count < FIGURE_ITEMS_MAX);
    struct figure_check *c = &f->checks[f->checks_count++];
    c->what = xstrdup(what);
    c->published = xstrdup(published);
    c->band = xstrdup(band);
    return c;
}

void figure_ours(struct figure_check *c, bool passed, const char *format, ...)
{
    va_list args;
    free(c->ours);
    va_start(args, format);
    c->ours = vtext(format, args);
    va_end(args);
    c->passed = passed;
}

void figure_replay(struct figure_check *c, const char *format, ...)
{
    va_list args;
    free(c->replay);
    va_start(args, format);
    c->replay = vtext(format, args);
    va_end(args);
}

uint32_t figure_failed(const struct figure *f)
{
    uint32_t failed = 0;
    for (uint32_t i = 0; i < f->checks_count; i++) {
        failed += !f->checks[i].passed && !f->checks[i].informal;
    }
    return failed;
}

/* Printing. */

static void checks_table(const struct figure *f, struct table *t)
{
    table_init(t, "Published beside ours");
    table_column(t, "what", false);
    table_column(t, "published", true);
    table_column(t, "ours", true);
    table_column(t, "passes when", false);
    table_column(t, "verdict", false);
    for (uint32_t i = 0; i < f->checks_count; i++) {
        const struct figure_check *c = &f->checks[i];
        table_row(t);
        (void) table_set(t, 0, "%s", c->what);
        (void) table_set(t, 1, "%s", c->published);
        struct table_cell *ours = table_set(t, 2, "%s", c->ours == NULL ? "-" : c->ours);
        if (c->replay != NULL) {
            table_replay(ours, "%s", c->replay);
        }
        (void) table_set(t, 3, "%s", c->band);
        struct table_cell *verdict = table_set(t, 4, "%s",
                                               c->informal ? "for comparison"
                                               : c->passed ? "pass"
                                                           : "FAIL");
        verdict->tone = c->informal ? TONE_QUIET : c->passed ? TONE_GOOD : TONE_BAD;
    }
}

void figure_text(const struct figure *f, FILE *out, uint32_t width, bool colour)
{
    struct table checks;
    (void) fprintf(out, "%s\n  source: %s\n", f->title, f->source);
    if (f->setup != NULL) {
        (void) fprintf(out, "  here: %s\n", f->setup);
    }
    (void) fputc('\n', out);
    checks_table(f, &checks);
    table_text(&checks, out, width, colour);
    table_release(&checks);
    for (uint32_t i = 0; i < f->tables_count; i++) {
        (void) fputc('\n', out);
        table_text(&f->tables[i], out, width, colour);
    }
    if (f->finding != NULL) {
        (void) fprintf(out, "\nFinding: %s\n", f->finding);
    }
}

void figure_html(const struct figure *f, FILE *out)
{
    struct table checks;
    page_paragraph(out, f->source);
    if (f->setup != NULL) {
        page_paragraph(out, f->setup);
    }
    if (f->finding != NULL) {
        page_paragraph(out, f->finding);
    }
    checks_table(f, &checks);
    table_html(&checks, out);
    table_release(&checks);
    for (uint32_t i = 0; i < f->plots_count; i++) {
        (void) fputs(f->plots[i], out);
    }
    for (uint32_t i = 0; i < f->tables_count; i++) {
        table_html(&f->tables[i], out);
    }
}

void figure_json(const struct figure *f, FILE *out)
{
    struct table checks;
    checks_table(f, &checks);
    (void) fputs("{\"checks\":", out);
    table_json(&checks, out);
    table_release(&checks);
    (void) fputs(",\"tables\":[", out);
    for (uint32_t i = 0; i < f->tables_count; i++) {
        (void) fputs(i == 0 ? "" : ",", out);
        table_json(&f->tables[i], out);
    }
    (void) fputs("]}\n", out);
}

/* Work. */

void *figure_slots(uint64_t count, size_t size)
{
    void *slots = pool_slots(count, size);
    ASSERT(slots != NULL);
    return slots;
}

void figure_slots_free(void *slots, uint64_t count, size_t size)
{
    pool_slots_free(slots, count, size);
}

uint64_t figure_fork(const struct figure_options *options, uint64_t count, size_t size, void *slots,
                     void (*job)(void *ctx, uint64_t i, void *slot), void *ctx)
{
    const struct pool_options pool = {.workers = options->workers,
                                      .progress = options->progress,
                                      .ctx = options->ctx};
    struct pool_result result;
    pool_run(&pool, count, size, slots, job, ctx, &result);
    return count - result.done;
}

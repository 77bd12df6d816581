/*
 * compare_text.c - a comparison in the terminal: a table for each script, and one over all of them.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "tests/compare/compare.h"
#include "tests/compare/compare_table.h"

static void print_reds(const struct comparison *c, FILE *out)
{
    const struct compare_options *o = c->options;
    struct buf command;
    buf_init(&command, 1 << 16);
    for (uint32_t i = 0; i < o->scripts_count * o->engines_count; i++) {
        const struct compare_cell *cell = &c->cells[i];
        if (cell->wrong == 0) {
            continue;
        }
        const struct measured *m = cell->first_wrong;
        buf_clear(&command);
        compare_trial_command(c, cell, m, &command);
        (void) fprintf(out, "\n%s on %s: %s %s\n  %.*s\n", cell->script->name,
                       engine_name(cell->engine), m->property,
                       !m->done  ? "the run died, or did not end in its time"
                       : !m->red ? "expected red, came out green"
                                 : m->text,
                       (int) command.size, (const char *) command.data);
    }
    buf_release(&command);
}

static bool was_run(const struct comparison *c, uint32_t script)
{
    for (uint32_t e = 0; e < c->options->engines_count; e++) {
        const struct compare_cell *cell = compare_cell(c, script, e);
        if (cell->count + cell->broken > 0) {
            return true;
        }
    }
    return false;
}

void compare_text(const struct comparison *c, FILE *out, uint32_t width, bool colour)
{
    const struct compare_options *o = c->options;
    struct table t;
    for (uint32_t s = 0; s < o->scripts_count; s++) {
        if (o->scripts_count > 1 && !was_run(c, s)) { /* the last table says why */
            continue;
        }
        compare_table_script(c, s, &t);
        table_text(&t, out, width, colour);
        (void) fputc('\n', out);
        table_release(&t);
    }
    if (o->scripts_count > 1) {
        compare_table_overview(c, &t);
        table_text(&t, out, width, colour);
        table_release(&t);
    }
    print_reds(c, out);
}

/*
 * compare_run.c - see compare_run.h.
 */
#include "tests/compare/compare_run.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tests/compare/page.h"
#include "tests/sim/diagram.h"

enum { EVENTS_RECORDED = 1 << 19, EVENTS_SHOWN = 120, NAME_MAX_TEXT = 96, SCRIPT_MAX = 1 << 20 };

static void write_frame(const struct diagram *d, FILE *out)
{
    char *text = NULL;
    size_t size = 0;
    FILE *page = open_memstream(&text, &size);
    if (page == NULL) {
        return;
    }
    int err = diagram_html(d, page);
    if (fclose(page) == 0 && err == OK) {
        (void) fputs(
            "<iframe class=\"run\" loading=\"lazy\" title=\"space-time diagram\" srcdoc=\"", out);
        page_escape(out, text);
        (void) fputs("\"></iframe>\n", out);
    }
    free(text);
}

void compare_run_diagram(const struct compare_cell *cell, const struct measured *m, FILE *out)
{
    struct diagram_log *log = diagram_log_new(EVENTS_RECORDED);
    struct scenario scenario;
    struct sim_result result;
    char name[NAME_MAX_TEXT];
    if (log == NULL) {
        page_paragraph(out, "There is no memory for a diagram of this run.");
        return;
    }
    scenario_copy(&scenario, &cell->script->scenario);
    scenario.engine = cell->engine;
    scenario.seed = m->seed;
    struct sim_hooks hooks = diagram_hooks(log);
    sim_execute(&scenario, &hooks, &result);
    (void) snprintf(name, sizeof name, "%.40s on %s, seed %" PRIu64, cell->script->name,
                    engine_name(cell->engine), m->seed);
    const struct diagram_options options = {.name = name,
                                            .scenario = &scenario,
                                            .result = &result,
                                            .max = EVENTS_SHOWN};
    struct diagram *d = diagram_new(log, &options);
    write_frame(d, out);
    diagram_free(d);
    scenario_release(&scenario);
    diagram_log_free(log);
}

void compare_run_script(const struct compare_script *script, FILE *out)
{
    struct buf text;
    buf_init(&text, SCRIPT_MAX);
    if (scenario_print(&script->scenario, &text) == OK && buf_append(&text, "", 1) == OK) {
        page_command(out, (const char *) text.data);
    }
    buf_release(&text);
}

/*
 * diagram_page.c - what is around the drawing of a diagram in its HTML file: style, verdict,
 * legend, scenario.
 */
#include "tests/sim/diagram_page.h"

#include <inttypes.h>

#include "base/mem.h"
#include "tests/compare/page.h"
#include "tests/sim/cmd.h"

enum { SCENARIO_MAX = 1024 * 1024 };

static const char style[] =
    ":root{--bg:#ffffff;--ink:#1c2128;--dim:#667080;--faint:#d5dae1;--card:#f5f6f8;--lane:#aab2bd;"
    "--elect:#8250df;--log:#0a69da;--answer:#2f8f5b;--refuse:#bc4c00;--ask:#9a6700;--back:#8c959f;"
    "--bad:#cf222e;--badbg:#ffebe9;--good:#1a7f37;--down:#8c959f;--lead:#0a69da}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#0f1318;--ink:#e4e9ef;--dim:#909caa;"
    "--faint:#2b323b;--card:#181d24;--lane:#4d5762;--elect:#b794ff;--log:#6cb2ff;--answer:#5fcf92;"
    "--refuse:#ff9a52;--ask:#e0b341;--back:#6b7683;--bad:#ff7b72;--badbg:#3a1a1c;--good:#56d364;"
    "--down:#6b7683;--lead:#6cb2ff}}\n"
    "body{margin:0;background:var(--bg);color:var(--ink);font:14px/1.45 system-ui,-apple-system,"
    "'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
    "header,footer{padding:14px 20px;max-width:1280px}h1{font-size:19px;margin:0 0 4px}\n"
    "p{margin:4px 0}.dim{color:var(--dim)}.verdict{display:inline-block;padding:1px 9px;"
    "border-radius:9px;font-weight:600;font-size:13px;vertical-align:2px;margin-left:8px}\n"
    ".red{background:var(--badbg);color:var(--bad)}"
    ".green{color:var(--good);background:var(--card)}\n"
    ".what{background:var(--badbg);color:var(--bad);padding:8px 12px;border-radius:6px;"
    "margin:8px 0}\n"
    "pre{background:var(--card);padding:10px 12px;border-radius:6px;overflow-x:auto;"
    "font-size:12px}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin-top:8px;font-size:12.5px;"
    "color:var(--dim)}.legend svg{vertical-align:-4px;margin-right:5px}\n"
    ".scroll{overflow-x:auto}.names{position:sticky;top:0;background:var(--bg);"
    "border-bottom:1px solid var(--faint);z-index:1}\n"
    "svg{display:block}.legend svg{display:inline-block}\n"
    "text{font:10.5px ui-monospace,SFMono-Regular,Menlo,'DejaVu Sans Mono',monospace;"
    "fill:var(--ink)}\n"
    ".label{paint-order:stroke;stroke:var(--bg);stroke-width:3px;stroke-linejoin:round}\n"
    ".name{font:600 13px system-ui,'DejaVu Sans',sans-serif}.time{fill:var(--dim)}"
    ".strong{font-weight:700}.behind{fill:var(--bg);fill-opacity:.8}"
    ".gap{font-style:italic;font-size:9.5px}\n"
    ".lane{stroke:var(--lane);stroke-width:1.4}.grid{stroke:var(--faint);stroke-width:1}\n"
    ".m{fill:none;stroke-width:1.3}.lost{stroke-dasharray:4 3}\n"
    ".elect{stroke:var(--elect)}.log{stroke:var(--log)}.answer{stroke:var(--answer)}"
    ".refuse{stroke:var(--refuse)}.ask{stroke:var(--ask)}.back{stroke:var(--back)}\n"
    "text.elect{fill:var(--elect)}text.log{fill:var(--log)}text.answer{fill:var(--answer)}"
    "text.refuse{fill:var(--refuse)}text.ask{fill:var(--ask)}text.back{fill:var(--back)}"
    "text.m,text.lost{stroke-dasharray:none}text.elect,text.log,text.answer,text.refuse,text.ask,"
    "text.back{stroke:var(--bg)}\n"
    ".h-elect{fill:var(--elect)}.h-log{fill:var(--log)}.h-answer{fill:var(--answer)}"
    ".h-refuse{fill:var(--refuse)}.h-ask{fill:var(--ask)}.h-back{fill:var(--back)}\n"
    ".cross{stroke:var(--bad);stroke-width:1.8}.dot{fill:var(--dim)}.commit{fill:var(--good)}"
    ".leader{fill:var(--lead)}.vote{fill:var(--elect)}.fault{fill:var(--bad)}"
    ".start{fill:var(--bg);stroke:var(--dim);stroke-width:1.6}\n"
    "text.fault,text.bad{fill:var(--bad)}text.leader{fill:var(--lead);font-weight:700}"
    "text.commit{fill:var(--good)}text.vote{fill:var(--elect)}text.dot,text.start{fill:var(--dim);"
    "stroke:var(--bg);stroke-width:3px}\n"
    ".spanlead{fill:var(--lead);fill-opacity:.14;stroke:var(--lead);stroke-opacity:.45}"
    ".spandown{fill:url(#hatch);stroke:var(--down);stroke-opacity:.6}"
    ".spanpause{fill:var(--ask);fill-opacity:.18;stroke:var(--ask);stroke-dasharray:2 2}"
    ".spandisk{fill:var(--refuse);fill-opacity:.16;stroke:var(--refuse);stroke-dasharray:2 2}\n"
    ".write{stroke:var(--ink);stroke-width:2.4;stroke-opacity:.35}"
    ".tick{stroke:var(--ink);stroke-width:2.2}.call{stroke:var(--dim);stroke-width:1;"
    "stroke-dasharray:1.5 3}.netfault{stroke:var(--bad);stroke-width:1.2;stroke-dasharray:7 4}"
    ".violation{stroke:var(--bad);stroke-width:2.4}\n"
    "g:hover .m{stroke-width:2.8}g:hover text{font-weight:700}\n";

static void print_legend(FILE *out)
{
    static const struct {
        const char *svg;
        const char *text;
    } items[] = {
        {"<path class=\"m elect\" d=\"M0 6H26\"/>", "elections: vote, prepare"},
        {"<path class=\"m log\" d=\"M0 6H26\"/>", "the log: append, accept, chosen"},
        {"<path class=\"m answer\" d=\"M0 6H26\"/>", "answers"},
        {"<path class=\"m refuse\" d=\"M0 6H26\"/>", "refusals"},
        {"<path class=\"m ask\" d=\"M0 6H26\"/>", "forwarded, reads"},
        {"<path class=\"m log lost\" d=\"M0 6H20\"/><path class=\"cross\" "
         "d=\"M18 2l8 8m0 -8l-8 8\"/>",
         "lost"},
        {"<path class=\"m log lost\" d=\"M0 6H20\"/>"
         "<path class=\"h-log\" d=\"M18 2L26 6L18 10z\"/>",
         "arrives after the end of the picture"},
        {"<rect class=\"spanlead\" x=\"2\" y=\"0\" width=\"22\" height=\"12\" rx=\"3\"/>", "leads"},
        {"<rect class=\"spandown\" x=\"2\" y=\"0\" width=\"18\" height=\"12\" rx=\"3\"/>", "down"},
        {"<path class=\"leader\" d=\"M13 0l7 11h-14z\"/>", "became leader"},
        {"<path class=\"fault\" d=\"M13 0l6 6l-6 6l-6 -6z\"/>", "fault"},
        {"<circle class=\"start\" cx=\"13\" cy=\"6\" r=\"4.5\"/>", "start, clock of a node"},
        {"<circle class=\"commit\" cx=\"13\" cy=\"6\" r=\"3.4\"/>", "commit"},
        {"<rect class=\"vote\" x=\"9\" y=\"2\" width=\"7\" height=\"7\"/>", "vote, promise"},
        {"<line class=\"write\" x1=\"10\" x2=\"10\" y1=\"0\" y2=\"9\"/><line class=\"tick\" "
         "x1=\"6\" x2=\"18\" y1=\"9\" y2=\"9\"/>",
         "write, then durable"},
        {"<line class=\"call\" x1=\"0\" x2=\"26\" y1=\"6\" y2=\"6\"/>", "call of a client"},
    };

    (void) fputs("<div class=\"legend\">", out);
    for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
        (void) fprintf(out, "<span><svg width=\"26\" height=\"13\">%s</svg>%s</span>", items[i].svg,
                       items[i].text);
    }
    (void) fputs("</div>\n", out);
}

void diagram_page_begin(const struct diagram *d, FILE *out)
{
    const struct diagram_options *o = d->options;
    const struct sim_result *r = o->result;

    (void) fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                 "<meta name=\"viewport\" content=\"width=device-width\">"
                 "<meta name=\"color-scheme\" content=\"light dark\"><title>synod-sim: ",
                 out);
    page_escape(out, o->name);
    (void) fprintf(out, "</title>\n<style>\n%s</style></head><body>\n<header><h1>", style);
    page_escape(out, o->name);
    (void) fprintf(out, "<span class=\"verdict %s\">%s</span></h1>\n", r->red ? "red" : "green",
                   r->red ? "red" : "green");
    (void) fprintf(out,
                   "<p class=\"dim\">%u nodes, %s, seed %" PRIu64 ". Shown: %zu of %zu events, "
                   "%.6f s to %.6f s (%s)%s. Time runs downwards, stretched where much happens; "
                   "point at anything to read all of it.</p>\n",
                   o->scenario->nodes, cmd_modes[o->scenario->mode], o->scenario->seed, d->count,
                   d->total, (double) d->from_us / 1e6, (double) d->to_us / 1e6, d->why,
                   o->all ? "" : "; heartbeats and gossip are left out");
    if (d->beyond > 0) {
        (void) fprintf(out,
                       "<p class=\"dim\">%" PRIu64 " events at the end of the run were too "
                       "many to be recorded.</p>\n",
                       d->beyond);
    }
    if (r->red) {
        (void) fprintf(out, "<p class=\"what\"><b>%s</b>%s", r->property,
                       r->property[0] == '\0' ? "" : " ");
        page_escape(out, r->text);
        (void) fprintf(out, " (at %.6f s)</p>\n", (double) r->at_us / 1e6);
    }
    print_legend(out);
    (void) fputs("</header>\n", out);
}

void diagram_page_end(const struct diagram *d, FILE *out)
{
    struct buf text;

    buf_init(&text, SCENARIO_MAX);
    (void) fputs("</div>\n<footer><details><summary>The scenario</summary><pre>", out);
    if (scenario_print(d->options->scenario, &text) == OK && buf_append(&text, "", 1) == OK) {
        page_escape(out, (const char *) text.data);
    } else {
        (void) fputs("too long to be printed", out);
    }
    (void) fputs("</pre></details></footer>\n</body></html>\n", out);
    buf_release(&text);
}

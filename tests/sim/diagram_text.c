/*
 * diagram_text.c - a diagram for the terminal: a column for each node, a line for each event. See
 * diagram.h.
 *
 *     seconds        1               2               3
 *     1.234567       #> append 7..9  |               |          sent, to whom at the end of the
 * line 1.235001       #               > append 7..9   |          arrives
 *
 * `#` leads, `|` is up, blank is down.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/sim/diagram.h"

enum { TIME_WIDTH = 14, COLUMN_MIN = 16, COLUMN_MAX = 30, WIDTH_WANTED = 132 };

/* A line: an event, or the arrival of a message. */
struct line {
    uint64_t time_us;
    const struct diagram_event *event;
    size_t number; /* keeps the order of one time */
    bool arrival;
};

static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a;
    const struct line *y = b;

    if (x->time_us != y->time_us) {
        return x->time_us < y->time_us ? -1 : 1;
    }
    return x->number < y->number ? -1 : x->number > y->number;
}

static size_t make_lines(const struct diagram *d, struct line *lines)
{
    size_t n = 0;

    for (size_t i = 0; i < d->count; i++) {
        const struct diagram_event *e = d->events[i];

        lines[n] = (struct line){e->time_us, e, n, false};
        n++;
        if (e->kind == DIAGRAM_MESSAGE && diagram_arrives(d, e) && e->end_us <= d->to_us) {
            lines[n] = (struct line){e->end_us, e, n, true};
            n++;
        }
    }
    qsort(lines, n, sizeof(*lines), compare_lines);
    return n;
}

static char lane_sign(const struct diagram *d, uint32_t lane, uint64_t time_us)
{
    char sign = '|';

    for (size_t i = 0; i < d->spans_count; i++) {
        const struct diagram_span *s = &d->spans[i];

        /* A span that ends with the window goes on. */
        if (s->lane != lane || time_us < s->from_us ||
            (time_us >= s->to_us && s->to_us != d->to_us)) {
            continue;
        }
        if (s->kind == SPAN_DOWN) {
            return ' ';
        }
        if (s->kind == SPAN_LEADER) {
            sign = '#';
        }
    }
    return sign;
}

/* What the line says in its column. */
static void line_text(const struct diagram *d, const struct line *l, char *text, size_t size)
{
    const struct diagram_event *e = l->event;
    char label[DIAGRAM_TEXT_MAX];

    diagram_label(d, e, label);
    if (e->kind == DIAGRAM_MESSAGE && l->arrival) {
        (void) snprintf(text, size, "<%u %s", e->node, label);
    } else if (e->kind == DIAGRAM_MESSAGE) {
        (void) snprintf(text, size, ">%u %s%s", e->to, label,
                        e->end_us == 0           ? " (lost)"
                        : !diagram_arrives(d, e) ? " (nobody)"
                                                 : "");
    } else if (e->kind == TRACE_FAULT) {
        (void) snprintf(text, size, "! %s", label);
    } else if (e->kind == TRACE_BECAME_LEADER) {
        (void) snprintf(text, size, "* %s", label);
    } else if (e->kind == TRACE_REQUEST) {
        (void) snprintf(text, size, "<- %s", label);
    } else if (e->kind == TRACE_REPLY) {
        (void) snprintf(text, size, "-> %s", label);
    } else {
        (void) snprintf(text, size, "  %s", label);
    }
}

static void print_line(const struct diagram *d, const struct line *l, int column, FILE *out)
{
    uint32_t nodes = d->options->scenario->nodes;
    uint32_t lane = l->arrival ? l->event->to : diagram_lane(l->event);
    char text[DIAGRAM_TEXT_MAX + 32];

    line_text(d, l, text, sizeof(text));
    (void) fprintf(out, "%*.6f  ", TIME_WIDTH - 2, (double) l->time_us / 1e6);
    if (lane == 0) {
        (void) fprintf(out, "---- %s\n", text);
        return;
    }
    for (uint32_t n = 1; n < lane; n++) {
        (void) fprintf(out, "%c%*s", lane_sign(d, n, l->time_us), column - 1, "");
    }
    (void) fprintf(out, "%c ", lane_sign(d, lane, l->time_us));
    if (lane == nodes || strlen(text) >= (size_t) column - 2) {
        /* No room for the columns behind it: a line that says all is better. */
        (void) fprintf(out, "%s\n", text);
        return;
    }
    (void) fprintf(out, "%-*s", column - 2, text);
    for (uint32_t n = lane + 1; n <= nodes; n++) {
        (void) fprintf(out, "%c%*s", lane_sign(d, n, l->time_us), n == nodes ? 0 : column - 1, "");
    }
    (void) fputc('\n', out);
}

int diagram_text(const struct diagram *d, FILE *out)
{
    const struct sim_result *r = d->options->result;
    uint32_t nodes = d->options->scenario->nodes;
    int column = (WIDTH_WANTED - TIME_WIDTH) / (int) nodes;
    struct line *lines = xmalloc((2 * d->count + 1) * sizeof(*lines));
    size_t count = make_lines(d, lines);
    bool told = !d->red;

    column = column < COLUMN_MIN ? COLUMN_MIN : column > COLUMN_MAX ? COLUMN_MAX : column;
    (void) fprintf(out,
                   "%s: %zu of %zu events, %.6f s to %.6f s (%s)\n"
                   "# leads, | up, blank down; >2 sent to 2, <1 arrives from 1, ! fault, * leader, "
                   "<- -> call and answer\n",
                   d->options->name, d->count, d->total, (double) d->from_us / 1e6,
                   (double) d->to_us / 1e6, d->why);
    (void) fprintf(out, "%*s  ", TIME_WIDTH - 2, "seconds");
    for (uint32_t n = 1; n <= nodes; n++) {
        (void) fprintf(out, "%-*u", n == nodes ? 1 : column, n);
    }
    (void) fputc('\n', out);
    for (size_t i = 0; i < count; i++) {
        if (!told && r->at_us != 0 && lines[i].time_us > r->at_us) {
            told = true;
            (void) fprintf(out, "%*.6f  ==== %s: %s\n", TIME_WIDTH - 2, (double) r->at_us / 1e6,
                           r->property, r->text);
        }
        print_line(d, &lines[i], column, out);
    }
    if (!told) {
        (void) fprintf(out, "%*.6f  ==== %s: %s\n", TIME_WIDTH - 2, (double) r->at_us / 1e6,
                       r->property, r->text);
    }
    free(lines);
    return fflush(out) == 0 && ferror(out) == 0 ? OK : ERR_IO;
}

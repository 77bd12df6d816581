/*
 * diagram_html.c - a diagram as one HTML file with inline SVG: no script, no network, light and
 * dark. See diagram.h.
 *
 * Time runs downwards and is stretched where much happens: equal distances are not equal times, the
 * axis has the numbers.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/compare/page.h"
#include "tests/sim/diagram_page.h"
#include "tests/sim/report.h"

enum {
    AXIS = 104,    /* px at the left for times */
    CLIENTS = 150, /* between the lane of clients and the first node */
    RIGHT = 250,   /* beyond the last lane: its labels, and faults of the network */
    WIDTH_WANTED = 1320,
    LANE_MIN = 150,
    LANE_MAX = 260,
    TOP = 16,
    LINE = 14,        /* of text */
    LABEL_CHARS = 34, /* longer ones are cut; the title has all */
    LABELS_MAX = 20000,
    LABEL_MAX = 64, /* bytes; no lane has room for so many */
    AXIS_STEP = 15,
    LONG_GAP_US = 20000,
    BEGIN_US = 1000, /* of every run */
};

static const double CHAR = 6.05; /* width of a character of a label */

struct box {
    double x, y, width;
};

/* Placed at once, printed at the end, over everything else. */
struct label {
    struct box box;
    const char *class;
    const struct diagram_event *event;
    char text[LABEL_MAX];
};

struct canvas {
    const struct diagram *d;
    FILE *out;
    double lane_width;
    double width;
    double height;
    uint64_t *times; /* distinct, ascending */
    double *ys;
    size_t times_count;
    struct label *labels;
    size_t labels_count;
};

/* ---- Text ---- */

static void print_title(const struct canvas *c, const struct diagram_event *e)
{
    char title[DIAGRAM_TITLE_MAX];

    diagram_title(c->d, e, title);
    (void) fputs("<title>", c->out);
    page_escape(c->out, title);
    (void) fputs("</title>", c->out);
}

/* ---- Where things are ---- */

static double lane_x(const struct canvas *c, uint32_t lane)
{
    return lane == 0 ? AXIS + 20 : AXIS + 20 + CLIENTS + (lane - 1) * c->lane_width;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a;
    uint64_t y = *(const uint64_t *) b;

    return x < y ? -1 : x > y;
}

static bool in_window(const struct diagram *d, uint64_t us)
{
    return us >= d->from_us && us <= d->to_us;
}

/* All times at which something is drawn. */
static void collect_times(struct canvas *c)
{
    const struct diagram *d = c->d;
    size_t n = 0;

    c->times = xmalloc((2 * d->count + 2 * d->spans_count + 3) * sizeof(*c->times));
    c->times[n++] = d->from_us;
    c->times[n++] = d->to_us;
    if (d->red) {
        c->times[n++] = u64_max(d->options->result->at_us, d->from_us);
    }
    for (size_t i = 0; i < d->count; i++) {
        c->times[n++] = d->events[i]->time_us;
        if (in_window(d, d->events[i]->end_us)) {
            c->times[n++] = d->events[i]->end_us;
        }
    }
    for (size_t i = 0; i < d->spans_count; i++) {
        c->times[n++] = d->spans[i].from_us;
        c->times[n++] = d->spans[i].to_us;
    }
    qsort(c->times, n, sizeof(*c->times), compare_u64);
    for (size_t i = 0; i < n; i++) {
        if (c->times_count == 0 || c->times[c->times_count - 1] != c->times[i]) {
            c->times[c->times_count++] = c->times[i];
        }
    }
}

/* Has a label beside its lane (not a message, whose label is beside its arrow). */
static bool has_label(const struct diagram_event *e)
{
    return e->kind != DIAGRAM_MESSAGE && e->kind != TRACE_DURABLE;
}

/* The lane a label is beside. */
static uint32_t label_lane(const struct diagram_event *e)
{
    return e->kind == TRACE_REQUEST || e->kind == TRACE_REPLY ? 0 : diagram_lane(e);
}

/* Distances grow with the logarithm of time, and leave room for the labels of a lane. */
static void place_times(struct canvas *c)
{
    const struct diagram *d = c->d;
    double last[SIM_NODES_MAX + 1];
    double y = TOP;
    size_t e = 0;

    for (uint32_t n = 0; n <= SIM_NODES_MAX; n++) {
        last[n] = -LINE;
    }
    c->ys = xmalloc(c->times_count * sizeof(*c->ys));
    for (size_t i = 0; i < c->times_count; i++) {
        if (i > 0) {
            y += 4 + 8 * log10(1 + (double) (c->times[i] - c->times[i - 1]) / 100);
        }
        for (size_t at = e; at < d->count && d->events[at]->time_us == c->times[i]; at++) {
            if (has_label(d->events[at])) {
                y = fmax(y, last[label_lane(d->events[at])] + LINE);
            }
        }
        for (; e < d->count && d->events[e]->time_us == c->times[i]; e++) {
            if (has_label(d->events[e])) {
                last[label_lane(d->events[e])] = y;
            }
        }
        c->ys[i] = y;
    }
    c->height = y + 2 * LINE + TOP;
}

/* Of a time that collect_times saw. */
static double time_y(const struct canvas *c, uint64_t us)
{
    const uint64_t *found = bsearch(&us, c->times, c->times_count, sizeof(*c->times), compare_u64);

    return found == NULL ? c->height - TOP : c->ys[found - c->times];
}

/* ---- Labels ---- */

static bool is_free(const struct canvas *c, const struct box *box)
{
    for (size_t i = c->labels_count; i > 0; i--) {
        const struct box *b = &c->labels[i - 1].box;

        if (fabs(b->y - box->y) < LINE - 3 && b->x < box->x + box->width &&
            box->x < b->x + b->width) {
            return false;
        }
    }
    return true;
}

static void add_label(struct canvas *c, const struct box *box, const struct diagram_event *event,
                      const char *class, const char *text)
{
    struct label *l = &c->labels[c->labels_count];

    if (c->labels_count < LABELS_MAX) {
        l->box = *box;
        l->class = class;
        l->event = event;
        (void) snprintf(l->text, sizeof(l->text), "%s", text);
        c->labels_count++;
    }
}

static void print_labels(const struct canvas *c)
{
    for (size_t i = 0; i < c->labels_count; i++) {
        const struct label *l = &c->labels[i];

        (void) fputs("<g>", c->out);
        print_title(c, l->event);
        (void) fprintf(c->out,
                       "<rect class=\"behind\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                       "height=\"12\"/><text class=\"label %s\" x=\"%.1f\" y=\"%.1f\">",
                       l->box.x - 1, l->box.y - 6, l->box.width + 2, l->class, l->box.x,
                       l->box.y + 3.5);
        page_escape(c->out, l->text);
        (void) fputs("</text></g>\n", c->out);
    }
}

/* Cut to what a lane has room for. */
static double fit(const struct canvas *c, char *text, uint32_t lane)
{
    double room = lane == 0                                ? CLIENTS - 24
                  : lane == c->d->options->scenario->nodes ? RIGHT - 30
                                                           : c->lane_width - 26;
    size_t chars = (size_t) (room / CHAR);

    if (strlen(text) > chars && chars > 2) {
        (void) snprintf(text + chars - 2, 3, "..");
    }
    return (double) strlen(text) * CHAR;
}

/* ---- Lanes and spans ---- */

static void draw_lanes(const struct canvas *c)
{
    uint32_t nodes = c->d->options->scenario->nodes;

    for (uint32_t n = 0; n <= nodes; n++) {
        (void) fprintf(c->out,
                       "<line class=\"lane\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%.1f\"/>\n",
                       lane_x(c, n), lane_x(c, n), c->height);
    }
}

static void draw_axis(const struct canvas *c)
{
    double last = -AXIS_STEP;

    for (size_t i = 0; i < c->times_count; i++) {
        uint64_t gap = i == 0 ? 0 : c->times[i] - c->times[i - 1];

        if (gap >= LONG_GAP_US) { /* it has room: distances grow with time */
            char text[REPORT_TIME_MAX];

            report_time(gap, text);
            (void) fprintf(c->out,
                           "<text class=\"time gap\" x=\"%d\" y=\"%.1f\" "
                           "text-anchor=\"end\">+ %s</text>\n",
                           AXIS - 12, (c->ys[i] + c->ys[i - 1]) / 2 + 3.5, text);
            last = fmin(last, c->ys[i] - AXIS_STEP);
        }
        if (c->ys[i] - last < AXIS_STEP) {
            continue;
        }
        last = c->ys[i];
        (void) fprintf(
            c->out,
            "<line class=\"grid\" x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"time%s\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6f</text>\n",
            AXIS - 6, c->width - RIGHT + 20, c->ys[i], c->ys[i], gap >= 50000 ? " strong" : "",
            AXIS - 12, c->ys[i] + 3.5, (double) c->times[i] / 1e6);
    }
}

static void draw_spans(const struct canvas *c)
{
    static const char *const classes[] = {"spanlead", "spandown", "spanpause", "spandisk"};
    static const char *const words[] = {"leader", "down", "paused", "its disk hangs"};
    static const int half[] = {11, 9, 7, 5};

    for (size_t i = 0; i < c->d->spans_count; i++) {
        const struct diagram_span *s = &c->d->spans[i];
        double y0 = s->from_start ? 0 : time_y(c, s->from_us);
        double y1 = s->to_us == c->d->to_us ? c->height : time_y(c, s->to_us);
        char epoch[32];

        diagram_epoch(c->d, s->epoch, epoch);
        (void) fprintf(c->out,
                       "<g><title>node %u: %s%s%s</title><rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" "
                       "width=\"%d\" height=\"%.1f\" rx=\"4\"/></g>\n",
                       s->lane, words[s->kind], s->kind == SPAN_LEADER ? " of " : "",
                       s->kind == SPAN_LEADER ? epoch : "", classes[s->kind],
                       lane_x(c, s->lane) - half[s->kind], y0, 2 * half[s->kind], fmax(y1 - y0, 2));
    }
}

/* ---- Messages ---- */

static const char *message_class(const struct diagram_event *e)
{
    const char *name = message_name(e->message);
    size_t size = strlen(name);

    if (e->reject || e->message == MSG_PAXOS_NACK) {
        return "refuse";
    }
    switch (e->message) {
    case MSG_RAFT_PREVOTE:
    case MSG_RAFT_VOTE:
    case MSG_RAFT_TIMEOUT_NOW:
    case MSG_PAXOS_PREPARE:
    case MSG_PAXOS_PREPREPARE:
    case MSG_PAXOS_TIMEOUT_NOW:
        return "elect";
    case MSG_RAFT_ALIVE:
    case MSG_RAFT_HEARTBEAT:
    case MSG_RAFT_HEARTBEAT_REPLY:
    case MSG_PAXOS_HEARTBEAT:
    case MSG_PAXOS_HEARTBEAT_REPLY:
    case MSG_REPLICA_GOSSIP:
        return "back";
    case MSG_REPLICA_FORWARD:
    case MSG_RAFT_READ_INDEX:
    case MSG_PAXOS_READ:
        return "ask";
    case MSG_RAFT_VOTE_REPLY: /* its name is "vote" */
    case MSG_PAXOS_PROMISE:
    case MSG_PAXOS_ACCEPTED:
        return "answer";
    default:
        return size > 6 && strcmp(name + size - 6, "_reply") == 0 ? "answer" : "log";
    }
}

static void draw_cross(const struct canvas *c, double x, double y)
{
    (void) fprintf(c->out, "<path class=\"cross\" d=\"M%.1f %.1fl8 8m0 -8l-8 8\"/>", x - 4, y - 4);
}

struct line {
    double x0, y0, x1, y1;
};

/* Beside the arrow, in the middle between two lanes, nearest to the receiver first; nowhere when
 * all places are taken: the title still has it. */
static void label_arrow(struct canvas *c, const struct line *l, const struct diagram_event *e)
{
    char text[DIAGRAM_TEXT_MAX];
    double gap = fmin(c->lane_width / fmax(fabs(l->x1 - l->x0), 1), 1);
    double width;

    diagram_label(c->d, e, text);
    if (strlen(text) > LABEL_CHARS) {
        (void) snprintf(text + LABEL_CHARS - 2, 3, "..");
    }
    width = (double) strlen(text) * CHAR;
    for (double at = 1 - gap / 2; at > 0; at -= gap) {
        for (int side = 0; side < 5; side++) {
            static const int shifts[] = {-6, 8, -18, 20, 0};
            struct box box = {l->x0 + (l->x1 - l->x0) * at - width / 2,
                              l->y0 + (l->y1 - l->y0) * at + shifts[side], width};

            if (is_free(c, &box)) {
                add_label(c, &box, e, message_class(e), text);
                return;
            }
        }
    }
}

static void draw_message(struct canvas *c, const struct diagram_event *e)
{
    const char *class = message_class(e);
    bool arrives = diagram_arrives(c->d, e);
    bool later = e->end_us > c->d->to_us;
    double side = lane_x(c, e->to) > lane_x(c, e->node) ? 1 : -1;
    struct line l = {lane_x(c, e->node), time_y(c, e->time_us), lane_x(c, e->to) - 3 * side, 0};

    if (e->end_us == 0) { /* lost: it ends on its way */
        l.x1 = l.x0 + (l.x1 - l.x0) * 0.6;
        l.y1 = l.y0 + LINE;
    } else if (later) {
        l.x1 = l.x0 + (l.x1 - l.x0) * 0.8;
        l.y1 = fmin(l.y0 + 3 * LINE, c->height);
    } else {
        l.y1 = time_y(c, e->end_us);
    }
    (void) fputs("<g>", c->out);
    print_title(c, e);
    (void) fprintf(c->out, "<path class=\"m %s%s\" d=\"M%.1f %.1fL%.1f %.1f\"", class,
                   arrives && !later ? "" : " lost", l.x0, l.y0, l.x1, l.y1);
    if (arrives) {
        (void) fprintf(c->out, " marker-end=\"url(#to-%s)\"/>", class);
    } else {
        (void) fputs("/>", c->out);
        draw_cross(c, l.x1, l.y1);
    }
    label_arrow(c, &l, e);
    (void) fputs("</g>\n", c->out);
}

/* ---- Events on a lane ---- */

/* A clock that drifts from the first moment on is how the cluster begins, and no fault. */
static bool is_fault(const struct diagram_event *e)
{
    return e->kind == TRACE_FAULT &&
           !(e->time_us <= BEGIN_US && e->note != NULL && strcmp(e->note, "clock drift") == 0);
}

static const char *event_class(const struct diagram_event *e)
{
    if (e->kind == TRACE_FAULT && !is_fault(e)) {
        return "start";
    }
    switch (e->kind) {
    case TRACE_BECAME_LEADER:
        return "leader";
    case TRACE_COMMIT:
    case TRACE_CHOSEN:
        return "commit";
    case TRACE_VOTE:
    case TRACE_PROMISE:
    case TRACE_BECAME_CANDIDATE:
        return "vote";
    case TRACE_FAULT:
    case TRACE_TRUNCATE:
    case TRACE_STEP_DOWN:
        return "fault";
    case TRACE_START:
        return "start";
    default:
        return "dot";
    }
}

static void draw_mark(const struct canvas *c, const struct diagram_event *e, double x, double y)
{
    const char *class = event_class(e);

    if (e->kind == TRACE_BECAME_LEADER) {
        (void) fprintf(c->out, "<path class=\"leader\" d=\"M%.1f %.1fl7 11h-14z\"/>", x, y - 7);
    } else if (is_fault(e)) {
        (void) fprintf(c->out, "<path class=\"fault\" d=\"M%.1f %.1fl6 6l-6 6l-6 -6z\"/>", x,
                       y - 6);
    } else if (e->kind == TRACE_VOTE || e->kind == TRACE_PROMISE) {
        (void) fprintf(c->out,
                       "<rect class=\"vote\" x=\"%.1f\" y=\"%.1f\" width=\"7\" height=\"7\"/>",
                       x - 3.5, y - 3.5);
    } else {
        (void) fprintf(c->out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>", class,
                       x, y, strcmp(class, "start") == 0 ? 4.5 : 3.4);
    }
}

static void draw_durable(const struct canvas *c, const struct diagram_event *e)
{
    double x = lane_x(c, diagram_lane(e));
    double y = time_y(c, e->time_us);

    (void) fputs("<g>", c->out);
    print_title(c, e);
    if (e->end_us != 0) {
        double begin = in_window(c->d, e->end_us) ? time_y(c, e->end_us) : 0;

        (void) fprintf(c->out,
                       "<line class=\"write\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                       x - 6, x - 6, begin, y);
    }
    (void) fprintf(c->out, "<line class=\"tick\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                   x - 10, x + 2, y, y);
    (void) fputs("</g>\n", c->out);
}

static void draw_call(const struct canvas *c, const struct diagram_event *e)
{
    double y = time_y(c, e->time_us);

    (void) fputs("<g>", c->out);
    print_title(c, e);
    (void) fprintf(c->out,
                   "<line class=\"call\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                   "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\"/></g>\n",
                   lane_x(c, 0), lane_x(c, diagram_lane(e)), y, y,
                   lane_x(c, e->kind == TRACE_REQUEST ? 0 : diagram_lane(e)), y);
}

static void draw_network_fault(const struct canvas *c, const struct diagram_event *e)
{
    double y = time_y(c, e->time_us);

    (void) fprintf(c->out,
                   "<line class=\"netfault\" x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                   AXIS - 6, c->width - RIGHT + 20, y, y);
}

static void draw_event(const struct canvas *c, const struct diagram_event *e)
{
    if (e->kind == TRACE_DURABLE) {
        draw_durable(c, e);
    } else if (e->kind == TRACE_REQUEST || e->kind == TRACE_REPLY) {
        draw_call(c, e);
    } else if (diagram_lane(e) == 0) {
        draw_network_fault(c, e);
    } else {
        (void) fputs("<g>", c->out);
        print_title(c, e);
        draw_mark(c, e, lane_x(c, diagram_lane(e)), time_y(c, e->time_us));
        (void) fputs("</g>\n", c->out);
    }
}

/* Which of two labels of one moment gives it its colour. */
static int weight(const struct diagram_event *e)
{
    switch (e->kind) {
    case TRACE_FAULT:
        return is_fault(e) ? 4 : 1;
    case TRACE_BECAME_LEADER:
        return 3;
    case TRACE_VOTE:
    case TRACE_PROMISE:
        return 2;
    default:
        return 1;
    }
}

/* A commit that another one of the same moment goes beyond. */
static bool is_overtaken(const struct canvas *c, size_t at, size_t end)
{
    const struct diagram_event *e = c->d->events[at];

    for (size_t i = at + 1; e->kind == TRACE_COMMIT && i < end; i++) {
        if (c->d->events[i]->kind == TRACE_COMMIT && c->d->events[i]->node == e->node) {
            return true;
        }
    }
    return false;
}

/* Labels of events at one time on one lane are one label. */
static void label_lane_at(struct canvas *c, size_t begin, size_t end, uint32_t lane)
{
    char text[2 * DIAGRAM_TEXT_MAX] = "";
    const struct diagram_event *heaviest = NULL;
    struct box box;
    bool network;

    for (size_t i = begin; i < end; i++) {
        const struct diagram_event *e = c->d->events[i];
        char one[DIAGRAM_TEXT_MAX];
        size_t used = strlen(text);

        if (!has_label(e) || label_lane(e) != lane || is_overtaken(c, i, end)) {
            continue;
        }
        diagram_label(c->d, e, one);
        if (strstr(text, one) != NULL) {
            continue; /* both ends of a link tell the same */
        }
        (void) snprintf(text + used, sizeof(text) - used, "%s%s", used == 0 ? "" : ", ", one);
        if (heaviest == NULL || weight(e) > weight(heaviest)) {
            heaviest = e;
        }
    }
    if (heaviest == NULL) {
        return;
    }
    network = lane == 0 && heaviest->kind == TRACE_FAULT;
    box.width = fit(c, text, network ? c->d->options->scenario->nodes : lane);
    box.x = network ? c->width - RIGHT + 24 : lane_x(c, lane) + (lane == 0 ? 9 : 15);
    box.y = time_y(c, heaviest->time_us);
    add_label(c, &box, heaviest, event_class(heaviest), text);
}

static void label_lanes(struct canvas *c)
{
    size_t begin = 0;

    while (begin < c->d->count) {
        size_t end = begin;

        while (end < c->d->count && c->d->events[end]->time_us == c->d->events[begin]->time_us) {
            end++;
        }
        for (uint32_t lane = 0; lane <= c->d->options->scenario->nodes; lane++) {
            label_lane_at(c, begin, end, lane);
        }
        begin = end;
    }
}

static void draw_violation(struct canvas *c)
{
    const struct sim_result *r = c->d->options->result;
    double y;

    if (!c->d->red) {
        return;
    }
    /* Below the labels of what happened at that time. */
    y = r->at_us == 0 ? c->height - TOP : time_y(c, r->at_us) + LINE - 4;
    (void) fprintf(c->out,
                   "<g><title>%s</title><line class=\"violation\" x1=\"0\" x2=\"%.1f\" y1=\"%.1f\" "
                   "y2=\"%.1f\"/><text class=\"label bad strong\" x=\"%.1f\" y=\"%.1f\">%s "
                   "violated here</text></g>\n",
                   r->property, c->width, y, y, c->width - RIGHT + 24, y + LINE,
                   r->property[0] == '\0' ? "a rule" : r->property);
}

/* ---- The page ---- */

static void print_definitions(const struct canvas *c)
{
    static const char *const classes[] = {"elect", "log", "answer", "refuse", "ask", "back"};

    (void) fputs("<defs><pattern id=\"hatch\" width=\"7\" height=\"7\" "
                 "patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">"
                 "<rect width=\"7\" height=\"7\" style=\"fill:var(--bg)\"/><line y2=\"7\" "
                 "style=\"stroke:var(--down);stroke-width:4;stroke-opacity:.55\"/></pattern>",
                 c->out);
    for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
        (void) fprintf(c->out,
                       "<marker id=\"to-%s\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" "
                       "markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" "
                       "orient=\"auto\"><path class=\"h-%s\" d=\"M0 0L8 4L0 8z\"/></marker>",
                       classes[i], classes[i]);
    }
    (void) fputs("</defs>\n", c->out);
}

static void print_names(const struct canvas *c)
{
    (void) fprintf(c->out,
                   "<div class=\"scroll\" style=\"overflow:visible\"><div class=\"names\">"
                   "<svg width=\"%.0f\" height=\"28\"><text class=\"time\" x=\"%d\" y=\"19\" "
                   "text-anchor=\"end\">seconds</text>"
                   "<text class=\"name\" x=\"%.1f\" y=\"19\" text-anchor=\"middle\">clients</text>",
                   c->width, AXIS - 12, lane_x(c, 0));
    for (uint32_t n = 1; n <= c->d->options->scenario->nodes; n++) {
        (void) fprintf(c->out,
                       "<text class=\"name\" x=\"%.1f\" y=\"19\" text-anchor=\"middle\">node "
                       "%u</text>",
                       lane_x(c, n), n);
    }
    (void) fputs("</svg></div>\n", c->out);
}

static void draw(struct canvas *c)
{
    (void) fprintf(c->out, "<svg width=\"%.0f\" height=\"%.0f\" role=\"img\">\n", c->width,
                   c->height);
    print_definitions(c);
    draw_axis(c);
    draw_lanes(c);
    draw_spans(c);
    for (size_t i = 0; i < c->d->count; i++) {
        if (c->d->events[i]->kind != DIAGRAM_MESSAGE) {
            draw_event(c, c->d->events[i]);
        }
    }
    label_lanes(c); /* before those of messages: they cannot move */
    for (size_t i = 0; i < c->d->count; i++) {
        if (c->d->events[i]->kind == DIAGRAM_MESSAGE) {
            draw_message(c, c->d->events[i]);
        }
    }
    draw_violation(c);
    print_labels(c); /* nothing goes through a label */
    (void) fputs("</svg>\n", c->out);
}

int diagram_html(const struct diagram *d, FILE *out)
{
    struct canvas c = {.d = d, .out = out};
    double room =
        (WIDTH_WANTED - AXIS - 20 - CLIENTS - RIGHT) / fmax(d->options->scenario->nodes - 1.0, 1);

    c.lane_width = fmin(fmax(room, LANE_MIN), LANE_MAX);
    c.width = lane_x(&c, d->options->scenario->nodes) + RIGHT;
    collect_times(&c);
    place_times(&c);
    c.labels = xmalloc(LABELS_MAX * sizeof(*c.labels));
    diagram_page_begin(d, out);
    print_names(&c);
    draw(&c);
    diagram_page_end(d, out);
    free(c.times);
    free(c.ys);
    free(c.labels);
    return fflush(out) == 0 && ferror(out) == 0 ? OK : ERR_IO;
}

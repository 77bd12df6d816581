/*
 * diagram.c - what of a run is shown: recording, choosing the window, who led and who was down. See
 * diagram.h; drawing is in diagram_html.c and diagram_text.c, words in diagram_words.c.
 */
#include "tests/sim/diagram.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/mem.h"

/* ---- Recording ---- */

static size_t log_bytes(uint64_t max)
{
    return sizeof(struct diagram_log) + max * sizeof(struct diagram_event);
}

struct diagram_log *diagram_log_new(uint64_t max)
{
    struct diagram_log *log = mmap(NULL, log_bytes(max), PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (log == MAP_FAILED) {
        return NULL;
    }
    log->max = max; /* the rest is zero */
    return log;
}

void diagram_log_free(struct diagram_log *log)
{
    if (log != NULL) {
        (void) munmap(log, log_bytes(log->max)); /* fails only for a bad address */
    }
}

/* A write that became durable tells what was in it, and since when it was under way. */
static void find_write(const struct diagram_log *log, struct diagram_event *event)
{
    enum { LOOK_BACK = 4096 };
    uint64_t end = log->count > LOOK_BACK ? log->count - LOOK_BACK : 0;

    for (uint64_t i = log->count; i > end; i--) {
        const struct diagram_event *e = &log->events[i - 1];

        if (e->kind == TRACE_WRITE && e->node == event->node && e->ctx == event->ctx) {
            event->end_us = e->time_us;
            event->index = e->index;
            event->last = e->last;
            return;
        }
    }
}

/* The event is complete before it counts: the process may die at any point. */
static void record(struct diagram_log *log, const struct diagram_event *event)
{
    if (log->count == log->max) {
        log->dropped++;
        return;
    }
    log->events[log->count] = *event;
    log->count++;
}

static void record_trace(void *ctx, const struct trace_event *e)
{
    struct diagram_event event = {
        .time_us = e->time_us,
        .epoch = e->epoch,
        .index = e->index,
        .last = e->last,
        .ctx = e->ctx,
        .note = e->note,
        .node = e->node,
        .to = e->to,
        .kind = e->kind,
        .message = e->message,
    };

    if (e->kind == TRACE_DURABLE) {
        find_write(ctx, &event);
    }
    if (e->kind != TRACE_SEND && e->kind != TRACE_RECEIVE) { /* messages come by themselves */
        record(ctx, &event);
    }
}

static void record_message(void *ctx, const struct message *m, uint64_t send_us, uint64_t arrive_us)
{
    struct diagram_event event = {
        .time_us = send_us,
        .end_us = arrive_us,
        .epoch = m->epoch,
        .index = m->entries_count > 0 ? m->entries[0].index : m->pos.index,
        .last = m->entries_count > 0 ? m->entries[m->entries_count - 1].index : m->last,
        .commit = m->commit,
        .ctx = m->ctx,
        .node = m->from,
        .to = m->to,
        .entries = m->entries_count,
        .kind = DIAGRAM_MESSAGE,
        .message = m->type,
        .reject = m->reject,
    };

    if (m->from != m->to) {
        record(ctx, &event);
    }
}

struct sim_hooks diagram_hooks(struct diagram_log *log)
{
    return (struct sim_hooks){
        .trace = {record_trace, log},
        .message = record_message,
        .message_ctx = log,
    };
}

/* ---- What is shown ---- */

uint32_t diagram_lane(const struct diagram_event *e)
{
    return e->node <= SIM_NODES_MAX ? e->node : 0;
}

static bool is_background(uint8_t type)
{
    switch (type) {
    case MSG_RAFT_HEARTBEAT:
    case MSG_RAFT_HEARTBEAT_REPLY:
    case MSG_RAFT_ALIVE:
    case MSG_PAXOS_HEARTBEAT:
    case MSG_PAXOS_HEARTBEAT_REPLY:
    case MSG_REPLICA_GOSSIP:
        return true;
    default:
        return false;
    }
}

static bool is_shown(const struct diagram_options *o, const struct diagram_event *e)
{
    switch (e->kind) {
    case DIAGRAM_MESSAGE:
        return o->all || !is_background(e->message);
    case TRACE_WRITE: /* seen by the bar that ends in DURABLE */
    case TRACE_APPLY:
    case TRACE_CHOSEN: /* COMMIT follows, the messages say the rest */
    case TRACE_PROPOSE:
    case TRACE_READ_READY:
    case TRACE_MARK:
    case TRACE_DROP:
        return o->all;
    default:
        return true;
    }
}

/* ---- The window ---- */

/* Numbers of the shown events: all of them, and those a choice goes by. */
struct choice {
    const struct diagram_event **events;
    size_t count;
};

/* The first event of a kind from `at` on; SIZE_MAX: none. */
static size_t find_kind(const struct choice *c, size_t at, uint8_t kind)
{
    for (size_t i = at; i < c->count; i++) {
        if (c->events[i]->kind == kind) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* How many events are not later than `us`. */
static size_t count_until(const struct choice *c, uint64_t us)
{
    size_t low = 0;
    size_t high = c->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (c->events[middle]->time_us <= us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The first leader that follows another one after a fault, and failing that the first fault that
 * hits a leader's time, or the first leader. */
static size_t find_interesting(const struct choice *c, const char **why)
{
    size_t first = find_kind(c, 0, TRACE_BECAME_LEADER);
    size_t work = first != SIZE_MAX ? first : find_kind(c, 0, TRACE_COMMIT); /* leaderless */
    size_t fault = work == SIZE_MAX ? SIZE_MAX : find_kind(c, work, TRACE_FAULT);
    size_t next = fault == SIZE_MAX ? SIZE_MAX : find_kind(c, fault, TRACE_BECAME_LEADER);

    if (next != SIZE_MAX && first != SIZE_MAX) {
        *why = "around the first change of leader after a fault";
        return next;
    }
    if (fault != SIZE_MAX) {
        *why = "around the first fault";
        return fault;
    }
    *why = first == SIZE_MAX ? "the beginning" : "around the first leader";
    return first == SIZE_MAX ? 0 : first;
}

/* Sets d->events, count, from_us, to_us, why from all shown events. */
static void choose_window(struct diagram *d, const struct choice *c)
{
    const struct diagram_options *o = d->options;
    size_t begin;
    size_t end;

    if (o->from_us != 0 || o->to_us != 0) {
        begin = o->from_us == 0 ? 0 : count_until(c, o->from_us - 1);
        end = o->to_us == 0 ? c->count : count_until(c, o->to_us);
        end = end < begin ? begin : end;
        d->why = "as asked for";
        if (end - begin > o->max) {
            d->why = "as asked for, as far as --max goes";
            if (o->from_us == 0) {
                begin = end - o->max;
            } else {
                end = begin + o->max;
            }
        }
    } else if (o->result->red && o->result->at_us != 0) {
        end = count_until(c, o->result->at_us);
        begin = end > o->max ? end - o->max : 0;
        d->why = "up to the violation";
    } else if (o->result->red) { /* it died: what was last */
        end = c->count;
        begin = end > o->max ? end - o->max : 0;
        d->why = "the last events before the process died";
    } else {
        size_t middle = find_interesting(c, &d->why);
        size_t before = o->max / 3 * 2;

        begin = middle > before ? middle - before : 0;
        begin = c->count > o->max ? u64_min(begin, c->count - o->max) : 0;
        end = c->count - begin > o->max ? begin + o->max : c->count;
    }
    d->count = end - begin;
    memmove(d->events, c->events + begin, d->count * sizeof(const struct diagram_event *));
    d->from_us = o->from_us != 0 || d->count == 0 ? o->from_us : d->events[0]->time_us;
    d->to_us = d->count == 0 ? d->from_us : d->events[d->count - 1]->time_us;
    d->red = o->result->red && o->result->at_us >= d->from_us &&
             (end == c->count || o->result->at_us <= c->events[end]->time_us) &&
             (o->to_us == 0 || o->result->at_us <= o->to_us);
    if (d->red && o->result->at_us > d->to_us) {
        d->to_us = o->result->at_us;
    }
}

/* ---- Spans ---- */

/* What a lane is in the middle of, while the log is walked. */
struct lane {
    bool open[SPAN_DISK + 1];
    struct diagram_span span[SPAN_DISK + 1];
};

static void add_span(struct diagram *d, struct diagram_span span)
{
    if (span.to_us < d->from_us || span.from_us > d->to_us) {
        return;
    }
    span.from_start = span.from_us < d->from_us;
    span.from_us = u64_max(span.from_us, d->from_us);
    span.to_us = u64_min(span.to_us, d->to_us);
    if (d->spans_count == d->spans_capacity) {
        d->spans_capacity = 2 * d->spans_capacity + 32;
        d->spans = xrealloc(d->spans, d->spans_capacity * sizeof(*d->spans));
    }
    d->spans[d->spans_count++] = span;
}

static void end_span(struct diagram *d, struct lane *lane, uint8_t kind, uint64_t time_us)
{
    if (lane->open[kind]) {
        lane->span[kind].to_us = time_us;
        add_span(d, lane->span[kind]);
        lane->open[kind] = false;
    }
}

static void begin_span(struct diagram *d, struct lane *lane, struct diagram_span span)
{
    end_span(d, lane, span.kind, span.from_us);
    lane->span[span.kind] = span;
    lane->open[span.kind] = true;
}

/* How long the step that did this lasts, for faults that end by themselves: the one at that time,
 * else one with a condition. */
static uint64_t step_lasts(const struct scenario *s, uint64_t time_us, uint8_t kind)
{
    uint64_t lasts = 0;
    for (uint32_t i = 0; i < s->steps_count && s->steps[i].at_us <= time_us; i++) {
        const struct sim_step *step = &s->steps[i];
        if (step->kind == kind && step->when.kind != WHEN_TIME) {
            lasts = step->for_us;
        } else if (step->kind == kind && step->at_us == time_us) {
            return step->for_us;
        }
    }
    return lasts;
}

static bool is_death(const char *note)
{
    return strcmp(note, "crash") == 0 || strcmp(note, "power loss") == 0 ||
           strncmp(note, "ERR_", 4) == 0 || strcmp(note, "does not start") == 0;
}

static void note_fault(struct diagram *d, struct lane *lane, const struct diagram_event *e)
{
    struct diagram_span span = {.from_us = e->time_us, .lane = diagram_lane(e)};
    const char *note = e->note == NULL ? "" : e->note;

    if (is_death(note)) {
        for (uint8_t kind = 0; kind <= SPAN_DISK; kind++) {
            end_span(d, lane, kind, e->time_us);
        }
        span.kind = SPAN_DOWN;
        begin_span(d, lane, span);
    } else if (strcmp(note, "pause") == 0) {
        span.kind = SPAN_PAUSED;
        span.to_us = e->time_us + step_lasts(d->options->scenario, e->time_us, STEP_PAUSE);
        add_span(d, span);
    } else if (strcmp(note, "hung disk") == 0) {
        span.kind = SPAN_DISK;
        span.to_us = e->time_us + step_lasts(d->options->scenario, e->time_us, STEP_DISK_HANG);
        add_span(d, span);
    }
}

static void find_spans(struct diagram *d, const struct diagram_log *log)
{
    struct lane lanes[SIM_NODES_MAX + 1] = {0};

    for (uint64_t i = 0; i < log->count && log->events[i].time_us <= d->to_us; i++) {
        const struct diagram_event *e = &log->events[i];
        struct lane *lane = &lanes[diagram_lane(e)];

        switch (e->kind) {
        case TRACE_BECAME_LEADER:
            begin_span(d, lane,
                       (struct diagram_span){.from_us = e->time_us,
                                             .epoch = e->epoch,
                                             .lane = diagram_lane(e),
                                             .kind = SPAN_LEADER});
            break;
        case TRACE_STEP_DOWN:
        case TRACE_BECAME_FOLLOWER:
        case TRACE_BECAME_CANDIDATE:
            end_span(d, lane, SPAN_LEADER, e->time_us);
            break;
        case TRACE_START:
            end_span(d, lane, SPAN_DOWN, e->time_us);
            break;
        case TRACE_FAULT:
            note_fault(d, lane, e);
            break;
        default:
            break;
        }
    }
    for (uint32_t n = 0; n <= SIM_NODES_MAX; n++) {
        for (uint8_t kind = 0; kind <= SPAN_DISK; kind++) {
            end_span(d, &lanes[n], kind, d->to_us);
        }
    }
}

bool diagram_arrives(const struct diagram *d, const struct diagram_event *e)
{
    if (e->end_us == 0) {
        return false;
    }
    for (size_t i = 0; i < d->spans_count; i++) {
        const struct diagram_span *s = &d->spans[i];

        /* A span that ends with the window ends for no other reason. */
        if (s->kind == SPAN_DOWN && s->lane == e->to && e->end_us >= s->from_us &&
            (e->end_us < s->to_us || (e->end_us == s->to_us && s->to_us == d->to_us))) {
            return false;
        }
    }
    return true;
}

/* ---- All together ---- */

struct diagram *diagram_new(const struct diagram_log *log, const struct diagram_options *options)
{
    struct diagram *d = xcalloc(1, sizeof(*d));
    struct choice c = {0};

    ASSERT(options->max > 0 && options->max <= DIAGRAM_EVENTS_MAX);
    d->options = options;
    d->beyond = log->dropped;
    c.events = xmalloc(log->count * sizeof(*c.events));
    for (uint64_t i = 0; i < log->count; i++) {
        if (is_shown(options, &log->events[i])) {
            c.events[c.count++] = &log->events[i];
        }
    }
    d->total = c.count;
    d->events = xmalloc(options->max * sizeof(const struct diagram_event *));
    choose_window(d, &c);
    free(c.events);
    find_spans(d, log);
    return d;
}

void diagram_free(struct diagram *d)
{
    if (d == NULL) {
        return;
    }
    free(d->events);
    free(d->spans);
    free(d);
}

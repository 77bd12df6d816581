/*
 * diagram.h - a run as a space-time diagram: a lane for each node and one for the clients, messages
 * as arrows between them, time downwards.
 *
 *     log = diagram_log_new(max);           in memory that a child of fork shares
 *     hooks = diagram_hooks(log);           sim_execute fills it; it survives a crash there
 *     d = diagram_new(log, &options);       what is to be seen, and in which window of time
 *     diagram_html(d, file) or diagram_text(d, file)
 *
 * Not here: running (cmd_show.c). Lane 0 is that of the clients, lane n that of node n.
 */
#ifndef SYNOD_TESTS_SIM_DIAGRAM_H
#define SYNOD_TESTS_SIM_DIAGRAM_H

#include <stdio.h>

#include "tests/sim/sim.h"

enum {
    DIAGRAM_MESSAGE = 255, /* kind of an event that is a message; else enum trace_kind */
    DIAGRAM_EVENTS_DEFAULT = 200,
    DIAGRAM_EVENTS_MAX = 5000, /* shown */
    DIAGRAM_TEXT_MAX = 160,    /* bytes of a label */
    DIAGRAM_TITLE_MAX = 512,
};

/* Plain data, so that it may lie in shared memory; `note` is a static string of the program. */
struct diagram_event {
    uint64_t time_us; /* MESSAGE: when it was sent */
    uint64_t end_us;  /* MESSAGE: arrival, 0: lost; DURABLE: when the write began, 0: not known */
    uint64_t epoch;
    uint64_t index; /* MESSAGE: first entry, or the position it is about */
    uint64_t last;  /* MESSAGE: last entry */
    uint64_t commit;
    uint64_t ctx;
    const char *note;
    uint32_t node; /* MESSAGE: sender */
    uint32_t to;   /* MESSAGE: receiver */
    uint32_t entries;
    uint8_t kind;
    uint8_t message; /* enum message_type */
    bool reject;
};

/* What happened, as recorded. */
struct diagram_log {
    uint64_t max;
    uint64_t count;
    uint64_t dropped; /* did not fit */
    struct diagram_event events[];
};

/* Memory for at most `max` events, shared with children. NULL: there is not so much. */
struct diagram_log *diagram_log_new(uint64_t max);
void diagram_log_free(struct diagram_log *log); /* NULL is legal */

/* Records into the log, which must outlive the run. */
struct sim_hooks diagram_hooks(struct diagram_log *log);

struct diagram_options {
    const char *name; /* of the run: "raft:42" */
    const struct scenario *scenario;
    const struct sim_result *result;
    uint64_t from_us;
    uint64_t to_us; /* both 0: the window that tells most */
    uint32_t max;   /* events shown at most */
    bool all;       /* heartbeats, gossip, and what follows from other events, too */
};

enum diagram_span_kind { SPAN_LEADER, SPAN_DOWN, SPAN_PAUSED, SPAN_DISK };

/* A stretch of a lane, clipped to the window. */
struct diagram_span {
    uint64_t from_us;
    uint64_t to_us;
    uint64_t epoch; /* LEADER */
    uint32_t lane;
    uint8_t kind;    /* enum diagram_span_kind */
    bool from_start; /* it began before the window */
};

/* Built once, then only read. Events are in the order of their time. */
struct diagram {
    const struct diagram_options *options;
    const char *why;  /* this window */
    uint64_t from_us; /* of the window, both ends included */
    uint64_t to_us;
    const struct diagram_event **events; /* shown: those in the window that are not hidden */
    size_t count;
    size_t total;    /* events of the run that are not hidden */
    uint64_t beyond; /* of the log: more than could be recorded */
    struct diagram_span *spans;
    size_t spans_count;
    size_t spans_capacity;
    bool red; /* the violation lies in the window */
};

/* log, options and what they point to are borrowed until diagram_free. */
struct diagram *diagram_new(const struct diagram_log *log, const struct diagram_options *options);
void diagram_free(struct diagram *d);

/* The label of an event, a few words; and all there is to say of it. */
void diagram_label(const struct diagram *d, const struct diagram_event *e,
                   char text[DIAGRAM_TEXT_MAX]);
void diagram_title(const struct diagram *d, const struct diagram_event *e,
                   char text[DIAGRAM_TITLE_MAX]);

/* "7", or of a ballot "3.2": round and node. */
void diagram_epoch(const struct diagram *d, uint64_t epoch, char text[32]);

/* Whose lane an event is in; of a fault that is not one node's: 0. */
uint32_t diagram_lane(const struct diagram_event *e);

/* Did the receiver of this message see it (it was not lost, and the node was up then)? */
bool diagram_arrives(const struct diagram *d, const struct diagram_event *e);

/* Write it. Errors: ERR_IO. */
MUST_USE int diagram_html(const struct diagram *d, FILE *out);
MUST_USE int diagram_text(const struct diagram *d, FILE *out);

#endif

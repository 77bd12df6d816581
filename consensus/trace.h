/*
 * trace.h - the event record that node and simulator share, and the sink it goes to.
 *
 * One line per protocol transition; kinds and field meanings are stable because tests, diagrams and
 * checkers read them. Not here: formatting (kv/trace_json) and time (the facade stamps events with
 * the `now` it was given).
 */
#ifndef SYNOD_CONSENSUS_TRACE_H
#define SYNOD_CONSENSUS_TRACE_H

#include <stdint.h>

#define TRACE_MAP(X)                                                                               \
    X(BECAME_LEADER, "became_leader")       /* epoch, index = last */                              \
    X(BECAME_FOLLOWER, "became_follower")   /* epoch, to = leader if known */                      \
    X(BECAME_CANDIDATE, "became_candidate") /* epoch */                                            \
    X(VOTE, "vote")                         /* epoch, to = candidate granted */                    \
    X(PROMISE, "promise") /* epoch = ballot, index = first slot covered, to = proposer */          \
    X(ACCEPT, "accept")   /* epoch = ballot, index = slot; hash = value crc */                     \
    X(PROPOSE,                                                                                     \
      "propose") /* epoch = ballot, index = slot; hash = value crc: value sent in phase 2 */       \
    X(APPEND, "append")         /* epoch, index, last: entries appended to this log */             \
    X(TRUNCATE, "truncate")     /* epoch = current, index = first dropped */                       \
    X(COMMIT, "commit")         /* index = new contiguous chosen prefix */                         \
    X(CHOSEN, "chosen")         /* epoch, index; hash = value crc */                               \
    X(DISPLACED, "displaced")   /* index: a value of ours lost its slot and is proposed again */   \
    X(GAP_FILLED, "gap_filled") /* epoch, index: no-op proposed for a hole */                      \
    X(READ_READY, "read_ready") /* ctx, index */                                                   \
    X(STEP_DOWN, "step_down")   /* epoch; note = why */                                            \
    X(CONFIG, "config")         /* index */                                                        \
    X(APPLY, "apply")           /* index, hash = state hash */                                     \
    X(SNAPSHOT, "snapshot")     /* index */                                                        \
    X(SEND, "send")             /* message, from, to, epoch, index, last = of its entries or 0 */  \
    X(RECEIVE, "receive")       /* the same */                                                     \
    X(DROP, "drop")             /* message, from, to; note = why */                                \
    X(WRITE, "write")           /* ctx = write id, index, last */                                  \
    X(DURABLE, "durable")       /* ctx = write id */                                               \
    X(REQUEST, "request")       /* ctx = call id */                                                \
    X(REPLY, "reply")           /* ctx = call id; note = error name */                             \
    X(FAULT, "fault")           /* note = what was broken or healed */                             \
    X(START, "start")           /* epoch, index = last */                                          \
    X(STOP, "stop")             /* note = why */                                                   \
    X(MARK, "mark")             /* index = enum mark, note = its name: a rare branch was taken */

enum trace_kind {
#define X(name, text) TRACE_##name,
    TRACE_MAP(X)
#undef X
        TRACE_KINDS
};

struct trace_event {
    uint64_t time_us;
    uint32_t node;
    uint8_t engine;
    uint8_t kind;    /* enum trace_kind */
    uint8_t message; /* enum message_type for SEND, RECEIVE, DROP; else 0 */
    uint32_t from;
    uint32_t to;
    uint64_t epoch;
    uint64_t index;
    uint64_t last;
    uint64_t ctx;
    uint64_t hash;
    const char *note; /* NULL or a static string */
};

/* Where events go. emit == NULL: tracing is off and costs one branch. The event is borrowed for the
 * call. */
struct trace_sink {
    void (*emit)(void *ctx, const struct trace_event *event);
    void *ctx;
};

const char *trace_kind_name(uint8_t kind);

#endif

/*
 * mark.h - names for rare branches, so that a test can tell whether it ever got there.
 *
 * A branch says trace_mark(sink, node, MARK_...), which is an event of kind TRACE_MARK (index =
 * number, note = name) and costs one branch when nobody traces. A sweep of the simulator counts
 * them and fails if one was never reached. A mark belongs where a rule of a protocol takes its
 * seldom path, not where code merely branches. New ones go to the end of their group; numbers are
 * not stored anywhere.
 */
#ifndef SYNOD_CONSENSUS_MARK_H
#define SYNOD_CONSENSUS_MARK_H

#include <stdint.h>

#include "consensus/trace.h"

/* X(name, text, engines): engines is a bitmap of 1 << enum engine_id, those that can reach it. */
#define MARK_RAFT (1u << 3)
#define MARK_MULTIPAXOS (1u << 2)
#define MARK_PAXOS (1u << 1)
#define MARK_ANY (MARK_RAFT | MARK_MULTIPAXOS | MARK_PAXOS)

#define MARK_MAP(X) X(RAFT_CONFLICT_TRUNCATE, "raft_conflict_truncate", MARK_RAFT)

enum mark {
#define X(name, text, engines) MARK_##name,
    MARK_MAP(X)
#undef X
        MARKS
};

const char *mark_name(uint32_t mark);
uint32_t mark_engines(uint32_t mark);

/* Counts one visit. */
void trace_mark(const struct trace_sink *sink, uint32_t node, enum mark mark);

#endif

/*
 * raft_append.c - the follower's half of AppendEntries.
 *
 * `matched` is the highest index up to which this log is known to equal that of this term's leader.
 * A success says `matched` and leaves with the turn's write, so it is true of the disk (R6). A
 * leader never takes back what it sent in its term (R2), so `matched` only rises within one.
 */

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/raft.h"

bool raft_log_matches(const struct raft *r, struct log_pos pos)
{
    uint64_t epoch;
    int err = log_epoch_at(r->base.log, pos.index, &epoch);
    return err == OK && epoch == pos.epoch;
}

struct log_pos raft_find_conflict(const struct raft *r, struct log_pos pos)
{
    const struct log *log = r->base.log;
    struct log_pos at = {.index = u64_min(pos.index, log_last(log))};
    while (at.index > 0) {
        if (log_epoch_at(log, at.index, &at.epoch) != OK) {
            return at; /* not in memory: chosen long ago, so equal everywhere */
        }
        if (at.epoch <= pos.epoch) {
            return at;
        }
        at.index--;
    }
    return (struct log_pos){0};
}

bool raft_entries_valid(const struct message *m)
{
    struct log_pos before = m->pos;
    for (uint32_t i = 0; i < m->entries_count; i++) {
        const struct entry *entry = &m->entries[i];
        if (entry->index != before.index + 1 || entry->epoch < before.epoch ||
            entry->epoch > m->epoch || entry->epoch == 0 || entry->value == NULL) {
            return false;
        }
        before = (struct log_pos){.index = entry->index, .epoch = entry->epoch};
    }
    return true;
}

static void cut(struct raft *r, uint64_t from)
{
    ASSERT(r->role != ROLE_LEADER); /* Raft 5.3: "a leader never overwrites or deletes entries" */
    log_truncate(r->base.log, from);
    engine_write_truncate(&r->base, from);
    r->matched = u64_min(r->matched, from - 1);
    engine_trace(&r->base,
                 (struct trace_event){.kind = TRACE_TRUNCATE, .epoch = r->term, .index = from});
}

uint64_t raft_merge(struct raft *r, const struct message *m)
{
    struct log *log = r->base.log;
    uint64_t at = m->pos.index;
    uint64_t first = 0;
    for (uint32_t i = 0; i < m->entries_count; i++) {
        const struct entry *entry = &m->entries[i];
        if (entry->index <= log_commit(log)) {
            at = entry->index; /* committed entries agree (R4): nothing to compare */
            continue;
        }
        if (entry->index <= log_last(log)) {
            struct log_pos pos = {.index = entry->index, .epoch = entry->epoch};
            if (raft_log_matches(r, pos)) {
                at = entry->index;
                continue;
            }
            /* Raft figure 2: "If an existing entry conflicts with a new one (same index but
             * different terms), delete the existing entry and all that follow it". */
            engine_mark(&r->base, MARK_RAFT_CONFLICT_TRUNCATE);
            cut(r, entry->index);
        }
        if (log_append(log, entry) != OK) {
            engine_mark(&r->base, MARK_RAFT_APPEND_NO_ROOM);
            break; /* the window is full until more is applied: acknowledge what fits */
        }
        engine_write_entry(&r->base, entry);
        first = first == 0 ? entry->index : first;
        at = entry->index;
    }
    if (first != 0) {
        engine_trace(&r->base, (struct trace_event){.kind = TRACE_APPEND,
                                                    .epoch = r->term,
                                                    .index = first,
                                                    .last = at});
    } else if (at > m->pos.index) {
        engine_mark(&r->base, MARK_RAFT_APPEND_REPEATED);
    }
    return at;
}

/* A message of this term's leader. False: there can be none, we lead this term ourselves. */
static bool hear_leader(struct raft *r, const struct message *m)
{
    const struct consensus_options *o = &r->base.options;
    ASSERT(m->epoch == r->term);
    if (r->role == ROLE_LEADER) {
        return false;
    }
    bool connected = !o->quorum_connected || quorum_reached(&o->members, m->seen);
    bool keep_standing = r->role == ROLE_CANDIDATE && r->pre && !connected;
    if (!keep_standing && (r->role == ROLE_CANDIDATE || r->leader != m->from)) {
        raft_become_follower(r, r->term, m->from);
    }
    if (connected) {
        r->contact_us = u64_max(r->base.now_us, 1);
        raft_reset_timer(r);
    } else {
        engine_mark(&r->base, MARK_RAFT_LEADER_UNCONNECTED);
    }
    r->failed_rounds = 0;
    return true;
}

void raft_on_append(struct raft *r, const struct message *m)
{
    if (!hear_leader(r, m) || !raft_entries_valid(m)) {
        return;
    }
    const struct log *log = r->base.log;
    /* Raft figure 2: "Reply false if log doesn't contain an entry at prevLogIndex whose term
     * matches prevLogTerm". Up to commit it does (R4), even where memory no longer shows it. */
    if (m->pos.index > log_commit(log) && !raft_log_matches(r, m->pos)) {
        struct message *reply = raft_message(r, MSG_RAFT_APPEND_REPLY, m->from);
        reply->reject = true;
        reply->pos = m->pos;
        reply->hint = raft_find_conflict(r, m->pos);
        engine_mark(&r->base, MARK_RAFT_APPEND_REFUSED);
        engine_send_now(&r->base, reply);
        return;
    }
    uint64_t at = raft_merge(r, m);
    r->matched = u64_max(r->matched, u64_max(at, log_commit(log)));
    /* Raft figure 2: "set commitIndex = min(leaderCommit, index of last new entry)". */
    raft_commit_to(r, u64_min(m->commit, at));
    r->ack_due = true;
    r->base.flush_wanted = true;
}

/* Commit by position: having the entry there, we have all the leader has before it (Raft 5.3). */
static void commit_at(struct raft *r, struct log_pos pos)
{
    if (pos.index > log_commit(r->base.log) && raft_log_matches(r, pos)) {
        r->matched = u64_max(r->matched, pos.index);
        raft_commit_to(r, pos.index);
    }
}

void raft_on_commit(struct raft *r, const struct message *m)
{
    if (hear_leader(r, m)) {
        commit_at(r, m->pos);
    }
}

void raft_on_heartbeat(struct raft *r, const struct message *m)
{
    if (!hear_leader(r, m)) {
        return;
    }
    commit_at(r, m->pos);
    struct message *reply = raft_message(r, MSG_RAFT_HEARTBEAT_REPLY, m->from);
    reply->ctx = m->ctx;
    reply->pos = log_last_pos(r->base.log);
    reply->last = u64_min(r->matched, log_stable(r->base.log)); /* durable already: R6 holds */
    engine_send_now(&r->base, reply);
}

void raft_ack_flush(struct raft *r)
{
    if (!r->ack_due || r->leader == 0) {
        return;
    }
    r->ack_due = false;
    struct message *reply = raft_message(r, MSG_RAFT_APPEND_REPLY, r->leader);
    reply->last = r->matched;
    engine_send_after_write(&r->base, reply);
}

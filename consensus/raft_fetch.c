/*
 * raft_fetch.c - a connected but stale candidate catches up before it stands again.
 *
 * In a "constrained election" (Omni-Paxos, EuroSys 2023) the only node that reaches a quorum lacks
 * entries that others have, and those others reach no quorum: plain Raft never elects again. Here
 * the refused candidate asks the node that refused it (the donor) for what follows in its log.
 *
 * Why that is safe. The donor's log is more up-to-date (Raft 5.4.1) than the candidate's, so with T
 * the term of the donor's last entry, it is a prefix of the log of T's leader, and the candidate
 * is in a term >= T when it takes the entries (it adopts the donor's term first). Taking them is
 * thus a delayed AppendEntries of T's leader that nobody counts: no success is sent. What it cuts
 * is not and will never be committed: an entry acknowledged in a term U < T by a majority is in
 * the log of T's leader (Raft 5.4.3; the first leader after U without it would have needed the
 * vote of a node that acknowledged it), below its entries of T, hence in the donor's log too: no
 * conflict there. With U = T both logs are of the same leader and cannot differ. A leader of a
 * later term to whom the candidate once confirmed older entries may find them gone: it lowers
 * `match` (raft_replicate.c); they were of older terms, by which nothing is committed (Raft 5.4.2).
 *
 * Only a candidate without a leader fetches, and only a node without a leader gives.
 */

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/raft.h"

void raft_fetch_cancel(struct raft *r)
{
    r->fetch.donor = 0;
}

static void ask(struct raft *r)
{
    struct message *m = raft_message(r, MSG_RAFT_FETCH, r->fetch.donor);
    m->pos = r->fetch.prev;
    m->ctx = r->fetch.id;
    r->fetch.resend_at_us = r->base.now_us + r->base.options.resend_us;
    engine_send_now(&r->base, m);
}

static void ask_from(struct raft *r, struct log_pos prev)
{
    r->fetch.prev = prev;
    r->fetch.id++;
    r->fetch.until_us = r->base.now_us + r->base.options.election_us;
    ask(r);
}

/* A pre-vote was refused. For the log? By a node that cannot lead itself, or again and again? */
void raft_fetch_consider(struct raft *r, const struct message *refusal)
{
    const struct consensus_options *o = &r->base.options;
    if (!o->quorum_connected || r->fetch.donor != 0 || !raft_may_stand(r)) {
        return;
    }
    if (!raft_pos_newer(refusal->hint, log_last_pos(r->base.log))) {
        return;
    }
    if (quorum_reached(&o->members, refusal->seen) && r->failed_rounds < 3) {
        return; /* it will stand itself */
    }
    engine_mark(&r->base, MARK_RAFT_FETCH);
    r->fetch.donor = refusal->from;
    ask_from(r, log_last_pos(r->base.log));
}

void raft_fetch_tick(struct raft *r)
{
    if (r->fetch.donor == 0) {
        return;
    }
    if (r->base.now_us >= r->fetch.until_us) {
        raft_fetch_cancel(r);
    } else if (r->base.now_us >= r->fetch.resend_at_us) {
        ask(r);
    }
}

/* Donor. Serves from memory only: who lags further has to wait for a leader. */
void raft_on_fetch(struct raft *r, const struct message *m)
{
    if (raft_sticky(r)) {
        return;
    }
    const struct log *log = r->base.log;
    struct message *reply = raft_message(r, MSG_RAFT_FETCH_REPLY, m->from);
    reply->ctx = m->ctx;
    reply->pos = m->pos;
    if (!raft_log_matches(r, m->pos)) {
        reply->reject = true;
        reply->hint = raft_find_conflict(r, m->pos);
    } else {
        reply->hint = log_last_pos(log);
        uint64_t budget = r->base.options.message_bytes_max;
        struct entry entry;
        for (uint64_t i = m->pos.index + 1; log_entry(log, i, &entry) == OK; i++) {
            uint64_t size = entry.value->bytes.size + RAFT_ENTRY_OVERHEAD;
            if (reply->entries_count > 0 && size > budget) {
                break;
            }
            budget -= u64_min(budget, size);
            message_add_entry(reply, &entry);
        }
    }
    engine_send_now(&r->base, reply);
}

void raft_on_fetch_reply(struct raft *r, const struct message *m)
{
    bool current = r->fetch.donor == m->from && r->fetch.id == m->ctx;
    if (!current || r->role == ROLE_LEADER || r->leader != 0) {
        return;
    }
    if (m->reject) {
        struct log_pos prev = raft_find_conflict(r, m->hint);
        if (prev.index >= r->fetch.prev.index || !raft_log_matches(r, prev)) {
            raft_fetch_cancel(r);
            return;
        }
        ask_from(r, prev);
        return;
    }
    bool newer = raft_pos_newer(m->hint, log_last_pos(r->base.log));
    if (!newer || m->entries_count == 0 || !raft_entries_valid(m) || !raft_log_matches(r, m->pos)) {
        raft_fetch_cancel(r);
        return;
    }
    uint64_t at = raft_merge(r, m);
    struct log_pos last = log_last_pos(r->base.log);
    if (at == m->pos.index) {
        raft_fetch_cancel(r); /* no room in the window */
        return;
    }
    if (at < m->hint.index) {
        struct log_pos prev = {.index = at};
        int err = log_epoch_at(r->base.log, at, &prev.epoch);
        if (err == OK) {
            ask_from(r, prev);
            return;
        }
    }
    ASSERT(last.index >= at);
    engine_mark(&r->base, MARK_RAFT_FETCHED);
    raft_fetch_cancel(r);
    raft_campaign(r);
}

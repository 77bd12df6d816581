/*
 * raft_replicate.c - the leader's half of AppendEntries: flow control, repair, commit.
 *
 *            an append is refused, or unanswered for resend_us
 *       +---------------------------------------------------------+
 *       v                                                         |
 *     PROBE: one append, then wait  -- success, or position known --> REPLICATE: up to inflight_max
 *                                                                  appends under way
 *
 * Appends do not wait for the leader's disk (thesis 10.2.1). What is lost is found by the oldest
 * append staying unanswered for resend_us; a follower whose disk is slow says by its heartbeat
 * answers that the entries have arrived, and is not sent them again. Entries that are no longer in
 * memory are read back (engine_load), with the entry before them for its epoch.
 */

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/raft.h"

void raft_peer_reset(struct raft *r, uint32_t rank)
{
    struct raft_peer *peer = &r->peers[rank];
    uint64_t *inflight = peer->inflight;
    /* Raft 5.3: "When a leader first comes to power, it initializes all nextIndex values to the
     * index just after the last one in its log." */
    *peer = (struct raft_peer){
        .state = RAFT_PROBE,
        .next = log_last(r->base.log) + 1,
        .acked_us = r->base.now_us, /* one election time-out of grace */
        .progress_us = r->base.now_us,
        .inflight = inflight,
    };
}

static void to_probe(struct raft *r, struct raft_peer *peer, uint64_t next)
{
    peer->state = RAFT_PROBE;
    peer->paused = false;
    peer->inflight_count = 0;
    peer->next = next;
    r->base.flush_wanted = true;
}

static void to_replicate(struct raft *r, struct raft_peer *peer, uint64_t next)
{
    peer->state = RAFT_REPLICATE;
    peer->paused = false;
    peer->compacted = false;
    peer->inflight_count = 0;
    peer->next = next;
    peer->progress_us = r->base.now_us;
    r->base.flush_wanted = true;
}

static void inflight_push(struct raft *r, struct raft_peer *peer, uint64_t last)
{
    uint32_t max = r->base.options.inflight_max;
    ASSERT(peer->inflight_count < max);
    if (peer->inflight_count == 0) {
        peer->progress_us = r->base.now_us;
    }
    peer->inflight[(peer->inflight_head + peer->inflight_count) % max] = last;
    peer->inflight_count++;
}

static void inflight_pop(struct raft *r, struct raft_peer *peer, uint64_t match)
{
    uint32_t max = r->base.options.inflight_max;
    while (peer->inflight_count > 0 && peer->inflight[peer->inflight_head] <= match) {
        peer->inflight_head = (peer->inflight_head + 1) % max;
        peer->inflight_count--;
    }
}

/* Adds entries from memory behind what the message holds, up to its limit. */
static void fill(const struct raft *r, struct message *m)
{
    uint64_t budget = r->base.options.message_bytes_max;
    uint64_t used = m->bytes + (uint64_t) m->entries_count * RAFT_ENTRY_OVERHEAD;
    struct entry entry;
    for (uint64_t i = m->pos.index + m->entries_count + 1; log_entry(r->base.log, i, &entry) == OK;
         i++) {
        used += entry.value->bytes.size + RAFT_ENTRY_OVERHEAD;
        if (m->entries_count > 0 && used > budget) {
            break;
        }
        message_add_entry(m, &entry);
    }
}

/* Sends an append that is complete, and counts it as under way. */
static void send_append(struct raft *r, uint32_t rank, struct message *m)
{
    struct raft_peer *peer = &r->peers[rank];
    uint64_t last = m->pos.index + m->entries_count;
    m->commit = log_commit(r->base.log);
    peer->commit_sent = u64_max(peer->commit_sent, u64_min(m->commit, last));
    if (peer->state == RAFT_PROBE) {
        peer->paused = true;
        peer->probe_last = last;
        peer->progress_us = r->base.now_us;
    } else if (m->entries_count > 0) {
        inflight_push(r, peer, last);
        peer->next = last + 1;
    }
    engine_send_now(&r->base, m);
}

/* Asks for what is missing in memory: the entries from next on, and the one before unless its epoch
 * is known: it may be as large as a whole message, and nothing would come after it. */
static void load(struct raft *r, struct raft_peer *peer)
{
    uint64_t trimmed = log_trimmed(r->base.log).index;
    bool known = peer->next - 1 <= trimmed || peer->next - 1 == peer->loaded_prev.index;
    uint64_t first = known ? peer->next : peer->next - 1;
    uint64_t last = u64_max(first, log_mem_first(r->base.log) - 1);
    peer->load_id = engine_load(&r->base, first, last, r->base.options.message_bytes_max);
}

/* Is it known to be there? Else probes carry no entries: nobody might read them. */
static bool silent(const struct raft *r, uint32_t rank)
{
    uint64_t heard_us = r->base.heard_us[rank];
    return heard_us == 0 || r->base.now_us - heard_us > r->base.options.election_us;
}

/* Makes and sends one append from `next` on. False: not now (not in memory, or trimmed). */
static bool append_next(struct raft *r, uint32_t rank)
{
    struct raft_peer *peer = &r->peers[rank];
    const struct log *log = r->base.log;
    if (peer->next <= log_trimmed(log).index) {
        /* Where we would look is gone, but what is trimmed was durable everywhere: it may well have
         * all up to there. If not, it says so, and needs a snapshot (on_reject). */
        to_probe(r, peer, log_trimmed(log).index + 1);
    }
    struct log_pos prev = {.index = peer->next - 1};
    int err = log_epoch_at(log, prev.index, &prev.epoch);
    bool stored_only =
        err == ERR_AGAIN || (peer->next <= log_last(log) && peer->next < log_mem_first(log));
    if (stored_only && !silent(r, rank)) {
        load(r, peer);
        return false;
    }
    if (err != OK) { /* where to probe is in the store only, and nobody may be there */
        to_probe(r, peer, peer->next);
        peer->paused = true;
        peer->progress_us = r->base.now_us;
        return false;
    }
    struct message *m = raft_message(r, MSG_RAFT_APPEND, raft_id(r, rank));
    m->pos = prev;
    if (peer->state == RAFT_REPLICATE || !silent(r, rank)) {
        fill(r, m);
    }
    send_append(r, rank, m);
    return true;
}

/* Tells a follower of a new commit index when no append is about to. It may answer its own
 * clients by it, so it does not wait for the next heartbeat. Not answered. */
static void notify_commit(struct raft *r, uint32_t rank)
{
    struct raft_peer *peer = &r->peers[rank];
    struct log_pos commit = {.index = log_commit(r->base.log)};
    if (commit.index <= peer->commit_sent ||
        log_epoch_at(r->base.log, commit.index, &commit.epoch) != OK) {
        return;
    }
    struct message *m = raft_message(r, MSG_RAFT_COMMIT, raft_id(r, rank));
    m->pos = commit;
    m->commit = commit.index;
    peer->commit_sent = commit.index;
    engine_send_now(&r->base, m);
}

static void replicate(struct raft *r, uint32_t rank)
{
    struct raft_peer *peer = &r->peers[rank];
    if (peer->load_id != 0) {
        return;
    }
    if (peer->state == RAFT_PROBE) {
        if (!peer->paused) {
            (void) append_next(r, rank); /* false: a later turn tries again */
        }
        return;
    }
    while (peer->next <= log_last(r->base.log) &&
           peer->inflight_count < r->base.options.inflight_max) {
        if (!append_next(r, rank)) {
            return;
        }
    }
    notify_commit(r, rank);
}

void raft_replicate_all(struct raft *r)
{
    for (uint32_t i = 0; i < raft_members(r); i++) {
        if (!raft_is_self(r, i)) {
            replicate(r, i);
        }
    }
}

/* When the unanswered append is to be given up; UINT64_MAX: none is. */
uint64_t raft_peer_deadline(const struct raft *r, uint32_t rank)
{
    const struct raft_peer *peer = &r->peers[rank];
    const struct consensus_options *o = &r->base.options;
    bool waits = peer->state == RAFT_PROBE ? peer->paused : peer->inflight_count > 0;
    if (!waits || peer->load_id != 0) {
        return UINT64_MAX;
    }
    return peer->progress_us + (peer->compacted ? o->election_us : o->resend_us);
}

void raft_peer_tick(struct raft *r, uint32_t rank)
{
    struct raft_peer *peer = &r->peers[rank];
    if (r->base.now_us < raft_peer_deadline(r, rank)) {
        return;
    }
    /* Raft 5.3: "the leader retries AppendEntries RPCs indefinitely". */
    engine_mark(&r->base, MARK_RAFT_APPEND_UNANSWERED);
    to_probe(r, peer, peer->state == RAFT_PROBE ? peer->next : peer->match + 1);
}

void raft_maybe_commit(struct raft *r)
{
    const struct log *log = r->base.log;
    uint64_t values[NODES_MAX];
    for (uint32_t i = 0; i < raft_members(r); i++) {
        values[i] = raft_is_self(r, i) ? log_stable(log) : r->peers[i].match;
    }
    uint64_t index = quorum_index(&r->base.options.members, values);
    if (index <= log_commit(log)) {
        return;
    }
    /* Raft 5.4.2: "Raft never commits log entries from previous terms by counting replicas. Only
     * log entries from the leader's current term are committed by counting replicas". */
    uint64_t epoch;
    int err = log_epoch_at(log, index, &epoch);
    if (err != OK || epoch != r->term) {
        engine_mark(&r->base, MARK_RAFT_OLD_TERM_NOT_COMMITTED);
        return;
    }
    if (index > log_stable(log)) {
        engine_mark(&r->base, MARK_RAFT_COMMIT_BEFORE_OWN_DISK);
    }
    raft_commit_to(r, index);
    r->base.flush_wanted = true; /* tell the followers; reads may have waited for the no-op */
}

void raft_peer_acked(struct raft *r, uint32_t rank, uint64_t match)
{
    struct raft_peer *peer = &r->peers[rank];
    if (match > log_last(r->base.log)) {
        return; /* no follower of this term can say so */
    }
    if (match > peer->match) {
        peer->match = match;
        peer->progress_us = r->base.now_us;
        inflight_pop(r, peer, match);
        if (peer->state == RAFT_REPLICATE) {
            peer->next = u64_max(peer->next, match + 1);
            r->base.flush_wanted = true; /* room for more, perhaps */
        }
        raft_maybe_commit(r);
        raft_transfer_check(r);
    }
    if (peer->state == RAFT_PROBE && match + 1 >= peer->next) {
        if (peer->paused && match < peer->probe_last) {
            /* It took a part: its window is full, or its disk not done. Wait for more. */
            peer->next = match + 1;
        } else {
            to_replicate(r, peer, match + 1);
        }
    }
}

/* The follower's log ends at `last`. If we have that very entry, all before it agrees (Raft 5.3),
 * durable there or not: nothing up to it needs to be sent again while the follower lives. */
void raft_peer_at(struct raft *r, uint32_t rank, struct log_pos last)
{
    struct raft_peer *peer = &r->peers[rank];
    bool matches = raft_log_matches(r, last);
    if (peer->state == RAFT_PROBE) {
        bool arrived = last.index >= peer->probe_last || peer->probe_last < peer->next;
        if (matches && (!peer->paused || arrived)) {
            to_replicate(r, peer, last.index + 1);
        }
        return;
    }
    if (matches && last.index + 1 >= peer->next) {
        peer->progress_us = r->base.now_us; /* all has arrived, its disk is at work */
    } else if (peer->inflight_count == 0 && peer->next > peer->match + 1) {
        /* It had more than this, but not on its disk, and has restarted: no timer runs for that. */
        to_probe(r, peer, peer->match + 1);
    }
}

static void on_reject(struct raft *r, uint32_t rank, const struct message *m)
{
    struct raft_peer *peer = &r->peers[rank];
    if (peer->state == RAFT_REPLICATE) {
        if (m->pos.index > peer->match) {
            to_probe(r, peer, peer->match + 1);
        }
        return;
    }
    if (m->pos.index + 1 != peer->next || m->pos.index == 0) {
        return; /* the answer to an older probe */
    }
    /* Raft 5.3, the optimization: step back over a whole term of conflicting entries, by the
     * follower's hint and then by our own log. */
    engine_mark(&r->base, MARK_RAFT_PROBE_BACK);
    struct log_pos agreed = raft_find_conflict(r, m->hint);
    uint64_t prev = u64_min(agreed.index, m->pos.index - 1);
    /* Below what it once confirmed only if it fetched another log meanwhile (raft_fetch.c). */
    peer->match = u64_min(peer->match, prev);
    to_probe(r, peer, prev + 1);
    if (m->pos.index <= log_trimmed(r->base.log).index) {
        /* It lacks what is trimmed here: ask now and then whether it still does. */
        peer->compacted = true;
        peer->paused = true;
        peer->progress_us = r->base.now_us;
    }
}

void raft_on_append_reply(struct raft *r, const struct message *m)
{
    if (r->role != ROLE_LEADER) {
        return;
    }
    uint32_t rank = raft_rank(r, m->from);
    r->peers[rank].acked_us = r->base.now_us;
    if (m->reject) {
        on_reject(r, rank, m);
    } else {
        raft_peer_acked(r, rank, m->last);
    }
}

void raft_loaded(struct raft *r, uint64_t load_id, int err, const struct entry *entries,
                 uint32_t count)
{
    uint32_t rank = 0;
    while (rank < raft_members(r) && r->peers[rank].load_id != load_id) {
        rank++;
    }
    if (rank == raft_members(r)) {
        return; /* of an earlier term */
    }
    struct raft_peer *peer = &r->peers[rank];
    peer->load_id = 0;
    if (r->role != ROLE_LEADER) {
        return;
    }
    r->base.flush_wanted = true;
    if (err != OK || count == 0) {
        to_probe(r, peer, peer->next);
        peer->compacted = err == ERR_COMPACTED;
        peer->paused = true;
        peer->progress_us = r->base.now_us;
        return;
    }
    struct log_pos prev = log_trimmed(r->base.log);
    if (peer->loaded_prev.index + 1 == peer->next && peer->loaded_prev.index != 0) {
        prev = peer->loaded_prev;
    }
    if (entries[0].index + 1 == peer->next) {
        prev = (struct log_pos){.index = entries[0].index, .epoch = entries[0].epoch};
        peer->loaded_prev = prev; /* committed long ago: this never changes */
        if (count == 1 && log_mem_first(r->base.log) > peer->next) {
            return; /* flush asks for what follows */
        }
        entries++;
        count--;
    } else if (entries[0].index != peer->next || prev.index + 1 != peer->next) {
        return; /* next has moved meanwhile */
    }
    if (peer->state == RAFT_REPLICATE && peer->inflight_count == r->base.options.inflight_max) {
        return; /* full again; asked for once more when there is room */
    }
    engine_mark(&r->base, MARK_RAFT_APPEND_LOADED);
    struct message *m = raft_message(r, MSG_RAFT_APPEND, raft_id(r, rank));
    m->pos = prev;
    for (uint32_t i = 0; i < count; i++) {
        message_add_entry(m, &entries[i]);
    }
    fill(r, m);
    send_append(r, rank, m);
}

/*
 * raft_leader.c - the clock of a leader: heartbeats, check-quorum, a stuck disk, handing over.
 *
 * Heartbeats never wait for a disk. They carry the commit position, so that a follower whose log
 * holds it may commit at once; the number of the newest read round, whose echo confirms leadership;
 * the set of nodes heard and the age of the oldest write. The answer carries the follower's last
 * position and how much of what is known to match is durable there: it repairs lost answers, and
 * tells lost appends from a slow disk.
 */

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/raft.h"

void raft_become_leader(struct raft *r)
{
    ASSERT(r->role == ROLE_CANDIDATE);
    ASSERT(r->vote == r->base.options.self);
    const struct log *log = r->base.log;
    r->role = ROLE_LEADER;
    r->pre = false;
    r->leader = r->base.options.self;
    r->leader_changes++;
    r->failed_rounds = 0;
    r->term_start = log_last(log) + 1;
    r->led_since_us = r->base.now_us;
    r->heartbeat_at_us = r->base.now_us + r->base.options.heartbeat_us;
    r->transfer_to = 0;
    r->hub.since_us = 0;
    for (uint32_t i = 0; i < raft_members(r); i++) {
        raft_peer_reset(r, i);
    }
    raft_reads_requeue(r);
    engine_trace(&r->base, (struct trace_event){.kind = TRACE_BECAME_LEADER,
                                                .epoch = r->term,
                                                .index = log_last(log)});
    /* Thesis 6.4: a leader commits "a blank no-op entry into the log at the start of its term";
     * it is what entries of older terms are committed by, and what reads wait for. */
    struct value *noop = value_new_noop();
    struct entry entry = {.index = r->term_start, .epoch = r->term, .value = noop};
    int err = log_append(r->base.log, &entry);
    if (err == OK) {
        engine_write_entry(&r->base, &entry);
        engine_trace(&r->base, (struct trace_event){.kind = TRACE_APPEND,
                                                    .epoch = r->term,
                                                    .index = entry.index,
                                                    .last = entry.index});
        r->base.flush_wanted = true;
    }
    value_unref(noop);
    if (err != OK) {
        raft_step_down(r, "no room for the no-op");
    }
}

bool raft_can_propose(const struct raft *r)
{
    const struct log *log = r->base.log;
    uint64_t reserved = u64_min(RAFT_SLOTS_RESERVED, log_slots_max(log) / 4);
    uint64_t uncommitted_max = (uint64_t) r->base.options.inflight_max * RAFT_UNCOMMITTED_FACTOR;
    return r->role == ROLE_LEADER && r->transfer_to == 0 &&
           log_last(log) - log_commit(log) < uncommitted_max &&
           log_has_room(log, log_last(log) + 1 + reserved);
}

int raft_propose(struct raft *r, struct value *value)
{
    if (r->role != ROLE_LEADER) {
        return r->leader == 0 ? ERR_NO_LEADER : ERR_NOT_LEADER;
    }
    if (!raft_can_propose(r)) {
        return ERR_BUSY;
    }
    struct entry entry = {.index = log_last(r->base.log) + 1, .epoch = r->term, .value = value};
    int err = log_append(r->base.log, &entry);
    ASSERT(err == OK); /* can_propose saw room */
    engine_write_entry(&r->base, &entry);
    engine_trace(&r->base, (struct trace_event){.kind = TRACE_APPEND,
                                                .epoch = r->term,
                                                .index = entry.index,
                                                .last = entry.index});
    r->base.flush_wanted = true;
    return OK;
}

void raft_heartbeat_all(struct raft *r)
{
    struct log_pos commit = {.index = log_commit(r->base.log)};
    int err = log_epoch_at(r->base.log, commit.index, &commit.epoch);
    if (err != OK) {
        commit = (struct log_pos){0}; /* after a recovery, until the next commit: says nothing */
    }
    for (uint32_t i = 0; i < raft_members(r); i++) {
        if (raft_is_self(r, i)) {
            continue;
        }
        struct message *m = raft_message(r, MSG_RAFT_HEARTBEAT, raft_id(r, i));
        m->pos = commit;
        m->commit = commit.index;
        m->ctx = r->round;
        engine_send_now(&r->base, m);
    }
    r->heartbeat_at_us = r->base.now_us + r->base.options.heartbeat_us;
}

void raft_on_heartbeat_reply(struct raft *r, const struct message *m)
{
    if (r->role != ROLE_LEADER || m->reject) {
        return;
    }
    uint32_t rank = raft_rank(r, m->from);
    struct raft_peer *peer = &r->peers[rank];
    peer->acked_us = r->base.now_us;
    peer->round = u64_max(peer->round, u64_min(m->ctx, r->round));
    raft_peer_acked(r, rank, m->last);
    raft_peer_at(r, rank, m->pos);
    raft_reads_confirm(r);
}

/* Members that answered this leader within an election time-out, itself included. */
static uint64_t answering(const struct raft *r)
{
    uint64_t set = UINT64_C(1) << r->base.self_rank;
    for (uint32_t i = 0; i < raft_members(r); i++) {
        if (r->base.now_us - r->peers[i].acked_us <= r->base.options.election_us) {
            set |= UINT64_C(1) << i;
        }
    }
    return set;
}

/* The answering follower with the longest durable log; 0: none. */
static uint32_t best_follower(const struct raft *r)
{
    uint64_t set = answering(r);
    uint32_t best = 0;
    uint64_t match = 0;
    for (uint32_t i = 0; i < raft_members(r); i++) {
        if (!raft_is_self(r, i) && (set & UINT64_C(1) << i) != 0 && r->peers[i].match >= match) {
            best = raft_id(r, i);
            match = r->peers[i].match;
        }
    }
    return best;
}

/* A leader whose disk is stuck holds everybody up that waits for its own vote in a quorum, and
 * could not serve alone: it hands over, and if nobody takes over in time it steps down. */
static void check_disk(struct raft *r)
{
    if (raft_members(r) == 1 || engine_write_age(&r->base) <= r->base.options.disk_stuck_us) {
        return;
    }
    if (r->transfer_to == 0) {
        engine_mark(&r->base, MARK_RAFT_DISK_STUCK);
        uint32_t to = best_follower(r);
        if (to == 0) {
            raft_step_down(r, "disk stuck");
            return;
        }
        engine_trace(&r->base, (struct trace_event){.kind = TRACE_STEP_DOWN,
                                                    .epoch = r->term,
                                                    .to = to,
                                                    .note = "disk stuck, handing over"});
        int err = raft_transfer(r, to);
        ASSERT(err == OK); /* a leader, and a member */
    }
}

/* A follower with more working links than this leader is the better place for one: in a chain
 * 1 - 2 - 3 whoever leads at an end cuts off the other end. */
static void check_hub(struct raft *r)
{
    if (!r->base.options.quorum_connected || r->transfer_to != 0) {
        return;
    }
    uint32_t hub = reach_hub(&r->hub, r->seen, &r->base);
    if (hub == 0) {
        return;
    }
    engine_mark(&r->base, MARK_HUB_TRANSFER);
    engine_trace(&r->base, (struct trace_event){.kind = TRACE_STEP_DOWN,
                                                .epoch = r->term,
                                                .to = hub,
                                                .note = "better connected, handing over"});
    int err = raft_transfer(r, hub);
    ASSERT(err == OK); /* a leader, and a member */
}

void raft_leader_tick(struct raft *r)
{
    const struct consensus_options *o = &r->base.options;
    uint64_t now = r->base.now_us;
    /* Thesis 6.2: "a leader steps down if an election timeout elapses without a successful round of
     * heartbeats to a majority of its cluster". Answers count, not mere noise: a leader that is
     * heard by few while it hears many would else hold back an election for ever. */
    if (o->check_quorum && !quorum_reached(&o->members, answering(r))) {
        engine_mark(&r->base, MARK_RAFT_NO_QUORUM_ANSWERS);
        raft_step_down(r, "no quorum answers");
        return;
    }
    if (r->transfer_to != 0 && now >= r->transfer_until_us) {
        /* Thesis 3.10: "if leadership transfer does not complete after about an election timeout,
         * the prior leader aborts the transfer and resumes accepting client requests." */
        engine_mark(&r->base, MARK_RAFT_TRANSFER_ABORTED);
        r->transfer_to = 0;
        if (raft_members(r) > 1 && engine_write_age(&r->base) > o->disk_stuck_us) {
            raft_step_down(r, "disk stuck");
            return;
        }
    }
    check_disk(r);
    if (r->role != ROLE_LEADER) {
        return;
    }
    for (uint32_t i = 0; i < raft_members(r); i++) {
        if (!raft_is_self(r, i)) {
            raft_peer_tick(r, i);
        }
    }
    if (now >= r->heartbeat_at_us) {
        check_hub(r);
        raft_heartbeat_all(r);
        raft_transfer_check(r); /* TimeoutNow may have been lost */
    }
}

uint64_t raft_leader_deadline(const struct raft *r)
{
    uint64_t at = r->heartbeat_at_us;
    if (raft_members(r) == 1) {
        return UINT64_MAX; /* nothing to tell, nobody to wait for */
    }
    if (r->transfer_to != 0) {
        at = u64_min(at, r->transfer_until_us);
    }
    for (uint32_t i = 0; i < raft_members(r); i++) {
        if (!raft_is_self(r, i)) {
            at = u64_min(at, raft_peer_deadline(r, i));
        }
    }
    return at;
}

int raft_transfer(struct raft *r, uint32_t to)
{
    if (r->role != ROLE_LEADER) {
        return r->leader == 0 ? ERR_NO_LEADER : ERR_NOT_LEADER;
    }
    if (to == r->base.options.self) {
        r->transfer_to = 0;
        return OK;
    }
    /* Thesis 3.10: "The prior leader stops accepting new client requests", brings the target's log
     * up to its own, and "sends a TimeoutNow request to the target server". */
    r->transfer_to = to;
    r->transfer_until_us = r->base.now_us + r->base.options.election_us;
    r->base.flush_wanted = true;
    raft_transfer_check(r);
    return OK;
}

void raft_transfer_check(struct raft *r)
{
    if (r->transfer_to == 0) {
        return;
    }
    if (r->peers[raft_rank(r, r->transfer_to)].match == log_last(r->base.log)) {
        engine_send_now(&r->base, raft_message(r, MSG_RAFT_TIMEOUT_NOW, r->transfer_to));
    }
}

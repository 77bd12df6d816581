/*
 * engine_raft.c - the Raft engine: operations, terms and roles, dispatch.
 *
 *              time-out, quorum heard          quorum of pre-votes          quorum of votes
 *   follower ----------------------> pre-candidate ---------> candidate -------------> leader
 *      ^                                  |                       |                       |
 *      +----- leader heard, higher term --+-----------------------+-- no quorum answers --+
 *
 * What is sent in a turn is decided once, in flush: all entries proposed since the last take travel
 * in one append for each peer, which also carries the newest commit index; appends received
 * are answered by one success.
 */

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/raft.h"
#include "consensus/timer_policy.h"

struct message *raft_message(const struct raft *r, enum message_type type, uint32_t to)
{
    struct message *m = message_new(type, to);
    m->epoch = r->term;
    m->seen = engine_heard(&r->base, r->base.options.election_us);
    m->write_age_us = engine_write_age(&r->base);
    return m;
}

void raft_reset_timer(struct raft *r)
{
    /* Raft 5.2: "election timeouts are chosen randomly from a fixed interval". */
    r->election_at_us = r->base.now_us + timer_election(&r->base.options, &r->base.rng);
}

void raft_write_hard(struct raft *r)
{
    struct hard_state hard = {.epoch = r->term, .vote = r->vote, .commit = log_commit(r->base.log)};
    engine_write_hard(&r->base, &hard);
}

void raft_commit_to(struct raft *r, uint64_t index)
{
    if (index <= log_commit(r->base.log)) {
        return;
    }
    log_commit_to(r->base.log, index);
    raft_write_hard(r);
    engine_trace(&r->base, (struct trace_event){.kind = TRACE_COMMIT, .index = index});
}

void raft_become_follower(struct raft *r, uint64_t term, uint32_t leader)
{
    ASSERT(term >= r->term);
    bool changed = r->role != ROLE_FOLLOWER || r->leader != leader || r->term != term;
    if (term > r->term) {
        r->term = term;
        r->vote = 0;
        r->matched = 0;
        r->ack_due = false;
        raft_write_hard(r);
    }
    if (r->role != ROLE_FOLLOWER) {
        raft_reset_timer(r);
        r->alive_at_us = r->base.now_us;
    }
    if (leader != 0) {
        raft_fetch_cancel(r);
        r->failed_rounds = 0;
        r->leader_changes += leader != r->leader ? 1 : 0;
    }
    r->role = ROLE_FOLLOWER;
    r->pre = false;
    r->transfer_to = 0;
    r->leader = leader;
    if (changed) {
        raft_reads_requeue(r);
        engine_trace(&r->base, (struct trace_event){.kind = TRACE_BECAME_FOLLOWER,
                                                    .epoch = term,
                                                    .to = leader});
    }
}

void raft_step_down(struct raft *r, const char *why)
{
    ASSERT(r->role == ROLE_LEADER);
    engine_trace(&r->base,
                 (struct trace_event){.kind = TRACE_STEP_DOWN, .epoch = r->term, .note = why});
    raft_become_follower(r, r->term, 0);
    r->contact_us = 0;
    /* Others need not wait for their time-outs, nor this node's voice hold them back. */
    raft_send_alive(r, true);
    r->alive_at_us = r->base.now_us + r->base.options.election_us / 4;
}

/* A message of an older term: its sender must learn that time went on. */
static void on_old_term(struct raft *r, const struct message *m)
{
    enum message_type type;
    switch (m->type) {
    case MSG_RAFT_APPEND:
        type = MSG_RAFT_APPEND_REPLY;
        break;
    case MSG_RAFT_HEARTBEAT:
        type = MSG_RAFT_HEARTBEAT_REPLY;
        break;
    case MSG_RAFT_PREVOTE:
        type = MSG_RAFT_PREVOTE_REPLY;
        break;
    case MSG_RAFT_VOTE:
        type = MSG_RAFT_VOTE_REPLY;
        break;
    default:
        return;
    }
    /* Raft 5.1: "If a server receives a request with a stale term number, it rejects the request."
     */
    struct message *reply = raft_message(r, type, m->from);
    reply->reject = true;
    engine_mark(&r->base, MARK_RAFT_OLD_TERM_REFUSED);
    engine_send_now(&r->base, reply);
}

/* A message of a newer term. False: it is not for us to act on. */
static bool on_new_term(struct raft *r, const struct message *m)
{
    switch (m->type) {
    case MSG_RAFT_PREVOTE:
        return true; /* thesis 9.6: a pre-vote changes no term */
    case MSG_RAFT_PREVOTE_REPLY:
        if (!m->reject) {
            return true; /* speaks of the term to come */
        }
        break;
    case MSG_RAFT_VOTE:
        /* Thesis 4.2.3: "if a server receives a RequestVote request within the minimum election
         * timeout of hearing from a current leader, it does not update its term or grant its
         * vote", unless the leader itself asked for the election. */
        if (raft_sticky(r) && m->ctx != RAFT_CAMPAIGN_TRANSFER) {
            engine_trace(&r->base, (struct trace_event){.kind = TRACE_DROP,
                                                        .message = m->type,
                                                        .from = m->from,
                                                        .to = m->to,
                                                        .note = "leader is alive"});
            engine_mark(&r->base, MARK_RAFT_VOTE_REFUSED_LEADER);
            return false;
        }
        break;
    case MSG_RAFT_APPEND:
    case MSG_RAFT_HEARTBEAT:
    case MSG_RAFT_COMMIT:
        raft_become_follower(r, m->epoch, m->from);
        return true;
    default:
        break;
    }
    /* Raft 5.1: "If a candidate or leader discovers that its term is out of date, it immediately
     * reverts to follower state." */
    if (r->role == ROLE_LEADER) {
        engine_trace(&r->base, (struct trace_event){.kind = TRACE_STEP_DOWN,
                                                    .epoch = m->epoch,
                                                    .note = "higher term"});
        engine_mark(&r->base,
                    r->transfer_to == m->from ? MARK_RAFT_TRANSFER_DONE : MARK_RAFT_STEP_DOWN_TERM);
    }
    raft_become_follower(r, m->epoch, 0);
    if (m->type == MSG_RAFT_PREVOTE_REPLY) {
        /* Refused for its old term, now mended: stand again soon. */
        r->election_at_us =
            r->base.now_us + rng_below(&r->base.rng, r->base.options.election_us / 2);
    }
    return true;
}

static void dispatch(struct raft *r, const struct message *m)
{
    switch (m->type) {
    case MSG_RAFT_PREVOTE:
        raft_on_prevote(r, m);
        break;
    case MSG_RAFT_PREVOTE_REPLY:
        raft_on_prevote_reply(r, m);
        break;
    case MSG_RAFT_VOTE:
        raft_on_vote(r, m);
        break;
    case MSG_RAFT_VOTE_REPLY:
        raft_on_vote_reply(r, m);
        break;
    case MSG_RAFT_APPEND:
        raft_on_append(r, m);
        break;
    case MSG_RAFT_APPEND_REPLY:
        raft_on_append_reply(r, m);
        break;
    case MSG_RAFT_HEARTBEAT:
        raft_on_heartbeat(r, m);
        break;
    case MSG_RAFT_HEARTBEAT_REPLY:
        raft_on_heartbeat_reply(r, m);
        break;
    case MSG_RAFT_COMMIT:
        raft_on_commit(r, m);
        break;
    case MSG_RAFT_READ_INDEX:
        raft_on_read_index(r, m);
        break;
    case MSG_RAFT_READ_INDEX_REPLY:
        raft_on_read_index_reply(r, m);
        break;
    case MSG_RAFT_TIMEOUT_NOW:
        raft_on_timeout_now(r, m);
        break;
    case MSG_RAFT_FETCH:
        raft_on_fetch(r, m);
        break;
    case MSG_RAFT_FETCH_REPLY:
        raft_on_fetch_reply(r, m);
        break;
    default:
        break; /* of another engine, or of a later version: nothing to do */
    }
}

/* When this node next has something to do. Called at the end of every operation. */
static void schedule(struct raft *r)
{
    uint64_t at = raft_reads_deadline(r);
    if (r->role == ROLE_LEADER) {
        at = u64_min(at, raft_leader_deadline(r));
    } else {
        at = u64_min(at, u64_min(r->election_at_us, r->alive_at_us));
        if (r->role == ROLE_CANDIDATE) {
            at = u64_min(at, r->campaign_resend_us);
        }
        if (r->fetch.donor != 0) {
            at = u64_min(at, u64_min(r->fetch.resend_at_us, r->fetch.until_us));
        }
    }
    r->base.deadline_us = at;
}

static struct engine *create(void)
{
    struct raft *r = xcalloc(1, sizeof *r);
    return &r->base;
}

static void start(struct engine *e, const struct hard_state *hard)
{
    struct raft *r = raft_of(e);
    uint32_t inflight_max = e->options.inflight_max;
    r->inflight_memory = xcalloc((size_t) inflight_max * raft_members(r), sizeof(uint64_t));
    for (uint32_t i = 0; i < raft_members(r); i++) {
        r->peers[i].inflight = r->inflight_memory + (size_t) i * inflight_max;
    }
    r->term = hard->epoch;
    r->recovered_term = hard->epoch;
    r->vote = hard->vote;
    r->role = ROLE_FOLLOWER;
    r->batch = rng_u64(&e->rng) >> 1;
    log_commit_to(e->log, u64_min(hard->commit, log_last(e->log)));
    engine_trace(e, (struct trace_event){.kind = TRACE_START,
                                         .epoch = r->term,
                                         .index = log_last(e->log)});
    raft_reset_timer(r);
    r->alive_at_us = raft_members(r) > 1 && e->options.quorum_connected ? e->now_us : UINT64_MAX;
    if (raft_members(r) == 1) {
        r->election_at_us = e->now_us; /* nobody to wait for */
    }
    schedule(r);
}

static void destroy(struct engine *e)
{
    struct raft *r = raft_of(e);
    free(r->inflight_memory);
    free(r->reads);
    free(r);
}

static void tick(struct engine *e)
{
    struct raft *r = raft_of(e);
    raft_reads_tick(r);
    if (r->role == ROLE_LEADER) {
        raft_leader_tick(r);
    } else {
        raft_fetch_tick(r);
        raft_election_tick(r);
    }
    schedule(r);
}

static void step(struct engine *e, const struct message *m)
{
    struct raft *r = raft_of(e);
    if (m->from != e->options.self) {
        r->seen[raft_rank(r, m->from)] = m->seen;
    }
    if (m->type == MSG_RAFT_ALIVE) {
        raft_on_alive(r, m); /* moves no terms: a stray must not disturb a live leader */
    } else if (m->epoch < r->term) {
        on_old_term(r, m);
    } else if (m->epoch == r->term || on_new_term(r, m)) {
        dispatch(r, m);
    }
    schedule(r);
}

static int propose(struct engine *e, struct value *value)
{
    struct raft *r = raft_of(e);
    int err = raft_propose(r, value);
    r->proposals_dropped += err != OK ? 1 : 0;
    schedule(r);
    return err;
}

static bool can_propose(const struct engine *e)
{
    return raft_can_propose(raft_of_const(e));
}

static int read_index(struct engine *e, uint64_t ctx)
{
    struct raft *r = raft_of(e);
    int err = raft_read(r, ctx);
    schedule(r);
    return err;
}

static void stored(struct engine *e, const struct log_write *write)
{
    struct raft *r = raft_of(e);
    (void) write;
    /* The leader counts itself only now, by log_stable: thesis 10.2.1, "the leader may even commit
     * an entry before it has been written to its own disk, if a majority of followers have". */
    if (r->role == ROLE_LEADER) {
        raft_maybe_commit(r);
    }
    schedule(r);
}

static void applied(struct engine *e, uint64_t index)
{
    (void) e;
    (void) index;
}

static void loaded(struct engine *e, uint64_t load_id, int err, const struct entry *entries,
                   uint32_t count)
{
    struct raft *r = raft_of(e);
    raft_loaded(r, load_id, err, entries, count);
    schedule(r);
}

static int transfer(struct engine *e, uint32_t to)
{
    struct raft *r = raft_of(e);
    int err = raft_transfer(r, to);
    schedule(r);
    return err;
}

static void status(const struct engine *e, struct consensus_status *status)
{
    const struct raft *r = raft_of_const(e);
    status->role = r->role;
    status->leader = r->leader;
    status->epoch = r->term;
    status->elections = r->elections;
    status->leader_changes = r->leader_changes;
    status->proposals_dropped = r->proposals_dropped;
    if (r->role == ROLE_LEADER) {
        for (uint32_t i = 0; i < raft_members(r); i++) {
            status->match[i] = raft_is_self(r, i) ? log_stable(e->log) : r->peers[i].match;
        }
    }
}

static void flush(struct engine *e)
{
    struct raft *r = raft_of(e);
    raft_reads_flush(r);
    if (r->role == ROLE_LEADER) {
        raft_replicate_all(r);
    } else {
        raft_ack_flush(r);
    }
    schedule(r);
}

const struct engine_ops engine_raft_ops = {
    .name = "raft",
    .id = ENGINE_RAFT,
    .capabilities = CAP_LEADER | CAP_TRANSFER,
    .create = create,
    .start = start,
    .destroy = destroy,
    .tick = tick,
    .step = step,
    .propose = propose,
    .can_propose = can_propose,
    .read = read_index,
    .stored = stored,
    .applied = applied,
    .loaded = loaded,
    .transfer = transfer,
    .change = NULL,
    .status = status,
    .flush = flush,
};

/*
 * raft_election.c - who may stand, pre-vote, votes, and what nodes tell each other while idle.
 *
 * Eligibility (option quorum_connected). In plain Raft a follower hears its leader only, so it
 * cannot know whether it could lead. Here every node that is not the leader says "alive" to
 * the others each quarter of an election time-out, with the set of nodes it hears. A node is linked
 * with a peer when it hears the peer and the peer says that it hears this node; it stands only
 * while it is linked with a quorum. (At start, before anybody was heard, anyone may stand.)
 *
 * Three rules make partial partitions live (Omni-Paxos, EuroSys 2023; Cloudflare, 2020):
 *
 *   1. A leader that is not answered by a quorum within an election time-out steps down and says so
 *      (raft_leader.c, raft_on_alive): no more waiting for what cannot come.
 *   2. A leader whose own messages say that it hears no quorum holds nobody back: its followers let
 *      their election timers run and grant pre-votes ("stickiness" is for connected leaders).
 *   3. A linked candidate that is refused because its log is behind that of nodes that cannot lead
 *      fetches what it lacks from them and stands again (raft_fetch.c).
 *
 * Quorum loss: the old leader falls by 1, the hub stands, the rest do not. Constrained election:
 * only the stale hub is linked with a quorum; 3 makes it electable. Chained: pre-vote with
 * stickiness keeps the leader; raft_leader.c moves leadership to the node in the middle.
 */

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/raft.h"
#include "consensus/timer_policy.h"

/* Raft 5.4.1: "If the logs have last entries with different terms, then the log with the later term
 * is more up-to-date. If the logs end with the same term, then whichever log is longer is more
 * up-to-date." */
bool raft_pos_newer(struct log_pos a, struct log_pos b)
{
    return a.epoch > b.epoch || (a.epoch == b.epoch && a.index > b.index);
}

/* May the candidate with this last position have our vote, as far as logs go? */
static bool up_to_date(const struct raft *r, struct log_pos last)
{
    return !raft_pos_newer(log_last_pos(r->base.log), last);
}

/* Does this node believe in a living, connected leader? */
bool raft_sticky(const struct raft *r)
{
    if (!r->base.options.check_quorum) {
        return false; /* without check-quorum a leader might never fall: nobody may be held back */
    }
    if (r->role == ROLE_LEADER) {
        return true; /* check-quorum is what ends it */
    }
    return r->leader != 0 && r->contact_us != 0 &&
           r->base.now_us - r->contact_us < r->base.options.election_us;
}

/* Members that hear us and that we hear. */
static uint64_t linked(const struct raft *r)
{
    uint64_t set = engine_heard(&r->base, r->base.options.election_us);
    uint64_t self = UINT64_C(1) << r->base.self_rank;
    for (uint32_t i = 0; i < raft_members(r); i++) {
        if (!raft_is_self(r, i) && (r->seen[i] & self) == 0) {
            set &= ~(UINT64_C(1) << i);
        }
    }
    return set;
}

bool raft_may_stand(const struct raft *r)
{
    const struct consensus_options *o = &r->base.options;
    if (raft_members(r) > 1 && engine_write_age(&r->base) > o->disk_stuck_us) {
        return false; /* its own vote would never become durable */
    }
    if (!o->quorum_connected || raft_members(r) == 1) {
        return true;
    }
    if (r->base.now_us - r->base.heard_start_us < 3 * o->election_us) {
        return true;
    }
    return quorum_reached(&o->members, linked(r));
}

static void ask_for_votes(struct raft *r)
{
    struct message *m = raft_message(r, r->pre ? MSG_RAFT_PREVOTE : MSG_RAFT_VOTE, 1);
    m->epoch = r->pre ? r->term + 1 : r->term;
    m->pos = log_last_pos(r->base.log);
    m->ctx = r->transfer_campaign ? RAFT_CAMPAIGN_TRANSFER : 0;
    for (uint32_t i = 0; i < raft_members(r); i++) {
        if (raft_is_self(r, i) || ((r->granted | r->refused) & UINT64_C(1) << i) != 0) {
            continue;
        }
        struct message *copy = message_copy(m);
        copy->to = raft_id(r, i);
        if (r->pre) {
            engine_send_now(&r->base, copy);
        } else {
            /* After the write: a node whose disk is stuck must not push others into a new term. */
            engine_send_after_write(&r->base, copy);
        }
    }
    message_free(m);
    r->campaign_resend_us = r->base.now_us + r->base.options.resend_us;
}

/* When this candidate tries again, unless it wins or hears a leader before. */
static void candidate_timer(struct raft *r, struct timer_range usual)
{
    uint32_t failed = r->failed_rounds == 0 ? 0 : r->failed_rounds - 1; /* 0: a transfer */
    r->election_at_us =
        r->base.now_us + timer_candidate(&r->base.options, &r->base.rng, usual, failed);
}

static void start_prevote(struct raft *r)
{
    uint64_t half_us = r->base.options.election_us / 2;
    r->role = ROLE_CANDIDATE;
    r->pre = true;
    r->transfer_campaign = false;
    r->leader = 0;
    r->granted = UINT64_C(1) << r->base.self_rank;
    r->refused = 0;
    engine_trace(&r->base, (struct trace_event){.kind = TRACE_BECAME_CANDIDATE,
                                                .epoch = r->term + 1,
                                                .note = "pre-vote"});
    if (quorum_reached(&r->base.options.members, r->granted)) {
        raft_start_election(r, false);
        return;
    }
    /* Pre-votes exclude nobody, so a round may end early. */
    candidate_timer(r, (struct timer_range){.base_us = half_us, .spread_us = half_us});
    ask_for_votes(r);
}

void raft_start_election(struct raft *r, bool transfer)
{
    ASSERT(r->role != ROLE_LEADER);
    raft_fetch_cancel(r);
    /* Raft 5.2: "a follower increments its current term and transitions to candidate state. It then
     * votes for itself and issues RequestVote RPCs in parallel". */
    r->role = ROLE_CANDIDATE;
    r->pre = false;
    r->transfer_campaign = transfer;
    r->term++;
    r->vote = r->base.options.self;
    r->leader = 0;
    r->matched = 0;
    r->ack_due = false;
    r->granted = 0;
    r->refused = 0;
    r->elections++;
    raft_write_hard(r);
    candidate_timer(r, timer_election_range(&r->base.options));
    engine_trace(&r->base, (struct trace_event){.kind = TRACE_BECAME_CANDIDATE,
                                                .epoch = r->term,
                                                .note = transfer ? "transfer" : NULL});
    /* Its own vote counts when it is durable, like everybody's: by a message to itself. */
    struct message *own = raft_message(r, MSG_RAFT_VOTE_REPLY, r->base.options.self);
    engine_send_after_write(&r->base, own);
    ask_for_votes(r);
}

void raft_campaign(struct raft *r)
{
    ASSERT(r->role != ROLE_LEADER);
    r->failed_rounds++;
    if (r->base.options.pre_vote) {
        start_prevote(r);
    } else {
        raft_start_election(r, false);
    }
}

void raft_send_alive(struct raft *r, bool to_leader)
{
    for (uint32_t i = 0; i < raft_members(r); i++) {
        uint32_t to = raft_id(r, i);
        if (raft_is_self(r, i) || (to == r->leader && !to_leader)) {
            continue; /* the leader hears us by the answers to its heartbeats */
        }
        struct message *m = raft_message(r, MSG_RAFT_ALIVE, to);
        m->ctx = r->leader;
        engine_send_now(&r->base, m);
    }
}

void raft_election_tick(struct raft *r)
{
    const struct consensus_options *o = &r->base.options;
    uint64_t now = r->base.now_us;
    if (!o->quorum_connected || raft_members(r) == 1) {
        r->alive_at_us = UINT64_MAX;
    } else if (now >= r->alive_at_us) {
        bool contact = r->leader != 0 && now - r->contact_us < o->election_us;
        raft_send_alive(r, !contact);
        r->alive_at_us = now + o->election_us / 4;
    }
    if (now >= r->election_at_us) {
        if (raft_may_stand(r)) {
            raft_campaign(r);
        } else {
            engine_mark(&r->base, MARK_RAFT_MAY_NOT_STAND);
            r->election_at_us =
                now + o->election_us / 4 + rng_below(&r->base.rng, o->election_us / 2);
        }
    }
    if (r->role == ROLE_CANDIDATE && now >= r->campaign_resend_us) {
        ask_for_votes(r); /* Raft 5.5: requests are retried; answers are idempotent */
    }
}

void raft_on_prevote(struct raft *r, const struct message *m)
{
    /* Thesis 9.6: a server grants a pre-vote if the candidate's log is sufficiently up-to-date and
     * it "has not received heartbeats from a valid leader for at least a baseline election
     * timeout". Nothing is recorded: a pre-vote promises nothing. */
    bool fresh = m->epoch > r->term;
    bool sticky = raft_sticky(r);
    bool good = up_to_date(r, m->pos);
    struct message *reply = raft_message(r, MSG_RAFT_PREVOTE_REPLY, m->from);
    reply->reject = !fresh || sticky || !good;
    if (!reply->reject) {
        reply->epoch = m->epoch;
    } else if (sticky) {
        engine_mark(&r->base, MARK_RAFT_PREVOTE_REFUSED_LEADER);
    } else if (!good) {
        engine_mark(&r->base, MARK_RAFT_PREVOTE_REFUSED_LOG);
        reply->hint = log_last_pos(r->base.log); /* what it would have to fetch */
    }
    engine_send_now(&r->base, reply);
}

void raft_on_prevote_reply(struct raft *r, const struct message *m)
{
    uint64_t bit = UINT64_C(1) << raft_rank(r, m->from);
    if (m->reject) {
        r->refused |= bit; /* read by a pre-candidate only */
        if (r->role != ROLE_LEADER && r->leader == 0) {
            raft_fetch_consider(r, m);
        }
        return;
    }
    if (r->role != ROLE_CANDIDATE || !r->pre) {
        return;
    }
    if (m->epoch != r->term + 1) {
        return; /* of an earlier round, before our term rose */
    }
    r->granted |= bit;
    if (quorum_reached(&r->base.options.members, r->granted)) {
        raft_start_election(r, false);
    }
}

/* Which rule of raft_on_vote refused. */
static void mark_refused(const struct raft *r, bool free_vote, bool good)
{
    if (free_vote && !good) {
        engine_mark(&r->base, MARK_RAFT_VOTE_REFUSED_LOG);
    } else if (!free_vote) {
        engine_mark(&r->base, MARK_RAFT_VOTE_REFUSED_TAKEN);
    }
}

void raft_on_vote(struct raft *r, const struct message *m)
{
    ASSERT(m->epoch == r->term);
    if (r->term == r->recovered_term) {
        engine_mark(&r->base, MARK_RAFT_VOTE_RECOVERED);
    }
    /* Raft 5.2: "Each server will vote for at most one candidate in a given term, on a
     * first-come-first-served basis"; 5.4.1: "the voter denies its vote if its own log is more
     * up-to-date than that of the candidate." */
    bool free_vote = r->vote == m->from || (r->vote == 0 && r->leader == 0);
    bool idle = r->role == ROLE_FOLLOWER || r->pre; /* a pre-candidate has voted for nobody */
    bool good = up_to_date(r, m->pos);
    bool grant = idle && free_vote && good;
    struct message *reply = raft_message(r, MSG_RAFT_VOTE_REPLY, m->from);
    if (!grant) {
        mark_refused(r, free_vote, good);
        reply->reject = true;
        engine_send_now(&r->base, reply);
        return;
    }
    if (r->pre) {
        raft_become_follower(r, r->term, 0);
    }
    r->vote = m->from;
    raft_write_hard(r);
    raft_reset_timer(r); /* Raft figure 2: no election while granting votes */
    engine_trace(&r->base,
                 (struct trace_event){.kind = TRACE_VOTE, .epoch = r->term, .to = m->from});
    engine_send_after_write(&r->base, reply); /* R6: the vote is durable before it is told */
}

void raft_on_vote_reply(struct raft *r, const struct message *m)
{
    if (r->role != ROLE_CANDIDATE || r->pre || m->epoch != r->term) {
        return;
    }
    uint64_t bit = UINT64_C(1) << raft_rank(r, m->from);
    if (m->reject) {
        r->refused |= bit;
        return;
    }
    r->granted |= bit;
    /* Raft 5.2: "A candidate wins an election if it receives votes from a majority of the servers
     * in the full cluster for the same term." */
    if (quorum_reached(&r->base.options.members, r->granted)) {
        raft_become_leader(r);
    }
}

void raft_on_alive(struct raft *r, const struct message *m)
{
    if (r->role != ROLE_FOLLOWER || r->leader != m->from || m->epoch != r->term ||
        m->ctx == m->from) {
        return;
    }
    /* Our leader says it no longer is: stand soon, at a random moment. */
    r->leader = 0;
    r->contact_us = 0;
    r->election_at_us =
        u64_min(r->election_at_us,
                r->base.now_us + rng_below(&r->base.rng, r->base.options.election_us));
}

void raft_on_timeout_now(struct raft *r, const struct message *m)
{
    /* Thesis 3.10: "the target server starts a new election", without waiting and without a
     * pre-vote, which the living leader would spoil. */
    if (r->role == ROLE_LEADER || m->from != r->leader ||
        engine_write_age(&r->base) > r->base.options.disk_stuck_us) {
        return;
    }
    raft_start_election(r, true);
}

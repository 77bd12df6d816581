/*
 * engine_multipaxos.c - Multi-Paxos: a distinguished proposer over the shared acceptor.
 *
 * Lamport, Paxos Made Simple, section 3: a leader executes phase 1 once for all slots from the
 * first one it does not know to be chosen, then needs only phase 2: one round trip and one durable
 * write for a command. Here: the operations, time, heartbeats, and whom this node follows. Not
 * here: phase 1 (multipaxos_elect.c), phase 2 (multipaxos_lead.c), reads (multipaxos_read.c), the
 * acceptor (acceptor.c), learning (learner.c).
 *
 *     type              from -> to           fields                                   section
 *     PREPREPARE        candidate -> all     ctx = attempt, epoch = promised          (ours)
 *     PREPREPARE_REPLY  back                 reject, ctx, hint.epoch = promised       (ours)
 *     PREPARE           candidate -> all     epoch, pos.index = first slot, ctx       2.2 phase 1a
 *     PROMISE           back, after write    see acceptor.h                           2.2 phase 1b
 *     ACCEPT            leader -> all        epoch, entries, commit                   2.2 phase 2a
 *     ACCEPTED          back, after write    epoch, [pos.index, last], commit         2.2 phase 2b
 *     NACK              back                 epoch refused, hint.epoch = promised     2.4 (abandon)
 *     CHOSEN            leader -> all        epoch, commit: all up to it are chosen   2.3
 *     CHOSEN            acceptor -> leader   entries, commit                          2.3
 *     LEARN, _REPLY     any -> any           see learner.h                            2.3
 *     HEARTBEAT         any -> all           epoch = ballot it leads under, 0: none;  3
 *                                            hint.epoch = promised, commit, seen,
 *                                            last = durable prefix, write_age_us,
 *                                            ctx = read round
 *     HEARTBEAT_REPLY   back to a leader     epoch and ctx echoed; reject and         (reads)
 *                                            hint.epoch when a higher one is promised
 *     READ, READ_REPLY  follower <-> leader  ctx; pos.index = read point, reject      (reads)
 *     TIMEOUT_NOW       leader -> successor  epoch = ballot given up                  (transfer)
 *
 * A leader's `commit` under ballot b says: all up to it is chosen, under ballots <= b. So whoever
 * accepted a slot under b holds the chosen value. A leader or candidate that meets any higher
 * ballot, in an entry too, steps down before it says more.
 *
 * Partial partitions (experiments.md E8, E9). Safety never depends on what follows; liveness does:
 *
 *  1. Everybody tells everybody whom it hears (`seen`). A link counts only if both ends hear each
 *     other.
 *  2. A leader without such links to a quorum gives up within one time-out, and says so at once.
 *     (Quorum loss; both Cloudflare graphs. A leader that is heard but cannot hear does not stay,
 *     either.)
 *  3. Only a node with links to a quorum stands. (Quorum loss, Cloudflare (a): the nodes at the rim
 *     never disturb.) It need not have the newest log, because phase 1 brings it: the constrained
 *     election, where Raft is stuck, is no special case.
 *  4. It first asks (pre-prepare), and nobody who has a living leader in touch with a quorum
 *     agrees. (Chained: the end that cannot hear the leader is told no, learns what is chosen from
 * its neighbour, and nobody's ballot rises.) A promise to a real prepare is refused only by one who
 *     heard the leader confirm itself within a time-out, so that a late prepare deposes nobody;
 *     among candidates the higher ballot simply wins.
 *  5. Refused candidates ask again after a quarter to half a time-out; asking costs no ballot.
 *  6. A phase 1 of many pages may take longer than a time-out: as long as it moves, the candidate
 * and those that promised to it help nobody else.
 *
 *  7. With pre_vote, check_quorum and quorum_connected off none of this holds, and the elector is
 *     the textbook's: acceptors promise to any higher ballot, whoever led last is waited for while
 *     its process is heard, and a preempted leader tries again. It fails as published: down for
 *     good in the quorum loss, leaders without end in the chain.
 *
 *  From the cut to a new leader: at most one time-out until the old one is given up (2), two for
 *  the timer of a node that did not hear it, half of one to ask again: below four.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/multipaxos.h"
#include "consensus/timer_policy.h"

static struct multipaxos *mp_of(struct engine *e)
{
    return container_of(e, struct multipaxos, e);
}

static const struct multipaxos *mp_of_const(const struct engine *e)
{
    return (const struct multipaxos *) (const void *) e; /* `e` is the first member */
}

STATIC_ASSERT(offsetof(struct multipaxos, e) == 0, "mp_of_const casts");

int mp_rank(const struct multipaxos *mp, uint32_t node)
{
    return membership_rank(&mp->e.options.members, node);
}

/* Do we have a leader that is alive and in touch with a quorum, as far as we know, and is not the
 * given node? A candidate we promised to has the same time to prove itself. */
bool mp_leader_lives(const struct multipaxos *mp, uint32_t other_than)
{
    const struct mp_view *v = &mp->view;
    if (v->leader == 0 || v->leader == other_than) {
        return false;
    }
    if (v->leader == mp->e.options.self) {
        return mp->role == ROLE_LEADER &&
               (!mp->e.options.check_quorum || reach_quorum(&mp->reach, &mp->e));
    }
    return mp->e.now_us - v->heard_us < mp->e.options.election_us;
}

/* Is a candidate that we promise to given time to become the leader? A promise alone is no sign of
 * one. But who asked a quorum first, or may stand only in touch with one, will likely lead. */
bool mp_gives_time(const struct multipaxos *mp)
{
    return mp->e.options.pre_vote || mp->e.options.quorum_connected;
}

void mp_election_in(struct multipaxos *mp, uint64_t min_us, uint64_t max_us)
{
    mp->election_us = mp->e.now_us + rng_between(&mp->e.rng, min_us, u64_max(min_us, max_us));
}

void mp_election_reset(struct multipaxos *mp)
{
    mp->election_us = mp->e.now_us + timer_election(&mp->e.options, &mp->e.rng);
}

void mp_send_heartbeats(struct multipaxos *mp)
{
    struct engine *e = &mp->e;
    bool leads = mp->role == ROLE_LEADER;
    mp->heartbeat_us = e->now_us + e->options.heartbeat_us;
    if (e->options.members.count == 1) {
        mp->heartbeat_us = UINT64_MAX;
        return;
    }
    struct message *m = message_new(MSG_PAXOS_HEARTBEAT, e->options.self);
    m->epoch = leads ? mp->lead.ballot : 0;
    m->hint.epoch = mp->acceptor.promised_all;
    m->commit = log_commit(e->log);
    m->last = log_stable(e->log);
    m->seen = engine_heard(e, e->options.election_us);
    m->write_age_us = engine_write_age(e);
    m->ctx = leads ? mp->reads.round : 0;
    engine_broadcast_now(e, m);
    message_free(m);
}

/* Becomes a follower without a leader; ends what a candidate or leader had under way. */
void mp_step_down(struct multipaxos *mp, const char *why)
{
    bool led = mp->role == ROLE_LEADER;
    uint64_t ballot = led ? mp->lead.ballot : mp->candidate.ballot;
    if (mp->role != ROLE_FOLLOWER) {
        engine_trace(&mp->e,
                     (struct trace_event){.kind = TRACE_STEP_DOWN, .epoch = ballot, .note = why});
    }
    mp->role = ROLE_FOLLOWER;
    mp->view.leader = 0;
    mp->view.confirmed = false;
    mp_reads_fail(mp, ERR_NO_LEADER);
    mp_candidate_clear(mp);
    if (led) {
        mp->dropped += mp->lead.next - mp->lead.first;
        mp_lead_clear(mp);
        mp_send_heartbeats(mp); /* say so: nobody need wait for a time-out */
    }
    mp_election_reset(mp);
}

/* The successor starts phase 1 at once and we stop: what is in flight is found by its phase 1. */
void mp_hand_over(struct multipaxos *mp, uint32_t to, const char *why)
{
    struct message *m = message_new(MSG_PAXOS_TIMEOUT_NOW, to);
    ASSERT(mp->role == ROLE_LEADER);
    m->epoch = mp->lead.ballot;
    engine_send_now(&mp->e, m);
    mp_step_down(mp, why);
}

/* Follows `leader` under `ballot`: it said that it leads, or we are about to promise to it. */
void mp_follow(struct multipaxos *mp, uint32_t leader, uint64_t ballot, bool confirmed)
{
    struct mp_view *v = &mp->view;
    ASSERT(leader != mp->e.options.self);
    ASSERT(ballot >= v->ballot);
    bool fresh = v->leader != leader || v->ballot != ballot || v->confirmed != confirmed;
    if (!fresh) {
        return;
    }
    bool waited = mp->role == ROLE_FOLLOWER;
    uint64_t stand_us = mp->election_us;
    if (mp->role != ROLE_FOLLOWER || v->leader != leader) {
        mp_step_down(mp, "follows another");
    }
    *v = (struct mp_view){leader, ballot, mp->e.now_us, confirmed, 0};
    mp_election_reset(mp);
    if (!confirmed && waited && !mp_gives_time(mp)) {
        mp->election_us = stand_us;
    }
    if (confirmed) {
        mp->led_by = leader;
        mp->candidate.tries = 0;
        mp->leader_changes++;
        engine_trace(&mp->e, (struct trace_event){.kind = TRACE_BECAME_FOLLOWER,
                                                  .epoch = ballot,
                                                  .to = leader});
    }
}

/* The sender says that it leads under `ballot`. False when we know of a higher one. */
static bool accept_leader(struct multipaxos *mp, const struct message *m)
{
    if (acceptor_promise_all(&mp->acceptor, &mp->e, m->epoch) != ACCEPTOR_YES) {
        return false; /* else: who missed the prepare promises now, which is always safe */
    }
    if (m->from != mp->e.options.self) {
        mp_follow(mp, m->from, m->epoch, true);
    }
    return true;
}

/* The leader's commit index: see the head of this file. */
static void follow_commit(struct multipaxos *mp, const struct message *m)
{
    const struct notice notice = {1, u64_min(m->commit, log_last(mp->e.log)), m->epoch};
    learner_note_commit(&mp->learner, &mp->e, m);
    if (ballot_node(m->epoch) != m->from) {
        return; /* only the leader itself can speak for its ballot */
    }
    (void) learner_choose_notice(&mp->learner, &mp->e, notice); /* what is missing is asked for */
}

static void on_accept(struct multipaxos *mp, const struct message *m)
{
    if (m->from == mp->e.options.self) {
        return; /* a leader accepts where it proposes */
    }
    (void) accept_leader(mp, m); /* the acceptor nacks what is too low */
    acceptor_on_accept(&mp->acceptor, &mp->e, m);
    follow_commit(mp, m);
}

static void reject_heartbeat(struct multipaxos *mp, const struct message *m)
{
    struct message *reply = message_new(MSG_PAXOS_HEARTBEAT_REPLY, m->from);
    reply->epoch = m->epoch;
    reply->ctx = m->ctx;
    reply->commit = log_commit(mp->e.log);
    reply->reject = true;
    reply->hint.epoch = mp->acceptor.promised_all;
    engine_send_now(&mp->e, reply);
}

/* A leader speaks. */
static void on_leader_heartbeat(struct multipaxos *mp, const struct message *m)
{
    struct engine *e = &mp->e;
    const struct consensus_options *o = &e->options;
    if (!accept_leader(mp, m)) {
        reject_heartbeat(mp, m);
        return;
    }
    bool connected = !o->quorum_connected || quorum_reached(&o->members, m->seen);
    if (connected && m->write_age_us <= o->disk_stuck_us) {
        mp->view.heard_us = e->now_us;
        mp_election_reset(mp);
    }
    follow_commit(mp, m);
    if (m->ctx != 0) {
        struct message *reply = message_new(MSG_PAXOS_HEARTBEAT_REPLY, m->from);
        reply->epoch = m->epoch;
        reply->ctx = m->ctx;
        reply->commit = log_commit(e->log);
        engine_send_now(e, reply);
    }
}

/* Without check-quorum the failure detector is the one that Paxos is mostly described with: whoever
 * led last is waited for as long as its process is heard, whether it can lead or not. That a leader
 * gave up, or was refused, is then no reason to stand. (With check-quorum it is believed.) */
static bool waits_for(const struct multipaxos *mp, const struct message *m)
{
    const struct consensus_options *o = &mp->e.options;
    return !o->check_quorum && mp->role == ROLE_FOLLOWER && mp->led_by == m->from &&
           m->write_age_us <= o->disk_stuck_us;
}

static void on_heartbeat(struct multipaxos *mp, const struct message *m)
{
    mp->peer_stable[mp_rank(mp, m->from)] = m->last;
    reach_note(&mp->reach, &mp->e, m);
    learner_note_commit(&mp->learner, &mp->e, m);
    if (m->epoch != 0) {
        on_leader_heartbeat(mp, m);
    } else if (mp->view.leader == m->from && mp->view.confirmed) {
        /* It gave up. Those who can lead find out soon. */
        mp_step_down(mp, "leader gave up");
        mp_election_in(mp, mp->e.options.election_us / 4, mp->e.options.election_us / 2);
    }
    if (waits_for(mp, m)) {
        mp_election_reset(mp);
    }
    if (mp->role == ROLE_LEADER && m->hint.epoch > mp->lead.ballot) {
        mp_on_higher(mp, m->hint.epoch, "a peer promised a higher ballot");
    }
}

static void on_heartbeat_reply(struct multipaxos *mp, const struct message *m)
{
    learner_note_commit(&mp->learner, &mp->e, m);
    if (mp->role != ROLE_LEADER || m->epoch != mp->lead.ballot) {
        return;
    }
    if (m->reject) {
        mp_on_higher(mp, m->hint.epoch, "heartbeat refused");
        return;
    }
    mp_reads_confirm(mp, mp_rank(mp, m->from), m->ctx);
}

static void on_nack(struct multipaxos *mp, const struct message *m)
{
    uint64_t ours = mp->role == ROLE_LEADER ? mp->lead.ballot : mp->candidate.ballot;
    if (m->epoch == ours && m->epoch != 0) {
        mp_on_higher(mp, m->hint.epoch, "refused by an acceptor");
    }
}

static void on_chosen(struct multipaxos *mp, const struct message *m)
{
    for (uint32_t k = 0; k < m->entries_count; k++) {
        if (m->entries[k].epoch < mp->acceptor.promised_all &&
            m->entries[k].index > log_commit(mp->e.log)) {
            engine_mark(&mp->e, MARK_MULTIPAXOS_CHOSEN_UNDER_PROMISE);
        }
        /* Also while we only stand for election: promises on their way could still make us lead
         * under our lower ballot, and our commit index would speak for slots above it. */
        mp_on_higher(mp, m->entries[k].epoch, "chosen under a higher ballot");
    }
    if (m->type == MSG_PAXOS_LEARN_REPLY) {
        learner_on_learn_reply(&mp->learner, &mp->e, m);
    } else if (m->entries_count > 0 || m->epoch == 0 || m->pos.index != 0) {
        learner_on_chosen(&mp->learner, &mp->e, m);
    } else {
        follow_commit(mp, m);
    }
}

static void on_timeout_now(struct multipaxos *mp, const struct message *m)
{
    if (mp->role != ROLE_LEADER && mp->candidate.stage != MP_PREPARING &&
        m->epoch >= mp->acceptor.promised_all) {
        engine_mark(&mp->e, MARK_MULTIPAXOS_TRANSFER);
        mp_prepare(mp); /* asked to by the leader, which has stepped aside */
    }
}

/* After every input: the durable commit hint, what is missing, and when to wake up. */
static void settle(struct multipaxos *mp)
{
    struct engine *e = &mp->e;
    const struct hard_state hard = {.epoch = mp->acceptor.promised_all,
                                    .commit = log_commit(e->log)};
    engine_write_hard(e, &hard); /* a commit index alone waits for the next write */
    int prefer = mp->view.confirmed ? mp_rank(mp, mp->view.leader) : -1;
    mp->poll_us = learner_poll(&mp->learner, e, prefer == e->self_rank ? -1 : prefer);
    uint64_t due = u64_min(mp->heartbeat_us, mp->poll_us);
    due = u64_min(due, mp_reads_deadline(mp));
    if (mp->role == ROLE_LEADER) {
        due = u64_min(due, mp_lead_deadline(mp));
    } else if (mp->candidate.stage != MP_IDLE) {
        due = u64_min(due, mp_candidate_deadline(mp));
    } else {
        due = u64_min(due, mp->election_us);
    }
    e->deadline_us = due;
}

static struct engine *multipaxos_create(void)
{
    return &((struct multipaxos *) xcalloc(1, sizeof(struct multipaxos)))->e;
}

static void multipaxos_start(struct engine *e, const struct hard_state *hard)
{
    struct multipaxos *mp = mp_of(e);
    mp->acceptor.promised_all = hard->epoch;
    mp->acceptor.recovered = hard->epoch;
    mp->acceptor.all_slots = true;
    mp->view.ballot = hard->epoch;
    mp->role = ROLE_FOLLOWER;
    /* Read rounds of an earlier life are not mistaken for ours. */
    mp->reads.round = rng_u64(&e->rng) >> 16;
    mp->heartbeat_us = e->now_us;
    mp_election_reset(mp);
    if (e->options.members.count == 1) {
        mp->election_us = e->now_us;
    }
    engine_trace(e, (struct trace_event){.kind = TRACE_START,
                                         .epoch = hard->epoch,
                                         .index = log_last(e->log)});
}

static void multipaxos_destroy(struct engine *e)
{
    struct multipaxos *mp = mp_of(e);
    mp_candidate_clear(mp);
    mp_lead_clear(mp);
    free(mp->reads.at);
    free(mp);
}

static void multipaxos_tick(struct engine *e)
{
    struct multipaxos *mp = mp_of(e);
    if (mp->role == ROLE_LEADER) {
        mp_lead_tick(mp);
    }
    if (mp->role != ROLE_LEADER) {
        if (mp->candidate.stage != MP_IDLE) {
            mp_candidate_tick(mp);
        } else if (e->now_us >= mp->election_us) {
            mp_stand(mp);
        }
    }
    mp_reads_tick(mp);
    if (e->now_us >= mp->heartbeat_us) {
        mp_send_heartbeats(mp);
    }
    settle(mp);
}

static void multipaxos_step(struct engine *e, const struct message *m)
{
    struct multipaxos *mp = mp_of(e);
    switch (m->type) {
    case MSG_PAXOS_PREPREPARE:
        mp_on_preprepare(mp, m);
        break;
    case MSG_PAXOS_PREPREPARE_REPLY:
        mp_on_preprepare_reply(mp, m);
        break;
    case MSG_PAXOS_PREPARE:
        mp_on_prepare(mp, m);
        break;
    case MSG_PAXOS_PROMISE:
        mp_on_promise(mp, m);
        break;
    case MSG_PAXOS_ACCEPT:
        on_accept(mp, m);
        break;
    case MSG_PAXOS_ACCEPTED:
        mp_on_accepted(mp, m);
        break;
    case MSG_PAXOS_NACK:
        on_nack(mp, m);
        break;
    case MSG_PAXOS_CHOSEN:
    case MSG_PAXOS_LEARN_REPLY:
        on_chosen(mp, m);
        break;
    case MSG_PAXOS_LEARN:
        learner_on_learn(&mp->learner, e, m);
        break;
    case MSG_PAXOS_HEARTBEAT:
        on_heartbeat(mp, m);
        break;
    case MSG_PAXOS_HEARTBEAT_REPLY:
        on_heartbeat_reply(mp, m);
        break;
    case MSG_PAXOS_READ:
        mp_on_read(mp, m);
        break;
    case MSG_PAXOS_READ_REPLY:
        mp_on_read_reply(mp, m);
        break;
    case MSG_PAXOS_TIMEOUT_NOW:
        on_timeout_now(mp, m);
        break;
    default:
        break; /* of another engine: nothing to do here */
    }
    settle(mp);
}

static int multipaxos_propose(struct engine *e, struct value *value)
{
    struct multipaxos *mp = mp_of(e);
    if (mp->role != ROLE_LEADER) {
        bool known = mp->view.leader != 0 && mp->view.confirmed;
        return known ? ERR_NOT_LEADER : ERR_NO_LEADER;
    }
    if (!mp_lead_room(mp)) {
        return ERR_BUSY;
    }
    mp_lead_propose(mp, value);
    settle(mp);
    return OK;
}

static bool multipaxos_can_propose(const struct engine *e)
{
    return mp_lead_room(mp_of_const(e));
}

static int multipaxos_read(struct engine *e, uint64_t ctx)
{
    struct multipaxos *mp = mp_of(e);
    int err = mp_read(mp, ctx);
    settle(mp);
    return err;
}

static void multipaxos_stored(struct engine *e, const struct log_write *write)
{
    (void) write; /* our own answers come back as messages to ourselves */
    settle(mp_of(e));
}

static void multipaxos_applied(struct engine *e, uint64_t index)
{
    struct multipaxos *mp = mp_of(e);
    (void) index;
    if (mp->role == ROLE_LEADER && mp->lead.next <= mp->lead.barrier) {
        e->flush_wanted = true; /* room for what is still to be adopted */
    }
    settle(mp);
}

static void multipaxos_loaded(struct engine *e, uint64_t load_id, int err,
                              const struct entry *entries, uint32_t count)
{
    struct multipaxos *mp = mp_of(e);
    learner_on_loaded(&mp->learner, e, load_id, err, entries, count);
    settle(mp);
}

static int multipaxos_transfer(struct engine *e, uint32_t to)
{
    struct multipaxos *mp = mp_of(e);
    if (mp->role != ROLE_LEADER) {
        return ERR_NOT_LEADER;
    }
    if (to == e->options.self) {
        return OK;
    }
    mp_hand_over(mp, to, "transfer");
    settle(mp);
    return OK;
}

static void multipaxos_status(const struct engine *e, struct consensus_status *status)
{
    const struct multipaxos *mp = mp_of_const(e);
    status->role = mp->role;
    status->leader = mp->view.confirmed ? mp->view.leader : 0;
    status->epoch = mp->acceptor.promised_all;
    status->elections = mp->elections;
    status->leader_changes = mp->leader_changes;
    status->proposals_dropped = mp->dropped;
    if (mp->role == ROLE_LEADER) {
        for (uint32_t r = 0; r < e->options.members.count; r++) {
            status->match[r] = mp->peer_stable[r];
        }
        status->match[e->self_rank] = log_stable(e->log);
    }
}

/* What a turn collected: reads first, because their heartbeat carries the commit index. */
static void multipaxos_flush(struct engine *e)
{
    struct multipaxos *mp = mp_of(e);
    mp_reads_flush(mp);
    if (mp->role == ROLE_LEADER) {
        mp_lead_flush(mp);
    }
    settle(mp);
}

const struct engine_ops engine_multipaxos_ops = {
    .name = "multipaxos",
    .id = ENGINE_MULTIPAXOS,
    .capabilities = CAP_LEADER | CAP_TRANSFER,
    .create = multipaxos_create,
    .start = multipaxos_start,
    .destroy = multipaxos_destroy,
    .tick = multipaxos_tick,
    .step = multipaxos_step,
    .propose = multipaxos_propose,
    .can_propose = multipaxos_can_propose,
    .read = multipaxos_read,
    .stored = multipaxos_stored,
    .applied = multipaxos_applied,
    .loaded = multipaxos_loaded,
    .transfer = multipaxos_transfer,
    .status = multipaxos_status,
    .flush = multipaxos_flush,
};

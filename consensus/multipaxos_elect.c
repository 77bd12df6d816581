/*
 * multipaxos_elect.c - phase 1 for all slots at once. Paxos Made Simple 2.2, 2.5 and 3: "a newly
 * chosen leader executes phase 1 for infinitely many instances of the consensus algorithm".
 *
 *   idle --time-out--> asking --a quorum would promise--> preparing --quorum--> leader
 *    ^                   |  ^                                 |
 *    +-- leader speaks --+  +--- time-out, higher ballot -----+
 *
 * Asking (pre-prepare) promises nothing and raises no ballot; it keeps a node that cannot win, or
 * that merely cannot hear the leader, from deposing anybody. See engine_multipaxos.c on partial
 * partitions.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/multipaxos.h"
#include "consensus/timer_policy.h"

enum {
    ASKED_BEFORE =
        4, /* questions whose answers still count; one takes a quarter time-out or more */
};

static uint64_t bit_of(int rank)
{
    ASSERT(rank >= 0);
    return UINT64_C(1) << rank;
}

static void found_clear(struct mp_candidate *c)
{
    for (uint32_t i = 0; i < c->found_count; i++) {
        value_unref(c->found[i].value);
    }
    free(c->found);
    c->found = NULL;
    c->found_count = 0;
    c->found_capacity = 0;
}

void mp_candidate_clear(struct multipaxos *mp)
{
    struct mp_candidate *c = &mp->candidate;
    found_clear(c);
    c->stage = MP_IDLE;
    c->yes = 0;
}

/* Where the slot is among what was found, or belongs. */
static uint32_t found_at(const struct mp_candidate *c, uint64_t index)
{
    uint32_t low = 0;
    uint32_t high = c->found_count;
    if (high == 0 || c->found[high - 1].index < index) {
        return high; /* pages come in ascending order */
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (c->found[middle].index < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* P6 (Paxos Made Simple 2.2, P2c): per slot, the value of the highest-numbered proposal. */
static void found_put(struct multipaxos *mp, const struct entry *entry)
{
    struct mp_candidate *c = &mp->candidate;
    uint32_t at = found_at(c, entry->index);
    if (at < c->found_count && c->found[at].index == entry->index) {
        if (entry->epoch > c->found[at].epoch) {
            engine_mark(&mp->e, MARK_MULTIPAXOS_VALUE_OF_HIGHER_BALLOT);
            value_unref(c->found[at].value);
            c->found[at] = *entry;
            (void) value_ref(entry->value);
        }
        return;
    }
    if (c->found_count == c->found_capacity) {
        c->found_capacity = c->found_capacity == 0 ? 64 : c->found_capacity * 2;
        c->found = xrealloc(c->found, c->found_capacity * sizeof *c->found);
    }
    memmove(&c->found[at + 1], &c->found[at], (c->found_count - at) * sizeof *c->found);
    c->found[at] = *entry;
    (void) value_ref(entry->value);
    c->found_count++;
}

static void note_round(struct multipaxos *mp, uint64_t ballot)
{
    mp->candidate.round_seen = u64_max(mp->candidate.round_seen, ballot_round(ballot));
}

/* May this node stand? Only one that is in touch with a quorum can lead (the lesson of Omni-Paxos
 * and of the 2020 Cloudflare outage), and none whose disk does not move. */
static bool eligible(const struct multipaxos *mp)
{
    const struct consensus_options *o = &mp->e.options;
    return (!o->quorum_connected || reach_quorum(&mp->reach, &mp->e)) &&
           engine_write_age(&mp->e) <= o->disk_stuck_us;
}

/* How long this candidate waits; [min, max] unless the options say otherwise. */
static uint64_t candidate_wait(struct multipaxos *mp, uint64_t min_us, uint64_t max_us)
{
    struct engine *e = &mp->e;
    uint32_t failed = mp->candidate.tries == 0 ? 0 : mp->candidate.tries - 1; /* 0: a transfer */
    const struct timer_range usual = {.base_us = min_us, .spread_us = max_us - min_us + 1};
    return timer_candidate(&e->options, &e->rng, usual, failed);
}

void mp_stand(struct multipaxos *mp)
{
    struct engine *e = &mp->e;
    struct mp_candidate *c = &mp->candidate;
    uint64_t t = e->options.election_us;
    if (!eligible(mp)) {
        engine_mark(e, MARK_MULTIPAXOS_MAY_NOT_STAND);
        if (mp->role == ROLE_CANDIDATE) {
            mp_step_down(mp, "hears no quorum");
        }
        mp_election_in(mp, t / 4, t / 2);
        return;
    }
    ASSERT(mp->role != ROLE_LEADER);
    mp_candidate_clear(mp);
    if (mp->role != ROLE_CANDIDATE) {
        mp->role = ROLE_CANDIDATE;
        engine_trace(e, (struct trace_event){.kind = TRACE_BECAME_CANDIDATE,
                                             .epoch = mp->acceptor.promised_all});
    }
    mp->view.leader = 0;
    mp_reads_fail(mp, ERR_NO_LEADER);
    c->stage = MP_ASKING;
    c->attempt++;
    c->tries++;
    c->yes = bit_of(e->self_rank);
    c->give_up_us = e->now_us + candidate_wait(mp, t / 4, t / 2);
    if (!e->options.pre_vote || quorum_reached(&e->options.members, c->yes)) {
        mp_prepare(mp);
        return;
    }
    struct message *m = message_new(MSG_PAXOS_PREPREPARE, e->options.self);
    m->epoch = mp->acceptor.promised_all;
    m->ctx = c->attempt;
    m->commit = log_commit(e->log);
    engine_broadcast_now(e, m);
    message_free(m);
}

/* Is our phase 1 past its first page? It moves, or it is given up soon. */
static bool paging(const struct multipaxos *mp)
{
    const struct mp_candidate *c = &mp->candidate;
    for (uint32_t r = 0; c->stage == MP_PREPARING && r < mp->e.options.members.count; r++) {
        if (c->next[r] > c->first) {
            return true;
        }
    }
    return false;
}

void mp_on_preprepare(struct multipaxos *mp, const struct message *m)
{
    struct engine *e = &mp->e;
    struct message *reply = message_new(MSG_PAXOS_PREPREPARE_REPLY, m->from);
    /* Stickiness: who has a leader in touch with a quorum does not help to depose it. */
    reply->reject = mp_leader_lives(mp, m->from) || paging(mp);
    if (reply->reject) {
        engine_mark(e, MARK_MULTIPAXOS_PREPREPARE_REFUSED);
    }
    reply->ctx = m->ctx;
    reply->hint.epoch = mp->acceptor.promised_all;
    reply->commit = log_commit(e->log);
    engine_send_now(e, reply);
}

void mp_on_preprepare_reply(struct multipaxos *mp, const struct message *m)
{
    struct mp_candidate *c = &mp->candidate;
    note_round(mp, m->hint.epoch);
    /* Where a round trip takes longer than a question is kept up, the answers to the ones before
     * are what comes; they are no older than about a time-out, and promise as little. */
    if (c->stage != MP_ASKING || m->ctx > c->attempt || m->ctx + ASKED_BEFORE < c->attempt ||
        m->reject) {
        return;
    }
    c->yes |= bit_of(mp_rank(mp, m->from));
    if (quorum_reached(&mp->e.options.members, c->yes)) {
        mp_prepare(mp);
    }
}

static void send_prepare(struct multipaxos *mp, uint32_t rank)
{
    struct mp_candidate *c = &mp->candidate;
    struct message *m = message_new(MSG_PAXOS_PREPARE, mp->e.options.members.ids[rank]);
    m->epoch = c->ballot;
    m->pos.index = c->next[rank];
    m->ctx = c->attempt;
    m->commit = log_commit(mp->e.log);
    engine_send_after_write(&mp->e, m);
}

/*
 * Phase 1a. P7: the ballot is above all we promised or heard of, and our own promise of it is
 * written first: the prepare leaves after that write, so no later life can use the number again.
 * The promise to ourselves comes back through step like any other, and is required.
 */
void mp_prepare(struct multipaxos *mp)
{
    struct engine *e = &mp->e;
    struct mp_candidate *c = &mp->candidate;
    note_round(mp, mp->acceptor.promised_all);
    mp_candidate_clear(mp);
    mp->role = ROLE_CANDIDATE;
    mp->elections++;
    c->stage = MP_PREPARING;
    c->attempt++;
    c->ballot = ballot_make(c->round_seen + 1, e->options.self);
    ASSERT(c->ballot > mp->acceptor.promised_all);
    c->first = log_commit(e->log) + 1;
    c->chosen_to = log_commit(e->log);
    c->resend_us = e->now_us + e->options.resend_us;
    c->give_up_us =
        e->now_us + candidate_wait(mp, e->options.election_us / 2, e->options.election_us);
    for (uint32_t r = 0; r < e->options.members.count; r++) {
        c->next[r] = c->first;
        send_prepare(mp, r);
    }
    /* Promise now, so that nothing lower is accepted between here and the message to ourselves. */
    enum acceptor_result result = acceptor_promise_all(&mp->acceptor, e, c->ballot);
    ASSERT(result == ACCEPTOR_YES);
    mp->view = (struct mp_view){.leader = 0, .ballot = c->ballot};
    mp_reads_fail(mp, ERR_NO_LEADER); /* told to take over, a follower comes here directly */
    engine_trace(e, (struct trace_event){.kind = TRACE_PROMISE,
                                         .epoch = c->ballot,
                                         .index = c->first,
                                         .to = e->options.self});
}

void mp_on_prepare(struct multipaxos *mp, const struct message *m)
{
    struct engine *e = &mp->e;
    note_round(mp, m->epoch);
    if (m->epoch > mp->acceptor.promised_all) {
        /* Not answering is always safe. It keeps a late prepare from deposing a leader that a
         * quorum has meanwhile confirmed; the candidate asks again before it tries again. Without
         * check-quorum a leader might never fall: nobody may be held back. */
        if (e->options.check_quorum && mp->view.confirmed && mp_leader_lives(mp, m->from)) {
            engine_mark(e, MARK_MULTIPAXOS_PREPARE_REFUSED_LEADER);
            acceptor_nack_all(&mp->acceptor, e, m);
            return;
        }
        mp_follow(mp, m->from, m->epoch, false);
    }
    struct mp_view *v = &mp->view;
    if (m->from == v->leader && m->epoch == v->ballot && !v->confirmed && m->pos.index > v->asked) {
        v->asked = m->pos.index; /* it got a page, perhaps from us, and wants the next */
        v->heard_us = e->now_us;
        if (mp_gives_time(mp)) {
            mp_election_reset(mp);
        }
    }
    acceptor_on_prepare_all(&mp->acceptor, e, m);
}

/* Everything that our own acceptor has accepted belongs to its promise. It may be much: slots that
 * nobody else had are put between those found in one pass. */
static void add_own_promise(struct multipaxos *mp)
{
    const struct log *l = mp->e.log;
    struct mp_candidate *c = &mp->candidate;
    struct entry *found = c->found;
    uint32_t count = c->found_count;
    uint64_t most = count + (log_last(l) + 1 - u64_min(c->first, log_last(l) + 1));
    uint32_t k = 0;
    c->found_capacity = (uint32_t) u64_max(most, 1);
    c->found = xcalloc(c->found_capacity, sizeof *c->found);
    c->found_count = 0;
    for (uint64_t i = c->first; i <= log_last(l); i++) {
        struct entry entry;
        while (k < count && found[k].index <= i) {
            c->found[c->found_count++] = found[k++]; /* its reference moves along */
        }
        if (log_entry(l, i, &entry) == OK) {
            found_put(mp, &entry);
        }
    }
    while (k < count) {
        c->found[c->found_count++] = found[k++];
    }
    free(found);
}

void mp_on_promise(struct multipaxos *mp, const struct message *m)
{
    struct engine *e = &mp->e;
    struct mp_candidate *c = &mp->candidate;
    int rank = mp_rank(mp, m->from);
    learner_note_commit(&mp->learner, e, m);
    if (c->stage != MP_PREPARING || m->epoch != c->ballot || m->pos.index != c->next[rank] ||
        (c->yes & bit_of(rank)) != 0) {
        return; /* of another ballot, or a page that we have */
    }
    for (uint32_t k = 0; k < m->entries_count; k++) {
        const struct entry *entry = &m->entries[k];
        if (entry->index >= c->first && entry->epoch != 0 && entry->value != NULL) {
            found_put(mp, entry);
        }
    }
    c->chosen_to = u64_max(c->chosen_to, m->commit);
    if (m->hint.index > m->pos.index || !timer_candidate_own(&e->options)) {
        c->give_up_us = u64_max(c->give_up_us, e->now_us + e->options.election_us / 2);
    }
    if (m->hint.index > m->pos.index) {
        c->next[rank] = m->hint.index; /* a promise counts only when it is complete */
        send_prepare(mp, (uint32_t) rank);
        return;
    }
    c->yes |= bit_of(rank);
    /* P5 over restarts: our own promise of this ballot must be durable before any accept. */
    if (quorum_reached(&e->options.members, c->yes) && (c->yes & bit_of(e->self_rank)) != 0) {
        add_own_promise(mp);
        mp_lead(mp);
    }
}

/* Somebody promised a higher ballot than ours. */
void mp_on_higher(struct multipaxos *mp, uint64_t ballot, const char *why)
{
    uint64_t t = mp->e.options.election_us;
    note_round(mp, ballot);
    if (mp->role == ROLE_LEADER && ballot > mp->lead.ballot) {
        /* Not deposed yet: perhaps one node promised to a candidate that got nowhere. Ask again
         * soon, above that ballot; who follows us will agree. */
        engine_mark(&mp->e, MARK_MULTIPAXOS_LEADER_NACKED);
        mp_step_down(mp, why);
        mp_election_in(mp, 0, mp->e.options.heartbeat_us);
    } else if (mp->candidate.stage == MP_PREPARING && ballot > mp->candidate.ballot) {
        mp_step_down(mp, why);
        mp->election_us = mp->e.now_us + candidate_wait(mp, t / 4, t / 2);
    }
}

void mp_candidate_tick(struct multipaxos *mp)
{
    struct engine *e = &mp->e;
    struct mp_candidate *c = &mp->candidate;
    uint64_t t = e->options.election_us;
    if (c->stage == MP_ASKING && e->now_us >= c->give_up_us) {
        mp_stand(mp); /* costs nothing and raises no ballot: again at once */
    } else if (c->stage == MP_PREPARING && e->now_us >= c->give_up_us) {
        mp_step_down(mp, "no quorum of promises");
        if (timer_candidate_own(&e->options)) {
            mp_stand(mp); /* it has waited as long as it was told to */
            return;
        }
        mp->election_us = e->now_us + candidate_wait(mp, t / 4, t / 2);
    } else if (c->stage == MP_PREPARING && e->now_us >= c->resend_us) {
        c->resend_us = e->now_us + e->options.resend_us;
        for (uint32_t r = 0; r < e->options.members.count; r++) {
            if ((c->yes & bit_of((int) r)) == 0) {
                send_prepare(mp, r);
            }
        }
    }
}

uint64_t mp_candidate_deadline(const struct multipaxos *mp)
{
    const struct mp_candidate *c = &mp->candidate;
    if (c->stage == MP_IDLE) {
        return UINT64_MAX;
    }
    return c->stage == MP_ASKING ? c->give_up_us : u64_min(c->give_up_us, c->resend_us);
}

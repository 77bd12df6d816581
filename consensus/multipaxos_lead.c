/*
 * multipaxos_lead.c - phase 2 by the distinguished proposer (Paxos Made Simple 3).
 *
 *     trimmed ... commit | learn_to | first ......... barrier | ......... next
 *        chosen, applied   to learn   brought up by phase 1     new proposals
 *
 * Slots up to learn_to are chosen, somebody said so with its promise; they are asked for, not
 * proposed. From there to the barrier each slot gets the value that phase 1 found, or a no-op (P8);
 * new proposals go behind. Accepts leave at once and in any number up to inflight_max, are answered
 * out of order, and are repeated to those who did not answer. The leader's own accept is written
 * like anybody's and counted when its message to itself comes back (P14).
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/multipaxos.h"

enum {
    ADOPT_MESSAGES = 4,  /* full messages' worth of old slots that are brought up at a time */
    ADOPT_OVERHEAD = 64, /* what a slot counts there beside its payload */
};

static struct mp_pending *pending_at(const struct multipaxos *mp, uint64_t index)
{
    ASSERT(index >= mp->lead.first);
    ASSERT(index < mp->lead.next);
    return &mp->lead.ring[index & mp->lead.mask];
}

void mp_lead_clear(struct multipaxos *mp)
{
    free(mp->lead.ring);
    mp->lead = (struct mp_leader){0};
}

/* The fresh pending record of slot `next`. */
static struct mp_pending *pending_push(struct mp_leader *lead)
{
    if (lead->ring == NULL || lead->next - lead->first > lead->mask) {
        uint64_t size = lead->ring == NULL ? 64 : (lead->mask + 1) * 2;
        struct mp_pending *ring = xcalloc(size, sizeof *ring);
        for (uint64_t i = lead->first; i < lead->next; i++) {
            ring[i & (size - 1)] = lead->ring[i & lead->mask];
        }
        free(lead->ring);
        lead->ring = ring;
        lead->mask = size - 1;
    }
    struct mp_pending *p = &lead->ring[lead->next & lead->mask];
    *p = (struct mp_pending){0};
    lead->next++;
    return p;
}

/* Proposes `value` for slot `next`; there is room in the log. Sent with this turn's flush. */
static void place(struct multipaxos *mp, struct value *value)
{
    struct engine *e = &mp->e;
    struct mp_leader *lead = &mp->lead;
    const struct entry entry = {lead->next, lead->ballot, value};
    struct mp_pending *p = pending_push(lead);
    p->sent_us = e->now_us;
    e->flush_wanted = true;
    switch (acceptor_accept(&mp->acceptor, e, &entry)) {
    case ACCEPTOR_YES:
        engine_trace(e, (struct trace_event){.kind = TRACE_PROPOSE,
                                             .epoch = entry.epoch,
                                             .index = entry.index,
                                             .hash = value->crc});
        return;
    case ACCEPTOR_CHOSEN:
        engine_mark(e, MARK_MULTIPAXOS_PLACED_IS_CHOSEN);
        p->chosen = true; /* learned out of order meanwhile */
        return;
    case ACCEPTOR_HIGHER:
    case ACCEPTOR_FULL:
        break;
    }
    UNREACHABLE(); /* we lead as long as nothing higher is promised, and room was looked for */
}

/* The slot is one of those brought up again. */
static void count_adopted(struct multipaxos *mp, uint64_t index, const struct value *value)
{
    struct mp_pending *p = pending_at(mp, index);
    p->adopted = ADOPT_OVERHEAD + value->bytes.size;
    mp->lead.adopting += p->adopted;
}

/* P8: all slots from the first not chosen to the highest that the quorum of promises showed. A log
 * full of them would hold up heartbeats, and look lost to resend: so many at a time as are chosen
 * meanwhile. */
static void adopt(struct multipaxos *mp)
{
    struct engine *e = &mp->e;
    struct mp_leader *lead = &mp->lead;
    const struct mp_candidate *c = &mp->candidate;
    uint64_t window = ADOPT_MESSAGES * (uint64_t) e->options.message_bytes_max;
    while (lead->next <= lead->barrier && log_has_room(e->log, lead->next) &&
           lead->adopting < window) {
        uint64_t index = lead->next;
        while (lead->found_next < c->found_count && c->found[lead->found_next].index < index) {
            lead->found_next++;
        }
        if (lead->found_next < c->found_count && c->found[lead->found_next].index == index) {
            engine_mark(e, MARK_MULTIPAXOS_VALUE_ADOPTED);
            place(mp, c->found[lead->found_next].value);
            count_adopted(mp, index, c->found[lead->found_next].value);
            continue;
        }
        /* "proposing a special no-op command that leaves the state unchanged" (section 3) */
        struct value *noop = value_new_noop();
        engine_mark(e, MARK_MULTIPAXOS_GAP_NOOP);
        place(mp, noop);
        count_adopted(mp, index, noop);
        value_unref(noop);
        engine_trace(e, (struct trace_event){.kind = TRACE_GAP_FILLED,
                                             .epoch = lead->ballot,
                                             .index = index});
    }
    if (lead->next > lead->barrier) {
        mp_candidate_clear(mp); /* all is in our log now */
    }
}

/* Phase 1 is complete: lead. */
void mp_lead(struct multipaxos *mp)
{
    struct engine *e = &mp->e;
    const struct mp_candidate *c = &mp->candidate;
    struct mp_leader *lead = &mp->lead;
    ASSERT(c->ballot == mp->acceptor.promised_all);
    mp_lead_clear(mp);
    lead->ballot = c->ballot;
    lead->learn_to = u64_max(c->chosen_to, log_commit(e->log));
    lead->first = lead->learn_to + 1;
    lead->next = lead->first;
    lead->unsent = lead->first;
    uint64_t top = c->found_count == 0 ? 0 : c->found[c->found_count - 1].index;
    lead->barrier = u64_max(top, lead->learn_to);
    mp->hub.since_us = 0;
    lead->resend_us = e->now_us + e->options.resend_us;
    lead->progress_us = e->now_us;
    lead->progress_commit = log_commit(e->log);
    for (uint32_t r = 0; r < e->options.members.count; r++) {
        lead->acked[r] = lead->learn_to;
        lead->moved_us[r] = e->now_us;
    }
    mp->candidate.stage = MP_IDLE; /* `found` stays until it is adopted */
    mp->role = ROLE_LEADER;
    mp->view = (struct mp_view){e->options.self, lead->ballot, e->now_us, true, 0};
    mp->led_by = e->options.self;
    mp->leader_changes++;
    mp->candidate.tries = 0;
    engine_trace(e, (struct trace_event){.kind = TRACE_BECAME_LEADER,
                                         .epoch = lead->ballot,
                                         .index = log_last(e->log)});
    adopt(mp);
    mp_send_heartbeats(mp);
}

bool mp_lead_room(const struct multipaxos *mp)
{
    const struct mp_leader *lead = &mp->lead;
    return mp->role == ROLE_LEADER && lead->next > lead->barrier &&
           lead->next - lead->first < mp->e.options.inflight_max &&
           log_has_room(mp->e.log, lead->next);
}

void mp_lead_propose(struct multipaxos *mp, struct value *value)
{
    ASSERT(mp_lead_room(mp));
    place(mp, value);
}

static void accept_send(struct multipaxos *mp, struct message *m, uint32_t rank)
{
    m->commit = log_commit(mp->e.log);
    mp->lead.told[rank] = m->commit;
    engine_send_now(&mp->e, m);
}

/* Sends peer `rank` the undecided slots of [from, to) that it did not accept and that were sent
 * before `before_us` (or never). */
struct send_range {
    uint64_t from;
    uint64_t to;
    uint64_t before_us;
};

static void send_accepts(struct multipaxos *mp, uint32_t rank, struct send_range range)
{
    struct engine *e = &mp->e;
    struct mp_leader *lead = &mp->lead;
    struct message *m = NULL;
    uint64_t before_us = range.before_us;
    for (uint64_t i = u64_max(range.from, lead->first); i < range.to; i++) {
        const struct mp_pending *p = pending_at(mp, i);
        const struct slot *s = log_slot(e->log, i);
        if (p->chosen || (p->acks & (UINT64_C(1) << rank)) != 0 || p->sent_us > before_us ||
            s == NULL || s->epoch != lead->ballot) {
            continue;
        }
        if (m != NULL && m->bytes + s->value->bytes.size > e->options.message_bytes_max) {
            accept_send(mp, m, rank);
            m = NULL;
        }
        if (m == NULL) {
            m = message_new(MSG_PAXOS_ACCEPT, e->options.members.ids[rank]);
            m->epoch = lead->ballot;
            m->pos.index = i;
        }
        const struct entry entry = {i, s->epoch, s->value};
        message_add_entry(m, &entry);
        m->last = i;
    }
    if (m != NULL) {
        accept_send(mp, m, rank);
    }
}

/* A peer too far behind what it was sent learns what is chosen instead (learner.c). */
static bool keeps_up(const struct multipaxos *mp, uint32_t rank)
{
    const struct mp_leader *lead = &mp->lead;
    uint64_t at = u64_max(lead->acked[rank], mp->learner.peer_commit[rank]);
    at = u64_max(at, lead->barrier); /* what phase 1 brought up nobody can learn yet */
    return lead->next - 1 <= at + 2 * (uint64_t) mp->e.options.inflight_max;
}

/* Our own accepts are in this turn's write: they are counted when it is durable. */
static void answer_self(struct multipaxos *mp)
{
    struct mp_leader *lead = &mp->lead;
    struct message *m = NULL;
    for (uint64_t i = u64_max(lead->unsent, lead->first); i < lead->next; i++) {
        if (pending_at(mp, i)->chosen) {
            continue; /* learned, not accepted under this ballot */
        }
        if (m == NULL || m->last + 1 != i) {
            if (m != NULL) {
                engine_send_after_write(&mp->e, m);
            }
            m = message_new(MSG_PAXOS_ACCEPTED, mp->e.options.self);
            m->epoch = lead->ballot;
            m->pos.index = i;
        }
        m->last = i;
    }
    if (m != NULL) {
        engine_send_after_write(&mp->e, m);
    }
    lead->unsent = lead->next;
}

/* The accepts of this turn, one message a peer, and the commit index where no accept carries it. */
void mp_lead_flush(struct multipaxos *mp)
{
    struct engine *e = &mp->e;
    struct mp_leader *lead = &mp->lead;
    adopt(mp);
    uint64_t commit = log_commit(e->log);
    for (uint32_t r = 0; r < e->options.members.count; r++) {
        if ((int) r == e->self_rank || !reach_heard(e, r)) {
            continue;
        }
        if (lead->unsent < lead->next && keeps_up(mp, r)) {
            send_accepts(mp, r, (struct send_range){lead->unsent, lead->next, e->now_us});
        }
        if (lead->told[r] < commit) {
            struct message *m = message_new(MSG_PAXOS_CHOSEN, e->options.members.ids[r]);
            m->epoch = lead->ballot;
            m->commit = commit;
            lead->told[r] = commit;
            engine_send_now(e, m);
        }
    }
    answer_self(mp);
}

/* The pending window follows what is chosen. */
static void pop_chosen(struct multipaxos *mp)
{
    struct mp_leader *lead = &mp->lead;
    while (lead->first < lead->next &&
           (lead->first <= log_commit(mp->e.log) || pending_at(mp, lead->first)->chosen)) {
        lead->adopting -= pending_at(mp, lead->first)->adopted;
        lead->first++;
    }
}

void mp_on_accepted(struct multipaxos *mp, const struct message *m)
{
    struct engine *e = &mp->e;
    struct mp_leader *lead = &mp->lead;
    int rank = mp_rank(mp, m->from);
    learner_note_commit(&mp->learner, e, m);
    if (mp->role != ROLE_LEADER || m->epoch != lead->ballot || lead->first == lead->next) {
        return;
    }
    uint64_t last = u64_min(m->last, lead->next - 1);
    lead->acked[rank] = u64_max(lead->acked[rank], last);
    lead->moved_us[rank] = e->now_us;
    for (uint64_t i = u64_max(m->pos.index, lead->first); i <= last; i++) {
        struct mp_pending *p = pending_at(mp, i);
        p->acks |= UINT64_C(1) << rank;
        /* "accepted by a majority of acceptors": chosen. */
        if (!p->chosen && quorum_reached(&e->options.members, p->acks)) {
            const struct slot *s = log_slot(e->log, i);
            p->chosen = true;
            if (s != NULL && s->state == SLOT_ACCEPTED) {
                ASSERT(s->epoch == lead->ballot);
                const struct entry entry = {i, s->epoch, s->value};
                learner_choose(&mp->learner, e, &entry);
            }
            e->flush_wanted = true; /* the commit notice */
        }
    }
    pop_chosen(mp);
}

static void resend(struct multipaxos *mp)
{
    struct engine *e = &mp->e;
    struct mp_leader *lead = &mp->lead;
    uint64_t before = e->now_us - u64_min(e->now_us, e->options.resend_us);
    for (uint64_t i = lead->first; i < lead->next; i++) {
        const struct slot *s = log_slot(e->log, i);
        if (s == NULL || s->state == SLOT_CHOSEN) {
            pending_at(mp, i)->chosen = true; /* learned meanwhile */
        }
    }
    pop_chosen(mp);
    for (uint32_t r = 0; r < e->options.members.count; r++) {
        if ((int) r != e->self_rank && reach_heard(e, r)) {
            /* From one that moves, what is above its newest answer is on its way. */
            bool moves = lead->moved_us[r] > before;
            uint64_t to = moves ? u64_min(lead->acked[r], lead->next) : lead->next;
            send_accepts(mp, r, (struct send_range){lead->first, to, before});
        }
    }
    for (uint64_t i = lead->first; i < lead->next; i++) {
        struct mp_pending *p = pending_at(mp, i);
        p->sent_us = p->sent_us <= before ? e->now_us : p->sent_us;
    }
}

/* In a chain 1 - 2 - 3 whoever leads at an end cuts off the other end. True: it does not lead any
 * more. */
static bool left_for_hub(struct multipaxos *mp)
{
    struct engine *e = &mp->e;
    if (!e->options.quorum_connected || e->now_us < mp->lead.hub_us) {
        return false;
    }
    mp->lead.hub_us = e->now_us + e->options.heartbeat_us;
    uint32_t hub = reach_hub(&mp->hub, mp->reach.seen, e);
    if (hub == 0) {
        return false;
    }
    engine_mark(e, MARK_HUB_TRANSFER);
    mp_hand_over(mp, hub, "better connected, handing over");
    return true;
}

void mp_lead_tick(struct multipaxos *mp)
{
    struct engine *e = &mp->e;
    struct mp_leader *lead = &mp->lead;
    const struct consensus_options *o = &e->options;
    if (left_for_hub(mp)) {
        return;
    }
    if (o->check_quorum && !reach_quorum(&mp->reach, &mp->e)) {
        engine_mark(e, MARK_MULTIPAXOS_NO_QUORUM_HEARD);
        mp_step_down(mp, "hears no quorum");
        return;
    }
    if (engine_write_age(e) > o->disk_stuck_us) {
        engine_mark(e, MARK_MULTIPAXOS_DISK_STUCK);
        mp_step_down(mp, "disk stuck");
        return;
    }
    uint64_t commit = log_commit(e->log);
    if (commit != lead->progress_commit || commit >= lead->learn_to ||
        !log_has_room(e->log, commit + 1)) {
        lead->progress_commit = commit;
        lead->progress_us = e->now_us;
    } else if (e->now_us - lead->progress_us > 2 * o->election_us) {
        /* Who knew these slots to be chosen is gone. A new phase 1 asks those who are here. */
        mp_step_down(mp, "cannot learn what is chosen");
        return;
    }
    if (lead->next <= lead->barrier) {
        e->flush_wanted = true;
    }
    if (e->now_us >= lead->resend_us) {
        lead->resend_us = e->now_us + o->resend_us / 2;
        resend(mp);
    }
}

uint64_t mp_lead_deadline(const struct multipaxos *mp)
{
    return mp->lead.first < mp->lead.next ? mp->lead.resend_us : UINT64_MAX;
}

/*
 * paxos_round.c - the proposer of Basic Paxos (Paxos Made Simple 2.2), for several slots at a time.
 *
 *     queue --slot--> PREPARE --quorum--> ACCEPT --quorum--> chosen, told to all
 *       ^               |                   |  ^
 *       |  refused, not bound               |  quorum refused
 *       +---------------+                   v  |  new ballot: PREPARE again
 *       ^                                BACKOFF
 *       +--- the slot was chosen with another value: displaced
 *
 * A value of ours is *bound* to a slot from the first accept that carries it: from then on it may
 * be chosen there, by us or by whoever finishes the slot. So it keeps its slot until the slot is
 * known to be chosen, and only if that was another value does it get a new one. Before that it is
 * free: a proposer that meets a higher ballot in phase 1 leaves the slot to the other and takes the
 * next one, which ends most duels before they begin. Those that remain (two accepts against each
 * other) end by a random back-off that doubles (section 2.4).
 *
 * Ballots (P7): rounds are reserved in blocks by the hard state's epoch; a prepare with a round
 * that is not yet durably reserved leaves after the write. So no later life uses a number again,
 * and no round costs a write of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/paxos.h"

enum {
    ROUNDS_RESERVED = 1024, /* per write of the hard state */
    HOPS_FREE = 2,          /* slots given up in a row before the queue pauses */
    DOUBLINGS_MAX = 20,
};

static uint64_t rank_bit(const struct paxos *px, const struct message *m)
{
    int rank = membership_rank(&px->e.options.members, m->from);
    ASSERT(rank >= 0);
    return UINT64_C(1) << rank;
}

static bool value_same(const struct value *a, const struct value *b)
{
    return a == b || (a->kind == b->kind && a->crc == b->crc && a->count == b->count &&
                      bytes_equal(a->bytes, b->bytes));
}

static bool slot_chosen(const struct paxos *px, uint64_t index)
{
    const struct slot *s = log_slot(px->e.log, index);
    return index <= log_commit(px->e.log) || (s != NULL && s->state == SLOT_CHOSEN);
}

/* Random, growing (2.4: progress needs a single proposer for long enough). */
static uint64_t backoff(struct paxos *px, uint32_t lost)
{
    const struct consensus_options *o = &px->e.options;
    uint32_t doublings = lost < DOUBLINGS_MAX ? lost : DOUBLINGS_MAX;
    uint64_t limit = u64_min(o->backoff_max_us, o->backoff_min_us << doublings);
    return 1 + rng_below(&px->e.rng, limit);
}

/* A ballot of ours with at least this round, reserved by the write of this turn at the latest. */
static uint64_t new_ballot(struct paxos *px, uint64_t round)
{
    px->round = u64_max(px->round, round);
    if (px->round + ROUNDS_RESERVED / 2 > ballot_round(px->hard_epoch)) {
        px->hard_epoch = ballot_make(px->round + ROUNDS_RESERVED, px->e.options.self);
    }
    uint64_t ballot = ballot_make(px->round, px->e.options.self);
    px->highest = u64_max(px->highest, ballot);
    return ballot;
}

/* The queue of values without a slot. */

static void queue_insert(struct paxos *px, uint32_t at, struct value *value)
{
    if (px->queue_count == px->queue_capacity) {
        px->queue_capacity = px->queue_capacity == 0 ? 16 : px->queue_capacity * 2;
        px->queue = xrealloc(px->queue, px->queue_capacity * sizeof(struct value *));
    }
    memmove(&px->queue[at + 1], &px->queue[at], (px->queue_count - at) * sizeof(struct value *));
    px->queue[at] = value_ref(value);
    px->queue_count++;
    px->e.flush_wanted = true;
}

void px_queue_push(struct paxos *px, struct value *value)
{
    queue_insert(px, px->queue_count, value);
}

/* Values of ours that are not known to be chosen. */
uint32_t px_own_count(const struct paxos *px)
{
    uint32_t count = px->queue_count;
    for (uint32_t i = 0; i < px->rounds_count; i++) {
        count += px->rounds[i]->own != NULL && !px->rounds[i]->done ? 1 : 0;
    }
    return count;
}

/* The round's own value lost its slot and wants another. */
static void displace(struct paxos *px, struct px_round *r)
{
    engine_mark(&px->e, r->bound ? MARK_PAXOS_DISPLACED_SENT : MARK_PAXOS_DISPLACED_UNSENT);
    engine_trace(&px->e, (struct trace_event){.kind = TRACE_DISPLACED,
                                              .epoch = r->ballot,
                                              .index = r->index,
                                              .hash = r->own->crc});
    px->displaced++;
    queue_insert(px, 0, r->own);
    value_unref(r->own);
    r->own = NULL;
    r->bound = false;
}

/* The rounds. */

/* Position of the first round at or above this slot. */
static uint32_t rounds_from(const struct paxos *px, uint64_t index)
{
    uint32_t lo = 0;
    uint32_t hi = px->rounds_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (px->rounds[mid]->index < index) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static bool round_exists(const struct paxos *px, uint64_t index)
{
    uint32_t at = rounds_from(px, index);
    return at < px->rounds_count && px->rounds[at]->index == index;
}

static void round_free(struct px_round *r)
{
    value_unref(r->found);
    value_unref(r->own);
    value_unref(r->value);
    free(r);
}

void px_rounds_free(struct paxos *px)
{
    for (uint32_t i = 0; i < px->rounds_count; i++) {
        round_free(px->rounds[i]);
    }
    for (uint32_t i = 0; i < px->queue_count; i++) {
        value_unref(px->queue[i]);
    }
    free(px->rounds);
    free(px->queue);
    free(px->notices);
}

static void prepare(struct paxos *px, struct px_round *r, uint64_t ballot)
{
    value_unref(r->found);
    value_unref(r->value);
    r->found = NULL;
    r->value = NULL;
    r->found_ballot = 0;
    r->yes = 0;
    r->no = 0;
    r->phase = PX_PREPARE;
    r->ballot = ballot;
    r->unsent = true;
    r->due_us = px->e.now_us + px->e.options.resend_us;
    px->elections++;
    px->e.flush_wanted = true;
}

/* Takes the reference to `own` (NULL: finish the slot, whatever is in it). */
static void round_start(struct paxos *px, uint64_t index, uint64_t ballot, struct value *own)
{
    ASSERT(!round_exists(px, index));
    if (px->rounds_count == px->rounds_capacity) {
        px->rounds_capacity = px->rounds_capacity == 0 ? 16 : px->rounds_capacity * 2;
        px->rounds = xrealloc(px->rounds, px->rounds_capacity * sizeof(struct px_round *));
    }
    struct px_round *r = xcalloc(1, sizeof *r);
    r->index = index;
    r->own = own;
    uint32_t at = rounds_from(px, index);
    memmove(&px->rounds[at + 1], &px->rounds[at],
            (px->rounds_count - at) * sizeof(struct px_round *));
    px->rounds[at] = r;
    px->rounds_count++;
    prepare(px, r, ballot);
}

/* The lowest slot not known to be chosen or busy; 0 when the log has no room for one. Slots passed
 * over are not looked at again: whoever is busy there finishes them, or px_repair does. */
static uint64_t free_slot(struct paxos *px)
{
    const struct log *l = px->e.log;
    uint64_t known = u64_max(log_commit(l), learner_known_commit(&px->learner, &px->e));
    uint64_t i = u64_max(px->cursor, known + 1);
    for (;; i++) {
        if (!log_has_room(l, i)) {
            return 0;
        }
        const struct slot *s = log_slot(l, i);
        bool busy =
            s != NULL && (s->state != SLOT_EMPTY ||
                          (s->promised != 0 && ballot_node(s->promised) != px->e.options.self));
        if (!busy && !round_exists(px, i)) {
            break;
        }
    }
    px->cursor = i + 1;
    return i;
}

void px_start_queued(struct paxos *px)
{
    uint32_t started = 0;
    if (px->e.now_us < px->hold_us || !px_connected(px)) {
        return;
    }
    while (started < px->queue_count && px->rounds_count < px->e.options.inflight_max) {
        uint64_t index = free_slot(px);
        if (index == 0) {
            break;
        }
        round_start(px, index, new_ballot(px, px->round), px->queue[started]);
        started++;
    }
    if (started == 0) {
        return;
    }
    px->queue_count -= started;
    memmove(px->queue, px->queue + started, px->queue_count * sizeof(struct value *));
}

void px_repair(struct paxos *px, uint64_t first, uint64_t last)
{
    /* Above whatever left these slots unfinished; one for all, so that they share messages. */
    uint64_t ballot = 0;
    for (uint64_t i = first; i <= last; i++) {
        if (px->rounds_count >= px->e.options.inflight_max || !log_has_room(px->e.log, i)) {
            return;
        }
        if (!slot_chosen(px, i) && !round_exists(px, i)) {
            ballot = ballot != 0 ? ballot : new_ballot(px, px->round + 1);
            round_start(px, i, ballot, NULL);
            /* P5: a value of ours never comes here under the ballot that carries a no-op. */
            px->cursor = u64_max(px->cursor, i + 1);
        }
    }
}

/* Sending. */

static void send_all(struct paxos *px, struct message *m)
{
    m->commit = log_commit(px->e.log);
    m->to = px->e.options.self;
    if (ballot_round(m->epoch) <= px->reserved) {
        engine_broadcast_now(&px->e, m);
        engine_send_now(&px->e, m); /* our own acceptor is asked like the others */
    } else {
        engine_broadcast_after_write(&px->e, m);
        engine_send_after_write(&px->e, m);
    }
}

/* Requests of a turn that go well together travel in one message: prepares of neighbouring slots,
 * accepts of any slots, under one ballot. */
struct px_outgoing {
    struct message *prepare;
    struct message *accept;
};

static void add_prepare(struct paxos *px, struct px_outgoing *out, const struct px_round *r)
{
    struct message *m = out->prepare;
    if (m != NULL && m->epoch == r->ballot && m->last + 1 == r->index) {
        m->last = r->index;
        return;
    }
    if (m != NULL) {
        send_all(px, m);
    }
    m = message_new(MSG_PAXOS_PREPARE, px->e.options.self);
    m->epoch = r->ballot;
    m->pos.index = r->index;
    m->last = r->index;
    out->prepare = m;
}

static void add_accept(struct paxos *px, struct px_outgoing *out, const struct px_round *r)
{
    struct message *m = out->accept;
    uint64_t size = r->value->bytes.size;
    if (m != NULL && (m->epoch != r->ballot || m->bytes + size > px->e.options.message_bytes_max)) {
        send_all(px, m);
        m = NULL;
    }
    if (m == NULL) {
        m = message_new(MSG_PAXOS_ACCEPT, px->e.options.self);
        m->epoch = r->ballot;
        m->pos.index = r->index;
    }
    const struct entry entry = {r->index, r->ballot, r->value};
    message_add_entry(m, &entry);
    m->last = r->index;
    out->accept = m;
}

static void send_value(struct paxos *px, uint32_t rank, uint64_t index)
{
    struct entry entry;
    if (log_entry(px->e.log, index, &entry) == OK) {
        struct message *m = message_new(MSG_PAXOS_CHOSEN, px->e.options.members.ids[rank]);
        m->commit = log_commit(px->e.log);
        message_add_entry(m, &entry);
        engine_send_now(&px->e, m);
    }
}

/* 2.3: the learners are told. Who accepted under this ballot needs no value; who refused does. */
static void send_notices(struct paxos *px)
{
    struct engine *e = &px->e;
    uint32_t i = 0;
    while (i < px->notices_count) {
        const struct px_notice *n = &px->notices[i];
        uint32_t k = i + 1;
        while (k < px->notices_count && px->notices[k].ballot == n->ballot &&
               px->notices[k].index == px->notices[k - 1].index + 1) {
            k++;
        }
        struct message *m = message_new(MSG_PAXOS_CHOSEN, e->options.self);
        m->epoch = n->ballot;
        m->pos.index = n->index;
        m->last = px->notices[k - 1].index;
        m->commit = log_commit(e->log);
        engine_broadcast_now(e, m);
        message_free(m);
        i = k;
    }
    for (i = 0; i < px->notices_count; i++) {
        for (uint32_t r = 0; r < e->options.members.count; r++) {
            if ((int) r != e->self_rank && (px->notices[i].lack & (UINT64_C(1) << r)) != 0) {
                send_value(px, r, px->notices[i].index);
            }
        }
    }
    px->notices_count = 0;
}

void px_rounds_flush(struct paxos *px)
{
    struct px_outgoing out = {NULL, NULL};
    px_start_queued(px);
    for (uint32_t i = 0; i < px->rounds_count; i++) {
        struct px_round *r = px->rounds[i];
        if (!r->unsent || r->done) {
            continue;
        }
        r->unsent = false;
        if (r->phase == PX_PREPARE) {
            add_prepare(px, &out, r);
        } else if (r->phase == PX_ACCEPT) {
            add_accept(px, &out, r);
        }
    }
    if (out.prepare != NULL) {
        send_all(px, out.prepare);
    }
    if (out.accept != NULL) {
        send_all(px, out.accept);
    }
    send_notices(px);
}

/* Answers. */

/* Phase 2a. P2c: the value of the highest-numbered proposal among the promises; if there is none,
 * any: ours, or a no-op when we only came to finish the slot (P8). */
static void begin_accept(struct paxos *px, struct px_round *r)
{
    struct engine *e = &px->e;
    if (r->found != NULL && r->own != NULL && !r->bound) {
        displace(px, r); /* never sent for this slot: free to go elsewhere at once */
    }
    if (r->found != NULL) {
        engine_mark(e, MARK_PAXOS_VALUE_ADOPTED);
        r->value = value_ref(r->found);
    } else if (r->own != NULL) {
        r->value = value_ref(r->own);
        r->bound = true;
        px->hops = 0;
    } else {
        r->value = value_new_noop();
        engine_mark(e, MARK_PAXOS_GAP_NOOP);
        engine_trace(e, (struct trace_event){.kind = TRACE_GAP_FILLED,
                                             .epoch = r->ballot,
                                             .index = r->index});
    }
    r->phase = PX_ACCEPT;
    r->yes = 0;
    r->no = 0;
    r->unsent = true;
    r->due_us = e->now_us + e->options.resend_us;
    e->flush_wanted = true;
    engine_trace(e, (struct trace_event){.kind = TRACE_PROPOSE,
                                         .epoch = r->ballot,
                                         .index = r->index,
                                         .hash = r->value->crc});
}

void px_on_promise(struct paxos *px, const struct message *m)
{
    uint64_t bit = rank_bit(px, m);
    uint32_t k = 0;
    for (uint32_t i = rounds_from(px, m->pos.index); i < px->rounds_count; i++) {
        struct px_round *r = px->rounds[i];
        if (r->index > m->last) {
            break;
        }
        while (k < m->entries_count && m->entries[k].index < r->index) {
            k++;
        }
        if (r->phase != PX_PREPARE || r->ballot != m->epoch || r->done) {
            continue;
        }
        r->yes |= bit;
        if (k < m->entries_count && m->entries[k].index == r->index &&
            m->entries[k].epoch > r->found_ballot) {
            if (r->found != NULL) {
                engine_mark(&px->e, MARK_PAXOS_VALUE_OF_HIGHER_BALLOT);
            }
            value_unref(r->found);
            r->found = value_ref(m->entries[k].value);
            r->found_ballot = m->entries[k].epoch;
        }
        if (quorum_reached(&px->e.options.members, r->yes)) {
            begin_accept(px, r);
        }
    }
}

static void note_chosen(struct paxos *px, struct px_round *r)
{
    if (px->notices_count == px->notices_capacity) {
        px->notices_capacity = px->notices_capacity == 0 ? 16 : px->notices_capacity * 2;
        px->notices = xrealloc(px->notices, px->notices_capacity * sizeof *px->notices);
    }
    px->notices[px->notices_count++] =
        (struct px_notice){.index = r->index, .ballot = r->ballot, .lack = r->no};
    px->e.flush_wanted = true;
    const struct entry entry = {r->index, r->ballot, r->value};
    learner_choose(&px->learner, &px->e, &entry);
}

void px_on_accepted(struct paxos *px, const struct message *m)
{
    uint64_t bit = rank_bit(px, m);
    for (uint32_t i = rounds_from(px, m->pos.index); i < px->rounds_count; i++) {
        struct px_round *r = px->rounds[i];
        if (r->index > m->last) {
            break;
        }
        if (r->phase != PX_ACCEPT || r->ballot != m->epoch || r->done) {
            continue;
        }
        r->yes |= bit;
        if (quorum_reached(&px->e.options.members, r->yes) && !slot_chosen(px, r->index)) {
            note_chosen(px, r);
        }
    }
}

static void lost_duel(struct paxos *px, struct px_round *r)
{
    if (r->own != NULL && r->bound) {
        engine_mark(&px->e, MARK_PAXOS_DUEL_BACKOFF);
        r->phase = PX_BACKOFF;
        r->due_us = px->e.now_us + backoff(px, r->duels);
        r->duels++;
        return;
    }
    r->done = true; /* the other one finishes the slot; if not, px_repair will */
    if (r->own != NULL) {
        displace(px, r);
        px->hops++;
        if (px->hops > HOPS_FREE) {
            px->hold_us = px->e.now_us + backoff(px, px->hops - HOPS_FREE);
        }
    }
}

void px_on_nack(struct paxos *px, const struct message *m)
{
    const struct membership *members = &px->e.options.members;
    uint64_t all = members->count == 64 ? UINT64_MAX : (UINT64_C(1) << members->count) - 1;
    uint64_t bit = rank_bit(px, m);
    px->round = u64_max(px->round, ballot_round(m->hint.epoch));
    for (uint32_t i = rounds_from(px, m->pos.index); i < px->rounds_count; i++) {
        struct px_round *r = px->rounds[i];
        if (r->index > m->last) {
            break;
        }
        if (r->ballot != m->epoch || r->done || r->phase == PX_BACKOFF) {
            continue;
        }
        r->no |= bit;
        /* In phase 1 the first refusal shows that another is at work here. In phase 2 we go on as
         * long as a quorum may still accept, and until it is time to ask again. */
        if (r->phase == PX_PREPARE || !quorum_reached(members, all & ~r->no)) {
            lost_duel(px, r);
        }
    }
}

/* Time, and tidying up. */

void px_rounds_tick(struct paxos *px)
{
    for (uint32_t i = 0; i < px->rounds_count; i++) {
        struct px_round *r = px->rounds[i];
        if (r->done || px->e.now_us < r->due_us) {
            continue;
        }
        if (!px_connected(px)) {
            engine_mark(&px->e, MARK_PAXOS_UNCONNECTED);
            r->due_us = px->e.now_us + px->e.options.resend_us;
            continue;
        }
        if (r->phase == PX_BACKOFF) {
            prepare(px, r, new_ballot(px, px->round + 1));
            continue;
        }
        if (r->phase == PX_ACCEPT && r->no != 0) {
            lost_duel(px, r); /* those who did not refuse had their time: they may be down */
            continue;
        }
        r->due_us = px->e.now_us + px->e.options.resend_us;
        r->unsent = true;
        px->e.flush_wanted = true;
    }
    if (px->queue_count > 0 && px->e.now_us >= px->hold_us) {
        px->e.flush_wanted = true;
    }
}

/* The slot is chosen: was it with our value? */
static void round_finish(struct paxos *px, struct px_round *r)
{
    const struct slot *s = log_slot(px->e.log, r->index);
    r->done = true;
    if (r->own == NULL) {
        return;
    }
    if (r->bound && s != NULL && value_same(s->value, r->own)) {
        return;
    }
    displace(px, r);
}

void px_rounds_settle(struct paxos *px)
{
    bool chosen =
        px->chosen_seen != px->learner.chosen_count || px->commit_seen != log_commit(px->e.log);
    px->chosen_seen = px->learner.chosen_count;
    px->commit_seen = log_commit(px->e.log);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < px->rounds_count; i++) {
        struct px_round *r = px->rounds[i];
        if (chosen && !r->done && slot_chosen(px, r->index)) {
            round_finish(px, r);
        }
        if (r->done) {
            round_free(r);
        } else {
            px->rounds[kept++] = r;
        }
    }
    px->rounds_count = kept;
    /* Room in the log or among the rounds may have come. */
    px->e.flush_wanted =
        px->e.flush_wanted || (px->queue_count > 0 && chosen && px->e.now_us >= px->hold_us);
}

uint64_t px_rounds_deadline(const struct paxos *px)
{
    uint64_t due = UINT64_MAX;
    for (uint32_t i = 0; i < px->rounds_count; i++) {
        due = u64_min(due, px->rounds[i]->due_us);
    }
    return px->queue_count > 0 && px->hold_us > px->e.now_us ? u64_min(due, px->hold_us) : due;
}

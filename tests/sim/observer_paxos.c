/*
 * observer_paxos.c - acceptors and learners of both Paxos engines from outside (P1-P5, P7, P14).
 *
 * A slot is chosen when a quorum has accepted one ballot durably, at one time or another. An
 * acceptor that accepts two ballots in one turn writes the second alone; the first counts as well,
 * because what it would have had to say in a later phase 1 the second says (P2b).
 *
 * Entries that a node writes without accepting them (no trace) are learned: they must be chosen,
 * and may stand below a promise (learner.h).
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/sim/observer_internal.h"

struct obs_mark *observer_mark(struct obs_node *n, uint64_t index)
{
    if (index >= n->marks_size) {
        uint64_t size = u64_max(1024, 2 * index);
        n->marks = xrealloc(n->marks, size * sizeof(*n->marks));
        memset(n->marks + n->marks_size, 0, (size - n->marks_size) * sizeof(*n->marks));
        n->marks_size = size;
    }
    return &n->marks[index];
}

static bool is_multi(const struct observer *o)
{
    return o->engine == ENGINE_MULTIPAXOS;
}

static bool is_chosen(const struct observer *o, uint64_t index, uint32_t crc)
{
    return index < o->places_size && o->places[index].chosen && o->places[index].chosen_crc == crc;
}

/* P5: one value for each slot and ballot. */
struct obs_record *observer_content(struct observer *o, const struct obs_node *n,
                                    struct log_pos pos, uint32_t crc)
{
    struct obs_record *r = observer_record(o, pos.index, pos.epoch);
    if (r->valued && r->crc != crc) {
        observer_fail(
            o, "P5", "node %u has value %08x at index %llu under ballot %llx, which has value %08x",
            n->id, crc, (unsigned long long) pos.index, (unsigned long long) pos.epoch, r->crc);
        return NULL;
    }
    r->valued = true;
    r->crc = crc;
    return r;
}

/* What is chosen. */

/* P1. */
static void choose(struct observer *o, const struct obs_node *n, uint64_t index,
                   const struct obs_record *r)
{
    struct obs_place *p = observer_place(o, index);
    if (p->chosen && p->chosen_crc != r->crc) {
        observer_fail(o, "P1",
                      "index %llu: value %08x is chosen under ballot %llx, the last of a quorum is "
                      "node %u; value %08x was chosen under ballot %llx",
                      (unsigned long long) index, r->crc, (unsigned long long) r->epoch, n->id,
                      p->chosen_crc, (unsigned long long) p->chosen_epoch);
        return;
    }
    p->chosen_epoch = p->chosen ? u64_min(p->chosen_epoch, r->epoch) : r->epoch;
    p->chosen_crc = r->crc;
    p->chosen = true;
    while (o->chosen_prefix + 1 < o->places_size && o->places[o->chosen_prefix + 1].chosen) {
        o->chosen_prefix++;
    }
}

static void durable(struct observer *o, const struct obs_node *n, uint64_t index,
                    struct obs_record *r)
{
    uint16_t bit = (uint16_t) (1u << (n->id - 1));
    if (r == NULL || !r->valued || (r->durable & bit) != 0) {
        return;
    }
    r->durable |= bit;
    if ((uint32_t) __builtin_popcount(r->durable) == o->quorum) {
        choose(o, n, index, r);
    }
}

/* What an acceptor says, to its trace. */

static void on_accept(struct observer *o, struct obs_node *n, const struct trace_event *e)
{
    struct obs_mark *mark = observer_mark(n, e->index);
    const struct obs_slot *s = observer_slot(&n->handed, e->index);
    uint64_t promised = u64_max(u64_max(mark->promise, s->promise), mark->accept);
    promised = u64_max(u64_max(promised, s->epoch), is_multi(o) ? n->promised : 0);
    if (e->epoch < promised) {
        observer_fail(o, n->restored ? "D9" : "P4",
                      "node %u accepts ballot %llx at index %llu, having promised %llx", n->id,
                      (unsigned long long) e->epoch, (unsigned long long) e->index,
                      (unsigned long long) promised);
        return;
    }
    if (e->epoch > mark->accept) {
        mark->accept_before = mark->accept;
        mark->accept = e->epoch;
    }
    (void) observer_content(o, n, (struct log_pos){e->index, e->epoch}, (uint32_t) e->hash);
}

static void on_promise(struct observer *o, struct obs_node *n, const struct trace_event *e)
{
    uint64_t *promised = is_multi(o) ? &n->promised : &observer_mark(n, e->index)->promise;
    if (e->epoch < *promised) {
        observer_fail(o, "P4", "node %u promises ballot %llx at index %llu after %llx", n->id,
                      (unsigned long long) e->epoch, (unsigned long long) e->index,
                      (unsigned long long) *promised);
    }
    *promised = e->epoch;
    if (!is_multi(o) && ballot_node(e->epoch) == n->id) {
        observer_promised_own(o, n, (struct log_pos){e->index, e->epoch});
    }
}

/* P3. */
static void check_chosen(struct observer *o, const struct obs_node *n, uint64_t index, uint32_t crc)
{
    if (!is_chosen(o, index, crc)) {
        bool other = index < o->places_size && o->places[index].chosen;
        observer_fail(o, "P3", "node %u takes value %08x to be chosen at index %llu; %s", n->id,
                      crc, (unsigned long long) index,
                      other ? "another one is" : "none is on a quorum");
    }
}

static void on_commit(struct observer *o, struct obs_node *n, uint64_t index)
{
    if (index <= n->commit) {
        observer_fail(o, "P8", "node %u moved commit from %llu to %llu", n->id,
                      (unsigned long long) n->commit, (unsigned long long) index);
    } else if (index > o->chosen_prefix) {
        observer_fail(o, "P3", "node %u committed index %llu; chosen without a gap are %llu", n->id,
                      (unsigned long long) index, (unsigned long long) o->chosen_prefix);
    }
    if (!o->failed) {
        observer_note_commit(o, n, index);
    }
}

/* R12: did a leader fall, or did it step down by itself? */
static bool voluntary(const char *why)
{
    static const char *const own[] = {"transfer", "hears no quorum", "disk stuck",
                                      "cannot learn what is chosen"};
    for (size_t i = 0; why != NULL && i < ARRAY_SIZE(own); i++) {
        if (strcmp(why, own[i]) == 0) {
            return true;
        }
    }
    return false;
}

void observer_paxos_trace(struct observer *o, struct obs_node *n, const struct trace_event *e)
{
    if (e->index > OBSERVER_INDEX_MAX) {
        observer_fail(o, "P3", "node %u speaks of index %llu", n->id,
                      (unsigned long long) e->index);
        return;
    }
    switch (e->kind) {
    case TRACE_ACCEPT:
        on_accept(o, n, e);
        break;
    case TRACE_PROMISE:
        on_promise(o, n, e);
        break;
    case TRACE_PROPOSE:
        observer_proposed(o, n, (struct log_pos){e->index, e->epoch}, (uint32_t) e->hash);
        break;
    case TRACE_CHOSEN:
        check_chosen(o, n, e->index, (uint32_t) e->hash);
        break;
    case TRACE_COMMIT:
        on_commit(o, n, e->index);
        break;
    case TRACE_BECAME_LEADER:
        observer_led(o, n, e);
        break;
    case TRACE_STEP_DOWN:
        o->deposed += n->leader && !voluntary(e->note) ? 1 : 0;
        n->leader = false;
        break;
    case TRACE_BECAME_FOLLOWER:
    case TRACE_BECAME_CANDIDATE:
    case TRACE_START:
        n->leader = false;
        break;
    default:
        break;
    }
}

/* Writes. */

/* P4: nothing below a promise, but what is chosen. `hard` is the state before this write: what one
 * turn promised after it accepted stands in the same write. */
static void handed_entry(struct observer *o, struct obs_node *n, const struct hard_state *hard,
                         const struct entry *entry)
{
    if (entry->index <= n->handed.trimmed) {
        return;
    }
    struct obs_slot *s = observer_slot_at(&n->handed, entry->index);
    struct obs_mark *mark = observer_mark(n, entry->index);
    const struct log_pos pos = {entry->index, entry->epoch};
    struct obs_record *r = observer_content(o, n, pos, entry->value->crc);
    if (r == NULL) {
        return;
    }
    observer_walk(o, r, n, entry);
    bool accepted = mark->accept == entry->epoch || mark->accept_before == entry->epoch;
    uint64_t promised = u64_max(s->promise, s->epoch);
    promised = u64_max(promised, is_multi(o) ? hard->epoch : 0);
    if (!accepted) {
        check_chosen(o, n, entry->index, entry->value->crc);
    } else if (entry->epoch < promised && !is_chosen(o, entry->index, entry->value->crc)) {
        observer_fail(o, "P4", "node %u writes ballot %llx at index %llu, having promised %llx",
                      n->id, (unsigned long long) entry->epoch, (unsigned long long) entry->index,
                      (unsigned long long) promised);
    } else if (is_multi(o) && n->handed.hard.epoch < entry->epoch) {
        observer_fail(o, "P4", "node %u accepts ballot %llx at index %llu and promises %llx only",
                      n->id, (unsigned long long) entry->epoch, (unsigned long long) entry->index,
                      (unsigned long long) n->handed.hard.epoch);
    }
    s->epoch = entry->epoch;
    s->crc = entry->value->crc;
    n->handed.last = u64_max(n->handed.last, entry->index);
}

void observer_paxos_handed(struct observer *o, struct obs_node *n, const struct log_write *w)
{
    const struct hard_state before = n->handed.hard;
    if (w->hard_set) {
        if (w->hard.epoch < before.epoch) {
            observer_fail(o, is_multi(o) ? "P4" : "P7", "node %u writes ballot %llx after %llx",
                          n->id, (unsigned long long) w->hard.epoch,
                          (unsigned long long) before.epoch);
        }
        n->handed.hard = w->hard;
        n->promised = u64_max(n->promised, w->hard.epoch);
    }
    if (w->truncate_from != 0) {
        observer_fail(o, "P4", "node %u cuts its log from index %llu on", n->id,
                      (unsigned long long) w->truncate_from);
    }
    for (uint32_t i = 0; i < w->entries_count && !o->failed; i++) {
        handed_entry(o, n, &before, &w->entries[i]);
    }
    for (uint32_t i = 0; i < w->promises_count && !o->failed; i++) {
        const struct slot_promise *p = &w->promises[i];
        struct obs_slot *s = observer_slot_at(&n->handed, p->index);
        if (p->ballot < s->promise) {
            observer_fail(o, "P4", "node %u writes promise %llx at index %llu after %llx", n->id,
                          (unsigned long long) p->ballot, (unsigned long long) p->index,
                          (unsigned long long) s->promise);
        }
        s->promise = p->ballot;
    }
}

void observer_paxos_synced(struct observer *o, struct obs_node *n, const struct log_write *w)
{
    observer_image_write(o, &n->synced, w);
    for (uint32_t i = 0; i < w->entries_count && !o->failed; i++) {
        const struct entry *entry = &w->entries[i];
        const struct obs_mark *mark = observer_mark(n, entry->index);
        durable(o, n, entry->index, observer_record_find(o, entry->index, entry->epoch));
        if (mark->accept == entry->epoch && mark->accept_before != 0) {
            durable(o, n, entry->index, observer_record_find(o, entry->index, mark->accept_before));
        }
    }
}

void observer_paxos_recovered(struct observer *o, struct obs_node *n,
                              const struct logstore_recovery *recovery)
{
    /* What was only said to the trace is forgotten; what was told to others is not. An entry found
     * counts as accepted, learned or not: a node that has forgotten that it is chosen says so. */
    for (uint64_t i = 0; i < n->marks_size; i++) {
        struct obs_mark *mark = &n->marks[i];
        mark->accept = observer_slot(&n->synced, i)->epoch;
        mark->accept_before = 0;
        mark->promise = 0;
    }
    for (uint32_t i = 0; i < recovery->entries_count; i++) {
        observer_mark(n, recovery->entries[i].index)->accept = recovery->entries[i].epoch;
    }
    n->promised = recovery->hard.epoch;
    n->used_before = u64_max(n->used_before, n->used);
    n->used = 0;
    for (uint32_t i = 0; i < recovery->entries_count && !o->failed; i++) {
        const struct entry *entry = &recovery->entries[i];
        const struct log_pos pos = {entry->index, entry->epoch};
        durable(o, n, entry->index, observer_content(o, n, pos, entry->value->crc));
    }
}

/* Messages. */

/* P7: a ballot is its owner's, was not used by an earlier life, and is reserved durably. */
static void check_ballot(struct observer *o, struct obs_node *n, const struct message *m)
{
    uint64_t durable_epoch = n->synced.hard.epoch;
    bool reserved = is_multi(o) ? m->epoch <= durable_epoch
                                : ballot_round(m->epoch) <= ballot_round(durable_epoch);
    if (ballot_node(m->epoch) != n->id) {
        observer_fail(o, "P7", "node %u sends %s under ballot %llx of node %u", n->id,
                      message_name(m->type), (unsigned long long) m->epoch, ballot_node(m->epoch));
    } else if (m->epoch <= n->used_before) {
        observer_fail(o, n->restored ? "D9" : "P7",
                      "node %u sends %s under ballot %llx; an earlier life used %llx", n->id,
                      message_name(m->type), (unsigned long long) m->epoch,
                      (unsigned long long) n->used_before);
    } else if (!reserved) {
        observer_fail(o, "P7", "node %u sends %s under ballot %llx; reserved durably is %llx",
                      n->id, message_name(m->type), (unsigned long long) m->epoch,
                      (unsigned long long) durable_epoch);
    }
    n->used = u64_max(n->used, m->epoch);
}

static void accept_sent(struct observer *o, struct obs_node *n, const struct message *m)
{
    check_ballot(o, n, m);
    for (uint32_t i = 0; i < m->entries_count && !o->failed; i++) {
        const struct entry *entry = &m->entries[i];
        const struct log_pos pos = {entry->index, m->epoch};
        observer_proposed(o, n, pos, entry->value->crc);
    }
}

/* P14: durable, this ballot or a higher one. */
static void accepted_sent(struct observer *o, struct obs_node *n, const struct message *m)
{
    for (uint64_t i = m->pos.index; i <= m->last && !o->failed; i++) {
        const struct obs_slot *s = observer_slot(&n->synced, i);
        if (i <= n->synced.trimmed) {
            continue;
        }
        if (s->epoch < m->epoch) {
            observer_fail(
                o, "P14",
                "node %u told node %u that it accepted ballot %llx at index %llu; durable is "
                "%llx",
                n->id, m->to, (unsigned long long) m->epoch, (unsigned long long) i,
                (unsigned long long) s->epoch);
            return;
        }
        struct obs_mark *mark = observer_mark(n, i);
        uint64_t *sent = is_multi(o) ? &n->sent : &mark->sent;
        if (m->epoch < *sent && m->to != n->id) {
            observer_fail(
                o, n->restored ? "D9" : "P4",
                "node %u told node %u that it accepted ballot %llx at index %llu, after it "
                "promised %llx",
                n->id, m->to, (unsigned long long) m->epoch, (unsigned long long) i,
                (unsigned long long) *sent);
            return;
        }
        *sent = u64_max(*sent, m->epoch);
        durable(o, n, i, observer_record_find(o, i, m->epoch));
    }
}

/* P3: "chosen" is said of what is. */
static void chosen_sent(struct observer *o, struct obs_node *n, const struct message *m)
{
    for (uint32_t i = 0; i < m->entries_count && !o->failed; i++) {
        check_chosen(o, n, m->entries[i].index, m->entries[i].value->crc);
    }
    bool notice = m->type == MSG_PAXOS_CHOSEN && m->entries_count == 0 && m->pos.index != 0;
    for (uint64_t i = m->pos.index; notice && i <= m->last && !o->failed; i++) {
        if (i > OBSERVER_INDEX_MAX || !observer_place(o, i)->chosen) {
            observer_fail(o, "P3", "node %u says that index %llu is chosen under ballot %llx",
                          n->id, (unsigned long long) i, (unsigned long long) m->epoch);
        }
    }
}

void observer_paxos_send(struct observer *o, struct obs_node *n, const struct message *m)
{
    switch (m->type) {
    case MSG_PAXOS_PREPARE:
        check_ballot(o, n, m);
        break;
    case MSG_PAXOS_PROMISE:
        observer_promise_sent(o, n, m);
        break;
    case MSG_PAXOS_ACCEPT:
        accept_sent(o, n, m);
        break;
    case MSG_PAXOS_ACCEPTED:
        accepted_sent(o, n, m);
        break;
    case MSG_PAXOS_CHOSEN:
    case MSG_PAXOS_LEARN_REPLY:
        chosen_sent(o, n, m);
        break;
    default:
        break;
    }
}

/*
 * observer_phase1.c - what promises say, and which values they leave free (P4, P6-P8, P10, P14).
 *
 * A value v is safe for slot s under ballot b (Paxos Made Simple 2.2, P2c) when there is a quorum
 * of acceptors that have promised b and of which either none had accepted anything in s below b, or
 * v is the value of the highest such ballot. Which promises the proposer has received is not known
 * here, so any quorum of those that were sent will do; that is what makes v safe. Of its own
 * promise no message is needed: its log shows it.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/sim/observer_internal.h"

static bool is_multi(const struct observer *o)
{
    return o->engine == ENGINE_MULTIPAXOS;
}

static struct obs_ballot *ballot_at(struct observer *o, uint64_t ballot)
{
    struct obs_ballot *b = map_get(&o->ballots, ballot);
    if (b == NULL) {
        b = xcalloc(1, sizeof *b);
        int err = map_put(&o->ballots, ballot, b);
        ASSERT(err == OK); /* each costs a durable write of a node */
    }
    return b;
}

void observer_ballots_release(struct observer *o)
{
    size_t cursor = 0;
    void *value;
    while (map_next(&o->ballots, &cursor, NULL, &value)) {
        struct obs_ballot *b = value;
        for (uint32_t i = 0; i < OBSERVER_NODES_MAX; i++) {
            free(b->promises[i].found);
        }
        free(b);
    }
    map_release(&o->ballots);
}

/* Promises. */

/* The highest ballot below `ballot` that the node is known to have accepted in a slot. After it has
 * promised `ballot` it accepts nothing below, so this does not change any more. */
static uint64_t accepted_below(const struct obs_mark *mark, uint64_t ballot)
{
    if (mark->accept < ballot) {
        return mark->accept;
    }
    return mark->accept_before < ballot ? mark->accept_before : 0;
}

/* One slot of a promise. entry NULL: nothing accepted there, it says. */
static void check_slot(struct observer *o, struct obs_node *n, const struct message *m,
                       uint64_t index, const struct entry *entry)
{
    struct obs_mark *mark = observer_mark(n, index);
    const struct obs_slot *s = observer_slot(&n->synced, index);
    uint64_t told = entry == NULL ? 0 : entry->epoch;
    uint64_t accepted = accepted_below(mark, m->epoch);
    if (entry == NULL && index <= n->synced.trimmed) {
        observer_fail(
            o, "P10",
            "node %u promises ballot %llx and says nothing was accepted at index %llu, which "
            "was chosen and is trimmed",
            n->id, (unsigned long long) m->epoch, (unsigned long long) index);
        return;
    }
    if (accepted > told) {
        bool chosen = index < o->places_size && o->places[index].chosen;
        observer_fail(o, chosen ? "P10" : "P6",
                      "node %u promises ballot %llx and tells of ballot %llx at index %llu; it "
                      "accepted %llx%s",
                      n->id, (unsigned long long) m->epoch, (unsigned long long) told,
                      (unsigned long long) index, (unsigned long long) accepted,
                      chosen ? ", and the slot is chosen" : "");
        return;
    }
    if (entry == NULL || index <= n->synced.trimmed) {
        return;
    }
    if (s->epoch < told) {
        observer_fail(
            o, "P14",
            "node %u tells with its promise of %llx of ballot %llx at index %llu before that "
            "is durable",
            n->id, (unsigned long long) m->epoch, (unsigned long long) told,
            (unsigned long long) index);
        return;
    }
    (void) observer_content(o, n, (struct log_pos){index, told}, entry->value->crc);
}

/* P4, P14 of a promise for a slot, or for all (index 0). */
static void check_word(struct observer *o, struct obs_node *n, const struct message *m,
                       uint64_t index)
{
    const struct obs_slot *s = observer_slot(&n->synced, index);
    uint64_t durable = index == 0 ? n->synced.hard.epoch : u64_max(s->promise, s->epoch);
    uint64_t *sent = index == 0 ? &n->sent : &observer_mark(n, index)->sent;
    if (index != 0 && index <= n->synced.trimmed) {
        return;
    }
    if (durable < m->epoch) {
        observer_fail(
            o, "P14",
            "node %u told node %u its promise of ballot %llx at index %llu; durable is %llx", n->id,
            m->to, (unsigned long long) m->epoch, (unsigned long long) u64_max(index, m->pos.index),
            (unsigned long long) durable);
        return;
    }
    if (m->to == n->id) {
        return; /* may come here later than those to others that were made after it */
    }
    if (m->epoch < *sent) {
        observer_fail(o, n->restored ? "D9" : "P4",
                      "node %u told node %u its promise of ballot %llx at index %llu after %llx",
                      n->id, m->to, (unsigned long long) m->epoch,
                      (unsigned long long) u64_max(index, m->pos.index),
                      (unsigned long long) *sent);
        return;
    }
    *sent = m->epoch;
}

/* Multi-Paxos: a page of a promise. The first account of a slot stands: what comes later can differ
 * only in what was learned meanwhile. */
static void keep_page(struct observer *o, const struct obs_node *n, const struct message *m)
{
    struct obs_promise *p = &ballot_at(o, m->epoch)->promises[n->id - 1];
    uint64_t to = m->hint.index == 0 ? UINT64_MAX : m->hint.index;
    if (p->from == 0) {
        p->from = m->pos.index;
        p->to = m->pos.index;
    }
    p->commit = u64_max(p->commit, m->commit);
    p->top = u64_max(p->top, m->commit);
    if (m->pos.index > p->to || to <= p->to) {
        return;
    }
    for (uint32_t i = 0; i < m->entries_count; i++) {
        const struct entry *entry = &m->entries[i];
        p->top = u64_max(p->top, entry->index);
        if (entry->index < p->to || entry->epoch >= m->epoch) {
            continue;
        }
        if (p->count == p->capacity) {
            p->capacity = p->capacity == 0 ? 16 : 2 * p->capacity;
            p->found = xrealloc(p->found, p->capacity * sizeof(*p->found));
        }
        p->found[p->count++] = (struct obs_found){entry->index, entry->epoch, entry->value->crc};
    }
    p->to = to;
}

static void keep_slot(struct observer *o, const struct obs_node *n, const struct message *m,
                      uint64_t index, const struct entry *entry)
{
    struct obs_report *r = observer_report(o, observer_record(o, index, m->epoch), n->id);
    if (!r->given) {
        bool below = entry != NULL && entry->epoch < m->epoch;
        *r = (struct obs_report){below ? entry->epoch : 0, below ? entry->value->crc : 0, true};
    }
}

void observer_promise_sent(struct observer *o, struct obs_node *n, const struct message *m)
{
    uint64_t first = m->pos.index;
    uint64_t last = m->last;
    if (is_multi(o)) {
        check_word(o, n, m, 0);
        if (m->to == n->id) {
            return; /* a candidate looks into its own log itself */
        }
        last = m->hint.index != 0 ? m->hint.index - 1 : u64_max(n->synced.last, n->handed.last);
        if (m->entries_count > 0) {
            last = u64_max(last, m->entries[m->entries_count - 1].index);
        }
        first = u64_max(first, m->commit + 1); /* below: chosen, it says */
    }
    uint32_t k = 0;
    for (uint64_t i = first; i <= last && i <= OBSERVER_INDEX_MAX && !o->failed; i++) {
        while (k < m->entries_count && m->entries[k].index < i) {
            k++;
        }
        bool given = k < m->entries_count && m->entries[k].index == i;
        const struct entry *entry = given ? &m->entries[k] : NULL;
        if (!is_multi(o)) {
            check_word(o, n, m, i);
        }
        check_slot(o, n, m, i, entry);
        if (!is_multi(o) && m->to != n->id) {
            keep_slot(o, n, m, i, entry);
        }
    }
    if (is_multi(o)) {
        keep_page(o, n, m);
    }
}

/* Proposals. */

static struct obs_report found_at(const struct obs_promise *p, uint64_t index)
{
    uint32_t low = 0;
    uint32_t high = p->count;
    if (p->from == 0 || index < p->from || index >= p->to || index <= p->commit) {
        return (struct obs_report){0};
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->found[middle].index < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < p->count && p->found[low].index == index) {
        return (struct obs_report){p->found[low].epoch, p->found[low].crc, true};
    }
    return (struct obs_report){.given = true};
}

/* What the node's own acceptor has accepted below a ballot. */
static struct obs_report own_below(const struct observer *o, struct obs_node *n, struct log_pos pos)
{
    uint64_t epoch = accepted_below(observer_mark(n, pos.index), pos.epoch);
    const struct obs_record *r = observer_record_find(o, pos.index, epoch);
    bool some = epoch != 0 && r != NULL;
    return (struct obs_report){some ? epoch : 0, some ? r->crc : 0, true};
}

void observer_promised_own(struct observer *o, struct obs_node *n, struct log_pos pos)
{
    *observer_report(o, observer_record(o, pos.index, pos.epoch), n->id) = own_below(o, n, pos);
}

/* What the proposer's own acceptor has to say: its promise must be durable (P14). */
static struct obs_report own_report(const struct observer *o, struct obs_node *n,
                                    struct log_pos pos)
{
    const struct obs_slot *s = observer_slot(&n->synced, pos.index);
    const struct obs_record *r = observer_record_find(o, pos.index, pos.epoch);
    uint64_t promised = is_multi(o) ? n->synced.hard.epoch : u64_max(s->promise, s->epoch);
    if (promised < pos.epoch) {
        return (struct obs_report){0};
    }
    if (r != NULL && r->reports != NULL && r->reports[n->id - 1].given) {
        return r->reports[n->id - 1];
    }
    return own_below(o, n, pos);
}

/* How far a value is safe. */
struct safety {
    uint32_t promised; /* promises */
    bool free;         /* a quorum had accepted nothing */
    bool bound;        /* the value is that of the highest ballot of a quorum */
};

static struct safety judge(struct observer *o, struct obs_node *n, struct log_pos pos, uint32_t crc)
{
    struct obs_report reports[OBSERVER_NODES_MAX];
    struct safety result = {0};
    uint32_t none = 0;
    const struct obs_ballot *b = is_multi(o) ? ballot_at(o, pos.epoch) : NULL;
    const struct obs_record *r = observer_record_find(o, pos.index, pos.epoch);
    uint32_t count = o->options.nodes;
    for (uint32_t i = 0; i < count; i++) {
        if (i + 1 == n->id) {
            reports[i] = own_report(o, n, pos);
        } else if (b != NULL) {
            reports[i] = found_at(&b->promises[i], pos.index);
        } else {
            reports[i] = r == NULL || r->reports == NULL ? (struct obs_report){0} : r->reports[i];
        }
        result.promised += reports[i].given ? 1 : 0;
        none += reports[i].given && reports[i].epoch == 0 ? 1 : 0;
    }
    result.free = none >= o->quorum;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t below = 0;
        if (!reports[i].given || reports[i].epoch == 0 || reports[i].crc != crc) {
            continue;
        }
        for (uint32_t k = 0; k < count; k++) {
            below += reports[k].given && reports[k].epoch <= reports[i].epoch ? 1 : 0;
        }
        result.bound = result.bound || below >= o->quorum;
    }
    return result;
}

/* P6, and of a new leader P8: what fills a gap is a no-op. */
static void check_safe(struct observer *o, struct obs_node *n, struct log_pos pos, uint32_t crc)
{
    const struct obs_place *p = observer_place(o, pos.index);
    if (p->chosen && p->chosen_crc == crc) {
        return;
    }
    if (p->chosen && p->chosen_epoch < pos.epoch) {
        observer_fail(o, "P6",
                      "node %u proposes value %08x at index %llu under ballot %llx; %08x is chosen "
                      "under ballot %llx",
                      n->id, crc, (unsigned long long) pos.index, (unsigned long long) pos.epoch,
                      p->chosen_crc, (unsigned long long) p->chosen_epoch);
        return;
    }
    struct safety s = judge(o, n, pos, crc);
    if (s.promised < o->quorum || (!s.free && !s.bound)) {
        observer_fail(
            o, "P6",
            "node %u proposes value %08x at index %llu under ballot %llx; of %u promises for "
            "it no quorum allows that",
            n->id, crc, (unsigned long long) pos.index, (unsigned long long) pos.epoch, s.promised);
    } else if (is_multi(o) && !s.bound && pos.index <= n->barrier && crc != o->noop_crc) {
        observer_fail(
            o, "P8",
            "leader %u of ballot %llx fills the gap at index %llu, below %llu which a quorum "
            "told of, with value %08x",
            n->id, (unsigned long long) pos.epoch, (unsigned long long) pos.index,
            (unsigned long long) n->barrier, crc);
    }
}

/* P8: no slot is passed over but what is chosen. */
static void check_no_gap(struct observer *o, struct obs_node *n, struct log_pos pos)
{
    uint64_t i = u64_max(n->proposed, o->chosen_prefix) + 1;
    for (; i < pos.index; i++) {
        if (!observer_place(o, i)->chosen) {
            observer_fail(
                o, "P8",
                "leader %u of ballot %llx proposes index %llu; index %llu is neither chosen "
                "nor proposed",
                n->id, (unsigned long long) pos.epoch, (unsigned long long) pos.index,
                (unsigned long long) i);
            return;
        }
    }
    n->proposed = u64_max(n->proposed, pos.index);
}

void observer_proposed(struct observer *o, struct obs_node *n, struct log_pos pos, uint32_t crc)
{
    if (pos.index == 0 || pos.index > OBSERVER_INDEX_MAX || ballot_node(pos.epoch) != n->id) {
        observer_fail(o, "P7", "node %u proposes at index %llu under ballot %llx of node %u", n->id,
                      (unsigned long long) pos.index, (unsigned long long) pos.epoch,
                      ballot_node(pos.epoch));
        return;
    }
    struct obs_record *r = observer_content(o, n, pos, crc);
    if (r == NULL || r->safe) {
        return;
    }
    r->safe = true;
    if (is_multi(o)) {
        if (!n->leader || n->lead_epoch != pos.epoch) {
            observer_fail(o, "P6",
                          "node %u proposes at index %llu under ballot %llx, not leading it", n->id,
                          (unsigned long long) pos.index, (unsigned long long) pos.epoch);
            return;
        }
        check_no_gap(o, n, pos);
    }
    if (!o->failed) {
        check_safe(o, n, pos, crc);
    }
}

/* The slot up to which a new leader surely has heard of something: whatever quorum it used, itself
 * and the least told of the others. */
static uint64_t barrier(const struct observer *o, const struct obs_node *n,
                        const struct obs_ballot *b, uint64_t own)
{
    uint64_t tops[OBSERVER_NODES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < o->options.nodes; i++) {
        const struct obs_promise *p = &b->promises[i];
        if (i + 1 == n->id || p->from == 0 || p->to != UINT64_MAX) {
            continue;
        }
        uint32_t at = count++;
        for (; at > 0 && tops[at - 1] > p->top; at--) {
            tops[at] = tops[at - 1];
        }
        tops[at] = p->top;
    }
    if (count + 1 < o->quorum) {
        return UINT64_MAX;
    }
    return o->quorum == 1 ? own : u64_max(own, tops[o->quorum - 2]);
}

void observer_led(struct observer *o, struct obs_node *n, const struct trace_event *e)
{
    if (ballot_node(e->epoch) != n->id) {
        observer_fail(o, "P7", "node %u leads under ballot %llx of node %u", n->id,
                      (unsigned long long) e->epoch, ballot_node(e->epoch));
        return;
    }
    if (n->synced.hard.epoch < e->epoch) {
        observer_fail(o, "P14",
                      "node %u leads under ballot %llx; its own promise that is durable is "
                      "%llx",
                      n->id, (unsigned long long) e->epoch,
                      (unsigned long long) n->synced.hard.epoch);
        return;
    }
    n->barrier = barrier(o, n, ballot_at(o, e->epoch), e->index);
    n->proposed = 0;
    if (n->barrier == UINT64_MAX) {
        observer_fail(o, "P6", "node %u leads under ballot %llx without a quorum of promises",
                      n->id, (unsigned long long) e->epoch);
        return;
    }
    (void) observer_note_leader(o, n, e->epoch); /* what is wrong was said */
}

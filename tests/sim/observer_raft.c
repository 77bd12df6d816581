/*
 * observer_raft.c - Raft from outside: one leader a term, logs that match, commit (R1-R7).
 *
 * What is chosen is found from the disks alone (head of observer_internal.h). The argument, for
 * entry (i, T) durable on a quorum Q, each member of it in term T when it stored it: a leader of a
 * later term got the vote of a member of Q, which had stored it before it left T; so by the up-to-
 * date rule and induction over terms that leader has it (Raft 5.4.3). It holds also when a member
 * of Q cuts the entry later, which then cannot happen before Q is complete.
 */
#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/sim/observer_internal.h"

/* Maps hold node ids as pointers: an id is not NULL. */
static void *id_pointer(uint32_t id)
{
    return (void *) (uintptr_t) id;
}

static uint32_t id_of(const struct map *m, uint64_t term)
{
    return (uint32_t) (uintptr_t) map_get(m, term);
}

/* R1: a node has one vote a term, whatever happens to it. */
static void note_vote(struct observer *o, struct obs_node *n, uint64_t term, uint32_t candidate)
{
    uint32_t had = id_of(&n->votes, term);
    if (had == 0) {
        ERR_IGNORE(map_put(&n->votes, term, id_pointer(candidate))); /* full: no more is checked */
    } else if (had != candidate) {
        observer_fail(o, n->restored ? "D9" : "R1",
                      "node %u voted for node %u in term %llu, after it voted for node %u", n->id,
                      candidate, (unsigned long long) term, had);
    }
}

/* Elections. */

/* R4: the new leader has all that was chosen in terms before its own. */
static void check_complete(struct observer *o, const struct obs_node *n)
{
    uint64_t i = o->chosen_prefix;
    while (i > 0 && o->places[i].chosen_by >= n->lead_epoch) {
        i--; /* a late winner of an old term need not know what came after */
    }
    if (i > 0 && !observer_holds(o, &n->handed, i)) {
        observer_fail(o, "R4", "node %u leads term %llu without index %llu, chosen in term %llu",
                      n->id, (unsigned long long) n->lead_epoch, (unsigned long long) i,
                      (unsigned long long) o->places[i].chosen_by);
    }
}

static void on_leader(struct observer *o, struct obs_node *n, const struct trace_event *e)
{
    const struct hard_state *own = &n->synced.hard;
    uint32_t votes = 1;
    if (own->epoch < e->epoch || (own->epoch == e->epoch && own->vote != n->id)) {
        observer_fail(o, "R6", "node %u became leader of term %llu before its own vote is durable",
                      n->id, (unsigned long long) e->epoch);
        return;
    }
    for (uint32_t i = 1; i <= o->options.nodes; i++) {
        votes += i != n->id && id_of(&o->nodes[i].granted, e->epoch) == n->id ? 1 : 0;
    }
    if (votes < o->quorum) {
        observer_fail(o, "R1", "node %u became leader of term %llu with %u votes of %u", n->id,
                      (unsigned long long) e->epoch, votes, o->options.nodes);
        return;
    }
    if (observer_note_leader(o, n, e->epoch)) {
        check_complete(o, n);
    }
}

/* Commit. */

/* R7: "only log entries from the leader's current term are committed by counting replicas". */
static void leader_commits(struct observer *o, const struct obs_node *n, uint64_t index)
{
    const struct obs_slot *s = observer_slot(&n->handed, index);
    if (s->epoch != n->lead_epoch) {
        observer_fail(o, "R7", "leader %u of term %llu committed index %llu of term %llu", n->id,
                      (unsigned long long) n->lead_epoch, (unsigned long long) index,
                      (unsigned long long) s->epoch);
    } else if (index > o->chosen_prefix || !observer_holds(o, &n->handed, index) ||
               !observer_on_quorum(o, index)) {
        observer_fail(
            o, "R7",
            "leader %u of term %llu committed index %llu, which is not durable on a quorum", n->id,
            (unsigned long long) n->lead_epoch, (unsigned long long) index);
    }
}

static void on_commit(struct observer *o, struct obs_node *n, uint64_t index)
{
    if (index <= n->commit) {
        observer_fail(o, "R7", "node %u moved commit from %llu to %llu", n->id,
                      (unsigned long long) n->commit, (unsigned long long) index);
        return;
    }
    if (n->leader) {
        leader_commits(o, n, index);
    } else if (index > o->committed) {
        observer_fail(o, "R7", "node %u committed index %llu; no leader went beyond %llu", n->id,
                      (unsigned long long) index, (unsigned long long) o->committed);
    }
    observer_note_commit(o, n, index);
}

static void note_term(struct observer *o, struct obs_node *n, uint64_t term)
{
    if (term < n->epoch) {
        observer_fail(o, "R7", "node %u went from term %llu to %llu", n->id,
                      (unsigned long long) n->epoch, (unsigned long long) term);
    }
    n->epoch = term;
}

void observer_raft_trace(struct observer *o, struct obs_node *n, const struct trace_event *e)
{
    switch (e->kind) {
    case TRACE_BECAME_LEADER:
        note_term(o, n, e->epoch);
        on_leader(o, n, e);
        break;
    case TRACE_BECAME_FOLLOWER:
        o->deposed += n->leader && e->epoch > n->lead_epoch ? 1 : 0;
        note_term(o, n, e->epoch);
        n->leader = false;
        break;
    case TRACE_BECAME_CANDIDATE: /* of a pre-vote: of the term to come */
    case TRACE_START:
        n->leader = false;
        break;
    case TRACE_TRUNCATE:
        if (n->leader) {
            observer_fail(o, "R2", "leader %u of term %llu cut its log from index %llu on", n->id,
                          (unsigned long long) n->lead_epoch, (unsigned long long) e->index);
        }
        n->cut_ok = true;
        break;
    case TRACE_COMMIT:
        on_commit(o, n, e->index);
        break;
    default:
        break;
    }
}

/* Writes. */

/* What is chosen is in the log of whoever makes others cut theirs (R4), so nobody does there. */
static void check_cut_chosen(struct observer *o, const struct obs_node *n,
                             const struct obs_image *image, uint64_t from)
{
    if (from <= o->chosen_prefix && observer_holds(o, image, from)) {
        observer_fail(o, n->restored ? "D9" : "R4",
                      "node %u cuts its log from index %llu on, where it holds what is chosen",
                      n->id, (unsigned long long) from);
    }
}

static void check_cut(struct observer *o, const struct obs_node *n, uint64_t from)
{
    if (n->leader && !n->cut_ok && from <= n->handed.last) {
        observer_fail(o, "R2", "leader %u of term %llu cuts its log from index %llu on", n->id,
                      (unsigned long long) n->lead_epoch, (unsigned long long) from);
    } else {
        check_cut_chosen(o, n, &n->handed, from);
    }
}

/* R3: the hash of the log up to this entry, from what is below it in the image. False: a hole. */
static bool chain(const struct observer *o, const struct obs_image *image,
                  const struct entry *entry, uint64_t *ret_hash)
{
    uint64_t before = 0;
    uint64_t index = entry->index - 1;
    if (index > 0 && index == image->trimmed) {
        ASSERT(index < o->places_size);
        before = o->places[index].chosen_hash;
    } else if (index > 0) {
        const struct obs_slot *s = observer_slot(image, index);
        if (s->epoch == 0) {
            return false;
        }
        before = s->hash;
    }
    *ret_hash = hash64_mix(hash64_mix(before, entry->epoch), entry->value->crc);
    return true;
}

/* The record of an entry that follows what the image holds; NULL after a violation. */
static struct obs_record *link_entry(struct observer *o, const struct obs_node *n,
                                     const struct obs_image *image, const struct entry *entry)
{
    uint64_t hash = 0;
    if (!chain(o, image, entry, &hash)) {
        observer_fail(o, "R3", "node %u has index %llu and nothing at the index before it", n->id,
                      (unsigned long long) entry->index);
        return NULL;
    }
    struct obs_record *r = observer_record(o, entry->index, entry->epoch);
    if (r->valued && r->hash != hash) {
        observer_fail(
            o, "R3",
            "node %u has index %llu of term %llu with another entry, or other ones before "
            "it, than some node had",
            n->id, (unsigned long long) entry->index, (unsigned long long) entry->epoch);
        return NULL;
    }
    r->valued = true;
    r->hash = hash;
    r->crc = entry->value->crc;
    return r;
}

static void handed_entry(struct observer *o, struct obs_node *n, const struct entry *entry)
{
    struct obs_image *image = &n->handed;
    if (entry->index <= image->trimmed) {
        return;
    }
    const struct obs_slot *had = observer_slot(image, entry->index);
    if (had->epoch != 0 && (had->epoch != entry->epoch || had->crc != entry->value->crc)) {
        observer_fail(o, n->leader ? "R2" : "R3",
                      "node %u overwrites index %llu of term %llu by one of term %llu", n->id,
                      (unsigned long long) entry->index, (unsigned long long) had->epoch,
                      (unsigned long long) entry->epoch);
        return;
    }
    struct obs_record *r = link_entry(o, n, image, entry);
    if (r == NULL) {
        return;
    }
    observer_walk(o, r, n, entry);
    struct obs_slot *s = observer_slot_at(image, entry->index);
    s->epoch = entry->epoch;
    s->crc = r->crc;
    s->hash = r->hash;
    image->last = u64_max(image->last, entry->index);
}

void observer_raft_handed(struct observer *o, struct obs_node *n, const struct log_write *w)
{
    struct hard_state *hard = &n->handed.hard;
    if (w->hard_set) {
        if (w->hard.epoch < hard->epoch) {
            observer_fail(o, "R7", "node %u writes term %llu after %llu", n->id,
                          (unsigned long long) w->hard.epoch, (unsigned long long) hard->epoch);
        }
        if (w->hard.epoch == hard->epoch && hard->vote != 0 && w->hard.vote != hard->vote) {
            observer_fail(o, "R1", "node %u changes its vote of term %llu from node %u to node %u",
                          n->id, (unsigned long long) hard->epoch, hard->vote, w->hard.vote);
        }
        *hard = w->hard;
    }
    if (w->truncate_from != 0) {
        const struct log_write cut = {.truncate_from = w->truncate_from};
        check_cut(o, n, w->truncate_from);
        observer_image_write(o, &n->handed, &cut);
        n->cut_ok = false;
    }
    for (uint32_t i = 0; i < w->entries_count && !o->failed; i++) {
        handed_entry(o, n, &w->entries[i]);
    }
}

/* All up to index is chosen, as the image has it. */
static void choose(struct observer *o, const struct obs_node *n, const struct obs_image *image,
                   struct log_pos pos)
{
    uint64_t i = pos.index;
    for (; i > o->chosen_prefix; i--) {
        const struct obs_slot *s = observer_slot(image, i);
        struct obs_place *p = observer_place(o, i);
        p->chosen = true;
        p->chosen_epoch = s->epoch;
        p->chosen_hash = s->hash;
        p->chosen_crc = s->crc;
        p->chosen_by = pos.epoch;
    }
    if (i > 0 && !observer_holds(o, image, i)) {
        observer_fail(o, "R5",
                      "index %llu of term %llu is durable on a quorum, the last of it node "
                      "%u; at index %llu another entry was chosen before",
                      (unsigned long long) pos.index, (unsigned long long) pos.epoch, n->id,
                      (unsigned long long) i);
        return;
    }
    o->chosen_prefix = u64_max(o->chosen_prefix, pos.index);
}

/* An entry became durable on a node that is in the entry's term. */
static void durable(struct observer *o, const struct obs_node *n, const struct obs_image *image,
                    struct log_pos pos)
{
    struct obs_record *r = observer_record_find(o, pos.index, pos.epoch);
    ASSERT(r != NULL);
    r->durable |= (uint16_t) (1u << (n->id - 1));
    if ((uint32_t) __builtin_popcount(r->durable) < o->quorum) {
        return;
    }
    if (pos.index > o->chosen_prefix) {
        choose(o, n, image, pos);
    } else if (o->places[pos.index].chosen_hash != r->hash) {
        observer_fail(o, "R5", "index %llu is chosen with term %llu, and was with term %llu before",
                      (unsigned long long) pos.index, (unsigned long long) pos.epoch,
                      (unsigned long long) o->places[pos.index].chosen_epoch);
    }
}

void observer_raft_synced(struct observer *o, struct obs_node *n, const struct log_write *w)
{
    struct obs_image *image = &n->synced;
    if (n->cut_from != 0 && n->cut_write <= n->told) {
        n->cut_from = 0; /* all answers of before the cut have left */
    }
    if (w->truncate_from != 0) {
        check_cut_chosen(o, n, image, w->truncate_from);
        n->cut_from = n->cut_from == 0 ? w->truncate_from : u64_min(n->cut_from, w->truncate_from);
        n->cut_write = w->id;
    }
    observer_image_write(o, image, w);
    if (image->hard.vote != 0) {
        note_vote(o, n, image->hard.epoch, image->hard.vote);
    }
    for (uint32_t i = 0; i < w->entries_count && !o->failed; i++) {
        const struct entry *entry = &w->entries[i];
        if (entry->epoch == image->hard.epoch && entry->index > image->trimmed) {
            durable(o, n, image, (struct log_pos){entry->index, entry->epoch});
        }
    }
}

void observer_raft_recovered(struct observer *o, struct obs_node *n,
                             const struct logstore_recovery *recovery, struct obs_image *found)
{
    n->cut_ok = false;
    n->cut_from = 0;
    if (found->trimmed > o->chosen_prefix) {
        return; /* recovered_sane says it */
    }
    for (uint32_t i = 0; i < recovery->entries_count && !o->failed; i++) {
        const struct entry *entry = &recovery->entries[i];
        struct obs_record *r = link_entry(o, n, found, entry);
        if (r != NULL) {
            observer_slot_at(found, entry->index)->hash = r->hash;
        }
    }
    /* What was under way at the crash and is here counts from now on. */
    for (uint32_t i = 0; i < recovery->entries_count && !o->failed; i++) {
        const struct entry *entry = &recovery->entries[i];
        if (entry->epoch == found->hard.epoch) {
            durable(o, n, found, (struct log_pos){entry->index, entry->epoch});
        }
    }
    if (found->hard.vote != 0 && !o->failed) {
        note_vote(o, n, found->hard.epoch, found->hard.vote);
    }
}

/* Messages. */

/* R6: the vote is durable, or the node can never vote in this term any more. */
static void vote_sent(struct observer *o, struct obs_node *n, const struct message *m)
{
    const struct hard_state *own = &n->synced.hard;
    if (own->epoch < m->epoch || (own->epoch == m->epoch && own->vote != m->to)) {
        observer_fail(o, "R6", "node %u told node %u its vote of term %llu before it is durable",
                      n->id, m->to, (unsigned long long) m->epoch);
        return;
    }
    note_vote(o, n, m->epoch, m->to);
    ERR_IGNORE(map_put(&n->granted, m->epoch, id_pointer(m->to))); /* said before, or full */
}

/* Will a write under way cut the log at or below this index? */
static bool cut_pending(const struct obs_node *n, uint64_t index)
{
    for (uint32_t i = 0; i < n->pending_count; i++) {
        const struct log_write *w = n->pending[n->pending_head + i];
        if (w->truncate_from != 0 && w->truncate_from <= index) {
            return true;
        }
    }
    return false;
}

/* R6: the log up to `last` is durable, and is the leader's. */
static void match_sent(struct observer *o, const struct obs_node *n, const struct message *m)
{
    const struct obs_image *image = &n->synced;
    if (m->last <= image->trimmed || image->hard.epoch > m->epoch) {
        return; /* chosen; or this was true when it was made, and nobody asks any more */
    }
    if (m->type == MSG_RAFT_HEARTBEAT_REPLY) { /* made in this turn */
        if (cut_pending(n, m->last)) {
            observer_fail(o, "R6",
                          "node %u told node %u that index %llu (term %llu) is durable, while "
                          "it cuts its log there",
                          n->id, m->to, (unsigned long long) m->last,
                          (unsigned long long) m->epoch);
            return;
        }
    } else if (n->cut_from != 0 && m->last >= n->cut_from) {
        return; /* made before the cut that became durable together with it (raft_fetch.c) */
    }
    const struct obs_slot *s = observer_slot(image, m->last);
    if (s->epoch == 0) {
        observer_fail(o, "R6",
                      "node %u told node %u in %s that index %llu (term %llu) is durable; "
                      "durable are %llu",
                      n->id, m->to, message_name(m->type), (unsigned long long) m->last,
                      (unsigned long long) m->epoch, (unsigned long long) image->last);
        return;
    }
    const struct obs_node *leader = observer_node(o, m->to);
    if (!leader->leader || leader->lead_epoch != m->epoch || m->last <= leader->handed.trimmed) {
        return;
    }
    const struct obs_slot *theirs = observer_slot(&leader->handed, m->last);
    if (theirs->hash != s->hash) {
        observer_fail(o, "R6",
                      "node %u told leader %u in %s that index %llu (term %llu) matches; it "
                      "has term %llu there, the leader %llu",
                      n->id, m->to, message_name(m->type), (unsigned long long) m->last,
                      (unsigned long long) m->epoch, (unsigned long long) s->epoch,
                      (unsigned long long) theirs->epoch);
    }
}

void observer_raft_send(struct observer *o, struct obs_node *n, const struct message *m)
{
    switch (m->type) {
    case MSG_RAFT_VOTE_REPLY:
        if (!m->reject) {
            vote_sent(o, n, m);
        }
        break;
    case MSG_RAFT_APPEND_REPLY:
    case MSG_RAFT_HEARTBEAT_REPLY:
        if (!m->reject) {
            match_sent(o, n, m);
        }
        break;
    default:
        break;
    }
}

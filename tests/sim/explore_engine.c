/*
 * explore_engine.c - what a state of an instance is made of: two instances with the same words do
 * the same from here on.
 *
 * This is the one place that looks into engines. A field that is left out here, and matters, would
 * make the search skip states; so structs are taken whole, with their padding, and only pointers,
 * capacities and figures that nobody reads are blanked out. (A pointer that is forgotten makes
 * equal states look different: slower, not wrong.) test_explore.c compares with options.histories,
 * which looks at nothing.
 *
 * The facade's own state (consensus.c) follows from what is here: after a take nothing is
 * collected; writes under way are ours to see, with the cuts of later ones; the newest hard state
 * is the last one handed out with the log's commit, because all engines write it on each commit.
 * The generator of random numbers is set back before each input (explore_node.c), so it is no
 * state.
 */
#include "base/assert.h"
#include "consensus/multipaxos.h"
#include "consensus/paxos.h"
#include "consensus/raft.h"
#include "tests/sim/explore_internal.h"

static void message_words(const struct ex_instance *i, const struct message *m, struct ex_words *w)
{
    ex_message_words(i->x, m, w);
}

void ex_message_words(const struct explorer *x, const struct message *m, struct ex_words *w)
{
    const uint64_t fixed[] = {
        (uint64_t) m->type | (uint64_t) m->reject << 8 | (uint64_t) m->from << 16 |
            (uint64_t) m->to << 32,
        m->epoch,
        m->pos.index,
        m->pos.epoch,
        m->last,
        m->commit,
        m->hint.index,
        m->hint.epoch,
        m->ctx,
        m->seen,
        m->write_age_us,
        m->applied,
        m->durable,
        m->hash_index,
        m->hash,
        m->revision,
        m->entries_count,
    };
    ex_words_raw(w, fixed, sizeof fixed);
    for (uint32_t k = 0; k < m->entries_count; k++) {
        ex_word(w, m->entries[k].index);
        ex_word(w, m->entries[k].epoch);
        ex_word(w, ex_value_number(x, m->entries[k].value));
    }
}

static void write_words(const struct ex_instance *i, const struct log_write *lw, struct ex_words *w)
{
    ex_word(w, lw->hard_set);
    ex_word(w, lw->hard.epoch);
    ex_word(w, lw->hard.vote);
    ex_word(w, lw->hard.commit);
    ex_word(w, lw->truncate_from);
    ex_word(w, lw->entries_count);
    for (uint32_t k = 0; k < lw->entries_count; k++) {
        ex_word(w, lw->entries[k].index);
        ex_word(w, lw->entries[k].epoch);
        ex_word(w, ex_value_number(i->x, lw->entries[k].value));
    }
    ex_word(w, lw->promises_count);
    for (uint32_t k = 0; k < lw->promises_count; k++) {
        ex_word(w, lw->promises[k].index);
        ex_word(w, lw->promises[k].ballot);
    }
}

static void log_words(const struct ex_instance *i, struct ex_words *w)
{
    ex_word(w, log_last(i->log));
    ex_word(w, log_commit(i->log));
    ex_word(w, log_applied(i->log));
    ex_word(w, log_stable(i->log));
    for (uint64_t index = 1; index < EX_SLOTS; index++) {
        const struct slot *s = log_slot(i->log, index);
        if (s == NULL) {
            ex_word(w, 0);
            continue;
        }
        ex_word(w, 1u | (uint64_t) s->state << 8 | (uint64_t) s->stable << 16 |
                       (uint64_t) ex_value_number(i->x, s->value) << 24);
        ex_word(w, s->epoch);
        ex_word(w, s->promised);
    }
}

static void base_words(const struct engine *e, struct ex_words *w)
{
    ex_word(w, e->now_us);
    ex_word(w, e->applied);
    ex_word(w, e->deadline_us);
    ex_word(w, e->heard_start_us);
    ex_word(w, e->flush_wanted);
    ex_words_raw(w, e->heard_us, e->options.members.count * sizeof e->heard_us[0]);
}

static void raft_words(struct engine *e, struct ex_words *w)
{
    const struct raft *r = raft_of(e);
    uint32_t members = raft_members(r);
    uint32_t inflight_max = e->options.inflight_max;
    struct raft copy = *r;
    copy.inflight_memory = NULL;
    copy.reads = NULL;
    copy.reads_capacity = 0;
    copy.elections = 0;
    copy.leader_changes = 0;
    copy.proposals_dropped = 0;
    const uint8_t *bytes = (const uint8_t *) &copy;
    ex_words_raw(w, bytes + sizeof copy.base, offsetof(struct raft, peers) - sizeof copy.base);
    size_t rest = offsetof(struct raft, inflight_memory);
    ex_words_raw(w, bytes + rest, sizeof copy - rest);
    for (uint32_t rank = 0; rank < members; rank++) {
        struct raft_peer peer = r->peers[rank];
        for (uint32_t k = 0; k < peer.inflight_count; k++) {
            ex_word(w, peer.inflight[(peer.inflight_head + k) % inflight_max]);
        }
        peer.inflight = NULL;
        peer.inflight_head = 0;
        ex_words_raw(w, &peer, sizeof peer);
    }
    for (uint32_t k = 0; k < r->reads_count; k++) {
        ex_words_raw(w, &r->reads[k], sizeof r->reads[k]);
    }
}

static void paxos_words(const struct ex_instance *i, struct ex_words *w)
{
    const struct paxos *px = container_of(i->e, struct paxos, e);
    struct paxos copy = *px;
    copy.rounds = NULL;
    copy.rounds_capacity = 0;
    copy.queue = NULL;
    copy.queue_capacity = 0;
    copy.notices = NULL;
    copy.notices_capacity = 0;
    copy.batches = (struct list){{NULL, NULL}};
    copy.elections = 0;
    copy.displaced = 0;
    ex_words_raw(w, (const uint8_t *) &copy + sizeof copy.e, sizeof copy - sizeof copy.e);
    for (uint32_t k = 0; k < px->rounds_count; k++) {
        struct px_round round = *px->rounds[k];
        ex_word(w, ex_value_number(i->x, round.found));
        ex_word(w, ex_value_number(i->x, round.own));
        ex_word(w, ex_value_number(i->x, round.value));
        round.found = NULL;
        round.own = NULL;
        round.value = NULL;
        ex_words_raw(w, &round, sizeof round);
    }
    for (uint32_t k = 0; k < px->queue_count; k++) {
        ex_word(w, ex_value_number(i->x, px->queue[k]));
    }
    for (uint32_t k = 0; k < px->notices_count; k++) {
        ex_words_raw(w, &px->notices[k], sizeof px->notices[k]);
    }
    LIST_FOR_EACH(&px->batches, node) {
        struct px_batch batch = *list_entry(node, struct px_batch, node);
        ex_words_raw(w, batch.ctxs, batch.count * sizeof batch.ctxs[0]);
        batch.node = (struct list_node){NULL, NULL};
        batch.ctxs = NULL;
        batch.capacity = 0;
        ex_words_raw(w, &batch, sizeof batch);
    }
}

static void multipaxos_words(const struct ex_instance *i, struct ex_words *w)
{
    const struct multipaxos *mp = container_of(i->e, struct multipaxos, e);
    struct multipaxos copy = *mp;
    copy.candidate.found = NULL;
    copy.candidate.found_capacity = 0;
    copy.lead.ring = NULL;
    copy.reads.at = NULL;
    copy.reads.capacity = 0;
    copy.elections = 0;
    copy.leader_changes = 0;
    copy.dropped = 0;
    ex_words_raw(w, (const uint8_t *) &copy + sizeof copy.e, sizeof copy - sizeof copy.e);
    for (uint32_t k = 0; k < mp->candidate.found_count; k++) {
        ex_word(w, mp->candidate.found[k].index);
        ex_word(w, mp->candidate.found[k].epoch);
        ex_word(w, ex_value_number(i->x, mp->candidate.found[k].value));
    }
    for (uint64_t k = 0; mp->lead.ring != NULL && k <= mp->lead.mask; k++) {
        ex_word(w, mp->lead.ring[k].acks);
        ex_word(w, mp->lead.ring[k].sent_us);
        ex_word(w, mp->lead.ring[k].chosen);
    }
    for (uint32_t k = 0; k < mp->reads.count; k++) {
        ex_words_raw(w, &mp->reads.at[k], sizeof mp->reads.at[k]);
    }
}

void ex_instance_words(const struct ex_instance *i, struct ex_words *w)
{
    ex_word(w, (uint64_t) i->node << 8 | i->life);
    ex_words_raw(w, i->known, sizeof i->known);
    ex_words_raw(w, &i->disk, sizeof i->disk);
    ex_word(w, i->writes_count);
    for (uint32_t k = 0; k < i->writes_count; k++) {
        ex_word(w, i->since_us[k]);
        write_words(i, i->writes[k], w);
    }
    ex_word(w, i->waiting_count);
    for (uint32_t k = 0; k < i->waiting_count; k++) {
        /* how many writes it waits for */
        ex_word(w, i->waiting[k].write_id - i->writes[0]->id);
        message_words(i, i->waiting[k].message, w);
    }
    log_words(i, w);
    base_words(i->e, w);
    switch (engine_number(i->e->ops)) {
    case ENGINE_RAFT:
        raft_words(i->e, w);
        break;
    case ENGINE_MULTIPAXOS:
        multipaxos_words(i, w);
        break;
    case ENGINE_PAXOS:
        paxos_words(i, w);
        break;
    default:
        UNREACHABLE();
    }
}

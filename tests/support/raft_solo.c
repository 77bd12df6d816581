/*
 * raft_solo.c - one Raft instance with the test in place of its peers.
 */

#include "tests/support/raft_solo.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

void solo_pump(struct solo *s)
{
    while (consensus_has_ready(s->c)) {
        struct ready ready;
        consensus_take(s->c, &ready);
        if (ready.write != NULL) {
            s->write_id = ready.write->id;
            if (ready.write->hard_set) {
                s->hard_pending = ready.write->hard;
            }
            log_write_free(ready.write);
        }
        struct list_node *node;
        while ((node = list_pop_front(&ready.now)) != NULL) {
            list_push_back(&s->sent, node);
        }
        while ((node = list_pop_front(&ready.after)) != NULL) {
            list_push_back(ready.after_write == 0 ? &s->sent : &s->held, node);
        }
        if (ready.reads_count > 0) {
            s->read = ready.reads[ready.reads_count - 1];
        }
    }
}

/* Completes all writes; messages to itself come back. */
void solo_store(struct solo *s)
{
    for (;;) {
        consensus_stored(s->c, s->write_id);
        s->hard = s->hard_pending;
        struct list_node *node;
        bool looped = false;
        while ((node = list_pop_front(&s->held)) != NULL) {
            struct message *m = list_entry(node, struct message, node);
            if (m->to == 1) {
                ASSERT(consensus_step(s->c, m) == OK);
                message_free(m);
                looped = true;
            } else {
                list_push_back(&s->sent, node);
            }
        }
        solo_pump(s);
        if (!looped) {
            return;
        }
    }
}

void solo_tick(struct solo *s, uint64_t us)
{
    s->now_us += us;
    consensus_tick(s->c, s->now_us);
    solo_pump(s);
}

void solo_options(struct consensus_options *o, uint32_t nodes)
{
    consensus_options_init(o);
    o->self = 1;
    o->seed = 1;
    o->election_us = ELECTION_US;
    o->heartbeat_us = 10000;
    o->resend_us = 30000;
    o->disk_stuck_us = 10 * ELECTION_US;
    uint32_t ids[] = {1, 2, 3, 4, 5};
    int err = membership_init(&o->members, ids, nodes);
    ASSERT(err == OK);
}

/* Node 1 of so many, in this hard state, with a log of entries of these epochs. */
struct solo *solo_new_with(const struct consensus_options *o, struct hard_state hard,
                           const uint64_t *epochs, uint32_t count)
{
    struct solo *s = xcalloc(1, sizeof *s);
    list_init(&s->held);
    list_init(&s->sent);
    s->hard = hard;
    s->hard_pending = hard;
    s->log = log_new(1 << 20, 1000, (struct log_pos){0, 0});
    struct entry entries[16];
    struct value *noop = value_new_noop();
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = (struct entry){.index = i + 1, .epoch = epochs[i], .value = noop};
    }
    ASSERT(log_restore(s->log, entries, count, NULL, 0, hard.commit) == OK);
    value_unref(noop);
    ASSERT(consensus_new(engine_by_name("raft"), o, &s->hard, s->log, &s->c) == OK);
    s->now_us = 1000000;
    solo_tick(s, 0);
    return s;
}

struct solo *solo_new(uint32_t nodes, struct hard_state hard, const uint64_t *epochs,
                      uint32_t count)
{
    struct consensus_options o;
    solo_options(&o, nodes);
    return solo_new_with(&o, hard, epochs, count);
}

void solo_free(struct solo *s)
{
    consensus_free(s->c);
    log_free(s->log);
    message_list_free(&s->held);
    message_list_free(&s->sent);
    free(s);
}

struct consensus_status solo_status(const struct solo *s)
{
    struct consensus_status st;
    consensus_status(s->c, &st);
    return st;
}

/* The oldest message of this type that has left, for this node (0: anyone); NULL: none. */
const struct message *solo_sent(const struct solo *s, uint8_t type, uint32_t to)
{
    LIST_FOR_EACH(&s->sent, node) {
        const struct message *m = list_entry(node, struct message, node);
        if (m->type == type && (to == 0 || m->to == to)) {
            return m;
        }
    }
    return NULL;
}

void solo_forget(struct solo *s)
{
    message_list_free(&s->sent);
}

struct message *solo_from(uint32_t node, enum message_type type, uint64_t epoch)
{
    struct message *m = message_new(type, 1);
    m->engine = ENGINE_RAFT;
    m->from = node;
    m->epoch = epoch;
    m->seen = UINT64_MAX; /* hears everybody */
    return m;
}

void solo_step(struct solo *s, struct message *m)
{
    ASSERT(consensus_step(s->c, m) == OK);
    message_free(m);
    solo_pump(s);
}

struct message *solo_append_of(uint32_t node, uint64_t term, struct log_pos prev)
{
    struct message *m = solo_from(node, MSG_RAFT_APPEND, term);
    m->pos = prev;
    return m;
}

void solo_with_entry(struct message *m, uint64_t epoch)
{
    struct value *noop = value_new_noop();
    struct entry entry = {.index = m->pos.index + m->entries_count + 1,
                          .epoch = epoch,
                          .value = noop};
    message_add_entry(m, &entry);
    value_unref(noop);
}

struct message *solo_vote_of(uint32_t node, uint64_t term, struct log_pos last)
{
    struct message *m = solo_from(node, MSG_RAFT_VOTE, term);
    m->pos = last;
    return m;
}

/* Votes for node 1 from so many others, until it leads. */
void solo_elect(struct solo *s, uint32_t voters)
{
    while (solo_status(s).role == ROLE_FOLLOWER) {
        solo_tick(s, ELECTION_US);
    }
    uint64_t term = solo_status(s).epoch;
    for (uint32_t i = 0; i < voters; i++) {
        solo_step(s, solo_from(2 + i, MSG_RAFT_PREVOTE_REPLY, term + 1));
    }
    solo_store(s); /* its own vote */
    for (uint32_t i = 0; i < voters; i++) {
        solo_step(s, solo_from(2 + i, MSG_RAFT_VOTE_REPLY, term + 1));
    }
    ASSERT(solo_status(s).role == ROLE_LEADER);
}

void solo_acknowledge(struct solo *s, uint32_t node, uint64_t match)
{
    struct message *m = solo_from(node, MSG_RAFT_APPEND_REPLY, solo_status(s).epoch);
    m->last = match;
    solo_step(s, m);
}

int solo_propose(struct solo *s)
{
    struct value *v = value_new_noop();
    int err = consensus_propose(s->c, v);
    value_unref(v);
    solo_pump(s);
    return err;
}

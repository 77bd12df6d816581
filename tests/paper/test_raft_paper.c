/*
 * test_raft_paper.c - one test per rule of the Raft paper and thesis, on a single instance.
 *
 * Node 1 is real, the others are played by the test. `s->sent` holds what has left: messages of
 * `now` at once, those of `after` once store() has made the writes durable.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/assert.h"
#include "consensus/consensus.h"

enum {
    ELECTION_US = 100000,
};

struct solo {
    struct consensus *c;
    struct log *log;
    uint64_t now_us;
    struct list held; /* of `after`, waiting for store() */
    struct list sent;
    struct hard_state hard; /* durable */
    struct hard_state hard_pending;
    uint64_t write_id;
    struct read_state read; /* last answer */
};

static void pump(struct solo *s)
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
static void store(struct solo *s)
{
    for (;;) {
        consensus_stored(s->c, s->write_id);
        s->hard = s->hard_pending;
        struct list_node *node;
        bool looped = false;
        while ((node = list_pop_front(&s->held)) != NULL) {
            struct message *m = list_entry(node, struct message, node);
            if (m->to == 1) {
                assert_int_equal(consensus_step(s->c, m), OK);
                message_free(m);
                looped = true;
            } else {
                list_push_back(&s->sent, node);
            }
        }
        pump(s);
        if (!looped) {
            return;
        }
    }
}

static void tick(struct solo *s, uint64_t us)
{
    s->now_us += us;
    consensus_tick(s->c, s->now_us);
    pump(s);
}

static void options_of(struct consensus_options *o, uint32_t nodes)
{
    consensus_options_init(o);
    o->self = 1;
    o->seed = 1;
    o->election_us = ELECTION_US;
    o->heartbeat_us = 10000;
    o->resend_us = 30000;
    o->disk_stuck_us = 10 * ELECTION_US;
    uint32_t ids[] = {1, 2, 3, 4, 5};
    assert_int_equal(membership_init(&o->members, ids, nodes), OK);
}

/* Node 1 of so many, in this hard state, with a log of entries of these epochs. */
static struct solo *solo_with(const struct consensus_options *o, struct hard_state hard,
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
    assert_int_equal(log_restore(s->log, entries, count, NULL, 0, hard.commit), OK);
    value_unref(noop);
    assert_int_equal(consensus_new(engine_by_name("raft"), o, &s->hard, s->log, &s->c), OK);
    s->now_us = 1000000;
    tick(s, 0);
    return s;
}

static struct solo *solo(uint32_t nodes, struct hard_state hard, const uint64_t *epochs,
                         uint32_t count)
{
    struct consensus_options o;
    options_of(&o, nodes);
    return solo_with(&o, hard, epochs, count);
}

static void solo_free(struct solo *s)
{
    consensus_free(s->c);
    log_free(s->log);
    message_list_free(&s->held);
    message_list_free(&s->sent);
    free(s);
}

static struct consensus_status status(const struct solo *s)
{
    struct consensus_status st;
    consensus_status(s->c, &st);
    return st;
}

/* The oldest message of this type that has left, for this node (0: anyone); NULL: none. */
static const struct message *sent(const struct solo *s, uint8_t type, uint32_t to)
{
    LIST_FOR_EACH(&s->sent, node) {
        const struct message *m = list_entry(node, struct message, node);
        if (m->type == type && (to == 0 || m->to == to)) {
            return m;
        }
    }
    return NULL;
}

static void forget(struct solo *s)
{
    message_list_free(&s->sent);
}

static struct message *from(uint32_t node, enum message_type type, uint64_t epoch)
{
    struct message *m = message_new(type, 1);
    m->engine = ENGINE_RAFT;
    m->from = node;
    m->epoch = epoch;
    m->seen = UINT64_MAX; /* hears everybody */
    return m;
}

static void step(struct solo *s, struct message *m)
{
    assert_int_equal(consensus_step(s->c, m), OK);
    message_free(m);
    pump(s);
}

static struct message *append_of(uint32_t node, uint64_t term, struct log_pos prev)
{
    struct message *m = from(node, MSG_RAFT_APPEND, term);
    m->pos = prev;
    return m;
}

static void with_entry(struct message *m, uint64_t epoch)
{
    struct value *noop = value_new_noop();
    struct entry entry = {.index = m->pos.index + m->entries_count + 1,
                          .epoch = epoch,
                          .value = noop};
    message_add_entry(m, &entry);
    value_unref(noop);
}

static struct message *vote_of(uint32_t node, uint64_t term, struct log_pos last)
{
    struct message *m = from(node, MSG_RAFT_VOTE, term);
    m->pos = last;
    return m;
}

/* Votes for node 1 from so many others, until it leads. */
static void elect(struct solo *s, uint32_t voters)
{
    while (status(s).role == ROLE_FOLLOWER) {
        tick(s, ELECTION_US);
    }
    uint64_t term = status(s).epoch;
    for (uint32_t i = 0; i < voters; i++) {
        step(s, from(2 + i, MSG_RAFT_PREVOTE_REPLY, term + 1));
    }
    store(s); /* its own vote */
    for (uint32_t i = 0; i < voters; i++) {
        step(s, from(2 + i, MSG_RAFT_VOTE_REPLY, term + 1));
    }
    assert_int_equal(status(s).role, ROLE_LEADER);
}

static void acknowledge(struct solo *s, uint32_t node, uint64_t match)
{
    struct message *m = from(node, MSG_RAFT_APPEND_REPLY, status(s).epoch);
    m->last = match;
    step(s, m);
}

static int propose(struct solo *s)
{
    struct value *v = value_new_noop();
    int err = consensus_propose(s->c, v);
    value_unref(v);
    pump(s);
    return err;
}

/* Raft 5.2: "When servers start up, they begin as followers." */
static void test_raft_starts_as_follower(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){.epoch = 4}, NULL, 0);
    assert_int_equal(status(s).role, ROLE_FOLLOWER);
    assert_int_equal(status(s).epoch, 4);
    solo_free(s);
}

/* Raft 5.2 and thesis 9.6: the time-out lies in [T, 2T); a pre-vote changes no term. R12. */
static void test_raft_timeout_is_random_and_prevote_keeps_the_term(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){0}, NULL, 0);
    tick(s, ELECTION_US - 1);
    assert_int_equal(status(s).role, ROLE_FOLLOWER);
    tick(s, ELECTION_US + 1);
    assert_int_equal(status(s).role, ROLE_CANDIDATE);
    assert_int_equal(status(s).epoch, 0);
    assert_int_equal(sent(s, MSG_RAFT_PREVOTE, 2)->epoch, 1);
    assert_null(sent(s, MSG_RAFT_VOTE, 0));
    step(s, from(2, MSG_RAFT_PREVOTE_REPLY, 1));
    assert_int_equal(status(s).epoch, 1);
    solo_free(s);
}

/* Raft 5.2; R1, R6: a candidate increments its term and votes for itself, durably, before it counts
 * itself or asks anybody. */
static void test_raft_candidate_counts_its_own_vote_when_durable(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){0}, NULL, 0);
    tick(s, 2 * ELECTION_US);
    step(s, from(2, MSG_RAFT_PREVOTE_REPLY, 1));
    assert_null(sent(s, MSG_RAFT_VOTE, 0));
    step(s, from(2, MSG_RAFT_VOTE_REPLY, 1)); /* one vote of three: its own is not durable */
    assert_int_equal(status(s).role, ROLE_CANDIDATE);
    store(s);
    assert_int_equal(s->hard.epoch, 1);
    assert_int_equal(s->hard.vote, 1);
    assert_int_equal(status(s).role, ROLE_LEADER);
    solo_free(s);
}

/* Raft 5.2: "A candidate wins an election if it receives votes from a majority". */
static void test_raft_candidate_needs_a_majority(void **state)
{
    (void) state;
    struct solo *s = solo(5, (struct hard_state){0}, NULL, 0);
    tick(s, 2 * ELECTION_US);
    step(s, from(2, MSG_RAFT_PREVOTE_REPLY, 1));
    assert_int_equal(status(s).epoch, 0); /* two of five pre-votes */
    step(s, from(3, MSG_RAFT_PREVOTE_REPLY, 1));
    store(s);
    step(s, from(2, MSG_RAFT_VOTE_REPLY, 1));
    step(s, from(2, MSG_RAFT_VOTE_REPLY, 1)); /* the same voter twice */
    struct message *refusal = from(4, MSG_RAFT_VOTE_REPLY, 1);
    refusal->reject = true;
    step(s, refusal);
    assert_int_equal(status(s).role, ROLE_CANDIDATE);
    step(s, from(3, MSG_RAFT_VOTE_REPLY, 1));
    assert_int_equal(status(s).role, ROLE_LEADER);
    solo_free(s);
}

/* Raft 5.2: a candidate that hears a leader of its term "returns to follower state". */
static void test_raft_candidate_yields_to_a_leader_of_its_term(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){0}, NULL, 0);
    tick(s, 2 * ELECTION_US);
    step(s, from(2, MSG_RAFT_PREVOTE_REPLY, 1));
    store(s);
    step(s, from(3, MSG_RAFT_HEARTBEAT, 1));
    assert_int_equal(status(s).role, ROLE_FOLLOWER);
    assert_int_equal(status(s).leader, 3);
    step(s, from(2, MSG_RAFT_VOTE_REPLY, 1)); /* too late */
    assert_int_equal(status(s).role, ROLE_FOLLOWER);
    solo_free(s);
}

/* Raft 5.2; R1: one vote a term, first come first served; the same candidate may ask again. */
static void test_raft_one_vote_a_term(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){0}, NULL, 0);
    step(s, vote_of(2, 5, (struct log_pos){0, 0}));
    store(s);
    assert_false(sent(s, MSG_RAFT_VOTE_REPLY, 2)->reject);
    step(s, vote_of(3, 5, (struct log_pos){9, 4}));
    store(s);
    assert_true(sent(s, MSG_RAFT_VOTE_REPLY, 3)->reject);
    forget(s);
    step(s, vote_of(2, 5, (struct log_pos){0, 0}));
    store(s);
    assert_false(sent(s, MSG_RAFT_VOTE_REPLY, 2)->reject);
    solo_free(s);
}

/* R6: "granted vote -> durable (term, vote)". */
static void test_raft_vote_leaves_after_it_is_durable(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){0}, NULL, 0);
    step(s, vote_of(2, 5, (struct log_pos){0, 0}));
    assert_null(sent(s, MSG_RAFT_VOTE_REPLY, 2));
    store(s);
    assert_non_null(sent(s, MSG_RAFT_VOTE_REPLY, 2));
    assert_int_equal(s->hard.epoch, 5);
    assert_int_equal(s->hard.vote, 2);
    solo_free(s);
}

/* R1: "(term -> vote) of a node never changes inside a term, over restarts". */
static void test_raft_vote_survives_a_restart(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){.epoch = 5, .vote = 2}, NULL, 0);
    step(s, vote_of(3, 5, (struct log_pos){9, 4}));
    store(s);
    assert_true(sent(s, MSG_RAFT_VOTE_REPLY, 3)->reject);
    solo_free(s);
}

/* Raft 5.4.1; R4: "the voter denies its vote if its own log is more up-to-date". */
static void test_raft_vote_only_for_up_to_date_logs(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1, 2, 2};
    const struct {
        struct log_pos last;
        bool granted;
    } cases[] = {
        {{3, 2}, true},  {{4, 2}, true},  {{1, 3}, true},
        {{2, 2}, false}, {{9, 1}, false}, {{0, 0}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct solo *s = solo(3, (struct hard_state){.epoch = 2}, epochs, 3);
        step(s, vote_of(2, 5, cases[i].last));
        store(s);
        assert_int_equal(sent(s, MSG_RAFT_VOTE_REPLY, 2)->reject, !cases[i].granted);
        assert_int_equal(status(s).epoch, 5); /* the term moves either way */
        struct message *m = from(3, MSG_RAFT_PREVOTE, 6);
        m->pos = cases[i].last;
        step(s, m);
        assert_int_equal(sent(s, MSG_RAFT_PREVOTE_REPLY, 3)->reject, !cases[i].granted);
        solo_free(s);
    }
}

/* Raft 5.1: "If a server receives a request with a stale term number, it rejects the request." */
static void test_raft_stale_term_is_rejected(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){.epoch = 7}, NULL, 0);
    struct message *m = append_of(2, 6, (struct log_pos){0, 0});
    with_entry(m, 6);
    step(s, m);
    store(s);
    assert_true(sent(s, MSG_RAFT_APPEND_REPLY, 2)->reject);
    assert_int_equal(sent(s, MSG_RAFT_APPEND_REPLY, 2)->epoch, 7);
    assert_int_equal(log_last(s->log), 0);
    assert_int_equal(status(s).leader, 0);
    step(s, vote_of(3, 6, (struct log_pos){9, 6}));
    assert_true(sent(s, MSG_RAFT_VOTE_REPLY, 3)->reject);
    solo_free(s);
}

/* Raft 5.1: "If a candidate or leader discovers that its term is out of date, it immediately
 * reverts to follower state." */
static void test_raft_leader_steps_down_at_a_higher_term(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){0}, NULL, 0);
    elect(s, 1);
    struct message *m = from(3, MSG_RAFT_APPEND_REPLY, 9);
    m->reject = true;
    step(s, m);
    assert_int_equal(status(s).role, ROLE_FOLLOWER);
    assert_int_equal(status(s).epoch, 9);
    store(s);
    assert_int_equal(s->hard.vote, 0);
    solo_free(s);
}

/* Thesis 6.4 and Raft 8: a leader opens its term with a no-op. */
static void test_raft_leader_opens_its_term_with_a_noop(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1};
    struct solo *s = solo(3, (struct hard_state){.epoch = 1}, epochs, 1);
    elect(s, 1);
    struct entry entry;
    assert_int_equal(log_entry(s->log, 2, &entry), OK);
    assert_int_equal(entry.value->kind, VALUE_NOOP);
    assert_int_equal(entry.epoch, 2);
    assert_int_equal(sent(s, MSG_RAFT_APPEND, 2)->entries_count, 1); /* before it is durable */
    solo_free(s);
}

/* Raft 5.3; R7: committed when durable on a majority; the leader counts itself when its own write
 * is, and may commit before that with a majority of others. */
static void test_raft_commit_counts_durable_copies_only(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){0}, NULL, 0);
    elect(s, 1);
    acknowledge(s, 2, 1);
    assert_int_equal(status(s).commit, 0); /* one of three: its own write is not done */
    store(s);
    assert_int_equal(status(s).commit, 1);
    assert_int_equal(propose(s), OK);
    acknowledge(s, 2, 2);
    assert_int_equal(status(s).commit, 1);
    acknowledge(s, 3, 2);
    assert_int_equal(status(s).commit, 2); /* two others, not itself */
    acknowledge(s, 3, 77);
    assert_int_equal(status(s).commit, 2); /* nobody has what was never sent */
    solo_free(s);
}

/* Raft 5.4.2, figure 8; R7: entries of earlier terms are not committed by counting replicas. */
static void test_raft_old_term_entry_is_not_committed_by_counting(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1, 2};
    struct solo *s = solo(3, (struct hard_state){.epoch = 2}, epochs, 2);
    elect(s, 1);
    store(s);
    acknowledge(s, 2, 2);
    acknowledge(s, 3, 2);
    assert_int_equal(status(s).commit, 0); /* on all three, yet of term 2 */
    acknowledge(s, 2, 3);
    assert_int_equal(status(s).commit, 3); /* by its own no-op, and all before */
    solo_free(s);
}

/* Raft figure 2 AppendEntries 2; R3: refused where the entry before does not match, with a hint
 * that skips the conflicting term. */
static void test_raft_append_is_refused_where_logs_differ(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1, 1, 4, 4, 4};
    struct solo *s = solo(3, (struct hard_state){.epoch = 6}, epochs, 5);
    struct message *m = append_of(2, 6, (struct log_pos){9, 6});
    with_entry(m, 6);
    step(s, m);
    assert_true(sent(s, MSG_RAFT_APPEND_REPLY, 2)->reject);
    assert_int_equal(sent(s, MSG_RAFT_APPEND_REPLY, 2)->hint.index, 5);
    forget(s);
    step(s, append_of(2, 6, (struct log_pos){5, 3}));
    const struct message *reply = sent(s, MSG_RAFT_APPEND_REPLY, 2);
    assert_true(reply->reject);
    assert_int_equal(reply->hint.index, 2); /* the whole of term 4 is skipped */
    assert_int_equal(reply->hint.epoch, 1);
    assert_int_equal(log_last(s->log), 5);
    solo_free(s);
}

/* Raft figure 2 AppendEntries 3, 4: conflicting entries go, with all that follow them. */
static void test_raft_conflicting_suffix_is_replaced(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1, 1, 4, 4, 4};
    struct solo *s = solo(3, (struct hard_state){.epoch = 6}, epochs, 5);
    struct message *m = append_of(2, 6, (struct log_pos){1, 1});
    with_entry(m, 1);
    with_entry(m, 5);
    step(s, m);
    assert_null(sent(s, MSG_RAFT_APPEND_REPLY, 2)); /* R6: success only when durable */
    store(s);
    assert_int_equal(sent(s, MSG_RAFT_APPEND_REPLY, 2)->last, 3);
    assert_int_equal(log_last(s->log), 3);
    assert_int_equal(log_last_pos(s->log).epoch, 5);
    solo_free(s);
}

/* Raft figure 2 AppendEntries 3: only a conflict cuts; an old, shorter append cuts nothing. */
static void test_raft_delayed_append_cuts_nothing(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){.epoch = 6}, NULL, 0);
    struct message *m = append_of(2, 6, (struct log_pos){0, 0});
    with_entry(m, 6);
    with_entry(m, 6);
    with_entry(m, 6);
    step(s, m);
    m = append_of(2, 6, (struct log_pos){0, 0});
    with_entry(m, 6);
    step(s, m);
    store(s);
    assert_int_equal(log_last(s->log), 3);
    solo_free(s);
}

/* Raft figure 2 AppendEntries 5: "commitIndex = min(leaderCommit, index of last new entry)". */
static void test_raft_follower_commits_no_further_than_it_matches(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1, 4, 4};
    struct solo *s = solo(3, (struct hard_state){.epoch = 6}, epochs, 3);
    struct message *m = append_of(2, 6, (struct log_pos){1, 1});
    m->commit = 3; /* 2 and 3 here are not the leader's */
    step(s, m);
    assert_int_equal(status(s).commit, 1);
    m = from(2, MSG_RAFT_HEARTBEAT, 6);
    m->commit = 3;
    m->pos = (struct log_pos){3, 5};
    step(s, m);
    assert_int_equal(status(s).commit, 1);
    m = from(2, MSG_RAFT_COMMIT, 6);
    m->commit = 2;
    m->pos = (struct log_pos){2, 4};
    step(s, m);
    assert_int_equal(status(s).commit, 2); /* this one is: same index and term */
    solo_free(s);
}

/* Entries that do not follow each other or are of later terms than the message are dropped. */
static void test_raft_malformed_append_is_dropped(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){.epoch = 6}, NULL, 0);
    struct message *m = append_of(2, 6, (struct log_pos){0, 0});
    with_entry(m, 7);
    step(s, m);
    m = append_of(2, 6, (struct log_pos){0, 0});
    with_entry(m, 6);
    m->entries[0].index = 2;
    step(s, m);
    assert_int_equal(log_last(s->log), 0);
    solo_free(s);
}

/* Thesis 4.2.3: a vote request within the minimum election time-out of hearing from a leader is
 * ignored, term and all, unless that leader hands over. Thesis 9.6: so is a pre-vote. R12. */
static void test_raft_live_leader_is_not_deposed(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){.epoch = 6}, NULL, 0);
    step(s, from(2, MSG_RAFT_HEARTBEAT, 6));
    tick(s, ELECTION_US - 1);
    step(s, vote_of(3, 9, (struct log_pos){9, 6}));
    assert_int_equal(status(s).epoch, 6);
    assert_null(sent(s, MSG_RAFT_VOTE_REPLY, 3));
    struct message *m = from(3, MSG_RAFT_PREVOTE, 7);
    m->pos = (struct log_pos){9, 6};
    step(s, m);
    assert_true(sent(s, MSG_RAFT_PREVOTE_REPLY, 3)->reject);
    m = vote_of(3, 9, (struct log_pos){9, 6});
    m->ctx = 1; /* the leader asked for it */
    step(s, m);
    store(s);
    assert_false(sent(s, MSG_RAFT_VOTE_REPLY, 3)->reject);
    solo_free(s);
}

/* The same vote is granted when the leader has been silent for the minimum election time-out, or
 * says that it hears no quorum. */
static void test_raft_dead_or_cut_off_leader_holds_nobody_back(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){.epoch = 6}, NULL, 0);
    step(s, from(2, MSG_RAFT_HEARTBEAT, 6));
    tick(s, ELECTION_US);
    step(s, vote_of(3, 9, (struct log_pos){9, 6}));
    assert_int_equal(status(s).epoch, 9);
    solo_free(s);
    s = solo(3, (struct hard_state){.epoch = 6}, NULL, 0);
    struct message *m = from(2, MSG_RAFT_HEARTBEAT, 6);
    m->seen = 2; /* itself */
    step(s, m);
    step(s, vote_of(3, 9, (struct log_pos){9, 6}));
    assert_int_equal(status(s).epoch, 9);
    solo_free(s);
}

/* Thesis 6.2: a leader without answers from a majority for an election time-out steps down. */
static void test_raft_check_quorum_steps_down(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){0}, NULL, 0);
    elect(s, 1);
    for (uint32_t i = 0; i < 20; i++) {
        step(s, from(2, MSG_RAFT_HEARTBEAT_REPLY, 1));
        tick(s, ELECTION_US / 10);
    }
    assert_int_equal(status(s).role, ROLE_LEADER);
    for (uint32_t i = 0; i < 12 && status(s).role == ROLE_LEADER; i++) {
        forget(s);
        step(s, from(3, MSG_RAFT_ALIVE, 1)); /* noise is no answer */
        tick(s, ELECTION_US / 10);
    }
    assert_int_equal(status(s).role, ROLE_FOLLOWER);
    assert_int_equal(status(s).leader, 0);
    assert_non_null(sent(s, MSG_RAFT_ALIVE, 2)); /* and says so, in the same turn */
    solo_free(s);
}

/* A leader that resigns holds nobody back: its follower forgets it and stands soon. */
static void test_raft_resignation_ends_the_wait(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){.epoch = 6}, NULL, 0);
    step(s, from(2, MSG_RAFT_HEARTBEAT, 6));
    step(s, from(3, MSG_RAFT_ALIVE, 6)); /* not the leader */
    assert_int_equal(status(s).leader, 2);
    step(s, from(2, MSG_RAFT_ALIVE, 6)); /* ctx 0: knows no leader */
    assert_int_equal(status(s).leader, 0);
    assert_true(consensus_deadline(s->c) < s->now_us + ELECTION_US);
    solo_free(s);
}

/* R6: the completion of an old write does not count what was cut and put again since. */
static void test_raft_old_write_makes_no_newer_entry_durable(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){.epoch = 5}, NULL, 0);
    struct message *m = append_of(2, 5, (struct log_pos){0, 0});
    with_entry(m, 5);
    step(s, m); /* write 1: entry (1, 5) */
    m = append_of(3, 6, (struct log_pos){0, 0});
    with_entry(m, 6);
    step(s, m); /* write 2: cut, entry (1, 6) */
    m = append_of(2, 7, (struct log_pos){0, 0});
    with_entry(m, 5);
    step(s, m); /* write 3: cut, entry (1, 5) again */
    assert_int_equal(s->write_id, 3);
    consensus_stored(s->c, 1);
    assert_int_equal(log_stable(s->log), 0);
    consensus_stored(s->c, 2);
    assert_int_equal(log_stable(s->log), 0);
    consensus_stored(s->c, 3);
    assert_int_equal(log_stable(s->log), 1);
    solo_free(s);
}

/* A follower may lose what it confirmed of older terms, to a fetch (raft_fetch.c): the leader then
 * takes its match back, as trimming goes by it. */
static void test_raft_match_falls_when_a_probe_is_refused_below_it(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1, 1, 1};
    struct solo *s = solo(3, (struct hard_state){.epoch = 3}, epochs, 3);
    elect(s, 1);
    acknowledge(s, 2, 3);
    assert_int_equal(status(s).match[1], 3);
    for (uint64_t prev = 4; prev >= 3; prev--) {
        struct message *m = from(2, MSG_RAFT_APPEND_REPLY, 4);
        m->reject = true;
        m->pos.index = prev;
        m->hint = (struct log_pos){1, 1};
        forget(s);
        step(s, m);
    }
    assert_int_equal(status(s).match[1], 1);
    assert_int_equal(sent(s, MSG_RAFT_APPEND, 2)->pos.index, 1);
    solo_free(s);
}

/* Thesis 6.4; R9: a read waits for the no-op of the term, then for a quorum that still follows. */
static void test_raft_read_needs_own_term_commit_and_a_quorum(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1};
    struct solo *s = solo(3, (struct hard_state){.epoch = 1}, epochs, 1);
    elect(s, 1);
    assert_int_equal(consensus_read(s->c, 42), OK);
    pump(s);
    store(s);
    struct message *m = from(2, MSG_RAFT_HEARTBEAT_REPLY, 2);
    m->ctx = 1000; /* no such round yet */
    step(s, m);
    assert_int_equal(s->read.ctx, 0);
    forget(s);
    acknowledge(s, 2, 2);
    assert_int_equal(status(s).commit, 2);
    const struct message *beat = sent(s, MSG_RAFT_HEARTBEAT, 2);
    assert_non_null(beat); /* the round began at once */
    assert_int_equal(s->read.ctx, 0);
    m = from(2, MSG_RAFT_HEARTBEAT_REPLY, 2);
    m->ctx = beat->ctx - 1; /* an answer to an older heartbeat */
    step(s, m);
    assert_int_equal(s->read.ctx, 0);
    m = from(2, MSG_RAFT_HEARTBEAT_REPLY, 2);
    m->ctx = beat->ctx;
    step(s, m);
    assert_int_equal(s->read.ctx, 42);
    assert_int_equal(s->read.err, OK);
    assert_int_equal(s->read.index, 2);
    solo_free(s);
}

/* Thesis 6.4: a follower asks the leader for the read index; one request for a turn's reads. */
static void test_raft_follower_forwards_reads_in_a_batch(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){.epoch = 3}, NULL, 0);
    assert_int_equal(consensus_read(s->c, 1), ERR_NO_LEADER);
    step(s, from(2, MSG_RAFT_HEARTBEAT, 3));
    forget(s);
    assert_int_equal(consensus_read(s->c, 1), OK);
    assert_int_equal(consensus_read(s->c, 2), OK);
    pump(s);
    const struct message *ask = sent(s, MSG_RAFT_READ_INDEX, 2);
    struct message *stale = from(2, MSG_RAFT_READ_INDEX_REPLY, 3);
    stale->ctx = ask->ctx - 1;
    stale->pos.index = 3;
    step(s, stale);
    assert_int_equal(s->read.ctx, 0);
    struct message *m = from(2, MSG_RAFT_READ_INDEX_REPLY, 3);
    m->ctx = ask->ctx;
    m->pos.index = 9;
    step(s, m);
    assert_int_equal(s->read.ctx, 2);
    assert_int_equal(s->read.index, 9);
    assert_ptr_equal(list_last(&s->sent), list_first(&s->sent)); /* one request */
    solo_free(s);
}

/* Thesis 3.10: no proposals during a transfer; TimeoutNow once the target has it all; given up
 * after an election time-out. */
static void test_raft_transfer(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){0}, NULL, 0);
    elect(s, 1);
    store(s);
    acknowledge(s, 2, 1);
    assert_int_equal(propose(s), OK);
    assert_int_equal(consensus_transfer(s->c, 2), OK);
    pump(s);
    assert_null(sent(s, MSG_RAFT_TIMEOUT_NOW, 2));
    assert_int_equal(propose(s), ERR_BUSY);
    acknowledge(s, 2, 2);
    assert_non_null(sent(s, MSG_RAFT_TIMEOUT_NOW, 2));
    for (uint32_t i = 0; i < 11; i++) {
        step(s, from(2, MSG_RAFT_HEARTBEAT_REPLY, 1));
        tick(s, ELECTION_US / 10);
    }
    assert_int_equal(status(s).role, ROLE_LEADER);
    assert_int_equal(propose(s), OK);
    solo_free(s);
}

/* Thesis 3.10: the target stands at once, without a pre-vote; only its leader may ask for it. */
static void test_raft_timeout_now_starts_an_election(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){.epoch = 3}, NULL, 0);
    step(s, from(2, MSG_RAFT_HEARTBEAT, 3));
    step(s, from(3, MSG_RAFT_TIMEOUT_NOW, 3));
    assert_int_equal(status(s).role, ROLE_FOLLOWER);
    step(s, from(2, MSG_RAFT_TIMEOUT_NOW, 3));
    store(s);
    assert_int_equal(status(s).epoch, 4);
    assert_int_equal(sent(s, MSG_RAFT_VOTE, 2)->ctx, 1);
    solo_free(s);
}

/* Raft 5.3: lost appends are repaired without an election; a slow disk is not taken for loss. */
static void test_raft_lost_append_is_sent_again(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){0}, NULL, 0);
    elect(s, 1);
    store(s);
    acknowledge(s, 2, 1);
    acknowledge(s, 3, 1);
    assert_int_equal(propose(s), OK);
    forget(s);
    for (uint32_t i = 0; i < 5; i++) {
        tick(s, 10000);
        struct message *m = from(2, MSG_RAFT_HEARTBEAT_REPLY, 1);
        m->last = 1;
        m->pos = (struct log_pos){2, 1}; /* has it in memory, its disk is slow */
        step(s, m);
        m = from(3, MSG_RAFT_HEARTBEAT_REPLY, 1);
        m->last = 1;
        m->pos = (struct log_pos){1, 1}; /* it was lost */
        step(s, m);
    }
    assert_null(sent(s, MSG_RAFT_APPEND, 2));
    assert_int_equal(sent(s, MSG_RAFT_APPEND, 3)->entries_count, 1);
    store(s);
    struct message *m = from(2, MSG_RAFT_HEARTBEAT_REPLY, 1);
    m->last = 2; /* durable now; the append reply was lost, this tells the same */
    m->pos = (struct log_pos){2, 1};
    step(s, m);
    assert_int_equal(status(s).commit, 2);
    solo_free(s);
}

/* A turn's proposals travel in one append to each peer, and so does the commit index. */
static void test_raft_a_turn_is_one_append_per_peer(void **state)
{
    (void) state;
    struct solo *s = solo(3, (struct hard_state){0}, NULL, 0);
    elect(s, 1);
    store(s);
    acknowledge(s, 2, 1);
    acknowledge(s, 3, 1);
    forget(s);
    struct value *v = value_new_noop();
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(consensus_propose(s->c, v), OK);
    }
    value_unref(v);
    pump(s);
    uint32_t count = 0;
    LIST_FOR_EACH(&s->sent, node) {
        const struct message *m = list_entry(node, struct message, node);
        assert_int_equal(m->type, MSG_RAFT_APPEND);
        assert_int_equal(m->entries_count, 10);
        assert_int_equal(m->commit, 1);
        count++;
    }
    assert_int_equal(count, 2);
    solo_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raft_starts_as_follower),
        cmocka_unit_test(test_raft_timeout_is_random_and_prevote_keeps_the_term),
        cmocka_unit_test(test_raft_candidate_counts_its_own_vote_when_durable),
        cmocka_unit_test(test_raft_candidate_needs_a_majority),
        cmocka_unit_test(test_raft_candidate_yields_to_a_leader_of_its_term),
        cmocka_unit_test(test_raft_one_vote_a_term),
        cmocka_unit_test(test_raft_vote_leaves_after_it_is_durable),
        cmocka_unit_test(test_raft_vote_survives_a_restart),
        cmocka_unit_test(test_raft_vote_only_for_up_to_date_logs),
        cmocka_unit_test(test_raft_stale_term_is_rejected),
        cmocka_unit_test(test_raft_leader_steps_down_at_a_higher_term),
        cmocka_unit_test(test_raft_leader_opens_its_term_with_a_noop),
        cmocka_unit_test(test_raft_commit_counts_durable_copies_only),
        cmocka_unit_test(test_raft_old_term_entry_is_not_committed_by_counting),
        cmocka_unit_test(test_raft_append_is_refused_where_logs_differ),
        cmocka_unit_test(test_raft_conflicting_suffix_is_replaced),
        cmocka_unit_test(test_raft_delayed_append_cuts_nothing),
        cmocka_unit_test(test_raft_follower_commits_no_further_than_it_matches),
        cmocka_unit_test(test_raft_malformed_append_is_dropped),
        cmocka_unit_test(test_raft_live_leader_is_not_deposed),
        cmocka_unit_test(test_raft_dead_or_cut_off_leader_holds_nobody_back),
        cmocka_unit_test(test_raft_check_quorum_steps_down),
        cmocka_unit_test(test_raft_resignation_ends_the_wait),
        cmocka_unit_test(test_raft_old_write_makes_no_newer_entry_durable),
        cmocka_unit_test(test_raft_match_falls_when_a_probe_is_refused_below_it),
        cmocka_unit_test(test_raft_read_needs_own_term_commit_and_a_quorum),
        cmocka_unit_test(test_raft_follower_forwards_reads_in_a_batch),
        cmocka_unit_test(test_raft_transfer),
        cmocka_unit_test(test_raft_timeout_now_starts_an_election),
        cmocka_unit_test(test_raft_lost_append_is_sent_again),
        cmocka_unit_test(test_raft_a_turn_is_one_append_per_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

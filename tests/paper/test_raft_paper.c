/*
 * test_raft_paper.c - one test per rule of the Raft paper and thesis, on a single instance
 * (tests/support/raft_solo.h).
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/raft_solo.h"

/* Raft 5.2: "When servers start up, they begin as followers." */
static void test_raft_starts_as_follower(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 4}, NULL, 0);
    assert_int_equal(solo_status(s).role, ROLE_FOLLOWER);
    assert_int_equal(solo_status(s).epoch, 4);
    solo_free(s);
}

/* Raft 5.2 and thesis 9.6: the time-out lies in [T, 2T); a pre-vote changes no term. R12. */
static void test_raft_timeout_is_random_and_prevote_keeps_the_term(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){0}, NULL, 0);
    solo_tick(s, ELECTION_US - 1);
    assert_int_equal(solo_status(s).role, ROLE_FOLLOWER);
    solo_tick(s, ELECTION_US + 1);
    assert_int_equal(solo_status(s).role, ROLE_CANDIDATE);
    assert_int_equal(solo_status(s).epoch, 0);
    assert_int_equal(solo_sent(s, MSG_RAFT_PREVOTE, 2)->epoch, 1);
    assert_null(solo_sent(s, MSG_RAFT_VOTE, 0));
    solo_step(s, solo_from(2, MSG_RAFT_PREVOTE_REPLY, 1));
    assert_int_equal(solo_status(s).epoch, 1);
    solo_free(s);
}

/* Raft 5.2; R1, R6: a candidate increments its term and votes for itself, durably, before it counts
 * itself or asks anybody. */
static void test_raft_candidate_counts_its_own_vote_when_durable(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){0}, NULL, 0);
    solo_tick(s, 2 * ELECTION_US);
    solo_step(s, solo_from(2, MSG_RAFT_PREVOTE_REPLY, 1));
    assert_null(solo_sent(s, MSG_RAFT_VOTE, 0));
    solo_step(s,
              solo_from(2, MSG_RAFT_VOTE_REPLY, 1)); /* one vote of three: its own is not durable */
    assert_int_equal(solo_status(s).role, ROLE_CANDIDATE);
    solo_store(s);
    assert_int_equal(s->hard.epoch, 1);
    assert_int_equal(s->hard.vote, 1);
    assert_int_equal(solo_status(s).role, ROLE_LEADER);
    solo_free(s);
}

/* Raft 5.2: "A candidate wins an election if it receives votes from a majority". */
static void test_raft_candidate_needs_a_majority(void **state)
{
    (void) state;
    struct solo *s = solo_new(5, (struct hard_state){0}, NULL, 0);
    solo_tick(s, 2 * ELECTION_US);
    solo_step(s, solo_from(2, MSG_RAFT_PREVOTE_REPLY, 1));
    assert_int_equal(solo_status(s).epoch, 0); /* two of five pre-votes */
    solo_step(s, solo_from(3, MSG_RAFT_PREVOTE_REPLY, 1));
    solo_store(s);
    solo_step(s, solo_from(2, MSG_RAFT_VOTE_REPLY, 1));
    solo_step(s, solo_from(2, MSG_RAFT_VOTE_REPLY, 1)); /* the same voter twice */
    struct message *refusal = solo_from(4, MSG_RAFT_VOTE_REPLY, 1);
    refusal->reject = true;
    solo_step(s, refusal);
    assert_int_equal(solo_status(s).role, ROLE_CANDIDATE);
    solo_step(s, solo_from(3, MSG_RAFT_VOTE_REPLY, 1));
    assert_int_equal(solo_status(s).role, ROLE_LEADER);
    solo_free(s);
}

/* Raft 5.2: a candidate that hears a leader of its term "returns to follower state". */
static void test_raft_candidate_yields_to_a_leader_of_its_term(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){0}, NULL, 0);
    solo_tick(s, 2 * ELECTION_US);
    solo_step(s, solo_from(2, MSG_RAFT_PREVOTE_REPLY, 1));
    solo_store(s);
    solo_step(s, solo_from(3, MSG_RAFT_HEARTBEAT, 1));
    assert_int_equal(solo_status(s).role, ROLE_FOLLOWER);
    assert_int_equal(solo_status(s).leader, 3);
    solo_step(s, solo_from(2, MSG_RAFT_VOTE_REPLY, 1)); /* too late */
    assert_int_equal(solo_status(s).role, ROLE_FOLLOWER);
    solo_free(s);
}

/* Raft 5.2; R1: one vote a term, first come first served; the same candidate may ask again. */
static void test_raft_one_vote_a_term(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){0}, NULL, 0);
    solo_step(s, solo_vote_of(2, 5, (struct log_pos){0, 0}));
    solo_store(s);
    assert_false(solo_sent(s, MSG_RAFT_VOTE_REPLY, 2)->reject);
    solo_step(s, solo_vote_of(3, 5, (struct log_pos){9, 4}));
    solo_store(s);
    assert_true(solo_sent(s, MSG_RAFT_VOTE_REPLY, 3)->reject);
    solo_forget(s);
    solo_step(s, solo_vote_of(2, 5, (struct log_pos){0, 0}));
    solo_store(s);
    assert_false(solo_sent(s, MSG_RAFT_VOTE_REPLY, 2)->reject);
    solo_free(s);
}

/* R6: "granted vote -> durable (term, vote)". */
static void test_raft_vote_leaves_after_it_is_durable(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){0}, NULL, 0);
    solo_step(s, solo_vote_of(2, 5, (struct log_pos){0, 0}));
    assert_null(solo_sent(s, MSG_RAFT_VOTE_REPLY, 2));
    solo_store(s);
    assert_non_null(solo_sent(s, MSG_RAFT_VOTE_REPLY, 2));
    assert_int_equal(s->hard.epoch, 5);
    assert_int_equal(s->hard.vote, 2);
    solo_free(s);
}

/* R1: "(term -> vote) of a node never changes inside a term, over restarts". */
static void test_raft_vote_survives_a_restart(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 5, .vote = 2}, NULL, 0);
    solo_step(s, solo_vote_of(3, 5, (struct log_pos){9, 4}));
    solo_store(s);
    assert_true(solo_sent(s, MSG_RAFT_VOTE_REPLY, 3)->reject);
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
        struct solo *s = solo_new(3, (struct hard_state){.epoch = 2}, epochs, 3);
        solo_step(s, solo_vote_of(2, 5, cases[i].last));
        solo_store(s);
        assert_int_equal(solo_sent(s, MSG_RAFT_VOTE_REPLY, 2)->reject, !cases[i].granted);
        assert_int_equal(solo_status(s).epoch, 5); /* the term moves either way */
        struct message *m = solo_from(3, MSG_RAFT_PREVOTE, 6);
        m->pos = cases[i].last;
        solo_step(s, m);
        assert_int_equal(solo_sent(s, MSG_RAFT_PREVOTE_REPLY, 3)->reject, !cases[i].granted);
        solo_free(s);
    }
}

/* Raft 5.1: "If a server receives a request with a stale term number, it rejects the request." */
static void test_raft_stale_term_is_rejected(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 7}, NULL, 0);
    struct message *m = solo_append_of(2, 6, (struct log_pos){0, 0});
    solo_with_entry(m, 6);
    solo_step(s, m);
    solo_store(s);
    assert_true(solo_sent(s, MSG_RAFT_APPEND_REPLY, 2)->reject);
    assert_int_equal(solo_sent(s, MSG_RAFT_APPEND_REPLY, 2)->epoch, 7);
    assert_int_equal(log_last(s->log), 0);
    assert_int_equal(solo_status(s).leader, 0);
    solo_step(s, solo_vote_of(3, 6, (struct log_pos){9, 6}));
    assert_true(solo_sent(s, MSG_RAFT_VOTE_REPLY, 3)->reject);
    solo_free(s);
}

/* Raft 5.1: "If a candidate or leader discovers that its term is out of date, it immediately
 * reverts to follower state." */
static void test_raft_leader_steps_down_at_a_higher_term(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){0}, NULL, 0);
    solo_elect(s, 1);
    struct message *m = solo_from(3, MSG_RAFT_APPEND_REPLY, 9);
    m->reject = true;
    solo_step(s, m);
    assert_int_equal(solo_status(s).role, ROLE_FOLLOWER);
    assert_int_equal(solo_status(s).epoch, 9);
    solo_store(s);
    assert_int_equal(s->hard.vote, 0);
    solo_free(s);
}

/* Thesis 6.4 and Raft 8: a leader opens its term with a no-op. */
static void test_raft_leader_opens_its_term_with_a_noop(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1};
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 1}, epochs, 1);
    solo_elect(s, 1);
    struct entry entry;
    assert_int_equal(log_entry(s->log, 2, &entry), OK);
    assert_int_equal(entry.value->kind, VALUE_NOOP);
    assert_int_equal(entry.epoch, 2);
    assert_int_equal(solo_sent(s, MSG_RAFT_APPEND, 2)->entries_count, 1); /* before it is durable */
    solo_free(s);
}

/* Raft 5.3; R7: committed when durable on a majority; the leader counts itself when its own write
 * is, and may commit before that with a majority of others. */
static void test_raft_commit_counts_durable_copies_only(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){0}, NULL, 0);
    solo_elect(s, 1);
    solo_acknowledge(s, 2, 1);
    assert_int_equal(solo_status(s).commit, 0); /* one of three: its own write is not done */
    solo_store(s);
    assert_int_equal(solo_status(s).commit, 1);
    assert_int_equal(solo_propose(s), OK);
    solo_acknowledge(s, 2, 2);
    assert_int_equal(solo_status(s).commit, 1);
    solo_acknowledge(s, 3, 2);
    assert_int_equal(solo_status(s).commit, 2); /* two others, not itself */
    solo_acknowledge(s, 3, 77);
    assert_int_equal(solo_status(s).commit, 2); /* nobody has what was never sent */
    solo_free(s);
}

/* Raft 5.4.2, figure 8; R7: entries of earlier terms are not committed by counting replicas. */
static void test_raft_old_term_entry_is_not_committed_by_counting(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1, 2};
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 2}, epochs, 2);
    solo_elect(s, 1);
    solo_store(s);
    solo_acknowledge(s, 2, 2);
    solo_acknowledge(s, 3, 2);
    assert_int_equal(solo_status(s).commit, 0); /* on all three, yet of term 2 */
    solo_acknowledge(s, 2, 3);
    assert_int_equal(solo_status(s).commit, 3); /* by its own no-op, and all before */
    solo_free(s);
}

/* Raft figure 2 AppendEntries 2; R3: refused where the entry before does not match, with a hint
 * that skips the conflicting term. */
static void test_raft_append_is_refused_where_logs_differ(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1, 1, 4, 4, 4};
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 6}, epochs, 5);
    struct message *m = solo_append_of(2, 6, (struct log_pos){9, 6});
    solo_with_entry(m, 6);
    solo_step(s, m);
    assert_true(solo_sent(s, MSG_RAFT_APPEND_REPLY, 2)->reject);
    assert_int_equal(solo_sent(s, MSG_RAFT_APPEND_REPLY, 2)->hint.index, 5);
    solo_forget(s);
    solo_step(s, solo_append_of(2, 6, (struct log_pos){5, 3}));
    const struct message *reply = solo_sent(s, MSG_RAFT_APPEND_REPLY, 2);
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
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 6}, epochs, 5);
    struct message *m = solo_append_of(2, 6, (struct log_pos){1, 1});
    solo_with_entry(m, 1);
    solo_with_entry(m, 5);
    solo_step(s, m);
    assert_null(solo_sent(s, MSG_RAFT_APPEND_REPLY, 2)); /* R6: success only when durable */
    solo_store(s);
    assert_int_equal(solo_sent(s, MSG_RAFT_APPEND_REPLY, 2)->last, 3);
    assert_int_equal(log_last(s->log), 3);
    assert_int_equal(log_last_pos(s->log).epoch, 5);
    solo_free(s);
}

/* Raft figure 2 AppendEntries 3: only a conflict cuts; an old, shorter append cuts nothing. */
static void test_raft_delayed_append_cuts_nothing(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 6}, NULL, 0);
    struct message *m = solo_append_of(2, 6, (struct log_pos){0, 0});
    solo_with_entry(m, 6);
    solo_with_entry(m, 6);
    solo_with_entry(m, 6);
    solo_step(s, m);
    m = solo_append_of(2, 6, (struct log_pos){0, 0});
    solo_with_entry(m, 6);
    solo_step(s, m);
    solo_store(s);
    assert_int_equal(log_last(s->log), 3);
    solo_free(s);
}

/* Raft figure 2 AppendEntries 5: "commitIndex = min(leaderCommit, index of last new entry)". */
static void test_raft_follower_commits_no_further_than_it_matches(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1, 4, 4};
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 6}, epochs, 3);
    struct message *m = solo_append_of(2, 6, (struct log_pos){1, 1});
    m->commit = 3; /* 2 and 3 here are not the leader's */
    solo_step(s, m);
    assert_int_equal(solo_status(s).commit, 1);
    m = solo_from(2, MSG_RAFT_HEARTBEAT, 6);
    m->commit = 3;
    m->pos = (struct log_pos){3, 5};
    solo_step(s, m);
    assert_int_equal(solo_status(s).commit, 1);
    m = solo_from(2, MSG_RAFT_COMMIT, 6);
    m->commit = 2;
    m->pos = (struct log_pos){2, 4};
    solo_step(s, m);
    assert_int_equal(solo_status(s).commit, 2); /* this one is: same index and term */
    solo_free(s);
}

/* Entries that do not follow each other or are of later terms than the message are dropped. */
static void test_raft_malformed_append_is_dropped(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 6}, NULL, 0);
    struct message *m = solo_append_of(2, 6, (struct log_pos){0, 0});
    solo_with_entry(m, 7);
    solo_step(s, m);
    m = solo_append_of(2, 6, (struct log_pos){0, 0});
    solo_with_entry(m, 6);
    m->entries[0].index = 2;
    solo_step(s, m);
    assert_int_equal(log_last(s->log), 0);
    solo_free(s);
}

/* Thesis 4.2.3: a vote request within the minimum election time-out of hearing from a leader is
 * ignored, term and all, unless that leader hands over. Thesis 9.6: so is a pre-vote. R12. */
static void test_raft_live_leader_is_not_deposed(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 6}, NULL, 0);
    solo_step(s, solo_from(2, MSG_RAFT_HEARTBEAT, 6));
    solo_tick(s, ELECTION_US - 1);
    solo_step(s, solo_vote_of(3, 9, (struct log_pos){9, 6}));
    assert_int_equal(solo_status(s).epoch, 6);
    assert_null(solo_sent(s, MSG_RAFT_VOTE_REPLY, 3));
    struct message *m = solo_from(3, MSG_RAFT_PREVOTE, 7);
    m->pos = (struct log_pos){9, 6};
    solo_step(s, m);
    assert_true(solo_sent(s, MSG_RAFT_PREVOTE_REPLY, 3)->reject);
    m = solo_vote_of(3, 9, (struct log_pos){9, 6});
    m->ctx = 1; /* the leader asked for it */
    solo_step(s, m);
    solo_store(s);
    assert_false(solo_sent(s, MSG_RAFT_VOTE_REPLY, 3)->reject);
    solo_free(s);
}

/* The same vote is granted when the leader has been silent for the minimum election time-out, or
 * says that it hears no quorum. */
static void test_raft_dead_or_cut_off_leader_holds_nobody_back(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 6}, NULL, 0);
    solo_step(s, solo_from(2, MSG_RAFT_HEARTBEAT, 6));
    solo_tick(s, ELECTION_US);
    solo_step(s, solo_vote_of(3, 9, (struct log_pos){9, 6}));
    assert_int_equal(solo_status(s).epoch, 9);
    solo_free(s);
    s = solo_new(3, (struct hard_state){.epoch = 6}, NULL, 0);
    struct message *m = solo_from(2, MSG_RAFT_HEARTBEAT, 6);
    m->seen = 2; /* itself */
    solo_step(s, m);
    solo_step(s, solo_vote_of(3, 9, (struct log_pos){9, 6}));
    assert_int_equal(solo_status(s).epoch, 9);
    solo_free(s);
}

/* Thesis 6.2: a leader without answers from a majority for an election time-out steps down. */
static void test_raft_check_quorum_steps_down(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){0}, NULL, 0);
    solo_elect(s, 1);
    for (uint32_t i = 0; i < 20; i++) {
        solo_step(s, solo_from(2, MSG_RAFT_HEARTBEAT_REPLY, 1));
        solo_tick(s, ELECTION_US / 10);
    }
    assert_int_equal(solo_status(s).role, ROLE_LEADER);
    for (uint32_t i = 0; i < 12 && solo_status(s).role == ROLE_LEADER; i++) {
        solo_forget(s);
        solo_step(s, solo_from(3, MSG_RAFT_ALIVE, 1)); /* noise is no answer */
        solo_tick(s, ELECTION_US / 10);
    }
    assert_int_equal(solo_status(s).role, ROLE_FOLLOWER);
    assert_int_equal(solo_status(s).leader, 0);
    assert_non_null(solo_sent(s, MSG_RAFT_ALIVE, 2)); /* and says so, in the same turn */
    solo_free(s);
}

/* A leader that resigns holds nobody back: its follower forgets it and stands soon. */
static void test_raft_resignation_ends_the_wait(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 6}, NULL, 0);
    solo_step(s, solo_from(2, MSG_RAFT_HEARTBEAT, 6));
    solo_step(s, solo_from(3, MSG_RAFT_ALIVE, 6)); /* not the leader */
    assert_int_equal(solo_status(s).leader, 2);
    solo_step(s, solo_from(2, MSG_RAFT_ALIVE, 6)); /* ctx 0: knows no leader */
    assert_int_equal(solo_status(s).leader, 0);
    assert_true(consensus_deadline(s->c) < s->now_us + ELECTION_US);
    solo_free(s);
}

/* R6: the completion of an old write does not count what was cut and put again since. */
static void test_raft_old_write_makes_no_newer_entry_durable(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 5}, NULL, 0);
    struct message *m = solo_append_of(2, 5, (struct log_pos){0, 0});
    solo_with_entry(m, 5);
    solo_step(s, m); /* write 1: entry (1, 5) */
    m = solo_append_of(3, 6, (struct log_pos){0, 0});
    solo_with_entry(m, 6);
    solo_step(s, m); /* write 2: cut, entry (1, 6) */
    m = solo_append_of(2, 7, (struct log_pos){0, 0});
    solo_with_entry(m, 5);
    solo_step(s, m); /* write 3: cut, entry (1, 5) again */
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
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 3}, epochs, 3);
    solo_elect(s, 1);
    solo_acknowledge(s, 2, 3);
    assert_int_equal(solo_status(s).match[1], 3);
    for (uint64_t prev = 4; prev >= 3; prev--) {
        struct message *m = solo_from(2, MSG_RAFT_APPEND_REPLY, 4);
        m->reject = true;
        m->pos.index = prev;
        m->hint = (struct log_pos){1, 1};
        solo_forget(s);
        solo_step(s, m);
    }
    assert_int_equal(solo_status(s).match[1], 1);
    assert_int_equal(solo_sent(s, MSG_RAFT_APPEND, 2)->pos.index, 1);
    solo_free(s);
}

/* Thesis 6.4; R9: a read waits for the no-op of the term, then for a quorum that still follows. */
static void test_raft_read_needs_own_term_commit_and_a_quorum(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1};
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 1}, epochs, 1);
    solo_elect(s, 1);
    assert_int_equal(consensus_read(s->c, 42), OK);
    solo_pump(s);
    solo_store(s);
    struct message *m = solo_from(2, MSG_RAFT_HEARTBEAT_REPLY, 2);
    m->ctx = 1000; /* no such round yet */
    solo_step(s, m);
    assert_int_equal(s->read.ctx, 0);
    solo_forget(s);
    solo_acknowledge(s, 2, 2);
    assert_int_equal(solo_status(s).commit, 2);
    const struct message *beat = solo_sent(s, MSG_RAFT_HEARTBEAT, 2);
    assert_non_null(beat); /* the round began at once */
    assert_int_equal(s->read.ctx, 0);
    m = solo_from(2, MSG_RAFT_HEARTBEAT_REPLY, 2);
    m->ctx = beat->ctx - 1; /* an answer to an older heartbeat */
    solo_step(s, m);
    assert_int_equal(s->read.ctx, 0);
    m = solo_from(2, MSG_RAFT_HEARTBEAT_REPLY, 2);
    m->ctx = beat->ctx;
    solo_step(s, m);
    assert_int_equal(s->read.ctx, 42);
    assert_int_equal(s->read.err, OK);
    assert_int_equal(s->read.index, 2);
    solo_free(s);
}

/* Thesis 6.4: a follower asks the leader for the read index; one request for a turn's reads. */
static void test_raft_follower_forwards_reads_in_a_batch(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 3}, NULL, 0);
    assert_int_equal(consensus_read(s->c, 1), ERR_NO_LEADER);
    solo_step(s, solo_from(2, MSG_RAFT_HEARTBEAT, 3));
    solo_forget(s);
    assert_int_equal(consensus_read(s->c, 1), OK);
    assert_int_equal(consensus_read(s->c, 2), OK);
    solo_pump(s);
    const struct message *ask = solo_sent(s, MSG_RAFT_READ_INDEX, 2);
    struct message *stale = solo_from(2, MSG_RAFT_READ_INDEX_REPLY, 3);
    stale->ctx = ask->ctx - 1;
    stale->pos.index = 3;
    solo_step(s, stale);
    assert_int_equal(s->read.ctx, 0);
    struct message *m = solo_from(2, MSG_RAFT_READ_INDEX_REPLY, 3);
    m->ctx = ask->ctx;
    m->pos.index = 9;
    solo_step(s, m);
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
    struct solo *s = solo_new(3, (struct hard_state){0}, NULL, 0);
    solo_elect(s, 1);
    solo_store(s);
    solo_acknowledge(s, 2, 1);
    assert_int_equal(solo_propose(s), OK);
    assert_int_equal(consensus_transfer(s->c, 2), OK);
    solo_pump(s);
    assert_null(solo_sent(s, MSG_RAFT_TIMEOUT_NOW, 2));
    assert_int_equal(solo_propose(s), ERR_BUSY);
    solo_acknowledge(s, 2, 2);
    assert_non_null(solo_sent(s, MSG_RAFT_TIMEOUT_NOW, 2));
    for (uint32_t i = 0; i < 11; i++) {
        solo_step(s, solo_from(2, MSG_RAFT_HEARTBEAT_REPLY, 1));
        solo_tick(s, ELECTION_US / 10);
    }
    assert_int_equal(solo_status(s).role, ROLE_LEADER);
    assert_int_equal(solo_propose(s), OK);
    solo_free(s);
}

/* Thesis 3.10: the target stands at once, without a pre-vote; only its leader may ask for it. */
static void test_raft_timeout_now_starts_an_election(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 3}, NULL, 0);
    solo_step(s, solo_from(2, MSG_RAFT_HEARTBEAT, 3));
    solo_step(s, solo_from(3, MSG_RAFT_TIMEOUT_NOW, 3));
    assert_int_equal(solo_status(s).role, ROLE_FOLLOWER);
    solo_step(s, solo_from(2, MSG_RAFT_TIMEOUT_NOW, 3));
    solo_store(s);
    assert_int_equal(solo_status(s).epoch, 4);
    assert_int_equal(solo_sent(s, MSG_RAFT_VOTE, 2)->ctx, 1);
    solo_free(s);
}

/* Raft 5.3: lost appends are repaired without an election; a slow disk is not taken for loss. */
static void test_raft_lost_append_is_sent_again(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){0}, NULL, 0);
    solo_elect(s, 1);
    solo_store(s);
    solo_acknowledge(s, 2, 1);
    solo_acknowledge(s, 3, 1);
    assert_int_equal(solo_propose(s), OK);
    solo_forget(s);
    for (uint32_t i = 0; i < 5; i++) {
        solo_tick(s, 10000);
        struct message *m = solo_from(2, MSG_RAFT_HEARTBEAT_REPLY, 1);
        m->last = 1;
        m->pos = (struct log_pos){2, 1}; /* has it in memory, its disk is slow */
        solo_step(s, m);
        m = solo_from(3, MSG_RAFT_HEARTBEAT_REPLY, 1);
        m->last = 1;
        m->pos = (struct log_pos){1, 1}; /* it was lost */
        solo_step(s, m);
    }
    assert_null(solo_sent(s, MSG_RAFT_APPEND, 2));
    assert_int_equal(solo_sent(s, MSG_RAFT_APPEND, 3)->entries_count, 1);
    solo_store(s);
    struct message *m = solo_from(2, MSG_RAFT_HEARTBEAT_REPLY, 1);
    m->last = 2; /* durable now; the append reply was lost, this tells the same */
    m->pos = (struct log_pos){2, 1};
    solo_step(s, m);
    assert_int_equal(solo_status(s).commit, 2);
    solo_free(s);
}

/* A turn's proposals travel in one append to each peer, and so does the commit index. */
static void test_raft_a_turn_is_one_append_per_peer(void **state)
{
    (void) state;
    struct solo *s = solo_new(3, (struct hard_state){0}, NULL, 0);
    solo_elect(s, 1);
    solo_store(s);
    solo_acknowledge(s, 2, 1);
    solo_acknowledge(s, 3, 1);
    solo_forget(s);
    struct value *v = value_new_noop();
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(consensus_propose(s->c, v), OK);
    }
    value_unref(v);
    solo_pump(s);
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

static void refuse(struct solo *s, uint64_t term, struct log_pos pos, struct log_pos hint)
{
    struct message *m = solo_from(2, MSG_RAFT_APPEND_REPLY, term);
    m->reject = true;
    m->pos = pos;
    m->hint = hint;
    solo_forget(s);
    solo_step(s, m);
}

/* R11: the log is trimmed only behind what was durable everywhere, so a follower that was last seen
 * before that place is looked for at it, and fed. Only if it refuses that too it lacks what is
 * gone; then it is asked once in a while. */
static void test_raft_follower_is_looked_for_where_the_log_was_trimmed(void **state)
{
    (void) state;
    const uint64_t epochs[] = {1, 1, 2, 3, 3, 3, 3, 3, 3, 3};
    struct solo *s = solo_new(3, (struct hard_state){.epoch = 3, .commit = 10}, epochs, 10);
    solo_elect(s, 2);
    solo_store(s);
    solo_acknowledge(s, 3, 11);
    uint64_t term = solo_status(s).epoch;
    refuse(s, term, (struct log_pos){10, 3}, (struct log_pos){2, 1});
    assert_int_equal(solo_sent(s, MSG_RAFT_APPEND, 2)->pos.index, 2);
    consensus_applied(s->c, 8);
    log_trim(s->log, (struct log_pos){8, 3});
    for (uint32_t i = 0; i < 3; i++) {
        solo_forget(s);
        solo_step(s, solo_from(2, MSG_RAFT_HEARTBEAT_REPLY, term));
        solo_acknowledge(s, 3, 11);
        solo_tick(s, 30000);
    }
    const struct message *m = solo_sent(s, MSG_RAFT_APPEND, 2);
    assert_non_null(m);
    assert_int_equal(m->pos.index, 8);
    assert_int_equal(m->pos.epoch, 3);
    refuse(s, term, (struct log_pos){8, 3}, (struct log_pos){2, 1});
    assert_null(solo_sent(s, MSG_RAFT_APPEND, 2));
    for (uint32_t i = 0; i < 4 && solo_sent(s, MSG_RAFT_APPEND, 2) == NULL; i++) {
        solo_acknowledge(s, 3, 11);
        solo_tick(s, ELECTION_US / 2);
    }
    assert_non_null(solo_sent(s, MSG_RAFT_APPEND, 2));
    assert_int_equal(solo_sent(s, MSG_RAFT_APPEND, 2)->pos.index, 8);
    solo_forget(s);
    solo_acknowledge(s, 2, 11);
    assert_int_equal(solo_status(s).match[1], 11);
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
        cmocka_unit_test(test_raft_follower_is_looked_for_where_the_log_was_trimmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

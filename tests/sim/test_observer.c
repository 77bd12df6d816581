/*
 * test_observer.c - the observer itself: Raft, clients and restarts. Each test does first what is
 * right, then what is wrong. Paxos: test_observer_paxos.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/sim/observer_rig.h"

enum { N1 = 1 << 1, N2 = 1 << 2, N3 = 1 << 3, N4 = 1 << 4, N5 = 1 << 5 };

static struct observer_rig rig;

static void start(uint32_t nodes)
{
    obs_rig_init(&rig, "raft", nodes);
}

static int stop(void **state)
{
    (void) state;
    obs_rig_release(&rig);
    return 0;
}

static void commit(uint32_t node, uint64_t index)
{
    obs_rig_trace(&rig, node, (struct trace_event){.kind = TRACE_COMMIT, .index = index});
}

static void apply(uint32_t node, uint64_t index, uint64_t hash)
{
    obs_rig_trace(&rig, node,
                  (struct trace_event){.kind = TRACE_APPLY, .index = index, .hash = hash});
}

static void follow(uint32_t node, uint64_t term)
{
    obs_rig_trace(&rig, node, (struct trace_event){.kind = TRACE_BECAME_FOLLOWER, .epoch = term});
}

static void vote(uint32_t from, uint32_t to, uint64_t term)
{
    struct message *m = obs_rig_message(MSG_RAFT_VOTE_REPLY, from, to);
    m->epoch = term;
    obs_rig_send(&rig, m);
}

static void match(enum message_type type, uint32_t from, uint32_t to, struct log_pos pos)
{
    struct message *m = obs_rig_message(type, from, to);
    m->epoch = pos.epoch;
    m->last = pos.index;
    obs_rig_send(&rig, m);
}

/* Node 1 leads term 1 of three nodes; index 1 of it is durable on 1 and 2, and committed. */
static void start_with_one_committed(void)
{
    start(3);
    obs_rig_elect(&rig, 1, 1, N1 | N2);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, 1, 7});
    commit(1, 1);
}

#define assert_green() assert_string_equal(rig.property, "")
#define assert_red(id) assert_string_equal(rig.property, id)

/* R1 */
static void test_observer_second_leader_of_a_term_is_seen(void **state)
{
    (void) state;
    start(5);
    obs_rig_elect(&rig, 1, 1, N1 | N2 | N3);
    follow(1, 2);
    obs_rig_elect(&rig, 2, 2, N1 | N2 | N3);
    assert_green();
    assert_int_equal(observer_epoch(rig.o), 2);
    assert_int_equal(observer_leader_changes(rig.o), 2);
    assert_int_equal(observer_deposed(rig.o), 1);
    obs_rig_elect(&rig, 4, 2, N4 | N5);
    assert_red("R1");
}

/* R1 */
static void test_observer_leader_without_a_quorum_of_votes_is_seen(void **state)
{
    (void) state;
    start(5);
    obs_rig_elect(&rig, 1, 1, N1 | N2);
    assert_red("R1");
}

/* R1 */
static void test_observer_second_vote_in_a_term_is_seen_over_restarts(void **state)
{
    (void) state;
    start(3);
    obs_rig_elect(&rig, 1, 1, N1 | N2);
    obs_rig_restart(&rig, 2, &(struct obs_rig_found){.hard = {.epoch = 1, .vote = 1}});
    vote(2, 1, 1);
    assert_green();
    struct log_write *w = obs_rig_write(&rig, 2);
    obs_rig_hard(w, 2, 2);
    obs_rig_store(&rig, 2, w);
    vote(2, 3, 1);
    assert_red("R1");
}

/* R1 */
static void test_observer_vote_lost_by_a_restart_is_seen(void **state)
{
    (void) state;
    start(3);
    obs_rig_elect(&rig, 1, 1, N1 | N2);
    obs_rig_restart(&rig, 2, &(struct obs_rig_found){.hard = {.epoch = 1}});
    assert_red("R1");
}

/* R1 */
static void test_observer_changed_vote_is_seen_when_written(void **state)
{
    (void) state;
    start(3);
    struct log_write *w = obs_rig_write(&rig, 2);
    obs_rig_hard(w, 1, 1);
    obs_rig_store(&rig, 2, w);
    assert_green();
    w = obs_rig_write(&rig, 2);
    obs_rig_hard(w, 1, 3);
    obs_rig_store(&rig, 2, w);
    assert_red("R1");
}

/* R6 */
static void test_observer_vote_told_before_it_is_durable_is_seen(void **state)
{
    (void) state;
    start(3);
    struct log_write *w = obs_rig_write(&rig, 2);
    obs_rig_hard(w, 1, 1);
    obs_rig_handed(&rig, 2, w);
    assert_green();
    vote(2, 1, 1);
    assert_red("R6");
    obs_rig_synced(&rig, 2, w);
}

/* R6 */
static void test_observer_own_vote_counted_before_it_is_durable_is_seen(void **state)
{
    (void) state;
    start(3);
    struct log_write *w = obs_rig_write(&rig, 1);
    obs_rig_hard(w, 1, 1);
    obs_rig_handed(&rig, 1, w);
    for (uint32_t node = 2; node <= 3; node++) {
        struct log_write *other = obs_rig_write(&rig, node);
        obs_rig_hard(other, 1, 1);
        obs_rig_store(&rig, node, other);
        vote(node, 1, 1);
    }
    assert_green();
    obs_rig_trace(&rig, 1, (struct trace_event){.kind = TRACE_BECAME_LEADER, .epoch = 1});
    assert_red("R6");
    obs_rig_synced(&rig, 1, w);
}

/* R2 */
static void test_observer_leader_that_cuts_its_log_is_seen(void **state)
{
    (void) state;
    start(3);
    obs_rig_elect(&rig, 1, 1, N1 | N2);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    follow(1, 2);
    struct log_write *w = obs_rig_write(&rig, 1);
    obs_rig_hard(w, 2, 0);
    log_write_truncate(w, 1);
    obs_rig_trace(&rig, 1, (struct trace_event){.kind = TRACE_TRUNCATE, .epoch = 2, .index = 1});
    obs_rig_store(&rig, 1, w);
    obs_rig_elect(&rig, 1, 3, N1 | N2);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 3, 7});
    assert_green();
    w = obs_rig_write(&rig, 1);
    log_write_truncate(w, 1);
    obs_rig_store(&rig, 1, w);
    assert_red("R2");
}

/* R2 */
static void test_observer_leader_that_overwrites_its_log_is_seen(void **state)
{
    (void) state;
    start(3);
    obs_rig_elect(&rig, 1, 1, N1 | N2);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    assert_green();
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 8});
    assert_red("R2");
}

/* R3 */
static void test_observer_two_entries_of_one_index_and_term_are_seen(void **state)
{
    (void) state;
    start(3);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, 1, 7});
    obs_rig_append(&rig, 3, (struct obs_rig_entry){1, 2, 8});
    assert_green();
    obs_rig_append(&rig, 3, (struct obs_rig_entry){2, 2, 8});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){2, 2, 9});
    assert_red("R3");
}

/* R3 */
static void test_observer_equal_entries_over_different_ones_are_seen(void **state)
{
    (void) state;
    start(3);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, 2, 7});
    obs_rig_append(&rig, 1, (struct obs_rig_entry){2, 3, 8});
    assert_green();
    obs_rig_append(&rig, 2, (struct obs_rig_entry){2, 3, 8});
    assert_red("R3");
}

/* R3 */
static void test_observer_hole_in_a_raft_log_is_seen(void **state)
{
    (void) state;
    start(3);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    assert_green();
    obs_rig_append(&rig, 1, (struct obs_rig_entry){3, 1, 8});
    assert_red("R3");
}

/* R4 */
static void test_observer_leader_without_what_is_committed_is_seen(void **state)
{
    (void) state;
    start_with_one_committed();
    follow(1, 2);
    obs_rig_elect(&rig, 2, 2, N1 | N2);
    follow(2, 3);
    assert_green();
    obs_rig_elect(&rig, 3, 3, N1 | N3);
    assert_red("R4");
}

/* R4: a winner of an old term that hears of its votes late lacks what came after, and may. */
static void test_observer_late_winner_of_an_old_term_need_not_be_complete(void **state)
{
    (void) state;
    start(3);
    for (uint32_t node = 2; node <= 3; node++) {
        struct log_write *w = obs_rig_write(&rig, node);
        obs_rig_hard(w, 1, 3);
        obs_rig_store(&rig, node, w);
    }
    vote(2, 3, 1);
    obs_rig_elect(&rig, 1, 2, N1 | N2);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 2, 7});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, 2, 7});
    commit(1, 1);
    obs_rig_trace(&rig, 3, (struct trace_event){.kind = TRACE_BECAME_LEADER, .epoch = 1});
    assert_green();
}

/* R4 */
static void test_observer_cut_of_what_is_chosen_is_seen(void **state)
{
    (void) state;
    start_with_one_committed();
    obs_rig_append(&rig, 3, (struct obs_rig_entry){1, 1, 7});
    assert_green();
    struct log_write *w = obs_rig_write(&rig, 3);
    obs_rig_hard(w, 2, 0);
    log_write_truncate(w, 1);
    obs_rig_store(&rig, 3, w);
    assert_red("R4");
}

/* R5 */
static void test_observer_states_that_differ_are_seen_over_restarts(void **state)
{
    (void) state;
    start_with_one_committed();
    apply(1, 1, 99);
    commit(2, 1);
    apply(2, 1, 99);
    obs_rig_restart(&rig, 2,
                    &(struct obs_rig_found){.hard = {.epoch = 1, .vote = 1},
                                            .entries = {{1, 1, 7}}});
    commit(2, 1);
    assert_green();
    apply(2, 1, 98);
    assert_red("R5");
}

/* R5 */
static void test_observer_apply_of_what_is_not_committed_is_seen(void **state)
{
    (void) state;
    start_with_one_committed();
    apply(1, 1, 99);
    assert_green();
    apply(2, 1, 99);
    assert_red("R5");
}

/* R7 */
static void test_observer_apply_out_of_order_is_seen(void **state)
{
    (void) state;
    start_with_one_committed();
    obs_rig_append(&rig, 1, (struct obs_rig_entry){2, 1, 8});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){2, 1, 8});
    commit(1, 2);
    assert_green();
    apply(1, 2, 99);
    assert_red("R7");
}

/* R6 */
static void test_observer_append_acknowledged_before_it_is_durable_is_seen(void **state)
{
    (void) state;
    start(3);
    obs_rig_elect(&rig, 1, 1, N1 | N2);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, 1, 7});
    match(MSG_RAFT_APPEND_REPLY, 2, 1, (struct log_pos){1, 1});
    match(MSG_RAFT_HEARTBEAT_REPLY, 2, 1, (struct log_pos){1, 1});
    assert_green();
    obs_rig_append(&rig, 1, (struct obs_rig_entry){2, 1, 8});
    struct log_write *w = obs_rig_write(&rig, 2);
    obs_rig_put(&rig, w, (struct obs_rig_entry){2, 1, 8});
    obs_rig_handed(&rig, 2, w);
    match(MSG_RAFT_HEARTBEAT_REPLY, 2, 1, (struct log_pos){2, 1});
    assert_red("R6");
    obs_rig_synced(&rig, 2, w);
}

/* R6 */
static void test_observer_match_with_another_log_is_seen(void **state)
{
    (void) state;
    start(3);
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, 1, 7});
    obs_rig_elect(&rig, 1, 2, N1 | N3);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 2, 8});
    struct log_write *w = obs_rig_write(&rig, 2);
    obs_rig_hard(w, 2, 0);
    obs_rig_store(&rig, 2, w);
    assert_green();
    match(MSG_RAFT_APPEND_REPLY, 2, 1, (struct log_pos){1, 2});
    assert_red("R6");
}

/* R6: two writes become durable together; the answer to the first is released after both. */
static void test_observer_answer_of_before_a_cut_may_come_after_it(void **state)
{
    (void) state;
    start(3);
    obs_rig_elect(&rig, 1, 1, N1 | N2);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    struct log_write *a = obs_rig_write(&rig, 2);
    struct log_write *b = obs_rig_write(&rig, 2);
    obs_rig_put(&rig, a, (struct obs_rig_entry){1, 1, 7});
    log_write_truncate(b, 1);
    obs_rig_handed(&rig, 2, a);
    obs_rig_handed(&rig, 2, b);
    obs_rig_synced(&rig, 2, a);
    obs_rig_synced(&rig, 2, b);
    assert_red("R4"); /* of three nodes two make it chosen */
    obs_rig_release(&rig);
    start(5);
    obs_rig_elect(&rig, 1, 1, N1 | N2 | N3);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    a = obs_rig_write(&rig, 2);
    b = obs_rig_write(&rig, 2);
    obs_rig_put(&rig, a, (struct obs_rig_entry){1, 1, 7});
    log_write_truncate(b, 1);
    obs_rig_handed(&rig, 2, a);
    obs_rig_handed(&rig, 2, b);
    obs_rig_synced(&rig, 2, a);
    obs_rig_synced(&rig, 2, b);
    obs_rig_trace(&rig, 2, (struct trace_event){.kind = TRACE_DURABLE, .ctx = 3});
    match(MSG_RAFT_APPEND_REPLY, 2, 1, (struct log_pos){1, 1});
    assert_green();
    struct log_write *c = obs_rig_write(&rig, 2);
    obs_rig_hard(c, 1, 1);
    obs_rig_store(&rig, 2, c);
    match(MSG_RAFT_APPEND_REPLY, 2, 1, (struct log_pos){1, 1});
    assert_red("R6");
}

/* R7, Raft 5.4.2: figure 8. */
static void test_observer_old_term_committed_by_counting_is_seen(void **state)
{
    (void) state;
    start(5);
    obs_rig_elect(&rig, 1, 1, N1 | N2 | N3);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, 1, 7});
    obs_rig_elect(&rig, 1, 2, N1 | N2 | N3);
    obs_rig_append(&rig, 3,
                   (struct obs_rig_entry){1, 1, 7}); /* on a majority, and not chosen by it */
    assert_green();
    commit(1, 1);
    assert_red("R7");
}

/* R7: an old entry is committed by an own one above it. */
static void test_observer_own_term_commits_what_is_below(void **state)
{
    (void) state;
    start(5);
    obs_rig_elect(&rig, 1, 1, N1 | N2 | N3);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    obs_rig_elect(&rig, 2, 2, N2 | N3 | N4);
    obs_rig_elect(&rig, 1, 3, N1 | N2 | N3);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){2, 3, 0});
    for (uint32_t node = 2; node <= 3; node++) {
        obs_rig_append(&rig, node, (struct obs_rig_entry){1, 1, 7});
        obs_rig_append(&rig, node, (struct obs_rig_entry){2, 3, 0});
    }
    commit(1, 2);
    apply(1, 1, 50);
    apply(1, 2, 51);
    assert_green();
    assert_int_equal(observer_committed(rig.o), 2);
}

/* R7 */
static void test_observer_commit_of_what_no_quorum_holds_is_seen(void **state)
{
    (void) state;
    start_with_one_committed();
    obs_rig_append(&rig, 1, (struct obs_rig_entry){2, 1, 8});
    assert_green();
    commit(1, 2);
    assert_red("R7");
}

/* R7 */
static void test_observer_follower_ahead_of_every_leader_is_seen(void **state)
{
    (void) state;
    start_with_one_committed();
    commit(2, 1);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){2, 1, 8});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){2, 1, 8}); /* chosen, but nobody knows */
    assert_green();
    commit(2, 2);
    assert_red("R7");
}

/* R7 */
static void test_observer_commit_of_another_entry_is_seen(void **state)
{
    (void) state;
    start_with_one_committed();
    obs_rig_append(&rig, 3, (struct obs_rig_entry){1, 2, 8});
    commit(3, 1);
    assert_green(); /* it may still hand out the right one with this turn */
    vote(3, 1, 0);
    assert_red("R7");
}

/* R7 */
static void test_observer_commit_or_term_that_falls_is_seen(void **state)
{
    (void) state;
    start_with_one_committed();
    commit(1, 1);
    assert_red("R7");
    obs_rig_release(&rig);
    start(3);
    follow(1, 4);
    assert_green();
    follow(1, 3);
    assert_red("R7");
}

/* R7 */
static void test_observer_message_that_speaks_of_more_than_is_chosen_is_seen(void **state)
{
    (void) state;
    start_with_one_committed();
    struct message *m = obs_rig_message(MSG_RAFT_HEARTBEAT, 1, 3);
    m->commit = 1;
    obs_rig_send(&rig, m);
    assert_green();
    m = obs_rig_message(MSG_RAFT_HEARTBEAT, 1, 3);
    m->commit = 2;
    obs_rig_send(&rig, m);
    assert_red("R7");
}

/* R7 */
static void test_observer_state_ahead_of_the_log_is_seen_at_a_restart(void **state)
{
    (void) state;
    start_with_one_committed();
    struct obs_rig_found found = {.hard = {.epoch = 1, .vote = 1},
                                  .entries = {{1, 1, 7}},
                                  .applied = 1};
    obs_rig_restart(&rig, 2, &found);
    assert_green();
    found.applied = 2;
    obs_rig_restart(&rig, 2, &found);
    assert_red("R7");
}

/* R10 */
static void test_observer_log_trimmed_before_it_is_applied_is_seen(void **state)
{
    (void) state;
    start_with_one_committed();
    apply(1, 1, 99);
    observer_trimmed(rig.o, 1, (struct log_pos){1, 1});
    obs_rig_append(&rig, 1, (struct obs_rig_entry){2, 1, 8});
    obs_rig_restart(&rig, 1,
                    &(struct obs_rig_found){.hard = {.epoch = 1, .vote = 1},
                                            .trimmed = {1, 1},
                                            .entries = {{2, 1, 8}},
                                            .applied = 1});
    assert_green();
    observer_trimmed(rig.o, 2, (struct log_pos){1, 1});
    assert_red("R10");
}

/* P2 */
static void test_observer_command_that_nobody_submitted_is_seen(void **state)
{
    (void) state;
    start(3);
    struct log_write *made = obs_rig_write(&rig, 1);
    obs_rig_put(&rig, made, (struct obs_rig_entry){1, 1, 7});
    obs_rig_put(&rig, made, (struct obs_rig_entry){2, 1, 0});
    obs_rig_store(&rig, 1, made);
    assert_green();
    struct observer_rig other; /* to which it was submitted instead */
    obs_rig_init(&other, "raft", 1);
    struct log_write *w = obs_rig_write(&rig, 1);
    obs_rig_put(&other, w, (struct obs_rig_entry){3, 1, 9});
    obs_rig_release(&other);
    obs_rig_store(&rig, 1, w);
    assert_red("P2");
}

/* R9 */
static void test_observer_read_of_the_past_is_seen(void **state)
{
    (void) state;
    start_with_one_committed();
    uint64_t floor = observer_invoked(rig.o);
    observer_answered(rig.o, 1, floor, 1, false);
    observer_answered(rig.o, 3, 0, 0, false); /* a local one */
    assert_green();
    observer_answered(rig.o, 3, floor, 0, false);
    assert_red("R9");
}

/* D1 */
static void test_observer_write_answered_beyond_what_is_durable_is_seen(void **state)
{
    (void) state;
    start_with_one_committed();
    observer_answered(rig.o, 1, 1, 1, true);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){2, 1, 8});
    assert_green();
    observer_answered(rig.o, 1, 1, 2, true);
    assert_red("D1");
}

/* D4 */
static void test_observer_restart_without_a_durable_entry_is_seen(void **state)
{
    (void) state;
    start(3);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    struct log_write *w = obs_rig_write(&rig, 1);
    obs_rig_put(&rig, w, (struct obs_rig_entry){2, 1, 8});
    obs_rig_handed(&rig, 1, w);
    obs_rig_restart(&rig, 1, &(struct obs_rig_found){.entries = {{1, 1, 7}, {2, 1, 8}}});
    assert_green(); /* what was under way may be there; then it is durable */
    log_write_free(w);
    obs_rig_restart(&rig, 1, &(struct obs_rig_found){.entries = {{1, 1, 7}}});
    assert_red("D4");
}

/* D4: what was only handed out may be gone. */
static void test_observer_restart_without_what_was_under_way_is_right(void **state)
{
    (void) state;
    start(3);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    struct log_write *w = obs_rig_write(&rig, 1);
    obs_rig_hard(w, 2, 0);
    log_write_truncate(w, 1);
    obs_rig_handed(&rig, 1, w);
    obs_rig_restart(&rig, 1, &(struct obs_rig_found){.entries = {{1, 1, 7}}});
    log_write_free(w);
    assert_green();
}

/* D8 */
static void test_observer_restart_with_a_torn_write_is_seen(void **state)
{
    (void) state;
    start(3);
    struct log_write *w = obs_rig_write(&rig, 1);
    obs_rig_put(&rig, w, (struct obs_rig_entry){1, 1, 7});
    obs_rig_put(&rig, w, (struct obs_rig_entry){2, 1, 8});
    obs_rig_handed(&rig, 1, w);
    assert_green();
    obs_rig_restart(&rig, 1, &(struct obs_rig_found){.entries = {{1, 1, 7}}});
    log_write_free(w);
    assert_red("D8");
}

/* D8 */
static void test_observer_restart_with_a_later_write_alone_is_seen(void **state)
{
    (void) state;
    start(3);
    struct log_write *a = obs_rig_write(&rig, 1);
    struct log_write *b = obs_rig_write(&rig, 1);
    obs_rig_put(&rig, a, (struct obs_rig_entry){1, 1, 7});
    obs_rig_hard(b, 3, 0);
    obs_rig_handed(&rig, 1, a);
    obs_rig_handed(&rig, 1, b);
    assert_green();
    obs_rig_restart(&rig, 1, &(struct obs_rig_found){.hard = {.epoch = 3}});
    log_write_free(a);
    log_write_free(b);
    assert_red("D8");
}

/* D4 */
static void test_observer_restart_without_an_accepted_value_is_seen(void **state)
{
    (void) state;
    obs_rig_init(&rig, "paxos", 3);
    obs_rig_accept(&rig, 1, (struct obs_rig_entry){2, ballot_make(1, 2), 7}, 2);
    obs_rig_restart(&rig, 1, &(struct obs_rig_found){.entries = {{2, ballot_make(1, 2), 7}}});
    assert_green();
    obs_rig_restart(&rig, 1, &(struct obs_rig_found){.applied = 0});
    assert_red("D4");
}

/* P7: Basic Paxos keeps the rounds it has reserved in its hard state. */
static void test_observer_reservation_lost_by_a_restart_is_seen(void **state)
{
    (void) state;
    obs_rig_init(&rig, "paxos", 3);
    struct log_write *w = obs_rig_write(&rig, 1);
    obs_rig_hard(w, ballot_make(9, 1), 0);
    obs_rig_store(&rig, 1, w);
    assert_green();
    obs_rig_restart(&rig, 1, &(struct obs_rig_found){.applied = 0});
    assert_red("P7");
}

/* D9 */
static void test_observer_old_image_that_votes_again_is_seen(void **state)
{
    (void) state;
    start(3);
    obs_rig_elect(&rig, 1, 1, N1 | N2);
    obs_rig_restart(&rig, 2, &(struct obs_rig_found){.restored = true});
    struct log_write *w = obs_rig_write(&rig, 2);
    obs_rig_hard(w, 1, 1);
    obs_rig_store(&rig, 2, w);
    vote(2, 1, 1);
    assert_green(); /* the same again harms nobody */
    obs_rig_restart(&rig, 2, &(struct obs_rig_found){.restored = true});
    w = obs_rig_write(&rig, 2);
    obs_rig_hard(w, 1, 3);
    obs_rig_store(&rig, 2, w);
    assert_red("D9");
}

/* D1: what a node has lost for good is not asked of the others. */
static void test_observer_lost_node_holds_nothing(void **state)
{
    (void) state;
    start_with_one_committed();
    observer_lost(rig.o, 2);
    apply(1, 1, 99);
    observer_answered(rig.o, 1, 1, 1, true);
    assert_green();
    obs_rig_append(&rig, 1, (struct obs_rig_entry){2, 1, 8});
    commit(1, 2);
    assert_red("R7");
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, stop)
    const struct CMUnitTest tests[] = {
        T(test_observer_second_leader_of_a_term_is_seen),
        T(test_observer_leader_without_a_quorum_of_votes_is_seen),
        T(test_observer_second_vote_in_a_term_is_seen_over_restarts),
        T(test_observer_vote_lost_by_a_restart_is_seen),
        T(test_observer_changed_vote_is_seen_when_written),
        T(test_observer_vote_told_before_it_is_durable_is_seen),
        T(test_observer_own_vote_counted_before_it_is_durable_is_seen),
        T(test_observer_leader_that_cuts_its_log_is_seen),
        T(test_observer_leader_that_overwrites_its_log_is_seen),
        T(test_observer_two_entries_of_one_index_and_term_are_seen),
        T(test_observer_equal_entries_over_different_ones_are_seen),
        T(test_observer_hole_in_a_raft_log_is_seen),
        T(test_observer_leader_without_what_is_committed_is_seen),
        T(test_observer_late_winner_of_an_old_term_need_not_be_complete),
        T(test_observer_cut_of_what_is_chosen_is_seen),
        T(test_observer_states_that_differ_are_seen_over_restarts),
        T(test_observer_apply_of_what_is_not_committed_is_seen),
        T(test_observer_apply_out_of_order_is_seen),
        T(test_observer_append_acknowledged_before_it_is_durable_is_seen),
        T(test_observer_match_with_another_log_is_seen),
        T(test_observer_answer_of_before_a_cut_may_come_after_it),
        T(test_observer_old_term_committed_by_counting_is_seen),
        T(test_observer_own_term_commits_what_is_below),
        T(test_observer_commit_of_what_no_quorum_holds_is_seen),
        T(test_observer_follower_ahead_of_every_leader_is_seen),
        T(test_observer_commit_of_another_entry_is_seen),
        T(test_observer_commit_or_term_that_falls_is_seen),
        T(test_observer_message_that_speaks_of_more_than_is_chosen_is_seen),
        T(test_observer_state_ahead_of_the_log_is_seen_at_a_restart),
        T(test_observer_log_trimmed_before_it_is_applied_is_seen),
        T(test_observer_command_that_nobody_submitted_is_seen),
        T(test_observer_read_of_the_past_is_seen),
        T(test_observer_write_answered_beyond_what_is_durable_is_seen),
        T(test_observer_restart_without_a_durable_entry_is_seen),
        T(test_observer_restart_without_what_was_under_way_is_right),
        T(test_observer_restart_with_a_torn_write_is_seen),
        T(test_observer_restart_with_a_later_write_alone_is_seen),
        T(test_observer_restart_without_an_accepted_value_is_seen),
        T(test_observer_reservation_lost_by_a_restart_is_seen),
        T(test_observer_old_image_that_votes_again_is_seen),
        T(test_observer_lost_node_holds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

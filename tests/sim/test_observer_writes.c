/*
 * test_observer_writes.c - the observer itself: what nodes hand to their logs, find there and trace
 * that no engine should. Elections, commit, promises: test_observer.c, test_observer_paxos.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/sim/observer_rig.h"

static struct observer_rig rig;

static void start(const char *engine)
{
    obs_rig_init(&rig, engine, 3);
}

static int stop(void **state)
{
    (void) state;
    obs_rig_release(&rig);
    return 0;
}

static void hard(uint32_t node, struct hard_state state)
{
    struct log_write *w = obs_rig_write(&rig, node);
    w->hard_set = true;
    w->hard = state;
    obs_rig_store(&rig, node, w);
}

static void cut(uint32_t node, uint64_t from)
{
    struct log_write *w = obs_rig_write(&rig, node);
    log_write_truncate(w, from);
    obs_rig_store(&rig, node, w);
}

static void event(uint32_t node, uint8_t kind, struct log_pos pos)
{
    obs_rig_trace(&rig, node,
                  (struct trace_event){.kind = kind, .epoch = pos.epoch, .index = pos.index});
}

static void heartbeat_reply(uint32_t node, struct log_pos last)
{
    struct message *m = obs_rig_message(MSG_RAFT_HEARTBEAT_REPLY, node, 1);
    m->epoch = last.epoch;
    m->last = last.index;
    obs_rig_send(&rig, m);
}

#define assert_green() assert_string_equal(rig.property, "")
#define assert_red(id) assert_string_equal(rig.property, id)

/* D4 */
static void test_observer_index_out_of_all_bounds_is_seen(void **state)
{
    (void) state;
    start("paxos");
    struct log_write *w = obs_rig_write(&rig, 1);
    log_write_promise(w, (struct slot_promise){1000, ballot_make(1, 1)});
    obs_rig_store(&rig, 1, w);
    assert_green();
    w = obs_rig_write(&rig, 1);
    log_write_promise(w, (struct slot_promise){UINT64_MAX, ballot_make(1, 1)});
    obs_rig_store(&rig, 1, w);
    assert_red("D4");
}

/* P3 */
static void test_observer_trace_out_of_all_bounds_is_seen(void **state)
{
    (void) state;
    start("paxos");
    event(1, TRACE_ACCEPT, (struct log_pos){UINT64_MAX, ballot_make(1, 1)});
    assert_red("P3");
}

/* R7 */
static void test_observer_commit_written_ahead_is_seen(void **state)
{
    (void) state;
    start("raft");
    hard(1, (struct hard_state){.epoch = 1});
    assert_green();
    hard(1, (struct hard_state){.epoch = 1, .commit = 1});
    assert_red("R7");
}

/* P3 */
static void test_observer_commit_written_ahead_by_paxos_is_seen(void **state)
{
    (void) state;
    start("multipaxos");
    hard(1, (struct hard_state){.epoch = ballot_make(1, 1)});
    assert_green();
    hard(1, (struct hard_state){.epoch = ballot_make(1, 1), .commit = 1});
    assert_red("P3");
}

/* R7 */
static void test_observer_term_written_that_falls_is_seen(void **state)
{
    (void) state;
    start("raft");
    hard(1, (struct hard_state){.epoch = 2});
    hard(1, (struct hard_state){.epoch = 2, .vote = 3});
    assert_green();
    hard(1, (struct hard_state){.epoch = 1});
    assert_red("R7");
}

/* R1 */
static void test_observer_vote_changed_before_it_is_durable_is_seen(void **state)
{
    (void) state;
    start("raft");
    struct log_write *a = obs_rig_write(&rig, 1);
    struct log_write *b = obs_rig_write(&rig, 1);
    obs_rig_hard(a, 2, 3);
    obs_rig_hard(b, 2, 1);
    obs_rig_handed(&rig, 1, a);
    assert_green();
    obs_rig_handed(&rig, 1, b);
    assert_red("R1");
    log_write_free(a);
    log_write_free(b);
}

/* R2 */
static void test_observer_cut_traced_by_a_leader_is_seen(void **state)
{
    (void) state;
    start("raft");
    event(1, TRACE_TRUNCATE, (struct log_pos){1, 1});
    obs_rig_elect(&rig, 1, 1, 1 << 1 | 1 << 2);
    assert_green();
    event(1, TRACE_TRUNCATE, (struct log_pos){1, 1});
    assert_red("R2");
}

/* R3 */
static void test_observer_trim_at_another_term_is_seen(void **state)
{
    (void) state;
    start("raft");
    obs_rig_elect(&rig, 1, 1, 1 << 1 | 1 << 2);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, 1, 7});
    event(1, TRACE_COMMIT, (struct log_pos){1, 0});
    event(1, TRACE_APPLY, (struct log_pos){1, 0});
    assert_green();
    observer_trimmed(rig.o, 1, (struct log_pos){1, 2});
    assert_red("R3");
}

/* D4 */
static void test_observer_trim_undone_by_a_restart_is_seen(void **state)
{
    (void) state;
    start("raft");
    struct obs_rig_found found = {.hard = {.epoch = 1, .vote = 1},
                                  .entries = {{1, 1, 7}},
                                  .applied = 1};
    obs_rig_elect(&rig, 1, 1, 1 << 1 | 1 << 2);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, 1, 7});
    event(1, TRACE_COMMIT, (struct log_pos){1, 0});
    event(1, TRACE_APPLY, (struct log_pos){1, 0});
    obs_rig_restart(&rig, 1, &found);
    assert_green();
    observer_trimmed(rig.o, 1, (struct log_pos){1, 1});
    assert_green();
    obs_rig_restart(&rig, 1, &found);
    assert_red("D4");
}

/* R5: an old image lets a second log be chosen. */
static void test_observer_two_logs_on_quorums_are_seen(void **state)
{
    (void) state;
    start("raft");
    obs_rig_elect(&rig, 1, 1, 1 << 1 | 1 << 2);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, 1, 7});
    obs_rig_restart(&rig, 2, &(struct obs_rig_found){.restored = true});
    hard(2, (struct hard_state){.epoch = 2});
    hard(3, (struct hard_state){.epoch = 2});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, 2, 8});
    assert_green();
    obs_rig_append(&rig, 3, (struct obs_rig_entry){1, 2, 8});
    assert_red("R5");
}

/* R5 */
static void test_observer_log_on_a_quorum_over_another_one_is_seen(void **state)
{
    (void) state;
    start("raft");
    obs_rig_elect(&rig, 1, 1, 1 << 1 | 1 << 2);
    obs_rig_append(&rig, 1, (struct obs_rig_entry){1, 1, 7});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, 1, 7});
    obs_rig_restart(&rig, 2, &(struct obs_rig_found){.restored = true});
    for (uint32_t node = 2; node <= 3; node++) {
        hard(node, (struct hard_state){.epoch = 3});
        obs_rig_append(&rig, node, (struct obs_rig_entry){1, 2, 8});
        assert_green();
        obs_rig_append(&rig, node, (struct obs_rig_entry){2, 3, 9});
    }
    assert_red("R5");
}

/* R6: durable, but not for long. */
static void test_observer_match_told_while_it_is_cut_is_seen(void **state)
{
    (void) state;
    start("raft");
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, 1, 7});
    obs_rig_append(&rig, 2, (struct obs_rig_entry){2, 1, 8});
    struct log_write *w = obs_rig_write(&rig, 2);
    log_write_truncate(w, 2);
    obs_rig_handed(&rig, 2, w);
    heartbeat_reply(2, (struct log_pos){1, 1});
    assert_green();
    heartbeat_reply(2, (struct log_pos){2, 1});
    assert_red("R6");
    obs_rig_synced(&rig, 2, w);
}

/* P4 */
static void test_observer_promise_traced_that_falls_is_seen(void **state)
{
    (void) state;
    start("paxos");
    event(1, TRACE_PROMISE, (struct log_pos){1, ballot_make(2, 2)});
    event(1, TRACE_PROMISE, (struct log_pos){2, ballot_make(1, 2)}); /* another slot */
    assert_green();
    event(1, TRACE_PROMISE, (struct log_pos){1, ballot_make(1, 2)});
    assert_red("P4");
}

/* P4 */
static void test_observer_accept_written_behind_a_promise_is_seen(void **state)
{
    const uint64_t low = ballot_make(1, 1);
    (void) state;
    start("multipaxos");
    obs_rig_trace(&rig, 2,
                  (struct trace_event){
                      .kind = TRACE_ACCEPT, .epoch = low, .index = 1, .hash = obs_rig_crc(7)});
    hard(2, (struct hard_state){.epoch = ballot_make(2, 3)});
    assert_green();
    obs_rig_append(&rig, 2, (struct obs_rig_entry){1, low, 7});
    assert_red("P4");
}

/* P4, P7 */
static void test_observer_ballot_written_that_falls_is_seen(void **state)
{
    static const char *const engines[] = {"multipaxos", "paxos"};
    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
        start(engines[i]);
        hard(1, (struct hard_state){.epoch = ballot_make(2, 1)});
        assert_green();
        hard(1, (struct hard_state){.epoch = ballot_make(1, 1)});
        assert_red(i == 0 ? "P4" : "P7");
        if (i == 0) {
            obs_rig_release(&rig);
        }
    }
}

/* P4 */
static void test_observer_acceptor_that_cuts_its_log_is_seen(void **state)
{
    (void) state;
    start("paxos");
    obs_rig_accept(&rig, 1, (struct obs_rig_entry){1, ballot_make(1, 2), 7}, 2);
    assert_green();
    cut(1, 1);
    assert_red("P4");
}

/* P8 */
static void test_observer_commit_of_paxos_that_falls_is_seen(void **state)
{
    (void) state;
    start("paxos");
    obs_rig_accept(&rig, 1, (struct obs_rig_entry){1, ballot_make(1, 2), 7}, 2);
    obs_rig_accept(&rig, 2, (struct obs_rig_entry){1, ballot_make(1, 2), 7}, 2);
    event(1, TRACE_COMMIT, (struct log_pos){1, 0});
    assert_green();
    event(1, TRACE_COMMIT, (struct log_pos){1, 0});
    assert_red("P8");
}

/* P14 */
static void test_observer_value_told_before_it_is_durable_is_seen(void **state)
{
    const uint64_t low = ballot_make(1, 1);
    const uint64_t high = ballot_make(2, 3);
    (void) state;
    start("multipaxos");
    hard(2, (struct hard_state){.epoch = high});
    struct message *m = obs_rig_message(MSG_PAXOS_PROMISE, 2, 3);
    m->epoch = high;
    m->pos.index = 1;
    obs_rig_send(&rig, m);
    assert_green();
    m = obs_rig_message(MSG_PAXOS_PROMISE, 2, 3);
    m->epoch = high;
    m->pos.index = 1;
    obs_rig_message_put(m, (struct obs_rig_entry){1, low, 7});
    obs_rig_send(&rig, m);
    assert_red("P14");
}

/* P7 */
static void test_observer_proposal_under_the_ballot_of_another_is_seen(void **state)
{
    (void) state;
    start("paxos");
    event(1, TRACE_PROPOSE, (struct log_pos){1, ballot_make(1, 2)});
    assert_red("P7");
}

/* P7 */
static void test_observer_leader_under_the_ballot_of_another_is_seen(void **state)
{
    (void) state;
    start("multipaxos");
    hard(1, (struct hard_state){.epoch = ballot_make(1, 2)});
    assert_green();
    event(1, TRACE_BECAME_LEADER, (struct log_pos){0, ballot_make(1, 2)});
    assert_red("P7");
}

/* P6 */
static void test_observer_proposal_by_who_does_not_lead_is_seen(void **state)
{
    (void) state;
    start("multipaxos");
    hard(1, (struct hard_state){.epoch = ballot_make(1, 1)});
    assert_green();
    event(1, TRACE_PROPOSE, (struct log_pos){1, ballot_make(1, 1)});
    assert_red("P6");
    assert_non_null(strstr(rig.text, "not leading"));
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, stop)
    const struct CMUnitTest tests[] = {
        T(test_observer_index_out_of_all_bounds_is_seen),
        T(test_observer_trace_out_of_all_bounds_is_seen),
        T(test_observer_commit_written_ahead_is_seen),
        T(test_observer_commit_written_ahead_by_paxos_is_seen),
        T(test_observer_term_written_that_falls_is_seen),
        T(test_observer_vote_changed_before_it_is_durable_is_seen),
        T(test_observer_cut_traced_by_a_leader_is_seen),
        T(test_observer_trim_at_another_term_is_seen),
        T(test_observer_trim_undone_by_a_restart_is_seen),
        T(test_observer_two_logs_on_quorums_are_seen),
        T(test_observer_log_on_a_quorum_over_another_one_is_seen),
        T(test_observer_match_told_while_it_is_cut_is_seen),
        T(test_observer_promise_traced_that_falls_is_seen),
        T(test_observer_accept_written_behind_a_promise_is_seen),
        T(test_observer_ballot_written_that_falls_is_seen),
        T(test_observer_acceptor_that_cuts_its_log_is_seen),
        T(test_observer_commit_of_paxos_that_falls_is_seen),
        T(test_observer_value_told_before_it_is_durable_is_seen),
        T(test_observer_proposal_under_the_ballot_of_another_is_seen),
        T(test_observer_leader_under_the_ballot_of_another_is_seen),
        T(test_observer_proposal_by_who_does_not_lead_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

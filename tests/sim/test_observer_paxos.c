/*
 * test_observer_paxos.c - the observer itself: both Paxos engines. Each test does first what is
 * right, then what is wrong. Raft, clients and restarts: test_observer.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/sim/observer_rig.h"

static struct observer_rig rig;

static void start(const char *engine, uint32_t nodes)
{
    obs_rig_init(&rig, engine, nodes);
}

static int stop(void **state)
{
    (void) state;
    obs_rig_release(&rig);
    return 0;
}

/* Ballots are named by round and node. */
static uint64_t ballot(uint64_t round, uint32_t node)
{
    return ballot_make(round, node);
}

static void trace(uint32_t node, uint8_t kind, struct obs_rig_entry entry)
{
    obs_rig_trace(&rig, node,
                  (struct trace_event){.kind = kind,
                                       .epoch = entry.epoch,
                                       .index = entry.index,
                                       .hash = obs_rig_crc(entry.number)});
}

static void accept(uint32_t node, uint64_t index, uint64_t epoch, uint64_t number)
{
    obs_rig_accept(&rig, node, (struct obs_rig_entry){index, epoch, number}, ballot_node(epoch));
}

/* Basic Paxos: a promise for one slot, durable, and told with what `entry` says was accepted. */
static void promise_durable(uint32_t node, uint64_t index, uint64_t epoch)
{
    struct log_write *w = obs_rig_write(&rig, node);
    trace(node, TRACE_PROMISE, (struct obs_rig_entry){index, epoch, 0});
    log_write_promise(w, (struct slot_promise){index, epoch});
    obs_rig_store(&rig, node, w);
}

static void promise_told(uint32_t node, uint64_t index, uint64_t epoch,
                         const struct obs_rig_entry *entry)
{
    struct message *m = obs_rig_message(MSG_PAXOS_PROMISE, node, ballot_node(epoch));
    m->epoch = epoch;
    m->pos.index = index;
    m->last = index;
    if (entry != NULL) {
        obs_rig_message_put(m, *entry);
    }
    obs_rig_send(&rig, m);
}

static void promise(uint32_t node, uint64_t index, uint64_t epoch,
                    const struct obs_rig_entry *entry)
{
    promise_durable(node, index, epoch);
    promise_told(node, index, epoch, entry);
}

static void reserve(uint32_t node, uint64_t epoch)
{
    struct log_write *w = obs_rig_write(&rig, node);
    obs_rig_hard(w, epoch, 0);
    obs_rig_store(&rig, node, w);
}

static void propose(uint32_t node, uint64_t index, uint64_t epoch, uint64_t number)
{
    trace(node, TRACE_PROPOSE, (struct obs_rig_entry){index, epoch, number});
}

static void prepare_sent(uint32_t node, uint64_t epoch)
{
    struct message *m = obs_rig_message(MSG_PAXOS_PREPARE, node, node == 1 ? 2 : 1);
    m->epoch = epoch;
    m->pos.index = 1;
    m->last = 1;
    obs_rig_send(&rig, m);
}

/* Multi-Paxos: a promise for all slots. */
static void promise_all(uint32_t node, uint64_t epoch)
{
    struct log_write *w = obs_rig_write(&rig, node);
    obs_rig_hard(w, epoch, 0);
    trace(node, TRACE_PROMISE, (struct obs_rig_entry){1, epoch, 0});
    obs_rig_store(&rig, node, w);
}

/* A page that begins at slot 1; `next` 0: the last one. */
static struct message *page(uint32_t node, uint64_t epoch, uint64_t from, uint64_t next)
{
    struct message *m = obs_rig_message(MSG_PAXOS_PROMISE, node, ballot_node(epoch));
    m->epoch = epoch;
    m->pos.index = from;
    m->hint.index = next;
    return m;
}

static void became_leader(uint32_t node, uint64_t epoch, uint64_t last)
{
    obs_rig_trace(&rig, node,
                  (struct trace_event){.kind = TRACE_BECAME_LEADER, .epoch = epoch, .index = last});
}

/* Node 1 leads under the ballot, with the promise of node 2, which had accepted nothing. */
static void lead_with_two(uint64_t epoch)
{
    promise_all(1, epoch);
    promise_all(2, epoch);
    obs_rig_send(&rig, page(2, epoch, 1, 0));
    became_leader(1, epoch, 0);
}

/* Basic Paxos of three: value 7 is chosen in slot 1 under ballot 1.1, node 1 knows. */
static void choose_seven(void)
{
    promise(1, 1, ballot(1, 1), NULL);
    promise(2, 1, ballot(1, 1), NULL);
    propose(1, 1, ballot(1, 1), 7);
    accept(1, 1, ballot(1, 1), 7);
    accept(2, 1, ballot(1, 1), 7);
    trace(1, TRACE_CHOSEN, (struct obs_rig_entry){1, ballot(1, 1), 7});
    obs_rig_trace(&rig, 1, (struct trace_event){.kind = TRACE_COMMIT, .index = 1});
}

#define assert_green() assert_string_equal(rig.property, "")
#define assert_red(id) assert_string_equal(rig.property, id)

/* P1 */
static void test_observer_second_value_chosen_for_a_slot_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    choose_seven();
    accept(3, 1, ballot(2, 2), 8);
    assert_green();
    accept(2, 1, ballot(2, 2), 8);
    assert_red("P1");
}

/* P1: accepts count that a later one has replaced, and those of nodes that are lost. */
static void test_observer_accepts_at_different_times_make_a_quorum(void **state)
{
    (void) state;
    start("paxos", 3);
    accept(1, 1, ballot(1, 1), 7);
    accept(1, 1, ballot(2, 1), 7);
    accept(2, 1, ballot(1, 1), 7);
    observer_lost(rig.o, 1);
    trace(3, TRACE_CHOSEN, (struct obs_rig_entry){1, ballot(1, 1), 7});
    assert_green();
}

/* P3 */
static void test_observer_learner_of_what_is_not_chosen_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    choose_seven();
    accept(1, 2, ballot(1, 1), 8);
    assert_green();
    trace(1, TRACE_CHOSEN, (struct obs_rig_entry){2, ballot(1, 1), 8});
    assert_red("P3");
}

/* P3 */
static void test_observer_learner_of_another_value_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    choose_seven();
    obs_rig_append(&rig, 3, (struct obs_rig_entry){1, ballot(1, 1), 7}); /* learned, no accept */
    assert_green();
    trace(3, TRACE_CHOSEN, (struct obs_rig_entry){1, ballot(1, 1), 9});
    assert_red("P3");
}

/* P3 */
static void test_observer_value_written_as_learned_and_not_chosen_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    accept(1, 1, ballot(1, 1), 7);
    assert_green();
    obs_rig_append(&rig, 3, (struct obs_rig_entry){1, ballot(1, 1), 7});
    assert_red("P3");
}

/* P3 */
static void test_observer_commit_over_a_gap_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    accept(1, 2, ballot(1, 1), 8);
    accept(2, 2, ballot(1, 1), 8);
    trace(1, TRACE_CHOSEN, (struct obs_rig_entry){2, ballot(1, 1), 8});
    assert_green();
    obs_rig_trace(&rig, 1, (struct trace_event){.kind = TRACE_COMMIT, .index = 2});
    assert_red("P3");
}

/* P3 */
static void test_observer_notice_of_what_is_not_chosen_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    choose_seven();
    struct message *m = obs_rig_message(MSG_PAXOS_CHOSEN, 1, 3);
    obs_rig_message_put(m, (struct obs_rig_entry){1, ballot(1, 1), 7});
    obs_rig_send(&rig, m);
    m = obs_rig_message(MSG_PAXOS_CHOSEN, 1, 3);
    m->epoch = ballot(1, 1);
    m->pos.index = 1;
    m->last = 1;
    m->commit = 1;
    obs_rig_send(&rig, m);
    assert_green();
    m = obs_rig_message(MSG_PAXOS_CHOSEN, 1, 3);
    m->epoch = ballot(1, 1);
    m->pos.index = 1;
    m->last = 2;
    obs_rig_send(&rig, m);
    assert_red("P3");
}

/* P3 */
static void test_observer_learn_reply_with_another_value_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    choose_seven();
    assert_green();
    struct message *m = obs_rig_message(MSG_PAXOS_LEARN_REPLY, 1, 3);
    obs_rig_message_put(m, (struct obs_rig_entry){1, ballot(1, 1), 9});
    obs_rig_send(&rig, m);
    assert_red("P3");
}

/* P4 */
static void test_observer_accept_below_a_promise_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    promise(1, 1, ballot(2, 2), NULL);
    accept(1, 1, ballot(2, 2), 7);
    accept(1, 2, ballot(1, 1), 7); /* another slot */
    assert_green();
    accept(1, 1, ballot(1, 1), 7);
    assert_red("P4");
}

/* P4 */
static void test_observer_promise_for_all_slots_binds_each(void **state)
{
    (void) state;
    start("multipaxos", 3);
    promise_all(3, ballot(2, 2));
    accept(3, 5, ballot(2, 2), 7);
    assert_green();
    accept(3, 6, ballot(1, 1), 8);
    assert_red("P4");
}

/* P4: "accepting raises it". */
static void test_observer_accept_that_does_not_raise_the_promise_is_seen(void **state)
{
    (void) state;
    start("multipaxos", 3);
    promise_all(3, ballot(2, 2));
    accept(3, 1, ballot(2, 2), 7);
    assert_green();
    accept(3, 2, ballot(3, 3), 7);
    assert_red("P4");
}

/* P4 */
static void test_observer_promise_that_falls_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    promise_durable(1, 1, ballot(1, 1));
    promise_durable(1, 1, ballot(2, 2));
    assert_green();
    struct log_write *w = obs_rig_write(&rig, 1);
    log_write_promise(w, (struct slot_promise){1, ballot(1, 1)});
    obs_rig_store(&rig, 1, w);
    assert_red("P4");
}

/* P4 */
static void test_observer_promise_lost_by_a_restart_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    promise(1, 1, ballot(2, 2), NULL);
    obs_rig_restart(&rig, 1, &(struct obs_rig_found){.promises = {{1, ballot(2, 2)}}});
    assert_green();
    obs_rig_restart(&rig, 1, &(struct obs_rig_found){.applied = 0});
    assert_red("P4");
}

/* P4 */
static void test_observer_promise_for_all_lost_by_a_restart_is_seen(void **state)
{
    (void) state;
    start("multipaxos", 3);
    promise_all(1, ballot(2, 2));
    obs_rig_restart(&rig, 1, &(struct obs_rig_found){.hard = {.epoch = ballot(2, 2)}});
    assert_green();
    obs_rig_restart(&rig, 1, &(struct obs_rig_found){.hard = {.epoch = ballot(1, 2)}});
    assert_red("P4");
}

/* P4 */
static void test_observer_accepted_told_below_a_promise_is_seen(void **state)
{
    (void) state;
    start("multipaxos", 3);
    promise_all(2, ballot(1, 1));
    accept(2, 1, ballot(1, 1), 7);
    promise_all(2, ballot(2, 3));
    assert_green();
    struct message *m = page(2, ballot(2, 3), 1, 0);
    obs_rig_message_put(m, (struct obs_rig_entry){1, ballot(1, 1), 7});
    obs_rig_send(&rig, m);
    m = obs_rig_message(MSG_PAXOS_ACCEPTED, 2, 1);
    m->epoch = ballot(1, 1);
    m->pos.index = 1;
    m->last = 1;
    assert_green();
    obs_rig_send(&rig, m);
    assert_red("P4");
}

/* P5 */
static void test_observer_two_values_of_one_slot_and_ballot_are_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    accept(1, 1, ballot(1, 1), 7);
    accept(2, 2, ballot(1, 1), 8);
    assert_green();
    accept(2, 1, ballot(1, 1), 8);
    assert_red("P5");
}

/* P6 */
static void test_observer_value_other_than_the_highest_promised_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    accept(1, 1, ballot(1, 1), 7);
    accept(2, 1, ballot(2, 2), 8);
    const struct obs_rig_entry seven = {1, ballot(1, 1), 7};
    const struct obs_rig_entry eight = {1, ballot(2, 2), 8};
    promise(1, 1, ballot(3, 3), &seven);
    promise(2, 1, ballot(3, 3), &eight);
    propose(3, 1, ballot(3, 3), 8);
    assert_green();
    promise(1, 1, ballot(4, 3), &seven);
    promise(2, 1, ballot(4, 3), &eight);
    propose(3, 1, ballot(4, 3), 7);
    assert_red("P6");
}

/* P6: any quorum of those that promised will do. */
static void test_observer_value_is_free_by_a_quorum_without_any(void **state)
{
    (void) state;
    start("paxos", 3);
    accept(1, 1, ballot(1, 1), 7);
    const struct obs_rig_entry seven = {1, ballot(1, 1), 7};
    promise(1, 1, ballot(3, 3), &seven);
    promise(2, 1, ballot(3, 3), NULL);
    promise_durable(3, 1, ballot(3, 3)); /* its own needs no message */
    propose(3, 1, ballot(3, 3), 9);
    assert_green();
    obs_rig_release(&rig);
    start("paxos", 3);
    accept(1, 1, ballot(1, 1), 7);
    promise(1, 1, ballot(3, 3), &seven);
    promise_durable(3, 1, ballot(3, 3));
    propose(3, 1, ballot(3, 3), 9);
    assert_red("P6");
}

/* P6, P14: its own promise counts when it is durable. */
static void test_observer_proposal_without_a_quorum_of_promises_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    promise(1, 1, ballot(1, 3), NULL);
    promise(2, 1, ballot(1, 3), NULL);
    propose(3, 1, ballot(1, 3), 7);
    assert_green();
    struct log_write *w = obs_rig_write(&rig, 3);
    promise(1, 2, ballot(1, 3), NULL);
    trace(3, TRACE_PROMISE, (struct obs_rig_entry){2, ballot(1, 3), 0});
    log_write_promise(w, (struct slot_promise){2, ballot(1, 3)});
    obs_rig_handed(&rig, 3, w);
    assert_green();
    propose(3, 2, ballot(1, 3), 7);
    assert_red("P6");
    obs_rig_synced(&rig, 3, w);
}

/* P6: what is chosen binds every higher ballot, whatever promises seem to say. */
static void test_observer_proposal_against_what_is_chosen_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    choose_seven();
    const struct obs_rig_entry seven = {1, ballot(1, 1), 7};
    promise(2, 1, ballot(2, 3), &seven);
    promise(3, 1, ballot(2, 3), NULL);
    propose(3, 1, ballot(2, 3), 7);
    assert_green();
    promise(2, 1, ballot(3, 3), &seven);
    promise(3, 1, ballot(3, 3), NULL);
    propose(3, 1, ballot(3, 3), 8);
    assert_red("P6");
}

/* P6 */
static void test_observer_promise_that_hides_a_value_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    accept(1, 1, ballot(1, 1), 7);
    const struct obs_rig_entry seven = {1, ballot(1, 1), 7};
    promise(1, 1, ballot(2, 2), &seven);
    assert_green();
    promise(1, 1, ballot(3, 3), NULL);
    assert_red("P6");
}

/* P6 */
static void test_observer_value_found_after_a_restart_must_be_told(void **state)
{
    (void) state;
    start("multipaxos", 3);
    promise_all(2, ballot(1, 1));
    accept(2, 1, ballot(1, 1), 7);
    obs_rig_restart(&rig, 2,
                    &(struct obs_rig_found){.hard = {.epoch = ballot(1, 1)},
                                            .entries = {{1, ballot(1, 1), 7}}});
    promise_all(2, ballot(2, 3));
    assert_green();
    obs_rig_send(&rig, page(2, ballot(2, 3), 1, 0));
    assert_red("P6");
}

/* P6: a promise in pages. */
static void test_observer_value_of_a_later_page_binds_the_leader(void **state)
{
    const uint64_t low = ballot(1, 2);
    const uint64_t high = ballot(2, 1);
    (void) state;
    for (uint64_t number = 8; number <= 9; number++) { /* what was accepted, and another */
        start("multipaxos", 3);
        promise_all(2, low);
        accept(2, 1, low, 7);
        accept(2, 2, low, 8);
        promise_all(1, high);
        promise_all(2, high);
        struct message *m = page(2, high, 1, 2);
        obs_rig_message_put(m, (struct obs_rig_entry){1, low, 7});
        obs_rig_send(&rig, m);
        m = page(2, high, 2, 0);
        obs_rig_message_put(m, (struct obs_rig_entry){2, low, 8});
        obs_rig_send(&rig, m);
        became_leader(1, high, 0);
        propose(1, 1, high, 7);
        assert_green();
        propose(1, 2, high, number);
        if (number == 8) {
            assert_green();
            obs_rig_release(&rig);
        }
    }
    assert_red("P6");
}

/* P6 */
static void test_observer_leader_without_a_quorum_of_promises_is_seen(void **state)
{
    (void) state;
    start("multipaxos", 3);
    lead_with_two(ballot(1, 1));
    assert_green();
    promise_all(3, ballot(2, 3));
    promise_all(2, ballot(2, 3));
    obs_rig_send(&rig, page(2, ballot(2, 3), 1, 4)); /* not the whole */
    became_leader(3, ballot(2, 3), 0);
    assert_red("P6");
}

/* P14 */
static void test_observer_leader_whose_own_promise_is_not_durable_is_seen(void **state)
{
    (void) state;
    start("multipaxos", 3);
    struct log_write *w = obs_rig_write(&rig, 1);
    obs_rig_hard(w, ballot(1, 1), 0);
    obs_rig_handed(&rig, 1, w);
    for (uint32_t node = 2; node <= 3; node++) {
        promise_all(node, ballot(1, 1));
        obs_rig_send(&rig, page(node, ballot(1, 1), 1, 0));
    }
    assert_green();
    became_leader(1, ballot(1, 1), 0);
    assert_red("P14");
    obs_rig_synced(&rig, 1, w);
}

/* R1 */
static void test_observer_ballot_led_twice_is_seen(void **state)
{
    (void) state;
    start("multipaxos", 3);
    lead_with_two(ballot(1, 1));
    obs_rig_trace(&rig, 1, (struct trace_event){.kind = TRACE_STEP_DOWN, .note = "transfer"});
    assert_int_equal(observer_deposed(rig.o), 0);
    assert_green();
    became_leader(1, ballot(1, 1), 0);
    assert_red("R1");
}

/* P7 */
static void test_observer_ballot_of_another_node_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    reserve(1, ballot(9, 1));
    prepare_sent(1, ballot(1, 1));
    assert_green();
    prepare_sent(1, ballot(1, 2));
    assert_red("P7");
}

/* P7 */
static void test_observer_ballot_used_by_an_earlier_life_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    reserve(1, ballot(9, 1));
    prepare_sent(1, ballot(3, 1));
    prepare_sent(1, ballot(2, 1)); /* sent again; within a life they need not rise */
    obs_rig_restart(&rig, 1, &(struct obs_rig_found){.hard = {.epoch = ballot(9, 1)}});
    prepare_sent(1, ballot(4, 1));
    assert_green();
    prepare_sent(1, ballot(3, 1));
    assert_red("P7");
}

/* P7 */
static void test_observer_ballot_sent_before_it_is_reserved_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    reserve(1, ballot(9, 1));
    prepare_sent(1, ballot(9, 1));
    assert_green();
    prepare_sent(1, ballot(10, 1));
    assert_red("P7");
}

/* P8 */
static void test_observer_gap_filled_with_a_new_value_is_seen(void **state)
{
    const uint64_t low = ballot(1, 2);
    const uint64_t high = ballot(2, 1);
    (void) state;
    start("multipaxos", 3);
    promise_all(2, low);
    accept(2, 3, low, 7);
    promise_all(1, high);
    promise_all(2, high);
    struct message *m = page(2, high, 1, 0);
    obs_rig_message_put(m, (struct obs_rig_entry){3, low, 7});
    obs_rig_send(&rig, m);
    became_leader(1, high, 0);
    propose(1, 1, high, 0);
    assert_green();
    propose(1, 2, high, 9);
    assert_red("P8");
}

/* P8 */
static void test_observer_slot_passed_over_by_a_leader_is_seen(void **state)
{
    (void) state;
    start("multipaxos", 3);
    lead_with_two(ballot(1, 1));
    propose(1, 1, ballot(1, 1), 7);
    propose(1, 2, ballot(1, 1), 8);
    assert_green();
    propose(1, 4, ballot(1, 1), 9);
    assert_red("P8");
}

/* P9 */
static void test_observer_states_of_paxos_nodes_that_differ_are_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    choose_seven();
    obs_rig_trace(&rig, 1, (struct trace_event){.kind = TRACE_APPLY, .index = 1, .hash = 5});
    trace(2, TRACE_CHOSEN, (struct obs_rig_entry){1, ballot(1, 1), 7});
    obs_rig_trace(&rig, 2, (struct trace_event){.kind = TRACE_COMMIT, .index = 1});
    assert_green();
    obs_rig_trace(&rig, 2, (struct trace_event){.kind = TRACE_APPLY, .index = 1, .hash = 6});
    assert_red("P9");
}

/* D1 */
static void test_observer_apply_of_what_was_overwritten_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    choose_seven();
    accept(2, 1, ballot(2, 2), 9); /* as if phase 1 had not found 7 */
    assert_green();
    obs_rig_trace(&rig, 1, (struct trace_event){.kind = TRACE_APPLY, .index = 1, .hash = 5});
    assert_red("D1");
}

/* P10 */
static void test_observer_promise_of_a_trimmed_slot_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    choose_seven();
    obs_rig_trace(&rig, 1, (struct trace_event){.kind = TRACE_APPLY, .index = 1, .hash = 5});
    observer_trimmed(rig.o, 1, (struct log_pos){1, ballot(1, 1)});
    promise(1, 2, ballot(2, 2), NULL);
    assert_green();
    promise_told(1, 1, ballot(2, 2), NULL);
    assert_red("P10");
}

/* P10 */
static void test_observer_page_that_forgets_a_trimmed_slot_is_seen(void **state)
{
    const uint64_t low = ballot(1, 1);
    (void) state;
    start("multipaxos", 3);
    lead_with_two(low);
    propose(1, 1, low, 7);
    accept(1, 1, low, 7);
    accept(2, 1, low, 7);
    trace(2, TRACE_CHOSEN, (struct obs_rig_entry){1, low, 7});
    obs_rig_trace(&rig, 2, (struct trace_event){.kind = TRACE_COMMIT, .index = 1});
    obs_rig_trace(&rig, 2, (struct trace_event){.kind = TRACE_APPLY, .index = 1, .hash = 5});
    observer_trimmed(rig.o, 2, (struct log_pos){1, low});
    promise_all(2, ballot(2, 3));
    struct message *m = page(2, ballot(2, 3), 1, 0);
    m->commit = 1;
    obs_rig_send(&rig, m);
    assert_green();
    obs_rig_send(&rig, page(2, ballot(2, 3), 1, 0));
    assert_red("P10");
}

/* P10 */
static void test_observer_trim_ahead_of_the_state_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    choose_seven();
    assert_green();
    observer_trimmed(rig.o, 1, (struct log_pos){1, ballot(1, 1)});
    assert_red("P10");
}

/* P14 */
static void test_observer_promise_told_before_it_is_durable_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    promise(1, 1, ballot(2, 2), NULL);
    assert_green();
    promise_told(1, 1, ballot(3, 3), NULL);
    assert_red("P14");
}

/* P14 */
static void test_observer_promise_for_all_told_before_it_is_durable_is_seen(void **state)
{
    (void) state;
    start("multipaxos", 3);
    promise_all(1, ballot(2, 2));
    obs_rig_send(&rig, page(1, ballot(2, 2), 1, 0));
    assert_green();
    obs_rig_send(&rig, page(1, ballot(3, 3), 1, 0));
    assert_red("P14");
}

/* P14 */
static void test_observer_accepted_told_before_it_is_durable_is_seen(void **state)
{
    (void) state;
    start("paxos", 3);
    accept(1, 1, ballot(1, 1), 7);
    struct message *m = obs_rig_message(MSG_PAXOS_ACCEPTED, 1, 1); /* its own is counted alike */
    m->epoch = ballot(1, 1);
    m->pos.index = 1;
    m->last = 2;
    assert_green();
    obs_rig_send(&rig, m);
    assert_red("P14");
}

/* D9 */
static void test_observer_old_image_that_promises_again_is_seen(void **state)
{
    (void) state;
    start("multipaxos", 3);
    promise_all(2, ballot(2, 1));
    obs_rig_send(&rig, page(2, ballot(2, 1), 1, 0));
    obs_rig_restart(&rig, 2, &(struct obs_rig_found){.restored = true});
    promise_all(2, ballot(1, 3));
    assert_green();
    obs_rig_send(&rig, page(2, ballot(1, 3), 1, 0));
    assert_red("D9");
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, stop)
    const struct CMUnitTest tests[] = {
        T(test_observer_second_value_chosen_for_a_slot_is_seen),
        T(test_observer_accepts_at_different_times_make_a_quorum),
        T(test_observer_learner_of_what_is_not_chosen_is_seen),
        T(test_observer_learner_of_another_value_is_seen),
        T(test_observer_value_written_as_learned_and_not_chosen_is_seen),
        T(test_observer_commit_over_a_gap_is_seen),
        T(test_observer_notice_of_what_is_not_chosen_is_seen),
        T(test_observer_learn_reply_with_another_value_is_seen),
        T(test_observer_accept_below_a_promise_is_seen),
        T(test_observer_promise_for_all_slots_binds_each),
        T(test_observer_accept_that_does_not_raise_the_promise_is_seen),
        T(test_observer_promise_that_falls_is_seen),
        T(test_observer_promise_lost_by_a_restart_is_seen),
        T(test_observer_promise_for_all_lost_by_a_restart_is_seen),
        T(test_observer_accepted_told_below_a_promise_is_seen),
        T(test_observer_two_values_of_one_slot_and_ballot_are_seen),
        T(test_observer_value_other_than_the_highest_promised_is_seen),
        T(test_observer_value_is_free_by_a_quorum_without_any),
        T(test_observer_proposal_without_a_quorum_of_promises_is_seen),
        T(test_observer_proposal_against_what_is_chosen_is_seen),
        T(test_observer_promise_that_hides_a_value_is_seen),
        T(test_observer_value_found_after_a_restart_must_be_told),
        T(test_observer_value_of_a_later_page_binds_the_leader),
        T(test_observer_leader_without_a_quorum_of_promises_is_seen),
        T(test_observer_leader_whose_own_promise_is_not_durable_is_seen),
        T(test_observer_ballot_led_twice_is_seen),
        T(test_observer_ballot_of_another_node_is_seen),
        T(test_observer_ballot_used_by_an_earlier_life_is_seen),
        T(test_observer_ballot_sent_before_it_is_reserved_is_seen),
        T(test_observer_gap_filled_with_a_new_value_is_seen),
        T(test_observer_slot_passed_over_by_a_leader_is_seen),
        T(test_observer_states_of_paxos_nodes_that_differ_are_seen),
        T(test_observer_apply_of_what_was_overwritten_is_seen),
        T(test_observer_promise_of_a_trimmed_slot_is_seen),
        T(test_observer_page_that_forgets_a_trimmed_slot_is_seen),
        T(test_observer_trim_ahead_of_the_state_is_seen),
        T(test_observer_promise_told_before_it_is_durable_is_seen),
        T(test_observer_promise_for_all_told_before_it_is_durable_is_seen),
        T(test_observer_accepted_told_before_it_is_durable_is_seen),
        T(test_observer_old_image_that_promises_again_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_message.c - messages, writes and ballots.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consensus/message.h"

static struct entry entry_of(uint64_t index, uint64_t epoch)
{
    return (struct entry){.index = index, .epoch = epoch, .value = value_new_noop()};
}

static void put(struct log_write *w, uint64_t index, uint64_t epoch)
{
    struct entry entry = entry_of(index, epoch);
    log_write_add(w, &entry);
    assert_int_equal(entry.value->refs, 2);
    value_unref(entry.value);
}

static void test_write_entries_stay_ascending_and_distinct(void **state)
{
    (void) state;
    struct log_write *w = log_write_new();
    assert_true(log_write_empty(w));
    uint64_t order[] = {5, 3, 9, 4, 3, 9, 1, 7};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        put(w, order[i], i + 1);
    }
    assert_int_equal(w->entries_count, 6);
    uint64_t indexes[] = {1, 3, 4, 5, 7, 9};
    uint64_t epochs[] = {7, 5, 4, 1, 8, 6}; /* the later one won */
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(w->entries[i].index, indexes[i]);
        assert_int_equal(w->entries[i].epoch, epochs[i]);
    }
    assert_false(log_write_empty(w));
    log_write_free(w);
    log_write_free(NULL);
}

static void test_write_truncate_forgets_what_it_cuts(void **state)
{
    (void) state;
    struct log_write *w = log_write_new();
    put(w, 4, 1);
    put(w, 5, 1);
    put(w, 6, 1);
    log_write_truncate(w, 5);
    put(w, 5, 2);
    log_write_truncate(w, 7); /* higher: the lowest stays */
    assert_int_equal(w->truncate_from, 5);
    assert_int_equal(w->entries_count, 2);
    assert_int_equal(w->entries[1].index, 5);
    assert_int_equal(w->entries[1].epoch, 2);
    log_write_free(w);
}

static void test_write_reference_keeps_it_alive(void **state)
{
    (void) state;
    struct log_write *w = log_write_new();
    put(w, 1, 1);
    assert_ptr_equal(log_write_ref(w), w);
    log_write_free(w);
    assert_int_equal(w->entries_count, 1);
    log_write_free(w);
}

static void test_write_promises_replace(void **state)
{
    (void) state;
    struct log_write *w = log_write_new();
    log_write_promise(w, (struct slot_promise){.index = 8, .ballot = 1});
    log_write_promise(w, (struct slot_promise){.index = 2, .ballot = 2});
    log_write_promise(w, (struct slot_promise){.index = 8, .ballot = 3});
    assert_int_equal(w->promises_count, 2);
    assert_int_equal(w->promises[0].index, 2);
    assert_int_equal(w->promises[1].ballot, 3);
    assert_false(log_write_empty(w));
    log_write_free(w);
}

static void test_message_copy_has_references_of_its_own(void **state)
{
    (void) state;
    struct message *m = message_new(MSG_RAFT_APPEND, 2);
    struct entry entry = entry_of(4, 2);
    message_add_entry(m, &entry);
    struct message *copy = message_copy(m);
    assert_int_equal(entry.value->refs, 3);
    message_free(m);
    assert_int_equal(copy->entries_count, 1);
    assert_int_equal(copy->entries[0].index, 4);
    message_add_entry(copy, &entry); /* grows on its own */
    assert_int_equal(copy->entries_count, 2);
    struct list list;
    list_init(&list);
    list_push_back(&list, &copy->node);
    message_list_free(&list);
    assert_true(list_empty(&list));
    assert_int_equal(entry.value->refs, 1);
    value_unref(entry.value);
    message_free(NULL);
}

static void test_message_names_are_known(void **state)
{
    (void) state;
    assert_string_equal(message_name(MSG_RAFT_APPEND), "append");
    assert_string_equal(message_name(MSG_PAXOS_PREPARE), "prepare");
    assert_string_equal(message_name(255), "unknown");
}

/* P7: ballots of different nodes never collide, and a higher round wins whatever the node. */
static void test_ballot_orders_by_round_then_node(void **state)
{
    (void) state;
    assert_true(ballot_make(1, 1) > 0);
    assert_true(ballot_make(1, 1) < ballot_make(1, 2));
    assert_true(ballot_make(1, NODE_ID_MAX) < ballot_make(2, 1));
    assert_int_equal(ballot_round(ballot_make(77, 5)), 77);
    assert_int_equal(ballot_node(ballot_make(77, NODE_ID_MAX)), NODE_ID_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_entries_stay_ascending_and_distinct),
        cmocka_unit_test(test_write_truncate_forgets_what_it_cuts),
        cmocka_unit_test(test_write_reference_keeps_it_alive),
        cmocka_unit_test(test_write_promises_replace),
        cmocka_unit_test(test_message_copy_has_references_of_its_own),
        cmocka_unit_test(test_message_names_are_known),
        cmocka_unit_test(test_ballot_orders_by_round_then_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

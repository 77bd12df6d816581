/*
 * test_list.c - the intrusive list.
 */

#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/death.h"

struct item {
    int value;
    struct list_node node;
};

static void remove_unlinked(void *ctx)
{
    list_remove(ctx);
}

static void push_again(void *ctx)
{
    struct list *l = ctx;
    list_push_back(l, list_first(l));
}

/* The values of `l` as the digits of a number. */
static int digits(const struct list *l)
{
    int number = 0;
    LIST_FOR_EACH(l, node) {
        number = number * 10 + list_entry(node, struct item, node)->value;
    }
    return number;
}

static void test_list_empty_has_no_nodes(void **state)
{
    (void) state;
    struct list l;
    list_init(&l);
    assert_true(list_empty(&l));
    assert_null(list_first(&l));
    assert_null(list_last(&l));
    assert_null(list_pop_front(&l));
    assert_int_equal(digits(&l), 0);
}

static void test_list_keeps_the_order_of_pushes(void **state)
{
    (void) state;
    struct item items[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    struct list l;
    list_init(&l);
    list_push_back(&l, &items[1].node);
    list_push_back(&l, &items[2].node);
    list_push_front(&l, &items[0].node);
    list_push_back(&l, &items[3].node);
    assert_int_equal(digits(&l), 1234);
    assert_ptr_equal(list_first(&l), &items[0].node);
    assert_ptr_equal(list_last(&l), &items[3].node);
    assert_ptr_equal(list_next(&l, &items[0].node), &items[1].node);
    assert_null(list_next(&l, &items[3].node));
    assert_ptr_equal(list_pop_front(&l), &items[0].node);
    assert_false(list_node_linked(&items[0].node));
    assert_int_equal(digits(&l), 234);
}

static void test_list_remove_at_front_middle_end_and_last(void **state)
{
    (void) state;
    struct item items[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    struct list l;
    list_init(&l);
    for (int i = 0; i < 4; i++) {
        list_push_back(&l, &items[i].node);
    }
    list_remove(&items[1].node);
    assert_int_equal(digits(&l), 134);
    list_remove(&items[3].node);
    assert_int_equal(digits(&l), 13);
    list_remove(&items[0].node);
    assert_int_equal(digits(&l), 3);
    list_remove(&items[2].node);
    assert_true(list_empty(&l));
    list_push_back(&l, &items[1].node); /* a removed node may be linked again */
    assert_int_equal(digits(&l), 2);
}

static void test_list_safe_visit_may_remove_each_node(void **state)
{
    (void) state;
    struct item items[5] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}, {.value = 5}};
    struct list l;
    list_init(&l);
    for (int i = 0; i < 5; i++) {
        list_push_back(&l, &items[i].node);
    }
    LIST_FOR_EACH_SAFE(&l, node, after) {
        if (list_entry(node, struct item, node)->value % 2 == 1) {
            list_remove(node);
        }
    }
    assert_int_equal(digits(&l), 24);
    LIST_FOR_EACH_SAFE(&l, node, after) {
        list_remove(node);
    }
    assert_true(list_empty(&l));
}

static void test_list_splice_moves_all_behind_what_is_there(void **state)
{
    (void) state;
    struct item items[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    struct list to;
    struct list from;
    list_init(&to);
    list_init(&from);
    list_splice_back(&to, &from);
    assert_true(list_empty(&to));
    list_push_back(&from, &items[0].node);
    list_push_back(&from, &items[1].node);
    list_splice_back(&to, &from);
    assert_true(list_empty(&from));
    list_push_back(&from, &items[2].node);
    list_push_back(&from, &items[3].node);
    list_splice_back(&to, &from);
    list_splice_back(&to, &from);
    assert_int_equal(digits(&to), 1234);
    assert_ptr_equal(list_last(&to), &items[3].node);
    for (int i = 0; i < 4; i++) { /* every node has the right neighbours to leave from */
        list_remove(&items[i].node);
    }
    assert_true(list_empty(&to));
}

static void test_list_wrong_link_state_aborts(void **state)
{
    (void) state;
    struct item item = {.value = 1};
    struct list l;
    list_init(&l);
    assert_true(death_aborts(remove_unlinked, &item.node));
    list_push_back(&l, &item.node);
    assert_true(death_aborts(push_again, &l));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_empty_has_no_nodes),
        cmocka_unit_test(test_list_keeps_the_order_of_pushes),
        cmocka_unit_test(test_list_remove_at_front_middle_end_and_last),
        cmocka_unit_test(test_list_safe_visit_may_remove_each_node),
        cmocka_unit_test(test_list_splice_moves_all_behind_what_is_there),
        cmocka_unit_test(test_list_wrong_link_state_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

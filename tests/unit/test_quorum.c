/*
 * test_quorum.c - membership and majorities.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consensus/quorum.h"

static void test_membership_is_sorted_and_checked(void **state)
{
    (void) state;
    struct membership m;
    uint32_t ids[] = {30, 10, 20};
    assert_int_equal(membership_init(&m, ids, 3), OK);
    assert_int_equal(m.ids[0], 10);
    assert_int_equal(membership_rank(&m, 30), 2);
    assert_int_equal(membership_rank(&m, 11), -1);
    uint32_t twice[] = {1, 2, 1};
    assert_int_equal(membership_init(&m, twice, 3), ERR_INVALID);
    uint32_t zero[] = {0};
    assert_int_equal(membership_init(&m, zero, 1), ERR_INVALID);
    uint32_t high[] = {NODE_ID_MAX + 1};
    assert_int_equal(membership_init(&m, high, 1), ERR_INVALID);
    assert_int_equal(membership_init(&m, ids, 0), ERR_INVALID);
    uint32_t many[NODES_MAX + 1];
    for (uint32_t i = 0; i <= NODES_MAX; i++) {
        many[i] = i + 1;
    }
    assert_int_equal(membership_init(&m, many, NODES_MAX + 1), ERR_INVALID);
    assert_int_equal(membership_init(&m, many, NODES_MAX), OK);
    assert_true(quorum_reached(&m, UINT64_MAX));
    assert_false(quorum_reached(&m, UINT32_MAX)); /* half is no majority */
    assert_int_equal(m.count, NODES_MAX);
}

/* Any two quorums of a configuration meet: all sets of up to seven nodes. */
static void test_quorums_intersect(void **state)
{
    (void) state;
    for (uint32_t count = 1; count <= 7; count++) {
        struct membership m = {.count = count};
        for (uint64_t a = 0; a < UINT64_C(1) << count; a++) {
            for (uint64_t b = 0; b < UINT64_C(1) << count; b++) {
                if (quorum_reached(&m, a) && quorum_reached(&m, b)) {
                    assert_true((a & b) != 0);
                }
            }
        }
        assert_true(quorum_reached(&m, (UINT64_C(1) << count) - 1));
        assert_false(quorum_reached(&m, UINT64_MAX << count)); /* strangers do not count */
    }
}

/* quorum_index: the largest value that a quorum has reached, against counting. */
static void test_quorum_index_is_what_a_quorum_reached(void **state)
{
    (void) state;
    for (uint32_t count = 1; count <= 5; count++) {
        struct membership m = {.count = count};
        uint64_t values[5] = {0};
        for (uint32_t code = 0; code < 1024; code++) {
            for (uint32_t i = 0; i < count; i++) {
                values[i] = (code >> (2 * i)) & 3;
            }
            uint64_t best = 0;
            for (uint64_t v = 1; v <= 3; v++) {
                uint64_t set = 0;
                for (uint32_t i = 0; i < count; i++) {
                    set |= values[i] >= v ? UINT64_C(1) << i : 0;
                }
                best = quorum_reached(&m, set) ? v : best;
            }
            assert_int_equal(quorum_index(&m, values), best);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_membership_is_sorted_and_checked),
        cmocka_unit_test(test_quorums_intersect),
        cmocka_unit_test(test_quorum_index_is_what_a_quorum_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

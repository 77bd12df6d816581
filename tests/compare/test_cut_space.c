/*
 * test_cut_space.c - sets of cuts up to symmetry, against numbers that are known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "tests/compare/cut_space.h"

static uint32_t count_of(uint32_t nodes, bool marked)
{
    struct cut_class *classes;
    uint32_t count = cut_space_classes(nodes, marked, &classes);
    free(classes);
    return count;
}

/* OEIS A000273: digraphs on n unlabelled nodes. */
static void test_cut_space_unmarked_orbits_are_the_digraphs(void **state)
{
    static const uint32_t digraphs[] = {0, 0, 3, 16, 218, 9608};
    (void) state;
    for (uint32_t nodes = 2; nodes <= CUT_NODES_MAX; nodes++) {
        assert_int_equal(count_of(nodes, false), digraphs[nodes]);
        assert_int_equal(cut_space_burnside(nodes, false), digraphs[nodes]);
    }
}

/* By hand for 3 nodes: (64 + 8) / 2. */
static void test_cut_space_marked_orbits_are_as_burnside_counts(void **state)
{
    (void) state;
    assert_int_equal(count_of(3, true), 36);
    for (uint32_t nodes = 2; nodes <= CUT_NODES_MAX; nodes++) {
        assert_int_equal(count_of(nodes, true), cut_space_burnside(nodes, true));
    }
}

static void test_cut_space_orbits_are_a_partition(void **state)
{
    (void) state;
    for (uint32_t nodes = 2; nodes <= CUT_NODES_MAX; nodes++) {
        for (int marked = 0; marked <= 1; marked++) {
            struct cut_class *classes;
            uint32_t renamings = 1;
            uint64_t sum = 0;
            uint32_t count = cut_space_classes(nodes, marked != 0, &classes);
            for (uint32_t i = marked ? 1 : 0; i < nodes; i++) {
                renamings *= nodes - i;
            }
            for (uint32_t i = 0; i < count; i++) {
                sum += classes[i].size;
                assert_int_equal(renamings % classes[i].size, 0);
                assert_true(i == 0 || classes[i].cuts > classes[i - 1].cuts);
            }
            assert_int_equal(sum, UINT64_C(1) << cut_space_links(nodes));
            free(classes);
        }
    }
}

static void test_cut_space_bits_are_all_pairs_once(void **state)
{
    (void) state;
    for (uint32_t nodes = 2; nodes <= CUT_NODES_MAX; nodes++) {
        uint32_t all = 0;
        for (uint32_t a = 1; a <= nodes; a++) {
            for (uint32_t b = 1; b <= nodes; b++) {
                if (a != b) {
                    uint32_t bit = UINT32_C(1) << cut_space_bit(nodes, a, b);
                    assert_int_equal(all & bit, 0);
                    all |= bit;
                }
            }
        }
        assert_int_equal(all, (UINT32_C(1) << cut_space_links(nodes)) - 1);
    }
}

/* Renames two nodes in a mask, link by link. */
static uint32_t swapped(uint32_t nodes, uint32_t cuts, uint32_t x, uint32_t y)
{
    uint32_t image = 0;
    for (uint32_t a = 1; a <= nodes; a++) {
        for (uint32_t b = 1; b <= nodes; b++) {
            if (a != b && (cuts >> cut_space_bit(nodes, a, b) & 1) != 0) {
                uint32_t from = a == x ? y : a == y ? x : a;
                uint32_t to = b == x ? y : b == y ? x : b;
                image |= UINT32_C(1) << cut_space_bit(nodes, from, to);
            }
        }
    }
    return image;
}

static void test_cut_space_canonical_is_the_same_after_renaming(void **state)
{
    struct rng rng;
    (void) state;
    rng_init(&rng, 7);
    for (uint32_t i = 0; i < 50; i++) {
        uint32_t cuts = (uint32_t) rng_below(&rng, UINT64_C(1) << 20);
        uint32_t x = (uint32_t) rng_between(&rng, 2, 5);
        uint32_t y = (uint32_t) rng_between(&rng, 1, 5);
        uint32_t image = swapped(5, cuts, x, y);
        uint32_t least = cut_space_canonical(5, false, cuts);
        assert_true(least <= cuts);
        assert_int_equal(cut_space_canonical(5, false, image), least);
        assert_int_equal(cut_space_canonical(5, false, least), least);
        assert_int_equal(__builtin_popcount(least), __builtin_popcount(cuts));
        if (y != 1) { /* the mark keeps its name */
            assert_int_equal(cut_space_canonical(5, true, image),
                             cut_space_canonical(5, true, cuts));
        }
    }
    /* Cut off from node 1, and from node 2: the same without a mark, not with one. */
    uint32_t one = UINT32_C(1) << cut_space_bit(3, 1, 3);
    uint32_t two = UINT32_C(1) << cut_space_bit(3, 2, 3);
    assert_int_equal(cut_space_canonical(3, false, one), cut_space_canonical(3, false, two));
    assert_int_not_equal(cut_space_canonical(3, true, one), cut_space_canonical(3, true, two));
}

static void test_cut_space_core_has_a_hub(void **state)
{
    (void) state;
    for (uint32_t cuts = 0; cuts < UINT32_C(1) << 20; cuts += 77) {
        assert_true(!cut_space_has_core(5, cuts) || cut_space_has_hub(5, cuts));
    }
    for (uint32_t cuts = 0; cuts < 64; cuts++) { /* of three, a pair is both */
        assert_int_equal(cut_space_has_core(3, cuts), cut_space_has_hub(3, cuts));
    }
}

static void test_cut_space_core_needs_links_both_ways(void **state)
{
    (void) state;
    assert_int_equal(cut_space_core(5, 0), 31);
    assert_true(cut_space_has_core(5, 0));
    /* One direction is enough to part two nodes; the other three are still a majority. */
    uint32_t cuts = UINT32_C(1) << cut_space_bit(5, 1, 2);
    assert_int_equal(cut_space_core(5, cuts), 29); /* all but node 2 */
    assert_true(cut_space_has_core(5, cuts));
    /* A ring has no three that are linked to each other. */
    uint32_t ring = 0;
    for (uint32_t a = 1; a <= 5; a++) {
        uint32_t b = (a + 1) % 5 + 1;
        ring |= UINT32_C(1) << cut_space_bit(5, a, b);
    }
    assert_false(cut_space_has_core(5, ring));
    assert_true(cut_space_has_hub(5, ring)); /* but each has two neighbours */
    assert_false(cut_space_has_hub(3, 63));
    assert_false(cut_space_has_core(3, 63));
    assert_true(cut_space_has_core(3, 63 & ~(UINT32_C(1) << cut_space_bit(3, 1, 2)) &
                                          ~(UINT32_C(1) << cut_space_bit(3, 2, 1))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_space_unmarked_orbits_are_the_digraphs),
        cmocka_unit_test(test_cut_space_marked_orbits_are_as_burnside_counts),
        cmocka_unit_test(test_cut_space_orbits_are_a_partition),
        cmocka_unit_test(test_cut_space_bits_are_all_pairs_once),
        cmocka_unit_test(test_cut_space_canonical_is_the_same_after_renaming),
        cmocka_unit_test(test_cut_space_core_has_a_hub),
        cmocka_unit_test(test_cut_space_core_needs_links_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

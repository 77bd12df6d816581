/*
 * test_cut_run.c - the run of figure E10 tells what is available from what is not, and who answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/compare/cut_set.h"

static const char *const engines[] = {"raft", "multipaxos", "paxos"};

static struct cut_result run(const char *engine, uint32_t nodes, uint32_t cuts)
{
    struct cut_result r;
    const struct cut_run one = {engine_by_name(engine), nodes, cuts, 1};
    cut_run_execute(&one, &r);
    assert_true(r.ran);
    assert_true(r.placed);
    if (r.unsafe || r.unrecovered) {
        fail_msg("%s, cuts 0x%x: %s", engine, (unsigned) cuts, r.text);
    }
    return r;
}

/* Both ways between a node and all others. */
static uint32_t isolated(uint32_t nodes, uint32_t node)
{
    uint32_t cuts = 0;
    for (uint32_t other = 1; other <= nodes; other++) {
        if (other != node) {
            cuts |= UINT32_C(1) << cut_space_bit(nodes, node, other);
            cuts |= UINT32_C(1) << cut_space_bit(nodes, other, node);
        }
    }
    return cuts;
}

static void test_cut_run_without_cuts_everybody_answers(void **state)
{
    (void) state;
    for (uint32_t e = 0; e < 3; e++) {
        struct cut_result r = run(engines[e], 5, 0);
        assert_true(r.first_us < CUT_ELECTION_US);
        assert_int_equal(r.answered, 31);
        assert_int_equal(r.leaders, 0);
    }
}

/* R11: the majority goes on, whoever was cut off, and whoever was cut off does not answer (R9). */
static void test_cut_run_isolated_leader_is_replaced(void **state)
{
    (void) state;
    for (uint32_t e = 0; e < 3; e++) {
        struct cut_result r = run(engines[e], 3, isolated(3, 1));
        assert_true(r.first_us <= CUT_AVAILABLE_ELECTIONS * CUT_ELECTION_US);
        assert_int_equal(r.answered, 6);
        assert_true(r.leaders <= 2);
        r = run(engines[e], 5, isolated(5, 4));
        assert_int_equal(r.answered, 31 & ~8);
    }
}

static void test_cut_run_with_all_links_cut_nobody_answers(void **state)
{
    (void) state;
    for (uint32_t e = 0; e < 3; e++) {
        struct cut_result r = run(engines[e], 3, 63);
        assert_int_equal(r.first_us, UINT32_MAX);
        assert_int_equal(r.answered, 0);
        assert_true(r.healed_us < 4 * CUT_ELECTION_US);
    }
}

static void test_cut_run_is_a_function_of_its_input(void **state)
{
    (void) state;
    for (uint32_t e = 0; e < 3; e++) {
        struct cut_result a = run(engines[e], 5, 0x12345);
        struct cut_result b = run(engines[e], 5, 0x12345);
        assert_int_equal(a.first_us, b.first_us);
        assert_int_equal(a.healed_us, b.healed_us);
        assert_int_equal(a.answered, b.answered);
        assert_int_equal(a.leaders, b.leaders);
    }
}

/* R11: of three nodes all sets; a majority that is connected answers. */
static void test_cut_run_three_nodes_answer_where_two_are_connected(void **state)
{
    (void) state;
    for (uint32_t e = 0; e < 3; e++) {
        for (uint32_t cuts = 0; cuts < 64; cuts++) {
            struct cut_result r = run(engines[e], 3, cuts);
            bool up = r.first_us <= CUT_AVAILABLE_ELECTIONS * CUT_ELECTION_US;
            assert_int_equal(up, cut_space_has_core(3, cuts));
        }
    }
}

/* Three nodes in full, five by a sample; what is so of the sets themselves is of all of them. */
static void test_cut_set_plans_and_counts_all_classes(void **state)
{
    struct cut_set set;
    const struct figure_options options = {.seed = 3, .workers = 2, .program = "synod-sim"};
    (void) state;
    cut_set_init(&set, &options, 10);
    assert_int_equal(set.engines, 3);
    assert_int_equal(set.count, 16 + 36 + 36 + 3 * 10);
    assert_true(set.sampled);
    assert_int_equal(set.totals[0].sets, 64);
    assert_int_equal(set.totals[0].core, 37); /* of 3 pairs at least one: 64 - 3^3 */
    assert_int_equal(set.totals[1].sets, 1 << 20);
    assert_int_equal(set.totals[1].at[1], 20);
    assert_int_equal(set.totals[1].hub_at[4], set.totals[1].at[4]);
    assert_int_equal(cut_set_run(&set, &options), OK);
    for (uint32_t g = 0; g < set.engines; g++) {
        const struct cut_tally *three = &set.tallies[0][g];
        const struct cut_tally *five = &set.tallies[1][g];
        assert_int_equal(three->runs, three->classes);
        assert_int_equal(three->sets, 64);
        assert_int_equal(three->up, 37);
        assert_int_equal(five->runs, 10);
        assert_int_equal(three->unsafe + five->unsafe + three->unrecovered, 0);
        assert_int_equal(three->core_down + five->core_down + three->wonders, 0);
        assert_int_equal(three->first_bad, -1);
    }
    cut_set_release(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_run_without_cuts_everybody_answers),
        cmocka_unit_test(test_cut_run_isolated_leader_is_replaced),
        cmocka_unit_test(test_cut_run_with_all_links_cut_nobody_answers),
        cmocka_unit_test(test_cut_run_is_a_function_of_its_input),
        cmocka_unit_test(test_cut_run_three_nodes_answer_where_two_are_connected),
        cmocka_unit_test(test_cut_set_plans_and_counts_all_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

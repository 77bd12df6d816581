/*
 * test_swarm.c - scenarios from seeds: equal seeds give equal ones (S1), all are possible ones, the
 * domains are independent, and damage stays within what a cluster must survive (D3, D5, D9).
 */
#include "tests/sim/swarm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

enum { SEEDS = 2000, TEXT_MAX = 1 << 20 };

static const struct swarm_options ANY = {0, -1, false};
static const struct swarm_options BEYOND = {0, -1, true};

static const struct engine_ops *raft(void)
{
    return engine_by_name("raft");
}

static bool is_damage(const struct sim_step *step)
{
    return step->kind == STEP_DISK_FLIP || step->kind == STEP_DISK_LOSE ||
           step->kind == STEP_DISK_WIPE || step->kind == STEP_DISK_RESTORE;
}

static uint32_t victims(const struct scenario *s)
{
    bool victim[SIM_NODES_MAX + 1] = {false};
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->steps_count; i++) {
        if (is_damage(&s->steps[i]) && !victim[s->steps[i].a]) {
            victim[s->steps[i].a] = true;
            count++;
        }
    }
    return count;
}

static void print(const struct scenario *s, struct buf *text)
{
    buf_clear(text);
    assert_int_equal(scenario_print(s, text), OK);
}

/* S1, S3: the same seed is the same run, for each engine. */
static void test_swarm_equal_seeds_give_equal_scenarios(void **state)
{
    (void) state;
    struct buf first;
    struct buf second;
    struct buf last;
    buf_init(&first, TEXT_MAX);
    buf_init(&second, TEXT_MAX);
    buf_init(&last, TEXT_MAX);
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct scenario a;
        struct scenario b;
        swarm_scenario(raft(), seed, &ANY, &a);
        swarm_scenario(engine_by_name("paxos"), seed, &ANY, &b);
        b.engine = a.engine;
        print(&a, &first);
        print(&b, &second);
        assert_true(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
        assert_false(bytes_equal(buf_bytes(&first), buf_bytes(&last)));
        print(&a, &last);
        scenario_release(&a);
        scenario_release(&b);
    }
    buf_release(&first);
    buf_release(&second);
    buf_release(&last);
}

/* S5: what a seed draws is kept as text, so the text must be the whole of it. */
static void test_swarm_scenarios_are_possible_and_can_be_kept(void **state)
{
    (void) state;
    struct buf text;
    struct buf again;
    struct buf error;
    buf_init(&text, TEXT_MAX);
    buf_init(&again, TEXT_MAX);
    buf_init(&error, 1024);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const struct swarm_options options = {(uint32_t) (seed % (SIM_NODES_MAX + 1)),
                                              (int) (seed % 3) - 1, seed % 5 == 0};
        struct scenario s;
        struct scenario parsed;
        swarm_scenario(raft(), seed, &options, &s);
        if (scenario_check(&s, &error) != OK) {
            fail_msg("seed %llu: %.*s", (unsigned long long) seed, (int) error.size,
                     (char *) error.data);
        }
        assert_true(options.nodes == 0 || s.nodes == options.nodes);
        assert_true(options.mode < 0 || s.mode == options.mode);
        assert_true(s.steps_count <= SIM_STEPS_MAX / 2);
        print(&s, &text);
        assert_int_equal(scenario_parse(buf_bytes(&text), &parsed, &error), OK);
        print(&parsed, &again);
        assert_true(bytes_equal(buf_bytes(&text), buf_bytes(&again)));
        scenario_release(&parsed);
        scenario_release(&s);
    }
    buf_release(&text);
    buf_release(&again);
    buf_release(&error);
}

/* D3: a minority loses its disk at most, unless it is asked for more; the core loses nothing. */
static void test_swarm_atlas_damages_a_minority_at_most(void **state)
{
    (void) state;
    uint32_t runs = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct scenario s;
        swarm_scenario(raft(), seed, &ANY, &s);
        uint32_t count = victims(&s);
        assert_true(count <= (s.nodes - 1) / 2);
        runs += count > 0 ? 1 : 0;
        scenario_release(&s);
        swarm_scenario(raft(), seed, &BEYOND, &s);
        assert_true(s.mode == SIM_LIVENESS ? victims(&s) <= (s.nodes - 1) / 2
                                           : victims(&s) > (s.nodes - 1) / 2);
        scenario_release(&s);
    }
    assert_in_range(runs, SEEDS / 5, SEEDS / 2);
}

/* What may not happen, and not still be going on, while an old image is put back. */
static bool disturbs(const struct sim_step *step, uint32_t victim)
{
    switch (step->kind) {
    case STEP_HEAL:
    case STEP_RESTART:
    case STEP_DISK_SAVE:
        return false;
    case STEP_DISK_SLOW:
        return step->amount != 1;
    case STEP_POWER_LOSS:
    case STEP_CRASH:
    case STEP_DISK_RESTORE:
        return step->a != victim;
    default:
        return true;
    }
}

/* D9: 2 s or 20 heartbeats of calm before the crash and until behind the start. */
static void test_swarm_old_image_is_put_back_in_calm(void **state)
{
    (void) state;
    uint32_t found = 0;
    for (uint64_t seed = 1; seed <= 10 * SEEDS; seed++) {
        struct scenario s;
        uint32_t at = 0;
        swarm_scenario(raft(), seed, seed % 7 == 0 ? &BEYOND : &ANY, &s);
        while (at < s.steps_count && s.steps[at].kind != STEP_DISK_RESTORE) {
            at++;
        }
        if (at < s.steps_count) {
            uint32_t victim = s.steps[at].a;
            uint64_t calm = u64_max(2000000, 20 * s.options[OPTION_HEARTBEAT]);
            uint64_t from = s.steps[at].at_us - calm;
            uint64_t until = 0;
            uint32_t heals = 0;
            bool saved = false;
            found++;
            for (uint32_t i = at; i < s.steps_count && until == 0; i++) {
                until = s.steps[i].kind == STEP_RESTART ? s.steps[i].at_us : 0;
            }
            assert_true(until != 0);
            assert_int_equal(s.loss_permyriad, 0);
            for (uint32_t i = 0; i < s.steps_count; i++) {
                const struct sim_step *step = &s.steps[i];
                bool lasts = step->at_us < from && step->at_us + step->for_us > from;
                bool inside = step->at_us >= from && step->at_us <= until;
                saved = saved ||
                        (step->kind == STEP_DISK_SAVE && step->a == victim && step->at_us < from);
                heals += step->kind == STEP_HEAL && step->at_us < from ? 1 : 0;
                if (step->at_us < from && disturbs(step, 0) && step->kind != STEP_CLOCK_DRIFT) {
                    heals = 0; /* one must come behind the last of them */
                }
                assert_false(lasts);
                assert_false(inside && disturbs(step, victim));
            }
            assert_true(saved);
            assert_true(heals > 0 || s.steps[at].at_us < calm);
        }
        scenario_release(&s);
    }
    assert_true(found > SEEDS / 10);
}

/* Another number of nodes is another run, but the same limits and the same workload. */
static void test_swarm_domains_are_independent(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        const struct swarm_options three = {3, SIM_SAFETY, false};
        const struct swarm_options five = {5, SIM_SAFETY, true};
        struct scenario a;
        struct scenario b;
        swarm_scenario(raft(), seed, &three, &a);
        swarm_scenario(raft(), seed, &five, &b);
        assert_memory_equal(a.options, b.options, sizeof a.options);
        assert_memory_equal(a.mix, b.mix, sizeof a.mix);
        assert_int_equal(a.clients, b.clients);
        assert_int_equal(a.timeout_us, b.timeout_us);
        assert_int_equal(a.log_disk.max, b.log_disk.max);
        scenario_release(&a);
        scenario_release(&b);
    }
}

/* Not drawn: what scripts alone do. Isolated nodes come back by `heal`; a disk is slow by a factor;
 * one that lies may lose what was acknowledged, and no run could be judged. */
static bool is_drawn(uint32_t kind)
{
    return kind != STEP_REJOIN && kind != STEP_DISK_DELAY && kind != STEP_DISK_LIE;
}

/* S4: every kind of step comes up, and every engine-wide flag in both positions. */
static void test_swarm_draws_every_kind_of_fault(void **state)
{
    (void) state;
    uint32_t kinds[STEP_KINDS] = {0};
    uint32_t nodes[SIM_NODES_MAX + 1] = {0};
    uint32_t off[SCENARIO_OPTIONS] = {0};
    uint32_t calm = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bool seen[STEP_KINDS] = {false};
        struct scenario s;
        swarm_scenario(raft(), seed, &ANY, &s);
        nodes[s.nodes]++;
        for (uint32_t i = 0; i < s.steps_count; i++) {
            seen[s.steps[i].kind] = true;
        }
        bool any = false;
        for (uint32_t i = 0; i < STEP_KINDS; i++) {
            kinds[i] += seen[i] ? 1 : 0;
            any = any || (seen[i] && i != STEP_CLOCK_DRIFT && i != STEP_HEAL && i != STEP_RESTART);
        }
        calm += any ? 0 : 1;
        for (uint32_t i = OPTION_PRE_VOTE; i <= OPTION_QUORUM_CONNECTED; i++) {
            off[i] += s.options[i] == 0 ? 1 : 0;
            assert_true(s.mode == SIM_SAFETY || s.options[i] == 1);
        }
        scenario_release(&s);
    }
    for (uint32_t i = 0; i < STEP_KINDS; i++) {
        assert_true(kinds[i] >= SEEDS / 50 || !is_drawn(i));
    }
    for (uint32_t i = 1; i <= SIM_NODES_MAX; i++) {
        assert_true(nodes[i] >= SEEDS / 50);
    }
    for (uint32_t i = OPTION_PRE_VOTE; i <= OPTION_QUORUM_CONNECTED; i++) {
        assert_true(off[i] >= SEEDS / 50);
    }
    assert_true(calm >= SEEDS / 50);
    assert_true(nodes[3] + nodes[5] > SEEDS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swarm_equal_seeds_give_equal_scenarios),
        cmocka_unit_test(test_swarm_scenarios_are_possible_and_can_be_kept),
        cmocka_unit_test(test_swarm_atlas_damages_a_minority_at_most),
        cmocka_unit_test(test_swarm_old_image_is_put_back_in_calm),
        cmocka_unit_test(test_swarm_domains_are_independent),
        cmocka_unit_test(test_swarm_draws_every_kind_of_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

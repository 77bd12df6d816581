/*
 * test_crash_points_model.c - every short life of the log and of the state database on the model
 * disk: what a crash or a failed call leaves opens again, and holds what was acknowledged (D2, D4,
 * D6, D7).
 *
 * That the model leaves what real files leave, and nothing else, is in test_crash_points_leveldb.c.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "consensus/consensus.h"
#include "tests/sim/crash_model.h"
#include "tests/sim/disk.h"
#include "tests/support/entries.h"

enum {
    SEEDS = 4,                 /* disks for each crash */
    WRITE_BUFFER = 4 * 1024,   /* of short lives: some of their writes fill it */
    WRITE_BUFFER_LONG = 65536, /* as LevelDB's least */
};

static struct crash_rig log_rig(uint8_t engine)
{
    return (struct crash_rig){
        .kind = &crash_log_kind,
        .log = &sim_logstore_ops,
        .engine = engine,
        .write_buffer_size = WRITE_BUFFER,
    };
}

static struct crash_rig state_rig(void)
{
    return (struct crash_rig){
        .kind = &crash_state_kind,
        .state = &sim_store_ops,
        .write_buffer_size = WRITE_BUFFER,
    };
}

static void report(const char *what, const struct crash_model_tally *t)
{
    printf("# %s: %llu workloads, %llu crashes, %llu failed calls\n", what,
           (unsigned long long) t->workloads, (unsigned long long) t->crashes,
           (unsigned long long) t->faults);
    if (t->red) {
        printf("# RED: %s\n", t->text);
    }
}

/* All workloads of up to `length` operations. */
static bool all_are_green(const struct crash_rig *rig, uint32_t length, const char *what)
{
    const uint32_t count = crash_workloads(&rig->kind->alphabet, length);
    struct crash_model_tally tally = {.workloads = 0};
    for (uint32_t i = 0; i < count && !tally.red; i++) {
        struct crash_workload w;
        crash_workload_at(&rig->kind->alphabet, i, &w);
        (void) crash_model_explore(rig, &w, 1000 * seed_offset() + i, SEEDS, &tally);
    }
    report(what, &tally);
    return !tally.red && tally.workloads == count;
}

static void test_crash_points_of_raft_logs_on_the_model_leave_what_was_acknowledged(void **state)
{
    (void) state;
    const struct crash_rig rig = log_rig(ENGINE_RAFT);
    assert_true(all_are_green(&rig, 3, "raft logs, up to three operations"));
}

static void test_crash_points_of_paxos_logs_on_the_model_leave_what_was_acknowledged(void **state)
{
    (void) state;
    const struct crash_rig rig = log_rig(ENGINE_PAXOS);
    assert_true(all_are_green(&rig, 2, "paxos logs, up to two operations"));
}

static void test_crash_points_of_states_on_the_model_leave_what_was_flushed(void **state)
{
    (void) state;
    const struct crash_rig rig = state_rig();
    assert_true(all_are_green(&rig, 3, "states, up to three flushes"));
}

/* Each beginning of a longer workload is one. */
static void test_crash_points_of_long_logs_on_the_model_leave_what_was_acknowledged(void **state)
{
    static const char *const workloads[] = {
        "bulk bulk trim bulk bulk truncate bulk reopen bulk trimmost append",
        "many trimmost append hard many trim jump append promises reopen bump",
        "bulk bulk bulk power append bulk bulk bulk power bulk group bulk bulk",
        "bulk bulk jump bulk bulk trim power bump append group bulk power power",
    };
    (void) state;
    struct crash_rig rig = log_rig(ENGINE_RAFT);
    struct crash_model_tally tally = {.workloads = 0};
    rig.write_buffer_size = WRITE_BUFFER_LONG;
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
        struct crash_workload w;
        assert_true(crash_workload_parse(workloads[i], &w));
        for (; w.count > 0; w.count--) {
            (void) crash_model_explore(&rig, &w, 1000 * seed_offset() + i, SEEDS, &tally);
        }
    }
    report("long logs", &tally);
    assert_false(tally.red);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_points_of_raft_logs_on_the_model_leave_what_was_acknowledged),
        cmocka_unit_test(test_crash_points_of_paxos_logs_on_the_model_leave_what_was_acknowledged),
        cmocka_unit_test(test_crash_points_of_states_on_the_model_leave_what_was_flushed),
        cmocka_unit_test(test_crash_points_of_long_logs_on_the_model_leave_what_was_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_cluster.c - every engine under the replica: clusters of one, three and five nodes with
 * faults by chance, then healed; what must hold is checked by tests/support/cluster_sim.
 *
 * A failure prints engine, size and seed; CLUSTER_SEEDS=n runs n seeds of each instead of a few,
 * CLUSTER_SEED=s (or SYNOD_SEED=s) begins with s.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/diag.h"
#include "base/mem.h"
#include "tests/support/cluster_sim.h"

enum { RUN_US = 6000000, SETTLE_US = 60000000 };

static char diag_text[256];

/* A log at error level fails a run (style 45). */
static void on_diag(enum diag_level level, const char *text, void *ctx)
{
    (void) ctx;
    if (level == DIAG_LEVEL_ERROR && diag_text[0] == '\0') {
        (void) snprintf(diag_text, sizeof diag_text, "%s", text);
    }
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void report(const struct cluster_sim_options *o, const char *failure)
{
    print_message("CLUSTER_SEED=%llu engine %s nodes %u: %s\n", (unsigned long long) o->seed,
                  engine_name(o->engine), o->nodes, failure);
}

static void add(struct cluster_sim_counts *total, const struct cluster_sim_counts *c)
{
    total->events += c->events;
    total->lost += c->lost;
    total->duplicated += c->duplicated;
    total->crashes += c->crashes;
    total->cuts += c->cuts;
    total->transfers += c->transfers;
    total->slow_disks += c->slow_disks;
    total->writes_acked += c->writes_acked;
    total->writes_unknown += c->writes_unknown;
    total->reads_acked += c->reads_acked;
    total->retries += c->retries;
    total->fetches += c->fetches;
    total->loads += c->loads;
    total->trims += c->trims;
}

/* Returns the trace hash; 0 when the run failed. */
static uint64_t run(const struct cluster_sim_options *o, struct cluster_sim_counts *total)
{
    struct cluster_sim_counts counts;
    diag_text[0] = '\0';
    diag_set_sink(on_diag, NULL);
    struct cluster_sim *sim = cluster_sim_new(o);
    cluster_sim_run(sim, RUN_US);
    if (cluster_sim_failure(sim) == NULL && cluster_sim_settle(sim, SETTLE_US)) {
        cluster_sim_check(sim);
    }
    const char *failure = cluster_sim_failure(sim);
    if (failure == NULL && diag_text[0] != '\0') {
        failure = diag_text;
    }
    if (failure != NULL) {
        report(o, failure);
    }
    uint64_t hash = failure == NULL ? cluster_sim_trace_hash(sim) : 0;
    cluster_sim_counts(sim, &counts);
    add(total, &counts);
    cluster_sim_free(sim);
    diag_set_sink(NULL, NULL);
    return hash;
}

static void print_counts(const char *what, const struct cluster_sim_counts *t)
{
    print_message("%s: %llu events, %llu writes (%llu unknown, %llu retried), %llu reads, %llu "
                  "lost, %llu crashes, %llu cuts, %llu transfers, %llu fetches, %llu loads, %llu "
                  "trims\n",
                  what, (unsigned long long) t->events, (unsigned long long) t->writes_acked,
                  (unsigned long long) t->writes_unknown, (unsigned long long) t->retries,
                  (unsigned long long) t->reads_acked, (unsigned long long) t->lost,
                  (unsigned long long) t->crashes, (unsigned long long) t->cuts,
                  (unsigned long long) t->transfers, (unsigned long long) t->fetches,
                  (unsigned long long) t->loads, (unsigned long long) t->trims);
}

/* R1, R5, R6, R9, R11, D1, D2, K1, K2, K3, K4, P2, P9, P14. */
static void test_cluster_with_faults_loses_and_doubles_nothing(void **state)
{
    static const uint32_t sizes[] = {1, 3, 5};
    uint64_t seeds = from_environment("CLUSTER_SEEDS", 12);
    uint64_t first = from_environment("CLUSTER_SEED", from_environment("SYNOD_SEED", 1));
    bool failed = false;
    (void) state;
    for (uint32_t e = 0; engine_at(e) != NULL; e++) {
        struct cluster_sim_counts total = {0};
        for (uint32_t i = 0; i < seeds * ARRAY_SIZE(sizes); i++) {
            struct cluster_sim_options o;
            cluster_sim_options_init(&o, engine_at(e), sizes[i % ARRAY_SIZE(sizes)],
                                     first + i / ARRAY_SIZE(sizes));
            o.fault_interval_us = 300000;
            failed |= run(&o, &total) == 0;
        }
        print_counts(engine_name(engine_at(e)), &total);
        /* S4: the faults happened, and the way round them was needed. */
        assert_true(total.writes_acked > 0);
        assert_true(total.reads_acked > 0);
        assert_true(total.crashes > 0);
        assert_true(total.cuts > 0);
        assert_true(total.lost > 0);
        assert_true(total.retries > 0);
        assert_true(total.fetches > 0);
    }
    assert_false(failed);
}

/* R11: in calm nothing fails, and nothing has to be sent twice for long. */
static void test_cluster_in_calm_answers_everything(void **state)
{
    (void) state;
    for (uint32_t e = 0; engine_at(e) != NULL; e++) {
        struct cluster_sim_counts total = {0};
        struct cluster_sim_options o;
        cluster_sim_options_init(&o, engine_at(e), 3, 7);
        o.loss_permille = 0;
        o.duplicate_permille = 0;
        o.replica.consensus.inflight_max = 32;
        assert_true(run(&o, &total) != 0);
        print_counts(engine_name(engine_at(e)), &total);
        assert_int_equal(total.writes_unknown, 0);
        assert_true(total.writes_acked > 500);
    }
}

/* S1. */
static void test_cluster_same_seed_gives_same_trace(void **state)
{
    (void) state;
    for (uint32_t e = 0; engine_at(e) != NULL; e++) {
        struct cluster_sim_counts total = {0};
        struct cluster_sim_options o;
        cluster_sim_options_init(&o, engine_at(e), 3, 99);
        o.fault_interval_us = 200000;
        uint64_t hash = run(&o, &total);
        assert_true(hash != 0);
        assert_true(hash == run(&o, &total));
        /* Equal in all builds; compare by eye. */
        print_message("%s: trace hash %016llx\n", engine_name(engine_at(e)),
                      (unsigned long long) hash);
        o.seed = 100;
        assert_true(hash != run(&o, &total));
    }
}

static bool leader_known(struct cluster_sim *sim, void *ctx)
{
    (void) ctx;
    return cluster_sim_leader(sim) != 0;
}

/* K3, R11: the leader is cut off for good; the others go on, and it catches up when it is back. */
static void test_cluster_goes_on_without_its_leader(void **state)
{
    (void) state;
    for (uint32_t e = 0; engine_at(e) != NULL; e++) {
        struct cluster_sim_options o;
        struct cluster_sim_counts before, after;
        if ((engine_capabilities(engine_at(e)) & CAP_LEADER) == 0) {
            continue;
        }
        cluster_sim_options_init(&o, engine_at(e), 3, 5);
        struct cluster_sim *sim = cluster_sim_new(&o);
        assert_true(cluster_sim_run_until(sim, 2000000, leader_known, NULL));
        cluster_sim_isolate(sim, cluster_sim_leader(sim));
        cluster_sim_run(sim, 6 * o.replica.consensus.election_us);
        cluster_sim_counts(sim, &before);
        cluster_sim_run(sim, 2000000);
        cluster_sim_counts(sim, &after);
        assert_true(after.writes_acked > before.writes_acked);
        if (cluster_sim_settle(sim, SETTLE_US)) {
            cluster_sim_check(sim);
        }
        if (cluster_sim_failure(sim) != NULL) {
            report(&o, cluster_sim_failure(sim));
        }
        assert_null(cluster_sim_failure(sim));
        cluster_sim_free(sim);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cluster_in_calm_answers_everything),
        cmocka_unit_test(test_cluster_goes_on_without_its_leader),
        cmocka_unit_test(test_cluster_same_seed_gives_same_trace),
        cmocka_unit_test(test_cluster_with_faults_loses_and_doubles_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_lincheck_timing.c - how long the checker takes: histories of real size are judged in far
 * less time than they took. The limits are ten times what a slow machine needs. K1.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/sim/lincheck.h"
#include "tests/sim/lincheck_sample.h"

static uint64_t cpu_ns(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

/* Some late get reads what was read at the beginning. */
static void make_stale(struct history *h)
{
    for (uint32_t i = history_count(h) - 1; i > 0; i--) {
        struct history_op *late = history_at(h, i);
        for (uint32_t j = 0; j < history_count(h) / 4 && late->kind == HIST_GET; j++) {
            const struct history_op *early = history_at(h, j);
            if (late->result == HIST_OK && early->result == HIST_OK && early->kind == HIST_GET &&
                early->key == late->key && early->ok) {
                late->value = early->value;
                late->ok = true;
                return;
            }
        }
    }
    fail_msg("the sample has no two gets of a key");
}

static void judge(const char *name, struct lincheck_sample sample, bool stale, double limit_s)
{
    struct lincheck_report report;
    struct history *h;
    uint64_t begin;
    double took_s;
    enum lincheck_verdict verdict;

    sample.seed = 1;
    h = lincheck_sample(&sample);
    if (stale) {
        make_stale(h);
    }
    begin = cpu_ns();
    verdict = lincheck_run(h, NULL, &report);
    took_s = (double) (cpu_ns() - begin) / 1e9;
    print_message("%7u operations, %3u clients, %3u keys, %2u%% unknown, %-21s %-6s %7.3f s, "
                  "%llu steps\n",
                  sample.operations, sample.clients, sample.keys, sample.unknown_percent, name,
                  stale ? "wrong:" : "right:", took_s, (unsigned long long) report.steps);
    assert_int_equal(verdict, stale ? LINCHECK_WRONG : LINCHECK_OK);
    assert_true(took_s < limit_s);
    history_free(h);
}

static void test_lincheck_timing_of_large_histories(void **state)
{
    (void) state;
    static const struct {
        const char *name;
        struct lincheck_sample sample;
        double limit_s;
    } rows[] = {
        {"put get", {0, 10000, 10, 10, 0, 0, {1, 1}}, 1},
        {"put get", {0, 10000, 10, 10, 0, 10, {1, 1}}, 1},
        {"put get", {0, 10000, 10, 1, 0, 5, {1, 1}}, 3},
        {"put get, 5 values", {0, 10000, 10, 10, 5, 5, {1, 1}}, 5},
        {"put get cas del append", {0, 10000, 10, 10, 0, 10, {3, 3, 1, 1, 1}}, 5},
        {"append get", {0, 5000, 10, 5, 0, 5, {0, 1, 0, 0, 1}}, 10},
        {"all, one part", {0, 2000, 8, 6, 0, 10, {5, 5, 1, 1, 1, 1}}, 20},
        {"put get", {0, 100000, 50, 100, 0, 5, {1, 1}}, 10},
        {"put get cas del append", {0, 100000, 50, 100, 0, 5, {3, 3, 1, 1, 1}}, 10},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        judge(rows[i].name, rows[i].sample, false, rows[i].limit_s);
        /* A value that is written again and again may be read late and right. */
        if (rows[i].sample.values == 0) {
            judge(rows[i].name, rows[i].sample, true, 3 * rows[i].limit_s);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lincheck_timing_of_large_histories),
    };
    return cmocka_run_group_tests_name("lincheck timing", tests, NULL, NULL);
}

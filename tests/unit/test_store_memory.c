/*
 * test_store_memory.c - the hooks of the disk in memory: crashes, clones, faults; and the log store
 * on it with every write failing in turn (D4, D6, D7).
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/consensus.h"
#include "kv/logstore.h"
#include "kv/store.h"
#include "kv/store_memory.h"
#include "tests/support/entries.h"

static struct store *open_on(struct memory_disk *d, bool create)
{
    struct store *s = NULL;
    const struct store_options options = {.create = create, .device = d};
    int rc = store_open(store_by_name("memory"), "state", &options, &s, NULL);
    ASSERT(rc == OK);
    return s;
}

static int put(struct store *s, const char *key, bool sync)
{
    struct store_batch *batch = store_batch_new();
    store_batch_put(batch, bytes_str(key), bytes_str("v"));
    int rc = store_write(s, batch, sync);
    store_batch_free(batch);
    return rc;
}

static int get(struct store *s, const char *key)
{
    struct buf value;
    buf_init(&value, 100);
    int rc = store_get(s, bytes_str(key), &value);
    buf_release(&value);
    return rc;
}

static void test_store_memory_crash_drops_what_was_not_synced(void **state)
{
    (void) state;
    struct memory_disk *d = memory_disk_new();
    struct store *s = open_on(d, true);
    assert_int_equal(put(s, "a", true), OK);
    assert_int_equal(put(s, "b", false), OK);
    assert_int_equal(get(s, "b"), OK);
    memory_disk_crash(d);
    struct store *after = open_on(d, false);
    assert_int_equal(get(after, "a"), OK);
    assert_int_equal(get(after, "b"), ERR_NOT_FOUND);
    /* The store from before is dead and harms nobody. */
    assert_int_equal(put(s, "c", true), ERR_IO);
    assert_int_equal(get(s, "a"), ERR_IO);
    assert_string_not_equal(store_last_error(s), "");
    store_close(s);
    assert_int_equal(get(after, "c"), ERR_NOT_FOUND);
    struct store *third = NULL;
    const struct store_options options = {.device = d};
    assert_int_equal(store_open(store_by_name("memory"), "state", &options, &third, NULL),
                     ERR_LOCKED);
    assert_int_equal(put(after, "d", false), OK);
    assert_int_equal(put(after, "e", true), OK); /* A sync takes along what was before it. */
    memory_disk_crash(d);
    store_close(after);
    s = open_on(d, false);
    assert_int_equal(get(s, "d"), OK);
    store_close(s);
    memory_disk_free(d);
    memory_disk_free(NULL);
}

static void test_store_memory_clone_is_the_synced_image(void **state)
{
    (void) state;
    struct memory_disk *d = memory_disk_new();
    struct store *s = open_on(d, true);
    assert_int_equal(put(s, "a", true), OK);
    assert_int_equal(put(s, "b", false), OK);
    struct memory_disk *clone = memory_disk_clone_synced(d);
    assert_int_equal(put(s, "c", true), OK);
    struct store *other = open_on(clone, false);
    assert_int_equal(get(other, "a"), OK);
    assert_int_equal(get(other, "b"), ERR_NOT_FOUND);
    assert_int_equal(get(other, "c"), ERR_NOT_FOUND);
    assert_int_equal(put(other, "x", true), OK);
    assert_int_equal(get(s, "x"), ERR_NOT_FOUND);
    assert_int_equal(get(s, "b"), OK);
    store_close(other);
    memory_disk_free(clone);
    store_close(s);
    memory_disk_free(d);
}

static void test_store_memory_removed_image_is_gone(void **state)
{
    (void) state;
    struct memory_disk *d = memory_disk_new();
    struct store *s = open_on(d, true);
    struct store *none = NULL;
    assert_int_equal(put(s, "a", true), OK);
    memory_disk_remove(d, "state");
    assert_int_equal(put(s, "b", true), ERR_IO);
    const struct store_options options = {.device = d};
    assert_int_equal(store_open(store_by_name("memory"), "state", &options, &none, NULL),
                     ERR_NOT_FOUND);
    struct store *fresh = open_on(d, true);
    assert_int_equal(get(fresh, "a"), ERR_NOT_FOUND);
    store_close(s);
    store_close(fresh);
    memory_disk_free(d);
}

static void test_store_memory_failed_write_is_final(void **state)
{
    (void) state;
    for (int applied = 0; applied < 2; applied++) {
        struct memory_disk *d = memory_disk_new();
        struct store *s = open_on(d, true);
        const struct memory_fault fault = {.writes_before = 1,
                                           .err = ERR_NO_SPACE,
                                           .applied = applied == 1};
        memory_disk_fail(d, fault);
        assert_int_equal(put(s, "a", true), OK);
        uint64_t writes = memory_disk_writes(d);
        assert_int_equal(put(s, "b", true), ERR_NO_SPACE);
        assert_int_equal(memory_disk_writes(d), writes + 1);
        /* D6: later writes give the same and do not reach the disk, which would work again. */
        assert_int_equal(put(s, "c", true), ERR_NO_SPACE);
        assert_int_equal(put(s, "d", false), ERR_NO_SPACE);
        assert_int_equal(memory_disk_writes(d), writes + 1);
        assert_non_null(strstr(store_last_error(s), "no space"));
        memory_disk_crash(d);
        struct store *after = open_on(d, false);
        assert_int_equal(get(after, "a"), OK);
        assert_int_equal(get(after, "b"), applied == 1 ? OK : ERR_NOT_FOUND);
        assert_int_equal(get(after, "c"), ERR_NOT_FOUND);
        store_close(s);
        store_close(after);
        memory_disk_free(d);
    }
}

static void test_store_memory_without_disk_forgets_on_close(void **state)
{
    (void) state;
    struct store *s = NULL;
    const struct store_options create = {.create = true};
    const struct store_options open = {.create = false};
    assert_int_equal(store_open(store_by_name("memory"), "m", &open, &s, NULL), ERR_NOT_FOUND);
    assert_int_equal(store_open(store_by_name("memory"), "m", &create, &s, NULL), OK);
    assert_int_equal(put(s, "a", true), OK);
    store_close(s);
    assert_int_equal(store_open(store_by_name("memory"), "m", &open, &s, NULL), ERR_NOT_FOUND);
}

/* ---- the log store, each of its writes failing in turn ---- */

/* Create, writes, a cut, trims: the number of steps that were told to be durable. */
static uint32_t run_log(struct memory_disk *d, uint32_t steps_max, int *ret_err)
{
    struct logstore *s = NULL;
    const struct identity identity = {.cluster_id = 1, .node = 1, .engine = ENGINE_RAFT};
    const struct logstore_options options = {.create = &identity, .device = d};
    uint32_t told = 0;
    *ret_err = logstore_open(logstore_by_name("memory"), "log", &options, &s, NULL);
    if (*ret_err != OK) {
        return 0;
    }
    while (told < steps_max && *ret_err == OK) {
        struct log_pos pos = {.index = told + 1, .epoch = told + 1};
        struct log_write *w = log_write_new();
        w->truncate_from = told % 3 == 2 ? told : 0; /* cuts the entry of the step before */
        if (w->truncate_from > 0) {
            write_entry(w, (struct log_pos){.index = told, .epoch = told + 1}, told + 1, 20);
        }
        write_entry(w, pos, told + 1, 20);
        w->hard_set = true;
        w->hard.epoch = told + 1;
        const struct log_write *const writes[] = {w};
        *ret_err = logstore_write(s, writes, 1);
        log_write_free(w);
        told += *ret_err == OK ? 1 : 0;
        if (*ret_err == OK && told % 5 == 0) {
            *ret_err = logstore_trim(s, (struct log_pos){.index = told - 3, .epoch = 0});
        }
    }
    /* Nothing is written after a failure. */
    uint64_t writes_before = memory_disk_writes(d);
    if (*ret_err != OK) {
        uint64_t incarnation = 0;
        struct log_write *w = log_write_new();
        const struct log_write *const writes[] = {w};
        w->hard_set = true;
        assert_int_equal(logstore_write(s, writes, 1), *ret_err);
        assert_int_equal(logstore_trim(s, (struct log_pos){.index = 99, .epoch = 9}), *ret_err);
        assert_int_equal(logstore_bump_incarnation(s, &incarnation), *ret_err);
        assert_int_equal(memory_disk_writes(d), writes_before);
        log_write_free(w);
    }
    logstore_close(s);
    return told;
}

static void check_log(struct memory_disk *d, uint32_t told)
{
    struct logstore *s = NULL;
    struct logstore_recovery r;
    const struct logstore_options options = {.device = d};
    assert_int_equal(logstore_open(logstore_by_name("memory"), "log", &options, &s, NULL), OK);
    assert_int_equal(logstore_recover(s, 0, &r, NULL), OK);
    assert_true(r.hard.epoch == told || r.hard.epoch == told + 1);
    assert_int_equal(r.last, r.hard.epoch);
    assert_int_equal(r.trimmed.index + r.entries_count, r.last);
    if (r.entries_count > 0) {
        const struct entry *e = &r.entries[r.entries_count - 1];
        assert_int_equal(e->epoch, r.last);
        assert_int_equal(value_number(e->value), r.last);
    }
    logstore_recovery_release(&r);
    logstore_close(s);
}

static void test_logstore_memory_every_failing_write_leaves_a_prefix(void **state)
{
    (void) state;
    int rc = OK;
    struct memory_disk *d = memory_disk_new();
    assert_int_equal(run_log(d, 30, &rc), 30);
    uint64_t writes = memory_disk_writes(d);
    memory_disk_free(d);
    assert_true(writes > 30);
    for (uint64_t n = 0; n < 2 * writes; n++) {
        d = memory_disk_new();
        const struct memory_fault fault = {.writes_before = n / 2,
                                           .err = n % 4 < 2 ? ERR_IO : ERR_NO_SPACE,
                                           .applied = n % 2 == 1};
        memory_disk_fail(d, fault);
        uint32_t told = run_log(d, 30, &rc);
        assert_int_equal(rc, fault.err);
        memory_disk_crash(d);
        if (n / 2 == 0 && !fault.applied) {
            struct logstore *s = NULL;
            const struct logstore_options options = {.device = d};
            assert_int_equal(logstore_open(logstore_by_name("memory"), "log", &options, &s, NULL),
                             ERR_NOT_FOUND);
        } else {
            check_log(d, told);
        }
        memory_disk_free(d);
    }
}

/* R6, as the simulator asks it: is what this node promised in its synced image? */
static void test_logstore_memory_clone_shows_what_is_durable(void **state)
{
    (void) state;
    int rc = OK;
    struct memory_disk *d = memory_disk_new();
    assert_int_equal(run_log(d, 7, &rc), 7);
    struct memory_disk *clone = memory_disk_clone_synced(d);
    check_log(clone, 7);
    memory_disk_free(clone);
    memory_disk_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_memory_crash_drops_what_was_not_synced),
        cmocka_unit_test(test_store_memory_clone_is_the_synced_image),
        cmocka_unit_test(test_store_memory_removed_image_is_gone),
        cmocka_unit_test(test_store_memory_failed_write_is_final),
        cmocka_unit_test(test_store_memory_without_disk_forgets_on_close),
        cmocka_unit_test(test_logstore_memory_every_failing_write_leaves_a_prefix),
        cmocka_unit_test(test_logstore_memory_clone_shows_what_is_durable),
    };
    return cmocka_run_group_tests_name("store_memory", tests, NULL, NULL);
}

/*
 * test_log.c - the window of slots: cursors, cuts, holes, durability, eviction, recovery.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/enc.h"
#include "base/rng.h"
#include "consensus/log.h"
#include "tests/support/death.h"

static const struct log_pos NOTHING = {0, 0};

static struct value *value_of(uint64_t number)
{
    uint8_t payload[8];
    enc_put_u64(payload, number);
    struct value_builder b;
    value_builder_init(&b, 100, 1);
    struct command c = {.session = 1, .sequence = 1, .payload = bytes_of(payload, 8)};
    ERR_IGNORE(value_builder_add(&b, &c)); /* fits */
    struct value *v = value_builder_detach(&b);
    value_builder_release(&b);
    return v;
}

typedef int (*log_put_fn)(struct log *l, const struct entry *entry);

static int put_by(log_put_fn put, struct log *l, struct log_pos pos, uint64_t number)
{
    struct entry entry = {.index = pos.index, .epoch = pos.epoch, .value = value_of(number)};
    int err = put(l, &entry);
    value_unref(entry.value);
    return err;
}

static int append(struct log *l, uint64_t epoch)
{
    return put_by(log_append, l, (struct log_pos){.index = log_last(l) + 1, .epoch = epoch},
                  log_last(l) + 1);
}

/* A write of what the log holds in [first, last], as an engine would have made it. */
static struct log_write *write_of(const struct log *l, uint64_t first, uint64_t last)
{
    struct log_write *w = log_write_new();
    struct entry entry;
    for (uint64_t i = first; i <= last; i++) {
        assert_int_equal(log_entry(l, i, &entry), OK);
        log_write_add(w, &entry);
    }
    return w;
}

static void stable_to(struct log *l, uint64_t last)
{
    struct log_write *w = write_of(l, log_stable(l) + 1, last);
    log_mark_stable(l, w, UINT64_MAX);
    log_write_free(w);
}

static void test_log_append_and_cursors(void **state)
{
    (void) state;
    struct log *l = log_new(1 << 20, 1000, NOTHING);
    assert_int_equal(log_first(l), 1);
    assert_int_equal(log_last(l), 0);
    assert_int_equal(log_last_pos(l).epoch, 0);
    for (uint64_t i = 1; i <= 300; i++) { /* grows the ring more than once */
        assert_int_equal(append(l, 1 + i / 100), OK);
    }
    assert_int_equal(log_last(l), 300);
    assert_int_equal(log_last_pos(l).epoch, 4);
    uint64_t epoch;
    assert_int_equal(log_epoch_at(l, 0, &epoch), OK);
    assert_int_equal(epoch, 0);
    assert_int_equal(log_epoch_at(l, 99, &epoch), OK);
    assert_int_equal(epoch, 1);
    assert_int_equal(log_epoch_at(l, 301, &epoch), ERR_NOT_FOUND);
    log_commit_to(l, 200);
    assert_int_equal(log_commit(l), 200);
    assert_int_equal(log_slot(l, 200)->state, SLOT_CHOSEN);
    assert_int_equal(log_slot(l, 201)->state, SLOT_ACCEPTED);
    assert_null(log_slot(l, 301));
    log_commit_to(l, 100); /* never back */
    assert_int_equal(log_commit(l), 200);
    log_free(l);
}

static void test_log_truncate_cuts_the_suffix(void **state)
{
    (void) state;
    struct log *l = log_new(1 << 20, 1000, NOTHING);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(append(l, 1), OK);
    }
    stable_to(l, 10);
    log_truncate(l, 6);
    assert_int_equal(log_last(l), 5);
    assert_int_equal(log_stable(l), 5);
    assert_null(log_slot(l, 6));
    assert_int_equal(append(l, 2), OK);
    assert_int_equal(log_last_pos(l).epoch, 2);
    assert_int_equal(log_stable(l), 5);
    log_free(l);
}

static void truncate_committed(void *ctx)
{
    (void) ctx;
    struct log *l = log_new(1 << 20, 1000, NOTHING);
    ERR_IGNORE(append(l, 1)); /* there is room */
    log_commit_to(l, 1);
    log_truncate(l, 1);
}

/* Raft 5.3: committed entries are never removed. */
static void test_log_truncate_of_committed_aborts(void **state)
{
    (void) state;
    assert_true(death_aborts(truncate_committed, NULL));
}

/* R6: an old write that completes does not make durable what was cut and put again since. */
static void test_log_stable_ignores_what_was_replaced(void **state)
{
    (void) state;
    struct log *l = log_new(1 << 20, 1000, NOTHING);
    assert_int_equal(append(l, 1), OK);
    assert_int_equal(append(l, 1), OK);
    struct log_write *old = write_of(l, 1, 2);
    log_truncate(l, 2);
    assert_int_equal(append(l, 1), OK); /* the very same entry again */
    log_mark_stable(l, old, 2);         /* a later write cuts from 2 on */
    assert_int_equal(log_stable(l), 1);
    struct log_write *new_write = write_of(l, 2, 2);
    log_mark_stable(l, new_write, UINT64_MAX);
    assert_int_equal(log_stable(l), 2);
    log_truncate(l, 2);
    assert_int_equal(put_by(log_append, l, (struct log_pos){2, 3}, 99), OK);
    log_mark_stable(l, new_write, UINT64_MAX); /* another epoch stands there */
    assert_int_equal(log_stable(l), 1);
    log_write_free(old);
    log_write_free(new_write);
    log_free(l);
}

/* R6, D2: a value accepted, displaced by another one and chosen after all is durable here only when
 * the last of the three writes is: after the first, the next one may still put the other value over
 * it, and a restart or a reader of the store would take that one for what was chosen (P1). */
static void test_log_stable_chosen_slot_waits_for_its_newest_write(void **state)
{
    (void) state;
    struct log *l = log_new(1 << 20, 1000, NOTHING);
    struct log_write *writes[3];
    assert_int_equal(put_by(log_accept, l, (struct log_pos){1, 5}, 42), OK);
    writes[0] = write_of(l, 1, 1);
    assert_int_equal(put_by(log_accept, l, (struct log_pos){1, 6}, 77), OK);
    writes[1] = write_of(l, 1, 1);
    assert_int_equal(put_by(log_choose, l, (struct log_pos){1, 7}, 42), OK);
    writes[2] = write_of(l, 1, 1);
    assert_int_equal(log_commit(l), 1);
    for (uint32_t i = 0; i < 3; i++) {
        log_mark_stable(l, writes[i], UINT64_MAX);
        assert_int_equal(log_stable(l), i == 2 ? 1 : 0);
        log_write_free(writes[i]);
    }
    log_free(l);
}

/* P3: chosen under 7, the value must not be found under 5 after a restart that knows it as chosen:
 * who accepted another one under 6 would take 5 for a proof that it holds the chosen value. */
static void test_log_stable_chosen_slot_waits_for_its_ballot(void **state)
{
    (void) state;
    struct log *l = log_new(1 << 20, 1000, NOTHING);
    assert_int_equal(put_by(log_accept, l, (struct log_pos){1, 5}, 42), OK);
    struct log_write *accepted = write_of(l, 1, 1);
    log_mark_stable(l, accepted, UINT64_MAX);
    assert_int_equal(log_stable(l), 1);
    assert_int_equal(put_by(log_choose, l, (struct log_pos){1, 7}, 42), OK);
    assert_int_equal(log_commit(l), 1);
    assert_int_equal(log_stable(l), 0);
    struct log_write *chosen = write_of(l, 1, 1);
    log_mark_stable(l, accepted, UINT64_MAX);
    assert_int_equal(log_stable(l), 0);
    log_mark_stable(l, chosen, UINT64_MAX);
    assert_int_equal(log_stable(l), 1);
    log_write_free(accepted);
    log_write_free(chosen);
    log_free(l);
}

static void test_log_window_is_bounded_until_applied_and_stable(void **state)
{
    (void) state;
    struct log *l = log_new(1 << 20, 8, NOTHING);
    for (int i = 0; i < 8; i++) {
        assert_true(log_has_room(l, log_last(l) + 1));
        assert_int_equal(append(l, 1), OK);
    }
    assert_false(log_has_room(l, 9));
    assert_int_equal(append(l, 1), ERR_LIMIT);
    log_commit_to(l, 8);
    log_apply_to(l, 5);
    assert_int_equal(append(l, 1), ERR_LIMIT); /* applied but not durable */
    stable_to(l, 4);
    assert_true(log_has_room(l, 12));
    assert_false(log_has_room(l, 13));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(append(l, 2), OK);
    }
    assert_int_equal(append(l, 2), ERR_LIMIT);
    assert_int_equal(log_mem_first(l), 5);
    uint64_t epoch;
    assert_int_equal(log_epoch_at(l, 4, &epoch), OK); /* the one before the window */
    assert_int_equal(log_epoch_at(l, 3, &epoch), ERR_AGAIN);
    struct entry entry;
    assert_int_equal(log_entry(l, 4, &entry), ERR_AGAIN);
    log_free(l);
}

static void test_log_evicts_by_memory_oldest_first(void **state)
{
    (void) state;
    struct log *l = log_new(100, 1000, NOTHING);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(append(l, 1), OK);
    }
    size_t one = log_memory(l) / 20;
    log_evict(l);
    assert_int_equal(log_memory(l), 20 * one); /* nothing may go yet */
    log_commit_to(l, 20);
    log_apply_to(l, 20);
    stable_to(l, 18);
    log_evict(l);
    assert_true(log_memory(l) <= 100);
    assert_int_equal(log_last_pos(l).epoch, 1);
    stable_to(l, 20);
    log_trim(l, (struct log_pos){.index = 19, .epoch = 1});
    assert_int_equal(log_first(l), 20);
    assert_int_equal(log_mem_first(l), 20);
    struct entry entry;
    assert_int_equal(log_entry(l, 19, &entry), ERR_COMPACTED);
    assert_int_equal(log_entry(l, 20, &entry), OK);
    log_trim(l, (struct log_pos){.index = 20, .epoch = 1});
    assert_int_equal(log_last_pos(l).index, 20);
    assert_int_equal(log_last_pos(l).epoch, 1);
    assert_int_equal(append(l, 2), OK);
    log_free(l);
}

/* Paxos: slots fill in any order; commit is the contiguous chosen prefix. */
static void test_log_holes_and_chosen_prefix(void **state)
{
    (void) state;
    struct log *l = log_new(1 << 20, 100, NOTHING);
    assert_int_equal(put_by(log_accept, l, (struct log_pos){3, 10}, 3), OK);
    assert_int_equal(log_last(l), 3);
    assert_int_equal(log_slot(l, 2)->state, SLOT_EMPTY);
    struct entry entry;
    assert_int_equal(log_entry(l, 2, &entry), ERR_NOT_FOUND);
    assert_int_equal(put_by(log_choose, l, (struct log_pos){2, 10}, 2), OK);
    assert_int_equal(log_commit(l), 0);
    assert_int_equal(put_by(log_choose, l, (struct log_pos){1, 10}, 1), OK);
    assert_int_equal(log_commit(l), 2);
    assert_int_equal(put_by(log_choose, l, (struct log_pos){3, 12}, 33), OK); /* another value */
    assert_int_equal(log_commit(l), 3);
    assert_false(log_slot(l, 3)->stable);
    assert_int_equal(put_by(log_accept, l, (struct log_pos){3, 14}, 33), OK); /* same: kept */
    assert_int_equal(log_slot(l, 3)->state, SLOT_CHOSEN);
    assert_int_equal(put_by(log_accept, l, (struct log_pos){200, 14}, 1), ERR_LIMIT);
    assert_int_equal(log_promise(l, (struct slot_promise){.index = 200, .ballot = 1}), ERR_LIMIT);
    assert_int_equal(log_promise(l, (struct slot_promise){.index = 6, .ballot = 9}), OK);
    assert_int_equal(log_promise(l, (struct slot_promise){.index = 6, .ballot = 8}), OK);
    assert_int_equal(log_slot(l, 6)->promised, 9);
    assert_int_equal(log_last(l), 3); /* a promise is no value */
    log_free(l);
}

static void choose_twice(void *ctx)
{
    (void) ctx;
    struct log *l = log_new(1 << 20, 100, NOTHING);
    ERR_IGNORE(put_by(log_choose, l, (struct log_pos){1, 1}, 1)); /* there is room */
    ERR_IGNORE(put_by(log_choose, l, (struct log_pos){1, 2}, 2)); /* aborts */
}

/* P1: at most one value is chosen for a slot. */
static void test_log_second_value_for_a_chosen_slot_aborts(void **state)
{
    (void) state;
    assert_true(death_aborts(choose_twice, NULL));
}

static void test_log_restore(void **state)
{
    (void) state;
    struct entry entries[6];
    for (uint64_t i = 0; i < 6; i++) {
        entries[i] = (struct entry){.index = 11 + i, .epoch = 2, .value = value_of(i)};
    }
    struct slot_promise promise = {.index = 18, .ballot = 7};
    struct log *l = log_new(1 << 20, 100, (struct log_pos){.index = 5, .epoch = 1});
    assert_int_equal(log_restore(l, entries, 6, &promise, 1, 12), OK);
    assert_int_equal(log_first(l), 6);
    assert_int_equal(log_mem_first(l), 11);
    assert_int_equal(log_last(l), 16);
    assert_int_equal(log_commit(l), 12);
    assert_int_equal(log_stable(l), 16);
    assert_int_equal(log_slot(l, 18)->promised, 7);
    uint64_t epoch;
    assert_int_equal(log_epoch_at(l, 5, &epoch), OK);
    assert_int_equal(log_epoch_at(l, 10, &epoch), ERR_AGAIN); /* in the store */
    log_apply_to(l, 12);
    log_trim(l, (struct log_pos){.index = 8, .epoch = 1});
    assert_int_equal(log_first(l), 9);
    log_free(l);

    l = log_new(1 << 20, 100, (struct log_pos){.index = 5, .epoch = 1});
    assert_int_equal(log_restore(l, entries, 6, NULL, 0, 8), ERR_INVALID); /* 9, 10 unknown */
    log_free(l);
    l = log_new(1 << 20, 100, (struct log_pos){.index = 10, .epoch = 1});
    assert_int_equal(log_restore(l, entries, 6, NULL, 0, 17), ERR_INVALID); /* beyond the end */
    log_free(l);
    l = log_new(1 << 20, 4, (struct log_pos){.index = 10, .epoch = 1});
    assert_int_equal(log_restore(l, entries, 6, NULL, 0, 10), OK); /* wider than the limit */
    assert_false(log_has_room(l, 17));
    log_commit_to(l, 16);
    log_apply_to(l, 16);
    assert_true(log_has_room(l, 17));
    log_free(l);
    l = log_new(1 << 20, 100, (struct log_pos){.index = 10, .epoch = 1});
    assert_int_equal(log_restore(l, NULL, 0, NULL, 0, 10), OK);
    assert_int_equal(log_last_pos(l).epoch, 1);
    log_free(l);
    for (uint64_t i = 0; i < 6; i++) {
        value_unref(entries[i].value);
    }
}

/* Random appends, cuts, commits, applies, writes, evictions against an array. */
static void test_log_random_against_a_model(void **state)
{
    (void) state;
    struct rng rng;
    rng_init(&rng, 42);
    struct log *l = log_new(500, 64, NOTHING);
    uint64_t epochs[4096] = {0};
    uint64_t last = 0;
    uint64_t commit = 0;
    for (uint32_t step = 0; step < 20000 && last < 4000; step++) {
        switch (rng_below(&rng, 6)) {
        case 0:
        case 1:
            if (append(l, 1 + step / 100) == OK) {
                epochs[++last] = 1 + step / 100;
            } else {
                assert_false(log_has_room(l, last + 1));
            }
            break;
        case 2:
            if (last > commit && rng_chance(&rng, 1, 4)) {
                uint64_t from = rng_between(&rng, commit + 1, last);
                log_truncate(l, from);
                last = from - 1;
            }
            break;
        case 3:
            commit = rng_between(&rng, commit, last);
            log_commit_to(l, commit);
            break;
        case 4:
            log_apply_to(l, rng_between(&rng, log_applied(l), commit));
            break;
        default:
            stable_to(l, rng_between(&rng, log_stable(l), last));
            log_evict(l);
            break;
        }
        assert_int_equal(log_last(l), last);
        assert_int_equal(log_commit(l), commit);
        assert_true(log_stable(l) <= last);
        assert_true(log_mem_first(l) <= log_applied(l) + 1);
        for (uint64_t i = log_mem_first(l); i <= last; i++) {
            struct entry entry;
            assert_int_equal(log_entry(l, i, &entry), OK);
            assert_int_equal(entry.epoch, epochs[i]);
        }
    }
    assert_true(last > 500);
    log_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_append_and_cursors),
        cmocka_unit_test(test_log_truncate_cuts_the_suffix),
        cmocka_unit_test(test_log_truncate_of_committed_aborts),
        cmocka_unit_test(test_log_stable_ignores_what_was_replaced),
        cmocka_unit_test(test_log_stable_chosen_slot_waits_for_its_newest_write),
        cmocka_unit_test(test_log_stable_chosen_slot_waits_for_its_ballot),
        cmocka_unit_test(test_log_window_is_bounded_until_applied_and_stable),
        cmocka_unit_test(test_log_evicts_by_memory_oldest_first),
        cmocka_unit_test(test_log_holes_and_chosen_prefix),
        cmocka_unit_test(test_log_second_value_for_a_chosen_slot_aborts),
        cmocka_unit_test(test_log_restore),
        cmocka_unit_test(test_log_random_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

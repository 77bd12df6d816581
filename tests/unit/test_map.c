/*
 * test_map.c - the hash map, against a model.
 */

#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tests/support/death.h"

static void put_null(void *ctx)
{
    ERR_IGNORE(map_put(ctx, 1, NULL)); /* does not return */
}

static void test_map_empty_finds_and_removes_nothing(void **state)
{
    (void) state;
    struct map m;
    map_init(&m, 10);
    size_t cursor = 0;
    assert_int_equal(map_size(&m), 0);
    assert_null(map_get(&m, 0));
    assert_null(map_remove(&m, 0));
    assert_false(map_next(&m, &cursor, NULL, NULL));
    assert_true(death_aborts(put_null, &m));
    map_release(&m);
}

static void test_map_existing_key_keeps_its_value(void **state)
{
    (void) state;
    struct map m;
    map_init(&m, 10);
    int first;
    int second;
    assert_int_equal(map_put(&m, 0, &first), OK);
    assert_int_equal(map_put(&m, 0, &second), ERR_EXISTS);
    assert_ptr_equal(map_get(&m, 0), &first);
    assert_int_equal(map_put(&m, UINT64_MAX, &second), OK);
    assert_ptr_equal(map_get(&m, UINT64_MAX), &second);
    assert_int_equal(map_size(&m), 2);
    assert_ptr_equal(map_remove(&m, 0), &first);
    assert_null(map_get(&m, 0));
    assert_null(map_remove(&m, 0));
    assert_int_equal(map_size(&m), 1);
    map_release(&m);
    assert_int_equal(map_size(&m), 0);
    assert_null(map_get(&m, UINT64_MAX));
}

static void test_map_full_refuses_new_keys_until_one_is_removed(void **state)
{
    (void) state;
    struct map m;
    int value;
    for (size_t capacity = 0; capacity < 40; capacity++) {
        map_init(&m, capacity);
        for (uint64_t key = 0; key < capacity; key++) {
            assert_int_equal(map_put(&m, key, &value), OK);
        }
        assert_int_equal(map_put(&m, 1000, &value), ERR_LIMIT);
        assert_int_equal(map_size(&m), capacity);
        if (capacity > 0) {
            assert_int_equal(map_put(&m, 0, &value), ERR_EXISTS);
            assert_ptr_equal(map_remove(&m, capacity - 1), &value);
            assert_int_equal(map_put(&m, 1000, &value), OK);
        }
        map_release(&m);
    }
}

static void test_map_iteration_visits_each_entry_once(void **state)
{
    (void) state;
    struct map m;
    map_init(&m, 1000);
    int values[1000];
    bool seen[1000] = {false};
    for (uint64_t key = 0; key < 1000; key++) {
        assert_int_equal(map_put(&m, key * key, &values[key]), OK);
    }
    size_t cursor = 0;
    size_t count = 0;
    uint64_t key;
    void *value;
    while (map_next(&m, &cursor, &key, &value)) {
        size_t i = (size_t) ((int *) value - values);
        assert_true(key == (uint64_t) i * i);
        assert_false(seen[i]);
        seen[i] = true;
        count++;
    }
    assert_int_equal(count, 1000);
    assert_false(map_next(&m, &cursor, NULL, NULL));
    map_release(&m);
}

static void test_map_same_operations_give_the_same_order(void **state)
{
    (void) state;
    struct map a;
    struct map b;
    map_init(&a, 100);
    map_init(&b, 100);
    int value;
    for (uint64_t key = 0; key < 100; key++) {
        assert_int_equal(map_put(&a, key * 77, &value), OK);
        assert_int_equal(map_put(&b, key * 77, &value), OK);
    }
    size_t cursor_a = 0;
    size_t cursor_b = 0;
    uint64_t key_a = 0;
    uint64_t key_b = 0;
    while (map_next(&a, &cursor_a, &key_a, NULL)) {
        assert_true(map_next(&b, &cursor_b, &key_b, NULL));
        assert_true(key_a == key_b);
    }
    map_release(&a);
    map_release(&b);
}

/* Few keys and many removals, so that runs of slots form, wrap round the end of the table and are
 * shifted back. The model is an array indexed by the key. */
static void test_map_random_operations_match_a_model(void **state)
{
    (void) state;
    enum { KEYS = 300, CAPACITY = 200 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        struct map m;
        map_init(&m, CAPACITY);
        int *model[KEYS] = {NULL};
        int values[64];
        size_t size = 0;
        for (int i = 0; i < 5000; i++) {
            size_t k = (size_t) rng_below(&rng, KEYS);
            uint64_t key = k * UINT64_C(0x100000001); /* both halves of the key matter */
            int *value = &values[rng_below(&rng, ARRAY_SIZE(values))];
            if (rng_chance(&rng, 1 + seed % 3, 4)) {
                int expected = model[k] != NULL ? ERR_EXISTS : size == CAPACITY ? ERR_LIMIT : OK;
                assert_int_equal(map_put(&m, key, value), expected);
                if (expected == OK) {
                    model[k] = value;
                    size++;
                }
            } else {
                assert_ptr_equal(map_remove(&m, key), model[k]);
                size -= model[k] != NULL ? 1 : 0;
                model[k] = NULL;
            }
            assert_int_equal(map_size(&m), size);
            if (i % 16 == 0) {
                for (size_t j = 0; j < KEYS; j++) {
                    assert_ptr_equal(map_get(&m, j * UINT64_C(0x100000001)), model[j]);
                }
            }
        }
        map_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_empty_finds_and_removes_nothing),
        cmocka_unit_test(test_map_existing_key_keeps_its_value),
        cmocka_unit_test(test_map_full_refuses_new_keys_until_one_is_removed),
        cmocka_unit_test(test_map_iteration_visits_each_entry_once),
        cmocka_unit_test(test_map_same_operations_give_the_same_order),
        cmocka_unit_test(test_map_random_operations_match_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_store_contract.c - what every store promises (kv/store.h), for each one in the table
 * and for the model disk of the simulator.
 */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kv/store.h"
#include "kv/store_memory.h"
#include "tests/sim/disk.h"
#include "tests/support/entries.h"
#include "tests/support/tempdir.h"

struct fixture {
    const struct store_ops *ops;
    char dir[TEMPDIR_PATH_MAX];
    char path[TEMPDIR_PATH_MAX + 16];
    struct memory_disk *disk;
    struct sim_disk *sim;
    struct store_batch *batch;
    struct buf value;
    struct buf error;
};

static const struct store_ops *current_ops;

/* Those of the table, then the model disk of the simulator, which no node can be configured with.
 */
static const struct store_ops *implementation(uint32_t i)
{
    uint32_t count = 0;
    while (store_at(count) != NULL) {
        count++;
    }
    return i == count ? &sim_store_ops : store_at(i);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    f->ops = current_ops;
    tempdir_make(f->dir);
    (void) snprintf(f->path, sizeof f->path, "%s/store", f->dir);
    f->disk = memory_disk_new();
    f->sim = sim_disk_new(&(struct sim_disk_options){.seed = 1, .buffer_bytes = 4096});
    f->batch = store_batch_new();
    buf_init(&f->value, SIZE_MAX / 2);
    buf_init(&f->error, 4096);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    memory_disk_free(f->disk);
    sim_disk_free(f->sim);
    store_batch_free(f->batch);
    buf_release(&f->value);
    buf_release(&f->error);
    tempdir_remove(f->dir);
    free(f);
    return 0;
}

static bool simulated(const struct fixture *f)
{
    return f->ops == &sim_store_ops;
}

static void *device(const struct fixture *f)
{
    return simulated(f) ? (void *) f->sim : (void *) f->disk;
}

static int open_store(struct fixture *f, bool create, struct store **ret_store)
{
    const struct store_options options = {.write_buffer_size = 1 << 20,
                                          .create = create,
                                          .device = device(f)};
    buf_clear(&f->error);
    return store_open(f->ops, f->path, &options, ret_store, &f->error);
}

static struct store *must_open(struct fixture *f, bool create)
{
    struct store *s = NULL;
    int rc = open_store(f, create, &s);
    ASSERT(rc == OK);
    return s;
}

static bool error_mentions(struct fixture *f, const char *text)
{
    struct bytes e = buf_bytes(&f->error);
    return memmem(e.data, e.size, text, strlen(text)) != NULL;
}

static void put(struct fixture *f, struct store *s, const char *key, const char *value)
{
    store_batch_clear(f->batch);
    store_batch_put(f->batch, bytes_str(key), bytes_str(value));
    int rc = store_write(s, f->batch, true);
    ASSERT(rc == OK);
}

/* "" when the key is not there, else "=" and its value; valid until the next call. */
static const char *get(struct fixture *f, struct store *s, const char *key)
{
    static char text[256];
    int rc = store_get(s, bytes_str(key), &f->value);
    ASSERT(rc == OK || rc == ERR_NOT_FOUND);
    if (rc == ERR_NOT_FOUND) {
        return "";
    }
    ASSERT(f->value.size < sizeof text - 1);
    text[0] = '=';
    if (f->value.size > 0) {
        memcpy(text + 1, f->value.data, f->value.size);
    }
    text[f->value.size + 1] = '\0';
    return text;
}

static void test_store_missing_is_not_found(void **state)
{
    struct fixture *f = *state;
    struct store *s = NULL;
    assert_int_equal(open_store(f, false, &s), ERR_NOT_FOUND);
    assert_null(s);
    assert_true(error_mentions(f, f->path));
    assert_true(error_mentions(f, "create"));
    /* Asking did not make one. */
    assert_int_equal(open_store(f, false, &s), ERR_NOT_FOUND);
    s = must_open(f, true);
    store_close(s);
}

static void test_store_create_over_existing_is_refused(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, true);
    put(f, s, "k", "v");
    store_close(s);
    s = NULL;
    assert_int_equal(open_store(f, true, &s), ERR_EXISTS);
    assert_null(s);
    assert_true(error_mentions(f, f->path));
    s = must_open(f, false);
    assert_string_equal(get(f, s, "k"), "=v");
    store_close(s);
}

static void test_store_initial_rows_are_there(void **state)
{
    struct fixture *f = *state;
    struct store *s = NULL;
    struct store_batch *initial = store_batch_new();
    store_batch_put(initial, bytes_str("version"), bytes_str("1"));
    const struct store_options options = {.create = true, .initial = initial, .device = device(f)};
    assert_int_equal(store_open(f->ops, f->path, &options, &s, NULL), OK);
    assert_string_equal(get(f, s, "version"), "=1");
    store_close(s);
    s = must_open(f, false);
    assert_string_equal(get(f, s, "version"), "=1");
    store_close(s);
    store_batch_free(initial);
}

static void test_store_second_open_is_locked(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, true);
    struct store *second = NULL;
    /* Twice: a refused attempt must not take the lock away. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(open_store(f, false, &second), ERR_LOCKED);
        assert_null(second);
        assert_true(error_mentions(f, f->path));
    }
    put(f, s, "k", "v");
    assert_string_equal(get(f, s, "k"), "=v");
    store_close(s);
    s = must_open(f, false);
    store_close(s);
}

static void test_store_reopened_has_synced_rows(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, true);
    for (int i = 0; i < 5; i++) {
        char value[16];
        (void) snprintf(value, sizeof value, "%d", i);
        put(f, s, "same", value);
        put(f, s, value, "x");
        store_close(s);
        s = must_open(f, false);
        assert_string_equal(get(f, s, "same") + 1, value);
    }
    assert_string_equal(get(f, s, "0"), "=x");
    assert_string_equal(get(f, s, "4"), "=x");
    assert_string_equal(get(f, s, "5"), "");
    store_close(s);
}

static void test_store_get_missing_leaves_value(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, true);
    put(f, s, "k", "a longer value");
    assert_int_equal(buf_append(&f->value, "old", 3), OK);
    assert_int_equal(store_get(s, bytes_str("none"), &f->value), ERR_NOT_FOUND);
    assert_true(bytes_equal(buf_bytes(&f->value), bytes_str("old")));
    struct buf small;
    buf_init(&small, 4);
    assert_int_equal(buf_append(&small, "old", 3), OK);
    assert_int_equal(store_get(s, bytes_str("k"), &small), ERR_LIMIT);
    assert_true(bytes_equal(buf_bytes(&small), bytes_str("old")));
    buf_release(&small);
    store_close(s);
}

static void test_store_values_of_any_bytes_come_back(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, true);
    const size_t sizes[] = {0, 1, 4095, 4096, 40000, (size_t) 5 << 20};
    uint8_t *bytes = xmalloc((size_t) 5 << 20);
    for (size_t i = 0; i < (size_t) 5 << 20; i++) {
        bytes[i] = (uint8_t) (i * 7 + i / 251);
    }
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        const uint8_t key[3] = {0, 0xff, (uint8_t) i};
        store_batch_clear(f->batch);
        store_batch_put_parts(f->batch, bytes_of(key, i % 2 == 0 ? 3 : 2), bytes_of(bytes, 0),
                              bytes_of(bytes, sizes[i]));
        assert_int_equal(store_write(s, f->batch, true), OK);
        assert_int_equal(store_get(s, bytes_of(key, i % 2 == 0 ? 3 : 2), &f->value), OK);
        assert_true(bytes_equal(buf_bytes(&f->value), bytes_of(bytes, sizes[i])));
    }
    free(bytes);
    store_close(s);
}

static void test_store_batch_applies_in_order(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, true);
    put(f, s, "d", "old");
    store_batch_clear(f->batch);
    store_batch_put(f->batch, bytes_str("a"), bytes_str("1"));
    store_batch_put(f->batch, bytes_str("a"), bytes_str("2"));
    store_batch_put(f->batch, bytes_str("b"), bytes_str("1"));
    store_batch_delete(f->batch, bytes_str("b"));
    store_batch_delete(f->batch, bytes_str("c"));
    store_batch_put(f->batch, bytes_str("c"), bytes_str("3"));
    store_batch_delete(f->batch, bytes_str("d"));
    store_batch_delete(f->batch, bytes_str("never"));
    assert_int_equal(store_write(s, f->batch, true), OK);
    assert_string_equal(get(f, s, "a"), "=2");
    assert_string_equal(get(f, s, "b"), "");
    assert_string_equal(get(f, s, "c"), "=3");
    assert_string_equal(get(f, s, "d"), "");
    store_batch_clear(f->batch);
    assert_int_equal(store_write(s, f->batch, true), OK); /* An empty one is legal. */
    store_close(s);
}

static void test_store_batch_walk_gives_what_was_put(void **state)
{
    struct fixture *f = *state;
    store_batch_put(f->batch, bytes_str("key"), bytes_str("value"));
    store_batch_delete(f->batch, bytes_str("gone"));
    store_batch_put_parts(f->batch, bytes_str(""), bytes_str("he"), bytes_str("ad"));
    assert_int_equal(store_batch_count(f->batch), 3);
    assert_int_equal(store_batch_size(f->batch), 3 + 5 + 4 + 4);
    size_t cursor = 0;
    struct bytes key;
    struct bytes value;
    bool is_delete = true;
    assert_true(store_batch_next(f->batch, &cursor, &key, &value, &is_delete));
    assert_true(bytes_equal(key, bytes_str("key")));
    assert_true(bytes_equal(value, bytes_str("value")));
    assert_false(is_delete);
    assert_true(store_batch_next(f->batch, &cursor, &key, &value, &is_delete));
    assert_true(bytes_equal(key, bytes_str("gone")));
    assert_true(bytes_empty(value));
    assert_true(is_delete);
    assert_true(store_batch_next(f->batch, &cursor, &key, &value, &is_delete));
    assert_true(bytes_empty(key));
    assert_true(bytes_equal(value, bytes_str("head")));
    assert_false(is_delete);
    assert_false(store_batch_next(f->batch, &cursor, &key, &value, &is_delete));
    store_batch_clear(f->batch);
    assert_int_equal(store_batch_count(f->batch), 0);
    assert_int_equal(store_batch_size(f->batch), 0);
}

static void test_store_iterator_goes_in_key_order(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, true);
    static const char *const keys[] = {"b", "a\xff", "a", "ab", "\x01", "\xff\xff", "\x80"};
    static const char *const sorted[] = {"\x01", "a", "ab", "a\xff", "b", "\x80", "\xff\xff"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        put(f, s, keys[i], keys[i]);
    }
    struct store_iter *it = NULL;
    assert_int_equal(store_iter_new(s, false, &it), OK);
    assert_false(store_iter_valid(it));
    store_iter_seek(it, bytes_str(""));
    for (size_t i = 0; i < ARRAY_SIZE(sorted); i++) {
        assert_true(store_iter_valid(it));
        assert_true(bytes_equal(store_iter_key(it), bytes_str(sorted[i])));
        assert_true(bytes_equal(store_iter_value(it), bytes_str(sorted[i])));
        store_iter_next(it);
    }
    assert_false(store_iter_valid(it));
    assert_int_equal(store_iter_error(it), OK);
    store_iter_seek(it, bytes_str("aa"));
    assert_true(bytes_equal(store_iter_key(it), bytes_str("ab")));
    store_iter_seek(it, bytes_str("ab"));
    assert_true(bytes_equal(store_iter_key(it), bytes_str("ab")));
    store_iter_seek(it, bytes_str("\xff\xff\xff"));
    assert_false(store_iter_valid(it));
    store_iter_free(it);
    store_close(s);
}

static void test_store_iterator_sees_its_own_moment(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, true);
    put(f, s, "a", "1");
    put(f, s, "b", "1");
    for (int snapshot = 0; snapshot < 2; snapshot++) {
        struct store_iter *it = NULL;
        assert_int_equal(store_iter_new(s, snapshot == 1, &it), OK);
        store_batch_clear(f->batch);
        store_batch_delete(f->batch, bytes_str("a"));
        store_batch_put(f->batch, bytes_str("b"), bytes_str("2"));
        store_batch_put(f->batch, bytes_str("c"), bytes_str("2"));
        assert_int_equal(store_write(s, f->batch, true), OK);
        store_iter_seek(it, bytes_str(""));
        assert_true(bytes_equal(store_iter_key(it), bytes_str("a")));
        store_iter_next(it);
        assert_true(bytes_equal(store_iter_key(it), bytes_str("b")));
        assert_true(bytes_equal(store_iter_value(it), bytes_str("1")));
        store_iter_next(it);
        assert_false(store_iter_valid(it));
        store_iter_free(it);
        assert_string_equal(get(f, s, "a"), "");
        store_batch_clear(f->batch);
        store_batch_delete(f->batch, bytes_str("c"));
        assert_int_equal(store_write(s, f->batch, true), OK);
        put(f, s, "a", "1");
        put(f, s, "b", "1");
    }
    store_close(s);
}

static void test_store_disk_size_grows_with_rows(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, true);
    uint64_t before = store_disk_size(s);
    uint8_t *bytes = xcalloc(1, 100000);
    store_batch_clear(f->batch);
    store_batch_put(f->batch, bytes_str("k"), bytes_of(bytes, 100000));
    assert_int_equal(store_write(s, f->batch, true), OK);
    assert_true(store_disk_size(s) >= before + 100000);
    free(bytes);
    store_close(s);
}

static void test_store_table_finds_by_name(void **state)
{
    struct fixture *f = *state;
    if (!simulated(f)) {
        assert_ptr_equal(store_by_name(f->ops->name), f->ops);
    }
    assert_null(store_by_name("punched-tape"));
    struct store *s = must_open(f, true);
    assert_string_equal(store_last_error(s), "");
    store_close(s);
    store_close(NULL);
    store_batch_free(NULL);
    store_iter_free(NULL);
}

/* ---- against a model: an array of values by small key ---- */

enum { MODEL_KEYS = 300, MODEL_STEPS = 3000 };

static struct bytes model_key(uint32_t k, uint8_t key[2])
{
    enc_put_u8(key, (uint8_t) (k % 7));
    enc_put_u8(key + 1, (uint8_t) (k / 7));
    return bytes_of(key, k % 7 == 0 && k / 7 == 0 ? 1 : 2);
}

static void model_check(struct store *s, const uint64_t *model)
{
    uint32_t rows = 0;
    uint32_t expected = 0;
    struct store_iter *it = NULL;
    assert_int_equal(store_iter_new(s, true, &it), OK);
    for (store_iter_seek(it, bytes_of(NULL, 0)); store_iter_valid(it); store_iter_next(it)) {
        struct bytes key = store_iter_key(it);
        uint32_t k = key.data[0] + (key.size == 2 ? key.data[1] * 7u : 0);
        assert_true(k < MODEL_KEYS);
        assert_int_equal(store_iter_value(it).size, 8 + model[k] % 500);
        assert_int_equal(enc_get_u64(store_iter_value(it).data), model[k]);
        rows++;
    }
    assert_int_equal(store_iter_error(it), OK);
    store_iter_free(it);
    for (uint32_t k = 0; k < MODEL_KEYS; k++) {
        expected += model[k] != 0 ? 1 : 0;
    }
    assert_int_equal(rows, expected);
}

static void model_step(struct fixture *f, struct rng *rng, uint64_t *model)
{
    uint32_t count = (uint32_t) rng_between(rng, 1, 20);
    uint8_t value[8 + 500] = {0};
    store_batch_clear(f->batch);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t key[2];
        uint32_t k = (uint32_t) rng_below(rng, MODEL_KEYS);
        if (rng_chance(rng, 1, 3)) {
            store_batch_delete(f->batch, model_key(k, key));
            model[k] = 0;
        } else {
            model[k] = rng_u64(rng) | 1;
            enc_put_u64(value, model[k]);
            store_batch_put(f->batch, model_key(k, key), bytes_of(value, 8 + model[k] % 500));
        }
    }
}

static void test_store_random_batches_equal_model(void **state)
{
    struct fixture *f = *state;
    struct rng rng;
    rng_init(&rng, 1 + seed_offset());
    uint64_t *model = xcalloc(MODEL_KEYS, sizeof model[0]);
    struct store *s = must_open(f, true);
    for (int step = 0; step < MODEL_STEPS; step++) {
        model_step(f, &rng, model);
        assert_int_equal(store_write(s, f->batch, step % 50 == 0), OK);
        if (step % 100 == 99) {
            model_check(s, model);
        }
        if (step % 500 == 499) {
            store_close(s);
            s = must_open(f, false);
            model_check(s, model);
        }
    }
    store_close(s);
    free(model);
}

/* ---- readers beside the writer ---- */

struct reading {
    struct store *store;
    atomic_bool stop;
    uint32_t rounds;
    uint32_t wrong;
};

/* All rows of a batch carry one number, so a view with two numbers is a torn batch. */
static void *read_along(void *arg)
{
    struct reading *r = arg;
    struct buf value;
    buf_init(&value, 64);
    while (!atomic_load(&r->stop) || r->rounds == 0) {
        struct store_iter *it = NULL;
        uint64_t number = 0;
        uint32_t rows = 0;
        if (store_iter_new(r->store, r->rounds % 2 == 0, &it) != OK) {
            r->wrong++;
            break;
        }
        for (store_iter_seek(it, bytes_str("")); store_iter_valid(it); store_iter_next(it)) {
            uint64_t row = enc_get_u64(store_iter_value(it).data);
            r->wrong += rows > 0 && row != number ? 1 : 0;
            number = row;
            rows++;
        }
        r->wrong += store_iter_error(it) != OK || rows != 10 ? 1 : 0;
        store_iter_free(it);
        r->wrong += store_get(r->store, bytes_str("5"), &value) != OK ? 1 : 0;
        (void) store_disk_size(r->store);
        r->rounds++;
    }
    buf_release(&value);
    return NULL;
}

static void test_store_readers_see_whole_batches(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, true);
    struct reading reading = {.store = s};
    pthread_t threads[2];
    for (uint64_t n = 1; n <= 3000; n++) {
        uint8_t value[8];
        enc_put_u64(value, n);
        store_batch_clear(f->batch);
        for (char key = '0'; key <= '9'; key++) {
            store_batch_put(f->batch, bytes_of(&key, 1), bytes_of(value, sizeof value));
        }
        assert_int_equal(store_write(s, f->batch, false), OK);
        if (n == 1) {
            assert_int_equal(pthread_create(&threads[0], NULL, read_along, &reading), 0);
        }
    }
    atomic_store(&reading.stop, true);
    pthread_join(threads[0], NULL);
    assert_int_equal(reading.wrong, 0);
    assert_true(reading.rounds > 0);
    store_close(s);
}

#define CONTRACT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TEST(test_store_missing_is_not_found),
        CONTRACT_TEST(test_store_create_over_existing_is_refused),
        CONTRACT_TEST(test_store_initial_rows_are_there),
        CONTRACT_TEST(test_store_second_open_is_locked),
        CONTRACT_TEST(test_store_reopened_has_synced_rows),
        CONTRACT_TEST(test_store_get_missing_leaves_value),
        CONTRACT_TEST(test_store_values_of_any_bytes_come_back),
        CONTRACT_TEST(test_store_batch_applies_in_order),
        CONTRACT_TEST(test_store_batch_walk_gives_what_was_put),
        CONTRACT_TEST(test_store_iterator_goes_in_key_order),
        CONTRACT_TEST(test_store_iterator_sees_its_own_moment),
        CONTRACT_TEST(test_store_disk_size_grows_with_rows),
        CONTRACT_TEST(test_store_table_finds_by_name),
        CONTRACT_TEST(test_store_random_batches_equal_model),
    };
    const struct CMUnitTest threads[] = {
        CONTRACT_TEST(test_store_readers_see_whole_batches),
    };
    int failed = 0;
    for (uint32_t i = 0; (current_ops = implementation(i)) != NULL; i++) {
        failed += cmocka_run_group_tests_name(current_ops->name, tests, NULL, NULL);
        if (current_ops != &sim_store_ops) { /* The model disk is for one thread. */
            failed += cmocka_run_group_tests_name(current_ops->name, threads, NULL, NULL);
        }
    }
    return failed;
}

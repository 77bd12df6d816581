/*
 * bench_logstore.c - what a log write costs, by the number of entries that go together; and a put
 * through the store against LevelDB's own.
 *
 *     bench_logstore DIR [STORE] [ENTRIES] [VALUE_SIZE]
 *
 * DIR is an empty directory on the disk to be measured; STORE is leveldb (default) or memory. One
 * line per batch size: entries per second, time per write (median, p99, highest), CPU time per
 * entry of all threads; with a trim every 50,000 entries, as a running node does it.
 */

#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"
#include "consensus/consensus.h"
#include "kv/logstore.h"
#include "kv/store.h"

enum { KEEP = 50000, PUTS = 400000 };

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;
    int rc = clock_gettime(id, &ts);
    ASSERT(rc == 0);
    return (uint64_t) ts.tv_sec * UINT64_C(1000000000) + (uint64_t) ts.tv_nsec;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a;
    uint64_t y = *(const uint64_t *) b;
    return x < y ? -1 : x > y;
}

static struct value *make_value(size_t size)
{
    struct value_builder b;
    uint8_t *payload = xcalloc(1, size);
    const struct command command = {.tag = 1, .sequence = 1, .payload = bytes_of(payload, size)};
    for (size_t i = 0; i < size; i++) {
        payload[i] = (uint8_t) (i * 131 + i / 7);
    }
    value_builder_init(&b, SIZE_MAX / 2, 1);
    int rc = value_builder_add(&b, &command);
    ASSERT(rc == OK);
    struct value *v = value_builder_detach(&b);
    value_builder_release(&b);
    free(payload);
    return v;
}

static struct log_write *make_write(uint64_t first, uint32_t count, struct value *value)
{
    struct log_write *w = log_write_new();
    for (uint32_t i = 0; i < count; i++) {
        const struct entry entry = {.index = first + i, .epoch = 1, .value = value};
        log_write_add(w, &entry);
    }
    w->hard_set = true;
    w->hard = (struct hard_state){.epoch = 1, .vote = 1, .commit = first - 1};
    return w;
}

static void bench_log(const char *dir, const char *name, uint32_t batch, uint64_t entries,
                      size_t value_size)
{
    char path[512];
    struct logstore *s = NULL;
    const struct identity identity = {.cluster_id = 1, .node = 1, .engine = ENGINE_RAFT};
    const struct logstore_options options = {.create = &identity};
    (void) snprintf(path, sizeof path, "%s/log-%s-%u", dir, name, batch);
    int rc = logstore_open(logstore_by_name(name), path, &options, &s, NULL);
    ASSERT(rc == OK);
    struct value *value = make_value(value_size);
    uint32_t writes = (uint32_t) (entries / batch);
    uint64_t *times = xcalloc(writes, sizeof times[0]);
    uint64_t begin = clock_ns(CLOCK_MONOTONIC);
    uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (uint32_t i = 0; i < writes; i++) {
        uint64_t first = (uint64_t) i * batch + 1;
        struct log_write *w = make_write(first, batch, value);
        const struct log_write *const group[] = {w};
        uint64_t start = clock_ns(CLOCK_MONOTONIC);
        rc = logstore_write(s, group, 1);
        ASSERT(rc == OK);
        if (first / KEEP != (first + batch) / KEEP && first > KEEP) {
            rc = logstore_trim(s, (struct log_pos){.index = first - KEEP, .epoch = 1});
            ASSERT(rc == OK);
        }
        times[i] = clock_ns(CLOCK_MONOTONIC) - start;
        log_write_free(w);
    }
    double seconds = (double) (clock_ns(CLOCK_MONOTONIC) - begin) / 1e9;
    double cpu_us = (double) (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e3;
    qsort(times, writes, sizeof times[0], compare_u64);
    double total = (double) writes * batch;
    printf("%-8s batch %4u: %9.0f entries/s, write p50 %7.0f us, p99 %7.0f us, max %7.0f us, "
           "CPU %5.2f us/entry, disk %4.0f MB\n",
           name, batch, total / seconds, (double) times[writes / 2] / 1e3,
           (double) times[(size_t) writes * 99 / 100] / 1e3, (double) times[writes - 1] / 1e3,
           cpu_us / total, (double) logstore_disk_size(s) / 1e6);
    free(times);
    value_unref(value);
    logstore_close(s);
}

/* One un-synced put of 300 bytes a batch: the cost above the file system. */
static double bench_store_put(const char *dir, const char *name)
{
    char path[512];
    struct store *s = NULL;
    uint8_t key[8];
    uint8_t value[300] = {1};
    const struct store_options options = {.create = true};
    (void) snprintf(path, sizeof path, "%s/put-%s", dir, name);
    int rc = store_open(store_by_name(name), path, &options, &s, NULL);
    ASSERT(rc == OK);
    struct store_batch *batch = store_batch_new();
    uint64_t begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (uint64_t i = 0; i < PUTS; i++) {
        enc_put_be64(key, i);
        store_batch_clear(batch);
        store_batch_put(batch, bytes_of(key, sizeof key), bytes_of(value, sizeof value));
        rc = store_write(s, batch, false);
        ASSERT(rc == OK);
    }
    double us = (double) (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin) / 1e3 / PUTS;
    store_batch_free(batch);
    store_close(s);
    return us;
}

static double bench_leveldb_put(const char *dir)
{
    char path[512];
    char key[8];
    char value[300] = {1};
    char *error = NULL;
    (void) snprintf(path, sizeof path, "%s/put-raw", dir);
    leveldb_options_t *options = leveldb_options_create();
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_options_set_compression(options, leveldb_no_compression);
    leveldb_options_set_write_buffer_size(options, 64 << 20);
    leveldb_t *db = leveldb_open(options, path, &error);
    ASSERT(db != NULL);
    leveldb_writeoptions_t *writes = leveldb_writeoptions_create();
    uint64_t begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (uint64_t i = 0; i < PUTS; i++) {
        enc_put_be64((uint8_t *) key, i);
        leveldb_put(db, writes, key, sizeof key, value, sizeof value, &error);
        ASSERT(error == NULL);
    }
    double us = (double) (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin) / 1e3 / PUTS;
    leveldb_writeoptions_destroy(writes);
    leveldb_close(db);
    leveldb_options_destroy(options);
    return us;
}

int main(int argc, char **argv)
{
    static const uint32_t batches[] = {1, 64, 512};
    if (argc < 2) {
        (void) fprintf(stderr, "usage: bench_logstore DIR [STORE] [ENTRIES] [VALUE_SIZE]\n");
        return 2;
    }
    const char *name = argc > 2 ? argv[2] : "leveldb";
    uint64_t entries = argc > 3 ? strtoull(argv[3], NULL, 10) : 500000;
    size_t value_size = argc > 4 ? strtoull(argv[4], NULL, 10) : 300;
    if (logstore_by_name(name) == NULL || entries < 1000 || value_size == 0) {
        (void) fprintf(stderr, "bench_logstore: unknown store, or fewer than 1000 entries\n");
        return 2;
    }
    for (size_t i = 0; i < ARRAY_SIZE(batches); i++) {
        /* A sync each: fewer entries are enough for one at a time. */
        bench_log(argv[1], name, batches[i], batches[i] == 1 ? entries / 20 : entries, value_size);
    }
    printf("put of 300 bytes, not synced: %.2f us of CPU through the store",
           bench_store_put(argv[1], name));
    printf(", %.2f us through LevelDB alone\n", bench_leveldb_put(argv[1]));
    return 0;
}

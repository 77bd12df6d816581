/*
 * bench_mvcc.c - what the state machine costs in CPU time: puts, gets, ranges, restore, no disk.
 *
 *     gcc -std=c11 -D_GNU_SOURCE -O2 -I. tests/bench/bench_mvcc.c
 * build/release/lib{kv,proto,base}.a \ -lprotobuf-c -lleveldb -lm -pthread -o /tmp/bench_mvcc &&
 * /tmp/bench_mvcc [keys]
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kv/mvcc.h"
#include "kv/store.h"
#include "proto/wire_kv.h"

enum { VALUE_SIZE = 256, FLUSH_EVERY = 4000, ENTRY_COMMANDS = 64 };

#define SESSION ((UINT64_C(1) << 32) | 1)

struct bench {
    struct mvcc *m;
    uint32_t keys;
    uint32_t *order; /* a random permutation of the keys */
    struct buf payload;
    uint64_t sequence;
    double flush_s; /* time in flushes, not counted as apply */
    struct store_batch *batch;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

static size_t make_key(uint32_t i, char *out, size_t size)
{
    return (size_t) snprintf(out, size, "/bench/key/%010u", i);
}

static void flush(struct bench *b)
{
    double begin = now_s();
    struct mvcc_flush *f = mvcc_flush_begin(b->m);
    if (f == NULL) {
        return;
    }
    store_batch_clear(b->batch);
    mvcc_flush_fill(f, b->batch);
    mvcc_flush_done(b->m, f);
    b->flush_s += now_s() - begin;
}

/* One entry of commands, encoded before the clock runs. Returns the time to apply it. */
static double entry_run(struct bench *b, uint32_t from, struct command *c, bool want_result,
                        bool prev_kv)
{
    static uint8_t value[VALUE_SIZE];
    size_t ends[ENTRY_COMMANDS];
    buf_clear(&b->payload);
    for (uint32_t i = 0; i < ENTRY_COMMANDS; i++) {
        char key[32];
        struct put_request r = {.prev_kv = prev_kv};
        r.key = bytes_of(key, make_key(b->order[from + i], key, sizeof key));
        memcpy(value, &i, sizeof i);
        r.value = bytes_of(value, sizeof value);
        int err = wire_put_request_encode(&r, &b->payload);
        ASSERT(err == OK);
        ends[i] = b->payload.size;
    }
    double begin = now_s();
    for (uint32_t i = 0; i < ENTRY_COMMANDS; i++) {
        size_t at = i == 0 ? 0 : ends[i - 1];
        struct mvcc_result *res = NULL;
        c->payload = bytes_of(b->payload.data + at, ends[i] - at);
        c->sequence++;
        int err = mvcc_apply(b->m, mvcc_applied(b->m) + 1, c, want_result, &res);
        ASSERT(err == OK);
        mvcc_result_free(res);
    }
    mvcc_apply_done(b->m, mvcc_applied(b->m) + 1);
    return now_s() - begin;
}

static void puts_run(struct bench *b, const char *name, bool want_result, bool prev_kv,
                     uint64_t session)
{
    struct command c = {.tag = TAG_PUT, .session = session};
    double apply_s = 0;
    b->flush_s = 0;
    c.sequence = session == SESSION ? b->sequence : 0;
    for (uint32_t i = 0; i + ENTRY_COMMANDS <= b->keys; i += ENTRY_COMMANDS) {
        apply_s += entry_run(b, i, &c, want_result, prev_kv);
        if (i % FLUSH_EVERY < ENTRY_COMMANDS) {
            flush(b);
        }
    }
    flush(b);
    if (session == SESSION) {
        b->sequence = c.sequence;
    }
    printf("%-34s %6.0f ns apply, %6.0f ns flush\n", name, apply_s * 1e9 / b->keys,
           b->flush_s * 1e9 / b->keys);
}

static void gets_run(struct bench *b)
{
    double begin = now_s();
    uint32_t missing = 0;
    for (uint32_t i = 0; i < b->keys; i++) {
        char key[32];
        struct range_request r = {.key = bytes_of(key, make_key(b->order[i], key, sizeof key))};
        struct mvcc_result *res = NULL;
        int err = mvcc_range(b->m, &r, &res);
        ASSERT(err == OK);
        missing += res->missing;
        mvcc_result_free(res);
    }
    printf("%-34s %6.0f ns (%u %% not in memory)\n", "get, random",
           (now_s() - begin) * 1e9 / b->keys, (unsigned) ((uint64_t) missing * 100 / b->keys));
}

static void ranges_run(struct bench *b, const char *name, struct range_request r, uint32_t times)
{
    double begin = now_s();
    uint64_t kvs = 0;
    for (uint32_t i = 0; i < times; i++) {
        char key[32];
        struct mvcc_result *res = NULL;
        if (times > 1) {
            r.key = bytes_of(key, make_key(b->order[i], key, sizeof key));
        }
        int err = mvcc_range(b->m, &r, &res);
        ASSERT(err == OK);
        ASSERT(res->err == OK);
        kvs += res->missing > 0 ? res->missing : res->response.range.kvs_count;
        mvcc_result_free(res);
    }
    double s = now_s() - begin;
    printf("%-34s %9.1f us, %6.0f ns a record (%llu)\n", name, s * 1e6 / times,
           kvs == 0 ? 0 : s * 1e9 / (double) kvs, (unsigned long long) (kvs / times));
}

static void restore_run(struct bench *b)
{
    struct mvcc_options o = {.cache_bytes_max = 64 << 20, .txn_ops_max = 128, .sessions_max = 100};
    struct store_batch *rows = store_batch_new();
    /* All rows in one batch. */
    struct mvcc *m = mvcc_new(&o);
    uint64_t index = 0;
    static const uint8_t value[VALUE_SIZE];
    for (uint32_t i = 0; i < b->keys; i++) {
        char key[32];
        struct put_request r = {.value = bytes_of(value, sizeof value)};
        r.key = bytes_of(key, make_key(b->order[i], key, sizeof key));
        buf_clear(&b->payload);
        int err = wire_put_request_encode(&r, &b->payload);
        ASSERT(err == OK);
        struct command c = {TAG_PUT, 0, 0, buf_bytes(&b->payload)};
        struct mvcc_result *res = NULL;
        err = mvcc_apply(m, ++index, &c, false, &res);
        ASSERT(err == OK);
        mvcc_apply_done(m, index);
    }
    struct mvcc_flush *f = mvcc_flush_begin(m);
    mvcc_flush_fill(f, rows);
    mvcc_flush_done(m, f);
    struct mvcc *again = mvcc_new(&o);
    double begin = now_s();
    struct bytes k;
    struct bytes v;
    size_t cursor = 0;
    bool removed;
    while (store_batch_next(rows, &cursor, &k, &v, &removed)) {
        int err = mvcc_restore_row(again, k, v);
        ASSERT(err == OK);
    }
    int err = mvcc_restore_done(again);
    ASSERT(err == OK);
    ASSERT(mvcc_hash(again) == mvcc_hash(m));
    printf("%-34s %6.0f ns a row\n", "restore, random keys", (now_s() - begin) * 1e9 / b->keys);
    mvcc_free(again);
    mvcc_free(m);
    store_batch_free(rows);
}

static void compact_run(struct bench *b)
{
    struct compact_request r = {.revision = mvcc_revision(b->m)};
    buf_clear(&b->payload);
    int err = wire_compact_request_encode(&r, &b->payload);
    ASSERT(err == OK);
    struct command c = {TAG_COMPACT, SESSION, ++b->sequence, buf_bytes(&b->payload)};
    struct mvcc_result *res = NULL;
    err = mvcc_apply(b->m, mvcc_applied(b->m) + 1, &c, false, &res);
    ASSERT(err == OK);
    mvcc_apply_done(b->m, mvcc_applied(b->m) + 1);
    double begin = now_s();
    double worst = 0;
    while (!mvcc_compact_finished(b->m, r.revision)) {
        double step = now_s();
        bool more = mvcc_work(b->m, 1000);
        worst = now_s() - step > worst ? now_s() - step : worst;
        if (!more) {
            flush(b);
        }
    }
    printf("%-34s %6.0f ns a key, worst step of 1000 keys %.0f us\n",
           "compaction sweep and deletes", (now_s() - begin) * 1e9 / b->keys, worst * 1e6);
}

int main(int argc, char **argv)
{
    struct bench b = {.keys = argc > 1 ? (uint32_t) strtoul(argv[1], NULL, 10) : 1000000};
    struct mvcc_options o = {.cache_bytes_max = 64 << 20, .txn_ops_max = 128, .sessions_max = 100};
    struct rng rng;
    b.m = mvcc_new(&o);
    b.batch = store_batch_new();
    b.order = xcalloc(b.keys, sizeof b.order[0]);
    buf_init(&b.payload, 1 << 20);
    rng_init(&rng, 1);
    for (uint32_t i = 0; i < b.keys; i++) {
        uint32_t j = (uint32_t) rng_below(&rng, i + 1);
        b.order[i] = b.order[j];
        b.order[j] = i;
    }
    printf("%u keys, %u B values, 64 MB cache, %u commands an entry\n", b.keys,
           (unsigned) VALUE_SIZE, (unsigned) ENTRY_COMMANDS);
    puts_run(&b, "put, new keys", false, false, SESSION);
    puts_run(&b, "put, old keys", false, false, SESSION);
    puts_run(&b, "put, old keys, answered", true, false, SESSION);
    puts_run(&b, "put, old keys, prev_kv", true, true, SESSION);
    puts_run(&b, "put, old keys, client session", true, false, (UINT64_C(1) << 63) + 5);
    gets_run(&b);
    struct range_request all = {.key = bytes_str("/"), .range_end = bytes_of("", 1)};
    struct range_request count = all;
    count.count_only = true;
    ranges_run(&b, "count from a random key", count, 10000);
    struct range_request ten = all;
    ten.limit = 10;
    ranges_run(&b, "range, limit 10", ten, 10000);
    ten.sort_order = SORT_DESCEND;
    ranges_run(&b, "range, limit 10, descending", ten, 10000);
    struct range_request scan = all;
    scan.limit = 10000;
    ranges_run(&b, "range, limit 10,000", scan, 100);
    scan.keys_only = true;
    ranges_run(&b, "range, limit 10,000, keys only", scan, 100);
    struct range_request by_mod = all;
    by_mod.sort_target = SORT_MOD;
    by_mod.sort_order = SORT_DESCEND;
    by_mod.limit = 1;
    ranges_run(&b, "all by mod revision, limit 1", by_mod, 1);
    struct range_request old = all;
    old.revision = b.keys + b.keys / 2;
    old.count_only = true;
    ranges_run(&b, "count all at an old revision", old, 1);
    compact_run(&b);
    restore_run(&b);
    mvcc_free(b.m);
    store_batch_free(b.batch);
    buf_release(&b.payload);
    free(b.order);
    return 0;
}

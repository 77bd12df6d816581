/*
 * test_logstore_contract.c - what every log store promises (kv/logstore.h), for each in the table
 * and for the model disk of the simulator.
 *
 * Damage is done through the store below: a log store of name X keeps its rows in the store of name
 * X at the same path. Property ids are those of the design's durability table.
 */

#include <inttypes.h>
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
#include "base/crc32c.h"
#include "base/enc.h"
#include "base/mem.h"
#include "base/rng.h"
#include "consensus/consensus.h"
#include "kv/logrow.h"
#include "kv/logstore.h"
#include "kv/store.h"
#include "kv/store_memory.h"
#include "tests/sim/disk.h"
#include "tests/support/entries.h"
#include "tests/support/tempdir.h"

struct fixture {
    const struct logstore_ops *ops;
    char dir[TEMPDIR_PATH_MAX];
    char path[TEMPDIR_PATH_MAX + 16];
    struct memory_disk *disk;
    struct sim_disk *sim;
    struct buf error;
    uint8_t engine;
};

static const struct logstore_ops *current_ops;

/* Those of the table, then the model disk of the simulator, which no node can be configured with.
 */
static const struct logstore_ops *implementation(uint32_t i)
{
    uint32_t count = 0;
    while (logstore_at(count) != NULL) {
        count++;
    }
    return i == count ? &sim_logstore_ops : logstore_at(i);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    f->ops = current_ops;
    f->engine = ENGINE_RAFT;
    tempdir_make(f->dir);
    (void) snprintf(f->path, sizeof f->path, "%s/log", f->dir);
    f->disk = memory_disk_new();
    f->sim = sim_disk_new(&(struct sim_disk_options){.seed = 1, .buffer_bytes = 4096});
    buf_init(&f->error, 4096);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    memory_disk_free(f->disk);
    sim_disk_free(f->sim);
    buf_release(&f->error);
    tempdir_remove(f->dir);
    free(f);
    return 0;
}

static struct identity identity_of(const struct fixture *f)
{
    return (struct identity){
        .cluster_id = 0x1122334455667788u,
        .node = 2,
        .engine = f->engine,
        .members_count = 3,
        .members = {1, 2, 65535},
    };
}

static bool simulated(const struct fixture *f)
{
    return f->ops == &sim_logstore_ops;
}

static void *device(const struct fixture *f)
{
    return simulated(f) ? (void *) f->sim : (void *) f->disk;
}

static void crash(struct fixture *f)
{
    memory_disk_crash(f->disk);
    sim_disk_crash(f->sim);
}

static const struct store_ops *store_below(const struct fixture *f)
{
    return simulated(f) ? &sim_store_ops : store_by_name(f->ops->name);
}

static int open_log(struct fixture *f, bool create, struct logstore **ret_store)
{
    const struct identity identity = identity_of(f);
    const struct logstore_options options = {.write_buffer_size = 1 << 20,
                                             .create = create ? &identity : NULL,
                                             .device = device(f)};
    buf_clear(&f->error);
    return logstore_open(f->ops, f->path, &options, ret_store, &f->error);
}

static struct logstore *must_open(struct fixture *f, bool create)
{
    struct logstore *s = NULL;
    int rc = open_log(f, create, &s);
    ASSERT(rc == OK);
    return s;
}

static struct logstore *reopen(struct fixture *f, struct logstore *s)
{
    logstore_close(s);
    return must_open(f, false);
}

static bool error_mentions(struct fixture *f, const char *text)
{
    struct bytes e = buf_bytes(&f->error);
    return memmem(e.data, e.size, text, strlen(text)) != NULL;
}

static struct log_pos pos(uint64_t index, uint64_t epoch)
{
    return (struct log_pos){.index = index, .epoch = epoch};
}

/* Writes one log_write and frees it. */
static int write_one(struct logstore *s, struct log_write *w)
{
    const struct log_write *const writes[] = {w};
    int rc = logstore_write(s, writes, 1);
    log_write_free(w);
    return rc;
}

/* Appends entries [first, last] of an epoch, each numbered epoch * 1000000 + index. */
static void append(struct logstore *s, uint64_t epoch, uint64_t first, uint64_t last)
{
    struct log_write *w = log_write_new();
    for (uint64_t i = first; i <= last; i++) {
        write_entry(w, pos(i, epoch), epoch * 1000000 + i, 50 + i % 100);
    }
    int rc = write_one(s, w);
    ASSERT(rc == OK);
}

/* What the log holds, as text: "1@1 2@1" is index@epoch; then " |p3=9" for promises. A number that
 * append did not make shows as "!". Valid until the next call. */
static const char *contents_from(struct fixture *f, struct logstore *s, uint64_t from)
{
    static char text[4096];
    struct logstore_recovery r;
    size_t size = 0;
    text[0] = '\0';
    buf_clear(&f->error);
    int rc = logstore_recover(s, from, &r, &f->error);
    if (rc != OK) {
        return err_name(rc);
    }
    for (uint32_t i = 0; i < r.entries_count && size < sizeof text - 100; i++) {
        const struct entry *e = &r.entries[i];
        bool right = value_number(e->value) == e->epoch * 1000000 + e->index;
        size += (size_t) snprintf(text + size, sizeof text - size, "%s%" PRIu64 "@%" PRIu64 "%s",
                                  i == 0 ? "" : " ", e->index, e->epoch, right ? "" : "!");
    }
    for (uint32_t i = 0; i < r.promises_count && size < sizeof text - 100; i++) {
        size += (size_t) snprintf(text + size, sizeof text - size, " |p%" PRIu64 "=%" PRIu64,
                                  r.promises[i].index, r.promises[i].ballot);
    }
    logstore_recovery_release(&r);
    return text;
}

static const char *contents(struct fixture *f, struct logstore *s)
{
    return contents_from(f, s, 0);
}

static const char *read_back(struct logstore *s, uint64_t first, uint64_t last, uint64_t bytes_max)
{
    static char text[4096];
    struct entry_list list;
    size_t size = 0;
    text[0] = '\0';
    int rc = logstore_read(s, first, last, bytes_max, &list);
    if (rc != OK) {
        return err_name(rc);
    }
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < list.count; i++) {
        size += (size_t) snprintf(text + size, sizeof text - size, "%s%" PRIu64 "@%" PRIu64,
                                  i == 0 ? "" : " ", list.entries[i].index, list.entries[i].epoch);
        bytes += list.entries[i].value->bytes.size;
    }
    ASSERT(bytes == list.bytes);
    entry_list_release(&list);
    return text;
}

/* ---- life ---- */

static void test_logstore_missing_is_not_found(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = NULL;
    assert_int_equal(open_log(f, false, &s), ERR_NOT_FOUND);
    assert_null(s);
    assert_true(error_mentions(f, f->path));
    s = must_open(f, true);
    logstore_close(s);
    s = NULL;
    assert_int_equal(open_log(f, true, &s), ERR_EXISTS);
    assert_null(s);
    s = must_open(f, false);
    struct logstore *second = NULL;
    assert_int_equal(open_log(f, false, &second), ERR_LOCKED);
    assert_null(second);
    logstore_close(s);
    logstore_close(NULL);
}

static void test_logstore_identity_comes_back(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = reopen(f, must_open(f, true));
    const struct identity want = identity_of(f);
    struct identity got;
    assert_int_equal(logstore_identity(s, &got), OK);
    assert_int_equal(got.cluster_id, want.cluster_id);
    assert_int_equal(got.node, want.node);
    assert_int_equal(got.engine, want.engine);
    assert_int_equal(got.members_count, want.members_count);
    assert_memory_equal(got.members, want.members, sizeof want.members);
    logstore_close(s);
    if (!simulated(f)) {
        assert_ptr_equal(logstore_by_name(f->ops->name), f->ops);
    }
    assert_null(logstore_by_name("clay-tablets"));
}

static void test_logstore_incarnation_counts_starts(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    for (uint64_t want = 1; want <= 5; want++) {
        uint64_t got = 0;
        assert_int_equal(logstore_bump_incarnation(s, &got), OK);
        assert_int_equal(got, want);
        if (want % 2 == 0) {
            crash(f); /* It was durable when it was told. */
        }
        s = reopen(f, s);
    }
    logstore_close(s);
}

static void test_logstore_new_recovers_empty(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    struct logstore_recovery r;
    assert_int_equal(logstore_recover(s, 0, &r, &f->error), OK);
    assert_int_equal(r.last, 0);
    assert_int_equal(r.trimmed.index, 0);
    assert_int_equal(r.hard.epoch, 0);
    assert_int_equal(r.hard.vote, 0);
    assert_int_equal(r.hard.commit, 0);
    assert_int_equal(r.entries_count, 0);
    assert_int_equal(r.promises_count, 0);
    logstore_recovery_release(&r);
    assert_string_equal(read_back(s, 1, 10, 1000), "");
    logstore_close(s);
}

/* ---- writing ---- */

/* The rows of entries and promises that are really there. */
static uint32_t rows_on_disk(struct fixture *f)
{
    struct store *rows = NULL;
    struct store_iter *it = NULL;
    uint32_t count = 0;
    const struct store_options options = {.device = device(f)};
    int rc = store_open(store_below(f), f->path, &options, &rows, NULL);
    ASSERT(rc == OK);
    rc = store_iter_new(rows, true, &it);
    ASSERT(rc == OK);
    for (store_iter_seek(it, bytes_str("")); store_iter_valid(it); store_iter_next(it)) {
        uint8_t tag = store_iter_key(it).data[0];
        count += tag == LOGROW_ENTRY || tag == LOGROW_PROMISE ? 1 : 0;
    }
    store_iter_free(it);
    store_close(rows);
    return count;
}

static void test_logstore_write_is_recovered(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    struct log_write *w = log_write_new();
    struct logstore_recovery r;
    write_entry(w, pos(1, 5), 0, 0); /* a no-op */
    write_entry(w, pos(2, 5), 77, 8);
    write_entry(w, pos(3, 6), 78, 300000);
    w->hard_set = true;
    w->hard = (struct hard_state){.epoch = 6, .vote = 65535, .commit = 2};
    assert_int_equal(write_one(s, w), OK);
    crash(f); /* D2: nothing un-synced is needed. */
    s = reopen(f, s);
    assert_int_equal(logstore_recover(s, 2, &r, &f->error), OK);
    assert_int_equal(r.hard.epoch, 6);
    assert_int_equal(r.hard.vote, 65535);
    assert_int_equal(r.hard.commit, 2);
    assert_int_equal(r.last, 3);
    assert_int_equal(r.entries_count, 2);
    assert_int_equal(r.entries[0].index, 2);
    assert_int_equal(r.entries[0].epoch, 5);
    assert_int_equal(value_number(r.entries[0].value), 77);
    assert_int_equal(r.entries[1].epoch, 6);
    assert_int_equal(value_number(r.entries[1].value), 78);
    logstore_recovery_release(&r);
    assert_int_equal(logstore_recover(s, 4, &r, &f->error), OK);
    assert_int_equal(r.entries_count, 0);
    assert_int_equal(r.last, 3);
    logstore_recovery_release(&r);
    assert_int_equal(logstore_recover(s, 0, &r, &f->error), OK);
    assert_int_equal(r.entries_count, 3);
    assert_int_equal(value_number(r.entries[0].value), 0);
    logstore_recovery_release(&r);
    logstore_close(s);
}

static uint64_t written(struct fixture *f, struct logstore *s)
{
    struct logstore_recovery r;
    assert_int_equal(logstore_recover(s, 0, &r, &f->error), OK);
    uint64_t count = r.written;
    logstore_recovery_release(&r);
    return count;
}

/* D9: the count of writes is durable with each of them and never falls. */
static void test_logstore_written_counts_writes(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    uint64_t incarnation = 0;
    assert_int_equal(written(f, s), 0);
    append(s, 1, 1, 3);
    append(s, 1, 4, 4);
    crash(f);
    s = reopen(f, s);
    assert_int_equal(written(f, s), 2);
    assert_int_equal(logstore_bump_incarnation(s, &incarnation), OK);
    assert_int_equal(written(f, s), 2);
    struct log_write *w = log_write_new();
    write_entry(w, pos(5, 2), 5, 10);
    const struct log_write *const group[] = {w, w, w};
    assert_int_equal(logstore_write(s, group, ARRAY_SIZE(group)), OK);
    log_write_free(w);
    assert_int_equal(written(f, s), 5);
    assert_int_equal(logstore_trim(s, pos(4, 1)), OK); /* forgets no promise */
    assert_int_equal(logstore_write(s, NULL, 0), OK);
    assert_int_equal(written(f, s), 5);
    crash(f);
    s = reopen(f, s);
    assert_int_equal(written(f, s), 5);
    logstore_close(s);
}

static void test_logstore_condemned_is_not_opened_again(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    append(s, 1, 1, 3);
    assert_int_equal(logstore_condemn(s, 1234), OK);
    crash(f);
    logstore_close(s);
    assert_int_equal(open_log(f, false, &s), ERR_STALE);
    assert_true(error_mentions(f, f->path));
    assert_true(error_mentions(f, "write 1234"));
    assert_int_equal(open_log(f, false, &s), ERR_STALE);
}

static void test_logstore_write_without_hard_keeps_it(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    struct logstore_recovery r;
    for (uint32_t i = 1; i <= 2; i++) {
        struct log_write *w = log_write_new();
        w->hard_set = i == 1;
        w->hard = (struct hard_state){.epoch = i, .vote = i, .commit = 0};
        write_entry(w, pos(i, 1), i, 8);
        assert_int_equal(write_one(s, w), OK);
    }
    struct log_write *empty = log_write_new();
    assert_int_equal(write_one(s, empty), OK);
    s = reopen(f, s);
    assert_int_equal(logstore_recover(s, 0, &r, &f->error), OK);
    assert_int_equal(r.hard.epoch, 1);
    assert_int_equal(r.hard.vote, 1);
    logstore_recovery_release(&r);
    logstore_close(s);
}

static void test_logstore_truncate_cuts_suffix(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    append(s, 1, 1, 6);
    struct log_write *w = log_write_new();
    w->truncate_from = 4;
    assert_int_equal(write_one(s, w), OK);
    assert_string_equal(contents(f, s), "1@1 2@1 3@1");
    w = log_write_new();
    w->truncate_from = 3;
    write_entry(w, pos(3, 2), 2000003, 60);
    assert_int_equal(write_one(s, w), OK);
    assert_string_equal(contents(f, s), "1@1 2@1 3@2");
    s = reopen(f, s);
    assert_string_equal(contents(f, s), "1@1 2@1 3@2");
    w = log_write_new();
    w->truncate_from = 9; /* Nothing is there. */
    assert_int_equal(write_one(s, w), OK);
    append(s, 3, 4, 4);
    assert_string_equal(contents(f, s), "1@1 2@1 3@2 4@3");
    w = log_write_new();
    w->truncate_from = 1;
    assert_int_equal(write_one(s, w), OK);
    s = reopen(f, s);
    assert_string_equal(contents(f, s), "");
    logstore_close(s);
}

static void test_logstore_group_applies_writes_in_order(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    struct log_write *w[4];
    struct logstore_recovery r;
    append(s, 1, 1, 3);
    for (uint32_t i = 0; i < 4; i++) {
        w[i] = log_write_new();
        w[i]->hard_set = i < 3;
        w[i]->hard = (struct hard_state){.epoch = i + 1, .vote = 0, .commit = 0};
    }
    for (uint64_t i = 4; i <= 9; i++) {
        write_entry(w[0], pos(i, 2), 2000000 + i, 60); /* 1..3@1 4..9@2 */
    }
    w[1]->truncate_from = 3; /* cuts entries on disk and entries of the same call */
    write_entry(w[1], pos(3, 3), 3000003, 60);
    write_entry(w[1], pos(4, 3), 3000004, 60);
    w[2]->truncate_from = 4;
    write_entry(w[3], pos(4, 4), 4000004, 60);
    write_entry(w[3], pos(5, 4), 4000005, 60);
    const struct log_write *const writes[] = {w[0], w[1], w[2], w[3]};
    assert_int_equal(logstore_write(s, writes, 4), OK);
    for (uint32_t i = 0; i < 4; i++) {
        log_write_free(w[i]);
    }
    assert_string_equal(contents(f, s), "1@1 2@1 3@3 4@4 5@4");
    s = reopen(f, s);
    assert_string_equal(contents(f, s), "1@1 2@1 3@3 4@4 5@4");
    assert_int_equal(logstore_recover(s, 0, &r, &f->error), OK);
    assert_int_equal(r.hard.epoch, 3);
    assert_int_equal(r.last, 5);
    logstore_recovery_release(&r);
    logstore_close(s);
}

static void test_logstore_entry_replaces_slot(void **state)
{
    struct fixture *f = *state;
    f->engine = ENGINE_MULTIPAXOS;
    struct logstore *s = must_open(f, true);
    append(s, 1, 1, 3);
    append(s, 5, 2, 2);
    assert_string_equal(contents(f, s), "1@1 2@5 3@1");
    logstore_close(s);
}

static void test_logstore_paxos_holes_are_reported_as_they_are(void **state)
{
    struct fixture *f = *state;
    f->engine = ENGINE_PAXOS;
    struct logstore *s = must_open(f, true);
    append(s, 1, 2, 2);
    append(s, 1, 7, 8);
    append(s, 1, 1000000, 1000000);
    append(s, 1, 5, 5);
    s = reopen(f, s);
    assert_string_equal(contents(f, s), "2@1 5@1 7@1 8@1 1000000@1");
    assert_string_equal(contents_from(f, s, 6), "7@1 8@1 1000000@1");
    assert_string_equal(read_back(s, 1, 7, 100000), "2@1 5@1 7@1");
    assert_string_equal(read_back(s, 3, 4, 100000), "");
    logstore_close(s);
}

static void test_logstore_promises_come_back(void **state)
{
    struct fixture *f = *state;
    f->engine = ENGINE_PAXOS;
    struct logstore *s = must_open(f, true);
    for (uint64_t ballot = 10; ballot <= 11; ballot++) {
        struct log_write *w = log_write_new();
        log_write_promise(w, (struct slot_promise){.index = 3, .ballot = ballot});
        log_write_promise(w, (struct slot_promise){.index = ballot, .ballot = ballot << 20});
        assert_int_equal(write_one(s, w), OK);
    }
    append(s, 4, 1, 1);
    s = reopen(f, s);
    assert_string_equal(contents(f, s), "1@4 |p3=11 |p10=10485760 |p11=11534336");
    struct log_write *w = log_write_new();
    w->truncate_from = 1; /* cuts entries, not promises */
    assert_int_equal(write_one(s, w), OK);
    assert_string_equal(contents(f, s), " |p3=11 |p10=10485760 |p11=11534336");
    append(s, 4, 1, 12);
    assert_int_equal(logstore_trim(s, pos(10, 4)), OK);
    s = reopen(f, s);
    assert_string_equal(contents(f, s), "11@4 12@4 |p11=11534336");
    logstore_close(s);
    assert_int_equal(rows_on_disk(f), 3);
}

/* ---- trimming ---- */

static void test_logstore_trim_drops_prefix(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    struct logstore_recovery r;
    append(s, 1, 1, 10);
    assert_int_equal(logstore_trim(s, pos(4, 1)), OK);
    crash(f);
    s = reopen(f, s);
    assert_string_equal(contents(f, s), "5@1 6@1 7@1 8@1 9@1 10@1");
    assert_int_equal(logstore_trim(s, pos(3, 9)), OK); /* Less than is trimmed: nothing to do. */
    assert_int_equal(logstore_trim(s, pos(4, 9)), OK);
    assert_int_equal(logstore_recover(s, 0, &r, &f->error), OK);
    assert_int_equal(r.trimmed.index, 4);
    assert_int_equal(r.trimmed.epoch, 1);
    assert_int_equal(r.last, 10);
    logstore_recovery_release(&r);
    assert_int_equal(logstore_trim(s, pos(10, 1)), OK);
    s = reopen(f, s);
    assert_int_equal(logstore_recover(s, 0, &r, &f->error), OK);
    assert_int_equal(r.trimmed.index, 10);
    assert_int_equal(r.last, 10);
    assert_int_equal(r.entries_count, 0);
    logstore_recovery_release(&r);
    append(s, 2, 11, 12);
    s = reopen(f, s);
    assert_string_equal(contents(f, s), "11@2 12@2");
    logstore_close(s);
}

static void test_logstore_trim_above_last_moves_log(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    struct logstore_recovery r;
    append(s, 1, 1, 5);
    assert_int_equal(logstore_trim(s, pos(1000000000, 7)), OK); /* A snapshot was installed. */
    assert_int_equal(logstore_trim(s, pos(2000000000, 8)), OK);
    append(s, 9, 2000000001, 2000000002);
    s = reopen(f, s);
    assert_string_equal(contents(f, s), "2000000001@9 2000000002@9");
    assert_int_equal(logstore_recover(s, 0, &r, &f->error), OK);
    assert_int_equal(r.trimmed.index, 2000000000);
    assert_int_equal(r.trimmed.epoch, 8);
    logstore_recovery_release(&r);
    struct log_write *w = log_write_new();
    w->truncate_from = 2000000001;
    assert_int_equal(write_one(s, w), OK);
    assert_int_equal(logstore_trim(s, pos(2000000005, 9)), OK);
    append(s, 9, 2000000006, 2000000006);
    assert_string_equal(contents(f, s), "2000000006@9");
    logstore_close(s);
}

static void test_logstore_write_below_trimmed_is_left_out(void **state)
{
    struct fixture *f = *state;
    f->engine = ENGINE_PAXOS;
    struct logstore *s = must_open(f, true);
    append(s, 1, 1, 6);
    assert_int_equal(logstore_trim(s, pos(4, 1)), OK);
    struct log_write *w = log_write_new();
    write_entry(w, pos(3, 9), 9000003, 60);
    write_entry(w, pos(5, 9), 9000005, 60);
    log_write_promise(w, (struct slot_promise){.index = 4, .ballot = 99});
    log_write_promise(w, (struct slot_promise){.index = 5, .ballot = 99});
    assert_int_equal(write_one(s, w), OK);
    w = log_write_new();
    w->truncate_from = 2; /* cuts what is above the trimmed position */
    write_entry(w, pos(2, 9), 9000002, 60);
    assert_int_equal(write_one(s, w), OK);
    s = reopen(f, s);
    assert_string_equal(contents(f, s), " |p5=99");
    logstore_close(s);
    assert_int_equal(rows_on_disk(f), 1); /* Not just hidden: nobody would ever delete them. */
}

static void test_logstore_raft_truncate_below_trimmed_keeps_position(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    append(s, 1, 1, 6);
    assert_int_equal(logstore_trim(s, pos(4, 1)), OK);
    struct log_write *w = log_write_new();
    w->truncate_from = 2;
    write_entry(w, pos(5, 2), 2000005, 60);
    assert_int_equal(write_one(s, w), OK);
    s = reopen(f, s);
    assert_string_equal(contents(f, s), "5@2");
    logstore_close(s);
}

/* Two snapshots in a row, while rows of the log before them still wait to be deleted. */
static void test_logstore_trim_jumps_delete_only_what_was_there(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    for (uint64_t i = 0; i < 50; i++) {
        append(s, 1, i * 100 + 1, i * 100 + 100);
    }
    assert_int_equal(logstore_trim(s, pos(UINT64_C(1) << 40, 7)), OK);
    assert_int_equal(logstore_trim(s, pos(UINT64_C(1) << 50, 8)), OK);
    append(s, 9, (UINT64_C(1) << 50) + 1, (UINT64_C(1) << 50) + 2);
    logstore_close(s);
    assert_int_equal(rows_on_disk(f), 2);
}

static void test_logstore_trimmed_rows_go_with_later_writes(void **state)
{
    struct fixture *f = *state;
    f->engine = ENGINE_PAXOS;
    struct logstore *s = must_open(f, true);
    for (uint64_t i = 0; i < 50; i++) {
        append(s, 1, i * 100 + 1, i * 100 + 100);
    }
    struct log_write *w = log_write_new();
    log_write_promise(w, (struct slot_promise){.index = 4500, .ballot = 99});
    log_write_promise(w, (struct slot_promise){.index = 4990, .ballot = 99});
    assert_int_equal(write_one(s, w), OK);
    s = reopen(f, s); /* What is there is known again. */
    assert_int_equal(logstore_trim(s, pos(4980, 1)), OK);
    assert_string_equal(read_back(s, 4980, 5000, 1), "ERR_COMPACTED");
    s = reopen(f, s);
    append(s, 2, 5001, 5001);
    assert_string_equal(contents_from(f, s, 4999), "4999@1 5000@1 5001@2 |p4990=99");
    for (uint64_t i = 5002; i <= 5400; i++) {
        append(s, 2, i, i);
        s = i % 100 == 0 ? reopen(f, s) : s;
    }
    logstore_close(s);
    assert_int_equal(rows_on_disk(f), 5400 - 4980 + 1);
}

/* ---- reading ---- */

static void test_logstore_read_gives_range(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    append(s, 1, 1, 8);
    assert_string_equal(read_back(s, 3, 5, 1000000), "3@1 4@1 5@1");
    assert_string_equal(read_back(s, 7, 100, 1000000), "7@1 8@1");
    assert_string_equal(read_back(s, 8, UINT64_MAX, 1000000), "8@1");
    assert_string_equal(read_back(s, 9, 100, 1000000), "");
    assert_int_equal(logstore_trim(s, pos(3, 1)), OK);
    assert_string_equal(read_back(s, 3, 5, 1000000), "ERR_COMPACTED");
    assert_string_equal(read_back(s, 1, 1, 1000000), "ERR_COMPACTED");
    assert_string_equal(read_back(s, 4, 5, 1000000), "4@1 5@1");
    assert_string_equal(logstore_last_error(s), "");
    assert_true(logstore_disk_size(s) > 8 * 50);
    logstore_close(s);
}

static void test_logstore_read_stops_at_bytes(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    struct log_write *w = log_write_new();
    for (uint64_t i = 1; i <= 5; i++) {
        write_entry(w, pos(i, 1), i, 100 - VALUE_COMMAND_HEADER_SIZE);
    }
    assert_int_equal(write_one(s, w), OK);
    assert_string_equal(read_back(s, 1, 5, 0), "1@1");
    assert_string_equal(read_back(s, 1, 5, 99), "1@1");
    assert_string_equal(read_back(s, 2, 5, 199), "2@1");
    assert_string_equal(read_back(s, 2, 5, 200), "2@1 3@1");
    assert_string_equal(read_back(s, 2, 5, 399), "2@1 3@1 4@1");
    assert_string_equal(read_back(s, 1, 5, 500), "1@1 2@1 3@1 4@1 5@1");
    logstore_close(s);
}

struct reading {
    struct logstore *store;
    atomic_uint_fast64_t low; /* a first index to ask for, roughly */
    atomic_bool stop;
    atomic_uint rounds;
    uint32_t wrong;
};

/* Whatever the writer does, a range read is without holes and from one moment, or compacted. */
static void *read_along(void *arg)
{
    struct reading *r = arg;
    while (!atomic_load(&r->stop)) {
        struct entry_list list;
        uint64_t first = atomic_load(&r->low) + r->rounds % 20 + 1;
        int rc = logstore_read(r->store, first, first + 50, 5000, &list);
        r->rounds++;
        if (rc == ERR_COMPACTED) {
            continue;
        }
        if (rc != OK) {
            r->wrong++;
            continue;
        }
        for (uint32_t i = 0; i < list.count; i++) {
            const struct entry *e = &list.entries[i];
            r->wrong += e->index != first + i ? 1 : 0;
            r->wrong += i > 0 && e->epoch < list.entries[i - 1].epoch ? 1 : 0;
            r->wrong += value_number(e->value) != e->epoch * 1000000 + e->index ? 1 : 0;
        }
        entry_list_release(&list);
        (void) logstore_disk_size(r->store);
    }
    return NULL;
}

static void test_logstore_reader_beside_writer_sees_whole_log(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    struct reading reading = {.store = s};
    struct rng rng;
    pthread_t thread;
    uint64_t last = 0;
    uint64_t trimmed = 0;
    rng_init(&rng, 3 + seed_offset());
    assert_int_equal(pthread_create(&thread, NULL, read_along, &reading), 0);
    /* As long as it takes the reader, on a busy machine, to read along. */
    for (uint64_t epoch = 1; epoch <= 600 || atomic_load(&reading.rounds) <= 10; epoch++) {
        struct log_write *w = log_write_new();
        uint64_t first = rng_between(&rng, trimmed + 1, last + 1);
        w->truncate_from = first;
        last = first + 20;
        for (uint64_t i = first; i <= last; i++) {
            write_entry(w, pos(i, epoch), epoch * 1000000 + i, 40);
        }
        assert_int_equal(write_one(s, w), OK);
        if (epoch % 10 == 0) {
            trimmed = rng_between(&rng, trimmed, last);
            assert_int_equal(logstore_trim(s, pos(trimmed, epoch)), OK);
            atomic_store(&reading.low, trimmed);
        }
    }
    atomic_store(&reading.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(reading.wrong, 0);
    logstore_close(s);
}

/* ---- against a model ---- */

enum { MODEL_SLOTS = 4000 };

struct model {
    uint64_t epochs[MODEL_SLOTS]; /* 0: no entry */
    uint64_t ballots[MODEL_SLOTS];
    uint64_t trimmed;
    uint64_t last;
    struct hard_state hard;
};

static void model_check(struct fixture *f, struct logstore *s, const struct model *m)
{
    struct logstore_recovery r;
    uint32_t entry = 0;
    uint32_t promise = 0;
    uint64_t last = m->trimmed;
    assert_int_equal(logstore_recover(s, 0, &r, &f->error), OK);
    assert_int_equal(r.trimmed.index, m->trimmed);
    assert_int_equal(r.hard.epoch, m->hard.epoch);
    for (uint64_t i = m->trimmed + 1; i < MODEL_SLOTS; i++) {
        if (m->epochs[i] != 0) {
            assert_true(entry < r.entries_count);
            assert_int_equal(r.entries[entry].index, i);
            assert_int_equal(r.entries[entry].epoch, m->epochs[i]);
            assert_int_equal(value_number(r.entries[entry].value), m->epochs[i] * 1000000 + i);
            last = i;
            entry++;
        }
        if (m->ballots[i] != 0) {
            assert_true(promise < r.promises_count);
            assert_int_equal(r.promises[promise].index, i);
            assert_int_equal(r.promises[promise].ballot, m->ballots[i]);
            promise++;
        }
    }
    assert_int_equal(r.entries_count, entry);
    assert_int_equal(r.promises_count, promise);
    assert_int_equal(r.last, last);
    logstore_recovery_release(&r);
}

/* One write of a raft-like or paxos-like engine, to the model as well. */
static struct log_write *model_write(struct rng *rng, struct model *m, bool raft, uint64_t epoch)
{
    struct log_write *w = log_write_new();
    uint64_t first = m->last + 1;
    uint64_t count = rng_below(rng, 6);
    if (raft && rng_chance(rng, 1, 6)) {
        first = rng_between(rng, m->trimmed + 1, m->last + 1);
        w->truncate_from = first;
        memset(m->epochs + first, 0, (MODEL_SLOTS - first) * sizeof m->epochs[0]);
        m->last = first - 1;
    }
    for (uint64_t i = 0; i < count && first + i < MODEL_SLOTS; i++) {
        uint64_t index = raft ? first + i : m->trimmed + 1 + rng_below(rng, 40);
        if (index >= MODEL_SLOTS) {
            continue;
        }
        write_entry(w, pos(index, epoch), epoch * 1000000 + index, 8 + rng_below(rng, 200));
        m->epochs[index] = epoch;
        m->last = u64_max(m->last, index);
        if (!raft && index + 1 < MODEL_SLOTS) {
            log_write_promise(w, (struct slot_promise){.index = index + 1, .ballot = epoch});
            m->ballots[index + 1] = epoch;
        }
    }
    w->hard_set = rng_chance(rng, 1, 4);
    w->hard.epoch = epoch;
    if (w->hard_set) {
        m->hard = w->hard;
    }
    return w;
}

static void run_model(struct fixture *f, bool raft, uint64_t seed)
{
    struct rng rng;
    struct model *m = xcalloc(1, sizeof *m);
    rng_init(&rng, seed + seed_offset());
    f->engine = raft ? ENGINE_RAFT : ENGINE_PAXOS;
    struct logstore *s = must_open(f, true);
    uint64_t epoch = 0;
    for (int step = 0; step < 600; step++) {
        struct log_write *writes[4] = {NULL};
        uint32_t count = (uint32_t) rng_between(&rng, 1, 4);
        for (uint32_t i = 0; i < count; i++) {
            epoch++;
            writes[i] = model_write(&rng, m, raft, epoch);
        }
        assert_int_equal(logstore_write(s, (const struct log_write *const *) writes, count), OK);
        for (uint32_t i = 0; i < count; i++) {
            log_write_free(writes[i]);
        }
        if (rng_chance(&rng, 1, 15) && m->last > m->trimmed) {
            m->trimmed = rng_between(&rng, m->trimmed, m->last);
            assert_int_equal(logstore_trim(s, pos(m->trimmed, epoch)), OK);
        }
        if (rng_chance(&rng, 1, 20)) {
            crash(f);
            s = reopen(f, s);
        }
        if (step % 20 == 0) {
            model_check(f, s, m);
        }
    }
    model_check(f, s, m);
    assert_true(m->trimmed > 0);
    logstore_close(s);
    free(m);
}

static void test_logstore_random_raft_writes_equal_model(void **state)
{
    run_model(*state, true, 11);
}

static void test_logstore_random_paxos_writes_equal_model(void **state)
{
    run_model(*state, false, 12);
}

/* ---- damage (D5, D8) ---- */

static struct store *open_rows(struct fixture *f)
{
    struct store *rows = NULL;
    const struct store_options options = {.device = device(f)};
    int rc = store_open(store_below(f), f->path, &options, &rows, NULL);
    ASSERT(rc == OK);
    return rows;
}

/* Replaces the row `key` by a copy of the row `source` with one bit flipped (mask 0: none); an
 * empty source deletes it. */
static void tamper(struct fixture *f, struct logrow_key key, struct logrow_key source,
                   size_t offset, uint8_t mask)
{
    struct store *rows = open_rows(f);
    struct store_batch *batch = store_batch_new();
    struct buf row;
    buf_init(&row, 1 << 20);
    if (source.size == 0) {
        store_batch_delete(batch, logrow_key_bytes(&key));
    } else {
        int rc = store_get(rows, logrow_key_bytes(&source), &row);
        ASSERT(rc == OK);
        ASSERT(offset < row.size);
        row.data[offset] ^= mask;
        store_batch_put(batch, logrow_key_bytes(&key), buf_bytes(&row));
    }
    int rc = store_write(rows, batch, true);
    ASSERT(rc == OK);
    buf_release(&row);
    store_batch_free(batch);
    store_close(rows);
}

static size_t row_size(struct fixture *f, struct logrow_key key)
{
    struct store *rows = open_rows(f);
    struct buf row;
    buf_init(&row, 1 << 20);
    int rc = store_get(rows, logrow_key_bytes(&key), &row);
    ASSERT(rc == OK);
    size_t size = row.size;
    buf_release(&row);
    store_close(rows);
    return size;
}

/* The code of opening and recovering; the line is in f->error. */
static int open_and_recover(struct fixture *f)
{
    struct logstore *s = NULL;
    struct logstore_recovery r;
    int rc = open_log(f, false, &s);
    if (rc != OK) {
        return rc;
    }
    rc = logstore_recover(s, 0, &r, &f->error);
    if (rc == OK) {
        logstore_recovery_release(&r);
    }
    /* What is below the part that is wanted is checked all the same. */
    int tail = logstore_recover(s, 1000000, &r, &f->error);
    if (tail == OK) {
        logstore_recovery_release(&r);
    }
    logstore_close(s);
    assert_int_equal(tail, rc);
    return rc;
}

static const struct logrow_key no_key = {.size = 0};

static void test_logstore_raft_missing_entry_is_corrupt(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    append(s, 1, 1, 9);
    logstore_close(s);
    tamper(f, logrow_key(LOGROW_ENTRY, 5), no_key, 0, 0);
    s = must_open(f, false);
    assert_string_equal(contents(f, s), "ERR_CORRUPT");
    assert_true(error_mentions(f, f->path));
    assert_true(error_mentions(f, "entry 5 is missing"));
    /* Also when only what is behind it is wanted. */
    assert_string_equal(contents_from(f, s, 8), "ERR_CORRUPT");
    assert_string_equal(read_back(s, 1, 4, 100000), "1@1 2@1 3@1 4@1");
    assert_string_equal(read_back(s, 3, 9, 100000), "ERR_CORRUPT");
    assert_string_equal(read_back(s, 5, 5, 100000), "ERR_CORRUPT");
    assert_non_null(strstr(logstore_last_error(s), "entry 5 is missing"));
    logstore_close(s);
}

static void test_logstore_raft_missing_first_entry_is_corrupt(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    append(s, 1, 1, 9);
    assert_int_equal(logstore_trim(s, pos(3, 1)), OK);
    logstore_close(s);
    tamper(f, logrow_key(LOGROW_ENTRY, 4), no_key, 0, 0);
    assert_int_equal(open_and_recover(f), ERR_CORRUPT);
    assert_true(error_mentions(f, "entry 4 is missing"));
}

static void test_logstore_moved_row_is_corrupt(void **state)
{
    struct fixture *f = *state;
    f->engine = ENGINE_PAXOS;
    struct logstore *s = must_open(f, true);
    append(s, 1, 1, 3);
    struct log_write *w = log_write_new();
    log_write_promise(w, (struct slot_promise){.index = 2, .ballot = 5});
    assert_int_equal(write_one(s, w), OK);
    logstore_close(s);
    assert_int_equal(open_and_recover(f), OK);
    tamper(f, logrow_key(LOGROW_ENTRY, 4), logrow_key(LOGROW_ENTRY, 3), 0, 0);
    assert_int_equal(open_and_recover(f), ERR_CORRUPT);
    assert_true(error_mentions(f, "entry 4"));
    tamper(f, logrow_key(LOGROW_ENTRY, 4), no_key, 0, 0);
    assert_int_equal(open_and_recover(f), OK);
    tamper(f, logrow_key(LOGROW_PROMISE, 3), logrow_key(LOGROW_PROMISE, 2), 0, 0);
    assert_int_equal(open_and_recover(f), ERR_CORRUPT);
    assert_true(error_mentions(f, "promise 3"));
}

static void test_logstore_missing_single_row_is_corrupt(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    append(s, 1, 1, 3);
    logstore_close(s);
    static const enum logrow_tag tags[] = {LOGROW_IDENTITY, LOGROW_INCARNATION, LOGROW_HARD,
                                           LOGROW_TRIMMED};
    for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
        /* Kept aside under a key that nobody looks at. */
        const struct logrow_key aside = {.data = {'z'}, .size = 1};
        tamper(f, aside, logrow_key(tags[i], 0), 0, 0);
        tamper(f, logrow_key(tags[i], 0), no_key, 0, 0);
        assert_int_equal(open_and_recover(f), ERR_CORRUPT);
        assert_true(error_mentions(f, f->path));
        assert_true(error_mentions(f, "missing"));
        tamper(f, logrow_key(tags[i], 0), aside, 0, 0);
        assert_int_equal(open_and_recover(f), OK);
    }
}

/* Written last by a version that did not count. */
static void test_logstore_without_count_of_writes_begins_at_zero(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    append(s, 1, 1, 3);
    logstore_close(s);
    tamper(f, logrow_key(LOGROW_WRITTEN, 0), no_key, 0, 0);
    s = must_open(f, false);
    assert_string_equal(contents(f, s), "1@1 2@1 3@1");
    assert_int_equal(written(f, s), 0);
    append(s, 1, 4, 4);
    s = reopen(f, s);
    assert_int_equal(written(f, s), 1);
    logstore_close(s);
}

static void test_logstore_flipped_bit_in_any_row_is_corrupt(void **state)
{
    struct fixture *f = *state;
    f->engine = ENGINE_PAXOS;
    struct logstore *s = must_open(f, true);
    append(s, 1, 1, 3);
    struct log_write *w = log_write_new();
    log_write_promise(w, (struct slot_promise){.index = 2, .ballot = 5});
    assert_int_equal(write_one(s, w), OK);
    logstore_close(s);
    const struct logrow_key keys[] = {
        logrow_key(LOGROW_ENTRY, 2),    logrow_key(LOGROW_PROMISE, 2),
        logrow_key(LOGROW_HARD, 0),     logrow_key(LOGROW_TRIMMED, 0),
        logrow_key(LOGROW_IDENTITY, 0), logrow_key(LOGROW_INCARNATION, 0),
        logrow_key(LOGROW_WRITTEN, 0),
    };
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        size_t size = row_size(f, keys[i]);
        for (size_t at = 0; at < size; at++) {
            uint8_t mask = (uint8_t) (1 << at % 8);
            tamper(f, keys[i], keys[i], at, mask);
            assert_int_equal(open_and_recover(f), ERR_CORRUPT);
            assert_true(error_mentions(f, f->path));
            tamper(f, keys[i], keys[i], at, mask);
        }
    }
    assert_int_equal(open_and_recover(f), OK);
}

static void test_logstore_read_of_flipped_bit_is_corrupt(void **state)
{
    struct fixture *f = *state;
    struct logstore *s = must_open(f, true);
    append(s, 1, 1, 3);
    logstore_close(s);
    size_t size = row_size(f, logrow_key(LOGROW_ENTRY, 2));
    for (size_t at = 0; at < size; at += 5) {
        tamper(f, logrow_key(LOGROW_ENTRY, 2), logrow_key(LOGROW_ENTRY, 2), at, 0x10);
        s = must_open(f, false);
        assert_string_equal(read_back(s, 1, 1, 1000), "1@1");
        assert_string_equal(read_back(s, 1, 3, 1000), "ERR_CORRUPT");
        assert_string_equal(read_back(s, 2, 3, 0), "ERR_CORRUPT");
        assert_non_null(strstr(logstore_last_error(s), "entry 2"));
        logstore_close(s);
        tamper(f, logrow_key(LOGROW_ENTRY, 2), logrow_key(LOGROW_ENTRY, 2), at, 0x10);
    }
}

static void test_logstore_newer_format_is_refused(void **state)
{
    struct fixture *f = *state;
    logstore_close(must_open(f, true));
    const struct identity identity = identity_of(f);
    uint8_t row[LOGROW_IDENTITY_SIZE_MAX];
    size_t size = logrow_put_identity(row, &identity);
    enc_put_u32(row + 12, LOGROW_VERSION + 1);
    uint32_t crc = crc32c(crc32c(0, "i", 1), row + 4, size - 4);
    enc_put_u32(row, crc);
    struct store *rows = open_rows(f);
    struct store_batch *batch = store_batch_new();
    store_batch_put(batch, bytes_str("i"), bytes_of(row, size));
    assert_int_equal(store_write(rows, batch, true), OK);
    store_batch_free(batch);
    store_close(rows);
    assert_int_equal(open_and_recover(f), ERR_VERSION);
    assert_true(error_mentions(f, f->path));
    assert_true(error_mentions(f, "version"));
}

#define CONTRACT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TEST(test_logstore_missing_is_not_found),
        CONTRACT_TEST(test_logstore_identity_comes_back),
        CONTRACT_TEST(test_logstore_incarnation_counts_starts),
        CONTRACT_TEST(test_logstore_new_recovers_empty),
        CONTRACT_TEST(test_logstore_write_is_recovered),
        CONTRACT_TEST(test_logstore_written_counts_writes),
        CONTRACT_TEST(test_logstore_condemned_is_not_opened_again),
        CONTRACT_TEST(test_logstore_write_without_hard_keeps_it),
        CONTRACT_TEST(test_logstore_truncate_cuts_suffix),
        CONTRACT_TEST(test_logstore_group_applies_writes_in_order),
        CONTRACT_TEST(test_logstore_entry_replaces_slot),
        CONTRACT_TEST(test_logstore_paxos_holes_are_reported_as_they_are),
        CONTRACT_TEST(test_logstore_promises_come_back),
        CONTRACT_TEST(test_logstore_trim_drops_prefix),
        CONTRACT_TEST(test_logstore_trim_above_last_moves_log),
        CONTRACT_TEST(test_logstore_write_below_trimmed_is_left_out),
        CONTRACT_TEST(test_logstore_raft_truncate_below_trimmed_keeps_position),
        CONTRACT_TEST(test_logstore_trim_jumps_delete_only_what_was_there),
        CONTRACT_TEST(test_logstore_trimmed_rows_go_with_later_writes),
        CONTRACT_TEST(test_logstore_read_gives_range),
        CONTRACT_TEST(test_logstore_read_stops_at_bytes),
        CONTRACT_TEST(test_logstore_random_raft_writes_equal_model),
        CONTRACT_TEST(test_logstore_random_paxos_writes_equal_model),
        CONTRACT_TEST(test_logstore_raft_missing_entry_is_corrupt),
        CONTRACT_TEST(test_logstore_raft_missing_first_entry_is_corrupt),
        CONTRACT_TEST(test_logstore_moved_row_is_corrupt),
        CONTRACT_TEST(test_logstore_missing_single_row_is_corrupt),
        CONTRACT_TEST(test_logstore_without_count_of_writes_begins_at_zero),
        CONTRACT_TEST(test_logstore_flipped_bit_in_any_row_is_corrupt),
        CONTRACT_TEST(test_logstore_read_of_flipped_bit_is_corrupt),
        CONTRACT_TEST(test_logstore_newer_format_is_refused),
    };
    const struct CMUnitTest threads[] = {
        CONTRACT_TEST(test_logstore_reader_beside_writer_sees_whole_log),
    };
    int failed = 0;
    for (uint32_t i = 0; (current_ops = implementation(i)) != NULL; i++) {
        failed += cmocka_run_group_tests_name(current_ops->name, tests, NULL, NULL);
        if (current_ops != &sim_logstore_ops) { /* The model disk is for one thread. */
            failed += cmocka_run_group_tests_name(current_ops->name, threads, NULL, NULL);
        }
    }
    return failed;
}

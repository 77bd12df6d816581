/*
 * test_logstore_leveldb.c - the log on a real disk: killed at every system call and at random, on a
 * full disk, and what a write costs in syncs.
 *
 * Property ids (D4...) are those of the design's durability table. A kill -9 leaves what was
 * written but not synced; that it is synced too is seen from the calls
 * (test_..._write_is_one_sync).
 *
 * LevelDB has one background thread per process, which a forked child does not inherit: it would
 * wait for it for ever. So the tests that kill come first and use LevelDB in children only.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "consensus/consensus.h"
#include "kv/logstore.h"
#include "tests/support/entries.h"
#include "tests/support/syscalls.h"
#include "tests/support/tempdir.h"

struct fixture {
    char dir[TEMPDIR_PATH_MAX];
    char path[TEMPDIR_PATH_MAX];
    struct buf error;
    atomic_uint *shared; /* counts what the child has been told is durable */
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    tempdir_make(f->dir);
    (void) snprintf(f->path, sizeof f->path, "%.400s/log", f->dir);
    buf_init(&f->error, 4096);
    f->shared =
        mmap(NULL, sizeof *f->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(f->shared != MAP_FAILED);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int rc = munmap(f->shared, sizeof *f->shared);
    ASSERT(rc == 0);
    buf_release(&f->error);
    tempdir_remove(f->dir);
    free(f);
    return 0;
}

static int open_log(struct fixture *f, bool create, struct logstore **ret_store)
{
    const struct identity identity = {
        .cluster_id = 1, .node = 1, .engine = ENGINE_RAFT, .members_count = 1, .members = {1}};
    const struct logstore_options options = {.write_buffer_size = 64 << 10,
                                             .create = create ? &identity : NULL};
    buf_clear(&f->error);
    return logstore_open(logstore_by_name("leveldb"), f->path, &options, ret_store, &f->error);
}

static struct logstore *must_open(struct fixture *f, bool create)
{
    struct logstore *s = NULL;
    int rc = open_log(f, create, &s);
    if (rc != OK) {
        print_message("%.*s\n", (int) f->error.size, (const char *) f->error.data);
    }
    ASSERT(rc == OK);
    return s;
}

/* ---- a script of steps that child and parent both know ---- */

enum { LOG_MAX = 20000 };

/* The log after some steps. */
struct script {
    uint64_t step;
    uint64_t last;
    uint64_t trimmed;
    uint64_t epochs[LOG_MAX]; /* by index */
    struct rng rng;
};

static void script_init(struct script *m, uint64_t seed)
{
    memset(m, 0, sizeof *m);
    rng_init(&m->rng, seed);
}

/* Does the next step to the model, and to the store unless it is NULL: appends, sometimes behind a
 * cut, sometimes a trim. The hard state's epoch counts the steps. */
static int script_step(struct script *m, struct logstore *s)
{
    int rc = OK;
    struct log_write *w = log_write_new();
    uint64_t count = rng_between(&m->rng, 1, 12);
    m->step++;
    if (rng_chance(&m->rng, 1, 5) && m->last > m->trimmed) {
        w->truncate_from = rng_between(&m->rng, m->trimmed + 1, m->last);
        m->last = w->truncate_from - 1;
    }
    for (uint64_t i = 0; i < count; i++) {
        m->last++;
        ASSERT(m->last < LOG_MAX);
        m->epochs[m->last] = m->step;
        struct log_pos pos = {.index = m->last, .epoch = m->step};
        write_entry(w, pos, m->step * 1000000 + m->last, 8 + rng_below(&m->rng, 600));
    }
    w->hard_set = true;
    w->hard = (struct hard_state){.epoch = m->step, .vote = 1, .commit = m->trimmed};
    if (s != NULL) {
        const struct log_write *const writes[] = {w};
        rc = logstore_write(s, writes, 1);
    }
    log_write_free(w);
    return rc;
}

static int script_trim(struct script *m, struct logstore *s)
{
    struct log_pos pos = {.index = m->last - m->last % 3, .epoch = m->step};
    m->trimmed = u64_max(m->trimmed, pos.index);
    return s == NULL ? OK : logstore_trim(s, pos);
}

/* One unit that is durable or not: a write, or every seventh time a trim. */
static int script_next(struct script *m, uint64_t unit, struct logstore *s)
{
    return unit % 7 == 6 ? script_trim(m, s) : script_step(m, s);
}

static bool equals_script(const struct script *m, const struct logstore_recovery *r)
{
    uint64_t entries = m->last > m->trimmed ? m->last - m->trimmed : 0;
    if (r->hard.epoch != m->step || r->trimmed.index != m->trimmed || r->entries_count != entries ||
        r->last != u64_max(m->last, m->trimmed)) {
        return false;
    }
    for (uint32_t i = 0; i < r->entries_count; i++) {
        const struct entry *e = &r->entries[i];
        uint64_t index = m->trimmed + 1 + i;
        if (e->index != index || e->epoch != m->epochs[index] ||
            value_number(e->value) != e->epoch * 1000000 + index) {
            return false;
        }
    }
    return true;
}

/* D4: the log is that of exactly `units` units of the script, or of one more (done, not told). */
static bool is_prefix(struct fixture *f, uint64_t seed, uint64_t units)
{
    struct logstore_recovery r;
    struct script *m = xcalloc(1, sizeof *m);
    struct logstore *s = must_open(f, false);
    bool right = false;
    int rc = logstore_recover(s, 0, &r, &f->error);
    if (rc != OK) {
        print_message("%.*s\n", (int) f->error.size, (const char *) f->error.data);
    } else {
        script_init(m, seed);
        for (uint64_t i = 0; i < units; i++) {
            (void) script_next(m, i, NULL); /* Without a store it cannot fail. */
        }
        right = equals_script(m, &r);
        (void) script_next(m, units, NULL);
        right = right || equals_script(m, &r);
        if (!right) {
            print_message("%" PRIu64 " units told, the log is at step %" PRIu64 ", last %" PRIu64
                          ", trimmed %" PRIu64 "\n",
                          units, r.hard.epoch, r.last, r.trimmed.index);
        }
        logstore_recovery_release(&r);
    }
    logstore_close(s);
    free(m);
    return right;
}

/* ---- killed ---- */

struct child {
    struct fixture *fixture;
    uint64_t seed;
    uint32_t units;
};

/* Creates the log and does the script; tells in shared memory what is durable. */
static void run_script(void *ctx)
{
    const struct child *c = ctx;
    struct script *m = xcalloc(1, sizeof *m);
    struct logstore *s = must_open(c->fixture, true);
    script_init(m, c->seed);
    for (uint32_t i = 0; i < c->units; i++) {
        int rc = script_next(m, i, s);
        ASSERT(rc == OK);
        atomic_store(c->fixture->shared, i + 2);
    }
    _exit(0);
}

enum check_result {
    CHECK_PREFIX = 0,
    CHECK_NOT_CREATED = 1,
    CHECK_WRONG = 2,
};

/* Looks at what a killed child left, in a child of its own. */
static enum check_result check_left(const struct child *c)
{
    uint32_t told = atomic_load(c->fixture->shared);
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        struct logstore *s = NULL;
        alarm(60);
        int rc = open_log(c->fixture, false, &s);
        if (rc == ERR_NOT_FOUND) {
            _exit(told == 0 ? CHECK_NOT_CREATED : CHECK_WRONG);
        }
        logstore_close(s);
        bool right = rc == OK && is_prefix(c->fixture, c->seed, told > 0 ? told - 1 : 0);
        _exit(right ? CHECK_PREFIX : CHECK_WRONG);
    }
    pid_t waited = waitpid(pid, &status, 0);
    ASSERT(waited == pid);
    return WIFEXITED(status) ? (enum check_result) WEXITSTATUS(status) : CHECK_WRONG;
}

static void test_logstore_leveldb_killed_at_every_call_is_a_prefix(void **state)
{
    struct fixture *f = *state;
    struct child child = {.fixture = f, .seed = 5, .units = 16};
    uint32_t results[CHECK_WRONG] = {0};
    bool finished = false;
    for (uint32_t kill_at = 0; !finished; kill_at++) {
        struct syscalls calls;
        atomic_store(f->shared, 0);
        tempdir_remove(f->path);
        syscalls_run(run_script, &child, kill_at, &calls);
        finished = calls.finished;
        bool supported = calls.supported;
        syscalls_release(&calls);
        if (!supported) {
            print_message("tracing is not permitted here: skipped\n");
            skip();
        }
        enum check_result result = check_left(&child);
        if (result == CHECK_WRONG) {
            print_message("killed at call %u, %u units told\n", kill_at, atomic_load(f->shared));
        }
        assert_int_not_equal(result, CHECK_WRONG);
        results[result]++;
    }
    assert_true(results[CHECK_NOT_CREATED] > 20);
    assert_true(results[CHECK_PREFIX] > 30);
}

/* Longer runs, in which memory tables are switched and compacted while the axe falls. */
static void test_logstore_leveldb_killed_at_random_is_a_prefix(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 1; i <= 12; i++) {
        uint64_t seed = seed_offset() + i;
        struct child child = {.fixture = f, .seed = seed, .units = 1500};
        struct rng rng;
        rng_init(&rng, seed);
        uint32_t kill_after = (uint32_t) rng_between(&rng, 1, 700);
        atomic_store(f->shared, 0);
        tempdir_remove(f->path);
        fflush(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            alarm(120);
            run_script(&child);
        }
        int status = 0;
        pid_t waited = 0;
        while (atomic_load(f->shared) < kill_after && waited == 0) {
            waited = waitpid(pid, &status, WNOHANG);
        }
        if (waited == 0) {
            kill(pid, SIGKILL);
            waited = waitpid(pid, &status, 0);
        }
        assert_int_equal(waited, pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        enum check_result result = check_left(&child);
        if (result != CHECK_PREFIX) {
            print_message("seed %" PRIu64 ", killed after %u units\n", seed,
                          atomic_load(f->shared));
        }
        assert_int_equal(result, CHECK_PREFIX);
    }
}

/* ---- syncs ---- */

static void write_group(void *ctx)
{
    struct fixture *f = ctx;
    struct logstore *s = must_open(f, false);
    struct log_write *writes[5];
    uint64_t incarnation = 0;
    for (uint32_t i = 0; i < 5; i++) {
        struct log_pos pos = {.index = i + 1, .epoch = 1};
        writes[i] = log_write_new();
        write_entry(writes[i], pos, i + 1, 300);
        writes[i]->hard_set = true;
    }
    syscalls_mark();
    int rc = logstore_write(s, (const struct log_write *const *) writes, 5);
    syscalls_mark();
    rc = rc == OK ? logstore_trim(s, (struct log_pos){.index = 3, .epoch = 1}) : rc;
    syscalls_mark();
    rc = rc == OK ? logstore_bump_incarnation(s, &incarnation) : rc;
    syscalls_mark();
    ASSERT(rc == OK);
    ASSERT(incarnation == 1);
}

/* R6, P14, D1: what returns OK is durable; and a group costs one sync, whatever is in it. */
static void test_logstore_leveldb_write_is_one_sync(void **state)
{
    struct fixture *f = *state;
    struct syscalls calls;
    logstore_close(must_open(f, true));
    syscalls_run(write_group, f, UINT32_MAX, &calls);
    if (!calls.supported) {
        syscalls_release(&calls);
        skip();
    }
    assert_true(calls.finished);
    assert_int_equal(syscalls_between(&calls, 0, SYS_fdatasync), 1);
    assert_int_equal(syscalls_between(&calls, 1, SYS_fdatasync), 1);
    assert_int_equal(syscalls_between(&calls, 2, SYS_fdatasync), 1);
    syscalls_release(&calls);
}

/* ---- damage and full disks ---- */

static void test_logstore_leveldb_damaged_file_is_named(void **state)
{
    struct fixture *f = *state;
    struct script *m = xcalloc(1, sizeof *m);
    struct logstore *s = must_open(f, true);
    char file[TEMPDIR_PATH_MAX];
    script_init(m, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(script_step(m, s), OK);
    }
    logstore_close(s);
    s = NULL;
    assert_true(tempdir_find(f->path, NULL, ".log", 0, file));
    file_flip(file, file_size(file) - 20, 1);
    assert_int_equal(open_log(f, false, &s), ERR_CORRUPT);
    assert_null(s);
    assert_non_null(memmem(f->error.data, f->error.size, file, strlen(file)));
    free(m);
}

/* D5: a table file is damaged; entries that are in it are not given, and none is left out. */
static void test_logstore_leveldb_damaged_table_stops_recovery(void **state)
{
    struct fixture *f = *state;
    struct script *m = xcalloc(1, sizeof *m);
    struct logstore *s = must_open(f, true);
    char file[TEMPDIR_PATH_MAX];
    script_init(m, 1);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(script_step(m, s), OK);
    }
    logstore_close(s);
    logstore_close(must_open(f, false)); /* Opening moves the entries to a table. */
    assert_true(tempdir_find(f->path, NULL, ".ldb", 0, file));
    size_t size = file_size(file);
    uint32_t corrupt = 0;
    for (size_t at = 100; at < size - 48; at += size / 10) {
        struct logstore_recovery r;
        struct entry_list list;
        file_flip(file, at, 1);
        s = NULL;
        int rc = open_log(f, false, &s); /* May already have to look there. */
        if (rc == OK) {
            rc = logstore_recover(s, 0, &r, &f->error);
        }
        if (rc == OK) { /* The block holds only rows that were replaced since. */
            assert_true(equals_script(m, &r));
            logstore_recovery_release(&r);
        } else {
            assert_int_equal(rc, ERR_CORRUPT);
            assert_non_null(memmem(f->error.data, f->error.size, f->path, strlen(f->path)));
            corrupt++;
        }
        if (s != NULL && rc == ERR_CORRUPT) {
            assert_string_not_equal(logstore_last_error(s), "");
        }
        if (s != NULL && logstore_read(s, 1, m->last, 1 << 30, &list) == OK) {
            assert_int_equal(list.count, m->last);
            entry_list_release(&list);
        }
        logstore_close(s);
        file_flip(file, at, 1);
    }
    assert_true(corrupt > 3);
    free(m);
}

/* D6, D7: on a full disk a write fails for ever, and what was acknowledged is there. */
static void test_logstore_leveldb_full_disk_keeps_what_was_acknowledged(void **state)
{
    struct fixture *f = *state;
    char filler[TEMPDIR_PATH_MAX];
    static const uint8_t zeros[65536];
    if (mount("tmpfs", f->dir, "tmpfs", 0, "size=6m") != 0) {
        print_message("mounting a small tmpfs is not permitted here (%s): skipped\n",
                      strerror(errno));
        skip();
    }
    (void) snprintf(filler, sizeof filler, "%.400s/filler", f->dir);
    struct script *m = xcalloc(1, sizeof *m);
    struct logstore *s = must_open(f, true);
    script_init(m, 9);
    int fd = open(filler, O_WRONLY | O_CREAT, 0600);
    for (ssize_t n = 1; n > 0;) {
        n = write(fd, zeros, sizeof zeros);
    }
    close(fd);
    file_cut(filler, file_size(filler) - (200 << 10)); /* Opening again will need its room. */
    uint64_t units = 0;
    int rc = OK;
    while (rc == OK && units < 1500) {
        rc = script_next(m, units, s);
        units += rc == OK ? 1 : 0;
    }
    (void) unlink(filler);
    struct log_write *w = log_write_new();
    const struct log_write *const writes[] = {w};
    w->hard_set = true;
    int again = logstore_write(s, writes, 1);
    int trim = logstore_trim(s, (struct log_pos){.index = m->last + 5, .epoch = 1});
    uint64_t incarnation = 0;
    int bump = logstore_bump_incarnation(s, &incarnation);
    log_write_free(w);
    logstore_close(s);
    bool right = is_prefix(f, 9, units);
    (void) umount2(f->dir, MNT_DETACH);
    free(m);
    assert_true(right);
    assert_int_equal(rc, ERR_NO_SPACE);
    assert_int_equal(again, ERR_NO_SPACE);
    assert_int_equal(trim, ERR_NO_SPACE);
    assert_int_equal(bump, ERR_NO_SPACE);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_logstore_leveldb_killed_at_every_call_is_a_prefix),
        LOG_TEST(test_logstore_leveldb_killed_at_random_is_a_prefix),
        LOG_TEST(test_logstore_leveldb_write_is_one_sync),
        LOG_TEST(test_logstore_leveldb_damaged_file_is_named),
        LOG_TEST(test_logstore_leveldb_damaged_table_stops_recovery),
        LOG_TEST(test_logstore_leveldb_full_disk_keeps_what_was_acknowledged),
    };
    return cmocka_run_group_tests_name("logstore_leveldb", tests, NULL, NULL);
}

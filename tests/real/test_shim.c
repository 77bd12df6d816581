/*
 * test_shim.c - what the preloaded library does to calls of a program: this one, started again with
 * the library and told what to do.
 *
 *     test_shim child CASE DATA PAGE     does the case below DATA; its exit code is the verdict
 *
 * In the child, `shim` is the page that the library in it obeys too, so a case sets faults and
 * looks at counts itself.
 */
#include "tests/real/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kv/logstore.h"
#include "kv/store.h"
#include "tests/real/process_impl.h"
#include "tests/support/tempdir.h"

/* ---- In the child: `CHECK` ends it with the number of the line */

static struct shim_page *shim;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void) fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static uint64_t now_us(void)
{
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static int make(const char *data, const char *name)
{
    char path[PROCESS_PATH_MAX];
    (void) snprintf(path, sizeof path, "%s/%s", data, name);
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    return fd;
}

static void case_counts(const char *data)
{
    char beside[PROCESS_PATH_MAX];
    int log = make(data, "log/a");
    int state = make(data, "state/a");
    int other = make(data, "logs"); /* begins with the name of a folder */
    (void) snprintf(beside, sizeof beside, "%s-beside", data); /* begins with the root */
    int outside = open(beside, O_RDWR | O_CREAT, 0644);
    const struct iovec parts[] = {{(void *) (uintptr_t) "ab", 2}, {(void *) (uintptr_t) "cde", 3}};
    CHECK(write(log, "x", 1) == 1);
    CHECK(pwrite(state, "xy", 2, 7) == 2);
    CHECK(writev(other, parts, 2) == 5);
    CHECK(pwritev(log, parts, 2, 0) == 5);
    CHECK(write(outside, "not counted", 11) == 11);
    CHECK(fsync(log) == 0 && fdatasync(log) == 0 && fdatasync(state) == 0 && fsync(other) == 0);
    CHECK(fsync(outside) == 0);
    CHECK(shim->writes == 4 && shim->bytes == 13);
    CHECK(shim->log_syncs == 2 && shim->state_syncs == 1 && shim->other_syncs == 1);
    /* Copies are the same file; a number that is closed is another one's. */
    int copy = dup(log);
    CHECK(fsync(copy) == 0 && shim->log_syncs == 3);
    CHECK(dup2(state, copy) == copy && fsync(copy) == 0 && shim->state_syncs == 2);
    CHECK(close(log) == 0);
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK(ends[0] == log && write(ends[0], "x", 1) == 1 && shim->writes == 4);
    /* By a path that is not absolute, and a folder. */
    CHECK(chdir(data) == 0);
    int relative = open("log/../log/b", O_WRONLY | O_CREAT, 0644);
    CHECK(relative >= 0 && fsync(relative) == 0 && shim->log_syncs == 4);
    int folder = open("log", O_RDONLY | O_DIRECTORY);
    CHECK(fsync(folder) == 0 && shim->log_syncs == 5);
    int below = openat(folder, "c", O_WRONLY | O_CREAT, 0644);
    CHECK(fdatasync(below) == 0 && shim->log_syncs == 6);
    struct stat made;
    CHECK(fstat(below, &made) == 0 && (made.st_mode & 0777) == 0644);
    CHECK(unlink(beside) == 0);
}

/* Written by a FILE, closed by it: the number is not taken for a file later. */
static void case_streams(const char *data)
{
    int fd = make(data, "log/LOG");
    FILE *f = fdopen(fd, "a");
    CHECK(f != NULL && fprintf(f, "words\n") == 6 && fclose(f) == 0);
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK(ends[0] == fd || ends[1] == fd);
    shim->fail_write_errno = EIO;
    CHECK(write(ends[0], "x", 1) == 1 && write(ends[1], "x", 1) == 1);
    CHECK(shim->writes == 0 && shim->failed == 0);
}

static void case_failures(const char *data)
{
    int fd = make(data, "log/a");
    char bytes[100] = {0};
    struct stat now;
    shim->fail_sync_errno = EIO;
    CHECK(fdatasync(fd) == -1 && errno == EIO && shim->failed == 1);
    CHECK(fdatasync(fd) == 0 && shim->failed == 1); /* once */
    shim->fail_write_errno = EIO;
    CHECK(write(fd, bytes, 100) == -1 && errno == EIO && shim->failed == 2);
    CHECK(fstat(fd, &now) == 0 && now.st_size == 0);
    CHECK(write(fd, bytes, 100) == 100);
    /* A full disk takes a half, and then nothing of that file. */
    shim->fail_write_errno = ENOSPC;
    CHECK(write(fd, bytes, 100) == 50);
    CHECK(write(fd, bytes + 50, 50) == -1 && errno == ENOSPC && shim->failed == 3);
    CHECK(fstat(fd, &now) == 0 && now.st_size == 150);
    CHECK(write(fd, bytes, 100) == 100);
    shim->fail_write_errno = ENOSPC;
    CHECK(write(fd, bytes, 1) == -1 && errno == ENOSPC && shim->failed == 4); /* no half */
    const struct iovec parts[] = {{bytes, 0}, {bytes, 10}, {bytes, 90}};
    shim->fail_write_errno = ENOSPC;
    CHECK(writev(fd, parts, 3) == 10); /* less than the half: that may be */
    CHECK(writev(fd, parts, 3) == -1 && errno == ENOSPC);
    CHECK(fstat(fd, &now) == 0 && now.st_size == 260);
}

static void case_lies(const char *data)
{
    int fd = make(data, "state/a");
    shim->lie = 1;
    CHECK(write(fd, "x", 1) == 1 && fsync(fd) == 0 && fdatasync(fd) == 0);
    CHECK(shim->lied == 2 && shim->state_syncs == 2);
    shim->lie = 0;
    CHECK(fsync(fd) == 0 && shim->lied == 2);
}

static void case_waits(const char *data)
{
    int fd = make(data, "log/a");
    shim->sync_delay_us = 30000;
    uint64_t since = now_us();
    CHECK(write(fd, "x", 1) == 1);
    CHECK(fdatasync(fd) == 0 && now_us() - since >= 30000);
    shim->sync_delay_us = 0;
    uint64_t until = now_us() + 40000;
    shim->hang_until_us = until;
    CHECK(write(fd, "x", 1) == 1 && now_us() >= until);
    until = now_us() + 40000;
    shim->hang_until_us = until;
    CHECK(fsync(fd) == 0 && now_us() >= until);
}

/* Waits for ever, if the harness does not lift it. */
static void case_hangs(const char *data)
{
    int fd = make(data, "state/a");
    shim->hang_until_us = UINT64_MAX;
    CHECK(fsync(fd) == 0);
}

/* ---- With LevelDB */

static struct logstore *open_log(const char *data)
{
    char path[PROCESS_PATH_MAX];
    const struct identity identity = {
        .cluster_id = 1, .node = 1, .engine = 2, .members_count = 1, .members = {1}};
    const struct logstore_options options = {.create = &identity};
    struct logstore *log = NULL;
    (void) snprintf(path, sizeof path, "%s/log/store", data);
    CHECK(logstore_open(logstore_by_name("leveldb"), path, &options, &log, NULL) == OK);
    return log;
}

static int write_epoch(struct logstore *log, uint64_t epoch)
{
    const struct log_write w = {.id = epoch, .hard_set = true, .hard = {.epoch = epoch}};
    const struct log_write *writes[] = {&w};
    return logstore_write(log, writes, 1);
}

/* D1: each write of the log is one sync, and each sync is counted. */
static void case_log_syncs(const char *data)
{
    struct logstore *log = open_log(data);
    uint64_t before = shim->log_syncs;
    for (uint64_t i = 1; i <= 50; i++) {
        CHECK(write_epoch(log, i) == OK);
    }
    CHECK(shim->log_syncs - before == 50);
    CHECK(shim->state_syncs == 0);
    logstore_close(log);
}

/* D6 */
static void case_log_fails(const char *data)
{
    struct logstore *log = open_log(data);
    CHECK(write_epoch(log, 1) == OK);
    shim->fail_sync_errno = EIO;
    CHECK(write_epoch(log, 2) == ERR_IO);
    CHECK(write_epoch(log, 3) == ERR_IO && shim->failed == 1); /* for good */
    logstore_close(log);
}

/* D7 */
static void case_log_is_full(const char *data)
{
    struct logstore *log = open_log(data);
    CHECK(write_epoch(log, 1) == OK);
    shim->fail_write_errno = ENOSPC;
    CHECK(write_epoch(log, 2) == ERR_NO_SPACE);
    CHECK(shim->failed == 1);
    uint64_t syncs = shim->log_syncs;
    CHECK(write_epoch(log, 3) == ERR_NO_SPACE && shim->log_syncs == syncs);
    logstore_close(log);
}

static void case_state_syncs(const char *data)
{
    char path[PROCESS_PATH_MAX];
    const struct store_options options = {.create = true};
    struct store *s = NULL;
    struct store_batch *b = store_batch_new();
    (void) snprintf(path, sizeof path, "%s/state/store", data);
    CHECK(store_open(store_by_name("leveldb"), path, &options, &s, NULL) == OK);
    store_batch_put(b, bytes_str("key"), bytes_str("value"));
    uint64_t before = shim->state_syncs;
    uint64_t written = shim->writes;
    CHECK(store_write(s, b, true) == OK && shim->state_syncs == before + 1);
    CHECK(store_write(s, b, false) == OK && shim->state_syncs == before + 1);
    CHECK(shim->writes == written + 2 && shim->log_syncs == 0);
    store_batch_free(b);
    store_close(s);
}

static const struct {
    const char *name;
    void (*run)(const char *data);
} CASES[] = {
    {"counts", case_counts},
    {"streams", case_streams},
    {"failures", case_failures},
    {"lies", case_lies},
    {"waits", case_waits},
    {"log-syncs", case_log_syncs},
    {"log-fails", case_log_fails},
    {"log-is-full", case_log_is_full},
    {"state-syncs", case_state_syncs},
    {"hangs", case_hangs},
};

static int child(const char *name, const char *data, const char *path)
{
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    shim = mmap(NULL, sizeof *shim, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(shim != MAP_FAILED);
    for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
        if (strcmp(CASES[i].name, name) == 0) {
            CASES[i].run(data);
            return 0;
        }
    }
    return 2;
}

/* ---- The tests */

struct bed {
    char dir[TEMPDIR_PATH_MAX];
    char library[PROCESS_PATH_MAX];
    char *data;
    char *path; /* of the page */
    char *log;
    struct shim_page *page;
};

static int setup(void **state)
{
    struct bed *b = xcalloc(1, sizeof *b);
    struct buf error;
    buf_init(&error, 4096);
    char folder[TEMPDIR_PATH_MAX];
    tempdir_make(folder);
    char *real = realpath(folder, NULL);
    assert_non_null(real);
    (void) snprintf(b->dir, sizeof b->dir, "%s", real);
    free(real);
    b->data = process_text("%s/data", b->dir);
    b->path = process_text("%s/page", b->dir);
    b->log = process_text("%s/log", b->dir);
    assert_int_equal(process_find("shim_preload.so", b->library, &error), OK);
    assert_int_equal(shim_page_new(b->path, &b->page, &error), OK);
    const char *const folders[] = {"", "/log", "/state"};
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        char *path = process_text("%s%s", b->data, folders[i]);
        assert_int_equal(mkdir(path, 0755), 0);
        free(path);
    }
    buf_release(&error);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bed *b = *state;
    shim_page_free(b->page);
    tempdir_remove(b->dir);
    free(b->data);
    free(b->path);
    free(b->log);
    free(b);
    return 0;
}

static pid_t start(struct bed *b, const char *name)
{
    const char *const argv[] = {"/proc/self/exe", "child", name, b->data, b->path, NULL};
    const struct process_command c = {.argv = (char *const *) (uintptr_t) argv,
                                      .log = b->log,
                                      .shim = b->library,
                                      .page = b->path,
                                      .data = b->data};
    struct buf error;
    pid_t pid = 0;
    buf_init(&error, 4096);
    assert_int_equal(process_spawn(&c, &pid, &error), OK);
    buf_release(&error);
    return pid;
}

static int wait_end(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void run_case(void **state, const char *name)
{
    struct bed *b = *state;
    int status = wait_end(start(b, name));
    if (status != 0) {
        char *said = process_said(b->log, 0);
        print_error("%s\n", said);
        free(said);
    }
    assert_int_equal(status, 0);
}

static void test_shim_counts_calls_by_where_the_file_is(void **state)
{
    run_case(state, "counts");
}

static void test_shim_leaves_streams_alone(void **state)
{
    run_case(state, "streams");
}

static void test_shim_fails_the_next_call_once(void **state)
{
    run_case(state, "failures");
}

static void test_shim_lying_sync_is_counted(void **state)
{
    run_case(state, "lies");
}

static void test_shim_delays_syncs_and_hangs(void **state)
{
    run_case(state, "waits");
}

static void test_shim_log_syncs_are_those_of_its_writes(void **state)
{
    run_case(state, "log-syncs");
}

static void test_shim_failed_sync_is_final_to_the_log(void **state)
{
    run_case(state, "log-fails");
}

static void test_shim_full_disk_is_final_to_the_log(void **state)
{
    run_case(state, "log-is-full");
}

static void test_shim_state_syncs_are_those_asked_for(void **state)
{
    run_case(state, "state-syncs");
}

/* The harness can end a hang early. */
static void test_shim_hang_ends_when_it_is_lifted(void **state)
{
    struct bed *b = *state;
    pid_t pid = start(b, "hangs");
    const struct timespec slice = {.tv_nsec = 1000000};
    int status = 0;
    uint64_t limit_us = now_us() + 30000000;
    while (atomic_load(&b->page->state_syncs) == 0) { /* counted, then it waits */
        assert_true(now_us() < limit_us);
        (void) nanosleep(&slice, NULL);
    }
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    atomic_store(&b->page->hang_until_us, 0);
    assert_int_equal(wait_end(pid), 0);
}

/* Faults that are not there would make a run say something false. */
static void test_shim_that_cannot_work_ends_the_program(void **state)
{
    struct bed *b = *state;
    b->page->version = SHIM_VERSION + 1;
    int status = wait_end(start(b, "lies"));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 127);
    char *said = process_said(b->log, 0);
    assert_non_null(strstr(said, "version"));
    free(said);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "child") == 0) {
        return child(argv[2], argv[3], argv[4]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shim_counts_calls_by_where_the_file_is, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_shim_leaves_streams_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shim_fails_the_next_call_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shim_lying_sync_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shim_delays_syncs_and_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shim_log_syncs_are_those_of_its_writes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_shim_failed_sync_is_final_to_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shim_full_disk_is_final_to_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shim_state_syncs_are_those_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shim_hang_ends_when_it_is_lifted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shim_that_cannot_work_ends_the_program, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

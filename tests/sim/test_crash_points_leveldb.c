/*
 * test_crash_points_leveldb.c - every moment of every short life of the log and of the state
 * database on LevelDB: what a crash or a failed call leaves opens again,
 * and holds what was acknowledged (D2, D4, D6, D7, D8).
 *
 *     CRASH_WORKLOAD="append trim reopen"   runs this one alone, where its words are known
 *
 * run-tests: timeout=600
 *
 * The functions of the C library that change files are defined here, for LevelDB too, and lead to
 * the journal.
 */

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
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/consensus.h"
#include "tests/sim/crash_explore.h"
#include "tests/support/entries.h"
#include "tests/support/tempdir.h"

enum {
    WORKERS_MAX = 8,
    WRITE_BUFFER_MIN = 64 * 1024, /* the least that LevelDB takes */
};

/* ---- the functions of the C library ---- */

/* Named by their symbols, as headers may define the names in ways of their own. */
int hook_open(const char *path, int flags, ...) __asm__("open");
int hook_open64(const char *path, int flags, ...) __asm__("open64");
int hook_openat(int directory, const char *path, int flags, ...) __asm__("openat");
ssize_t hook_write(int fd, const void *data, size_t size) __asm__("write");
int hook_fsync(int fd) __asm__("fsync");
int hook_fdatasync(int fd) __asm__("fdatasync");
int hook_rename(const char *from, const char *to) __asm__("rename");
int hook_unlink(const char *path) __asm__("unlink");
int hook_unlinkat(int directory, const char *path, int flags) __asm__("unlinkat");
int hook_rmdir(const char *path) __asm__("rmdir");
int hook_mkdir(const char *path, mode_t mode) __asm__("mkdir");
int hook_close(int fd) __asm__("close");
int hook_ftruncate(int fd, off_t size) __asm__("ftruncate");
ssize_t hook_pwrite(int fd, const void *data, size_t size, off_t offset) __asm__("pwrite");

static uint32_t mode_of(int flags, va_list args)
{
    return (flags & O_CREAT) != 0 ? va_arg(args, uint32_t) : 0;
}

int hook_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int fd = file_journal_open_call(AT_FDCWD, path, flags, mode_of(flags, args));
    va_end(args);
    return fd;
}

int hook_open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int fd = file_journal_open_call(AT_FDCWD, path, flags, mode_of(flags, args));
    va_end(args);
    return fd;
}

int hook_openat(int directory, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int fd = file_journal_open_call(directory, path, flags, mode_of(flags, args));
    va_end(args);
    return fd;
}

ssize_t hook_write(int fd, const void *data, size_t size)
{
    return (ssize_t) file_journal_write_call(fd, data, size);
}

int hook_fsync(int fd)
{
    return file_journal_sync_call(fd, false);
}

int hook_fdatasync(int fd)
{
    return file_journal_sync_call(fd, true);
}

int hook_rename(const char *from, const char *to)
{
    return file_journal_rename_call(from, to);
}

int hook_unlink(const char *path)
{
    return file_journal_unlink_call(AT_FDCWD, path, 0);
}

int hook_unlinkat(int directory, const char *path, int flags)
{
    return file_journal_unlink_call(directory, path, flags);
}

int hook_rmdir(const char *path)
{
    return file_journal_unlink_call(AT_FDCWD, path, AT_REMOVEDIR);
}

int hook_mkdir(const char *path, mode_t mode)
{
    return file_journal_mkdir_call(path, mode);
}

int hook_close(int fd)
{
    return file_journal_close_call(fd);
}

/* Nothing below calls these two; if LevelDB begins to, the journal lacks something. */
int hook_ftruncate(int fd, off_t size)
{
    (void) size;
    file_journal_refuse(fd);
    errno = ENOSYS;
    return -1;
}

ssize_t hook_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    (void) data;
    (void) size;
    (void) offset;
    file_journal_refuse(fd);
    errno = ENOSYS;
    return -1;
}

/* ---- many workloads at once ---- */

/* What is explored. */
struct job {
    struct crash_rig rig;
    struct crash_scope scope;
    uint32_t length;          /* all workloads of up to so many operations */
    const char *const *named; /* NULL, or these, ended by NULL */
};

static uint32_t job_count(const struct job *job)
{
    uint32_t count = 0;
    if (job->named == NULL) {
        return crash_workloads(&job->rig.kind->alphabet, job->length);
    }
    while (job->named[count] != NULL) {
        count++;
    }
    return count;
}

static void job_workload(const struct job *job, uint32_t number, struct crash_workload *ret)
{
    if (job->named == NULL) {
        crash_workload_at(&job->rig.kind->alphabet, number, ret);
    } else {
        bool parsed = crash_workload_parse(job->named[number], ret);
        ASSERT(parsed);
    }
}

/* Explores the workloads whose number is `worker` modulo `workers`. */
static void work(const struct job *job, const char *dir, uint32_t worker, uint32_t workers,
                 struct crash_tally *tally)
{
    struct crash_explorer *x = crash_explorer_new(&job->rig, &job->scope, dir, tally);
    uint32_t count = job_count(job);
    for (uint32_t i = worker; i < count; i += workers) {
        struct crash_workload w;
        job_workload(job, i, &w);
        (void) crash_explore(x, &w);
    }
    crash_explorer_free(x);
}

static void tally_add(struct crash_tally *sum, const struct crash_tally *t)
{
    sum->workloads += t->workloads;
    sum->points += t->points;
    sum->images += t->images;
    sum->checked += t->checked;
    sum->losses += t->losses;
    sum->faults += t->faults;
    sum->refused += t->refused;
    sum->spoilt += t->spoilt;
    if (t->red && !sum->red) {
        sum->red = true;
        memcpy(sum->text, t->text, sizeof sum->text);
    }
}

/* Files in memory when there is a place for them: a sync of those costs nothing. */
static void scratch_make(char ret_dir[TEMPDIR_PATH_MAX])
{
    if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK | X_OK) == 0) {
        setenv("TMPDIR", "/dev/shm", 1);
        tempdir_make(ret_dir);
        unsetenv("TMPDIR");
    } else {
        tempdir_make(ret_dir);
    }
}

/* Starts a process for each worker, as LevelDB's thread is not there in a process that forks
 * later; returns how many there are. */
static uint32_t start_workers(const struct job *job, const char *dir, struct crash_tally *tallies,
                              pid_t pids[WORKERS_MAX])
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t workers = cores < 1 ? 1 : cores > WORKERS_MAX ? WORKERS_MAX : (uint32_t) cores;
    fflush(NULL);
    for (uint32_t i = 0; i < workers; i++) {
        pids[i] = fork();
        ASSERT(pids[i] >= 0);
        if (pids[i] == 0) {
            char own[TEMPDIR_PATH_MAX + 16];
            (void) snprintf(own, sizeof own, "%s/%u", dir, (unsigned) i);
            int rc = mkdir(own, 0700);
            ASSERT(rc == 0);
            work(job, own, i, workers, &tallies[i]);
            _exit(0);
        }
    }
    return workers;
}

/* Explores the job and prints what was done. */
static void explore(const struct job *job, const char *what, struct crash_tally *ret_tally)
{
    char dir[TEMPDIR_PATH_MAX];
    pid_t pids[WORKERS_MAX];
    struct crash_tally sum = {.workloads = 0};
    const size_t size = WORKERS_MAX * sizeof(struct crash_tally);
    struct crash_tally *tallies =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(tallies != MAP_FAILED);
    scratch_make(dir);
    uint32_t workers = start_workers(job, dir, tallies, pids);
    for (uint32_t i = 0; i < workers; i++) {
        int status = 0;
        pid_t waited = waitpid(pids[i], &status, 0);
        ASSERT(waited == pids[i]);
        tally_add(&sum, &tallies[i]);
        if (!(WIFEXITED(status) && WEXITSTATUS(status) == 0) && !sum.red) {
            sum.red = true;
            (void) snprintf(sum.text, sizeof sum.text, "a worker died: status %d", status);
        }
    }
    tempdir_remove(dir);
    munmap(tallies, size);
    printf("# %s: %llu workloads, %llu points, %llu crashes, %llu of %llu images checked, "
           "%llu failed calls, %llu of them refused, %llu images spoilt by LevelDB\n",
           what, (unsigned long long) sum.workloads, (unsigned long long) sum.points,
           (unsigned long long) sum.losses, (unsigned long long) sum.checked,
           (unsigned long long) sum.images, (unsigned long long) sum.faults,
           (unsigned long long) sum.refused, (unsigned long long) sum.spoilt);
    if (sum.red) {
        printf("# RED: %s\n", sum.text);
    }
    *ret_tally = sum;
}

/* ---- the tests ---- */

static struct job log_job(uint8_t engine)
{
    return (struct job){
        .rig = {.kind = &crash_log_kind,
                .log = logstore_by_name("leveldb"),
                .engine = engine,
                .write_buffer_size = WRITE_BUFFER_MIN},
        .scope = {.strict = true, .faults = true, .go_on = 8},
    };
}

static struct job state_job(void)
{
    return (struct job){
        .rig = {.kind = &crash_state_kind,
                .state = store_by_name("leveldb"),
                .write_buffer_size = WRITE_BUFFER_MIN},
        .scope = {.strict = true, .faults = true, .go_on = 8},
    };
}

/* Looks at an eighth of the images; at all of them in a soak, which sets SYNOD_SEED. */
static void sample(struct job *job)
{
    job->scope.sample = getenv("SYNOD_SEED") == NULL ? 8 : 1;
}

/* CRASH_WORKLOAD replaces the workloads of a job. False: it is not for this kind of store. */
static bool pick(struct job *job, const char *names[2])
{
    const char *text = getenv("CRASH_WORKLOAD");
    struct crash_workload w;
    names[0] = text;
    names[1] = NULL;
    if (text == NULL) {
        return true;
    }
    job->named = names;
    if (!crash_workload_parse(text, &w)) {
        return false;
    }
    for (uint32_t i = 0; i < w.count; i++) {
        if (!crash_op_is_of(job->rig.kind, w.ops[i])) {
            return false;
        }
    }
    return true;
}

/* Explores, and expects all of it to be done and nothing to be wrong. */
static bool explore_is_green(struct job *job, const char *what)
{
    struct crash_tally tally;
    const char *names[2];
    if (!pick(job, names)) {
        skip();
    }
    explore(job, what, &tally);
    return !tally.red && tally.workloads == job_count(job) && tally.checked > 0;
}

/* D2, D4, D6, D7, D8: all sequences of up to three operations of a log without holes. */
static void test_crash_points_of_raft_logs_leave_what_was_acknowledged(void **state)
{
    (void) state;
    struct job job = log_job(ENGINE_RAFT);
    job.length = 3;
    assert_true(explore_is_green(&job, "raft logs, up to three operations"));
}

/* The same for a log with holes, up to two. */
static void test_crash_points_of_paxos_logs_leave_what_was_acknowledged(void **state)
{
    (void) state;
    struct job job = log_job(ENGINE_PAXOS);
    job.length = 2;
    assert_true(explore_is_green(&job, "paxos logs, up to two operations"));
}

/* D9: what is condemned is condemned from one moment on. */
static void test_crash_points_of_condemned_logs_leave_them_condemned(void **state)
{
    static const char *const workloads[] = {"condemn", "append condemn", "append trim condemn",
                                            NULL};
    (void) state;
    struct job job = log_job(ENGINE_RAFT);
    job.named = workloads;
    assert_true(explore_is_green(&job, "condemned logs"));
}

/* D4: up to three flushes of the state database. */
static void test_crash_points_of_states_leave_what_was_flushed(void **state)
{
    (void) state;
    struct job job = state_job();
    job.length = 3;
    assert_true(explore_is_green(&job, "states, up to three flushes"));
}

/* With memtables that are full, tables, compactions and a sweep in several steps; at every moment
 * of the whole life. */
static void test_crash_points_of_long_logs_leave_what_was_acknowledged(void **state)
{
    static const char *const workloads[] = {
        "bulk bulk trim bulk bulk truncate bulk reopen bulk trimmost append",
        "many trimmost append hard many trim jump append promises reopen bump",
        "bulk bulk bulk power append bulk bulk bulk power bulk group bulk bulk",
        "bulk bulk jump bulk bulk trim power bump append group bulk power power",
        "bulk bulk bulk bulk bulk bulk bulk bulk bulk bulk bulk bulk",
        NULL,
    };
    (void) state;
    struct job job = log_job(ENGINE_RAFT);
    job.named = workloads;
    job.scope.whole = true;
    job.scope.blocks_max = 6;
    sample(&job);
    assert_true(explore_is_green(&job, "long logs"));
}

static void test_crash_points_of_long_states_leave_what_was_flushed(void **state)
{
    static const char *const workloads[] = {
        "flood flood mix flood flood reopen put flood power flood mix flood",
        "flood flood flood flood flood flood flood flood flood flood large power put",
        NULL,
    };
    (void) state;
    struct job job = state_job();
    job.named = workloads;
    job.scope.whole = true;
    job.scope.blocks_max = 6;
    sample(&job);
    assert_true(explore_is_green(&job, "long states"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_points_of_raft_logs_leave_what_was_acknowledged),
        cmocka_unit_test(test_crash_points_of_paxos_logs_leave_what_was_acknowledged),
        cmocka_unit_test(test_crash_points_of_condemned_logs_leave_them_condemned),
        cmocka_unit_test(test_crash_points_of_states_leave_what_was_flushed),
        cmocka_unit_test(test_crash_points_of_long_logs_leave_what_was_acknowledged),
        cmocka_unit_test(test_crash_points_of_long_states_leave_what_was_flushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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

#include <dirent.h>
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
#include "tests/sim/crash_model.h"
#include "tests/sim/disk.h"
#include "tests/support/entries.h"
#include "tests/support/tempdir.h"

enum {
    WORKERS_MAX = 8,
    MODEL_SEEDS = 24,             /* enough for each outcome to come up */
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
    bool compared;            /* with the model disk */
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

/* The outcomes on the model disk must be among those on real files, and no fewer: nothing may be
 * possible in one world only. But for creation: the model has it fail as a whole, while on files
 * the store may be there though the last sync failed. */
static void compare(const struct job *job, const struct crash_workload *w, uint32_t outcomes,
                    struct crash_tally *tally)
{
    struct crash_model_tally model = {.workloads = 0};
    struct crash_rig rig = job->rig;
    rig.log = rig.log == NULL ? NULL : &sim_logstore_ops;
    rig.state = rig.state == NULL ? NULL : &sim_store_ops;
    uint32_t modelled = crash_model_explore(&rig, w, 1, MODEL_SEEDS, &model);
    bool same = w->count == 0 ? (modelled & ~outcomes) == 0 : modelled == outcomes;
    if ((model.red || !same) && !tally->red) {
        struct buf words;
        buf_init(&words, 1024);
        crash_workload_print(w, &words);
        tally->red = true;
        (void) snprintf(tally->text, sizeof tally->text,
                        "%s, workload \"%.*s\": the model leaves outcomes %x, files %x; %.2000s",
                        rig.kind->name, (int) words.size, (const char *) words.data,
                        (unsigned) modelled, (unsigned) outcomes, model.text);
        buf_release(&words);
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
        uint32_t outcomes = crash_explore(x, &w);
        if (job->compared) {
            compare(job, &w, outcomes, tally);
            crash_explorer_free(x); /* The next one must not leave out what this one saw. */
            x = crash_explorer_new(&job->rig, &job->scope, dir, tally);
        }
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

/* Whether the files below `dir` are those of an image, but for what LevelDB says in LOG. */
static bool same_files(const struct file_image *image, const char *dir)
{
    for (uint32_t i = 0; i < image->count; i++) {
        const struct file_image_name *n = &image->names[i];
        char path[2 * TEMPDIR_PATH_MAX];
        struct stat st;
        (void) snprintf(path, sizeof path, "%s%s", dir, n->path);
        if (stat(path, &st) != 0 || S_ISDIR(st.st_mode) != n->is_dir) {
            return false;
        }
        if (n->is_dir || strstr(n->path, "/LOG") != NULL) {
            continue;
        }
        uint8_t *data = xcalloc((size_t) st.st_size + 1, 1);
        FILE *f = fopen(path, "re");
        size_t size = f == NULL ? 0 : fread(data, 1, (size_t) st.st_size + 1, f);
        bool same = bytes_equal(bytes_of(data, size), bytes_of(n->data, n->size));
        free(data);
        if (f == NULL || fclose(f) != 0 || !same) {
            return false;
        }
    }
    return true;
}

/* The number of names in a directory. */
static uint32_t count_names(const char *path)
{
    uint32_t count = 0;
    DIR *dir = opendir(path);
    ASSERT(dir != NULL);
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir)) != NULL) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 ? 1 : 0;
    }
    closedir(dir);
    return count;
}

/* The journal of a life with tables and compactions, played back, gives the files that are there:
 * nothing that LevelDB does goes unseen. In a process of its own, which may have LevelDB's thread.
 */
static void play_back(const char *dir)
{
    static const char *const words = "bulk bulk trim bulk reopen bulk bulk bulk many reopen append";
    const struct crash_rig rig = log_job(ENGINE_RAFT).rig;
    struct crash_workload w;
    struct crash_store store;
    struct file_image image;
    char path[TEMPDIR_PATH_MAX + 16];
    bool parsed = crash_workload_parse(words, &w);
    ASSERT(parsed);
    (void) snprintf(path, sizeof path, "%s/log", dir);
    struct file_journal *j = file_journal_start(dir);
    struct crash_model *m = rig.kind->model_new(&rig);
    int rc = rig.kind->open(&rig, path, true, &store, NULL);
    ASSERT(rc == OK);
    for (uint32_t i = 0; i < w.count; i++) {
        if (w.ops[i] == CRASH_OP_REOPEN) {
            rig.kind->close(&store);
            rc = rig.kind->open(&rig, path, false, &store, NULL);
        } else {
            rc = rig.kind->apply(&store, m, w.ops[i]);
        }
        ASSERT(rc == OK);
        rig.kind->model_apply(m, w.ops[i]);
    }
    rig.kind->close(&store);
    file_journal_stop(j);
    const struct file_loss none = {.data_kept = true};
    struct file_state *state = file_state_new(j, file_journal_count(j));
    file_image_build(state, &none, &image);
    ASSERT(image.count == count_names(dir) + count_names(path));
    ASSERT(same_files(&image, dir));
    file_image_release(&image);
    file_state_free(state);
    rig.kind->model_free(m);
    file_journal_free(j);
}

static void test_crash_points_journal_sees_all_that_leveldb_does(void **state)
{
    (void) state;
    char dir[TEMPDIR_PATH_MAX];
    int status = 0;
    scratch_make(dir);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        play_back(dir);
        _exit(0);
    }
    pid_t waited = waitpid(pid, &status, 0);
    tempdir_remove(dir);
    assert_int_equal(waited, pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
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

/* The model disk that simulations run on leaves what real files leave. */
static void test_crash_points_of_the_model_are_those_of_files(void **state)
{
    (void) state;
    struct job log = log_job(ENGINE_RAFT);
    struct job flush = state_job();
    log.length = 2;
    log.compared = true;
    log.scope.apart = true;
    flush.length = 2;
    flush.compared = true;
    flush.scope.apart = true;
    assert_true(explore_is_green(&log, "logs, files and model"));
    assert_true(explore_is_green(&flush, "states, files and model"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_points_journal_sees_all_that_leveldb_does),
        cmocka_unit_test(test_crash_points_of_raft_logs_leave_what_was_acknowledged),
        cmocka_unit_test(test_crash_points_of_paxos_logs_leave_what_was_acknowledged),
        cmocka_unit_test(test_crash_points_of_the_model_are_those_of_files),
        cmocka_unit_test(test_crash_points_of_condemned_logs_leave_them_condemned),
        cmocka_unit_test(test_crash_points_of_states_leave_what_was_flushed),
        cmocka_unit_test(test_crash_points_of_long_logs_leave_what_was_acknowledged),
        cmocka_unit_test(test_crash_points_of_long_states_leave_what_was_flushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_loop_disk.c - disks that lose their power: what was synced is there, what was not is gone.
 * Needs root, a loop device and mkfs.ext4; is skipped without.
 */
#include "tests/real/loop_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/support/tempdir.h"

#define DISK_BYTES (UINT64_C(64) << 20)
#define LIMIT_MS 30000

struct bed {
    char dir[TEMPDIR_PATH_MAX];
    struct buf error;
    struct loop_disk *disk;
};

static int teardown(void **state)
{
    struct bed *b = *state;
    loop_disk_free(b->disk);
    buf_release(&b->error);
    tempdir_remove(b->dir);
    free(b);
    return 0;
}

static int setup(void **state)
{
    struct bed *b = xcalloc(1, sizeof *b);
    buf_init(&b->error, 4096);
    tempdir_make(b->dir);
    *state = b;
    return 0;
}

static struct bed *bed_of(void **state)
{
    struct bed *b = *state;
    if (loop_disk_available(&b->error) != OK) {
        skip();
    }
    int rc = loop_disk_new(b->dir, DISK_BYTES, &b->disk, &b->error);
    if (rc != OK) {
        fail_msg("%s: %.*s", err_name(rc), (int) b->error.size, (const char *) b->error.data);
    }
    return b;
}

static char *path_of(const struct bed *b, const char *name)
{
    char *path = xmalloc(TEMPDIR_PATH_MAX);
    (void) snprintf(path, TEMPDIR_PATH_MAX, "%s/%s", loop_disk_path(b->disk), name);
    return path;
}

static void append(const struct bed *b, const char *name, const char *text, bool sync)
{
    char *path = path_of(b, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    if (sync) {
        int folder = open(loop_disk_path(b->disk), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fsync(fd), 0);
        assert_int_equal(fsync(folder), 0);
        (void) close(folder);
    }
    (void) close(fd);
    free(path);
}

static void expect(const struct bed *b, const char *name, const char *text)
{
    char read_back[256] = "";
    char *path = path_of(b, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (text == NULL) {
        assert_true(fd < 0);
    } else {
        assert_true(fd >= 0);
        assert_true(read(fd, read_back, sizeof read_back - 1) >= 0);
        assert_string_equal(read_back, text);
        (void) close(fd);
    }
    free(path);
}

static void lose_power(struct bed *b)
{
    int rc = loop_disk_power_loss(b->disk, &b->error);
    if (rc != OK) {
        fail_msg("%s: %.*s", err_name(rc), (int) b->error.size, (const char *) b->error.data);
    }
}

static void test_loop_disk_power_loss_takes_what_is_not_synced(void **state)
{
    struct bed *b = bed_of(state);
    append(b, "kept", "synced", true);
    append(b, "kept", " and not", false);
    append(b, "gone", "never synced", false);
    expect(b, "kept", "synced and not");
    expect(b, "gone", "never synced");
    lose_power(b);
    expect(b, "kept", "synced");
    expect(b, "gone", NULL);
    append(b, "kept", " again", true); /* and it is a good disk */
    lose_power(b);
    expect(b, "kept", "synced again");
}

/* The same for a process that is killed while it writes: only what it said to be synced counts. */
static void test_loop_disk_killed_writer_finds_its_synced_lines(void **state)
{
    struct bed *b = bed_of(state);
    int ends[2];
    char line[64];
    uint32_t synced = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t writer = fork();
    if (writer == 0) {
        char *path = path_of(b, "log");
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
        for (uint32_t i = 1;; i++) {
            int size = snprintf(line, sizeof line, "%08u\n", i);
            if (write(fd, line, (size_t) size) != size || fsync(fd) != 0 ||
                write(ends[1], &i, sizeof i) != sizeof i) {
                _exit(1);
            }
        }
    }
    while (synced < 20) {
        assert_int_equal(read(ends[0], &synced, sizeof synced), sizeof synced);
    }
    assert_int_equal(kill(writer, SIGKILL), 0);
    assert_int_equal(waitpid(writer, NULL, 0), writer);
    (void) close(ends[1]);
    while (read(ends[0], &synced, sizeof synced) == sizeof synced) {
    }
    (void) close(ends[0]);
    lose_power(b);
    char *path = path_of(b, "log");
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    uint32_t found = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        found++;
        assert_int_equal(strtoul(line, NULL, 10), found);
    }
    assert_true(found >= synced);
    assert_true(found <= synced + 1); /* the one it did not come to tell */
    (void) fclose(f);
    free(path);
}

/* Is anything mounted or attached below a folder? */
static bool is_used(const char *folder)
{
    char line[4096];
    bool used = false;
    FILE *f = fopen("/proc/self/mounts", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        used = used || strstr(line, folder) != NULL;
    }
    (void) fclose(f);
    DIR *all = opendir("/sys/block");
    for (struct dirent *e = readdir(all); e != NULL; e = readdir(all)) {
        char path[512];
        (void) snprintf(path, sizeof path, "/sys/block/%s/loop/backing_file", e->d_name);
        f = strncmp(e->d_name, "loop", 4) == 0 ? fopen(path, "re") : NULL;
        if (f != NULL) {
            used = used || (fgets(line, sizeof line, f) != NULL && strstr(line, folder) != NULL);
            (void) fclose(f);
        }
    }
    (void) closedir(all);
    return used;
}

static void wait_unused(const char *folder)
{
    const struct timespec slice = {.tv_nsec = 1000000};
    for (uint32_t i = 0; is_used(folder); i++) {
        assert_true(i < LIMIT_MS);
        (void) nanosleep(&slice, NULL);
    }
}

static void test_loop_disk_leaves_nothing_behind(void **state)
{
    struct bed *b = bed_of(state);
    assert_true(is_used(b->dir));
    lose_power(b);
    loop_disk_free(b->disk);
    b->disk = NULL;
    wait_unused(b->dir);
}

/* Nor when its process is killed. */
static void test_loop_disk_is_unmounted_when_its_process_dies(void **state)
{
    struct bed *b = *state;
    if (loop_disk_available(&b->error) != OK) {
        skip();
    }
    int ends[2];
    char byte = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t owner = fork();
    if (owner == 0) {
        int rc = loop_disk_new(b->dir, DISK_BYTES, &b->disk, &b->error);
        byte = rc == OK;
        if (write(ends[1], &byte, 1) == 1) {
            (void) pause();
        }
        _exit(1);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 1);
    assert_true(is_used(b->dir));
    assert_int_equal(kill(owner, SIGKILL), 0);
    assert_int_equal(waitpid(owner, NULL, 0), owner);
    wait_unused(b->dir);
    (void) close(ends[0]);
    (void) close(ends[1]);
}

static void test_loop_disk_failed_new_says_why(void **state)
{
    struct bed *b = *state;
    if (loop_disk_available(&b->error) != OK) {
        skip();
    }
    struct loop_disk *none = NULL;
    assert_int_equal(loop_disk_new("/nonexistent", DISK_BYTES, &none, &b->error), ERR_IO);
    assert_null(none);
    assert_true(b->error.size > 0);
    buf_clear(&b->error);
    assert_int_equal(loop_disk_new(b->dir, 4096, &none, &b->error), ERR_IO); /* no ext4 so small */
    assert_true(b->error.size > 0);
    assert_false(is_used(b->dir));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_loop_disk_power_loss_takes_what_is_not_synced, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_loop_disk_killed_writer_finds_its_synced_lines, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_loop_disk_leaves_nothing_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loop_disk_is_unmounted_when_its_process_dies, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_loop_disk_failed_new_says_why, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

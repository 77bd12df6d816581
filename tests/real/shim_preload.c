/*
 * shim_preload.c - preloaded into a node: stands before its calls to the disk, and makes them slow,
 * fail or lie as the page of shim.h says. Built as a library of its own, without sanitizers.
 *
 * A file is known by the path that the kernel has for it when it is opened; what is written below
 * SHIM_ENV_ROOT later is looked up by its descriptor, without a lock and without memory. Files that
 * the C library writes for a FILE (fdopen) are left alone: LevelDB writes its text log so. The
 * calls themselves go to the kernel at once, so it does not matter what else stands before the C
 * library (sanitizers do).
 *
 * Without SHIM_ENV_PAGE nothing is done at all; with one that cannot be used, the program ends: a
 * run with faults that are not there would say something false.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/real/shim.h"

enum { FILES_MAX = 1 << 16, PATH_BYTES = 4096 };

/* A wait is cut into these, so that the harness can end it early. */
#define SLICE_US 1000

enum file_kind { FILE_NONE, FILE_LOG, FILE_STATE, FILE_OTHER };

static struct shim_page *page;
static char root[PATH_BYTES];
static size_t root_size;
static _Atomic uint8_t kinds[FILES_MAX]; /* by descriptor */
static _Atomic int short_fd = -1;        /* the next write there fails: the disk is full */

/* ---- Start */

static void give_up(const char *what, const char *name)
{
    fprintf(stderr, "shim_preload: %s %s\n", what, name);
    _exit(127);
}

static void __attribute__((constructor)) start(void)
{
    const char *path = getenv(SHIM_ENV_PAGE);
    const char *folder = getenv(SHIM_ENV_ROOT);
    if (path == NULL) {
        return;
    }
    if (folder == NULL || folder[0] != '/' || strlen(folder) >= sizeof root) {
        give_up("needs an absolute path in", SHIM_ENV_ROOT);
    }
    int fd = (int) syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    void *at =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        give_up("cannot map", path);
    }
    (void) syscall(SYS_close, fd);
    if (((struct shim_page *) at)->version != SHIM_VERSION) {
        give_up("is of another version than", path);
    }
    root_size = strlen(folder);
    memcpy(root, folder, root_size + 1);
    page = at;
}

/* ---- Which file is it */

static enum file_kind kind_of(int fd)
{
    return fd >= 0 && fd < FILES_MAX ? (enum file_kind) atomic_load(&kinds[fd]) : FILE_NONE;
}

static void set_kind(int fd, enum file_kind kind)
{
    if (fd >= 0 && fd < FILES_MAX) {
        atomic_store(&kinds[fd], (uint8_t) kind);
    }
}

/* Is `rest`, what follows the root in a path, the folder `name` or below it? */
static int is_below(const char *rest, const char *name)
{
    size_t size = strlen(name);
    return strncmp(rest, name, size) == 0 && (rest[size] == '/' || rest[size] == '\0');
}

static void number_text(int number, char *to)
{
    char digits[16];
    int count = 0;
    do {
        digits[count++] = (char) ('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (count > 0) {
        *to++ = digits[--count];
    }
    *to = '\0';
}

/* Remembers a descriptor that was just opened; returns it. */
static int opened(int fd)
{
    char link[32] = "/proc/self/fd/";
    char path[PATH_BYTES];
    int kept = errno;
    if (page == NULL || fd < 0) {
        return fd;
    }
    number_text(fd, link + strlen(link));
    ssize_t size = readlink(link, path, sizeof path - 1);
    enum file_kind kind = FILE_NONE;
    path[size < 0 ? 0 : size] = '\0';
    if (strncmp(path, root, root_size) == 0 &&
        (path[root_size] == '/' || path[root_size] == '\0')) {
        const char *rest = path + root_size;
        kind = is_below(rest, "/log")     ? FILE_LOG
               : is_below(rest, "/state") ? FILE_STATE
                                          : FILE_OTHER;
    }
    set_kind(fd, kind);
    errno = kept;
    return fd;
}

/* ---- Waiting */

static uint64_t now_us(void)
{
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static void wait_us(uint64_t us)
{
    struct timespec t = {.tv_sec = 0, .tv_nsec = (long) (us < SLICE_US ? us : SLICE_US) * 1000};
    int kept = errno;
    (void) nanosleep(&t, NULL);
    errno = kept;
}

static void wait_hang(void)
{
    for (uint64_t now = now_us(); now < atomic_load(&page->hang_until_us); now = now_us()) {
        wait_us(atomic_load(&page->hang_until_us) - now);
    }
}

static void wait_delay(void)
{
    if (atomic_load(&page->sync_delay_us) == 0) {
        return;
    }
    uint64_t since = now_us();
    for (uint64_t past = 0; past < atomic_load(&page->sync_delay_us); past = now_us() - since) {
        wait_us(atomic_load(&page->sync_delay_us) - past);
    }
}

/* ---- Syncs */

/* What a sync is to give instead of being done; 1: do it. */
static int before_sync(int fd)
{
    enum file_kind kind = kind_of(fd);
    if (page == NULL || kind == FILE_NONE) {
        return 1;
    }
    atomic_fetch_add(kind == FILE_LOG     ? &page->log_syncs
                     : kind == FILE_STATE ? &page->state_syncs
                                          : &page->other_syncs,
                     1);
    wait_delay();
    wait_hang();
    uint32_t failed = atomic_exchange(&page->fail_sync_errno, 0);
    if (failed != 0) {
        atomic_fetch_add(&page->failed, 1);
        errno = (int) failed;
        return -1;
    }
    if (atomic_load(&page->lie) != 0) {
        atomic_fetch_add(&page->lied, 1);
        return 0;
    }
    return 1;
}

int fsync(int fd)
{
    int answer = before_sync(fd);
    return answer == 1 ? (int) syscall(SYS_fsync, fd) : answer;
}

int fdatasync(int fd)
{
    int answer = before_sync(fd);
    return answer == 1 ? (int) syscall(SYS_fdatasync, fd) : answer;
}

int sync_file_range(int fd, off64_t offset, off64_t size, unsigned int flags)
{
    int answer = before_sync(fd);
    return answer == 1 ? (int) syscall(SYS_sync_file_range, fd, offset, size, flags) : answer;
}

/* ---- Writes */

/* May `size` bytes be written? Less: a part of them. Negative: it fails. */
static ssize_t before_write(int fd, size_t size)
{
    int expected = fd;
    wait_hang();
    if (atomic_load(&short_fd) == fd && atomic_compare_exchange_strong(&short_fd, &expected, -1)) {
        atomic_fetch_add(&page->failed, 1);
        errno = ENOSPC;
        return -1;
    }
    if (atomic_load(&page->fail_write_errno) == 0) {
        return (ssize_t) size;
    }
    uint32_t failed = atomic_exchange(&page->fail_write_errno, 0);
    if (failed == ENOSPC && size > 1) {
        atomic_store(&short_fd, fd);
        return (ssize_t) (size / 2);
    }
    if (failed != 0) {
        atomic_fetch_add(&page->failed, 1);
        errno = (int) failed;
        return -1;
    }
    return (ssize_t) size;
}

static int is_watched(int fd)
{
    return page != NULL && kind_of(fd) != FILE_NONE;
}

static ssize_t written(ssize_t n)
{
    atomic_fetch_add(&page->writes, 1);
    atomic_fetch_add(&page->bytes, n > 0 ? (uint64_t) n : 0);
    return n;
}

ssize_t write(int fd, const void *data, size_t size)
{
    if (!is_watched(fd)) {
        return syscall(SYS_write, fd, data, size);
    }
    ssize_t n = before_write(fd, size);
    return n < 0 ? n : written(syscall(SYS_write, fd, data, (size_t) n));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    if (!is_watched(fd)) {
        return syscall(SYS_pwrite64, fd, data, size, offset);
    }
    ssize_t n = before_write(fd, size);
    return n < 0 ? n : written(syscall(SYS_pwrite64, fd, data, (size_t) n, offset));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return pwrite64(fd, data, size, offset);
}

/* A vector to a file, at `offset` or (-1) where the file is. What is cut short is its first part
 * that is not empty, which is half of it or less: a write may always be shorter than asked. */
static ssize_t write_vector(int fd, const struct iovec *parts, int count, off64_t offset)
{
    size_t size = 0;
    ssize_t n = 0;
    int first = -1;
    for (int i = 0; i < count; i++) {
        first = first < 0 && parts[i].iov_len > 0 ? i : first;
        size += parts[i].iov_len;
    }
    if (is_watched(fd)) {
        n = before_write(fd, size);
        if (n < 0) {
            return n;
        }
    }
    if (is_watched(fd) && (size_t) n < size) {
        size_t part = parts[first].iov_len < (size_t) n ? parts[first].iov_len : (size_t) n;
        n = offset < 0 ? syscall(SYS_write, fd, parts[first].iov_base, part)
                       : syscall(SYS_pwrite64, fd, parts[first].iov_base, part, offset);
    } else {
        n = offset < 0 ? syscall(SYS_writev, fd, parts, count)
                       : syscall(SYS_pwritev, fd, parts, count, offset, 0);
    }
    return is_watched(fd) ? written(n) : n;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return write_vector(fd, parts, count, -1);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    return write_vector(fd, parts, count, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return write_vector(fd, parts, count, offset);
}

/* ---- Descriptors */

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    return opened((int) syscall(SYS_openat, dir, path, flags, mode));
}

/* The mode is only there when a file can be made. */
#define MODE_OF(flags, last, mode)                                                                 \
    do {                                                                                           \
        if (((flags) &O_CREAT) != 0 || ((flags) &O_TMPFILE) == O_TMPFILE) {                        \
            va_list args;                                                                          \
            va_start(args, last);                                                                  \
            (mode) = va_arg(args, mode_t);                                                         \
            va_end(args);                                                                          \
        }                                                                                          \
    } while (0)

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, flags, mode);
    return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, flags, mode);
    return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, flags, mode);
    return open_at(dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, flags, mode);
    return open_at(dir, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return creat(path, mode);
}

/* What a program that was compiled with checks calls instead of open. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);

int __open_2(const char *path, int flags)
{
    return open_at(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return open_at(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dir, const char *path, int flags)
{
    return open_at(dir, path, flags, 0);
}

int __openat64_2(int dir, const char *path, int flags)
{
    return open_at(dir, path, flags, 0);
}

/* Forgotten before: the number may belong to another file at once. */
int close(int fd)
{
    set_kind(fd, FILE_NONE);
    return (int) syscall(SYS_close, fd);
}

/* The C library closes these by itself, so they are forgotten now. */
FILE *fdopen(int fd, const char *mode)
{
    FILE *(*real)(int, const char *) = NULL;
    *(void **) &real = dlsym(RTLD_NEXT, "fdopen");
    set_kind(fd, FILE_NONE);
    return real(fd, mode);
}

struct __dirstream;
struct __dirstream *fdopendir(int fd);

struct __dirstream *fdopendir(int fd)
{
    struct __dirstream *(*real)(int) = NULL;
    *(void **) &real = dlsym(RTLD_NEXT, "fdopendir");
    set_kind(fd, FILE_NONE);
    return real(fd);
}

int dup(int fd)
{
    int copy = (int) syscall(SYS_dup, fd);
    set_kind(copy, kind_of(fd));
    return copy;
}

int dup3(int fd, int copy, int flags)
{
    int answer = (int) syscall(SYS_dup3, fd, copy, flags);
    set_kind(answer, kind_of(fd));
    return answer;
}

int dup2(int fd, int copy)
{
    if (fd != copy) {
        return dup3(fd, copy, 0);
    }
    return fcntl(fd, F_GETFD) < 0 ? -1 : copy;
}

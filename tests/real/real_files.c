/*
 * real_files.c - what a run does to directories: removes them, copies them, damages files in them.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/real/real_internal.h"

enum { BLOCK = 64 * 1024, FILES_MAX = 4096 };

static int failed(struct buf *error, const char *what, const char *path)
{
    ERR_IGNORE(buf_printf(error, "cannot %s %s: %s", what, path, strerror(errno))); /* a text */
    return ERR_IO;
}

/* What is below `path`, itself too. NULL: it cannot be looked at, or is not there. */
static FTS *walk(const char *path)
{
    char *const paths[] = {(char *) (uintptr_t) path, NULL};
    return fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
}

int real_files_remove(const char *path, struct buf *error)
{
    FTS *f = walk(path);
    FTSENT *e;
    int err = f == NULL ? failed(error, "remove", path) : OK;
    while (f != NULL && err == OK && (e = fts_read(f)) != NULL) {
        bool after = e->fts_info != FTS_D && e->fts_info != FTS_NS; /* a folder's second visit */
        if (after && remove(e->fts_accpath) != 0 && errno != ENOENT) {
            err = failed(error, "remove", e->fts_path);
        }
    }
    if (f != NULL) {
        ERR_IGNORE(fts_close(f)); /* was only read */
    }
    return err;
}

static int copy_bytes(int from, int to)
{
    char *block = xmalloc(BLOCK);
    ssize_t n = 0;
    while ((n = read(from, block, BLOCK)) > 0 && write(to, block, (size_t) n) == n) {
    }
    free(block);
    return n == 0 ? OK : ERR_IO;
}

static int copy_file(const char *from, const char *to, struct buf *error)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int err = in < 0 || out < 0 ? ERR_IO : copy_bytes(in, out);
    if (err != OK) {
        err = failed(error, "copy", from);
    }
    if (in >= 0) {
        ERR_IGNORE(close(in)); /* was only read */
    }
    if (out >= 0 && close(out) != 0 && err == OK) {
        err = failed(error, "write", to);
    }
    return err;
}

struct listing {
    char **paths;
    uint32_t count;
};

/* Files that are not empty; with `all`, every file and folder, a folder before what is in it. */
static void list_files(const char *folder, bool all, struct listing *l)
{
    FTS *f = walk(folder);
    FTSENT *e;
    *l = (struct listing){.paths = xcalloc(FILES_MAX, sizeof *l->paths)};
    while (f != NULL && l->count < FILES_MAX && (e = fts_read(f)) != NULL) {
        bool wanted =
            e->fts_info == FTS_F ? all || e->fts_statp->st_size > 0 : all && e->fts_info == FTS_D;
        if (wanted) {
            l->paths[l->count++] = xstrdup(e->fts_path);
        }
    }
    if (f != NULL) {
        ERR_IGNORE(fts_close(f)); /* was only read */
    }
}

static void list_free(struct listing *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        free(l->paths[i]);
    }
    free(l->paths);
}

int real_files_copy(const char *from, const char *to, struct buf *error)
{
    struct listing l;
    struct stat status;
    char path[PROCESS_PATH_MAX];
    int err = OK;
    list_files(from, true, &l);
    for (uint32_t i = 0; i < l.count && err == OK; i++) {
        (void) snprintf(path, sizeof path, "%s%s", to, l.paths[i] + strlen(from));
        if (stat(l.paths[i], &status) != 0) {
            err = failed(error, "read", l.paths[i]);
        } else if (!S_ISDIR(status.st_mode)) {
            err = copy_file(l.paths[i], path, error);
        } else if (mkdir(path, 0755) != 0 && errno != EEXIST) {
            err = failed(error, "make", path);
        }
    }
    if (l.count == FILES_MAX) {
        ERR_IGNORE(buf_printf(error, "%s: too many files", from)); /* a text */
        err = ERR_IO;
    }
    list_free(&l);
    return err;
}

/* LOCK and the texts of LevelDB are no data. */
static bool is_data(const char *path)
{
    const char *name = strrchr(path, '/');
    name = name == NULL ? path : name + 1;
    return strcmp(name, "LOCK") != 0 && strcmp(name, "LOG") != 0 && strcmp(name, "LOG.old") != 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static bool choose(const char *folder, struct rng *rng, char path[PROCESS_PATH_MAX])
{
    struct listing l;
    uint32_t kept = 0;
    list_files(folder, false, &l);
    for (uint32_t i = 0; i < l.count; i++) {
        char *file = l.paths[i];
        if (is_data(file)) {
            l.paths[i] = l.paths[kept];
            l.paths[kept++] = file;
        }
    }
    qsort(l.paths, kept, sizeof *l.paths, by_name); /* the order in a directory is the system's */
    if (kept > 0) {
        (void) snprintf(path, PROCESS_PATH_MAX, "%s", l.paths[rng_below(rng, kept)]);
    }
    list_free(&l);
    return kept > 0;
}

bool real_files_lose(const char *folder, struct rng *rng)
{
    char path[PROCESS_PATH_MAX];
    return choose(folder, rng, path) && unlink(path) == 0;
}

bool real_files_flip(const char *folder, struct rng *rng)
{
    char path[PROCESS_PATH_MAX];
    struct stat status;
    uint8_t byte = 0;
    if (!choose(folder, rng, path)) {
        return false;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool done = fstat(fd, &status) == 0 && status.st_size > 0;
    if (done) {
        int64_t at = (int64_t) rng_below(rng, (uint64_t) status.st_size);
        done = pread(fd, &byte, 1, at) == 1;
        byte ^= (uint8_t) (1U << rng_below(rng, 8));
        done = done && pwrite(fd, &byte, 1, at) == 1;
    }
    return close(fd) == 0 && done;
}

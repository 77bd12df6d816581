/*
 * store_dir.c - the directory of one store: found, locked, and created as one atom.
 */

#include "kv/store_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/store_impl.h"

struct store_dir {
    char *path;      /* the final name, without a slash at the end */
    char *temporary; /* the name while it is being created; NULL after the commit and when opened */
    int fd;          /* the directory; carries the lock */
};

static const char hint_tmp[] = "; its creation was interrupted (there is a .tmp beside it)";

static int err_of_errno(int number)
{
    return number == ENOSPC || number == EDQUOT ? ERR_NO_SPACE : ERR_IO;
}

/* One line for a failed system call, and its code. */
static int dir_fail(struct buf *error, const char *doing, const char *path, int number)
{
    int rc = err_of_errno(number);
    store_error_line(error, "cannot %s %s: %s; %s", doing, path, strerror(number),
                     rc == ERR_NO_SPACE ? "free space on that file system"
                     : number == ENOENT ? "create the directory that should hold it"
                     : number == EACCES ? "check its owner and permissions"
                                        : "check the disk and the kernel log");
    return rc;
}

static struct store_dir *dir_new(const char *path)
{
    struct store_dir *d = xcalloc(1, sizeof *d);
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    d->path = xmalloc(size + 1);
    memcpy(d->path, path, size);
    d->path[size] = '\0';
    d->fd = -1;
    return d;
}

static char *path_join(const char *a, const char *b)
{
    size_t size = strlen(a) + strlen(b) + 1;
    char *joined = xmalloc(size);
    int length = snprintf(joined, size, "%s%s", a, b);
    ASSERT(length >= 0 && (size_t) length == size - 1);
    return joined;
}

/* Opens the directory `path` and takes its lock. */
static int dir_lock(struct store_dir *d, const char *path, struct buf *error)
{
    d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0) {
        return dir_fail(error, "open directory", path, errno);
    }
    if (flock(d->fd, LOCK_EX | LOCK_NB) == 0) {
        return OK;
    }
    if (errno == EWOULDBLOCK) {
        store_error_line(error,
                         "cannot open %s: it is used by a running process; stop that process "
                         "(fuser %s shows it) or choose another data directory",
                         path, path);
        return ERR_LOCKED;
    }
    /* A file system without flock on directories: LevelDB's own lock has to do. */
    return OK;
}

/* What a LevelDB that failed to open leaves behind even in a directory that is not its own. */
static bool name_is_litter(const char *name)
{
    static const char *const litter[] = {".", "..", "LOCK", "LOG", "LOG.old"};
    for (size_t i = 0; i < ARRAY_SIZE(litter); i++) {
        if (strcmp(name, litter[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Calls fn for each name in the directory but . and .., until it returns an errno. Returns that, or
 * the errno of the listing itself, or 0. */
static int dir_visit(int dir_fd, int (*fn)(int fd, const char *name, void *ctx), void *ctx)
{
    int number = 0;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        number = errno;
        close(fd);
        return number;
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            number = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        number = fn(fd, entry->d_name, ctx);
        if (number != 0) {
            break;
        }
    }
    closedir(dir);
    return number;
}

static int visit_find_content(int fd, const char *name, void *ctx)
{
    (void) fd;
    bool *found = ctx;
    *found = *found || !name_is_litter(name);
    return 0;
}

static int visit_unlink(int fd, const char *name, void *ctx)
{
    (void) ctx;
    return unlinkat(fd, name, 0) == 0 ? 0 : errno; /* A directory is not ours: EISDIR, stop. */
}

static int visit_sync(int fd, const char *name, void *ctx)
{
    (void) ctx;
    int number = 0;
    int file = openat(fd, name, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return errno;
    }
    if (fsync(file) != 0) {
        number = errno;
    }
    close(file);
    return number;
}

static int visit_size(int fd, const char *name, void *ctx)
{
    uint64_t *size = ctx;
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
        *size += (uint64_t) st.st_size;
    }
    return 0; /* A file that went away meanwhile has no size. */
}

int store_dir_open(const char *path, const char *marker, struct store_dir **ret_dir,
                   struct buf *error)
{
    struct store_dir *d = dir_new(path);
    char *temporary = path_join(d->path, ".tmp");
    struct stat st;
    bool content = false;
    int rc = OK;
    if (stat(d->path, &st) != 0 && errno == ENOENT) {
        store_error_line(error, "cannot open %s: there is no such directory%s; create the node",
                         d->path, stat(temporary, &st) == 0 ? hint_tmp : "");
        rc = ERR_NOT_FOUND;
        goto out;
    }
    rc = dir_lock(d, d->path, error);
    if (rc != OK) {
        goto out;
    }
    int number = dir_visit(d->fd, visit_find_content, &content);
    if (number != 0) {
        rc = dir_fail(error, "list", d->path, number);
    } else if (!content) {
        store_error_line(error, "cannot open %s: the directory is empty; create the node", d->path);
        rc = ERR_NOT_FOUND;
    } else if (fstatat(d->fd, marker, &st, 0) != 0) {
        store_error_line(error,
                         "cannot open %s: its file %s is missing, so the store is damaged or is "
                         "not one; restore it from a copy, or remove this member and add it anew",
                         d->path, marker);
        rc = ERR_CORRUPT;
    }
out:
    free(temporary);
    if (rc != OK) {
        store_dir_close(d);
        return rc;
    }
    *ret_dir = d;
    return OK;
}

/* Whether the final name is free: nothing there, or an empty directory. */
static int dir_check_free(const struct store_dir *d, struct buf *error)
{
    struct stat st;
    if (lstat(d->path, &st) != 0) {
        return errno == ENOENT ? OK : dir_fail(error, "look at", d->path, errno);
    }
    bool content = !S_ISDIR(st.st_mode);
    int fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        ERR_IGNORE(dir_visit(fd, visit_find_content, &content)); /* rename will tell. */
        close(fd);
    }
    if (content) {
        store_error_line(error,
                         "cannot create %s: something is there already; start the node without "
                         "creating it, or choose another data directory",
                         d->path);
        return ERR_EXISTS;
    }
    return OK;
}

/* The directory that was locked still has the temporary name, so that emptying it harms nobody: its
 * maker renames it only while holding the lock. */
static bool dir_still_temporary(const struct store_dir *d)
{
    struct stat named;
    struct stat locked;
    return stat(d->temporary, &named) == 0 && fstat(d->fd, &locked) == 0 &&
           named.st_ino == locked.st_ino && named.st_dev == locked.st_dev;
}

int store_dir_create(const char *path, struct store_dir **ret_dir, struct buf *error)
{
    struct store_dir *d = dir_new(path);
    d->temporary = path_join(d->path, ".tmp");
    int rc = dir_check_free(d, error);
    if (rc != OK) {
        goto out;
    }
    if (mkdir(d->temporary, 0700) != 0 && errno != EEXIST) {
        rc = dir_fail(error, "create directory", d->temporary, errno);
        goto out;
    }
    rc = dir_lock(d, d->temporary, error);
    if (rc != OK) {
        goto out;
    }
    if (!dir_still_temporary(d)) {
        store_error_line(error, "cannot create %s: another process has just created it", d->path);
        rc = ERR_LOCKED;
        goto out;
    }
    int number = dir_visit(d->fd, visit_unlink, NULL);
    if (number != 0) {
        rc = dir_fail(error, "empty", d->temporary, number);
    }
out:
    if (rc != OK) {
        store_dir_close(d);
        return rc;
    }
    *ret_dir = d;
    return OK;
}

/* Makes the names in the directory that holds `path` durable. */
static int sync_parent(const char *path)
{
    int number = 0;
    char *parent = xstrdup(path);
    char *slash = strrchr(parent, '/');
    if (slash == NULL) {
        free(parent);
        parent = xstrdup(".");
    } else {
        slash[slash == parent ? 1 : 0] = '\0';
    }
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        number = errno;
    }
    if (fd >= 0) {
        close(fd);
    }
    free(parent);
    return number;
}

int store_dir_commit(struct store_dir *d, struct buf *error)
{
    ASSERT(d->temporary != NULL);
    int number = dir_visit(d->fd, visit_sync, NULL);
    if (number == 0 && fsync(d->fd) != 0) {
        number = errno;
    }
    if (number != 0) {
        return dir_fail(error, "sync", d->temporary, number);
    }
    if (rename(d->temporary, d->path) != 0) {
        if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR) {
            store_error_line(error, "cannot create %s: something is there already", d->path);
            return ERR_EXISTS;
        }
        return dir_fail(error, "rename to", d->path, errno);
    }
    free(d->temporary);
    d->temporary = NULL;
    number = sync_parent(d->path);
    return number == 0 ? OK : dir_fail(error, "sync the parent of", d->path, number);
}

int store_dir_sync(struct store_dir *d, struct buf *error)
{
    return fsync(d->fd) == 0 ? OK : dir_fail(error, "sync", store_dir_path(d), errno);
}

const char *store_dir_path(const struct store_dir *d)
{
    return d->temporary != NULL ? d->temporary : d->path;
}

uint64_t store_dir_size(const struct store_dir *d)
{
    uint64_t size = 0;
    ERR_IGNORE(dir_visit(d->fd, visit_size, &size)); /* Documented: what can be read counts. */
    return size;
}

void store_dir_close(struct store_dir *d)
{
    if (d == NULL) {
        return;
    }
    if (d->fd >= 0) {
        close(d->fd);
    }
    free(d->temporary);
    free(d->path);
    free(d);
}

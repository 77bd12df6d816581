/*
 * file_journal.c - a recorder of everything that a program does to the files below one directory.
 *
 * System calls are made directly: the names of the C library's functions are those that the test
 * program replaced. A call and its note are one step under the lock, so that the order of notes is
 * the order in which things happened.
 */

#include "tests/sim/file_journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/support/lock.h"

enum {
    FDS_MAX = 4096,
    NODES_LIMIT = 100000,
    EVENTS_LIMIT = 1000000,
    PATH_SIZE = 1024,
    SCAN_DIRS_MAX = 64,
    ROOT = 0,
    NOWHERE = UINT32_MAX,
};

/* A name as it is now. */
struct live_name {
    uint32_t dir;
    uint32_t node;
    char *name; /* NULL: a free place */
};

/* A file or directory, whether or not it has a name. */
struct live_node {
    bool is_dir;
    uint64_t inode;
    uint64_t size;
};

/* What an open descriptor refers to. */
struct live_fd {
    bool used;
    uint32_t node;
    uint64_t offset;
};

struct file_journal {
    struct lock *lock;
    char *root;
    struct file_event *events;
    uint32_t events_count;
    uint32_t events_capacity;
    struct live_node *nodes;
    uint32_t nodes_count;
    uint32_t nodes_capacity;
    struct live_name *names;
    uint32_t names_count;
    uint32_t names_capacity;
    struct live_fd fds[FDS_MAX];
    bool armed;
    bool struck;
    uint32_t struck_at;
    struct file_fault fault;
};

/* The journal that records. The functions of the C library have no context to find it by. */
static struct file_journal *recorder;

static struct file_journal *take_recorder(void)
{
    struct file_journal *j = __atomic_load_n(&recorder, __ATOMIC_ACQUIRE);
    if (j != NULL) {
        lock_take(j->lock);
    }
    return j;
}

static void give_recorder(struct file_journal *j)
{
    int number = errno;
    lock_give(j->lock);
    errno = number;
}

/* ---- events ---- */

int file_journal_thread(void)
{
    return (int) syscall(SYS_gettid);
}

static struct file_event *event_add(struct file_journal *j, enum file_event_kind kind,
                                    uint32_t node)
{
    if (j->events_count == j->events_capacity) {
        ASSERT(j->events_capacity < EVENTS_LIMIT);
        j->events_capacity = j->events_capacity == 0 ? 64 : j->events_capacity * 2;
        j->events = xrealloc(j->events, j->events_capacity * sizeof j->events[0]);
    }
    struct file_event *e = &j->events[j->events_count];
    *e = (struct file_event){.kind = (uint8_t) kind, .node = node, .thread = file_journal_thread()};
    j->events_count++;
    return e;
}

static void event_write(struct file_journal *j, uint32_t node, uint64_t offset, const void *data,
                        size_t size)
{
    struct file_event *e = event_add(j, FILE_WRITE, node);
    e->offset = offset;
    e->size = size;
    e->data = xmemdup(data, size);
    j->nodes[node].size = u64_max(j->nodes[node].size, offset + size);
}

static uint32_t node_add(struct file_journal *j, bool is_dir)
{
    if (j->nodes_count == j->nodes_capacity) {
        ASSERT(j->nodes_capacity < NODES_LIMIT);
        j->nodes_capacity = j->nodes_capacity == 0 ? 16 : j->nodes_capacity * 2;
        j->nodes = xrealloc(j->nodes, j->nodes_capacity * sizeof j->nodes[0]);
    }
    j->nodes[j->nodes_count] = (struct live_node){.is_dir = is_dir};
    j->nodes_count++;
    return j->nodes_count - 1;
}

/* ---- names ---- */

static struct live_name *name_find(struct file_journal *j, uint32_t dir, const char *name)
{
    for (uint32_t i = 0; i < j->names_count; i++) {
        struct live_name *n = &j->names[i];
        if (n->name != NULL && n->dir == dir && strcmp(n->name, name) == 0) {
            return n;
        }
    }
    return NULL;
}

static void name_remove(struct live_name *n)
{
    free(n->name);
    n->name = NULL;
}

static void name_put(struct file_journal *j, uint32_t dir, const char *name, uint32_t node)
{
    struct live_name *n = name_find(j, dir, name);
    for (uint32_t i = 0; n == NULL && i < j->names_count; i++) {
        n = j->names[i].name == NULL ? &j->names[i] : NULL;
    }
    if (n == NULL) {
        if (j->names_count == j->names_capacity) {
            j->names_capacity = j->names_capacity == 0 ? 16 : j->names_capacity * 2;
            j->names = xrealloc(j->names, j->names_capacity * sizeof j->names[0]);
        }
        n = &j->names[j->names_count];
        j->names_count++;
        n->name = NULL;
    }
    free(n->name);
    *n = (struct live_name){.dir = dir, .node = node, .name = xstrdup(name)};
}

/* Notes a new node with a name. */
static uint32_t link_new(struct file_journal *j, uint32_t dir, const char *name, bool is_dir)
{
    uint32_t node = node_add(j, is_dir);
    struct file_event *e = event_add(j, FILE_LINK, node);
    e->is_dir = is_dir;
    e->dir = dir;
    e->name = xstrdup(name);
    name_put(j, dir, name, node);
    return node;
}

/* The directory and last name that a path means; dir NOWHERE: not below the root. */
struct place {
    uint32_t dir;
    char name[PATH_SIZE];
};

static void place_of(struct file_journal *j, int directory, const char *path, struct place *ret)
{
    const size_t root_size = strlen(j->root);
    uint32_t dir = NOWHERE;
    if (path[0] != '/' && directory >= 0 && directory < FDS_MAX && j->fds[directory].used) {
        dir = j->fds[directory].node;
    } else if (strncmp(path, j->root, root_size) == 0 && path[root_size] == '/') {
        dir = ROOT;
        path += root_size + 1;
    } else if (strcmp(path, j->root) == 0) {
        dir = ROOT;
        path = ".";
    }
    const char *slash = NULL;
    while (dir != NOWHERE && (slash = strchr(path, '/')) != NULL && slash[1] != '\0') {
        char part[PATH_SIZE];
        ASSERT((size_t) (slash - path) < sizeof part);
        memcpy(part, path, (size_t) (slash - path));
        part[slash - path] = '\0';
        const struct live_name *n = name_find(j, dir, part);
        dir = n == NULL ? NOWHERE : n->node;
        path = slash + 1;
    }
    size_t size = strlen(path);
    size -= size > 1 && path[size - 1] == '/' ? 1 : 0;
    ASSERT(size < sizeof ret->name);
    memcpy(ret->name, path, size);
    ret->name[size] = '\0';
    ret->dir = dir;
}

static uint32_t node_at(struct file_journal *j, const struct place *p)
{
    if (p->dir == NOWHERE || strcmp(p->name, ".") == 0) {
        return p->dir;
    }
    const struct live_name *n = name_find(j, p->dir, p->name);
    return n == NULL ? NOWHERE : n->node;
}

/* ---- descriptors ---- */

static uint64_t inode_of(int fd)
{
    struct stat st;
    int rc = fstat(fd, &st);
    ASSERT(rc == 0);
    return (uint64_t) st.st_ino;
}

static void fd_put(struct file_journal *j, int fd, uint32_t node, bool append)
{
    ASSERT(fd < FDS_MAX);
    uint64_t inode = inode_of(fd);
    ASSERT(j->nodes[node].inode == 0 || j->nodes[node].inode == inode);
    j->nodes[node].inode = inode;
    j->fds[fd] = (struct live_fd){
        .used = true,
        .node = node,
        .offset = append ? j->nodes[node].size : 0,
    };
}

/* The recorded descriptor; NULL when it is none. A descriptor that stdio closed may have come back
 * as another file, which the inode tells. */
static struct live_fd *fd_find(struct file_journal *j, int fd)
{
    if (fd < 0 || fd >= FDS_MAX || !j->fds[fd].used) {
        return NULL;
    }
    if (inode_of(fd) != j->nodes[j->fds[fd].node].inode) {
        j->fds[fd].used = false;
        return NULL;
    }
    return &j->fds[fd];
}

/* ---- faults ---- */

/* Counts a call, and says whether it is the one that fails. */
static bool strikes(struct file_journal *j, enum file_call call)
{
    if (!j->armed || (j->fault.calls & (uint32_t) call) == 0) {
        return false;
    }
    if (j->fault.before > 0) {
        j->fault.before--;
        return false;
    }
    j->armed = false;
    j->struck = true;
    j->struck_at = j->events_count;
    return true;
}

/* ---- the calls ---- */

/* Notes an open that succeeded. */
static void note_open(struct file_journal *j, const struct place *p, int fd, int flags)
{
    uint32_t node = node_at(j, p);
    bool is_new = node == NOWHERE;
    if (!is_new && (flags & O_TRUNC) != 0 && j->nodes[node].size > 0) {
        is_new = true; /* Its data goes with the name: a crash leaves the old file or the new. */
    }
    if (is_new) {
        ASSERT((flags & O_CREAT) != 0);
        node = link_new(j, p->dir, p->name, false);
    }
    fd_put(j, fd, node, (flags & O_APPEND) != 0);
}

int file_journal_open_call(int directory, const char *path, int flags, uint32_t mode)
{
    struct file_journal *j = take_recorder();
    if (j == NULL) {
        return (int) syscall(SYS_openat, directory, path, flags, mode);
    }
    struct place p;
    int fd = -1;
    place_of(j, directory, path, &p);
    if (p.dir != NOWHERE && (flags & O_CREAT) != 0 && strikes(j, FILE_CALL_CREATE)) {
        errno = j->fault.number;
    } else {
        fd = (int) syscall(SYS_openat, directory, path, flags, mode);
        if (fd >= 0 && p.dir != NOWHERE) {
            note_open(j, &p, fd, flags);
        } else if (fd >= 0 && fd < FDS_MAX) {
            j->fds[fd].used = false;
        }
    }
    give_recorder(j);
    return fd;
}

int64_t file_journal_write_call(int fd, const void *data, size_t size)
{
    struct file_journal *j = take_recorder();
    if (j == NULL) {
        return syscall(SYS_write, fd, data, size);
    }
    struct live_fd *f = fd_find(j, fd);
    if (f == NULL) {
        give_recorder(j);
        return syscall(SYS_write, fd, data, size);
    }
    bool fails = strikes(j, FILE_CALL_WRITE);
    int64_t done = syscall(SYS_write, fd, data, fails ? size / 3 : size);
    if (done > 0) {
        event_write(j, f->node, f->offset, data, (size_t) done);
        f->offset += (uint64_t) done;
    }
    if (fails) {
        errno = j->fault.number;
        done = -1;
    }
    give_recorder(j);
    return done;
}

int file_journal_sync_call(int fd, bool data_only)
{
    struct file_journal *j = take_recorder();
    long call = data_only ? SYS_fdatasync : SYS_fsync;
    if (j == NULL) {
        return (int) syscall(call, fd);
    }
    int rc = -1;
    const struct live_fd *f = fd_find(j, fd);
    if (f != NULL && strikes(j, FILE_CALL_SYNC)) {
        (void) event_add(j, FILE_SYNC_FAILED, f->node);
        errno = j->fault.number;
    } else {
        rc = (int) syscall(call, fd);
        if (rc == 0 && f != NULL) {
            (void) event_add(j, FILE_SYNC, f->node);
        }
    }
    give_recorder(j);
    return rc;
}

static void note_rename(struct file_journal *j, const struct place *from, const struct place *to)
{
    struct live_name *n = name_find(j, from->dir, from->name);
    ASSERT(n != NULL);
    uint32_t node = n->node;
    struct file_event *e = event_add(j, FILE_RENAME, node);
    e->dir = from->dir;
    e->name = xstrdup(from->name);
    e->to_dir = to->dir;
    e->to_name = xstrdup(to->name);
    name_remove(n);
    name_put(j, to->dir, to->name, node);
}

int file_journal_rename_call(const char *from, const char *to)
{
    struct file_journal *j = take_recorder();
    if (j == NULL) {
        return (int) syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    }
    struct place a;
    struct place b;
    int rc = -1;
    place_of(j, AT_FDCWD, from, &a);
    place_of(j, AT_FDCWD, to, &b);
    ASSERT((a.dir == NOWHERE) == (b.dir == NOWHERE));
    if (a.dir != NOWHERE && strikes(j, FILE_CALL_RENAME)) {
        errno = j->fault.number;
    } else {
        rc = (int) syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
        if (rc == 0 && a.dir != NOWHERE) {
            note_rename(j, &a, &b);
        }
    }
    give_recorder(j);
    return rc;
}

int file_journal_unlink_call(int directory, const char *path, int flags)
{
    struct file_journal *j = take_recorder();
    if (j == NULL) {
        return (int) syscall(SYS_unlinkat, directory, path, flags);
    }
    struct place p;
    place_of(j, directory, path, &p);
    int rc = (int) syscall(SYS_unlinkat, directory, path, flags);
    if (rc == 0 && p.dir != NOWHERE) {
        struct live_name *n = name_find(j, p.dir, p.name);
        ASSERT(n != NULL);
        struct file_event *e = event_add(j, FILE_UNLINK, n->node);
        e->dir = p.dir;
        e->name = xstrdup(p.name);
        name_remove(n);
    }
    give_recorder(j);
    return rc;
}

int file_journal_mkdir_call(const char *path, uint32_t mode)
{
    struct file_journal *j = take_recorder();
    if (j == NULL) {
        return (int) syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    }
    struct place p;
    int rc = -1;
    place_of(j, AT_FDCWD, path, &p);
    if (p.dir != NOWHERE && strikes(j, FILE_CALL_CREATE)) {
        errno = j->fault.number;
    } else {
        rc = (int) syscall(SYS_mkdirat, AT_FDCWD, path, mode);
        if (rc == 0 && p.dir != NOWHERE) {
            (void) link_new(j, p.dir, p.name, true);
        }
    }
    give_recorder(j);
    return rc;
}

int file_journal_close_call(int fd)
{
    struct file_journal *j = take_recorder();
    if (j == NULL) {
        return (int) syscall(SYS_close, fd);
    }
    if (fd >= 0 && fd < FDS_MAX) {
        j->fds[fd].used = false;
    }
    int rc = (int) syscall(SYS_close, fd);
    give_recorder(j);
    return rc;
}

void file_journal_refuse(int fd)
{
    struct file_journal *j = take_recorder();
    if (j != NULL) {
        ASSERT(fd_find(j, fd) == NULL);
        give_recorder(j);
    }
}

/* ---- beginning and end ---- */

/* Notes the contents of a file that was there before. */
static void scan_file(struct file_journal *j, const char *path, uint32_t node)
{
    int fd = (int) syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    ASSERT(fd >= 0);
    struct stat st;
    int rc = fstat(fd, &st);
    ASSERT(rc == 0);
    const size_t size = (size_t) st.st_size;
    uint8_t *data = xmalloc(size);
    ssize_t n = read(fd, data, size);
    ASSERT(n >= 0 && (size_t) n == size);
    if (size > 0) {
        event_write(j, node, 0, data, size);
    }
    j->nodes[node].inode = inode_of(fd);
    free(data);
    (void) syscall(SYS_close, fd);
}

/* A directory whose names are to be noted. */
struct scan_dir {
    uint32_t node;
    char path[PATH_SIZE];
};

/* Notes the names of one directory, and adds its directories to the list. */
static void scan_names(struct file_journal *j, struct scan_dir *dirs, uint32_t at,
                       uint32_t *dirs_count)
{
    DIR *dir = opendir(dirs[at].path);
    ASSERT(dir != NULL);
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        char path[PATH_SIZE];
        struct stat st;
        int length = snprintf(path, sizeof path, "%s/%s", dirs[at].path, entry->d_name);
        ASSERT(length > 0 && (size_t) length < sizeof path);
        int rc = lstat(path, &st);
        ASSERT(rc == 0);
        uint32_t node = link_new(j, dirs[at].node, entry->d_name, S_ISDIR(st.st_mode));
        if (!S_ISDIR(st.st_mode)) {
            scan_file(j, path, node);
            continue;
        }
        ASSERT(*dirs_count < SCAN_DIRS_MAX);
        dirs[*dirs_count].node = node;
        memcpy(dirs[*dirs_count].path, path, sizeof path);
        (*dirs_count)++;
    }
    closedir(dir);
}

static void scan(struct file_journal *j)
{
    struct scan_dir *dirs = xcalloc(SCAN_DIRS_MAX, sizeof dirs[0]);
    uint32_t count = 1;
    int length = snprintf(dirs[0].path, sizeof dirs[0].path, "%s", j->root);
    ASSERT(length > 0 && (size_t) length < sizeof dirs[0].path);
    dirs[0].node = node_add(j, true);
    ASSERT(dirs[0].node == ROOT);
    for (uint32_t i = 0; i < count; i++) {
        scan_names(j, dirs, i, &count);
    }
    free(dirs);
    (void) event_add(j, FILE_SETTLED, ROOT);
}

struct file_journal *file_journal_start(const char *root)
{
    ASSERT(recorder == NULL);
    struct file_journal *j = xcalloc(1, sizeof *j);
    j->lock = lock_new();
    j->root = xstrdup(root);
    scan(j);
    __atomic_store_n(&recorder, j, __ATOMIC_RELEASE);
    return j;
}

void file_journal_stop(struct file_journal *j)
{
    ASSERT(recorder == j);
    __atomic_store_n(&recorder, NULL, __ATOMIC_RELEASE);
}

void file_journal_free(struct file_journal *j)
{
    if (j == NULL) {
        return;
    }
    ASSERT(recorder != j);
    for (uint32_t i = 0; i < j->events_count; i++) {
        free(j->events[i].name);
        free(j->events[i].to_name);
        free(j->events[i].data);
    }
    for (uint32_t i = 0; i < j->names_count; i++) {
        free(j->names[i].name);
    }
    free(j->names);
    free(j->nodes);
    free(j->events);
    free(j->root);
    lock_free(j->lock);
    free(j);
}

void file_journal_fail(struct file_journal *j, struct file_fault fault)
{
    lock_take(j->lock);
    ASSERT(!j->struck);
    j->armed = true;
    j->fault = fault;
    lock_give(j->lock);
}

bool file_journal_disarm(struct file_journal *j, struct file_fault *ret_fault)
{
    lock_take(j->lock);
    bool armed = j->armed;
    j->armed = false;
    if (armed) {
        *ret_fault = j->fault;
    }
    lock_give(j->lock);
    return armed;
}

bool file_journal_struck(struct file_journal *j, uint32_t *ret_events)
{
    lock_take(j->lock);
    bool struck = j->struck;
    *ret_events = j->struck_at;
    lock_give(j->lock);
    return struck;
}

uint32_t file_journal_count(struct file_journal *j)
{
    lock_take(j->lock);
    uint32_t count = j->events_count;
    lock_give(j->lock);
    return count;
}

const struct file_event *file_journal_event(const struct file_journal *j, uint32_t i)
{
    ASSERT(recorder != j && i < j->events_count);
    return &j->events[i];
}

uint32_t file_journal_nodes(const struct file_journal *j)
{
    return j->nodes_count;
}

bool file_journal_quiet_since(struct file_journal *j, uint32_t n)
{
    const int me = file_journal_thread();
    bool quiet = true;
    lock_take(j->lock);
    for (uint32_t i = n; i < j->events_count; i++) {
        quiet = quiet && j->events[i].thread != me;
    }
    lock_give(j->lock);
    return quiet;
}

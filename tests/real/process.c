/*
 * process.c - the nodes of a real cluster: their directories, their lives, their ends.
 */
#include "tests/real/process.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/real/loop_disk.h"
#include "tests/real/netns.h"
#include "tests/real/process_impl.h"

/* A file system of a node; its file is sparse. */
#define DISK_BYTES ((uint64_t) 1 << 30)
#define CONFIG_BYTES_MAX (1 << 16)

struct processes {
    struct processes_options options;
    uv_signal_t children; /* SIGCHLD */
    char *folder;         /* absolute, without symbolic links */
    struct process *nodes;
    uint32_t count;
    bool closing;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

static struct process *node_of(const struct processes *p, uint32_t node)
{
    ASSERT(node >= 1);
    ASSERT(node <= p->count);
    return &p->nodes[node - 1];
}

/* ---- Made */

static int io_fail(struct buf *error, const char *what, const char *path)
{
    ERR_IGNORE(buf_printf(error, "cannot %s %s: %s", what, path, strerror(errno)));
    return ERR_IO;
}

static int write_file(const char *path, struct bytes text, struct buf *error)
{
    FILE *f = fopen(path, "we");
    if (f == NULL) {
        return io_fail(error, "write", path);
    }
    bool written = fwrite(text.data, 1, text.size, f) == text.size;
    if (fclose(f) != 0 || !written) {
        return io_fail(error, "write", path);
    }
    return OK;
}

static int make_config(const struct processes *p, const struct process *n, struct buf *error)
{
    const char *hosts[SIM_NODES_MAX];
    struct buf text;
    for (uint32_t i = 0; i < p->count; i++) {
        hosts[i] = p->nodes[i].host;
    }
    buf_init(&text, CONFIG_BYTES_MAX);
    int rc = process_config(&p->options, hosts, n->number, &text, error);
    if (rc == OK) {
        rc = write_file(n->config, buf_bytes(&text), error);
    }
    buf_release(&text);
    return rc;
}

static int make_data(const struct processes *p, struct process *n, struct buf *error)
{
    if (!p->options.loop_disks) {
        n->data = process_text("%s/n%u", p->folder, n->number);
        return OK;
    }
    char *folder = process_text("%s/n%u.disk", p->folder, n->number);
    int rc = mkdir(folder, 0755) == 0 ? OK : io_fail(error, "make", folder);
    if (rc == OK) {
        rc = loop_disk_new(folder, DISK_BYTES, &n->disk, error);
    }
    if (rc == OK) { /* not the top of it: mkfs puts lost+found there */
        n->data = process_text("%s/data", loop_disk_path(n->disk));
    }
    free(folder);
    return rc;
}

static int make_node(const struct processes *p, struct process *n, struct buf *error)
{
    n->config = process_text("%s/n%u.yaml", p->folder, n->number);
    n->log = process_text("%s/n%u.log", p->folder, n->number);
    n->trace = process_text("%s/n%u.trace", p->folder, n->number);
    n->page_path = process_text("%s/n%u.shim", p->folder, n->number);
    int rc = make_config(p, n, error);
    if (rc == OK) {
        rc = shim_page_new(n->page_path, &n->page, error);
    }
    if (rc == OK) {
        rc = make_data(p, n, error);
    }
    return rc;
}

static void place(const struct processes *p, struct process *n)
{
    if (p->options.real->netns) {
        netns_node(p->options.links, n->number, n->host, n->prefix);
    } else {
        (void) snprintf(n->host, sizeof n->host, "127.0.0.1");
    }
}

static void release(struct processes *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct process *n = &p->nodes[i];
        loop_disk_free(n->disk);
        shim_page_free(n->page);
        free(n->config);
        free(n->log);
        free(n->trace);
        free(n->data);
        free(n->page_path);
    }
    free(p->nodes);
    free(p->folder);
    free(p);
}

static int check_programs(const struct real_options *o, struct buf *error)
{
    if (o->synod == NULL || access(o->synod, X_OK) != 0) {
        ERR_IGNORE(buf_printf(error, "there is no program %s: make all",
                              o->synod == NULL ? "synod" : o->synod));
        return ERR_NOT_FOUND;
    }
    if (o->shim == NULL || access(o->shim, R_OK) != 0) {
        ERR_IGNORE(buf_printf(error, "there is no library %s: make all",
                              o->shim == NULL ? "shim_preload.so" : o->shim));
        return ERR_NOT_FOUND;
    }
    return OK;
}

static void on_child(uv_signal_t *handle, int number);

int processes_new(struct uv_loop_s *loop, const struct processes_options *options,
                  struct processes **ret_processes, struct buf *error)
{
    ASSERT(options->scenario->engine != NULL);
    ASSERT(options->scenario->nodes <= SIM_NODES_MAX);
    int rc = check_programs(options->real, error);
    if (rc != OK) {
        return rc;
    }
    struct processes *p = xcalloc(1, sizeof *p);
    p->options = *options;
    p->folder = realpath(options->folder, NULL);
    if (p->folder == NULL) {
        rc = io_fail(error, "use", options->folder);
        free(p);
        return rc;
    }
    p->count = options->scenario->nodes;
    p->nodes = xcalloc(p->count, sizeof *p->nodes);
    for (uint32_t i = 0; i < p->count; i++) {
        p->nodes[i].number = i + 1;
        place(p, &p->nodes[i]);
    }
    for (uint32_t i = 0; i < p->count && rc == OK; i++) {
        rc = make_node(p, &p->nodes[i], error);
    }
    if (rc == OK && uv_signal_init(loop, &p->children) != 0) {
        ERR_IGNORE(buf_printf(error, "no handle for signals: too many open files?"));
        rc = ERR_IO;
    }
    if (rc != OK) {
        release(p);
        return rc;
    }
    p->children.data = p;
    rc = uv_signal_start(&p->children, on_child, SIGCHLD);
    ASSERT(rc == 0); /* the handle is new, and the signal one that can be caught */
    *ret_processes = p;
    return OK;
}

/* ---- Lives */

int processes_start(struct processes *p, uint32_t node, struct buf *error)
{
    struct process *n = node_of(p, node);
    char number[16];
    const char *argv[16];
    uint32_t count = 0;
    struct stat log;
    ASSERT(!p->closing);
    if (n->pid != 0) {
        ERR_IGNORE(buf_printf(error, "node %u is up", node));
        return ERR_EXISTS;
    }
    for (uint32_t i = 0; n->prefix[i] != NULL; i++) {
        argv[count++] = n->prefix[i];
    }
    (void) snprintf(number, sizeof number, "%u", node);
    const char *const command[] = {
        p->options.real->synod, "serve", "--config", n->config, "--node", number,
        "--data-dir",           n->data, "--trace",  n->trace};
    for (size_t i = 0; i < ARRAY_SIZE(command); i++) {
        argv[count++] = command[i];
    }
    argv[count++] = n->started ? NULL : "--init";
    argv[count] = NULL;
    n->log_offset = stat(n->log, &log) == 0 ? (uint64_t) log.st_size : 0;
    const struct process_command c = {
        .argv = (char *const *) (uintptr_t) argv,
        .log = n->log,
        .shim = p->options.real->shim,
        .page = n->page_path,
        .data = n->data,
    };
    int rc = process_spawn(&c, &n->pid, error);
    n->started = n->started || rc == OK;
    return rc;
}

static uint64_t time_us(struct timeval t)
{
    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_usec;
}

/* Did it end? With `wait`, it is about to. */
static bool reap(struct process *n, bool wait, int *ret_status)
{
    struct rusage usage;
    pid_t pid = 0;
    do {
        pid = wait4(n->pid, ret_status, wait ? 0 : WNOHANG, &usage);
    } while (pid < 0 && errno == EINTR);
    if (pid == 0) {
        return false;
    }
    ASSERT(pid == n->pid); /* nobody else waits for our children */
    n->cpu_us += time_us(usage.ru_utime) + time_us(usage.ru_stime);
    n->pid = 0;
    n->paused = false;
    return true;
}

static void on_child(uv_signal_t *handle, int number)
{
    struct processes *p = handle->data;
    (void) number;
    for (uint32_t i = 0; i < p->count && !p->closing; i++) {
        struct process *n = &p->nodes[i];
        int status = 0;
        if (n->pid == 0 || !reap(n, false, &status)) {
            continue;
        }
        char *said = process_said(n->log, n->log_offset);
        if (p->options.on_exit != NULL) {
            p->options.on_exit(p->options.ctx, n->number, status, said);
        }
        free(said);
    }
}

static void end(struct process *n)
{
    int status = 0;
    if (n->pid != 0) {
        (void) kill(n->pid, SIGKILL); /* it is there until it is reaped */
        (void) reap(n, true, &status);
    }
}

void processes_kill(struct processes *p, uint32_t node)
{
    end(node_of(p, node));
}

int processes_power_loss(struct processes *p, uint32_t node, struct buf *error)
{
    struct process *n = node_of(p, node);
    if (n->disk == NULL) {
        ERR_IGNORE(buf_printf(error, "node %u has no disk that can lose its power", node));
        return ERR_UNSUPPORTED;
    }
    end(n);
    return loop_disk_power_loss(n->disk, error);
}

/* Until all its threads stand still, or it has ended meanwhile, which is not for us. */
static void wait_stopped(const struct process *n)
{
    siginfo_t info;
    int rc = 0;
    do {
        rc = waitid(P_PID, (id_t) n->pid, &info, WSTOPPED | WEXITED | WNOWAIT);
    } while (rc != 0 && errno == EINTR);
    if (rc == 0 && info.si_code == CLD_STOPPED) {
        (void) waitid(P_PID, (id_t) n->pid, &info, WSTOPPED | WNOHANG); /* seen */
    }
}

void processes_pause(struct processes *p, uint32_t node, bool paused)
{
    struct process *n = node_of(p, node);
    if (n->pid == 0 || n->paused == paused) {
        return;
    }
    (void) kill(n->pid, paused ? SIGSTOP : SIGCONT); /* it is there until it is reaped */
    n->paused = paused;
    if (paused) {
        wait_stopped(n);
    }
}

/* ---- Asked */

bool processes_up(const struct processes *p, uint32_t node)
{
    return node_of(p, node)->pid != 0;
}

bool processes_paused(const struct processes *p, uint32_t node)
{
    return node_of(p, node)->paused;
}

struct shim_page *processes_shim(struct processes *p, uint32_t node)
{
    return node_of(p, node)->page;
}

const char *processes_trace(const struct processes *p, uint32_t node)
{
    return node_of(p, node)->trace;
}

const char *processes_data(const struct processes *p, uint32_t node)
{
    return node_of(p, node)->data;
}

pid_t processes_pid(const struct processes *p, uint32_t node)
{
    return node_of(p, node)->pid;
}

uint64_t processes_cpu_us(const struct processes *p, uint32_t node)
{
    const struct process *n = node_of(p, node);
    clockid_t clock_id;
    struct timespec now;
    if (n->pid == 0 || clock_getcpuclockid(n->pid, &clock_id) != 0 ||
        clock_gettime(clock_id, &now) != 0) {
        return n->cpu_us;
    }
    return n->cpu_us + (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

/* ---- The end */

static void on_signal_closed(uv_handle_t *handle)
{
    struct processes *p = handle->data;
    void (*on_closed)(void *ctx) = p->on_closed;
    void *ctx = p->closed_ctx;
    release(p);
    if (on_closed != NULL) {
        on_closed(ctx);
    }
}

void processes_close(struct processes *p, void (*on_closed)(void *ctx), void *ctx)
{
    ASSERT(!p->closing);
    p->closing = true;
    p->on_closed = on_closed;
    p->closed_ctx = ctx;
    for (uint32_t i = 0; i < p->count; i++) {
        end(&p->nodes[i]);
    }
    uv_close((uv_handle_t *) &p->children, on_signal_closed);
}

/*
 * pool.c - see pool.h.
 *
 * The end of a child is seen by the end of a pipe that only it holds open.
 */
#include "tests/compare/pool.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"

enum { WAIT_MS = 200, CHUNK_MAX = 256, CHUNKS_EACH = 32 };

struct worker {
    pid_t pid; /* 0: none */
    int fd;
    uint64_t jobs;
    uint64_t start_us;
};

struct pool {
    const struct pool_options *options;
    struct pool_result *result;
    uint64_t count;
    uint64_t next;
    uint64_t chunk;
    size_t size;
    char *slots;
    void (*job)(void *ctx, uint64_t i, void *slot);
    void *ctx;
    struct worker workers[POOL_WORKERS_MAX];
};

static uint64_t now_us(void)
{
    struct timespec now;
    (void) clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

uint32_t pool_cores(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : (uint32_t) u64_min((uint64_t) cores, POOL_WORKERS_MAX);
}

void *pool_slots(uint64_t count, size_t size)
{
    if (count == 0 || size == 0 || count > SIZE_MAX / 2 / size) {
        return NULL;
    }
    void *slots =
        mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return slots == MAP_FAILED ? NULL : slots;
}

void pool_slots_free(void *slots, uint64_t count, size_t size)
{
    if (slots != NULL) {
        (void) munmap(slots, count * size); /* fails only for what was not mapped */
    }
}

static void be_worker(const struct pool *p, uint64_t from, uint64_t to, pid_t parent)
{
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL); /* cannot fail for this signal */
    if (getppid() != parent) {
        _exit(1);
    }
    for (uint64_t i = from; i < to; i++) {
        p->job(p->ctx, i, p->slots == NULL ? NULL : p->slots + i * p->size);
    }
    (void) fflush(NULL);
    _exit(0);
}

static void start(struct pool *p, struct worker *w)
{
    int ends[2];
    uint64_t from = p->next;
    pid_t self = getpid();
    w->jobs = u64_min(p->chunk, p->count - p->next);
    p->next += w->jobs;
    if (pipe(ends) != 0) {
        p->result->broken++;
        return;
    }
    (void) fflush(NULL); /* or the child would print it again */
    w->pid = fork();
    if (w->pid == 0) {
        (void) close(ends[0]);
        be_worker(p, from, from + w->jobs, self);
    }
    (void) close(ends[1]);
    if (w->pid < 0) {
        (void) close(ends[0]);
        w->pid = 0;
        p->result->broken++;
        return;
    }
    w->fd = ends[0];
    w->start_us = now_us();
}

static void end(struct pool *p, struct worker *w)
{
    int status = 0;
    while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR) {
    }
    (void) close(w->fd);
    w->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        p->result->done += w->jobs;
    } else {
        p->result->broken++;
    }
}

static void wait_for_one(struct pool *p)
{
    struct pollfd fds[POOL_WORKERS_MAX];
    uint32_t limit_s = p->options->limit_s == 0 ? POOL_LIMIT_S : p->options->limit_s;
    for (uint32_t i = 0; i < p->options->workers; i++) {
        /* poll ignores negative ones */
        fds[i] =
            (struct pollfd){.fd = p->workers[i].pid != 0 ? p->workers[i].fd : -1, .events = POLLIN};
    }
    if (poll(fds, p->options->workers, WAIT_MS) < 0) {
        return; /* interrupted: progress is asked next */
    }
    for (uint32_t i = 0; i < p->options->workers; i++) {
        struct worker *w = &p->workers[i];
        if (w->pid == 0) {
            continue;
        }
        if (fds[i].revents != 0) {
            end(p, w);
        } else if (now_us() - w->start_us > (uint64_t) limit_s * 1000000) {
            (void) kill(w->pid, SIGKILL);
            end(p, w);
        }
    }
}

static uint32_t busy(const struct pool *p)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->options->workers; i++) {
        count += p->workers[i].pid != 0;
    }
    return count;
}

static void stop(struct pool *p)
{
    p->result->stopped = true;
    for (uint32_t i = 0; i < p->options->workers; i++) {
        if (p->workers[i].pid != 0) {
            (void) kill(p->workers[i].pid, SIGKILL);
            end(p, &p->workers[i]);
        }
    }
}

void pool_run(const struct pool_options *options, uint64_t count, size_t size, void *slots,
              void (*job)(void *ctx, uint64_t i, void *slot), void *ctx,
              struct pool_result *ret_result)
{
    struct pool *p = xcalloc(1, sizeof *p);
    ASSERT(options->workers > 0 && options->workers <= POOL_WORKERS_MAX);
    *ret_result = (struct pool_result){0};
    *p = (struct pool){.options = options,
                       .result = ret_result,
                       .count = count,
                       .size = size,
                       .slots = slots,
                       .job = job,
                       .ctx = ctx};
    p->chunk = options->chunk != 0
                   ? options->chunk
                   : u64_max(1, u64_min(CHUNK_MAX, count / (options->workers * CHUNKS_EACH)));
    for (;;) {
        for (uint32_t i = 0; i < options->workers && p->next < count; i++) {
            if (p->workers[i].pid == 0) {
                start(p, &p->workers[i]);
            }
        }
        if (busy(p) == 0 && p->next >= count) {
            break;
        }
        wait_for_one(p);
        if (options->progress != NULL &&
            !options->progress(options->ctx, ret_result->done, count)) {
            stop(p);
            break;
        }
    }
    free(p);
}

/*
 * keeper.c - a child at the other end of a pipe that nobody writes to: its end is the parent's end.
 */
#include "tests/real/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"

struct keeper {
    pid_t pid;
    int fd; /* the writing end */
};

/* The child: everything but the pipe is closed, so that it keeps nobody else's pipe, port or file.
 * A session of its own: what is sent to the parent's group is not for it. */
static void keep(int fd, void (*clean)(void *ctx), void *ctx)
{
    char byte = 0;
    ssize_t n = 0;
    (void) setsid();
    (void) signal(SIGTERM, SIG_IGN);
    (void) signal(SIGINT, SIG_IGN);
    (void) signal(SIGHUP, SIG_IGN);
    (void) close_range((unsigned int) fd + 1, UINT32_MAX, 0);
    if (fd > 0) {
        (void) close_range(0, (unsigned int) fd - 1, 0);
    }
    do {
        n = read(fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 0) {
        clean(ctx);
    }
    _exit(0);
}

int keeper_new(void (*clean)(void *ctx), void *ctx, struct keeper **ret_keeper)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return ERR_IO;
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void) close(ends[1]);
        keep(ends[0], clean, ctx);
    }
    (void) close(ends[0]);
    if (pid < 0) {
        (void) close(ends[1]);
        return ERR_IO;
    }
    struct keeper *k = xcalloc(1, sizeof *k);
    *k = (struct keeper){.pid = pid, .fd = ends[1]};
    *ret_keeper = k;
    return OK;
}

static int wait_for(pid_t pid)
{
    int status = 0;
    pid_t got = 0;
    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    return got == pid ? status : -1;
}

void keeper_free(struct keeper *k)
{
    if (k == NULL) {
        return;
    }
    ssize_t n = 0;
    do {
        n = write(k->fd, "", 1);
    } while (n < 0 && errno == EINTR);
    ASSERT(n == 1); /* it reads, and ends */
    (void) close(k->fd);
    (void) wait_for(k->pid);
    free(k);
}

int keeper_run(const char *const *argv)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    int rc = posix_spawn_file_actions_init(&actions);
    ASSERT(rc == 0);
    for (int fd = 0; fd < 3; fd++) {
        rc = posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
        ASSERT(rc == 0);
    }
    rc = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *) (uintptr_t) argv, environ);
    (void) posix_spawn_file_actions_destroy(&actions);
    if (rc != 0) {
        return rc == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    return wait_for(pid) == 0 ? OK : ERR_IO;
}

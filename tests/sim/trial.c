/*
 * trial.c - see trial.h.
 */
#include "tests/sim/trial.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"

enum { ERRORS_MAX = 64 * 1024 };

/* ---- The child ---- */

static void write_result(int fd, const struct sim_result *result)
{
    const char *at = (const char *) result;
    size_t left = sizeof(*result);

    while (left > 0) {
        ssize_t n = write(fd, at, left);

        if (n < 0 && errno != EINTR) {
            _exit(3); /* nobody reads any more */
        }
        if (n > 0) {
            at += n;
            left -= (size_t) n;
        }
    }
}

static _Noreturn void be_child(const struct trial_work *work, int fd, int errors_fd, pid_t parent)
{
    static const int by_default[] = {SIGTERM, SIGPIPE, SIGABRT};
    const struct rlimit no_core = {0, 0};
    struct sim_result result;

    /* A run without somebody who waits for it is of no use, however the parent ended. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        _exit(3);
    }
    (void) signal(SIGINT, SIG_IGN); /* Ctrl-C is for the parent, which ends us */
    for (size_t i = 0; i < sizeof(by_default) / sizeof(by_default[0]); i++) {
        (void) signal(by_default[i], SIG_DFL);
    }
    (void) setrlimit(RLIMIT_CORE, &no_core); /* a core file would only be litter */
    (void) dup2(errors_fd, STDERR_FILENO);   /* on failure it is seen, nothing worse */
    memset(&result, 0, sizeof(result));
    work->execute(work->ctx, &result);
    write_result(fd, &result);
    _exit(0);
}

/* ---- The parent ---- */

int trial_start(struct trial *t, const struct trial_work *work)
{
    pid_t self = getpid();
    int ends[2];

    memset(t, 0, sizeof(*t));
    t->errors_fd = memfd_create("synod-sim-stderr", MFD_CLOEXEC);
    if (t->errors_fd < 0) {
        return ERR_IO;
    }
    if (pipe(ends) != 0) {
        (void) close(t->errors_fd);
        return ERR_IO;
    }
    (void) fflush(NULL); /* or the child would print it again */
    t->pid = fork();
    if (t->pid == 0) {
        (void) close(ends[0]);
        be_child(work, ends[1], t->errors_fd, self);
    }
    (void) close(ends[1]);
    t->fd = ends[0];
    if (t->pid < 0) {
        (void) close(t->fd);
        (void) close(t->errors_fd);
        return ERR_IO;
    }
    return OK;
}

bool trial_read(struct trial *t)
{
    size_t left = sizeof(t->result) - t->got;
    ssize_t n;

    if (left == 0) {
        return true;
    }
    n = read(t->fd, (char *) &t->result + t->got, left);
    if (n < 0) {
        return errno != EINTR && errno != EAGAIN;
    }
    t->got += (size_t) n;
    return n == 0 || t->got == sizeof(t->result);
}

/* Waits and closes; the status as waitpid gives it. errors_fd stays open. */
static int reap(struct trial *t)
{
    struct rusage usage = {0};
    int status = 0;

    (void) close(t->fd);
    while (wait4(t->pid, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    t->pid = 0;
    t->cpu_us = (uint64_t) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                (uint64_t) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    return status;
}

void trial_kill(struct trial *t)
{
    (void) kill(t->pid, SIGKILL);
    (void) reap(t);
    (void) close(t->errors_fd);
}

/* The line of what a dying process said that says most. */
static void telling_line(int fd, char *text, size_t size)
{
    static const char *const telling[] = {"assertion failed", "ERROR:", "runtime error:", "fatal"};
    char said[ERRORS_MAX];
    ssize_t n = pread(fd, said, sizeof(said) - 1, 0);
    const char *line = said;
    size_t length;

    said[n > 0 ? n : 0] = '\0';
    for (size_t i = 0; i < sizeof(telling) / sizeof(telling[0]); i++) {
        const char *found = strstr(said, telling[i]);

        if (found != NULL) {
            while (found > said && found[-1] != '\n') {
                found--;
            }
            line = found;
            break;
        }
    }
    length = strcspn(line, "\n");
    (void) snprintf(text, size, "%.*s", (int) length, line);
}

/* A red result of a process that gave none. */
static void died(struct trial *t, const char *how, struct sim_result *ret)
{
    char said[512];

    telling_line(t->errors_fd, said, sizeof(said));
    memset(ret, 0, sizeof(*ret));
    ret->red = true;
    (void) snprintf(ret->text, sizeof(ret->text), "%s%s%s", how, said[0] == '\0' ? "" : ": ", said);
}

void trial_end(struct trial *t, struct sim_result *ret_result)
{
    int status = reap(t);
    char how[96];

    if (t->got == sizeof(t->result) && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        *ret_result = t->result;
    } else {
        if (WIFSIGNALED(status)) {
            const char *name = sigabbrev_np(WTERMSIG(status));

            (void) snprintf(how, sizeof(how), "the process died by SIG%s",
                            name == NULL ? "?" : name);
        } else {
            (void) snprintf(how, sizeof(how), "the process ended itself with status %d",
                            WEXITSTATUS(status));
        }
        died(t, how, ret_result);
    }
    (void) close(t->errors_fd);
}

void trial_end_late(struct trial *t, uint32_t limit_s, struct sim_result *ret_result)
{
    char how[96];

    (void) kill(t->pid, SIGKILL);
    (void) reap(t);
    (void) snprintf(how, sizeof(how), "no end after %u s of real time", limit_s);
    died(t, how, ret_result);
    (void) close(t->errors_fd);
}

static void copy_errors(int fd)
{
    char chunk[4096];
    off_t at = 0;
    ssize_t n;

    while ((n = pread(fd, chunk, sizeof(chunk), at)) > 0) {
        (void) fwrite(chunk, 1, (size_t) n, stderr); /* nothing else could be done */
        at += n;
    }
}

int trial_run(const struct trial_work *work, const struct trial_limits *limits,
              struct sim_result *ret_result, uint64_t *ret_cpu_us)
{
    struct trial t;
    bool ended = false;
    int copy;
    int err = trial_start(&t, work);

    if (err != OK) {
        return err;
    }
    copy = limits->echo ? dup(t.errors_fd) : -1;
    while (!ended) {
        struct pollfd p = {.fd = t.fd, .events = POLLIN};
        int n = poll(&p, 1, (int) limits->real_s * 1000);

        if (n == 0) {
            trial_end_late(&t, limits->real_s, ret_result);
            break;
        }
        ended = n > 0 && trial_read(&t);
    }
    if (ended) {
        trial_end(&t, ret_result);
    }
    if (copy >= 0) {
        copy_errors(copy);
        (void) close(copy);
    }
    if (ret_cpu_us != NULL) {
        *ret_cpu_us = t.cpu_us;
    }
    return OK;
}

/* ---- The usual work ---- */

static void execute_scenario(void *ctx, struct sim_result *ret)
{
    sim_execute(ctx, NULL, ret);
}

struct trial_work trial_scenario(const struct scenario *scenario)
{
    /* The child only reads it. */
    return (struct trial_work){execute_scenario, (void *) (uintptr_t) scenario};
}

/*
 * syscalls.c - runs a function in a child process under ptrace.
 */

#include "tests/support/syscalls.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"

static void run_child(void (*fn)(void *ctx), void *ctx)
{
    const struct rlimit no_core = {0, 0};
    (void) setrlimit(RLIMIT_CORE, &no_core); /* A core file would only be litter. */
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
        _exit(99);
    }
    raise(SIGSTOP);
    fn(ctx);
    _exit(0);
}

static void note_call(struct syscalls *c, pid_t pid)
{
    struct __ptrace_syscall_info info;
    memset(&info, 0, sizeof info);
    long size = ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *) sizeof info, &info);
    ASSERT(size > 0);
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        ASSERT(c->count < SYSCALLS_MAX);
        c->numbers[c->count] = (uint32_t) info.entry.nr;
        c->count++;
    }
}

void syscalls_run(void (*fn)(void *ctx), void *ctx, uint32_t kill_at, struct syscalls *ret_calls)
{
    struct syscalls c = {.numbers = xcalloc(SYSCALLS_MAX, sizeof c.numbers[0])};
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        run_child(fn, ctx);
    }
    pid_t waited = waitpid(pid, &status, 0);
    ASSERT(waited == pid);
    c.supported = WIFSTOPPED(status);
    if (c.supported) {
        long rc = ptrace(PTRACE_SETOPTIONS, pid, NULL,
                         (void *) (PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
        ASSERT(rc == 0);
    }
    int signal_in = 0;
    while (WIFSTOPPED(status)) {
        if (c.count > kill_at) {
            kill(pid, SIGKILL);
        } else {
            (void) ptrace(PTRACE_SYSCALL, pid, NULL, (void *) (intptr_t) signal_in);
        }
        waited = waitpid(pid, &status, 0);
        ASSERT(waited == pid);
        bool at_call = WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80);
        signal_in = WIFSTOPPED(status) && !at_call ? WSTOPSIG(status) : 0;
        if (at_call) {
            note_call(&c, pid);
        }
    }
    c.finished = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    *ret_calls = c;
}

void syscalls_release(struct syscalls *c)
{
    free(c->numbers);
    c->numbers = NULL;
}

void syscalls_mark(void)
{
    (void) getpgid(0); /* Only seen by the tracer. */
}

uint32_t syscalls_between(const struct syscalls *c, uint32_t nth, long number)
{
    uint32_t marks = 0;
    uint32_t found = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->numbers[i] == SYS_getpgid) {
            marks++;
        } else if (marks == nth + 1 && c->numbers[i] == (uint32_t) number) {
            found++;
        }
    }
    return found;
}

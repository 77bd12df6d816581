#ifndef SYNOD_TESTS_SUPPORT_SYSCALLS_H
#define SYNOD_TESTS_SUPPORT_SYSCALLS_H

/*
 * syscalls.h - runs a function in a child process, sees its system calls in order, and kills it at
 * the one asked for: every point at which a process can die, one by one (D4).
 *
 * The kernel goes on after a kill -9, so what was written stays: this tests the order of steps, not
 * whether they were synced. That is what the list of calls is for.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SYSCALLS_MAX = 100000 };

struct syscalls {
    uint32_t count;    /* seen: all, or up to the kill */
    uint32_t *numbers; /* SYS_xxx, in order */
    bool finished;     /* fn returned; otherwise it was killed */
    bool supported;    /* false: this machine does not let us trace */
};

/* Runs fn(ctx) and kills it with SIGKILL before its call number `kill_at` (from 0; UINT32_MAX: let
 * it run). Only the calls of the thread that runs fn are seen. */
void syscalls_run(void (*fn)(void *ctx), void *ctx, uint32_t kill_at, struct syscalls *ret_calls);

void syscalls_release(struct syscalls *c);

/* A call that nothing else makes: fn marks places in its list of calls with it. */
void syscalls_mark(void);

/* The number of calls with this number between the marks `nth` and `nth` + 1 (from 0). */
uint32_t syscalls_between(const struct syscalls *c, uint32_t nth, long number);

#endif

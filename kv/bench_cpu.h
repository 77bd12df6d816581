/*
 * bench_cpu.h - the CPU time of server processes on this machine, read from /proc.
 */
#ifndef SYNOD_KV_BENCH_CPU_H
#define SYNOD_KV_BENCH_CPU_H

#include <stdint.h>

enum { BENCH_PIDS_MAX = 64 };

struct bench_pids {
    int32_t pids[BENCH_PIDS_MAX];
    uint32_t count;
};

/* Adds the process that listens on this TCP port of this machine; none found (another machine, no
 * permission) adds nothing. */
void bench_pids_add_listener(struct bench_pids *p, uint16_t port);

/* Adds a pid; one that is there is not added again. */
void bench_pids_add(struct bench_pids *p, int32_t pid);

/* User and system time of all of them so far, in microseconds (resolution: a clock tick, 10 ms). A
 * process that is gone counts 0. */
uint64_t bench_cpu_us(const struct bench_pids *p);

/* The same of the calling process, by getrusage. */
uint64_t bench_cpu_self_us(void);

#endif

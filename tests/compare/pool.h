/*
 * pool.h - many small jobs in forked processes, some at a time; results through shared memory.
 *
 * A job that dies or hangs takes its chunk with it and nothing else: its slots stay as they were.
 */
#ifndef SYNOD_TESTS_COMPARE_POOL_H
#define SYNOD_TESTS_COMPARE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool_options {
    uint32_t workers; /* processes at a time, 1 to POOL_WORKERS_MAX */
    uint32_t chunk;   /* jobs of one process; 0: chosen so that there are enough to share */
    uint32_t limit_s; /* real time of a chunk; then it is killed. 0: POOL_LIMIT_S */
    /* Now and then: done of total; false stops. NULL: none. */
    bool (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
};

enum { POOL_WORKERS_MAX = 64, POOL_LIMIT_S = 300 };

struct pool_result {
    uint64_t done;   /* jobs of chunks that came to their end */
    uint32_t broken; /* chunks that died, were killed or could not be started */
    bool stopped;    /* progress said so */
};

/* Shared memory, zeroed: `count` slots of `size` bytes. NULL: there is not so much. */
void *pool_slots(uint64_t count, size_t size);
void pool_slots_free(void *slots, uint64_t count, size_t size); /* NULL is legal */

/* Runs job(ctx, i, slot i) for i in [0, count). slots may be NULL when jobs write elsewhere. Which
 * job runs in which process is a function of count and chunk only. */
void pool_run(const struct pool_options *options, uint64_t count, size_t size, void *slots,
              void (*job)(void *ctx, uint64_t i, void *slot), void *ctx,
              struct pool_result *ret_result);

/* Cores of this machine, at most POOL_WORKERS_MAX. */
uint32_t pool_cores(void);

#endif

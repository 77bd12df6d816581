/*
 * shim.h - disk faults of a real node: a library that is preloaded into it (shim_preload.c), and
 * the page of shared memory by which the harness rules it.
 *
 * The library stands before write, pwrite, writev, pwritev, fsync, fdatasync, sync_file_range, and
 * what opens, copies and closes descriptors, of the node and looks at files below the node's data
 * directory only. It also counts, so that durable writes per
 * operation are counted and not guessed. Everything works without root.
 */
#ifndef SYNOD_TESTS_REAL_SHIM_H
#define SYNOD_TESTS_REAL_SHIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define SHIM_ENV_PAGE "SYNOD_SHIM_PAGE" /* path of the file that is mapped */
#define SHIM_ENV_ROOT "SYNOD_SHIM_ROOT" /* data directory: absolute, no symbolic links in it */

enum { SHIM_VERSION = 1 };

/* Shared; written by the harness, but for the counts. */
struct shim_page {
    uint32_t version;
    _Atomic uint64_t sync_delay_us;    /* before each fsync and fdatasync */
    _Atomic uint64_t hang_until_us;    /* CLOCK_MONOTONIC; writes and syncs wait until then */
    _Atomic uint32_t lie;              /* syncs return 0 and do nothing */
    _Atomic uint32_t fail_sync_errno;  /* the next sync fails with it (once); 0: none */
    _Atomic uint32_t fail_write_errno; /* the next write fails with it (once); ENOSPC: half of the
                                          bytes are written first, and the next call fails */
    /* counts; a sync is counted when it is asked for, also if it then fails or is a lie */
    _Atomic uint64_t log_syncs;   /* of files below <data>/log, and of that folder */
    _Atomic uint64_t state_syncs; /* below <data>/state */
    _Atomic uint64_t other_syncs;
    _Atomic uint64_t writes, bytes;
    _Atomic uint64_t failed; /* calls that were made to fail */
    _Atomic uint64_t lied;
};

/* The harness' side: makes the file and maps it. */
MUST_USE int shim_page_new(const char *path, struct shim_page **ret_page, struct buf *error);
void shim_page_free(struct shim_page *page); /* unmaps; the file stays */

#endif

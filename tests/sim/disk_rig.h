/*
 * disk_rig.h - for the tests of the model disk: a disk, a store on it, and rows with numbers.
 */
#ifndef SYNOD_TESTS_SIM_DISK_RIG_H
#define SYNOD_TESTS_SIM_DISK_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "kv/store.h"
#include "tests/sim/disk.h"

enum {
    RIG_VALUE_SIZE = 100,
    RIG_BUFFER = 2000, /* some twenty rows of RIG_VALUE_SIZE */
};

extern const char disk_rig_log[]; /* paths of the two databases */
extern const char disk_rig_state[];

struct rig {
    struct sim_disk *disk;
    struct store *store; /* NULL: closed */
    struct buf error;
    struct buf value; /* of the last disk_rig_get */
};

struct rig *disk_rig_new(uint64_t seed, uint64_t buffer_bytes);
void disk_rig_free(struct rig *r);

/* Closes the store and opens another; disk_rig_open must succeed. */
MUST_USE int disk_rig_try_open(struct rig *r, const char *path, bool create);
void disk_rig_open(struct rig *r, const char *path, bool create);
void disk_rig_close(struct rig *r);

bool disk_rig_error_mentions(struct rig *r, const char *text);
struct sim_disk_counts disk_rig_counts(struct rig *r);

/* Row n is big-endian n -> `size` bytes of n. disk_rig_put_rows writes `count` rows from `first`
 * on, of RIG_VALUE_SIZE and synced, and must succeed. */
MUST_USE int disk_rig_put(struct rig *r, uint32_t n, size_t size, bool sync);
void disk_rig_put_rows(struct rig *r, uint32_t first, uint32_t count);
MUST_USE int disk_rig_get(struct rig *r, uint32_t n);

/* Opens anew and reads all: how many rows there are if they are those from 0 on; -1 when there is a
 * gap; else the error. */
int disk_rig_reopen_rows(struct rig *r, const char *path);

#endif

/*
 * loop_disk.h - a disk that can lose its power: an ext4 file system in a file, mounted by a loop
 * device. Needs root.
 *
 * What the kernel has not yet written through to the file is what a power loss takes away: the
 * image is copied as it is (the process was killed before), the file system unmounted, the copy put
 * in its place and mounted again.
 */
#ifndef SYNOD_TESTS_REAL_LOOP_DISK_H
#define SYNOD_TESTS_REAL_LOOP_DISK_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct loop_disk;

/* Errors: ERR_UNSUPPORTED with a line that says what is missing (root, loop device, mkfs.ext4). */
MUST_USE int loop_disk_available(struct buf *error);

/* Makes `folder`/disk.img of so many bytes and mounts it at `folder`/mnt. Errors: ERR_IO,
 * ERR_UNSUPPORTED, ERR_NO_SPACE, with a line; nothing stays mounted. */
MUST_USE int loop_disk_new(const char *folder, uint64_t bytes, struct loop_disk **ret_disk,
                           struct buf *error);
/* Unmounts; NULL is legal. */
void loop_disk_free(struct loop_disk *d);

const char *loop_disk_path(const struct loop_disk *d); /* the mount point */

/* No process may have a file open there. Errors: ERR_IO with a line. */
MUST_USE int loop_disk_power_loss(struct loop_disk *d, struct buf *error);

#endif

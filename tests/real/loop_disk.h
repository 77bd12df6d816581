/*
 * loop_disk.h - a disk that can lose its power: an ext4 file system in a file, mounted by a loop
 * device. Needs root.
 *
 * What the kernel has not yet written through to the device is what a power loss takes away. The
 * file system is told to go down at once, without its journal (the ioctl by which file systems are
 * tested for this), so that from then on nothing reaches the image; then it is unmounted and
 * mounted again, which replays what had reached the journal. The device itself loses nothing that
 * it took. Also when the process is killed, nothing stays mounted.
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

/* No process may have a file open there. Errors: ERR_IO, ERR_NO_SPACE, with a line. */
MUST_USE int loop_disk_power_loss(struct loop_disk *d, struct buf *error);

#endif

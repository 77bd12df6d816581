/*
 * loop_disk.c - images, loop devices, mounts.
 */
#include "tests/real/loop_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/real/keeper.h"

/* ext4: goes down at once, and not even its journal is written (fs/ext4/ioctl.c; the number is that
 * of XFS_IOC_GOINGDOWN). No header of the C library has them. */
#define EXT4_SHUTDOWN _IOR('X', 125, uint32_t)
#define EXT4_SHUTDOWN_NO_LOG_FLUSH 2

/* Another process may look at the mount for a moment. */
#define UNMOUNT_TRIES 200
#define UNMOUNT_WAIT_NS 10000000

enum { LOOP_TRIES = 16 };

struct loop_disk {
    char *image;
    char *path;
    bool mounted;
    struct keeper *keeper;
};

static int disk_fail(struct buf *error, const char *what, const char *path)
{
    int failed = errno;
    ERR_IGNORE(buf_printf(error, "cannot %s %s: %s", what, path, strerror(failed)));
    return failed == ENOSPC ? ERR_NO_SPACE : ERR_IO;
}

int loop_disk_available(struct buf *error)
{
    static const char *const version[] = {"mkfs.ext4", "-V", NULL};
    const char *missing = NULL;
    if (geteuid() != 0) {
        missing = "root";
    } else if (access("/dev/loop-control", R_OK | W_OK) != 0) {
        missing = "loop devices (/dev/loop-control)";
    } else if (keeper_run(version) != OK) {
        missing = "mkfs.ext4 (package e2fsprogs)";
    }
    if (missing != NULL) {
        ERR_IGNORE(buf_printf(error, "disks that lose their power need %s", missing));
        return ERR_UNSUPPORTED;
    }
    return OK;
}

/* ---- Making it */

static int make_image(const struct loop_disk *d, uint64_t bytes, struct buf *error)
{
    const char *const mkfs[] = {"mkfs.ext4",
                                "-q",
                                "-F",
                                "-m",
                                "0",
                                "-b",
                                "4096",
                                "-N",
                                "4096",
                                "-J",
                                "size=8",
                                "-E",
                                "nodiscard,lazy_itable_init=0,lazy_journal_init=0",
                                d->image,
                                NULL};
    int fd = open(d->image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return disk_fail(error, "write", d->image);
    }
    int rc = ftruncate(fd, (off_t) bytes) == 0 ? OK : disk_fail(error, "write", d->image);
    (void) close(fd);
    if (rc == OK && keeper_run(mkfs) != OK) {
        ERR_IGNORE(buf_printf(error, "mkfs.ext4 failed for %s", d->image));
        rc = ERR_IO;
    }
    return rc;
}

/* A loop device for the image, which goes away with the last that uses it. The descriptor, or -1.
 * Another process may be faster with a free number: then the next one. */
static int attach(const struct loop_disk *d, char ret_device[64])
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int image = open(d->image, O_RDWR | O_CLOEXEC);
    int device = -1;
    for (uint32_t i = 0; i < LOOP_TRIES && control >= 0 && image >= 0; i++) {
        struct loop_config config = {.fd = (uint32_t) image,
                                     .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0) {
            break;
        }
        (void) snprintf(ret_device, 64, "/dev/loop%d", number);
        device = open(ret_device, O_RDWR | O_CLOEXEC);
        if (device >= 0 && ioctl(device, LOOP_CONFIGURE, &config) == 0) {
            break;
        }
        int failed = errno;
        if (device >= 0) {
            (void) close(device);
        }
        device = -1;
        errno = failed;
        if (failed != EBUSY) {
            break;
        }
    }
    int failed = errno;
    if (control >= 0) {
        (void) close(control);
    }
    if (image >= 0) {
        (void) close(image); /* the device has its own */
    }
    errno = failed;
    return device;
}

/* Un-synced data stays in memory for as long as the kernel lets it: the journal is written when it
 * is full or asked for, not every five seconds. */
static int attach_and_mount(struct loop_disk *d, struct buf *error)
{
    char device[64];
    int fd = attach(d, device);
    if (fd < 0) {
        return disk_fail(error, "make a loop device for", d->image);
    }
    int rc = mount(device, d->path, "ext4", MS_NOATIME, "commit=300") == 0
                 ? OK
                 : disk_fail(error, "mount", d->path);
    (void) close(fd); /* the mount has its own; without one the device goes */
    d->mounted = rc == OK;
    return rc;
}

/* What a keeper does: processes of the disk may be about to end. */
static void detach_path(void *ctx)
{
    (void) umount2(ctx, MNT_DETACH);
}

int loop_disk_new(const char *folder, uint64_t bytes, struct loop_disk **ret_disk,
                  struct buf *error)
{
    int rc = loop_disk_available(error);
    if (rc != OK) {
        return rc;
    }
    struct loop_disk *d = xcalloc(1, sizeof *d);
    size_t size = strlen(folder) + sizeof "/disk.img";
    d->image = xmalloc(size);
    d->path = xmalloc(size);
    (void) snprintf(d->image, size, "%s/disk.img", folder);
    (void) snprintf(d->path, size, "%s/mnt", folder);
    rc = mkdir(d->path, 0755) == 0 ? OK : disk_fail(error, "make", d->path);
    if (rc == OK) {
        rc = make_image(d, bytes, error);
    }
    if (rc == OK && keeper_new(detach_path, d->path, &d->keeper) != OK) {
        ERR_IGNORE(buf_printf(error, "no process for what would unmount %s", d->path));
        rc = ERR_IO;
    }
    if (rc == OK) {
        rc = attach_and_mount(d, error);
    }
    if (rc != OK) {
        loop_disk_free(d);
        return rc;
    }
    *ret_disk = d;
    return OK;
}

const char *loop_disk_path(const struct loop_disk *d)
{
    return d->path;
}

/* ---- Its power */

static int unmount(struct loop_disk *d)
{
    const struct timespec pause = {.tv_nsec = UNMOUNT_WAIT_NS};
    for (uint32_t i = 0; i < UNMOUNT_TRIES; i++) {
        if (umount2(d->path, 0) == 0) {
            d->mounted = false;
            return OK;
        }
        if (errno != EBUSY) {
            break;
        }
        (void) nanosleep(&pause, NULL);
    }
    return ERR_IO;
}

int loop_disk_power_loss(struct loop_disk *d, struct buf *error)
{
    uint32_t how = EXT4_SHUTDOWN_NO_LOG_FLUSH;
    int fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return disk_fail(error, "open", d->path);
    }
    int rc =
        ioctl(fd, EXT4_SHUTDOWN, &how) == 0 ? OK : disk_fail(error, "take the power of", d->path);
    (void) close(fd);
    if (rc == OK && unmount(d) != OK) {
        rc = disk_fail(error, "unmount", d->path);
    }
    return rc == OK ? attach_and_mount(d, error) : rc;
}

void loop_disk_free(struct loop_disk *d)
{
    if (d == NULL) {
        return;
    }
    if (d->mounted && unmount(d) != OK) {
        (void) umount2(d->path, MNT_DETACH); /* a process is still there: gone with it */
    }
    keeper_free(d->keeper);
    free(d->image);
    free(d->path);
    free(d);
}

/*
 * store_memory.h - the hooks of the store in memory: a disk that can crash, fail and be looked at.
 *
 * A memory_disk stands for the disk of one node. It holds images by path; a store opened with
 * store_options.device finds its rows there again after close. Each image has what was written and
 * what is synced; a crash leaves the latter. Tests and the simulator use the hooks, nobody else.
 *
 * Images are trees that are never changed once shared, so that taking one costs nothing: a
 * snapshot, a synced image and a clone are each a pointer to a root.
 *
 * Any thread, as with a store; hooks are meant for the thread that owns the node.
 */
#ifndef SYNOD_KV_STORE_MEMORY_H
#define SYNOD_KV_STORE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct memory_disk;

struct memory_disk *memory_disk_new(void);

/* Frees it and all images; every store on it, dead ones too, was closed. NULL is legal. */
void memory_disk_free(struct memory_disk *d);

/*
 * The power fails and comes back: every image falls back to what was synced. Stores that are open
 * are dead from then on: their writes fail with ERR_IO and change nothing; close them at any time,
 * open new ones at once.
 */
void memory_disk_crash(struct memory_disk *d);

/* A disk that holds what a crash at this moment would leave (R6: "is it durable?"). The caller
 * frees it. Constant time per image. */
struct memory_disk *memory_disk_clone_synced(struct memory_disk *d);

/* The image at `path` is gone, as on a replaced disk (D3). Stores open on it are dead, as above. */
void memory_disk_remove(struct memory_disk *d, const char *path);

/* A write that fails. */
struct memory_fault {
    uint64_t writes_before; /* this many more writes succeed first */
    int err;                /* what the write after them returns: ERR_IO or ERR_NO_SPACE */
    bool applied;           /* its rows reach the disk all the same: a failure proves nothing */
};

/* Sets the one fault of the disk; it counts writes of all images and then clears itself. */
void memory_disk_fail(struct memory_disk *d, struct memory_fault fault);

/* Writes tried so far, failed ones included: to enumerate them. */
uint64_t memory_disk_writes(struct memory_disk *d);

#endif

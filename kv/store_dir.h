/*
 * store_dir.h - the directory of one store: found, locked, and created as one atom.
 *
 * Creation happens in `path.tmp`, which is renamed to `path` when everything in it is durable. So a
 * store's directory is complete or is not there, whatever moment the machine stops; what a crash
 * leaves in `path.tmp` is nobody's and is emptied by the next creation.
 *
 * The lock is flock(2) on the directory itself. It is taken before anything in there is looked at,
 * also excludes a second user in the same process, and is not lost when some other descriptor of a
 * file is closed, as the fcntl lock of LevelDB's LOCK file would be.
 */
#ifndef SYNOD_KV_STORE_DIR_H
#define SYNOD_KV_STORE_DIR_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct store_dir;

/*
 * Locks the directory of an existing store, which has a file `marker` in it.
 * Errors: ERR_NOT_FOUND (no directory, or nothing in it), ERR_CORRUPT (something in it, but no
 * marker), ERR_LOCKED, ERR_IO. Each fills `error`.
 */
MUST_USE int store_dir_open(const char *path, const char *marker, struct store_dir **ret_dir,
                            struct buf *error);

/*
 * Makes and locks an empty `path.tmp`. The caller fills it, then calls store_dir_commit; without
 * that nothing is created.
 * Errors: ERR_EXISTS (path holds something), ERR_LOCKED, ERR_NO_SPACE, ERR_IO.
 */
MUST_USE int store_dir_create(const char *path, struct store_dir **ret_dir, struct buf *error);

/*
 * Makes all files of a created directory durable and gives it its name; the lock stays.
 * Errors: ERR_EXISTS (somebody else made it), ERR_NO_SPACE, ERR_IO.
 */
MUST_USE int store_dir_commit(struct store_dir *d, struct buf *error);

/* Makes durable what the names in it are now. Errors: ERR_NO_SPACE, ERR_IO. */
MUST_USE int store_dir_sync(struct store_dir *d, struct buf *error);

/* Where the files are now: `path.tmp` before the commit, `path` after. Valid until the next call.
 */
const char *store_dir_path(const struct store_dir *d);

/* The bytes of all files, by their sizes; 0 when it cannot be read. Any thread. */
uint64_t store_dir_size(const struct store_dir *d);

/* Unlocks and frees; deletes nothing. NULL is legal. */
void store_dir_close(struct store_dir *d);

#endif

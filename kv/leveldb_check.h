/*
 * leveldb_check.h - what LevelDB's own recovery lets pass, looked at before it runs.
 *
 * Even with paranoid_checks, LevelDB 1.23 drops acknowledged records of its write-ahead file or its
 * MANIFEST without a word when
 *
 *  - a damaged length points beyond the end of the file: everything from that record on is taken
 *    for the torn end of a crash,
 *  - a record header was zeroed: the rest of its 32 KiB block is skipped as preallocated space,
 *  - the whole write-ahead file is missing.
 *
 * Each of them shortens a log whose entries were promised to others (D5, D8). A torn end is legal
 * in one place only: at the end of the newest write-ahead file and of the MANIFEST, as an
 * incomplete record or as zeros up to the end of the file.
 *
 * What no look at the files can show: a file cut exactly as a crash would have cut it.
 */
#ifndef SYNOD_KV_LEVELDB_CHECK_H
#define SYNOD_KV_LEVELDB_CHECK_H

#include "base/buf.h"
#include "base/err.h"

/*
 * Reads the CURRENT, MANIFEST and live write-ahead files in the directory `path`, which nobody has
 * open. Assumes that all writes of the database were synced.
 * Errors: ERR_CORRUPT, ERR_IO; `error` receives a line with file and offset.
 */
MUST_USE int leveldb_check(const char *path, struct buf *error);

#endif

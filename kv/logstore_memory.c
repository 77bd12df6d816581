/*
 * logstore_memory.c - the log in memory, for tests and the simulator (hooks: kv/store_memory.h).
 */

#include "kv/logstore_impl.h"
#include "kv/logstore_rows.h"
#include "kv/store_impl.h"

static int logstore_memory_open(const char *path, const struct logstore_options *options,
                                struct logstore **ret_store, struct buf *error)
{
    return logstore_rows_open(&logstore_memory_ops, &store_memory_ops, path, options, ret_store,
                              error);
}

const struct logstore_ops logstore_memory_ops = {
    .name = "memory",
    .open = logstore_memory_open,
    .close = logstore_rows_close,
    .identity = logstore_rows_identity,
    .bump_incarnation = logstore_rows_bump_incarnation,
    .recover = logstore_rows_recover,
    .write = logstore_rows_write,
    .trim = logstore_rows_trim,
    .condemn = logstore_rows_condemn,
    .read = logstore_rows_read,
    .disk_size = logstore_rows_disk_size,
    .last_error = logstore_rows_last_error,
};

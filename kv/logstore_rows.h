/*
 * logstore_rows.h - a log store as rows of an ordered store: all of logstore.h over store.h.
 *
 * logstore_leveldb.c and logstore_memory.c are this over their store. So the rules of truncating,
 * trimming and recovering that the simulator runs in memory are those that run on the disk.
 */
#ifndef SYNOD_KV_LOGSTORE_ROWS_H
#define SYNOD_KV_LOGSTORE_ROWS_H

#include "kv/logstore.h"
#include "kv/store.h"

/* As logstore_open; the result belongs to `ops` and keeps its rows in a store of `rows`. */
MUST_USE int logstore_rows_open(const struct logstore_ops *ops, const struct store_ops *rows,
                                const char *path, const struct logstore_options *options,
                                struct logstore **ret_store, struct buf *error);

/* The functions of a struct logstore_ops. */
void logstore_rows_close(struct logstore *s);
MUST_USE int logstore_rows_identity(struct logstore *s, struct identity *ret_identity);
MUST_USE int logstore_rows_bump_incarnation(struct logstore *s, uint64_t *ret_incarnation);
MUST_USE int logstore_rows_recover(struct logstore *s, uint64_t from,
                                   struct logstore_recovery *ret_recovery, struct buf *error);
MUST_USE int logstore_rows_write(struct logstore *s, const struct log_write *const *writes,
                                 uint32_t count);
MUST_USE int logstore_rows_trim(struct logstore *s, struct log_pos pos);
MUST_USE int logstore_rows_condemn(struct logstore *s, uint64_t seen);
MUST_USE int logstore_rows_read(struct logstore *s, uint64_t first, uint64_t last,
                                uint64_t bytes_max, struct entry_list *ret_entries);
uint64_t logstore_rows_disk_size(struct logstore *s);
const char *logstore_rows_last_error(struct logstore *s);

#endif

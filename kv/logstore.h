/*
 * logstore.h - the seam to the durable log: hard state, entries, slot promises, identity.
 *
 * A log is not a map: append a batch, cut a suffix, drop a prefix, read a range, recover. An
 * implementation is one file (kv/logstore_*.c, with kv/logstore_impl.h) ending in a `const struct
 * logstore_ops` listed in logstore.c; the contract suite runs over each. Format of the LevelDB
 * implementation: docs/storage-format.md. Every write is one atomic synced batch (group commit:
 * several log_writes in a call). Threads: open, recover, write, trim and close on the writer's;
 * read, disk_size and last_error on any other at the same time.
 *
 * Fatal errors (err_is_fatal): the store is finished and the process must stop without answering
 * for that write. After a failed write, every later one gives the same error and does not touch the
 * disk (D6).
 */
#ifndef SYNOD_KV_LOGSTORE_H
#define SYNOD_KV_LOGSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "consensus/message.h"

struct logstore;

/* Who this data directory belongs to; written once, when the node is created. */
struct identity {
    uint64_t cluster_id;
    uint32_t node;
    uint8_t engine;         /* enum engine_id; a log of raft has no holes, and that is checked */
    uint32_t members_count; /* ids of the founding members, ascending */
    uint32_t members[NODES_MAX];
};

struct logstore_options {
    size_t
        write_buffer_size; /* 0: 64 MB; 4 MB doubles the CPU and stalls 40-100 ms (design.md 6) */
    const struct identity *create; /* not NULL: make a new one with this identity; the path must not
                                      hold one. Atomic: complete or not there after a crash */
    void *device;                  /* as in store_options; NULL legal */
};

/* What recovery finds. Owned by the caller: logstore_recovery_release. */
struct logstore_recovery {
    struct hard_state hard;
    struct log_pos trimmed; /* last position dropped by trim; {0,0} when none */
    uint64_t written;       /* log_writes made durable, over all lives: only rises (D9) */
    uint64_t last;          /* highest index with an entry; trimmed.index when none */
    struct entry *entries;  /* from `from` asked for up to last, ascending; holes left out */
    uint32_t entries_count;
    struct slot_promise *promises; /* all that are kept, ascending */
    uint32_t promises_count;
};

/* Entries read back. Owned by the reader; entry_list_release drops the references. */
struct entry_list {
    struct entry *entries;
    uint32_t count;
    uint32_t capacity;
    uint64_t bytes; /* payload bytes of all entries */
};

/* Both leave an empty object, for which calling them again is legal. */
void entry_list_release(struct entry_list *l);
void logstore_recovery_release(struct logstore_recovery *r);

struct logstore_ops {
    const char *name; /* "leveldb", "memory" */
    int (*open)(const char *path, const struct logstore_options *options,
                struct logstore **ret_store, struct buf *error);
    void (*close)(struct logstore *s);
    int (*identity)(struct logstore *s, struct identity *ret_identity);
    int (*bump_incarnation)(struct logstore *s, uint64_t *ret_incarnation);
    int (*recover)(struct logstore *s, uint64_t from, struct logstore_recovery *ret_recovery,
                   struct buf *error);
    int (*write)(struct logstore *s, const struct log_write *const *writes, uint32_t count);
    int (*trim)(struct logstore *s, struct log_pos pos);
    int (*condemn)(struct logstore *s, uint64_t seen);
    int (*read)(struct logstore *s, uint64_t first, uint64_t last, uint64_t bytes_max,
                struct entry_list *ret_entries);
    uint64_t (*disk_size)(struct logstore *s);
    const char *(*last_error)(struct logstore *s);
};

const struct logstore_ops *logstore_by_name(const char *name);
const struct logstore_ops *logstore_at(uint32_t i);

/*
 * Opens or creates. `error` (NULL is legal) receives one line: path, cause, remedy.
 * Errors: ERR_NOT_FOUND, ERR_EXISTS, ERR_LOCKED, ERR_VERSION (format newer than this program),
 * ERR_STALE (logstore_condemn), ERR_CORRUPT, ERR_NO_SPACE, ERR_IO.
 */
MUST_USE int logstore_open(const struct logstore_ops *ops, const char *path,
                           const struct logstore_options *options, struct logstore **ret_store,
                           struct buf *error);

/* Closes and frees. NULL is legal. */
void logstore_close(struct logstore *s);

/* The identity it was created with. */
MUST_USE int logstore_identity(struct logstore *s, struct identity *ret_identity);

/* Counts this start of the node, durably, and returns the count (from 1). Messages to an earlier
 * life are recognised by it. Errors: ERR_NO_SPACE, ERR_IO (fatal both). */
MUST_USE int logstore_bump_incarnation(struct logstore *s, uint64_t *ret_incarnation);

/*
 * Reads everything needed to go on; entries from max(from, trimmed + 1). Checks the checksums of
 * all entries and promises that are kept, also of those below `from`, and in a log of raft that no
 * entry is missing. `error` (NULL is legal) names directory, index and what is wrong. Errors:
 * ERR_CORRUPT, ERR_IO.
 */
MUST_USE int logstore_recover(struct logstore *s, uint64_t from,
                              struct logstore_recovery *ret_recovery, struct buf *error);

/*
 * Makes `count` writes durable, in order, as one atom, and with them that `written` rose by
 * `count`. Entries and promises at or below the trimmed
 * position are left out: what they are about is chosen, applied and durable elsewhere.
 * Errors: ERR_NO_SPACE, ERR_IO, ERR_CORRUPT (fatal all).
 */
MUST_USE int logstore_write(struct logstore *s, const struct log_write *const *writes,
                            uint32_t count);

/*
 * Drops all entries and promises at or below pos.index and remembers pos; nothing to do when that
 * much is dropped already. pos.index may be above the last entry (a snapshot was installed): the
 * log goes on after it. Durable on return; the space is given back in bounded steps with later
 * writes. Errors: as logstore_write.
 */
MUST_USE int logstore_trim(struct logstore *s, struct log_pos pos);

/*
 * Others have seen `seen` writes of this log, which has fewer (D9): it is not opened again, however
 * many writes it would make until then. Durable on return. Errors: as logstore_write.
 */
MUST_USE int logstore_condemn(struct logstore *s, uint64_t seen);

/*
 * Entries in [first, last], ascending, holes left out, the end of the log cuts it short; at most
 * bytes_max payload bytes but at least one entry if there is one. ret_entries is overwritten on
 * success; its entries belong to the caller.
 * Errors: ERR_COMPACTED (first at or below trimmed), ERR_CORRUPT, ERR_IO.
 */
MUST_USE int logstore_read(struct logstore *s, uint64_t first, uint64_t last, uint64_t bytes_max,
                           struct entry_list *ret_entries);

/* Approximate bytes on disk. */
uint64_t logstore_disk_size(struct logstore *s);

/* The implementation's own words for its first fatal failure; "" when none. Valid until close. */
const char *logstore_last_error(struct logstore *s);

#endif

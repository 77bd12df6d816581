#ifndef SYNOD_TESTS_SUPPORT_MVCC_RIG_H
#define SYNOD_TESTS_SUPPORT_MVCC_RIG_H

/*
 * mvcc_rig.h - a state machine with a disk and a log, for the tests of kv/mvcc: brings the rows
 * that it waits for, writes flushes, and restarts it from what was written, playing the log again.
 *
 * Everything that cannot fail in a right program ends the test by ASSERT.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "kv/mvcc.h"

struct rig_row {
    struct bytes key;
    struct bytes value;
};

struct rig_entry {
    uint8_t tag;
    uint64_t session;
    uint64_t sequence;
    struct bytes payload;
};

struct mvcc_rig {
    struct mvcc *m;
    struct mvcc_options options;
    struct rig_row *rows; /* the disk, in key order */
    uint32_t rows_count;
    struct rig_entry *log; /* entry i has index i + 1 and one command */
    uint32_t log_count;
    uint64_t sequence;  /* of the node session */
    uint64_t fetched;   /* rows brought from the disk */
    uint64_t again;     /* times that ERR_AGAIN came */
    struct arena arena; /* of requests; reset by the test */
};

/* The node session that rig_apply uses. */
#define RIG_SESSION ((UINT64_C(7) << 32) | 3)

void rig_init(struct mvcc_rig *rig, size_t cache_bytes_max);
void rig_release(struct mvcc_rig *rig);

/* Applies a command as the next entry; the result is complete and the caller's. */
struct mvcc_result *rig_apply(struct mvcc_rig *rig, const struct rig_entry *entry);
/* The same without asking for an answer. */
void rig_apply_quiet(struct mvcc_rig *rig, const struct rig_entry *entry);

/* The next command of RIG_SESSION. */
struct rig_entry rig_put_entry(struct mvcc_rig *rig, const struct put_request *r);
struct rig_entry rig_delete_entry(struct mvcc_rig *rig, const struct delete_request *r);
struct rig_entry rig_txn_entry(struct mvcc_rig *rig, const struct txn_request *r);
struct rig_entry rig_compact_entry(struct mvcc_rig *rig, int64_t revision);

/* Reads; complete. */
struct mvcc_result *rig_range(struct mvcc_rig *rig, const struct range_request *r);
struct mvcc_result *rig_txn_read(struct mvcc_rig *rig, const struct txn_request *r);

/* Short forms. rig_put and rig_delete return the header revision. */
int64_t rig_put(struct mvcc_rig *rig, const char *key, const char *value);
int64_t rig_delete(struct mvcc_rig *rig, const char *key, const char *end);
int rig_compact(struct mvcc_rig *rig, int64_t revision);

/* Brings the missing rows and completes. */
void rig_complete(struct mvcc_rig *rig, struct mvcc_result *res);
/* Brings the wanted rows; returns how many. */
uint32_t rig_provide(struct mvcc_rig *rig);

/* The row's value on the disk; a new blob, or NULL. */
struct blob *rig_fetch(struct mvcc_rig *rig, struct revision revision);

/* Writes a flush if there is something to write; false: nothing. */
bool rig_flush(struct mvcc_rig *rig);
/* Writes the rows of a flush to the disk, without mvcc_flush_done. */
void rig_write(struct mvcc_rig *rig, const struct mvcc_flush *f);
/* Sweeps to the end and flushes until nothing is left to do. */
void rig_settle(struct mvcc_rig *rig);

/* Makes a state machine from the disk. Errors: of the restore; *ret_m untouched then. */
int rig_restore(struct mvcc_rig *rig, struct mvcc **ret_m);
/* Replaces m by one restored from the disk, and plays the log from there. */
void rig_restart(struct mvcc_rig *rig);

/* Position of a row key on the disk; rows_count: not there. */
uint32_t rig_find(const struct mvcc_rig *rig, struct bytes key);
void rig_row_set(struct mvcc_rig *rig, struct bytes key, struct bytes value);
void rig_row_remove(struct mvcc_rig *rig, struct bytes key);

/* Text of a response: one line an answer, for comparisons and messages. Appended. */
void rig_print(const struct api_response *response, struct buf *out);

#endif

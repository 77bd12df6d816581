/*
 * mvcc_impl.h - the structs behind kv/mvcc.h, shared by mvcc*.c only.
 *
 *     mvcc.c          making, figures, wanted rows
 *     mvcc_apply.c    commands of the log: sessions, put, delete, compact
 *     mvcc_txn.c      transactions: which way, may it, do it
 *     mvcc_range.c    reads of the index into parts of a result
 *     mvcc_result.c   results: parts and items, missing rows, completion
 *     mvcc_answer.c   results that a client session keeps
 *     mvcc_compact.c  the sweep behind a compaction
 *     mvcc_flush.c    rows to be written
 *     mvcc_restore.c  rows read at the start
 */
#ifndef SYNOD_KV_MVCC_IMPL_H
#define SYNOD_KV_MVCC_IMPL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "kv/index.h"
#include "kv/mvcc.h"
#include "kv/mvcc_rows.h"
#include "kv/records.h"
#include "kv/session.h"

/* A row that a compaction made garbage. */
struct swept_row {
    struct revision revision;
    uint64_t ticket; /* results with a lower one may still read it */
};

/* A row that was wanted and came; NULL: the store does not have it. */
struct provided_row {
    struct revision revision;
    struct blob *row;
};

struct mvcc {
    struct mvcc_options options;
    struct index *index;
    struct records records;
    struct session_table *sessions;
    struct arena arena; /* of the command being decoded */
    struct buf path;    /* of the transaction being run: one byte a Txn entered, 1: success */

    uint64_t applied;
    uint64_t flushed; /* reached by the last flush begun */
    uint64_t durable; /* reached by the last flush done */
    int64_t revision;
    uint64_t hash;
    uint8_t verdict; /* enum session_verdict, of the command applied last */
    bool entry_open; /* commands of applied + 1 were applied, mvcc_apply_done is to come */

    /* Compaction. A sweep runs through all keys; a compaction that comes meanwhile takes effect at
     * once for the rest of the keys and has another sweep behind this one. */
    int64_t compact;
    bool sweeping;
    int64_t sweep_revision; /* of all keys, when this sweep ends */
    struct buf sweep_cursor;
    int64_t swept; /* all rows of this compaction are in `garbage`, up to garbage_swept */
    int64_t swept_flushed;
    int64_t swept_durable;
    /* Oldest first; for one key in revision order, so that a crash between two flushes never leaves
     * an older row without the tombstone above it. */
    struct swept_row *garbage;
    uint32_t garbage_head;
    uint32_t garbage_count; /* behind the head */
    uint32_t garbage_capacity;
    uint64_t garbage_taken; /* ever */
    uint64_t garbage_swept; /* the value of garbage_taken at which `swept` is in a flush */

    struct list waiting; /* of struct result with rows missing, by ticket */
    uint64_t ticket;

    struct revision *wanted;
    uint32_t wanted_count;
    uint32_t wanted_capacity;
    struct provided_row *provided; /* in revision order */
    uint32_t provided_count;
    uint32_t provided_capacity;

    uint64_t stored;     /* record rows in the store, the flush that is out included */
    uint64_t rows_count; /* that are not garbage */
    uint64_t rows_bytes;
    struct mvcc_flush *flush; /* the one that is out */

    /* While restoring. */
    bool restore_meta;
    struct revision restore_last;
    int64_t restore_next; /* the next revision above `compact`; none may lack */
    uint64_t restore_sessions;
};

/* ---- results ---- */

/* A record of an answer: its row, or what the index knows of it. */
struct item {
    struct revision mod;
    bool row_needed;
    bool index_known; /* create, version, lease are valid */
    struct blob *row;
    int64_t create;
    int64_t version;
    int64_t lease;
    struct bytes key; /* borrowed from the index while its part is made, then !row_needed only */
};

/* What filters, orders and cuts a range. */
struct range_shape {
    int64_t limit;
    int32_t order; /* SORT_NONE: as the index gives them */
    int32_t target;
    int64_t min_mod;
    int64_t max_mod;
    int64_t min_create;
    int64_t max_create;
};

/* The records of one response. */
struct part {
    struct api_response *response;
    uint32_t first; /* of items */
    uint32_t count;
    bool keys_only;
    bool late; /* a range whose shape needs the rows: applied by completion */
    struct range_shape shape;
};

struct result {
    struct mvcc_result pub;
    struct list_node waiting; /* in mvcc.waiting while rows are missing */
    uint64_t ticket;
    bool replayed; /* a kept answer: rows may have gone since */
    bool completed;
    struct arena arena; /* of what the response points to, beside rows */
    struct item *items;
    uint32_t items_count;
    uint32_t items_capacity;
    struct part *parts;
    uint32_t parts_count;
    uint32_t parts_capacity;
    uint32_t *missing; /* items whose row is missing */
    uint32_t missing_count;
    struct item item_space; /* most have one of each */
    struct part part_space;
    struct api_kv kv_space;
};

struct result *result_new(void);
/* A new part for a response that lives as long as the result. Valid until the next one. */
struct part *result_part(struct result *res, struct api_response *response);
/* A new item of the newest part, zeroed but for row_needed. */
struct item *result_item(struct result *res);
/* Everything is in: finds the rows in memory; completes when none is missing. */
void result_finish(struct mvcc *m, struct result *res);

/* Whether a record passes, and the order of two. */
bool shape_passes(const struct range_shape *s, int64_t mod, int64_t create);
bool shape_filters(const struct range_shape *s);
int shape_compare(const struct range_shape *s, const struct api_kv *a, const struct api_kv *b);

/* ---- answers kept by sessions ---- */

/* Appends what `res` (finished or not, with OK) answers, by reference to rows. */
void answer_encode(const struct result *res, struct buf *out);
/* The other way. Errors: ERR_CORRUPT. */
MUST_USE int answer_decode(struct bytes in, struct result *res);

/* ---- running ---- */

/* A request being run at a state. */
struct run {
    struct mvcc *m;
    struct result *res;   /* NULL: no answer is wanted */
    struct revision next; /* of the next change; sub counts those made */
};

/* The revision that a reader sees now: with the changes of this run. */
static inline int64_t run_revision(const struct run *run)
{
    return run->next.sub > 0 ? run->next.main : run->m->revision;
}

void run_put(struct run *run, const struct put_request *r, struct api_response *response);
void run_delete(struct run *run, const struct delete_request *r, struct api_response *response);
/* The revision was checked. */
void run_range(struct run *run, const struct range_request *r, struct api_response *response);

/* May the range be read, may the key be put? Changes nothing. Errors: ERR_FUTURE_REVISION,
 * ERR_COMPACTED. */
MUST_USE int mvcc_check_range(const struct mvcc *m, const struct range_request *r, bool in_txn);
/* Errors: ERR_KEY_NOT_FOUND, ERR_LEASE_NOT_FOUND, ERR_CORRUPT. May want the old value: then OK, and
 * mvcc.wanted_count > 0. */
MUST_USE int mvcc_check_put(struct mvcc *m, const struct put_request *r, bool lease_first);

/* Decides the way through a transaction and checks it. Errors: ERR_AGAIN, ERR_CORRUPT; the
 * transaction's own: those of the checks. */
MUST_USE int txn_plan(struct mvcc *m, const struct txn_request *txn);
/* Runs it the way that txn_plan found. */
void txn_run(struct run *run, const struct txn_request *txn, struct api_response *response);

/* The record at a revision that is live: from memory, or provided, or wanted from now on.
 * Errors: ERR_AGAIN, ERR_CORRUPT. */
MUST_USE int mvcc_record(struct mvcc *m, struct revision revision, struct row_record *ret_record);
void mvcc_wanted_clear(struct mvcc *m);
void mvcc_provided_clear(struct mvcc *m);
/* Sorts what is wanted and removes doubles. */
void mvcc_wanted_settle(struct mvcc *m);

/* One change more: row, hash, figures. */
void mvcc_change(struct mvcc *m, struct revision revision, const struct row_record *record);

/* A compaction was applied. */
void mvcc_compact_begin(struct mvcc *m, int64_t revision);
/* How many of the garbage rows no result can need any more. */
uint32_t mvcc_garbage_ready(const struct mvcc *m);

#endif

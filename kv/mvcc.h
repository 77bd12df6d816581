/*
 * mvcc.h - etcd's data model as a deterministic state machine (design.md 7, etcd-v3.md 3 and 4).
 * Ring 2: no I/O, clock or threads.
 *
 * Commands are applied in log order from memory; what they change is collected as rows for the
 * state database and handed out as a flush, one atomic batch that carries the index it reaches.
 * Keys and revisions are in memory (kv/index); values are on disk, plus those not yet written and a
 * bounded cache. Whatever is not in memory is asked for by revision ("missing", "wanted") and
 * brought by the pump from a reader thread, so nothing here ever waits.
 *
 * Two nodes that applied the same entries have the same rows and the same hash. Owner's thread
 * only, except mvcc_flush_fill and mvcc_row_key.
 */
#ifndef SYNOD_KV_MVCC_H
#define SYNOD_KV_MVCC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "base/err.h"
#include "consensus/value.h"
#include "kv/revision.h"
#include "proto/api.h"

struct store_batch;
struct mvcc;
struct mvcc_flush;

enum { MVCC_ROW_KEY_SIZE = 1 + 8 + 4 };

struct mvcc_options {
    size_t cache_bytes_max; /* values kept in memory after they were written or read */
    uint32_t txn_ops_max;   /* in a command of the log; not below what any node lets in */
    uint32_t sessions_max;  /* client sessions kept, 1 at least; the least recently used by log
                               order goes first. Equal on all nodes */
};

struct mvcc *mvcc_new(const struct mvcc_options *options);

/* NULL is legal. A flush that is out is freed too: nobody may be filling from it. Results stay
 * their holders': freeing them afterwards is legal, completing them is not. */
void mvcc_free(struct mvcc *m);

/*
 * Start: every row of the state database in key order, then done. An empty database is a new store
 * (revision 1, applied 0). After an error the object may only be freed.
 * Errors: ERR_CORRUPT (a row does not parse, contradicts another, or lacks), ERR_VERSION.
 */
MUST_USE int mvcc_restore_row(struct mvcc *m, struct bytes key, struct bytes value);
MUST_USE int mvcc_restore_done(struct mvcc *m);

uint64_t mvcc_applied(const struct mvcc *m);         /* index of the last entry fully applied */
uint64_t mvcc_durable(const struct mvcc *m);         /* index reached by the last flush done */
int64_t mvcc_revision(const struct mvcc *m);         /* current store revision, 1 when empty */
int64_t mvcc_compact_revision(const struct mvcc *m); /* -1 when never compacted */
uint64_t mvcc_hash(const struct mvcc *m);            /* over all changes applied so far */
uint64_t mvcc_keys(const struct mvcc *m);            /* live keys */
size_t mvcc_unwritten(const struct mvcc *m);         /* bytes of rows applied and not yet durable */
uint64_t mvcc_size_in_use(const struct mvcc *m); /* bytes of rows that are not garbage, estimated */

/*
 * Result of a request; heap object, freed by mvcc_result_free. err is the request's own outcome
 * (ERR_COMPACTED ...): the response is valid only with OK. While missing > 0 bring the rows and
 * call mvcc_result_complete; a result made with missing 0 is complete. Rows of a result that waits
 * are not deleted from the store before it is complete or freed.
 */
struct mvcc_result {
    int err;
    int64_t revision; /* header revision */
    uint32_t missing; /* rows still to be brought */
    struct api_response response;
};

void mvcc_result_free(struct mvcc_result *res); /* NULL is legal */

/* The i-th missing row, i < missing as it was when the result was made. */
struct revision mvcc_result_missing(const struct mvcc_result *res, uint32_t i);

/* Brings it, once: a reference to the row's value is taken; NULL: not found in the store. */
void mvcc_result_provide(struct mvcc_result *res, uint32_t i, struct blob *row);

/* After the last provide: sorts, filters, limits, fills the response. May set err: ERR_COMPACTED,
 * ERR_SESSION_EXPIRED (a kept answer's row was compacted), ERR_CORRUPT (the store lost or
 * changed the row). */
void mvcc_result_complete(struct mvcc *m, struct mvcc_result *res);

/*
 * Applies one command of the entry at `index` = mvcc_applied() + 1 (entries in order, commands in
 * order). Decides duplicates by (session, sequence); session 0 is none, such a command is always
 * applied. A command that was applied before changes nothing and is answered as it was then: a
 * client session's for as long as its answer is kept (kv/session.h), all others with
 * ERR_SESSION_EXPIRED, which says "outcome not known here". want_result: give an answer (only the
 * node that owes it asks); *ret_result is never NULL then, and always NULL without. A command that
 * fails by its own rules (lease not found ...) is applied as "failed", deterministically.
 * Errors: ERR_AGAIN: values are needed first (mvcc_wanted); nothing was changed; provide them and
 * call again; more may be wanted then. ERR_CORRUPT (fatal: the log holds a command no version of
 * this program lets in, or a value that the index knows is not in the store).
 */
MUST_USE int mvcc_apply(struct mvcc *m, uint64_t index, const struct command *command,
                        bool want_result, struct mvcc_result **ret_result);

/* What the sessions said of the command applied last: enum session_verdict (kv/session.h). */
uint8_t mvcc_verdict(const struct mvcc *m);

/* All commands of the entry were applied. Also for entries without commands. */
void mvcc_apply_done(struct mvcc *m, uint64_t index);

/* Rows that the last ERR_AGAIN asked for, in revision order without doubles; borrowed until the
 * next call that applies or reads. */
uint32_t mvcc_wanted(const struct mvcc *m, const struct revision **ret_revisions);

/*
 * Brings a wanted row (a reference is taken); kept until the next command is applied or transaction
 * read. row NULL: not in the store.
 * Errors: ERR_CORRUPT (fatal: the row does not check, or it is NULL and was never compacted).
 */
MUST_USE int mvcc_provide(struct mvcc *m, struct revision revision, struct blob *row);

/* Reads at the applied state. Errors: ERR_AGAIN (txn: compares need values: mvcc_wanted),
 * ERR_CORRUPT. Requests passed kv/api_check before. */
MUST_USE int mvcc_range(struct mvcc *m, const struct range_request *request,
                        struct mvcc_result **ret_result);
MUST_USE int mvcc_txn_read(struct mvcc *m, const struct txn_request *request,
                           struct mvcc_result **ret_result);

/* True when a transaction can change nothing whatever its compares say: it is a read. */
bool mvcc_txn_is_read(const struct txn_request *request);

/* Key of the row that holds a revision's record; any thread. */
void mvcc_row_key(struct revision revision, uint8_t ret_key[MVCC_ROW_KEY_SIZE]);

/* Collects everything applied since the last flush into one batch; NULL when nothing is new or one
 * is out already. Only between entries (asserted). The flush borrows rows from m until done. */
struct mvcc_flush *mvcc_flush_begin(struct mvcc *m);
uint64_t mvcc_flush_index(const struct mvcc_flush *f);

/* Any thread: puts the rows into the batch. */
void mvcc_flush_fill(const struct mvcc_flush *f, struct store_batch *batch);

/* The batch is durable; frees f. Owner's thread. */
void mvcc_flush_done(struct mvcc *m, struct mvcc_flush *f);

/* Operations and bytes a flush would carry now, about. */
uint32_t mvcc_pending_operations(const struct mvcc *m);
size_t mvcc_pending_bytes(const struct mvcc *m);

/* Background part of compaction: looks at up to `keys` keys, 1 at least; true when there is more to
 * do. False also while very many rows wait to be deleted: go on after the next flush is done. */
bool mvcc_work(struct mvcc *m, uint32_t keys);

/* The space of a compaction at this revision is released and that is durable. */
bool mvcc_compact_finished(const struct mvcc *m, int64_t revision);

#endif

/*
 * session.h - the exactly-once table: which commands were applied, and what was answered (K2). Part
 * of the replicated state: what it decides depends on the log alone.
 *
 * Ids with bit 63 clear are node sessions: node id << 32 | incarnation. A node has many commands
 * under way and they may be applied in any order (forwards, displaced values): the table keeps the
 * mark up to which all were applied and the set of those above it, SESSION_WINDOW wide. What is at
 * or below the mark, in the set, or beyond the window is a duplicate; so is everything of an
 * incarnation older than the newest that had a command applied. No answers: only that very process
 * asks for them, and it asks when they are applied.
 *
 * Ids with bit 63 set are client sessions, named by a client that may retry through any node. The
 * first sequence of an unknown session is 1, else the session expired: that says nothing of the
 * outcome, since another copy of the command may be in the log behind an earlier sequence that
 * makes the session known (again), and is applied then. A client has at most SESSION_ANSWERS
 * commands under way: the answers of that many sequences below the highest seen are kept; older
 * ones are expired. Beyond sessions_max the least recently used one, by order in the log, goes.
 * (What comes again of sequence 1 after its session went is applied again, whether a client retries
 * or a node has proposed its batch twice: no more than sessions_max other sessions may come between
 * the two.)
 *
 * Row of a session (after the frame of kv/mvcc_rows.h); the row id of a node session is the
 * node id << 32, so a new incarnation replaces the row:
 *
 *     node:   1 u8 | incarnation u32 | mark u64 | count varint |
 *             count times, above the mark: gap varint, run varint
 *     client: 2 u8 | last use u64 | highest u64 | count u8 | count times, by sequence:
 *             highest - sequence u8 | -err varint | revision varint | kind u8 | kept u8 |
 *             detail size varint, detail
 */
#ifndef SYNOD_KV_SESSION_H
#define SYNOD_KV_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

enum {
    SESSION_WINDOW = 65536,
    SESSION_ANSWERS = 16,
    SESSION_DETAIL_MAX = 4096, /* larger details are not kept: the retry is answered as expired */
};

#define SESSION_CLIENT_BIT (UINT64_C(1) << 63)

enum session_verdict {
    SESSION_APPLY,     /* never applied: do it */
    SESSION_DUPLICATE, /* applied before; its answer, if one is kept */
    SESSION_EXPIRED,   /* not known any more: do nothing */
};

/* What a client session keeps of an answer. detail is opaque here. */
struct session_answer {
    uint64_t sequence;
    int64_t revision;
    int err;
    uint8_t kind; /* enum op_kind */
    bool kept;    /* false: detail was too large */
    struct bytes detail;
};

struct session_table;

struct session_table *session_table_new(uint32_t clients_max);
void session_table_free(struct session_table *t); /* NULL is legal */

/* What to do with a command; changes nothing. *ret_answer is set for a duplicate only, borrowed
 * until the next change; NULL: none is kept. id is not 0. */
enum session_verdict session_check(const struct session_table *t, uint64_t id, uint64_t sequence,
                                   const struct session_answer **ret_answer);

/* The command, for which session_check said SESSION_APPLY, is applied. The answer is kept for
 * client sessions (its detail is copied), else not looked at. */
void session_applied(struct session_table *t, uint64_t id, uint64_t sequence,
                     const struct session_answer *answer);

/* A known client session was used by a duplicate. */
void session_used(struct session_table *t, uint64_t id);

uint32_t session_clients(const struct session_table *t);
uint32_t session_count(const struct session_table *t); /* of clients and nodes: of rows */

/* Counts uses of client sessions; orders them. */
uint64_t session_clock(const struct session_table *t);

/* Rows that changed since the last call, in the order of ids. */
struct session_row {
    uint64_t id;
    bool removed;
    size_t offset; /* of the row in `data` */
    size_t size;
};

struct session_rows {
    struct session_row *rows;
    uint32_t count;
    struct buf data;
};

void session_flush(struct session_table *t, struct session_rows *ret_rows);
void session_rows_release(struct session_rows *rows);
uint32_t session_dirty(const struct session_table *t); /* rows a flush would hold */

/* Start: the clock, rows with their frame still on in any order, then done.
 * Errors: ERR_CORRUPT, ERR_VERSION. */
void session_restore_clock(struct session_table *t, uint64_t clock);
MUST_USE int session_restore_row(struct session_table *t, uint64_t id, struct bytes row);
MUST_USE int session_restore_done(struct session_table *t);

#endif

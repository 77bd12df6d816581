/*
 * store.h - the seam to an ordered map on disk: what the state database needs, and nothing more.
 *
 * An implementation is one file (kv/store_*.c, with kv/store_impl.h) that ends in a `const struct
 * store_ops` listed in store.c; the contract suite runs over every one. Calls may block on the
 * disk, so none is made on the event loop. Threads: one writer and any number of readers at the
 * same time; an iterator belongs to the thread that made it.
 *
 * Fatal errors (err_is_fatal): the store is finished: free it and stop the process. A failed write
 * may have left anything un-synced, and going on would believe it; so after one, every later write
 * gives the same error and does not touch the disk (D6).
 */
#ifndef SYNOD_KV_STORE_H
#define SYNOD_KV_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

struct store;
struct store_batch;
struct store_iter;

struct store_options {
    size_t write_buffer_size; /* bytes kept in memory before a table is written; 0: a default */
    size_t cache_size;        /* bytes of table blocks kept in memory; 0: a default */

    /* true: the path must not hold a store yet; false: it must (a missing one is an error, never
     * an empty store over an existing identity). */
    bool create;

    /* With create: rows the store holds from its first moment. Creation is atomic: after a crash
     * the store is there with these rows, or it is not there. NULL: none. Borrowed. */
    const struct store_batch *initial;

    /* For implementations whose rows live on something the caller made, where they outlive the
     * store. "memory": a struct memory_disk, or NULL: they go when it is closed. "leveldb" ignores
     * it. Borrowed until close. */
    void *device;
};

struct store_ops {
    const char *name; /* as in the configuration: "leveldb", "memory" */
    int (*open)(const char *path, const struct store_options *options, struct store **ret_store,
                struct buf *error);
    void (*close)(struct store *s);
    int (*get)(struct store *s, struct bytes key, struct buf *ret_value);
    int (*write)(struct store *s, const struct store_batch *batch, bool sync);
    int (*iter_new)(struct store *s, bool snapshot, struct store_iter **ret_iter);
    uint64_t (*disk_size)(struct store *s);
    const char *(*last_error)(struct store *s);
};

/* Table of implementations; NULL when unknown / past the end. */
const struct store_ops *store_by_name(const char *name);
const struct store_ops *store_at(uint32_t i);

/*
 * Opens. `error` (NULL is legal) receives one human-readable line on failure: path, cause, remedy.
 * Errors: ERR_NOT_FOUND (nothing there and !create), ERR_EXISTS (something there and create),
 * ERR_LOCKED (used by a running process), ERR_CORRUPT, ERR_NO_SPACE, ERR_IO.
 */
MUST_USE int store_open(const struct store_ops *ops, const char *path,
                        const struct store_options *options, struct store **ret_store,
                        struct buf *error);

/* Closes and frees; no iterator of it is left. NULL is legal. */
void store_close(struct store *s);

/*
 * Reads one key; ret_value is cleared and filled, and unchanged on failure.
 * Errors: ERR_NOT_FOUND, ERR_LIMIT (larger than ret_value may become), ERR_CORRUPT, ERR_IO.
 */
MUST_USE int store_get(struct store *s, struct bytes key, struct buf *ret_value);

/* A list of puts and deletes that is applied as one atom, in order. Keys and values are copied in;
 * bounded by the caller, who asks store_batch_size. */
struct store_batch *store_batch_new(void);
void store_batch_free(struct store_batch *b); /* NULL is legal */
void store_batch_clear(struct store_batch *b);
void store_batch_put(struct store_batch *b, struct bytes key, struct bytes value);
void store_batch_delete(struct store_batch *b, struct bytes key);

/* Puts a value that is `head` followed by `tail`: saves the caller from joining them first. */
void store_batch_put_parts(struct store_batch *b, struct bytes key, struct bytes head,
                           struct bytes tail);

size_t store_batch_size(const struct store_batch *b);    /* bytes of keys and values */
uint32_t store_batch_count(const struct store_batch *b); /* operations */

/* Walks the operations (for implementations): cursor starts at 0. value is empty and *ret_delete
 * true for a delete. */
bool store_batch_next(const struct store_batch *b, size_t *cursor, struct bytes *ret_key,
                      struct bytes *ret_value, bool *ret_delete);

/*
 * Applies a batch. sync: durable when this returns OK. An un-synced batch may be lost while a later
 * one survives (design.md 6): do not mix the two in one store and believe the order.
 * Errors: ERR_NO_SPACE, ERR_IO, ERR_CORRUPT; all fatal, and repeated by every later write.
 */
MUST_USE int store_write(struct store *s, const struct store_batch *batch, bool sync);

/*
 * Iteration in key order, over the rows as they are now: later writes are not seen. snapshot: a
 * long scan of much of the store, which must not push hot blocks out of the cache.
 * Errors: ERR_IO.
 */
MUST_USE int store_iter_new(struct store *s, bool snapshot, struct store_iter **ret_iter);
void store_iter_free(struct store_iter *it);                   /* NULL is legal */
void store_iter_seek(struct store_iter *it, struct bytes key); /* first key >= key */
bool store_iter_valid(
    const struct store_iter *it);            /* false before the first seek, after an error */
void store_iter_next(struct store_iter *it); /* only when valid */
struct bytes store_iter_key(const struct store_iter *it);   /* until the next call on it */
struct bytes store_iter_value(const struct store_iter *it); /* until the next call on it */

/* OK, ERR_CORRUPT, ERR_IO: check when no longer valid, or the end may be damage. */
MUST_USE int store_iter_error(const struct store_iter *it);

/* Approximate bytes on disk. Any thread. */
uint64_t store_disk_size(struct store *s);

/* The implementation's own words for its first fatal failure; "" when none. For the one log line
 * before stopping. Valid until close. Any thread. */
const char *store_last_error(struct store *s);

#endif

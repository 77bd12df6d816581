/*
 * records.h - rows in memory, by revision: those not yet durable, which stay, and a cache of clean
 * ones, the least recently used of which go when they exceed a limit.
 *
 * Rows are blobs; whoever answers with one takes a reference of its own. Owner's thread only,
 * except that a flush reads the rows of a struct records_batch, which neither change nor go
 * meanwhile.
 */
#ifndef SYNOD_KV_RECORDS_H
#define SYNOD_KV_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "kv/revision.h"

/* A row to be written; the blob is borrowed from the records. */
struct records_row {
    struct revision revision;
    struct blob *row;
    uint32_t index; /* of the records; private */
};

/* Rows in revision order. */
struct records_batch {
    struct records_row *rows;
    uint32_t count;
    uint32_t capacity;
    size_t bytes; /* of row keys and rows */
};

struct record;
struct record_slot;

/* Embedded. */
struct records {
    struct record *pool;
    uint32_t pool_count; /* used once at least */
    uint32_t pool_capacity;
    uint32_t pool_free; /* first free, chained by next; NIL: none */
    struct record_slot *slots;
    uint32_t slots_count; /* 0 or a power of two */
    uint32_t count;
    uint32_t newest; /* clean rows by last use */
    uint32_t oldest;
    size_t clean_bytes;
    size_t clean_bytes_max;
    size_t flushing_bytes;
    struct records_batch pending;
};

void records_init(struct records *r, size_t clean_bytes_max);
void records_release(struct records *r);

/* Adds a row that is to be written; `revision` is newer than all before. Takes the reference. */
void records_add_take(struct records *r, struct revision revision, struct blob *row);

/* Adds a row read from the store (a reference is taken), unless it is there. */
void records_cache(struct records *r, struct revision revision, struct blob *row);

/* The row, borrowed until the next call that changes the records; NULL: not in memory. */
struct blob *records_get(struct records *r, struct revision revision);

/* The row will not be asked for again: a clean one goes; one not yet durable stays until it is. */
void records_drop(struct records *r, struct revision revision);

/* All rows not handed out yet. The caller owns the array. One batch at a time. */
void records_flush_begin(struct records *r, struct records_batch *ret_batch);
/* They are durable: they become clean. Frees the array. */
void records_flush_done(struct records *r, struct records_batch *batch);

size_t records_unwritten(const struct records *r); /* bytes pending or being flushed */

#endif

/*
 * node_data.h - a node's data directory: opening, creating, checking whose it is, and reading it
 * back at start.
 *
 *     <data_dir>/log     log store: identity, hard state, entries     (made last: a directory with
 * it is complete) <data_dir>/state   state store: key-value rows
 *
 * Blocking; used before the node serves. Thread: the caller's.
 */
#ifndef SYNOD_KV_NODE_DATA_H
#define SYNOD_KV_NODE_DATA_H

#include "base/buf.h"
#include "base/err.h"
#include "kv/logstore.h"
#include "kv/mvcc.h"
#include "kv/store.h"

struct node_data_options {
    const char *dir;
    const struct logstore_ops *log_store;
    const struct store_ops *state_store;
    size_t log_write_buffer;
    size_t state_write_buffer;
    size_t state_cache;
    const struct identity *identity;
    const struct mvcc_options *mvcc;
    bool create; /* make the directory if there is none: only for the first start of a cluster */

    /* Given to both stores as their device. With it nothing here touches the file system: `exists`
     * says whether something is at a path. NULL: directories and files. */
    void *device;
    bool (*exists)(void *ctx, const char *path);
    void *exists_ctx;
};

struct node_data {
    struct logstore *log;
    struct store *state;
    struct mvcc *mvcc; /* restored from state */
    struct logstore_recovery recovery;
    uint64_t incarnation;
    bool created;  /* the directory was made now */
    uint64_t rows; /* of the state store, read at start */
};

/*
 * Creates the directory for a new node, or opens an existing one, and counts this start. `error`
 * gets one line. Errors: ERR_NOT_FOUND (there is none and !create: a member whose data is lost has
 * forgotten its votes and promises, so it never comes back empty by itself, D3), ERR_MISMATCH,
 * ERR_LOCKED, ERR_CORRUPT (also: one of the two stores is missing), ERR_VERSION, ERR_NO_SPACE,
 * ERR_IO.
 */
MUST_USE int node_data_open(const struct node_data_options *options, struct node_data *ret_data,
                            struct buf *error);

/* Closes what is still there; members that were handed on and set to NULL are left alone. */
void node_data_close(struct node_data *data);

#endif

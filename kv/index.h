/*
 * index.h - the ordered index of keys, in memory: for each key its newest revision with create
 * revision, version and lease, and the revisions before it that were not compacted yet.
 *
 * It knows no values and no rows. A B+ tree with wide nodes: a slot of a node holds four bytes of
 * its key, so that a search reads a key only where those are equal. Per key it takes 40 bytes for
 * the entry and about 18 in the tree, beside the key itself; older revisions take 16 bytes each.
 *
 * Everything borrowed from the index is valid until its next change. Owner's thread only.
 */
#ifndef SYNOD_KV_INDEX_H
#define SYNOD_KV_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "kv/revision.h"

struct index;
struct index_leaf;

/* As `at` of a lookup: the newest state. */
#define INDEX_LATEST INT64_MAX

/* A key as it was at some revision, where it was live. */
struct index_item {
    struct bytes key;
    struct revision mod;
    bool latest; /* nothing newer is known; only then the next three are valid, else 0 */
    int64_t create;
    int64_t version;
    int64_t lease;
};

/* What a change of a key replaced. */
struct index_old {
    bool live;
    struct revision mod; /* main 0: the key was not in the index at all */
    int64_t create;      /* 0 unless live, as the next two */
    int64_t version;
    int64_t lease;
};

/* A newest state that is known from elsewhere, for a restart. */
struct index_state {
    struct revision mod;
    int64_t create;
    int64_t version; /* 0: a tombstone */
    int64_t lease;
};

/* Which keys: etcd's rule for key and range_end (etcd-v3.md 4). */
struct index_range {
    struct bytes key;
    struct bytes end; /* empty: `key` only; one zero byte: every key >= `key` */
};

struct index *index_new(void);
void index_free(struct index *x); /* NULL is legal */

uint64_t index_live(const struct index *x); /* keys that are live at the newest revision */
uint64_t index_size(const struct index *x); /* all keys, tombstones and keys of history too */
size_t index_memory(const struct index *x); /* bytes allocated, keys included */

/* Whether `key` is live at revision `at`; then *ret_item is its state there. */
bool index_get(const struct index *x, struct bytes key, int64_t at, struct index_item *ret_item);

/*
 * Sets a key at revision `mod`, which is newer than all of the key's: creates it (version 1,
 * created by `mod`) or raises its version. *ret_old is what was there before, *ret_new the state
 * now (key included). Copies the key.
 */
void index_put(struct index *x, struct bytes key, struct revision mod, int64_t lease,
               struct index_old *ret_old, struct index_item *ret_new);

/* Makes a live key a tombstone at revision `mod` and returns true; false when it is not live. The
 * nodes of the tree stay as they are: cursors remain valid. */
bool index_delete(struct index *x, struct bytes key, struct revision mod,
                  struct index_old *ret_old);

/* Appends a state as told, without rules of its own; the caller judges *ret_old. `mod` is newer
 * than all of the key's revisions. */
void index_restore(struct index *x, struct bytes key, const struct index_state *state,
                   struct index_old *ret_old);

/* The keys of the range that are live at `at`. Logarithmic for INDEX_LATEST, else linear. */
uint64_t index_count(const struct index *x, const struct index_range *range, int64_t at);

/* A walk over the keys of a range in key order. Valid until a key is added or swept. */
struct index_cursor {
    const struct index_leaf *leaf;
    uint32_t slot;
    struct index_range range;
    int64_t at;
};

/* Places `c` before the first key of the range; the range's bytes stay the caller's. */
void index_seek(const struct index *x, const struct index_range *range, int64_t at,
                struct index_cursor *c);

/* As index_seek at INDEX_LATEST, but skips the first `skip` live keys of the range, in
 * logarithmic time. */
void index_seek_skip(const struct index *x, const struct index_range *range, uint64_t skip,
                     struct index_cursor *c);

/* Gives the next live key; false at the end. */
bool index_next(struct index_cursor *c, struct index_item *ret_item);

/* Receives a revision that a sweep removed. For one key they come oldest first. */
typedef void index_swept_fn(void *ctx, struct revision revision);

/*
 * One step of a compaction at revision `at`: looks at up to `keys` keys behind the cursor, forgets
 * the revisions that no read at `at` or later can see, and names each to `fn`. The cursor holds the
 * last key looked at (empty: begins anew), so keys may come and go between two steps. Returns false
 * when the end was reached.
 */
bool index_sweep(struct index *x, struct buf *cursor, int64_t at, uint32_t keys, index_swept_fn *fn,
                 void *ctx);

/* Checks the tree's own order, counts and prefixes by ASSERT. For tests; linear. */
void index_verify(const struct index *x);

#endif

/*
 * index_impl.h - the tree behind kv/index.h, shared by index*.c only.
 *
 * Every node lies between two fences, the separators left and right of it on the way from the root;
 * all keys in it, and every key searched in it, begin with what the fences have in common.
 * `prefix` is that many bytes (or fewer), and heads[i] the next four bytes of key i, big-endian and
 * padded with zeros. Equal heads decide nothing: then the keys themselves are compared.
 */
#ifndef SYNOD_KV_INDEX_IMPL_H
#define SYNOD_KV_INDEX_IMPL_H

#include "kv/index.h"
#include "kv/index_slab.h"

enum {
    NODE_FANOUT = 64,
    NODE_MERGE_BELOW = 16, /* a node that shrank below this looks for a neighbour ... */
    NODE_MERGE_MAX = 48,   /* ... with which it has at most this much together */
    TREE_DEPTH_MAX = 24,   /* inner levels; each splits at 32 at least */
};

struct index_past_rev {
    int64_t main;
    uint32_t sub;
    uint32_t tombstone; /* 0 or 1 */
};

/* What most keys do not have: a lease, and revisions older than the newest, oldest first. */
struct index_past {
    int64_t lease;
    uint32_t count;
    uint32_t capacity;
    struct index_past_rev revs[];
};

/* A key and its newest revision. */
struct index_key {
    int64_t main;
    int64_t create;  /* 0: tombstone */
    int64_t version; /* 0: tombstone */
    struct index_past *past;
    uint32_t sub;
    uint32_t size;
    uint8_t key[];
};

/* A key that divides two children; the tree's own, it need not be in any leaf. */
struct index_sep {
    uint32_t size;
    uint8_t key[];
};

struct index_node {
    uint16_t count; /* keys of a leaf, children of an inner node */
    bool leaf;
    uint32_t prefix;
    uint32_t heads[NODE_FANOUT]; /* inner: of seps, so heads[0] is not used */
};

struct index_leaf {
    struct index_node node;
    struct index_leaf *next;
    struct index_leaf *prev;
    struct index_key *keys[NODE_FANOUT];
};

struct index_inner {
    struct index_node node;
    struct index_node *children[NODE_FANOUT];
    struct index_sep *seps[NODE_FANOUT]; /* children[i] holds keys >= seps[i], i > 0 */
    uint64_t live[NODE_FANOUT];          /* live keys below children[i] */
};

struct index {
    struct index_node *root;
    uint64_t live;
    uint64_t size;
    size_t bytes; /* of nodes, separators and pasts */
    struct slab slab;
};

/* The way from the root to a slot of a leaf. */
struct index_path {
    struct index_inner *inner[TREE_DEPTH_MAX];
    uint32_t child[TREE_DEPTH_MAX];
    uint32_t depth; /* inner nodes on the way */
    struct index_leaf *leaf;
    uint32_t slot;
};

static inline struct index_leaf *index_node_leaf(const struct index_node *n)
{
    return (struct index_leaf *) (uintptr_t) n;
}

static inline struct index_inner *index_node_inner(const struct index_node *n)
{
    return (struct index_inner *) (uintptr_t) n;
}

static inline struct bytes index_key_bytes(const struct index_key *k)
{
    return bytes_of(k->key, k->size);
}

/* The first slot of the leaf whose key is >= `key`, which lies between the leaf's fences. */
uint32_t index_leaf_lower(const struct index_leaf *leaf, struct bytes key);

/* The child that `key` belongs to. */
uint32_t index_inner_child(const struct index_inner *inner, struct bytes key);

/* The way to where `key` is or would be; true when it is there. */
bool index_tree_find(const struct index *x, struct bytes key, struct index_path *ret_path);

/* Adds the key, which is not there, as a fresh tombstone of main 0; live: counted as a live
 * key from now on, so the caller must make it one. */
struct index_key *index_tree_insert(struct index *x, struct bytes key, bool live);

/* Removes the slots [first, first + count) of the path's leaf, whose keys are not live, were freed
 * by the caller and are not looked at. The path is void afterwards. */
void index_tree_remove(struct index *x, struct index_path *path, uint32_t count);

/* The live counts along the path go up (live) or down by one. */
void index_path_count(struct index *x, const struct index_path *path, bool live);

/* Frees what a key has beside its newest revision; frees a key that is in no leaf any more. */
void index_past_free(struct index *x, struct index_key *k);
void index_key_free(struct index *x, struct index_key *k);

/* An empty leaf as the whole tree; index_tree_free ends it (the keys were freed before). */
void index_tree_init(struct index *x);
void index_tree_free(struct index *x);

#endif

/*
 * disk_tree.h - rows of the model disk in a search tree that is shared instead of copied.
 *
 * A tree is a value: copying it is taking a reference, and a node that is shared is copied before
 * it is changed. So the tables of a database, what a reader sees and a saved image cost a pointer
 * each. As kv/store_memory.c, but for one thread, and rows are objects that records of write-ahead
 * files share with trees: a row that two trees have is the same object in both.
 */
#ifndef SYNOD_TESTS_SIM_DISK_TREE_H
#define SYNOD_TESTS_SIM_DISK_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* Key and value, or the deletion of a key; immutable and counted. */
struct sim_row {
    uint32_t refs;
    uint32_t key_size;
    uint32_t value_size;
    bool deleted;
    uint64_t priority; /* of the node that holds it: a hash of the key */
    uint8_t data[];    /* key, then value */
};

struct sim_row *sim_row_new(struct bytes key, struct bytes value, bool deleted);
struct sim_row *sim_row_ref(struct sim_row *r);
void sim_row_unref(struct sim_row *r);

static inline struct bytes sim_row_key(const struct sim_row *r)
{
    return bytes_of(r->data, r->key_size);
}

static inline struct bytes sim_row_value(const struct sim_row *r)
{
    return bytes_of(r->data + r->key_size, r->value_size);
}

struct sim_node;

/* All zero is an empty one. */
struct sim_tree {
    struct sim_node *root;
    uint64_t rows;
    uint64_t bytes; /* of keys and values */
};

/* `to` becomes what `from` is; what it was is dropped. They may be the same. */
void sim_tree_copy(struct sim_tree *to, const struct sim_tree *from);
void sim_tree_clear(struct sim_tree *t);

/* Puts the row, or takes out the one whose deletion it is. Keeps a reference of its own. */
void sim_tree_apply(struct sim_tree *t, struct sim_row *row);

/* NULL when there is none. Valid as long as some tree has it. */
const struct sim_row *sim_tree_find(const struct sim_tree *t, struct bytes key);

/* A walk in key order over a tree that stays as it is: keep a copy of it meanwhile. */
struct sim_cursor {
    const struct sim_node **path; /* nodes whose row and right side are still to come */
    uint32_t depth;
    uint32_t capacity;
};

void sim_cursor_init(struct sim_cursor *c);
void sim_cursor_release(struct sim_cursor *c);
void sim_cursor_seek(struct sim_cursor *c, const struct sim_tree *t, struct bytes key);
const struct sim_row *sim_cursor_row(const struct sim_cursor *c); /* NULL at the end */
void sim_cursor_next(struct sim_cursor *c);                       /* not at the end */

#endif

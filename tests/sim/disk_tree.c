/*
 * disk_tree.c - rows of the model disk in a search tree that is shared instead of copied.
 *
 * A treap: a search tree by key and a heap by priority, which is a hash of the key, so that its
 * shape depends on nothing but the keys in it, and equal keys have equal priorities: whoever looks
 * for the place of a key meets the node that has it before he would insert above it.
 */

#include "tests/sim/disk_tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

struct sim_node {
    uint64_t priority;
    struct sim_row *row;
    struct sim_node *left;
    struct sim_node *right;
    uint32_t refs;
};

struct sim_row *sim_row_new(struct bytes key, struct bytes value, bool deleted)
{
    ASSERT(key.size <= UINT32_MAX);
    ASSERT(value.size <= UINT32_MAX);
    struct sim_row *r = xmalloc(sizeof *r + key.size + value.size);
    r->refs = 1;
    r->key_size = (uint32_t) key.size;
    r->value_size = (uint32_t) value.size;
    r->deleted = deleted;
    r->priority = hash64_bytes(0, key);
    if (key.size > 0) {
        memcpy(r->data, key.data, key.size);
    }
    if (value.size > 0) {
        memcpy(r->data + key.size, value.data, value.size);
    }
    return r;
}

struct sim_row *sim_row_ref(struct sim_row *r)
{
    r->refs++;
    return r;
}

void sim_row_unref(struct sim_row *r)
{
    ASSERT(r->refs > 0);
    r->refs--;
    if (r->refs == 0) {
        free(r);
    }
}

static struct sim_node *node_ref(struct sim_node *n)
{
    if (n != NULL) {
        n->refs++;
    }
    return n;
}

/* Drops a reference. Nodes whose last one went wait in a list, linked through `left`, until their
 * left side is done, so that nothing recurses. */
static void node_unref(struct sim_node *n)
{
    struct sim_node *pending = NULL;
    for (;;) {
        if (n != NULL) {
            ASSERT(n->refs > 0);
            n->refs--;
        }
        if (n != NULL && n->refs == 0) {
            struct sim_node *left = n->left;
            n->left = pending;
            pending = n;
            n = left;
            continue;
        }
        if (pending == NULL) {
            return;
        }
        struct sim_node *dead = pending;
        pending = dead->left;
        n = dead->right;
        sim_row_unref(dead->row);
        free(dead);
    }
}

/* Gives a node that only the caller refers to, in exchange for the reference to `n`. */
static struct sim_node *own(struct sim_node *n)
{
    if (n->refs == 1) {
        return n;
    }
    struct sim_node *copy = xmalloc(sizeof *copy);
    *copy = *n;
    copy->refs = 1;
    sim_row_ref(copy->row);
    node_ref(copy->left);
    node_ref(copy->right);
    n->refs--; /* Not the last one. */
    return copy;
}

void sim_tree_copy(struct sim_tree *to, const struct sim_tree *from)
{
    struct sim_node *root = node_ref(from->root);
    node_unref(to->root);
    *to = *from;
    to->root = root;
}

void sim_tree_clear(struct sim_tree *t)
{
    node_unref(t->root);
    memset(t, 0, sizeof *t);
}

static uint64_t row_bytes(const struct sim_row *r)
{
    return (uint64_t) r->key_size + r->value_size;
}

/* Links a node for a row that is not there at the place where the heap wants it. */
static void insert_at(struct sim_node **link, struct sim_row *row)
{
    struct sim_node *added = xmalloc(sizeof *added);
    added->priority = row->priority;
    added->row = sim_row_ref(row);
    added->refs = 1;
    /* What is below goes left or right of the new node, by key. */
    struct sim_node *rest = *link;
    struct sim_node **lower = &added->left;
    struct sim_node **higher = &added->right;
    while (rest != NULL) {
        rest = own(rest);
        if (bytes_compare(sim_row_key(rest->row), sim_row_key(row)) < 0) {
            *lower = rest;
            lower = &rest->right;
            rest = rest->right;
        } else {
            *higher = rest;
            higher = &rest->left;
            rest = rest->left;
        }
    }
    *lower = NULL;
    *higher = NULL;
    *link = added;
}

static void tree_put(struct sim_tree *t, struct sim_row *row)
{
    const struct bytes key = sim_row_key(row);
    struct sim_node **link = &t->root;
    t->bytes += row_bytes(row);
    while (*link != NULL && (*link)->priority >= row->priority) {
        struct sim_node *n = own(*link);
        *link = n;
        int order = bytes_compare(key, sim_row_key(n->row));
        if (order == 0) {
            t->bytes -= row_bytes(n->row);
            sim_row_ref(row);
            sim_row_unref(n->row);
            n->row = row;
            return;
        }
        link = order < 0 ? &n->left : &n->right;
    }
    t->rows++;
    insert_at(link, row);
}

/* Takes out a row that is there. */
static void tree_remove(struct sim_tree *t, struct bytes key)
{
    struct sim_node **link = &t->root;
    struct sim_node *gone = NULL;
    while (gone == NULL) {
        ASSERT(*link != NULL);
        struct sim_node *n = own(*link);
        *link = n;
        int order = bytes_compare(key, sim_row_key(n->row));
        if (order == 0) {
            gone = n;
        } else {
            link = order < 0 ? &n->left : &n->right;
        }
    }
    struct sim_node *left = gone->left;
    struct sim_node *right = gone->right;
    while (left != NULL && right != NULL) {
        if (left->priority >= right->priority) {
            left = own(left);
            *link = left;
            link = &left->right;
            left = left->right;
        } else {
            right = own(right);
            *link = right;
            link = &right->left;
            right = right->left;
        }
    }
    *link = left != NULL ? left : right;
    gone->left = NULL;
    gone->right = NULL;
    t->rows--;
    t->bytes -= row_bytes(gone->row);
    node_unref(gone);
}

void sim_tree_apply(struct sim_tree *t, struct sim_row *row)
{
    if (!row->deleted) {
        tree_put(t, row);
    } else if (sim_tree_find(t, sim_row_key(row)) != NULL) {
        tree_remove(t, sim_row_key(row));
    }
}

const struct sim_row *sim_tree_find(const struct sim_tree *t, struct bytes key)
{
    const struct sim_node *n = t->root;
    while (n != NULL) {
        int order = bytes_compare(key, sim_row_key(n->row));
        if (order == 0) {
            return n->row;
        }
        n = order < 0 ? n->left : n->right;
    }
    return NULL;
}

void sim_cursor_init(struct sim_cursor *c)
{
    memset(c, 0, sizeof *c);
}

void sim_cursor_release(struct sim_cursor *c)
{
    free(c->path);
    memset(c, 0, sizeof *c);
}

static void cursor_push(struct sim_cursor *c, const struct sim_node *n)
{
    if (c->depth == c->capacity) {
        ASSERT(c->capacity <= UINT32_MAX / 2);
        c->capacity = c->capacity == 0 ? 32 : c->capacity * 2;
        c->path = xrealloc(c->path, c->capacity * sizeof c->path[0]);
    }
    c->path[c->depth] = n;
    c->depth++;
}

void sim_cursor_seek(struct sim_cursor *c, const struct sim_tree *t, struct bytes key)
{
    c->depth = 0;
    for (const struct sim_node *n = t->root; n != NULL;) {
        if (bytes_compare(sim_row_key(n->row), key) >= 0) {
            cursor_push(c, n);
            n = n->left;
        } else {
            n = n->right;
        }
    }
}

const struct sim_row *sim_cursor_row(const struct sim_cursor *c)
{
    return c->depth > 0 ? c->path[c->depth - 1]->row : NULL;
}

void sim_cursor_next(struct sim_cursor *c)
{
    ASSERT(c->depth > 0);
    c->depth--;
    for (const struct sim_node *n = c->path[c->depth]->right; n != NULL; n = n->left) {
        cursor_push(c, n);
    }
}

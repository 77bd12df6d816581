/*
 * store_memory.c - the store in memory: for tests, the simulator, and as a second opinion on what a
 * store is.
 *
 * An image is a treap: a search tree by key and a heap by priority, where the priority is a hash of
 * the key, so that its shape depends on nothing but the keys in it. Nodes are counted; one that is
 * shared is copied before it is changed (own), one that is not is changed in place. Counts are
 * atomic, because a clone on another thread may share nodes.
 */

#include "kv/store_memory.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "kv/store_impl.h"

/* Key and value; immutable. */
struct row {
    atomic_uint refs;
    uint32_t key_size;
    uint32_t value_size;
    uint8_t data[]; /* key, then value */
};

struct tree {
    atomic_uint refs;
    uint64_t priority;
    struct row *row;
    struct tree *left;
    struct tree *right;
};

/* The contents of one store, by path. */
struct image {
    struct list_node node;
    char *path; /* "" when it was removed: kept until the disk goes, as stores may point to it */
    bool open;
    uint64_t generation; /* rises when open stores die */
    uint64_t bytes;      /* of the rows written */
    uint64_t synced_bytes;
    struct tree *root;   /* what was written */
    struct tree *synced; /* what survives a crash */
};

struct memory_disk {
    pthread_mutex_t lock; /* over everything below and in the images */
    struct list images;
    uint64_t writes;
    bool fault_set;
    struct memory_fault fault;
};

struct store_memory {
    struct store base;
    struct memory_disk *disk;
    struct image *image;
    uint64_t generation;
    bool disk_owned;
};

struct iter_memory {
    struct store_iter base;
    struct tree *root;
    const struct row *row; /* NULL when not valid */
};

static struct bytes row_key(const struct row *r)
{
    return bytes_of(r->data, r->key_size);
}

static struct bytes row_value(const struct row *r)
{
    return bytes_of(r->data + r->key_size, r->value_size);
}

static struct row *row_new(struct bytes key, struct bytes value)
{
    struct row *r = xmalloc(sizeof *r + key.size + value.size);
    atomic_init(&r->refs, 1);
    r->key_size = (uint32_t) key.size;
    r->value_size = (uint32_t) value.size;
    if (key.size > 0) {
        memcpy(r->data, key.data, key.size);
    }
    if (value.size > 0) {
        memcpy(r->data + key.size, value.data, value.size);
    }
    return r;
}

static void row_unref(struct row *r)
{
    if (atomic_fetch_sub(&r->refs, 1) == 1) {
        free(r);
    }
}

static struct tree *tree_ref(struct tree *t)
{
    if (t != NULL) {
        atomic_fetch_add(&t->refs, 1);
    }
    return t;
}

/* Drops a reference to a node. Nodes whose last one went wait in a list, linked through `left`,
 * until their left side is done, so that nothing recurses. */
static void tree_unref(struct tree *t)
{
    struct tree *pending = NULL;
    for (;;) {
        if (t != NULL && atomic_fetch_sub(&t->refs, 1) == 1) {
            struct tree *left = t->left;
            t->left = pending;
            pending = t;
            t = left;
            continue;
        }
        if (pending == NULL) {
            return;
        }
        struct tree *dead = pending;
        pending = dead->left;
        t = dead->right;
        row_unref(dead->row);
        free(dead);
    }
}

static struct tree *tree_new(struct row *row)
{
    struct tree *t = xcalloc(1, sizeof *t);
    atomic_init(&t->refs, 1);
    t->priority = hash64_bytes(0, row_key(row));
    t->row = row;
    return t;
}

/* Gives a node that only the caller refers to, in exchange for the reference to `t`. */
static struct tree *own(struct tree *t)
{
    if (atomic_load(&t->refs) == 1) {
        return t;
    }
    struct tree *copy = xcalloc(1, sizeof *copy);
    atomic_init(&copy->refs, 1);
    copy->priority = t->priority;
    copy->row = t->row;
    atomic_fetch_add(&t->row->refs, 1);
    copy->left = tree_ref(t->left);
    copy->right = tree_ref(t->right);
    tree_unref(t);
    return copy;
}

/* The row with the lowest key that is at least `key`, or above it; NULL when there is none. */
static const struct row *tree_seek(const struct tree *t, struct bytes key, bool above)
{
    const struct row *best = NULL;
    while (t != NULL) {
        int order = bytes_compare(row_key(t->row), key);
        if (order > 0 || (order == 0 && !above)) {
            best = t->row;
            t = t->left;
        } else {
            t = t->right;
        }
    }
    return best;
}

static const struct row *tree_find(const struct tree *t, struct bytes key)
{
    const struct row *r = tree_seek(t, key, false);
    return r != NULL && bytes_equal(row_key(r), key) ? r : NULL;
}

/* Puts a row that is not there yet; takes it over. */
static void tree_insert(struct tree **root, struct row *row)
{
    struct tree *added = tree_new(row);
    struct tree **link = root;
    while (*link != NULL && (*link)->priority >= added->priority) {
        *link = own(*link);
        bool left = bytes_compare(row_key(row), row_key((*link)->row)) < 0;
        link = left ? &(*link)->left : &(*link)->right;
    }
    /* What is below goes left or right of the new node, by key. */
    struct tree *rest = *link;
    struct tree **lower = &added->left;
    struct tree **higher = &added->right;
    while (rest != NULL) {
        rest = own(rest);
        if (bytes_compare(row_key(rest->row), row_key(row)) < 0) {
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

/* The link to the node of a key that is there, with every node on the way owned. */
static struct tree **tree_own_path(struct tree **root, struct bytes key)
{
    struct tree **link = root;
    for (;;) {
        ASSERT(*link != NULL);
        *link = own(*link);
        int order = bytes_compare(key, row_key((*link)->row));
        if (order == 0) {
            return link;
        }
        link = order < 0 ? &(*link)->left : &(*link)->right;
    }
}

/* Takes the node of a key that is there out of the tree. */
static void tree_remove(struct tree **root, struct bytes key)
{
    struct tree **link = tree_own_path(root, key);
    struct tree *gone = *link;
    struct tree *left = gone->left;
    struct tree *right = gone->right;
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
    tree_unref(gone);
}

static void image_apply(struct image *im, const struct store_batch *batch)
{
    size_t cursor = 0;
    struct bytes key;
    struct bytes value;
    bool is_delete = false;
    while (store_batch_next(batch, &cursor, &key, &value, &is_delete)) {
        const struct row *old = tree_find(im->root, key);
        if (old != NULL) {
            im->bytes -= (uint64_t) old->key_size + old->value_size;
        }
        if (is_delete) {
            if (old != NULL) {
                tree_remove(&im->root, key);
            }
            continue;
        }
        im->bytes += key.size + value.size;
        struct row *row = row_new(key, value);
        if (old != NULL) {
            struct tree *t = *tree_own_path(&im->root, key);
            row_unref(t->row);
            t->row = row;
        } else {
            tree_insert(&im->root, row);
        }
    }
}

static void image_sync(struct image *im)
{
    tree_unref(im->synced);
    im->synced = tree_ref(im->root);
    im->synced_bytes = im->bytes;
}

static struct image *image_new(struct memory_disk *d, const char *path)
{
    struct image *im = xcalloc(1, sizeof *im);
    im->path = xstrdup(path);
    list_push_back(&d->images, &im->node);
    return im;
}

static void image_free(struct image *im)
{
    list_remove(&im->node);
    tree_unref(im->root);
    tree_unref(im->synced);
    free(im->path);
    free(im);
}

static struct image *image_find(struct memory_disk *d, const char *path)
{
    LIST_FOR_EACH(&d->images, node) {
        struct image *im = list_entry(node, struct image, node);
        if (strcmp(im->path, path) == 0) {
            return im;
        }
    }
    return NULL;
}

struct memory_disk *memory_disk_new(void)
{
    struct memory_disk *d = xcalloc(1, sizeof *d);
    int rc = pthread_mutex_init(&d->lock, NULL);
    ASSERT(rc == 0);
    list_init(&d->images);
    return d;
}

void memory_disk_free(struct memory_disk *d)
{
    if (d == NULL) {
        return;
    }
    LIST_FOR_EACH_SAFE(&d->images, node, after) {
        struct image *im = list_entry(node, struct image, node);
        ASSERT(!im->open);
        image_free(im);
    }
    int rc = pthread_mutex_destroy(&d->lock);
    ASSERT(rc == 0);
    free(d);
}

void memory_disk_crash(struct memory_disk *d)
{
    pthread_mutex_lock(&d->lock);
    LIST_FOR_EACH(&d->images, node) {
        struct image *im = list_entry(node, struct image, node);
        tree_unref(im->root);
        im->root = tree_ref(im->synced);
        im->bytes = im->synced_bytes;
        im->generation++;
        im->open = false;
    }
    pthread_mutex_unlock(&d->lock);
}

struct memory_disk *memory_disk_clone_synced(struct memory_disk *d)
{
    struct memory_disk *clone = memory_disk_new();
    pthread_mutex_lock(&d->lock);
    LIST_FOR_EACH(&d->images, node) {
        const struct image *im = list_entry(node, struct image, node);
        struct image *copy = image_new(clone, im->path);
        copy->root = tree_ref(im->synced);
        copy->synced = tree_ref(im->synced);
        copy->bytes = im->synced_bytes;
        copy->synced_bytes = im->synced_bytes;
    }
    pthread_mutex_unlock(&d->lock);
    return clone;
}

void memory_disk_remove(struct memory_disk *d, const char *path)
{
    pthread_mutex_lock(&d->lock);
    struct image *im = image_find(d, path);
    if (im != NULL) {
        im->path[0] = '\0';
        im->generation++;
        im->open = false;
        tree_unref(im->root);
        tree_unref(im->synced);
        im->root = NULL;
        im->synced = NULL;
    }
    pthread_mutex_unlock(&d->lock);
}

void memory_disk_fail(struct memory_disk *d, struct memory_fault fault)
{
    ASSERT(err_is_fatal(fault.err));
    pthread_mutex_lock(&d->lock);
    d->fault_set = true;
    d->fault = fault;
    pthread_mutex_unlock(&d->lock);
}

uint64_t memory_disk_writes(struct memory_disk *d)
{
    pthread_mutex_lock(&d->lock);
    uint64_t writes = d->writes;
    pthread_mutex_unlock(&d->lock);
    return writes;
}

/* One write to an image; the disk is locked. NULL batch: nothing to change. */
static int disk_write(struct memory_disk *d, struct image *im, const struct store_batch *batch,
                      bool sync)
{
    int rc = OK;
    bool applied = true;
    d->writes++;
    if (d->fault_set && d->fault.writes_before == 0) {
        rc = d->fault.err;
        applied = d->fault.applied;
        d->fault_set = false;
    } else if (d->fault_set) {
        d->fault.writes_before--;
    }
    if (applied && batch != NULL) {
        image_apply(im, batch);
    }
    if (applied && sync) {
        image_sync(im);
    }
    return rc;
}

/* Finds or makes the image of a store that is being opened; the disk is locked. */
static int image_open(struct memory_disk *d, const char *path, const struct store_options *options,
                      struct image **ret_image, struct buf *error)
{
    struct image *im = image_find(d, path);
    if (options->create && im != NULL) {
        store_error_line(error, "cannot create %s: it is there already; open it instead", path);
        return ERR_EXISTS;
    }
    if (options->create) {
        im = image_new(d, path);
        int rc = disk_write(d, im, options->initial, true);
        if (rc != OK) {
            store_error_line(error, "cannot create %s: %s; a fault was injected", path,
                             err_text(rc));
            if (im->root == NULL) {
                image_free(im);
            }
            return rc;
        }
    } else if (im == NULL) {
        store_error_line(error, "cannot open %s: not found; create the node", path);
        return ERR_NOT_FOUND;
    }
    if (im->open) {
        store_error_line(error, "cannot open %s: it is open already; close it first", path);
        return ERR_LOCKED;
    }
    *ret_image = im;
    return OK;
}

static int store_memory_open(const char *path, const struct store_options *options,
                             struct store **ret_store, struct buf *error)
{
    struct memory_disk *d = options->device != NULL ? options->device : memory_disk_new();
    struct image *im = NULL;
    pthread_mutex_lock(&d->lock);
    int rc = image_open(d, path, options, &im, error);
    if (rc == OK) {
        struct store_memory *s = xcalloc(1, sizeof *s);
        store_base_init(&s->base, &store_memory_ops);
        s->disk = d;
        s->disk_owned = options->device == NULL;
        s->image = im;
        s->generation = im->generation;
        im->open = true;
        *ret_store = &s->base;
    }
    pthread_mutex_unlock(&d->lock);
    if (rc != OK && options->device == NULL) {
        memory_disk_free(d);
    }
    return rc;
}

/* Whether the disk has not crashed since the store was opened; the disk is locked. */
static bool store_alive(const struct store_memory *s)
{
    return s->generation == s->image->generation;
}

/* The written image as it is now, or ERR_IO when the disk crashed meanwhile. */
static int store_root(struct store_memory *s, struct tree **ret_root)
{
    int rc = ERR_IO;
    pthread_mutex_lock(&s->disk->lock);
    if (store_alive(s)) {
        *ret_root = tree_ref(s->image->root);
        rc = OK;
    }
    pthread_mutex_unlock(&s->disk->lock);
    if (rc != OK) {
        store_base_note(&s->base, "the disk in memory crashed");
    }
    return rc;
}

static void store_memory_close(struct store *base)
{
    struct store_memory *s = container_of(base, struct store_memory, base);
    pthread_mutex_lock(&s->disk->lock);
    if (store_alive(s)) {
        s->image->open = false;
    }
    pthread_mutex_unlock(&s->disk->lock);
    if (s->disk_owned) {
        memory_disk_free(s->disk);
    }
    store_base_release(base);
    free(s);
}

static int store_memory_get(struct store *base, struct bytes key, struct buf *ret_value)
{
    struct store_memory *s = container_of(base, struct store_memory, base);
    struct tree *root = NULL;
    int rc = store_root(s, &root);
    if (rc != OK) {
        return rc;
    }
    const struct row *row = tree_find(root, key);
    if (row == NULL) {
        rc = ERR_NOT_FOUND;
    } else if (row->value_size > ret_value->size_max) {
        rc = ERR_LIMIT;
    } else {
        buf_clear(ret_value);
        rc = buf_append_bytes(ret_value, row_value(row));
    }
    tree_unref(root);
    return rc;
}

static int store_memory_write(struct store *base, const struct store_batch *batch, bool sync)
{
    struct store_memory *s = container_of(base, struct store_memory, base);
    int rc = ERR_IO;
    pthread_mutex_lock(&s->disk->lock);
    if (store_alive(s)) {
        rc = disk_write(s->disk, s->image, batch, sync);
    }
    pthread_mutex_unlock(&s->disk->lock);
    if (rc != OK) {
        store_base_note(base, rc == ERR_NO_SPACE ? "injected: no space left on device"
                                                 : "injected: input/output error, or a crash");
    }
    return rc;
}

static const struct store_iter_ops iter_memory_ops;

static int store_memory_iter_new(struct store *base, bool snapshot, struct store_iter **ret_iter)
{
    struct store_memory *s = container_of(base, struct store_memory, base);
    (void) snapshot; /* There is no cache to spare. */
    struct tree *root = NULL;
    int rc = store_root(s, &root);
    if (rc != OK) {
        return rc;
    }
    struct iter_memory *it = xcalloc(1, sizeof *it);
    it->base.ops = &iter_memory_ops;
    it->root = root;
    *ret_iter = &it->base;
    return OK;
}

static uint64_t store_memory_disk_size(struct store *base)
{
    struct store_memory *s = container_of(base, struct store_memory, base);
    pthread_mutex_lock(&s->disk->lock);
    uint64_t bytes = s->image->bytes;
    pthread_mutex_unlock(&s->disk->lock);
    return bytes;
}

static void iter_memory_free(struct store_iter *base)
{
    struct iter_memory *it = container_of(base, struct iter_memory, base);
    tree_unref(it->root);
    free(it);
}

static void iter_memory_seek(struct store_iter *base, struct bytes key)
{
    struct iter_memory *it = container_of(base, struct iter_memory, base);
    it->row = tree_seek(it->root, key, false);
}

static bool iter_memory_valid(const struct store_iter *base)
{
    return ((const struct iter_memory *) base)->row != NULL;
}

static void iter_memory_next(struct store_iter *base)
{
    struct iter_memory *it = container_of(base, struct iter_memory, base);
    it->row = tree_seek(it->root, row_key(it->row), true);
}

static struct bytes iter_memory_key(const struct store_iter *base)
{
    return row_key(((const struct iter_memory *) base)->row);
}

static struct bytes iter_memory_value(const struct store_iter *base)
{
    return row_value(((const struct iter_memory *) base)->row);
}

static int iter_memory_error(const struct store_iter *base)
{
    (void) base;
    return OK;
}

static const struct store_iter_ops iter_memory_ops = {
    .free = iter_memory_free,
    .seek = iter_memory_seek,
    .valid = iter_memory_valid,
    .next = iter_memory_next,
    .key = iter_memory_key,
    .value = iter_memory_value,
    .error = iter_memory_error,
};

const struct store_ops store_memory_ops = {
    .name = "memory",
    .open = store_memory_open,
    .close = store_memory_close,
    .get = store_memory_get,
    .write = store_memory_write,
    .iter_new = store_memory_iter_new,
    .disk_size = store_memory_disk_size,
    .last_error = store_base_error,
};

/*
 * index.c - the index's operations on one key, counts and walks.
 */

#include "kv/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/index_impl.h"

STATIC_ASSERT(sizeof(struct index_key) == 40, "the memory of a key is part of the design");

struct index *index_new(void)
{
    struct index *x = xcalloc(1, sizeof *x);
    slab_init(&x->slab);
    index_tree_init(x);
    return x;
}

void index_past_free(struct index *x, struct index_key *k)
{
    if (k->past != NULL) {
        x->bytes -= sizeof *k->past + k->past->capacity * sizeof k->past->revs[0];
        free(k->past);
        k->past = NULL;
    }
}

void index_key_free(struct index *x, struct index_key *k)
{
    index_past_free(x, k);
    slab_free(&x->slab, k, sizeof *k + k->size);
}

static const struct index_leaf *first_leaf(const struct index *x)
{
    const struct index_node *n = x->root;
    while (!n->leaf) {
        n = index_node_inner(n)->children[0];
    }
    return index_node_leaf(n);
}

void index_free(struct index *x)
{
    if (x == NULL) {
        return;
    }
    for (const struct index_leaf *leaf = first_leaf(x); leaf != NULL; leaf = leaf->next) {
        for (uint32_t i = 0; i < leaf->node.count; i++) {
            index_key_free(x, leaf->keys[i]);
        }
    }
    index_tree_free(x);
    slab_release(&x->slab);
    free(x);
}

uint64_t index_live(const struct index *x)
{
    return x->live;
}

uint64_t index_size(const struct index *x)
{
    return x->size;
}

size_t index_memory(const struct index *x)
{
    return x->bytes + x->slab.bytes;
}

/* Room for one more old revision. Most keys that are changed once are changed again soon. */
static struct index_past *past_reserve(struct index *x, struct index_key *k)
{
    struct index_past *p = k->past;
    if (p != NULL && p->count < p->capacity) {
        return p;
    }
    uint32_t capacity = p == NULL ? 1 : (p->capacity == 0 ? 1 : p->capacity * 2);
    size_t old = p == NULL ? 0 : sizeof *p + p->capacity * sizeof p->revs[0];
    size_t size = sizeof *p + capacity * sizeof p->revs[0];
    p = xrealloc(p, size);
    if (k->past == NULL) {
        p->lease = 0;
        p->count = 0;
    }
    p->capacity = capacity;
    x->bytes += size - old;
    k->past = p;
    return p;
}

/* The newest revision becomes the last of the old ones. */
static void past_push(struct index *x, struct index_key *k)
{
    struct index_past *p = past_reserve(x, k);
    p->revs[p->count].main = k->main;
    p->revs[p->count].sub = k->sub;
    p->revs[p->count].tombstone = k->version == 0;
    p->count++;
}

static void key_set_lease(struct index *x, struct index_key *k, int64_t lease)
{
    if (k->past == NULL && lease == 0) {
        return;
    }
    if (k->past == NULL) {
        past_reserve(x, k);
    }
    k->past->lease = lease;
}

static struct revision key_mod(const struct index_key *k)
{
    struct revision r = {k->main, (int64_t) k->sub};
    return r;
}

static int64_t key_lease(const struct index_key *k)
{
    return k->past == NULL || k->version == 0 ? 0 : k->past->lease;
}

static void key_old(const struct index_key *k, struct index_old *ret_old)
{
    ret_old->live = k->version > 0;
    ret_old->mod = key_mod(k);
    ret_old->create = k->create;
    ret_old->version = k->version;
    ret_old->lease = key_lease(k);
}

/* Whether the key is live at `at`. */
static bool key_item(const struct index_key *k, int64_t at, struct index_item *ret_item)
{
    if (k->main <= at) {
        if (k->version == 0) {
            return false;
        }
        ret_item->key = index_key_bytes(k);
        ret_item->mod = key_mod(k);
        ret_item->latest = true;
        ret_item->create = k->create;
        ret_item->version = k->version;
        ret_item->lease = key_lease(k);
        return true;
    }
    if (k->past == NULL) {
        return false;
    }
    uint32_t low = 0; /* the first old revision above `at` */
    uint32_t high = k->past->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (k->past->revs[middle].main <= at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0 || k->past->revs[low - 1].tombstone != 0) {
        return false;
    }
    const struct index_past_rev *r = &k->past->revs[low - 1];
    *ret_item = (struct index_item){.key = index_key_bytes(k), .mod = {r->main, (int64_t) r->sub}};
    return true;
}

bool index_get(const struct index *x, struct bytes key, int64_t at, struct index_item *ret_item)
{
    struct index_path path;
    return index_tree_find(x, key, &path) && key_item(path.leaf->keys[path.slot], at, ret_item);
}

/* The key's entry, with its newest revision moved to the old ones; made when there is none. Its
 * live count becomes that of a key that is `live`. */
static struct index_key *key_advance(struct index *x, struct bytes key, struct revision mod,
                                     bool live, struct index_old *ret_old)
{
    struct index_path path;
    struct index_key *k = NULL;
    ASSERT(mod.sub >= 0);
    ASSERT(mod.sub <= (int64_t) UINT32_MAX);
    if (index_tree_find(x, key, &path)) {
        k = path.leaf->keys[path.slot];
        ASSERT(revision_compare(mod, key_mod(k)) > 0);
        key_old(k, ret_old);
        past_push(x, k);
        if (live != (k->version > 0)) {
            index_path_count(x, &path, live);
        }
    } else {
        k = index_tree_insert(x, key, live);
        memset(ret_old, 0, sizeof *ret_old);
    }
    k->main = mod.main;
    k->sub = (uint32_t) mod.sub;
    return k;
}

void index_put(struct index *x, struct bytes key, struct revision mod, int64_t lease,
               struct index_old *ret_old, struct index_item *ret_new)
{
    struct index_key *k = key_advance(x, key, mod, true, ret_old);
    if (k->version == 0) {
        k->create = mod.main;
    }
    k->version++;
    key_set_lease(x, k, lease);
    ret_new->key = index_key_bytes(k);
    ret_new->mod = mod;
    ret_new->latest = true;
    ret_new->create = k->create;
    ret_new->version = k->version;
    ret_new->lease = lease;
}

bool index_delete(struct index *x, struct bytes key, struct revision mod, struct index_old *ret_old)
{
    struct index_path path;
    ASSERT(mod.sub >= 0);
    ASSERT(mod.sub <= (int64_t) UINT32_MAX);
    if (!index_tree_find(x, key, &path)) {
        return false;
    }
    struct index_key *k = path.leaf->keys[path.slot];
    if (k->version == 0) {
        return false;
    }
    ASSERT(revision_compare(mod, key_mod(k)) > 0);
    key_old(k, ret_old);
    past_push(x, k);
    index_path_count(x, &path, false);
    k->main = mod.main;
    k->sub = (uint32_t) mod.sub;
    k->create = 0;
    k->version = 0;
    k->past->lease = 0;
    return true;
}

void index_restore(struct index *x, struct bytes key, const struct index_state *state,
                   struct index_old *ret_old)
{
    struct index_key *k = key_advance(x, key, state->mod, state->version > 0, ret_old);
    k->create = state->create;
    k->version = state->version;
    key_set_lease(x, k, state->lease);
}

static bool range_from(const struct index_range *range)
{
    return range->end.size == 1 && range->end.data[0] == 0;
}

/* How many live keys are below `key`. */
static uint64_t tree_rank(const struct index *x, struct bytes key)
{
    const struct index_node *n = x->root;
    uint64_t rank = 0;
    while (!n->leaf) {
        const struct index_inner *inner = index_node_inner(n);
        uint32_t child = index_inner_child(inner, key);
        for (uint32_t i = 0; i < child; i++) {
            rank += inner->live[i];
        }
        n = inner->children[child];
    }
    const struct index_leaf *leaf = index_node_leaf(n);
    uint32_t slot = index_leaf_lower(leaf, key);
    for (uint32_t i = 0; i < slot; i++) {
        rank += leaf->keys[i]->version > 0;
    }
    return rank;
}

uint64_t index_count(const struct index *x, const struct index_range *range, int64_t at)
{
    struct index_item item;
    if (bytes_empty(range->end)) {
        return index_get(x, range->key, at, &item) ? 1 : 0;
    }
    if (at == INDEX_LATEST) {
        uint64_t below = tree_rank(x, range->key);
        uint64_t up_to = range_from(range) ? x->live : tree_rank(x, range->end);
        return up_to > below ? up_to - below : 0;
    }
    struct index_cursor c;
    uint64_t count = 0;
    index_seek(x, range, at, &c);
    while (index_next(&c, &item)) {
        count++;
    }
    return count;
}

void index_seek(const struct index *x, const struct index_range *range, int64_t at,
                struct index_cursor *c)
{
    struct index_path path;
    (void) index_tree_find(x, range->key, &path);
    c->leaf = path.leaf;
    c->slot = path.slot;
    c->range = *range;
    c->at = at;
}

void index_seek_skip(const struct index *x, const struct index_range *range, uint64_t skip,
                     struct index_cursor *c)
{
    if (bytes_empty(range->end) || skip == 0) {
        index_seek(x, range, INDEX_LATEST, c);
        if (skip > 0) {
            c->leaf = NULL;
        }
        return;
    }
    uint64_t left = tree_rank(x, range->key) + skip;
    const struct index_node *n = x->root;
    while (!n->leaf) {
        const struct index_inner *inner = index_node_inner(n);
        uint32_t child = 0;
        while (child + 1U < inner->node.count && left >= inner->live[child]) {
            left -= inner->live[child];
            child++;
        }
        n = inner->children[child];
    }
    const struct index_leaf *leaf = index_node_leaf(n);
    uint32_t slot = 0;
    while (slot < leaf->node.count && (left > 0 || leaf->keys[slot]->version == 0)) {
        left -= leaf->keys[slot]->version > 0;
        slot++;
    }
    c->leaf = leaf;
    c->slot = slot;
    c->range = *range;
    c->at = INDEX_LATEST;
}

static bool range_past(const struct index_range *range, struct bytes key)
{
    if (bytes_empty(range->end)) {
        return !bytes_equal(range->key, key);
    }
    return !range_from(range) && bytes_compare(key, range->end) >= 0;
}

bool index_next(struct index_cursor *c, struct index_item *ret_item)
{
    while (c->leaf != NULL) {
        if (c->slot >= c->leaf->node.count) {
            c->leaf = c->leaf->next;
            c->slot = 0;
            continue;
        }
        const struct index_key *k = c->leaf->keys[c->slot];
        if (range_past(&c->range, index_key_bytes(k))) {
            c->leaf = NULL;
            return false;
        }
        c->slot++;
        if (key_item(k, c->at, ret_item)) {
            return true;
        }
    }
    return false;
}

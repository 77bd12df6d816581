/*
 * index_sweep.c - forgetting compacted revisions, a few keys at a time; and the tree's self-check.
 */

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/index_impl.h"

struct sweep {
    struct index *x;
    int64_t at;
    index_swept_fn *fn;
    void *ctx;
};

static void swept(const struct sweep *s, int64_t main, uint32_t sub)
{
    struct revision r = {main, (int64_t) sub};
    s->fn(s->ctx, r);
}

/* Drops the first revisions of a key's past. */
static void past_drop(struct index *x, struct index_key *k, uint32_t drop)
{
    struct index_past *p = k->past;
    if (drop == p->count && p->lease == 0) {
        index_past_free(x, k);
        return;
    }
    p->count -= drop;
    memmove(p->revs, p->revs + drop, p->count * sizeof p->revs[0]);
    if (p->count < p->capacity / 4) {
        x->bytes -= (p->capacity - p->count) * sizeof p->revs[0];
        p->capacity = p->count;
        k->past = xrealloc(p, sizeof *p + p->capacity * sizeof p->revs[0]);
    }
}

/* Forgets what a compaction makes invisible; false when nothing of the key remains. */
static bool key_compact(const struct sweep *s, struct index_key *k)
{
    uint32_t count = k->past == NULL ? 0 : k->past->count;
    uint32_t drop = 0; /* old revisions at or below `at`: all of those that are not seen there */
    while (drop < count && k->past->revs[drop].main <= s->at) {
        drop++;
    }
    if (k->main > s->at && drop > 0 && k->past->revs[drop - 1].tombstone == 0) {
        drop--; /* what a read at `at` sees */
    }
    for (uint32_t i = 0; i < drop; i++) {
        swept(s, k->past->revs[i].main, k->past->revs[i].sub);
    }
    if (k->main <= s->at && k->version == 0) {
        swept(s, k->main, k->sub);
        return false;
    }
    if (drop > 0) {
        past_drop(s->x, k, drop);
    }
    return true;
}

/* Compacts the slots [path->slot, end) of the path's leaf. The path is void afterwards. */
static void leaf_compact(const struct sweep *s, struct index_path *path, uint32_t end)
{
    struct index_leaf *leaf = path->leaf;
    struct index_key *dead[NODE_FANOUT];
    uint32_t dead_count = 0;
    uint32_t kept = path->slot;
    for (uint32_t i = path->slot; i < end; i++) {
        struct index_key *k = leaf->keys[i];
        if (key_compact(s, k)) {
            leaf->keys[kept] = k;
            leaf->node.heads[kept] = leaf->node.heads[i];
            kept++;
        } else {
            dead[dead_count++] = k;
        }
    }
    if (dead_count > 0) {
        path->slot = kept;
        index_tree_remove(s->x, path, dead_count);
    }
    for (uint32_t i = 0; i < dead_count; i++) {
        index_key_free(s->x, dead[i]);
    }
}

bool index_sweep(struct index *x, struct buf *cursor, int64_t at, uint32_t keys, index_swept_fn *fn,
                 void *ctx)
{
    struct sweep s = {x, at, fn, ctx};
    while (keys > 0) {
        struct index_path path;
        if (index_tree_find(x, buf_bytes(cursor), &path)) {
            path.slot++;
        }
        const struct index_leaf *leaf = path.leaf;
        uint32_t slot = path.slot;
        while (leaf != NULL && slot >= leaf->node.count) {
            leaf = leaf->next;
            slot = 0;
        }
        if (leaf == NULL) {
            return false;
        }
        if (leaf != path.leaf) {
            (void) index_tree_find(x, index_key_bytes(leaf->keys[slot]), &path);
        }
        uint32_t left = leaf->node.count - path.slot;
        uint32_t count = left < keys ? left : keys;
        buf_clear(cursor);
        /* Keys are bounded by the request size, far below the cursor's limit. */
        int err = buf_append_bytes(cursor, index_key_bytes(path.leaf->keys[path.slot + count - 1]));
        ASSERT(err == OK);
        leaf_compact(&s, &path, path.slot + count);
        keys -= count;
    }
    return true;
}

/* Keys and live keys of a leaf, checked against its neighbours. */
static uint64_t leaf_verify(const struct index_leaf *leaf, struct bytes *last)
{
    uint64_t live = 0;
    for (uint32_t i = 0; i < leaf->node.count; i++) {
        const struct index_key *k = leaf->keys[i];
        struct bytes key = index_key_bytes(k);
        ASSERT(last->data == NULL || bytes_compare(*last, key) < 0);
        ASSERT(index_leaf_lower(leaf, key) == i);
        ASSERT((k->version == 0) == (k->create == 0));
        live += k->version > 0;
        *last = key;
    }
    ASSERT(leaf->next == NULL || leaf->next->prev == leaf);
    return live;
}

void index_verify(const struct index *x)
{
    struct index_path path = {.depth = 0};
    const struct index_node *n = x->root;
    uint64_t size = 0;
    uint64_t live = 0;
    struct bytes last = {NULL, 0};
    while (!n->leaf) {
        n = index_node_inner(n)->children[0];
    }
    for (const struct index_leaf *leaf = index_node_leaf(n); leaf != NULL; leaf = leaf->next) {
        uint64_t in_leaf = leaf_verify(leaf, &last);
        size += leaf->node.count;
        live += in_leaf;
        if (leaf->node.count == 0) {
            continue;
        }
        ASSERT(index_tree_find(x, index_key_bytes(leaf->keys[0]), &path));
        ASSERT(path.leaf == leaf);
        for (uint32_t i = 0; i < path.depth; i++) {
            const struct index_inner *inner = path.inner[i];
            uint64_t below = 0;
            const struct index_node *child = inner->children[path.child[i]];
            if (child->leaf) {
                below = in_leaf;
            } else {
                for (uint32_t j = 0; j < child->count; j++) {
                    below += index_node_inner(child)->live[j];
                }
            }
            ASSERT(inner->live[path.child[i]] == below);
        }
    }
    ASSERT(size == x->size);
    ASSERT(live == x->live);
}

/*
 * index_tree.c - the B+ tree of the index: search, insertion, removal.
 *
 * Insertion splits full nodes on the way down, so that there is room whenever a child
 * splits. Removal happens in sweeps only; it merges small nodes with a neighbour and does
 * not otherwise balance: a node may be less than half full, never needlessly empty.
 */

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/index_impl.h"

/* Separators around a node; data NULL: none on that side. */
struct fences {
    struct bytes low;
    struct bytes high;
};

static uint32_t head_of(struct bytes key, uint32_t prefix)
{
    if (key.size >= (size_t) prefix + 4) {
        const uint8_t *p = key.data + prefix;
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
    }
    uint32_t head = 0;
    for (uint32_t i = 0; i < 4; i++) {
        head <<= 8;
        if (key.size > (size_t) prefix + i) {
            head |= key.data[prefix + i];
        }
    }
    return head;
}

static struct bytes sep_bytes(const struct index_sep *s)
{
    return bytes_of(s->key, s->size);
}

/* Asks for all of a node that a search may read, so that it waits for memory once instead of at
 * each step. */
static void node_prefetch(const struct index_node *n)
{
    const char *p = (const char *) n;
    for (size_t at = 0; at < sizeof(struct index_leaf); at += 64) {
        __builtin_prefetch(p + at);
    }
}

/* The first of heads[from, to) that is not below `head`. */
static uint32_t heads_lower(const uint32_t *heads, uint32_t from, uint32_t to, uint32_t head)
{
    uint32_t size = to - from;
    const uint32_t *p = heads + from;
    while (size > 0) {
        uint32_t half = size / 2;
        bool right = p[half] < head;
        p = right ? p + half + 1 : p;
        size = right ? size - half - 1 : half;
    }
    return (uint32_t) (p - heads);
}

/* Orders two keys that share their first `skip` bytes. */
static int compare_after(struct bytes a, struct bytes b, uint32_t skip)
{
    return bytes_compare(bytes_of(a.data + skip, a.size - skip),
                         bytes_of(b.data + skip, b.size - skip));
}

uint32_t index_leaf_lower(const struct index_leaf *leaf, struct bytes key)
{
    const struct index_node *n = &leaf->node;
    uint32_t head = head_of(key, n->prefix);
    uint32_t low = heads_lower(n->heads, 0, n->count, head);
    if (low == n->count || n->heads[low] != head) {
        return low;
    }
    uint32_t high = head == UINT32_MAX ? n->count : heads_lower(n->heads, low, n->count, head + 1);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_after(index_key_bytes(leaf->keys[middle]), key, n->prefix) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t index_inner_child(const struct index_inner *inner, struct bytes key)
{
    const struct index_node *n = &inner->node;
    uint32_t head = head_of(key, n->prefix);
    uint32_t low = heads_lower(n->heads, 1, n->count, head);
    if (low == n->count || n->heads[low] != head) {
        return low - 1;
    }
    uint32_t high = head == UINT32_MAX ? n->count : heads_lower(n->heads, low, n->count, head + 1);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_after(sep_bytes(inner->seps[middle]), key, n->prefix) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1;
}

bool index_tree_find(const struct index *x, struct bytes key, struct index_path *ret_path)
{
    const struct index_node *n = x->root;
    uint32_t depth = 0;
    while (!n->leaf) {
        struct index_inner *inner = index_node_inner(n);
        uint32_t child = index_inner_child(inner, key);
        ASSERT(depth < TREE_DEPTH_MAX);
        ret_path->inner[depth] = inner;
        ret_path->child[depth] = child;
        depth++;
        n = inner->children[child];
        node_prefetch(n);
    }
    struct index_leaf *leaf = index_node_leaf(n);
    uint32_t slot = index_leaf_lower(leaf, key);
    ret_path->depth = depth;
    ret_path->leaf = leaf;
    ret_path->slot = slot;
    return slot < n->count && bytes_equal(index_key_bytes(leaf->keys[slot]), key);
}

void index_path_count(struct index *x, const struct index_path *path, bool live)
{
    uint64_t change = live ? 1 : UINT64_MAX;
    for (uint32_t i = 0; i < path->depth; i++) {
        path->inner[i]->live[path->child[i]] += change;
    }
    x->live += change;
}

static uint32_t common_prefix(struct bytes a, struct bytes b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    uint32_t i = 0;
    while (i < size && a.data[i] == b.data[i]) {
        i++;
    }
    return i;
}

static uint32_t fences_prefix(const struct fences *f)
{
    bool open = f->low.data == NULL || f->high.data == NULL;
    return open ? 0 : common_prefix(f->low, f->high);
}

/* Sets the prefix of a node from its fences, and all its heads. */
static void node_rehead(struct index_node *n, const struct fences *f)
{
    n->prefix = fences_prefix(f);
    for (uint32_t i = n->leaf ? 0 : 1; i < n->count; i++) {
        struct bytes key = n->leaf ? index_key_bytes(index_node_leaf(n)->keys[i])
                                   : sep_bytes(index_node_inner(n)->seps[i]);
        n->heads[i] = head_of(key, n->prefix);
    }
}

static struct fences child_fences(const struct index_inner *inner, uint32_t child,
                                  const struct fences *own)
{
    struct fences f = *own;
    if (child > 0) {
        f.low = sep_bytes(inner->seps[child]);
    }
    if (child + 1U < inner->node.count) {
        f.high = sep_bytes(inner->seps[child + 1]);
    }
    return f;
}

static struct index_leaf *leaf_new(struct index *x)
{
    struct index_leaf *leaf = xcalloc(1, sizeof *leaf);
    leaf->node.leaf = true;
    x->bytes += sizeof *leaf;
    return leaf;
}

static struct index_inner *inner_new(struct index *x)
{
    struct index_inner *inner = xcalloc(1, sizeof *inner);
    x->bytes += sizeof *inner;
    return inner;
}

static void node_free(struct index *x, struct index_node *n)
{
    x->bytes -= n->leaf ? sizeof(struct index_leaf) : sizeof(struct index_inner);
    free(n);
}

static void sep_free(struct index *x, struct index_sep *s)
{
    x->bytes -= sizeof *s + s->size;
    free(s);
}

/* The shortest key that is above `left` and not above `right`. */
static struct index_sep *sep_new(struct index *x, struct bytes left, struct bytes right)
{
    uint32_t size = common_prefix(left, right) + 1;
    ASSERT(size <= right.size);
    struct index_sep *s = xmalloc(sizeof *s + size);
    s->size = size;
    memcpy(s->key, right.data, size);
    x->bytes += sizeof *s + size;
    return s;
}

static uint64_t leaf_live(const struct index_leaf *leaf)
{
    uint64_t live = 0;
    for (uint32_t i = 0; i < leaf->node.count; i++) {
        live += leaf->keys[i]->version > 0;
    }
    return live;
}

static uint64_t inner_live(const struct index_inner *inner)
{
    uint64_t live = 0;
    for (uint32_t i = 0; i < inner->node.count; i++) {
        live += inner->live[i];
    }
    return live;
}

/* Moves the upper part of a full leaf to a new one; gives the separator between them. */
static struct index_leaf *leaf_split(struct index *x, struct index_leaf *leaf, struct bytes key,
                                     struct index_sep **ret_sep)
{
    uint32_t keep = NODE_FANOUT / 2;
    if (leaf->next == NULL &&
        bytes_compare(index_key_bytes(leaf->keys[NODE_FANOUT - 1]), key) < 0) {
        keep = NODE_FANOUT - 4; /* keys added in order leave full leaves behind */
    }
    struct index_leaf *right = leaf_new(x);
    right->node.count = (uint16_t) (NODE_FANOUT - keep);
    memcpy(right->keys, leaf->keys + keep, right->node.count * sizeof right->keys[0]);
    memcpy(right->node.heads, leaf->node.heads + keep, right->node.count * sizeof(uint32_t));
    right->node.prefix = leaf->node.prefix;
    leaf->node.count = (uint16_t) keep;
    right->next = leaf->next;
    right->prev = leaf;
    if (right->next != NULL) {
        right->next->prev = right;
    }
    leaf->next = right;
    *ret_sep = sep_new(x, index_key_bytes(leaf->keys[keep - 1]), index_key_bytes(right->keys[0]));
    return right;
}

static struct index_inner *inner_split(struct index *x, struct index_inner *inner,
                                       struct index_sep **ret_sep)
{
    uint32_t keep = NODE_FANOUT / 2;
    struct index_inner *right = inner_new(x);
    uint32_t count = NODE_FANOUT - keep;
    right->node.count = (uint16_t) count;
    memcpy(right->children, inner->children + keep, count * sizeof right->children[0]);
    memcpy(right->seps, inner->seps + keep, count * sizeof right->seps[0]);
    memcpy(right->live, inner->live + keep, count * sizeof right->live[0]);
    memcpy(right->node.heads, inner->node.heads + keep, count * sizeof(uint32_t));
    right->node.prefix = inner->node.prefix;
    inner->node.count = (uint16_t) keep;
    *ret_sep = right->seps[0];
    right->seps[0] = NULL;
    return right;
}

/* Makes room in a parent and splits its child, which is full. `f` are the parent's fences. */
static void child_split(struct index *x, struct index_inner *parent, uint32_t child,
                        const struct fences *f, struct bytes key)
{
    ASSERT(parent->node.count < NODE_FANOUT);
    struct index_node *left = parent->children[child];
    ASSERT(left->count == NODE_FANOUT);
    struct index_sep *sep = NULL;
    struct index_node *right = NULL;
    uint64_t live = 0;
    if (left->leaf) {
        struct index_leaf *leaf = leaf_split(x, index_node_leaf(left), key, &sep);
        /* Reading every key would cost a cache miss each; nearly always all of them are live. */
        live = parent->live[child] == NODE_FANOUT ? leaf->node.count : leaf_live(leaf);
        right = &leaf->node;
    } else {
        struct index_inner *inner = inner_split(x, index_node_inner(left), &sep);
        live = inner_live(inner);
        right = &inner->node;
    }
    uint32_t at = child + 1;
    uint32_t move = parent->node.count - at;
    memmove(parent->children + at + 1, parent->children + at, move * sizeof parent->children[0]);
    memmove(parent->seps + at + 1, parent->seps + at, move * sizeof parent->seps[0]);
    memmove(parent->live + at + 1, parent->live + at, move * sizeof parent->live[0]);
    memmove(parent->node.heads + at + 1, parent->node.heads + at, move * sizeof(uint32_t));
    parent->node.count++;
    parent->children[at] = right;
    parent->seps[at] = sep;
    parent->live[at] = live;
    parent->live[child] -= live;
    parent->node.heads[at] = head_of(sep_bytes(sep), parent->node.prefix);
    struct fences lf = child_fences(parent, child, f);
    struct fences rf = child_fences(parent, at, f);
    if (fences_prefix(&lf) != left->prefix) {
        node_rehead(left, &lf);
    }
    if (fences_prefix(&rf) != right->prefix) {
        node_rehead(right, &rf);
    }
}

/* A new root above the full one. */
static void root_grow(struct index *x)
{
    struct index_inner *root = inner_new(x);
    root->node.count = 1;
    root->children[0] = x->root;
    root->live[0] = x->live;
    x->root = &root->node;
}

static struct index_key *key_new(struct index *x, struct bytes key)
{
    ASSERT(key.size <= UINT32_MAX);
    struct index_key *k = slab_alloc(&x->slab, sizeof *k + key.size);
    memset(k, 0, sizeof *k);
    k->size = (uint32_t) key.size;
    if (key.size > 0) {
        memcpy(k->key, key.data, key.size);
    }
    return k;
}

static struct index_key *leaf_insert(struct index *x, struct index_leaf *leaf, struct bytes key)
{
    uint32_t slot = index_leaf_lower(leaf, key);
    uint32_t move = leaf->node.count - slot;
    memmove(leaf->keys + slot + 1, leaf->keys + slot, move * sizeof leaf->keys[0]);
    memmove(leaf->node.heads + slot + 1, leaf->node.heads + slot, move * sizeof(uint32_t));
    leaf->keys[slot] = key_new(x, key);
    leaf->node.heads[slot] = head_of(key, leaf->node.prefix);
    leaf->node.count++;
    x->size++;
    return leaf->keys[slot];
}

struct index_key *index_tree_insert(struct index *x, struct bytes key, bool live)
{
    struct fences f = {{NULL, 0}, {NULL, 0}};
    if (x->root->count == NODE_FANOUT) {
        root_grow(x);
        child_split(x, index_node_inner(x->root), 0, &f, key);
    }
    struct index_node *n = x->root;
    while (!n->leaf) {
        struct index_inner *inner = index_node_inner(n);
        uint32_t child = index_inner_child(inner, key);
        if (inner->children[child]->count == NODE_FANOUT) {
            child_split(x, inner, child, &f, key);
            child = index_inner_child(inner, key);
        }
        inner->live[child] += live;
        f = child_fences(inner, child, &f);
        n = inner->children[child];
    }
    x->live += live;
    return leaf_insert(x, index_node_leaf(n), key);
}

/* The fences of the path's node at `depth` inner nodes below the root. */
static struct fences path_fences(const struct index_path *path, uint32_t depth)
{
    struct fences f = {{NULL, 0}, {NULL, 0}};
    for (uint32_t i = 0; i < depth; i++) {
        f = child_fences(path->inner[i], path->child[i], &f);
    }
    return f;
}

/* Appends what `right` holds to `left`; `sep` is the separator that was between them. */
static void node_append(struct index_node *left, struct index_node *right, struct index_sep *sep)
{
    if (left->leaf) {
        struct index_leaf *l = index_node_leaf(left);
        struct index_leaf *r = index_node_leaf(right);
        memcpy(l->keys + left->count, r->keys, right->count * sizeof l->keys[0]);
        l->next = r->next;
        if (l->next != NULL) {
            l->next->prev = l;
        }
    } else {
        struct index_inner *l = index_node_inner(left);
        struct index_inner *r = index_node_inner(right);
        r->seps[0] = sep;
        memcpy(l->children + left->count, r->children, right->count * sizeof l->children[0]);
        memcpy(l->seps + left->count, r->seps, right->count * sizeof l->seps[0]);
        memcpy(l->live + left->count, r->live, right->count * sizeof l->live[0]);
    }
    left->count = (uint16_t) (left->count + right->count);
}

/* Merges children `child` and `child + 1` of the path's inner node at `depth`. */
static void children_merge(struct index *x, const struct index_path *path, uint32_t depth,
                           uint32_t child)
{
    struct index_inner *parent = path->inner[depth];
    struct index_node *left = parent->children[child];
    struct index_node *right = parent->children[child + 1];
    struct index_sep *sep = parent->seps[child + 1];
    node_append(left, right, sep);
    if (left->leaf) {
        sep_free(x, sep);
    }
    node_free(x, right);
    uint32_t at = child + 1;
    uint32_t move = parent->node.count - at - 1;
    parent->live[child] += parent->live[at];
    memmove(parent->children + at, parent->children + at + 1, move * sizeof parent->children[0]);
    memmove(parent->seps + at, parent->seps + at + 1, move * sizeof parent->seps[0]);
    memmove(parent->live + at, parent->live + at + 1, move * sizeof parent->live[0]);
    memmove(parent->node.heads + at, parent->node.heads + at + 1, move * sizeof(uint32_t));
    parent->node.count--;
    struct fences own = path_fences(path, depth);
    struct fences f = child_fences(parent, child, &own);
    node_rehead(left, &f);
}

static bool may_merge(const struct index_inner *parent, uint32_t child)
{
    if (child + 1 >= parent->node.count) {
        return false;
    }
    uint32_t left = parent->children[child]->count;
    uint32_t right = parent->children[child + 1]->count;
    return left + right <= NODE_MERGE_MAX || left == 0 || right == 0;
}

void index_tree_remove(struct index *x, struct index_path *path, uint32_t count)
{
    struct index_leaf *leaf = path->leaf;
    uint32_t end = path->slot + count;
    ASSERT(count > 0);
    ASSERT(end <= leaf->node.count);
    uint32_t move = leaf->node.count - end;
    memmove(leaf->keys + path->slot, leaf->keys + end, move * sizeof leaf->keys[0]);
    memmove(leaf->node.heads + path->slot, leaf->node.heads + end, move * sizeof(uint32_t));
    leaf->node.count = (uint16_t) (leaf->node.count - count);
    x->size -= count;
    for (uint32_t depth = path->depth; depth-- > 0;) {
        struct index_inner *parent = path->inner[depth];
        uint32_t child = path->child[depth];
        if (parent->children[child]->count >= NODE_MERGE_BELOW) {
            break;
        }
        if (may_merge(parent, child)) {
            children_merge(x, path, depth, child);
        } else if (child > 0 && may_merge(parent, child - 1)) {
            children_merge(x, path, depth, child - 1);
        }
    }
    while (!x->root->leaf && x->root->count == 1) {
        struct index_node *root = x->root;
        x->root = index_node_inner(root)->children[0];
        node_free(x, root);
    }
}

void index_tree_init(struct index *x)
{
    x->root = &leaf_new(x)->node;
}

void index_tree_free(struct index *x)
{
    /* Takes the tree down from the left: an explicit stack, one inner node a level. */
    struct index_inner *stack[TREE_DEPTH_MAX + 1];
    uint32_t depth = 0;
    struct index_node *n = x->root;
    while (n != NULL) {
        if (!n->leaf) {
            ASSERT(depth < TREE_DEPTH_MAX);
            stack[depth++] = index_node_inner(n);
        } else {
            node_free(x, n);
        }
        n = NULL;
        while (depth > 0 && n == NULL) {
            struct index_inner *top = stack[depth - 1];
            if (top->node.count == 0) {
                node_free(x, &top->node);
                depth--;
                continue;
            }
            top->node.count--;
            n = top->children[top->node.count];
            if (top->seps[top->node.count] != NULL && top->node.count > 0) {
                sep_free(x, top->seps[top->node.count]);
            }
        }
    }
    x->root = NULL;
}

#ifndef SYNOD_BASE_LIST_H
#define SYNOD_BASE_LIST_H

/*
 * list.h - an intrusive doubly linked list: the node is a member of the element, so an element is
 * in at most one list per node member, and linking allocates nothing.
 *
 * A node that is in no list has NULL pointers (a zeroed struct, or after list_remove).
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/mem.h"

struct list_node {
    struct list_node *prev;
    struct list_node *next;
};

struct list {
    struct list_node head; /* a ring through this node; empty when it points to itself */
};

/* The element of `type` whose list_node `member` is `node`. */
#define list_entry(node, type, member) container_of(node, type, member)

/* Visits each struct list_node *`node` of `list`; the body must not remove nodes. */
#define LIST_FOR_EACH(list, node)                                                                  \
    for (struct list_node *node = (list)->head.next; node != &(list)->head; node = node->next)

/* As LIST_FOR_EACH, but the body may remove `node` (and only that one); `after` names a helper
 * variable. */
#define LIST_FOR_EACH_SAFE(list, node, after)                                                      \
    for (struct list_node *node = (list)->head.next, *after = node->next; node != &(list)->head;   \
         node = after, after = node->next)

/* Makes `l` empty. A list must not move in memory afterwards. */
static inline void list_init(struct list *l)
{
    l->head.prev = &l->head;
    l->head.next = &l->head;
}

/* Whether `l` has no nodes. */
static inline bool list_empty(const struct list *l)
{
    return l->head.next == &l->head;
}

/* Whether `node` is in a list. */
static inline bool list_node_linked(const struct list_node *node)
{
    return node->next != NULL;
}

/* Inserts `node`, which is in no list, between two neighbours. */
static inline void list_insert_between(struct list_node *prev, struct list_node *node,
                                       struct list_node *next)
{
    ASSERT(!list_node_linked(node));
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

/* Adds `node`, which is in no list, as the last of `l`. */
static inline void list_push_back(struct list *l, struct list_node *node)
{
    list_insert_between(l->head.prev, node, &l->head);
}

/* Adds `node`, which is in no list, as the first of `l`. */
static inline void list_push_front(struct list *l, struct list_node *node)
{
    list_insert_between(&l->head, node, l->head.next);
}

/* Takes `node`, which is in a list, out of it. */
static inline void list_remove(struct list_node *node)
{
    ASSERT(list_node_linked(node));
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = NULL;
    node->next = NULL;
}

/* The first node of `l`, or NULL. */
static inline struct list_node *list_first(const struct list *l)
{
    return list_empty(l) ? NULL : l->head.next;
}

/* The last node of `l`, or NULL. */
static inline struct list_node *list_last(const struct list *l)
{
    return list_empty(l) ? NULL : l->head.prev;
}

/* The node after `node` in `l`, or NULL. */
static inline struct list_node *list_next(const struct list *l, const struct list_node *node)
{
    return node->next == &l->head ? NULL : node->next;
}

/* Removes and returns the first node of `l`, or NULL. */
static inline struct list_node *list_pop_front(struct list *l)
{
    struct list_node *node = list_first(l);
    if (node != NULL) {
        list_remove(node);
    }
    return node;
}

/* Moves all nodes of `from` behind those of `to`, in order, in O(1); `from` is then empty. */
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_empty(from)) {
        return;
    }
    from->head.next->prev = to->head.prev;
    to->head.prev->next = from->head.next;
    from->head.prev->next = &to->head;
    to->head.prev = from->head.prev;
    list_init(from);
}

#endif

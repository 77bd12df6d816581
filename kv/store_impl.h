/*
 * store_impl.h - for authors of store implementations: the part of a store and of an iterator that
 * all have. Only kv/store_*.c, store.c, the log stores and the model disk of the simulator include
 * it.
 */
#ifndef SYNOD_KV_STORE_IMPL_H
#define SYNOD_KV_STORE_IMPL_H

#include <pthread.h>
#include <stdbool.h>

#include "kv/store.h"

enum {
    STORE_ERROR_MAX = 1024, /* bytes of the text that store_last_error gives, terminator included */
};

/* First member of every store. */
struct store {
    const struct store_ops *ops;
    int fatal; /* writer's thread only: what the first failed write returned, else OK */

    pthread_mutex_t error_lock; /* readers and the writer may fail at the same time */
    bool error_set;             /* under error_lock; the text never changes after */
    char error[STORE_ERROR_MAX];
};

/* What an iterator can do; the functions are those of store.h. */
struct store_iter_ops {
    void (*free)(struct store_iter *it);
    void (*seek)(struct store_iter *it, struct bytes key);
    bool (*valid)(const struct store_iter *it);
    void (*next)(struct store_iter *it);
    struct bytes (*key)(const struct store_iter *it);
    struct bytes (*value)(const struct store_iter *it);
    int (*error)(const struct store_iter *it);
};

/* First member of every iterator. */
struct store_iter {
    const struct store_iter_ops *ops;
};

extern const struct store_ops store_leveldb_ops;
extern const struct store_ops store_memory_ops;

/* Fills and empties the common part; between them the implementation owns it. */
void store_base_init(struct store *s, const struct store_ops *ops);
void store_base_release(struct store *s);

/* Keeps `text` for store_last_error if it is the first. Any thread. */
void store_base_note(struct store *s, const char *text);

/* What store_base_note kept; "" when nothing. Fits store_ops.last_error. Any thread. */
const char *store_base_error(struct store *s);

/* Writes one formatted line into `error` (NULL is legal), cut where the buffer ends. */
void store_error_line(struct buf *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif

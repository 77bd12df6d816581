/*
 * logstore_impl.h - for authors of log stores: what all have in common. Only kv/log*.c include it.
 */
#ifndef SYNOD_KV_LOGSTORE_IMPL_H
#define SYNOD_KV_LOGSTORE_IMPL_H

#include "kv/logstore.h"

/* First member of every log store. */
struct logstore {
    const struct logstore_ops *ops;
    int fatal; /* writer's thread only: what the first failed write returned, else OK */
};

extern const struct logstore_ops logstore_leveldb_ops;
extern const struct logstore_ops logstore_memory_ops;

/* Appends to a list; takes over the entry's reference. */
void entry_list_take(struct entry_list *l, struct entry entry);

#endif

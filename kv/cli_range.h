/*
 * cli_range.h - "all keys that begin with this" and "all from this one on" as etcd's key and
 * range_end (etcd-v3.md 4).
 */
#ifndef SYNOD_KV_CLI_RANGE_H
#define SYNOD_KV_CLI_RANGE_H

#include "base/arena.h"
#include "base/bytes.h"

/* Keys in [key, end). */
struct cli_range {
    struct bytes key;
    struct bytes end; /* empty: the one key; "\0": no upper bound */
};

/* An empty prefix: all keys. The end is in `a`. */
struct cli_range cli_range_prefix(struct arena *a, struct bytes prefix);

/* An empty key: all keys. */
struct cli_range cli_range_from(struct bytes key);

#endif

#ifndef SYNOD_TESTS_SUPPORT_MVCC_MODEL_H
#define SYNOD_TESTS_SUPPORT_MVCC_MODEL_H

/*
 * mvcc_model.h - etcd's data model in the simplest way: every change is kept for ever, every read
 * looks at all of them. For tests that compare kv/mvcc with it. Few keys, which are fixed.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "proto/api.h"

enum { KV_MODEL_KEYS = 20 };

extern const char *const kv_model_keys[KV_MODEL_KEYS]; /* in key order */

struct kv_change {
    int64_t main;
    uint32_t key; /* of kv_model_keys */
    struct bytes value;
    int64_t create;
    int64_t version; /* 0: tombstone */
};

/* The caller raises `revision` when a request made changes (count grew), and sets `compact`. */
struct kv_model {
    struct kv_change *changes;
    uint32_t count;
    int64_t revision;
    int64_t compact;
    struct arena *arena; /* of answers; the caller's */
};

void kv_model_init(struct kv_model *m, struct arena *arena);
void kv_model_release(struct kv_model *m);

/* The number of a key that is one of kv_model_keys. */
uint32_t kv_model_key(struct bytes key);

/* The key's state at `at`, seen when `count` changes were made; NULL: not live. */
const struct kv_change *kv_model_at(const struct kv_model *m, uint32_t key, int64_t at,
                                    uint32_t count);

/* What a request's own checks say. `kind`: which ops of the transaction are checked. */
int kv_model_check_range(const struct kv_model *m, const struct range_request *r, bool in_txn);
int kv_model_check_put(const struct kv_model *m, const struct put_request *r, bool lease_first);
int kv_model_check_txn(const struct kv_model *m, const struct txn_request *t, uint8_t kind);

/* Requests that passed; `now` is the header revision, `before` the count of changes that compares
 * see. Answers point into the arena and the model. */
void kv_model_range(struct kv_model *m, const struct range_request *r, int64_t now,
                    struct api_response *response);
void kv_model_put(struct kv_model *m, const struct put_request *r, struct api_response *response);
void kv_model_delete(struct kv_model *m, const struct delete_request *r,
                     struct api_response *response);
void kv_model_txn(struct kv_model *m, const struct txn_request *t, uint32_t before,
                  struct api_response *response);

#endif

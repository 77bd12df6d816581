/*
 * api.h - the requests and answers of the key-value API as our own structs (etcd v3 semantics).
 *
 * Pure vocabulary: who decodes (proto/wire_kv), who executes (kv/mvcc) and who sends them is
 * elsewhere. All struct bytes are borrowed: from the decoded input and its arena for requests, from
 * records for answers.
 */
#ifndef SYNOD_PROTO_API_H
#define SYNOD_PROTO_API_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* The application's discriminator of a command in the log. On disk and on the wire: numbers never
 * change. The payload of 1-4 is the etcd request message, byte for byte as the client sent it. */
enum command_tag {
    TAG_PUT = 1,     /* etcdserverpb.PutRequest */
    TAG_DELETE = 2,  /* etcdserverpb.DeleteRangeRequest */
    TAG_TXN = 3,     /* etcdserverpb.TxnRequest */
    TAG_COMPACT = 4, /* etcdserverpb.CompactionRequest */
};

enum sort_order { SORT_NONE = 0, SORT_ASCEND = 1, SORT_DESCEND = 2 };
enum sort_target { SORT_KEY = 0, SORT_VERSION = 1, SORT_CREATE = 2, SORT_MOD = 3, SORT_VALUE = 4 };
enum compare_result {
    COMPARE_EQUAL = 0,
    COMPARE_GREATER = 1,
    COMPARE_LESS = 2,
    COMPARE_NOT_EQUAL = 3,
};
enum compare_target {
    COMPARE_VERSION = 0,
    COMPARE_CREATE = 1,
    COMPARE_MOD = 2,
    COMPARE_VALUE = 3,
    COMPARE_LEASE = 4,
};

struct range_request {
    struct bytes key;
    struct bytes range_end; /* empty: one key; "\0": every key >= key */
    int64_t limit;          /* 0: none */
    int64_t revision;       /* <= 0: latest */
    int32_t sort_order;
    int32_t sort_target;
    bool serializable;
    bool keys_only;
    bool count_only;
    int64_t min_mod_revision;
    int64_t max_mod_revision;
    int64_t min_create_revision;
    int64_t max_create_revision;
};

struct put_request {
    struct bytes key;
    struct bytes value;
    int64_t lease;
    bool prev_kv;
    bool ignore_value;
    bool ignore_lease;
};

struct delete_request {
    struct bytes key;
    struct bytes range_end;
    bool prev_kv;
};

struct compare {
    int32_t result; /* enum compare_result */
    int32_t target; /* enum compare_target */
    struct bytes key;
    struct bytes range_end;
    int64_t number;     /* version, create, mod, lease */
    struct bytes value; /* COMPARE_VALUE */
};

struct txn_request;

enum op_kind { OP_NONE = 0, OP_RANGE = 1, OP_PUT = 2, OP_DELETE = 3, OP_TXN = 4 };

struct txn_op {
    uint8_t kind; /* enum op_kind; OP_NONE: the client set nothing */
    union {
        struct range_request range;
        struct put_request put;
        struct delete_request del;
        struct txn_request *txn;
    };
};

struct txn_request {
    const struct compare *compares;
    uint32_t compares_count;
    const struct txn_op *success;
    uint32_t success_count;
    const struct txn_op *failure;
    uint32_t failure_count;
};

struct compact_request {
    int64_t revision;
    bool physical; /* answer only when the space is released */
};

/* Answers. */
struct api_header {
    uint64_t cluster_id;
    uint64_t member_id;
    int64_t revision;
    uint64_t raft_term;
};

struct api_kv {
    struct bytes key;
    struct bytes value;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    int64_t lease;
};

struct range_response {
    const struct api_kv *kvs;
    uint32_t kvs_count;
    bool more;
    int64_t count;
};

struct put_response {
    const struct api_kv *prev; /* NULL: not asked for, or none */
};

struct delete_response {
    int64_t deleted;
    const struct api_kv *prevs;
    uint32_t prevs_count;
};

struct api_response;

struct txn_response {
    bool succeeded;
    const struct api_response *responses;
    uint32_t responses_count;
};

struct api_response {
    uint8_t kind;     /* enum op_kind; OP_NONE: a compaction (nothing but the header) */
    int64_t revision; /* header.revision */
    union {
        struct range_response range;
        struct put_response put;
        struct delete_response del;
        struct txn_response txn;
    };
};

#endif

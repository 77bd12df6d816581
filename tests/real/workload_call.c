/*
 * workload_call.c - what clients ask, what an answer means, and what goes into the history.
 *
 * Every value is a number that is written once, so that whoever reads it knows who wrote it. It
 * travels as the number, a colon and bytes that follow from it up to the size the scenario asks
 * for; lists are numbers joined by commas.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "proto/wire_kv.h"
#include "tests/real/workload_internal.h"

enum {
    KEY_SIZE = 16,
    VALUE_SPREAD = 176, /* bytes behind the number, unless the scenario has sizes of values */
    LIST_SIZE = WORKLOAD_LIST_MAX + 32, /* with one more element */
    COMPACT_BEHIND_MAX = 50,            /* revisions */
    REVISION_BITS = 48,
};

/* Keys and values. */

static struct bytes key_text(char *text, struct worker_key key)
{
    static const char *const forms[SPACES] = {"r", "l", "t", "t"};
    static const char *const ends[SPACES] = {"", "", "a", "b"};
    int size = snprintf(text, KEY_SIZE, "%s%u%s", forms[key.space], key.number, ends[key.space]);
    return bytes_of(text, (size_t) size);
}

static uint32_t key_number(struct workload *w, struct worker_key key)
{
    char text[KEY_SIZE];
    ERR_IGNORE((int) key_text(text, key).size);
    return history_key(w->options.history, text);
}

static struct worker_key pair_of(struct worker_key key)
{
    key.space = SPACE_PAIR_B;
    return key;
}

/* How long a value is follows from the value: whoever reads it knows how it must look. `digits`
 * bytes are its number. */
static uint64_t value_size(const struct workload *w, struct worker_key key, uint64_t value,
                           uint64_t digits)
{
    const struct sim_span *span = &w->scenario->value;
    if (span->max == 0 || key.space != SPACE_REGISTER) {
        return digits + value * 7 % VALUE_SPREAD;
    }
    uint64_t drawn = hash64_mix(value, w->scenario->seed) % (span->max - span->min + 1);
    return u64_max(span->min + drawn, digits);
}

static struct bytes value_text(const struct workload *w, struct buf *out, struct worker_key key,
                               uint64_t value)
{
    buf_clear(out);
    int err = buf_printf(out, "%" PRIu64 ":", value);
    ASSERT(err == OK);
    size_t digits = out->size;
    size_t size = (size_t) value_size(w, key, value, digits);
    err = buf_reserve(out, size - digits);
    ASSERT(err == OK); /* scenario_check bounds the size */
    for (size_t i = digits; i < size; i++) {
        out->data[i] = (uint8_t) ('a' + (value + i) % 26);
    }
    buf_advance(out, size - digits);
    return buf_bytes(out);
}

/* 0: not one of ours. */
static uint64_t value_number(struct workload *w, struct worker_key key, struct bytes bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.size && bytes.data[i] != ':'; i++) {
        if (bytes.data[i] < '0' || bytes.data[i] > '9' || value > w->value_number) {
            return 0;
        }
        value = value * 10 + (uint64_t) (bytes.data[i] - '0');
    }
    if (value == 0 || value > w->value_number) {
        return 0;
    }
    return bytes_equal(value_text(w, &w->values[2], key, value), bytes) ? value : 0;
}

static struct history_value in_history(struct workload *w, uint64_t value)
{
    char text[24];
    if (value == 0) {
        return (struct history_value){NULL, 0};
    }
    int size = snprintf(text, sizeof text, "%" PRIu64, value);
    return history_value(w->options.history, text, (size_t) size);
}

/* Requests. Keys live in `keys`, values in the scratch of the workload. */

struct request {
    struct workload *w;
    struct client_request *out;
    char keys[2][KEY_SIZE];
};

static struct txn_op put_op(struct bytes key, struct bytes value)
{
    return (struct txn_op){.kind = OP_PUT, .put = {.key = key, .value = value}};
}

static struct txn_op range_op(struct bytes key)
{
    return (struct txn_op){.kind = OP_RANGE, .range = {.key = key}};
}

static int encode_pair(struct request *q, const struct worker_op *op)
{
    struct bytes a = key_text(q->keys[0], op->key);
    struct bytes b = key_text(q->keys[1], pair_of(op->key));
    const struct txn_op ops[] = {
        range_op(a),
        range_op(b),
        put_op(a, value_text(q->w, &q->w->values[0], op->key, op->value)),
        put_op(b, value_text(q->w, &q->w->values[1], pair_of(op->key), op->value + 1)),
    };
    struct txn_request txn = {.success = ops, .success_count = 4};
    if (op->variant == WORKER_TXN_READ) {
        txn.success_count = 2;
    } else if (op->variant == WORKER_TXN_WRITE) {
        txn.success = ops + 2;
        txn.success_count = 2;
    }
    q->out->path = CLIENT_TXN;
    return wire_txn_request_encode(&txn, &q->w->request);
}

/* Puts if the comparison holds, reads if not. */
static int encode_conditional(struct request *q, const struct compare *compare, struct bytes value)
{
    const struct txn_op put = put_op(compare->key, value);
    const struct txn_op get = range_op(compare->key);
    const struct txn_request txn = {.compares = compare,
                                    .compares_count = 1,
                                    .success = &put,
                                    .success_count = 1,
                                    .failure = &get,
                                    .failure_count = 1};
    q->out->path = CLIENT_TXN;
    return wire_txn_request_encode(&txn, &q->w->request);
}

static int encode_cas(struct request *q, const struct worker_op *op)
{
    struct compare compare = {.result = COMPARE_EQUAL,
                              .target = COMPARE_VERSION,
                              .key = key_text(q->keys[0], op->key)};
    if (op->expected != 0) {
        compare.target = COMPARE_VALUE;
        compare.value = value_text(q->w, &q->w->values[1], op->key, op->expected);
    }
    return encode_conditional(q, &compare, value_text(q->w, &q->w->values[0], op->key, op->value));
}

bool worker_fits(const struct worker *c)
{
    const char *had = c->list_text[c->op.key.number];
    return had == NULL || strlen(had) < WORKLOAD_LIST_MAX;
}

/* The list as it is when the element of `op` is at its end. */
static struct bytes extended(const struct worker *c, char text[LIST_SIZE])
{
    const char *had = c->list_text[c->op.key.number];
    bool empty = had == NULL || had[0] == '\0';
    int size =
        snprintf(text, LIST_SIZE, "%s%s%" PRIu64, empty ? "" : had, empty ? "" : ",", c->op.value);
    ASSERT(size < LIST_SIZE);
    return bytes_of(text, (size_t) size);
}

static int encode_append(struct request *q, const struct worker *c)
{
    char text[LIST_SIZE];
    const struct compare compare = {.result = COMPARE_EQUAL,
                                    .target = COMPARE_MOD,
                                    .key = key_text(q->keys[0], c->op.key),
                                    .number = c->list_mod[c->op.key.number]};
    return encode_conditional(q, &compare, extended(c, text));
}

static int encode_simple(struct request *q, const struct worker_op *op)
{
    struct bytes key = key_text(q->keys[0], op->key);
    struct buf *out = &q->w->request;
    if (op->kind == SIM_OP_PUT) {
        const struct put_request put = {.key = key,
                                        .value =
                                            value_text(q->w, &q->w->values[0], op->key, op->value)};
        q->out->path = CLIENT_PUT;
        return wire_put_request_encode(&put, out);
    }
    if (op->kind == SIM_OP_DEL) {
        const struct delete_request del = {.key = key};
        q->out->path = CLIENT_DELETE;
        return wire_delete_request_encode(&del, out);
    }
    if (op->kind == SIM_OP_COMPACT) {
        const struct compact_request compact = {.revision = (int64_t) op->value};
        q->out->path = CLIENT_COMPACT;
        return wire_compact_request_encode(&compact, out);
    }
    bool local = op->kind == SIM_OP_LOCAL || (q->w->scenario->reads_local && !op->final);
    const struct range_request range = {.key = key, .serializable = local};
    q->out->path = CLIENT_RANGE;
    return wire_range_request_encode(&range, out);
}

void worker_encode(struct worker *c, struct client_request *ret_request)
{
    struct request q = {.w = c->workload, .out = ret_request};
    int err = OK;
    buf_clear(&q.w->request);
    switch (c->op.kind) {
    case SIM_OP_TXN:
        err = encode_pair(&q, &c->op);
        break;
    case SIM_OP_CAS:
        err = encode_cas(&q, &c->op);
        break;
    case SIM_OP_APPEND:
        err = encode_append(&q, c);
        break;
    default:
        err = encode_simple(&q, &c->op);
        break;
    }
    ASSERT(err == OK);
    ret_request->write = worker_op_writes(&c->op);
    ret_request->message = blob_copy(buf_bytes(&q.w->request));
}

/* History. */

/* Later than all before it, also when the clock has not moved. */
static uint64_t tick_ns(struct workload *w)
{
    w->last_ns = u64_max(w->last_ns + 1, uv_hrtime() - w->options.start_ns);
    return w->last_ns;
}

static void begin_compact(struct worker *c)
{
    uint64_t behind = rng_below(&c->rng, COMPACT_BEHIND_MAX);
    uint64_t revision = (uint64_t) c->workload->revision_floor;
    c->op.value = revision > behind ? revision - behind : 1;
}

void worker_begin(struct worker *c)
{
    static const uint8_t kinds[SIM_OPS] = {
        [SIM_OP_PUT] = HIST_PUT, [SIM_OP_GET] = HIST_GET, [SIM_OP_CAS] = HIST_CAS,
        [SIM_OP_DEL] = HIST_DEL, [SIM_OP_TXN] = HIST_TXN, [SIM_OP_APPEND] = HIST_APPEND,
    };
    struct workload *w = c->workload;
    struct worker_op *op = &c->op;
    op->number = UINT32_MAX;
    if (op->kind == SIM_OP_LOCAL) {
        return;
    }
    if (op->kind == SIM_OP_COMPACT) {
        begin_compact(c);
        return;
    }
    if (op->kind == SIM_OP_APPEND && !worker_fits(c)) {
        op->kind = SIM_OP_DEL;
    }
    if (worker_op_writes(op) && op->kind != SIM_OP_DEL) {
        op->value = ++w->value_number;
        w->value_number += op->kind == SIM_OP_TXN ? 1 : 0;
    }
    op->expected = op->kind == SIM_OP_CAS ? c->known[op->key.number] : 0;
    struct history_op h = {.client = c->name,
                           .kind = kinds[op->kind],
                           .result = HIST_UNKNOWN,
                           .ok = true,
                           .key = key_number(w, op->key),
                           .value = in_history(w, op->value),
                           .expected = in_history(w, op->expected),
                           .call_ns = tick_ns(w)};
    if (op->kind == SIM_OP_TXN && op->variant != WORKER_TXN_READ) {
        h.writes = history_pairs(w->options.history, 2);
        h.writes_count = 2;
        h.writes[0] = (struct history_pair){h.key, h.value};
        h.writes[1] =
            (struct history_pair){key_number(w, pair_of(op->key)), in_history(w, op->value + 1)};
    }
    op->number = history_add(w->options.history, &h);
}

void worker_end(struct worker *c, uint8_t result)
{
    if (c->op.number == UINT32_MAX) {
        return;
    }
    struct history_op *h = history_at(c->workload->options.history, c->op.number);
    h->result = result;
    h->return_ns = tick_ns(c->workload);
}

/* Answers. */

/* The number is kept as the pointer, one more of it as 0 is none; a full map compares no more.
 * False: another one is there. */
static bool keep_number(struct map *m, uint64_t id, uint64_t number, uint64_t *ret_had)
{
    void *had = map_get(m, id);
    if (had == NULL) {
        ERR_IGNORE(map_put(m, id, (void *) (uintptr_t) (number + 1))); /* full: see above */
        return true;
    }
    *ret_had = (uint64_t) (uintptr_t) had - 1;
    return *ret_had == number;
}

/* A value is written once, so whoever sees it sees it at one revision (K2), and what a key holds at
 * a revision is the same for everybody (K4). */
static void seen(struct workload *w, struct worker_key key, int64_t revision, uint64_t value)
{
    char text[KEY_SIZE];
    uint64_t place = (uint64_t) key.space << 8 | key.number;
    uint64_t by_value = hash64_mix(value, place) | UINT64_C(1) << 63;
    uint64_t by_revision = place << REVISION_BITS | (uint64_t) revision;
    uint64_t had = 0;
    if (!keep_number(&w->seen, by_value, (uint64_t) revision, &had)) {
        struct bytes name = key_text(text, key);
        workload_fail(w, "K2",
                      "key %.*s has value %" PRIu64 " at revision %" PRId64
                      " and had it at %" PRIu64,
                      (int) name.size, text, value, revision, had);
    }
    if (!keep_number(&w->seen, by_revision, value, &had)) {
        struct bytes name = key_text(text, key);
        workload_fail(w, "K4", "key %.*s at revision %" PRId64 " was %" PRIu64 " and is %" PRIu64,
                      (int) name.size, text, revision, had, value);
    }
}

/* Keeps what a client saw of a list; `text` empty: it is not there. */
static void saw_list(struct worker *c, struct worker_key key, struct bytes text, int64_t mod)
{
    char *copy = xmalloc(text.size + 1);
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
        seen(c->workload, key, mod, hash64_bytes(1, text) | 1);
    }
    copy[text.size] = '\0';
    free(c->list_text[key.number]);
    c->list_text[key.number] = copy;
    c->list_mod[key.number] = mod;
}

/* A key was read; for the history. */
static struct history_value saw(struct worker *c, struct worker_key key,
                                const struct range_response *range)
{
    struct workload *w = c->workload;
    const struct api_kv *kv = range->kvs_count == 0 ? NULL : &range->kvs[0];
    uint64_t value = 0;
    if (key.space == SPACE_LIST) {
        struct bytes text = kv == NULL ? bytes_of(NULL, 0) : kv->value;
        saw_list(c, key, text, kv == NULL ? 0 : kv->mod_revision);
        return history_value(w->options.history, text.data, text.size);
    }
    if (kv != NULL) {
        value = value_number(w, key, kv->value);
        if (value == 0) {
            workload_fail(w, "P2", "client %u read what nobody wrote", c->id);
        } else {
            seen(w, key, kv->mod_revision, value);
        }
    }
    if (key.space == SPACE_REGISTER) {
        c->known[key.number] = value;
    }
    return in_history(w, value);
}

static void wrote(struct worker *c, int64_t revision)
{
    const struct worker_op *op = &c->op;
    char text[LIST_SIZE];
    if (op->kind == SIM_OP_APPEND) {
        saw_list(c, op->key, extended(c, text), revision);
    } else if (op->kind == SIM_OP_DEL && op->key.space == SPACE_LIST) {
        saw_list(c, op->key, bytes_of(NULL, 0), 0);
    } else if (op->kind == SIM_OP_DEL) {
        c->known[op->key.number] = 0;
    } else if (op->kind == SIM_OP_TXN) {
        seen(c->workload, op->key, revision, op->value);
        seen(c->workload, pair_of(op->key), revision, op->value + 1);
    } else {
        seen(c->workload, op->key, revision, op->value);
        c->known[op->key.number] = op->value;
    }
}

/* K7: a node does not go back before what it showed this client in this life. */
static void check_local(struct worker *c, int64_t revision)
{
    struct workload *w = c->workload;
    if (c->life != w->lives[c->node]) {
        return; /* which life answered is not known */
    }
    if (c->local_node == c->node && c->local_life == c->life && revision < c->local_revision) {
        workload_fail(w, "K7", "node %u showed client %u revision %" PRId64 " after %" PRId64,
                      c->node, c->id, revision, c->local_revision);
    }
    c->local_node = c->node;
    c->local_life = c->life;
    c->local_revision = revision;
}

static void check_order(struct worker *c, int64_t revision, bool changed)
{
    struct workload *w = c->workload;
    int64_t floor = c->op.floor_revision;
    if (changed ? revision <= floor : revision < floor) {
        workload_fail(w, changed ? "K4" : "R9",
                      "client %u was answered by node %u at revision %" PRId64
                      "; before it asked, %" PRId64 " was known",
                      c->id, c->node, revision, floor);
    }
    if (revision > w->revision_floor) {
        w->revision_floor = revision;
    }
}

static void answer_txn(struct worker *c, const struct api_response *response)
{
    struct history *history = c->workload->options.history;
    const struct api_response *parts = response->txn.responses;
    if (c->op.variant == WORKER_TXN_WRITE) {
        return;
    }
    struct history_pair *reads = history_pairs(history, 2);
    reads[0] = (struct history_pair){key_number(c->workload, c->op.key),
                                     saw(c, c->op.key, &parts[0].range)};
    reads[1] = (struct history_pair){key_number(c->workload, pair_of(c->op.key)),
                                     saw(c, pair_of(c->op.key), &parts[1].range)};
    struct history_op *h = history_at(history, c->op.number);
    h->reads = reads;
    h->reads_count = 2;
}

/* Returns whether the store was changed. */
static bool answer_op(struct worker *c, const struct api_response *response)
{
    struct history_op *h =
        c->op.number == UINT32_MAX ? NULL : history_at(c->workload->options.history, c->op.number);
    bool changed = true;
    switch (c->op.kind) {
    case SIM_OP_GET:
        h->value = saw(c, c->op.key, &response->range);
        h->ok = h->value.data != NULL;
        return false;
    case SIM_OP_CAS:
    case SIM_OP_APPEND:
        changed = response->txn.succeeded;
        h->ok = changed;
        if (!changed) {
            ERR_IGNORE((int) saw(c, c->op.key, &response->txn.responses[0].range).size);
        }
        break;
    case SIM_OP_DEL:
        changed = response->del.deleted > 0;
        h->ok = changed;
        break;
    case SIM_OP_TXN:
        answer_txn(c, response);
        changed = c->op.variant != WORKER_TXN_READ;
        break;
    case SIM_OP_COMPACT:
        return false;
    default:
        break;
    }
    if (changed || c->op.kind == SIM_OP_DEL) {
        wrote(c, response->revision);
    }
    return changed;
}

static uint8_t response_kind(const struct worker_op *op)
{
    switch (op->kind) {
    case SIM_OP_PUT:
        return OP_PUT;
    case SIM_OP_DEL:
        return OP_DELETE;
    case SIM_OP_GET:
    case SIM_OP_LOCAL:
        return OP_RANGE;
    case SIM_OP_COMPACT:
        return OP_NONE;
    default:
        return OP_TXN;
    }
}

/* Has it the parts that were asked for? */
static bool whole(const struct worker_op *op, const struct api_response *response)
{
    static const uint32_t pair_parts[] = {2, 2, 4};
    if (response_kind(op) != OP_TXN) {
        return true;
    }
    const struct txn_response *txn = &response->txn;
    uint32_t wanted = op->kind == SIM_OP_TXN ? pair_parts[op->variant] : 1;
    bool reads = op->kind == SIM_OP_TXN ? op->variant != WORKER_TXN_WRITE : !txn->succeeded;
    if (txn->responses_count != wanted || (op->kind == SIM_OP_TXN && !txn->succeeded)) {
        return false;
    }
    for (uint32_t i = 0; reads && i < (op->kind == SIM_OP_TXN ? 2 : 1); i++) {
        if (txn->responses[i].kind != OP_RANGE) {
            return false;
        }
    }
    return true;
}

enum worker_answer worker_answer(struct worker *c, struct bytes message)
{
    struct workload *w = c->workload;
    struct api_response response;
    arena_reset(&w->arena);
    int err = wire_response_decode(response_kind(&c->op), message, &w->arena, NULL, &response);
    if (err != OK || !whole(&c->op, &response)) {
        workload_fail(w, "", "node %u answered client %u with what is no answer to its call",
                      c->node, c->id);
        return ANSWER_BAD;
    }
    if (c->op.kind == SIM_OP_LOCAL) {
        ERR_IGNORE((int) saw(c, c->op.key, &response.range).size);
        check_local(c, response.revision);
        return ANSWER_DONE;
    }
    bool changed = answer_op(c, &response);
    if (c->op.kind != SIM_OP_GET || !w->scenario->reads_local || c->op.final) {
        check_order(c, response.revision, changed);
    }
    if (c->op.kind == SIM_OP_APPEND && !changed) {
        return ANSWER_GOES_ON;
    }
    worker_end(c, HIST_OK);
    return ANSWER_DONE;
}

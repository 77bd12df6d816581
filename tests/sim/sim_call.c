/*
 * sim_call.c - what clients ask, what an answer means, and what goes into the history.
 *
 * Every value is a number that is written once, so that whoever reads it knows who wrote it. It
 * travels as the number and some bytes that follow from it; lists are numbers joined by commas. At
 * a revision a key has one value, for everybody and for ever; revisions rise. Whether all answers
 * together make sense is for the linearizability checker at the end.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "proto/wire_kv.h"
#include "tests/sim/sim_internal.h"

enum {
    KEY_SIZE = 16,
    VALUE_SPREAD = 176,      /* bytes behind the number, unless the scenario has sizes of values */
    LIST_MAX = 300,          /* bytes; a longer one is deleted by whoever would extend it */
    COMPACT_BEHIND_MAX = 50, /* revisions */
    OP_VERSION_BITS = 48,
};

/* Keys and values. */

static struct bytes key_text(char *text, struct sim_key key)
{
    int size;
    switch (key.space) {
    case KEY_REGISTER:
        size = snprintf(text, KEY_SIZE, "r%u", key.number);
        break;
    case KEY_LIST:
        size = snprintf(text, KEY_SIZE, "l%u", key.number);
        break;
    case KEY_PAIR_A:
        size = snprintf(text, KEY_SIZE, "t%ua", key.number);
        break;
    default:
        size = snprintf(text, KEY_SIZE, "t%ub", key.number);
        break;
    }
    return bytes_of(text, (size_t) size);
}

static uint32_t key_number(struct sim *sim, struct sim_key key)
{
    char text[KEY_SIZE];
    ERR_IGNORE((int) key_text(text, key).size);
    return history_key(sim->history, text);
}

static struct sim_key pair_of(struct sim_key key)
{
    key.space = KEY_PAIR_B;
    return key;
}

/* How long a value is follows from the value: whoever reads it knows how it must look. `digits`
 * bytes are its number. */
static uint64_t value_size(const struct sim *sim, struct sim_key key, uint64_t value,
                           uint64_t digits)
{
    struct sim_span span = sim->scenario->value;
    if (span.max == 0 || key.space != KEY_REGISTER) {
        return digits + value * 7 % VALUE_SPREAD;
    }
    uint64_t drawn = hash64_mix(value, sim->scenario->seed) % (span.max - span.min + 1);
    return u64_max(span.min + drawn, digits);
}

static struct bytes value_text(struct sim *sim, struct buf *text, struct sim_key key,
                               uint64_t value)
{
    buf_clear(text);
    int err = buf_printf(text, "%" PRIu64 ":", value);
    ASSERT(err == OK);
    size_t size = (size_t) value_size(sim, key, value, text->size);
    err = buf_reserve(text, size - text->size);
    ASSERT(err == OK);
    for (size_t i = text->size; i < size; i++) {
        text->data[i] = (uint8_t) ('a' + (value + i) % 26);
    }
    buf_advance(text, size - text->size);
    return buf_bytes(text);
}

/* 0: not one of ours. */
static uint64_t value_number(struct sim *sim, struct sim_key key, struct bytes bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.size && bytes.data[i] != ':'; i++) {
        if (bytes.data[i] < '0' || bytes.data[i] > '9' || value > sim->value_number) {
            return 0;
        }
        value = value * 10 + (uint64_t) (bytes.data[i] - '0');
    }
    return bytes_equal(value_text(sim, &sim->values[2], key, value), bytes) ? value : 0;
}

static struct history_value in_history(struct sim *sim, uint64_t value)
{
    char text[24];
    if (value == 0) {
        return (struct history_value){NULL, 0};
    }
    int size = snprintf(text, sizeof text, "%" PRIu64, value);
    return history_value(sim->history, text, (size_t) size);
}

/* Requests. */

struct request {
    struct sim *sim; /* its buffers are used */
    struct buf *buf;
    uint8_t tag; /* 0: a read */
    uint8_t kind;
    char keys[2][KEY_SIZE];
};

/* Of this many values of a request. */
static struct bytes request_value(struct request *q, uint32_t number, struct sim_key key,
                                  uint64_t value)
{
    return value_text(q->sim, &q->sim->values[number], key, value);
}

static struct txn_op put_op(struct bytes key, struct bytes value)
{
    return (struct txn_op){.kind = OP_PUT, .put = {.key = key, .value = value}};
}

static struct txn_op range_op(struct bytes key)
{
    return (struct txn_op){.kind = OP_RANGE, .range = {.key = key}};
}

static int encode_pair(struct request *q, const struct client_op *op)
{
    struct bytes a = key_text(q->keys[0], op->key);
    struct bytes b = key_text(q->keys[1], pair_of(op->key));
    const struct txn_op ops[] = {
        range_op(a),
        range_op(b),
        put_op(a, request_value(q, 0, op->key, op->value)),
        put_op(b, request_value(q, 1, pair_of(op->key), op->value + 1)),
    };
    struct txn_request txn = {.success = ops, .success_count = 4};
    if (op->variant == TXN_READ) {
        txn.success_count = 2;
    } else if (op->variant == TXN_WRITE) {
        txn.success = ops + 2;
        txn.success_count = 2;
    }
    q->tag = op->variant == TXN_READ ? 0 : TAG_TXN;
    q->kind = OP_TXN;
    return wire_txn_request_encode(&txn, q->buf);
}

/* Puts if the comparison holds, reads if not. */
static int encode_conditional(struct request *q, const struct compare *compare, struct bytes key,
                              struct bytes value)
{
    const struct txn_op put = put_op(key, value);
    const struct txn_op get = range_op(key);
    const struct txn_request txn = {.compares = compare,
                                    .compares_count = 1,
                                    .success = &put,
                                    .success_count = 1,
                                    .failure = &get,
                                    .failure_count = 1};
    q->tag = TAG_TXN;
    q->kind = OP_TXN;
    return wire_txn_request_encode(&txn, q->buf);
}

static int encode_cas(struct request *q, const struct client_op *op)
{
    struct bytes key = key_text(q->keys[0], op->key);
    struct compare compare = {.result = COMPARE_EQUAL, .target = COMPARE_VERSION, .key = key};
    if (op->expected != 0) {
        compare.target = COMPARE_VALUE;
        compare.value = request_value(q, 1, op->key, op->expected);
    }
    return encode_conditional(q, &compare, key, request_value(q, 0, op->key, op->value));
}

bool sim_call_fits(const struct client *c)
{
    const char *had = c->list_text[c->op.key.number];
    return had == NULL || strlen(had) < LIST_MAX;
}

static int encode_append(struct request *q, const struct client *c)
{
    char text[LIST_MAX + 32];
    const char *had = c->list_text[c->op.key.number];
    bool empty = had == NULL || had[0] == '\0';
    struct bytes key = key_text(q->keys[0], c->op.key);
    const struct compare compare = {.result = COMPARE_EQUAL,
                                    .target = COMPARE_MOD,
                                    .key = key,
                                    .number = c->list_mod[c->op.key.number]};
    int size = snprintf(text, sizeof text, "%s%s%" PRIu64, empty ? "" : had, empty ? "" : ",",
                        c->op.value);
    ASSERT((size_t) size < sizeof text);
    return encode_conditional(q, &compare, key, bytes_of(text, (size_t) size));
}

static int encode_simple(struct request *q, const struct client_op *op)
{
    struct bytes key = key_text(q->keys[0], op->key);
    if (op->kind == SIM_OP_PUT) {
        const struct put_request put = {.key = key,
                                        .value = request_value(q, 0, op->key, op->value)};
        q->tag = TAG_PUT;
        q->kind = OP_PUT;
        return wire_put_request_encode(&put, q->buf);
    }
    if (op->kind == SIM_OP_DEL) {
        const struct delete_request del = {.key = key};
        q->tag = TAG_DELETE;
        q->kind = OP_DELETE;
        return wire_delete_request_encode(&del, q->buf);
    }
    if (op->kind == SIM_OP_COMPACT) {
        const struct compact_request compact = {.revision = (int64_t) op->value};
        q->tag = TAG_COMPACT;
        q->kind = OP_NONE;
        return wire_compact_request_encode(&compact, q->buf);
    }
    const struct range_request range = {.key = key, .serializable = sim_op_local(q->sim, op)};
    q->tag = 0;
    q->kind = OP_RANGE;
    return wire_range_request_encode(&range, q->buf);
}

static int encode(struct request *q, const struct client *c)
{
    switch (c->op.kind) {
    case SIM_OP_TXN:
        return encode_pair(q, &c->op);
    case SIM_OP_CAS:
        return encode_cas(q, &c->op);
    case SIM_OP_APPEND:
        return encode_append(q, c);
    default:
        return encode_simple(q, &c->op);
    }
}

static uint64_t sequence_of(const struct client *c)
{
    uint64_t own = c->op.sequence != 0 ? c->op.sequence : c->sequence;
    return c->session == 0 ? 0 : own;
}

int sim_call_submit(struct sim *sim, struct client *c, struct node *n, uint64_t timeout_us)
{
    struct request q = {.sim = sim, .buf = &sim->text};
    buf_clear(&sim->text);
    int err = encode(&q, c);
    ASSERT(err == OK);
    uint64_t deadline = sim_node_local(sim, n) + timeout_us;
    if (q.tag == 0) {
        const struct replica_read_args args = {.call = c->call,
                                               .deadline_us = deadline,
                                               .kind = q.kind,
                                               .serializable = sim_op_local(sim, &c->op),
                                               .request = buf_bytes(q.buf)};
        return replica_read(n->replica, &args);
    }
    const struct replica_write_args args = {.call = c->call,
                                            .deadline_us = deadline,
                                            .tag = q.tag,
                                            .request = buf_bytes(q.buf),
                                            .session = c->session,
                                            .sequence = sequence_of(c)};
    observer_submit(sim->observer, args.tag, args.request);
    return replica_write(n->replica, &args);
}

/* History. */

/* What happens in one microsecond still has an order, and the checker is to know it. */
static uint64_t tick_ns(struct sim *sim)
{
    sim->last_ns = u64_max(sim->last_ns + 1, sim->now_us * 1000);
    return sim->last_ns;
}

void sim_call_begin(struct sim *sim, struct client *c)
{
    static const uint8_t kinds[SIM_OPS] = {
        [SIM_OP_PUT] = HIST_PUT, [SIM_OP_GET] = HIST_GET, [SIM_OP_CAS] = HIST_CAS,
        [SIM_OP_DEL] = HIST_DEL, [SIM_OP_TXN] = HIST_TXN, [SIM_OP_APPEND] = HIST_APPEND,
    };
    struct client_op *op = &c->op;
    uint32_t key = op->key.number;
    op->number = UINT32_MAX;
    if (op->kind == SIM_OP_LOCAL) {
        return;
    }
    if (op->kind == SIM_OP_COMPACT) {
        uint64_t behind = rng_below(&c->rng, COMPACT_BEHIND_MAX);
        uint64_t revision = (uint64_t) sim->revision_floor;
        op->value = revision > behind ? revision - behind : 1;
        return;
    }
    if (op->kind == SIM_OP_APPEND && !sim_call_fits(c)) {
        op->kind = SIM_OP_DEL;
    }
    if (sim_op_writes(op) && op->kind != SIM_OP_DEL) {
        op->value = ++sim->value_number;
        sim->value_number += op->kind == SIM_OP_TXN ? 1 : 0;
    }
    op->expected = op->kind == SIM_OP_CAS ? c->known[key] : 0;
    struct history_op h = {.client = c->name,
                           .kind = kinds[op->kind],
                           .result = HIST_UNKNOWN,
                           .ok = true,
                           .key = key_number(sim, op->key),
                           .value = in_history(sim, op->value),
                           .expected = in_history(sim, op->expected),
                           .call_ns = tick_ns(sim)};
    if (op->kind == SIM_OP_TXN && op->variant != TXN_READ) {
        h.writes = history_pairs(sim->history, 2);
        h.writes_count = 2;
        h.writes[0] = (struct history_pair){h.key, h.value};
        h.writes[1] = (struct history_pair){key_number(sim, pair_of(op->key)),
                                            in_history(sim, op->value + 1)};
    }
    op->number = history_add(sim->history, &h);
}

void sim_call_end(struct sim *sim, struct client *c, uint8_t result)
{
    if (c->op.number == UINT32_MAX) {
        return;
    }
    struct history_op *h = history_at(sim->history, c->op.number);
    h->result = result;
    h->return_ns = tick_ns(sim);
}

/* Answers. */

/* K2: a value is written once, so whoever sees it sees it at one revision. */
static void seen_once(struct sim *sim, struct sim_key key, int64_t revision, uint64_t value)
{
    uint64_t id = hash64_mix(value, (uint64_t) key.space << 8 | key.number) | UINT64_C(1) << 63;
    void *had = map_get(&sim->seen, id);
    if (had == NULL) {
        ERR_IGNORE(map_put(&sim->seen, id, (void *) (uintptr_t) revision)); /* full: not compared */
    } else if ((int64_t) (uintptr_t) had != revision) {
        char text[KEY_SIZE];
        struct bytes name = key_text(text, key);
        sim_fail(sim, "K2",
                 "key %.*s has value %" PRIu64 " at revision %" PRId64 " and had it at %" PRId64,
                 (int) name.size, text, value, revision, (int64_t) (uintptr_t) had);
    }
}

/* What a key holds at a revision is `value` for everybody. */
static void seen(struct sim *sim, struct sim_key key, int64_t revision, uint64_t value)
{
    seen_once(sim, key, revision, value);
    uint64_t id = ((uint64_t) key.space << 8 | key.number) << OP_VERSION_BITS | (uint64_t) revision;
    void *had = map_get(&sim->seen, id);
    /* The number itself is the pointer. */
    if (had == NULL) {
        ERR_IGNORE(map_put(&sim->seen, id, (void *) (uintptr_t) value)); /* full: not compared */
    } else if ((uint64_t) (uintptr_t) had != value) {
        char text[KEY_SIZE];
        struct bytes name = key_text(text, key);
        sim_fail(sim, "K4", "key %.*s at revision %" PRId64 " was %" PRIu64 " and is %" PRIu64,
                 (int) name.size, text, revision, (uint64_t) (uintptr_t) had, value);
    }
}

/* Keeps what a client saw of a list. Lists are compared as text by the checker. */
static void saw_list(struct sim *sim, struct client *c, struct sim_key key, const struct api_kv *kv)
{
    size_t size = kv == NULL ? 0 : kv->value.size;
    char *text = xmalloc(size + 1);
    if (size > 0) {
        memcpy(text, kv->value.data, size);
    }
    text[size] = '\0';
    free(c->list_text[key.number]);
    c->list_text[key.number] = text;
    c->list_mod[key.number] = kv == NULL ? 0 : kv->mod_revision;
    if (kv != NULL) {
        seen(sim, key, kv->mod_revision, hash64_bytes(1, kv->value) | 1);
    }
}

/* A key was read; for the history. */
static struct history_value saw(struct sim *sim, struct client *c, struct sim_key key,
                                const struct range_response *range)
{
    const struct api_kv *kv = range->kvs_count == 0 ? NULL : &range->kvs[0];
    uint64_t value = 0;
    if (key.space == KEY_LIST) {
        saw_list(sim, c, key, kv);
        return kv == NULL ? (struct history_value){NULL, 0}
                          : history_value(sim->history, kv->value.data, kv->value.size);
    }
    if (kv != NULL) {
        value = value_number(sim, key, kv->value);
        if (value == 0 || value > sim->value_number) {
            sim_fail(sim, "P2", "client %u read what nobody wrote", c->id);
        }
        seen(sim, key, kv->mod_revision, value);
    }
    if (key.space == KEY_REGISTER) {
        c->known[key.number] = value;
    }
    return in_history(sim, value);
}

static void wrote(struct sim *sim, struct client *c, int64_t revision)
{
    const struct client_op *op = &c->op;
    if (op->kind == SIM_OP_APPEND) {
        char text[LIST_MAX + 32];
        char *had = c->list_text[op->key.number];
        bool empty = had == NULL || had[0] == '\0';
        int size = snprintf(text, sizeof text, "%s%s%" PRIu64, empty ? "" : had, empty ? "" : ",",
                            op->value);
        const struct api_kv kv = {.value = bytes_of(text, (size_t) size), .mod_revision = revision};
        saw_list(sim, c, op->key, &kv);
    } else if (op->kind == SIM_OP_DEL) {
        if (op->key.space == KEY_LIST) {
            saw_list(sim, c, op->key, NULL);
        } else {
            c->known[op->key.number] = 0;
        }
    } else {
        seen(sim, op->key, revision, op->value);
        if (op->kind == SIM_OP_TXN) {
            seen(sim, pair_of(op->key), revision, op->value + 1);
        } else {
            c->known[op->key.number] = op->value;
        }
    }
}

/* K7: a node does not go back before what it showed this client in this life. */
static void check_local(struct sim *sim, struct client *c, const struct node *n, int64_t revision)
{
    if (c->local_node == n->id && c->local_life == n->life && revision < c->local_revision) {
        sim_fail(sim, "K7", "node %u showed client %u revision %" PRId64 " after %" PRId64, n->id,
                 c->id, revision, c->local_revision);
    }
    c->local_node = n->id;
    c->local_life = n->life;
    c->local_revision = revision;
}

static void check_order(struct sim *sim, struct client *c, const struct node *n, int64_t revision,
                        bool changed)
{
    struct replica_status status;
    bool good = changed ? revision > c->op.floor_revision : revision >= c->op.floor_revision;
    if (!good) {
        sim_fail(sim, changed ? "K4" : "R9",
                 "client %u was answered by node %u at revision %" PRId64
                 "; before it asked, %" PRId64 " was known",
                 c->id, n->id, revision, c->op.floor_revision);
    }
    if (revision > sim->revision_floor) {
        sim->revision_floor = revision;
    }
    replica_status(n->replica, &status);
    observer_answered(sim->observer, n->id, c->op.floor, status.applied, sim_op_writes(&c->op));
}

static void answered_write(struct sim *sim)
{
    sim_count(sim, COUNT_WRITES_OK);
    uint64_t before_us = sim->write_us != 0 ? sim->write_us : scenario_start_us(sim->scenario);
    if (sim->now_us > before_us && sim->now_us <= sim->scenario->length_us) {
        sim->result->gap_us = u64_max(sim->result->gap_us, sim->now_us - before_us);
    }
    sim->write_us = sim->now_us;
    trigger_write(&sim->trigger, sim->now_us);
}

static void answer_txn(struct sim *sim, struct client *c, const struct api_response *response)
{
    struct history_op *h = history_at(sim->history, c->op.number);
    const struct api_response *parts = response->txn.responses;
    if (c->op.variant != TXN_WRITE) {
        h->reads = history_pairs(sim->history, 2);
        h->reads_count = 2;
        h->reads[0] = (struct history_pair){key_number(sim, c->op.key),
                                            saw(sim, c, c->op.key, &parts[0].range)};
        h->reads[1] = (struct history_pair){key_number(sim, pair_of(c->op.key)),
                                            saw(sim, c, pair_of(c->op.key), &parts[1].range)};
    }
}

/* Returns whether the store was changed. */
static bool answer_op(struct sim *sim, struct client *c, const struct api_response *response)
{
    struct history_op *h =
        c->op.number == UINT32_MAX ? NULL : history_at(sim->history, c->op.number);
    bool changed = true;
    switch (c->op.kind) {
    case SIM_OP_GET:
        h->value = saw(sim, c, c->op.key, &response->range);
        h->ok = h->value.data != NULL;
        return false;
    case SIM_OP_CAS:
    case SIM_OP_APPEND:
        changed = response->txn.succeeded;
        h->ok = changed;
        if (!changed) {
            ERR_IGNORE((int) saw(sim, c, c->op.key, &response->txn.responses[0].range).size);
        }
        break;
    case SIM_OP_DEL:
        changed = response->del.deleted > 0;
        h->ok = changed;
        break;
    case SIM_OP_TXN:
        answer_txn(sim, c, response);
        changed = c->op.variant != TXN_READ;
        break;
    case SIM_OP_COMPACT:
        return false;
    default:
        break;
    }
    if (changed || c->op.kind == SIM_OP_DEL) {
        wrote(sim, c, response->revision);
    }
    return changed;
}

bool sim_call_answer(struct sim *sim, struct client *c, const struct node *n,
                     const struct mvcc_result *result)
{
    const struct api_response *response = &result->response;
    if (c->op.kind == SIM_OP_LOCAL) {
        ERR_IGNORE((int) saw(sim, c, c->op.key, &response->range).size);
        check_local(sim, c, n, response->revision);
        sim_count(sim, COUNT_READS_OK);
        return true;
    }
    bool changed = answer_op(sim, c, response);
    /* What was read without a quorum is left to the checker of histories. */
    if (c->op.sequence == 0 && !sim_op_local(sim, &c->op)) {
        check_order(sim, c, n, response->revision, changed);
    }
    if (c->op.kind == SIM_OP_APPEND && !changed) {
        return false;
    }
    if (sim_op_writes(&c->op)) {
        answered_write(sim);
    } else {
        sim_count(sim, COUNT_READS_OK);
    }
    sim_call_end(sim, c, HIST_OK);
    return true;
}

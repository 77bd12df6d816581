/*
 * cluster_sim_client.c - clients of the simulated cluster, and what they may hold against it.
 *
 * Each client has one call at a time. Registers are read and written by all; each pair of keys is
 * written together and must be read together; each client counts in a key of its own, with a
 * session and retries through any node until it is answered, so that the version of that key is the
 * number of times its increments were applied (K2).
 *
 * Order: an answer carries a revision, and revisions are the order of the store. What was answered
 * before a call was made is its floor: a write gets a higher revision, a read sees at least that
 * (K1, R9). That finds stale reads, lost and doubled writes without a search.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"
#include "proto/wire_kv.h"
#include "tests/support/cluster_sim_internal.h"

enum {
    KEY_SIZE = 16,
    VALUE_MAX = 200,
    PATIENCE_US = 200000, /* beyond the deadline: the node is gone */
    QUERY_CLIENT = CLUSTER_SIM_CLIENTS_MAX,
    PAIRS = 2, /* the last keys are taken in pairs */
};

/* Keys: registers are r0, r1 ...; the two of a pair pNa and pNb; counters c0 ... */

static struct bytes key_name(char *text, char kind, uint32_t number, char suffix)
{
    int size = suffix == '\0' ? snprintf(text, KEY_SIZE, "%c%u", kind, number)
                              : snprintf(text, KEY_SIZE, "%c%u%c", kind, number, suffix);
    return bytes_of(text, (size_t) size);
}

/* Registers, pairs and counters share one space of floors and acknowledgements. */
static uint32_t key_slot(const struct cluster_sim *sim, const struct sim_client *c,
                         const struct sim_op *op)
{
    switch (op->type) {
    case SIM_PAIR_PUT:
    case SIM_PAIR_GET:
        return CLUSTER_SIM_KEYS_MAX + op->key;
    case SIM_COUNT:
        return 2 * CLUSTER_SIM_KEYS_MAX + c->id;
    default:
        ASSERT(op->key < sim->options.keys);
        return op->key;
    }
}

static struct bytes slot_name(char *text, uint32_t slot)
{
    if (slot < CLUSTER_SIM_KEYS_MAX) {
        return key_name(text, 'r', slot, '\0');
    }
    if (slot < 2 * CLUSTER_SIM_KEYS_MAX) {
        return key_name(text, 'p', slot - CLUSTER_SIM_KEYS_MAX, 'a');
    }
    return key_name(text, 'c', slot - 2 * CLUSTER_SIM_KEYS_MAX, '\0');
}

/* A value is its number and some bytes that follow from it. */
static struct bytes value_text(uint8_t *text, uint64_t value)
{
    size_t size = 8 + value * 7 % (VALUE_MAX - 8);
    enc_put_u64(text, value);
    for (size_t i = 8; i < size; i++) {
        text[i] = (uint8_t) (value + i);
    }
    return bytes_of(text, size);
}

/* 0: not one of ours. */
static uint64_t value_number(struct bytes bytes)
{
    uint8_t text[VALUE_MAX];
    if (bytes.size < 8) {
        return 0;
    }
    uint64_t value = enc_get_u64(bytes.data);
    return bytes_equal(value_text(text, value), bytes) ? value : 0;
}

/* Requests. */

struct request {
    struct buf buf;
    uint8_t tag; /* 0: a read */
    uint8_t kind;
    char keys[2][KEY_SIZE];
    uint8_t value[VALUE_MAX];
    uint8_t expected[VALUE_MAX];
};

static void encode_pair(struct request *q, const struct sim_op *op, bool put)
{
    struct txn_op ops[2] = {0};
    for (uint32_t i = 0; i < 2; i++) {
        struct bytes key = key_name(q->keys[i], 'p', op->key, i == 0 ? 'a' : 'b');
        ops[i].kind = put ? OP_PUT : OP_RANGE;
        if (put) {
            ops[i].put.key = key;
            ops[i].put.value = value_text(q->value, op->value);
        } else {
            ops[i].range.key = key;
        }
    }
    /* A read compares a value first, which may have to be fetched; it reads the same anyway. */
    const struct compare compare = {.result = COMPARE_NOT_EQUAL,
                                    .target = COMPARE_VALUE,
                                    .key = ops[0].range.key,
                                    .value = bytes_str("x")};
    struct txn_request txn = {.success = ops, .success_count = 2};
    if (!put) {
        txn.compares = &compare;
        txn.compares_count = 1;
        txn.failure = ops;
        txn.failure_count = 2;
    }
    int err = wire_txn_request_encode(&txn, &q->buf);
    ASSERT(err == OK);
    q->tag = put ? TAG_TXN : 0;
    q->kind = OP_TXN;
}

static void encode_compare(struct request *q, const struct sim_op *op)
{
    struct bytes key = key_name(q->keys[0], 'r', op->key, '\0');
    struct compare compare = {.result = COMPARE_EQUAL,
                              .target = COMPARE_MOD,
                              .key = key,
                              .number = op->compare};

    if (op->expected != 0) { /* values are written once, so it is the same question */
        compare.target = COMPARE_VALUE;
        compare.number = 0;
        compare.value = value_text(q->expected, op->expected);
    }
    const struct txn_op put = {.kind = OP_PUT,
                               .put = {.key = key, .value = value_text(q->value, op->value)}};
    const struct txn_op get = {.kind = OP_RANGE, .range = {.key = key}};
    const struct txn_request txn = {.compares = &compare,
                                    .compares_count = 1,
                                    .success = &put,
                                    .success_count = 1,
                                    .failure = &get,
                                    .failure_count = 1};
    int err = wire_txn_request_encode(&txn, &q->buf);
    ASSERT(err == OK);
    q->tag = TAG_TXN;
    q->kind = OP_TXN;
}

static void encode_op(struct request *q, const struct sim_client *c, const struct sim_op *op)
{
    buf_init(&q->buf, 1 << 16);
    int err = OK;
    if (op->type == SIM_PAIR_PUT || op->type == SIM_PAIR_GET) {
        encode_pair(q, op, op->type == SIM_PAIR_PUT);
    } else if (op->type == SIM_CAS) {
        encode_compare(q, op);
    } else if (op->type == SIM_GET) {
        const struct range_request range = {.key = key_name(q->keys[0], 'r', op->key, '\0')};
        err = wire_range_request_encode(&range, &q->buf);
        q->tag = 0;
        q->kind = OP_RANGE;
    } else {
        bool count = op->type == SIM_COUNT;
        const struct put_request put = {.key = key_name(q->keys[0], count ? 'c' : 'r',
                                                        count ? c->id : op->key, '\0'),
                                        .value = value_text(q->value, op->value)};
        err = wire_put_request_encode(&put, &q->buf);
        q->tag = TAG_PUT;
        q->kind = OP_PUT;
    }
    ASSERT(err == OK);
}

/* Calls. */

static void client_sleep(struct cluster_sim *sim, struct sim_client *c, uint64_t us)
{
    c->wake_us = sim->now_us + us;
    sim_push(sim, (struct sim_event){.time_us = c->wake_us, .kind = EVENT_CLIENT, .node = c->id});
}

void sim_clients_init(struct cluster_sim *sim)
{
    for (uint32_t i = 0; i < sim->options.clients; i++) {
        sim->clients[i].id = i;
        sim->clients[i].state = CLIENT_THINKS;
        client_sleep(sim, &sim->clients[i], sim_draw(sim, sim->options.think));
    }
}

bool sim_clients_idle(const struct cluster_sim *sim)
{
    for (uint32_t i = 0; i < sim->options.clients; i++) {
        if (sim->clients[i].state != CLIENT_DONE) {
            return false;
        }
    }
    return true;
}

static void value_add(struct cluster_sim *sim, const struct sim_client *c)
{
    uint64_t value = c->op.value;
    if (value >= sim->values_capacity) {
        sim->values_capacity = u64_max(1024, 2 * value);
        sim->values = xrealloc(sim->values, sim->values_capacity * sizeof(*sim->values));
    }
    sim->values[value] = (struct sim_value){.slot = key_slot(sim, c, &c->op),
                                            .cas = c->op.type == SIM_CAS,
                                            .compare = c->op.compare};
}

static void op_choose(struct cluster_sim *sim, struct sim_client *c)
{
    static const uint8_t mix[] = {
        SIM_PUT, SIM_PUT,   SIM_GET,   SIM_GET,      SIM_GET,      SIM_CAS,
        SIM_CAS, SIM_COUNT, SIM_COUNT, SIM_PAIR_PUT, SIM_PAIR_GET,
    };
    c->op = (struct sim_op){
        .type = mix[rng_below(&sim->rng, ARRAY_SIZE(mix))],
        .key = (uint32_t) rng_below(&sim->rng, sim->options.keys),
        .value = ++sim->value_number,
    };
    if (c->op.type == SIM_PAIR_PUT || c->op.type == SIM_PAIR_GET) {
        c->op.key %= PAIRS;
    }
    if (c->op.type == SIM_CAS) {
        c->op.compare = c->known[c->op.key];
        c->op.expected = rng_chance(&sim->rng, 1, 2) ? c->known_values[c->op.key] : 0;
    }
    if (c->op.type == SIM_COUNT) {
        c->sequence++;
    }
    value_add(sim, c);
}

static int call_submit(struct cluster_sim *sim, struct sim_client *c, struct sim_node *n)
{
    struct request q = {0};
    int err;
    encode_op(&q, c, &c->op);
    c->call = (uint64_t) c->id << 40 | ++sim->call_number;
    uint64_t deadline = sim->now_us + sim->options.call_timeout_us;
    if (q.tag != 0) {
        struct replica_write_args args = {.call = c->call,
                                          .deadline_us = deadline,
                                          .tag = q.tag,
                                          .request = buf_bytes(&q.buf)};
        if (c->op.type == SIM_COUNT) {
            args.session = UINT64_C(1) << 63 | (c->id + 1);
            args.sequence = c->sequence;
        }
        err = replica_write(n->replica, &args);
    } else {
        const struct replica_read_args args = {.call = c->call,
                                               .deadline_us = deadline,
                                               .kind = q.kind,
                                               .request = buf_bytes(&q.buf)};
        err = replica_read(n->replica, &args);
    }
    buf_release(&q.buf);
    return err;
}

/* The call failed or nobody knows (ERR_TIMEOUT). Counters go on with the same one, all else is
 * forgotten. */
static void call_over(struct cluster_sim *sim, struct sim_client *c, int err)
{
    c->call = 0;
    c->state = CLIENT_THINKS;
    c->retry = c->op.type == SIM_COUNT;
    if (c->retry) {
        sim->counts.retries++;
    } else if (err != ERR_TIMEOUT) {
        sim->values[c->op.value].state = VALUE_NEVER;
    }
    client_sleep(sim, c, sim_draw(sim, sim->options.think) + 1000);
}

static void call_begin(struct cluster_sim *sim, struct sim_client *c)
{
    if (!c->retry) {
        if (!sim->clients_on) {
            c->state = CLIENT_DONE;
            return;
        }
        op_choose(sim, c);
        c->op.floor_key = sim->floor_keys[key_slot(sim, c, &c->op)];
        c->op.floor_global = sim->floor_global;
    }
    struct sim_node *n = &sim->nodes[rng_between(&sim->rng, 1, sim->options.nodes)];
    c->state = CLIENT_WAITS;
    client_sleep(sim, c, sim->options.call_timeout_us + PATIENCE_US);
    if (n->replica == NULL) {
        call_over(sim, c, ERR_UNREACHABLE);
        return;
    }
    sim_node_enter(sim, n);
    int err = call_submit(sim, c, n);
    if (err != OK) {
        sim->counts.writes_failed++;
        call_over(sim, c, err);
    }
    sim_node_leave(sim, n);
}

void sim_client_event(struct cluster_sim *sim, uint32_t client)
{
    struct sim_client *c = &sim->clients[client];
    if (sim->now_us != c->wake_us) {
        return; /* answered meanwhile */
    }
    if (c->state == CLIENT_THINKS) {
        call_begin(sim, c);
    } else if (c->state == CLIENT_WAITS) {
        sim->counts.writes_unknown++; /* its node is gone */
        call_over(sim, c, ERR_TIMEOUT);
    }
}

/* Answers. */

/* One key at one revision has one value, for everybody and for ever. */
static void seen_check(struct cluster_sim *sim, uint32_t slot, int64_t revision, uint64_t value)
{
    uint64_t key = (uint64_t) slot << 40 | (uint64_t) revision;
    uint64_t *had = map_get(&sim->seen, key);
    /* The number itself is the pointer: values are below 2^40. */
    if (had == NULL) {
        ERR_IGNORE(map_put(&sim->seen, key, (void *) (uintptr_t) value)); /* large enough */
    } else if ((uint64_t) (uintptr_t) had != value) {
        sim_fail(sim, "K1: key slot %u at revision %lld was %llu and is now %llu", slot,
                 (long long) revision, (unsigned long long) (uintptr_t) had,
                 (unsigned long long) value);
    }
}

static void floor_check(struct cluster_sim *sim, const struct sim_client *c, int64_t revision,
                        int64_t mod)
{
    if (revision < c->op.floor_global) {
        sim_fail(sim,
                 "R9: client %u was answered at revision %lld; before it asked, %lld was known",
                 c->id, (long long) revision, (long long) c->op.floor_global);
    }
    if (mod < c->op.floor_key) {
        sim_fail(sim,
                 "K1: client %u got modification %lld of a key; before it asked, %lld was known",
                 c->id, (long long) mod, (long long) c->op.floor_key);
    }
}

static void floor_raise(struct cluster_sim *sim, uint32_t slot, int64_t revision, int64_t mod)
{
    if (revision > sim->floor_global) {
        sim->floor_global = revision;
    }
    if (mod > sim->floor_keys[slot]) {
        sim->floor_keys[slot] = mod;
    }
}

static void on_write(struct cluster_sim *sim, struct sim_client *c, int64_t revision)
{
    uint32_t slot = key_slot(sim, c, &c->op);
    if (revision <= c->op.floor_global) {
        sim_fail(sim, "K4: client %u wrote revision %lld; before it asked, %lld was known", c->id,
                 (long long) revision, (long long) c->op.floor_global);
    }
    floor_check(sim, c, revision, revision);
    floor_raise(sim, slot, revision, revision);
    seen_check(sim, slot, revision, c->op.value);
    sim->values[c->op.value].state = VALUE_ACKED;
    sim->values[c->op.value].revision = revision;
    sim->counts.writes_acked++;
    if (c->op.type != SIM_COUNT && c->op.type != SIM_PAIR_PUT) {
        c->known[c->op.key] = revision;
        c->known_values[c->op.key] = c->op.value;
    }
}

/* Returns the value read, 0 when there is none. */
static uint64_t on_read(struct cluster_sim *sim, struct sim_client *c,
                        const struct range_response *range, int64_t revision)
{
    uint32_t slot = key_slot(sim, c, &c->op);
    int64_t mod = range->kvs_count == 0 ? 0 : range->kvs[0].mod_revision;
    uint64_t value = 0;
    if (range->kvs_count > 0) {
        value = value_number(range->kvs[0].value);
        if (value == 0 || value > sim->value_number) {
            sim_fail(sim, "P2: client %u read what nobody wrote", c->id);
        }
        seen_check(sim, slot, mod, value);
    }
    floor_check(sim, c, revision, mod);
    floor_raise(sim, slot, revision, mod);
    sim->counts.reads_acked++;
    if (c->op.type != SIM_PAIR_GET) {
        c->known[c->op.key] = mod;
        c->known_values[c->op.key] = value;
    }
    return value;
}

static void on_answer(struct cluster_sim *sim, struct sim_client *c, const struct mvcc_result *res)
{
    const struct api_response *response = &res->response;
    int64_t revision = response->revision;
    switch (c->op.type) {
    case SIM_GET:
        ERR_IGNORE((int) on_read(sim, c, &response->range, revision)); /* checked inside */
        break;
    case SIM_CAS:
        if (response->txn.succeeded) {
            on_write(sim, c, revision);
        } else {
            ERR_IGNORE((int) on_read(sim, c, &response->txn.responses[0].range, revision));
            sim->values[c->op.value].state = VALUE_NEVER;
        }
        break;
    case SIM_PAIR_GET: {
        uint64_t a = on_read(sim, c, &response->txn.responses[0].range, revision);
        uint64_t b = on_read(sim, c, &response->txn.responses[1].range, revision);
        if (a != b) {
            sim_fail(sim, "K1: client %u read a pair half written: %llu and %llu", c->id,
                     (unsigned long long) a, (unsigned long long) b);
        }
        break;
    }
    default:
        on_write(sim, c, revision);
        break;
    }
}

void sim_client_reply(struct cluster_sim *sim, const struct replica_reply *reply)
{
    uint32_t client = (uint32_t) (reply->call >> 40);
    if (client == QUERY_CLIENT) {
        ASSERT(sim->query == reply->call);
        sim->query = 0;
        sim->query_err = reply->err;
        sim->query_result = reply->result;
        return;
    }
    struct sim_client *c = &sim->clients[client];
    if (c->call != reply->call) {
        goto out; /* it gave up */
    }
    ASSERT(c->state == CLIENT_WAITS);
    if (reply->err != OK) {
        bool read = c->op.type == SIM_GET || c->op.type == SIM_PAIR_GET;
        sim->counts.reads_failed += read ? 1 : 0;
        sim->counts.writes_unknown += !read && reply->err == ERR_TIMEOUT ? 1 : 0;
        sim->counts.writes_failed += !read && reply->err != ERR_TIMEOUT ? 1 : 0;
        call_over(sim, c, reply->err);
        goto out;
    }
    on_answer(sim, c, reply->result);
    c->call = 0;
    c->retry = false;
    c->state = CLIENT_THINKS;
    client_sleep(sim, c, sim_draw(sim, sim->options.think));
out:
    mvcc_result_free(reply->result);
}

/* The end. */

static bool queried(struct cluster_sim *sim, void *ctx)
{
    (void) ctx;
    return sim->query == 0;
}

/* Reads a key from one node at a revision (0: now); the answer is in query_result. Linearizable:
 * what clients gave up is chosen even now, and not at the same moment on all nodes. */
static bool query(struct cluster_sim *sim, uint32_t node, uint32_t slot, int64_t revision)
{
    char text[KEY_SIZE];
    const struct range_request range = {.key = slot_name(text, slot), .revision = revision};
    struct sim_node *n = &sim->nodes[node];
    struct buf buf;
    buf_init(&buf, 1 << 12);
    int err = wire_range_request_encode(&range, &buf);
    ASSERT(err == OK);
    mvcc_result_free(sim->query_result);
    sim->query_result = NULL;
    sim->query = (uint64_t) QUERY_CLIENT << 40 | ++sim->call_number;
    const struct replica_read_args args = {.call = sim->query,
                                           .deadline_us = UINT64_MAX,
                                           .kind = OP_RANGE,
                                           .serializable = false,
                                           .request = buf_bytes(&buf)};
    sim_node_enter(sim, n);
    err = replica_read(n->replica, &args);
    ASSERT(err == OK);
    sim_node_leave(sim, n);
    buf_release(&buf);
    if (!cluster_sim_run_until(sim, 5000000, queried, NULL)) {
        sim_fail(sim, "node %u does not answer a read", node);
        return false;
    }
    if (sim->query_err != OK) {
        sim_fail(sim, "node %u cannot read slot %u at revision %lld: %s", node, slot,
                 (long long) revision, err_name(sim->query_err));
        return false;
    }
    return true;
}

static const struct api_kv *query_kv(const struct cluster_sim *sim)
{
    const struct range_response *range = &sim->query_result->response.range;
    return range->kvs_count == 0 ? NULL : &range->kvs[0];
}

/* What a value found in the history of its key must be like. `before` is the modification before
 * it, 0 none. */
static void check_found(struct cluster_sim *sim, uint32_t slot, const struct api_kv *kv,
                        int64_t before)
{
    uint64_t number = value_number(kv->value);
    if (number == 0 || number > sim->value_number || sim->values[number].slot != slot) {
        sim_fail(sim, "P2: slot %u, revision %lld: a value nobody asked for", slot,
                 (long long) kv->mod_revision);
        return;
    }
    struct sim_value *v = &sim->values[number];
    if (v->found) {
        sim_fail(sim, "K2: slot %u: value %llu was written twice, the first time at %lld", slot,
                 (unsigned long long) number, (long long) kv->mod_revision);
    }
    if (v->state == VALUE_NEVER) {
        sim_fail(sim, "K3: slot %u: value %llu is at revision %lld; its client was told never",
                 slot, (unsigned long long) number, (long long) kv->mod_revision);
    }
    if (v->state == VALUE_ACKED && v->revision != kv->mod_revision) {
        sim_fail(sim, "K4: slot %u: value %llu is at revision %lld, acknowledged at %lld", slot,
                 (unsigned long long) number, (long long) kv->mod_revision,
                 (long long) v->revision);
    }
    if (v->cas && v->compare != before) {
        sim_fail(sim, "K1: slot %u: value %llu was written over modification %lld, asked for %lld",
                 slot, (unsigned long long) number, (long long) before, (long long) v->compare);
    }
    v->found = true;
}

/* A copy of what a query found, valid over the next query. */
struct version {
    struct api_kv kv; /* mod_revision 0: none */
    uint8_t text[VALUE_MAX];
};

static bool version_query(struct cluster_sim *sim, uint32_t slot, int64_t revision,
                          struct version *ret)
{
    uint32_t node = (uint32_t) (revision % sim->options.nodes) + 1;
    *ret = (struct version){0};
    if (!query(sim, node, slot, revision)) {
        return false;
    }
    const struct api_kv *kv = query_kv(sim);
    if (kv != NULL) {
        size_t size = kv->value.size < VALUE_MAX ? kv->value.size : VALUE_MAX;
        ret->kv = *kv;
        memcpy(ret->text, kv->value.data, size);
        ret->kv.value = bytes_of(ret->text, size);
    }
    return true;
}

/* Walks the history of a key from its newest value to its first. */
static void check_history(struct cluster_sim *sim, uint32_t slot)
{
    struct version at, older;
    if (!version_query(sim, slot, 0, &at)) {
        return;
    }
    int64_t versions = at.kv.version;
    while (at.kv.mod_revision != 0 && sim->failure[0] == '\0') {
        older = (struct version){0};
        if (at.kv.mod_revision > 2 && !version_query(sim, slot, at.kv.mod_revision - 1, &older)) {
            return;
        }
        check_found(sim, slot, &at.kv, older.kv.mod_revision);
        versions--;
        at = older;
        at.kv.value.data = at.text;
    }
    if (versions != 0 && sim->failure[0] == '\0') {
        sim_fail(sim, "K4: slot %u: its version and its history differ by %lld", slot,
                 (long long) versions);
    }
}

void cluster_sim_check(struct cluster_sim *sim)
{
    for (uint32_t i = 0; i < sim->options.keys; i++) {
        check_history(sim, i);
    }
    for (uint32_t i = 0; i < PAIRS; i++) {
        check_history(sim, CLUSTER_SIM_KEYS_MAX + i);
    }
    for (uint32_t i = 0; i < sim->options.clients; i++) {
        check_history(sim, 2 * CLUSTER_SIM_KEYS_MAX + i);
    }
    for (uint64_t i = 1; i <= sim->value_number; i++) {
        const struct sim_value *v = &sim->values[i];
        if (v->state == VALUE_ACKED && !v->found) {
            sim_fail(sim, "D1: slot %u: value %llu was acknowledged at revision %lld and is gone",
                     v->slot, (unsigned long long) i, (long long) v->revision);
        }
    }
}

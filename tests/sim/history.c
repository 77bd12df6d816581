/*
 * history.c - operations, names and values in memory, and whether they can be a history at all. See
 * history.h; history_json.c has the lines.
 */
#include "tests/sim/history.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

enum { CHUNK_SIZE = 1 << 16, FIRST_CAPACITY = 64, COUNT_MAX = INT32_MAX };

struct name {
    struct bytes text; /* in the arena, with a zero byte behind it */
    uint64_t hash;
    bool is_string;
};

/* Names and their numbers: open addressing over an array. */
struct names {
    struct name *rows;
    uint32_t count;
    uint32_t capacity;
    uint32_t *slots; /* number + 1; 0: empty */
    uint32_t slots_count;
};

struct history {
    struct history_op *ops;
    uint32_t count;
    uint32_t capacity;
    struct names keys;
    struct names clients;
    struct arena arena;
};

/* ---- Names ---- */

static void names_release(struct names *n)
{
    free(n->rows);
    free(n->slots);
}

static void names_grow(struct names *n)
{
    if (n->count == n->capacity) {
        n->capacity = n->capacity == 0 ? FIRST_CAPACITY : 2 * n->capacity;
        n->rows = xrealloc(n->rows, n->capacity * sizeof(n->rows[0]));
    }
    if (2 * (n->count + 1) <= n->slots_count) {
        return;
    }
    free(n->slots);
    n->slots_count = n->slots_count == 0 ? 2 * FIRST_CAPACITY : 2 * n->slots_count;
    n->slots = xcalloc(n->slots_count, sizeof(n->slots[0]));
    for (uint32_t i = 0; i < n->count; i++) {
        uint32_t at = (uint32_t) n->rows[i].hash & (n->slots_count - 1);
        while (n->slots[at] != 0) {
            at = (at + 1) & (n->slots_count - 1);
        }
        n->slots[at] = i + 1;
    }
}

static uint32_t names_number(struct names *n, struct arena *arena, struct bytes text,
                             bool is_string)
{
    uint64_t hash = hash64_bytes(is_string, text);
    uint32_t at;

    names_grow(n);
    at = (uint32_t) hash & (n->slots_count - 1);
    for (; n->slots[at] != 0; at = (at + 1) & (n->slots_count - 1)) {
        const struct name *row = &n->rows[n->slots[at] - 1];
        if (row->hash == hash && row->is_string == is_string && bytes_equal(row->text, text)) {
            return n->slots[at] - 1;
        }
    }
    char *copy = arena_alloc(arena, text.size + 1);
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    n->rows[n->count] = (struct name){bytes_of(copy, text.size), hash, is_string};
    n->count++;
    n->slots[at] = n->count;
    return n->count - 1;
}

uint32_t history_key_bytes(struct history *h, struct bytes name)
{
    return names_number(&h->keys, &h->arena, name, true);
}

uint32_t history_key(struct history *h, const char *name)
{
    return history_key_bytes(h, bytes_str(name));
}

struct bytes history_key_text(const struct history *h, uint32_t key)
{
    ASSERT(key < h->keys.count);
    return h->keys.rows[key].text;
}

const char *history_key_name(const struct history *h, uint32_t key)
{
    return (const char *) history_key_text(h, key).data;
}

uint32_t history_keys(const struct history *h)
{
    return h->keys.count;
}

uint64_t history_client(struct history *h, struct bytes name, bool is_string)
{
    return HISTORY_CLIENT_NAMED + names_number(&h->clients, &h->arena, name, is_string);
}

struct bytes history_client_text(const struct history *h, uint64_t client, bool *ret_is_string)
{
    if (client < HISTORY_CLIENT_NAMED || client - HISTORY_CLIENT_NAMED >= h->clients.count) {
        return bytes_of(NULL, 0);
    }
    const struct name *row = &h->clients.rows[client - HISTORY_CLIENT_NAMED];
    *ret_is_string = row->is_string;
    return row->text;
}

/* ---- Operations ---- */

struct history *history_new(void)
{
    struct history *h = xcalloc(1, sizeof(*h));

    arena_init(&h->arena, CHUNK_SIZE, SIZE_MAX);
    return h;
}

void history_free(struct history *h)
{
    if (h == NULL) {
        return;
    }
    names_release(&h->keys);
    names_release(&h->clients);
    arena_release(&h->arena);
    free(h->ops);
    free(h);
}

struct history_value history_value(struct history *h, const void *data, size_t size)
{
    struct history_value value = {NULL, 0};

    ASSERT(size <= UINT32_MAX);
    if (data != NULL) {
        char *copy = arena_alloc(&h->arena, size);
        memcpy(copy, data, size);
        value = (struct history_value){copy, (uint32_t) size};
    }
    return value;
}

struct history_pair *history_pairs(struct history *h, uint32_t count)
{
    struct history_pair *pairs = arena_alloc(&h->arena, count * sizeof(*pairs));

    memset(pairs, 0, count * sizeof(*pairs));
    return pairs;
}

uint32_t history_add(struct history *h, const struct history_op *op)
{
    ASSERT(h->count < COUNT_MAX);
    if (h->count == h->capacity) {
        h->capacity = h->capacity == 0 ? FIRST_CAPACITY : 2 * h->capacity;
        h->ops = xrealloc(h->ops, h->capacity * sizeof(h->ops[0]));
    }
    h->ops[h->count] = *op;
    return h->count++;
}

struct history_op *history_at(struct history *h, uint32_t number)
{
    ASSERT(number < h->count);
    return &h->ops[number];
}

const struct history_op *history_get(const struct history *h, uint32_t number)
{
    ASSERT(number < h->count);
    return &h->ops[number];
}

uint32_t history_count(const struct history *h)
{
    return h->count;
}

const char *history_kind_name(uint8_t kind)
{
    static const char *const names[] = {"put", "get", "cas", "del", "append", "txn"};

    return kind < ARRAY_SIZE(names) ? names[kind] : "?";
}

const char *history_result_name(uint8_t result)
{
    static const char *const names[] = {"ok", "fail", "unknown"};

    return result < ARRAY_SIZE(names) ? names[result] : "?";
}

/* ---- Validity ---- */

/* "line 7: client 3: put", or without a line "operation 6: ...". */
static void print_op(const struct history *h, uint32_t number, struct buf *error)
{
    const struct history_op *op = &h->ops[number];
    bool is_string = false;
    struct bytes name = history_client_text(h, op->client, &is_string);

    /* The line of an error is cut when it is too long for its buffer. */
    ERR_IGNORE(op->line > 0 ? buf_printf(error, "line %u: client ", op->line)
                            : buf_printf(error, "operation %u: client ", number));
    ERR_IGNORE(name.data == NULL
                   ? buf_printf(error, "%" PRIu64, op->client)
                   : buf_printf(error, "%.*s", (int) u64_min(name.size, 60), name.data));
    ERR_IGNORE(buf_printf(error, ": %s", history_kind_name(op->kind)));
}

/* What is wrong with this operation alone, or NULL. */
static const char *op_contradiction(const struct history_op *op)
{
    bool answered = op->result == HIST_OK;

    if (op->result > HIST_UNKNOWN || op->kind > HIST_TXN) {
        return "has a kind or result that does not exist";
    }
    if (op->result != HIST_UNKNOWN && op->return_ns < op->call_ns) {
        return "returns before its call: return_ns is at least call_ns";
    }
    if ((op->kind == HIST_PUT || op->kind == HIST_APPEND || op->kind == HIST_CAS) &&
        op->value.data == NULL) {
        return "has no value to write: value is a string";
    }
    if (op->kind == HIST_GET && answered && op->ok != (op->value.data != NULL)) {
        return op->ok ? "found a value that is not there: value is a string when ok is true"
                      : "has a value that was not found: value is null when ok is false";
    }
    return NULL;
}

/* What is wrong with the keys of an operation, or NULL. `seen` has a row for each key: the last
 * list of pairs, counted from 1, that had it. */
static const char *pairs_contradiction(const struct history *h, const struct history_pair *pairs,
                                       uint32_t count, uint64_t list, uint64_t *seen)
{
    for (uint32_t i = 0; i < count; i++) {
        if (pairs[i].key >= h->keys.count) {
            return "has a key that history_key never gave";
        }
        if (seen[pairs[i].key] == list) {
            return "reads or writes a key twice: each key is once in reads and once in writes";
        }
        seen[pairs[i].key] = list;
    }
    return NULL;
}

static const char *keys_contradiction(const struct history *h, uint32_t number, uint64_t *seen)
{
    const struct history_op *op = &h->ops[number];
    const char *what;

    if (op->kind != HIST_TXN) {
        return op->key < h->keys.count ? NULL : "has a key that history_key never gave";
    }
    what = pairs_contradiction(h, op->reads, op->reads_count, 2 * (uint64_t) number + 1, seen);
    if (what == NULL) {
        what =
            pairs_contradiction(h, op->writes, op->writes_count, 2 * (uint64_t) number + 2, seen);
    }
    return what;
}

struct turn {
    uint64_t client;
    uint64_t call_ns;
    uint64_t return_ns;
    uint32_t number;
};

static int compare_turns(const void *a, const void *b)
{
    const struct turn *x = a;
    const struct turn *y = b;

    if (x->client != y->client) {
        return x->client < y->client ? -1 : 1;
    }
    if (x->call_ns != y->call_ns) {
        return x->call_ns < y->call_ns ? -1 : 1;
    }
    if (x->return_ns != y->return_ns) {
        return x->return_ns < y->return_ns ? -1 : 1;
    }
    return x->number < y->number ? -1 : 1;
}

/* In the order of their calls no client may call before the return of the call before. */
static int check_turns(const struct history *h, const struct turn *turns, struct buf *error)
{
    for (uint32_t i = 1; i < h->count; i++) {
        const struct turn *a = &turns[i - 1];
        const struct turn *b = &turns[i];
        const struct history_op *before = &h->ops[a->number];
        if (a->client != b->client ||
            (before->result != HIST_UNKNOWN && a->return_ns <= b->call_ns)) {
            continue;
        }
        print_op(h, b->number, error);
        ERR_IGNORE(buf_printf(error, " is called while the call of this client at %s %u is open: ",
                              before->line > 0 ? "line" : "operation",
                              before->line > 0 ? before->line : a->number));
        ERR_IGNORE(buf_printf(error, "%s",
                              before->result == HIST_UNKNOWN
                                  ? "after an unknown outcome a client gets a new name"
                                  : "a client has one call at a time"));
        return ERR_INVALID;
    }
    return OK;
}

int history_validate(const struct history *h, struct buf *error)
{
    struct turn *turns = xcalloc(h->count == 0 ? 1 : h->count, sizeof(*turns));
    uint64_t *seen = xcalloc(h->keys.count + 1, sizeof(*seen));
    int err = OK;

    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_op *op = &h->ops[i];
        const char *what = op_contradiction(op);
        if (what == NULL) {
            what = keys_contradiction(h, i, seen);
        }
        if (what != NULL) {
            print_op(h, i, error);
            ERR_IGNORE(buf_printf(error, " %s", what));
            err = ERR_INVALID;
            goto out;
        }
        turns[i] = (struct turn){op->client, op->call_ns,
                                 op->result == HIST_UNKNOWN ? UINT64_MAX : op->return_ns, i};
    }
    qsort(turns, h->count, sizeof(*turns), compare_turns);
    err = check_turns(h, turns, error);
out:
    free(seen);
    free(turns);
    return err;
}

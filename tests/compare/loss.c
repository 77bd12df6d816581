/*
 * loss.c - see loss.h.
 *
 * Key by key: the last answered read, then each acknowledged write against it. Quadratic in the
 * writes of a list only where elements are looked up; lists are short.
 */
#include "tests/compare/loss.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* What one key went through. */
struct key {
    const struct history_op *last;   /* the read that began last, NULL: none was answered */
    const struct history_op *writer; /* of the value it saw; NULL: not known */
    bool list;                       /* appended to, and deleted when it gets long */
    uint64_t deleted_ns; /* no delete took effect later; UINT64_MAX: one may have, any time */
};

static bool equal(struct history_value a, struct history_value b)
{
    if (a.data == NULL || b.data == NULL) {
        return a.data == b.data;
    }
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* What the operation wrote to the key; false: nothing. data NULL: it removed it. */
static bool written(const struct history_op *op, uint32_t key, struct history_value *ret_value)
{
    if (op->kind == HIST_TXN) {
        for (uint32_t i = 0; i < op->writes_count; i++) {
            if (op->writes[i].key == key) {
                *ret_value = op->writes[i].value;
                return true;
            }
        }
        return false;
    }
    if (op->key != key || op->kind == HIST_GET) {
        return false;
    }
    *ret_value = op->kind == HIST_DEL ? (struct history_value){0} : op->value;
    return true;
}

/* It did what it says, for certain. */
static bool acknowledged(const struct history_op *op)
{
    bool conditional = op->kind == HIST_CAS || op->kind == HIST_TXN || op->kind == HIST_APPEND;
    return op->result == HIST_OK && (!conditional || op->ok || op->kind == HIST_APPEND);
}

/* A delete that may have taken effect. */
static void note_delete(struct key *key, const struct history_op *op)
{
    if (op->result != HIST_FAIL) {
        key->deleted_ns =
            u64_max(key->deleted_ns, op->result == HIST_OK ? op->return_ns : UINT64_MAX);
    }
}

static struct key *survey(const struct history *h)
{
    struct key *keys = xcalloc(history_keys(h) + 1, sizeof *keys);
    uint32_t count = history_count(h);
    for (uint32_t i = 0; i < count; i++) {
        const struct history_op *op = history_get(h, i);
        if (op->kind == HIST_TXN) {
            for (uint32_t w = 0; w < op->writes_count; w++) {
                if (op->writes[w].value.data == NULL) {
                    note_delete(&keys[op->writes[w].key], op);
                }
            }
            continue;
        }
        struct key *key = &keys[op->key];
        if (op->kind == HIST_DEL) {
            note_delete(key, op);
        }
        key->list |= op->kind == HIST_APPEND;
        if (op->kind == HIST_GET && op->result == HIST_OK &&
            (key->last == NULL || key->last->call_ns < op->call_ns)) {
            key->last = op;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct history_op *op = history_get(h, i);
        for (uint32_t w = 0; w < (op->kind == HIST_TXN ? op->writes_count : 1); w++) {
            uint32_t number = op->kind == HIST_TXN ? op->writes[w].key : op->key;
            struct history_value value;
            struct key *key = &keys[number];
            if (key->last != NULL && written(op, number, &value) && value.data != NULL &&
                equal(value, key->last->value)) {
                key->writer = op;
            }
        }
    }
    return keys;
}

/* Elements joined by commas: how often is this one there? */
static uint32_t occurrences(struct history_value list, struct history_value element)
{
    uint32_t found = 0;
    const char *at = list.data;
    const char *end = list.data == NULL ? NULL : list.data + list.size;
    while (at != NULL && at < end) {
        const char *comma = memchr(at, ',', (size_t) (end - at));
        size_t size = (size_t) ((comma == NULL ? end : comma) - at);
        found += size == element.size && memcmp(at, element.data, size) == 0;
        at = comma == NULL ? NULL : comma + 1;
    }
    return found;
}

/* Was the value that the last read saw certainly replaced by this write? */
static bool replaced(const struct key *key, const struct history_op *op)
{
    if (key->last->value.data == NULL) {
        return key->deleted_ns <= op->call_ns; /* it was never there, they say */
    }
    return key->writer != NULL && key->writer != op && key->writer->result == HIST_OK &&
           key->writer->return_ns < op->call_ns;
}

static bool lost(const struct key *key, uint32_t number, const struct history_op *op)
{
    struct history_value value;
    if (key->last == NULL || !acknowledged(op) || op->return_ns >= key->last->call_ns ||
        !written(op, number, &value) || value.data == NULL) {
        return false;
    }
    if (key->list) {
        return op->kind == HIST_APPEND && key->deleted_ns <= op->call_ns &&
               occurrences(key->last->value, value) == 0;
    }
    return replaced(key, op);
}

uint64_t loss_lost(const struct history *h)
{
    struct key *keys = survey(h);
    uint64_t total = 0;
    for (uint32_t i = 0; i < history_count(h); i++) {
        const struct history_op *op = history_get(h, i);
        uint32_t count = op->kind == HIST_TXN ? op->writes_count : 1;
        bool gone = false;
        for (uint32_t w = 0; w < count; w++) {
            uint32_t number = op->kind == HIST_TXN ? op->writes[w].key : op->key;
            gone |= lost(&keys[number], number, op);
        }
        total += gone;
    }
    free(keys);
    return total;
}

uint64_t loss_duplicated(const struct history *h)
{
    struct key *keys = survey(h);
    uint64_t total = 0;
    for (uint32_t i = 0; i < history_count(h); i++) {
        const struct history_op *op = history_get(h, i);
        if (op->kind == HIST_APPEND && keys[op->key].last != NULL) {
            uint32_t found = occurrences(keys[op->key].last->value, op->value);
            total += found > 1 ? found - 1 : 0;
        }
    }
    free(keys);
    return total;
}

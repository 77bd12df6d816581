/*
 * lincheck_text.c - the verdict in words: an operation, and the order before it. See
 * lincheck_internal.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tests/sim/lincheck_internal.h"

enum { VALUE_MAX = 24, NAME_MAX_SHOWN = 40, ORDER_MAX = 8, PAIRS_MAX = 4 };

struct text {
    char *at;
    size_t left; /* 1 for the terminator included */
};

static void put_bytes(struct text *t, const char *data, size_t size)
{
    for (size_t i = 0; i < size && t->left > 1; i++) {
        uint8_t c = (uint8_t) data[i];
        *t->at++ = c < 0x20 || c == 0x7f ? '?' : data[i];
        t->left--;
    }
    *t->at = '\0';
}

static void put(struct text *t, const char *words)
{
    put_bytes(t, words, strlen(words));
}

static void put_number(struct text *t, uint64_t number)
{
    char digits[24];

    (void) snprintf(digits, sizeof(digits), "%" PRIu64, number);
    put(t, digits);
}

/* The end is shown of what is too long: that is where lists differ. */
static void put_value(struct text *t, struct history_value value)
{
    uint32_t shown = value.size > VALUE_MAX ? VALUE_MAX : value.size;

    if (value.data == NULL) {
        put(t, "absent");
        return;
    }
    put(t, value.size > shown ? "\"..." : "\"");
    put_bytes(t, value.data + value.size - shown, shown);
    put(t, "\"");
}

static void put_key(struct text *t, const struct history *h, uint32_t key)
{
    struct bytes name = history_key_text(h, key);

    put_bytes(t, (const char *) name.data, u64_min(name.size, NAME_MAX_SHOWN));
}

static void put_pairs(struct text *t, const struct history *h, const char *word,
                      const struct history_pair *pairs, uint32_t count)
{
    for (uint32_t i = 0; i < count && i < PAIRS_MAX; i++) {
        put(t, i == 0 ? word : ", ");
        put_key(t, h, pairs[i].key);
        put(t, "=");
        put_value(t, pairs[i].value);
    }
    put(t, count > PAIRS_MAX ? ", ..." : "");
}

/* get k found "3"; cas k from "1" to "2" */
static void put_op(struct text *t, const struct history *h, const struct history_op *op)
{
    bool answered = op->result == HIST_OK;

    put(t, history_kind_name(op->kind));
    put(t, " ");
    if (op->kind == HIST_TXN) {
        put_pairs(t, h, "read ", op->reads, answered ? op->reads_count : 0);
        if (!answered || op->ok) {
            put_pairs(t, h, answered && op->reads_count > 0 ? " wrote " : "wrote ", op->writes,
                      op->writes_count);
        }
        return;
    }
    put_key(t, h, op->key);
    switch (op->kind) {
    case HIST_GET:
        put(t, " read ");
        put_value(t, op->value);
        break;
    case HIST_CAS:
        put(t, " from ");
        put_value(t, op->expected);
        put(t, " to ");
        put_value(t, op->value);
        put(t, answered && !op->ok ? " (did not match)" : "");
        break;
    case HIST_DEL:
        put(t, !answered ? "" : op->ok ? " (existed)" : " (did not exist)");
        break;
    default:
        put(t, " ");
        put_value(t, op->value);
        break;
    }
    put(t, answered ? "" : " (unknown)");
}

static void put_client(struct text *t, const struct history *h, uint64_t client)
{
    bool is_string = false;
    struct bytes name = history_client_text(h, client, &is_string);

    if (name.data == NULL) {
        put_number(t, client);
    } else {
        put_bytes(t, (const char *) name.data, u64_min(name.size, NAME_MAX_SHOWN));
    }
}

static void put_line(struct text *t, const struct history_op *op)
{
    if (op->line > 0) {
        put(t, " (line ");
        put_number(t, op->line);
        put(t, ")");
    }
}

/* The first key an operation touches, or the number of keys. */
static uint32_t key_of(const struct history *h, const struct history_op *op)
{
    if (op->kind != HIST_TXN) {
        return op->key;
    }
    if (op->reads_count > 0) {
        return op->reads[0].key;
    }
    return op->writes_count > 0 ? op->writes[0].key : history_keys(h);
}

void lin_text_wrong(const struct history *h, uint32_t number, const struct u32s *order, bool exact,
                    char *text, size_t size)
{
    const struct history_op *op = history_get(h, number);
    uint32_t shown = order->count > ORDER_MAX ? ORDER_MAX : order->count;
    struct text t = {text, size};

    put(&t, "not linearizable: key ");
    put_key(&t, h, key_of(h, op));
    put(&t, ": no order explains the return of ");
    put_op(&t, h, op);
    put(&t, " by client ");
    put_client(&t, h, op->client);
    put(&t, ", called at ");
    put_number(&t, op->call_ns);
    put(&t, " ns, returned at ");
    put_number(&t, op->return_ns);
    put(&t, " ns");
    put_line(&t, op);
    put(&t, exact ? "" : ", or of one after it (too many orders to tell)");
    put(&t, order->count == 0 ? "; nothing came before it" : "; the longest order before it: ");
    put(&t, order->count > shown ? "..., " : "");
    for (uint32_t i = order->count - shown; i < order->count; i++) {
        const struct history_op *before = history_get(h, order->at[i]);
        put(&t, i > order->count - shown ? ", " : "");
        put_op(&t, h, before);
        put_line(&t, before);
    }
}

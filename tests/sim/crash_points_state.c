/*
 * crash_points_state.c - the state database under crashes: flushes, each one synced batch, and a
 * model of its rows.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/sim/crash_points.h"

enum {
    ROWS_MAX = 1024,
    KEY_SIZE = 16,
    VALUE_MAX = 8192,
};

/* Rows are numbered; the number makes the key. */
struct model_row {
    bool there;
    uint64_t seed; /* of the value */
    size_t size;
};

struct crash_model {
    uint64_t serial;
    uint32_t rows_count; /* numbers given so far */
    struct model_row rows[ROWS_MAX];
};

/* Changes of one flush. */
struct plan {
    uint32_t count;
    struct {
        uint32_t number;
        bool is_delete;
        size_t size;
    } changes[16];
};

static void key_of(uint32_t number, char ret_key[KEY_SIZE])
{
    (void) snprintf(ret_key, KEY_SIZE, "row-%05u", (unsigned) number);
}

static void value_of(uint64_t seed, size_t size, uint8_t *ret_value)
{
    for (size_t i = 0; i < size; i++) {
        ret_value[i] = (uint8_t) hash64_mix(seed, i);
    }
}

static struct crash_model *state_model_new(const struct crash_rig *rig)
{
    (void) rig;
    struct crash_model *m = xcalloc(1, sizeof *m);
    /* Two rows it has from its first moment. */
    m->rows_count = 2;
    m->rows[0] = (struct model_row){.there = true, .seed = 1, .size = 30};
    m->rows[1] = (struct model_row){.there = true, .seed = 2, .size = 700};
    return m;
}

static struct crash_model *state_model_copy(const struct crash_model *m)
{
    return xmemdup(m, sizeof *m);
}

static void state_model_free(struct crash_model *m)
{
    free(m);
}

static void plan_add(struct plan *p, uint32_t number, bool is_delete, size_t size)
{
    ASSERT(p->count < ARRAY_SIZE(p->changes));
    p->changes[p->count].number = number;
    p->changes[p->count].is_delete = is_delete;
    p->changes[p->count].size = size;
    p->count++;
}

static void plan_make(const struct crash_model *m, uint32_t op, struct plan *ret_plan)
{
    struct plan p = {.count = 0};
    const uint32_t next = m->rows_count;
    switch ((enum crash_op) op) {
    case CRASH_OP_PUT:
        for (uint32_t i = 0; i < 4; i++) {
            plan_add(&p, next + i, false, 20 + 90 * i);
        }
        break;
    case CRASH_OP_MIX:
        plan_add(&p, next - 1, false, 120);
        plan_add(&p, next - 2, true, 0);
        plan_add(&p, next, false, 60);
        break;
    case CRASH_OP_LARGE:
        plan_add(&p, next, false, 2000);
        plan_add(&p, 0, false, 20);
        break;
    case CRASH_OP_FLOOD:
        for (uint32_t i = 0; i < 10; i++) {
            plan_add(&p, next + i - (i % 3), false, 4000);
        }
        break;
    default:
        UNREACHABLE();
    }
    *ret_plan = p;
}

static void state_model_apply(struct crash_model *m, uint32_t op)
{
    if (op == CRASH_OP_REOPEN || op == CRASH_OP_POWER) {
        return;
    }
    struct plan p;
    plan_make(m, op, &p);
    for (uint32_t i = 0; i < p.count; i++) {
        uint32_t number = p.changes[i].number;
        ASSERT(number < ROWS_MAX);
        m->rows[number] = (struct model_row){
            .there = !p.changes[i].is_delete,
            .seed = m->serial * 100 + i + 1000,
            .size = p.changes[i].size,
        };
        m->rows_count = number >= m->rows_count ? number + 1 : m->rows_count;
    }
    m->serial++;
}

static void text_row(struct buf *out, struct bytes key, struct bytes value)
{
    ERR_IGNORE(buf_printf(out, " %.*s=%zu:%" PRIx64, (int) key.size, (const char *) key.data,
                          value.size, hash64_bytes(1, value)));
}

static void state_model_text(const struct crash_model *m, struct buf *out)
{
    uint8_t *value = xmalloc(VALUE_MAX);
    for (uint32_t i = 0; i < m->rows_count; i++) {
        char key[KEY_SIZE];
        if (m->rows[i].there) {
            key_of(i, key);
            value_of(m->rows[i].seed, m->rows[i].size, value);
            text_row(out, bytes_str(key), bytes_of(value, m->rows[i].size));
        }
    }
    free(value);
}

static int state_text(struct crash_store *s, struct buf *out, struct buf *error)
{
    (void) error;
    struct store_iter *it = NULL;
    int rc = store_iter_new(s->state, true, &it);
    if (rc != OK) {
        return rc;
    }
    for (store_iter_seek(it, bytes_str("")); store_iter_valid(it); store_iter_next(it)) {
        text_row(out, store_iter_key(it), store_iter_value(it));
    }
    rc = store_iter_error(it);
    store_iter_free(it);
    return rc;
}

/* Adds a row of the model to a batch. */
static void batch_put(struct store_batch *batch, uint32_t number, uint64_t seed, size_t size)
{
    uint8_t *value = xmalloc(VALUE_MAX);
    char key[KEY_SIZE];
    ASSERT(size <= VALUE_MAX);
    key_of(number, key);
    value_of(seed, size, value);
    store_batch_put(batch, bytes_str(key), bytes_of(value, size));
    free(value);
}

static int state_open(const struct crash_rig *rig, const char *path, bool create,
                      struct crash_store *ret_store, struct buf *error)
{
    struct crash_model *m = state_model_new(rig);
    struct store_batch *initial = store_batch_new();
    for (uint32_t i = 0; i < m->rows_count; i++) {
        batch_put(initial, i, m->rows[i].seed, m->rows[i].size);
    }
    const struct store_options options = {
        .write_buffer_size = rig->write_buffer_size,
        .create = create,
        .initial = create ? initial : NULL,
        .device = rig->device,
    };
    struct crash_store s = {.log = NULL};
    int rc = store_open(rig->state, path, &options, &s.state, error);
    store_batch_free(initial);
    state_model_free(m);
    if (rc == OK) {
        *ret_store = s;
    }
    return rc;
}

static void state_close(struct crash_store *s)
{
    store_close(s->state);
    s->state = NULL;
}

static int state_apply(struct crash_store *s, const struct crash_model *before, uint32_t op)
{
    struct store_batch *batch = store_batch_new();
    struct plan p;
    plan_make(before, op, &p);
    for (uint32_t i = 0; i < p.count; i++) {
        uint32_t number = p.changes[i].number;
        if (p.changes[i].is_delete) {
            char key[KEY_SIZE];
            key_of(number, key);
            store_batch_delete(batch, bytes_str(key));
        } else {
            batch_put(batch, number, before->serial * 100 + i + 1000, p.changes[i].size);
        }
    }
    int rc = store_write(s->state, batch, true);
    store_batch_free(batch);
    return rc;
}

static bool state_repeats(struct crash_store *s, const struct crash_model *before, int rc)
{
    return state_apply(s, before, CRASH_OP_PUT) == rc &&
           state_apply(s, before, CRASH_OP_MIX) == rc && store_last_error(s->state)[0] != '\0';
}

const struct crash_kind crash_state_kind = {
    .name = "state",
    .alphabet = {.count = 5,
                 .ops = {CRASH_OP_PUT, CRASH_OP_MIX, CRASH_OP_LARGE, CRASH_OP_REOPEN,
                         CRASH_OP_POWER}},
    .model_new = state_model_new,
    .model_copy = state_model_copy,
    .model_free = state_model_free,
    .model_apply = state_model_apply,
    .model_text = state_model_text,
    .open = state_open,
    .close = state_close,
    .apply = state_apply,
    .text = state_text,
    .repeats = state_repeats,
};

/*
 * session_rows.c - sessions to rows of the state database and back. The format is in kv/session.h.
 */

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"
#include "kv/mvcc_rows.h"
#include "kv/session_impl.h"

enum { SESSION_NODE = 1, SESSION_CLIENT = 2 };

/* Appends that cannot fail: the buffer's limit is that of memory. */
static void put(struct buf *b, const void *data, size_t size)
{
    int err = buf_append(b, data, size);
    ASSERT(err == OK);
}

static void put_u8(struct buf *b, uint8_t v)
{
    put(b, &v, 1);
}

static void put_u64(struct buf *b, uint64_t v)
{
    uint8_t p[8];
    enc_put_u64(p, v);
    put(b, p, sizeof p);
}

static void put_varint(struct buf *b, uint64_t v)
{
    uint8_t p[ENC_VARINT_MAX];
    put(b, p, enc_put_varint(p, v));
}

/* The next sequence after `from` that is applied (or not), at most up to highest + 1. */
static uint64_t window_next(const struct node_session *s, uint64_t from, bool applied)
{
    while (from <= s->highest && node_session_has(s, from) != applied) {
        from++;
    }
    return from;
}

static void node_encode(const struct node_session *s, struct buf *b)
{
    uint32_t runs = 0;
    uint8_t incarnation[4];
    enc_put_u32(incarnation, s->incarnation);
    put_u8(b, SESSION_NODE);
    put(b, incarnation, sizeof incarnation);
    put_u64(b, s->mark);
    for (uint64_t at = window_next(s, s->mark + 1, true); at <= s->highest; runs++) {
        at = window_next(s, window_next(s, at, false), true);
    }
    put_varint(b, runs);
    uint64_t at = s->mark + 1;
    while (runs-- > 0) {
        uint64_t begin = window_next(s, at, true);
        uint64_t end = window_next(s, begin, false);
        put_varint(b, begin - at);
        put_varint(b, end - begin);
        at = end;
    }
}

static void client_encode(const struct client_session *c, struct buf *b)
{
    uint8_t count = 0;
    for (uint32_t i = 0; i < SESSION_ANSWERS; i++) {
        const struct session_answer *a = &c->answers[i];
        count =
            (uint8_t) (count + (a->sequence != 0 && c->highest - a->sequence < SESSION_ANSWERS));
    }
    put_u8(b, SESSION_CLIENT);
    put_u64(b, c->last_use);
    put_u64(b, c->highest);
    put_u8(b, count);
    for (uint64_t back = SESSION_ANSWERS; back-- > 0;) {
        const struct session_answer *a = &c->answers[(c->highest - back) % SESSION_ANSWERS];
        if (a->sequence == 0 || a->sequence != c->highest - back) {
            continue;
        }
        put_u8(b, (uint8_t) back);
        put_varint(b, (uint64_t) - (int64_t) a->err);
        put_varint(b, (uint64_t) a->revision);
        put_u8(b, a->kind);
        put_u8(b, a->kept);
        put_varint(b, a->detail.size);
        put(b, a->detail.data, a->detail.size);
    }
}

/* Begins a row; row_end seals it. */
static struct session_row *row_begin(struct session_rows *rows, uint64_t id)
{
    static const uint8_t frame[ROW_CHECK_SIZE] = {0};
    struct session_row *row = &rows->rows[rows->count++];
    row->id = id;
    row->removed = false;
    row->offset = rows->data.size;
    put(&rows->data, frame, sizeof frame);
    return row;
}

static void row_end(struct session_rows *rows, struct session_row *row)
{
    uint8_t key[ROW_SESSION_KEY_SIZE];
    row->size = rows->data.size - row->offset;
    row_session_key(row->id, key);
    row_seal(bytes_of(key, sizeof key), rows->data.data + row->offset, row->size);
}

static int compare_rows(const void *a, const void *b)
{
    uint64_t x = ((const struct session_row *) a)->id;
    uint64_t y = ((const struct session_row *) b)->id;
    return x < y ? -1 : x > y;
}

void session_flush(struct session_table *t, struct session_rows *ret_rows)
{
    struct session_rows rows = {.count = 0};
    rows.rows = xcalloc((size_t) session_dirty(t) + 1, sizeof rows.rows[0]);
    buf_init(&rows.data, SIZE_MAX / 2);
    for (uint32_t i = 0; i < t->nodes_count; i++) {
        struct node_session *s = t->nodes[i];
        if (s->dirty) {
            struct session_row *row = row_begin(&rows, (uint64_t) s->node << 32);
            node_encode(s, &rows.data);
            row_end(&rows, row);
            s->dirty = false;
        }
    }
    for (struct list_node *n = list_pop_front(&t->dirty); n != NULL;
         n = list_pop_front(&t->dirty)) {
        const struct client_session *c = list_entry(n, struct client_session, dirty_node);
        struct session_row *row = row_begin(&rows, c->id);
        client_encode(c, &rows.data);
        row_end(&rows, row);
    }
    for (uint32_t i = 0; i < t->removed_count; i++) {
        if (map_get(&t->by_id, t->removed[i]) == NULL) {
            struct session_row row = {.id = t->removed[i], .removed = true};
            rows.rows[rows.count++] = row;
        }
    }
    t->dirty_count = 0;
    t->removed_count = 0;
    qsort(rows.rows, rows.count, sizeof rows.rows[0], compare_rows);
    /* A session may have gone, come again and gone again. */
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rows.count; i++) {
        if (kept == 0 || rows.rows[kept - 1].id != rows.rows[i].id) {
            rows.rows[kept++] = rows.rows[i];
        }
    }
    rows.count = kept;
    *ret_rows = rows;
}

void session_rows_release(struct session_rows *rows)
{
    free(rows->rows);
    buf_release(&rows->data);
    memset(rows, 0, sizeof *rows);
}

static int node_restore(struct session_table *t, uint64_t id, struct reader *r)
{
    uint32_t node = (uint32_t) (id >> 32);
    uint32_t position = session_node_position(t, node);
    if ((uint32_t) id != 0 || (position < t->nodes_count && t->nodes[position]->node == node)) {
        return ERR_CORRUPT;
    }
    struct node_session *s = session_node_insert(t, position, node);
    s->incarnation = reader_u32(r);
    s->mark = reader_u64(r);
    s->highest = s->mark;
    uint64_t runs = reader_varint(r);
    uint64_t at = s->mark + 1;
    for (uint64_t i = 0; i < runs && !r->failed; i++) {
        uint64_t gap = reader_varint(r);
        uint64_t run = reader_varint(r);
        if (gap == 0 || run == 0 || gap > SESSION_WINDOW || run > SESSION_WINDOW ||
            at + gap + run - 1 - s->mark > SESSION_WINDOW) {
            return ERR_CORRUPT;
        }
        for (uint64_t j = 0; j < run; j++) {
            node_session_set(s, at + gap + j);
        }
        at += gap + run;
        s->highest = at - 1;
    }
    return r->failed ? ERR_CORRUPT : OK;
}

static int client_restore(struct session_table *t, uint64_t id, struct reader *r)
{
    if (map_get(&t->by_id, id) != NULL) {
        return ERR_CORRUPT;
    }
    struct client_session *c = session_client_insert(t, id);
    c->last_use = reader_u64(r);
    c->highest = reader_u64(r);
    uint8_t count = reader_u8(r);
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        struct session_answer a = {.sequence = 0};
        uint8_t back = reader_u8(r);
        uint64_t err = reader_varint(r);
        a.revision = (int64_t) reader_varint(r);
        a.kind = reader_u8(r);
        a.kept = reader_u8(r) != 0;
        a.detail = reader_bytes(r, (size_t) reader_varint(r));
        if (r->failed || back >= SESSION_ANSWERS || back >= c->highest || err > INT32_MAX ||
            a.detail.size > SESSION_DETAIL_MAX) {
            return ERR_CORRUPT;
        }
        a.sequence = c->highest - back;
        a.err = -(int) err;
        session_answer_set(c, &a);
    }
    return r->failed || c->highest == 0 ? ERR_CORRUPT : OK;
}

int session_restore_row(struct session_table *t, uint64_t id, struct bytes row)
{
    uint8_t key[ROW_SESSION_KEY_SIZE];
    struct bytes rest;
    struct reader r;
    row_session_key(id, key);
    int err = row_open(bytes_of(key, sizeof key), row, &rest);
    if (err != OK) {
        return err;
    }
    reader_init(&r, rest);
    uint8_t kind = reader_u8(&r);
    bool client = (id & SESSION_CLIENT_BIT) != 0;
    if (r.failed || kind != (client ? SESSION_CLIENT : SESSION_NODE)) {
        return ERR_CORRUPT;
    }
    err = client ? client_restore(t, id, &r) : node_restore(t, id, &r);
    if (err == OK && reader_left(&r) != 0) {
        err = ERR_CORRUPT;
    }
    return err;
}

static int compare_uses(const void *a, const void *b)
{
    uint64_t x = (*(struct client_session *const *) a)->last_use;
    uint64_t y = (*(struct client_session *const *) b)->last_use;
    return x < y ? -1 : x > y;
}

void session_restore_clock(struct session_table *t, uint64_t clock)
{
    t->clock = clock;
}

int session_restore_done(struct session_table *t)
{
    uint32_t count = session_clients(t);
    struct client_session **all = xcalloc((size_t) count + 1, sizeof all[0]);
    int err = OK;
    uint64_t last = 0;
    for (uint32_t i = 0; i < count; i++) {
        all[i] = list_entry(list_pop_front(&t->clients), struct client_session, node);
    }
    qsort(all, count, sizeof all[0], compare_uses);
    for (uint32_t i = 0; i < count; i++) {
        if (all[i]->last_use <= last || all[i]->last_use > t->clock) {
            err = ERR_CORRUPT; /* two uses at once, or one after the last */
        }
        last = all[i]->last_use;
        list_push_back(&t->clients, &all[i]->node);
    }
    free(all);
    return err;
}

/*
 * store.c - the table of stores, the facade over them, and the batch.
 *
 * The rule that a failed write is final (D6) is enforced here, once for all implementations.
 *
 * A batch is one buffer of operations, one after another:
 *
 *     op u8 | key size u32 | value size u32 | key | value
 */

#include "kv/store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"
#include "kv/store_impl.h"

enum {
    OP_PUT = 1,
    OP_DELETE = 2,
    OP_HEADER_SIZE = 1 + 4 + 4,
};

struct store_batch {
    struct buf ops;
    uint32_t count;
};

static const struct store_ops *const store_table[] = {
    &store_leveldb_ops,
    &store_memory_ops,
};

const struct store_ops *store_at(uint32_t i)
{
    return i < ARRAY_SIZE(store_table) ? store_table[i] : NULL;
}

const struct store_ops *store_by_name(const char *name)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(store_table); i++) {
        if (strcmp(store_table[i]->name, name) == 0) {
            return store_table[i];
        }
    }
    return NULL;
}

int store_open(const struct store_ops *ops, const char *path, const struct store_options *options,
               struct store **ret_store, struct buf *error)
{
    ASSERT(path[0] != '\0');
    ASSERT(options->create || options->initial == NULL);
    struct store *s = NULL;
    int rc = ops->open(path, options, &s, error);
    if (rc != OK) {
        ASSERT(rc < 0);
        return rc;
    }
    ASSERT(s->ops == ops);
    *ret_store = s;
    return OK;
}

void store_close(struct store *s)
{
    if (s != NULL) {
        s->ops->close(s);
    }
}

int store_get(struct store *s, struct bytes key, struct buf *ret_value)
{
    return s->ops->get(s, key, ret_value);
}

int store_write(struct store *s, const struct store_batch *batch, bool sync)
{
    if (s->fatal != OK) {
        return s->fatal;
    }
    int rc = s->ops->write(s, batch, sync);
    if (rc != OK) {
        ASSERT(err_is_fatal(rc));
        s->fatal = rc;
    }
    return rc;
}

int store_iter_new(struct store *s, bool snapshot, struct store_iter **ret_iter)
{
    return s->ops->iter_new(s, snapshot, ret_iter);
}

void store_iter_free(struct store_iter *it)
{
    if (it != NULL) {
        it->ops->free(it);
    }
}

void store_iter_seek(struct store_iter *it, struct bytes key)
{
    it->ops->seek(it, key);
}

bool store_iter_valid(const struct store_iter *it)
{
    return it->ops->valid(it);
}

void store_iter_next(struct store_iter *it)
{
    ASSERT(it->ops->valid(it));
    it->ops->next(it);
}

struct bytes store_iter_key(const struct store_iter *it)
{
    ASSERT(it->ops->valid(it));
    return it->ops->key(it);
}

struct bytes store_iter_value(const struct store_iter *it)
{
    ASSERT(it->ops->valid(it));
    return it->ops->value(it);
}

int store_iter_error(const struct store_iter *it)
{
    return it->ops->error(it);
}

uint64_t store_disk_size(struct store *s)
{
    return s->ops->disk_size(s);
}

const char *store_last_error(struct store *s)
{
    return s->ops->last_error(s);
}

struct store_batch *store_batch_new(void)
{
    struct store_batch *b = xcalloc(1, sizeof *b);
    /* No limit of its own: the caller asks for the size and ends the batch. */
    buf_init(&b->ops, SIZE_MAX / 2);
    return b;
}

void store_batch_free(struct store_batch *b)
{
    if (b != NULL) {
        buf_release(&b->ops);
        free(b);
    }
}

void store_batch_clear(struct store_batch *b)
{
    buf_clear(&b->ops);
    b->count = 0;
}

/* Appends an operation; head and tail together are the value. */
static void batch_add(struct store_batch *b, uint8_t op, struct bytes key, struct bytes head,
                      struct bytes tail)
{
    size_t value_size = head.size + tail.size;
    ASSERT(key.size <= UINT32_MAX);
    ASSERT(value_size <= UINT32_MAX);
    ASSERT(b->count < UINT32_MAX);
    int rc = buf_reserve(&b->ops, OP_HEADER_SIZE + key.size + value_size);
    ASSERT(rc == OK);
    uint8_t *p = b->ops.data + b->ops.size;
    enc_put_u8(p, op);
    enc_put_u32(p + 1, (uint32_t) key.size);
    enc_put_u32(p + 5, (uint32_t) value_size);
    p += OP_HEADER_SIZE;
    const struct bytes parts[] = {key, head, tail};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (parts[i].size > 0) {
            memcpy(p, parts[i].data, parts[i].size);
            p += parts[i].size;
        }
    }
    buf_advance(&b->ops, OP_HEADER_SIZE + key.size + value_size);
    b->count++;
}

void store_batch_put(struct store_batch *b, struct bytes key, struct bytes value)
{
    batch_add(b, OP_PUT, key, value, bytes_of(NULL, 0));
}

void store_batch_put_parts(struct store_batch *b, struct bytes key, struct bytes head,
                           struct bytes tail)
{
    batch_add(b, OP_PUT, key, head, tail);
}

void store_batch_delete(struct store_batch *b, struct bytes key)
{
    batch_add(b, OP_DELETE, key, bytes_of(NULL, 0), bytes_of(NULL, 0));
}

size_t store_batch_size(const struct store_batch *b)
{
    return b->ops.size - (size_t) b->count * OP_HEADER_SIZE;
}

uint32_t store_batch_count(const struct store_batch *b)
{
    return b->count;
}

bool store_batch_next(const struct store_batch *b, size_t *cursor, struct bytes *ret_key,
                      struct bytes *ret_value, bool *ret_delete)
{
    ASSERT(*cursor <= b->ops.size);
    if (*cursor == b->ops.size) {
        return false;
    }
    const uint8_t *p = b->ops.data + *cursor;
    uint8_t op = enc_get_u8(p);
    size_t key_size = enc_get_u32(p + 1);
    size_t value_size = enc_get_u32(p + 5);
    ASSERT(op == OP_PUT || op == OP_DELETE);
    ASSERT(OP_HEADER_SIZE + key_size + value_size <= b->ops.size - *cursor);
    *ret_key = bytes_of(p + OP_HEADER_SIZE, key_size);
    *ret_value = bytes_of(p + OP_HEADER_SIZE + key_size, value_size);
    *ret_delete = op == OP_DELETE;
    *cursor += OP_HEADER_SIZE + key_size + value_size;
    return true;
}

void store_base_init(struct store *s, const struct store_ops *ops)
{
    s->ops = ops;
    s->fatal = OK;
    s->error_set = false;
    s->error[0] = '\0';
    int rc = pthread_mutex_init(&s->error_lock, NULL);
    ASSERT(rc == 0);
}

void store_base_release(struct store *s)
{
    int rc = pthread_mutex_destroy(&s->error_lock);
    ASSERT(rc == 0);
}

void store_base_note(struct store *s, const char *text)
{
    pthread_mutex_lock(&s->error_lock);
    if (!s->error_set) {
        (void) snprintf(s->error, sizeof s->error, "%s", text); /* Cutting it is all right. */
        s->error_set = true;
    }
    pthread_mutex_unlock(&s->error_lock);
}

const char *store_base_error(struct store *s)
{
    pthread_mutex_lock(&s->error_lock);
    const char *text = s->error_set ? s->error : "";
    pthread_mutex_unlock(&s->error_lock);
    return text;
}

void store_error_line(struct buf *error, const char *format, ...)
{
    if (error == NULL) {
        return;
    }
    char line[STORE_ERROR_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    ASSERT(length >= 0);
    size_t size = u64_min((uint64_t) length, sizeof line - 1);
    size = u64_min(size, error->size_max - error->size);
    ERR_IGNORE(buf_append(error, line, size)); /* It fits: cut above. */
}

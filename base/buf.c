/*
 * buf.c - the growable byte buffer with a maximum.
 *
 *   data - head           data              data + size        data - head + cap
 *      | consumed, `head`   | `size` bytes       | free              |
 */

#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

/* The first allocation: below this, growing by doubling only costs calls. */
#define BUF_CAP_MIN ((size_t) 64)

void buf_init(struct buf *b, size_t size_max)
{
    b->data = NULL;
    b->size = 0;
    b->cap = 0;
    b->size_max = size_max;
    b->head = 0;
}

void buf_release(struct buf *b)
{
    if (b->data != NULL) {
        free(b->data - b->head);
    }
    buf_init(b, b->size_max);
}

void buf_clear(struct buf *b)
{
    if (b->data != NULL) {
        b->data -= b->head;
    }
    b->head = 0;
    b->size = 0;
}

/* The capacity that a buffer which needs `need` bytes should have: doubling, so that appending is
 * linear in total, but never above what the maximum can use. */
static size_t buf_grown_cap(const struct buf *b, size_t need)
{
    size_t cap = b->cap < BUF_CAP_MIN ? BUF_CAP_MIN : b->cap;
    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    return cap > b->size_max ? b->size_max : cap;
}

int buf_reserve(struct buf *b, size_t more)
{
    ASSERT(b->size <= b->size_max);
    if (more > b->size_max - b->size) {
        return ERR_LIMIT;
    }
    if (more <= b->cap - b->head - b->size) {
        return OK;
    }
    size_t need = b->size + more;
    uint8_t *start = b->data == NULL ? NULL : b->data - b->head;
    /* Reclaim the front when it is at least half of the memory: then the bytes moved are paid for
     * by the bytes consumed since the last move. At the maximum there is no other way. */
    if (need <= b->cap && (b->head >= b->cap / 2 || b->cap >= b->size_max)) {
        memmove(start, b->data, b->size);
    } else {
        size_t cap = buf_grown_cap(b, need);
        uint8_t *grown = xmalloc(cap);
        if (b->size > 0) {
            memcpy(grown, b->data, b->size);
        }
        free(start);
        start = grown;
        b->cap = cap;
    }
    b->data = start;
    b->head = 0;
    ASSERT(b->cap - b->size >= more);
    return OK;
}

void buf_advance(struct buf *b, size_t size)
{
    ASSERT(size <= b->cap - b->head - b->size);
    b->size += size;
    ASSERT(b->size <= b->size_max);
}

int buf_append(struct buf *b, const void *ptr, size_t size)
{
    int rc = buf_reserve(b, size);
    if (rc != OK) {
        return rc;
    }
    if (size > 0) {
        memcpy(b->data + b->size, ptr, size);
        b->size += size;
    }
    return OK;
}

int buf_append_bytes(struct buf *b, struct bytes src)
{
    return buf_append(b, src.data, src.size);
}

int buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) {
        return ERR_INVALID;
    }
    size_t size = (size_t) length;
    if (size > b->size_max - b->size) {
        return ERR_LIMIT;
    }
    /* vsnprintf always writes a terminator, which a full buffer has no room for. */
    char stack[256];
    char *text = size < sizeof stack ? stack : xmalloc(size + 1);
    va_start(args, format);
    int again = vsnprintf(text, size + 1, format, args);
    va_end(args);
    ASSERT(again == length);
    int rc = buf_append(b, text, size);
    if (text != stack) {
        free(text);
    }
    return rc;
}

void buf_consume(struct buf *b, size_t size)
{
    ASSERT(size <= b->size);
    if (size == b->size) {
        buf_clear(b);
        return;
    }
    b->data += size;
    b->head += size;
    b->size -= size;
}

void buf_truncate(struct buf *b, size_t size)
{
    ASSERT(size <= b->size);
    b->size = size;
}

struct bytes buf_bytes(const struct buf *b)
{
    return bytes_of(b->data, b->size);
}

#ifndef SYNOD_BASE_BUF_H
#define SYNOD_BASE_BUF_H

/*
 * buf.h - a growable byte buffer with a maximum, used as a queue: append at the end, consume from
 * the front.
 *
 * Every buffer has a size_max; what would exceed it is refused whole with ERR_LIMIT. Pointers into
 * `data` are valid until the next call that changes the buffer.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

struct buf {
    uint8_t *data;   /* the first byte not consumed; NULL before the first allocation */
    size_t size;     /* bytes at `data` */
    size_t cap;      /* bytes allocated, counted from data - head */
    size_t size_max; /* `size` never exceeds it */
    size_t head;     /* bytes consumed in front of `data`, not reclaimed yet; private */
};

/* Makes `b` an empty buffer that holds at most `size_max` bytes. Allocates nothing. */
void buf_init(struct buf *b, size_t size_max);

/* Frees the memory of `b`, which is then an empty buffer with the same maximum. */
void buf_release(struct buf *b);

/* Empties `b` and keeps its memory. */
void buf_clear(struct buf *b);

/*
 * Makes room for `more` bytes after the current ones: b->data + b->size may then be written up to
 * `more` bytes, which buf_advance makes part of the buffer.
 * Errors: ERR_LIMIT (size + more exceeds size_max; the buffer is unchanged).
 */
int buf_reserve(struct buf *b, size_t more) MUST_USE;

/* Adds to the buffer `size` bytes that the caller wrote after a buf_reserve of at least as many. */
void buf_advance(struct buf *b, size_t size);

/*
 * Appends the `size` bytes at `ptr` (NULL legal when size is 0), which must not lie in `b`.
 * Errors: ERR_LIMIT (the buffer is unchanged).
 */
int buf_append(struct buf *b, const void *ptr, size_t size) MUST_USE;

/* Appends `src`, as buf_append. */
int buf_append_bytes(struct buf *b, struct bytes src) MUST_USE;

/*
 * Appends formatted text without a terminator.
 * Errors: ERR_LIMIT (the buffer is unchanged), ERR_INVALID (the format cannot be encoded).
 */
int buf_printf(struct buf *b, const char *format, ...) MUST_USE
    __attribute__((format(printf, 2, 3)));

/* Drops the first `size` bytes, at most all there are. Constant time. */
void buf_consume(struct buf *b, size_t size);

/* Shortens the buffer to its first `size` bytes, at most all there are: undoes appends. */
void buf_truncate(struct buf *b, size_t size);

/* The contents, borrowed until the next call that changes `b`. */
struct bytes buf_bytes(const struct buf *b);

#endif

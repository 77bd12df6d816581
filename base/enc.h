#ifndef SYNOD_BASE_ENC_H
#define SYNOD_BASE_ENC_H

/*
 * enc.h - the encodings of everything we store: fixed little-endian integers, big-endian ones where
 * byte order must be key order, and varints.
 *
 * A varint is base 128, least significant group first, as in protobuf: at most ENC_VARINT_MAX
 * bytes, and the tenth is at most 1. Longer than needed forms are read, never written.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

/* The most bytes a varint of 64 bits takes. */
#define ENC_VARINT_MAX 10

/* Each enc_put_X writes sizeof X bytes at `p`, each enc_get_X reads as many; `p` need not be
 * aligned. The compiler makes one instruction of each. */

static inline void enc_put_u8(uint8_t *p, uint8_t v)
{
    p[0] = v;
}

static inline void enc_put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t) (v & 0xff);
    p[1] = (uint8_t) (v >> 8);
}

static inline void enc_put_u32(uint8_t *p, uint32_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    memcpy(p, &v, sizeof v);
}

static inline void enc_put_u64(uint8_t *p, uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, sizeof v);
}

static inline void enc_put_be32(uint8_t *p, uint32_t v)
{
    enc_put_u32(p, __builtin_bswap32(v));
}

static inline void enc_put_be64(uint8_t *p, uint64_t v)
{
    enc_put_u64(p, __builtin_bswap64(v));
}

static inline uint8_t enc_get_u8(const uint8_t *p)
{
    return p[0];
}

static inline uint16_t enc_get_u16(const uint8_t *p)
{
    return (uint16_t) (p[0] | (p[1] << 8));
}

static inline uint32_t enc_get_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

static inline uint64_t enc_get_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline uint32_t enc_get_be32(const uint8_t *p)
{
    return __builtin_bswap32(enc_get_u32(p));
}

static inline uint64_t enc_get_be64(const uint8_t *p)
{
    return __builtin_bswap64(enc_get_u64(p));
}

/* Writes `v` as a varint at `p`, which has room for ENC_VARINT_MAX bytes; returns the bytes
 * written. */
size_t enc_put_varint(uint8_t *p, uint64_t v);

/* The bytes that enc_put_varint writes for `v`: 1 to ENC_VARINT_MAX. */
size_t enc_varint_size(uint64_t v);

/*
 * A bounds-checked reader over borrowed bytes. A read past the end, or of a malformed varint, sets
 * `failed`, gives 0 or the empty slice, and so does every read after it: decode everything, then
 * look at `failed` once.
 */
struct reader {
    const uint8_t *p;   /* the next byte */
    const uint8_t *end; /* one past the last byte */
    bool failed;
};

/* Makes `r` read `src`, which it borrows. */
void reader_init(struct reader *r, struct bytes src);

/* The bytes not read yet; 0 after a failure. */
size_t reader_left(const struct reader *r);

uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
uint32_t reader_be32(struct reader *r);
uint64_t reader_be64(struct reader *r);
uint64_t reader_varint(struct reader *r);

/* The next `size` bytes, borrowed from the source; fails when fewer are left. */
struct bytes reader_bytes(struct reader *r, size_t size);

/* Each buf_put_X appends to `b`. Errors: ERR_LIMIT (the buffer is full and unchanged). */
int buf_put_u8(struct buf *b, uint8_t v) MUST_USE;
int buf_put_u16(struct buf *b, uint16_t v) MUST_USE;
int buf_put_u32(struct buf *b, uint32_t v) MUST_USE;
int buf_put_u64(struct buf *b, uint64_t v) MUST_USE;
int buf_put_be32(struct buf *b, uint32_t v) MUST_USE;
int buf_put_be64(struct buf *b, uint64_t v) MUST_USE;
int buf_put_varint(struct buf *b, uint64_t v) MUST_USE;

#endif

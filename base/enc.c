/*
 * enc.c - varints, the bounds-checked reader, and appending encoded integers to a buffer.
 */

#include "base/enc.h"

#include "base/assert.h"

size_t enc_put_varint(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        p[n] = (uint8_t) (v | 0x80);
        v >>= 7;
        n++;
    }
    p[n] = (uint8_t) v;
    n++;
    ASSERT(n <= ENC_VARINT_MAX);
    return n;
}

size_t enc_varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

void reader_init(struct reader *r, struct bytes src)
{
    r->p = src.data;
    r->end = src.size == 0 ? src.data : src.data + src.size;
    r->failed = false;
}

size_t reader_left(const struct reader *r)
{
    return r->failed || r->p == r->end ? 0 : (size_t) (r->end - r->p);
}

/* The next `size` bytes, or NULL and a failed reader. `size` is above 0. */
static const uint8_t *reader_take(struct reader *r, size_t size)
{
    if (reader_left(r) < size) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += size;
    return p;
}

uint8_t reader_u8(struct reader *r)
{
    const uint8_t *p = reader_take(r, sizeof(uint8_t));
    return p == NULL ? 0 : enc_get_u8(p);
}

uint16_t reader_u16(struct reader *r)
{
    const uint8_t *p = reader_take(r, sizeof(uint16_t));
    return p == NULL ? 0 : enc_get_u16(p);
}

uint32_t reader_u32(struct reader *r)
{
    const uint8_t *p = reader_take(r, sizeof(uint32_t));
    return p == NULL ? 0 : enc_get_u32(p);
}

uint64_t reader_u64(struct reader *r)
{
    const uint8_t *p = reader_take(r, sizeof(uint64_t));
    return p == NULL ? 0 : enc_get_u64(p);
}

uint32_t reader_be32(struct reader *r)
{
    const uint8_t *p = reader_take(r, sizeof(uint32_t));
    return p == NULL ? 0 : enc_get_be32(p);
}

uint64_t reader_be64(struct reader *r)
{
    const uint8_t *p = reader_take(r, sizeof(uint64_t));
    return p == NULL ? 0 : enc_get_be64(p);
}

uint64_t reader_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < ENC_VARINT_MAX; i++) {
        const uint8_t *p = reader_take(r, 1);
        if (p == NULL) {
            return 0;
        }
        if (i == ENC_VARINT_MAX - 1 && *p > 1) {
            break; /* The tenth byte holds bit 63 only. */
        }
        v |= (uint64_t) (*p & 0x7f) << (7 * i);
        if (*p < 0x80) {
            return v;
        }
    }
    r->failed = true;
    return 0;
}

struct bytes reader_bytes(struct reader *r, size_t size)
{
    /* Nothing is no read: it must not fail at the end, nor touch a NULL source. */
    const uint8_t *p = size == 0 ? NULL : reader_take(r, size);
    return p == NULL ? bytes_of(NULL, 0) : bytes_of(p, size);
}

int buf_put_u8(struct buf *b, uint8_t v)
{
    return buf_append(b, &v, sizeof v);
}

int buf_put_u16(struct buf *b, uint16_t v)
{
    uint8_t tmp[sizeof v];
    enc_put_u16(tmp, v);
    return buf_append(b, tmp, sizeof tmp);
}

int buf_put_u32(struct buf *b, uint32_t v)
{
    uint8_t tmp[sizeof v];
    enc_put_u32(tmp, v);
    return buf_append(b, tmp, sizeof tmp);
}

int buf_put_u64(struct buf *b, uint64_t v)
{
    uint8_t tmp[sizeof v];
    enc_put_u64(tmp, v);
    return buf_append(b, tmp, sizeof tmp);
}

int buf_put_be32(struct buf *b, uint32_t v)
{
    uint8_t tmp[sizeof v];
    enc_put_be32(tmp, v);
    return buf_append(b, tmp, sizeof tmp);
}

int buf_put_be64(struct buf *b, uint64_t v)
{
    uint8_t tmp[sizeof v];
    enc_put_be64(tmp, v);
    return buf_append(b, tmp, sizeof tmp);
}

int buf_put_varint(struct buf *b, uint64_t v)
{
    uint8_t tmp[ENC_VARINT_MAX];
    size_t n = enc_put_varint(tmp, v);
    return buf_append(b, tmp, n);
}

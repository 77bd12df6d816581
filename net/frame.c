/*
 * frame.c - cutting frames out of a byte stream; the format is in frame.h.
 *
 * The checksum covers the size as well, so a damaged size that passes the limit still costs the
 * stream, after at most body_max bytes.
 */

#include "net/frame.h"

#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/enc.h"

/* Bodies with less than this to come are read through the caller's buffer: many small frames in
 * one read cost less than one read each. */
enum { FRAME_DIRECT_MIN = 16 * 1024 };

enum { FRAME_CRC_OFFSET = 4 };

void frame_header(uint8_t header[FRAME_HEADER_SIZE], const struct bytes *parts, uint32_t count)
{
    frame_header_with(header, bytes_of(NULL, 0), parts, count);
}

void frame_header_with(uint8_t header[FRAME_HEADER_SIZE], struct bytes head,
                       const struct bytes *parts, uint32_t count)
{
    size_t size = head.size;
    for (uint32_t i = 0; i < count; i++) {
        size += parts[i].size;
    }
    ASSERT(size <= UINT32_MAX);
    enc_put_u32(header, (uint32_t) size);
    uint32_t crc = crc32c(0, header, FRAME_CRC_OFFSET);
    crc = crc32c_bytes(crc, head);
    for (uint32_t i = 0; i < count; i++) {
        crc = crc32c_bytes(crc, parts[i]);
    }
    enc_put_u32(header + FRAME_CRC_OFFSET, crc);
}

void frame_reader_init(struct frame_reader *r, uint32_t body_max)
{
    memset(r, 0, sizeof *r);
    r->body_max = body_max;
}

void frame_reader_release(struct frame_reader *r)
{
    blob_unref(r->body);
    frame_reader_init(r, r->body_max);
}

static int frame_reader_break(struct frame_reader *r, int err)
{
    blob_unref(r->body);
    r->body = NULL;
    r->broken = err;
    return err;
}

/* Takes what is missing of the header from *in; OK when it is complete and the body has a blob. */
static int frame_reader_header(struct frame_reader *r, struct bytes *in)
{
    size_t n = FRAME_HEADER_SIZE - r->header_size;
    if (n > in->size) {
        n = in->size;
    }
    if (n > 0) {
        memcpy(r->header + r->header_size, in->data, n);
        r->header_size += (uint32_t) n;
        *in = bytes_of(in->data + n, in->size - n);
    }
    if (r->header_size < FRAME_HEADER_SIZE) {
        return ERR_AGAIN;
    }
    uint32_t size = enc_get_u32(r->header);
    if (size > r->body_max) {
        return frame_reader_break(r, ERR_TOO_LARGE);
    }
    r->body = blob_new(size);
    r->body_size = 0;
    return OK;
}

/* Hands out the body when it is complete and its checksum holds. */
static int frame_reader_complete(struct frame_reader *r, struct blob **ret_body)
{
    if (r->body_size < r->body->size) {
        return ERR_AGAIN;
    }
    uint32_t crc = crc32c(0, r->header, FRAME_CRC_OFFSET);
    crc = crc32c_bytes(crc, blob_bytes(r->body));
    if (crc != enc_get_u32(r->header + FRAME_CRC_OFFSET)) {
        return frame_reader_break(r, ERR_CORRUPT);
    }
    *ret_body = r->body;
    r->body = NULL;
    r->body_size = 0;
    r->header_size = 0;
    return OK;
}

int frame_reader_next(struct frame_reader *r, struct bytes *in, struct blob **ret_body)
{
    if (r->broken != OK) {
        return r->broken;
    }
    if (r->body == NULL) {
        int err = frame_reader_header(r, in);
        if (err != OK) {
            return err;
        }
    }
    size_t n = r->body->size - r->body_size;
    if (n > in->size) {
        n = in->size;
    }
    if (n > 0) {
        memcpy(r->body->data + r->body_size, in->data, n);
        r->body_size += n;
        *in = bytes_of(in->data + n, in->size - n);
    }
    return frame_reader_complete(r, ret_body);
}

uint8_t *frame_reader_space(struct frame_reader *r, size_t *ret_size)
{
    if (r->body == NULL || r->body->size - r->body_size < FRAME_DIRECT_MIN) {
        return NULL;
    }
    *ret_size = r->body->size - r->body_size;
    return r->body->data + r->body_size;
}

int frame_reader_received(struct frame_reader *r, size_t n, struct blob **ret_body)
{
    ASSERT(r->body != NULL);
    ASSERT(n <= r->body->size - r->body_size);
    r->body_size += n;
    return frame_reader_complete(r, ret_body);
}

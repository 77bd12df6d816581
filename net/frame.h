#ifndef SYNOD_NET_FRAME_H
#define SYNOD_NET_FRAME_H

/*
 * frame.h - how messages are cut out of a byte stream between peers.
 *
 *     size u32 LE (of the body) | crc32c u32 LE (of size's 4 bytes and the body) | body
 *
 * Sans-I/O: bytes in, frames out. Not here: what a body means (proto/wire_peer), sockets
 * (net/transport).
 */

#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "base/err.h"

enum { FRAME_HEADER_SIZE = 8 };

/* Fills the header for a body given in `count` parts, together at most UINT32_MAX bytes. */
void frame_header(uint8_t header[FRAME_HEADER_SIZE], const struct bytes *parts, uint32_t count);

/* The same for a body that is `head` followed by the parts. */
void frame_header_with(uint8_t header[FRAME_HEADER_SIZE], struct bytes head,
                       const struct bytes *parts, uint32_t count);

/* Cuts frames. Embedded. Large bodies are received straight into their own blob. */
struct frame_reader {
    uint32_t body_max;
    uint8_t header[FRAME_HEADER_SIZE];
    uint32_t header_size;
    struct blob *body; /* NULL until the header is complete */
    size_t body_size;  /* received so far */
    int broken;        /* the error that lost the stream, or OK */
};

/* A reader of frames whose body is at most `body_max` bytes. Allocates nothing. */
void frame_reader_init(struct frame_reader *r, uint32_t body_max);

/* Frees what is held of an incomplete frame; `r` then reads a new stream. */
void frame_reader_release(struct frame_reader *r);

/*
 * Consumes bytes from *in (its start moves). OK and *ret_body (one reference) when a frame is
 * complete; ERR_AGAIN when all is consumed and more is needed. Errors: ERR_TOO_LARGE (size above
 * body_max), ERR_CORRUPT (checksum): the stream is lost, every later call answers the same.
 */
int frame_reader_next(struct frame_reader *r, struct bytes *in, struct blob **ret_body) MUST_USE;

/*
 * Where to receive the next bytes of a large body directly, at most *ret_size of them; or NULL when
 * the reader wants them through _next. After receiving n bytes there call _received; it answers
 * like _next. The address is valid until the next call on `r`.
 */
uint8_t *frame_reader_space(struct frame_reader *r, size_t *ret_size);
int frame_reader_received(struct frame_reader *r, size_t n, struct blob **ret_body) MUST_USE;

#endif

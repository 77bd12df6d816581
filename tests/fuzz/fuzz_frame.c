/*
 * fuzz_frame.c - the frame reader on any bytes, in any pieces.
 *
 * The first byte chooses how the rest is cut up. Read in pieces and read at once must agree.
 */

#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "base/assert.h"
#include "net/frame.h"

#define BODY_MAX 65536

struct outcome {
    int err;
    uint64_t frames;
    uint64_t bytes;
};

static void accept(struct outcome *o, struct blob *body)
{
    o->frames++;
    o->bytes += body->size;
    blob_unref(body);
}

/* What comes of `data` in pieces of at most `piece` bytes. */
static struct outcome read_all(const uint8_t *data, size_t size, size_t piece)
{
    struct outcome o = {OK, 0, 0};
    struct frame_reader r;
    frame_reader_init(&r, BODY_MAX);
    while (size > 0 && (o.err == OK || o.err == ERR_AGAIN)) {
        size_t n = size < piece ? size : piece;
        size_t space_size = 0;
        struct blob *body = NULL;
        uint8_t *space = frame_reader_space(&r, &space_size);
        if (space != NULL) {
            n = n < space_size ? n : space_size;
            memcpy(space, data, n);
            o.err = frame_reader_received(&r, n, &body);
            if (o.err == OK) {
                accept(&o, body);
            }
        } else {
            struct bytes in = bytes_of(data, n);
            do {
                o.err = frame_reader_next(&r, &in, &body);
                if (o.err == OK) {
                    accept(&o, body);
                }
            } while (o.err == OK);
        }
        data += n;
        size -= n;
    }
    frame_reader_release(&r);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct outcome whole = read_all(data + 1, size - 1, SIZE_MAX);
    struct outcome pieces = read_all(data + 1, size - 1, (size_t) data[0] + 1);
    ASSERT(whole.frames == pieces.frames);
    ASSERT(whole.bytes == pieces.bytes);
    ASSERT((whole.err == ERR_CORRUPT) == (pieces.err == ERR_CORRUPT));
    ASSERT((whole.err == ERR_TOO_LARGE) == (pieces.err == ERR_TOO_LARGE));
    ASSERT(whole.frames * FRAME_HEADER_SIZE + whole.bytes <= size);
    return 0;
}

/*
 * fuzz_enc.c - the bounds-checked reader on arbitrary bytes: the first byte of the input says how
 * many bytes of it choose what to read, the rest is read.
 */

#include "tests/fuzz/fuzz.h"

#include "base/assert.h"
#include "base/enc.h"

/* Reads one item of kind `op` and checks what it says about itself. */
static void read_one(struct reader *r, uint8_t op)
{
    size_t before = reader_left(r);
    size_t size = op >> 4;
    switch (op & 7) {
    case 0:
        (void) reader_u8(r);
        break;
    case 1:
        (void) reader_u16(r);
        break;
    case 2:
        (void) reader_u32(r);
        break;
    case 3:
        (void) reader_u64(r);
        break;
    case 4:
        (void) reader_be64(r);
        break;
    case 5: {
        uint64_t v = reader_varint(r);
        ASSERT(r->failed || before - reader_left(r) >= enc_varint_size(v));
        break;
    }
    default: {
        struct bytes got = reader_bytes(r, size);
        ASSERT(got.size == (r->failed ? 0 : size));
        break;
    }
    }
    ASSERT(reader_left(r) <= before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t ops = data[0] < size ? data[0] : size - 1;
    struct reader r;
    reader_init(&r, bytes_of(data + 1 + ops, size - 1 - ops));
    for (size_t i = 0; i < ops; i++) {
        bool failed = r.failed;
        read_one(&r, data[1 + i]);
        ASSERT(!failed || r.failed);
    }
    return 0;
}

/*
 * test_frame.c - frames are cut out of any split of the stream, and garbage is refused.
 */

#include "net/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/support/guard.h"

#define BODY_MAX 100000
#define STREAM_MAX ((size_t) 1 << 20)

static void append_frame(struct buf *stream, struct bytes body)
{
    uint8_t header[FRAME_HEADER_SIZE];
    frame_header(header, &body, 1);
    assert_int_equal(buf_append(stream, header, sizeof header), OK);
    assert_int_equal(buf_append_bytes(stream, body), OK);
}

/* Three bodies: short, empty, one that crosses the border for direct reads. */
static void make_stream(struct buf *stream, struct bytes bodies[3])
{
    static uint8_t big[40000];
    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (uint8_t) (i * 7 + i / 256);
    }
    bodies[0] = bytes_str("hello");
    bodies[1] = bytes_of(NULL, 0);
    bodies[2] = bytes_of(big, sizeof big);
    buf_init(stream, STREAM_MAX);
    for (int i = 0; i < 3; i++) {
        append_frame(stream, bodies[i]);
    }
}

/* Feeds `in` and compares what comes out with the bodies from *next on; all of `in` is consumed. */
static void feed(struct frame_reader *r, struct bytes in, const struct bytes *bodies, int *next)
{
    for (;;) {
        struct blob *body = NULL;
        int err = frame_reader_next(r, &in, &body);
        if (err == ERR_AGAIN) {
            assert_null(body);
            assert_int_equal(in.size, 0);
            return;
        }
        assert_int_equal(err, OK);
        assert_true(bytes_equal(blob_bytes(body), bodies[*next]));
        (*next)++;
        blob_unref(body);
    }
}

static void test_frame_header_has_the_documented_layout(void **state)
{
    (void) state;
    uint8_t whole[FRAME_HEADER_SIZE];
    uint8_t parts[FRAME_HEADER_SIZE];
    uint8_t with[FRAME_HEADER_SIZE];
    struct bytes body = bytes_str("abcdef");
    struct bytes pieces[3] = {bytes_of("ab", 2), bytes_of(NULL, 0), bytes_of("cdef", 4)};
    frame_header(whole, &body, 1);
    frame_header(parts, pieces, 3);
    frame_header_with(with, pieces[0], pieces + 1, 2);
    assert_int_equal(enc_get_u32(whole), 6);
    /* CRC-32C of 06 00 00 00 "abcdef", computed bit by bit here. */
    const uint8_t covered[] = {6, 0, 0, 0, 'a', 'b', 'c', 'd', 'e', 'f'};
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < sizeof covered; i++) {
        crc ^= covered[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
        }
    }
    assert_int_equal(enc_get_u32(whole + 4), ~crc);
    assert_memory_equal(whole, parts, sizeof whole);
    assert_memory_equal(whole, with, sizeof whole);
}

static void test_frame_split_at_every_byte_gives_the_same_bodies(void **state)
{
    (void) state;
    struct buf stream;
    struct bytes bodies[3];
    make_stream(&stream, bodies);
    struct guard guard;
    guard_init(&guard, stream.size);
    /* All cuts around the headers and the border of direct reads, and some inside the big body. */
    for (size_t cut = 0; cut <= stream.size; cut += cut < 100 || cut + 100 > stream.size ? 1 : 97) {
        struct frame_reader r;
        frame_reader_init(&r, BODY_MAX);
        int next = 0;
        feed(&r, guard_place(&guard, bytes_of(stream.data, cut)), bodies, &next);
        feed(&r, guard_place(&guard, bytes_of(stream.data + cut, stream.size - cut)), bodies,
             &next);
        assert_int_equal(next, 3);
        frame_reader_release(&r);
    }
    guard_release(&guard);
    buf_release(&stream);
}

static void test_frame_byte_by_byte_gives_the_same_bodies(void **state)
{
    (void) state;
    struct buf stream;
    struct bytes bodies[3];
    make_stream(&stream, bodies);
    struct frame_reader r;
    frame_reader_init(&r, BODY_MAX);
    int next = 0;
    for (size_t i = 0; i < stream.size; i++) {
        feed(&r, bytes_of(stream.data + i, 1), bodies, &next);
    }
    assert_int_equal(next, 3);
    frame_reader_release(&r);
    buf_release(&stream);
}

static void test_frame_large_body_is_received_in_place(void **state)
{
    (void) state;
    struct buf stream;
    struct bytes bodies[3];
    make_stream(&stream, bodies);
    struct frame_reader r;
    frame_reader_init(&r, BODY_MAX);
    size_t size = 0;
    assert_null(frame_reader_space(&r, &size));
    size_t front = 5 + 3 * FRAME_HEADER_SIZE + 10; /* ten bytes into the third body */
    int next = 0;
    feed(&r, bytes_of(stream.data, front), bodies, &next);
    assert_int_equal(next, 2);
    uint8_t *space = frame_reader_space(&r, &size);
    assert_non_null(space);
    assert_int_equal(size, bodies[2].size - 10);
    struct blob *body = NULL;
    memcpy(space, stream.data + front, 100);
    assert_int_equal(frame_reader_received(&r, 100, &body), ERR_AGAIN);
    space = frame_reader_space(&r, &size);
    memcpy(space, stream.data + front + 100, size);
    assert_int_equal(frame_reader_received(&r, size, &body), OK);
    assert_true(bytes_equal(blob_bytes(body), bodies[2]));
    assert_null(frame_reader_space(&r, &size));
    blob_unref(body);
    frame_reader_release(&r);
    buf_release(&stream);
}

static void test_frame_every_flipped_bit_is_noticed(void **state)
{
    (void) state;
    struct buf stream;
    buf_init(&stream, STREAM_MAX);
    append_frame(&stream, bytes_str("some body"));
    for (size_t bit = 0; bit < stream.size * 8; bit++) {
        stream.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
        struct frame_reader r;
        frame_reader_init(&r, BODY_MAX);
        struct bytes in = buf_bytes(&stream);
        struct blob *body = NULL;
        int err = frame_reader_next(&r, &in, &body);
        /* A size that grew waits for bytes that do not come; all else is an error at once. */
        assert_true(err == ERR_CORRUPT || err == ERR_TOO_LARGE || err == ERR_AGAIN);
        assert_true(err != ERR_AGAIN || bit < 32);
        assert_null(body);
        frame_reader_release(&r);
        stream.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
    }
    buf_release(&stream);
}

static void test_frame_size_limit_is_exact(void **state)
{
    (void) state;
    struct buf stream;
    buf_init(&stream, STREAM_MAX);
    uint8_t body[101] = {0};
    for (size_t size = 100; size <= 101; size++) {
        buf_clear(&stream);
        append_frame(&stream, bytes_of(body, size));
        struct frame_reader r;
        frame_reader_init(&r, 100);
        struct bytes in = buf_bytes(&stream);
        struct blob *got = NULL;
        assert_int_equal(frame_reader_next(&r, &in, &got), size == 100 ? OK : ERR_TOO_LARGE);
        blob_unref(got);
        frame_reader_release(&r);
    }
    buf_release(&stream);
}

static void test_frame_lost_stream_stays_lost(void **state)
{
    (void) state;
    struct buf stream;
    buf_init(&stream, STREAM_MAX);
    append_frame(&stream, bytes_str("x"));
    stream.data[FRAME_HEADER_SIZE] ^= 1;
    struct frame_reader r;
    frame_reader_init(&r, BODY_MAX);
    struct bytes in = buf_bytes(&stream);
    struct blob *body = NULL;
    assert_int_equal(frame_reader_next(&r, &in, &body), ERR_CORRUPT);
    /* Not even the body that the header announced mends it. */
    in = bytes_str("x");
    assert_int_equal(frame_reader_next(&r, &in, &body), ERR_CORRUPT);
    assert_null(body);
    frame_reader_release(&r);
    buf_release(&stream);
}

static void test_frame_random_streams_in_random_pieces(void **state)
{
    (void) state;
    struct rng rng;
    rng_init(&rng, 7);
    for (int round = 0; round < 200; round++) {
        struct buf stream;
        struct bytes bodies[20];
        buf_init(&stream, STREAM_MAX);
        static uint8_t bytes[20][30000];
        for (int i = 0; i < 20; i++) {
            size_t size = (size_t) rng_below(&rng, rng_chance(&rng, 1, 5) ? 30000 : 40);
            memset(bytes[i], (int) rng_below(&rng, 256), size);
            bodies[i] = bytes_of(bytes[i], size);
            append_frame(&stream, bodies[i]);
        }
        struct frame_reader r;
        frame_reader_init(&r, BODY_MAX);
        int next = 0;
        while (stream.size > 0) {
            size_t n = (size_t) rng_between(&rng, 1, u64_min(stream.size, 50000));
            feed(&r, bytes_of(stream.data, n), bodies, &next);
            buf_consume(&stream, n);
        }
        assert_int_equal(next, 20);
        frame_reader_release(&r);
        buf_release(&stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_header_has_the_documented_layout),
        cmocka_unit_test(test_frame_split_at_every_byte_gives_the_same_bodies),
        cmocka_unit_test(test_frame_byte_by_byte_gives_the_same_bodies),
        cmocka_unit_test(test_frame_large_body_is_received_in_place),
        cmocka_unit_test(test_frame_every_flipped_bit_is_noticed),
        cmocka_unit_test(test_frame_size_limit_is_exact),
        cmocka_unit_test(test_frame_lost_stream_stays_lost),
        cmocka_unit_test(test_frame_random_streams_in_random_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#ifndef SYNOD_TESTS_SUPPORT_WIRE_FIXTURE_H
#define SYNOD_TESTS_SUPPORT_WIRE_FIXTURE_H

/*
 * wire_fixture.h - what every test of a wire format needs: an arena, two buffers, and input that
 * ends at a page that cannot be read.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "tests/support/guard.h"

struct wire_fixture {
    struct arena arena;
    struct buf in;  /* what was parsed from hex last */
    struct buf out; /* what is encoded */
    struct guard guard;
};

/* Set-up and tear-down of cmocka: *state is the fixture. */
int wire_fixture_setup(void **state);
int wire_fixture_teardown(void **state);

/* Makes f->in the bytes that `hex` names and returns a copy that ends at the guard page. */
struct bytes wire_fixture_place(struct wire_fixture *f, const char *hex);

/* `b` holds exactly the characters of the literal `text`. */
#define assert_bytes(b, text)                                                                      \
    do {                                                                                           \
        struct bytes assert_b = (b);                                                               \
        assert_int_equal(assert_b.size, sizeof(text) - 1);                                         \
        assert_memory_equal(assert_b.data, text, sizeof(text) - 1);                                \
    } while (0)

/* What was encoded into f->out since it was cleared is exactly what f->in holds. */
#define assert_encoded_as_in(f)                                                                    \
    do {                                                                                           \
        assert_int_equal((f)->out.size, (f)->in.size);                                             \
        if ((f)->in.size > 0) {                                                                    \
            assert_memory_equal((f)->out.data, (f)->in.data, (f)->in.size);                        \
        }                                                                                          \
    } while (0)

#endif

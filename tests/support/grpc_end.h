#ifndef SYNOD_TESTS_SUPPORT_GRPC_END_H
#define SYNOD_TESTS_SUPPORT_GRPC_END_H

/*
 * grpc_end.h - one end of a gRPC connection that records its callbacks as text, one line an event.
 *
 * Tests compare the text in their own frame (assert_events needs cmocka).
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"
#include "net/grpc.h"

enum end_mode {
    MODE_MANUAL,       /* the test answers */
    MODE_ECHO,         /* a reply with the last message at the half-close */
    MODE_ECHO_STREAM,  /* each message is sent back, OK at the half-close */
    MODE_UNIMPLEMENTED /* in on_begin */
};

struct end {
    struct grpc *g;
    struct buf events;
    struct buf out; /* bytes on their way to the other end */
    enum end_mode mode;
    struct blob *kept; /* MODE_ECHO */
    bool quiet;        /* messages are recorded by size and sum, as large ones always are */
};

/* Makes `e` ready for a connection with the callbacks it returns. */
struct grpc_callbacks end_init(struct end *e);

/* Frees the connection too. */
void end_release(struct end *e);

/* The sum by which a message is recorded. */
uint64_t end_sum(const struct blob *message);

/* Appends a line to the events; what is too long is cut. */
void end_note(struct end *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Compares what an end recorded, and forgets it. */
#define assert_events(end, expected)                                                               \
    do {                                                                                           \
        assert_int_equal(buf_append(&(end)->events, "", 1), OK);                                   \
        assert_string_equal((const char *) (end)->events.data, (expected));                        \
        buf_clear(&(end)->events);                                                                 \
    } while (0)

#endif

/*
 * test_transport.c - peers over real loopback sockets on ports that the kernel chooses.
 *
 * Nothing sleeps: the loop runs until a condition holds, and a test fails when it does not within
 * LIMIT_MS, which is far from what any condition needs. Nodes are static, because after a failure
 * the teardown runs the loop with them.
 */

#include "net/transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/mem.h"
#include "net/frame.h"

#define LIMIT_MS 20000
#define CLOSE_LIMIT_NS UINT64_C(5000000000)
#define FRAME_MAX (4 * 1024 * 1024)

/* ---- A node: a transport and what its callbacks saw */

struct node {
    struct transport *t;
    uint32_t id;
    uint8_t hello[4]; /* the id; 0xffffffff is refused by everybody */
    uint32_t frames;
    uint64_t body_bytes;
    uint32_t last_peer;
    struct buf last; /* the latest body */
    uint32_t ups;
    uint32_t downs;
    char reason[128];
    bool refuse_frames;
    bool close_in_frame;
    bool closed;
};

static uv_loop_t loop;

static int on_hello(void *ctx, struct bytes body, uint32_t *ret_peer)
{
    (void) ctx;
    if (body.size != 4 || enc_get_u32(body.data) == UINT32_MAX) {
        return ERR_MISMATCH;
    }
    *ret_peer = enc_get_u32(body.data);
    return OK;
}

static void on_closed(void *ctx)
{
    struct node *n = ctx;
    n->closed = true;
    n->t = NULL;
}

static int on_frame(void *ctx, uint32_t peer, struct blob *body)
{
    struct node *n = ctx;
    n->frames++;
    n->body_bytes += body->size;
    n->last_peer = peer;
    buf_clear(&n->last);
    if (buf_append_bytes(&n->last, blob_bytes(body)) != OK) {
        abort();
    }
    if (n->close_in_frame) {
        transport_close(n->t, on_closed, n);
    }
    return n->refuse_frames ? ERR_MALFORMED : OK;
}

static void on_link(void *ctx, uint32_t peer, bool up, const char *reason)
{
    (void) peer;
    struct node *n = ctx;
    n->ups += up ? 1 : 0;
    n->downs += up ? 0 : 1;
    (void) snprintf(n->reason, sizeof n->reason, "%s", reason);
}

static struct transport_options node_init(struct node *n, uint32_t id, const char *host)
{
    memset(n, 0, sizeof *n);
    n->id = id;
    enc_put_u32(n->hello, id);
    buf_init(&n->last, FRAME_MAX);
    struct transport_options o = {
        .listen_host = host,
        .self = id,
        .queue_bytes_max = 8 * 1024 * 1024,
        .queue_frames_max = 10000,
        .frame_size_max = FRAME_MAX,
        .connections_max = 16,
        .reconnect_min_ms = 1,
        .reconnect_max_ms = 20,
        .connect_timeout_ms = 5000,
        .handshake_timeout_ms = 10000,
        .seed = id,
        .hello = bytes_of(n->hello, sizeof n->hello),
        .on_hello = on_hello,
        .on_frame = on_frame,
        .on_link = on_link,
        .ctx = n,
    };
    return o;
}

static void node_open(struct node *n, const struct transport_options *o)
{
    struct buf error;
    buf_init(&error, 256);
    int err = transport_new(&loop, o, &n->t, &error);
    if (err != OK) {
        print_error("%.*s\n", (int) error.size, (const char *) error.data);
    }
    assert_int_equal(err, OK);
    buf_release(&error);
}

static void node_start(struct node *n, uint32_t id)
{
    struct transport_options o = node_init(n, id, "127.0.0.1");
    node_open(n, &o);
}

static void add_peer(struct node *n, uint32_t id, const char *host, uint16_t port)
{
    struct transport_peer peer = {id, host, port};
    assert_int_equal(transport_add_peer(n->t, &peer), OK);
}

/* ---- Conditions */

static uint64_t limit_start;

/* For a while (...) loop: runs one turn; fails the test when it takes too long. */
static void turn(void)
{
    assert_true(uv_now(&loop) - limit_start < LIMIT_MS);
    (void) uv_run(&loop, UV_RUN_ONCE);
}

#define run_until(condition)                                                                       \
    do {                                                                                           \
        uv_update_time(&loop);                                                                     \
        limit_start = uv_now(&loop);                                                               \
        while (!(condition)) {                                                                     \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static struct transport_stats stats_of(const struct node *n)
{
    struct transport_stats s;
    transport_stats(n->t, &s);
    return s;
}

/* A timer keeps UV_RUN_ONCE from blocking for ever when nothing else would happen. */
static uv_timer_t heartbeat;

static void on_heartbeat(uv_timer_t *timer)
{
    (void) timer;
}

static int setup(void **state)
{
    (void) state;
    (void) signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&loop) != 0 || uv_timer_init(&loop, &heartbeat) != 0) {
        return -1;
    }
    return uv_timer_start(&heartbeat, on_heartbeat, 5, 5);
}

/* Every handle is gone: closing leaves nothing behind. */
static int teardown(void **state)
{
    (void) state;
    uv_close((uv_handle_t *) &heartbeat, NULL);
    uint64_t start = uv_hrtime();
    while (uv_run(&loop, UV_RUN_NOWAIT) != 0 && uv_hrtime() - start < CLOSE_LIMIT_NS) {
    }
    return uv_loop_close(&loop);
}

static void node_stop(struct node *n)
{
    if (n->t != NULL && !n->close_in_frame) {
        transport_close(n->t, on_closed, n);
    }
    run_until(n->closed);
    buf_release(&n->last);
}

static int send_to(struct node *n, uint32_t peer, const char *text)
{
    return transport_send(n->t, peer, bytes_str(text), NULL, NULL, 0);
}

/* Two nodes, each with a connection to the other. */
static void start_two(struct node *a, struct node *b)
{
    node_start(a, 1);
    node_start(b, 2);
    add_peer(a, 2, "127.0.0.1", transport_port(b->t));
    add_peer(b, 1, "127.0.0.1", transport_port(a->t));
    run_until(transport_connected(a->t, 2) && transport_connected(b->t, 1));
}

/* ---- Frames */

static void test_transport_frames_arrive_in_order_from_the_right_peer(void **state)
{
    (void) state;
    static struct node a;
    static struct node b;
    start_two(&a, &b);
    assert_int_equal(a.ups, 1);
    for (int i = 0; i < 100; i++) {
        char text[16];
        (void) snprintf(text, sizeof text, "m%d", i);
        assert_int_equal(send_to(&a, 2, text), OK);
    }
    assert_int_equal(stats_of(&a).frames_sent, 1); /* the hello */
    transport_flush(a.t);
    assert_int_equal(stats_of(&a).frames_sent, 101);
    /* All of a turn in one system call. */
    assert_int_equal(stats_of(&a).writes, 2);
    run_until(b.frames == 100);
    assert_int_equal(b.last_peer, 1);
    assert_true(bytes_equal(buf_bytes(&b.last), bytes_str("m99")));
    assert_int_equal(send_to(&b, 1, "back"), OK);
    transport_flush(b.t);
    run_until(a.frames == 1);
    assert_int_equal(a.last_peer, 2);
    node_stop(&a);
    node_stop(&b);
}

static void test_transport_parts_are_put_together_and_owners_let_go(void **state)
{
    (void) state;
    static struct node a;
    static struct node b;
    start_two(&a, &b);
    struct blob *big = blob_new(3000000);
    for (size_t i = 0; i < big->size; i++) {
        big->data[i] = (uint8_t) (i * 7 + i / 1000);
    }
    static const uint8_t fixed[1000] = {1, 2, 3};
    const struct bytes parts[] = {bytes_str("small"), blob_bytes(big),   bytes_str("x"),
                                  bytes_str("y"),     bytes_of(NULL, 0), bytes_of(fixed, 1000)};
    struct blob *const owners[] = {NULL, big, NULL, NULL, NULL, NULL};
    struct buf expected;
    buf_init(&expected, FRAME_MAX);
    assert_int_equal(buf_append(&expected, "head", 4), OK);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        assert_int_equal(buf_append_bytes(&expected, parts[i]), OK);
    }
    assert_int_equal(transport_send(a.t, 2, bytes_str("head"), parts, owners, 6), OK);
    assert_int_equal(big->refs, 2);
    transport_flush(a.t);
    run_until(b.frames == 1);
    assert_true(bytes_equal(buf_bytes(&b.last), buf_bytes(&expected)));
    run_until(big->refs == 1);
    blob_unref(big);
    buf_release(&expected);
    node_stop(&a);
    node_stop(&b);
}

static void test_transport_more_parts_than_one_writev_takes(void **state)
{
    (void) state;
    static struct node a;
    static struct node b;
    start_two(&a, &b);
    struct blob *piece = blob_new(600);
    memset(piece->data, 'p', piece->size);
    struct bytes parts[1500];
    struct blob *owners[1500];
    for (size_t i = 0; i < 1500; i++) {
        parts[i] = blob_bytes(piece);
        owners[i] = piece;
    }
    assert_int_equal(transport_send(a.t, 2, bytes_of(NULL, 0), parts, owners, 1500), OK);
    assert_int_equal(send_to(&a, 2, "after"), OK);
    transport_flush(a.t);
    run_until(b.frames == 2);
    assert_int_equal(b.body_bytes, 1500 * 600 + 5);
    run_until(piece->refs == 1);
    blob_unref(piece);
    node_stop(&a);
    node_stop(&b);
}

static void test_transport_ipv6_and_names(void **state)
{
    (void) state;
    static struct node a;
    static struct node b;
    struct transport_options o = node_init(&a, 1, "::1");
    node_open(&a, &o);
    o = node_init(&b, 2, "localhost");
    node_open(&b, &o);
    add_peer(&a, 2, "localhost", transport_port(b.t));
    add_peer(&b, 1, "::1", transport_port(a.t));
    run_until(transport_connected(a.t, 2) && transport_connected(b.t, 1));
    node_stop(&a);
    node_stop(&b);
}

/* ---- Limits and errors */

static void test_transport_send_errors(void **state)
{
    (void) state;
    static struct node a;
    static struct node b;
    node_start(&a, 1);
    node_start(&b, 2);
    assert_int_equal(send_to(&a, 2, "x"), ERR_NOT_FOUND);
    add_peer(&a, 2, "127.0.0.1", transport_port(b.t));
    struct transport_peer again = {2, "127.0.0.1", 1};
    struct transport_peer self = {1, "127.0.0.1", 1};
    assert_int_equal(transport_add_peer(a.t, &again), ERR_EXISTS);
    assert_int_equal(transport_add_peer(a.t, &self), ERR_INVALID);
    assert_int_equal(send_to(&a, 2, "x"), ERR_CLOSED);
    assert_int_equal(stats_of(&a).dropped_down, 1);
    run_until(transport_connected(a.t, 2));
    struct blob *huge = blob_new(FRAME_MAX + 1);
    struct bytes part = blob_bytes(huge);
    assert_int_equal(transport_send(a.t, 2, bytes_of(NULL, 0), &part, &huge, 1), ERR_TOO_LARGE);
    assert_int_equal(huge->refs, 1);
    blob_unref(huge);
    node_stop(&a);
    node_stop(&b);
}

/* A listener that accepts and never reads. Returns its socket and port. */
static int listen_raw(uint16_t *ret_port)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    assert_true(s >= 0);
    assert_int_equal(bind(s, (const struct sockaddr *) &address, size), 0);
    assert_int_equal(listen(s, 8), 0);
    assert_int_equal(getsockname(s, (struct sockaddr *) &address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return s;
}

static void test_transport_full_queue_drops_and_counts(void **state)
{
    (void) state;
    static struct node a;
    uint16_t port = 0;
    int listener = listen_raw(&port);
    struct transport_options o = node_init(&a, 1, "127.0.0.1");
    o.queue_bytes_max = 10 * 1000 * 1000;
    o.queue_frames_max = 50;
    node_open(&a, &o);
    add_peer(&a, 2, "127.0.0.1", port);
    run_until(transport_connected(a.t, 2));
    struct blob *b = blob_new(1000000);
    memset(b->data, 0, b->size);
    struct bytes part = blob_bytes(b);
    int err = OK;
    int sent = 0;
    /* The socket takes a few megabytes before the queue holds any. */
    while (err == OK && sent < 1000) {
        err = transport_send(a.t, 2, bytes_of(NULL, 0), &part, &b, 1);
        sent += err == OK ? 1 : 0;
        transport_flush(a.t);
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(stats_of(&a).dropped_full, 1);
    assert_true(b->refs >= 10 && b->refs <= 12);
    /* Small frames still go in until their number is too large. */
    int small = 0;
    while (send_to(&a, 2, "x") == OK) {
        small++;
        assert_true(small <= 50);
    }
    assert_true(small >= 30);
    assert_int_equal(stats_of(&a).dropped_full, 2);
    node_stop(&a);
    assert_int_equal(b->refs, 1); /* closing lets go of what was queued and being written */
    blob_unref(b);
    (void) close(listener);
}

static void test_transport_address_in_use_is_said(void **state)
{
    (void) state;
    static struct node a;
    static struct node b;
    node_start(&a, 1);
    struct transport_options o = node_init(&b, 2, "127.0.0.1");
    o.listen_port = transport_port(a.t);
    struct buf error;
    buf_init(&error, 256);
    struct transport *t = NULL;
    assert_int_equal(transport_new(&loop, &o, &t, &error), ERR_ADDRESS_IN_USE);
    assert_null(t);
    assert_int_equal(buf_append(&error, "", 1), OK);
    assert_non_null(strstr((const char *) error.data, "address already in use"));
    buf_clear(&error);
    o.listen_host = "no such host.invalid";
    assert_int_equal(transport_new(&loop, &o, &t, &error), ERR_INVALID);
    assert_true(error.size > 0);
    o.listen_host = "192.0.2.1"; /* TEST-NET-1: nobody's */
    assert_int_equal(transport_new(&loop, &o, &t, NULL), ERR_INVALID);
    o.listen_host = "127.0.0.1";
    o.reconnect_min_ms = 0;
    assert_int_equal(transport_new(&loop, &o, &t, NULL), ERR_INVALID);
    buf_release(&error);
    node_stop(&a);
}

/* ---- Reconnecting */

static void test_transport_reconnects_after_the_peer_restarts(void **state)
{
    (void) state;
    static struct node a;
    static struct node b;
    start_two(&a, &b);
    uint16_t port = transport_port(b.t);
    node_stop(&b);
    run_until(!transport_connected(a.t, 2));
    assert_int_equal(a.downs, 1);
    assert_true(a.reason[0] != '\0');
    assert_int_equal(send_to(&a, 2, "lost"), ERR_CLOSED);
    struct transport_options o = node_init(&b, 2, "127.0.0.1");
    o.listen_port = port;
    node_open(&b, &o);
    run_until(transport_connected(a.t, 2));
    assert_int_equal(a.ups, 2);
    assert_int_equal(stats_of(&a).reconnects, 1);
    assert_int_equal(send_to(&a, 2, "again"), OK);
    transport_flush(a.t);
    run_until(b.frames == 1);
    node_stop(&a);
    node_stop(&b);
}

static void test_transport_failing_first_attempt_is_told_once(void **state)
{
    (void) state;
    static struct node a;
    uint16_t port = 0;
    int listener = listen_raw(&port);
    (void) close(listener); /* a port where nobody listens */
    node_start(&a, 1);
    add_peer(&a, 2, "127.0.0.1", port);
    run_until(a.downs == 1);
    assert_string_equal(a.reason, "connection refused");
    uint64_t until = uv_now(&loop) + 100; /* several attempts, at 20 ms at most */
    run_until(uv_now(&loop) >= until);
    assert_int_equal(a.downs, 1);
    node_stop(&a);
}

static void test_transport_removed_peer_is_gone(void **state)
{
    (void) state;
    static struct node a;
    static struct node b;
    start_two(&a, &b);
    assert_int_equal(send_to(&b, 1, "x"), OK);
    transport_flush(b.t);
    run_until(a.frames == 1); /* so its hello was seen */
    assert_int_equal(transport_remove_peer(a.t, 2), OK);
    assert_int_equal(transport_remove_peer(a.t, 2), ERR_NOT_FOUND);
    assert_int_equal(send_to(&a, 2, "x"), ERR_NOT_FOUND);
    run_until(b.downs > 0); /* its own connection to us was closed too */
    node_stop(&a);
    node_stop(&b);
}

/* ---- What comes in from outside */

static int connect_raw(uint16_t port)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(s >= 0);
    assert_int_equal(connect(s, (const struct sockaddr *) &address, sizeof address), 0);
    return s;
}

static void write_raw(int s, const void *data, size_t size)
{
    assert_int_equal(write(s, data, size), (ssize_t) size);
}

static void write_frame(int s, struct bytes body)
{
    uint8_t header[FRAME_HEADER_SIZE];
    frame_header(header, &body, 1);
    write_raw(s, header, sizeof header);
    write_raw(s, body.data, body.size);
}

/* Whether the other end has closed; does not wait. */
static bool closed_raw(int s)
{
    char c;
    ssize_t n = recv(s, &c, 1, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void hello_raw(int s, uint32_t id)
{
    uint8_t hello[4];
    enc_put_u32(hello, id);
    write_frame(s, bytes_of(hello, sizeof hello));
}

static void test_transport_garbage_costs_its_connection_and_nothing_else(void **state)
{
    (void) state;
    static struct node a;
    static struct node b;
    start_two(&a, &b);
    int bad = connect_raw(transport_port(b.t));
    write_raw(bad, "GET / HTTP/1.1\r\n\r\n", 18);
    run_until(closed_raw(bad));
    assert_int_equal(stats_of(&b).bad_frames, 1);
    (void) close(bad);
    /* Garbage after a good hello. */
    bad = connect_raw(transport_port(b.t));
    hello_raw(bad, 3);
    write_raw(bad, "\4\0\0\0junkjunk", 12);
    run_until(closed_raw(bad));
    assert_int_equal(stats_of(&b).bad_frames, 2);
    (void) close(bad);
    assert_int_equal(b.frames, 0);
    assert_int_equal(send_to(&a, 2, "fine"), OK);
    transport_flush(a.t);
    run_until(b.frames == 1);
    assert_int_equal(a.downs, 0);
    node_stop(&a);
    node_stop(&b);
}

static void test_transport_refused_hello_closes(void **state)
{
    (void) state;
    static struct node a;
    node_start(&a, 1);
    int s = connect_raw(transport_port(a.t));
    hello_raw(s, UINT32_MAX);
    write_frame(s, bytes_str("never looked at"));
    run_until(closed_raw(s));
    assert_int_equal(stats_of(&a).refused_hellos, 1);
    assert_int_equal(a.frames, 0);
    (void) close(s);
    node_stop(&a);
}

static void test_transport_silent_connection_is_closed_in_time(void **state)
{
    (void) state;
    static struct node a;
    struct transport_options o = node_init(&a, 1, "127.0.0.1");
    o.handshake_timeout_ms = 20;
    node_open(&a, &o);
    int greeted = connect_raw(transport_port(a.t));
    hello_raw(greeted, 2);
    int silent = connect_raw(transport_port(a.t));
    run_until(closed_raw(silent));
    assert_int_equal(stats_of(&a).refused_hellos, 1);
    int second = connect_raw(transport_port(a.t));
    write_raw(second, "\4", 1); /* a byte is not a hello */
    run_until(closed_raw(second));
    assert_int_equal(stats_of(&a).refused_hellos, 2);
    assert_false(closed_raw(greeted));
    (void) close(greeted);
    (void) close(silent);
    (void) close(second);
    node_stop(&a);
}

static void test_transport_newer_connection_of_a_peer_replaces_the_older(void **state)
{
    (void) state;
    static struct node a;
    node_start(&a, 1);
    int older = connect_raw(transport_port(a.t));
    hello_raw(older, 2);
    write_frame(older, bytes_str("one"));
    run_until(a.frames == 1);
    int other = connect_raw(transport_port(a.t));
    hello_raw(other, 3);
    write_frame(other, bytes_str("two"));
    run_until(a.frames == 2);
    int newer = connect_raw(transport_port(a.t));
    hello_raw(newer, 2);
    run_until(closed_raw(older));
    write_frame(newer, bytes_str("three"));
    run_until(a.frames == 3);
    assert_int_equal(a.last_peer, 2);
    assert_false(closed_raw(other));
    (void) close(older);
    (void) close(other);
    (void) close(newer);
    node_stop(&a);
}

static void test_transport_connections_are_limited(void **state)
{
    (void) state;
    static struct node a;
    struct transport_options o = node_init(&a, 1, "127.0.0.1");
    o.connections_max = 2;
    node_open(&a, &o);
    int s[3];
    for (uint32_t i = 0; i < 2; i++) {
        s[i] = connect_raw(transport_port(a.t));
        hello_raw(s[i], i + 2);
        write_frame(s[i], bytes_str("x"));
    }
    run_until(a.frames == 2);
    s[2] = connect_raw(transport_port(a.t));
    run_until(closed_raw(s[2]));
    assert_int_equal(stats_of(&a).refused_connections, 1);
    assert_false(closed_raw(s[0]));
    for (int i = 0; i < 3; i++) {
        (void) close(s[i]);
    }
    node_stop(&a);
}

static void test_transport_refused_frame_closes_its_connection(void **state)
{
    (void) state;
    static struct node a;
    static struct node b;
    start_two(&a, &b);
    b.refuse_frames = true;
    assert_int_equal(send_to(&a, 2, "x"), OK);
    assert_int_equal(send_to(&a, 2, "y"), OK);
    transport_flush(a.t);
    run_until(a.downs == 1);
    assert_int_equal(b.frames, 1);
    assert_int_equal(stats_of(&b).bad_frames, 1);
    assert_true(transport_connected(b.t, 1));
    node_stop(&a);
    node_stop(&b);
}

/* ---- Closing */

static void test_transport_close_in_every_state(void **state)
{
    (void) state;
    uint16_t port = 0;
    int listener = listen_raw(&port);
    /* Turns 0: before the first attempt; 1 and more: resolving, connecting, connected. */
    for (int turns = 0; turns < 6; turns++) {
        static const char *const hosts[] = {"127.0.0.1", "localhost", "no-such-name.invalid",
                                            "192.0.2.1"};
        for (size_t h = 0; h < ARRAY_SIZE(hosts); h++) {
            static struct node a;
            node_start(&a, 1);
            add_peer(&a, 2, hosts[h], port);
            for (int i = 0; i < turns; i++) {
                (void) uv_run(&loop, UV_RUN_NOWAIT);
            }
            node_stop(&a);
            assert_true(a.closed);
        }
    }
    (void) close(listener);
}

static void test_transport_close_inside_a_callback(void **state)
{
    (void) state;
    static struct node a;
    static struct node b;
    start_two(&a, &b);
    b.close_in_frame = true;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(send_to(&a, 2, "x"), OK);
    }
    transport_flush(a.t);
    run_until(b.closed);
    assert_int_equal(b.frames, 1); /* nothing after the close */
    node_stop(&b);
    node_stop(&a);
}

static void test_transport_close_with_writes_under_way(void **state)
{
    (void) state;
    static struct node a;
    uint16_t port = 0;
    int listener = listen_raw(&port);
    node_start(&a, 1);
    add_peer(&a, 2, "127.0.0.1", port);
    run_until(transport_connected(a.t, 2));
    struct blob *b = blob_new(3000000);
    memset(b->data, 0, b->size);
    struct bytes part = blob_bytes(b);
    while (transport_send(a.t, 2, bytes_of(NULL, 0), &part, &b, 1) == OK) {
        transport_flush(a.t);
    }
    assert_true(b->refs > 1);
    node_stop(&a);
    assert_int_equal(b->refs, 1);
    blob_unref(b);
    (void) close(listener);
}

#define transport_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        transport_test(test_transport_frames_arrive_in_order_from_the_right_peer),
        transport_test(test_transport_parts_are_put_together_and_owners_let_go),
        transport_test(test_transport_more_parts_than_one_writev_takes),
        transport_test(test_transport_ipv6_and_names),
        transport_test(test_transport_send_errors),
        transport_test(test_transport_full_queue_drops_and_counts),
        transport_test(test_transport_address_in_use_is_said),
        transport_test(test_transport_reconnects_after_the_peer_restarts),
        transport_test(test_transport_failing_first_attempt_is_told_once),
        transport_test(test_transport_removed_peer_is_gone),
        transport_test(test_transport_garbage_costs_its_connection_and_nothing_else),
        transport_test(test_transport_refused_hello_closes),
        transport_test(test_transport_silent_connection_is_closed_in_time),
        transport_test(test_transport_newer_connection_of_a_peer_replaces_the_older),
        transport_test(test_transport_connections_are_limited),
        transport_test(test_transport_refused_frame_closes_its_connection),
        transport_test(test_transport_close_in_every_state),
        transport_test(test_transport_close_inside_a_callback),
        transport_test(test_transport_close_with_writes_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

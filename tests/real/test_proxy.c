/*
 * test_proxy.c - what the links of the proxy do to bytes, between two ends that the test holds.
 *
 * Nothing sleeps: the loop runs until a condition holds. That something does not arrive is seen by
 * what was sent later, on a slower way, and did.
 */
#include "tests/real/proxy.h"

#include <errno.h>
#include <fcntl.h>
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

#include "base/enc.h"
#include "base/mem.h"
#include "base/rng.h"
#include "net/frame.h"
#include "tests/real/process.h"

#define LIMIT_US UINT64_C(30000000)
#define POLL_MS 1

struct rig {
    uv_loop_t loop;
    uv_timer_t poll;
    uint16_t ports[2];
    int listeners[2]; /* of the nodes; -1: the node is down */
    struct link_layer *l;
    bool closed;
    struct buf got; /* by the last pull */
};

static struct rig *now;

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

static void on_poll(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void turn(struct rig *r)
{
    (void) uv_run(&r->loop, UV_RUN_DEFAULT); /* until the timer stops it */
}

static void set_nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static int listen_at(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *) &a, sizeof a), 0);
    assert_int_equal(listen(fd, 128), 0);
    set_nonblocking(fd);
    return fd;
}

static struct rig *rig_new(void)
{
    struct rig *r = xcalloc(1, sizeof *r);
    struct buf error;
    now = r;
    buf_init(&error, 1024);
    buf_init(&r->got, 256 << 20);
    assert_int_equal(uv_loop_init(&r->loop), 0);
    assert_int_equal(uv_timer_init(&r->loop, &r->poll), 0);
    assert_int_equal(uv_timer_start(&r->poll, on_poll, POLL_MS, POLL_MS), 0);
    assert_int_equal(processes_ports(2, r->ports, &error), OK);
    for (uint32_t i = 0; i < 2; i++) {
        r->listeners[i] = listen_at(r->ports[i]);
    }
    const struct proxy_options options = {.nodes = 2, .peer_ports = r->ports, .seed = 7};
    assert_int_equal(proxy_new(&r->loop, &options, &r->l, &error), OK);
    buf_release(&error);
    return r;
}

static void on_closed(void *ctx)
{
    struct rig *r = ctx;
    r->closed = true;
}

static int teardown(void **state)
{
    struct rig *r = now;
    (void) state;
    if (r == NULL) {
        return 0;
    }
    r->l->ops->close(r->l, on_closed, r);
    uv_close((uv_handle_t *) &r->poll, NULL);
    (void) uv_run(&r->loop, UV_RUN_DEFAULT);
    assert_true(r->closed);
    assert_int_equal(uv_loop_close(&r->loop), 0);
    for (uint32_t i = 0; i < 2; i++) {
        if (r->listeners[i] >= 0) {
            (void) close(r->listeners[i]);
        }
    }
    buf_release(&r->got);
    free(r);
    now = NULL;
    return 0;
}

static void set(struct rig *r, uint32_t from, struct link_state state)
{
    assert_int_equal(r->l->ops->set(r->l, from, 3 - from, &state), OK);
}

static struct link_stats stats_of(struct rig *r, uint32_t from)
{
    struct link_stats stats;
    r->l->ops->stats(r->l, from, 3 - from, &stats);
    return stats;
}

/* Dials as node `from`; the other end comes by far_end. */
static int dial(struct rig *r, uint32_t from)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    char host[64];
    uint16_t port = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    r->l->ops->address(r->l, from, 3 - from, host, &port);
    assert_string_equal(host, "127.0.0.1");
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons(port);
    assert_int_equal(connect(fd, (const struct sockaddr *) &a, sizeof a), 0);
    set_nonblocking(fd);
    return fd;
}

/* The connection that arrived at node `to`. */
static int far_end(struct rig *r, uint32_t to)
{
    uint64_t end = now_us() + LIMIT_US;
    for (;;) {
        int fd = accept(r->listeners[to - 1], NULL, NULL);
        if (fd >= 0) {
            set_nonblocking(fd);
            return fd;
        }
        assert_true(now_us() < end);
        turn(r);
    }
}

/* Takes what has arrived; false when the stream has ended, with its reason. */
static bool pull(struct rig *r, int fd, int *ret_end)
{
    for (;;) {
        assert_int_equal(buf_reserve(&r->got, 1 << 16), OK);
        ssize_t n = recv(fd, r->got.data + r->got.size, 1 << 16, 0);
        if (n > 0) {
            buf_advance(&r->got, (size_t) n);
        } else if (n < 0 && errno == EAGAIN) {
            return true;
        } else {
            *ret_end = n == 0 ? 0 : errno;
            return false;
        }
    }
}

static void pull_until(struct rig *r, int fd, size_t size)
{
    uint64_t end = now_us() + LIMIT_US;
    int why = 0;
    while (r->got.size < size) {
        assert_true(now_us() < end);
        assert_true(pull(r, fd, &why));
        if (r->got.size < size) {
            turn(r);
        }
    }
}

/* Runs until the stream ends; 0 or its errno. */
static int wait_end(struct rig *r, int fd)
{
    uint64_t end = now_us() + LIMIT_US;
    int why = 0;
    while (pull(r, fd, &why)) {
        assert_true(now_us() < end);
        turn(r);
    }
    return why;
}

/* Writes all of it, as the socket takes it, pulling at the other end meanwhile. */
static void push_all(struct rig *r, int fd, int other, struct bytes data)
{
    uint64_t end = now_us() + LIMIT_US;
    int why = 0;
    while (data.size > 0) {
        ssize_t n = send(fd, data.data, data.size, MSG_NOSIGNAL);
        if (n > 0) {
            data = bytes_of(data.data + n, data.size - (size_t) n);
            continue;
        }
        assert_int_equal(errno, EAGAIN);
        assert_true(now_us() < end);
        assert_true(pull(r, other, &why));
        turn(r);
    }
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void expect(struct rig *r, int fd, const char *text)
{
    pull_until(r, fd, strlen(text));
    assert_int_equal(r->got.size, strlen(text));
    assert_memory_equal(r->got.data, text, strlen(text));
    buf_clear(&r->got);
}

/* Frames with bodies of random sizes. */
static void make_frames(struct buf *out, uint32_t count, uint32_t size_max)
{
    struct rng rng;
    uint8_t *body = xcalloc(1, size_max + 1);
    rng_init(&rng, 3);
    buf_init(out, 256 << 20);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t header[FRAME_HEADER_SIZE];
        struct bytes part = bytes_of(body, rng_below(&rng, size_max + 1));
        memset(body, (int) rng_below(&rng, 256), part.size);
        frame_header(header, &part, 1);
        assert_int_equal(buf_append(out, header, sizeof header), OK);
        assert_int_equal(buf_append_bytes(out, part), OK);
    }
    free(body);
}

static void test_proxy_clean_link_passes_bytes_and_counts_frames(void **state)
{
    (void) state;
    struct rig *r = rig_new();
    struct buf frames;
    make_frames(&frames, 2000, 5000); /* empty ones too */
    int near = dial(r, 1);
    int far = far_end(r, 2);
    push_all(r, near, far, buf_bytes(&frames));
    pull_until(r, far, frames.size);
    assert_int_equal(r->got.size, frames.size);
    assert_memory_equal(r->got.data, frames.data, frames.size);
    struct link_stats stats = stats_of(r, 1);
    assert_int_equal(stats.frames, 2000);
    assert_int_equal(stats.bytes, frames.size);
    assert_int_equal(stats.resets + stats.stalls + stats.refused, 0);
    assert_int_equal(stats_of(r, 2).bytes, 0); /* the other direction has its own */
    buf_release(&frames);
    (void) close(near);
    (void) close(far);
}

static void test_proxy_delay_is_kept_and_order_too(void **state)
{
    (void) state;
    struct rig *r = rig_new();
    int near = dial(r, 1);
    int far = far_end(r, 2);
    set(r, 1, (struct link_state){.delay = {40000, 60000}});
    uint64_t since = now_us();
    say(near, "x");
    expect(r, far, "x");
    assert_true(now_us() - since >= 40000);
    set(r, 1, (struct link_state){.delay = {300, 9000}});
    uint8_t sent[200];
    for (uint32_t i = 0; i < sizeof sent; i++) { /* a chunk each */
        sent[i] = (uint8_t) i;
        assert_int_equal(send(near, &sent[i], 1, MSG_NOSIGNAL), 1);
        turn(r);
    }
    pull_until(r, far, sizeof sent);
    assert_memory_equal(r->got.data, sent, sizeof sent);
    buf_clear(&r->got);
    set(r, 1, (struct link_state){.delay = {100000, 100000}});
    say(near, "first,");
    for (uint32_t i = 0; i < 5; i++) {
        turn(r);
    }
    set(r, 1, (struct link_state){0}); /* what comes now overtakes nothing */
    say(near, "second");
    expect(r, far, "first,second");
    (void) close(near);
    (void) close(far);
}

/* What is due late on one link holds up nothing on another. */
static void test_proxy_links_wait_each_for_itself(void **state)
{
    (void) state;
    struct rig *r = rig_new();
    int near = dial(r, 1);
    int far = far_end(r, 2);
    int back_near = dial(r, 2);
    int back_far = far_end(r, 1);
    int why = 0;
    set(r, 1, (struct link_state){.delay = {20000, 20000}});
    set(r, 2, (struct link_state){.delay = {3000000, 3000000}});
    say(near, "soon");
    turn(r);
    say(back_near, "late");
    expect(r, far, "soon");
    assert_true(pull(r, back_far, &why));
    assert_int_equal(r->got.size, 0);
    const int all[] = {near, far, back_near, back_far};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        (void) close(all[i]);
    }
}

/* A cut of one direction, and the other goes on. */
static void test_proxy_cut_direction_loses_what_is_sent(void **state)
{
    (void) state;
    struct rig *r = rig_new();
    int near = dial(r, 1);
    int far = far_end(r, 2);
    int back_near = dial(r, 2);
    int back_far = far_end(r, 1);
    int why = -1;
    say(near, "before");
    expect(r, far, "before");
    int gone = dial(r, 1);
    int gone_far = far_end(r, 2);
    set(r, 1, (struct link_state){.cut = true});
    set(r, 2, (struct link_state){.delay = {30000, 30000}});
    say(near, "lost");
    const struct linger at_once = {.l_onoff = 1};
    assert_int_equal(setsockopt(gone, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    (void) close(gone);    /* nobody hears of that either */
    int late = dial(r, 1); /* accepted, but nobody hears of it */
    say(late, "lost too");
    say(back_near, "back");
    expect(r, back_far, "back");
    assert_true(pull(r, far, &why)); /* still open */
    assert_true(pull(r, gone_far, &why));
    assert_int_equal(r->got.size, 0);
    assert_true(accept(r->listeners[1], NULL, NULL) < 0);
    assert_true(pull(r, late, &why));
    set(r, 1, (struct link_state){0});
    assert_int_equal(wait_end(r, near), ECONNRESET);
    assert_int_equal(wait_end(r, late), ECONNRESET);
    assert_int_equal(wait_end(r, far), ECONNRESET);
    assert_int_equal(r->got.size, 0);
    assert_int_equal(wait_end(r, gone_far), ECONNRESET);
    assert_int_equal(stats_of(r, 1).resets, 3);
    int again = dial(r, 1);
    int again_far = far_end(r, 2);
    say(again, "after");
    expect(r, again_far, "after");
    say(back_near, "on"); /* that one was never broken */
    expect(r, back_far, "on");
    const int all[] = {near, far, back_near, back_far, gone_far, late, again, again_far};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        (void) close(all[i]);
    }
}

/* What waits in the proxy when a cut begins is lost; who ends during it is not heard of. */
static void test_proxy_cut_takes_what_is_under_way(void **state)
{
    (void) state;
    struct rig *r = rig_new();
    int near = dial(r, 1);
    int far = far_end(r, 2);
    int why = -1;
    set(r, 1, (struct link_state){.delay = {30000, 30000}});
    say(near, "under way");
    for (uint32_t i = 0; i < 5; i++) {
        turn(r);
    }
    set(r, 1, (struct link_state){.cut = true});
    set(r, 2, (struct link_state){.delay = {60000, 60000}});
    (void) close(far);
    int back_near = dial(r, 2);
    int back_far = far_end(r, 1);
    say(back_near, "later");
    expect(r, back_far, "later");
    assert_true(pull(r, near, &why)); /* not told of the end */
    set(r, 1, (struct link_state){0});
    assert_int_equal(wait_end(r, near), ECONNRESET);
    assert_int_equal(stats_of(r, 1).bytes, 0);
    (void) close(near);
    (void) close(back_near);
    (void) close(back_far);
}

static void test_proxy_clogged_link_passes_all_on_later(void **state)
{
    (void) state;
    struct rig *r = rig_new();
    int near = dial(r, 1);
    int far = far_end(r, 2);
    uint64_t until = now_us() + 80000;
    set(r, 1, (struct link_state){.clog_until_us = until});
    say(near, "held");
    int late = dial(r, 1); /* its dial is held too */
    say(late, "dialled");
    expect(r, far, "held");
    assert_true(now_us() >= until);
    int late_far = far_end(r, 2);
    expect(r, late_far, "dialled");
    until = now_us() + 3600 * UINT64_C(1000000);
    set(r, 1, (struct link_state){.clog_until_us = until});
    say(near, "on");
    turn(r);
    set(r, 1, (struct link_state){0}); /* ends early */
    expect(r, far, "on");
    const int all[] = {near, far, late, late_far};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        (void) close(all[i]);
    }
}

static void test_proxy_rate_bounds_bytes_a_second(void **state)
{
    (void) state;
    struct rig *r = rig_new();
    static const uint8_t data[30000];
    int near = dial(r, 1);
    int far = far_end(r, 2);
    set(r, 1, (struct link_state){.rate = 100000});
    uint64_t since = now_us();
    push_all(r, near, far, bytes_of(data, sizeof data));
    pull_until(r, far, sizeof data);
    assert_true(now_us() - since >= 300000);
    buf_clear(&r->got);
    /* A rate that is lifted does not hold back what waited for the line: at most one chunk. */
    set(r, 1, (struct link_state){.rate = 2000});
    since = now_us();
    push_all(r, near, far, bytes_of(data, sizeof data));
    for (uint32_t i = 0; i < 5; i++) {
        turn(r);
    }
    set(r, 1, (struct link_state){.rate = 10000000});
    pull_until(r, far, sizeof data);
    assert_true(now_us() - since < 15000000);
    buf_clear(&r->got);
    /* Nor does the line hold back others for it. */
    int other = dial(r, 1);
    int other_far = far_end(r, 2);
    set(r, 1, (struct link_state){.rate = 70});
    assert_int_equal(send(near, data, 1400, MSG_NOSIGNAL), 1400); /* 20 s */
    for (uint32_t i = 0; i < 5; i++) {
        turn(r);
    }
    set(r, 1, (struct link_state){.rate = 10000000});
    since = now_us();
    say(other, "x");
    expect(r, other_far, "x");
    assert_true(now_us() - since < 15000000);
    const int all[] = {near, far, other, other_far};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        (void) close(all[i]);
    }
}

static void test_proxy_lost_chunk_is_a_stall(void **state)
{
    (void) state;
    struct rig *r = rig_new();
    int near = dial(r, 1);
    int far = far_end(r, 2);
    uint64_t slowest_us = 0;
    uint32_t sent = 0;
    set(r, 1, (struct link_state){.loss_permyriad = 2000});
    while (stats_of(r, 1).stalls == 0) {
        uint64_t since = now_us();
        say(near, "x");
        expect(r, far, "x");
        slowest_us = u64_max(slowest_us, now_us() - since);
        sent++;
        assert_true(sent < 1000);
    }
    assert_true(slowest_us >= 200000);
    assert_int_equal(stats_of(r, 1).bytes, sent);
    (void) close(near);
    (void) close(far);
}

static void test_proxy_chunk_lost_again_and_again_is_a_reset(void **state)
{
    (void) state;
    struct rig *r = rig_new();
    int near = dial(r, 1);
    int far = far_end(r, 2);
    set(r, 1, (struct link_state){.loss_permyriad = 10000});
    uint64_t since = now_us();
    say(near, "x");
    assert_int_equal(wait_end(r, near), ECONNRESET);
    assert_true(now_us() - since >= (200 + 400 + 800 + 1600 + 3200) * 1000);
    assert_int_equal(wait_end(r, far), ECONNRESET);
    assert_int_equal(stats_of(r, 1).stalls, 5);
    assert_int_equal(stats_of(r, 1).resets, 1);
    assert_int_equal(stats_of(r, 1).bytes, 0);
    (void) close(near);
    (void) close(far);
}

/* Bytes that wait are bounded, and none is lost. */
static void test_proxy_held_bytes_are_bounded(void **state)
{
    (void) state;
    struct rig *r = rig_new();
    struct buf frames;
    make_frames(&frames, 6000, 10000);
    int near = dial(r, 1);
    int far = far_end(r, 2);
    set(r, 1, (struct link_state){.clog_until_us = now_us() + 3600 * UINT64_C(1000000)});
    size_t taken = 0;
    uint32_t still = 0;
    while (still < 50) { /* turns in which nothing more was taken */
        ssize_t n = send(near, frames.data + taken, frames.size - taken, MSG_NOSIGNAL);
        still = n > 0 ? 0 : still + 1;
        taken += n > 0 ? (size_t) n : 0;
        turn(r);
    }
    assert_true(taken >= PROXY_HELD_MAX);
    assert_true(taken < PROXY_HELD_MAX + (12 << 20)); /* and what the kernel has of two sockets */
    assert_true(taken < frames.size);
    set(r, 1, (struct link_state){0});
    push_all(r, near, far, bytes_of(frames.data + taken, frames.size - taken));
    pull_until(r, far, frames.size);
    assert_memory_equal(r->got.data, frames.data, frames.size);
    assert_int_equal(stats_of(r, 1).frames, 6000);
    buf_release(&frames);
    (void) close(near);
    (void) close(far);
}

static void test_proxy_node_that_is_down_resets_the_dialler(void **state)
{
    (void) state;
    struct rig *r = rig_new();
    (void) close(r->listeners[1]);
    r->listeners[1] = -1;
    int near = dial(r, 1);
    assert_int_equal(wait_end(r, near), ECONNRESET);
    assert_int_equal(stats_of(r, 1).refused, 1);
    (void) close(near);
    r->listeners[1] = listen_at(r->ports[1]);
    near = dial(r, 1);
    int far = far_end(r, 2);
    say(near, "up again");
    expect(r, far, "up again");
    (void) close(near);
    (void) close(far);
}

static void test_proxy_end_of_either_side_reaches_the_other(void **state)
{
    (void) state;
    struct rig *r = rig_new();
    int near = dial(r, 1);
    int far = far_end(r, 2);
    set(r, 1, (struct link_state){.delay = {20000, 20000}});
    say(near, "last words");
    (void) close(near);
    assert_int_equal(wait_end(r, far), 0); /* after them */
    assert_int_equal(r->got.size, strlen("last words"));
    (void) close(far);
    near = dial(r, 1);
    far = far_end(r, 2);
    (void) close(far);
    assert_int_equal(wait_end(r, near), 0);
    (void) close(near);
}

static void test_proxy_connections_of_a_link_are_bounded(void **state)
{
    (void) state;
    enum { MORE = 70 };
    struct rig *r = rig_new();
    int ends[MORE];
    int why = 0;
    set(r, 1, (struct link_state){.cut = true}); /* none of them ends by itself */
    for (uint32_t i = 0; i < MORE; i++) {
        ends[i] = dial(r, 1);
        turn(r);
    }
    while (stats_of(r, 1).refused < MORE - 64) {
        turn(r);
    }
    assert_true(pull(r, ends[0], &why));
    assert_int_equal(wait_end(r, ends[MORE - 1]), ECONNRESET);
    for (uint32_t i = 0; i < MORE; i++) {
        (void) close(ends[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_proxy_clean_link_passes_bytes_and_counts_frames, teardown),
        cmocka_unit_test_teardown(test_proxy_delay_is_kept_and_order_too, teardown),
        cmocka_unit_test_teardown(test_proxy_links_wait_each_for_itself, teardown),
        cmocka_unit_test_teardown(test_proxy_cut_direction_loses_what_is_sent, teardown),
        cmocka_unit_test_teardown(test_proxy_cut_takes_what_is_under_way, teardown),
        cmocka_unit_test_teardown(test_proxy_clogged_link_passes_all_on_later, teardown),
        cmocka_unit_test_teardown(test_proxy_rate_bounds_bytes_a_second, teardown),
        cmocka_unit_test_teardown(test_proxy_lost_chunk_is_a_stall, teardown),
        cmocka_unit_test_teardown(test_proxy_chunk_lost_again_and_again_is_a_reset, teardown),
        cmocka_unit_test_teardown(test_proxy_held_bytes_are_bounded, teardown),
        cmocka_unit_test_teardown(test_proxy_node_that_is_down_resets_the_dialler, teardown),
        cmocka_unit_test_teardown(test_proxy_end_of_either_side_reaches_the_other, teardown),
        cmocka_unit_test_teardown(test_proxy_connections_of_a_link_are_bounded, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

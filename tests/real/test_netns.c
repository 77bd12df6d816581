/*
 * test_netns.c - links as network namespaces: who reaches whom. Needs root and iproute2; is skipped
 * without.
 *
 * A socket belongs to the namespace in which it was made, so the test makes its sockets in those of
 * the nodes and holds both ends.
 */
#include "tests/real/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

enum { NODES = 3, LIMIT_MS = 20000 };

static const uint16_t ports[NODES] = {7001, 7002, 7003};

struct bed {
    struct link_layer *l;
    int listeners[NODES];
    bool closed;
};

static void on_closed(void *ctx)
{
    struct bed *b = ctx;
    b->closed = true;
}

static int teardown(void **state)
{
    struct bed *b = *state;
    for (uint32_t i = 0; i < NODES; i++) {
        if (b->listeners[i] > 0) {
            (void) close(b->listeners[i]);
        }
    }
    if (b->l != NULL) {
        b->l->ops->close(b->l, on_closed, b);
        assert_true(b->closed);
    }
    free(b);
    return 0;
}

static int setup(void **state)
{
    *state = xcalloc(1, sizeof(struct bed));
    return 0;
}

/* A socket in the namespace of a node; 0: of the host. */
static int socket_of(const struct bed *b, uint32_t node)
{
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_true(home >= 0);
    if (node != 0) {
        char host[64];
        const char *prefix[5];
        char path[128];
        netns_node(b->l, node, host, prefix);
        assert_string_equal(prefix[0], "nsenter");
        assert_null(prefix[2]);
        (void) snprintf(path, sizeof path, "%s", strchr(prefix[1], '/'));
        int there = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(there >= 0);
        assert_int_equal(setns(there, CLONE_NEWNET), 0);
        (void) close(there);
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(setns(home, CLONE_NEWNET), 0);
    (void) close(home);
    assert_true(fd >= 0);
    return fd;
}

static struct sockaddr_in address_of(const struct bed *b, uint32_t from, uint32_t to)
{
    char host[64];
    uint16_t port = 0;
    struct sockaddr_in a = {.sin_family = AF_INET};
    b->l->ops->address(b->l, from, to, host, &port);
    assert_int_equal(port, ports[to - 1]);
    assert_int_equal(inet_pton(AF_INET, host, &a.sin_addr), 1);
    a.sin_port = htons(port);
    return a;
}

static struct bed *bed_of(void **state)
{
    struct bed *b = *state;
    struct buf error;
    buf_init(&error, 4096);
    bool usable = netns_available(&error) == OK;
    int rc = usable ? netns_new(NODES, ports, &b->l, &error) : OK;
    if (rc != OK) {
        print_error("%.*s\n", (int) error.size, (const char *) error.data);
    }
    buf_release(&error);
    if (!usable) {
        skip();
    }
    assert_int_equal(rc, OK);
    for (uint32_t i = 1; i <= NODES; i++) {
        struct sockaddr_in a = address_of(b, i == 1 ? 2 : 1, i);
        b->listeners[i - 1] = socket_of(b, i);
        assert_int_equal(bind(b->listeners[i - 1], (const struct sockaddr *) &a, sizeof a), 0);
        assert_int_equal(listen(b->listeners[i - 1], 8), 0);
    }
    return b;
}

static bool ready(int fd, int16_t events, int ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, ms) == 1;
}

/* A connection from `from` (0: the host) to `to`; ret_far is the end at `to`. */
static int join(const struct bed *b, uint32_t from, uint32_t to, int *ret_far)
{
    struct sockaddr_in a = address_of(b, to == 1 ? 2 : 1, to);
    int fd = socket_of(b, from);
    int error = 0;
    socklen_t size = sizeof error;
    int rc = connect(fd, (const struct sockaddr *) &a, sizeof a);
    assert_true(rc == 0 || errno == EINPROGRESS);
    assert_true(ready(fd, POLLOUT, LIMIT_MS));
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    assert_int_equal(error, 0);
    assert_true(ready(b->listeners[to - 1], POLLIN, LIMIT_MS));
    *ret_far = accept4(b->listeners[to - 1], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(*ret_far >= 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void expect(int fd, const char *text)
{
    char got[64] = "";
    size_t size = 0;
    while (size < strlen(text)) {
        assert_true(ready(fd, POLLIN, LIMIT_MS));
        ssize_t n = recv(fd, got + size, sizeof got - 1 - size, 0);
        assert_true(n > 0);
        size += (size_t) n;
    }
    assert_string_equal(got, text);
}

static void set_cut(const struct bed *b, uint32_t from, uint32_t to, bool cut)
{
    const struct link_state state = {.cut = cut};
    assert_int_equal(b->l->ops->set(b->l, from, to, &state), OK);
}

static void test_netns_nodes_and_host_reach_each_other(void **state)
{
    struct bed *b = bed_of(state);
    for (uint32_t from = 0; from <= NODES; from++) {
        for (uint32_t to = 1; to <= NODES; to++) {
            if (from != to) {
                int far = -1;
                int near = join(b, from, to, &far);
                say(near, "words");
                expect(far, "words");
                (void) close(near);
                (void) close(far);
            }
        }
    }
}

/* From the sender nothing arrives; what the other sends does, and what it says afterwards shows
 * that time enough has passed. */
static void test_netns_cut_is_silence_until_it_ends(void **state)
{
    struct bed *b = bed_of(state);
    int far = -1;
    int back_far = -1;
    int near = join(b, 1, 2, &far);
    int back = join(b, 2, 1, &back_far);
    set_cut(b, 1, 2, true);
    set_cut(b, 1, 2, true); /* again changes nothing */
    say(near, "held");
    say(back, "arrives");
    expect(back_far, "arrives");
    int other_far = -1;
    int other = join(b, 1, 3, &other_far); /* its other links are whole */
    say(other, "x");
    expect(other_far, "x");
    assert_false(ready(far, POLLIN, 0));
    struct sockaddr_in a = address_of(b, 1, 2);
    int late = socket_of(b, 1); /* nor can it connect */
    (void) connect(late, (const struct sockaddr *) &a, sizeof a);
    assert_false(ready(b->listeners[1], POLLIN, 300));
    assert_false(ready(far, POLLIN, 0));
    set_cut(b, 1, 2, false);
    expect(far, "held"); /* TCP tries again */
    const int all[] = {near, far, back, back_far, other, other_far, late};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        (void) close(all[i]);
    }
}

static void test_netns_refuses_what_it_cannot_do(void **state)
{
    struct bed *b = bed_of(state);
    const struct link_state states[] = {{.delay = {1, 1}},
                                        {.loss_permyriad = 1},
                                        {.rate = 1},
                                        {.clog_until_us = UINT64_MAX}};
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        assert_int_equal(b->l->ops->set(b->l, 1, 2, &states[i]), ERR_UNSUPPORTED);
    }
    struct link_stats stats;
    b->l->ops->stats(b->l, 1, 2, &stats);
    assert_int_equal(stats.bytes, 0);
}

/* Is the first namespace of that process there? */
static bool is_there(pid_t pid)
{
    char path[128];
    (void) snprintf(path, sizeof path, "/var/run/netns/synod-%d-1", pid);
    return access(path, F_OK) == 0;
}

static bool bridge_is_there(pid_t pid)
{
    char path[128];
    (void) snprintf(path, sizeof path, "/sys/class/net/syb%d", pid);
    return access(path, F_OK) == 0;
}

static void test_netns_leaves_nothing_behind(void **state)
{
    struct bed *b = bed_of(state);
    assert_true(is_there(getpid()));
    assert_true(bridge_is_there(getpid()));
    b->l->ops->close(b->l, on_closed, b);
    b->l = NULL;
    assert_false(is_there(getpid()));
    assert_false(bridge_is_there(getpid()));
}

/* Nor when its process is killed. */
static void test_netns_is_removed_when_its_process_dies(void **state)
{
    struct bed *b = *state;
    struct buf error;
    int ends[2];
    char byte = 0;
    buf_init(&error, 4096);
    bool usable = netns_available(&error) == OK;
    buf_release(&error);
    if (!usable) {
        skip();
    }
    assert_int_equal(pipe(ends), 0);
    pid_t owner = fork();
    if (owner == 0) {
        byte = netns_new(NODES, ports, &b->l, &error) == OK;
        if (write(ends[1], &byte, 1) == 1) {
            (void) pause();
        }
        _exit(1);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 1);
    assert_true(is_there(owner));
    assert_int_equal(kill(owner, SIGKILL), 0);
    assert_int_equal(waitpid(owner, NULL, 0), owner);
    const struct timespec slice = {.tv_nsec = 1000000};
    for (uint32_t i = 0; is_there(owner) || bridge_is_there(owner); i++) {
        assert_true(i < LIMIT_MS);
        (void) nanosleep(&slice, NULL);
    }
    (void) close(ends[0]);
    (void) close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_netns_nodes_and_host_reach_each_other, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_netns_cut_is_silence_until_it_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_netns_refuses_what_it_cannot_do, setup, teardown),
        cmocka_unit_test_setup_teardown(test_netns_leaves_nothing_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_netns_is_removed_when_its_process_dies, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

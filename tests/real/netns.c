/*
 * netns.c - a bridge, a namespace for each node, and routes that lead nowhere.
 *
 *     host --- bridge sybPID, 198.18.S.254 --- veth sy1-PID | eth0 198.18.S.1 in synod-PID-1
 *                                          --- veth sy2-PID | eth0 198.18.S.2 in synod-PID-2
 *
 * 198.18.0.0/15 is kept for tests (RFC 2544); S is chosen so that nothing here has that network.
 */
#include "tests/real/netns.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/real/keeper.h"

enum { SUBNETS = 512, NAME_MAX_SIZE = 32, ENTER_MAX_SIZE = 64, WORDS_MAX = 24 };

struct netns {
    struct link_layer layer; /* first: what the owner holds */
    uint32_t nodes;
    uint32_t subnet; /* 198.(18 + subnet / 256).(subnet % 256).0/24 */
    uint32_t pid;    /* in the names */
    uint16_t ports[SIM_NODES_MAX];
    char names[SIM_NODES_MAX][NAME_MAX_SIZE];
    char enters[SIM_NODES_MAX][ENTER_MAX_SIZE]; /* what nsenter is told */
    bool cut[SIM_NODES_MAX][SIM_NODES_MAX];
    struct keeper *keeper;
};

static struct netns *netns_of(const struct link_layer *l)
{
    return container_of((struct link_layer *) (uintptr_t) l, struct netns, layer);
}

/* Runs `ip` with the words of a line. */
static int ip(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int ip(const char *format, ...)
{
    char line[256];
    const char *words[WORDS_MAX] = {"ip"};
    uint32_t count = 1;
    va_list args;
    va_start(args, format);
    int size = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    ASSERT(size > 0);
    ASSERT((size_t) size < sizeof line);
    for (char *rest = line, *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        ASSERT(count < WORDS_MAX - 1);
        words[count++] = word;
    }
    words[count] = NULL;
    return keeper_run(words);
}

static void address_text(const struct netns *n, uint32_t host, char to[64])
{
    (void) snprintf(to, 64, "198.%u.%u.%u", 18 + n->subnet / 256, n->subnet % 256, host);
}

/* ---- Can it be used */

int netns_available(struct buf *error)
{
    const char *missing = NULL;
    if (geteuid() != 0) {
        missing = "root";
    } else {
        static const char *const version[] = {"nsenter", "--version", NULL};
        int rc = ip("netns list");
        missing = rc == ERR_NOT_FOUND         ? "ip (package iproute2)"
                  : rc != OK                  ? "network namespaces"
                  : keeper_run(version) != OK ? "nsenter (package util-linux)"
                                              : NULL;
    }
    if (missing != NULL) {
        ERR_IGNORE(buf_printf(error, "links by network namespaces need %s", missing));
        return ERR_UNSUPPORTED;
    }
    return OK;
}

/* ---- Making it, and taking it away */

static bool subnet_is_free(uint32_t subnet)
{
    struct ifaddrs *all = NULL;
    bool yes = true;
    if (getifaddrs(&all) != 0) {
        return false;
    }
    for (const struct ifaddrs *a = all; a != NULL; a = a->ifa_next) {
        if (a->ifa_addr != NULL && a->ifa_addr->sa_family == AF_INET) {
            uint32_t at =
                ntohl(((const struct sockaddr_in *) (const void *) a->ifa_addr)->sin_addr.s_addr);
            yes = yes && at >> 8 != (UINT32_C(198) << 16 | (18 + subnet / 256) << 8 | subnet % 256);
        }
    }
    freeifaddrs(all);
    return yes;
}

/* All of it, as far as it is there. */
static void remove_all(void *ctx)
{
    const struct netns *n = ctx;
    for (uint32_t i = 0; i < n->nodes; i++) {
        ERR_IGNORE(ip("link del sy%u-%u", i + 1, n->pid)); /* with its other end */
        ERR_IGNORE(ip("netns del %s", n->names[i]));
    }
    ERR_IGNORE(ip("link del syb%u", n->pid));
}

/* A node whose answers are led nowhere must still take what comes: the kernel may be set to drop
 * packets from where it would not answer to. */
static int take_all(const char *name)
{
    const char *const words[] = {
        "ip",
        "netns",
        "exec",
        name,
        "sh",
        "-c",
        "for f in all eth0; do echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter; done",
        NULL};
    return keeper_run(words);
}

static int make_node(const struct netns *n, uint32_t number)
{
    const char *name = n->names[number - 1];
    char address[64];
    address_text(n, number, address);
    int rc = ip("netns add %s", name);
    rc = rc != OK ? rc
                  : ip("link add sy%u-%u type veth peer name eth0 netns %s", number, n->pid, name);
    rc = rc != OK ? rc : ip("link set sy%u-%u master syb%u up", number, n->pid, n->pid);
    rc = rc != OK ? rc : ip("-n %s addr add %s/24 dev eth0", name, address);
    rc = rc != OK ? rc : ip("-n %s link set lo up", name);
    rc = rc != OK ? rc : take_all(name);
    return rc != OK ? rc : ip("-n %s link set eth0 up", name);
}

static int make_all(const struct netns *n)
{
    char address[64];
    address_text(n, 254, address);
    int rc = ip("link add syb%u type bridge", n->pid);
    rc = rc != OK ? rc : ip("addr add %s/24 dev syb%u", address, n->pid);
    rc = rc != OK ? rc : ip("link set syb%u up", n->pid);
    for (uint32_t i = 1; i <= n->nodes && rc == OK; i++) {
        rc = make_node(n, i);
    }
    return rc;
}

/* ---- The layer */

static uint64_t now_us(void)
{
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail */
    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static void netns_address(struct link_layer *l, uint32_t from, uint32_t to, char host[64],
                          uint16_t *ret_port)
{
    const struct netns *n = netns_of(l);
    (void) from; /* all in one network */
    address_text(n, to, host);
    *ret_port = n->ports[to - 1];
}

static int netns_set(struct link_layer *l, uint32_t from, uint32_t to,
                     const struct link_state *state)
{
    struct netns *n = netns_of(l);
    char address[64];
    ASSERT(from >= 1);
    ASSERT(from <= n->nodes);
    ASSERT(to >= 1);
    ASSERT(to <= n->nodes);
    bool *cut = &n->cut[from - 1][to - 1];
    if (state->delay.max > 0 || state->loss_permyriad > 0 || state->rate > 0 ||
        state->clog_until_us > now_us()) {
        return ERR_UNSUPPORTED;
    }
    if (*cut == state->cut) {
        return OK;
    }
    address_text(n, to, address);
    if (ip("-n %s route %s blackhole %s/32", n->names[from - 1], state->cut ? "add" : "del",
           address) != OK) {
        return ERR_IO;
    }
    *cut = state->cut;
    return OK;
}

static void netns_stats(struct link_layer *l, uint32_t from, uint32_t to,
                        struct link_stats *ret_stats)
{
    (void) l;
    (void) from;
    (void) to;
    *ret_stats = (struct link_stats){0};
}

static void netns_free(struct netns *n)
{
    remove_all(n);
    keeper_free(n->keeper);
    free(n);
}

/* The layer has no handles of a loop. */
static void netns_close(struct link_layer *l, void (*on_closed)(void *ctx), void *ctx)
{
    netns_free(netns_of(l));
    if (on_closed != NULL) {
        on_closed(ctx);
    }
}

static const struct link_ops netns_ops = {
    .name = "netns",
    .address = netns_address,
    .set = netns_set,
    .stats = netns_stats,
    .close = netns_close,
};

int netns_new(uint32_t nodes, const uint16_t *peer_ports, struct link_layer **ret_layer,
              struct buf *error)
{
    ASSERT(nodes >= 1);
    ASSERT(nodes <= SIM_NODES_MAX);
    int rc = netns_available(error);
    if (rc != OK) {
        return rc;
    }
    struct netns *n = xcalloc(1, sizeof *n);
    n->layer.ops = &netns_ops;
    n->nodes = nodes;
    n->pid = (uint32_t) getpid();
    n->subnet = n->pid % SUBNETS;
    memcpy(n->ports, peer_ports, nodes * sizeof *peer_ports);
    for (uint32_t i = 0; i < nodes; i++) {
        (void) snprintf(n->names[i], NAME_MAX_SIZE, "synod-%u-%u", n->pid, i + 1);
        (void) snprintf(n->enters[i], ENTER_MAX_SIZE, "--net=/var/run/netns/%s", n->names[i]);
    }
    for (uint32_t i = 0; i < SUBNETS && !subnet_is_free(n->subnet); i++) {
        n->subnet = (n->subnet + 1) % SUBNETS;
    }
    rc = keeper_new(remove_all, n, &n->keeper);
    rc = rc != OK ? rc : make_all(n);
    if (rc != OK) {
        ERR_IGNORE(buf_printf(error, "cannot make network namespaces, bridges or veth devices"));
        netns_free(n);
        return rc;
    }
    *ret_layer = &n->layer;
    return OK;
}

void netns_node(const struct link_layer *l, uint32_t node, char host[64], const char *ret_prefix[5])
{
    const struct netns *n = netns_of(l);
    ASSERT(node >= 1);
    ASSERT(node <= n->nodes);
    address_text(n, node, host);
    ret_prefix[0] = "nsenter";
    ret_prefix[1] = n->enters[node - 1];
    ret_prefix[2] = NULL;
}

/*
 * netns.h - links as network namespaces: each node in one of its own, joined by a bridge.
 *
 * Needs root, iproute2 and nsenter. A cut of i -> j is a blackhole route in i's namespace, so
 * connections see what they would see of a real one: silence, then time-outs. As with a real one, a
 * cut of one direction stalls the other too: what j sends to i arrives, but i's acknowledgements
 * are lost. (The proxy cuts messages instead, as the simulator does.) Delay, loss, rate and clogs
 * are the proxy's: set() says ERR_UNSUPPORTED to them. The layer does not see bytes: all its counts
 * are zero. The clients stay in the host's namespace and reach all nodes by the bridge. Also when
 * the process is killed, no namespace is left behind.
 */
#ifndef SYNOD_TESTS_REAL_NETNS_H
#define SYNOD_TESTS_REAL_NETNS_H

#include "tests/real/link.h"

/* Can it be used here? Errors: ERR_UNSUPPORTED with a line that says what is missing. */
MUST_USE int netns_available(struct buf *error);

/* Makes bridge and namespaces with names of this process (synod-PID-N), so one at a time.
 * peer_ports as in proxy_options. close() does its work and calls on_closed before it returns; no
 * process may be left in the namespaces. Errors: ERR_UNSUPPORTED, ERR_IO, with a line; nothing is
 * left behind. */
MUST_USE int netns_new(uint32_t nodes, const uint16_t *peer_ports, struct link_layer **ret_layer,
                       struct buf *error);

/* The address of a node, for its listeners and for clients; and what to put before its command so
 * that it runs in its namespace: {"nsenter", "--net=...", NULL}, valid as long as l. Not `ip netns
 * exec`, which also copies all mounts: a disk that is unmounted would live on in that copy. */
void netns_node(const struct link_layer *l, uint32_t node, char host[64],
                const char *ret_prefix[5]);

#endif

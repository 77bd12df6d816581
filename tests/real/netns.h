/*
 * netns.h - links as network namespaces: each node in one of its own, joined by a bridge.
 *
 * Needs root and iproute2. Cuts are blackhole routes in the sender's namespace, so a connection
 * sees what it would see of a real cut: silence, then time-outs. Delay, loss and rate need the
 * kernel's netem and tbf; without, set() says ERR_UNSUPPORTED. The clients stay in the host's
 * namespace and reach all nodes by the bridge.
 */
#ifndef SYNOD_TESTS_REAL_NETNS_H
#define SYNOD_TESTS_REAL_NETNS_H

#include "tests/real/link.h"

/* Can it be used here? Errors: ERR_UNSUPPORTED with a line that says what is missing. */
MUST_USE int netns_available(struct buf *error);

/* Makes bridge and namespaces with names of this process (synod-PID-N). peer_ports as in
 * proxy_options. Errors: ERR_UNSUPPORTED, ERR_IO, with a line; nothing is left behind. */
MUST_USE int netns_new(uint32_t nodes, const uint16_t *peer_ports, struct link_layer **ret_layer,
                       struct buf *error);

/* The address of a node, for its listeners and for clients; and what to put before its command so
 * that it runs in its namespace: {"ip", "netns", "exec", name}. */
void netns_node(const struct link_layer *l, uint32_t node, char host[64],
                const char *ret_prefix[5]);

#endif

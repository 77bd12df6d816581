/*
 * proxy.h - all directed links of a cluster as one user-space proxy on a libuv loop.
 *
 * A listener on 127.0.0.1 for each ordered pair (from, to): node `from` is configured to dial it
 * instead of node `to`. Nodes send on the connections they open and only there
 * (net/transport.h), so the bytes of a direction are those from the dialling end; the other way
 * carries nothing but the end of a connection. Bytes waiting in the proxy are bounded: beyond
 * PROXY_HELD_MAX a link reads no more, as a full window does.
 */
#ifndef SYNOD_TESTS_REAL_PROXY_H
#define SYNOD_TESTS_REAL_PROXY_H

#include "tests/real/link.h"

struct uv_loop_s;

enum { PROXY_HELD_MAX = 4 << 20 };

struct proxy_options {
    uint32_t nodes;
    const uint16_t *peer_ports; /* by node - 1: where the nodes listen, on 127.0.0.1 */
    uint64_t seed;              /* of delays and losses */
};

/*
 * While a direction is cut, connections are accepted and held, nothing is read from them and the
 * other node is not dialled; what waits in the proxy is lost, and so is the end of a connection.
 * When the cut ends, all connections of that time are reset, and both nodes make new ones: messages
 * of the cut are lost and later ones arrive soon, as in the simulator. When the far node is down,
 * the dialling side is accepted and reset at once.
 *
 * `error` is not NULL here. What a failed call has to close is closed by the next turns of the
 * loop. Errors: ERR_ADDRESS_IN_USE, ERR_IO, with a line.
 */
MUST_USE int proxy_new(struct uv_loop_s *loop, const struct proxy_options *options,
                       struct link_layer **ret_layer, struct buf *error);

#endif

/*
 * quorum.h - who the voters are, and whether a set of them is a quorum.
 *
 * Sets are bitmaps over ranks (position of a node in the ascending list of member ids), so counting
 * is popcount. Membership change will add a second (joint) configuration here and nowhere else.
 */
#ifndef SYNOD_CONSENSUS_QUORUM_H
#define SYNOD_CONSENSUS_QUORUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "consensus/message.h"

struct membership {
    uint32_t count;
    uint32_t ids[NODES_MAX]; /* ascending, distinct, 1..NODE_ID_MAX */
};

/* Sorts and checks. Errors: ERR_INVALID (none, too many, zero, too large or double id). */
MUST_USE int membership_init(struct membership *m, const uint32_t *ids, uint32_t count);

/* Rank of a member, or -1 when the node is not one. */
int membership_rank(const struct membership *m, uint32_t node);

uint32_t quorum_size(const struct membership *m); /* majority: count / 2 + 1 */
bool quorum_reached(const struct membership *m, uint64_t set);

/* The largest value that a quorum has reached: `values` by rank (match indexes). Raft 5.3, 5.4. */
uint64_t quorum_index(const struct membership *m, const uint64_t *values);

#endif

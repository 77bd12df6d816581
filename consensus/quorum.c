/*
 * quorum.c - majorities.
 */

#include "consensus/quorum.h"

#include "base/assert.h"

int membership_init(struct membership *m, const uint32_t *ids, uint32_t count)
{
    if (count == 0 || count > NODES_MAX) {
        return ERR_INVALID;
    }
    struct membership sorted = {.count = count};
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == 0 || ids[i] > NODE_ID_MAX) {
            return ERR_INVALID;
        }
        uint32_t at = i;
        while (at > 0 && sorted.ids[at - 1] > ids[i]) {
            sorted.ids[at] = sorted.ids[at - 1];
            at--;
        }
        if (at > 0 && sorted.ids[at - 1] == ids[i]) {
            return ERR_INVALID;
        }
        sorted.ids[at] = ids[i];
    }
    *m = sorted;
    return OK;
}

int membership_rank(const struct membership *m, uint32_t node)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->ids[i] == node) {
            return (int) i;
        }
    }
    return -1;
}

uint32_t quorum_size(const struct membership *m)
{
    ASSERT(m->count > 0);
    return m->count / 2 + 1;
}

bool quorum_reached(const struct membership *m, uint64_t set)
{
    uint64_t all = m->count == 64 ? UINT64_MAX : (UINT64_C(1) << m->count) - 1;
    return (uint32_t) __builtin_popcountll(set & all) >= quorum_size(m);
}

uint64_t quorum_index(const struct membership *m, const uint64_t *values)
{
    uint64_t sorted[NODES_MAX]; /* descending */
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t at = i;
        while (at > 0 && sorted[at - 1] < values[i]) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = values[i];
    }
    /* The quorum-th largest: exactly a quorum has reached it. */
    return sorted[quorum_size(m) - 1];
}

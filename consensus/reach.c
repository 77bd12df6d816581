/*
 * reach.c - working links. See reach.h.
 */
#include "consensus/reach.h"

#include "base/assert.h"
#include "base/mem.h"

void reach_note(struct reach *r, const struct engine *e, const struct message *m)
{
    int rank = membership_rank(&e->options.members, m->from);
    ASSERT(rank >= 0);
    r->seen[rank] = m->seen;
}

bool reach_heard(const struct engine *e, uint32_t rank)
{
    return (engine_heard(e, e->options.election_us) & (UINT64_C(1) << rank)) != 0;
}

bool reach_quorum(const struct reach *r, const struct engine *e)
{
    uint64_t self = UINT64_C(1) << e->self_rank;
    uint64_t set = engine_heard(e, e->options.election_us);
    for (uint32_t i = 0; i < e->options.members.count; i++) {
        if ((int) i != e->self_rank && (r->seen[i] & self) == 0) {
            set &= ~(UINT64_C(1) << i);
        }
    }
    return quorum_reached(&e->options.members, set);
}

/* Links of the member with this rank that work both ways, as far as we know: of a node that we do
 * not hear, its own word is old, and that of the other end counts alone. */
static uint64_t working_links(const uint64_t *seen, const struct engine *e, uint32_t rank)
{
    uint64_t heard = engine_heard(e, e->options.election_us);
    uint64_t bit = UINT64_C(1) << rank;
    bool self = (int) rank == e->self_rank;
    uint64_t set = self ? heard : seen[rank];
    for (uint32_t i = 0; i < e->options.members.count; i++) {
        uint64_t other = UINT64_C(1) << i;
        if (i == rank || (set & other) == 0) {
            continue;
        }
        bool known = (int) i == e->self_rank || (heard & other) != 0;
        uint64_t hears = (int) i == e->self_rank ? heard : seen[i];
        if (known && (hears & bit) == 0) {
            set &= ~other;
        }
    }
    return set | bit;
}

uint32_t reach_proxy(const struct reach *r, const struct engine *e)
{
    const struct membership *members = &e->options.members;
    uint64_t mine = working_links(r->seen, e, (uint32_t) e->self_rank);
    for (uint32_t i = 0; i < members->count; i++) {
        if ((int) i != e->self_rank && (mine & UINT64_C(1) << i) != 0 &&
            quorum_reached(members, working_links(r->seen, e, i))) {
            return members->ids[i];
        }
    }
    return 0;
}

uint32_t reach_hub(struct hub_watch *w, const uint64_t *seen, const struct engine *e)
{
    uint64_t mine = working_links(seen, e, (uint32_t) e->self_rank);
    uint64_t election_us = e->options.election_us;
    uint32_t hub = 0;
    for (uint32_t i = 0; i < e->options.members.count; i++) {
        if ((int) i == e->self_rank || (mine & UINT64_C(1) << i) == 0) {
            continue;
        }
        uint64_t theirs = working_links(seen, e, i);
        if ((mine & ~theirs) == 0 && theirs != mine) {
            hub = e->options.members.ids[i];
        }
    }
    if (hub == 0) {
        w->since_us = 0;
        return 0;
    }
    if (w->since_us == 0) {
        w->since_us = u64_max(e->now_us, 1);
    }
    bool lasting = e->now_us - w->since_us >= 2 * election_us;
    bool rested = w->moved_us == 0 || e->now_us - w->moved_us >= 10 * election_us;
    if (!lasting || !rested) {
        return 0;
    }
    w->moved_us = e->now_us;
    return hub;
}

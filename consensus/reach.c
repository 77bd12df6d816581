/*
 * reach.c - working links. See reach.h.
 */
#include "consensus/reach.h"

#include "base/assert.h"

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

/*
 * replica_gossip.c - what nodes tell each other about their state machines, and what follows: how
 * far the log may be dropped, and whether two states differ.
 *
 * Gossip carries the sender's applied and durable index and the state hash at its applied index. It
 * is not part of any protocol: losing it costs time only.
 */
#include <inttypes.h>

#include "base/assert.h"
#include "base/diag.h"
#include "base/mem.h"
#include "kv/replica_internal.h"

enum { HASH_MASK = HASH_RING_SIZE - 1 };

void replica_gossip_init(struct replica *r)
{
    const struct membership *members = &r->options.consensus.members;
    uint64_t applied = mvcc_applied(r->mvcc);
    for (uint32_t i = 0; i < members->count; i++) {
        r->peers[i].id = members->ids[i];
    }
    r->durable = mvcc_durable(r->mvcc);
    r->hash_first = applied;
    r->hashes[applied & HASH_MASK] = mvcc_hash(r->mvcc);
    r->trim_step = r->options.trim_keep / 8 + 1;
}

void replica_gossip_send(struct replica *r)
{
    const struct membership *members = &r->options.consensus.members;
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->ids[i] == r->self) {
            continue;
        }
        struct message *m = replica_message(r, MSG_REPLICA_GOSSIP, members->ids[i]);
        m->applied = mvcc_applied(r->mvcc);
        m->durable = r->durable;
        m->revision = (uint64_t) mvcc_revision(r->mvcc);
        m->hash_index = m->applied;
        m->hash = r->hashes[m->applied & HASH_MASK];
        replica_send(r, m);
    }
}

/* Compares a peer's hash with ours at the same index. */
static int hash_check(struct replica *r, const struct peer *peer, uint64_t index, uint64_t hash)
{
    uint64_t ours = r->hashes[index & HASH_MASK];
    if (ours == hash) {
        replica_mark(r, MARK_REPLICA_HASH_COMPARED);
        return OK;
    }
    DIAG_ERROR("node %u: state diverged: at index %" PRIu64 " the state hash here is %016" PRIx64
               ", at node %u it is %016" PRIx64
               "; this node stops; find out which of the two agrees with the others, remove the "
               "data of the other and let it join anew",
               (unsigned) r->self, index, ours, (unsigned) peer->id, hash);
    r->fatal = ERR_DIVERGED;
    return ERR_DIVERGED;
}

int replica_gossip_receive(struct replica *r, struct peer *peer, const struct message *m)
{
    uint64_t applied = mvcc_applied(r->mvcc);
    peer->heard = true;
    peer->applied = m->applied;
    peer->durable = m->durable;
    if (m->hash_index > applied) {
        if (peer->pending_index <= applied) { /* keep an older one until we get there */
            peer->pending_index = m->hash_index;
            peer->pending_hash = m->hash;
        }
        return OK;
    }
    if (m->hash_index < r->hash_first || m->hash_index + HASH_RING_SIZE <= applied) {
        return OK; /* too long ago to know */
    }
    return hash_check(r, peer, m->hash_index, m->hash);
}

/* Remembers positions that the log may be cut at later: the epoch of an old entry may not be in
 * memory then. When there are too many, every second one goes. */
static void trim_mark(struct replica *r, struct log_pos pos)
{
    uint64_t last = log_trimmed(r->log).index;
    if (r->trim_marks_count > 0) {
        last = r->trim_marks[r->trim_marks_count - 1].index;
    }
    if (pos.index < last + r->trim_step) {
        return;
    }
    if (r->trim_marks_count == TRIM_MARKS_MAX) {
        r->trim_marks_count = TRIM_MARKS_MAX / 2;
        for (uint32_t i = 0; i < r->trim_marks_count; i++) {
            r->trim_marks[i] = r->trim_marks[2 * i + 1];
        }
        r->trim_step *= 2;
    }
    r->trim_marks[r->trim_marks_count++] = pos;
}

int replica_gossip_applied(struct replica *r, struct log_pos pos)
{
    r->hashes[pos.index & HASH_MASK] = mvcc_hash(r->mvcc);
    r->hash_first = u64_max(r->hash_first, pos.index < HASH_MASK ? 0 : pos.index - HASH_MASK);
    trim_mark(r, pos);
    for (uint32_t i = 0; i < r->options.consensus.members.count; i++) {
        struct peer *peer = &r->peers[i];
        if (peer->pending_index == pos.index) {
            int err = hash_check(r, peer, pos.index, peer->pending_hash);
            if (err != OK) {
                return err;
            }
        }
    }
    return OK;
}

/* Up to where every member's state is durable, less what is kept; 0 when not everyone was heard. */
static uint64_t trim_target(const struct replica *r)
{
    uint64_t target = r->durable;
    for (uint32_t i = 0; i < r->options.consensus.members.count; i++) {
        const struct peer *peer = &r->peers[i];
        if (peer->id == r->self) {
            continue;
        }
        if (!peer->heard) {
            return 0;
        }
        target = u64_min(target, peer->durable);
    }
    return target > r->options.trim_keep ? target - r->options.trim_keep : 0;
}

void replica_trim(struct replica *r)
{
    if (r->trim_under_way != 0 || r->trim_marks_count == 0) {
        return;
    }
    uint64_t target = trim_target(r);
    uint32_t passed = 0;
    while (passed < r->trim_marks_count && r->trim_marks[passed].index <= target) {
        passed++;
    }
    if (passed == 0) {
        return;
    }
    r->out_trim = r->trim_marks[passed - 1];
    r->trim_under_way = r->out_trim.index;
    r->trim_marks_count -= passed;
    for (uint32_t i = 0; i < r->trim_marks_count; i++) {
        r->trim_marks[i] = r->trim_marks[passed + i];
    }
}

void replica_log_trimmed(struct replica *r, struct log_pos pos)
{
    ASSERT(pos.index == r->trim_under_way);
    r->trim_under_way = 0;
    replica_mark(r, MARK_REPLICA_TRIMMED);
    log_trim(r->log, pos);
    r->dirty = true;
}

/*
 * replica_message.c - messages out, held until what they promise is durable, and messages in.
 *
 * Not here: bytes (proto/wire_peer) and what the engine's messages mean.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/replica_internal.h"

void replica_trace(const struct replica *r, struct trace_event event)
{
    const struct trace_sink *sink = &r->options.consensus.trace;
    if (sink->emit == NULL) {
        return;
    }
    event.time_us = r->now_us;
    event.node = r->self;
    event.engine = engine_number(r->options.engine);
    sink->emit(sink->ctx, &event);
}

void replica_mark(const struct replica *r, enum mark mark)
{
    if (r->options.consensus.trace.emit != NULL) {
        replica_trace(r, mark_event(mark));
    }
}

static void trace_message(const struct replica *r, uint8_t kind, const struct message *m,
                          const char *note)
{
    if (r->options.consensus.trace.emit != NULL) {
        uint32_t count = m->entries_count;
        replica_trace(r, (struct trace_event){.kind = kind,
                                              .message = m->type,
                                              .from = m->from,
                                              .to = m->to,
                                              .epoch = m->epoch,
                                              .index = m->pos.index,
                                              .last = count > 0 ? m->entries[count - 1].index : 0,
                                              .note = note});
    }
}

struct message *replica_message(const struct replica *r, enum message_type type, uint32_t to)
{
    struct message *m = message_new(type, to);
    m->from = r->self;
    m->engine = engine_number(r->options.engine);
    return m;
}

/* D9: before a peer was heard in this life it may know of a vote, promise or name that this node's
 * disk has forgotten, so nothing that could contradict it goes there. Gossip makes it speak. */
static bool acquainted(const struct replica *r, uint32_t peer)
{
    int rank = membership_rank(&r->options.consensus.members, peer);
    return rank >= 0 && r->peers[rank].heard_us != 0;
}

void replica_send(struct replica *r, struct message *m)
{
    if (m->to == r->self) {
        list_push_back(&r->loop, &m->node);
        return;
    }
    if (m->type != MSG_REPLICA_GOSSIP && !acquainted(r, m->to)) {
        trace_message(r, TRACE_DROP, m, "the receiver was not heard yet");
        message_free(m);
        return;
    }
    trace_message(r, TRACE_SEND, m, NULL);
    list_push_back(&r->out_messages, &m->node);
}

/* R6, P14: what promises something waits until the write that makes it true is durable. */
void replica_hold(struct replica *r, struct list *messages, uint64_t write)
{
    uint64_t count = 0;
    struct list_node *node;
    while ((node = list_pop_front(messages)) != NULL) {
        list_push_back(&r->held, node);
        count++;
    }
    if (count == 0) {
        return;
    }
    if (r->holds_count == r->holds_capacity) {
        uint32_t capacity = r->holds_capacity == 0 ? 64 : r->holds_capacity * 2;
        struct hold *holds = xcalloc(capacity, sizeof *holds);
        for (uint32_t i = 0; i < r->holds_count; i++) {
            holds[i] = r->holds[(r->holds_head + i) % r->holds_capacity];
        }
        free(r->holds);
        r->holds = holds;
        r->holds_head = 0;
        r->holds_capacity = capacity;
    }
    uint32_t at = (r->holds_head + r->holds_count) % r->holds_capacity;
    r->holds[at] = (struct hold){.write = write, .count = count};
    r->holds_count++;
}

void replica_hold_release(struct replica *r)
{
    while (r->holds_count > 0 && r->holds[r->holds_head].write <= r->stored) {
        for (uint64_t i = 0; i < r->holds[r->holds_head].count; i++) {
            struct list_node *node = list_pop_front(&r->held);
            replica_send(r, list_entry(node, struct message, node));
        }
        r->holds_head = (r->holds_head + 1) % r->holds_capacity;
        r->holds_count--;
    }
}

/* Why a message is not for this node at all, or NULL. */
static const char *foreign(const struct replica *r, const struct message *m,
                           const struct envelope *envelope)
{
    int rank = membership_rank(&r->options.consensus.members, m->from);
    if (envelope->cluster_id != r->options.cluster_id) {
        replica_mark(r, MARK_REPLICA_STRAY_CLUSTER);
        return "another cluster";
    }
    if (rank < 0 || m->from == r->self) {
        return "not a member";
    }
    if (m->to != r->self) {
        return "another receiver";
    }
    if (m->engine != engine_number(r->options.engine)) {
        return "another engine";
    }
    return NULL;
}

/* Why a message is not for this life, or not of the sender's newest one, or NULL. */
static const char *outlived(const struct replica *r, const struct peer *peer,
                            const struct envelope *envelope)
{
    if (envelope->to_incarnation != 0 && envelope->to_incarnation != r->options.incarnation) {
        replica_mark(r, MARK_REPLICA_STRAY_FOR_EARLIER_LIFE);
        return "for another life of this node";
    }
    if (envelope->from_incarnation < peer->incarnation) {
        replica_mark(r, MARK_REPLICA_STRAY_OF_EARLIER_LIFE);
        return "from an earlier life of the sender";
    }
    return NULL;
}

/* How many writes are durable here, as far as this peer is told (R6). Before it was heard, only
 * those of earlier lives, so that what it then says it has seen cannot be of this one. */
static uint64_t told(const struct replica *r, const struct peer *peer)
{
    return peer->heard_us == 0 ? r->written : r->written + r->stored;
}

/* D9: has this node told the sender of writes, or of a start, that its disk no longer has? What was
 * told was durable, so only an older copy of the disk, or one that lied about a sync, can be
 * behind it. */
static bool stale(const struct replica *r, const struct peer *peer, const struct envelope *envelope)
{
    return envelope->to_seen > told(r, peer) || envelope->to_incarnation > r->options.incarnation;
}

void replica_stray(struct replica *r, const struct message *m, const char *why)
{
    r->strays++;
    trace_message(r, TRACE_DROP, m, why);
}

int replica_receive(struct replica *r, const struct message *m, const struct envelope *envelope)
{
    ASSERT(r->ticked);
    if (r->fatal != OK) {
        return r->fatal;
    }
    const char *why = foreign(r, m, envelope);
    if (why != NULL) {
        replica_stray(r, m, why);
        return OK;
    }
    struct peer *peer = &r->peers[membership_rank(&r->options.consensus.members, m->from)];
    if (stale(r, peer, envelope)) {
        replica_mark(r, MARK_REPLICA_STALE);
        r->fatal = ERR_STALE;
        return ERR_STALE;
    }
    peer->seen = u64_max(peer->seen, envelope->from_written);
    why = outlived(r, peer, envelope);
    if (why != NULL) {
        replica_stray(r, m, why);
        return OK;
    }
    trace_message(r, TRACE_RECEIVE, m, NULL);
    peer->incarnation = envelope->from_incarnation;
    peer->heard_us = u64_max(r->now_us, 1);
    r->dirty = true;
    switch (m->type) {
    case MSG_REPLICA_FORWARD:
        replica_forward_receive(r, m);
        break;
    case MSG_REPLICA_FORWARD_REPLY:
        replica_forward_reply_receive(r, m);
        break;
    case MSG_REPLICA_GOSSIP:
        return replica_gossip_receive(r, peer, m);
    default:
        if (consensus_step(r->consensus, m) != OK) {
            replica_stray(r, m, "refused by the engine");
        }
        break;
    }
    return OK;
}

void replica_peer_up(struct replica *r, uint32_t peer, uint64_t incarnation)
{
    int rank = membership_rank(&r->options.consensus.members, peer);
    if (rank < 0) {
        return;
    }
    struct peer *p = &r->peers[rank];
    p->incarnation = u64_max(p->incarnation, incarnation);
    if (p->heard_us == 0) {
        r->gossip_at_us = r->now_us; /* the sooner it speaks, the sooner it is spoken to */
    }
}

struct envelope replica_envelope(const struct replica *r, uint32_t to)
{
    int rank = membership_rank(&r->options.consensus.members, to);
    struct envelope envelope = {
        .cluster_id = r->options.cluster_id,
        .from_incarnation = r->options.incarnation,
    };
    if (rank >= 0) {
        envelope.to_incarnation = r->peers[rank].incarnation;
        envelope.from_written = told(r, &r->peers[rank]);
        envelope.to_seen = r->peers[rank].seen;
    }
    return envelope;
}

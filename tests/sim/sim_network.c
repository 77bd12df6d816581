/*
 * sim_network.c - links between nodes: what is sent is lost, delayed, doubled, overtaken.
 *
 * A link is one direction between two nodes. Connections are as in net/transport: a node that
 * starts shakes hands with each peer it can reach in both directions, and so does a pair that was
 * cut off from each other when the cut ends; without that the receiver's incarnation is not known.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/frame.h"
#include "proto/wire_peer.h"
#include "tests/sim/sim_internal.h"

enum { STRAYS_ONE_IN = 5000 };

/* As peer_queue_bytes_max of a node's configuration has it. */
#define QUEUE_BYTES_MAX (UINT64_C(64) << 20)

void sim_flight_free(struct flight *flight)
{
    if (flight == NULL) {
        return;
    }
    blob_unref(flight->wire);
    message_free(flight->message);
    free(flight);
}

static struct blob *encode(struct sim *sim, const struct message *m,
                           const struct envelope *envelope)
{
    struct buf *head = &sim->head;
    buf_clear(head);
    int err = wire_peer_encode(m, envelope, head);
    ASSERT(err == OK);
    struct blob *body = blob_new(head->size + m->bytes);
    ASSERT(FRAME_HEADER_SIZE + body->size == sim_wire_size(m, envelope));
    memcpy(body->data, head->data, head->size);
    size_t at = head->size;
    for (uint32_t i = 0; i < m->entries_count; i++) {
        struct bytes bytes = m->entries[i].value->bytes;
        if (bytes.size > 0) {
            memcpy(body->data + at, bytes.data, bytes.size);
        }
        at += bytes.size;
    }
    ASSERT(at == body->size);
    return body;
}

static uint64_t draw(struct rng *rng, struct sim_span span)
{
    return rng_between(rng, span.min, span.max);
}

/* A link of so many bytes a second is busy with each message in turn. False: more wait than a
 * node keeps for a peer, and this one is dropped. */
static bool take_turn(struct sim *sim, struct link *link, uint64_t bytes)
{
    if (!link->quality || link->rate == 0) {
        link->free_us = 0;
        return true;
    }
    uint64_t begin = u64_max(link->free_us, sim->now_us);
    if ((begin - sim->now_us) / 1000000 * link->rate > QUEUE_BYTES_MAX) {
        return false;
    }
    link->free_us = begin + (bytes * 1000000 + link->rate - 1) / link->rate;
    return true;
}

/* Plans the arrival of one copy; `flight` is taken. Returns when. */
static uint64_t deliver_later(struct sim *sim, struct link *link, uint32_t to,
                              struct flight *flight)
{
    uint64_t delay = draw(&sim->network_rng, link->quality ? link->delay : sim->scenario->delay);
    uint64_t at = u64_max(sim->now_us, link->free_us) + delay;
    if (link->clogged_until_us > sim->now_us) {
        at = link->clogged_until_us + delay;
        sim_count(sim, COUNT_CLOGGED);
    }
    if (at < link->arrival_us) {
        sim_count(sim, COUNT_REORDERED);
    }
    link->arrival_us = u64_max(link->arrival_us, at);
    sim_push(sim,
             (struct event){.time_us = at, .kind = EVENT_MESSAGE, .node = to, .object = flight});
    return at;
}

static struct flight *flight_new(struct sim *sim, const struct message *m,
                                 const struct envelope *envelope)
{
    struct flight *flight = xcalloc(1, sizeof *flight);
    flight->envelope = *envelope;
    if (sim->scenario->options[OPTION_WIRE] != 0) {
        flight->wire = encode(sim, m, envelope);
    } else {
        flight->message = message_copy(m);
    }
    return flight;
}

/* The same from a cluster that has nothing to do here. */
static void send_stray(struct sim *sim, const struct message *m, struct envelope envelope)
{
    envelope.cluster_id++;
    ERR_IGNORE((int) deliver_later(sim, &sim->links[m->from][m->to], m->to,
                                   flight_new(sim, m, &envelope)));
}

void sim_network_post(struct sim *sim, struct node *n, struct message *m)
{
    struct link *link = &sim->links[n->id][m->to];
    uint32_t loss = link->quality ? link->loss_permyriad : sim->scenario->loss_permyriad;
    uint32_t twice = link->quality ? link->duplicate_permyriad : sim->scenario->duplicate_permyriad;
    uint64_t at = 0;
    const struct envelope envelope = replica_envelope(n->replica, m->to);
    uint64_t bytes = sim_wire_size(m, &envelope);
    sim_count(sim, COUNT_MESSAGES);
    sim->result->counts[COUNT_BYTES] += bytes;
    observer_send(sim->observer, n->id, m);
    if (link->cut) {
        sim_count(sim, COUNT_CUT_OFF);
    } else if (!take_turn(sim, link, bytes)) {
        sim_count(sim, COUNT_DROPPED);
    } else if (loss != 0 && rng_chance(&sim->network_rng, loss, 10000)) {
        sim_count(sim, COUNT_DROPPED);
    } else {
        if (twice != 0 && rng_chance(&sim->network_rng, twice, 10000)) {
            sim_count(sim, COUNT_DUPLICATED);
            ERR_IGNORE((int) deliver_later(sim, link, m->to, flight_new(sim, m, &envelope)));
        }
        at = deliver_later(sim, link, m->to, flight_new(sim, m, &envelope));
        if (rng_chance(&sim->network_rng, 1, STRAYS_ONE_IN)) {
            send_stray(sim, m, envelope);
        }
    }
    if (sim->hooks->message != NULL) {
        sim->hooks->message(sim->hooks->message_ctx, m, sim->now_us, at);
    }
    message_free(m);
}

void sim_network_arrive(struct sim *sim, struct node *n, struct flight *flight)
{
    struct message *m = flight->message;
    struct envelope envelope = flight->envelope;
    int err = OK;
    if (flight->wire != NULL) {
        arena_reset(&sim->arena);
        err = wire_peer_decode(flight->wire, &sim->arena, &m, &envelope);
        if (err != OK) {
            sim_fail(sim, "", "a message to node %u does not decode: %s", n->id, err_name(err));
            return;
        }
    }
    sim_node_enter(sim, n);
    err = replica_receive(n->replica, m, &envelope);
    if (flight->wire != NULL) {
        message_free(m);
    }
    if (err != OK) {
        sim_node_fatal(sim, n, err, "a message");
        return;
    }
    sim_node_leave(sim, n);
}

/* Connections. */

static void shake_hands(struct sim *sim, struct node *a, struct node *b)
{
    uint64_t lives = b->life << 32 | a->life;
    if (sim->links[a->id][b->id].greeted == lives) {
        return;
    }
    sim->links[a->id][b->id].greeted = lives;
    replica_peer_up(a->replica, b->id, b->incarnation);
    replica_peer_up(b->replica, a->id, a->incarnation);
}

void sim_network_greet(struct sim *sim)
{
    for (uint32_t a = 1; a <= sim->scenario->nodes; a++) {
        for (uint32_t b = a + 1; b <= sim->scenario->nodes; b++) {
            struct node *first = &sim->nodes[a];
            struct node *second = &sim->nodes[b];
            bool cut = sim->links[a][b].cut || sim->links[b][a].cut;
            if (!cut && first->replica != NULL && second->replica != NULL) {
                shake_hands(sim, first, second);
            }
        }
    }
}

void sim_network_cut(struct sim *sim, uint32_t from, uint32_t to)
{
    sim->links[from][to].cut = true;
}

/* Ends everything that is wrong with a link. What was held still arrives when it was going to. */
void sim_network_join(struct sim *sim, uint32_t from, uint32_t to)
{
    struct link *link = &sim->links[from][to];
    link->cut = false;
    link->quality = false;
    link->clogged_until_us = 0;
}

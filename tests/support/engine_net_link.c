/*
 * engine_net_link.c - both ends of a node's link, when it has a rate.
 *
 * Out: a queue for each destination, served in turn, one message at a time, as a network card
 * serves connections that share it fairly. In: one message at a time, in the order in which they
 * left.
 */

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/support/engine_net_internal.h"

void net_link_init(struct net_node *n)
{
    for (uint32_t i = 0; i <= ENGINE_NET_NODES_MAX; i++) {
        list_init(&n->out[i]);
    }
}

void net_link_release(struct net_node *n)
{
    for (uint32_t i = 0; i <= ENGINE_NET_NODES_MAX; i++) {
        struct list_node *node;
        while ((node = list_pop_front(&n->out[i])) != NULL) {
            struct packet *p = list_entry(node, struct packet, node);
            message_free(p->message);
            free(p);
        }
    }
    n->out_count = 0;
    n->out_free_us = 0;
    n->in_free_us = 0;
}

/* The destination whose turn it is. */
static uint32_t next_of(const struct net_node *n)
{
    ASSERT(n->out_count > 0);
    uint32_t to = n->out_last;
    do {
        to = to == ENGINE_NET_NODES_MAX ? 0 : to + 1;
    } while (list_empty(&n->out[to]));
    return to;
}

uint64_t net_link_due(const struct net_node *n)
{
    return n->out_count == 0 ? UINT64_MAX : n->out_free_us;
}

void net_link_turn(struct engine_net *net, struct net_node *n)
{
    while (n->out_count > 0 && n->out_free_us <= net->now_us) {
        uint32_t to = next_of(n);
        struct packet *p = list_entry(list_pop_front(&n->out[to]), struct packet, node);
        struct net_node *receiver = net->nodes[to];
        uint64_t takes_us = engine_net_message_size(p->message) * 1000000 / net->options.link_rate;
        n->out_count--;
        n->out_last = to;
        n->out_free_us = net->now_us + takes_us;
        /* It begins to arrive when it has begun to leave, and the link is free. */
        receiver->in_free_us = u64_max(net->now_us + p->delay_us, receiver->in_free_us) + takes_us;
        p->at_us = receiver->in_free_us;
        list_push_back(&net->packets, &p->node);
    }
}

void net_link_give(struct engine_net *net, struct packet *p)
{
    struct net_node *n = net->nodes[p->message->from];
    list_push_back(&n->out[p->message->to], &p->node);
    n->out_count++;
    net_link_turn(net, n);
}

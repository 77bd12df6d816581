/*
 * engine_net_internal.h - what engine_net.c (the loop) and engine_net_nodes.c (nodes, faults,
 * looking) share.
 */
#ifndef SYNOD_TESTS_SUPPORT_ENGINE_NET_INTERNAL_H
#define SYNOD_TESTS_SUPPORT_ENGINE_NET_INTERNAL_H

#include "base/list.h"
#include "base/rng.h"
#include "tests/support/engine_net.h"

/* A message in flight. */
struct packet {
    struct list_node node;
    struct message *message;
    uint64_t at_us;
    uint64_t delay_us;
    uint32_t from_life;
    uint32_t to_life;
};

/* `after` messages waiting for a write. */
struct waiting {
    struct list_node node;
    struct message *message;
    uint64_t write_id;
};

struct disk_job {
    struct list_node node;
    struct log_write *write;
    uint64_t at_us;
    uint64_t batch; /* disk_rate: writes with one number are done together */
};

struct load_job {
    struct list_node node;
    struct load load;
    uint64_t at_us;
};

struct read_job {
    uint32_t node;
    uint64_t committed; /* when it was asked */
    int err;            /* ERR_AGAIN: pending */
    uint64_t index;
};

struct net_node {
    uint32_t id;
    uint32_t life;
    struct consensus *consensus;
    struct log *log;
    struct list disk;
    struct list waiting;
    struct list loads;
    bool disk_held;
    uint64_t commit;
    uint64_t applied;
    uint64_t *applied_commands; /* by index; 0: none */
    struct hard_state image_hard;
    struct entry *image;       /* by index */
    uint64_t *image_promises;  /* by index */
    uint64_t image_last;       /* highest entry */
    uint64_t image_whole;      /* no gap up to here */
    uint64_t image_promised;   /* highest slot with a promise */
    uint64_t disk_batch;       /* number of the one that is being written */
    uint64_t disk_batch_bytes; /* of the one after it */
    /* link_rate: packets that wait to leave, by destination, and when the next one can; likewise
     * when the next one can arrive. */
    struct list out[ENGINE_NET_NODES_MAX + 1];
    uint32_t out_count;
    uint32_t out_last; /* whose turn it was */
    uint64_t out_free_us;
    uint64_t in_free_us;
};

struct engine_net {
    struct engine_net_options options;
    uint64_t slots;
    struct rng rng;
    uint64_t now_us;
    struct net_node *nodes[ENGINE_NET_NODES_MAX + 1];
    bool link_up[ENGINE_NET_NODES_MAX + 1][ENGINE_NET_NODES_MAX + 1];
    struct list packets;
    struct read_job *reads;
    uint64_t reads_count;
    uint32_t *chosen_crc; /* by index; valid when chosen_known */
    bool *chosen_known;
    uint64_t committed;
    uint64_t sent[256];
    uint64_t sent_all;
    struct engine_net_traffic traffic[256];
    struct engine_net_disks disks;
    uint64_t watched;
    uint64_t watched_us;
    struct {
        uint64_t epoch;
        uint32_t node;
    } leaders[4096];
    uint32_t leaders_count;
    engine_net_filter_fn filter;
    void *filter_ctx;
    char failure[256];
};

/* Records the first failure. */
void net_fail(struct engine_net *net, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
unsigned long long net_llu(uint64_t v);
struct net_node *net_node_of(const struct engine_net *net, uint32_t node);

/* A value with this one command; one reference. */
struct value *net_value_of(uint64_t command);

/* The synced image of a disk. */
void net_image_put(struct engine_net *net, struct net_node *n, const struct entry *entry);
void net_image_cut(struct net_node *n, uint64_t from);

/* engine_net_link.c: ends of links with a rate. give takes the packet; turn lets the next one
 * leave when it is time, which is at due (UINT64_MAX: none waits). */
void net_link_init(struct net_node *n);
void net_link_release(struct net_node *n);
void net_link_give(struct engine_net *net, struct packet *p);
uint64_t net_link_due(const struct net_node *n);
void net_link_turn(struct engine_net *net, struct net_node *n);

/* Puts a message on its way. */
void net_post(struct engine_net *net, struct message *m);

/* Fetches and acts on all output of a node. */
void net_pump(struct engine_net *net, struct net_node *n);

/* Moves time, for all; this node hears of it. */
void net_advance(struct engine_net *net, uint64_t at_us, struct net_node *n);

#endif

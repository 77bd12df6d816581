/*
 * engine_net.h - N instances of one engine, a network and disks in memory, under virtual time.
 *
 * For tests of engines, of any engine: nothing here knows Raft from Paxos except the check of what
 * may be sent (engine_net_failure). Everything is a function of the options and the calls made.
 *
 *     struct engine_net_options o;
 *     engine_net_options_init(&o, engine_by_name("raft"), 3, seed);
 *     o.loss = 10;                                     percent of messages
 *     struct engine_net *net = engine_net_new(&o);
 *     engine_net_start(net);                           all nodes from empty disks
 *     engine_net_run(net, 5 * o.consensus.election_us);
 *     uint32_t leader = engine_net_leader(net);        0: none
 *     ... engine_net_propose(net, leader, 42) == OK    a value with the one command 42
 *     engine_net_run(net, 100000);
 *     ... engine_net_applied_on(net, 42)               on how many nodes it is applied
 *     assert_null(engine_net_failure(net));            always last: agreement, R6/P14, R9, order
 *     engine_net_free(net);
 *
 * Nodes are 1..N. A disk completes a write disk_us after it was given, in order, unless it is held
 * (engine_net_hold_disk). A crash loses every write that is not complete; a restart rebuilds the
 * log from the synced image only. Messages to or from an earlier life are dropped, as the replica
 * does. Checks record the first failure as text and go on; tests assert in their own frame.
 */
#ifndef SYNOD_TESTS_SUPPORT_ENGINE_NET_H
#define SYNOD_TESTS_SUPPORT_ENGINE_NET_H

#include "base/rng.h"
#include "consensus/consensus.h"

enum {
    ENGINE_NET_NODES_MAX = 9,
    ENGINE_NET_SLOTS_MAX = 16384, /* slots of a disk, unless the options say otherwise */
};

struct engine_net;

/* Looks at a message about to enter the network; false drops it. */
typedef bool (*engine_net_filter_fn)(struct engine_net *net, const struct message *m, void *ctx);

struct engine_net_options {
    const struct engine_ops *engine;
    uint32_t nodes;
    uint64_t seed;
    struct consensus_options consensus; /* self, members, seed, trace are filled in per node */
    uint32_t loss;                      /* percent of messages lost */
    uint32_t duplicate;                 /* percent delivered twice */
    uint64_t delay_min_us;              /* of a message; what lies between reorders */
    uint64_t delay_max_us;
    uint64_t disk_us;        /* of a write */
    uint64_t load_us;        /* of reading entries back */
    size_t memory_max;       /* of each log */
    uint64_t slots_max;      /* of each log */
    struct trace_sink trace; /* of all nodes */

    /* What follows is 0 or NULL unless a test needs it. */

    uint64_t slots; /* of each disk: above the highest index in a run; 0: ENGINE_NET_SLOTS_MAX */
    /* Bytes a second that leave, and that reach, a node: a message holds up those behind it to the
     * same destination; destinations take turns, as connections do. 0: any number at once. */
    uint64_t link_rate;
    /* Bytes a second of a disk. Then it does one write at a time, and what was given to it
     * meanwhile together as the next one (group commit). 0: writes do not wait for each other. */
    uint64_t disk_rate;
    /* The delay of this message, in place of one between delay_min_us and delay_max_us. */
    uint64_t (*delay)(void *ctx, const struct message *m, struct rng *rng);
    /* The last word on a node's options. */
    void (*tune)(void *ctx, uint32_t node, struct consensus_options *o);
    void *ctx; /* of both */
};

/* A calm network: 3 ms messages, 1 ms disk, no loss; time-outs of 100 ms. */
void engine_net_options_init(struct engine_net_options *o, const struct engine_ops *engine,
                             uint32_t nodes, uint64_t seed);

struct engine_net *engine_net_new(const struct engine_net_options *options);
void engine_net_free(struct engine_net *net);

/* Before the start: what the node's disk holds. The entry at index i has epochs[i - 1] and the
 * command `i * 1000 + epoch`, so that equal (index, epoch) means an equal value. */
void engine_net_preload(struct engine_net *net, uint32_t node, const struct hard_state *hard,
                        const uint64_t *epochs, uint32_t count);

/* The same in bulk: slots [first, first + count) hold the one value, accepted in this epoch. */
struct engine_net_run_of {
    uint64_t first;
    uint64_t count;
    uint64_t epoch;
    struct value *value; /* borrowed */
};
void engine_net_preload_run(struct engine_net *net, uint32_t node, const struct hard_state *hard,
                            const struct engine_net_run_of *run);

void engine_net_start(struct engine_net *net);
void engine_net_start_node(struct engine_net *net, uint32_t node);

/* Runs for so long, or until the condition holds (then true). */
void engine_net_run(struct engine_net *net, uint64_t us);
bool engine_net_run_until(struct engine_net *net, uint64_t us,
                          bool (*condition)(struct engine_net *net, void *ctx), void *ctx);
bool engine_net_run_to_leader(struct engine_net *net, uint64_t us);
/* Until the command is applied on so many nodes. */
bool engine_net_run_to_applied(struct engine_net *net, uint64_t us, uint64_t command,
                               uint32_t nodes);
uint64_t engine_net_now(const struct engine_net *net);

/* The live leader of the highest epoch; 0 when none. Leaderless engines: the lowest live node. */
uint32_t engine_net_leader(const struct engine_net *net);
struct consensus *engine_net_node(const struct engine_net *net, uint32_t node); /* NULL: down */
struct log *engine_net_log(const struct engine_net *net, uint32_t node);        /* NULL: down */
struct consensus_status engine_net_status(const struct engine_net *net, uint32_t node);

/* Inputs. Each fetches and acts on the output. */
MUST_USE int engine_net_propose(struct engine_net *net, uint32_t node, uint64_t command);
MUST_USE int engine_net_read(struct engine_net *net, uint32_t node, uint64_t *ret_ctx);
MUST_USE int engine_net_transfer(struct engine_net *net, uint32_t node, uint32_t to);

/* Proposes through whichever node takes it (the leader first), waiting up to `us` for one. */
MUST_USE int engine_net_submit(struct engine_net *net, uint64_t us, uint64_t command);

/* The value of a command, with so many bytes of payload in all (8 at least); one reference. */
struct value *engine_net_value(uint64_t command, size_t payload);

/* A message as if `from` had sent it, who may be down or never have run: so a test plays a node.
 * Loss and delay are those of any message. Taken over. */
void engine_net_inject(struct engine_net *net, struct message *m_take);

/* ERR_AGAIN while pending; else the error or OK and the index. */
int engine_net_read_result(const struct engine_net *net, uint64_t ctx, uint64_t *ret_index);

/* How many live nodes have applied the command; how many times this node has. */
uint32_t engine_net_applied_on(const struct engine_net *net, uint64_t command);
uint32_t engine_net_applied_times(const struct engine_net *net, uint32_t node, uint64_t command);

/* Faults. */
void engine_net_link(struct engine_net *net, uint32_t from, uint32_t to, bool up); /* one way */
void engine_net_cut(struct engine_net *net, uint32_t a, uint32_t b);               /* both ways */
void engine_net_isolate(struct engine_net *net, uint32_t node);
void engine_net_heal(struct engine_net *net);
void engine_net_crash(struct engine_net *net, uint32_t node);
void engine_net_restart(struct engine_net *net, uint32_t node);
void engine_net_hold_disk(struct engine_net *net, uint32_t node, bool held);
void engine_net_set_loss(struct engine_net *net, uint32_t loss, uint32_t duplicate);
void engine_net_filter(struct engine_net *net, engine_net_filter_fn filter, void *ctx);

/* The synced image of a node. The entry's value is NULL for an empty slot. */
struct hard_state engine_net_disk_hard(const struct engine_net *net, uint32_t node);
struct entry engine_net_disk_entry(const struct engine_net *net, uint32_t node, uint64_t index);

/* Messages of this type sent so far, and of all types; messages delivered. */
uint64_t engine_net_sent(const struct engine_net *net, uint8_t type);
uint64_t engine_net_sent_all(const struct engine_net *net);

/* What went between different nodes (not from a node to itself), by type. */
struct engine_net_traffic {
    uint64_t sent;
    uint64_t delivered;
    uint64_t bytes; /* of those sent, as engine_net_message_size counts */
};
struct engine_net_traffic engine_net_traffic(const struct engine_net *net, uint8_t type);

/* About what a message takes on the wire. */
uint64_t engine_net_message_size(const struct message *m);

/* What all disks have written since the start. */
struct engine_net_disks {
    uint64_t writes;
    uint64_t entries;
    uint64_t bytes;     /* payload of the entries */
    uint64_t rewritten; /* entries whose value the slot held before, under another epoch */
};
struct engine_net_disks engine_net_disks(const struct engine_net *net);

/* When some node first applied this command, from now on; 0: not yet. One command at a time. */
void engine_net_watch(struct engine_net *net, uint64_t command);
uint64_t engine_net_watched_us(const struct engine_net *net);

/* The highest index that any node has ever committed. */
uint64_t engine_net_committed(const struct engine_net *net);

/* The first broken rule, or NULL: agreement (R5, P1: one value an index, over all nodes and lives),
 * write before send (R6, P14: a vote, promise, accepted or append success is true of the sender's
 * synced image when it leaves), a read point below what was committed when it was asked (R9),
 * commit moving back within a life, two leaders of an epoch (R1). */
const char *engine_net_failure(const struct engine_net *net);

#endif

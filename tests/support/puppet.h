/*
 * puppet.h - one instance of an engine whose peers are played by the test.
 *
 * The other members do not exist: the test writes the messages that they send and looks at those
 * sent to them. Messages of the instance to itself are given back as the replica does. The disk is
 * in memory; a write is durable at once, or with puppet_sync while it is held. What is chosen is
 * applied at once. Not here: networks and several instances (engine_net).
 */
#ifndef SYNOD_TESTS_SUPPORT_PUPPET_H
#define SYNOD_TESTS_SUPPORT_PUPPET_H

#include "consensus/consensus.h"

enum {
    PUPPET_SLOTS = 1024, /* highest index in a test */
};

struct puppet {
    struct consensus_options options;
    const struct engine_ops *engine;
    size_t memory_max;
    uint64_t slots_max;
    struct consensus *c;
    struct log *log;
    uint64_t now_us;
    bool held;           /* the disk completes nothing */
    struct list writes;  /* of struct log_write: given, not durable */
    struct list waiting; /* of struct puppet_after */
    struct list sent;    /* of struct message, to peers, oldest first */
    struct list loads;
    struct hard_state hard; /* the disk */
    struct entry entries[PUPPET_SLOTS];
    uint64_t promises[PUPPET_SLOTS];
    uint64_t writes_count;
    uint64_t read_ctx; /* newest answer to a read: ctx 0 none */
    uint64_t read_index;
    int read_err;
};

/* Time-outs of 100 ms, resend after 50 ms, heartbeats of 20 ms. Change options, then start. */
void puppet_init(struct puppet *p, const char *engine, uint32_t self, uint32_t nodes);
void puppet_release(struct puppet *p);
void puppet_start(struct puppet *p);

/* A crash: what is not durable is lost, and so is all that was not sent; then a new life. */
void puppet_restart(struct puppet *p);

/* Lets time pass, ticking at each deadline. */
void puppet_run(struct puppet *p, uint64_t us);

/* A message to the instance; takes it. */
void puppet_step(struct puppet *p, struct message *m_take);

MUST_USE int puppet_propose(struct puppet *p, uint64_t command);
MUST_USE int puppet_read(struct puppet *p, uint64_t ctx);

/* Several proposals within one turn. */
MUST_USE int puppet_propose_many(struct puppet *p, uint64_t command, uint32_t count);

/* All that was written so far becomes durable. */
void puppet_sync(struct puppet *p);

/* The oldest message sent of this type to this node (0: to any), or NULL; the caller frees it. */
struct message *puppet_sent(struct puppet *p, enum message_type type, uint32_t to);

/* How many such messages there are; forgets all that was sent. */
uint32_t puppet_count(const struct puppet *p, enum message_type type);
void puppet_forget(struct puppet *p);

/* A message from a peer to the instance, to be completed. */
struct message *puppet_message(const struct puppet *p, enum message_type type, uint32_t from);

/* Adds an entry with the one command, or a no-op for command 0. */
void puppet_add(struct message *m, struct log_pos pos, uint64_t command);

/* The command in a slot of the log, 0 for a no-op; UINT64_MAX when there is none. */
uint64_t puppet_at(const struct puppet *p, uint64_t index);

/* The peers say hello, hearing those in `seen` (by rank), and agree to every pre-prepare; the
 * highest ballot they promised is `promised`. */
void puppet_greet(struct puppet *p, uint64_t seen, uint64_t promised);

/* Multipaxos: has the instance elected, by quorum members 1..n answering as fresh acceptors.
 * Returns its ballot; what was sent is forgotten. */
uint64_t puppet_elect(struct puppet *p);

#endif

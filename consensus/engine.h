/*
 * engine.h - for authors of engines: what an engine implements, and what the facade gives it.
 *
 * An engine is one file ending in a `const struct engine_ops`, listed in the table of consensus.c.
 * It embeds `struct engine` first, changes the log only through log.h and speaks to the world only
 * through the output functions below. The facade (consensus.c) keeps time, counts writes, forbids
 * re-entry and hands the output over.
 */
#ifndef SYNOD_CONSENSUS_ENGINE_H
#define SYNOD_CONSENSUS_ENGINE_H

#include "base/rng.h"
#include "consensus/consensus.h"
#include "consensus/mark.h"

struct output; /* what take() will hand over; private to consensus.c */

/* The part of an instance that all engines have. Read freely; write only what a comment allows. */
struct engine {
    const struct engine_ops *ops;
    struct consensus_options options;
    struct log *log;
    struct rng rng;
    uint64_t now_us; /* time of the current call */
    int self_rank;
    uint64_t applied;
    uint64_t deadline_us; /* engines set it: next wanted tick */
    /* by rank: when a message came last; 0 never. Kept by the facade */
    uint64_t heard_us[NODES_MAX];
    uint64_t heard_start_us; /* when the instance first ticked */
    bool flush_wanted;       /* engines set it; the facade clears it before it calls flush */
    struct output *out;
};

struct engine_ops {
    const char *name;
    uint8_t id; /* enum engine_id */
    uint32_t capabilities;
    /* zeroed object of the engine's size; the facade fills struct engine */
    struct engine *(*create)(void);
    /* after the first tick's time is known */
    void (*start)(struct engine *e, const struct hard_state *hard);
    void (*destroy)(struct engine *e);
    void (*tick)(struct engine *e);
    void (*step)(struct engine *e, const struct message *m);
    int (*propose)(struct engine *e, struct value *value);
    bool (*can_propose)(const struct engine *e);
    int (*read)(struct engine *e, uint64_t ctx);
    /* log_mark_stable was done before */
    void (*stored)(struct engine *e, const struct log_write *write);
    void (*applied)(struct engine *e, uint64_t index);
    void (*loaded)(struct engine *e, uint64_t load_id, int err, const struct entry *entries,
                   uint32_t count);
    int (*transfer)(struct engine *e, uint32_t to);               /* NULL: unsupported */
    int (*change)(struct engine *e, const struct membership *to); /* NULL: unsupported */
    /* adds role, leader (leaderless: proposer, if not itself), epoch, match, counters */
    void (*status)(const struct engine *e, struct consensus_status *status);
    /* Optional (NULL). Called by consensus_take() before the output is collected, when flush_wanted
     * is set: what an engine coalesces over a turn (batches of accepts, commit notices) goes out
     * here. has_ready is true while flush_wanted. */
    void (*flush)(struct engine *e);
};

/* The engines of the table in consensus.c. */
extern const struct engine_ops engine_paxos_ops;
extern const struct engine_ops engine_multipaxos_ops;
extern const struct engine_ops engine_raft_ops;

/* Output. Each sets `from` and `engine` in messages and takes them over. */

/* The default: leaves when everything written so far, and in this turn, is durable. For all that
 * promises something. */
void engine_send_after_write(struct engine *e, struct message *m);

/* Leaves at once. Only for what promises nothing about this node's disk: requests, heartbeats,
 * nacks, commit notices. */
void engine_send_now(struct engine *e, struct message *m);

/* A copy to every other member, by the given function. */
void engine_broadcast_after_write(struct engine *e, const struct message *m);
void engine_broadcast_now(struct engine *e, const struct message *m);

/*
 * Parts of this turn's atomic write. A later entry for a slot replaces an earlier one. A cut
 * forgets the entries of this turn at or above it, so cut first, then put what stands there
 * instead; several cuts keep the lowest. A hard state of which only the commit hint is new causes
 * no write of its own: it rides along with the next one, so it may be called on every commit.
 */
void engine_write_hard(struct engine *e, const struct hard_state *hard);
void engine_write_entry(struct engine *e, const struct entry *entry);
void engine_write_promise(struct engine *e, struct slot_promise promise);
void engine_write_truncate(struct engine *e, uint64_t from);

/* The read with this ctx is answered. */
void engine_read_done(struct engine *e, struct read_state read);

/* Asks for entries from the store; returns the load's id. */
uint64_t engine_load(struct engine *e, uint64_t first, uint64_t last, uint64_t bytes_max);

/* Age of the oldest write that is not yet durable, 0 when none. */
uint64_t engine_write_age(const struct engine *e);

/* Bitmap by rank of members heard from within the last `within_us`; self always included. */
uint64_t engine_heard(const struct engine *e, uint64_t within_us);

/* Emits a trace event; time, node and engine are filled in here. Free when tracing is off. */
void engine_trace(const struct engine *e, struct trace_event event);

/* A rare branch was taken (mark.h). */
void engine_mark(const struct engine *e, enum mark mark);

#endif

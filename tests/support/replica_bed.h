/*
 * replica_bed.h - one replica over a scripted engine and disks in memory, for tests that decide
 * themselves what the engine does and when a write is durable.
 *
 * The engine keeps what it is given; nothing is chosen, sent or answered unless the test says so
 * (bed_commit, bed_engine_send ...). The pump is the bed's: bed_turn() ends a turn and collects
 * what came out. Log writes, flushes, loads, fetches and trims are done when the test calls for it.
 */
#ifndef SYNOD_TESTS_SUPPORT_REPLICA_BED_H
#define SYNOD_TESTS_SUPPORT_REPLICA_BED_H

#include "consensus/engine.h"
#include "kv/replica.h"

enum { BED_MAX = 512, BED_SELF = 1, BED_CLUSTER = 77, BED_INCARNATION = 3 };

/* The scripted engine. */
struct bed_engine {
    struct engine engine;
    bool full;    /* takes no value */
    uint8_t role; /* enum consensus_role */
    uint32_t leader;
    uint64_t epoch;
    int read_err;                    /* of read */
    struct value *proposed[BED_MAX]; /* a reference each */
    uint32_t proposed_count;
    uint32_t committed;      /* of them, by bed_commit */
    uint64_t reads[BED_MAX]; /* ctx asked for */
    uint32_t reads_count;
    uint32_t stepped; /* messages to this node */
    uint64_t stepped_ctx[BED_MAX];
    uint32_t transfer_to;
    uint32_t loaded;
    void (*act)(struct bed_engine *e, void *ctx); /* run inside the next tick, once */
    void *act_ctx;
};

struct bed_reply {
    uint64_t call;
    int err;
    int64_t revision;
    struct mvcc_result *result; /* NULL with err */
};

struct bed {
    struct replica_options options;
    struct replica *replica;
    struct bed_engine *engine;
    struct memory_disk *disk;
    struct logstore *log;
    struct store *state;
    uint64_t now_us;
    struct list writes;   /* not yet durable */
    struct list messages; /* sent, oldest first */
    struct bed_reply replies[BED_MAX];
    uint32_t replies_count;
    struct load loads[BED_MAX];
    uint32_t loads_count;
    uint64_t fetch_ids[BED_MAX];
    struct revision *fetch_revisions[BED_MAX];
    uint32_t fetch_counts[BED_MAX];
    uint32_t fetches_count; /* waiting */
    struct mvcc_flush *flush;
    struct log_pos trim;
    int take_err;
    bool peers_silent;     /* start and restart: no peer says a word, so nothing is sent to any */
    uint64_t recover_from; /* not 0: what restart asks the log store for */
};

/* CAP_LEADER (and CAP_TRANSFER), or a leaderless engine. */
extern const struct engine_ops bed_engine_leader_ops;
extern const struct engine_ops bed_engine_leaderless_ops;

/* Options of a bed of so many nodes; change them, then start. */
void bed_init(struct bed *bed, const struct engine_ops *ops, uint32_t nodes);
void bed_start(struct bed *bed);
/* Opens what is on the disk, with a new incarnation. Errors: those of replica_new. */
MUST_USE int bed_restart(struct bed *bed);
void bed_release(struct bed *bed);

/* Who leads, from the next turn on. Leaderless engine: who stands in for this node, 0 itself. */
void bed_lead(struct bed *bed, uint8_t role, uint32_t leader, uint64_t epoch);

/* A turn at the present time: tick, take, collect. */
void bed_turn(struct bed *bed);
/* Time moves on, then a turn. */
void bed_pass(struct bed *bed, uint64_t us);
/* Turns until nothing more comes, completing every disk job; for tests that are not about them. */
void bed_settle(struct bed *bed);

/* Calls. */
MUST_USE int bed_put(struct bed *bed, uint64_t call, const char *key, const char *value);
MUST_USE int bed_put_until(struct bed *bed, uint64_t call, const char *key, uint64_t deadline_us);
MUST_USE int bed_put_session(struct bed *bed, uint64_t call, const char *key, uint64_t session,
                             uint64_t sequence);
/* Puts `value` if the key has the value `expected`. */
MUST_USE int bed_swap(struct bed *bed, uint64_t call, const char *key, const char *expected,
                      const char *value);
MUST_USE int bed_compact(struct bed *bed, uint64_t call, int64_t revision, bool physical);
MUST_USE int bed_get(struct bed *bed, uint64_t call, const char *key, bool serializable);

/* The engine chooses: the next value proposed here, or any value; entries go into the log and its
 * write. Then a turn. */
void bed_commit_next(struct bed *bed);
void bed_commit(struct bed *bed, struct value *value);
/* The engine sends a message of this ctx, after its write or now, to a node. */
void bed_engine_send(struct bed *bed, uint32_t to, uint64_t ctx, bool now, bool write);
void bed_read_done(struct bed *bed, struct read_state state);

/* Disk. */
uint64_t bed_store_write(struct bed *bed); /* the oldest becomes durable; its id, 0 none. A turn */
void bed_flush_done(struct bed *bed);      /* and a turn */
void bed_fetch_done(struct bed *bed);      /* the oldest */
void bed_trim_done(struct bed *bed);
MUST_USE int bed_load_done(struct bed *bed); /* the oldest; what replica_log_loaded returned */

/* A message from a peer, in the envelope of its first life. Returns what receive returned. */
struct message *bed_message(const struct bed *bed, enum message_type type, uint32_t from);
MUST_USE int bed_receive_take(struct bed *bed, struct message *m);

/* The reply to the call, or NULL. */
const struct bed_reply *bed_reply(const struct bed *bed, uint64_t call);
/* Takes the oldest sent message of this type out; NULL when there is none. message_free it. */
struct message *bed_sent(struct bed *bed, enum message_type type);
void bed_forget_sent(struct bed *bed);
struct replica_status bed_status(const struct bed *bed);

#endif

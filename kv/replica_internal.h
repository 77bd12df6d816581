/*
 * replica_internal.h - what the files of the replica share; nobody else includes it.
 *
 *     replica.c         life, the turn (tick, take), the engine's output, status
 *     replica_message.c messages out, held for a write, and in
 *     replica_call.c    client calls: let in, timed, answered
 *     replica_write.c   batches: built, proposed, forwarded, tried again
 *     replica_read.c    read rounds and the evaluation of reads
 *     replica_apply.c   entries into the state machine, rows fetched, flush, loads
 *     replica_gossip.c  what peers tell about themselves: trimming, divergence
 *     timer_wheel.c     deadlines of calls, retries of batches and rounds
 *
 * Life of a batch: OPEN (commands are added) -> QUEUED (closed, nothing left this node) -> SENT
 * (proposed or forwarded at least once) -> gone when its value was applied here. Sequences are
 * final when it is SENT: a command whose call ends before that is taken out, so that the session's
 * sequences have no holes and "certainly not applied" is true.
 */
#ifndef SYNOD_KV_REPLICA_INTERNAL_H
#define SYNOD_KV_REPLICA_INTERNAL_H

#include "base/arena.h"
#include "base/map.h"
#include "consensus/mark.h"
#include "kv/replica.h"
#include "kv/session.h"
#include "kv/timer_wheel.h"

enum {
    TAKE_ROUNDS_MAX = 1000,    /* engine <-> itself in one turn; the rest waits for the next */
    APPLY_COMMANDS_MAX = 1024, /* applied in one turn, give or take an entry */
    READS_MAX = 1024,          /* evaluated in one turn */
    WORK_KEYS_MAX = 128,       /* keys looked at by compaction in one turn */
    READ_ROUNDS_MAX = 8,       /* read points asked for at a time */
    FORWARDS_MAX = 1024,       /* values of other nodes that wait for a place in the window */
    RETRY_DOUBLINGS_MAX = 5,   /* retry intervals grow to 32 times the first */
    HASH_RING_SIZE = 4096,     /* state hashes kept, of the last entries applied */
    TRIM_MARKS_MAX = 256,      /* candidates for trimming kept */
    FLUSH_PATIENCE = 4,        /* times what makes a flush due, until applying waits for it */
    LOAD_BYTES_MAX = 1 << 20,  /* payload bytes asked back from the log at once */
    SEQUENCES_MAX = SESSION_WINDOW - 4096, /* unfinished at a time, inside what sessions know */
};

STATIC_ASSERT((HASH_RING_SIZE & (HASH_RING_SIZE - 1)) == 0, "the ring is indexed by a mask");

enum timer_kind { TIMER_CALL = 1, TIMER_BATCH = 2, TIMER_ROUND = 3 };

enum call_kind { CALL_WRITE = 1, CALL_READ = 2 };

/* A client call under way. From a pool; named by `id` towards the pump. */
struct call {
    struct list_node node; /* the one list it waits in, or the free list */
    struct timer timer;    /* its deadline */
    uint64_t id;
    uint8_t kind;               /* enum call_kind */
    uint8_t op;                 /* read: OP_RANGE or OP_TXN */
    uint32_t position;          /* write: in its batch */
    struct batch *batch;        /* write: not yet applied */
    struct blob *request;       /* read */
    struct fetch *fetch;        /* its result waits for rows */
    struct mvcc_result *result; /* write: a physical compaction's answer, waiting for the space */
    int64_t compact_revision;
};

enum batch_state { BATCH_OPEN = 0, BATCH_QUEUED = 1, BATCH_SENT = 2 };

/* Commands that travel as one value. From a pool. */
struct batch {
    struct list_node node; /* queued or sent, oldest first; or the free list */
    struct list_node due;  /* SENT: to be sent again as soon as somebody takes it */
    struct timer timer;    /* SENT and not due: when it will be */
    struct value *value;   /* NULL while OPEN */
    struct batch *same;    /* next with the same key in the index of sent batches */
    uint64_t id;
    uint64_t first_sequence; /* of our own session; provisional before SENT */
    uint64_t sent_epoch;     /* epoch in which it was proposed here; 0: it was forwarded */
    uint32_t sent_to;        /* whom it was forwarded to last; self when proposed here */
    uint32_t tries;
    bool hinted;         /* a hint was followed since the last try by time */
    uint32_t own_count;  /* commands named by our own session */
    uint32_t dead_count; /* OPEN, QUEUED: commands to be taken out */
    uint32_t count;
    uint32_t capacity;
    uint64_t bytes;
    struct call **calls; /* by position; NULL: nobody waits */
    uint8_t state;       /* enum batch_state */
};

/* A value of another node, waiting until the engine takes it. */
struct forward {
    struct list_node node;
    struct value *value;
    uint64_t ctx;
    uint32_t from;
};

enum round_state { ROUND_FREE = 0, ROUND_ASKED = 1, ROUND_READY = 2 };

/* Reads that share one read point. */
struct read_round {
    struct list calls;
    struct timer timer;
    uint64_t ctx;
    uint64_t index; /* READY: served once applied */
    uint8_t state;  /* enum round_state */
};

/* Rows from the state store; for a result, or (result NULL) for what mvcc wants. */
struct fetch {
    struct list_node node; /* for a result: until its turn comes, see replica_result */
    uint64_t id;
    struct mvcc_result *result;
    struct call *call; /* NULL: nobody waits any more */
    struct revision *revisions;
    uint32_t count;
};

/* Who asked mvcc for the rows that are under way: nothing is evaluated meanwhile. */
enum wanted_by { WANTED_NONE = 0, WANTED_APPLY = 1, WANTED_READ = 2 };

/* Messages of one ready, waiting for a write: the next `count` of the list of held ones. */
struct hold {
    uint64_t write;
    uint64_t count;
};

struct peer {
    uint32_t id;
    uint64_t incarnation;
    uint64_t applied;
    uint64_t durable;
    uint64_t seen; /* writes of its log that it said were durable, in any of its lives */
    uint64_t heard_us;
    bool heard;             /* gossip came in this life */
    uint64_t pending_index; /* a hash of the peer to compare when we get there; 0 none */
    uint64_t pending_hash;
};

/* Arrays handed out: one is filled while the pump looks at the other. */
struct out_arrays {
    struct load *loads;
    uint32_t loads_count, loads_capacity;
    struct replica_fetch *fetches;
    uint32_t fetches_count, fetches_capacity;
    struct replica_reply *replies;
    uint32_t replies_count, replies_capacity;
};

struct replica {
    struct replica_options options;
    struct log *log;
    struct consensus *consensus;
    struct mvcc *mvcc;
    struct arena arena; /* requests decoded for the length of one evaluation */
    uint64_t now_us;
    uint32_t self;
    uint32_t capabilities;
    bool ticked;
    bool stopping;
    bool dirty; /* input came since the last take */
    bool busy;  /* a limit of the last turn was reached */
    int fatal;  /* what take returns from now on */

    uint8_t role;
    uint32_t leader; /* consensus_status.proposer: with a leaderless engine mostly ourselves */
    uint64_t epoch;

    /* Calls. */
    struct list calls_free;
    struct call **call_chunks;
    uint32_t call_chunks_count;
    struct map calls; /* id -> call */
    uint64_t call_bytes;
    struct timer_wheel wheel;

    /* Writes. */
    uint64_t session;
    uint64_t sequence_next;   /* first not yet final */
    uint64_t sequence_queued; /* own commands in batches before SENT */
    struct value_builder builder;
    struct batch *open; /* batch being built; last of `queued`; NULL none */
    struct list queued;
    struct list sent;
    struct list due;
    uint32_t forwarded; /* batches whose last try was a forward */
    uint64_t batch_id;
    struct map batches;       /* id -> SENT batch */
    struct map batches_index; /* content -> chain of SENT batches */
    struct list batches_free;
    struct list forwards;
    uint32_t forwards_count;
    uint64_t forwards_bytes;

    /* Reads. */
    struct list reads_new;   /* waiting for a round */
    struct list reads_ready; /* waiting to be evaluated */
    struct read_round rounds[READ_ROUNDS_MAX];
    uint64_t read_ctx;
    uint64_t reads_retry_us; /* no round before */
    uint32_t reads_failed;   /* rounds in a row */
    uint32_t reads_budget;

    /* Applying. */
    struct entry_list loaded; /* entries brought from the store, next one at loaded_at */
    uint32_t loaded_at;
    uint64_t load_id; /* of our own; odd towards the pump */
    bool loading;
    bool entry_open;           /* in the middle of an entry */
    struct value *entry_value; /* a reference while open */
    uint64_t entry_epoch;
    struct batch *entry_batch;
    size_t entry_cursor;
    uint32_t entry_position;
    uint32_t apply_budget;
    uint8_t wanted_by;  /* enum wanted_by */
    struct map fetches; /* id -> fetch */
    uint64_t fetch_id;
    struct list fetches_waiting; /* whose turn has not come */
    uint64_t fetch_rows;         /* of results, under way */
    struct list compactions;     /* calls that wait for a physical compaction */
    bool flushing;
    uint64_t durable;     /* reached by the last flush that succeeded */
    uint64_t flush_index; /* reached by the last flush begun */
    uint64_t flush_at_us; /* when the first unflushed change is old enough; UINT64_MAX none */

    /* Messages. */
    struct list held;
    struct hold *holds; /* ring */
    uint32_t holds_head, holds_count, holds_capacity;
    uint64_t stored;
    uint64_t written; /* writes of earlier lives, as recovered */
    struct list loop; /* to ourselves, may be stepped now */

    /* Gossip. */
    struct peer peers[NODES_MAX]; /* by rank; our own is unused */
    uint64_t gossip_at_us;
    uint64_t hash_first; /* lowest index in the ring */
    uint64_t hashes[HASH_RING_SIZE];
    struct log_pos trim_marks[TRIM_MARKS_MAX];
    uint32_t trim_marks_count;
    uint64_t trim_step;
    uint64_t trim_under_way; /* index; 0 none */

    /* Output. */
    struct list out_messages;
    struct list out_writes;
    struct log_pos out_trim;
    struct mvcc_flush *out_flush;
    struct out_arrays out[2];
    uint32_t out_now; /* which of the two is being filled */

    uint64_t writes, reads, retries, forwards_sent, strays, timeouts, refused;
};

/* replica.c */
void replica_push_load(struct replica *r, struct load load);
void replica_push_fetch(struct replica *r, const struct fetch *fetch);
bool replica_overloaded(const struct replica *r); /* state rows pile up: nothing new is sent */

/* replica_message.c */
void replica_send(struct replica *r, struct message *m); /* takes m over */
void replica_trace(const struct replica *r, struct trace_event event);
void replica_mark(const struct replica *r, enum mark mark); /* a rare branch was taken */
/* For our own messages: fills in who and which engine. */
struct message *replica_message(const struct replica *r, enum message_type type, uint32_t to);

void replica_stray(struct replica *r, const struct message *m, const char *why);
/* Holds the messages until the write with this id is durable; empties the list. */
void replica_hold(struct replica *r, struct list *messages, uint64_t write);
void replica_hold_release(struct replica *r); /* after `stored` moved */

/* replica_call.c */
MUST_USE int replica_call_admit(struct replica *r, uint64_t id, size_t bytes);
struct call *replica_call_open(struct replica *r, uint64_t id, uint64_t deadline_us);
void replica_call_close(struct replica *r, struct call *call); /* forgets it, frees what it owns */
void replica_call_expire(struct replica *r, struct call *call);
/* Answers and forgets the call; the result is handed over. */
void replica_reply(struct replica *r, struct call *call, int err, struct mvcc_result *result);
void replica_calls_close(struct replica *r);
void replica_calls_release(struct replica *r);

/* replica_write.c */
void replica_batch_forget(struct batch *b, uint32_t position); /* nobody waits for this command */
bool replica_writes_send(struct replica *r); /* true when the engine was given something */
void replica_batch_retry(struct replica *r, struct batch *b); /* its timer fired */
void replica_batches_hurry(struct replica *r); /* the leader changed: what was sent, again */
struct batch *replica_batch_find(struct replica *r, const struct value *value);
void replica_batch_done(struct replica *r, struct batch *b);
void replica_forward_receive(struct replica *r, const struct message *m);
void replica_forward_reply_receive(struct replica *r, const struct message *m);
void replica_writes_release(struct replica *r);

/* replica_read.c */
void replica_reads_init(struct replica *r);
bool replica_reads_start(struct replica *r);
void replica_read_answer(struct replica *r, const struct read_state *state);
void replica_round_retry(struct replica *r, struct read_round *round); /* its timer fired */
void replica_reads_hurry(struct replica *r);
MUST_USE int replica_reads_run(struct replica *r);

/* replica_apply.c */
MUST_USE int replica_apply(struct replica *r, bool *ret_progress);
/* Nobody waits for the fetch any more. */
void replica_fetch_forget(struct replica *r, struct fetch *f);
/* Gives a result to the call, now or when its missing rows came. Takes the result over. */
void replica_result(struct replica *r, struct call *call, struct mvcc_result *result);
void replica_want(struct replica *r, enum wanted_by by); /* after ERR_AGAIN */
void replica_flush(struct replica *r);
void replica_apply_release(struct replica *r);

/* replica_gossip.c */
void replica_gossip_init(struct replica *r);
void replica_gossip_send(struct replica *r);
MUST_USE int replica_gossip_receive(struct replica *r, struct peer *peer, const struct message *m);
/* An entry was applied: remembers its hash and, now and then, its position. */
MUST_USE int replica_gossip_applied(struct replica *r, struct log_pos pos);
void replica_trim(struct replica *r);

#endif

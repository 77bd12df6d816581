/*
 * crash_points.h - short lives of a store, and what may be in it after a crash at any point of one.
 *
 * A workload is a sequence of operations after creation; workloads are numbered, so that all of a
 * length can be walked and one can be named. A model, which knows nothing of rows or files, says
 * what the store holds after each operation. A store after a crash must hold what the model held
 * after k operations, where k is at least the number of those that were acknowledged and counts at
 * most one more, the one under way (D2, D4, D7).
 *
 * Two kinds of store: the log (kv/logstore.h) and the state database (kv/store.h). Not here: where
 * the crashes come from (crash_explore.h for real files, test_crash_points_model.c for the model
 * disk).
 */
#ifndef SYNOD_TESTS_SIM_CRASH_POINTS_H
#define SYNOD_TESTS_SIM_CRASH_POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "kv/logstore.h"
#include "kv/store.h"

enum {
    CRASH_OPS_MAX = 64,              /* operations of a workload */
    CRASH_CONTENT_MAX = 1024 * 1024, /* bytes of a content as text */
};

/* X(name, word) */
#define CRASH_OP_MAP(X)                                                                            \
    /* the log store */                                                                            \
    X(BUMP, "bump")          /* one more start is counted */                                       \
    X(APPEND, "append")      /* two entries at the end, of 100 and 600 bytes */                    \
    X(REPLACE, "replace")    /* the last entry by another, without a cut */                        \
    X(TRUNCATE, "truncate")  /* the last entry is cut, one is appended, with a hard state */       \
    X(HARD, "hard")          /* the hard state alone */                                            \
    X(PROMISES, "promises")  /* two promises beyond the end */                                     \
    X(GROUP, "group")        /* two writes in one: append; cut of that, append, hard state */      \
    X(TRIM, "trim")          /* half of the log; of an empty one: a jump */                        \
    X(JUMP, "jump")          /* a trim beyond the end, as after a snapshot */                      \
    X(BULK, "bulk")          /* six entries of 6 KB */                                             \
    X(MANY, "many")          /* 1,200 entries of 8 bytes, and 40 promises */                       \
    X(TRIM_MOST, "trimmost") /* all but the last entry: more than is swept at once */              \
    X(CONDEMN, "condemn")    /* it is not to be opened again; the last of a workload */            \
    /* the state database */                                                                       \
    X(PUT, "put")     /* four new rows */                                                          \
    X(MIX, "mix")     /* a row replaced, one deleted, one new */                                   \
    X(LARGE, "large") /* a row of 2,000 bytes and a small one */                                   \
    X(FLOOD, "flood") /* rows of 40 KB in all */                                                   \
    /* both */                                                                                     \
    X(REOPEN, "reopen") /* closed and opened */                                                    \
    X(POWER, "power")   /* a power loss tears a write that was under way; opened */

enum crash_op {
#define X(name, word) CRASH_OP_##name,
    CRASH_OP_MAP(X)
#undef X
        CRASH_OPS
};

const char *crash_op_name(uint32_t op);

struct crash_kind;

/* Whether a kind of store has this operation. */
bool crash_op_is_of(const struct crash_kind *kind, uint32_t op);

struct crash_workload {
    uint32_t count;
    uint8_t ops[CRASH_OPS_MAX];
};

/* The operations that workloads are made of. */
struct crash_alphabet {
    uint32_t count;
    uint8_t ops[CRASH_OPS];
};

/* Workloads of up to `length` operations: their number, and the one of a number; the shorter ones
 * come first, and the empty one is number 0. */
uint32_t crash_workloads(const struct crash_alphabet *a, uint32_t length);
void crash_workload_at(const struct crash_alphabet *a, uint32_t number,
                       struct crash_workload *ret_workload);

/* Words separated by blanks; false: a word is unknown or there are too many. */
bool crash_workload_parse(const char *text, struct crash_workload *ret_workload);
void crash_workload_print(const struct crash_workload *w, struct buf *out);

/* What a store holds, by kind; opaque. */
struct crash_model;

/* How stores are opened. */
struct crash_rig {
    const struct crash_kind *kind;
    const struct logstore_ops *log; /* the log kind */
    const struct store_ops *state;  /* the state kind */
    uint8_t engine;                 /* of the log: ENGINE_RAFT, or one whose log has holes */
    size_t write_buffer_size;
    void *device; /* NULL: none */
};

/* A store under test; exactly one is not NULL. */
struct crash_store {
    struct logstore *log;
    struct store *state;
};

/* A kind of store. The model's operations are exact; REOPEN and POWER change nothing. */
struct crash_kind {
    const char *name; /* and of its directory */
    struct crash_alphabet alphabet;

    struct crash_model *(*model_new)(const struct crash_rig *rig);
    struct crash_model *(*model_copy)(const struct crash_model *m);
    void (*model_free)(struct crash_model *m);
    void (*model_apply)(struct crash_model *m, uint32_t op);
    void (*model_text)(const struct crash_model *m, struct buf *out);

    int (*open)(const struct crash_rig *rig, const char *path, bool create,
                struct crash_store *ret_store, struct buf *error);
    void (*close)(struct crash_store *s);

    /* Makes the operation; `before` says what the store holds. */
    int (*apply)(struct crash_store *s, const struct crash_model *before, uint32_t op);

    /* Reads everything back, as a starting node does, into the form of model_text. */
    int (*text)(struct crash_store *s, struct buf *out, struct buf *error);

    /* Whether a write fails as one after a failed write must: with `rc`, whatever it is asked. */
    bool (*repeats)(struct crash_store *s, const struct crash_model *before, int rc);
};

extern const struct crash_kind crash_log_kind;
extern const struct crash_kind crash_state_kind;

/* What the store may hold after a crash. */
struct crash_allowed {
    const struct crash_model *acknowledged;   /* NULL: its creation was under way */
    const struct crash_model *under_way;      /* NULL: nothing was */
    const struct crash_model *under_way_next; /* NULL: nothing was behind it, in one sync with it */
    const struct crash_model *created;        /* as it is when new */

    /* ERR_CORRUPT is right too: LevelDB itself has spoilt its files, in a way nobody can help. */
    bool may_refuse;
};

/* What was found; to be added up. */
enum crash_outcome {
    CRASH_ABSENT = 1,      /* no store, and one can be created */
    CRASH_BEFORE = 2,      /* what was acknowledged, and no more */
    CRASH_AFTER = 4,       /* and what was under way */
    CRASH_REFUSED = 8,     /* ERR_CORRUPT, where that is right */
    CRASH_FAULT_SHIFT = 4, /* outcomes after a failed call are kept so far to the left */
};

/*
 * Opens the store at `path` as a starting node does and judges what is in it. With a creation under
 * way "there is none" is right too, if then one can be created. `go_on`: the store must then also
 * take a write and hold it after it was opened again. An enum crash_outcome; 0: `why` says what is
 * wrong.
 */
uint32_t crash_check(const struct crash_rig *rig, const char *path,
                     const struct crash_allowed *allowed, bool go_on, struct buf *why);

#endif

/*
 * explore_internal.h - what the files of the explorer share.
 *
 *     explore_node.c     one node and its disk: instances, inputs, outcomes, each computed once
 *     explore_engine.c   what a state of an instance is made of
 *     explore_rules.c    the properties
 *     explore.c          states of the cluster and the search
 *     explore_observe.c  paths run again under the observer
 *     explore_text.c     choices as text, paths as codes
 *     explore_guard.c    assertions that fail inside engines
 */
#ifndef SYNOD_TESTS_SIM_EXPLORE_INTERNAL_H
#define SYNOD_TESTS_SIM_EXPLORE_INTERNAL_H

#include <setjmp.h>
#include <signal.h>

#include "consensus/engine.h"
#include "tests/sim/explore.h"
#include "tests/sim/explore_intern.h"
#include "tests/sim/observer.h"

enum {
    EX_SLOTS = 16,       /* slots 1 .. EX_SLOTS - 1; a choice that needs more is not followed */
    EX_VALUE_NOOP = 1,   /* numbers of values; command k is EX_VALUE_NOOP + k; 0 none */
    EX_VALUE_OTHER = 15, /* one that nobody proposed */
    EX_WRITES_MAX = 16,  /* not yet durable, of a node */
    EX_NET_MAX = 96,     /* messages in flight */
    EX_CHOICES_MAX = 512,
    EX_PATH_MAX = 4096,
    EX_START_MAX = 2048, /* inputs of a start */
    EX_NONE = UINT32_MAX,
};

/* A growing row of numbers, to be hashed or interned. */
struct ex_words {
    uint64_t *at;
    uint32_t count;
    uint32_t capacity;
};

void ex_word(struct ex_words *w, uint64_t word);
void ex_words_raw(struct ex_words *w, const void *at, size_t size);
struct bytes ex_words_bytes(const struct ex_words *w);

/* The disk of a node; the synced part of it, there is no other. Numbers only: no padding. */
struct ex_disk {
    uint64_t epoch;
    uint64_t vote;
    uint64_t commit;
    uint64_t epochs[EX_SLOTS];
    uint64_t values[EX_SLOTS]; /* numbers; 0: empty */
    uint64_t promises[EX_SLOTS];
};

/* What a node is given: kind, node and argument in one number. */
enum ex_kind {
    EX_START = 0, /* from an empty disk */
    EX_DELIVER,   /* message */
    EX_AGAIN,     /* message, which stays in flight as well */
    EX_STORE,     /* the oldest write becomes durable */
    EX_TIMEOUT,   /* its clock moves to its own deadline */
    EX_PROPOSE,   /* command from 1 */
    EX_READ,      /* read from 1 */
    EX_CRASH,     /* power loss, then a start from what is durable */
};

#define EX_INPUT(kind, node, arg) ((uint32_t) (kind) << 28 | (uint32_t) (node) << 24 | (arg))
#define EX_INPUT_KIND(input) ((input) >> 28)
#define EX_INPUT_NODE(input) ((input) >> 24 & 15)
#define EX_INPUT_ARG(input) ((input) &0xffffff)

/* What an outcome means to the properties that look at several nodes. */
enum ex_fact_kind {
    FACT_LED,   /* it became leader of `epoch` */
    FACT_HELD,  /* (slot, epoch, value) is durable here; chain: hash of the log up to it (raft) */
    FACT_ASKED, /* it asks others to accept (slot, epoch, value) */
    FACT_READ,  /* read `slot` may be served once `chain` is applied */
};

struct ex_fact {
    uint8_t kind;
    uint8_t slot;
    uint8_t value;
    bool counts; /* HELD: towards a quorum under this epoch */
    bool below;  /* HELD: it had promised more, or held something higher */
    uint64_t epoch;
    uint64_t chain;
};

/* A state of one node. */
struct ex_local {
    uint32_t parent; /* one way to get here */
    uint32_t input;
    uint32_t disk; /* number in explorer.disks */
    uint32_t view; /* number in explorer.views: its log */
    uint64_t epoch;
    uint64_t deadline_us; /* UINT64_MAX: none */
    uint8_t node;
    uint8_t life; /* from 1 */
    uint8_t role;
    uint8_t commit;
    uint8_t known[EXPLORE_NODES_MAX + 1]; /* latest life it heard of each */
    bool writes;
    bool proposes;
    struct ex_instance *live; /* an instance in this state, or NULL */
};

/* What an input does to a node. */
struct ex_outcome {
    uint32_t to;
    uint32_t input;
    uint32_t next;       /* number + 1 of the next outcome of the same state */
    uint32_t sent_first; /* in explorer.sent: messages to others */
    uint32_t facts_first;
    uint16_t sent_count;
    uint16_t facts_count;
    bool beyond;   /* some table was too small: not followed */
    bool new_life; /* it heard of a later life of a peer: what the earlier one sent is dropped */
    uint32_t bad;  /* number + 1 in explorer.violations; 0: none */
};

struct ex_violation {
    char property[8];
    char text[256];
};

/* A message that was ever sent: what it says and which life of its sender said it. */
struct ex_message {
    struct message *message;
    uint8_t life;
};

/* A state of the cluster. Numbers only: no padding. */
struct ex_state {
    uint32_t local[EXPLORE_NODES_MAX];
    uint32_t net;     /* number in explorer.nets: the messages in flight */
    uint32_t monitor; /* number in explorer.monitors: what the properties remember */
    /* left of each budget */
    uint8_t timeouts;
    uint8_t crashes;
    uint8_t duplicates;
    uint8_t asked; /* commands proposed, and reads asked << 4 */
};

struct ex_edge {
    uint32_t parent;
    uint32_t input;
};

struct explorer {
    struct explore_options options;
    struct explore_result *result;
    struct engine_ops spy; /* the engine's, with a start that tells us where it is */
    struct value *values[EX_VALUE_OTHER];

    /* nodes */
    struct intern local_keys; /* numbers of locals */
    struct ex_local *locals;
    uint32_t locals_capacity;
    struct intern_map outcome_of; /* local, input -> outcome */
    struct ex_outcome *outcomes;
    uint32_t outcomes_count;
    uint32_t outcomes_capacity;
    uint32_t *sent;
    uint32_t sent_count;
    uint32_t sent_capacity;
    struct ex_fact *facts;
    uint32_t facts_count;
    uint32_t facts_capacity;
    struct ex_violation *violations;
    uint32_t violations_count;
    struct intern message_keys;
    struct ex_message *messages;
    uint32_t messages_capacity;
    struct intern disks;
    struct intern views;
    uint32_t *live; /* ring: locals that have an instance, oldest first */
    uint32_t live_at;
    struct ex_words words; /* scratch */
    struct ex_words words2;

    /* the outcome being computed */
    bool repeating; /* it is known: nothing is recorded */
    struct ex_outcome outcome;
    struct ex_violation bad;

    /* the cluster */
    struct intern nets;
    struct intern monitors;
    struct ex_state *states;
    struct ex_edge *edges;
    uint64_t states_capacity;
    uint64_t *table; /* number + 1, and half of the hash above it; 0: free */
    uint64_t mask;
    struct intern seen_views;
    uint32_t start_inputs[EX_START_MAX];
    uint32_t start_count;
    struct observer *observer; /* of the path that is run again; else NULL */
    uint32_t trying; /* state that is being expanded, for an assertion that fails in an engine */
    uint32_t trying_input;
};

/* ---- explore_node.c ---- */

struct ex_waiting {
    struct message *message;
    uint64_t write_id;
};

/* A running engine with its disk. */
struct ex_instance {
    struct explorer *x;
    uint32_t node;
    uint32_t life;
    struct consensus *c;
    struct engine *e;
    struct log *log;
    uint64_t now_us;
    struct log_write *writes[EX_WRITES_MAX];
    uint64_t since_us[EX_WRITES_MAX]; /* when each was handed out */
    uint32_t writes_count;
    struct ex_waiting *waiting;
    uint32_t waiting_count;
    uint32_t waiting_capacity;
    struct ex_disk disk;
    uint8_t known[EXPLORE_NODES_MAX + 1];
};

void ex_nodes_init(struct explorer *x);
void ex_nodes_release(struct explorer *x);

/* The outcome of giving this input to a node in this state; EX_START: from EX_NONE. The pointer is
 * valid until the next call. */
const struct ex_outcome *ex_outcome_of(struct explorer *x, uint32_t local, uint32_t input);

/* The hash of a log that ends with this entry. */
uint64_t ex_chain(uint64_t before, uint64_t epoch, uint64_t value);

uint8_t ex_value_number(const struct explorer *x, const struct value *v);
void ex_fact(struct explorer *x, const struct ex_fact *fact);
uint32_t ex_message_number(struct explorer *x, const struct message *m, uint8_t life);

/* A life begins. NULL: it cannot, see x->bad. */
struct ex_instance *ex_instance_new(struct explorer *x, uint32_t node, uint32_t life,
                                    const struct ex_disk *disk);
void ex_instance_free(struct ex_instance *i);

/* Any input but those that begin a life. */
void ex_instance_give(struct ex_instance *i, uint32_t input);

/* ---- explore_observe.c ---- */

/* Runs the start and then these inputs once more, under the observer. False: it objects, see
 * x->bad. */
bool ex_observe(struct explorer *x, const uint32_t *path, uint32_t length);

void ex_observe_submitted(struct explorer *x, const struct value *v);
void ex_observe_recovered(struct ex_instance *i, struct entry *entries, uint32_t entries_count,
                          struct slot_promise *promises, uint32_t promises_count);

/* ---- explore_engine.c ---- */

/* Everything that the future of an instance depends on, as words. */
void ex_instance_words(const struct ex_instance *i, struct ex_words *w);
void ex_message_words(const struct explorer *x, const struct message *m, struct ex_words *w);

/* ---- explore_rules.c ---- */

/* The properties that one node can break alone; each notes the first in x->bad. */
void ex_rules_write(struct ex_instance *i, const struct log_write *w, uint8_t role);
void ex_rules_store(struct ex_instance *i, const struct log_write *w); /* before it is applied */
void ex_rules_held(struct ex_instance *i, const struct log_write *w, const struct ex_disk *before);
void ex_rules_send(struct ex_instance *i, const struct message *m);

__attribute__((format(printf, 3, 4))) void ex_bad(struct explorer *x, const char *property,
                                                  const char *format, ...);

enum ex_next {
    EX_NEXT_OK,
    EX_NEXT_BEYOND, /* some table was too small: not followed */
    EX_NEXT_BAD,    /* x->bad */
};

/* Those of several nodes: moves the monitor over the outcome of giving `input` to a node that was
 * in the state `before`. */
enum ex_next ex_rules_outcome(struct explorer *x, uint32_t before, uint32_t input,
                              const struct ex_outcome *outcome, uint32_t *monitor);
uint32_t ex_monitor_new(struct explorer *x);
/* Slots chosen without a gap; epochs led. */
uint32_t ex_monitor_chosen(const struct explorer *x, uint32_t monitor);
uint32_t ex_monitor_led(const struct explorer *x, uint32_t monitor);

/* ---- explore.c ---- */

struct explorer *ex_new(const struct explore_options *options, struct explore_result *result);
void ex_free(struct explorer *x);

/* The first state, after the start asked for. False: a violation on the way. */
bool ex_begin(struct explorer *x, struct ex_state *ret_state);

/* What may happen in a state, in an order that is the same in every run. */
uint32_t ex_choices(struct explorer *x, const struct ex_state *s, uint32_t *choices);

enum ex_next ex_next(struct explorer *x, const struct ex_state *s, uint32_t input,
                     struct ex_state *ret_next);

/* ---- explore_guard.c ---- */

struct ex_guard {
    sigjmp_buf escape; /* set it right after begin */
    struct sigaction before;
};

/* From begin to end SIGABRT jumps to g->escape. Returns g. One at a time. */
struct ex_guard *ex_guard_begin(struct ex_guard *g);
void ex_guard_end(struct ex_guard *g);

/* ---- explore_text.c ---- */

void ex_text_input(const struct explorer *x, uint32_t input, struct buf *out);
void ex_text_state(const struct explorer *x, const struct ex_state *s, struct buf *out);
void ex_text_code(const struct explore_options *o, struct buf *out);
MUST_USE int ex_text_parse(const char *code, struct explore_options *ret_options,
                           const char **ret_choices, struct buf *error);

#endif

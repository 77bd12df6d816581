/*
 * explore_node.c - one node and its disk: instances, inputs, and their outcomes, each computed
 * once.
 *
 * A state of a node is told by what an instance is made of (explore_engine.c), or, with
 * options.histories, by all that it was given since its disk was empty. An instance cannot be
 * copied: to give a second input to a state, one is made from the disk with which its life began
 * and given the same inputs again. Those last used are kept.
 *
 * What is given back to the node itself is no choice: the replica gives a message of a node to
 * itself at once when it may leave. The state machine is applied at once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "consensus/engine.h"
#include "tests/sim/explore_internal.h"

enum {
    LIVE_MAX = 2048,          /* instances kept */
    LIFE_STARTS_US = 1000000, /* each life on a clock of its own */
    CHAIN_MAX = 4096,
    OUTPUTS_MAX = 1000, /* takes after one input: an engine that never comes to rest is broken */
};

void ex_word(struct ex_words *w, uint64_t word)
{
    if (w->count == w->capacity) {
        w->capacity = w->capacity == 0 ? 1024 : w->capacity * 2;
        w->at = xrealloc(w->at, w->capacity * sizeof *w->at);
    }
    w->at[w->count++] = word;
}

void ex_words_raw(struct ex_words *w, const void *at, size_t size)
{
    const uint8_t *bytes = at;
    for (size_t k = 0; k < size; k += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, bytes + k, u64_min(sizeof word, size - k));
        ex_word(w, word);
    }
}

struct bytes ex_words_bytes(const struct ex_words *w)
{
    return bytes_of(w->at, w->count * sizeof *w->at);
}

/* Values. */

uint8_t ex_value_number(const struct explorer *x, const struct value *v)
{
    if (v == NULL) {
        return 0;
    }
    for (uint8_t k = EX_VALUE_NOOP; k <= EX_VALUE_NOOP + x->options.commands + 1; k++) {
        if (v->kind == x->values[k]->kind && v->crc == x->values[k]->crc) {
            return k;
        }
    }
    return EX_VALUE_OTHER;
}

uint64_t ex_chain(uint64_t before, uint64_t epoch, uint64_t value)
{
    return hash64_mix(hash64_mix(before, epoch), value);
}

static struct value *value_of(uint64_t command)
{
    struct value_builder b;
    value_builder_init(&b, 64, 1);
    const struct command c = {.tag = 1,
                              .session = 1,
                              .sequence = command,
                              .payload = bytes_str("x")};
    int err = value_builder_add(&b, &c);
    ASSERT(err == OK);
    struct value *v = value_builder_detach(&b);
    value_builder_release(&b);
    return v;
}

/* Tables. */

uint32_t ex_message_number(struct explorer *x, const struct message *m, uint8_t life)
{
    bool fresh;
    x->words2.count = 0;
    ex_word(&x->words2, life);
    ex_message_words(x, m, &x->words2);
    uint32_t number = intern_put(&x->message_keys, ex_words_bytes(&x->words2), &fresh);
    if (fresh) {
        if (number >= x->messages_capacity) {
            x->messages_capacity = x->messages_capacity == 0 ? 256 : x->messages_capacity * 2;
            x->messages = xrealloc(x->messages, x->messages_capacity * sizeof *x->messages);
        }
        x->messages[number] = (struct ex_message){.message = message_copy(m), .life = life};
    }
    ASSERT(number <= EX_INPUT_ARG(UINT32_MAX));
    return number;
}

void ex_fact(struct explorer *x, const struct ex_fact *fact)
{
    if (x->repeating) {
        return;
    }
    if (x->facts_count == x->facts_capacity) {
        x->facts_capacity = x->facts_capacity == 0 ? 1024 : x->facts_capacity * 2;
        x->facts = xrealloc(x->facts, x->facts_capacity * sizeof *x->facts);
    }
    x->facts[x->facts_count++] = *fact;
    x->outcome.facts_count++;
}

static void note_sent(struct explorer *x, const struct message *m, uint8_t life)
{
    if (x->repeating) {
        return;
    }
    if (x->sent_count == x->sent_capacity) {
        x->sent_capacity = x->sent_capacity == 0 ? 1024 : x->sent_capacity * 2;
        x->sent = xrealloc(x->sent, x->sent_capacity * sizeof *x->sent);
    }
    x->sent[x->sent_count++] = ex_message_number(x, m, life);
    x->outcome.sent_count++;
}

/* Instances. */

static void on_trace(void *ctx, const struct trace_event *event)
{
    struct ex_instance *i = ctx;
    if (i->x->observer != NULL) {
        observer_trace(i->x->observer, event);
    }
    if (event->kind == TRACE_BECAME_LEADER) {
        ex_fact(i->x, &(struct ex_fact){.kind = FACT_LED, .epoch = event->epoch});
    }
}

/* In place of the engine's start: tells where the engine is. */
static void spy_start(struct engine *e, const struct hard_state *hard)
{
    struct ex_instance *i = e->options.trace.ctx;
    i->e = e;
    i->x->options.engine->start(e, hard);
}

static uint64_t seed_of(const struct ex_instance *i)
{
    return (uint64_t) i->life << 8 | i->node;
}

static struct consensus_options options_of(const struct explorer *x, struct ex_instance *i)
{
    struct consensus_options o;
    uint32_t ids[EXPLORE_NODES_MAX];
    consensus_options_init(&o);
    for (uint32_t k = 0; k < x->options.nodes; k++) {
        ids[k] = k + 1;
    }
    int err = membership_init(&o.members, ids, x->options.nodes);
    ASSERT(err == OK);
    o.self = i->node;
    o.seed = seed_of(i);
    o.election_us = 100000;
    o.resend_us = 30000;
    o.backoff_min_us = 5000;
    o.backoff_max_us = 20000;
    o.disk_stuck_us = 1000000;
    o.inflight_max = 4;
    o.reads_max = 4;
    o.pre_vote = x->options.product;
    o.check_quorum = x->options.product;
    o.quorum_connected = x->options.product;
    /* Rare, so that few of the time-outs in the budget are spent on beats. */
    o.heartbeat_us = x->options.product ? o.election_us / 2 : o.election_us - 1;
    if (x->options.small_messages) {
        o.message_bytes_max = 1;
    }
    o.trace = (struct trace_sink){.emit = on_trace, .ctx = i};
    return o;
}

static void pump(struct ex_instance *i);

static void recover(struct ex_instance *i)
{
    struct entry entries[EX_SLOTS];
    struct slot_promise promises[EX_SLOTS];
    uint32_t count = 0;
    uint32_t promises_count = 0;
    for (uint32_t slot = 1; slot < EX_SLOTS; slot++) {
        if (i->disk.values[slot] != 0) {
            entries[count++] = (struct entry){.index = slot,
                                              .epoch = i->disk.epochs[slot],
                                              .value = i->x->values[i->disk.values[slot]]};
        }
        if (i->disk.promises[slot] != 0) {
            promises[promises_count++] = (struct slot_promise){slot, i->disk.promises[slot]};
        }
    }
    if (i->x->observer != NULL) {
        ex_observe_recovered(i, entries, count, promises, promises_count);
    }
    int err = log_restore(i->log, entries, count, promises, promises_count, i->disk.commit);
    if (err != OK) {
        ex_bad(i->x, "D4", "node %u cannot start from its disk: %s", i->node, err_name(err));
    }
}

/* A life begins. NULL: it cannot, see x->bad. */
struct ex_instance *ex_instance_new(struct explorer *x, uint32_t node, uint32_t life,
                                    const struct ex_disk *disk)
{
    struct ex_instance *i = xcalloc(1, sizeof *i);
    i->x = x;
    i->node = node;
    i->life = life;
    i->disk = *disk;
    i->now_us = LIFE_STARTS_US;
    i->log = log_new(1u << 20, 64, (struct log_pos){0, 0});
    recover(i);
    if (x->bad.property[0] != '\0') {
        log_free(i->log);
        free(i);
        return NULL;
    }
    const struct consensus_options o = options_of(x, i);
    const struct hard_state hard = {.epoch = disk->epoch,
                                    .vote = (uint32_t) disk->vote,
                                    .commit = disk->commit};
    int err = consensus_new(&x->spy, &o, &hard, i->log, &i->c);
    ASSERT(err == OK);
    consensus_tick(i->c, i->now_us);
    pump(i);
    return i;
}

void ex_instance_free(struct ex_instance *i)
{
    for (uint32_t k = 0; k < i->writes_count; k++) {
        log_write_free(i->writes[k]);
    }
    for (uint32_t k = 0; k < i->waiting_count; k++) {
        message_free(i->waiting[k].message);
    }
    free(i->waiting);
    consensus_free(i->c);
    log_free(i->log);
    free(i);
}

/* Inputs. */

static bool slots_fit(const struct log_write *w)
{
    for (uint32_t k = 0; k < w->entries_count; k++) {
        if (w->entries[k].index >= EX_SLOTS) {
            return false;
        }
    }
    for (uint32_t k = 0; k < w->promises_count; k++) {
        if (w->promises[k].index >= EX_SLOTS) {
            return false;
        }
    }
    return true;
}

/* A message leaves; its list no longer holds it. To the node itself: given back. */
static void leave(struct ex_instance *i, struct message *m)
{
    ex_rules_send(i, m);
    if (i->x->observer != NULL) {
        observer_send(i->x->observer, i->node, m);
    }
    if (m->to == i->node) {
        int err = consensus_step(i->c, m);
        ASSERT(err == OK);
    } else {
        note_sent(i->x, m, (uint8_t) i->life);
    }
    message_free(m);
}

static void wait_for(struct ex_instance *i, struct message *m, uint64_t write_id)
{
    if (i->waiting_count == i->waiting_capacity) {
        i->waiting_capacity = i->waiting_capacity == 0 ? 8 : i->waiting_capacity * 2;
        i->waiting = xrealloc(i->waiting, i->waiting_capacity * sizeof *i->waiting);
    }
    i->waiting[i->waiting_count++] = (struct ex_waiting){.message = m, .write_id = write_id};
}

static void take(struct ex_instance *i)
{
    struct ready r;
    struct list_node *node;
    struct consensus_status status;
    consensus_status(i->c, &status);
    consensus_take(i->c, &r);
    if (r.write != NULL) {
        ex_rules_write(i, r.write, status.role);
        if (i->x->observer != NULL) {
            observer_handed(i->x->observer, i->node, r.write);
        }
        if (i->writes_count == EX_WRITES_MAX || !slots_fit(r.write)) {
            i->x->outcome.beyond = true;
            log_write_free(r.write);
            r.write = NULL;
        } else {
            i->since_us[i->writes_count] = i->now_us;
            i->writes[i->writes_count++] = r.write;
        }
    }
    for (uint32_t k = 0; k < r.reads_count; k++) {
        if (r.reads[k].err == OK) {
            ex_fact(i->x, &(struct ex_fact){.kind = FACT_READ,
                                            .slot = (uint8_t) r.reads[k].ctx,
                                            .chain = r.reads[k].index});
        }
    }
    /* Every log is small enough to be in memory. */
    i->x->outcome.beyond = i->x->outcome.beyond || r.loads_count > 0;
    while ((node = list_pop_front(&r.after)) != NULL) {
        struct message *m = list_entry(node, struct message, node);
        if (i->writes_count > 0 && r.after_write != 0) {
            wait_for(i, m, r.after_write);
        } else {
            list_push_back(&r.now, &m->node);
        }
    }
    if (r.commit > log_applied(i->log)) {
        consensus_applied(i->c, r.commit);
    }
    while ((node = list_pop_front(&r.now)) != NULL) {
        leave(i, list_entry(node, struct message, node));
    }
}

static void disk_write(struct ex_instance *i, const struct log_write *w)
{
    struct ex_disk *d = &i->disk;
    if (w->hard_set) {
        d->epoch = w->hard.epoch;
        d->vote = w->hard.vote;
        d->commit = w->hard.commit;
    }
    for (uint64_t slot = u64_max(w->truncate_from, 1); w->truncate_from != 0 && slot < EX_SLOTS;
         slot++) {
        d->epochs[slot] = 0;
        d->values[slot] = 0;
    }
    for (uint32_t k = 0; k < w->entries_count; k++) {
        uint64_t slot = w->entries[k].index;
        d->epochs[slot] = w->entries[k].epoch;
        d->values[slot] = ex_value_number(i->x, w->entries[k].value);
    }
    for (uint32_t k = 0; k < w->promises_count; k++) {
        d->promises[w->promises[k].index] = w->promises[k].ballot;
    }
}

static void store(struct ex_instance *i)
{
    struct log_write *w = i->writes[0];
    const struct ex_disk before = i->disk;
    ASSERT(i->writes_count > 0);
    ex_rules_store(i, w);
    if (i->x->observer != NULL) {
        observer_synced(i->x->observer, i->node, w);
    }
    disk_write(i, w);
    ex_rules_held(i, w, &before);
    i->writes_count--;
    memmove(&i->writes[0], &i->writes[1], i->writes_count * sizeof i->writes[0]);
    memmove(&i->since_us[0], &i->since_us[1], i->writes_count * sizeof i->since_us[0]);
    consensus_stored(i->c, w->id);
    uint32_t due = 0;
    while (due < i->waiting_count && i->waiting[due].write_id <= w->id) {
        due++;
    }
    /* Each is taken out before it leaves: what it does may add others. */
    for (; due > 0; due--) {
        struct message *m = i->waiting[0].message;
        i->waiting_count--;
        memmove(i->waiting, i->waiting + 1, i->waiting_count * sizeof i->waiting[0]);
        leave(i, m);
    }
    log_write_free(w);
}

static void pump(struct ex_instance *i)
{
    for (uint32_t takes = 0; consensus_has_ready(i->c); takes++) {
        ASSERT(takes < OUTPUTS_MAX);
        take(i);
        if (i->x->options.instant_disk && i->writes_count > 0) {
            store(i);
        }
    }
}

void ex_instance_give(struct ex_instance *i, uint32_t input)
{
    uint32_t arg = EX_INPUT_ARG(input);
    const struct ex_message *sent;
    /* The choice of random numbers made here: the same ones for each input. How many were drawn
     * before is then no part of the state. */
    rng_init(&i->e->rng, seed_of(i));
    switch (EX_INPUT_KIND(input)) {
    case EX_DELIVER:
        sent = &i->x->messages[arg];
        if (sent->life > i->known[sent->message->from]) {
            i->x->outcome.new_life = i->known[sent->message->from] != 0;
            i->known[sent->message->from] = sent->life;
        }
        ERR_IGNORE(consensus_step(i->c, sent->message)); /* refused: dropped and counted */
        break;
    case EX_STORE:
        store(i);
        break;
    case EX_TIMEOUT:
        i->now_us = u64_max(i->now_us, consensus_deadline(i->c));
        consensus_tick(i->c, i->now_us);
        break;
    case EX_PROPOSE:
        if (i->x->observer != NULL) {
            ex_observe_submitted(i->x, i->x->values[EX_VALUE_NOOP + arg]);
        }
        ERR_IGNORE(consensus_propose(i->c, i->x->values[EX_VALUE_NOOP + arg])); /* refused: lost */
        break;
    case EX_READ:
        ERR_IGNORE(consensus_read(i->c, arg)); /* refused: not answered */
        break;
    default:
        UNREACHABLE();
    }
    pump(i);
}

/* States. */

static void keep_alive(struct explorer *x, uint32_t local, struct ex_instance *i)
{
    uint32_t oldest = x->live[x->live_at];
    if (oldest != EX_NONE && x->locals[oldest].live != NULL) {
        ex_instance_free(x->locals[oldest].live);
        x->locals[oldest].live = NULL;
    }
    if (x->locals[local].live != NULL) {
        ex_instance_free(x->locals[local].live);
    }
    x->locals[local].live = i;
    x->live[x->live_at] = local;
    x->live_at = (x->live_at + 1) % LIVE_MAX;
}

static void view_words(const struct ex_instance *i, struct ex_words *w)
{
    uint64_t chain = 0;
    for (uint64_t slot = 1; slot < EX_SLOTS; slot++) {
        const struct slot *s = log_slot(i->log, slot);
        uint8_t value = s == NULL ? 0 : ex_value_number(i->x, s->value);
        uint64_t epoch = s == NULL ? 0 : s->epoch;
        chain = value == 0 ? 0 : ex_chain(chain, epoch, value);
        ex_word(w, value);
        ex_word(w, epoch);
        ex_word(w, chain);
    }
}

/* The state an instance is in. */
static uint32_t local_of(struct explorer *x, const struct ex_instance *i, uint32_t parent,
                         uint32_t input)
{
    uint64_t key[2];
    bool fresh;
    if (x->options.histories) {
        const uint64_t *before =
            parent == EX_NONE
                ? NULL
                : (const uint64_t *) (const void *) intern_get(&x->local_keys, parent).data;
        /* A message is told by what it says, not by its number: that depends on the search. */
        uint64_t what = EX_INPUT_KIND(input) == EX_DELIVER
                            ? intern_hash(&x->message_keys, EX_INPUT_ARG(input))
                            : input;
        key[0] = hash64_mix(before == NULL ? i->node : before[0], what);
        key[1] = hash64_mix(before == NULL ? ~(uint64_t) i->node : before[1], ~what);
    } else {
        x->words.count = 0;
        ex_instance_words(i, &x->words);
        key[0] = hash64_bytes(1, ex_words_bytes(&x->words));
        key[1] = hash64_bytes(2, ex_words_bytes(&x->words));
    }
    uint32_t number = intern_put(&x->local_keys, bytes_of(key, sizeof key), &fresh);
    if (!fresh) {
        return number;
    }
    if (number >= x->locals_capacity) {
        x->locals_capacity = x->locals_capacity == 0 ? 1024 : x->locals_capacity * 2;
        x->locals = xrealloc(x->locals, x->locals_capacity * sizeof *x->locals);
    }
    struct consensus_status status;
    consensus_status(i->c, &status);
    struct ex_local *l = &x->locals[number];
    *l = (struct ex_local){.parent = parent,
                           .input = input,
                           .disk = intern_put(&x->disks, bytes_of(&i->disk, sizeof i->disk), NULL),
                           .epoch = status.epoch,
                           .node = (uint8_t) i->node,
                           .life = (uint8_t) i->life,
                           .role = status.role,
                           .commit = (uint8_t) status.commit,
                           .writes = i->writes_count > 0,
                           .deadline_us = consensus_deadline(i->c),
                           .proposes = consensus_can_propose(i->c)};
    memcpy(l->known, i->known, sizeof l->known);
    x->words.count = 0;
    view_words(i, &x->words);
    l->view = intern_put(&x->views, ex_words_bytes(&x->words), NULL);
    return number;
}

static struct ex_instance *begin_life(struct explorer *x, uint32_t from, uint32_t input)
{
    static const struct ex_disk empty;
    if (EX_INPUT_KIND(input) == EX_START) {
        return ex_instance_new(x, EX_INPUT_NODE(input), 1, &empty);
    }
    const struct ex_local *l = &x->locals[from];
    struct ex_disk disk;
    memcpy(&disk, intern_get(&x->disks, l->disk).data, sizeof disk);
    return ex_instance_new(x, l->node, l->life + 1u, &disk);
}

static bool begins_life(uint32_t input)
{
    return EX_INPUT_KIND(input) == EX_START || EX_INPUT_KIND(input) == EX_CRASH;
}

/* An instance in this state, taken from where it is kept or made again. */
static struct ex_instance *instance_at(struct explorer *x, uint32_t local)
{
    struct ex_instance *i = x->locals[local].live;
    if (i != NULL) {
        x->locals[local].live = NULL;
        return i;
    }
    uint32_t chain[CHAIN_MAX];
    uint32_t length = 0;
    uint32_t at = local;
    while (!begins_life(x->locals[at].input)) {
        ASSERT(length < CHAIN_MAX);
        chain[length++] = x->locals[at].input;
        at = x->locals[at].parent;
    }
    x->repeating = true;
    i = begin_life(x, x->locals[at].parent, x->locals[at].input);
    ASSERT(i != NULL);
    while (length > 0) {
        ex_instance_give(i, chain[--length]);
        x->result->replayed++;
    }
    x->repeating = false;
    return i;
}

static void note_bad(struct explorer *x)
{
    if (x->bad.property[0] == '\0') {
        return;
    }
    x->violations = xrealloc(x->violations, (x->violations_count + 1) * sizeof *x->violations);
    x->violations[x->violations_count++] = x->bad;
    x->outcome.bad = x->violations_count;
    x->bad.property[0] = '\0';
}

const struct ex_outcome *ex_outcome_of(struct explorer *x, uint32_t local, uint32_t input)
{
    uint32_t number;
    uint64_t key = (uint64_t) (local + 1) << 32 | input; /* EX_NONE becomes 0 */
    if (intern_map_get(&x->outcome_of, key, &number)) {
        return &x->outcomes[number];
    }
    struct ex_instance *i = NULL;
    if (!begins_life(input)) {
        i = instance_at(x, local); /* before the outcome begins: it repeats others */
    }
    x->outcome = (struct ex_outcome){.to = EX_NONE,
                                     .input = input,
                                     .sent_first = x->sent_count,
                                     .facts_first = x->facts_count};
    x->result->local_steps++;
    if (i == NULL) {
        i = begin_life(x, local, input);
    } else {
        ex_instance_give(i, input);
    }
    note_bad(x);
    x->outcome.beyond = x->outcome.beyond || (i != NULL && log_last(i->log) >= EX_SLOTS);
    if (i != NULL && x->outcome.bad == 0 && !x->outcome.beyond) {
        x->outcome.to = local_of(x, i, local, input);
        keep_alive(x, x->outcome.to, i);
    } else if (i != NULL) {
        ex_instance_free(i);
    }
    if (x->outcomes_count == x->outcomes_capacity) {
        x->outcomes_capacity = x->outcomes_capacity == 0 ? 1024 : x->outcomes_capacity * 2;
        x->outcomes = xrealloc(x->outcomes, x->outcomes_capacity * sizeof *x->outcomes);
    }
    number = x->outcomes_count++;
    x->outcomes[number] = x->outcome;
    intern_map_put(&x->outcome_of, key, number);
    return &x->outcomes[number];
}

void ex_nodes_init(struct explorer *x)
{
    intern_init(&x->local_keys);
    intern_init(&x->message_keys);
    intern_init(&x->disks);
    intern_init(&x->views);
    intern_map_init(&x->outcome_of);
    x->live = xmalloc(LIVE_MAX * sizeof *x->live);
    for (uint32_t k = 0; k < LIVE_MAX; k++) {
        x->live[k] = EX_NONE;
    }
    x->values[EX_VALUE_NOOP] = value_new_noop();
    for (uint32_t k = 1; k <= x->options.commands + 1; k++) { /* one for the start */
        x->values[EX_VALUE_NOOP + k] = value_of(k);
    }
    x->spy = *x->options.engine;
    x->spy.start = spy_start;
}

void ex_nodes_release(struct explorer *x)
{
    for (uint32_t k = 0; k < x->local_keys.count; k++) {
        if (x->locals[k].live != NULL) {
            ex_instance_free(x->locals[k].live);
        }
    }
    for (uint32_t k = 0; k < x->message_keys.count; k++) {
        message_free(x->messages[k].message);
    }
    for (uint32_t k = 0; k < EX_VALUE_OTHER; k++) {
        value_unref(x->values[k]);
    }
    intern_release(&x->local_keys);
    intern_release(&x->message_keys);
    intern_release(&x->disks);
    intern_release(&x->views);
    intern_map_release(&x->outcome_of);
    free(x->locals);
    free(x->messages);
    free(x->outcomes);
    free(x->sent);
    free(x->facts);
    free(x->violations);
    free(x->live);
    free(x->words.at);
    free(x->words2.at);
}

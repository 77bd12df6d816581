/*
 * explore.c - states of the cluster and the search through them. See explore.h.
 *
 * A state is: the state of each node, the messages in flight, what the properties remember, and
 * what is left of the budgets. It is stored whole (32 bytes, by the numbers of its parts), so equal
 * means equal: nothing rests on a hash of it.
 *
 * Some choices are left out because others cover them:
 * - Losing a message. Nothing forces a delivery, so a message that stays in flight for ever is one
 *   that was lost, and no property speaks of messages in flight.
 * - Being down for a while. A node that starts at once and is given nothing does what one that is
 *   down does; what is sent to it meanwhile may stay in flight.
 * - A crash that leaves a write which was not yet told to be durable: it is STORE and then CRASH,
 *   with what STORE let go staying in flight.
 * - Delivering equal messages in different orders.
 * In each case the states left out differ from visited ones in messages in flight only, of which
 * the visited one has more.
 *
 * A crash takes along what is in flight to the node, as its connections end; what it sent stays
 * until the receiver has heard of the new life (kv/replica_message.c: stray).
 */
#include "tests/sim/explore.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/sim/explore_internal.h"

enum {
    TABLE_MIN = 1 << 12,
    TEXT_MAX = 1 << 20,
    STOP_EVERY = 1024, /* states between two questions whether to stop */
    SPLIT_MAX = 4,
    CALM_MAX = 1000,   /* steps to a start */
    FULL_PERCENT = 60, /* of the table of states */
};

static const char *const start_names[] = {
#define X(name, word) [EXPLORE_##name] = word,
    EXPLORE_START_MAP(X)
#undef X
};

const char *explore_start_name(uint8_t start)
{
    return start < EXPLORE_STARTS ? start_names[start] : NULL;
}

void explore_options_init(struct explore_options *o, const struct engine_ops *engine)
{
    *o = (struct explore_options){
        .engine = engine,
        .nodes = 3,
        .commands = 2,
        .timeouts = 2,
        .crashes = 1,
        .start = EXPLORE_LED,
        .states_max = 20000000,
        .observe = 1000,
    };
}

/* Messages in flight: numbers, in an order that does not depend on the search; with options.fifo
 * link by link, and on each in the order in which they were sent. */

struct net {
    uint32_t at[EX_NET_MAX];
    uint32_t count;
};

static void net_get(const struct explorer *x, uint32_t number, struct net *n)
{
    struct bytes bytes = intern_get(&x->nets, number);
    n->count = (uint32_t) (bytes.size / sizeof n->at[0]);
    memcpy(n->at, bytes.data, bytes.size);
}

static uint32_t net_put(struct explorer *x, const struct net *n)
{
    return intern_put(&x->nets, bytes_of(n->at, n->count * sizeof n->at[0]), NULL);
}

static uint64_t link_of(const struct explorer *x, uint32_t message)
{
    const struct message *m = x->messages[message].message;
    return (uint64_t) m->to << 8 | m->from;
}

/* Does a stand behind b, which was sent later? */
static bool net_behind(const struct explorer *x, uint32_t a, uint32_t b)
{
    if (x->options.fifo) {
        return link_of(x, a) > link_of(x, b);
    }
    uint64_t hash_a = intern_hash(&x->message_keys, a);
    uint64_t hash_b = intern_hash(&x->message_keys, b);
    return hash_a > hash_b || (hash_a == hash_b && a > b);
}

static bool net_add(const struct explorer *x, struct net *n, uint32_t message)
{
    if (n->count == EX_NET_MAX) {
        return false;
    }
    uint32_t at = n->count;
    while (at > 0 && net_behind(x, n->at[at - 1], message)) {
        at--;
    }
    memmove(&n->at[at + 1], &n->at[at], (n->count - at) * sizeof n->at[0]);
    n->at[at] = message;
    n->count++;
    return true;
}

/* With options.fifo what was sent before it on its link is lost. */
static void net_take(struct explorer *x, struct ex_state *s, uint32_t message)
{
    struct net n;
    uint32_t at = 0;
    net_get(x, s->net, &n);
    while (n.at[at] != message) {
        at++;
        ASSERT(at < n.count);
    }
    uint32_t first = at;
    while (x->options.fifo && first > 0 && link_of(x, n.at[first - 1]) == link_of(x, message)) {
        first--;
    }
    n.count -= at + 1 - first;
    memmove(&n.at[first], &n.at[at + 1], (n.count - first) * sizeof n.at[0]);
    s->net = net_put(x, &n);
}

/* What will never be taken: for an earlier life of a node that crashed, from an earlier life of a
 * peer that the node has heard of since. */
static void net_purge(const struct explorer *x, struct net *n, uint32_t node, bool crashed,
                      const uint8_t *known)
{
    uint32_t kept = 0;
    for (uint32_t k = 0; k < n->count; k++) {
        const struct ex_message *m = &x->messages[n->at[k]];
        if (m->message->to != node || (!crashed && m->life >= known[m->message->from])) {
            n->at[kept++] = n->at[k];
        }
    }
    n->count = kept;
}

/* Transitions. */

/* False: too many messages. */
static bool net_after(struct explorer *x, const struct ex_outcome *o, struct ex_state *next)
{
    struct net n;
    uint32_t kind = EX_INPUT_KIND(o->input);
    uint32_t node = EX_INPUT_NODE(o->input);
    net_get(x, next->net, &n);
    if (kind == EX_CRASH || o->new_life) {
        net_purge(x, &n, node, kind == EX_CRASH, x->locals[o->to].known);
    }
    for (uint32_t k = 0; k < o->sent_count; k++) {
        if (!net_add(x, &n, x->sent[o->sent_first + k])) {
            return false;
        }
    }
    next->net = net_put(x, &n);
    return true;
}

enum ex_next ex_next(struct explorer *x, const struct ex_state *s, uint32_t input,
                     struct ex_state *ret_next)
{
    uint32_t node = EX_INPUT_NODE(input);
    uint32_t kind = EX_INPUT_KIND(input);
    uint32_t local = s->local[node - 1];
    bool again = kind == EX_AGAIN;
    /* A copy: what comes next may look for other outcomes. */
    const struct ex_outcome o =
        *ex_outcome_of(x, local, again ? EX_INPUT(EX_DELIVER, node, EX_INPUT_ARG(input)) : input);
    if (o.bad != 0) {
        x->bad = x->violations[o.bad - 1];
        return EX_NEXT_BAD;
    }
    if (o.beyond) {
        return EX_NEXT_BEYOND;
    }
    struct ex_state next = *s;
    next.local[node - 1] = o.to;
    if (kind == EX_DELIVER) {
        net_take(x, &next, EX_INPUT_ARG(input));
    }
    bool changed = o.to != local || o.sent_count > 0 || kind == EX_CRASH;
    if (changed && !net_after(x, &o, &next)) {
        return EX_NEXT_BEYOND;
    }
    next.timeouts = (uint8_t) (next.timeouts - (kind == EX_TIMEOUT ? 1 : 0));
    next.crashes = (uint8_t) (next.crashes - (kind == EX_CRASH ? 1 : 0));
    next.duplicates = (uint8_t) (next.duplicates - (again ? 1 : 0));
    next.asked = (uint8_t) (next.asked + (kind == EX_PROPOSE ? 1 : 0) + (kind == EX_READ ? 16 : 0));
    enum ex_next result = ex_rules_outcome(x, local, input, &o, &next.monitor);
    if (result == EX_NEXT_OK) {
        *ret_next = next;
    }
    return result;
}

uint32_t ex_choices(struct explorer *x, const struct ex_state *s, uint32_t *choices)
{
    const struct explore_options *o = &x->options;
    uint32_t count = 0;
    uint32_t commands = s->asked & 15;
    uint32_t reads = s->asked >> 4;
    struct net n;
    for (uint32_t node = 1; node <= o->nodes; node++) {
        const struct ex_local *l = &x->locals[s->local[node - 1]];
        if (l->writes) {
            choices[count++] = EX_INPUT(EX_STORE, node, 0);
        }
        if (l->proposes && commands < o->commands) {
            choices[count++] = EX_INPUT(EX_PROPOSE, node, commands + 1);
        }
        if (reads < o->reads) {
            choices[count++] = EX_INPUT(EX_READ, node, reads + 1);
        }
        if (l->deadline_us != UINT64_MAX && s->timeouts > 0) {
            choices[count++] = EX_INPUT(EX_TIMEOUT, node, 0);
        }
        if (s->crashes > 0) {
            choices[count++] = EX_INPUT(EX_CRASH, node, 0);
        }
    }
    net_get(x, s->net, &n);
    for (uint32_t k = 0; k < n.count; k++) {
        uint32_t first = 0; /* of equal ones: with options.fifo the one that loses least */
        while (n.at[first] != n.at[k]) {
            first++;
        }
        if (first < k) {
            continue;
        }
        uint32_t to = x->messages[n.at[k]].message->to;
        choices[count++] = EX_INPUT(EX_DELIVER, to, n.at[k]);
        if (s->duplicates > 0) {
            choices[count++] = EX_INPUT(EX_AGAIN, to, n.at[k]);
        }
    }
    ASSERT(count <= EX_CHOICES_MAX);
    return count;
}

/* Starts: not counted against any budget. */

static bool move(struct explorer *x, struct ex_state *s, uint32_t input)
{
    struct ex_state budgets = *s;
    s->timeouts = 1;
    if (x->start_count == EX_START_MAX || ex_next(x, s, input, s) != EX_NEXT_OK) {
        if (x->bad.property[0] == '\0') {
            ex_bad(x, "", "the start does not fit into the tables");
        }
        return false;
    }
    x->start_inputs[x->start_count++] = input;
    s->timeouts = budgets.timeouts;
    s->asked = budgets.asked;
    return true;
}

/* Delivers and stores until there is nothing left. */
static bool calm(struct explorer *x, struct ex_state *s)
{
    uint32_t choices[EX_CHOICES_MAX];
    for (uint32_t steps = 0; steps < CALM_MAX; steps++) {
        uint32_t count = ex_choices(x, s, choices);
        uint32_t at = 0;
        while (at < count && EX_INPUT_KIND(choices[at]) != EX_STORE &&
               EX_INPUT_KIND(choices[at]) != EX_DELIVER) {
            at++;
        }
        if (at == count) {
            return true;
        }
        if (!move(x, s, choices[at])) {
            return false;
        }
    }
    ex_bad(x, "", "the start does not come to rest");
    return false;
}

static uint32_t node_with(const struct explorer *x, const struct ex_state *s, uint8_t role)
{
    for (uint32_t node = 1; node <= x->options.nodes; node++) {
        if (x->locals[s->local[node - 1]].role == role) {
            return node;
        }
    }
    return 0;
}

static uint32_t node_due(const struct explorer *x, const struct ex_state *s)
{
    uint32_t due = 1;
    for (uint32_t node = 2; node <= x->options.nodes; node++) {
        if (x->locals[s->local[node - 1]].deadline_us < x->locals[s->local[due - 1]].deadline_us) {
            due = node;
        }
    }
    return due;
}

/* Lets time pass until a node has this role. `node` 0: on all clocks alike, as eligibility wants it
 * (each must have heard the others of late); else on the clock of this node only. */
static bool until_role(struct explorer *x, struct ex_state *s, uint32_t node, uint8_t role)
{
    for (uint32_t k = 0; k < CALM_MAX; k++) {
        uint32_t due = node == 0 ? node_due(x, s) : node;
        if (!move(x, s, EX_INPUT(EX_TIMEOUT, due, 0))) {
            return false;
        }
        uint32_t with = node_with(x, s, role);
        if (with != 0 && (node == 0 || with == node)) {
            return true;
        }
        if ((node == 0 || role == ROLE_LEADER) && !calm(x, s)) {
            return false;
        }
        with = node_with(x, s, role);
        if (with != 0 && (node == 0 || with == node)) {
            return true;
        }
    }
    ex_bad(x, "", "no node becomes %s", consensus_role_name(role));
    return false;
}

static bool begin_led(struct explorer *x, struct ex_state *s)
{
    if ((engine_capabilities(x->options.engine) & CAP_LEADER) != 0) {
        return until_role(x, s, x->options.product ? 0 : 1, ROLE_LEADER) && calm(x, s);
    }
    return move(x, s, EX_INPUT(EX_PROPOSE, 1, x->options.commands + 1)) && calm(x, s);
}

static bool begin_split(struct explorer *x, struct ex_state *s)
{
    bool leaders = (engine_capabilities(x->options.engine) & CAP_LEADER) != 0;
    if (leaders) {
        if (!until_role(x, s, x->options.product ? 0 : 1, ROLE_CANDIDATE)) {
            return false;
        }
        /* A second one, if it may: what the first one says is not delivered. */
        uint32_t node = node_with(x, s, ROLE_CANDIDATE) % x->options.nodes + 1;
        for (uint32_t k = 0; k < SPLIT_MAX; k++) {
            if (x->locals[s->local[node - 1]].role != ROLE_CANDIDATE &&
                !move(x, s, EX_INPUT(EX_TIMEOUT, node, 0))) {
                return false;
            }
        }
        return true;
    }
    for (uint32_t node = 1; node <= u64_min(2, x->options.commands); node++) {
        uint8_t asked = (uint8_t) (s->asked + 1);
        if (!move(x, s, EX_INPUT(EX_PROPOSE, u64_min(node, x->options.nodes), node))) {
            return false;
        }
        s->asked = asked;
    }
    return true;
}

bool ex_begin(struct explorer *x, struct ex_state *ret_state)
{
    static const struct net empty;
    struct ex_state s = {
        .net = net_put(x, &empty),
        .monitor = ex_monitor_new(x),
        .timeouts = (uint8_t) x->options.timeouts,
        .crashes = (uint8_t) x->options.crashes,
        .duplicates = (uint8_t) x->options.duplicates,
    };
    for (uint32_t node = 1; node <= EXPLORE_NODES_MAX; node++) {
        s.local[node - 1] = EX_NONE;
        if (node <= x->options.nodes && !move(x, &s, EX_INPUT(EX_START, node, 0))) {
            return false;
        }
    }
    bool good = x->options.start == EXPLORE_EMPTY || calm(x, &s);
    good = good && (x->options.start != EXPLORE_LED || begin_led(x, &s));
    good = good && (x->options.start != EXPLORE_SPLIT || begin_split(x, &s));
    if (!good) {
        return false;
    }
    *ret_state = s;
    return true;
}

/* The states seen. */

/* An entry of the table of states: half of its hash, and its number + 1. */
#define ENTRY(number, hash) (((hash) & ~UINT64_C(0xffffffff)) | ((number) + 1))
#define ENTRY_NUMBER(entry) ((uint32_t) (entry) -1)
#define ENTRY_LIKE(entry, hash) ((((entry) ^ (hash)) >> 32) == 0)

static uint64_t state_hash(const struct ex_state *s)
{
    return hash64_bytes(0, bytes_of(s, sizeof *s));
}

static void table_put(struct explorer *x, uint64_t entry, uint64_t hash)
{
    uint64_t at = hash & x->mask;
    while (x->table[at] != 0) {
        at = (at + 1) & x->mask;
    }
    x->table[at] = entry;
}

static void table_grow(struct explorer *x)
{
    x->mask = x->mask * 2 + 1;
    free(x->table);
    x->table = xcalloc(x->mask + 1, sizeof *x->table);
    for (uint64_t k = 0; k < x->result->states; k++) {
        uint64_t hash = state_hash(&x->states[k]);
        table_put(x, ENTRY(k, hash), hash);
    }
}

/* False: it is known. */
static bool state_put(struct explorer *x, const struct ex_state *s, uint64_t hash,
                      struct ex_edge edge)
{
    for (uint64_t at = hash & x->mask; x->table[at] != 0; at = (at + 1) & x->mask) {
        if (ENTRY_LIKE(x->table[at], hash) &&
            memcmp(&x->states[ENTRY_NUMBER(x->table[at])], s, sizeof *s) == 0) {
            return false;
        }
    }
    uint64_t count = x->result->states;
    if (count == x->states_capacity) {
        x->states_capacity = u64_max(TABLE_MIN, x->states_capacity * 2);
        x->states = xrealloc(x->states, x->states_capacity * sizeof *x->states);
        x->edges = xrealloc(x->edges, x->states_capacity * sizeof *x->edges);
    }
    x->states[count] = *s;
    x->edges[count] = edge;
    x->result->states++;
    table_put(x, ENTRY(count, hash), hash);
    if (x->result->states * 100 > (x->mask + 1) * FULL_PERCENT) {
        table_grow(x);
    }
    return true;
}

static void count_view(struct explorer *x, const struct ex_state *s)
{
    uint64_t hash = 0;
    for (uint32_t node = 1; node <= x->options.nodes; node++) {
        const struct ex_local *l = &x->locals[s->local[node - 1]];
        hash = hash64_mix(hash, intern_hash(&x->views, l->view));
        hash = hash64_mix(hash, intern_hash(&x->disks, l->disk));
        hash = hash64_mix(hash, l->epoch);
        hash = hash64_mix(hash, (uint64_t) l->role << 16 | (uint64_t) l->life << 8 | l->commit);
    }
    bool fresh;
    (void) intern_put(&x->seen_views, bytes_of(&hash, sizeof hash), &fresh);
    if (fresh) {
        x->result->views++;
        x->result->views_hash += hash;
    }
}

static void count_state(struct explorer *x, const struct ex_state *s)
{
    struct explore_result *r = x->result;
    r->chosen_max = u64_max(r->chosen_max, ex_monitor_chosen(x, s->monitor));
    r->led_max = u64_max(r->led_max, ex_monitor_led(x, s->monitor));
    r->crashed += s->crashes < x->options.crashes ? 1 : 0;
    if (x->options.count_views) {
        count_view(x, s);
    }
}

struct explorer *ex_new(const struct explore_options *options, struct explore_result *result)
{
    struct explorer *x = xcalloc(1, sizeof *x);
    ASSERT(options->nodes >= 1 && options->nodes <= EXPLORE_NODES_MAX);
    ASSERT(options->commands <= EXPLORE_COMMANDS_MAX && options->reads <= EXPLORE_READS_MAX);
    ASSERT(options->timeouts <= EXPLORE_BUDGET_MAX && options->crashes <= EXPLORE_BUDGET_MAX &&
           options->duplicates <= EXPLORE_BUDGET_MAX);
    *result = (struct explore_result){.bound = ""};
    buf_init(&result->path, TEXT_MAX);
    buf_init(&result->code, TEXT_MAX);
    x->options = *options;
    x->result = result;
    x->trying = EX_NONE;
    ex_nodes_init(x);
    intern_init(&x->nets);
    intern_init(&x->monitors);
    intern_init(&x->seen_views);
    x->mask = TABLE_MIN - 1;
    x->table = xcalloc(TABLE_MIN, sizeof *x->table);
    return x;
}

void ex_free(struct explorer *x)
{
    ex_nodes_release(x);
    intern_release(&x->nets);
    intern_release(&x->monitors);
    intern_release(&x->seen_views);
    free(x->states);
    free(x->edges);
    free(x->table);
    free(x);
}

void explore_result_release(struct explore_result *r)
{
    buf_release(&r->path);
    buf_release(&r->code);
}

/* The search. */

/* The inputs that lead to a state. */
static uint32_t path_to(const struct explorer *x, uint32_t state, uint32_t path[EX_PATH_MAX])
{
    uint32_t length = 0;
    for (uint32_t at = state; at != 0; at = x->edges[at].parent) {
        length++;
    }
    ASSERT(length < EX_PATH_MAX);
    uint32_t left = length;
    for (uint32_t at = state; at != 0; at = x->edges[at].parent) {
        path[--left] = x->edges[at].input;
    }
    return length;
}

/* x->bad happens when this state gets this input; EX_NONE: on the way to the start. */
static void red(struct explorer *x, uint32_t state, uint32_t input)
{
    struct explore_result *r = x->result;
    uint32_t path[EX_PATH_MAX];
    uint32_t choices[EX_CHOICES_MAX];
    r->red = true;
    r->bound = "a violation";
    memcpy(r->property, x->bad.property, sizeof r->property);
    memcpy(r->text, x->bad.text, sizeof r->text);
    x->bad.property[0] = '\0';
    ex_text_code(&x->options, &r->code);
    ERR_IGNORE(buf_printf(&r->path, "start %s\n", explore_start_name(x->options.start)));
    if (state == EX_NONE) {
        return;
    }
    uint32_t length = path_to(x, state, path);
    path[length++] = input;
    struct ex_state s = x->states[0];
    for (uint32_t k = 0; k < length; k++) {
        uint32_t count = ex_choices(x, &s, choices);
        uint32_t at = 0;
        while (at < count && choices[at] != path[k]) {
            at++;
        }
        ASSERT(at < count);
        ERR_IGNORE(buf_printf(&r->code, ".%u", at)); /* a long one is cut off */
        ex_text_input(x, path[k], &r->path);
        if (k + 1 < length) {
            enum ex_next next = ex_next(x, &s, path[k], &s);
            ASSERT(next == EX_NEXT_OK);
        }
    }
    ex_text_state(x, &s, &r->path);
}

/* False: a violation. */
static bool expand(struct explorer *x, uint32_t number)
{
    uint32_t choices[EX_CHOICES_MAX];
    struct ex_state next[EX_CHOICES_MAX];
    uint64_t hashes[EX_CHOICES_MAX];
    enum ex_next results[EX_CHOICES_MAX];
    const struct ex_state s = x->states[number];
    uint32_t count = ex_choices(x, &s, choices);
    x->trying = number;
    /* All first, so that what the second loop looks up is on its way from memory. */
    for (uint32_t k = 0; k < count; k++) {
        x->trying_input = choices[k];
        results[k] = ex_next(x, &s, choices[k], &next[k]);
        if (results[k] == EX_NEXT_BAD) {
            red(x, number, choices[k]);
            return false;
        }
        if (results[k] == EX_NEXT_OK) {
            hashes[k] = state_hash(&next[k]);
            __builtin_prefetch(&x->table[hashes[k] & x->mask]);
        }
    }
    for (uint32_t k = 0; k < count; k++) {
        if (results[k] == EX_NEXT_BEYOND) {
            x->result->beyond++;
            continue;
        }
        x->result->transitions++;
        if (state_put(x, &next[k], hashes[k], (struct ex_edge){number, choices[k]})) {
            count_state(x, &next[k]);
        }
    }
    return true;
}

static const char *bound_of(struct explorer *x, uint64_t at)
{
    const struct explore_options *o = &x->options;
    if (x->result->states >= u64_min(o->states_max, UINT32_MAX - EX_CHOICES_MAX)) {
        return "the number of states";
    }
    if (o->depth != 0 && x->result->depth_complete == o->depth) {
        return "the depth";
    }
    return at % STOP_EVERY == 0 && o->stop != NULL && o->stop(o->ctx) ? "time" : NULL;
}

/* False: a violation. */
static bool observe(struct explorer *x)
{
    struct explore_result *r = x->result;
    uint64_t stride = r->states / u64_max(x->options.observe, 1) + 1;
    for (uint64_t at = 0; at < r->states && x->options.observe > 0; at += stride) {
        uint32_t state = (uint32_t) (r->states - 1 - at);
        uint32_t path[EX_PATH_MAX];
        r->observed++;
        if (!ex_observe(x, path, path_to(x, state, path))) {
            red(x, state == 0 ? EX_NONE : x->edges[state].parent, x->edges[state].input);
            return false;
        }
    }
    return true;
}

static void search(struct explorer *x)
{
    struct explore_result *r = x->result;
    struct ex_state first;
    if (!ex_begin(x, &first)) {
        red(x, EX_NONE, 0);
        return;
    }
    (void) state_put(x, &first, state_hash(&first), (struct ex_edge){0, 0});
    count_state(x, &first);
    uint64_t level = 1; /* first state of the next depth */
    const char *bound = NULL;
    for (uint64_t at = 0; at < r->states && bound == NULL; at++) {
        if (at == level) {
            r->depth_complete++;
            level = r->states;
        }
        bound = bound_of(x, at);
        if (bound == NULL && !expand(x, (uint32_t) at)) {
            bound = "a violation";
        }
    }
    if (!r->red && !observe(x)) {
        bound = "a violation";
    }
    r->depth_reached = r->depth_complete + (r->states > level || r->red ? 1 : 0);
    r->complete = bound == NULL && r->beyond == 0;
    r->bound = bound != NULL ? bound
               : r->complete ? "nothing: the space is exhausted"
                             : "the tables of the explorer";
}

static void figures(struct explorer *x)
{
    x->result->local_states = x->local_keys.count;
    x->result->messages = x->message_keys.count;
}

void explore_run(const struct explore_options *options, struct explore_result *ret_result)
{
    struct explorer *x = ex_new(options, ret_result);
    struct ex_guard guard;
    if (sigsetjmp(ex_guard_begin(&guard)->escape, 1) == 0) {
        search(x);
    } else {
        /* An assertion failed inside an engine; what it said is on stderr. */
        x->bad = (struct ex_violation){.property = "", .text = "an assertion failed in the engine"};
        x->repeating = false;
        red(x, x->trying, x->trying_input);
        ret_result->depth_reached = ret_result->depth_complete + 1;
    }
    ex_guard_end(&guard);
    figures(x);
    ex_free(x);
}

/* Replay. */

/* The next choice of the code; EX_NONE: there is no such choice. */
static uint32_t next_choice(struct explorer *x, const struct ex_state *s, const char **at,
                            struct buf *error)
{
    uint32_t choices[EX_CHOICES_MAX];
    char *end;
    uint32_t count = ex_choices(x, s, choices);
    bool number = **at == '.' && (*at)[1] >= '0' && (*at)[1] <= '9';
    unsigned long choice = number ? strtoul(*at + 1, &end, 10) : count;
    if (choice >= count) {
        ERR_IGNORE(buf_printf(error,
                              "`%.12s`: of %u choices there is no such one; the path is cut off or "
                              "of another version",
                              *at, count));
        return EX_NONE;
    }
    *at = end;
    return choices[choice];
}

static void replay_bad(struct explorer *x)
{
    x->result->red = true;
    memcpy(x->result->property, x->bad.property, sizeof x->bad.property);
    memcpy(x->result->text, x->bad.text, sizeof x->bad.text);
}

/* Errors: ERR_INVALID. */
static int replay(struct explorer *x, struct ex_state *s, const char *at, struct buf *error)
{
    struct explore_result *r = x->result;
    uint32_t path[EX_PATH_MAX];
    ERR_IGNORE(buf_printf(&r->path, "start %s\n", explore_start_name(x->options.start)));
    ex_text_state(x, s, &r->path);
    while (*at != '\0') {
        uint32_t input = r->depth_reached < EX_PATH_MAX ? next_choice(x, s, &at, error) : EX_NONE;
        if (input == EX_NONE) {
            return ERR_INVALID;
        }
        path[r->depth_reached++] = input;
        ex_text_input(x, input, &r->path);
        enum ex_next next = ex_next(x, s, input, s);
        ex_text_state(x, s, &r->path);
        if (next == EX_NEXT_BAD) {
            replay_bad(x);
            return OK;
        }
    }
    if (!ex_observe(x, path, r->depth_reached)) {
        replay_bad(x);
    }
    return OK;
}

int explore_replay(const char *code, struct explore_result *ret_result, struct buf *error)
{
    struct explore_options o;
    const char *at;
    if (ex_text_parse(code, &o, &at, error) != OK) {
        return ERR_INVALID;
    }
    volatile int err = OK;
    struct explorer *x = ex_new(&o, ret_result);
    struct ex_state s;
    struct ex_guard guard;
    if (sigsetjmp(ex_guard_begin(&guard)->escape, 1) != 0) {
        x->bad = (struct ex_violation){.property = "", .text = "an assertion failed in the engine"};
        replay_bad(x);
    } else if (!ex_begin(x, &s)) {
        red(x, EX_NONE, 0);
    } else {
        err = replay(x, &s, at, error);
    }
    ex_guard_end(&guard);
    figures(x);
    ex_free(x);
    if (err != OK) {
        explore_result_release(ret_result);
    }
    return err;
}

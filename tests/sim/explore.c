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
    };
}

/* Messages in flight: numbers, in an order that does not depend on the search. */

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

static bool net_add(const struct explorer *x, struct net *n, uint32_t message)
{
    if (n->count == EX_NET_MAX) {
        return false;
    }
    uint64_t hash = intern_hash(&x->message_keys, message);
    uint32_t at = n->count;
    while (at > 0 &&
           (intern_hash(&x->message_keys, n->at[at - 1]) > hash ||
            (intern_hash(&x->message_keys, n->at[at - 1]) == hash && n->at[at - 1] > message))) {
        at--;
    }
    memmove(&n->at[at + 1], &n->at[at], (n->count - at) * sizeof n->at[0]);
    n->at[at] = message;
    n->count++;
    return true;
}

static void net_remove(struct net *n, uint32_t message)
{
    uint32_t at = 0;
    while (n->at[at] != message) {
        at++;
        ASSERT(at < n->count);
    }
    n->count--;
    memmove(&n->at[at], &n->at[at + 1], (n->count - at) * sizeof n->at[0]);
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

static bool net_after(struct explorer *x, const struct ex_outcome *o, uint32_t input,
                      uint32_t *number)
{
    struct net n;
    uint32_t kind = EX_INPUT_KIND(input);
    if (kind != EX_DELIVER && kind != EX_CRASH && o->sent_count == 0 && !o->new_life) {
        return true;
    }
    net_get(x, *number, &n);
    if (kind == EX_DELIVER) {
        net_remove(&n, EX_INPUT_ARG(input));
    }
    if (kind == EX_CRASH || o->new_life) {
        net_purge(x, &n, EX_INPUT_NODE(input), kind == EX_CRASH, x->locals[o->to].known);
    }
    for (uint32_t k = 0; k < o->sent_count; k++) {
        if (!net_add(x, &n, x->sent[o->sent_first + k])) {
            return false;
        }
    }
    *number = net_put(x, &n);
    return true;
}

enum ex_next ex_next(struct explorer *x, const struct ex_state *s, uint32_t input,
                     struct ex_state *ret_next)
{
    uint32_t node = EX_INPUT_NODE(input);
    uint32_t kind = EX_INPUT_KIND(input);
    uint32_t local = s->local[node - 1];
    bool again = kind == EX_AGAIN;
    const struct ex_outcome *o =
        ex_outcome_of(x, local, again ? EX_INPUT(EX_DELIVER, node, EX_INPUT_ARG(input)) : input);
    if (o->bad != 0) {
        x->bad = x->violations[o->bad - 1];
        return EX_NEXT_BAD;
    }
    if (o->beyond) {
        return EX_NEXT_BEYOND;
    }
    struct ex_state next = *s;
    next.local[node - 1] = o->to;
    if (!net_after(x, o, input, &next.net)) {
        return EX_NEXT_BEYOND;
    }
    next.timeouts = (uint8_t) (next.timeouts - (kind == EX_TIMEOUT ? 1 : 0));
    next.crashes = (uint8_t) (next.crashes - (kind == EX_CRASH ? 1 : 0));
    next.duplicates = (uint8_t) (next.duplicates - (again ? 1 : 0));
    next.asked = (uint8_t) (next.asked + (kind == EX_PROPOSE ? 1 : 0) + (kind == EX_READ ? 16 : 0));
    enum ex_next result = ex_rules_outcome(x, local, input, o, &next.monitor);
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
        if (l->timer && s->timeouts > 0) {
            choices[count++] = EX_INPUT(EX_TIMEOUT, node, 0);
        }
        if (s->crashes > 0) {
            choices[count++] = EX_INPUT(EX_CRASH, node, 0);
        }
    }
    net_get(x, s->net, &n);
    for (uint32_t k = 0; k < n.count; k++) {
        if (k > 0 && n.at[k] == n.at[k - 1]) {
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
    if (ex_next(x, s, input, s) != EX_NEXT_OK) {
        if (x->bad.property[0] == '\0') {
            ex_bad(x, "", "the start does not fit into the tables");
        }
        return false;
    }
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

static bool until_role(struct explorer *x, struct ex_state *s, uint32_t node, uint8_t role,
                       bool between)
{
    for (uint32_t k = 0; k < CALM_MAX; k++) {
        if (x->locals[s->local[node - 1]].role == role) {
            return true;
        }
        if (!move(x, s, EX_INPUT(EX_TIMEOUT, node, 0)) || (between && !calm(x, s))) {
            return false;
        }
    }
    ex_bad(x, "", "node %u does not become %s", node, consensus_role_name(role));
    return false;
}

static bool begin_led(struct explorer *x, struct ex_state *s)
{
    if (!calm(x, s)) {
        return false;
    }
    if ((engine_capabilities(x->options.engine) & CAP_LEADER) != 0) {
        return until_role(x, s, 1, ROLE_LEADER, true) && calm(x, s);
    }
    return move(x, s, EX_INPUT(EX_PROPOSE, 1, x->options.commands + 1)) && calm(x, s);
}

static bool begin_split(struct explorer *x, struct ex_state *s)
{
    if (!calm(x, s)) {
        return false;
    }
    for (uint32_t node = 1; node <= 2; node++) {
        if ((engine_capabilities(x->options.engine) & CAP_LEADER) != 0) {
            if (!until_role(x, s, node, ROLE_CANDIDATE, false)) {
                return false;
            }
        } else if (node <= x->options.commands) {
            uint8_t asked = (uint8_t) (s->asked + 1);
            if (!move(x, s, EX_INPUT(EX_PROPOSE, node, node))) {
                return false;
            }
            s->asked = asked;
        }
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
    if ((x->options.start == EXPLORE_LED && !begin_led(x, &s)) ||
        (x->options.start == EXPLORE_SPLIT && !begin_split(x, &s))) {
        return false;
    }
    *ret_state = s;
    return true;
}

/* The states seen. */

static bool state_put(struct explorer *x, const struct ex_state *s, struct ex_edge edge)
{
    uint64_t at = hash64_bytes(0, bytes_of(s, sizeof *s)) & x->mask;
    while (x->table[at] != 0) {
        if (memcmp(&x->states[x->table[at] - 1], s, sizeof *s) == 0) {
            return false;
        }
        at = (at + 1) & x->mask;
    }
    uint64_t count = x->result->states;
    if (count == x->states_capacity) {
        x->states_capacity = u64_max(TABLE_MIN, x->states_capacity * 2);
        x->states = xrealloc(x->states, x->states_capacity * sizeof *x->states);
        x->edges = xrealloc(x->edges, x->states_capacity * sizeof *x->edges);
    }
    x->states[count] = *s;
    x->edges[count] = edge;
    x->table[at] = (uint32_t) ++x->result->states;
    if (x->result->states * 100 > (x->mask + 1) * FULL_PERCENT) {
        x->mask = x->mask * 2 + 1;
        free(x->table);
        x->table = xcalloc(x->mask + 1, sizeof *x->table);
        for (uint64_t k = 0; k < x->result->states; k++) {
            at = hash64_bytes(0, bytes_of(&x->states[k], sizeof *s)) & x->mask;
            while (x->table[at] != 0) {
                at = (at + 1) & x->mask;
            }
            x->table[at] = (uint32_t) k + 1;
        }
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

static void red(struct explorer *x, uint32_t state, uint32_t input)
{
    struct explore_result *r = x->result;
    uint32_t path[EX_PATH_MAX];
    uint32_t length = 0;
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
    path[length++] = input;
    for (uint32_t at = state; at != 0 && length < EX_PATH_MAX; at = x->edges[at].parent) {
        path[length++] = x->edges[at].input;
    }
    struct ex_state s = x->states[0];
    while (length > 0) {
        uint32_t count = ex_choices(x, &s, choices);
        uint32_t at = 0;
        length--;
        while (at < count && choices[at] != path[length]) {
            at++;
        }
        ASSERT(at < count);
        ERR_IGNORE(buf_printf(&r->code, ".%u", at)); /* a long one is cut off */
        ex_text_input(x, path[length], &r->path);
        if (length > 0) {
            enum ex_next next = ex_next(x, &s, path[length], &s);
            ASSERT(next == EX_NEXT_OK);
        }
    }
    ex_text_state(x, &s, &r->path);
}

/* False: a violation. */
static bool expand(struct explorer *x, uint32_t number)
{
    uint32_t choices[EX_CHOICES_MAX];
    struct ex_state next;
    const struct ex_state s = x->states[number];
    uint32_t count = ex_choices(x, &s, choices);
    x->trying = number;
    for (uint32_t k = 0; k < count; k++) {
        x->trying_input = choices[k];
        enum ex_next result = ex_next(x, &s, choices[k], &next);
        if (result == EX_NEXT_BAD) {
            red(x, number, choices[k]);
            return false;
        }
        if (result == EX_NEXT_BEYOND) {
            x->result->beyond++;
            continue;
        }
        x->result->transitions++;
        if (state_put(x, &next, (struct ex_edge){number, choices[k]})) {
            count_state(x, &next);
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
    return at % STOP_EVERY == 0 && o->stop != NULL && o->stop(o->ctx) ? "time" : NULL;
}

static void search(struct explorer *x)
{
    struct explore_result *r = x->result;
    struct ex_state first;
    if (!ex_begin(x, &first)) {
        red(x, EX_NONE, 0);
        return;
    }
    (void) state_put(x, &first, (struct ex_edge){0, 0});
    count_state(x, &first);
    uint64_t level = 1; /* first state of the next depth */
    for (uint64_t at = 0; at < r->states; at++) {
        if (at == level) {
            r->depth_complete++;
            level = r->states;
        }
        if (x->options.depth != 0 && r->depth_complete == x->options.depth) {
            r->bound = "the depth";
            r->depth_reached = r->depth_complete;
            return;
        }
        const char *bound = bound_of(x, at);
        if (bound != NULL) {
            r->bound = bound;
            r->depth_reached = r->depth_complete + (r->states > level ? 1 : 0);
            return;
        }
        if (!expand(x, (uint32_t) at)) {
            r->depth_reached = r->depth_complete + 1;
            return;
        }
    }
    r->complete = r->beyond == 0;
    r->depth_reached = r->depth_complete;
    r->bound = r->complete ? "nothing: the space is exhausted" : "the tables of the explorer";
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

static bool replay_step(struct explorer *x, struct ex_state *s, const char **at, struct buf *error)
{
    uint32_t choices[EX_CHOICES_MAX];
    char *end;
    unsigned long choice = strtoul(*at + 1, &end, 10);
    uint32_t count = ex_choices(x, s, choices);
    if (**at != '.' || end == *at + 1 || choice >= count) {
        ERR_IGNORE(buf_printf(error,
                              "the path has no choice `%.12s`: there are %u (0 to %u); it is of "
                              "another version, or cut off",
                              *at, count, count - 1));
        return false;
    }
    *at = end;
    x->result->depth_reached++;
    ex_text_input(x, choices[choice], &x->result->path);
    enum ex_next next = ex_next(x, s, choices[choice], s);
    if (next == EX_NEXT_BAD) {
        x->result->red = true;
        memcpy(x->result->property, x->bad.property, sizeof x->bad.property);
        memcpy(x->result->text, x->bad.text, sizeof x->bad.text);
    }
    return true;
}

int explore_replay(const char *code, struct explore_result *ret_result, struct buf *error)
{
    struct explore_options o;
    const char *at;
    int err = ex_text_parse(code, &o, &at, error);
    if (err != OK) {
        return err;
    }
    struct explorer *x = ex_new(&o, ret_result);
    struct ex_state s;
    struct ex_guard guard;
    if (sigsetjmp(ex_guard_begin(&guard)->escape, 1) != 0) {
        ret_result->red = true;
        (void) strcpy(ret_result->text, "an assertion failed in the engine");
    } else if (!ex_begin(x, &s)) {
        red(x, EX_NONE, 0);
    } else {
        ERR_IGNORE(buf_printf(&ret_result->path, "start %s\n", explore_start_name(o.start)));
        ex_text_state(x, &s, &ret_result->path);
        while (err == OK && *at != '\0' && !ret_result->red) {
            err = replay_step(x, &s, &at, error) ? OK : ERR_INVALID;
            ex_text_state(x, &s, &ret_result->path);
        }
    }
    ex_guard_end(&guard);
    figures(x);
    ex_free(x);
    if (err != OK) {
        explore_result_release(ret_result);
    }
    return err;
}

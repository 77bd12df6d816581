/*
 * sim_client.c - clients: when they call, whom, what, and what they do without an answer.
 *
 * Each has one call at a time. A client with a session tries a write again, through any node and
 * under the same name, until it knows the outcome or loses patience; then it comes back under a new
 * name in the history. What is asked and what an answer means is in sim_call.c.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/session.h"
#include "tests/sim/sim_internal.h"

enum {
    ATTEMPTS_MAX = 12,
    PATIENCE_US = 200000, /* beyond the deadline: the node is gone */
    RECONNECT_MAX_US = 50000,
    RETRY_MIN_US = 1000,
    ABANDONED_PERMILLE = 20,
    PAST_ONE_IN = 25,
    PAST_MAX = SESSION_ANSWERS / 2, /* what is kept for certain, with some under way */
};

uint32_t sim_keys(const struct sim *sim, uint8_t space)
{
    switch (space) {
    case KEY_REGISTER:
        return sim->scenario->keys;
    case KEY_LIST:
        return (sim->scenario->keys + 1) / 2;
    default:
        return (sim->scenario->keys + 3) / 4;
    }
}

bool sim_op_local(const struct sim *sim, const struct client_op *op)
{
    return op->kind == SIM_OP_LOCAL || (op->kind == SIM_OP_GET && sim->scenario->reads_local);
}

bool sim_op_writes(const struct client_op *op)
{
    switch (op->kind) {
    case SIM_OP_GET:
    case SIM_OP_LOCAL:
        return false;
    case SIM_OP_TXN:
        return op->variant != TXN_READ;
    default:
        return true;
    }
}

void sim_client_sleep(struct sim *sim, struct client *c, uint64_t us)
{
    c->wake_us = sim->now_us + us;
    sim_push(sim, (struct event){.time_us = c->wake_us, .kind = EVENT_CLIENT, .node = c->id});
}

/* With a rate, others than the client say when it calls again. */
static bool by_rate(const struct sim *sim)
{
    return sim->scenario->rate != 0 && !sim->healed;
}

static void think(struct sim *sim, struct client *c)
{
    c->call = 0;
    c->state = CLIENT_THINKS;
    c->wake_us = 0;
    if (!by_rate(sim)) {
        sim_client_sleep(sim, c,
                         rng_between(&c->rng, sim->scenario->think.min, sim->scenario->think.max));
    }
}

static bool is_free(const struct client *c)
{
    return c->state == CLIENT_THINKS && c->wake_us == 0;
}

static void new_session(struct client *c)
{
    c->session = SESSION_CLIENT_BIT | (((c->session >> 16 & 0xffffffff) + 1) << 16) | (c->id + 1);
    c->sequence = 1;
    c->past.sequence = 0;
}

/* A time drawn from the exponential distribution of mean 1, in 2^-32. By comparisons alone (J. von
 * Neumann, 1951), as a logarithm need not be the same in every build. */
static uint64_t exponential(struct rng *rng)
{
    for (uint64_t whole = 0;; whole += UINT64_C(1) << 32) {
        uint64_t first = rng_u64(rng) >> 32;
        uint64_t last = first;
        bool odd = true;
        for (;;) {
            uint64_t next = rng_u64(rng) >> 32;
            if (next >= last) {
                break;
            }
            last = next;
            odd = !odd;
        }
        if (odd) {
            return whole + first;
        }
    }
}

/* The moments of calls are a Poisson process: they depend on no answer. */
static void call_later(struct sim *sim)
{
    uint64_t us = exponential(&sim->rate_rng) * 1000000 / sim->scenario->rate >> 32;
    sim_push(sim, (struct event){.time_us = sim->now_us + us, .kind = EVENT_CALL});
}

void sim_clients_init(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->scenario->clients; i++) {
        struct client *c = &sim->clients[i];
        c->id = i;
        c->name = ++sim->client_names;
        rng_init(&c->rng, sim->scenario->seed ^ UINT64_C(0x636c69656e74) ^ (uint64_t) i << 50);
        if (rng_chance(&c->rng, 3, 4)) {
            new_session(c);
        }
        think(sim, c);
    }
    if (by_rate(sim)) {
        call_later(sim);
    }
}

void sim_clients_heal(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->scenario->clients; i++) {
        if (is_free(&sim->clients[i])) {
            think(sim, &sim->clients[i]);
        }
    }
}

void sim_clients_release(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->scenario->clients; i++) {
        for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
            free(sim->clients[i].list_text[key]);
        }
    }
}

bool sim_clients_idle(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->scenario->clients; i++) {
        if (sim->clients[i].state != CLIENT_DONE) {
            return false;
        }
    }
    return true;
}

/* What to do. */

static uint8_t choose_kind(struct sim *sim, struct client *c)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < SIM_OPS; i++) {
        sum += sim->scenario->mix[i];
    }
    uint64_t at = rng_below(&c->rng, u64_max(sum, 1));
    for (uint8_t i = 0; i < SIM_OPS; i++) {
        if (at < sim->scenario->mix[i]) {
            return i;
        }
        at -= sim->scenario->mix[i];
    }
    return SIM_OP_PUT; /* an empty mix */
}

/* K2: whoever asks again for what was done, though more was done since, gets the first answer. */
static bool choose_past(struct sim *sim, struct client *c)
{
    bool kept = c->past.sequence != 0 && c->past.sequence + PAST_MAX > c->sequence &&
                c->past.sequence < c->sequence;
    if (!kept || sim->strict || !rng_chance(&c->rng, 1, PAST_ONE_IN)) {
        return false;
    }
    c->op = c->past;
    c->op.attempts = 0;
    return true;
}

static void choose(struct sim *sim, struct client *c)
{
    struct client_op *op = &c->op;
    uint8_t space = KEY_REGISTER;
    *op = (struct client_op){.kind = choose_kind(sim, c)};
    if (op->kind == SIM_OP_APPEND) {
        space = KEY_LIST;
    } else if (op->kind == SIM_OP_TXN) {
        space = KEY_PAIR_A;
        op->variant = (uint8_t) rng_below(&c->rng, TXN_VARIANTS);
    } else if (op->kind == SIM_OP_GET && sim->scenario->mix[SIM_OP_APPEND] > 0 &&
               rng_chance(&c->rng, 1, 3)) {
        space = KEY_LIST;
    }
    op->key.space = space;
    op->key.number = (uint32_t) rng_below(&c->rng, sim_keys(sim, space));
}

/* The reads of the end: every key once, from the last to the first. */
static void choose_final(struct sim *sim, struct client *c)
{
    uint32_t number = --c->finals;
    c->op = (struct client_op){.kind = SIM_OP_GET};
    for (uint8_t space = 0; space < KEY_SPACES; space++) {
        if (number < sim_keys(sim, space)) {
            c->op.key = (struct sim_key){.space = space, .number = number};
            return;
        }
        number -= sim_keys(sim, space);
    }
    UNREACHABLE();
}

void sim_clients_final(struct sim *sim)
{
    struct client *c = &sim->clients[0];
    c->finals = 0;
    for (uint8_t space = 0; space < KEY_SPACES; space++) {
        c->finals += sim_keys(sim, space);
    }
    think(sim, c);
}

/* Calls. */

/* Local reads stay with one node; at the end only nodes are asked that must answer. */
static struct node *choose_node(struct sim *sim, struct client *c)
{
    uint32_t nodes = sim->scenario->nodes;
    if (c->op.kind == SIM_OP_LOCAL && !sim->strict) {
        return &sim->nodes[c->id % nodes + 1];
    }
    uint32_t id = (uint32_t) rng_between(&c->rng, 1, nodes);
    for (uint32_t i = 0; i < nodes; i++, id = id % nodes + 1) {
        bool core = !sim->strict || sim->scenario->core[id];
        bool up = sim->nodes[id].replica != NULL || !(sim->strict || sim->clients_stop);
        if (core && up) {
            break;
        }
    }
    return &sim->nodes[id];
}

static void give_up(struct sim *sim, struct client *c)
{
    bool unknown = c->op.unknown;
    sim_count(sim, unknown ? COUNT_UNKNOWN : COUNT_FAILED);
    sim_call_end(sim, c, unknown ? HIST_UNKNOWN : HIST_FAIL);
    if (unknown && c->op.sequence == 0) {
        c->name = ++sim->client_names;
        c->sequence++; /* the old one may still be applied */
    }
    c->again = false;
    think(sim, c);
}

static void try_again(struct sim *sim, struct client *c)
{
    c->call = 0;
    c->again = true;
    c->state = CLIENT_THINKS;
    sim_client_sleep(sim, c, RETRY_MIN_US + rng_below(&c->rng, RECONNECT_MAX_US));
}

static bool may_retry(const struct sim *sim, struct client *c)
{
    const struct client_op *op = &c->op;
    if (op->attempts >= ATTEMPTS_MAX) {
        return false;
    }
    if (sim->strict || c->finals > 0 || !sim_op_writes(op)) {
        return !op->unknown || !sim_op_writes(op);
    }
    if (op->unknown && c->session == 0) {
        return false;
    }
    /* A session that the table forgot begins anew with 1: such a write is not safe to repeat. */
    if (op->unknown && c->sequence == 1 &&
        sim->scenario->options[OPTION_SESSIONS] < UINT64_C(2) * SIM_CLIENTS_MAX) {
        return false;
    }
    return rng_chance(&c->rng, sim->scenario->retry_percent, 100);
}

/* What a call may be answered with besides OK. */
static bool legal(const struct client *c, int err)
{
    switch (err) {
    case ERR_TIMEOUT:
    case ERR_NO_LEADER:
    case ERR_TOO_MANY_REQUESTS:
    case ERR_UNREACHABLE: /* the simulator's own: the node is down */
        return true;
    case ERR_SESSION_EXPIRED:
        return c->session != 0 && sim_op_writes(&c->op);
    case ERR_COMPACTED:
    case ERR_FUTURE_REVISION:
        return c->op.kind == SIM_OP_COMPACT;
    default:
        return false;
    }
}

void sim_client_over(struct sim *sim, struct client *c, int err)
{
    c->last_err = err;
    if (err == OK) {
        c->answered++;
        c->again = false;
        if (sim_op_writes(&c->op) && c->session != 0 && c->op.sequence == 0) {
            if (c->op.kind == SIM_OP_PUT) {
                c->past = c->op;
                c->past.sequence = c->sequence;
                c->past.number = UINT32_MAX; /* the history has it already */
            }
            c->sequence++;
        }
        think(sim, c);
        return;
    }
    if (!legal(c, err)) {
        sim_fail(sim, "", "client %u was answered %s by node %u, which says nothing to this call",
                 c->id, err_name(err), c->node);
        return;
    }
    if (c->strict && err == ERR_TIMEOUT) {
        sim_fail(sim, "R11", "client %u got no answer from node %u, which has a connected majority",
                 c->id, c->node);
        return;
    }
    if (err == ERR_TIMEOUT) {
        c->op.unknown = true;
    }
    if (err == ERR_SESSION_EXPIRED && c->session != 0) {
        c->op.unknown = true; /* a second copy of its batch may find the session known again */
        give_up(sim, c);
        new_session(c);
        return;
    }
    if (may_retry(sim, c)) {
        sim->result->counts[COUNT_RETRIES] += c->op.unknown ? 1 : 0;
        try_again(sim, c);
    } else {
        give_up(sim, c);
    }
}

static void call(struct sim *sim, struct client *c, struct node *n)
{
    uint64_t timeout = sim->strict ? sim->strict_timeout_us : sim->scenario->timeout_us;
    c->node = n->id;
    c->life = n->life;
    c->strict = sim->strict;
    c->abandoned =
        !sim->strict && !sim->clients_stop && rng_chance(&c->rng, ABANDONED_PERMILLE, 1000);
    if (n->replica == NULL) {
        sim_client_over(sim, c, ERR_UNREACHABLE);
        return;
    }
    if (c->op.attempts == 1 || !sim_op_writes(&c->op)) { /* an earlier attempt may be answered */
        c->op.floor = observer_invoked(sim->observer);
        c->op.floor_revision = sim->revision_floor;
    }
    c->call = (uint64_t) c->id << 40 | ++sim->call_number;
    c->state = CLIENT_WAITS;
    sim_count(sim, COUNT_CALLS);
    sim_client_sleep(sim, c,
                     c->abandoned ? rng_between(&c->rng, 0, timeout / 4) : timeout + PATIENCE_US);
    sim_node_enter(sim, n);
    int err = sim_call_submit(sim, c, n, timeout);
    if (err != OK) {
        sim_client_over(sim, c, err);
    }
    sim_node_leave(sim, n);
}

static void begin(struct sim *sim, struct client *c)
{
    if (!c->again && sim->clients_stop && c->finals == 0) {
        c->state = CLIENT_DONE;
        return;
    }
    if (!c->again) {
        if (c->finals > 0) {
            choose_final(sim, c);
            sim_call_begin(sim, c);
        } else if (!choose_past(sim, c)) {
            choose(sim, c);
            sim_call_begin(sim, c);
        }
    }
    c->again = false;
    c->op.attempts++;
    call(sim, c, choose_node(sim, c));
}

void sim_clients_call(struct sim *sim)
{
    uint32_t free_ones[SIM_CLIENTS_MAX];
    uint32_t count = 0;
    if (!by_rate(sim)) {
        return;
    }
    call_later(sim);
    for (uint32_t i = 0; i < sim->scenario->clients; i++) {
        if (is_free(&sim->clients[i])) {
            free_ones[count++] = i;
        }
    }
    if (count == 0) {
        sim_count(sim, COUNT_MISSED);
        return;
    }
    begin(sim, &sim->clients[free_ones[rng_below(&sim->rate_rng, count)]]);
}

/* Nobody answered, or nobody wants to know any more. */
static void leave(struct sim *sim, struct client *c)
{
    struct node *n = &sim->nodes[c->node];
    if (c->abandoned) {
        sim_count(sim, COUNT_ABANDONED);
    }
    if (n->replica != NULL && n->life == c->life) {
        replica_cancel(n->replica, c->call);
    }
    sim_client_over(sim, c, ERR_TIMEOUT);
}

void sim_client_event(struct sim *sim, uint32_t client)
{
    struct client *c = &sim->clients[client];
    if (sim->now_us != c->wake_us) {
        return; /* answered meanwhile */
    }
    if (c->state == CLIENT_THINKS) {
        begin(sim, c);
    } else if (c->state == CLIENT_WAITS) {
        leave(sim, c);
    }
}

void sim_client_reply(struct sim *sim, struct node *n, const struct replica_reply *reply)
{
    struct client *c = &sim->clients[reply->call >> 40];
    if (c->call == reply->call && c->state == CLIENT_WAITS) {
        if (reply->err == ERR_COMPACTED && c->op.kind == SIM_OP_COMPACT) {
            sim_client_over(sim, c, OK); /* somebody else did, that far or further */
        } else if (reply->err != OK) {
            sim_client_over(sim, c, reply->err);
        } else if (sim_call_answer(sim, c, n, reply->result)) {
            sim_client_over(sim, c, OK);
        } else {
            c->sequence += c->session != 0 ? 1 : 0; /* this one was used */
            c->op.unknown = false;                  /* and it changed nothing */
            if (c->op.attempts < ATTEMPTS_MAX && sim_call_fits(c)) {
                try_again(sim, c);
            } else {
                give_up(sim, c);
            }
        }
    }
    mvcc_result_free(reply->result);
}

void sim_clients_node_gone(struct sim *sim, const struct node *n)
{
    for (uint32_t i = 0; i < sim->scenario->clients; i++) {
        struct client *c = &sim->clients[i];
        if (c->state == CLIENT_WAITS && c->node == n->id && c->life == n->life) {
            sim_client_sleep(sim, c, rng_between(&c->rng, 1, RECONNECT_MAX_US));
        }
    }
}

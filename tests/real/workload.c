/*
 * workload.c - clients: when they call, whom, what, and what an end without an answer means. See
 * workload.h.
 */
#include "tests/real/workload.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/grpc.h"
#include "tests/real/workload_internal.h"

enum {
    ATTEMPTS_MAX = 12,
    RETRY_MIN_US = 1000,
    RETRY_MAX_US = 50000,
    CONNECT_BACKOFF_MIN_MS = 5,
    CONNECT_BACKOFF_MAX_MS = 50,
    ABANDONED_PERMILLE = 20,
    FINAL_ATTEMPTS_MAX = 40,
    SEEN_MAX = 1 << 21,
    ANSWER_MAX = 64 << 20,
};

struct worker_handles {
    uv_timer_t timer;
};

uint64_t workload_now_us(const struct workload *w)
{
    return (uv_hrtime() - w->options.start_ns) / 1000;
}

void workload_fail(struct workload *w, const char *property, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args); /* a longer line is cut */
    va_end(args);
    w->options.on_fail(w->options.ctx, property, text);
}

uint32_t workload_keys(const struct workload *w, uint8_t space)
{
    switch (space) {
    case SPACE_REGISTER:
        return w->scenario->keys;
    case SPACE_LIST:
        return (w->scenario->keys + 1) / 2;
    default:
        return (w->scenario->keys + 3) / 4;
    }
}

bool worker_op_writes(const struct worker_op *op)
{
    switch (op->kind) {
    case SIM_OP_GET:
    case SIM_OP_LOCAL:
        return false;
    case SIM_OP_TXN:
        return op->variant != WORKER_TXN_READ;
    default:
        return true;
    }
}

/* What to do. */

static uint8_t choose_kind(struct worker *c)
{
    const uint32_t *mix = c->workload->scenario->mix;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < SIM_OPS; i++) {
        sum += mix[i];
    }
    uint64_t at = rng_below(&c->rng, u64_max(sum, 1));
    for (uint8_t i = 0; i < SIM_OPS; i++) {
        if (at < mix[i]) {
            return i;
        }
        at -= mix[i];
    }
    return SIM_OP_PUT; /* an empty mix */
}

static void choose(struct worker *c)
{
    const struct workload *w = c->workload;
    struct worker_op *op = &c->op;
    uint8_t space = SPACE_REGISTER;
    *op = (struct worker_op){.kind = choose_kind(c)};
    if (op->kind == SIM_OP_APPEND) {
        space = SPACE_LIST;
    } else if (op->kind == SIM_OP_TXN) {
        space = SPACE_PAIR_A;
        op->variant = (uint8_t) rng_below(&c->rng, WORKER_TXNS);
    } else if (op->kind == SIM_OP_GET && w->scenario->mix[SIM_OP_APPEND] > 0 &&
               rng_chance(&c->rng, 1, 3)) {
        space = SPACE_LIST;
    }
    op->key.space = space;
    op->key.number = (uint32_t) rng_below(&c->rng, workload_keys(w, space));
}

/* The reads of the end: every key once, from the last to the first. */
static void choose_final(struct worker *c)
{
    uint32_t number = --c->finals;
    c->op = (struct worker_op){.kind = SIM_OP_GET, .final = true};
    for (uint8_t space = 0; space < SPACES; space++) {
        uint32_t count = workload_keys(c->workload, space);
        if (number < count) {
            c->op.key = (struct worker_key){.space = space, .number = number};
            return;
        }
        number -= count;
    }
    UNREACHABLE();
}

/* Local reads stay with one node; at the end only nodes are asked that must answer. */
static uint32_t choose_node(struct worker *c)
{
    const struct workload *w = c->workload;
    uint32_t nodes = w->scenario->nodes;
    if (c->op.kind == SIM_OP_LOCAL && !w->strict) {
        return c->id % nodes + 1;
    }
    uint32_t id = (uint32_t) rng_between(&c->rng, 1, nodes);
    for (uint32_t i = 0; i < nodes; i++, id = id % nodes + 1) {
        bool core = !w->strict || w->core[id];
        bool up = !w->down[id] || !(w->strict || w->stopping);
        if (core && up) {
            break;
        }
    }
    return id;
}

/* Waiting. */

static void on_timer(uv_timer_t *timer);

static void sleep_us(struct worker *c, uint64_t us)
{
    c->wake_us = workload_now_us(c->workload) + us;
    uv_update_time(c->handles->timer.loop);
    ERR_IGNORE(
        uv_timer_start(&c->handles->timer, on_timer, (us + 999) / 1000, 0)); /* not closing */
}

/* With a rate, others than the client say when it calls again. */
static bool by_rate(const struct workload *w)
{
    return w->scenario->rate != 0 && !w->stopping && !w->strict;
}

static void think(struct worker *c)
{
    const struct scenario *s = c->workload->scenario;
    bool final = c->finals > 0;
    c->state = WORKER_THINKS;
    c->free = by_rate(c->workload);
    if (!c->free) {
        sleep_us(c, final ? 0 : rng_between(&c->rng, s->think.min, s->think.max));
    }
}

static void try_again(struct worker *c)
{
    c->goes_on = true;
    c->state = WORKER_THINKS;
    sleep_us(c, RETRY_MIN_US + rng_below(&c->rng, RETRY_MAX_US));
}

/* Ends of calls. */

enum ending {
    ENDING_OK,
    ENDING_FAILED, /* certainly without effect */
    ENDING_UNKNOWN,
    ENDING_EXPIRED,
    ENDING_COMPACTED,
    ENDING_ILLEGAL,
};

static bool says(const struct client_result *r, int status, const char *text)
{
    return r->status == status && strncmp(r->text, text, strlen(text)) == 0;
}

static enum ending refused(const struct worker *c, const struct client_result *r)
{
    switch (r->status) {
    case GRPC_UNAVAILABLE:
        /* K3: given before a write was handed on, if this was its only copy. */
        if (r->attempts <= 1 && says(r, GRPC_UNAVAILABLE, "etcdserver: no leader")) {
            return ENDING_FAILED;
        }
        return r->unknown ? ENDING_UNKNOWN : ENDING_FAILED;
    case GRPC_RESOURCE_EXHAUSTED:
        return r->unknown ? ENDING_UNKNOWN : ENDING_FAILED;
    case GRPC_CANCELED:
    case GRPC_DEADLINE_EXCEEDED:
        return ENDING_UNKNOWN;
    case GRPC_FAILED_PRECONDITION:
        return says(r, r->status, "synod: session expired") && worker_op_writes(&c->op)
                   ? ENDING_EXPIRED
                   : ENDING_ILLEGAL;
    case GRPC_OUT_OF_RANGE:
        return c->op.kind == SIM_OP_COMPACT ? ENDING_COMPACTED : ENDING_ILLEGAL;
    default:
        return ENDING_ILLEGAL;
    }
}

static enum ending ending_of(const struct worker *c, const struct client_result *r)
{
    switch (r->outcome) {
    case CLIENT_OK:
        return ENDING_OK;
    case CLIENT_UNREACHABLE:
        return ENDING_FAILED;
    case CLIENT_TIMED_OUT:
        return r->unknown || !worker_op_writes(&c->op) ? ENDING_UNKNOWN : ENDING_FAILED;
    default:
        return refused(c, r);
    }
}

static void give_up(struct worker *c)
{
    struct workload *w = c->workload;
    bool unknown = c->op.unknown;
    if (c->op.final) {
        workload_fail(w, "R11", "a key is not read back: client %u: %s", c->id, c->last);
    }
    w->counts.unknown += unknown ? 1 : 0;
    w->counts.failed += unknown ? 0 : 1;
    worker_end(c, unknown ? HIST_UNKNOWN : HIST_FAIL);
    if (unknown) {
        c->name = ++w->names; /* the old one's operation may still be applied */
    }
    c->goes_on = false;
    think(c);
}

/* Whether an operation without an answer is tried again by a call of its own. */
static bool may_retry(const struct worker *c)
{
    bool must = c->workload->strict || c->op.final;
    uint32_t attempts_max = c->op.final ? FINAL_ATTEMPTS_MAX : ATTEMPTS_MAX;
    return must && !c->op.unknown && c->op.attempts < attempts_max;
}

static void over_ok(struct worker *c)
{
    struct workload *w = c->workload;
    c->answered++;
    c->goes_on = false;
    if (worker_op_writes(&c->op)) {
        w->counts.writes_ok++;
        w->write_us = workload_now_us(w);
        if (w->options.on_write != NULL) {
            w->options.on_write(w->options.ctx, w->write_us);
        }
    } else {
        w->counts.reads_ok++;
    }
    think(c);
}

static void over(struct worker *c, enum ending ending)
{
    struct workload *w = c->workload;
    if (ending == ENDING_OK) {
        over_ok(c);
        return;
    }
    if (ending == ENDING_ILLEGAL) {
        workload_fail(w, "",
                      "client %u was answered by node %u: %s; that says nothing to this call",
                      c->id, c->node, c->last);
    }
    if (w->strict && ending == ENDING_UNKNOWN && !c->abandoned) {
        workload_fail(w, "R11",
                      "client %u got no answer from node %u, which has a connected "
                      "majority: %s",
                      c->id, c->node, c->last);
    }
    if (ending != ENDING_FAILED && worker_op_writes(&c->op)) {
        c->op.unknown = true;
    }
    if (may_retry(c)) {
        try_again(c);
    } else {
        give_up(c);
    }
}

static void on_done(void *ctx, const struct client_result *r)
{
    struct worker *c = ctx;
    ASSERT(c->state == WORKER_WAITS);
    c->via = NULL;
    ERR_IGNORE(uv_timer_stop(&c->handles->timer)); /* stopping never fails */
    enum ending ending = ending_of(c, r);
    if (ending == ENDING_COMPACTED) { /* somebody else did, that far or further */
        over(c, ENDING_OK);
        return;
    }
    if (ending != ENDING_OK) {
        (void) snprintf(c->last, sizeof c->last, "%s: %s", grpc_status_name(r->status), r->text);
        over(c, ending);
        return;
    }
    switch (worker_answer(c, blob_bytes(r->message))) {
    case ANSWER_DONE:
        over(c, ENDING_OK);
        break;
    case ANSWER_GOES_ON:
        c->op.unknown = false;
        if (c->op.attempts < ATTEMPTS_MAX && worker_fits(c)) {
            try_again(c);
        } else {
            give_up(c);
        }
        break;
    default: /* told; whatever it did is not known */
        over(c, ENDING_UNKNOWN);
        break;
    }
}

/* Calls. */

static void call(struct worker *c, uint32_t node)
{
    struct workload *w = c->workload;
    uint64_t timeout = w->strict ? w->strict_timeout_us : w->scenario->timeout_us;
    bool local = c->op.kind == SIM_OP_LOCAL ||
                 (c->op.kind == SIM_OP_GET && w->scenario->reads_local && !c->op.final);
    bool retry = c->again != NULL && !w->strict && !w->stopping && !local &&
                 rng_chance(&c->rng, w->scenario->retry_percent, 100);
    struct client_request request = {.timeout_ms = u64_max(timeout / 1000, 1),
                                     .endpoint = retry ? CLIENT_ANY : (int32_t) node - 1,
                                     .on_done = on_done,
                                     .ctx = c};
    c->abandoned = !w->strict && !w->stopping && rng_chance(&c->rng, ABANDONED_PERMILLE, 1000);
    c->op.floor_revision = w->revision_floor;
    c->node = retry ? 0 : node;
    c->life = w->lives[node];
    c->via = retry ? c->again : c->once;
    c->state = WORKER_WAITS;
    w->counts.calls++;
    worker_encode(c, &request);
    c->call = client_call(c->via, &request);
    blob_unref(request.message);
    if (c->abandoned) {
        sleep_us(c, rng_between(&c->rng, 0, timeout / 4));
    }
}

static void begin(struct worker *c)
{
    struct workload *w = c->workload;
    c->free = false;
    if (!c->goes_on && w->stopping && c->finals == 0) {
        c->state = WORKER_DONE;
        return;
    }
    if (!c->goes_on) {
        if (c->finals > 0) {
            choose_final(c);
        } else {
            choose(c);
        }
        worker_begin(c);
    }
    c->goes_on = false;
    c->op.attempts++;
    call(c, choose_node(c));
}

/* The moments of calls are a Poisson process: they depend on no answer. Each takes one of the
 * clients that are free, if there is one. */
static void begin_any(struct workload *w)
{
    struct worker *free_ones[SIM_CLIENTS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->workers_count; i++) {
        if (w->workers[i].state == WORKER_THINKS && w->workers[i].free) {
            free_ones[count++] = &w->workers[i];
        }
    }
    if (count == 0) {
        w->counts.missed++;
    } else {
        begin(free_ones[rng_below(&w->rate_rng, count)]);
    }
}

static void on_moment(uv_timer_t *timer)
{
    struct workload *w = timer->data;
    double mean = 1e6 / w->scenario->rate;
    uint64_t now = workload_now_us(w);
    while (by_rate(w) && w->moment_us <= now) {
        double share =
            ((double) (rng_u64(&w->rate_rng) >> 11) + 1) / 9007199254740993.0; /* (0, 1) */
        if (w->moment_us != 0) {
            begin_any(w);
        } else {
            w->moment_us = now;
        }
        w->moment_us += 1 + (uint64_t) (-log(share) * mean);
    }
    if (by_rate(w) && !w->closing) {
        uint64_t ms = (w->moment_us - now + 999) / 1000;
        uv_update_time(timer->loop);
        ERR_IGNORE(uv_timer_start(timer, on_moment, ms, 0)); /* it is not closing */
    }
}

/* Nobody wants to know any more. */
static void leave(struct worker *c)
{
    c->abandoned = true;
    c->workload->counts.abandoned++;
    client_cancel(c->via, c->call);
    c->via = NULL;
    (void) snprintf(c->last, sizeof c->last, "abandoned");
    over(c, ENDING_UNKNOWN);
}

static void on_timer(uv_timer_t *timer)
{
    struct worker *c = timer->data;
    uint64_t now = workload_now_us(c->workload);
    if (c->workload->closing) {
        return;
    }
    if (now < c->wake_us) { /* the loop's clock counts whole milliseconds */
        sleep_us(c, c->wake_us - now);
    } else if (c->state == WORKER_THINKS) {
        begin(c);
    } else if (c->state == WORKER_WAITS) {
        leave(c);
    }
}

/* From outside. */

static int connect_worker(struct worker *c, struct uv_loop_s *loop, struct buf *error)
{
    struct workload *w = c->workload;
    struct client_options o;
    client_options_init(&o);
    o.endpoints = w->options.endpoints;
    o.endpoints_count = w->scenario->nodes;
    o.first = c->id % w->scenario->nodes;
    o.backoff_min_ms = CONNECT_BACKOFF_MIN_MS;
    o.backoff_max_ms = CONNECT_BACKOFF_MAX_MS;
    o.answer_max = ANSWER_MAX;
    o.seed = rng_u64(&c->rng) ^ uv_hrtime(); /* names of sessions: new ones in each run */
    o.retry = false;
    int err = client_new(loop, &o, &c->once, error);
    if (err == OK) {
        w->open_handles++;
    }
    if (err == OK && w->scenario->retry_percent > 0) {
        o.retry = true;
        o.seed = rng_u64(&c->rng) ^ uv_hrtime();
        err = client_new(loop, &o, &c->again, error);
        w->open_handles += err == OK ? 1 : 0;
    }
    return err;
}

static int worker_init(struct worker *c, struct workload *w, uint32_t id, struct uv_loop_s *loop,
                       struct buf *error)
{
    c->workload = w;
    c->id = id;
    c->state = WORKER_DONE;
    c->name = ++w->names;
    rng_init(&c->rng, w->scenario->seed ^ UINT64_C(0x636c69656e74) ^ (uint64_t) id << 50);
    c->handles = xcalloc(1, sizeof *c->handles);
    ERR_IGNORE(uv_timer_init(loop, &c->handles->timer)); /* cannot fail */
    c->handles->timer.data = c;
    w->open_handles++;
    return connect_worker(c, loop, error);
}

int workload_new(struct uv_loop_s *loop, const struct workload_options *options,
                 struct workload **ret_workload, struct buf *error)
{
    struct workload *w = xcalloc(1, sizeof *w);
    int err = OK;
    w->options = *options;
    w->scenario = options->scenario;
    map_init(&w->seen, SEEN_MAX);
    arena_init(&w->arena, 1 << 16, SIZE_MAX / 4);
    buf_init(&w->request, ANSWER_MAX);
    w->handles = xcalloc(1, sizeof *w->handles);
    ERR_IGNORE(uv_timer_init(loop, &w->handles->timer)); /* cannot fail */
    w->handles->timer.data = w;
    rng_init(&w->rate_rng, w->scenario->seed ^ UINT64_C(0x72617465));
    w->open_handles = 1;
    for (uint32_t i = 0; i < ARRAY_SIZE(w->values); i++) {
        buf_init(&w->values[i], ANSWER_MAX);
    }
    for (uint32_t i = 0; i < w->scenario->clients && err == OK; i++) {
        w->workers_count++;
        err = worker_init(&w->workers[i], w, i, loop, error);
    }
    w->options.endpoints = NULL; /* copied by the clients */
    if (err != OK) {
        workload_close(w, NULL, NULL);
        return err;
    }
    *ret_workload = w;
    return OK;
}

void workload_start(struct workload *w)
{
    for (uint32_t i = 0; i < w->workers_count; i++) {
        think(&w->workers[i]);
    }
    if (by_rate(w)) {
        on_moment(&w->handles->timer);
    }
}

void workload_stop(struct workload *w)
{
    w->stopping = true;
    for (uint32_t i = 0; i < w->workers_count; i++) {
        struct worker *c = &w->workers[i];
        if (c->state == WORKER_THINKS && !c->goes_on) {
            c->state = WORKER_DONE;
            ERR_IGNORE(uv_timer_stop(&c->handles->timer)); /* stopping never fails */
        }
    }
}

bool workload_idle(const struct workload *w)
{
    for (uint32_t i = 0; i < w->workers_count; i++) {
        if (w->workers[i].state != WORKER_DONE) {
            return false;
        }
    }
    return true;
}

void workload_final(struct workload *w)
{
    struct worker *c = &w->workers[0];
    ASSERT(w->stopping);
    if (w->workers_count == 0) {
        return;
    }
    ASSERT(c->state == WORKER_DONE);
    for (uint8_t space = 0; space < SPACES; space++) {
        c->finals += workload_keys(w, space);
    }
    think(c);
}

void workload_strict(struct workload *w, const bool core[SIM_NODES_MAX + 1], uint64_t timeout_us)
{
    for (uint32_t i = 0; i < w->workers_count; i++) {
        if (w->workers[i].state == WORKER_WAITS) {
            leave(&w->workers[i]);
        }
    }
    memcpy(w->core, core, sizeof w->core);
    w->strict_timeout_us = timeout_us;
    w->strict = true;
    for (uint32_t i = 0; i < w->workers_count; i++) {
        if (w->workers[i].state == WORKER_THINKS && w->workers[i].free) {
            think(&w->workers[i]); /* each for itself now */
        }
    }
}

void workload_node(struct workload *w, uint32_t node, bool up)
{
    ASSERT(node >= 1 && node <= SIM_NODES_MAX);
    w->lives[node]++;
    w->down[node] = !up;
}

void workload_counts(const struct workload *w, struct workload_counts *ret_counts)
{
    *ret_counts = w->counts;
}

uint64_t workload_write_us(const struct workload *w)
{
    return w->write_us;
}

uint64_t workload_answered(const struct workload *w, uint32_t client, const char **ret_last)
{
    ASSERT(client < w->workers_count);
    *ret_last = w->workers[client].last;
    return w->workers[client].answered;
}

/* Closing. */

static void one_closed(struct workload *w)
{
    void (*on_closed)(void *ctx) = w->on_closed;
    void *ctx = w->closed_ctx;
    ASSERT(w->open_handles > 0);
    w->open_handles--;
    if (w->open_handles > 0) {
        return;
    }
    for (uint32_t i = 0; i < w->workers_count; i++) {
        free(w->workers[i].handles);
        for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
            free(w->workers[i].list_text[key]);
        }
    }
    for (uint32_t i = 0; i < ARRAY_SIZE(w->values); i++) {
        buf_release(&w->values[i]);
    }
    free(w->handles);
    map_release(&w->seen);
    arena_release(&w->arena);
    buf_release(&w->request);
    free(w);
    if (on_closed != NULL) {
        on_closed(ctx);
    }
}

static void on_client_closed(void *ctx)
{
    one_closed(ctx);
}

static void on_closing(uv_handle_t *handle)
{
    one_closed(handle->data);
}

static void on_timer_closed(uv_handle_t *handle)
{
    const struct worker *c = handle->data;
    one_closed(c->workload);
}

void workload_close(struct workload *w, void (*on_closed)(void *ctx), void *ctx)
{
    ASSERT(!w->closing);
    w->closing = true;
    w->on_closed = on_closed;
    w->closed_ctx = ctx;
    for (uint32_t i = 0; i < w->workers_count; i++) {
        struct worker *c = &w->workers[i];
        if (c->once != NULL) {
            client_close(c->once, on_client_closed, w);
        }
        if (c->again != NULL) {
            client_close(c->again, on_client_closed, w);
        }
        uv_close((uv_handle_t *) &c->handles->timer, on_timer_closed);
    }
    uv_close((uv_handle_t *) &w->handles->timer, on_closing);
}

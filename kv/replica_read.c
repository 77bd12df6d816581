/*
 * replica_read.c - linearizable reads by shared read points, and the evaluation of all reads.
 *
 * A read waits for a round; a round asks the engine for a read point (an index that covers
 * everything acknowledged before the question, R9) and its reads are evaluated once that is
 * applied. All reads that come while no round can start share the next one, so their number costs
 * the cluster nothing. A round that fails is asked again, for the same reads: a later read point is
 * as good.
 */
#include "base/assert.h"
#include "kv/replica_internal.h"
#include "proto/wire_kv.h"

void replica_reads_init(struct replica *r)
{
    list_init(&r->reads_new);
    list_init(&r->reads_ready);
    for (uint32_t i = 0; i < READ_ROUNDS_MAX; i++) {
        list_init(&r->rounds[i].calls);
        r->rounds[i].timer.kind = TIMER_ROUND;
    }
}

int replica_read(struct replica *r, const struct replica_read_args *args)
{
    if (args->kind != OP_RANGE && args->kind != OP_TXN) {
        return ERR_INVALID;
    }
    int err = replica_call_admit(r, args->call, args->request.size);
    if (err != OK) {
        return err;
    }
    struct call *call = replica_call_open(r, args->call, args->deadline_us);
    call->kind = CALL_READ;
    call->op = args->kind;
    call->request = blob_copy(args->request);
    r->call_bytes += args->request.size;
    list_push_back(args->serializable ? &r->reads_ready : &r->reads_new, &call->node);
    r->reads++;
    return OK;
}

/* Rounds. */

static struct read_round *round_free(struct replica *r)
{
    for (uint32_t i = 0; i < READ_ROUNDS_MAX; i++) {
        if (r->rounds[i].state == ROUND_FREE) {
            return &r->rounds[i];
        }
    }
    return NULL;
}

static void calls_move(struct list *to, struct list *from)
{
    struct list_node *node;
    while ((node = list_pop_front(from)) != NULL) {
        list_push_back(to, node);
    }
}

static uint64_t read_interval(const struct replica *r)
{
    uint32_t doublings = r->reads_failed < 3 ? r->reads_failed : 3;
    return r->options.read_retry_us << doublings;
}

bool replica_reads_start(struct replica *r)
{
    struct read_round *round = round_free(r);
    if (list_empty(&r->reads_new) || round == NULL || r->now_us < r->reads_retry_us) {
        return false;
    }
    uint64_t ctx = ++r->read_ctx;
    if (consensus_read(r->consensus, ctx) != OK) {
        r->reads_retry_us = r->now_us + r->options.read_retry_us;
        return false;
    }
    round->ctx = ctx;
    round->state = ROUND_ASKED;
    calls_move(&round->calls, &r->reads_new);
    timer_set(&r->wheel, &round->timer, r->now_us + read_interval(r));
    return true;
}

/* Its reads wait for the next round; the answer to this one is ignored if it still comes. */
static void round_fail(struct replica *r, struct read_round *round)
{
    calls_move(&r->reads_new, &round->calls);
    timer_clear(&r->wheel, &round->timer);
    round->state = ROUND_FREE;
    r->reads_failed++;
    r->dirty = true;
    replica_mark(r, MARK_REPLICA_READ_AGAIN);
}

void replica_round_retry(struct replica *r, struct read_round *round)
{
    ASSERT(round->state == ROUND_ASKED);
    round_fail(r, round); /* it had its time: the next one starts at once */
}

void replica_reads_hurry(struct replica *r)
{
    r->reads_retry_us = 0;
    r->reads_failed = 0;
    for (uint32_t i = 0; i < READ_ROUNDS_MAX; i++) {
        if (r->rounds[i].state == ROUND_ASKED) {
            round_fail(r, &r->rounds[i]);
        }
    }
    r->reads_failed = 0;
    r->dirty = true;
}

void replica_read_answer(struct replica *r, const struct read_state *state)
{
    for (uint32_t i = 0; i < READ_ROUNDS_MAX; i++) {
        struct read_round *round = &r->rounds[i];
        if (round->state != ROUND_ASKED || round->ctx != state->ctx) {
            continue;
        }
        if (state->err != OK) {
            round_fail(r, round);
            r->reads_retry_us = r->now_us + read_interval(r);
            return;
        }
        timer_clear(&r->wheel, &round->timer);
        round->index = state->index;
        round->state = ROUND_READY;
        r->reads_failed = 0;
        return;
    }
}

/* Evaluation. */

static int read_decode_and_run(struct replica *r, const struct call *call,
                               struct mvcc_result **ret_result)
{
    struct bytes in = blob_bytes(call->request);
    struct range_request range;
    struct txn_request txn;
    int err;
    arena_reset(&r->arena);
    if (call->op == OP_RANGE) {
        err = wire_range_request_decode(in, &r->arena, &range);
        return err != OK ? err : mvcc_range(r->mvcc, &range, ret_result);
    }
    err = wire_txn_request_decode(in, &r->arena, &txn);
    return err != OK ? err : mvcc_txn_read(r->mvcc, &txn, ret_result);
}

/* Lets go the rounds whose index is applied. R9: not one entry earlier. */
static void rounds_release(struct replica *r)
{
    for (uint32_t i = 0; i < READ_ROUNDS_MAX; i++) {
        struct read_round *round = &r->rounds[i];
        if (round->state == ROUND_READY && round->index <= mvcc_applied(r->mvcc)) {
            calls_move(&r->reads_ready, &round->calls);
            round->state = ROUND_FREE;
        }
    }
}

int replica_reads_run(struct replica *r)
{
    rounds_release(r);
    struct list_node *node;
    while (r->wanted_by == WANTED_NONE && (node = list_first(&r->reads_ready)) != NULL) {
        if (r->reads_budget == 0) {
            r->busy = true;
            break;
        }
        r->reads_budget--;
        struct call *call = list_entry(node, struct call, node);
        struct mvcc_result *result = NULL;
        int err = read_decode_and_run(r, call, &result);
        if (err_is_fatal(err)) {
            return err;
        }
        if (err == ERR_AGAIN) {
            replica_want(r, WANTED_READ); /* evaluated anew when the rows are here */
            break;
        }
        list_remove(&call->node);
        if (err != OK) {
            replica_reply(r, call, err, NULL);
        } else {
            replica_result(r, call, result);
        }
    }
    return OK;
}

/*
 * mvcc_txn.c - transactions (etcd-v3.md 4): first which way, then whether it may, then doing it.
 *
 * All compares, those of nested transactions too, see the state before the transaction. The way is
 * a list with one byte for each transaction entered, in order; checks and execution follow it.
 * Nothing is changed before everything is known to succeed.
 *
 * The recursion is as deep as transactions nest: WIRE_TXN_DEPTH_MAX at most (api_check_txn).
 */

#include "base/assert.h"
#include "kv/api_check.h"
#include "kv/mvcc_impl.h"

enum outcome { OUTCOME_FALSE, OUTCOME_TRUE, OUTCOME_UNKNOWN };

bool mvcc_txn_is_read(const struct txn_request *request)
{
    const struct txn_op *branches[2] = {request->success, request->failure};
    const uint32_t counts[2] = {request->success_count, request->failure_count};
    for (uint32_t b = 0; b < 2; b++) {
        for (uint32_t i = 0; i < counts[b]; i++) {
            const struct txn_op *op = &branches[b][i];
            if (op->kind == OP_PUT || op->kind == OP_DELETE ||
                (op->kind == OP_TXN && !mvcc_txn_is_read(op->txn))) {
                return false;
            }
        }
    }
    return true;
}

static bool order_matches(const struct compare *c, int order)
{
    switch (c->result) {
    case COMPARE_EQUAL:
        return order == 0;
    case COMPARE_GREATER:
        return order > 0;
    case COMPARE_LESS:
        return order < 0;
    case COMPARE_NOT_EQUAL:
        return order != 0;
    default:
        return true; /* as etcd does with an operator it does not know */
    }
}

/* What the compare looks at, but for the value. A target that nobody knows compares as equal, as in
 * etcd. */
static bool number_matches(const struct compare *c, const struct index_item *item)
{
    int64_t number = c->number;
    switch (c->target) {
    case COMPARE_VERSION:
        number = item->version;
        break;
    case COMPARE_CREATE:
        number = item->create;
        break;
    case COMPARE_MOD:
        number = item->mod.main;
        break;
    case COMPARE_LEASE:
        number = item->lease;
        break;
    default:
        break;
    }
    return order_matches(c, number < c->number ? -1 : number > c->number);
}

/* Errors: ERR_CORRUPT. */
static int value_outcome(struct mvcc *m, const struct compare *c, const struct index_item *item,
                         enum outcome *ret_outcome)
{
    struct row_record record;
    int err = mvcc_record(m, item->mod, &record);
    if (err == ERR_AGAIN) {
        *ret_outcome = OUTCOME_UNKNOWN;
        return OK;
    }
    if (err == OK) {
        bool matches = order_matches(c, bytes_compare(record.value, c->value));
        *ret_outcome = matches ? OUTCOME_TRUE : OUTCOME_FALSE;
    }
    return err;
}

/* One compare over its key or every key of its range. Errors: ERR_CORRUPT. */
static int compare_outcome(struct mvcc *m, const struct compare *c, enum outcome *ret_outcome)
{
    struct index_range range = {c->key, c->range_end};
    struct index_cursor cursor;
    struct index_item item;
    enum outcome all = OUTCOME_TRUE;
    bool any = false;
    index_seek(m->index, &range, INDEX_LATEST, &cursor);
    while (all != OUTCOME_FALSE && index_next(&cursor, &item)) {
        enum outcome one = OUTCOME_TRUE;
        any = true;
        if (c->target == COMPARE_VALUE) {
            int err = value_outcome(m, c, &item, &one);
            if (err != OK) {
                return err;
            }
        } else if (!number_matches(c, &item)) {
            one = OUTCOME_FALSE;
        }
        all = one == OUTCOME_TRUE ? all : one;
    }
    if (!any) {
        /* No key: no value matches anything, and every number is 0. */
        static const struct index_item none = {.latest = true};
        bool matches = c->target != COMPARE_VALUE && number_matches(c, &none);
        all = matches ? OUTCOME_TRUE : OUTCOME_FALSE;
    }
    *ret_outcome = all;
    return OK;
}

/* Errors: ERR_CORRUPT. */
static int compares_outcome(struct mvcc *m, const struct txn_request *txn,
                            enum outcome *ret_outcome)
{
    uint32_t wanted = m->wanted_count;
    enum outcome all = OUTCOME_TRUE;
    for (uint32_t i = 0; i < txn->compares_count && all != OUTCOME_FALSE; i++) {
        enum outcome one = OUTCOME_TRUE;
        int err = compare_outcome(m, &txn->compares[i], &one);
        if (err != OK) {
            return err;
        }
        all = one == OUTCOME_TRUE ? all : one;
    }
    if (all == OUTCOME_FALSE) {
        m->wanted_count = wanted; /* whatever those values are */
    }
    *ret_outcome = all;
    return OK;
}

/* Appends the way to m->path. A Txn whose outcome waits for values ends the way; the caller sees
 * that rows are wanted. Errors: ERR_CORRUPT. */
static int plan_path(struct mvcc *m, const struct txn_request *txn)
{
    enum outcome outcome;
    int err = compares_outcome(m, txn, &outcome);
    if (err != OK || outcome == OUTCOME_UNKNOWN) {
        return err;
    }
    bool success = outcome == OUTCOME_TRUE;
    uint8_t step = success;
    err = buf_append(&m->path, &step, 1);
    ASSERT(err == OK); /* a request is far smaller */
    const struct txn_op *ops = success ? txn->success : txn->failure;
    uint32_t count = success ? txn->success_count : txn->failure_count;
    for (uint32_t i = 0; i < count && err == OK; i++) {
        if (ops[i].kind == OP_TXN) {
            err = plan_path(m, ops[i].txn);
        }
    }
    return err;
}

/* The branch taken by the next transaction on the way. */
static bool path_next(const struct mvcc *m, size_t *at)
{
    ASSERT(*at < m->path.size);
    return m->path.data[(*at)++] != 0;
}

/* Checks the ops of one kind that will run. Errors: of the checks. */
static int plan_check(struct mvcc *m, const struct txn_request *txn, uint8_t kind, size_t *at)
{
    bool success = path_next(m, at);
    const struct txn_op *ops = success ? txn->success : txn->failure;
    uint32_t count = success ? txn->success_count : txn->failure_count;
    for (uint32_t i = 0; i < count; i++) {
        int err = OK;
        if (ops[i].kind == OP_TXN) {
            err = plan_check(m, ops[i].txn, kind, at);
        } else if (ops[i].kind == kind) {
            err = kind == OP_PUT ? mvcc_check_put(m, &ops[i].put, false)
                                 : mvcc_check_range(m, &ops[i].range, true);
        }
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

int txn_plan(struct mvcc *m, const struct txn_request *txn)
{
    buf_clear(&m->path);
    mvcc_wanted_clear(m);
    int err = plan_path(m, txn);
    if (err != OK) {
        return err;
    }
    if (m->wanted_count == 0) {
        /* Puts before ranges: etcd's order, it shows in which error is given. */
        size_t at = 0;
        err = plan_check(m, txn, OP_PUT, &at);
        if (err == OK) {
            at = 0;
            err = plan_check(m, txn, OP_RANGE, &at);
        }
        if (err != OK) {
            mvcc_wanted_clear(m); /* it fails, whatever the values are */
            return err;
        }
    }
    mvcc_wanted_settle(m);
    return m->wanted_count > 0 ? ERR_AGAIN : OK;
}

static void txn_run_from(struct run *run, const struct txn_request *txn,
                         struct api_response *response, size_t *at);

static void op_run(struct run *run, const struct txn_op *op, struct api_response *response,
                   size_t *at)
{
    switch ((enum op_kind) op->kind) {
    case OP_RANGE:
        run_range(run, &op->range, response);
        return;
    case OP_PUT:
        run_put(run, &op->put, response);
        return;
    case OP_DELETE:
        run_delete(run, &op->del, response);
        return;
    case OP_TXN:
        txn_run_from(run, op->txn, response, at);
        return;
    case OP_NONE:
        break;
    }
    UNREACHABLE(); /* api_check lets in none without a kind */
}

static void txn_run_from(struct run *run, const struct txn_request *txn,
                         struct api_response *response, size_t *at)
{
    bool success = path_next(run->m, at);
    const struct txn_op *ops = success ? txn->success : txn->failure;
    uint32_t count = success ? txn->success_count : txn->failure_count;
    struct api_response *responses = NULL;
    struct api_response none;
    if (run->res != NULL) {
        responses = arena_alloc(&run->res->arena, count * sizeof responses[0]);
        *response = (struct api_response){.kind = OP_TXN};
        response->txn.succeeded = success;
        response->txn.responses = responses;
        response->txn.responses_count = count;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (responses != NULL) {
            responses[i] = (struct api_response){.kind = ops[i].kind};
        }
        op_run(run, &ops[i], responses == NULL ? &none : &responses[i], at);
    }
}

void txn_run(struct run *run, const struct txn_request *txn, struct api_response *response)
{
    size_t at = 0;
    txn_run_from(run, txn, response, &at);
    ASSERT(at == run->m->path.size);
    /* A nested answer's header stays empty, as in etcd; the whole one's says what is now. */
    response->revision = run_revision(run);
}

int mvcc_txn_read(struct mvcc *m, const struct txn_request *request,
                  struct mvcc_result **ret_result)
{
    ASSERT(mvcc_txn_is_read(request));
    int err = txn_plan(m, request);
    if (err == ERR_AGAIN || err_is_fatal(err)) {
        return err;
    }
    struct result *res = result_new();
    struct run run = {.m = m, .res = res, .next = {m->revision + 1, 0}};
    res->pub.revision = m->revision;
    res->pub.err = err;
    if (err == OK) {
        txn_run(&run, request, &res->pub.response);
        ASSERT(run.next.sub == 0);
    }
    mvcc_provided_clear(m);
    result_finish(m, res);
    *ret_result = &res->pub;
    return OK;
}

/*
 * lincheck.c - which keys belong together, and when all orders end: the first return that none
 * explains. See lincheck.h; lincheck_internal.h has the parts.
 */
#include "tests/sim/lincheck.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/sim/lincheck_internal.h"

enum { FEW_STEPS = 20000, FEW_STEPS_OP = 4, MANY_STEPS = 2000000 };

struct check {
    const struct history *h;
    struct lin_budget budget;
    uint32_t *group;   /* by key: another key of the same part, or itself */
    uint32_t *slot;    /* by key: within its part */
    uint32_t *numbers; /* operations, part by part, ascending by call */
    struct part_range {
        uint32_t from;
        uint32_t count;
        uint32_t slots;
    } * parts;
    uint32_t parts_count;
    /* The first return that no order explains, so far. */
    uint32_t wrong; /* LIN_NONE: all is well */
    bool exact;
    struct u32s order; /* before it */
};

/* ---- Parts ---- */

static uint32_t group_of(const struct check *c, uint32_t key)
{
    while (c->group[key] != key) {
        c->group[key] = c->group[c->group[key]];
        key = c->group[key];
    }
    return key;
}

static void join(struct check *c, const struct history_pair *pairs, uint32_t count, uint32_t with)
{
    for (uint32_t i = 0; i < count; i++) {
        c->group[group_of(c, pairs[i].key)] = group_of(c, with);
    }
}

/* Which key tells the part of an operation; LIN_NONE: it says nothing. */
static uint32_t key_of(const struct history_op *op)
{
    if (op->result == HIST_FAIL || (op->result == HIST_UNKNOWN && op->kind == HIST_GET)) {
        return LIN_NONE;
    }
    if (op->kind != HIST_TXN) {
        return op->key;
    }
    if (op->reads_count > 0) {
        return op->reads[0].key;
    }
    return op->writes_count > 0 ? op->writes[0].key : LIN_NONE;
}

struct call {
    uint64_t call_ns;
    uint32_t part;
    uint32_t number;
};

static int compare_calls(const void *a, const void *b)
{
    const struct call *x = a;
    const struct call *y = b;

    if (x->part != y->part) {
        return x->part < y->part ? -1 : 1;
    }
    if (x->call_ns != y->call_ns) {
        return x->call_ns < y->call_ns ? -1 : 1;
    }
    return x->number < y->number ? -1 : x->number > y->number;
}

static int compare_parts(const void *a, const void *b)
{
    const struct part_range *x = a;
    const struct part_range *y = b;

    if (x->count != y->count) {
        return x->count < y->count ? -1 : 1;
    }
    return x->from < y->from ? -1 : x->from > y->from;
}

static void join_keys(struct check *c)
{
    for (uint32_t i = 0; i < history_keys(c->h); i++) {
        c->group[i] = i;
    }
    for (uint32_t i = 0; i < history_count(c->h); i++) {
        const struct history_op *op = history_get(c->h, i);
        if (op->kind == HIST_TXN && key_of(op) != LIN_NONE) {
            join(c, op->reads, op->reads_count, key_of(op));
            join(c, op->writes, op->writes_count, key_of(op));
        }
    }
}

/* Parts in the order of their size: what is easy is done before a hard one uses up the limit. */
static void make_parts(struct check *c)
{
    uint32_t keys = history_keys(c->h);
    uint32_t count = 0;
    uint32_t *slots = xcalloc((size_t) keys + 1, sizeof(*slots)); /* by group */
    struct call *calls = xcalloc((size_t) history_count(c->h) + 1, sizeof(*calls));

    join_keys(c);
    for (uint32_t i = 0; i < keys; i++) {
        c->slot[i] = slots[group_of(c, i)]++;
    }
    for (uint32_t i = 0; i < history_count(c->h); i++) {
        const struct history_op *op = history_get(c->h, i);
        if (key_of(op) != LIN_NONE) {
            calls[count++] = (struct call){op->call_ns, group_of(c, key_of(op)), i};
        }
    }
    qsort(calls, count, sizeof(*calls), compare_calls);
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || calls[i].part != calls[i - 1].part) {
            c->parts[c->parts_count++] = (struct part_range){i, 0, slots[calls[i].part]};
        }
        c->parts[c->parts_count - 1].count++;
        c->numbers[i] = calls[i].number;
    }
    qsort(c->parts, c->parts_count, sizeof(c->parts[0]), compare_parts);
    free(calls);
    free(slots);
}

/* ---- The first return that no order explains ---- */

static int compare_returns(const void *a, const void *b, void *ctx)
{
    const struct history *h = ctx;
    uint32_t x = *(const uint32_t *) a;
    uint32_t y = *(const uint32_t *) b;

    if (x == y) {
        return 0;
    }
    return lin_returns_by(history_get(h, x), x, history_get(h, y), y) ? -1 : 1;
}

static enum lincheck_verdict solve(struct check *c, const struct lin_part *part, uint32_t horizon,
                                   struct u32s *order)
{
    struct lin_problem p;
    enum lincheck_verdict verdict;

    problem_init(&p, part, horizon);
    verdict = lin_search(&p, &c->budget, order);
    problem_release(&p);
    return verdict;
}

/* Looks for an order up to and including a return, in so many steps at most. */
static enum lincheck_verdict probe(struct check *c, const struct lin_part *part, uint32_t number,
                                   uint64_t steps, struct u32s *order)
{
    enum lincheck_verdict verdict;

    c->budget.probe_end = c->budget.steps + steps;
    verdict = solve(c, part, number, order);
    c->budget.probe_end = 0;
    return verdict;
}

/*
 * Up to and including returns[count - 1] there is no order: the smallest such number. *ret_exact
 * false: there may be an order up to it, but all before it has one.
 *
 * An order is found in few steps where there is one, but that there is none may take many. So what
 * has no order after few steps is taken for wrong at first, and only the end of that is proved.
 */
static uint32_t find_first(struct check *c, const struct lin_part *part, const uint32_t *returns,
                           uint32_t count, struct u32s *order, bool *ret_exact)
{
    uint64_t few = FEW_STEPS + (uint64_t) FEW_STEPS_OP * part->count;
    uint32_t low = 0; /* before the return of this number there is an order */
    uint32_t high = count - 1;
    bool proved = true; /* up to and including `high` there is none */

    while (low < high && !c->budget.over) {
        uint32_t middle = low + (high - low) / 2;
        enum lincheck_verdict verdict = probe(c, part, returns[middle], few, order);
        if (verdict == LINCHECK_OK) {
            low = middle + 1;
        } else {
            high = middle;
            proved = verdict == LINCHECK_WRONG;
        }
    }
    /* What was taken for wrong too early is passed one by one. */
    while (low == high && !proved && !c->budget.over && high < count - 1) {
        enum lincheck_verdict verdict = probe(c, part, returns[high], MANY_STEPS, order);
        if (verdict != LINCHECK_OK) {
            proved = verdict == LINCHECK_WRONG;
            break;
        }
        low = ++high;
    }
    *ret_exact = low == high && (proved || high == count - 1);
    return low;
}

/* This part has no order up to `last`, which is a return of any part, or LIN_NONE. */
static void note_wrong(struct check *c, const struct lin_part *part, uint32_t last)
{
    uint32_t *returns = xcalloc((size_t) part->count + 1, sizeof(*returns));
    uint32_t count = 0;
    const struct history_op *end = last == LIN_NONE ? NULL : history_get(c->h, last);

    for (uint32_t i = 0; i < part->count; i++) {
        const struct history_op *op = history_get(c->h, part->numbers[i]);
        if (op->result == HIST_OK &&
            (end == NULL || lin_returns_by(op, part->numbers[i], end, last))) {
            returns[count++] = part->numbers[i];
        }
    }
    ASSERT(count > 0); /* what has no returns has an order */
    qsort_r(returns, count, sizeof(*returns), compare_returns, (void *) (uintptr_t) c->h);
    c->order.count = 0;
    c->wrong = returns[find_first(c, part, returns, count, &c->order, &c->exact)];
    free(returns);
}

/* OK, or GAVE_UP; what is wrong is noted. After the first wrong return only what comes before it
 * matters. */
static enum lincheck_verdict check_part(struct check *c, const struct part_range *range)
{
    struct lin_part part = {.h = c->h,
                            .numbers = c->numbers + range->from,
                            .count = range->count,
                            .slot_of_key = c->slot,
                            .slots = range->slots};
    struct u32s order = {NULL, 0, 0};
    enum lincheck_verdict verdict = solve(c, &part, c->wrong, &order);

    u32s_release(&order);
    if (verdict == LINCHECK_WRONG) {
        note_wrong(c, &part, c->wrong);
    }
    return verdict == LINCHECK_GAVE_UP ? LINCHECK_GAVE_UP : LINCHECK_OK;
}

/* ---- All of it ---- */

static enum lincheck_verdict check_all(struct check *c, struct lincheck_report *r)
{
    bool complete = true;

    make_parts(c);
    r->partitions = c->parts_count;
    for (uint32_t i = 0; i < c->parts_count && !c->budget.over; i++) {
        complete = check_part(c, &c->parts[i]) == LINCHECK_OK && complete;
    }
    if (c->wrong != LIN_NONE) {
        r->op = c->wrong;
        lin_text_wrong(c->h, c->wrong, &c->order, c->exact, r->text, sizeof(r->text));
        if (!complete || c->budget.over) {
            size_t size = strlen(r->text); /* cut when there is no room for it */
            (void) snprintf(r->text + size, sizeof(r->text) - size,
                            "; given up before all keys were checked");
        }
        return LINCHECK_WRONG;
    }
    if (c->budget.over) {
        (void) snprintf(r->text, sizeof(r->text),
                        "gave up after %" PRIu64 " steps%s: neither an order nor its absence was "
                        "found",
                        c->budget.steps, c->budget.memory ? ", out of memory for places" : "");
        return LINCHECK_GAVE_UP;
    }
    (void) snprintf(r->text, sizeof(r->text), "linearizable");
    return LINCHECK_OK;
}

enum lincheck_verdict lincheck_run(const struct history *h, const struct lincheck_options *options,
                                   struct lincheck_report *ret_report)
{
    static const struct lincheck_options no_limits = {0, NULL, NULL};
    const struct lincheck_options *o = options == NULL ? &no_limits : options;
    struct check c = {.h = h,
                      .budget = {.steps_max = o->steps_max, .give_up = o->give_up, .ctx = o->ctx},
                      .wrong = LIN_NONE};
    struct lincheck_report r = {.operations = history_count(h), .op = LIN_NONE};
    enum lincheck_verdict verdict;
    struct buf error;

    buf_init(&error, sizeof(r.text) - 1);
    if (history_validate(h, &error) != OK) {
        if (error.size > 0) {
            memcpy(r.text, error.data, error.size);
        }
        verdict = LINCHECK_INVALID;
        goto out;
    }
    c.group = xcalloc((size_t) history_keys(h) + 1, sizeof(c.group[0]));
    c.slot = xcalloc((size_t) history_keys(h) + 1, sizeof(c.slot[0]));
    c.numbers = xcalloc((size_t) history_count(h) + 1, sizeof(c.numbers[0]));
    c.parts = xcalloc((size_t) history_keys(h) + 1, sizeof(c.parts[0]));
    verdict = check_all(&c, &r);
    free(c.group);
    free(c.slot);
    free(c.numbers);
    free(c.parts);
    u32s_release(&c.order);
out:
    buf_release(&error);
    r.steps = c.budget.steps;
    *ret_report = r;
    return verdict;
}

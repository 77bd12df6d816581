/*
 * lincheck_sample.c - histories of a correct store. See lincheck_sample.h.
 */
#include "tests/sim/lincheck_sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"

enum { TXN_KEYS_MAX = 3, CALL_NS = 1000, THINK_NS = 300, LATE_FACTOR = 50, NAME_SIZE = 16 };

struct plan {
    uint64_t at_ns; /* when it takes effect; UINT64_MAX: never */
    uint32_t number;
};

struct sampler {
    const struct lincheck_sample *sample;
    struct history *h;
    struct rng rng;
    struct plan *plans;
    struct history_value *store; /* by key */
    uint32_t value_last;
};

static int compare_plans(const void *a, const void *b)
{
    const struct plan *x = a;
    const struct plan *y = b;

    if (x->at_ns != y->at_ns) {
        return x->at_ns < y->at_ns ? -1 : 1;
    }
    return x->number < y->number ? -1 : x->number > y->number;
}

static struct history_value draw_value(struct sampler *s)
{
    char text[NAME_SIZE];
    uint32_t values = s->sample->values;
    uint32_t number = values == 0 ? ++s->value_last : (uint32_t) rng_below(&s->rng, values);
    int size = snprintf(text, sizeof(text), "v%u", number);

    return history_value(s->h, text, (size_t) size);
}

static uint8_t draw_kind(struct sampler *s)
{
    uint64_t sum = 0;
    uint64_t drawn;
    uint8_t kind = 0;

    for (uint32_t i = 0; i <= HIST_TXN; i++) {
        sum += s->sample->kinds[i];
    }
    ASSERT(sum > 0);
    drawn = rng_below(&s->rng, sum);
    while (drawn >= s->sample->kinds[kind]) {
        drawn -= s->sample->kinds[kind++];
    }
    return kind;
}

/* A few neighbouring keys, each read and most written. */
static void draw_txn(struct sampler *s, struct history_op *op)
{
    uint32_t count = (uint32_t) u64_min(TXN_KEYS_MAX, s->sample->keys);

    op->reads = history_pairs(s->h, count);
    op->writes = history_pairs(s->h, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = (op->key + i) % s->sample->keys;
        op->reads[op->reads_count++].key = key;
        if (rng_chance(&s->rng, 2, 3)) {
            op->writes[op->writes_count++] = (struct history_pair){key, draw_value(s)};
        }
    }
}

/* Who calls what when, and when it takes effect. */
static void plan_calls(struct sampler *s)
{
    const struct lincheck_sample *sample = s->sample;
    uint64_t *free_ns = xcalloc(sample->clients, sizeof(*free_ns));
    uint64_t *name = xcalloc(sample->clients, sizeof(*name));
    uint64_t names = sample->clients;

    for (uint32_t i = 0; i < sample->clients; i++) {
        name[i] = i;
    }
    for (uint32_t i = 0; i < sample->operations; i++) {
        uint32_t client = i % sample->clients;
        struct history_op op = {.client = name[client], .result = HIST_OK, .kind = draw_kind(s)};
        uint64_t took = 1 + rng_below(&s->rng, CALL_NS);
        op.call_ns = free_ns[client] + rng_below(&s->rng, THINK_NS);
        op.return_ns = op.call_ns + took;
        op.key = (uint32_t) rng_below(&s->rng, sample->keys);
        s->plans[i] = (struct plan){op.call_ns + rng_below(&s->rng, took), i};
        free_ns[client] = op.return_ns + 1;
        if (rng_below(&s->rng, 100) < sample->unknown_percent) {
            op.result = HIST_UNKNOWN;
            name[client] = names++;
            s->plans[i].at_ns = rng_chance(&s->rng, 1, 2)
                                    ? UINT64_MAX
                                    : s->plans[i].at_ns + rng_below(&s->rng, LATE_FACTOR * CALL_NS);
        }
        (void) history_add(s->h, &op); /* its number is i */
    }
    free(free_ns);
    free(name);
}

static void append(struct sampler *s, struct history_value *to, struct history_value element)
{
    size_t size = (size_t) to->size + 1 + element.size;
    char *text;

    if (to->data == NULL) {
        *to = element;
        return;
    }
    text = xmalloc(size);
    memcpy(text, to->data, to->size);
    text[to->size] = ',';
    memcpy(text + to->size + 1, element.data, element.size);
    *to = history_value(s->h, text, size);
    free(text);
}

static bool equal(struct history_value a, struct history_value b)
{
    return (a.data == NULL) == (b.data == NULL) &&
           bytes_equal(bytes_of(a.data, a.size), bytes_of(b.data, b.size));
}

/* The operation takes effect. */
static void carry_out(struct sampler *s, struct history_op *op)
{
    struct history_value *at = &s->store[op->key];

    op->ok = true;
    switch (op->kind) {
    case HIST_PUT:
        op->value = draw_value(s);
        *at = op->value;
        break;
    case HIST_GET:
        op->value = *at;
        op->ok = at->data != NULL;
        break;
    case HIST_APPEND:
        op->value = draw_value(s);
        append(s, at, op->value);
        break;
    case HIST_DEL:
        op->ok = at->data != NULL;
        *at = (struct history_value){NULL, 0};
        break;
    case HIST_CAS:
        op->value = draw_value(s);
        op->expected = rng_chance(&s->rng, 3, 4) ? *at : draw_value(s);
        op->ok = equal(*at, op->expected);
        if (op->ok) {
            *at = op->value;
        }
        break;
    default:
        draw_txn(s, op);
        for (uint32_t i = 0; i < op->reads_count; i++) {
            op->reads[i].value = s->store[op->reads[i].key];
        }
        for (uint32_t i = 0; i < op->writes_count; i++) {
            s->store[op->writes[i].key] = op->writes[i].value;
        }
        break;
    }
}

/* It never takes effect, but asked for something all the same. */
static void ask_only(struct sampler *s, struct history_op *op)
{
    if (op->kind == HIST_PUT || op->kind == HIST_APPEND || op->kind == HIST_CAS) {
        op->value = draw_value(s);
    }
    if (op->kind == HIST_CAS) {
        op->expected = s->store[op->key];
    }
    if (op->kind == HIST_TXN) {
        draw_txn(s, op);
    }
}

struct history *lincheck_sample(const struct lincheck_sample *sample)
{
    struct sampler s = {.sample = sample, .h = history_new()};

    rng_init(&s.rng, sample->seed);
    s.plans = xcalloc((size_t) sample->operations + 1, sizeof(s.plans[0]));
    s.store = xcalloc(sample->keys, sizeof(s.store[0]));
    for (uint32_t i = 0; i < sample->keys; i++) {
        char name[NAME_SIZE];
        (void) snprintf(name, sizeof(name), "k%u", i);
        (void) history_key(s.h, name); /* its number is i */
    }
    plan_calls(&s);
    qsort(s.plans, sample->operations, sizeof(s.plans[0]), compare_plans);
    for (uint32_t i = 0; i < sample->operations; i++) {
        struct history_op *op = history_at(s.h, s.plans[i].number);
        if (s.plans[i].at_ns == UINT64_MAX) {
            ask_only(&s, op);
        } else {
            carry_out(&s, op);
        }
    }
    free(s.plans);
    free(s.store);
    return s.h;
}

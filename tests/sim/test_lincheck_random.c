/*
 * test_lincheck_random.c - the checker against brute force: thousands of small random histories, of
 * a correct register and of one that is wrong somewhere, get the same verdict from the checker and
 * from trying every order; the first return that no order explains too. K1, K3.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tests/sim/history.h"
#include "tests/sim/lincheck.h"
#include "tests/sim/lincheck_sample.h"

enum {
    KEYS = 3,
    TEXT_SIZE = 64,
    OPS_LIMIT = 12,
    TRIES_SMALL = 4000,
    TRIES_LARGE = 1500,
    TRIES_MEDIUM = 2000,
    STEPS_MEDIUM = 20000
};

/* ---- A register of the plainest kind ---- */

struct world {
    bool present[KEYS];
    char text[KEYS][TEXT_SIZE];
};

static bool holds(const struct world *w, uint32_t key, struct history_value value)
{
    if (value.data == NULL || !w->present[key]) {
        return value.data == NULL && !w->present[key];
    }
    return strlen(w->text[key]) == value.size && memcmp(w->text[key], value.data, value.size) == 0;
}

static void set(struct world *w, uint32_t key, struct history_value value)
{
    memset(w->text[key], 0, TEXT_SIZE);
    w->present[key] = value.data != NULL;
    if (value.data != NULL) {
        memcpy(w->text[key], value.data, value.size);
    }
}

static void add(struct world *w, uint32_t key, struct history_value value)
{
    size_t size = strlen(w->text[key]);

    if (w->present[key]) {
        w->text[key][size++] = ',';
    }
    memcpy(w->text[key] + size, value.data, value.size);
    w->present[key] = true;
}

/* Does the operation fit here with what it was answered, or at all if it was not? Then it is done.
 */
static bool step(struct world *w, const struct history_op *op)
{
    bool answered = op->result == HIST_OK;
    bool found = op->kind != HIST_TXN && w->present[op->key];

    switch (op->kind) {
    case HIST_PUT:
        set(w, op->key, op->value);
        return true;
    case HIST_GET:
        return !answered || holds(w, op->key, op->value);
    case HIST_APPEND:
        add(w, op->key, op->value);
        return true;
    case HIST_DEL:
        set(w, op->key, (struct history_value){NULL, 0});
        return !answered || found == op->ok;
    case HIST_CAS: {
        bool swaps = holds(w, op->key, op->expected);
        if (swaps) {
            set(w, op->key, op->value);
        }
        return !answered || swaps == op->ok;
    }
    default:
        for (uint32_t i = 0; answered && i < op->reads_count; i++) {
            if (!holds(w, op->reads[i].key, op->reads[i].value)) {
                return false;
            }
        }
        for (uint32_t i = 0; (!answered || op->ok) && i < op->writes_count; i++) {
            set(w, op->writes[i].key, op->writes[i].value);
        }
        return true;
    }
}

/* ---- Brute force ---- */

/* The operations that matter up to a return, as the checker defines it. */
struct task {
    const struct history_op *ops[OPS_LIMIT];
    bool required[OPS_LIMIT];
    uint32_t count;
};

static bool returns_by(const struct history *h, uint32_t a, uint32_t b)
{
    uint64_t x = history_get(h, a)->return_ns;
    uint64_t y = history_get(h, b)->return_ns;

    return x != y ? x < y : a <= b;
}

static void task_init(struct task *t, const struct history *h, uint32_t horizon)
{
    t->count = 0;
    for (uint32_t i = 0; i < history_count(h); i++) {
        const struct history_op *op = history_get(h, i);
        bool required =
            op->result == HIST_OK && (horizon == UINT32_MAX || returns_by(h, i, horizon));
        bool called = horizon == UINT32_MAX || op->call_ns <= history_get(h, horizon)->return_ns;
        if (op->result != HIST_FAIL && (required || called)) {
            t->required[t->count] = required;
            t->ops[t->count++] = op;
        }
    }
}

/* May this one come when those of `done` came? Not before one that returned before its call. */
static bool may_come(const struct task *t, uint32_t number, uint32_t done)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if ((done >> i & 1) == 0 && t->required[i] && i != number &&
            t->ops[i]->return_ns < t->ops[number]->call_ns) {
            return false;
        }
    }
    return true;
}

static uint32_t required_mask(const struct task *t)
{
    uint32_t mask = 0;

    for (uint32_t i = 0; i < t->count; i++) {
        mask |= t->required[i] ? 1u << i : 0;
    }
    return mask;
}

/* Every order, one operation after the other; which of them were tried is not remembered. */
static bool explained_by_some_order(const struct task *t)
{
    struct {
        struct world world;
        uint32_t done;
        uint32_t next;
    } stack[OPS_LIMIT + 1];
    uint32_t depth = 0;
    uint32_t all = required_mask(t);

    memset(stack, 0, sizeof(stack[0]));
    for (;;) {
        if ((stack[depth].done & all) == all) {
            return true;
        }
        uint32_t i = stack[depth].next++;
        if (i == t->count) {
            if (depth-- == 0) {
                return false;
            }
            continue;
        }
        if ((stack[depth].done >> i & 1) != 0 || !may_come(t, i, stack[depth].done)) {
            continue;
        }
        stack[depth + 1].world = stack[depth].world;
        if (step(&stack[depth + 1].world, t->ops[i])) {
            stack[depth + 1].done = stack[depth].done | 1u << i;
            stack[depth + 1].next = 0;
            depth++;
        }
    }
}

/* The same for more operations: all sets of operations with the states they can leave. */
struct states {
    struct place {
        struct world world;
        uint32_t done;
    } * at;
    uint32_t count;
    uint32_t capacity;
    uint32_t *first; /* by set: row + 1; next row of the same set: in next */
    uint32_t *next;
};

static void states_add(struct states *s, const struct world *world, uint32_t done)
{
    for (uint32_t i = s->first[done]; i != 0; i = s->next[i - 1]) {
        if (memcmp(&s->at[i - 1].world, world, sizeof(*world)) == 0) {
            return;
        }
    }
    if (s->count == s->capacity) {
        s->capacity = s->capacity == 0 ? 256 : 2 * s->capacity;
        s->at = xrealloc(s->at, s->capacity * sizeof(s->at[0]));
        s->next = xrealloc(s->next, s->capacity * sizeof(s->next[0]));
    }
    s->at[s->count].world = *world;
    s->at[s->count].done = done;
    s->next[s->count] = s->first[done];
    s->count++;
    s->first[done] = s->count;
}

static bool explained_by_some_set(const struct task *t)
{
    struct states s = {.first = xcalloc((size_t) 1 << t->count, sizeof(uint32_t))};
    struct world world;
    uint32_t all = required_mask(t);
    bool found = false;

    memset(&world, 0, sizeof(world));
    states_add(&s, &world, 0);
    for (uint32_t at = 0; at < s.count && !found; at++) {
        uint32_t done = s.at[at].done;
        found = (done & all) == all;
        for (uint32_t i = 0; i < t->count && !found; i++) {
            world = s.at[at].world;
            if ((done >> i & 1) == 0 && may_come(t, i, done) && step(&world, t->ops[i])) {
                states_add(&s, &world, done | 1u << i);
            }
        }
    }
    free(s.at);
    free(s.first);
    free(s.next);
    return found;
}

/* The first return that no order explains; UINT32_MAX: none. */
static uint32_t first_wrong(const struct history *h, bool (*explained)(const struct task *t))
{
    struct task t;
    uint32_t first = UINT32_MAX;

    task_init(&t, h, UINT32_MAX);
    if (explained(&t)) {
        return UINT32_MAX;
    }
    for (uint32_t i = 0; i < history_count(h); i++) {
        if (history_get(h, i)->result != HIST_OK ||
            (first != UINT32_MAX && !returns_by(h, i, first))) {
            continue;
        }
        task_init(&t, h, i);
        if (!explained(&t)) {
            first = i;
        }
    }
    return first;
}

/* ---- Random histories ---- */

struct shape {
    uint32_t ops;
    uint32_t keys;
    uint32_t values;
    uint64_t length_ns; /* short: all overlap; long: none */
    uint32_t unknown_percent;
    uint32_t kinds[HIST_TXN + 1]; /* weights */
};

static struct history_value random_value(struct history *h, struct rng *rng, uint32_t values)
{
    static const char *const texts[] = {"a", "b", "a,b", "", "b,a", "c", "a,b,c", ","};
    const char *text = texts[rng_below(rng, values)];

    return history_value(h, text, strlen(text));
}

static uint8_t random_kind(const struct shape *shape, struct rng *rng)
{
    uint64_t sum = 0;
    uint64_t drawn;
    uint8_t kind = 0;

    for (uint32_t i = 0; i <= HIST_TXN; i++) {
        sum += shape->kinds[i];
    }
    drawn = rng_below(rng, sum);
    while (drawn >= shape->kinds[kind]) {
        drawn -= shape->kinds[kind++];
    }
    return kind;
}

static struct history_value seen(struct history *h, const struct world *w, uint32_t key)
{
    return history_value(h, w->present[key] ? w->text[key] : NULL, strlen(w->text[key]));
}

/* What the operation asks for, before it is done. */
static void draw_op(struct history *h, const struct shape *shape, struct rng *rng,
                    struct history_op *op)
{
    op->kind = random_kind(shape, rng);
    op->key = (uint32_t) rng_below(rng, shape->keys);
    if (op->kind == HIST_PUT || op->kind == HIST_CAS || op->kind == HIST_APPEND) {
        op->value = random_value(h, rng, shape->values);
    }
    if (op->kind == HIST_CAS && rng_chance(rng, 3, 4)) {
        op->expected = random_value(h, rng, shape->values);
    }
    if (op->kind != HIST_TXN) {
        return;
    }
    op->reads = history_pairs(h, KEYS);
    op->writes = history_pairs(h, KEYS);
    for (uint32_t key = 0; key < shape->keys; key++) {
        if (rng_chance(rng, 1, 2)) {
            op->reads[op->reads_count++].key = key;
        }
        if (rng_chance(rng, 1, 2)) {
            op->writes[op->writes_count].key = key;
            if (rng_chance(rng, 4, 5)) {
                op->writes[op->writes_count].value = random_value(h, rng, shape->values);
            }
            op->writes_count++;
        }
    }
}

/* What the operation is answered in this state. */
static void answer(struct history *h, const struct world *w, struct rng *rng, struct history_op *op)
{
    op->ok = true;
    if (op->kind == HIST_GET) {
        op->value = seen(h, w, op->key);
    }
    if (op->kind == HIST_GET || op->kind == HIST_DEL) {
        op->ok = w->present[op->key];
    }
    if (op->kind == HIST_CAS) {
        op->ok = holds(w, op->key, op->expected);
    }
    if (op->kind == HIST_TXN) {
        op->ok = rng_chance(rng, 3, 4);
        for (uint32_t i = 0; i < op->reads_count; i++) {
            op->reads[i].value = seen(h, w, op->reads[i].key);
        }
    }
}

/* A history of a correct store: each operation is done at one time between call and return. */
static struct history *random_history(const struct shape *shape, struct rng *rng)
{
    struct history *h = history_new();
    uint64_t now = 0;
    struct world world;

    memset(&world, 0, sizeof(world));
    for (uint32_t i = 0; i < shape->keys; i++) {
        char name[16];
        (void) snprintf(name, sizeof(name), "k%u", i);
        assert_int_equal(history_key(h, name), i);
    }
    for (uint32_t i = 0; i < shape->ops; i++) {
        struct history_op op = {.client = i, .result = HIST_OK};
        uint64_t before;
        draw_op(h, shape, rng, &op);
        now += rng_below(rng, 4);
        before = rng_below(rng, shape->length_ns);
        op.call_ns = before > now ? 0 : now - before;
        op.return_ns = now + rng_below(rng, shape->length_ns);
        answer(h, &world, rng, &op);
        op.result = rng_below(rng, 100) < shape->unknown_percent ? HIST_UNKNOWN : HIST_OK;
        if (op.result == HIST_UNKNOWN && rng_chance(rng, 1, 2)) {
            (void) history_add(h, &op); /* and was never done */
            continue;
        }
        if (rng_chance(rng, 1, 20)) {
            op.result = HIST_FAIL;
        } else if (op.kind != HIST_TXN || op.ok) {
            (void) step(&world, &op);
        }
        (void) history_add(h, &op);
    }
    return h;
}

/* Something is not as it was. */
static void falsify(struct history *h, const struct shape *shape, struct rng *rng)
{
    struct history_op *op = history_at(h, (uint32_t) rng_below(rng, history_count(h)));
    bool answered = op->result == HIST_OK;

    switch (rng_below(rng, 4)) {
    case 0:
        op->result = (uint8_t) rng_below(rng, 3);
        break;
    case 1:
        op->call_ns = rng_below(rng, op->call_ns + 4);
        op->return_ns = u64_max(op->return_ns, op->call_ns) + rng_below(rng, 4);
        break;
    case 2:
        op->return_ns -= rng_below(rng, op->return_ns - op->call_ns + 1);
        break;
    default:
        if (op->kind == HIST_TXN && op->reads_count > 0 && answered) {
            op->reads[0].value = random_value(h, rng, shape->values);
        } else if (op->kind == HIST_CAS || op->kind == HIST_DEL || op->kind == HIST_TXN) {
            op->ok = !op->ok;
        } else {
            op->value = random_value(h, rng, shape->values);
        }
        break;
    }
    if (op->kind == HIST_GET) {
        op->ok = op->value.data != NULL;
    }
}

static struct shape random_shape(struct rng *rng, uint32_t ops_min, uint32_t ops_max)
{
    struct shape shape = {
        .ops = (uint32_t) rng_between(rng, ops_min, ops_max),
        .keys = (uint32_t) rng_between(rng, 1, KEYS),
        .values = (uint32_t) rng_between(rng, 1, 8),
        .length_ns = rng_between(rng, 1, 20),
        .unknown_percent = (uint32_t) rng_below(rng, 60),
    };
    uint64_t sum = 0;

    /* Kinds by swarm: some histories lack some kinds. */
    while (sum == 0) {
        for (uint32_t i = 0; i <= HIST_TXN; i++) {
            shape.kinds[i] = rng_chance(rng, 1, 2) ? (uint32_t) rng_between(rng, 1, 5) : 0;
            sum += shape.kinds[i];
        }
    }
    return shape;
}

static void compare(const struct history *h, bool (*explained)(const struct task *t),
                    uint64_t number, uint32_t *ret_wrong)
{
    struct lincheck_report report;
    enum lincheck_verdict verdict = lincheck_run(h, NULL, &report);
    uint32_t first = first_wrong(h, explained);
    enum lincheck_verdict want = first == UINT32_MAX ? LINCHECK_OK : LINCHECK_WRONG;

    if (verdict != want || report.op != first) {
        print_message("history %llu: verdict %d, operation %u; by brute force %u\n%s\n",
                      (unsigned long long) number, (int) verdict, report.op, first, report.text);
        assert_int_equal(history_write(h, stdout), OK);
    }
    assert_int_equal(verdict, want);
    assert_int_equal(report.op, first);
    *ret_wrong += first == UINT32_MAX ? 0 : 1;
}

/* SYNOD_SEED=s looks at other histories: `make soak` never repeats itself. */
static uint64_t first_seed(void)
{
    const char *text = getenv("SYNOD_SEED");

    return text == NULL ? 0 : strtoull(text, NULL, 10) << 24;
}

static void compare_many(uint64_t seed, uint32_t tries, uint32_t ops_min, uint32_t ops_max,
                         bool (*explained)(const struct task *t))
{
    uint32_t wrong = 0;

    for (uint32_t i = 0; i < tries; i++) {
        struct rng rng;
        struct shape shape;
        struct history *h;
        uint32_t unexpected = 0;
        rng_init(&rng, seed + i);
        shape = random_shape(&rng, ops_min, ops_max);
        h = random_history(&shape, &rng);
        compare(h, explained, seed + i, &unexpected);
        assert_int_equal(unexpected, 0); /* of a correct store */
        for (uint64_t n = rng_between(&rng, 1, 3); n > 0; n--) {
            falsify(h, &shape, &rng);
        }
        compare(h, explained, seed + i, &wrong);
        history_free(h);
    }
    print_message("%u correct and %u changed histories of %u to %u operations; %u of these wrong\n",
                  tries, tries, ops_min, ops_max, wrong);
    assert_true(wrong > tries / 20);
    assert_true(wrong < tries);
}

static void test_lincheck_small_histories_agree_with_every_order(void **state)
{
    (void) state;
    compare_many(first_seed() + 1000000, TRIES_SMALL, 1, 6, explained_by_some_order);
}

static void test_lincheck_larger_histories_agree_with_every_set(void **state)
{
    (void) state;
    compare_many(first_seed() + 2000000, TRIES_LARGE, 6, 9, explained_by_some_set);
}

/* Too large for brute force, but right by the way they were made. */
static void test_lincheck_medium_histories_of_a_correct_store_are_right(void **state)
{
    (void) state;
    uint32_t gave_up = 0;

    for (uint32_t i = 0; i < TRIES_MEDIUM; i++) {
        const struct lincheck_options options = {.steps_max = STEPS_MEDIUM};
        struct lincheck_sample sample = {.seed = first_seed() + i};
        struct lincheck_report report;
        struct history *h;
        struct shape shape;
        struct rng rng;
        enum lincheck_verdict verdict;
        rng_init(&rng, sample.seed);
        shape = random_shape(&rng, 20, 150);
        sample.operations = shape.ops;
        sample.clients = (uint32_t) rng_between(&rng, 2, 8);
        sample.keys = (uint32_t) rng_between(&rng, 1, 5);
        sample.values = (uint32_t) rng_below(&rng, 5);
        sample.unknown_percent = (uint32_t) rng_below(&rng, 50);
        memcpy(sample.kinds, shape.kinds, sizeof(sample.kinds));
        h = lincheck_sample(&sample);
        verdict = lincheck_run(h, &options, &report);
        if (verdict == LINCHECK_WRONG) {
            print_message("seed %llu: %s\n", (unsigned long long) sample.seed, report.text);
            assert_int_equal(history_write(h, stdout), OK);
        }
        assert_true(verdict == LINCHECK_OK || verdict == LINCHECK_GAVE_UP);
        gave_up += verdict == LINCHECK_GAVE_UP ? 1 : 0;
        history_free(h);
    }
    print_message("%u of %u were too hard\n", gave_up, TRIES_MEDIUM);
    assert_true(gave_up < TRIES_MEDIUM / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lincheck_small_histories_agree_with_every_order),
        cmocka_unit_test(test_lincheck_larger_histories_agree_with_every_set),
        cmocka_unit_test(test_lincheck_medium_histories_of_a_correct_store_are_right),
    };
    return cmocka_run_group_tests_name("lincheck random", tests, NULL, NULL);
}

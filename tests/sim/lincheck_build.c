/*
 * lincheck_build.c - from operations of a history to a problem of the search. See
 * lincheck_internal.h.
 *
 * Which optional operations may be left out, because an order that uses one can do without:
 *
 *   - those that change nothing: gets, cas that did not swap, transactions that wrote nothing;
 *   - those that blindly set values nobody must find (LIN_OTHER) at slots that are not sensitive,
 *     which are those where no operation asks for more than "this very value" or nothing at all.
 * Take the order without it: what comes between its place and the next operation that sets the slot
 *     blindly found LIN_OTHER, so it asked for nothing (appends, optional ones too) and finds
 *     nothing missing now; from the blind operation on the slot is as it was. A sensitive slot
 *     keeps them: "not that value" (a cas that did not swap) and "something" (a del that found a
 *     key) may hold because of them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/sim/lincheck_internal.h"

/* An effect with values instead of nodes. */
struct raw_effect {
    uint32_t slot;
    uint8_t need;
    uint8_t act;
    struct history_value need_value;
    struct history_value act_value;
};

struct builder {
    struct lin_problem *p;
    const struct lin_part *part;
    uint32_t horizon;
    bool *split; /* by slot: someone appends */
    uint32_t effects_capacity;
    struct raw_effect *raw; /* of one operation */
    uint32_t raw_capacity;
    uint32_t raw_count;
    uint32_t *touched; /* by slot: row in raw + 1, while a transaction is taken apart */
};

bool lin_returns_by(const struct history_op *ops_a, uint32_t a, const struct history_op *ops_b,
                    uint32_t b)
{
    if (ops_a->return_ns != ops_b->return_ns) {
        return ops_a->return_ns < ops_b->return_ns;
    }
    return a <= b;
}

/* ---- One operation: what it asks and does ---- */

static struct raw_effect *raw_add(struct builder *b, uint32_t key)
{
    if (b->raw_count == b->raw_capacity) {
        b->raw_capacity = b->raw_capacity == 0 ? 8 : 2 * b->raw_capacity;
        b->raw = xrealloc(b->raw, b->raw_capacity * sizeof(b->raw[0]));
    }
    struct raw_effect *e = &b->raw[b->raw_count++];
    *e = (struct raw_effect){.slot = b->part->slot_of_key[key], .need = NEED_ANY, .act = ACT_KEEP};
    return e;
}

static void raw_txn(struct builder *b, const struct history_op *op)
{
    bool answered = op->result == HIST_OK;

    /* What an unanswered one read is not known; that it wrote, not either, but it is optional. */
    for (uint32_t i = 0; answered && i < op->reads_count; i++) {
        struct raw_effect *e = raw_add(b, op->reads[i].key);
        e->need = NEED_SAME;
        e->need_value = op->reads[i].value;
        b->touched[e->slot] = b->raw_count;
    }
    for (uint32_t i = 0; (!answered || op->ok) && i < op->writes_count; i++) {
        uint32_t slot = b->part->slot_of_key[op->writes[i].key];
        struct raw_effect *e =
            b->touched[slot] != 0 ? &b->raw[b->touched[slot] - 1] : raw_add(b, op->writes[i].key);
        e->act = ACT_SET;
        e->act_value = op->writes[i].value;
    }
    for (uint32_t i = 0; i < b->raw_count; i++) {
        b->touched[b->raw[i].slot] = 0;
    }
}

static void raw_effects(struct builder *b, const struct history_op *op)
{
    bool answered = op->result == HIST_OK;
    struct raw_effect *e;

    b->raw_count = 0;
    if (op->kind == HIST_TXN) {
        raw_txn(b, op);
        return;
    }
    e = raw_add(b, op->key);
    switch (op->kind) {
    case HIST_GET:
        e->need = answered ? NEED_SAME : NEED_ANY;
        e->need_value = op->value;
        break;
    case HIST_PUT:
        e->act = ACT_SET;
        e->act_value = op->value;
        break;
    case HIST_APPEND:
        e->act = ACT_APPEND;
        e->act_value = op->value;
        break;
    case HIST_CAS:
        /* Without an answer: swapped here, or it changed nothing and need not be there. */
        e->need = answered && !op->ok ? NEED_DIFFERENT : NEED_SAME;
        e->need_value = op->expected;
        e->act = answered && !op->ok ? ACT_KEEP : ACT_SET;
        e->act_value = op->value;
        break;
    case HIST_DEL:
        e->need = !answered ? NEED_ANY : op->ok ? NEED_PRESENT : NEED_SAME; /* value: absent */
        e->act = answered && !op->ok ? ACT_KEEP : ACT_SET;
        break;
    default:
        UNREACHABLE();
    }
}

static bool raw_pure(const struct builder *b)
{
    for (uint32_t i = 0; i < b->raw_count; i++) {
        if (b->raw[i].act != ACT_KEEP) {
            return false;
        }
    }
    return true;
}

enum role { ROLE_GONE, ROLE_OPTIONAL, ROLE_REQUIRED };

/* What an operation is below the horizon. */
static enum role role_of(const struct builder *b, uint32_t number)
{
    const struct history_op *op = history_get(b->part->h, number);
    const struct history_op *end;

    if (b->horizon == LIN_NONE) {
        return op->result == HIST_OK ? ROLE_REQUIRED : ROLE_OPTIONAL;
    }
    end = history_get(b->part->h, b->horizon);
    if (op->result == HIST_OK && lin_returns_by(op, number, end, b->horizon)) {
        return ROLE_REQUIRED;
    }
    return op->call_ns <= end->return_ns ? ROLE_OPTIONAL : ROLE_GONE;
}

/* ---- First pass: the values somebody must find ---- */

static void collect_values(struct builder *b)
{
    struct lin_problem *p = b->p;

    for (uint32_t i = 0; i < b->part->count; i++) {
        const struct history_op *op = history_get(b->part->h, b->part->numbers[i]);
        if (op->kind == HIST_APPEND) {
            b->split[b->part->slot_of_key[op->key]] = true;
        }
    }
    for (uint32_t i = 0; i < b->part->count; i++) {
        enum role role = role_of(b, b->part->numbers[i]);
        raw_effects(b, history_get(b->part->h, b->part->numbers[i]));
        if (role == ROLE_GONE || (role == ROLE_OPTIONAL && raw_pure(b))) {
            continue;
        }
        for (uint32_t j = 0; j < b->raw_count; j++) {
            const struct raw_effect *e = &b->raw[j];
            if (e->need == NEED_SAME || e->need == NEED_DIFFERENT) {
                (void) values_insert(&p->values, e->slot, e->need_value, b->split[e->slot]);
            }
            if (e->need == NEED_DIFFERENT || e->need == NEED_PRESENT) {
                p->sensitive[e->slot] = true;
            }
        }
    }
    values_seal(&p->values);
}

/* ---- Second pass: effects ---- */

static void add_effect(struct builder *b, const struct raw_effect *raw)
{
    struct lin_problem *p = b->p;
    bool split = b->split[raw->slot];

    if (p->effects_count == b->effects_capacity) {
        b->effects_capacity = b->effects_capacity == 0 ? 64 : 2 * b->effects_capacity;
        p->effects = xrealloc(p->effects, b->effects_capacity * sizeof(p->effects[0]));
    }
    struct lin_effect *e = &p->effects[p->effects_count++];
    *e = (struct lin_effect){.slot = raw->slot, .need = raw->need, .act = raw->act, .op = LIN_NONE};
    if (raw->need == NEED_SAME || raw->need == NEED_DIFFERENT) {
        e->need_node = values_find(&p->values, raw->slot, raw->need_value, split);
        ASSERT(e->need_node != LIN_OTHER);
    }
    if (raw->act == ACT_SET) {
        e->set_node = values_find(&p->values, raw->slot, raw->act_value, split);
    }
    if (raw->act == ACT_APPEND) {
        e->pieces = p->pieces.count;
        values_pieces(&p->values, raw->act_value, &p->pieces);
        e->pieces_count = p->pieces.count - e->pieces;
    }
}

static bool effect_reads(const struct lin_effect *e)
{
    return e->need != NEED_ANY || e->act == ACT_APPEND;
}

static bool blind_and_unseen(const struct lin_problem *p, const struct lin_effect *e)
{
    return e->need == NEED_ANY && e->act == ACT_SET && e->set_node == LIN_OTHER &&
           !p->sensitive[e->slot];
}

static bool same_effect(const struct lin_problem *p, const struct lin_effect *a,
                        const struct lin_effect *b)
{
    return a->slot == b->slot && a->need == b->need && a->act == b->act &&
           a->need_node == b->need_node && a->set_node == b->set_node &&
           a->pieces_count == b->pieces_count &&
           (a->pieces_count == 0 || memcmp(p->pieces.at + a->pieces, p->pieces.at + b->pieces,
                                           a->pieces_count * sizeof(uint32_t)) == 0);
}

static uint64_t hash_effects(const struct lin_problem *p, uint32_t from, uint32_t count)
{
    uint64_t hash = count;

    for (uint32_t i = from; i < from + count; i++) {
        const struct lin_effect *e = &p->effects[i];
        hash = hash64_mix(hash, e->slot);
        hash = hash64_mix(hash, ((uint64_t) e->need << 8) | e->act);
        hash = hash64_mix(hash, ((uint64_t) e->need_node << 32) | e->set_node);
        for (uint32_t j = 0; j < e->pieces_count; j++) {
            hash = hash64_mix(hash, p->pieces.at[e->pieces + j]);
        }
    }
    return hash;
}

/* ---- Operations and classes ---- */

/* Classes by what they do. */
struct class_table {
    uint32_t *slots; /* class + 1 */
    uint32_t mask;
    uint32_t *of; /* class of each optional operation, in their order */
    struct lin_member *found;
    uint32_t found_count;
};

static bool same_effects(const struct lin_problem *p, const struct lin_class *c, uint32_t from,
                         uint32_t count)
{
    bool same = c->effects_count == count;

    for (uint32_t i = 0; same && i < count; i++) {
        same = same_effect(p, &p->effects[c->effects + i], &p->effects[from + i]);
    }
    return same;
}

static uint32_t class_number(struct lin_problem *p, struct class_table *t, uint32_t from,
                             uint32_t count)
{
    uint32_t at = (uint32_t) hash_effects(p, from, count) & t->mask;

    for (; t->slots[at] != 0; at = (at + 1) & t->mask) {
        if (same_effects(p, &p->classes[t->slots[at] - 1], from, count)) {
            p->effects_count = from; /* they are there already */
            return t->slots[at] - 1;
        }
    }
    struct lin_class *c = &p->classes[p->classes_count++];
    *c = (struct lin_class){.effects = from, .effects_count = count};
    for (uint32_t i = from; i < from + count; i++) {
        c->reads = c->reads || effect_reads(&p->effects[i]);
    }
    t->slots[at] = p->classes_count;
    return p->classes_count - 1;
}

static void add_operation(struct builder *b, struct class_table *t, uint32_t number)
{
    struct lin_problem *p = b->p;
    const struct history_op *op = history_get(b->part->h, number);
    enum role role = role_of(b, number);
    uint32_t from = p->effects_count;
    uint32_t pieces = p->pieces.count;
    bool unseen = true;

    raw_effects(b, op);
    /* A transaction that read nothing and wrote nothing fits anywhere. */
    if (role == ROLE_GONE || b->raw_count == 0 || (role == ROLE_OPTIONAL && raw_pure(b))) {
        return;
    }
    for (uint32_t i = 0; i < b->raw_count; i++) {
        add_effect(b, &b->raw[i]);
    }
    for (uint32_t i = from; i < p->effects_count && unseen; i++) {
        unseen = blind_and_unseen(p, &p->effects[i]);
    }
    if (role == ROLE_REQUIRED) {
        for (uint32_t i = from; i < p->effects_count; i++) {
            p->effects[i].op = p->ops_count;
        }
        p->ops[p->ops_count++] = (struct lin_op){.number = number,
                                                 .effects = from,
                                                 .effects_count = b->raw_count,
                                                 .call_ns = op->call_ns,
                                                 .return_ns = op->return_ns,
                                                 .pure = raw_pure(b),
                                                 .unseen = unseen && b->raw_count == 1};
        return;
    }
    if (unseen) {
        p->effects_count = from;
        p->pieces.count = pieces;
        return;
    }
    t->of[t->found_count] = class_number(p, t, from, b->raw_count);
    t->found[t->found_count++] = (struct lin_member){number, op->call_ns};
}

/* Members of a class lie side by side, in the order of their calls. */
static void place_members(struct lin_problem *p, const struct class_table *t)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < t->found_count; i++) {
        p->classes[t->of[i]].members_count++;
    }
    for (uint32_t i = 0; i < p->classes_count; i++) {
        p->classes[i].members = at;
        at += p->classes[i].members_count;
        p->classes[i].members_count = 0;
    }
    p->members = xcalloc(at + 1, sizeof(p->members[0]));
    for (uint32_t i = 0; i < t->found_count; i++) {
        struct lin_class *c = &p->classes[t->of[i]];
        p->members[c->members + c->members_count++] = t->found[i];
    }
}

void rows_reserve(struct lin_rows *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rows->from[i + 1] += rows->from[i];
    }
    rows->at = xcalloc((size_t) rows->from[count] + 1, sizeof(uint32_t));
}

void rows_release(struct lin_rows *rows)
{
    free(rows->from);
    free(rows->at);
}

static void index_by_slot(struct lin_problem *p)
{
    uint32_t *classes = xcalloc(p->slots, sizeof(uint32_t));
    uint32_t *effects = xcalloc(p->slots, sizeof(uint32_t));

    p->by_slot.from = xcalloc((size_t) p->slots + 1, sizeof(uint32_t));
    p->reading.from = xcalloc((size_t) p->slots + 1, sizeof(uint32_t));
    for (uint32_t i = 0; i < p->effects_count; i++) {
        const struct lin_effect *e = &p->effects[i];
        if (p->class_of[i] != LIN_NONE) {
            p->by_slot.from[e->slot + 1] += p->classes[p->class_of[i]].effects == i ? 1 : 0;
            p->reading.from[e->slot + 1] += effect_reads(e) ? 1 : 0;
        }
    }
    rows_reserve(&p->by_slot, p->slots);
    rows_reserve(&p->reading, p->slots);
    for (uint32_t i = 0; i < p->effects_count; i++) {
        const struct lin_effect *e = &p->effects[i];
        uint32_t class = p->class_of[i];
        if (class != LIN_NONE && p->classes[class].effects == i) {
            p->by_slot.at[p->by_slot.from[e->slot] + classes[e->slot]++] = class;
        }
        if (class != LIN_NONE && effect_reads(e)) {
            p->reading.at[p->reading.from[e->slot] + effects[e->slot]++] = i;
        }
    }
    free(classes);
    free(effects);
}

static void index_classes(struct lin_problem *p)
{
    p->setter = xmalloc(p->values.nodes_count * sizeof(p->setter[0]));
    memset(p->setter, 0xff, p->values.nodes_count * sizeof(p->setter[0])); /* LIN_NONE */
    p->class_of = xmalloc(((size_t) p->effects_count + 1) * sizeof(p->class_of[0]));
    memset(p->class_of, 0xff, p->effects_count * sizeof(p->class_of[0]));
    for (uint32_t i = 0; i < p->classes_count; i++) {
        const struct lin_class *c = &p->classes[i];
        const struct lin_effect *e = &p->effects[c->effects];
        if (c->effects_count > 1) {
            u32s_push(&p->multi, i);
        }
        if (c->effects_count == 1 && !c->reads && e->set_node != LIN_OTHER) {
            p->setter[e->set_node] = i;
        }
        for (uint32_t j = 0; j < c->effects_count; j++) {
            p->class_of[c->effects + j] = i;
        }
    }
    index_by_slot(p);
}

static void add_operations(struct builder *b)
{
    struct lin_problem *p = b->p;
    uint32_t count = b->part->count;
    struct class_table t = {.mask = 63};

    while (t.mask < 2 * (uint64_t) count) {
        t.mask = 2 * t.mask + 1;
    }
    t.slots = xcalloc((size_t) t.mask + 1, sizeof(t.slots[0]));
    t.of = xcalloc(count + 1, sizeof(t.of[0]));
    t.found = xcalloc(count + 1, sizeof(t.found[0]));
    p->ops = xcalloc(count + 1, sizeof(p->ops[0]));
    p->classes = xcalloc(count + 1, sizeof(p->classes[0]));
    for (uint32_t i = 0; i < count; i++) {
        add_operation(b, &t, b->part->numbers[i]);
    }
    place_members(p, &t);
    index_classes(p);
    free(t.slots);
    free(t.of);
    free(t.found);
}

/* ---- Events ---- */

struct event {
    uint64_t at_ns;
    uint32_t code;
};

/* By time; calls before returns, as equal times overlap. */
static int compare_events(const void *a, const void *b)
{
    const struct event *x = a;
    const struct event *y = b;

    if (x->at_ns != y->at_ns) {
        return x->at_ns < y->at_ns ? -1 : 1;
    }
    if ((x->code & 1) != (y->code & 1)) {
        return (x->code & 1) < (y->code & 1) ? -1 : 1;
    }
    return x->code < y->code ? -1 : x->code > y->code;
}

static void sort_events(struct lin_problem *p, const struct lin_part *part)
{
    struct event *events = xcalloc(2 * (size_t) p->ops_count + 1, sizeof(*events));

    for (uint32_t i = 0; i < p->ops_count; i++) {
        const struct history_op *op = history_get(part->h, p->ops[i].number);
        events[2 * i] = (struct event){op->call_ns, 2 * i};
        events[2 * i + 1] = (struct event){op->return_ns, 2 * i + 1};
    }
    qsort(events, 2 * (size_t) p->ops_count, sizeof(*events), compare_events);
    for (uint32_t i = 0; i < 2 * p->ops_count; i++) {
        u32s_push(&p->events, events[i].code);
    }
    free(events);
}

void problem_init(struct lin_problem *p, const struct lin_part *part, uint32_t horizon)
{
    struct builder b = {.p = p, .part = part, .horizon = horizon};

    memset(p, 0, sizeof(*p));
    p->slots = part->slots;
    p->sensitive = xcalloc(part->slots, sizeof(p->sensitive[0]));
    b.split = xcalloc(part->slots, sizeof(b.split[0]));
    b.touched = xcalloc(part->slots, sizeof(b.touched[0]));
    values_init(&p->values, part->slots);
    collect_values(&b);
    add_operations(&b);
    sort_events(p, part);
    p->done = xcalloc((size_t) p->ops_count / 64 + 1, sizeof(p->done[0]));
    ahead_init(p);
    free(b.split);
    free(b.touched);
    free(b.raw);
}

void problem_release(struct lin_problem *p)
{
    ahead_release(p);
    values_release(&p->values);
    u32s_release(&p->pieces);
    u32s_release(&p->results);
    u32s_release(&p->events);
    u32s_release(&p->multi);
    rows_release(&p->by_slot);
    rows_release(&p->reading);
    free(p->class_of);
    free(p->ops);
    free(p->classes);
    free(p->members);
    free(p->effects);
    free(p->setter);
    free(p->done);
    free(p->sensitive);
}

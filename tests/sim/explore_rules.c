/*
 * explore_rules.c - the properties, for one node (at each new outcome) and for several (at each
 * transition of the cluster).
 *
 * What the latter remember along a path, the monitor, is part of the state of the cluster: two
 * states are equal only if the past can be told apart by no property. It holds: every (slot, epoch)
 * that was ever durable or asked for, with its value and the nodes that ever held it; what is
 * chosen by that; who led which epoch; what was known to be committed when each read was asked for.
 *
 * Chosen means: a quorum has had (slot, epoch, value) on disk. In Raft an entry of an older term on
 * a majority of disks is not yet safe (Raft 5.4.2, figure 8): there a node counts only if it was in
 * the entry's own term when it wrote it, and with the entry all before it are chosen.
 *
 *     R1 R2 R3 R4 R5 R6 R7 R9    P1 P2 P3 P4 P5 P6 P7 P14    D4
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "tests/sim/explore_internal.h"

enum {
    HELD_MAX = 96,
    LED_MAX = 32,
    VIEW_WORDS = 3, /* of a slot in a view: value, epoch, chain */
};

struct held {
    uint64_t slot;
    uint64_t epoch;
    uint64_t value;
    uint64_t chain;
    uint64_t nodes; /* bitmap */
};

struct led {
    uint64_t epoch;
    uint64_t node;
};

struct chosen {
    uint64_t value; /* 0: none */
    uint64_t epoch; /* the lowest under which it was; raft: the term in which it was committed */
    uint64_t chain; /* raft */
};

/* Sorted, so that equal ones have equal bytes. */
struct monitor {
    uint64_t held_count;
    uint64_t led_count;
    uint64_t chosen_to; /* highest slot chosen; lower ones may not be */
    /* For reads: the highest slot that a node ever knew to be committed, which is what a client may
     * have been told of (chosen and not yet known to be is not); and that when each was asked. */
    uint64_t known;
    uint64_t floor[EXPLORE_READS_MAX + 1];
    struct chosen chosen[EX_SLOTS];
    struct held held[HELD_MAX];
    struct led led[LED_MAX];
};

static bool is_raft(const struct explorer *x)
{
    return engine_number(x->options.engine) == ENGINE_RAFT;
}

static unsigned long long llu(uint64_t v)
{
    return v;
}

void ex_bad(struct explorer *x, const char *property, const char *format, ...)
{
    va_list args;
    if (x->repeating || x->bad.property[0] != '\0') {
        return;
    }
    (void) snprintf(x->bad.property, sizeof x->bad.property, "%s", property);
    va_start(args, format);
    (void) vsnprintf(x->bad.text, sizeof x->bad.text, format, args);
    va_end(args);
}

/* One node. */

void ex_rules_write(struct ex_instance *i, const struct log_write *w, uint8_t role)
{
    if (is_raft(i->x) && role == ROLE_LEADER && w->truncate_from != 0) {
        ex_bad(i->x, "R2", "node %u cuts its log at %llu while it leads", i->node,
               llu(w->truncate_from));
    }
    for (uint32_t k = 0; k < w->entries_count; k++) {
        if (ex_value_number(i->x, w->entries[k].value) == EX_VALUE_OTHER) {
            ex_bad(i->x, "P2", "node %u writes a value in slot %llu that nobody proposed", i->node,
                   llu(w->entries[k].index));
        }
    }
}

void ex_rules_store(struct ex_instance *i, const struct log_write *w)
{
    const struct ex_disk *d = &i->disk;
    const char *kept = is_raft(i->x) ? "R1" : "P4";
    if (w->hard_set) {
        if (w->hard.epoch < d->epoch) {
            ex_bad(i->x, kept, "node %u: epoch on disk falls from %llu to %llu", i->node,
                   llu(d->epoch), llu(w->hard.epoch));
        }
        if (w->hard.epoch == d->epoch && d->vote != 0 && w->hard.vote != d->vote) {
            ex_bad(i->x, "R1", "node %u voted for %llu and then for %u in term %llu", i->node,
                   llu(d->vote), w->hard.vote, llu(d->epoch));
        }
        if (w->hard.commit < d->commit) {
            ex_bad(i->x, "R7", "node %u: commit on disk falls from %llu to %llu", i->node,
                   llu(d->commit), llu(w->hard.commit));
        }
    }
    if (w->truncate_from != 0 && w->truncate_from <= d->commit) {
        ex_bad(i->x, "R5", "node %u cuts its log at %llu, committed to %llu", i->node,
               llu(w->truncate_from), llu(d->commit));
    }
    for (uint32_t k = 0; k < w->promises_count; k++) {
        uint64_t before = d->promises[w->promises[k].index];
        if (w->promises[k].ballot < before) {
            ex_bad(i->x, "P4", "node %u: promise of slot %llu falls from %llx to %llx", i->node,
                   llu(w->promises[k].index), llu(before), llu(w->promises[k].ballot));
        }
    }
}

void ex_rules_held(struct ex_instance *i, const struct log_write *w, const struct ex_disk *before)
{
    bool raft = is_raft(i->x);
    bool all_slots = engine_number(i->x->options.engine) == ENGINE_MULTIPAXOS;
    uint64_t chain[EX_SLOTS] = {0};
    for (uint64_t slot = 1; slot < EX_SLOTS; slot++) {
        uint64_t value = i->disk.values[slot];
        bool hole = value == 0 || (slot > 1 && i->disk.values[slot - 1] == 0);
        chain[slot] = hole ? 0 : ex_chain(chain[slot - 1], i->disk.epochs[slot], value);
    }
    for (uint32_t k = 0; k < w->entries_count; k++) {
        uint64_t slot = w->entries[k].index;
        uint64_t epoch = w->entries[k].epoch;
        uint64_t promised = u64_max(before->promises[slot], before->epochs[slot]);
        if (all_slots) {
            promised = u64_max(promised, before->epoch);
        }
        ex_fact(i->x, &(struct ex_fact){
                          .kind = FACT_HELD,
                          .slot = (uint8_t) slot,
                          .value = ex_value_number(i->x, w->entries[k].value),
                          .counts = !raft || i->disk.epoch == epoch,
                          .below = !raft && epoch < promised,
                          .epoch = epoch,
                          .chain = raft ? chain[slot] : 0,
                      });
    }
}

/* R6, P14: is what it says true of the disk when it leaves? P7: is its ballot used up for good? */
void ex_rules_send(struct ex_instance *i, const struct message *m)
{
    const struct ex_disk *d = &i->disk;
    const char *property = is_raft(i->x) ? "R6" : "P14";
    uint8_t engine = engine_number(i->x->options.engine);
    uint64_t commit = log_commit(i->log);
    uint64_t slot = u64_min(m->pos.index, EX_SLOTS - 1);
    uint64_t last = u64_min(m->last, EX_SLOTS - 1);
    bool good = true;
    if (m->reject) {
        return;
    }
    switch (m->type) {
    case MSG_RAFT_VOTE_REPLY:
        good = d->epoch > m->epoch || (d->epoch == m->epoch && d->vote == m->to);
        break;
    case MSG_RAFT_APPEND_REPLY:
        good = d->epoch >= m->epoch;
        /* fall through */
    case MSG_RAFT_HEARTBEAT_REPLY: /* `last`: the match that a lost append reply would have told */
        for (uint64_t k = 1; k <= last && good; k++) {
            good = d->values[k] != 0;
        }
        break;
    case MSG_PAXOS_PROMISE:
        good = engine == ENGINE_PAXOS ? u64_max(d->promises[slot], d->epochs[slot]) >= m->epoch
                                      : d->epoch >= m->epoch;
        good = good || slot <= commit; /* chosen: nothing is promised */
        break;
    case MSG_PAXOS_ACCEPTED:
        for (uint64_t k = slot; k <= last && good; k++) {
            good = (d->values[k] != 0 && d->epochs[k] >= m->epoch) || k <= commit;
        }
        break;
    case MSG_PAXOS_PREPARE:
        property = "P7";
        good = engine == ENGINE_PAXOS ? ballot_round(d->epoch) >= ballot_round(m->epoch)
                                      : d->epoch >= m->epoch;
        break;
    case MSG_PAXOS_ACCEPT:
        for (uint32_t k = 0; k < m->entries_count; k++) {
            if (m->entries[k].index >= EX_SLOTS) {
                i->x->outcome.beyond = true;
                continue;
            }
            ex_fact(i->x, &(struct ex_fact){.kind = FACT_ASKED,
                                            .slot = (uint8_t) m->entries[k].index,
                                            .value = ex_value_number(i->x, m->entries[k].value),
                                            .epoch = m->epoch});
        }
        break;
    default:
        break;
    }
    if (!good) {
        ex_bad(i->x, property,
               "node %u sends %s to %u (epoch %llx, index %llu, last %llu) that is not durable",
               i->node, message_name(m->type), m->to, llu(m->epoch), llu(m->pos.index),
               llu(m->last));
    }
}

/* The monitor. */

static uint32_t monitor_put(struct explorer *x, const struct monitor *m)
{
    struct ex_words *w = &x->words;
    w->count = 0;
    ex_words_raw(w, m, offsetof(struct monitor, chosen));
    ex_words_raw(w, &m->chosen[1], m->chosen_to * sizeof m->chosen[0]);
    ex_words_raw(w, m->held, m->held_count * sizeof m->held[0]);
    ex_words_raw(w, m->led, m->led_count * sizeof m->led[0]);
    return intern_put(&x->monitors, ex_words_bytes(w), NULL);
}

static void monitor_get(const struct explorer *x, uint32_t number, struct monitor *m)
{
    const uint8_t *at = intern_get(&x->monitors, number).data;
    size_t head = offsetof(struct monitor, chosen);
    memcpy(m, at, head);
    at += head;
    memset(m->chosen, 0, sizeof m->chosen);
    memcpy(&m->chosen[1], at, m->chosen_to * sizeof m->chosen[0]);
    at += m->chosen_to * sizeof m->chosen[0];
    memcpy(m->held, at, m->held_count * sizeof m->held[0]);
    at += m->held_count * sizeof m->held[0];
    memcpy(m->led, at, m->led_count * sizeof m->led[0]);
}

uint32_t ex_monitor_new(struct explorer *x)
{
    static const struct monitor empty;
    return monitor_put(x, &empty);
}

static uint64_t chosen_prefix(const struct monitor *m)
{
    uint64_t to = 0;
    while (to + 1 < EX_SLOTS && m->chosen[to + 1].value != 0) {
        to++;
    }
    return to;
}

uint32_t ex_monitor_chosen(const struct explorer *x, uint32_t monitor)
{
    struct monitor m;
    monitor_get(x, monitor, &m);
    return (uint32_t) chosen_prefix(&m);
}

uint32_t ex_monitor_led(const struct explorer *x, uint32_t monitor)
{
    uint64_t head[2]; /* held_count, led_count */
    memcpy(head, intern_get(&x->monitors, monitor).data, sizeof head);
    return (uint32_t) head[1];
}

/* The place of (slot, epoch); made if there is none. NULL: no room. */
static struct held *held_at(struct monitor *m, const struct ex_fact *f, bool *ret_fresh)
{
    uint64_t at = 0;
    while (at < m->held_count && (m->held[at].slot < f->slot ||
                                  (m->held[at].slot == f->slot && m->held[at].epoch < f->epoch))) {
        at++;
    }
    struct held *h = &m->held[at];
    *ret_fresh = at == m->held_count || h->slot != f->slot || h->epoch != f->epoch;
    if (!*ret_fresh) {
        return h;
    }
    if (m->held_count == HELD_MAX) {
        return NULL;
    }
    memmove(h + 1, h, (m->held_count - at) * sizeof *h);
    m->held_count++;
    *h = (struct held){.slot = f->slot, .epoch = f->epoch, .value = f->value, .chain = f->chain};
    return h;
}

static void choose(struct explorer *x, struct monitor *m, uint64_t slot, struct chosen c)
{
    struct chosen *before = &m->chosen[slot];
    if (before->value != 0 && (before->value != c.value || before->chain != c.chain)) {
        ex_bad(x, is_raft(x) ? "R5" : "P1",
               "slot %llu: value %llu was chosen under %llx, then value %llu under %llx", llu(slot),
               llu(before->value), llu(before->epoch), llu(c.value), llu(c.epoch));
        return;
    }
    if (before->value == 0 || c.epoch < before->epoch) {
        *before = c;
    }
    m->chosen_to = u64_max(m->chosen_to, slot);
}

static bool quorum(const struct explorer *x, uint64_t nodes)
{
    return (uint32_t) __builtin_popcountll(nodes) > x->options.nodes / 2;
}

/* Raft: with this entry all before it, as they stand on this disk. */
static void choose_prefix(struct explorer *x, struct monitor *m, const struct ex_local *l,
                          struct log_pos last)
{
    struct ex_disk d;
    uint64_t chain = 0;
    memcpy(&d, intern_get(&x->disks, l->disk).data, sizeof d);
    for (uint64_t slot = 1; slot <= last.index; slot++) {
        if (d.values[slot] == 0) {
            ex_bad(x, "R3", "node %u has entry %llu and not %llu", l->node, llu(last.index),
                   llu(slot));
            return;
        }
        chain = ex_chain(chain, d.epochs[slot], d.values[slot]);
        choose(x, m, slot, (struct chosen){d.values[slot], last.epoch, chain});
    }
}

static bool on_held(struct explorer *x, struct monitor *m, const struct ex_local *l,
                    const struct ex_fact *f)
{
    bool fresh;
    struct held *h = held_at(m, f, &fresh);
    if (h == NULL) {
        return false;
    }
    if (h->value != f->value || h->chain != f->chain) {
        ex_bad(x, is_raft(x) ? "R3" : "P5",
               "node %u %s value %u in slot %u under %llx, elsewhere it is value %llu%s", l->node,
               f->kind == FACT_ASKED ? "asks for" : "holds", f->value, f->slot, llu(f->epoch),
               llu(h->value), h->value == f->value ? " behind another log" : "");
        return true;
    }
    const struct chosen *c = &m->chosen[f->slot];
    if (f->kind == FACT_ASKED) {
        if (c->value != 0 && c->value != f->value && f->epoch > c->epoch) {
            ex_bad(x, "P6", "node %u asks for value %u in slot %u under %llx; %llu is chosen",
                   l->node, f->value, f->slot, llu(f->epoch), llu(c->value));
        }
        return true;
    }
    if (f->below && c->value != f->value) {
        ex_bad(x, "P4", "node %u accepts value %u in slot %u under %llx, below what it promised",
               l->node, f->value, f->slot, llu(f->epoch));
        return true;
    }
    if (f->counts) {
        h->nodes |= UINT64_C(1) << l->node;
        if (quorum(x, h->nodes)) {
            if (is_raft(x)) {
                choose_prefix(x, m, l, (struct log_pos){f->slot, f->epoch});
            } else {
                choose(x, m, f->slot, (struct chosen){f->value, f->epoch, 0});
            }
        }
    }
    return true;
}

static bool on_led(struct explorer *x, struct monitor *m, const struct ex_local *l, uint64_t epoch)
{
    uint64_t at = 0;
    while (at < m->led_count && m->led[at].epoch < epoch) {
        at++;
    }
    if (at < m->led_count && m->led[at].epoch == epoch) {
        if (m->led[at].node != l->node) {
            ex_bad(x, "R1", "nodes %llu and %u both led epoch %llu", llu(m->led[at].node), l->node,
                   llu(epoch));
        }
        return true;
    }
    if (m->led_count == LED_MAX) {
        return false;
    }
    memmove(&m->led[at + 1], &m->led[at], (m->led_count - at) * sizeof m->led[0]);
    m->led[at] = (struct led){epoch, l->node};
    m->led_count++;
    if (!is_raft(x)) {
        return true;
    }
    const uint64_t *view = (const uint64_t *) (const void *) intern_get(&x->views, l->view).data;
    /* A leader of an older term may learn of its votes late, and lead nobody. */
    for (uint64_t slot = 1; slot <= m->chosen_to; slot++) {
        if (m->chosen[slot].value != 0 && m->chosen[slot].epoch < epoch &&
            view[(slot - 1) * VIEW_WORDS + 2] != m->chosen[slot].chain) {
            ex_bad(x, "R4", "node %u leads term %llu without the committed entry %llu", l->node,
                   llu(epoch), llu(slot));
        }
    }
    return true;
}

/* What a node takes for committed is chosen, and what was chosen. */
static void check_commit(struct explorer *x, const struct monitor *m, const struct ex_local *l)
{
    const uint64_t *view = (const uint64_t *) (const void *) intern_get(&x->views, l->view).data;
    for (uint64_t slot = 1; slot <= l->commit && slot < EX_SLOTS; slot++) {
        const uint64_t *s = &view[(slot - 1) * VIEW_WORDS];
        const struct chosen *c = &m->chosen[slot];
        if (c->value == 0) {
            ex_bad(x, is_raft(x) ? "R7" : "P3",
                   "node %u commits slot %llu, which no quorum holds durably", l->node, llu(slot));
        } else if (s[0] != c->value || (is_raft(x) && s[2] != c->chain)) {
            ex_bad(x, is_raft(x) ? "R5" : "P3",
                   "node %u commits value %llu in slot %llu; chosen is %llu", l->node, llu(s[0]),
                   llu(slot), llu(c->value));
        }
    }
}

static bool on_fact(struct explorer *x, struct monitor *m, const struct ex_local *l,
                    const struct ex_fact *f)
{
    switch (f->kind) {
    case FACT_LED:
        return on_led(x, m, l, f->epoch);
    case FACT_HELD:
    case FACT_ASKED:
        return on_held(x, m, l, f);
    case FACT_READ:
        if (f->slot <= EXPLORE_READS_MAX && f->chain < m->floor[f->slot]) {
            ex_bad(x, "R9", "node %u reads at %llu; %llu were committed when it was asked", l->node,
                   llu(f->chain), llu(m->floor[f->slot]));
        }
        return true;
    default:
        UNREACHABLE();
    }
}

enum ex_next ex_rules_outcome(struct explorer *x, uint32_t before, uint32_t input,
                              const struct ex_outcome *o, uint32_t *monitor)
{
    const struct ex_local *l = &x->locals[o->to];
    uint64_t commit = before == EX_NONE ? 0 : x->locals[before].commit;
    bool reads = EX_INPUT_KIND(input) == EX_READ;
    if (l->commit < commit && EX_INPUT_KIND(input) != EX_CRASH) {
        ex_bad(x, "R7", "node %u: commit falls from %llu to %u", l->node, llu(commit), l->commit);
        return EX_NEXT_BAD;
    }
    if (o->facts_count == 0 && !reads && l->commit == commit) {
        return EX_NEXT_OK;
    }
    struct monitor m;
    monitor_get(x, *monitor, &m);
    if (reads) {
        m.floor[EX_INPUT_ARG(input)] = m.known;
    }
    for (uint32_t k = 0; k < o->facts_count; k++) {
        if (!on_fact(x, &m, l, &x->facts[o->facts_first + k])) {
            return EX_NEXT_BEYOND;
        }
    }
    check_commit(x, &m, l);
    m.known = x->options.reads > 0 ? u64_max(m.known, l->commit) : 0;
    if (x->bad.property[0] != '\0') {
        return EX_NEXT_BAD;
    }
    *monitor = monitor_put(x, &m);
    return EX_NEXT_OK;
}

/*
 * acceptor.c - promises and accepts, and the answers to them. See acceptor.h.
 *
 * Nothing here counts votes or chooses values: those are the proposer's (the engines) and the
 * learner's (learner.c). Paxos Made Simple 2.2, 2.3.
 */
#include "consensus/acceptor.h"

#include "base/assert.h"
#include "base/mem.h"

uint64_t acceptor_promised(const struct acceptor *a, const struct log *l, uint64_t index)
{
    uint64_t promised = a->promised_all;
    const struct slot *s = log_slot(l, index);
    if (s == NULL) {
        return promised;
    }
    promised = u64_max(promised, s->promised);
    /* Accepting a ballot promises it (P4); after a restart the entry alone is the proof. */
    return s->state == SLOT_EMPTY ? promised : u64_max(promised, s->epoch);
}

static bool slot_chosen(const struct log *l, uint64_t index)
{
    const struct slot *s = log_slot(l, index);
    return index <= log_commit(l) || (s != NULL && s->state == SLOT_CHOSEN);
}

enum acceptor_result acceptor_promise_all(struct acceptor *a, struct engine *e, uint64_t ballot)
{
    ASSERT(ballot != 0);
    if (ballot < a->promised_all) {
        if (a->promised_all == a->recovered) {
            engine_mark(e, MARK_MULTIPAXOS_RECOVERED_REFUSES);
        }
        return ACCEPTOR_HIGHER;
    }
    if (ballot > a->promised_all) {
        a->promised_all = ballot;
        const struct hard_state hard = {.epoch = ballot, .commit = log_commit(e->log)};
        engine_write_hard(e, &hard);
    }
    return ACCEPTOR_YES;
}

enum acceptor_result acceptor_promise_slot(struct acceptor *a, struct engine *e,
                                           struct slot_promise promise)
{
    ASSERT(promise.ballot != 0);
    ASSERT(promise.index != 0);
    if (slot_chosen(e->log, promise.index)) {
        return ACCEPTOR_CHOSEN;
    }
    /* P1a. An equal ballot is the same request come again: the answer is the same. */
    uint64_t promised = acceptor_promised(a, e->log, promise.index);
    if (promise.ballot < promised) {
        engine_mark(e, MARK_PAXOS_PREPARE_REFUSED);
        return ACCEPTOR_HIGHER;
    }
    if (promise.ballot == promised) {
        return ACCEPTOR_YES;
    }
    if (!log_has_room(e->log, promise.index) || log_promise(e->log, promise) != OK) {
        return ACCEPTOR_FULL;
    }
    engine_write_promise(e, promise);
    engine_trace(e, (struct trace_event){.kind = TRACE_PROMISE,
                                         .epoch = promise.ballot,
                                         .index = promise.index,
                                         .to = ballot_node(promise.ballot)});
    return ACCEPTOR_YES;
}

enum acceptor_result acceptor_accept(struct acceptor *a, struct engine *e,
                                     const struct entry *entry)
{
    ASSERT(entry->index != 0);
    ASSERT(entry->epoch != 0);
    struct log *l = e->log;
    const struct slot *s = log_slot(l, entry->index);
    uint64_t promised = acceptor_promised(a, l, entry->index);
    bool same = s != NULL && s->state != SLOT_EMPTY && s->epoch == entry->epoch;
    if (slot_chosen(l, entry->index)) {
        engine_mark(e, MARK_ACCEPT_OF_CHOSEN);
        return same && entry->epoch >= promised ? ACCEPTOR_YES : ACCEPTOR_CHOSEN;
    }
    /* P1a: accept unless a higher number was promised. */
    if (entry->epoch < promised) {
        engine_mark(e, MARK_ACCEPT_REFUSED);
        return ACCEPTOR_HIGHER;
    }
    if (same) {
        /* The same proposal come again: our write holds it. P5: a slot has one value per ballot. */
        ASSERT(s->value->crc == entry->value->crc);
        return ACCEPTOR_YES;
    }
    if (!log_has_room(l, entry->index) || log_accept(l, entry) != OK) {
        return ACCEPTOR_FULL;
    }
    if (a->all_slots) {
        /* A promise may be raised at any time; one ballot for all slots keeps the answers to the
         * slots above this one in step with it. */
        ERR_IGNORE((int) acceptor_promise_all(a, e, entry->epoch)); /* not lower: checked above */
        ASSERT(a->promised_all >= entry->epoch);
    }
    engine_write_entry(e, entry);
    engine_trace(e, (struct trace_event){.kind = TRACE_ACCEPT,
                                         .epoch = entry->epoch,
                                         .index = entry->index,
                                         .hash = entry->value->crc});
    return ACCEPTOR_YES;
}

void acceptor_nack_all(const struct acceptor *a, struct engine *e, const struct message *m)
{
    struct message *nack = message_new(MSG_PAXOS_NACK, m->from);
    nack->epoch = m->epoch;
    nack->pos.index = m->pos.index;
    nack->last = m->last;
    nack->hint.epoch = a->promised_all;
    nack->ctx = m->ctx;
    engine_send_now(e, nack);
}

/* Fills a page with what is accepted from pos.index on and not below the commit index: that is
 * chosen, and `commit` says so. */
static void fill_promise(struct message *reply, const struct engine *e, uint64_t from)
{
    const struct log *l = e->log;
    uint64_t last = log_last(l);
    reply->last = last;
    for (uint64_t i = u64_max(from, log_commit(l) + 1); i <= last; i++) {
        const struct slot *s = log_slot(l, i);
        if (s == NULL || s->state == SLOT_EMPTY) {
            continue;
        }
        uint64_t bytes = reply->bytes + s->value->bytes.size;
        if (reply->entries_count > 0 && bytes > e->options.message_bytes_max) {
            reply->last = i - 1;
            reply->hint.index = i;
            engine_mark(e, MARK_MULTIPAXOS_PROMISE_PAGES);
            return;
        }
        const struct entry entry = {i, s->epoch, s->value};
        message_add_entry(reply, &entry);
    }
}

void acceptor_on_prepare_all(struct acceptor *a, struct engine *e, const struct message *m)
{
    bool raised = m->epoch > a->promised_all;
    if (m->epoch == 0 || m->pos.index == 0) {
        return;
    }
    if (acceptor_promise_all(a, e, m->epoch) != ACCEPTOR_YES) {
        acceptor_nack_all(a, e, m);
        return;
    }
    if (raised) {
        engine_trace(e, (struct trace_event){.kind = TRACE_PROMISE,
                                             .epoch = m->epoch,
                                             .index = m->pos.index,
                                             .to = m->from});
    }
    struct message *reply = message_new(MSG_PAXOS_PROMISE, m->from);
    reply->epoch = m->epoch;
    reply->pos.index = m->pos.index;
    reply->commit = log_commit(e->log);
    reply->ctx = m->ctx;
    reply->last = log_last(e->log);
    if (m->from != e->options.self) { /* a candidate looks into its own log itself */
        fill_promise(reply, e, m->pos.index);
    }
    engine_send_after_write(e, reply);
}

/* Answers to neighbouring slots that are alike travel in one message. */
struct answer_run {
    struct engine *e;
    const struct message *ask;
    struct message *m; /* being collected, or NULL */
};

static void run_send(struct answer_run *run)
{
    struct message *m = run->m;
    run->m = NULL;
    if (m == NULL) {
        return;
    }
    if (m->type == MSG_PAXOS_PROMISE || m->type == MSG_PAXOS_ACCEPTED) {
        engine_send_after_write(run->e, m);
    } else {
        engine_send_now(run->e, m);
    }
}

/* The message that the answer for this slot goes into; `bytes` of payload will be added. */
static struct message *run_at(struct answer_run *run, enum message_type type, uint64_t index,
                              uint64_t bytes)
{
    struct message *m = run->m;
    if (m != NULL && m->type == (uint8_t) type && m->last + 1 == index &&
        (bytes == 0 || m->bytes == 0 || m->bytes + bytes <= run->e->options.message_bytes_max)) {
        m->last = index;
        return m;
    }
    run_send(run);
    run->m = message_new(type, run->ask->from);
    run->m->epoch = run->ask->epoch;
    run->m->ctx = run->ask->ctx;
    run->m->commit = log_commit(run->e->log);
    run->m->pos.index = index;
    run->m->last = index;
    return run->m;
}

static void run_nack(struct answer_run *run, uint64_t index, uint64_t promised)
{
    struct message *m = run_at(run, MSG_PAXOS_NACK, index, 0);
    m->hint.epoch = u64_max(m->hint.epoch, promised);
}

/* "Chosen": with the value while it is in memory, else the commit index says it (P10). */
static void run_chosen(struct answer_run *run, uint64_t index)
{
    struct entry entry;
    if (log_entry(run->e->log, index, &entry) != OK) {
        engine_mark(run->e, MARK_CHOSEN_NOT_IN_MEMORY);
        struct message *m = run_at(run, MSG_PAXOS_CHOSEN, index, 0);
        m->pos.index = 0;
        m->epoch = 0; /* nothing is said of ballots */
        return;
    }
    message_add_entry(run_at(run, MSG_PAXOS_CHOSEN, index, entry.value->bytes.size), &entry);
}

static void run_promise(struct answer_run *run, uint64_t index)
{
    const struct slot *s = log_slot(run->e->log, index);
    if (s == NULL || s->state == SLOT_EMPTY) {
        (void) run_at(run, MSG_PAXOS_PROMISE, index, 0);
        return;
    }
    const struct entry entry = {index, s->epoch, s->value};
    engine_mark(run->e, MARK_PAXOS_PROMISE_WITH_VALUE);
    message_add_entry(run_at(run, MSG_PAXOS_PROMISE, index, s->value->bytes.size), &entry);
}

void acceptor_on_prepare_slots(struct acceptor *a, struct engine *e, const struct message *m)
{
    if (m->epoch == 0 || m->pos.index == 0 || m->last < m->pos.index) {
        return;
    }
    struct answer_run run = {e, m, NULL};
    uint64_t first = m->pos.index;
    if (first < log_mem_first(e->log) && first <= log_commit(e->log)) {
        /* All of them are chosen and gone from memory: one answer, whatever their number. */
        run_chosen(&run, first);
        first = u64_min(log_mem_first(e->log), log_commit(e->log) + 1);
    }
    for (uint64_t i = first; i <= m->last; i++) {
        const struct slot_promise promise = {i, m->epoch};
        switch (acceptor_promise_slot(a, e, promise)) {
        case ACCEPTOR_YES:
            run_promise(&run, i);
            break;
        case ACCEPTOR_HIGHER:
            run_nack(&run, i, acceptor_promised(a, e->log, i));
            break;
        case ACCEPTOR_CHOSEN:
            run_chosen(&run, i);
            break;
        case ACCEPTOR_FULL:
            run_send(&run);
            return; /* higher slots do not fit either */
        }
    }
    run_send(&run);
}

void acceptor_on_accept(struct acceptor *a, struct engine *e, const struct message *m)
{
    struct answer_run run = {e, m, NULL};
    for (uint32_t k = 0; m->epoch != 0 && k < m->entries_count; k++) {
        const struct entry entry = {m->entries[k].index, m->epoch, m->entries[k].value};
        if (entry.index == 0 || entry.value == NULL) {
            continue;
        }
        switch (acceptor_accept(a, e, &entry)) {
        case ACCEPTOR_YES:
            (void) run_at(&run, MSG_PAXOS_ACCEPTED, entry.index, 0);
            break;
        case ACCEPTOR_HIGHER:
            run_nack(&run, entry.index, acceptor_promised(a, e->log, entry.index));
            break;
        case ACCEPTOR_CHOSEN:
            run_chosen(&run, entry.index);
            break;
        case ACCEPTOR_FULL:
            break;
        }
    }
    run_send(&run);
}

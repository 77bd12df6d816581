/*
 * engine_paxos.c - Basic Paxos, without a leader: any node that a client talks to proposes.
 *
 * Lamport, Paxos Made Simple, sections 2.2 and 2.3, once for every slot of the log. Here: the
 * operations, heartbeats, and finishing slots that others left unfinished. Not here: the proposer
 * (paxos_round.c), reads (paxos_read.c), the acceptor (acceptor.c), learning (learner.c).
 *
 *     type           from -> to            fields                                     section
 *     PREPARE        proposer -> all       epoch, [pos.index, last] slots             2.2 1a
 *     PROMISE        back, after write     see acceptor.h                             2.2 1b
 *     ACCEPT         proposer -> all       epoch, entries                             2.2 2a
 *     ACCEPTED       back, after write     epoch, [pos.index, last]                   2.2 2b
 *     NACK           back                  epoch refused, slots, hint.epoch promised  2.4
 *     CHOSEN         proposer -> all       epoch, [pos.index, last]; or entries       2.3
 *     CHOSEN         acceptor -> proposer  entries, commit                            2.3
 *     LEARN, _REPLY  any -> any            see learner.h                              2.3
 *     HEARTBEAT      any -> all            commit, last = durable prefix, seen,       2.3
 *                                          hint.epoch = highest ballot, write_age_us
 *     READ           any -> all            ctx; last = 1: ask the others for me       (reads)
 *     READ_REPLY     back                  ctx; pos.index = highest slot in use,      (reads)
 *                                          seen = at whom else, of those asked for it
 *
 * All messages carry the sender's commit index, so that who is behind finds out and asks.
 *
 * "To all" includes the sender: its own acceptor is one of them, and its promise and its accept
 * count when they are durable and come back like the others'.
 *
 * Progress (P12, R11). A slot is left unfinished when its proposer died, or gave way to one that
 * died. Any node that sees the lowest unfinished slot stay so for a while, with something in use at
 * or above it or a read waiting for it, runs a round for each such slot: it finishes what was
 * accepted or puts a no-op. The wait is random, so that seldom two do it at once; if they do it is
 * a duel like others.
 *
 * Partial partitions (experiments.md E8, E9). A node that is not in touch with a quorum (reach.h)
 * starts and repeats nothing: its promises would hold slots that it can never finish. If it hears a
 * peer that is in touch with one, it takes no more values itself: they go to that peer, and it asks
 * for read points there.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/paxos.h"

enum { WATCH_DOUBLINGS_MAX = 10 };

static struct paxos *px_of(struct engine *e)
{
    return container_of(e, struct paxos, e);
}

static const struct paxos *px_of_const(const struct engine *e)
{
    return (const struct paxos *) (const void *) e; /* `e` is the first member */
}

STATIC_ASSERT(offsetof(struct paxos, e) == 0, "px_of_const casts");

/* May this node start or repeat rounds? One that cannot finish them would only take slots away from
 * those that can. Just started, it does not know yet. */
bool px_connected(const struct paxos *px)
{
    const struct engine *e = &px->e;
    return !e->options.quorum_connected || reach_quorum(&px->reach, e) ||
           e->now_us - e->heard_start_us < e->options.election_us;
}

/* Whom to turn to while this node is not connected; 0: not wanted, or nobody known. */
uint32_t px_proxy(const struct paxos *px)
{
    return px_connected(px) ? 0 : reach_proxy(&px->reach, &px->e);
}

static void send_heartbeats(struct paxos *px)
{
    struct engine *e = &px->e;
    px->heartbeat_us = e->now_us + e->options.heartbeat_us;
    if (e->options.members.count == 1) {
        px->heartbeat_us = UINT64_MAX;
        return;
    }
    struct message *m = message_new(MSG_PAXOS_HEARTBEAT, e->options.self);
    m->hint.epoch = px->highest;
    m->commit = log_commit(e->log);
    m->last = log_stable(e->log);
    m->seen = engine_heard(e, e->options.election_us);
    m->write_age_us = engine_write_age(e);
    engine_broadcast_now(e, m);
    message_free(m);
}

/* How long a slot may stay unfinished before this node finishes it: longer, by chance, each time
 * that it has tried again. All who see the slot try, and without a leader one of them must be alone
 * for as long as both phases take, however slow network and disks are (2.4, P12). */
static uint64_t patience(struct paxos *px, uint64_t index)
{
    const struct consensus_options *o = &px->e.options;
    uint32_t doublings = px->watch_tries > 1 ? px->watch_tries - 1 : 0;
    uint64_t most = u64_min(o->backoff_max_us, o->resend_us << doublings);
    uint64_t us = o->resend_us + rng_below(&px->e.rng, u64_max(o->resend_us, most));
    /* Chosen, says somebody: learning it is cheaper, unless that one has died. */
    bool known = learner_known_commit(&px->learner, &px->e) >= index;
    return known ? us + 2 * o->resend_us : us;
}

/* Finishes what nobody finishes (head of this file). */
static void watch(struct paxos *px)
{
    uint64_t first = log_commit(px->e.log) + 1;
    uint64_t last = u64_max(log_last(px->e.log), px->want);
    if (first > last) {
        px->watch_index = 0;
        return;
    }
    if (px->watch_index == first && px->e.now_us < px->watch_us) {
        return;
    }
    if (px->watch_index != first) {
        px->watch_tries = 0;
    } else if (px_connected(px)) {
        engine_mark(&px->e, MARK_PAXOS_REPAIR);
        px_repair(px, first, u64_max(px->watch_last, first));
        px->watch_tries += px->watch_tries < WATCH_DOUBLINGS_MAX ? 1 : 0;
    }
    px->watch_index = first;
    px->watch_last = last;
    px->watch_us = px->e.now_us + patience(px, first);
}

/* After every input: finished rounds, the durable hints, what is missing, and when to wake up. */
static void settle(struct paxos *px)
{
    struct engine *e = &px->e;
    px_rounds_settle(px);
    watch(px);
    const struct hard_state hard = {.epoch = px->hard_epoch, .commit = log_commit(e->log)};
    engine_write_hard(e, &hard); /* a commit index alone waits for the next write */
    px->poll_us = learner_poll(&px->learner, e, -1);
    uint64_t due = u64_min(px->heartbeat_us, px->poll_us);
    due = u64_min(due, px_rounds_deadline(px));
    due = u64_min(due, px_reads_deadline(px));
    e->deadline_us = px->watch_index == 0 ? due : u64_min(due, px->watch_us);
}

static struct engine *paxos_create(void)
{
    return &((struct paxos *) xcalloc(1, sizeof(struct paxos)))->e;
}

static void paxos_start(struct engine *e, const struct hard_state *hard)
{
    struct paxos *px = px_of(e);
    list_init(&px->batches);
    /* P7: all rounds reserved by an earlier life count as used. */
    px->hard_epoch = hard->epoch;
    px->highest = hard->epoch;
    px->reserved = ballot_round(hard->epoch);
    px->round = px->reserved + 1;
    px->cursor = 1;
    px->batch_id = rng_u64(&e->rng) >> 16; /* answers to an earlier life do not fit */
    px->heartbeat_us = e->now_us;
    if (log_last(e->log) > log_commit(e->log)) {
        engine_mark(e, MARK_PAXOS_ACCEPTED_RECOVERED);
    }
    engine_trace(e, (struct trace_event){.kind = TRACE_START,
                                         .epoch = hard->epoch,
                                         .index = log_last(e->log)});
}

static void paxos_destroy(struct engine *e)
{
    struct paxos *px = px_of(e);
    px_rounds_free(px);
    if (px->batches.head.next != NULL) { /* it was started */
        px_reads_free(px);
    }
    free(px);
}

static void paxos_tick(struct engine *e)
{
    struct paxos *px = px_of(e);
    px_rounds_tick(px);
    px_reads_tick(px);
    if (e->now_us >= px->heartbeat_us) {
        send_heartbeats(px);
    }
    settle(px);
}

static void note_ballots(struct paxos *px, const struct message *m)
{
    px->highest = u64_max(px->highest, u64_max(m->epoch, m->hint.epoch));
}

static void paxos_step(struct engine *e, const struct message *m)
{
    struct paxos *px = px_of(e);
    note_ballots(px, m);
    learner_note_commit(&px->learner, e, m);
    switch (m->type) {
    case MSG_PAXOS_PREPARE:
        acceptor_on_prepare_slots(&px->acceptor, e, m);
        break;
    case MSG_PAXOS_PROMISE:
        px_on_promise(px, m);
        break;
    case MSG_PAXOS_ACCEPT:
        acceptor_on_accept(&px->acceptor, e, m);
        break;
    case MSG_PAXOS_ACCEPTED:
        px_on_accepted(px, m);
        break;
    case MSG_PAXOS_NACK:
        px_on_nack(px, m);
        break;
    case MSG_PAXOS_CHOSEN:
        learner_on_chosen(&px->learner, e, m);
        break;
    case MSG_PAXOS_LEARN:
        learner_on_learn(&px->learner, e, m);
        break;
    case MSG_PAXOS_LEARN_REPLY:
        learner_on_learn_reply(&px->learner, e, m);
        break;
    case MSG_PAXOS_READ:
        px_on_read(px, m);
        px_on_read_for(px, m);
        break;
    case MSG_PAXOS_READ_REPLY:
        px_on_read_reply(px, m);
        break;
    case MSG_PAXOS_HEARTBEAT:
        reach_note(&px->reach, e, m);
        e->flush_wanted = e->flush_wanted || px->queue_count > 0;
        break;
    default:
        break; /* of another engine: nothing to do here */
    }
    settle(px);
}

static bool paxos_can_propose(const struct engine *e)
{
    const struct paxos *px = px_of_const(e);
    return px_own_count(px) < e->options.inflight_max &&
           log_has_room(e->log, log_last(e->log) + 1) && px_proxy(px) == 0;
}

static int paxos_propose(struct engine *e, struct value *value)
{
    struct paxos *px = px_of(e);
    if (!paxos_can_propose(e)) {
        return px_proxy(px) != 0 ? ERR_NOT_LEADER : ERR_BUSY;
    }
    px_queue_push(px, value);
    settle(px);
    return OK;
}

static int paxos_read(struct engine *e, uint64_t ctx)
{
    struct paxos *px = px_of(e);
    int err = px_read(px, ctx);
    settle(px);
    return err;
}

static void paxos_stored(struct engine *e, const struct log_write *write)
{
    struct paxos *px = px_of(e);
    if (write->hard_set) {
        px->reserved = u64_max(px->reserved, ballot_round(write->hard.epoch));
    }
    settle(px);
}

static void paxos_applied(struct engine *e, uint64_t index)
{
    struct paxos *px = px_of(e);
    (void) index;
    if (px->queue_count > 0) {
        e->flush_wanted = true; /* there may be room in the log now */
    }
    settle(px);
}

static void paxos_loaded(struct engine *e, uint64_t load_id, int err, const struct entry *entries,
                         uint32_t count)
{
    struct paxos *px = px_of(e);
    learner_on_loaded(&px->learner, e, load_id, err, entries, count);
    settle(px);
}

static void paxos_status(const struct engine *e, struct consensus_status *status)
{
    const struct paxos *px = px_of_const(e);
    status->role = ROLE_PROPOSER;
    status->leader = 0;
    status->proposer = px_connected(px) ? e->options.self : px_proxy(px);
    status->epoch = px->highest;
    status->elections = px->elections;
    status->displaced = px->displaced;
}

static void paxos_flush(struct engine *e)
{
    struct paxos *px = px_of(e);
    px_reads_flush(px);
    px_rounds_flush(px);
    settle(px);
}

const struct engine_ops engine_paxos_ops = {
    .name = "paxos",
    .id = ENGINE_PAXOS,
    .capabilities = 0,
    .create = paxos_create,
    .start = paxos_start,
    .destroy = paxos_destroy,
    .tick = paxos_tick,
    .step = paxos_step,
    .propose = paxos_propose,
    .can_propose = paxos_can_propose,
    .read = paxos_read,
    .stored = paxos_stored,
    .applied = paxos_applied,
    .loaded = paxos_loaded,
    .status = paxos_status,
    .flush = paxos_flush,
};

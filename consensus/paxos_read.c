/*
 * paxos_read.c - linearizable reads without a leader: the highest slot that a quorum knows.
 *
 * All acceptors are asked for the highest slot in which they have accepted anything, or know
 * anything to be chosen. The read point is the highest answer of a quorum; the read may be served
 * when this node has applied up to it. Why that is linearizable:
 *
 *   Let w be a write that was answered before the read was asked. It was chosen in some slot s: a
 *   quorum had accepted it, durably, before (P14). That quorum and the quorum that answers us
 *   share an acceptor. It accepted w in s before it was asked, and an accept is never forgotten:
 *   not by a restart, and not by trimming, because the log's last index stays. So some answer is
 *   >= s, and the read sees w.
 *
 *   Let r be a read that was answered before ours was asked. It was served from the chosen prefix
 *   up to some slot a. The value in a was chosen, so by the same argument our point is >= a: time
 *   does not run backwards between nodes.
 *
 * A node out of touch with a quorum also asks a peer that is in touch with one to ask on its
 * behalf (px_proxy). The peer begins a question of its own then, and its answer counts for all who
 * answered it: they were asked later than the read was, so the argument is the same.
 *
 * An answer may name a slot whose accept is not yet durable, or that never gets chosen with what
 * is in it. That only makes the read wait for more than it had to, so answers need no write. The
 * point is always reached: slots up to it that nobody finishes are finished by this node (`want`).
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/paxos.h"

static struct px_batch *batch_of(struct list_node *node)
{
    return list_entry(node, struct px_batch, node);
}

static void batch_end(struct paxos *px, struct px_batch *b, int err)
{
    for (uint32_t i = 0; i < b->count; i++) {
        engine_read_done(&px->e, (struct read_state){b->ctxs[i], b->highest, err});
    }
    if (err == OK && b->highest > log_commit(px->e.log)) {
        engine_mark(&px->e, MARK_PAXOS_READ_SAW_UNCHOSEN);
    }
    if (err == OK) {
        px->want = u64_max(px->want, b->highest);
    }
    if (err == OK && b->peer != 0) {
        struct message *reply = message_new(MSG_PAXOS_READ_REPLY, b->peer);
        reply->ctx = b->asked;
        reply->pos.index = b->highest;
        reply->seen = b->yes;
        reply->commit = log_commit(px->e.log);
        engine_send_now(&px->e, reply);
    }
    px->reads_count -= b->peer != 0 ? 1 : b->count;
    list_remove(&b->node);
    free(b->ctxs);
    free(b);
}

void px_reads_free(struct paxos *px)
{
    struct list_node *node;
    while ((node = list_pop_front(&px->batches)) != NULL) {
        free(batch_of(node)->ctxs);
        free(batch_of(node));
    }
}

int px_read(struct paxos *px, uint64_t ctx)
{
    struct engine *e = &px->e;
    if (px->reads_count >= e->options.reads_max) {
        return ERR_BUSY;
    }
    /* The last batch is still open when it was not sent yet. */
    struct list_node *last = list_last(&px->batches);
    struct px_batch *b = last == NULL ? NULL : batch_of(last);
    if (b == NULL || b->id != 0) {
        b = xcalloc(1, sizeof *b);
        b->asked_us = e->now_us;
        b->resend_us = UINT64_MAX;
        list_push_back(&px->batches, &b->node);
    }
    if (b->count == b->capacity) {
        b->capacity = b->capacity == 0 ? 16 : b->capacity * 2;
        b->ctxs = xrealloc(b->ctxs, b->capacity * sizeof *b->ctxs);
    }
    b->ctxs[b->count++] = ctx;
    px->reads_count++;
    e->flush_wanted = true;
    return OK;
}

static void batch_send(struct paxos *px, struct px_batch *b)
{
    struct engine *e = &px->e;
    uint32_t proxy = b->peer != 0 ? 0 : px_proxy(px);
    b->resend_us = e->now_us + e->options.resend_us;
    for (uint32_t r = 0; r < e->options.members.count; r++) {
        uint32_t to = e->options.members.ids[r];
        if ((b->yes & (UINT64_C(1) << r)) == 0 || to == proxy) {
            struct message *m = message_new(MSG_PAXOS_READ, to);
            m->ctx = b->id;
            m->last = to == proxy ? 1 : 0;
            engine_send_now(e, m);
        }
    }
}

static void batch_answer(struct paxos *px, struct px_batch *b, int rank, uint64_t highest)
{
    b->yes |= UINT64_C(1) << rank;
    b->highest = u64_max(b->highest, highest);
    if (quorum_reached(&px->e.options.members, b->yes)) {
        batch_end(px, b, OK);
    }
}

static void batch_begin(struct paxos *px, struct px_batch *b)
{
    b->id = ++px->batch_id;
    b->yes = UINT64_C(1) << px->e.self_rank;
    batch_send(px, b);
    batch_answer(px, b, px->e.self_rank, log_last(px->e.log));
}

void px_reads_flush(struct paxos *px)
{
    struct list_node *last = list_last(&px->batches);
    if (last != NULL && batch_of(last)->id == 0) {
        batch_begin(px, batch_of(last));
    }
}

void px_on_read(struct paxos *px, const struct message *m)
{
    struct message *reply = message_new(MSG_PAXOS_READ_REPLY, m->from);
    reply->ctx = m->ctx;
    reply->pos.index = log_last(px->e.log);
    reply->commit = log_commit(px->e.log);
    engine_send_now(&px->e, reply);
}

static bool asked_already(struct paxos *px, const struct message *m)
{
    LIST_FOR_EACH(&px->batches, node) {
        if (batch_of(node)->peer == m->from && batch_of(node)->asked == m->ctx) {
            return true;
        }
    }
    return false;
}

/* The sender cannot ask a quorum itself. Not passed on: whoever cannot either leaves it at that. */
void px_on_read_for(struct paxos *px, const struct message *m)
{
    struct engine *e = &px->e;
    if (m->last == 0 || !px_connected(px) || px->reads_count >= e->options.reads_max ||
        asked_already(px, m)) {
        return;
    }
    struct px_batch *b = xcalloc(1, sizeof *b);
    b->peer = m->from;
    b->asked = m->ctx;
    b->asked_us = e->now_us;
    list_push_front(&px->batches, &b->node);
    px->reads_count++;
    batch_begin(px, b);
}

void px_on_read_reply(struct paxos *px, const struct message *m)
{
    learner_note_commit(&px->learner, &px->e, m);
    LIST_FOR_EACH(&px->batches, node) {
        struct px_batch *b = batch_of(node);
        if (b->id != 0 && b->id == m->ctx) {
            int rank = membership_rank(&px->e.options.members, m->from);
            b->yes |= m->seen;
            batch_answer(px, b, rank, m->pos.index);
            return;
        }
    }
}

void px_reads_tick(struct paxos *px)
{
    struct engine *e = &px->e;
    LIST_FOR_EACH_SAFE(&px->batches, node, after) {
        struct px_batch *b = batch_of(node);
        if (e->now_us - b->asked_us > 4 * e->options.election_us) {
            batch_end(px, b, ERR_TIMEOUT);
        } else if (e->now_us >= b->resend_us) {
            batch_send(px, b);
        }
    }
}

uint64_t px_reads_deadline(const struct paxos *px)
{
    uint64_t due = UINT64_MAX;
    LIST_FOR_EACH(&px->batches, node) {
        const struct px_batch *b = batch_of(node);
        due = u64_min(due, u64_min(b->resend_us, b->asked_us + 4 * px->e.options.election_us + 1));
    }
    return due;
}

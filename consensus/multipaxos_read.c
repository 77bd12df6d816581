/*
 * multipaxos_read.c - linearizable reads.
 *
 * At the leader with ballot b. The read point is max(commit, barrier) at the time of asking; it may
 * be served after a quorum has answered a heartbeat, sent later, that it has not promised above b.
 * Why that is enough:
 *
 *   Let w be a write that was answered before the read was asked; it was chosen in slot s by then.
 *   - Chosen under a ballot <= b, and not by this leader: its quorum met the quorum of our phase 1,
 *     so s is at most the barrier (found as accepted, or below somebody's commit).
 *   - Chosen under b: only we count accepts of b, so we knew it before anybody could answer the
 *     client: s <= commit.
 *   - Chosen under b' > b before the read was asked: a quorum promised b' before that. It meets the
 *     quorum that confirmed us after that, in an acceptor that did not promise above b.
 *     Contradiction.
 *
 * Promises still on their way to a disk count as promised (the acceptor refuses at once), so the
 * confirmation itself promises nothing and does not wait for a write.
 *
 * At a follower: the question goes to the leader and is treated like its own; one message for all
 * reads of a turn. Whoever loses the leader, or waits for too long, gives the read back with an
 * error.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/multipaxos.h"

static void read_add(struct multipaxos *mp, struct mp_read read)
{
    struct mp_reads *rs = &mp->reads;
    if (rs->count == rs->capacity) {
        rs->capacity = rs->capacity == 0 ? 16 : rs->capacity * 2;
        rs->at = xrealloc(rs->at, rs->capacity * sizeof *rs->at);
    }
    read.asked_us = mp->e.now_us;
    rs->at[rs->count++] = read;
    rs->unsent++;
    mp->e.flush_wanted = true;
}

/* Gives the answer to whoever asked. */
static void read_answer(struct multipaxos *mp, const struct mp_read *read, int err)
{
    struct engine *e = &mp->e;
    if (read->node == 0) {
        engine_read_done(e, (struct read_state){read->ctx, read->index, err});
        return;
    }
    struct message *m = message_new(MSG_PAXOS_READ_REPLY, read->node);
    m->ctx = read->ctx;
    m->pos.index = read->index;
    m->reject = err != OK;
    engine_send_now(e, m);
}

/* Removes the first `count` reads. */
static void reads_pop(struct mp_reads *rs, uint32_t count)
{
    ASSERT(count <= rs->count);
    if (count == 0) {
        return;
    }
    memmove(rs->at, rs->at + count, (rs->count - count) * sizeof *rs->at);
    rs->count -= count;
    rs->unsent = rs->unsent < rs->count ? rs->unsent : rs->count;
}

void mp_reads_fail(struct multipaxos *mp, int err)
{
    struct mp_reads *rs = &mp->reads;
    for (uint32_t i = 0; i < rs->count; i++) {
        read_answer(mp, &rs->at[i], err);
    }
    rs->count = 0;
    rs->unsent = 0;
}

/* Of a leader. */
static uint64_t read_point(const struct multipaxos *mp)
{
    uint64_t commit = log_commit(mp->e.log);
    if (commit < mp->lead.barrier) {
        engine_mark(&mp->e, MARK_MULTIPAXOS_READ_BARRIER);
    }
    return u64_max(commit, mp->lead.barrier);
}

int mp_read(struct multipaxos *mp, uint64_t ctx)
{
    if (mp->view.leader == 0 || !mp->view.confirmed) {
        return ERR_NO_LEADER;
    }
    if (mp->reads.count >= mp->e.options.reads_max) {
        return ERR_BUSY;
    }
    uint64_t index = mp->role == ROLE_LEADER ? read_point(mp) : 0;
    read_add(mp, (struct mp_read){.ctx = ctx, .index = index});
    return OK;
}

static void ask_leader(struct multipaxos *mp, uint64_t round)
{
    struct message *m = message_new(MSG_PAXOS_READ, mp->view.leader);
    m->ctx = round;
    engine_send_now(&mp->e, m);
}

/* One round for all reads of this turn. */
void mp_reads_flush(struct multipaxos *mp)
{
    struct engine *e = &mp->e;
    struct mp_reads *rs = &mp->reads;
    if (rs->unsent == 0) {
        return;
    }
    rs->round++;
    for (uint32_t i = rs->count - rs->unsent; i < rs->count; i++) {
        rs->at[i].round = rs->round;
    }
    rs->unsent = 0;
    if (mp->role == ROLE_LEADER) {
        mp_send_heartbeats(mp);
        mp_reads_confirm(mp, e->self_rank, rs->round);
        return;
    }
    engine_mark(e, MARK_MULTIPAXOS_READ_FORWARDED);
    rs->resend_us = e->now_us + e->options.resend_us;
    ask_leader(mp, rs->round);
}

void mp_reads_confirm(struct multipaxos *mp, int rank, uint64_t round)
{
    struct mp_reads *rs = &mp->reads;
    ASSERT(mp->role == ROLE_LEADER);
    if (round > rs->round) {
        return; /* not of this life */
    }
    rs->acked[rank] = u64_max(rs->acked[rank], round);
    uint64_t confirmed = quorum_index(&mp->e.options.members, rs->acked);
    uint32_t done = 0;
    while (done < rs->count - rs->unsent && rs->at[done].round <= confirmed) {
        read_answer(mp, &rs->at[done], OK);
        done++;
    }
    reads_pop(rs, done);
}

void mp_on_read(struct multipaxos *mp, const struct message *m)
{
    struct mp_read read = {.ctx = m->ctx, .node = m->from};
    if (mp->role != ROLE_LEADER || mp->reads.count >= mp->e.options.reads_max) {
        read_answer(mp, &read, ERR_NOT_LEADER);
        return;
    }
    read.index = read_point(mp);
    read_add(mp, read);
}

void mp_on_read_reply(struct multipaxos *mp, const struct message *m)
{
    struct mp_reads *rs = &mp->reads;
    if (mp->role == ROLE_LEADER) {
        return;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rs->count; i++) {
        struct mp_read read = rs->at[i];
        if (read.round == 0 || read.round != m->ctx) {
            rs->at[kept++] = read;
            continue;
        }
        read.index = m->pos.index;
        read_answer(mp, &read, m->reject ? ERR_NOT_LEADER : OK);
    }
    rs->count = kept;
}

void mp_reads_tick(struct multipaxos *mp)
{
    struct engine *e = &mp->e;
    struct mp_reads *rs = &mp->reads;
    uint32_t late = 0;
    while (late < rs->count && e->now_us - rs->at[late].asked_us > 4 * e->options.election_us) {
        read_answer(mp, &rs->at[late], ERR_TIMEOUT);
        late++;
    }
    reads_pop(rs, late);
    if (mp->role == ROLE_LEADER || rs->count == rs->unsent || e->now_us < rs->resend_us) {
        return; /* a leader's heartbeats repeat the newest round */
    }
    rs->resend_us = e->now_us + e->options.resend_us;
    uint64_t asked = 0;
    for (uint32_t i = 0; i < rs->count - rs->unsent; i++) {
        if (rs->at[i].round != asked) {
            asked = rs->at[i].round;
            ask_leader(mp, asked);
        }
    }
}

uint64_t mp_reads_deadline(const struct multipaxos *mp)
{
    const struct mp_reads *rs = &mp->reads;
    if (rs->count == 0) {
        return UINT64_MAX;
    }
    uint64_t late = rs->at[0].asked_us + 4 * mp->e.options.election_us + 1;
    return mp->role == ROLE_LEADER || rs->count == rs->unsent ? late : u64_min(late, rs->resend_us);
}

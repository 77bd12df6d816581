/*
 * raft_read.c - linearizable reads by ReadIndex (thesis 6.4), in batches.
 *
 * Leader: the reads of a turn share one round. Its read index is the commit index when the round
 * begins; a quorum that answers a heartbeat of the round (or of a later one) in this term proves
 * that no other leader had committed anything before. At most RAFT_READ_ROUNDS_MAX rounds are under
 * way; what comes meanwhile goes into the next. Follower: the reads of a turn travel to the leader
 * as one request (thesis 6.4: followers ask the leader for a read index), asked again after
 * resend_us.
 */

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/raft.h"

static uint64_t read_timeout_us(const struct raft *r)
{
    return 2 * r->base.options.election_us;
}

static void push(struct raft *r, struct raft_read read)
{
    if (r->reads_count == r->reads_capacity) {
        r->reads_capacity = r->reads_capacity == 0 ? 16 : r->reads_capacity * 2;
        r->reads = xrealloc(r->reads, r->reads_capacity * sizeof *r->reads);
    }
    r->reads[r->reads_count++] = read;
    r->base.flush_wanted = true;
}

static void answer(struct raft *r, const struct raft_read *read, int err)
{
    if (read->from == r->base.options.self) {
        engine_read_done(&r->base,
                         (struct read_state){.ctx = read->ctx, .index = read->index, .err = err});
        return;
    }
    if (err == OK) { /* a follower whose read fails here asks again, or gives up by itself */
        struct message *m = raft_message(r, MSG_RAFT_READ_INDEX_REPLY, read->from);
        m->ctx = read->ctx;
        m->pos.index = read->index;
        engine_send_now(&r->base, m);
    }
}

int raft_read(struct raft *r, uint64_t ctx)
{
    if (r->leader == 0) {
        return ERR_NO_LEADER;
    }
    if (r->reads_count >= r->base.options.reads_max) {
        return ERR_BUSY;
    }
    push(r,
         (struct raft_read){.ctx = ctx, .asked_us = r->base.now_us, .from = r->base.options.self});
    return OK;
}

/* Role or leader changed: own reads are asked anew, those of others are theirs to ask again. */
void raft_reads_requeue(struct raft *r)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->reads_count; i++) {
        if (r->reads[i].from == r->base.options.self) {
            r->reads[kept] = r->reads[i];
            r->reads[kept].round = 0;
            kept++;
        }
    }
    r->reads_count = kept;
    if (kept > 0) {
        r->base.flush_wanted = true;
    }
}

/* Follower: one request for each distinct batch that is still unanswered. */
static void ask_leader(struct raft *r)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < r->reads_count; i++) {
        if (r->reads[i].round == last) {
            continue;
        }
        last = r->reads[i].round;
        struct message *m = raft_message(r, MSG_RAFT_READ_INDEX, r->leader);
        m->ctx = last;
        engine_send_now(&r->base, m);
    }
    r->reads_sent_us = r->base.now_us;
}

static void flush_follower(struct raft *r)
{
    if (r->leader == 0) {
        return;
    }
    bool fresh = false;
    for (uint32_t i = 0; i < r->reads_count; i++) {
        if (r->reads[i].round == 0) {
            r->reads[i].round = r->batch + 1;
            fresh = true;
        }
    }
    if (fresh) {
        r->batch++;
        struct message *m = raft_message(r, MSG_RAFT_READ_INDEX, r->leader);
        m->ctx = r->batch;
        engine_mark(&r->base, MARK_RAFT_READ_FORWARDED);
        engine_send_now(&r->base, m);
        r->reads_sent_us = r->base.now_us;
    }
}

/* The newest round that a quorum has answered in this term. */
static uint64_t confirmed(const struct raft *r)
{
    uint64_t rounds[NODES_MAX];
    for (uint32_t i = 0; i < raft_members(r); i++) {
        rounds[i] = raft_is_self(r, i) ? r->round : r->peers[i].round;
    }
    return quorum_index(&r->base.options.members, rounds);
}

void raft_reads_confirm(struct raft *r)
{
    ASSERT(r->role == ROLE_LEADER);
    if (r->reads_count == 0) {
        return;
    }
    uint64_t to = confirmed(r);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->reads_count; i++) {
        const struct raft_read *read = &r->reads[i];
        if (read->round != 0 && read->round <= to) {
            answer(r, read, OK);
        } else {
            r->reads[kept++] = *read;
        }
    }
    r->reads_count = kept;
    if (kept > 0) {
        r->base.flush_wanted = true; /* the next round may begin */
    }
}

static void flush_leader(struct raft *r)
{
    uint64_t commit = log_commit(r->base.log);
    /* Thesis 6.4: "If the leader has not yet marked an entry from its current term committed, it
     * waits until it has done so." Until then it does not know which entries are committed. */
    if (r->reads_count > 0 && commit < r->term_start) {
        engine_mark(&r->base, MARK_RAFT_READ_WAITS_OWN_TERM);
    }
    if (r->reads_count == 0 || commit < r->term_start) {
        return;
    }
    if (r->reads[r->reads_count - 1].round != 0 ||
        r->round - confirmed(r) >= RAFT_READ_ROUNDS_MAX) {
        return;
    }
    r->round++;
    for (uint32_t i = 0; i < r->reads_count; i++) {
        if (r->reads[i].round == 0) {
            r->reads[i].round = r->round;
            r->reads[i].index = commit;
        }
    }
    raft_heartbeat_all(r);
    if (raft_members(r) == 1) {
        raft_reads_confirm(r); /* has its quorum already */
    }
}

void raft_reads_flush(struct raft *r)
{
    if (r->role == ROLE_LEADER) {
        flush_leader(r);
    } else {
        flush_follower(r);
    }
}

void raft_reads_tick(struct raft *r)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->reads_count; i++) {
        if (r->base.now_us - r->reads[i].asked_us >= read_timeout_us(r)) {
            answer(r, &r->reads[i], r->leader == 0 ? ERR_NO_LEADER : ERR_TIMEOUT);
        } else {
            r->reads[kept++] = r->reads[i];
        }
    }
    r->reads_count = kept;
    bool asking = kept > 0 && r->role != ROLE_LEADER && r->leader != 0 && r->reads[0].round != 0;
    if (asking && r->base.now_us - r->reads_sent_us >= r->base.options.resend_us) {
        ask_leader(r);
    }
}

uint64_t raft_reads_deadline(const struct raft *r)
{
    if (r->reads_count == 0) {
        return UINT64_MAX;
    }
    uint64_t at = r->reads[0].asked_us + read_timeout_us(r); /* they stand in order of asking */
    if (r->role != ROLE_LEADER && r->leader != 0 && r->reads[0].round != 0) {
        at = u64_min(at, r->reads_sent_us + r->base.options.resend_us);
    }
    return at;
}

void raft_on_read_index(struct raft *r, const struct message *m)
{
    if (r->role != ROLE_LEADER || r->reads_count >= r->base.options.reads_max) {
        return; /* asked again after resend_us */
    }
    push(r, (struct raft_read){.ctx = m->ctx, .asked_us = r->base.now_us, .from = m->from});
}

void raft_on_read_index_reply(struct raft *r, const struct message *m)
{
    if (r->role == ROLE_LEADER || m->from != r->leader) {
        return;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->reads_count; i++) {
        struct raft_read *read = &r->reads[i];
        if (read->round == m->ctx && read->from == r->base.options.self) {
            read->index = m->pos.index;
            answer(r, read, OK);
        } else {
            r->reads[kept++] = *read;
        }
    }
    r->reads_count = kept;
}

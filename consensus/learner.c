/*
 * learner.c - notices, values and questions about chosen slots. See learner.h.
 */
#include "consensus/learner.h"

#include "base/assert.h"
#include "base/mem.h"

void learner_note_commit(struct learner *n, const struct engine *e, const struct message *m)
{
    int rank = membership_rank(&e->options.members, m->from);
    ASSERT(rank >= 0);
    n->peer_commit[rank] = u64_max(n->peer_commit[rank], m->commit);
}

uint64_t learner_known_commit(const struct learner *n, const struct engine *e)
{
    uint64_t known = 0;
    for (uint32_t r = 0; r < e->options.members.count; r++) {
        known = u64_max(known, n->peer_commit[r]);
    }
    return known;
}

void learner_choose(struct learner *n, struct engine *e, const struct entry *entry)
{
    struct log *l = e->log;
    if (entry->index <= log_commit(l) || !log_has_room(l, entry->index)) {
        return;
    }
    const struct slot *s = log_slot(l, entry->index);
    if (s != NULL && s->state == SLOT_CHOSEN) {
        return;
    }
    struct entry chosen = *entry;
    /* What is accepted here under the same or a higher ballot is this value (P2), and is written.
     * */
    bool held = s != NULL && s->state == SLOT_ACCEPTED && s->epoch >= entry->epoch;
    if (held) {
        chosen.epoch = s->epoch;
    }
    if (s != NULL && s->state == SLOT_ACCEPTED && s->value->crc != chosen.value->crc) {
        engine_mark(e, MARK_CHOSEN_IS_ANOTHER);
    }
    uint64_t commit = log_commit(l);
    if (log_choose(l, &chosen) != OK) {
        return;
    }
    if (!held) {
        engine_write_entry(e, &chosen);
    }
    n->chosen_count++;
    engine_trace(e, (struct trace_event){.kind = TRACE_CHOSEN,
                                         .epoch = chosen.epoch,
                                         .index = chosen.index,
                                         .hash = chosen.value->crc});
    if (log_commit(l) > commit) {
        engine_trace(e, (struct trace_event){.kind = TRACE_COMMIT, .index = log_commit(l)});
    }
}

uint64_t learner_choose_notice(struct learner *n, struct engine *e, struct notice notice)
{
    uint64_t i = u64_max(notice.first, log_commit(e->log) + 1);
    for (; i <= notice.last; i++) {
        const struct slot *s = log_slot(e->log, i);
        if (s == NULL || s->state == SLOT_EMPTY) {
            break;
        }
        if (s->state == SLOT_CHOSEN) {
            continue;
        }
        if (s->epoch < notice.ballot) {
            break; /* may be another value: it must be learned */
        }
        const struct entry entry = {i, s->epoch, s->value};
        learner_choose(n, e, &entry);
    }
    return i;
}

void learner_on_chosen(struct learner *n, struct engine *e, const struct message *m)
{
    learner_note_commit(n, e, m);
    for (uint32_t k = 0; k < m->entries_count; k++) {
        if (m->entries[k].index != 0 && m->entries[k].value != NULL) {
            learner_choose(n, e, &m->entries[k]);
        }
    }
    if (m->entries_count > 0 || m->pos.index == 0 || m->epoch == 0) {
        return;
    }
    uint64_t i = m->pos.index;
    uint64_t last = u64_min(m->last, log_last(e->log)); /* bounds the loop, whatever was sent */
    while (i <= last) {
        i = learner_choose_notice(n, e, (struct notice){i, last, m->epoch}) + 1;
    }
}

static void reply_from_memory(struct engine *e, const struct message *m, struct message *reply)
{
    for (uint64_t i = m->pos.index; i <= m->last; i++) {
        const struct slot *s = log_slot(e->log, i);
        if (s == NULL || s->state != SLOT_CHOSEN) {
            return;
        }
        uint64_t bytes = reply->bytes + s->value->bytes.size;
        if (reply->entries_count > 0 && bytes > e->options.message_bytes_max) {
            return;
        }
        const struct entry entry = {i, s->epoch, s->value};
        message_add_entry(reply, &entry);
    }
}

static struct message *learn_reply(const struct engine *e, uint32_t to, uint64_t index)
{
    struct message *reply = message_new(MSG_PAXOS_LEARN_REPLY, to);
    reply->pos.index = index;
    reply->commit = log_commit(e->log);
    return reply;
}

void learner_on_learn(struct learner *n, struct engine *e, const struct message *m)
{
    struct log *l = e->log;
    int rank = membership_rank(&e->options.members, m->from);
    ASSERT(rank >= 0);
    if (m->pos.index == 0 || m->last < m->pos.index) {
        return;
    }
    struct message *reply = learn_reply(e, m->from, m->pos.index);
    if (m->pos.index < log_first(l)) {
        reply->reject = true; /* trimmed: only a snapshot helps */
        reply->hint.index = log_first(l);
        engine_send_now(e, reply);
        return;
    }
    if (m->pos.index < log_mem_first(l) && m->pos.index <= log_commit(l)) {
        message_free(reply);
        struct learner_load *load = &n->loads[rank];
        if (load->id != 0) {
            return; /* one at a time; the asker asks again */
        }
        uint64_t last = u64_min(m->last, u64_min(log_commit(l), log_mem_first(l) - 1));
        load->index = m->pos.index;
        load->id = engine_load(e, m->pos.index, last, e->options.message_bytes_max);
        return;
    }
    reply_from_memory(e, m, reply);
    engine_send_now(e, reply);
}

void learner_on_loaded(struct learner *n, struct engine *e, uint64_t load_id, int err,
                       const struct entry *entries, uint32_t count)
{
    uint32_t rank = 0;
    while (rank < e->options.members.count && n->loads[rank].id != load_id) {
        rank++;
    }
    if (rank == e->options.members.count) {
        return;
    }
    struct message *reply = learn_reply(e, e->options.members.ids[rank], n->loads[rank].index);
    n->loads[rank] = (struct learner_load){0};
    engine_mark(e, MARK_LEARN_LOADED);
    for (uint32_t k = 0; err == OK && k < count; k++) {
        /* The store may hold a gap below the commit index only if it is damaged: send what is sure.
         * */
        if (entries[k].index > log_commit(e->log)) {
            break;
        }
        message_add_entry(reply, &entries[k]);
    }
    if (err == ERR_COMPACTED) {
        reply->reject = true;
        reply->hint.index = log_first(e->log);
    }
    engine_send_now(e, reply);
}

void learner_on_learn_reply(struct learner *n, struct engine *e, const struct message *m)
{
    int rank = membership_rank(&e->options.members, m->from);
    ASSERT(rank >= 0);
    learner_note_commit(n, e, m);
    uint64_t before = log_commit(e->log);
    for (uint32_t k = 0; k < m->entries_count; k++) {
        if (m->entries[k].index != 0 && m->entries[k].value != NULL) {
            learner_choose(n, e, &m->entries[k]);
        }
    }
    if (n->asked == 0 || m->pos.index != n->watch_index) {
        return; /* an answer to an older question */
    }
    n->asked = 0;
    n->ask_us = e->now_us; /* more of the same at once, or the next peer */
    if (log_commit(e->log) == before) {
        n->tried |= UINT64_C(1) << rank;
    }
}

/* Whom to ask for slot `index`: `prefer` if it knows, else the next one that does and was not
 * tried. */
static int pick_peer(const struct learner *n, const struct engine *e, uint64_t index, int prefer)
{
    uint32_t count = e->options.members.count;
    uint64_t heard = engine_heard(e, e->options.election_us);
    int fallback = -1;
    for (uint32_t k = 0; k <= count; k++) {
        /* k == 0 is the preferred one; the others follow from our own rank on, to spread the load.
         * */
        uint32_t rank = ((uint32_t) e->self_rank + k) % count;
        if (k == 0) {
            if (prefer < 0) {
                continue;
            }
            rank = (uint32_t) prefer;
        }
        uint64_t bit = UINT64_C(1) << rank;
        if ((int) rank == e->self_rank || n->peer_commit[rank] < index || (n->tried & bit) != 0) {
            continue;
        }
        if ((heard & bit) != 0) {
            return (int) rank;
        }
        fallback = fallback < 0 ? (int) rank : fallback;
    }
    return fallback;
}

static void ask(struct learner *n, struct engine *e, int prefer)
{
    int rank = pick_peer(n, e, n->watch_index, prefer);
    n->ask_us = e->now_us + e->options.resend_us;
    if (rank < 0) {
        n->tried = 0; /* nobody left: the round begins anew after a pause */
        n->asked = 0;
        return;
    }
    struct message *m = message_new(MSG_PAXOS_LEARN, e->options.members.ids[rank]);
    m->pos.index = n->watch_index;
    m->last = n->peer_commit[rank];
    m->commit = log_commit(e->log);
    n->asked = UINT64_C(1) << rank;
    engine_mark(e, MARK_LEARN_ASKED);
    engine_send_now(e, m);
}

uint64_t learner_poll(struct learner *n, struct engine *e, int prefer)
{
    uint64_t want = log_commit(e->log) + 1;
    uint64_t known = learner_known_commit(n, e);
    if (known < want || !log_has_room(e->log, want)) {
        n->watch_index = 0;
        n->asked = 0;
        return UINT64_MAX;
    }
    if (n->watch_index != want) {
        /* Newly behind. Far behind: ask at once. A little: the value is probably on its way. When
         * our last question brought us here, go on without a pause. */
        bool flowing = n->watch_index != 0 && n->ask_us <= e->now_us && n->asked == 0;
        bool far = known - want >= e->options.inflight_max;
        n->watch_index = want;
        n->tried = 0;
        n->asked = 0;
        n->ask_us = far || flowing ? e->now_us : e->now_us + e->options.resend_us / 2;
    }
    if (n->ask_us <= e->now_us) {
        n->tried |= n->asked; /* no answer in time */
        ask(n, e, prefer);
    }
    return n->ask_us;
}

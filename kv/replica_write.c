/*
 * replica_write.c - commands into batches, batches to the engine or to the leader, and again.
 *
 * A batch goes at the end of the turn if there is room for one more value, so under light load a
 * command goes at once, and while the window is full batches grow. Once it was sent it is never
 * given up: nobody can know that it will not be applied, and a hole in our session's sequences
 * would narrow the session's window for ever. It is sent again, ever more rarely, until it is
 * applied; memory is bounded because its bytes count against call_bytes_max until then.
 *
 * Not here: what a command means (kv/mvcc), and how a value gets chosen (consensus/).
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/replica_internal.h"

/* Batches. */

static struct batch *batch_new(struct replica *r)
{
    struct list_node *node = list_pop_front(&r->batches_free);
    struct batch *b;
    if (node == NULL) {
        b = xcalloc(1, sizeof *b);
    } else {
        b = list_entry(node, struct batch, node);
        *b = (struct batch){.calls = b->calls, .capacity = b->capacity};
    }
    b->id = ++r->batch_id;
    b->timer.kind = TIMER_BATCH;
    b->first_sequence = r->sequence_next + r->sequence_queued;
    return b;
}

/* The batch is in no list or index any more. */
static void batch_recycle(struct replica *r, struct batch *b)
{
    ASSERT(!list_node_linked(&b->node));
    ASSERT(!timer_is_set(&b->timer));
    ASSERT(r->call_bytes >= b->bytes);
    r->call_bytes -= b->bytes;
    value_unref(b->value);
    b->value = NULL;
    list_push_front(&r->batches_free, &b->node);
}

/* No more commands: what was built becomes the value. */
static void batch_close(struct replica *r, struct batch *b)
{
    if (b->state != BATCH_OPEN) {
        return;
    }
    ASSERT(r->open == b);
    b->value = value_builder_detach(&r->builder);
    ASSERT(b->value != NULL);
    b->state = BATCH_QUEUED;
    r->open = NULL;
}

/* The batch that the next command goes into. */
static struct batch *batch_open(struct replica *r, size_t size)
{
    if (r->open != NULL && !value_builder_fits(&r->builder, size)) {
        batch_close(r, r->open);
    }
    if (r->open == NULL) {
        r->open = batch_new(r);
        list_push_back(&r->queued, &r->open->node);
    }
    return r->open;
}

static void batch_append(struct batch *b, struct call *call)
{
    if (b->count == b->capacity) {
        b->capacity = b->capacity == 0 ? 16 : b->capacity * 2;
        b->calls = xrealloc(b->calls, b->capacity * sizeof(*b->calls));
    }
    call->batch = b;
    call->position = b->count;
    b->calls[b->count++] = call;
}

void replica_batch_forget(struct batch *b, uint32_t position)
{
    ASSERT(position < b->count);
    ASSERT(b->calls[position] != NULL);
    b->calls[position]->batch = NULL;
    b->calls[position] = NULL;
    if (b->state != BATCH_SENT) {
        b->dead_count++;
    }
}

static uint64_t content_key(const struct value *v)
{
    return (uint64_t) v->count << 32 | v->crc;
}

static bool same_content(const struct value *a, const struct value *b)
{
    return a == b || (a->kind == b->kind && a->crc == b->crc && a->count == b->count &&
                      bytes_equal(a->bytes, b->bytes));
}

/* By content, not by object: a forwarded value comes back as another object, and commands carry
 * their session and sequence, so equal bytes are the same commands. */
struct batch *replica_batch_find(struct replica *r, const struct value *value)
{
    struct batch *b = map_get(&r->batches_index, content_key(value));
    while (b != NULL && !same_content(b->value, value)) {
        b = b->same;
    }
    return b;
}

static void index_add(struct replica *r, struct batch *b)
{
    uint64_t key = content_key(b->value);
    b->same = map_remove(&r->batches_index, key);
    int err = map_put(&r->batches_index, key, b);
    ASSERT(err == OK);
    err = map_put(&r->batches, b->id, b);
    ASSERT(err == OK);
}

static void index_remove(struct replica *r, struct batch *b)
{
    uint64_t key = content_key(b->value);
    struct batch *first = map_remove(&r->batches_index, key);
    if (first == b) {
        first = b->same;
    } else {
        struct batch *before = first;
        while (before->same != b) {
            before = before->same;
        }
        before->same = b->same;
    }
    if (first != NULL) {
        int err = map_put(&r->batches_index, key, first);
        ASSERT(err == OK);
    }
    void *removed = map_remove(&r->batches, b->id);
    ASSERT(removed == b);
}

void replica_batch_done(struct replica *r, struct batch *b)
{
    ASSERT(b->state == BATCH_SENT);
    for (uint32_t i = 0; i < b->count; i++) {
        ASSERT(b->calls[i] == NULL); /* each was answered or gave up */
    }
    index_remove(r, b);
    list_remove(&b->node);
    if (list_node_linked(&b->due)) {
        list_remove(&b->due);
    }
    timer_clear(&r->wheel, &b->timer);
    if (b->sent_to != r->self) {
        r->forwarded--;
    }
    batch_recycle(r, b);
}

/* Takes out the commands whose calls ended before anything was sent (K3: they must never be
 * applied), and gives the others the next sequences of our session, so that there are no holes. */
static void batch_renumber(struct replica *r, struct batch *b)
{
    struct value_builder builder;
    if (b->dead_count > 0) {
        replica_mark(r, MARK_REPLICA_BATCH_RENUMBERED);
    }
    value_builder_init(&builder, r->options.batch_bytes_max, r->options.batch_commands_max);
    struct command command;
    size_t cursor = 0;
    uint32_t position = 0;
    uint32_t kept = 0;
    uint32_t own = 0;
    while (value_next(b->value, &cursor, &command)) {
        struct call *call = b->calls[position++];
        if (call == NULL) {
            continue;
        }
        if (command.session == r->session) {
            command.sequence = r->sequence_next + own;
            own++;
        }
        int err = value_builder_add(&builder, &command);
        ASSERT(err == OK); /* not more than what fitted before */
        call->position = kept;
        b->calls[kept++] = call;
    }
    ASSERT(position == b->count);
    ASSERT(r->sequence_queued >= b->own_count - own);
    r->sequence_queued -= b->own_count - own;
    b->first_sequence = r->sequence_next;
    b->own_count = own;
    b->count = kept;
    b->dead_count = 0;
    value_unref(b->value);
    b->value = value_builder_detach(&builder);
    value_builder_release(&builder);
}

/* A batch that waits for nobody any more and never left. */
static void batch_drop(struct replica *r, struct batch *b)
{
    batch_close(r, b);
    r->sequence_queued -= b->own_count;
    list_remove(&b->node);
    batch_recycle(r, b);
}

/* Sending. */

static uint64_t retry_interval(const struct replica *r, const struct batch *b)
{
    uint32_t doublings = b->tries < RETRY_DOUBLINGS_MAX ? b->tries : RETRY_DOUBLINGS_MAX;
    return r->options.retry_us << doublings;
}

/* Whom a batch can go to now: ourselves, the leader or who stands in for one, or nobody (0). */
static uint32_t target(const struct replica *r)
{
    if (consensus_can_propose(r->consensus)) {
        return r->self;
    }
    return r->leader != r->self ? r->leader : 0;
}

static void forward(struct replica *r, const struct batch *b, uint32_t to)
{
    struct message *m = replica_message(r, MSG_REPLICA_FORWARD, to);
    m->epoch = r->epoch;
    m->ctx = b->id;
    const struct entry entry = {.index = 1, .epoch = u64_max(r->epoch, 1), .value = b->value};
    message_add_entry(m, &entry);
    r->forwards_sent++;
    replica_send(r, m);
}

/* Sends the value; false when the engine does not take it now. */
static bool batch_send(struct replica *r, struct batch *b, uint32_t to)
{
    if (to == r->self) {
        if (consensus_propose(r->consensus, b->value) != OK) {
            return false;
        }
    } else {
        forward(r, b, to);
    }
    b->sent_to = to;
    b->sent_epoch = r->epoch;
    timer_set(&r->wheel, &b->timer, r->now_us + retry_interval(r, b));
    b->tries++;
    return true;
}

/* The first time a batch leaves: only now its sequences are final. */
static bool batch_send_first(struct replica *r, struct batch *b)
{
    uint32_t to = target(r);
    if (to == 0 || (to != r->self && r->forwarded >= r->options.consensus.inflight_max)) {
        return false;
    }
    batch_close(r, b);
    if (b->dead_count > 0 || b->first_sequence != r->sequence_next) {
        batch_renumber(r, b);
    }
    if (!batch_send(r, b, to)) {
        return false;
    }
    b->state = BATCH_SENT;
    r->sequence_next += b->own_count;
    r->sequence_queued -= b->own_count;
    list_remove(&b->node);
    list_push_back(&r->sent, &b->node);
    index_add(r, b);
    if (to != r->self) {
        r->forwarded++;
    }
    return true;
}

/* A leader's log holds what it proposed as long as it leads: sending again would only add to it. */
static bool batch_is_safe(const struct replica *r, const struct batch *b)
{
    return (r->capabilities & CAP_LEADER) != 0 && r->role == ROLE_LEADER && r->leader == r->self &&
           b->sent_to == r->self && b->sent_epoch == r->epoch;
}

static void batch_due(struct replica *r, struct batch *b)
{
    if (!list_node_linked(&b->due)) {
        timer_clear(&r->wheel, &b->timer);
        list_push_back(&r->due, &b->due);
        r->dirty = true;
    }
}

void replica_batch_retry(struct replica *r, struct batch *b)
{
    ASSERT(b->state == BATCH_SENT);
    b->hinted = false;
    if (batch_is_safe(r, b)) {
        timer_set(&r->wheel, &b->timer, r->now_us + retry_interval(r, b));
    } else {
        batch_due(r, b);
    }
}

/* A leaderless engine keeps what it was given, and proposes it when it can. */
static bool batch_is_kept(const struct replica *r, const struct batch *b)
{
    return (r->capabilities & CAP_LEADER) == 0 && r->leader == r->self && b->sent_to == r->self;
}

void replica_batches_hurry(struct replica *r)
{
    LIST_FOR_EACH(&r->sent, node) {
        struct batch *b = list_entry(node, struct batch, node);
        if (!batch_is_safe(r, b) && !batch_is_kept(r, b)) {
            b->tries = 0;
            batch_due(r, b);
        }
    }
}

static bool batch_send_again(struct replica *r, struct batch *b, uint32_t to)
{
    bool forwarded = b->sent_to != r->self;
    if (!batch_send(r, b, to)) {
        return false;
    }
    if (list_node_linked(&b->due)) {
        list_remove(&b->due);
    }
    r->forwarded += (b->sent_to != r->self ? 1u : 0u);
    r->forwarded -= (forwarded ? 1u : 0u);
    r->retries++;
    replica_mark(r, to == r->self ? MARK_REPLICA_BATCH_PROPOSED_AGAIN
                                  : MARK_REPLICA_BATCH_FORWARDED_AGAIN);
    return true;
}

static bool due_send(struct replica *r)
{
    bool progress = false;
    struct list_node *node;
    while ((node = list_first(&r->due)) != NULL) {
        uint32_t to = target(r);
        if (to == 0 || !batch_send_again(r, list_entry(node, struct batch, due), to)) {
            break;
        }
        progress = true;
    }
    return progress;
}

/* Values of other nodes. */

static void forward_reject(struct replica *r, uint32_t to, uint64_t ctx)
{
    replica_mark(r, MARK_REPLICA_FORWARD_REFUSED);
    struct message *m = replica_message(r, MSG_REPLICA_FORWARD_REPLY, to);
    m->reject = true;
    m->ctx = ctx;
    m->epoch = r->epoch;
    m->hint = (struct log_pos){.index = r->leader, .epoch = r->epoch};
    replica_send(r, m);
}

static void forward_drop(struct replica *r, struct forward *f)
{
    list_remove(&f->node);
    r->forwards_count--;
    r->forwards_bytes -= f->value->bytes.size;
    value_unref(f->value);
    free(f);
}

/* May others leave their commands here? What was forwarded once is never forwarded again. */
static bool leading(const struct replica *r)
{
    bool leaders = (r->capabilities & CAP_LEADER) != 0;
    return leaders ? r->role == ROLE_LEADER : r->leader == r->self;
}

void replica_forward_receive(struct replica *r, const struct message *m)
{
    if (m->entries_count != 1 || m->entries[0].value->kind != VALUE_COMMANDS) {
        replica_stray(r, m, "not one batch");
        return;
    }
    struct value *value = m->entries[0].value;
    if (!leading(r) || r->forwards_count >= FORWARDS_MAX ||
        r->forwards_bytes + value->bytes.size > r->options.call_bytes_max) {
        forward_reject(r, m->from, m->ctx);
        return;
    }
    struct forward *f = xcalloc(1, sizeof *f);
    f->value = value_ref(value);
    f->ctx = m->ctx;
    f->from = m->from;
    list_push_back(&r->forwards, &f->node);
    r->forwards_count++;
    r->forwards_bytes += value->bytes.size;
}

void replica_forward_reply_receive(struct replica *r, const struct message *m)
{
    struct batch *b = map_get(&r->batches, m->ctx);
    if (!m->reject || b == NULL || b->sent_to != m->from) {
        return; /* applied or sent elsewhere meanwhile */
    }
    if (r->leader != 0 && r->leader != m->from) {
        batch_due(r, b);
        return;
    }
    /* We know no better; the other may. Once, so that two nodes that each name the other do not
     * keep us busy: after that, by time. */
    bool member = m->hint.index <= NODE_ID_MAX &&
                  membership_rank(&r->options.consensus.members, (uint32_t) m->hint.index) >= 0;
    if (!b->hinted && member && m->hint.index != m->from && m->hint.index != r->self) {
        b->hinted = true;
        (void) batch_send_again(r, b, (uint32_t) m->hint.index); /* forwarding does not fail */
    }
}

/* Gives the engine one value of another node; false when there is none or it takes none. */
static bool forward_propose(struct replica *r)
{
    struct list_node *node = list_first(&r->forwards);
    if (node == NULL) {
        return false;
    }
    struct forward *f = list_entry(node, struct forward, node);
    if (!leading(r)) {
        forward_reject(r, f->from, f->ctx);
        forward_drop(r, f);
        return true;
    }
    if (replica_overloaded(r) || !consensus_can_propose(r->consensus) ||
        consensus_propose(r->consensus, f->value) != OK) {
        return false;
    }
    forward_drop(r, f);
    return true;
}

static bool queued_send(struct replica *r)
{
    struct list_node *node = list_first(&r->queued);
    if (node == NULL) {
        return false;
    }
    struct batch *b = list_entry(node, struct batch, node);
    if (b->dead_count == b->count) {
        batch_drop(r, b);
        return true;
    }
    if (replica_overloaded(r)) {
        replica_mark(r, MARK_REPLICA_UNWRITTEN_WAITS);
        return false;
    }
    return batch_send_first(r, b);
}

bool replica_writes_send(struct replica *r)
{
    bool progress = due_send(r);
    bool more = true;
    while (more) { /* in turns, so that neither starves the other */
        more = forward_propose(r);
        more |= queued_send(r);
        progress |= more;
    }
    return progress;
}

/* The call. */

/* Every unfinished sequence must stay inside the window in which sessions know duplicates (K2). */
static bool window_full(const struct replica *r)
{
    const struct list_node *oldest = list_first(&r->sent);
    uint64_t next = r->sequence_next + r->sequence_queued;
    uint64_t first = r->sequence_next;
    if (oldest != NULL) {
        first = list_entry(oldest, const struct batch, node)->first_sequence;
    }
    return next - first >= SEQUENCES_MAX;
}

int replica_write(struct replica *r, const struct replica_write_args *args)
{
    if (args->session != 0 && (args->session >> 63 == 0 || args->sequence == 0)) {
        return ERR_INVALID; /* sessions without the top bit are those of nodes */
    }
    int err = replica_call_admit(r, args->call, args->request.size);
    if (err != OK) {
        return err;
    }
    if (args->session == 0 && window_full(r)) {
        r->refused++;
        return ERR_TOO_MANY_REQUESTS;
    }
    struct batch *b = batch_open(r, args->request.size);
    struct command command = {
        .tag = args->tag,
        .session = args->session,
        .sequence = args->sequence,
        .payload = args->request,
    };
    if (args->session == 0) {
        command.session = r->session;
        command.sequence = b->first_sequence + b->own_count;
    }
    err = value_builder_add(&r->builder, &command);
    ASSERT(err == OK); /* batch_open made room */
    if (args->session == 0) {
        b->own_count++;
        r->sequence_queued++;
    }
    b->bytes += args->request.size;
    r->call_bytes += args->request.size;
    struct call *call = replica_call_open(r, args->call, args->deadline_us);
    call->kind = CALL_WRITE;
    batch_append(b, call);
    r->writes++;
    return OK;
}

static void batches_free(struct list *l)
{
    struct list_node *node;
    while ((node = list_pop_front(l)) != NULL) {
        struct batch *b = list_entry(node, struct batch, node);
        value_unref(b->value);
        free(b->calls);
        free(b);
    }
}

void replica_writes_release(struct replica *r)
{
    batches_free(&r->queued);
    batches_free(&r->sent);
    batches_free(&r->batches_free);
    value_builder_release(&r->builder);
    while (!list_empty(&r->forwards)) {
        forward_drop(r, list_entry(list_first(&r->forwards), struct forward, node));
    }
    map_release(&r->batches);
    map_release(&r->batches_index);
}

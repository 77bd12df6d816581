/*
 * observer.c - the observer's life, what is common to all engines, and the client's side.
 *
 * See observer.h for the contract, observer_internal.h for the parts.
 */
#include "tests/sim/observer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/sim/observer_internal.h"

struct observer *observer_new(const struct observer_options *options)
{
    ASSERT(options->nodes >= 1);
    ASSERT(options->nodes <= OBSERVER_NODES_MAX);
    struct observer *o = xcalloc(1, sizeof *o);
    o->options = *options;
    o->engine = engine_number(options->engine);
    o->quorum = options->nodes / 2 + 1;
    struct value *noop = value_new_noop();
    o->noop_crc = noop->crc;
    value_unref(noop);
    arena_init(&o->arena, 1 << 16, SIZE_MAX / 4);
    map_init(&o->leaders, OBSERVER_MAP_MAX);
    map_init(&o->commands, OBSERVER_MAP_MAX);
    map_init(&o->ballots, OBSERVER_MAP_MAX);
    for (uint32_t i = 1; i <= options->nodes; i++) {
        o->nodes[i].id = i;
        map_init(&o->nodes[i].votes, OBSERVER_MAP_MAX);
        map_init(&o->nodes[i].granted, OBSERVER_MAP_MAX);
    }
    return o;
}

void observer_free(struct observer *o)
{
    if (o == NULL) {
        return;
    }
    for (uint32_t i = 1; i <= o->options.nodes; i++) {
        struct obs_node *n = &o->nodes[i];
        observer_pending_drop(n, n->pending_count);
        free(n->pending);
        free(n->marks);
        observer_image_release(&n->handed);
        observer_image_release(&n->synced);
        map_release(&n->votes);
        map_release(&n->granted);
    }
    observer_ballots_release(o);
    map_release(&o->leaders);
    map_release(&o->commands);
    arena_release(&o->arena);
    free(o->places);
    free(o);
}

void observer_fail(struct observer *o, const char *property, const char *format, ...)
{
    char text[OBSERVER_TEXT_MAX];
    va_list args;
    if (o->failed) {
        return;
    }
    o->failed = true;
    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args);
    va_end(args);
    o->options.fail(o->options.ctx, property, text);
}

struct obs_node *observer_node(struct observer *o, uint32_t node)
{
    ASSERT(node >= 1);
    ASSERT(node <= o->options.nodes);
    return &o->nodes[node];
}

bool observer_note_leader(struct observer *o, struct obs_node *n, uint64_t epoch)
{
    struct obs_node *had = map_get(&o->leaders, epoch);
    if (had != NULL) {
        observer_fail(o, "R1", "node %u became leader of epoch %llu, which had node %u as leader",
                      n->id, (unsigned long long) epoch, had->id);
        return false;
    }
    ERR_IGNORE(map_put(&o->leaders, epoch, n)); /* full: no more is checked */
    o->leader_changes++;
    o->epoch = u64_max(o->epoch, epoch);
    n->leader = true;
    n->lead_epoch = epoch;
    return true;
}

void observer_note_commit(struct observer *o, struct obs_node *n, uint64_t index)
{
    n->commit = index;
    o->committed = u64_max(o->committed, index);
}

/* What a node has learnt to be committed must be what its log holds. Asked when its turn is over:
 * within a turn it may commit what it hands out only at the end. */
static void check_commit(struct observer *o, struct obs_node *n)
{
    if (n->commit_checked >= n->commit || !n->up) {
        return;
    }
    /* In Raft the hash speaks for all before it. */
    uint64_t i = o->engine == ENGINE_RAFT ? n->commit : n->commit_checked + 1;
    for (; i <= n->commit; i++) {
        if (!observer_holds(o, &n->handed, i)) {
            observer_fail(
                o, o->engine == ENGINE_RAFT ? "R7" : "P3",
                "node %u committed index %llu with another value than was chosen, or none", n->id,
                (unsigned long long) i);
            return;
        }
    }
    n->commit_checked = n->commit;
}

/* R5, R7, P3, P9, D1. */
static void on_apply(struct observer *o, struct obs_node *n, const struct trace_event *e)
{
    const char *property = o->engine == ENGINE_RAFT ? "R5" : "P3";
    if (e->index != n->applied + 1) {
        observer_fail(o, o->engine == ENGINE_RAFT ? "R7" : "P8",
                      "node %u applied index %llu after %llu", n->id, (unsigned long long) e->index,
                      (unsigned long long) n->applied);
        return;
    }
    if (e->index > n->commit || e->index > o->chosen_prefix) {
        observer_fail(o, property,
                      "node %u applied index %llu; it knew %llu to be committed, "
                      "chosen are %llu",
                      n->id, (unsigned long long) e->index, (unsigned long long) n->commit,
                      (unsigned long long) o->chosen_prefix);
        return;
    }
    struct obs_place *p = observer_place(o, e->index);
    if (p->applied && p->state_hash != e->hash) {
        observer_fail(o, o->engine == ENGINE_RAFT ? "R5" : "P9",
                      "node %u has state %llx at index %llu, another had %llx", n->id,
                      (unsigned long long) e->hash, (unsigned long long) e->index,
                      (unsigned long long) p->state_hash);
        return;
    }
    p->applied = true;
    p->state_hash = e->hash;
    n->applied = e->index;
    if (!observer_on_quorum(o, e->index)) {
        observer_fail(o, "D1", "node %u applied index %llu, which no quorum holds durably", n->id,
                      (unsigned long long) e->index);
    }
}

void observer_trace(struct observer *o, const struct trace_event *event)
{
    if (o->failed || event->node == 0 || event->node > o->options.nodes) {
        return;
    }
    struct obs_node *n = &o->nodes[event->node];
    switch (event->kind) {
    case TRACE_APPLY:
        on_apply(o, n, event);
        break;
    case TRACE_DURABLE:
        n->told = u64_max(n->told, event->ctx);
        break;
    case TRACE_SEND:
    case TRACE_RECEIVE:
    case TRACE_DROP:
    case TRACE_WRITE:
    case TRACE_REQUEST:
    case TRACE_REPLY:
    case TRACE_FAULT:
    case TRACE_MARK:
        break;
    default:
        if (o->engine == ENGINE_RAFT) {
            observer_raft_trace(o, n, event);
        } else {
            observer_paxos_trace(o, n, event);
        }
        break;
    }
}

/* The log. */

static void pending_push(struct obs_node *n, const struct log_write *w)
{
    if (n->pending_head + n->pending_count == n->pending_capacity) {
        if (n->pending_head > n->pending_capacity / 2) {
            for (uint32_t i = 0; i < n->pending_count; i++) {
                n->pending[i] = n->pending[n->pending_head + i];
            }
            n->pending_head = 0;
        } else {
            n->pending_capacity = n->pending_capacity == 0 ? 64 : 2 * n->pending_capacity;
            n->pending = xrealloc(n->pending, n->pending_capacity * sizeof(struct log_write *));
        }
    }
    /* Only the count of references changes, and the caller sees to it that nothing else does. */
    n->pending[n->pending_head + n->pending_count++] = log_write_ref((struct log_write *) w);
}

void observer_pending_drop(struct obs_node *n, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        log_write_free(n->pending[n->pending_head++]);
    }
    n->pending_count -= count;
    if (n->pending_count == 0) {
        n->pending_head = 0;
    }
}

void observer_handed(struct observer *o, uint32_t node, const struct log_write *w)
{
    struct obs_node *n = observer_node(o, node);
    if (o->failed) {
        return;
    }
    uint64_t top = w->entries_count > 0 ? w->entries[w->entries_count - 1].index : 0;
    if (w->promises_count > 0) {
        top = u64_max(top, w->promises[w->promises_count - 1].index);
    }
    if (top > OBSERVER_INDEX_MAX) {
        observer_fail(o, "D4", "node %u writes index %llu", node, (unsigned long long) top);
        return;
    }
    if (w->hard_set && w->hard.commit > o->chosen_prefix) {
        observer_fail(o, o->engine == ENGINE_RAFT ? "R7" : "P3",
                      "node %u writes commit %llu; chosen are %llu", node,
                      (unsigned long long) w->hard.commit, (unsigned long long) o->chosen_prefix);
        return;
    }
    pending_push(n, w);
    if (o->engine == ENGINE_RAFT) {
        observer_raft_handed(o, n, w);
    } else {
        observer_paxos_handed(o, n, w);
    }
}

void observer_synced(struct observer *o, uint32_t node, const struct log_write *w)
{
    struct obs_node *n = observer_node(o, node);
    if (o->failed) {
        return;
    }
    check_commit(o, n);
    ASSERT(n->pending_count > 0);
    ASSERT(n->pending[n->pending_head]->id == w->id); /* writes become durable in their order */
    if (o->engine == ENGINE_RAFT) {
        observer_raft_synced(o, n, w);
    } else {
        observer_paxos_synced(o, n, w);
    }
    observer_pending_drop(n, 1);
}

void observer_trimmed(struct observer *o, uint32_t node, struct log_pos pos)
{
    struct obs_node *n = observer_node(o, node);
    if (o->failed || pos.index <= n->synced.trimmed) {
        return;
    }
    check_commit(o, n);
    if (pos.index > n->applied) {
        observer_fail(o, o->engine == ENGINE_RAFT ? "R10" : "P10",
                      "node %u trimmed its log to index %llu and has applied %llu", node,
                      (unsigned long long) pos.index, (unsigned long long) n->applied);
        return;
    }
    const struct obs_slot *s = observer_slot(&n->synced, pos.index);
    if (o->engine == ENGINE_RAFT && s->epoch != pos.epoch) {
        observer_fail(o, "R3", "node %u trimmed its log to index %llu of term %llu, which has %llu",
                      node, (unsigned long long) pos.index, (unsigned long long) pos.epoch,
                      (unsigned long long) s->epoch);
        return;
    }
    n->synced.trimmed = pos.index;
    n->handed.trimmed = pos.index;
    n->synced.last = u64_max(n->synced.last, pos.index);
    n->handed.last = u64_max(n->handed.last, pos.index);
}

/* R7: applied <= commit <= last, and nobody knew more than is true. */
static bool recovered_sane(struct observer *o, const struct obs_node *n,
                           const struct logstore_recovery *r, uint64_t applied)
{
    uint64_t known = u64_max(u64_max(r->hard.commit, applied), r->trimmed.index);
    if (known > r->last || known > o->chosen_prefix || applied < r->trimmed.index) {
        observer_fail(
            o, "R7",
            "node %u recovered applied %llu, commit %llu, trimmed %llu, last %llu; chosen "
            "are %llu",
            n->id, (unsigned long long) applied, (unsigned long long) r->hard.commit,
            (unsigned long long) r->trimmed.index, (unsigned long long) r->last,
            (unsigned long long) o->chosen_prefix);
        return false;
    }
    return true;
}

void observer_recovered(struct observer *o, uint32_t node, const struct logstore_recovery *recovery,
                        uint64_t applied, bool restored)
{
    struct obs_node *n = observer_node(o, node);
    struct obs_image found = {0};
    if (o->failed) {
        return;
    }
    observer_image_fill(&found, recovery);
    if (restored) {
        n->restored = true;
        o->damaged = true;
    } else {
        observer_compare(o, n, &found);
    }
    observer_pending_drop(n, n->pending_count);
    if (!o->failed && o->engine == ENGINE_RAFT) {
        observer_raft_recovered(o, n, recovery, &found);
    }
    observer_image_release(&n->handed);
    observer_image_release(&n->synced);
    n->synced = found;
    observer_image_fill(&n->handed, recovery);
    for (uint64_t i = 0; i < n->handed.size; i++) {
        n->handed.slots[i].hash = i < found.size ? found.slots[i].hash : 0;
    }
    n->up = true;
    n->lost = false;
    n->leader = false;
    n->told = 0;
    n->epoch = recovery->hard.epoch;
    n->applied = applied;
    if (!o->failed && o->engine != ENGINE_RAFT) {
        observer_paxos_recovered(o, n, recovery);
    }
    if (o->failed || !recovered_sane(o, n, recovery, applied)) {
        return;
    }
    n->commit_checked = recovery->trimmed.index;
    observer_note_commit(o, n, u64_max(recovery->hard.commit, applied));
}

void observer_crashed(struct observer *o, uint32_t node)
{
    struct obs_node *n = observer_node(o, node);
    n->up = false;
    n->leader = false;
}

void observer_lost(struct observer *o, uint32_t node)
{
    struct obs_node *n = observer_node(o, node);
    observer_crashed(o, node);
    n->lost = true;
    o->damaged = true;
    observer_pending_drop(n, n->pending_count);
    observer_image_release(&n->handed);
    observer_image_release(&n->synced);
}

void observer_send(struct observer *o, uint32_t node, const struct message *m)
{
    struct obs_node *n = observer_node(o, node);
    if (o->failed || m->type >= MSG_REPLICA_FORWARD) {
        return;
    }
    check_commit(o, n);
    if (m->commit > o->chosen_prefix) {
        observer_fail(o, o->engine == ENGINE_RAFT ? "R7" : "P3",
                      "node %u says in %s that %llu are committed; chosen are %llu", node,
                      message_name(m->type), (unsigned long long) m->commit,
                      (unsigned long long) o->chosen_prefix);
        return;
    }
    if (o->engine == ENGINE_RAFT) {
        observer_raft_send(o, n, m);
    } else {
        observer_paxos_send(o, n, m);
    }
}

/* Clients. */

void observer_submit(struct observer *o, uint8_t tag, struct bytes request)
{
    /* Known already, or full: then nothing is judged any more by it (observer_walk). */
    ERR_IGNORE(map_put(&o->commands, hash64_bytes(tag, request), o));
}

uint64_t observer_invoked(struct observer *o)
{
    return o->committed;
}

void observer_answered(struct observer *o, uint32_t node, uint64_t floor, uint64_t applied,
                       bool write)
{
    if (o->failed) {
        return;
    }
    if (applied < floor) {
        observer_fail(o, "R9", "node %u answered a %s at index %llu, asked when %llu was committed",
                      node, write ? "write" : "read", (unsigned long long) applied,
                      (unsigned long long) floor);
    } else if (write && (applied > o->chosen_prefix || !observer_on_quorum(o, applied))) {
        observer_fail(o, "D1", "node %u answered a write at index %llu, which no quorum holds",
                      node, (unsigned long long) applied);
    }
}

uint64_t observer_committed(const struct observer *o)
{
    return o->committed;
}

uint64_t observer_epoch(const struct observer *o)
{
    return o->epoch;
}

uint64_t observer_leader_changes(const struct observer *o)
{
    return o->leader_changes;
}

uint64_t observer_deposed(const struct observer *o)
{
    return o->deposed;
}

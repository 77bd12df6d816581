/*
 * replica_call.c - client calls under way: let in, named, timed, answered, forgotten.
 *
 * Records come from a pool and are found by the name the pump gave them; nothing outside keeps a
 * pointer to one. What a call waits for is in the other files.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/replica_internal.h"

enum { CALL_CHUNK = 64 };

static struct call *call_alloc(struct replica *r)
{
    struct list_node *node = list_pop_front(&r->calls_free);
    if (node == NULL) {
        struct call *chunk = xcalloc(CALL_CHUNK, sizeof *chunk);
        size_t count = (size_t) r->call_chunks_count + 1;
        r->call_chunks = xrealloc(r->call_chunks, count * sizeof(*r->call_chunks));
        r->call_chunks[r->call_chunks_count++] = chunk;
        for (uint32_t i = 0; i < CALL_CHUNK; i++) {
            list_push_back(&r->calls_free, &chunk[i].node);
        }
        node = list_pop_front(&r->calls_free);
    }
    struct call *call = list_entry(node, struct call, node);
    *call = (struct call){0};
    return call;
}

int replica_call_admit(struct replica *r, uint64_t id, size_t bytes)
{
    ASSERT(r->ticked);
    int err = OK;
    if (r->stopping) {
        err = ERR_STOPPING;
    } else if (r->fatal != OK) {
        err = r->fatal;
    } else if (map_get(&r->calls, id) != NULL) {
        err = ERR_EXISTS;
    } else if (map_size(&r->calls) >= r->options.calls_max ||
               map_size(&r->fetches) >= 2 * (size_t) r->options.calls_max) {
        replica_mark(r, MARK_REPLICA_REFUSED_CALLS);
        err = ERR_TOO_MANY_REQUESTS;
    } else if (r->call_bytes > 0 && r->call_bytes + bytes > r->options.call_bytes_max) {
        replica_mark(r, MARK_REPLICA_REFUSED_BYTES);
        err = ERR_TOO_MANY_REQUESTS;
    } else if (log_commit(r->log) - log_applied(r->log) > r->options.apply_lag_max) {
        replica_mark(r, MARK_REPLICA_REFUSED_LAG);
        err = ERR_TOO_MANY_REQUESTS;
    }
    if (err != OK) {
        r->refused++;
    }
    return err;
}

struct call *replica_call_open(struct replica *r, uint64_t id, uint64_t deadline_us)
{
    struct call *call = call_alloc(r);
    call->id = id;
    call->timer.kind = TIMER_CALL;
    int err = map_put(&r->calls, id, call);
    ASSERT(err == OK); /* replica_call_admit looked */
    timer_set(&r->wheel, &call->timer, deadline_us);
    r->dirty = true;
    replica_trace(r, (struct trace_event){.kind = TRACE_REQUEST, .ctx = id});
    return call;
}

void replica_call_close(struct replica *r, struct call *call)
{
    timer_clear(&r->wheel, &call->timer);
    if (list_node_linked(&call->node)) {
        list_remove(&call->node);
    }
    if (call->batch != NULL) {
        replica_batch_forget(call->batch, call->position);
    }
    if (call->fetch != NULL) {
        replica_fetch_forget(r, call->fetch);
    }
    if (call->request != NULL) {
        r->call_bytes -= call->request->size;
        blob_unref(call->request);
    }
    mvcc_result_free(call->result);
    void *removed = map_remove(&r->calls, call->id);
    ASSERT(removed == call);
    *call = (struct call){0};
    list_push_front(&r->calls_free, &call->node);
}

void replica_reply(struct replica *r, struct call *call, int err, struct mvcc_result *result)
{
    struct out_arrays *out = &r->out[r->out_now];
    if (out->replies_count == out->replies_capacity) {
        out->replies_capacity = out->replies_capacity == 0 ? 64 : out->replies_capacity * 2;
        out->replies = xrealloc(out->replies, out->replies_capacity * sizeof(*out->replies));
    }
    out->replies[out->replies_count++] =
        (struct replica_reply){.call = call->id, .err = err, .result = result};
    replica_trace(r, (struct trace_event){.kind = TRACE_REPLY,
                                          .ctx = call->id,
                                          .note = err_name(err)});
    replica_call_close(r, call);
}

void replica_cancel(struct replica *r, uint64_t id)
{
    struct call *call = map_get(&r->calls, id);
    if (call != NULL) {
        replica_call_close(r, call);
        r->dirty = true;
    }
}

void replica_call_expire(struct replica *r, struct call *call)
{
    bool leaderless = (r->capabilities & CAP_LEADER) != 0 && r->leader == 0;
    int err = ERR_TIMEOUT;
    if (call->batch != NULL && call->batch->state != BATCH_SENT) {
        /* It never left this node and now never will (K3). */
        replica_mark(r, MARK_REPLICA_TIMEOUT_NOT_SENT);
        err = leaderless ? ERR_NO_LEADER : ERR_TOO_MANY_REQUESTS;
    } else if (call->kind == CALL_READ && leaderless) {
        err = ERR_NO_LEADER;
    } else if (call->batch != NULL) {
        replica_mark(r, MARK_REPLICA_TIMEOUT_UNKNOWN);
    }
    r->timeouts++;
    replica_reply(r, call, err, NULL);
}

void replica_calls_close(struct replica *r)
{
    for (uint32_t i = 0; i < r->call_chunks_count * CALL_CHUNK; i++) {
        struct call *call = &r->call_chunks[i / CALL_CHUNK][i % CALL_CHUNK];
        if (call->kind != 0) {
            replica_call_close(r, call);
        }
    }
}

void replica_calls_release(struct replica *r)
{
    for (uint32_t i = 0; i < r->call_chunks_count; i++) {
        free(r->call_chunks[i]);
    }
    free(r->call_chunks);
    map_release(&r->calls);
}

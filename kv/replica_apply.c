/*
 * replica_apply.c - committed entries into the state machine, answers out of it, state to disk.
 *
 * Entries are applied in order, at most APPLY_COMMANDS_MAX commands in a turn. A command whose
 * compares need values that are not in memory stops everything until they are here: nothing later
 * may be applied before it, and nothing is evaluated meanwhile.
 *
 * State is flushed by batches of entries; never beyond what this node's own log holds durably, or a
 * power cut would leave a state that is ahead of its log.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/diag.h"
#include "base/mem.h"
#include "kv/replica_internal.h"
#include "proto/wire_kv.h"

/* Rows from the state store. */

static struct fetch *fetch_new(struct replica *r, uint32_t count)
{
    struct fetch *f = xcalloc(1, sizeof *f);
    f->id = ++r->fetch_id;
    f->count = count;
    f->revisions = xcalloc(count, sizeof(*f->revisions));
    int err = map_put(&r->fetches, f->id, f);
    ASSERT(err == OK);
    return f;
}

static void fetch_free(struct fetch *f)
{
    mvcc_result_free(f->result);
    free(f->revisions);
    free(f);
}

void replica_want(struct replica *r, enum wanted_by by)
{
    const struct revision *revisions;
    uint32_t count = mvcc_wanted(r->mvcc, &revisions);
    ASSERT(r->wanted_by == WANTED_NONE);
    ASSERT(count > 0);
    struct fetch *f = fetch_new(r, count);
    for (uint32_t i = 0; i < count; i++) {
        f->revisions[i] = revisions[i];
    }
    r->wanted_by = (uint8_t) by;
    replica_push_fetch(r, f);
}

/* A complete result, or the error in it, goes to the client. */
static void result_reply(struct replica *r, struct call *call, struct mvcc_result *result)
{
    int err = result->err;
    if (err != OK) {
        mvcc_result_free(result);
        result = NULL;
    }
    replica_reply(r, call, err, result);
}

/* The rows that are under way are in memory all at once, and a client that goes away does not stop
 * those that are on their way to the store: so there are not many, however many reads wait. */
static void fetches_push(struct replica *r)
{
    while (!list_empty(&r->fetches_waiting)) {
        struct fetch *f = container_of(list_first(&r->fetches_waiting), struct fetch, node);
        if (r->fetch_rows > 0 && r->fetch_rows + f->count > r->options.fetch_rows_max) {
            return;
        }
        list_remove(&f->node);
        r->fetch_rows += f->count;
        replica_push_fetch(r, f);
    }
}

void replica_fetch_forget(struct replica *r, struct fetch *f)
{
    f->call = NULL;
    if (list_node_linked(&f->node)) {
        list_remove(&f->node);
        void *removed = map_remove(&r->fetches, f->id);
        ASSERT(removed == f);
        fetch_free(f);
    }
}

void replica_result(struct replica *r, struct call *call, struct mvcc_result *result)
{
    if (result->missing == 0) {
        result_reply(r, call, result);
        return;
    }
    struct fetch *f = fetch_new(r, result->missing);
    for (uint32_t i = 0; i < f->count; i++) {
        f->revisions[i] = mvcc_result_missing(result, i);
    }
    f->result = result;
    f->call = call;
    call->fetch = f;
    list_push_back(&r->fetches_waiting, &f->node);
    fetches_push(r);
}

static int wanted_fetched(struct replica *r, const struct fetch *f, struct blob *const *rows)
{
    bool read = r->wanted_by == WANTED_READ;
    ASSERT(r->wanted_by != WANTED_NONE);
    r->wanted_by = WANTED_NONE;
    for (uint32_t i = 0; i < f->count; i++) {
        int err = mvcc_provide(r->mvcc, f->revisions[i], rows[i]);
        if (err != OK) {
            DIAG_ERROR("node %u: the state database lacks the row of revision %lld/%lld",
                       (unsigned) r->self, (long long) f->revisions[i].main,
                       (long long) f->revisions[i].sub);
            r->fatal = err;
            return err;
        }
    }
    if (!read) {
        return OK;
    }
    /* At once: mvcc keeps the rows until the next command is applied only. */
    r->reads_budget = READS_MAX;
    return replica_reads_run(r);
}

int replica_rows_fetched(struct replica *r, uint64_t fetch_id, struct blob *const *rows,
                         uint32_t count)
{
    struct fetch *f = map_remove(&r->fetches, fetch_id);
    int err = OK;
    ASSERT(f != NULL);
    ASSERT(f->count == count);
    r->dirty = true;
    if (f->result == NULL) {
        err = wanted_fetched(r, f, rows);
        fetch_free(f);
        return err;
    }
    r->fetch_rows -= count;
    if (f->call != NULL) {
        for (uint32_t i = 0; i < count; i++) {
            mvcc_result_provide(f->result, i, rows[i]);
        }
        mvcc_result_complete(r->mvcc, f->result);
        f->call->fetch = NULL;
        result_reply(r, f->call, f->result);
        f->result = NULL;
    }
    fetch_free(f);
    fetches_push(r);
    return OK;
}

/* Physical compactions are answered when the space is released (etcd-v3.md 4). */

static bool compaction_waits(struct replica *r, struct call *call, const struct command *command,
                             struct mvcc_result *result)
{
    struct compact_request request;
    if (command->tag != TAG_COMPACT || result->err != OK) {
        return false;
    }
    arena_reset(&r->arena);
    if (wire_compact_request_decode(command->payload, &r->arena, &request) != OK ||
        !request.physical) {
        return false;
    }
    call->result = result;
    call->compact_revision = request.revision;
    list_push_back(&r->compactions, &call->node);
    return true;
}

static void compactions_check(struct replica *r)
{
    LIST_FOR_EACH_SAFE(&r->compactions, node, after) {
        struct call *call = list_entry(node, struct call, node);
        if (mvcc_compact_finished(r->mvcc, call->compact_revision)) {
            struct mvcc_result *result = call->result;
            call->result = NULL;
            replica_result(r, call, result);
        }
    }
}

/* Entries. */

static void load_entries(struct replica *r, uint64_t first)
{
    if (r->loading) {
        return;
    }
    /* What is in memory follows what is not. */
    uint64_t last = u64_min(log_commit(r->log), log_mem_first(r->log) - 1);
    ASSERT(first <= last);
    r->loading = true;
    r->load_id += 2;
    replica_push_load(r, (struct load){.id = r->load_id | 1,
                                       .first = first,
                                       .last = last,
                                       .bytes_max = LOAD_BYTES_MAX});
}

int replica_log_loaded(struct replica *r, uint64_t load_id, int err, struct entry_list *entries)
{
    r->dirty = true;
    if (err_is_fatal(err)) {
        r->fatal = err;
        goto out;
    }
    if (load_id % 2 == 0) {
        consensus_loaded(r->consensus, load_id / 2, err, entries->entries, entries->count);
        err = OK;
        goto out;
    }
    ASSERT(r->loading);
    ASSERT(load_id == (r->load_id | 1));
    r->loading = false;
    if (err != OK || entries->count == 0) {
        DIAG_ERROR("node %u: entries after %llu are committed but not in the log (%s)",
                   (unsigned) r->self, (unsigned long long) mvcc_applied(r->mvcc), err_text(err));
        err = ERR_CORRUPT;
        r->fatal = err;
        goto out;
    }
    entry_list_release(&r->loaded);
    r->loaded = *entries;
    r->loaded_at = 0;
    *entries = (struct entry_list){0};
out:
    entry_list_release(entries);
    return err;
}

/* The entry at index, from memory or from what was loaded; its value is borrowed.
 * Errors: ERR_AGAIN (a load is under way), ERR_CORRUPT. */
static int entry_get(struct replica *r, uint64_t index, struct entry *ret_entry)
{
    while (r->loaded_at < r->loaded.count && r->loaded.entries[r->loaded_at].index < index) {
        r->loaded_at++;
    }
    if (r->loaded_at < r->loaded.count && r->loaded.entries[r->loaded_at].index == index) {
        *ret_entry = r->loaded.entries[r->loaded_at];
        return OK;
    }
    int err = log_entry(r->log, index, ret_entry);
    if (err == ERR_AGAIN) {
        load_entries(r, index);
    } else if (err != OK) {
        err = ERR_CORRUPT; /* committed, so it must be somewhere */
    }
    return err;
}

static int entry_begin(struct replica *r)
{
    struct entry entry;
    int err = entry_get(r, mvcc_applied(r->mvcc) + 1, &entry);
    if (err != OK) {
        return err;
    }
    r->entry_open = true;
    r->entry_value = value_ref(entry.value);
    r->entry_epoch = entry.epoch;
    r->entry_batch = entry.value->count > 0 ? replica_batch_find(r, entry.value) : NULL;
    r->entry_cursor = 0;
    r->entry_position = 0;
    return OK;
}

static void command_reply(struct replica *r, const struct command *command,
                          struct mvcc_result *result)
{
    struct batch *b = r->entry_batch;
    struct call *call = b == NULL ? NULL : b->calls[r->entry_position];
    if (call == NULL) {
        ASSERT(result == NULL);
        return;
    }
    ASSERT(result != NULL);
    replica_batch_forget(b, r->entry_position);
    if (!compaction_waits(r, call, command, result)) {
        replica_result(r, call, result);
    }
}

/* A command that the sessions know already (K2). */
static void mark_verdict(const struct replica *r, const struct command *command)
{
    bool client = (command->session & SESSION_CLIENT_BIT) != 0;
    switch (mvcc_verdict(r->mvcc)) {
    case SESSION_DUPLICATE:
        replica_mark(r, client ? MARK_REPLICA_RETRY_ANSWERED : MARK_REPLICA_BATCH_APPLIED_ONCE);
        break;
    case SESSION_EXPIRED:
        replica_mark(r, MARK_REPLICA_SESSION_EXPIRED);
        break;
    default:
        break;
    }
}

/* Errors: ERR_AGAIN (rows are wanted first), fatal ones. */
static int entry_commands(struct replica *r)
{
    struct command command;
    size_t cursor = r->entry_cursor;
    while (value_next(r->entry_value, &cursor, &command)) {
        const struct batch *b = r->entry_batch;
        bool want = b != NULL && b->calls[r->entry_position] != NULL;
        struct mvcc_result *result = NULL;
        int err = mvcc_apply(r->mvcc, mvcc_applied(r->mvcc) + 1, &command, want, &result);
        if (err == ERR_AGAIN) {
            replica_mark(r, MARK_REPLICA_APPLY_WANTS_ROWS);
            replica_want(r, WANTED_APPLY);
        }
        if (err != OK) {
            return err;
        }
        mark_verdict(r, &command);
        command_reply(r, &command, result);
        r->entry_cursor = cursor;
        r->entry_position++;
        r->apply_budget -= r->apply_budget > 0 ? 1 : 0;
    }
    return OK;
}

static int entry_end(struct replica *r)
{
    struct log_pos pos = {.index = mvcc_applied(r->mvcc) + 1, .epoch = r->entry_epoch};
    mvcc_apply_done(r->mvcc, pos.index);
    ASSERT(mvcc_applied(r->mvcc) == pos.index);
    if (r->entry_batch != NULL) {
        replica_batch_done(r, r->entry_batch);
        r->entry_batch = NULL;
    }
    value_unref(r->entry_value);
    r->entry_value = NULL;
    r->entry_open = false;
    r->apply_budget -= r->apply_budget > 0 ? 1 : 0; /* no-ops cost a little too */
    replica_trace(r, (struct trace_event){.kind = TRACE_APPLY,
                                          .index = pos.index,
                                          .hash = mvcc_hash(r->mvcc)});
    return replica_gossip_applied(r, pos);
}

static bool flush_due(const struct replica *r)
{
    const struct replica_options *o = &r->options;
    return r->now_us >= r->flush_at_us || mvcc_pending_operations(r->mvcc) >= o->flush_operations ||
           mvcc_pending_bytes(r->mvcc) >= o->flush_bytes || !list_empty(&r->compactions);
}

/* A flush is long due and waits for our own log: applying must not run away from it any more. As a
 * rule a flush finds its moment right after a write of the log, so nothing waits. */
static bool flush_waits(const struct replica *r)
{
    const struct replica_options *o = &r->options;
    if (r->flushing || mvcc_applied(r->mvcc) <= log_stable(r->log)) {
        return false;
    }
    return (r->flush_at_us != UINT64_MAX &&
            r->now_us >= r->flush_at_us + FLUSH_PATIENCE * o->flush_us) ||
           mvcc_pending_operations(r->mvcc) / FLUSH_PATIENCE >= o->flush_operations ||
           mvcc_pending_bytes(r->mvcc) / FLUSH_PATIENCE >= o->flush_bytes;
}

int replica_apply(struct replica *r, bool *ret_progress)
{
    uint64_t before = mvcc_applied(r->mvcc);
    int err = OK;
    while (r->entry_open || mvcc_applied(r->mvcc) < log_commit(r->log)) {
        if (r->wanted_by != WANTED_NONE || (!r->entry_open && flush_waits(r))) {
            break;
        }
        if (r->apply_budget == 0) {
            r->busy = true;
            break;
        }
        err = r->entry_open ? OK : entry_begin(r);
        if (err == OK) {
            err = entry_commands(r);
        }
        if (err == OK) {
            err = entry_end(r);
        }
        if (err != OK) {
            break;
        }
    }
    if (mvcc_applied(r->mvcc) > before) {
        consensus_applied(r->consensus, mvcc_applied(r->mvcc));
        *ret_progress = true;
    }
    return err == ERR_AGAIN ? OK : err;
}

/* State to disk. */

void replica_flush(struct replica *r)
{
    compactions_check(r);
    uint64_t applied = mvcc_applied(r->mvcc);
    bool pending = applied > r->flush_index || mvcc_pending_operations(r->mvcc) > 0;
    if (!pending) {
        return;
    }
    if (r->flush_at_us == UINT64_MAX) {
        r->flush_at_us = r->now_us + r->options.flush_us;
    }
    if (r->flushing || r->entry_open || !flush_due(r) || applied > log_stable(r->log)) {
        return;
    }
    r->flush_at_us = UINT64_MAX;
    r->out_flush = mvcc_flush_begin(r->mvcc);
    if (r->out_flush != NULL) {
        r->flushing = true;
        r->flush_index = mvcc_flush_index(r->out_flush);
    }
}

void replica_state_flushed(struct replica *r, struct mvcc_flush *flush, int err)
{
    ASSERT(r->flushing);
    uint64_t index = mvcc_flush_index(flush);
    r->flushing = false;
    mvcc_flush_done(r->mvcc, flush);
    if (err != OK) {
        r->fatal = err; /* D6: nothing of it counts, and nothing goes on from here */
        return;
    }
    r->durable = index;
    r->dirty = true;
}

void replica_apply_release(struct replica *r)
{
    size_t cursor = 0;
    void *fetch;
    while (map_next(&r->fetches, &cursor, NULL, &fetch)) {
        fetch_free(fetch);
    }
    map_release(&r->fetches);
    entry_list_release(&r->loaded);
    value_unref(r->entry_value);
}

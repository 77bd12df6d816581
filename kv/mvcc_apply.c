/*
 * mvcc_apply.c - commands of the log: exactly once (K2), in order, the same on every node.
 */

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "kv/api_check.h"
#include "kv/mvcc_impl.h"
#include "proto/wire_kv.h"

/* Marks a compaction in the state hash; no revision of a change is negative. */
#define HASH_COMPACTION UINT64_C(0xffffffffffffffff)

/* A decoded command. */
struct request {
    uint8_t tag;
    union {
        struct put_request put;
        struct delete_request del;
        struct txn_request txn;
        struct compact_request compact;
    };
};

void mvcc_change(struct mvcc *m, struct revision revision, const struct row_record *record)
{
    uint32_t crc = 0;
    struct blob *row = row_record_new(revision, record, &crc);
    m->rows_count++;
    m->rows_bytes += ROW_RECORD_KEY_SIZE + row->size;
    /* The checksum covers revision, key, value and all numbers of the row. */
    m->hash = hash64_mix(m->hash, (uint64_t) revision.main);
    m->hash = hash64_mix(m->hash, (uint64_t) revision.sub << 32 ^ crc);
    records_add_take(&m->records, revision, row);
}

/* Leases are not in this version: no lease but 0 exists. */
static bool lease_exists(const struct mvcc *m, int64_t lease)
{
    (void) m;
    return lease == 0;
}

int mvcc_check_put(struct mvcc *m, const struct put_request *r, bool lease_first)
{
    struct index_item item;
    if (lease_first && !lease_exists(m, r->lease)) {
        return ERR_LEASE_NOT_FOUND;
    }
    if (r->ignore_value || r->ignore_lease) {
        if (!index_get(m->index, r->key, INDEX_LATEST, &item)) {
            return ERR_KEY_NOT_FOUND;
        }
        if (r->ignore_value) {
            struct row_record record;
            int err = mvcc_record(m, item.mod, &record);
            if (err != OK && err != ERR_AGAIN) {
                return err;
            }
        }
    }
    return lease_exists(m, r->lease) ? OK : ERR_LEASE_NOT_FOUND;
}

static void answer_prev(struct run *run, struct api_response *response, struct revision mod)
{
    (void) result_part(run->res, response);
    result_item(run->res)->mod = mod;
}

void run_put(struct run *run, const struct put_request *r, struct api_response *response)
{
    struct mvcc *m = run->m;
    struct index_old old;
    struct index_item new;
    struct row_record record = {.key = r->key, .value = r->value};
    struct row_record before;
    int64_t lease = r->lease;
    if (r->ignore_value || r->ignore_lease) {
        bool found = index_get(m->index, r->key, INDEX_LATEST, &new);
        ASSERT(found); /* checked, and no op of the same Txn may touch the key */
        lease = r->ignore_lease ? new.lease : lease;
        if (r->ignore_value) {
            int err = mvcc_record(m, new.mod, &before);
            ASSERT(err == OK); /* checked */
            record.value = before.value;
        }
    }
    index_put(m->index, r->key, run->next, lease, &old, &new);
    record.create = new.create;
    record.version = new.version;
    record.lease = lease;
    mvcc_change(m, run->next, &record);
    run->next.sub++;
    if (run->res != NULL) {
        *response = (struct api_response){.kind = OP_PUT, .revision = run->next.main};
        if (r->prev_kv && old.live) {
            answer_prev(run, response, old.mod);
        }
    }
}

void run_delete(struct run *run, const struct delete_request *r, struct api_response *response)
{
    struct mvcc *m = run->m;
    struct index_range range = {r->key, r->range_end};
    struct index_cursor c;
    struct index_item item;
    struct index_old old;
    int64_t deleted = 0;
    bool answer = run->res != NULL;
    if (answer) {
        *response = (struct api_response){.kind = OP_DELETE};
        if (r->prev_kv) {
            (void) result_part(run->res, response);
        }
    }
    index_seek(m->index, &range, INDEX_LATEST, &c);
    while (index_next(&c, &item)) {
        struct row_record record = {.tombstone = true, .key = item.key};
        bool was_live = index_delete(m->index, item.key, run->next, &old);
        ASSERT(was_live);
        mvcc_change(m, run->next, &record);
        run->next.sub++;
        deleted++;
        if (answer && r->prev_kv) {
            result_item(run->res)->mod = old.mod;
        }
    }
    if (answer) {
        response->del.deleted = deleted;
        response->revision = run_revision(run);
    }
}

/* Errors: ERR_CORRUPT: bytes that nobody let in. */
static int request_decode(struct mvcc *m, const struct command *command, struct request *ret)
{
    struct arena *a = &m->arena;
    int err = ERR_CORRUPT;
    arena_reset(a);
    ret->tag = command->tag;
    switch (command->tag) {
    case TAG_PUT:
        err = wire_put_request_decode(command->payload, a, &ret->put);
        err = err == OK ? api_check_put(&ret->put) : err;
        break;
    case TAG_DELETE:
        err = wire_delete_request_decode(command->payload, a, &ret->del);
        err = err == OK ? api_check_delete(&ret->del) : err;
        break;
    case TAG_TXN:
        err = wire_txn_request_decode(command->payload, a, &ret->txn);
        err = err == OK ? api_check_txn(&ret->txn, m->options.txn_ops_max) : err;
        break;
    case TAG_COMPACT:
        err = wire_compact_request_decode(command->payload, a, &ret->compact);
        break;
    default:
        break;
    }
    return err == OK ? OK : ERR_CORRUPT;
}

/* May it run? Errors: ERR_AGAIN, ERR_CORRUPT; all others are the command's own outcome. */
static int request_check(struct mvcc *m, const struct request *r)
{
    int err = OK;
    mvcc_wanted_clear(m);
    switch (r->tag) {
    case TAG_PUT:
        err = mvcc_check_put(m, &r->put, true);
        return err == OK && m->wanted_count > 0 ? ERR_AGAIN : err;
    case TAG_TXN:
        return txn_plan(m, &r->txn);
    case TAG_COMPACT:
        if (r->compact.revision <= m->compact) {
            return ERR_COMPACTED;
        }
        return r->compact.revision > m->revision ? ERR_FUTURE_REVISION : OK;
    default:
        return OK;
    }
}

/* Does what was checked; cannot fail. */
static void request_run(struct run *run, const struct request *r, struct api_response *response)
{
    struct mvcc *m = run->m;
    switch (r->tag) {
    case TAG_PUT:
        run_put(run, &r->put, response);
        break;
    case TAG_DELETE:
        run_delete(run, &r->del, response);
        break;
    case TAG_TXN:
        txn_run(run, &r->txn, response);
        break;
    case TAG_COMPACT:
        m->hash = hash64_mix(m->hash, HASH_COMPACTION);
        m->hash = hash64_mix(m->hash, (uint64_t) r->compact.revision);
        mvcc_compact_begin(m, r->compact.revision);
        *response = (struct api_response){.kind = OP_NONE, .revision = m->revision};
        break;
    default:
        UNREACHABLE();
    }
    if (run->next.sub > 0) {
        m->revision = run->next.main;
    }
}

/* Enters the command into its session; what it answered is kept for a client's. */
static void session_enter(struct mvcc *m, const struct command *command, const struct result *res)
{
    struct session_answer answer = {.sequence = command->sequence};
    struct buf detail;
    buf_init(&detail, SIZE_MAX / 2);
    if ((command->session & SESSION_CLIENT_BIT) != 0) {
        answer.err = res->pub.err;
        answer.revision = res->pub.revision;
        answer.kind = res->pub.response.kind;
        if (answer.err == OK) {
            answer_encode(res, &detail);
            answer.detail = buf_bytes(&detail);
        }
    }
    session_applied(m->sessions, command->session, command->sequence, &answer);
    buf_release(&detail);
}

/* The answer to a command that is not applied (again). */
static void not_applied(struct mvcc *m, uint64_t session, const struct session_answer *answer,
                        struct mvcc_result **ret_result)
{
    struct result *res = ret_result == NULL ? NULL : result_new();
    session_used(m->sessions, session);
    if (res == NULL) {
        return;
    }
    res->replayed = true;
    res->pub.revision = m->revision;
    res->pub.err = ERR_SESSION_EXPIRED;
    if (answer != NULL && answer->kept) {
        res->pub.revision = answer->revision;
        res->pub.err = answer->err;
        if (answer->err == OK) {
            res->pub.response.kind = answer->kind;
            res->pub.response.revision = answer->revision;
            res->pub.err = answer_decode(answer->detail, res);
        }
    }
    result_finish(m, res);
    *ret_result = &res->pub;
}

static int command_run(struct mvcc *m, const struct command *command, struct result *res)
{
    struct request request;
    struct api_response none;
    struct run run = {.m = m, .res = res, .next = {m->revision + 1, 0}};
    int err = request_decode(m, command, &request);
    if (err == OK) {
        err = request_check(m, &request);
    }
    if (err == ERR_AGAIN || err_is_fatal(err)) {
        return err;
    }
    if (err == OK) {
        request_run(&run, &request, res == NULL ? &none : &res->pub.response);
    }
    if (res != NULL) {
        res->pub.err = err;
        res->pub.revision = m->revision;
    }
    return OK;
}

int mvcc_apply(struct mvcc *m, uint64_t index, const struct command *command, bool want_result,
               struct mvcc_result **ret_result)
{
    const struct session_answer *answer = NULL;
    ASSERT(index == m->applied + 1);
    m->verdict = SESSION_APPLY;
    if (command->session != 0) {
        enum session_verdict verdict =
            session_check(m->sessions, command->session, command->sequence, &answer);
        m->verdict = (uint8_t) verdict;
        if (verdict != SESSION_APPLY) {
            m->entry_open = true;
            *ret_result = NULL;
            not_applied(m, command->session, answer, want_result ? ret_result : NULL);
            return OK;
        }
    }
    bool client = (command->session & SESSION_CLIENT_BIT) != 0;
    struct result *res = want_result || client ? result_new() : NULL;
    int err = command_run(m, command, res);
    if (err != OK) {
        mvcc_result_free(res == NULL ? NULL : &res->pub);
        return err;
    }
    m->entry_open = true;
    mvcc_wanted_clear(m);
    mvcc_provided_clear(m);
    if (command->session != 0) {
        session_enter(m, command, res);
    }
    if (want_result) {
        result_finish(m, res);
    } else if (res != NULL) {
        mvcc_result_free(&res->pub);
        res = NULL;
    }
    *ret_result = res == NULL ? NULL : &res->pub;
    return OK;
}

uint8_t mvcc_verdict(const struct mvcc *m)
{
    return m->verdict;
}

void mvcc_apply_done(struct mvcc *m, uint64_t index)
{
    ASSERT(index == m->applied + 1);
    m->applied = index;
    m->entry_open = false;
}

/*
 * crash_points_log.c - the log store under crashes: its operations, and a model of it.
 *
 * Both take what is done from one plan, so they cannot differ in what was asked. The model keeps
 * entries and promises in plain arrays by index and knows nothing of rows, batches and sweeps.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/consensus.h"
#include "tests/sim/crash_points.h"
#include "tests/support/entries.h"

enum { INDEX_MAX = 16384 };

/* What is in the log at one index. */
struct model_slot {
    uint64_t epoch; /* 0: no entry; those of a plan begin with 1 */
    uint32_t crc;
    uint64_t ballot; /* 0: no promise */
};

struct crash_model {
    struct identity identity;
    bool holes;
    uint64_t serial; /* operations so far: makes values differ */
    uint64_t incarnation;
    uint64_t written;
    bool stale; /* condemned: never opened again */
    struct hard_state hard;
    struct log_pos trimmed;
    struct model_slot *slots; /* by index */
    uint64_t slots_count;
};

/* What an operation asks of a log store: one of the four. */
struct plan {
    bool bump;
    bool condemn;
    bool trim;
    struct log_pos pos;
    struct log_write *writes[2];
    uint32_t count;
};

/* ---- the model's state ---- */

static uint64_t last_entry(const struct crash_model *m)
{
    uint64_t last = m->trimmed.index;
    for (uint64_t i = last + 1; i < m->slots_count; i++) {
        last = m->slots[i].epoch != 0 ? i : last;
    }
    return last;
}

static struct model_slot *slot_at(struct crash_model *m, uint64_t index)
{
    ASSERT(index < INDEX_MAX);
    if (index >= m->slots_count) {
        uint64_t count = index + 1;
        m->slots = xrealloc(m->slots, count * sizeof m->slots[0]);
        memset(&m->slots[m->slots_count], 0, (count - m->slots_count) * sizeof m->slots[0]);
        m->slots_count = count;
    }
    return &m->slots[index];
}

static struct crash_model *log_model_new(const struct crash_rig *rig)
{
    struct crash_model *m = xcalloc(1, sizeof *m);
    m->identity = (struct identity){
        .cluster_id = 0x1122334455667788u,
        .node = 2,
        .engine = rig->engine,
        .members_count = 3,
        .members = {1, 2, 65535},
    };
    m->holes = rig->engine != ENGINE_RAFT;
    return m;
}

static struct crash_model *log_model_copy(const struct crash_model *m)
{
    struct crash_model *copy = xmemdup(m, sizeof *m);
    copy->slots = xmemdup(m->slots, m->slots_count * sizeof m->slots[0]);
    return copy;
}

static void log_model_free(struct crash_model *m)
{
    if (m != NULL) {
        free(m->slots);
        free(m);
    }
}

/* ---- plans ---- */

/* Adds entries from `first` on, of the epoch of this operation. */
static void plan_entries(const struct crash_model *m, struct log_write *w, uint64_t first,
                         uint32_t count, size_t size)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct log_pos pos = {.index = first + i, .epoch = m->serial + 1};
        write_entry(w, pos, (m->serial + 1) * 10000 + first + i, size);
    }
}

static void plan_hard(const struct crash_model *m, struct log_write *w)
{
    w->hard_set = true;
    w->hard = (struct hard_state){
        .epoch = m->serial + 1,
        .vote = (uint32_t) (m->serial % 3 + 1),
        .commit = m->trimmed.index + m->serial,
    };
}

static void plan_promises(const struct crash_model *m, struct log_write *w, uint64_t first,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct slot_promise promise = {.index = first + i, .ballot = m->serial * 100 + 7 + i};
        log_write_promise(w, promise);
    }
}

/* An append; where holes are legal it leaves one. */
static void plan_append(const struct crash_model *m, struct log_write *w, uint64_t last)
{
    uint64_t first = last + (m->holes ? 2 : 1);
    plan_entries(m, w, first, 1, 100);
    plan_entries(m, w, first + 1, 1, 600);
}

/* Cuts the last entry, if there is one, and appends. */
static void plan_truncate(const struct crash_model *m, struct log_write *w, uint64_t last)
{
    uint64_t from = last > m->trimmed.index ? last : last + 1;
    log_write_truncate(w, from);
    plan_entries(m, w, from, 1, 200);
    plan_hard(m, w);
}

static void plan_group(const struct crash_model *m, struct plan *p, uint64_t last)
{
    p->writes[1] = log_write_new();
    p->count = 2;
    plan_entries(m, p->writes[0], last + 1, 2, 60);
    log_write_truncate(p->writes[1], last + 2);
    plan_entries(m, p->writes[1], last + 2, 1, 90);
    plan_hard(m, p->writes[1]);
}

static void plan_trim(const struct crash_model *m, struct plan *p, uint64_t index)
{
    bool there = index < m->slots_count && m->slots[index].epoch != 0;
    p->trim = true;
    p->pos.index = index;
    p->pos.epoch = there ? m->slots[index].epoch : m->serial + 1;
}

static void plan_make(const struct crash_model *m, uint32_t op, struct plan *ret_plan)
{
    struct plan p = {.writes = {log_write_new()}, .count = 1};
    const uint64_t last = last_entry(m);
    const uint64_t trimmed = m->trimmed.index;
    switch ((enum crash_op) op) {
    case CRASH_OP_BUMP:
        p.bump = true;
        break;
    case CRASH_OP_CONDEMN:
        p.condemn = true;
        break;
    case CRASH_OP_APPEND:
        plan_append(m, p.writes[0], last);
        break;
    case CRASH_OP_REPLACE:
        plan_entries(m, p.writes[0], last > trimmed ? last : last + 1, 1, 150);
        break;
    case CRASH_OP_TRUNCATE:
        plan_truncate(m, p.writes[0], last);
        break;
    case CRASH_OP_HARD:
        plan_hard(m, p.writes[0]);
        break;
    case CRASH_OP_PROMISES:
        plan_promises(m, p.writes[0], last + 1, 2);
        break;
    case CRASH_OP_GROUP:
        plan_group(m, &p, last);
        break;
    case CRASH_OP_TRIM:
        plan_trim(m, &p, last > trimmed ? trimmed + (last - trimmed + 1) / 2 : trimmed + 2);
        break;
    case CRASH_OP_JUMP:
        plan_trim(m, &p, last + 5);
        break;
    case CRASH_OP_BULK:
        plan_entries(m, p.writes[0], last + 1, 6, 6000);
        break;
    case CRASH_OP_MANY:
        plan_entries(m, p.writes[0], last + 1, 1200, 8);
        plan_promises(m, p.writes[0], last + 1000, 40);
        break;
    case CRASH_OP_TRIM_MOST:
        plan_trim(m, &p, last > trimmed + 1 ? last - 1 : last + 1);
        break;
    default:
        UNREACHABLE();
    }
    *ret_plan = p;
}

static void plan_release(struct plan *p)
{
    log_write_free(p->writes[0]);
    log_write_free(p->writes[1]);
}

/* ---- what an operation does to the model ---- */

static void model_write(struct crash_model *m, const struct log_write *w)
{
    const uint64_t trimmed = m->trimmed.index;
    for (uint64_t i = w->truncate_from; i < m->slots_count && w->truncate_from > 0; i++) {
        if (i > trimmed) {
            m->slots[i].epoch = 0;
        }
    }
    for (uint32_t i = 0; i < w->entries_count; i++) {
        if (w->entries[i].index > trimmed) {
            struct model_slot *slot = slot_at(m, w->entries[i].index);
            slot->epoch = w->entries[i].epoch;
            slot->crc = w->entries[i].value->crc;
        }
    }
    for (uint32_t i = 0; i < w->promises_count; i++) {
        if (w->promises[i].index > trimmed) {
            slot_at(m, w->promises[i].index)->ballot = w->promises[i].ballot;
        }
    }
    m->hard = w->hard_set ? w->hard : m->hard;
}

static void model_trim(struct crash_model *m, struct log_pos pos)
{
    if (pos.index <= m->trimmed.index) {
        return;
    }
    m->trimmed = pos;
    for (uint64_t i = 0; i <= pos.index && i < m->slots_count; i++) {
        memset(&m->slots[i], 0, sizeof m->slots[i]);
    }
}

static void log_model_apply(struct crash_model *m, uint32_t op)
{
    if (op == CRASH_OP_REOPEN || op == CRASH_OP_POWER) {
        return;
    }
    struct plan p;
    plan_make(m, op, &p);
    if (p.bump) {
        m->incarnation++;
    } else if (p.condemn) {
        m->stale = true;
    } else if (p.trim) {
        model_trim(m, p.pos);
    } else {
        for (uint32_t i = 0; i < p.count; i++) {
            model_write(m, p.writes[i]);
        }
        m->written += p.count;
    }
    m->serial++;
    plan_release(&p);
}

/* ---- as text ---- */

static void text_head(struct buf *out, const struct identity *identity, uint64_t incarnation,
                      const struct logstore_recovery *r)
{
    ERR_IGNORE(buf_printf(out, "cluster %" PRIx64 " node %u engine %u members",
                          identity->cluster_id, (unsigned) identity->node,
                          (unsigned) identity->engine));
    for (uint32_t i = 0; i < identity->members_count; i++) {
        ERR_IGNORE(buf_printf(out, " %u", (unsigned) identity->members[i]));
    }
    ERR_IGNORE(buf_printf(out,
                          "; starts %" PRIu64 "; written %" PRIu64 "; hard %" PRIu64 " %u %" PRIu64
                          "; trimmed %" PRIu64 "/%" PRIu64 ";",
                          incarnation, r->written, r->hard.epoch, (unsigned) r->hard.vote,
                          r->hard.commit, r->trimmed.index, r->trimmed.epoch));
}

static void text_entry(struct buf *out, struct log_pos pos, uint32_t crc)
{
    ERR_IGNORE(
        buf_printf(out, " %" PRIu64 "/%" PRIu64 ":%08x", pos.index, pos.epoch, (unsigned) crc));
}

static void text_promise(struct buf *out, struct slot_promise promise)
{
    ERR_IGNORE(buf_printf(out, " p%" PRIu64 ":%" PRIu64, promise.index, promise.ballot));
}

static void log_model_text(const struct crash_model *m, struct buf *out)
{
    const struct logstore_recovery head = {
        .hard = m->hard,
        .trimmed = m->trimmed,
        .written = m->written,
    };
    if (m->stale) {
        ERR_IGNORE(buf_printf(out, "stale"));
        return;
    }
    text_head(out, &m->identity, m->incarnation, &head);
    for (uint64_t i = m->trimmed.index + 1; i < m->slots_count; i++) {
        if (m->slots[i].epoch != 0) {
            text_entry(out, (struct log_pos){i, m->slots[i].epoch}, m->slots[i].crc);
        }
    }
    for (uint64_t i = m->trimmed.index + 1; i < m->slots_count; i++) {
        if (m->slots[i].ballot != 0) {
            text_promise(out, (struct slot_promise){i, m->slots[i].ballot});
        }
    }
}

/* What a reader gets must be what recovery found. */
static int compare_read(struct logstore *log, const struct logstore_recovery *r, struct buf *error)
{
    struct entry_list list = {.count = 0};
    int rc = logstore_read(log, r->trimmed.index + 1, UINT64_MAX, UINT64_MAX, &list);
    bool same = rc == OK && list.count == r->entries_count;
    for (uint32_t i = 0; same && i < list.count; i++) {
        same = list.entries[i].index == r->entries[i].index &&
               list.entries[i].epoch == r->entries[i].epoch &&
               list.entries[i].value->crc == r->entries[i].value->crc;
    }
    entry_list_release(&list);
    if (rc == OK && !same) {
        ERR_IGNORE(buf_printf(error, "reading gives other entries than recovery"));
        rc = ERR_MISMATCH;
    }
    return rc;
}

static int log_text(struct crash_store *s, struct buf *out, struct buf *error)
{
    struct identity identity;
    struct logstore_recovery r;
    uint64_t incarnation = 0;
    int rc = logstore_identity(s->log, &identity);
    if (rc != OK) {
        return rc;
    }
    rc = logstore_bump_incarnation(s->log, &incarnation);
    if (rc != OK) {
        return rc;
    }
    rc = logstore_recover(s->log, 0, &r, error);
    if (rc != OK) {
        return rc;
    }
    text_head(out, &identity, incarnation - 1, &r);
    for (uint32_t i = 0; i < r.entries_count; i++) {
        const struct entry *e = &r.entries[i];
        text_entry(out, (struct log_pos){e->index, e->epoch}, e->value->crc);
    }
    for (uint32_t i = 0; i < r.promises_count; i++) {
        text_promise(out, r.promises[i]);
    }
    rc = compare_read(s->log, &r, error);
    logstore_recovery_release(&r);
    return rc;
}

/* ---- the store ---- */

static int log_open(const struct crash_rig *rig, const char *path, bool create,
                    struct crash_store *ret_store, struct buf *error)
{
    struct crash_model *m = log_model_new(rig);
    const struct logstore_options options = {
        .write_buffer_size = rig->write_buffer_size,
        .create = create ? &m->identity : NULL,
        .device = rig->device,
    };
    struct crash_store s = {.log = NULL};
    int rc = logstore_open(rig->log, path, &options, &s.log, error);
    log_model_free(m);
    if (rc == OK) {
        *ret_store = s;
    }
    return rc;
}

static void log_close(struct crash_store *s)
{
    logstore_close(s->log);
    s->log = NULL;
}

static int log_apply(struct crash_store *s, const struct crash_model *before, uint32_t op)
{
    struct plan p;
    uint64_t incarnation = 0;
    int rc = OK;
    plan_make(before, op, &p);
    if (p.bump) {
        rc = logstore_bump_incarnation(s->log, &incarnation);
        ASSERT(rc != OK || incarnation == before->incarnation + 1);
    } else if (p.condemn) {
        rc = logstore_condemn(s->log, before->written + 10);
    } else if (p.trim) {
        rc = logstore_trim(s->log, p.pos);
    } else {
        rc = logstore_write(s->log, (const struct log_write *const *) p.writes, p.count);
    }
    plan_release(&p);
    return rc;
}

static bool log_repeats(struct crash_store *s, const struct crash_model *before, int rc)
{
    static const uint32_t ops[] = {CRASH_OP_HARD, CRASH_OP_APPEND, CRASH_OP_BUMP, CRASH_OP_TRIM};
    bool same = true;
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        same = same && log_apply(s, before, ops[i]) == rc;
    }
    return same && logstore_last_error(s->log)[0] != '\0';
}

const struct crash_kind crash_log_kind = {
    .name = "log",
    .alphabet = {.count = 10,
                 .ops = {CRASH_OP_BUMP, CRASH_OP_APPEND, CRASH_OP_REPLACE, CRASH_OP_TRUNCATE,
                         CRASH_OP_HARD, CRASH_OP_PROMISES, CRASH_OP_GROUP, CRASH_OP_TRIM,
                         CRASH_OP_REOPEN, CRASH_OP_POWER}},
    .model_new = log_model_new,
    .model_copy = log_model_copy,
    .model_free = log_model_free,
    .model_apply = log_model_apply,
    .model_text = log_model_text,
    .open = log_open,
    .close = log_close,
    .apply = log_apply,
    .text = log_text,
    .repeats = log_repeats,
};

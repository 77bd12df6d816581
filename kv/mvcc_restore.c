/*
 * mvcc_restore.c - the state machine from the rows of the state database, one scan in key order:
 * meta, records by revision, sessions.
 *
 * Nothing may lack: there are as many rows as meta says; above the compact revision every revision
 * is there, with all its subs, and each key's versions follow each other. Up to it an interrupted
 * sweep may have left garbage, which the sweep that begins anew finds again.
 */

#include "base/assert.h"
#include "kv/mvcc_impl.h"

static int restore_meta(struct mvcc *m, struct bytes key, struct bytes value)
{
    struct row_meta meta;
    int err = row_meta_parse(value, &meta);
    if (err != OK) {
        return err;
    }
    if (key.size != ROW_META_KEY_SIZE || m->restore_meta) {
        return ERR_CORRUPT;
    }
    m->restore_meta = true;
    m->restore_next = (meta.compact_revision > 1 ? meta.compact_revision : 1) + 1;
    m->applied = meta.applied;
    m->flushed = meta.applied;
    m->durable = meta.applied;
    m->revision = meta.revision;
    m->compact = meta.compact_revision;
    m->swept = meta.swept_revision;
    m->swept_flushed = meta.swept_revision;
    m->swept_durable = meta.swept_revision;
    m->hash = meta.hash;
    m->stored = meta.records;
    m->restore_sessions = meta.sessions;
    session_restore_clock(m->sessions, meta.session_clock);
    return OK;
}

/* Records come in order, and above the compact revision without a hole. */
static int restore_order(struct mvcc *m, struct revision revision)
{
    struct revision last = m->restore_last;
    if (revision.main > m->revision || revision_compare(revision, last) <= 0) {
        return ERR_CORRUPT;
    }
    if (revision.main > m->compact) {
        bool follows = revision.main == last.main
                           ? revision.sub == last.sub + 1
                           : revision.main == m->restore_next && revision.sub == 0;
        if (!follows) {
            return ERR_CORRUPT;
        }
        m->restore_next = revision.main + 1;
    }
    m->restore_last = revision;
    return OK;
}

/* Does the record follow from the key's state before it? */
static bool record_follows(const struct mvcc *m, struct revision revision,
                           const struct row_record *record, const struct index_old *old)
{
    if (!record->tombstone && (record->create > revision.main ||
                               (record->version == 1 && record->create != revision.main))) {
        return false;
    }
    if (revision.main <= m->compact) {
        return true;
    }
    if (record->tombstone || record->version > 1) {
        return old->live && (record->tombstone || (old->version + 1 == record->version &&
                                                   old->create == record->create));
    }
    return !old->live;
}

static int restore_record(struct mvcc *m, struct bytes key, struct bytes value)
{
    struct revision revision;
    struct row_record record;
    struct index_old old;
    int err = m->restore_meta ? row_record_key_parse(key, &revision) : ERR_CORRUPT;
    if (err == OK) {
        err = restore_order(m, revision);
    }
    if (err == OK) {
        err = row_record_check(revision, value, &record);
    }
    if (err == OK && bytes_empty(record.key)) {
        err = ERR_CORRUPT;
    }
    if (err != OK) {
        return err;
    }
    struct index_state state = {revision, record.create, record.version, record.lease};
    index_restore(m->index, record.key, &state, &old);
    m->rows_count++;
    m->rows_bytes += key.size + value.size;
    return record_follows(m, revision, &record, &old) ? OK : ERR_CORRUPT;
}

static int restore_session(struct mvcc *m, struct bytes key, struct bytes value)
{
    uint64_t id;
    int err = m->restore_meta ? row_session_key_parse(key, &id) : ERR_CORRUPT;
    return err == OK ? session_restore_row(m->sessions, id, value) : err;
}

int mvcc_restore_row(struct mvcc *m, struct bytes key, struct bytes value)
{
    switch (key.size == 0 ? 0 : key.data[0]) {
    case ROW_META:
        return restore_meta(m, key, value);
    case ROW_RECORD:
        return restore_record(m, key, value);
    case ROW_SESSION:
        return restore_session(m, key, value);
    default:
        return ERR_CORRUPT;
    }
}

int mvcc_restore_done(struct mvcc *m)
{
    if (!m->restore_meta) {
        return OK; /* a new store */
    }
    if (m->restore_next != m->revision + 1 || m->rows_count != m->stored ||
        session_count(m->sessions) != m->restore_sessions) {
        return ERR_CORRUPT; /* the newest revisions are missing */
    }
    int err = session_restore_done(m->sessions);
    if (err == OK && m->swept < m->compact) {
        int64_t compact = m->compact;
        m->compact = m->swept;
        mvcc_compact_begin(m, compact);
    }
    return err;
}

/*
 * disk_damage.c - flipped bits and lost files of the model disk, and who notices.
 *
 * The rules are those of the real store (tests/unit/test_store_leveldb.c shows them, and
 * tests/sim/test_disk_faithful.c compares):
 *
 *  - CURRENT and MANIFEST are read and checked when opened, and so is each write-ahead file: every
 *    complete fragment has a checksum, and kv/leveldb_check finds a damaged size too. The one place
 *    where a flip changes nothing is the incomplete record at the end, as far as it still looks
 *    like one, and padding (D8).
 *  - Tables are looked for when opened and read when needed. Each block of about 4 KiB has a
 *    checksum. A get reads the block that may have the key unless something newer than the table
 *    has it; an iterator reads each block it comes by, whatever newer tables say.
 *  - A compaction reads whole tables: the database fails for writers then, after each start anew.
 */

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "kv/store_impl.h"
#include "tests/sim/disk_internal.h"

enum {
    ROW_OVERHEAD = 11,     /* lengths and sequence of a row in a table */
    INDEX_ENTRY_SIZE = 30, /* bytes in the index for a block */
    FOOTER_SIZE = 48 + 13, /* with the empty meta index before it */
    COMPACT_TABLES = 8,    /* new tables until old ones are merged, at most */
};

/* ---- opening ---- */

static const char remedy[] = "restore the directory from a copy, or remove this member and add it "
                             "anew";

static int bad(struct buf *error, const char *path, const char *what)
{
    store_error_line(error, "%s is damaged: %s; %s", path, what, remedy);
    return ERR_CORRUPT;
}

/* As check_logs in kv/leveldb_check.c, from the newest file to the oldest. */
static int check_wals(const struct sim_files *f, const char *path, struct buf *error)
{
    bool newer_written = false;
    if (f->wals[0].lost) {
        store_error_line(error, "%s is damaged: write-ahead file %06" PRIu64 ".log is missing; %s",
                         path, f->wals[0].number, remedy);
        return ERR_CORRUPT;
    }
    for (uint32_t i = f->wals_count; i > 0; i--) {
        const struct sim_wal *w = &f->wals[i - 1];
        if (w->damaged) {
            store_error_line(error,
                             "%s/%06" PRIu64 ".log is damaged at offset %" PRIu64
                             ": the checksum of a record differs; %s",
                             path, w->number, w->damaged_at, remedy);
            return ERR_CORRUPT;
        }
        if (sim_wal_torn(w) && newer_written) {
            store_error_line(error,
                             "%s/%06" PRIu64 ".log is damaged: it ends in an incomplete record "
                             "though writing went on in a newer file; %s",
                             path, w->number, remedy);
            return ERR_CORRUPT;
        }
        newer_written = newer_written || w->count > 0;
    }
    return OK;
}

int sim_files_check(const struct sim_files *f, const char *path, struct buf *error)
{
    if (f->current_lost) {
        return bad(error, path, "its file CURRENT is missing");
    }
    if (f->current_damaged) {
        return bad(error, path, "CURRENT does not name a MANIFEST");
    }
    if (f->manifest_lost) {
        return bad(error, path, "its MANIFEST is missing");
    }
    if (f->manifest_damaged) {
        return bad(error, path, "the checksum of a record in its MANIFEST differs");
    }
    int rc = check_wals(f, path, error);
    if (rc != OK) {
        return rc;
    }
    return f->table_lost ? bad(error, path, "a table (.ldb) is missing") : OK;
}

/* ---- reading ---- */

bool sim_files_bad_get(const struct sim_files *f, struct bytes key, const struct sim_row *row)
{
    for (uint32_t i = 0; i < f->damage_count; i++) {
        const struct sim_damage *m = &f->damage[i];
        bool above = m->before != NULL ? bytes_compare(key, sim_row_key(m->before)) > 0
                                       : bytes_compare(key, sim_row_key(m->first)) >= 0;
        if (above && bytes_compare(key, sim_row_key(m->last)) <= 0 &&
            sim_tree_find(&m->image, key) == row) {
            return true; /* Nothing newer than the table has the key, or it would differ. */
        }
    }
    return false;
}

bool sim_files_bad_seek(const struct sim_files *f, struct bytes key, bool behind)
{
    for (uint32_t i = 0; i < f->damage_count; i++) {
        const struct sim_damage *m = &f->damage[i];
        int low = m->before == NULL ? 1 : bytes_compare(key, sim_row_key(m->before));
        int high = bytes_compare(key, sim_row_key(m->last));
        bool above = behind ? low >= 0 : low > 0;
        bool below = behind ? high < 0 : high <= 0;
        if (m->whole || (above && below)) {
            return true;
        }
    }
    return false;
}

/* ---- doing ---- */

static struct sim_row *ref_or_null(struct sim_row *r)
{
    return r != NULL ? sim_row_ref(r) : NULL;
}

void sim_damage_copy(struct sim_damage *to, const struct sim_damage *from)
{
    *to = *from;
    memset(&to->image, 0, sizeof to->image);
    sim_tree_copy(&to->image, &from->image);
    to->before = ref_or_null(from->before);
    to->first = ref_or_null(from->first);
    to->last = ref_or_null(from->last);
}

void sim_damage_release(struct sim_damage *m)
{
    sim_tree_clear(&m->image);
    if (m->before != NULL) {
        sim_row_unref(m->before);
    }
    sim_row_unref(m->first);
    sim_row_unref(m->last);
}

/* Rows belong to trees, which hold them as their own: a reference is the way to keep one. */
static struct sim_row *keep(const struct sim_row *r)
{
    return r == NULL ? NULL : sim_row_ref((struct sim_row *) (uintptr_t) r);
}

static uint64_t row_size(const struct sim_row *r)
{
    return (uint64_t) r->key_size + r->value_size + ROW_OVERHEAD;
}

/* Damages the block of rows that has the byte `at`; all of the table when there is no such. */
static void damage_at(struct sim_damage *m, uint64_t at)
{
    struct sim_cursor c;
    const struct sim_row *row = NULL;
    const struct sim_row *first = NULL; /* of the table */
    const struct sim_row *start = NULL; /* of the block */
    const struct sim_row *previous = NULL;
    const struct sim_row *before = NULL;
    uint64_t end = 0;
    uint64_t block = 0;
    bool found = false;
    sim_cursor_init(&c);
    sim_cursor_seek(&c, &m->image, bytes_of(NULL, 0));
    first = sim_cursor_row(&c);
    for (; (row = sim_cursor_row(&c)) != NULL && !found; sim_cursor_next(&c)) {
        if (block == 0) {
            before = previous;
            start = row;
        }
        block += row_size(row);
        end += row_size(row);
        previous = row;
        if (block >= SIM_TABLE_BLOCK) {
            found = at < end;
            block = 0;
        }
    }
    found = found || at < end; /* The last block is a short one. */
    m->whole = !found;
    m->before = found ? keep(before) : NULL;
    m->first = found ? keep(start) : keep(first);
    m->last = keep(previous); /* Without a find the walk went to the end. */
    sim_cursor_release(&c);
}

static bool flip_table(struct sim_db *db)
{
    struct sim_files *f = &db->files;
    struct rng *rng = &db->disk->rng;
    if (f->table_lost || f->tables.rows == 0 || f->damage_count == SIM_DAMAGE_MAX) {
        return false;
    }
    uint64_t data = f->tables.bytes + f->tables.rows * ROW_OVERHEAD;
    uint64_t index = (data / SIM_TABLE_BLOCK + 1) * INDEX_ENTRY_SIZE;
    /* Index and footer oftener than their size would have it. */
    uint64_t at =
        rng_chance(rng, 1, 10) ? data + rng_below(rng, index + FOOTER_SIZE) : rng_below(rng, data);
    uint64_t wait = rng_between(rng, 1, COMPACT_TABLES);
    bool padding = at >= data + index && rng_chance(rng, 1, 2);
    if (padding) {
        return true; /* The footer has room to spare. */
    }
    struct sim_damage *m = &f->damage[f->damage_count];
    memset(m, 0, sizeof *m);
    sim_tree_copy(&m->image, &f->tables);
    m->tables_left = (uint32_t) wait;
    damage_at(m, at);
    f->damage_count++;
    return true;
}

/* Whether the incomplete fragment at `start` of a file looks like something else than one after
 * the flip: then it is damage. */
static bool flip_shows_in_tail(const struct sim_wal *w, uint64_t start, uint64_t payload_left,
                               uint64_t at, uint8_t mask)
{
    uint64_t room = SIM_WAL_BLOCK - start % SIM_WAL_BLOCK - SIM_WAL_HEADER;
    uint64_t piece = u64_min(room, payload_left);
    uint64_t left = w->size - start;
    uint64_t in = at - start;
    if (left < SIM_WAL_HEADER || in < 4 || in >= SIM_WAL_HEADER) {
        return false; /* Not even a header; a checksum of what is missing; data. */
    }
    if (in == 6) {
        bool begins = payload_left == w->torn_payload;
        bool ends = piece == payload_left;
        uint8_t type = begins ? (ends ? 1 : 2) : (ends ? 4 : 3);
        return (uint8_t) (type ^ mask) > 4;
    }
    uint64_t size = piece ^ (uint64_t) mask << (in == 4 ? 0 : 8);
    return size <= left - SIM_WAL_HEADER || size > room;
}

/* Whether a flip of the byte `at` shows when the file is checked. */
static bool flip_shows(const struct sim_wal *w, uint64_t at, uint8_t mask)
{
    uint64_t offset = 0;
    for (uint32_t i = 0; i < w->count && offset <= at; i++) {
        uint64_t left = SIM_WAL_BLOCK - offset % SIM_WAL_BLOCK;
        if (left < SIM_WAL_HEADER && at < offset + left) {
            return false; /* Padding. */
        }
        offset = w->records[i]->end;
    }
    if (at < offset) {
        return true;
    }
    /* The incomplete record: its fragments but the last are complete and have their checksums. */
    for (uint64_t payload = w->torn_payload;;) {
        uint64_t left = SIM_WAL_BLOCK - offset % SIM_WAL_BLOCK;
        if (left < SIM_WAL_HEADER) {
            offset += left;
            if (at < offset) {
                return false;
            }
            left = SIM_WAL_BLOCK;
        }
        uint64_t piece = u64_min(left - SIM_WAL_HEADER, payload);
        if (offset + SIM_WAL_HEADER + piece > w->size) {
            return flip_shows_in_tail(w, offset, payload, at, mask);
        }
        offset += SIM_WAL_HEADER + piece;
        payload -= piece;
        if (at < offset) {
            return true;
        }
    }
}

void sim_wal_flip(struct sim_wal *w, uint64_t at, uint8_t mask)
{
    ASSERT(at < w->size);
    if (flip_shows(w, at, mask)) {
        w->damaged = true;
        w->damaged_at = at;
    }
}

static bool flip_wal(struct sim_wal *w, struct rng *rng)
{
    if (w->lost || w->size == 0) {
        return false;
    }
    uint64_t at = rng_below(rng, w->size);
    sim_wal_flip(w, at, (uint8_t) (1 << rng_below(rng, 8)));
    return true;
}

bool sim_db_flip(struct sim_db *db, enum sim_class class)
{
    struct sim_files *f = &db->files;
    bool done = false;
    switch (class) {
    case SIM_CLASS_CURRENT:
        done = !f->current_lost;
        f->current_damaged = f->current_damaged || done;
        break;
    case SIM_CLASS_MANIFEST:
        done = !f->manifest_lost;
        f->manifest_damaged = f->manifest_damaged || done;
        break;
    case SIM_CLASS_WAL_OLDER:
        done = flip_wal(&f->wals[0], &db->disk->rng);
        break;
    case SIM_CLASS_WAL_NEWER:
        done = f->wals_count == SIM_WALS_MAX && flip_wal(&f->wals[1], &db->disk->rng);
        break;
    case SIM_CLASS_TABLE:
        done = flip_table(db);
        break;
    case SIM_CLASSES:
        break;
    }
    db->disk->counts.flips += done ? 1 : 0;
    return done;
}

bool sim_db_lose(struct sim_db *db, enum sim_class class)
{
    struct sim_files *f = &db->files;
    bool *lost = NULL;
    switch (class) {
    case SIM_CLASS_CURRENT:
        lost = &f->current_lost;
        break;
    case SIM_CLASS_MANIFEST:
        lost = &f->manifest_lost;
        break;
    case SIM_CLASS_WAL_OLDER:
        lost = &f->wals[0].lost;
        break;
    case SIM_CLASS_WAL_NEWER:
        lost = f->wals_count == SIM_WALS_MAX ? &f->wals[1].lost : NULL;
        break;
    case SIM_CLASS_TABLE:
        lost = f->tables_count > 0 ? &f->table_lost : NULL;
        break;
    case SIM_CLASSES:
        break;
    }
    if (lost == NULL || *lost) {
        return false;
    }
    *lost = true;
    db->disk->counts.lost_files++;
    if (class == SIM_CLASS_WAL_NEWER) {
        /* No MANIFEST names it yet: the older one is taken for the newest, and nobody notices. */
        db->disk->counts.silent_losses += f->wals[1].count > 0 ? 1 : 0;
        sim_wal_cut(&f->wals[1], 0);
    }
    return true;
}

/*
 * disk_internal.h - the parts of the model disk: files of a database, damage to them, stores.
 *
 * disk.c has the disk and what happens to all of it, disk_files.c the files and their life,
 * disk_damage.c what flips and lost files do to who reads, disk_store.c kv/store.h over them. Only
 * these and the tests of the disk include it.
 */
#ifndef SYNOD_TESTS_SIM_DISK_INTERNAL_H
#define SYNOD_TESTS_SIM_DISK_INTERNAL_H

#include "base/list.h"
#include "base/rng.h"
#include "tests/sim/disk.h"
#include "tests/sim/disk_tree.h"

enum {
    SIM_SECTOR = 512,       /* what a disk writes whole or not at all */
    SIM_WAL_BLOCK = 32768,  /* LevelDB, doc/log_format.md */
    SIM_WAL_HEADER = 7,     /* crc u32, size u16, type u8 */
    SIM_WALS_MAX = 2,       /* LevelDB waits for the table of the older one before a third */
    SIM_DAMAGE_MAX = 16,    /* damaged blocks in tables; more flips are refused */
    SIM_TABLE_BLOCK = 4096, /* bytes of rows in a block of a table */
    SIM_WAIT_MAX = 64,      /* writes until a full memtable is a table, at most */
};

/* A batch in a write-ahead file. Immutable; images share it. */
struct sim_record {
    uint32_t refs;
    uint32_t count;
    uint64_t payload; /* bytes of the batch as LevelDB encodes it */
    uint64_t end;     /* offset in the file behind it */
    struct sim_row *rows[];
};

/* A write-ahead file. Bytes in [0, synced) survive a crash. */
struct sim_wal {
    uint64_t number;
    uint64_t size;
    uint64_t synced;
    uint64_t held;               /* what the writer believes to be synced, while syncs are held */
    uint64_t torn_payload;       /* of the incomplete record behind the last whole one, if any */
    struct sim_record **records; /* whole ones */
    uint32_t count;
    uint32_t capacity;
    bool lost;
    bool damaged;
    uint64_t damaged_at;
};

/* A damaged part of a table: keys behind `before` (NULL: from the start) up to `last`. */
struct sim_damage {
    struct sim_tree image;  /* the tables then: rows that are still the same are read from it */
    struct sim_row *before; /* last key of the block before; NULL: the first block */
    struct sim_row *first;
    struct sim_row *last;
    bool whole;           /* the table cannot even be opened: its index or footer */
    uint32_t tables_left; /* so many new tables until a compaction reads it */
};

/* All there is of a database on the disk. */
struct sim_files {
    struct sim_tree tables; /* what all tables together say */
    uint32_t tables_count;
    uint64_t next_number;
    uint64_t manifest_number;
    struct sim_wal wals[SIM_WALS_MAX]; /* older first; MANIFEST names wals[0] */
    uint32_t wals_count;
    bool current_lost;
    bool current_damaged;
    bool manifest_lost;
    bool manifest_damaged;
    bool table_lost;
    struct sim_damage damage[SIM_DAMAGE_MAX];
    uint32_t damage_count;
};

struct sim_db {
    struct list_node node;
    struct sim_disk *disk;
    char *path;
    enum sim_file file;
    bool exists;
    bool held;           /* made while syncs are held: its name may be lost */
    bool open;           /* by a live store */
    uint64_t generation; /* rises when open stores die */
    struct sim_files files;
    struct sim_tree rows; /* while open: what readers see */
    struct sim_tree full; /* with two write-ahead files: rows with all of the older one */
    uint32_t wait;        /* writes until `full` is a table */
};

struct sim_disk {
    struct sim_disk_options options;
    struct rng rng;
    struct list dbs;
    bool hold;
    bool lie;
    bool lied;                   /* since the last sync that was one */
    int fail[SIM_CALL_SYNC + 1]; /* by enum sim_disk_call: what the next one gives */
    uint32_t stores;             /* open, dead ones too */
    struct sim_disk_counts counts;
};

/* The kinds of files, for who wants to damage a certain one. */
enum sim_class {
    SIM_CLASS_CURRENT,
    SIM_CLASS_MANIFEST,
    SIM_CLASS_WAL_OLDER, /* of two; of one: that one */
    SIM_CLASS_WAL_NEWER, /* of two */
    SIM_CLASS_TABLE,
    SIM_CLASSES
};

/* ---- disk.c ---- */

/* After a sync that was one: what others left in the cache is durable as well. */
void sim_disk_flushed(struct sim_disk *d);

/* The outcome of one system call: OK, or what sim_disk_fail wants. */
MUST_USE int sim_disk_call(struct sim_disk *d, enum sim_disk_call call);
struct sim_db *sim_disk_db(struct sim_disk *d, enum sim_file file); /* NULL: none there */
struct sim_db *sim_disk_db_at(struct sim_disk *d, const char *path, bool make);

/* ---- disk_files.c ---- */

struct sim_record *sim_record_new(const struct store_batch *batch);
void sim_record_unref(struct sim_record *r);

/* The offset behind a record of `payload` bytes that is appended at `offset`. */
uint64_t sim_wal_end(uint64_t offset, uint64_t payload);
void sim_wal_append(struct sim_wal *w, struct sim_record *record); /* takes it over */
void sim_wal_append_part(struct sim_wal *w, uint64_t payload, uint64_t size);

/* The offset behind the last whole record. */
uint64_t sim_wal_whole(const struct sim_wal *w);

/* Whether it ends in an incomplete record. */
bool sim_wal_torn(const struct sim_wal *w);

/* Cuts the file; the number of whole records that went, also those cut in two. */
uint32_t sim_wal_cut(struct sim_wal *w, uint64_t size);

/* Of the bytes that are not synced, a number that a crash or a failed sync may leave: all, none, or
 * up to the border of a sector. */
uint64_t sim_wal_draw_cut(const struct sim_wal *w, struct rng *rng);

void sim_files_init(struct sim_files *f);
void sim_files_release(struct sim_files *f);

/* `to` is uninitialised. synced: as a crash would leave it that takes all it can. */
void sim_files_copy(struct sim_files *to, const struct sim_files *from, bool synced);

struct sim_wal *sim_files_wal(struct sim_files *f); /* the one that is written */
void sim_files_begin_wal(struct sim_files *f);

/* The older write-ahead file goes, as `tables` holds it all; true: a compaction met damage. */
bool sim_files_drop_wal(struct sim_files *f, const struct sim_tree *tables);

/* What opening does with sound files: all records go to a table, and a new write-ahead file is
 * begun. True: as above. */
bool sim_files_recover(struct sim_files *f);

void sim_files_crash(struct sim_files *f, struct sim_disk *d);
uint64_t sim_files_size(const struct sim_files *f);

/* ---- disk_damage.c ---- */

/* What kv/store_dir, kv/leveldb_check and LevelDB say when the files are opened. */
MUST_USE int sim_files_check(const struct sim_files *f, const char *path, struct buf *error);

bool sim_db_flip(struct sim_db *db, enum sim_class class); /* false: no byte of that kind */
bool sim_db_lose(struct sim_db *db, enum sim_class class); /* false: no such file */
void sim_wal_flip(struct sim_wal *w, uint64_t at, uint8_t mask);
void sim_damage_copy(struct sim_damage *to, const struct sim_damage *from);
void sim_damage_release(struct sim_damage *m);

/* Whether reading this key, for which the rows give `row` (NULL: none), reads damage. */
bool sim_files_bad_get(const struct sim_files *f, struct bytes key, const struct sim_row *row);

/* Whether an iterator that looks for the first key at `key` or behind it (behind: only
 * behind it) reads damage. */
bool sim_files_bad_seek(const struct sim_files *f, struct bytes key, bool behind);

#endif

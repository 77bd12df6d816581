/*
 * disk.h - the model disk: what design.md 6 says of LevelDB and the disk below it, with faults.
 *
 * One sim_disk is the disk of one node. Two databases live on it, told apart by the last part of
 * their paths: "log" is the log, any other is the state. Each is made of files as LevelDB makes
 * them: write-ahead files whose records are synced or not, tables, MANIFEST, CURRENT. sync makes
 * durable the current write-ahead file only; un-synced records in an earlier one may be lost while
 * later ones survive. A crash leaves of every file what was synced and a part, cut at 512 bytes, of
 * what was not.
 *
 * Damage shows as LevelDB with paranoid_checks, verify_checksums and our own check of files
 * (kv/leveldb_check) shows it: a damaged record, a damaged CURRENT or MANIFEST, or a missing file
 * is ERR_CORRUPT when opened; a damaged table block is ERR_CORRUPT when read, or when a compaction
 * reads it, and then to the writer. An incomplete record at the end of the newest write-ahead file
 * that has anything is dropped; in an older one it is ERR_CORRUPT. Only a disk that has nothing of
 * a database gives ERR_NOT_FOUND.
 *
 * Not modelled: sectors that survive out of order, zeros where data should be, an open that is
 * interrupted (it is one event), more than two write-ahead files.
 *
 * sim_store_ops and sim_logstore_ops are implementations of kv/store.h and kv/logstore.h over it
 * (options.device is the disk, never NULL); the latter is kv/logstore_rows.c, the code of the real
 * log. Deterministic: choices come from the seed given at the start. One thread.
 */
#ifndef SYNOD_TESTS_SIM_DISK_H
#define SYNOD_TESTS_SIM_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "kv/logstore.h"
#include "kv/store.h"
#include "tests/sim/scenario.h"

struct sim_disk;
struct sim_disk_image;

extern const struct store_ops sim_store_ops;
extern const struct logstore_ops sim_logstore_ops;

struct sim_disk_options {
    uint64_t seed;
    uint64_t buffer_bytes; /* a write-ahead file beyond this is followed by a new one and a table;
                              0: as the store is opened with */

    /* sim_disk_lose may take the newer of two write-ahead files, which no MANIFEST names yet: the
     * node opens with the newest writes gone and cannot notice, as after an old image. */
    bool lose_unnoticed;
};

struct sim_disk *sim_disk_new(const struct sim_disk_options *options);
void sim_disk_free(struct sim_disk *d); /* every store on it is closed; NULL is legal */

/*
 * From now until the next crash, what is written counts as written and not as synced, whatever the
 * writer asked for and is told: the pump performs so the writes that were under way at a power
 * loss. Of several synced ones to a database a prefix survives, as the later began after the
 * earlier was synced. A database that is made meanwhile is there afterwards or is not.
 */
void sim_disk_hold_syncs(struct sim_disk *d);

/*
 * While it lies, a sync succeeds and makes nothing durable, as a write-back cache does that is told
 * to flush and does not. The next sync after it makes all durable that was written before, on the
 * whole disk. Names of files, and tables, are durable all the same.
 */
void sim_disk_lie(struct sim_disk *d, bool lie);

/* Power loss. Open stores are dead: they give ERR_IO for everything; close them, before or after
 * new ones are opened. */
void sim_disk_crash(struct sim_disk *d);

/* The process died: written data stays, synced or not. Open stores are dead. */
void sim_disk_kill(struct sim_disk *d);

/*
 * A fault for the next call of that kind in any file of either database, whenever that is; err is
 * ERR_IO or ERR_NO_SPACE. EIO of a write leaves nothing, a part or all of the batch, ENOSPC a part;
 * EIO of a sync leaves the batch un-synced, or drops some of what is not synced. The store gives
 * the error and repeats it to all later writes; the process must stop. Opening and creating write
 * and sync too: they fail and change nothing.
 */
void sim_disk_fail(struct sim_disk *d, enum sim_disk_call call, int err);

/*
 * Damage to a disk no live store is open on. False: there was nothing to damage yet.
 * flip: a random byte of a random file of that database; a few places tell nobody (padding, the
 * incomplete end of a write-ahead file). lose: a random file is gone. wipe: everything is gone.
 */
bool sim_disk_flip(struct sim_disk *d, enum sim_file file);
bool sim_disk_lose(struct sim_disk *d, enum sim_file file);
void sim_disk_wipe(struct sim_disk *d);

/* The synced image, kept (stores may be open) and put back (none may be live). The caller frees
 * it, also after the disk. */
struct sim_disk_image *sim_disk_save(struct sim_disk *d);
void sim_disk_restore(struct sim_disk *d, const struct sim_disk_image *image);
void sim_disk_image_free(struct sim_disk_image *image);

/* What happened, to prove that it did. */
struct sim_disk_counts {
    uint64_t writes, syncs, files, tables;
    uint64_t lies;         /* syncs that were none */
    uint64_t lost_records; /* un-synced ones that a crash took */
    uint64_t lost_holes;   /* of these: with a later one of the same database surviving */
    uint64_t torn_records; /* cut inside a record */
    uint64_t failed_writes, failed_syncs;
    uint64_t no_space_writes; /* of failed_writes: ENOSPC */
    uint64_t partial_appends; /* of failed_writes: left a part of a batch; EIO may, ENOSPC does */
    uint64_t flips, lost_files, wipes, restores;
    uint64_t silent_losses; /* of lost files: whose records no check misses */
    uint64_t refused_opens; /* for damage */
    uint64_t corrupt_reads; /* for damage, also of a compaction */
};
void sim_disk_counts(const struct sim_disk *d, struct sim_disk_counts *ret_counts);

#endif

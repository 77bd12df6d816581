/*
 * leveldb_check.c - what LevelDB's own recovery lets pass, looked at before it runs.
 *
 * Format of both kinds of file (LevelDB, doc/log_format.md): blocks of 32 KiB, each a row of
 *
 *     crc u32 (masked crc32c of type and data) | size u16 | type u8 | data
 *
 * with type FULL, or FIRST MIDDLE* LAST for a record that spans blocks; fewer than 7 bytes at the
 * end of a block are padding. The records of a MANIFEST are version edits, of which we need the
 * number of the oldest live write-ahead file.
 */

#include "kv/leveldb_check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/enc.h"
#include "base/mem.h"
#include "kv/store_impl.h"

enum {
    BLOCK_SIZE = 32768,
    HEADER_SIZE = 4 + 2 + 1,
    EDIT_SIZE_MAX = 64 << 20, /* a version edit is far smaller; a larger one is damage */
    FILES_MAX = 4096,         /* write-ahead files in a directory; there are one or two */
    PATH_SIZE = 4096,
};

enum record_type {
    RECORD_ZERO = 0,
    RECORD_FULL = 1,
    RECORD_FIRST = 2,
    RECORD_MIDDLE = 3,
    RECORD_LAST = 4,
};

/* Tags of a version edit. */
enum edit_tag {
    EDIT_COMPARATOR = 1,
    EDIT_LOG_NUMBER = 2,
    EDIT_NEXT_FILE = 3,
    EDIT_LAST_SEQUENCE = 4,
    EDIT_COMPACT_POINTER = 5,
    EDIT_DELETED_FILE = 6,
    EDIT_NEW_FILE = 7,
    EDIT_PREV_LOG_NUMBER = 9,
};

/* What the MANIFEST says about write-ahead files. */
struct live_logs {
    bool known; /* the edits could be read */
    uint64_t log_number;
    uint64_t prev_log_number;
};

/* A walk through one file. */
struct walk {
    const char *file;
    struct buf *error;
    uint64_t offset; /* of the block in the file */
    uint8_t block[BLOCK_SIZE];
    size_t size;            /* bytes in the block; fewer than BLOCK_SIZE in the last one only */
    bool zeros;             /* only zeros may follow */
    bool torn;              /* ends in an incomplete record, or in zeros */
    bool in_record;         /* between FIRST and LAST */
    uint64_t records;       /* complete ones */
    struct buf record;      /* fragments so far, when edits are wanted */
    struct live_logs *logs; /* NULL: records are not looked into */
};

static int walk_corrupt(struct walk *w, size_t at, const char *what)
{
    store_error_line(w->error,
                     "%s is damaged at offset %" PRIu64 ": %s; acknowledged writes may be lost: "
                     "remove this member and add it anew, or restore the directory from a copy",
                     w->file, w->offset + at, what);
    return ERR_CORRUPT;
}

static bool all_zero(const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

/* LevelDB stores crc32c rotated and offset, because it checksums data that holds checksums. */
static uint32_t crc_unmask(uint32_t masked)
{
    uint32_t rotated = masked - 0xa282ead8u;
    return (rotated >> 17) | (rotated << 15);
}

/* Whether the record at `header` is complete within `left` bytes of data if only its size field is
 * not believed. A record that a crash cut short is not, as its checksum covers what is missing. */
static bool complete_but_for_size(const uint8_t *header, size_t left)
{
    uint32_t want = crc_unmask(enc_get_u32(header));
    uint32_t crc = crc32c(0, header + 6, 1);
    for (size_t size = 0; size < left; size++) {
        if (crc == want) {
            return true;
        }
        crc = crc32c(crc, header + HEADER_SIZE + size, 1);
    }
    return crc == want;
}

/* Whether a writer may have begun a record at `at` in a block with this header: none is larger than
 * the block, and what a crash kept from being written is zero. */
static bool may_be_begun(const uint8_t *header, size_t at)
{
    return enc_get_u16(header + 4) <= BLOCK_SIZE - HEADER_SIZE - at && header[6] <= RECORD_LAST;
}

/* Reads one version edit. What is not understood is left to LevelDB to judge. */
static void read_edit(struct bytes edit, struct live_logs *logs)
{
    struct reader r;
    reader_init(&r, edit);
    while (reader_left(&r) > 0 && !r.failed) {
        uint64_t tag = reader_varint(&r);
        switch (tag) {
        case EDIT_LOG_NUMBER:
            logs->log_number = reader_varint(&r);
            break;
        case EDIT_PREV_LOG_NUMBER:
            logs->prev_log_number = reader_varint(&r);
            break;
        case EDIT_NEXT_FILE:
        case EDIT_LAST_SEQUENCE:
            (void) reader_varint(&r);
            break;
        case EDIT_COMPARATOR:
            (void) reader_bytes(&r, reader_varint(&r));
            break;
        case EDIT_COMPACT_POINTER:
            (void) reader_varint(&r);
            (void) reader_bytes(&r, reader_varint(&r));
            break;
        case EDIT_DELETED_FILE:
            (void) reader_varint(&r);
            (void) reader_varint(&r);
            break;
        case EDIT_NEW_FILE:
            (void) reader_varint(&r);
            (void) reader_varint(&r);
            (void) reader_varint(&r);
            (void) reader_bytes(&r, reader_varint(&r));
            (void) reader_bytes(&r, reader_varint(&r));
            break;
        default:
            r.failed = true;
            break;
        }
    }
    logs->known = logs->known && !r.failed;
}

/* A record with a good checksum: keeps the order of fragments, collects edits. */
static int walk_record(struct walk *w, size_t at, uint8_t type, struct bytes data)
{
    bool begins = type == RECORD_FULL || type == RECORD_FIRST;
    bool ends = type == RECORD_FULL || type == RECORD_LAST;
    if (type > RECORD_LAST || type == RECORD_ZERO) {
        return walk_corrupt(w, at, "a record has an unknown type");
    }
    if (begins == w->in_record) {
        return walk_corrupt(w, at, begins ? "a record has no end" : "a record has no beginning");
    }
    w->in_record = !ends;
    w->records += ends ? 1 : 0;
    if (w->logs == NULL) {
        return OK;
    }
    if (buf_append_bytes(&w->record, data) != OK) {
        return walk_corrupt(w, at, "a version edit is too large");
    }
    if (ends) {
        read_edit(buf_bytes(&w->record), w->logs);
        buf_clear(&w->record);
    }
    return OK;
}

/* The records of the current block. */
static int walk_block(struct walk *w)
{
    const bool last = w->size < BLOCK_SIZE;
    size_t at = 0;
    if (w->zeros) {
        return all_zero(w->block, w->size) ? OK : walk_corrupt(w, 0, "data follows a zeroed part");
    }
    while (w->size - at >= HEADER_SIZE) {
        const uint8_t *p = w->block + at;
        size_t left = w->size - at - HEADER_SIZE;
        size_t size = enc_get_u16(p + 4);
        uint8_t type = p[6];
        if (type == RECORD_ZERO && size == 0) {
            w->zeros = true;
            w->torn = true;
            return all_zero(p, w->size - at) ? OK : walk_corrupt(w, at, "a record was zeroed");
        }
        if (size > left) {
            if (!last || !may_be_begun(p, at) || complete_but_for_size(p, left)) {
                return walk_corrupt(w, at, "the size of a record is wrong");
            }
            w->torn = true;
            return OK;
        }
        if (crc32c(0, p + 6, 1 + size) != crc_unmask(enc_get_u32(p))) {
            return walk_corrupt(w, at, "the checksum of a record differs");
        }
        int rc = walk_record(w, at, type, bytes_of(p + HEADER_SIZE, size));
        if (rc != OK) {
            return rc;
        }
        at += HEADER_SIZE + size;
    }
    if (last && at < w->size) {
        w->torn = true; /* Not even a header. */
    }
    return OK;
}

/* Fills the block from the file; size 0 at its end. */
static int walk_read(struct walk *w, int fd)
{
    w->size = 0;
    while (w->size < BLOCK_SIZE) {
        ssize_t n = read(fd, w->block + w->size, BLOCK_SIZE - w->size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            store_error_line(w->error, "cannot read %s: %s; check the disk and the kernel log",
                             w->file, strerror(errno));
            return ERR_IO;
        }
        if (n == 0) {
            break;
        }
        w->size += (size_t) n;
    }
    return OK;
}

/* Walks a file to its end. ret_torn: it ends in something incomplete. */
static int walk_file(const char *file, struct live_logs *logs, struct buf *error, bool *ret_torn,
                     uint64_t *ret_records)
{
    struct walk *w = xcalloc(1, sizeof *w);
    w->file = file;
    w->error = error;
    w->logs = logs;
    buf_init(&w->record, EDIT_SIZE_MAX);
    int rc = OK;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        store_error_line(error,
                         "cannot read %s: %s; restore the directory from a copy, or remove this "
                         "member and add it anew",
                         file, strerror(errno));
        rc = errno == ENOENT ? ERR_CORRUPT : ERR_IO;
        goto out;
    }
    for (;;) {
        rc = walk_read(w, fd);
        if (rc != OK || w->size == 0) {
            break;
        }
        rc = walk_block(w);
        if (rc != OK || w->size < BLOCK_SIZE) {
            break;
        }
        w->offset += BLOCK_SIZE;
    }
    if (rc == OK) {
        *ret_torn = w->torn || w->in_record;
        *ret_records = w->records;
    }
out:
    if (fd >= 0) {
        close(fd);
    }
    buf_release(&w->record);
    free(w);
    return rc;
}

/* The path of a file in the directory; the directory's own path is known to fit. */
static void file_path(char ret_file[PATH_SIZE], const char *path, const char *name)
{
    int length = snprintf(ret_file, PATH_SIZE, "%s/%s", path, name);
    ASSERT(length >= 0);
}

/* The name in CURRENT, which is "MANIFEST-" and digits and a newline. */
static int read_current(const char *path, char ret_name[64], struct buf *error)
{
    char file[PATH_SIZE];
    file_path(file, path, "CURRENT");
    char text[64] = "";
    size_t size = 0;
    FILE *f = fopen(file, "re");
    if (f != NULL) {
        size = fread(text, 1, sizeof text - 1, f);
        fclose(f);
    }
    size_t prefix = strlen("MANIFEST-");
    size_t digits = size > prefix ? strspn(text + prefix, "0123456789") : 0;
    if (digits == 0 || strncmp(text, "MANIFEST-", prefix) != 0 || prefix + digits + 1 != size ||
        text[size - 1] != '\n') {
        store_error_line(error,
                         "%s is damaged: it does not name a MANIFEST; restore the directory from a "
                         "copy, or remove this member and add it anew",
                         file);
        return ERR_CORRUPT;
    }
    memcpy(ret_name, text, size - 1);
    ret_name[size - 1] = '\0';
    return OK;
}

/* "000123.log" gives 123; false for other names. */
static bool log_file_number(const char *name, uint64_t *ret_number)
{
    size_t digits = strspn(name, "0123456789");
    if (digits == 0 || digits > 19 || strcmp(name + digits, ".log") != 0) {
        return false;
    }
    *ret_number = strtoull(name, NULL, 10);
    return true;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a;
    uint64_t y = *(const uint64_t *) b;
    return x < y ? -1 : x > y;
}

/* The numbers of the live write-ahead files in the directory, ascending. */
static int list_logs(const char *path, const struct live_logs *logs, uint64_t *ret_numbers,
                     size_t *ret_count, struct buf *error)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        store_error_line(error, "cannot list %s: %s; check its permissions", path, strerror(errno));
        return ERR_IO;
    }
    size_t count = 0;
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir)) != NULL && count < FILES_MAX) {
        uint64_t number = 0;
        if (log_file_number(entry->d_name, &number) &&
            (number >= logs->log_number || number == logs->prev_log_number)) {
            ret_numbers[count] = number;
            count++;
        }
    }
    closedir(dir);
    qsort(ret_numbers, count, sizeof ret_numbers[0], compare_numbers);
    *ret_count = count;
    return OK;
}

/* Walks the write-ahead files from the newest to the oldest: only the newest one that holds
 * anything may end in something incomplete, as the older were complete before it was begun. */
static int check_logs(const char *path, const struct live_logs *logs, const uint64_t *numbers,
                      size_t count, struct buf *error)
{
    if (logs->log_number > 0 && (count == 0 || numbers[0] > logs->log_number)) {
        store_error_line(error,
                         "%s is damaged: write-ahead file %06" PRIu64 ".log is missing; "
                         "acknowledged writes are lost: remove this member and add it anew, or "
                         "restore the directory from a copy",
                         path, logs->log_number);
        return ERR_CORRUPT;
    }
    bool newer_written = false;
    for (size_t i = count; i > 0; i--) {
        char name[64];
        char file[PATH_SIZE];
        bool torn = false;
        uint64_t records = 0;
        (void) snprintf(name, sizeof name, "%06" PRIu64 ".log", numbers[i - 1]);
        file_path(file, path, name);
        int rc = walk_file(file, NULL, error, &torn, &records);
        if (rc != OK) {
            return rc;
        }
        if (torn && newer_written) {
            store_error_line(error,
                             "%s is damaged: it ends in an incomplete record though writing went "
                             "on in a newer file; remove this member and add it anew, or restore "
                             "the directory from a copy",
                             file);
            return ERR_CORRUPT;
        }
        newer_written = newer_written || records > 0;
    }
    return OK;
}

int leveldb_check(const char *path, struct buf *error)
{
    char manifest[64];
    char file[PATH_SIZE];
    struct live_logs logs = {.known = true};
    bool torn = false;
    uint64_t records = 0;
    uint64_t *numbers = xcalloc(FILES_MAX, sizeof numbers[0]);
    size_t count = 0;
    int rc = ERR_IO;
    if (strlen(path) + sizeof manifest >= PATH_SIZE) {
        store_error_line(error, "the path %.64s... is too long", path);
        goto out;
    }
    rc = read_current(path, manifest, error);
    if (rc != OK) {
        goto out;
    }
    file_path(file, path, manifest);
    rc = walk_file(file, &logs, error, &torn, &records);
    if (rc != OK || !logs.known) {
        goto out;
    }
    rc = list_logs(path, &logs, numbers, &count, error);
    if (rc != OK) {
        goto out;
    }
    rc = check_logs(path, &logs, numbers, count, error);
out:
    free(numbers);
    return rc;
}

/*
 * file_image.h - what a crash may leave of the files that a journal recorded.
 *
 * A kill of the process leaves everything that was written. A power loss leaves what was synced and
 * any part of the rest, within what file systems keep to:
 *
 *  - data of a file that was synced is there; of the data behind that, all, nothing or a beginning.
 *    What a failed sync was to make durable stays in doubt for ever, whatever is synced later.
 *  - changes of names (create, rename, unlink) and the lengths of files become durable in their
 *    order, so a crash takes the last ones of them. FILE_NAMES_JOURNALED, as ext4 and XFS: a sync
 *    that has anything to do commits all that came before. FILE_NAMES_STRICT, as btrfs: a sync of
 *    a file goes ahead of what else waits, with its data and its own name alone; that of a
 * directory takes its names with it.
 */
#ifndef SYNOD_TESTS_SIM_FILE_IMAGE_H
#define SYNOD_TESTS_SIM_FILE_IMAGE_H

#include "tests/sim/file_journal.h"

enum file_names { FILE_NAMES_JOURNALED, FILE_NAMES_STRICT };

/* What one crash takes. */
struct file_loss {
    uint8_t rule;         /* enum file_names */
    bool data_kept;       /* un-synced data of all files is there; else none of it */
    bool torn;            /* one file has a part of its un-synced data instead: */
    uint32_t names_taken; /* the last so many of the changes of names that a crash may take */
    uint32_t torn_node;
    uint64_t torn_size; /* torn: the data up to here is there */
};

enum { FILE_LOSS_TEXT_MAX = 160 };

/* The loss in words. */
void file_loss_text(const struct file_loss *loss, char ret_text[FILE_LOSS_TEXT_MAX]);

/* The files at one moment, with what is durable of them. */
struct file_state;

/* The moment after the first `point` events of a stopped journal, which is borrowed. */
struct file_state *file_state_new(const struct file_journal *j, uint32_t point);
void file_state_free(struct file_state *s); /* NULL is legal */

/*
 * All losses that a crash at this moment may be, the first one being none; the caller frees.
 * blocks_max: a file that was being written is cut at so many of the boundaries of 512 bytes in
 * what is un-synced, spread evenly, and at a few places within; 0: at all.
 */
struct file_loss *file_state_losses(const struct file_state *s, uint32_t blocks_max,
                                    uint32_t *ret_count);

/* A name in an image, with its path below the root. */
struct file_image_name {
    char *path;
    bool is_dir;
    uint8_t *data;
    size_t size;
};

/* The files after a crash; directories come before what is in them. */
struct file_image {
    struct file_image_name *names;
    uint32_t count;
    uint32_t capacity;
};

void file_image_build(const struct file_state *s, const struct file_loss *loss,
                      struct file_image *ret_image);
void file_image_release(struct file_image *image);

/* The same for the same files, in whatever order they were made. */
uint64_t file_image_hash(const struct file_image *image);

/* Makes the files below `root`, a new directory. */
void file_image_make(const struct file_image *image, const char *root);

#endif

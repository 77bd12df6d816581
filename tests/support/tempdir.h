#ifndef SYNOD_TESTS_SUPPORT_TEMPDIR_H
#define SYNOD_TESTS_SUPPORT_TEMPDIR_H

/*
 * tempdir.h - directories for tests, below ${TMPDIR:-/tmp}, and a few things done to files.
 *
 * Everything aborts on failure: a test that cannot prepare its files has nothing to say.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { TEMPDIR_PATH_MAX = 512 };

/* Makes a new empty directory and writes its path. */
void tempdir_make(char ret_path[TEMPDIR_PATH_MAX]);

/* Removes a directory with all that is in it; one that is not there is all right. */
void tempdir_remove(const char *path);

/* Copies the regular files of one directory into another, which is made if needed. */
void tempdir_copy(const char *from, const char *to);

/* The path of the `nth` file (by name, from 0) in `dir` whose name ends in `suffix` or begins with
 * `prefix` (NULL: not asked); false when there are not that many. */
int tempdir_find(const char *dir, const char *prefix, const char *suffix, unsigned nth,
                 char ret_path[TEMPDIR_PATH_MAX]);

/* The size of a file. */
size_t file_size(const char *path);

/* Flips the bits of `mask` in the byte at `offset`. */
void file_flip(const char *path, size_t offset, uint8_t mask);

/* Overwrites bytes with zeros. */
void file_zero(const char *path, size_t offset, size_t size);

/* Cuts a file to `size` bytes. */
void file_cut(const char *path, size_t size);

/* Writes a file with this text. */
void file_write(const char *path, const char *text);

#endif

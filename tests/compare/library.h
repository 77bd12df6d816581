/*
 * library.h - fault scripts by name: those that come with the project, and files of the user.
 */
#ifndef SYNOD_TESTS_COMPARE_LIBRARY_H
#define SYNOD_TESTS_COMPARE_LIBRARY_H

#include "base/buf.h"
#include "tests/compare/compare.h"

/* tests/fault of the checkout: below the current directory, or beside the program's build tree.
 * NULL: there is none. Owned by the caller. */
char *library_folder(const char *program);

/*
 * Loads scripts: each word is a file, or the name of one of the library; no words: all of the
 * library, by name. Release with library_release, also after an error.
 * Errors: ERR_NOT_FOUND, ERR_INVALID (does not parse, twice the same), ERR_IO, ERR_LIMIT, with a
 * line that names the file and what there is.
 */
MUST_USE int library_load(const char *program, char *const *words, uint32_t count,
                          struct compare_script **ret_scripts, uint32_t *ret_count,
                          struct buf *error);
void library_release(struct compare_script *scripts, uint32_t count);

#endif

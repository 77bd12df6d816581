#ifndef SYNOD_TESTS_SUPPORT_GUARD_H
#define SYNOD_TESTS_SUPPORT_GUARD_H

/*
 * guard.h - bytes that end right before a page that cannot be read, so that a parser that looks one
 * byte too far crashes, in every build.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct guard {
    uint8_t *map; /* the mapping; the last page has no access */
    size_t map_size;
    size_t capacity; /* bytes in front of the guard page */
};

/* Makes `g` able to hold `capacity` bytes at least; guard_release frees it. Aborts on failure. */
void guard_init(struct guard *g, size_t capacity);

/* Copies `src` to the end of the readable part and returns that copy, valid until the next
 * guard_place. What is in front of it is filled with 0xa5. */
struct bytes guard_place(struct guard *g, struct bytes src);

/* Unmaps the memory. */
void guard_release(struct guard *g);

#endif

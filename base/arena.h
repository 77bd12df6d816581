#ifndef SYNOD_BASE_ARENA_H
#define SYNOD_BASE_ARENA_H

/*
 * arena.h - a bump allocator whose memory is given back all at once.
 *
 * For what lives as long as one request. Memory comes in chunks; a reset keeps the first chunk, so
 * that a steady stream of small requests calls malloc never.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *first;   /* kept by arena_reset; NULL before the first allocation */
    struct arena_chunk *current; /* the newest chunk, which small allocations come from */
    size_t chunk_size;
    size_t size_max;
    size_t used; /* bytes handed out since the last reset, rounded up to the alignment */
};

/* What an arena hands out is aligned to this. */
#define ARENA_ALIGN ((size_t) 16)

/*
 * Makes `a` an empty arena with chunks of `chunk_size` bytes (an allocation that does not fit gets
 * a chunk of its own). arena_try_alloc hands out at most `size_max` bytes between two resets.
 * Allocates nothing.
 */
void arena_init(struct arena *a, size_t chunk_size, size_t size_max);

/* `size` uninitialised bytes aligned to ARENA_ALIGN, valid until the next reset or release. Never
 * NULL, also for size 0. For sizes the program bounds: counts towards the limit, is not held by
 * it. */
void *arena_alloc(struct arena *a, size_t size);

/* As arena_alloc, but NULL when the limit would be exceeded. For sizes that come from input. */
void *arena_try_alloc(struct arena *a, size_t size);

/* A copy of `src` in the arena, under the rules of arena_alloc. */
struct bytes arena_copy(struct arena *a, struct bytes src);

/* A copy of the C string `s` in the arena, under the rules of arena_alloc. */
char *arena_strdup(struct arena *a, const char *s);

/* Invalidates everything handed out; keeps the first chunk for the next use. */
void arena_reset(struct arena *a);

/* Frees all memory; `a` is then an empty arena with the same limits. */
void arena_release(struct arena *a);

#endif

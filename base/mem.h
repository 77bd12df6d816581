#ifndef SYNOD_BASE_MEM_H
#define SYNOD_BASE_MEM_H

/*
 * mem.h - allocation that does not fail, and a few macros every file needs.
 *
 * These abort when memory is exhausted. A size that comes from the network or the disk is checked
 * against a limit before it gets here.
 */

#include <stddef.h>
#include <stdint.h>

/* The object of `type` whose `member` is at `ptr`. */
#define container_of(ptr, type, member)                                                            \
    ((type *) (void *) (&((char *) (ptr))[-(ptrdiff_t) offsetof(type, member)]))

/* The number of elements of an array (not of a pointer). */
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Allocates `size` uninitialised bytes; never NULL, even for size 0. The caller frees with free. */
void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));

/* Allocates `count` zeroed elements of `size` bytes; never NULL, aborts when the product overflows.
 * The caller frees with free. */
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));

/* Resizes `ptr` (NULL legal) to `size` bytes, taking it over; never NULL, even for size 0. */
void *xrealloc(void *ptr, size_t size) __attribute__((returns_nonnull));

/* A copy of the `size` bytes at `ptr` (NULL legal when size is 0); the caller frees it. */
void *xmemdup(const void *ptr, size_t size) __attribute__((malloc, returns_nonnull));

/* A copy of the C string `s`; the caller frees it. */
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));

/* The smaller of `a` and `b`. */
static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The larger of `a` and `b`. */
static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif

/*
 * arena.c - the bump allocator.
 *
 * Chunks form a list from the first to the newest. Small allocations come from `current`; one that
 * is larger than a chunk gets its own, linked in after `current`, whose rest stays in use.
 */

#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* bytes in `data` */
    size_t used; /* bytes of `data` handed out */
    size_t pad;  /* keeps `data` at ARENA_ALIGN; always 0 */
    uint8_t data[];
};

STATIC_ASSERT(offsetof(struct arena_chunk, data) % 16 == 0, "chunks hand out ARENA_ALIGN bytes");

static struct arena_chunk *arena_chunk_new(size_t size)
{
    ASSERT(size <= SIZE_MAX - sizeof(struct arena_chunk));
    struct arena_chunk *c = xmalloc(sizeof(struct arena_chunk) + size);
    c->next = NULL;
    c->size = size;
    c->used = 0;
    c->pad = 0;
    return c;
}

void arena_init(struct arena *a, size_t chunk_size, size_t size_max)
{
    ASSERT(chunk_size > 0);
    ASSERT(chunk_size <= SIZE_MAX - ARENA_ALIGN);
    a->first = NULL;
    a->current = NULL;
    a->chunk_size = (chunk_size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
    a->size_max = size_max;
    a->used = 0;
}

/* The chunk that has room for `size` more bytes, made when there is none. */
static struct arena_chunk *arena_chunk_for(struct arena *a, size_t size)
{
    if (a->current != NULL && size <= a->current->size - a->current->used) {
        return a->current;
    }
    if (a->first == NULL) {
        /* Always of the usual size, since it is the one that a reset keeps. */
        a->first = arena_chunk_new(a->chunk_size);
        a->current = a->first;
        if (size <= a->chunk_size) {
            return a->first;
        }
    }
    struct arena_chunk *c = arena_chunk_new(size > a->chunk_size ? size : a->chunk_size);
    c->next = a->current->next;
    a->current->next = c;
    if (size <= a->chunk_size) {
        a->current = c;
    }
    return c;
}

/* What an allocation of `size` bytes takes: whole units of ARENA_ALIGN, at least one. */
static size_t arena_rounded(size_t size)
{
    return size == 0 ? ARENA_ALIGN : (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
}

void *arena_alloc(struct arena *a, size_t size)
{
    ASSERT(size <= SIZE_MAX - ARENA_ALIGN);
    size_t rounded = arena_rounded(size);
    struct arena_chunk *c = arena_chunk_for(a, rounded);
    void *p = c->data + c->used;
    c->used += rounded;
    a->used += rounded;
    ASSERT(c->used <= c->size);
    return p;
}

void *arena_try_alloc(struct arena *a, size_t size)
{
    size_t left = a->used >= a->size_max ? 0 : a->size_max - a->used;
    if (size > SIZE_MAX - ARENA_ALIGN || arena_rounded(size) > left) {
        return NULL;
    }
    return arena_alloc(a, size);
}

struct bytes arena_copy(struct arena *a, struct bytes src)
{
    void *p = arena_alloc(a, src.size);
    if (src.size > 0) {
        memcpy(p, src.data, src.size);
    }
    return bytes_of(p, src.size);
}

char *arena_strdup(struct arena *a, const char *s)
{
    size_t size = strlen(s) + 1;
    char *p = arena_alloc(a, size);
    memcpy(p, s, size);
    return p;
}

/* Frees `c` and the chunks after it. */
static void arena_free_chunks(struct arena_chunk *c)
{
    while (c != NULL) {
        struct arena_chunk *next = c->next;
        free(c);
        c = next;
    }
}

void arena_reset(struct arena *a)
{
    if (a->first != NULL) {
        arena_free_chunks(a->first->next);
        a->first->next = NULL;
        a->first->used = 0;
    }
    a->current = a->first;
    a->used = 0;
}

void arena_release(struct arena *a)
{
    arena_free_chunks(a->first);
    a->first = NULL;
    a->current = NULL;
    a->used = 0;
}

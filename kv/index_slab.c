/*
 * index_slab.c - memory for the many small objects of the index.
 */

#include "kv/index_slab.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct slab_chunk {
    struct slab_chunk *next;
    uint8_t data[];
};

STATIC_ASSERT(sizeof(void *) <= SLAB_UNIT, "a free object holds the link to the next one");

void slab_init(struct slab *s)
{
    memset(s, 0, sizeof *s);
}

void slab_release(struct slab *s)
{
    while (s->chunks != NULL) {
        struct slab_chunk *next = s->chunks->next;
        free(s->chunks);
        s->chunks = next;
    }
    slab_init(s);
}

/* Begins a new chunk. What is left of the old one becomes a free object of its size. */
static void slab_grow(struct slab *s)
{
    if (s->left > 0) {
        memcpy(s->next, &s->free[s->left / SLAB_UNIT], sizeof(void *));
        s->free[s->left / SLAB_UNIT] = s->next;
    }
    struct slab_chunk *c = xmalloc(SLAB_CHUNK_SIZE);
    c->next = s->chunks;
    s->chunks = c;
    s->next = c->data;
    s->left = (SLAB_CHUNK_SIZE - sizeof *c) / SLAB_UNIT * SLAB_UNIT;
    s->bytes += SLAB_CHUNK_SIZE;
}

void *slab_alloc(struct slab *s, size_t size)
{
    if (size > SLAB_SIZE_MAX) {
        s->bytes += size;
        return xmalloc(size);
    }
    size_t units = (size + SLAB_UNIT - 1) / SLAB_UNIT;
    void *p = s->free[units];
    if (p != NULL) {
        memcpy(&s->free[units], p, sizeof(void *));
        return p;
    }
    if (s->left < units * SLAB_UNIT) {
        slab_grow(s);
    }
    p = s->next;
    s->next += units * SLAB_UNIT;
    s->left -= units * SLAB_UNIT;
    return p;
}

void slab_free(struct slab *s, void *ptr, size_t size)
{
    if (size > SLAB_SIZE_MAX) {
        ASSERT(s->bytes >= size);
        s->bytes -= size;
        free(ptr);
        return;
    }
    size_t units = (size + SLAB_UNIT - 1) / SLAB_UNIT;
    memcpy(ptr, &s->free[units], sizeof(void *));
    s->free[units] = ptr;
}

/*
 * index_slab.h - memory for the many small objects of the index: size classes of 8 bytes, carved
 * from chunks, with a free list each. Saves malloc's header and rounding, about 15 bytes an object.
 *
 * Chunks are given back only by slab_release.
 */
#ifndef SYNOD_KV_INDEX_SLAB_H
#define SYNOD_KV_INDEX_SLAB_H

#include <stddef.h>
#include <stdint.h>

enum {
    SLAB_UNIT = 8,
    SLAB_SIZE_MAX = 256, /* larger objects come from malloc */
    SLAB_CHUNK_SIZE = 65536,
};

struct slab_chunk;

struct slab {
    void *free[SLAB_SIZE_MAX / SLAB_UNIT + 1]; /* by size in units */
    struct slab_chunk *chunks;
    uint8_t *next;
    size_t left;  /* bytes at `next` */
    size_t bytes; /* allocated from malloc */
};

void slab_init(struct slab *s);

/* Frees the chunks; objects above SLAB_SIZE_MAX are the caller's. */
void slab_release(struct slab *s);

/* `size` uninitialised bytes aligned to 8. Never NULL. */
void *slab_alloc(struct slab *s, size_t size);

/* Gives back what slab_alloc gave for the same `size`. */
void slab_free(struct slab *s, void *ptr, size_t size);

#endif

/*
 * blob.c - immutable bytes with a reference count.
 */

#include "base/blob.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

STATIC_ASSERT(offsetof(struct blob, data) == 16, "payload bytes start 16-aligned");

struct blob *blob_new(size_t size)
{
    ASSERT(size <= SIZE_MAX - sizeof(struct blob));
    struct blob *b = xmalloc(sizeof(struct blob) + size);
    b->refs = 1;
    b->pad = 0;
    b->size = size;
    return b;
}

struct blob *blob_copy(struct bytes src)
{
    struct blob *b = blob_new(src.size);
    if (src.size > 0) {
        memcpy(b->data, src.data, src.size);
    }
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    if (b != NULL) {
        ASSERT(b->refs > 0);
        ASSERT(b->refs < UINT32_MAX);
        b->refs++;
    }
    return b;
}

void blob_unref(struct blob *b)
{
    if (b == NULL) {
        return;
    }
    ASSERT(b->refs > 0);
    b->refs--;
    if (b->refs == 0) {
        free(b);
    }
}

struct bytes blob_bytes(const struct blob *b)
{
    return b == NULL ? bytes_of(NULL, 0) : bytes_of(b->data, b->size);
}

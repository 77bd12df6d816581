#ifndef SYNOD_BASE_BLOB_H
#define SYNOD_BASE_BLOB_H

/*
 * blob.h - immutable bytes with a reference count.
 *
 * A payload is written once, into a blob nobody else has seen yet, and never again. The count is
 * not atomic: only the loop thread that owns the blob takes and drops references; other threads
 * borrow the bytes while the loop holds a reference for them.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct blob {
    uint32_t refs;
    uint32_t pad; /* keeps `data` at 16 bytes; always 0 */
    size_t size;
    uint8_t data[];
};

/* A blob of `size` uninitialised bytes with one reference, which the caller owns. The caller may
 * write `data` until it shares the blob. `size` was checked against a limit. */
struct blob *blob_new(size_t size);

/* A blob with a copy of `src` and one reference, which the caller owns. */
struct blob *blob_copy(struct bytes src);

/* Takes one more reference to `b` (NULL legal) and returns `b`. Loop thread. */
struct blob *blob_ref(struct blob *b);

/* Drops one reference to `b` (NULL legal); the last one frees it. Loop thread. */
void blob_unref(struct blob *b);

/* The bytes of `b` (NULL gives the empty slice), borrowed for as long as a reference is held. */
struct bytes blob_bytes(const struct blob *b);

#endif

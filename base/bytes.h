#ifndef SYNOD_BASE_BYTES_H
#define SYNOD_BASE_BYTES_H

/*
 * bytes.h - a borrowed slice of bytes.
 *
 * A struct bytes owns nothing; it is passed by value. `data` may be NULL only if `size` is 0.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data; /* borrowed */
    size_t size;
};

/* The slice of `size` bytes at `ptr`, which it borrows. */
static inline struct bytes bytes_of(const void *ptr, size_t size)
{
    struct bytes b = {(const uint8_t *) ptr, size};
    return b;
}

/* The characters of the C string `s` without its terminator; NULL gives the empty slice. */
static inline struct bytes bytes_str(const char *s)
{
    return bytes_of(s, s == NULL ? 0 : strlen(s));
}

/* Whether `b` has no bytes. */
static inline bool bytes_empty(struct bytes b)
{
    return b.size == 0;
}

/* Whether `a` and `b` hold the same bytes. */
static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Less than, equal to or greater than 0 as `a` sorts before, with or after `b`: by unsigned byte,
 * and a prefix sorts before what it is a prefix of. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) {
        return order;
    }
    return a.size == b.size ? 0 : (a.size < b.size ? -1 : 1);
}

/* Whether `b` begins with `prefix`; every slice begins with the empty one. */
static inline bool bytes_has_prefix(struct bytes b, struct bytes prefix)
{
    return b.size >= prefix.size &&
           (prefix.size == 0 || memcmp(b.data, prefix.data, prefix.size) == 0);
}

#endif

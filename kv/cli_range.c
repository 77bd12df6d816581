/*
 * cli_range.c - see cli_range.h.
 */
#include "kv/cli_range.h"

#include <stdint.h>

struct cli_range cli_range_from(struct bytes key)
{
    const struct bytes zero = bytes_of("", 1);

    return (struct cli_range){.key = key.size == 0 ? zero : key, .end = zero};
}

struct cli_range cli_range_prefix(struct arena *a, struct bytes prefix)
{
    struct bytes end = arena_copy(a, prefix);
    uint8_t *last;

    while (end.size > 0 && end.data[end.size - 1] == 0xff) {
        end.size--;
    }
    if (end.size == 0) {
        return cli_range_from(prefix);
    }
    last = (uint8_t *) (uintptr_t) &end.data[end.size - 1]; /* the copy is ours */
    (*last)++;
    return (struct cli_range){.key = prefix, .end = end};
}

/*
 * guard.c - bytes that end right before a page that cannot be read.
 */

#include "tests/support/guard.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"

void guard_init(struct guard *g, size_t capacity)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    g->capacity = (capacity / page + 1) * page;
    g->map_size = g->capacity + page;
    void *map = mmap(NULL, g->map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(map != MAP_FAILED);
    g->map = map;
    int rc = mprotect(g->map + g->capacity, page, PROT_NONE);
    ASSERT(rc == 0);
}

struct bytes guard_place(struct guard *g, struct bytes src)
{
    ASSERT(src.size <= g->capacity);
    uint8_t *start = g->map + g->capacity - src.size;
    memset(g->map, 0xa5, g->capacity - src.size);
    if (src.size > 0) {
        memcpy(start, src.data, src.size);
    }
    return bytes_of(start, src.size);
}

void guard_release(struct guard *g)
{
    int rc = munmap(g->map, g->map_size);
    ASSERT(rc == 0);
    g->map = NULL;
}

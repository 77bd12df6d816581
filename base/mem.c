/*
 * mem.c - allocation that aborts instead of failing.
 */

#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* Ends the process: nothing here can go on without the memory. */
static _Noreturn void out_of_memory(size_t size)
{
    fprintf(stderr, "out of memory: %zu bytes could not be allocated\n", size);
    abort();
}

void *xmalloc(size_t size)
{
    void *p = malloc(size == 0 ? 1 : size);
    if (p == NULL) {
        out_of_memory(size);
    }
    return p;
}

void *xcalloc(size_t count, size_t size)
{
    bool empty = count == 0 || size == 0;
    void *p = empty ? calloc(1, 1) : calloc(count, size);
    if (p == NULL) {
        out_of_memory(size);
    }
    return p;
}

void *xrealloc(void *ptr, size_t size)
{
    void *p = realloc(ptr, size == 0 ? 1 : size);
    if (p == NULL) {
        out_of_memory(size);
    }
    return p;
}

void *xmemdup(const void *ptr, size_t size)
{
    ASSERT(ptr != NULL || size == 0);
    void *p = xmalloc(size);
    if (size > 0) {
        memcpy(p, ptr, size);
    }
    return p;
}

char *xstrdup(const char *s)
{
    ASSERT(s != NULL);
    return xmemdup(s, strlen(s) + 1);
}

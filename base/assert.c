/*
 * assert.c - what happens when an ASSERT does not hold.
 */

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_fail(const char *file, int line, const char *func, const char *cond)
{
    /* stderr is unbuffered, so nothing needs to be flushed before the abort. */
    fprintf(stderr, "%s:%d: %s: assertion failed: %s\n", file, line, func, cond);
    abort();
}

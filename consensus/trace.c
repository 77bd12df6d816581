/*
 * trace.c - names of trace events.
 */

#include "consensus/trace.h"

#include <stddef.h>

#include "base/mem.h"

const char *trace_kind_name(uint8_t kind)
{
    static const char *const names[] = {
#define X(name, text) text,
        TRACE_MAP(X)
#undef X
    };
    return kind < ARRAY_SIZE(names) ? names[kind] : "unknown";
}

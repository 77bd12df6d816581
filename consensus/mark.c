/*
 * mark.c - see mark.h.
 */

#include "consensus/mark.h"

#include <stddef.h>

#include "base/mem.h"

static const struct {
    const char *name;
    uint32_t engines;
} marks[] = {
#define X(name, text, engines) {text, engines},
    MARK_MAP(X)
#undef X
};

const char *mark_name(uint32_t mark)
{
    return mark < ARRAY_SIZE(marks) ? marks[mark].name : "unknown";
}

uint32_t mark_engines(uint32_t mark)
{
    return mark < ARRAY_SIZE(marks) ? marks[mark].engines : 0;
}

struct trace_event mark_event(enum mark mark)
{
    return (struct trace_event){.kind = TRACE_MARK, .index = mark, .note = mark_name(mark)};
}

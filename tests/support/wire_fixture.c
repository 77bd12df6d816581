/*
 * wire_fixture.c - what every test of a wire format needs.
 */

#include "tests/support/wire_fixture.h"

#include <stdlib.h>

#include "base/mem.h"
#include "tests/support/hex.h"

int wire_fixture_setup(void **state)
{
    struct wire_fixture *f = xcalloc(1, sizeof *f);
    arena_init(&f->arena, 4096, 64 << 20);
    buf_init(&f->in, 64 << 20);
    buf_init(&f->out, 64 << 20);
    guard_init(&f->guard, 1 << 16);
    *state = f;
    return 0;
}

int wire_fixture_teardown(void **state)
{
    struct wire_fixture *f = *state;
    arena_release(&f->arena);
    buf_release(&f->in);
    buf_release(&f->out);
    guard_release(&f->guard);
    free(f);
    return 0;
}

struct bytes wire_fixture_place(struct wire_fixture *f, const char *hex)
{
    return guard_place(&f->guard, hex_parse(hex, &f->in));
}

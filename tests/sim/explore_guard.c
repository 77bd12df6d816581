/*
 * explore_guard.c - an assertion that fails inside an engine ends the search, not the program: it
 * is a violation like others, and its path is wanted.
 */
#include <signal.h>

#include "base/assert.h"
#include "tests/sim/explore_internal.h"

/* A signal handler gets no context: the one thing here that cannot be passed along. */
static struct ex_guard *guarding;

static void on_abort(int number)
{
    (void) number;
    siglongjmp(guarding->escape, 1);
}

struct ex_guard *ex_guard_begin(struct ex_guard *g)
{
    struct sigaction action = {.sa_handler = on_abort};
    ASSERT(guarding == NULL);
    guarding = g;
    int err = sigaction(SIGABRT, &action, &g->before);
    ASSERT(err == 0);
    return g;
}

void ex_guard_end(struct ex_guard *g)
{
    int err = sigaction(SIGABRT, &g->before, NULL);
    guarding = NULL;
    ASSERT(err == 0);
}

#ifndef SYNOD_TESTS_SUPPORT_DEATH_H
#define SYNOD_TESTS_SUPPORT_DEATH_H

/*
 * death.h - seeing that something ends the process.
 */

#include <stdbool.h>

/* Whether fn(ctx), run in a child process whose stderr is dropped, ends by abort. */
bool death_aborts(void (*fn)(void *ctx), void *ctx);

#endif

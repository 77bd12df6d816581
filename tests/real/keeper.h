/*
 * keeper.h - cleaning up that happens also when this process is killed: a child that waits for the
 * end of its parent. Mounts and network namespaces stay otherwise.
 */
#ifndef SYNOD_TESTS_REAL_KEEPER_H
#define SYNOD_TESTS_REAL_KEEPER_H

#include "base/err.h"

struct keeper;

/* From now on, when this process ends without keeper_free, clean(ctx) runs in the child, with the
 * memory as it is now. Errors: ERR_IO. */
MUST_USE int keeper_new(void (*clean)(void *ctx), void *ctx, struct keeper **ret_keeper);

/* Nothing is to be cleaned up any more; the child is gone afterwards. NULL is legal. */
void keeper_free(struct keeper *k);

/* Runs a program to its end; `argv` ends with NULL. Its output goes nowhere, errors too. OK,
 * ERR_NOT_FOUND (there is no such program), ERR_IO (it failed). */
MUST_USE int keeper_run(const char *const *argv);

#endif

/*
 * lock.c - a lock for the few helpers that threads of a library call into.
 */

#include "tests/support/lock.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

struct lock {
    pthread_mutex_t mutex;
};

struct lock *lock_new(void)
{
    struct lock *l = xcalloc(1, sizeof *l);
    int rc = pthread_mutex_init(&l->mutex, NULL);
    ASSERT(rc == 0);
    return l;
}

void lock_free(struct lock *l)
{
    int rc = pthread_mutex_destroy(&l->mutex);
    ASSERT(rc == 0);
    free(l);
}

void lock_take(struct lock *l)
{
    int rc = pthread_mutex_lock(&l->mutex);
    ASSERT(rc == 0);
}

void lock_give(struct lock *l)
{
    int rc = pthread_mutex_unlock(&l->mutex);
    ASSERT(rc == 0);
}

#ifndef SYNOD_TESTS_SUPPORT_LOCK_H
#define SYNOD_TESTS_SUPPORT_LOCK_H

/*
 * lock.h - a lock for the few helpers that threads of a library call into.
 */

struct lock;

struct lock *lock_new(void);
void lock_free(struct lock *l); /* nobody holds it */

/* Not recursive. */
void lock_take(struct lock *l);
void lock_give(struct lock *l);

#endif

/*
 * revision.h - a revision of the store.
 */
#ifndef SYNOD_KV_REVISION_H
#define SYNOD_KV_REVISION_H

#include <stdint.h>

/* main rises by one per writing request, sub counts the changes inside it from 0. */
struct revision {
    int64_t main;
    int64_t sub;
};

/* Less than, equal to or greater than 0 as `a` is older than, the same as or newer than `b`. */
static inline int revision_compare(struct revision a, struct revision b)
{
    if (a.main != b.main) {
        return a.main < b.main ? -1 : 1;
    }
    return a.sub == b.sub ? 0 : (a.sub < b.sub ? -1 : 1);
}

#endif

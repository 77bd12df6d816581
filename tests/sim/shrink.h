/*
 * shrink.h - a smaller scenario that is still red (delta debugging; Zeller, Hildebrandt 2002).
 *
 * It leaves out steps, first many at a time and then single ones, shortens the run, takes nodes,
 * clients and keys away, sets limits, speeds and weights to what is usual, and makes times round;
 * again and again, until nothing more can go without the run turning green. What is called red is
 * the caller's business: mostly that a run breaks the same property, so that the shrinking does not
 * end at another bug.
 *
 * Not the smallest there is, but nothing single can be left out of it.
 */
#ifndef SYNOD_TESTS_SIM_SHRINK_H
#define SYNOD_TESTS_SIM_SHRINK_H

#include "tests/sim/scenario.h"

struct shrink_progress {
    const char *what;            /* what is being tried: "steps", "nodes" ... */
    const struct scenario *best; /* smallest red one so far; borrowed */
    uint32_t tries;
    bool smaller; /* the last try was red: best is new */
};

struct shrink_options {
    /* Is this one red? It passes scenario_check. */
    bool (*red)(void *ctx, const struct scenario *s);
    /* When the last one that was red broke the property, in virtual time; 0: at its end, or
     * unknown. NULL: never known. What comes later is cut off first. */
    uint64_t (*red_at_us)(void *ctx);
    void *ctx;
    uint32_t tries_max;                                                  /* calls of `red` */
    void (*progress)(void *ctx, const struct shrink_progress *progress); /* each try; NULL: none */
};

/*
 * `from` is red, which is not tried again; it passes scenario_check. ret_scenario is red and passes
 * it too; release it. Returns the number of tries; tries_max: there might be a smaller one.
 */
uint32_t shrink_scenario(const struct scenario *from, const struct shrink_options *options,
                         struct scenario *ret_scenario);

#endif

/*
 * cut_space.h - all sets of directed cuts of a small cluster, up to renaming of its nodes.
 *
 * A set is a mask with a bit for each ordered pair of nodes: nothing that the first sends reaches
 * the second. Two sets are the same up to symmetry when a renaming of the nodes turns one into the
 * other: an orbit. With a mark, node 1 (who leads) keeps its name. The smallest mask of an orbit
 * stands for it. Three nodes have 2^6 sets, five 2^20. Pure.
 */
#ifndef SYNOD_TESTS_COMPARE_CUT_SPACE_H
#define SYNOD_TESTS_COMPARE_CUT_SPACE_H

#include <stdbool.h>
#include <stdint.h>

enum { CUT_NODES_MAX = 5 };

struct cut_class {
    uint32_t cuts; /* the smallest mask of the orbit */
    uint32_t size; /* how many masks it has */
};

/* Nodes are counted from 1 here, as everywhere; from and to differ. */
uint32_t cut_space_bit(uint32_t nodes, uint32_t from, uint32_t to);
uint32_t cut_space_links(uint32_t nodes); /* ordered pairs: the bits of a mask */

/* All orbits, ascending; free them. Returns how many. nodes: 2 to CUT_NODES_MAX. */
uint32_t cut_space_classes(uint32_t nodes, bool marked, struct cut_class **ret_classes);

/* The smallest mask of the orbit of `cuts`. */
uint32_t cut_space_canonical(uint32_t nodes, bool marked, uint32_t cuts);

/* How many orbits there are, counted without listing them: the mean number of masks that a renaming
 * leaves as they are (Burnside's lemma). */
uint64_t cut_space_burnside(uint32_t nodes, bool marked);

/* The nodes (bit n - 1 for node n) of a largest set in which every two reach each other both ways;
 * of several the one with the lowest names. */
uint32_t cut_space_core(uint32_t nodes, uint32_t cuts);

/* Is there a majority that is fully connected both ways? */
bool cut_space_has_core(uint32_t nodes, uint32_t cuts);

/* Does a node reach a majority, itself included, both ways? Without one nobody can gather a quorum:
 * messages are not relayed. */
bool cut_space_has_hub(uint32_t nodes, uint32_t cuts);

#endif

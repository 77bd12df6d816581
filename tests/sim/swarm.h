/*
 * swarm.h - a scenario from a seed: swarm testing (Groce et al., ISSTA 2012), and the fault atlas.
 *
 * Each seed draws which faults it uses at all and how hard, so that some runs are pure storms of
 * one kind and some are calm; parameters of nodes, network, disks and workload are drawn as well.
 *
 * The atlas keeps damage within what the cluster must survive, so that any loss is a bug: nodes
 * that lose data for good (wiped, flipped, lost file, old image) are at most a minority over the
 * whole run; everything else may hit all nodes at once. `beyond` draws damage to more than a
 * minority: then the cluster may stop answering, but must not answer wrongly.
 */
#ifndef SYNOD_TESTS_SIM_SWARM_H
#define SYNOD_TESTS_SIM_SWARM_H

#include "tests/sim/scenario.h"

struct swarm_options {
    uint32_t nodes; /* 0: drawn, 1..7 */
    int mode;       /* enum sim_mode; -1: drawn */
    bool beyond;
};

/* Deterministic in all arguments. The result passes scenario_check; release it. */
void swarm_scenario(const struct engine_ops *engine, uint64_t seed,
                    const struct swarm_options *options, struct scenario *ret_scenario);

#endif

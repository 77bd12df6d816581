/*
 * shrink.c - a smaller scenario that is still red. Each pass makes candidates out of the best one
 * so far; a candidate that is not possible (a disk that is damaged while its node is up) is not
 * tried.
 */
#include "tests/sim/shrink.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum { PASSES_MAX = 20, MILLISECOND = 1000 };

struct shrinker {
    const struct shrink_options *options;
    struct scenario best;
    uint32_t tries;
    bool smaller; /* since the round began */
    const char *what;
};

/* Takes the candidate; true: it is the best one now. */
static bool try_take(struct shrinker *sh, struct scenario *candidate)
{
    bool red = false;
    if (sh->tries < sh->options->tries_max && scenario_check(candidate, NULL) == OK) {
        sh->tries++;
        red = sh->options->red(sh->options->ctx, candidate);
        if (red) {
            struct scenario old = sh->best;
            sh->best = *candidate;
            *candidate = old;
            sh->smaller = true;
        }
        if (sh->options->progress != NULL) {
            const struct shrink_progress progress = {sh->what, &sh->best, sh->tries, red};
            sh->options->progress(sh->options->ctx, &progress);
        }
    }
    scenario_release(candidate);
    return red;
}

/* Steps. */

/* A copy without the steps that are marked. */
static void copy_without(const struct scenario *from, const bool *drop, struct scenario *ret)
{
    scenario_copy(ret, from);
    ret->steps_count = 0;
    for (uint32_t i = 0; i < from->steps_count; i++) {
        if (!drop[i]) {
            ret->steps[ret->steps_count++] = from->steps[i];
        }
    }
}

static bool drop_range(struct shrinker *sh, uint32_t first, uint32_t count)
{
    bool drop[SIM_STEPS_MAX] = {false};
    struct scenario candidate;
    for (uint32_t i = first; i < first + count && i < sh->best.steps_count; i++) {
        drop[i] = true;
    }
    copy_without(&sh->best, drop, &candidate);
    return try_take(sh, &candidate);
}

static void drop_kinds(struct shrinker *sh)
{
    for (uint32_t kind = 0; kind < STEP_KINDS; kind++) {
        bool drop[SIM_STEPS_MAX] = {false};
        struct scenario candidate;
        uint32_t count = 0;
        for (uint32_t i = 0; i < sh->best.steps_count; i++) {
            drop[i] = sh->best.steps[i].kind == kind;
            count += drop[i] ? 1 : 0;
        }
        if (count > 1 && count < sh->best.steps_count) {
            copy_without(&sh->best, drop, &candidate);
            (void) try_take(sh, &candidate); /* red or not, the next kind is next */
        }
    }
}

static void shrink_steps(struct shrinker *sh)
{
    sh->what = "steps";
    drop_kinds(sh);
    for (uint32_t size = sh->best.steps_count; size > 0; size /= 2) {
        /* From the end: what restores goes before what breaks. */
        for (uint32_t end = sh->best.steps_count; end > 0;) {
            uint32_t first = end > size ? end - size : 0;
            (void) drop_range(sh, first, end - first); /* red or not, the next ones are next */
            end = first;
        }
    }
}

/* Length. What happens at the very end goes on happening there. */
static bool try_length(struct shrinker *sh, uint64_t length_us)
{
    bool drop[SIM_STEPS_MAX] = {false};
    struct scenario candidate;
    if (length_us >= sh->best.length_us) {
        return false;
    }
    for (uint32_t i = 0; i < sh->best.steps_count; i++) {
        uint64_t at = sh->best.steps[i].at_us;
        drop[i] = at > length_us && at != sh->best.length_us;
    }
    copy_without(&sh->best, drop, &candidate);
    candidate.length_us = length_us;
    for (uint32_t i = 0; i < candidate.steps_count; i++) {
        candidate.steps[i].at_us = u64_min(candidate.steps[i].at_us, length_us);
    }
    return try_take(sh, &candidate);
}

static void cut_behind_red(struct shrinker *sh)
{
    uint64_t at = 0;
    if (sh->options->red_at_us != NULL) {
        at = sh->options->red_at_us(sh->options->ctx);
    }
    if (at != 0) {
        (void) try_length(sh, (at / MILLISECOND + 1) * MILLISECOND); /* a try */
    }
}

static void shrink_length(struct shrinker *sh)
{
    sh->what = "length";
    for (uint64_t part = 2; part <= 16; part *= 2) {
        for (uint32_t i = 0; i < PASSES_MAX; i++) {
            uint64_t length = sh->best.length_us - sh->best.length_us / part;
            if (length < 20 * MILLISECOND || !try_length(sh, length)) {
                break;
            }
        }
    }
    static const uint64_t units[] = {1000000, 100000, 10000, 1000};
    for (uint32_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (sh->best.length_us % units[i] != 0 &&
            try_length(sh, sh->best.length_us / units[i] * units[i])) {
            break;
        }
    }
}

/* Nodes. */

static uint32_t renumbered(uint32_t node, uint32_t gone)
{
    return node > gone && node <= SIM_NODES_MAX ? node - 1 : node;
}

/* Without the node, and with groups numbered one after another; false: nobody is left in it. */
static bool shrink_groups(struct sim_step *step, uint32_t gone)
{
    uint8_t old[SIM_NODES_MAX + 2] = {0};
    uint8_t number[SIM_NODES_MAX + 2] = {0};
    memcpy(old, step->group, sizeof step->group);
    memset(step->group, 0, sizeof step->group);
    for (uint32_t i = gone; i <= SIM_NODES_MAX; i++) {
        old[i] = old[i + 1];
    }
    uint8_t count = 0;
    for (uint8_t group = 1; group <= SIM_NODES_MAX; group++) {
        for (uint32_t i = 1; i <= SIM_NODES_MAX; i++) {
            if (old[i] == group) {
                number[group] = number[group] == 0 ? ++count : number[group];
                step->group[i] = number[group];
            }
        }
    }
    return count > 0;
}

static bool drop_node(struct shrinker *sh, uint32_t gone)
{
    bool drop[SIM_STEPS_MAX] = {false};
    struct scenario candidate;
    for (uint32_t i = 0; i < sh->best.steps_count; i++) {
        const struct sim_step *step = &sh->best.steps[i];
        struct sim_step groups = *step;
        drop[i] = step->kind == STEP_PARTITION ? !shrink_groups(&groups, gone)
                                               : step->a == gone || step->b == gone;
        drop[i] = drop[i] || step->when.node == gone;
    }
    copy_without(&sh->best, drop, &candidate);
    candidate.nodes--;
    for (uint32_t i = gone; i <= SIM_NODES_MAX; i++) {
        candidate.core[i] = i < SIM_NODES_MAX && candidate.core[i + 1];
    }
    for (uint32_t i = 0; i < candidate.steps_count; i++) {
        struct sim_step *step = &candidate.steps[i];
        if (step->kind == STEP_PARTITION) {
            (void) shrink_groups(step, gone); /* those that would be empty are gone */
        }
        step->a = renumbered(step->a, gone);
        step->b = renumbered(step->b, gone);
        step->when.node = renumbered(step->when.node, gone);
    }
    return try_take(sh, &candidate);
}

static void shrink_nodes(struct shrinker *sh)
{
    sh->what = "nodes";
    for (uint32_t node = sh->best.nodes; node > 0; node--) {
        if (sh->best.nodes > 1) {
            (void) drop_node(sh, node); /* red or not, the next one is next */
        }
    }
}

/* Numbers: the least first, then halves, then one less. */

typedef uint32_t *field_of(struct scenario *s);

static uint32_t *clients_of(struct scenario *s)
{
    return &s->clients;
}

static uint32_t *keys_of(struct scenario *s)
{
    return &s->keys;
}

static bool try_number(struct shrinker *sh, field_of *field, uint32_t number)
{
    struct scenario candidate;
    scenario_copy(&candidate, &sh->best);
    *field(&candidate) = number;
    return try_take(sh, &candidate);
}

static void shrink_number(struct shrinker *sh, const char *what, field_of *field)
{
    sh->what = what;
    if (*field(&sh->best) > 1) {
        (void) try_number(sh, field, 1); /* what it is now is looked at below */
    }
    while (*field(&sh->best) > 2 && try_number(sh, field, *field(&sh->best) / 2)) {
    }
    while (*field(&sh->best) > 2 && try_number(sh, field, *field(&sh->best) - 1)) {
    }
}

/* What is usual. */

static void reset_options(struct shrinker *sh)
{
    struct scenario defaults;
    struct scenario candidate;
    uint32_t count = 0;
    sh->what = "options";
    scenario_init(&defaults, sh->best.engine, sh->best.seed);
    for (uint32_t i = 0; i < SCENARIO_OPTIONS; i++) {
        count += sh->best.options[i] != defaults.options[i] ? 1 : 0;
    }
    if (count > 1) {
        scenario_copy(&candidate, &sh->best);
        memcpy(candidate.options, defaults.options, sizeof candidate.options);
        (void) try_take(sh, &candidate); /* if not all, then some */
    }
    for (uint32_t i = 0; i < SCENARIO_OPTIONS; i++) {
        if (sh->best.options[i] != defaults.options[i]) {
            scenario_copy(&candidate, &sh->best);
            candidate.options[i] = defaults.options[i];
            (void) try_take(sh, &candidate); /* red or not, the next one is next */
        }
    }
    scenario_release(&defaults);
}

static void shrink_mix(struct shrinker *sh)
{
    sh->what = "mix";
    for (uint32_t i = 0; i < SIM_OPS; i++) {
        for (uint32_t weight = 0; weight <= 1; weight++) {
            struct scenario candidate;
            if (sh->best.mix[i] <= weight) {
                continue;
            }
            scenario_copy(&candidate, &sh->best);
            candidate.mix[i] = weight;
            (void) try_take(sh, &candidate); /* red or not, the next one is next */
        }
    }
    if (sh->best.value.max != 0) {
        struct scenario candidate;
        scenario_copy(&candidate, &sh->best);
        candidate.value = (struct sim_span){0, 0};
        (void) try_take(sh, &candidate); /* a try */
    }
    if (sh->best.rate != 0) {
        struct scenario candidate;
        scenario_copy(&candidate, &sh->best);
        candidate.rate = 0;
        (void) try_take(sh, &candidate); /* a try */
    }
    if (sh->best.retry_percent != 0) {
        struct scenario candidate;
        scenario_copy(&candidate, &sh->best);
        candidate.retry_percent = 0;
        (void) try_take(sh, &candidate); /* a try */
    }
}

static bool same_span(struct sim_span a, struct sim_span b)
{
    return a.min == b.min && a.max == b.max;
}

/* The network and the disks as scenario_init has them. */
static void shrink_speeds(struct shrinker *sh)
{
    struct scenario candidate;
    struct scenario usual;
    sh->what = "speeds";
    scenario_init(&usual, sh->best.engine, sh->best.seed);
    if (sh->best.loss_permyriad != 0) {
        scenario_copy(&candidate, &sh->best);
        candidate.loss_permyriad = 0;
        (void) try_take(sh, &candidate); /* a try, as all below */
    }
    if (sh->best.duplicate_permyriad != 0) {
        scenario_copy(&candidate, &sh->best);
        candidate.duplicate_permyriad = 0;
        (void) try_take(sh, &candidate);
    }
    if (!same_span(sh->best.delay, usual.delay)) {
        scenario_copy(&candidate, &sh->best);
        candidate.delay = usual.delay;
        (void) try_take(sh, &candidate);
    }
    if (!same_span(sh->best.log_disk, usual.log_disk) ||
        !same_span(sh->best.state_disk, usual.state_disk) ||
        !same_span(sh->best.reads, usual.reads)) {
        scenario_copy(&candidate, &sh->best);
        candidate.log_disk = usual.log_disk;
        candidate.state_disk = usual.state_disk;
        candidate.reads = usual.reads;
        (void) try_take(sh, &candidate);
    }
    scenario_release(&usual);
}

/* Round times. */

static uint64_t rounded(uint64_t us, uint64_t unit)
{
    return us % unit == 0 || us < unit ? us : us / unit * unit;
}

/* All steps at once, or one. They stay in order: each time goes down to the same grid. */
static bool round_times(struct shrinker *sh, uint32_t first, uint32_t count, uint64_t unit)
{
    struct scenario candidate;
    bool differs = false;
    scenario_copy(&candidate, &sh->best);
    for (uint32_t i = first; i < first + count; i++) {
        struct sim_step *step = &candidate.steps[i];
        struct sim_step old = *step;
        step->at_us = rounded(step->at_us, unit);
        step->for_us = rounded(step->for_us, unit);
        step->when.after_us = rounded(step->when.after_us, unit);
        step->delay.min = rounded(step->delay.min, unit);
        step->delay.max = rounded(step->delay.max, unit);
        if (i > 0 && step->at_us < candidate.steps[i - 1].at_us) {
            step->at_us = candidate.steps[i - 1].at_us;
        }
        differs = differs || step->at_us != old.at_us || step->for_us != old.for_us ||
                  step->when.after_us != old.when.after_us || !same_span(step->delay, old.delay);
    }
    if (!differs) {
        scenario_release(&candidate);
        return false;
    }
    return try_take(sh, &candidate);
}

static bool try_step(struct shrinker *sh, uint32_t i, const struct sim_step *step)
{
    struct scenario candidate;
    scenario_copy(&candidate, &sh->best);
    candidate.steps[i] = *step;
    return try_take(sh, &candidate);
}

static void simplify_step(struct shrinker *sh, uint32_t i)
{
    struct sim_step step = sh->best.steps[i];
    if (step.loss_permyriad != 0 || step.duplicate_permyriad != 0) {
        step.loss_permyriad = 0;
        step.duplicate_permyriad = 0;
        (void) try_step(sh, i, &step); /* a try, as all below */
    }
    step = sh->best.steps[i];
    if (step.both) {
        step.both = false;
        (void) try_step(sh, i, &step);
    }
    step = sh->best.steps[i];
    if (step.rate != 0) {
        step.rate = 0;
        (void) try_step(sh, i, &step);
    }
    step = sh->best.steps[i];
    if (step.when.times > 1) {
        step.when.times = 1;
        (void) try_step(sh, i, &step);
    }
    step = sh->best.steps[i];
    if (step.when.after_us != 0) {
        step.when.after_us = 0;
        (void) try_step(sh, i, &step);
    }
    step = sh->best.steps[i];
    for (uint32_t node = 1; step.a == SIM_NODE_ALL && node <= sh->best.nodes; node++) {
        struct sim_step one = step;
        one.a = node;
        if (try_step(sh, i, &one)) {
            break;
        }
    }
}

static void shrink_details(struct shrinker *sh)
{
    static const uint64_t units[] = {1000000, 100000, 10000, 1000};
    sh->what = "details";
    for (uint32_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (round_times(sh, 0, sh->best.steps_count, units[i])) {
            break;
        }
    }
    for (uint32_t i = 0; i < sh->best.steps_count; i++) {
        for (uint32_t k = 0; k < ARRAY_SIZE(units); k++) {
            if (round_times(sh, i, 1, units[k])) {
                break;
            }
        }
        simplify_step(sh, i);
    }
}

uint32_t shrink_scenario(const struct scenario *from, const struct shrink_options *options,
                         struct scenario *ret_scenario)
{
    struct shrinker sh = {.options = options};
    ASSERT(scenario_check(from, NULL) == OK);
    scenario_copy(&sh.best, from);
    sh.what = "length";
    cut_behind_red(&sh);
    do {
        sh.smaller = false;
        shrink_steps(&sh);
        shrink_length(&sh);
        shrink_nodes(&sh);
        shrink_number(&sh, "clients", clients_of);
        shrink_number(&sh, "keys", keys_of);
        reset_options(&sh);
        shrink_mix(&sh);
        shrink_speeds(&sh);
        shrink_details(&sh);
    } while (sh.smaller && sh.tries < options->tries_max);
    *ret_scenario = sh.best;
    return sh.tries;
}

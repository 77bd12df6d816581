/*
 * explore_observe.c - a path is run once more, on fresh instances, under the observer of the
 * simulator (observer.h): whatever it knows of the properties and explore_rules.c does not. It has
 * to see a whole run, so it sees some paths only, not each transition.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "tests/sim/explore_internal.h"

static void on_fail(void *ctx, const char *property, const char *text)
{
    struct explorer *x = ctx;
    (void) snprintf(x->bad.property, sizeof x->bad.property, "%s", property);
    (void) snprintf(x->bad.text, sizeof x->bad.text, "observer: %s", text);
}

void ex_observe_submitted(struct explorer *x, const struct value *v)
{
    struct command c;
    for (size_t cursor = 0; value_next(v, &cursor, &c);) {
        observer_submit(x->observer, c.tag, c.payload);
    }
}

void ex_observe_recovered(struct ex_instance *i, struct entry *entries, uint32_t entries_count,
                          struct slot_promise *promises, uint32_t promises_count)
{
    const struct logstore_recovery recovery = {
        .hard = {.epoch = i->disk.epoch, .vote = (uint32_t) i->disk.vote, .commit = i->disk.commit},
        .last = entries_count == 0 ? 0 : entries[entries_count - 1].index,
        .entries = entries,
        .entries_count = entries_count,
        .promises = promises,
        .promises_count = promises_count,
    };
    observer_recovered(i->x->observer, i->node, &recovery, 0, false);
}

static void step(struct explorer *x, struct ex_instance **nodes, uint32_t input)
{
    static const struct ex_disk empty;
    uint32_t node = EX_INPUT_NODE(input);
    struct ex_instance **at = &nodes[node - 1];
    if (EX_INPUT_KIND(input) == EX_START) {
        *at = ex_instance_new(x, node, 1, &empty);
    } else if (EX_INPUT_KIND(input) == EX_CRASH) {
        const struct ex_disk disk = (*at)->disk;
        uint32_t life = (*at)->life + 1;
        observer_crashed(x->observer, node);
        ex_instance_free(*at);
        *at = ex_instance_new(x, node, life, &disk);
    } else if (EX_INPUT_KIND(input) == EX_AGAIN) {
        ex_instance_give(*at, EX_INPUT(EX_DELIVER, node, EX_INPUT_ARG(input)));
    } else {
        ex_instance_give(*at, input);
    }
}

bool ex_observe(struct explorer *x, const uint32_t *path, uint32_t length)
{
    struct ex_instance *nodes[EXPLORE_NODES_MAX] = {NULL};
    const struct observer_options o = {.engine = x->options.engine,
                                       .nodes = x->options.nodes,
                                       .fail = on_fail,
                                       .ctx = x};
    x->observer = observer_new(&o);
    x->repeating = true;
    for (uint32_t k = 0; k < x->start_count && x->bad.property[0] == '\0'; k++) {
        step(x, nodes, x->start_inputs[k]);
    }
    for (uint32_t k = 0; k < length && x->bad.property[0] == '\0'; k++) {
        step(x, nodes, path[k]);
    }
    x->repeating = false;
    for (uint32_t k = 0; k < EXPLORE_NODES_MAX; k++) {
        if (nodes[k] != NULL) {
            ex_instance_free(nodes[k]);
        }
    }
    observer_free(x->observer);
    x->observer = NULL;
    return x->bad.property[0] == '\0';
}

/*
 * real_supports.c - which scenarios can be carried out on real processes, and what of the machine
 * they need.
 */
#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/real/loop_disk.h"
#include "tests/real/netns.h"
#include "tests/real/real_internal.h"

/* Why a step cannot be carried out; NULL: it can. */
static const char *refusal(const struct sim_step *step, const struct real_options *o)
{
    switch (step->kind) {
    case STEP_TRANSFER:
        return "a process cannot be asked to hand over the lead";
    case STEP_CLOCK_JUMP:
    case STEP_CLOCK_DRIFT:
        return "a process has the clock of the machine";
    case STEP_QUALITY:
        return step->duplicate_permyriad > 0 ? "TCP delivers nothing twice" : NULL;
    case STEP_CLOG:
        return o->netns ? "a namespace cannot hold packets back; use the proxy" : NULL;
    default:
        return NULL;
    }
}

bool real_loses_power(const struct scenario *s)
{
    for (uint32_t i = 0; i < s->steps_count; i++) {
        if (s->steps[i].kind == STEP_POWER_LOSS) {
            return true;
        }
    }
    return false;
}

static int check_steps(const struct scenario *s, const struct real_options *o, struct buf *error)
{
    for (uint32_t i = 0; i < s->steps_count; i++) {
        const char *why = refusal(&s->steps[i], o);
        if (why != NULL) {
            ERR_IGNORE(buf_printf(error, "`")); /* only a text */
            scenario_print_step(&s->steps[i], error);
            ERR_IGNORE(buf_printf(error, "`: %s", why));
            return ERR_UNSUPPORTED;
        }
    }
    return OK;
}

int real_supports(const struct scenario *scenario, const struct real_options *options,
                  struct buf *error)
{
    int err = check_steps(scenario, options, error);
    struct scenario plain;
    scenario_init(&plain, scenario->engine, 0);
    if (err == OK && scenario->duplicate_permyriad != plain.duplicate_permyriad &&
        scenario->duplicate_permyriad > 0) {
        ERR_IGNORE(buf_printf(error, "network duplicate: TCP delivers nothing twice"));
        err = ERR_UNSUPPORTED;
    }
    scenario_release(&plain);
    if (err == OK) {
        err = processes_supported(scenario, error);
    }
    if (err == OK && real_loses_power(scenario)) {
        err = loop_disk_available(error);
    }
    if (err == OK && options->netns) {
        err = netns_available(error);
    }
    return err;
}

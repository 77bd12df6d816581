/*
 * scenario_check.c - is a scenario a possible one? What a node would refuse to start with, what
 * names nodes that are not there, and what makes no sense as a fault.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/sim/scenario_internal.h"
#include "tests/sim/scenario_words.h"

#define HOUR_US UINT64_C(3600000000)

enum {
    WEIGHT_MAX = 1000000,
    GAP_MAX = 1000,
    FACTOR_MAX = 1000000,
    PPM_MAX = 500000,
    RATE_MAX = 100000, /* calls a second */
    VALUE_MAX = 1 << 20,
    TIMES_MAX = 1000000,
};

/* What the options may be; the units' bounds hold where nothing is said here. */
static const struct {
    uint64_t min;
    uint64_t max;
} BOUNDS[SCENARIO_OPTIONS] = {
    [OPTION_ELECTION] = {1000, HOUR_US},
    [OPTION_FLUSH] = {0, HOUR_US},
    [OPTION_TRIM_KEEP] = {0, 1000000000},
    [OPTION_LOG_SLOTS] = {1, 1 << 24},
    [OPTION_ELECTION_SPREAD] = {0, HOUR_US},
    [OPTION_CANDIDATE] = {0, HOUR_US},
    [OPTION_CANDIDATE_SPREAD] = {0, HOUR_US},
    [OPTION_BATCH_COMMANDS] = {1, 8192}, /* as in the configuration of a node */
    [OPTION_BATCH_BYTES] = {1, 1 << 30},
    [OPTION_INFLIGHT] = {1, 65536},
    [OPTION_MESSAGE_BYTES] = {1, 1 << 30},
    [OPTION_CACHE_BYTES] = {0, UINT64_C(1) << 40},
    [OPTION_CALLS] = {1, 1000000},
    [OPTION_SESSIONS] = {16, 1 << 24},
};

static int check_option(const struct scenario *s, uint32_t option, struct buf *error)
{
    uint64_t min = BOUNDS[option].min;
    uint64_t max = BOUNDS[option].max;
    uint64_t value = s->options[option];
    enum option_unit unit = scenario_option_unit(option);
    if (max == 0) {
        min = unit == UNIT_FLAG ? 0 : 1;
        max = unit == UNIT_FLAG ? 1 : unit == UNIT_TIME ? HOUR_US : UINT64_C(1) << 40;
    }
    if (value >= min && value <= max) {
        return OK;
    }
    char has[SCENARIO_SHORT_MAX];
    char least[SCENARIO_SHORT_MAX];
    char most[SCENARIO_SHORT_MAX];
    scenario_option_text(option, value, has);
    scenario_option_text(option, min, least);
    scenario_option_text(option, max, most);
    return scenario_error(error, "option %s: %s is outside of %s to %s",
                          scenario_option_name(option), has, least, most);
}

static int check_order(const struct scenario *s, enum scenario_option low,
                       enum scenario_option high, bool equal, struct buf *error)
{
    if (s->options[low] < s->options[high] || (equal && s->options[low] == s->options[high])) {
        return OK;
    }
    char has[SCENARIO_SHORT_MAX];
    char bound[SCENARIO_SHORT_MAX];
    scenario_option_text(low, s->options[low], has);
    scenario_option_text(high, s->options[high], bound);
    return scenario_error(error, "option %s: %s is not %s option %s, %s", scenario_option_name(low),
                          has, equal ? "at most" : "below", scenario_option_name(high), bound);
}

static int check_options(const struct scenario *s, struct buf *error)
{
    int err = OK;
    for (uint32_t i = 0; i < SCENARIO_OPTIONS && err == OK; i++) {
        err = check_option(s, i, error);
    }
    if (err == OK) {
        err = check_order(s, OPTION_HEARTBEAT, OPTION_ELECTION, false, error);
    }
    if (err == OK) {
        err = check_order(s, OPTION_BACKOFF_MIN, OPTION_BACKOFF_MAX, true, error);
    }
    return err;
}

static int check_range(const char *what, uint64_t value, struct sim_span allowed, struct buf *error)
{
    if (value >= allowed.min && value <= allowed.max) {
        return OK;
    }
    return scenario_error(error, "%s: %" PRIu64 " is outside of %" PRIu64 " to %" PRIu64, what,
                          value, allowed.min, allowed.max);
}

static int check_time(const char *what, uint64_t us, struct sim_span allowed, struct buf *error)
{
    if (us >= allowed.min && us <= allowed.max) {
        return OK;
    }
    char has[SCENARIO_SHORT_MAX];
    char least[SCENARIO_SHORT_MAX];
    char most[SCENARIO_SHORT_MAX];
    scenario_duration_text(us, has);
    scenario_duration_text(allowed.min, least);
    scenario_duration_text(allowed.max, most);
    return scenario_error(error, "%s: %s is outside of %s to %s", what, has, least, most);
}

static int check_span(const char *what, struct sim_span span, struct buf *error)
{
    if (span.min <= span.max && span.max <= HOUR_US) {
        return OK;
    }
    return scenario_error(error, "%s: a span goes from its least to its most, at most 3600s", what);
}

static int check_shares(const char *what, uint32_t loss_permyriad, uint32_t duplicate_permyriad,
                        struct buf *error)
{
    if (loss_permyriad <= 10000 && duplicate_permyriad <= 10000) {
        return OK;
    }
    return scenario_error(error, "%s: loss and duplicate are at most 100%%", what);
}

static int check_mix(const struct scenario *s, struct buf *error)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < SIM_OPS; i++) {
        if (s->mix[i] > WEIGHT_MAX) {
            return scenario_error(error, "mix: a weight is at most %d", WEIGHT_MAX);
        }
        sum += s->mix[i];
    }
    if (sum == 0 && s->clients > 0) {
        return scenario_error(error, "mix: the clients have nothing to do; one weight at least is "
                                     "above 0");
    }
    return OK;
}

static int check_mode(const struct scenario *s, struct buf *error)
{
    uint32_t core = 0;
    if (s->mode == SIM_SAFETY) {
        return OK;
    }
    if (s->mode != SIM_LIVENESS) {
        return scenario_error(error, "mode: unknown; safety or liveness");
    }
    for (uint32_t i = 0; i <= SIM_NODES_MAX; i++) {
        if (s->core[i] && (i == 0 || i > s->nodes)) {
            return scenario_error(error,
                                  "mode: node %u of the core is not there; nodes 1 to %u are", i,
                                  s->nodes);
        }
        core += s->core[i] ? 1 : 0;
    }
    if (2 * core <= s->nodes) {
        return scenario_error(error,
                              "mode: a core of %u of %u nodes is no majority, which takes %u", core,
                              s->nodes, s->nodes / 2 + 1);
    }
    return OK;
}

static int check_cluster(const struct scenario *s, struct buf *error)
{
    const struct sim_span nodes = {1, SIM_NODES_MAX};
    const struct sim_span length = {1000, 24 * HOUR_US};
    int err = check_range("nodes", s->nodes, nodes, error);
    if (err == OK) {
        err = check_time("length", s->length_us, length, error);
    }
    if (err == OK) {
        err = check_mode(s, error);
    }
    return err != OK ? err : check_options(s, error);
}

/* Values must fit where they have to go through. */
static int check_values(const struct scenario *s, struct buf *error)
{
    static const enum scenario_option limits[] = {OPTION_MESSAGE_BYTES, OPTION_CALL_BYTES};
    if (s->value.min > s->value.max || s->value.max > VALUE_MAX) {
        return scenario_error(error, "value: sizes go from the least to the most, at most 1MiB");
    }
    for (uint32_t i = 0; i < ARRAY_SIZE(limits); i++) {
        if (s->value.max > s->options[limits[i]]) {
            char has[SCENARIO_SHORT_MAX];
            char most[SCENARIO_SHORT_MAX];
            scenario_size_text(s->value.max, has);
            scenario_size_text(s->options[limits[i]], most);
            return scenario_error(error, "value: %s is above option %s, %s", has,
                                  scenario_option_name(limits[i]), most);
        }
    }
    return OK;
}

static int check_clients(const struct scenario *s, struct buf *error)
{
    const struct sim_span rate = {0, RATE_MAX};
    int err = check_range("rate", s->rate, rate, error);
    if (err == OK && s->rate != 0 && s->clients == 0) {
        err = scenario_error(error, "rate: %u calls a second need a client at least", s->rate);
    }
    if (err == OK && s->reads_local && s->mix[SIM_OP_GET] == 0) {
        err = scenario_error(error, "reads local: there are no gets in the mix");
    }
    if (err == OK && s->reads_local && s->clients == 0) {
        err = scenario_error(error, "reads local: there are no clients");
    }
    return err != OK ? err : check_values(s, error);
}

/* Is there a property of this name? */
static bool is_known_property(const char *name)
{
    static const struct {
        char family;
        uint64_t last;
    } families[] = {{'R', 12}, {'P', 14}, {'K', 7}, {'D', 9}};
    struct bytes digits = bytes_str(name + 1);
    uint64_t number = 0;
    for (uint32_t i = 0; i < ARRAY_SIZE(families); i++) {
        if (name[0] == families[i].family) {
            return word_digits(&digits, &number) && digits.size == 0 && number >= 1 &&
                   number <= families[i].last;
        }
    }
    return false;
}

static int check_expected(const struct scenario *s, struct buf *error)
{
    const struct sim_span gap = {0, GAP_MAX};
    int err = check_range("expect gap", s->gap_elections, gap, error);
    if (err == OK && s->expect_red && s->gap_elections != 0) {
        err = scenario_error(error, "expect red: a run that is to be red cannot be expected to be "
                                    "available as well");
    }
    if (err == OK && !s->expect_red && s->expect_property[0] != '\0') {
        err = scenario_error(error, "expect: a property is for `expect red`");
    }
    if (err == OK && s->expect_property[0] != '\0' && !is_known_property(s->expect_property)) {
        err = scenario_error(error,
                             "expect red %s: no such property; R1 to R12, P1 to P14, K1 to K7, "
                             "D1 to D9",
                             s->expect_property);
    }
    return err;
}

static int check_workload(const struct scenario *s, struct buf *error)
{
    const struct sim_span clients = {0, SIM_CLIENTS_MAX};
    const struct sim_span keys = {1, SIM_KEYS_MAX};
    const struct sim_span timeout = {1, HOUR_US};
    const struct sim_span percent = {0, 100};
    int err = check_range("clients", s->clients, clients, error);
    if (err == OK) {
        err = check_range("keys", s->keys, keys, error);
    }
    if (err == OK) {
        err = check_span("think", s->think, error);
    }
    if (err == OK) {
        err = check_time("timeout", s->timeout_us, timeout, error);
    }
    if (err == OK) {
        err = check_range("retry", s->retry_percent, percent, error);
    }
    if (err == OK) {
        err = check_clients(s, error);
    }
    if (err == OK) {
        err = check_expected(s, error);
    }
    return err != OK ? err : check_mix(s, error);
}

static int check_speeds(const struct scenario *s, struct buf *error)
{
    int err = check_span("network delay", s->delay, error);
    if (err == OK) {
        err = check_shares("network", s->loss_permyriad, s->duplicate_permyriad, error);
    }
    if (err == OK) {
        err = check_span("disk log", s->log_disk, error);
    }
    if (err == OK) {
        err = check_span("disk state", s->state_disk, error);
    }
    return err != OK ? err : check_span("disk read", s->reads, error);
}

/* Steps. */

/* `leader` and `all` say nothing for some. */
static bool takes_leader(uint32_t kind)
{
    switch (kind) {
    case STEP_POWER_LOSS:
    case STEP_CRASH:
    case STEP_PAUSE:
    case STEP_SLOW:
    case STEP_ISOLATE:
    case STEP_DISK_SLOW:
    case STEP_DISK_DELAY:
    case STEP_DISK_HANG:
    case STEP_DISK_LIE:
    case STEP_DISK_EIO:
    case STEP_DISK_ENOSPC:
    case STEP_CLOCK_JUMP:
    case STEP_CLOCK_DRIFT:
        return true;
    default:
        return false;
    }
}

static bool takes_all(uint32_t kind)
{
    return takes_leader(kind) || kind == STEP_RESTART || kind == STEP_REJOIN;
}

static bool is_damage(uint32_t kind)
{
    return kind == STEP_DISK_FLIP || kind == STEP_DISK_LOSE || kind == STEP_DISK_WIPE ||
           kind == STEP_DISK_RESTORE;
}

static bool is_link(enum step_form form)
{
    return form == FORM_LINK || form == FORM_LINK_FOR || form == FORM_QUALITY;
}

static int check_node(const struct scenario *s, const struct sim_step *step, struct buf *error)
{
    if (step->a == SIM_NODE_LEADER && takes_leader(step->kind)) {
        return OK;
    }
    if (step->a == SIM_NODE_ALL && takes_all(step->kind)) {
        return OK;
    }
    if (step->a == SIM_NODE_LEADER || step->a == SIM_NODE_ALL) {
        return scenario_error(error, "this one takes a node's number, 1 to %u", s->nodes);
    }
    if (step->a < 1 || step->a > s->nodes) {
        return scenario_error(error, "node %u is not there; nodes 1 to %u are", step->a, s->nodes);
    }
    return OK;
}

static int check_link(const struct scenario *s, const struct sim_step *step, struct buf *error)
{
    const uint32_t ends[] = {step->a, step->b};
    for (uint32_t i = 0; i < ARRAY_SIZE(ends); i++) {
        if (ends[i] < 1 || ends[i] > s->nodes) {
            return scenario_error(error, "node %u is not there; nodes 1 to %u are", ends[i],
                                  s->nodes);
        }
    }
    if (step->a == step->b) {
        return scenario_error(error, "a link joins two nodes; this names node %u twice", step->a);
    }
    return OK;
}

static int check_groups(const struct scenario *s, const struct sim_step *step, struct buf *error)
{
    uint32_t named = step->group[0];
    for (uint32_t i = 1; i <= SIM_NODES_MAX; i++) {
        if (step->group[i] != 0 && i > s->nodes) {
            return scenario_error(error, "node %u is not there; nodes 1 to %u are", i, s->nodes);
        }
        named += step->group[i];
    }
    if (named == 0) {
        return scenario_error(error, "no node is named; to cut everybody off use isolate all");
    }
    return OK;
}

static int check_amounts(const struct sim_step *step, enum step_form form, struct buf *error)
{
    const struct sim_span time = {0, HOUR_US};
    int err = check_time("for", step->for_us, time, error);
    if (err == OK && step->for_us != 0 && !scenario_step_lasts(step->kind) &&
        !scenario_step_ends(step->kind)) {
        err = scenario_error(error, "nothing ends this one, so `for` says nothing");
    }
    if (err == OK && form == FORM_QUALITY) {
        err = check_span("delay", step->delay, error);
        if (err == OK) {
            err = check_shares("link", step->loss_permyriad, step->duplicate_permyriad, error);
        }
    }
    if (err != OK) {
        return err;
    }
    if (form == FORM_CLOCK_PPM && (step->amount < -PPM_MAX || step->amount > PPM_MAX)) {
        return scenario_error(error, "a drift is from -%dppm to %dppm", PPM_MAX, PPM_MAX);
    }
    if (form == FORM_DISK_FACTOR && (step->amount < 1 || step->amount > FACTOR_MAX)) {
        return scenario_error(error, "a factor is from 1, which ends it, to %d", FACTOR_MAX);
    }
    if ((form == FORM_CLOCK_TIME || form == FORM_NODE_TURN || form == FORM_DISK_TIME) &&
        (step->amount < 0 || step->amount > (int64_t) HOUR_US)) {
        return scenario_error(error, "a time is from 0 to 3600s");
    }
    if ((form == FORM_DISK_FILE && scenario_file_name(step->what) == NULL) ||
        (form == FORM_DISK_CALL && scenario_call_name(step->what) == NULL)) {
        return scenario_error(error, form == FORM_DISK_FILE ? "a database is log or state"
                                                            : "a call is write or sync");
    }
    return OK;
}

/* What the steps so far did, as far as it can be known without running them. */
struct progress {
    uint64_t down_until_us[SIM_NODES_MAX + 1]; /* certainly; 0: up or unknown */
    bool saved[SIM_NODES_MAX + 1];
};

/* At the time of the step, or when its condition becomes true. */
static bool is_down(const struct sim_step *step, const struct progress *g)
{
    if (step->when.kind != WHEN_TIME) {
        return step->when.kind == WHEN_STOPS && step->when.node == step->a;
    }
    return step->at_us < g->down_until_us[step->a];
}

static int check_damage(const struct scenario *s, const struct sim_step *step,
                        const struct progress *g, struct buf *error)
{
    if (!is_damage(step->kind)) {
        return OK;
    }
    if (!is_down(step, g)) {
        return scenario_error(
            error,
            "node %u must be down there: a `power-loss %u` or `crash %u` comes before, "
            "and no restart in between",
            step->a, step->a, step->a);
    }
    if (step->kind == STEP_DISK_RESTORE && !g->saved[step->a]) {
        return scenario_error(error, "there is nothing to put back: `disk %u save` comes before",
                              step->a);
    }
    if (s->mode == SIM_LIVENESS && s->core[step->a]) {
        return scenario_error(error, "node %u is of the core, which must not lose its disk",
                              step->a);
    }
    return OK;
}

static void progress_step(struct progress *g, const struct sim_step *step)
{
    bool down = step->kind == STEP_POWER_LOSS || step->kind == STEP_CRASH;
    uint64_t until = step->for_us == 0 ? UINT64_MAX : step->at_us + step->for_us;
    if (step->when.kind != WHEN_TIME) {
        return; /* it may never be */
    }
    for (uint32_t i = 1; i <= SIM_NODES_MAX; i++) {
        if (step->a != i && step->a != SIM_NODE_ALL) {
            continue;
        }
        if (down && step->at_us < g->down_until_us[i]) { /* it was: the first end is the end */
            g->down_until_us[i] = u64_min(g->down_until_us[i], until);
        } else if (down || step->kind == STEP_RESTART) {
            g->down_until_us[i] = down ? until : 0;
        }
    }
    if (step->kind == STEP_DISK_SAVE) {
        g->saved[step->a] = true;
    }
}

static int check_when(const struct scenario *s, const struct sim_step *step, struct buf *error)
{
    const struct sim_when *when = &step->when;
    const struct sim_span after = {0, HOUR_US};
    if (when->kind == WHEN_TIME) {
        return OK;
    }
    if (scenario_when_operand(when->kind) == OPERAND_NODE &&
        (when->node < 1 || when->node > s->nodes)) {
        return scenario_error(error, "node %u is not there; nodes 1 to %u are", when->node,
                              s->nodes);
    }
    if (scenario_when_operand(when->kind) == OPERAND_COUNT && when->count == 0) {
        return scenario_error(error, "%s: a count is at least 1", scenario_when_words(when->kind));
    }
    if (when->times < 1 || when->times > TIMES_MAX) {
        return scenario_error(error, "times: %u is outside of 1 to %d", when->times, TIMES_MAX);
    }
    if (when->kind == WHEN_WRITES && s->clients == 0) {
        return scenario_error(error, "nobody writes: there are no clients");
    }
    return check_time("after", when->after_us, after, error);
}

static int check_step(const struct scenario *s, const struct sim_step *step,
                      const struct progress *g, struct buf *error)
{
    enum step_form form = scenario_step_form(step->kind);
    int err = OK;
    if (step->at_us > s->length_us) {
        char length[SCENARIO_SHORT_MAX];
        scenario_duration_text(s->length_us, length);
        return scenario_error(error, "it is behind the end, length %s", length);
    }
    if (is_link(form)) {
        err = check_link(s, step, error);
    } else if (form == FORM_GROUPS) {
        err = check_groups(s, step, error);
    } else if (form != FORM_NONE) {
        err = check_node(s, step, error);
    }
    if (err == OK) {
        err = check_when(s, step, error);
    }
    if (err == OK) {
        err = check_amounts(step, form, error);
    }
    return err != OK ? err : check_damage(s, step, g, error);
}

static int check_steps(const struct scenario *s, struct buf *error)
{
    struct progress g = {0};
    struct buf why;
    struct buf text;
    int err = OK;
    buf_init(&why, SCENARIO_ERROR_MAX / 2);
    buf_init(&text, SCENARIO_ERROR_MAX / 4);
    if (s->steps_count > SIM_STEPS_MAX) {
        err = scenario_error(error, "more than %d steps", SIM_STEPS_MAX);
    }
    for (uint32_t i = 0; i < s->steps_count && err == OK; i++) {
        const struct sim_step *step = &s->steps[i];
        if (step->kind >= STEP_KINDS || step->when.kind >= WHEN_KINDS) {
            err = scenario_error(error, "step %u: unknown kind %u, condition %u", i, step->kind,
                                 step->when.kind);
            break;
        }
        if (i > 0 && step->at_us < s->steps[i - 1].at_us) {
            err = scenario_error(error, "step %u is earlier than the one before it", i);
            break;
        }
        err = check_step(s, step, &g, &why);
        if (err != OK) {
            scenario_print_step(step, &text);
            err = scenario_error(error, "`%.*s`: %.*s", (int) text.size, (char *) text.data,
                                 (int) why.size, (char *) why.data);
            break;
        }
        progress_step(&g, step);
    }
    buf_release(&text);
    buf_release(&why);
    return err;
}

int scenario_check(const struct scenario *s, struct buf *error)
{
    int err = check_cluster(s, error);
    if (err == OK) {
        err = check_workload(s, error);
    }
    if (err == OK) {
        err = check_speeds(s, error);
    }
    return err != OK ? err : check_steps(s, error);
}

/*
 * scenario_parse.c - text to scenario. Line by line, word by word; the first thing that cannot be
 * understood ends it with a line that names it and says what could stand there. Whether the
 * scenario is a possible one is scenario_check's business.
 */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/sim/scenario_words.h"

/* Steps. */

static bool is_node(struct bytes word, uint32_t *ret_node)
{
    uint64_t node = 0;
    if (word_is(word, "leader")) {
        *ret_node = SIM_NODE_LEADER;
        return true;
    }
    if (word_is(word, "all")) {
        *ret_node = SIM_NODE_ALL;
        return true;
    }
    if (!word_digits(&word, &node) || word.size > 0 || node == 0 || node > SIM_NODES_MAX) {
        return false;
    }
    *ret_node = (uint32_t) node;
    return true;
}

static int take_node(struct words *w, uint32_t *ret_node)
{
    struct bytes word;
    int err = words_next(w, "a node", &word);
    if (err == OK && !is_node(word, ret_node)) {
        err = words_bad_word(w, word, "a node is expected: 1 to %d, leader or all", SIM_NODES_MAX);
    }
    return err;
}

static int take_link(struct words *w, struct sim_step *step)
{
    struct bytes word;
    uint64_t from = 0;
    uint64_t to = 0;
    int err = words_next(w, "a link such as 1->2", &word);
    if (err != OK) {
        return err;
    }
    struct bytes rest = word;
    bool good = word_digits(&rest, &from);
    struct bytes one = bytes_str("->");
    struct bytes two = bytes_str("<->");
    step->both = bytes_has_prefix(rest, two);
    good = good && (step->both || bytes_has_prefix(rest, one));
    if (good) {
        size_t arrow = step->both ? two.size : one.size;
        rest = bytes_of(rest.data + arrow, rest.size - arrow);
        good = word_digits(&rest, &to) && rest.size == 0;
    }
    if (!good || from < 1 || to < 1 || from > SIM_NODES_MAX || to > SIM_NODES_MAX) {
        return words_bad_word(w, word, "a link is expected: 1->2, or 1<->2 for both directions");
    }
    step->a = (uint32_t) from;
    step->b = (uint32_t) to;
    return OK;
}

static int take_for(struct words *w, struct sim_step *step)
{
    int err = words_keyword(w, "for");
    return err != OK ? err : words_duration(w, &step->for_us);
}

static int take_quality(struct words *w, struct sim_step *step)
{
    int err = take_link(w, step);
    if (err == OK) {
        err = words_keyword(w, "delay");
    }
    if (err == OK) {
        err = words_span(w, &step->delay);
    }
    while (err == OK && words_more(w)) {
        struct bytes word = w->words[w->at++];
        if (word_is(word, "loss")) {
            err = words_share(w, &step->loss_permyriad);
        } else if (word_is(word, "duplicate")) {
            err = words_share(w, &step->duplicate_permyriad);
        } else {
            err = words_bad_word(w, word, "`loss` or `duplicate` is expected here");
        }
    }
    return err;
}

static int take_groups(struct words *w, struct sim_step *step)
{
    uint8_t group = 1;
    bool empty = true;
    while (words_more(w)) {
        struct bytes word = w->words[w->at++];
        uint32_t node = 0;
        if (word_is(word, "|") && !empty) {
            group++;
            empty = true;
        } else if (is_node(word, &node) && node <= SIM_NODES_MAX && step->group[node] == 0) {
            step->group[node] = group;
            empty = false;
        } else {
            return words_bad_word(w, word,
                                  "groups of nodes are expected, each node once: 1 2 | 3 4 5");
        }
    }
    return empty ? words_bad_line(w, "the line ends where a node of the partition is expected")
                 : OK;
}

static int take_amount(struct words *w, struct sim_step *step)
{
    uint64_t us = 0;
    struct bytes word = words_more(w) ? w->words[w->at] : bytes_str("");
    int err = words_duration(w, &us);
    if (err == OK && us > INT64_MAX) {
        err = words_bad_word(w, word, "too long");
    }
    if (err == OK) {
        step->amount = (int64_t) us;
    }
    return err;
}

static int take_ppm(struct words *w, struct sim_step *step)
{
    struct bytes word;
    uint64_t number = 0;
    int err = words_next(w, "a drift such as -200ppm", &word);
    if (err != OK) {
        return err;
    }
    struct bytes rest = word;
    bool minus = rest.size > 0 && rest.data[0] == '-';
    if (minus) {
        rest = bytes_of(rest.data + 1, rest.size - 1);
    }
    if (!word_digits(&rest, &number) || !word_is(rest, "ppm") || number > INT64_MAX) {
        return words_bad_word(w, word, "a drift in parts per million such as -200ppm is expected");
    }
    step->amount = minus ? -(int64_t) number : (int64_t) number;
    return OK;
}

static int take_factor(struct words *w, struct sim_step *step)
{
    uint64_t factor = 0;
    int err = words_number(w, INT64_MAX, &factor);
    if (err == OK) {
        step->amount = (int64_t) factor;
    }
    return err;
}

static int take_turn(struct words *w, struct sim_step *step)
{
    int err = words_keyword(w, "turn");
    if (err == OK) {
        err = take_amount(w, step);
    }
    return err != OK ? err : take_for(w, step);
}

static int take_what(struct words *w, struct sim_step *step, const char *what,
                     const char *(*name)(uint32_t))
{
    uint32_t number = 0;
    int err = words_choice(w, what, 3, name, &number);
    if (err == OK) {
        step->what = (uint8_t) number;
    }
    return err;
}

/* For disks and clocks the node came before the word. */
static int take_operands(struct words *w, struct sim_step *step)
{
    enum step_form form = scenario_step_form(step->kind);
    int err = OK;
    switch (form) {
    case FORM_NONE:
    case FORM_DISK:
        return OK;
    case FORM_NODE:
        return take_node(w, &step->a);
    case FORM_NODE_FOR:
        err = take_node(w, &step->a);
        return err != OK ? err : take_for(w, step);
    case FORM_NODE_TURN:
        err = take_node(w, &step->a);
        return err != OK ? err : take_turn(w, step);
    case FORM_LINK:
        return take_link(w, step);
    case FORM_LINK_FOR:
        err = take_link(w, step);
        return err != OK ? err : take_for(w, step);
    case FORM_QUALITY:
        return take_quality(w, step);
    case FORM_GROUPS:
        return take_groups(w, step);
    case FORM_DISK_FACTOR:
        return take_factor(w, step);
    case FORM_DISK_FOR:
        return take_for(w, step);
    case FORM_DISK_CALL:
        return take_what(w, step, "call of the disk", scenario_call_name);
    case FORM_DISK_FILE:
        return take_what(w, step, "database", scenario_file_name);
    case FORM_DISK_TIME:
    case FORM_CLOCK_TIME:
        return take_amount(w, step);
    case FORM_CLOCK_PPM:
        return take_ppm(w, step);
    }
    UNREACHABLE();
}

static int bad_fault(struct words *w, struct bytes word, enum step_family family)
{
    char list[WORDS_LIST_MAX] = "";
    for (uint32_t i = 0; i < STEP_KINDS; i++) {
        if (scenario_step_family(i) == family) {
            words_list_add(list, scenario_step_word(i));
        }
    }
    if (family == FAMILY_NODE) {
        words_list_add(list, "disk");
        words_list_add(list, "clock");
    }
    return words_bad_word(w, word, "unknown fault%s; one of %s",
                          family == FAMILY_DISK    ? " of a disk"
                          : family == FAMILY_CLOCK ? " of a clock"
                                                   : "",
                          list);
}

static int parse_at(struct words *w)
{
    struct sim_step step = {0};
    struct bytes word;
    enum step_family family = FAMILY_NODE;
    int err = words_duration(w, &step.at_us);
    if (err == OK) {
        err = words_next(w, "a fault", &word);
    }
    if (err == OK && (word_is(word, "disk") || word_is(word, "clock"))) {
        family = word_is(word, "disk") ? FAMILY_DISK : FAMILY_CLOCK;
        err = take_node(w, &step.a);
        if (err == OK) {
            err = words_next(w, "a fault", &word);
        }
    }
    if (err != OK) {
        return err;
    }
    uint32_t kind = 0;
    while (kind < STEP_KINDS &&
           !(scenario_step_family(kind) == family && word_is(word, scenario_step_word(kind)))) {
        kind++;
    }
    if (kind == STEP_KINDS) {
        return bad_fault(w, word, family);
    }
    step.kind = (uint8_t) kind;
    err = take_operands(w, &step);
    if (err == OK && w->s->steps_count == SIM_STEPS_MAX) {
        err = words_bad_line(w, "more than %d steps", SIM_STEPS_MAX);
    }
    if (err == OK) {
        scenario_add(w->s, &step);
    }
    return err;
}

/* The other lines. */

static const char *engine_word(uint32_t i)
{
    const struct engine_ops *engine = engine_at(i);
    return engine != NULL ? engine_name(engine) : i > 0 && engine_at(i - 1) != NULL ? "any" : NULL;
}

static int parse_version(struct words *w)
{
    uint64_t version = 0;
    int err = words_number(w, UINT64_MAX, &version);
    if (err == OK && version != 2) {
        err =
            words_bad_line(w, "version %" PRIu64 " of the format is unknown; 2 is known", version);
    }
    return err;
}

static int parse_engine(struct words *w)
{
    uint32_t i = 0;
    int err = words_choice(w, "engine", 8, engine_word, &i);
    if (err == OK) {
        w->s->engine = engine_at(i); /* NULL behind the last: any */
    }
    return err;
}

static int parse_nodes(struct words *w)
{
    return words_u32(w, SIM_NODES_MAX, &w->s->nodes);
}

static int parse_seed(struct words *w)
{
    return words_number(w, UINT64_MAX, &w->s->seed);
}

static int parse_length(struct words *w)
{
    return words_duration(w, &w->s->length_us);
}

static int parse_core(struct words *w)
{
    memset(w->s->core, 0, sizeof w->s->core);
    int err = words_keyword(w, "core");
    if (err == OK && !words_more(w)) {
        err = words_bad_line(w, "the line ends where a node of the core is expected");
    }
    while (err == OK && words_more(w)) {
        struct bytes word = w->words[w->at];
        uint32_t node = 0;
        err = take_node(w, &node);
        if (err == OK && (node > SIM_NODES_MAX || w->s->core[node])) {
            err = words_bad_word(w, word, "nodes 1 to %d are expected, each once", SIM_NODES_MAX);
        }
        if (err == OK) {
            w->s->core[node] = true;
        }
    }
    return err;
}

static int parse_mode(struct words *w)
{
    struct bytes word;
    int err = words_next(w, "`safety` or `liveness core ...`", &word);
    if (err != OK) {
        return err;
    }
    if (word_is(word, "safety")) {
        w->s->mode = SIM_SAFETY;
        return OK;
    }
    if (word_is(word, "liveness")) {
        w->s->mode = SIM_LIVENESS;
        return parse_core(w);
    }
    return words_bad_word(w, word, "unknown mode; `safety`, or `liveness core 1 2 3`");
}

static int option_value(struct words *w, uint32_t option, struct bytes word, uint64_t *ret_value)
{
    static const struct word_suffix sizes[] = {
        {"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};
    static const struct word_suffix counts[] = {{"", 1}, {NULL, 0}};
    switch (scenario_option_unit(option)) {
    case UNIT_TIME:
        return word_duration(word, ret_value)
                   ? OK
                   : words_bad_word(w, word, "%s is expected", words_duration_shape);
    case UNIT_BYTES:
        return word_suffix(word, sizes, ret_value)
                   ? OK
                   : words_bad_word(w, word, "a size such as 65536, 64KiB or 1MiB is expected");
    case UNIT_COUNT:
        return word_suffix(word, counts, ret_value)
                   ? OK
                   : words_bad_word(w, word, "a whole number is expected");
    case UNIT_FLAG:
        *ret_value = word_is(word, "on") ? 1 : 0;
        return word_is(word, "on") || word_is(word, "off")
                   ? OK
                   : words_bad_word(w, word, "`on` or `off` is expected");
    }
    UNREACHABLE();
}

static int parse_option(struct words *w)
{
    uint32_t option = 0;
    struct bytes word = {0};
    uint64_t value = 0;
    int err = words_choice(w, "option", SCENARIO_OPTIONS, scenario_option_name, &option);
    if (err == OK && (w->options_seen & UINT64_C(1) << option) != 0) {
        err = words_bad_line(w, "option %s is set a second time", scenario_option_name(option));
    }
    if (err == OK) {
        w->options_seen |= UINT64_C(1) << option;
        err = words_next(w, "the option's value", &word);
    }
    if (err == OK) {
        err = option_value(w, option, word, &value);
    }
    if (err == OK) {
        w->s->options[option] = value;
    }
    return err;
}

static int parse_clients(struct words *w)
{
    int err = words_u32(w, SIM_CLIENTS_MAX, &w->s->clients);
    while (err == OK && words_more(w)) {
        struct bytes word = w->words[w->at++];
        if (word_is(word, "keys")) {
            err = words_u32(w, SIM_KEYS_MAX, &w->s->keys);
        } else if (word_is(word, "think")) {
            err = words_span(w, &w->s->think);
        } else if (word_is(word, "timeout")) {
            err = words_duration(w, &w->s->timeout_us);
        } else if (word_is(word, "retry")) {
            err = words_percent(w, &w->s->retry_percent);
        } else {
            err = words_bad_word(w, word, "unknown; one of keys, think, timeout, retry");
        }
    }
    return err;
}

static int parse_mix(struct words *w)
{
    memset(w->s->mix, 0, sizeof w->s->mix);
    int err = OK;
    while (err == OK && words_more(w)) {
        uint32_t op = 0;
        err = words_choice(w, "operation", SIM_OPS, scenario_op_name, &op);
        if (err == OK) {
            err = words_u32(w, UINT32_MAX, &w->s->mix[op]);
        }
    }
    return err;
}

static int parse_network(struct words *w)
{
    int err = OK;
    while (err == OK && words_more(w)) {
        struct bytes word = w->words[w->at++];
        if (word_is(word, "delay")) {
            err = words_span(w, &w->s->delay);
        } else if (word_is(word, "loss")) {
            err = words_share(w, &w->s->loss_permyriad);
        } else if (word_is(word, "duplicate")) {
            err = words_share(w, &w->s->duplicate_permyriad);
        } else {
            err = words_bad_word(w, word, "unknown; one of delay, loss, duplicate");
        }
    }
    return err;
}

static int parse_disk(struct words *w)
{
    int err = OK;
    while (err == OK && words_more(w)) {
        struct bytes word = w->words[w->at++];
        if (word_is(word, "log")) {
            err = words_span(w, &w->s->log_disk);
        } else if (word_is(word, "state")) {
            err = words_span(w, &w->s->state_disk);
        } else if (word_is(word, "read")) {
            err = words_span(w, &w->s->reads);
        } else {
            err = words_bad_word(
                w, word, "unknown; one of log, state, read (a fault of a disk begins with `at`)");
        }
    }
    return err;
}

static int parse_expect(struct words *w)
{
    struct bytes word;
    int err = words_next(w, "`safe` or `gap`", &word);
    if (err != OK || word_is(word, "safe")) {
        return err; /* that is expected of every scenario */
    }
    if (!word_is(word, "gap")) {
        return words_bad_word(w, word, "unknown expectation; one of safe, gap");
    }
    return words_u32(w, UINT32_MAX, &w->s->gap_elections);
}

static const struct {
    const char *word;
    int (*parse)(struct words *w);
    bool repeats;
} LINES[] = {
    {"scenario", parse_version, false}, {"engine", parse_engine, false},
    {"nodes", parse_nodes, false},      {"seed", parse_seed, false},
    {"length", parse_length, false},    {"mode", parse_mode, false},
    {"option", parse_option, true},     {"clients", parse_clients, false},
    {"mix", parse_mix, false},          {"network", parse_network, false},
    {"disk", parse_disk, false},        {"at", parse_at, true},
    {"expect", parse_expect, true},
};

static const char *line_word(uint32_t i)
{
    return LINES[i].word;
}

static int parse_line(struct words *w, struct bytes line)
{
    int err = words_split(w, line);
    if (err != OK || w->count == 0) {
        return err;
    }
    struct bytes word = w->words[0];
    uint32_t i = 0;
    err = words_choice(w, "line", ARRAY_SIZE(LINES), line_word, &i);
    if (err != OK) {
        return err;
    }
    if (w->lines_seen == 0 && i != 0) {
        return words_bad_word(w, word, "the first line is `scenario 2`");
    }
    if (!LINES[i].repeats && (w->lines_seen & UINT64_C(1) << i) != 0) {
        return words_bad_word(w, word, "this line is there a second time");
    }
    w->lines_seen |= UINT64_C(1) << i;
    err = LINES[i].parse(w);
    if (err == OK && words_more(w)) {
        err = words_bad_word(w, w->words[w->at],
                             "not expected here: the line is complete without it");
    }
    return err;
}

int scenario_parse(struct bytes text, struct scenario *ret_scenario, struct buf *error)
{
    struct words w = {.s = ret_scenario, .error = error};
    scenario_init(ret_scenario, NULL, 1);
    while (text.size > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end == NULL ? text.size : (size_t) (end - text.data);
        w.line++;
        int err = parse_line(&w, bytes_of(text.data, size));
        if (err != OK) {
            return err;
        }
        size_t used = end == NULL ? size : size + 1;
        text = bytes_of(text.data + used, text.size - used);
    }
    if (w.lines_seen == 0) {
        w.line++;
        return words_bad_line(&w, "nothing is there; a scenario begins with `scenario 2`");
    }
    return OK;
}

/*
 * scenario_parse_step.c - the lines of a scenario that say when something happens: `at` a time, or
 * `when` a condition becomes true.
 */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/sim/scenario_words.h"

/* Operands. */

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

int words_node(struct words *w, uint32_t *ret_node)
{
    struct bytes word;
    int err = words_next(w, "a node", &word);
    if (err == OK && !is_node(word, ret_node)) {
        err = words_bad_word(w, word, "a node is expected: 1 to %d, leader or all", SIM_NODES_MAX);
    }
    return err;
}

/* The nodes a step is for: one step for each, as they may end at times of their own. */
struct nodes {
    uint32_t node[SIM_NODES_MAX + 2];
    uint32_t count;
};

static int take_nodes(struct words *w, struct nodes *nodes)
{
    uint32_t node = 0;
    do {
        struct bytes word = words_more(w) ? w->words[w->at] : bytes_str("");
        int err = words_node(w, &node);
        for (uint32_t i = 0; i < nodes->count && err == OK; i++) {
            if (nodes->node[i] == node) {
                err = words_bad_word(w, word, "each node is named once");
            }
        }
        if (err != OK) {
            return err;
        }
        ASSERT(nodes->count < ARRAY_SIZE(nodes->node));
        nodes->node[nodes->count++] = node;
    } while (words_more(w) && !words_peek_elections(w) && is_node(w->words[w->at], &node));
    return OK;
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

/* Where a time can only be how long it lasts, `for` may be left out. */
static int take_lasting(struct words *w, struct sim_step *step)
{
    if (words_peek(w, "for")) {
        w->at++;
    }
    return words_duration(w, &step->for_us);
}

enum { QUALITY_DELAY = 1, QUALITY_LOSS = 2, QUALITY_DUPLICATE = 4, QUALITY_RATE = 8 };

static int take_quality_word(struct words *w, struct sim_step *step, uint32_t *said)
{
    struct bytes word;
    uint32_t what = 0;
    int err = words_next(w, "`delay`, `loss`, `duplicate` or `rate`", &word);
    if (err != OK) {
        return err;
    }
    if (word_is(word, "delay")) {
        what = QUALITY_DELAY;
        err = words_span(w, &step->delay);
    } else if (word_is(word, "loss")) {
        what = QUALITY_LOSS;
        err = words_share(w, &step->loss_permyriad);
    } else if (word_is(word, "duplicate")) {
        what = QUALITY_DUPLICATE;
        err = words_share(w, &step->duplicate_permyriad);
    } else if (word_is(word, "rate")) {
        what = QUALITY_RATE;
        err = words_size(w, &step->rate);
        if (err == OK && step->rate == 0) {
            err = words_bad_word(w, word,
                                 "a rate is at least 1 byte a second; leave it out for "
                                 "any, or cut the link");
        }
    } else {
        return words_bad_word(w, word, "`delay`, `loss`, `duplicate` or `rate` is expected here");
    }
    if (err == OK && (*said & what) != 0) {
        err = words_bad_word(w, word, "it is said a second time");
    }
    *said |= what;
    return err;
}

/* What is not said is as the network has it. */
static int take_quality(struct words *w, struct sim_step *step)
{
    uint32_t said = 0;
    int err = take_link(w, step);
    step->delay = w->s->delay;
    step->loss_permyriad = w->s->loss_permyriad;
    step->duplicate_permyriad = w->s->duplicate_permyriad;
    while (err == OK && (said == 0 || (words_more(w) && !words_peek(w, "for")))) {
        err = take_quality_word(w, step, &said);
    }
    return err;
}

static int take_groups(struct words *w, struct sim_step *step)
{
    uint8_t group = 1;
    bool empty = true;
    while (words_more(w) && !words_peek(w, "for")) {
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

/* `slow 100`: so many times; `slow 200ms`: each sync takes that much longer, which is another
 * kind. */
static int take_factor(struct words *w, struct sim_step *step)
{
    uint64_t factor = 0;
    struct bytes rest = words_more(w) ? w->words[w->at] : bytes_str("");
    bool whole = word_digits(&rest, &factor) && rest.size == 0;
    if (words_more(w) && (!whole || words_peek_elections(w))) {
        uint64_t us = 0;
        if (!words_peek_elections(w) && !word_duration(w->words[w->at], &us)) {
            return words_bad_word(w, w->words[w->at],
                                  "a factor such as 100 or a duration such as 200ms is expected");
        }
        step->kind = STEP_DISK_DELAY;
        return take_amount(w, step);
    }
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

/* Of the forms that begin with nodes; `restart` alone is for all. */
static int take_node_operands(struct words *w, struct sim_step *step, struct nodes *nodes)
{
    enum step_form form = scenario_step_form(step->kind);
    if (step->kind == STEP_RESTART && !words_more(w)) {
        *nodes = (struct nodes){{SIM_NODE_ALL}, 1};
        return OK;
    }
    int err = take_nodes(w, nodes);
    if (err == OK && form == FORM_NODE_FOR) {
        err = take_lasting(w, step);
    } else if (err == OK && form == FORM_NODE_TURN) {
        err = take_turn(w, step);
    }
    return err;
}

/* For disks and clocks the node came before the word. */
static int take_operands(struct words *w, struct sim_step *step, struct nodes *nodes)
{
    int err = OK;
    switch (scenario_step_form(step->kind)) {
    case FORM_NONE:
    case FORM_DISK:
        return OK;
    case FORM_NODE:
    case FORM_NODE_FOR:
    case FORM_NODE_TURN:
        return take_node_operands(w, step, nodes);
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
        step->what = SIM_CALL_SYNC;
        return words_more(w) ? take_what(w, step, "call of the disk", scenario_call_name) : OK;
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

/* Faults. */

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

static int add_steps(struct words *w, struct sim_step *step, const struct nodes *nodes)
{
    for (uint32_t i = 0; i < u64_max(nodes->count, 1); i++) {
        if (w->s->steps_count == SIM_STEPS_MAX) {
            return words_bad_line(w, "more than %d steps", SIM_STEPS_MAX);
        }
        step->a = nodes->count == 0 ? step->a : nodes->node[i];
        scenario_add(w->s, step);
    }
    return OK;
}

/* The word that says what happens, with the node before it that disks and clocks have. */
static int take_fault(struct words *w, struct sim_step *step)
{
    struct bytes word;
    enum step_family family = FAMILY_NODE;
    int err = words_next(w, "a fault", &word);
    if (err == OK && (word_is(word, "disk") || word_is(word, "clock"))) {
        family = word_is(word, "disk") ? FAMILY_DISK : FAMILY_CLOCK;
        err = words_node(w, &step->a);
        if (err == OK) {
            err = words_next(w, "a fault", &word);
        }
    }
    if (err != OK) {
        return err;
    }
    for (uint8_t kind = 0; kind < STEP_KINDS; kind++) {
        if (scenario_step_family(kind) == family && word_is(word, scenario_step_word(kind))) {
            step->kind = kind;
            return OK;
        }
    }
    return bad_fault(w, word, family);
}

static int parse_step(struct words *w, struct sim_step *step)
{
    struct nodes nodes = {.count = 0};
    int err = take_fault(w, step);
    if (err == OK) {
        err = take_operands(w, step, &nodes);
    }
    if (err == OK && words_peek(w, "for") && scenario_step_ends(step->kind)) {
        err = take_for(w, step);
    }
    return err != OK ? err : add_steps(w, step, &nodes);
}

int words_parse_at(struct words *w)
{
    struct sim_step step = {0};
    int err = words_duration(w, &step.at_us);
    return err != OK ? err : parse_step(w, &step);
}

/* Conditions. */

/* Takes the words of a condition if they are the next ones. */
static bool take_condition(struct words *w, uint8_t kind)
{
    struct bytes rest = bytes_str(scenario_when_words(kind));
    uint32_t at = w->at;
    while (rest.size > 0) {
        const uint8_t *blank = memchr(rest.data, ' ', rest.size);
        size_t size = blank == NULL ? rest.size : (size_t) (blank - rest.data);
        if (at == w->count || !bytes_equal(w->words[at], bytes_of(rest.data, size))) {
            return false;
        }
        at++;
        size += blank == NULL ? 0 : 1;
        rest = bytes_of(rest.data + size, rest.size - size);
    }
    w->at = at;
    return true;
}

static int bad_condition(struct words *w)
{
    char list[WORDS_LIST_MAX] = "";
    struct bytes word;
    int err = words_next(w, "a condition", &word);
    for (uint8_t kind = WHEN_TIME + 1; kind < WHEN_KINDS; kind++) {
        words_list_add(list, scenario_when_words(kind));
    }
    return err != OK ? err : words_bad_word(w, word, "unknown condition; one of %s", list);
}

static int take_when(struct words *w, struct sim_when *when)
{
    when->kind = WHEN_TIME + 1;
    while (when->kind < WHEN_KINDS && !take_condition(w, when->kind)) {
        when->kind++;
    }
    if (when->kind == WHEN_KINDS) {
        return bad_condition(w);
    }
    switch (scenario_when_operand(when->kind)) {
    case OPERAND_NODE: {
        struct bytes word = words_more(w) ? w->words[w->at] : bytes_str("");
        int err = words_node(w, &when->node);
        return err == OK && when->node > SIM_NODES_MAX
                   ? words_bad_word(w, word, "a node's number, 1 to %d, is expected", SIM_NODES_MAX)
                   : err;
    }
    case OPERAND_COUNT:
        return words_number(w, UINT64_MAX, &when->count);
    default:
        return OK;
    }
}

enum { SAID_FROM = 1, SAID_AFTER = 2, SAID_TIMES = 4 };

/* `from 2s after 50ms times 3`, any of them, in any order. */
static int take_limits(struct words *w, struct sim_step *step)
{
    uint32_t said = 0;
    for (;;) {
        struct bytes word = words_more(w) ? w->words[w->at] : bytes_str("");
        uint32_t what = word_is(word, "from")    ? SAID_FROM
                        : word_is(word, "after") ? SAID_AFTER
                        : word_is(word, "times") ? SAID_TIMES
                                                 : 0;
        if (what == 0) {
            return OK;
        }
        if ((said & what) != 0) {
            return words_bad_word(w, word, "it is said a second time");
        }
        said |= what;
        w->at++;
        int err = what == SAID_TIMES
                      ? words_u32(w, UINT32_MAX, &step->when.times)
                      : words_duration(w, what == SAID_FROM ? &step->at_us : &step->when.after_us);
        if (err != OK) {
            return err;
        }
    }
}

int words_parse_when(struct words *w)
{
    struct sim_step step = {.when = {.times = 1}};
    int err = take_when(w, &step.when);
    if (err == OK) {
        err = take_limits(w, &step);
    }
    return err != OK ? err : parse_step(w, &step);
}

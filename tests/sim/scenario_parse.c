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

/* Lines. */

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
        err = words_node(w, &node);
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

static int option_value(struct words *w, uint32_t option, uint64_t *ret_value)
{
    struct bytes word;
    int err = OK;
    switch (scenario_option_unit(option)) {
    case UNIT_TIME:
        return words_duration(w, ret_value);
    case UNIT_BYTES:
        return words_size(w, ret_value);
    case UNIT_COUNT:
        return words_number(w, UINT64_MAX, ret_value);
    case UNIT_FLAG:
        err = words_next(w, "`on` or `off`", &word);
        if (err == OK && !word_is(word, "on") && !word_is(word, "off")) {
            err = words_bad_word(w, word, "`on` or `off` is expected");
        }
        if (err == OK) {
            *ret_value = word_is(word, "on") ? 1 : 0;
        }
        return err;
    }
    UNREACHABLE();
}

static int parse_option(struct words *w)
{
    uint32_t option = 0;
    uint64_t value = 0;
    uint64_t election_us = w->election_us;
    int err = words_choice(w, "option", SCENARIO_OPTIONS, scenario_option_name, &option);
    if (err == OK && (w->options_seen & UINT64_C(1) << option) != 0) {
        err = words_bad_line(w, "option %s is set a second time", scenario_option_name(option));
    }
    if (err == OK) {
        w->options_seen |= UINT64_C(1) << option;
        w->election_us = option == OPTION_ELECTION ? 0 : election_us; /* not by itself */
        err = option_value(w, option, &value);
        w->election_us = election_us;
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
        } else if (word_is(word, "rate")) {
            err = words_u32(w, UINT32_MAX, &w->s->rate);
        } else if (word_is(word, "value")) {
            err = words_sizes(w, &w->s->value);
        } else if (word_is(word, "reads")) {
            err = words_keyword(w, "local");
            w->s->reads_local = true;
        } else {
            err = words_bad_word(
                w, word, "unknown; one of keys, think, rate, value, timeout, retry, reads local");
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

enum { EXPECT_SAFE = 1, EXPECT_GAP = 2, EXPECT_RED = 4 };

/* A letter and a number, as properties are named. */
static bool is_property(struct bytes word)
{
    uint64_t number = 0;
    struct bytes rest = bytes_of(word.data + 1, word.size - 1);
    return word.size < SCENARIO_PROPERTY_MAX && word.data[0] >= 'A' && word.data[0] <= 'Z' &&
           word_digits(&rest, &number) && rest.size == 0;
}

static int parse_red(struct words *w)
{
    w->s->expect_red = true;
    if (!words_more(w)) {
        return OK;
    }
    struct bytes word = w->words[w->at++];
    if (!is_property(word)) {
        return words_bad_word(w, word, "a property such as K1 is expected, or nothing for any");
    }
    memcpy(w->s->expect_property, word.data, word.size);
    w->s->expect_property[word.size] = '\0';
    return OK;
}

/* `available within 4 election-timeouts`; the number is whole. */
static int parse_available(struct words *w)
{
    int err = words_keyword(w, "within");
    if (err == OK) {
        err = words_u32(w, UINT32_MAX, &w->s->gap_elections);
    }
    if (err == OK && words_peek(w, "elections")) {
        w->at++;
        return OK;
    }
    return err != OK ? err : words_keyword(w, "election-timeouts");
}

static int parse_expect(struct words *w)
{
    struct bytes word;
    uint32_t what = 0;
    int err = words_next(w, "`safe`, `available`, `gap` or `red`", &word);
    if (err != OK) {
        return err;
    }
    if (word_is(word, "safe")) {
        what = EXPECT_SAFE; /* of every scenario that does not expect red */
    } else if (word_is(word, "gap")) {
        what = EXPECT_GAP;
        err = words_u32(w, UINT32_MAX, &w->s->gap_elections);
    } else if (word_is(word, "available")) {
        what = EXPECT_GAP;
        err = parse_available(w);
    } else if (word_is(word, "red")) {
        what = EXPECT_RED;
        err = parse_red(w);
    } else {
        return words_bad_word(w, word, "unknown expectation; one of safe, available, gap, red");
    }
    if (err == OK && (w->expects_seen & what) != 0) {
        err = words_bad_word(w, word, "an expectation of this kind is there already");
    }
    w->expects_seen |= what;
    if (err == OK && (w->expects_seen & EXPECT_RED) != 0 && w->expects_seen != EXPECT_RED) {
        err = words_bad_word(w, word,
                             "a run that is to be red cannot be expected to be safe or "
                             "available as well");
    }
    return err;
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
    {"disk", parse_disk, false},        {"at", words_parse_at, true},
    {"when", words_parse_when, true},   {"expect", parse_expect, true},
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

/* Takes the next line off the text. */
static struct bytes next_line(struct bytes *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end == NULL ? text->size : (size_t) (end - text->data);
    size_t used = end == NULL ? size : size + 1;
    struct bytes line = bytes_of(text->data, size);
    *text = bytes_of(text->data + used, text->size - used);
    return line;
}

/* What steps are told by, wherever in the file it is said: how long an election time-out is, and
 * what the network is like. Errors are found again when it is their line's turn. */
static void scan(struct words *w, struct bytes text)
{
    struct buf *error = w->error;
    uint64_t election_us = w->s->options[OPTION_ELECTION];
    w->error = NULL;
    while (text.size > 0) {
        if (words_split(w, next_line(&text)) != OK || w->count == 0) {
            continue;
        }
        w->at = 1;
        if (word_is(w->words[0], "network")) {
            ERR_IGNORE(parse_network(w));
        } else if (w->count > 2 && word_is(w->words[0], "option") &&
                   word_is(w->words[1], "election")) {
            ERR_IGNORE(word_duration(w->words[2], &election_us) ? OK : ERR_INVALID);
        }
    }
    w->election_us = election_us;
    w->error = error;
}

/* Adds the words of a line, one blank before each; false: there is no room for the next one. */
static bool add_words(char about[SCENARIO_ABOUT_MAX], struct bytes line)
{
    size_t used = strlen(about);
    for (size_t i = 0; i < line.size;) {
        size_t end = i;
        while (end < line.size && line.data[end] > ' ' && line.data[end] != 127) {
            end++;
        }
        size_t size = end - i;
        if (size == 0) {
            i++;
            continue;
        }
        if (used + size + 2 > SCENARIO_ABOUT_MAX) {
            return false;
        }
        if (used > 0) {
            about[used++] = ' ';
        }
        memcpy(about + used, line.data + i, size);
        used += size;
        about[used] = '\0';
        i = end;
    }
    return true;
}

/* The comment above the first line. */
static void take_about(struct scenario *s, struct bytes text)
{
    bool room = true;
    while (text.size > 0 && room) {
        struct bytes line = next_line(&text);
        size_t i = 0;
        while (i < line.size && (line.data[i] == ' ' || line.data[i] == '\t')) {
            i++;
        }
        if (i < line.size && line.data[i] == '#') {
            room = add_words(s->about, bytes_of(line.data + i + 1, line.size - i - 1));
        } else if (i < line.size && line.data[i] != '\r') {
            return;
        }
    }
}

int scenario_parse(struct bytes text, struct scenario *ret_scenario, struct buf *error)
{
    struct words w = {.s = ret_scenario, .error = error};
    scenario_init(ret_scenario, NULL, 1);
    scan(&w, text);
    take_about(ret_scenario, text);
    while (text.size > 0) {
        w.line++;
        int err = parse_line(&w, next_line(&text));
        if (err != OK) {
            return err;
        }
    }
    if (w.lines_seen == 0) {
        w.line++;
        return words_bad_line(&w, "nothing is there; a scenario begins with `scenario 2`");
    }
    return OK;
}

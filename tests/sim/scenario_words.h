/*
 * scenario_words.h - the words of a line of a scenario: taken one after another, with an error line
 * that names line and word and says what could stand there.
 */
#ifndef SYNOD_TESTS_SIM_SCENARIO_WORDS_H
#define SYNOD_TESTS_SIM_SCENARIO_WORDS_H

#include "tests/sim/scenario_internal.h"

enum { WORDS_MAX = 64, WORDS_LIST_MAX = 640 };

/* A parser in its line. */
struct words {
    struct scenario *s;
    struct buf *error;
    uint32_t line; /* from 1 */
    struct bytes words[WORDS_MAX];
    uint32_t count;
    uint32_t at;         /* the next word */
    uint64_t lines_seen; /* bitmaps: things that may be said once */
    uint64_t options_seen;
    uint32_t expects_seen;
    uint64_t election_us; /* what an election time-out is in durations; 0: none may be said */
};

/* Splits at blanks; `#` begins a comment. All below: errors are ERR_INVALID, with the line given.
 */
MUST_USE int words_split(struct words *w, struct bytes line);

/* The error line; always ERR_INVALID. */
MUST_USE int words_bad_line(struct words *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
MUST_USE int words_bad_word(struct words *w, struct bytes word, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

bool words_more(const struct words *w);
bool words_peek(const struct words *w, const char *text); /* is it the next one? */
/* Are the next two a duration such as `1.5 election-timeouts`? */
bool words_peek_elections(const struct words *w);
/* `what` is expected there, for the error. */
MUST_USE int words_next(struct words *w, const char *what, struct bytes *ret_word);
MUST_USE int words_keyword(struct words *w, const char *text);

extern const char *const words_duration_shape;
MUST_USE int words_duration(struct words *w, uint64_t *ret_us); /* `50ms`, `2 election-timeouts` */
MUST_USE int words_span(struct words *w, struct sim_span *ret_span);  /* of times */
MUST_USE int words_sizes(struct words *w, struct sim_span *ret_span); /* `256`, `16..4KiB` */
MUST_USE int words_size(struct words *w, uint64_t *ret_bytes);
MUST_USE int words_number(struct words *w, uint64_t max, uint64_t *ret_number);
MUST_USE int words_u32(struct words *w, uint32_t max, uint32_t *ret_number);
MUST_USE int words_share(struct words *w, uint32_t *ret_permyriad); /* `0.05%` */
MUST_USE int words_percent(struct words *w, uint32_t *ret_percent); /* `50%` */

/* One of name(0) to name(count - 1), of which those that are NULL are none; `what` for the error.
 */
MUST_USE int words_choice(struct words *w, const char *what, uint32_t count,
                          const char *(*name)(uint32_t), uint32_t *ret_number);
void words_list_add(char list[WORDS_LIST_MAX], const char *text); /* `a, b` */

bool word_is(struct bytes word, const char *text);
/* The digits a word begins with, consumed; false when there are none or too many. */
bool word_digits(struct bytes *word, uint64_t *ret_number);
bool word_duration(struct bytes word, uint64_t *ret_us);

/* A number, maybe with a point in it, with one of the suffixes: the first that gives a whole number
 * counts. The last has text NULL. */
struct word_suffix {
    const char *text;
    uint64_t unit;
};
bool word_suffix(struct bytes word, const struct word_suffix *suffixes, uint64_t *ret_number);

/* scenario_parse_step.c: the lines that begin with `at` and `when`. */
MUST_USE int words_parse_at(struct words *w);
MUST_USE int words_parse_when(struct words *w);
/* A node, `leader` or `all`. */
MUST_USE int words_node(struct words *w, uint32_t *ret_node);

#endif

/*
 * scenario_words.c - the words of a line of a scenario, one after another, and what is said when
 * one is wrong.
 */
#include "tests/sim/scenario_words.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WORD_SHOWN_MAX = 40, TIMES_MAX = 1000000, TIMES_DIGITS = 6 };

/* So that so many of the longest ones are no overflow. */
#define ELECTION_MAX_US (UINT64_MAX / TIMES_MAX / 4)

/* Errors. */

int words_bad_line(struct words *w, const char *format, ...)
{
    char text[SCENARIO_ERROR_MAX];
    va_list args;
    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args); /* cut to fit */
    va_end(args);
    return scenario_error(w->error, "line %u: %s", (unsigned) w->line, text);
}

/* The word as it can be shown: short, and printable. */
static void show(struct bytes word, char out[WORD_SHOWN_MAX + 4])
{
    size_t size = word.size < WORD_SHOWN_MAX ? word.size : WORD_SHOWN_MAX;
    for (size_t i = 0; i < size; i++) {
        out[i] = word.data[i] > ' ' && word.data[i] < 127 ? (char) word.data[i] : '?';
    }
    (void) snprintf(out + size, 4, "%s", word.size > size ? "..." : "");
}

int words_bad_word(struct words *w, struct bytes word, const char *format, ...)
{
    char text[SCENARIO_ERROR_MAX];
    char shown[WORD_SHOWN_MAX + 4];
    va_list args;
    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args); /* cut to fit */
    va_end(args);
    show(word, shown);
    return words_bad_line(w, "`%s`: %s", shown, text);
}

/* Words. */

bool word_is(struct bytes word, const char *text)
{
    return bytes_equal(word, bytes_str(text));
}

int words_next(struct words *w, const char *what, struct bytes *ret_word)
{
    if (w->at == w->count) {
        return words_bad_line(w, "the line ends where %s is expected", what);
    }
    *ret_word = w->words[w->at++];
    return OK;
}

bool words_more(const struct words *w)
{
    return w->at < w->count;
}

bool words_peek(const struct words *w, const char *text)
{
    return w->at < w->count && word_is(w->words[w->at], text);
}

int words_keyword(struct words *w, const char *text)
{
    char what[WORD_SHOWN_MAX];
    struct bytes word;
    (void) snprintf(what, sizeof what, "`%s`", text);
    int err = words_next(w, what, &word);
    if (err == OK && !word_is(word, text)) {
        err = words_bad_word(w, word, "%s is expected here", what);
    }
    return err;
}

/* Numbers. */

/* The digits a word begins with; false when there are none or too many. Consumes them. */
bool word_digits(struct bytes *word, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t i = 0;
    while (i < word->size && word->data[i] >= '0' && word->data[i] <= '9') {
        uint64_t digit = (uint64_t) (word->data[i] - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
        i++;
    }
    *word = bytes_of(word->data + i, word->size - i);
    *ret_number = number;
    return i > 0;
}

/* Digits, maybe with a point in them, times unit; the suffix is what remains of the word. False
 * when it is no number or not a whole one. */
static bool decimal(struct bytes *word, uint64_t unit, uint64_t *ret_number)
{
    uint64_t whole = 0;
    uint64_t part = 0;
    if (!word_digits(word, &whole) || whole > UINT64_MAX / unit) {
        return false;
    }
    if (word->size > 0 && word->data[0] == '.') {
        struct bytes fraction = bytes_of(word->data + 1, word->size - 1);
        uint64_t place = unit;
        uint64_t number = 0;
        size_t size = fraction.size;
        if (!word_digits(&fraction, &number)) {
            return false;
        }
        for (size_t i = fraction.size; i < size; i++) {
            if (place % 10 != 0) {
                return false;
            }
            place /= 10;
        }
        part = number * place; /* below unit: as many digits as places */
        *word = fraction;
    }
    if (part > UINT64_MAX - whole * unit) {
        return false;
    }
    *ret_number = whole * unit + part;
    return true;
}

bool word_suffix(struct bytes word, const struct word_suffix *suffixes, uint64_t *ret_number)
{
    for (; suffixes->text != NULL; suffixes++) {
        struct bytes rest = word;
        uint64_t number = 0;
        if (decimal(&rest, suffixes->unit, &number) && word_is(rest, suffixes->text)) {
            *ret_number = number;
            return true;
        }
    }
    return false;
}

bool word_duration(struct bytes word, uint64_t *ret_us)
{
    static const struct word_suffix units[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}, {NULL, 0}};
    if (word_is(word, "0")) {
        *ret_us = 0;
        return true;
    }
    return word_suffix(word, units, ret_us);
}

const char *const words_duration_shape = "a duration such as 250us, 50ms, 1.5s, 0 or 2 "
                                         "election-timeouts, in whole microseconds";

static bool is_elections(struct bytes word)
{
    return word_is(word, "election-timeouts") || word_is(word, "election-timeout") ||
           word_is(word, "elections");
}

bool words_peek_elections(const struct words *w)
{
    uint8_t first = w->at < w->count ? w->words[w->at].data[0] : 0;
    return w->at + 1 < w->count && first >= '0' && first <= '9' &&
           is_elections(w->words[w->at + 1]);
}

/* Digits, maybe with a point in them, times unit, rounded down. */
static bool word_times(struct bytes word, uint64_t unit, uint64_t *ret_number)
{
    uint64_t whole = 0;
    uint64_t number = 0;
    uint64_t places = 1;
    if (!word_digits(&word, &whole)) {
        return false;
    }
    if (word.size > 0 && word.data[0] == '.') {
        struct bytes fraction = bytes_of(word.data + 1, word.size - 1);
        size_t size = fraction.size;
        if (size > TIMES_DIGITS || !word_digits(&fraction, &number)) {
            return false;
        }
        for (size_t i = fraction.size; i < size; i++) {
            places *= 10;
        }
        word = fraction;
    }
    if (word.size > 0 || whole > TIMES_MAX) {
        return false;
    }
    *ret_number = whole * unit + number * unit / places;
    return true;
}

static int words_elections(struct words *w, uint64_t *ret_us)
{
    struct bytes word = w->words[w->at];
    if (w->election_us == 0) {
        return words_bad_word(w, w->words[w->at + 1], "the election time-out itself is a time");
    }
    if (w->election_us > ELECTION_MAX_US) {
        return words_bad_word(w, w->words[w->at + 1], "option election is too long for this");
    }
    w->at += 2;
    return word_times(word, w->election_us, ret_us)
               ? OK
               : words_bad_word(w, word,
                                "a number of election time-outs such as 2 or 1.5, at most %d with "
                                "%d digits behind the point, is expected",
                                TIMES_MAX, TIMES_DIGITS);
}

int words_duration(struct words *w, uint64_t *ret_us)
{
    struct bytes word;
    if (words_peek_elections(w)) {
        return words_elections(w, ret_us);
    }
    int err = words_next(w, "a duration such as 50ms", &word);
    if (err == OK && !word_duration(word, ret_us)) {
        err = words_bad_word(w, word, "%s is expected", words_duration_shape);
    }
    return err;
}

static const struct word_suffix sizes[] = {
    {"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};

static bool word_size(struct bytes word, uint64_t *ret_bytes)
{
    return word_suffix(word, sizes, ret_bytes);
}

int words_size(struct words *w, uint64_t *ret_bytes)
{
    struct bytes word;
    int err = words_next(w, "a size such as 64KiB", &word);
    if (err == OK && !word_size(word, ret_bytes)) {
        err = words_bad_word(w, word, "a size such as 65536, 64KiB or 1MiB is expected");
    }
    return err;
}

/* Where `text` is inside of the word, not at its ends; word.size: nowhere. */
static size_t find(struct bytes word, const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 1; i + size < word.size; i++) {
        if (memcmp(word.data + i, text, size) == 0) {
            return i;
        }
    }
    return word.size;
}

/* `A..B`, `A+-B` or `A`. */
static bool word_span(struct bytes word, bool (*parse)(struct bytes word, uint64_t *ret),
                      struct sim_span *ret_span)
{
    static const char *const separators[] = {"..", "+-"};
    for (uint32_t i = 0; i < 2; i++) {
        size_t at = find(word, separators[i]);
        if (at == word.size) {
            continue;
        }
        uint64_t a = 0;
        uint64_t b = 0;
        if (!parse(bytes_of(word.data, at), &a) ||
            !parse(bytes_of(word.data + at + 2, word.size - at - 2), &b)) {
            return false;
        }
        if (i == 1 && (b > a || a > UINT64_MAX - b)) {
            return false;
        }
        *ret_span = i == 0 ? (struct sim_span){a, b} : (struct sim_span){a - b, a + b};
        return true;
    }
    uint64_t one = 0;
    if (!parse(word, &one)) {
        return false;
    }
    *ret_span = (struct sim_span){one, one};
    return true;
}

int words_span(struct words *w, struct sim_span *ret_span)
{
    struct bytes word;
    int err = words_next(w, "a span such as 1ms..3ms", &word);
    if (err == OK && !word_span(word, word_duration, ret_span)) {
        err = words_bad_word(w, word,
                             "a span such as 1ms..3ms, 0..1.5s, 2ms or 20ms+-10ms is expected");
    }
    return err;
}

int words_sizes(struct words *w, struct sim_span *ret_span)
{
    struct bytes word;
    int err = words_next(w, "a size such as 256", &word);
    if (err == OK && !word_span(word, word_size, ret_span)) {
        err = words_bad_word(w, word, "sizes such as 256, 16..4096 or 1KiB are expected");
    }
    return err;
}

int words_number(struct words *w, uint64_t max, uint64_t *ret_number)
{
    struct bytes word;
    uint64_t number = 0;
    int err = words_next(w, "a number", &word);
    if (err != OK) {
        return err;
    }
    struct bytes rest = word;
    if (!word_digits(&rest, &number) || rest.size > 0 || number > max) {
        return words_bad_word(w, word, "a whole number, at most %" PRIu64 ", is expected", max);
    }
    *ret_number = number;
    return OK;
}

int words_u32(struct words *w, uint32_t max, uint32_t *ret_number)
{
    uint64_t number = 0;
    int err = words_number(w, max, &number);
    if (err == OK) {
        *ret_number = (uint32_t) number;
    }
    return err;
}

int words_share(struct words *w, uint32_t *ret_permyriad)
{
    static const struct word_suffix units[] = {{"%", 100}, {NULL, 0}};
    struct bytes word;
    uint64_t number = 0;
    int err = words_next(w, "a share such as 0.5%", &word);
    if (err == OK && (!word_suffix(word, units, &number) || number > 10000)) {
        err = words_bad_word(w, word, "a share from 0%% to 100%% such as 0.05%% is expected");
    }
    if (err == OK) {
        *ret_permyriad = (uint32_t) number;
    }
    return err;
}

int words_percent(struct words *w, uint32_t *ret_percent)
{
    static const struct word_suffix units[] = {{"%", 1}, {NULL, 0}};
    struct bytes word;
    uint64_t number = 0;
    int err = words_next(w, "a share such as 50%", &word);
    if (err == OK && (!word_suffix(word, units, &number) || number > 100)) {
        err = words_bad_word(w, word, "a whole share from 0%% to 100%% is expected");
    }
    if (err == OK) {
        *ret_percent = (uint32_t) number;
    }
    return err;
}

/* Lists of what is allowed. */

void words_list_add(char list[WORDS_LIST_MAX], const char *text)
{
    size_t used = strlen(list);
    (void) snprintf(list + used, WORDS_LIST_MAX - used, "%s%s", used == 0 ? "" : ", ", text);
}

static int bad_choice(struct words *w, struct bytes word, const char *what, uint32_t count,
                      const char *(*name)(uint32_t))
{
    char list[WORDS_LIST_MAX] = "";
    for (uint32_t i = 0; i < count; i++) {
        if (name(i) != NULL) {
            words_list_add(list, name(i));
        }
    }
    return words_bad_word(w, word, "unknown %s; one of %s", what, list);
}

int words_choice(struct words *w, const char *what, uint32_t count, const char *(*name)(uint32_t),
                 uint32_t *ret_number)
{
    struct bytes word;
    int err = words_next(w, what, &word);
    if (err != OK) {
        return err;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (name(i) != NULL && word_is(word, name(i))) {
            *ret_number = i;
            return OK;
        }
    }
    return bad_choice(w, word, what, count, name);
}

/* Lines. */

/* Splits at blanks; `#` begins a comment. */
int words_split(struct words *w, struct bytes line)
{
    w->count = 0;
    w->at = 0;
    for (size_t i = 0; i < line.size && line.data[i] != '#';) {
        size_t end = i;
        while (end < line.size && line.data[end] != ' ' && line.data[end] != '\t' &&
               line.data[end] != '\r' && line.data[end] != '#') {
            end++;
        }
        if (end == i) {
            i++;
            continue;
        }
        if (w->count == WORDS_MAX) {
            return words_bad_line(w, "more than %d words", WORDS_MAX);
        }
        w->words[w->count++] = bytes_of(line.data + i, end - i);
        i = end;
    }
    return OK;
}

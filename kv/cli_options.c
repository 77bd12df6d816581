/*
 * cli_options.c - see cli_options.h.
 */
#include "kv/cli_options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    LONG_BASE = 256, /* getopt's value of row i is LONG_BASE + i, beyond every letter */
    WORD_MAX = 32,   /* longer words are nobody's typing error */
    TYPING_ERRORS = 2,
};

/* ---- Values ---- */

int cli_parse_number(const char *text, int64_t *ret_number)
{
    char *end = NULL;
    long long number;

    if (!isdigit((unsigned char) text[0])) {
        return ERR_INVALID;
    }
    errno = 0;
    number = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0') {
        return ERR_INVALID;
    }
    *ret_number = number;
    return OK;
}

int cli_parse_duration(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"", 1000}};
    char *end = NULL;
    double value;

    if (!isdigit((unsigned char) text[0])) {
        return ERR_INVALID;
    }
    value = strtod(text, &end);
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strcmp(end, units[i].unit) == 0) {
            double ms = value * units[i].ms;

            if (!(ms >= 1 && ms <= 1e12)) {
                return ERR_INVALID;
            }
            *ret_ms = (int64_t) ms;
            return OK;
        }
    }
    return ERR_INVALID;
}

/* ---- Suggestions ---- */

/* Letters to insert, drop, replace or swap to get from a to b (optimal string alignment). */
static uint32_t distance(const char *a, const char *b)
{
    uint32_t d[WORD_MAX + 1][WORD_MAX + 1];
    size_t na = strlen(a);
    size_t nb = strlen(b);

    if (na > WORD_MAX || nb > WORD_MAX) {
        return UINT32_MAX;
    }
    for (size_t i = 0; i <= na; i++) {
        for (size_t j = 0; j <= nb; j++) {
            uint32_t best;

            if (i == 0 || j == 0) {
                d[i][j] = (uint32_t) (i + j);
                continue;
            }
            best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = (uint32_t) u64_min(best, d[i - 1][j] + 1);
            best = (uint32_t) u64_min(best, d[i][j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = (uint32_t) u64_min(best, d[i - 2][j - 2] + 1);
            }
            d[i][j] = best;
        }
    }
    return d[na][nb];
}

const char *cli_suggest(const char *word, const char *const *candidates, uint32_t count)
{
    const char *best = NULL;
    uint32_t best_distance = TYPING_ERRORS + 1;
    size_t size = strlen(word);

    for (uint32_t i = 0; i < count; i++) {
        const char *candidate = candidates[i];
        uint32_t n = distance(word, candidate);

        /* Two errors in a word of three letters are another word. */
        if (n * 2 > u64_max(size, strlen(candidate))) {
            n = UINT32_MAX;
        }
        if (size >= 3 && (strncmp(candidate, word, size) == 0 ||
                          strncmp(word, candidate, strlen(candidate)) == 0)) {
            n = (uint32_t) u64_min(n, TYPING_ERRORS);
        }
        if (n < best_distance) {
            best_distance = n;
            best = candidate;
        }
    }
    return best;
}

/* ---- Parsing ---- */

/* What getopt_long needs, made from the table. */
struct getopt_tables {
    struct option options[CLI_FLAGS_MAX + 1];
    char letters[2 * CLI_FLAGS_MAX + 2];
};

static void make_tables(const struct cli_flag *flags, uint32_t count, struct getopt_tables *t)
{
    size_t n = 0;

    memset(t, 0, sizeof(*t));
    t->letters[n++] = ':'; /* a missing argument is told apart */
    for (uint32_t i = 0; i < count; i++) {
        t->options[i] = (struct option){
            .name = flags[i].name,
            .has_arg = flags[i].kind == FLAG_SWITCH ? no_argument : required_argument,
            .val = LONG_BASE + (int) i,
        };
        if (flags[i].letter != 0) {
            t->letters[n++] = flags[i].letter;
            if (flags[i].kind != FLAG_SWITCH) {
                t->letters[n++] = ':';
            }
        }
    }
}

/* Row of what getopt returned. */
static const struct cli_flag *find_flag(const struct cli_flag *flags, uint32_t count, int value)
{
    for (uint32_t i = 0; i < count; i++) {
        if (value == LONG_BASE + (int) i || (value != 0 && value == flags[i].letter)) {
            return &flags[i];
        }
    }
    return NULL;
}

static int fail(struct buf *error, const char *who, const char *text)
{
    ERR_IGNORE(buf_printf(error, "%s: %s; see '%s --help'", who, text, who)); /* only a text */
    return ERR_INVALID;
}

static int unknown_flag(const char *who, const struct cli_flag *flags, uint32_t count,
                        const char *word, struct buf *error)
{
    const char *names[CLI_FLAGS_MAX];
    const char *equals = strchr(word, '=');
    const char *meant;
    char name[64];
    char text[256];
    int size = equals == NULL ? (int) strlen(word) : (int) (equals - word);

    for (uint32_t i = 0; i < count; i++) {
        names[i] = flags[i].name;
    }
    /* A longer word is cut and then resembles nothing. */
    (void) snprintf(name, sizeof(name), "%.*s", size, word);
    meant = cli_suggest(name + strspn(name, "-"), names, count);
    if (meant != NULL) {
        (void) snprintf(text, sizeof(text), "unknown flag %s; did you mean --%s?", name, meant);
    } else {
        (void) snprintf(text, sizeof(text), "unknown flag %s", name);
    }
    ERR_IGNORE(buf_printf(error, "%s: %s%s see '%s --help'", who, text, meant == NULL ? ";" : "",
                          who)); /* only a text */
    return ERR_INVALID;
}

/* `?` or `:` of getopt_long: says what is wrong with the word it stands at. */
static int bad_flag(const char *who, const struct cli_flag *flags, uint32_t count, int returned,
                    const char *word, struct buf *error)
{
    const struct cli_flag *flag = find_flag(flags, count, optopt);
    char text[256];
    char letter[3] = {'-', (char) optopt, '\0'};

    if (flag == NULL) {
        return unknown_flag(who, flags, count, optopt != 0 ? letter : word, error);
    }
    if (returned == ':') {
        (void) snprintf(text, sizeof(text), "--%s needs a value: --%s %s", flag->name, flag->name,
                        flag->argument);
    } else {
        (void) snprintf(text, sizeof(text), "--%s takes no value", flag->name);
    }
    return fail(error, who, text);
}

static int bad_value(const char *who, const struct cli_flag *flag, const char *text,
                     const char *wanted, struct buf *error)
{
    char line[256];

    (void) snprintf(line, sizeof(line), "--%s %.60s: %s", flag->name, text, wanted);
    return fail(error, who, line);
}

static int set_choice(const char *who, const struct cli_flag *flag, const char *text,
                      struct cli_value *value, struct buf *error)
{
    char wanted[160] = "one of";
    size_t size = strlen(wanted);

    for (uint32_t i = 0; flag->choices[i] != NULL; i++) {
        int n;

        if (strcasecmp(flag->choices[i], text) == 0) {
            value->number = i;
            return OK;
        }
        n = snprintf(wanted + size, sizeof(wanted) - size, "%s %s", i == 0 ? "" : ",",
                     flag->choices[i]);
        size += n > 0 && (size_t) n < sizeof(wanted) - size ? (size_t) n : 0;
    }
    return bad_value(who, flag, text, wanted, error);
}

static int set_value(const char *who, const struct cli_flag *flag, const char *text,
                     struct cli_value *value, struct buf *error)
{
    value->set = true;
    value->text = text;
    switch (flag->kind) {
    case FLAG_NUMBER:
        if (cli_parse_number(text, &value->number) != OK) {
            return bad_value(who, flag, text, "a number from 0 on is needed", error);
        }
        return OK;
    case FLAG_DURATION:
        if (cli_parse_duration(text, &value->number) != OK) {
            return bad_value(who, flag, text, "a duration is needed, like 5s, 250ms or 2m", error);
        }
        return OK;
    case FLAG_CHOICE:
        return set_choice(who, flag, text, value, error);
    default:
        return OK;
    }
}

int cli_parse(const char *who, const struct cli_flag *flags, uint32_t flags_count, int argc,
              char **argv, struct cli_args *ret_args, struct buf *error)
{
    struct getopt_tables tables;
    struct cli_args args = {0};

    ASSERT(flags_count <= CLI_FLAGS_MAX);
    make_tables(flags, flags_count, &tables);
    opterr = 0;
    optind = 0; /* glibc: forget an earlier parse */
    for (;;) {
        int at = optind == 0 ? 1 : optind;
        int value = getopt_long(argc, argv, tables.letters, tables.options, NULL);
        const struct cli_flag *flag;
        int err;

        if (value == -1) {
            break;
        }
        if (value == '?' || value == ':') {
            /* The word getopt stopped at: it has been stepped over, but for a group of letters. */
            const char *word = argv[optind > at ? optind - 1 : at];

            return bad_flag(who, flags, flags_count, value, word, error);
        }
        flag = find_flag(flags, flags_count, value);
        ASSERT(flag != NULL);
        err = set_value(who, flag, optarg, &args.values[flag - flags], error);
        if (err != OK) {
            return err;
        }
    }
    args.words = argv + optind;
    args.words_count = (uint32_t) (argc - optind);
    *ret_args = args;
    return OK;
}

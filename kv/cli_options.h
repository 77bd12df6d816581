/*
 * cli_options.h - flags and arguments of a command, by getopt_long; for the programs: kv/cli*.c and
 * synod-sim.
 *
 * A command lists its flags in a table; the parser fills one value per row. What a user may get
 * wrong is answered with one line that says what was meant.
 */
#ifndef SYNOD_KV_CLI_OPTIONS_H
#define SYNOD_KV_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { CLI_FLAGS_MAX = 24 };

enum cli_flag_kind {
    FLAG_SWITCH,   /* --prefix */
    FLAG_TEXT,     /* --config FILE */
    FLAG_NUMBER,   /* --rev N: an int64 that is not negative */
    FLAG_DURATION, /* --timeout 5s: milliseconds in `number`, above 0 */
    FLAG_CHOICE,   /* --order ascend: index into choices in `number` */
};

struct cli_flag {
    const char *name;           /* without the dashes */
    char letter;                /* 0: none */
    uint8_t kind;               /* enum cli_flag_kind */
    const char *argument;       /* how the help calls it: "FILE" */
    const char *help;           /* one line */
    const char *const *choices; /* FLAG_CHOICE: NULL-terminated */
};

struct cli_value {
    bool set;
    const char *text; /* borrowed from argv */
    int64_t number;
};

struct cli_args {
    struct cli_value values[CLI_FLAGS_MAX]; /* by row of the table */
    char **words;                           /* what is no flag, in order; borrowed from argv */
    uint32_t words_count;
};

/*
 * Parses argv[1..argc-1]; argv is reordered. `who` begins the error line: "synod get". After "--"
 * everything is a word; so is a lone "-".
 * Errors: ERR_INVALID (`error` has one line).
 */
MUST_USE int cli_parse(const char *who, const struct cli_flag *flags, uint32_t flags_count,
                       int argc, char **argv, struct cli_args *ret_args, struct buf *error);

/* "5s", "250ms", "2m", "1h", "5" (seconds) to milliseconds. Errors: ERR_INVALID. */
MUST_USE int cli_parse_duration(const char *text, int64_t *ret_ms);

/* A decimal int64 that is not negative, nothing else. Errors: ERR_INVALID. */
MUST_USE int cli_parse_number(const char *text, int64_t *ret_number);

/* The candidate that was probably meant by `word`, or NULL: at most two typing errors away, or one
 * begins with the other. */
const char *cli_suggest(const char *word, const char *const *candidates, uint32_t count);

#endif

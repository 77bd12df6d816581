/*
 * cmd_check.c - synod-sim check: is a history of a file linearizable? For histories of real
 * clusters; those of the simulator are judged in each run.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tests/sim/cmd.h"
#include "tests/sim/lincheck.h"

enum { ERROR_MAX = 1024, GAVE_UP = 3, LIMIT_S = 300 };

static const char help[] =
    "Usage: synod-sim check [--time-limit SECONDS] FILE\n"
    "\n"
    "Judges what clients of a key-value store saw: is there an order of their\n"
    "operations in which each takes effect between its call and its return? FILE has\n"
    "one JSON object a line; \"-\" is standard input.\n"
    "\n"
    "  client     string or integer; comes back under a new name after an unknown\n"
    "             outcome\n"
    "  op         put, get, cas, del, append, or txn\n"
    "  key        string\n"
    "  value      what was written (string) or read by get (null: absent)\n"
    "  expected   of cas: the value it asked for, null: must be absent\n"
    "  ok         cas swapped, get found, del existed, txn wrote: true or false\n"
    "  call_ns, return_ns\n"
    "             integers, one monotonic clock; equal times count as overlapping\n"
    "  result     ok, fail (certainly never applied) or unknown (may take effect at\n"
    "             any time after the call, or never; return_ns may be left out)\n"
    "  reads, writes\n"
    "             of txn, instead of key and value: objects of key and value\n"
    "\n"
    "get of a list that append made reads its elements joined by commas. Fields with\n"
    "other names are ignored.\n"
    "\n"
    "  --time-limit SECONDS  gives up after that (300; 0: never)\n"
    "\n"
    "Exit codes: 0 linearizable; 1 not, with the key and the first return that no\n"
    "order explains; 2 wrong usage, or a line that does not parse; 3 gave up.\n";

enum flag { CHECK_HELP, CHECK_LIMIT, CHECK_FLAGS };

static const struct cli_flag flags[] = {
    [CHECK_HELP] = CMD_HELP_FLAG,
    [CHECK_LIMIT] = {"time-limit", 0, FLAG_TEXT, "SECONDS", NULL, NULL},
};

struct check_options {
    const char *path;
    uint64_t limit_us; /* 0: none */
};

static bool is_late(void *ctx)
{
    const uint64_t *end_us = ctx;

    return cmd_now_us() >= *end_us;
}

/* One line for a verdict: to stdout what was asked, to stderr why it could not be told. */
static int print_verdict(const struct check_options *o, enum lincheck_verdict verdict,
                         const struct lincheck_report *r)
{
    switch (verdict) {
    case LINCHECK_OK:
        (void) printf("linearizable: %" PRIu64 " operations, %" PRIu64
                      " keys or groups of keys, %" PRIu64 " steps\n",
                      r->operations, r->partitions, r->steps);
        return CMD_GREEN;
    case LINCHECK_WRONG:
        (void) printf("%s\n", r->text);
        return CMD_RED;
    case LINCHECK_GAVE_UP:
        (void) printf("%s; --time-limit is %.10g s\n", r->text, (double) o->limit_us / 1e6);
        return GAVE_UP;
    default:
        return cmd_fail("check", "%s: %s", o->path, r->text);
    }
}

static int check_history(const struct check_options *o, const struct history *h)
{
    uint64_t end_us = cmd_now_us() + o->limit_us;
    struct lincheck_options options = {.give_up = o->limit_us == 0 ? NULL : is_late,
                                       .ctx = &end_us};
    struct lincheck_report report;
    enum lincheck_verdict verdict = lincheck_run(h, &options, &report);
    int code = print_verdict(o, verdict, &report);

    if (fflush(stdout) != 0) {
        return cmd_fail("check", "writing the verdict failed: %s", strerror(errno));
    }
    return code;
}

static int check_file(const struct check_options *o)
{
    bool is_stdin = strcmp(o->path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(o->path, "r");
    struct history *h;
    struct buf error;
    int code;
    int err;

    if (file == NULL) {
        return cmd_fail("check", "%s: %s", o->path, strerror(errno));
    }
    h = history_new();
    buf_init(&error, ERROR_MAX);
    err = history_read(file, h, &error);
    if (err == OK) {
        code = check_history(o, h);
    } else {
        code = cmd_fail("check", "%s: %.*s", is_stdin ? "standard input" : o->path,
                        (int) error.size, error.size > 0 ? (const char *) error.data : "");
    }
    buf_release(&error);
    history_free(h);
    if (!is_stdin) {
        (void) fclose(file); /* it was only read */
    }
    return code;
}

static int parse(const struct cli_args *args, struct check_options *o, struct buf *error)
{
    const struct cli_value *limit = &args->values[CHECK_LIMIT];

    if (args->words_count != 1) {
        ERR_IGNORE(
            buf_printf(error, "%s; synod-sim check FILE, or - for standard input",
                       args->words_count == 0 ? "no history given" : "one history at a time"));
        return ERR_INVALID;
    }
    o->path = args->words[0];
    o->limit_us = (uint64_t) LIMIT_S * 1000000;
    return limit->set ? cmd_time(limit->text, &o->limit_us, error) : OK;
}

int cmd_check(int argc, char **argv)
{
    struct check_options o = {0};
    struct cli_args args;
    struct buf error;
    int code;

    buf_init(&error, ERROR_MAX);
    if (cli_parse("synod-sim check", flags, CHECK_FLAGS, argc, argv, &args, &error) != OK) {
        (void) fprintf(stderr, "%.*s\n", (int) error.size, (const char *) error.data);
        code = CMD_USAGE;
    } else if (args.values[CHECK_HELP].set) {
        (void) fputs(help, stdout);
        code = CMD_GREEN;
    } else if (parse(&args, &o, &error) != OK) {
        code = cmd_fail("check", "%.*s; see synod-sim check --help", (int) error.size,
                        (const char *) error.data);
    } else {
        code = check_file(&o);
    }
    buf_release(&error);
    return code;
}

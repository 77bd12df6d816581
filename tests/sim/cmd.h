/*
 * cmd.h - the commands of the program synod-sim, and what they share: exit codes, which run is
 * meant, and the few things only a main may do (clock, signals).
 *
 * A command gets argv[0] = its own name. It prints results to stdout, everything else to stderr.
 */
#ifndef SYNOD_TESTS_SIM_CMD_H
#define SYNOD_TESTS_SIM_CMD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "kv/cli_options.h"
#include "tests/sim/scenario.h"

enum cmd_exit {
    CMD_GREEN = 0,
    CMD_RED = 1,           /* a property was violated, a mark never reached */
    CMD_USAGE = 2,         /* wrong usage, or input that does not parse */
    CMD_INTERRUPTED = 130, /* Ctrl-C: what was done so far was printed */
};

int cmd_run(int argc, char **argv);
int cmd_sweep(int argc, char **argv);
int cmd_shrink(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_explore(int argc, char **argv);
int cmd_compare(int argc, char **argv); /* tests/compare */
int cmd_figures(int argc, char **argv); /* tests/compare */

/* ---- main.c: what only a main may do ---- */

/* The program as it was called, for commands that are printed to be typed. */
const char *cmd_program(void);

/* Monotonic real time. Nothing in a run depends on it. */
uint64_t cmd_now_us(void);

/* From here on SIGINT and SIGTERM are counted instead of ending the program. */
void cmd_catch_interrupts(void);
uint32_t cmd_interrupts(void);

/* Width of the terminal that stderr is; 80 when it is none. */
uint32_t cmd_columns(void);

/* ---- cmd.c: shared by the commands ---- */

/* Prints "synod-sim NAME: text" to stderr and returns CMD_USAGE. */
int cmd_fail(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "0.1.0 4f3a2b1c0d9e": version and the first 12 hex digits of the program's build-id. */
enum { CMD_BUILD_MAX = 48 };
void cmd_build(char build[CMD_BUILD_MAX]);

/*
 * Which run is meant: a seed with what shapes the scenario drawn from it, or a scenario file. The
 * commands that take one begin their table of flags with CMD_TARGET_FLAGS.
 */
struct cmd_target {
    const struct engine_ops *engine; /* NULL: the file decides, or all */
    const char *path;                /* NULL: a seed */
    bool seed_set;
    uint64_t seed;
    uint32_t nodes; /* 0: drawn from the seed */
    int mode;       /* -1: drawn from the seed */
    bool beyond;
};

enum cmd_target_flag {
    TARGET_HELP,
    TARGET_ENGINE,
    TARGET_SEED,
    TARGET_NODES,
    TARGET_MODE,
    TARGET_BEYOND,
    TARGET_SCENARIO,
    TARGET_FLAGS,
};

/* A command that takes a target: its flags begin with CMD_TARGET_FLAGS. */
struct cmd_target_command {
    const char *name; /* "run" */
    const char *help;
    const struct cli_flag *flags;
    uint32_t flags_count;
    int (*run)(const struct cli_args *args, struct cmd_target *target, struct buf *error);
};

/* Parses, then prints the help or runs. Returns an exit code; wrong usage is told. */
int cmd_target_main(const struct cmd_target_command *command, int argc, char **argv);

extern const char *const cmd_modes[]; /* safety, liveness, NULL */

#define CMD_HELP_FLAG                                                                              \
    {                                                                                              \
        "help", 'h', FLAG_SWITCH, NULL, NULL, NULL                                                 \
    }
#define CMD_TARGET_FLAGS                                                                           \
    [TARGET_HELP] = CMD_HELP_FLAG, [TARGET_ENGINE] = {"engine", 'e',  FLAG_TEXT,                   \
                                                      "ENGINE", NULL, NULL},                       \
    [TARGET_SEED] = {"seed", 's', FLAG_TEXT, "SEED", NULL, NULL},                                  \
    [TARGET_NODES] = {"nodes", 'n', FLAG_NUMBER, "N", NULL, NULL}, [TARGET_MODE] = {"mode",        \
                                                                                    0,             \
                                                                                    FLAG_CHOICE,   \
                                                                                    "MODE",        \
                                                                                    NULL,          \
                                                                                    cmd_modes},    \
    [TARGET_BEYOND] = {"beyond", 0, FLAG_SWITCH, NULL, NULL, NULL},                                \
    [TARGET_SCENARIO] = {"scenario", 0, FLAG_TEXT, "FILE", NULL, NULL}

/* What CMD_TARGET_FLAGS mean, for the help of a command. */
#define CMD_TARGET_HELP                                                                            \
    "  -e, --engine ENGINE  raft, multipaxos or paxos\n"                                           \
    "  -s, --seed SEED      a number, or ENGINE:NUMBER as a red run prints it\n"                   \
    "  -n, --nodes N        1 to 7 nodes instead of a number drawn from the seed\n"                \
    "  --mode MODE          safety or liveness instead of one drawn from the seed\n"               \
    "  --beyond             draw damage to more nodes than the cluster can bear: it\n"             \
    "                       may then stop answering, but must not answer wrongly\n"                \
    "  --scenario FILE      this scenario instead of one drawn from a seed\n"

/*
 * Reads the target from flags and words (a single word is a SEED). Errors: ERR_INVALID, with one
 * line in `error`.
 */
MUST_USE int cmd_target_parse(const struct cli_args *args, struct cmd_target *ret_target,
                              struct buf *error);

/* An engine by name. Errors: ERR_INVALID, with one line that has the names there are. */
MUST_USE int cmd_engine(const char *name, const struct engine_ops **ret_engine, struct buf *error);

/* Several with commas; NULL or "all": all there are. `max` must be enough for all. Errors:
 * ERR_INVALID, with a line. */
MUST_USE int cmd_engines(const char *list, const struct engine_ops **engines, uint32_t max,
                         uint32_t *ret_count, struct buf *error);

/* A number from 1 to max from the FLAG_TEXT or FLAG_NUMBER --name; untouched when it is not set. It
 * is read here so that the limit can be told. Errors: ERR_INVALID, with a line. */
MUST_USE int cmd_positive(const char *name, const struct cli_value *v, uint64_t max,
                          uint64_t *value, struct buf *error);

/* Decimal or ENGINE:decimal (*ret_engine untouched without one). Errors: ERR_INVALID. */
MUST_USE int cmd_seed(const char *text, const struct engine_ops **ret_engine, uint64_t *ret_seed,
                      struct buf *error);

/* A number of nodes from a flag. Errors: ERR_INVALID. */
MUST_USE int cmd_nodes(const struct cli_value *value, uint32_t *ret_nodes, struct buf *error);

/*
 * The scenario of a target, with `engine` in it; release it. Errors: ERR_INVALID and those of
 * scenario_load, with one line in `error`; ERR_UNSUPPORTED: the file is for another engine.
 */
MUST_USE int cmd_target_scenario(const struct cmd_target *target, const struct engine_ops *engine,
                                 struct scenario *ret_scenario, struct buf *error);

/* The engine the file of a target names, NULL: any. Errors as above. */
MUST_USE int cmd_target_file_engine(const struct cmd_target *target,
                                    const struct engine_ops **ret_engine, struct buf *error);

/* The arguments that mean the same run with this engine: "raft:42 --nodes 5". */
void cmd_target_words(const struct cmd_target *target, const struct engine_ops *engine,
                      struct buf *out);

/* Its short name: "raft:42", or "raft FILE". */
void cmd_target_name(const struct cmd_target *target, const struct engine_ops *engine,
                     struct buf *out);

/* "1.5s", "20ms", "300us", "2m", "7" (seconds) to microseconds. Errors: ERR_INVALID. */
MUST_USE int cmd_time(const char *text, uint64_t *ret_us, struct buf *error);

#endif

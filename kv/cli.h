/*
 * cli.h - the command line of the program `synod`, as a function: everything but what only a main
 * may do (environment, entropy, exit).
 *
 * Exit codes are a contract with scripts; `synod help` prints them.
 */
#ifndef SYNOD_KV_CLI_H
#define SYNOD_KV_CLI_H

#include <stdint.h>

enum cli_exit {
    CLI_OK = 0,          /* also a get of a key that is not there */
    CLI_REFUSED = 1,     /* the server said no; status, cluster: something is not as it should be */
    CLI_USAGE = 2,       /* unknown command or flag, missing argument, malformed input */
    CLI_UNREACHABLE = 3, /* no endpoint could be reached: nothing was done */
    CLI_TIMED_OUT = 4,   /* no answer in time: of a write the outcome is unknown */
    CLI_LOCAL = 5,       /* configuration, data directory, local files and processes */
};

/* What the main knows and nobody below it asks for. Borrowed. */
struct cli_env {
    const char *endpoints; /* SYNOD_ENDPOINTS, or NULL */
    const char *program;   /* path to run this program again */
    const char *name;      /* how the user called it, for hints */
    uint64_t seed;
};

/* Runs one command; the result is an enum cli_exit. Reorders argv. */
int cli_main(const struct cli_env *env, int argc, char **argv);

#endif

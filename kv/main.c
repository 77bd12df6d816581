/*
 * main.c - the program `synod`: node, client and local clusters in one binary. Everything is in
 * kv/cli*.c; here is what only a main may do.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "kv/cli.h"

/* Names of sessions must differ between runs; without entropy the process id is what there is. */
static uint64_t make_seed(void)
{
    uint64_t seed = 0;

    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t) sizeof(seed)) {
        seed = (uint64_t) getpid() * UINT64_C(0x9e3779b97f4a7c15);
    }
    return seed;
}

int main(int argc, char **argv)
{
    const struct cli_env env = {
        .endpoints = getenv("SYNOD_ENDPOINTS"),
        .program = "/proc/self/exe",
        .name = argc > 0 ? argv[0] : "synod",
        .seed = make_seed(),
    };

    /* A peer or a reader of our output that is gone is an error code, not the end. */
    (void) signal(SIGPIPE, SIG_IGN); /* fails only for a bad signal */
    return cli_main(&env, argc, argv);
}

/*
 * main.c - the program `synod`: node, client and local clusters in one binary. Everything is in
 * kv/cli*.c; here is what only a main may do.
 */
#include <malloc.h>
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

/* Buffers of a megabyte come and go many times a second (values, batches of the store): keep them,
 * instead of giving the pages back to the kernel and clearing them anew each time. */
static void keep_memory(void)
{
    enum { LARGEST_KEPT = 32 * 1024 * 1024, KEPT = 256 * 1024 * 1024, STEP = 1024 * 1024 };

    (void) mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT); /* advice: nothing depends on it */
    (void) mallopt(M_TRIM_THRESHOLD, KEPT);
    (void) mallopt(M_TOP_PAD, STEP);
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
    keep_memory();
    return cli_main(&env, argc, argv);
}

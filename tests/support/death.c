/*
 * death.c - seeing that something ends the process.
 */

#include "tests/support/death.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"

bool death_aborts(void (*fn)(void *ctx), void *ctx)
{
    fflush(NULL);
    pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_core = {0, 0};
        (void) setrlimit(RLIMIT_CORE, &no_core); /* A core file would only be litter. */
        int null = open("/dev/null", O_WRONLY);
        (void) dup2(null, STDERR_FILENO); /* On failure the message is seen, nothing worse. */
        signal(SIGABRT, SIG_DFL);         /* cmocka has a handler of its own. */
        fn(ctx);
        _exit(0);
    }
    int status = 0;
    pid_t waited = waitpid(pid, &status, 0);
    ASSERT(waited == pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

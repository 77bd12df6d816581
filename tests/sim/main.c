/*
 * main.c - synod-sim: whole clusters under one seed. Here is the table of commands and what only a
 * main may do; the commands are in cmd_*.c.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "kv/version.h"
#include "tests/sim/cmd.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", cmd_run, "run one seed or scenario and judge it"},
    {"sweep", cmd_sweep, "run many seeds on all cores; what was never reached is told"},
    {"shrink", cmd_shrink, "make a red run small: the shortest scenario that is still red"},
    {"check", cmd_check, "is a history of calls linearizable?"},
    {"show", cmd_show, "draw a run: who sent what when, as text or HTML"},
    {"explore", cmd_explore, "every order of events of a very small cluster"},
    {"bench", cmd_bench, "how fast the simulator is"},
    {"compare", cmd_compare, "fault scripts on every engine: one table, one page"},
    {"figures", cmd_figures, "published experiments made again, theirs beside ours"},
};

static const char overview_head[] =
    "synod-sim - whole clusters of Synod under one seed: real nodes, simulated\n"
    "network, disks, clocks and clients; everything breaks, every property is\n"
    "checked at every event.\n"
    "\n"
    "Usage: synod-sim COMMAND [ARGUMENT...] [FLAG...]\n"
    "\n";

static const char overview_tail[] =
    "\n"
    "  --help, --version    also: synod-sim COMMAND --help\n"
    "\n"
    "First steps:\n"
    "  synod-sim run raft:42                      one run\n"
    "  synod-sim sweep --engine all --seeds 300   many\n"
    "  synod-sim show raft:42 --html run.html     a picture of one\n"
    "  synod-sim compare isolate-leader           every engine under the same fault\n"
    "\n"
    "Exit codes: 0 green; 1 red; 2 wrong usage, bad input or output that cannot be\n"
    "written; 3 check gave up; 130 interrupted.\n";

/* ---- What only a main may do ---- */

static const char *program = "synod-sim";
static volatile sig_atomic_t interrupts;

const char *cmd_program(void)
{
    return program;
}

uint64_t cmd_now_us(void)
{
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

static void count_interrupt(int number)
{
    (void) number;
    interrupts = interrupts + 1;
}

void cmd_catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = count_interrupt}; /* no SA_RESTART: poll returns */

    (void) sigaction(SIGINT, &action, NULL); /* fails only for a bad signal */
    (void) sigaction(SIGTERM, &action, NULL);
}

uint32_t cmd_interrupts(void)
{
    return (uint32_t) interrupts;
}

uint32_t cmd_columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* The other end of the pipe was closed, as by head: it has what it wanted. */
static bool reader_is_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

/* A result that nobody can read is none. */
static int end_output(int result)
{
    errno = 0; /* an earlier error is known by ferror only */
    if ((fflush(stdout) == 0 && ferror(stdout) == 0) || reader_is_gone()) {
        return result;
    }
    (void) fprintf(stderr, "synod-sim: cannot write to the standard output%s%s\n",
                   errno == 0 ? "" : ": ", errno == 0 ? "" : strerror(errno));
    return CMD_USAGE;
}

/* ---- Which command ---- */

static void print_overview(void)
{
    (void) fputs(overview_head, stdout);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        (void) printf("  %-9s %s\n", commands[i].name, commands[i].help);
    }
    (void) fputs(overview_tail, stdout);
}

static int unknown_command(const char *word)
{
    const char *names[ARRAY_SIZE(commands)];
    const char *meant;

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        names[i] = commands[i].name;
    }
    meant = cli_suggest(word, names, ARRAY_SIZE(commands));
    if (meant != NULL) {
        (void) fprintf(stderr, "synod-sim: unknown command \"%s\"; did you mean \"%s\"?\n", word,
                       meant);
    } else {
        (void) fprintf(stderr, "synod-sim: unknown command \"%s\"; see synod-sim --help\n", word);
    }
    return CMD_USAGE;
}

static int run_command(int argc, char **argv)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcmp(argv[0], commands[i].name) == 0) {
            return commands[i].run(argc, argv);
        }
    }
    return unknown_command(argv[0]);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        (void) fputs("synod-sim: no command given; see synod-sim --help\n", stderr);
        return CMD_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 && argc > 2) {
        char flag[] = "--help";
        char *of_command[] = {argv[2], flag, NULL};

        return run_command(2, of_command);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_overview();
        return CMD_GREEN;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        char build[CMD_BUILD_MAX];

        cmd_build(build);
        (void) printf("synod-sim %s\n", build);
        return CMD_GREEN;
    }
    return run_command(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    if (argc > 0) {
        program = argv[0];
    }
    (void) signal(SIGPIPE, SIG_IGN); /* a reader that is gone is an error code */
    return end_output(dispatch(argc, argv));
}

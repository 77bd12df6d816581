/*
 * process_spawn.c - a child process whose disk is ruled by the shim: environment, log file, death
 * with its parent; and free ports, paths of this build, last words.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/real/process_impl.h"

/* Ports of servers are taken from here: the system hands out higher ones. */
enum { PORT_FIRST = 10240, PORT_COUNT = 22000 };
enum { SAID_MAX = 600, ENVIRONMENT_MAX = 4096 };

char *process_text(const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    int size = vasprintf(&text, format, args);
    va_end(args);
    ASSERT(size >= 0);
    return text;
}

/* ---- The environment of a child */

static bool begins(const char *text, const char *name)
{
    size_t size = strlen(name);
    return strncmp(text, name, size) == 0 && text[size] == '=';
}

/* The value of a variable of ours, or "". */
static const char *variable(const char *name)
{
    for (char **e = environ; *e != NULL; e++) {
        if (begins(*e, name)) {
            return *e + strlen(name) + 1;
        }
    }
    return "";
}

/* Ours, with the shim in front. A program with the address sanitizer wants its own library first,
 * unless it is told not to: the shim calls nothing but the kernel, so both work. */
static char **environment_new(const struct process_command *c)
{
    static const char *const replaced[] = {"LD_PRELOAD", "ASAN_OPTIONS", SHIM_ENV_PAGE,
                                           SHIM_ENV_ROOT, "SYNOD_ENDPOINTS"};
    char **to = xcalloc(ENVIRONMENT_MAX, sizeof *to);
    uint32_t count = 0;
    for (char **e = environ; *e != NULL && count < ENVIRONMENT_MAX - 8; e++) {
        bool drop = false;
        for (size_t i = 0; i < ARRAY_SIZE(replaced); i++) {
            drop = drop || begins(*e, replaced[i]);
        }
        if (!drop) {
            to[count++] = xstrdup(*e);
        }
    }
    const char *asan = variable("ASAN_OPTIONS");
    const char *preload = variable("LD_PRELOAD");
    to[count++] = process_text("LD_PRELOAD=%s%s%s", c->shim, *preload == '\0' ? "" : ":", preload);
    to[count++] =
        process_text("ASAN_OPTIONS=%s%sverify_asan_link_order=0", asan, *asan == '\0' ? "" : ":");
    to[count++] = process_text("%s=%s", SHIM_ENV_PAGE, c->page);
    to[count++] = process_text("%s=%s", SHIM_ENV_ROOT, c->data);
    return to;
}

static void environment_free(char **e)
{
    for (char **at = e; *at != NULL; at++) {
        free(*at);
    }
    free(e);
}

/* ---- A child */

/* Runs in the child; only calls that are allowed after fork. Returns only when it failed. */
static void become(const struct process_command *c, char **environment, const int fds[2],
                   pid_t parent)
{
    sigset_t none;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        return; /* the parent died before: nobody would end us */
    }
    if (dup2(fds[0], STDIN_FILENO) < 0 || dup2(fds[1], STDOUT_FILENO) < 0 ||
        dup2(fds[1], STDERR_FILENO) < 0) {
        return;
    }
    (void) sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
    (void) signal(SIGPIPE, SIG_DFL);
    (void) close_range(STDERR_FILENO + 1, UINT32_MAX, CLOSE_RANGE_CLOEXEC);
    (void) execvpe(c->argv[0], c->argv, environment);
}

/* Forks and waits until the child has become the program. An errno, or 0. */
static int spawn(const struct process_command *c, char **environment, const int fds[2],
                 pid_t *ret_pid)
{
    int news[2]; /* closed without a word when all went well */
    int failed = 0;
    if (pipe2(news, O_CLOEXEC) != 0) {
        return errno;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become(c, environment, fds, parent);
        failed = errno == 0 ? ECANCELED : errno;
        ssize_t told = write(news[1], &failed, sizeof failed);
        _exit(told == (ssize_t) sizeof failed ? 127 : 126);
    }
    failed = pid < 0 ? errno : 0;
    (void) close(news[1]);
    if (pid > 0) {
        ssize_t n = 0;
        do {
            n = read(news[0], &failed, sizeof failed);
        } while (n < 0 && errno == EINTR);
        if (n <= 0) {
            failed = 0;
            *ret_pid = pid;
        } else {
            (void) waitpid(pid, NULL, 0); /* it is ending */
        }
    }
    (void) close(news[0]);
    return failed;
}

int process_spawn(const struct process_command *c, pid_t *ret_pid, struct buf *error)
{
    int fds[2];
    fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fds[1] = open(c->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int failed = fds[0] < 0 || fds[1] < 0 ? errno : 0;
    if (failed == 0) {
        char **environment = environment_new(c);
        failed = spawn(c, environment, fds, ret_pid);
        environment_free(environment);
        if (failed != 0) {
            ERR_IGNORE(buf_printf(error, "cannot start %s: %s", c->argv[0], strerror(failed)));
        }
    } else {
        ERR_IGNORE(buf_printf(error, "cannot write %s: %s", c->log, strerror(failed)));
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (fds[i] >= 0) {
            (void) close(fds[i]);
        }
    }
    return failed == 0 ? OK : failed == ENOENT ? ERR_NOT_FOUND : ERR_IO;
}

char *process_said(const char *log, uint64_t offset)
{
    char text[SAID_MAX + 1];
    size_t size = 0;
    FILE *f = fopen(log, "re");
    if (f != NULL) {
        if (fseeko(f, 0, SEEK_END) == 0) {
            uint64_t end = (uint64_t) u64_max((uint64_t) ftello(f), offset);
            uint64_t from = u64_max(offset, end > SAID_MAX ? end - SAID_MAX : 0);
            if (fseeko(f, (off_t) from, SEEK_SET) == 0) {
                size = fread(text, 1, SAID_MAX, f);
            }
        }
        (void) fclose(f);
    }
    while (size > 0 && text[size - 1] == '\n') {
        size--;
    }
    text[size] = '\0';
    for (size_t i = 0; i < size; i++) {
        text[i] = (unsigned char) text[i] < ' ' ? (text[i] == '\n' ? '|' : ' ') : text[i];
    }
    return xstrdup(text);
}

/* ---- Ports */

static bool port_is_free(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool yes = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
               bind(fd, (const struct sockaddr *) &address, sizeof address) == 0;
    if (fd >= 0) {
        (void) close(fd);
    }
    return yes;
}

int processes_ports(uint32_t count, uint16_t *ret_ports, struct buf *error)
{
    struct timespec now;
    (void) clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail; only spreads who begins where */
    uint64_t first = (uint64_t) getpid() * 67 + (uint64_t) now.tv_nsec / 1000;
    uint32_t found = 0;
    for (uint32_t i = 0; i < PORT_COUNT && found < count; i++) {
        uint16_t port = (uint16_t) (PORT_FIRST + (first + i) % PORT_COUNT);
        if (port_is_free(port)) {
            ret_ports[found++] = port;
        }
    }
    if (found < count) {
        ERR_IGNORE(buf_printf(error, "only %u of %u ports of 127.0.0.1 are free from %d to %d",
                              found, count, PORT_FIRST, PORT_FIRST + PORT_COUNT - 1));
        return ERR_LIMIT;
    }
    return OK;
}

/* ---- Where things are */

int process_find(const char *name, char ret_path[PROCESS_PATH_MAX], struct buf *error)
{
    char self[PROCESS_PATH_MAX];
    char path[PROCESS_PATH_MAX + 256];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    self[size < 0 ? 0 : size] = '\0';
    /* build/synod-compare, build/release/tests/real/test_process: all that lies between the
     * program and build/; a program in build/ has its libraries in build/release/. */
    for (uint32_t up = 0; up < 5; up++) {
        char *slash = strrchr(self, '/');
        if (slash == NULL) {
            break;
        }
        *slash = '\0';
        static const char *const below[] = {"", "/release"};
        for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
            int length = snprintf(path, sizeof path, "%s%s/%s", self, below[i], name);
            if (length > 0 && length < PROCESS_PATH_MAX && access(path, R_OK) == 0) {
                memcpy(ret_path, path, (size_t) length + 1);
                return OK;
            }
        }
    }
    ERR_IGNORE(
        buf_printf(error, "there is no %s in the build tree of this program: make all", name));
    return ERR_NOT_FOUND;
}

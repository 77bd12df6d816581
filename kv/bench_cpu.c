/*
 * bench_cpu.c - see bench_cpu.h. A listener is found by its socket's inode: /proc/net/tcp names it,
 * /proc/PID/fd has it.
 */
#include "kv/bench_cpu.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TCP_LISTEN = 10, LINE_MAX_BYTES = 512 };

void bench_pids_add(struct bench_pids *p, int32_t pid)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->pids[i] == pid) {
            return;
        }
    }
    if (p->count < BENCH_PIDS_MAX) {
        p->pids[p->count++] = pid;
    }
}

/* Inode of the socket that listens on the port, 0 when none. */
static uint64_t listener_inode(const char *table, uint16_t port)
{
    FILE *file = fopen(table, "re");
    char line[LINE_MAX_BYTES];
    uint64_t found = 0;

    if (file == NULL) {
        return 0;
    }
    while (found == 0 && fgets(line, sizeof(line), file) != NULL) {
        unsigned local_port;
        unsigned state;
        uint64_t inode;

        if (sscanf(line, " %*d: %*[0-9A-F]:%X %*[0-9A-F]:%*X %X %*s %*s %*s %*u %*u %" SCNu64,
                   &local_port, &state, &inode) == 3 &&
            local_port == port && state == TCP_LISTEN) {
            found = inode;
        }
    }
    (void) fclose(file); /* read only */
    return found;
}

static bool process_has_socket(int32_t pid, uint64_t inode)
{
    char path[64];
    char want[64];
    struct dirent *entry;
    bool found = false;
    DIR *dir;

    (void) snprintf(path, sizeof(path), "/proc/%" PRId32 "/fd", pid);
    (void) snprintf(want, sizeof(want), "socket:[%" PRIu64 "]", inode);
    dir = opendir(path);
    while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
        char link[64];
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);

        if (n > 0) {
            link[n] = '\0';
            found = strcmp(link, want) == 0;
        }
    }
    if (dir != NULL) {
        (void) closedir(dir); /* read only */
    }
    return found;
}

void bench_pids_add_listener(struct bench_pids *p, uint16_t port)
{
    uint64_t inode = listener_inode("/proc/net/tcp", port);
    struct dirent *entry;
    DIR *dir;

    if (inode == 0) {
        inode = listener_inode("/proc/net/tcp6", port);
    }
    dir = inode == 0 ? NULL : opendir("/proc");
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        int32_t pid = (int32_t) strtol(entry->d_name, NULL, 10);

        if (pid > 0 && process_has_socket(pid, inode)) {
            bench_pids_add(p, pid);
        }
    }
    if (dir != NULL) {
        (void) closedir(dir); /* read only */
    }
}

uint64_t bench_cpu_us(const struct bench_pids *p)
{
    uint64_t tick_us = 1000000 / (uint64_t) sysconf(_SC_CLK_TCK);
    uint64_t total = 0;

    for (uint32_t i = 0; i < p->count; i++) {
        char path[64];
        char line[1024];
        uint64_t user;
        uint64_t system;
        FILE *file;

        (void) snprintf(path, sizeof(path), "/proc/%" PRId32 "/stat", p->pids[i]);
        file = fopen(path, "re");
        if (file == NULL) {
            continue;
        }
        if (fgets(line, sizeof(line), file) != NULL) {
            const char *rest = strrchr(line, ')'); /* the name may hold anything */

            if (rest != NULL &&
                sscanf(rest + 1,
                       " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user,
                       &system) == 2) {
                total += (user + system) * tick_us;
            }
        }
        (void) fclose(file); /* read only */
    }
    return total;
}

static uint64_t timeval_us(struct timeval t)
{
    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_usec;
}

uint64_t bench_cpu_self_us(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return 0;
    }
    return timeval_us(usage.ru_utime) + timeval_us(usage.ru_stime);
}

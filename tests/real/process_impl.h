/*
 * process_impl.h - what the files of the processes share: one node, its files, and its
 * configuration.
 */
#ifndef SYNOD_TESTS_REAL_PROCESS_IMPL_H
#define SYNOD_TESTS_REAL_PROCESS_IMPL_H

#include <sys/types.h>

#include "tests/real/process.h"

struct loop_disk;

struct process {
    uint32_t number;
    pid_t pid; /* 0: down */
    bool paused;
    bool started; /* once at least: later starts are without --init */
    char *config; /* paths */
    char *log;
    char *trace;
    char *data;
    char *page_path;
    char host[64];         /* where it listens */
    const char *prefix[5]; /* before its command; the first is NULL: nothing */
    uint64_t log_offset;   /* where the lines of this life begin */
    uint64_t cpu_us;       /* of the lives that ended */
    struct shim_page *page;
    struct loop_disk *disk;
};

/* A text that the caller frees. */
char *process_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The configuration of node `number` as text; hosts by node - 1. Errors: ERR_UNSUPPORTED (an option
 * has a value that a configuration cannot have), with a line. */
MUST_USE int process_config(const struct processes_options *o, const char *const *hosts,
                            uint32_t number, struct buf *out, struct buf *error);

/* process_spawn.c: starts `argv` with the environment for a preloaded shim. All bytes it says are
 * appended to `log`. It is killed when the thread that called this ends. Errors: ERR_IO,
 * ERR_NOT_FOUND (no such program), with a line. */
struct process_command {
    char *const *argv;
    const char *log;
    const char *shim;
    const char *page;
    const char *data;
};
MUST_USE int process_spawn(const struct process_command *c, pid_t *ret_pid, struct buf *error);

/* The end of what is in a log from `offset` on, as one line; a text that the caller frees. */
char *process_said(const char *log, uint64_t offset);

#endif

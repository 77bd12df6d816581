/*
 * process.h - the synod processes of a real cluster: directories, configuration, start, signals,
 * end.
 *
 * Processes are known by their pid only. A node that ends is told by on_exit with its status and
 * the last lines it said. Loop thread only.
 */
#ifndef SYNOD_TESTS_REAL_PROCESS_H
#define SYNOD_TESTS_REAL_PROCESS_H

#include <sys/types.h>

#include "base/buf.h"
#include "tests/real/link.h"
#include "tests/real/real.h"
#include "tests/real/shim.h"
#include "tests/sim/scenario.h"

struct uv_loop_s;
struct processes;

struct processes_options {
    const struct scenario *scenario;
    const struct real_options *real;
    const char *folder; /* exists; all files go below it */
    bool loop_disks;    /* data directories on loop_disk.h, because the scenario loses power */
    struct link_layer *links;
    const uint16_t *peer_ports; /* by node - 1 */
    const uint16_t *client_ports;
    /* The process of a node ended: status as waitpid gives it, `said`: end of its log, one line. */
    void (*on_exit)(void *ctx, uint32_t node, int status, const char *said);
    void *ctx;
};

enum { PROCESS_PATH_MAX = 4096 };

/* The path of a program or library of this build, by its name: beside the running program, or in
 * the build tree that the running program is in. ERR_NOT_FOUND, with a line. */
MUST_USE int process_find(const char *name, char ret_path[PROCESS_PATH_MAX], struct buf *error);

/* Does the configuration of a node know this option of a scenario? Those it does not know are about
 * the simulator's model (how messages travel, when the model disk begins a new file) and are not
 * looked at here. */
bool process_option_supported(enum scenario_option option);

/* Can a configuration have all that this scenario's options say? Times are whole milliseconds
 * there, and everything has a range. Errors: ERR_UNSUPPORTED with a line. */
MUST_USE int processes_supported(const struct scenario *scenario, struct buf *error);

/* So many free ports of 127.0.0.1, below the range the system hands out itself. ERR_LIMIT. */
MUST_USE int processes_ports(uint32_t count, uint16_t *ret_ports, struct buf *error);

/* Writes a configuration for each node (its peers as the link layer addresses them) and shim pages,
 * and mounts the disks; starts nothing. What the options point to is borrowed until close, the
 * link layer too. With real->netns, links is a netns.h. Below the folder, for node 1: n1.yaml,
 * n1.log (of all its lives), n1.trace (also), n1.shim, n1 (data) or n1.disk. Errors: ERR_IO,
 * ERR_NOT_FOUND, ERR_UNSUPPORTED, with a line. */
MUST_USE int processes_new(struct uv_loop_s *loop, const struct processes_options *options,
                           struct processes **ret_processes, struct buf *error);

/* Starts a node that is down (the first time with --init); it dies with the thread that calls this.
 * Errors: ERR_IO, ERR_NOT_FOUND, ERR_EXISTS (it is up), with a line. */
MUST_USE int processes_start(struct processes *p, uint32_t node, struct buf *error);
/* SIGKILL, and waits for the end; on_exit does not come. Legal when it is down. */
void processes_kill(struct processes *p, uint32_t node);
/* As kill, then loop_disk_power_loss. Errors: ERR_IO, ERR_UNSUPPORTED (there are no loop disks:
 * nothing happens), with a line. */
MUST_USE int processes_power_loss(struct processes *p, uint32_t node, struct buf *error);
/* SIGSTOP, and waits until it stands still; SIGCONT. Legal when it is down, or is so already. */
void processes_pause(struct processes *p, uint32_t node, bool paused);

bool processes_up(const struct processes *p, uint32_t node);
bool processes_paused(const struct processes *p, uint32_t node);
struct shim_page *processes_shim(struct processes *p, uint32_t node);
const char *processes_trace(const struct processes *p, uint32_t node); /* path of its trace */
const char *processes_data(const struct processes *p, uint32_t node);
pid_t processes_pid(const struct processes *p, uint32_t node);       /* 0: down */
uint64_t processes_cpu_us(const struct processes *p, uint32_t node); /* all its lives so far */

/* Kills what is up, unmounts, and frees. on_closed (NULL is legal) comes from the loop, last. */
void processes_close(struct processes *p, void (*on_closed)(void *ctx), void *ctx);

#endif

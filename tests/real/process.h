/*
 * process.h - the synod processes of a real cluster: directories, configuration, start, signals,
 * end.
 *
 * Processes are known by their pid only. A node that ends is told by on_exit with its status and
 * the last lines it said. Loop thread only.
 */
#ifndef SYNOD_TESTS_REAL_PROCESS_H
#define SYNOD_TESTS_REAL_PROCESS_H

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

/* So many free ports of 127.0.0.1, below the range the system hands out itself. ERR_LIMIT. */
MUST_USE int processes_ports(uint32_t count, uint16_t *ret_ports, struct buf *error);

/* Writes a configuration for each node (its peers as the link layer addresses them) and shim pages;
 * starts nothing. Errors: ERR_IO, ERR_NOT_FOUND, ERR_UNSUPPORTED, with a line. */
MUST_USE int processes_new(struct uv_loop_s *loop, const struct processes_options *options,
                           struct processes **ret_processes, struct buf *error);

/* Starts a node that is down (the first time with --init). Errors: ERR_IO, ERR_EXISTS (it is up).
 */
MUST_USE int processes_start(struct processes *p, uint32_t node, struct buf *error);
/* SIGKILL, and waits for the end; on_exit does not come. Legal when it is down. */
void processes_kill(struct processes *p, uint32_t node);
/* As kill, then loop_disk_power_loss when there are loop disks. Errors: ERR_IO, ERR_UNSUPPORTED. */
MUST_USE int processes_power_loss(struct processes *p, uint32_t node, struct buf *error);
void processes_pause(struct processes *p, uint32_t node, bool paused); /* SIGSTOP, SIGCONT */

bool processes_up(const struct processes *p, uint32_t node);
bool processes_paused(const struct processes *p, uint32_t node);
struct shim_page *processes_shim(struct processes *p, uint32_t node);
const char *processes_trace(const struct processes *p, uint32_t node); /* path of its trace */
const char *processes_data(const struct processes *p, uint32_t node);
uint64_t processes_cpu_us(const struct processes *p, uint32_t node); /* all its lives so far */

/* Kills what is up, unmounts, and frees. on_closed as uv_close. */
void processes_close(struct processes *p, void (*on_closed)(void *ctx), void *ctx);

#endif

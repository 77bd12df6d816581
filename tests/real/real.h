/*
 * real.h - carries a scenario out on real processes: `synod serve` on loopback, faults between and
 * below them, clients over gRPC; records the same as the simulator does.
 *
 *     nodes     process.h: processes of the synod program, each with a directory, started by fork
 *               and exec, ended by their pid; trace_read.h: their traces, while they are written
 *     links     link.h: by a user-space proxy (proxy.h), or in network namespaces (netns.h; root)
 *     disks     shim.h: a preloaded library that delays, fails and fakes fsync and write; power
 *               loss: loop_disk.h, a file system of its own for each node (root)
 *     clients   workload.h: kv/client on the same loop, values and history as in the simulator
 *     end       as sim_end: heal, restart, wait until all nodes have applied the same, read every
 *               key once more; then the linearizability checker
 *
 * What the scenario does not say of network and disks is as the machine has it: its `network` and
 * `disk` lines count where they differ from what scenario_init sets. `disk log 4ms..6ms` makes each
 * sync take 5 ms more, `disk 3 slow 10` nine times that (half way between the two numbers, also of
 * the simulator's) on top. `slow 3 turn 5ms` stops the process for 5 ms out of every 7.
 *
 * One thread, one libuv loop, monotonic time in microseconds since the cluster was up. Everything
 * is in a directory of its own below TMPDIR, removed at the end unless it is to be kept. Loopback
 * only.
 */
#ifndef SYNOD_TESTS_REAL_REAL_H
#define SYNOD_TESTS_REAL_REAL_H

#include "base/buf.h"
#include "tests/compare/record.h"
#include "tests/sim/scenario.h"

struct real_options {
    const char *synod; /* the program; path */
    const char *shim;  /* the library; path */
    const char *keep; /* directory to keep everything in (config, logs, traces, data); NULL: none */
    bool netns;       /* links by network namespaces instead of the proxy */
    /* about once a second: what is going on; false stops the run. NULL: none */
    bool (*progress)(void *ctx, uint64_t now_us, const char *what);
    void *ctx;
};

/* Defaults: synod and the shim beside the running program or in its build tree. */
void real_options_init(struct real_options *o);

/* Can this scenario be carried out here? Errors: ERR_UNSUPPORTED with a line: which step, and why
 * (no root, no clock to change, ...). */
MUST_USE int real_supports(const struct scenario *scenario, const struct real_options *options,
                           struct buf *error);

/*
 * Runs it. The record (initialised by the caller with real = true) has trace, history, totals and
 * verdict: R11 when the nodes do not agree in time or the expected gap is exceeded, K1 from the
 * checker, D6 when a node did not stop at a failed disk, "" for a node that ended without reason.
 * Errors (no verdict then), with a line: ERR_NOT_FOUND (program, shim), ERR_IO, ERR_ADDRESS_IN_USE,
 * ERR_UNSUPPORTED, ERR_MALFORMED (a trace), ERR_CANCELED.
 */
MUST_USE int real_execute(const struct scenario *scenario, const struct real_options *options,
                          struct record *record, struct buf *error);

#endif

/*
 * cli_cluster.h - a cluster of processes on this machine, in one directory; private to
 * kv/cli_cluster*.c.
 *
 *     DIR/cluster.yaml    its configuration
 *     DIR/NAME/           data of a node
 *     DIR/NAME.log        what it logs
 *     DIR/NAME.pid        while it runs; believed only if /proc agrees
 */
#ifndef SYNOD_KV_CLI_CLUSTER_H
#define SYNOD_KV_CLI_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "kv/cli_internal.h"
#include "kv/config.h"

#define CLUSTER_DIR_DEFAULT "synod-data"

struct cluster {
    struct cli *cli;
    const char *dir;       /* absolute */
    const char *dir_shown; /* as the user wrote it */
    struct config *config; /* NULL until loaded */
};

struct cluster_up_options {
    bool detach;
    uint64_t wait_ms; /* until all nodes must be ready */
};

/* All give an enum cli_exit and have said what is wrong if it is not CLI_OK. */

/* ---- cli_cluster_dir.c ---- */

/* Sets dir. create: makes the directory if it is missing; else a missing one is an error. */
int cluster_open(struct cluster *c, const char *dir, bool create);
void cluster_release(struct cluster *c);

/* DIR/NAME + suffix; lives as long as the command. */
const char *cluster_path(const struct cluster *c, const char *name, const char *suffix);

/* Reads DIR/cluster.yaml into config. */
int cluster_load(struct cluster *c);
bool cluster_exists(const struct cluster *c);

/* Makes `text` the configuration, after a check that it fits to data that is there; `fresh` deletes
 * that instead. `origin` names the text in errors. */
int cluster_configure(struct cluster *c, struct bytes text, const char *origin, bool fresh);

/* Deletes the data and logs of the members. None may run. */
int cluster_delete_data(struct cluster *c);

/* Pid of the node if it runs, else 0. Removes a pid file that lies. */
int64_t cluster_pid(const struct cluster *c, const char *name);
/* Whether this process is the node `name` of this directory. */
bool cluster_is_node(const struct cluster *c, const char *name, int64_t pid);
int cluster_write_pid(const struct cluster *c, const char *name, int64_t pid);
void cluster_remove_pid(const struct cluster *c, const char *name);

/* Can every member listen where it should? */
int cluster_check_ports(struct cluster *c);

/* The last line of a node's log into `text`; empty when there is none. */
void cluster_last_log(const struct cluster *c, const char *name, char *text, size_t size);

/* Sets cli->endpoints to those of the members. */
int cluster_use_endpoints(struct cluster *c);

/* ---- cli_cluster_run.c ---- */

/* Starts all nodes, waits until they serve, tells, and stays until they are to be stopped. */
int cluster_run(struct cluster *c, const struct cluster_up_options *options);

/* Ends all nodes that run, by pid file. */
int cluster_stop(struct cluster *c);

#endif

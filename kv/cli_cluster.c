/*
 * cli_cluster.c - cluster up, down, status: a whole cluster on this machine.
 */
#include "kv/cli_cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    NODES_DEFAULT = 3,
    WAIT_MS = 30000,
    STATUS_TIMEOUT_MS = 2000,
    TEXT_MAX = 64 * 1024,
    FILE_MAX = 1024 * 1024, /* config_load's limit too */
};

/* ---- Configuration of `cluster up` ---- */

enum {
    UP_CONFIG,
    UP_NODES,
    UP_ENGINE,
    UP_DIR,
    UP_BASE_PORT,
    UP_DETACH,
    UP_FRESH,
    UP_WAIT,
};

static const char *const engines[] = {"raft", "multipaxos", "paxos", NULL};

static const struct cli_flag up_flags[] = {
    [UP_CONFIG] = {"config", 'c', FLAG_TEXT, "FILE", "all nodes of this configuration", NULL},
    [UP_NODES] = {"nodes", 'n', FLAG_NUMBER, "N", "how many nodes (default 3)", NULL},
    [UP_ENGINE] = {"engine", 'e', FLAG_CHOICE, "ENGINE", "raft (default), multipaxos or paxos",
                   engines},
    [UP_DIR] = {"dir", 0, FLAG_TEXT, "DIR", "data, logs and pid files (default ./synod-data)",
                NULL},
    [UP_BASE_PORT] = {"base-port", 0, FLAG_NUMBER, "PORT",
                      "clients on PORT, PORT+2, ..., peers one above (default 2379, 22379, ...)",
                      NULL},
    [UP_DETACH] = {"detach", 'd', FLAG_SWITCH, NULL, "return when the cluster is ready", NULL},
    [UP_FRESH] = {"fresh", 0, FLAG_SWITCH, NULL, "first delete the data that is in DIR", NULL},
    [UP_WAIT] = {"wait", 0, FLAG_DURATION, "TIME",
                 "give up when it is not ready by then "
                 "(default 30s)",
                 NULL},
};

/* Client port of node i, from 0: as in cluster-configs/, where 2379 is node 1's. 0: no such. */
static uint32_t client_port(const struct cli_value *base, uint32_t i)
{
    static const uint32_t usual[] = {2379, 22379, 32379, 42379, 52379, 62379, 12379};

    if (base->set) {
        int64_t port = base->number + 2 * (int64_t) i;

        return port > 0 && port < UINT16_MAX ? (uint32_t) port : 0;
    }
    return i < ARRAY_SIZE(usual) ? usual[i] : 0;
}

/* The configuration of N nodes on this machine. */
static int make_text(struct cli *cli, const struct cli_args *args, struct buf *text)
{
    const struct cli_value *v = args->values;
    int64_t nodes = v[UP_NODES].set ? v[UP_NODES].number : NODES_DEFAULT;
    const char *engine = engines[v[UP_ENGINE].number];
    int err;

    if (nodes < 1 || nodes > CLIENT_ENDPOINTS_MAX) {
        return cli_fail(cli, CLI_USAGE, "--nodes %lld: between 1 and %d are possible here",
                        (long long) nodes, (int) CLIENT_ENDPOINTS_MAX);
    }
    err =
        buf_printf(text,
                   "# Made by 'synod cluster up'; cluster-configs/example-full.yaml explains what "
                   "else\n# can be set.\n"
                   "cluster:\n  name: local-%s-%d\n  engine: %s\n  members:\n",
                   engine, (int) nodes, engine);
    ASSERT(err == OK); /* TEXT_MAX is enough for all members */
    for (uint32_t i = 0; i < (uint32_t) nodes; i++) {
        uint32_t port = client_port(&v[UP_BASE_PORT], i);

        if (port == 0) {
            return cli_fail(cli, CLI_USAGE, "no port for node %u; use --base-port PORT", i + 1);
        }
        err = buf_printf(text,
                         "    - {id: %u, name: n%u, peer: \"127.0.0.1:%u\", client: "
                         "\"127.0.0.1:%u\"}\n",
                         i + 1, i + 1, port + 1, port);
        ASSERT(err == OK);
    }
    return CLI_OK;
}

static int read_config(struct cli *cli, const char *path, struct buf *text)
{
    FILE *f = fopen(path, "r");
    size_t n = 0;
    int code = CLI_OK;

    if (f == NULL) {
        return cli_fail(cli, CLI_LOCAL, "cannot read %s: %s", path, strerror(errno));
    }
    if (buf_reserve(text, FILE_MAX) == OK) {
        n = fread(text->data, 1, FILE_MAX, f);
        buf_advance(text, n);
    }
    if (ferror(f) != 0 || n == FILE_MAX) {
        code = cli_fail(cli, CLI_LOCAL, "cannot read %s: %s", path,
                        n == FILE_MAX ? "it is larger than 1 MiB" : strerror(errno));
    }
    (void) fclose(f); /* only read from */
    return code;
}

static int running_already(struct cluster *c)
{
    for (uint32_t i = 0; i < c->config->cluster.members_count; i++) {
        const char *name = c->config->cluster.members[i].name;
        int64_t pid = cluster_pid(c, name);

        if (pid != 0) {
            return cli_fail(c->cli, CLI_LOCAL,
                            "a cluster runs in %s already (%s is pid %lld); 'synod cluster status "
                            "--dir %s' shows it, 'synod cluster down --dir %s' stops it",
                            c->dir_shown, name, (long long) pid, c->dir_shown, c->dir_shown);
        }
    }
    return CLI_OK;
}

/* Which configuration: the one given, a new one, or the one that is there. */
static int configure(struct cluster *c, const struct cli_args *args)
{
    const struct cli_value *v = args->values;
    bool made = v[UP_NODES].set || v[UP_ENGINE].set || v[UP_BASE_PORT].set;
    struct buf text;
    int code = CLI_OK;

    if (v[UP_CONFIG].set && made) {
        return cli_fail(c->cli, CLI_USAGE,
                        "--config says everything: leave out --nodes, --engine and --base-port");
    }
    if (cluster_exists(c)) {
        code = cluster_load(c);
        if (code == CLI_OK) {
            code = running_already(c);
        }
        if (code == CLI_OK && !made && !v[UP_CONFIG].set) {
            return v[UP_FRESH].set ? cluster_delete_data(c) : CLI_OK;
        }
        cluster_release(c);
    }
    if (code != CLI_OK) {
        return code;
    }
    buf_init(&text, v[UP_CONFIG].set ? FILE_MAX : TEXT_MAX);
    code = v[UP_CONFIG].set ? read_config(c->cli, v[UP_CONFIG].text, &text)
                            : make_text(c->cli, args, &text);
    if (code == CLI_OK) {
        code = cluster_configure(c, buf_bytes(&text),
                                 v[UP_CONFIG].set ? v[UP_CONFIG].text : "cluster.yaml",
                                 v[UP_FRESH].set);
    }
    buf_release(&text);
    return code;
}

/* ---- The commands ---- */

static int run_up(struct cli *cli, const struct cli_args *args)
{
    const struct cli_value *v = args->values;
    const struct cluster_up_options options = {
        .detach = v[UP_DETACH].set,
        .wait_ms = v[UP_WAIT].set ? (uint64_t) v[UP_WAIT].number : WAIT_MS,
    };
    struct cluster c = {.cli = cli};
    int code = cluster_open(&c, v[UP_DIR].set ? v[UP_DIR].text : CLUSTER_DIR_DEFAULT, true);

    cli->timeout_ms = STATUS_TIMEOUT_MS;
    if (code == CLI_OK) {
        code = configure(&c, args);
    }
    if (code == CLI_OK) {
        code = cluster_check_ports(&c);
    }
    if (code == CLI_OK) {
        code = cluster_run(&c, &options);
    }
    cluster_release(&c);
    return code;
}

const struct cli_command cli_cluster_up = {
    .group = "Nodes and clusters",
    .name = "cluster up",
    .arguments = "",
    .summary = "start a cluster on this machine",
    .description =
        "Starts every node as a process of its own, waits until each answers, and shows them.\n"
        "Then it stays: a node that ends is told with its last words, Ctrl-C stops all nodes.\n"
        "Without --config, --nodes and --engine a cluster that is in DIR is started again.\n",
    .examples = "  synod cluster up\n"
                "  synod cluster up --nodes 5 --engine multipaxos --dir /tmp/five --detach\n"
                "  synod cluster up --config cluster-configs/paxos-3.yaml --fresh\n",
    .flags = up_flags,
    .flags_count = ARRAY_SIZE(up_flags),
    .run = run_up,
};

enum { DIR_ONLY };

static const struct cli_flag dir_flags[] = {
    [DIR_ONLY] = {"dir", 0, FLAG_TEXT, "DIR", "where the cluster is (default ./synod-data)", NULL},
};

static int open_existing(struct cluster *c, const struct cli_args *args)
{
    const struct cli_value *dir = &args->values[DIR_ONLY];
    int code = cluster_open(c, dir->set ? dir->text : CLUSTER_DIR_DEFAULT, false);

    return code == CLI_OK ? cluster_load(c) : code;
}

static int run_down(struct cli *cli, const struct cli_args *args)
{
    struct cluster c = {.cli = cli};
    int code = open_existing(&c, args);

    if (code == CLI_OK) {
        code = cluster_stop(&c);
    }
    cluster_release(&c);
    return code;
}

const struct cli_command cli_cluster_down = {
    .group = "Nodes and clusters",
    .name = "cluster down",
    .arguments = "",
    .summary = "stop the nodes that 'cluster up' started",
    .description = "Asks each node to finish and waits until it is gone; one that does not end in "
                   "10 s is killed.\nData stays: 'synod cluster up' goes on with it. When none "
                   "runs, that is no error.\n",
    .examples = "  synod cluster down\n  synod cluster down --dir /tmp/five\n",
    .flags = dir_flags,
    .flags_count = ARRAY_SIZE(dir_flags),
    .run = run_down,
};

/* Nodes without a process, with their last words. */
static void print_dead(struct cluster *c)
{
    for (uint32_t i = 0; i < c->config->cluster.members_count; i++) {
        const char *name = c->config->cluster.members[i].name;
        char line[512];

        if (cluster_pid(c, name) != 0) {
            continue;
        }
        cluster_last_log(c, name, line, sizeof(line));
        cli_print(c->cli, "%s does not run%s%s\n", name,
                  line[0] == '\0' ? "" : ": last log line: ", line);
    }
}

static int run_cluster_status(struct cli *cli, const struct cli_args *args)
{
    struct cluster c = {.cli = cli};
    struct cli_node_status rows[CLIENT_ENDPOINTS_MAX];
    int code = open_existing(&c, args);

    cli->timeout_ms = STATUS_TIMEOUT_MS;
    if (code == CLI_OK) {
        code = cluster_use_endpoints(&c);
    }
    if (code == CLI_OK) {
        code = cli_ask_status(cli, rows);
    }
    if (code == CLI_OK) {
        cli_print_status(cli, rows);
        print_dead(&c);
        code = cli_status_exit(cli, rows);
    }
    cluster_release(&c);
    return code;
}

const struct cli_command cli_cluster_status = {
    .group = "Nodes and clusters",
    .name = "cluster status",
    .arguments = "",
    .summary = "the nodes that 'cluster up' started",
    .description = "The table of 'synod status', and the last log line of each node that does not "
                   "run.\n",
    .examples = "  synod cluster status\n",
    .flags = dir_flags,
    .flags_count = ARRAY_SIZE(dir_flags),
    .run = run_cluster_status,
};

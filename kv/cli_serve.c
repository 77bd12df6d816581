/*
 * cli_serve.c - `synod serve`: from the configuration to the options of the server, and runs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/diag.h"
#include "base/mem.h"
#include "kv/cli_internal.h"
#include "kv/config.h"
#include "kv/server.h"

enum { ERROR_MAX = 4096, HELP_MAX = 64 * 1024 };

enum {
    SERVE_CONFIG,
    SERVE_NODE,
    SERVE_DATA_DIR,
    SERVE_TRACE,
    SERVE_LOG_LEVEL,
    SERVE_CHECK,
    SERVE_INIT,
    SERVE_HELP_CONFIG,
};

/* In the order of enum diag_level. */
static const char *const levels[] = {"error", "warn", "info", "debug", NULL};

static const struct cli_flag serve_flags[] = {
    [SERVE_CONFIG] = {"config", 'c', FLAG_TEXT, "FILE", "configuration of the cluster (needed)",
                      NULL},
    [SERVE_NODE] = {"node", 0, FLAG_TEXT, "N|NAME", "which member to be, by id or name", NULL},
    [SERVE_DATA_DIR] = {"data-dir", 0, FLAG_TEXT, "DIR", "where the data is, instead of the file's",
                        NULL},
    [SERVE_TRACE] = {"trace", 0, FLAG_TEXT, "FILE", "write trace events there", NULL},
    [SERVE_LOG_LEVEL] = {"log-level", 0, FLAG_CHOICE, "LEVEL", "error, warn, info or debug",
                         levels},
    [SERVE_INIT] = {"init", 0, FLAG_SWITCH, NULL,
                    "the cluster is new: make the data directory if there is none", NULL},
    [SERVE_CHECK] = {"check", 0, FLAG_SWITCH, NULL, "only check the configuration", NULL},
    [SERVE_HELP_CONFIG] = {"help-config", 0, FLAG_SWITCH, NULL,
                           "list what a configuration can say, with defaults", NULL},
};

/* ---- Which node ---- */

/* The member that `text` names, by name or id; NULL when there is none. */
static const struct config_member *find_member(const struct config *c, const char *text)
{
    int64_t id = 0;

    for (uint32_t i = 0; i < c->cluster.members_count; i++) {
        if (strcmp(c->cluster.members[i].name, text) == 0) {
            return &c->cluster.members[i];
        }
    }
    if (cli_parse_number(text, &id) != OK || id > UINT32_MAX) {
        return NULL;
    }
    return config_find_member(c, (uint32_t) id);
}

/* "1 (node1), 2 (node2)" */
static void list_members(const struct config *c, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < c->cluster.members_count; i++) {
        const struct config_member *m = &c->cluster.members[i];
        int n = snprintf(text + used, size - used, "%s%u (%s)", i == 0 ? "" : ", ", m->id, m->name);

        if (n < 0 || (size_t) n >= size - used) {
            return; /* cut: it is only told */
        }
        used += (size_t) n;
    }
}

static int choose_node(struct cli *cli, struct config *c, const char *node)
{
    const struct config_member *m = NULL;
    struct buf error;
    char members[512];
    int code = CLI_OK;

    list_members(c, members, sizeof(members));
    if (node != NULL) {
        m = find_member(c, node);
        if (m == NULL) {
            return cli_fail(cli, CLI_LOCAL, "%s has no member '%.60s'; members: %s", c->file, node,
                            members);
        }
    } else if (c->self == NULL && c->cluster.members_count == 1) {
        m = &c->cluster.members[0];
    } else if (c->self == NULL) {
        return cli_fail(cli, CLI_USAGE, "which node of %s is this? add --node N; members: %s",
                        c->file, members);
    }
    if (m == NULL) {
        return CLI_OK; /* the file says it */
    }
    buf_init(&error, ERROR_MAX);
    if (config_set_node(c, m->id, &error) != OK) {
        code = cli_fail(cli, CLI_LOCAL, "%.*s", (int) error.size, (const char *) error.data);
    }
    buf_release(&error);
    return code;
}

/* ---- From struct config to struct server_options ---- */

/* What the options point to. */
struct serve {
    struct config *config;
    struct server_options options;
    struct transport_peer *peers;
    struct api_member *members;
    struct bytes *urls; /* two for each member: peer, client */
    char **texts;       /* behind the urls */
};

static char *make_url(const struct config_address *a)
{
    bool v6 = strchr(a->host, ':') != NULL;
    size_t size = strlen(a->host) + 32;
    char *url = xmalloc(size);

    (void) snprintf(url, size, "http://%s%s%s:%u", v6 ? "[" : "", a->host, v6 ? "]" : "",
                    a->port); /* it fits */
    return url;
}

static void map_members(struct serve *s)
{
    const struct config *c = s->config;
    uint32_t count = c->cluster.members_count;
    uint32_t peers = 0;

    s->peers = xcalloc(count, sizeof(*s->peers));
    s->members = xcalloc(count, sizeof(*s->members));
    s->urls = xcalloc((size_t) count * 2, sizeof(*s->urls));
    s->texts = xcalloc((size_t) count * 2, sizeof(*s->texts));
    for (uint32_t i = 0; i < count; i++) {
        const struct config_member *m = &c->cluster.members[i];
        size_t k = (size_t) i * 2;

        s->texts[k] = make_url(&m->peer);
        s->texts[k + 1] = make_url(&m->client);
        s->urls[k] = bytes_str(s->texts[k]);
        s->urls[k + 1] = bytes_str(s->texts[k + 1]);
        s->members[i] = (struct api_member){
            .id = m->id,
            .name = bytes_str(m->name),
            .peer_urls = &s->urls[k],
            .peer_urls_count = 1,
            .client_urls = &s->urls[k + 1],
            .client_urls_count = 1,
        };
        if (m->id != c->self->id) {
            s->peers[peers++] = (struct transport_peer){m->id, m->peer.host, m->peer.port};
        }
    }
    s->options.transport.peers = s->peers;
    s->options.transport.peers_count = peers;
    s->options.api.members = s->members;
    s->options.api.members_count = count;
}

/* The engine and who the members are. */
static int map_identity(struct cli *cli, struct serve *s)
{
    const struct config *c = s->config;
    struct server_options *o = &s->options;
    uint32_t count = c->cluster.members_count;
    int err;

    o->replica.engine = engine_by_name(c->cluster.engine);
    if (o->replica.engine == NULL) {
        return cli_fail(cli, CLI_LOCAL, "%s: cluster.engine: there is no engine '%s'", c->file,
                        c->cluster.engine);
    }
    o->identity = (struct identity){
        .cluster_id = c->cluster.id,
        .node = c->self->id,
        .engine = engine_number(o->replica.engine),
        .members_count = count,
    };
    for (uint32_t i = 0; i < count; i++) {
        o->identity.members[i] = c->cluster.members[i].id;
    }
    err = membership_init(&o->replica.consensus.members, o->identity.members, count);
    if (err != OK) {
        return cli_fail(cli, CLI_LOCAL, "%s: cluster.members: %s", c->file, err_text(err));
    }
    o->replica.cluster_id = c->cluster.id;
    o->replica.consensus.self = c->self->id;
    o->api.cluster_id = c->cluster.id;
    o->api.member_id = c->self->id;
    o->transport.self = c->self->id;
    return CLI_OK;
}

static void map_timing(const struct config *c, struct server_options *o)
{
    struct consensus_options *consensus = &o->replica.consensus;

    consensus->election_us = c->timing.election_ms * 1000;
    consensus->election_spread_us = c->timing.election_spread_ms * 1000;
    consensus->candidate_us = c->timing.candidate_ms * 1000;
    consensus->candidate_spread_us = c->timing.candidate_spread_ms * 1000;
    consensus->heartbeat_us = c->timing.heartbeat_ms * 1000;
    consensus->resend_us = c->timing.resend_ms * 1000;
    consensus->backoff_min_us = c->timing.backoff_min_ms * 1000;
    consensus->backoff_max_us = c->timing.backoff_max_ms * 1000;
    consensus->disk_stuck_us = c->timing.disk_stuck_ms * 1000;
    o->replica.retry_us = c->timing.retry_ms * 1000;
    o->replica.read_retry_us = c->timing.read_retry_ms * 1000;
    o->replica.gossip_us = c->timing.gossip_ms * 1000;
    o->replica.flush_us = c->storage.flush_ms * 1000;
    o->api.request_timeout_us = c->timing.request_timeout_ms * 1000;
    o->transport.reconnect_min_ms = c->timing.reconnect_min_ms;
    o->transport.reconnect_max_ms = c->timing.reconnect_max_ms;
    o->transport.connect_timeout_ms = c->timing.connect_timeout_ms;
    o->transport.handshake_timeout_ms = c->timing.handshake_timeout_ms;
    o->grace_us = c->timing.grace_ms * 1000;
}

/* The configuration has checked that each fits. */
static void map_limits(const struct config *c, struct server_options *o)
{
    struct replica_options *r = &o->replica;

    r->consensus.pre_vote = c->consensus.pre_vote;
    r->consensus.check_quorum = c->consensus.check_quorum;
    r->consensus.quorum_connected = c->consensus.quorum_connected;
    r->consensus.candidate_backoff = c->consensus.candidate_backoff;
    r->consensus.message_bytes_max = (uint32_t) c->limits.message_bytes_max;
    r->consensus.inflight_max = (uint32_t) c->limits.inflight_max;
    r->consensus.reads_max = (uint32_t) c->limits.reads_max;
    r->log_memory_max = c->limits.log_memory_bytes;
    r->log_slots_max = c->limits.log_slots_max;
    r->batch_bytes_max = (uint32_t) c->limits.batch_bytes_max;
    r->batch_commands_max = (uint32_t) c->limits.batch_commands_max;
    r->calls_max = (uint32_t) c->limits.calls_max;
    r->call_bytes_max = c->limits.call_bytes_max;
    r->apply_lag_max = c->limits.apply_lag_max;
    r->unwritten_max = c->limits.state_unwritten_bytes_max;
    r->trim_keep = c->limits.log_keep_entries;
    r->flush_operations = (uint32_t) c->storage.flush_operations;
    r->flush_bytes = c->storage.flush_bytes;
    r->mvcc.cache_bytes_max = c->limits.values_cache_bytes;
    /* What the node a client talks to let in, every node must apply, whatever its own limit is. */
    r->mvcc.txn_ops_max = UINT32_MAX;
    r->mvcc.sessions_max = (uint32_t) c->limits.sessions_max;
    o->api.txn_ops_max = (uint32_t) c->limits.txn_ops_max;
    o->api.request_bytes_max = (uint32_t) c->limits.request_bytes_max;
    o->api.response_bytes_max = c->limits.response_bytes_max;
    o->connections_max = (uint32_t) c->limits.connections_max;
    o->grpc.message_max = (uint32_t) c->limits.receive_bytes_max;
    o->grpc.streams_max = (uint32_t) c->limits.streams_max;
    o->grpc.headers_max = (uint32_t) c->limits.headers_bytes_max;
    o->grpc.output_max = c->limits.output_bytes_max;
    o->grpc.window = (uint32_t) c->limits.window_bytes;
    o->transport.queue_bytes_max = c->limits.peer_queue_bytes_max;
    o->transport.queue_frames_max = (uint32_t) c->limits.peer_queue_frames_max;
    o->transport.frame_size_max = (uint32_t) c->limits.frame_bytes_max;
    o->transport.connections_max = (uint32_t) c->limits.peer_connections_max;
}

static void map_places(const struct config *c, const struct cli_args *args,
                       struct server_options *o)
{
    o->node_name = c->self->name;
    o->data_dir =
        args->values[SERVE_DATA_DIR].set ? args->values[SERVE_DATA_DIR].text : c->data_dir;
    o->create = args->values[SERVE_INIT].set;
    o->trace_path = args->values[SERVE_TRACE].set ? args->values[SERVE_TRACE].text : c->trace_path;
    o->log_store = c->storage.log;
    o->state_store = c->storage.state;
    o->log_write_buffer = c->storage.log_write_buffer_bytes;
    o->state_write_buffer = c->storage.state_write_buffer_bytes;
    o->state_cache = c->storage.state_cache_bytes;
    o->client_host = c->listen_client.host;
    o->client_port = c->listen_client.port;
    o->transport.listen_host = c->listen_peer.host;
    o->transport.listen_port = c->listen_peer.port;
}

static int map_options(struct cli *cli, const struct cli_args *args, struct serve *s)
{
    struct server_options *o = &s->options;
    int code;

    replica_options_init(&o->replica);
    grpc_limits_init(&o->grpc);
    code = map_identity(cli, s);
    if (code != CLI_OK) {
        return code;
    }
    map_timing(s->config, o);
    map_limits(s->config, o);
    map_places(s->config, args, o);
    map_members(s);
    /* Only jitter; the server mixes node and incarnation into its own choices. */
    o->transport.seed = cli->env->seed;
    return CLI_OK;
}

static void serve_release(struct serve *s)
{
    if (s->texts != NULL) {
        for (uint32_t i = 0; i < s->config->cluster.members_count * 2; i++) {
            free(s->texts[i]);
        }
    }
    free(s->texts);
    free(s->urls);
    free(s->members);
    free(s->peers);
    config_free(s->config);
}

/* ---- The command ---- */

static void set_log(const struct config *c, const struct cli_args *args)
{
    int64_t level = DIAG_LEVEL_INFO;

    for (int64_t i = 0; levels[i] != NULL; i++) {
        if (strcasecmp(levels[i], c->node.log_level) == 0) {
            level = i;
        }
    }
    if (args->values[SERVE_LOG_LEVEL].set) {
        level = args->values[SERVE_LOG_LEVEL].number;
    }
    diag_set_level((enum diag_level) level);
    diag_set_sink(diag_stderr_sink, NULL);
}

static int load(struct cli *cli, const struct cli_args *args, struct serve *s)
{
    struct buf error;
    int code = CLI_OK;

    buf_init(&error, ERROR_MAX);
    if (config_load(args->values[SERVE_CONFIG].text, &s->config, &error) != OK) {
        code = cli_fail(cli, CLI_LOCAL, "%.*s", (int) error.size, (const char *) error.data);
    }
    buf_release(&error);
    return code;
}

/* A file for all nodes needs no node to be checked. */
static int check(struct cli *cli, const struct cli_args *args, struct serve *s)
{
    struct config *c = s->config;
    int code;

    if (c->self == NULL && !args->values[SERVE_NODE].set) {
        code = config_set_node(c, c->cluster.members[0].id, NULL) == OK
                   ? CLI_OK
                   : choose_node(cli, c, c->cluster.members[0].name);
    } else {
        code = choose_node(cli, c, args->values[SERVE_NODE].text);
    }
    if (code == CLI_OK) {
        code = map_options(cli, args, s);
    }
    if (code == CLI_OK) {
        cli_print(cli, "%s: good: cluster '%s', engine %s, %u member%s\n", c->file, c->cluster.name,
                  c->cluster.engine, c->cluster.members_count,
                  c->cluster.members_count == 1 ? "" : "s");
    }
    return code;
}

static int serve(struct cli *cli, const struct cli_args *args, struct serve *s)
{
    struct buf error;
    int code = choose_node(cli, s->config, args->values[SERVE_NODE].text);
    int err;

    if (code == CLI_OK) {
        code = map_options(cli, args, s);
    }
    if (code != CLI_OK) {
        return code;
    }
    set_log(s->config, args);
    buf_init(&error, ERROR_MAX);
    err = server_run(&s->options, &error);
    if (err != OK) {
        if (error.size == 0) {
            ERR_IGNORE(buf_printf(&error, "%s", err_text(err))); /* it fits */
        }
        code = cli_fail(cli, CLI_LOCAL, "node %s: %.*s", s->config->self->name, (int) error.size,
                        (const char *) error.data);
    }
    buf_release(&error);
    return code;
}

static int help_config(struct cli *cli)
{
    struct buf text;
    int err;

    buf_init(&text, HELP_MAX);
    err = config_print_help(&text);
    ASSERT(err == OK); /* HELP_MAX is enough */
    cli_print_bytes(cli, buf_bytes(&text));
    buf_release(&text);
    return CLI_OK;
}

static int run_serve(struct cli *cli, const struct cli_args *args)
{
    struct serve s = {0};
    int code;

    if (args->values[SERVE_HELP_CONFIG].set) {
        return help_config(cli);
    }
    if (!args->values[SERVE_CONFIG].set) {
        return cli_fail(cli, CLI_USAGE,
                        "--config FILE is needed; ready-made ones are in cluster-configs/, and "
                        "'synod cluster up' needs none");
    }
    code = load(cli, args, &s);
    if (code != CLI_OK) {
        return code;
    }
    code = args->values[SERVE_CHECK].set ? check(cli, args, &s) : serve(cli, args, &s);
    serve_release(&s);
    return code;
}

const struct cli_command cli_serve = {
    .group = "Nodes and clusters",
    .name = "serve",
    .arguments = "",
    .summary = "run one node of a cluster",
    .description = "Runs until SIGINT or SIGTERM, then finishes open requests and stops; a second "
                   "signal stops\nat once. One configuration file describes the whole cluster and "
                   "is the same on all nodes.\nThe log goes to stderr.\n\n"
                   "Give --init for the first start of a new cluster, and never again: a node "
                   "that lost its data\nhas forgotten its votes and promises, and could undo "
                   "acknowledged writes if it came back\nempty. Without --init a node whose data "
                   "is missing refuses to start.\n",
    .examples = "  synod serve --config cluster-configs/raft-3.yaml --node 1 --init\n"
                "  synod serve --config cluster.yaml --node n2 --data-dir /var/lib/synod\n"
                "  synod serve --config cluster.yaml --check\n",
    .flags = serve_flags,
    .flags_count = ARRAY_SIZE(serve_flags),
    .run = run_serve,
};

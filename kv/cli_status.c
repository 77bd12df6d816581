/*
 * cli_status.c - status and members: what the nodes say of themselves, side by side.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/message.h"
#include "kv/cli_internal.h"
#include "kv/cli_json.h"
#include "net/grpc.h"

enum { STATUS_COLUMNS = 12, MEMBER_COLUMNS = 5 };

/* ---- Asking ---- */

int cli_ask_status(struct cli *cli, struct cli_node_status *rows)
{
    struct client_request requests[CLIENT_ENDPOINTS_MAX];
    struct client_result results[CLIENT_ENDPOINTS_MAX];
    struct blob *empty;
    int code = cli_connect(cli);

    if (code != CLI_OK) {
        return code;
    }
    empty = blob_new(0); /* a StatusRequest has no fields */
    for (uint32_t i = 0; i < cli->endpoints_count; i++) {
        requests[i] = (struct client_request){
            .path = CLIENT_STATUS,
            .message = empty,
            .timeout_ms = cli->timeout_ms,
            .endpoint = (int32_t) i,
        };
    }
    client_blocking_call(cli->client, requests, cli->endpoints_count, results);
    for (uint32_t i = 0; i < cli->endpoints_count; i++) {
        struct cli_node_status *row = &rows[i];

        *row = (struct cli_node_status){.outcome = results[i].outcome, .error = results[i].text};
        if (row->outcome == CLIENT_OK &&
            wire_status_decode(blob_bytes(results[i].message), &cli->arena, &row->header,
                               &row->status) != OK) {
            row->outcome = CLIENT_REFUSED;
            row->error = "the answer does not decode; is it an etcd v3 server?";
        }
    }
    blob_unref(empty);
    return CLI_OK;
}

/* ---- status ---- */

/* "12 MB", as etcdctl's table. */
static void format_size(int64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double) bytes;
    size_t i = 0;

    while (value >= 1000 && i + 1 < ARRAY_SIZE(units)) {
        value /= 1000;
        i++;
    }
    (void) snprintf(text, size, i == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, units[i]);
}

static void add_dead_row(struct cli_table *t, const char *endpoint,
                         const struct cli_node_status *row)
{
    cli_table_add(t, "%s", endpoint);
    for (uint32_t i = 1; i < STATUS_COLUMNS - 1; i++) {
        cli_table_add(t, "-");
    }
    cli_table_add(t, "%s",
                  row->outcome == CLIENT_UNREACHABLE ? row->error
                  : row->outcome == CLIENT_TIMED_OUT ? "no answer in time"
                                                     : row->error);
}

/* What the node complains of. */
static void format_errors(const struct api_status *s, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < s->errors_count; i++) {
        int n = snprintf(text + used, size - used, "%s%.*s", i == 0 ? "" : "; ",
                         (int) s->errors[i].size, (const char *) s->errors[i].data);

        if (n < 0 || (size_t) n >= size - used) {
            return; /* cut: it is only told */
        }
        used += (size_t) n;
    }
}

/* A plain etcd has no extension fields: its role follows from the leader's id. */
static const char *role_of(const struct cli_node_status *row)
{
    if (row->status.is_learner) {
        return "learner";
    }
    return row->status.leader == row->header.member_id ? "leader" : "follower";
}

static void add_row(struct cli_table *t, const char *endpoint, const struct cli_node_status *row,
                    uint64_t commit_max)
{
    const struct api_status *s = &row->status;
    char size[32];
    char errors[256];

    format_size(s->db_size, size, sizeof(size));
    format_errors(s, errors, sizeof(errors));
    cli_table_add(t, "%s", endpoint);
    cli_table_add(t, "%" PRIx64, row->header.member_id);
    if (s->engine.size > 0) {
        cli_table_add(t, "%.*s", (int) s->engine.size, (const char *) s->engine.data);
        cli_table_add(t, "%.*s", (int) s->role.size, (const char *) s->role.data);
    } else {
        cli_table_add(t, "etcd %.*s", (int) s->version.size, (const char *) s->version.data);
        cli_table_add(t, "%s", role_of(row));
    }
    if (bytes_equal(s->engine, bytes_str("paxos")) ||
        bytes_equal(s->engine, bytes_str("multipaxos"))) {
        cli_table_add(t, "%" PRIu64 ".%" PRIu32, ballot_round(s->raft_term),
                      ballot_node(s->raft_term));
    } else {
        cli_table_add(t, "%" PRIu64, s->raft_term);
    }
    if (s->leader == 0) {
        cli_table_add(t, "none");
    } else {
        cli_table_add(t, "%" PRIx64, s->leader);
    }
    cli_table_add(t, "%" PRIu64, s->raft_index);
    cli_table_add(t, "%" PRIu64, s->raft_applied_index);
    cli_table_add(t, "%" PRId64, row->header.revision);
    if (s->engine.size > 0) {
        cli_table_add(t, "%016" PRIx64, s->state_hash);
    } else {
        cli_table_add(t, "-");
    }
    cli_table_add(t, "%" PRIu64, commit_max - u64_min(commit_max, s->raft_applied_index));
    cli_table_add(t, "%s%s%s", size, errors[0] == '\0' ? "" : "  ! ", errors);
}

void cli_print_status(struct cli *cli, const struct cli_node_status *rows)
{
    static const char *const heads[STATUS_COLUMNS] = {
        "ENDPOINT", "NODE",    "ENGINE",   "ROLE",       "TERM", "LEADER",
        "COMMIT",   "APPLIED", "REVISION", "STATE HASH", "LAG",  "DB SIZE",
    };
    struct cli_table t;
    uint64_t commit_max = 0;

    cli_table_init(&t, STATUS_COLUMNS);
    for (uint32_t i = 0; i < STATUS_COLUMNS; i++) {
        cli_table_add(&t, "%s", heads[i]);
    }
    for (uint32_t i = 0; i < cli->endpoints_count; i++) {
        if (rows[i].outcome == CLIENT_OK) {
            commit_max = u64_max(commit_max, rows[i].status.raft_index);
        }
    }
    for (uint32_t i = 0; i < cli->endpoints_count; i++) {
        if (rows[i].outcome == CLIENT_OK) {
            add_row(&t, cli->endpoints[i], &rows[i], commit_max);
        } else {
            add_dead_row(&t, cli->endpoints[i], &rows[i]);
        }
    }
    cli_table_print(cli, &t);
    cli_table_release(&t);
}

static void json_status(struct json *j, const struct cli_node_status *row)
{
    const struct api_status *s = &row->status;
    char hash[24];

    json_object(j, "Status");
    cli_json_header(j, &row->header);
    json_text(j, "version", s->version);
    json_i64_opt(j, "dbSize", s->db_size);
    json_u64_opt(j, "leader", s->leader);
    json_u64_opt(j, "raftIndex", s->raft_index);
    json_u64_opt(j, "raftTerm", s->raft_term);
    json_u64_opt(j, "raftAppliedIndex", s->raft_applied_index);
    if (s->errors_count > 0) {
        json_array(j, "errors");
        for (uint32_t i = 0; i < s->errors_count; i++) {
            json_text(j, NULL, s->errors[i]);
        }
        json_end_array(j);
    }
    json_i64_opt(j, "dbSizeInUse", s->db_size_in_use);
    json_bool_opt(j, "isLearner", s->is_learner);
    json_text_opt(j, "storageVersion", s->storage_version);
    json_i64_opt(j, "dbSizeQuota", s->db_size_quota);
    if (s->engine.size > 0) {
        (void) snprintf(hash, sizeof(hash), "%016" PRIx64, s->state_hash); /* 16 digits */
        json_text(j, "synod_engine", s->engine);
        json_text(j, "synod_role", s->role);
        json_text(j, "synod_state_hash", bytes_str(hash)); /* as in the table; a double is short */
        json_u64_opt(j, "synod_last_index", s->last_index);
        json_u64_opt(j, "synod_durable_index", s->durable_index);
        json_u64_opt(j, "synod_incarnation", s->incarnation);
    }
    json_end_object(j);
}

static void print_status_json(struct cli *cli, const struct cli_node_status *rows)
{
    struct json j = {.out = &cli->out};

    json_array(&j, NULL);
    for (uint32_t i = 0; i < cli->endpoints_count; i++) {
        json_object(&j, NULL);
        json_text(&j, "Endpoint", bytes_str(cli->endpoints[i]));
        if (rows[i].outcome == CLIENT_OK) {
            json_status(&j, &rows[i]);
        } else {
            json_text(&j, "Error", bytes_str(rows[i].error));
        }
        json_end_object(&j);
    }
    json_end_array(&j);
    cli_print(cli, "\n");
}

/* All reachable: 0. None: as for any other command. Some: 1. */
int cli_status_exit(const struct cli *cli, const struct cli_node_status *rows)
{
    uint32_t good = 0;
    uint32_t unreachable = 0;

    for (uint32_t i = 0; i < cli->endpoints_count; i++) {
        good += rows[i].outcome == CLIENT_OK;
        unreachable += rows[i].outcome == CLIENT_UNREACHABLE;
    }
    if (good == cli->endpoints_count) {
        return CLI_OK;
    }
    if (good > 0) {
        return CLI_REFUSED;
    }
    return unreachable > 0 ? CLI_UNREACHABLE : CLI_TIMED_OUT;
}

static int run_status(struct cli *cli, const struct cli_args *args)
{
    struct cli_node_status rows[CLIENT_ENDPOINTS_MAX];
    int code = cli_ask_status(cli, rows);

    (void) args;
    if (code != CLI_OK) {
        return code;
    }
    if (cli->json) {
        print_status_json(cli, rows);
    } else {
        cli_print_status(cli, rows);
    }
    return cli_status_exit(cli, rows);
}

const struct cli_command cli_status = {
    .group = "Nodes and clusters",
    .name = "status",
    .arguments = "",
    .summary = "what every node says of itself, as a table",
    .description =
        "One row for each of --endpoints. TERM is the term or the highest ballot (round.node), "
        "LEADER\nthe id of the node it follows, LAG how many entries it has not applied that some "
        "node knows\nto be committed. Nodes that have applied the same index have the same STATE "
        "HASH. An\nendpoint without an answer is a row with its error, and the exit code is then "
        "not 0.\n",
    .examples = "  synod status --endpoints 127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379\n"
                "  synod status -w json | jq '.[].Status.leader'\n",
    .client = true,
    .run = run_status,
};

/* ---- members ---- */

/* The urls with commas between. */
static void format_urls(const struct bytes *urls, uint32_t count, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        int n = snprintf(text + used, size - used, "%s%.*s", i == 0 ? "" : ",", (int) urls[i].size,
                         (const char *) urls[i].data);

        if (n < 0 || (size_t) n >= size - used) {
            return; /* cut: it is only told */
        }
        used += (size_t) n;
    }
}

static void print_members(struct cli *cli, const struct api_member *members, uint32_t count)
{
    static const char *const heads[MEMBER_COLUMNS] = {"ID", "NAME", "PEER", "CLIENT", "LEARNER"};
    struct cli_table t;
    char urls[256];

    cli_table_init(&t, MEMBER_COLUMNS);
    for (uint32_t i = 0; i < MEMBER_COLUMNS; i++) {
        cli_table_add(&t, "%s", heads[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct api_member *m = &members[i];

        cli_table_add(&t, "%" PRIx64, m->id);
        cli_table_add(&t, "%.*s", (int) m->name.size, (const char *) m->name.data);
        format_urls(m->peer_urls, m->peer_urls_count, urls, sizeof(urls));
        cli_table_add(&t, "%s", urls);
        format_urls(m->client_urls, m->client_urls_count, urls, sizeof(urls));
        cli_table_add(&t, "%s", urls);
        cli_table_add(&t, "%s", m->is_learner ? "yes" : "no");
    }
    cli_table_print(cli, &t);
    cli_table_release(&t);
}

static void json_urls(struct json *j, const char *key, const struct bytes *urls, uint32_t count)
{
    if (count == 0) {
        return;
    }
    json_array(j, key);
    for (uint32_t i = 0; i < count; i++) {
        json_text(j, NULL, urls[i]);
    }
    json_end_array(j);
}

static void print_members_json(struct cli *cli, const struct api_header *header,
                               const struct api_member *members, uint32_t count)
{
    struct json j = {.out = &cli->out};

    json_object(&j, NULL);
    cli_json_header(&j, header);
    json_array(&j, "members");
    for (uint32_t i = 0; i < count; i++) {
        const struct api_member *m = &members[i];

        json_object(&j, NULL);
        json_u64(&j, "ID", m->id);
        json_text_opt(&j, "name", m->name);
        json_urls(&j, "peerURLs", m->peer_urls, m->peer_urls_count);
        json_urls(&j, "clientURLs", m->client_urls, m->client_urls_count);
        json_bool_opt(&j, "isLearner", m->is_learner);
        json_end_object(&j);
    }
    json_end_array(&j);
    json_end_object(&j);
    cli_print(cli, "\n");
}

static int run_members(struct cli *cli, const struct cli_args *args)
{
    struct buf empty;
    struct bytes answer;
    struct api_header header;
    const struct api_member *members;
    uint32_t count;
    int code;

    (void) args;
    buf_init(&empty, 0); /* a MemberListRequest asks for nothing in particular */
    code = cli_call(cli, CLIENT_MEMBERS, false, &empty, &answer);
    if (code != CLI_OK) {
        return code;
    }
    if (wire_members_decode(answer, &cli->arena, &header, &members, &count) != OK) {
        return cli_fail(cli, CLI_REFUSED,
                        "the server's answer does not decode; is it an etcd v3 server?");
    }
    if (cli->json) {
        print_members_json(cli, &header, members, count);
    } else {
        print_members(cli, members, count);
    }
    return CLI_OK;
}

const struct cli_command cli_members = {
    .group = "Nodes and clusters",
    .name = "members",
    .arguments = "",
    .summary = "the members of the cluster and their addresses",
    .description = "",
    .examples = "  synod members\n",
    .client = true,
    .run = run_members,
};

/*
 * cli_output.c - answers as text and as JSON in etcdctl's shape, and tables.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/cli_internal.h"
#include "kv/cli_json.h"

/* ---- JSON ---- */

void cli_json_header(struct json *j, const struct api_header *header)
{
    json_object(j, "header");
    json_u64_opt(j, "cluster_id", header->cluster_id);
    json_u64_opt(j, "member_id", header->member_id);
    json_i64_opt(j, "revision", header->revision);
    json_u64_opt(j, "raft_term", header->raft_term);
    json_end_object(j);
}

static void json_kv(struct json *j, const char *key, const struct api_kv *kv)
{
    json_object(j, key);
    json_base64(j, "key", kv->key);
    json_i64_opt(j, "create_revision", kv->create_revision);
    json_i64_opt(j, "mod_revision", kv->mod_revision);
    json_i64_opt(j, "version", kv->version);
    json_base64_opt(j, "value", kv->value);
    json_i64_opt(j, "lease", kv->lease);
    json_end_object(j);
}

static void json_kvs(struct json *j, const char *key, const struct api_kv *kvs, uint32_t count)
{
    if (count == 0) {
        return;
    }
    json_array(j, key);
    for (uint32_t i = 0; i < count; i++) {
        json_kv(j, NULL, &kvs[i]);
    }
    json_end_array(j);
}

/* All but a transaction's. */
static void json_simple(struct json *j, const struct api_response *r)
{
    switch (r->kind) {
    case OP_RANGE:
        json_kvs(j, "kvs", r->range.kvs, r->range.kvs_count);
        json_bool_opt(j, "more", r->range.more);
        json_i64_opt(j, "count", r->range.count);
        break;
    case OP_PUT:
        if (r->put.prev != NULL) {
            json_kv(j, "prev_kv", r->put.prev);
        }
        break;
    case OP_DELETE:
        json_i64_opt(j, "deleted", r->del.deleted);
        json_kvs(j, "prev_kvs", r->del.prevs, r->del.prevs_count);
        break;
    default:
        break;
    }
}

static const char *oneof_name(uint8_t kind)
{
    switch (kind) {
    case OP_RANGE:
        return "ResponseRange";
    case OP_PUT:
        return "ResponsePut";
    case OP_DELETE:
        return "ResponseDeleteRange";
    default:
        return "ResponseTxn";
    }
}

/* A transaction our parser makes has no transaction inside; of one that has, only the outcome is
 * told. */
static void json_nested(struct json *j, const struct api_response *r)
{
    const struct api_header header = {.revision = r->revision};

    json_object(j, NULL);
    json_object(j, "Response");
    json_object(j, oneof_name(r->kind));
    cli_json_header(j, &header);
    if (r->kind == OP_TXN) {
        json_bool_opt(j, "succeeded", r->txn.succeeded);
    } else {
        json_simple(j, r);
    }
    json_end_object(j);
    json_end_object(j);
    json_end_object(j);
}

void cli_json_response(struct json *j, const struct api_response *response)
{
    if (response->kind != OP_TXN) {
        json_simple(j, response);
        return;
    }
    json_bool_opt(j, "succeeded", response->txn.succeeded);
    if (response->txn.responses_count > 0) {
        json_array(j, "responses");
        for (uint32_t i = 0; i < response->txn.responses_count; i++) {
            json_nested(j, &response->txn.responses[i]);
        }
        json_end_array(j);
    }
}

void cli_print_json(struct cli *cli, const struct api_header *header,
                    const struct api_response *response)
{
    struct json j = {.out = &cli->out};

    json_object(&j, NULL);
    cli_json_header(&j, header);
    cli_json_response(&j, response);
    json_end_object(&j);
    cli_print(cli, "\n");
}

/* ---- Text ---- */

void cli_print_kv(struct cli *cli, const struct api_kv *kv)
{
    cli_print_bytes(cli, kv->key);
    cli_print(cli, "\n");
    cli_print_bytes(cli, kv->value);
    cli_print(cli, "\n");
}

/* Inside a transaction's answer. */
static void print_simple(struct cli *cli, const struct api_response *r)
{
    switch (r->kind) {
    case OP_RANGE:
        for (uint32_t i = 0; i < r->range.kvs_count; i++) {
            cli_print_kv(cli, &r->range.kvs[i]);
        }
        break;
    case OP_PUT:
        cli_print(cli, "OK\n");
        if (r->put.prev != NULL) {
            cli_print_kv(cli, r->put.prev);
        }
        break;
    case OP_DELETE:
        cli_print(cli, "%lld\n", (long long) r->del.deleted);
        for (uint32_t i = 0; i < r->del.prevs_count; i++) {
            cli_print_kv(cli, &r->del.prevs[i]);
        }
        break;
    default:
        break;
    }
}

void cli_print_response(struct cli *cli, const struct api_response *response)
{
    if (response->kind != OP_TXN) {
        print_simple(cli, response);
        return;
    }
    cli_print(cli, "%s\n", response->txn.succeeded ? "SUCCESS" : "FAILURE");
    for (uint32_t i = 0; i < response->txn.responses_count; i++) {
        cli_print(cli, "\n");
        print_simple(cli, &response->txn.responses[i]);
    }
}

/* ---- Tables ---- */

void cli_table_init(struct cli_table *t, uint32_t columns)
{
    *t = (struct cli_table){.columns = columns};
}

void cli_table_release(struct cli_table *t)
{
    for (uint32_t i = 0; i < t->cells_count; i++) {
        free(t->cells[i]);
    }
    free(t->cells);
    *t = (struct cli_table){0};
}

void cli_table_add(struct cli_table *t, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void) vsnprintf(text, sizeof(text), format, args); /* a longer cell is cut */
    va_end(args);
    t->cells = xrealloc(t->cells, ((size_t) t->cells_count + 1) * sizeof(*t->cells));
    t->cells[t->cells_count++] = xstrdup(text);
}

void cli_table_print(struct cli *cli, const struct cli_table *t)
{
    ASSERT(t->cells_count % t->columns == 0);
    for (uint32_t i = 0; i < t->cells_count; i++) {
        uint32_t column = i % t->columns;
        size_t width = 0;

        if (column == t->columns - 1) {
            cli_print(cli, "%s\n", t->cells[i]);
            continue;
        }
        for (uint32_t k = column; k < t->cells_count; k += t->columns) {
            width = strlen(t->cells[k]) > width ? strlen(t->cells[k]) : width;
        }
        cli_print(cli, "%-*s  ", (int) width, t->cells[i]);
    }
}

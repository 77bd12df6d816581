/*
 * cli_kv.c - put, get, del, compact.
 *
 * Keys come from the command line, values also from stdin, as they are: any bytes but those a
 * command line cannot carry.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/cli_internal.h"
#include "kv/cli_range.h"

enum {
    STDIN_MAX = 256 * 1024 * 1024, /* the server's limit (1.5 MiB by default) is the real one */
};

#define REQUEST_LIMIT (SIZE_MAX / 2)

/* ---- Shared ---- */

/* KEY [RANGE_END] and the flags --prefix and --from-key to a range of keys. Gives an exit code. */
static int make_range(struct cli *cli, const struct cli_args *args, bool prefix, bool from_key,
                      struct cli_range *ret_range)
{
    struct bytes key = bytes_str(args->words[0]);

    if (prefix && from_key) {
        return cli_fail(cli, CLI_USAGE, "--prefix and --from-key exclude each other");
    }
    if ((prefix || from_key) && args->words_count > 1) {
        return cli_fail(cli, CLI_USAGE, "RANGE_END and --%s exclude each other",
                        prefix ? "prefix" : "from-key");
    }
    if (prefix) {
        *ret_range = cli_range_prefix(&cli->arena, key);
    } else if (from_key) {
        *ret_range = cli_range_from(key);
    } else {
        *ret_range = (struct cli_range){
            .key = key,
            .end = args->words_count > 1 ? bytes_str(args->words[1]) : bytes_of(NULL, 0),
        };
    }
    return CLI_OK;
}

/* Sends and decodes. `err` is what encoding gave. Gives an exit code; takes the request over. */
static int call(struct cli *cli, const char *path, uint8_t kind, struct buf *request,
                struct api_header *ret_header, struct api_response *ret_response)
{
    struct bytes answer;
    int code = cli_call(cli, path, kind != OP_RANGE, request, &answer);

    buf_release(request);
    if (code != CLI_OK) {
        return code;
    }
    if (wire_response_decode(kind, answer, &cli->arena, ret_header, ret_response) != OK) {
        return cli_fail(cli, CLI_REFUSED,
                        "the server's answer does not decode; is it an etcd v3 "
                        "server?");
    }
    return CLI_OK;
}

/* ---- put ---- */

enum { PUT_PREV_KV };

static const struct cli_flag put_flags[] = {
    [PUT_PREV_KV] = {"prev-kv", 0, FLAG_SWITCH, NULL, "also print the pair as it was before", NULL},
};

static int run_put(struct cli *cli, const struct cli_args *args)
{
    struct put_request put = {
        .key = bytes_str(args->words[0]),
        .prev_kv = args->values[PUT_PREV_KV].set,
    };
    bool from_stdin = args->words_count < 2 || strcmp(args->words[1], "-") == 0;
    struct buf value;
    struct buf request;
    struct api_header header;
    struct api_response response;
    int err;
    int code;

    buf_init(&value, 0);
    if (!from_stdin) {
        put.value = bytes_str(args->words[1]);
    } else {
        err = cli_read_stdin(STDIN_MAX, &value);
        if (err != OK) {
            return cli_fail(cli, CLI_LOCAL, "cannot read the value from stdin: %s", err_text(err));
        }
        put.value = buf_bytes(&value);
    }
    buf_init(&request, REQUEST_LIMIT);
    err = wire_put_request_encode(&put, &request);
    ASSERT(err == OK);
    buf_release(&value);
    code = call(cli, CLIENT_PUT, OP_PUT, &request, &header, &response);
    if (code != CLI_OK) {
        return code;
    }
    if (cli->json) {
        cli_print_json(cli, &header, &response);
    } else {
        cli_print_response(cli, &response);
    }
    return CLI_OK;
}

const struct cli_command cli_put = {
    .group = "Keys and values",
    .name = "put",
    .arguments = "KEY [VALUE]",
    .summary = "store a value under a key",
    .description =
        "Without VALUE, or with '-', the value is read from stdin, byte for byte. When it "
        "prints OK,\nthe value is on the disks of a majority. After a lost connection "
        "the request is sent\nagain to another endpoint and still applied once.\n",
    .examples = "  synod put greeting hello\n"
                "  synod put -- --key-with-dashes value\n"
                "  synod put picture < picture.png\n"
                "  date | synod put now -\n",
    .flags = put_flags,
    .flags_count = ARRAY_SIZE(put_flags),
    .words_min = 1,
    .words_max = 2,
    .client = true,
    .run = run_put,
};

/* ---- get ---- */

enum {
    GET_PREFIX,
    GET_FROM_KEY,
    GET_LIMIT,
    GET_REV,
    GET_KEYS_ONLY,
    GET_COUNT_ONLY,
    GET_PRINT_VALUE_ONLY,
    GET_CONSISTENCY,
    GET_ORDER,
    GET_SORT_BY,
};

static const char *const consistencies[] = {"l", "s", NULL};
/* In the order of enum sort_order from 1 on and of enum sort_target. */
static const char *const orders[] = {"ascend", "descend", NULL};
static const char *const targets[] = {"key", "version", "create", "modify", "value", NULL};

static const struct cli_flag get_flags[] = {
    [GET_PREFIX] = {"prefix", 0, FLAG_SWITCH, NULL, "all keys that begin with KEY", NULL},
    [GET_FROM_KEY] = {"from-key", 0, FLAG_SWITCH, NULL, "all keys from KEY on", NULL},
    [GET_LIMIT] = {"limit", 0, FLAG_NUMBER, "N", "at most N keys (0: all)", NULL},
    [GET_REV] = {"rev", 0, FLAG_NUMBER, "REV", "as it was at this revision (0: now)", NULL},
    [GET_KEYS_ONLY] = {"keys-only", 0, FLAG_SWITCH, NULL, "print keys without values", NULL},
    [GET_COUNT_ONLY] = {"count-only", 0, FLAG_SWITCH, NULL, "print the number of keys", NULL},
    [GET_PRINT_VALUE_ONLY] = {"print-value-only", 0, FLAG_SWITCH, NULL, "print values without keys",
                              NULL},
    [GET_CONSISTENCY] = {"consistency", 0, FLAG_CHOICE, "l|s",
                         "l: linearizable, the newest (default); s: what this node has",
                         consistencies},
    [GET_ORDER] = {"order", 0, FLAG_CHOICE, "ORDER", "ascend or descend", orders},
    [GET_SORT_BY] = {"sort-by", 0, FLAG_CHOICE, "WHAT", "key, version, create, modify or value",
                     targets},
};

static void print_range(struct cli *cli, const struct cli_args *args,
                        const struct range_response *range)
{
    bool value_only = args->values[GET_PRINT_VALUE_ONLY].set;

    if (args->values[GET_COUNT_ONLY].set) {
        cli_print(cli, "%lld\n", (long long) range->count);
        return;
    }
    for (uint32_t i = 0; i < range->kvs_count; i++) {
        if (!value_only) {
            cli_print_bytes(cli, range->kvs[i].key);
            cli_print(cli, "\n");
        }
        if (!args->values[GET_KEYS_ONLY].set) {
            cli_print_bytes(cli, range->kvs[i].value);
            cli_print(cli, "\n");
        }
    }
}

static int run_get(struct cli *cli, const struct cli_args *args)
{
    const struct cli_value *v = args->values;
    struct range_request range = {
        .limit = v[GET_LIMIT].number,
        .revision = v[GET_REV].number,
        .keys_only = v[GET_KEYS_ONLY].set,
        .count_only = v[GET_COUNT_ONLY].set,
        .serializable = v[GET_CONSISTENCY].set && v[GET_CONSISTENCY].number == 1,
        .sort_order = v[GET_ORDER].set ? (int32_t) v[GET_ORDER].number + SORT_ASCEND : SORT_NONE,
        .sort_target = (int32_t) v[GET_SORT_BY].number,
    };
    struct cli_range keys;
    struct buf request;
    struct api_header header;
    struct api_response response;
    int err;
    int code;

    if (range.keys_only && v[GET_PRINT_VALUE_ONLY].set) {
        return cli_fail(cli, CLI_USAGE, "--keys-only and --print-value-only exclude each other");
    }
    code = make_range(cli, args, v[GET_PREFIX].set, v[GET_FROM_KEY].set, &keys);
    if (code != CLI_OK) {
        return code;
    }
    range.key = keys.key;
    range.range_end = keys.end;
    buf_init(&request, REQUEST_LIMIT);
    err = wire_range_request_encode(&range, &request);
    ASSERT(err == OK);
    code = call(cli, CLIENT_RANGE, OP_RANGE, &request, &header, &response);
    if (code != CLI_OK) {
        return code;
    }
    if (cli->json) {
        cli_print_json(cli, &header, &response);
    } else {
        print_range(cli, args, &response.range);
    }
    return CLI_OK;
}

const struct cli_command cli_get = {
    .group = "Keys and values",
    .name = "get",
    .arguments = "KEY [RANGE_END]",
    .summary = "read a key, or the keys of a range",
    .description = "Prints each key and its value on a line of its own; nothing for a key that is "
                   "not there.\nWith RANGE_END: the keys from KEY on that are below RANGE_END.\n",
    .examples =
        "  synod get greeting\n"
        "  synod get --prefix user/ --limit 10 --order descend --sort-by modify\n"
        "  synod get picture --print-value-only > picture.png   # with a newline at the end\n"
        "  synod get greeting --rev 5 -w json\n",
    .flags = get_flags,
    .flags_count = ARRAY_SIZE(get_flags),
    .words_min = 1,
    .words_max = 2,
    .client = true,
    .run = run_get,
};

/* ---- del ---- */

enum { DEL_PREFIX, DEL_FROM_KEY, DEL_PREV_KV };

static const struct cli_flag del_flags[] = {
    [DEL_PREFIX] = {"prefix", 0, FLAG_SWITCH, NULL, "all keys that begin with KEY", NULL},
    [DEL_FROM_KEY] = {"from-key", 0, FLAG_SWITCH, NULL, "all keys from KEY on", NULL},
    [DEL_PREV_KV] = {"prev-kv", 0, FLAG_SWITCH, NULL, "also print what was deleted", NULL},
};

static int run_del(struct cli *cli, const struct cli_args *args)
{
    struct delete_request del = {.prev_kv = args->values[DEL_PREV_KV].set};
    struct cli_range keys;
    struct buf request;
    struct api_header header;
    struct api_response response;
    int err;
    int code =
        make_range(cli, args, args->values[DEL_PREFIX].set, args->values[DEL_FROM_KEY].set, &keys);

    if (code != CLI_OK) {
        return code;
    }
    del.key = keys.key;
    del.range_end = keys.end;
    buf_init(&request, REQUEST_LIMIT);
    err = wire_delete_request_encode(&del, &request);
    ASSERT(err == OK);
    code = call(cli, CLIENT_DELETE, OP_DELETE, &request, &header, &response);
    if (code != CLI_OK) {
        return code;
    }
    if (cli->json) {
        cli_print_json(cli, &header, &response);
    } else {
        cli_print_response(cli, &response);
    }
    return CLI_OK;
}

const struct cli_command cli_del = {
    .group = "Keys and values",
    .name = "del",
    .arguments = "KEY [RANGE_END]",
    .summary = "delete a key, or the keys of a range",
    .description = "Prints how many keys were deleted; 0 is no error.\n",
    .examples = "  synod del greeting\n"
                "  synod del --prefix user/ --prev-kv\n",
    .flags = del_flags,
    .flags_count = ARRAY_SIZE(del_flags),
    .words_min = 1,
    .words_max = 2,
    .client = true,
    .run = run_del,
};

/* ---- compact ---- */

enum { COMPACT_PHYSICAL };

static const struct cli_flag compact_flags[] = {
    [COMPACT_PHYSICAL] = {"physical", 0, FLAG_SWITCH, NULL, "wait until the space is released",
                          NULL},
};

static int run_compact(struct cli *cli, const struct cli_args *args)
{
    struct compact_request compact = {.physical = args->values[COMPACT_PHYSICAL].set};
    struct buf request;
    struct api_header header;
    struct api_response response;
    int err;
    int code;

    if (cli_parse_number(args->words[0], &compact.revision) != OK) {
        return cli_fail(cli, CLI_USAGE, "'%.60s' is not a revision; a number is needed",
                        args->words[0]);
    }
    buf_init(&request, REQUEST_LIMIT);
    err = wire_compact_request_encode(&compact, &request);
    ASSERT(err == OK);
    code = call(cli, CLIENT_COMPACT, OP_NONE, &request, &header, &response);
    if (code != CLI_OK) {
        return code;
    }
    if (cli->json) {
        cli_print_json(cli, &header, &response);
    } else {
        cli_print(cli, "compacted revision %lld\n", (long long) compact.revision);
    }
    return CLI_OK;
}

const struct cli_command cli_compact = {
    .group = "Keys and values",
    .name = "compact",
    .arguments = "REV",
    .summary = "forget the history before a revision",
    .description = "Reads at older revisions fail from then on; current values stay.\n",
    .examples = "  synod compact 1000\n"
                "  synod compact 1000 --physical --timeout 1m\n",
    .flags = compact_flags,
    .flags_count = ARRAY_SIZE(compact_flags),
    .words_min = 1,
    .words_max = 1,
    .client = true,
    .run = run_compact,
};

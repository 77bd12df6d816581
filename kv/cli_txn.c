/*
 * cli_txn.c - txn: a transaction in etcdctl's text format from stdin.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "kv/cli_internal.h"
#include "kv/cli_txn_parse.h"

enum { STDIN_MAX = 64 * 1024 * 1024, ERROR_MAX = 1024 };

/* Whether it can change nothing; such a one is a read for the client, too. */
static bool is_read(const struct txn_request *txn)
{
    for (uint32_t i = 0; i < txn->success_count; i++) {
        if (txn->success[i].kind != OP_RANGE) {
            return false;
        }
    }
    for (uint32_t i = 0; i < txn->failure_count; i++) {
        if (txn->failure[i].kind != OP_RANGE) {
            return false;
        }
    }
    return true;
}

/* Encodes, sends, prints. */
static int execute(struct cli *cli, const struct txn_request *txn)
{
    struct buf request;
    struct bytes answer;
    struct api_header header;
    struct api_response response;
    int err;
    int code;

    buf_init(&request, SIZE_MAX / 2);
    err = wire_txn_request_encode(txn, &request);
    ASSERT(err == OK); /* nothing nested, no limit */
    code = cli_call(cli, CLIENT_TXN, !is_read(txn), &request, &answer);
    buf_release(&request);
    if (code != CLI_OK) {
        return code;
    }
    if (wire_response_decode(OP_TXN, answer, &cli->arena, &header, &response) != OK) {
        return cli_fail(cli, CLI_REFUSED,
                        "the server's answer does not decode; is it an etcd v3 server?");
    }
    if (cli->json) {
        cli_print_json(cli, &header, &response);
    } else {
        cli_print_response(cli, &response);
    }
    return CLI_OK;
}

static int run_txn(struct cli *cli, const struct cli_args *args)
{
    struct txn_request txn;
    struct buf text;
    struct buf error;
    int err = cli_read_stdin(STDIN_MAX, &text);
    int code;

    (void) args;
    if (err != OK) {
        return cli_fail(cli, CLI_LOCAL, "cannot read the transaction from stdin: %s",
                        err_text(err));
    }
    buf_init(&error, ERROR_MAX);
    err = cli_txn_parse(buf_bytes(&text), &cli->arena, &txn, &error);
    code = err == OK ? execute(cli, &txn)
                     : cli_fail(cli, CLI_USAGE, "%.*s; see 'synod txn --help'", (int) error.size,
                                (const char *) error.data);
    buf_release(&error);
    buf_release(&text);
    return code;
}

const struct cli_command cli_txn = {
    .group = "Keys and values",
    .name = "txn",
    .arguments = "",
    .summary = "compare and change several keys as one, read from stdin",
    .description =
        "Three parts, each ended by an empty line: compares; what to do when all hold; what to do\n"
        "otherwise. Prints SUCCESS or FAILURE and the answer of each operation; FAILURE is no "
        "error.\n"
        "\n"
        "  compares    mod, create, version, lease or value of a key: = != < >\n"
        "              mod(\"key\") > \"0\"      create(\"key\") = \"0\" is: it does not exist\n"
        "  operations  put KEY VALUE [--prev-kv]\n"
        "              get KEY [RANGE_END] [--prefix] [--from-key] [--limit=N] [--rev=N]\n"
        "                  [--keys-only] [--count-only]\n"
        "              del KEY [RANGE_END] [--prefix] [--from-key] [--prev-kv]\n"
        "  words       bare, 'as it is', or \"with \\n \\t \\\\ \\\" \\x00 \\u00e9\"\n",
    .examples = "  synod txn <<'END'\n"
                "  create(\"lock\") = \"0\"\n"
                "\n"
                "  put lock mine\n"
                "\n"
                "  get lock\n"
                "  END\n",
    .client = true,
    .run = run_txn,
};

/*
 * cli_client.c - a command's connection to the servers, and how its failures are told.
 */
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/cli_internal.h"
#include "net/grpc.h"

enum { ERROR_MAX = 1024, LIST_MAX = 256 };

int cli_connect(struct cli *cli)
{
    struct client_options options;
    struct buf error;
    int err;

    if (cli->client != NULL) {
        return CLI_OK;
    }
    client_options_init(&options);
    options.endpoints = cli->endpoints;
    options.endpoints_count = cli->endpoints_count;
    options.seed = cli->env->seed;
    buf_init(&error, ERROR_MAX);
    err = client_blocking_new(&options, &cli->client, &error);
    if (err != OK) {
        int code = cli_fail(cli, err == ERR_INVALID ? CLI_USAGE : CLI_LOCAL, "%.*s",
                            (int) error.size, (const char *) error.data);

        buf_release(&error);
        return code;
    }
    buf_release(&error);
    return CLI_OK;
}

int cli_exit_of(const struct client_result *result)
{
    switch (result->outcome) {
    case CLIENT_OK:
        return CLI_OK;
    case CLIENT_UNREACHABLE:
        return CLI_UNREACHABLE;
    case CLIENT_TIMED_OUT:
        return CLI_TIMED_OUT;
    default:
        return result->unknown ? CLI_TIMED_OUT : CLI_REFUSED;
    }
}

/* The endpoints as one text. */
static void list_endpoints(const struct cli *cli, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < cli->endpoints_count; i++) {
        int n = snprintf(text + used, size - used, "%s%s", i == 0 ? "" : ", ", cli->endpoints[i]);

        if (n < 0 || (size_t) n >= size - used) {
            return; /* cut: it is only told */
        }
        used += (size_t) n;
    }
}

static const char *where(const struct cli *cli, const struct client_result *result)
{
    return result->endpoint < 0
               ? "no endpoint"
               : client_endpoint(client_blocking_client(cli->client), (uint32_t) result->endpoint);
}

void cli_describe(struct cli *cli, const struct client_result *result, bool write,
                  struct buf *ret_text)
{
    char list[LIST_MAX];

    buf_clear(ret_text);
    /* Only texts: what does not fit is left out. */
    switch (result->outcome) {
    case CLIENT_UNREACHABLE:
        list_endpoints(cli, list, sizeof(list));
        ERR_IGNORE(buf_printf(ret_text, "no endpoint can be reached (%s): %s; nothing was done",
                              list, result->text));
        break;
    case CLIENT_TIMED_OUT:
        ERR_IGNORE(buf_printf(ret_text, "timed out after %g s: %s (%s)",
                              (double) cli->timeout_ms / 1000, result->text, where(cli, result)));
        break;
    default:
        ERR_IGNORE(buf_printf(ret_text, "%s (%s, from %s)", result->text,
                              grpc_status_name(result->status), where(cli, result)));
        break;
    }
    if (result->unknown) {
        ERR_IGNORE(buf_printf(ret_text,
                              "; the outcome is unknown: it may have been applied, or may "
                              "still be; read to find out"));
    } else if (write && result->outcome == CLIENT_TIMED_OUT) {
        ERR_IGNORE(buf_printf(ret_text, "; nothing was done"));
    }
}

int cli_call(struct cli *cli, const char *path, bool write, const struct buf *request,
             struct bytes *ret_answer)
{
    struct client_request call = {
        .path = path,
        .write = write,
        .timeout_ms = cli->timeout_ms,
        .endpoint = CLIENT_ANY,
    };
    struct client_result result;
    struct buf text;
    int code = cli_connect(cli);

    if (code != CLI_OK) {
        return code;
    }
    call.message = blob_copy(buf_bytes(request));
    client_blocking_call(cli->client, &call, 1, &result);
    blob_unref(call.message);
    if (result.outcome == CLIENT_OK) {
        *ret_answer = blob_bytes(result.message);
        return CLI_OK;
    }
    buf_init(&text, ERROR_MAX);
    cli_describe(cli, &result, write, &text);
    code = cli_fail(cli, cli_exit_of(&result), "%.*s", (int) text.size, (const char *) text.data);
    buf_release(&text);
    return code;
}

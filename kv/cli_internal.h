/*
 * cli_internal.h - what the commands of the program share; private to kv/cli*.c.
 *
 * A command is one row: texts for its help, a table of flags, a function. Commands write to stdout
 * through cli->out, which cli.c flushes and checks at the end, and complain by cli_fail: one line
 * on stderr that begins with the command and ends with what to do.
 */
#ifndef SYNOD_KV_CLI_INTERNAL_H
#define SYNOD_KV_CLI_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "kv/cli.h"
#include "kv/cli_options.h"
#include "kv/client.h"
#include "proto/wire_kv.h"

enum { CLI_WORDS_ANY = UINT32_MAX };

struct cli;

struct cli_command {
    const char *group;       /* heading in the overview */
    const char *name;        /* "get", "cluster up" */
    const char *arguments;   /* "KEY [RANGE_END]", or "" */
    const char *summary;     /* one line, lower case, no full stop */
    const char *description; /* paragraphs; "" for none */
    const char *examples;    /* lines, indented by two */
    const struct cli_flag *flags;
    uint32_t flags_count;
    uint32_t words_min;
    uint32_t words_max;
    bool client; /* takes --endpoints, --timeout and -w, and talks to servers */
    int (*run)(struct cli *cli, const struct cli_args *args); /* gives an enum cli_exit */
};

/* One run of the program. */
struct cli {
    const struct cli_env *env;
    const struct cli_command *command;
    struct buf out;     /* stdout, see cli_flush */
    bool out_failed;    /* nobody reads it any more, or the disk is full */
    struct arena arena; /* decoded answers, and what has to live as long as the command */

    /* Of a client's command. */
    bool json;
    uint64_t timeout_ms;
    const char *endpoints[CLIENT_ENDPOINTS_MAX];
    uint32_t endpoints_count;
    struct client_blocking *client; /* made by cli_connect */
};

extern const struct cli_command cli_serve, cli_status, cli_members;
extern const struct cli_command cli_cluster_up, cli_cluster_down, cli_cluster_status;
extern const struct cli_command cli_put, cli_get, cli_del, cli_txn, cli_compact;

/* All commands; NULL past the end. */
const struct cli_command *cli_command_at(uint32_t i);

/* ---- cli.c ---- */

/* "synod get: TEXT" on stderr, and gives `code` back. */
int cli_fail(struct cli *cli, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Another line of information on stderr. */
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Appends to stdout's buffer. */
void cli_print(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_print_bytes(struct cli *cli, struct bytes data);

/* Writes the buffer to stdout. */
void cli_flush(struct cli *cli);

/* Reads stdin to its end, at most `size_max` bytes. Errors: ERR_TOO_LARGE, ERR_IO. */
MUST_USE int cli_read_stdin(size_t size_max, struct buf *ret_data);

/* ---- cli_help.c ---- */

void cli_help_overview(struct cli *cli);
void cli_help_command(struct cli *cli, const struct cli_command *command);
extern const struct cli_command cli_help, cli_version, cli_completion;

/* The flags every command, and every client's command, has besides its own. */
extern const struct cli_flag cli_common_flags[];
enum cli_common { COMMON_HELP, COMMON_ENDPOINTS, COMMON_TIMEOUT, COMMON_WRITE_OUT, COMMON_COUNT };
/* How many of them `command` has. */
uint32_t cli_common_count(const struct cli_command *command);

/* ---- cli_client.c ---- */

/* Makes cli->client. Gives CLI_OK or says what is wrong and gives the exit code. */
int cli_connect(struct cli *cli);

/* One call; on CLI_OK *ret_answer is valid until the next one. Otherwise says what happened and
 * gives the exit code. `request` is what wire_*_encode made. */
int cli_call(struct cli *cli, const char *path, bool write, const struct buf *request,
             struct bytes *ret_answer);

/* What to say about a result that is not OK. */
void cli_describe(struct cli *cli, const struct client_result *result, bool write,
                  struct buf *ret_text);
int cli_exit_of(const struct client_result *result);

/* ---- cli_status.c ---- */

/* What one endpoint answered. */
struct cli_node_status {
    uint8_t outcome;   /* enum client_outcome */
    const char *error; /* unless CLIENT_OK; valid until the client's next call */
    struct api_header header;
    struct api_status status;
};

/* Asks every endpoint at once; rows are as many as endpoints. Gives an exit code: of connecting,
 * not of what they answered. */
int cli_ask_status(struct cli *cli, struct cli_node_status *rows);
void cli_print_status(struct cli *cli, const struct cli_node_status *rows);
/* CLI_OK when all have answered. */
int cli_status_exit(const struct cli *cli, const struct cli_node_status *rows);

/* ---- cli_output.c ---- */

struct json;

void cli_json_header(struct json *j, const struct api_header *header);
void cli_json_response(struct json *j, const struct api_response *response);
/* The whole answer of one request as a line of JSON. */
void cli_print_json(struct cli *cli, const struct api_header *header,
                    const struct api_response *response);
/* "key\nvalue\n" */
void cli_print_kv(struct cli *cli, const struct api_kv *kv);
void cli_print_response(struct cli *cli, const struct api_response *response);

/* A table: rows of cells, columns as wide as needed. */
struct cli_table {
    uint32_t columns;
    uint32_t cells_count;
    char **cells;
};
void cli_table_init(struct cli_table *t, uint32_t columns);
void cli_table_release(struct cli_table *t);
/* The next cell; rows fill from the left. */
void cli_table_add(struct cli_table *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The first row is the heading. */
void cli_table_print(struct cli *cli, const struct cli_table *t);

#endif

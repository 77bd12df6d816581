/*
 * cli.c - finds the command, parses its flags, runs it, writes what it printed: see cli.h.
 */
#include "kv/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/cli_internal.h"

enum {
    DEFAULT_TIMEOUT_MS = 5000, /* etcdctl's --command-timeout */
    READ_STEP = 64 * 1024,
    OUT_FLUSH = 1024 * 1024,
    ERROR_MAX = 4096,
    COMMANDS_MAX = 32,
};

#define ENDPOINTS_DEFAULT "127.0.0.1:2379"
#define ARENA_LIMIT ((size_t) 2 * 1024 * 1024 * 1024)

static const struct cli_command *const commands[] = {
    &cli_put,     &cli_get,        &cli_del,          &cli_txn,
    &cli_compact, &cli_cluster_up, &cli_cluster_down, &cli_cluster_status,
    &cli_serve,   &cli_status,     &cli_members,      &cli_help,
    &cli_version, &cli_completion,
};

const struct cli_command *cli_command_at(uint32_t i)
{
    return i < ARRAY_SIZE(commands) ? commands[i] : NULL;
}

/* ---- Output ---- */

int cli_fail(struct cli *cli, int code, const char *format, ...)
{
    char text[ERROR_MAX];
    va_list args;

    cli_flush(cli); /* what was printed comes first, also on a terminal */
    va_start(args, format);
    (void) vsnprintf(text, sizeof(text), format, args); /* a longer line is cut */
    va_end(args);
    if (cli->command != NULL) {
        (void) fprintf(stderr, "synod %s: %s\n", cli->command->name, text);
    } else {
        (void) fprintf(stderr, "synod: %s\n", text);
    }
    return code;
}

void cli_note(const char *format, ...)
{
    char text[ERROR_MAX];
    va_list args;

    va_start(args, format);
    (void) vsnprintf(text, sizeof(text), format, args); /* a longer line is cut */
    va_end(args);
    (void) fprintf(stderr, "%s\n", text);
}

void cli_print_bytes(struct cli *cli, struct bytes data)
{
    ERR_IGNORE(buf_append_bytes(&cli->out, data)); /* the buffer has no limit */
    if (cli->out.size >= OUT_FLUSH) {
        cli_flush(cli);
    }
}

void cli_print(struct cli *cli, const char *format, ...)
{
    char text[ERROR_MAX];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ASSERT(n >= 0 && (size_t) n < sizeof(text)); /* what may be longer goes as bytes */
    cli_print_bytes(cli, bytes_of(text, (size_t) n));
}

void cli_flush(struct cli *cli)
{
    while (cli->out.size > 0 && !cli->out_failed) {
        ssize_t n = write(STDOUT_FILENO, cli->out.data, cli->out.size);

        if (n >= 0) {
            buf_consume(&cli->out, (size_t) n);
        } else if (errno != EINTR) {
            cli->out_failed = true;
            if (errno != EPIPE) { /* `synod get | head` is no accident */
                cli_note("synod: cannot write the output: %s", strerror(errno));
            }
        }
    }
    buf_clear(&cli->out);
}

int cli_read_stdin(size_t size_max, struct buf *ret_data)
{
    struct buf data;

    buf_init(&data, size_max + READ_STEP);
    for (;;) {
        ssize_t n;

        if (data.size > size_max || buf_reserve(&data, READ_STEP) != OK) {
            buf_release(&data);
            return ERR_TOO_LARGE;
        }
        n = read(STDIN_FILENO, data.data + data.size, READ_STEP);
        if (n == 0) {
            *ret_data = data;
            return OK;
        }
        if (n > 0) {
            buf_advance(&data, (size_t) n);
        } else if (errno != EINTR) {
            buf_release(&data);
            return ERR_IO;
        }
    }
}

/* ---- Which command ---- */

/* The command named by the first one or two words; *ret_words says how many it took. */
static const struct cli_command *find_command(int argc, char **argv, int *ret_words)
{
    char two[64];

    for (uint32_t i = 0; cli_command_at(i) != NULL; i++) {
        const struct cli_command *c = cli_command_at(i);

        if (strcmp(c->name, argv[1]) == 0) {
            *ret_words = 1;
            return c;
        }
        if (argc > 2) {
            /* A longer one is cut, and then no command. */
            (void) snprintf(two, sizeof(two), "%s %s", argv[1], argv[2]);
            if (strcmp(c->name, two) == 0) {
                *ret_words = 2;
                return c;
            }
        }
    }
    return NULL;
}

static bool is_group(const char *word)
{
    size_t size = strlen(word);

    for (uint32_t i = 0; cli_command_at(i) != NULL; i++) {
        const char *name = cli_command_at(i)->name;

        if (strncmp(name, word, size) == 0 && name[size] == ' ') {
            return true;
        }
    }
    return false;
}

static int unknown_command(struct cli *cli, int argc, char **argv)
{
    const char *names[COMMANDS_MAX];
    uint32_t count = 0;
    bool group = is_group(argv[1]);
    char word[64];
    const char *meant;

    if (argv[1][0] == '-') {
        return cli_fail(cli, CLI_USAGE, "%s may not stand before the command; see 'synod help'",
                        argv[1]);
    }
    /* A longer word is cut and then resembles nothing. */
    (void) snprintf(word, sizeof(word), "%s%s%s", argv[1], group && argc > 2 ? " " : "",
                    group && argc > 2 ? argv[2] : "");
    for (uint32_t i = 0; cli_command_at(i) != NULL && count < COMMANDS_MAX; i++) {
        names[count++] = cli_command_at(i)->name;
    }
    if (group && argc == 2) {
        return cli_fail(cli, CLI_USAGE,
                        "'%s' needs a second word, as in 'synod %s up'; see 'synod help'", argv[1],
                        argv[1]);
    }
    meant = cli_suggest(word, names, count);
    if (meant != NULL) {
        return cli_fail(cli, CLI_USAGE, "unknown command '%s'; did you mean '%s'? see 'synod help'",
                        word, meant);
    }
    return cli_fail(cli, CLI_USAGE, "unknown command '%s'; see 'synod help'", word);
}

/* How many words a common flag at argv[0] takes with its argument; 0: it is none. */
static int common_flag_words(int argc, char **argv)
{
    const char *text = argv[0];

    for (uint32_t i = 0; i < COMMON_COUNT; i++) {
        const struct cli_flag *flag = &cli_common_flags[i];
        size_t size = strlen(flag->name);
        bool is_long = strncmp(text, "--", 2) == 0 && strncmp(text + 2, flag->name, size) == 0;

        if (flag->argument == NULL) {
            continue;
        }
        if ((is_long && text[2 + size] == '=') ||
            (flag->letter != 0 && text[1] == flag->letter && text[2] != '\0')) {
            return 1;
        }
        if (((is_long && text[2 + size] == '\0') ||
             (flag->letter != 0 && text[1] == flag->letter && text[2] == '\0')) &&
            argc > 1) {
            return 2;
        }
    }
    return 0;
}

/* Common flags may also stand before the command, as etcdctl's users write them: here they are
 * moved behind it. Returns an argv from the arena, or the same one. */
static char **command_first(struct cli *cli, int argc, char **argv)
{
    int flags = 0;
    int words;
    char **moved;

    while (1 + flags < argc && argv[1 + flags][0] == '-') {
        int n = common_flag_words(argc - 1 - flags, argv + 1 + flags);

        if (n == 0) {
            return argv;
        }
        flags += n;
    }
    if (flags == 0 || 1 + flags >= argc) {
        return argv;
    }
    words = is_group(argv[1 + flags]) && 2 + flags < argc ? 2 : 1;
    moved = arena_alloc(&cli->arena, ((size_t) argc + 1) * sizeof(*moved));
    memcpy(moved, argv, ((size_t) argc + 1) * sizeof(*moved));
    memcpy(moved + 1, argv + 1 + flags, (size_t) words * sizeof(*moved));
    memcpy(moved + 1 + words, argv + 1, (size_t) flags * sizeof(*moved));
    return moved;
}

/* ---- Running ---- */

/* "a,b,c" into cli->endpoints; blanks around are dropped. */
static int split_endpoints(struct cli *cli, const char *list)
{
    char *rest = arena_strdup(&cli->arena, list);

    while (rest != NULL) {
        char *one = rest + strspn(rest, " ");
        char *comma = strchr(one, ',');

        rest = comma == NULL ? NULL : comma + 1;
        if (comma != NULL) {
            *comma = '\0';
        }
        one[strcspn(one, " ")] = '\0';
        if (one[0] == '\0') {
            continue;
        }
        if (cli->endpoints_count == CLIENT_ENDPOINTS_MAX) {
            return cli_fail(cli, CLI_USAGE, "more than %d endpoints", (int) CLIENT_ENDPOINTS_MAX);
        }
        cli->endpoints[cli->endpoints_count++] = one;
    }
    if (cli->endpoints_count == 0) {
        return cli_fail(cli, CLI_USAGE, "no endpoint given; use --endpoints HOST:PORT,...");
    }
    return CLI_OK;
}

static int take_common(struct cli *cli, const struct cli_value *common)
{
    const char *endpoints = ENDPOINTS_DEFAULT;

    if (!cli->command->client) {
        return CLI_OK;
    }
    if (common[COMMON_ENDPOINTS].set) {
        endpoints = common[COMMON_ENDPOINTS].text;
    } else if (cli->env->endpoints != NULL && cli->env->endpoints[0] != '\0') {
        endpoints = cli->env->endpoints;
    }
    cli->timeout_ms = DEFAULT_TIMEOUT_MS;
    if (common[COMMON_TIMEOUT].set) {
        cli->timeout_ms = (uint64_t) common[COMMON_TIMEOUT].number;
    }
    cli->json = common[COMMON_WRITE_OUT].set && common[COMMON_WRITE_OUT].number == 1;
    return split_endpoints(cli, endpoints);
}

static int check_words(struct cli *cli, const struct cli_args *args)
{
    const struct cli_command *c = cli->command;

    if (args->words_count < c->words_min) {
        return cli_fail(cli, CLI_USAGE,
                        "an argument is missing: synod %s %s; see 'synod %s --help'", c->name,
                        c->arguments, c->name);
    }
    if (args->words_count > c->words_max) {
        return cli_fail(cli, CLI_USAGE,
                        "unexpected argument '%.60s': synod %s %s; see 'synod %s --help'",
                        args->words[c->words_max], c->name, c->arguments, c->name);
    }
    return CLI_OK;
}

/* Own flags and common ones in one table, own first. */
static int run_command(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *c = cli->command;
    struct cli_flag flags[CLI_FLAGS_MAX];
    uint32_t common = cli_common_count(c);
    struct cli_args args;
    struct buf error;
    char who[64];
    int code;

    ASSERT(c->flags_count + common <= CLI_FLAGS_MAX);
    for (uint32_t i = 0; i < c->flags_count; i++) {
        flags[i] = c->flags[i];
    }
    for (uint32_t i = 0; i < common; i++) {
        flags[c->flags_count + i] = cli_common_flags[i];
    }
    (void) snprintf(who, sizeof(who), "synod %s", c->name); /* names are short */
    buf_init(&error, ERROR_MAX);
    if (cli_parse(who, flags, c->flags_count + common, argc, argv, &args, &error) != OK) {
        cli_note("%.*s", (int) error.size, (const char *) error.data);
        buf_release(&error);
        return CLI_USAGE;
    }
    if (args.values[c->flags_count + COMMON_HELP].set) {
        cli_help_command(cli, c);
        return CLI_OK;
    }
    code = check_words(cli, &args);
    if (code == CLI_OK) {
        code = take_common(cli, &args.values[c->flags_count]);
    }
    return code == CLI_OK ? c->run(cli, &args) : code;
}

static int dispatch(struct cli *cli, int argc, char **argv)
{
    int words = 0;

    if (argc < 2) {
        cli_help_overview(cli);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        cli_help_overview(cli);
        return CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        argv[1] = (char *) (uintptr_t) "version";
    }
    argv = command_first(cli, argc, argv);
    cli->command = find_command(argc, argv, &words);
    if (cli->command == NULL) {
        return unknown_command(cli, argc, argv);
    }
    return run_command(cli, argc - words, argv + words);
}

int cli_main(const struct cli_env *env, int argc, char **argv)
{
    struct cli cli = {.env = env};
    int code;

    buf_init(&cli.out, SIZE_MAX / 2);
    arena_init(&cli.arena, READ_STEP, ARENA_LIMIT);
    code = dispatch(&cli, argc, argv);
    cli_flush(&cli);
    if (code == CLI_OK && cli.out_failed) {
        code = CLI_LOCAL;
    }
    client_blocking_free(cli.client);
    arena_release(&cli.arena);
    buf_release(&cli.out);
    return code;
}

/*
 * cli_help.c - help, version and completion, all from the table of commands.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "kv/cli_internal.h"
#include "kv/version.h"

enum { FLAG_COLUMN = 26 };

static const char *const formats[] = {"simple", "json", NULL};

const struct cli_flag cli_common_flags[] = {
    [COMMON_HELP] = {"help", 'h', FLAG_SWITCH, NULL, "show this help", NULL},
    [COMMON_ENDPOINTS] = {"endpoints", 0, FLAG_TEXT, "LIST",
                          "where the servers are: HOST:PORT,... (default 127.0.0.1:2379, or "
                          "SYNOD_ENDPOINTS)",
                          NULL},
    [COMMON_TIMEOUT] = {"timeout", 0, FLAG_DURATION, "TIME",
                        "how long to try, all repetitions together (default 5s)", NULL},
    [COMMON_WRITE_OUT] = {"write-out", 'w', FLAG_CHOICE, "FORMAT", "simple (default) or json",
                          formats},
};

uint32_t cli_common_count(const struct cli_command *command)
{
    return command->client ? COMMON_COUNT : COMMON_HELP + 1;
}

/* ---- Help ---- */

static const char overview_head[] =
    "synod - a replicated key-value store: Paxos, Multi-Paxos and Raft behind one API\n"
    "\n"
    "Usage: synod COMMAND [ARGUMENT...] [FLAG...]\n";

static const char overview_tail[] =
    "\n"
    "First steps:\n"
    "  synod cluster up --nodes 3            a cluster on this machine; Ctrl-C ends it\n"
    "  synod put greeting hello              in another terminal\n"
    "  synod get greeting\n"
    "  synod status --endpoints 127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379\n"
    "\n"
    "Exit codes: 0 done (a key that is not there is no error); 1 the server said no; 2 wrong\n"
    "usage; 3 no endpoint could be reached, nothing was done; 4 no answer in time, the outcome\n"
    "of a write is unknown; 5 a local problem: configuration, data, files.\n"
    "\n"
    "'synod help COMMAND' or 'synod COMMAND --help' shows flags and examples.\n";

void cli_help_overview(struct cli *cli)
{
    const char *group = "";

    cli_print_bytes(cli, bytes_str(overview_head));
    for (uint32_t i = 0; cli_command_at(i) != NULL; i++) {
        const struct cli_command *c = cli_command_at(i);

        if (strcmp(group, c->group) != 0) {
            group = c->group;
            cli_print(cli, "\n%s:\n", group);
        }
        cli_print(cli, "  %-18s %s\n", c->name, c->summary);
    }
    cli_print_bytes(cli, bytes_str(overview_tail));
}

static void print_flag(struct cli *cli, const struct cli_flag *flag)
{
    char left[64];
    char letter[5] = "    ";

    if (flag->letter != 0) {
        (void) snprintf(letter, sizeof(letter), "-%c, ", flag->letter); /* 4 characters */
    }
    (void) snprintf(left, sizeof(left), "%s--%s%s%s", letter, flag->name,
                    flag->argument == NULL ? "" : " ",
                    flag->argument == NULL ? "" : flag->argument); /* names are short */
    cli_print(cli, "  %-*s %s\n", (int) FLAG_COLUMN, left, flag->help);
}

void cli_help_command(struct cli *cli, const struct cli_command *command)
{
    uint32_t common = cli_common_count(command);

    cli_print(cli, "synod %s - %s\n\n", command->name, command->summary);
    cli_print(cli, "Usage: synod %s%s%s [FLAG...]\n", command->name,
              command->arguments[0] == '\0' ? "" : " ", command->arguments);
    if (command->description[0] != '\0') {
        cli_print(cli, "\n");
        cli_print_bytes(cli, bytes_str(command->description));
    }
    cli_print(cli, "\nFlags:\n");
    for (uint32_t i = 0; i < command->flags_count; i++) {
        print_flag(cli, &command->flags[i]);
    }
    for (uint32_t i = common; i-- > 0;) { /* --help last */
        print_flag(cli, &cli_common_flags[i]);
    }
    if (command->examples[0] != '\0') {
        cli_print(cli, "\nExamples:\n");
        cli_print_bytes(cli, bytes_str(command->examples));
    }
}

static int run_help(struct cli *cli, const struct cli_args *args)
{
    char name[64] = "";
    bool group = false;

    if (args->words_count == 0) {
        cli_help_overview(cli);
        return CLI_OK;
    }
    (void) snprintf(name, sizeof(name), "%s%s%s", args->words[0], args->words_count > 1 ? " " : "",
                    args->words_count > 1 ? args->words[1] : ""); /* cut: then unknown */
    for (uint32_t i = 0; cli_command_at(i) != NULL; i++) {
        const struct cli_command *c = cli_command_at(i);
        size_t size = strlen(name);

        if (strcmp(c->name, name) == 0) {
            cli_help_command(cli, c);
            return CLI_OK;
        }
        if (strncmp(c->name, name, size) == 0 && c->name[size] == ' ') {
            cli_print(cli, "  %-18s %s\n", c->name, c->summary);
            group = true;
        }
    }
    return group ? CLI_OK
                 : cli_fail(cli, CLI_USAGE, "unknown command '%s'; see 'synod help'", name);
}

const struct cli_command cli_help = {
    .group = "Other",
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "what there is, or one command in detail",
    .description = "",
    .examples = "  synod help\n  synod help cluster up\n",
    .words_max = 2,
    .run = run_help,
};

/* ---- Version ---- */

static int run_version(struct cli *cli, const struct cli_args *args)
{
    (void) args;
    cli_print(cli, "synod %s (etcd API %s)\n", SYNOD_VERSION, SYNOD_API_VERSION);
    return CLI_OK;
}

const struct cli_command cli_version = {
    .group = "Other",
    .name = "version",
    .arguments = "",
    .summary = "the version of this program",
    .description = "",
    .examples = "  synod version\n",
    .run = run_version,
};

/* ---- Completion ---- */

static void print_flag_words(struct cli *cli, const struct cli_command *c)
{
    for (uint32_t i = 0; i < c->flags_count; i++) {
        cli_print(cli, " --%s", c->flags[i].name);
    }
    for (uint32_t i = 0; i < cli_common_count(c); i++) {
        cli_print(cli, " --%s", cli_common_flags[i].name);
    }
}

/* Words of the commands: all first ones, or the second ones of a group; each once. */
static void print_command_words(struct cli *cli, const char *group)
{
    char last[32] = "";

    for (uint32_t i = 0; cli_command_at(i) != NULL; i++) {
        const char *name = cli_command_at(i)->name;
        char first[32];
        int size = (int) strcspn(name, " ");

        (void) snprintf(first, sizeof(first), "%.*s", size, name); /* names are short */
        if (group == NULL) {
            if (strcmp(first, last) != 0) {
                cli_print(cli, " %s", first);
            }
            memcpy(last, first, sizeof(last));
        } else if (strcmp(first, group) == 0 && name[size] == ' ') {
            cli_print(cli, " %s", name + size + 1);
        }
    }
}

static const char bash_head[] =
    "# bash completion for synod; to use it: source <(synod completion bash)\n"
    "_synod() {\n"
    "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
    "  local command=${COMP_WORDS[1]} words=\n"
    "  [ \"$command\" = cluster ] && command=\"cluster ${COMP_WORDS[2]}\"\n"
    "  case $previous in\n"
    "    --config | --trace) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n"
    "    --dir | --data-dir) COMPREPLY=($(compgen -d -- \"$current\")); return ;;\n"
    "    --engine) words='paxos multipaxos raft' ;;\n"
    "    -w | --write-out) words='simple json' ;;\n"
    "    synod) words='";

static const char bash_middle[] = "' ;;\n"
                                  "    cluster) words='";

static const char bash_commands[] = "' ;;\n"
                                    "    *) case $command in\n";

static const char bash_tail[] = "      esac ;;\n"
                                "  esac\n"
                                "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
                                "}\n"
                                "complete -F _synod synod\n";

static void print_bash(struct cli *cli)
{
    cli_print_bytes(cli, bytes_str(bash_head));
    print_command_words(cli, NULL);
    cli_print_bytes(cli, bytes_str(bash_middle));
    print_command_words(cli, "cluster");
    cli_print_bytes(cli, bytes_str(bash_commands));
    for (uint32_t i = 0; cli_command_at(i) != NULL; i++) {
        const struct cli_command *c = cli_command_at(i);

        cli_print(cli, "      '%s') words='", c->name);
        print_flag_words(cli, c);
        cli_print(cli, "' ;;\n");
    }
    cli_print_bytes(cli, bytes_str(bash_tail));
}

static int run_completion(struct cli *cli, const struct cli_args *args)
{
    if (strcmp(args->words[0], "bash") != 0) {
        return cli_fail(cli, CLI_USAGE, "no completion for '%s'; there is one for bash",
                        args->words[0]);
    }
    print_bash(cli);
    return CLI_OK;
}

const struct cli_command cli_completion = {
    .group = "Other",
    .name = "completion",
    .arguments = "bash",
    .summary = "a script that completes commands and flags",
    .description = "",
    .examples = "  source <(synod completion bash)\n",
    .words_min = 1,
    .words_max = 1,
    .run = run_completion,
};

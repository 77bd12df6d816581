/*
 * cmd.c - what the commands of synod-sim share: which run is meant, and by which build. See cmd.h.
 */
#include "tests/sim/cmd.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/version.h"
#include "tests/sim/swarm.h"

enum { BUILD_BYTES = 6, WORD_MAX = 4096, ERROR_MAX = 8192, TITLE_MAX = 64 };

const char *const cmd_modes[] = {"safety", "liveness", NULL};

int cmd_fail(const char *name, const char *format, ...)
{
    char text[WORD_MAX];
    va_list args;

    (void) fflush(stdout); /* what was printed comes first */
    va_start(args, format);
    (void) vsnprintf(text, sizeof(text), format, args); /* a longer line is cut */
    va_end(args);
    (void) fprintf(stderr, "synod-sim %s: %s\n", name, text);
    return CMD_USAGE;
}

/* ---- Build ---- */

/* The program itself is the first object; its build-id is a note of the linker. */
static int find_build_id(struct dl_phdr_info *info, size_t size, void *ctx)
{
    char *hex = ctx;

    (void) size;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        const uint8_t *at = (const uint8_t *) (info->dlpi_addr + segment->p_vaddr);
        size_t left = segment->p_memsz;

        while (segment->p_type == PT_NOTE && left >= sizeof(ElfW(Nhdr))) {
            const ElfW(Nhdr) *note = (const void *) at;
            size_t name = (note->n_namesz + 3u) & ~(size_t) 3;
            size_t used = sizeof(*note) + name + ((note->n_descsz + 3u) & ~(size_t) 3);

            if (used > left) {
                break;
            }
            if (note->n_type == NT_GNU_BUILD_ID && note->n_descsz >= BUILD_BYTES) {
                for (size_t b = 0; b < BUILD_BYTES; b++) {
                    (void) sprintf(hex + 2 * b, "%02x", at[sizeof(*note) + name + b]);
                }
                return 1;
            }
            at += used;
            left -= used;
        }
    }
    return 1;
}

void cmd_build(char build[CMD_BUILD_MAX])
{
    char hex[2 * BUILD_BYTES + 1] = "unknown";

    (void) dl_iterate_phdr(find_build_id, hex); /* the result is ours, and not needed */
    (void) snprintf(build, CMD_BUILD_MAX, "%s %s", SYNOD_VERSION, hex);
}

/* ---- Parts of a target ---- */

int cmd_engine(const char *name, const struct engine_ops **ret_engine, struct buf *error)
{
    const struct engine_ops *engine = engine_by_name(name);

    if (engine == NULL) {
        ERR_IGNORE(buf_printf(error, "unknown engine \"%s\"; one of", name));
        for (uint32_t i = 0; engine_at(i) != NULL; i++) {
            ERR_IGNORE(buf_printf(error, "%s %s", i == 0 ? "" : ",", engine_name(engine_at(i))));
        }
        return ERR_INVALID;
    }
    *ret_engine = engine;
    return OK;
}

/* Decimal digits and nothing else. */
static int parse_u64(const char *text, uint64_t *ret)
{
    char *end = NULL;
    unsigned long long number;

    if (!isdigit((unsigned char) text[0])) {
        return ERR_INVALID;
    }
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0') {
        return ERR_INVALID;
    }
    *ret = number;
    return OK;
}

int cmd_engines(const char *list, const struct engine_ops **engines, uint32_t max,
                uint32_t *ret_count, struct buf *error)
{
    char names[256];
    char *save = NULL;
    uint32_t count = 0;

    if (list == NULL || strcmp(list, "all") == 0) {
        while (engine_at(count) != NULL && count < max) {
            engines[count] = engine_at(count);
            count++;
        }
        *ret_count = count;
        return OK;
    }
    if ((size_t) snprintf(names, sizeof(names), "%s", list) >= sizeof(names)) {
        ERR_IGNORE(buf_printf(error, "--engine: the list is too long"));
        return ERR_INVALID;
    }
    for (char *name = strtok_r(names, ",", &save); name != NULL;
         name = strtok_r(NULL, ",", &save)) {
        const struct engine_ops *engine = NULL;

        if (cmd_engine(name, &engine, error) != OK) {
            ERR_IGNORE(buf_printf(error, ", or all"));
            return ERR_INVALID;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (engines[i] == engine) {
                ERR_IGNORE(buf_printf(error, "--engine names %s twice", name));
                return ERR_INVALID;
            }
        }
        ASSERT(count < max);
        engines[count++] = engine;
    }
    if (count == 0) {
        ERR_IGNORE(buf_printf(error, "--engine names none"));
        return ERR_INVALID;
    }
    *ret_count = count;
    return OK;
}

int cmd_positive(const char *name, const struct cli_value *v, uint64_t max, uint64_t *value,
                 struct buf *error)
{
    int64_t number;

    if (!v->set) {
        return OK;
    }
    if (cli_parse_number(v->text, &number) != OK || number < 1 || (uint64_t) number > max) {
        ERR_IGNORE(buf_printf(error, "--%s %.80s: it must be a number from 1 to %" PRIu64, name,
                              v->text, max));
        return ERR_INVALID;
    }
    *value = (uint64_t) number;
    return OK;
}

int cmd_seed(const char *text, const struct engine_ops **ret_engine, uint64_t *ret_seed,
             struct buf *error)
{
    const char *colon = strchr(text, ':');
    const char *digits = colon == NULL ? text : colon + 1;
    const struct engine_ops *engine = NULL;
    uint64_t seed = 0;
    char name[32];

    if (parse_u64(digits, &seed) != OK ||
        (colon != NULL && (size_t) (colon - text) >= sizeof(name))) {
        ERR_IGNORE(buf_printf(error,
                              "bad seed \"%.80s\"; a decimal number from 0 to %llu, or "
                              "ENGINE:NUMBER as in raft:42",
                              text, (unsigned long long) UINT64_MAX));
        return ERR_INVALID;
    }
    if (colon != NULL) {
        memcpy(name, text, (size_t) (colon - text));
        name[colon - text] = '\0';
        if (cmd_engine(name, &engine, error) != OK) {
            ERR_IGNORE(buf_printf(error, " (in the seed \"%.80s\")", text));
            return ERR_INVALID;
        }
        *ret_engine = engine;
    }
    *ret_seed = seed;
    return OK;
}

int cmd_nodes(const struct cli_value *value, uint32_t *ret_nodes, struct buf *error)
{
    if (!value->set) {
        *ret_nodes = 0;
        return OK;
    }
    if (value->number < 1 || value->number > SIM_NODES_MAX) {
        ERR_IGNORE(buf_printf(error, "--nodes %lld: a cluster has 1 to %d nodes here",
                              (long long) value->number, SIM_NODES_MAX));
        return ERR_INVALID;
    }
    *ret_nodes = (uint32_t) value->number;
    return OK;
}

int cmd_time(const char *text, uint64_t *ret_us, struct buf *error)
{
    static const struct {
        const char *unit;
        double us;
    } units[] = {{"us", 1}, {"ms", 1e3}, {"s", 1e6}, {"m", 6e7}, {"h", 3.6e9}, {"", 1e6}};
    char *end = NULL;
    double value = isdigit((unsigned char) text[0]) ? strtod(text, &end) : -1;

    for (size_t i = 0; value >= 0 && i < ARRAY_SIZE(units); i++) {
        if (strcmp(end, units[i].unit) == 0 && value * units[i].us <= 1e15) {
            *ret_us = (uint64_t) (value * units[i].us + 0.5);
            return OK;
        }
    }
    ERR_IGNORE(buf_printf(error, "bad time \"%.80s\"; like 1.5s, 20ms or 300us", text));
    return ERR_INVALID;
}

/* ---- Targets ---- */

static int parse_seed_word(const char *text, struct cmd_target *t, struct buf *error)
{
    const struct engine_ops *engine = t->engine;

    if (cmd_seed(text, &engine, &t->seed, error) != OK) {
        return ERR_INVALID;
    }
    if (t->engine != NULL && engine != t->engine) {
        ERR_IGNORE(buf_printf(error, "--engine %s and the seed \"%.80s\" contradict each other",
                              engine_name(t->engine), text));
        return ERR_INVALID;
    }
    t->engine = engine;
    t->seed_set = true;
    return OK;
}

int cmd_target_parse(const struct cli_args *args, struct cmd_target *ret_target, struct buf *error)
{
    const struct cli_value *v = args->values;
    const char *word = args->words_count > 0 ? args->words[0] : NULL;
    struct cmd_target t = {
        .mode = v[TARGET_MODE].set ? (int) v[TARGET_MODE].number : -1,
        .beyond = v[TARGET_BEYOND].set,
        .path = v[TARGET_SCENARIO].set ? v[TARGET_SCENARIO].text : NULL,
    };

    if (args->words_count > 1) {
        ERR_IGNORE(buf_printf(error, "unexpected \"%.80s\"; one SEED is enough", args->words[1]));
        return ERR_INVALID;
    }
    if (v[TARGET_ENGINE].set && cmd_engine(v[TARGET_ENGINE].text, &t.engine, error) != OK) {
        return ERR_INVALID;
    }
    if (v[TARGET_SEED].set && word != NULL) {
        ERR_IGNORE(buf_printf(error, "--seed %.80s and \"%.80s\": one seed is enough",
                              v[TARGET_SEED].text, word));
        return ERR_INVALID;
    }
    if (v[TARGET_SEED].set) {
        word = v[TARGET_SEED].text;
    }
    if (word != NULL && parse_seed_word(word, &t, error) != OK) {
        return ERR_INVALID;
    }
    if (cmd_nodes(&v[TARGET_NODES], &t.nodes, error) != OK) {
        return ERR_INVALID;
    }
    if (t.path != NULL && (t.nodes != 0 || t.mode >= 0 || t.beyond)) {
        ERR_IGNORE(buf_printf(error, "--nodes, --mode and --beyond shape the scenario drawn from a "
                                     "seed; that of --scenario is in its file"));
        return ERR_INVALID;
    }
    if (t.path == NULL && (!t.seed_set || t.engine == NULL)) {
        ERR_IGNORE(buf_printf(error, "which run? %s, or --scenario FILE",
                              t.seed_set ? "--engine ENGINE is missing beside the seed"
                                         : "give a SEED like raft:42"));
        return ERR_INVALID;
    }
    *ret_target = t;
    return OK;
}

/* As scenario_load, but its error always names the file, and why a folder is none. */
static int load_file(const char *path, struct scenario *ret, struct buf *error)
{
    struct stat status;
    size_t before = error->size;
    int err;

    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        scenario_init(ret, NULL, 1); /* it is released also on failure */
        ERR_IGNORE(buf_printf(error, "%s: %s", path, strerror(EISDIR)));
        return ERR_IO;
    }
    err = scenario_load(path, ret, error);
    if (err != OK && error->size == before) {
        ERR_IGNORE(buf_printf(error, "%s: %s", path, err_text(err)));
    }
    return err;
}

int cmd_target_file_engine(const struct cmd_target *target, const struct engine_ops **ret_engine,
                           struct buf *error)
{
    struct scenario s;
    int err = load_file(target->path, &s, error);

    if (err == OK) {
        *ret_engine = s.engine;
    }
    scenario_release(&s);
    return err;
}

int cmd_target_scenario(const struct cmd_target *target, const struct engine_ops *engine,
                        struct scenario *ret_scenario, struct buf *error)
{
    struct swarm_options options = {target->nodes, target->mode, target->beyond};
    int err;

    if (target->path == NULL) {
        swarm_scenario(engine, target->seed, &options, ret_scenario);
        return OK;
    }
    err = load_file(target->path, ret_scenario, error);
    if (err == OK && ret_scenario->engine != NULL && ret_scenario->engine != engine) {
        ERR_IGNORE(buf_printf(error, "%s is for engine %s; leave --engine out", target->path,
                              engine_name(ret_scenario->engine)));
        err = ERR_UNSUPPORTED;
    }
    if (err != OK) {
        scenario_release(ret_scenario);
        return err;
    }
    ret_scenario->engine = engine;
    if (target->seed_set) {
        ret_scenario->seed = target->seed;
    }
    err = scenario_check(ret_scenario, error);
    if (err != OK) {
        scenario_release(ret_scenario);
    }
    return err;
}

/* A path as a shell wants it. */
static void print_path(const char *path, struct buf *out)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:,@%=";

    if (path[strspn(path, plain)] == '\0' && path[0] != '\0') {
        ERR_IGNORE(buf_printf(out, "%s", path));
        return;
    }
    ERR_IGNORE(buf_printf(out, "'"));
    for (const char *c = path; *c != '\0'; c++) {
        ERR_IGNORE(*c == '\'' ? buf_printf(out, "'\\''") : buf_append(out, c, 1));
    }
    ERR_IGNORE(buf_printf(out, "'"));
}

void cmd_target_words(const struct cmd_target *target, const struct engine_ops *engine,
                      struct buf *out)
{
    /* `out` has a limit far above what fits on a command line that was typed. */
    if (target->path != NULL) {
        ERR_IGNORE(buf_printf(out, "--scenario "));
        print_path(target->path, out);
        ERR_IGNORE(buf_printf(out, " --engine %s", engine_name(engine)));
        if (target->seed_set) {
            ERR_IGNORE(buf_printf(out, " --seed %llu", (unsigned long long) target->seed));
        }
        return;
    }
    ERR_IGNORE(buf_printf(out, "%s:%llu", engine_name(engine), (unsigned long long) target->seed));
    if (target->nodes != 0) {
        ERR_IGNORE(buf_printf(out, " --nodes %u", target->nodes));
    }
    if (target->mode >= 0) {
        ERR_IGNORE(buf_printf(out, " --mode %s", cmd_modes[target->mode]));
    }
    if (target->beyond) {
        ERR_IGNORE(buf_printf(out, " --beyond"));
    }
}

void cmd_target_name(const struct cmd_target *target, const struct engine_ops *engine,
                     struct buf *out)
{
    if (target->path != NULL) {
        ERR_IGNORE(buf_printf(out, "%s %s", engine_name(engine), target->path));
    } else {
        ERR_IGNORE(
            buf_printf(out, "%s:%llu", engine_name(engine), (unsigned long long) target->seed));
    }
}

int cmd_target_main(const struct cmd_target_command *command, int argc, char **argv)
{
    struct cmd_target target;
    struct cli_args args;
    struct buf error;
    char title[TITLE_MAX];
    int result;

    buf_init(&error, ERROR_MAX);
    (void) snprintf(title, sizeof(title), "synod-sim %s", command->name);
    if (cli_parse(title, command->flags, command->flags_count, argc, argv, &args, &error) != OK) {
        (void) fprintf(stderr, "%.*s\n", (int) error.size, (const char *) error.data);
        result = CMD_USAGE;
    } else if (args.values[TARGET_HELP].set) {
        (void) fputs(command->help, stdout);
        result = CMD_GREEN;
    } else if (cmd_target_parse(&args, &target, &error) != OK) {
        result = cmd_fail(command->name, "%.*s", (int) error.size,
                          error.size > 0 ? (const char *) error.data : "");
    } else {
        result = command->run(&args, &target, &error);
    }
    buf_release(&error);
    return result;
}

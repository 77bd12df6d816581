/*
 * scenario.c - scenarios as objects: their defaults, their steps, their file. Text is in
 * scenario_parse.c and scenario_print.c, what is possible in scenario_check.c.
 */
#include "tests/sim/scenario.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/replica.h"
#include "tests/sim/scenario_internal.h"

enum { START_ELECTIONS = 8 };

static const struct {
    const char *word;
    uint8_t form;
} STEPS[] = {
#define X(name, word, form) [STEP_##name] = {word, FORM_##form},
    SIM_STEP_MAP(X)
#undef X
};

static const struct {
    const char *name;
    uint8_t unit;
} OPTIONS[] = {
#define X(name, word, unit) [OPTION_##name] = {word, UNIT_##unit},
    SCENARIO_OPTION_MAP(X)
#undef X
};

static const struct {
    const char *words;
    uint8_t operand;
} CONDITIONS[] = {
#define X(name, words, operand) [WHEN_##name] = {words, OPERAND_##operand},
    SIM_WHEN_MAP(X)
#undef X
};

static const char *const OPS[] = {
#define X(name, word) [SIM_OP_##name] = (word),
    SIM_OP_MAP(X)
#undef X
};

STATIC_ASSERT(ARRAY_SIZE(STEPS) == STEP_KINDS, "every step has a word");
STATIC_ASSERT(ARRAY_SIZE(OPTIONS) == SCENARIO_OPTIONS, "every option has a name");
STATIC_ASSERT(ARRAY_SIZE(OPS) == SIM_OPS, "every operation has a name");

const char *scenario_step_word(uint32_t kind)
{
    ASSERT(kind < STEP_KINDS);
    return STEPS[kind].word;
}

enum step_form scenario_step_form(uint32_t kind)
{
    ASSERT(kind < STEP_KINDS);
    return (enum step_form) STEPS[kind].form;
}

enum step_family scenario_step_family(uint32_t kind)
{
    switch (scenario_step_form(kind)) {
    case FORM_DISK:
    case FORM_DISK_FACTOR:
    case FORM_DISK_TIME:
    case FORM_DISK_FOR:
    case FORM_DISK_CALL:
    case FORM_DISK_FILE:
        return FAMILY_DISK;
    case FORM_CLOCK_TIME:
    case FORM_CLOCK_PPM:
        return FAMILY_CLOCK;
    default:
        return FAMILY_NODE;
    }
}

bool scenario_step_ends(uint8_t kind)
{
    const struct sim_step step = {.kind = kind, .for_us = 1};
    struct sim_step end;
    return scenario_undo(&step, 1, &end);
}

bool scenario_step_lasts(uint8_t kind)
{
    enum step_form form = scenario_step_form(kind);
    return form == FORM_NODE_FOR || form == FORM_NODE_TURN || form == FORM_LINK_FOR ||
           form == FORM_DISK_FOR;
}

const char *scenario_when_words(uint8_t kind)
{
    ASSERT(kind < WHEN_KINDS);
    return CONDITIONS[kind].words;
}

enum when_operand scenario_when_operand(uint8_t kind)
{
    ASSERT(kind < WHEN_KINDS);
    return (enum when_operand) CONDITIONS[kind].operand;
}

const char *scenario_option_name(uint32_t option)
{
    ASSERT(option < SCENARIO_OPTIONS);
    return OPTIONS[option].name;
}

enum option_unit scenario_option_unit(uint32_t option)
{
    ASSERT(option < SCENARIO_OPTIONS);
    return (enum option_unit) OPTIONS[option].unit;
}

const char *scenario_op_name(uint32_t op)
{
    ASSERT(op < SIM_OPS);
    return OPS[op];
}

const char *scenario_file_name(uint32_t file)
{
    return file == SIM_FILE_LOG ? "log" : file == SIM_FILE_STATE ? "state" : NULL;
}

const char *scenario_call_name(uint32_t call)
{
    return call == SIM_CALL_WRITE ? "write" : call == SIM_CALL_SYNC ? "sync" : NULL;
}

int scenario_error(struct buf *error, const char *format, ...)
{
    char text[SCENARIO_ERROR_MAX];
    if (error == NULL) {
        return ERR_INVALID;
    }
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t size = length < 0 ? 0 : strlen(text);
    size_t room = error->size_max - error->size;
    ERR_IGNORE(buf_append(error, text, size < room ? size : room)); /* it was cut to fit */
    return ERR_INVALID;
}

/* What steps are to a trace and to each other. */

static const struct {
    const char *note;
    bool harms;
} NOTES[] = {
    [STEP_POWER_LOSS] = {"power loss", true},
    [STEP_CRASH] = {"crash", true},
    [STEP_RESTART] = {"restart", false},
    [STEP_PAUSE] = {"pause", true},
    [STEP_SLOW] = {"slow", true},
    [STEP_TRANSFER] = {"transfer", false},
    [STEP_CUT] = {"cut", true},
    [STEP_JOIN] = {"join", false},
    [STEP_CLOG] = {"clog", true},
    [STEP_QUALITY] = {"link", true},
    [STEP_ISOLATE] = {"isolate", true},
    [STEP_REJOIN] = {"rejoin", false},
    [STEP_PARTITION] = {"partition", true},
    [STEP_HEAL] = {"heal", false},
    [STEP_DISK_SLOW] = {"slow disk", true},
    [STEP_DISK_DELAY] = {"slow disk", true},
    [STEP_DISK_HANG] = {"hung disk", true},
    [STEP_DISK_LIE] = {"lying disk", true},
    [STEP_DISK_EIO] = {"EIO", true},
    [STEP_DISK_ENOSPC] = {"ENOSPC", true},
    [STEP_DISK_FLIP] = {"flip", true},
    [STEP_DISK_LOSE] = {"lost file", true},
    [STEP_DISK_WIPE] = {"wipe", true},
    [STEP_DISK_SAVE] = {"save", false},
    [STEP_DISK_RESTORE] = {"old image", true},
    [STEP_CLOCK_JUMP] = {"clock jump", true},
    [STEP_CLOCK_DRIFT] = {"clock drift", true},
};
STATIC_ASSERT(ARRAY_SIZE(NOTES) == STEP_KINDS, "every step has a note");

const char *scenario_step_note(uint8_t kind)
{
    ASSERT(kind < STEP_KINDS);
    return NOTES[kind].note;
}

bool scenario_step_harms(uint8_t kind)
{
    ASSERT(kind < STEP_KINDS);
    return NOTES[kind].harms;
}

bool scenario_note_harms(const char *note)
{
    for (uint32_t i = 0; i < STEP_KINDS; i++) {
        if (strcmp(NOTES[i].note, note) == 0) {
            return NOTES[i].harms;
        }
    }
    return false;
}

uint64_t scenario_start_us(const struct scenario *s)
{
    return START_ELECTIONS * s->options[OPTION_ELECTION];
}

bool scenario_undo(const struct sim_step *step, uint32_t node, struct sim_step *ret_step)
{
    struct sim_step end = {.a = node};
    if (step->for_us == 0) {
        return false;
    }
    switch (step->kind) {
    case STEP_POWER_LOSS:
    case STEP_CRASH:
        end.kind = STEP_RESTART;
        break;
    case STEP_ISOLATE:
        end.kind = STEP_REJOIN;
        break;
    case STEP_PARTITION:
        end.kind = STEP_HEAL;
        end.a = 0;
        break;
    case STEP_CUT:
    case STEP_QUALITY:
        end.kind = STEP_JOIN;
        end.a = step->a;
        end.b = step->b;
        end.both = step->both;
        break;
    case STEP_DISK_SLOW:
    case STEP_DISK_DELAY:
        end.kind = STEP_DISK_SLOW;
        end.amount = 1;
        break;
    case STEP_CLOCK_DRIFT:
        end.kind = STEP_CLOCK_DRIFT; /* of 0 */
        break;
    default:
        return false;
    }
    *ret_step = end;
    return true;
}

/* Life. */

void scenario_init(struct scenario *s, const struct engine_ops *engine, uint64_t seed)
{
    struct replica_options r;
    replica_options_init(&r);
    const struct consensus_options *c = &r.consensus;
    *s = (struct scenario){
        .engine = engine,
        .nodes = 3,
        .seed = seed,
        .length_us = 20000000,
        .mode = SIM_SAFETY,
        .options =
            {
                [OPTION_ELECTION] = c->election_us,
                [OPTION_HEARTBEAT] = c->heartbeat_us,
                [OPTION_RESEND] = c->resend_us,
                [OPTION_BACKOFF_MIN] = c->backoff_min_us,
                [OPTION_BACKOFF_MAX] = c->backoff_max_us,
                [OPTION_DISK_STUCK] = c->disk_stuck_us,
                [OPTION_RETRY] = r.retry_us,
                [OPTION_READ_RETRY] = r.read_retry_us,
                [OPTION_GOSSIP] = r.gossip_us,
                [OPTION_FLUSH] = r.flush_us,
                [OPTION_TRIM_KEEP] = r.trim_keep,
                [OPTION_LOG_MEMORY] = r.log_memory_max,
                [OPTION_LOG_SLOTS] = r.log_slots_max,
                [OPTION_BATCH_COMMANDS] = r.batch_commands_max,
                [OPTION_BATCH_BYTES] = r.batch_bytes_max,
                [OPTION_INFLIGHT] = c->inflight_max,
                [OPTION_MESSAGE_BYTES] = c->message_bytes_max,
                [OPTION_CACHE_BYTES] = r.mvcc.cache_bytes_max,
                [OPTION_CALLS] = r.calls_max,
                [OPTION_CALL_BYTES] = r.call_bytes_max,
                [OPTION_APPLY_LAG] = r.apply_lag_max,
                [OPTION_UNWRITTEN] = r.unwritten_max,
                [OPTION_SESSIONS] = r.mvcc.sessions_max,
                [OPTION_DISK_BUFFER] = 64 << 20, /* as kv/logstore.h and kv/store.h have it */
                [OPTION_ELECTION_SPREAD] = c->election_spread_us,
                [OPTION_CANDIDATE] = c->candidate_us,
                [OPTION_CANDIDATE_SPREAD] = c->candidate_spread_us,
                [OPTION_CANDIDATE_BACKOFF] = c->candidate_backoff,
                [OPTION_PRE_VOTE] = c->pre_vote,
                [OPTION_CHECK_QUORUM] = c->check_quorum,
                [OPTION_QUORUM_CONNECTED] = c->quorum_connected,
                [OPTION_WIRE] = 0,
            },
        /* about 25 calls a second in all */
        .clients = 4,
        .keys = 5,
        .think = {50000, 250000},
        .timeout_us = 5000000,
        .mix =
            {
                [SIM_OP_PUT] = 3,
                [SIM_OP_GET] = 3,
                [SIM_OP_CAS] = 2,
                [SIM_OP_DEL] = 1,
                [SIM_OP_APPEND] = 2,
                [SIM_OP_TXN] = 2,
                [SIM_OP_LOCAL] = 1,
            },
        .retry_percent = 50,
        .delay = {100, 3000},
        .log_disk = {100, 1500},
        .state_disk = {500, 5000},
        .reads = {50, 2000},
    };
}

void scenario_release(struct scenario *s)
{
    free(s->steps);
    s->steps = NULL;
    s->steps_count = 0;
    s->steps_capacity = 0;
}

void scenario_copy(struct scenario *to, const struct scenario *from)
{
    *to = *from;
    to->steps_capacity = from->steps_count;
    to->steps = NULL;
    if (from->steps_count > 0) {
        to->steps = xmemdup(from->steps, from->steps_count * sizeof *from->steps);
    }
}

void scenario_add(struct scenario *s, const struct sim_step *step)
{
    ASSERT(s->steps_count < SIM_STEPS_MAX);
    if (s->steps_count == s->steps_capacity) {
        s->steps_capacity = s->steps_capacity == 0 ? 64 : 2 * s->steps_capacity;
        s->steps = xrealloc(s->steps, s->steps_capacity * sizeof *s->steps);
    }
    uint32_t at = s->steps_count++;
    while (at > 0 && s->steps[at - 1].at_us > step->at_us) {
        s->steps[at] = s->steps[at - 1];
        at--;
    }
    s->steps[at] = *step;
}

/* Files. */

static int read_all(FILE *file, struct buf *text)
{
    char part[4096];
    size_t size;
    while ((size = fread(part, 1, sizeof part, file)) > 0) {
        if (buf_append(text, part, size) != OK) {
            return ERR_TOO_LARGE;
        }
    }
    return ferror(file) != 0 ? ERR_IO : OK;
}

int scenario_load(const char *path, struct scenario *ret_scenario, struct buf *error)
{
    struct buf text;
    struct buf line;
    buf_init(&text, SCENARIO_TEXT_MAX);
    buf_init(&line, SCENARIO_ERROR_MAX);
    scenario_init(ret_scenario, NULL, 1);
    FILE *file = fopen(path, "rb");
    int err = OK;
    if (file == NULL) {
        err = errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
        ERR_IGNORE(scenario_error(error, "%s: %s", path, strerror(errno)));
        goto out;
    }
    err = read_all(file, &text);
    if (err != OK) {
        ERR_IGNORE(scenario_error(error,
                                  err == ERR_IO ? "%s: it cannot be read"
                                                : "%s: it is larger than 1 MiB, too large for a "
                                                  "scenario",
                                  path));
        goto out;
    }
    err = scenario_parse(buf_bytes(&text), ret_scenario, &line);
    if (err == OK) {
        err = scenario_check(ret_scenario, &line);
    }
    if (err != OK) {
        ERR_IGNORE(scenario_error(error, "%s: %.*s", path, (int) line.size, (char *) line.data));
    }
out:
    if (file != NULL) {
        (void) fclose(file); /* it was read only */
    }
    buf_release(&line);
    buf_release(&text);
    return err;
}

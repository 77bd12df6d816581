/*
 * crash_points.c - numbering of workloads, and the judgement of what a crash left.
 */

#include "tests/sim/crash_points.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

const char *crash_op_name(uint32_t op)
{
    static const char *const names[] = {
#define X(name, word) [CRASH_OP_##name] = (word),
        CRASH_OP_MAP(X)
#undef X
    };
    ASSERT(op < ARRAY_SIZE(names));
    return names[op];
}

bool crash_op_is_of(const struct crash_kind *kind, uint32_t op)
{
    return op >= CRASH_OP_REOPEN || (op < CRASH_OP_PUT) == (kind == &crash_log_kind);
}

/* ---- workloads ---- */

uint32_t crash_workloads(const struct crash_alphabet *a, uint32_t length)
{
    uint32_t all = 0;
    uint32_t of_length = 1;
    for (uint32_t i = 0; i <= length; i++) {
        all += of_length;
        of_length *= a->count;
    }
    return all;
}

void crash_workload_at(const struct crash_alphabet *a, uint32_t number,
                       struct crash_workload *ret_workload)
{
    struct crash_workload w = {.count = 0};
    uint32_t of_length = 1;
    while (number >= of_length) {
        number -= of_length;
        of_length *= a->count;
        w.count++;
        ASSERT(w.count <= CRASH_OPS_MAX);
    }
    for (uint32_t i = w.count; i > 0; i--) {
        w.ops[i - 1] = a->ops[number % a->count];
        number /= a->count;
    }
    *ret_workload = w;
}

/* The operation of the word at `text`; CRASH_OPS when there is none. */
static uint32_t op_of_word(const char *text, size_t size)
{
    uint32_t op = 0;
    while (op < CRASH_OPS &&
           (strlen(crash_op_name(op)) != size || strncmp(crash_op_name(op), text, size) != 0)) {
        op++;
    }
    return op;
}

bool crash_workload_parse(const char *text, struct crash_workload *ret_workload)
{
    struct crash_workload w = {.count = 0};
    while (*text != '\0') {
        size_t size = strcspn(text, " ");
        uint32_t op = op_of_word(text, size);
        if (size > 0 && (op == CRASH_OPS || w.count == CRASH_OPS_MAX)) {
            return false;
        }
        if (size > 0) {
            w.ops[w.count] = (uint8_t) op;
            w.count++;
        }
        text += size;
        text += *text == ' ' ? 1 : 0;
    }
    *ret_workload = w;
    return true;
}

void crash_workload_print(const struct crash_workload *w, struct buf *out)
{
    for (uint32_t i = 0; i < w->count; i++) {
        ERR_IGNORE(buf_printf(out, "%s%s", i == 0 ? "" : " ", crash_op_name(w->ops[i])));
    }
}

/* ---- judgement ---- */

/* The allowed model that a content is of; NULL: none. */
static const struct crash_model *find_model(const struct crash_rig *rig,
                                            const struct crash_allowed *allowed,
                                            struct bytes content)
{
    const struct crash_model *const models[] = {
        allowed->acknowledged,
        allowed->under_way,
        allowed->under_way_next,
        allowed->acknowledged == NULL ? allowed->created : NULL,
    };
    const struct crash_model *found = NULL;
    struct buf text;
    buf_init(&text, CRASH_CONTENT_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(models) && found == NULL; i++) {
        if (models[i] != NULL) {
            buf_clear(&text);
            rig->kind->model_text(models[i], &text);
            found = bytes_equal(buf_bytes(&text), content) ? models[i] : NULL;
        }
    }
    buf_release(&text);
    return found;
}

/* Says what was found and what was allowed, cut to a legible length. */
static void say_content(const struct crash_rig *rig, const struct crash_allowed *allowed,
                        struct bytes content, struct buf *why)
{
    struct buf text;
    buf_init(&text, CRASH_CONTENT_MAX);
    ERR_IGNORE(buf_printf(why, "holds {%.*s}; allowed", (int) u64_min(content.size, 500),
                          (const char *) content.data));
    const struct crash_model *const models[] = {
        allowed->acknowledged != NULL ? allowed->acknowledged : allowed->created,
        allowed->under_way,
    };
    for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
        if (models[i] != NULL) {
            buf_clear(&text);
            rig->kind->model_text(models[i], &text);
            ERR_IGNORE(buf_printf(why, "%s {%.*s}", i == 0 ? "" : " or",
                                  (int) u64_min(text.size, 500), (const char *) text.data));
        }
    }
    buf_release(&text);
}

/* Reads the store and finds the model it is equal to; NULL: wrong, and said so. */
static const struct crash_model *read_and_find(const struct crash_rig *rig, struct crash_store *s,
                                               const struct crash_allowed *allowed, struct buf *why)
{
    const struct crash_model *found = NULL;
    struct buf content;
    struct buf error;
    buf_init(&content, CRASH_CONTENT_MAX);
    buf_init(&error, 4096);
    int rc = rig->kind->text(s, &content, &error);
    if (rc != OK) {
        ERR_IGNORE(buf_printf(why, "cannot be read: %s: %.*s", err_name(rc), (int) error.size,
                              (const char *) error.data));
    } else {
        found = find_model(rig, allowed, buf_bytes(&content));
        if (found == NULL) {
            say_content(rig, allowed, buf_bytes(&content), why);
        }
    }
    buf_release(&error);
    buf_release(&content);
    return found;
}

static bool open_store(const struct crash_rig *rig, const char *path, bool create, const char *when,
                       struct crash_store *ret_store, struct buf *why)
{
    struct buf error;
    buf_init(&error, 4096);
    int rc = rig->kind->open(rig, path, create, ret_store, &error);
    if (rc != OK) {
        ERR_IGNORE(buf_printf(why, "%s: %s: %.*s", when, err_name(rc), (int) error.size,
                              (const char *) error.data));
    }
    buf_release(&error);
    return rc == OK;
}

/* The store goes on from the model `at`: a write, and it is there when opened again. Takes the
 * store. */
static bool goes_on(const struct crash_rig *rig, const char *path, struct crash_store *s,
                    const struct crash_model *at, struct buf *why)
{
    const uint32_t op = rig->kind->alphabet.ops[1];
    struct crash_model *after = rig->kind->model_copy(at);
    if (rig->kind == &crash_log_kind) {
        rig->kind->model_apply(after, CRASH_OP_BUMP); /* Reading it was one more start. */
    }
    int rc = rig->kind->apply(s, after, op);
    rig->kind->close(s);
    rig->kind->model_apply(after, op);
    const struct crash_allowed allowed = {.acknowledged = after};
    bool good = rc == OK;
    if (!good) {
        ERR_IGNORE(buf_printf(why, "takes no write: %s", err_name(rc)));
    } else {
        good = open_store(rig, path, false, "does not open after a write", s, why);
        if (good) {
            good = read_and_find(rig, s, &allowed, why) != NULL;
            rig->kind->close(s);
        }
    }
    rig->kind->model_free(after);
    return good;
}

/* A store that opens: reads it, and lets it go on. Closes it. */
static uint32_t judge(const struct crash_rig *rig, const char *path, struct crash_store *s,
                      const struct crash_allowed *allowed, bool go_on, struct buf *why)
{
    const struct crash_model *at = read_and_find(rig, s, allowed, why);
    bool good = at != NULL;
    if (good && go_on) {
        good = goes_on(rig, path, s, at, why);
    } else {
        rig->kind->close(s);
    }
    if (!good) {
        return 0;
    }
    return at == allowed->acknowledged ? CRASH_BEFORE : CRASH_AFTER;
}

/* A store that does not open. */
static uint32_t judge_refusal(const struct crash_rig *rig, const struct crash_allowed *allowed,
                              int rc, struct bytes error, struct buf *why)
{
    if (rc == ERR_STALE) {
        const struct crash_model *at = find_model(rig, allowed, bytes_str("stale"));
        if (at != NULL) {
            return at == allowed->acknowledged ? CRASH_BEFORE : CRASH_AFTER;
        }
    }
    if (rc == ERR_CORRUPT && allowed->may_refuse) {
        return CRASH_REFUSED;
    }
    ERR_IGNORE(buf_printf(why, "does not open: %s: %.*s", err_name(rc), (int) error.size,
                          (const char *) error.data));
    return 0;
}

uint32_t crash_check(const struct crash_rig *rig, const char *path,
                     const struct crash_allowed *allowed, bool go_on, struct buf *why)
{
    struct crash_store s = {.log = NULL};
    uint32_t outcome = 0;
    struct buf error;
    buf_init(&error, 4096);
    int rc = rig->kind->open(rig, path, false, &s, &error);
    if (rc == OK) {
        outcome = judge(rig, path, &s, allowed, go_on, why);
    } else if (rc == ERR_NOT_FOUND && allowed->acknowledged == NULL) {
        const struct crash_allowed made = {.acknowledged = allowed->created};
        if (open_store(rig, path, true, "is not there and cannot be created", &s, why) &&
            judge(rig, path, &s, &made, go_on, why) != 0) {
            outcome = CRASH_ABSENT;
        }
    } else {
        outcome = judge_refusal(rig, allowed, rc, buf_bytes(&error), why);
    }
    buf_release(&error);
    return outcome;
}

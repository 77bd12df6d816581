/*
 * history_json.c - a history as JSON lines, read and written; the format is in history.h.
 */
#include "tests/sim/history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/sim/history_scan.h"

enum { CHUNK_SIZE = 1 << 16, OPS_MAX = INT32_MAX - 1 };

/* ---- Fields of a line ---- */

#define FIELD_MAP(X)                                                                               \
    X(CLIENT, "client")                                                                            \
    X(OP, "op")                                                                                    \
    X(KEY, "key")                                                                                  \
    X(VALUE, "value")                                                                              \
    X(EXPECTED, "expected")                                                                        \
    X(OK, "ok")                                                                                    \
    X(CALL, "call_ns")                                                                             \
    X(RETURN, "return_ns")                                                                         \
    X(RESULT, "result")                                                                            \
    X(READS, "reads")                                                                              \
    X(WRITES, "writes")

enum field {
#define X(name, text) FIELD_##name,
    FIELD_MAP(X)
#undef X
        FIELDS
};

static const char *const field_names[] = {
#define X(name, text) text,
    FIELD_MAP(X)
#undef X
};

struct reading {
    struct history *h;
    struct buf *error;
    uint32_t line;
    struct json fields[FIELDS];
    struct history_op op;
};

static int wrong(struct reading *r, const char *what)
{
    /* A line of an error that is too long for its buffer is cut. */
    ERR_IGNORE(buf_printf(r->error, "line %u: %s", r->line, what));
    return ERR_MALFORMED;
}

static int wrong_field(struct reading *r, enum field field, const char *expected)
{
    uint8_t type = r->fields[field].type;

    ERR_IGNORE(buf_printf(r->error, "line %u: field \"%s\" %s; expected %s", r->line,
                          field_names[field],
                          type == JSON_ABSENT ? "is missing"
                          : type == JSON_NULL ? "is null"
                                              : "has a wrong type or value",
                          expected));
    return ERR_MALFORMED;
}

static int not_json(struct reading *r, const struct scan *s)
{
    ERR_IGNORE(buf_printf(r->error, "line %u: not a JSON object: expected %s at byte %zu", r->line,
                          s->wrong, (size_t) (s->at - s->start) + 1));
    return ERR_MALFORMED;
}

static enum field field_of(struct bytes name)
{
    enum field field = FIELD_CLIENT;

    while (field < FIELDS && !bytes_equal(name, bytes_str(field_names[field]))) {
        field++;
    }
    return field;
}

/* The members of an object, one by one: true with the name taken. */
static bool next_member(struct scan *s, bool *first, struct bytes *ret_name)
{
    if (scan_take(s, '}')) {
        return false;
    }
    if (!*first && !scan_take(s, ',')) {
        (void) scan_fail(s, "',' or '}'");
        return false;
    }
    *first = false;
    if (scan_string(s, ret_name) != OK) {
        return false;
    }
    if (!scan_take(s, ':')) {
        (void) scan_fail(s, "':'");
        return false;
    }
    return true;
}

static int read_fields(struct reading *r, struct scan *s)
{
    struct bytes name = {NULL, 0};
    bool first = true;

    memset(r->fields, 0, sizeof(r->fields));
    if (!scan_take(s, '{')) {
        (void) scan_fail(s, "'{'");
        return not_json(r, s);
    }
    while (next_member(s, &first, &name)) {
        struct json value = {.type = JSON_ABSENT};
        enum field field = field_of(name);
        if (scan_value(s, &value) != OK) {
            return not_json(r, s);
        }
        if (field < FIELDS && r->fields[field].type != JSON_ABSENT) {
            ERR_IGNORE(buf_printf(r->error, "line %u: field \"%s\" is there twice", r->line,
                                  field_names[field]));
            return ERR_MALFORMED;
        }
        if (field < FIELDS) {
            r->fields[field] = value;
        }
    }
    if (s->wrong == NULL && scan_peek(s) != '\0') {
        (void) scan_fail(s, "nothing behind the object");
    }
    if (s->wrong == NULL && s->at != s->end) {
        (void) scan_fail(s, "no zero byte");
    }
    return s->wrong == NULL ? OK : not_json(r, s);
}

/* Decimal digits to a number; false: it needs more than 64 bits, or is below 0. */
static bool to_u64(struct bytes text, uint64_t *ret)
{
    uint64_t value = 0;

    for (size_t i = 0; i < text.size; i++) {
        uint64_t digit = (uint64_t) text.data[i] - '0';
        if (text.data[i] == '-' || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *ret = value;
    return true;
}

static int read_client(struct reading *r)
{
    const struct json *f = &r->fields[FIELD_CLIENT];
    uint64_t number = 0;

    if (f->type != JSON_STRING && f->type != JSON_INTEGER) {
        return wrong_field(r, FIELD_CLIENT, "a string or an integer");
    }
    if (f->type == JSON_INTEGER && to_u64(f->text, &number) && number < HISTORY_CLIENT_NAMED) {
        r->op.client = number;
    } else {
        r->op.client = history_client(r->h, f->text, f->type == JSON_STRING);
    }
    return OK;
}

static int read_choice(struct reading *r, enum field field, const char *(*name)(uint8_t),
                       uint8_t count, uint8_t *ret, const char *expected)
{
    const struct json *f = &r->fields[field];

    for (uint8_t i = 0; f->type == JSON_STRING && i < count; i++) {
        if (bytes_equal(f->text, bytes_str(name(i)))) {
            *ret = i;
            return OK;
        }
    }
    return wrong_field(r, field, expected);
}

static int read_time(struct reading *r, enum field field, bool optional, uint64_t *ret)
{
    const struct json *f = &r->fields[field];

    if (optional && (f->type == JSON_ABSENT || f->type == JSON_NULL)) {
        return OK;
    }
    if (f->type != JSON_INTEGER || !to_u64(f->text, ret)) {
        return wrong_field(r, field, "an integer from 0 to 18446744073709551615");
    }
    return OK;
}

/* A string, or null for absent. `needed`: the field must be there; `present`: it must be a string.
 */
static int read_value(struct reading *r, enum field field, bool needed, bool present,
                      struct history_value *ret)
{
    const struct json *f = &r->fields[field];

    if (f->type == JSON_STRING) {
        *ret = history_value(r->h, f->text.data, f->text.size);
        return OK;
    }
    if ((f->type == JSON_ABSENT && !needed && !present) || (f->type == JSON_NULL && !present)) {
        return OK;
    }
    return wrong_field(r, field, present ? "a string" : "a string, or null for absent");
}

static int read_pairs(struct reading *r, enum field field, struct history_pair **ret_pairs,
                      uint32_t *ret_count)
{
    const struct json *f = &r->fields[field];
    static const char expected[] = "an object of keys and values, a value is a string or null";
    struct scan s = {.wrong = NULL};
    struct bytes name = {NULL, 0};
    bool first = true;
    uint32_t count = 0;
    uint32_t capacity = 0;
    struct history_pair *pairs = NULL;

    if (f->type == JSON_ABSENT || f->type == JSON_NULL) {
        return OK;
    }
    if (f->type != JSON_TREE || f->text.data[0] != '{') {
        return wrong_field(r, field, expected);
    }
    /* The tree lies in the line, which is ours to write to. */
    s.start = (char *) (uintptr_t) f->text.data;
    s.at = s.start + 1;
    s.end = s.start + f->text.size;
    while (next_member(&s, &first, &name)) {
        struct json value = {.type = JSON_ABSENT};
        if (scan_value(&s, &value) != OK ||
            (value.type != JSON_STRING && value.type != JSON_NULL)) {
            free(pairs);
            return wrong_field(r, field, expected);
        }
        if (count == capacity) {
            capacity = capacity == 0 ? 8 : 2 * capacity;
            pairs = xrealloc(pairs, capacity * sizeof(*pairs));
        }
        pairs[count].key = history_key_bytes(r->h, name);
        pairs[count].value = value.type == JSON_NULL
                                 ? (struct history_value){NULL, 0}
                                 : history_value(r->h, value.text.data, value.text.size);
        count++;
    }
    ASSERT(s.wrong == NULL); /* it was scanned before */
    *ret_pairs = history_pairs(r->h, count);
    *ret_count = count;
    if (count > 0) {
        memcpy(*ret_pairs, pairs, count * sizeof(*pairs));
    }
    free(pairs);
    return OK;
}

/* Which operation, by whom and when. */
static int read_common(struct reading *r)
{
    struct history_op *op = &r->op;
    const struct json *key = &r->fields[FIELD_KEY];

    if (read_client(r) != OK ||
        read_choice(r, FIELD_OP, history_kind_name, HIST_TXN + 1, &op->kind,
                    "one of put, get, cas, del, append, txn") != OK ||
        read_choice(r, FIELD_RESULT, history_result_name, HIST_UNKNOWN + 1, &op->result,
                    "one of ok, fail, unknown") != OK ||
        read_time(r, FIELD_CALL, false, &op->call_ns) != OK ||
        read_time(r, FIELD_RETURN, op->result == HIST_UNKNOWN, &op->return_ns) != OK) {
        return ERR_MALFORMED;
    }
    if (op->result != HIST_UNKNOWN && op->return_ns < op->call_ns) {
        return wrong(r, "returns before its call: return_ns is at least call_ns");
    }
    if (op->kind == HIST_TXN) {
        return OK;
    }
    if (key->type != JSON_STRING) {
        return wrong_field(r, FIELD_KEY, "a string");
    }
    op->key = history_key_bytes(r->h, key->text);
    return OK;
}

static int read_ok(struct reading *r)
{
    const struct json *f = &r->fields[FIELD_OK];
    uint8_t kind = r->op.kind;
    bool needed = r->op.result == HIST_OK && kind != HIST_PUT && kind != HIST_APPEND;

    if (f->type != JSON_BOOL && (needed || (f->type != JSON_ABSENT && f->type != JSON_NULL))) {
        return wrong_field(r, FIELD_OK, "true or false");
    }
    r->op.ok = f->type == JSON_BOOL && f->truth;
    return OK;
}

/* What it wrote and what it saw. */
static int read_details(struct reading *r)
{
    struct history_op *op = &r->op;
    bool answered = op->result == HIST_OK;
    bool writes = op->kind == HIST_PUT || op->kind == HIST_CAS || op->kind == HIST_APPEND;

    if (read_ok(r) != OK) {
        return ERR_MALFORMED;
    }
    if (op->kind == HIST_TXN) {
        if (read_pairs(r, FIELD_READS, &op->reads, &op->reads_count) != OK) {
            return ERR_MALFORMED;
        }
        return read_pairs(r, FIELD_WRITES, &op->writes, &op->writes_count);
    }
    bool found = op->kind == HIST_GET && answered && op->ok;
    if (read_value(r, FIELD_VALUE, false, writes || found, &op->value) != OK) {
        return ERR_MALFORMED;
    }
    if (op->kind == HIST_GET && answered && !op->ok && op->value.data != NULL) {
        return wrong(r, "a value that was not found: value is null when ok is false");
    }
    if (op->kind != HIST_CAS) {
        return OK;
    }
    return read_value(r, FIELD_EXPECTED, true, false, &op->expected);
}

static int read_line(struct reading *r, char *text, size_t size)
{
    struct scan s = {text, text, text + size, NULL};

    scan_blanks(&s);
    if (s.at == s.end) {
        return OK;
    }
    memset(&r->op, 0, sizeof(r->op));
    r->op.line = r->line;
    if (read_fields(r, &s) != OK || read_common(r) != OK || read_details(r) != OK) {
        return ERR_MALFORMED;
    }
    if (history_count(r->h) == OPS_MAX) {
        ERR_IGNORE(buf_printf(r->error, "line %u: more than %d operations", r->line, OPS_MAX));
        return ERR_LIMIT;
    }
    (void) history_add(r->h, &r->op); /* its number is of no interest here */
    return OK;
}

/* ---- Lines of a file ---- */

/* The lines that are complete in text[0..size); *ret_used: their bytes. */
static int read_lines(struct reading *r, char *text, size_t size, size_t *ret_used)
{
    size_t used = 0;
    char *end;

    while ((end = memchr(text + used, '\n', size - used)) != NULL) {
        size_t line_size = (size_t) (end - (text + used));
        int err;
        r->line++;
        err = line_size > HISTORY_LINE_MAX ? ERR_LIMIT : read_line(r, text + used, line_size);
        if (err != OK) {
            return err;
        }
        used += line_size + 1;
    }
    *ret_used = used;
    return OK;
}

static int read_all(struct reading *r, FILE *file, char *text)
{
    size_t size = 0;
    size_t got;

    while ((got = fread(text + size, 1, CHUNK_SIZE, file)) > 0) {
        size_t used = 0;
        int err;
        size += got;
        err = read_lines(r, text, size, &used);
        if (err != OK) {
            return err;
        }
        size -= used;
        memmove(text, text + used, size);
        if (size > HISTORY_LINE_MAX) {
            r->line++;
            return ERR_LIMIT;
        }
    }
    if (ferror(file)) {
        ERR_IGNORE(
            buf_printf(r->error, "reading failed after line %u: %s", r->line, strerror(errno)));
        return ERR_IO;
    }
    r->line++;
    return read_line(r, text, size); /* the last one may lack its newline */
}

int history_read(FILE *file, struct history *h, struct buf *error)
{
    struct reading r = {.h = h, .error = error};
    char *text = xmalloc(HISTORY_LINE_MAX + CHUNK_SIZE);
    int err = read_all(&r, file, text);

    if (err == ERR_LIMIT && error->size == 0) {
        ERR_IGNORE(buf_printf(error, "line %u: longer than %d bytes", r.line, HISTORY_LINE_MAX));
    }
    if (err == OK && history_validate(h, error) != OK) {
        err = ERR_MALFORMED;
    }
    free(text);
    return err;
}

/* ---- Writing ---- */

/* A stream keeps that a write failed; history_write asks once, at the end. */

static void put_text(FILE *file, const char *text)
{
    (void) fputs(text, file);
}

static void put_string(FILE *file, struct bytes text)
{
    (void) fputc('"', file);
    for (size_t i = 0; i < text.size;) {
        uint8_t c = text.data[i];
        size_t size = scan_utf8_size(text.data + i, text.size - i);
        if (c == '"' || c == '\\') {
            (void) fputc('\\', file);
            (void) fputc(c, file);
            size = 1;
        } else if (size == 0 || c < 0x20) {
            (void) fprintf(file, "\\u%04x", size == 0 ? 0xdc00u + c : c);
            size = 1;
        } else {
            (void) fwrite(text.data + i, 1, size, file);
        }
        i += size;
    }
    (void) fputc('"', file);
}

static void put_value(FILE *file, struct history_value value)
{
    if (value.data == NULL) {
        put_text(file, "null");
    } else {
        put_string(file, bytes_of(value.data, value.size));
    }
}

static void put_client(FILE *file, const struct history *h, uint64_t client)
{
    bool is_string = false;
    struct bytes name = history_client_text(h, client, &is_string);

    if (name.data == NULL) {
        (void) fprintf(file, "%" PRIu64, client);
    } else if (is_string) {
        put_string(file, name);
    } else {
        (void) fwrite(name.data, 1, name.size, file);
    }
}

static void put_pairs(FILE *file, const struct history *h, const struct history_pair *pairs,
                      uint32_t count)
{
    (void) fputc('{', file);
    for (uint32_t i = 0; i < count; i++) {
        put_text(file, i == 0 ? "" : ",");
        put_string(file, history_key_text(h, pairs[i].key));
        (void) fputc(':', file);
        put_value(file, pairs[i].value);
    }
    (void) fputc('}', file);
}

static void put_op(FILE *file, const struct history *h, const struct history_op *op)
{
    bool answered = op->result == HIST_OK;

    put_text(file, "{\"client\":");
    put_client(file, h, op->client);
    (void) fprintf(file, ",\"op\":\"%s\"", history_kind_name(op->kind));
    if (op->kind == HIST_TXN) {
        put_text(file, ",\"reads\":");
        put_pairs(file, h, op->reads, op->reads_count);
        put_text(file, ",\"writes\":");
        put_pairs(file, h, op->writes, op->writes_count);
    } else {
        put_text(file, ",\"key\":");
        put_string(file, history_key_text(h, op->key));
    }
    if (op->kind == HIST_PUT || op->kind == HIST_CAS || op->kind == HIST_APPEND ||
        (op->kind == HIST_GET && answered)) {
        put_text(file, ",\"value\":");
        put_value(file, op->value);
    }
    if (op->kind == HIST_CAS) {
        put_text(file, ",\"expected\":");
        put_value(file, op->expected);
    }
    if (answered && op->kind != HIST_PUT && op->kind != HIST_APPEND) {
        (void) fprintf(file, ",\"ok\":%s", op->ok ? "true" : "false");
    }
    (void) fprintf(file, ",\"call_ns\":%" PRIu64, op->call_ns);
    if (op->result != HIST_UNKNOWN) {
        (void) fprintf(file, ",\"return_ns\":%" PRIu64, op->return_ns);
    }
    (void) fprintf(file, ",\"result\":\"%s\"}\n", history_result_name(op->result));
}

int history_write(const struct history *h, FILE *file)
{
    for (uint32_t i = 0; i < history_count(h); i++) {
        put_op(file, h, history_get(h, i));
    }
    return fflush(file) != 0 || ferror(file) ? ERR_IO : OK;
}

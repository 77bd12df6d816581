/*
 * trace_read.c - see trace_read.h. Written by hand for these lines, as a busy node writes a hundred
 * thousand of them a second.
 */
#include "tests/real/trace_read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/consensus.h"
#include "consensus/mark.h"
#include "consensus/message.h"

enum {
    CHUNK = 256 * 1024,
    LINE_MAX = 64 * 1024,
    NOTES_MAX = 512, /* the program has some dozens */
    NOTE_MAX = 128,
};

struct trace_read {
    char *path;
    int fd; /* -1: not there yet */
    uint64_t lines;
    uint32_t cuts; /* lines that may be unfinished */
    struct buf buf;
};

/* Notes are compared and kept by their address, also after the reader is gone: so they stay for as
 * long as the program runs. */
static const char *intern(struct bytes text)
{
    static char notes[NOTES_MAX][NOTE_MAX];
    static uint32_t count;
    if (text.size >= NOTE_MAX) {
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (bytes_equal(bytes_str(notes[i]), text)) {
            return notes[i];
        }
    }
    if (count == NOTES_MAX) {
        return NULL;
    }
    if (text.size > 0) {
        memcpy(notes[count], text.data, text.size);
    }
    notes[count][text.size] = '\0';
    return notes[count++];
}

/* A line, from left to right. */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

static bool take(struct cursor *c, const char *text)
{
    size_t size = strlen(text);
    if ((size_t) (c->end - c->at) < size || memcmp(c->at, text, size) != 0) {
        return false;
    }
    c->at += size;
    return true;
}

/* "text"; there are no quotes or escapes in it. */
static bool take_string(struct cursor *c, struct bytes *ret_text)
{
    if (!take(c, "\"")) {
        return false;
    }
    const uint8_t *from = c->at;
    const uint8_t *quote = memchr(from, '"', (size_t) (c->end - from));
    if (quote == NULL || memchr(from, '\\', (size_t) (quote - from)) != NULL) {
        return false;
    }
    *ret_text = bytes_of(from, (size_t) (quote - from));
    c->at = quote + 1;
    return true;
}

static bool take_number(struct cursor *c, uint64_t *ret_number)
{
    uint64_t number = 0;
    const uint8_t *from = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
        uint64_t digit = (uint64_t) (*c->at - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
        c->at++;
    }
    *ret_number = number;
    return c->at > from;
}

static bool hash_of(struct bytes text, uint64_t *ret_hash)
{
    uint64_t hash = 0;
    if (text.size != 16) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && (c < 'a' || c > 'f')) {
            return false;
        }
        hash = hash << 4 | (uint64_t) (digit ? c - '0' : c - 'a' + 10);
    }
    *ret_hash = hash;
    return true;
}

static bool kind_of(struct bytes name, uint8_t *ret_kind)
{
    for (uint8_t i = 0; i < TRACE_KINDS; i++) {
        if (bytes_equal(bytes_str(trace_kind_name(i)), name)) {
            *ret_kind = i;
            return true;
        }
    }
    return false;
}

/* Raft and Paxos have some names in common: the engine tells which one it is. */
static bool message_of(struct bytes name, uint8_t engine, uint8_t *ret_type)
{
    static const struct {
        uint8_t type;
        const char *name;
    } types[] = {
#define X(number, id, text) {number, text},
        MESSAGE_MAP(X)
#undef X
    };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        bool raft = types[i].type < MSG_PAXOS_PREPARE;
        bool possible =
            engine == 0 || types[i].type >= MSG_REPLICA_FORWARD || raft == (engine == ENGINE_RAFT);
        if (possible && bytes_equal(bytes_str(types[i].name), name)) {
            *ret_type = types[i].type;
            return true;
        }
    }
    return false;
}

static bool engine_of(struct bytes name, uint8_t *ret_engine)
{
    const struct engine_ops *engine;
    if (name.size == 0) {
        *ret_engine = 0;
        return true;
    }
    for (uint32_t i = 0; (engine = engine_at(i)) != NULL; i++) {
        if (bytes_equal(bytes_str(engine_name(engine)), name)) {
            *ret_engine = engine_number(engine);
            return true;
        }
    }
    return false;
}

static bool take_text_field(struct cursor *c, struct bytes name, struct trace_event *e)
{
    struct bytes text;
    if (!take_string(c, &text)) {
        return false;
    }
    if (bytes_equal(name, bytes_str("engine"))) {
        return engine_of(text, &e->engine);
    }
    if (bytes_equal(name, bytes_str("event"))) {
        return kind_of(text, &e->kind);
    }
    if (bytes_equal(name, bytes_str("message"))) {
        return message_of(text, e->engine, &e->message); /* the engine stands before */
    }
    if (bytes_equal(name, bytes_str("hash"))) {
        return hash_of(text, &e->hash);
    }
    e->note = intern(text);
    return bytes_equal(name, bytes_str("note")) && e->note != NULL;
}

static bool take_number_field(struct cursor *c, struct bytes name, struct trace_event *e)
{
    uint64_t number = 0;
    const struct {
        const char *name;
        uint64_t *wide;
        uint32_t *narrow;
    } fields[] = {
        {"t", &e->time_us, NULL},   {"node", NULL, &e->node}, {"epoch", &e->epoch, NULL},
        {"index", &e->index, NULL}, {"last", &e->last, NULL}, {"from", NULL, &e->from},
        {"to", NULL, &e->to},       {"ctx", &e->ctx, NULL},
    };
    if (!take_number(c, &number)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (!bytes_equal(bytes_str(fields[i].name), name)) {
            continue;
        }
        if (fields[i].wide != NULL) {
            *fields[i].wide = number;
        } else if (number <= UINT32_MAX) {
            *fields[i].narrow = (uint32_t) number;
        } else {
            return false;
        }
        return true;
    }
    return false;
}

/* The number of a mark is not written: its name says it. */
static bool complete_mark(struct trace_event *e)
{
    if (e->kind != TRACE_MARK) {
        return true;
    }
    for (uint32_t i = 0; i < MARKS && e->note != NULL; i++) {
        if (strcmp(mark_name(i), e->note) == 0) {
            e->index = i;
            return true;
        }
    }
    return false;
}

int trace_read_line(struct bytes line, struct trace_event *ret_event, struct buf *error)
{
    struct cursor c = {line.data, line.data + line.size};
    struct trace_event e = {.kind = TRACE_KINDS};
    struct bytes name = {NULL, 0};
    const char *between = "{";
    while (!take(&c, "}")) {
        bool good = take(&c, between) && take_string(&c, &name) && take(&c, ":") && c.at < c.end;
        good = good &&
               (*c.at == '"' ? take_text_field(&c, name, &e) : take_number_field(&c, name, &e));
        if (!good) {
            if (error != NULL) {
                ERR_IGNORE(buf_printf(error, "no event of a trace, from byte %zu (field `%.*s`)",
                                      (size_t) (c.at - line.data), (int) name.size,
                                      (const char *) name.data)); /* only a text */
            }
            return ERR_MALFORMED;
        }
        between = ",";
    }
    if (c.at != c.end || e.time_us == 0 || e.kind == TRACE_KINDS || !complete_mark(&e)) {
        if (error != NULL) {
            ERR_IGNORE(buf_printf(error, "no event of a trace")); /* only a text */
        }
        return ERR_MALFORMED;
    }
    *ret_event = e;
    return OK;
}

struct trace_read *trace_read_new(const char *path)
{
    struct trace_read *t = xcalloc(1, sizeof *t);
    t->path = xstrdup(path);
    t->fd = -1;
    buf_init(&t->buf, CHUNK + LINE_MAX);
    return t;
}

void trace_read_free(struct trace_read *t)
{
    if (t == NULL) {
        return;
    }
    if (t->fd >= 0) {
        ERR_IGNORE(close(t->fd)); /* was only read */
    }
    buf_release(&t->buf);
    free(t->path);
    free(t);
}

void trace_read_cut(struct trace_read *t)
{
    t->cuts++;
}

/* A line that begins with an unfinished one: what the next life wrote behind it. */
static bool after_cut(struct trace_read *t, struct bytes line, struct bytes *ret_rest)
{
    static const char begin[] = "{\"t\":";
    const size_t size = sizeof begin - 1;
    if (t->cuts == 0 || line.size < size) {
        return false;
    }
    for (size_t at = line.size - size; at > 0; at--) {
        if (memcmp(line.data + at, begin, size) == 0) {
            *ret_rest = bytes_of(line.data + at, line.size - at);
            t->cuts--;
            return true;
        }
    }
    return false;
}

static int give_line(struct trace_read *t, struct bytes line, const struct trace_sink *sink,
                     struct buf *error)
{
    struct trace_event event;
    struct bytes rest;
    char text[256] = "";
    struct buf why;
    t->lines++;
    int err = trace_read_line(line, &event, NULL);
    if (err != OK && after_cut(t, line, &rest)) {
        line = rest;
        err = trace_read_line(line, &event, NULL);
    }
    if (err == OK) {
        sink->emit(sink->ctx, &event);
        return OK;
    }
    buf_init(&why, sizeof text - 1);
    ERR_IGNORE(trace_read_line(line, &event, &why)); /* known to fail */
    ERR_IGNORE(buf_printf(error, "%s, line %" PRIu64 ": %.*s: %.*s", t->path, t->lines,
                          (int) why.size, (const char *) why.data, (int) u64_min(line.size, 200),
                          (const char *) line.data)); /* a text */
    buf_release(&why);
    return err;
}

/* All whole lines of the buffer. */
static int give_lines(struct trace_read *t, const struct trace_sink *sink, struct buf *error)
{
    int err = OK;
    const uint8_t *newline;
    while (err == OK && t->buf.size > 0 &&
           (newline = memchr(t->buf.data, '\n', t->buf.size)) != NULL) {
        size_t size = (size_t) (newline - t->buf.data);
        err = give_line(t, bytes_of(t->buf.data, size), sink, error);
        buf_consume(&t->buf, size + 1);
    }
    if (err == OK && t->buf.size > LINE_MAX) {
        ERR_IGNORE(buf_printf(error, "%s, line %" PRIu64 ": longer than %d bytes", t->path,
                              t->lines + 1, (int) LINE_MAX)); /* only a text */
        return ERR_MALFORMED;
    }
    return err;
}

int trace_read_poll(struct trace_read *t, const struct trace_sink *sink, struct buf *error)
{
    if (t->fd < 0) {
        t->fd = open(t->path, O_RDONLY | O_CLOEXEC);
    }
    if (t->fd < 0 && errno == ENOENT) {
        return OK;
    }
    for (;;) {
        ssize_t n = -1;
        if (t->fd >= 0) {
            int err = buf_reserve(&t->buf, CHUNK);
            ASSERT(err == OK); /* what is left of a line is below LINE_MAX */
            n = read(t->fd, t->buf.data + t->buf.size, CHUNK);
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            ERR_IGNORE(buf_printf(error, "%s: %s", t->path, strerror(errno))); /* only a text */
            return ERR_IO;
        }
        if (n == 0) {
            return OK;
        }
        buf_advance(&t->buf, (size_t) n);
        int err = give_lines(t, sink, error);
        if (err != OK) {
            return err;
        }
    }
}

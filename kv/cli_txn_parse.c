/*
 * cli_txn_parse.c - see cli_txn_parse.h. One line at a time: cut into words, then understood.
 */
#include "kv/cli_txn_parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kv/cli_range.h"

enum {
    WORDS_MAX = 32, /* of one line */
};

struct word {
    struct bytes text;
    bool quoted; /* "--prefix" in quotes is a key */
};

struct parser {
    struct arena *arena;
    struct buf *error;
    struct bytes rest; /* lines not read yet */
    uint32_t line;     /* number of the current one, from 1 */
    struct word words[WORDS_MAX];
    uint32_t words_count;
};

static int fail(struct parser *p, const char *what, struct bytes detail)
{
    /* Only a text: what does not fit is left out. */
    ERR_IGNORE(buf_printf(p->error, "line %u: %s", p->line, what));
    if (detail.size > 0) {
        int size = detail.size > 60 ? 60 : (int) detail.size;

        ERR_IGNORE(buf_printf(p->error, ": %.*s", size, (const char *) detail.data));
    }
    return ERR_INVALID;
}

/* ---- Words ---- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (uint8_t) tolower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `digits` hexadecimal digits at the start of `in`, or -1. */
static int32_t hex_number(struct bytes in, size_t digits)
{
    int32_t value = 0;

    if (in.size < digits) {
        return -1;
    }
    for (size_t i = 0; i < digits; i++) {
        int digit = hex_digit(in.data[i]);

        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* Writes a code point of the basic plane as UTF-8; returns its length. */
static size_t put_utf8(uint8_t *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (uint8_t) c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (uint8_t) (0xc0 | c >> 6);
        to[1] = (uint8_t) (0x80 | (c & 0x3f));
        return 2;
    }
    to[0] = (uint8_t) (0xe0 | c >> 12);
    to[1] = (uint8_t) (0x80 | (c >> 6 & 0x3f));
    to[2] = (uint8_t) (0x80 | (c & 0x3f));
    return 3;
}

/* The escape whose backslash is gone: writes it, returns how much of `in` it took, 0 for none we
 * know. At most 3 bytes for 5 read, so the output fits where the input was. */
static size_t unescape(struct bytes in, uint8_t *to, size_t *ret_size)
{
    static const char names[] = "nrtabfv\\\"'";
    static const char values[] = "\n\r\t\a\b\f\v\\\"'";
    const char *name = in.size == 0 || in.data[0] == 0 ? NULL : strchr(names, in.data[0]);
    int32_t value;

    *ret_size = 1;
    if (name != NULL) {
        to[0] = (uint8_t) values[name - names];
        return 1;
    }
    if (in.size > 0 && in.data[0] == 'x') {
        value = hex_number(bytes_of(in.data + 1, in.size - 1), 2);
        to[0] = (uint8_t) value;
        return value < 0 ? 0 : 3;
    }
    if (in.size > 0 && in.data[0] == 'u') {
        value = hex_number(bytes_of(in.data + 1, in.size - 1), 4);
        if (value < 0 || (value >= 0xd800 && value < 0xe000)) {
            return 0;
        }
        *ret_size = put_utf8(to, (uint32_t) value);
        return 5;
    }
    return 0;
}

/* The word in quotes at the start of `in`; *ret_used counts the quotes. */
static int quoted_word(struct parser *p, struct bytes in, struct bytes *ret_word, size_t *ret_used)
{
    uint8_t quote = in.data[0];
    uint8_t *out = arena_alloc(p->arena, in.size);
    size_t size = 0;
    size_t i = 1;

    while (i < in.size && in.data[i] != quote) {
        if (in.data[i] == '\\' && quote == '"') {
            size_t made;
            size_t used = unescape(bytes_of(in.data + i + 1, in.size - i - 1), out + size, &made);

            if (used == 0) {
                return fail(p,
                            "unknown escape in quotes (\\n \\t \\\\ \\\" \\x00 \\u00e9 are known)",
                            in);
            }
            i += 1 + used;
            size += made;
        } else {
            out[size++] = in.data[i++];
        }
    }
    if (i == in.size) {
        return fail(p, "a quote is not closed", in);
    }
    *ret_word = bytes_of(out, size);
    *ret_used = i + 1;
    return OK;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Bare words also end before ( and after ) so that a compare falls into its parts. */
static size_t bare_length(struct bytes in, bool compare)
{
    size_t n = 0;

    if (compare && memchr("()", in.data[0], 2) != NULL) {
        return 1;
    }
    while (n < in.size && !is_blank(in.data[n]) &&
           !(compare && memchr("()\"", in.data[n], 3) != NULL)) {
        n++;
    }
    return n;
}

static int split_words(struct parser *p, struct bytes line, bool compare)
{
    p->words_count = 0;
    while (line.size > 0) {
        struct word word = {0};
        size_t used = 1;

        if (is_blank(line.data[0])) {
            line = bytes_of(line.data + 1, line.size - 1);
            continue;
        }
        if (p->words_count == WORDS_MAX) {
            return fail(p, "too many words", line);
        }
        if (line.data[0] == '"' || line.data[0] == '\'') {
            int err = quoted_word(p, line, &word.text, &used);

            if (err != OK) {
                return err;
            }
            word.quoted = true;
        } else {
            used = bare_length(line, compare);
            word.text = bytes_of(line.data, used);
        }
        p->words[p->words_count++] = word;
        line = bytes_of(line.data + used, line.size - used);
    }
    return OK;
}

/* The next line into words; false at the end of the part: an empty line or the end of input. */
static int next_line(struct parser *p, bool compare, struct bytes *ret_line, bool *ret_more)
{
    const uint8_t *end = p->rest.size == 0 ? NULL : memchr(p->rest.data, '\n', p->rest.size);
    size_t size = end == NULL ? p->rest.size : (size_t) (end - p->rest.data);
    size_t skip = end == NULL ? size : size + 1;
    int err;

    *ret_line = bytes_of(p->rest.data, size);
    if (skip > 0) {
        p->rest = bytes_of(p->rest.data + skip, p->rest.size - skip);
        p->line++;
    }
    err = split_words(p, *ret_line, compare);
    *ret_more = err == OK && p->words_count > 0;
    return err;
}

/* ---- Numbers ---- */

static int parse_i64(struct bytes text, int base, int64_t *ret_number)
{
    char digits[32];
    char *end = NULL;
    long long number;

    if (text.size == 0 || text.size >= sizeof(digits)) {
        return ERR_INVALID;
    }
    memcpy(digits, text.data, text.size);
    digits[text.size] = '\0';
    errno = 0;
    number = strtoll(digits, &end, base);
    if (errno != 0 || end != digits + text.size || isspace((unsigned char) digits[0])) {
        return ERR_INVALID;
    }
    *ret_number = number;
    return OK;
}

/* ---- Compares ---- */

static bool word_is(const struct word *w, const char *text)
{
    return !w->quoted && bytes_equal(w->text, bytes_str(text));
}

static int compare_target(const struct word *w, int32_t *ret_target)
{
    static const struct {
        const char *name;
        int32_t target;
    } names[] = {{"mod", COMPARE_MOD},     {"m", COMPARE_MOD},           {"create", COMPARE_CREATE},
                 {"c", COMPARE_CREATE},    {"version", COMPARE_VERSION}, {"ver", COMPARE_VERSION},
                 {"value", COMPARE_VALUE}, {"val", COMPARE_VALUE},       {"lease", COMPARE_LEASE}};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (word_is(w, names[i].name)) {
            *ret_target = names[i].target;
            return OK;
        }
    }
    return ERR_INVALID;
}

static int compare_operator(const struct word *w, int32_t *ret_result)
{
    static const char *const names[] = {"=", ">", "<", "!="}; /* as enum compare_result */

    for (int32_t i = 0; i < (int32_t) ARRAY_SIZE(names); i++) {
        if (word_is(w, names[i])) {
            *ret_result = i;
            return OK;
        }
    }
    return ERR_INVALID;
}

/* TARGET ( key ) OP value */
static int parse_compare(struct parser *p, struct bytes line, struct compare *ret_compare)
{
    struct compare c = {0};
    const struct word *w = p->words;

    if (p->words_count != 6 || !word_is(&w[1], "(") || !word_is(&w[3], ")")) {
        return fail(p, "malformed compare; like mod(\"key\") = \"3\"", line);
    }
    if (compare_target(&w[0], &c.target) != OK) {
        return fail(p, "unknown compare; there are mod, create, version, value and lease", line);
    }
    if (compare_operator(&w[4], &c.result) != OK) {
        return fail(p, "unknown operator; there are = != < and >", line);
    }
    c.key = w[2].text;
    if (c.target == COMPARE_VALUE) {
        c.value = w[5].text;
    } else if (parse_i64(w[5].text, c.target == COMPARE_LEASE ? 16 : 10, &c.number) != OK) {
        return fail(p, "a number is needed to compare with", line);
    }
    *ret_compare = c;
    return OK;
}

/* ---- Operations ---- */

/* An operation's words without its name and its flags. */
struct op_words {
    struct bytes arguments[WORDS_MAX];
    uint32_t count;
    bool prefix, from_key, prev_kv, keys_only, count_only;
    int64_t limit;
    int64_t revision;
};

/* --limit=N and --rev=N. */
static int number_flag(struct parser *p, const struct word *w, const char *name,
                       int64_t *ret_number)
{
    size_t size = strlen(name);

    if (parse_i64(bytes_of(w->text.data + size, w->text.size - size), 10, ret_number) != OK ||
        *ret_number < 0) {
        return fail(p, "a number is needed", w->text);
    }
    return OK;
}

static int take_flag(struct parser *p, const struct word *w, uint8_t kind, struct op_words *o)
{
    bool get = kind == OP_RANGE;
    bool range = kind != OP_PUT;

    if (range && word_is(w, "--prefix")) {
        o->prefix = true;
    } else if (range && word_is(w, "--from-key")) {
        o->from_key = true;
    } else if (!get && word_is(w, "--prev-kv")) {
        o->prev_kv = true;
    } else if (get && word_is(w, "--keys-only")) {
        o->keys_only = true;
    } else if (get && word_is(w, "--count-only")) {
        o->count_only = true;
    } else if (get && bytes_has_prefix(w->text, bytes_str("--limit="))) {
        return number_flag(p, w, "--limit=", &o->limit);
    } else if (get && bytes_has_prefix(w->text, bytes_str("--rev="))) {
        return number_flag(p, w, "--rev=", &o->revision);
    } else {
        return fail(p, "unknown flag; quote it if it is a key or a value", w->text);
    }
    return OK;
}

static int sort_words(struct parser *p, uint8_t kind, struct op_words *ret_words)
{
    struct op_words o = {0};
    bool flags = true;

    for (uint32_t i = 1; i < p->words_count; i++) {
        const struct word *w = &p->words[i];

        if (flags && word_is(w, "--")) {
            flags = false;
        } else if (flags && !w->quoted && bytes_has_prefix(w->text, bytes_str("--"))) {
            int err = take_flag(p, w, kind, &o);

            if (err != OK) {
                return err;
            }
        } else {
            o.arguments[o.count++] = w->text;
        }
    }
    *ret_words = o;
    return OK;
}

static int op_range(struct parser *p, const struct op_words *o, struct bytes line,
                    struct cli_range *ret_range)
{
    if (o->count < 1 || o->count > 2 || (o->count == 2 && (o->prefix || o->from_key)) ||
        (o->prefix && o->from_key)) {
        return fail(p, "malformed; like get KEY [RANGE_END], or KEY with --prefix or --from-key",
                    line);
    }
    if (o->prefix) {
        *ret_range = cli_range_prefix(p->arena, o->arguments[0]);
    } else if (o->from_key) {
        *ret_range = cli_range_from(o->arguments[0]);
    } else {
        *ret_range = (struct cli_range){o->arguments[0],
                                        o->count == 2 ? o->arguments[1] : bytes_of(NULL, 0)};
    }
    return OK;
}

static int op_kind_of(const struct word *w, uint8_t *ret_kind)
{
    if (word_is(w, "put")) {
        *ret_kind = OP_PUT;
    } else if (word_is(w, "get")) {
        *ret_kind = OP_RANGE;
    } else if (word_is(w, "del")) {
        *ret_kind = OP_DELETE;
    } else {
        return ERR_INVALID;
    }
    return OK;
}

static int parse_op(struct parser *p, struct bytes line, struct txn_op *ret_op)
{
    struct txn_op op = {0};
    struct op_words o;
    struct cli_range range = {0};
    int err;

    if (op_kind_of(&p->words[0], &op.kind) != OK) {
        return fail(p, "unknown operation; there are put, get and del", line);
    }
    err = sort_words(p, op.kind, &o);
    if (err != OK) {
        return err;
    }
    if (op.kind == OP_PUT) {
        if (o.count != 2) {
            return fail(p, "malformed; like put KEY VALUE, with quotes around blanks", line);
        }
        op.put.key = o.arguments[0];
        op.put.value = o.arguments[1];
        op.put.prev_kv = o.prev_kv;
        *ret_op = op;
        return OK;
    }
    err = op_range(p, &o, line, &range);
    if (err != OK) {
        return err;
    }
    if (op.kind == OP_RANGE) {
        op.range = (struct range_request){.key = range.key,
                                          .range_end = range.end,
                                          .limit = o.limit,
                                          .revision = o.revision,
                                          .keys_only = o.keys_only,
                                          .count_only = o.count_only};
    } else {
        op.del = (struct delete_request){range.key, range.end, o.prev_kv};
    }
    *ret_op = op;
    return OK;
}

/* ---- Parts ---- */

/* Room for one more element of `size` bytes behind `count` of them; grows by doubling in the
 * arena. */
static void *grow(struct arena *a, void *items, uint32_t count, size_t size)
{
    void *more;

    if (count != 0 && (count & (count - 1)) != 0) {
        return items; /* not a power of two: there is room */
    }
    more = arena_alloc(a, (count == 0 ? 1 : (size_t) count * 2) * size);
    if (count > 0) {
        memcpy(more, items, count * size);
    }
    return more;
}

static int parse_compares(struct parser *p, struct txn_request *txn)
{
    struct compare *items = NULL;
    uint32_t count = 0;

    for (;;) {
        struct bytes line;
        bool more;
        int err = next_line(p, true, &line, &more);

        if (err != OK) {
            return err;
        }
        if (!more) {
            break;
        }
        items = grow(p->arena, items, count, sizeof(*items));
        err = parse_compare(p, line, &items[count]);
        if (err != OK) {
            return err;
        }
        count++;
    }
    txn->compares = items;
    txn->compares_count = count;
    return OK;
}

static int parse_ops(struct parser *p, const struct txn_op **ret_ops, uint32_t *ret_count)
{
    struct txn_op *items = NULL;
    uint32_t count = 0;

    for (;;) {
        struct bytes line;
        bool more;
        int err = next_line(p, false, &line, &more);

        if (err != OK) {
            return err;
        }
        if (!more) {
            break;
        }
        items = grow(p->arena, items, count, sizeof(*items));
        err = parse_op(p, line, &items[count]);
        if (err != OK) {
            return err;
        }
        count++;
    }
    *ret_ops = items;
    *ret_count = count;
    return OK;
}

int cli_txn_parse(struct bytes text, struct arena *a, struct txn_request *ret_txn,
                  struct buf *error)
{
    struct parser p = {.arena = a, .error = error, .rest = text};
    struct txn_request txn = {0};
    int err = parse_compares(&p, &txn);

    if (err == OK) {
        err = parse_ops(&p, &txn.success, &txn.success_count);
    }
    if (err == OK) {
        err = parse_ops(&p, &txn.failure, &txn.failure_count);
    }
    while (err == OK && p.rest.size > 0) {
        struct bytes line;
        bool more;

        err = next_line(&p, false, &line, &more);
        if (err == OK && more) {
            err = fail(&p, "a fourth part; there are compares, success and failure", line);
        }
    }
    if (err != OK) {
        return err;
    }
    *ret_txn = txn;
    return OK;
}

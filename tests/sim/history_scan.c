/*
 * history_scan.c - JSON of one line, token by token. See history_scan.h.
 */
#include "tests/sim/history_scan.h"

#include <string.h>

#include "base/err.h"

enum { DEPTH_MAX = 64 };

int scan_fail(struct scan *s, const char *wrong)
{
    s->wrong = wrong;
    return ERR_MALFORMED;
}

void scan_blanks(struct scan *s)
{
    while (s->at < s->end &&
           (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n')) {
        s->at++;
    }
}

/* The next character behind blanks, '\0' at the end. */
char scan_peek(struct scan *s)
{
    scan_blanks(s);
    return s->at < s->end ? *s->at : '\0';
}

bool scan_take(struct scan *s, char c)
{
    if (scan_peek(s) != c || s->at == s->end) {
        return false;
    }
    s->at++;
    return true;
}

/* The size of the well-formed UTF-8 sequence at `p`, 0 if there is none. */
size_t scan_utf8_size(const uint8_t *p, size_t left)
{
    uint8_t lead = p[0];
    size_t size = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    if (size == 0 || lead > 0xf4 || size > left) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    /* Too long a form, a surrogate, beyond U+10FFFF. */
    if ((lead == 0xe0 && p[1] < 0xa0) || (lead == 0xed && p[1] >= 0xa0) ||
        (lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] >= 0x90)) {
        return 0;
    }
    return size;
}

static size_t utf8_put(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char) c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char) (0xc0 | (c >> 6));
        to[1] = (char) (0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char) (0xe0 | (c >> 12));
        to[1] = (char) (0x80 | ((c >> 6) & 0x3f));
        to[2] = (char) (0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char) (0xf0 | (c >> 18));
    to[1] = (char) (0x80 | ((c >> 12) & 0x3f));
    to[2] = (char) (0x80 | ((c >> 6) & 0x3f));
    to[3] = (char) (0x80 | (c & 0x3f));
    return 4;
}

static int scan_hex4(struct scan *s, uint32_t *ret)
{
    uint32_t value = 0;

    if (s->end - s->at < 4) {
        return scan_fail(s, "four hex digits after \\u");
    }
    for (int i = 0; i < 4; i++) {
        char c = s->at[i];
        uint32_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t) (c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (uint32_t) ((c | 0x20) - 'a') + 10;
        } else {
            return scan_fail(s, "four hex digits after \\u");
        }
        value = value * 16 + digit;
    }
    s->at += 4;
    *ret = value;
    return OK;
}

/* Behind "\u": what it stands for. */
static int scan_unicode(struct scan *s, char out[4], size_t *ret_size)
{
    static const char lone[] = "a pair of surrogates, or a byte as \\udc80 to \\udcff";
    uint32_t c = 0;
    uint32_t low = 0;

    if (scan_hex4(s, &c) != OK) {
        return ERR_MALFORMED;
    }
    if (c >= 0xdc80 && c <= 0xdcff) {
        out[0] = (char) (c - 0xdc00);
        *ret_size = 1;
        return OK;
    }
    if (c >= 0xd800 && c <= 0xdfff) {
        if (c >= 0xdc00 || s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u') {
            return scan_fail(s, lone);
        }
        s->at += 2;
        if (scan_hex4(s, &low) != OK) {
            return ERR_MALFORMED;
        }
        if (low < 0xdc00 || low > 0xdfff) {
            return scan_fail(s, lone);
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    *ret_size = utf8_put(out, c);
    return OK;
}

/* Behind a backslash. */
static int scan_escape(struct scan *s, char out[4], size_t *ret_size)
{
    static const char from[] = "\"\\/bfnrt";
    static const char plain[] = "\"\\/\b\f\n\r\t";
    char c = s->at < s->end ? *s->at : '\0';
    const char *found = c == '\0' ? NULL : strchr(from, c);

    if (c == 'u') {
        s->at++;
        return scan_unicode(s, out, ret_size);
    }
    if (found == NULL) {
        return scan_fail(s, "an escape of JSON after \\");
    }
    s->at++;
    out[0] = plain[found - from];
    *ret_size = 1;
    return OK;
}

/* A string; decoded in place, so that afterwards only what is behind it may be scanned, or only
 * checked, with ret NULL. */
int scan_string(struct scan *s, struct bytes *ret)
{
    char out[4];
    char *text;
    char *to;

    if (!scan_take(s, '"')) {
        return scan_fail(s, "a string");
    }
    text = s->at;
    to = text;
    while (s->at < s->end && *s->at != '"') {
        uint8_t c = (uint8_t) *s->at;
        const char *from = s->at;
        size_t size = 0;
        if (c == '\\') {
            s->at++;
            if (scan_escape(s, out, &size) != OK) {
                return ERR_MALFORMED;
            }
            from = out;
        } else if (c >= 0x20) {
            size = scan_utf8_size((const uint8_t *) s->at, (size_t) (s->end - s->at));
            s->at += size;
        }
        if (size == 0) {
            return scan_fail(s, c < 0x20 ? "an escape instead of a control character"
                                         : "UTF-8 in a string");
        }
        if (ret != NULL) {
            memmove(to, from, size);
        }
        to += size;
    }
    if (s->at == s->end) {
        return scan_fail(s, "the end of a string");
    }
    s->at++;
    if (ret != NULL) {
        *ret = bytes_of(text, (size_t) (to - text));
    }
    return OK;
}

static size_t digits(struct scan *s)
{
    size_t count = 0;

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9') {
        s->at++;
        count++;
    }
    return count;
}

/* A number as its text. */
static int scan_number(struct scan *s, struct bytes *ret_text, bool *ret_integer)
{
    char *text = s->at;
    bool integer = true;

    if (s->at < s->end && *s->at == '-') {
        s->at++;
    }
    bool zero = s->at < s->end && *s->at == '0';
    size_t whole = digits(s);
    if (whole == 0 || (zero && whole > 1)) {
        return scan_fail(s, "a number without leading zeros");
    }
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        integer = false;
        if (digits(s) == 0) {
            return scan_fail(s, "a digit after the point");
        }
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        integer = false;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-')) {
            s->at++;
        }
        if (digits(s) == 0) {
            return scan_fail(s, "a digit in the exponent");
        }
    }
    *ret_text = bytes_of(text, (size_t) (s->at - text));
    *ret_integer = integer;
    return OK;
}

static bool scan_word(struct scan *s, const char *word)
{
    size_t size = strlen(word);

    if ((size_t) (s->end - s->at) < size || memcmp(s->at, word, size) != 0) {
        return false;
    }
    s->at += size;
    return true;
}

/* Anything but an object or an array. */
static int scan_scalar(struct scan *s, struct json *ret)
{
    bool integer = false;
    char c = scan_peek(s);

    if (c == '"') {
        ret->type = JSON_STRING;
        return scan_string(s, &ret->text);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        if (scan_number(s, &ret->text, &integer) != OK) {
            return ERR_MALFORMED;
        }
        ret->type = integer ? JSON_INTEGER : JSON_REAL;
        return OK;
    }
    if (scan_word(s, "null")) {
        ret->type = JSON_NULL;
        return OK;
    }
    ret->type = JSON_BOOL;
    ret->truth = true;
    if (scan_word(s, "true")) {
        return OK;
    }
    ret->truth = false;
    return scan_word(s, "false") ? OK : scan_fail(s, "a value");
}

/* The name and colon in front of a member of an object, undecoded. */
static int skip_name(struct scan *s)
{
    if (scan_string(s, NULL) != OK) {
        return ERR_MALFORMED;
    }
    return scan_take(s, ':') ? OK : scan_fail(s, "':'");
}

/* A scalar, undecoded. */
static int skip_scalar(struct scan *s)
{
    struct json ignored = {.type = JSON_ABSENT};

    return scan_peek(s) == '"' ? scan_string(s, NULL) : scan_scalar(s, &ignored);
}

/* Behind a value: closes what ends here. True when another value follows, its name taken. */
static int skip_behind(struct scan *s, const char *open, uint32_t *depth, bool *ret_more)
{
    *ret_more = false;
    while (*depth > 0) {
        bool object = open[*depth - 1] == '{';
        if (scan_take(s, ',')) {
            *ret_more = true;
            return object ? skip_name(s) : OK;
        }
        if (!scan_take(s, object ? '}' : ']')) {
            return scan_fail(s, object ? "',' or '}'" : "',' or ']'");
        }
        (*depth)--;
    }
    return OK;
}

/* An object or array as it is, undecoded. */
static int scan_tree(struct scan *s, struct bytes *ret)
{
    char open[DEPTH_MAX];
    uint32_t depth = 0;
    bool more = true;
    const char *start;

    scan_blanks(s);
    start = s->at;
    while (more) {
        char c = scan_peek(s);
        if (c == '{' || c == '[') {
            if (depth == DEPTH_MAX) {
                return scan_fail(s, "less than 64 levels of nesting");
            }
            s->at++;
            open[depth++] = c;
            if (scan_peek(s) != (c == '{' ? '}' : ']')) {
                if (c == '{' && skip_name(s) != OK) {
                    return ERR_MALFORMED;
                }
                continue;
            }
            s->at++;
            depth--;
        } else if (skip_scalar(s) != OK) {
            return ERR_MALFORMED;
        }
        if (skip_behind(s, open, &depth, &more) != OK) {
            return ERR_MALFORMED;
        }
    }
    *ret = bytes_of(start, (size_t) (s->at - start));
    return OK;
}

int scan_value(struct scan *s, struct json *ret)
{
    char c = scan_peek(s);

    if (c != '{' && c != '[') {
        return scan_scalar(s, ret);
    }
    ret->type = JSON_TREE;
    return scan_tree(s, &ret->text);
}

/*
 * cli_json.c - see cli_json.h.
 */
#include "kv/cli_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static void put(struct json *j, const void *data, size_t size)
{
    int err = buf_append(j->out, data, size);

    ASSERT(err == OK); /* the buffer has no limit of its own */
}

static void put_str(struct json *j, const char *text)
{
    put(j, text, strlen(text));
}

/* Comma and key before a value. */
static void begin(struct json *j, const char *key)
{
    if (j->comma) {
        put(j, ",", 1);
    }
    j->comma = true;
    if (key != NULL) {
        put(j, "\"", 1);
        put_str(j, key);
        put(j, "\":", 2);
    }
}

void json_object(struct json *j, const char *key)
{
    begin(j, key);
    put(j, "{", 1);
    j->comma = false;
}

void json_array(struct json *j, const char *key)
{
    begin(j, key);
    put(j, "[", 1);
    j->comma = false;
}

void json_end_object(struct json *j)
{
    put(j, "}", 1);
    j->comma = true;
}

void json_end_array(struct json *j)
{
    put(j, "]", 1);
    j->comma = true;
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
    char text[24];

    begin(j, key);
    (void) snprintf(text, sizeof(text), "%" PRIu64, value); /* 20 digits at most */
    put_str(j, text);
}

void json_i64(struct json *j, const char *key, int64_t value)
{
    char text[24];

    begin(j, key);
    (void) snprintf(text, sizeof(text), "%" PRId64, value); /* 20 characters at most */
    put_str(j, text);
}

void json_bool(struct json *j, const char *key, bool value)
{
    begin(j, key);
    put_str(j, value ? "true" : "false");
}

void json_double(struct json *j, const char *key, double value)
{
    char text[32];

    begin(j, key);
    (void) snprintf(text, sizeof(text), "%.9g", value); /* 16 characters at most */
    put_str(j, isfinite(value) ? text : "null");
}

/* Length of the UTF-8 character at the start of `in`, 0 when it is none (RFC 3629, 4). */
static size_t utf8_length(struct bytes in)
{
    static const struct {
        uint8_t mask, bits, length;
    } forms[] = {{0x80, 0x00, 1}, {0xe0, 0xc0, 2}, {0xf0, 0xe0, 3}, {0xf8, 0xf0, 4}};
    uint8_t first = in.data[0];
    size_t i = 0;
    uint8_t low = 0x80;
    uint8_t high = 0xbf;

    while (i < 4 && (first & forms[i].mask) != forms[i].bits) {
        i++;
    }
    if (i == 4 || first == 0xc0 || first == 0xc1 || first > 0xf4 || in.size < forms[i].length) {
        return 0;
    }
    low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : low;
    high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : high;
    for (size_t k = 1; k < forms[i].length; k++) {
        if (in.data[k] < (k == 1 ? low : 0x80) || in.data[k] > (k == 1 ? high : 0xbf)) {
            return 0;
        }
    }
    return forms[i].length;
}

void json_text(struct json *j, const char *key, struct bytes text)
{
    begin(j, key);
    put(j, "\"", 1);
    for (size_t i = 0; i < text.size;) {
        size_t length = utf8_length(bytes_of(text.data + i, text.size - i));
        uint8_t c = text.data[i];
        char escape[8];

        if (length == 0) {
            put_str(j, "\\ufffd");
            length = 1;
        } else if (c == '"' || c == '\\') {
            const char both[2] = {'\\', (char) c};

            put(j, both, 2);
        } else if (c < 0x20 || c == 0x7f) {
            (void) snprintf(escape, sizeof(escape), "\\u%04x", c); /* always 6 characters */
            put_str(j, escape);
        } else {
            put(j, text.data + i, length);
        }
        i += length;
    }
    put(j, "\"", 1);
}

void json_base64(struct json *j, const char *key, struct bytes data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    begin(j, key);
    put(j, "\"", 1);
    for (size_t i = 0; i < data.size; i += 3) {
        uint32_t a = data.data[i];
        uint32_t b = i + 1 < data.size ? data.data[i + 1] : 0;
        uint32_t c = i + 2 < data.size ? data.data[i + 2] : 0;
        uint32_t bits = a << 16 | b << 8 | c;
        const char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
                              i + 1 < data.size ? digits[bits >> 6 & 63] : '=',
                              i + 2 < data.size ? digits[bits & 63] : '='};

        put(j, four, 4);
    }
    put(j, "\"", 1);
}

void json_u64_opt(struct json *j, const char *key, uint64_t value)
{
    if (value != 0) {
        json_u64(j, key, value);
    }
}

void json_i64_opt(struct json *j, const char *key, int64_t value)
{
    if (value != 0) {
        json_i64(j, key, value);
    }
}

void json_bool_opt(struct json *j, const char *key, bool value)
{
    if (value) {
        json_bool(j, key, value);
    }
}

void json_text_opt(struct json *j, const char *key, struct bytes text)
{
    if (text.size > 0) {
        json_text(j, key, text);
    }
}

void json_base64_opt(struct json *j, const char *key, struct bytes data)
{
    if (data.size > 0) {
        json_base64(j, key, data);
    }
}

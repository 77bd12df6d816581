/*
 * hex.c - bytes written as text in tests.
 */

#include "tests/support/hex.h"

#include <ctype.h>

#include "base/assert.h"

static uint8_t hex_digit(char c)
{
    ASSERT(isxdigit((unsigned char) c));
    return (uint8_t) (isdigit((unsigned char) c) ? c - '0' : tolower(c) - 'a' + 10);
}

struct bytes hex_parse(const char *text, struct buf *out)
{
    buf_clear(out);
    while (*text != '\0') {
        if (*text == ' ') {
            text++;
            continue;
        }
        uint8_t high = hex_digit(text[0]);
        uint8_t low = hex_digit(text[1]);
        uint8_t byte = (uint8_t) (high << 4 | low);
        int rc = buf_append(out, &byte, 1);
        ASSERT(rc == OK);
        text += 2;
    }
    return buf_bytes(out);
}

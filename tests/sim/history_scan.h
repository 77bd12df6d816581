/*
 * history_scan.h - a scanner for JSON in memory, one line at a time; for history_json.c.
 *
 * Not jansson, because a history must be exact in what that is not: 64-bit integers without a sign,
 * and values that are no text. Strings are decoded in place, as what an escape stands for is never
 * longer than the escape. RFC 8259 but for one thing: a lone surrogate \udc80..\udcff stands for
 * the byte 0x80..0xff.
 */
#ifndef SYNOD_TESTS_SIM_HISTORY_SCAN_H
#define SYNOD_TESTS_SIM_HISTORY_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

struct scan {
    char *start;
    char *at;
    char *end;
    const char *wrong; /* what was expected at `at`, when something failed; static storage */
};

enum json_type {
    JSON_ABSENT,
    JSON_NULL,
    JSON_BOOL,
    JSON_STRING,
    JSON_INTEGER,
    JSON_REAL,
    JSON_TREE
};

struct json {
    uint8_t type; /* enum json_type */
    bool truth;
    struct bytes text; /* STRING: decoded; numbers and TREE (object, array): as they are */
};

/* Notes what was expected and returns ERR_MALFORMED. */
int scan_fail(struct scan *s, const char *wrong);

void scan_blanks(struct scan *s);

/* The next character behind blanks, '\0' at the end. */
char scan_peek(struct scan *s);

/* Skips blanks, then `c` if it is there. */
bool scan_take(struct scan *s, char c);

/* A string; decoded in place, so that afterwards only what is behind it may be scanned, or only
 * checked, with ret NULL. Errors: ERR_MALFORMED. */
MUST_USE int scan_string(struct scan *s, struct bytes *ret);

/* Any value. Objects and arrays are checked and not decoded. Errors: ERR_MALFORMED. */
MUST_USE int scan_value(struct scan *s, struct json *ret);

/* The size of the well-formed UTF-8 sequence at `p`, 0 if there is none; left > 0. */
size_t scan_utf8_size(const uint8_t *p, size_t left);

#endif

/*
 * history.h - what clients did and what they were answered; in memory, and as JSON lines.
 *
 * One JSON object a line, in any order; empty lines are skipped, fields with other names ignored:
 *
 *     client     string or integer; comes back under a new name after an unknown outcome
 *     op         put | get | cas | del | append | txn
 *     key        string (not txn)
 *     value      put, cas, append: string to write; get: what was read, null = absent
 *     expected   cas: the value it asked for, null = must be absent
 *     ok         cas swapped, get found, del existed, txn wrote
 *     call_ns    integer, one monotonic clock for all clients
 *     return_ns  the same; may be left out when the result is unknown
 *     result     ok | fail | unknown; fail = certainly never applied
 *     reads      txn: object of key and value that was there before, null = absent; may be left out
 *     writes     txn: object of key and new value, null = deleted; may be left out
 *
 * What was answered (value of get, ok) is needed with result ok only. get of a list key gives the
 * elements joined by commas, in order; append to a value `v` makes it `v,element`, to an absent key
 * `element`. A txn reads and writes all its keys at one point in time, reads first; with `ok` false
 * the writes were not done, and what was read holds all the same.
 *
 * Equal times count as overlapping: who knows that a call came after an answer makes them differ.
 * Integers are exact, 0 to 2^64-1. Strings are UTF-8; a byte that is not, as written by
 * history_write, travels as a lone surrogate \udc80..\udcff, as in Python's surrogateescape.
 */
#ifndef SYNOD_TESTS_SIM_HISTORY_H
#define SYNOD_TESTS_SIM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

enum history_kind { HIST_PUT, HIST_GET, HIST_CAS, HIST_DEL, HIST_APPEND, HIST_TXN };
enum history_result { HIST_OK, HIST_FAIL, HIST_UNKNOWN };

enum { HISTORY_LINE_MAX = 1 << 20 };

/* Clients from here on have a name, see history_client. */
#define HISTORY_CLIENT_NAMED (UINT64_C(1) << 63)

/* data NULL: absent. */
struct history_value {
    const char *data; /* not terminated; lives as long as the history */
    uint32_t size;
};

struct history_pair {
    uint32_t key;
    struct history_value value;
};

struct history_op {
    uint64_t client;
    uint8_t kind;   /* enum history_kind */
    uint8_t result; /* enum history_result */
    bool ok;
    uint32_t key;  /* number of its name, see history_key; TXN: not looked at */
    uint32_t line; /* in the file it came from, 0: none */
    struct history_value value;
    struct history_value expected;
    uint64_t call_ns;
    uint64_t return_ns;         /* UNKNOWN: not looked at */
    struct history_pair *reads; /* TXN; live as long as the history */
    struct history_pair *writes;
    uint32_t reads_count;
    uint32_t writes_count;
};

struct history;

struct history *history_new(void);
void history_free(struct history *h);

/* The number of a key's name, from 0; the name of a number. */
uint32_t history_key(struct history *h, const char *name);
uint32_t history_key_bytes(struct history *h, struct bytes name);
const char *history_key_name(const struct history *h, uint32_t key); /* up to a zero byte */
struct bytes history_key_text(const struct history *h, uint32_t key);
uint32_t history_keys(const struct history *h);

/* The number of a client with a name, from HISTORY_CLIENT_NAMED; smaller numbers stand for
 * themselves. `is_string` tells the name "7" from an integer that is too large for that. */
uint64_t history_client(struct history *h, struct bytes name, bool is_string);
/* The name; data NULL: the number is none of history_client's. */
struct bytes history_client_text(const struct history *h, uint64_t client, bool *ret_is_string);

/* Copies of what an operation refers to. data NULL gives absent. */
struct history_value history_value(struct history *h, const void *data, size_t size);
struct history_pair *history_pairs(struct history *h, uint32_t count); /* zeroed */

/* Begins an operation (result UNKNOWN until changed through history_at) and returns its number.
 * What history_at gives is valid until the next history_add. */
uint32_t history_add(struct history *h, const struct history_op *op);
struct history_op *history_at(struct history *h, uint32_t number);
const struct history_op *history_get(const struct history *h, uint32_t number);
uint32_t history_count(const struct history *h);

/* "put", "ok"; "?" for a number that is none. */
const char *history_kind_name(uint8_t kind);
const char *history_result_name(uint8_t result);

/*
 * Whether the history can be one: no operation returns before its call, no client calls while an
 * earlier call of it is open (one with unknown outcome stays open), what is written is there, and
 * an answer does not contradict itself. Errors: ERR_INVALID with one line in `error` that names
 * client, line and remedy.
 */
MUST_USE int history_validate(const struct history *h, struct buf *error);

/* JSON lines. Errors of reading: ERR_MALFORMED with one line in `error`: line number, what is
 * wrong, what is expected; ERR_IO; ERR_LIMIT (more operations than 2^31 or a line beyond 1 MB),
 * also with a line. What is read passes history_validate. */
MUST_USE int history_read(FILE *file, struct history *h, struct buf *error);
MUST_USE int history_write(const struct history *h, FILE *file); /* ERR_IO */

#endif

/*
 * history.h - what clients did and what they were answered; in memory, and as JSON lines.
 *
 * One JSON object a line: `client` (comes back under a new name after an unknown outcome), `op`
 * put|get|cas|del|append|txn, `key`, `value` (get: what was read, null = absent), `expected` (cas;
 * null = must be absent), `ok` (cas swapped, get found, del existed), `call_ns`, `return_ns` (one
 * monotonic clock), `result` ok|fail|unknown (fail = certainly never applied). get of a list key
 * gives the elements joined by commas, in order. txn: `reads` and `writes` are objects of key and
 * value (null = absent, deleted), done at once, reads first; with `ok` false the writes were not
 * done.
 */
#ifndef SYNOD_TESTS_SIM_HISTORY_H
#define SYNOD_TESTS_SIM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum history_kind { HIST_PUT, HIST_GET, HIST_CAS, HIST_DEL, HIST_APPEND, HIST_TXN };
enum history_result { HIST_OK, HIST_FAIL, HIST_UNKNOWN };

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
    uint32_t key;  /* number of its name, see history_key */
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
const char *history_key_name(const struct history *h, uint32_t key);

/* Copies of what an operation refers to. data NULL gives absent. */
struct history_value history_value(struct history *h, const void *data, size_t size);
struct history_pair *history_pairs(struct history *h, uint32_t count); /* zeroed */

/* Begins an operation (result UNKNOWN until changed through history_at) and returns its number. */
uint32_t history_add(struct history *h, const struct history_op *op);
struct history_op *history_at(struct history *h, uint32_t number);
uint32_t history_count(const struct history *h);

/* JSON lines. Errors of reading: ERR_MALFORMED with one line in `error`: line number, what is
 * wrong, what is expected; ERR_IO; ERR_LIMIT (more operations than 2^31 or a line beyond 1 MB). */
MUST_USE int history_read(FILE *file, struct history *h, struct buf *error);
MUST_USE int history_write(const struct history *h, FILE *file); /* ERR_IO */

#endif

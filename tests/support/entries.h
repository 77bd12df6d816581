#ifndef SYNOD_TESTS_SUPPORT_ENTRIES_H
#define SYNOD_TESTS_SUPPORT_ENTRIES_H

/*
 * entries.h - values, entries and log writes for tests of log stores.
 *
 * A value made here is told by its number: entry_number gives it back after a trip to the disk.
 */

#include <stddef.h>
#include <stdint.h>

#include "consensus/message.h"

/* A value with one command whose payload has `size` bytes, at least 8, derived from `number`. The
 * caller owns the reference. Number 0: a no-op. */
struct value *value_numbered(uint64_t number, size_t size);

/* The number of a value, checking all its bytes; UINT64_MAX when they are not as they were made. */
uint64_t value_number(const struct value *value);

/* Adds an entry with such a value to a write. */
void write_entry(struct log_write *w, struct log_pos pos, uint64_t number, size_t size);

/* What SYNOD_SEED adds to the seeds of a test (make soak); 0 when it is not set. */
uint64_t seed_offset(void);

#endif

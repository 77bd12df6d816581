/*
 * table_internal.h - what the forms of a table share: words, and which columns name a row.
 */
#ifndef SYNOD_TESTS_COMPARE_TABLE_INTERNAL_H
#define SYNOD_TESTS_COMPARE_TABLE_INTERNAL_H

#include "base/bytes.h"
#include "tests/compare/table.h"

/* A title may make its column this wide before it is broken. */
enum { TABLE_TITLE_WIDTH = 12 };

/* In columns of a terminal: every character is one. */
uint32_t table_width(struct bytes text);

/* Takes from the front of text the words that fit into width, one at least; empty: none left. */
struct bytes table_take_line(struct bytes *text, uint32_t width);

/* How wide a title is broken: its longest word, TABLE_TITLE_WIDTH at least. */
uint32_t table_title_limit(const char *title);

/* How many leading columns, at least 1, name a row: as many as it takes to tell rows apart, of
 * those that hold no numbers; 1 when even all of them do not. */
uint32_t table_keys(const struct table *t);

#endif

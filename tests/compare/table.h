/*
 * table.h - a table of text cells, each with what makes it again; for terminal, HTML, CSV and JSON.
 */
#ifndef SYNOD_TESTS_COMPARE_TABLE_H
#define SYNOD_TESTS_COMPARE_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"

enum table_tone { TONE_PLAIN, TONE_GOOD, TONE_BAD, TONE_WARN, TONE_QUIET };

struct table_cell {
    char *text;    /* owned */
    char *replay;  /* owned: the command that makes it again; NULL: none */
    char *details; /* owned: distribution and the like, a line; NULL: none */
    double value;  /* for CSV and JSON; NAN: text is all there is */
    uint8_t tone;  /* enum table_tone */
};

struct table_column {
    char *title; /* owned */
    bool right;  /* numbers */
};

struct table {
    char *title; /* owned; NULL: none */
    char *note;  /* owned: below it; NULL: none */
    struct table_column *columns;
    uint32_t columns_count;
    struct table_cell *cells; /* rows * columns, row by row */
    uint32_t rows;
};

/* All strings are copied. Text is UTF-8 of characters one column wide; line ends and other control
 * characters in it are shown as blanks. */
void table_init(struct table *t, const char *title); /* NULL: no title */
void table_release(struct table *t);                 /* then an empty table without title */
void table_column(struct table *t, const char *title, bool right); /* before the first row */
void table_row(struct table *t);                                   /* empty cells */
/* The cell of the last row: text as printf makes it. Returned cell: valid until the next row. */
struct table_cell *table_set(struct table *t, uint32_t column, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void table_replay(struct table_cell *cell, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void table_details(struct table_cell *cell, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void table_note(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Aligned, columns wrapped into blocks when they are wider than `width` (0: no limit); tones as
 * colours when `colour`. A block begins with the first column, and as many columns without numbers
 * behind it as it takes to tell rows apart. */
void table_text(const struct table *t, FILE *out, uint32_t width, bool colour);
/* <table>; details and replay as a tooltip and a <details> that can be read without a mouse: there,
 * a row is named by the columns that a block of text begins with. */
void table_html(const struct table *t, FILE *out);
/* RFC 4180, header first. A finite value as a number, else the text; "-" is an empty field. */
void table_csv(const struct table *t, FILE *out);
/* Array of objects by column title (a title seen before: "title 2"), values as in CSV, "-" is null;
 * "replay" holds the commands of a row by column title. */
void table_json(const struct table *t, FILE *out);

/* Numbers as people read them, of three digits: "1.24 s", "287 ms", "35 µs"; "1,234", "2", "1.98",
 * "0.13". NAN: "-". The same in every locale. */
enum { TABLE_NUMBER_MAX = 32 };
void table_time(double us, char text[TABLE_NUMBER_MAX]);
void table_number(double value, char text[TABLE_NUMBER_MAX]);
/* With this many digits after the point, at most 9: "2.00". */
void table_decimals(double value, uint32_t digits, char text[TABLE_NUMBER_MAX]);

#endif

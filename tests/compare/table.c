/*
 * table.c - what a table holds, and numbers as text. How it is shown: table_text.c, table_html.c,
 * table_data.c.
 */
#include "tests/compare/table.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

static char *copy_or_null(const char *text)
{
    return text == NULL ? NULL : xstrdup(text);
}

static char *format_text(const char *format, va_list args)
{
    char *text = NULL;
    int size = vasprintf(&text, format, args);

    ASSERT(size >= 0);
    return text;
}

void table_init(struct table *t, const char *title)
{
    *t = (struct table){.title = copy_or_null(title)};
}

void table_release(struct table *t)
{
    for (size_t i = 0; i < (size_t) t->rows * t->columns_count; i++) {
        free(t->cells[i].text);
        free(t->cells[i].replay);
        free(t->cells[i].details);
    }
    for (uint32_t c = 0; c < t->columns_count; c++) {
        free(t->columns[c].title);
    }
    free(t->cells);
    free(t->columns);
    free(t->title);
    free(t->note);
    table_init(t, NULL);
}

void table_note(struct table *t, const char *format, ...)
{
    va_list args;

    free(t->note);
    va_start(args, format);
    t->note = format_text(format, args);
    va_end(args);
}

void table_column(struct table *t, const char *title, bool right)
{
    ASSERT(t->rows == 0);
    t->columns = xrealloc(t->columns, (t->columns_count + 1) * sizeof(*t->columns));
    t->columns[t->columns_count] = (struct table_column){.title = xstrdup(title), .right = right};
    t->columns_count++;
}

void table_row(struct table *t)
{
    ASSERT(t->columns_count > 0);
    /* Doubles: a power of two is full. */
    if ((t->rows & (t->rows - 1)) == 0) {
        size_t rows = t->rows == 0 ? 1 : 2 * (size_t) t->rows;

        t->cells = xrealloc(t->cells, rows * t->columns_count * sizeof(*t->cells));
    }
    for (uint32_t c = 0; c < t->columns_count; c++) {
        t->cells[(size_t) t->rows * t->columns_count + c] =
            (struct table_cell){.text = xstrdup(""), .value = NAN};
    }
    t->rows++;
}

struct table_cell *table_set(struct table *t, uint32_t column, const char *format, ...)
{
    struct table_cell *cell;
    va_list args;

    ASSERT(t->rows > 0);
    ASSERT(column < t->columns_count);
    cell = &t->cells[(size_t) (t->rows - 1) * t->columns_count + column];
    free(cell->text);
    va_start(args, format);
    cell->text = format_text(format, args);
    va_end(args);
    return cell;
}

void table_replay(struct table_cell *cell, const char *format, ...)
{
    va_list args;

    free(cell->replay);
    va_start(args, format);
    cell->replay = format_text(format, args);
    va_end(args);
}

void table_details(struct table_cell *cell, const char *format, ...)
{
    va_list args;

    free(cell->details);
    va_start(args, format);
    cell->details = format_text(format, args);
    va_end(args);
}

/* Beyond what has a fixed number of digits. */
static void put_power(double value, char text[TABLE_NUMBER_MAX])
{
    (void) snprintf(text, TABLE_NUMBER_MAX, "%.1e", value);
    for (char *c = text; *c != '\0'; c++) {
        if (*c == ',') {
            *c = '.'; /* of the locale */
        }
    }
}

static bool put_special(double value, char text[TABLE_NUMBER_MAX])
{
    if (isnan(value)) {
        (void) strcpy(text, "-");
    } else if (isinf(value)) {
        (void) strcpy(text, value < 0 ? "-∞" : "∞");
    }
    return !isfinite(value);
}

/* Digits in groups of three, written from the end. A double holds whole numbers up to 9e15. */
void table_decimals(double value, uint32_t digits, char text[TABLE_NUMBER_MAX])
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    char reversed[TABLE_NUMBER_MAX];
    uint32_t used = 0;
    uint64_t scaled;

    ASSERT(digits < ARRAY_SIZE(powers));
    if (put_special(value, text)) {
        return;
    }
    if (fabs(value) * powers[digits] >= 9e15) {
        put_power(value, text);
        return;
    }
    scaled = (uint64_t) round(fabs(value) * powers[digits]);
    if (scaled == 0) {
        value = 0; /* no "-0.00" */
    }
    for (uint32_t place = 0; scaled > 0 || place <= digits; place++) {
        if (place == digits && digits > 0) {
            reversed[used++] = '.';
        }
        if (place > digits && (place - digits) % 3 == 0) {
            reversed[used++] = ',';
        }
        reversed[used++] = (char) ('0' + scaled % 10);
        scaled /= 10;
    }
    if (value < 0) {
        reversed[used++] = '-';
    }
    for (uint32_t i = 0; i < used; i++) {
        text[i] = reversed[used - 1 - i];
    }
    text[used] = '\0';
}

/* For three digits in all, of which rounding may make one more. */
static uint32_t decimals_of(double value)
{
    double size = fabs(value);

    return size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
}

void table_number(double value, char text[TABLE_NUMBER_MAX])
{
    double size = fabs(value);

    if (put_special(value, text)) {
        return;
    }
    if (value == rint(value)) {
        table_decimals(value, 0, text);
    } else if (size >= 0.0995) {
        table_decimals(value, decimals_of(value), text);
    } else if (size >= 0.0001) {
        table_decimals(value, (uint32_t) (1 - (int) floor(log10(size))), text);
    } else {
        put_power(value, text);
    }
}

void table_time(double us, char text[TABLE_NUMBER_MAX])
{
    double size = fabs(us);
    const char *unit = size < 999.5 ? " µs" : size < 999500 ? " ms" : " s";
    double scaled = size < 999.5 ? us : size < 999500 ? us / 1e3 : us / 1e6;

    if (us == 0) {
        (void) strcpy(text, "0 s");
    } else if (!put_special(us, text)) {
        if (size < 999.5) {
            table_number(us, text);
        } else {
            table_decimals(scaled, decimals_of(scaled), text);
        }
        (void) strcat(text, unit);
    }
}

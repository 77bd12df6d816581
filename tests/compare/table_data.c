/*
 * table_data.c - a table for programs: CSV and JSON.
 */
#include "tests/compare/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/cli_json.h"

enum { REAL_MAX = 32 };

/* The shortest decimal that reads as the same value, with a point in every locale. */
static void put_real(FILE *out, double value)
{
    char text[REAL_MAX];
    int precision = 15;

    ASSERT(isfinite(value));
    do {
        (void) snprintf(text, sizeof(text), "%.*g", precision, value);
        precision++;
    } while (precision <= 17 && strtod(text, NULL) != value);
    for (const char *c = text; *c != '\0'; c++) {
        (void) fputc(strchr("0123456789+-e", *c) == NULL ? '.' : *c, out);
    }
}

static const struct table_cell *cell_at(const struct table *t, uint32_t row, uint32_t column)
{
    return &t->cells[(size_t) row * t->columns_count + column];
}

static bool is_nothing(const struct table_cell *cell)
{
    return cell->text[0] == '\0' || strcmp(cell->text, "-") == 0;
}

static void put_field(FILE *out, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        (void) fputs(text, out);
        return;
    }
    (void) fputc('"', out);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"') {
            (void) fputc('"', out);
        }
        (void) fputc(*c, out);
    }
    (void) fputc('"', out);
}

void table_csv(const struct table *t, FILE *out)
{
    for (uint32_t c = 0; c < t->columns_count; c++) {
        (void) fputs(c == 0 ? "" : ",", out);
        put_field(out, t->columns[c].title);
    }
    (void) fputs("\r\n", out);
    for (uint32_t r = 0; r < t->rows; r++) {
        for (uint32_t c = 0; c < t->columns_count; c++) {
            const struct table_cell *cell = cell_at(t, r, c);

            (void) fputs(c == 0 ? "" : ",", out);
            if (isfinite(cell->value)) {
                put_real(out, cell->value);
            } else if (!is_nothing(cell)) {
                put_field(out, cell->text);
            }
        }
        (void) fputs("\r\n", out);
    }
}

static void put_string(FILE *out, const char *text)
{
    struct buf quoted;
    struct json j = {.out = &quoted};

    buf_init(&quoted, SIZE_MAX);
    json_text(&j, NULL, bytes_str(text));
    (void) fwrite(quoted.data, 1, quoted.size, out);
    buf_release(&quoted);
}

/* The title, told from the same one of an earlier column and from the key of commands. */
static void put_key(FILE *out, const struct table *t, uint32_t column)
{
    const char *title = t->columns[column].title;
    uint32_t before = strcmp(title, "replay") == 0 ? 1 : 0;
    char *key = NULL;

    for (uint32_t c = 0; c < column; c++) {
        before += strcmp(t->columns[c].title, title) == 0;
    }
    if (before == 0) {
        put_string(out, title);
    } else {
        int size = asprintf(&key, "%s %u", title, before + 1);

        ASSERT(size > 0);
        put_string(out, key);
        free(key);
    }
    (void) fputc(':', out);
}

static void put_replays(FILE *out, const struct table *t, uint32_t row)
{
    const char *before = ",\"replay\":{";
    bool any = false;

    for (uint32_t c = 0; c < t->columns_count; c++) {
        const struct table_cell *cell = cell_at(t, row, c);

        if (cell->replay != NULL) {
            (void) fputs(any ? "," : before, out);
            put_key(out, t, c);
            put_string(out, cell->replay);
            any = true;
        }
    }
    (void) fputs(any ? "}" : "", out);
}

void table_json(const struct table *t, FILE *out)
{
    (void) fputc('[', out);
    for (uint32_t r = 0; r < t->rows; r++) {
        (void) fputs(r == 0 ? "\n{" : ",\n{", out);
        for (uint32_t c = 0; c < t->columns_count; c++) {
            const struct table_cell *cell = cell_at(t, r, c);

            (void) fputs(c == 0 ? "" : ",", out);
            put_key(out, t, c);
            if (isfinite(cell->value)) {
                put_real(out, cell->value);
            } else if (is_nothing(cell)) {
                (void) fputs("null", out);
            } else {
                put_string(out, cell->text);
            }
        }
        put_replays(out, t, r);
        (void) fputc('}', out);
    }
    (void) fputs(t->rows == 0 ? "]" : "\n]", out);
}

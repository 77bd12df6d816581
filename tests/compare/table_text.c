/*
 * table_text.c - a table for a terminal.
 */
#include "tests/compare/table.h"

#include <stdlib.h>

#include "base/mem.h"
#include "tests/compare/table_internal.h"

/* Columns between columns. */
enum { GAP = 2 };

static const char *const colours[] = {
    [TONE_PLAIN] = NULL, [TONE_GOOD] = "32", [TONE_BAD] = "1;31",
    [TONE_WARN] = "33",  [TONE_QUIET] = "2",
};

static uint32_t lines_of(struct bytes text, uint32_t width)
{
    uint32_t lines = 0;

    while (table_take_line(&text, width).size > 0) {
        lines++;
    }
    return lines;
}

/* Of the lines that text is broken into. */
static uint32_t longest_line(struct bytes text, uint32_t width)
{
    uint32_t longest = 0;

    for (struct bytes line = table_take_line(&text, width); line.size > 0;
         line = table_take_line(&text, width)) {
        longest = (uint32_t) u64_max(longest, table_width(line));
    }
    return longest;
}

static void put_blanks(FILE *out, uint32_t count)
{
    (void) fprintf(out, "%*s", (int) count, "");
}

static void put_plain(FILE *out, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        (void) fputc(text.data[i] < ' ' || text.data[i] == 0x7f ? ' ' : text.data[i], out);
    }
}

static void put_coloured(FILE *out, struct bytes text, const char *colour)
{
    if (colour != NULL && text.size > 0) {
        (void) fprintf(out, "\033[%sm", colour);
    }
    put_plain(out, text);
    if (colour != NULL && text.size > 0) {
        (void) fputs("\033[0m", out);
    }
}

struct layout {
    const struct table *table;
    FILE *out;
    bool colour;
    uint32_t *widths;
    uint32_t keys;       /* columns that every block begins with */
    uint32_t from, to;   /* and those that only this one has */
    uint32_t titles;     /* lines of its titles */
    uint32_t title, row; /* the line, the row being written */
    uint32_t behind;     /* blanks due before the next text of this line */
};

/* Blanks at the end of a line are not written. */
static void put_cell(struct layout *l, uint32_t column, struct bytes text, const char *colour)
{
    uint32_t pad = l->widths[column] - table_width(text);
    bool right = l->table->columns[column].right;

    l->behind += column == 0 ? 0 : GAP;
    l->behind += right ? pad : 0;
    if (text.size > 0) {
        put_blanks(l->out, l->behind);
        l->behind = 0;
        put_coloured(l->out, text, l->colour ? colour : NULL);
    }
    l->behind += right ? 0 : pad;
}

/* A line of the title of a column; titles stand on the line below them. */
static void put_title(struct layout *l, uint32_t column)
{
    struct bytes text = bytes_str(l->table->columns[column].title);
    uint32_t above = l->titles - lines_of(text, l->widths[column]);
    struct bytes line = {.data = NULL, .size = 0};

    for (uint32_t i = above; i <= l->title; i++) {
        line = table_take_line(&text, l->widths[column]);
    }
    put_cell(l, column, line, "1");
}

static void put_rule(struct layout *l, uint32_t column)
{
    put_blanks(l->out, column == 0 ? 0 : GAP);
    for (uint32_t i = 0; i < l->widths[column]; i++) {
        (void) fputc('-', l->out);
    }
}

static void put_value(struct layout *l, uint32_t column)
{
    const struct table *t = l->table;
    const struct table_cell *cell = &t->cells[(size_t) l->row * t->columns_count + column];

    put_cell(l, column, bytes_str(cell->text), colours[cell->tone]);
}

static void count_titles(struct layout *l, uint32_t column)
{
    uint32_t lines = lines_of(bytes_str(l->table->columns[column].title), l->widths[column]);

    l->titles = (uint32_t) u64_max(l->titles, lines);
}

static void each_column(struct layout *l, void (*put)(struct layout *l, uint32_t column))
{
    for (uint32_t c = 0; c < l->keys; c++) {
        put(l, c);
    }
    for (uint32_t c = l->from; c < l->to; c++) {
        put(l, c);
    }
}

static void put_line(struct layout *l, void (*put)(struct layout *l, uint32_t column))
{
    l->behind = 0;
    each_column(l, put);
    (void) fputc('\n', l->out);
}

static void put_block(struct layout *l)
{
    l->titles = 0;
    each_column(l, count_titles);
    for (l->title = 0; l->title < l->titles; l->title++) {
        put_line(l, put_title);
    }
    put_line(l, put_rule);
    for (l->row = 0; l->row < l->table->rows; l->row++) {
        put_line(l, put_value);
    }
}

static void measure(struct layout *l)
{
    const struct table *t = l->table;

    for (uint32_t c = 0; c < t->columns_count; c++) {
        const char *title = t->columns[c].title;
        uint64_t width = longest_line(bytes_str(title), table_title_limit(title));

        for (uint32_t r = 0; r < t->rows; r++) {
            const char *text = t->cells[(size_t) r * t->columns_count + c].text;

            width = u64_max(width, table_width(bytes_str(text)));
        }
        l->widths[c] = (uint32_t) width;
    }
}

/* The column behind the last one that fits; one at least. */
static uint32_t block_end(const struct layout *l, uint32_t width)
{
    uint32_t used = 0;
    uint32_t to = l->from;

    for (uint32_t c = 0; c < l->keys; c++) {
        used += (c == 0 ? 0 : GAP) + l->widths[c];
    }
    while (to < l->table->columns_count &&
           (to == l->from || width == 0 || used + GAP + l->widths[to] <= width)) {
        used += GAP + l->widths[to];
        to++;
    }
    return to;
}

static void put_blocks(struct layout *l, uint32_t width)
{
    l->widths = xcalloc(l->table->columns_count, sizeof(*l->widths));
    l->keys = table_keys(l->table);
    l->to = l->keys;
    measure(l);
    do {
        if (l->to > l->keys) {
            (void) fputc('\n', l->out);
        }
        l->from = l->to;
        l->to = block_end(l, width);
        put_block(l);
    } while (l->to < l->table->columns_count);
    free(l->widths);
}

static void put_words(FILE *out, const char *text, uint32_t width, const char *colour)
{
    struct bytes rest = bytes_str(text);
    uint32_t limit = width == 0 ? UINT32_MAX : width;

    for (struct bytes line = table_take_line(&rest, limit); line.size > 0;
         line = table_take_line(&rest, limit)) {
        put_coloured(out, line, colour);
        (void) fputc('\n', out);
    }
}

void table_text(const struct table *t, FILE *out, uint32_t width, bool colour)
{
    struct layout l = {.table = t, .out = out, .colour = colour};

    if (t->title != NULL) {
        put_words(out, t->title, width, colour ? "1" : NULL);
    }
    if (t->columns_count > 0) {
        put_blocks(&l, width);
    }
    if (t->note != NULL) {
        put_words(out, t->note, width, NULL);
    }
}

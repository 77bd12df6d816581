/*
 * table_text.c - a table for a terminal.
 */
#include "tests/compare/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

/* Columns between columns; a title may make its column this wide before it is broken. */
enum { GAP = 2, TITLE_WIDTH = 12 };

static const char *const colours[] = {
    [TONE_PLAIN] = NULL, [TONE_GOOD] = "32", [TONE_BAD] = "1;31",
    [TONE_WARN] = "33",  [TONE_QUIET] = "2",
};

/* Every character is one column wide; the first byte of each counts. */
static uint32_t width_of(struct bytes text)
{
    uint32_t width = 0;

    for (size_t i = 0; i < text.size; i++) {
        width += (text.data[i] & 0xc0) != 0x80;
    }
    return width;
}

static size_t word_size(struct bytes text)
{
    size_t size = 0;

    while (size < text.size && text.data[size] != ' ') {
        size++;
    }
    return size;
}

static struct bytes without_blanks(struct bytes text)
{
    while (text.size > 0 && text.data[0] == ' ') {
        text.data++;
        text.size--;
    }
    return text;
}

/* Takes from the front of text the words that fit into width, one at least; empty: none left. */
static struct bytes take_line(struct bytes *text, uint32_t width)
{
    struct bytes rest = without_blanks(*text);
    struct bytes line = {.data = rest.data, .size = word_size(rest)};

    while (line.size < rest.size) {
        struct bytes behind = {.data = rest.data + line.size, .size = rest.size - line.size};
        struct bytes next = without_blanks(behind);
        struct bytes longer = {.data = rest.data,
                               .size = (size_t) (next.data - rest.data) + word_size(next)};

        if (next.size == 0 || width_of(longer) > width) {
            break;
        }
        line = longer;
    }
    *text = (struct bytes){.data = rest.data + line.size, .size = rest.size - line.size};
    return line;
}

static uint32_t lines_of(struct bytes text, uint32_t width)
{
    uint32_t lines = 0;

    while (take_line(&text, width).size > 0) {
        lines++;
    }
    return lines;
}

/* Of the lines that text is broken into. */
static uint32_t longest_line(struct bytes text, uint32_t width)
{
    uint32_t longest = 0;

    for (struct bytes line = take_line(&text, width); line.size > 0;
         line = take_line(&text, width)) {
        longest = (uint32_t) u64_max(longest, width_of(line));
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
    uint32_t titles; /* lines of them */
    uint32_t behind; /* blanks due before the next text of this line */
};

/* Blanks at the end of a line are not written. */
static void put_cell(struct layout *l, uint32_t column, struct bytes text, const char *colour)
{
    uint32_t width = width_of(text);
    uint32_t pad = l->widths[column] - width;
    bool right = l->table->columns[column].right;

    l->behind += column == 0 ? 0 : GAP;
    l->behind += right ? pad : 0;
    if (text.size > 0) {
        put_blanks(l->out, l->behind);
        l->behind = 0;
        put_coloured(l->out, text, l->colour ? colour : NULL);
    } else {
        l->behind += right ? 0 : width;
    }
    l->behind += right ? 0 : pad;
}

static void end_line(struct layout *l)
{
    l->behind = 0;
    (void) fputc('\n', l->out);
}

/* Line `number` of the title of a column; titles stand on the line below them. */
static struct bytes title_line(const struct layout *l, uint32_t column, uint32_t number)
{
    struct bytes text = bytes_str(l->table->columns[column].title);
    uint32_t above = l->titles - lines_of(text, l->widths[column]);
    struct bytes line = {.data = NULL, .size = 0};

    if (number < above) {
        return line;
    }
    for (uint32_t i = above; i <= number; i++) {
        line = take_line(&text, l->widths[column]);
    }
    return line;
}

static void put_titles(struct layout *l, uint32_t from, uint32_t to)
{
    for (uint32_t number = 0; number < l->titles; number++) {
        put_cell(l, 0, title_line(l, 0, number), "1");
        for (uint32_t c = from; c < to; c++) {
            put_cell(l, c, title_line(l, c, number), "1");
        }
        end_line(l);
    }
}

static void put_rule(const struct layout *l, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < l->widths[0]; i++) {
        (void) fputc('-', l->out);
    }
    for (uint32_t c = from; c < to; c++) {
        put_blanks(l->out, GAP);
        for (uint32_t i = 0; i < l->widths[c]; i++) {
            (void) fputc('-', l->out);
        }
    }
    (void) fputc('\n', l->out);
}

static void put_text_cell(struct layout *l, uint32_t row, uint32_t column)
{
    const struct table *t = l->table;
    const struct table_cell *cell = &t->cells[(size_t) row * t->columns_count + column];

    put_cell(l, column, bytes_str(cell->text), colours[cell->tone]);
}

/* The first column and [from, to). */
static void put_block(struct layout *l, uint32_t from, uint32_t to)
{
    l->titles = lines_of(bytes_str(l->table->columns[0].title), l->widths[0]);
    for (uint32_t c = from; c < to; c++) {
        uint32_t lines = lines_of(bytes_str(l->table->columns[c].title), l->widths[c]);

        l->titles = (uint32_t) u64_max(l->titles, lines);
    }
    put_titles(l, from, to);
    put_rule(l, from, to);
    for (uint32_t r = 0; r < l->table->rows; r++) {
        put_text_cell(l, r, 0);
        for (uint32_t c = from; c < to; c++) {
            put_text_cell(l, r, c);
        }
        end_line(l);
    }
}

static void measure(struct layout *l)
{
    const struct table *t = l->table;

    for (uint32_t c = 0; c < t->columns_count; c++) {
        struct bytes title = bytes_str(t->columns[c].title);
        uint32_t word = longest_line(title, 0);
        uint64_t width = longest_line(title, (uint32_t) u64_max(word, TITLE_WIDTH));

        for (uint32_t r = 0; r < t->rows; r++) {
            const char *text = t->cells[(size_t) r * t->columns_count + c].text;

            width = u64_max(width, width_of(bytes_str(text)));
        }
        l->widths[c] = (uint32_t) width;
    }
}

/* The column behind the last one that fits; one at least. */
static uint32_t block_end(const struct layout *l, uint32_t from, uint32_t width)
{
    uint32_t used = l->widths[0];
    uint32_t to = from;

    while (to < l->table->columns_count &&
           (to == from || width == 0 || used + GAP + l->widths[to] <= width)) {
        used += GAP + l->widths[to];
        to++;
    }
    return to;
}

static void put_note(FILE *out, const char *note, uint32_t width)
{
    struct bytes rest = bytes_str(note);
    uint32_t limit = width == 0 ? UINT32_MAX : width;

    for (struct bytes line = take_line(&rest, limit); line.size > 0;
         line = take_line(&rest, limit)) {
        put_plain(out, line);
        (void) fputc('\n', out);
    }
}

void table_text(const struct table *t, FILE *out, uint32_t width, bool colour)
{
    struct layout l = {.table = t, .out = out, .colour = colour};
    uint32_t from = 1;

    if (t->title != NULL) {
        put_coloured(out, bytes_str(t->title), colour ? "1" : NULL);
        (void) fputc('\n', out);
    }
    if (t->columns_count > 0) {
        l.widths = xcalloc(t->columns_count, sizeof(*l.widths));
        measure(&l);
        do {
            uint32_t to = block_end(&l, from, width);

            if (from > 1) {
                (void) fputc('\n', out);
            }
            put_block(&l, from, to);
            from = to;
        } while (from < t->columns_count);
        free(l.widths);
    }
    if (t->note != NULL) {
        put_note(out, t->note, width);
    }
}

/*
 * table_words.c - see table_internal.h.
 */
#include "tests/compare/table_internal.h"

#include <string.h>

#include "base/mem.h"

uint32_t table_width(struct bytes text)
{
    uint32_t width = 0;

    /* The first byte of each character counts. */
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

struct bytes table_take_line(struct bytes *text, uint32_t width)
{
    struct bytes rest = without_blanks(*text);
    struct bytes line = {.data = rest.data, .size = word_size(rest)};

    while (line.size < rest.size) {
        struct bytes behind = {.data = rest.data + line.size, .size = rest.size - line.size};
        struct bytes next = without_blanks(behind);
        struct bytes longer = {.data = rest.data,
                               .size = (size_t) (next.data - rest.data) + word_size(next)};

        if (next.size == 0 || table_width(longer) > width) {
            break;
        }
        line = longer;
    }
    *text = (struct bytes){.data = rest.data + line.size, .size = rest.size - line.size};
    return line;
}

uint32_t table_title_limit(const char *title)
{
    struct bytes rest = bytes_str(title);
    uint32_t limit = TABLE_TITLE_WIDTH;

    for (struct bytes word = table_take_line(&rest, 0); word.size > 0;
         word = table_take_line(&rest, 0)) {
        limit = (uint32_t) u64_max(limit, table_width(word));
    }
    return limit;
}

static bool rows_equal(const struct table *t, uint32_t a, uint32_t b, uint32_t columns)
{
    for (uint32_t c = 0; c < columns; c++) {
        const char *left = t->cells[(size_t) a * t->columns_count + c].text;
        const char *right = t->cells[(size_t) b * t->columns_count + c].text;

        if (strcmp(left, right) != 0) {
            return false;
        }
    }
    return true;
}

static bool rows_differ(const struct table *t, uint32_t columns)
{
    for (uint32_t a = 0; a < t->rows; a++) {
        for (uint32_t b = a + 1; b < t->rows; b++) {
            if (rows_equal(t, a, b, columns)) {
                return false;
            }
        }
    }
    return true;
}

uint32_t table_keys(const struct table *t)
{
    uint32_t leading = 1;

    while (leading < t->columns_count && !t->columns[leading].right) {
        leading++;
    }
    for (uint32_t columns = 1; columns <= leading; columns++) {
        if (rows_differ(t, columns)) {
            return columns;
        }
    }
    return 1;
}

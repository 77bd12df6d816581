/*
 * table_html.c - a table for a page: it scrolls in a box of its own, and what a tooltip says of its
 * cells stands below it too, folded.
 */
#include "tests/compare/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/compare/page.h"
#include "tests/compare/table_internal.h"

static const char *const tones[] = {
    [TONE_PLAIN] = "",    [TONE_GOOD] = "good",   [TONE_BAD] = "bad",
    [TONE_WARN] = "warn", [TONE_QUIET] = "quiet",
};

static const struct table_cell *cell_at(const struct table *t, uint32_t row, uint32_t column)
{
    return &t->cells[(size_t) row * t->columns_count + column];
}

static bool says_more(const struct table_cell *cell)
{
    return cell->replay != NULL || cell->details != NULL;
}

static void put_class(FILE *out, bool right, uint8_t tone)
{
    const char *name = tones[tone];

    if (right || name[0] != '\0') {
        (void) fprintf(out, " class=\"%s%s%s\"", right ? "n" : "",
                       right && name[0] != '\0' ? " " : "", name);
    }
}

static void put_tooltip(FILE *out, const struct table_cell *cell)
{
    if (!says_more(cell)) {
        return;
    }
    (void) fputs(" title=\"", out);
    if (cell->details != NULL) {
        page_escape(out, cell->details);
    }
    if (cell->details != NULL && cell->replay != NULL) {
        (void) fputs("&#10;", out);
    }
    if (cell->replay != NULL) {
        page_escape(out, cell->replay);
    }
    (void) fputc('"', out);
}

static void put_row(const struct table *t, FILE *out, uint32_t row)
{
    (void) fputs("<tr>", out);
    for (uint32_t c = 0; c < t->columns_count; c++) {
        const struct table_cell *cell = cell_at(t, row, c);

        ASSERT(cell->tone <= TONE_QUIET);
        (void) fputs(c == 0 ? "<th scope=\"row\"" : "<td", out);
        put_class(out, t->columns[c].right, cell->tone);
        put_tooltip(out, cell);
        (void) fputc('>', out);
        page_escape(out, cell->text);
        (void) fputs(c == 0 ? "</th>" : "</td>", out);
    }
    (void) fputs("</tr>\n", out);
}

/* Broken as in text: a browser would break a table that is too wide at every word. */
static void put_title(FILE *out, const char *title)
{
    struct bytes rest = bytes_str(title);
    uint32_t limit = table_title_limit(title);
    bool first = true;

    for (struct bytes line = table_take_line(&rest, limit); line.size > 0;
         line = table_take_line(&rest, limit)) {
        char *text = xcalloc(1, line.size + 1);

        memcpy(text, line.data, line.size);
        (void) fputs(first ? "" : "<br>", out);
        page_escape(out, text);
        free(text);
        first = false;
    }
}

static void put_head(const struct table *t, FILE *out)
{
    (void) fputs("<thead><tr>", out);
    for (uint32_t c = 0; c < t->columns_count; c++) {
        (void) fputs("<th scope=\"col\"", out);
        put_class(out, t->columns[c].right, TONE_PLAIN);
        (void) fputc('>', out);
        put_title(out, t->columns[c].title);
        (void) fputs("</th>", out);
    }
    (void) fputs("</tr></thead>\n", out);
}

static void put_row_name(const struct table *t, FILE *out, uint32_t row)
{
    uint32_t keys = table_keys(t);

    for (uint32_t c = 0; c < keys; c++) {
        (void) fputs(c > 0 ? ", " : "", out);
        page_escape(out, cell_at(t, row, c)->text);
    }
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Neighbours of which the same is said share a line. Returns the column behind them. */
static uint32_t put_item_line(const struct table *t, FILE *out, uint32_t row, uint32_t column)
{
    const struct table_cell *first = cell_at(t, row, column);
    uint32_t c = column;

    (void) fputs("<span>", out);
    do {
        (void) fputs(c == column ? "" : ", ", out);
        page_escape(out, t->columns[c].title);
        (void) fputs(": ", out);
        page_escape(out, cell_at(t, row, c)->text);
        c++;
    } while (c < t->columns_count && same_text(cell_at(t, row, c)->replay, first->replay) &&
             same_text(cell_at(t, row, c)->details, first->details));
    if (first->details != NULL) {
        (void) fputs(" <span class=\"details\">", out);
        page_escape(out, first->details);
        (void) fputs("</span>", out);
    }
    (void) fputs("</span>", out);
    return c;
}

/* Neighbours in a row that have the same command share it. Returns the column behind them. */
static uint32_t put_item(const struct table *t, FILE *out, uint32_t row, uint32_t column)
{
    const char *replay = cell_at(t, row, column)->replay;
    uint32_t c = column;

    (void) fputs("<dd>", out);
    do {
        c = put_item_line(t, out, row, c);
    } while (c < t->columns_count && says_more(cell_at(t, row, c)) &&
             same_text(cell_at(t, row, c)->replay, replay));
    if (replay != NULL) {
        (void) fputs("<code>", out);
        page_escape(out, replay);
        (void) fputs("</code>", out);
    }
    (void) fputs("</dd>\n", out);
    return c;
}

static void put_row_items(const struct table *t, FILE *out, uint32_t row)
{
    uint32_t c = 0;
    bool named = false;

    while (c < t->columns_count) {
        if (!says_more(cell_at(t, row, c))) {
            c++;
            continue;
        }
        if (!named) {
            (void) fputs("<dt>", out);
            put_row_name(t, out, row);
            (void) fputs("</dt>", out);
            named = true;
        }
        c = put_item(t, out, row, c);
    }
}

static void put_items(const struct table *t, FILE *out)
{
    bool replays = false;
    bool any = false;

    for (size_t i = 0; i < (size_t) t->rows * t->columns_count; i++) {
        any = any || says_more(&t->cells[i]);
        replays = replays || t->cells[i].replay != NULL;
    }
    if (!any) {
        return;
    }
    (void) fprintf(out, "<details class=\"more\"><summary>%s</summary>\n<dl>\n",
                   replays ? "Commands that make these numbers again" : "More on these numbers");
    for (uint32_t r = 0; r < t->rows; r++) {
        put_row_items(t, out, r);
    }
    (void) fputs("</dl></details>\n", out);
}

void table_html(const struct table *t, FILE *out)
{
    (void) fputs("<div class=\"table\">\n<div class=\"scroll\" tabindex=\"0\"", out);
    if (t->title != NULL) {
        (void) fputs(" role=\"region\" aria-label=\"", out);
        page_escape(out, t->title);
        (void) fputc('"', out);
    }
    (void) fputs(">\n<table>\n", out);
    if (t->title != NULL) {
        (void) fputs("<caption><span>", out);
        page_escape(out, t->title);
        (void) fputs("</span></caption>\n", out);
    }
    put_head(t, out);
    (void) fputs("<tbody>\n", out);
    for (uint32_t r = 0; r < t->rows; r++) {
        put_row(t, out, r);
    }
    (void) fputs("</tbody>\n</table>\n</div>\n", out);
    if (t->note != NULL) {
        (void) fputs("<p class=\"note\">", out);
        page_prose(out, t->note);
        (void) fputs("</p>\n", out);
    }
    put_items(t, out);
    (void) fputs("</div>\n", out);
}

/*
 * page.c - the parts of a page; see page.h. Its looks are in page_style.c.
 */
#include "tests/compare/page.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/compare/table.h"

static void put_character(FILE *out, char c)
{
    switch (c) {
    case '<':
        (void) fputs("&lt;", out);
        break;
    case '>':
        (void) fputs("&gt;", out);
        break;
    case '&':
        (void) fputs("&amp;", out);
        break;
    case '"':
        (void) fputs("&quot;", out);
        break;
    default:
        /* Control characters are not HTML; the lines of a <pre> stay. */
        (void) fputc(((unsigned char) c < ' ' && c != '\n') || c == 0x7f ? ' ' : c, out);
        break;
    }
}

void page_escape(FILE *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        put_character(out, *c);
    }
}

static bool is_unit(const char *text)
{
    static const char *const units[] = {"%", "s",   "ms",  "µs",    "us",
                                        "B", "KiB", "MiB", "bytes", "min"};

    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        size_t size = strlen(units[i]);

        if (strncmp(text, units[i], size) == 0 && !isalnum((unsigned char) text[size])) {
            return true;
        }
    }
    return false;
}

void page_prose(FILE *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == ' ' && c > text && isdigit((unsigned char) c[-1]) && is_unit(&c[1])) {
            (void) fputs("&nbsp;", out);
        } else {
            put_character(out, *c);
        }
    }
}

static void put_element(FILE *out, const char *before, const char *text, const char *after)
{
    (void) fputs(before, out);
    page_escape(out, text);
    (void) fputs(after, out);
}

void page_begin(FILE *out, const char *title, const char *lead)
{
    (void) fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                 "<meta name=\"color-scheme\" content=\"light dark\">\n"
                 "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                 "style-src 'unsafe-inline'; img-src data:\">\n"
                 "<link rel=\"icon\" href=\"data:,\">\n",
                 out);
    put_element(out, "<title>", title, "</title>\n<style>\n");
    for (const char *const *part = page_style; *part != NULL; part++) {
        (void) fputs(*part, out);
    }
    put_element(out, "</style>\n</head>\n<body>\n<header>\n<h1>", title, "</h1>\n");
    if (lead != NULL) {
        (void) fputs("<p class=\"lead\">", out);
        page_prose(out, lead);
        (void) fputs("</p>\n", out);
    }
    (void) fputs("</header>\n<main>\n", out);
}

void page_end(FILE *out)
{
    (void) fputs("</main>\n</body>\n</html>\n", out);
}

void page_section(FILE *out, const char *id, const char *title, const char *text)
{
    put_element(out, "<section id=\"", id, "\">\n");
    put_element(out, "<h2><a href=\"#", id, "\">");
    put_element(out, "", title, "</a></h2>\n");
    if (text != NULL) {
        page_paragraph(out, text);
    }
}

void page_section_end(FILE *out)
{
    (void) fputs("</section>\n", out);
}

void page_heading(FILE *out, const char *title)
{
    put_element(out, "<h3>", title, "</h3>\n");
}

void page_contents(FILE *out, const char *const *ids_and_titles)
{
    (void) fputs("<nav aria-label=\"Contents\">\n<ul>\n", out);
    for (const char *const *item = ids_and_titles; *item != NULL; item += 2) {
        ASSERT(item[1] != NULL);
        put_element(out, "<li><a href=\"#", item[0], "\">");
        put_element(out, "", item[1], "</a></li>\n");
    }
    (void) fputs("</ul>\n</nav>\n", out);
}

void page_paragraph(FILE *out, const char *text)
{
    (void) fputs("<p>", out);
    page_prose(out, text);
    (void) fputs("</p>\n", out);
}

void page_command(FILE *out, const char *command)
{
    put_element(out, "<pre class=\"command\" tabindex=\"0\"><code>", command, "</code></pre>\n");
}

void page_badge(FILE *out, const char *text, int tone)
{
    static const char *const tones[] = {
        [TONE_PLAIN] = "plain", [TONE_GOOD] = "good",   [TONE_BAD] = "bad",
        [TONE_WARN] = "warn",   [TONE_QUIET] = "quiet",
    };

    ASSERT(tone >= 0);
    ASSERT((size_t) tone < ARRAY_SIZE(tones));
    (void) fprintf(out, "<span class=\"badge %s\">", tones[tone]);
    put_element(out, "", text, "</span>\n");
}

void page_fold(FILE *out, const char *title)
{
    put_element(out, "<details class=\"fold\"><summary>", title, "</summary>\n<div>\n");
}

void page_fold_end(FILE *out)
{
    (void) fputs("</div>\n</details>\n", out);
}

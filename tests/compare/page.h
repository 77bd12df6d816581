/*
 * page.h - one self-contained HTML page: no scripts needed to read it, no network, light and dark.
 *
 *     page_begin(f, "Synod: three engines, one verdict", "lead paragraph");
 *     page_section(f, "id", "Title", "text");  table_html(...)  plot_svg(...)  page_section_end(f)
 *     page_end(f);
 *
 * Text is escaped here, markup comes from these functions only.
 */
#ifndef SYNOD_TESTS_COMPARE_PAGE_H
#define SYNOD_TESTS_COMPARE_PAGE_H

#include <stdio.h>

void page_begin(FILE *out, const char *title, const char *lead); /* lead: NULL: none */
void page_end(FILE *out);

/* A section with an anchor, listed by page_contents; its id is a word of HTML. text: NULL: none. */
void page_section(FILE *out, const char *id, const char *title, const char *text);
void page_section_end(FILE *out);

/* A heading within a section. */
void page_heading(FILE *out, const char *title);

/* A list of links to sections: pairs of id and title, NULL at the end. */
void page_contents(FILE *out, const char *const *ids_and_titles);

void page_paragraph(FILE *out, const char *text);
void page_command(FILE *out, const char *command);      /* as code, to be copied */
void page_badge(FILE *out, const char *text, int tone); /* enum table_tone: "green 200/200" */

/* A fold that is closed at first. */
void page_fold(FILE *out, const char *title);
void page_fold_end(FILE *out);

/* Text as HTML and XML want it, in elements and attributes. Control characters become blanks. */
void page_escape(FILE *out, const char *text);
/* The same in sentences: a number keeps its unit on its line. Not for what is copied. */
void page_prose(FILE *out, const char *text);

/* What <style> holds. Plots and tables of this page rely on its classes and variables. */
extern const char *const page_style[]; /* NULL at the end */

#endif

/*
 * diagram_page.h - the page around a diagram, for diagram_html.c.
 */
#ifndef SYNOD_TESTS_SIM_DIAGRAM_PAGE_H
#define SYNOD_TESTS_SIM_DIAGRAM_PAGE_H

#include "tests/sim/diagram.h"

/* Everything up to the drawing, and from its end on. Errors are asked of `out`. */
void diagram_page_begin(const struct diagram *d, FILE *out);
void diagram_page_end(const struct diagram *d, FILE *out);

#endif

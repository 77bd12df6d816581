/*
 * compare_table.h - the tables of a comparison, for terminal and page alike.
 */
#ifndef SYNOD_TESTS_COMPARE_COMPARE_TABLE_H
#define SYNOD_TESTS_COMPARE_COMPARE_TABLE_H

#include "tests/compare/compare.h"
#include "tests/compare/table.h"

/* A row for each engine: verdict and all measures as medians over the trials, with their
 * distribution as details and the command as replay. Release it. */
void compare_table_script(const struct comparison *c, uint32_t script, struct table *t);

/* The same numbers with a row for each measure and a column for each engine: fits a page. */
void compare_table_measures(const struct comparison *c, uint32_t script, struct table *t);

/* A row for each script: verdict and median down-time of each engine. Release it. */
void compare_table_overview(const struct comparison *c, struct table *t);

#endif

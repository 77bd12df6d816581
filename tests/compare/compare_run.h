/*
 * compare_run.h - single runs and scripts on the page of a comparison.
 */
#ifndef SYNOD_TESTS_COMPARE_COMPARE_RUN_H
#define SYNOD_TESTS_COMPARE_COMPARE_RUN_H

#include "tests/compare/compare.h"

/* Makes the trial again and writes its space-time diagram, as a frame of its own. */
void compare_run_diagram(const struct compare_cell *cell, const struct measured *m, FILE *out);

/* The text of the script. */
void compare_run_script(const struct compare_script *script, FILE *out);

#endif

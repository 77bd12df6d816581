/*
 * compare_real.c - a trial of a comparison on real processes.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/compare/compare.h"
#include "tests/real/real.h"

enum { ERROR_MAX = 600 };

static void skip(struct record *record, const struct buf *error)
{
    record->skipped = true;
    (void) snprintf(record->text, sizeof record->text, "%.*s", (int) error->size,
                    (const char *) error->data);
}

void compare_trial_real(const struct scenario *scenario, bool netns, struct measured *ret_measured)
{
    struct real_options options;
    struct record record;
    struct buf error;
    real_options_init(&options);
    options.netns = netns;
    buf_init(&error, ERROR_MAX);
    record_init(&record, scenario, true);
    int err = real_supports(scenario, &options, &error);
    if (err == OK) {
        err = real_execute(scenario, &options, &record, &error);
    }
    if (err == ERR_UNSUPPORTED) {
        skip(&record, &error);
    } else if (err != OK) {
        record_fail(&record, "", "could not be run: %.*s", (int) error.size,
                    (const char *) error.data);
    }
    measure_record(&record, ret_measured);
    measure_missing(scenario, &record, ret_measured);
    if (netns) { /* its links count no bytes */
        ret_measured->values[MEASURE_BYTES] = NAN;
    }
    record_release(&record);
    buf_release(&error);
}

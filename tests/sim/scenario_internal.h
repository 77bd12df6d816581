/*
 * scenario_internal.h - what parser, printer and checker of scenarios share: the tables of words.
 */
#ifndef SYNOD_TESTS_SIM_SCENARIO_INTERNAL_H
#define SYNOD_TESTS_SIM_SCENARIO_INTERNAL_H

#include "tests/sim/scenario.h"

enum {
    SCENARIO_TEXT_MAX = 1 << 20, /* bytes of a scenario as text */
    SCENARIO_ERROR_MAX = 1024,   /* bytes of an error line */
    SCENARIO_SHORT_MAX = 64,     /* bytes of a number as text */
};

/* How operands are written: see SIM_STEP_MAP. */
enum step_form {
    FORM_NONE,
    FORM_NODE,
    FORM_NODE_FOR,
    FORM_NODE_TURN,
    FORM_LINK,
    FORM_LINK_FOR,
    FORM_QUALITY,
    FORM_GROUPS,
    FORM_DISK,
    FORM_DISK_FACTOR,
    FORM_DISK_TIME,
    FORM_DISK_FOR,
    FORM_DISK_CALL,
    FORM_DISK_FILE,
    FORM_CLOCK_TIME,
    FORM_CLOCK_PPM,
};

/* The line begins with it; the words of FAMILY_NODE follow the time at once. */
enum step_family { FAMILY_NODE, FAMILY_DISK, FAMILY_CLOCK };

/* What follows the words of a condition: see SIM_WHEN_MAP. */
enum when_operand { OPERAND_NONE, OPERAND_TIME, OPERAND_NODE, OPERAND_COUNT };

enum option_unit { UNIT_TIME, UNIT_COUNT, UNIT_BYTES, UNIT_FLAG };

const char *scenario_step_word(uint32_t kind);
enum step_form scenario_step_form(uint32_t kind);
enum step_family scenario_step_family(uint32_t kind);

/* Does the step that ends one of this kind come by itself after `for`? And is `for` one of its
 * operands, so that it always has one? */
bool scenario_step_ends(uint8_t kind);
bool scenario_step_lasts(uint8_t kind);

const char *scenario_when_words(uint8_t kind);
enum when_operand scenario_when_operand(uint8_t kind);

const char *scenario_option_name(uint32_t option);
enum option_unit scenario_option_unit(uint32_t option);

const char *scenario_op_name(uint32_t op);

const char *scenario_file_name(uint32_t file); /* NULL: none */
const char *scenario_call_name(uint32_t call); /* NULL: none */

/* Numbers as text, the shortest that is exact. */
void scenario_duration_text(uint64_t us, char out[SCENARIO_SHORT_MAX]);
void scenario_size_text(uint64_t bytes, char out[SCENARIO_SHORT_MAX]);
void scenario_option_text(uint32_t option, uint64_t value, char out[SCENARIO_SHORT_MAX]);
void scenario_share_text(uint32_t permyriad, char out[SCENARIO_SHORT_MAX]);

/* Gives the line to whoever asked, cut to what there is room for; always ERR_INVALID. */
MUST_USE int scenario_error(struct buf *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif

/*
 * err.c - names and texts of the error codes, made from the table in err.h.
 */

#include "base/err.h"

#include "base/assert.h"

/* err_is_fatal is one comparison, so every code of the table must stand on the right side. */
#define ERR_CHECK_SIDE(name, value, text)                                                          \
    STATIC_ASSERT((value) < 0 && (value) != ERR_FATAL, "codes are negative, ERR_FATAL is a border");
ERR_MAP(ERR_CHECK_SIDE)

const char *err_name(int err)
{
    switch (err) {
    case OK:
        return "OK";
#define ERR_CASE_NAME(name, value, text)                                                           \
    case name:                                                                                     \
        return #name;
        ERR_MAP(ERR_CASE_NAME)
    default:
        return "ERR_UNKNOWN";
    }
}

const char *err_text(int err)
{
    switch (err) {
    case OK:
        return "ok";
#define ERR_CASE_TEXT(name, value, text)                                                           \
    case name:                                                                                     \
        return text;
        ERR_MAP(ERR_CASE_TEXT)
    default:
        return "unknown error";
    }
}

bool err_is_fatal(int err)
{
    return err < ERR_FATAL;
}

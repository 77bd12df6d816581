/*
 * page_style.c - how a page looks.
 */
#include "tests/compare/page.h"

#include <stddef.h>

const char *const page_style[] = {
    ":root{--bg:#fff;--ink:#1c2128}\n",
    NULL,
};

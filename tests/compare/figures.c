/*
 * figures.c - the table of figures. A new one is a file figure_NAME.c and a line here.
 */
#include <string.h>

#include "base/mem.h"
#include "tests/compare/figure.h"

extern const struct figure_ops figure_e1;
extern const struct figure_ops figure_e2;
extern const struct figure_ops figure_e3;
extern const struct figure_ops figure_e4;
extern const struct figure_ops figure_e8;
extern const struct figure_ops figure_e9;
extern const struct figure_ops figure_e10;

static const struct figure_ops *const FIGURES[] = {
    &figure_e1, &figure_e2, &figure_e3, &figure_e4, &figure_e8, &figure_e9, &figure_e10,
};

const struct figure_ops *figure_at(uint32_t i)
{
    return i < ARRAY_SIZE(FIGURES) ? FIGURES[i] : NULL;
}

const struct figure_ops *figure_by_name(const char *name)
{
    for (uint32_t i = 0; figure_at(i) != NULL; i++) {
        if (strcmp(figure_at(i)->name, name) == 0) {
            return figure_at(i);
        }
    }
    return NULL;
}

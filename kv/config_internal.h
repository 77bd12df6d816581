#ifndef SYNOD_KV_CONFIG_INTERNAL_H
#define SYNOD_KV_CONFIG_INTERNAL_H

/*
 * config_internal.h - what the parts of the configuration share: the file as a flat list of items
 * (config_yaml.c), reading values (config_value.c), rules between values (config_check.c).
 */

#include "kv/config.h"

/* Where an error is reported: "file:line: ". */
struct config_source {
    const char *file;
    struct buf *error; /* NULL: nobody wants to know */
};

/* What the file says, in order. section: {key: value} is a SECTION and a VALUE; section: {key:
 * [{field: value}, ...]} a SECTION and for each element of the list an ELEMENT and its VALUEs. */
enum config_item_kind { CONFIG_ITEM_SECTION, CONFIG_ITEM_ELEMENT, CONFIG_ITEM_VALUE };

struct config_item {
    enum config_item_kind kind;
    uint32_t line;
    const char *section;
    const char *key;
    uint32_t element;  /* in the list of the key, from 0 */
    const char *field; /* NULL: not in a list */
    const char *value;
};

enum {
    CONFIG_ITEMS_MAX = 4096,
    CONFIG_WORD_MAX = 255, /* characters of a key, name, host */
};

/* Replaces the error's text by "file:line: message" (line 0: without) and returns ERR_INVALID. */
MUST_USE int config_fail(const struct config_source *s, uint32_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Makes the list of all that a YAML text says, each place at most once; in the arena.
 * Errors: ERR_INVALID. */
MUST_USE int config_yaml_read(const struct config_source *s, struct bytes text, struct arena *a,
                              const struct config_item **ret_items, uint32_t *ret_count);

/* Reads a number of this type. Errors: ERR_INVALID (not such a number, or above UINT64_MAX). */
MUST_USE int config_value_parse(enum config_type type, const char *text, uint64_t *ret_number);

/* Writes a number as a person would: "64MiB", "500ms". Returns `out`. */
const char *config_value_format(enum config_type type, uint64_t number, char out[32]);

/* The shape a value of this type has, for errors: "a duration such as 250ms or 2s". */
const char *config_type_shape(enum config_type type);

/* Splits host:port, [v6]:port; the host is put into the arena. Errors: ERR_INVALID. */
MUST_USE int config_address_parse(const char *text, struct arena *a,
                                  struct config_address *ret_address);

/* Whether `text` can name a cluster or a member, and so a directory. */
bool config_name_valid(const char *text);

/* Keeps the best of the names shown to it for a word that was mistyped. */
struct config_guess {
    const char *word;
    const char *best; /* NULL: nothing is near */
    uint32_t distance;
};

void config_guess_init(struct config_guess *g, const char *word);
void config_guess_add(struct config_guess *g, const char *name);

/* Checks what holds between values. Errors: ERR_INVALID. */
MUST_USE int config_check(const struct config_source *s, const struct config *c);

/* The row of a key, or UINT32_MAX. */
uint32_t config_key_find(const char *section, const char *key);

/* The number or flag at a row. */
uint64_t config_number(const struct config *c, uint32_t row);

#endif

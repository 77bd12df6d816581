/*
 * config_value.c - values as text: numbers with units, addresses, names, and guessing what a
 * mistyped word was meant to be.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/config_internal.h"

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* The largest first, as they are tried in writing; the empty suffix is the plain number. */
static const struct unit DURATION_UNITS[] = {
    {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {"", 1}, {NULL, 0},
};
static const struct unit SIZE_UNITS[] = {
    {"GiB", CONFIG_GIB}, {"MiB", CONFIG_MIB}, {"KiB", CONFIG_KIB}, {"", 1},
    {"GB", 1000000000},  {"MB", 1000000},     {"KB", 1000},        {"B", 1},
    {NULL, 0},
};
static const struct unit NO_UNITS[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(enum config_type type)
{
    switch (type) {
    case CONFIG_DURATION:
        return DURATION_UNITS;
    case CONFIG_SIZE:
        return SIZE_UNITS;
    case CONFIG_COUNT:
    case CONFIG_ID:
    case CONFIG_BOOL:
    case CONFIG_TEXT:
        return NO_UNITS;
    }
    UNREACHABLE();
}

const char *config_type_shape(enum config_type type)
{
    switch (type) {
    case CONFIG_DURATION:
        return "a duration such as 250ms or 2s";
    case CONFIG_SIZE:
        return "a size such as 65536, 64KiB or 1MiB";
    case CONFIG_COUNT:
        return "a whole number";
    case CONFIG_ID:
        return "a number such as 17 or 0x11";
    case CONFIG_BOOL:
        return "true or false";
    case CONFIG_TEXT:
        return "a text";
    }
    UNREACHABLE();
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* Reads the digits at `text`; *ret_rest is what follows them. Errors: ERR_INVALID (none, or above
 * UINT64_MAX). */
static int digits_parse(const char *text, uint32_t base, const char **ret_rest,
                        uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *p = text;
    while ((uint32_t) digit_of(*p) < base) {
        uint64_t digit = (uint64_t) digit_of(*p);
        if (number > (UINT64_MAX - digit) / base) {
            return ERR_INVALID;
        }
        number = number * base + digit;
        p++;
    }
    if (p == text) {
        return ERR_INVALID;
    }
    *ret_rest = p;
    *ret_number = number;
    return OK;
}

int config_value_parse(enum config_type type, const char *text, uint64_t *ret_number)
{
    if (type == CONFIG_BOOL) {
        bool yes = strcmp(text, "true") == 0;
        if (!yes && strcmp(text, "false") != 0) {
            return ERR_INVALID;
        }
        *ret_number = yes;
        return OK;
    }
    bool hex = type == CONFIG_ID && strncmp(text, "0x", 2) == 0;
    const char *rest;
    uint64_t number;
    int rc = digits_parse(hex ? text + 2 : text, hex ? 16 : 10, &rest, &number);
    if (rc != OK) {
        return rc;
    }
    while (*rest == ' ') {
        rest++;
    }
    for (const struct unit *u = units_of(type); u->suffix != NULL; u++) {
        if (strcmp(u->suffix, rest) == 0) {
            if (number > UINT64_MAX / u->factor) {
                return ERR_INVALID;
            }
            *ret_number = number * u->factor;
            return OK;
        }
    }
    return ERR_INVALID;
}

const char *config_value_format(enum config_type type, uint64_t number, char out[32])
{
    if (type == CONFIG_BOOL) {
        (void) snprintf(out, 32, "%s", number != 0 ? "true" : "false");
        return out;
    }
    const struct unit *u = units_of(type);
    /* Zero is zero in the smallest unit that is written. */
    while (u->factor > 1 && (number == 0 || number % u->factor != 0)) {
        u++;
    }
    (void) snprintf(out, 32, "%" PRIu64 "%s", number / u->factor, u->suffix);
    return out;
}

int config_address_parse(const char *text, struct arena *a, struct config_address *ret_address)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL) {
        return ERR_INVALID;
    }
    struct bytes host = bytes_of(text, (size_t) (colon - text));
    if (host.size >= 2 && host.data[0] == '[' && host.data[host.size - 1] == ']') {
        host = bytes_of(host.data + 1, host.size - 2);
    } else if (host.size > 0 && memchr(host.data, ':', host.size) != NULL) {
        return ERR_INVALID; /* an IPv6 address needs its brackets: which colon is the port's? */
    }
    if (host.size == 0 || host.size > CONFIG_WORD_MAX) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < host.size; i++) {
        if (host.data[i] <= ' ' || host.data[i] == '/' || host.data[i] == '[' ||
            host.data[i] == ']') {
            return ERR_INVALID;
        }
    }
    const char *rest;
    uint64_t port;
    int rc = digits_parse(colon + 1, 10, &rest, &port);
    if (rc != OK || *rest != '\0' || port == 0 || port > UINT16_MAX) {
        return ERR_INVALID;
    }
    char *copy = arena_alloc(a, host.size + 1);
    memcpy(copy, host.data, host.size);
    copy[host.size] = '\0';
    ret_address->host = copy;
    ret_address->port = (uint16_t) port;
    return OK;
}

bool config_name_valid(const char *text)
{
    size_t size = strlen(text);
    if (size == 0 || size > 63 || text[0] == '.' || text[0] == '-') {
        return false;
    }
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
           size;
}

enum { GUESS_MAX = 40 }; /* longer words are not compared */

/* Levenshtein's distance, row by row. */
static uint32_t edit_distance(const char *a, const char *b)
{
    size_t na = strlen(a);
    size_t nb = strlen(b);
    if (na > GUESS_MAX || nb > GUESS_MAX) {
        return UINT32_MAX;
    }
    uint32_t row[GUESS_MAX + 1];
    for (uint32_t j = 0; j <= nb; j++) {
        row[j] = j;
    }
    for (uint32_t i = 1; i <= na; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= nb; j++) {
            uint32_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            uint32_t step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < step ? change : step;
        }
    }
    return row[nb];
}

void config_guess_init(struct config_guess *g, const char *word)
{
    g->word = word;
    g->best = NULL;
    /* What differs in more than a third (at least two places) was meant to be something else. */
    size_t third = strlen(word) / 3;
    g->distance = (uint32_t) u64_max(2, u64_min(third, GUESS_MAX)) + 1;
}

void config_guess_add(struct config_guess *g, const char *name)
{
    uint32_t distance = edit_distance(g->word, name);
    /* "heartbeat" is meant to be "heartbeat_ms", however long the rest is. */
    size_t size = strlen(g->word);
    if (size >= 4 && strncmp(name, g->word, size) == 0) {
        distance = 1;
    }
    if (distance < g->distance) {
        g->distance = distance;
        g->best = name;
    }
}

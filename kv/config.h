#ifndef SYNOD_KV_CONFIG_H
#define SYNOD_KV_CONFIG_H

/*
 * config.h - the configuration of a node, read from a YAML file and checked.
 *
 * One file describes a cluster and is shared by its nodes; which of them a node is, it is told at
 * start (config_set_node, `synod serve --node N`) or by node.id in a file of its own. Keys, ranges
 * and defaults are in config_keys.h. What is read is immutable but for config_set_node.
 *
 * Not here: what the values are used for (kv/server.h takes them from a main).
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "consensus/message.h"
#include "kv/config_keys.h"

/* How the text of a value is read and written. */
enum config_type {
    CONFIG_COUNT,    /* 4096 */
    CONFIG_DURATION, /* in ms: 250, 250ms, 2s, 1m, 1h */
    CONFIG_SIZE,     /* in bytes: 4096, 64KiB, 1MiB, 2GiB, and decimal KB, MB, GB */
    CONFIG_ID,       /* 17 or 0x11 */
    CONFIG_BOOL,     /* true or false */
    CONFIG_TEXT,
};

/* A row of the table. min, max and number are the default's for numbers and booleans. */
struct config_key {
    const char *section;
    const char *key;
    enum config_type type;
    uint64_t min;
    uint64_t max;
    uint64_t number;  /* default */
    const char *text; /* default of CONFIG_TEXT, else NULL */
    const char *help;
};

/* host:port taken apart. */
struct config_address {
    const char *host; /* without the brackets of an IPv6 address */
    uint16_t port;
};

struct config_member {
    uint32_t id;
    const char *name; /* "node<id>" when the file gives none */
    struct config_address peer;
    struct config_address client;
    uint32_t line; /* where it begins in the file */
};

#define CONFIG_NUMBER_FIELD(section, key, type, min, max, number, help) uint64_t key;
#define CONFIG_BOOL_FIELD(section, key, number, help) bool key;
#define CONFIG_TEXT_FIELD(section, key, text, help) const char *key;

/* All strings live as long as the configuration. */
struct config {
    struct {
        CONFIG_CLUSTER_KEYS(CONFIG_NUMBER_FIELD, CONFIG_BOOL_FIELD, CONFIG_TEXT_FIELD)
        const struct config_member *members; /* ascending by id */
        uint32_t members_count;
    } cluster;
    struct {
        CONFIG_NODE_KEYS(CONFIG_NUMBER_FIELD, CONFIG_BOOL_FIELD, CONFIG_TEXT_FIELD)
    } node;
    struct {
        CONFIG_TIMING_KEYS(CONFIG_NUMBER_FIELD, CONFIG_BOOL_FIELD, CONFIG_TEXT_FIELD)
    } timing;
    struct {
        CONFIG_CONSENSUS_KEYS(CONFIG_NUMBER_FIELD, CONFIG_BOOL_FIELD, CONFIG_TEXT_FIELD)
    } consensus;
    struct {
        CONFIG_LIMITS_KEYS(CONFIG_NUMBER_FIELD, CONFIG_BOOL_FIELD, CONFIG_TEXT_FIELD)
    } limits;
    struct {
        CONFIG_STORAGE_KEYS(CONFIG_NUMBER_FIELD, CONFIG_BOOL_FIELD, CONFIG_TEXT_FIELD)
    } storage;

    /* What follows from node.id; set by config_set_node, which config_load calls when the file
     * has a node.id. Before that `self` is NULL. */
    const struct config_member *self;
    struct config_address listen_peer;
    struct config_address listen_client;
    const char *data_dir;   /* placeholders replaced */
    const char *trace_path; /* placeholders replaced; NULL: no trace */

    const char *file; /* name in error messages */
    uint32_t *lines;  /* of each key in the file, as in config_key_at; 0: the default holds */
    struct arena arena;
};

/*
 * Reads and checks the file at `path`. On failure `error` is replaced by one line,
 * "file:line: what is wrong and what to do"; here and below it may be NULL.
 * Errors: ERR_NOT_FOUND, ERR_IO, ERR_TOO_LARGE (1 MiB), ERR_INVALID (everything that is wrong with
 * the contents).
 */
MUST_USE int config_load(const char *path, struct config **ret_config, struct buf *error);

/* The same for text in memory; `file` names it in errors. Errors: ERR_INVALID. */
MUST_USE int config_parse(struct bytes text, const char *file, struct config **ret_config,
                          struct buf *error);

void config_free(struct config *c); /* NULL is legal */

/*
 * Makes this the configuration of member `id`: sets node.id and what follows from it.
 * Errors: ERR_NOT_FOUND (no such member), ERR_INVALID (an unknown placeholder); `c` is unchanged.
 */
MUST_USE int config_set_node(struct config *c, uint32_t id, struct buf *error);

/* The member with this id, or NULL. */
const struct config_member *config_find_member(const struct config *c, uint32_t id);

/* The i-th row of the table, NULL past the end. */
const struct config_key *config_key_at(uint32_t i);

/* Appends a line for every key: section, name, default, range, meaning. Errors: ERR_LIMIT. */
MUST_USE int config_print_help(struct buf *out);

#endif

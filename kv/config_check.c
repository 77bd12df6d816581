/*
 * config_check.c - what must hold between the values of a configuration.
 */

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/consensus.h"
#include "kv/config_internal.h"
#include "kv/logstore.h"
#include "kv/store.h"

/* small * times + plus <= large. */
struct relation {
    const char *small_section;
    const char *small;
    uint64_t times;
    uint64_t plus;
    const char *large_section;
    const char *large;
    const char *rule; /* "A must be <rule> B" */
};

/* What a frame to a peer holds beside values: the heads of PEER_ENTRIES_MAX entries. */
#define FRAME_HEADS (3 * CONFIG_MIB)

static const struct relation RELATIONS[] = {
    {"timing", "heartbeat_ms", 2, 0, "timing", "election_ms", "at most half of"},
    {"timing", "backoff_min_ms", 1, 0, "timing", "backoff_max_ms", "at most"},
    {"timing", "reconnect_min_ms", 1, 0, "timing", "reconnect_max_ms", "at most"},
    {"timing", "election_ms", 1, 0, "timing", "request_timeout_ms", "at most"},
    {"limits", "request_bytes_max", 1, 0, "limits", "receive_bytes_max", "at most"},
    {"limits", "request_bytes_max", 1, 0, "limits", "call_bytes_max", "at most"},
    {"limits", "response_bytes_max", 1, 0, "limits", "output_bytes_max", "at most"},
    {"limits", "request_bytes_max", 1, FRAME_HEADS, "limits", "frame_bytes_max",
     "3MiB smaller than"},
    {"limits", "batch_bytes_max", 1, FRAME_HEADS, "limits", "frame_bytes_max", "3MiB smaller than"},
    {"limits", "message_bytes_max", 1, FRAME_HEADS, "limits", "frame_bytes_max",
     "3MiB smaller than"},
    {"limits", "frame_bytes_max", 1, 0, "limits", "peer_queue_bytes_max", "at most"},
    {"storage", "flush_bytes", 1, 0, "limits", "state_unwritten_bytes_max", "at most"},
};

/* Errors: ERR_INVALID. */
static int relation_check(const struct config_source *s, const struct config *c,
                          const struct relation *r)
{
    uint32_t small = config_key_find(r->small_section, r->small);
    uint32_t large = config_key_find(r->large_section, r->large);
    ASSERT(small != UINT32_MAX);
    ASSERT(large != UINT32_MAX);
    uint64_t a = config_number(c, small);
    uint64_t b = config_number(c, large);
    if (a * r->times + r->plus <= b) { /* the ranges keep this far from 2^64 */
        return OK;
    }
    /* The line that was written last is the likelier mistake. */
    uint32_t line = c->lines[small] > c->lines[large] ? c->lines[small] : c->lines[large];
    char text_a[32];
    char text_b[32];
    return config_fail(s, line, "%s.%s (%s) must be %s %s.%s (%s)", r->small_section, r->small,
                       config_value_format(config_key_at(small)->type, a, text_a), r->rule,
                       r->large_section, r->large,
                       config_value_format(config_key_at(large)->type, b, text_b));
}

/* Reports a name that is not in a table. */
static int choice_fail(const struct config_source *s, const struct config *c, uint32_t row,
                       const char *value, const char *const *names)
{
    const struct config_key *k = config_key_at(row);
    struct config_guess guess;
    struct buf list;
    config_guess_init(&guess, value);
    buf_init(&list, 256);
    for (uint32_t i = 0; names[i] != NULL; i++) {
        config_guess_add(&guess, names[i]);
        ERR_IGNORE(buf_printf(&list, "%s%s", i == 0 ? "" : ", ", names[i])); /* cut when long */
    }
    int rc = config_fail(s, c->lines[row], "%s.%s must be one of %.*s, not \"%.40s\"%s%s%s",
                         k->section, k->key, (int) list.size, (const char *) list.data, value,
                         guess.best == NULL ? "" : "; did you mean ",
                         guess.best == NULL ? "" : guess.best, guess.best == NULL ? "" : "?");
    buf_release(&list);
    return rc;
}

enum { NAMES_MAX = 16 };

/* Errors: ERR_INVALID. */
static int engine_check(const struct config_source *s, const struct config *c)
{
    const char *names[NAMES_MAX + 1] = {NULL};
    for (uint32_t i = 0; i < NAMES_MAX && engine_at(i) != NULL; i++) {
        names[i] = engine_name(engine_at(i));
    }
    if (engine_by_name(c->cluster.engine) != NULL) {
        return OK;
    }
    return choice_fail(s, c, config_key_find("cluster", "engine"), c->cluster.engine, names);
}

/* Errors: ERR_INVALID. */
static int stores_check(const struct config_source *s, const struct config *c)
{
    const char *names[NAMES_MAX + 1] = {NULL};
    if (logstore_by_name(c->storage.log) == NULL) {
        for (uint32_t i = 0; i < NAMES_MAX && logstore_at(i) != NULL; i++) {
            names[i] = logstore_at(i)->name;
        }
        return choice_fail(s, c, config_key_find("storage", "log"), c->storage.log, names);
    }
    if (store_by_name(c->storage.state) == NULL) {
        for (uint32_t i = 0; i < NAMES_MAX && store_at(i) != NULL; i++) {
            names[i] = store_at(i)->name;
        }
        return choice_fail(s, c, config_key_find("storage", "state"), c->storage.state, names);
    }
    return OK;
}

/* Errors: ERR_INVALID. */
static int texts_check(const struct config_source *s, const struct config *c)
{
    if (!config_name_valid(c->cluster.name)) {
        return config_fail(s, c->lines[config_key_find("cluster", "name")],
                           "cluster.name must be 1 to 63 letters, digits, '.', '_' or '-', not "
                           "\"%.80s\"",
                           c->cluster.name);
    }
    if (c->node.data_dir[0] == '\0') {
        return config_fail(s, c->lines[config_key_find("node", "data_dir")],
                           "node.data_dir must not be empty");
    }
    static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
    for (uint32_t i = 0; levels[i] != NULL; i++) {
        if (strcmp(levels[i], c->node.log_level) == 0) {
            return OK;
        }
    }
    return choice_fail(s, c, config_key_find("node", "log_level"), c->node.log_level, levels);
}

/* Errors: ERR_INVALID. */
static int listen_check(const struct config_source *s, const struct config *c)
{
    const char *const keys[] = {"listen_peer", "listen_client"};
    const char *const values[] = {c->node.listen_peer, c->node.listen_client};
    struct arena scratch;
    arena_init(&scratch, 512, SIZE_MAX);
    int rc = OK;
    for (size_t i = 0; rc == OK && i < ARRAY_SIZE(keys); i++) {
        struct config_address address;
        if (values[i][0] != '\0' && config_address_parse(values[i], &scratch, &address) != OK) {
            rc = config_fail(s, c->lines[config_key_find("node", keys[i])],
                             "node.%s must be host:port, not \"%.80s\"", keys[i], values[i]);
        }
    }
    arena_release(&scratch);
    return rc;
}

/* Errors: ERR_INVALID. */
static int candidate_check(const struct config_source *s, const struct config *c)
{
    if (c->timing.candidate_ms != 0 || c->timing.candidate_spread_ms == 0) {
        return OK;
    }
    return config_fail(s, c->lines[config_key_find("timing", "candidate_spread_ms")],
                       "timing.candidate_spread_ms needs timing.candidate_ms");
}

static bool address_equal(const struct config_address *a, const struct config_address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* Whether two members, or the two ends of one, want the same address. */
static bool addresses_clash(const struct config_member *a, const struct config_member *b)
{
    if (a == b) {
        return address_equal(&a->peer, &a->client);
    }
    return address_equal(&a->peer, &b->peer) || address_equal(&a->client, &b->client) ||
           address_equal(&a->peer, &b->client) || address_equal(&a->client, &b->peer);
}

/* Checks one pair of members, a == b for a member with itself. Errors: ERR_INVALID. */
static int members_pair_check(const struct config_source *s, const struct config_member *a,
                              const struct config_member *b)
{
    uint32_t line = (uint32_t) u64_max(a->line, b->line);
    uint32_t other = (uint32_t) u64_min(a->line, b->line);
    if (a != b && a->id == b->id) {
        return config_fail(s, line, "member id %u is used twice, first in line %u", a->id, other);
    }
    if (a != b && strcmp(a->name, b->name) == 0) {
        return config_fail(s, line, "member name %s is used twice, first in line %u", a->name,
                           other);
    }
    if (!addresses_clash(a, b)) {
        return OK;
    }
    if (a == b) {
        return config_fail(s, line, "member %u has the same address for peers and clients", a->id);
    }
    return config_fail(s, line, "members %u and %u share an address", a->id, b->id);
}

/* Errors: ERR_INVALID. */
static int members_check(const struct config_source *s, const struct config *c)
{
    if (c->cluster.members_count == 0) {
        return config_fail(s, 0,
                           "cluster.members is missing: list every member with id, peer and "
                           "client");
    }
    for (uint32_t i = 0; i < c->cluster.members_count; i++) {
        for (uint32_t j = 0; j <= i; j++) {
            int rc = members_pair_check(s, &c->cluster.members[i], &c->cluster.members[j]);
            if (rc != OK) {
                return rc;
            }
        }
    }
    return OK;
}

int config_check(const struct config_source *s, const struct config *c)
{
    int rc = engine_check(s, c);
    if (rc == OK) {
        rc = stores_check(s, c);
    }
    if (rc == OK) {
        rc = texts_check(s, c);
    }
    if (rc == OK) {
        rc = listen_check(s, c);
    }
    if (rc == OK) {
        rc = members_check(s, c);
    }
    if (rc == OK) {
        rc = candidate_check(s, c);
    }
    for (size_t i = 0; rc == OK && i < ARRAY_SIZE(RELATIONS); i++) {
        rc = relation_check(s, c, &RELATIONS[i]);
    }
    return rc;
}

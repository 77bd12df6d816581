/*
 * config.c - the table of keys, and filling a configuration from the items of a file.
 */

#include "kv/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "kv/config_internal.h"

#define NUMBER_ROW(section, key, type, min, max, number, help)                                     \
    {#section, #key, type, min, max, number, NULL, help},
#define BOOL_ROW(section, key, number, help)                                                       \
    {#section, #key, CONFIG_BOOL, 0, 1, number, NULL, help},
#define TEXT_ROW(section, key, text, help) {#section, #key, CONFIG_TEXT, 0, 0, 0, text, help},

static const struct config_key KEYS[] = {CONFIG_KEYS(NUMBER_ROW, BOOL_ROW, TEXT_ROW)};

#define NUMBER_OFFSET(section, key, ...) offsetof(struct config, section.key),
#define BOOL_OFFSET(section, key, ...) offsetof(struct config, section.key),
#define TEXT_OFFSET(section, key, ...) offsetof(struct config, section.key),

/* Where the value of each row is. */
static const size_t OFFSETS[] = {CONFIG_KEYS(NUMBER_OFFSET, BOOL_OFFSET, TEXT_OFFSET)};

STATIC_ASSERT(ARRAY_SIZE(KEYS) == ARRAY_SIZE(OFFSETS), "every key has its field");

enum {
    KEYS_COUNT = ARRAY_SIZE(KEYS),
    FILE_SIZE_MAX = 1 << 20,
    PATH_SIZE_MAX = 4096,
    ARENA_CHUNK = 16384,
};

const struct config_key *config_key_at(uint32_t i)
{
    return i < KEYS_COUNT ? &KEYS[i] : NULL;
}

uint32_t config_key_find(const char *section, const char *key)
{
    for (uint32_t i = 0; i < KEYS_COUNT; i++) {
        if (strcmp(KEYS[i].section, section) == 0 && strcmp(KEYS[i].key, key) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

static void *field_of(struct config *c, uint32_t row)
{
    return (char *) c + OFFSETS[row];
}

static void number_set(struct config *c, uint32_t row, uint64_t number)
{
    if (KEYS[row].type == CONFIG_BOOL) {
        *(bool *) field_of(c, row) = number != 0;
    } else {
        *(uint64_t *) field_of(c, row) = number;
    }
}

uint64_t config_number(const struct config *c, uint32_t row)
{
    ASSERT(KEYS[row].type != CONFIG_TEXT);
    const void *field = (const char *) c + OFFSETS[row];
    return KEYS[row].type == CONFIG_BOOL ? *(const bool *) field : *(const uint64_t *) field;
}

static void defaults_set(struct config *c)
{
    for (uint32_t i = 0; i < KEYS_COUNT; i++) {
        if (KEYS[i].type == CONFIG_TEXT) {
            *(const char **) field_of(c, i) = KEYS[i].text;
        } else {
            number_set(c, i, KEYS[i].number);
        }
    }
}

/* ---- items of the file ---- */

static bool section_known(const char *section)
{
    for (uint32_t i = 0; i < KEYS_COUNT; i++) {
        if (strcmp(KEYS[i].section, section) == 0) {
            return true;
        }
    }
    return false;
}

static int section_unknown(const struct config_source *s, const struct config_item *item)
{
    struct config_guess guess;
    config_guess_init(&guess, item->section);
    for (uint32_t i = 0; i < KEYS_COUNT; i++) {
        config_guess_add(&guess, KEYS[i].section);
    }
    if (guess.best != NULL) {
        return config_fail(s, item->line, "unknown section %s; did you mean %s?", item->section,
                           guess.best);
    }
    return config_fail(s, item->line,
                       "unknown section %s; there are cluster, node, timing, consensus, limits "
                       "and storage",
                       item->section);
}

static int key_unknown(const struct config_source *s, const struct config_item *item)
{
    struct config_guess guess;
    config_guess_init(&guess, item->key);
    for (uint32_t i = 0; i < KEYS_COUNT; i++) {
        if (strcmp(KEYS[i].key, item->key) == 0) {
            return config_fail(s, item->line, "unknown key %s.%s; did you mean %s.%s?",
                               item->section, item->key, KEYS[i].section, KEYS[i].key);
        }
        if (strcmp(KEYS[i].section, item->section) == 0) {
            config_guess_add(&guess, KEYS[i].key);
        }
    }
    if (strcmp(item->section, "cluster") == 0) {
        config_guess_add(&guess, "members");
    }
    if (guess.best != NULL) {
        return config_fail(s, item->line, "unknown key %s.%s; did you mean %s?", item->section,
                           item->key, guess.best);
    }
    return config_fail(s, item->line, "unknown key %s.%s; `synod serve --help-config` lists all",
                       item->section, item->key);
}

/* Sets a key of the table. Errors: ERR_INVALID. */
static int value_set(const struct config_source *s, struct config *c,
                     const struct config_item *item)
{
    uint32_t row = config_key_find(item->section, item->key);
    if (row == UINT32_MAX) {
        return key_unknown(s, item);
    }
    const struct config_key *k = &KEYS[row];
    c->lines[row] = item->line;
    if (k->type == CONFIG_TEXT) {
        *(const char **) field_of(c, row) = item->value;
        return OK;
    }
    uint64_t number;
    int rc = config_value_parse(k->type, item->value, &number);
    if (rc != OK) {
        return config_fail(s, item->line, "%s.%s must be %s, not \"%.40s\"", k->section, k->key,
                           config_type_shape(k->type), item->value);
    }
    if (number < k->min || number > k->max) {
        char min[32];
        char max[32];
        char is[32];
        return config_fail(s, item->line, "%s.%s must be from %s to %s, not %s", k->section, k->key,
                           config_value_format(k->type, k->min, min),
                           config_value_format(k->type, k->max, max),
                           config_value_format(k->type, number, is));
    }
    number_set(c, row, number);
    return OK;
}

/* ---- members ---- */

/* Errors: ERR_INVALID. */
static int member_address_set(const struct config_source *s, struct config *c,
                              const struct config_item *item, struct config_address *address)
{
    if (config_address_parse(item->value, &c->arena, address) != OK) {
        return config_fail(s, item->line, "%s must be host:port, not \"%.80s\"", item->field,
                           item->value);
    }
    return OK;
}

/* Errors: ERR_INVALID. */
static int member_field_set(const struct config_source *s, struct config *c,
                            const struct config_item *item, struct config_member *m)
{
    uint64_t id;
    if (strcmp(item->field, "id") == 0) {
        if (config_value_parse(CONFIG_COUNT, item->value, &id) != OK || id == 0 ||
            id > NODE_ID_MAX) {
            return config_fail(s, item->line, "the id of a member must be from 1 to %d",
                               NODE_ID_MAX);
        }
        m->id = (uint32_t) id;
        return OK;
    }
    if (strcmp(item->field, "name") == 0) {
        if (!config_name_valid(item->value)) {
            return config_fail(s, item->line,
                               "the name of a member must be 1 to 63 letters, digits, '.', '_' or "
                               "'-', not \"%.80s\"",
                               item->value);
        }
        m->name = item->value;
        return OK;
    }
    if (strcmp(item->field, "peer") == 0) {
        return member_address_set(s, c, item, &m->peer);
    }
    if (strcmp(item->field, "client") == 0) {
        return member_address_set(s, c, item, &m->client);
    }
    struct config_guess guess;
    config_guess_init(&guess, item->field);
    config_guess_add(&guess, "id");
    config_guess_add(&guess, "name");
    config_guess_add(&guess, "peer");
    config_guess_add(&guess, "client");
    return config_fail(s, item->line, "unknown field %s of a member; did you mean %s?", item->field,
                       guess.best == NULL ? "id, name, peer or client" : guess.best);
}

/* Checks that a member is complete, and names it. Errors: ERR_INVALID. */
static int member_finish(const struct config_source *s, struct config *c, struct config_member *m)
{
    if (m->id == 0) {
        return config_fail(s, m->line, "this member has no id");
    }
    if (m->peer.host == NULL) {
        return config_fail(s, m->line, "member %u has no peer: host:port", m->id);
    }
    if (m->client.host == NULL) {
        return config_fail(s, m->line, "member %u has no client: host:port", m->id);
    }
    if (m->name == NULL) {
        char name[32];
        (void) snprintf(name, sizeof name, "node%u", m->id);
        m->name = arena_strdup(&c->arena, name);
    }
    return OK;
}

static int member_order(const void *a, const void *b)
{
    uint32_t x = ((const struct config_member *) a)->id;
    uint32_t y = ((const struct config_member *) b)->id;
    return x < y ? -1 : x > y;
}

/* ---- all items ---- */

/* Sets what one item says. `members` has room for NODES_MAX. Errors: ERR_INVALID. */
static int item_set(const struct config_source *s, struct config *c, const struct config_item *item,
                    struct config_member *members)
{
    if (item->kind == CONFIG_ITEM_SECTION) {
        return section_known(item->section) ? OK : section_unknown(s, item);
    }
    bool is_members = strcmp(item->section, "cluster") == 0 && strcmp(item->key, "members") == 0;
    if (item->kind == CONFIG_ITEM_VALUE && item->field == NULL) {
        if (is_members) {
            return config_fail(s, item->line,
                               "cluster.members must be a list, one \"- id: ...\" for each member");
        }
        return value_set(s, c, item);
    }
    if (!is_members) {
        return config_key_find(item->section, item->key) == UINT32_MAX
                   ? key_unknown(s, item)
                   : config_fail(s, item->line, "%s.%s must be a single value, not a list",
                                 item->section, item->key);
    }
    if (item->element >= NODES_MAX) {
        return config_fail(s, item->line, "a cluster has at most %d members", NODES_MAX);
    }
    struct config_member *m = &members[item->element];
    if (item->kind == CONFIG_ITEM_ELEMENT) {
        m->line = item->line;
        c->cluster.members_count = item->element + 1;
        return OK;
    }
    return member_field_set(s, c, item, m);
}

/* Errors: ERR_INVALID. */
static int items_set(const struct config_source *s, struct config *c,
                     const struct config_item *items, uint32_t count)
{
    struct config_member *members = arena_alloc(&c->arena, NODES_MAX * sizeof *members);
    memset(members, 0, NODES_MAX * sizeof *members);
    for (uint32_t i = 0; i < count; i++) {
        int rc = item_set(s, c, &items[i], members);
        if (rc != OK) {
            return rc;
        }
    }
    for (uint32_t i = 0; i < c->cluster.members_count; i++) {
        int rc = member_finish(s, c, &members[i]);
        if (rc != OK) {
            return rc;
        }
    }
    qsort(members, c->cluster.members_count, sizeof *members, member_order);
    c->cluster.members = members;
    return OK;
}

/* Replaces what an empty or zero value stands for. */
static void derived_set(struct config *c)
{
    if (c->cluster.id == 0) {
        uint64_t hash = hash64_bytes(0, bytes_str(c->cluster.name));
        c->cluster.id = hash == 0 ? 1 : hash;
    }
}

int config_parse(struct bytes text, const char *file, struct config **ret_config, struct buf *error)
{
    struct config_source s = {.file = file, .error = error};
    struct config *c = xcalloc(1, sizeof *c);
    arena_init(&c->arena, ARENA_CHUNK, SIZE_MAX);
    c->file = arena_strdup(&c->arena, file);
    c->lines = arena_alloc(&c->arena, KEYS_COUNT * sizeof *c->lines);
    memset(c->lines, 0, KEYS_COUNT * sizeof *c->lines);
    defaults_set(c);
    const struct config_item *items;
    uint32_t count;
    int rc = config_yaml_read(&s, text, &c->arena, &items, &count);
    if (rc != OK) {
        goto out;
    }
    rc = items_set(&s, c, items, count);
    if (rc != OK) {
        goto out;
    }
    derived_set(c);
    rc = config_check(&s, c);
    if (rc != OK) {
        goto out;
    }
    if (c->node.id != 0) {
        rc = config_set_node(c, (uint32_t) c->node.id, error);
    }
out:
    if (rc != OK) {
        config_free(c);
        /* An unknown member or placeholder is a fault of this file, too. */
        return ERR_INVALID;
    }
    *ret_config = c;
    return OK;
}

/* Reads a whole file into `text`. Errors: ERR_NOT_FOUND, ERR_IO, ERR_TOO_LARGE. */
static int file_read(const struct config_source *s, struct buf *text)
{
    FILE *f = fopen(s->file, "rb");
    if (f == NULL) {
        int rc = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
        ERR_IGNORE(config_fail(s, 0, "%s", strerror(errno))); /* for its text */
        return rc;
    }
    int rc = buf_reserve(text, FILE_SIZE_MAX + 1);
    ASSERT(rc == OK);
    size_t size = fread(text->data, 1, FILE_SIZE_MAX + 1, f);
    if (ferror(f)) {
        ERR_IGNORE(config_fail(s, 0, "%s", strerror(errno))); /* for its text */
        rc = ERR_IO;
    } else if (size > FILE_SIZE_MAX) {
        ERR_IGNORE(config_fail(s, 0, "larger than %d bytes", FILE_SIZE_MAX)); /* for its text */
        rc = ERR_TOO_LARGE;
    } else {
        buf_advance(text, size);
    }
    (void) fclose(f); /* nothing was written */
    return rc;
}

int config_load(const char *path, struct config **ret_config, struct buf *error)
{
    struct config_source s = {.file = path, .error = error};
    struct buf text;
    buf_init(&text, FILE_SIZE_MAX + 1);
    int rc = file_read(&s, &text);
    if (rc == OK) {
        rc = config_parse(buf_bytes(&text), path, ret_config, error);
    }
    buf_release(&text);
    return rc;
}

void config_free(struct config *c)
{
    if (c != NULL) {
        arena_release(&c->arena);
        free(c);
    }
}

/* ---- the node ---- */

const struct config_member *config_find_member(const struct config *c, uint32_t id)
{
    for (uint32_t i = 0; i < c->cluster.members_count; i++) {
        if (c->cluster.members[i].id == id) {
            return &c->cluster.members[i];
        }
    }
    return NULL;
}

/* Appends to `out` what a placeholder stands for; false when there is no such one. `name` is its
 * text without braces. */
static bool placeholder_append(const struct config *c, const struct config_member *m,
                               struct bytes name, struct buf *out)
{
    char id[16];
    (void) snprintf(id, sizeof id, "%u", m->id);
    const char *value = NULL;
    if (bytes_equal(name, bytes_str("name"))) {
        value = m->name;
    } else if (bytes_equal(name, bytes_str("id"))) {
        value = id;
    } else if (bytes_equal(name, bytes_str("cluster"))) {
        value = c->cluster.name;
    }
    if (value == NULL) {
        return false;
    }
    return buf_append_bytes(out, bytes_str(value)) == OK;
}

/* Replaces the placeholders of a path; in the arena. Errors: ERR_INVALID. */
static int path_expand(struct config *c, const struct config_member *m, const char *path,
                       const char **ret_path)
{
    struct buf out;
    buf_init(&out, PATH_SIZE_MAX);
    int rc = OK;
    while (rc == OK && *path != '\0') {
        size_t plain = strcspn(path, "{");
        rc = buf_append(&out, path, plain);
        path += plain;
        if (rc == OK && *path == '{') {
            size_t size = strcspn(path, "}");
            if (path[size] != '}' ||
                !placeholder_append(c, m, bytes_of(path + 1, size - 1), &out)) {
                rc = ERR_INVALID;
            } else {
                path += size + 1;
            }
        }
    }
    if (rc == OK) {
        rc = buf_append(&out, "", 1);
    }
    if (rc == OK) {
        *ret_path = (const char *) arena_copy(&c->arena, buf_bytes(&out)).data;
    }
    buf_release(&out);
    return rc == OK ? OK : ERR_INVALID;
}

static int path_fail(const struct config_source *s, const struct config *c, const char *key,
                     const char *path)
{
    return config_fail(s, c->lines[config_key_find("node", key)],
                       "node.%s may hold {cluster}, {name} and {id} and at most %d characters, "
                       "not \"%.80s\"",
                       key, PATH_SIZE_MAX - 1, path);
}

int config_set_node(struct config *c, uint32_t id, struct buf *error)
{
    struct config_source s = {.file = c->file, .error = error};
    const struct config_member *m = config_find_member(c, id);
    if (m == NULL) {
        ERR_IGNORE(config_fail(&s, c->lines[config_key_find("node", "id")],
                               "node %u is not among the %u members of the cluster", id,
                               c->cluster.members_count)); /* for its text */
        return ERR_NOT_FOUND;
    }
    const char *data_dir;
    int rc = path_expand(c, m, c->node.data_dir, &data_dir);
    if (rc != OK) {
        return path_fail(&s, c, "data_dir", c->node.data_dir);
    }
    const char *trace;
    rc = path_expand(c, m, c->node.trace, &trace);
    if (rc != OK) {
        return path_fail(&s, c, "trace", c->node.trace);
    }
    struct config_address peer = m->peer;
    struct config_address client = m->client;
    if (c->node.listen_peer[0] != '\0') {
        rc = config_address_parse(c->node.listen_peer, &c->arena, &peer);
        ASSERT(rc == OK); /* config_check parsed it */
    }
    if (c->node.listen_client[0] != '\0') {
        rc = config_address_parse(c->node.listen_client, &c->arena, &client);
        ASSERT(rc == OK); /* config_check parsed it */
    }
    c->node.id = id;
    c->self = m;
    c->listen_peer = peer;
    c->listen_client = client;
    c->data_dir = data_dir;
    c->trace_path = trace[0] == '\0' ? NULL : trace;
    return OK;
}

/* ---- help ---- */

/* One line of help. Errors: ERR_LIMIT. */
static int help_row(const struct config_key *k, struct buf *out)
{
    if (k->type == CONFIG_TEXT) {
        return buf_printf(out, "  %-26s %-12s %s\n", k->key, k->text[0] == '\0' ? "\"\"" : k->text,
                          k->help);
    }
    char number[32];
    char min[32];
    char max[32];
    config_value_format(k->type, k->number, number);
    if (k->type == CONFIG_BOOL || k->type == CONFIG_ID) {
        return buf_printf(out, "  %-26s %-12s %s\n", k->key, number, k->help);
    }
    return buf_printf(out, "  %-26s %-12s %s [%s to %s]\n", k->key, number, k->help,
                      config_value_format(k->type, k->min, min),
                      config_value_format(k->type, k->max, max));
}

int config_print_help(struct buf *out)
{
    const char *section = "";
    for (uint32_t i = 0; i < KEYS_COUNT; i++) {
        int rc = OK;
        if (strcmp(section, KEYS[i].section) != 0) {
            section = KEYS[i].section;
            rc = buf_printf(out, "%s%s:\n", i == 0 ? "" : "\n", section);
            if (rc == OK && strcmp(section, "cluster") == 0) {
                rc = buf_printf(out, "  %-26s %-12s %s\n", "members", "",
                                "list of {id, name, peer: host:port, client: host:port}");
            }
        }
        if (rc == OK) {
            rc = help_row(&KEYS[i], out);
        }
        if (rc != OK) {
            return rc;
        }
    }
    return OK;
}

/*
 * config_yaml.c - a YAML text as a flat list of scalars with their lines.
 *
 * The shape is fixed, so there is no recursion: a mapping of sections, each a mapping of keys, each
 * a scalar or a list of mappings of scalars. Anything else is an error with its line.
 */

#include <stdarg.h>
#include <string.h>
#include <yaml.h>

#include "base/assert.h"
#include "kv/config_internal.h"

int config_fail(const struct config_source *s, uint32_t line, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (s->error == NULL) {
        return ERR_INVALID;
    }
    buf_clear(s->error);
    /* A message that does not fit into the caller's buffer is lost; the code is not. */
    if (line == 0) {
        ERR_IGNORE(buf_printf(s->error, "%s: %s", s->file, text));
    } else {
        ERR_IGNORE(buf_printf(s->error, "%s:%u: %s", s->file, line, text));
    }
    return ERR_INVALID;
}

struct reading {
    const struct config_source *source;
    yaml_document_t *document;
    struct arena *arena;
    struct config_item *items;
    uint32_t count;
};

static uint32_t line_of(const yaml_node_t *node)
{
    return (uint32_t) node->start_mark.line + 1;
}

/* The text of a scalar. Errors: ERR_INVALID. */
static int scalar_read(struct reading *r, const yaml_node_t *node, const char *what,
                       const char **ret_text)
{
    if (node->type != YAML_SCALAR_NODE) {
        return config_fail(r->source, line_of(node), "%s must be a single value", what);
    }
    const char *text = (const char *) node->data.scalar.value;
    if (strlen(text) != node->data.scalar.length) {
        return config_fail(r->source, line_of(node), "%s holds a zero byte", what);
    }
    *ret_text = arena_strdup(r->arena, text);
    return OK;
}

/* Whether `node` is what YAML reads as nothing: "key:" without a value. */
static bool is_null(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (node->data.scalar.length == 0 ||
            strcmp((const char *) node->data.scalar.value, "~") == 0 ||
            strcmp((const char *) node->data.scalar.value, "null") == 0);
}

static bool text_equal(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Adds an item. Errors: ERR_INVALID (its place is taken, too many). */
static int item_add(struct reading *r, struct config_item item)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct config_item *other = &r->items[i];
        if (item.kind == other->kind && item.element == other->element &&
            text_equal(item.section, other->section) && text_equal(item.key, other->key) &&
            text_equal(item.field, other->field)) {
            const char *name = item.key == NULL ? item.section : item.key;
            return config_fail(r->source, item.line, "%s is set twice, first in line %u",
                               item.field == NULL ? name : item.field, other->line);
        }
    }
    if (r->count == CONFIG_ITEMS_MAX) {
        return config_fail(r->source, item.line, "the file has more than %d values",
                           CONFIG_ITEMS_MAX);
    }
    r->items[r->count] = item;
    r->count++;
    return OK;
}

/* Adds the item for a value. Errors: ERR_INVALID. */
static int value_read(struct reading *r, struct config_item item, const yaml_node_t *value)
{
    const char *name = item.field == NULL ? item.key : item.field;
    if (is_null(value)) {
        return config_fail(r->source, item.line, "%s has no value", name);
    }
    item.kind = CONFIG_ITEM_VALUE;
    int rc = scalar_read(r, value, name, &item.value);
    return rc == OK ? item_add(r, item) : rc;
}

/* Reads one element of a list: a mapping of fields. Errors: ERR_INVALID. */
static int element_read(struct reading *r, struct config_item item, const yaml_node_t *node)
{
    if (node->type != YAML_MAPPING_NODE) {
        return config_fail(r->source, line_of(node),
                           "an element of %s must be \"field: value\" pairs", item.key);
    }
    item.kind = CONFIG_ITEM_ELEMENT;
    item.line = line_of(node);
    int rc = item_add(r, item);
    if (rc != OK) {
        return rc;
    }
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = yaml_document_get_node(r->document, pair->key);
        item.line = line_of(name);
        rc = scalar_read(r, name, "the name of a field", &item.field);
        if (rc == OK) {
            rc = value_read(r, item, yaml_document_get_node(r->document, pair->value));
        }
        if (rc != OK) {
            return rc;
        }
    }
    return OK;
}

/* Reads the value of a key: a scalar or a list. Errors: ERR_INVALID. */
static int key_read(struct reading *r, struct config_item item, const yaml_node_t *value)
{
    if (value->type == YAML_MAPPING_NODE) {
        return config_fail(r->source, line_of(value), "%s.%s must be a value, not a section",
                           item.section, item.key);
    }
    if (value->type != YAML_SEQUENCE_NODE) {
        return value_read(r, item, value);
    }
    for (const yaml_node_item_t *p = value->data.sequence.items.start;
         p < value->data.sequence.items.top; p++) {
        int rc = element_read(r, item, yaml_document_get_node(r->document, *p));
        if (rc != OK) {
            return rc;
        }
        item.element++;
    }
    return OK;
}

/* Errors: ERR_INVALID. */
static int section_read(struct reading *r, const char *section, const yaml_node_t *node)
{
    if (is_null(node)) {
        return OK; /* everything in it is commented out */
    }
    if (node->type != YAML_MAPPING_NODE) {
        return config_fail(r->source, line_of(node),
                           "%s must be a section with \"key: value\" lines", section);
    }
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = yaml_document_get_node(r->document, pair->key);
        struct config_item item = {.section = section, .line = line_of(name)};
        int rc = scalar_read(r, name, "the name of a key", &item.key);
        if (rc == OK) {
            rc = key_read(r, item, yaml_document_get_node(r->document, pair->value));
        }
        if (rc != OK) {
            return rc;
        }
    }
    return OK;
}

/* Errors: ERR_INVALID. */
static int root_read(struct reading *r)
{
    const yaml_node_t *root = yaml_document_get_root_node(r->document);
    if (root == NULL) {
        return config_fail(r->source, 0, "the file is empty; see cluster-configs/ for examples");
    }
    if (root->type != YAML_MAPPING_NODE) {
        return config_fail(r->source, line_of(root), "expected sections such as \"cluster:\"");
    }
    for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = yaml_document_get_node(r->document, pair->key);
        struct config_item item = {.kind = CONFIG_ITEM_SECTION, .line = line_of(name)};
        int rc = scalar_read(r, name, "the name of a section", &item.section);
        if (rc == OK) {
            rc = item_add(r, item);
        }
        if (rc == OK) {
            rc = section_read(r, item.section, yaml_document_get_node(r->document, pair->value));
        }
        if (rc != OK) {
            return rc;
        }
    }
    return OK;
}

/* After the document there must be nothing. Errors: ERR_INVALID. */
static int end_check(const struct config_source *s, yaml_parser_t *parser)
{
    yaml_document_t extra;
    if (!yaml_parser_load(parser, &extra)) {
        return config_fail(s, (uint32_t) parser->problem_mark.line + 1, "%s",
                           parser->problem == NULL ? "not YAML" : parser->problem);
    }
    const yaml_node_t *root = yaml_document_get_root_node(&extra);
    uint32_t line = root == NULL ? 0 : line_of(root);
    yaml_document_delete(&extra);
    return root == NULL ? OK : config_fail(s, line, "a second document in the file");
}

int config_yaml_read(const struct config_source *s, struct bytes text, struct arena *a,
                     const struct config_item **ret_items, uint32_t *ret_count)
{
    yaml_parser_t parser;
    yaml_document_t document;
    int initialized = yaml_parser_initialize(&parser);
    ASSERT(initialized);
    yaml_parser_set_input_string(&parser, text.data, text.size);
    struct reading r = {.source = s, .document = &document, .arena = a};
    int rc;
    if (!yaml_parser_load(&parser, &document)) {
        rc = config_fail(s, (uint32_t) parser.problem_mark.line + 1, "%s",
                         parser.problem == NULL ? "not YAML" : parser.problem);
        goto out;
    }
    r.items = arena_alloc(a, CONFIG_ITEMS_MAX * sizeof *r.items);
    rc = root_read(&r);
    yaml_document_delete(&document);
    if (rc == OK) {
        rc = end_check(s, &parser);
    }
out:
    yaml_parser_delete(&parser);
    if (rc == OK) {
        *ret_items = r.items;
        *ret_count = r.count;
    }
    return rc;
}

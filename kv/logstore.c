/*
 * logstore.c - the table of log stores and the facade over them.
 *
 * The rule that a failed write is final (D6) is enforced here, once for all implementations.
 */

#include "kv/logstore.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/logstore_impl.h"

static const struct logstore_ops *const logstore_table[] = {
    &logstore_leveldb_ops,
    &logstore_memory_ops,
};

const struct logstore_ops *logstore_at(uint32_t i)
{
    return i < ARRAY_SIZE(logstore_table) ? logstore_table[i] : NULL;
}

const struct logstore_ops *logstore_by_name(const char *name)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(logstore_table); i++) {
        if (strcmp(logstore_table[i]->name, name) == 0) {
            return logstore_table[i];
        }
    }
    return NULL;
}

void entry_list_take(struct entry_list *l, struct entry entry)
{
    ASSERT(entry.value != NULL);
    if (l->count == l->capacity) {
        ASSERT(l->capacity <= UINT32_MAX / 2);
        l->capacity = l->capacity == 0 ? 64 : l->capacity * 2;
        l->entries = xrealloc(l->entries, l->capacity * sizeof l->entries[0]);
    }
    l->entries[l->count] = entry;
    l->count++;
    l->bytes += entry.value->bytes.size;
}

void entry_list_release(struct entry_list *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        value_unref(l->entries[i].value);
    }
    free(l->entries);
    memset(l, 0, sizeof *l);
}

void logstore_recovery_release(struct logstore_recovery *r)
{
    for (uint32_t i = 0; i < r->entries_count; i++) {
        value_unref(r->entries[i].value);
    }
    free(r->entries);
    free(r->promises);
    memset(r, 0, sizeof *r);
}

int logstore_open(const struct logstore_ops *ops, const char *path,
                  const struct logstore_options *options, struct logstore **ret_store,
                  struct buf *error)
{
    ASSERT(path[0] != '\0');
    struct logstore *s = NULL;
    int rc = ops->open(path, options, &s, error);
    if (rc != OK) {
        ASSERT(rc < 0);
        return rc;
    }
    ASSERT(s->ops == ops);
    *ret_store = s;
    return OK;
}

void logstore_close(struct logstore *s)
{
    if (s != NULL) {
        s->ops->close(s);
    }
}

int logstore_identity(struct logstore *s, struct identity *ret_identity)
{
    return s->ops->identity(s, ret_identity);
}

/* Remembers a failed write for ever. */
static int wrote(struct logstore *s, int rc)
{
    if (rc != OK) {
        ASSERT(err_is_fatal(rc));
        s->fatal = rc;
    }
    return rc;
}

int logstore_bump_incarnation(struct logstore *s, uint64_t *ret_incarnation)
{
    if (s->fatal != OK) {
        return s->fatal;
    }
    return wrote(s, s->ops->bump_incarnation(s, ret_incarnation));
}

int logstore_recover(struct logstore *s, uint64_t from, struct logstore_recovery *ret_recovery,
                     struct buf *error)
{
    return s->ops->recover(s, from, ret_recovery, error);
}

int logstore_write(struct logstore *s, const struct log_write *const *writes, uint32_t count)
{
    if (s->fatal != OK) {
        return s->fatal;
    }
    return wrote(s, s->ops->write(s, writes, count));
}

int logstore_trim(struct logstore *s, struct log_pos pos)
{
    if (s->fatal != OK) {
        return s->fatal;
    }
    return wrote(s, s->ops->trim(s, pos));
}

int logstore_condemn(struct logstore *s, uint64_t seen)
{
    if (s->fatal != OK) {
        return s->fatal;
    }
    return wrote(s, s->ops->condemn(s, seen));
}

int logstore_read(struct logstore *s, uint64_t first, uint64_t last, uint64_t bytes_max,
                  struct entry_list *ret_entries)
{
    ASSERT(first > 0);
    return s->ops->read(s, first, last, bytes_max, ret_entries);
}

uint64_t logstore_disk_size(struct logstore *s)
{
    return s->ops->disk_size(s);
}

const char *logstore_last_error(struct logstore *s)
{
    return s->ops->last_error(s);
}

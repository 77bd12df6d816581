/*
 * message.c - life cycle of messages and writes, and ballots.
 */

#include "consensus/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

/* Entries and promises are kept ascending; nearly always the new one goes to the end. */

struct log_write *log_write_new(void)
{
    struct log_write *w = xcalloc(1, sizeof *w);
    w->refs = 1;
    return w;
}

struct log_write *log_write_ref(struct log_write *w)
{
    ASSERT(w->refs > 0);
    w->refs++;
    return w;
}

void log_write_free(struct log_write *w)
{
    if (w == NULL) {
        return;
    }
    ASSERT(w->refs > 0);
    w->refs--;
    if (w->refs > 0) {
        return;
    }
    for (uint32_t i = 0; i < w->entries_count; i++) {
        value_unref(w->entries[i].value);
    }
    free(w->entries);
    free(w->promises);
    free(w);
}

/* Room for one more in an array; the new capacity. */
static uint32_t grown(uint32_t count, uint32_t capacity)
{
    ASSERT(count < UINT32_MAX / 2);
    if (count < capacity) {
        return capacity;
    }
    return capacity == 0 ? 4 : capacity * 2;
}

void log_write_add(struct log_write *w, const struct entry *entry)
{
    ASSERT(entry->index > 0);
    ASSERT(entry->value != NULL);
    uint32_t at = w->entries_count;
    while (at > 0 && w->entries[at - 1].index > entry->index) {
        at--;
    }
    struct value *value = value_ref(entry->value);
    w->bytes += value->bytes.size;
    if (at > 0 && w->entries[at - 1].index == entry->index) {
        struct entry *old = &w->entries[at - 1];
        w->bytes -= old->value->bytes.size;
        value_unref(old->value);
        *old = *entry;
        return;
    }
    w->entries_capacity = grown(w->entries_count, w->entries_capacity);
    w->entries = xrealloc(w->entries, w->entries_capacity * sizeof *w->entries);
    memmove(&w->entries[at + 1], &w->entries[at], (w->entries_count - at) * sizeof *w->entries);
    w->entries[at] = *entry;
    w->entries_count++;
}

void log_write_promise(struct log_write *w, struct slot_promise promise)
{
    ASSERT(promise.index > 0);
    uint32_t at = w->promises_count;
    while (at > 0 && w->promises[at - 1].index > promise.index) {
        at--;
    }
    if (at > 0 && w->promises[at - 1].index == promise.index) {
        w->promises[at - 1] = promise;
        return;
    }
    w->promises_capacity = grown(w->promises_count, w->promises_capacity);
    w->promises = xrealloc(w->promises, w->promises_capacity * sizeof *w->promises);
    memmove(&w->promises[at + 1], &w->promises[at], (w->promises_count - at) * sizeof *w->promises);
    w->promises[at] = promise;
    w->promises_count++;
}

void log_write_truncate(struct log_write *w, uint64_t from)
{
    ASSERT(from > 0);
    while (w->entries_count > 0 && w->entries[w->entries_count - 1].index >= from) {
        w->entries_count--;
        struct value *value = w->entries[w->entries_count].value;
        w->bytes -= value->bytes.size;
        value_unref(value);
    }
    if (w->truncate_from == 0 || from < w->truncate_from) {
        w->truncate_from = from;
    }
}

bool log_write_empty(const struct log_write *w)
{
    return !w->hard_set && w->truncate_from == 0 && w->entries_count == 0 && w->promises_count == 0;
}

const char *message_name(uint8_t type)
{
    switch (type) {
#define X(number, name, text)                                                                      \
    case number:                                                                                   \
        return text;
        MESSAGE_MAP(X)
#undef X
    default:
        return "unknown";
    }
}

struct message *message_new(enum message_type type, uint32_t to)
{
    ASSERT(to > 0);
    struct message *m = xcalloc(1, sizeof *m);
    m->type = (uint8_t) type;
    m->to = to;
    return m;
}

struct message *message_copy(const struct message *m)
{
    struct message *copy = xmalloc(sizeof *copy);
    *copy = *m;
    copy->node = (struct list_node){NULL, NULL};
    copy->entries = NULL;
    copy->entries_capacity = m->entries_count;
    if (m->entries_count > 0) {
        copy->entries = xmemdup(m->entries, m->entries_count * sizeof *m->entries);
        for (uint32_t i = 0; i < m->entries_count; i++) {
            (void) value_ref(m->entries[i].value); /* the array was copied with the pointers */
        }
    }
    return copy;
}

void message_add_entry(struct message *m, const struct entry *entry)
{
    ASSERT(entry->value != NULL);
    m->entries_capacity = grown(m->entries_count, m->entries_capacity);
    m->entries = xrealloc(m->entries, m->entries_capacity * sizeof *m->entries);
    m->entries[m->entries_count] = *entry;
    m->entries[m->entries_count].value = value_ref(entry->value);
    m->entries_count++;
    m->bytes += entry->value->bytes.size;
}

void message_free(struct message *m)
{
    if (m == NULL) {
        return;
    }
    for (uint32_t i = 0; i < m->entries_count; i++) {
        value_unref(m->entries[i].value);
    }
    free(m->entries);
    free(m);
}

void message_list_free(struct list *messages)
{
    struct list_node *node;
    while ((node = list_pop_front(messages)) != NULL) {
        message_free(list_entry(node, struct message, node));
    }
}

uint64_t ballot_make(uint64_t round, uint32_t node)
{
    ASSERT(node > 0);
    ASSERT(node <= NODE_ID_MAX);
    ASSERT(round <= UINT64_MAX >> BALLOT_NODE_BITS);
    return round << BALLOT_NODE_BITS | node;
}

uint64_t ballot_round(uint64_t ballot)
{
    return ballot >> BALLOT_NODE_BITS;
}

uint32_t ballot_node(uint64_t ballot)
{
    return (uint32_t) (ballot & NODE_ID_MAX);
}

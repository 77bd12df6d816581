/*
 * session.c - the exactly-once table.
 */

#include "kv/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/session_impl.h"

struct session_table *session_table_new(uint32_t clients_max)
{
    ASSERT(clients_max > 0);
    struct session_table *t = xcalloc(1, sizeof *t);
    map_init(&t->by_id, UINT32_MAX); /* a restart with a lower maximum begins above it */
    list_init(&t->clients);
    list_init(&t->dirty);
    t->clients_max = clients_max;
    return t;
}

static void client_free(struct client_session *c)
{
    for (uint32_t i = 0; i < SESSION_ANSWERS; i++) {
        free((void *) (uintptr_t) c->answers[i].detail.data);
    }
    free(c);
}

void session_table_free(struct session_table *t)
{
    if (t == NULL) {
        return;
    }
    for (uint32_t i = 0; i < t->nodes_count; i++) {
        free(t->nodes[i]);
    }
    for (struct list_node *n = list_pop_front(&t->clients); n != NULL;
         n = list_pop_front(&t->clients)) {
        client_free(list_entry(n, struct client_session, node));
    }
    map_release(&t->by_id);
    free(t->nodes);
    free(t->removed);
    free(t);
}

uint32_t session_node_position(const struct session_table *t, uint32_t node)
{
    uint32_t i = 0;
    while (i < t->nodes_count && t->nodes[i]->node < node) {
        i++; /* as many as the cluster ever had nodes: few */
    }
    return i;
}

static struct node_session *node_find(const struct session_table *t, uint64_t id)
{
    uint32_t node = (uint32_t) (id >> 32);
    uint32_t i = session_node_position(t, node);
    return i < t->nodes_count && t->nodes[i]->node == node ? t->nodes[i] : NULL;
}

struct node_session *session_node_insert(struct session_table *t, uint32_t position, uint32_t node)
{
    t->nodes = xrealloc(t->nodes, (t->nodes_count + 1) * sizeof t->nodes[0]);
    memmove(t->nodes + position + 1, t->nodes + position,
            (t->nodes_count - position) * sizeof t->nodes[0]);
    t->nodes_count++;
    t->nodes[position] = xcalloc(1, sizeof *t->nodes[0]);
    t->nodes[position]->node = node;
    return t->nodes[position];
}

static enum session_verdict node_check(const struct session_table *t, uint64_t id,
                                       uint64_t sequence)
{
    const struct node_session *s = node_find(t, id);
    uint32_t incarnation = (uint32_t) id;
    uint64_t mark = s == NULL || incarnation > s->incarnation ? 0 : s->mark;
    if (s != NULL && incarnation < s->incarnation) {
        return SESSION_DUPLICATE; /* a process that is no more */
    }
    if (sequence <= mark || sequence - mark > SESSION_WINDOW) {
        return SESSION_DUPLICATE;
    }
    if (s != NULL && incarnation == s->incarnation && node_session_has(s, sequence)) {
        return SESSION_DUPLICATE;
    }
    return SESSION_APPLY;
}

static void node_applied(struct session_table *t, uint64_t id, uint64_t sequence)
{
    struct node_session *s = node_find(t, id);
    uint32_t incarnation = (uint32_t) id;
    if (s == NULL) {
        uint32_t node = (uint32_t) (id >> 32);
        s = session_node_insert(t, session_node_position(t, node), node);
        s->incarnation = incarnation;
    } else if (incarnation > s->incarnation) {
        uint32_t node = s->node;
        memset(s, 0, sizeof *s);
        s->node = node;
        s->incarnation = incarnation;
    }
    node_session_set(s, sequence);
    s->highest = u64_max(s->highest, sequence);
    while (s->mark < s->highest && node_session_has(s, s->mark + 1)) {
        s->mark++;
        node_session_clear(s, s->mark);
    }
    s->dirty = true;
}

static enum session_verdict client_check(const struct session_table *t, uint64_t id,
                                         uint64_t sequence,
                                         const struct session_answer **ret_answer)
{
    const struct client_session *c = map_get(&t->by_id, id);
    if (sequence == 0 || (c == NULL && sequence != 1)) {
        return SESSION_EXPIRED;
    }
    if (c == NULL || sequence > c->highest) {
        return SESSION_APPLY;
    }
    if (c->highest - sequence >= SESSION_ANSWERS) {
        return SESSION_EXPIRED;
    }
    const struct session_answer *a = &c->answers[sequence % SESSION_ANSWERS];
    if (a->sequence != sequence) {
        return SESSION_APPLY; /* overtaken by a later one */
    }
    *ret_answer = a;
    return SESSION_DUPLICATE;
}

enum session_verdict session_check(const struct session_table *t, uint64_t id, uint64_t sequence,
                                   const struct session_answer **ret_answer)
{
    ASSERT(id != 0);
    if ((id & SESSION_CLIENT_BIT) != 0) {
        return client_check(t, id, sequence, ret_answer);
    }
    enum session_verdict verdict = node_check(t, id, sequence);
    if (verdict == SESSION_DUPLICATE) {
        *ret_answer = NULL;
    }
    return verdict;
}

struct client_session *session_client_insert(struct session_table *t, uint64_t id)
{
    struct client_session *c = xcalloc(1, sizeof *c);
    c->id = id;
    int err = map_put(&t->by_id, id, c);
    ASSERT(err == OK);
    list_push_back(&t->clients, &c->node);
    return c;
}

static void client_remove_oldest(struct session_table *t)
{
    struct client_session *c = list_entry(list_pop_front(&t->clients), struct client_session, node);
    if (list_node_linked(&c->dirty_node)) {
        list_remove(&c->dirty_node);
        t->dirty_count--;
    }
    (void) map_remove(&t->by_id, c->id);
    if (t->removed_count == t->removed_capacity) {
        t->removed_capacity = t->removed_capacity == 0 ? 16 : t->removed_capacity * 2;
        t->removed = xrealloc(t->removed, t->removed_capacity * sizeof t->removed[0]);
    }
    t->removed[t->removed_count++] = c->id;
    client_free(c);
}

static void client_use(struct session_table *t, struct client_session *c)
{
    list_remove(&c->node);
    list_push_back(&t->clients, &c->node);
    c->last_use = ++t->clock;
    if (!list_node_linked(&c->dirty_node)) {
        list_push_back(&t->dirty, &c->dirty_node);
        t->dirty_count++;
    }
}

void session_answer_set(struct client_session *c, const struct session_answer *answer)
{
    struct session_answer *a = &c->answers[answer->sequence % SESSION_ANSWERS];
    free((void *) (uintptr_t) a->detail.data);
    *a = *answer;
    a->detail = bytes_of(NULL, 0);
    if (a->kept && answer->detail.size > 0) {
        a->detail =
            bytes_of(xmemdup(answer->detail.data, answer->detail.size), answer->detail.size);
    }
}

static void client_applied(struct session_table *t, uint64_t id, uint64_t sequence,
                           const struct session_answer *answer)
{
    struct client_session *c = map_get(&t->by_id, id);
    if (c == NULL) {
        c = session_client_insert(t, id);
    }
    client_use(t, c);
    struct session_answer a = *answer;
    a.sequence = sequence;
    a.kept = a.detail.size <= SESSION_DETAIL_MAX;
    session_answer_set(c, &a);
    c->highest = u64_max(c->highest, sequence);
    while (map_size(&t->by_id) > t->clients_max) {
        client_remove_oldest(t);
    }
}

void session_applied(struct session_table *t, uint64_t id, uint64_t sequence,
                     const struct session_answer *answer)
{
    ASSERT(id != 0);
    if ((id & SESSION_CLIENT_BIT) != 0) {
        client_applied(t, id, sequence, answer);
    } else {
        node_applied(t, id, sequence);
    }
}

void session_used(struct session_table *t, uint64_t id)
{
    struct client_session *c = map_get(&t->by_id, id);
    if (c != NULL) {
        client_use(t, c);
    }
}

uint32_t session_clients(const struct session_table *t)
{
    return (uint32_t) map_size(&t->by_id);
}

uint32_t session_count(const struct session_table *t)
{
    return session_clients(t) + t->nodes_count;
}

uint64_t session_clock(const struct session_table *t)
{
    return t->clock;
}

uint32_t session_dirty(const struct session_table *t)
{
    uint32_t count = t->dirty_count + t->removed_count;
    for (uint32_t i = 0; i < t->nodes_count; i++) {
        count += t->nodes[i]->dirty;
    }
    return count;
}

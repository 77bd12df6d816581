/*
 * session_impl.h - the structs behind kv/session.h, shared by session*.c only.
 */
#ifndef SYNOD_KV_SESSION_IMPL_H
#define SYNOD_KV_SESSION_IMPL_H

#include "base/list.h"
#include "base/map.h"
#include "kv/session.h"

struct node_session {
    uint32_t node;
    uint32_t incarnation;
    uint64_t mark;    /* all sequences up to here were applied */
    uint64_t highest; /* applied */
    bool dirty;
    uint64_t window[SESSION_WINDOW / 64]; /* bit sequence % SESSION_WINDOW, above the mark */
};

struct client_session {
    struct list_node node; /* in clients, by last use */
    struct list_node dirty_node;
    uint64_t id;
    uint64_t last_use;
    uint64_t highest;
    struct session_answer answers[SESSION_ANSWERS]; /* at sequence % SESSION_ANSWERS; 0: none */
};

struct session_table {
    struct node_session **nodes; /* by node id */
    uint32_t nodes_count;
    struct map by_id;    /* of struct client_session */
    struct list clients; /* least recently used first */
    struct list dirty;
    uint32_t dirty_count; /* clients */
    uint32_t clients_max;
    uint64_t clock;
    uint64_t *removed; /* client ids whose row is to be deleted */
    uint32_t removed_count;
    uint32_t removed_capacity;
};

/* The position of a node among t->nodes, or where it belongs. */
uint32_t session_node_position(const struct session_table *t, uint32_t node);
/* Adds an empty session of a node at its position. */
struct node_session *session_node_insert(struct session_table *t, uint32_t position, uint32_t node);
struct client_session *session_client_insert(struct session_table *t, uint64_t id);
void session_answer_set(struct client_session *c, const struct session_answer *answer);

static inline bool node_session_has(const struct node_session *s, uint64_t sequence)
{
    uint64_t bit = sequence % SESSION_WINDOW;
    return (s->window[bit / 64] >> (bit % 64) & 1) != 0;
}

static inline void node_session_set(struct node_session *s, uint64_t sequence)
{
    uint64_t bit = sequence % SESSION_WINDOW;
    s->window[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static inline void node_session_clear(struct node_session *s, uint64_t sequence)
{
    uint64_t bit = sequence % SESSION_WINDOW;
    s->window[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
}

#endif

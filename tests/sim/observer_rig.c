/*
 * observer_rig.c - see observer_rig.h.
 */
#include "tests/sim/observer_rig.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/support/entries.h"

enum { VALUE_SIZE = 16 };

static void on_fail(void *ctx, const char *property, const char *text)
{
    struct observer_rig *r = ctx;
    ASSERT(r->property[0] == '\0'); /* once */
    (void) snprintf(r->property, sizeof r->property, "%s", property);
    (void) snprintf(r->text, sizeof r->text, "%s", text);
}

void obs_rig_init(struct observer_rig *r, const char *engine, uint32_t nodes)
{
    const struct obs_rig_found empty = {0};
    ASSERT(nodes <= OBS_RIG_NODES_MAX);
    *r = (struct observer_rig){0};
    const struct observer_options options = {.engine = engine_by_name(engine),
                                             .nodes = nodes,
                                             .fail = on_fail,
                                             .ctx = r};
    r->o = observer_new(&options);
    for (uint32_t i = 1; i <= nodes; i++) {
        obs_rig_restart(r, i, &empty);
    }
}

void obs_rig_release(struct observer_rig *r)
{
    observer_free(r->o);
}

static struct value *value_of(uint64_t number)
{
    return number == 0 ? value_new_noop() : value_numbered(number, VALUE_SIZE);
}

uint32_t obs_rig_crc(uint64_t number)
{
    struct value *v = value_of(number);
    uint32_t crc = v->crc;
    value_unref(v);
    return crc;
}

static void submit(struct observer_rig *r, const struct value *v)
{
    struct command command;
    size_t cursor = 0;
    while (value_next(v, &cursor, &command)) {
        observer_submit(r->o, command.tag, command.payload);
    }
}

struct log_write *obs_rig_write(struct observer_rig *r, uint32_t node)
{
    struct log_write *w = log_write_new();
    w->id = ++r->ids[node];
    return w;
}

void obs_rig_put(struct observer_rig *r, struct log_write *w, struct obs_rig_entry entry)
{
    struct value *v = value_of(entry.number);
    const struct entry e = {entry.index, entry.epoch, v};
    submit(r, v);
    log_write_add(w, &e);
    value_unref(v);
}

void obs_rig_hard(struct log_write *w, uint64_t epoch, uint32_t vote)
{
    w->hard_set = true;
    w->hard = (struct hard_state){.epoch = epoch, .vote = vote};
}

void obs_rig_handed(struct observer_rig *r, uint32_t node, const struct log_write *w)
{
    observer_handed(r->o, node, w);
}

void obs_rig_synced(struct observer_rig *r, uint32_t node, struct log_write *w)
{
    observer_synced(r->o, node, w);
    log_write_free(w);
}

void obs_rig_store(struct observer_rig *r, uint32_t node, struct log_write *w)
{
    obs_rig_handed(r, node, w);
    obs_rig_synced(r, node, w);
}

void obs_rig_restart(struct observer_rig *r, uint32_t node, const struct obs_rig_found *found)
{
    struct entry entries[ARRAY_SIZE(found->entries)];
    struct slot_promise promises[ARRAY_SIZE(found->promises)];
    struct logstore_recovery recovery = {.hard = found->hard,
                                         .trimmed = found->trimmed,
                                         .last = found->trimmed.index,
                                         .entries = entries,
                                         .promises = promises};
    for (; found->entries[recovery.entries_count].index != 0; recovery.entries_count++) {
        const struct obs_rig_entry *e = &found->entries[recovery.entries_count];
        entries[recovery.entries_count] = (struct entry){e->index, e->epoch, value_of(e->number)};
        recovery.last = e->index;
    }
    for (; found->promises[recovery.promises_count].index != 0; recovery.promises_count++) {
        promises[recovery.promises_count] = found->promises[recovery.promises_count];
    }
    observer_crashed(r->o, node);
    observer_recovered(r->o, node, &recovery, found->applied, found->restored);
    r->ids[node] = 0;
    for (uint32_t i = 0; i < recovery.entries_count; i++) {
        value_unref(entries[i].value);
    }
}

void obs_rig_trace(struct observer_rig *r, uint32_t node, struct trace_event event)
{
    event.node = node;
    observer_trace(r->o, &event);
}

struct message *obs_rig_message(enum message_type type, uint32_t from, uint32_t to)
{
    struct message *m = message_new(type, to);
    m->from = from;
    return m;
}

void obs_rig_message_put(struct message *m, struct obs_rig_entry entry)
{
    struct value *v = value_of(entry.number);
    const struct entry e = {entry.index, entry.epoch, v};
    message_add_entry(m, &e);
    value_unref(v);
}

void obs_rig_send(struct observer_rig *r, struct message *m)
{
    observer_send(r->o, m->from, m);
    message_free(m);
}

void obs_rig_elect(struct observer_rig *r, uint32_t leader, uint64_t term, uint32_t voters)
{
    for (uint32_t node = 1; node <= OBS_RIG_NODES_MAX; node++) {
        if ((voters >> node & 1) == 0) {
            continue;
        }
        struct log_write *w = obs_rig_write(r, node);
        obs_rig_hard(w, term, leader);
        obs_rig_store(r, node, w);
        if (node != leader) {
            struct message *m = obs_rig_message(MSG_RAFT_VOTE_REPLY, node, leader);
            m->epoch = term;
            obs_rig_send(r, m);
        }
    }
    obs_rig_trace(r, leader, (struct trace_event){.kind = TRACE_BECAME_LEADER, .epoch = term});
}

void obs_rig_append(struct observer_rig *r, uint32_t node, struct obs_rig_entry entry)
{
    struct log_write *w = obs_rig_write(r, node);
    obs_rig_put(r, w, entry);
    obs_rig_store(r, node, w);
}

void obs_rig_accept(struct observer_rig *r, uint32_t node, struct obs_rig_entry entry, uint32_t to)
{
    obs_rig_trace(r, node,
                  (struct trace_event){.kind = TRACE_ACCEPT,
                                       .epoch = entry.epoch,
                                       .index = entry.index,
                                       .hash = obs_rig_crc(entry.number)});
    obs_rig_append(r, node, entry);
    struct message *m = obs_rig_message(MSG_PAXOS_ACCEPTED, node, to);
    m->epoch = entry.epoch;
    m->pos.index = entry.index;
    m->last = entry.index;
    obs_rig_send(r, m);
}

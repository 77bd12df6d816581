/*
 * observer_log.c - contents of slots, images of logs, and what a restart may find.
 *
 * Not here: which content is chosen, and who may write what (observer_raft.c, observer_paxos.c).
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/sim/observer_internal.h"

enum { SIZE_MIN = 1024 };

/* Places and records. */

struct obs_place *observer_place(struct observer *o, uint64_t index)
{
    if (index >= o->places_size) {
        uint64_t size = u64_max(SIZE_MIN, 2 * index);
        o->places = xrealloc(o->places, size * sizeof(*o->places));
        memset(o->places + o->places_size, 0, (size - o->places_size) * sizeof(*o->places));
        o->places_size = size;
    }
    return &o->places[index];
}

struct obs_record *observer_record_find(const struct observer *o, uint64_t index, uint64_t epoch)
{
    struct obs_record *r = index < o->places_size ? o->places[index].records : NULL;
    while (r != NULL && r->epoch != epoch) {
        r = r->next;
    }
    return r;
}

struct obs_record *observer_record(struct observer *o, uint64_t index, uint64_t epoch)
{
    struct obs_place *p = observer_place(o, index);
    struct obs_record *r = observer_record_find(o, index, epoch);
    if (r == NULL) {
        r = arena_alloc(&o->arena, sizeof *r);
        *r = (struct obs_record){.epoch = epoch, .next = p->records};
        p->records = r; /* the newest first: it is what is asked for */
    }
    return r;
}

struct obs_report *observer_report(struct observer *o, struct obs_record *r, uint32_t node)
{
    if (r->reports == NULL) {
        size_t size = o->options.nodes * sizeof(*r->reports);
        r->reports = arena_alloc(&o->arena, size);
        memset(r->reports, 0, size);
    }
    return &r->reports[node - 1];
}

void observer_walk(struct observer *o, struct obs_record *r, const struct obs_node *n,
                   const struct entry *entry)
{
    struct command command;
    size_t cursor = 0;
    if (r->walked || map_size(&o->commands) == OBSERVER_MAP_MAX) {
        return;
    }
    r->walked = true;
    while (value_next(entry->value, &cursor, &command)) {
        if (map_get(&o->commands, hash64_bytes(command.tag, command.payload)) == NULL) {
            observer_fail(o, "P2",
                          "node %u writes at index %llu, epoch %llu, a command (session %llx, "
                          "sequence %llu) that no client submitted",
                          n->id, (unsigned long long) entry->index,
                          (unsigned long long) entry->epoch, (unsigned long long) command.session,
                          (unsigned long long) command.sequence);
            return;
        }
    }
}

/* Images. */

const struct obs_slot *observer_slot(const struct obs_image *image, uint64_t index)
{
    static const struct obs_slot none;
    return index < image->size ? &image->slots[index] : &none;
}

struct obs_slot *observer_slot_at(struct obs_image *image, uint64_t index)
{
    if (index >= image->size) {
        uint64_t size = u64_max(SIZE_MIN, 2 * index);
        image->slots = xrealloc(image->slots, size * sizeof(*image->slots));
        memset(image->slots + image->size, 0, (size - image->size) * sizeof(*image->slots));
        image->size = size;
    }
    return &image->slots[index];
}

void observer_image_release(struct obs_image *image)
{
    free(image->slots);
    *image = (struct obs_image){0};
}

static void image_cut(struct obs_image *image, uint64_t from)
{
    if (from <= image->trimmed) {
        from = image->trimmed + 1;
    }
    for (uint64_t i = from; i <= image->last; i++) {
        struct obs_slot *s = observer_slot_at(image, i);
        s->epoch = 0;
        s->hash = 0;
        s->crc = 0;
    }
    image->last = u64_min(image->last, from - 1);
}

void observer_image_write(const struct observer *o, struct obs_image *image,
                          const struct log_write *w)
{
    if (w->truncate_from != 0) {
        image_cut(image, w->truncate_from);
    }
    for (uint32_t i = 0; i < w->entries_count; i++) {
        const struct entry *entry = &w->entries[i];
        if (entry->index <= image->trimmed) {
            continue; /* left out on the disk too (logstore.h) */
        }
        struct obs_slot *s = observer_slot_at(image, entry->index);
        const struct obs_record *r = observer_record_find(o, entry->index, entry->epoch);
        s->epoch = entry->epoch;
        s->crc = entry->value->crc;
        s->hash = r == NULL ? 0 : r->hash;
        image->last = u64_max(image->last, entry->index);
    }
    for (uint32_t i = 0; i < w->promises_count; i++) {
        observer_slot_at(image, w->promises[i].index)->promise = w->promises[i].ballot;
    }
    if (w->hard_set) {
        image->hard = w->hard;
    }
}

void observer_image_fill(struct obs_image *image, const struct logstore_recovery *recovery)
{
    *image = (struct obs_image){.last = recovery->last,
                                .trimmed = recovery->trimmed.index,
                                .hard = recovery->hard};
    for (uint32_t i = 0; i < recovery->entries_count; i++) {
        const struct entry *entry = &recovery->entries[i];
        struct obs_slot *s = observer_slot_at(image, entry->index);
        s->epoch = entry->epoch;
        s->crc = entry->value->crc;
    }
    for (uint32_t i = 0; i < recovery->promises_count; i++) {
        observer_slot_at(image, recovery->promises[i].index)->promise =
            recovery->promises[i].ballot;
    }
}

bool observer_holds(const struct observer *o, const struct obs_image *image, uint64_t index)
{
    if (index <= image->trimmed) {
        return true; /* applied, and durable in the state database */
    }
    ASSERT(index < o->places_size);
    const struct obs_place *p = &o->places[index];
    const struct obs_slot *s = observer_slot(image, index);
    bool same = o->engine == ENGINE_RAFT ? s->hash == p->chosen_hash : s->crc == p->chosen_crc;
    return s->epoch != 0 && p->chosen && same;
}

bool observer_on_quorum(const struct observer *o, uint64_t index)
{
    uint32_t count = 0;
    if (o->damaged || index == 0) {
        return true; /* it was, or it would not be chosen; more cannot be asked for */
    }
    for (uint32_t i = 1; i <= o->options.nodes && count < o->quorum; i++) {
        count += observer_holds(o, &o->nodes[i].synced, index) ? 1 : 0;
    }
    return count >= o->quorum;
}

/* Recovery. */

/* Where `found` differs from what is expected, for the report. */
struct difference {
    bool any;
    bool hard;    /* term, vote, ballot or commit */
    bool promise; /* of a slot */
    bool less;    /* something expected is not there */
    uint64_t index;
    uint64_t expected;
    uint64_t actual;
};

static struct difference compare(const struct obs_image *expected, const struct obs_image *found)
{
    const struct hard_state *e = &expected->hard;
    const struct hard_state *f = &found->hard;
    if (e->epoch != f->epoch || e->vote != f->vote || e->commit != f->commit) {
        return (struct difference){.any = true,
                                   .hard = true,
                                   .less =
                                       f->epoch < e->epoch ||
                                       (f->epoch == e->epoch && e->vote != 0 && e->vote != f->vote),
                                   .expected = e->epoch,
                                   .actual = f->epoch};
    }
    uint64_t end = u64_max(expected->size, found->size);
    for (uint64_t i = found->trimmed + 1; i < end; i++) {
        const struct obs_slot *a = observer_slot(expected, i);
        const struct obs_slot *b = observer_slot(found, i);
        if (a->epoch != b->epoch || a->crc != b->crc) {
            return (struct difference){.any = true,
                                       .less = a->epoch != 0 && b->epoch <= a->epoch,
                                       .index = i,
                                       .expected = a->epoch,
                                       .actual = b->epoch};
        }
        if (a->promise != b->promise) {
            return (struct difference){.any = true,
                                       .promise = true,
                                       .less = b->promise < a->promise,
                                       .index = i,
                                       .expected = a->promise,
                                       .actual = b->promise};
        }
    }
    return (struct difference){0};
}

static const char *difference_property(const struct observer *o, const struct difference *d)
{
    if (!d->less) {
        return "D8"; /* something that is no prefix of what was handed out */
    }
    if (d->promise) {
        return "P4";
    }
    if (d->hard) {
        return o->engine == ENGINE_RAFT ? "R1" : o->engine == ENGINE_PAXOS ? "P7" : "P4";
    }
    return "D4";
}

/* What is found must be what was synced and then the first so many of the writes handed out after
 * that, each whole. The synced image is used up; it is replaced by what is found anyway. */
void observer_compare(struct observer *o, struct obs_node *n, const struct obs_image *found)
{
    if (found->trimmed < n->synced.trimmed) {
        observer_fail(o, "D4",
                      "node %u recovered its log from index %llu on, after %llu was trimmed", n->id,
                      (unsigned long long) found->trimmed + 1,
                      (unsigned long long) n->synced.trimmed);
        return;
    }
    struct difference first = compare(&n->synced, found);
    struct difference d = first;
    for (uint32_t i = 0; d.any && i < n->pending_count; i++) {
        observer_image_write(o, &n->synced, n->pending[n->pending_head + i]);
        d = compare(&n->synced, found);
    }
    if (d.any) {
        observer_fail(
            o, difference_property(o, &first),
            "node %u recovered %s %llu at index %llu; durable were %llu, and %u writes were "
            "under way",
            n->id,
            first.hard      ? "hard state of epoch"
            : first.promise ? "promise"
                            : "epoch",
            (unsigned long long) first.actual, (unsigned long long) first.index,
            (unsigned long long) first.expected, n->pending_count);
    }
}

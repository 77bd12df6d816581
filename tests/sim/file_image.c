/*
 * file_image.c - what a crash may leave of the files that a journal recorded.
 */

#include "tests/sim/file_image.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

enum {
    SECTOR = 512,
    PATH_SIZE = 1024,
    ROOT = 0,
};

/* A file with its data as it was written, and how much of it is durable. */
struct state_node {
    bool is_dir;
    bool is_new; /* not synced since it got its name */
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t synced;
    size_t doubt_from; /* [from, to): a sync of it failed */
    size_t doubt_to;
};

/* A change of names. */
struct state_change {
    const struct file_event *event;
    uint32_t at;  /* its number */
    bool sure[2]; /* by enum file_names */
};

struct file_state {
    const struct file_journal *journal;
    uint32_t point;
    struct state_node *nodes;
    uint32_t nodes_count;
    struct state_change *changes;
    uint32_t changes_count;
    uint32_t written; /* the node of the last write; ROOT: none */
    size_t written_from;
};

/* ---- the state ---- */

static void node_write(struct state_node *n, const struct file_event *e)
{
    size_t end = (size_t) e->offset + e->size;
    ASSERT(e->offset <= n->size);
    ASSERT(e->offset >= n->synced); /* Nothing durable is written over: LevelDB only appends. */
    if (end > n->capacity) {
        n->capacity = end * 2;
        n->data = xrealloc(n->data, n->capacity);
    }
    memcpy(n->data + e->offset, e->data, e->size);
    n->size = end > n->size ? end : n->size;
}

static void change_add(struct file_state *s, uint32_t at)
{
    s->changes[s->changes_count] = (struct state_change){
        .event = file_journal_event(s->journal, at),
        .at = at,
    };
    s->changes_count++;
}

static bool change_in(const struct file_event *e, uint32_t dir)
{
    return e->dir == dir || (e->kind == FILE_RENAME && e->to_dir == dir);
}

/* A sync that succeeded. */
static void state_sync(struct file_state *s, uint32_t node)
{
    struct state_node *n = &s->nodes[node];
    bool works = n->is_new || n->synced < n->size;
    for (uint32_t i = 0; i < s->changes_count; i++) {
        struct state_change *c = &s->changes[i];
        if (n->is_dir && change_in(c->event, node)) {
            works = works || !c->sure[FILE_NAMES_JOURNALED];
            c->sure[FILE_NAMES_STRICT] = true;
        }
        if (!n->is_dir && c->event->node == node && c->event->kind != FILE_UNLINK) {
            c->sure[FILE_NAMES_STRICT] = true;
        }
    }
    for (uint32_t i = 0; i < s->changes_count && works; i++) {
        s->changes[i].sure[FILE_NAMES_JOURNALED] = true;
    }
    n->synced = n->size;
    n->is_new = false;
}

static void state_settle(struct file_state *s)
{
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        s->nodes[i].synced = s->nodes[i].size;
        s->nodes[i].is_new = false;
    }
    for (uint32_t i = 0; i < s->changes_count; i++) {
        s->changes[i].sure[FILE_NAMES_JOURNALED] = true;
        s->changes[i].sure[FILE_NAMES_STRICT] = true;
    }
    s->written = ROOT;
}

static void state_apply(struct file_state *s, uint32_t at)
{
    const struct file_event *e = file_journal_event(s->journal, at);
    struct state_node *n = &s->nodes[e->node];
    switch ((enum file_event_kind) e->kind) {
    case FILE_LINK:
        n->is_dir = e->is_dir;
        n->is_new = true;
        change_add(s, at);
        break;
    case FILE_RENAME:
    case FILE_UNLINK:
        change_add(s, at);
        break;
    case FILE_WRITE:
        s->written = e->node;
        s->written_from = (size_t) e->offset;
        node_write(n, e);
        break;
    case FILE_SYNC:
        state_sync(s, e->node);
        break;
    case FILE_SYNC_FAILED:
        n->doubt_from = n->doubt_to > n->doubt_from ? n->doubt_from : n->synced;
        n->doubt_to = n->size;
        break;
    case FILE_SETTLED:
        state_settle(s);
        break;
    }
}

struct file_state *file_state_new(const struct file_journal *j, uint32_t point)
{
    struct file_state *s = xcalloc(1, sizeof *s);
    s->journal = j;
    s->point = point;
    s->nodes_count = file_journal_nodes(j);
    s->nodes = xcalloc(s->nodes_count, sizeof s->nodes[0]);
    s->changes = xcalloc(point + 1, sizeof s->changes[0]);
    s->nodes[ROOT].is_dir = true;
    for (uint32_t i = 0; i < point; i++) {
        state_apply(s, i);
    }
    return s;
}

void file_state_free(struct file_state *s)
{
    if (s == NULL) {
        return;
    }
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        free(s->nodes[i].data);
    }
    free(s->changes);
    free(s->nodes);
    free(s);
}

/* ---- losses ---- */

void file_loss_text(const struct file_loss *loss, char ret_text[FILE_LOSS_TEXT_MAX])
{
    char torn[64] = "";
    if (loss->torn) {
        (void) snprintf(torn, sizeof torn, ", file %u torn at byte %llu",
                        (unsigned) loss->torn_node, (unsigned long long) loss->torn_size);
    }
    (void) snprintf(ret_text, FILE_LOSS_TEXT_MAX, "un-synced data %s, %u changes of names %s%s",
                    loss->data_kept ? "kept" : "lost", (unsigned) loss->names_taken,
                    loss->rule == FILE_NAMES_STRICT ? "lost (strict)" : "lost", torn);
}

struct losses {
    struct file_loss *list;
    uint32_t count;
    uint32_t capacity;
};

static void losses_add(struct losses *l, struct file_loss loss)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity == 0 ? 32 : l->capacity * 2;
        l->list = xrealloc(l->list, l->capacity * sizeof l->list[0]);
    }
    l->list[l->count] = loss;
    l->count++;
}

/* A cut of the file that was written last. */
static void losses_add_cut(struct losses *l, const struct file_state *s, size_t at)
{
    const struct state_node *n = &s->nodes[s->written];
    if (at <= n->synced || at >= n->size) {
        return;
    }
    const struct file_loss loss = {
        .data_kept = true,
        .torn = true,
        .torn_node = s->written,
        .torn_size = at,
    };
    losses_add(l, loss);
}

/* The places at which the un-synced end of the file written last is cut: boundaries of sectors, and
 * a few in the header of the record, in its middle and before its last byte. */
static void losses_add_cuts(struct losses *l, const struct file_state *s, uint32_t blocks_max)
{
    static const size_t odd[] = {1, 4, 6, 7, 8, 20};
    const struct state_node *n = &s->nodes[s->written];
    if (n->synced >= n->size) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
        losses_add_cut(l, s, s->written_from + odd[i]);
    }
    losses_add_cut(l, s, n->synced + (n->size - n->synced) / 2);
    losses_add_cut(l, s, n->size - 1);
    size_t first = n->synced / SECTOR + 1;
    size_t count = (n->size - 1) / SECTOR + 1 - first;
    size_t step = blocks_max == 0 ? 1 : count / blocks_max + 1;
    for (size_t i = 0; i < count; i += step) {
        losses_add_cut(l, s, (first + i) * SECTOR);
    }
}

/* Changes of names that a crash may take. */
static uint32_t unsure_count(const struct file_state *s, enum file_names rule)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->changes_count; i++) {
        count += s->changes[i].sure[rule] ? 0 : 1;
    }
    return count;
}

struct file_loss *file_state_losses(const struct file_state *s, uint32_t blocks_max,
                                    uint32_t *ret_count)
{
    struct losses l = {.count = 0};
    for (int rule = FILE_NAMES_JOURNALED; rule <= FILE_NAMES_STRICT; rule++) {
        uint32_t names = unsure_count(s, (enum file_names) rule);
        for (uint32_t taken = 0; taken <= names; taken++) {
            struct file_loss loss = {
                .rule = (uint8_t) rule,
                .names_taken = taken,
                .data_kept = true,
            };
            losses_add(&l, loss);
            loss.data_kept = false;
            losses_add(&l, loss);
        }
    }
    losses_add_cuts(&l, s, blocks_max);
    *ret_count = l.count;
    return l.list;
}

/* ---- images ---- */

/* A name of the image while it is built. */
struct image_link {
    bool used;
    uint32_t dir;
    uint32_t node;
    const char *name;
};

static struct image_link *link_find(struct image_link *links, uint32_t count, uint32_t dir,
                                    const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (links[i].used && links[i].dir == dir && strcmp(links[i].name, name) == 0) {
            return &links[i];
        }
    }
    return NULL;
}

/* Gives `node` a name; what had it loses it. */
static void link_put(struct image_link *links, uint32_t *count, struct image_link link)
{
    struct image_link *old = link_find(links, *count, link.dir, link.name);
    if (old == NULL) {
        old = &links[*count];
        (*count)++;
    }
    *old = link;
}

static void link_drop(struct image_link *links, uint32_t count, uint32_t dir, const char *name)
{
    struct image_link *old = link_find(links, count, dir, name);
    if (old != NULL) {
        old->used = false;
    }
}

static void links_apply(struct image_link *links, uint32_t *count, const struct file_event *e)
{
    struct image_link link = {.used = true, .dir = e->dir, .node = e->node, .name = e->name};
    switch (e->kind) {
    case FILE_LINK:
        link_put(links, count, link);
        break;
    case FILE_UNLINK:
        link_drop(links, *count, e->dir, e->name);
        break;
    default:
        ASSERT(e->kind == FILE_RENAME);
        link_drop(links, *count, e->dir, e->name);
        link.dir = e->to_dir;
        link.name = e->to_name;
        link_put(links, count, link);
        break;
    }
}

/* The names that are left when the last `taken` of the unsure changes are not. ret_end: the number
 * of the first change that was taken. */
static uint32_t links_of(const struct file_state *s, const struct file_loss *loss,
                         struct image_link *links, uint32_t *ret_end)
{
    uint32_t unsure = unsure_count(s, (enum file_names) loss->rule);
    ASSERT(loss->names_taken <= unsure);
    uint32_t kept = unsure - loss->names_taken;
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->changes_count; i++) {
        const struct state_change *c = &s->changes[i];
        if (!c->sure[loss->rule] && kept == 0) {
            *ret_end = c->at < *ret_end ? c->at : *ret_end;
            continue;
        }
        kept -= c->sure[loss->rule] ? 0 : 1;
        links_apply(links, &count, c->event);
    }
    return count;
}

/* What there was of a file after the first `end` events: lengths of files are in order with names,
 * so what was written behind a change that is lost is lost too, but for a sync that went ahead. */
static size_t size_before(const struct file_state *s, uint32_t node, uint32_t end)
{
    size_t size = 0;
    for (uint32_t i = 0; i < s->point && i < end; i++) {
        const struct file_event *e = file_journal_event(s->journal, i);
        if (e->kind == FILE_WRITE && e->node == node) {
            size = u64_max(size, e->offset + e->size);
        }
    }
    return size;
}

/* The data of a node after the crash. */
static void data_of(const struct file_state *s, const struct file_loss *loss, uint32_t node,
                    uint32_t end, struct file_image_name *name)
{
    const struct state_node *n = &s->nodes[node];
    bool torn = loss->torn && loss->torn_node == node;
    size_t size = loss->data_kept ? n->size : n->synced;
    if (loss->data_kept && loss->names_taken > 0) {
        size = size_before(s, node, end);
        ASSERT(size >= n->synced || loss->rule == FILE_NAMES_STRICT);
        size = u64_max(size, n->synced);
    }
    size = torn ? (size_t) loss->torn_size : size;
    if (!loss->data_kept && n->doubt_from < n->doubt_to && n->synced <= n->doubt_to) {
        size = n->doubt_from; /* Nothing behind it was synced: a shorter file. */
    }
    name->data = xmemdup(n->data, size);
    name->size = size;
    if (!loss->data_kept && n->doubt_to < size) {
        memset(name->data + n->doubt_from, 0, n->doubt_to - n->doubt_from);
    }
}

static struct file_image_name *image_add(struct file_image *image)
{
    if (image->count == image->capacity) {
        image->capacity = image->capacity == 0 ? 16 : image->capacity * 2;
        image->names = xrealloc(image->names, image->capacity * sizeof image->names[0]);
    }
    struct file_image_name *name = &image->names[image->count];
    memset(name, 0, sizeof *name);
    image->count++;
    return name;
}

void file_image_build(const struct file_state *s, const struct file_loss *loss,
                      struct file_image *ret_image)
{
    struct image_link *links = xcalloc(s->changes_count + 1, sizeof links[0]);
    uint32_t *nodes = xcalloc(s->changes_count + 1, sizeof nodes[0]);
    uint32_t end = UINT32_MAX;
    uint32_t links_count = links_of(s, loss, links, &end);
    struct file_image image = {.count = 0};
    /* The names of each directory that is in the image, from the root on. */
    for (uint32_t at = 0; at <= image.count; at++) {
        const char *path = at == 0 ? "" : image.names[at - 1].path;
        uint32_t dir = at == 0 ? ROOT : nodes[at - 1];
        for (uint32_t i = 0; i < links_count; i++) {
            if (!links[i].used || links[i].dir != dir || (at > 0 && !image.names[at - 1].is_dir)) {
                continue;
            }
            nodes[image.count] = links[i].node;
            struct file_image_name *name = image_add(&image);
            path = at == 0 ? "" : image.names[at - 1].path; /* image_add may have moved it. */
            size_t size = strlen(path) + strlen(links[i].name) + 2;
            name->path = xmalloc(size);
            int length = snprintf(name->path, size, "%s/%s", path, links[i].name);
            ASSERT(length > 0);
            name->is_dir = s->nodes[links[i].node].is_dir;
            if (!name->is_dir) {
                data_of(s, loss, links[i].node, end, name);
            }
        }
    }
    free(nodes);
    free(links);
    *ret_image = image;
}

void file_image_release(struct file_image *image)
{
    for (uint32_t i = 0; i < image->count; i++) {
        free(image->names[i].path);
        free(image->names[i].data);
    }
    free(image->names);
    memset(image, 0, sizeof *image);
}

uint64_t file_image_hash(const struct file_image *image)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < image->count; i++) {
        const struct file_image_name *n = &image->names[i];
        uint64_t path = hash64_bytes(n->is_dir ? 1 : 0, bytes_str(n->path));
        sum += hash64_mix(path, hash64_bytes(2, bytes_of(n->data, n->size)));
    }
    return sum;
}

static void make_name(const struct file_image_name *n, const char *path)
{
    if (n->is_dir) {
        int rc = mkdir(path, 0700);
        ASSERT(rc == 0);
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ASSERT(fd >= 0);
    size_t done = 0;
    while (done < n->size) {
        ssize_t written = write(fd, n->data + done, n->size - done);
        ASSERT(written > 0);
        done += (size_t) written;
    }
    close(fd);
}

void file_image_make(const struct file_image *image, const char *root)
{
    int rc = mkdir(root, 0700);
    ASSERT(rc == 0);
    for (uint32_t i = 0; i < image->count; i++) {
        char path[PATH_SIZE];
        int length = snprintf(path, sizeof path, "%s%s", root, image->names[i].path);
        ASSERT(length > 0 && (size_t) length < sizeof path);
        make_name(&image->names[i], path);
    }
}

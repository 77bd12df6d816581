/*
 * engine_net.c - the deterministic harness for engines.
 *
 * One loop: the earliest of {message delivery, disk completion, load, deadline} happens, then the
 * node concerned is pumped. Ties go by order of creation, so a run is a function of its seed.
 */

#include "tests/support/engine_net.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"
#include "tests/support/engine_net_internal.h"

void net_fail(struct engine_net *net, const char *format, ...)
{
    if (net->failure[0] != '\0') {
        return;
    }
    va_list args;
    va_start(args, format);
    int used = snprintf(net->failure, sizeof net->failure,
                        "t=%llu us: ", (unsigned long long) net->now_us);
    ASSERT(used > 0);
    (void) vsnprintf(net->failure + used, sizeof net->failure - (size_t) used, format, args);
    va_end(args);
}

unsigned long long net_llu(uint64_t v)
{
    return v;
}

/* Values. */

struct value *engine_net_value(uint64_t command, size_t payload)
{
    ASSERT(payload >= 8);
    uint8_t *bytes = xcalloc(payload, 1);
    enc_put_u64(bytes, command);
    struct value_builder b;
    value_builder_init(&b, payload + 64, 1);
    struct command c = {.tag = 1,
                        .session = 1,
                        .sequence = command,
                        .payload = bytes_of(bytes, payload)};
    int err = value_builder_add(&b, &c);
    ASSERT(err == OK);
    struct value *v = value_builder_detach(&b);
    value_builder_release(&b);
    free(bytes);
    return v;
}

struct value *net_value_of(uint64_t command)
{
    return engine_net_value(command, 8);
}

static uint64_t command_of(const struct value *v)
{
    size_t cursor = 0;
    struct command c;
    return value_next(v, &cursor, &c) ? c.sequence : 0;
}

/* The disk. */

void net_image_put(struct engine_net *net, struct net_node *n, const struct entry *entry)
{
    ASSERT(entry->index < net->slots);
    struct entry *at = &n->image[entry->index];
    struct value *value = value_ref(entry->value);
    bool again = at->value != NULL && at->value->crc == value->crc && at->epoch != entry->epoch;
    net->disks.rewritten += again ? 1 : 0;
    value_unref(at->value);
    *at = *entry;
    at->value = value;
    n->image_last = u64_max(n->image_last, entry->index);
    while (n->image_whole < n->image_last && n->image[n->image_whole + 1].value != NULL) {
        n->image_whole++;
    }
}

void net_image_cut(struct net_node *n, uint64_t from)
{
    for (uint64_t i = from; i <= n->image_last; i++) {
        value_unref(n->image[i].value);
        n->image[i] = (struct entry){0};
    }
    n->image_last = u64_min(n->image_last, from - 1);
    n->image_whole = u64_min(n->image_whole, from - 1);
}

static void image_write(struct engine_net *net, struct net_node *n, const struct log_write *w)
{
    net->disks.writes++;
    net->disks.entries += w->entries_count;
    net->disks.bytes += w->bytes;
    if (w->truncate_from != 0) {
        net_image_cut(n, w->truncate_from);
    }
    for (uint32_t i = 0; i < w->entries_count; i++) {
        net_image_put(net, n, &w->entries[i]);
    }
    for (uint32_t i = 0; i < w->promises_count; i++) {
        ASSERT(w->promises[i].index < net->slots);
        n->image_promises[w->promises[i].index] = w->promises[i].ballot;
        n->image_promised = u64_max(n->image_promised, w->promises[i].index);
    }
    if (w->hard_set) {
        n->image_hard = w->hard;
    }
}

void engine_net_preload(struct engine_net *net, uint32_t node, const struct hard_state *hard,
                        const uint64_t *epochs, uint32_t count)
{
    struct net_node *n = net_node_of(net, node);
    ASSERT(n->consensus == NULL);
    n->image_hard = *hard;
    for (uint32_t i = 0; i < count; i++) {
        struct value *v = net_value_of((i + 1) * 1000 + epochs[i]);
        net_image_put(net, n, &(struct entry){.index = i + 1, .epoch = epochs[i], .value = v});
        value_unref(v);
    }
}

void engine_net_preload_run(struct engine_net *net, uint32_t node, const struct hard_state *hard,
                            const struct engine_net_run_of *run)
{
    struct net_node *n = net_node_of(net, node);
    ASSERT(n->consensus == NULL);
    n->image_hard = *hard;
    for (uint64_t i = run->first; i < run->first + run->count; i++) {
        net_image_put(net, n, &(struct entry){i, run->epoch, run->value});
    }
}

/* Checks. */

static bool image_has(const struct net_node *n, uint64_t index)
{
    return index <= n->image_last && n->image[index].value != NULL;
}

/* R6, P14: is what this message promises true of the sender's synced image? */
static void check_send(struct engine_net *net, const struct net_node *n, const struct message *m)
{
    if (m->reject) {
        return;
    }
    uint64_t slot = u64_min(m->pos.index, net->slots - 1);
    bool good = true;
    switch (m->type) {
    case MSG_RAFT_VOTE_REPLY:
        good = n->image_hard.epoch > m->epoch ||
               (n->image_hard.epoch == m->epoch && n->image_hard.vote == m->to);
        break;
    case MSG_RAFT_APPEND_REPLY:
    case MSG_RAFT_HEARTBEAT_REPLY: /* `last`: the match that a lost append reply would have told */
        good = m->last <= n->image_whole;
        break;
    case MSG_PAXOS_PROMISE:
        good = engine_number(net->options.engine) == ENGINE_PAXOS
                   ? n->image_promises[slot] >= m->epoch || n->image[slot].epoch >= m->epoch
                   : n->image_hard.epoch >= m->epoch;
        good = good || slot <= n->commit; /* chosen: nothing is promised */
        break;
    case MSG_PAXOS_ACCEPTED:
        for (uint64_t i = m->pos.index; i <= m->last && good; i++) {
            good = image_has(n, i) && (n->image[i].epoch >= m->epoch || i <= n->commit);
        }
        break;
    default:
        break;
    }
    if (!good) {
        net_fail(net, "node %u sent %s (epoch %llu, index %llu, last %llu) before it was durable",
                 n->id, message_name(m->type), net_llu(m->epoch), net_llu(m->pos.index),
                 net_llu(m->last));
    }
}

static void check_leader(struct engine_net *net, const struct net_node *n)
{
    if (engine_number(net->options.engine) == ENGINE_PAXOS) {
        return;
    }
    struct consensus_status status;
    consensus_status(n->consensus, &status);
    if (status.role != ROLE_LEADER) {
        return;
    }
    for (uint32_t i = 0; i < net->leaders_count; i++) {
        if (net->leaders[i].epoch == status.epoch) {
            if (net->leaders[i].node != n->id) {
                net_fail(net, "R1: nodes %u and %u both led epoch %llu", net->leaders[i].node,
                         n->id, net_llu(status.epoch));
            }
            return;
        }
    }
    ASSERT(net->leaders_count < ARRAY_SIZE(net->leaders));
    net->leaders[net->leaders_count].epoch = status.epoch;
    net->leaders[net->leaders_count].node = n->id;
    net->leaders_count++;
}

/* Pumping. */

uint64_t engine_net_message_size(const struct message *m)
{
    enum { FRAME = 56, ENTRY = 20 }; /* test_engine_net holds them against proto/wire_peer */
    return FRAME + (uint64_t) m->entries_count * ENTRY + m->bytes;
}

static void transmit(struct engine_net *net, struct message *m, uint64_t delay_us)
{
    struct packet *p = xcalloc(1, sizeof *p);
    p->message = m;
    p->delay_us = delay_us;
    p->at_us = net->now_us + delay_us;
    p->from_life = net->nodes[m->from]->life;
    p->to_life = net->nodes[m->to]->life;
    if (net->options.link_rate != 0 && m->from != m->to && net->nodes[m->to]->consensus != NULL) {
        net_link_give(net, p);
        return;
    }
    list_push_back(&net->packets, &p->node);
}

static uint64_t delay_of(struct engine_net *net, const struct message *m)
{
    const struct engine_net_options *o = &net->options;
    return o->delay != NULL ? o->delay(o->ctx, m, &net->rng)
                            : rng_between(&net->rng, o->delay_min_us, o->delay_max_us);
}

void net_post(struct engine_net *net, struct message *m)
{
    net->sent[m->type]++;
    net->sent_all++;
    if (m->to == m->from) {
        transmit(net, m, 0);
        return;
    }
    net->traffic[m->type].sent++;
    net->traffic[m->type].bytes += engine_net_message_size(m);
    if (net->filter != NULL && !net->filter(net, m, net->filter_ctx)) {
        message_free(m);
        return;
    }
    if (rng_chance(&net->rng, net->options.duplicate, 100)) {
        transmit(net, message_copy(m), delay_of(net, m));
    }
    if (rng_chance(&net->rng, net->options.loss, 100)) {
        message_free(m);
        return;
    }
    transmit(net, m, delay_of(net, m));
}

static void send_message(struct engine_net *net, struct net_node *n, struct message *m)
{
    ASSERT(m->from == n->id);
    check_send(net, n, m);
    net_post(net, m);
}

static struct value *committed_value(struct net_node *n, uint64_t index)
{
    struct entry entry;
    int err = log_entry(n->log, index, &entry);
    if (err == OK) {
        return entry.value;
    }
    return image_has(n, index) ? n->image[index].value : NULL;
}

static void apply(struct engine_net *net, struct net_node *n, uint64_t commit)
{
    if (commit < n->commit) {
        net_fail(net, "node %u: commit moved back from %llu to %llu", n->id, net_llu(n->commit),
                 net_llu(commit));
    }
    n->commit = commit;
    while (n->applied < commit) {
        uint64_t index = n->applied + 1;
        ASSERT(index < net->slots);
        const struct value *v = committed_value(n, index);
        if (v == NULL) {
            net_fail(net, "node %u: committed entry %llu is nowhere", n->id, net_llu(index));
            return;
        }
        if (net->chosen_known[index] && net->chosen_crc[index] != v->crc) {
            net_fail(net, "R5/P1: node %u commits another value at %llu", n->id, net_llu(index));
        }
        net->chosen_known[index] = true;
        net->chosen_crc[index] = v->crc;
        n->applied_commands[index] = command_of(v);
        if (net->watched != 0 && net->watched_us == 0 &&
            n->applied_commands[index] == net->watched) {
            net->watched_us = net->now_us;
        }
        n->applied = index;
        net->committed = u64_max(net->committed, index);
    }
}

static void take_reads(struct engine_net *net, const struct ready *ready)
{
    for (uint32_t i = 0; i < ready->reads_count; i++) {
        const struct read_state *r = &ready->reads[i];
        if (r->ctx == 0 || r->ctx > net->reads_count) {
            net_fail(net, "an answer to a read that nobody asked: %llu", net_llu(r->ctx));
            continue;
        }
        struct read_job *job = &net->reads[r->ctx - 1];
        if (job->err != ERR_AGAIN) {
            net_fail(net, "read %llu answered twice", net_llu(r->ctx));
        }
        job->err = r->err;
        job->index = r->index;
        if (r->err == OK && r->index < job->committed) {
            net_fail(net, "R9: read at node %u got %llu, committed before it was asked: %llu",
                     job->node, net_llu(r->index), net_llu(job->committed));
        }
    }
}

/* With a rate: the disk is free, or the write joins those that are done together next. */
static void disk_schedule(struct engine_net *net, struct net_node *n, struct disk_job *job)
{
    struct list_node *first = list_first(&n->disk);
    if (first == NULL) {
        n->disk_batch++;
        n->disk_batch_bytes = 0;
        job->batch = n->disk_batch;
        job->at_us = net->now_us + net->options.disk_us +
                     job->write->bytes * 1000000 / net->options.disk_rate;
        return;
    }
    n->disk_batch_bytes += job->write->bytes;
    job->batch = n->disk_batch + 1;
    uint64_t at_us = list_entry(first, struct disk_job, node)->at_us + net->options.disk_us +
                     n->disk_batch_bytes * 1000000 / net->options.disk_rate;
    job->at_us = at_us;
    LIST_FOR_EACH(&n->disk, node) {
        struct disk_job *other = list_entry(node, struct disk_job, node);
        other->at_us = other->batch == job->batch ? at_us : other->at_us;
    }
}

static void disk_give(struct engine_net *net, struct net_node *n, struct log_write *write)
{
    struct disk_job *job = xcalloc(1, sizeof *job);
    job->write = write;
    job->at_us = net->now_us + net->options.disk_us;
    if (net->options.disk_rate != 0) {
        disk_schedule(net, n, job);
    }
    list_push_back(&n->disk, &job->node);
}

/* The next batch is the one that is being written now. */
static void disk_turn(struct net_node *n, const struct disk_job *done)
{
    const struct list_node *first = list_first(&n->disk);
    if (first != NULL &&
        list_entry((struct list_node *) first, struct disk_job, node)->batch != done->batch) {
        n->disk_batch++;
        n->disk_batch_bytes = 0;
    }
}

static void take_output(struct engine_net *net, struct net_node *n)
{
    struct ready ready;
    consensus_take(n->consensus, &ready);
    if (ready.write != NULL) {
        disk_give(net, n, ready.write);
    }
    for (uint32_t i = 0; i < ready.loads_count; i++) {
        struct load_job *job = xcalloc(1, sizeof *job);
        job->load = ready.loads[i];
        job->at_us = net->now_us + net->options.load_us;
        list_push_back(&n->loads, &job->node);
    }
    take_reads(net, &ready);
    struct list_node *node;
    while ((node = list_pop_front(&ready.now)) != NULL) {
        send_message(net, n, list_entry(node, struct message, node));
    }
    while ((node = list_pop_front(&ready.after)) != NULL) {
        struct message *m = list_entry(node, struct message, node);
        if (ready.after_write == 0) {
            send_message(net, n, m);
            continue;
        }
        struct waiting *w = xcalloc(1, sizeof *w);
        w->message = m;
        w->write_id = ready.after_write;
        list_push_back(&n->waiting, &w->node);
    }
    if (ready.commit > n->applied) {
        apply(net, n, ready.commit);
        consensus_applied(n->consensus, n->applied);
    }
}

void net_pump(struct engine_net *net, struct net_node *n)
{
    for (uint32_t rounds = 0; consensus_has_ready(n->consensus); rounds++) {
        ASSERT(rounds < 1000);
        take_output(net, n);
    }
    check_leader(net, n);
}

static void disk_done(struct engine_net *net, struct net_node *n)
{
    struct disk_job *job = list_entry(list_pop_front(&n->disk), struct disk_job, node);
    uint64_t id = job->write->id;
    disk_turn(n, job);
    image_write(net, n, job->write);
    log_write_free(job->write);
    free(job);
    consensus_stored(n->consensus, id);
    struct list_node *node;
    while ((node = list_first(&n->waiting)) != NULL) {
        struct waiting *w = list_entry(node, struct waiting, node);
        if (w->write_id > id) {
            break;
        }
        list_remove(node);
        send_message(net, n, w->message);
        free(w);
    }
    net_pump(net, n);
}

static void load_done(struct engine_net *net, struct net_node *n)
{
    struct load_job *job = list_entry(list_pop_front(&n->loads), struct load_job, node);
    struct entry entries[256];
    uint32_t count = 0;
    uint64_t bytes = 0;
    int err = OK;
    for (uint64_t i = job->load.first; i <= job->load.last && count < 256; i++) {
        if (!image_has(n, i)) {
            err = count == 0 ? ERR_COMPACTED : OK;
            break;
        }
        bytes += n->image[i].value->bytes.size;
        if (count > 0 && bytes > job->load.bytes_max) {
            break;
        }
        entries[count++] = n->image[i];
    }
    consensus_loaded(n->consensus, job->load.id, err, entries, count);
    free(job);
    net_pump(net, n);
}

static void deliver(struct engine_net *net, struct packet *p)
{
    struct message *m = p->message;
    struct net_node *n = net->nodes[m->to];
    bool good = n->consensus != NULL && p->to_life == n->life &&
                p->from_life == net->nodes[m->from]->life && net->link_up[m->from][m->to];
    if (good) {
        net->traffic[m->type].delivered += m->from != m->to ? 1 : 0;
        int err = consensus_step(n->consensus, m);
        if (err != OK && err != ERR_INVALID) {
            net_fail(net, "step of %s at node %u: %s", message_name(m->type), n->id, err_name(err));
        }
        net_pump(net, n);
    }
    message_free(m);
    free(p);
}

/* The loop. */

struct event {
    uint64_t at_us;
    struct net_node *disk;
    struct net_node *load;
    struct net_node *tick;
    struct net_node *link;
    struct packet *packet;
};

static struct event next_event(struct engine_net *net)
{
    struct event next = {.at_us = UINT64_MAX};
    LIST_FOR_EACH(&net->packets, node) {
        struct packet *p = list_entry(node, struct packet, node);
        if (p->at_us < next.at_us) {
            next = (struct event){.at_us = p->at_us, .packet = p};
        }
    }
    for (uint32_t i = 1; i <= net->options.nodes; i++) {
        struct net_node *n = net->nodes[i];
        if (n->consensus == NULL) {
            continue;
        }
        struct list_node *disk = list_first(&n->disk);
        if (disk != NULL && !n->disk_held) {
            uint64_t at = list_entry(disk, struct disk_job, node)->at_us;
            if (at < next.at_us) {
                next = (struct event){.at_us = at, .disk = n};
            }
        }
        struct list_node *load = list_first(&n->loads);
        if (load != NULL && list_entry(load, struct load_job, node)->at_us < next.at_us) {
            next =
                (struct event){.at_us = list_entry(load, struct load_job, node)->at_us, .load = n};
        }
        if (net_link_due(n) < next.at_us) {
            next = (struct event){.at_us = net_link_due(n), .link = n};
        }
        uint64_t deadline = consensus_deadline(n->consensus);
        if (deadline < next.at_us) {
            next = (struct event){.at_us = deadline, .tick = n};
        }
    }
    return next;
}

/* Time moves for all nodes, as one clock would; each hears of it with its next event. */
void net_advance(struct engine_net *net, uint64_t at_us, struct net_node *n)
{
    net->now_us = u64_max(net->now_us, at_us);
    if (n != NULL && n->consensus != NULL) {
        consensus_tick(n->consensus, net->now_us);
    }
}

static void happen(struct engine_net *net, const struct event *e)
{
    if (e->packet != NULL) {
        list_remove(&e->packet->node);
        struct net_node *n = net->nodes[e->packet->message->to];
        net_advance(net, e->at_us, n);
        if (n->consensus != NULL) {
            net_pump(net, n);
        }
        deliver(net, e->packet);
    } else if (e->disk != NULL) {
        net_advance(net, e->at_us, e->disk);
        disk_done(net, e->disk);
    } else if (e->link != NULL) {
        net_advance(net, e->at_us, NULL);
        net_link_turn(net, e->link);
    } else if (e->load != NULL) {
        net_advance(net, e->at_us, e->load);
        load_done(net, e->load);
    } else {
        uint64_t before = net->now_us;
        net_advance(net, e->at_us, e->tick);
        net_pump(net, e->tick);
        if (net->now_us == before && consensus_deadline(e->tick->consensus) <= net->now_us) {
            net_fail(net, "node %u: the deadline stands still", e->tick->id);
            net->now_us++;
        }
    }
}

bool engine_net_run_until(struct engine_net *net, uint64_t us,
                          bool (*condition)(struct engine_net *net, void *ctx), void *ctx)
{
    uint64_t end_us = net->now_us + us;
    while (condition == NULL || !condition(net, ctx)) {
        struct event e = next_event(net);
        if (e.at_us > end_us) {
            net->now_us = end_us;
            return false;
        }
        happen(net, &e);
    }
    return true;
}

void engine_net_run(struct engine_net *net, uint64_t us)
{
    (void) engine_net_run_until(net, us, NULL, NULL);
}

static bool has_leader(struct engine_net *net, void *ctx)
{
    (void) ctx;
    return engine_net_leader(net) != 0;
}

bool engine_net_run_to_leader(struct engine_net *net, uint64_t us)
{
    return engine_net_run_until(net, us, has_leader, NULL);
}

struct applied_goal {
    uint64_t command;
    uint32_t nodes;
};

static bool is_applied(struct engine_net *net, void *ctx)
{
    const struct applied_goal *goal = ctx;
    return engine_net_applied_on(net, goal->command) >= goal->nodes;
}

bool engine_net_run_to_applied(struct engine_net *net, uint64_t us, uint64_t command,
                               uint32_t nodes)
{
    struct applied_goal goal = {.command = command, .nodes = nodes};
    return engine_net_run_until(net, us, is_applied, &goal);
}

uint64_t engine_net_now(const struct engine_net *net)
{
    return net->now_us;
}

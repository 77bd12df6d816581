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
#include "base/rng.h"

/* A message in flight. */
struct packet {
    struct list_node node;
    struct message *message;
    uint64_t at_us;
    uint32_t from_life;
    uint32_t to_life;
};

/* `after` messages waiting for a write. */
struct waiting {
    struct list_node node;
    struct message *message;
    uint64_t write_id;
};

struct disk_job {
    struct list_node node;
    struct log_write *write;
    uint64_t at_us;
};

struct load_job {
    struct list_node node;
    struct load load;
    uint64_t at_us;
};

struct read_job {
    uint32_t node;
    uint64_t committed; /* when it was asked */
    int err;            /* ERR_AGAIN: pending */
    uint64_t index;
};

struct net_node {
    uint32_t id;
    uint32_t life;
    struct consensus *consensus;
    struct log *log;
    struct list disk;
    struct list waiting;
    struct list loads;
    bool disk_held;
    uint64_t commit;
    uint64_t applied;
    uint64_t *applied_commands; /* by index; 0: none */
    struct hard_state image_hard;
    struct entry image[ENGINE_NET_SLOTS_MAX];
    uint64_t image_promises[ENGINE_NET_SLOTS_MAX];
    uint64_t image_last;
};

struct engine_net {
    struct engine_net_options options;
    struct rng rng;
    uint64_t now_us;
    struct net_node *nodes[ENGINE_NET_NODES_MAX + 1];
    bool link_up[ENGINE_NET_NODES_MAX + 1][ENGINE_NET_NODES_MAX + 1];
    struct list packets;
    struct read_job *reads;
    uint64_t reads_count;
    uint32_t *chosen_crc; /* by index; valid when chosen_known */
    bool *chosen_known;
    uint64_t committed;
    uint64_t sent[256];
    uint64_t sent_all;
    struct {
        uint64_t epoch;
        uint32_t node;
    } leaders[4096];
    uint32_t leaders_count;
    engine_net_filter_fn filter;
    void *filter_ctx;
    char failure[256];
};

static void fail(struct engine_net *net, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void fail(struct engine_net *net, const char *format, ...)
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

static unsigned long long llu(uint64_t v)
{
    return v;
}

void engine_net_options_init(struct engine_net_options *o, const struct engine_ops *engine,
                             uint32_t nodes, uint64_t seed)
{
    *o = (struct engine_net_options){
        .engine = engine,
        .nodes = nodes,
        .seed = seed,
        .delay_min_us = 3000,
        .delay_max_us = 3000,
        .disk_us = 1000,
        .load_us = 1000,
        .memory_max = 1u << 20,
        .slots_max = 4096,
    };
    consensus_options_init(&o->consensus);
    o->consensus.election_us = 100000;
    o->consensus.heartbeat_us = 10000;
    o->consensus.resend_us = 30000;
    o->consensus.backoff_min_us = 5000;
    o->consensus.backoff_max_us = 100000;
    o->consensus.disk_stuck_us = 300000;
}

struct engine_net *engine_net_new(const struct engine_net_options *options)
{
    ASSERT(options->nodes >= 1);
    ASSERT(options->nodes <= ENGINE_NET_NODES_MAX);
    struct engine_net *net = xcalloc(1, sizeof *net);
    net->options = *options;
    rng_init(&net->rng, options->seed);
    list_init(&net->packets);
    net->chosen_crc = xcalloc(ENGINE_NET_SLOTS_MAX, sizeof *net->chosen_crc);
    net->chosen_known = xcalloc(ENGINE_NET_SLOTS_MAX, sizeof *net->chosen_known);
    for (uint32_t i = 1; i <= options->nodes; i++) {
        struct net_node *n = xcalloc(1, sizeof *n);
        n->id = i;
        list_init(&n->disk);
        list_init(&n->waiting);
        list_init(&n->loads);
        n->applied_commands = xcalloc(ENGINE_NET_SLOTS_MAX, sizeof *n->applied_commands);
        net->nodes[i] = n;
    }
    engine_net_heal(net);
    return net;
}

static struct net_node *node_of(const struct engine_net *net, uint32_t node)
{
    ASSERT(node >= 1);
    ASSERT(node <= net->options.nodes);
    return net->nodes[node];
}

/* Values. */

static struct value *value_of(uint64_t command)
{
    uint8_t payload[8];
    enc_put_u64(payload, command);
    struct value_builder b;
    value_builder_init(&b, 64, 1);
    struct command c = {.tag = 1,
                        .session = 1,
                        .sequence = command,
                        .payload = bytes_of(payload, 8)};
    int err = value_builder_add(&b, &c);
    ASSERT(err == OK);
    struct value *v = value_builder_detach(&b);
    value_builder_release(&b);
    return v;
}

static uint64_t command_of(const struct value *v)
{
    size_t cursor = 0;
    struct command c;
    return value_next(v, &cursor, &c) ? c.sequence : 0;
}

/* The disk. */

static void image_put(struct net_node *n, const struct entry *entry)
{
    ASSERT(entry->index < ENGINE_NET_SLOTS_MAX);
    struct entry *at = &n->image[entry->index];
    struct value *value = value_ref(entry->value);
    value_unref(at->value);
    *at = *entry;
    at->value = value;
    n->image_last = u64_max(n->image_last, entry->index);
}

static void image_cut(struct net_node *n, uint64_t from)
{
    for (uint64_t i = from; i <= n->image_last; i++) {
        value_unref(n->image[i].value);
        n->image[i] = (struct entry){0};
    }
    n->image_last = u64_min(n->image_last, from - 1);
}

static void image_write(struct net_node *n, const struct log_write *w)
{
    if (w->truncate_from != 0) {
        image_cut(n, w->truncate_from);
    }
    for (uint32_t i = 0; i < w->entries_count; i++) {
        image_put(n, &w->entries[i]);
    }
    for (uint32_t i = 0; i < w->promises_count; i++) {
        ASSERT(w->promises[i].index < ENGINE_NET_SLOTS_MAX);
        n->image_promises[w->promises[i].index] = w->promises[i].ballot;
    }
    if (w->hard_set) {
        n->image_hard = w->hard;
    }
}

void engine_net_preload(struct engine_net *net, uint32_t node, const struct hard_state *hard,
                        const uint64_t *epochs, uint32_t count)
{
    struct net_node *n = node_of(net, node);
    ASSERT(n->consensus == NULL);
    n->image_hard = *hard;
    for (uint32_t i = 0; i < count; i++) {
        struct value *v = value_of((i + 1) * 1000 + epochs[i]);
        image_put(n, &(struct entry){.index = i + 1, .epoch = epochs[i], .value = v});
        value_unref(v);
    }
}

/* Checks. */

static bool image_has(const struct net_node *n, uint64_t index)
{
    return index < ENGINE_NET_SLOTS_MAX && n->image[index].value != NULL;
}

/* R6, P14: is what this message promises true of the sender's synced image? */
static void check_send(struct engine_net *net, const struct net_node *n, const struct message *m)
{
    if (m->reject) {
        return;
    }
    uint64_t slot = u64_min(m->pos.index, ENGINE_NET_SLOTS_MAX - 1);
    bool good = true;
    switch (m->type) {
    case MSG_RAFT_VOTE_REPLY:
        good = n->image_hard.epoch > m->epoch ||
               (n->image_hard.epoch == m->epoch && n->image_hard.vote == m->to);
        break;
    case MSG_RAFT_APPEND_REPLY:
    case MSG_RAFT_HEARTBEAT_REPLY: /* `last`: the match that a lost append reply would have told */
        for (uint64_t i = 1; i <= m->last && good; i++) {
            good = image_has(n, i);
        }
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
        fail(net, "node %u sent %s (epoch %llu, index %llu, last %llu) before it was durable",
             n->id, message_name(m->type), llu(m->epoch), llu(m->pos.index), llu(m->last));
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
                fail(net, "R1: nodes %u and %u both led epoch %llu", net->leaders[i].node, n->id,
                     llu(status.epoch));
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

static void transmit(struct engine_net *net, struct message *m, uint64_t delay_us)
{
    struct packet *p = xcalloc(1, sizeof *p);
    p->message = m;
    p->at_us = net->now_us + delay_us;
    p->from_life = net->nodes[m->from]->life;
    p->to_life = net->nodes[m->to]->life;
    list_push_back(&net->packets, &p->node);
}

static uint64_t delay_of(struct engine_net *net)
{
    return rng_between(&net->rng, net->options.delay_min_us, net->options.delay_max_us);
}

static void send_message(struct engine_net *net, struct net_node *n, struct message *m)
{
    ASSERT(m->from == n->id);
    check_send(net, n, m);
    net->sent[m->type]++;
    net->sent_all++;
    if (m->to == m->from) {
        transmit(net, m, 0);
        return;
    }
    if (net->filter != NULL && !net->filter(net, m, net->filter_ctx)) {
        message_free(m);
        return;
    }
    if (rng_chance(&net->rng, net->options.duplicate, 100)) {
        transmit(net, message_copy(m), delay_of(net));
    }
    if (rng_chance(&net->rng, net->options.loss, 100)) {
        message_free(m);
        return;
    }
    transmit(net, m, delay_of(net));
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
        fail(net, "node %u: commit moved back from %llu to %llu", n->id, llu(n->commit),
             llu(commit));
    }
    n->commit = commit;
    while (n->applied < commit) {
        uint64_t index = n->applied + 1;
        ASSERT(index < ENGINE_NET_SLOTS_MAX);
        const struct value *v = committed_value(n, index);
        if (v == NULL) {
            fail(net, "node %u: committed entry %llu is nowhere", n->id, llu(index));
            return;
        }
        if (net->chosen_known[index] && net->chosen_crc[index] != v->crc) {
            fail(net, "R5/P1: node %u commits another value at %llu", n->id, llu(index));
        }
        net->chosen_known[index] = true;
        net->chosen_crc[index] = v->crc;
        n->applied_commands[index] = command_of(v);
        n->applied = index;
        net->committed = u64_max(net->committed, index);
    }
}

static void take_reads(struct engine_net *net, const struct ready *ready)
{
    for (uint32_t i = 0; i < ready->reads_count; i++) {
        const struct read_state *r = &ready->reads[i];
        if (r->ctx == 0 || r->ctx > net->reads_count) {
            fail(net, "an answer to a read that nobody asked: %llu", llu(r->ctx));
            continue;
        }
        struct read_job *job = &net->reads[r->ctx - 1];
        if (job->err != ERR_AGAIN) {
            fail(net, "read %llu answered twice", llu(r->ctx));
        }
        job->err = r->err;
        job->index = r->index;
        if (r->err == OK && r->index < job->committed) {
            fail(net, "R9: read at node %u got %llu, committed before it was asked: %llu",
                 job->node, llu(r->index), llu(job->committed));
        }
    }
}

static void take_output(struct engine_net *net, struct net_node *n)
{
    struct ready ready;
    consensus_take(n->consensus, &ready);
    if (ready.write != NULL) {
        struct disk_job *job = xcalloc(1, sizeof *job);
        job->write = ready.write;
        job->at_us = net->now_us + net->options.disk_us;
        list_push_back(&n->disk, &job->node);
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

static void pump(struct engine_net *net, struct net_node *n)
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
    image_write(n, job->write);
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
    pump(net, n);
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
    pump(net, n);
}

static void deliver(struct engine_net *net, struct packet *p)
{
    struct message *m = p->message;
    struct net_node *n = net->nodes[m->to];
    bool good = n->consensus != NULL && p->to_life == n->life &&
                p->from_life == net->nodes[m->from]->life && net->link_up[m->from][m->to];
    if (good) {
        int err = consensus_step(n->consensus, m);
        if (err != OK && err != ERR_INVALID) {
            fail(net, "step of %s at node %u: %s", message_name(m->type), n->id, err_name(err));
        }
        pump(net, n);
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
        uint64_t deadline = consensus_deadline(n->consensus);
        if (deadline < next.at_us) {
            next = (struct event){.at_us = deadline, .tick = n};
        }
    }
    return next;
}

/* Time moves for all nodes, as one clock would; each hears of it with its next event. */
static void advance(struct engine_net *net, uint64_t at_us, struct net_node *n)
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
        advance(net, e->at_us, n);
        if (n->consensus != NULL) {
            pump(net, n);
        }
        deliver(net, e->packet);
    } else if (e->disk != NULL) {
        advance(net, e->at_us, e->disk);
        disk_done(net, e->disk);
    } else if (e->load != NULL) {
        advance(net, e->at_us, e->load);
        load_done(net, e->load);
    } else {
        uint64_t before = net->now_us;
        advance(net, e->at_us, e->tick);
        pump(net, e->tick);
        if (net->now_us == before && consensus_deadline(e->tick->consensus) <= net->now_us) {
            fail(net, "node %u: the deadline stands still", e->tick->id);
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

/* Nodes. */

static void restore(struct engine_net *net, struct net_node *n)
{
    uint32_t capacity = (uint32_t) n->image_last + 1;
    struct entry *entries = xcalloc(capacity, sizeof *entries);
    struct slot_promise *promises = xcalloc(ENGINE_NET_SLOTS_MAX, sizeof *promises);
    uint32_t count = 0;
    uint32_t promises_count = 0;
    for (uint64_t i = 1; i <= n->image_last; i++) {
        if (n->image[i].value != NULL) {
            entries[count++] = n->image[i];
        }
    }
    for (uint64_t i = 1; i < ENGINE_NET_SLOTS_MAX; i++) {
        if (n->image_promises[i] != 0) {
            promises[promises_count++] =
                (struct slot_promise){.index = i, .ballot = n->image_promises[i]};
        }
    }
    int err = log_restore(n->log, entries, count, promises, promises_count, n->image_hard.commit);
    if (err != OK) {
        fail(net, "node %u: restore: %s (commit %llu, last %llu)", n->id, err_name(err),
             llu(n->image_hard.commit), llu(n->image_last));
    }
    free(entries);
    free(promises);
}

void engine_net_start_node(struct engine_net *net, uint32_t node)
{
    struct net_node *n = node_of(net, node);
    ASSERT(n->consensus == NULL);
    n->life++;
    n->commit = 0;
    n->applied = 0;
    memset(n->applied_commands, 0, ENGINE_NET_SLOTS_MAX * sizeof *n->applied_commands);
    n->log = log_new(net->options.memory_max, net->options.slots_max, (struct log_pos){0, 0});
    restore(net, n);
    struct consensus_options o = net->options.consensus;
    uint32_t ids[ENGINE_NET_NODES_MAX];
    for (uint32_t i = 0; i < net->options.nodes; i++) {
        ids[i] = i + 1;
    }
    int err = membership_init(&o.members, ids, net->options.nodes);
    ASSERT(err == OK);
    o.self = node;
    o.seed = rng_u64(&net->rng);
    o.trace = net->options.trace;
    err = consensus_new(net->options.engine, &o, &n->image_hard, n->log, &n->consensus);
    ASSERT(err == OK);
    consensus_tick(n->consensus, net->now_us);
    pump(net, n);
}

void engine_net_start(struct engine_net *net)
{
    for (uint32_t i = 1; i <= net->options.nodes; i++) {
        if (net->nodes[i]->consensus == NULL) {
            engine_net_start_node(net, i);
        }
    }
}

static void jobs_free(struct net_node *n)
{
    struct list_node *node;
    while ((node = list_pop_front(&n->disk)) != NULL) {
        struct disk_job *job = list_entry(node, struct disk_job, node);
        log_write_free(job->write);
        free(job);
    }
    while ((node = list_pop_front(&n->waiting)) != NULL) {
        struct waiting *w = list_entry(node, struct waiting, node);
        message_free(w->message);
        free(w);
    }
    while ((node = list_pop_front(&n->loads)) != NULL) {
        free(list_entry(node, struct load_job, node));
    }
}

void engine_net_crash(struct engine_net *net, uint32_t node)
{
    struct net_node *n = node_of(net, node);
    if (n->consensus == NULL) {
        return;
    }
    jobs_free(n);
    consensus_free(n->consensus);
    log_free(n->log);
    n->consensus = NULL;
    n->log = NULL;
    n->life++;
    for (uint64_t i = 0; i < net->reads_count; i++) {
        if (net->reads[i].node == node && net->reads[i].err == ERR_AGAIN) {
            net->reads[i].err = ERR_CLOSED;
        }
    }
}

void engine_net_restart(struct engine_net *net, uint32_t node)
{
    engine_net_crash(net, node);
    engine_net_start_node(net, node);
}

void engine_net_free(struct engine_net *net)
{
    for (uint32_t i = 1; i <= net->options.nodes; i++) {
        struct net_node *n = net->nodes[i];
        engine_net_crash(net, i);
        image_cut(n, 1);
        free(n->applied_commands);
        free(n);
    }
    struct list_node *node;
    while ((node = list_pop_front(&net->packets)) != NULL) {
        struct packet *p = list_entry(node, struct packet, node);
        message_free(p->message);
        free(p);
    }
    free(net->reads);
    free(net->chosen_crc);
    free(net->chosen_known);
    free(net);
}

struct consensus *engine_net_node(const struct engine_net *net, uint32_t node)
{
    return node_of(net, node)->consensus;
}

struct log *engine_net_log(const struct engine_net *net, uint32_t node)
{
    return node_of(net, node)->log;
}

struct consensus_status engine_net_status(const struct engine_net *net, uint32_t node)
{
    struct consensus_status status = {0};
    if (node_of(net, node)->consensus != NULL) {
        consensus_status(node_of(net, node)->consensus, &status);
    }
    return status;
}

uint32_t engine_net_leader(const struct engine_net *net)
{
    uint32_t leader = 0;
    uint64_t epoch = 0;
    for (uint32_t i = 1; i <= net->options.nodes; i++) {
        struct consensus_status status = engine_net_status(net, i);
        if (status.role == ROLE_PROPOSER) {
            return i;
        }
        if (status.role == ROLE_LEADER && status.epoch >= epoch) {
            leader = i;
            epoch = status.epoch;
        }
    }
    return leader;
}

/* Inputs. */

int engine_net_propose(struct engine_net *net, uint32_t node, uint64_t command)
{
    struct net_node *n = node_of(net, node);
    if (n->consensus == NULL) {
        return ERR_CLOSED;
    }
    advance(net, net->now_us, n);
    struct value *v = value_of(command);
    int err = consensus_propose(n->consensus, v);
    value_unref(v);
    pump(net, n);
    return err;
}

int engine_net_submit(struct engine_net *net, uint64_t us, uint64_t command)
{
    uint64_t end_us = net->now_us + us;
    for (;;) {
        uint32_t leader = engine_net_leader(net);
        int err = leader == 0 ? ERR_NO_LEADER : engine_net_propose(net, leader, command);
        if (err == OK || net->now_us >= end_us) {
            return err;
        }
        engine_net_run(net, 1000);
    }
}

int engine_net_read(struct engine_net *net, uint32_t node, uint64_t *ret_ctx)
{
    struct net_node *n = node_of(net, node);
    if (n->consensus == NULL) {
        return ERR_CLOSED;
    }
    advance(net, net->now_us, n);
    net->reads = xrealloc(net->reads, (net->reads_count + 1) * sizeof *net->reads);
    net->reads[net->reads_count] =
        (struct read_job){.node = node, .committed = net->committed, .err = ERR_AGAIN};
    net->reads_count++;
    int err = consensus_read(n->consensus, net->reads_count);
    if (err == OK) {
        *ret_ctx = net->reads_count;
    } else {
        net->reads[net->reads_count - 1].err = err;
    }
    pump(net, n);
    return err;
}

int engine_net_transfer(struct engine_net *net, uint32_t node, uint32_t to)
{
    struct net_node *n = node_of(net, node);
    if (n->consensus == NULL) {
        return ERR_CLOSED;
    }
    advance(net, net->now_us, n);
    int err = consensus_transfer(n->consensus, to);
    pump(net, n);
    return err;
}

int engine_net_read_result(const struct engine_net *net, uint64_t ctx, uint64_t *ret_index)
{
    ASSERT(ctx >= 1);
    ASSERT(ctx <= net->reads_count);
    *ret_index = net->reads[ctx - 1].index;
    return net->reads[ctx - 1].err;
}

uint32_t engine_net_applied_times(const struct engine_net *net, uint32_t node, uint64_t command)
{
    const struct net_node *n = node_of(net, node);
    uint32_t times = 0;
    for (uint64_t i = 1; i <= n->applied && n->consensus != NULL; i++) {
        times += n->applied_commands[i] == command ? 1 : 0;
    }
    return times;
}

uint32_t engine_net_applied_on(const struct engine_net *net, uint64_t command)
{
    uint32_t on = 0;
    for (uint32_t i = 1; i <= net->options.nodes; i++) {
        on += engine_net_applied_times(net, i, command) > 0 ? 1 : 0;
    }
    return on;
}

/* Faults. */

void engine_net_link(struct engine_net *net, uint32_t from, uint32_t to, bool up)
{
    ASSERT(from != to);
    net->link_up[from][to] = up;
}

void engine_net_cut(struct engine_net *net, uint32_t a, uint32_t b)
{
    engine_net_link(net, a, b, false);
    engine_net_link(net, b, a, false);
}

void engine_net_isolate(struct engine_net *net, uint32_t node)
{
    for (uint32_t i = 1; i <= net->options.nodes; i++) {
        if (i != node) {
            engine_net_cut(net, node, i);
        }
    }
}

void engine_net_heal(struct engine_net *net)
{
    for (uint32_t i = 0; i <= ENGINE_NET_NODES_MAX; i++) {
        for (uint32_t k = 0; k <= ENGINE_NET_NODES_MAX; k++) {
            net->link_up[i][k] = true;
        }
    }
}

void engine_net_hold_disk(struct engine_net *net, uint32_t node, bool held)
{
    node_of(net, node)->disk_held = held;
}

void engine_net_set_loss(struct engine_net *net, uint32_t loss, uint32_t duplicate)
{
    net->options.loss = loss;
    net->options.duplicate = duplicate;
}

void engine_net_filter(struct engine_net *net, engine_net_filter_fn filter, void *ctx)
{
    net->filter = filter;
    net->filter_ctx = ctx;
}

/* Looking. */

struct hard_state engine_net_disk_hard(const struct engine_net *net, uint32_t node)
{
    return node_of(net, node)->image_hard;
}

struct entry engine_net_disk_entry(const struct engine_net *net, uint32_t node, uint64_t index)
{
    ASSERT(index < ENGINE_NET_SLOTS_MAX);
    return node_of(net, node)->image[index];
}

uint64_t engine_net_sent(const struct engine_net *net, uint8_t type)
{
    return net->sent[type];
}

uint64_t engine_net_sent_all(const struct engine_net *net)
{
    return net->sent_all;
}

uint64_t engine_net_committed(const struct engine_net *net)
{
    return net->committed;
}

const char *engine_net_failure(const struct engine_net *net)
{
    return net->failure[0] == '\0' ? NULL : net->failure;
}

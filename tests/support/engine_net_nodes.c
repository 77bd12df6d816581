/*
 * engine_net_nodes.c - the harness's nodes: life cycle, inputs, faults, looking.
 */

#include "tests/support/engine_net.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/support/engine_net_internal.h"

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
    net->slots = options->slots == 0 ? ENGINE_NET_SLOTS_MAX : options->slots;
    net->chosen_crc = xcalloc(net->slots, sizeof *net->chosen_crc);
    net->chosen_known = xcalloc(net->slots, sizeof *net->chosen_known);
    for (uint32_t i = 1; i <= options->nodes; i++) {
        struct net_node *n = xcalloc(1, sizeof *n);
        n->id = i;
        list_init(&n->disk);
        list_init(&n->waiting);
        list_init(&n->loads);
        net_link_init(n);
        n->applied_commands = xcalloc(net->slots, sizeof *n->applied_commands);
        n->image = xcalloc(net->slots, sizeof *n->image);
        n->image_promises = xcalloc(net->slots, sizeof *n->image_promises);
        net->nodes[i] = n;
    }
    engine_net_heal(net);
    return net;
}

struct net_node *net_node_of(const struct engine_net *net, uint32_t node)
{
    ASSERT(node >= 1);
    ASSERT(node <= net->options.nodes);
    return net->nodes[node];
}

static void restore(struct engine_net *net, struct net_node *n)
{
    uint32_t capacity = (uint32_t) n->image_last + 1;
    struct entry *entries = xcalloc(capacity, sizeof *entries);
    struct slot_promise *promises = xcalloc(n->image_promised + 1, sizeof *promises);
    uint32_t count = 0;
    uint32_t promises_count = 0;
    for (uint64_t i = 1; i <= n->image_last; i++) {
        if (n->image[i].value != NULL) {
            entries[count++] = n->image[i];
        }
    }
    for (uint64_t i = 1; i <= n->image_promised; i++) {
        if (n->image_promises[i] != 0) {
            promises[promises_count++] =
                (struct slot_promise){.index = i, .ballot = n->image_promises[i]};
        }
    }
    int err = log_restore(n->log, entries, count, promises, promises_count, n->image_hard.commit);
    if (err != OK) {
        net_fail(net, "node %u: restore: %s (commit %llu, last %llu)", n->id, err_name(err),
                 net_llu(n->image_hard.commit), net_llu(n->image_last));
    }
    free(entries);
    free(promises);
}

void engine_net_start_node(struct engine_net *net, uint32_t node)
{
    struct net_node *n = net_node_of(net, node);
    ASSERT(n->consensus == NULL);
    n->life++;
    n->commit = 0;
    n->applied = 0;
    memset(n->applied_commands, 0, net->slots * sizeof *n->applied_commands);
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
    if (net->options.tune != NULL) {
        net->options.tune(net->options.ctx, node, &o);
    }
    err = consensus_new(net->options.engine, &o, &n->image_hard, n->log, &n->consensus);
    ASSERT(err == OK);
    consensus_tick(n->consensus, net->now_us);
    net_pump(net, n);
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
    struct net_node *n = net_node_of(net, node);
    if (n->consensus == NULL) {
        return;
    }
    jobs_free(n);
    n->disk_batch_bytes = 0;
    net_link_release(n);
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
        net_image_cut(n, 1);
        free(n->applied_commands);
        free(n->image);
        free(n->image_promises);
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
    return net_node_of(net, node)->consensus;
}

struct log *engine_net_log(const struct engine_net *net, uint32_t node)
{
    return net_node_of(net, node)->log;
}

struct consensus_status engine_net_status(const struct engine_net *net, uint32_t node)
{
    struct consensus_status status = {0};
    if (net_node_of(net, node)->consensus != NULL) {
        consensus_status(net_node_of(net, node)->consensus, &status);
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
    struct net_node *n = net_node_of(net, node);
    if (n->consensus == NULL) {
        return ERR_CLOSED;
    }
    net_advance(net, net->now_us, n);
    struct value *v = net_value_of(command);
    int err = consensus_propose(n->consensus, v);
    value_unref(v);
    net_pump(net, n);
    return err;
}

void engine_net_inject(struct engine_net *net, struct message *m_take)
{
    m_take->engine = engine_number(net->options.engine);
    ASSERT(net_node_of(net, m_take->from)->consensus == NULL); /* who runs speaks for itself */
    net_post(net, m_take);
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
    struct net_node *n = net_node_of(net, node);
    if (n->consensus == NULL) {
        return ERR_CLOSED;
    }
    net_advance(net, net->now_us, n);
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
    net_pump(net, n);
    return err;
}

int engine_net_transfer(struct engine_net *net, uint32_t node, uint32_t to)
{
    struct net_node *n = net_node_of(net, node);
    if (n->consensus == NULL) {
        return ERR_CLOSED;
    }
    net_advance(net, net->now_us, n);
    int err = consensus_transfer(n->consensus, to);
    net_pump(net, n);
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
    const struct net_node *n = net_node_of(net, node);
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
    net_node_of(net, node)->disk_held = held;
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
    return net_node_of(net, node)->image_hard;
}

struct entry engine_net_disk_entry(const struct engine_net *net, uint32_t node, uint64_t index)
{
    ASSERT(index < net->slots);
    return net_node_of(net, node)->image[index];
}

uint64_t engine_net_sent(const struct engine_net *net, uint8_t type)
{
    return net->sent[type];
}

uint64_t engine_net_sent_all(const struct engine_net *net)
{
    return net->sent_all;
}

struct engine_net_traffic engine_net_traffic(const struct engine_net *net, uint8_t type)
{
    return net->traffic[type];
}

struct engine_net_disks engine_net_disks(const struct engine_net *net)
{
    return net->disks;
}

void engine_net_watch(struct engine_net *net, uint64_t command)
{
    net->watched = command;
    net->watched_us = 0;
}

uint64_t engine_net_watched_us(const struct engine_net *net)
{
    return net->watched_us;
}

uint64_t engine_net_committed(const struct engine_net *net)
{
    return net->committed;
}

const char *engine_net_failure(const struct engine_net *net)
{
    return net->failure[0] == '\0' ? NULL : net->failure;
}

/*
 * cluster_sim.c - virtual time, the events in it, the trace, and what breaks by chance.
 */
#include "tests/support/cluster_sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/support/cluster_sim_internal.h"

/* Options. */

void cluster_sim_options_init(struct cluster_sim_options *o, const struct engine_ops *engine,
                              uint32_t nodes, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed ^ UINT64_C(0x6f7074696f6e73));
    *o = (struct cluster_sim_options){
        .engine = engine,
        .nodes = nodes,
        .seed = seed,
        .loss_permille = 5,
        .duplicate_permille = 5,
        .delay = {100, 3000},
        .log_disk = {100, 1500},
        .state_disk = {500, 5000},
        .reads = {50, 2000},
        .clients = 8,
        .keys = 5,
        .think = {0, 5000},
        .call_timeout_us = 1500000,
    };
    replica_options_init(&o->replica);
    struct replica_options *r = &o->replica;
    r->engine = engine;
    r->cluster_id = 4711;
    r->consensus.election_us = 100000;
    r->consensus.heartbeat_us = 20000;
    r->consensus.resend_us = 30000;
    r->consensus.backoff_min_us = 2000;
    r->consensus.backoff_max_us = 60000;
    r->consensus.disk_stuck_us = 500000;
    r->retry_us = 150000;
    r->read_retry_us = 60000;
    r->gossip_us = 20000;
    r->flush_us = rng_between(&rng, 1000, 30000);
    r->trim_keep = rng_below(&rng, 3) == 0 ? 20 : 1000;
    r->log_memory_max = (size_t) rng_between(&rng, 1, 1 << 16);
    r->batch_commands_max = (uint32_t) rng_between(&rng, 1, 64);
    r->batch_bytes_max = (uint32_t) rng_between(&rng, 64, 1 << 14);
    r->consensus.inflight_max = (uint32_t) rng_between(&rng, 1, 32);
    r->consensus.message_bytes_max = (uint32_t) rng_between(&rng, 256, 1 << 16);
    r->mvcc.cache_bytes_max = (size_t) rng_below(&rng, 1 << 13);
}

/* Failure, trace. */

void sim_fail(struct cluster_sim *sim, const char *format, ...)
{
    if (sim->failure[0] != '\0') {
        return;
    }
    int used = snprintf(sim->failure, sizeof sim->failure,
                        "at %llu us, seed %llu: ", (unsigned long long) sim->now_us,
                        (unsigned long long) sim->options.seed);
    va_list args;
    va_start(args, format);
    (void) vsnprintf(sim->failure + used, sizeof sim->failure - (size_t) used, format, args);
    va_end(args);
}

const char *cluster_sim_failure(const struct cluster_sim *sim)
{
    return sim->failure[0] == '\0' ? NULL : sim->failure;
}

static void check_apply(struct cluster_sim *sim, const struct trace_event *event)
{
    if (event->index >= sim->apply_hashes_size) {
        uint64_t size = u64_max(1024, 2 * event->index);
        sim->apply_hashes = xrealloc(sim->apply_hashes, size * sizeof(*sim->apply_hashes));
        memset(sim->apply_hashes + sim->apply_hashes_size, 0,
               (size - sim->apply_hashes_size) * sizeof(*sim->apply_hashes));
        sim->apply_hashes_size = size;
    }
    uint64_t *hash = &sim->apply_hashes[event->index];
    if (*hash == 0) {
        *hash = event->hash;
    } else if (*hash != event->hash) {
        sim_fail(sim, "R5: node %u applied index %llu with hash %llx, another node had %llx",
                 (unsigned) event->node, (unsigned long long) event->index,
                 (unsigned long long) event->hash, (unsigned long long) *hash);
    }
}

static void check_leader(struct cluster_sim *sim, const struct trace_event *event)
{
    void *node = &sim->nodes[event->node];
    void *had = map_get(&sim->leaders, event->epoch);
    if (had == NULL) {
        ERR_IGNORE(map_put(&sim->leaders, event->epoch, node)); /* large enough for a run */
    } else if (had != node) {
        sim_fail(sim, "R1: node %u became leader of epoch %llu, which had another leader",
                 (unsigned) event->node, (unsigned long long) event->epoch);
    }
}

static void on_trace(void *ctx, const struct trace_event *event)
{
    struct cluster_sim *sim = ctx;
    const uint64_t fields[] = {
        event->time_us, event->node,  event->kind, event->message, event->from, event->to,
        event->epoch,   event->index, event->last, event->ctx,     event->hash,
    };
    for (uint32_t i = 0; i < ARRAY_SIZE(fields); i++) {
        sim->trace_hash = hash64_mix(sim->trace_hash, fields[i]);
    }
    if (event->note != NULL) {
        sim->trace_hash = hash64_bytes(sim->trace_hash, bytes_str(event->note));
    }
    if (event->kind == TRACE_APPLY) {
        check_apply(sim, event);
    } else if (event->kind == TRACE_BECAME_LEADER) {
        check_leader(sim, event);
    }
    if (sim->options.trace.emit != NULL) {
        sim->options.trace.emit(sim->options.trace.ctx, event);
    }
}

struct trace_sink sim_sink(struct cluster_sim *sim)
{
    return (struct trace_sink){.emit = on_trace, .ctx = sim};
}

void sim_note(struct cluster_sim *sim, uint32_t node, const char *what)
{
    const struct trace_event event = {.time_us = sim->now_us,
                                      .node = node,
                                      .engine = engine_number(sim->options.engine),
                                      .kind = TRACE_FAULT,
                                      .note = what};
    on_trace(sim, &event);
}

uint64_t cluster_sim_trace_hash(const struct cluster_sim *sim)
{
    return sim->trace_hash;
}

/* Events: a binary heap. */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->time_us != b->time_us ? a->time_us < b->time_us : a->number < b->number;
}

void sim_push(struct cluster_sim *sim, struct sim_event event)
{
    if (sim->heap_count == sim->heap_capacity) {
        sim->heap_capacity = sim->heap_capacity == 0 ? 256 : sim->heap_capacity * 2;
        sim->heap = xrealloc(sim->heap, sim->heap_capacity * sizeof(*sim->heap));
    }
    event.number = ++sim->event_number;
    size_t at = sim->heap_count++;
    while (at > 0 && before(&event, &sim->heap[(at - 1) / 2])) {
        sim->heap[at] = sim->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->heap[at] = event;
}

static struct sim_event pop(struct cluster_sim *sim)
{
    ASSERT(sim->heap_count > 0);
    struct sim_event first = sim->heap[0];
    struct sim_event last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->heap_count) {
            break;
        }
        if (child + 1 < sim->heap_count && before(&sim->heap[child + 1], &sim->heap[child])) {
            child++;
        }
        if (!before(&sim->heap[child], &last)) {
            break;
        }
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return first;
}

uint64_t sim_draw(struct cluster_sim *sim, struct sim_span span)
{
    return rng_between(&sim->rng, span.min_us, span.max_us);
}

/* Faults. */

void cluster_sim_crash(struct cluster_sim *sim, uint32_t node)
{
    ASSERT(node >= 1);
    ASSERT(node <= sim->options.nodes);
    if (sim->nodes[node].replica != NULL) {
        sim_note(sim, node, "crash");
        sim->counts.crashes++;
        sim_node_stop(sim, &sim->nodes[node]);
    }
}

void cluster_sim_restart(struct cluster_sim *sim, uint32_t node)
{
    cluster_sim_crash(sim, node);
    sim_note(sim, node, "restart");
    sim_node_start(sim, &sim->nodes[node]);
}

void cluster_sim_cut(struct cluster_sim *sim, uint32_t from, uint32_t to)
{
    sim_note(sim, from, "cut");
    sim->counts.cuts++;
    sim->cuts[from][to] = true;
}

void cluster_sim_isolate(struct cluster_sim *sim, uint32_t node)
{
    sim_note(sim, node, "isolate");
    sim->counts.cuts++;
    for (uint32_t i = 1; i <= sim->options.nodes; i++) {
        sim->cuts[node][i] = true;
        sim->cuts[i][node] = true;
    }
}

void cluster_sim_heal(struct cluster_sim *sim)
{
    sim_note(sim, 0, "heal");
    memset(sim->cuts, 0, sizeof sim->cuts);
    sim->loss_permille = sim->options.loss_permille;
    for (uint32_t i = 1; i <= sim->options.nodes; i++) {
        sim->nodes[i].slowness = 1;
    }
}

static void transfer(struct cluster_sim *sim, uint32_t to)
{
    uint32_t leader = cluster_sim_leader(sim);
    if (leader == 0 || leader == to) {
        return;
    }
    struct sim_node *n = &sim->nodes[leader];
    sim_node_enter(sim, n);
    if (replica_transfer(n->replica, to) == OK) {
        sim->counts.transfers++;
    }
    sim_node_leave(sim, n);
}

static void fault_schedule(struct cluster_sim *sim)
{
    uint64_t mean = sim->options.fault_interval_us;
    if (mean != 0) {
        uint64_t at = sim->now_us + rng_between(&sim->rng, mean / 2, 2 * mean);
        sim_push(sim, (struct sim_event){.time_us = at, .kind = EVENT_FAULT});
    }
}

static void fault_event(struct cluster_sim *sim)
{
    uint32_t a = (uint32_t) rng_between(&sim->rng, 1, sim->options.nodes);
    uint32_t b = (uint32_t) rng_between(&sim->rng, 1, sim->options.nodes);
    uint64_t choice = rng_below(&sim->rng, 10);
    fault_schedule(sim);
    if (!sim->faults_on) {
        return;
    }
    if (choice <= 2) {
        uint64_t down = rng_between(&sim->rng, 0, 3 * sim->options.fault_interval_us);
        cluster_sim_crash(sim, a);
        sim_push(sim, (struct sim_event){.time_us = sim->now_us + down,
                                         .kind = EVENT_RESTART,
                                         .node = a});
    } else if (choice == 3) {
        cluster_sim_isolate(sim, a);
    } else if (choice == 4) {
        cluster_sim_cut(sim, a, b);
    } else if (choice == 5) {
        sim_note(sim, 0, "loss");
        sim->loss_permille = (uint32_t) rng_between(&sim->rng, 50, 300);
    } else if (choice == 6) {
        sim_note(sim, a, "slow disk");
        sim->counts.slow_disks++;
        sim->nodes[a].slowness = (uint32_t) rng_between(&sim->rng, 10, 100);
    } else if (choice == 7) {
        transfer(sim, a);
    } else {
        cluster_sim_heal(sim);
    }
}

/* Running. */

static void restart_event(struct cluster_sim *sim, uint32_t node)
{
    if (sim->nodes[node].replica == NULL) {
        cluster_sim_restart(sim, node);
    }
}

static void step(struct cluster_sim *sim)
{
    struct sim_event event = pop(sim);
    ASSERT(event.time_us >= sim->now_us);
    sim->now_us = event.time_us;
    sim->counts.events++;
    switch (event.kind) {
    case EVENT_CLIENT:
        sim_client_event(sim, event.node);
        break;
    case EVENT_RESTART:
        restart_event(sim, event.node);
        break;
    case EVENT_FAULT:
        fault_event(sim);
        break;
    default:
        sim_node_event(sim, &event);
        break;
    }
    sim_event_release(&event);
}

bool cluster_sim_run_until(struct cluster_sim *sim, uint64_t us,
                           bool (*condition)(struct cluster_sim *sim, void *ctx), void *ctx)
{
    uint64_t end = sim->now_us + us;
    while (sim->failure[0] == '\0') {
        if (condition != NULL && condition(sim, ctx)) {
            return true;
        }
        if (sim->heap_count == 0 || sim->heap[0].time_us > end) {
            sim->now_us = end;
            return false;
        }
        step(sim);
    }
    return false;
}

void cluster_sim_run(struct cluster_sim *sim, uint64_t us)
{
    (void) cluster_sim_run_until(sim, us, NULL, NULL); /* no condition, no answer */
}

uint64_t cluster_sim_now(const struct cluster_sim *sim)
{
    return sim->now_us;
}

const struct replica *cluster_sim_replica(const struct cluster_sim *sim, uint32_t node)
{
    return sim->nodes[node].replica;
}

uint32_t cluster_sim_leader(const struct cluster_sim *sim)
{
    uint32_t leader = 0;
    for (uint32_t i = 1; i <= sim->options.nodes; i++) {
        struct replica_status status;
        if (sim->nodes[i].replica == NULL) {
            continue;
        }
        replica_status(sim->nodes[i].replica, &status);
        if (status.consensus.role == ROLE_LEADER) {
            if (leader != 0) {
                return 0;
            }
            leader = i;
        }
    }
    return leader;
}

static bool settled(struct cluster_sim *sim, void *ctx)
{
    (void) ctx;
    struct replica_status first;
    if (!sim_clients_idle(sim)) {
        return false;
    }
    for (uint32_t i = 1; i <= sim->options.nodes; i++) {
        struct replica_status status;
        replica_status(sim->nodes[i].replica, &status);
        if (i == 1) {
            first = status;
        }
        if (status.calls > 0 || status.applied != status.consensus.commit ||
            status.applied != first.applied || status.hash != first.hash ||
            status.durable_applied != status.applied) {
            return false;
        }
    }
    return true;
}

bool cluster_sim_settle(struct cluster_sim *sim, uint64_t us)
{
    sim->faults_on = false;
    sim->clients_on = false;
    cluster_sim_heal(sim);
    for (uint32_t i = 1; i <= sim->options.nodes; i++) {
        restart_event(sim, i);
    }
    if (cluster_sim_run_until(sim, us, settled, NULL)) {
        return true;
    }
    char text[256] = "";
    size_t used = 0;
    for (uint32_t i = 1; i <= sim->options.nodes && used < sizeof text; i++) {
        struct replica_status s;
        if (sim->nodes[i].replica != NULL) {
            replica_status(sim->nodes[i].replica, &s);
            used += (size_t) snprintf(text + used, sizeof text - used,
                                      " %u:%llu/%llu/%llu last %llu calls %u", i,
                                      (unsigned long long) s.durable_applied,
                                      (unsigned long long) s.applied,
                                      (unsigned long long) s.consensus.commit,
                                      (unsigned long long) s.consensus.last, s.calls);
        }
    }
    sim_fail(sim, "R11: not settled; durable/applied/commit:%s; clients idle %d", text,
             sim_clients_idle(sim));
    return false;
}

void cluster_sim_counts(const struct cluster_sim *sim, struct cluster_sim_counts *ret_counts)
{
    *ret_counts = sim->counts;
}

struct cluster_sim *cluster_sim_new(const struct cluster_sim_options *options)
{
    ASSERT(options->nodes >= 1);
    ASSERT(options->nodes <= CLUSTER_SIM_NODES_MAX);
    ASSERT(options->clients <= CLUSTER_SIM_CLIENTS_MAX);
    ASSERT(options->keys <= CLUSTER_SIM_KEYS_MAX);
    struct cluster_sim *sim = xcalloc(1, sizeof *sim);
    sim->options = *options;
    sim->now_us = 1000;
    sim->loss_permille = options->loss_permille;
    sim->faults_on = true;
    sim->clients_on = true;
    rng_init(&sim->rng, options->seed);
    arena_init(&sim->arena, 1 << 14, SIZE_MAX / 4);
    map_init(&sim->leaders, 1 << 20);
    map_init(&sim->seen, 1 << 24);
    for (uint32_t i = 1; i <= options->nodes; i++) {
        sim_node_init(sim, i);
    }
    for (uint32_t i = 1; i <= options->nodes; i++) {
        sim_node_start(sim, &sim->nodes[i]);
    }
    sim_clients_init(sim);
    fault_schedule(sim);
    return sim;
}

void cluster_sim_free(struct cluster_sim *sim)
{
    if (sim == NULL) {
        return;
    }
    for (uint32_t i = 1; i <= sim->options.nodes; i++) {
        if (sim->nodes[i].replica != NULL) {
            sim_node_stop(sim, &sim->nodes[i]);
        }
        sim_node_release(&sim->nodes[i]);
    }
    for (size_t i = 0; i < sim->heap_count; i++) {
        sim_event_release(&sim->heap[i]);
    }
    free(sim->heap);
    free(sim->values);
    free(sim->apply_hashes);
    map_release(&sim->leaders);
    map_release(&sim->seen);
    arena_release(&sim->arena);
    mvcc_result_free(sim->query_result);
    free(sim);
}

/*
 * sim_node.c - a simulated node: the pump of kv/server.c over virtual time, without threads, and
 * its own clock.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/sim/sim_internal.h"

enum {
    TAKES_MAX = 4,
    TURN_US = 20,        /* until a replica with more work gets its next turn */
    RESTART_US = 100000, /* when the faults are over: until a node that stopped is up again */
    CLUSTER_ID = 4711,
    ERROR_MAX = 1024,
};

/* The node's own clock. */

uint64_t sim_node_local(const struct sim *sim, const struct node *n)
{
    uint64_t passed = sim->now_us - n->anchor_us;
    return n->local_us + passed * (uint64_t) (1000000 + n->ppm) / 1000000;
}

/* The first moment of virtual time at which the node's clock shows `local`. */
static uint64_t virtual_at(const struct sim *sim, const struct node *n, uint64_t local)
{
    if (local <= sim_node_local(sim, n)) {
        return sim->now_us;
    }
    uint64_t ahead = local - n->local_us;
    if (ahead > UINT64_C(1) << 40) {
        return UINT64_MAX;
    }
    uint64_t rate = (uint64_t) (1000000 + n->ppm);
    return n->anchor_us + (ahead * 1000000 + rate - 1) / rate;
}

static void set_wake(struct sim *sim, struct node *n)
{
    uint64_t deadline = replica_deadline(n->replica);
    uint64_t at = deadline == UINT64_MAX ? deadline : virtual_at(sim, n, deadline);
    at = u64_max(at, sim->now_us + 1);
    if (replica_busy(n->replica) || replica_has_output(n->replica)) {
        at = sim->now_us + TURN_US;
    }
    if (at != UINT64_MAX && (n->wake_us <= sim->now_us || at < n->wake_us)) {
        n->wake_us = at;
        sim_push(sim,
                 (struct event){.time_us = at, .kind = EVENT_WAKE, .node = n->id, .life = n->life});
    }
}

void sim_node_clock(struct sim *sim, struct node *n, uint64_t jump_us, int64_t ppm)
{
    n->local_us = sim_node_local(sim, n) + jump_us;
    n->anchor_us = sim->now_us;
    n->ppm = ppm;
    if (n->replica != NULL) {
        n->wake_us = 0; /* the one planned is of the old clock */
        set_wake(sim, n);
    }
}

/* The turn. */

static void carry_out(struct sim *sim, struct node *n, struct replica_output *out)
{
    struct list_node *node;
    while ((node = list_pop_front(&out->writes)) != NULL) {
        struct log_write *w = list_entry(node, struct log_write, node);
        observer_handed(sim->observer, n->id, w);
        sim_io_write(n, w);
    }
    if (out->trim.index != 0) {
        sim_io_trim(n, out->trim);
    }
    sim_io_start(sim, n);
    if (out->flush != NULL) {
        sim_io_flush(sim, n, out->flush);
    }
    for (uint32_t i = 0; i < out->loads_count; i++) {
        sim_io_load(sim, n, &out->loads[i]);
    }
    for (uint32_t i = 0; i < out->fetches_count; i++) {
        sim_io_fetch(sim, n, &out->fetches[i]);
    }
    for (uint32_t i = 0; i < out->replies_count; i++) {
        sim_client_reply(sim, n, &out->replies[i]);
    }
    while ((node = list_pop_front(&out->messages)) != NULL) {
        sim_network_post(sim, n, list_entry(node, struct message, node));
    }
}

void sim_node_enter(struct sim *sim, struct node *n)
{
    replica_tick(n->replica, sim_node_local(sim, n));
}

void sim_node_leave(struct sim *sim, struct node *n)
{
    for (uint32_t i = 0; i < TAKES_MAX && (i == 0 || replica_has_output(n->replica)); i++) {
        struct replica_output out;
        int err = replica_take(n->replica, &out);
        if (err != OK) {
            sim_node_fatal(sim, n, err, "a turn");
            return;
        }
        carry_out(sim, n, &out);
    }
    if (sim->now_us < n->slow_until_us) {
        n->busy_until_us = sim->now_us + n->turn_us;
    }
    set_wake(sim, n);
}

void sim_node_event(struct sim *sim, struct event *event)
{
    struct node *n = &sim->nodes[event->node];
    if (n->replica == NULL || (event->life != 0 && event->life != n->life)) {
        return;
    }
    uint64_t free_us = u64_max(n->paused_until_us, n->busy_until_us);
    if (free_us > sim->now_us) {
        if (event->kind == EVENT_WAKE && event->time_us == n->wake_us) {
            n->wake_us = free_us;
        }
        event->time_us = free_us;
        sim_push(sim, *event);
        event->object = NULL;
        return;
    }
    switch (event->kind) {
    case EVENT_WAKE:
        if (event->time_us == n->wake_us) {
            sim_node_enter(sim, n);
            sim_node_leave(sim, n);
        }
        break;
    case EVENT_MESSAGE:
        sim_network_arrive(sim, n, event->object);
        break;
    default:
        sim_io_event(sim, n, event);
        break;
    }
}

uint32_t sim_leader(const struct sim *sim)
{
    bool leaderless = (engine_capabilities(sim->scenario->engine) & CAP_LEADER) == 0;
    uint32_t leader = 0;
    uint64_t epoch = 0;
    for (uint32_t i = 1; i <= sim->scenario->nodes; i++) {
        struct replica_status status;
        if (sim->nodes[i].replica == NULL) {
            continue;
        }
        if (leaderless) {
            return i;
        }
        replica_status(sim->nodes[i].replica, &status);
        if (status.consensus.role == ROLE_LEADER && status.consensus.epoch >= epoch) {
            leader = i;
            epoch = status.consensus.epoch;
        }
    }
    return leader;
}

/* Start. */

static void options_fill(const struct sim *sim, const struct node *n, struct replica_options *o)
{
    const uint64_t *value = sim->scenario->options;
    replica_options_init(o);
    o->engine = sim->scenario->engine;
    o->cluster_id = CLUSTER_ID;
    o->incarnation = n->incarnation;
    o->consensus.self = n->id;
    o->consensus.seed = sim->scenario->seed ^ (uint64_t) n->id << 32 ^ n->life << 40;
    o->consensus.trace = sim_sink((struct sim *) sim);
    o->consensus.election_us = value[OPTION_ELECTION];
    o->consensus.election_spread_us = value[OPTION_ELECTION_SPREAD];
    o->consensus.candidate_us = value[OPTION_CANDIDATE];
    o->consensus.candidate_spread_us = value[OPTION_CANDIDATE_SPREAD];
    o->consensus.candidate_backoff = value[OPTION_CANDIDATE_BACKOFF] != 0;
    o->consensus.heartbeat_us = value[OPTION_HEARTBEAT];
    o->consensus.resend_us = value[OPTION_RESEND];
    o->consensus.backoff_min_us = value[OPTION_BACKOFF_MIN];
    o->consensus.backoff_max_us = value[OPTION_BACKOFF_MAX];
    o->consensus.disk_stuck_us = value[OPTION_DISK_STUCK];
    o->consensus.inflight_max = (uint32_t) value[OPTION_INFLIGHT];
    o->consensus.message_bytes_max = (uint32_t) value[OPTION_MESSAGE_BYTES];
    o->consensus.pre_vote = value[OPTION_PRE_VOTE] != 0;
    o->consensus.check_quorum = value[OPTION_CHECK_QUORUM] != 0;
    o->consensus.quorum_connected = value[OPTION_QUORUM_CONNECTED] != 0;
    o->retry_us = value[OPTION_RETRY];
    o->read_retry_us = value[OPTION_READ_RETRY];
    o->gossip_us = value[OPTION_GOSSIP];
    o->flush_us = value[OPTION_FLUSH];
    o->trim_keep = value[OPTION_TRIM_KEEP];
    o->log_memory_max = (size_t) value[OPTION_LOG_MEMORY];
    o->log_slots_max = value[OPTION_LOG_SLOTS];
    o->batch_commands_max = (uint32_t) value[OPTION_BATCH_COMMANDS];
    o->batch_bytes_max = (uint32_t) value[OPTION_BATCH_BYTES];
    o->calls_max = (uint32_t) value[OPTION_CALLS];
    o->call_bytes_max = value[OPTION_CALL_BYTES];
    o->apply_lag_max = value[OPTION_APPLY_LAG];
    o->unwritten_max = (size_t) value[OPTION_UNWRITTEN];
    o->mvcc.cache_bytes_max = (size_t) value[OPTION_CACHE_BYTES];
    o->mvcc.sessions_max = (uint32_t) value[OPTION_SESSIONS];
}

static bool disk_has(void *ctx, const char *path)
{
    const struct node *n = ctx;
    (void) path; /* both are made together; a lost file is not a lost store */
    return n->created && !n->wiped;
}

/* What the disk holds, told to the observer before the node says a word. */
static int observe(struct sim *sim, struct node *n, const struct node_data *data, struct buf *error)
{
    struct logstore_recovery all = {0};
    int err = logstore_recover(data->log, 1, &all, error);
    if (err == OK) {
        observer_recovered(sim->observer, n->id, &all, mvcc_applied(data->mvcc), n->restored);
    }
    logstore_recovery_release(&all);
    return err;
}

static int open_data(struct sim *sim, struct node *n, const struct replica_options *options,
                     struct node_data *data, struct buf *error)
{
    struct identity identity = {.cluster_id = CLUSTER_ID,
                                .node = n->id,
                                .engine = engine_number(sim->scenario->engine),
                                .members_count = sim->scenario->nodes};
    for (uint32_t i = 0; i < sim->scenario->nodes; i++) {
        identity.members[i] = i + 1;
    }
    const struct node_data_options open = {
        .dir = "disk",
        .log_store = &sim_logstore_ops,
        .state_store = &sim_store_ops,
        .identity = &identity,
        .mvcc = &options->mvcc,
        .create = !n->created,
        .device = n->disk,
        .exists = disk_has,
        .exists_ctx = n,
    };
    return node_data_open(&open, data, error);
}

static int make_replica(struct sim *sim, struct node *n, struct replica_options *options,
                        struct node_data *data)
{
    int err;
    uint32_t ids[SIM_NODES_MAX];
    for (uint32_t i = 0; i < sim->scenario->nodes; i++) {
        ids[i] = i + 1;
    }
    options->incarnation = data->incarnation;
    err = membership_init(&options->consensus.members, ids, sim->scenario->nodes);
    if (err != OK) {
        return err;
    }
    err = replica_new(options, &data->recovery, data->mvcc, &n->replica);
    if (err == OK) {
        data->mvcc = NULL; /* the replica's now */
    }
    return err;
}

/* A node that does not start, or died of an error, must have a reason that was given to it. */
static void judge(struct sim *sim, struct node *n, int err, const char *where, const char *text)
{
    if (err == ERR_STALE && n->restored) {
        sim_count(sim, COUNT_STALE);
        n->state = NODE_OUT;
        observer_lost(sim->observer, n->id);
    } else if (n->wiped && err == ERR_NOT_FOUND) {
        sim_count(sim, COUNT_REFUSALS);
        n->state = NODE_OUT;
    } else if (n->damaged && (err == ERR_CORRUPT || err == ERR_NOT_FOUND)) {
        sim_count(sim, COUNT_REFUSALS);
        n->state = NODE_OUT;
        observer_lost(sim->observer, n->id);
    } else if (n->failing && (err == ERR_IO || err == ERR_NO_SPACE)) {
        sim_count(sim, COUNT_STOPS);
        n->state = NODE_DOWN;
        n->failing = false;
        if (sim->healed) {
            sim_push(sim, (struct event){.time_us = sim->now_us + RESTART_US,
                                         .kind = EVENT_START,
                                         .node = n->id});
        }
    } else {
        const char *property = err == ERR_DIVERGED ? "R5" : err == ERR_CORRUPT ? "D4" : "";
        sim_fail(sim, property, "node %u ended at %s without a reason: %s %s", n->id, where,
                 err_name(err), text);
    }
}

void sim_node_start(struct sim *sim, struct node *n)
{
    struct replica_options options;
    struct node_data data = {0};
    struct buf error;
    if (n->state != NODE_DOWN || sim_red(sim)) {
        return;
    }
    buf_init(&error, ERROR_MAX);
    n->life++;
    options_fill(sim, n, &options);
    int err = open_data(sim, n, &options, &data, &error);
    if (err == OK) {
        n->created = true;
        err = observe(sim, n, &data, &error);
    }
    if (err == OK) {
        err = make_replica(sim, n, &options, &data);
    }
    if (err == OK) {
        n->state = NODE_UP;
        n->incarnation = data.incarnation;
        n->log = data.log;
        n->store = data.state;
        data.log = NULL;
        data.state = NULL;
        n->wake_us = 0;
        n->busy_until_us = 0;
        sim_network_greet(sim);
        if (n->replica != NULL) { /* it may have learnt that it is stale */
            sim_node_enter(sim, n);
            sim_node_leave(sim, n);
        }
    } else {
        node_data_close(&data); /* before the disk is as after the death of a process */
        sim_disk_kill(n->disk);
        sim_note(sim, n->id, "does not start");
        ERR_IGNORE(buf_append(&error, (const uint8_t *) "", 1)); /* ends the text */
        judge(sim, n, err, "start", error.size == 0 ? "" : (const char *) error.data);
    }
    node_data_close(&data);
    buf_release(&error);
}

/* Stop. */

static void take_down(struct sim *sim, struct node *n, bool power)
{
    sim_io_abandon(sim, n, power);
    observer_crashed(sim->observer, n->id);
    replica_free(n->replica);
    n->replica = NULL;
    n->state = NODE_DOWN;
    if (power) {
        sim_disk_crash(n->disk);
    } else {
        sim_disk_kill(n->disk);
    }
    logstore_close(n->log);
    store_close(n->store);
    n->log = NULL;
    n->store = NULL;
    n->paused_until_us = 0;
    trigger_down(&sim->trigger, n->id, sim->now_us);
    sim_clients_node_gone(sim, n);
}

void sim_node_stop(struct sim *sim, struct node *n, bool power, const char *why)
{
    if (n->replica == NULL) {
        return;
    }
    sim_note(sim, n->id, why);
    take_down(sim, n, power);
}

void sim_node_fatal(struct sim *sim, struct node *n, int err, const char *where)
{
    sim_note(sim, n->id, err_name(err));
    take_down(sim, n, false);
    judge(sim, n, err, where, "");
}

void sim_node_init(struct sim *sim, uint32_t id)
{
    struct node *n = &sim->nodes[id];
    const struct scenario *s = sim->scenario;
    const struct sim_disk_options disk = {.seed = s->seed ^ (uint64_t) id << 48,
                                          .buffer_bytes = s->options[OPTION_DISK_BUFFER]};
    n->id = id;
    n->disk = sim_disk_new(&disk);
    n->factor = 1;
    n->anchor_us = sim->now_us;
    rng_init(&n->rng, s->seed ^ (uint64_t) id << 40);
    n->local_us = rng_between(&n->rng, 1, 1000000000); /* clocks agree in nothing */
    list_init(&n->log_queue);
    list_init(&n->log_group);
}

void sim_node_release(struct node *n)
{
    struct list_node *node;
    struct list *const jobs[] = {&n->log_group, &n->log_queue};
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        while ((node = list_pop_front(jobs[i])) != NULL) {
            struct job *job = list_entry(node, struct job, node);
            log_write_free(job->write);
            free(job);
        }
    }
    if (n->flush != NULL) {
        replica_state_flushed(n->replica, n->flush, ERR_IO); /* frees it */
    }
    replica_free(n->replica);
    logstore_close(n->log);
    store_close(n->store);
    sim_disk_image_free(n->saved);
    sim_disk_free(n->disk);
}

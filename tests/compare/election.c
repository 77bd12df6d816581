/*
 * election.c - the bench of elections. See election.h.
 *
 *     start ... heartbeats of the leader ... | last heartbeat ... death | ... leader ... command
 *               (so that all are in touch)   0                            measured
 */
#include "tests/compare/election.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/support/engine_net.h"

enum {
    PREFIX = 4,           /* entries that all have */
    WARM_HEARTBEATS = 8,  /* before the last: four time-outs, eligibility is then known */
    ATTEMPTS_MAX = 100,   /* to find a run in which nobody stands before the death */
    SLOTS_SPARE = 4096,   /* for no-ops of leaders and new commands */
    COMMAND = 1000000000, /* the first new one */
};

struct trial {
    const struct election_options *o;
    struct engine_net *net;
    struct rng rng;
    uint32_t survivors;
    bool has_tail[ENGINE_NET_NODES_MAX + 1];
    uint32_t term_ahead[ENGINE_NET_NODES_MAX + 1];
    uint64_t start_us[ENGINE_NET_NODES_MAX + 1];
    uint32_t link_permille[ENGINE_NET_NODES_MAX + 1][ENGINE_NET_NODES_MAX + 1];
    uint32_t clock_permille[ENGINE_NET_NODES_MAX + 1];
    uint32_t first;    /* who stands first; 0: any */
    uint32_t cut_from; /* one_way: nothing gets from here */
    uint32_t cut_to;   /* to here */
    uint64_t died_us;
    /* Counters at the death. */
    uint64_t packets;
    uint64_t vote_bytes;
    uint64_t bytes;
    uint64_t messages;
    struct engine_net_disks disks;
    /* Since then. */
    uint64_t leader_epoch; /* newest leader seen */
    uint64_t proposed_epoch;
    uint64_t command;
    struct election_result r;
};

/* Options. */

void election_options_init(struct election_options *o, const struct engine_ops *engine)
{
    *o = (struct election_options){
        .engine = engine,
        .nodes = 5,
        .way_min_us = 1000,
        .way_max_us = 1000,
        .disk_us = 500,
        .long_nodes = 2,
        .tail = 1,
        .tail_bytes = 8,
        .clients = 1,
        .commit = true,
        .limit_us = 60000000,
    };
    consensus_options_init(&o->consensus);
    o->consensus.pre_vote = false;
    o->consensus.check_quorum = false;
    o->consensus.quorum_connected = false;
    o->consensus.disk_stuck_us = UINT64_C(1) << 40;
    o->consensus.resend_us = 50000;
    election_timeouts(o, 150000, 150000);
}

void election_network(struct election_options *o, const struct election_rig *rig)
{
    uint64_t both_us = 2 * (rig->way_us + rig->disk_us);
    o->way_min_us = rig->way_us * 8 / 10;
    o->way_max_us = rig->way_us * 12 / 10;
    o->disk_us = rig->disk_us;
    o->answer_us = rig->round_us - u64_min(rig->round_us, both_us);
}

void election_timeouts(struct election_options *o, uint64_t min_us, uint64_t spread_us)
{
    o->consensus.election_us = min_us;
    o->consensus.election_spread_us = u64_max(spread_us, 1);
    o->consensus.heartbeat_us = min_us / 2;
}

void election_connected(struct election_options *o)
{
    o->consensus.pre_vote = true;
    o->consensus.check_quorum = true;
    o->consensus.quorum_connected = true;
}

double election_split_chance(uint32_t nodes, uint32_t survivors, double share)
{
    uint32_t candidates = survivors - nodes / 2 + 1;
    double chance = 0;
    for (uint32_t k = candidates - 1; k <= survivors; k++) {
        double ways = 1;
        for (uint32_t i = 0; i < k; i++) {
            ways = ways * (survivors - i) / (i + 1);
        }
        chance += ways * pow(share, k) * pow(1 - share, survivors - k);
    }
    return chance;
}

/* The network and the clocks. */

static bool is_answer(uint8_t type)
{
    switch (type) {
    case MSG_RAFT_PREVOTE_REPLY:
    case MSG_RAFT_VOTE_REPLY:
    case MSG_RAFT_APPEND_REPLY:
    case MSG_RAFT_HEARTBEAT_REPLY:
    case MSG_RAFT_FETCH_REPLY:
    case MSG_PAXOS_PREPREPARE_REPLY:
    case MSG_PAXOS_PROMISE:
    case MSG_PAXOS_ACCEPTED:
    case MSG_PAXOS_NACK:
    case MSG_PAXOS_HEARTBEAT_REPLY:
    case MSG_PAXOS_LEARN_REPLY:
        return true;
    default:
        return false;
    }
}

static uint64_t delay(void *ctx, const struct message *m, struct rng *rng)
{
    const struct trial *t = ctx;
    uint64_t us = rng_between(rng, t->o->way_min_us, t->o->way_max_us);
    us = us * t->link_permille[m->from][m->to] / 1000;
    return is_answer(m->type) ? us + t->o->answer_us : us;
}

static void tune(void *ctx, uint32_t node, struct consensus_options *o)
{
    const struct trial *t = ctx;
    uint64_t rate = t->clock_permille[node];
    o->election_us = o->election_us * rate / 1000;
    o->election_spread_us = u64_max(o->election_spread_us * rate / 1000, 1);
    o->candidate_us = o->candidate_us * rate / 1000;
    o->candidate_spread_us = o->candidate_spread_us * rate / 1000;
    o->heartbeat_us = o->heartbeat_us * rate / 1000;
    if (t->first != 0 && node != t->first) {
        o->election_us = o->election_us * 3 / 2;
    }
}

static void draw_network(struct trial *t)
{
    const struct election_options *o = t->o;
    for (uint32_t i = 1; i <= o->nodes; i++) {
        for (uint32_t k = 1; k <= o->nodes; k++) {
            t->link_permille[i][k] = 1000;
            if (o->asymmetric) {
                /* As often slower as faster. */
                uint32_t times = (uint32_t) rng_between(&t->rng, 1000, 3000);
                bool slow = rng_chance(&t->rng, 1, 2);
                t->link_permille[i][k] = slow ? times : 1000000 / times;
            }
        }
        uint64_t drift = 10 * o->drift_percent;
        t->clock_permille[i] = (uint32_t) rng_between(&t->rng, 1000 - drift, 1000 + drift);
    }
}

/* Logs. */

static uint64_t old_epoch(const struct trial *t, uint32_t ahead)
{
    return engine_number(t->o->engine) == ENGINE_RAFT ? 1 + ahead
                                                      : ballot_make(1 + ahead, t->o->nodes);
}

static struct hard_state old_hard(const struct trial *t, uint32_t node)
{
    struct hard_state hard = {.epoch = old_epoch(t, t->term_ahead[node]), .commit = PREFIX};
    if (engine_number(t->o->engine) == ENGINE_RAFT) {
        hard.vote = t->o->nodes;
    } else if (engine_number(t->o->engine) == ENGINE_PAXOS) {
        hard.epoch = ballot_make(1, node); /* rounds that it has used itself */
    }
    return hard;
}

/* A random order of the survivors. */
static void shuffle(struct trial *t, uint32_t *ids)
{
    for (uint32_t i = 0; i < t->survivors; i++) {
        uint32_t k = (uint32_t) rng_below(&t->rng, i + 1);
        ids[i] = ids[k];
        ids[k] = i + 1;
    }
}

static void draw_survivors(struct trial *t)
{
    const struct election_options *o = t->o;
    uint32_t ids[ENGINE_NET_NODES_MAX];
    ASSERT(o->long_nodes <= t->survivors);
    shuffle(t, ids);
    for (uint32_t i = 0; i < o->long_nodes; i++) {
        t->has_tail[ids[i]] = true;
    }
    if (o->first == ELECTION_LONG_FIRST) {
        ASSERT(o->long_nodes > 0);
        t->first = ids[0];
    } else if (o->first == ELECTION_SHORT_FIRST) {
        ASSERT(o->long_nodes < t->survivors);
        t->first = ids[t->survivors - 1];
    }
    if (!o->unequal_terms) {
        return;
    }
    shuffle(t, ids);
    uint64_t election_us = o->consensus.election_us;
    for (uint32_t i = 1; i < t->survivors; i++) {
        /* It refuses the leader, so what its timer has run is anything. */
        t->term_ahead[ids[i]] = i;
        t->start_us[ids[i]] = rng_between(&t->rng, election_us, 2 * election_us);
    }
}

static void preload(struct trial *t)
{
    const struct election_options *o = t->o;
    struct value *prefix = engine_net_value(1, 8);
    struct value *tail = engine_net_value(2, o->tail_bytes);
    uint64_t epoch = old_epoch(t, 0);
    for (uint32_t i = 1; i <= t->survivors; i++) {
        struct hard_state hard = old_hard(t, i);
        struct engine_net_run_of run = {1, PREFIX, epoch, prefix};
        engine_net_preload_run(t->net, i, &hard, &run);
        run = (struct engine_net_run_of){PREFIX + 1, o->tail, epoch, tail};
        if (t->has_tail[i]) {
            engine_net_preload_run(t->net, i, &hard, &run);
        }
    }
    value_unref(prefix);
    value_unref(tail);
}

/* The leader that the bench plays. */

static void heartbeat(struct trial *t)
{
    uint8_t engine = engine_number(t->o->engine);
    for (uint32_t i = 1; i <= t->survivors; i++) {
        struct message *m =
            message_new(engine == ENGINE_RAFT ? MSG_RAFT_HEARTBEAT : MSG_PAXOS_HEARTBEAT, i);
        m->from = t->o->nodes;
        m->seen = UINT64_MAX;
        m->commit = PREFIX;
        if (engine == ENGINE_RAFT) {
            m->epoch = old_epoch(t, 0);
            m->pos = (struct log_pos){.index = PREFIX, .epoch = m->epoch};
        } else {
            m->hint.epoch = old_epoch(t, 0);
            m->epoch = engine == ENGINE_PAXOS ? 0 : m->hint.epoch;
            m->last = PREFIX;
        }
        engine_net_inject(t->net, m);
    }
}

/* Runs to that time, starting who is to start before it. */
static void run_to(struct trial *t, uint64_t at_us)
{
    for (;;) {
        uint32_t next = 0;
        for (uint32_t i = 1; i <= t->survivors; i++) {
            if (engine_net_node(t->net, i) == NULL && t->start_us[i] <= at_us &&
                (next == 0 || t->start_us[i] < t->start_us[next])) {
                next = i;
            }
        }
        if (next == 0) {
            break;
        }
        engine_net_run(t->net, t->start_us[next] - engine_net_now(t->net));
        engine_net_start_node(t->net, next);
    }
    engine_net_run(t->net, at_us - engine_net_now(t->net));
}

/* Counting. */

static const uint8_t REQUESTS[] = {MSG_RAFT_PREVOTE, MSG_RAFT_VOTE, MSG_PAXOS_PREPREPARE,
                                   MSG_PAXOS_PREPARE};
static const uint8_t ANSWERS[] = {MSG_RAFT_PREVOTE_REPLY, MSG_RAFT_VOTE_REPLY,
                                  MSG_PAXOS_PREPREPARE_REPLY, MSG_PAXOS_PROMISE, MSG_PAXOS_NACK};

static uint64_t count_packets(const struct trial *t)
{
    uint64_t count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(REQUESTS); i++) {
        count += engine_net_traffic(t->net, REQUESTS[i]).sent;
    }
    for (size_t i = 0; i < ARRAY_SIZE(ANSWERS); i++) {
        count += engine_net_traffic(t->net, ANSWERS[i]).delivered;
    }
    return count;
}

static uint64_t count_vote_bytes(const struct trial *t)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < ARRAY_SIZE(REQUESTS); i++) {
        bytes += engine_net_traffic(t->net, REQUESTS[i]).bytes;
    }
    for (size_t i = 0; i < ARRAY_SIZE(ANSWERS); i++) {
        bytes += engine_net_traffic(t->net, ANSWERS[i]).bytes;
    }
    return bytes;
}

static void count_all(const struct trial *t, uint64_t *ret_bytes, uint64_t *ret_messages)
{
    *ret_bytes = 0;
    *ret_messages = 0;
    for (uint32_t type = 0; type < 256; type++) {
        struct engine_net_traffic traffic = engine_net_traffic(t->net, (uint8_t) type);
        *ret_bytes += traffic.bytes;
        *ret_messages += traffic.sent;
    }
}

static uint64_t count_attempts(const struct trial *t)
{
    uint64_t attempts = 0;
    for (uint32_t i = 1; i <= t->survivors; i++) {
        attempts += engine_net_status(t->net, i).elections;
    }
    return attempts;
}

static uint64_t since_death(const struct trial *t)
{
    return engine_net_now(t->net) - t->died_us;
}

/* After each event: who leads, who has heard so, what has been committed. */

struct view {
    uint32_t leader;
    uint64_t epoch;      /* of the leader */
    uint64_t round_most; /* terms or ballot rounds */
    bool all_know;
};

static uint64_t round_of(const struct trial *t, uint64_t epoch)
{
    return engine_number(t->o->engine) == ENGINE_RAFT ? epoch : ballot_round(epoch);
}

static struct view look(const struct trial *t)
{
    struct view v = {0};
    uint32_t known[ENGINE_NET_NODES_MAX + 1] = {0};
    for (uint32_t i = 1; i <= t->survivors; i++) {
        struct consensus_status status = engine_net_status(t->net, i);
        v.round_most = u64_max(v.round_most, round_of(t, status.epoch));
        known[i] = status.leader;
        if (status.role == ROLE_LEADER && status.epoch > v.epoch) {
            v.leader = i;
            v.epoch = status.epoch;
        }
    }
    v.all_know = v.leader != 0;
    for (uint32_t i = 1; i <= t->survivors; i++) {
        bool deaf = v.leader == t->cut_from && i == t->cut_to; /* it never will */
        v.all_know = v.all_know && (known[i] == v.leader || deaf);
    }
    return v;
}

static void propose(struct trial *t, const struct view *v)
{
    if (v->epoch == t->proposed_epoch || engine_net_watched_us(t->net) != 0 ||
        !consensus_can_propose(engine_net_node(t->net, v->leader))) {
        return;
    }
    t->command++;
    engine_net_watch(t->net, t->command);
    if (engine_net_propose(t->net, v->leader, t->command) == OK) {
        t->proposed_epoch = v->epoch;
    }
}

static bool finished(struct engine_net *net, void *ctx)
{
    struct trial *t = ctx;
    struct view v = look(t);
    if (v.leader != 0 && v.epoch != t->leader_epoch) {
        t->leader_epoch = v.epoch;
        t->r.leader_seen = true;
        t->r.won_us = since_death(t);
        t->r.packets = count_packets(t) - t->packets;
        t->r.winner_had_tail = t->has_tail[v.leader] ? 1 : 0;
        t->r.elected = false;
    }
    if (v.all_know && !t->r.elected) {
        t->r.elected = true;
        t->r.elected_us = since_death(t);
    }
    if (t->o->one_shot) {
        return v.leader != 0 || v.round_most > round_of(t, old_epoch(t, 0)) + 1;
    }
    if (t->o->commit && v.leader != 0) {
        propose(t, &v);
    }
    if (engine_net_watched_us(net) != 0 && !t->r.committed) {
        t->r.committed = true;
        t->r.commit_us = engine_net_watched_us(net) - t->died_us;
    }
    return t->r.elected && (t->r.committed || !t->o->commit);
}

static bool served(struct engine_net *net, void *ctx)
{
    struct trial *t = ctx;
    t->r.committed = engine_net_watched_us(net) != 0;
    if (t->r.committed) {
        t->r.commit_us = engine_net_watched_us(net) - t->died_us;
        t->r.packets = count_packets(t) - t->packets;
    }
    return t->r.committed;
}

/* Leaderless: the clients go on. */
static void serve(struct trial *t)
{
    uint32_t ids[ENGINE_NET_NODES_MAX];
    shuffle(t, ids);
    engine_net_watch(t->net, t->command + 1);
    for (uint32_t i = 0; i < t->o->clients && i < t->survivors; i++) {
        t->command++;
        int err = engine_net_propose(t->net, ids[i], t->command);
        ASSERT(err == OK);
    }
    (void) engine_net_run_until(t->net, t->o->limit_us, served, t); /* not: said in the result */
}

/* One attempt. False: somebody stood before the leader died, which is another experiment. */
static bool attempt(struct trial *t)
{
    const struct election_options *o = t->o;
    bool leaderless = (engine_capabilities(o->engine) & CAP_LEADER) == 0;
    uint64_t beat_us = o->consensus.heartbeat_us;
    uint64_t beats = o->unequal_terms ? 4 : WARM_HEARTBEATS; /* then 2 time-outs, see start_us */
    if (leaderless) {
        beats = 0; /* else the tail would be finished before the death */
        beat_us = 1;
    }
    for (uint64_t i = 0; i <= beats; i++) {
        run_to(t, i * beat_us);
        heartbeat(t);
    }
    t->died_us = beats * beat_us + rng_below(&t->rng, beat_us);
    run_to(t, t->died_us);
    if (count_attempts(t) > 0) {
        return false;
    }
    t->packets = count_packets(t);
    t->vote_bytes = count_vote_bytes(t);
    count_all(t, &t->bytes, &t->messages);
    t->disks = engine_net_disks(t->net);
    if (leaderless) {
        serve(t);
    } else {
        (void) engine_net_run_until(t->net, o->limit_us, finished, t); /* not: in the result */
    }
    return true;
}

static void sum_up(struct trial *t)
{
    struct election_result *r = &t->r;
    struct engine_net_disks disks = engine_net_disks(t->net);
    uint64_t bytes;
    uint64_t messages;
    count_all(t, &bytes, &messages);
    r->bytes = bytes - t->bytes;
    r->messages = messages - t->messages;
    r->vote_bytes = count_vote_bytes(t) - t->vote_bytes;
    r->attempts = count_attempts(t);
    r->rewritten = disks.rewritten - t->disks.rewritten;
    r->written = disks.entries - t->disks.entries;
    const char *failure = engine_net_failure(t->net);
    if (failure != NULL) {
        r->broken = true;
        (void) snprintf(r->failure, sizeof r->failure, "%s", failure); /* cut when long */
    }
}

static void net_init(struct trial *t, uint64_t seed)
{
    const struct election_options *o = t->o;
    struct engine_net_options n;
    engine_net_options_init(&n, o->engine, o->nodes, seed);
    n.consensus = o->consensus;
    n.loss = o->loss;
    n.disk_us = o->disk_us;
    n.disk_rate = o->disk_rate;
    n.link_rate = o->link_rate;
    n.slots = PREFIX + o->tail + SLOTS_SPARE;
    n.slots_max = n.slots;
    n.memory_max = SIZE_MAX / 4;
    n.delay = delay;
    n.tune = tune;
    n.ctx = t;
    t->net = engine_net_new(&n);
    if (o->one_way) {
        uint32_t ids[ENGINE_NET_NODES_MAX];
        shuffle(t, ids);
        t->cut_from = ids[0];
        t->cut_to = ids[1];
        engine_net_link(t->net, t->cut_from, t->cut_to, false);
    }
}

void election_run(const struct election_options *o, struct election_result *ret_result)
{
    struct rng seeds;
    rng_init(&seeds, o->seed);
    bool done = false;
    for (uint32_t i = 0; i < ATTEMPTS_MAX && !done; i++) {
        struct trial *t = xcalloc(1, sizeof *t);
        t->o = o;
        t->survivors = o->nodes - 1 - o->down;
        t->command = COMMAND;
        rng_init(&t->rng, rng_u64(&seeds));
        draw_network(t);
        draw_survivors(t);
        net_init(t, rng_u64(&t->rng));
        preload(t);
        done = attempt(t);
        sum_up(t);
        *ret_result = t->r;
        engine_net_free(t->net);
        free(t);
    }
    ASSERT(done);
}

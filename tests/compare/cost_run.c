/*
 * cost_run.c - what one write costs. See cost_run.h.
 */
#include "tests/compare/cost_run.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/hash.h"
#include "base/mem.h"
#include "net/frame.h"
#include "proto/wire_peer.h"

enum {
    BEGIN_US = 4000000,
    WRITES = 60,
    EACH_US = 400000, /* far more than a call and what follows from it take */
    ELECTION_US = 1000000,
    REQUESTS_MAX = 4096,
};

void cost_run_scenario(const struct engine_ops *engine, uint32_t nodes, uint64_t seed,
                       struct scenario *s)
{
    scenario_init(s, engine, seed);
    (void) snprintf(s->about, sizeof s->about, "one client, one write at a time, %u nodes",
                    (unsigned) nodes);
    s->nodes = nodes;
    s->length_us = BEGIN_US + (uint64_t) WRITES * EACH_US;
    s->options[OPTION_ELECTION] = ELECTION_US;
    s->options[OPTION_HEARTBEAT] = ELECTION_US / 4;
    s->options[OPTION_RESEND] = ELECTION_US / 2;
    s->options[OPTION_BACKOFF_MAX] = ELECTION_US;
    s->options[OPTION_GOSSIP] = ELECTION_US;
    s->clients = 1;
    s->keys = 1;
    s->think = (struct sim_span){EACH_US, EACH_US};
    s->timeout_us = ELECTION_US;
    s->retry_percent = 0;
    memset(s->mix, 0, sizeof s->mix);
    s->mix[SIM_OP_PUT] = 1;
    s->delay = (struct sim_span){COST_HOP_US, COST_HOP_US};
    s->log_disk = (struct sim_span){COST_SYNC_US, COST_SYNC_US};
    s->state_disk = (struct sim_span){COST_SYNC_US, COST_SYNC_US};
}

struct meter {
    bool leads;      /* the engine has a leader */
    uint32_t leader; /* of the newest epoch */
    uint64_t epoch;
    uint64_t request_us; /* of the write under way; 0: none counts */
    struct cost *to;     /* to whom is counted what happens; NULL: nobody */
    struct cost now;     /* since the last request */
    struct map rounds;   /* requests seen since then */
    struct buf head;
    struct cost_result *result;
};

/* What was counted since the last request belongs to it, if it was answered. */
static void close_write(struct meter *m)
{
    if (m->to != NULL && m->now.writes > 0) {
        m->to->writes += m->now.writes;
        m->to->hops += m->now.hops;
        m->to->syncs += m->now.syncs;
        m->to->odd += m->now.odd;
        m->to->rounds += m->now.rounds;
        m->to->messages += m->now.messages;
        m->to->bytes += m->now.bytes;
        m->to->written += m->now.written;
        m->to->latency_us += m->now.latency_us;
    }
    m->now = (struct cost){0};
    m->to = NULL;
    map_release(&m->rounds);
    map_init(&m->rounds, REQUESTS_MAX);
}

static void on_request(struct meter *m, const struct trace_event *e)
{
    close_write(m);
    if (e->time_us >= BEGIN_US && (!m->leads || m->leader != 0)) {
        bool leader = m->leads && e->node == m->leader;
        m->to = &m->result->of[leader ? COST_LEADER : COST_OTHER];
        m->request_us = e->time_us;
    }
}

static void on_reply(struct meter *m, const struct trace_event *e)
{
    uint64_t us = e->time_us - m->request_us;
    if (m->to == NULL || strcmp(e->note, err_name(OK)) != 0) {
        m->to = NULL;
        return;
    }
    m->now.writes = 1;
    m->now.latency_us = us;
    m->now.hops = (uint32_t) (us / COST_HOP_US);
    m->now.syncs = (uint32_t) (us % COST_HOP_US / COST_SYNC_US);
    m->now.odd = us % COST_HOP_US % COST_SYNC_US != 0 ? 1 : 0;
}

static bool asks_a_quorum(const struct trace_event *e)
{
    bool entries = e->last != 0;
    return e->message == MSG_PAXOS_PREPARE || (e->message == MSG_PAXOS_ACCEPT && entries) ||
           (e->message == MSG_RAFT_APPEND && entries);
}

static void on_send(struct meter *m, const struct trace_event *e)
{
    if (asks_a_quorum(e)) {
        uint64_t key = hash64_mix((uint64_t) e->from << 8 | e->message, e->epoch);
        key = hash64_mix(hash64_mix(key, e->index), e->last);
        if (map_get(&m->rounds, key) == NULL && map_put(&m->rounds, key, m) == OK) {
            m->now.rounds++;
        }
    }
}

static void on_event(void *ctx, const struct trace_event *e)
{
    struct meter *m = ctx;
    switch (e->kind) {
    case TRACE_BECAME_LEADER:
        if (e->epoch >= m->epoch) {
            m->epoch = e->epoch;
            m->leader = e->node;
        }
        m->to = NULL; /* no calm now */
        break;
    case TRACE_REQUEST:
        on_request(m, e);
        break;
    case TRACE_REPLY:
        on_reply(m, e);
        break;
    case TRACE_SEND:
        on_send(m, e);
        break;
    case TRACE_DURABLE:
        m->now.written++;
        break;
    default:
        break;
    }
}

/* What goes on without any client. */
static bool is_idle_talk(uint8_t type)
{
    switch (type) {
    case MSG_RAFT_HEARTBEAT:
    case MSG_RAFT_HEARTBEAT_REPLY:
    case MSG_RAFT_ALIVE:
    case MSG_PAXOS_HEARTBEAT:
    case MSG_PAXOS_HEARTBEAT_REPLY:
    case MSG_REPLICA_GOSSIP:
        return true;
    default:
        return false;
    }
}

static void on_message(void *ctx, const struct message *message, uint64_t send_us,
                       uint64_t arrive_us)
{
    static const struct envelope envelope = {.cluster_id = 1,
                                             .from_incarnation = 1,
                                             .to_incarnation = 1};
    struct meter *m = ctx;
    (void) send_us;
    (void) arrive_us;
    if (is_idle_talk(message->type)) {
        return;
    }
    buf_clear(&m->head);
    int err = wire_peer_encode(message, &envelope, &m->head);
    ASSERT(err == OK);
    m->now.messages++;
    m->now.bytes += FRAME_HEADER_SIZE + m->head.size + message->bytes;
}

void cost_run_execute(const struct engine_ops *engine, uint32_t nodes, uint64_t seed,
                      struct cost_result *ret_result)
{
    struct scenario s;
    struct sim_result sim;
    struct meter m = {.leads = (engine_capabilities(engine) & CAP_LEADER) != 0,
                      .result = ret_result};
    struct sim_hooks hooks = {.trace = {on_event, &m}, .message = on_message, .message_ctx = &m};
    *ret_result = (struct cost_result){.ran = true};
    cost_run_scenario(engine, nodes, seed, &s);
    hooks.stop_us = s.length_us - 1;
    map_init(&m.rounds, REQUESTS_MAX);
    buf_init(&m.head, SIZE_MAX / 4);
    sim_execute(&s, &hooks, &sim);
    close_write(&m);
    ret_result->red = sim.red;
    if (sim.red) {
        (void) snprintf(ret_result->text, sizeof ret_result->text, "%s: %.100s", sim.property,
                        sim.text);
    }
    map_release(&m.rounds);
    buf_release(&m.head);
    scenario_release(&s);
}

/*
 * real_cluster.c - brings nodes, links and clients up, knows which processes there are, and asks
 * them how they are.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <uv.h>

#include "base/assert.h"
#include "base/blob.h"
#include "base/mem.h"
#include "proto/wire_kv.h"
#include "tests/real/netns.h"
#include "tests/real/proxy.h"
#include "tests/real/real_internal.h"

enum {
    STATUS_TIMEOUT_MS = 2000,
    READY_TIMEOUT_MS = 2000,
    BACKOFF_MIN_MS = 5,
    BACKOFF_MAX_MS = 100,
};

/* Up. */

static int make_links(struct real *r)
{
    const struct scenario *s = r->scenario;
    const struct proxy_options proxy = {.nodes = s->nodes,
                                        .peer_ports = r->peer_ports,
                                        .seed = s->seed};
    if (r->options->netns) {
        return netns_new(s->nodes, r->peer_ports, &r->links, r->error);
    }
    return proxy_new(r->loop, &proxy, &r->links, r->error);
}

/* The process of a node ended, and nobody ended it: that must have a reason. `crashed`: how, if it
 * did not end itself; for that there is none. */
static void judge(struct real *r, uint32_t node, const char *crashed, const char *said)
{
    struct real_node *n = &r->nodes[node];
    uint64_t failed = atomic_load(&processes_shim(r->processes, node)->failed);
    if (crashed != NULL) {
        real_fail(r, "", "node %u ended %s: %s", node, crashed, said);
        return;
    }
    if (n->failing && failed > n->failed_base) {
        n->failing = false;
        if (r->phase > PHASE_RUN && real_start_node(r, node) != OK) {
            real_abort_said(r, ERR_IO);
        }
        return;
    }
    if (n->damaged || n->wiped || n->restored) {
        n->out = true;
        return;
    }
    real_fail(r, "", "node %u ended: %s", node, said);
}

static void on_exit_of_node(void *ctx, uint32_t node, int status, const char *said)
{
    struct real *r = ctx;
    char text[64];
    if (r->phase == PHASE_OVER) {
        return;
    }
    if (WIFSIGNALED(status)) {
        (void) snprintf(text, sizeof text, "by signal %d", WTERMSIG(status));
    } else {
        (void) snprintf(text, sizeof text, "with code %d", WEXITSTATUS(status));
    }
    bool taken = strstr(said, " in use: another") != NULL; /* its port: no fault of the node */
    if (r->phase == PHASE_UP) {
        real_abort(r, taken ? ERR_ADDRESS_IN_USE : ERR_IO,
                   "node %u does not start (it ended %s): %s", node, text, said);
        return;
    }
    if (taken) {
        real_abort(r, ERR_IO, "node %u cannot come back: %s", node, said);
        return;
    }
    real_events(r); /* its last ones come first */
    const struct trace_event stop = {.time_us = real_now_us(r),
                                     .node = node,
                                     .engine = engine_number(r->scenario->engine),
                                     .kind = TRACE_STOP,
                                     .note = "the process ended"};
    record_event(r->record, &stop);
    real_node_gone(r, node);
    bool crashed = WIFSIGNALED(status) || strstr(said, "Sanitizer") != NULL;
    judge(r, node, crashed ? text : NULL, said[0] == '\0' ? text : said);
}

static int make_processes(struct real *r)
{
    const struct processes_options o = {.scenario = r->scenario,
                                        .real = r->options,
                                        .folder = r->folder,
                                        .loop_disks = real_loses_power(r->scenario),
                                        .links = r->links,
                                        .peer_ports = r->peer_ports,
                                        .client_ports = r->client_ports,
                                        .on_exit = on_exit_of_node,
                                        .ctx = r};
    int err = processes_new(r->loop, &o, &r->processes, r->error);
    for (uint32_t i = 1; i <= r->scenario->nodes && err == OK; i++) {
        r->nodes[i].trace = trace_read_new(processes_trace(r->processes, i));
        real_disk_mend(r, i);
        err = processes_start(r->processes, i, r->error);
    }
    return err;
}

static void name_endpoints(struct real *r)
{
    for (uint32_t i = 0; i < r->scenario->nodes; i++) {
        char host[64] = "127.0.0.1";
        const char *prefix[5];
        if (r->options->netns) {
            netns_node(r->links, i + 1, host, prefix);
        }
        (void) snprintf(r->endpoints_text[i], sizeof r->endpoints_text[i], "%s:%u", host,
                        r->client_ports[i]);
        r->endpoints[i] = r->endpoints_text[i];
    }
}

static int make_asker(struct real *r)
{
    struct client_options o;
    client_options_init(&o);
    o.endpoints = r->endpoints;
    o.endpoints_count = r->scenario->nodes;
    o.backoff_min_ms = BACKOFF_MIN_MS;
    o.backoff_max_ms = BACKOFF_MAX_MS;
    o.retry = false;
    o.seed = r->scenario->seed;
    return client_new(r->loop, &o, &r->asker, r->error);
}

int real_cluster_new(struct real *r)
{
    uint16_t ports[2 * SIM_NODES_MAX];
    uint32_t nodes = r->scenario->nodes;
    const struct link_state state = real_link_default(r->scenario);
    int err = processes_ports(2 * nodes, ports, r->error);
    if (err != OK) {
        return err;
    }
    for (uint32_t i = 0; i < nodes; i++) {
        r->peer_ports[i] = ports[2 * i];
        r->client_ports[i] = ports[2 * i + 1];
    }
    err = make_links(r);
    for (uint32_t a = 1; a <= nodes && err == OK; a++) {
        for (uint32_t b = 1; b <= nodes && err == OK; b++) {
            r->links_state[a][b] = state;
            if (a != b) {
                err = r->links->ops->set(r->links, a, b, &state);
            }
        }
    }
    if (err == OK) {
        err = make_processes(r);
    }
    if (err == OK) {
        name_endpoints(r);
        err = make_asker(r);
    }
    return err;
}

/* Processes. */

int real_start_node(struct real *r, uint32_t node)
{
    int err = processes_start(r->processes, node, r->error);
    if (err == OK && r->workload != NULL) {
        workload_node(r->workload, node, true);
    }
    return err;
}

void real_node_gone(struct real *r, uint32_t node)
{
    struct real_node *n = &r->nodes[node];
    trace_read_cut(n->trace);
    trigger_down(&r->trigger, node, real_now_us(r));
    workload_node(r->workload, node, false);
    n->status.known = false;
    n->pause_until_us = 0;
    n->failed_us = 0;
}

uint32_t real_up(const struct real *r)
{
    uint32_t up = 0;
    for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
        up += processes_up(r->processes, i) ? 1 : 0;
    }
    return up;
}

uint32_t real_leader(const struct real *r)
{
    if (!r->leaderless) {
        return trigger_leader(&r->trigger);
    }
    for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
        if (processes_up(r->processes, i)) {
            return i;
        }
    }
    return 0;
}

/* Asking. */

static void on_status(void *ctx, const struct client_result *result)
{
    struct real_status *s = ctx;
    struct real *r = s->real;
    struct api_status answer;
    s->asked = false;
    if (result->outcome != CLIENT_OK) {
        return;
    }
    arena_reset(&r->arena);
    if (wire_status_decode(blob_bytes(result->message), &r->arena, NULL, &answer) != OK) {
        real_fail(r, "", "node %u answers Status with what is none", s->node);
        return;
    }
    s->known = true;
    s->commit = answer.raft_index;
    s->applied = answer.raft_applied_index;
    s->durable = answer.durable_index;
    s->hash = answer.state_hash;
}

void real_ask(struct real *r)
{
    struct blob *empty = blob_new(0); /* a StatusRequest has no fields */
    for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
        struct real_status *s = &r->nodes[i].status;
        if (s->asked) {
            continue;
        }
        s->known = false;
        s->real = r;
        s->node = i;
        if (processes_up(r->processes, i)) {
            const struct client_request request = {.path = CLIENT_STATUS,
                                                   .message = empty,
                                                   .timeout_ms = STATUS_TIMEOUT_MS,
                                                   .endpoint = (int32_t) i - 1,
                                                   .on_done = on_status,
                                                   .ctx = s};
            s->asked = true;
            ERR_IGNORE((int) client_call(r->asker, &request)); /* its number: never cancelled */
        }
    }
    blob_unref(empty);
}

bool real_asked(const struct real *r)
{
    for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
        if (r->nodes[i].status.asked) {
            return false;
        }
    }
    return true;
}

/* Ready. */

static void on_read(void *ctx, const struct client_result *result)
{
    struct real_status *s = ctx;
    s->asked = false;
    s->known = result->outcome == CLIENT_OK;
}

/* A linearizable read of each node that has not answered one yet. */
static void ask_reads(struct real *r)
{
    const struct range_request range = {.key = bytes_str("r0")};
    struct buf bytes;
    buf_init(&bytes, 256);
    int err = wire_range_request_encode(&range, &bytes);
    ASSERT(err == OK);
    struct blob *message = blob_copy(buf_bytes(&bytes));
    for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
        struct real_status *s = &r->nodes[i].status;
        const struct client_request request = {.path = CLIENT_RANGE,
                                               .message = message,
                                               .timeout_ms = READY_TIMEOUT_MS,
                                               .endpoint = (int32_t) i - 1,
                                               .on_done = on_read,
                                               .ctx = s};
        if (!s->asked && !s->known) {
            s->asked = true;
            ERR_IGNORE((int) client_call(r->asker, &request)); /* as above */
        }
    }
    blob_unref(message);
    buf_release(&bytes);
}

static uint64_t link_bytes(const struct real *r)
{
    uint64_t sum = 0;
    for (uint32_t a = 1; a <= r->scenario->nodes; a++) {
        for (uint32_t b = 1; b <= r->scenario->nodes; b++) {
            struct link_stats stats = {0};
            if (a != b) {
                r->links->ops->stats(r->links, a, b, &stats);
                sum += stats.bytes;
            }
        }
    }
    return sum;
}

void real_totals(struct real *r, bool begin)
{
    uint64_t *totals = r->record->totals;
    if (begin) {
        r->bytes_base = link_bytes(r);
    } else {
        totals[TOTAL_BYTES] = link_bytes(r) - r->bytes_base;
        totals[TOTAL_SYNCS] = 0; /* a run that turns red at its end is counted again */
        totals[TOTAL_STATE_SYNCS] = 0;
        totals[TOTAL_DISK_FAILURES] = 0;
        totals[TOTAL_CPU_US] = 0;
    }
    for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
        struct real_node *n = &r->nodes[i];
        const struct shim_page *page = processes_shim(r->processes, i);
        uint64_t syncs = atomic_load(&page->log_syncs);
        uint64_t state_syncs = atomic_load(&page->state_syncs);
        uint64_t cpu = processes_cpu_us(r->processes, i);
        if (begin) {
            n->sync_base = syncs;
            n->state_sync_base = state_syncs;
            n->cpu_base_us = cpu;
            n->cpu_sample_us = cpu;
        } else {
            totals[TOTAL_SYNCS] += syncs - n->sync_base;
            totals[TOTAL_STATE_SYNCS] += state_syncs - n->state_sync_base;
            totals[TOTAL_DISK_FAILURES] += atomic_load(&page->failed);
            totals[TOTAL_CPU_US] += cpu - n->cpu_base_us;
        }
    }
}

static void begin(struct real *r)
{
    r->start_ns = uv_hrtime();
    const struct workload_options o = {.scenario = r->scenario,
                                       .endpoints = r->endpoints,
                                       .history = r->record->history,
                                       .start_ns = r->start_ns,
                                       .on_write = real_on_write,
                                       .on_fail = real_on_fail,
                                       .ctx = r};
    trigger_init(&r->trigger, r->scenario);
    r->trigger_ready = true;
    int err = workload_new(r->loop, &o, &r->workload, r->error);
    if (err != OK) {
        real_abort_said(r, err);
        return;
    }
    real_totals(r, true);
    real_phase(r, PHASE_RUN, r->scenario->length_us);
    real_roles(r);
    workload_start(r->workload);
}

void real_ready(struct real *r)
{
    uint64_t now = uv_hrtime() / 1000;
    for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
        if (!r->nodes[i].status.known) {
            if (now > r->deadline_us) {
                real_abort(r, ERR_IO, "node %u does not answer a read", i);
            } else if (now >= r->ask_us) {
                ask_reads(r);
                r->ask_us = now + 20000;
            }
            return;
        }
    }
    begin(r);
}

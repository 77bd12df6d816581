/*
 * figure_e4.c - E4: what a write costs, counted; and throughput with fsync on, Paxos Made Live.
 *
 * (a) Round trips, messages, bytes and durable writes of one write, in the calm simulator, where
 * the latency says the same a second time. (b) With --real: clients against five processes.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/compare/compare.h"
#include "tests/compare/cost_run.h"
#include "tests/compare/figure.h"
#include "tests/compare/outage.h"

enum {
    ENGINES_MAX = 4,
    SIZES = 2,
    COMMAND_MAX = 1 << 16,
    LENGTH_US = 5000000, /* of a run on processes */
    LENGTH_QUICK_US = 2000000,
    REAL_NODES = 5,
};

static const uint32_t NODES[SIZES] = {3, 5};
static const char *const ROLES[COST_ROLES] = {"the leader", "another node"};

/* Paxos Made Live, table 1: operations a second for 5 bytes, KB/s above; 0: not given. */
static const struct {
    uint32_t bytes;
    uint32_t clients;
    const char *published; /* Chubby on Paxos, versus 3DB */
    bool quick;
} LOADS[] = {
    {5, 1, "91 ops/s (75)", true},
    {5, 4, "-", false},
    {5, 10, "490 ops/s (134)", false},
    {5, 20, "640 ops/s (178)", true},
    {8192, 1, "345 KB/s (172)", false},
    {8192, 4, "777-949 KB/s (217)", true},
    {8192, 10, "-", false},
    {8192, 20, "-", false},
    {32768, 1, "672-822 KB/s (338)", true},
    {32768, 4, "-", false},
    {32768, 10, "-", false},
    {32768, 20, "-", false},
};

struct e4 {
    const struct figure_options *options;
    struct figure *f;
    uint32_t engines;
    struct cost_result *costs; /* [engine][size] */
};

/* ---- (a) counted ---- */

static void run_cost(void *ctx, uint64_t i, void *slot)
{
    const struct e4 *e = ctx;
    const struct engine_ops *engine = engine_at((uint32_t) (i / SIZES));
    cost_run_execute(engine, NODES[i % SIZES], e->options->seed, slot);
}

static const struct cost *cost_at(const struct e4 *e, uint32_t engine, uint32_t size, uint32_t role)
{
    return &e->costs[engine * SIZES + size].of[role];
}

static bool has_leader(uint32_t engine)
{
    return (engine_capabilities(engine_at(engine)) & CAP_LEADER) != 0;
}

static void cost_command(const struct e4 *e, uint32_t engine, uint32_t size, struct buf *out)
{
    struct scenario s;
    cost_run_scenario(engine_at(engine), NODES[size], e->options->seed, &s);
    outage_command(e->options->program, &s, out);
    scenario_release(&s);
}

static void cost_row(struct e4 *e, struct table *t, uint32_t engine, uint32_t size, uint32_t role)
{
    const struct cost *c = cost_at(e, engine, size, role);
    double writes = c->writes;
    const double values[] = {c->hops / 2.0,       (double) c->rounds,   c->syncs,
                             (double) c->written, (double) c->messages, (double) c->bytes};
    struct buf command;
    char latency[TABLE_NUMBER_MAX];
    table_row(t);
    struct table_cell *name = table_set(t, 0, "%s", engine_name(engine_at(engine)));
    buf_init(&command, COMMAND_MAX);
    cost_command(e, engine, size, &command);
    table_replay(name, "%.*s", (int) command.size, (const char *) command.data);
    buf_release(&command);
    table_set(t, 1, "%u", NODES[size])->value = NODES[size];
    (void) table_set(t, 2, "%s", has_leader(engine) ? ROLES[role] : "any node");
    for (uint32_t i = 0; i < ARRAY_SIZE(values); i++) {
        bool bytes = i + 1 == ARRAY_SIZE(values);
        table_set(t, 3 + i, bytes ? "%.0f" : "%.2f", values[i] / writes)->value =
            values[i] / writes;
    }
    table_time((double) c->latency_us / writes, latency);
    struct table_cell *cell = table_set(t, 3 + ARRAY_SIZE(values), "%s", latency);
    cell->value = (double) c->latency_us / writes;
    table_details(cell, "mean of %u writes", c->writes);
}

static void cost_table(struct e4 *e)
{
    static const char *const columns[] = {
        "round trips",
        "requests to a quorum",
        "durable writes in turn",
        "durable writes in all",
        "messages",
        "bytes",
        "latency",
    };
    struct table *t = figure_table(e->f, "(a) What one write costs");
    table_column(t, "engine", false);
    table_column(t, "nodes", true);
    table_column(t, "asked", false);
    for (uint32_t i = 0; i < ARRAY_SIZE(columns); i++) {
        table_column(t, columns[i], true);
    }
    for (uint32_t g = 0; g < e->engines; g++) {
        for (uint32_t s = 0; s < SIZES; s++) {
            for (uint32_t role = 0; role < COST_ROLES; role++) {
                if (cost_at(e, g, s, role)->writes > 0) {
                    cost_row(e, t, g, s, role);
                }
            }
        }
    }
    table_note(t,
               "Round trips and durable writes in turn are what the latency is made of (a message "
               "takes %d ms, a durable write %d us, everything else nothing). Requests to a quorum "
               "are counted from the trace: prepare, accept, append. Messages without heartbeats "
               "and gossip; bytes are those of their frames, with a value of some 100 bytes. "
               "Whoever does not lead forwards, and hears of the choice: one round trip more.",
               COST_HOP_US / 1000, COST_SYNC_US);
}

static void check_number(struct e4 *e, uint32_t engine, uint32_t size, uint32_t role,
                         const char *what, const char *published, double low, double high,
                         double value)
{
    char text[160], band[64];
    struct buf command;
    (void) snprintf(text, sizeof text, "%s, %u nodes, asked %s: %s", engine_name(engine_at(engine)),
                    NODES[size], has_leader(engine) ? ROLES[role] : "any node", what);
    if (low == high) {
        (void) snprintf(band, sizeof band, "%.0f", low);
    } else {
        (void) snprintf(band, sizeof band, "%.0f to %.0f", low, high);
    }
    struct figure_check *c = figure_check(e->f, text, published, band);
    figure_ours(c, value >= low - 0.05 && value <= high + 0.05, "%.2f", value);
    buf_init(&command, COMMAND_MAX);
    cost_command(e, engine, size, &command);
    figure_replay(c, "%.*s", (int) command.size, (const char *) command.data);
    buf_release(&command);
}

static void cost_checks(struct e4 *e)
{
    uint64_t writes = 0, differ = 0, odd = 0;
    for (uint32_t g = 0; g < e->engines; g++) {
        uint32_t role = has_leader(g) ? COST_LEADER : COST_OTHER;
        bool plain = !has_leader(g);
        for (uint32_t s = 0; s < SIZES; s++) {
            const struct cost *c = cost_at(e, g, s, role);
            double n = c->writes;
            check_number(e, g, s, role, "round trips", plain ? "2" : "1", plain ? 2 : 1,
                         plain ? 2 : 1, c->hops / 2.0 / n);
            check_number(e, g, s, role, "durable writes in turn",
                         plain ? "5 (as described there)" : "1", plain ? 2 : 1, plain ? 5 : 1,
                         c->syncs / n);
            writes += c->writes;
            odd += c->odd;
            differ += 2 * c->rounds > c->hops ? 2 * c->rounds - c->hops : c->hops - 2 * c->rounds;
        }
    }
    struct figure_check *c = figure_check(e->f, "round trips by latency and by count differ", "-",
                                          "in less than 5 % of the writes");
    figure_ours(c, writes > 0 && (differ + odd) * 20 <= writes, "%" PRIu64 " of %" PRIu64,
                differ + odd, writes);
    figure_replay(c, "%s figures e4 --seed %" PRIu64, e->options->program, e->options->seed);
}

static bool costs_failed(const struct e4 *e, struct buf *error)
{
    for (uint32_t i = 0; i < e->engines * SIZES; i++) {
        if (!e->costs[i].ran || e->costs[i].red) {
            ERR_IGNORE(buf_printf(error, "%s, %u nodes: the calm run %s %s",
                                  engine_name(engine_at(i / SIZES)), NODES[i % SIZES],
                                  e->costs[i].ran ? "is red:" : "died", e->costs[i].text));
            return true;
        }
    }
    return false;
}

/* ---- (b) on processes ---- */

static void load_scenario(const struct e4 *e, uint32_t engine, uint32_t load, struct scenario *s)
{
    scenario_init(s, engine_at(engine), e->options->seed);
    s->nodes = REAL_NODES;
    s->length_us = e->options->quick ? LENGTH_QUICK_US : LENGTH_US;
    s->clients = LOADS[load].clients;
    s->keys = 8;
    s->think = (struct sim_span){0, 0};
    s->value = (struct sim_span){LOADS[load].bytes, LOADS[load].bytes};
    memset(s->mix, 0, sizeof s->mix);
    s->mix[SIM_OP_PUT] = 1;
}

/* Operations a second for the smallest values, KB/s for the others. */
static double in_unit(uint32_t load, double rate)
{
    return LOADS[load].bytes < 1000 ? rate : rate * LOADS[load].bytes / 1000;
}

static void load_cell(struct e4 *e, struct table *t, uint32_t engine, uint32_t load,
                      struct measured *m)
{
    struct scenario s;
    char text[TABLE_NUMBER_MAX], p50[TABLE_NUMBER_MAX], p99[TABLE_NUMBER_MAX];
    load_scenario(e, engine, load, &s);
    compare_trial_real(&s, false, m);
    scenario_release(&s);
    if (m->skipped || m->red) {
        struct table_cell *cell = table_set(t, 3 + engine, "%s", m->skipped ? "skipped" : "red");
        cell->tone = m->red ? TONE_BAD : TONE_WARN;
        table_details(cell, "%s %s", m->property, m->text);
        return;
    }
    double value = in_unit(load, m->values[MEASURE_THROUGHPUT]);
    table_number(value, text);
    table_time(m->values[MEASURE_LATENCY_P50], p50);
    table_time(m->values[MEASURE_LATENCY_P99], p99);
    struct table_cell *cell =
        table_set(t, 3 + engine, "%s %s", text, LOADS[load].bytes < 1000 ? "ops/s" : "KB/s");
    cell->value = value;
    table_details(cell, "latency p50 %s, p99 %s; %.2f durable writes a write", p50, p99,
                  m->values[MEASURE_SYNCS]);
}

/* False: progress said to stop. */
static bool load_table(struct e4 *e)
{
    struct measured *m = xcalloc(1, sizeof *m);
    uint64_t done = 0, total = 0;
    bool goes_on = true;
    struct table *t = figure_table(e->f, "(b) Throughput of five processes, fsync on");
    table_column(t, "value", false);
    table_column(t, "clients", true);
    table_column(t, "published (3DB)", true);
    for (uint32_t g = 0; g < e->engines; g++) {
        table_column(t, engine_name(engine_at(g)), true);
    }
    for (uint32_t i = 0; i < ARRAY_SIZE(LOADS); i++) {
        total += e->options->quick && !LOADS[i].quick ? 0 : e->engines;
    }
    for (uint32_t i = 0; i < ARRAY_SIZE(LOADS) && goes_on; i++) {
        if (e->options->quick && !LOADS[i].quick) {
            continue;
        }
        table_row(t);
        (void) table_set(t, 0, LOADS[i].bytes < 1000 ? "%u B" : "%u KiB",
                         LOADS[i].bytes < 1000 ? LOADS[i].bytes : LOADS[i].bytes / 1024);
        table_set(t, 1, "%u", LOADS[i].clients)->value = LOADS[i].clients;
        table_set(t, 2, "%s", LOADS[i].published)->tone = TONE_QUIET;
        for (uint32_t g = 0; g < e->engines && goes_on; g++) {
            load_cell(e, t, g, i, m);
            done++;
            goes_on =
                e->options->progress == NULL || e->options->progress(e->options->ctx, done, total);
        }
    }
    table_note(t, "Published: five replicas of 2006 on their own machines; here all five, and the "
                  "clients, share this one and its disk. KB/s as there: 1000 bytes. Clients ask "
                  "any node; each has one call at a time.");
    free(m);
    return goes_on;
}

static void load_check(struct e4 *e)
{
    struct figure_check *c =
        figure_check(e->f, "throughput of five processes", "91 to 640 ops/s of 5 bytes", "-");
    c->informal = true;
    figure_ours(c, true, "%s",
                e->options->real ? "table (b); other hardware" : "not run: needs --real");
    figure_replay(c, "%s figures e4 --real", e->options->program);
}

static void finding(struct figure *f)
{
    uint32_t failed = 0;
    for (uint32_t i = 0; i < f->checks_count; i++) {
        failed += f->checks[i].passed ? 0 : 1;
    }
    if (failed > 0) {
        figure_finding(f, "%u checks do not hold; the table above has them.", failed);
        return;
    }
    figure_finding(f,
                   "Plain Paxos needs two round trips and two durable writes in turn, Multi-Paxos "
                   "and Raft one of each when the leader is asked, and as many messages as each "
                   "other. Of the five writes of the paper three do not lie on the way here: the "
                   "proposer's own run beside those of the others, and that a value is chosen "
                   "need not be durable.");
}

static int run(const struct figure_options *options, struct figure *f, struct buf *error)
{
    struct e4 e = {.options = options, .f = f};
    int err = OK;
    figure_source(f, "Chandra, Griesemer, Redstone: Paxos Made Live, PODC 2007, table 1");
    figure_setup(f,
                 "(a) Simulator, one client, one write at a time through a node at random, 60 of "
                 "them, 3 and 5 nodes, constant delays. (b) %s",
                 options->real ? "Five processes of synod on loopback, fsync on, closed loop."
                               : "Throughput on processes is not run without --real.");
    while (engine_at(e.engines) != NULL) {
        e.engines++;
    }
    ASSERT(e.engines <= ENGINES_MAX);
    uint64_t count = (uint64_t) e.engines * SIZES;
    e.costs = figure_slots(count, sizeof *e.costs);
    uint64_t missing = figure_fork(options, count, sizeof *e.costs, e.costs, run_cost, &e);
    if (missing > 0 && options->progress != NULL &&
        !options->progress(options->ctx, count - missing, count)) {
        err = ERR_CANCELED;
    } else if (costs_failed(&e, error)) {
        err = ERR_IO;
    } else {
        cost_table(&e);
        cost_checks(&e);
        load_check(&e);
        err = options->real && !load_table(&e) ? ERR_CANCELED : OK;
        finding(f);
    }
    figure_slots_free(e.costs, count, sizeof *e.costs);
    return err;
}

const struct figure_ops figure_e4 = {
    .name = "e4",
    .title = "Paxos Made Live: what a write costs",
    .run = run,
};

/*
 * figure_e8.c - E8: Omni-Paxos, table 1: who survives which partial partition.
 *
 * Three graphs of links, each engine with the classic elector and with the product's, Raft also
 * with pre-vote and check-quorum alone, three election time-outs. Down-time is the longest time
 * without an answered write while the links are broken.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/compare/figure.h"
#include "tests/compare/outage_set.h"
#include "tests/compare/stats.h"

enum {
    MINUTE_US = 60000000,
    SEEDS = 5,
    SEEDS_LONG = 1, /* of partitions of 2 and 4 minutes */
    SEEDS_QUICK = 3,
    GATE_ELECTIONS = 4,
    TIMEOUTS = 3,
    MIDDLE = 1, /* of them: the one that is drawn */
    GRAPHS = OUTAGE_CHAINED + 1,
    COMMAND_MAX = 1 << 20,
};

static const uint64_t ELECTIONS_US[TIMEOUTS] = {50000, 500000, 5000000};

static const struct {
    const char *title;
    const char *engine;
    uint8_t elector;
} ROWS[] = {
    {"Raft, classic", "raft", ELECTOR_CLASSIC},
    {"Raft, PV+CQ", "raft", ELECTOR_BOTH},
    {"Raft, quorum-connected", "raft", ELECTOR_FULL},
    {"Multi-Paxos, classic", "multipaxos", ELECTOR_CLASSIC},
    {"Multi-Paxos, quorum-connected", "multipaxos", ELECTOR_FULL},
    {"Paxos, leaderless", "paxos", ELECTOR_FULL},
};

enum row { RAFT_CLASSIC, RAFT_BOTH, RAFT_FULL, MP_CLASSIC, MP_FULL, PAXOS, ROW_COUNT };
STATIC_ASSERT(ARRAY_SIZE(ROWS) == ROW_COUNT, "every row has a name");

/* Down-time in ms of a partition of one minute, Omni-Paxos (EuroSys 2023), table 1. */
static const struct {
    const char *title;
    double down_ms[OUTAGE_CONSTRAINED + 1][TIMEOUTS];
} PUBLISHED[] = {
    {"Omni-Paxos", {{288, 2047, 18501}, {302, 1438, 13530}}},
    {"Raft", {{364, 1824, 19503}, {59993, 59946, 59701}}},
    {"Raft PV+CQ", {{228, 1548, 15408}, {59993, 59946, 59701}}},
    {"VR", {{60000, 60000, 60000}, {60000, 60000, 60000}}},
    {"Multi-Paxos", {{60000, 60000, 60000}, {255, 1255, 13547}}},
};

/* Decided commands of the chained scenario in 4 minutes, millions, from and to. */
static const struct {
    const char *title;
    const char *decided;
} CHAINED[] = {
    {"Omni-Paxos", "21.8-22.1"}, {"Raft", "20.1-21.8"},        {"Raft PV+CQ", "21.0-21.5"},
    {"VR", "21.3-22.1"},         {"Multi-Paxos", "15.8-16.3"},
};

struct e8 {
    const struct figure_options *options;
    struct figure *f;
    struct outage_set set;
    double *samples; /* scratch, set.count of them */
};

static struct outage outage_of(const struct e8 *e, uint32_t graph, enum row row, uint32_t timeout,
                               uint32_t minutes)
{
    return (struct outage){.engine = engine_by_name(ROWS[row].engine),
                           .graph = (uint8_t) graph,
                           .elector = ROWS[row].elector,
                           .election_us = ELECTIONS_US[timeout],
                           .lasts_us = (uint64_t) minutes * MINUTE_US,
                           .seed = e->options->seed};
}

static void plan(struct e8 *e)
{
    bool quick = e->options->quick;
    uint32_t seeds = quick ? SEEDS_QUICK : SEEDS;
    uint32_t seeds_long = quick ? 0 : SEEDS_LONG;
    if (e->options->trials > 0) {
        seeds = e->options->trials;
    }
    for (uint32_t g = 0; g < GRAPHS; g++) {
        for (uint32_t r = 0; r < ROW_COUNT; r++) {
            for (uint32_t t = 0; t < TIMEOUTS; t++) {
                struct outage o = outage_of(e, g, r, t, 1);
                outage_set_add(&e->set, &o, quick && t != MIDDLE ? 0 : seeds);
            }
            for (uint32_t minutes = 2; minutes <= 4; minutes += 2) {
                struct outage o = outage_of(e, g, r, MIDDLE, minutes);
                outage_set_add(&e->set, &o, seeds_long);
            }
        }
    }
    e->samples = xcalloc(e->set.count, sizeof *e->samples);
}

static bool summary(struct e8 *e, const struct outage *o, enum outage_measure measure,
                    struct stats_summary *ret)
{
    uint32_t count = outage_set_samples(&e->set, o, measure, e->samples);
    stats_summary(e->samples, count, ret);
    return count > 0;
}

static void replay_worst(struct e8 *e, const struct outage *o, struct buf *command)
{
    struct scenario s;
    const struct outage *worst = outage_set_worst(&e->set, o);
    if (worst == NULL) {
        return;
    }
    outage_scenario(worst, &s);
    outage_command(e->options->program, &s, command);
    scenario_release(&s);
}

/* ---- Tables ---- */

static void set_down(struct e8 *e, struct table *t, uint32_t column, const struct outage *o)
{
    struct stats_summary down, silent, leaders;
    if (!summary(e, o, OUTAGE_DOWN, &down) || !summary(e, o, OUTAGE_SILENT, &silent) ||
        !summary(e, o, OUTAGE_LEADERS, &leaders)) {
        (void) table_set(t, column, "-");
        return;
    }
    char low[TABLE_NUMBER_MAX], high[TABLE_NUMBER_MAX], middle[TABLE_NUMBER_MAX];
    table_number(round(down.min / 1e3), low);
    table_number(round(down.median / 1e3), middle);
    table_number(round(down.max / 1e3), high);
    struct table_cell *cell = table_set(t, column, "%s (%s to %s)", middle, low, high);
    double limit = (double) GATE_ELECTIONS * (double) o->election_us;
    cell->value = down.median / 1e3;
    cell->tone = down.median > (double) o->lasts_us * 0.9 ? TONE_BAD
                 : down.max > limit                       ? TONE_WARN
                                                          : TONE_GOOD;
    table_details(cell,
                  "%zu runs; %.2f election time-outs (%.2f to %.2f); silence in all %.0f ms; "
                  "%.1f leader changes a minute",
                  down.count, down.median / (double) o->election_us,
                  down.min / (double) o->election_us, down.max / (double) o->election_us,
                  silent.median / 1e3, leaders.median);
    struct buf command;
    buf_init(&command, COMMAND_MAX);
    replay_worst(e, o, &command);
    table_replay(cell, "%.*s", (int) command.size, (const char *) command.data);
    buf_release(&command);
}

static void published_rows(struct table *t, uint32_t graph)
{
    for (uint32_t p = 0; p < ARRAY_SIZE(PUBLISHED); p++) {
        table_row(t);
        struct table_cell *name = table_set(t, 0, "published: %s", PUBLISHED[p].title);
        name->tone = TONE_QUIET;
        for (uint32_t i = 0; i < TIMEOUTS; i++) {
            char text[TABLE_NUMBER_MAX];
            table_number(PUBLISHED[p].down_ms[graph][i], text);
            struct table_cell *cell = table_set(t, 1 + i, "%s", text);
            cell->value = PUBLISHED[p].down_ms[graph][i];
            cell->tone = TONE_QUIET;
        }
    }
}

static void down_table(struct e8 *e, uint32_t graph)
{
    char title[128];
    (void) snprintf(title, sizeof title, "Down-time in ms, %s, partition of 1 minute",
                    outage_graph_title(graph));
    struct table *t = figure_table(e->f, title);
    table_column(t, "system", false);
    for (uint32_t i = 0; i < TIMEOUTS; i++) {
        char column[64];
        (void) snprintf(column, sizeof column, "time-out %u ms",
                        (unsigned) (ELECTIONS_US[i] / 1000));
        table_column(t, column, true);
    }
    table_column(t, "500 ms, 2 min", true);
    table_column(t, "500 ms, 4 min", true);
    for (uint32_t r = 0; r < ROW_COUNT; r++) {
        table_row(t);
        (void) table_set(t, 0, "%s", ROWS[r].title);
        for (uint32_t i = 0; i < TIMEOUTS + 2; i++) {
            struct outage o = i < TIMEOUTS ? outage_of(e, graph, r, i, 1)
                                           : outage_of(e, graph, r, MIDDLE, i == TIMEOUTS ? 2 : 4);
            set_down(e, t, 1 + i, &o);
        }
    }
    if (graph <= OUTAGE_CONSTRAINED) {
        published_rows(t, graph);
    }
    table_note(t, "Median (least to most) of the runs; a cell's command is its worst run.");
}

/* Answered writes and leader changes while the chain lasts, of the longest partition there is. */
static void chained_table(struct e8 *e)
{
    struct table *t = figure_table(e->f, "Chained: decided commands and leader changes");
    uint32_t minutes = e->options->quick ? 1 : 4;
    struct stats_summary best = {0};
    struct outage full = outage_of(e, OUTAGE_CHAINED, RAFT_FULL, MIDDLE, minutes);
    table_column(t, "system", false);
    table_column(t, "writes a second", true);
    table_column(t, "of Raft, quorum-connected", true);
    table_column(t, "leader changes a minute", true);
    table_column(t, "campaigns a minute", true);
    table_column(t, "decided in 4 min, published (millions)", true);
    (void) summary(e, &full, OUTAGE_WRITES, &best);
    for (uint32_t r = 0; r < ROW_COUNT; r++) {
        struct outage o = outage_of(e, OUTAGE_CHAINED, r, MIDDLE, minutes);
        struct stats_summary writes, leaders, campaigns;
        table_row(t);
        (void) table_set(t, 0, "%s", ROWS[r].title);
        if (!summary(e, &o, OUTAGE_WRITES, &writes) || !summary(e, &o, OUTAGE_LEADERS, &leaders) ||
            !summary(e, &o, OUTAGE_CAMPAIGNS, &campaigns)) {
            continue;
        }
        double rate = writes.median / (60 * minutes);
        table_set(t, 1, "%.1f", rate)->value = rate;
        table_set(t, 2, "%.0f %%", 100 * writes.median / best.median)->value =
            writes.median / best.median;
        table_set(t, 3, "%.1f", leaders.median)->value = leaders.median;
        table_set(t, 4, "%.1f", campaigns.median)->value = campaigns.median;
    }
    for (uint32_t p = 0; p < ARRAY_SIZE(CHAINED); p++) {
        table_row(t);
        table_set(t, 0, "published: %s", CHAINED[p].title)->tone = TONE_QUIET;
        table_set(t, 5, "%s", CHAINED[p].decided)->tone = TONE_QUIET;
    }
    table_note(t,
               "Election time-out 500 ms, %u min. Our clients call any node and wait: where the "
               "leader stays at an end, those that ask the other end time out, which costs more "
               "than changes of leader do.",
               minutes);
}

/* ---- Plots ---- */

static void throughput_plot(struct e8 *e, uint32_t graph)
{
    static struct plot_point points[ROW_COUNT][OUTAGE_BUCKETS];
    struct plot_series series[ROW_COUNT];
    struct outage o = outage_of(e, graph, 0, MIDDLE, 1);
    char title[128];
    double bucket = (double) outage_bucket_us(&o);
    for (uint32_t r = 0; r < ROW_COUNT; r++) {
        double rates[OUTAGE_BUCKETS];
        o = outage_of(e, graph, r, MIDDLE, 1);
        outage_set_rates(&e->set, &o, rates);
        for (uint32_t i = 0; i < OUTAGE_BUCKETS; i++) {
            double at = (i + 0.5) * bucket - (double) outage_lead_us(&o);
            points[r][i] = (struct plot_point){at, rates[i], NAN, NAN};
        }
        series[r] = (struct plot_series){.name = ROWS[r].title,
                                         .colour = r,
                                         .points = points[r],
                                         .count = OUTAGE_BUCKETS};
    }
    const struct plot_mark mark = {0, MINUTE_US, outage_graph_title(graph)};
    (void) snprintf(title, sizeof title, "Throughput, %s", outage_graph_title(graph));
    const struct plot plot = {
        .title = title,
        .about = "Answered writes a second of 40 clients that call any node; mean of the runs. "
                 "Election time-out 500 ms; the links are broken for the marked minute.",
        .x_title = "since the links broke",
        .y_title = "writes a second",
        .kind = PLOT_LINE,
        .series = series,
        .series_count = ROW_COUNT,
        .marks = &mark,
        .marks_count = 1,
        .x_min = NAN,
        .x_max = NAN,
        .y_min = 0,
        .y_max = NAN,
        .x_time = true};
    figure_plot(e->f, &plot);
}

/* As bars from a tenth of a time-out up: what is shorter than that is drawn as that. */
static double bar(double elections)
{
    return fmax(elections, 0.1);
}

static void down_plot(struct e8 *e)
{
    struct plot_point points[ROW_COUNT][GRAPHS];
    struct plot_series series[ROW_COUNT];
    const char *groups[GRAPHS];
    for (uint32_t r = 0; r < ROW_COUNT; r++) {
        uint32_t count = 0;
        for (uint32_t g = 0; g < GRAPHS; g++) {
            struct outage o = outage_of(e, g, r, MIDDLE, 1);
            struct stats_summary down;
            groups[g] = outage_graph_title(g);
            if (summary(e, &o, OUTAGE_DOWN, &down)) {
                double t = (double) o.election_us;
                points[r][count++] = (struct plot_point){g, bar(down.median / t), bar(down.min / t),
                                                         bar(down.max / t)};
            }
        }
        series[r] = (struct plot_series){.name = ROWS[r].title,
                                         .colour = r,
                                         .points = points[r],
                                         .count = count};
    }
    const struct plot plot = {
        .title = "Down-time in election time-outs",
        .about = "Median of the runs, whiskers from least to most; election time-out 500 ms, "
                 "partition of 120 time-outs. Four is the most that the product may need.",
        .x_title = "partial partition",
        .y_title = "election time-outs",
        .kind = PLOT_BARS,
        .y_scale = PLOT_LOG,
        .groups = groups,
        .groups_count = GRAPHS,
        .series = series,
        .series_count = ROW_COUNT,
        .x_min = NAN,
        .x_max = NAN,
        .y_min = 0.1,
        .y_max = 200};
    figure_plot(e->f, &plot);
}

static void published_plot(struct e8 *e)
{
    struct plot_point points[ARRAY_SIZE(PUBLISHED)][OUTAGE_CONSTRAINED + 1];
    struct plot_series series[ARRAY_SIZE(PUBLISHED)];
    const char *groups[OUTAGE_CONSTRAINED + 1];
    for (uint32_t p = 0; p < ARRAY_SIZE(PUBLISHED); p++) {
        for (uint32_t g = 0; g <= OUTAGE_CONSTRAINED; g++) {
            double elections =
                PUBLISHED[p].down_ms[g][MIDDLE] * 1e3 / (double) ELECTIONS_US[MIDDLE];
            groups[g] = outage_graph_title(g);
            points[p][g] = (struct plot_point){g, elections, NAN, NAN};
        }
        series[p] = (struct plot_series){.name = PUBLISHED[p].title,
                                         .colour = p,
                                         .dashed = true,
                                         .points = points[p],
                                         .count = OUTAGE_CONSTRAINED + 1};
    }
    const struct plot plot = {.title = "As published: down-time in election time-outs",
                              .about = "Omni-Paxos (EuroSys 2023), table 1, time-out 500 ms.",
                              .x_title = "partial partition",
                              .y_title = "election time-outs",
                              .kind = PLOT_BARS,
                              .y_scale = PLOT_LOG,
                              .groups = groups,
                              .groups_count = OUTAGE_CONSTRAINED + 1,
                              .series = series,
                              .series_count = ARRAY_SIZE(PUBLISHED),
                              .x_min = NAN,
                              .x_max = NAN,
                              .y_min = 0.1,
                              .y_max = 200};
    figure_plot(e->f, &plot);
}

/* ---- Checks ---- */

/* How many of the runs of a minute were dead, over all time-outs. */
static uint32_t dead_runs(struct e8 *e, uint32_t graph, enum row row, uint32_t *ret_runs)
{
    uint32_t dead = 0;
    *ret_runs = 0;
    for (uint32_t t = 0; t < TIMEOUTS; t++) {
        struct outage o = outage_of(e, graph, row, t, 1);
        uint32_t count = outage_set_samples(&e->set, &o, OUTAGE_DEAD, e->samples);
        for (uint32_t i = 0; i < count; i++) {
            dead += e->samples[i] > 0 ? 1 : 0;
        }
        *ret_runs += count;
    }
    return dead;
}

static void check_lives(struct e8 *e, uint32_t graph, enum row row, const char *published,
                        bool lives)
{
    char what[128];
    uint32_t runs;
    struct buf command;
    buf_init(&command, COMMAND_MAX);
    (void) snprintf(what, sizeof what, "%s in the %s: %s", ROWS[row].title,
                    outage_graph_title(graph), lives ? "goes on" : "stays down");
    struct figure_check *c = figure_check(e->f, what, published,
                                          lives ? "at most a tenth of the runs is down for good"
                                                : "at least nine tenths are down for good");
    uint32_t dead = dead_runs(e, graph, row, &runs);
    figure_ours(c, runs > 0 && (lives ? dead * 10 <= runs : dead * 10 >= runs * 9),
                "%u of %u down for good", dead, runs);
    struct outage o = outage_of(e, graph, row, MIDDLE, 1);
    replay_worst(e, &o, &command);
    figure_replay(c, "%.*s", (int) command.size, (const char *) command.data);
    buf_release(&command);
}

/* The release gate: every run of every time-out and length. */
static void check_gate(struct e8 *e, uint32_t graph, enum row row)
{
    char what[128];
    double most = 0;
    uint32_t runs = 0;
    struct outage worst = outage_of(e, graph, row, MIDDLE, 1);
    for (uint32_t i = 0; i < e->set.count; i++) {
        const struct outage *o = &e->set.jobs[i];
        const struct outage_result *r = &e->set.results[i];
        double elections = (double) r->down_us / (double) o->election_us;
        if (o->graph != graph || o->engine != worst.engine || o->elector != worst.elector ||
            !r->ran || !r->placed) {
            continue;
        }
        runs++;
        if (elections > most) {
            most = elections;
            worst = *o;
        }
    }
    (void) snprintf(what, sizeof what, "%s, %s: the longest of all down-times", ROWS[row].title,
                    outage_graph_title(graph));
    struct figure_check *c = figure_check(e->f, what, "-", "4 election time-outs at most");
    struct scenario s;
    struct buf command;
    buf_init(&command, COMMAND_MAX);
    outage_scenario(&worst, &s);
    outage_command(e->options->program, &s, &command);
    figure_ours(c, runs > 0 && most <= GATE_ELECTIONS, "%.2f time-outs, of %u runs", most, runs);
    figure_replay(c, "%.*s", (int) command.size, (const char *) command.data);
    scenario_release(&s);
    buf_release(&command);
}

static void check_chained(struct e8 *e)
{
    uint32_t minutes = e->options->quick ? 1 : 4;
    struct outage classic = outage_of(e, OUTAGE_CHAINED, MP_CLASSIC, MIDDLE, minutes);
    struct outage full = outage_of(e, OUTAGE_CHAINED, MP_FULL, MIDDLE, minutes);
    struct stats_summary a, b, leaders;
    struct figure_check *c =
        figure_check(e->f, "Multi-Paxos, classic, chained: commands decided, of a stable leader's",
                     "73 % (16.05 of 21.95 million)", "below 95 %");
    bool have = summary(e, &classic, OUTAGE_WRITES, &a) && summary(e, &full, OUTAGE_WRITES, &b) &&
                summary(e, &classic, OUTAGE_LEADERS, &leaders) && b.median > 0;
    double share = have ? a.median / b.median : NAN;
    figure_ours(c, have && share < 0.95, "%.0f %%", 100 * share);
    figure_replay(c, "%s figures e8 --seed %llu", e->options->program,
                  (unsigned long long) e->options->seed);
    c = figure_check(e->f, "Multi-Paxos, classic, chained: the ends depose each other", "-",
                     "more than 30 a minute");
    figure_ours(c, have && leaders.median > 30, "%.0f a minute", have ? leaders.median : NAN);
    figure_replay(c, "%s figures e8 --seed %llu", e->options->program,
                  (unsigned long long) e->options->seed);
}

static void checks(struct e8 *e)
{
    check_lives(e, OUTAGE_QUORUM_LOSS, RAFT_CLASSIC, "1824 ms at 500 ms", true);
    check_lives(e, OUTAGE_QUORUM_LOSS, RAFT_BOTH, "1548 ms at 500 ms", true);
    check_lives(e, OUTAGE_QUORUM_LOSS, MP_CLASSIC, "down all the time", false);
    check_lives(e, OUTAGE_CONSTRAINED, RAFT_CLASSIC, "59,946 ms of 60,000", false);
    check_lives(e, OUTAGE_CONSTRAINED, RAFT_BOTH, "as Raft", false);
    check_lives(e, OUTAGE_CONSTRAINED, MP_CLASSIC, "1255 ms at 500 ms", true);
    check_chained(e);
    for (uint32_t g = 0; g < GRAPHS; g++) {
        check_gate(e, g, RAFT_FULL);
        check_gate(e, g, MP_FULL);
        check_gate(e, g, PAXOS);
    }
    outage_set_check(&e->set, e->options, e->f);
}

static void finding(struct e8 *e)
{
    uint32_t failed = figure_failed(e->f);
    if (failed > 0) {
        figure_finding(e->f, "%u checks do not hold; the table above has them.", failed);
        return;
    }
    figure_finding(e->f,
                   "The mirror image is there: classic Raft is down for good in the constrained "
                   "election and passes the quorum loss, classic Multi-Paxos the other way round. "
                   "With the quorum-connected elector every engine is back within 4 election "
                   "time-outs in all three.");
}

static int run(const struct figure_options *options, struct figure *f, struct buf *error)
{
    struct e8 e = {.options = options, .f = f};
    (void) error;
    figure_source(f, "Ng, Haridi, Carbone: Omni-Paxos, EuroSys 2023, table 1");
    outage_set_init(&e.set);
    plan(&e);
    figure_setup(f,
                 "Simulator, %u runs. 5 nodes (chained: 3), one-way delay 0.1 to 1 ms, a durable "
                 "write 0.1 to 1.5 ms, 40 clients that write through any node. Classic: pre-vote, "
                 "check-quorum and quorum-connected off. In the constrained election the hub is "
                 "cut off from the leader for half a time-out before everything else breaks. "
                 "Published: 5 servers of a cloud, in memory, a client with many proposals.",
                 e.set.count);
    int err = outage_set_run(&e.set, options);
    if (err == OK) {
        for (uint32_t g = 0; g < GRAPHS; g++) {
            down_table(&e, g);
        }
        chained_table(&e);
        down_plot(&e);
        published_plot(&e);
        for (uint32_t g = 0; g < GRAPHS; g++) {
            throughput_plot(&e, g);
        }
        checks(&e);
        finding(&e);
    }
    free(e.samples);
    outage_set_release(&e.set);
    return err;
}

const struct figure_ops figure_e8 = {
    .name = "e8",
    .title = "Omni-Paxos, table 1: partial partitions",
    .run = run,
};

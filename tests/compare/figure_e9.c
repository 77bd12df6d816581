/*
 * figure_e9.c - E9: liveness of leader election where not everybody hears everybody.
 *
 * The two graphs of "Raft does not guarantee liveness in the face of network faults", written after
 * the Cloudflare outage of 2 November 2020, the three of Omni-Paxos, links that work one way only,
 * and one that flaps: a suite for every engine and every setting of its elector's switches.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/compare/figure.h"
#include "tests/compare/outage_set.h"
#include "tests/compare/stats.h"

enum {
    ELECTION_US = 500000,
    LASTS_US = 60000000,
    LASTS_QUICK_US = 30000000,
    SEEDS = 8,
    SEEDS_QUICK = 2,
    LIVE_ELECTIONS = 4, /* down no longer than that: live */
    COMMAND_MAX = 1 << 20,
    DRAWN = 6, /* rows that plots show */
};

static const struct {
    const char *title;
    const char *engine;
    uint8_t elector;
    bool drawn;
} ROWS[] = {
    {"Raft, classic", "raft", ELECTOR_CLASSIC, true},
    {"Raft, pre-vote", "raft", ELECTOR_PRE_VOTE, true},
    {"Raft, check-quorum", "raft", ELECTOR_CHECK_QUORUM, false},
    {"Raft, PV+CQ", "raft", ELECTOR_BOTH, true},
    {"Raft, quorum-connected", "raft", ELECTOR_FULL, true},
    {"Multi-Paxos, classic", "multipaxos", ELECTOR_CLASSIC, true},
    {"Multi-Paxos, pre-vote", "multipaxos", ELECTOR_PRE_VOTE, false},
    {"Multi-Paxos, check-quorum", "multipaxos", ELECTOR_CHECK_QUORUM, false},
    {"Multi-Paxos, PV+CQ", "multipaxos", ELECTOR_BOTH, false},
    {"Multi-Paxos, quorum-connected", "multipaxos", ELECTOR_FULL, true},
    {"Paxos, plain", "paxos", ELECTOR_CLASSIC, false},
    {"Paxos, quorum-connected", "paxos", ELECTOR_FULL, false},
};

enum row {
    RAFT_CLASSIC,
    RAFT_PRE_VOTE,
    RAFT_CHECK_QUORUM,
    RAFT_BOTH,
    RAFT_FULL,
    MP_CLASSIC,
    MP_PRE_VOTE,
    MP_CHECK_QUORUM,
    MP_BOTH,
    MP_FULL,
    PAXOS_PLAIN,
    PAXOS_FULL,
    ROW_COUNT,
};
STATIC_ASSERT(ARRAY_SIZE(ROWS) == ROW_COUNT, "every row has a name");

struct e9 {
    const struct figure_options *options;
    struct figure *f;
    struct outage_set set;
    double *samples; /* scratch, set.count of them */
};

static struct outage outage_of(const struct e9 *e, uint32_t graph, uint32_t row)
{
    return (struct outage){.engine = engine_by_name(ROWS[row].engine),
                           .graph = (uint8_t) graph,
                           .elector = ROWS[row].elector,
                           .election_us = ELECTION_US,
                           .lasts_us = e->options->quick ? LASTS_QUICK_US : LASTS_US,
                           .seed = e->options->seed};
}

static void plan(struct e9 *e)
{
    uint32_t seeds = e->options->quick ? SEEDS_QUICK : SEEDS;
    if (e->options->trials > 0) {
        seeds = e->options->trials;
    }
    for (uint32_t g = 0; g < OUTAGE_GRAPHS; g++) {
        for (uint32_t r = 0; r < ROW_COUNT; r++) {
            struct outage o = outage_of(e, g, r);
            outage_set_add(&e->set, &o, seeds);
        }
    }
    e->samples = xcalloc(e->set.count, sizeof *e->samples);
}

static bool summary(struct e9 *e, uint32_t graph, uint32_t row, enum outage_measure measure,
                    struct stats_summary *ret)
{
    struct outage o = outage_of(e, graph, row);
    uint32_t count = outage_set_samples(&e->set, &o, measure, e->samples);
    stats_summary(e->samples, count, ret);
    return count > 0;
}

/* The command of the longest down run of a row and graph. A flapping link has too many steps for a
 * line; the figure's own is given then. */
static void worst_command(struct e9 *e, uint32_t graph, uint32_t row, struct buf *command)
{
    struct outage o = outage_of(e, graph, row);
    const struct outage *worst = outage_set_worst(&e->set, &o);
    if (worst == NULL || graph == OUTAGE_FLAPPING) {
        ERR_IGNORE(buf_printf(command, "%s figures e9 --seed %" PRIu64 "%s", e->options->program,
                              e->options->seed, e->options->quick ? " --quick" : ""));
        return;
    }
    struct scenario s;
    outage_scenario(worst, &s);
    outage_command(e->options->program, &s, command);
    scenario_release(&s);
}

/* ---- Tables ---- */

static struct table *begin_table(struct e9 *e, const char *title)
{
    struct table *t = figure_table(e->f, title);
    table_column(t, "elector", false);
    for (uint32_t g = 0; g < OUTAGE_GRAPHS; g++) {
        table_column(t, outage_graph_title(g), true);
    }
    return t;
}

static void live_cell(struct e9 *e, struct table *t, uint32_t graph, uint32_t row)
{
    struct stats_summary down, dead, writes;
    struct buf command;
    struct table_cell *cell;
    if (!summary(e, graph, row, OUTAGE_DOWN, &down) ||
        !summary(e, graph, row, OUTAGE_DEAD, &dead) ||
        !summary(e, graph, row, OUTAGE_WRITES, &writes)) {
        (void) table_set(t, 1 + graph, "-");
        return;
    }
    if (dead.mean > 0.5) {
        cell = table_set(t, 1 + graph, "down");
        cell->tone = TONE_BAD;
    } else if (down.max > (double) LIVE_ELECTIONS * ELECTION_US) {
        cell = table_set(t, 1 + graph, "slow");
        cell->tone = TONE_WARN;
    } else {
        cell = table_set(t, 1 + graph, "live");
        cell->tone = TONE_GOOD;
    }
    table_details(cell,
                  "%.0f %% of %zu runs down for good; down %.2f time-outs (at most %.2f); %.0f "
                  "writes",
                  100 * dead.mean, dead.count, down.median / ELECTION_US, down.max / ELECTION_US,
                  writes.median);
    buf_init(&command, COMMAND_MAX);
    worst_command(e, graph, row, &command);
    table_replay(cell, "%.*s", (int) command.size, (const char *) command.data);
    buf_release(&command);
}

static void live_table(struct e9 *e)
{
    struct table *t = begin_table(e, "Live or not");
    for (uint32_t r = 0; r < ROW_COUNT; r++) {
        table_row(t);
        (void) table_set(t, 0, "%s", ROWS[r].title);
        for (uint32_t g = 0; g < OUTAGE_GRAPHS; g++) {
            live_cell(e, t, g, r);
        }
    }
    table_note(t,
               "Live: never longer than %d election time-outs without an answered write. Slow: "
               "longer, and yet going on. Down: in most runs nothing is answered from the "
               "middle of the partition to its end. Flapping: the link of the leader to one of "
               "two followers.",
               LIVE_ELECTIONS);
}

static void number_table(struct e9 *e, const char *title, const char *note,
                         enum outage_measure measure, double unit)
{
    struct table *t = begin_table(e, title);
    for (uint32_t r = 0; r < ROW_COUNT; r++) {
        table_row(t);
        (void) table_set(t, 0, "%s", ROWS[r].title);
        for (uint32_t g = 0; g < OUTAGE_GRAPHS; g++) {
            struct stats_summary s;
            if (!summary(e, g, r, measure, &s)) {
                (void) table_set(t, 1 + g, "-");
                continue;
            }
            struct table_cell *cell = table_set(t, 1 + g, "%.1f", s.median / unit);
            cell->value = s.median / unit;
            table_details(cell, "%.2f to %.2f in %zu runs", s.min / unit, s.max / unit, s.count);
        }
    }
    table_note(t, "%s", note);
}

static void tables(struct e9 *e)
{
    double seconds = (double) (e->options->quick ? LASTS_QUICK_US : LASTS_US) / 1e6;
    live_table(e);
    number_table(e, "Leader changes a minute", "Medians; nodes that became leader.", OUTAGE_LEADERS,
                 1);
    number_table(e, "Time to first commit, in election time-outs",
                 "Medians, from the cut to the first answer of a write that was called after it; "
                 "the whole partition when there was none.",
                 OUTAGE_FIRST, ELECTION_US);
    number_table(e, "Down-time, in election time-outs",
                 "Medians of the longest time without an answered write.", OUTAGE_DOWN,
                 ELECTION_US);
    number_table(e, "Campaigns a minute", "Medians; nodes that became candidate or asked.",
                 OUTAGE_CAMPAIGNS, 1);
    number_table(e, "Answered writes a second",
                 "Medians. 40 clients call any node and wait: those at nodes that get no service "
                 "are held up by time-outs.",
                 OUTAGE_WRITES, seconds);
}

/* ---- Plots ---- */

static void rate_plot(struct e9 *e, uint32_t graph)
{
    static struct plot_point points[DRAWN][OUTAGE_BUCKETS];
    struct plot_series series[DRAWN];
    char title[128];
    uint32_t n = 0;
    struct outage o = outage_of(e, graph, 0);
    double bucket = (double) outage_bucket_us(&o);
    for (uint32_t r = 0; r < ROW_COUNT; r++) {
        double rates[OUTAGE_BUCKETS];
        if (!ROWS[r].drawn) {
            continue;
        }
        ASSERT(n < DRAWN);
        o = outage_of(e, graph, r);
        outage_set_rates(&e->set, &o, rates);
        for (uint32_t i = 0; i < OUTAGE_BUCKETS; i++) {
            double at = (i + 0.5) * bucket - (double) outage_lead_us(&o);
            points[n][i] = (struct plot_point){at, rates[i], NAN, NAN};
        }
        series[n] = (struct plot_series){.name = ROWS[r].title,
                                         .colour = n,
                                         .points = points[n],
                                         .count = OUTAGE_BUCKETS};
        n++;
    }
    const struct plot_mark mark = {0, (double) o.lasts_us, outage_graph_title(graph)};
    (void) snprintf(title, sizeof title, "Throughput, %s", outage_graph_title(graph));
    const struct plot plot = {.title = title,
                              .about = "Answered writes a second, mean of the runs.",
                              .x_title = "since the links broke",
                              .y_title = "writes a second",
                              .kind = PLOT_LINE,
                              .series = series,
                              .series_count = n,
                              .marks = &mark,
                              .marks_count = 1,
                              .x_min = NAN,
                              .x_max = NAN,
                              .y_min = 0,
                              .y_max = NAN,
                              .x_time = true};
    figure_plot(e->f, &plot);
}

static void leaders_plot(struct e9 *e)
{
    static struct plot_point points[DRAWN][OUTAGE_GRAPHS];
    struct plot_series series[DRAWN];
    const char *groups[OUTAGE_GRAPHS];
    uint32_t n = 0;
    for (uint32_t r = 0; r < ROW_COUNT; r++) {
        uint32_t count = 0;
        if (!ROWS[r].drawn) {
            continue;
        }
        for (uint32_t g = OUTAGE_TWO_LEAVES; g < OUTAGE_GRAPHS; g++) {
            struct stats_summary s;
            groups[g - OUTAGE_TWO_LEAVES] = outage_graph_word(g);
            if (summary(e, g, r, OUTAGE_LEADERS, &s)) {
                points[n][count++] = (struct plot_point){g - OUTAGE_TWO_LEAVES, fmax(s.median, 0.1),
                                                         fmax(s.min, 0.1), fmax(s.max, 0.1)};
            }
        }
        series[n] = (struct plot_series){.name = ROWS[r].title,
                                         .colour = n,
                                         .points = points[n],
                                         .count = count};
        n++;
    }
    const struct plot plot = {.title = "Leader changes a minute",
                              .about = "Medians with least and most; 0.1 stands for none.",
                              .x_title = "graph",
                              .y_title = "leader changes a minute",
                              .kind = PLOT_BARS,
                              .y_scale = PLOT_LOG,
                              .groups = groups,
                              .groups_count = OUTAGE_GRAPHS - OUTAGE_TWO_LEAVES,
                              .series = series,
                              .series_count = n,
                              .x_min = NAN,
                              .x_max = NAN,
                              .y_min = 0.1,
                              .y_max = NAN};
    figure_plot(e->f, &plot);
}

/* ---- Checks ---- */

static struct figure_check *begin_check(struct e9 *e, uint32_t graph, uint32_t row,
                                        const char *what, const char *published, const char *band)
{
    struct buf command;
    char text[160];
    (void) snprintf(text, sizeof text, "%s, %s: %s", ROWS[row].title, outage_graph_title(graph),
                    what);
    struct figure_check *c = figure_check(e->f, text, published, band);
    buf_init(&command, COMMAND_MAX);
    worst_command(e, graph, row, &command);
    figure_replay(c, "%.*s", (int) command.size, (const char *) command.data);
    buf_release(&command);
    return c;
}

static void check_down(struct e9 *e, uint32_t graph, uint32_t row, const char *published)
{
    struct stats_summary s;
    struct figure_check *c =
        begin_check(e, graph, row, "down for good", published, "at least nine tenths of the runs");
    bool have = summary(e, graph, row, OUTAGE_DEAD, &s);
    figure_ours(c, have && s.mean >= 0.9, "%.0f %% of %zu", 100 * s.mean, s.count);
}

static void check_live(struct e9 *e, uint32_t graph, uint32_t row, const char *published)
{
    struct stats_summary s, leaders;
    struct figure_check *c = begin_check(e, graph, row, "live", published,
                                         "never down longer than 4 time-outs, at most 6 changes of "
                                         "leader a minute");
    bool have =
        summary(e, graph, row, OUTAGE_DOWN, &s) && summary(e, graph, row, OUTAGE_LEADERS, &leaders);
    figure_ours(c, have && s.max <= (double) LIVE_ELECTIONS * ELECTION_US && leaders.max <= 6,
                "%.2f time-outs, %.0f changes", s.max / ELECTION_US, leaders.max);
}

static void check_changes(struct e9 *e, uint32_t graph, uint32_t row, const char *published)
{
    struct stats_summary s;
    struct figure_check *c = begin_check(e, graph, row, "changes its leader for ever", published,
                                         "more than 6 changes a minute, in every run");
    bool have = summary(e, graph, row, OUTAGE_LEADERS, &s);
    figure_ours(c, have && s.min > 6, "%.0f a minute (%.0f to %.0f)", s.median, s.min, s.max);
}

/* The product's own promise, over the whole suite. */
static void check_suite(struct e9 *e, uint32_t row)
{
    char what[128];
    double most = 0, changes = 0;
    uint32_t at = 0, live = 0;
    for (uint32_t g = 0; g < OUTAGE_GRAPHS; g++) {
        struct stats_summary s, leaders;
        if (!summary(e, g, row, OUTAGE_DOWN, &s) || !summary(e, g, row, OUTAGE_LEADERS, &leaders)) {
            continue;
        }
        live += s.max <= (double) LIVE_ELECTIONS * ELECTION_US ? 1 : 0;
        at = s.max > most ? g : at;
        most = fmax(most, s.max);
        changes = fmax(changes, leaders.max);
    }
    (void) snprintf(what, sizeof what, "%s: the whole suite", ROWS[row].title);
    struct figure_check *c =
        figure_check(e->f, what, "-", "live in all graphs, at most 6 changes of leader a minute");
    figure_ours(c, live == OUTAGE_GRAPHS && changes <= 6,
                "live in %u of %d; at most %.2f time-outs (%s), %.0f changes", live, OUTAGE_GRAPHS,
                most / ELECTION_US, outage_graph_title(at), changes);
    struct buf command;
    buf_init(&command, COMMAND_MAX);
    worst_command(e, at, row, &command);
    figure_replay(c, "%.*s", (int) command.size, (const char *) command.data);
    buf_release(&command);
}

static void checks(struct e9 *e)
{
    check_changes(e, OUTAGE_TWO_LEAVES, RAFT_CLASSIC, "as the article argues");
    check_live(e, OUTAGE_TWO_LEAVES, RAFT_BOTH, "live with pre-vote and check-quorum");
    check_down(e, OUTAGE_LEADER_LEAF, RAFT_PRE_VOTE, "deadlock without check-quorum");
    check_live(e, OUTAGE_LEADER_LEAF, RAFT_BOTH, "live with pre-vote and check-quorum");
    check_changes(e, OUTAGE_TWO_LEAVES, MP_CLASSIC, "-");
    check_down(e, OUTAGE_LEADER_LEAF, MP_PRE_VOTE, "-");
    check_live(e, OUTAGE_LEADER_LEAF, MP_BOTH, "-");
    check_down(e, OUTAGE_CONSTRAINED, RAFT_BOTH, "down all the time (Omni-Paxos)");
    check_down(e, OUTAGE_DEAF, RAFT_CLASSIC, "-");
    check_down(e, OUTAGE_DEAF, MP_CLASSIC, "-");
    check_suite(e, RAFT_FULL);
    check_suite(e, MP_FULL);
    check_suite(e, PAXOS_FULL);
    outage_set_check(&e->set, e->options, e->f);
}

static void finding(struct e9 *e)
{
    uint32_t failed = figure_failed(e->f);
    if (failed > 0) {
        figure_finding(e->f, "%u checks do not hold; the table above has them.", failed);
        return;
    }
    figure_finding(e->f,
                   "As the article has it, plain Raft changes its leader for ever in the first "
                   "graph, pre-vote alone deadlocks in the second, and both switches together are "
                   "live in both; they are not in the constrained election. Only with the "
                   "quorum-connected elector is every engine live in the whole suite.");
}

static int run(const struct figure_options *options, struct figure *f, struct buf *error)
{
    struct e9 e = {.options = options, .f = f};
    (void) error;
    figure_source(f, "Howard, Abraham: Raft does not Guarantee Liveness in the face of Network "
                     "Faults, Decentralized Thoughts, 2020; Lianza, Snook: A Byzantine failure in "
                     "the real world, Cloudflare, 2020");
    outage_set_init(&e.set);
    plan(&e);
    figure_setup(f,
                 "Simulator, %u runs: %d graphs, every engine, every setting of its elector. "
                 "Election time-out %d ms, links broken for %d s, one-way delay 0.1 to 1 ms, 40 "
                 "clients that write through any node. The article reasons about graphs; nothing "
                 "was measured there.",
                 e.set.count, OUTAGE_GRAPHS, ELECTION_US / 1000,
                 (options->quick ? LASTS_QUICK_US : LASTS_US) / 1000000);
    int err = outage_set_run(&e.set, options);
    if (err == OK) {
        tables(&e);
        leaders_plot(&e);
        rate_plot(&e, OUTAGE_TWO_LEAVES);
        rate_plot(&e, OUTAGE_LEADER_LEAF);
        rate_plot(&e, OUTAGE_FLAPPING);
        checks(&e);
        finding(&e);
    }
    free(e.samples);
    outage_set_release(&e.set);
    return err;
}

const struct figure_ops figure_e9 = {
    .name = "e9",
    .title = "Liveness where not everybody hears everybody",
    .run = run,
};

/*
 * figure_e1.c - E1: election time against the spread of time-outs (Raft Figure 16).
 *
 * First the thesis' formula of split votes against the bench, in the formula's own setting: if that
 * did not hold, nothing else here would mean anything. Then the lines of the figure for each
 * engine, and what the thesis leaves open, one table each: loss, links, clocks, terms, and the way
 * from a candidate's time-out to the ears of the others.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/compare/election_lines.h"

enum {
    TRIALS_ORACLE = 20000,
    TRIALS_LINE = 1000,
    TRIALS_STUCK = 100, /* of 150-150 */
    TRIALS_WAN = 10000,
    TRIALS_SURE = 300, /* below, the worst of a line says nothing */
};

/*
 * Two numbers are fitted, to two published ones: the way out (a candidate's write, and its request
 * on its way) to the median at 150-155, the whole round to the mean at 12-24. All else follows.
 */
static const struct election_rig RIG = {.way_us = 2000, .disk_us = 500, .round_us = 10000};

struct span {
    uint32_t min_ms;
    uint32_t max_ms;
};

static const struct span SPANS[] = {
    {150, 150}, {150, 151}, {150, 155}, {150, 175}, {150, 200},
    {150, 300}, {12, 24},   {25, 50},   {50, 100},  {100, 200},
};

/* A way to elect. */
struct way {
    const char *name;
    const char *engine;
    bool pre_vote; /* and, so that a leader is not held to for ever, check-quorum */
    bool connected;
};

static const struct way WAYS[] = {
    {"Raft", "raft", false, false},
    {"Multi-Paxos", "multipaxos", false, false},
    {"Raft, pre-vote", "raft", true, false},
    {"Raft, quorum-connected", "raft", false, true},
    {"Multi-Paxos, quorum-connected", "multipaxos", false, true},
};

/* What is changed for the tables of open questions. */
struct axis_row {
    const char *name;
    uint32_t loss;
    bool asymmetric;
    bool one_way;
    uint32_t drift;
    bool terms;
};

struct axis {
    const char *title;
    const char *note;
    uint32_t rows_count;
    struct axis_row rows[5];
};

static const struct axis AXES[] = {
    {"Loss, time-outs of 150 to 300 ms",
     "Of all messages, heartbeats of the dying leader too. Unanswered requests are repeated after "
     "50 ms.",
     4,
     {{.name = "none"},
      {.name = "1 %", .loss = 1},
      {.name = "5 %", .loss = 5},
      {.name = "10 %", .loss = 10}}},
    {"Links that are not alike, time-outs of 150 to 300 ms",
     "Own delays: each direction of each link is 1 to 3 times faster or slower than the rest. One "
     "way: between two survivors one direction is down; who cannot hear the leader is not "
     "waited for.",
     3,
     {{.name = "alike"},
      {.name = "own delays", .asymmetric = true},
      {.name = "one way", .one_way = true}}},
    {"Clocks that drift, time-outs of 150 to 300 ms",
     "Each node's timers run at a constant rate of its own, up to so much fast or slow.",
     3,
     {{.name = "none"}, {.name = "1 %", .drift = 1}, {.name = "10 %", .drift = 10}}},
    {"Unequal terms, time-outs of 150 to 300 ms",
     "One survivor is in the leader's term (or ballot round), three are ahead by 1, 2 and 3: they "
     "refuse the leader, so their timers have run for any time when it dies.",
     2,
     {{.name = "equal"}, {.name = "0 to 3 ahead", .terms = true}}},
};

enum { ORACLES = 5, WINDOWS = 6, WAYS_COUNT = ARRAY_SIZE(WAYS), SPANS_COUNT = ARRAY_SIZE(SPANS) };

static const double SHARES[ORACLES] = {0.01, 0.05, 0.1, 0.2, 0.3};

static const struct election_rig WINDOW_RIGS[WINDOWS] = {
    {1000, 500, 10000}, {2000, 500, 10000}, {4000, 500, 10000},
    {1000, 500, 15000}, {2000, 500, 15000}, {7000, 500, 15000},
};
static const struct span WINDOW_SPANS[] = {{150, 155}, {150, 200}, {150, 300}, {12, 24}};

struct e1 {
    const struct figure_options *options;
    struct figure *f;
    struct election_lines lines;
    uint32_t oracle[ORACLES];
    uint32_t line[WAYS_COUNT][SPANS_COUNT];
    uint32_t leaderless[2];
    uint32_t window[WINDOWS][ARRAY_SIZE(WINDOW_SPANS)];
    uint32_t axis[ARRAY_SIZE(AXES)][5][WAYS_COUNT];
    uint32_t nine;
    uint32_t wan[2];
    bool oracle_holds;
};

static const struct election_line *line_at(const struct e1 *e, uint32_t i)
{
    ASSERT(i < e->lines.count);
    return &e->lines.at[i];
}

/* What to run. */

static void options_of(struct election_options *o, const struct way *way, struct span span)
{
    election_options_init(o, engine_by_name(way->engine));
    election_network(o, &RIG);
    election_timeouts(o, span.min_ms * 1000u, (span.max_ms - span.min_ms) * 1000u);
    if (way->connected) {
        election_connected(o);
    }
    if (way->pre_vote) {
        o->consensus.pre_vote = true;
        o->consensus.check_quorum = true;
    }
}

static void add_oracle(struct e1 *e)
{
    uint32_t trials = e->options->trials != 0 ? e->options->trials * 20
                                              : election_trials(e->options, TRIALS_ORACLE);
    for (uint32_t i = 0; i < ORACLES; i++) {
        struct election_options o;
        uint64_t range_us = 100000;
        election_options_init(&o, engine_by_name("raft"));
        election_timeouts(&o, 1000000, range_us);
        uint64_t out_us = (uint64_t) (SHARES[i] * (double) range_us + 0.5);
        o.disk_us = 200;
        o.way_min_us = out_us - o.disk_us;
        o.way_max_us = o.way_min_us;
        o.long_nodes = 0;
        o.one_shot = true;
        e->oracle[i] = election_lines_add(&e->lines, &o, trials, "one shot, %.2f", SHARES[i]);
    }
}

static void add_lines(struct e1 *e)
{
    for (uint32_t w = 0; w < WAYS_COUNT; w++) {
        for (uint32_t s = 0; s < SPANS_COUNT; s++) {
            struct election_options o;
            bool stuck = SPANS[s].min_ms == SPANS[s].max_ms;
            options_of(&o, &WAYS[w], SPANS[s]);
            e->line[w][s] =
                election_lines_add(&e->lines, &o,
                                   election_trials(e->options, stuck ? TRIALS_STUCK : TRIALS_LINE),
                                   "%s %u-%u", WAYS[w].name, SPANS[s].min_ms, SPANS[s].max_ms);
        }
    }
    for (uint32_t i = 0; i < 2; i++) {
        struct election_options o;
        election_options_init(&o, engine_by_name("paxos"));
        election_network(&o, &RIG);
        o.tail = 0;
        o.long_nodes = 0;
        o.clients = i == 0 ? 1 : 4;
        e->leaderless[i] =
            election_lines_add(&e->lines, &o, election_trials(e->options, TRIALS_LINE),
                               "Paxos, %u %s", o.clients, i == 0 ? "client" : "clients");
    }
}

static void add_windows(struct e1 *e)
{
    for (uint32_t w = 0; w < WINDOWS; w++) {
        for (uint32_t s = 0; s < ARRAY_SIZE(WINDOW_SPANS); s++) {
            struct election_options o;
            options_of(&o, &WAYS[0], WINDOW_SPANS[s]);
            election_network(&o, &WINDOW_RIGS[w]);
            e->window[w][s] =
                election_lines_add(&e->lines, &o, election_trials(e->options, TRIALS_LINE),
                                   "rig %u, %u-%u", w, WINDOW_SPANS[s].min_ms,
                                   WINDOW_SPANS[s].max_ms);
        }
    }
}

static void add_axes(struct e1 *e)
{
    for (uint32_t a = 0; a < ARRAY_SIZE(AXES); a++) {
        for (uint32_t r = 0; r < AXES[a].rows_count; r++) {
            const struct axis_row *row = &AXES[a].rows[r];
            for (uint32_t w = 0; w < WAYS_COUNT; w++) {
                struct election_options o;
                options_of(&o, &WAYS[w], (struct span){150, 300});
                o.loss = row->loss;
                o.asymmetric = row->asymmetric;
                o.one_way = row->one_way;
                o.drift_percent = row->drift;
                o.unequal_terms = row->terms;
                e->axis[a][r][w] =
                    election_lines_add(&e->lines, &o, election_trials(e->options, TRIALS_LINE),
                                       "%u.%s %s", a, row->name, WAYS[w].name);
            }
        }
    }
}

/* Nine servers; and the thesis' wide area network, with one and with two of five down. */
static void add_sizes(struct e1 *e)
{
    struct election_options o;
    options_of(&o, &WAYS[0], (struct span){150, 300});
    o.nodes = 9;
    o.long_nodes = 4;
    e->nine = election_lines_add(&e->lines, &o, election_trials(e->options, TRIALS_LINE),
                                 "Raft, nine servers");
    for (uint32_t i = 0; i < 2; i++) {
        options_of(&o, &WAYS[0], (struct span){300, 600});
        o.way_min_us = 30000;
        o.way_max_us = 40000;
        o.disk_us = 0;
        o.answer_us = 0;
        o.long_nodes = 0;
        o.down = i;
        o.consensus.resend_us = 150000;
        e->wan[i] = election_lines_add(&e->lines, &o, election_trials(e->options, TRIALS_WAN),
                                       "Raft, WAN, %u of 5 down", i + 1);
    }
}

/* What came out. */

static void check_oracle(struct e1 *e)
{
    struct table *t = figure_table(e->f, "Split votes: the formula of the thesis (9.3) and the "
                                         "bench, five servers, four survivors, all may win");
    table_column(t, "way out / range", true);
    table_column(t, "formula", true);
    table_column(t, "bench", true);
    table_column(t, "of", true);
    e->oracle_holds = true;
    for (uint32_t i = 0; i < ORACLES; i++) {
        const struct election_line *line = line_at(e, e->oracle[i]);
        double n = line->trials;
        double expected = election_split_chance(5, 4, SHARES[i]);
        uint32_t splits = 0;
        for (uint32_t k = 0; k < line->trials; k++) {
            splits += line->results[k].leader_seen ? 0 : 1;
        }
        double seen = splits / n;
        /* 99.9 % of a binomial, and one trial for small numbers. */
        double band = 3.3 * sqrt(expected * (1 - expected) / n) + 1 / n;
        bool passed = fabs(seen - expected) <= band;
        e->oracle_holds = e->oracle_holds && passed;
        table_row(t);
        table_set(t, 0, "%.2f", SHARES[i])->value = SHARES[i];
        table_set(t, 1, "%.2f %%", 100 * expected)->value = 100 * expected;
        struct table_cell *cell = table_set(t, 2, "%.2f %%", 100 * seen);
        cell->value = 100 * seen;
        cell->tone = passed ? TONE_GOOD : TONE_BAD;
        table_set(t, 3, "%u", line->trials)->value = n;
        char what[80];
        char published[80];
        char range[80];
        (void) snprintf(what, sizeof what, "split votes when the way out is %.2f of the range",
                        SHARES[i]);
        (void) snprintf(published, sizeof published, "%.2f %% (formula, thesis 9.3)",
                        100 * expected);
        (void) snprintf(range, sizeof range, "%.2f to %.2f %%", 100 * fmax(expected - band, 0),
                        100 * (expected + band));
        struct figure_check *c = figure_check(e->f, what, published, range);
        figure_ours(c, passed, "%.2f %%", 100 * seen);
        election_replay(c, e->options, "e1");
    }
}

static void set_time(struct table *t, uint32_t column, double ms)
{
    char text[TABLE_NUMBER_MAX];
    table_time(ms * 1000, text);
    table_set(t, column, "%s", text)->value = ms;
}

static void summary_columns(struct table *t, const char *first)
{
    table_column(t, first, false);
    table_column(t, "trials", true);
    table_column(t, "median", true);
    table_column(t, "95 % range of it", true);
    table_column(t, "mean", true);
    table_column(t, "p95", true);
    table_column(t, "p99", true);
    table_column(t, "worst", true);
    table_column(t, "never", true);
    table_column(t, "first commit: median", true);
    table_column(t, "p99", true);
    table_column(t, "attempts", true);
    table_column(t, "packets", true);
}

static void summary_row(struct table *t, const struct election_line *line, const char *name)
{
    bool leaderless = (engine_capabilities(line->options.engine) & CAP_LEADER) == 0;
    struct election_summary time =
        election_sum(line, leaderless ? ELECTION_COMMITTED : ELECTION_ELECTED);
    struct election_summary commit = election_sum(line, ELECTION_COMMITTED);
    char low[TABLE_NUMBER_MAX];
    char high[TABLE_NUMBER_MAX];
    table_time(time.stats.low * 1000, low);
    table_time(time.stats.high * 1000, high);
    table_row(t);
    (void) table_set(t, 0, "%s", name);
    table_set(t, 1, "%u", line->trials)->value = line->trials;
    set_time(t, 2, time.stats.median);
    (void) table_set(t, 3, "%s to %s", low, high);
    set_time(t, 4, time.stats.mean);
    set_time(t, 5, time.stats.p95);
    set_time(t, 6, time.stats.p99);
    set_time(t, 7, time.stats.max);
    struct table_cell *never = table_set(t, 8, "%u", time.missing);
    never->value = time.missing;
    never->tone = time.missing > 0 ? TONE_BAD : TONE_PLAIN;
    set_time(t, 9, commit.stats.median);
    set_time(t, 10, commit.stats.p99);
    double attempts = election_sum(line, ELECTION_ATTEMPTS).stats.mean;
    double packets = election_sum(line, ELECTION_PACKETS).stats.mean;
    table_set(t, 11, "%.2f", attempts)->value = attempts;
    table_set(t, 12, "%.1f", packets)->value = packets;
}

static void show_lines(struct e1 *e)
{
    for (uint32_t w = 0; w < WAYS_COUNT; w++) {
        char title[120];
        (void) snprintf(title, sizeof title,
                        "%s: death of the leader until all have heard the new one", WAYS[w].name);
        struct table *t = figure_table(e->f, title);
        summary_columns(t, "time-outs, ms");
        for (uint32_t s = 0; s < SPANS_COUNT; s++) {
            char name[32];
            (void) snprintf(name, sizeof name, "%u-%u", SPANS[s].min_ms, SPANS[s].max_ms);
            summary_row(t, line_at(e, e->line[w][s]), name);
        }
    }
    struct table *t = figure_table(e->f, "Paxos without a leader: death of a node until a command "
                                         "proposed then is committed");
    summary_columns(t, "who proposes");
    summary_row(t, line_at(e, e->leaderless[0]), "one survivor");
    summary_row(t, line_at(e, e->leaderless[1]), "all four");
}

static void show_windows(struct e1 *e)
{
    struct table *t = figure_table(
        e->f, "Raft: what splits votes is the way out, not the round trip (medians; 12-24: mean)");
    table_column(t, "way out", true);
    table_column(t, "round", true);
    for (uint32_t s = 0; s < ARRAY_SIZE(WINDOW_SPANS); s++) {
        char name[32];
        (void) snprintf(name, sizeof name, "%u-%u", WINDOW_SPANS[s].min_ms, WINDOW_SPANS[s].max_ms);
        table_column(t, name, true);
    }
    table_column(t, "150-200: worst", true);
    for (uint32_t w = 0; w < WINDOWS; w++) {
        table_row(t);
        set_time(t, 0, (double) (WINDOW_RIGS[w].way_us + WINDOW_RIGS[w].disk_us) / 1000);
        set_time(t, 1, (double) WINDOW_RIGS[w].round_us / 1000);
        for (uint32_t s = 0; s < ARRAY_SIZE(WINDOW_SPANS); s++) {
            struct election_summary sum =
                election_sum(line_at(e, e->window[w][s]), ELECTION_ELECTED);
            bool mean = WINDOW_SPANS[s].min_ms == 12;
            set_time(t, 2 + s, mean ? sum.stats.mean : sum.stats.median);
            if (WINDOW_SPANS[s].max_ms == 200) {
                set_time(t, 2 + ARRAY_SIZE(WINDOW_SPANS), sum.stats.max);
            }
        }
    }
}

static void show_axes(struct e1 *e)
{
    for (uint32_t a = 0; a < ARRAY_SIZE(AXES); a++) {
        struct table *t = figure_table(e->f, AXES[a].title);
        t->note = xstrdup(AXES[a].note);
        summary_columns(t, "engine");
        for (uint32_t w = 0; w < WAYS_COUNT; w++) {
            for (uint32_t r = 0; r < AXES[a].rows_count; r++) {
                char name[80];
                (void) snprintf(name, sizeof name, "%s: %s", WAYS[w].name, AXES[a].rows[r].name);
                summary_row(t, line_at(e, e->axis[a][r][w]), name);
            }
        }
    }
    struct table *t = figure_table(e->f, "Raft: more servers, longer ways");
    t->note = xstrdup("WAN: 30 to 40 ms one way, time-outs of 300 to 600 ms, all may win.");
    summary_columns(t, "setting");
    summary_row(t, line_at(e, e->nine), "nine servers, 150-300");
    summary_row(t, line_at(e, e->wan[0]), "WAN, one of five down");
    summary_row(t, line_at(e, e->wan[1]), "WAN, two of five down");
}

/* A number of a line against a published one. */
struct claim {
    const char *what;
    const char *published;
    double low_ms;
    double high_ms;
    bool worst; /* of many trials only */
};

static void check_claim(struct e1 *e, const struct claim *claim, uint32_t line, double ms)
{
    char band[64];
    char ours[TABLE_NUMBER_MAX];
    (void) snprintf(band, sizeof band, "%.0f to %.0f ms", claim->low_ms, claim->high_ms);
    table_time(ms * 1000, ours);
    struct figure_check *c = figure_check(e->f, claim->what, claim->published, band);
    figure_ours(c, ms >= claim->low_ms && ms <= claim->high_ms, "%s", ours);
    c->informal = claim->worst && line_at(e, line)->trials < TRIALS_SURE;
    election_replay(c, e->options, "e1");
}

static uint32_t span_at(uint32_t min_ms, uint32_t max_ms)
{
    uint32_t s = 0;
    while (SPANS[s].min_ms != min_ms || SPANS[s].max_ms != max_ms) {
        s++;
        ASSERT(s < SPANS_COUNT);
    }
    return s;
}

static void check_published(struct e1 *e)
{
    uint32_t stuck = e->line[0][span_at(150, 150)];
    double beyond = 1 - election_share(line_at(e, stuck), ELECTION_ELECTED, 10000);
    struct figure_check *c =
        figure_check(e->f, "no randomness (150-150): elections above 10 s",
                     "\"consistently took longer than 10 seconds\"", "half of them or more");
    figure_ours(c, beyond >= 0.5, "%.0f %%", 100 * beyond);
    election_replay(c, e->options, "e1");

    uint32_t few = e->line[0][span_at(150, 155)];
    uint32_t more = e->line[0][span_at(150, 200)];
    uint32_t fast = e->line[0][span_at(12, 24)];
    struct election_summary few_ms = election_sum(line_at(e, few), ELECTION_ELECTED);
    struct election_summary more_ms = election_sum(line_at(e, more), ELECTION_ELECTED);
    struct election_summary fast_ms = election_sum(line_at(e, fast), ELECTION_ELECTED);
    const struct claim claims[] = {
        {"median at 150-155 (fitted)", "287 ms", 215, 360, false},
        {"worst at 150-200", "513 ms", 350, 770, true},
        {"mean at 12-24 (fitted)", "35 ms", 26, 44, false},
        {"worst at 12-24", "152 ms", 75, 300, true},
    };
    check_claim(e, &claims[0], few, few_ms.stats.median);
    check_claim(e, &claims[1], more, more_ms.stats.max);
    check_claim(e, &claims[2], fast, fast_ms.stats.mean);
    check_claim(e, &claims[3], fast, fast_ms.stats.max);
}

static void check_sizes(struct e1 *e)
{
    struct election_summary five =
        election_sum(line_at(e, e->line[0][span_at(150, 300)]), ELECTION_ELECTED);
    struct election_summary nine = election_sum(line_at(e, e->nine), ELECTION_ELECTED);
    struct figure_check *c = figure_check(e->f, "nine servers against five, median at 150-300",
                                          "\"similar results\" (thesis 9.3)", "0.7 to 1.3 times");
    double times = nine.stats.median / five.stats.median;
    figure_ours(c, times >= 0.7 && times <= 1.3, "%.2f times", times);
    election_replay(c, e->options, "e1");
    static const double means[] = {475, 650};
    static const double tails[] = {1500, 3000};
    for (uint32_t i = 0; i < 2; i++) {
        const struct election_line *line = line_at(e, e->wan[i]);
        char what[80];
        char published[64];
        (void) snprintf(what, sizeof what, "WAN, %u of five down: mean", i + 1);
        (void) snprintf(published, sizeof published, "about %.0f ms (thesis 9.3)", means[i]);
        const struct claim claim = {what, published, 0.7 * means[i], 1.3 * means[i], false};
        check_claim(e, &claim, e->wan[i], election_sum(line, ELECTION_ELECTED).stats.mean);
        (void) snprintf(what, sizeof what, "WAN, %u of five down: within %.1f s", i + 1,
                        tails[i] / 1000);
        c = figure_check(e->f, what, "99.9 % (thesis 9.3)", "99.5 % or more");
        double share = election_share(line, ELECTION_ELECTED, tails[i]);
        figure_ours(c, share >= 0.995, "%.2f %%", 100 * share);
        c->informal = line->trials < TRIALS_SURE;
        election_replay(c, e->options, "e1");
    }
}

static void plot_lines(struct e1 *e, uint32_t way, uint32_t first, uint32_t last, const char *title)
{
    struct election_plot p;
    election_plot_init(&p, title,
                       "Cumulative distribution; a line that ends below 1 has trials in "
                       "which nobody was elected within 60 s.");
    for (uint32_t s = first; s <= last; s++) {
        election_plot_add(&p, line_at(e, e->line[way][s]), ELECTION_ELECTED, s - first);
    }
    if (way == 0 && first == 0) {
        election_plot_mark(&p, 287, "published: median 150-155");
        election_plot_mark(&p, 513, "published: worst 150-200");
    } else if (way == 0) {
        election_plot_mark(&p, 35, "published: mean 12-24");
        election_plot_mark(&p, 152, "published: worst 12-24");
    }
    election_plot_end(&p, e->f);
}

static void plot_ways(struct e1 *e, uint32_t span, enum election_measure what, const char *title)
{
    struct election_plot p;
    election_plot_init(&p, title, NULL);
    for (uint32_t w = 0; w < WAYS_COUNT; w++) {
        election_plot_add(&p, line_at(e, e->line[w][span]), what, w);
    }
    if (what == ELECTION_COMMITTED) {
        election_plot_add(&p, line_at(e, e->leaderless[0]), what, WAYS_COUNT);
        election_plot_add(&p, line_at(e, e->leaderless[1]), what, WAYS_COUNT + 1);
    }
    election_plot_end(&p, e->f);
}

static void plots(struct e1 *e)
{
    plot_lines(e, 0, 0, 5, "Raft, top of Figure 16: the spread");
    plot_lines(e, 0, 6, 9, "Raft, bottom of Figure 16: the base");
    plot_lines(e, 1, 0, 5, "Multi-Paxos: the spread");
    plot_lines(e, 1, 6, 9, "Multi-Paxos: the base");
    plot_ways(e, span_at(150, 155), ELECTION_ELECTED, "All know the leader, 150-155 ms");
    plot_ways(e, span_at(150, 300), ELECTION_ELECTED, "All know the leader, 150-300 ms");
    plot_ways(e, span_at(150, 300), ELECTION_COMMITTED,
              "First command committed, 150-300 ms, and Paxos without a leader");
}

static void find(struct e1 *e)
{
    uint32_t few = span_at(150, 155);
    uint32_t wide = span_at(150, 300);
    double raft_few = election_sum(line_at(e, e->line[0][few]), ELECTION_ELECTED).stats.p99;
    double paxos_few = election_sum(line_at(e, e->line[1][few]), ELECTION_ELECTED).stats.p99;
    double raft = election_sum(line_at(e, e->line[0][wide]), ELECTION_COMMITTED).stats.median;
    double paxos = election_sum(line_at(e, e->line[1][wide]), ELECTION_COMMITTED).stats.median;
    double none = election_sum(line_at(e, e->leaderless[0]), ELECTION_COMMITTED).stats.median;
    figure_finding(
        e->f,
        "%s Raft needs the spread: at 150-155 ms 99 %% are elected within %.0f ms, Multi-Paxos, "
        "where the highest ballot wins and any log may, within %.0f ms. At 150-300 ms a new "
        "command is committed after %.0f ms (Raft) and %.0f ms (Multi-Paxos) in the median; Paxos "
        "without a leader does not notice the death: %.1f ms. What splits votes is the way from a "
        "candidate's time-out to the others, its own write included, not the round trip: with "
        "half of a 15 ms round on the way out, 150-155 ms is a lottery.",
        e->oracle_holds ? "The formula of split votes holds on the bench."
                        : "The formula of split votes does NOT hold on the bench: what follows "
                          "means nothing.",
        raft_few, paxos_few, raft, paxos, none);
}

static int run(const struct figure_options *options, struct figure *f, struct buf *error)
{
    struct e1 *e = xcalloc(1, sizeof *e);
    e->options = options;
    e->f = f;
    figure_source(f, "Ongaro and Ousterhout, In Search of an Understandable Consensus Algorithm, "
                     "9.3 and Figure 16; Ongaro's dissertation, 9.3 and Figure 10.2");
    figure_setup(
        f,
        "Five engines under virtual time, the leader played by the bench: it beats at half the "
        "least time-out and dies at a random moment between two beats; two of the four survivors "
        "lack an entry. %u trials a line (%u at 150-150, nobody waits longer than 60 s). A message "
        "takes %.1f ms (20 %% more or less) and a write %.1f ms, so a candidate is heard %.1f ms "
        "after its time-out; a round of votes takes %.0f ms. The paper says \"a broadcast time of "
        "roughly 15 ms\" of its cluster and not how much of it is before the others hear; the two "
        "are fitted to two published numbers (marked), and other values are a table.",
        election_trials(options, TRIALS_LINE), election_trials(options, TRIALS_STUCK),
        (double) RIG.way_us / 1000, (double) RIG.disk_us / 1000,
        (double) (RIG.way_us + RIG.disk_us) / 1000, (double) RIG.round_us / 1000);
    election_lines_init(&e->lines);
    add_oracle(e);
    add_lines(e);
    add_windows(e);
    add_axes(e);
    add_sizes(e);
    int err = election_lines_run(&e->lines, options, error);
    if (err == OK) {
        check_oracle(e);
        check_published(e);
        check_sizes(e);
        show_lines(e);
        show_windows(e);
        show_axes(e);
        plots(e);
        find(e);
    }
    election_lines_release(&e->lines);
    free(e);
    return err;
}

const struct figure_ops figure_e1 = {
    .name = "e1",
    .title = "Raft Figure 16: election time against the spread of time-outs",
    .run = run,
};

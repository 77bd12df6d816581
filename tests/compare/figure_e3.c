/*
 * figure_e3.c - E3: what an election costs when logs have diverged (Howard and Mortier, Paxos vs
 * Raft, 2020; no measurements there).
 *
 * Two of the four survivors hold a tail of entries that nobody knows to be chosen. Raft lets only
 * those two lead and sends the rest what it lacks, once, as it is. Multi-Paxos lets anybody lead,
 * has the tail sent to who leads inside promises, and proposes all of it again to everybody. How
 * long the tail may be before that costs more than Raft's failed candidates is the question.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/compare/election_lines.h"

enum {
    TRIALS_FEW = 1000,     /* tails up to 1,000 entries, and a little in all */
    TRIALS_SOME = 100,     /* up to 10,000 */
    TRIALS_LONG = 10,      /* above */
    TRIALS_HUGE = 3,       /* of hundreds of MB */
    TRIALS_SURE = 40,      /* below, who is faster is chance */
    LEADERLESS_MAX = 1000, /* entries: it finishes slot by slot, see the note */
    WAYS = 6,
    TAILS = 7,
    SIZES = 3,
    NETWORKS = 2,
};

/* Skipped above so many bytes of tail: five disks of it are to be written and sent. */
#define TAIL_BYTES_MAX (UINT64_C(1) << 30)

static const uint64_t TAIL[TAILS] = {0, 1, 10, 100, 1000, 10000, 100000};
static const size_t SIZE[SIZES] = {16, 1024, 65536};
static const char *const SIZE_NAME[SIZES] = {"16 B", "1 KiB", "64 KiB"};

static const struct {
    const char *name;
    uint64_t way_us;
} NETWORK[NETWORKS] = {{"0.25 ms", 250}, {"15 ms", 15000}};

static const struct {
    const char *name;
    const char *engine;
    enum election_first first;
} WAY[WAYS] = {
    {"Raft", "raft", ELECTION_ANY},
    {"Raft, long first", "raft", ELECTION_LONG_FIRST},
    {"Multi-Paxos", "multipaxos", ELECTION_ANY},
    {"Multi-Paxos, short first", "multipaxos", ELECTION_SHORT_FIRST},
    {"Multi-Paxos, long first", "multipaxos", ELECTION_LONG_FIRST},
    {"Paxos", "paxos", ELECTION_ANY},
};

enum { NONE = UINT32_MAX };

struct e3 {
    const struct figure_options *options;
    struct figure *f;
    struct election_lines lines;
    uint32_t line[NETWORKS][SIZES][TAILS][WAYS]; /* NONE: skipped */
};

static const struct election_line *line_at(const struct e3 *e, uint32_t i)
{
    return i == NONE ? NULL : &e->lines.at[i];
}

static uint32_t trials_of(const struct e3 *e, uint64_t tail, uint64_t bytes)
{
    uint32_t usual = tail <= 1000 ? TRIALS_FEW : tail <= 10000 ? TRIALS_SOME : TRIALS_LONG;
    if (bytes > TAIL_BYTES_MAX / 4) {
        usual = TRIALS_HUGE;
    } else if (bytes > TAIL_BYTES_MAX / 64 && usual > TRIALS_SOME) {
        usual = TRIALS_SOME;
    }
    uint32_t trials = election_trials(e->options, usual);
    return trials > usual ? usual : trials; /* what long ones show does not depend on chance */
}

static bool skipped(const struct e3 *e, uint32_t size, uint32_t tail, uint32_t way)
{
    bool leaderless = WAY[way].engine[0] == 'p';
    uint64_t most = e->options->quick ? TAIL_BYTES_MAX / 64 : TAIL_BYTES_MAX;
    return TAIL[tail] * SIZE[size] > most || (leaderless && TAIL[tail] > LEADERLESS_MAX);
}

/* The leaderless engine waits where others work: few of its trials say as much. */
static uint32_t trials_at(const struct e3 *e, uint32_t size, uint32_t tail, uint32_t way)
{
    uint32_t trials = trials_of(e, TAIL[tail], TAIL[tail] * SIZE[size]);
    bool leaderless = WAY[way].engine[0] == 'p';
    return leaderless && trials > TRIALS_SOME ? TRIALS_SOME : trials;
}

static void add_lines(struct e3 *e)
{
    for (uint32_t n = 0; n < NETWORKS; n++) {
        for (uint32_t s = 0; s < SIZES; s++) {
            for (uint32_t t = 0; t < TAILS; t++) {
                for (uint32_t w = 0; w < WAYS; w++) {
                    e->line[n][s][t][w] = NONE;
                    if (skipped(e, s, t, w)) {
                        continue;
                    }
                    struct election_options o;
                    election_options_init(&o, engine_by_name(WAY[w].engine));
                    election_timeouts(&o, 150000, 150000);
                    election_connected(&o);
                    o.consensus.heartbeat_us = 50000;
                    o.consensus.resend_us = 150000;
                    o.way_min_us = NETWORK[n].way_us;
                    o.way_max_us = NETWORK[n].way_us * 11 / 10;
                    o.link_rate = 125000000;
                    o.disk_us = 200;
                    o.disk_rate = 200000000;
                    o.tail = TAIL[t];
                    o.tail_bytes = SIZE[s];
                    o.first = WAY[w].first;
                    o.limit_us = 300000000;
                    e->line[n][s][t][w] =
                        election_lines_add(&e->lines, &o, trials_at(e, s, t, w),
                                           "%s, %s, %llu x %s", WAY[w].name, NETWORK[n].name,
                                           (unsigned long long) TAIL[t], SIZE_NAME[s]);
                }
            }
        }
    }
}

/* From the moment that somebody has won: what the logs cost. Of the median trial. */
static double repair_ms(const struct election_line *line)
{
    double *won = election_values(line, ELECTION_WON);
    double *committed = election_values(line, ELECTION_COMMITTED);
    struct stats_summary sum;
    for (uint32_t i = 0; i < line->trials; i++) {
        committed[i] -= won[i];
    }
    stats_summary(committed, line->trials, &sum);
    free(won);
    free(committed);
    return sum.median;
}

static double median(const struct election_line *line, enum election_measure what)
{
    return election_sum(line, what).stats.median;
}

static void set_time(struct table *t, uint32_t column, double ms)
{
    char text[TABLE_NUMBER_MAX];
    table_time(ms * 1000, text);
    table_set(t, column, "%s", text)->value = ms;
}

static void set_bytes(struct table *t, uint32_t column, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    uint32_t unit = 0;
    double shown = bytes;
    while (shown >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
        shown /= 1024;
        unit++;
    }
    const char *format = unit == 0 || shown >= 100 ? "%.0f %s" : "%.1f %s";
    char text[TABLE_NUMBER_MAX];
    (void) snprintf(text, sizeof text, format, shown, units[unit]); /* it fits */
    table_set(t, column, "%s", text)->value = bytes;
}

static void show_row(struct table *t, const struct election_line *line, uint32_t way)
{
    bool leaderless = (engine_capabilities(line->options.engine) & CAP_LEADER) == 0;
    struct election_summary commit = election_sum(line, ELECTION_COMMITTED);
    table_row(t);
    (void) table_set(t, 0, "%llu x %zu B", (unsigned long long) line->options.tail,
                     line->options.tail_bytes);
    (void) table_set(t, 1, "%s", WAY[way].name);
    if (leaderless) {
        (void) table_set(t, 2, "-");
        (void) table_set(t, 3, "-");
    } else {
        set_time(t, 2, median(line, ELECTION_ELECTED));
        set_time(t, 3, repair_ms(line));
    }
    set_time(t, 4, commit.stats.median);
    set_time(t, 5, commit.stats.max);
    set_bytes(t, 6, median(line, ELECTION_VOTE_BYTES));
    set_bytes(t, 7, median(line, ELECTION_BYTES));
    double rewritten = median(line, ELECTION_REWRITTEN);
    table_set(t, 8, "%.0f", rewritten)->value = rewritten;
    double written = median(line, ELECTION_WRITTEN);
    table_set(t, 9, "%.0f", written)->value = written;
    struct table_cell *never = table_set(t, 10, "%u of %u", commit.missing, line->trials);
    never->value = commit.missing;
    never->tone = commit.missing > 0 ? TONE_BAD : TONE_PLAIN;
}

static void show_tables(struct e3 *e)
{
    for (uint32_t n = 0; n < NETWORKS; n++) {
        for (uint32_t s = 0; s < SIZES; s++) {
            char title[120];
            (void) snprintf(title, sizeof title, "Values of %s, %s one way, 1 Gbit/s", SIZE_NAME[s],
                            NETWORK[n].name);
            struct table *t = figure_table(e->f, title);
            table_column(t, "tail", false);
            table_column(t, "engine", false);
            table_column(t, "all know the leader", true);
            table_column(t, "won until first commit", true);
            table_column(t, "first commit", true);
            table_column(t, "worst", true);
            table_column(t, "bytes in votes", true);
            table_column(t, "bytes in all", true);
            table_column(t, "entries rewritten", true);
            table_column(t, "entries written", true);
            table_column(t, "never", true);
            for (uint32_t k = 0; k < TAILS; k++) {
                for (uint32_t w = 0; w < WAYS; w++) {
                    const struct election_line *line = line_at(e, e->line[n][s][k][w]);
                    if (line != NULL) {
                        show_row(t, line, w);
                    }
                }
            }
            t->note = xstrdup("Medians. Rewritten: put again under another term or ballot, on all "
                              "four disks. Tails above 1 GiB, and of the leaderless engine above "
                              "1000 entries, are left out.");
        }
    }
}

/* Bytes of tail from which Raft has a new command committed sooner, between two cells by the
 * logarithm; NAN: never among the cells. */
static double crossover(const struct e3 *e, uint32_t n, uint32_t s, uint32_t raft, uint32_t paxos,
                        bool from_win)
{
    double before = NAN;
    double before_bytes = NAN;
    for (uint32_t t = 1; t < TAILS; t++) {
        const struct election_line *a = line_at(e, e->line[n][s][t][raft]);
        const struct election_line *b = line_at(e, e->line[n][s][t][paxos]);
        if (a == NULL || b == NULL) {
            break;
        }
        double lead = from_win ? repair_ms(b) - repair_ms(a)
                               : median(b, ELECTION_COMMITTED) - median(a, ELECTION_COMMITTED);
        double bytes = (double) (TAIL[t] * SIZE[s]);
        if (lead > 0 && before <= 0) {
            double share = -before / (lead - before);
            return exp(log(before_bytes) + share * (log(bytes) - log(before_bytes)));
        }
        if (lead > 0 && isnan(before)) {
            return bytes; /* from the first on */
        }
        before = lead;
        before_bytes = bytes;
    }
    return NAN;
}

static void show_crossover(struct e3 *e)
{
    struct table *t = figure_table(e->f, "Tail from which Raft commits a new command sooner than "
                                         "Multi-Paxos, in the median");
    t->note = xstrdup("Bytes of payload; between cells by interpolation.");
    table_column(t, "network", false);
    table_column(t, "values", false);
    table_column(t, "since the death", true);
    table_column(t, "entries", true);
    table_column(t, "since the win", true);
    for (uint32_t n = 0; n < NETWORKS; n++) {
        for (uint32_t s = 0; s < SIZES; s++) {
            double death = crossover(e, n, s, 0, 2, false);
            double win = crossover(e, n, s, 0, 2, true);
            table_row(t);
            (void) table_set(t, 0, "%s", NETWORK[n].name);
            (void) table_set(t, 1, "%s", SIZE_NAME[s]);
            if (isnan(death)) {
                (void) table_set(t, 2, "none seen");
                (void) table_set(t, 3, "-");
            } else {
                double entries = death / (double) SIZE[s];
                set_bytes(t, 2, death);
                table_set(t, 3, "%.0f", entries)->value = entries;
            }
            if (isnan(win)) {
                (void) table_set(t, 4, "none seen");
            } else {
                set_bytes(t, 4, win);
            }
        }
    }
}

static struct figure_check *check(struct e3 *e, const char *what, const char *published,
                                  const char *band, bool passed, const char *ours)
{
    struct figure_check *c = figure_check(e->f, what, published, band);
    figure_ours(c, passed, "%s", ours);
    election_replay(c, e->options, "e3");
    return c;
}

/* What the paper predicts without numbers. */
static void check_predictions(struct e3 *e)
{
    char ours[160];
    uint32_t t = 3; /* 100 entries */
    uint32_t s = 1; /* of 1 KiB */
    const struct election_line *raft = line_at(e, e->line[0][s][t][0]);
    const struct election_line *paxos = line_at(e, e->line[0][s][t][2]);
    double light = median(raft, ELECTION_VOTE_BYTES);
    double heavy = median(paxos, ELECTION_VOTE_BYTES);
    (void) snprintf(ours, sizeof ours, "%.0f B against %.0f B", light, heavy);
    (void) check(e, "Raft's votes are lighter (100 x 1 KiB)", "\"lightweight leader election\"",
                 "Raft's at most a tenth", light * 10 <= heavy, ours);

    struct stats_summary a = election_sum(raft, ELECTION_ELECTED).stats;
    struct stats_summary b = election_sum(paxos, ELECTION_ELECTED).stats;
    (void) snprintf(ours, sizeof ours, "%.0f against %.0f ms, p95 %.0f against %.0f ms", b.median,
                    a.median, b.p95, a.p95);
    struct figure_check *c =
        check(e, "Paxos elects faster and steadier (100 x 1 KiB)", "anyone may lead",
              "median and p95 at most Raft's", b.median <= a.median && b.p95 <= a.p95, ours);
    c->informal = raft->trials < TRIALS_SURE;

    double kept = 0;
    double again = INFINITY;
    for (uint32_t k = 2; k < TAILS; k++) {
        const struct election_line *r = line_at(e, e->line[0][0][k][0]);
        const struct election_line *p = line_at(e, e->line[0][0][k][2]);
        if (r != NULL && p != NULL) {
            kept = fmax(kept, election_sum(r, ELECTION_REWRITTEN).stats.max);
            again = fmin(again, median(p, ELECTION_REWRITTEN) / (double) TAIL[k]);
        }
    }
    (void) snprintf(ours, sizeof ours, "Raft %.0f entries, Paxos %.1f times the tail", kept, again);
    (void) check(e, "entries keep their term in Raft, Paxos stamps them anew",
                 "the protocols' rule", "Raft none, Paxos the whole tail at least once",
                 kept == 0 && again >= 1, ours);
}

/* No trial may end without a commit: a long tail must not stop an engine. */
static void check_ends(struct e3 *e)
{
    uint32_t never = 0;
    uint32_t trials = 0;
    for (uint32_t i = 0; i < e->lines.count; i++) {
        never += election_sum(&e->lines.at[i], ELECTION_COMMITTED).missing;
        trials += e->lines.at[i].trials;
    }
    char ours[64];
    (void) snprintf(ours, sizeof ours, "%u of %u", trials - never, trials);
    (void) check(e, "trials in which a new command is committed, whatever the tail", "-", "all",
                 never == 0, ours);
}

static void plots(struct e3 *e, bool votes)
{
    for (uint32_t n = 0; n < NETWORKS; n++) {
        struct plot_series series[WAYS * SIZES];
        struct plot_point points[WAYS * SIZES][TAILS];
        char names[WAYS * SIZES][64];
        uint32_t count = 0;
        for (uint32_t s = 0; s < SIZES; s += 2) {
            for (uint32_t w = 0; w < WAYS; w++) {
                uint32_t k = 0;
                if (w == 1) {
                    continue; /* hardly differs from the first */
                }
                for (uint32_t t = 1; t < TAILS; t++) {
                    const struct election_line *line = line_at(e, e->line[n][s][t][w]);
                    if (line != NULL) {
                        double y = votes ? median(line, ELECTION_VOTE_BYTES)
                                         : median(line, ELECTION_COMMITTED) * 1000;
                        points[count][k++] = (struct plot_point){(double) TAIL[t], y, NAN, NAN};
                    }
                }
                (void) snprintf(names[count], sizeof names[count], "%s, %s", WAY[w].name,
                                SIZE_NAME[s]);
                series[count] = (struct plot_series){.name = names[count],
                                                     .colour = w % PLOT_COLOURS,
                                                     .dashed = s == 0,
                                                     .points = points[count],
                                                     .count = k};
                count++;
            }
        }
        char title[96];
        (void) snprintf(title, sizeof title, "%s, %s one way",
                        votes ? "Bytes in votes and promises"
                              : "Death of the leader until a new command is committed",
                        NETWORK[n].name);
        const struct plot p = {
            .title = title,
            .about = "Against the entries that two of four survivors hold and the others lack.",
            .x_title = "entries of the tail",
            .y_title = votes ? "bytes" : "median",
            .kind = PLOT_LINE,
            .x_scale = PLOT_LOG,
            .y_scale = PLOT_LOG,
            .series = series,
            .series_count = count,
            .x_min = NAN,
            .x_max = NAN,
            .y_min = NAN,
            .y_max = NAN,
            .y_time = !votes,
        };
        figure_plot(e->f, &p);
    }
}

static void bytes_text(double bytes, char text[TABLE_NUMBER_MAX])
{
    if (isnan(bytes)) {
        (void) snprintf(text, TABLE_NUMBER_MAX, "no length tried");
    } else {
        (void) snprintf(text, TABLE_NUMBER_MAX, "about %.2g MB", bytes / 1e6);
    }
}

static void find(struct e3 *e)
{
    char near[TABLE_NUMBER_MAX];
    char far[TABLE_NUMBER_MAX];
    bytes_text(crossover(e, 0, SIZES - 2, 0, 2, false), near);
    bytes_text(crossover(e, 1, SIZES - 2, 0, 2, false), far);
    const struct election_line *raft = line_at(e, e->line[0][1][1][0]);
    const struct election_line *paxos = line_at(e, e->line[0][1][1][2]);
    figure_finding(
        e->f,
        "With short tails Multi-Paxos has a new command committed sooner (%.0f against %.0f ms in "
        "the median, one entry, 0.25 ms), because no candidate fails for its log. With values of "
        "1 KiB Raft is sooner from %s of tail on at 0.25 ms, and from %s at 15 ms: it sends what a "
        "quorum lacks once, while Paxos has it sent to who leads and by it to everybody again.",
        median(paxos, ELECTION_COMMITTED), median(raft, ELECTION_COMMITTED), near, far);
}

static int run(const struct figure_options *options, struct figure *f, struct buf *error)
{
    struct e3 *e = xcalloc(1, sizeof *e);
    e->options = options;
    e->f = f;
    figure_source(f, "Howard and Mortier, Paxos vs Raft: Have we reached consensus on distributed "
                     "consensus? PaPoC 2020 (claims, no measurements)");
    figure_setup(f,
                 "Five servers as E1, time-outs of 150 to 300 ms, heartbeats every 50 ms, all "
                 "switches as the product has them. Two of the four survivors hold a tail that "
                 "nobody knows to be chosen. Links of 1 Gbit/s in and out of each node, disks of "
                 "200 MB/s and 0.2 ms with group commit. %u trials for tails of up to 1000 "
                 "entries, %u and less for long ones. Messages of up to 1 MiB.",
                 trials_of(e, 1, 16), trials_of(e, 10000, 160000));
    election_lines_init(&e->lines);
    add_lines(e);
    int err = election_lines_run(&e->lines, options, error);
    if (err == OK) {
        check_ends(e);
        check_predictions(e);
        show_crossover(e);
        show_tables(e);
        plots(e, false);
        plots(e, true);
        find(e);
    }
    election_lines_release(&e->lines);
    free(e);
    return err;
}

const struct figure_ops figure_e3 = {
    .name = "e3",
    .title = "Paxos vs Raft: what an election costs when logs have diverged",
    .run = run,
};

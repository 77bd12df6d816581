/*
 * figure_e10.c - E10: every set of directed cuts of three and of five nodes, on every engine.
 *
 * Exhaustive up to symmetry (cut_set.h). Quick: three nodes as ever, five by a sample of classes.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/compare/cut_set.h"
#include "tests/compare/outage.h"

enum {
    SAMPLE = 300,
    COMMAND_MAX = 1 << 16,
};

struct e10 {
    const struct figure_options *options;
    struct figure *f;
    struct cut_set set;
};

/* ---- What is shown ---- */

static double percent(uint64_t part, uint64_t of)
{
    return of == 0 ? NAN : 100.0 * (double) part / (double) of;
}

static void job_command(const struct e10 *e, int64_t job, struct buf *out)
{
    struct cut_run run = cut_set_job(&e->set, job);
    struct scenario s;
    cut_run_scenario(&run, &s);
    outage_command(e->options->program, &s, out);
    scenario_release(&s);
}

static void figure_command(const struct e10 *e, struct buf *out)
{
    ERR_IGNORE(buf_printf(out, "%s figures e10 --seed %" PRIu64 "%s", e->options->program,
                          e->options->seed, e->options->quick ? " --quick" : ""));
}

static void summary_table(struct e10 *e)
{
    struct table *t = figure_table(e->f, "All sets of directed cuts");
    static const char *const columns[] = {
        "nodes",         "sets",       "classes run",   "unsafe",   "not recovered",
        "with majority", "of it down", "slowest write", "with hub", "of it down",
        "available",     "undecided",  "after heal",
    };
    table_column(t, "engine", false);
    for (uint32_t i = 0; i < ARRAY_SIZE(columns); i++) {
        table_column(t, columns[i], true);
    }
    for (uint32_t s = 0; s < CUT_SIZES; s++) {
        for (uint32_t g = 0; g < e->set.engines; g++) {
            const struct cut_tally *y = &e->set.tallies[s][g];
            char worst[TABLE_NUMBER_MAX], heal[TABLE_NUMBER_MAX], sets[TABLE_NUMBER_MAX];
            table_time(y->worst_us, worst);
            table_time(y->worst_heal_us, heal);
            table_number((double) y->sets, sets);
            table_row(t);
            (void) table_set(t, 0, "%s", engine_name(engine_at(g)));
            table_set(t, 1, "%u", CUT_NODES[s])->value = CUT_NODES[s];
            table_set(t, 2, "%s", sets)->value = (double) y->sets;
            (void) table_set(t, 3, "%u of %u", y->runs, y->classes);
            table_set(t, 4, "%u", y->unsafe)->tone = y->unsafe > 0 ? TONE_BAD : TONE_GOOD;
            table_set(t, 5, "%u", y->unrecovered)->tone = y->unrecovered > 0 ? TONE_BAD : TONE_GOOD;
            (void) table_set(t, 6, "%u", y->core_runs);
            table_set(t, 7, "%u", y->core_down)->tone = y->core_down > 0 ? TONE_BAD : TONE_GOOD;
            table_set(t, 8, "%s", worst)->value = y->worst_us;
            (void) table_set(t, 9, "%u", y->hub_runs);
            table_set(t, 10, "%u", y->hub_down)->tone = y->hub_down > 0 ? TONE_WARN : TONE_GOOD;
            table_set(t, 11, "%.2f %%", percent(y->up, y->sets))->value = percent(y->up, y->sets);
            (void) table_set(t, 12, "%u", y->undecided);
            table_set(t, 13, "%s", heal)->value = y->worst_heal_us;
        }
    }
    table_note(t,
               "Majority: one whose members all reach each other both ways. Hub: a node that "
               "reaches a majority both ways, without which nobody can gather a quorum. Available: "
               "of all sets, those in which a write that was called while cut was answered before "
               "the heal. Slowest write: the longest from the cut to the first such answer, where "
               "there is a majority. Not recovered: after the heal no write, or no agreement.");
}

static void role_table(struct e10 *e)
{
    struct table *t = figure_table(e->f, "Whom the client asks");
    table_column(t, "engine", false);
    table_column(t, "nodes", true);
    table_column(t, "the leader's node answers", true);
    table_column(t, "another node answers", true);
    table_column(t, "a node of a majority does not", true);
    for (uint32_t s = 0; s < CUT_SIZES; s++) {
        for (uint32_t g = 0; g < e->set.engines; g++) {
            const struct cut_tally *y = &e->set.tallies[s][g];
            bool leads = (engine_capabilities(engine_at(g)) & CAP_LEADER) != 0;
            double leader = percent(y->leader_up, y->sets);
            double other = percent(y->follower_up, y->sets * (CUT_NODES[s] - 1));
            table_row(t);
            (void) table_set(t, 0, "%s", engine_name(engine_at(g)));
            table_set(t, 1, "%u", CUT_NODES[s])->value = CUT_NODES[s];
            if (leads) {
                table_set(t, 2, "%.1f %%", leader)->value = leader;
                table_set(t, 3, "%.1f %%", other)->value = other;
            } else { /* all are alike, but the orbits' smallest masks favour some names */
                double any = percent(y->leader_up + y->follower_up, y->sets * CUT_NODES[s]);
                table_set(t, 2, "-")->tone = TONE_QUIET;
                table_set(t, 3, "%.1f %%", any)->value = any;
            }
            struct table_cell *part = table_set(t, 4, "%u of %u", y->core_part, y->core_runs);
            if (y->first_part >= 0) {
                struct buf command;
                buf_init(&command, COMMAND_MAX);
                job_command(e, y->first_part, &command);
                table_replay(part, "%.*s", (int) command.size, (const char *) command.data);
                buf_release(&command);
            }
        }
    }
    table_note(t,
               "Of all sets; a node answers if it answered a linearizable read or write that was "
               "made while cut. Last column: runs with a majority as above in which a node of it "
               "got no answer, because another majority, which it reaches only in part, has the "
               "leader: messages are not relayed.");
}

static void set_share(struct table *t, uint32_t column, double share)
{
    if (isnan(share)) {
        table_set(t, column, "-")->tone = TONE_QUIET; /* none of them was run */
        return;
    }
    table_set(t, column, "%.1f %%", share)->value = share;
}

static void links_table(struct e10 *e, uint32_t size)
{
    char title[64];
    uint32_t links = cut_space_links(CUT_NODES[size]);
    (void) snprintf(title, sizeof title, "Share of sets that are available, %u nodes",
                    CUT_NODES[size]);
    struct table *t = figure_table(e->f, title);
    table_column(t, "cuts", true);
    table_column(t, "with majority", true);
    table_column(t, "with hub", true);
    for (uint32_t g = 0; g < e->set.engines; g++) {
        table_column(t, engine_name(engine_at(g)), true);
    }
    for (uint32_t k = 0; k <= links; k++) {
        const struct cut_totals *all = &e->set.totals[size];
        table_row(t);
        table_set(t, 0, "%u", k)->value = k;
        set_share(t, 1, percent(all->core_at[k], all->at[k]));
        set_share(t, 2, percent(all->hub_at[k], all->at[k]));
        for (uint32_t g = 0; g < e->set.engines; g++) {
            const struct cut_tally *y = &e->set.tallies[size][g];
            set_share(t, 3 + g, percent(y->up_at[k], y->at[k]));
        }
    }
}

static uint32_t share_points(const uint64_t *part, const uint64_t *of, uint32_t links,
                             struct plot_point *points)
{
    uint32_t count = 0;
    for (uint32_t k = 0; k <= links; k++) {
        if (of[k] > 0) {
            points[count++] = (struct plot_point){k, percent(part[k], of[k]), NAN, NAN};
        }
    }
    return count;
}

static void links_plot(struct e10 *e, uint32_t size)
{
    static struct plot_point points[CUT_ENGINES_MAX + 2][CUT_LINKS_MAX + 1];
    struct plot_series series[CUT_ENGINES_MAX + 2];
    char title[64];
    uint32_t links = cut_space_links(CUT_NODES[size]);
    uint32_t n = 0;
    for (; n < e->set.engines; n++) {
        const struct cut_tally *y = &e->set.tallies[size][n];
        series[n] = (struct plot_series){.name = engine_name(engine_at(n)),
                                         /* raft first, as in compare_page.c */
                                         .colour = e->set.engines - 1 - n,
                                         .points = points[n],
                                         .count = share_points(y->up_at, y->at, links, points[n])};
    }
    const struct cut_totals *all = &e->set.totals[size];
    series[n] =
        (struct plot_series){.name = "a majority is fully connected",
                             .colour = n,
                             .dashed = true,
                             .points = points[n],
                             .count = share_points(all->core_at, all->at, links, points[n])};
    n++;
    series[n] = (struct plot_series){.name = "a node reaches a majority both ways",
                                     .colour = n,
                                     .dashed = true,
                                     .points = points[n],
                                     .count = share_points(all->hub_at, all->at, links, points[n])};
    n++;
    (void) snprintf(title, sizeof title, "Available against cuts, %u nodes", CUT_NODES[size]);
    const struct plot plot = {
        .title = title,
        .about = e->set.sampled && size == CUT_SIZES - 1
                     ? "The share of sets of so many directed cuts in which a write is answered "
                       "while cut, by a sample: some points are of one class of sets. The dashed "
                       "lines, of all sets, are bounds for the whole only."
                     : "Of all sets of so many directed cuts, the share in which a write is "
                       "answered while cut. Below the lower dashed line the product must answer; "
                       "above the upper one nobody can.",
        .x_title = "directed cuts",
        .y_title = "sets, %",
        .kind = PLOT_LINE,
        .series = series,
        .series_count = n,
        .x_min = 0,
        .x_max = links,
        .y_min = 0,
        .y_max = 100};
    figure_plot(e->f, &plot);
}
/* ---- Checks ---- */

static void check_replay(const struct e10 *e, struct figure_check *c, int64_t job)
{
    struct buf command;
    buf_init(&command, COMMAND_MAX);
    if (job >= 0) {
        job_command(e, job, &command);
    } else {
        figure_command(e, &command);
    }
    figure_replay(c, "%.*s", (int) command.size, (const char *) command.data);
    buf_release(&command);
}

static void checks_of(struct e10 *e, uint32_t size, uint32_t engine)
{
    const struct cut_tally *y = &e->set.tallies[size][engine];
    const char *text = y->first_bad >= 0 ? e->set.results[y->first_bad].text : "";
    char what[128];
    (void) snprintf(what, sizeof what, "%s, %u nodes: sets that are unsafe",
                    engine_name(engine_at(engine)), CUT_NODES[size]);
    struct figure_check *c = figure_check(e->f, what, "27 % of failures lose data", "0");
    figure_ours(c, y->unsafe == 0 && y->died == 0, "%u of %u runs%s%s", y->unsafe + y->died,
                y->runs, y->unsafe > 0 ? ": " : "", y->unsafe > 0 ? text : "");
    check_replay(e, c, y->first_bad);
    (void) snprintf(what, sizeof what, "%s, %u nodes: down with a connected majority",
                    engine_name(engine_at(engine)), CUT_NODES[size]);
    c = figure_check(e->f, what, "80 % catastrophic", "0 after 6 election time-outs");
    figure_ours(c, y->core_down == 0, "%u of %u", y->core_down, y->core_runs);
    check_replay(e, c, y->first_bad);
    (void) snprintf(what, sizeof what, "%s, %u nodes: not recovered after the heal",
                    engine_name(engine_at(engine)), CUT_NODES[size]);
    c = figure_check(e->f, what, "21 % of failures last", "0");
    figure_ours(c, y->unrecovered == 0 && y->misplaced * 100 <= y->runs,
                "%u of %u (%u not run: the leader was elsewhere)%s%s", y->unrecovered,
                y->runs - y->misplaced, y->misplaced, y->unrecovered > 0 ? ": " : "",
                y->unrecovered > 0 ? text : "");
    check_replay(e, c, y->first_bad);
}
/* More than is promised: it is enough that one node can gather a quorum. A leaderless engine serves
 * there only who asks that very node, so that short runs can end before one was lucky. */
static void check_hub(struct e10 *e, uint32_t engine)
{
    bool leads = (engine_capabilities(engine_at(engine)) & CAP_LEADER) != 0;
    uint64_t hub = 0, down = 0;
    char what[128];
    for (uint32_t s = 0; s < CUT_SIZES; s++) {
        hub += e->set.tallies[s][engine].hub_runs;
        down += e->set.tallies[s][engine].hub_down;
    }
    (void) snprintf(what, sizeof what, "%s: sets with a hub, and no write while cut",
                    engine_name(engine_at(engine)));
    struct figure_check *c = figure_check(e->f, what, "-", leads ? "0" : "at most 3 in 100");
    figure_ours(c, hub > 0 && (leads ? down == 0 : down * 100 <= 3 * hub),
                "%" PRIu64 " of %" PRIu64, down, hub);
    check_replay(e, c, -1);
}

static void checks_of_all(struct e10 *e)
{
    uint64_t bad = 0, runs = 0, wonders = 0;
    for (uint32_t s = 0; s < CUT_SIZES; s++) {
        for (uint32_t g = 0; g < e->set.engines; g++) {
            const struct cut_tally *y = &e->set.tallies[s][g];
            checks_of(e, s, g);
            runs += y->runs;
            bad += y->unsafe + y->unrecovered + y->core_down + y->died;
            wonders += y->wonders;
        }
    }
    for (uint32_t g = 0; g < e->set.engines; g++) {
        check_hub(e, g);
    }
    struct figure_check *c =
        figure_check(e->f, "sets without a hub in which a write was answered", "-", "0");
    figure_ours(c, wonders == 0, "%" PRIu64, wonders);
    check_replay(e, c, -1);
    c = figure_check(e->f, "failures found by cutting links", "32 in 7 systems (NEAT)", "-");
    figure_ours(c, true, "%" PRIu64 " of %" PRIu64 " runs", bad, runs);
    c->informal = true;
    check_replay(e, c, -1);
    c = figure_check(e->f, "nodes that show the failures", "83 % on 3 nodes, all on 5", "-");
    figure_ours(c, true, "both tried in full%s", e->set.sampled ? ", but 5 by a sample" : "");
    c->informal = true;
    check_replay(e, c, -1);
}

static void finding(struct e10 *e)
{
    const struct cut_totals *all = &e->set.totals[CUT_SIZES - 1];
    uint32_t failed = figure_failed(e->f);
    if (failed > 0) {
        figure_finding(e->f, "%u checks do not hold; the table above has them.", failed);
        return;
    }
    figure_finding(e->f,
                   "No set of cuts%s makes an engine unsafe, and all recover. Engines with a "
                   "leader answer writes where, and only where, some node reaches a majority both "
                   "ways; that its members reach each other is not needed. Of all sets of cuts of "
                   "five nodes %.1f %% have such a node, %.1f %% a fully connected majority.",
                   e->set.sampled ? " of the sample (and of three nodes)" : "",
                   percent(all->hub, all->sets), percent(all->core, all->sets));
}

static void show(struct e10 *e)
{
    summary_table(e);
    role_table(e);
    for (uint32_t s = 0; s < CUT_SIZES; s++) {
        links_plot(e, s);
        links_table(e, s);
    }
    checks_of_all(e);
    finding(e);
}

static int run(const struct figure_options *options, struct figure *f, struct buf *error)
{
    struct e10 e = {.options = options, .f = f};
    uint32_t classes = options->trials > 0 ? options->trials : options->quick ? SAMPLE : 0;
    (void) error;
    figure_source(f,
                  "Alquraan, Takruri, Alfatafta, Al-Kiswany: An Analysis of Network-Partitioning "
                  "Failures in Cloud Systems, OSDI 2018");
    cut_set_init(&e.set, options, classes);
    figure_setup(
        f,
        "Simulator, %u runs%s. Write, cut, write, heal, write, read all: 8 clients write "
        "and read through any node, node 1 leads when the links are cut. Election time-out "
        "%d ms; cut for %d of them; histories are checked to be linearizable. Published: "
        "what was found in 136 failures of 25 systems, and NEAT's tests of 7.",
        e.set.count, e.set.sampled ? " (five nodes: a sample of the classes)" : "",
        CUT_ELECTION_US / 1000, HEAL_AT - CUT_AT);
    int err = cut_set_run(&e.set, options);
    if (err == OK) {
        show(&e);
    }
    cut_set_release(&e.set);
    return err;
}

const struct figure_ops figure_e10 = {
    .name = "e10",
    .title = "Every set of cuts of three and five nodes",
    .run = run,
};

/*
 * figure_e10.c - E10: every set of directed cuts of three and of five nodes, on every engine.
 *
 * Exhaustive up to symmetry: an engine with a leader is tried on the orbits that keep the leader's
 * node, a leaderless one on the orbits of all nodes. What is counted of an orbit counts for each of
 * its sets. Quick: three nodes as ever, five by a sample of classes.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/compare/cut_run.h"
#include "tests/compare/cut_space.h"
#include "tests/compare/figure.h"
#include "tests/compare/outage.h"

enum {
    ENGINES_MAX = 4,
    SIZES = 2,
    SAMPLE = 300,
    PLACINGS_MAX = 4, /* seeds tried until node 1 leads */
    LINKS_MAX = CUT_NODES_MAX * (CUT_NODES_MAX - 1),
    COMMAND_MAX = 1 << 16,
};

static const uint32_t NODES[SIZES] = {3, 5};

struct job {
    struct cut_run run;
    uint32_t weight; /* sets that the run stands for */
    uint8_t size;    /* index into NODES */
    uint8_t engine;
    bool core, hub;
};

/* What the runs of one engine and size add up to; sets are weighted. */
struct tally {
    uint32_t classes; /* of the space */
    uint32_t runs;
    uint32_t died, misplaced, unsafe, unrecovered, undecided;
    uint32_t core_runs, core_down;    /* and no write was answered in time */
    uint32_t core_part;               /* and a node of it got no answer while cut */
    uint32_t hub_runs, hub_down;      /* and no write was answered at all while cut */
    uint32_t wonders;                 /* no hub, and yet a write was answered */
    uint64_t sets, up;                /* sets; and a write was answered */
    uint64_t leader_up, follower_up;  /* node 1, and the mean of the others, answered */
    uint32_t worst_us, worst_heal_us; /* first write with a core; after the heal */
    uint64_t at[LINKS_MAX + 1];       /* sets by number of cuts */
    uint64_t up_at[LINKS_MAX + 1];    /* and a write was answered */
    int64_t first_bad, first_part;    /* jobs to show; -1: none */
};

/* What is so of all sets of cuts of so many nodes, whoever runs on them. */
struct space {
    uint64_t sets, core, hub;
    uint64_t at[LINKS_MAX + 1]; /* by number of cuts */
    uint64_t core_at[LINKS_MAX + 1];
    uint64_t hub_at[LINKS_MAX + 1];
};

struct e10 {
    const struct figure_options *options;
    struct figure *f;
    struct job *jobs;
    uint32_t count, capacity;
    struct cut_result *results;
    uint32_t engines;
    struct space spaces[SIZES];
    struct tally tallies[SIZES][ENGINES_MAX];
};

/* ---- The runs ---- */

static void plan_class(struct e10 *e, uint32_t size, uint32_t engine, struct cut_class class,
                       uint32_t number)
{
    if (e->count == e->capacity) {
        e->capacity = e->capacity == 0 ? 1024 : e->capacity * 2;
        e->jobs = xrealloc(e->jobs, e->capacity * sizeof *e->jobs);
    }
    e->jobs[e->count++] = (struct job){.run = {.engine = engine_at(engine),
                                               .nodes = NODES[size],
                                               .cuts = class.cuts,
                                               .seed = e->options->seed + number},
                                       .weight = class.size,
                                       .size = (uint8_t) size,
                                       .engine = (uint8_t) engine,
                                       .core = cut_space_has_core(NODES[size], class.cuts),
                                       .hub = cut_space_has_hub(NODES[size], class.cuts)};
}

static void look_at_space(struct space *space, uint32_t nodes)
{
    struct cut_class *classes;
    uint32_t count = cut_space_classes(nodes, false, &classes);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t cuts = (uint32_t) __builtin_popcount(classes[i].cuts);
        uint32_t core = cut_space_has_core(nodes, classes[i].cuts) ? classes[i].size : 0;
        uint32_t hub = cut_space_has_hub(nodes, classes[i].cuts) ? classes[i].size : 0;
        space->sets += classes[i].size;
        space->at[cuts] += classes[i].size;
        space->core += core;
        space->core_at[cuts] += core;
        space->hub += hub;
        space->hub_at[cuts] += hub;
    }
    free(classes);
}

/* `want` of the classes, or all; each as likely as any other. */
static void plan_space(struct e10 *e, uint32_t size, uint32_t engine, uint32_t want)
{
    struct cut_class *classes;
    struct rng rng;
    bool marked = (engine_capabilities(engine_at(engine)) & CAP_LEADER) != 0;
    uint32_t count = cut_space_classes(NODES[size], marked, &classes);
    uint32_t left = want == 0 || want > count ? count : want;
    rng_init(&rng, e->options->seed + engine);
    e->tallies[size][engine].classes = count;
    for (uint32_t i = 0; i < count && left > 0; i++) {
        if (rng_chance(&rng, left, count - i)) {
            plan_class(e, size, engine, classes[i], i);
            left--;
        }
    }
    free(classes);
}

static void plan(struct e10 *e)
{
    uint32_t want = e->options->quick ? SAMPLE : 0;
    if (e->options->trials > 0) {
        want = e->options->trials;
    }
    for (uint32_t s = 0; s < SIZES; s++) {
        look_at_space(&e->spaces[s], NODES[s]);
    }
    while (engine_at(e->engines) != NULL) {
        ASSERT(e->engines < ENGINES_MAX);
        for (uint32_t s = 0; s < SIZES; s++) {
            plan_space(e, s, e->engines, NODES[s] == CUT_NODES_MAX ? want : 0);
        }
        e->engines++;
    }
}

static void run_job(void *ctx, uint64_t i, void *slot)
{
    const struct e10 *e = ctx;
    struct cut_result *r = slot;
    struct cut_run run = e->jobs[i].run;
    for (uint32_t k = 0; k < PLACINGS_MAX; k++) {
        cut_run_execute(&run, r);
        r->tries = (uint8_t) k;
        if (r->placed || r->unsafe) {
            return;
        }
        run.seed += CUT_NEXT_SEED;
    }
}

/* ---- Counting ---- */

static bool in_time(const struct cut_result *r)
{
    return r->first_us <= CUT_AVAILABLE_ELECTIONS * CUT_ELECTION_US;
}

static void count_reach(struct tally *t, const struct job *j, const struct cut_result *r)
{
    uint32_t cuts = (uint32_t) __builtin_popcount(j->run.cuts);
    bool up = r->first_us != UINT32_MAX;
    uint32_t followers = (uint32_t) __builtin_popcount(r->answered >> 1u);
    t->sets += j->weight;
    t->at[cuts] += j->weight;
    t->up += up ? j->weight : 0;
    t->up_at[cuts] += up ? j->weight : 0;
    t->leader_up += (r->answered & 1) != 0 ? j->weight : 0;
    t->follower_up += (uint64_t) followers * j->weight;
    t->hub_runs += j->hub ? 1 : 0;
    t->hub_down += j->hub && !up ? 1 : 0;
    t->wonders += !j->hub && up ? 1 : 0;
}

static void count_one(struct e10 *e, uint32_t i)
{
    const struct job *j = &e->jobs[i];
    const struct cut_result *r = &e->results[i];
    struct tally *t = &e->tallies[j->size][j->engine];
    t->runs++;
    t->died += r->ran ? 0 : 1;
    t->misplaced += r->ran && !r->placed ? 1 : 0;
    t->unsafe += r->unsafe ? 1 : 0;
    if (!r->ran || !r->placed) {
        t->first_bad = t->first_bad < 0 && (!r->ran || r->unsafe) ? i : t->first_bad;
        return;
    }
    t->unrecovered += r->unrecovered ? 1 : 0;
    t->undecided += r->undecided ? 1 : 0;
    count_reach(t, j, r);
    if (j->core) {
        uint32_t core = cut_space_core(j->run.nodes, j->run.cuts);
        bool part = (r->answered & core) != core;
        t->core_runs++;
        t->core_down += in_time(r) ? 0 : 1;
        t->core_part += part ? 1 : 0;
        t->first_part = part && t->first_part < 0 ? i : t->first_part;
        t->worst_us = r->first_us > t->worst_us ? r->first_us : t->worst_us;
    }
    t->worst_heal_us = r->healed_us > t->worst_heal_us ? r->healed_us : t->worst_heal_us;
    if (t->first_bad < 0 && (r->unsafe || r->unrecovered || (j->core && !in_time(r)))) {
        t->first_bad = i;
    }
}

/* ---- What is shown ---- */

static double percent(uint64_t part, uint64_t of)
{
    return of == 0 ? NAN : 100.0 * (double) part / (double) of;
}

static void job_command(const struct e10 *e, int64_t job, struct buf *out)
{
    struct cut_run run = e->jobs[job].run;
    struct scenario s;
    run.seed += (uint64_t) e->results[job].tries * CUT_NEXT_SEED;
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
    for (uint32_t s = 0; s < SIZES; s++) {
        for (uint32_t g = 0; g < e->engines; g++) {
            const struct tally *y = &e->tallies[s][g];
            char worst[TABLE_NUMBER_MAX], heal[TABLE_NUMBER_MAX], sets[TABLE_NUMBER_MAX];
            table_time(y->worst_us, worst);
            table_time(y->worst_heal_us, heal);
            table_number((double) y->sets, sets);
            table_row(t);
            (void) table_set(t, 0, "%s", engine_name(engine_at(g)));
            table_set(t, 1, "%u", NODES[s])->value = NODES[s];
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
    for (uint32_t s = 0; s < SIZES; s++) {
        for (uint32_t g = 0; g < e->engines; g++) {
            const struct tally *y = &e->tallies[s][g];
            bool leads = (engine_capabilities(engine_at(g)) & CAP_LEADER) != 0;
            double leader = percent(y->leader_up, y->sets);
            double other = percent(y->follower_up, y->sets * (NODES[s] - 1));
            table_row(t);
            (void) table_set(t, 0, "%s", engine_name(engine_at(g)));
            table_set(t, 1, "%u", NODES[s])->value = NODES[s];
            if (leads) {
                table_set(t, 2, "%.1f %%", leader)->value = leader;
                table_set(t, 3, "%.1f %%", other)->value = other;
            } else { /* all are alike, but the orbits' smallest masks favour some names */
                double any = percent(y->leader_up + y->follower_up, y->sets * NODES[s]);
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
    uint32_t links = cut_space_links(NODES[size]);
    (void) snprintf(title, sizeof title, "Share of sets that are available, %u nodes", NODES[size]);
    struct table *t = figure_table(e->f, title);
    table_column(t, "cuts", true);
    table_column(t, "with majority", true);
    table_column(t, "with hub", true);
    for (uint32_t g = 0; g < e->engines; g++) {
        table_column(t, engine_name(engine_at(g)), true);
    }
    for (uint32_t k = 0; k <= links; k++) {
        const struct space *all = &e->spaces[size];
        table_row(t);
        table_set(t, 0, "%u", k)->value = k;
        set_share(t, 1, percent(all->core_at[k], all->at[k]));
        set_share(t, 2, percent(all->hub_at[k], all->at[k]));
        for (uint32_t g = 0; g < e->engines; g++) {
            const struct tally *y = &e->tallies[size][g];
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
    static struct plot_point points[ENGINES_MAX + 2][LINKS_MAX + 1];
    struct plot_series series[ENGINES_MAX + 2];
    char title[64];
    uint32_t links = cut_space_links(NODES[size]);
    uint32_t n = 0;
    for (; n < e->engines; n++) {
        const struct tally *y = &e->tallies[size][n];
        series[n] = (struct plot_series){.name = engine_name(engine_at(n)),
                                         .colour = n,
                                         .points = points[n],
                                         .count = share_points(y->up_at, y->at, links, points[n])};
    }
    const struct space *all = &e->spaces[size];
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
    (void) snprintf(title, sizeof title, "Available against cuts, %u nodes", NODES[size]);
    const struct plot plot = {
        .title = title,
        .about = "Of all sets of so many directed cuts, the share in which a write is answered "
                 "while cut. Below the lower dashed line the product must answer; above the upper "
                 "one nobody can.",
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
    const struct tally *y = &e->tallies[size][engine];
    const char *text = y->first_bad >= 0 ? e->results[y->first_bad].text : "";
    char what[128];
    (void) snprintf(what, sizeof what, "%s, %u nodes: sets that are unsafe",
                    engine_name(engine_at(engine)), NODES[size]);
    struct figure_check *c = figure_check(e->f, what, "27 % of failures lose data", "0");
    figure_ours(c, y->unsafe == 0 && y->died == 0, "%u of %u runs%s%s", y->unsafe + y->died,
                y->runs, y->unsafe > 0 ? ": " : "", y->unsafe > 0 ? text : "");
    check_replay(e, c, y->first_bad);
    (void) snprintf(what, sizeof what, "%s, %u nodes: down with a connected majority",
                    engine_name(engine_at(engine)), NODES[size]);
    c = figure_check(e->f, what, "80 % catastrophic", "0 after 6 election time-outs");
    figure_ours(c, y->core_down == 0, "%u of %u", y->core_down, y->core_runs);
    check_replay(e, c, y->first_bad);
    (void) snprintf(what, sizeof what, "%s, %u nodes: not recovered after the heal",
                    engine_name(engine_at(engine)), NODES[size]);
    c = figure_check(e->f, what, "21 % of failures last", "0");
    figure_ours(c, y->unrecovered == 0 && y->misplaced * 100 <= y->runs,
                "%u of %u (%u not run: the leader was elsewhere)%s%s", y->unrecovered,
                y->runs - y->misplaced, y->misplaced, y->unrecovered > 0 ? ": " : "",
                y->unrecovered > 0 ? text : "");
    check_replay(e, c, y->first_bad);
}

static void checks_of_all(struct e10 *e)
{
    uint64_t bad = 0, runs = 0, hub = 0, hub_down = 0, wonders = 0;
    for (uint32_t s = 0; s < SIZES; s++) {
        for (uint32_t g = 0; g < e->engines; g++) {
            const struct tally *y = &e->tallies[s][g];
            checks_of(e, s, g);
            runs += y->runs;
            bad += y->unsafe + y->unrecovered + y->core_down + y->died;
            hub += y->hub_runs;
            hub_down += y->hub_down;
            wonders += y->wonders;
        }
    }
    struct figure_check *c =
        figure_check(e->f, "sets with a hub in which no write was answered while cut", "-",
                     "at most 1 in 100");
    figure_ours(c, hub > 0 && hub_down * 100 <= hub, "%" PRIu64 " of %" PRIu64, hub_down, hub);
    check_replay(e, c, -1);
    c = figure_check(e->f, "sets without a hub in which a write was answered", "-", "none");
    figure_ours(c, wonders == 0, "%" PRIu64, wonders);
    check_replay(e, c, -1);
    c = figure_check(e->f, "failures found by cutting links", "32 in 7 systems (NEAT)", "-");
    figure_ours(c, true, "%" PRIu64 " of %" PRIu64 " runs", bad, runs);
    c->informal = true;
    check_replay(e, c, -1);
    c = figure_check(e->f, "nodes that show the failures", "83 % on 3 nodes, all on 5", "-");
    figure_ours(c, true, "both tried in full%s", e->options->quick ? ", 5 by a sample" : "");
    c->informal = true;
    check_replay(e, c, -1);
}

static void show(struct e10 *e)
{
    for (uint32_t s = 0; s < SIZES; s++) {
        for (uint32_t g = 0; g < e->engines; g++) {
            e->tallies[s][g].first_bad = -1;
            e->tallies[s][g].first_part = -1;
        }
    }
    for (uint32_t i = 0; i < e->count; i++) {
        count_one(e, i);
    }
    summary_table(e);
    role_table(e);
    for (uint32_t s = 0; s < SIZES; s++) {
        links_plot(e, s);
        links_table(e, s);
    }
    checks_of_all(e);
    const struct space *all = &e->spaces[SIZES - 1];
    figure_finding(
        e->f,
        "Every engine answers writes where, and only where, some node reaches a majority "
        "both ways; a majority whose members all reach each other is not needed. Of all "
        "sets of cuts of five nodes %.1f %% have such a node, %.1f %% such a majority.",
        percent(all->hub, all->sets), percent(all->core, all->sets));
}

static int run(const struct figure_options *options, struct figure *f, struct buf *error)
{
    struct e10 e = {.options = options, .f = f};
    int err = OK;
    (void) error;
    figure_source(f,
                  "Alquraan, Takruri, Alfatafta, Al-Kiswany: An Analysis of Network-Partitioning "
                  "Failures in Cloud Systems, OSDI 2018");
    plan(&e);
    figure_setup(
        f,
        "Simulator, %u runs%s. Write, cut, write, heal, write, read all: 8 clients write "
        "and read through any node, node 1 leads when the links are cut. Election time-out "
        "%d ms; cut for %d of them; histories are checked to be linearizable. Published: "
        "what was found in 136 failures of 25 systems, and NEAT's tests of 7.",
        e.count, options->quick ? " (five nodes: a sample of the classes)" : "",
        CUT_ELECTION_US / 1000, HEAL_AT - CUT_AT);
    e.results = figure_slots(e.count, sizeof *e.results);
    uint64_t missing = figure_fork(options, e.count, sizeof *e.results, e.results, run_job, &e);
    if (missing > 0 && options->progress != NULL &&
        !options->progress(options->ctx, e.count - missing, e.count)) {
        err = ERR_CANCELED;
    } else {
        show(&e);
    }
    figure_slots_free(e.results, e.count, sizeof *e.results);
    free(e.jobs);
    return err;
}

const struct figure_ops figure_e10 = {
    .name = "e10",
    .title = "Every set of cuts of three and five nodes",
    .run = run,
};

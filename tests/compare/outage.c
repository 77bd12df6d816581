/*
 * outage.c - partial partitions as scenarios, and what their runs show. See outage.h.
 *
 * In election time-outs (T) from the start of a run:
 *
 *     0      the cluster comes up
 *     8, 9   leadership is moved to its place, if it is not there
 *     14     the links break; the constrained election has broken one of them half a T before
 *     14 + lasts    all heal, and the run ends some T later, without a verdict on its history:
 *            properties that are watched while it goes on (tests/sim/observer.h) are judged
 */
#include "tests/compare/outage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"

enum {
    CUT_ELECTIONS = 14,
    TAIL_ELECTIONS = 10,
    CLIENTS = 40,
    CLIENT_TIMEOUT_MAX_US = 500000,
    COMMAND_MAX = 1 << 20,
};

static const struct {
    const char *word;
    const char *title;
    uint32_t nodes;
} GRAPHS[] = {
#define X(name, word, title, nodes) {word, title, nodes},
    OUTAGE_GRAPH_MAP(X)
#undef X
};

static const struct {
    const char *title;
    bool pre_vote, check_quorum, quorum_connected;
} ELECTORS[] = {
#define X(name, title, pre_vote, check_quorum, quorum_connected)                                   \
    {title, pre_vote, check_quorum, quorum_connected},
    OUTAGE_ELECTOR_MAP(X)
#undef X
};

const char *outage_graph_word(uint32_t graph)
{
    ASSERT(graph < OUTAGE_GRAPHS);
    return GRAPHS[graph].word;
}

const char *outage_graph_title(uint32_t graph)
{
    ASSERT(graph < OUTAGE_GRAPHS);
    return GRAPHS[graph].title;
}

const char *outage_elector_title(uint32_t elector)
{
    ASSERT(elector < OUTAGE_ELECTORS);
    return ELECTORS[elector].title;
}

uint64_t outage_cut_us(const struct outage *o)
{
    return CUT_ELECTIONS * o->election_us;
}

uint64_t outage_lead_us(const struct outage *o)
{
    return u64_min(o->lasts_us / 10, 4 * o->election_us);
}

static uint64_t tail_us(const struct outage *o)
{
    return u64_min(o->lasts_us / 10, (uint64_t) TAIL_ELECTIONS * o->election_us);
}

uint64_t outage_bucket_us(const struct outage *o)
{
    return (outage_lead_us(o) + o->lasts_us + tail_us(o)) / OUTAGE_BUCKETS + 1;
}

/* Where the graph wants the leader. */
static uint32_t leader_of(const struct outage *o)
{
    switch (o->graph) {
    case OUTAGE_QUORUM_LOSS:
    case OUTAGE_CONSTRAINED:
        return 3;
    case OUTAGE_LEADER_LEAF:
        return 4;
    default:
        return 1;
    }
}

/* ---- Graphs ---- */

static void add(struct scenario *s, struct sim_step step, uint64_t at_us)
{
    step.at_us = at_us;
    scenario_add(s, &step);
}

static void cut(struct scenario *s, uint32_t a, uint32_t b, uint64_t at_us)
{
    add(s, (struct sim_step){.kind = STEP_CUT, .a = a, .b = b, .both = true}, at_us);
}

static void cut_one_way(struct scenario *s, uint32_t from, uint32_t to, uint64_t at_us)
{
    add(s, (struct sim_step){.kind = STEP_CUT, .a = from, .b = to}, at_us);
}

/* Nobody reaches anybody but node 1. */
static void star(struct scenario *s, uint64_t at_us)
{
    for (uint32_t a = 2; a <= s->nodes; a++) {
        for (uint32_t b = a + 1; b <= s->nodes; b++) {
            cut(s, a, b, at_us);
        }
    }
}

/* Faster, about as fast, and slower than an election takes, again and again. */
static void flap(struct scenario *s, uint64_t from_us, uint64_t to_us, uint64_t election_us)
{
    static const struct {
        uint32_t percent; /* of an election time-out, cut and joined each */
        uint32_t times;
    } rhythm[] = {{12, 20}, {80, 10}, {260, 6}};
    uint64_t at = from_us;
    for (uint32_t i = 0; at < to_us; i = (i + 1) % ARRAY_SIZE(rhythm)) {
        uint64_t half = election_us * rhythm[i].percent / 100;
        for (uint32_t k = 0; k < rhythm[i].times && at < to_us; k++) {
            cut(s, 1, 2, at);
            add(s, (struct sim_step){.kind = STEP_JOIN, .a = 1, .b = 2, .both = true},
                u64_min(at + half, to_us));
            at += 2 * half;
        }
    }
}

static void break_links(const struct outage *o, struct scenario *s)
{
    uint64_t at = outage_cut_us(o);
    switch ((enum outage_graph) o->graph) {
    case OUTAGE_QUORUM_LOSS:
        star(s, at);
        return;
    case OUTAGE_CONSTRAINED:
        /* Not longer than a time-out: node 1 lags behind, and does not stand. */
        cut(s, 1, 3, at - o->election_us / 2);
        star(s, at);
        return;
    case OUTAGE_CHAINED:
        cut(s, 1, 3, at);
        return;
    case OUTAGE_TWO_LEAVES:
        cut(s, 4, 1, at);
        cut(s, 4, 3, at);
        cut(s, 4, 5, at);
        cut(s, 5, 1, at);
        cut(s, 5, 2, at);
        return;
    case OUTAGE_LEADER_LEAF:
        cut(s, 4, 1, at);
        cut(s, 4, 3, at);
        add(s, (struct sim_step){.kind = STEP_POWER_LOSS, .a = 5}, at);
        add(s, (struct sim_step){.kind = STEP_RESTART, .a = 5}, at + o->lasts_us);
        return;
    case OUTAGE_MUTE:
    case OUTAGE_HALF_MUTE:
        for (uint32_t to = 2; to <= (o->graph == OUTAGE_MUTE ? s->nodes : 2); to++) {
            cut_one_way(s, 1, to, at);
        }
        return;
    case OUTAGE_DEAF:
    case OUTAGE_HALF_DEAF:
        for (uint32_t from = 2; from <= (o->graph == OUTAGE_DEAF ? s->nodes : 2); from++) {
            cut_one_way(s, from, 1, at);
        }
        return;
    case OUTAGE_FLAPPING:
        flap(s, at, at + o->lasts_us, o->election_us);
        return;
    case OUTAGE_GRAPHS:
        break;
    }
    UNREACHABLE();
}

void outage_scenario(const struct outage *o, struct scenario *s)
{
    uint64_t t = o->election_us;
    ASSERT(o->graph < OUTAGE_GRAPHS);
    ASSERT(o->elector < OUTAGE_ELECTORS);
    scenario_init(s, o->engine, o->seed);
    (void) snprintf(s->about, sizeof s->about, "%s, %s, elector %s", GRAPHS[o->graph].title,
                    engine_name(o->engine), ELECTORS[o->elector].title);
    s->nodes = GRAPHS[o->graph].nodes;
    s->length_us = outage_cut_us(o) + o->lasts_us + tail_us(o);
    /* As the product's defaults are to its own election time-out. */
    s->options[OPTION_ELECTION] = t;
    s->options[OPTION_HEARTBEAT] = t / 10;
    s->options[OPTION_RESEND] = 3 * t / 10;
    s->options[OPTION_BACKOFF_MIN] = t / 100;
    s->options[OPTION_BACKOFF_MAX] = t;
    s->options[OPTION_RETRY] = 2 * t;
    s->options[OPTION_READ_RETRY] = 2 * t / 5;
    s->options[OPTION_PRE_VOTE] = ELECTORS[o->elector].pre_vote;
    s->options[OPTION_CHECK_QUORUM] = ELECTORS[o->elector].check_quorum;
    s->options[OPTION_QUORUM_CONNECTED] = ELECTORS[o->elector].quorum_connected;
    /* A local network, and many clients of little patience, however short the time-out: one is
     * always about to write at a node that can, or silence would show the clients' pace. */
    s->delay = (struct sim_span){100, 1000};
    s->clients = CLIENTS;
    s->think = (struct sim_span){u64_min(t / 2, 80000), u64_min(2 * t, 320000)};
    s->timeout_us = u64_min(t, CLIENT_TIMEOUT_MAX_US);
    s->retry_percent = 0;
    memset(s->mix, 0, sizeof s->mix);
    s->mix[SIM_OP_PUT] = 1;
    if ((engine_capabilities(o->engine) & CAP_TRANSFER) != 0) {
        add(s, (struct sim_step){.kind = STEP_TRANSFER, .a = leader_of(o)}, 8 * t);
        add(s, (struct sim_step){.kind = STEP_TRANSFER, .a = leader_of(o)}, 9 * t);
    }
    break_links(o, s);
    add(s, (struct sim_step){.kind = STEP_HEAL}, outage_cut_us(o) + o->lasts_us);
}

void outage_command(const char *program, const struct scenario *s, struct buf *out)
{
    struct buf text;
    buf_init(&text, COMMAND_MAX);
    int err = scenario_print(s, &text);
    if (err == OK) {
        ERR_IGNORE(buf_printf(out, "printf '"));
        for (size_t i = 0; i < text.size; i++) {
            char c = (char) text.data[i];
            const char *escaped = c == '\n' ? "\\n" : c == '%' ? "%%" : c == '\'' ? "'\\''" : NULL;
            ERR_IGNORE(escaped != NULL ? buf_append(out, escaped, strlen(escaped))
                                       : buf_append(out, &c, 1));
        }
        ERR_IGNORE(buf_printf(out, "' > run.fault; %s run --scenario run.fault", program));
    }
    buf_release(&text);
}

/* ---- Runs ---- */

struct watch {
    const struct outage *o;
    struct outage_result *result;
    uint64_t commit; /* highest index that was chosen anywhere */
    uint32_t leader; /* of the newest epoch, before the cut */
    uint64_t epoch;
};

static void on_event(void *ctx, const struct trace_event *event)
{
    struct watch *w = ctx;
    uint64_t cut_us = outage_cut_us(w->o);
    bool inside = event->time_us >= cut_us && event->time_us < cut_us + w->o->lasts_us;
    switch (event->kind) {
    case TRACE_BECAME_LEADER:
        w->result->leaders += inside ? 1 : 0;
        if (event->time_us < cut_us && event->epoch >= w->epoch) {
            w->leader = event->node;
            w->epoch = event->epoch;
        }
        break;
    case TRACE_BECAME_CANDIDATE:
        w->result->campaigns += inside ? 1 : 0;
        break;
    case TRACE_COMMIT:
        if (event->index > w->commit) {
            w->result->commits += inside ? event->index - w->commit : 0;
            w->commit = event->index;
        }
        break;
    default:
        break;
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a;
    uint64_t y = *(const uint64_t *) b;
    return x < y ? -1 : x > y ? 1 : 0;
}

/* Times without an answered write, from cut to heal: both ends count. answers: ascending, inside.
 */
static void find_silence(const struct outage *o, const uint64_t *answers, size_t count,
                         struct outage_result *r)
{
    uint64_t since = outage_cut_us(o);
    for (size_t i = 0; i <= count; i++) {
        uint64_t at = i < count ? answers[i] : outage_cut_us(o) + o->lasts_us;
        uint64_t gap = at - since;
        r->down_us = u64_max(r->down_us, gap);
        r->silent_us += gap > o->election_us ? gap : 0;
        since = at;
    }
}

static void read_history(const struct outage *o, const struct history *h, struct outage_result *r)
{
    uint64_t cut_us = outage_cut_us(o);
    uint64_t from_us = cut_us - outage_lead_us(o);
    uint64_t *answers = xcalloc((size_t) history_count(h) + 1, sizeof *answers);
    size_t count = 0;
    for (uint32_t i = 0; i < history_count(h); i++) {
        const struct history_op *op = history_get(h, i);
        uint64_t at = op->return_ns / 1000;
        if (op->kind != HIST_PUT || op->result != HIST_OK || at < from_us) {
            continue;
        }
        uint64_t bucket = (at - from_us) / outage_bucket_us(o);
        if (bucket < OUTAGE_BUCKETS) {
            r->written[bucket]++;
        }
        if (at < cut_us || at >= cut_us + o->lasts_us) {
            continue;
        }
        answers[count++] = at;
        r->last_us = u64_max(r->last_us, at - cut_us);
        if (op->call_ns / 1000 >= cut_us) {
            r->first_us = u64_min(r->first_us, at - cut_us);
        }
    }
    r->writes = (uint32_t) count;
    qsort(answers, count, sizeof *answers, by_value);
    find_silence(o, answers, count, r);
    free(answers);
}

void outage_run(const struct outage *o, struct outage_result *ret_result)
{
    struct scenario s;
    struct sim_result sim;
    struct watch w = {.o = o, .result = ret_result};
    *ret_result = (struct outage_result){.ran = true, .first_us = UINT64_MAX};
    outage_scenario(o, &s);
    struct sim_hooks hooks = {.trace = {on_event, &w},
                              .history = history_new(),
                              .stop_us = s.length_us - 1};
    sim_execute(&s, &hooks, &sim);
    bool leads = (engine_capabilities(o->engine) & CAP_LEADER) != 0;
    ret_result->placed = !leads || w.leader == leader_of(o);
    ret_result->red = sim.red;
    if (sim.red) {
        (void) snprintf(ret_result->text, sizeof ret_result->text, "%s at %.3f s: %.200s",
                        sim.property, (double) sim.at_us / 1e6, sim.text);
    }
    read_history(o, hooks.history, ret_result);
    history_free(hooks.history);
    scenario_release(&s);
}

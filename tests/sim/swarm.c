/*
 * swarm.c - a scenario from a seed: the cluster, its limits, its workload, and which faults happen
 * when. What the faults are is in swarm_nodes.c, swarm_network.c and swarm_damage.c.
 */
#include "tests/sim/swarm.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/sim/swarm_internal.h"

#define SWARM_SALT UINT64_C(0x737761726d)

enum { STEPS_BUDGET = 1500, MILLISECOND = 1000, SECOND = 1000000 };

/* Draws. */

void swarm_fork(const struct swarm *w, uint32_t domain, struct rng *ret_rng)
{
    rng_init(ret_rng, hash64_mix(hash64_mix(SWARM_SALT, w->seed), domain));
}

uint64_t swarm_pick(struct rng *rng, const uint64_t *choices, uint32_t count)
{
    return choices[rng_below(rng, count)];
}

/* Between the two, each magnitude as likely as the next. */
static uint64_t by_magnitude(struct rng *rng, struct sim_span span)
{
    uint64_t low = u64_max(span.min, 1);
    uint64_t high = low;
    uint64_t magnitudes = 0;
    while (high < span.max && high <= UINT64_MAX / 2) {
        high *= 2;
        magnitudes++;
    }
    low <<= magnitudes == 0 ? 0 : rng_below(rng, magnitudes);
    return u64_min(rng_between(rng, low, 2 * low), u64_max(span.max, low));
}

uint64_t swarm_around(struct rng *rng, uint64_t us)
{
    return by_magnitude(rng, (struct sim_span){us / 2, 2 * us});
}

uint64_t swarm_lasting(struct storm *storm)
{
    uint64_t election = storm->w->election_us;
    uint64_t draw = rng_below(&storm->rng, 20);
    return draw < 9    ? rng_between(&storm->rng, election / 50, 3 * election / 2)
           : draw < 17 ? rng_between(&storm->rng, election, 5 * election)
                       : rng_between(&storm->rng, 5 * election, 15 * election);
}

uint32_t swarm_node(struct storm *storm)
{
    return (uint32_t) rng_between(&storm->rng, 1, storm->w->s->nodes);
}

uint32_t swarm_node_or_leader(struct storm *storm)
{
    uint32_t node = swarm_node(storm);
    return rng_chance(&storm->rng, 2, 5) ? SIM_NODE_LEADER : node;
}

void swarm_shuffle(struct rng *rng, uint32_t *ret_numbers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t) rng_between(rng, 0, i);
        ret_numbers[i] = ret_numbers[at];
        ret_numbers[at] = i + 1;
    }
}

void swarm_emit(struct swarm *w, struct sim_step step)
{
    if (step.at_us >= w->end_us || w->budget == 0) {
        return;
    }
    if (w->reserved_us != 0 && step.at_us >= w->reserved_at_us) {
        step.at_us += w->reserved_us;
    } else if (w->reserved_us != 0 && step.at_us + step.for_us > w->reserved_at_us) {
        step.for_us = w->reserved_at_us - step.at_us;
    }
    w->budget--;
    scenario_add(w->s, &step);
}

/* The cluster. */

static void draw_cluster(struct swarm *w)
{
    static const uint64_t sizes[] = {1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 5, 5, 5, 5, 5, 5, 6, 7};
    struct rng rng;
    swarm_fork(w, DOMAIN_CLUSTER, &rng);
    uint64_t nodes = swarm_pick(&rng, sizes, ARRAY_SIZE(sizes));
    bool liveness = rng_chance(&rng, 1, 4);
    w->s->nodes = w->options.nodes != 0 ? w->options.nodes : (uint32_t) nodes;
    w->s->mode = w->options.mode >= 0 ? (uint8_t) w->options.mode
                 : liveness           ? SIM_LIVENESS
                                      : SIM_SAFETY;
}

/* Production's, or as fast as the disks and the network just allow: more happens in less time. */
static void draw_timeouts(struct swarm *w)
{
    struct rng rng;
    struct scenario *s = w->s;
    uint64_t *o = s->options;
    swarm_fork(w, DOMAIN_TIMEOUTS, &rng);
    bool fast = rng_chance(&rng, s->mode == SIM_LIVENESS ? 7 : 5, 10);
    bool usual = rng_chance(&rng, 1, 3);
    uint64_t fast_us = rng_between(&rng, 50, 200) * MILLISECOND;
    uint64_t slow_us = rng_between(&rng, 300, 1200) * MILLISECOND;
    w->election_us = fast ? fast_us : usual ? o[OPTION_ELECTION] : slow_us;
    uint64_t election = w->election_us;
    o[OPTION_ELECTION] = election;
    if (fast || !usual) {
        o[OPTION_HEARTBEAT] = election / rng_between(&rng, 5, 12);
        o[OPTION_RESEND] = election / rng_between(&rng, 1, 8);
        o[OPTION_BACKOFF_MIN] = election / rng_between(&rng, 20, 200);
        o[OPTION_BACKOFF_MAX] = election * rng_between(&rng, 2, 10) / 5;
        o[OPTION_DISK_STUCK] = election * rng_between(&rng, 2, 8);
        o[OPTION_RETRY] = election * rng_between(&rng, 2, s->mode == SIM_LIVENESS ? 3 : 6) / 2;
        o[OPTION_READ_RETRY] = election / rng_between(&rng, 1, 6);
        o[OPTION_GOSSIP] = election / rng_between(&rng, 1, 8);
        o[OPTION_FLUSH] = rng_between(&rng, 1, 100) * MILLISECOND;
    }
    uint64_t seconds = s->mode == SIM_LIVENESS ? 25 : 60;
    s->length_us =
        fast ? election * rng_between(&rng, 50, 250) : rng_between(&rng, 10, seconds) * SECOND;
    /* Some runs break before there is a leader. */
    w->begin_us = rng_chance(&rng, 1, 4) ? 1 : 3 * election;
    w->end_us = s->length_us;
}

/* Limits: each one is production's or one that is reached. */
static uint64_t maybe_small(struct rng *rng, uint64_t usual, struct sim_span small)
{
    bool keep = rng_chance(rng, 1, 2);
    uint64_t drawn = by_magnitude(rng, small);
    return keep ? usual : drawn;
}

/* A call that waits for one of these is not answered in time, which liveness asks for. */
static bool slows_calls(uint32_t option)
{
    return option == OPTION_CALL_BYTES || option == OPTION_APPLY_LAG || option == OPTION_UNWRITTEN;
}

static void draw_limits(struct swarm *w)
{
    struct rng rng;
    uint64_t *o = w->s->options;
    swarm_fork(w, DOMAIN_LIMITS, &rng);
    static const struct {
        uint8_t option; /* enum scenario_option */
        struct sim_span small;
    } limits[] = {
        {OPTION_TRIM_KEEP, {1, 500}},
        {OPTION_LOG_MEMORY, {1, 1 << 16}},
        {OPTION_LOG_SLOTS, {64, 512}},
        {OPTION_BATCH_COMMANDS, {1, 64}},
        {OPTION_BATCH_BYTES, {64, 1 << 14}},
        {OPTION_INFLIGHT, {1, 32}},
        {OPTION_MESSAGE_BYTES, {256, 1 << 16}},
        {OPTION_CACHE_BYTES, {1, 1 << 13}},
        {OPTION_DISK_BUFFER, {4096, 1 << 17}},
        {OPTION_CALL_BYTES, {256, 1 << 14}},
        {OPTION_APPLY_LAG, {1, 16}},
        {OPTION_UNWRITTEN, {256, 1 << 14}},
    };
    for (uint32_t i = 0; i < ARRAY_SIZE(limits); i++) {
        uint64_t drawn = maybe_small(&rng, o[limits[i].option], limits[i].small);
        if (w->s->mode == SIM_SAFETY || !slows_calls(limits[i].option)) {
            o[limits[i].option] = drawn;
        }
    }
    bool few_calls = rng_chance(&rng, 1, 10) && w->s->mode == SIM_SAFETY;
    uint64_t calls = rng_between(&rng, 1, 6);
    bool few_sessions = rng_chance(&rng, 1, 10);
    uint64_t sessions = rng_between(&rng, 16, 64);
    o[OPTION_CALLS] = few_calls ? calls : o[OPTION_CALLS];
    o[OPTION_SESSIONS] = few_sessions ? sessions : o[OPTION_SESSIONS];
    o[OPTION_WIRE] = rng_chance(&rng, 1, 4) ? 1 : 0;
    bool bare = rng_chance(&rng, 1, 5) && w->s->mode == SIM_SAFETY;
    for (uint32_t i = OPTION_PRE_VOTE; i <= OPTION_QUORUM_CONNECTED; i++) {
        bool on = rng_chance(&rng, 1, 2);
        o[i] = bare && !on ? 0 : 1; /* safety is not their business */
    }
}
STATIC_ASSERT(OPTION_PRE_VOTE + 1 == OPTION_CHECK_QUORUM &&
                  OPTION_CHECK_QUORUM + 1 == OPTION_QUORUM_CONNECTED,
              "the flags are drawn in one loop");

/* Workload. */

static void draw_mix(struct scenario *s, struct rng *rng)
{
    uint32_t sum = 0;
    bool writes = rng_chance(rng, 1, 8);
    for (uint32_t i = 0; i < SIM_OPS; i++) {
        uint32_t weight = rng_chance(rng, 3, 4) ? (uint32_t) rng_between(rng, 1, 4) : 0;
        bool read = i == SIM_OP_GET || i == SIM_OP_LOCAL;
        s->mix[i] = i == SIM_OP_COMPACT ? (weight > 2 ? 1 : 0) : writes && read ? 0 : 2 * weight;
        sum += s->mix[i];
    }
    s->mix[SIM_OP_PUT] += sum < 4 ? 4 : 0; /* something must be written */
}

static void draw_workload(struct swarm *w)
{
    struct rng rng;
    struct scenario *s = w->s;
    swarm_fork(w, DOMAIN_WORKLOAD, &rng);
    bool fast = w->election_us <= 200 * MILLISECOND;
    s->clients = (uint32_t) by_magnitude(&rng, (struct sim_span){1, 16});
    s->keys = (uint32_t) rng_between(&rng, 1, 8);
    /* Calls a second of all clients, as long as answers take no time. */
    bool calm = s->mode == SIM_LIVENESS; /* all calls are answered, so no more than can be */
    uint64_t rate = fast ? by_magnitude(&rng, (struct sim_span){100, calm ? 300 : 2500})
                         : by_magnitude(&rng, (struct sim_span){20, calm ? 100 : 400});
    uint64_t think = s->clients * (uint64_t) SECOND / rate;
    bool steady = rng_chance(&rng, 1, 2);
    s->think = (struct sim_span){steady ? think / 2 : 0, steady ? think * 3 / 2 : think * 2};
    s->timeout_us = w->election_us * rng_between(&rng, 2, 12);
    if (s->mode == SIM_LIVENESS) {
        s->timeout_us += 8 * u64_max(w->election_us, s->options[OPTION_RETRY]);
    }
    s->retry_percent = (uint32_t) rng_below(&rng, 5) * 25;
    draw_mix(s, &rng);
}

/* Speeds: whatever lets an election come to an end. */

static struct sim_span fitting(struct rng *rng, const struct sim_span *spans, uint32_t count,
                               uint64_t most_us)
{
    while (count > 1 && spans[count - 1].max > most_us) {
        count--;
    }
    return spans[rng_below(rng, count)];
}

static void draw_speeds(struct swarm *w)
{
    static const struct sim_span delays[] = {{50, 500}, {100, 3000}, {1000, 10000}, {5000, 40000}};
    static const struct sim_span logs[] = {{50, 300}, {100, 1500}, {500, 10000}, {5000, 50000}};
    static const struct sim_span states[] = {{100, 1000}, {500, 5000}, {2000, 40000}};
    static const struct sim_span reads[] = {{20, 200}, {50, 2000}, {1000, 20000}};
    struct rng rng;
    struct scenario *s = w->s;
    swarm_fork(w, DOMAIN_SPEEDS, &rng);
    s->delay = fitting(&rng, delays, ARRAY_SIZE(delays), w->election_us / 10);
    s->log_disk = fitting(&rng, logs, ARRAY_SIZE(logs), w->election_us / 5);
    s->state_disk = fitting(&rng, states, ARRAY_SIZE(states), w->election_us / 4);
    s->reads = fitting(&rng, reads, ARRAY_SIZE(reads), w->election_us / 10);
    uint64_t loss = rng_below(&rng, 20);
    uint64_t most = loss < 11                              ? 0
                    : loss < 17                            ? 100
                    : loss < 19 || s->mode == SIM_LIVENESS ? 500
                                                           : 1500;
    s->loss_permyriad = (uint32_t) rng_between(&rng, 0, most);
    uint64_t twice = rng_below(&rng, 20);
    s->duplicate_permyriad = (uint32_t) rng_between(&rng, 0,
                                                    twice < 9    ? 0
                                                    : twice < 16 ? 100
                                                                 : 1000);
}

/* No two clocks run alike. */
static void draw_clocks(struct swarm *w)
{
    struct rng rng;
    swarm_fork(w, DOMAIN_CLOCKS, &rng);
    uint64_t most = rng_chance(&rng, 1, 2) ? 0 : rng_chance(&rng, 1, 4) ? 20000 : 200;
    for (uint32_t i = 1; i <= w->s->nodes && most > 0; i++) {
        const struct sim_step step = {.kind = STEP_CLOCK_DRIFT,
                                      .a = i,
                                      .amount =
                                          (int64_t) rng_below(&rng, 2 * most + 1) - (int64_t) most};
        scenario_add(w->s, &step);
    }
}

/* Storms. */

static const struct {
    void (*make)(struct storm *storm, uint64_t at_us);
    uint32_t needs;
} FAULTS[] = {
#define X(name, needs) {swarm_fault_##name, needs},
    SWARM_FAULT_MAP(X)
#undef X
};

/* Whether anything may begin: storms with calm between them, or one long storm. */
struct weather {
    uint64_t storm_us; /* 0: it never ends */
    uint64_t calm_us;
};

static bool stormy(const struct weather *weather, uint64_t since_us)
{
    uint64_t cycle = weather->storm_us + weather->calm_us;
    return cycle == 0 || since_us % cycle < weather->storm_us;
}

/* What is cut is joined when the calm begins, and mostly what is down starts. */
static void clear_up(struct swarm *w, struct rng *rng, const struct weather *weather)
{
    uint64_t cycle = weather->storm_us + weather->calm_us;
    for (uint64_t at = w->begin_us + weather->storm_us; cycle != 0 && at < w->end_us; at += cycle) {
        swarm_emit(w, (struct sim_step){.at_us = at, .kind = STEP_HEAL});
        if (rng_chance(rng, 3, 4)) {
            swarm_emit(w, (struct sim_step){.at_us = at, .kind = STEP_RESTART, .a = SIM_NODE_ALL});
        }
    }
}

static void blow(struct swarm *w, uint32_t fault, const struct weather *weather, uint64_t every_us)
{
    struct storm storm = {.w = w};
    swarm_fork(w, DOMAIN_FAULTS + fault, &storm.rng);
    uint64_t at = w->begin_us + rng_between(&storm.rng, 0, every_us);
    while (at < w->end_us) {
        if (stormy(weather, at - w->begin_us)) {
            FAULTS[fault].make(&storm, at);
        }
        at += rng_between(&storm.rng, every_us / 2, 3 * every_us / 2) + 1;
    }
}

static uint32_t choose_faults(const struct swarm *w, struct rng *rng, bool ret_on[])
{
    uint64_t style = rng_below(rng, 20);
    uint64_t one = rng_below(rng, ARRAY_SIZE(FAULTS));
    uint64_t percent = rng_between(rng, 10, 60);
    uint32_t count = 0;
    for (uint32_t i = 0; i < ARRAY_SIZE(FAULTS); i++) {
        bool drawn = rng_chance(rng, percent, 100);
        ret_on[i] = style < 2 ? false : style < 6 ? i == one : style < 18 ? drawn : true;
        ret_on[i] = ret_on[i] && w->s->nodes >= FAULTS[i].needs;
        count += ret_on[i] ? 1 : 0;
    }
    return count;
}

static void storms(struct swarm *w)
{
    struct rng rng;
    bool on[ARRAY_SIZE(FAULTS)];
    struct weather weather = {0, 0};
    swarm_fork(w, DOMAIN_CHOICE, &rng);
    for (uint32_t i = 1; i <= SIM_NODES_MAX; i++) {
        w->failing[i] = (uint8_t) rng_between(&rng, SIM_CALL_WRITE, SIM_CALL_SYNC);
    }
    /* How often something happens at all, shared by the kinds there are. */
    uint64_t every = by_magnitude(&rng, (struct sim_span){w->election_us / 4, w->election_us * 8});
    if (rng_chance(&rng, 3, 5)) {
        weather.storm_us = w->election_us * rng_between(&rng, 5, 20);
        weather.calm_us = w->election_us * rng_between(&rng, 5, 15);
    }
    uint32_t count = choose_faults(w, &rng, on);
    clear_up(w, &rng, &weather);
    for (uint64_t i = 0; i < 3 && w->s->mode == SIM_LIVENESS; i++) {
        /* Disks that were going to fail have done so. */
        swarm_emit(w, (struct sim_step){.at_us = w->end_us / 12 * (9 + i),
                                        .kind = STEP_RESTART,
                                        .a = SIM_NODE_ALL});
    }
    for (uint32_t i = 0; i < ARRAY_SIZE(FAULTS); i++) {
        uint64_t factor = rng_between(&rng, 1, 4);
        if (on[i]) {
            blow(w, i, &weather, every * count * factor / 2);
        }
    }
}

void swarm_scenario(const struct engine_ops *engine, uint64_t seed,
                    const struct swarm_options *options, struct scenario *ret_scenario)
{
    struct swarm w = {.s = ret_scenario, .options = *options, .seed = seed, .budget = STEPS_BUDGET};
    scenario_init(ret_scenario, engine, seed);
    draw_cluster(&w);
    draw_timeouts(&w);
    draw_limits(&w);
    draw_workload(&w);
    draw_speeds(&w);
    draw_clocks(&w);
    swarm_atlas(&w);
    storms(&w);
    if (ret_scenario->mode == SIM_LIVENESS) {
        swarm_end_liveness(&w);
    }
    ASSERT(scenario_check(ret_scenario, NULL) == OK);
}

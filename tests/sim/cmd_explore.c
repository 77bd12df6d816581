/*
 * cmd_explore.c - synod-sim explore: all runs of a small cluster, within budgets. See explore.h.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tests/sim/cmd.h"
#include "tests/sim/explore.h"

enum { TEXT_MAX = 4096, MILLION = 1000000 };

enum flag {
    OPT_HELP,
    OPT_ENGINE,
    OPT_START,
    OPT_NODES,
    OPT_COMMANDS,
    OPT_READS,
    OPT_TIMEOUTS,
    OPT_CRASHES,
    OPT_DUPLICATES,
    OPT_PRODUCT,
    OPT_FIFO,
    OPT_INSTANT_DISK,
    OPT_SMALL_MESSAGES,
    OPT_HISTORIES,
    OPT_DEPTH,
    OPT_STATES_MAX,
    OPT_OBSERVE,
    OPT_SECONDS,
    OPT_REPLAY,
};

static const char *const starts[] = {
#define X(name, word) word,
    EXPLORE_START_MAP(X)
#undef X
        NULL};

static const struct cli_flag flags[] = {
    [OPT_HELP] = CMD_HELP_FLAG,
    [OPT_ENGINE] = {"engine", 'e', FLAG_TEXT, "ENGINE", NULL, NULL},
    [OPT_START] = {"start", 0, FLAG_CHOICE, "START", NULL, starts},
    [OPT_NODES] = {"nodes", 'n', FLAG_NUMBER, "N", NULL, NULL},
    [OPT_COMMANDS] = {"commands", 0, FLAG_NUMBER, "N", NULL, NULL},
    [OPT_READS] = {"reads", 0, FLAG_NUMBER, "N", NULL, NULL},
    [OPT_TIMEOUTS] = {"timeouts", 0, FLAG_NUMBER, "N", NULL, NULL},
    [OPT_CRASHES] = {"crashes", 0, FLAG_NUMBER, "N", NULL, NULL},
    [OPT_DUPLICATES] = {"duplicates", 0, FLAG_NUMBER, "N", NULL, NULL},
    [OPT_PRODUCT] = {"product", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [OPT_FIFO] = {"fifo", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [OPT_INSTANT_DISK] = {"instant-disk", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [OPT_SMALL_MESSAGES] = {"small-messages", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [OPT_HISTORIES] = {"histories", 0, FLAG_SWITCH, NULL, NULL, NULL},
    [OPT_DEPTH] = {"depth", 0, FLAG_NUMBER, "N", NULL, NULL},
    [OPT_STATES_MAX] = {"states-max", 0, FLAG_NUMBER, "N", NULL, NULL},
    [OPT_OBSERVE] = {"observe", 0, FLAG_NUMBER, "N", NULL, NULL},
    [OPT_SECONDS] = {"seconds", 0, FLAG_NUMBER, "T", NULL, NULL},
    [OPT_REPLAY] = {"replay", 0, FLAG_TEXT, "PATH", NULL, NULL},
};

static const char help[] =
    "Usage: synod-sim explore [--engine ENGINE|all] [FLAG...]\n"
    "       synod-sim explore --replay PATH\n"
    "\n"
    "Visits every state that a small cluster of real engines can get into by any\n"
    "order of deliveries, losses, disk completions, time-outs, proposals and\n"
    "crashes, within budgets, and checks the properties in each. Breadth first: the\n"
    "first violation has a shortest path.\n"
    "\n"
    "  -e, --engine ENGINE  raft, multipaxos, paxos or all (default)\n"
    "  --start START        empty; quiet: what the nodes say at the start is\n"
    "                       delivered; led: a node leads and all is calm (default);\n"
    "                       split: two nodes stand, or propose, at the same moment\n"
    "  -n, --nodes N        1 to 5 nodes (3)\n"
    "  --commands N         proposals in all, by any node that takes them: 0 to 4\n"
    "                       (2)\n"
    "  --reads N            linearizable reads in all, at any node: 0 to 2 (0)\n"
    "  --timeouts N         deadlines that pass, of all nodes together: 0 to 15 (2)\n"
    "  --crashes N          power losses with restart: 0 to 15 (1)\n"
    "  --duplicates N       messages delivered once more: 0 to 15 (0)\n"
    "  --product            with pre-vote, check-quorum and quorum-connected\n"
    "                       election, as in production; without it they are off and\n"
    "                       the budgets reach further\n"
    "  --fifo               links keep the order of messages, but still lose any:\n"
    "                       reaches deeper\n"
    "  --instant-disk       writes are durable at once: reaches deeper\n"
    "  --small-messages     at most one entry in each message\n"
    "  --depth N            at most N steps (0: until the budgets are used up)\n"
    "  --states-max N       at most N states (20000000); one takes about 100 bytes\n"
    "  --observe N          run N of the paths once more under the simulator's\n"
    "                       observer (1000)\n"
    "  --seconds T          at most T seconds an engine\n"
    "  --histories          tell states of a node apart by all it was given: needs\n"
    "                       no knowledge of the engines, and reaches less far\n"
    "  --replay PATH        the steps of a path as a violation prints it, with the\n"
    "                       states\n"
    "\n"
    "Exit codes: 0 no violation; 1 a violation; 2 wrong usage; 130 interrupted.\n";

struct clock {
    uint64_t end_us; /* UINT64_MAX: none */
};

static bool should_stop(void *ctx)
{
    const struct clock *clock = ctx;
    return cmd_interrupts() > 0 || (clock->end_us != UINT64_MAX && cmd_now_us() >= clock->end_us);
}

static unsigned long long llu(uint64_t v)
{
    return v;
}

static void print_text(const struct buf *text)
{
    ERR_IGNORE(
        (int) fwrite(text->data, 1, text->size, stdout)); /* a closed stdout is no violation */
}

static int number(const struct cli_args *args, enum flag flag, uint32_t max, uint32_t *at,
                  struct buf *error)
{
    const struct cli_value *v = &args->values[flag];
    if (!v->set) {
        return OK;
    }
    if (v->number > max) {
        ERR_IGNORE(buf_printf(error, "--%s %s: at most %u", flags[flag].name, v->text, max));
        return ERR_INVALID;
    }
    *at = (uint32_t) v->number;
    return OK;
}

static int options_of(const struct cli_args *args, struct explore_options *o, struct buf *error)
{
    const struct {
        enum flag flag;
        uint32_t max;
        uint32_t *at;
    } numbers[] = {
        {OPT_NODES, EXPLORE_NODES_MAX, &o->nodes},
        {OPT_COMMANDS, EXPLORE_COMMANDS_MAX, &o->commands},
        {OPT_READS, EXPLORE_READS_MAX, &o->reads},
        {OPT_TIMEOUTS, EXPLORE_BUDGET_MAX, &o->timeouts},
        {OPT_CRASHES, EXPLORE_BUDGET_MAX, &o->crashes},
        {OPT_DUPLICATES, EXPLORE_BUDGET_MAX, &o->duplicates},
        {OPT_DEPTH, UINT32_MAX, &o->depth},
        {OPT_OBSERVE, UINT32_MAX, &o->observe},
    };
    for (uint32_t k = 0; k < ARRAY_SIZE(numbers); k++) {
        if (number(args, numbers[k].flag, numbers[k].max, numbers[k].at, error) != OK) {
            return ERR_INVALID;
        }
    }
    if (args->values[OPT_STATES_MAX].set && args->values[OPT_STATES_MAX].number < 1) {
        ERR_IGNORE(buf_printf(error, "--states-max 0: at least 1"));
        return ERR_INVALID;
    }
    if (args->values[OPT_STATES_MAX].set) {
        o->states_max = (uint64_t) args->values[OPT_STATES_MAX].number;
    }
    if (args->values[OPT_START].set) {
        o->start = (uint8_t) args->values[OPT_START].number;
    }
    uint32_t nodes_min = o->start == EXPLORE_SPLIT ? 2 : 1;
    if (o->nodes < nodes_min) {
        ERR_IGNORE(buf_printf(error, "--nodes %u: at least %u with --start %s", o->nodes, nodes_min,
                              explore_start_name(o->start)));
        return ERR_INVALID;
    }
    o->product = args->values[OPT_PRODUCT].set;
    o->fifo = args->values[OPT_FIFO].set;
    o->instant_disk = args->values[OPT_INSTANT_DISK].set;
    o->small_messages = args->values[OPT_SMALL_MESSAGES].set;
    o->histories = args->values[OPT_HISTORIES].set;
    return OK;
}

static void print_red(const struct explore_result *r)
{
    printf("\nVIOLATION %s: %s\n\n", r->property, r->text);
    print_text(&r->path);
    printf("\n%s explore --replay ", cmd_program());
    print_text(&r->code);
    printf("\n");
}

/* One engine; true: green. */
static bool explore_one(struct explore_options o, int64_t seconds)
{
    struct explore_result r;
    uint64_t begin_us = cmd_now_us();
    struct clock clock = {.end_us =
                              seconds < 0 ? UINT64_MAX : begin_us + (uint64_t) seconds * MILLION};
    o.stop = should_stop;
    o.ctx = &clock;
    printf("%s from %s%s%s%s%s: %u nodes, %u commands, %u reads, %u time-outs, %u crashes, %u "
           "duplicates\n",
           engine_name(o.engine), explore_start_name(o.start), o.product ? ", product" : "",
           o.fifo ? ", fifo" : "", o.instant_disk ? ", instant disk" : "",
           o.small_messages ? ", small messages" : "", o.nodes, o.commands, o.reads, o.timeouts,
           o.crashes, o.duplicates);
    (void) fflush(stdout); /* it takes a while */
    explore_run(&o, &r);
    uint64_t us = u64_max(cmd_now_us() - begin_us, 1);
    printf("  %llu states, %llu transitions, %.1f s, %.0f states/s\n", llu(r.states),
           llu(r.transitions), (double) us / MILLION, (double) r.states * MILLION / (double) us);
    printf("  depth %u complete, %u reached; ended by %s\n", r.depth_complete, r.depth_reached,
           r.bound);
    printf("  single nodes: %llu states, %llu inputs run, %llu repeated; %llu different messages\n",
           llu(r.local_states), llu(r.local_steps), llu(r.replayed), llu(r.messages));
    printf("  at most %llu slots chosen and %llu epochs led; %llu states after a crash; %llu "
           "choices beyond the tables; %llu paths observed\n",
           llu(r.chosen_max), llu(r.led_max), llu(r.crashed), llu(r.beyond), llu(r.observed));
    bool red = r.red;
    if (red) {
        print_red(&r);
    }
    explore_result_release(&r);
    return !red;
}

static int replay(const char *code, struct buf *error)
{
    struct explore_result r;
    if (explore_replay(code, &r, error) != OK) {
        return cmd_fail("explore", "%.*s", (int) error->size, (const char *) error->data);
    }
    bool red = r.red;
    print_text(&r.path);
    if (red) {
        printf("VIOLATION %s: %s\n", r.property, r.text);
    } else {
        printf("no violation on this path of %u steps\n", r.depth_reached);
    }
    explore_result_release(&r);
    return red ? CMD_RED : CMD_GREEN;
}

static int explore(const struct cli_args *args, struct buf *error)
{
    struct explore_options o;
    const struct engine_ops *engine = NULL;
    const struct cli_value *name = &args->values[OPT_ENGINE];
    int64_t seconds = args->values[OPT_SECONDS].set ? args->values[OPT_SECONDS].number : -1;
    if (name->set && strcmp(name->text, "all") != 0 &&
        cmd_engine(name->text, &engine, error) != OK) {
        return cmd_fail("explore", "%.*s", (int) error->size, (const char *) error->data);
    }
    explore_options_init(&o, engine);
    if (options_of(args, &o, error) != OK) {
        return cmd_fail("explore", "%.*s", (int) error->size, (const char *) error->data);
    }
    int code = CMD_GREEN;
    cmd_catch_interrupts();
    for (uint32_t k = 0; engine_at(k) != NULL && cmd_interrupts() == 0; k++) {
        if (engine == NULL || engine == engine_at(k)) {
            o.engine = engine_at(k);
            code = explore_one(o, seconds) ? code : CMD_RED;
        }
    }
    return code == CMD_GREEN && cmd_interrupts() > 0 ? CMD_INTERRUPTED : code;
}

int cmd_explore(int argc, char **argv)
{
    struct cli_args args;
    struct buf error;
    int code;
    buf_init(&error, TEXT_MAX);
    if (cli_parse("synod-sim explore", flags, ARRAY_SIZE(flags), argc, argv, &args, &error) != OK) {
        fprintf(stderr, "%.*s\n", (int) error.size, (const char *) error.data);
        code = CMD_USAGE;
    } else if (args.values[OPT_HELP].set) {
        fputs(help, stdout);
        code = CMD_GREEN;
    } else if (args.words_count > 0) {
        code = cmd_fail("explore", "`%s`: no arguments are expected, only flags", args.words[0]);
    } else if (args.values[OPT_REPLAY].set) {
        code = replay(args.values[OPT_REPLAY].text, &error);
    } else {
        code = explore(&args, &error);
    }
    buf_release(&error);
    return code;
}

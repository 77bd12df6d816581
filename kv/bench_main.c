/*
 * bench_main.c - synod-bench: load over the project's own gRPC client, against synod or against
 * etcd.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kv/bench_cpu.h"
#include "kv/bench_load.h"

enum { ENDPOINTS_MAX = 64, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3 };

static const char usage[] =
    "usage: synod-bench put|get [options]\n"
    "\n"
    "Puts load on a Synod or etcd cluster; reports throughput, latency and the servers' CPU.\n"
    "\n"
    "  --endpoints LIST     host:port,... (127.0.0.1:2379); IP addresses\n"
    "  --connections N      TCP connections, spread over the endpoints (8)\n"
    "  --clients N          calls under way at most, spread over the connections (256)\n"
    "  --value-size BYTES   of each value (256)\n"
    "  --key-size BYTES     of each key (16)\n"
    "  --key-space N        different keys (100000)\n"
    "  --sequential         keys in order instead of at random\n"
    "  --total N            stop after N calls\n"
    "  --duration SECONDS   or after this time (10)\n"
    "  --warmup SECONDS     calls begun before are not measured (1)\n"
    "  --rate N             calls a second (open loop); 0: as fast as answers come (0)\n"
    "  --consistency l|s    of gets: linearizable or serializable (l)\n"
    "  --timeout SECONDS    of a call (10)\n"
    "  --seed N             of keys and values (1)\n"
    "  --server-pids LIST   processes whose CPU is measured; else those of this machine that\n"
    "                       listen on the endpoints' ports\n"
    "  -w simple|json       output\n"
    "\n"
    "Open loop: latency counts from the moment a call was due, so stalls are not hidden.\n"
    "Exit: 0 all calls answered, 1 some failed, 2 wrong usage, 3 an endpoint does not answer.\n"
    "\n"
    "  synod-bench put --clients 256 --duration 10\n"
    "  synod-bench get --consistency s --endpoints 127.0.0.1:2379,127.0.0.1:22379\n";

struct bench_setup {
    struct bench_options options;
    struct bench_endpoint endpoints[ENDPOINTS_MAX];
    struct bench_pids pids;
    bool json;
    uint64_t servers_us; /* CPU when measuring began */
    uint64_t self_us;
};

enum option_id {
    OPT_ENDPOINTS = 1,
    OPT_CONNECTIONS,
    OPT_CLIENTS,
    OPT_VALUE_SIZE,
    OPT_KEY_SIZE,
    OPT_KEY_SPACE,
    OPT_SEQUENTIAL,
    OPT_TOTAL,
    OPT_DURATION,
    OPT_WARMUP,
    OPT_RATE,
    OPT_CONSISTENCY,
    OPT_TIMEOUT,
    OPT_SEED,
    OPT_SERVER_PIDS,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"endpoints", required_argument, NULL, OPT_ENDPOINTS},
    {"connections", required_argument, NULL, OPT_CONNECTIONS},
    {"clients", required_argument, NULL, OPT_CLIENTS},
    {"value-size", required_argument, NULL, OPT_VALUE_SIZE},
    {"key-size", required_argument, NULL, OPT_KEY_SIZE},
    {"key-space", required_argument, NULL, OPT_KEY_SPACE},
    {"sequential", no_argument, NULL, OPT_SEQUENTIAL},
    {"total", required_argument, NULL, OPT_TOTAL},
    {"duration", required_argument, NULL, OPT_DURATION},
    {"warmup", required_argument, NULL, OPT_WARMUP},
    {"rate", required_argument, NULL, OPT_RATE},
    {"consistency", required_argument, NULL, OPT_CONSISTENCY},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"seed", required_argument, NULL, OPT_SEED},
    {"server-pids", required_argument, NULL, OPT_SERVER_PIDS},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/* A whole number from min to max, or exit with a line. */
static uint64_t number(const char *name, const char *text, uint64_t min, uint64_t max)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value < min || value > max) {
        (void) fprintf(stderr,
                       "synod-bench: --%s: '%s' is not a number from %" PRIu64 " to %" PRIu64 "\n",
                       name, text, min, max);
        exit(EXIT_USAGE);
    }
    return value;
}

static uint64_t seconds_us(const char *name, const char *text)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= 0) || value > 86400) {
        (void) fprintf(stderr, "synod-bench: --%s: '%s' is not a number of seconds (0 to 86400)\n",
                       name, text);
        exit(EXIT_USAGE);
    }
    return (uint64_t) (value * 1e6);
}

static void add_endpoint(struct bench_setup *b, const char *text)
{
    struct bench_endpoint *e = &b->endpoints[b->options.endpoints_count];
    const char *start = strncmp(text, "http://", 7) == 0 ? text + 7 : text;
    const char *colon = strrchr(start, ':');

    if (b->options.endpoints_count == ENDPOINTS_MAX || colon == NULL || colon == start ||
        (size_t) (colon - start) >= sizeof(e->host)) {
        (void) fprintf(stderr, "synod-bench: --endpoints: '%s' is not host:port\n", text);
        exit(EXIT_USAGE);
    }
    if (start[0] == '[' && colon[-1] == ']') {
        (void) snprintf(e->host, sizeof(e->host), "%.*s", (int) (colon - start - 2), start + 1);
    } else {
        (void) snprintf(e->host, sizeof(e->host), "%.*s", (int) (colon - start), start);
    }
    e->port = (uint16_t) number("endpoints", colon + 1, 1, UINT16_MAX);
    b->options.endpoints_count++;
}

static void each_item(struct bench_setup *b, const char *list,
                      void (*add)(struct bench_setup *b, const char *item))
{
    char *copy = xstrdup(list);
    char *rest = copy;

    for (char *item = strsep(&rest, ","); item != NULL; item = strsep(&rest, ",")) {
        add(b, item);
    }
    free(copy);
}

static void add_pid(struct bench_setup *b, const char *text)
{
    bench_pids_add(&b->pids, (int32_t) number("server-pids", text, 1, INT32_MAX));
}

static bool one_of_two(const char *name, const char *text, const char *no, const char *yes)
{
    if (strcmp(text, no) != 0 && strcmp(text, yes) != 0) {
        (void) fprintf(stderr, "synod-bench: %s: '%s' is neither %s nor %s\n", name, text, no, yes);
        exit(EXIT_USAGE);
    }
    return strcmp(text, yes) == 0;
}

static void set_option(struct bench_setup *b, int id, const char *arg)
{
    struct bench_options *o = &b->options;

    switch (id) {
    case OPT_ENDPOINTS:
        each_item(b, arg, add_endpoint);
        break;
    case OPT_CONNECTIONS:
        o->connections = (uint32_t) number("connections", arg, 1, 10000);
        break;
    case OPT_CLIENTS:
        o->clients = (uint32_t) number("clients", arg, 1, 1000000);
        break;
    case OPT_VALUE_SIZE:
        o->value_size = (uint32_t) number("value-size", arg, 0, 64 << 20);
        break;
    case OPT_KEY_SIZE:
        o->key_size = (uint32_t) number("key-size", arg, 2, 1024);
        break;
    case OPT_KEY_SPACE:
        o->key_space = number("key-space", arg, 1, UINT64_MAX / 2);
        break;
    case OPT_SEQUENTIAL:
        o->sequential = true;
        break;
    case OPT_TOTAL:
        o->total = number("total", arg, 1, UINT64_MAX / 2);
        o->warmup_us = 0;
        break;
    case OPT_DURATION:
        o->duration_us = seconds_us("duration", arg);
        break;
    case OPT_WARMUP:
        o->warmup_us = seconds_us("warmup", arg);
        break;
    case OPT_RATE:
        o->rate = number("rate", arg, 0, 10000000);
        break;
    case OPT_CONSISTENCY:
        o->serializable = one_of_two("--consistency", arg, "l", "s");
        break;
    case OPT_TIMEOUT:
        o->timeout_us = seconds_us("timeout", arg);
        break;
    case OPT_SEED:
        o->seed = number("seed", arg, 0, UINT64_MAX / 2);
        break;
    case OPT_SERVER_PIDS:
        each_item(b, arg, add_pid);
        break;
    case 'w':
        b->json = one_of_two("-w", arg, "simple", "json");
        break;
    case OPT_HELP:
    case 'h':
        (void) fputs(usage, stdout);
        exit(0);
    default:
        (void) fputs("synod-bench: see synod-bench --help\n", stderr);
        exit(EXIT_USAGE);
    }
}

static void parse(struct bench_setup *b, int argc, char **argv)
{
    int id;

    b->options = (struct bench_options){
        .endpoints = b->endpoints,
        .connections = 8,
        .clients = 256,
        .value_size = 256,
        .key_size = 16,
        .key_space = 100000,
        .duration_us = 10 * 1000000,
        .warmup_us = 1000000,
        .timeout_us = 10 * 1000000,
        .seed = 1,
    };
    while ((id = getopt_long(argc, argv, "w:h", long_options, NULL)) != -1) {
        set_option(b, id, optarg);
    }
    if (optind != argc - 1 ||
        (strcmp(argv[optind], "put") != 0 && strcmp(argv[optind], "get") != 0)) {
        (void) fputs("synod-bench: say put or get; see synod-bench --help\n", stderr);
        exit(EXIT_USAGE);
    }
    b->options.kind = strcmp(argv[optind], "get") == 0 ? BENCH_GET : BENCH_PUT;
    if (b->options.endpoints_count == 0) {
        add_endpoint(b, "127.0.0.1:2379");
    }
    if (b->options.clients < b->options.connections) {
        b->options.connections = b->options.clients;
    }
    if (b->pids.count > 0) {
        return;
    }
    for (uint32_t i = 0; i < b->options.endpoints_count; i++) {
        bench_pids_add_listener(&b->pids, b->endpoints[i].port);
    }
}

static void on_measure(void *ctx)
{
    struct bench_setup *b = ctx;

    b->servers_us = bench_cpu_us(&b->pids);
    b->self_us = bench_cpu_self_us();
}

static double per_op(uint64_t us, uint64_t ops)
{
    return ops == 0 ? 0 : (double) us / (double) ops;
}

static void print_json(const struct bench_setup *b, const struct bench_result *r, double rate)
{
    const struct histogram *h = &r->latency_us;
    json_t *out =
        json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "op",
                  b->options.kind == BENCH_GET ? "get" : "put", "done", (json_int_t) r->done,
                  "failed", (json_int_t) r->failed, "late", (json_int_t) r->late, "seconds",
                  (double) r->elapsed_us / 1e6, "ops_per_second", rate, "mean_us",
                  (json_int_t) histogram_mean(h), "p50_us",
                  (json_int_t) histogram_quantile(h, 500000), "p99_us",
                  (json_int_t) histogram_quantile(h, 990000), "p999_us",
                  (json_int_t) histogram_quantile(h, 999000), "max_us", (json_int_t) h->max,
                  "server_processes", (json_int_t) b->pids.count, "server_cpu_us_per_op",
                  per_op(b->servers_us, r->done), "client_cpu_us_per_op",
                  per_op(b->self_us, r->done));

    (void) json_dumpf(out, stdout, JSON_COMPACT | JSON_REAL_PRECISION(8));
    (void) putchar('\n');
    json_decref(out);
}

static void print_simple(const struct bench_setup *b, const struct bench_result *r, double rate)
{
    const struct histogram *h = &r->latency_us;

    (void) printf("%s: %" PRIu64 " done, %" PRIu64 " failed in %.2f s: %.0f a second\n",
                  b->options.kind == BENCH_GET ? "get" : "put", r->done, r->failed,
                  (double) r->elapsed_us / 1e6, rate);
    (void) printf("latency: mean %.2f ms, p50 %.2f, p99 %.2f, p99.9 %.2f, max %.2f\n",
                  (double) histogram_mean(h) / 1e3, (double) histogram_quantile(h, 500000) / 1e3,
                  (double) histogram_quantile(h, 990000) / 1e3,
                  (double) histogram_quantile(h, 999000) / 1e3, (double) h->max / 1e3);
    if (b->pids.count > 0) {
        (void) printf("CPU an operation: %.1f us in %u server processes, %.1f us in this client\n",
                      per_op(b->servers_us, r->done), b->pids.count, per_op(b->self_us, r->done));
    } else {
        (void) printf("CPU an operation: %.1f us in this client; no server process found here\n",
                      per_op(b->self_us, r->done));
    }
    if (r->late > 0) {
        (void) printf("%" PRIu64 " turns with no free client for a call that was due\n", r->late);
    }
    if (r->failed > 0) {
        (void) printf("first failure: %s\n", r->first_error);
    }
}

int main(int argc, char **argv)
{
    static struct bench_setup setup;
    static struct bench_result result;
    struct buf error;
    double rate;
    int err;

    (void) signal(SIGPIPE, SIG_IGN); /* fails only for a bad signal */
    parse(&setup, argc, argv);
    setup.options.on_measure = on_measure;
    setup.options.ctx = &setup;
    buf_init(&error, 4096);
    err = bench_run(&setup.options, &result, &error);
    if (err != OK) {
        (void) fprintf(stderr, "synod-bench: %.*s\n", (int) error.size, (const char *) error.data);
        buf_release(&error);
        return EXIT_UNREACHABLE;
    }
    buf_release(&error);
    setup.servers_us = bench_cpu_us(&setup.pids) - setup.servers_us;
    setup.self_us = bench_cpu_self_us() - setup.self_us;
    rate = result.elapsed_us == 0 ? 0 : (double) result.done * 1e6 / (double) result.elapsed_us;
    if (setup.json) {
        print_json(&setup, &result, rate);
    } else {
        print_simple(&setup, &result, rate);
    }
    return result.failed == 0 && result.done > 0 ? 0 : 1;
}

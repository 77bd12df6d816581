/*
 * main.c - load for the tests of real processes: keeps a cluster busy while its nodes die, and
 * writes down what it was promised.
 *
 *     load ENDPOINT,... FILE PREFIX [WRITES_PER_SECOND [WORKERS]]
 *
 * Runs until stdin ends, then waits for its open calls, prints one line of totals and exits 0. Most
 * workers put keys that are written once ("k/PREFIX/N"), the others raise shared counters ("c/N")
 * by read and compare-and-swap. FILE is appended to, one line and one write() for each result:
 *
 *     put KEY VALUE REVISION         acknowledged
 *     inc KEY NUMBER REVISION        acknowledged: the counter is NUMBER since REVISION
 *     unknown KEY VALUE TEXT         may be applied, now or later
 *     refused KEY VALUE TEXT         certainly never applied (K3 in properties.md)
 *     violation TEXT                 an answer that no correct cluster gives
 *
 * Violations seen from here, as operations of all workers have one clock: a read or write that
 * began after the answer of another has an older revision (K4), a read that does not show what was
 * acknowledged before it began (R9, K1). What is in FILE is compared with the cluster elsewhere
 * (tests/process/acknowledged.py).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <uv.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kv/client.h"
#include "proto/wire_kv.h"

enum {
    COUNTERS = 4,
    COUNTER_SHARE = 4, /* one worker in so many raises counters */
    WORKERS_MAX = 256,
    KEY_SIZE = 128,
    VALUE_SIZE = 257,
    LINE_SIZE = 1024,
    TICK_MS = 2,
    ATTEMPT_MS = 1000, /* a paused node does not hold a call for longer */
    TIMEOUT_MS = 30000,
    PAUSE_MS = 100, /* of a worker after a failure */
    ARENA_MAX = 1 << 20,
};

struct worker {
    struct load *load;
    struct client *client;
    bool counts; /* raises counters instead of putting keys */
    bool busy;
    uint64_t not_before_ms;
    int64_t revision_floor; /* the highest one known when the operation began */
    uint32_t counter;
    int64_t number_floor; /* the counter's number known when the operation began */
    int64_t number;       /* what the counter becomes */
    char key[KEY_SIZE];
    char value[VALUE_SIZE];
};

struct load {
    uv_loop_t loop;
    uv_timer_t timer;
    uv_pipe_t control; /* stdin */
    char control_bytes[64];
    struct client *clients[CLIENT_ENDPOINTS_MAX];
    uint32_t clients_count;
    struct worker workers[WORKERS_MAX];
    uint32_t workers_count;
    uint32_t next_worker;
    struct arena arena;
    struct rng rng;
    const char *prefix;
    uint64_t rate;
    uint64_t tokens_us; /* credit, in microseconds times rate */
    uint64_t last_us;
    uint64_t keys;
    int64_t revision_seen;         /* the highest one in any answer */
    int64_t number_seen[COUNTERS]; /* the highest one acknowledged or read */
    uint64_t acknowledged;
    uint64_t unknown;
    uint64_t refused;
    uint64_t violations;
    bool stopping;
    bool closed;
    int fd;
};

static void fail(const char *what)
{
    (void) fprintf(stderr, "load: %s\n", what);
    exit(2);
}

/* One line, one write: nothing is left half written when the test kills us. */
static void note(struct load *l, const char *format, ...)
{
    char line[LINE_SIZE];
    va_list args;
    size_t size;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    size = n < 0 ? 0 : strlen(line);
    line[size] = '\n';
    if (write(l->fd, line, size + 1) != (ssize_t) (size + 1)) {
        fail("cannot write the file of results");
    }
}

static void violation(struct worker *w, const char *what, int64_t have, int64_t least)
{
    w->load->violations++;
    note(w->load, "violation %s: %s: %" PRId64 ", at least %" PRId64 " was known before", w->key,
         what, have, least);
}

/* Ends a worker's operation. */
static void rest(struct worker *w, bool failed)
{
    w->busy = false;
    w->not_before_ms = failed ? uv_now(&w->load->loop) + PAUSE_MS : 0;
}

/* Decodes an answer and checks its revision; false when the call did not end well, which is noted.
 */
static bool answer_of(struct worker *w, const struct client_result *result, uint8_t kind,
                      struct api_response *ret_response)
{
    struct load *l = w->load;

    if (result->outcome != CLIENT_OK) {
        if (kind != OP_RANGE) {
            l->unknown += result->unknown;
            l->refused += !result->unknown;
            note(l, "%s %s %s %s", result->unknown ? "unknown" : "refused", w->key, w->value,
                 result->text);
        }
        rest(w, true);
        return false;
    }
    arena_reset(&l->arena);
    if (wire_response_decode(kind, blob_bytes(result->message), &l->arena, NULL, ret_response) !=
        OK) {
        l->violations++;
        note(l, "violation %s: the answer does not decode", w->key);
        rest(w, true);
        return false;
    }
    if (ret_response->revision < w->revision_floor) {
        violation(w, "revision of an answer", ret_response->revision, w->revision_floor);
    }
    if (ret_response->revision > l->revision_seen) {
        l->revision_seen = ret_response->revision;
    }
    return true;
}

static void send_call(struct worker *w, const char *path, bool write_call, struct buf *request,
                      void (*on_done)(void *ctx, const struct client_result *result))
{
    struct client_request call = {
        .path = path,
        .message = blob_copy(buf_bytes(request)),
        .write = write_call,
        .timeout_ms = TIMEOUT_MS,
        .endpoint = CLIENT_ANY,
        .on_done = on_done,
        .ctx = w,
    };

    (void) client_call(w->client, &call); /* its name is not needed: nothing is canceled */
    blob_unref(call.message);
    buf_release(request);
}

/* ---- Keys that are written once ---- */

static void on_put(void *ctx, const struct client_result *result)
{
    struct worker *w = ctx;
    struct api_response response;

    if (!answer_of(w, result, OP_PUT, &response)) {
        return;
    }
    if (response.revision == w->revision_floor) {
        violation(w, "revision of a write", response.revision, w->revision_floor + 1);
    }
    w->load->acknowledged++;
    note(w->load, "put %s %s %" PRId64, w->key, w->value, response.revision);
    rest(w, false);
}

static void begin_put(struct worker *w)
{
    struct load *l = w->load;
    size_t size = (size_t) rng_between(&l->rng, 1, VALUE_SIZE - 1);
    struct put_request put;
    struct buf request;
    int err;

    (void) snprintf(w->key, sizeof(w->key), "k/%.64s/%08" PRIu64, l->prefix, l->keys++);
    for (size_t i = 0; i < size; i++) {
        w->value[i] = (char) ('a' + rng_below(&l->rng, 26));
    }
    w->value[size] = '\0';
    put = (struct put_request){.key = bytes_str(w->key), .value = bytes_str(w->value)};
    buf_init(&request, LINE_SIZE);
    err = wire_put_request_encode(&put, &request);
    ASSERT(err == OK);
    send_call(w, CLIENT_PUT, true, &request, on_put);
}

/* ---- Counters ---- */

static void on_swap(void *ctx, const struct client_result *result)
{
    struct worker *w = ctx;
    struct load *l = w->load;
    struct api_response response;

    if (!answer_of(w, result, OP_TXN, &response)) {
        return;
    }
    if (response.txn.succeeded) {
        if (response.revision == w->revision_floor) {
            violation(w, "revision of a write", response.revision, w->revision_floor + 1);
        }
        l->acknowledged++;
        note(l, "inc %s %" PRId64 " %" PRId64, w->key, w->number, response.revision);
        if (w->number > l->number_seen[w->counter]) {
            l->number_seen[w->counter] = w->number;
        }
    }
    rest(w, false); /* otherwise another worker was faster */
}

static void begin_swap(struct worker *w, int64_t mod_revision)
{
    const struct compare compare = {
        .result = COMPARE_EQUAL,
        .target = COMPARE_MOD,
        .key = bytes_str(w->key),
        .number = mod_revision,
    };
    const struct txn_op put = {
        .kind = OP_PUT,
        .put = {.key = bytes_str(w->key), .value = bytes_str(w->value)},
    };
    const struct txn_request txn = {
        .compares = &compare,
        .compares_count = 1,
        .success = &put,
        .success_count = 1,
    };
    struct buf request;
    int err;

    w->revision_floor = w->load->revision_seen;
    buf_init(&request, LINE_SIZE);
    err = wire_txn_request_encode(&txn, &request);
    ASSERT(err == OK);
    send_call(w, CLIENT_TXN, true, &request, on_swap);
}

static void on_read(void *ctx, const struct client_result *result)
{
    struct worker *w = ctx;
    struct load *l = w->load;
    struct api_response response;
    int64_t mod_revision = 0;
    int64_t number = 0;

    if (!answer_of(w, result, OP_RANGE, &response)) {
        return;
    }
    if (response.range.kvs_count > 0) {
        const struct api_kv *kv = &response.range.kvs[0];
        char text[32];
        size_t size = kv->value.size < sizeof(text) ? kv->value.size : sizeof(text) - 1;

        memcpy(text, kv->value.data, size);
        text[size] = '\0';
        number = strtoll(text, NULL, 10);
        mod_revision = kv->mod_revision;
    }
    if (number < w->number_floor) {
        violation(w, "stale read", number, w->number_floor);
    }
    if (number > l->number_seen[w->counter]) {
        l->number_seen[w->counter] = number; /* no later read may show less */
    }
    w->number = number + 1;
    (void) snprintf(w->value, sizeof(w->value), "%" PRId64, w->number);
    begin_swap(w, mod_revision);
}

static void begin_count(struct worker *w)
{
    struct load *l = w->load;
    struct range_request range = {.key = {NULL, 0}};
    struct buf request;
    int err;

    w->counter = (uint32_t) rng_below(&l->rng, COUNTERS);
    w->number_floor = l->number_seen[w->counter];
    (void) snprintf(w->key, sizeof(w->key), "c/%u", w->counter);
    range.key = bytes_str(w->key);
    buf_init(&request, LINE_SIZE);
    err = wire_range_request_encode(&range, &request);
    ASSERT(err == OK);
    send_call(w, CLIENT_RANGE, false, &request, on_read);
}

/* ---- The loop ---- */

static void begin(struct worker *w)
{
    w->busy = true;
    w->revision_floor = w->load->revision_seen;
    if (w->counts) {
        begin_count(w);
    } else {
        begin_put(w);
    }
}

/* The next worker without an operation, in turn; NULL when all are busy. */
static struct worker *idle_worker(struct load *l)
{
    for (uint32_t i = 0; i < l->workers_count; i++) {
        struct worker *w = &l->workers[l->next_worker];

        l->next_worker = (l->next_worker + 1) % l->workers_count;
        if (!w->busy && w->not_before_ms <= uv_now(&l->loop)) {
            return w;
        }
    }
    return NULL;
}

static void close_all(struct load *l)
{
    for (uint32_t i = 0; i < l->workers_count; i++) {
        if (l->workers[i].busy) {
            return;
        }
    }
    l->closed = true;
    uv_close((uv_handle_t *) &l->timer, NULL);
    for (uint32_t i = 0; i < l->clients_count; i++) {
        client_close(l->clients[i], NULL, NULL);
    }
}

/* Begins what the rate allows; credit of a time when all workers were busy is not kept. */
static void on_timer(uv_timer_t *timer)
{
    struct load *l = timer->data;
    uint64_t now = uv_hrtime() / 1000;
    struct worker *w;

    if (l->closed) {
        return;
    }
    if (l->stopping) {
        close_all(l);
        return;
    }
    l->tokens_us += (now - l->last_us) * l->rate;
    l->last_us = now;
    while (l->tokens_us >= 1000000 && (w = idle_worker(l)) != NULL) {
        l->tokens_us -= 1000000;
        begin(w);
    }
    l->tokens_us %= 1000000;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct load *l = handle->data;

    (void) suggested;
    *ret_buf = uv_buf_init(l->control_bytes, sizeof(l->control_bytes));
}

static void on_control(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct load *l = stream->data;

    (void) buf;
    if (n < 0 && !l->stopping) {
        l->stopping = true;
        uv_close((uv_handle_t *) stream, NULL);
    }
}

static void make_clients(struct load *l, char *list)
{
    const char *endpoints[CLIENT_ENDPOINTS_MAX];
    struct client_options options;
    struct buf error;
    uint32_t count = 0;

    for (char *word = strtok(list, ","); word != NULL; word = strtok(NULL, ",")) {
        if (count < CLIENT_ENDPOINTS_MAX) {
            endpoints[count++] = word;
        }
    }
    client_options_init(&options);
    options.endpoints = endpoints;
    options.endpoints_count = count;
    options.attempt_ms = ATTEMPT_MS;
    options.backoff_max_ms = 200;
    buf_init(&error, LINE_SIZE);
    for (uint32_t i = 0; i < count || i == 0; i++) {
        options.first = i;
        options.seed = rng_u64(&l->rng);
        if (client_new(&l->loop, &options, &l->clients[i], &error) != OK) {
            fail("an endpoint does not parse");
        }
        l->clients_count++;
    }
    buf_release(&error);
}

static void make_workers(struct load *l)
{
    for (uint32_t i = 0; i < l->workers_count; i++) {
        struct worker *w = &l->workers[i];

        w->load = l;
        w->client = l->clients[i / COUNTER_SHARE % l->clients_count];
        w->counts = i % COUNTER_SHARE == 0;
    }
}

static void start(struct load *l)
{
    uint64_t seed = 0;

    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t) sizeof(seed)) {
        fail("no random numbers");
    }
    rng_init(&l->rng, seed);
    arena_init(&l->arena, 4096, ARENA_MAX);
    if (uv_loop_init(&l->loop) != 0) {
        fail("no event loop");
    }
    ERR_IGNORE(uv_timer_init(&l->loop, &l->timer)); /* these two make no system call */
    ERR_IGNORE(uv_pipe_init(&l->loop, &l->control, 0));
    l->timer.data = l;
    l->control.data = l;
    if (uv_pipe_open(&l->control, STDIN_FILENO) != 0 ||
        uv_read_start((uv_stream_t *) &l->control, on_alloc, on_control) != 0) {
        fail("stdin is not a pipe; its end is what stops this program");
    }
}

int main(int argc, char **argv)
{
    struct load *l = xcalloc(1, sizeof(*l));

    if (argc < 4) {
        fail("usage: load ENDPOINT,... FILE PREFIX [WRITES_PER_SECOND [WORKERS]]");
    }
    (void) signal(SIGPIPE, SIG_IGN); /* fails only for a bad signal */
    l->prefix = argv[3];
    l->rate = argc > 4 ? strtoull(argv[4], NULL, 10) : 1000;
    l->workers_count = argc > 5 ? (uint32_t) strtoul(argv[5], NULL, 10) : 24;
    if (l->rate == 0 || l->workers_count == 0 || l->workers_count > WORKERS_MAX) {
        fail("the rate or the number of workers is out of range");
    }
    l->fd = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (l->fd < 0) {
        fail(strerror(errno));
    }
    start(l);
    make_clients(l, argv[1]);
    make_workers(l);
    l->last_us = uv_hrtime() / 1000;
    ERR_IGNORE(uv_timer_start(&l->timer, on_timer, 0, TICK_MS)); /* fails only when closing */
    ERR_IGNORE(uv_run(&l->loop, UV_RUN_DEFAULT));                /* until all is closed */
    (void) printf("acknowledged=%" PRIu64 " unknown=%" PRIu64 " refused=%" PRIu64
                  " violations=%" PRIu64 "\n",
                  l->acknowledged, l->unknown, l->refused, l->violations);
    ERR_IGNORE(uv_loop_close(&l->loop));
    arena_release(&l->arena);
    close(l->fd);
    free(l);
    return 0;
}

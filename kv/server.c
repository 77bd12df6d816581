/*
 * server.c - the life of a node and its turn.
 *
 * A turn runs once per loop iteration, just before the loop would wait for I/O: time goes in, then
 * everything that the iteration's callbacks have caused comes out and is carried out: writes to the
 * log worker, messages to peers, answers to clients, each flushed once.
 *
 * Stopping: SIGINT or SIGTERM closes the listener, sends GOAWAY, lets open calls finish for up to
 * grace_us, then closes everything. A second signal, or a fatal error, closes at once.
 */
#include "kv/server.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

#include "base/assert.h"
#include "base/diag.h"
#include "base/mem.h"
#include "kv/server_internal.h"

enum {
    TURN_ROUNDS_MAX = 16,
    ERROR_MAX = 4096,
    GOODBYE_US = 500 * 1000, /* connections without calls have this long to leave after GOAWAY */
    FILES_MIN = 128,
    FILES_OWN = 64, /* stores, threads, listeners; about 25 are in use, more while compacting */
};

struct server_loop {
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_timer_t timer;
    uv_idle_t idle; /* active while background work waits: the loop does not sleep */
    uv_signal_t signals[2];
    bool idling;
    bool stopping;
    bool closed;
    uint64_t grace_end_us;
    uint64_t goodbye_end_us;
    uint32_t leader; /* as last logged */
    uint64_t epoch;
    uint8_t role;
    uint64_t left_behind; /* bitmap by peer: told about */
};

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

void server_fail(struct server *s, int err, const char *format, ...)
{
    char text[DIAG_TEXT_MAX];
    va_list args;

    if (s->fatal != OK) {
        return;
    }
    va_start(args, format);
    (void) vsnprintf(text, sizeof(text), format, args); /* a longer line is cut */
    va_end(args);
    s->fatal = err;
    ERR_IGNORE(buf_append(&s->error, (const uint8_t *) text, strlen(text)));
}

static uint64_t disk_size(void *ctx)
{
    struct server *s = ctx;

    server_disk_ask_size(s, now_us());
    return s->disk_size;
}

static void on_idle(uv_idle_t *idle)
{
    (void) idle; /* its being active is the point */
}

static void on_timer(uv_timer_t *timer)
{
    (void) timer; /* wakes the loop; the turn does the work */
}

/* Without snapshots a node that needs trimmed entries never catches up; that must not be silent. */
static void log_left_behind(struct server *s, const struct replica_status *status)
{
    for (uint32_t i = 0; i < status->peers_count; i++) {
        const struct replica_peer_status *peer = &status->peers[i];
        uint64_t bit = UINT64_C(1) << i;

        if (peer->heard_us == 0 || peer->applied + 1 >= status->log_first) {
            s->handles->left_behind &= ~bit;
        } else if ((s->handles->left_behind & bit) == 0) {
            s->handles->left_behind |= bit;
            DIAG_WARN("node %u has applied up to %" PRIu64 " and this log begins at %" PRIu64
                      ": it cannot catch up and serves nothing new; restore its data directory "
                      "from a copy that is not older",
                      peer->id, peer->applied, status->log_first);
        }
    }
}

/* One line per change of role, leader or epoch: what an operator greps for. */
static void log_changes(struct server *s)
{
    struct server_loop *h = s->handles;
    struct replica_status status;
    const struct consensus_status *c = &status.consensus;

    replica_status(s->replica, &status);
    log_left_behind(s, &status);
    if (c->role == h->role && c->leader == h->leader && (c->epoch == h->epoch || c->leader == 0)) {
        return;
    }
    if (c->role == ROLE_LEADER && (h->role != ROLE_LEADER || c->epoch != h->epoch)) {
        DIAG_INFO("became_leader epoch=%" PRIu64 " last_index=%" PRIu64 " commit=%" PRIu64,
                  c->epoch, c->last, c->commit);
    } else if (c->role != ROLE_PROPOSER) {
        DIAG_INFO("%s epoch=%" PRIu64 " leader=%u commit=%" PRIu64, consensus_role_name(c->role),
                  c->epoch, c->leader, c->commit);
    }
    h->role = c->role;
    h->leader = c->leader;
    h->epoch = c->epoch;
}

static void set_idle(struct server_loop *h, bool on)
{
    if (on == h->idling) {
        return;
    }
    h->idling = on;
    if (on) {
        ERR_IGNORE(uv_idle_start(&h->idle, on_idle)); /* fails only without a callback */
    } else {
        ERR_IGNORE(uv_idle_stop(&h->idle));
    }
}

/* Wakes the loop at the replica's deadline; rounded up, so that it is due when we look. */
static void set_timer(struct server *s, uint64_t now)
{
    uint64_t deadline = replica_deadline(s->replica);
    struct server_loop *h = s->handles;

    if (h->stopping) {
        deadline = u64_min(deadline, now < h->goodbye_end_us ? h->goodbye_end_us : h->grace_end_us);
    }
    if (deadline == UINT64_MAX) {
        ERR_IGNORE(uv_timer_stop(&h->timer));
        return;
    }
    ERR_IGNORE(uv_timer_start(&h->timer, on_timer,
                              deadline <= now ? 0 : (deadline - now + 999) / 1000, 0));
}

static void close_all(struct server *s);

static void carry_out(struct server *s)
{
    struct replica_output output;

    for (uint32_t round = 0; round < TURN_ROUNDS_MAX && s->fatal == OK; round++) {
        int err;

        if (round > 0 && !replica_has_output(s->replica)) {
            break;
        }
        err = replica_take(s->replica, &output);
        if (err != OK) {
            server_fail(s, err,
                        "the log holds what this program cannot apply: %s; run the version "
                        "that wrote it",
                        err_text(err));
            break;
        }
        server_disk_carry_out(s, &output);
        for (uint32_t i = 0; i < output.replies_count; i++) {
            api_reply(s->api, &output.replies[i]);
        }
        server_peer_send(s, &output.messages);
    }
}

/* Stopping: every call is answered, and the connections are gone or had their time. */
static bool may_close(const struct server *s, uint64_t now)
{
    const struct server_loop *h = s->handles;

    if (now >= h->grace_end_us) {
        return true;
    }
    return replica_idle(s->replica) && (server_clients_gone(s) || now >= h->goodbye_end_us);
}

static void turn(uv_prepare_t *prepare)
{
    struct server *s = prepare->data;
    struct server_loop *h = s->handles;
    uint64_t now = now_us();

    if (h->closed) {
        return;
    }
    if (s->fatal == OK) {
        replica_tick(s->replica, now);
        api_tick(s->api, now);
        carry_out(s);
    }
    if (s->fatal != OK) {
        close_all(s);
        return;
    }
    transport_flush(s->transport);
    server_clients_flush(s);
    if (s->trace != NULL) {
        trace_json_flush(s->trace);
    }
    log_changes(s);
    if (h->stopping && may_close(s, now)) {
        close_all(s);
        return;
    }
    set_idle(h, replica_busy(s->replica) || replica_has_output(s->replica));
    set_timer(s, now);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    struct server_loop *h = s->handles;

    if (h->stopping) {
        DIAG_INFO("second signal: stopping at once");
        close_all(s);
        return;
    }
    DIAG_INFO("%s: stopping; open calls may finish", number == SIGINT ? "SIGINT" : "SIGTERM");
    h->stopping = true;
    h->grace_end_us = now_us() + s->options->grace_us;
    h->goodbye_end_us = u64_min(h->grace_end_us, now_us() + GOODBYE_US);
    replica_stop(s->replica);
    server_clients_shutdown(s);
}

static void on_transport_closed(void *ctx)
{
    struct server *s = ctx;

    s->transport = NULL;
}

/* Closes every handle; the loop ends when their callbacks have run. */
static void close_all(struct server *s)
{
    struct server_loop *h = s->handles;

    if (h->closed) {
        return;
    }
    h->closed = true;
    server_disk_stop(s); /* what is queued still becomes durable */
    server_clients_close(s);
    if (s->transport != NULL) {
        transport_close(s->transport, on_transport_closed, s);
    }
    uv_close((uv_handle_t *) &h->prepare, NULL);
    uv_close((uv_handle_t *) &h->timer, NULL);
    uv_close((uv_handle_t *) &h->idle, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(h->signals); i++) {
        uv_close((uv_handle_t *) &h->signals[i], NULL);
    }
}

/* Initialising these handles makes no system call that can fail, except for signals. */
static int start_handles(struct server *s, struct buf *error)
{
    const int numbers[] = {SIGINT, SIGTERM};
    struct server_loop *h = s->handles;

    ERR_IGNORE(uv_prepare_init(s->loop, &h->prepare));
    ERR_IGNORE(uv_timer_init(s->loop, &h->timer));
    ERR_IGNORE(uv_idle_init(s->loop, &h->idle));
    h->prepare.data = s;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        ERR_IGNORE(uv_signal_init(s->loop, &h->signals[i]));
        h->signals[i].data = s;
    }
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        if (uv_signal_start(&h->signals[i], on_signal, numbers[i]) != 0) {
            ERR_IGNORE(buf_printf(error, "cannot watch for signals"));
            return ERR_IO;
        }
    }
    ERR_IGNORE(uv_prepare_start(&h->prepare, turn));
    return OK;
}

static int make_replica(struct server *s, struct buf *error)
{
    struct replica_options options = s->options->replica;
    int err;

    options.incarnation = s->data.incarnation;
    if (s->options->trace_path != NULL) {
        err = trace_json_new(s->options->trace_path, &s->trace, error);
        if (err != OK) {
            return err;
        }
        options.consensus.trace = trace_json_sink(s->trace);
    }
    /* Random choices differ between nodes and between lives of a node. */
    options.consensus.seed =
        uv_hrtime() ^ ((uint64_t) s->options->identity.node << 32) ^ (s->data.incarnation << 40);
    err = replica_new(&options, &s->data.recovery, s->data.mvcc, &s->replica);
    if (err != OK) {
        ERR_IGNORE(buf_printf(error, "data directory %s: %s: log and state do not fit together",
                              s->options->data_dir, err_text(err)));
        return err;
    }
    s->data.mvcc = NULL; /* the replica's now */
    return OK;
}

static int open_data(struct server *s, struct buf *error)
{
    const struct server_options *o = s->options;
    const struct node_data_options options = {
        .dir = o->data_dir,
        .log_store = logstore_by_name(o->log_store),
        .state_store = store_by_name(o->state_store),
        .log_write_buffer = o->log_write_buffer,
        .state_write_buffer = o->state_write_buffer,
        .state_cache = o->state_cache,
        .identity = &o->identity,
        .mvcc = &o->replica.mvcc,
        .create = o->create,
    };

    if (options.log_store == NULL || options.state_store == NULL) {
        bool log = options.log_store == NULL;

        ERR_IGNORE(buf_printf(error, "storage.%s: no store is called '%s'", log ? "log" : "state",
                              log ? o->log_store : o->state_store));
        return ERR_INVALID;
    }
    return node_data_open(&options, &s->data, error);
}

/*
 * Connections get the open files that nothing else needs: if LevelDB could not open its next file,
 * the write would fail and the node stop (D6), and whoever may connect could bring that about.
 * LevelDB keeps at most a fifth of the limit open for reading (MaxOpenFiles in its env_posix.cc),
 * which it asks for when the first database is opened.
 */
static int share_files(struct server *s, struct buf *error)
{
    const struct server_options *o = s->options;
    struct rlimit limit;
    uint64_t files;
    uint64_t peers;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        ERR_IGNORE(buf_printf(error, "cannot read the limit of open files"));
        return ERR_IO;
    }
    limit.rlim_cur = limit.rlim_max;
    ERR_IGNORE(setrlimit(RLIMIT_NOFILE, &limit)); /* else it stays as it was, and is read below */
    ERR_IGNORE(getrlimit(RLIMIT_NOFILE, &limit)); /* worked just now */
    files = limit.rlim_cur;
    if (files < FILES_MIN) {
        ERR_IGNORE(buf_printf(error,
                              "the limit of open files is %" PRIu64 ", at least %d are needed; "
                              "raise it (ulimit -n)",
                              files, FILES_MIN));
        return ERR_LIMIT;
    }
    peers = u64_max(files / 8, o->transport.peers_count);
    s->peers_max = (uint32_t) u64_min(o->transport.connections_max, peers);
    files -= u64_min(files, FILES_OWN + files / 5 + o->transport.peers_count + s->peers_max);
    s->clients_max = (uint32_t) u64_min(o->connections_max, u64_max(files, 1));
    return OK;
}

static int start(struct server *s, struct buf *error)
{
    struct api_options api = s->options->api;
    int err = share_files(s, error);

    if (err != OK) {
        return err;
    }
    err = open_data(s, error);
    if (err != OK) {
        return err;
    }
    err = make_replica(s, error);
    if (err != OK) {
        return err;
    }
    s->disk_size = logstore_disk_size(s->data.log) + store_disk_size(s->data.state);
    api.disk_size = disk_size;
    api.ctx = s;
    s->api = api_new(&api, s->replica);
    err = server_disk_start(s, error);
    if (err != OK) {
        return err;
    }
    replica_tick(s->replica, now_us());
    api_tick(s->api, now_us());
    err = server_peer_start(s, error);
    if (err != OK) {
        return err;
    }
    return server_clients_start(s, error);
}

static void log_start(const struct server *s)
{
    const struct server_options *o = s->options;
    struct replica_status status;

    replica_status(s->replica, &status);
    DIAG_INFO("node %s (id %u, engine %s, incarnation %" PRIu64 "): %s data in %s, log to %" PRIu64
              ", applied %" PRIu64 ", revision %" PRId64 ", %" PRIu64 " keys",
              o->node_name, o->identity.node, engine_name(o->replica.engine), s->data.incarnation,
              s->data.created ? "new" : "recovered", o->data_dir, status.consensus.last,
              status.applied, status.revision, status.keys);
    DIAG_INFO("serving clients on %s:%u, peers on %s:%u", o->client_host, o->client_port,
              o->transport.listen_host, o->transport.listen_port);
}

static void release(struct server *s)
{
    server_clients_free(s);
    api_free(s->api);
    replica_free(s->replica);
    if (s->fatal == ERR_STALE) {
        /* Else it would come nearer to what it forgot with each start, and pass at last. If this
         * fails the next start finds out anew, as a rule. */
        ERR_IGNORE(logstore_condemn(s->data.log, s->stale_seen));
    }
    trace_json_free(s->trace);
    node_data_close(&s->data);
    arena_release(&s->peer_arena);
    buf_release(&s->peer_head);
    buf_release(&s->hello);
    buf_release(&s->error);
}

int server_run(const struct server_options *options, struct buf *error)
{
    struct server_loop handles = {0};
    struct server s = {.options = options, .handles = &handles, .loop = &handles.loop};
    int err;

    buf_init(&s.error, ERROR_MAX);
    arena_init(&s.peer_arena, 1024, 1024); /* replaced when peers start */
    if (uv_loop_init(s.loop) != 0) {
        ERR_IGNORE(buf_printf(error, "cannot make an event loop: raise the limit of open files"));
        return ERR_IO;
    }
    err = start_handles(&s, error);
    if (err == OK) {
        err = start(&s, error);
    }
    if (err == OK) {
        log_start(&s);
        ERR_IGNORE(uv_run(s.loop, UV_RUN_DEFAULT)); /* until close_all has closed every handle */
        err = s.fatal;
        ERR_IGNORE(buf_append(error, s.error.data, s.error.size));
    } else {
        close_all(&s);
        ERR_IGNORE(uv_run(s.loop, UV_RUN_DEFAULT));
    }
    release(&s);
    if (uv_loop_close(s.loop) != 0) {
        DIAG_ERROR("a handle was left open at the end");
    }
    if (err == OK) {
        DIAG_INFO("stopped");
    }
    return err;
}

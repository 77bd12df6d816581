/*
 * cli_cluster_run.c - the processes of a local cluster: start, wait until ready, watch, stop.
 *
 *     STARTING  every node is asked for a linearizable read until it answers: then it serves, and
 *               it reaches a quorum
 *     SERVING   until a signal, or until all nodes have ended
 *     STOPPING  SIGTERM to all; whoever is still there after STOP_MS gets SIGKILL
 *
 * Nodes get a session of their own, so that a Ctrl-C in the terminal reaches only us, and they are
 * stopped once, gracefully.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/cli_cluster.h"

enum {
    STOP_MS = 10000, /* longer than a node's own patience with open requests, timing.grace_ms */
    KILL_MS = 5000,
    POLL_MS = 50,
    ASK_TIMEOUT_MS = 1000,
    LINE_MAX_SIZE = 512,
};

#define READY_KEY "synod-cluster-up"

enum phase { STARTING, SERVING, STOPPING };

struct node {
    struct run *run;
    const char *name;
    uv_process_t process;
    uv_timer_t again; /* to the next question */
    uint32_t index;
    bool spawned; /* the process handle is open */
    bool running;
    bool ready;
};

struct run {
    struct cluster *cluster;
    uv_loop_t loop;
    uv_timer_t deadline;
    uv_signal_t signals[3];
    struct client *client;
    struct blob *question;
    struct node *nodes;
    uint32_t nodes_count;
    bool init;     /* no node has data yet: the cluster is new */
    uint8_t phase; /* enum phase */
    int code;      /* of the command */
};

static void stop_all(struct run *r);

/* ---- Nodes ---- */

static uint32_t running_count(const struct run *r)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < r->nodes_count; i++) {
        count += r->nodes[i].running;
    }
    return count;
}

static void on_process_closed(uv_handle_t *handle)
{
    struct node *n = handle->data;

    n->spawned = false;
}

static void tell_exit(const struct node *n, int64_t status, int number)
{
    const struct cluster *c = n->run->cluster;
    char line[LINE_MAX_SIZE];

    if (n->run->phase != STARTING && status == 0 && number == 0) {
        cli_note("%s stopped", n->name);
        return;
    }
    cluster_last_log(c, n->name, line, sizeof(line));
    if (number != 0) {
        cli_note("%s (node %u) was ended by signal %d (%s): last log line: %s", n->name,
                 c->config->cluster.members[n->index].id, number, strsignal(number), line);
    } else {
        cli_note("%s (node %u) exited with code %" PRId64 ": last log line: %s", n->name,
                 c->config->cluster.members[n->index].id, status, line);
    }
}

static void on_exit_of_node(uv_process_t *process, int64_t status, int number)
{
    struct node *n = process->data;
    struct run *r = n->run;

    n->running = false;
    cluster_remove_pid(r->cluster, n->name);
    tell_exit(n, status, number);
    if (r->phase == SERVING && (status != 0 || number != 0)) {
        r->code = CLI_LOCAL;
    }
    uv_close((uv_handle_t *) process, on_process_closed);
    if (r->phase == STARTING) {
        r->code = CLI_LOCAL;
        stop_all(r);
    }
    if (running_count(r) == 0) {
        if (r->phase == SERVING) {
            cli_note("no node is left");
        }
        uv_stop(&r->loop);
    }
}

static int spawn(struct node *n)
{
    struct cluster *c = n->run->cluster;
    const char *log = cluster_path(c, n->name, ".log");
    char *args[] = {
        (char *) (uintptr_t) "synod",
        (char *) (uintptr_t) "serve",
        (char *) (uintptr_t) "--config",
        (char *) (uintptr_t) cluster_path(c, "cluster", ".yaml"),
        (char *) (uintptr_t) "--node",
        (char *) (uintptr_t) n->name,
        (char *) (uintptr_t) "--data-dir",
        (char *) (uintptr_t) cluster_path(c, n->name, ""),
        n->run->init ? (char *) (uintptr_t) "--init" : NULL,
        NULL,
    };
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE}};
    uv_process_options_t options = {
        .exit_cb = on_exit_of_node,
        .file = c->cli->env->program,
        .args = args,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = 3,
    };
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int err;

    if (fd < 0) {
        return cli_fail(c->cli, CLI_LOCAL, "cannot write %s: %s", log, strerror(errno));
    }
    for (uint32_t i = 1; i < 3; i++) {
        stdio[i].flags = UV_INHERIT_FD;
        stdio[i].data.fd = fd;
    }
    n->process.data = n;
    err = uv_spawn(&n->run->loop, &n->process, &options);
    (void) close(fd); /* the node has its own */
    if (err != 0) {
        uv_close((uv_handle_t *) &n->process, on_process_closed);
        return cli_fail(c->cli, CLI_LOCAL, "cannot start %s: %s", n->name, uv_strerror(err));
    }
    n->spawned = true;
    n->running = true;
    return cluster_write_pid(c, n->name, n->process.pid);
}

/* ---- Ready? ---- */

static void ask(struct node *n);

static void on_again(uv_timer_t *timer)
{
    ask(timer->data);
}

static void on_answer(void *ctx, const struct client_result *result)
{
    struct node *n = ctx;
    struct run *r = n->run;
    bool all = true;

    if (r->phase != STARTING) {
        return;
    }
    if (result->outcome != CLIENT_OK) {
        ERR_IGNORE(uv_timer_start(&n->again, on_again, POLL_MS, 0)); /* not closing */
        return;
    }
    n->ready = true;
    for (uint32_t i = 0; i < r->nodes_count; i++) {
        all = all && r->nodes[i].ready;
    }
    if (all) {
        r->phase = SERVING;
        uv_stop(&r->loop);
    }
}

static void ask(struct node *n)
{
    const struct client_request request = {
        .path = CLIENT_RANGE,
        .message = n->run->question,
        .timeout_ms = ASK_TIMEOUT_MS,
        .endpoint = (int32_t) n->index,
        .on_done = on_answer,
        .ctx = n,
    };

    (void) client_call(n->run->client, &request); /* never canceled: its name is not needed */
}

static void on_start_deadline(uv_timer_t *timer)
{
    struct run *r = timer->data;
    char line[LINE_MAX_SIZE];

    for (uint32_t i = 0; i < r->nodes_count; i++) {
        if (!r->nodes[i].ready) {
            cluster_last_log(r->cluster, r->nodes[i].name, line, sizeof(line));
            cli_note("%s does not answer: last log line: %s", r->nodes[i].name, line);
        }
    }
    r->code = CLI_TIMED_OUT;
    stop_all(r);
}

/* ---- Stopping ---- */

static void signal_all(struct run *r, int number)
{
    for (uint32_t i = 0; i < r->nodes_count; i++) {
        if (r->nodes[i].running) {
            ERR_IGNORE(uv_process_kill(&r->nodes[i].process, number)); /* gone: its exit comes */
        }
    }
}

static void on_stop_deadline(uv_timer_t *timer)
{
    struct run *r = timer->data;

    cli_note("some nodes do not stop; ending them with SIGKILL");
    signal_all(r, SIGKILL);
}

static void stop_all(struct run *r)
{
    if (r->phase == STOPPING) {
        return;
    }
    r->phase = STOPPING;
    ERR_IGNORE(uv_timer_start(&r->deadline, on_stop_deadline, STOP_MS, 0)); /* not closing */
    signal_all(r, SIGTERM);
    if (running_count(r) == 0) {
        uv_stop(&r->loop);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct run *r = handle->data;

    if (r->phase == STOPPING) {
        /* A script that was interrupted with us may send its SIGTERM after the terminal's SIGINT:
         * only who presses Ctrl-C again means it. */
        if (number == SIGINT) {
            cli_note("again: ending the nodes with SIGKILL");
            signal_all(r, SIGKILL);
        }
        return;
    }
    cli_note("\nstopping %u nodes; Ctrl-C once more ends them at once", running_count(r));
    stop_all(r);
}

/* ---- The run ---- */

static int start_signals(struct run *r)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        if (uv_signal_start(&r->signals[i], on_signal, numbers[i]) != 0) {
            return cli_fail(r->cluster->cli, CLI_LOCAL, "cannot watch for signals");
        }
    }
    return CLI_OK;
}

static int run_init(struct run *r)
{
    struct cluster *c = r->cluster;
    struct client_options options;
    struct range_request range = {.key = bytes_str(READY_KEY)};
    struct buf request;
    int err;

    if (uv_loop_init(&r->loop) != 0) {
        return cli_fail(c->cli, CLI_LOCAL,
                        "cannot make an event loop: raise the limit of open files");
    }
    ERR_IGNORE(uv_timer_init(&r->loop, &r->deadline)); /* cannot fail */
    r->deadline.data = r;
    for (size_t i = 0; i < ARRAY_SIZE(r->signals); i++) {
        ERR_IGNORE(uv_signal_init(&r->loop, &r->signals[i])); /* its pipe: start says so */
        r->signals[i].data = r;
    }
    client_options_init(&options);
    options.endpoints = c->cli->endpoints;
    options.endpoints_count = c->cli->endpoints_count;
    options.seed = c->cli->env->seed;
    options.backoff_max_ms = POLL_MS;
    err = client_new(&r->loop, &options, &r->client, NULL);
    ASSERT(err == OK); /* the endpoints are made by us */
    buf_init(&request, SIZE_MAX / 2);
    err = wire_range_request_encode(&range, &request);
    ASSERT(err == OK);
    r->question = blob_copy(buf_bytes(&request));
    buf_release(&request);
    r->nodes_count = c->config->cluster.members_count;
    r->nodes = xcalloc(r->nodes_count, sizeof(*r->nodes));
    for (uint32_t i = 0; i < r->nodes_count; i++) {
        struct node *n = &r->nodes[i];

        *n = (struct node){.run = r, .name = c->config->cluster.members[i].name, .index = i};
        ERR_IGNORE(uv_timer_init(&r->loop, &n->again));
        n->again.data = n;
    }
    return CLI_OK;
}

static void run_release(struct run *r)
{
    client_close(r->client, NULL, NULL);
    uv_close((uv_handle_t *) &r->deadline, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(r->signals); i++) {
        uv_close((uv_handle_t *) &r->signals[i], NULL);
    }
    for (uint32_t i = 0; i < r->nodes_count; i++) {
        uv_close((uv_handle_t *) &r->nodes[i].again, NULL);
        if (r->nodes[i].spawned && !uv_is_closing((uv_handle_t *) &r->nodes[i].process)) {
            uv_close((uv_handle_t *) &r->nodes[i].process, on_process_closed); /* it runs on */
        }
    }
    ERR_IGNORE(uv_run(&r->loop, UV_RUN_DEFAULT)); /* until all is closed */
    ERR_IGNORE(uv_loop_close(&r->loop));          /* nothing is left in it */
    blob_unref(r->question);
    free(r->nodes);
}

/* What the user can do now. */
static void tell_ready(struct run *r, bool detach)
{
    struct cluster *c = r->cluster;
    struct cli *cli = c->cli;
    struct cli_node_status rows[CLIENT_ENDPOINTS_MAX];
    const char *program = cli->env->name;

    cli_print(cli, "\n%u node%s ready, engine %s; data and logs in %s\n\n", r->nodes_count,
              r->nodes_count == 1 ? " is" : "s are", c->config->cluster.engine, c->dir_shown);
    if (cli_ask_status(cli, rows) == CLI_OK) {
        cli_print_status(cli, rows);
    }
    /* Its loop is not run any more, and a connection that does not react delays the nodes' stop. */
    client_blocking_free(cli->client);
    cli->client = NULL;
    cli_print(cli, "\nNext:\n  export SYNOD_ENDPOINTS=");
    for (uint32_t i = 0; i < cli->endpoints_count; i++) {
        cli_print(cli, "%s%s", i == 0 ? "" : ",", cli->endpoints[i]);
    }
    cli_print(cli,
              "\n  %s put greeting hello\n  %s get greeting\n  %s status\n"
              "  etcdctl --endpoints $SYNOD_ENDPOINTS get greeting\n",
              program, program, program);
    if (detach) {
        cli_print(cli, "\nThe nodes run in the background; '%s cluster down%s%s' stops them.\n",
                  program, strcmp(c->dir_shown, CLUSTER_DIR_DEFAULT) == 0 ? "" : " --dir ",
                  strcmp(c->dir_shown, CLUSTER_DIR_DEFAULT) == 0 ? "" : c->dir_shown);
    } else {
        cli_print(cli, "\nCtrl-C stops all nodes.\n");
    }
    cli_flush(cli);
}

/* No node has data yet. A single node without is refused by itself: its data was lost. */
static bool is_new(const struct run *r)
{
    for (uint32_t i = 0; i < r->nodes_count; i++) {
        if (access(cluster_path(r->cluster, r->nodes[i].name, "/log"), F_OK) == 0) {
            return false;
        }
    }
    return true;
}

static int start(struct run *r, const struct cluster_up_options *options)
{
    int code = start_signals(r);

    r->init = is_new(r);
    cli_note("starting %u node%s with engine %s ...", r->nodes_count,
             r->nodes_count == 1 ? "" : "s", r->cluster->config->cluster.engine);
    for (uint32_t i = 0; i < r->nodes_count && code == CLI_OK; i++) {
        code = spawn(&r->nodes[i]);
    }
    if (code != CLI_OK) {
        stop_all(r);
        return code;
    }
    for (uint32_t i = 0; i < r->nodes_count; i++) {
        ask(&r->nodes[i]);
    }
    ERR_IGNORE(uv_timer_start(&r->deadline, on_start_deadline, options->wait_ms, 0));
    return CLI_OK;
}

int cluster_run(struct cluster *c, const struct cluster_up_options *options)
{
    struct run r = {.cluster = c};
    int code = cluster_use_endpoints(c);

    if (code == CLI_OK) {
        code = run_init(&r);
    }
    if (code != CLI_OK) {
        return code;
    }
    r.code = start(&r, options);
    if (running_count(&r) > 0) {
        ERR_IGNORE(uv_run(&r.loop, UV_RUN_DEFAULT)); /* until ready, or all are stopped */
    }
    if (r.phase == SERVING) {
        ERR_IGNORE(uv_timer_stop(&r.deadline));
        tell_ready(&r, options->detach);
        if (!options->detach && running_count(&r) > 0) {
            ERR_IGNORE(uv_run(&r.loop, UV_RUN_DEFAULT));
        }
    }
    run_release(&r);
    return r.code;
}

/* ---- Stopping by pid file ---- */

/* One `cluster down`. */
struct down {
    struct cluster *cluster;
    uv_timer_t timer;
    int64_t *pids; /* by member; 0: not running */
    uint64_t waited_ms;
    bool killed;
    int code;
};

/* Forgets nodes that are gone; gives the number of those still there. */
static uint32_t down_look(struct down *d)
{
    const struct config *config = d->cluster->config;
    uint32_t left = 0;

    for (uint32_t i = 0; i < config->cluster.members_count; i++) {
        const char *name = config->cluster.members[i].name;

        if (d->pids[i] == 0) {
            continue;
        }
        if (cluster_is_node(d->cluster, name, d->pids[i])) {
            left++;
            continue;
        }
        cli_print(d->cluster->cli, "%s (pid %" PRId64 ") stopped\n", name, d->pids[i]);
        cli_flush(d->cluster->cli);
        cluster_remove_pid(d->cluster, name);
        d->pids[i] = 0;
    }
    return left;
}

static void down_signal(struct down *d, int number)
{
    const struct config *config = d->cluster->config;

    for (uint32_t i = 0; i < config->cluster.members_count; i++) {
        /* Looked at right before: a pid is soon another's. */
        if (d->pids[i] != 0 &&
            cluster_is_node(d->cluster, config->cluster.members[i].name, d->pids[i])) {
            (void) kill((pid_t) d->pids[i], number); /* gone: the next look finds that */
        }
    }
}

static void on_poll(uv_timer_t *timer)
{
    struct down *d = timer->data;

    if (down_look(d) == 0) {
        uv_close((uv_handle_t *) timer, NULL);
        return;
    }
    d->waited_ms += POLL_MS;
    if (!d->killed && d->waited_ms >= STOP_MS) {
        cli_note("some nodes do not stop; ending them with SIGKILL");
        d->killed = true;
        down_signal(d, SIGKILL);
    } else if (d->waited_ms >= STOP_MS + KILL_MS) {
        d->code = cli_fail(d->cluster->cli, CLI_LOCAL, "some nodes cannot be ended");
        uv_close((uv_handle_t *) timer, NULL);
    }
}

int cluster_stop(struct cluster *c)
{
    uint32_t count = c->config->cluster.members_count;
    struct down d = {.cluster = c, .pids = xcalloc(count, sizeof(*d.pids))};
    uv_loop_t loop;
    uint32_t found = 0;

    for (uint32_t i = 0; i < count; i++) {
        d.pids[i] = cluster_pid(c, c->config->cluster.members[i].name);
        found += d.pids[i] != 0;
    }
    if (found == 0) {
        cli_print(c->cli, "no node of %s is running\n", c->dir_shown);
        goto out;
    }
    if (uv_loop_init(&loop) != 0) {
        d.code =
            cli_fail(c->cli, CLI_LOCAL, "cannot make an event loop: raise the limit of open files");
        goto out;
    }
    down_signal(&d, SIGTERM);
    ERR_IGNORE(uv_timer_init(&loop, &d.timer)); /* these two cannot fail */
    d.timer.data = &d;
    ERR_IGNORE(uv_timer_start(&d.timer, on_poll, POLL_MS, POLL_MS));
    ERR_IGNORE(uv_run(&loop, UV_RUN_DEFAULT)); /* until the timer is closed */
    ERR_IGNORE(uv_loop_close(&loop));          /* nothing is left in it */
out:
    free(d.pids);
    return d.code;
}

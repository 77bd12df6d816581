/*
 * test_process.c - real nodes behind the proxy: how they start, end, stop for a while, lose their
 * power, and what is known of them.
 *
 * Nothing sleeps: the loop runs until a condition holds, and a test fails when it does not within
 * LIMIT_MS, which is far from what any condition needs.
 */
#include "tests/real/process.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "base/mem.h"
#include "kv/config.h"
#include "tests/real/loop_disk.h"
#include "tests/real/netns.h"
#include "tests/real/proxy.h"
#include "tests/support/tempdir.h"

#define LIMIT_MS 60000
#define POLL_MS 5
#define NODES_MOST 3

struct rig {
    uv_loop_t loop;
    uv_timer_t poll;
    char dir[TEMPDIR_PATH_MAX];
    char synod[PROCESS_PATH_MAX];
    char shim[PROCESS_PATH_MAX];
    struct scenario scenario;
    struct real_options real;
    uint16_t peers[NODES_MOST];
    uint16_t clients[NODES_MOST];
    struct link_layer *links;
    struct processes *p;
    struct buf error;
    uint32_t exits;
    uint32_t last_node;
    int last_status;
    char last_said[1024];
    uint32_t closed;
};

static void on_poll(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* Runs the loop until condition(r) holds. */
static void wait_until(struct rig *r, bool (*condition)(struct rig *r), const char *what)
{
    uint64_t end = uv_hrtime() / 1000000 + LIMIT_MS;
    while (!condition(r)) {
        if (uv_hrtime() / 1000000 > end) {
            fail_msg("waited in vain: %s", what);
        }
        (void) uv_run(&r->loop, UV_RUN_DEFAULT);
    }
}

static void on_exit_of_node(void *ctx, uint32_t node, int status, const char *said)
{
    struct rig *r = ctx;
    r->exits++;
    r->last_node = node;
    r->last_status = status;
    (void) snprintf(r->last_said, sizeof r->last_said, "%s", said);
}

static const char *error_text(const struct rig *r)
{
    static char text[1024];
    (void) snprintf(text, sizeof text, "%.*s", (int) r->error.size, (const char *) r->error.data);
    return text;
}

#define CHECK_OK(r, call)                                                                          \
    do {                                                                                           \
        int check_err = (call);                                                                    \
        if (check_err != OK) {                                                                     \
            fail_msg("%s: %s", err_name(check_err), error_text(r));                                \
        }                                                                                          \
    } while (0)

static struct rig *rig_new(uint32_t nodes)
{
    struct rig *r = xcalloc(1, sizeof *r);
    buf_init(&r->error, 4096);
    assert_int_equal(uv_loop_init(&r->loop), 0);
    assert_int_equal(uv_timer_init(&r->loop, &r->poll), 0);
    assert_int_equal(uv_timer_start(&r->poll, on_poll, POLL_MS, POLL_MS), 0);
    tempdir_make(r->dir);
    CHECK_OK(r, process_find("synod", r->synod, &r->error));
    CHECK_OK(r, process_find("shim_preload.so", r->shim, &r->error));
    scenario_init(&r->scenario, engine_by_name("raft"), 1);
    r->scenario.nodes = nodes;
    r->scenario.options[OPTION_ELECTION] = 150000;
    r->scenario.options[OPTION_HEARTBEAT] = 30000;
    r->real = (struct real_options){.synod = r->synod, .shim = r->shim};
    CHECK_OK(r, processes_ports(nodes, r->peers, &r->error));
    /* The second call begins elsewhere or finds the same free ones: ask for all at once. */
    uint16_t all[2 * NODES_MOST];
    CHECK_OK(r, processes_ports(2 * nodes, all, &r->error));
    memcpy(r->peers, all, nodes * sizeof *all);
    memcpy(r->clients, all + nodes, nodes * sizeof *all);
    return r;
}

static void rig_open(struct rig *r, bool loop_disks)
{
    const struct proxy_options links = {.nodes = r->scenario.nodes,
                                        .peer_ports = r->peers,
                                        .seed = 1};
    if (!r->real.netns) {
        CHECK_OK(r, proxy_new(&r->loop, &links, &r->links, &r->error));
    }
    const struct processes_options options = {
        .scenario = &r->scenario,
        .real = &r->real,
        .folder = r->dir,
        .loop_disks = loop_disks,
        .links = r->links,
        .peer_ports = r->peers,
        .client_ports = r->clients,
        .on_exit = on_exit_of_node,
        .ctx = r,
    };
    CHECK_OK(r, processes_new(&r->loop, &options, &r->p, &r->error));
}

static void on_closed(void *ctx)
{
    struct rig *r = ctx;
    r->closed++;
}

static void rig_free(struct rig *r)
{
    uint32_t want = 0;
    if (r->p != NULL) {
        processes_close(r->p, on_closed, r);
        want++;
        while (r->closed < want) { /* before the links: namespaces must be empty */
            (void) uv_run(&r->loop, UV_RUN_DEFAULT);
        }
    }
    if (r->links != NULL) {
        r->links->ops->close(r->links, on_closed, r);
        want++;
    }
    uv_close((uv_handle_t *) &r->poll, NULL);
    (void) uv_run(&r->loop, UV_RUN_DEFAULT);
    assert_int_equal(r->closed, want);
    assert_int_equal(uv_loop_close(&r->loop), 0);
    scenario_release(&r->scenario);
    buf_release(&r->error);
    tempdir_remove(r->dir);
    free(r);
}

/* A failed test leaves through longjmp: what it had is closed by the teardown. */
static struct rig *now;

static struct rig *rig_start(uint32_t nodes)
{
    now = rig_new(nodes);
    rig_open(now, false);
    for (uint32_t i = 1; i <= nodes; i++) {
        CHECK_OK(now, processes_start(now->p, i, &now->error));
    }
    return now;
}

static int teardown(void **state)
{
    (void) state;
    if (now != NULL) {
        rig_free(now);
        now = NULL;
    }
    return 0;
}

static char *read_text(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = xcalloc(1, 1 << 20);
    if (f != NULL) {
        (void) !fread(text, 1, (1 << 20) - 1, f);
        (void) fclose(f);
    }
    return text;
}

static uint32_t count_in(const char *path, const char *words)
{
    char *text = read_text(path);
    uint32_t count = 0;
    for (const char *at = strstr(text, words); at != NULL; at = strstr(at + 1, words)) {
        count++;
    }
    free(text);
    return count;
}

static uint32_t count_all(struct rig *r, const char *words)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i <= r->scenario.nodes; i++) {
        count += count_in(processes_trace(r->p, i), words);
    }
    return count;
}

static bool has_leader(struct rig *r)
{
    return count_all(r, "became_leader") > 0;
}

static bool has_commit(struct rig *r)
{
    return count_all(r, "\"commit\"") >= r->scenario.nodes;
}

static bool has_exit(struct rig *r)
{
    return r->exits > 0;
}

static bool first_started_twice(struct rig *r)
{
    return count_in(processes_trace(r->p, 1), "\"start\"") == 2;
}

static uint32_t leader(struct rig *r)
{
    for (uint32_t i = 1; i <= r->scenario.nodes; i++) {
        if (count_in(processes_trace(r->p, i), "became_leader") > 0) {
            return i;
        }
    }
    return 0;
}

/* A configuration in which nodes find each other through the links, and a cluster of it. */
static void test_process_cluster_elects_through_the_proxy(void **state)
{
    (void) state;
    struct rig *r = rig_start(3);
    struct link_stats stats;
    wait_until(r, has_commit, "a commit on each node");
    uint32_t first = leader(r);
    uint32_t other = first % 3 + 1;
    r->links->ops->stats(r->links, first, other, &stats);
    assert_true(stats.frames > 1); /* after the hello */
    assert_true(stats.bytes > stats.frames * 8);
    assert_int_equal(r->exits, 0);
    assert_true(processes_cpu_us(r->p, first) > 0);
    /* one of a term that was voted for, and one of an entry */
    assert_true(atomic_load(&processes_shim(r->p, first)->log_syncs) >= 2);
    assert_true(atomic_load(&processes_shim(r->p, first)->bytes) > 0);
}

static void test_process_config_says_what_the_scenario_does(void **state)
{
    (void) state;
    struct rig *r = now = rig_new(3);
    r->scenario.options[OPTION_ELECTION] = 7000000; /* above the default of requests */
    r->scenario.options[OPTION_CALLS] = 6;
    r->scenario.options[OPTION_CALL_BYTES] = 65536; /* below the default of one request */
    r->scenario.options[OPTION_PRE_VOTE] = 0;
    r->scenario.timeout_us = 9000000;
    rig_open(r, false);
    char path[TEMPDIR_PATH_MAX + 16];
    struct config *c = NULL;
    char host[64];
    uint16_t port = 0;
    (void) snprintf(path, sizeof path, "%s/n2.yaml", r->dir);
    CHECK_OK(r, config_load(path, &c, &r->error));
    assert_int_equal(c->timing.election_ms, 7000);
    assert_int_equal(c->timing.request_timeout_ms, 9000);
    assert_int_equal(c->limits.calls_max, 6);
    assert_int_equal(c->limits.call_bytes_max, 65536);
    assert_false(c->consensus.pre_vote);
    assert_true(c->consensus.check_quorum);
    assert_int_equal(c->timing.reconnect_max_ms, 100);
    assert_int_equal(c->cluster.members[1].peer.port, r->peers[1]);
    r->links->ops->address(r->links, 2, 3, host, &port);
    assert_int_equal(c->cluster.members[2].peer.port, port);
    assert_int_equal(c->cluster.members[2].client.port, r->clients[2]);
    config_free(c);
}

static void expect_unsupported(enum scenario_option option, uint64_t value, const char *word)
{
    struct scenario s;
    struct buf error;
    scenario_init(&s, engine_by_name("paxos"), 1);
    buf_init(&error, 1024);
    assert_int_equal(processes_supported(&s, &error), OK);
    s.options[option] = value;
    assert_int_equal(processes_supported(&s, &error), ERR_UNSUPPORTED);
    assert_int_equal(buf_append(&error, "", 1), OK);
    assert_non_null(strstr((const char *) error.data, word));
    buf_release(&error);
    scenario_release(&s);
}

static void test_process_options_that_no_configuration_has_are_refused(void **state)
{
    (void) state;
    expect_unsupported(OPTION_HEARTBEAT, 2500, "heartbeat");      /* half a millisecond */
    expect_unsupported(OPTION_LOG_MEMORY, 1, "log-memory");       /* below the range */
    expect_unsupported(OPTION_HEARTBEAT, 400000, "heartbeat_ms"); /* of 500 ms: two keys disagree */
    for (uint32_t i = 0; i < SCENARIO_OPTIONS; i++) {
        bool model = i == OPTION_WIRE || i == OPTION_DISK_BUFFER;
        assert_int_equal(process_option_supported((enum scenario_option) i), !model);
    }
}

static void test_process_killed_node_is_down_and_comes_back(void **state)
{
    (void) state;
    struct rig *r = rig_start(1);
    wait_until(r, has_leader, "a leader");
    uint64_t cpu_us = processes_cpu_us(r->p, 1);
    assert_int_equal(processes_start(r->p, 1, &r->error), ERR_EXISTS);
    processes_kill(r->p, 1);
    assert_false(processes_up(r->p, 1));
    assert_true(processes_cpu_us(r->p, 1) >= cpu_us);
    processes_kill(r->p, 1); /* legal */
    buf_clear(&r->error);
    CHECK_OK(r, processes_start(r->p, 1, &r->error));
    wait_until(r, first_started_twice, "a second life in the same trace");
    assert_true(processes_up(r->p, 1));
    assert_true(processes_cpu_us(r->p, 1) > cpu_us);
    assert_int_equal(r->exits, 0); /* who kills knows it */
}

static void test_process_that_ends_is_told_with_its_last_words(void **state)
{
    (void) state;
    struct rig *r = rig_start(1);
    wait_until(r, has_leader, "a leader");
    assert_int_equal(kill(processes_pid(r->p, 1), SIGTERM), 0);
    wait_until(r, has_exit, "the end of node 1");
    assert_int_equal(r->last_node, 1);
    assert_true(WIFEXITED(r->last_status));
    assert_int_equal(WEXITSTATUS(r->last_status), 0);
    assert_non_null(strstr(r->last_said, "stop"));
    assert_null(strchr(r->last_said, '\n'));
    assert_false(processes_up(r->p, 1));
}

/* D6: a node does not go on after a sync that failed. */
static void test_process_failed_sync_ends_the_node(void **state)
{
    (void) state;
    struct rig *r = rig_start(1);
    wait_until(r, has_leader, "a leader");
    processes_kill(r->p, 1);
    atomic_store(&processes_shim(r->p, 1)->fail_sync_errno, EIO);
    CHECK_OK(r, processes_start(r->p, 1, &r->error)); /* it counts its starts, durably */
    wait_until(r, has_exit, "the end of node 1");
    assert_true(WIFEXITED(r->last_status));
    assert_int_not_equal(WEXITSTATUS(r->last_status), 0);
    assert_int_equal(atomic_load(&processes_shim(r->p, 1)->failed), 1);
}

static void test_process_paused_node_makes_no_step(void **state)
{
    (void) state;
    struct rig *r = rig_start(1);
    char path[64];
    wait_until(r, has_leader, "a leader");
    processes_pause(r->p, 1, true);
    assert_true(processes_paused(r->p, 1));
    assert_true(processes_up(r->p, 1));
    (void) snprintf(path, sizeof path, "/proc/%d/stat", processes_pid(r->p, 1));
    assert_int_equal(count_in(path, ") T "), 1);
    processes_pause(r->p, 1, false);
    assert_false(processes_paused(r->p, 1));
    assert_int_equal(count_in(path, ") T "), 0);
    processes_pause(r->p, 1, true);
    processes_kill(r->p, 1); /* also while it is paused */
    assert_false(processes_paused(r->p, 1));
    assert_false(processes_up(r->p, 1));
}

static void test_process_missing_program_is_told(void **state)
{
    (void) state;
    struct rig *r = now = rig_new(1);
    const struct processes_options options = {.scenario = &r->scenario,
                                              .real = &r->real,
                                              .folder = r->dir,
                                              .peer_ports = r->peers,
                                              .client_ports = r->clients};
    r->real.synod = "/nonexistent/synod";
    assert_int_equal(processes_new(&r->loop, &options, &r->p, &r->error), ERR_NOT_FOUND);
    assert_non_null(strstr(error_text(r), "/nonexistent/synod"));
    r->real.synod = r->synod;
    r->real.shim = "/nonexistent/shim.so";
    assert_int_equal(processes_new(&r->loop, &options, &r->p, &r->error), ERR_NOT_FOUND);
    char none[PROCESS_PATH_MAX];
    assert_int_equal(process_find("no-such-thing", none, &r->error), ERR_NOT_FOUND);
}

static void test_process_ports_are_free_and_different(void **state)
{
    (void) state;
    uint16_t ports[64];
    struct buf error;
    buf_init(&error, 256);
    assert_int_equal(processes_ports(64, ports, &error), OK);
    for (uint32_t i = 0; i < 64; i++) {
        assert_in_range(ports[i], 1024, 32767);
        for (uint32_t j = 0; j < i; j++) {
            assert_int_not_equal(ports[i], ports[j]);
        }
    }
    buf_release(&error);
}

/* D3: a node whose data is gone does not begin anew. */
static void test_process_wiped_node_does_not_start_again(void **state)
{
    (void) state;
    struct rig *r = rig_start(1);
    wait_until(r, has_leader, "a leader");
    processes_kill(r->p, 1);
    tempdir_remove(processes_data(r->p, 1));
    CHECK_OK(r, processes_start(r->p, 1, &r->error));
    wait_until(r, has_exit, "the end of node 1");
    assert_true(WIFEXITED(r->last_status));
    assert_int_not_equal(WEXITSTATUS(r->last_status), 0);
}

/* What cannot be executed is told by start, and is no process. */
static void test_process_program_that_cannot_run_is_told(void **state)
{
    (void) state;
    struct rig *r = now = rig_new(1);
    char path[TEMPDIR_PATH_MAX + 16];
    (void) snprintf(path, sizeof path, "%s/program", r->dir);
    file_write(path, "#!/nonexistent/shell\n");
    assert_int_equal(chmod(path, 0755), 0);
    r->real.synod = path;
    rig_open(r, false);
    assert_int_equal(processes_start(r->p, 1, &r->error), ERR_NOT_FOUND);
    assert_non_null(strstr(error_text(r), path));
    assert_false(processes_up(r->p, 1));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

/* Is the process gone? A dead one that nobody has waited for yet is. */
static pid_t watched;

static bool is_gone(struct rig *r)
{
    char path[64];
    (void) r;
    (void) snprintf(path, sizeof path, "/proc/%d/stat", watched);
    return access(path, F_OK) != 0 || count_in(path, ") Z ") == 1;
}

static void test_process_dies_with_the_harness(void **state)
{
    (void) state;
    struct rig *r = now = rig_new(1);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t harness = fork();
    if (harness == 0) {
        struct rig *mine = rig_new(1);
        rig_open(mine, false);
        CHECK_OK(mine, processes_start(mine->p, 1, &mine->error));
        pid_t pid = processes_pid(mine->p, 1);
        /* the folder is the parent's to remove */
        if (write(ends[1], &pid, sizeof pid) == sizeof pid &&
            write(ends[1], mine->dir, sizeof mine->dir) == sizeof mine->dir) {
            (void) pause();
        }
        _exit(1);
    }
    char dir[TEMPDIR_PATH_MAX];
    assert_int_equal(read(ends[0], &watched, sizeof watched), sizeof watched);
    assert_int_equal(read(ends[0], dir, sizeof dir), sizeof dir);
    assert_false(is_gone(r));
    assert_int_equal(kill(harness, SIGKILL), 0);
    assert_int_equal(waitpid(harness, NULL, 0), harness);
    wait_until(r, is_gone, "the end of the node");
    tempdir_remove(dir);
    (void) close(ends[0]);
    (void) close(ends[1]);
}

static void test_process_power_loss_keeps_what_was_synced(void **state)
{
    (void) state;
    struct rig *r = now = rig_new(1);
    if (loop_disk_available(&r->error) != OK) {
        skip();
    }
    rig_open(r, true);
    CHECK_OK(r, processes_start(r->p, 1, &r->error));
    wait_until(r, has_leader, "a leader"); /* its term is synced, and its folders */
    char path[PROCESS_PATH_MAX];
    (void) snprintf(path, sizeof path, "%s/not-synced", processes_data(r->p, 1));
    processes_kill(r->p, 1); /* any sync of the node would make this durable too */
    file_write(path, "words");
    CHECK_OK(r, processes_power_loss(r->p, 1, &r->error));
    assert_false(processes_up(r->p, 1));
    assert_int_equal(access(path, F_OK), -1);
    CHECK_OK(r, processes_start(r->p, 1, &r->error)); /* not with --init */
    wait_until(r, first_started_twice, "a second life");
    assert_true(processes_up(r->p, 1));
    assert_int_equal(r->exits, 0);
}

static void test_process_power_loss_needs_a_disk(void **state)
{
    (void) state;
    struct rig *r = rig_start(1);
    assert_int_equal(processes_power_loss(r->p, 1, &r->error), ERR_UNSUPPORTED);
    assert_true(processes_up(r->p, 1));
}

/* Devices of disks below a folder. */
static uint32_t count_devices(const char *folder)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < 256; i++) {
        char path[64];
        (void) snprintf(path, sizeof path, "/sys/block/loop%u/loop/backing_file", i);
        count += count_in(path, folder);
    }
    return count;
}

/* The processes of other nodes do not keep a disk that lost its power alive. */
static void test_process_power_loss_in_namespaces_leaves_one_disk(void **state)
{
    (void) state;
    struct rig *r = now = rig_new(2);
    if (loop_disk_available(&r->error) != OK || netns_available(&r->error) != OK) {
        skip();
    }
    r->real.netns = true;
    CHECK_OK(r, netns_new(2, r->peers, &r->links, &r->error));
    rig_open(r, true);
    CHECK_OK(r, processes_start(r->p, 1, &r->error));
    CHECK_OK(r, processes_start(r->p, 2, &r->error));
    wait_until(r, has_commit, "a commit on each node");
    CHECK_OK(r, processes_power_loss(r->p, 1, &r->error));
    assert_int_equal(count_devices(r->dir), 2);
    CHECK_OK(r, processes_start(r->p, 1, &r->error));
    wait_until(r, first_started_twice, "a second life");
    assert_int_equal(r->exits, 0);
}

/* The same nodes in namespaces of their own. */
static void test_process_cluster_elects_in_namespaces(void **state)
{
    (void) state;
    struct rig *r = now = rig_new(3);
    if (netns_available(&r->error) != OK) {
        skip();
    }
    r->real.netns = true;
    CHECK_OK(r, netns_new(3, r->peers, &r->links, &r->error));
    rig_open(r, false);
    for (uint32_t i = 1; i <= 3; i++) {
        CHECK_OK(r, processes_start(r->p, i, &r->error));
    }
    wait_until(r, has_commit, "a commit on each node");
    assert_int_equal(r->exits, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_process_cluster_elects_through_the_proxy, teardown),
        cmocka_unit_test_teardown(test_process_config_says_what_the_scenario_does, teardown),
        cmocka_unit_test_teardown(test_process_options_that_no_configuration_has_are_refused,
                                  teardown),
        cmocka_unit_test_teardown(test_process_killed_node_is_down_and_comes_back, teardown),
        cmocka_unit_test_teardown(test_process_that_ends_is_told_with_its_last_words, teardown),
        cmocka_unit_test_teardown(test_process_failed_sync_ends_the_node, teardown),
        cmocka_unit_test_teardown(test_process_paused_node_makes_no_step, teardown),
        cmocka_unit_test_teardown(test_process_missing_program_is_told, teardown),
        cmocka_unit_test_teardown(test_process_ports_are_free_and_different, teardown),
        cmocka_unit_test_teardown(test_process_wiped_node_does_not_start_again, teardown),
        cmocka_unit_test_teardown(test_process_program_that_cannot_run_is_told, teardown),
        cmocka_unit_test_teardown(test_process_dies_with_the_harness, teardown),
        cmocka_unit_test_teardown(test_process_power_loss_keeps_what_was_synced, teardown),
        cmocka_unit_test_teardown(test_process_power_loss_needs_a_disk, teardown),
        cmocka_unit_test_teardown(test_process_power_loss_in_namespaces_leaves_one_disk, teardown),
        cmocka_unit_test_teardown(test_process_cluster_elects_in_namespaces, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * real.c - a run on real processes: its folder, its loop, the clock, the traces, the verdict.
 */
#include "tests/real/real.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/real/keeper.h"
#include "tests/real/real_internal.h"

enum {
    TICK_MS = 2,
    SAMPLE_US = 100 * 1000,
    PROGRESS_US = 1000 * 1000,
    UP_US = 60 * 1000 * 1000,
    FAILED_US = 5 * 1000 * 1000, /* a node whose disk failed is gone after this */
    ATTEMPTS_MAX = 3,            /* ports that are free may be taken a moment later */
    REMOVE_TRIES = 100,
    REMOVE_AGAIN_NS = 100 * 1000 * 1000,
};

struct real_handles {
    uv_loop_t loop;
    uv_timer_t timer;
};

void real_options_init(struct real_options *o)
{
    static char synod[PROCESS_PATH_MAX];
    static char shim[PROCESS_PATH_MAX];
    struct buf error;
    buf_init(&error, 1024);
    *o = (struct real_options){.synod = NULL};
    if (process_find("synod", synod, &error) == OK) {
        o->synod = synod;
    }
    if (process_find("shim_preload.so", shim, &error) == OK) {
        o->shim = shim;
    }
    buf_release(&error);
}

/* Clock and verdict. */

uint64_t real_now_us(const struct real *r)
{
    return r->start_ns == 0 ? 0 : (uv_hrtime() - r->start_ns) / 1000;
}

bool real_goes_on(const struct real *r)
{
    return r->err == OK && !r->record->red;
}

void real_abort_said(struct real *r, int err)
{
    if (r->err == OK) {
        r->err = err;
    }
}

void real_abort(struct real *r, int err, const char *format, ...)
{
    char text[512];
    va_list args;
    if (r->err != OK) {
        return;
    }
    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args); /* a longer line is cut */
    va_end(args);
    ERR_IGNORE(buf_printf(r->error, "%s", text)); /* only a text */
    r->err = err;
}

void real_fail(struct real *r, const char *property, const char *format, ...)
{
    char text[768];
    va_list args;
    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args); /* a longer line is cut */
    va_end(args);
    if (!r->record->red) {
        r->record->end_us = u64_min(r->record->length_us, real_now_us(r));
    }
    record_fail(r->record, property, "%s", text);
}

void real_on_fail(void *ctx, const char *property, const char *text)
{
    real_fail(ctx, property, "%s", text);
}

void real_on_write(void *ctx, uint64_t us)
{
    struct real *r = ctx;
    uint64_t before_us = r->write_us != 0 ? r->write_us : scenario_start_us(r->scenario);
    if (us > before_us && us <= r->scenario->length_us) {
        r->gap_us = u64_max(r->gap_us, us - before_us);
    }
    r->write_us = us;
    trigger_write(&r->trigger, us);
}

/* Traces. */

static bool is_role(const struct trace_event *e)
{
    return e->kind == TRACE_BECAME_LEADER || e->kind == TRACE_BECAME_FOLLOWER;
}

static void take_event(struct real *r, const struct trace_event *event)
{
    struct trace_event e = *event;
    uint64_t start_us = r->start_ns / 1000;
    if (r->phase == PHASE_UP || e.time_us < start_us) {
        if (is_role(&e) && e.node <= r->scenario->nodes) {
            r->nodes[e.node].role = e;
            r->nodes[e.node].role_known = true;
        }
        if (r->phase == PHASE_UP || !is_role(&e)) {
            return;
        }
    }
    e.time_us = e.time_us > start_us ? e.time_us - start_us : 0;
    if (e.kind == TRACE_BECAME_LEADER && e.epoch > r->epoch) {
        r->epoch = e.epoch;
        r->leaders++;
    }
    record_event(r->record, &e);
    trigger_event(&r->trigger, &e);
}

void real_roles(struct real *r)
{
    real_events(r); /* what is known now began before time 0 */
    for (uint32_t leaders = 0; leaders < 2; leaders++) {
        for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
            struct trace_event e = r->nodes[i].role;
            if (r->nodes[i].role_known && (e.kind == TRACE_BECAME_LEADER) == (leaders == 1)) {
                r->nodes[i].role_known = false;
                take_event(r, &e);
            }
        }
    }
}

static void collect(void *ctx, const struct trace_event *event)
{
    struct real *r = ctx;
    if (r->events_count == r->events_capacity) {
        r->events_capacity = r->events_capacity == 0 ? 1024 : 2 * r->events_capacity;
        r->events = xrealloc(r->events, r->events_capacity * sizeof *r->events);
    }
    r->events[r->events_count++] = *event;
}

/* What each node wrote since the last time, merged by time. */
void real_events(struct real *r)
{
    const struct trace_sink sink = {.emit = collect, .ctx = r};
    size_t at[SIM_NODES_MAX + 1] = {0};
    size_t end[SIM_NODES_MAX + 1] = {0};
    r->events_count = 0;
    for (uint32_t i = 1; i <= r->scenario->nodes && r->err == OK; i++) {
        at[i] = r->events_count;
        int err = trace_read_poll(r->nodes[i].trace, &sink, r->error);
        if (err != OK) {
            real_abort_said(r, err);
        }
        end[i] = r->events_count;
    }
    for (;;) {
        uint32_t first = 0;
        for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
            bool earlier = at[i] < end[i] &&
                           (first == 0 || r->events[at[i]].time_us < r->events[at[first]].time_us);
            first = earlier ? i : first;
        }
        if (first == 0) {
            return;
        }
        take_event(r, &r->events[at[first]++]);
    }
}

void real_note(struct real *r, uint32_t node, const char *note)
{
    const struct trace_event event = {.time_us = real_now_us(r),
                                      .node = node,
                                      .engine = engine_number(r->scenario->engine),
                                      .kind = TRACE_FAULT,
                                      .note = note};
    record_event(r->record, &event);
}

/* The turn. */

void real_phase(struct real *r, enum real_phase phase, uint64_t patience_us)
{
    r->phase = (uint8_t) phase;
    r->ask_us = 0;
    r->deadline_us = real_now_us(r) + patience_us;
}

static void do_steps(struct real *r, uint64_t now)
{
    struct trigger_due due;
    while (real_goes_on(r) && trigger_next(&r->trigger, now, &due)) {
        real_step(r, &due.step, real_now_us(r));
    }
}

/* What the leader has used since the last time, if it led all the while. */
static void sample(struct real *r, uint64_t now)
{
    uint32_t leader = trigger_leader(&r->trigger);
    if (now < r->sample_us) {
        return;
    }
    r->sample_us = now + SAMPLE_US;
    for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
        uint64_t cpu = processes_cpu_us(r->processes, i);
        if (i == leader && i == r->sample_leader) {
            r->record->totals[TOTAL_CPU_LEADER_US] += cpu - r->nodes[i].cpu_sample_us;
        }
        r->nodes[i].cpu_sample_us = cpu;
    }
    r->sample_leader = leader;
}

/* D6: a node whose disk failed stops. */
static void watch_disks(struct real *r, uint64_t now)
{
    for (uint32_t i = 1; i <= r->scenario->nodes; i++) {
        struct real_node *n = &r->nodes[i];
        const struct shim_page *page = processes_shim(r->processes, i);
        bool runs = processes_up(r->processes, i) && !processes_paused(r->processes, i) &&
                    atomic_load(&page->hang_until_us) < uv_hrtime() / 1000;
        if (!n->failing || atomic_load(&page->failed) == n->failed_base) {
            continue;
        }
        if (n->failed_us == 0 || !runs) {
            n->failed_us = u64_max(now, 1);
        } else if (now > n->failed_us + FAILED_US) {
            real_fail(r, "D6", "node %u goes on %d s after a call to its disk failed", i,
                      FAILED_US / 1000000);
        }
    }
}

static void tell(struct real *r)
{
    static const char *const names[] = {"nodes start", "faults",     "settling", "reading back",
                                        "no majority", "core heals", "watching", "over"};
    uint64_t now = uv_hrtime() / 1000;
    if (r->options->progress == NULL || now < r->progress_us) {
        return;
    }
    r->progress_us = now + PROGRESS_US;
    if (!r->options->progress(r->options->ctx, real_now_us(r), names[r->phase])) {
        real_abort(r, ERR_CANCELED, "stopped");
    }
}

static void on_closed(void *ctx)
{
    struct real *r = ctx;
    if (r->links != NULL) {
        r->links->ops->close(r->links, NULL, NULL);
        r->links = NULL;
    }
}

/* Links outlive the processes. */
static void close_all(struct real *r)
{
    if (r->phase == PHASE_RUN) { /* red, or stopped */
        real_totals(r, false);
    }
    r->phase = PHASE_OVER;
    uv_close((uv_handle_t *) &r->handles->timer, NULL);
    if (r->workload != NULL) {
        workload_close(r->workload, NULL, NULL);
    }
    if (r->asker != NULL) {
        client_close(r->asker, NULL, NULL);
    }
    if (r->processes != NULL) {
        processes_close(r->processes, on_closed, r);
    } else {
        on_closed(r);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct real *r = timer->data;
    real_events(r);
    uint64_t now = real_now_us(r);
    tell(r);
    if (r->phase == PHASE_UP && real_goes_on(r)) {
        real_ready(r);
    } else if (real_goes_on(r)) {
        real_step_ends(r);
        watch_disks(r, now);
        if (r->phase == PHASE_RUN && now < r->scenario->length_us) {
            do_steps(r, now);
            sample(r, now);
        } else if (r->phase == PHASE_RUN) {
            real_totals(r, false);
            real_end(r);
        } else {
            real_end_tick(r);
        }
    }
    if (!real_goes_on(r) || r->phase == PHASE_OVER) {
        close_all(r);
    }
}

/* The run. */

/* What a keeper does: nodes are about to end, and disks to be taken off. */
static void remove_folder(void *ctx)
{
    const struct timespec pause = {.tv_nsec = REMOVE_AGAIN_NS};
    struct buf error;
    buf_init(&error, 1024);
    for (uint32_t i = 0; i < REMOVE_TRIES && real_files_remove(ctx, &error) != OK; i++) {
        buf_clear(&error);
        (void) nanosleep(&pause, NULL);
    }
    buf_release(&error);
}

static int make_folder(struct real *r)
{
    const char *tmp = getenv("TMPDIR");
    r->temporary = r->options->keep == NULL;
    if (r->temporary) {
        (void) snprintf(r->folder, sizeof r->folder, "%.4000s/synod-real-XXXXXX",
                        tmp == NULL || *tmp == '\0' ? "/tmp" : tmp);
    } else {
        (void) snprintf(r->folder, sizeof r->folder, "%s", r->options->keep);
    }
    bool made =
        r->temporary ? mkdtemp(r->folder) != NULL : mkdir(r->folder, 0755) == 0 || errno == EEXIST;
    if (!made) {
        ERR_IGNORE(buf_printf(r->error, "cannot make %s: %s", r->folder, strerror(errno)));
        r->folder[0] = '\0';
        return ERR_IO;
    }
    if (r->temporary && keeper_new(remove_folder, r->folder, &r->keeper) != OK) {
        ERR_IGNORE(buf_printf(r->error, "cannot watch over %s: %s", r->folder, strerror(errno)));
        return ERR_IO;
    }
    return OK;
}

static void write_history(struct real *r)
{
    char path[PROCESS_PATH_MAX + 32];
    (void) snprintf(path, sizeof path, "%s/history.jsonl", r->folder);
    FILE *f = fopen(path, "we");
    int err = f == NULL ? ERR_IO : history_write(r->record->history, f);
    if (f != NULL && fclose(f) != 0) {
        err = ERR_IO;
    }
    if (err != OK) {
        real_abort(r, ERR_IO, "cannot write %s", path);
    }
}

static void release(struct real *r)
{
    if (r->temporary && r->folder[0] != '\0') {
        struct buf error;
        buf_init(&error, 1024);
        ERR_IGNORE(real_files_remove(r->folder, &error)); /* it is below TMPDIR */
        buf_release(&error);
    }
    keeper_free(r->keeper);
    if (r->trigger_ready) {
        trigger_release(&r->trigger);
    }
    for (uint32_t i = 0; i <= SIM_NODES_MAX; i++) {
        trace_read_free(r->nodes[i].trace);
        free(r->nodes[i].saved);
    }
    arena_release(&r->arena);
    free(r->events);
    free(r->handles);
    free(r);
}

static int run(const struct scenario *scenario, const struct real_options *options,
               struct record *record, struct buf *error)
{
    struct real *r = xcalloc(1, sizeof *r);
    r->scenario = scenario;
    r->options = options;
    r->record = record;
    r->error = error;
    r->leaderless = (engine_capabilities(scenario->engine) & CAP_LEADER) == 0;
    r->deadline_us = uv_hrtime() / 1000 + UP_US;
    arena_init(&r->arena, 4096, 1 << 20);
    rng_init(&r->rng, scenario->seed ^ UINT64_C(0x6661756c74));
    r->handles = xcalloc(1, sizeof *r->handles);
    r->loop = &r->handles->loop;
    int err = uv_loop_init(r->loop);
    ASSERT(err == 0);
    err = uv_timer_init(r->loop, &r->handles->timer);
    ASSERT(err == 0);
    r->handles->timer.data = r;
    err = make_folder(r);
    if (err == OK) {
        err = real_cluster_new(r);
    }
    if (err == OK) {
        ERR_IGNORE(
            uv_timer_start(&r->handles->timer, on_tick, TICK_MS, TICK_MS)); /* it is not closing */
    } else {
        real_abort_said(r, err);
        close_all(r);
    }
    ERR_IGNORE(uv_run(r->loop, UV_RUN_DEFAULT)); /* until all is closed */
    err = uv_loop_close(r->loop);
    ASSERT(err == 0);
    if (r->err == OK && !r->temporary) {
        write_history(r);
    }
    if (real_goes_on(r)) {
        real_end_check(r);
    }
    err = r->err;
    release(r);
    return err;
}

int real_execute(const struct scenario *scenario, const struct real_options *options,
                 struct record *record, struct buf *error)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    size_t size = error->size;
    int err = ERR_ADDRESS_IN_USE;
    ASSERT(scenario->engine != NULL);
    err = real_supports(scenario, options, error);
    if (err != OK) {
        return err;
    }
    ERR_IGNORE(sigaction(SIGPIPE, &ignore, &before)); /* a connection that breaks is an error */
    err = ERR_ADDRESS_IN_USE;
    for (uint32_t i = 0; i < ATTEMPTS_MAX && err == ERR_ADDRESS_IN_USE; i++) {
        buf_truncate(error, size);
        err = run(scenario, options, record, error);
    }
    ERR_IGNORE(sigaction(SIGPIPE, &before, NULL));
    return err;
}

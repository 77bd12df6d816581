/*
 * crash_explore.c - runs workloads over a store on real files and looks at what crashes leave.
 *
 * A run is creation, step 0, and then one step for each operation. POWER ends a run's journal and
 * goes on with the torn image under a new one, in which everything before is durable.
 *
 * One thing is LevelDB's own and cannot be helped from outside: when the write of a MANIFEST fails
 * in the middle of a compaction, because the memtable filled meanwhile, the compaction goes on and
 * appends to the same MANIFEST behind the torn record (1.23, DBImpl::DoCompactionWork does not ask
 * how CompactMemTable ended). The writer is told and stops, but the files do not open again. Such
 * an image may be refused with ERR_CORRUPT; it may not be read as anything else.
 */

#include "tests/sim/crash_explore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tests/support/tempdir.h"

enum {
    STEPS_MAX = CRASH_OPS_MAX + 1,
    FAULTS_MAX = 100000,
    FAULT_POINTS = 6,
    SEEN_MIN = 1024,
};

struct crash_explorer {
    const struct crash_rig *rig;
    const struct crash_scope *scope;
    struct crash_tally *tally;
    char recorded[TEMPDIR_PATH_MAX]; /* where the workload runs */
    char image[TEMPDIR_PATH_MAX];    /* where an image is made */
    uint64_t *seen;                  /* images already looked at; 0: a free place */
    size_t seen_count;
    size_t seen_capacity; /* a power of two */
};

/* One run of a workload. */
struct run {
    struct crash_explorer *x;
    const struct crash_workload *w;
    struct file_fault fault; /* calls 0: none */
    struct file_journal *journal;
    int thread; /* which runs the workload */
    struct crash_store store;
    bool open;
    bool struck;                          /* the fault, in an earlier journal */
    uint32_t outcomes;                    /* seen */
    uint32_t steps;                       /* begun so far */
    uint32_t failed_step;                 /* STEPS_MAX: none */
    struct crash_model *after[STEPS_MAX]; /* each step */
    uint64_t content[STEPS_MAX];          /* hash of each of these */
    uint32_t begun_at[STEPS_MAX];         /* events when a step began, in the current journal */
    uint32_t done_at[STEPS_MAX];          /* and when it returned; UINT32_MAX: not (yet) */
};

/* ---- red ---- */

/* Notes what is wrong: the run, then `what`. */
static void red(struct run *r, const char *where, struct bytes what)
{
    struct crash_tally *t = r->x->tally;
    if (t->red) {
        return;
    }
    struct buf words;
    buf_init(&words, 1024);
    crash_workload_print(r->w, &words);
    t->red = true;
    char fault[128] = "";
    if (r->fault.calls != 0) {
        (void) snprintf(fault, sizeof fault, ", with errno %d at call %u of kinds %u",
                        r->fault.number, (unsigned) r->fault.before, (unsigned) r->fault.calls);
    }
    (void) snprintf(t->text, sizeof t->text, "%s, workload \"%.*s\"%s: %s: %.*s",
                    r->x->rig->kind->name, (int) words.size, (const char *) words.data, fault,
                    where, (int) what.size, (const char *) what.data);
    buf_release(&words);
}

/* ---- images ---- */

static void seen_put(uint64_t *seen, size_t capacity, uint64_t key)
{
    size_t at = (size_t) key & (capacity - 1);
    while (seen[at] != 0) {
        at = (at + 1) & (capacity - 1);
    }
    seen[at] = key;
}

/* Whether this is the first time; remembers it. */
static bool is_first(struct crash_explorer *x, uint64_t key)
{
    key += key == 0 ? 1 : 0;
    size_t at = (size_t) key & (x->seen_capacity - 1);
    while (x->seen[at] != 0) {
        if (x->seen[at] == key) {
            return false;
        }
        at = (at + 1) & (x->seen_capacity - 1);
    }
    x->seen_count++;
    if (x->seen_count * 2 > x->seen_capacity) {
        uint64_t *seen = xcalloc(x->seen_capacity * 2, sizeof seen[0]);
        for (size_t i = 0; i < x->seen_capacity; i++) {
            if (x->seen[i] != 0) {
                seen_put(seen, x->seen_capacity * 2, x->seen[i]);
            }
        }
        free(x->seen);
        x->seen = seen;
        x->seen_capacity *= 2;
    }
    seen_put(x->seen, x->seen_capacity, key);
    return true;
}

/* Whether another thread wrote on in a file in which a call had failed. */
static bool is_spoilt(const struct run *r, uint32_t point)
{
    uint32_t struck_at = 0;
    if (!file_journal_struck(r->journal, &struck_at) || struck_at >= point) {
        return false;
    }
    const struct file_event *failed = file_journal_event(r->journal, struck_at);
    bool spoilt = false;
    for (uint32_t i = struck_at + 1; i < point; i++) {
        const struct file_event *e = file_journal_event(r->journal, i);
        spoilt = spoilt || (e->kind == FILE_WRITE && e->node == failed->node &&
                            e->thread == failed->thread && e->thread != r->thread);
    }
    return spoilt;
}

/* What may be in the store after a crash at this point, and a number for it. */
static uint64_t allowed_at(const struct run *r, uint32_t point, struct crash_allowed *ret_allowed)
{
    struct crash_allowed a = {.created = r->after[0]};
    uint64_t key = 7;
    uint32_t next = 0;
    while (next < r->steps && r->done_at[next] <= point) {
        a.acknowledged = r->after[next];
        key = r->content[next];
        next++;
    }
    if (next < r->steps && r->begun_at[next] <= point) {
        a.under_way = r->after[next];
        key = hash64_mix(key, r->content[next]);
    }
    a.may_refuse = is_spoilt(r, point);
    *ret_allowed = a;
    return hash64_mix(key, a.may_refuse ? 1 : 0);
}

/* Makes an image and looks at it. */
static void check_image(struct run *r, const struct file_image *image,
                        const struct crash_allowed *allowed, bool go_on, const char *where)
{
    struct crash_explorer *x = r->x;
    char path[TEMPDIR_PATH_MAX + 16];
    struct buf why;
    buf_init(&why, 8192);
    (void) snprintf(path, sizeof path, "%s/%s", x->image, x->rig->kind->name);
    file_image_make(image, x->image);
    uint32_t outcome = crash_check(x->rig, path, allowed, go_on, &why);
    if (outcome == 0) {
        red(r, where, buf_bytes(&why));
    }
    if (allowed->under_way != NULL) {
        r->outcomes |= r->fault.calls == 0 ? outcome : outcome << CRASH_FAULT_SHIFT;
    }
    x->tally->spoilt += outcome == CRASH_REFUSED ? 1 : 0;
    tempdir_remove(x->image);
    buf_release(&why);
}

/* Whether a crash is within the scope. */
static bool in_scope(const struct crash_scope *scope, const struct file_loss *loss)
{
    return loss->rule == FILE_NAMES_JOURNALED || scope->strict;
}

/* Looks at what one crash leaves, unless that was seen before. */
static void check_loss(struct run *r, uint32_t point, const struct file_state *state,
                       const struct file_loss *loss)
{
    struct crash_explorer *x = r->x;
    const struct crash_scope *scope = x->scope;
    struct crash_allowed allowed;
    struct file_image image;
    uint64_t key = allowed_at(r, point, &allowed);
    file_image_build(state, loss, &image);
    key = hash64_mix(key, file_image_hash(&image));
    key += scope->apart && r->fault.calls != 0 ? 1 : 0;
    x->tally->losses++;
    if (is_first(x, key)) {
        x->tally->images++;
        if (scope->sample <= 1 || key % scope->sample == 0) {
            char text[FILE_LOSS_TEXT_MAX];
            char where[FILE_LOSS_TEXT_MAX + 64];
            bool go_on = scope->go_on > 0 && (key >> 32) % scope->go_on == 0;
            file_loss_text(loss, text);
            (void) snprintf(where, sizeof where, "crash after file event %u, %s", (unsigned) point,
                            text);
            check_image(r, &image, &allowed, go_on, where);
            x->tally->checked++;
        }
    }
    file_image_release(&image);
}

/* Looks at all crashes at the points [from, to] of the journal. */
static void check_points(struct run *r, uint32_t from, uint32_t to)
{
    struct crash_explorer *x = r->x;
    for (uint32_t point = from; point <= to && !x->tally->red; point++) {
        uint32_t count = 0;
        struct file_state *state = file_state_new(r->journal, point);
        struct file_loss *losses = file_state_losses(state, x->scope->blocks_max, &count);
        for (uint32_t i = 0; i < count && !x->tally->red; i++) {
            if (in_scope(x->scope, &losses[i])) {
                check_loss(r, point, state, &losses[i]);
            }
        }
        free(losses);
        file_state_free(state);
        x->tally->points++;
    }
}

/* ---- steps ---- */

static void store_path(const struct run *r, char ret_path[TEMPDIR_PATH_MAX])
{
    int length =
        snprintf(ret_path, TEMPDIR_PATH_MAX, "%s/%s", r->x->recorded, r->x->rig->kind->name);
    ASSERT(length > 0 && length < TEMPDIR_PATH_MAX);
}

static int open_store(struct run *r, bool create)
{
    char path[TEMPDIR_PATH_MAX];
    store_path(r, path);
    int rc = r->x->rig->kind->open(r->x->rig, path, create, &r->store, NULL);
    r->open = rc == OK;
    return rc;
}

static void close_store(struct run *r)
{
    if (r->open) {
        r->x->rig->kind->close(&r->store);
        r->open = false;
    }
}

/* The image of a power loss that tears the first write of data behind the first `begun` events. */
static void tear(struct run *r, uint32_t begun, struct file_image *ret_image)
{
    const uint32_t count = file_journal_count(r->journal);
    struct file_loss loss = {.data_kept = true};
    uint32_t point = begun;
    while (point < count && file_journal_event(r->journal, point)->kind != FILE_WRITE) {
        point++;
    }
    if (point < count) {
        const struct file_event *e = file_journal_event(r->journal, point);
        point++;
        loss.torn = true;
        loss.torn_node = e->node;
        loss.torn_size = e->offset + e->size / 2;
    }
    struct file_state *state = file_state_new(r->journal, point);
    file_image_build(state, &loss, ret_image);
    file_state_free(state);
}

/* Whether the fault of this run struck; ret_from: since which event of the current journal. */
static bool was_struck(struct run *r, uint32_t *ret_from)
{
    if (file_journal_struck(r->journal, ret_from)) {
        return true;
    }
    *ret_from = r->begun_at[0];
    return r->struck;
}

/* Arms the fault of this run, if the step is one that it belongs to. */
static void arm(struct run *r, uint32_t step)
{
    const uint32_t first = r->x->scope->whole ? 0 : r->w->count;
    if (r->fault.calls != 0 && step == first) {
        file_journal_fail(r->journal, r->fault);
    }
}

/* Looks at what was recorded so far, which is about to go. */
static void check_before_loss(struct run *r, uint32_t to)
{
    uint32_t from = r->begun_at[0];
    if (r->x->scope->whole && (r->fault.calls == 0 || was_struck(r, &from))) {
        check_points(r, from, to);
    }
}

/* The power goes while a write is under way. Everything before is durable in a new journal. */
static int power_loss(struct run *r, uint32_t step)
{
    struct crash_explorer *x = r->x;
    const struct crash_kind *kind = x->rig->kind;
    struct file_image image;
    struct file_fault left;
    uint32_t events = 0;
    uint32_t begun = file_journal_count(r->journal);
    int rc = kind->apply(&r->store, r->after[step - 1], kind->alphabet.ops[1]);
    bool armed = file_journal_disarm(r->journal, &left);
    file_journal_stop(r->journal);
    close_store(r);
    if (rc != OK && !was_struck(r, &events)) {
        red(r, err_name(rc), bytes_str("no call failed, but the operation did"));
    }
    check_before_loss(r, begun);
    r->struck = was_struck(r, &events);
    tear(r, begun, &image);
    file_journal_free(r->journal);
    tempdir_remove(x->recorded);
    file_image_make(&image, x->recorded);
    file_image_release(&image);
    r->journal = file_journal_start(x->recorded);
    uint32_t settled = file_journal_count(r->journal);
    for (uint32_t i = 0; i < step; i++) {
        r->begun_at[i] = settled;
        r->done_at[i] = settled;
    }
    r->begun_at[step] = settled;
    if (armed) {
        file_journal_fail(r->journal, left);
    } else {
        arm(r, step);
    }
    return open_store(r, false);
}

static int run_operation(struct run *r, uint32_t step)
{
    const uint32_t op = r->w->ops[step - 1];
    if (op == CRASH_OP_POWER) {
        return power_loss(r, step);
    }
    arm(r, step);
    if (op == CRASH_OP_REOPEN) {
        close_store(r);
        return open_store(r, false);
    }
    return r->x->rig->kind->apply(&r->store, r->after[step - 1], op);
}

/* Makes one step and the model of what is there after it. */
static int run_step(struct run *r, uint32_t step)
{
    const struct crash_kind *kind = r->x->rig->kind;
    struct buf text;
    buf_init(&text, CRASH_CONTENT_MAX);
    if (step == 0) {
        r->after[0] = kind->model_new(r->x->rig);
    } else {
        r->after[step] = kind->model_copy(r->after[step - 1]);
        kind->model_apply(r->after[step], r->w->ops[step - 1]);
    }
    kind->model_text(r->after[step], &text);
    r->content[step] = hash64_bytes(step, buf_bytes(&text));
    buf_release(&text);
    r->begun_at[step] = file_journal_count(r->journal);
    r->done_at[step] = UINT32_MAX;
    r->steps = step + 1;
    int rc = OK;
    if (step == 0) {
        arm(r, step);
        rc = open_store(r, true);
    } else {
        rc = run_operation(r, step);
    }
    if (rc == OK) {
        r->done_at[step] = file_journal_count(r->journal);
    }
    return rc;
}

/* A failed write is fatal, and every later one fails in the same way and touches nothing (D6). */
static void check_failed(struct run *r, uint32_t step, int rc)
{
    uint32_t events = 0;
    const struct crash_kind *kind = r->x->rig->kind;
    if (!was_struck(r, &events)) {
        red(r, err_name(rc), bytes_str("no call failed, but the operation did"));
        return;
    }
    if (!r->open) {
        return; /* A start that failed: there is nothing to go on with. */
    }
    if (!err_is_fatal(rc)) {
        red(r, err_name(rc), bytes_str("a failed write is not fatal"));
    }
    uint32_t count = file_journal_count(r->journal);
    if (!kind->repeats(&r->store, r->after[step - 1], rc)) {
        red(r, err_name(rc), bytes_str("a write after a failed one does not repeat its error"));
    }
    if (!file_journal_quiet_since(r->journal, count)) {
        red(r, err_name(rc), bytes_str("a write after a failed one touched the disk"));
    }
}

/* Runs the workload up to its end or the first failure, then closes; the journal is stopped. */
static void run_all(struct run *r)
{
    struct crash_explorer *x = r->x;
    int made = mkdir(x->recorded, 0700);
    ASSERT(made == 0);
    r->failed_step = STEPS_MAX;
    r->thread = file_journal_thread();
    r->journal = file_journal_start(x->recorded);
    for (uint32_t step = 0; step <= r->w->count && r->failed_step == STEPS_MAX; step++) {
        int rc = run_step(r, step);
        if (rc != OK) {
            r->failed_step = step;
            check_failed(r, step, rc);
        }
    }
    close_store(r);
    file_journal_stop(r->journal);
}

static void run_release(struct run *r)
{
    for (uint32_t i = 0; i < r->steps; i++) {
        r->x->rig->kind->model_free(r->after[i]);
    }
    file_journal_free(r->journal);
    tempdir_remove(r->x->recorded);
}

/* ---- exploring ---- */

/* The moments just after a failed call, and a few up to the end: in a long life most of the others
 * are those of the run without a fault. */
static void check_failed_points(struct run *r, uint32_t from, uint32_t to)
{
    uint32_t stride = r->x->scope->whole ? (to - from) / FAULT_POINTS + 1 : 1;
    for (uint32_t point = from; point < to; point += point < from + 2 ? 1 : stride) {
        check_points(r, point, point);
    }
    check_points(r, to, to);
}

/* One run with the fault; false when the call that should fail was not made. */
static bool explore_fault(struct crash_explorer *x, const struct crash_workload *w,
                          struct file_fault fault, uint32_t *outcomes)
{
    struct run *r = xcalloc(1, sizeof *r);
    uint32_t from = 0;
    r->x = x;
    r->w = w;
    r->fault = fault;
    run_all(r);
    bool struck = was_struck(r, &from);
    if (struck) {
        x->tally->faults++;
        x->tally->refused += r->failed_step < STEPS_MAX ? 1 : 0;
        check_failed_points(r, from, file_journal_count(r->journal));
    }
    *outcomes |= r->outcomes;
    run_release(r);
    free(r);
    return struck;
}

static void explore_faults(struct crash_explorer *x, const struct crash_workload *w,
                           uint32_t *outcomes)
{
    static const struct file_fault faults[] = {
        {.calls = FILE_CALL_WRITE, .number = ENOSPC},
        {.calls = FILE_CALL_WRITE | FILE_CALL_SYNC | FILE_CALL_RENAME, .number = EIO},
        {.calls = FILE_CALL_CREATE, .number = ENOSPC},
    };
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        struct file_fault fault = faults[i];
        bool struck = true;
        for (uint32_t before = 0; before < FAULTS_MAX && struck && !x->tally->red; before++) {
            fault.before = before;
            struck = explore_fault(x, w, fault, outcomes);
        }
    }
}

uint32_t crash_explore(struct crash_explorer *x, const struct crash_workload *w)
{
    if (x->tally->red) {
        return 0;
    }
    struct run *r = xcalloc(1, sizeof *r);
    r->x = x;
    r->w = w;
    run_all(r);
    check_points(r, r->begun_at[x->scope->whole ? 0 : w->count], file_journal_count(r->journal));
    uint32_t outcomes = r->outcomes;
    run_release(r);
    free(r);
    if (x->scope->faults) {
        explore_faults(x, w, &outcomes);
    }
    x->tally->workloads++;
    return outcomes;
}

struct crash_explorer *crash_explorer_new(const struct crash_rig *rig,
                                          const struct crash_scope *scope, const char *dir,
                                          struct crash_tally *tally)
{
    struct crash_explorer *x = xcalloc(1, sizeof *x);
    x->rig = rig;
    x->scope = scope;
    x->tally = tally;
    int a = snprintf(x->recorded, sizeof x->recorded, "%s/recorded", dir);
    int b = snprintf(x->image, sizeof x->image, "%s/image", dir);
    ASSERT(a > 0 && (size_t) a < sizeof x->recorded && b > 0 && (size_t) b < sizeof x->image);
    x->seen_capacity = SEEN_MIN;
    x->seen = xcalloc(x->seen_capacity, sizeof x->seen[0]);
    return x;
}

void crash_explorer_free(struct crash_explorer *x)
{
    if (x != NULL) {
        free(x->seen);
        free(x);
    }
}

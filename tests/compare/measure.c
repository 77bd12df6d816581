/*
 * measure.c - see measure.h.
 */
#include "tests/compare/measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/compare/loss.h"

enum {
    BUCKET_MIN_US = 10000,
    BUCKETS_WANTED = 160,
    LATENCY_SUB_BITS = 4, /* 16 buckets for each power of two */
};

static const struct {
    const char *word;
    const char *title;
    uint8_t unit;
} NAMES[] = {
#define X(name, word, title, unit) [MEASURE_##name] = {word, title, MEASURE_UNIT_##unit},
    MEASURE_MAP(X)
#undef X
};

const char *measure_word(uint32_t measure)
{
    ASSERT(measure < MEASURES);
    return NAMES[measure].word;
}

const char *measure_title(uint32_t measure)
{
    ASSERT(measure < MEASURES);
    return NAMES[measure].title;
}

enum measure_unit measure_unit(uint32_t measure)
{
    ASSERT(measure < MEASURES);
    return (enum measure_unit) NAMES[measure].unit;
}

/* Latencies: as HDR histograms, small numbers exactly. */

static uint32_t latency_bucket(uint64_t us)
{
    if (us < 1 << LATENCY_SUB_BITS) {
        return (uint32_t) us;
    }
    uint32_t top = 63 - (uint32_t) __builtin_clzll(us);
    uint32_t shift = top - LATENCY_SUB_BITS;
    uint64_t bucket =
        ((uint64_t) (shift + 1) << LATENCY_SUB_BITS) + ((us >> shift) - (1 << LATENCY_SUB_BITS));
    return (uint32_t) u64_min(bucket, MEASURED_LATENCIES - 1);
}

double measured_latency_us(uint32_t bucket)
{
    uint32_t group = bucket >> LATENCY_SUB_BITS;
    uint32_t part = bucket & ((1 << LATENCY_SUB_BITS) - 1);
    if (group == 0) {
        return part;
    }
    return ldexp((double) ((1u << LATENCY_SUB_BITS) + part), (int) group - 1);
}

/* What the clients saw. */

struct calls {
    uint64_t *latency_us; /* of OK operations */
    size_t latencies;
    uint64_t *write_us; /* when a write was answered */
    size_t writes;
    uint64_t first_call_us; /* of a write that was answered, called after the fault: its answer */
};

static bool is_write(const struct history_op *op)
{
    return op->kind != HIST_GET && (op->kind != HIST_TXN || op->writes_count > 0);
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *) a;
    const uint64_t y = *(const uint64_t *) b;
    return (x > y) - (x < y);
}

static void count_ok(struct measured *m, struct calls *c, const struct history_op *op)
{
    uint64_t return_us = op->return_ns / 1000;
    uint64_t latency_us = (op->return_ns - op->call_ns) / 1000;
    uint64_t bucket = return_us / m->bucket_us;
    m->values[MEASURE_OK]++;
    m->latencies[latency_bucket(latency_us)]++;
    c->latency_us[c->latencies++] = latency_us;
    if (bucket < m->buckets) {
        m->ok[bucket]++;
    }
    if (is_write(op)) {
        c->write_us[c->writes++] = return_us;
        if (op->call_ns / 1000 >= m->fault_us) {
            c->first_call_us = u64_min(c->first_call_us, return_us);
        }
    }
}

/* The reads of the end are none of the workload. */
static void count_calls(const struct record *r, struct measured *m, struct calls *c)
{
    uint32_t count = history_count(r->history);
    c->latency_us = xcalloc(count + 1, sizeof *c->latency_us);
    c->write_us = xcalloc(count + 1, sizeof *c->write_us);
    c->first_call_us = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const struct history_op *op = history_get(r->history, i);
        if (op->call_ns / 1000 > r->length_us) {
            continue;
        }
        if (op->result == HIST_OK) {
            count_ok(m, c, op);
        } else {
            m->values[op->result == HIST_FAIL ? MEASURE_FAILED : MEASURE_UNKNOWN]++;
        }
    }
    qsort(c->latency_us, c->latencies, sizeof *c->latency_us, compare_u64);
    qsort(c->write_us, c->writes, sizeof *c->write_us, compare_u64);
}

static double latency_at(const struct calls *c, double share)
{
    if (c->latencies == 0) {
        return NAN;
    }
    return (double) c->latency_us[(size_t) (share * (double) (c->latencies - 1) + 0.5)];
}

static void note_gap(const struct record *r, struct measured *m, uint64_t from_us, uint64_t to_us)
{
    uint64_t gap_us = to_us - from_us;
    m->values[MEASURE_GAP] = fmax(m->values[MEASURE_GAP], (double) gap_us);
    if (gap_us <= DOWN_ELECTIONS * r->election_us) {
        return;
    }
    m->values[MEASURE_DOWN] += (double) gap_us;
    m->values[MEASURE_WINDOWS]++;
    if (m->windows_count < MEASURED_WINDOWS) {
        m->windows[m->windows_count].from_us = from_us;
        m->windows[m->windows_count].to_us = to_us;
        m->windows_count++;
    }
}

static void find_gaps(const struct record *r, struct measured *m, const struct calls *c)
{
    if (c->writes == 0 || c->write_us[0] >= r->end_us) {
        note_gap(r, m, 0, r->end_us);
        return;
    }
    if (c->write_us[0] > r->start_us) {
        note_gap(r, m, r->start_us, c->write_us[0]);
    }
    for (size_t i = 1; i < c->writes; i++) {
        note_gap(r, m, c->write_us[i - 1], u64_min(c->write_us[i], r->end_us));
        if (c->write_us[i] >= r->end_us) {
            return;
        }
    }
    note_gap(r, m, u64_min(c->write_us[c->writes - 1], r->end_us), r->end_us);
}

/* What the trace shows. */

static bool leads(const struct record *r)
{
    return (engine_capabilities(r->engine) & CAP_LEADER) != 0;
}

static void note_fault(struct measured *m, const struct trace_event *e, uint64_t from_us)
{
    if (e->note == NULL) {
        return;
    }
    if (m->fault_us == UINT64_MAX && e->time_us >= from_us && scenario_note_harms(e->note)) {
        m->fault_us = e->time_us;
    }
    if (m->faults_count < MEASURED_FAULTS) {
        m->faults[m->faults_count].at_us = e->time_us;
        m->faults[m->faults_count].note = e->note;
        m->faults[m->faults_count].node = e->node;
        m->faults_count++;
    }
}

/* When the first write was answered; UINT64_MAX: none was. */
static uint64_t first_answer_us(const struct record *r)
{
    uint64_t first_us = UINT64_MAX;
    for (uint32_t i = 0; i < history_count(r->history); i++) {
        const struct history_op *op = history_get(r->history, i);
        if (op->result == HIST_OK && is_write(op)) {
            first_us = u64_min(first_us, op->return_ns / 1000);
        }
    }
    return first_us;
}

/* What is broken before anything worked sets the stage, and is not what is measured. */
static void find_faults(const struct record *r, struct measured *m)
{
    uint64_t from_us = first_answer_us(r);
    m->fault_us = UINT64_MAX;
    for (size_t i = 0; i < r->events_count; i++) {
        if (r->events[i].kind == TRACE_FAULT && r->events[i].time_us <= r->length_us) {
            note_fault(m, &r->events[i], from_us);
        }
    }
}

static void first(double *value, const struct measured *m, uint64_t at_us)
{
    if (isnan(*value) && at_us >= m->fault_us) {
        *value = (double) (at_us - m->fault_us);
    }
}

/* As trigger.h has it: a pre-vote and the election that follows it are one. */
struct standing {
    bool stands;
    uint64_t epoch;
};

static bool begins_to_stand(struct standing *s, const struct trace_event *e)
{
    bool same = s->stands && s->epoch == e->epoch;
    bool stands = e->kind == TRACE_BECAME_CANDIDATE;
    if (stands) {
        *s = (struct standing){.stands = true, .epoch = e->epoch};
    } else if (e->kind == TRACE_BECAME_LEADER || e->kind == TRACE_BECAME_FOLLOWER ||
               e->kind == TRACE_STEP_DOWN || e->kind == TRACE_STOP || e->kind == TRACE_START) {
        s->stands = false;
    }
    return stands && !same;
}

static void find_elections(const struct record *r, struct measured *m)
{
    uint64_t epoch = 0; /* highest that had a leader */
    uint64_t leaders = 0;
    struct standing standing[SIM_NODES_MAX + 1] = {0};
    double *values = m->values;
    values[MEASURE_CAMPAIGNS] = 0;
    for (size_t i = 0; i < r->events_count; i++) {
        const struct trace_event *e = &r->events[i];
        if (e->node <= SIM_NODES_MAX && begins_to_stand(&standing[e->node], e)) {
            values[MEASURE_CAMPAIGNS]++;
        }
        if (e->kind == TRACE_BECAME_CANDIDATE || e->kind == TRACE_STEP_DOWN) {
            first(&values[MEASURE_DETECT], m, e->time_us);
        } else if (e->kind == TRACE_BECAME_LEADER && e->epoch > epoch) {
            epoch = e->epoch;
            leaders++;
            first(&values[MEASURE_ELECT], m, e->time_us);
        }
    }
    values[MEASURE_LEADERS] = leaders == 0 ? 0 : (double) (leaders - 1);
}

/* Costs. */

static double share(uint64_t total, double of)
{
    return of > 0 ? (double) total / of : NAN;
}

static void find_costs(const struct record *r, struct measured *m)
{
    const uint64_t *totals = r->totals;
    double ok = m->values[MEASURE_OK];
    double commits = (double) totals[TOTAL_COMMITS];
    m->values[MEASURE_ROUNDS] = share(totals[TOTAL_ROUNDS], commits);
    m->values[MEASURE_SYNCS] = share(totals[TOTAL_SYNCS], commits);
    m->values[MEASURE_MESSAGES] = share(totals[TOTAL_MESSAGES], ok);
    m->values[MEASURE_BYTES] = share(totals[TOTAL_BYTES], ok);
    m->values[MEASURE_CPU_LEADER] =
        r->real && leads(r) ? share(totals[TOTAL_CPU_LEADER_US], ok) : NAN;
}

/* The run in some 160 stretches of 10, 20, 50, 100 ms ... */
static uint64_t bucket_us_of(uint64_t length_us)
{
    static const uint64_t steps[] = {1, 2, 5};
    uint64_t unit = BUCKET_MIN_US;
    for (;;) {
        for (uint32_t i = 0; i < ARRAY_SIZE(steps); i++) {
            if (length_us / (unit * steps[i]) <= BUCKETS_WANTED) {
                return unit * steps[i];
            }
        }
        unit *= 10;
    }
}

/* Without the reads of the end, which a run that turned red before has not, none is not known. */
static double known(const struct record *r, uint64_t count)
{
    return count == 0 && r->red && r->end_us < r->length_us ? NAN : (double) count;
}

void measure_record(const struct record *r, struct measured *m)
{
    struct calls calls = {0};
    memset(m, 0, sizeof *m);
    m->skipped = r->skipped;
    m->red = r->red;
    m->undecided = r->undecided;
    m->seed = r->seed;
    (void) snprintf(m->property, sizeof m->property, "%s", r->property);
    (void) snprintf(m->text, sizeof m->text, "%s", r->text);
    m->bucket_us = bucket_us_of(r->length_us);
    m->buckets = (uint32_t) (r->end_us / m->bucket_us);
    m->values[MEASURE_DETECT] = NAN;
    m->values[MEASURE_ELECT] = NAN;
    find_faults(r, m);
    count_calls(r, m, &calls);
    find_gaps(r, m, &calls);
    m->values[MEASURE_FIRST_COMMIT] =
        calls.first_call_us == UINT64_MAX ? NAN : (double) (calls.first_call_us - m->fault_us);
    m->values[MEASURE_LEADERS] = NAN;
    m->values[MEASURE_CAMPAIGNS] = NAN;
    if (leads(r)) {
        find_elections(r, m);
    }
    m->values[MEASURE_THROUGHPUT] =
        share((uint64_t) m->values[MEASURE_OK] * 1000000, (double) r->end_us);
    m->values[MEASURE_LATENCY_P50] = latency_at(&calls, 0.5);
    m->values[MEASURE_LATENCY_P99] = latency_at(&calls, 0.99);
    m->values[MEASURE_LATENCY_MAX] = latency_at(&calls, 1);
    m->values[MEASURE_LOST] = known(r, loss_lost(r->history));
    m->values[MEASURE_DUPLICATED] = known(r, loss_duplicated(r->history));
    find_costs(r, m);
    m->done = true;
    free(calls.latency_us);
    free(calls.write_us);
}

static bool was_noted(const struct scenario *s, const struct record *r, const char *note)
{
    for (size_t i = 0; i < r->events_count; i++) {
        const struct trace_event *e = &r->events[i];
        if (e->kind == TRACE_FAULT && e->note != NULL && strcmp(e->note, note) == 0 &&
            (e->time_us < r->length_us || s->mode == SIM_LIVENESS)) {
            return true;
        }
    }
    return false;
}

static bool happened(const struct scenario *s, const struct record *r, const struct sim_step *step)
{
    if (!scenario_step_harms(step->kind)) {
        return true;
    }
    if (step->kind == STEP_DISK_EIO || step->kind == STEP_DISK_ENOSPC) {
        return r->totals[TOTAL_DISK_FAILURES] > 0;
    }
    return was_noted(s, r, scenario_step_note(step->kind));
}

static void note_missing(struct measured *m, const char *text)
{
    if (m->missing++ == 0) {
        (void) snprintf(m->missing_step, sizeof m->missing_step, "%s", text);
    }
}

void measure_missing(const struct scenario *scenario, const struct record *r,
                     struct measured *measured)
{
    if (r->red || r->skipped) {
        return;
    }
    if (measured->values[MEASURE_OK] == 0) {
        note_missing(measured, "an answered operation");
    }
    for (uint32_t i = 0; i < scenario->steps_count; i++) {
        struct buf text;
        if (happened(scenario, r, &scenario->steps[i])) {
            continue;
        }
        buf_init(&text, sizeof measured->missing_step - 1);
        scenario_print_step(&scenario->steps[i], &text); /* cut when it is full */
        char line[sizeof measured->missing_step] = "";
        memcpy(line, text.data, u64_min(text.size, sizeof line - 1));
        note_missing(measured, line);
        buf_release(&text);
    }
}

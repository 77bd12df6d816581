/*
 * measure.h - the numbers of one run, taken from its record alone.
 *
 * The fault is the first event of kind FAULT that does harm (scenario_note_harms) once a write was
 * answered: what is cut before that only sets the stage. What does not apply (no fault, no election
 * after it) is NAN. Operations count from their first call.
 * A run that turns red before its faults are over is measured until then; what it lost is NAN, as
 * nothing was read back, unless some of it shows.
 *
 *     detect        fault to the first sign that a node noticed: candidate, step-down
 *     elect         fault to the first leader of a higher epoch than the one at the fault
 *     first_commit  fault to the first answered write that was called after it
 *     campaigns     nodes that began to stand for election, or did again in a higher epoch; a
 *                   pre-vote and the election that follows it are one
 *     gap           longest time without an answered write, from the first one, at the latest from
 *                   scenario_start_us, to the end of faults
 *     down          sum of all such times that are longer than DOWN_ELECTIONS election time-outs
 *     lost          acknowledged writes that a later state does not have (K1, D1): list elements
 *                   missing from the last read of their list; values of registers that a last read
 *                   does not reflect although nothing was written since
 *     duplicated    list elements that are there twice (K2)
 */
#ifndef SYNOD_TESTS_COMPARE_MEASURE_H
#define SYNOD_TESTS_COMPARE_MEASURE_H

#include "tests/compare/record.h"

/* X(name, word, title, unit): unit COUNT, TIME (microseconds), RATE (a second). A commit is a slot
 * of the log that was chosen; an op is an answered read or write. Durable writes are those of the
 * logs of all nodes together. */
#define MEASURE_MAP(X)                                                                             \
    X(OK, "ok", "operations ok", COUNT)                                                            \
    X(FAILED, "failed", "failed", COUNT)                                                           \
    X(UNKNOWN, "unknown", "unknown", COUNT)                                                        \
    X(LOST, "lost", "lost", COUNT)                                                                 \
    X(DUPLICATED, "duplicated", "duplicated", COUNT)                                               \
    X(DETECT, "detect_us", "time to detect", TIME)                                                 \
    X(ELECT, "elect_us", "time to elect", TIME)                                                    \
    X(FIRST_COMMIT, "first_commit_us", "time to first commit", TIME)                               \
    X(DOWN, "down_us", "down-time", TIME)                                                          \
    X(GAP, "gap_us", "longest gap", TIME)                                                          \
    X(WINDOWS, "windows", "down-time windows", COUNT)                                              \
    X(LEADERS, "leaders", "leader changes", COUNT)                                                 \
    X(CAMPAIGNS, "campaigns", "campaigns", COUNT)                                                  \
    X(THROUGHPUT, "throughput", "throughput", RATE)                                                \
    X(LATENCY_P50, "p50_us", "latency p50", TIME)                                                  \
    X(LATENCY_P99, "p99_us", "latency p99", TIME)                                                  \
    X(LATENCY_MAX, "max_us", "latency max", TIME)                                                  \
    X(ROUNDS, "rounds_per_commit", "round trips / commit", COUNT)                                  \
    X(MESSAGES, "messages_per_op", "messages / op", COUNT)                                         \
    X(BYTES, "bytes_per_op", "bytes / op", COUNT)                                                  \
    X(SYNCS, "syncs_per_commit", "durable writes / commit", COUNT)                                 \
    X(CPU_LEADER, "cpu_leader_us_per_op", "leader CPU / op", TIME)

enum measure {
#define X(name, word, title, unit) MEASURE_##name,
    MEASURE_MAP(X)
#undef X
        MEASURES
};

enum measure_unit { MEASURE_UNIT_COUNT, MEASURE_UNIT_TIME, MEASURE_UNIT_RATE };

const char *measure_word(uint32_t measure);
const char *measure_title(uint32_t measure);
enum measure_unit measure_unit(uint32_t measure);

enum {
    DOWN_ELECTIONS = 1,
    MEASURED_BUCKETS = 600,   /* of the run, from its start */
    MEASURED_LATENCIES = 480, /* logarithmic, see measured_latency_us */
    MEASURED_WINDOWS = 32,
    MEASURED_FAULTS = 64,
};

/* Plain data: may lie in memory that processes share. */
struct measured {
    bool done; /* false: the run died before it was measured */
    bool skipped;
    bool red;
    bool undecided;
    uint32_t missing;      /* see measure_missing */
    char missing_step[96]; /* the first one */
    char property[SCENARIO_PROPERTY_MAX];
    char text[768];
    uint64_t seed;
    double values[MEASURES]; /* NAN: does not apply */
    uint64_t bucket_us;
    uint32_t buckets;              /* used */
    uint32_t ok[MEASURED_BUCKETS]; /* answered writes and reads in each */
    uint64_t fault_us;             /* UINT64_MAX: none */
    struct {
        uint64_t from_us, to_us;
    } windows[MEASURED_WINDOWS]; /* down-time */
    uint32_t windows_count;
    struct {
        uint64_t at_us;
        const char *note; /* static */
        uint32_t node;
    } faults[MEASURED_FAULTS];
    uint32_t faults_count;
    uint32_t latencies[MEASURED_LATENCIES]; /* OK operations by latency */
};

/* The least latency, in us, that is counted in this bucket; the buckets are some 4 % wide. */
double measured_latency_us(uint32_t bucket);

void measure_record(const struct record *r, struct measured *ret_measured);

/*
 * What should have happened in the run and did not: steps that do harm and were never carried out
 * (a condition that never became true, a leader that was not there), a disk that was told to fail
 * and never asked, clients none of which was answered. Such a run proves less than its script says.
 * Nothing is asked of a run that was skipped or ended red.
 */
void measure_missing(const struct scenario *scenario, const struct record *r,
                     struct measured *measured);

#endif

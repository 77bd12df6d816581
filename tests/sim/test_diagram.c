/*
 * test_diagram.c - what of a run a diagram shows, and that its HTML is whole and stands alone. The
 * recorded events are made here; no run is needed.
 */
#include "tests/sim/diagram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

enum { MS = 1000, EVENTS = 10000 };

struct fixture {
    struct scenario scenario;
    struct sim_result result;
    struct diagram_options options;
    struct diagram_log *log;
    struct sim_hooks hooks;
};

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    scenario_init(&f->scenario, engine_by_name("raft"), 7);
    f->scenario.nodes = 3;
    f->options = (struct diagram_options){.name = "raft:7",
                                          .scenario = &f->scenario,
                                          .result = &f->result,
                                          .max = DIAGRAM_EVENTS_DEFAULT};
    f->log = diagram_log_new(EVENTS);
    assert_non_null(f->log);
    f->hooks = diagram_hooks(f->log);
}

static void teardown(struct fixture *f)
{
    diagram_log_free(f->log);
    scenario_release(&f->scenario);
}

static void happens(struct fixture *f, struct trace_event event)
{
    f->hooks.trace.emit(f->hooks.trace.ctx, &event);
}

static void sends(struct fixture *f, enum message_type type, uint32_t from, uint32_t to,
                  uint64_t send_us, uint64_t arrive_us)
{
    struct message *m = message_new(type, to);

    m->from = from;
    m->epoch = 1;
    m->pos.index = 7;
    f->hooks.message(f->hooks.message_ctx, m, send_us, arrive_us);
    message_free(m);
}

/* A leader of epoch 1 at 1 ms, commits every ms until 400 ms, a crash of the leader at 500 ms, a
 * new leader at 600 ms, commits until 999 ms. */
static void change_of_leader(struct fixture *f)
{
    happens(f, (struct trace_event){
                   .time_us = 1 * MS, .node = 1, .kind = TRACE_BECAME_LEADER, .epoch = 1});
    for (uint64_t i = 2; i <= 400; i++) {
        happens(f, (struct trace_event){
                       .time_us = i * MS, .node = 1, .kind = TRACE_COMMIT, .index = i});
    }
    happens(f, (struct trace_event){
                   .time_us = 500 * MS, .node = 1, .kind = TRACE_FAULT, .note = "crash"});
    happens(f, (struct trace_event){
                   .time_us = 600 * MS, .node = 2, .kind = TRACE_BECAME_LEADER, .epoch = 2});
    for (uint64_t i = 601; i <= 999; i++) {
        happens(f, (struct trace_event){
                       .time_us = i * MS, .node = 2, .kind = TRACE_COMMIT, .index = i});
    }
}

/* The whole output of a writer as a string to be freed. */
static char *written(const struct diagram *d, int (*write)(const struct diagram *d, FILE *out))
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    assert_non_null(f);
    assert_int_equal(write(d, f), OK);
    assert_int_equal(fclose(f), 0);
    return text;
}

/* ---- The window ---- */

static void test_diagram_green_run_shows_change_of_leader_after_fault(void **state)
{
    struct fixture f;
    struct diagram *d;

    (void) state;
    setup(&f);
    change_of_leader(&f);
    d = diagram_new(f.log, &f.options);
    assert_int_equal(d->count, DIAGRAM_EVENTS_DEFAULT);
    assert_int_equal(d->total, 1 + 399 + 1 + 1 + 399);
    assert_true(d->from_us < 500 * MS && d->to_us > 600 * MS);
    assert_false(d->red);
    diagram_free(d);
    teardown(&f);
}

static void test_diagram_red_run_ends_with_violation(void **state)
{
    struct fixture f;
    struct diagram *d;

    (void) state;
    setup(&f);
    change_of_leader(&f);
    f.result.red = true;
    f.result.at_us = 300 * MS;
    f.options.max = 50;
    d = diagram_new(f.log, &f.options);
    assert_int_equal(d->count, 50);
    assert_int_equal(d->to_us, 300 * MS);
    assert_int_equal(d->from_us, 251 * MS);
    assert_true(d->red);
    diagram_free(d);
    teardown(&f);
}

static void test_diagram_asked_window_is_shown(void **state)
{
    struct fixture f;
    struct diagram *d;

    (void) state;
    setup(&f);
    change_of_leader(&f);
    f.options.from_us = 450 * MS;
    f.options.to_us = 605 * MS;
    d = diagram_new(f.log, &f.options);
    assert_int_equal(d->count, 7);
    assert_int_equal(d->events[0]->time_us, 500 * MS);
    diagram_free(d);

    f.options.from_us = 2000 * MS; /* nothing there */
    f.options.to_us = 0;
    d = diagram_new(f.log, &f.options);
    assert_int_equal(d->count, 0);
    free(written(d, diagram_html));
    free(written(d, diagram_text));
    diagram_free(d);
    teardown(&f);
}

static void test_diagram_of_nothing_can_be_drawn(void **state)
{
    struct fixture f;
    struct diagram *d;

    (void) state;
    setup(&f);
    d = diagram_new(f.log, &f.options);
    assert_int_equal(d->count, 0);
    free(written(d, diagram_html));
    free(written(d, diagram_text));
    diagram_free(d);
    teardown(&f);
}

/* A process that died has no time of a violation: its last events are shown. */
static void test_diagram_crashed_run_shows_its_end(void **state)
{
    struct fixture f;
    struct diagram *d;

    (void) state;
    setup(&f);
    change_of_leader(&f);
    f.result.red = true;
    f.options.max = 10;
    d = diagram_new(f.log, &f.options);
    assert_int_equal(d->to_us, 999 * MS);
    assert_int_equal(d->count, 10);
    diagram_free(d);
    teardown(&f);
}

/* ---- What is shown ---- */

static void test_diagram_heartbeats_are_hidden_unless_all(void **state)
{
    struct fixture f;
    struct diagram *d;

    (void) state;
    setup(&f);
    sends(&f, MSG_RAFT_HEARTBEAT, 1, 2, 1 * MS, 2 * MS);
    sends(&f, MSG_REPLICA_GOSSIP, 1, 2, 1 * MS, 2 * MS);
    sends(&f, MSG_RAFT_VOTE, 1, 2, 1 * MS, 2 * MS);
    sends(&f, MSG_RAFT_VOTE, 1, 1, 1 * MS, 2 * MS); /* to itself: no arrow */
    d = diagram_new(f.log, &f.options);
    assert_int_equal(d->count, 1);
    diagram_free(d);
    f.options.all = true;
    d = diagram_new(f.log, &f.options);
    assert_int_equal(d->count, 3);
    diagram_free(d);
    teardown(&f);
}

static void test_diagram_spans_follow_leader_and_crash(void **state)
{
    struct fixture f;
    struct diagram *d;
    uint32_t leads = 0;
    uint32_t down = 0;

    (void) state;
    setup(&f);
    change_of_leader(&f);
    happens(&f, (struct trace_event){.time_us = 1000 * MS, .node = 1, .kind = TRACE_START});
    f.options.max = EVENTS / 2;
    d = diagram_new(f.log, &f.options);
    for (size_t i = 0; i < d->spans_count; i++) {
        const struct diagram_span *s = &d->spans[i];

        if (s->kind == SPAN_LEADER && s->lane == 1) {
            assert_int_equal(s->to_us, 500 * MS); /* a crash ends it */
            leads++;
        } else if (s->kind == SPAN_LEADER) {
            assert_int_equal(s->lane, 2);
            assert_int_equal(s->epoch, 2);
            leads++;
        } else if (s->kind == SPAN_DOWN) {
            assert_int_equal(s->lane, 1);
            assert_int_equal(s->from_us, 500 * MS);
            assert_int_equal(s->to_us, 1000 * MS);
            down++;
        }
    }
    assert_int_equal(leads, 2);
    assert_int_equal(down, 1);
    diagram_free(d);
    teardown(&f);
}

/* A step whose time nobody wrote down is shown as long as it lasts, in its own words. */
static void test_diagram_step_with_a_condition_has_span_and_words(void **state)
{
    static const struct sim_step step = {
        .when = {.kind = WHEN_LEADER_CHANGES, .times = 1},
        .kind = STEP_PAUSE,
        .a = SIM_NODE_ALL,
        .for_us = 70 * MS,
    };
    static const struct sim_step cut = {.when = {.kind = WHEN_NO_LEADER, .times = 1},
                                        .kind = STEP_CUT,
                                        .a = 1,
                                        .b = 3};
    struct fixture f;
    struct diagram *d;
    uint32_t paused = 0;
    bool said = false;

    (void) state;
    setup(&f);
    scenario_add(&f.scenario, &step);
    scenario_add(&f.scenario, &cut);
    change_of_leader(&f);
    happens(&f, (struct trace_event){
                    .time_us = 1000 * MS, .node = 1, .kind = TRACE_FAULT, .note = "cut"});
    happens(&f, (struct trace_event){
                    .time_us = 1010 * MS, .node = 1, .kind = TRACE_FAULT, .note = "pause"});
    happens(&f, (struct trace_event){.time_us = 1200 * MS, .node = 1, .kind = TRACE_START});
    f.options.max = EVENTS / 2;
    d = diagram_new(f.log, &f.options);
    for (size_t i = 0; i < d->spans_count; i++) {
        if (d->spans[i].kind == SPAN_PAUSED) {
            assert_int_equal(d->spans[i].to_us - d->spans[i].from_us, 70 * MS);
            paused++;
        }
    }
    for (size_t i = 0; i < d->count; i++) {
        char text[DIAGRAM_TEXT_MAX];

        diagram_label(d, d->events[i], text);
        said = said || strstr(text, "when no leader cut 1->3") != NULL ||
               strcmp(text, "no leader cut 1->3") == 0;
    }
    assert_int_equal(paused, 1);
    assert_true(said);
    diagram_free(d);
    teardown(&f);
}

static void test_diagram_message_to_a_node_that_is_down_does_not_arrive(void **state)
{
    struct fixture f;
    struct diagram *d;
    bool arrives[3];
    size_t n = 0;

    (void) state;
    setup(&f);
    happens(&f, (struct trace_event){
                    .time_us = 10 * MS, .node = 1, .kind = TRACE_FAULT, .note = "power loss"});
    sends(&f, MSG_RAFT_VOTE, 2, 1, 11 * MS, 12 * MS); /* finds it down */
    sends(&f, MSG_RAFT_VOTE, 2, 3, 11 * MS, 0);       /* lost */
    sends(&f, MSG_RAFT_VOTE, 2, 1, 12 * MS, 30 * MS); /* finds it up again */
    happens(&f, (struct trace_event){.time_us = 20 * MS, .node = 1, .kind = TRACE_START});
    happens(&f, (struct trace_event){.time_us = 40 * MS, .node = 1, .kind = TRACE_COMMIT});
    d = diagram_new(f.log, &f.options);
    for (size_t i = 0; i < d->count; i++) {
        if (d->events[i]->kind == DIAGRAM_MESSAGE) {
            assert_true(n < ARRAY_SIZE(arrives));
            arrives[n++] = diagram_arrives(d, d->events[i]);
        }
    }
    assert_int_equal(n, 3);
    assert_false(arrives[0]);
    assert_false(arrives[1]);
    assert_true(arrives[2]);
    diagram_free(d);
    teardown(&f);
}

static void test_diagram_full_log_is_told(void **state)
{
    struct fixture f;
    struct diagram *d;
    char *html;

    (void) state;
    setup(&f);
    diagram_log_free(f.log);
    f.log = diagram_log_new(3);
    assert_non_null(f.log);
    f.hooks = diagram_hooks(f.log);
    change_of_leader(&f);
    d = diagram_new(f.log, &f.options);
    assert_int_equal(d->count, 3);
    assert_true(d->beyond > 0);
    html = written(d, diagram_html);
    assert_non_null(strstr(html, "too many to be recorded"));
    free(html);
    diagram_free(d);
    teardown(&f);
}

/* ---- Labels ---- */

static void test_diagram_epochs_are_terms_or_ballots(void **state)
{
    struct fixture f;
    struct diagram *d;
    char text[32];

    (void) state;
    setup(&f);
    d = diagram_new(f.log, &f.options);
    diagram_epoch(d, 7, text);
    assert_string_equal(text, "7");
    diagram_free(d);
    f.scenario.engine = engine_by_name("paxos");
    d = diagram_new(f.log, &f.options);
    diagram_epoch(d, ballot_make(3, 2), text);
    assert_string_equal(text, "3.2");
    diagram_free(d);
    teardown(&f);
}

static void test_diagram_durable_tells_what_was_written(void **state)
{
    struct fixture f;
    struct diagram *d;
    char text[DIAGRAM_TEXT_MAX];

    (void) state;
    setup(&f);
    happens(&f, (struct trace_event){.time_us = 1 * MS,
                                     .node = 1,
                                     .kind = TRACE_WRITE,
                                     .ctx = 5,
                                     .index = 7,
                                     .last = 9});
    happens(&f, (struct trace_event){
                    .time_us = 1 * MS, .node = 2, .kind = TRACE_WRITE, .ctx = 5, .index = 3});
    happens(&f,
            (struct trace_event){.time_us = 4 * MS, .node = 1, .kind = TRACE_DURABLE, .ctx = 5});
    d = diagram_new(f.log, &f.options);
    assert_int_equal(d->count, 1);
    assert_int_equal(d->events[0]->end_us, 1 * MS);
    diagram_label(d, d->events[0], text);
    assert_string_equal(text, "durable 7..9");
    diagram_free(d);
    teardown(&f);
}

/* ---- Output ---- */

/* Every tag that is opened is closed, in order; returns how many. */
static size_t check_tags(const char *html)
{
    static const char *const single[] = {"!DOCTYPE", "meta"};
    char open[64][16];
    size_t depth = 0;
    size_t count = 0;

    for (const char *at = strchr(html, '<'); at != NULL; at = strchr(at + 1, '<')) {
        const char *end = strchr(at, '>');
        char name[16];
        size_t size = strcspn(at + 1, " />\n");
        bool closing = at[1] == '/';
        bool alone = false;

        assert_non_null(end);
        if (closing) {
            size = strcspn(at + 2, " >\n");
        }
        assert_true(size > 0 && size < sizeof(name));
        memcpy(name, at + 1 + closing, size);
        name[size] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(single); i++) {
            alone = alone || strcmp(name, single[i]) == 0;
        }
        if (alone || end[-1] == '/') {
            continue;
        }
        if (closing) {
            assert_true(depth > 0);
            assert_string_equal(open[depth - 1], name);
            depth--;
        } else {
            assert_true(depth < ARRAY_SIZE(open));
            memcpy(open[depth++], name, sizeof(name));
            count++;
        }
    }
    assert_int_equal(depth, 0);
    return count;
}

static void test_diagram_html_is_whole_and_stands_alone(void **state)
{
    struct fixture f;
    struct diagram *d;
    char *html;

    (void) state;
    setup(&f);
    change_of_leader(&f);
    sends(&f, MSG_RAFT_APPEND, 2, 3, 1000 * MS, 1001 * MS);
    sends(&f, MSG_RAFT_APPEND, 2, 3, 1001 * MS, 0);
    sends(&f, MSG_RAFT_APPEND, 3, 1, 1001 * MS, 1002 * MS); /* node 1 is down */
    sends(&f, MSG_RAFT_APPEND, 3, 2, 1001 * MS, 9000 * MS); /* beyond the window */
    f.options.max = EVENTS / 2;
    f.options.name = "a<b>&\"c\"";
    f.result.red = true;
    f.result.at_us = 1002 * MS;
    (void) snprintf(f.result.property, sizeof(f.result.property), "R6");
    (void) snprintf(f.result.text, sizeof(f.result.text), "node <2> & more");
    d = diagram_new(f.log, &f.options);
    html = written(d, diagram_html);
    assert_true(check_tags(html) > 400);
    assert_non_null(strstr(html, "a&lt;b&gt;&amp;&quot;c&quot;"));
    assert_non_null(strstr(html, "node &lt;2&gt; &amp; more"));
    assert_non_null(strstr(html, "R6 violated here"));
    assert_non_null(strstr(html, "prefers-color-scheme:dark"));
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, "http")); /* no address, no network */
    assert_null(strstr(html, "@import"));
    assert_null(strstr(html, "nan"));
    free(html);
    diagram_free(d);
    teardown(&f);
}

static void test_diagram_text_has_a_column_for_each_node(void **state)
{
    struct fixture f;
    struct diagram *d;
    char *text;

    (void) state;
    setup(&f);
    happens(&f, (struct trace_event){
                    .time_us = 1 * MS, .node = 2, .kind = TRACE_BECAME_LEADER, .epoch = 1});
    sends(&f, MSG_RAFT_VOTE, 2, 1, 2 * MS, 3 * MS);
    sends(&f, MSG_RAFT_VOTE, 2, 3, 2 * MS, 0);
    happens(&f, (struct trace_event){
                    .time_us = 4 * MS, .node = 3, .kind = TRACE_FAULT, .note = "crash"});
    happens(&f,
            (struct trace_event){.time_us = 5 * MS, .node = 1, .kind = TRACE_COMMIT, .index = 9});
    d = diagram_new(f.log, &f.options);
    text = written(d, diagram_text);
    assert_non_null(
        strstr(text, "    0.002000  |                             # >1 vote_request 7"));
    assert_non_null(strstr(text, ">3 vote_request 7 (lost)"));
    assert_non_null(strstr(text, "    0.003000  | <2 vote_request 7           #"));
    assert_non_null(strstr(text, "! crash"));
    assert_non_null(strstr(text, "    0.005000  |   commit 9                  #"));
    free(text);
    diagram_free(d);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diagram_green_run_shows_change_of_leader_after_fault),
        cmocka_unit_test(test_diagram_red_run_ends_with_violation),
        cmocka_unit_test(test_diagram_asked_window_is_shown),
        cmocka_unit_test(test_diagram_of_nothing_can_be_drawn),
        cmocka_unit_test(test_diagram_crashed_run_shows_its_end),
        cmocka_unit_test(test_diagram_heartbeats_are_hidden_unless_all),
        cmocka_unit_test(test_diagram_spans_follow_leader_and_crash),
        cmocka_unit_test(test_diagram_step_with_a_condition_has_span_and_words),
        cmocka_unit_test(test_diagram_message_to_a_node_that_is_down_does_not_arrive),
        cmocka_unit_test(test_diagram_full_log_is_told),
        cmocka_unit_test(test_diagram_epochs_are_terms_or_ballots),
        cmocka_unit_test(test_diagram_durable_tells_what_was_written),
        cmocka_unit_test(test_diagram_html_is_whole_and_stands_alone),
        cmocka_unit_test(test_diagram_text_has_a_column_for_each_node),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

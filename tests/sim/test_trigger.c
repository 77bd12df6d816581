/*
 * test_trigger.c - when steps are due: by time, by what the trace shows, by what ends them. Both
 * back ends break things when this says so (S4: a fault that was asked for does happen).
 */
#include "tests/sim/trigger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

enum { TEXT_MAX = 4096, SECOND = 1000000 };

static struct scenario scenario;
static struct trigger trigger;

/* Five nodes and these lines. */
static void begin(const char *lines)
{
    char text[TEXT_MAX];
    struct buf error;
    buf_init(&error, 1024);
    (void) snprintf(text, sizeof text, "scenario 2\nnodes 5\n%s", lines);
    if (scenario_parse(bytes_str(text), &scenario, &error) != OK ||
        scenario_check(&scenario, &error) != OK) {
        fail_msg("%.*s", (int) error.size, (char *) error.data);
    }
    buf_release(&error);
    trigger_init(&trigger, &scenario);
}

static void end(void)
{
    trigger_release(&trigger);
    scenario_release(&scenario);
}

struct node_epoch {
    uint32_t node;
    uint64_t epoch;
};

static void event(uint64_t time_us, uint8_t kind, struct node_epoch at)
{
    trigger_event(&trigger, &(struct trace_event){.time_us = time_us,
                                                  .kind = kind,
                                                  .node = at.node,
                                                  .epoch = at.epoch});
}

static void leads(uint64_t time_us, struct node_epoch at)
{
    event(time_us, TRACE_BECAME_LEADER, at);
}

static void commits(uint64_t time_us, uint64_t index)
{
    trigger_event(&trigger, &(struct trace_event){.time_us = time_us,
                                                  .kind = TRACE_COMMIT,
                                                  .node = 1,
                                                  .index = index});
}

/* What is due by then, as text: "2000000 heal; ..." */
static void assert_due(uint64_t now_us, const char *expected)
{
    struct trigger_due due;
    struct buf text;
    buf_init(&text, TEXT_MAX);
    while (trigger_next(&trigger, now_us, &due)) {
        struct sim_step step = due.step;
        struct buf line;
        buf_init(&line, 256);
        step.when = (struct sim_when){0};
        step.at_us = due.at_us;
        scenario_print_step(&step, &line);
        assert_int_equal(buf_printf(&text, "%s%.*s", text.size > 0 ? "; " : "", (int) line.size - 3,
                                    (char *) line.data + 3),
                         OK);
        buf_release(&line);
    }
    assert_int_equal(buf_append(&text, "", 1), OK);
    assert_string_equal((char *) text.data, expected);
    buf_release(&text);
}

static void test_trigger_steps_at_a_time_come_in_their_order(void **state)
{
    (void) state;
    begin("at 2s heal\nat 1s crash 1\nat 1s crash 2\nat 3s restart all\n");
    assert_int_equal(trigger_due(&trigger), SECOND);
    assert_due(SECOND - 1, "");
    assert_due(SECOND, "1s crash 1; 1s crash 2");
    assert_int_equal(trigger_due(&trigger), 2 * SECOND);
    assert_due(5 * SECOND, "2s heal; 3s restart all");
    assert_int_equal(trigger_due(&trigger), UINT64_MAX);
    assert_due(UINT64_MAX, "");
    end();
}

static void test_trigger_leader_changes_needs_one_before(void **state)
{
    (void) state;
    begin("when leader changes after 50ms times 2 crash 2\n");
    leads(100, (struct node_epoch){1, 1}); /* nothing changes: there was none */
    assert_int_equal(trigger_due(&trigger), UINT64_MAX);
    leads(200, (struct node_epoch){3, 2});
    assert_int_equal(trigger_due(&trigger), 50200);
    leads(300, (struct node_epoch){1, 2}); /* not a higher epoch */
    leads(400, (struct node_epoch){3, 5}); /* the same node, elected again */
    leads(500, (struct node_epoch){4, 6}); /* the third time */
    assert_due(UINT64_MAX, "50.2ms crash 2; 50.4ms crash 2");
    end();
}

/* What happens before `from` counts for who leads, and for nothing else. */
static void test_trigger_before_from_nothing_is_looked_at(void **state)
{
    (void) state;
    begin("when leader changes from 2s heal\nwhen commit 10 from 2s crash 1\n"
          "when stops 3 from 2s crash 2\n");
    leads(100, (struct node_epoch){1, 1});
    leads(200, (struct node_epoch){2, 2});
    commits(300, 12);
    trigger_down(&trigger, 3, 400);
    assert_due(UINT64_MAX, "");
    commits(2 * SECOND, 12); /* seen at the first look */
    leads(3 * SECOND, (struct node_epoch){3, 3});
    trigger_down(&trigger, 3, 4 * SECOND);
    assert_due(UINT64_MAX, "2s crash 1; 3s heal; 4s crash 2");
    end();
}

static void test_trigger_leader_is_knows_the_node(void **state)
{
    (void) state;
    begin("when leader is 3 times 9 heal\n");
    leads(100, (struct node_epoch){3, 4}); /* the first one, too */
    leads(200, (struct node_epoch){2, 5});
    leads(300, (struct node_epoch){3, 5});
    leads(400, (struct node_epoch){3, 6});
    assert_due(UINT64_MAX, "100us heal; 400us heal");
    end();
}

static void test_trigger_no_leader_when_it_goes_or_steps_down(void **state)
{
    (void) state;
    begin("when no leader times 9 heal\n");
    trigger_down(&trigger, 1, 50); /* nobody led */
    leads(100, (struct node_epoch){1, 1});
    assert_int_equal(trigger_leader(&trigger), 1);
    trigger_down(&trigger, 2, 150); /* another one */
    event(160, TRACE_STEP_DOWN, (struct node_epoch){2, 1});
    trigger_down(&trigger, 1, 200);
    assert_int_equal(trigger_leader(&trigger), 0);
    trigger_down(&trigger, 1, 250); /* it did not lead any more */
    leads(300, (struct node_epoch){2, 2});
    event(400, TRACE_STEP_DOWN, (struct node_epoch){2, 2});
    event(410, TRACE_BECAME_FOLLOWER, (struct node_epoch){2, 2}); /* the same once more */
    leads(500, (struct node_epoch){3, 3});
    leads(600, (struct node_epoch){4, 4});
    event(700, TRACE_BECAME_FOLLOWER, (struct node_epoch){3, 4}); /* of the past */
    /* It asks another to take over, and leads until then. */
    trigger_event(&trigger, &(struct trace_event){
                                .time_us = 800, .kind = TRACE_STEP_DOWN, .node = 4, .to = 5});
    assert_int_equal(trigger_leader(&trigger), 4);
    event(900, TRACE_BECAME_FOLLOWER, (struct node_epoch){4, 5});
    assert_due(UINT64_MAX, "200us heal; 400us heal; 900us heal");
    end();
}

/* A pre-vote and the election behind it are one; the next epoch is another. */
static void test_trigger_an_election_starts_once(void **state)
{
    (void) state;
    begin("when election starts times 9 heal\n");
    event(100, TRACE_BECAME_CANDIDATE, (struct node_epoch){1, 1});
    event(110, TRACE_BECAME_CANDIDATE, (struct node_epoch){1, 1});
    event(200, TRACE_BECAME_CANDIDATE, (struct node_epoch){2, 1}); /* another node */
    event(300, TRACE_BECAME_CANDIDATE, (struct node_epoch){1, 2});
    leads(310, (struct node_epoch){1, 2});
    event(400, TRACE_BECAME_CANDIDATE, (struct node_epoch){1, 2}); /* not one since it led */
    event(410, TRACE_STEP_DOWN, (struct node_epoch){1, 2});
    event(500, TRACE_BECAME_CANDIDATE, (struct node_epoch){1, 2});
    assert_due(UINT64_MAX, "100us heal; 200us heal; 300us heal; 400us heal; 500us heal");
    end();
}

static void test_trigger_counts_fire_at_each_multiple(void **state)
{
    (void) state;
    begin("when commit 10 times 3 crash 1\nwhen writes 2 times 2 crash 2\n");
    commits(100, 9);
    commits(200, 10);
    commits(300, 19);
    commits(400, 10); /* a node that is behind */
    commits(500, 45); /* one at a time */
    commits(600, 46);
    commits(700, 100);
    for (uint64_t i = 1; i <= 6; i++) {
        trigger_write(&trigger, 1000 * i);
    }
    assert_due(UINT64_MAX, "200us crash 1; 500us crash 1; 600us crash 1; 2ms crash 2; 4ms crash 2");
    end();
}

static void test_trigger_ends_are_due_like_steps(void **state)
{
    (void) state;
    struct trigger_due due;
    begin("at 1s crash leader for 2s\nat 3s heal\nwhen stops 4 isolate all for 500ms\n");
    assert_true(trigger_next(&trigger, SECOND, &due));
    trigger_undo(&trigger, &due.step, 4, SECOND);
    trigger_down(&trigger, 4, SECOND);
    assert_true(trigger_next(&trigger, SECOND, &due));
    assert_int_equal(due.step.kind, STEP_ISOLATE);
    trigger_undo(&trigger, &due.step, SIM_NODE_ALL, SECOND);
    assert_int_equal(trigger_due(&trigger), SECOND + SECOND / 2);
    /* At one time the scenario's own step goes first. */
    assert_due(UINT64_MAX, "1.5s rejoin all; 3s heal; 3s restart 4");
    /* What has no end adds nothing. */
    trigger_undo(&trigger, &scenario.steps[2], 0, 9 * SECOND);
    assert_int_equal(trigger_due(&trigger), UINT64_MAX);
    end();
}

/* In the order of time, whatever was added first, and never more than there is room for. */
static void test_trigger_pending_is_ordered_and_bounded(void **state)
{
    (void) state;
    struct trigger_due due;
    uint64_t last = 0;
    uint32_t count = 0;
    begin("when writes 1 times 1000000 heal\n");
    for (uint64_t i = 0; i < TRIGGER_PENDING_MAX + 100; i++) {
        trigger_write(&trigger, i * 7919 % 1000);
    }
    assert_int_equal(trigger.dropped, 100);
    while (trigger_next(&trigger, UINT64_MAX - 1, &due)) {
        assert_true(due.at_us >= last);
        last = due.at_us;
        count++;
    }
    assert_int_equal(count, TRIGGER_PENDING_MAX);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trigger_steps_at_a_time_come_in_their_order),
        cmocka_unit_test(test_trigger_leader_changes_needs_one_before),
        cmocka_unit_test(test_trigger_before_from_nothing_is_looked_at),
        cmocka_unit_test(test_trigger_leader_is_knows_the_node),
        cmocka_unit_test(test_trigger_no_leader_when_it_goes_or_steps_down),
        cmocka_unit_test(test_trigger_an_election_starts_once),
        cmocka_unit_test(test_trigger_counts_fire_at_each_multiple),
        cmocka_unit_test(test_trigger_ends_are_due_like_steps),
        cmocka_unit_test(test_trigger_pending_is_ordered_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

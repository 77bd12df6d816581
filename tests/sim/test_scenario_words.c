/*
 * test_scenario_words.c - every line of a scenario and every way to write it: what is read, what is
 * refused, and that the error names line and word and says what could stand there (S5).
 */
#include "tests/sim/scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

enum { TEXT_MAX = 1 << 16 };

static void assert_parses(struct bytes text, struct scenario *ret)
{
    struct buf error;
    buf_init(&error, 1024);
    if (scenario_parse(text, ret, &error) != OK) {
        fail_msg("%.*s, of:\n%.*s", (int) error.size, (char *) error.data, (int) text.size,
                 (const char *) text.data);
    }
    buf_release(&error);
}

/* The error says which line and word, and what is allowed. */
static void test_scenario_parse_errors_name_line_and_word(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        const char *error;
    } cases[] = {
        {"", "line 1: nothing is there; a scenario begins with `scenario 2`"},
        {"nodes 3", "line 1: `nodes`: the first line is `scenario 2`"},
        {"scenario 1", "line 1: version 1 of the format is unknown; 2 is known"},
        {"scenario 2\nnods 3",
         "line 2: `nods`: unknown line; one of scenario, engine, nodes, seed, length, mode, "
         "option, clients, mix, network, disk, at, when, expect"},
        {"scenario 2\n\nengine zab",
         "line 3: `zab`: unknown engine; one of paxos, multipaxos, raft, any"},
        {"scenario 2\nnodes", "line 2: the line ends where a number is expected"},
        {"scenario 2\nnodes 9", "line 2: `9`: a whole number, at most 7, is expected"},
        {"scenario 2\nseed 18446744073709551616",
         "line 2: `18446744073709551616`: a whole number, at most 18446744073709551615, is "
         "expected"},
        {"scenario 2\nnodes 3 4",
         "line 2: `4`: not expected here: the line is complete without it"},
        {"scenario 2\nnodes 3\nnodes 3", "line 3: `nodes`: this line is there a second time"},
        {"scenario 2\noption wire on\noption wire on", "line 3: option wire is set a second time"},
        {"scenario 2\nlength 20",
         "line 2: `20`: a duration such as 250us, 50ms, 1.5s, 0 or 2 election-timeouts, in "
         "whole microseconds is expected"},
        {"scenario 2\nlength 0.5us",
         "line 2: `0.5us`: a duration such as 250us, 50ms, 1.5s, 0 or 2 election-timeouts, in "
         "whole microseconds is expected"},
        {"scenario 2\nlength 99999999999999999999s",
         "line 2: `99999999999999999999s`: a duration such as 250us, 50ms, 1.5s, 0 or 2 "
         "election-timeouts, in whole microseconds is expected"},
        {"scenario 2\nlength 1000001 elections",
         "line 2: `1000001`: a number of election time-outs such as 2 or 1.5, at most 1000000 "
         "with 6 digits behind the point, is expected"},
        {"scenario 2\nlength 1.0000001 elections",
         "line 2: `1.0000001`: a number of election time-outs such as 2 or 1.5, at most "
         "1000000 with 6 digits behind the point, is expected"},
        {"scenario 2\noption election 2 elections",
         "line 2: `elections`: the election time-out itself is a time"},
        {"scenario 2\nmode liveness", "line 2: the line ends where `core` is expected"},
        {"scenario 2\nmode liveness core 1 1", "line 2: `1`: nodes 1 to 7 are expected, each once"},
        {"scenario 2\noption wire maybe", "line 2: `maybe`: `on` or `off` is expected"},
        {"scenario 2\noption log-memory 1KB",
         "line 2: `1KB`: a size such as 65536, 64KiB or 1MiB is expected"},
        {"scenario 2\nnetwork loss 101%",
         "line 2: `101%`: a share from 0% to 100% such as 0.05% is expected"},
        {"scenario 2\nnetwork delay 3ms..",
         "line 2: `3ms..`: a span such as 1ms..3ms, 0..1.5s, 2ms or 20ms+-10ms is expected"},
        {"scenario 2\nnetwork delay 3ms+-4ms",
         "line 2: `3ms+-4ms`: a span such as 1ms..3ms, 0..1.5s, 2ms or 20ms+-10ms is expected"},
        {"scenario 2\nclients 3 speed 4",
         "line 2: `speed`: unknown; one of keys, think, rate, value, timeout, retry, reads local"},
        {"scenario 2\nclients 3 value 1kb",
         "line 2: `1kb`: sizes such as 256, 16..4096 or 1KiB are expected"},
        {"scenario 2\nclients 3 reads dirty", "line 2: `dirty`: `local` is expected here"},
        {"scenario 2\nmix put 3 get", "line 2: the line ends where a number is expected"},
        {"scenario 2\nmix pet 3",
         "line 2: `pet`: unknown operation; one of put, get, cas, del, append, txn, local, "
         "compact"},
        {"scenario 2\nat 1s", "line 2: the line ends where a fault is expected"},
        {"scenario 2\nat 1s craash 1",
         "line 2: `craash`: unknown fault; one of power-loss, crash, restart, pause, slow, "
         "transfer, cut, join, clog, link, isolate, rejoin, partition, heal, disk, clock"},
        {"scenario 2\nat 1s disk 1 crash",
         "line 2: `crash`: unknown fault of a disk; one of slow, delay, hang, lie, eio, "
         "enospc, flip, lose, wipe, save, restore"},
        {"scenario 2\nat 1s clock 1 hang",
         "line 2: `hang`: unknown fault of a clock; one of jump, drift"},
        {"scenario 2\nat 1s power-loss 8",
         "line 2: `8`: a node is expected: 1 to 7, leader or all"},
        {"scenario 2\nat 1s power-loss 2 3 2", "line 2: `2`: each node is named once"},
        {"scenario 2\nat 1s restart 1 for 2s",
         "line 2: `for`: not expected here: the line is complete without it"},
        {"scenario 2\nat 1s cut 1-2",
         "line 2: `1-2`: a link is expected: 1->2, or 1<->2 for both directions"},
        {"scenario 2\nat 1s link 1->2",
         "line 2: the line ends where `delay`, `loss`, `duplicate` or `rate` is expected"},
        {"scenario 2\nat 1s link 1->2 speed 3",
         "line 2: `speed`: `delay`, `loss`, `duplicate` or `rate` is expected here"},
        {"scenario 2\nat 1s link 1->2 loss 1% loss 2%", "line 2: `loss`: it is said a second time"},
        {"scenario 2\nat 1s link 1->2 rate 0",
         "line 2: `rate`: a rate is at least 1 byte a second; leave it out for any, or cut the "
         "link"},
        {"scenario 2\nat 1s pause 1",
         "line 2: the line ends where a duration such as 50ms is expected"},
        {"scenario 2\nat 1s pause 1 until 3s",
         "line 2: `until`: a duration such as 250us, 50ms, 1.5s, 0 or 2 election-timeouts, in "
         "whole microseconds is expected"},
        {"scenario 2\nat 1s clog 1->2 3s", "line 2: `3s`: `for` is expected here"},
        {"scenario 2\nat 1s disk 1 flip table",
         "line 2: `table`: unknown database; one of log, state"},
        {"scenario 2\nat 1s disk 1 slow fast",
         "line 2: `fast`: a factor such as 100 or a duration such as 200ms is expected"},
        {"scenario 2\nat 1s disk 1 eio read",
         "line 2: `read`: unknown call of the disk; one of write, sync"},
        {"scenario 2\nat 1s partition 1 | | 2",
         "line 2: `|`: groups of nodes are expected, each node once: 1 2 | 3 4 5"},
        {"scenario 2\nat 1s partition 1 |",
         "line 2: the line ends where a node of the partition is expected"},
        {"scenario 2\nat 1s clock 1 drift 5",
         "line 2: `5`: a drift in parts per million such as -200ppm is expected"},
        {"scenario 2\nwhen", "line 2: the line ends where a condition is expected"},
        {"scenario 2\nwhen leader",
         "line 2: `leader`: unknown condition; one of leader changes, leader is, no leader, "
         "election starts, stops, commit, writes"},
        {"scenario 2\nwhen leader is all heal",
         "line 2: `all`: a node's number, 1 to 7, is expected"},
        {"scenario 2\nwhen commit heal",
         "line 2: `heal`: a whole number, at most 18446744073709551615, is expected"},
        {"scenario 2\nwhen no leader after",
         "line 2: the line ends where a duration such as 50ms is expected"},
        {"scenario 2\nwhen no leader after 1s after 2s heal",
         "line 2: `after`: it is said a second time"},
        {"scenario 2\nwhen no leader times 3", "line 2: the line ends where a fault is expected"},
        {"scenario 2\nexpect green",
         "line 2: `green`: unknown expectation; one of safe, available, gap, red"},
        {"scenario 2\nexpect red stale",
         "line 2: `stale`: a property such as K1 is expected, or nothing for any"},
        {"scenario 2\nexpect available for 3", "line 2: `for`: `within` is expected here"},
        {"scenario 2\nexpect available within 3 s",
         "line 2: `s`: `election-timeouts` is expected here"},
        {"scenario 2\nexpect gap 4\nexpect gap 5",
         "line 3: `gap`: an expectation of this kind is there already"},
        {"scenario 2\nexpect safe\nexpect red",
         "line 3: `red`: a run that is to be red cannot be expected to be safe or available as "
         "well"},
        {"scenario 2\n\x01\xff",
         "line 2: `\?\?`: unknown line; one of scenario, engine, nodes, seed, length, mode, "
         "option, clients, mix, network, disk, at, when, expect"},
    };
    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct scenario s;
        struct buf error;
        buf_init(&error, 1024);
        assert_int_equal(scenario_parse(bytes_str(cases[i].text), &s, &error), ERR_INVALID);
        assert_int_equal(buf_append(&error, "", 1), OK);
        assert_string_equal((char *) error.data, cases[i].error);
        scenario_release(&s);
        buf_release(&error);
    }
}

/* Wherever in the file the option is, steps are told by it. */
static void test_scenario_election_timeouts_are_those_of_the_option(void **state)
{
    (void) state;
    struct scenario s;
    assert_parses(bytes_str("scenario 2\n"
                            "at 3 election-timeouts pause leader 1.5 election-timeouts\n"
                            "at 2 elections pause 1 2 election-timeouts\n"
                            "when writes 5 from 1 election-timeout after 0.25 elections heal\n"
                            "option heartbeat 0.1 elections\n"
                            "option election 300ms\n"),
                  &s);
    assert_int_equal(s.options[OPTION_HEARTBEAT], 30000);
    assert_int_equal(s.steps_count, 3);
    assert_int_equal(s.steps[0].at_us, 300000);
    assert_int_equal(s.steps[0].when.after_us, 75000);
    assert_int_equal(s.steps[1].at_us, 600000);
    assert_int_equal(s.steps[1].a, 1);
    assert_int_equal(s.steps[1].for_us, 600000);
    assert_int_equal(s.steps[2].at_us, 900000);
    assert_int_equal(s.steps[2].for_us, 450000);
    scenario_release(&s);
}

/* Every way to write a line that can be written in more than one. */
static void test_scenario_short_forms_are_the_long_ones(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        const char *printed; /* what is expected among its lines */
    } cases[] = {
        {"at 1s pause leader 2s", "at 1s pause leader for 2s\n"},
        {"at 1s restart", "at 1s restart all\n"},
        {"at 1s disk 2 eio", "at 1s disk 2 eio sync\n"},
        {"at 1s disk 2 slow 200ms", "at 1s disk 2 delay 200ms\n"},
        {"at 1s disk 2 slow 2 elections", "at 1s disk 2 delay 1s\n"},
        {"at 1s disk 2 slow 200ms for 3s", "at 1s disk 2 delay 200ms for 3s\n"},
        {"at 1s disk 2 slow 20 for 3s", "at 1s disk 2 slow 20 for 3s\n"},
        {"at 1s disk 2 lie for 3s", "at 1s disk 2 lie for 3s\n"},
        {"at 1s crash 1 3", "at 1s crash 1\nat 1s crash 3\n"},
        {"at 1s crash 1 3 for 2s", "at 1s crash 1 for 2s\nat 1s crash 3 for 2s\n"},
        {"at 1s slow 1 2 turn 5ms for 1s",
         "at 1s slow 1 turn 5ms for 1s\nat 1s slow 2 turn 5ms for 1s\n"},
        {"at 1s isolate 2 for 500ms", "at 1s isolate 2 for 500ms\n"},
        {"at 1s partition 1 | 2 3 for 2s", "at 1s partition 1 | 2 3 for 2s\n"},
        {"at 1s cut 1->3 for 2s", "at 1s cut 1->3 for 2s\n"},
        {"at 1s link 1<->2 delay 20ms+-10ms loss 5% rate 1MiB",
         "at 1s link 1<->2 delay 10ms..30ms loss 5% duplicate 0% rate 1MiB\n"},
        {"at 1s clock 2 drift 200ppm for 2s", "at 1s clock 2 drift 200ppm for 2s\n"},
        {"when leader changes times 3 after 50ms from 2s crash leader for 1s",
         "when leader changes from 2s after 50ms times 3 crash leader for 1s\n"},
        {"clients 8 keys 5 rate 200 value 256 reads local",
         " rate 200 value 256 timeout 5s retry 50% reads local\n"},
        {"clients 8 value 16..4KiB", " value 16..4KiB timeout"},
        {"expect gap 4", "expect available within 4 election-timeouts\n"},
        {"expect available within 4 elections", "expect available within 4 election-timeouts\n"},
        {"expect red", "\nexpect red\n"},
        {"expect red K1", "\nexpect red K1\n"},
    };
    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct scenario s;
        struct buf text;
        buf_init(&text, TEXT_MAX);
        assert_int_equal(buf_printf(&text, "scenario 2\n%s\n", cases[i].text), OK);
        assert_parses(buf_bytes(&text), &s);
        assert_int_equal(scenario_check(&s, NULL), OK);
        buf_clear(&text);
        assert_int_equal(scenario_print(&s, &text), OK);
        assert_int_equal(buf_append(&text, "", 1), OK);
        if (strstr((char *) text.data, cases[i].printed) == NULL) {
            fail_msg("%s: not found in\n%s", cases[i].printed, (char *) text.data);
        }
        scenario_release(&s);
        buf_release(&text);
    }
}

static void test_scenario_about_is_the_comment_above_it(void **state)
{
    (void) state;
    struct scenario s;
    struct buf text;
    assert_parses(bytes_str("#  One\tway,\r\n\n  # and  another.\nscenario 2\n# Not this.\n"), &s);
    assert_string_equal(s.about, "One way, and another.");
    scenario_release(&s);
    assert_parses(bytes_str("scenario 2 # nor this\n"), &s);
    assert_string_equal(s.about, "");
    scenario_release(&s);
    /* Too long: whole words of it. */
    buf_init(&text, TEXT_MAX);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(buf_printf(&text, "# word-%u\n", i + 100), OK);
    }
    assert_int_equal(buf_printf(&text, "scenario 2\n"), OK);
    assert_parses(buf_bytes(&text), &s);
    size_t size = strlen(s.about);
    assert_true(size < SCENARIO_ABOUT_MAX && size > SCENARIO_ABOUT_MAX - 12);
    assert_string_equal(s.about + size - 8, "word-155");
    scenario_release(&s);
    buf_release(&text);
}

/* What `for` adds, for every kind that has an end. */
static void test_scenario_undo_knows_what_ends_a_step(void **state)
{
    (void) state;
    static const struct {
        const char *step;
        const char *end; /* NULL: none */
    } cases[] = {
        {"crash leader for 1s", "restart 3"},
        {"power-loss 3 for 1s", "restart 3"},
        {"isolate leader for 1s", "rejoin 3"},
        {"partition 1 | 2 3 for 1s", "heal"},
        {"cut 1->2 for 1s", "join 1->2"},
        {"link 1<->2 loss 5% for 1s", "join 1<->2"},
        {"disk leader slow 20 for 1s", "disk 3 slow 1"},
        {"disk leader slow 20ms for 1s", "disk 3 slow 1"},
        {"clock leader drift 20ppm for 1s", "clock 3 drift 0ppm"},
        {"crash leader", NULL},
        {"pause leader for 1s", NULL},
        {"disk leader lie for 1s", NULL},
        {"clog 1->2 for 1s", NULL},
    };
    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct scenario s;
        struct sim_step end;
        struct buf text;
        buf_init(&text, 1024);
        assert_int_equal(buf_printf(&text, "scenario 2\nat 1s %s", cases[i].step), OK);
        assert_parses(buf_bytes(&text), &s);
        assert_int_equal(scenario_undo(&s.steps[0], 3, &end), cases[i].end != NULL);
        if (cases[i].end != NULL) {
            buf_clear(&text);
            scenario_print_step(&end, &text);
            assert_int_equal(buf_append(&text, "", 1), OK);
            assert_string_equal((char *) text.data + strlen("at 0 "), cases[i].end);
        }
        scenario_release(&s);
        buf_release(&text);
    }
}

/* What can be written and cannot be: one line says what and what is allowed. */
static void test_scenario_check_refuses_what_is_impossible(void **state)
{
    (void) state;
    static const struct {
        const char *lines; /* behind those of a good scenario of five nodes */
        const char *error;
    } cases[] = {
        {"nodes 0", "nodes: 0 is outside of 1 to 7"},
        {"length 0", "length: 0 is outside of 1ms to 86400s"},
        {"option heartbeat 500ms", "option heartbeat: 500ms is not below option election, 500ms"},
        {"option backoff-min 1s", "option backoff-min: 1s is not at most option backoff-max, "
                                  "500ms"},
        {"option batch-commands 0", "option batch-commands: 0 is outside of 1 to 8192"},
        {"option disk-buffer 0", "option disk-buffer: 0 is outside of 1 to 1024GiB"},
        {"option gossip 0", "option gossip: 0 is outside of 1us to 3600s"},
        {"mode liveness core 1 2", "mode: a core of 2 of 5 nodes is no majority, which takes 3"},
        {"mode liveness core 1 2 6", "mode: node 6 of the core is not there; nodes 1 to 5 are"},
        {"clients 3 think 2s..1s", "think: a span goes from its least to its most, at most 3600s"},
        {"clients 3 keys 0", "keys: 0 is outside of 1 to 64"},
        {"mix put 0", "mix: the clients have nothing to do; one weight at least is above 0"},
        {"expect red K99",
         "expect red K99: no such property; R1 to R12, P1 to P14, K1 to K7, D1 to D9"},
        {"at 1s power-loss 6", "`at 1s power-loss 6`: node 6 is not there; nodes 1 to 5 are"},
        {"at 21s power-loss 1", "`at 21s power-loss 1`: it is behind the end, length 20s"},
        {"at 1s cut 1->6", "`at 1s cut 1->6`: node 6 is not there; nodes 1 to 5 are"},
        {"at 1s cut 2->2", "`at 1s cut 2->2`: a link joins two nodes; this names node 2 twice"},
        {"at 1s partition 1 | 7", "`at 1s partition 1 | 7`: node 7 is not there; nodes 1 to 5 are"},
        {"at 1s transfer leader", "`at 1s transfer leader`: this one takes a node's number, 1 to "
                                  "5"},
        {"at 1s restart leader", "`at 1s restart leader`: this one takes a node's number, 1 to 5"},
        {"at 1s disk all wipe", "`at 1s disk all wipe`: this one takes a node's number, 1 to 5"},
        {"at 1s disk 1 slow 0", "`at 1s disk 1 slow 0`: a factor is from 1, which ends it, to "
                                "1000000"},
        {"at 1s clock 1 drift 600000ppm", "`at 1s clock 1 drift 600000ppm`: a drift is from "
                                          "-500000ppm to 500000ppm"},
        {"at 1s disk 2 wipe", "`at 1s disk 2 wipe`: node 2 must be down there: a `power-loss 2` or "
                              "`crash 2` comes before, and no restart in between"},
        {"at 1s power-loss leader\nat 1s disk 2 wipe",
         "`at 1s disk 2 wipe`: node 2 must be down there: "
         "a `power-loss 2` or `crash 2` comes before, and no "
         "restart in between"},
        {"at 1s power-loss 2\nat 1s restart all\nat 2s disk 2 flip log",
         "`at 2s disk 2 flip log`: node 2 must be down there: a `power-loss 2` or `crash 2` comes "
         "before, and no restart in between"},
        {"at 1s crash 2\nat 1s disk 2 restore", "`at 1s disk 2 restore`: there is nothing to put "
                                                "back: `disk 2 save` comes before"},
        {"at 1s crash 2 for 1s\nat 3s disk 2 wipe",
         "`at 3s disk 2 wipe`: node 2 must be down there: a `power-loss 2` or `crash 2` comes "
         "before, and no restart in between"},
        {"when stops 3 disk 2 wipe",
         "`when stops 3 disk 2 wipe`: node 2 must be down there: a `power-loss 2` or `crash 2` "
         "comes before, and no restart in between"},
        {"clients 0 rate 200", "rate: 200 calls a second need a client at least"},
        {"clients 3 rate 200000", "rate: 200000 is outside of 0 to 100000"},
        {"clients 3 value 10..9", "value: sizes go from the least to the most, at most 1MiB"},
        {"clients 3 value 2MiB", "value: sizes go from the least to the most, at most 1MiB"},
        {"option message-bytes 1000\nclients 3 value 1001",
         "value: 1001 is above option message-bytes, 1000"},
        {"clients 3 reads local\nmix put 1", "reads local: there are no gets in the mix"},
        {"expect gap 1001", "expect gap: 1001 is outside of 0 to 1000"},
        {"when leader is 6 heal", "`when leader is 6 heal`: node 6 is not there; nodes 1 to 5 are"},
        {"when stops 7 heal", "`when stops 7 heal`: node 7 is not there; nodes 1 to 5 are"},
        {"when commit 0 heal", "`when commit 0 heal`: commit: a count is at least 1"},
        {"when no leader times 0 heal",
         "`when no leader times 0 heal`: times: 0 is outside of 1 to 1000000"},
        {"when no leader after 3601s heal",
         "`when no leader after 3601s heal`: after: 3601s is outside of 0 to 3600s"},
        {"when no leader from 21s heal",
         "`when no leader from 21s heal`: it is behind the end, length 20s"},
        {"clients 0\nwhen writes 1 heal",
         "`when writes 1 heal`: nobody writes: there are no clients"},
        {"at 1s rejoin leader", "`at 1s rejoin leader`: this one takes a node's number, 1 to 5"},
        {"at 1s disk 2 delay 3601s", "`at 1s disk 2 delay 3601s`: a time is from 0 to 3600s"},
        {"mode liveness core 1 2 3\nat 1s power-loss all\nat 1s disk 2 lose state",
         "`at 1s disk 2 lose state`: node 2 is of the core, which must not lose its disk"},
    };
    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct scenario s;
        struct buf text;
        struct buf error;
        buf_init(&text, 4096);
        buf_init(&error, 1024);
        bool nodes = strncmp(cases[i].lines, "nodes", 5) == 0;
        assert_int_equal(buf_printf(&text, "scenario 2\n%s%s", nodes ? "" : "nodes 5\n",
                                    cases[i].lines),
                         OK);
        assert_parses(buf_bytes(&text), &s);
        assert_int_equal(scenario_check(&s, &error), ERR_INVALID);
        assert_int_equal(buf_append(&error, "", 1), OK);
        assert_string_equal((char *) error.data, cases[i].error);
        scenario_release(&s);
        buf_release(&text);
        buf_release(&error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenario_parse_errors_name_line_and_word),
        cmocka_unit_test(test_scenario_election_timeouts_are_those_of_the_option),
        cmocka_unit_test(test_scenario_short_forms_are_the_long_ones),
        cmocka_unit_test(test_scenario_about_is_the_comment_above_it),
        cmocka_unit_test(test_scenario_undo_knows_what_ends_a_step),
        cmocka_unit_test(test_scenario_check_refuses_what_is_impossible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

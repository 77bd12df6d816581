/*
 * test_acceptor.c - the shared acceptor and learner, one node whose peers the test plays.
 *
 * Promises per slot are tested in the engine paxos, the one for all slots in multipaxos. What may
 * leave before its write is durable is checked by holding the disk (P14).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/entries.h"
#include "tests/support/puppet.h"

static uint64_t ballot(uint64_t round, uint32_t node)
{
    return ballot_make(round, node);
}

static struct puppet *start(const char *engine)
{
    static struct puppet p;
    puppet_init(&p, engine, 1, 3);
    puppet_start(&p);
    puppet_forget(&p);
    return &p;
}

/* From node ballot_node(b). */
static void prepare(struct puppet *p, uint64_t b, uint64_t first, uint64_t last)
{
    struct message *m = puppet_message(p, MSG_PAXOS_PREPARE, ballot_node(b));
    m->epoch = b;
    m->pos.index = first;
    m->last = last;
    puppet_step(p, m);
}

static void accept(struct puppet *p, uint64_t b, uint64_t index, uint64_t command)
{
    struct message *m = puppet_message(p, MSG_PAXOS_ACCEPT, ballot_node(b));
    m->epoch = b;
    m->pos.index = index;
    m->last = index;
    puppet_add(m, (struct log_pos){index, b}, command);
    puppet_step(p, m);
}

static void choose(struct puppet *p, uint64_t b, uint64_t index, uint64_t command)
{
    struct message *m = puppet_message(p, MSG_PAXOS_CHOSEN, 2);
    puppet_add(m, (struct log_pos){index, b}, command);
    puppet_step(p, m);
}

/* The answer to node 2 or 3 has this type; returns it, to be freed. */
static struct message *expect(struct puppet *p, enum message_type type, uint32_t to)
{
    struct message *m = puppet_sent(p, type, to);
    assert_non_null(m);
    return m;
}

static void expect_nack(struct puppet *p, uint64_t refused, uint64_t promised)
{
    struct message *m = expect(p, MSG_PAXOS_NACK, ballot_node(refused));
    assert_int_equal(m->epoch, refused);
    assert_int_equal(m->hint.epoch, promised);
    message_free(m);
}

/* P14: a promise leaves when it is durable; P4 has nothing to stand on otherwise. */
static void test_acceptor_promise_waits_for_the_write(void **state)
{
    const char *const engines[] = {"paxos", "multipaxos"};
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        struct puppet *p = start(engines[i]);
        p->held = true;
        prepare(p, ballot(1, 2), 1, 1);
        assert_int_equal(puppet_count(p, MSG_PAXOS_PROMISE), 0);
        puppet_sync(p);
        message_free(expect(p, MSG_PAXOS_PROMISE, 2));
        puppet_release(p);
    }
}

static void test_acceptor_accepted_waits_for_the_write(void **state)
{
    const char *const engines[] = {"paxos", "multipaxos"};
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        struct puppet *p = start(engines[i]);
        p->held = true;
        accept(p, ballot(1, 2), 1, 42);
        assert_int_equal(puppet_count(p, MSG_PAXOS_ACCEPTED), 0);
        puppet_sync(p);
        struct message *m = expect(p, MSG_PAXOS_ACCEPTED, 2);
        assert_int_equal(m->pos.index, 1);
        assert_int_equal(m->last, 1);
        message_free(m);
        assert_int_equal(p->entries[1].epoch, ballot(1, 2));
        puppet_release(p);
    }
}

/* P1a. The nack promises nothing and does not wait. */
static void test_acceptor_lower_prepare_is_refused_at_once(void **state)
{
    const char *const engines[] = {"paxos", "multipaxos"};
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        struct puppet *p = start(engines[i]);
        prepare(p, ballot(2, 3), 1, 1);
        p->held = true;
        prepare(p, ballot(2, 2), 1, 1);
        expect_nack(p, ballot(2, 2), ballot(2, 3));
        assert_null(puppet_sent(p, MSG_PAXOS_PROMISE, 2));
        puppet_release(p);
    }
}

/* P1a for accepts: "iff it has not responded to a prepare request having a number greater". */
static void test_acceptor_accept_below_the_promise_is_refused(void **state)
{
    const char *const engines[] = {"paxos", "multipaxos"};
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        struct puppet *p = start(engines[i]);
        prepare(p, ballot(2, 3), 1, 1);
        accept(p, ballot(1, 2), 1, 42);
        expect_nack(p, ballot(1, 2), ballot(2, 3));
        assert_int_equal(puppet_at(p, 1), UINT64_MAX);
        accept(p, ballot(2, 3), 1, 43); /* equal is not greater */
        message_free(expect(p, MSG_PAXOS_ACCEPTED, 3));
        assert_int_equal(puppet_at(p, 1), 43);
        puppet_release(p);
    }
}

/* P4: accepting raises the promise. */
static void test_acceptor_accept_raises_the_promise(void **state)
{
    const char *const engines[] = {"paxos", "multipaxos"};
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        struct puppet *p = start(engines[i]);
        accept(p, ballot(5, 3), 1, 42);
        prepare(p, ballot(4, 2), 1, 1);
        expect_nack(p, ballot(4, 2), ballot(5, 3));
        puppet_release(p);
    }
}

/* One slot's promise says nothing about another; one for all slots does. */
static void test_acceptor_promise_covers_its_slots_only(void **state)
{
    (void) state;
    struct puppet *p = start("paxos");
    prepare(p, ballot(9, 3), 2, 3);
    accept(p, ballot(1, 2), 1, 41);
    accept(p, ballot(1, 2), 4, 44);
    assert_int_equal(puppet_count(p, MSG_PAXOS_ACCEPTED), 2);
    accept(p, ballot(1, 2), 3, 43);
    expect_nack(p, ballot(1, 2), ballot(9, 3));
    puppet_release(p);
    p = start("multipaxos");
    prepare(p, ballot(9, 3), 2, 0);
    accept(p, ballot(1, 2), 700, 47);
    expect_nack(p, ballot(1, 2), ballot(9, 3));
    puppet_release(p);
}

/* 2.2 phase 1b: "with the highest-numbered proposal (if any) that it has accepted". */
static void test_acceptor_promise_tells_what_was_accepted(void **state)
{
    const char *const engines[] = {"paxos", "multipaxos"};
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        struct puppet *p = start(engines[i]);
        accept(p, ballot(1, 2), 2, 41);
        accept(p, ballot(3, 2), 2, 42);
        accept(p, ballot(3, 2), 4, 44);
        puppet_run(p, p->options.election_us); /* its leader is silent */
        prepare(p, ballot(4, 3), 1, 5);
        struct message *m = expect(p, MSG_PAXOS_PROMISE, 3);
        assert_int_equal(m->entries_count, 2);
        assert_int_equal(m->entries[0].index, 2);
        assert_int_equal(m->entries[0].epoch, ballot(3, 2));
        assert_int_equal(value_number(m->entries[0].value), 42);
        assert_int_equal(m->entries[1].index, 4);
        message_free(m);
        puppet_release(p);
    }
}

/* A lost answer is given again, with the same content and no new write. */
static void test_acceptor_repeated_requests_are_answered_again(void **state)
{
    const char *const engines[] = {"paxos", "multipaxos"};
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        struct puppet *p = start(engines[i]);
        prepare(p, ballot(1, 2), 1, 1);
        accept(p, ballot(1, 2), 1, 42);
        uint64_t writes = p->writes_count;
        prepare(p, ballot(1, 2), 1, 1);
        accept(p, ballot(1, 2), 1, 42);
        assert_int_equal(puppet_count(p, MSG_PAXOS_PROMISE), 2);
        assert_int_equal(puppet_count(p, MSG_PAXOS_ACCEPTED), 2);
        assert_int_equal(p->writes_count, writes);
        puppet_release(p);
    }
}

/* P4 over restarts: promises and accepts are found again. */
static void test_acceptor_restart_keeps_promise_and_value(void **state)
{
    const char *const engines[] = {"paxos", "multipaxos"};
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        struct puppet *p = start(engines[i]);
        accept(p, ballot(2, 2), 1, 42);
        puppet_run(p, p->options.election_us); /* its leader is silent */
        prepare(p, ballot(7, 3), 1, 1);
        puppet_restart(p);
        puppet_forget(p);
        accept(p, ballot(6, 2), 1, 43);
        expect_nack(p, ballot(6, 2), ballot(7, 3));
        prepare(p, ballot(8, 2), 1, 1);
        struct message *m = expect(p, MSG_PAXOS_PROMISE, 2);
        assert_int_equal(m->entries_count, 1);
        assert_int_equal(m->entries[0].epoch, ballot(2, 2));
        assert_int_equal(value_number(m->entries[0].value), 42);
        message_free(m);
        puppet_release(p);
    }
}

/* An accepted entry alone proves the promise that came with it. */
static void test_acceptor_restart_after_accept_refuses_lower_prepare(void **state)
{
    (void) state;
    struct puppet *p = start("paxos");
    accept(p, ballot(5, 3), 1, 42);
    puppet_restart(p);
    puppet_forget(p);
    prepare(p, ballot(4, 2), 1, 1);
    expect_nack(p, ballot(4, 2), ballot(5, 3));
    puppet_release(p);
}

/* What was not durable is forgotten, and was never answered. */
static void test_acceptor_crash_before_the_write_promised_nothing(void **state)
{
    (void) state;
    struct puppet *p = start("paxos");
    p->held = true;
    prepare(p, ballot(7, 3), 1, 1);
    accept(p, ballot(7, 3), 1, 42);
    assert_int_equal(puppet_count(p, MSG_PAXOS_PROMISE), 0);
    assert_int_equal(puppet_count(p, MSG_PAXOS_ACCEPTED), 0);
    puppet_restart(p);
    puppet_forget(p);
    prepare(p, ballot(1, 2), 1, 1);
    struct message *m = expect(p, MSG_PAXOS_PROMISE, 2);
    assert_int_equal(m->entries_count, 0);
    message_free(m);
    puppet_release(p);
}

/* P10: a chosen slot is answered with its value, whatever the ballot. */
static void test_acceptor_chosen_slot_is_answered_chosen(void **state)
{
    (void) state;
    struct puppet *p = start("paxos");
    choose(p, ballot(1, 2), 1, 42);
    prepare(p, ballot(9, 3), 1, 1);
    struct message *m = expect(p, MSG_PAXOS_CHOSEN, 3);
    assert_int_equal(m->entries_count, 1);
    assert_int_equal(value_number(m->entries[0].value), 42);
    message_free(m);
    accept(p, ballot(9, 3), 1, 42);
    message_free(expect(p, MSG_PAXOS_CHOSEN, 3));
    assert_null(puppet_sent(p, MSG_PAXOS_PROMISE, 3));
    assert_null(puppet_sent(p, MSG_PAXOS_ACCEPTED, 3));
    puppet_release(p);
}

/* P10: below what is in memory the answer is the commit index, never "nothing accepted"; and the
 * value can still be learned, through the store. */
static void test_acceptor_late_prepare_below_the_floor_is_answered_chosen(void **state)
{
    const char *const engines[] = {"paxos", "multipaxos"};
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        static struct puppet p;
        puppet_init(&p, engines[i], 1, 3);
        p.memory_max = 100;
        puppet_start(&p);
        for (uint64_t k = 1; k <= 40; k++) {
            choose(&p, ballot(1, 2), k, k);
        }
        assert_true(log_mem_first(p.log) > 10);
        puppet_forget(&p);
        prepare(&p, ballot(9, 3), 1, 4);
        struct message *m = puppet_sent(&p, i == 0 ? MSG_PAXOS_CHOSEN : MSG_PAXOS_PROMISE, 3);
        assert_non_null(m);
        assert_int_equal(m->commit, 40);
        assert_int_equal(m->entries_count, 0);
        message_free(m);
        assert_null(puppet_sent(&p, MSG_PAXOS_PROMISE, 3));
        struct message *ask = puppet_message(&p, MSG_PAXOS_LEARN, 3);
        ask->pos.index = 2;
        ask->last = 4;
        puppet_step(&p, ask);
        m = expect(&p, MSG_PAXOS_LEARN_REPLY, 3);
        assert_int_equal(m->entries_count, 3);
        assert_int_equal(m->entries[0].index, 2);
        assert_int_equal(value_number(m->entries[2].value), 4);
        message_free(m);
        puppet_release(&p);
    }
}

/* The window is bounded: what does not fit is not answered, and asked again later. */
static void test_acceptor_slot_beyond_the_window_is_not_answered(void **state)
{
    (void) state;
    static struct puppet p;
    puppet_init(&p, "paxos", 1, 3);
    p.slots_max = 16;
    puppet_start(&p);
    puppet_forget(&p);
    prepare(&p, ballot(1, 2), 17, 17);
    accept(&p, ballot(1, 2), 500, 42);
    assert_int_equal(puppet_count(&p, MSG_PAXOS_PROMISE), 0);
    assert_int_equal(puppet_count(&p, MSG_PAXOS_ACCEPTED), 0);
    prepare(&p, ballot(1, 2), 16, 18);
    struct message *m = expect(&p, MSG_PAXOS_PROMISE, 2);
    assert_int_equal(m->last, 16);
    message_free(m);
    puppet_release(&p);
}

/* 2.3: a notice alone is enough for who accepted under that ballot or above; others must not
 * take what they have for chosen. */
static void test_learner_notice_chooses_only_what_was_accepted_under_it(void **state)
{
    (void) state;
    struct puppet *p = start("paxos");
    accept(p, ballot(1, 2), 1, 41);
    accept(p, ballot(3, 2), 2, 42);
    accept(p, ballot(4, 2), 3, 43);
    struct message *m = puppet_message(p, MSG_PAXOS_CHOSEN, 3);
    m->epoch = ballot(3, 2);
    m->pos.index = 1;
    m->last = 3;
    puppet_step(p, m);
    assert_int_equal(log_slot(p->log, 1)->state, SLOT_ACCEPTED);
    assert_int_equal(log_slot(p->log, 2)->state, SLOT_CHOSEN);
    assert_int_equal(log_slot(p->log, 3)->state, SLOT_CHOSEN);
    assert_int_equal(log_commit(p->log), 0);
    choose(p, ballot(3, 2), 1, 77); /* the value replaces what was accepted below */
    assert_int_equal(puppet_at(p, 1), 77);
    assert_int_equal(log_commit(p->log), 3);
    puppet_release(p);
}

/* A learned value is written, and is there after a restart. */
static void test_learner_value_survives_a_restart(void **state)
{
    (void) state;
    struct puppet *p = start("multipaxos");
    choose(p, ballot(3, 2), 1, 42);
    puppet_restart(p);
    assert_int_equal(puppet_at(p, 1), 42);
    puppet_release(p);
}

/* Who hears of a higher commit index asks for what is missing, and another one if there is no
 * answer. */
static void test_learner_asks_for_what_it_misses(void **state)
{
    (void) state;
    struct puppet *p = start("paxos");
    for (uint32_t peer = 2; peer <= 3; peer++) {
        struct message *m = puppet_message(p, MSG_PAXOS_HEARTBEAT, peer);
        m->commit = 2;
        m->seen = 7;
        puppet_step(p, m);
    }
    puppet_run(p, p->options.resend_us);
    struct message *ask = expect(p, MSG_PAXOS_LEARN, 0);
    uint32_t first = ask->to;
    assert_int_equal(ask->pos.index, 1);
    assert_int_equal(ask->last, 2);
    message_free(ask);
    puppet_run(p, 2 * p->options.resend_us);
    ask = expect(p, MSG_PAXOS_LEARN, 0);
    assert_int_not_equal(ask->to, first);
    struct message *m = puppet_message(p, MSG_PAXOS_LEARN_REPLY, ask->to);
    m->pos.index = 1;
    m->commit = 2;
    puppet_add(m, (struct log_pos){1, ballot(1, 2)}, 41);
    puppet_add(m, (struct log_pos){2, ballot(1, 2)}, 42);
    message_free(ask);
    puppet_step(p, m);
    assert_int_equal(log_commit(p->log), 2);
    assert_int_equal(puppet_at(p, 2), 42);
    puppet_release(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acceptor_promise_waits_for_the_write),
        cmocka_unit_test(test_acceptor_accepted_waits_for_the_write),
        cmocka_unit_test(test_acceptor_lower_prepare_is_refused_at_once),
        cmocka_unit_test(test_acceptor_accept_below_the_promise_is_refused),
        cmocka_unit_test(test_acceptor_accept_raises_the_promise),
        cmocka_unit_test(test_acceptor_promise_covers_its_slots_only),
        cmocka_unit_test(test_acceptor_promise_tells_what_was_accepted),
        cmocka_unit_test(test_acceptor_repeated_requests_are_answered_again),
        cmocka_unit_test(test_acceptor_restart_keeps_promise_and_value),
        cmocka_unit_test(test_acceptor_restart_after_accept_refuses_lower_prepare),
        cmocka_unit_test(test_acceptor_crash_before_the_write_promised_nothing),
        cmocka_unit_test(test_acceptor_chosen_slot_is_answered_chosen),
        cmocka_unit_test(test_acceptor_late_prepare_below_the_floor_is_answered_chosen),
        cmocka_unit_test(test_acceptor_slot_beyond_the_window_is_not_answered),
        cmocka_unit_test(test_learner_notice_chooses_only_what_was_accepted_under_it),
        cmocka_unit_test(test_learner_value_survives_a_restart),
        cmocka_unit_test(test_learner_asks_for_what_it_misses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_paxos_paper.c - the rules of Paxos Made Simple, one test each, in the order of the paper.
 *
 * The node under test is node 1; the test plays its peers (puppet.h). Ids P1..P14 are those of the
 * list of properties; P1a, P2c and the like are the paper's.
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

static struct puppet *start(const char *engine, uint32_t nodes)
{
    static struct puppet p;
    puppet_init(&p, engine, 1, nodes);
    puppet_start(&p);
    puppet_forget(&p);
    return &p;
}

static uint8_t role(const struct puppet *p)
{
    struct consensus_status status;
    consensus_status(p->c, &status);
    return status.role;
}

static uint64_t displaced(const struct puppet *p)
{
    struct consensus_status status;
    consensus_status(p->c, &status);
    return status.displaced;
}

/* A promise of `b` for one slot; command UINT64_MAX: nothing was accepted. */
static void promise(struct puppet *p, uint32_t from, uint64_t b, struct log_pos accepted,
                    uint64_t command)
{
    struct message *m = puppet_message(p, MSG_PAXOS_PROMISE, from);
    m->epoch = b;
    m->pos.index = accepted.index;
    m->last = accepted.index;
    if (command != UINT64_MAX) {
        puppet_add(m, accepted, command);
    }
    puppet_step(p, m);
}

static void accepted(struct puppet *p, uint32_t from, uint64_t b, uint64_t index)
{
    struct message *m = puppet_message(p, MSG_PAXOS_ACCEPTED, from);
    m->epoch = b;
    m->pos.index = index;
    m->last = index;
    puppet_step(p, m);
}

static void nack(struct puppet *p, uint32_t from, struct log_pos refused, uint64_t promised)
{
    struct message *m = puppet_message(p, MSG_PAXOS_NACK, from);
    m->epoch = refused.epoch;
    m->pos.index = refused.index;
    m->last = refused.index;
    m->hint.epoch = promised;
    puppet_step(p, m);
}

/* The ballot of the oldest prepare sent, with its first slot; all prepares are forgotten. */
static struct log_pos prepared(struct puppet *p)
{
    struct message *m = puppet_sent(p, MSG_PAXOS_PREPARE, 0);
    if (m == NULL) {
        return (struct log_pos){0, 0};
    }
    const struct log_pos pos = {m->pos.index, m->epoch};
    message_free(m);
    while ((m = puppet_sent(p, MSG_PAXOS_PREPARE, 0)) != NULL) {
        message_free(m);
    }
    return pos;
}

/* The command that an accept for this slot proposes; UINT64_MAX: none was sent. */
static uint64_t proposed(struct puppet *p, uint64_t index)
{
    uint64_t command = UINT64_MAX;
    struct message *m;
    while ((m = puppet_sent(p, MSG_PAXOS_ACCEPT, 2)) != NULL) {
        for (uint32_t i = 0; i < m->entries_count; i++) {
            if (m->entries[i].index == index) {
                command = value_number(m->entries[i].value);
            }
        }
        message_free(m);
    }
    return command;
}

/* 2.2, P1: "An acceptor must accept the first proposal that it receives." */
static void test_paper_p1_first_proposal_is_accepted(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 3);
    struct message *m = puppet_message(p, MSG_PAXOS_ACCEPT, 2);
    m->epoch = ballot(1, 2);
    puppet_add(m, (struct log_pos){1, ballot(1, 2)}, 42);
    puppet_step(p, m);
    assert_int_equal(puppet_at(p, 1), 42);
    assert_int_equal(puppet_count(p, MSG_PAXOS_ACCEPTED), 1);
    puppet_release(p);
}

/* 2.2: "different proposers choose their numbers from disjoint sets of numbers". P5, P7. */
static void test_paper_ballots_are_disjoint_and_ordered(void **state)
{
    (void) state;
    assert_int_not_equal(ballot(1, 1), ballot(1, 2));
    assert_true(ballot(1, NODE_ID_MAX) < ballot(2, 1));
    assert_int_equal(ballot_node(ballot(77, 3)), 3);
    assert_int_equal(ballot_round(ballot(77, 3)), 77);
}

/* 2.2 phase 1a, then 2a only with a majority: with five nodes two promises are not enough. */
static void test_paper_phase_2_needs_a_majority_of_promises(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 5);
    assert_int_equal(puppet_propose(p, 42), OK); /* the promise of node 1 itself comes at once */
    struct log_pos pos = prepared(p);
    assert_int_equal(pos.index, 1);
    promise(p, 2, pos.epoch, pos, UINT64_MAX);
    promise(p, 2, pos.epoch, pos, UINT64_MAX); /* the same one twice is one */
    assert_int_equal(proposed(p, 1), UINT64_MAX);
    promise(p, 3, pos.epoch, pos, UINT64_MAX);
    assert_int_equal(proposed(p, 1), 42);
    puppet_release(p);
}

/* P14: a node's own promise counts when it is durable, as everybody's. */
static void test_paper_own_promise_counts_when_durable(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 3);
    assert_int_equal(puppet_propose(p, 41), OK); /* reserves ballots */
    puppet_forget(p);
    p->held = true;
    assert_int_equal(puppet_propose(p, 42), OK);
    struct log_pos pos = prepared(p);
    assert_int_equal(pos.index, 2);
    assert_int_equal(proposed(p, 2), UINT64_MAX);
    puppet_sync(p); /* our own: one of three */
    assert_int_equal(proposed(p, 2), UINT64_MAX);
    promise(p, 3, pos.epoch, pos, UINT64_MAX);
    assert_int_equal(proposed(p, 2), 42);
    puppet_release(p);
}

/* 2.2, P2c (P6): "v is the value of the highest-numbered proposal among all proposals numbered less
 * than n accepted by the acceptors in S". Two partial accepts with different ballots: the higher
 * one counts, whichever promise comes last. */
static void test_paper_p2c_highest_accepted_ballot_wins(void **state)
{
    (void) state;
    for (uint32_t order = 0; order < 2; order++) {
        struct puppet *p = start("paxos", 5);
        assert_int_equal(puppet_propose(p, 42), OK);
        struct log_pos pos = prepared(p);
        /* Node 1 has promised; the third promise makes the majority. */
        struct log_pos low = {1, ballot(1, 2)};
        struct log_pos high = {1, ballot(1, 3)};
        promise(p, order == 0 ? 2 : 3, pos.epoch, order == 0 ? low : high, order == 0 ? 71 : 72);
        promise(p, order == 0 ? 3 : 2, pos.epoch, order == 0 ? high : low, order == 0 ? 72 : 71);
        assert_int_equal(proposed(p, 1), 72);
        /* Our own value was never sent for slot 1: it has taken another slot meanwhile. */
        assert_int_equal(displaced(p), 1);
        assert_int_equal(prepared(p).index, 2);
        puppet_release(p);
    }
}

/* Runs until the node has sent a prepare for all slots; returns its ballot. */
static uint64_t stand(struct puppet *p, uint64_t promised)
{
    struct log_pos pos = {0, 0};
    for (uint32_t i = 0; i < 100 && pos.epoch == 0; i++) {
        puppet_greet(p, UINT64_MAX, promised);
        pos = prepared(p);
        puppet_run(p, p->options.heartbeat_us);
    }
    return pos.epoch;
}

/* 2.2, P2c (P6): the same for all slots of a Multi-Paxos leader: "for that slot". The highest
 * ballot of the whole promise says nothing about a slot in which it was not accepted. */
static void test_paper_p2c_is_per_slot_for_a_leader(void **state)
{
    (void) state;
    for (uint32_t order = 0; order < 2; order++) {
        struct puppet *p = start("multipaxos", 5);
        uint64_t b = stand(p, ballot(8, 3));
        assert_true(b > ballot(8, 3)); /* above all it heard of */
        for (uint32_t i = 0; i < 2; i++) {
            bool high = i == order;
            struct message *m = puppet_message(p, MSG_PAXOS_PROMISE, high ? 3 : 2);
            m->epoch = b;
            m->pos.index = 1;
            m->last = 4;
            if (high) {
                puppet_add(m, (struct log_pos){2, ballot(8, 3)}, 52);
            } else {
                puppet_add(m, (struct log_pos){1, ballot(2, 2)}, 51);
                puppet_add(m, (struct log_pos){2, ballot(3, 2)}, 77);
                puppet_add(m, (struct log_pos){4, ballot(3, 2)}, 54);
            }
            puppet_step(p, m);
            assert_int_equal(role(p), i == 0 ? ROLE_CANDIDATE : ROLE_LEADER);
        }
        struct message *m = puppet_sent(p, MSG_PAXOS_ACCEPT, 2);
        assert_non_null(m);
        /* P8: all slots up to the highest seen, the gap with a no-op. */
        assert_int_equal(m->entries_count, 4);
        assert_int_equal(value_number(m->entries[0].value), 51);
        assert_int_equal(value_number(m->entries[1].value), 52);
        assert_int_equal(m->entries[2].value->kind, VALUE_NOOP);
        assert_int_equal(value_number(m->entries[3].value), 54);
        message_free(m);
        puppet_release(p);
    }
}

/* What the proposer's own acceptor has accepted belongs to the promises, too. */
static void test_paper_p2c_counts_the_own_acceptor(void **state)
{
    (void) state;
    struct puppet *p = start("multipaxos", 3);
    struct message *m = puppet_message(p, MSG_PAXOS_ACCEPT, 3);
    m->epoch = ballot(1, 3);
    puppet_add(m, (struct log_pos){2, ballot(1, 3)}, 62);
    puppet_step(p, m);
    assert_true(puppet_elect(p) > ballot(1, 3));
    assert_int_equal(puppet_at(p, 1), 0); /* a no-op */
    assert_int_equal(puppet_at(p, 2), 62);
    assert_int_equal(puppet_propose(p, 63), OK);
    assert_int_equal(puppet_at(p, 3), 63); /* new ones behind (P8) */
    puppet_release(p);
}

/* 2.2: "A value is chosen when a majority has accepted it", and not before; 2.3: then it is told.
 */
static void test_paper_chosen_needs_a_majority_of_accepts(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 5);
    assert_int_equal(puppet_propose(p, 42), OK);
    struct log_pos pos = prepared(p);
    promise(p, 2, pos.epoch, pos, UINT64_MAX);
    promise(p, 3, pos.epoch, pos, UINT64_MAX);
    accepted(p, 2, pos.epoch, 1);
    accepted(p, 2, pos.epoch, 1);
    accepted(p, 4, pos.epoch - 1, 1); /* of another ballot */
    assert_int_equal(log_commit(p->log), 0);
    assert_int_equal(puppet_count(p, MSG_PAXOS_CHOSEN), 0);
    accepted(p, 3, pos.epoch, 1);
    assert_int_equal(log_commit(p->log), 1);
    assert_int_equal(puppet_count(p, MSG_PAXOS_CHOSEN), 4);
    struct message *m = puppet_sent(p, MSG_PAXOS_CHOSEN, 2);
    assert_int_equal(m->entries_count, 0); /* a notice: they have the value */
    assert_int_equal(m->epoch, pos.epoch);
    message_free(m);
    puppet_release(p);
}

/* P14: a leader's own accept counts when it is durable. */
static void test_paper_own_accept_counts_when_durable(void **state)
{
    (void) state;
    struct puppet *p = start("multipaxos", 5);
    uint64_t b = puppet_elect(p);
    p->held = true;
    assert_int_equal(puppet_propose(p, 42), OK);
    assert_int_equal(proposed(p, 1), 42); /* the accept does not wait for the leader's disk */
    accepted(p, 2, b, 1);
    accepted(p, 3, b, 1); /* with node 1 that would be three */
    if (log_commit(p->log) == 1) {
        fail_msg("counted before it was durable");
    }
    puppet_sync(p);
    assert_int_equal(log_commit(p->log), 1);
    puppet_release(p);
}

/* 2.3: a learner that missed the value gets it; who refused the accept gets it unasked. */
static void test_paper_learners_that_refused_get_the_value(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 3);
    assert_int_equal(puppet_propose(p, 42), OK);
    struct log_pos pos = prepared(p);
    promise(p, 2, pos.epoch, pos, UINT64_MAX);
    nack(p, 3, pos, ballot(900, 3));
    accepted(p, 2, pos.epoch, 1);
    assert_int_equal(log_commit(p->log), 1);
    struct message *m = puppet_sent(p, MSG_PAXOS_CHOSEN, 3);
    message_free(m); /* the notice for all */
    m = puppet_sent(p, MSG_PAXOS_CHOSEN, 3);
    assert_non_null(m);
    assert_int_equal(m->entries_count, 1);
    assert_int_equal(value_number(m->entries[0].value), 42);
    message_free(m);
    puppet_release(p);
}

/* 2.4: "a proposer should abandon a proposal when it learns of a higher-numbered prepare". Before
 * any accept the value simply takes another slot. */
static void test_paper_refused_prepare_leaves_the_slot(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 3);
    assert_int_equal(puppet_propose(p, 42), OK);
    struct log_pos pos = prepared(p);
    nack(p, 2, pos, ballot(500, 2));
    struct log_pos next = prepared(p);
    assert_int_equal(next.index, 2);
    promise(p, 2, pos.epoch, pos, UINT64_MAX); /* too late: no accept for slot 1 */
    assert_int_equal(proposed(p, 1), UINT64_MAX);
    puppet_release(p);
}

/* 2.4, P12: refused by a majority after the accept, the value stays with its slot, and after a
 * random pause a higher ballot tries again. */
static void test_paper_refused_accept_tries_a_higher_ballot_later(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 5);
    assert_int_equal(puppet_propose(p, 42), OK);
    struct log_pos pos = prepared(p);
    promise(p, 2, pos.epoch, pos, UINT64_MAX);
    promise(p, 3, pos.epoch, pos, UINT64_MAX);
    for (uint32_t peer = 2; peer <= 3; peer++) {
        nack(p, peer, pos, ballot(500, 2));
    }
    assert_int_equal(prepared(p).index, 0); /* two refusals of five: still possible */
    nack(p, 4, pos, ballot(500, 2));
    assert_int_equal(prepared(p).index, 0); /* not at once */
    puppet_run(p, p->options.backoff_min_us);
    struct log_pos again = prepared(p);
    assert_int_equal(again.index, 1);
    assert_true(again.epoch > ballot(500, 2));
    /* The winner's value was accepted somewhere: P2c binds us to it, though ours is bound to the
     * slot as well. It is not given up before the slot is known to be chosen. */
    promise(p, 2, again.epoch, (struct log_pos){1, ballot(500, 2)}, 77);
    promise(p, 3, again.epoch, again, UINT64_MAX);
    assert_int_equal(proposed(p, 1), 77);
    assert_int_equal(displaced(p), 0);
    accepted(p, 2, again.epoch, 1);
    accepted(p, 3, again.epoch, 1);
    assert_int_equal(puppet_at(p, 1), 77);
    assert_int_equal(displaced(p), 1);
    puppet_release(p);
}

/* 2.4, P12: refused by some, and the others that it would take say nothing: they may be down, and
 * the accept that was refused is repeated under a higher ballot. */
static void test_paper_refused_accept_does_not_wait_for_the_silent(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 5);
    puppet_greet(p, UINT64_MAX, 0);
    assert_int_equal(puppet_propose(p, 42), OK);
    struct log_pos pos = prepared(p);
    promise(p, 2, pos.epoch, pos, UINT64_MAX);
    promise(p, 3, pos.epoch, pos, UINT64_MAX);
    assert_int_equal(proposed(p, 1), 42);
    nack(p, 2, pos, ballot(500, 2));
    puppet_run(p, p->options.resend_us / 2);
    puppet_greet(p, UINT64_MAX, 0);
    assert_int_equal(prepared(p).index, 0);
    puppet_run(p, p->options.resend_us / 2 + p->options.backoff_min_us);
    struct log_pos again = prepared(p);
    assert_int_equal(again.index, 1);
    assert_true(again.epoch > ballot(500, 2));
    assert_int_equal(displaced(p), 0); /* it may be chosen in slot 1 yet */
    puppet_release(p);
}

/* A bound value is proposed elsewhere only when its slot was chosen with another one. */
static void test_paper_displaced_value_gets_another_slot_once(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 3);
    assert_int_equal(puppet_propose(p, 42), OK);
    struct log_pos pos = prepared(p);
    promise(p, 2, pos.epoch, pos, UINT64_MAX);
    assert_int_equal(proposed(p, 1), 42);
    nack(p, 2, pos, ballot(500, 2));
    nack(p, 3, pos, ballot(500, 2));
    assert_int_equal(displaced(p), 0); /* it may be chosen in slot 1 yet */
    struct message *m = puppet_message(p, MSG_PAXOS_CHOSEN, 2);
    puppet_add(m, (struct log_pos){1, ballot(500, 2)}, 77);
    puppet_step(p, m);
    assert_int_equal(displaced(p), 1);
    pos = prepared(p);
    assert_int_equal(pos.index, 2);
    promise(p, 2, pos.epoch, pos, UINT64_MAX);
    assert_int_equal(proposed(p, 2), 42);
    puppet_release(p);
}

/* The same, but another proposer finished the slot with our value: nothing is proposed again. */
static void test_paper_value_chosen_by_another_is_not_proposed_again(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 3);
    assert_int_equal(puppet_propose(p, 42), OK);
    struct log_pos pos = prepared(p);
    promise(p, 2, pos.epoch, pos, UINT64_MAX);
    nack(p, 2, pos, ballot(500, 2));
    nack(p, 3, pos, ballot(500, 2));
    struct message *m = puppet_message(p, MSG_PAXOS_CHOSEN, 2);
    puppet_add(m, (struct log_pos){1, ballot(500, 2)}, 42);
    puppet_step(p, m);
    puppet_run(p, 10 * p->options.backoff_max_us);
    assert_int_equal(displaced(p), 0);
    assert_int_equal(prepared(p).index, 0);
    puppet_release(p);
}

/* 2.5, P7: "each proposer remembers (in stable storage) the highest-numbered proposal it has tried
 * to issue, and begins phase 1 with a higher proposal number". Also when nothing else survived. */
static void test_paper_ballots_rise_over_restarts(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 3);
    uint64_t before = 0;
    p->held = true;
    assert_int_equal(puppet_propose(p, 1), OK);
    assert_int_equal(puppet_count(p, MSG_PAXOS_PREPARE), 0); /* the number is not ours yet */
    puppet_sync(p);
    assert_int_equal(puppet_count(p, MSG_PAXOS_PREPARE), 2);
    puppet_restart(p);
    for (uint64_t life = 1; life <= 4; life++) {
        assert_int_equal(puppet_propose(p, life), OK);
        struct log_pos pos = prepared(p);
        assert_true(pos.epoch > before);
        before = pos.epoch;
        p->held = true; /* this promise is lost, but the number was used */
        assert_int_equal(puppet_propose(p, 100 + life), OK);
        pos = prepared(p);
        assert_true(pos.epoch >= before);
        before = pos.epoch;
        puppet_restart(p);
    }
    puppet_release(p);
    p = start("multipaxos", 3);
    before = 0;
    for (uint64_t life = 1; life <= 4; life++) {
        uint64_t b = puppet_elect(p);
        assert_true(b > before);
        before = b;
        puppet_restart(p);
    }
    puppet_release(p);
}

/* P7 in Multi-Paxos: no prepare leaves before its ballot is durable here. */
static void test_paper_prepare_leaves_after_the_own_promise(void **state)
{
    (void) state;
    struct puppet *p = start("multipaxos", 3);
    p->held = true;
    for (uint32_t i = 0; i < 100 && list_empty(&p->writes); i++) {
        puppet_greet(p, UINT64_MAX, 0);
        puppet_run(p, p->options.heartbeat_us / 4);
    }
    assert_false(list_empty(&p->writes)); /* its own promise */
    assert_int_equal(puppet_count(p, MSG_PAXOS_PREPARE), 0);
    assert_int_equal(role(p), ROLE_CANDIDATE);
    /* Nor do promises of that ballot, wherever they come from, make a leader without our own. */
    for (uint32_t round = 1; round < 20; round++) {
        for (uint32_t peer = 2; peer <= 3; peer++) {
            promise(p, peer, ballot(round, 1), (struct log_pos){1, 0}, UINT64_MAX);
        }
    }
    assert_int_equal(role(p), ROLE_CANDIDATE);
    p->held = false;
    assert_int_not_equal(puppet_elect(p), 0);
    assert_int_not_equal(p->hard.epoch, 0);
    puppet_release(p);
}

/* Section 3: phase 1 once, "a single reasonably short message" for all instances; then phase 2
 * only: a command costs one message to each peer and one write. Several in flight, and a turn's
 * together. */
static void test_paper_leader_needs_phase_2_only(void **state)
{
    (void) state;
    struct puppet *p = start("multipaxos", 3);
    uint64_t b = puppet_elect(p);
    uint64_t writes = p->writes_count;
    assert_int_equal(puppet_propose_many(p, 11, 5), OK);
    assert_int_equal(puppet_count(p, MSG_PAXOS_PREPARE), 0);
    assert_int_equal(puppet_count(p, MSG_PAXOS_ACCEPT), 2); /* one to each peer */
    assert_int_equal(p->writes_count, writes + 1);
    struct message *m = puppet_sent(p, MSG_PAXOS_ACCEPT, 2);
    assert_int_equal(m->entries_count, 5);
    message_free(m);
    /* "it can propose commands i + 1 through i + alpha": out of order is fine, applied in order. */
    accepted(p, 2, b, 2);
    assert_int_equal(log_slot(p->log, 2)->state, SLOT_CHOSEN);
    assert_int_equal(log_commit(p->log), 0);
    accepted(p, 2, b, 1);
    assert_int_equal(log_commit(p->log), 2);
    m = puppet_sent(p, MSG_PAXOS_CHOSEN, 3);
    assert_non_null(m);
    assert_int_equal(m->commit, 2);
    message_free(m);
    puppet_release(p);
}

/* Lost accepts are sent again, to those who did not answer. */
static void test_paper_unanswered_accepts_are_repeated(void **state)
{
    (void) state;
    struct puppet *p = start("multipaxos", 5);
    uint64_t b = puppet_elect(p);
    assert_int_equal(puppet_propose(p, 42), OK);
    accepted(p, 2, b, 1);
    puppet_forget(p);
    puppet_greet(p, UINT64_MAX, 0);
    puppet_run(p, 2 * p->options.resend_us);
    assert_null(puppet_sent(p, MSG_PAXOS_ACCEPT, 2));
    assert_int_equal(proposed(p, 1), UINT64_MAX);
    struct message *m = puppet_sent(p, MSG_PAXOS_ACCEPT, 3);
    assert_non_null(m);
    assert_int_equal(value_number(m->entries[0].value), 42);
    message_free(m);
    puppet_release(p);
}

/* Section 3, P8: reads wait for the slots that phase 1 brought up, and for a quorum's word that
 * nobody leads above us (P9 of the read argument in multipaxos_read.c). */
static void test_paper_reads_wait_for_barrier_and_confirmation(void **state)
{
    (void) state;
    struct puppet *p = start("multipaxos", 3);
    struct message *m = puppet_message(p, MSG_PAXOS_ACCEPT, 3);
    m->epoch = ballot(1, 3);
    puppet_add(m, (struct log_pos){3, ballot(1, 3)}, 62);
    puppet_step(p, m);
    uint64_t b = puppet_elect(p);
    assert_int_equal(puppet_read(p, 9), OK);
    assert_int_equal(p->read_ctx, 0); /* not on our own word */
    m = puppet_sent(p, MSG_PAXOS_HEARTBEAT, 2);
    assert_non_null(m);
    struct message *reply = puppet_message(p, MSG_PAXOS_HEARTBEAT_REPLY, 2);
    reply->epoch = b;
    reply->ctx = m->ctx;
    message_free(m);
    puppet_step(p, reply);
    assert_int_equal(p->read_ctx, 9);
    assert_int_equal(p->read_err, OK);
    assert_int_equal(p->read_index, 3); /* the barrier, although nothing is chosen yet */
    puppet_release(p);
}

/* A higher ballot somewhere: the leader stops leading, and does not answer reads. */
static void test_paper_nack_ends_leadership(void **state)
{
    (void) state;
    struct puppet *p = start("multipaxos", 3);
    uint64_t b = puppet_elect(p);
    assert_int_equal(puppet_propose(p, 42), OK);
    assert_int_equal(puppet_read(p, 9), OK);
    nack(p, 2, (struct log_pos){1, b}, b - 1); /* a refusal that names nothing higher */
    assert_int_equal(role(p), ROLE_LEADER);
    nack(p, 2, (struct log_pos){1, b}, ballot(500, 2));
    assert_int_not_equal(role(p), ROLE_LEADER);
    assert_int_equal(p->read_ctx, 9);
    assert_int_not_equal(p->read_err, OK);
    accepted(p, 2, b, 1); /* of the old ballot: true, but no longer counted here */
    assert_int_equal(log_commit(p->log), 0);
    uint64_t next = puppet_elect(p);
    assert_true(next > ballot(500, 2));
    assert_int_equal(puppet_at(p, 1), 42); /* its own accepted value is adopted */
    puppet_release(p);
}

/* P1, P3: a leader's commit index says "chosen under my ballot or a lower one", by which others
 * choose what they accepted under that ballot or a higher one. So a candidate that learns a value
 * chosen above its ballot must not come to lead under it, though a majority once promised. */
static void test_paper_candidate_that_learns_of_a_higher_ballot_does_not_lead(void **state)
{
    (void) state;
    struct puppet *p = start("multipaxos", 5);
    struct log_pos pos = {0, 0};
    for (uint32_t i = 0; i < 100 && pos.epoch == 0; i++) {
        puppet_greet(p, UINT64_MAX, 0);
        pos = prepared(p);
        puppet_run(p, pos.epoch == 0 ? p->options.heartbeat_us / 4 : 0);
    }
    assert_int_equal(role(p), ROLE_CANDIDATE);
    /* Node 5 accepted 77 under a ballot in between; 42 was then chosen by 2, 3 and 4. */
    const uint64_t higher = ballot(ballot_round(pos.epoch) + 2, 3);
    struct message *m = puppet_message(p, MSG_PAXOS_LEARN_REPLY, 3);
    m->pos.index = 1;
    m->commit = 1;
    puppet_add(m, (struct log_pos){1, higher}, 42);
    puppet_step(p, m);
    assert_int_equal(log_commit(p->log), 1);
    puppet_forget(p);
    /* The promises of 2 and 4 were sent before all that. */
    promise(p, 2, pos.epoch, (struct log_pos){1, 0}, UINT64_MAX);
    promise(p, 4, pos.epoch, (struct log_pos){1, 0}, UINT64_MAX);
    assert_int_not_equal(role(p), ROLE_LEADER);
    assert_int_equal(puppet_count(p, MSG_PAXOS_CHOSEN), 0);
    while ((m = puppet_sent(p, MSG_PAXOS_HEARTBEAT, 5)) != NULL) {
        assert_int_equal(m->epoch, 0);
        message_free(m);
    }
    assert_true(puppet_elect(p) > higher);
    puppet_release(p);
}

/* A read without a leader: the highest slot in use at any of a quorum, its own included; and what
 * nobody finishes up to there, this node does. */
static void test_paper_quorum_read_takes_the_highest_slot(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 5);
    struct message *m = puppet_message(p, MSG_PAXOS_ACCEPT, 2);
    m->epoch = ballot(1, 2);
    puppet_add(m, (struct log_pos){1, ballot(1, 2)}, 42);
    puppet_step(p, m);
    assert_int_equal(puppet_read(p, 9), OK);
    const uint64_t highest[] = {4, 2};
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(p->read_ctx, 0); /* two of five are no quorum */
        m = puppet_sent(p, MSG_PAXOS_READ, i + 2);
        assert_non_null(m);
        struct message *reply = puppet_message(p, MSG_PAXOS_READ_REPLY, i + 2);
        reply->ctx = m->ctx;
        reply->pos.index = highest[i];
        message_free(m);
        puppet_step(p, reply);
    }
    assert_int_equal(p->read_ctx, 9);
    assert_int_equal(p->read_index, 4);
    puppet_greet(p, UINT64_MAX, 0);
    puppet_forget(p);
    for (uint32_t i = 0; i < 10; i++) {
        puppet_run(p, p->options.heartbeat_us);
        puppet_greet(p, UINT64_MAX, 0);
    }
    m = puppet_sent(p, MSG_PAXOS_PREPARE, 2);
    assert_non_null(m);
    assert_int_equal(m->pos.index, 1);
    uint64_t last = m->last;
    while (last < 4) {
        message_free(m);
        m = puppet_sent(p, MSG_PAXOS_PREPARE, 2);
        assert_non_null(m);
        last = m->last;
    }
    message_free(m);
    puppet_release(p);
}

/* A node that nobody hears starts nothing: its promises would hold slots for nothing. */
static void test_paper_unheard_node_takes_no_slot(void **state)
{
    const char *const engines[] = {"paxos", "multipaxos"};
    (void) state;
    for (size_t e = 0; e < 2; e++) {
        struct puppet *p = start(engines[e], 3);
        for (uint32_t i = 0; i < 20; i++) {
            puppet_greet(p, 0, 0);
            puppet_run(p, p->options.heartbeat_us);
        }
        if (e == 0) {
            assert_int_equal(puppet_propose(p, 42), OK);
        }
        assert_int_equal(puppet_count(p, MSG_PAXOS_PREPARE), 0);
        assert_int_equal(puppet_count(p, MSG_PAXOS_PREPREPARE), 0);
        assert_int_not_equal(role(p), ROLE_CANDIDATE);
        for (uint32_t i = 0; i < 20; i++) {
            puppet_greet(p, UINT64_MAX, 0);
            puppet_run(p, p->options.heartbeat_us);
        }
        assert_true(puppet_count(p, MSG_PAXOS_PREPARE) > 0);
        puppet_release(p);
    }
}

static uint32_t proposer(const struct puppet *p)
{
    struct consensus_status status;
    consensus_status(p->c, &status);
    return status.proposer;
}

/* Lets some time-outs pass in which node 2 alone is heard, with whom it hears. */
static void hear_node_2(struct puppet *p, uint64_t seen)
{
    for (uint32_t i = 0; i < 20; i++) {
        struct message *m = puppet_message(p, MSG_PAXOS_HEARTBEAT, 2);
        m->seen = seen;
        puppet_step(p, m);
        puppet_run(p, p->options.heartbeat_us);
    }
    puppet_forget(p);
}

static void read_reply(struct puppet *p, struct log_pos from_index, uint64_t ctx, uint64_t seen)
{
    struct message *m = puppet_message(p, MSG_PAXOS_READ_REPLY, (uint32_t) from_index.epoch);
    m->ctx = ctx;
    m->pos.index = from_index.index;
    m->seen = seen;
    puppet_step(p, m);
}

/* E8: a node that is out of touch with a quorum turns to a peer that hears it and hears a quorum,
 * for values and for read points; to nobody else, and no longer than needed. */
static void test_paper_unconnected_node_turns_to_a_connected_one(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 5);
    assert_int_equal(proposer(p), 1);
    hear_node_2(p, 0x3);
    assert_int_equal(proposer(p), 0); /* node 2 is no better off */
    hear_node_2(p, 0x1e);
    assert_int_equal(proposer(p), 0); /* node 2 does not hear this one */
    hear_node_2(p, 0x1f);
    assert_int_equal(proposer(p), 2);
    assert_false(consensus_can_propose(p->c));
    assert_int_equal(puppet_propose(p, 42), ERR_NOT_LEADER);
    assert_int_equal(puppet_read(p, 9), OK);
    struct message *m = puppet_sent(p, MSG_PAXOS_READ, 2);
    assert_non_null(m);
    assert_int_equal(m->last, 1);
    read_reply(p, (struct log_pos){3, 2}, m->ctx, 0);
    assert_int_equal(p->read_ctx, 0); /* of node 2 alone */
    read_reply(p, (struct log_pos){4, 2}, m->ctx, 0x0e);
    assert_int_equal(p->read_ctx, 9);
    assert_int_equal(p->read_index, 4);
    message_free(m);
    puppet_greet(p, UINT64_MAX, 0);
    assert_int_equal(proposer(p), 1);
    assert_int_equal(puppet_propose(p, 42), OK);
    puppet_release(p);
}

/* R9: asked for a read point on behalf of a peer, a node asks a quorum, after it was asked and
 * once, and says whose answers it gives. A node that is out of touch itself asks nobody. */
static void test_paper_read_point_for_a_peer_is_that_of_a_quorum(void **state)
{
    (void) state;
    struct puppet *p = start("paxos", 5);
    puppet_greet(p, UINT64_MAX, 0);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 2; i++) { /* the question is repeated */
            struct message *m = puppet_message(p, MSG_PAXOS_READ, 2);
            m->ctx = 70 + round;
            m->last = 1;
            puppet_step(p, m);
            m = puppet_sent(p, MSG_PAXOS_READ_REPLY, 2);
            assert_non_null(m);
            assert_int_equal(m->seen, 0);
            message_free(m);
        }
        if (round == 1) {
            assert_int_equal(puppet_count(p, MSG_PAXOS_READ), 0);
            break;
        }
        assert_int_equal(puppet_count(p, MSG_PAXOS_READ), 4);
        struct message *m = puppet_sent(p, MSG_PAXOS_READ, 3);
        assert_int_equal(m->last, 0);
        read_reply(p, (struct log_pos){6, 3}, m->ctx, 0);
        assert_int_equal(puppet_count(p, MSG_PAXOS_READ_REPLY), 0);
        read_reply(p, (struct log_pos){4, 4}, m->ctx, 0);
        message_free(m);
        m = puppet_sent(p, MSG_PAXOS_READ_REPLY, 2);
        assert_non_null(m);
        assert_int_equal(m->ctx, 70);
        assert_int_equal(m->pos.index, 6);
        assert_int_equal(m->seen, 0x0d);
        message_free(m);
        hear_node_2(p, 0x3);
    }
    puppet_release(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paper_p1_first_proposal_is_accepted),
        cmocka_unit_test(test_paper_ballots_are_disjoint_and_ordered),
        cmocka_unit_test(test_paper_phase_2_needs_a_majority_of_promises),
        cmocka_unit_test(test_paper_own_promise_counts_when_durable),
        cmocka_unit_test(test_paper_p2c_highest_accepted_ballot_wins),
        cmocka_unit_test(test_paper_p2c_is_per_slot_for_a_leader),
        cmocka_unit_test(test_paper_p2c_counts_the_own_acceptor),
        cmocka_unit_test(test_paper_chosen_needs_a_majority_of_accepts),
        cmocka_unit_test(test_paper_own_accept_counts_when_durable),
        cmocka_unit_test(test_paper_learners_that_refused_get_the_value),
        cmocka_unit_test(test_paper_refused_prepare_leaves_the_slot),
        cmocka_unit_test(test_paper_refused_accept_tries_a_higher_ballot_later),
        cmocka_unit_test(test_paper_refused_accept_does_not_wait_for_the_silent),
        cmocka_unit_test(test_paper_displaced_value_gets_another_slot_once),
        cmocka_unit_test(test_paper_value_chosen_by_another_is_not_proposed_again),
        cmocka_unit_test(test_paper_ballots_rise_over_restarts),
        cmocka_unit_test(test_paper_prepare_leaves_after_the_own_promise),
        cmocka_unit_test(test_paper_leader_needs_phase_2_only),
        cmocka_unit_test(test_paper_unanswered_accepts_are_repeated),
        cmocka_unit_test(test_paper_quorum_read_takes_the_highest_slot),
        cmocka_unit_test(test_paper_unheard_node_takes_no_slot),
        cmocka_unit_test(test_paper_unconnected_node_turns_to_a_connected_one),
        cmocka_unit_test(test_paper_read_point_for_a_peer_is_that_of_a_quorum),
        cmocka_unit_test(test_paper_reads_wait_for_barrier_and_confirmation),
        cmocka_unit_test(test_paper_nack_ends_leadership),
        cmocka_unit_test(test_paper_candidate_that_learns_of_a_higher_ballot_does_not_lead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_replica_stale.c - an old copy of a node's disk is found out by those who knew more (D9).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/replica_bed.h"

static struct bed bed;

static int setup(void **state)
{
    (void) state;
    bed_init(&bed, &bed_engine_leader_ops, 3);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    bed_release(&bed);
    return 0;
}

static void start_as_leader(void)
{
    bed_start(&bed);
    bed_lead(&bed, ROLE_LEADER, BED_SELF, 5);
    bed_turn(&bed);
}

/* A message of node 2 to the engine. */
static int receive(struct envelope envelope)
{
    struct message *m = bed_message(&bed, MSG_RAFT_ALIVE, 2);
    envelope.cluster_id = BED_CLUSTER;
    int err = replica_receive(bed.replica, m, &envelope);
    message_free(m);
    return err;
}

static uint64_t told(void)
{
    return replica_envelope(bed.replica, 2).from_written;
}

/* R6: what is told is durable. */
static void test_replica_tells_writes_only_when_they_are_durable(void **state)
{
    (void) state;
    start_as_leader();
    uint64_t first = told();
    assert_int_equal(bed_put(&bed, 1, "a", "1"), OK);
    bed_turn(&bed);
    bed_commit_next(&bed);
    assert_int_equal(bed_reply(&bed, 1)->err, OK);
    assert_int_equal(told(), first);
    assert_true(bed_store_write(&bed) != 0);
    assert_int_equal(told(), first + 1);
}

/* A life that lost nothing is not behind of all that the lives before it told. */
static void test_replica_restart_tells_more_than_before(void **state)
{
    (void) state;
    start_as_leader();
    assert_int_equal(bed_put(&bed, 1, "a", "1"), OK);
    bed_turn(&bed);
    bed_commit_next(&bed);
    assert_true(bed_store_write(&bed) != 0);
    uint64_t before = told();
    assert_int_equal(bed_restart(&bed), OK);
    assert_true(told() >= before);
    assert_int_equal(receive((struct envelope){.to_seen = before}), OK);
    assert_int_equal(bed.engine->stepped, 1);
}

/* What it writes before a peer speaks does not make up for what it forgot. */
static void test_replica_own_writes_do_not_hide_forgotten_ones(void **state)
{
    (void) state;
    start_as_leader();
    assert_int_equal(bed_put(&bed, 1, "a", "1"), OK);
    bed_turn(&bed);
    bed_commit_next(&bed);
    assert_true(bed_store_write(&bed) != 0);
    uint64_t recovered = told();
    bed.peers_silent = true;
    assert_int_equal(bed_restart(&bed), OK);
    bed_lead(&bed, ROLE_LEADER, BED_SELF, 6);
    bed_turn(&bed);
    for (uint64_t call = 2; call < 6; call++) {
        assert_int_equal(bed_put(&bed, call, "a", "1"), OK);
        bed_turn(&bed);
        bed_commit_next(&bed);
        assert_true(bed_store_write(&bed) != 0);
    }
    assert_int_equal(told(), recovered);
    assert_int_equal(receive((struct envelope){.to_seen = recovered + 1}), ERR_STALE);
}

static void test_replica_that_forgot_writes_is_stale(void **state)
{
    struct replica_output out;
    (void) state;
    start_as_leader();
    assert_int_equal(receive((struct envelope){.to_seen = told()}), OK);
    assert_int_equal(bed.engine->stepped, 1);
    assert_int_equal(receive((struct envelope){.to_seen = told() + 1}), ERR_STALE);
    assert_int_equal(bed.engine->stepped, 1); /* it was not even looked at */
    assert_int_equal(replica_take(bed.replica, &out), ERR_STALE);
    assert_int_equal(bed_put(&bed, 1, "a", "1"), ERR_STALE);
}

/* Also by what is addressed to the life that was forgotten. */
static void test_replica_that_forgot_a_start_is_stale(void **state)
{
    (void) state;
    start_as_leader();
    assert_int_equal(receive((struct envelope){.to_incarnation = BED_INCARNATION}), OK);
    assert_int_equal(receive((struct envelope){.to_incarnation = BED_INCARNATION + 1}), ERR_STALE);
}

/* Whoever is not of this cluster knows nothing of us. */
static void test_replica_strangers_do_not_make_it_stale(void **state)
{
    (void) state;
    start_as_leader();
    struct message *m = bed_message(&bed, MSG_RAFT_ALIVE, 2);
    const struct envelope envelope = {.cluster_id = BED_CLUSTER + 1, .to_seen = UINT64_MAX};
    assert_int_equal(replica_receive(bed.replica, m, &envelope), OK);
    message_free(m);
    assert_int_equal(bed_status(&bed).strays, 1);
}

static void test_replica_remembers_the_most_that_a_peer_told(void **state)
{
    (void) state;
    start_as_leader();
    assert_int_equal(replica_envelope(bed.replica, 2).to_seen, 0);
    assert_int_equal(receive((struct envelope){.from_incarnation = 4, .from_written = 9}), OK);
    assert_int_equal(receive((struct envelope){.from_incarnation = 4, .from_written = 8}), OK);
    assert_int_equal(replica_envelope(bed.replica, 2).to_seen, 9);
    assert_int_equal(replica_envelope(bed.replica, 3).to_seen, 0);
    /* A late one of an earlier life is not acted on, but what it tells was true. */
    assert_int_equal(receive((struct envelope){.from_incarnation = 3, .from_written = 11}), OK);
    assert_int_equal(bed.engine->stepped, 2);
    assert_int_equal(replica_envelope(bed.replica, 2).to_seen, 11);
}

static void test_replica_says_only_gossip_to_who_did_not_speak(void **state)
{
    (void) state;
    bed.peers_silent = true;
    start_as_leader();
    struct message *gossip = bed_sent(&bed, MSG_REPLICA_GOSSIP);
    assert_non_null(gossip);
    message_free(gossip);
    bed_forget_sent(&bed);
    bed_engine_send(&bed, 2, 10, true, false);
    assert_null(bed_sent(&bed, MSG_RAFT_ALIVE));
    assert_int_equal(receive((struct envelope){.from_incarnation = 1}), OK);
    bed_engine_send(&bed, 3, 11, true, false);
    bed_engine_send(&bed, 2, 12, true, false);
    struct message *m = bed_sent(&bed, MSG_RAFT_ALIVE);
    assert_non_null(m);
    assert_int_equal(m->to, 2);
    assert_int_equal(m->ctx, 12);
    message_free(m);
    assert_null(bed_sent(&bed, MSG_RAFT_ALIVE));
}

static void test_replica_speaks_at_once_when_a_connection_is_up(void **state)
{
    (void) state;
    bed.peers_silent = true;
    start_as_leader();
    bed_forget_sent(&bed);
    bed_turn(&bed);
    assert_null(bed_sent(&bed, MSG_REPLICA_GOSSIP));
    replica_peer_up(bed.replica, 3, 0);
    bed_turn(&bed);
    struct message *gossip = bed_sent(&bed, MSG_REPLICA_GOSSIP);
    assert_non_null(gossip);
    message_free(gossip);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_replica_tells_writes_only_when_they_are_durable),
        TEST(test_replica_restart_tells_more_than_before),
        TEST(test_replica_own_writes_do_not_hide_forgotten_ones),
        TEST(test_replica_that_forgot_writes_is_stale),
        TEST(test_replica_that_forgot_a_start_is_stale),
        TEST(test_replica_strangers_do_not_make_it_stale),
        TEST(test_replica_remembers_the_most_that_a_peer_told),
        TEST(test_replica_says_only_gossip_to_who_did_not_speak),
        TEST(test_replica_speaks_at_once_when_a_connection_is_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_replica.c - the replica over a scripted engine: writes, messages, leaders, deadlines.
 *
 * Reads, applying, gossip and trimming: test_replica_state.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/support/replica_bed.h"

enum { TICK_US = 4096, MS = 1000 };

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

static void start_as_follower(void)
{
    bed_start(&bed);
    bed_lead(&bed, ROLE_FOLLOWER, 2, 5);
    bed_turn(&bed);
}

static uint64_t own_session(void)
{
    return (uint64_t) BED_SELF << 32 | BED_INCARNATION;
}

/* Batches. */

static void test_replica_commands_of_a_turn_are_one_value(void **state)
{
    (void) state;
    start_as_leader();
    assert_int_equal(bed_put(&bed, 11, "a", "1"), OK);
    assert_int_equal(bed_put(&bed, 12, "b", "2"), OK);
    assert_int_equal(bed_put(&bed, 13, "c", "3"), OK);
    assert_int_equal(bed.engine->proposed_count, 0);
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed_count, 1);
    const struct value *v = bed.engine->proposed[0];
    assert_int_equal(v->kind, VALUE_COMMANDS);
    assert_int_equal(v->count, 3);
    struct command c;
    size_t cursor = 0;
    for (uint64_t i = 1; i <= 3; i++) {
        assert_true(value_next(v, &cursor, &c));
        assert_int_equal(c.tag, TAG_PUT);
        assert_true(c.session == own_session());
        assert_true(c.sequence == i);
    }
    assert_null(bed_reply(&bed, 11)); /* K3: no answer before it is chosen */
    bed_commit_next(&bed);
    for (uint64_t i = 11; i <= 13; i++) {
        assert_non_null(bed_reply(&bed, i));
        assert_int_equal(bed_reply(&bed, i)->err, OK);
        assert_int_equal(bed_reply(&bed, i)->revision, 2 + (int64_t) i - 11);
    }
    assert_true(replica_idle(bed.replica));
}

static void test_replica_batch_grows_while_the_window_is_full(void **state)
{
    (void) state;
    start_as_leader();
    bed.engine->full = true;
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(bed_put(&bed, 100 + i, "a", "1"), OK);
        bed_turn(&bed);
    }
    assert_int_equal(bed.engine->proposed_count, 0);
    bed.engine->full = false;
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed_count, 1);
    assert_int_equal(bed.engine->proposed[0]->count, 5);
}

static void test_replica_batch_limits_cut_values(void **state)
{
    (void) state;
    bed.options.batch_commands_max = 4;
    start_as_leader();
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(bed_put(&bed, 100 + i, "a", "1"), OK);
    }
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed_count, 3);
    assert_int_equal(bed.engine->proposed[0]->count, 4);
    assert_int_equal(bed.engine->proposed[1]->count, 4);
    assert_int_equal(bed.engine->proposed[2]->count, 2);
}

/* K2: the same value chosen twice is applied once and answered once. */
static void test_replica_value_chosen_twice_is_applied_once(void **state)
{
    (void) state;
    start_as_leader();
    assert_int_equal(bed_put(&bed, 1, "a", "1"), OK);
    bed_turn(&bed);
    struct value *v = bed.engine->proposed[0];
    bed_commit(&bed, v);
    int64_t revision = bed_status(&bed).revision;
    bed_commit(&bed, v);
    assert_int_equal(bed_status(&bed).revision, revision);
    assert_int_equal(bed_status(&bed).applied, 2);
    assert_int_equal(bed.replies_count, 1);
}

/* K2: a client's own session: the retry is answered as the first time was. */
static void test_replica_client_session_retry_is_answered_again(void **state)
{
    const uint64_t session = UINT64_C(1) << 63 | 9;
    (void) state;
    start_as_leader();
    assert_int_equal(bed_put_session(&bed, 1, "a", session, 1), OK);
    bed_turn(&bed);
    bed_commit_next(&bed);
    assert_int_equal(bed_put(&bed, 2, "b", "1"), OK);
    assert_int_equal(bed_put_session(&bed, 3, "a", session, 1), OK);
    bed_turn(&bed);
    bed_commit_next(&bed);
    assert_int_equal(bed_reply(&bed, 1)->revision, 2);
    assert_int_equal(bed_reply(&bed, 2)->revision, 3);
    assert_int_equal(bed_reply(&bed, 3)->revision, 2);
    assert_int_equal(bed_put_session(&bed, 4, "a", 9, 1), ERR_INVALID); /* a node's */
}

/* Two batches may hold the same bytes: a client's retry through this node. Each is answered. */
static void test_replica_equal_batches_are_both_answered(void **state)
{
    const uint64_t session = UINT64_C(1) << 63 | 9;
    (void) state;
    start_as_leader();
    assert_int_equal(bed_put_session(&bed, 1, "a", session, 1), OK);
    bed_turn(&bed);
    assert_int_equal(bed_put_session(&bed, 2, "a", session, 1), OK);
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed_count, 2);
    bed_commit_next(&bed);
    bed_commit_next(&bed);
    assert_int_equal(bed_reply(&bed, 1)->revision, 2);
    assert_int_equal(bed_reply(&bed, 2)->revision, 2);
    assert_true(replica_idle(bed.replica));
}

/* Messages. */

/* R6, P14. */
static void test_replica_message_waits_for_its_write(void **state)
{
    (void) state;
    start_as_leader();
    bed_engine_send(&bed, 2, 10, false, true);
    assert_null(bed_sent(&bed, MSG_RAFT_ALIVE));
    bed_engine_send(&bed, 2, 20, true, false); /* promises nothing */
    struct message *m = bed_sent(&bed, MSG_RAFT_ALIVE);
    assert_non_null(m);
    assert_int_equal(m->ctx, 20);
    message_free(m);
    bed_engine_send(&bed, 2, 11, false, false); /* after what is written so far */
    bed_engine_send(&bed, 2, 12, false, true);
    assert_null(bed_sent(&bed, MSG_RAFT_ALIVE));
    assert_true(bed_store_write(&bed) != 0);
    for (uint64_t ctx = 10; ctx <= 11; ctx++) {
        m = bed_sent(&bed, MSG_RAFT_ALIVE);
        assert_non_null(m);
        assert_int_equal(m->ctx, ctx);
        message_free(m);
    }
    assert_null(bed_sent(&bed, MSG_RAFT_ALIVE));
    assert_true(bed_store_write(&bed) != 0);
    m = bed_sent(&bed, MSG_RAFT_ALIVE);
    assert_non_null(m);
    assert_int_equal(m->ctx, 12);
    message_free(m);
    bed_engine_send(&bed, 2, 13, false, false); /* nothing is under way */
    m = bed_sent(&bed, MSG_RAFT_ALIVE);
    assert_non_null(m);
    message_free(m);
}

static void test_replica_held_messages_keep_order_over_many_writes(void **state)
{
    enum { WRITES = 300 }; /* more than the ring holds at first */
    (void) state;
    start_as_leader();
    for (uint64_t i = 0; i < WRITES; i++) {
        bed_engine_send(&bed, 2, i, false, true);
    }
    for (uint64_t i = 0; i < WRITES; i++) {
        assert_true(bed_store_write(&bed) != 0);
        struct message *m = bed_sent(&bed, MSG_RAFT_ALIVE);
        assert_non_null(m);
        assert_int_equal(m->ctx, i);
        message_free(m);
    }
}

/* R6: a node counts itself by the same rule as others. */
static void test_replica_message_to_itself_comes_back_when_durable(void **state)
{
    (void) state;
    start_as_leader();
    bed_engine_send(&bed, BED_SELF, 10, false, true);
    assert_int_equal(bed.engine->stepped, 0);
    bed_engine_send(&bed, BED_SELF, 11, true, false);
    assert_int_equal(bed.engine->stepped, 1);
    assert_int_equal(bed.engine->stepped_ctx[0], 11);
    assert_true(bed_store_write(&bed) != 0);
    assert_int_equal(bed.engine->stepped, 2);
    assert_int_equal(bed.engine->stepped_ctx[1], 10);
    assert_null(bed_sent(&bed, MSG_RAFT_ALIVE));
}

static int receive(struct message *m, struct envelope envelope)
{
    int err = replica_receive(bed.replica, m, &envelope);
    message_free(m);
    return err;
}

static void test_replica_strays_are_dropped_and_counted(void **state)
{
    const struct envelope good = {.cluster_id = BED_CLUSTER, .from_incarnation = 4};
    (void) state;
    start_as_leader();
    struct envelope e = good;
    e.cluster_id++;
    assert_int_equal(receive(bed_message(&bed, MSG_RAFT_ALIVE, 2), e), OK);
    e = good;
    e.to_incarnation = BED_INCARNATION - 1;
    assert_int_equal(receive(bed_message(&bed, MSG_RAFT_ALIVE, 2), e), OK);
    assert_int_equal(receive(bed_message(&bed, MSG_RAFT_ALIVE, 9), good), OK);
    assert_int_equal(receive(bed_message(&bed, MSG_RAFT_ALIVE, BED_SELF), good), OK);
    struct message *m = bed_message(&bed, MSG_RAFT_ALIVE, 2);
    m->to = 3;
    assert_int_equal(receive(m, good), OK);
    m = bed_message(&bed, MSG_RAFT_ALIVE, 2);
    m->engine = ENGINE_MULTIPAXOS;
    assert_int_equal(receive(m, good), OK);
    assert_int_equal(bed.engine->stepped, 0);
    assert_int_equal(bed_status(&bed).strays, 6);
    e = good;
    e.to_incarnation = BED_INCARNATION;
    assert_int_equal(receive(bed_message(&bed, MSG_RAFT_ALIVE, 2), e), OK);
    assert_int_equal(bed.engine->stepped, 1);
    e = good;
    e.from_incarnation = 3; /* the life before the one just heard from */
    assert_int_equal(receive(bed_message(&bed, MSG_RAFT_ALIVE, 2), e), OK);
    assert_int_equal(bed.engine->stepped, 1);
    assert_int_equal(bed_status(&bed).strays, 7);
}

static void test_replica_envelope_names_the_life_last_known(void **state)
{
    (void) state;
    start_as_leader();
    assert_true(replica_envelope(bed.replica, 2).to_incarnation == 0);
    replica_peer_up(bed.replica, 2, 6);
    assert_true(replica_envelope(bed.replica, 2).to_incarnation == 6);
    replica_peer_up(bed.replica, 2, 5); /* an old connection */
    assert_true(replica_envelope(bed.replica, 2).to_incarnation == 6);
    assert_true(replica_envelope(bed.replica, 2).from_incarnation == BED_INCARNATION);
    assert_true(replica_envelope(bed.replica, 2).cluster_id == BED_CLUSTER);
}

/* Forwarding. */

static void test_replica_follower_forwards_and_answers_when_applied(void **state)
{
    (void) state;
    start_as_follower();
    assert_int_equal(bed_put(&bed, 1, "a", "1"), OK);
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed_count, 0);
    struct message *m = bed_sent(&bed, MSG_REPLICA_FORWARD);
    assert_non_null(m);
    assert_int_equal(m->to, 2);
    assert_int_equal(m->entries_count, 1);
    /* It comes back as another object with the same bytes. */
    struct value *v = m->entries[0].value;
    struct value *copy;
    struct value_head head = {.kind = v->kind, .count = v->count, .crc = v->crc};
    struct blob *blob = blob_copy(v->bytes);
    assert_int_equal(value_new_adopt(&head, blob_bytes(blob), blob, &copy), OK);
    message_free(m);
    bed_commit(&bed, copy);
    value_unref(copy);
    assert_non_null(bed_reply(&bed, 1));
    assert_int_equal(bed_reply(&bed, 1)->err, OK);
    bed_pass(&bed, 100 * bed.options.retry_us);
    assert_null(bed_sent(&bed, MSG_REPLICA_FORWARD)); /* it is over */
}

/* K2: what is sent again is the same value; time-outs double. */
static void test_replica_forward_is_repeated_ever_more_rarely(void **state)
{
    (void) state;
    start_as_follower();
    assert_int_equal(bed_put(&bed, 1, "a", "1"), OK);
    bed_turn(&bed);
    struct message *first = bed_sent(&bed, MSG_REPLICA_FORWARD);
    assert_non_null(first);
    uint64_t interval = bed.options.retry_us;
    for (uint32_t i = 0; i < 4; i++) {
        bed_pass(&bed, interval - TICK_US);
        assert_null(bed_sent(&bed, MSG_REPLICA_FORWARD));
        bed_pass(&bed, 2 * TICK_US);
        struct message *again = bed_sent(&bed, MSG_REPLICA_FORWARD);
        assert_non_null(again);
        assert_ptr_equal(again->entries[0].value, first->entries[0].value);
        message_free(again);
        interval *= 2;
    }
    message_free(first);
    assert_int_equal(bed_status(&bed).retries, 4);
}

static void test_replica_new_leader_gets_the_batch_at_once(void **state)
{
    (void) state;
    start_as_follower();
    assert_int_equal(bed_put(&bed, 1, "a", "1"), OK);
    bed_turn(&bed);
    message_free(bed_sent(&bed, MSG_REPLICA_FORWARD));
    bed_lead(&bed, ROLE_FOLLOWER, 0, 6);
    bed_pass(&bed, MS);
    assert_null(bed_sent(&bed, MSG_REPLICA_FORWARD));
    bed_lead(&bed, ROLE_FOLLOWER, 3, 6);
    bed_pass(&bed, MS);
    struct message *m = bed_sent(&bed, MSG_REPLICA_FORWARD);
    assert_non_null(m);
    assert_int_equal(m->to, 3);
    message_free(m);
    bed_lead(&bed, ROLE_LEADER, BED_SELF, 7); /* ourselves */
    bed_pass(&bed, MS);
    assert_int_equal(bed.engine->proposed_count, 1);
}

/* What a leader proposed is in its log as long as it leads. */
static void test_replica_leader_does_not_repeat_its_proposal(void **state)
{
    (void) state;
    start_as_leader();
    assert_int_equal(bed_put(&bed, 1, "a", "1"), OK);
    bed_turn(&bed);
    bed_pass(&bed, 10 * bed.options.retry_us);
    assert_int_equal(bed.engine->proposed_count, 1);
    bed_lead(&bed, ROLE_LEADER, BED_SELF, 6); /* it may have lost it between */
    bed_pass(&bed, MS);
    assert_int_equal(bed.engine->proposed_count, 2);
    assert_ptr_equal(bed.engine->proposed[0], bed.engine->proposed[1]);
}

static void reject(uint32_t from, uint64_t ctx, uint32_t hint)
{
    struct message *m = bed_message(&bed, MSG_REPLICA_FORWARD_REPLY, from);
    m->reject = true;
    m->ctx = ctx;
    m->hint.index = hint;
    assert_int_equal(bed_receive_take(&bed, m), OK);
    bed_turn(&bed);
}

static void test_replica_rejected_forward_follows_the_hint_once(void **state)
{
    (void) state;
    start_as_follower();
    assert_int_equal(bed_put(&bed, 1, "a", "1"), OK);
    bed_turn(&bed);
    struct message *m = bed_sent(&bed, MSG_REPLICA_FORWARD);
    uint64_t ctx = m->ctx;
    message_free(m);
    reject(2, ctx, 3);
    m = bed_sent(&bed, MSG_REPLICA_FORWARD);
    assert_non_null(m);
    assert_int_equal(m->to, 3);
    message_free(m);
    reject(2, ctx, 3); /* late, from whom it no longer lies with */
    assert_null(bed_sent(&bed, MSG_REPLICA_FORWARD));
    reject(3, ctx, 4000000); /* nonsense */
    m = bed_sent(&bed, MSG_REPLICA_FORWARD);
    assert_non_null(m); /* the engine says node 2 leads, not 3 */
    assert_int_equal(m->to, 2);
    message_free(m);
    reject(2, ctx, 3); /* the two name each other: by time now */
    assert_null(bed_sent(&bed, MSG_REPLICA_FORWARD));
    bed_pass(&bed, 40 * bed.options.retry_us);
    m = bed_sent(&bed, MSG_REPLICA_FORWARD);
    assert_non_null(m);
    message_free(m);
}

static struct message *forward_of(uint32_t from, uint64_t ctx)
{
    struct value_builder b;
    struct message *m = bed_message(&bed, MSG_REPLICA_FORWARD, from);
    const struct command c = {.tag = TAG_PUT, .session = (uint64_t) from << 32 | 1, .sequence = 1};
    value_builder_init(&b, 1000, 10);
    assert_int_equal(value_builder_add(&b, &c), OK);
    struct entry e = {.index = 1, .epoch = 1, .value = value_builder_detach(&b)};
    message_add_entry(m, &e);
    value_unref(e.value);
    value_builder_release(&b);
    m->ctx = ctx;
    return m;
}

static void test_replica_leader_proposes_what_is_forwarded(void **state)
{
    (void) state;
    start_as_leader();
    bed.engine->full = true;
    assert_int_equal(bed_receive_take(&bed, forward_of(2, 50)), OK);
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed_count, 0);
    bed.engine->full = false; /* it waited for room */
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed_count, 1);
    assert_null(bed_sent(&bed, MSG_REPLICA_FORWARD_REPLY));
}

static void test_replica_not_leader_rejects_what_is_forwarded(void **state)
{
    (void) state;
    start_as_follower();
    assert_int_equal(bed_receive_take(&bed, forward_of(3, 50)), OK);
    bed_turn(&bed);
    struct message *m = bed_sent(&bed, MSG_REPLICA_FORWARD_REPLY);
    assert_non_null(m);
    assert_int_equal(m->to, 3);
    assert_true(m->reject);
    assert_int_equal(m->ctx, 50);
    assert_int_equal(m->hint.index, 2);
    message_free(m);
    bed_lead(&bed, ROLE_LEADER, BED_SELF, 6);
    bed_turn(&bed);
    bed.engine->full = true;
    assert_int_equal(bed_receive_take(&bed, forward_of(3, 51)), OK);
    bed_turn(&bed);
    bed_lead(&bed, ROLE_FOLLOWER, 2, 7); /* lost while it waited */
    bed_turn(&bed);
    m = bed_sent(&bed, MSG_REPLICA_FORWARD_REPLY);
    assert_non_null(m);
    assert_int_equal(m->ctx, 51);
    message_free(m);
}

static void test_replica_forwards_in_flight_are_bounded(void **state)
{
    (void) state;
    bed.options.consensus.inflight_max = 2;
    start_as_follower();
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(bed_put(&bed, i, "a", "1"), OK);
        bed_turn(&bed);
    }
    struct message *first = bed_sent(&bed, MSG_REPLICA_FORWARD);
    message_free(bed_sent(&bed, MSG_REPLICA_FORWARD));
    assert_null(bed_sent(&bed, MSG_REPLICA_FORWARD));
    bed_commit(&bed, first->entries[0].value);
    message_free(first);
    struct message *m = bed_sent(&bed, MSG_REPLICA_FORWARD);
    assert_non_null(m);
    assert_int_equal(m->entries[0].value->count, 2); /* grown meanwhile */
    message_free(m);
}

/* Deadlines. */

/* K3: ERR_NO_LEADER means never applied; and sequences have no holes (kv/session.h). */
static void test_replica_command_that_never_left_is_taken_out(void **state)
{
    (void) state;
    bed_start(&bed);
    uint64_t soon = bed.now_us + 10 * MS;
    assert_int_equal(bed_put_until(&bed, 1, "a", soon), OK);
    assert_int_equal(bed_put(&bed, 2, "b", "2"), OK);
    bed_turn(&bed);
    assert_int_equal(bed_put_until(&bed, 3, "c", soon), OK);
    assert_int_equal(bed_put(&bed, 4, "d", "4"), OK);
    bed_turn(&bed);
    bed_pass(&bed, 9 * MS);
    assert_int_equal(bed.replies_count, 0);
    bed_pass(&bed, MS + TICK_US);
    assert_int_equal(bed_reply(&bed, 1)->err, ERR_NO_LEADER);
    assert_int_equal(bed_reply(&bed, 3)->err, ERR_NO_LEADER);
    bed_lead(&bed, ROLE_LEADER, BED_SELF, 5);
    bed_turn(&bed);
    uint64_t expected = 1;
    for (uint32_t i = 0; i < bed.engine->proposed_count; i++) {
        struct command c;
        size_t cursor = 0;
        while (value_next(bed.engine->proposed[i], &cursor, &c)) {
            assert_true(c.sequence == expected);
            expected++;
        }
    }
    assert_true(expected == 3);
    while (bed.engine->committed < bed.engine->proposed_count) {
        bed_commit_next(&bed);
    }
    assert_int_equal(bed_reply(&bed, 2)->revision, 2);
    assert_int_equal(bed_reply(&bed, 4)->revision, 3);
    assert_int_equal(bed_status(&bed).keys, 2);
}

/* The same over several values, each closed by its size. */
static void test_replica_sequences_are_dense_over_queued_batches(void **state)
{
    (void) state;
    bed.options.batch_commands_max = 3;
    bed_start(&bed);
    uint64_t soon = bed.now_us + 10 * MS;
    for (uint64_t i = 0; i < 20; i++) {
        bool dies = i % 3 == 0 || (i >= 9 && i <= 11); /* one whole batch too */
        assert_int_equal(bed_put_until(&bed, i, "a", dies ? soon : UINT64_MAX), OK);
    }
    bed_pass(&bed, 20 * MS);
    bed_lead(&bed, ROLE_LEADER, BED_SELF, 5);
    bed_turn(&bed);
    uint64_t expected = 1;
    for (uint32_t i = 0; i < bed.engine->proposed_count; i++) {
        struct command c;
        size_t cursor = 0;
        while (value_next(bed.engine->proposed[i], &cursor, &c)) {
            assert_true(c.sequence == expected);
            expected++;
        }
    }
    assert_true(expected == 12);
    assert_int_equal(bed_put(&bed, 100, "a", "1"), OK);
    bed_turn(&bed);
    struct command c;
    size_t cursor = 0;
    assert_true(value_next(bed.engine->proposed[bed.engine->proposed_count - 1], &cursor, &c));
    assert_true(c.sequence == 12);
}

/* K3: unknown, so it is called a time-out; the batch is still sent until it is applied. */
static void test_replica_command_that_left_times_out_and_goes_on(void **state)
{
    (void) state;
    start_as_follower();
    assert_int_equal(bed_put_until(&bed, 1, "a", bed.now_us + 10 * MS), OK);
    bed_turn(&bed);
    message_free(bed_sent(&bed, MSG_REPLICA_FORWARD));
    bed_pass(&bed, 20 * MS);
    assert_int_equal(bed_reply(&bed, 1)->err, ERR_TIMEOUT);
    assert_true(replica_idle(bed.replica));
    bed_pass(&bed, 2 * bed.options.retry_us);
    struct message *m = bed_sent(&bed, MSG_REPLICA_FORWARD);
    assert_non_null(m);
    bed_commit(&bed, m->entries[0].value);
    message_free(m);
    assert_int_equal(bed.replies_count, 1); /* no second answer */
    assert_int_equal(bed_status(&bed).keys, 1);
}

static void test_replica_full_window_until_deadline_is_too_many_requests(void **state)
{
    (void) state;
    start_as_leader();
    bed.engine->full = true;
    assert_int_equal(bed_put_until(&bed, 1, "a", bed.now_us + 10 * MS), OK);
    bed_turn(&bed);
    bed_pass(&bed, 20 * MS);
    assert_int_equal(bed_reply(&bed, 1)->err, ERR_TOO_MANY_REQUESTS);
    bed.engine->full = false;
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed_count, 0);
}

static void test_replica_deadline_covers_calls_and_gossip(void **state)
{
    (void) state;
    start_as_leader();
    bed.engine->full = true;
    uint64_t calm = replica_deadline(bed.replica);
    assert_true(calm > bed.now_us + 60000 * MS);
    assert_int_equal(bed_put_until(&bed, 1, "a", bed.now_us + 10 * MS), OK);
    bed_turn(&bed);
    assert_true(replica_deadline(bed.replica) <= bed.now_us + 10 * MS + TICK_US);
    assert_true(replica_deadline(bed.replica) >= bed.now_us + 10 * MS);
}

static void test_replica_canceled_call_is_not_answered(void **state)
{
    (void) state;
    start_as_leader();
    assert_int_equal(bed_put(&bed, 1, "a", "1"), OK);
    assert_int_equal(bed_put(&bed, 2, "b", "1"), OK);
    replica_cancel(bed.replica, 1); /* before it left: it never will */
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed[0]->count, 1);
    replica_cancel(bed.replica, 2);
    replica_cancel(bed.replica, 3); /* unknown */
    bed_commit_next(&bed);
    assert_int_equal(bed.replies_count, 0);
    assert_int_equal(bed_status(&bed).keys, 1);
    assert_true(replica_idle(bed.replica));
}

/* Back-pressure. */

static void test_replica_calls_beyond_the_limits_are_refused(void **state)
{
    (void) state;
    bed.options.calls_max = 3;
    start_as_leader();
    bed.engine->full = true;
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(bed_put(&bed, i, "a", "1"), OK);
    }
    assert_int_equal(bed_put(&bed, 2, "a", "1"), ERR_EXISTS);
    assert_int_equal(bed_put(&bed, 3, "a", "1"), ERR_TOO_MANY_REQUESTS);
    assert_int_equal(bed_get(&bed, 3, "a", true), ERR_TOO_MANY_REQUESTS);
    replica_cancel(bed.replica, 0);
    assert_int_equal(bed_get(&bed, 3, "a", true), OK);
    assert_int_equal(bed_status(&bed).refused, 3);
}

static void test_replica_bytes_under_way_are_bounded(void **state)
{
    char big[1000];
    (void) state;
    bed.options.call_bytes_max = 2500;
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    start_as_follower();
    assert_int_equal(bed_put(&bed, 1, "a", big), OK);
    assert_int_equal(bed_put(&bed, 2, "a", big), OK);
    assert_int_equal(bed_put(&bed, 3, "a", big), ERR_TOO_MANY_REQUESTS);
    bed_turn(&bed);
    replica_cancel(bed.replica, 1);
    replica_cancel(bed.replica, 2);
    /* They were sent: they count until they are applied. */
    assert_int_equal(bed_put(&bed, 3, "a", big), ERR_TOO_MANY_REQUESTS);
    struct message *m = bed_sent(&bed, MSG_REPLICA_FORWARD);
    bed_commit(&bed, m->entries[0].value);
    message_free(m);
    assert_int_equal(bed_put(&bed, 3, "a", big), OK);
}

/* K2: no unfinished sequence leaves the window in which duplicates are known. */
static void test_replica_session_window_is_never_left(void **state)
{
    uint64_t taken = 0;
    (void) state;
    bed.options.calls_max = 1000000;
    start_as_follower();
    assert_int_equal(bed_put(&bed, 1000000, "a", "1"), OK);
    bed_turn(&bed);
    struct message *first = bed_sent(&bed, MSG_REPLICA_FORWARD);
    while (bed_put(&bed, taken, "a", "1") == OK) {
        taken++;
        if (taken % 400 == 0) { /* everything but the first is applied */
            bed_turn(&bed);
            struct message *m;
            while ((m = bed_sent(&bed, MSG_REPLICA_FORWARD)) != NULL) {
                bed_commit(&bed, m->entries[0].value);
                message_free(m);
            }
            bed_settle(&bed);
            for (uint32_t i = 0; i < bed.replies_count; i++) {
                mvcc_result_free(bed.replies[i].result);
            }
            bed.replies_count = 0;
        }
        assert_true(taken < 65536);
    }
    assert_true(taken > 32768);
    bed_commit(&bed, first->entries[0].value);
    message_free(first);
    assert_int_equal(bed_put(&bed, taken, "a", "1"), OK);
}

/* Stopping. */

static void test_replica_stop_refuses_answers_and_hands_over(void **state)
{
    (void) state;
    start_as_leader();
    assert_int_equal(bed_put(&bed, 1, "a", "1"), OK);
    bed_turn(&bed);
    replica_stop(bed.replica);
    assert_int_equal(bed.engine->transfer_to, 3); /* the most complete log */
    assert_int_equal(bed_put(&bed, 2, "a", "1"), ERR_STOPPING);
    assert_int_equal(bed_get(&bed, 2, "a", true), ERR_STOPPING);
    assert_false(replica_idle(bed.replica));
    bed_commit_next(&bed);
    assert_int_equal(bed_reply(&bed, 1)->err, OK);
    assert_true(replica_idle(bed.replica));
}

/* A leaderless engine proposes at every node, also what others forward. */
static void test_replica_leaderless_engine_proposes_here(void **state)
{
    (void) state;
    bed.options.engine = &bed_engine_leaderless_ops;
    bed_start(&bed);
    bed_lead(&bed, ROLE_PROPOSER, 0, 1);
    assert_int_equal(bed_put(&bed, 1, "a", "1"), OK);
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed_count, 1);
    assert_int_equal(bed_receive_take(&bed, forward_of(2, 1)), OK);
    bed_turn(&bed);
    assert_null(bed_sent(&bed, MSG_REPLICA_FORWARD_REPLY));
    assert_int_equal(bed.engine->proposed_count, 2);
    bed_lead(&bed, ROLE_PROPOSER, 0, 9); /* ballots rise all the time */
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed_count, 2);
    assert_null(bed_sent(&bed, MSG_REPLICA_FORWARD));
}

/* R11, K1: while a peer stands in for this node, everything goes there, also what is under way;
 * what others forward is refused and not passed on. Later the node proposes itself again. */
static void test_replica_leaderless_engine_forwards_to_who_stands_in(void **state)
{
    struct message *m;
    (void) state;
    bed.options.engine = &bed_engine_leaderless_ops;
    bed_start(&bed);
    bed_lead(&bed, ROLE_PROPOSER, 0, 1);
    assert_int_equal(bed_put(&bed, 1, "a", "1"), OK);
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed_count, 1);
    assert_int_equal(bed_get(&bed, 3, "a", false), OK);
    bed_turn(&bed);
    assert_int_equal(bed.engine->reads_count, 1);
    bed_lead(&bed, ROLE_PROPOSER, 2, 2);
    bed_turn(&bed);
    assert_int_equal(bed.engine->reads_count, 2); /* asked again at once */
    assert_int_equal(bed_put(&bed, 2, "b", "1"), OK);
    bed_turn(&bed);
    for (uint32_t i = 0; i < 2; i++) {
        m = bed_sent(&bed, MSG_REPLICA_FORWARD);
        assert_non_null(m);
        assert_int_equal(m->to, 2);
        message_free(m);
    }
    assert_int_equal(bed_receive_take(&bed, forward_of(3, 50)), OK);
    bed_turn(&bed);
    assert_null(bed_sent(&bed, MSG_REPLICA_FORWARD));
    m = bed_sent(&bed, MSG_REPLICA_FORWARD_REPLY);
    assert_non_null(m);
    assert_true(m->reject);
    message_free(m);
    assert_int_equal(bed.engine->proposed_count, 1);
    bed_lead(&bed, ROLE_PROPOSER, 0, 3);
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        bed_commit_next(&bed);
    }
    assert_int_equal(bed_reply(&bed, 1)->err, OK);
    assert_int_equal(bed_reply(&bed, 1)->revision, 2); /* once */
    assert_int_equal(bed_reply(&bed, 2)->revision, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_replica_commands_of_a_turn_are_one_value),
        TEST(test_replica_batch_grows_while_the_window_is_full),
        TEST(test_replica_batch_limits_cut_values),
        TEST(test_replica_value_chosen_twice_is_applied_once),
        TEST(test_replica_client_session_retry_is_answered_again),
        TEST(test_replica_equal_batches_are_both_answered),
        TEST(test_replica_message_waits_for_its_write),
        TEST(test_replica_held_messages_keep_order_over_many_writes),
        TEST(test_replica_message_to_itself_comes_back_when_durable),
        TEST(test_replica_strays_are_dropped_and_counted),
        TEST(test_replica_envelope_names_the_life_last_known),
        TEST(test_replica_follower_forwards_and_answers_when_applied),
        TEST(test_replica_forward_is_repeated_ever_more_rarely),
        TEST(test_replica_new_leader_gets_the_batch_at_once),
        TEST(test_replica_leader_does_not_repeat_its_proposal),
        TEST(test_replica_rejected_forward_follows_the_hint_once),
        TEST(test_replica_leader_proposes_what_is_forwarded),
        TEST(test_replica_not_leader_rejects_what_is_forwarded),
        TEST(test_replica_forwards_in_flight_are_bounded),
        TEST(test_replica_command_that_never_left_is_taken_out),
        TEST(test_replica_sequences_are_dense_over_queued_batches),
        TEST(test_replica_command_that_left_times_out_and_goes_on),
        TEST(test_replica_full_window_until_deadline_is_too_many_requests),
        TEST(test_replica_deadline_covers_calls_and_gossip),
        TEST(test_replica_canceled_call_is_not_answered),
        TEST(test_replica_calls_beyond_the_limits_are_refused),
        TEST(test_replica_bytes_under_way_are_bounded),
        TEST(test_replica_session_window_is_never_left),
        TEST(test_replica_stop_refuses_answers_and_hands_over),
        TEST(test_replica_leaderless_engine_proposes_here),
        TEST(test_replica_leaderless_engine_forwards_to_who_stands_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

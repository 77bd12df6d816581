/*
 * test_replica_state.c - the replica over a scripted engine: reads, applying, flushing, trimming,
 * gossip, restarts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"
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

/* Puts and applies; the call's answer is not looked at. */
static void put_now(uint64_t call, const char *key, const char *value)
{
    assert_int_equal(bed_put(&bed, call, key, value), OK);
    bed_turn(&bed);
    bed_commit_next(&bed);
}

static void commit_noops(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct value *noop = value_new_noop();
        bed_commit(&bed, noop);
        value_unref(noop);
    }
}

static const struct api_kv *answer(uint64_t call)
{
    const struct bed_reply *reply = bed_reply(&bed, call);
    if (reply == NULL || reply->result == NULL || reply->result->response.range.kvs_count == 0) {
        return NULL;
    }
    return &reply->result->response.range.kvs[0];
}

/* Reads. */

static void test_replica_reads_of_a_turn_share_one_read_point(void **state)
{
    (void) state;
    start_as_leader();
    put_now(1, "a", "1");
    for (uint64_t i = 10; i < 15; i++) {
        assert_int_equal(bed_get(&bed, i, "a", false), OK);
    }
    bed_turn(&bed);
    assert_int_equal(bed.engine->reads_count, 1);
    assert_null(bed_reply(&bed, 10));
    bed_read_done(&bed, (struct read_state){.ctx = bed.engine->reads[0], .index = 1});
    for (uint64_t i = 10; i < 15; i++) {
        assert_non_null(answer(i));
    }
}

/* R9, K1: not before the index is applied, and then as of that moment. */
static void test_replica_read_waits_until_its_index_is_applied(void **state)
{
    (void) state;
    start_as_leader();
    put_now(1, "a", "old");
    assert_int_equal(bed_get(&bed, 10, "a", false), OK);
    bed_turn(&bed);
    bed_read_done(&bed, (struct read_state){.ctx = bed.engine->reads[0], .index = 2});
    assert_null(bed_reply(&bed, 10));
    put_now(2, "a", "new");
    assert_non_null(answer(10));
    assert_true(bytes_equal(answer(10)->value, bytes_str("new")));
}

/* R9: a read that came after the question was asked needs an answer of its own. */
static void test_replica_later_read_is_not_served_by_an_earlier_round(void **state)
{
    (void) state;
    start_as_leader();
    put_now(1, "a", "1");
    assert_int_equal(bed_get(&bed, 10, "a", false), OK);
    bed_turn(&bed);
    assert_int_equal(bed_get(&bed, 11, "a", false), OK);
    bed_turn(&bed);
    assert_int_equal(bed.engine->reads_count, 2);
    bed_read_done(&bed, (struct read_state){.ctx = bed.engine->reads[0], .index = 1});
    assert_non_null(answer(10));
    assert_null(bed_reply(&bed, 11));
    bed_read_done(&bed, (struct read_state){.ctx = bed.engine->reads[1], .index = 1});
    assert_non_null(answer(11));
}

static void test_replica_read_rounds_are_bounded_and_then_shared(void **state)
{
    (void) state;
    start_as_leader();
    put_now(1, "a", "1");
    for (uint64_t i = 0; i < 30; i++) {
        assert_int_equal(bed_get(&bed, 10 + i, "a", false), OK);
        bed_turn(&bed);
    }
    assert_int_equal(bed.engine->reads_count, 8);
    bed_read_done(&bed, (struct read_state){.ctx = bed.engine->reads[0], .index = 1});
    assert_int_equal(bed.engine->reads_count, 9); /* with all the others */
    bed_read_done(&bed, (struct read_state){.ctx = bed.engine->reads[8], .index = 1});
    for (uint64_t i = 8; i < 30; i++) {
        assert_non_null(answer(10 + i));
    }
}

static void test_replica_failed_read_round_is_asked_again(void **state)
{
    (void) state;
    start_as_leader();
    put_now(1, "a", "1");
    assert_int_equal(bed_get(&bed, 10, "a", false), OK);
    bed_turn(&bed);
    bed_read_done(&bed, (struct read_state){.ctx = bed.engine->reads[0], .err = ERR_NOT_LEADER});
    assert_null(bed_reply(&bed, 10));
    bed_pass(&bed, 3 * bed.options.read_retry_us);
    assert_int_equal(bed.engine->reads_count, 2);
    bed_pass(&bed, 3 * bed.options.read_retry_us); /* no answer at all */
    assert_int_equal(bed.engine->reads_count, 3);
    bed_read_done(&bed, (struct read_state){.ctx = bed.engine->reads[1], .index = 1}); /* late */
    assert_null(bed_reply(&bed, 10));
    bed_read_done(&bed, (struct read_state){.ctx = bed.engine->reads[2], .index = 1});
    assert_non_null(answer(10));
}

static void test_replica_read_without_leader_fails_at_its_deadline(void **state)
{
    (void) state;
    bed_start(&bed);
    bed.engine->read_err = ERR_NO_LEADER;
    assert_int_equal(bed_get(&bed, 10, "a", false), OK);
    bed_turn(&bed);
    bed_pass(&bed, 59000 * MS);
    assert_null(bed_reply(&bed, 10));
    bed_pass(&bed, 1000 * MS + TICK_US);
    assert_int_equal(bed_reply(&bed, 10)->err, ERR_NO_LEADER);
    assert_true(replica_idle(bed.replica));
}

static void test_replica_serializable_read_is_answered_here_and_now(void **state)
{
    (void) state;
    bed_start(&bed);
    bed.engine->read_err = ERR_NO_LEADER;
    assert_int_equal(bed_get(&bed, 10, "a", true), OK);
    bed_turn(&bed);
    assert_non_null(bed_reply(&bed, 10));
    assert_int_equal(bed_reply(&bed, 10)->err, OK);
}

/* Values that are not in memory. */

/* Values on disk only, nothing cached. */
static void start_with_values_on_disk(void)
{
    start_as_leader();
    put_now(1, "a", "1");
    put_now(2, "b", "2");
    bed_pass(&bed, 2 * bed.options.flush_us);
    bed_settle(&bed);
    assert_int_equal(bed_restart(&bed), OK);
    bed_lead(&bed, ROLE_LEADER, BED_SELF, 6);
    bed_turn(&bed);
}

static void test_replica_read_of_a_value_on_disk_is_fetched(void **state)
{
    (void) state;
    start_with_values_on_disk();
    assert_int_equal(bed_get(&bed, 10, "a", true), OK);
    bed_turn(&bed);
    assert_null(bed_reply(&bed, 10));
    assert_int_equal(bed.fetches_count, 1);
    bed_fetch_done(&bed);
    assert_non_null(answer(10));
    assert_true(bytes_equal(answer(10)->value, bytes_str("1")));
    assert_int_equal(bed_get(&bed, 11, "b", true), OK);
    bed_turn(&bed);
    replica_cancel(bed.replica, 11); /* gone while the row is on its way */
    bed_fetch_done(&bed);
    assert_null(bed_reply(&bed, 11));
}

/* However many reads wait, few rows are in memory at once; who is gone costs no read at all. */
static void test_replica_fetches_of_reads_wait_for_their_turn(void **state)
{
    (void) state;
    bed.options.fetch_rows_max = 2;
    start_with_values_on_disk();
    for (uint64_t call = 10; call < 15; call++) {
        assert_int_equal(bed_get(&bed, call, "a", true), OK);
    }
    bed_turn(&bed);
    assert_int_equal(bed.fetches_count, 2);
    replica_cancel(bed.replica, 12); /* has not begun */
    replica_cancel(bed.replica, 10); /* has */
    bed_turn(&bed);
    assert_int_equal(bed.fetches_count, 2);
    bed_fetch_done(&bed); /* of 10 */
    assert_int_equal(bed.fetches_count, 2);
    bed_fetch_done(&bed); /* of 11 */
    assert_non_null(answer(11));
    assert_int_equal(bed.fetches_count, 2);
    bed_fetch_done(&bed);
    bed_fetch_done(&bed);
    assert_int_equal(bed.fetches_count, 0);
    assert_non_null(answer(13));
    assert_non_null(answer(14));
    assert_null(bed_reply(&bed, 10));
    assert_null(bed_reply(&bed, 12));
    assert_true(replica_idle(bed.replica));
}

/* A compare that needs a value stops everything behind it. */
static void test_replica_applying_waits_for_values(void **state)
{
    (void) state;
    start_with_values_on_disk();
    uint64_t applied = bed_status(&bed).applied;
    assert_int_equal(bed_swap(&bed, 10, "a", "1", "2"), OK);
    bed_turn(&bed);
    bed_commit_next(&bed);
    assert_int_equal(bed.fetches_count, 1);
    put_now(11, "c", "3");
    assert_int_equal(bed_get(&bed, 12, "c", true), OK);
    bed_turn(&bed);
    assert_null(bed_reply(&bed, 10));
    assert_null(bed_reply(&bed, 11));
    assert_null(bed_reply(&bed, 12));
    assert_int_equal(bed_status(&bed).applied, applied);
    bed_fetch_done(&bed);
    assert_int_equal(bed_status(&bed).applied, applied + 2);
    assert_true(bed_reply(&bed, 10)->result->response.txn.succeeded);
    assert_int_equal(bed_reply(&bed, 11)->revision, bed_reply(&bed, 10)->revision + 1);
    assert_non_null(answer(12));
}

/* Flushing. */

static void test_replica_state_is_flushed_after_a_while(void **state)
{
    (void) state;
    bed.options.flush_us = 20 * MS;
    start_as_leader();
    put_now(1, "a", "1");
    assert_true(bed_store_write(&bed) != 0);
    assert_null(bed.flush);
    assert_true(replica_deadline(bed.replica) <= bed.now_us + 20 * MS);
    bed_pass(&bed, 20 * MS);
    assert_non_null(bed.flush);
    assert_int_equal(bed_status(&bed).durable_applied, 0);
    bed_flush_done(&bed);
    assert_int_equal(bed_status(&bed).durable_applied, 1);
    bed_pass(&bed, 100 * MS);
    assert_null(bed.flush); /* nothing new */
}

static void test_replica_state_is_flushed_when_there_is_much(void **state)
{
    (void) state;
    bed.options.flush_operations = 10;
    start_as_leader();
    uint32_t puts = 0;
    while (bed.flush == NULL && puts < 20) {
        put_now(puts, "a", "1");
        assert_true(bed_store_write(&bed) != 0);
        puts++;
    }
    assert_non_null(bed.flush);
    assert_in_range(puts, 8, 10); /* the session's row counts too */
}

/* A state ahead of its own log would be a contradiction after a power cut. */
static void test_replica_flush_waits_for_our_own_log(void **state)
{
    (void) state;
    bed.options.flush_us = 20 * MS;
    start_as_leader();
    put_now(1, "a", "1"); /* chosen by the others; our write is under way */
    bed_pass(&bed, 30 * MS);
    assert_null(bed.flush);
    bed_pass(&bed, 100 * MS);
    put_now(2, "b", "2"); /* by now applying waits too, or the flush might starve */
    assert_int_equal(bed_status(&bed).applied, 1);
    assert_true(bed_store_write(&bed) != 0);
    assert_non_null(bed.flush);
    assert_int_equal(mvcc_flush_index(bed.flush), 1);
    assert_int_equal(bed_status(&bed).applied, 2);
    bed_flush_done(&bed);
    assert_int_equal(bed_status(&bed).durable_applied, 1);
}

static void test_replica_failed_flush_is_final(void **state)
{
    (void) state;
    bed.options.flush_us = 20 * MS;
    start_as_leader();
    put_now(1, "a", "1");
    assert_true(bed_store_write(&bed) != 0);
    bed_pass(&bed, 30 * MS);
    assert_non_null(bed.flush);
    replica_state_flushed(bed.replica, bed.flush, ERR_IO); /* D6 */
    bed.flush = NULL;
    bed_turn(&bed);
    assert_int_equal(bed.take_err, ERR_IO);
    assert_int_equal(bed_status(&bed).durable_applied, 0);
    assert_int_equal(bed_put(&bed, 2, "a", "1"), ERR_IO);
}

/* While rows pile up, new commands wait; what is in the log goes on. */
static void test_replica_unwritten_rows_hold_new_commands_back(void **state)
{
    (void) state;
    bed.options.unwritten_max = 1;
    start_as_leader();
    put_now(1, "a", "1");
    assert_int_equal(bed_put(&bed, 2, "b", "2"), OK);
    bed_turn(&bed);
    assert_int_equal(bed.engine->proposed_count, 1);
    assert_true(bed_store_write(&bed) != 0);
    bed_pass(&bed, 2 * bed.options.flush_us);
    assert_non_null(bed.flush);
    bed_flush_done(&bed);
    assert_int_equal(bed.engine->proposed_count, 2);
}

static void test_replica_apply_lag_refuses_calls(void **state)
{
    (void) state;
    bed.options.apply_lag_max = 2;
    start_with_values_on_disk();
    assert_int_equal(bed_swap(&bed, 10, "a", "1", "2"), OK);
    bed_turn(&bed);
    bed_commit_next(&bed); /* stalls */
    commit_noops(2);
    assert_int_equal(bed_put(&bed, 11, "c", "1"), ERR_TOO_MANY_REQUESTS);
    bed_fetch_done(&bed);
    assert_int_equal(bed_put(&bed, 11, "c", "1"), OK);
}

static void test_replica_physical_compaction_is_answered_when_done(void **state)
{
    (void) state;
    start_as_leader();
    put_now(1, "a", "1");
    put_now(2, "a", "2");
    assert_int_equal(bed_compact(&bed, 10, 3, true), OK);
    bed_turn(&bed);
    bed_commit_next(&bed);
    assert_null(bed_reply(&bed, 10));
    bed_settle(&bed);
    assert_non_null(bed_reply(&bed, 10));
    assert_int_equal(bed_reply(&bed, 10)->err, OK);
    put_now(3, "a", "3");
    assert_int_equal(bed_compact(&bed, 11, 4, false), OK);
    bed_turn(&bed);
    bed_commit_next(&bed);
    assert_non_null(bed_reply(&bed, 11)); /* logical: at once */
    assert_int_equal(bed_compact(&bed, 12, 4, true), OK);
    bed_turn(&bed);
    bed_commit_next(&bed);
    assert_int_equal(bed_reply(&bed, 12)->err, ERR_COMPACTED);
}

/* Restarts. */

/* D2, K4: what was flushed comes from the state, what was not from the log. */
static void test_replica_restart_replays_the_log_behind_the_state(void **state)
{
    (void) state;
    start_as_leader();
    put_now(1, "a", "1");
    bed_pass(&bed, 2 * bed.options.flush_us);
    bed_settle(&bed);
    put_now(2, "b", "2");
    put_now(3, "c", "3");
    commit_noops(1);
    while (bed_store_write(&bed) != 0) {
    }
    struct replica_status before = bed_status(&bed);
    assert_int_equal(before.durable_applied, 1);
    assert_int_equal(bed_restart(&bed), OK);
    struct replica_status after = bed_status(&bed);
    assert_int_equal(after.applied, 4);
    assert_int_equal(after.durable_applied, 1);
    assert_true(after.hash == before.hash);
    assert_int_equal(after.revision, before.revision);
    assert_int_equal(after.keys, 3);
    assert_true(after.incarnation > before.incarnation);
}

/* The log need not fit into memory: what was not given at the start is loaded. */
static void test_replica_restart_loads_entries_that_are_not_in_memory(void **state)
{
    (void) state;
    start_as_leader();
    for (uint64_t i = 1; i <= 5; i++) {
        put_now(i, "a", "1");
    }
    while (bed_store_write(&bed) != 0) {
    }
    uint64_t hash = bed_status(&bed).hash;
    bed.recover_from = 4;
    assert_int_equal(bed_restart(&bed), OK);
    assert_int_equal(bed_status(&bed).applied, 0);
    assert_int_equal(bed.loads_count, 1);
    assert_int_equal(bed.loads[0].first, 1);
    assert_int_equal(bed.loads[0].last, 3);
    bed.loads[0].bytes_max = 1; /* it may come in pieces */
    assert_int_equal(bed_load_done(&bed), OK);
    assert_int_equal(bed_status(&bed).applied, 1);
    assert_int_equal(bed_load_done(&bed), OK);
    assert_int_equal(bed_status(&bed).applied, 5);
    assert_true(bed_status(&bed).hash == hash);
    assert_int_equal(bed_restart(&bed), OK);
    struct entry_list none = {0};
    assert_int_equal(replica_log_loaded(bed.replica, bed.loads[0].id, ERR_COMPACTED, &none),
                     ERR_CORRUPT);
    bed_turn(&bed);
    assert_int_equal(bed.take_err, ERR_CORRUPT);
}

static void test_replica_new_refuses_state_ahead_of_its_log(void **state)
{
    (void) state;
    struct mvcc *mvcc = mvcc_new(&bed.options.mvcc);
    struct logstore_recovery recovery = {.last = 0};
    struct replica *r = NULL;
    bed_start(&bed);
    assert_int_equal(mvcc_restore_done(mvcc), OK);
    mvcc_apply_done(mvcc, 1);
    assert_int_equal(replica_new(&bed.options, &recovery, mvcc, &r), ERR_CORRUPT);
    recovery.trimmed = (struct log_pos){.index = 5, .epoch = 1};
    recovery.last = 5;
    assert_int_equal(replica_new(&bed.options, &recovery, mvcc, &r), ERR_CORRUPT);
    recovery.trimmed = (struct log_pos){0};
    assert_int_equal(replica_new(&bed.options, &recovery, mvcc, &r), ERR_INVALID);
    struct replica_options bad = bed.options;
    bad.calls_max = 0;
    assert_int_equal(replica_new(&bad, &recovery, mvcc, &r), ERR_INVALID);
    assert_null(r);
    mvcc_free(mvcc);
}

static void act_load(struct bed_engine *e, void *ctx)
{
    (void) ctx;
    ERR_IGNORE((int) engine_load(&e->engine, 1, 1, 1)); /* its id is not needed */
}

static void test_replica_loads_of_the_engine_come_back_to_it(void **state)
{
    (void) state;
    start_as_leader();
    put_now(1, "a", "1");
    assert_true(bed_store_write(&bed) != 0);
    bed.engine->act = act_load;
    bed_turn(&bed);
    assert_int_equal(bed.loads_count, 1);
    assert_int_equal(bed_load_done(&bed), OK);
    assert_int_equal(bed.engine->loaded, 1);
}

/* Gossip. */

static struct message *gossip_of(uint32_t from, uint64_t applied, uint64_t durable, uint64_t hash)
{
    struct message *m = bed_message(&bed, MSG_REPLICA_GOSSIP, from);
    m->applied = applied;
    m->durable = durable;
    m->hash_index = applied;
    m->hash = hash;
    return m;
}

static void test_replica_gossip_goes_to_all_peers(void **state)
{
    (void) state;
    bed.options.gossip_us = 10 * MS;
    start_as_leader();
    bed_forget_sent(&bed);
    put_now(1, "a", "1");
    bed_pass(&bed, 10 * MS);
    for (uint32_t to = 2; to <= 3; to++) {
        struct message *m = bed_sent(&bed, MSG_REPLICA_GOSSIP);
        assert_non_null(m);
        assert_int_equal(m->to, to);
        assert_int_equal(m->applied, 1);
        assert_int_equal(m->durable, 0);
        assert_int_equal(m->revision, 2);
        assert_int_equal(m->hash_index, 1);
        assert_true(m->hash == bed_status(&bed).hash);
        message_free(m);
    }
    assert_null(bed_sent(&bed, MSG_REPLICA_GOSSIP));
}

static char diag_text[512];

static void on_diag(enum diag_level level, const char *text, void *ctx)
{
    (void) ctx;
    if (level == DIAG_LEVEL_ERROR) {
        (void) snprintf(diag_text, sizeof diag_text, "%s", text);
    }
}

/* P9, R5: another hash at the same index stops the node, with a line that names both. */
static void test_replica_divergence_behind_us_is_fatal(void **state)
{
    (void) state;
    start_as_leader();
    put_now(1, "a", "1");
    uint64_t hash = bed_status(&bed).hash;
    put_now(2, "a", "2");
    assert_int_equal(bed_receive_take(&bed, gossip_of(2, 1, 0, hash)), OK);
    diag_set_sink(on_diag, NULL);
    assert_int_equal(bed_receive_take(&bed, gossip_of(2, 1, 0, hash + 1)), ERR_DIVERGED);
    diag_set_sink(NULL, NULL);
    assert_non_null(strstr(diag_text, "node 1"));
    assert_non_null(strstr(diag_text, "node 2"));
    assert_non_null(strstr(diag_text, "index 1"));
    bed_turn(&bed);
    assert_int_equal(bed.take_err, ERR_DIVERGED); /* for ever */
}

static void test_replica_divergence_ahead_of_us_is_found_when_we_get_there(void **state)
{
    (void) state;
    start_as_leader();
    put_now(1, "a", "1");
    assert_int_equal(bed_receive_take(&bed, gossip_of(3, 2, 0, 12345)), OK);
    assert_int_equal(bed_receive_take(&bed, gossip_of(3, 9, 0, 12345)),
                     OK); /* the older one stays */
    assert_int_equal(bed_put(&bed, 2, "a", "2"), OK);
    bed_turn(&bed);
    bed_commit_next(&bed);
    assert_int_equal(bed.take_err, ERR_DIVERGED);
}

static void test_replica_hash_of_long_ago_is_not_compared(void **state)
{
    (void) state;
    start_as_leader();
    commit_noops(5000);
    assert_int_equal(bed_receive_take(&bed, gossip_of(2, 5000 - 4096, 0, 1)), OK);
    assert_int_equal(bed_receive_take(&bed, gossip_of(2, 5000 - 4095, 0, 1)), ERR_DIVERGED);
}

/* Trimming. */

static void flush_all(void)
{
    bed_pass(&bed, 2 * bed.options.flush_us);
    bed_settle(&bed);
}

/* P10, R10: only behind what is durable on every member, each heard from in this life. */
static void test_replica_log_is_trimmed_behind_all_members(void **state)
{
    (void) state;
    start_as_leader();
    commit_noops(100);
    flush_all();
    assert_int_equal(bed_status(&bed).durable_applied, 100);
    uint64_t hash = bed_status(&bed).hash;
    assert_int_equal(bed.trim.index, 0);
    assert_int_equal(bed_receive_take(&bed, gossip_of(2, 100, 100, hash)), OK);
    bed_turn(&bed);
    assert_int_equal(bed.trim.index, 0); /* node 3 was not heard */
    assert_int_equal(bed_receive_take(&bed, gossip_of(3, 100, 50, hash)), OK);
    bed_turn(&bed);
    assert_true(bed.trim.index > 50 - 10 - 4);
    assert_true(bed.trim.index <= 50 - 10); /* trim_keep */
    assert_int_equal(bed.trim.epoch, 5);
    uint64_t first = bed.trim.index;
    assert_int_equal(bed_receive_take(&bed, gossip_of(3, 100, 100, hash)), OK);
    bed_turn(&bed);
    assert_int_equal(bed.trim.index, first); /* one at a time */
    bed_trim_done(&bed);
    assert_int_equal(bed_status(&bed).log_first, first + 1);
    assert_true(bed.trim.index > first);
    assert_true(bed.trim.index <= 90);
    bed_trim_done(&bed);
    assert_int_equal(bed_restart(&bed), OK);
}

static void test_replica_log_is_not_trimmed_beyond_our_own_state(void **state)
{
    (void) state;
    start_as_leader();
    commit_noops(100);
    uint64_t hash = bed_status(&bed).hash;
    assert_int_equal(bed_receive_take(&bed, gossip_of(2, 100, 100, hash)), OK);
    assert_int_equal(bed_receive_take(&bed, gossip_of(3, 100, 100, hash)), OK);
    bed_turn(&bed);
    assert_int_equal(bed.trim.index, 0);
}

/* A member that is away for long: the marks thin out, and trimming goes on when it is back. */
static void test_replica_trimming_resumes_after_a_long_time(void **state)
{
    (void) state;
    bed.options.trim_keep = 0;
    start_as_leader();
    commit_noops(2000);
    flush_all();
    uint64_t hash = bed_status(&bed).hash;
    assert_int_equal(bed_receive_take(&bed, gossip_of(2, 2000, 2000, hash)), OK);
    assert_int_equal(bed_receive_take(&bed, gossip_of(3, 2000, 2000, hash)), OK);
    bed_turn(&bed);
    assert_true(bed.trim.index > 1900);
    assert_true(bed.trim.index <= 2000);
    bed_trim_done(&bed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_replica_reads_of_a_turn_share_one_read_point),
        TEST(test_replica_read_waits_until_its_index_is_applied),
        TEST(test_replica_later_read_is_not_served_by_an_earlier_round),
        TEST(test_replica_read_rounds_are_bounded_and_then_shared),
        TEST(test_replica_failed_read_round_is_asked_again),
        TEST(test_replica_read_without_leader_fails_at_its_deadline),
        TEST(test_replica_serializable_read_is_answered_here_and_now),
        TEST(test_replica_read_of_a_value_on_disk_is_fetched),
        TEST(test_replica_fetches_of_reads_wait_for_their_turn),
        TEST(test_replica_applying_waits_for_values),
        TEST(test_replica_state_is_flushed_after_a_while),
        TEST(test_replica_state_is_flushed_when_there_is_much),
        TEST(test_replica_flush_waits_for_our_own_log),
        TEST(test_replica_failed_flush_is_final),
        TEST(test_replica_unwritten_rows_hold_new_commands_back),
        TEST(test_replica_apply_lag_refuses_calls),
        TEST(test_replica_physical_compaction_is_answered_when_done),
        TEST(test_replica_restart_replays_the_log_behind_the_state),
        TEST(test_replica_restart_loads_entries_that_are_not_in_memory),
        TEST(test_replica_new_refuses_state_ahead_of_its_log),
        TEST(test_replica_loads_of_the_engine_come_back_to_it),
        TEST(test_replica_gossip_goes_to_all_peers),
        TEST(test_replica_divergence_behind_us_is_fatal),
        TEST(test_replica_divergence_ahead_of_us_is_found_when_we_get_there),
        TEST(test_replica_hash_of_long_ago_is_not_compared),
        TEST(test_replica_log_is_trimmed_behind_all_members),
        TEST(test_replica_log_is_not_trimmed_beyond_our_own_state),
        TEST(test_replica_trimming_resumes_after_a_long_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

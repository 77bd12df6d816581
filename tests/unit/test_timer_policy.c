/*
 * test_timer_policy.c - how long timers run: what is drawn, and that both leader-based engines draw
 * it where they say they do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "consensus/timer_policy.h"
#include "tests/support/puppet.h"
#include "tests/support/raft_solo.h"

enum { DRAWS = 2000 };

struct extent {
    uint64_t least;
    uint64_t most;
};

static void extend(struct extent *x, uint64_t us)
{
    x->least = us < x->least ? us : x->least;
    x->most = us > x->most ? us : x->most;
}

static struct extent election_extent(const struct consensus_options *o)
{
    struct extent x = {UINT64_MAX, 0};
    struct rng rng;
    rng_init(&rng, 1);
    for (uint32_t i = 0; i < DRAWS; i++) {
        extend(&x, timer_election(o, &rng));
    }
    return x;
}

static struct extent candidate_extent(const struct consensus_options *o, uint32_t failed)
{
    const struct timer_range usual = {.base_us = 500, .spread_us = 10};
    struct extent x = {UINT64_MAX, 0};
    struct rng rng;
    rng_init(&rng, 1);
    for (uint32_t i = 0; i < DRAWS; i++) {
        extend(&x, timer_candidate(o, &rng, usual, failed));
    }
    return x;
}

static struct consensus_options defaults(void)
{
    struct consensus_options o;
    consensus_options_init(&o);
    return o;
}

/* Raft 9.3: [T, 2T) unless the spread is set. */
static void test_timer_policy_default_doubles_the_base(void **state)
{
    (void) state;
    struct consensus_options o = defaults();
    o.election_us = 100;
    struct extent x = election_extent(&o);
    assert_int_equal(x.least, 100);
    assert_int_equal(x.most, 199);
    x = candidate_extent(&o, 5);
    assert_int_equal(x.least, 500);
    assert_int_equal(x.most, 509);
}

static void test_timer_policy_spread_bounds_the_draw(void **state)
{
    (void) state;
    struct consensus_options o = defaults();
    o.election_us = 150000;
    o.election_spread_us = 5;
    struct extent x = election_extent(&o);
    assert_int_equal(x.least, 150000);
    assert_int_equal(x.most, 150004);
    o.election_spread_us = 1; /* "150-150": all alike */
    x = election_extent(&o);
    assert_int_equal(x.least, 150000);
    assert_int_equal(x.most, 150000);
}

static void test_timer_policy_candidate_has_its_own_range(void **state)
{
    (void) state;
    struct consensus_options o = defaults();
    o.candidate_us = 23;
    struct extent x = candidate_extent(&o, 0);
    assert_int_equal(x.least, 23);
    assert_int_equal(x.most, 45);
    o.candidate_spread_us = 4;
    x = candidate_extent(&o, 3); /* without back-off failures change nothing */
    assert_int_equal(x.least, 23);
    assert_int_equal(x.most, 26);
}

static void test_timer_policy_backoff_doubles_the_spread(void **state)
{
    (void) state;
    struct consensus_options o = defaults();
    o.candidate_us = 20;
    o.candidate_spread_us = 3;
    o.candidate_backoff = true;
    for (uint32_t failed = 0; failed <= TIMER_DOUBLINGS_MAX + 2; failed++) {
        uint32_t doublings = failed < TIMER_DOUBLINGS_MAX ? failed : TIMER_DOUBLINGS_MAX;
        struct extent x = candidate_extent(&o, failed);
        assert_int_equal(x.least, 20);
        assert_in_range(x.most, 20 + (3u << doublings) / 2, 20 + (3u << doublings) - 1);
    }
}

static void test_timer_policy_checks_its_settings(void **state)
{
    (void) state;
    struct consensus_options o = defaults();
    assert_true(timer_policy_valid(&o));
    o.candidate_spread_us = 1; /* of what? */
    assert_false(timer_policy_valid(&o));
    o.candidate_us = 1;
    assert_true(timer_policy_valid(&o));
    o.candidate_us = UINT64_MAX;
    assert_false(timer_policy_valid(&o));
    o = defaults();
    o.election_spread_us = UINT64_MAX;
    assert_false(timer_policy_valid(&o));
}

/* When the lone node next begins an attempt, in microseconds from now. */
static uint64_t solo_attempt(struct solo *s)
{
    uint64_t begun_us = s->now_us;
    uint64_t elections = solo_status(s).elections;
    while (solo_status(s).elections == elections) {
        uint64_t next_us = consensus_deadline(s->c);
        solo_tick(s, next_us > s->now_us ? next_us - s->now_us : 1);
    }
    return s->now_us - begun_us;
}

static struct solo *raft_with(const struct consensus_options *wanted)
{
    struct consensus_options o;
    solo_options(&o, 3);
    o.pre_vote = false;
    o.check_quorum = false;
    o.quorum_connected = false;
    o.election_spread_us = wanted->election_spread_us;
    o.candidate_us = wanted->candidate_us;
    o.candidate_spread_us = wanted->candidate_spread_us;
    o.candidate_backoff = wanted->candidate_backoff;
    return solo_new_with(&o, (struct hard_state){0}, NULL, 0);
}

static void test_raft_follower_waits_base_and_spread(void **state)
{
    (void) state;
    struct solo *s = raft_with(&(struct consensus_options){.election_spread_us = 1});
    assert_int_equal(solo_attempt(s), ELECTION_US);
    assert_int_equal(solo_attempt(s), ELECTION_US); /* and so does a candidate */
    solo_free(s);
}

static void test_raft_candidate_waits_its_own_time(void **state)
{
    (void) state;
    struct solo *s = raft_with(&(struct consensus_options){.election_spread_us = 1,
                                                           .candidate_us = 7000,
                                                           .candidate_spread_us = 1});
    assert_int_equal(solo_attempt(s), ELECTION_US);
    assert_int_equal(solo_attempt(s), 7000);
    assert_int_equal(solo_attempt(s), 7000);
    /* A leader was heard: it is a follower again, and waits as one. */
    solo_step(s, solo_from(2, MSG_RAFT_HEARTBEAT, solo_status(s).epoch));
    assert_int_equal(solo_attempt(s), ELECTION_US);
    solo_free(s);
}

static void test_raft_backoff_ends_when_a_leader_is_heard(void **state)
{
    (void) state;
    struct solo *s = raft_with(&(struct consensus_options){.election_spread_us = 1,
                                                           .candidate_us = 5000,
                                                           .candidate_spread_us = 1000,
                                                           .candidate_backoff = true});
    (void) solo_attempt(s); /* as a follower */
    assert_in_range(solo_attempt(s), 5000, 5999);
    uint64_t longest_us = 0;
    for (uint32_t i = 0; i < 20; i++) {
        uint64_t us = solo_attempt(s);
        longest_us = us > longest_us ? us : longest_us;
    }
    assert_in_range(longest_us, 5000 + 16000, 5000 + 64000 - 1);
    solo_step(s, solo_from(2, MSG_RAFT_HEARTBEAT, solo_status(s).epoch));
    assert_int_equal(solo_attempt(s), ELECTION_US);
    assert_in_range(solo_attempt(s), 5000, 5999);
    solo_free(s);
}

/* A pre-vote is an attempt too. */
static void test_raft_precandidate_waits_its_own_time(void **state)
{
    (void) state;
    struct consensus_options o;
    solo_options(&o, 3);
    o.quorum_connected = false;
    o.candidate_us = 7000;
    o.candidate_spread_us = 1;
    struct solo *s = solo_new_with(&o, (struct hard_state){0}, NULL, 0);
    while (solo_sent(s, MSG_RAFT_PREVOTE, 0) == NULL) {
        solo_tick(s, 1000);
    }
    uint64_t first_us = s->now_us;
    solo_forget(s);
    while (solo_sent(s, MSG_RAFT_PREVOTE, 0) == NULL) {
        solo_tick(s, 1000);
    }
    assert_in_range(s->now_us - first_us, 6000, 8000);
    solo_free(s);
}

/* Multi-Paxos. */

static struct puppet *paxos_with(const struct consensus_options *wanted)
{
    static struct puppet p;
    puppet_init(&p, "multipaxos", 1, 3);
    p.options.pre_vote = false;
    p.options.check_quorum = false;
    p.options.quorum_connected = false;
    p.options.election_spread_us = wanted->election_spread_us;
    p.options.candidate_us = wanted->candidate_us;
    p.options.candidate_spread_us = wanted->candidate_spread_us;
    p.options.candidate_backoff = wanted->candidate_backoff;
    puppet_start(&p);
    return &p;
}

static uint64_t puppet_attempt(struct puppet *p)
{
    struct consensus_status status;
    uint64_t begun_us = p->now_us;
    consensus_status(p->c, &status);
    uint64_t elections = status.elections;
    while (status.elections == elections) {
        uint64_t next_us = consensus_deadline(p->c);
        puppet_run(p, next_us > p->now_us ? next_us - p->now_us : 1);
        consensus_status(p->c, &status);
    }
    puppet_forget(p);
    return p->now_us - begun_us;
}

static void test_multipaxos_follower_waits_base_and_spread(void **state)
{
    (void) state;
    struct puppet *p = paxos_with(&(struct consensus_options){.election_spread_us = 1});
    assert_int_equal(puppet_attempt(p), 100000);
    /* By itself a candidate waits for promises, then a while: less than two time-outs. */
    assert_in_range(puppet_attempt(p), 75000, 151000);
    puppet_release(p);
}

static void test_multipaxos_candidate_waits_its_own_time(void **state)
{
    (void) state;
    struct puppet *p = paxos_with(&(struct consensus_options){.election_spread_us = 1,
                                                              .candidate_us = 7000,
                                                              .candidate_spread_us = 1});
    assert_int_equal(puppet_attempt(p), 100000);
    assert_int_equal(puppet_attempt(p), 7000);
    assert_int_equal(puppet_attempt(p), 7000);
    puppet_release(p);
}

/* A duel: another's higher ballot is known, the candidate steps back and waits its own time. */
static void test_multipaxos_loser_of_a_duel_waits_its_own_time(void **state)
{
    (void) state;
    struct puppet *p = paxos_with(&(struct consensus_options){.election_spread_us = 1,
                                                              .candidate_us = 7000,
                                                              .candidate_spread_us = 1});
    (void) puppet_attempt(p);
    struct consensus_status status;
    consensus_status(p->c, &status);
    struct message *no = puppet_message(p, MSG_PAXOS_NACK, 2);
    no->epoch = status.epoch;
    no->hint.epoch = ballot_make(9, 2);
    puppet_run(p, 2000);
    puppet_step(p, no);
    assert_int_equal(puppet_attempt(p), 7000);
    puppet_release(p);
}

static void test_multipaxos_backoff_ends_when_a_leader_is_heard(void **state)
{
    (void) state;
    struct puppet *p = paxos_with(&(struct consensus_options){.election_spread_us = 1,
                                                              .candidate_us = 5000,
                                                              .candidate_spread_us = 1000,
                                                              .candidate_backoff = true});
    (void) puppet_attempt(p);
    assert_in_range(puppet_attempt(p), 5000, 5999);
    uint64_t longest_us = 0;
    for (uint32_t i = 0; i < 20; i++) {
        uint64_t us = puppet_attempt(p);
        longest_us = us > longest_us ? us : longest_us;
    }
    assert_in_range(longest_us, 5000 + 16000, 5000 + 64000 - 1);
    struct message *leads = puppet_message(p, MSG_PAXOS_HEARTBEAT, 2);
    leads->epoch = ballot_make(99, 2);
    leads->hint.epoch = leads->epoch;
    leads->seen = UINT64_MAX;
    puppet_step(p, leads);
    assert_int_equal(puppet_attempt(p), 100000);
    assert_in_range(puppet_attempt(p), 5000, 5999);
    puppet_release(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timer_policy_default_doubles_the_base),
        cmocka_unit_test(test_timer_policy_spread_bounds_the_draw),
        cmocka_unit_test(test_timer_policy_candidate_has_its_own_range),
        cmocka_unit_test(test_timer_policy_backoff_doubles_the_spread),
        cmocka_unit_test(test_timer_policy_checks_its_settings),
        cmocka_unit_test(test_raft_follower_waits_base_and_spread),
        cmocka_unit_test(test_raft_candidate_waits_its_own_time),
        cmocka_unit_test(test_raft_backoff_ends_when_a_leader_is_heard),
        cmocka_unit_test(test_raft_precandidate_waits_its_own_time),
        cmocka_unit_test(test_multipaxos_follower_waits_base_and_spread),
        cmocka_unit_test(test_multipaxos_candidate_waits_its_own_time),
        cmocka_unit_test(test_multipaxos_loser_of_a_duel_waits_its_own_time),
        cmocka_unit_test(test_multipaxos_backoff_ends_when_a_leader_is_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_config.c - the configuration: values, ranges, relations, members, errors with their line,
 * and the files in cluster-configs/ (tests run at the root of the tree).
 */

#include "kv/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/consensus.h"
#include "kv/config_internal.h"
#include "tests/support/guard.h"

/* The least that a file must say; more sections can follow. */
#define MEMBERS                                                                                    \
    "cluster:\n"                                                                                   \
    "  members:\n"                                                                                 \
    "    - {id: 2, peer: \"b:2380\", client: \"b:2379\"}\n"                                        \
    "    - {id: 1, name: one, peer: \"a:2380\", client: \"a:2379\"}\n"

struct fixture {
    struct buf error;
    struct config *config; /* of the last parse that went well */
    struct guard guard;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    buf_init(&f->error, 1024);
    guard_init(&f->guard, 1 << 16);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    buf_release(&f->error);
    config_free(f->config);
    guard_release(&f->guard);
    free(f);
    return 0;
}

/* Parses; the text ends at a page that cannot be read. Leaves the error as a C string. */
static int parse(struct fixture *f, const char *text)
{
    config_free(f->config);
    f->config = NULL;
    buf_clear(&f->error);
    struct bytes in = guard_place(&f->guard, bytes_str(text));
    int rc = config_parse(in, "test.yaml", &f->config, &f->error);
    ASSERT((rc == OK) == (f->config != NULL));
    int rc_text = buf_append(&f->error, "", 1);
    ASSERT(rc_text == OK);
    return rc;
}

#define assert_parses(f, text)                                                                     \
    do {                                                                                           \
        int assert_rc = parse((f), (text));                                                        \
        assert_string_equal((const char *) (f)->error.data, "");                                   \
        assert_int_equal(assert_rc, OK);                                                           \
    } while (0)

#define assert_refused(f, text, message)                                                           \
    do {                                                                                           \
        assert_int_equal(parse((f), (text)), ERR_INVALID);                                         \
        assert_string_equal((const char *) (f)->error.data, (message));                            \
    } while (0)

/* ---- values ---- */

static void test_config_what_is_not_said_has_its_default(void **state)
{
    struct fixture *f = *state;
    assert_parses(f, MEMBERS);
    const struct config *c = f->config;
    assert_string_equal(c->cluster.name, "synod");
    assert_string_equal(c->cluster.engine, "raft");
    assert_int_equal(c->timing.election_ms, 500);
    assert_true(c->consensus.pre_vote);
    assert_int_equal(c->limits.request_bytes_max, 1572864);
    assert_int_equal(c->limits.txn_ops_max, 128);
    assert_string_equal(c->storage.log, "leveldb");
    assert_int_equal(c->storage.log_write_buffer_bytes, 64 << 20);
    assert_null(c->self);
    for (uint32_t i = 0; config_key_at(i) != NULL; i++) {
        assert_int_equal(c->lines[i], 0);
    }
}

static void test_config_values_go_where_their_key_says(void **state)
{
    struct fixture *f = *state;
    assert_parses(f, MEMBERS "  name: alpha\n"
                             "  engine: paxos\n"
                             "  id: 0x10\n"
                             "timing:\n"
                             "  election_ms: 2s\n"
                             "  heartbeat_ms: 100\n"
                             "consensus:\n"
                             "  pre_vote: false\n"
                             "limits:\n"
                             "  request_bytes_max: 64KiB\n"
                             "  txn_ops_max: 7\n"
                             "storage:\n"
                             "  state: memory\n");
    const struct config *c = f->config;
    assert_string_equal(c->cluster.name, "alpha");
    assert_string_equal(c->cluster.engine, "paxos");
    assert_int_equal(c->cluster.id, 16);
    assert_int_equal(c->timing.election_ms, 2000);
    assert_int_equal(c->timing.heartbeat_ms, 100);
    assert_false(c->consensus.pre_vote);
    assert_true(c->consensus.check_quorum);
    assert_int_equal(c->limits.request_bytes_max, 65536);
    assert_int_equal(c->limits.txn_ops_max, 7);
    assert_string_equal(c->storage.state, "memory");
    assert_string_equal(c->storage.log, "leveldb");
    assert_int_equal(c->lines[config_key_find("timing", "heartbeat_ms")], 10);
}

static void test_config_cluster_id_follows_from_the_name(void **state)
{
    struct fixture *f = *state;
    assert_parses(f, MEMBERS "  name: alpha\n");
    uint64_t alpha = f->config->cluster.id;
    assert_parses(f, MEMBERS "  name: beta\n");
    assert_true(alpha != 0);
    assert_true(f->config->cluster.id != 0);
    assert_true(f->config->cluster.id != alpha);
    assert_parses(f, MEMBERS "  name: alpha\n");
    assert_true(f->config->cluster.id == alpha);
}

static void test_config_numbers_with_units(void **state)
{
    (void) state;
    const struct {
        enum config_type type;
        const char *text;
        uint64_t number;
    } good[] = {
        {CONFIG_DURATION, "250", 250},
        {CONFIG_DURATION, "250ms", 250},
        {CONFIG_DURATION, "2s", 2000},
        {CONFIG_DURATION, "3m", 180000},
        {CONFIG_DURATION, "1h", 3600000},
        {CONFIG_SIZE, "0", 0},
        {CONFIG_SIZE, "10B", 10},
        {CONFIG_SIZE, "64KiB", 65536},
        {CONFIG_SIZE, "64 MiB", 64 << 20},
        {CONFIG_SIZE, "2GiB", UINT64_C(2) << 30},
        {CONFIG_SIZE, "3KB", 3000},
        {CONFIG_SIZE, "3MB", 3000000},
        {CONFIG_SIZE, "3GB", 3000000000},
        {CONFIG_SIZE, "17179869183GiB", UINT64_MAX - (1 << 30) + 1},
        {CONFIG_COUNT, "18446744073709551615", UINT64_MAX},
        {CONFIG_ID, "0xFf", 255},
        {CONFIG_ID, "17", 17},
        {CONFIG_BOOL, "true", 1},
        {CONFIG_BOOL, "false", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        uint64_t number = 77;
        assert_int_equal(config_value_parse(good[i].type, good[i].text, &number), OK);
        assert_true(number == good[i].number);
    }
    const struct {
        enum config_type type;
        const char *text;
    } bad[] = {
        {CONFIG_DURATION, ""},
        {CONFIG_DURATION, "ms"},
        {CONFIG_DURATION, "5us"},
        {CONFIG_DURATION, "1.5s"},
        {CONFIG_DURATION, "-1"},
        {CONFIG_DURATION, "5KiB"},
        {CONFIG_DURATION, "2s "},
        {CONFIG_SIZE, "5ms"},
        {CONFIG_SIZE, "5kib"},
        {CONFIG_SIZE, "17179869184GiB"}, /* 2^64 */
        {CONFIG_COUNT, "18446744073709551616"},
        {CONFIG_COUNT, "5s"},
        {CONFIG_COUNT, "0x10"},
        {CONFIG_COUNT, " 5"},
        {CONFIG_ID, "0x"},
        {CONFIG_ID, "0xg"},
        {CONFIG_BOOL, "yes"},
        {CONFIG_BOOL, "1"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint64_t number = 77;
        assert_int_equal(config_value_parse(bad[i].type, bad[i].text, &number), ERR_INVALID);
        assert_int_equal(number, 77);
    }
}

static void test_config_numbers_are_written_as_they_are_read(void **state)
{
    (void) state;
    char out[32];
    assert_string_equal(config_value_format(CONFIG_DURATION, 0, out), "0ms");
    assert_string_equal(config_value_format(CONFIG_DURATION, 999, out), "999ms");
    assert_string_equal(config_value_format(CONFIG_DURATION, 60000, out), "1m");
    assert_string_equal(config_value_format(CONFIG_SIZE, 1536 << 10, out), "1536KiB");
    assert_string_equal(config_value_format(CONFIG_SIZE, 1000, out), "1000");
    assert_string_equal(config_value_format(CONFIG_COUNT, 60000, out), "60000");
    for (uint32_t i = 0; config_key_at(i) != NULL; i++) {
        const struct config_key *k = config_key_at(i);
        const uint64_t numbers[] = {k->min, k->max, k->number};
        for (size_t n = 0; k->type != CONFIG_TEXT && n < ARRAY_SIZE(numbers); n++) {
            uint64_t number;
            assert_int_equal(config_value_parse(k->type,
                                                config_value_format(k->type, numbers[n], out),
                                                &number),
                             OK);
            assert_true(number == numbers[n]);
        }
    }
}

/* ---- the table ---- */

static void test_config_every_default_is_in_its_range(void **state)
{
    (void) state;
    uint32_t count = 0;
    for (; config_key_at(count) != NULL; count++) {
        const struct config_key *k = config_key_at(count);
        assert_true(k->type == CONFIG_TEXT || (k->number >= k->min && k->number <= k->max));
        assert_true((k->type == CONFIG_TEXT) == (k->text != NULL));
        assert_int_equal(config_key_find(k->section, k->key), count); /* no name twice */
        assert_true(strlen(k->help) > 0);
    }
    assert_true(count > 40);
}

/* Each number: its ends are taken, or refused for a relation only, and beyond them is an error. */
static void test_config_every_range_is_enforced(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; config_key_at(i) != NULL; i++) {
        const struct config_key *k = config_key_at(i);
        if (k->type == CONFIG_TEXT || k->type == CONFIG_BOOL || strcmp(k->key, "id") == 0) {
            continue;
        }
        const uint64_t numbers[] = {k->min, k->max, k->min - 1, k->max + 1};
        for (size_t n = 0; n < ARRAY_SIZE(numbers); n++) {
            char text[512];
            bool beyond = numbers[n] < k->min || numbers[n] > k->max;
            (void) snprintf(text, sizeof text, MEMBERS "%s:\n  %s: %llu\n", k->section, k->key,
                            (unsigned long long) numbers[n]);
            int rc = parse(f, text);
            const char *error = (const char *) f->error.data;
            assert_true(rc == ERR_INVALID || !beyond);
            assert_true((strstr(error, " must be from ") != NULL) == beyond);
            assert_true(!beyond || strstr(error, "test.yaml:6: ") == error);
            assert_true(rc != OK || config_number(f->config, i) == numbers[n]);
        }
    }
}

static void test_config_out_of_range_says_what_is_allowed(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, MEMBERS "timing:\n  election_ms: 9\n",
                   "test.yaml:6: timing.election_ms must be from 10ms to 50s, not 9ms");
    assert_refused(f, MEMBERS "limits:\n  window_bytes: 64KB\n",
                   "test.yaml:6: limits.window_bytes must be from 65535 to 2147483647, not 64000");
}

static void test_config_wrong_shape_says_the_right_one(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, MEMBERS "timing:\n  election_ms: fast\n",
                   "test.yaml:6: timing.election_ms must be a duration such as 250ms or 2s, not "
                   "\"fast\"");
    assert_refused(f, MEMBERS "consensus:\n\n  pre_vote: maybe\n",
                   "test.yaml:7: consensus.pre_vote must be true or false, not \"maybe\"");
}

/* ---- relations ---- */

static void test_config_relations_between_values_hold(void **state)
{
    struct fixture *f = *state;
    assert_parses(f, MEMBERS "timing:\n  election_ms: 100\n  heartbeat_ms: 50\n");
    assert_refused(f, MEMBERS "timing:\n  election_ms: 101\n  heartbeat_ms: 51\n",
                   "test.yaml:7: timing.heartbeat_ms (51ms) must be at most half of "
                   "timing.election_ms (101ms)");
    assert_refused(f, MEMBERS "timing:\n  election_ms: 99\n",
                   "test.yaml:6: timing.heartbeat_ms (50ms) must be at most half of "
                   "timing.election_ms (99ms)");
    assert_parses(f, MEMBERS "timing:\n  candidate_ms: 23\n  candidate_spread_ms: 5\n");
    assert_refused(f, MEMBERS "timing:\n  candidate_spread_ms: 5\n",
                   "test.yaml:6: timing.candidate_spread_ms needs timing.candidate_ms");
    assert_refused(f, MEMBERS "timing:\n  backoff_min_ms: 501\n",
                   "test.yaml:6: timing.backoff_min_ms (501ms) must be at most "
                   "timing.backoff_max_ms (500ms)");
    assert_refused(f, MEMBERS "timing:\n  reconnect_max_ms: 49\n",
                   "test.yaml:6: timing.reconnect_min_ms (50ms) must be at most "
                   "timing.reconnect_max_ms (49ms)");
    assert_refused(f, MEMBERS "timing:\n  request_timeout_ms: 499\n",
                   "test.yaml:6: timing.election_ms (500ms) must be at most "
                   "timing.request_timeout_ms (499ms)");
    assert_refused(f, MEMBERS "limits:\n  request_bytes_max: 3MiB\n",
                   "test.yaml:6: limits.request_bytes_max (3MiB) must be at most "
                   "limits.receive_bytes_max (2MiB)");
    assert_refused(f, MEMBERS "limits:\n  call_bytes_max: 1MiB\n",
                   "test.yaml:6: limits.request_bytes_max (1536KiB) must be at most "
                   "limits.call_bytes_max (1MiB)");
    assert_refused(f, MEMBERS "limits:\n  output_bytes_max: 1MiB\n",
                   "test.yaml:6: limits.response_bytes_max (64MiB) must be at most "
                   "limits.output_bytes_max (1MiB)");
    assert_parses(f, MEMBERS "limits:\n  message_bytes_max: 5MiB\n");
    assert_refused(f, MEMBERS "limits:\n  message_bytes_max: 5242881\n",
                   "test.yaml:6: limits.message_bytes_max (5242881) must be 3MiB smaller than "
                   "limits.frame_bytes_max (8MiB)");
    assert_refused(f, MEMBERS "limits:\n  batch_bytes_max: 6MiB\n",
                   "test.yaml:6: limits.batch_bytes_max (6MiB) must be 3MiB smaller than "
                   "limits.frame_bytes_max (8MiB)");
    assert_refused(f, MEMBERS "limits:\n  frame_bytes_max: 4MiB\n",
                   "test.yaml:6: limits.request_bytes_max (1536KiB) must be 3MiB smaller than "
                   "limits.frame_bytes_max (4MiB)");
    assert_refused(f, MEMBERS "limits:\n  peer_queue_bytes_max: 7MiB\n",
                   "test.yaml:6: limits.frame_bytes_max (8MiB) must be at most "
                   "limits.peer_queue_bytes_max (7MiB)");
    assert_refused(f, MEMBERS "storage:\n  flush_bytes: 65MiB\n",
                   "test.yaml:6: storage.flush_bytes (65MiB) must be at most "
                   "limits.state_unwritten_bytes_max (64MiB)");
}

static void test_config_choices_are_checked_and_guessed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, MEMBERS "  engine: multpaxos\n"), ERR_INVALID);
    const char *error = (const char *) f->error.data;
    assert_non_null(strstr(error, "test.yaml:5: cluster.engine must be one of "));
    assert_non_null(strstr(error, "raft"));
    assert_non_null(strstr(error, "not \"multpaxos\"; did you mean multipaxos?"));
    assert_int_equal(parse(f, MEMBERS "storage:\n  log: rocksdb\n"), ERR_INVALID);
    error = (const char *) f->error.data;
    assert_non_null(strstr(error, "test.yaml:6: storage.log must be one of "));
    assert_null(strstr(error, "did you mean"));
    assert_int_equal(parse(f, MEMBERS "storage:\n  state: levelbd\n"), ERR_INVALID);
    error = (const char *) f->error.data;
    assert_non_null(strstr(error, "did you mean leveldb?"));
    assert_refused(f, MEMBERS "node:\n  log_level: warning\n",
                   "test.yaml:6: node.log_level must be one of error, warn, info, debug, not "
                   "\"warning\"");
    assert_refused(f, MEMBERS "node:\n  listen_peer: 2380\n",
                   "test.yaml:6: node.listen_peer must be host:port, not \"2380\"");
    assert_refused(f, MEMBERS "  name: a/b\n",
                   "test.yaml:5: cluster.name must be 1 to 63 letters, digits, '.', '_' or '-', "
                   "not \"a/b\"");
    assert_refused(f, MEMBERS "node:\n  data_dir: \"\"\n",
                   "test.yaml:6: node.data_dir must not be empty");
}

/* ---- members ---- */

static void test_config_members_are_sorted_and_named(void **state)
{
    struct fixture *f = *state;
    assert_parses(f, MEMBERS);
    const struct config *c = f->config;
    assert_int_equal(c->cluster.members_count, 2);
    assert_int_equal(c->cluster.members[0].id, 1);
    assert_string_equal(c->cluster.members[0].name, "one");
    assert_string_equal(c->cluster.members[0].peer.host, "a");
    assert_int_equal(c->cluster.members[0].peer.port, 2380);
    assert_int_equal(c->cluster.members[0].client.port, 2379);
    assert_int_equal(c->cluster.members[1].id, 2);
    assert_string_equal(c->cluster.members[1].name, "node2");
    assert_ptr_equal(config_find_member(c, 2), &c->cluster.members[1]);
    assert_null(config_find_member(c, 3));
    assert_null(config_find_member(c, 0));
}

#define ONE(fields) "cluster:\n  members:\n    - {" fields "}\n"
#define TWO(fields) ONE("id: 1, peer: \"a:1\", client: \"a:2\"") "    - {" fields "}\n"

static void test_config_members_must_be_complete_and_apart(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, "timing:\n  election_ms: 300\n",
                   "test.yaml: cluster.members is missing: list every member with id, peer and "
                   "client");
    assert_refused(f, ONE("peer: \"a:1\", client: \"a:2\""), "test.yaml:3: this member has no id");
    assert_refused(f, ONE(""), "test.yaml:3: this member has no id");
    assert_refused(f, ONE("id: 1, client: \"a:2\""),
                   "test.yaml:3: member 1 has no peer: host:port");
    assert_refused(f, ONE("id: 1, peer: \"a:2\""),
                   "test.yaml:3: member 1 has no client: host:port");
    assert_refused(f, ONE("id: 0"), "test.yaml:3: the id of a member must be from 1 to 65535");
    assert_refused(f, ONE("id: 65536"), "test.yaml:3: the id of a member must be from 1 to 65535");
    assert_refused(f, ONE("id: 1, name: a b"),
                   "test.yaml:3: the name of a member must be 1 to 63 letters, digits, '.', '_' or "
                   "'-', not \"a b\"");
    assert_refused(f, ONE("id: 1, name: .."),
                   "test.yaml:3: the name of a member must be 1 to 63 letters, digits, '.', '_' or "
                   "'-', not \"..\"");
    assert_refused(f, ONE("id: 1, pear: \"a:1\""),
                   "test.yaml:3: unknown field pear of a member; did you mean peer?");
    assert_refused(f, ONE("id: 1, peer: \"a:1\", client: \"a:1\""),
                   "test.yaml:3: member 1 has the same address for peers and clients");
    assert_refused(f, TWO("id: 1, peer: \"b:1\", client: \"b:2\""),
                   "test.yaml:4: member id 1 is used twice, first in line 3");
    assert_refused(f, TWO("id: 2, name: node1, peer: \"b:1\", client: \"b:2\""),
                   "test.yaml:4: member name node1 is used twice, first in line 3");
    assert_refused(f, TWO("id: 2, peer: \"a:1\", client: \"b:2\""),
                   "test.yaml:4: members 2 and 1 share an address");
    assert_refused(f, TWO("id: 2, peer: \"a:2\", client: \"b:2\""),
                   "test.yaml:4: members 2 and 1 share an address");
    assert_refused(f, TWO("id: 2, peer: \"b:1\", client: \"a:2\""),
                   "test.yaml:4: members 2 and 1 share an address");
    assert_refused(f, TWO("id: 2, peer: \"b:1\", client: \"a:1\""),
                   "test.yaml:4: members 2 and 1 share an address");
    assert_refused(
        f, "cluster:\n  members: 3\n",
        "test.yaml:2: cluster.members must be a list, one \"- id: ...\" for each member");
    assert_refused(f, "cluster:\n  members:\n    - 3\n",
                   "test.yaml:3: an element of members must be \"field: value\" pairs");
}

static void test_config_addresses(void **state)
{
    (void) state;
    struct arena a;
    arena_init(&a, 1024, SIZE_MAX);
    struct config_address address;
    assert_int_equal(config_address_parse("host.example:65535", &a, &address), OK);
    assert_string_equal(address.host, "host.example");
    assert_int_equal(address.port, 65535);
    assert_int_equal(config_address_parse("[::1]:1", &a, &address), OK);
    assert_string_equal(address.host, "::1");
    assert_int_equal(address.port, 1);
    const char *bad[] = {"",
                         "host",
                         ":80",
                         "host:",
                         "host:0",
                         "host:65536",
                         "h:8x",
                         "::1:80",
                         "[::1]",
                         "[]:80",
                         "h h:80",
                         "http://h:80",
                         "h:-1",
                         "[a]]:80",
                         "h: 80",
                         "h:80 ",
                         "h:99999999999999999999"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(config_address_parse(bad[i], &a, &address), ERR_INVALID);
    }
    assert_string_equal(address.host, "::1"); /* untouched */
    arena_release(&a);
}

static void test_config_members_have_a_maximum(void **state)
{
    struct fixture *f = *state;
    struct buf text;
    buf_init(&text, 1 << 16);
    assert_int_equal(buf_printf(&text, "cluster:\n  members:\n"), OK);
    for (int i = 1; i <= NODES_MAX + 1; i++) {
        size_t before = text.size;
        assert_int_equal(buf_printf(&text, "    - {id: %d, peer: \"h%d:1\", client: \"h%d:2\"}\n",
                                    i, i, i),
                         OK);
        if (i >= NODES_MAX) {
            assert_int_equal(buf_append(&text, "", 1), OK);
            int rc = parse(f, (const char *) text.data);
            assert_int_equal(rc, i == NODES_MAX ? OK : ERR_INVALID);
            buf_truncate(&text, text.size - 1);
        }
        assert_true(text.size > before);
    }
    assert_string_equal((const char *) f->error.data,
                        "test.yaml:67: a cluster has at most 64 members");
    buf_release(&text);
}

/* ---- mistakes in the file ---- */

static void test_config_unknown_names_are_guessed(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, MEMBERS "timing:\n  elction_ms: 300\n",
                   "test.yaml:6: unknown key timing.elction_ms; did you mean election_ms?");
    assert_refused(f, MEMBERS "timing:\n  heartbeat: 300\n",
                   "test.yaml:6: unknown key timing.heartbeat; did you mean heartbeat_ms?");
    assert_refused(f, MEMBERS "limits:\n  election_ms: 300\n",
                   "test.yaml:6: unknown key limits.election_ms; did you mean timing.election_ms?");
    assert_refused(f, MEMBERS "timing:\n  colour: red\n",
                   "test.yaml:6: unknown key timing.colour; `synod serve --help-config` lists all");
    assert_refused(f, "cluster:\n  member:\n    - {id: 1}\n",
                   "test.yaml:3: unknown key cluster.member; did you mean members?");
    assert_refused(f, MEMBERS "timings:\n  election_ms: 300\n",
                   "test.yaml:5: unknown section timings; did you mean timing?");
    assert_refused(f, MEMBERS "timings:\n",
                   "test.yaml:5: unknown section timings; did you mean timing?");
    assert_refused(f, MEMBERS "colours:\n  red: 1\n",
                   "test.yaml:5: unknown section colours; there are cluster, node, timing, "
                   "consensus, limits and storage");
}

static void test_config_wrong_structure_has_its_line(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, "", "test.yaml: the file is empty; see cluster-configs/ for examples");
    assert_refused(f, "# nothing\n",
                   "test.yaml: the file is empty; see cluster-configs/ for examples");
    assert_refused(f, "synod\n", "test.yaml:1: expected sections such as \"cluster:\"");
    assert_refused(f, MEMBERS "timing: 5\n",
                   "test.yaml:5: timing must be a section with \"key: value\" lines");
    assert_refused(f, MEMBERS "timing:\n  election_ms:\n", "test.yaml:6: election_ms has no value");
    assert_refused(f, MEMBERS "timing:\n  election_ms: {a: 1}\n",
                   "test.yaml:6: timing.election_ms must be a value, not a section");
    assert_refused(f, MEMBERS "timing:\n  election_ms:\n    - a: 1\n",
                   "test.yaml:7: timing.election_ms must be a single value, not a list");
    assert_refused(f, MEMBERS "timing:\n  election_ms: 300\n  gossip_ms: 9\n  election_ms: 300\n",
                   "test.yaml:8: election_ms is set twice, first in line 6");
    assert_refused(f, MEMBERS "timing:\n  gossip_ms: 9\ntiming:\n",
                   "test.yaml:7: timing is set twice, first in line 5");
    assert_refused(f, MEMBERS "node:\n  trace: \"a\\0b\"\n",
                   "test.yaml:6: trace holds a zero byte");
    assert_refused(f, MEMBERS "---\ntiming:\n", "test.yaml:6: a second document in the file");
    /* What libyaml itself refuses, in its words. */
    assert_int_equal(parse(f, MEMBERS "timing:\n\telection_ms: 300\n"), ERR_INVALID);
    assert_non_null(strstr((const char *) f->error.data, "test.yaml:6: "));
    assert_int_equal(parse(f, MEMBERS "timing: [\n"), ERR_INVALID);
    assert_int_equal(parse(f, "cluster: \xff\n"), ERR_INVALID);
    assert_parses(f, MEMBERS "timing:\n  # election_ms: 300\n"); /* an empty section is fine */
}

/* A small file that unfolds to a large one, by aliases. */
static void test_config_alias_bomb_is_refused(void **state)
{
    struct fixture *f = *state;
    struct buf text;
    buf_init(&text, 1 << 16);
    assert_int_equal(buf_printf(&text, "cluster:\n  members:\n    - &a {id: 1}\n"), OK);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(buf_printf(&text, "    - *a\n"), OK);
    }
    assert_int_equal(buf_append(&text, "", 1), OK);
    assert_int_equal(parse(f, (const char *) text.data), ERR_INVALID);
    assert_non_null(strstr((const char *) f->error.data, "more than 4096 values"));
    buf_clear(&text);
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(buf_append(&text, "[", 1), OK);
    }
    assert_int_equal(buf_append(&text, "", 1), OK);
    assert_int_equal(parse(f, (const char *) text.data), ERR_INVALID);
    buf_release(&text);
}

static void test_config_text_cut_anywhere_is_survived(void **state)
{
    struct fixture *f = *state;
    const char whole[] = MEMBERS "  name: alpha\ntiming:\n  election_ms: \"2s\"\n";
    char text[sizeof whole];
    for (size_t size = 0; size < sizeof whole; size++) {
        memcpy(text, whole, size);
        text[size] = '\0';
        int rc = parse(f, text);
        assert_true(rc == OK || strstr((const char *) f->error.data, "test.yaml:") != NULL);
    }
}

/* ---- the node ---- */

static void test_config_node_of_the_file_is_chosen_at_once(void **state)
{
    struct fixture *f = *state;
    assert_parses(f, MEMBERS "node:\n  id: 1\n");
    assert_ptr_equal(f->config->self, config_find_member(f->config, 1));
    assert_string_equal(f->config->data_dir, "synod-data/synod/one");
    assert_string_equal(f->config->listen_peer.host, "a");
    assert_int_equal(f->config->listen_peer.port, 2380);
    assert_int_equal(f->config->listen_client.port, 2379);
    assert_null(f->config->trace_path);
    assert_refused(f, MEMBERS "node:\n  id: 7\n",
                   "test.yaml:6: node 7 is not among the 2 members of the cluster");
}

static void test_config_set_node_replaces_placeholders(void **state)
{
    struct fixture *f = *state;
    assert_parses(f, MEMBERS "  name: c\n"
                             "node:\n"
                             "  data_dir: \"/x/{id}/{cluster}-{name}{id}\"\n"
                             "  trace: \"{name}.jsonl\"\n"
                             "  listen_peer: \"0.0.0.0:5\"\n"
                             "  listen_client: \"[::]:6\"\n");
    struct config *c = f->config;
    assert_int_equal(config_set_node(c, 1, &f->error), OK);
    assert_string_equal(c->data_dir, "/x/1/c-one1");
    assert_string_equal(c->trace_path, "one.jsonl");
    assert_string_equal(c->listen_peer.host, "0.0.0.0");
    assert_string_equal(c->listen_client.host, "::");
    assert_int_equal(c->listen_client.port, 6);
    assert_int_equal(config_set_node(c, 9, &f->error), ERR_NOT_FOUND);
    assert_string_equal(c->data_dir, "/x/1/c-one1"); /* unchanged */
    assert_int_equal(c->node.id, 1);
    assert_int_equal(config_set_node(c, 9, NULL), ERR_NOT_FOUND); /* who asks may not want words */
    assert_int_equal(config_set_node(c, 2, NULL), OK);
    assert_string_equal(c->data_dir, "/x/2/c-node22");
}

static void test_config_unknown_placeholder_is_refused(void **state)
{
    struct fixture *f = *state;
    const char *bad[] = {"{nmae}", "{", "x{name", "{}", "{{name}}"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char text[512];
        char error[512];
        (void) snprintf(text, sizeof text, MEMBERS "node:\n  data_dir: \"%s\"\n  id: 1\n", bad[i]);
        (void)
            snprintf(error, sizeof error,
                     "test.yaml:6: node.data_dir may hold {cluster}, {name} and {id} and at most "
                     "4095 characters, not \"%s\"",
                     bad[i]);
        assert_refused(f, text, error);
    }
}

/* ---- files ---- */

static void test_config_load_errors_name_the_file(void **state)
{
    struct fixture *f = *state;
    struct config *c = NULL;
    assert_int_equal(config_load("no-such-file.yaml", &c, &f->error), ERR_NOT_FOUND);
    assert_int_equal(buf_append(&f->error, "", 1), OK);
    assert_string_equal((const char *) f->error.data,
                        "no-such-file.yaml: No such file or directory");
    assert_int_equal(config_load(".", &c, &f->error), ERR_IO);
    char path[] = "/tmp/test_config_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
    assert_int_equal(config_load(path, &c, &f->error), ERR_TOO_LARGE);
    assert_null(c);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
}

static void test_config_ready_made_clusters_load(void **state)
{
    struct fixture *f = *state;
    const uint16_t clients[] = {2379, 22379, 32379, 42379, 52379};
    const uint32_t sizes[] = {1, 3, 5};
    for (uint32_t e = 0; engine_at(e) != NULL; e++) {
        for (size_t n = 0; n < ARRAY_SIZE(sizes); n++) {
            char path[128];
            struct config *c = NULL;
            const char *engine = engine_name(engine_at(e));
            (void) snprintf(path, sizeof path, "cluster-configs/%s-%u.yaml", engine, sizes[n]);
            int rc = config_load(path, &c, &f->error);
            if (rc != OK) {
                print_error("%.*s\n", (int) f->error.size, (const char *) f->error.data);
            }
            assert_int_equal(rc, OK);
            assert_string_equal(c->cluster.engine, engine);
            assert_int_equal(c->cluster.members_count, sizes[n]);
            for (uint32_t i = 0; i < sizes[n]; i++) {
                const struct config_member *m = &c->cluster.members[i];
                assert_int_equal(m->id, i + 1);
                assert_string_equal(m->client.host, "127.0.0.1");
                assert_int_equal(m->client.port, clients[i]);
                assert_int_equal(m->peer.port, clients[i] + 1);
            }
            config_free(c);
        }
    }
}

static void test_config_full_example_names_every_key_with_its_default(void **state)
{
    struct fixture *f = *state;
    struct config *c = NULL;
    int rc = config_load("cluster-configs/example-full.yaml", &c, &f->error);
    if (rc != OK) {
        print_error("%.*s\n", (int) f->error.size, (const char *) f->error.data);
    }
    assert_int_equal(rc, OK);
    assert_parses(f, MEMBERS);
    for (uint32_t i = 0; config_key_at(i) != NULL; i++) {
        const struct config_key *k = config_key_at(i);
        if (c->lines[i] == 0) {
            print_error("%s.%s is missing\n", k->section, k->key);
        }
        assert_true(c->lines[i] != 0);
        /* The defaults, what follows from them (cluster.id) too. */
        if (k->type != CONFIG_TEXT && config_number(c, i) != config_number(f->config, i)) {
            print_error("%s.%s is not the default\n", k->section, k->key);
            assert_true(false);
        }
    }
    assert_string_equal(c->cluster.name, f->config->cluster.name);
    assert_string_equal(c->cluster.engine, f->config->cluster.engine);
    assert_string_equal(c->node.data_dir, f->config->node.data_dir);
    assert_string_equal(c->node.listen_peer, f->config->node.listen_peer);
    assert_string_equal(c->node.listen_client, f->config->node.listen_client);
    assert_string_equal(c->node.log_level, f->config->node.log_level);
    assert_string_equal(c->node.trace, f->config->node.trace);
    assert_string_equal(c->storage.log, f->config->storage.log);
    assert_string_equal(c->storage.state, f->config->storage.state);
    config_free(c);
}

static void test_config_help_names_every_key(void **state)
{
    (void) state;
    struct buf help;
    buf_init(&help, 1 << 16);
    assert_int_equal(config_print_help(&help), OK);
    assert_int_equal(buf_append(&help, "", 1), OK);
    for (uint32_t i = 0; config_key_at(i) != NULL; i++) {
        assert_non_null(strstr((const char *) help.data, config_key_at(i)->key));
        assert_non_null(strstr((const char *) help.data, config_key_at(i)->help));
    }
    assert_non_null(strstr((const char *) help.data, "[10ms to 50s]"));
    buf_release(&help);
    struct buf small;
    buf_init(&small, 100);
    assert_int_equal(config_print_help(&small), ERR_LIMIT);
    buf_release(&small);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_config_what_is_not_said_has_its_default),
        TEST(test_config_values_go_where_their_key_says),
        TEST(test_config_cluster_id_follows_from_the_name),
        TEST(test_config_numbers_with_units),
        TEST(test_config_numbers_are_written_as_they_are_read),
        TEST(test_config_every_default_is_in_its_range),
        TEST(test_config_every_range_is_enforced),
        TEST(test_config_out_of_range_says_what_is_allowed),
        TEST(test_config_wrong_shape_says_the_right_one),
        TEST(test_config_relations_between_values_hold),
        TEST(test_config_choices_are_checked_and_guessed),
        TEST(test_config_members_are_sorted_and_named),
        TEST(test_config_members_must_be_complete_and_apart),
        TEST(test_config_addresses),
        TEST(test_config_members_have_a_maximum),
        TEST(test_config_unknown_names_are_guessed),
        TEST(test_config_wrong_structure_has_its_line),
        TEST(test_config_alias_bomb_is_refused),
        TEST(test_config_text_cut_anywhere_is_survived),
        TEST(test_config_node_of_the_file_is_chosen_at_once),
        TEST(test_config_set_node_replaces_placeholders),
        TEST(test_config_unknown_placeholder_is_refused),
        TEST(test_config_load_errors_name_the_file),
        TEST(test_config_ready_made_clusters_load),
        TEST(test_config_full_example_names_every_key_with_its_default),
        TEST(test_config_help_names_every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

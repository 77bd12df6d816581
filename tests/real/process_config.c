/*
 * process_config.c - the configuration file of a node, made of a scenario.
 */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/config.h"
#include "tests/real/process_impl.h"

/* A healed link is to be used again at once; half of the wait is random. */
#define RECONNECT_MIN_MS 20
#define RECONNECT_MAX_MS 100
/* In network namespaces a cut also swallows the answers to new connections: these are tried again
 * soon after it ends. Through the proxy connecting always succeeds, and this is how long a peer may
 * be paused until its connections break: the default. */
#define NETNS_CONNECT_MS 500

enum { CONFIG_TEXT_MAX = 1 << 16 };

/* The key that stands for an option. NULL: none. */
static const char *const KEYS[SCENARIO_OPTIONS] = {
    [OPTION_ELECTION] = "election_ms",
    [OPTION_HEARTBEAT] = "heartbeat_ms",
    [OPTION_RESEND] = "resend_ms",
    [OPTION_BACKOFF_MIN] = "backoff_min_ms",
    [OPTION_BACKOFF_MAX] = "backoff_max_ms",
    [OPTION_DISK_STUCK] = "disk_stuck_ms",
    [OPTION_RETRY] = "retry_ms",
    [OPTION_READ_RETRY] = "read_retry_ms",
    [OPTION_GOSSIP] = "gossip_ms",
    [OPTION_FLUSH] = "flush_ms",
    [OPTION_TRIM_KEEP] = "log_keep_entries",
    [OPTION_LOG_MEMORY] = "log_memory_bytes",
    [OPTION_LOG_SLOTS] = "log_slots_max",
    [OPTION_BATCH_COMMANDS] = "batch_commands_max",
    [OPTION_BATCH_BYTES] = "batch_bytes_max",
    [OPTION_INFLIGHT] = "inflight_max",
    [OPTION_MESSAGE_BYTES] = "message_bytes_max",
    [OPTION_CACHE_BYTES] = "values_cache_bytes",
    [OPTION_CALLS] = "calls_max",
    [OPTION_CALL_BYTES] = "call_bytes_max",
    [OPTION_APPLY_LAG] = "apply_lag_max",
    [OPTION_UNWRITTEN] = "state_unwritten_bytes_max",
    [OPTION_SESSIONS] = "sessions_max",
    [OPTION_ELECTION_SPREAD] = "election_spread_ms",
    [OPTION_CANDIDATE] = "candidate_ms",
    [OPTION_CANDIDATE_SPREAD] = "candidate_spread_ms",
    [OPTION_CANDIDATE_BACKOFF] = "candidate_backoff",
    [OPTION_PRE_VOTE] = "pre_vote",
    [OPTION_CHECK_QUORUM] = "check_quorum",
    [OPTION_QUORUM_CONNECTED] = "quorum_connected",
};

static const char *option_word(enum scenario_option option)
{
    static const char *const words[] = {
#define X(name, word, unit) [OPTION_##name] = (word),
        SCENARIO_OPTION_MAP(X)
#undef X
    };
    return words[option];
}

/* The row of the configuration for an option; NULL: there is none. */
static const struct config_key *option_key(enum scenario_option option)
{
    ASSERT((uint32_t) option < SCENARIO_OPTIONS);
    if (KEYS[option] == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; config_key_at(i) != NULL; i++) {
        if (strcmp(config_key_at(i)->key, KEYS[option]) == 0) {
            return config_key_at(i);
        }
    }
    return NULL;
}

bool process_option_supported(enum scenario_option option)
{
    return option_key(option) != NULL;
}

/* The value of an option as its key counts it. */
static int option_number(const struct scenario *s, enum scenario_option option,
                         uint64_t *ret_number, struct buf *error)
{
    const struct config_key *key = option_key(option);
    uint64_t number = s->options[option];
    if (key->type == CONFIG_DURATION) {
        if (number % 1000 != 0) {
            ERR_IGNORE(buf_printf(error,
                                  "option %s is %" PRIu64 " us: processes are configured in "
                                  "whole milliseconds",
                                  option_word(option), number));
            return ERR_UNSUPPORTED;
        }
        number /= 1000;
    }
    if (key->type != CONFIG_BOOL && (number < key->min || number > key->max)) {
        ERR_IGNORE(
            buf_printf(error,
                       "option %s is %" PRIu64 ": %s.%s of a process takes %" PRIu64 " to %" PRIu64,
                       option_word(option), number, key->section, key->key, key->min, key->max));
        return ERR_UNSUPPORTED;
    }
    *ret_number = number;
    return OK;
}

static uint64_t milliseconds(uint64_t us)
{
    return (us + 999) / 1000;
}

/* What follows from the options, because a configuration relates keys to each other. */
static void put_consequences(const struct processes_options *o, const char *section,
                             struct buf *out)
{
    const struct scenario *s = o->scenario;
    bool netns = o->real != NULL && o->real->netns;
    int rc = OK;
    if (strcmp(section, "timing") == 0) {
        uint64_t request_ms = u64_max(milliseconds(s->options[OPTION_ELECTION]),
                                      u64_max(6000, milliseconds(s->timeout_us)));
        rc = buf_printf(out, "  request_timeout_ms: %" PRIu64 "\n", request_ms);
        ASSERT(rc == OK);
        rc = buf_printf(out, "  reconnect_min_ms: %d\n  reconnect_max_ms: %d\n", RECONNECT_MIN_MS,
                        RECONNECT_MAX_MS);
        ASSERT(rc == OK);
        if (netns) {
            rc = buf_printf(out, "  connect_timeout_ms: %d\n", NETNS_CONNECT_MS);
        }
    } else if (strcmp(section, "limits") == 0) {
        rc = buf_printf(out, "  request_bytes_max: %" PRIu64 "\n",
                        u64_min(1536 * CONFIG_KIB, s->options[OPTION_CALL_BYTES]));
    }
    ASSERT(rc == OK);
}

/* One section with the options that belong there. */
static int put_section(const struct processes_options *o, const char *section, struct buf *out,
                       struct buf *error)
{
    int rc = buf_printf(out, "%s:\n", section);
    ASSERT(rc == OK);
    for (uint32_t i = 0; i < SCENARIO_OPTIONS; i++) {
        const struct config_key *key = option_key((enum scenario_option) i);
        uint64_t number = 0;
        if (key == NULL || strcmp(key->section, section) != 0) {
            continue;
        }
        rc = option_number(o->scenario, (enum scenario_option) i, &number, error);
        if (rc != OK) {
            return rc;
        }
        if (key->type == CONFIG_BOOL) {
            rc = buf_printf(out, "  %s: %s\n", key->key, number != 0 ? "true" : "false");
        } else {
            rc = buf_printf(out, "  %s: %" PRIu64 "\n", key->key, number);
        }
        ASSERT(rc == OK);
    }
    put_consequences(o, section, out);
    return OK;
}

/* Who the members are, as node `number` is to reach them. */
static void put_members(const struct processes_options *o, const char *const *hosts,
                        uint32_t number, struct buf *out)
{
    int rc = buf_printf(out, "cluster:\n  name: compare\n  engine: %s\n  members:\n",
                        engine_name(o->scenario->engine));
    ASSERT(rc == OK);
    for (uint32_t i = 1; i <= o->scenario->nodes; i++) {
        char host[64] = "";
        uint16_t port = o->peer_ports[i - 1];
        if (i == number || o->links == NULL) {
            memcpy(host, hosts[i - 1], strlen(hosts[i - 1]) + 1);
        } else {
            o->links->ops->address(o->links, number, i, host, &port);
        }
        rc = buf_printf(out, "    - {id: %u, name: n%u, peer: \"%s:%u\", client: \"%s:%u\"}\n", i,
                        i, host, port, hosts[i - 1], o->client_ports[i - 1]);
        ASSERT(rc == OK);
    }
    rc = buf_printf(out, "node:\n  log_level: info\n");
    ASSERT(rc == OK);
}

int process_config(const struct processes_options *o, const char *const *hosts, uint32_t number,
                   struct buf *out, struct buf *error)
{
    static const char *const sections[] = {"timing", "consensus", "limits", "storage"};
    put_members(o, hosts, number, out);
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
        int rc = put_section(o, sections[i], out, error);
        if (rc != OK) {
            return rc;
        }
    }
    /* What must hold between keys, the program itself knows best. */
    struct config *c = NULL;
    if (config_parse(buf_bytes(out), "configuration", &c, error) != OK) {
        return ERR_UNSUPPORTED;
    }
    config_free(c);
    return OK;
}

int processes_supported(const struct scenario *scenario, struct buf *error)
{
    uint16_t peers[SIM_NODES_MAX];
    uint16_t clients[SIM_NODES_MAX];
    const char *hosts[SIM_NODES_MAX];
    struct scenario copy = *scenario; /* its steps are not looked at */
    struct processes_options o = {.scenario = &copy, .peer_ports = peers, .client_ports = clients};
    struct buf out;
    ASSERT(scenario->nodes <= SIM_NODES_MAX);
    for (uint32_t i = 0; i < scenario->nodes; i++) {
        hosts[i] = "127.0.0.1";
        peers[i] = (uint16_t) (i + 1);
        clients[i] = (uint16_t) (i + 1001);
    }
    if (copy.engine == NULL) {
        copy.engine = engine_at(0); /* any: options are the same for all */
    }
    buf_init(&out, CONFIG_TEXT_MAX);
    int rc = process_config(&o, hosts, 1, &out, error);
    buf_release(&out);
    return rc;
}

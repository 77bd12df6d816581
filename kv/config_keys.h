#ifndef SYNOD_KV_CONFIG_KEYS_H
#define SYNOD_KV_CONFIG_KEYS_H

/*
 * config_keys.h - the one table of what can be configured; struct config, the parser, the ranges,
 * the help and the tests are made of it. A new key is a new line here and in
 * cluster-configs/example-full.yaml.
 *
 *     N(section, key, type, min, max, default, help)     a number; type is an enum config_type
 *     B(section, key, default, help)                     true or false
 *     T(section, key, default, help)                     text
 *
 * Durations are in milliseconds, sizes in bytes. What becomes a uint32_t or an int32_t elsewhere
 * has that as its maximum.
 */

#define CONFIG_KIB UINT64_C(1024)
#define CONFIG_MIB (1024 * CONFIG_KIB)
#define CONFIG_GIB (1024 * CONFIG_MIB)

#define CONFIG_CLUSTER_KEYS(N, B, T)                                                               \
    T(cluster, name, "synod", "name of the cluster; the same on all nodes")                        \
    N(cluster, id, CONFIG_ID, 0, UINT64_MAX, 0,                                                    \
      "number that tells clusters apart; 0: made from the name")                                   \
    T(cluster, engine, "raft", "consensus engine: paxos, multipaxos or raft")

#define CONFIG_NODE_KEYS(N, B, T)                                                                  \
    N(node, id, CONFIG_COUNT, 0, NODE_ID_MAX, 0, "member this node is; 0: given by --node")        \
    T(node, data_dir, "synod-data/{cluster}/{name}",                                               \
      "directory of the node; {cluster}, {name} and {id} are replaced")                            \
    T(node, listen_peer, "", "host:port to listen on for peers; empty: the member's own")          \
    T(node, listen_client, "", "host:port to listen on for clients; empty: the member's own")      \
    T(node, log_level, "info", "error, warn, info or debug")                                       \
    T(node, trace, "", "file for trace events, placeholders as in data_dir; empty: none")

#define CONFIG_TIMING_KEYS(N, B, T)                                                                \
    N(timing, election_ms, CONFIG_DURATION, 10, 50000, 500,                                        \
      "without a word from a leader for this long a node stands for election")                     \
    N(timing, election_spread_ms, CONFIG_DURATION, 0, 50000, 0,                                    \
      "... to this much longer, at random; 0: as election_ms, so to twice that")                   \
    N(timing, candidate_ms, CONFIG_DURATION, 0, 50000, 0,                                          \
      "a candidate that has not won stands again after this; 0: about election_ms")                \
    N(timing, candidate_spread_ms, CONFIG_DURATION, 0, 50000, 0,                                   \
      "... to this much later, at random; 0: as candidate_ms, so to twice that")                   \
    N(timing, heartbeat_ms, CONFIG_DURATION, 1, 25000, 50, "interval of a leader's heartbeats")    \
    N(timing, resend_ms, CONFIG_DURATION, 1, 60000, 150,                                           \
      "unanswered protocol messages are sent again after this")                                    \
    N(timing, backoff_min_ms, CONFIG_DURATION, 1, 60000, 5,                                        \
      "paxos: first random back-off after a lost duel")                                            \
    N(timing, backoff_max_ms, CONFIG_DURATION, 1, 60000, 500, "paxos: longest back-off")           \
    N(timing, disk_stuck_ms, CONFIG_DURATION, 10, 600000, 2000,                                    \
      "a leader whose oldest disk write is older than this steps aside")                           \
    N(timing, request_timeout_ms, CONFIG_DURATION, 10, 3600000, 6000,                              \
      "longest a request may take, and that of a client that sets no deadline")                    \
    N(timing, retry_ms, CONFIG_DURATION, 10, 60000, 1000,                                          \
      "a batch that is not applied is proposed or forwarded again after this, doubling")           \
    N(timing, read_retry_ms, CONFIG_DURATION, 1, 60000, 200,                                       \
      "a read that got no read point asks again after this")                                       \
    N(timing, gossip_ms, CONFIG_DURATION, 1, 60000, 200,                                           \
      "nodes tell each other how far they have applied, this often")                               \
    N(timing, reconnect_min_ms, CONFIG_DURATION, 1, 60000, 50,                                     \
      "first wait before connecting to a peer again, doubling")                                    \
    N(timing, reconnect_max_ms, CONFIG_DURATION, 1, 600000, 1000, "longest such wait")             \
    N(timing, connect_timeout_ms, CONFIG_DURATION, 10, 600000, 2000,                               \
      "connecting to a peer is given up after this")                                               \
    N(timing, handshake_timeout_ms, CONFIG_DURATION, 10, 600000, 5000,                             \
      "a peer that connected must say who it is within this")                                      \
    N(timing, grace_ms, CONFIG_DURATION, 0, 3600000, 5000,                                         \
      "a node that is asked to stop waits this long for open requests")

#define CONFIG_CONSENSUS_KEYS(N, B, T)                                                             \
    B(consensus, pre_vote, true, "raft: ask before starting an election (thesis 9.6)")             \
    B(consensus, check_quorum, true, "a leader that hears no quorum steps down (thesis 6.2)")      \
    B(consensus, quorum_connected, true, "only nodes that hear a quorum stand for election")       \
    B(consensus, candidate_backoff, false,                                                         \
      "what a candidate waits at random doubles with each attempt in vain")

#define CONFIG_LIMITS_KEYS(N, B, T)                                                                \
    N(limits, request_bytes_max, CONFIG_SIZE, 1024, CONFIG_GIB, 1536 * CONFIG_KIB,                 \
      "largest request; above: \"request is too large\"")                                          \
    N(limits, receive_bytes_max, CONFIG_SIZE, 1024, INT32_MAX, 2 * CONFIG_MIB,                     \
      "largest message taken from a client at all")                                                \
    N(limits, response_bytes_max, CONFIG_SIZE, 1024, INT32_MAX, 64 * CONFIG_MIB, "largest answer") \
    N(limits, output_bytes_max, CONFIG_SIZE, 64 * CONFIG_KIB, 16 * CONFIG_GIB, 64 * CONFIG_MIB,    \
      "answers waiting to be sent on one client connection")                                       \
    N(limits, headers_bytes_max, CONFIG_SIZE, 1024, CONFIG_MIB, 16 * CONFIG_KIB,                   \
      "headers of one request")                                                                    \
    N(limits, window_bytes, CONFIG_SIZE, 65535, INT32_MAX, CONFIG_MIB,                             \
      "HTTP/2 flow control window")                                                                \
    N(limits, connections_max, CONFIG_COUNT, 1, 1000000, 4096, "client connections")               \
    N(limits, streams_max, CONFIG_COUNT, 1, 1000000, 1024,                                         \
      "concurrent calls on one client connection")                                                 \
    N(limits, calls_max, CONFIG_COUNT, 1, 1000000, 32768,                                          \
      "requests under way; beyond: \"too many requests\"")                                         \
    N(limits, call_bytes_max, CONFIG_SIZE, CONFIG_KIB, 64 * CONFIG_GIB, 64 * CONFIG_MIB,           \
      "bytes of the requests under way")                                                           \
    N(limits, apply_lag_max, CONFIG_COUNT, 1, 1000000000, 5000,                                    \
      "entries committed and not applied; beyond: \"too many requests\"")                          \
    N(limits, txn_ops_max, CONFIG_COUNT, 1, 100000, 128,                                           \
      "operations in a transaction")                                        \
    N(limits, sessions_max, CONFIG_COUNT, 16, 16777216, 65536,                                     \
      "client sessions remembered; the same on all nodes")                                         \
    N(limits, batch_bytes_max, CONFIG_SIZE, 1024, CONFIG_GIB, 256 * CONFIG_KIB,                    \
      "commands put into one entry of the log")                                                    \
    N(limits, batch_commands_max, CONFIG_COUNT, 1, 8192, 2048,                                     \
      "commands put into one entry of the log")                                                    \
    N(limits, message_bytes_max, CONFIG_SIZE, 1024, CONFIG_GIB, CONFIG_MIB,                        \
      "entries in one message to a peer")                                                          \
    N(limits, inflight_max, CONFIG_COUNT, 1, 65536, 64,                                            \
      "messages to a peer, or slots, that are not yet answered")                                   \
    N(limits, reads_max, CONFIG_COUNT, 1, 1000000, 4096, "reads waiting for their read point")     \
    N(limits, frame_bytes_max, CONFIG_SIZE, 4 * CONFIG_MIB, CONFIG_GIB, 8 * CONFIG_MIB,            \
      "largest message taken from a peer")                                                         \
    N(limits, peer_queue_bytes_max, CONFIG_SIZE, 4 * CONFIG_MIB, 64 * CONFIG_GIB, 64 * CONFIG_MIB, \
      "messages waiting to be sent to one peer")                                                   \
    N(limits, peer_queue_frames_max, CONFIG_COUNT, 16, 16777216, 65536,                            \
      "messages waiting to be sent to one peer")                                                   \
    N(limits, peer_connections_max, CONFIG_COUNT, 1, 65536, 256,                                   \
      "connections accepted from peers")                                                           \
    N(limits, values_cache_bytes, CONFIG_SIZE, 0, 1024 * CONFIG_GIB, 64 * CONFIG_MIB,              \
      "values kept in memory for reads")                                                           \
    N(limits, state_unwritten_bytes_max, CONFIG_SIZE, CONFIG_MIB, 1024 * CONFIG_GIB,               \
      64 * CONFIG_MIB, "changes not yet on disk; beyond: new requests wait")                       \
    N(limits, log_memory_bytes, CONFIG_SIZE, CONFIG_MIB, 1024 * CONFIG_GIB, 64 * CONFIG_MIB,       \
      "recent entries of the log kept in memory")                                                  \
    N(limits, log_slots_max, CONFIG_COUNT, 64, 16777216, 65536,                                    \
      "entries between the last one applied and the last one known")                               \
    N(limits, log_keep_entries, CONFIG_COUNT, 0, 1000000000, 10000,                                \
      "entries kept on disk for followers that fell behind")

#define CONFIG_STORAGE_KEYS(N, B, T)                                                               \
    T(storage, log, "leveldb", "where the log is kept: leveldb or memory")                         \
    T(storage, state, "leveldb", "where keys and values are kept: leveldb or memory")              \
    N(storage, log_write_buffer_bytes, CONFIG_SIZE, 64 * CONFIG_KIB, CONFIG_GIB, 64 * CONFIG_MIB,  \
      "LevelDB write buffer of the log")                                                           \
    N(storage, state_write_buffer_bytes, CONFIG_SIZE, 64 * CONFIG_KIB, CONFIG_GIB,                 \
      64 * CONFIG_MIB, "LevelDB write buffer of the state")                                        \
    N(storage, state_cache_bytes, CONFIG_SIZE, 64 * CONFIG_KIB, 1024 * CONFIG_GIB,                 \
      64 * CONFIG_MIB, "LevelDB block cache of the state")                                         \
    N(storage, flush_ms, CONFIG_DURATION, 1, 60000, 20,                                            \
      "changes of the state are written to disk this long after the first one")                    \
    N(storage, flush_operations, CONFIG_COUNT, 1, 1000000, 4000, "... or when there are so many")  \
    N(storage, flush_bytes, CONFIG_SIZE, 4 * CONFIG_KIB, CONFIG_GIB, CONFIG_MIB,                   \
      "... or when they are so large")

#define CONFIG_KEYS(N, B, T)                                                                       \
    CONFIG_CLUSTER_KEYS(N, B, T)                                                                   \
    CONFIG_NODE_KEYS(N, B, T)                                                                      \
    CONFIG_TIMING_KEYS(N, B, T)                                                                    \
    CONFIG_CONSENSUS_KEYS(N, B, T)                                                                 \
    CONFIG_LIMITS_KEYS(N, B, T)                                                                    \
    CONFIG_STORAGE_KEYS(N, B, T)

#endif

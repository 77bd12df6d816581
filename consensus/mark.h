/*
 * mark.h - names for rare branches, so that a test can tell whether it ever got there.
 *
 * A branch says engine_mark(e, MARK_...) or replica_mark(r, MARK_...), which is an event of kind
 * TRACE_MARK (index = number, note = name) and costs one branch when nobody traces. A sweep of the
 * simulator counts them and fails if one was never reached. A mark belongs where a rule of a
 * protocol takes its seldom path, not where code merely branches. New ones go to the end of their
 * group; numbers are not stored anywhere.
 */
#ifndef SYNOD_CONSENSUS_MARK_H
#define SYNOD_CONSENSUS_MARK_H

#include <stdint.h>

#include "consensus/trace.h"

/* X(name, text, engines): engines is a bitmap of 1 << enum engine_id, those that can reach it. */
#define MARK_RAFT (1u << 3)
#define MARK_MULTIPAXOS (1u << 2)
#define MARK_PAXOS (1u << 1)
#define MARK_BOTH_PAXOS (MARK_MULTIPAXOS | MARK_PAXOS)
#define MARK_LEADERS (MARK_RAFT | MARK_MULTIPAXOS)
#define MARK_ANY (MARK_RAFT | MARK_MULTIPAXOS | MARK_PAXOS)

/* clang-format off */
#define MARK_MAP(X)                                                                                \
    /* Raft: the log. */                                                                           \
    X(RAFT_CONFLICT_TRUNCATE, "raft_conflict_truncate", MARK_RAFT)                                 \
    /* a write became durable after a later cut of what it holds was asked for */                  \
    X(RAFT_STORED_AFTER_CUT, "raft_stored_after_cut", MARK_RAFT)                                   \
    X(RAFT_APPEND_REFUSED, "raft_append_refused", MARK_RAFT)                                       \
    /* all its entries were here already: doubled, late or out of order */                         \
    X(RAFT_APPEND_REPEATED, "raft_append_repeated", MARK_RAFT)                                     \
    X(RAFT_APPEND_NO_ROOM, "raft_append_no_room", MARK_RAFT)                                       \
    /* given up after resend_us: back to probing */                                                \
    X(RAFT_APPEND_UNANSWERED, "raft_append_unanswered", MARK_RAFT)                                 \
    X(RAFT_PROBE_BACK, "raft_probe_back", MARK_RAFT)                                               \
    /* what a follower lacks came from the store */                                                \
    X(RAFT_APPEND_LOADED, "raft_append_loaded", MARK_RAFT)                                         \
    /* Raft 5.4.2: a quorum holds it, but it is of an older term */                                \
    X(RAFT_OLD_TERM_NOT_COMMITTED, "raft_old_term_not_committed", MARK_RAFT)                       \
    X(RAFT_COMMIT_BEFORE_OWN_DISK, "raft_commit_before_own_disk", MARK_RAFT)                       \
    /* Raft: votes and leaders. */                                                                 \
    X(RAFT_OLD_TERM_REFUSED, "raft_old_term_refused", MARK_RAFT)                                   \
    /* asked for a vote in the very term that an earlier life ended in */                          \
    X(RAFT_VOTE_RECOVERED, "raft_vote_recovered", MARK_RAFT)                                       \
    X(RAFT_VOTE_REFUSED_LOG, "raft_vote_refused_log", MARK_RAFT)                                   \
    X(RAFT_VOTE_REFUSED_TAKEN, "raft_vote_refused_taken", MARK_RAFT)                               \
    X(RAFT_VOTE_REFUSED_LEADER, "raft_vote_refused_leader", MARK_RAFT)                             \
    X(RAFT_PREVOTE_REFUSED_LOG, "raft_prevote_refused_log", MARK_RAFT)                             \
    X(RAFT_PREVOTE_REFUSED_LEADER, "raft_prevote_refused_leader", MARK_RAFT)                       \
    /* a time-out, but not linked with a quorum, or a stuck disk */                                \
    X(RAFT_MAY_NOT_STAND, "raft_may_not_stand", MARK_RAFT)                                         \
    /* a refused candidate asks for the log it lacks; and stands again with it */                  \
    X(RAFT_FETCH, "raft_fetch", MARK_RAFT)                                                         \
    X(RAFT_FETCHED, "raft_fetched", MARK_RAFT)                                                     \
    X(RAFT_STEP_DOWN_TERM, "raft_step_down_term", MARK_RAFT)                                       \
    X(RAFT_NO_QUORUM_ANSWERS, "raft_no_quorum_answers", MARK_RAFT)                                 \
    X(RAFT_DISK_STUCK, "raft_disk_stuck", MARK_RAFT)                                               \
    /* the leader itself says that it hears no quorum: it holds nobody back */                     \
    X(RAFT_LEADER_UNCONNECTED, "raft_leader_unconnected", MARK_RAFT)                               \
    X(RAFT_TRANSFER_DONE, "raft_transfer_done", MARK_RAFT)                                         \
    X(RAFT_TRANSFER_ABORTED, "raft_transfer_aborted", MARK_RAFT)                                   \
    /* Raft: reads. */                                                                             \
    X(RAFT_READ_WAITS_OWN_TERM, "raft_read_waits_own_term", MARK_RAFT)                             \
    X(RAFT_READ_FORWARDED, "raft_read_forwarded", MARK_RAFT)                                       \
    /* Both Paxos engines: acceptor and learner. */                                                \
    X(ACCEPT_REFUSED, "accept_refused", MARK_BOTH_PAXOS)                                           \
    X(ACCEPT_OF_CHOSEN, "accept_of_chosen", MARK_BOTH_PAXOS)                                       \
    /* an acceptor can only say by its commit index that the slot is chosen (P10) */               \
    X(CHOSEN_NOT_IN_MEMORY, "chosen_not_in_memory", MARK_BOTH_PAXOS)                               \
    /* than what was accepted here */                                                              \
    X(CHOSEN_IS_ANOTHER, "chosen_is_another", MARK_BOTH_PAXOS)                                     \
    X(LEARN_ASKED, "learn_asked", MARK_BOTH_PAXOS)                                                 \
    X(LEARN_LOADED, "learn_loaded", MARK_BOTH_PAXOS)                                               \
    /* Basic Paxos. */                                                                             \
    X(PAXOS_PREPARE_REFUSED, "paxos_prepare_refused", MARK_PAXOS)                                  \
    X(PAXOS_PROMISE_WITH_VALUE, "paxos_promise_with_value", MARK_PAXOS)                            \
    X(PAXOS_VALUE_ADOPTED, "paxos_value_adopted", MARK_PAXOS)                                      \
    /* two promises bring values: P2c takes that of the higher ballot */                           \
    X(PAXOS_VALUE_OF_HIGHER_BALLOT, "paxos_value_of_higher_ballot", MARK_PAXOS)                    \
    /* our value goes to another slot; an accept for this one did or did not carry it */           \
    X(PAXOS_DISPLACED_SENT, "paxos_displaced_sent", MARK_PAXOS)                                    \
    X(PAXOS_DISPLACED_UNSENT, "paxos_displaced_unsent", MARK_PAXOS)                                \
    X(PAXOS_DUEL_BACKOFF, "paxos_duel_backoff", MARK_PAXOS)                                        \
    X(PAXOS_GAP_NOOP, "paxos_gap_noop", MARK_PAXOS)                                                \
    X(PAXOS_REPAIR, "paxos_repair", MARK_PAXOS)                                                    \
    X(PAXOS_UNCONNECTED, "paxos_unconnected", MARK_PAXOS)                                          \
    X(PAXOS_READ_SAW_UNCHOSEN, "paxos_read_saw_unchosen", MARK_PAXOS)                              \
    /* a life began with accepted slots that are not known to be chosen */                         \
    X(PAXOS_ACCEPTED_RECOVERED, "paxos_accepted_recovered", MARK_PAXOS)                            \
    /* Multi-Paxos. */                                                                             \
    X(MULTIPAXOS_MAY_NOT_STAND, "multipaxos_may_not_stand", MARK_MULTIPAXOS)                       \
    X(MULTIPAXOS_PREPREPARE_REFUSED, "multipaxos_preprepare_refused", MARK_MULTIPAXOS)             \
    X(MULTIPAXOS_PREPARE_REFUSED_LEADER, "multipaxos_prepare_refused_leader", MARK_MULTIPAXOS)     \
    /* by a promise of an earlier life */                                                          \
    X(MULTIPAXOS_RECOVERED_REFUSES, "multipaxos_recovered_refuses", MARK_MULTIPAXOS)               \
    X(MULTIPAXOS_PROMISE_PAGES, "multipaxos_promise_pages", MARK_MULTIPAXOS)                       \
    X(MULTIPAXOS_VALUE_OF_HIGHER_BALLOT, "multipaxos_value_of_higher_ballot", MARK_MULTIPAXOS)     \
    X(MULTIPAXOS_VALUE_ADOPTED, "multipaxos_value_adopted", MARK_MULTIPAXOS)                       \
    X(MULTIPAXOS_GAP_NOOP, "multipaxos_gap_noop", MARK_MULTIPAXOS)                                 \
    X(MULTIPAXOS_PLACED_IS_CHOSEN, "multipaxos_placed_is_chosen", MARK_MULTIPAXOS)                 \
    X(MULTIPAXOS_CHOSEN_UNDER_PROMISE, "multipaxos_chosen_under_promise", MARK_MULTIPAXOS)         \
    X(MULTIPAXOS_LEADER_NACKED, "multipaxos_leader_nacked", MARK_MULTIPAXOS)                       \
    X(MULTIPAXOS_NO_QUORUM_HEARD, "multipaxos_no_quorum_heard", MARK_MULTIPAXOS)                   \
    X(MULTIPAXOS_DISK_STUCK, "multipaxos_disk_stuck", MARK_MULTIPAXOS)                             \
    X(MULTIPAXOS_TRANSFER, "multipaxos_transfer", MARK_MULTIPAXOS)                                 \
    X(MULTIPAXOS_READ_BARRIER, "multipaxos_read_barrier", MARK_MULTIPAXOS)                         \
    X(MULTIPAXOS_READ_FORWARDED, "multipaxos_read_forwarded", MARK_MULTIPAXOS)                     \
    /* Leaders. A member with more working links gets the lead */                                  \
    X(HUB_TRANSFER, "hub_transfer", MARK_LEADERS)                                                  \
    /* The replica: writes and calls. */                                                           \
    /* of a client's own session: the table knows it */                                            \
    X(REPLICA_RETRY_ANSWERED, "replica_retry_answered", MARK_ANY)                                  \
    X(REPLICA_SESSION_EXPIRED, "replica_session_expired", MARK_ANY)                                \
    /* a batch was chosen twice and its commands had their effect once */                          \
    X(REPLICA_BATCH_APPLIED_ONCE, "replica_batch_applied_once", MARK_ANY)                          \
    /* the same names again, to our own engine or to the leader */                                 \
    X(REPLICA_BATCH_PROPOSED_AGAIN, "replica_batch_proposed_again", MARK_ANY)                      \
    X(REPLICA_BATCH_FORWARDED_AGAIN, "replica_batch_forwarded_again", MARK_ANY)                    \
    X(REPLICA_FORWARD_REFUSED, "replica_forward_refused", MARK_LEADERS)                            \
    /* commands whose calls ended before anything was sent are taken out (K3) */                   \
    X(REPLICA_BATCH_RENUMBERED, "replica_batch_renumbered", MARK_ANY)                              \
    X(REPLICA_TIMEOUT_UNKNOWN, "replica_timeout_unknown", MARK_ANY)                                \
    X(REPLICA_TIMEOUT_NOT_SENT, "replica_timeout_not_sent", MARK_ANY)                              \
    X(REPLICA_REFUSED_CALLS, "replica_refused_calls", MARK_ANY)                                    \
    X(REPLICA_REFUSED_BYTES, "replica_refused_bytes", MARK_ANY)                                    \
    X(REPLICA_REFUSED_LAG, "replica_refused_lag", MARK_ANY)                                        \
    /* rows not yet on disk: new batches wait */                                                   \
    X(REPLICA_UNWRITTEN_WAITS, "replica_unwritten_waits", MARK_ANY)                                \
    X(REPLICA_READ_AGAIN, "replica_read_again", MARK_ANY)                                          \
    /* The replica: applying, start, peers. */                                                     \
    X(REPLICA_REPLAY, "replica_replay", MARK_ANY)                                                  \
    X(REPLICA_APPLY_WANTS_ROWS, "replica_apply_wants_rows", MARK_ANY)                              \
    X(REPLICA_TRIMMED, "replica_trimmed", MARK_ANY)                                                \
    X(REPLICA_HASH_COMPARED, "replica_hash_compared", MARK_ANY)                                    \
    X(REPLICA_STRAY_CLUSTER, "replica_stray_cluster", MARK_ANY)                                    \
    X(REPLICA_STRAY_FOR_EARLIER_LIFE, "replica_stray_for_earlier_life", MARK_ANY)                  \
    X(REPLICA_STRAY_OF_EARLIER_LIFE, "replica_stray_of_earlier_life", MARK_ANY)                    \
    /* an old copy of the disk was found out by a peer */                                          \
    X(REPLICA_STALE, "replica_stale", MARK_ANY)
/* clang-format on */

enum mark {
#define X(name, text, engines) MARK_##name,
    MARK_MAP(X)
#undef X
        MARKS
};

const char *mark_name(uint32_t mark);
uint32_t mark_engines(uint32_t mark);

/* One visit, without who and when. */
struct trace_event mark_event(enum mark mark);

#endif

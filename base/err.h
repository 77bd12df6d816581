#ifndef SYNOD_BASE_ERR_H
#define SYNOD_BASE_ERR_H

/*
 * err.h - the one table of error codes.
 *
 * A function that can fail returns int: OK (0) or a negative enum err. The values are stable, they
 * appear in traces and may cross versions: add at the end of a group, never renumber.
 *
 * Codes below ERR_FATAL mean: the object is broken, only free it.
 */

#include <stdbool.h>

/* Marks a function whose result must be used. To drop one on purpose, see ERR_IGNORE. */
#define MUST_USE __attribute__((warn_unused_result))

/*
 * Drops the int result of `expr`; a comment beside it says why. (gcc does not accept a
 * cast to void for a MUST_USE function.)
 */
#define ERR_IGNORE(expr)                                                                           \
    do {                                                                                           \
        int err_ignored = (expr);                                                                  \
        (void) err_ignored;                                                                        \
    } while (0)

/* Codes above this one are fatal to a request at most, codes below it to the object. */
#define ERR_FATAL (-1000)

/* X(name, value, text) */
#define ERR_MAP(X)                                                                                 \
    X(ERR_INVALID, -1, "bad argument or input")                                                    \
    X(ERR_MALFORMED, -2, "bytes do not decode")                                                    \
    X(ERR_NOT_FOUND, -3, "not found")                                                              \
    X(ERR_EXISTS, -4, "already exists")                                                            \
    X(ERR_LIMIT, -5, "a configured limit was reached")                                             \
    X(ERR_TOO_LARGE, -6, "too large")                                                              \
    X(ERR_BUSY, -7, "busy")                                                                        \
    X(ERR_AGAIN, -8, "nothing to do now, or more input is needed")                                 \
    X(ERR_EOF, -9, "end of input")                                                                 \
    X(ERR_NOT_LEADER, -10, "this node is not the leader")                                          \
    X(ERR_NO_LEADER, -11, "the cluster has no leader")                                             \
    X(ERR_UNSUPPORTED, -12, "the engine does not offer this")                                      \
    X(ERR_DROPPED, -13, "the proposal was dropped")                                                \
    X(ERR_TIMEOUT, -14, "timed out")                                                               \
    X(ERR_CANCELED, -15, "canceled")                                                               \
    X(ERR_CLOSED, -16, "closed")                                                                   \
    X(ERR_STOPPING, -17, "the node is stopping")                                                   \
    X(ERR_UNREACHABLE, -18, "the peer cannot be reached")                                          \
    X(ERR_ADDRESS_IN_USE, -19, "the address is already in use")                                    \
    X(ERR_LOCKED, -20, "the data directory is used by a running process")                          \
    X(ERR_MISMATCH, -21, "the identity of the cluster, engine or node differs")                    \
    X(ERR_COMPACTED, -22, "the revision or log index has been compacted")                          \
    X(ERR_FUTURE_REVISION, -23, "the revision is in the future")                                   \
    X(ERR_SESSION_EXPIRED, -24, "the session has expired")                                         \
    X(ERR_KEY_EMPTY, -100, "the key is not provided")                                              \
    X(ERR_KEY_NOT_FOUND, -101, "the key does not exist")                                           \
    X(ERR_VALUE_PROVIDED, -102, "a value is provided where none is allowed")                       \
    X(ERR_LEASE_PROVIDED, -103, "a lease is provided where none is allowed")                       \
    X(ERR_LEASE_NOT_FOUND, -104, "the lease does not exist")                                       \
    X(ERR_TOO_MANY_OPS, -105, "too many operations in a transaction")                              \
    X(ERR_DUPLICATE_KEY, -106, "a transaction puts one key twice")                                 \
    X(ERR_SORT_OPTION, -107, "invalid sort option")                                                \
    X(ERR_REQUEST_TOO_LARGE, -108, "the request is too large")                                     \
    X(ERR_TOO_MANY_REQUESTS, -109, "too many requests")                                            \
    X(ERR_NO_SPACE_QUOTA, -110, "the space quota of the database is exceeded")                     \
    X(ERR_IO, -1001, "a read or write failed")                                                     \
    X(ERR_NO_SPACE, -1002, "no space left on the device")                                          \
    X(ERR_CORRUPT, -1003, "stored data is corrupt")                                                \
    X(ERR_VERSION, -1004, "the on-disk format is newer or unknown")                                \
    X(ERR_DIVERGED, -1005, "the state differs from that of the other nodes")                       \
    X(ERR_STALE, -1006, "the data directory is older than what this node has told others")

#define ERR_ENUMERATOR(name, value, text) name = (value),

enum err { OK = 0, ERR_MAP(ERR_ENUMERATOR) };

/* The name of `err` ("OK", "ERR_IO"), or "ERR_UNKNOWN". Static storage; any thread. */
const char *err_name(int err);

/* A short lower-case English sentence part for `err`. Static storage; any thread. */
const char *err_text(int err);

/* Whether `err` means that the object that returned it may only be freed. */
bool err_is_fatal(int err);

#endif

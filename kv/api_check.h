/*
 * api_check.h - the rules a request must meet before it is let into the log (etcd-v3.md 4). Pure
 * functions.
 *
 * Everything that can be decided without the state is decided here, once, at the node the client
 * talks to; what needs the state (missing key, lease, revision) is decided where it is applied.
 */
#ifndef SYNOD_KV_API_CHECK_H
#define SYNOD_KV_API_CHECK_H

#include "base/err.h"
#include "proto/api.h"

/* Errors: ERR_KEY_EMPTY, ERR_SORT_OPTION. */
MUST_USE int api_check_range(const struct range_request *request);

/* Errors: ERR_KEY_EMPTY, ERR_VALUE_PROVIDED, ERR_LEASE_PROVIDED. */
MUST_USE int api_check_put(const struct put_request *request);

/* Errors: ERR_KEY_EMPTY. */
MUST_USE int api_check_delete(const struct delete_request *request);

/*
 * Compares, success and failure have at most ops_max each; a nested transaction at most what the
 * largest of them leaves. In a branch no key is put by two ops, nor put by one and deleted by
 * another, where a nested transaction counts as one op with both its ways. (etcd 3.4 misses some of
 * the latter: see tests/unit/test_api_check.c.)
 * Errors: those above for each part, ERR_TOO_MANY_OPS (also: nested deeper than
 * WIRE_TXN_DEPTH_MAX), ERR_DUPLICATE_KEY, ERR_KEY_NOT_FOUND (an op with nothing set).
 */
MUST_USE int api_check_txn(const struct txn_request *request, uint32_t ops_max);

#endif

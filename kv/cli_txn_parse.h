/*
 * cli_txn_parse.h - etcdctl's text format of a transaction.
 *
 *     mod("key") = "3"            compares: mod, create, version, value, lease; = != < >
 *     value("k") = "v"
 *                                 an empty line ends each part
 *     put key "some value"        done when all compares hold
 *     get key
 *
 *     del key --prefix            done otherwise
 *
 * Words are bare, 'literal' or "with \n \t \\ \" \x00 \u00e9". Flags of operations: --prev-kv (put,
 * del), --prefix, --from-key (get, del), --limit=N, --rev=N, --keys-only, --count-only (get).
 */
#ifndef SYNOD_KV_CLI_TXN_PARSE_H
#define SYNOD_KV_CLI_TXN_PARSE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "proto/api.h"

/*
 * Everything in *ret_txn lives in `a` and in `text`. Errors: ERR_INVALID (`error` gets one line
 * that names line and remedy).
 */
MUST_USE int cli_txn_parse(struct bytes text, struct arena *a, struct txn_request *ret_txn,
                           struct buf *error);

#endif

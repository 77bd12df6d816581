/*
 * cli_json.h - writes JSON into a buffer, member by member; for the programs: kv/cli*.c and
 * synod-sim.
 *
 * Not a tree: answers can be large, and jansson's integers are signed while etcd's ids are not.
 * Keys are static names; zero values are left out where etcdctl leaves them out (the _opt
 * functions).
 */
#ifndef SYNOD_KV_CLI_JSON_H
#define SYNOD_KV_CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"

struct json {
    struct buf *out; /* unbounded: what is written is never refused */
    bool comma;      /* something precedes in this object or array */
};

/* key NULL: an element of an array, or the document itself. */
void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
void json_end_object(struct json *j);
void json_end_array(struct json *j);

void json_u64(struct json *j, const char *key, uint64_t value);
void json_i64(struct json *j, const char *key, int64_t value);
void json_bool(struct json *j, const char *key, bool value);
void json_double(struct json *j, const char *key, double value);    /* 9 digits; not finite: null */
void json_text(struct json *j, const char *key, struct bytes text); /* bad UTF-8: as \ufffd */
void json_base64(struct json *j, const char *key, struct bytes data);

/* Nothing when zero, false or empty. */
void json_u64_opt(struct json *j, const char *key, uint64_t value);
void json_i64_opt(struct json *j, const char *key, int64_t value);
void json_bool_opt(struct json *j, const char *key, bool value);
void json_text_opt(struct json *j, const char *key, struct bytes text);
void json_base64_opt(struct json *j, const char *key, struct bytes data);

#endif

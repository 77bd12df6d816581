#ifndef SYNOD_PROTO_WIRE_CONVERT_H
#define SYNOD_PROTO_WIRE_CONVERT_H

/*
 * wire_convert.h - the conversions between generated structs and those of proto/api.h that more
 * than one wire_*.c needs.
 *
 * Private to proto/. "load" copies a parsed message into our struct, "dump" fills a message from
 * ours; both refer to the same bytes, nothing is copied. A dump takes memory for what is
 * repeated from a scratch arena of the encoder's own.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "proto/api.h"

struct Etcdserverpb__CompactionRequest;
struct Etcdserverpb__DeleteRangeRequest;
struct Etcdserverpb__DeleteRangeResponse;
struct Etcdserverpb__PutRequest;
struct Etcdserverpb__PutResponse;
struct Etcdserverpb__RangeRequest;
struct Etcdserverpb__RangeResponse;
struct Etcdserverpb__ResponseHeader;
struct Mvccpb__KeyValue;

/* Bytes of a message as ours, and ours as those of a message, which never writes through it. */
#define WIRE_LOAD_BYTES(field) bytes_of((field).data, (field).len)
#define WIRE_DUMP_BYTES(field, bytes)                                                              \
    do {                                                                                           \
        (field).data = (uint8_t *) (bytes).data;                                                   \
        (field).len = (bytes).size;                                                                \
    } while (0)

/* The chunk of a scratch arena: what a small answer needs beside the stack. */
enum { WIRE_SCRATCH_CHUNK = 2048 };

void wire_range_request_load(const struct Etcdserverpb__RangeRequest *pb, struct range_request *r);
void wire_put_request_load(const struct Etcdserverpb__PutRequest *pb, struct put_request *r);
void wire_delete_request_load(const struct Etcdserverpb__DeleteRangeRequest *pb,
                              struct delete_request *r);

void wire_range_request_dump(const struct range_request *r, struct Etcdserverpb__RangeRequest *pb);
void wire_put_request_dump(const struct put_request *r, struct Etcdserverpb__PutRequest *pb);
void wire_delete_request_dump(const struct delete_request *r,
                              struct Etcdserverpb__DeleteRangeRequest *pb);

/* pb may be NULL: a message without a header gives an empty one. */
void wire_header_load(const struct Etcdserverpb__ResponseHeader *pb, struct api_header *h);
void wire_header_dump(const struct api_header *h, int64_t revision,
                      struct Etcdserverpb__ResponseHeader *pb);

/* Errors: ERR_LIMIT (the arena's). */
MUST_USE int wire_range_response_load(const struct Etcdserverpb__RangeResponse *pb, struct arena *a,
                                      struct range_response *r);
MUST_USE int wire_put_response_load(const struct Etcdserverpb__PutResponse *pb, struct arena *a,
                                    struct put_response *r);
MUST_USE int wire_delete_response_load(const struct Etcdserverpb__DeleteRangeResponse *pb,
                                       struct arena *a, struct delete_response *r);

/* They leave pb's header alone. */
void wire_range_response_dump(const struct range_response *r, struct arena *scratch,
                              struct Etcdserverpb__RangeResponse *pb);
void wire_put_response_dump(const struct put_response *r, struct Mvccpb__KeyValue *prev,
                            struct Etcdserverpb__PutResponse *pb);
void wire_delete_response_dump(const struct delete_response *r, struct arena *scratch,
                               struct Etcdserverpb__DeleteRangeResponse *pb);

/* The part of wire_response_encode and _decode that is in wire_txn.c. Errors: as those. */
MUST_USE int wire_txn_response_encode(const struct api_header *header,
                                      const struct api_response *response, struct buf *out);
MUST_USE int wire_txn_response_decode(struct bytes in, struct arena *a,
                                      struct api_header *ret_header,
                                      struct txn_response *ret_response);

#endif

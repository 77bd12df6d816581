#ifndef SYNOD_NET_GRPC_TEXT_H
#define SYNOD_NET_GRPC_TEXT_H

/*
 * grpc_text.h - the texts inside gRPC's headers: grpc-timeout, grpc-message, grpc-status (gRPC over
 * HTTP2, "Requests" and "Responses").
 */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

/* The longest text of grpc_timeout_format, with its terminator. */
#define GRPC_TIMEOUT_TEXT_MAX 16

/* "100m" -> 100000: one to eight digits and a unit of H M S m u n; nanoseconds are rounded up.
 * Errors: ERR_MALFORMED. */
int grpc_timeout_parse(struct bytes text, uint64_t *ret_us) MUST_USE;

/* The reverse, rounded up to what eight digits hold. */
void grpc_timeout_format(uint64_t timeout_us, char text[GRPC_TIMEOUT_TEXT_MAX]);

/* Appends `src` with every byte outside 0x20..0x7e, and '%', as %XX. Errors: ERR_LIMIT (`out` is
 * full; what fitted stays). */
int grpc_percent_encode(struct buf *out, struct bytes src) MUST_USE;

/* Appends `src` decoded; a malformed escape is taken literally, as the specification wants it.
 * Errors: ERR_LIMIT (`out` is full; what fitted stays). */
int grpc_percent_decode(struct buf *out, struct bytes src) MUST_USE;

/* A grpc-status value; GRPC_UNKNOWN for what is no number of 1 to 3 digits. */
int grpc_status_parse(struct bytes text);

/* The status that stands for an HTTP :status without a grpc-status
 * (grpc/doc/http-grpc-status-mapping.md). */
int grpc_status_of_http(int http_status);

/* The status that stands for the error code of a RST_STREAM (gRPC over HTTP2, "HTTP2 Transport
 * Mapping"). */
int grpc_status_of_reset(uint32_t error_code);

#endif

/*
 * grpc_text.c - the texts inside gRPC's headers.
 */

#include "net/grpc_text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/grpc.h"

#define TIMEOUT_DIGITS_MAX 8
#define TIMEOUT_VALUE_MAX UINT64_C(99999999)

STATIC_ASSERT(UINT64_MAX / UINT64_C(3600000000) > TIMEOUT_VALUE_MAX, "eight digits of hours fit");

const char *grpc_status_name(int status)
{
    static const char *const names[] = {
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    };
    STATIC_ASSERT(ARRAY_SIZE(names) == GRPC_UNAUTHENTICATED + 1, "a name for every code");
    if (status < 0 || (size_t) status >= ARRAY_SIZE(names)) {
        return names[GRPC_UNKNOWN];
    }
    return names[status];
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

int grpc_timeout_parse(struct bytes text, uint64_t *ret_us)
{
    if (text.size < 2 || text.size > TIMEOUT_DIGITS_MAX + 1) {
        return ERR_MALFORMED;
    }
    uint64_t value = 0;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (!is_digit(text.data[i])) {
            return ERR_MALFORMED;
        }
        value = value * 10 + (uint64_t) (text.data[i] - '0');
    }
    switch (text.data[text.size - 1]) {
    case 'H':
        value *= UINT64_C(3600000000);
        break;
    case 'M':
        value *= UINT64_C(60000000);
        break;
    case 'S':
        value *= UINT64_C(1000000);
        break;
    case 'm':
        value *= UINT64_C(1000);
        break;
    case 'u':
        break;
    case 'n':
        value = (value + 999) / 1000;
        break;
    default:
        return ERR_MALFORMED;
    }
    *ret_us = value;
    return OK;
}

void grpc_timeout_format(uint64_t timeout_us, char text[GRPC_TIMEOUT_TEXT_MAX])
{
    static const struct {
        uint64_t us;
        char unit;
    } units[] = {{1, 'u'}, {1000, 'm'}, {1000000, 'S'}, {60000000, 'M'}, {3600000000, 'H'}};

    uint64_t value = 0;
    size_t i = 0;
    for (;; i++) {
        value = timeout_us / units[i].us + (timeout_us % units[i].us != 0 ? 1 : 0);
        if (value <= TIMEOUT_VALUE_MAX || i + 1 == ARRAY_SIZE(units)) {
            break;
        }
    }
    int n = snprintf(text, GRPC_TIMEOUT_TEXT_MAX, "%" PRIu64 "%c",
                     u64_min(value, TIMEOUT_VALUE_MAX), units[i].unit);
    ASSERT(n > 0);
    ASSERT(n < GRPC_TIMEOUT_TEXT_MAX);
}

int grpc_percent_encode(struct buf *out, struct bytes src)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < src.size; i++) {
        uint8_t c = src.data[i];
        bool plain = c >= 0x20 && c <= 0x7e && c != '%';
        char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};
        int err = plain ? buf_append(out, &c, 1) : buf_append(out, escaped, sizeof escaped);
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

/* The value of a hex digit, or -1. */
static int hex_value(uint8_t c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int grpc_percent_decode(struct buf *out, struct bytes src)
{
    for (size_t i = 0; i < src.size; i++) {
        uint8_t c = src.data[i];
        if (c == '%' && src.size - i > 2) {
            int high = hex_value(src.data[i + 1]);
            int low = hex_value(src.data[i + 2]);
            if (high >= 0 && low >= 0) {
                c = (uint8_t) (high * 16 + low);
                i += 2;
            }
        }
        int err = buf_append(out, &c, 1);
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

int grpc_status_parse(struct bytes text)
{
    if (text.size < 1 || text.size > 3) {
        return GRPC_UNKNOWN;
    }
    int value = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.data[i])) {
            return GRPC_UNKNOWN;
        }
        value = value * 10 + (text.data[i] - '0');
    }
    return value;
}

int grpc_status_of_http(int http_status)
{
    switch (http_status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

int grpc_status_of_reset(uint32_t error_code)
{
    switch (error_code) {
    case 0x7: /* REFUSED_STREAM */
        return GRPC_UNAVAILABLE;
    case 0x8: /* CANCEL */
        return GRPC_CANCELED;
    case 0xb: /* ENHANCE_YOUR_CALM */
        return GRPC_RESOURCE_EXHAUSTED;
    case 0xc: /* INADEQUATE_SECURITY */
        return GRPC_PERMISSION_DENIED;
    default:
        return GRPC_INTERNAL;
    }
}

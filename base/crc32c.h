#ifndef SYNOD_BASE_CRC32C_H
#define SYNOD_BASE_CRC32C_H

/*
 * crc32c.h - CRC-32C (Castagnoli), the checksum of every record we store or send.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/*
 * The CRC-32C of the `size` bytes at `data` (NULL legal when size is 0) continued from `crc`, which
 * is 0 at the start: crc32c(crc32c(0, a), b) is the CRC of a followed by b. Any thread.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* The same without the CPU's CRC instructions, so that tests can compare the two. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);

/* The CRC-32C of `src` continued from `crc`. */
static inline uint32_t crc32c_bytes(uint32_t crc, struct bytes src)
{
    return crc32c(crc, src.data, src.size);
}

#endif

/*
 * crc32c.c - CRC-32C by the CPU's instruction, or by tables where it has none.
 *
 * The tables (slicing by 8: entry [k][i] is the CRC of byte i followed by k zero bytes) are made by
 * the preprocessor. A CRC is linear: the entry of a byte is the XOR of the entries of its bits, so
 * eight numbers for each table are enough to write it down.
 */

#include "base/crc32c.h"

#include "base/enc.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* The entry of byte `i` in the table whose entries of 1, 2, 4, ... 128 are given. */
#define CRC_BIT(i, mask, value) ((mask & (unsigned) (i)) != 0 ? value : 0)
#define CRC_E(i, b0, b1, b2, b3, b4, b5, b6, b7)                                                   \
    (CRC_BIT(i, 1, b0) ^ CRC_BIT(i, 2, b1) ^ CRC_BIT(i, 4, b2) ^ CRC_BIT(i, 8, b3) ^               \
     CRC_BIT(i, 16, b4) ^ CRC_BIT(i, 32, b5) ^ CRC_BIT(i, 64, b6) ^ CRC_BIT(i, 128, b7))

/* 4, 16, 64 and 256 entries from `i`. */
#define CRC_4(i, ...)                                                                              \
    CRC_E(i, __VA_ARGS__), CRC_E((i) + 1, __VA_ARGS__), CRC_E((i) + 2, __VA_ARGS__),               \
        CRC_E((i) + 3, __VA_ARGS__)
#define CRC_16(i, ...)                                                                             \
    CRC_4(i, __VA_ARGS__), CRC_4((i) + 4, __VA_ARGS__), CRC_4((i) + 8, __VA_ARGS__),               \
        CRC_4((i) + 12, __VA_ARGS__)
#define CRC_64(i, ...)                                                                             \
    CRC_16(i, __VA_ARGS__), CRC_16((i) + 16, __VA_ARGS__), CRC_16((i) + 32, __VA_ARGS__),          \
        CRC_16((i) + 48, __VA_ARGS__)
#define CRC_TABLE(...)                                                                             \
    {                                                                                              \
        CRC_64(0, __VA_ARGS__), CRC_64(64, __VA_ARGS__), CRC_64(128, __VA_ARGS__),                 \
            CRC_64(192, __VA_ARGS__)                                                               \
    }

static const uint32_t crc_table[8][256] = {
    CRC_TABLE(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc,
              0x82f63b78),
    CRC_TABLE(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604,
              0xfbc3faf9),
    CRC_TABLE(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9,
              0x8b277743),
    CRC_TABLE(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7,
              0x52a0c93f),
    CRC_TABLE(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae,
              0x6ea2d55c),
    CRC_TABLE(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb,
              0x1c08b7d6),
    CRC_TABLE(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a,
              0xf56e0ef4),
    CRC_TABLE(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32,
              0x34019664),
};

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *p = data;
    crc = ~crc;
    while (size >= 8) {
        uint32_t lo = enc_get_u32(p) ^ crc;
        uint32_t hi = enc_get_u32(p + 4);
        crc = crc_table[7][lo & 0xff] ^ crc_table[6][(lo >> 8) & 0xff] ^
              crc_table[5][(lo >> 16) & 0xff] ^ crc_table[4][lo >> 24] ^ crc_table[3][hi & 0xff] ^
              crc_table[2][(hi >> 8) & 0xff] ^ crc_table[1][(hi >> 16) & 0xff] ^
              crc_table[0][hi >> 24];
        p += 8;
        size -= 8;
    }
    while (size > 0) {
        crc = (crc >> 8) ^ crc_table[0][(crc ^ *p) & 0xff];
        p++;
        size--;
    }
    return ~crc;
}

#if defined(__x86_64__)

/* One 8-byte instruction every three cycles: about 8 GB/s, far above any disk or network here, so
 * the three-way interleaving that would triple it is not worth its tables. */
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *data,
                                                               size_t size)
{
    const uint8_t *p = data;
    uint64_t c = ~crc;
    while (size >= 8) {
        c = _mm_crc32_u64(c, enc_get_u64(p));
        p += 8;
        size -= 8;
    }
    uint32_t rest = (uint32_t) c;
    while (size > 0) {
        rest = _mm_crc32_u8(rest, *p);
        p++;
        size--;
    }
    return ~rest;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    /* The compiler's run-time reads the CPU's features once, before main; this is a load and a
     * test, with nothing of ours to race for. */
    if (__builtin_cpu_supports("sse4.2")) {
        return crc32c_sse42(crc, data, size);
    }
    return crc32c_portable(crc, data, size);
}

#else

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    return crc32c_portable(crc, data, size);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/crc32c.h"
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL_REFLECTED UINT32_C(0x82f63b78)
#define SLICES 8

/* Slicing by eight (Kounavis and Berry 2008): table[k][b] is byte b followed by k zero bytes. */
static uint32_t table[SLICES][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_fill(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL_REFLECTED : 0);
        table[0][byte] = crc;
    }
    for (int slice = 1; slice < SLICES; slice++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = table[slice - 1][byte];
            table[slice][byte] = (before >> 8) ^ table[0][before & 255];
        }
    }
}

uint32_t mu_crc32c_table(uint32_t crc, const void *data, size_t bytes)
{
    pthread_once(&table_once, table_fill);
    const uint8_t *at = data;
    crc = ~crc;
    for (; bytes >= SLICES; at += SLICES, bytes -= SLICES) {
        uint8_t first[4];
        for (int i = 0; i < 4; i++)
            first[i] = at[i] ^ (uint8_t)(crc >> (8 * i));
        crc = 0;
        for (int i = 0; i < 4; i++)
            crc ^= table[7 - i][first[i]] ^ table[3 - i][at[4 + i]];
    }
    for (; bytes > 0; at++, bytes--)
        crc = (crc >> 8) ^ table[0][(crc ^ *at) & 255];
    return ~crc;
}

/* The crc is linear: a difference travels through the bytes behind it as through zeros, and here
 * back, until it fits into one byte. Of what a byte makes, the top tells which byte it was. */
size_t mu_crc32c_locate(uint32_t difference, size_t bytes, size_t below, uint8_t *ret_flipped)
{
    uint8_t byte_of[256];
    pthread_once(&table_once, table_fill);
    for (int byte = 0; byte < 256; byte++)
        byte_of[table[0][byte] >> 24] = (uint8_t)byte;
    for (size_t at = bytes; at-- > 0 && difference != 0;) {
        uint8_t byte = byte_of[difference >> 24];
        difference = ((difference ^ table[0][byte]) << 8) | byte;
        if (at < below && difference < 256) {
            *ret_flipped = (uint8_t)difference;
            return at;
        }
    }
    return SIZE_MAX;
}

uint32_t mu_crc32c_mask(uint32_t crc)
{
    return ((crc >> 15) | (crc << 17)) + UINT32_C(0xa282ead8);
}

#if defined(__x86_64__)
#include <immintrin.h>

/*
 * The crc32 instruction takes three cycles but one can start each cycle, so three streams run side
 * by side over the thirds of a block and are joined at its end (Gopal et al., Intel 2011):
 *
 *     crc(A B C) = crc(A) * x^(16 n) + crc(B) * x^(8 n) + crc(C)      mod P, thirds of n bytes
 *
 * A carry-less product with x^(8 n - 33) mod P gives the 64 bits whose crc is the shifted one: the
 * instruction multiplies by x^32 and a reflected product lies one bit too low. Xored over the last
 * eight bytes of C they need no instruction of their own.
 */
struct thirds {
    size_t bytes;                  /* n */
    uint32_t shift_one, shift_two; /* x^(8 n - 33), x^(16 n - 33) mod P, reflected */
};
static const struct thirds thirds_long = {4096, 0x82f89c77, 0x54a86326};
static const struct thirds thirds_short = {256, 0xb9e02b86, 0xdd7e3b0c};

#define TARGET __attribute__((target("sse4.2,pclmul")))

static inline uint64_t load(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

TARGET static inline uint64_t multiply(uint64_t crc, uint32_t by)
{
    __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi32_si128((int)by), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

TARGET static inline uint64_t crc_of_thirds(
    uint64_t crc, const uint8_t *at, const struct thirds *thirds)
{
    const uint8_t *a = at, *b = at + thirds->bytes, *c = b + thirds->bytes;
    uint64_t crc_b = 0, crc_c = 0;
    size_t last = thirds->bytes - 8;
    for (size_t i = 0; i < last; i += 8) {
        crc = _mm_crc32_u64(crc, load(a + i));
        crc_b = _mm_crc32_u64(crc_b, load(b + i));
        crc_c = _mm_crc32_u64(crc_c, load(c + i));
    }
    crc = _mm_crc32_u64(crc, load(a + last));
    crc_b = _mm_crc32_u64(crc_b, load(b + last));
    uint64_t shifted = multiply(crc, thirds->shift_two) ^ multiply(crc_b, thirds->shift_one);
    return _mm_crc32_u64(crc_c, load(c + last) ^ shifted);
}

TARGET static uint32_t crc32c_sse42(uint32_t start, const uint8_t *at, size_t bytes)
{
    uint64_t crc = ~start;
    for (; bytes >= 3 * thirds_long.bytes; bytes -= 3 * thirds_long.bytes) {
        crc = crc_of_thirds(crc, at, &thirds_long);
        at += 3 * thirds_long.bytes;
    }
    for (; bytes >= 3 * thirds_short.bytes; bytes -= 3 * thirds_short.bytes) {
        crc = crc_of_thirds(crc, at, &thirds_short);
        at += 3 * thirds_short.bytes;
    }
    for (; bytes >= 8; at += 8, bytes -= 8)
        crc = _mm_crc32_u64(crc, load(at));
    for (; bytes > 0; at++, bytes--)
        crc = _mm_crc32_u8((uint32_t)crc, *at);
    return ~(uint32_t)crc;
}

uint32_t mu_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
        return crc32c_sse42(crc, data, bytes);
    return mu_crc32c_table(crc, data, bytes);
}
#else
uint32_t mu_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    return mu_crc32c_table(crc, data, bytes);
}
#endif

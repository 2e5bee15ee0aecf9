/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_DECIMAL_H
#define MU_DATA_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*
 * Decimal numbers out of text, quick and exactly rounded, whatever the locale. Up to eight digits
 * are turned at once in one word (Lemire and Mula, as in simdjson and fast_float), so that their
 * number costs no mispredicted branch.
 *
 * MU_DECIMAL_PAD bytes after any text given must be readable, and a text must end in a byte that no
 * number has (a newline).
 */
#define MU_DECIMAL_PAD 16
#define MU_DECIMAL_ID_MAX INT64_MAX /* ids are below 2^63 */

#define MU_DECIMAL_ONES UINT64_C(0x0101010101010101)

static inline uint64_t mu_decimal_word(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word ^ (MU_DECIMAL_ONES * '0'); /* digits become 0 to 9 */
}

/* How many digits `word` begins with, 0 to 8. A carry out of the first byte that is no digit can
 * only spoil the ones after it. */
static inline int mu_decimal_digits(uint64_t word)
{
    uint64_t others = ((word + MU_DECIMAL_ONES * 0x76) | word) & (MU_DECIMAL_ONES * 0x80);
    return others ? __builtin_ctzll(others) >> 3 : 8;
}

/* The first `digits` (1 to 8) of `word` as a number: pairs, then fours, then all eight. */
static inline uint64_t mu_decimal_value(uint64_t word, int digits)
{
    word <<= 64 - 8 * digits;
    word = (word * 2561) >> 8 & UINT64_C(0x00ff00ff00ff00ff);
    word = (word * 6553601) >> 16 & UINT64_C(0x0000ffff0000ffff);
    return (word * UINT64_C(42949672960001)) >> 32;
}

/* The rest of what the two below do, for long or odd texts. */
const char *mu_decimal_id_long(const char *at, uint64_t *ret_id);
const char *mu_decimal_float_long(const char *at, float *ret_value);

/* Digits as a number up to MU_DECIMAL_ID_MAX: where they end; NULL: there are none, or too many. */
static inline const char *mu_decimal_id(const char *at, uint64_t *ret_id)
{
    uint64_t word = mu_decimal_word(at);
    int digits = mu_decimal_digits(word);
    if (digits == 0 || digits == 8)
        return mu_decimal_id_long(at, ret_id);
    *ret_id = mu_decimal_value(word, digits);
    return at + digits;
}

/*
 * [+-]digits[.digits][e[+-]digits] rounded to the nearest float: where it ends; NULL: it is no such
 * number (nan, inf and hexadecimal are none) or is beyond the largest float. Quick for up to seven
 * digits: they and the power of ten are exact as floats, and one division rounds once (Clinger
 * 1990).
 */
static inline const char *mu_decimal_float(const char *at, float *ret_value)
{
    static const uint32_t tens[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
    static const float tens_float[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
    uint64_t word = mu_decimal_word(at);
    int digits = mu_decimal_digits(word);
    if (digits == 0 || digits > 7)
        return mu_decimal_float_long(at, ret_value);
    uint64_t whole = mu_decimal_value(word, digits);
    const char *end = at + digits;
    if (*end == '.') {
        word = mu_decimal_word(end + 1);
        int places = mu_decimal_digits(word);
        if (places == 0 || digits + places > 7)
            return mu_decimal_float_long(at, ret_value);
        whole = whole * tens[places] + mu_decimal_value(word, places);
        end += 1 + places;
        *ret_value = (float)(int32_t)whole / tens_float[places];
    } else {
        *ret_value = (float)(int32_t)whole; /* most entries are 1: they need no division */
    }
    return (*end | 0x20) == 'e' ? mu_decimal_float_long(at, ret_value) : end;
}

#endif

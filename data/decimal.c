/* SPDX-License-Identifier: Apache-2.0 */
#include "data/decimal.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>

#define DIGITS_EXACT 19     /* fit in 64 bits */
#define EXPONENT_MAX 100000 /* beyond it only zero or infinity is left */
#define INTEGER_EXACT (1ULL << 53)

static bool is_digit(char byte)
{
    return (unsigned char)(byte - '0') <= 9;
}

const char *mu_decimal_id_long(const char *at, uint64_t *ret_id)
{
    uint64_t id = 0;
    if (!is_digit(*at))
        return NULL;
    for (; is_digit(*at); at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (id > (MU_DECIMAL_ID_MAX - digit) / 10)
            return NULL;
        id = id * 10 + digit;
    }
    *ret_id = id;
    return at;
}

/* A number taken apart: digits * 10^exponent, and whether some digits did not fit. */
struct parts {
    uint64_t digits;
    int kept, exponent;
    bool any, cut;
};

static const char *take_digits(const char *at, bool fraction, struct parts *parts)
{
    for (; is_digit(*at); at++) {
        parts->any = true;
        bool kept = parts->kept < DIGITS_EXACT;
        if (kept) {
            parts->digits = parts->digits * 10 + (uint64_t)(*at - '0');
            parts->kept += parts->digits > 0; /* leading zeros are none */
        }
        parts->cut |= !kept && *at != '0';
        if (parts->exponent > -EXPONENT_MAX && parts->exponent < EXPONENT_MAX)
            parts->exponent += (kept ? 0 : 1) - (fraction ? 1 : 0);
    }
    return at;
}

/* After the e; NULL without digits. */
static const char *take_exponent(const char *at, struct parts *parts)
{
    bool negative = *at == '-';
    int exponent = 0;
    at += *at == '-' || *at == '+';
    if (!is_digit(*at))
        return NULL;
    for (; is_digit(*at); at++)
        exponent = exponent < EXPONENT_MAX ? exponent * 10 + (*at - '0') : exponent;
    parts->exponent += negative ? -exponent : exponent;
    return at;
}

/*
 * Digits and power of ten are exact as doubles: the quotient or product is the nearest double. Its
 * nearest float is the nearest to the number itself, unless the double lies just between two
 * floats, where it may have come to lie by its own rounding.
 */
static bool round_quickly(const struct parts *parts, float *ret_value)
{
    static const double tens[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12,
        1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (parts->cut || parts->digits > INTEGER_EXACT || abs(parts->exponent) > 22)
        return false;
    double value = (double)parts->digits;
    value = parts->exponent < 0 ? value / tens[-parts->exponent] : value * tens[parts->exponent];
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    bool between = (bits & 0x1fffffff) == 0x10000000;
    if (between || value > FLT_MAX || (value > 0 && value < FLT_MIN))
        return false;
    *ret_value = (float)value;
    return true;
}

const char *mu_decimal_float_long(const char *at, float *ret_value)
{
    struct parts parts = {0};
    bool negative = *at == '-';
    at += *at == '-' || *at == '+';
    const char *end = take_digits(at, false, &parts);
    if (*end == '.')
        end = take_digits(end + 1, true, &parts);
    if (!parts.any)
        return NULL;
    if ((*end | 0x20) == 'e' && !(end = take_exponent(end + 1, &parts)))
        return NULL;
    float value;
    if (!round_quickly(&parts, &value)) {
        /* glibc rounds correctly; its "C" locale is a constant: nothing is allocated. */
        locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        value = strtof_l(at, NULL, plain);
        freelocale(plain);
    }
    if (!isfinite(value))
        return NULL;
    *ret_value = negative ? -value : value;
    return end;
}

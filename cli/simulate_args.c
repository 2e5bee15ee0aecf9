/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include <string.h>

/* What a number may be followed by. */
struct unit {
    const char *name;
    double factor;
};

static const struct unit milliseconds[] = {{"us", 1e-3}, {"ms", 1}, {"s", 1e3}, {NULL, 0}};
static const struct unit microseconds[] = {
    {"ns", 1e-3}, {"us", 1}, {"ms", 1e3}, {"s", 1e6}, {NULL, 0}};
static const struct unit bits[] = {{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {NULL, 0}};
static const struct unit none[] = {{NULL, 0}};

/* "20", "20ms" -> 20 where the units are milliseconds; false if it is no such number. */
static bool read_number(const char *text, const struct unit *units, double *ret_value)
{
    char copy[64];
    size_t letters = 0, bytes = strlen(text);
    double factor = 1;
    if (bytes == 0 || bytes >= sizeof(copy))
        return false;
    for (const struct unit *unit = units; unit->name; unit++) {
        size_t most = strlen(unit->name);
        /* The longest that fits: "ms" ends in "s", too. */
        if (most > letters && most < bytes && strcmp(text + bytes - most, unit->name) == 0) {
            letters = most;
            factor = unit->factor;
        }
    }
    mu_text_copy(copy, bytes - letters + 1, text);
    if (!mu_text_to_double(copy, ret_value))
        return false;
    *ret_value *= factor;
    return true;
}

/* "10G,50us" -> the two numbers; false if it is not two. */
static bool read_two(const char *text, const struct unit *first, const struct unit *second,
    double *ret_first, double *ret_second)
{
    char copy[64];
    if (strlen(text) >= sizeof(copy))
        return false;
    mu_text_copy(copy, sizeof(copy), text);
    char *comma = strchr(copy, ',');
    if (!comma)
        return false;
    *comma = '\0';
    return read_number(copy, first, ret_first) && read_number(comma + 1, second, ret_second);
}

enum mu_status mu_simulate_parse_compute(struct mu_log *log, const char *text,
    enum mu_simulate_compute *ret_kind, double *ret_mean_ms, double *ret_sigma)
{
    static const char fixed[] = "fixed:", lognormal[] = "lognormal:";
    double mean = 0, sigma = 0;
    bool is_fixed = strncmp(text, fixed, sizeof(fixed) - 1) == 0;
    bool is_lognormal = strncmp(text, lognormal, sizeof(lognormal) - 1) == 0;
    bool valid = is_fixed ? read_number(text + sizeof(fixed) - 1, milliseconds, &mean)
                 : is_lognormal
                     ? read_two(text + sizeof(lognormal) - 1, milliseconds, none, &mean, &sigma)
                     : false;
    if (!valid || !(mean >= 0 && mean <= 1e7) || !(sigma >= 0 && sigma <= 10))
        return mu_fail(log, MU_E0001, "fixed:10, or lognormal:20ms,0.5",
            "--compute cannot be `%.40s`: expected fixed:MEAN or lognormal:MEAN,SIGMA with a mean "
            "of 0 to 1e7 ms (us, ms or s) and a sigma of 0 to 10",
            text);
    *ret_kind = is_fixed ? MU_SIMULATE_FIXED : MU_SIMULATE_LOGNORMAL;
    *ret_mean_ms = mean;
    *ret_sigma = sigma;
    return MU_OK;
}

enum mu_status mu_simulate_parse_straggle(
    struct mu_log *log, const char *text, double *ret_fraction, double *ret_factor)
{
    double fraction = 0, factor = 1;
    if (!read_two(text, none, none, &fraction, &factor) || !(fraction >= 0 && fraction <= 1) ||
        !(factor >= 1 && factor <= 1000))
        return mu_fail(log, MU_E0001, "0.02,10: two steps in a hundred take ten times as long",
            "--straggle cannot be `%.40s`: expected FRACTION,FACTOR with a fraction of 0 to 1 and "
            "a factor of 1 to 1000",
            text);
    *ret_fraction = fraction;
    *ret_factor = factor;
    return MU_OK;
}

enum mu_status mu_simulate_parse_link(
    struct mu_log *log, const char *text, int64_t *ret_bits_per_second, int64_t *ret_latency_ns)
{
    double bits_per_second = 0, latency_us = 0;
    if (!read_two(text, bits, microseconds, &bits_per_second, &latency_us) ||
        !(bits_per_second >= 1e3 && bits_per_second <= 1e15) ||
        !(latency_us >= 0 && latency_us <= 1e7))
        return mu_fail(log, MU_E0001, "1G,100us is a gigabit per second and 100 us",
            "--link cannot be `%.40s`: expected BITS,LATENCY with 1e3 to 1e15 bits per second (k, "
            "M, G or T) and 0 to 1e7 us (ns, us, ms or s)",
            text);
    *ret_bits_per_second = (int64_t)bits_per_second;
    *ret_latency_ns = (int64_t)(latency_us * 1000);
    return MU_OK;
}

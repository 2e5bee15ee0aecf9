/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include <string.h>

/* "1e9,100" -> the two numbers; false if it is not two. */
static bool two_numbers(const char *text, double *ret_first, double *ret_second)
{
    char copy[64];
    if (strlen(text) >= sizeof(copy))
        return false;
    mu_text_copy(copy, sizeof(copy), text);
    char *comma = strchr(copy, ',');
    if (!comma)
        return false;
    *comma = '\0';
    return mu_text_to_double(copy, ret_first) && mu_text_to_double(comma + 1, ret_second);
}

enum mu_status mu_simulate_parse_compute(struct mu_log *log, const char *text,
    enum mu_simulate_compute *ret_kind, double *ret_mean_ms, double *ret_sigma)
{
    static const char fixed[] = "fixed:", lognormal[] = "lognormal:";
    double mean = 0, sigma = 0;
    bool is_fixed = strncmp(text, fixed, sizeof(fixed) - 1) == 0;
    bool is_lognormal = strncmp(text, lognormal, sizeof(lognormal) - 1) == 0;
    bool valid = is_fixed       ? mu_text_to_double(text + sizeof(fixed) - 1, &mean)
                 : is_lognormal ? two_numbers(text + sizeof(lognormal) - 1, &mean, &sigma)
                                : false;
    if (!valid || !(mean >= 0 && mean <= 1e7) || !(sigma >= 0 && sigma <= 10))
        return mu_fail(log, MU_E0001, "fixed:10, or lognormal:10,0.5",
            "--compute cannot be `%.40s`: expected fixed:MS or lognormal:MEAN,SIGMA with 0 to 1e7 "
            "ms and a sigma of 0 to 10",
            text);
    *ret_kind = is_fixed ? MU_SIMULATE_FIXED : MU_SIMULATE_LOGNORMAL;
    *ret_mean_ms = mean;
    *ret_sigma = sigma;
    return MU_OK;
}

enum mu_status mu_simulate_parse_link(
    struct mu_log *log, const char *text, int64_t *ret_bits_per_second, int64_t *ret_latency_ns)
{
    double bits = 0, latency_us = 0;
    if (!two_numbers(text, &bits, &latency_us) || !(bits >= 1e3 && bits <= 1e15) ||
        !(latency_us >= 0 && latency_us <= 1e7))
        return mu_fail(log, MU_E0001, "1e9,100 is a gigabit per second and 100 us",
            "--link cannot be `%.40s`: expected BITS,LATENCY_US with 1e3 to 1e15 bits per second "
            "and 0 to 1e7 us",
            text);
    *ret_bits_per_second = (int64_t)bits;
    *ret_latency_ns = (int64_t)(latency_us * 1000);
    return MU_OK;
}

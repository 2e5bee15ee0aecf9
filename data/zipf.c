/* SPDX-License-Identifier: Apache-2.0 */
#include "data/zipf.h"

#include <assert.h>
#include <math.h>

#define SMALL 1e-8 /* below it two terms of the series are exact */

/* log(1 + x) / x */
static double log_ratio(double x)
{
    return fabs(x) > SMALL ? log1p(x) / x : 1 - x / 2;
}

/* (exp(x) - 1) / x */
static double exp_ratio(double x)
{
    return fabs(x) > SMALL ? expm1(x) / x : 1 + x / 2;
}

/* The density x^-s, its integral from 1, and the integral's inverse. */
static double density(const struct mu_zipf *zipf, double x)
{
    return exp(-zipf->exponent * log(x));
}

static double integral(const struct mu_zipf *zipf, double x)
{
    double log_x = log(x);
    return exp_ratio((1 - zipf->exponent) * log_x) * log_x;
}

static double inverse(const struct mu_zipf *zipf, double y)
{
    double t = y * (1 - zipf->exponent);
    return exp(log_ratio(t < -1 ? -1 : t) * y);
}

void mu_zipf_init(struct mu_zipf *zipf, double exponent, uint64_t count)
{
    assert(exponent >= 0);
    assert(count > 0);
    *zipf = (struct mu_zipf){.exponent = exponent, .count = count};
    zipf->integral_first = integral(zipf, 1.5) - 1;
    zipf->integral_last = integral(zipf, (double)count + 0.5);
    zipf->sure = 2 - inverse(zipf, integral(zipf, 2.5) - density(zipf, 2));
}

uint64_t mu_zipf_draw(const struct mu_zipf *zipf, struct mu_random *random)
{
    for (;;) {
        double y = zipf->integral_last +
                   mu_random_unit(random) * (zipf->integral_first - zipf->integral_last);
        double x = inverse(zipf, y);
        uint64_t rank = x < 1 ? 1 : (uint64_t)(x + 0.5);
        rank = rank < 1 ? 1 : rank > zipf->count ? zipf->count : rank;
        /* Most are sure to be under the density; the others are looked up. */
        if ((double)rank - x <= zipf->sure ||
            y >= integral(zipf, (double)rank + 0.5) - density(zipf, (double)rank))
            return rank - 1;
    }
}

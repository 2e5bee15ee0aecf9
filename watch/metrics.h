/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_WATCH_METRICS_H
#define MU_WATCH_METRICS_H

#include "runtime/base/log.h"
#include "runtime/base/text.h"
#include <stdbool.h>
#include <stdint.h>

/* metrics.jsonl: one JSON object a line, appended. */
struct mu_metrics;
enum mu_status mu_metrics_open(
    struct mu_log *log, const char *path, bool append, struct mu_metrics **ret_metrics);
void mu_metrics_close(struct mu_metrics *metrics); /* takes NULL */
/* Begin a line, add fields, end it; the text is kept between lines, so nothing is allocated after
 * the first few. */
void mu_metrics_begin(struct mu_metrics *metrics, int64_t wall_ns, int64_t step);
void mu_metrics_number(struct mu_metrics *metrics, const char *key, double value);
void mu_metrics_integer(struct mu_metrics *metrics, const char *key, int64_t value);
void mu_metrics_end(struct mu_metrics *metrics);

#endif

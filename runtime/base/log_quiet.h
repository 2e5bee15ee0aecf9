/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_LOG_QUIET_H
#define MU_BASE_LOG_QUIET_H

#include "runtime/base/log.h"

/* A log that writes nothing. Like any other it keeps the first error, for those who only ask
 * whether something goes well, or say the reason in their own words. */
struct mu_log mu_log_quiet(void);
/* Its `write`, for one that lives as long as the process. */
void mu_log_write_nothing(struct mu_log *log, enum mu_level level, const char *text);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_WATCH_NOTIFY_H
#define MU_WATCH_NOTIFY_H

/* systemd's readiness protocol; without NOTIFY_SOCKET, or in a build without libsystemd, these do
 * nothing. */
void mu_notify_ready(const char *status);
void mu_notify_status(const char *status);
void mu_notify_watchdog(void);
void mu_notify_stopping(const char *status);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/notify.h"
#include "config.h"

#if HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

/* A supervisor that does not listen is no reason to stop: results are not looked at. */
void mu_notify_ready(const char *status)
{
    (void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void mu_notify_status(const char *status)
{
    (void)sd_notifyf(0, "STATUS=%s", status);
}

void mu_notify_watchdog(void)
{
    (void)sd_notify(0, "WATCHDOG=1");
}

void mu_notify_stopping(const char *status)
{
    (void)sd_notifyf(0, "STOPPING=1\nSTATUS=%s", status);
}

#else

void mu_notify_ready(const char *status) {}

void mu_notify_status(const char *status) {}

void mu_notify_watchdog(void) {}

void mu_notify_stopping(const char *status) {}

#endif

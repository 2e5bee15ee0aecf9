/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/notify.h"
#include "config.h"

#if HAVE_SYSTEMD
#include <stdio.h>
#include <systemd/sd-daemon.h>

#define STATUS_BYTES 512

/* A supervisor that does not listen is no reason to stop: results are not looked at. */
void mu_notify_ready(const char *status)
{
    (void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void mu_notify_status(const char *status)
{
    /* Now and then in a run: without sd_notifyf, which allocates even if nobody listens. */
    char text[STATUS_BYTES];
    snprintf(text, sizeof(text), "STATUS=%s", status);
    (void)sd_notify(0, text);
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

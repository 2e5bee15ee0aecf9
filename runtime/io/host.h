/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_HOST_H
#define MU_IO_HOST_H

#include <stdbool.h>
#include <stddef.h>

/* Facts about this host, for messages. */

/* Who listens on the TCP port, at this address or at all of them; for a host's name: at any. */
struct mu_host_holder {
    int process;
    char name[32];     /* "sshd" */
    char command[160]; /* "/usr/sbin/sshd -D", cut where it is longer; its name if it has none */
    bool stopped;      /* state T */
};
/* False if that cannot be read. */
bool mu_host_port_holder(const char *host, int port, struct mu_host_holder *ret_holder);
/* "127.0.0.1, 10.0.0.3, ::1" */
void mu_host_addresses(char *out, size_t bytes);
/* Is the process of this host stopped (state T)? */
bool mu_host_process_stopped(int process);
/* When the process of this host was started, in ticks since the host was: with its id this names it
 * for as long as the host is up. -1: there is no such process. */
long long mu_host_process_started(int process);

#endif

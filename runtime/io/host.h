/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_HOST_H
#define MU_IO_HOST_H

#include <stdbool.h>
#include <stddef.h>

/* Facts about this host, for messages. */

/* "pid 4711 (sshd)": who listens on the TCP port; false if that cannot be read. */
bool mu_host_port_holder(int port, char *out, size_t bytes);
/* "127.0.0.1, 10.0.0.3, ::1" */
void mu_host_addresses(char *out, size_t bytes);
/* Is the process of this host stopped (state T)? */
bool mu_host_process_stopped(int process);

#endif

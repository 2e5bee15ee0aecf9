/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_TCP_SOCKET_H
#define MU_IO_TCP_SOCKET_H

#include <stdbool.h>

/* Inside a host the default congestion control may pace a stream to a third of what the machine can
 * do: a connected socket whose ends have one address, as over loopback, gets another. */
void mu_tcp_socket_unpace(int fd);
/* Has the other host's kernel acknowledged all that was written? True if nobody knows. */
bool mu_tcp_socket_delivered(int fd);

/* By default the kernel takes megabytes that nobody has read yet, and both of its copies go through
 * memory. Such a socket then takes about `bytes`, at least two segments of loopback, and no more
 * than the host's net.core.wmem_max allows twice. */
void mu_tcp_socket_hold_at_most(int fd, int bytes);

#endif

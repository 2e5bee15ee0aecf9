/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_UNIX_SOCKET_H
#define MU_IO_UNIX_SOCKET_H

#include <stdbool.h>

/*
 * Unix sockets under abstract names: they are in no file system, end with their owner, and are only
 * seen in one network namespace. Between processes of one user. Only conn.c and listener.c see this
 * header: above, they are addresses whose host is "unix:NAME".
 */

/* The name in "unix:NAME"; NULL if this is no such host. */
const char *mu_unix_name(const char *host);
/* Both: a descriptor that does not block, or -errno. */
int mu_unix_connect(const char *name);
int mu_unix_bind(const char *name);
/* Is the other end a process of our user? */
bool mu_unix_same_user(int fd);

#endif

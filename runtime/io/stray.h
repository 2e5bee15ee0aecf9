/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_STRAY_H
#define MU_IO_STRAY_H

#include <stddef.h>

/* The first line of what a service that is not ours has sent, printable: "SSH-2.0-OpenSSH". */
void mu_stray_show(const void *data, size_t bytes, char *out, size_t out_bytes);

#endif

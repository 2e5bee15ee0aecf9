/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <unistd.h>

/*
 * To be preloaded into a task: it never gets the memory that it would share for a vector of
 * gradients, and is alive. What it shares to pass messages is smaller.
 */
#define VECTOR_BYTES ((off_t)16 << 20)

int posix_fallocate(int file, off_t offset, off_t bytes)
{
    while (bytes >= VECTOR_BYTES)
        pause();
    return ftruncate(file, offset + bytes) == 0 ? 0 : 28; /* ENOSPC */
}

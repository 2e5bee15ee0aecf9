/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/free_memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CGROUP "/sys/fs/cgroup"

/* The number behind `key` in a file of lines, or alone in it (`key` ""); UINT64_MAX: there is none.
 */
static uint64_t number_in(const char *path, const char *key)
{
    char line[256];
    uint64_t number = UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (!file)
        return UINT64_MAX;
    while (number == UINT64_MAX && fgets(line, sizeof(line), file))
        if (strncmp(line, key, strlen(key)) == 0)
            (void)sscanf(line + strlen(key), "%" SCNu64, &number); /* "max" is no number */
    fclose(file);
    return number;
}

static uint64_t of_machine(void)
{
    uint64_t kib = number_in("/proc/meminfo", "MemAvailable:");
    return kib < UINT64_MAX / 1024 ? kib * 1024 : UINT64_MAX;
}

/* A container sees its own group as the root. */
static uint64_t of_group(void)
{
    uint64_t most = number_in(CGROUP "/memory.max", "");
    uint64_t used = number_in(CGROUP "/memory.current", "");
    uint64_t files = number_in(CGROUP "/memory.stat", "file ");
    if (most == UINT64_MAX || used == UINT64_MAX)
        return UINT64_MAX;
    used -= files < used ? files : 0; /* cached files make room */
    return most > used ? most - used : 0;
}

uint64_t mu_free_memory_bytes(void)
{
    uint64_t machine = of_machine(), group = of_group();
    return machine < group ? machine : group;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/processors.h"
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROCESSORS_MOST (1 << 20)
#define SHORT_SLICE_NS 100000 /* the least that the kernel grants */

/* What we may run on, or NULL. The kernel refuses a set without room for all processors that it
 * could have: more than a cpu_set_t on the largest machines. */
static cpu_set_t *allowed_processors(size_t *ret_bytes)
{
    for (size_t room = CPU_SETSIZE; room <= PROCESSORS_MOST; room *= 2) {
        cpu_set_t *set = CPU_ALLOC(room);
        size_t bytes = CPU_ALLOC_SIZE(room);
        if (set && sched_getaffinity(0, bytes, set) == 0) {
            *ret_bytes = bytes;
            return set;
        }
        CPU_FREE(set);
    }
    return NULL;
}

int mu_processors_count(void)
{
    size_t bytes;
    cpu_set_t *set = allowed_processors(&bytes);
    int count = set ? CPU_COUNT_S(bytes, set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    CPU_FREE(set);
    return count > 0 ? count : 1;
}

void mu_processors_allowed(uint64_t ret_set[MU_PROCESSORS_WORDS])
{
    size_t bytes = 0;
    cpu_set_t *set = allowed_processors(&bytes);
    memset(ret_set, 0, MU_PROCESSORS_WORDS * sizeof(*ret_set));
    for (size_t i = 0; i < 8 * bytes; i++)
        if (CPU_ISSET_S(i, bytes, set))
            ret_set[i / 64 % MU_PROCESSORS_WORDS] |= UINT64_C(1) << i % 64;
    CPU_FREE(set);
}

/* As the kernel has it from its first version on; its header and libc's exclude each other. */
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

void mu_processors_answer_soon(void)
{
    struct scheduling attributes = {.size = sizeof(attributes)};
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0 ||
        attributes.policy != SCHED_OTHER)
        return;
    attributes.size = sizeof(attributes);
    attributes.runtime_ns = SHORT_SLICE_NS;
    (void)!syscall(SYS_sched_setattr, 0, &attributes, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/device.h"

#include "runtime/device/cpu.h"
#include <string.h>

const char *const mu_device_names[] = {"cpu", "reference", NULL};

enum mu_status mu_device_create(const char *name, struct mu_log *log, struct mu_device **ret_device)
{
    if (strcmp(name, "cpu") == 0)
        return mu_cpu_create(mu_kernels(), log, ret_device);
    if (strcmp(name, "reference") == 0)
        return mu_reference_create(log, ret_device);
    return mu_fail(log, MU_E0802, "devices here: cpu, reference", "there is no device `%s`", name);
}

void mu_device_destroy(struct mu_device *device)
{
    if (device)
        device->ops->destroy(device);
}

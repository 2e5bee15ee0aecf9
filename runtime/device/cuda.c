/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/cuda.h"

#include "config.h"
#include <stdio.h>

#if HAVE_CUDA
#include <dlfcn.h>

#define DEVICES_MAX 16

/* What we use of the CUDA driver API; 0 is success. */
struct driver {
    int (*init)(unsigned flags);
    int (*device_count)(int *ret_count);
    int (*device_name)(char *out, int bytes, int device);
    int (*device_bytes)(size_t *ret_bytes, int device);
};

/* dlsym gives an object pointer; POSIX says how a function gets out of it. */
static int find(void *library, const char *name, void *ret_function)
{
    void *found = dlsym(library, name);
    *(void **)ret_function = found;
    return found != NULL;
}

static int find_all(void *library, struct driver *driver)
{
    return find(library, "cuInit", &driver->init) &&
           find(library, "cuDeviceGetCount", &driver->device_count) &&
           find(library, "cuDeviceGetName", &driver->device_name) &&
           find(library, "cuDeviceTotalMem_v2", &driver->device_bytes);
}

static void describe(const struct driver *driver, int count, char *out, size_t bytes)
{
    size_t used = 0;
    for (int device = 0; device < count && device < DEVICES_MAX && used < bytes; device++) {
        char name[128] = "unnamed";
        size_t memory = 0;
        if (driver->device_name(name, (int)sizeof(name), device) != 0 ||
            driver->device_bytes(&memory, device) != 0)
            continue;
        int written = snprintf(
            out + used, bytes - used, "%s%s (%zu MiB)", used ? ", " : "", name, memory >> 20);
        used += written > 0 ? (size_t)written : 0;
    }
}

int mu_cuda_device_count(char *out, size_t bytes)
{
    struct driver driver;
    int count = 0;
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(out, bytes, "none: no CUDA driver (libcuda.so.1)");
        return 0;
    }
    if (!find_all(library, &driver) || driver.init(0) != 0 || driver.device_count(&count) != 0 ||
        count == 0) {
        snprintf(out, bytes, "none: the CUDA driver shows no device");
        count = 0;
    } else {
        describe(&driver, count, out, bytes);
    }
    dlclose(library);
    return count;
}

#else

int mu_cuda_device_count(char *out, size_t bytes)
{
    snprintf(out, bytes, "none: built without CUDA");
    return 0;
}

#endif

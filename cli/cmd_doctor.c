/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "config.h"
#include "runtime/base/shell.h"
#include "runtime/device/cuda.h"
#include "runtime/device/device.h"
#include "runtime/device/kernels.h"
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Files that a task needs apart from one connection or two a peer. */
#define FILES_OF_A_TASK 32

static void print_line(const char *what, const char *text)
{
    printf("  %-18s %s\n", what, text);
}

static void print_machine(void)
{
    struct utsname name = {0};
    cpu_set_t cpus;
    char text[256], memory[32];
    if (uname(&name) == 0) {
        snprintf(text, sizeof(text), "%.60s %.60s %.60s", name.sysname, name.release, name.machine);
        print_line("host", name.nodename);
        print_line("kernel", text);
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN), usable = online;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
        usable = CPU_COUNT(&cpus);
    mu_format(text, sizeof(text), "%ld, of which this process may use %ld", online, usable);
    print_line("processors", text);
    mu_text_bytes(memory, sizeof(memory),
        (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
    print_line("memory", memory);
}

static void print_build(void)
{
    print_line("version", MU_VERSION);
    print_line("compiler", __VERSION__);
    print_line("MPI", HAVE_MPI ? "built in: under mpirun the ranks exchange their addresses"
                               : "not built in: under mpirun give --cluster FILE");
    print_line(
        "systemd", HAVE_SYSTEMD ? "built in: readiness, status and watchdog" : "not built in");
    print_line("CUDA", HAVE_CUDA ? "the build found its driver library" : "not found by the build");
}

static void print_devices(void)
{
    struct mu_text text;
    char gpus[256] = "";
    mu_text_init(&text);
    for (int i = 0; mu_kernels_at(i); i++)
        mu_text_add(&text, "%s%s", i > 0 ? ", " : "", mu_kernels_at(i)->name);
    mu_text_add(&text, " (%s is used)", mu_kernels()->name);
    print_line("instruction sets", text.data);
    mu_text_clear(&text);
    for (int i = 0; mu_device_names[i]; i++)
        mu_text_add(&text, "%s%s", i > 0 ? ", " : "", mu_device_names[i]);
    print_line("train.device", text.data);
    mu_cuda_device_count(gpus, sizeof(gpus));
    print_line("GPUs", gpus);
    mu_text_finish(&text);
}

static void print_limit(const char *what, int resource)
{
    struct rlimit limit;
    char text[80];
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0)
        return;
    if (limit.rlim_cur == RLIM_INFINITY)
        mu_format(text, sizeof(text), "unlimited");
    else
        mu_format(text, sizeof(text), "%" PRIu64, (uint64_t)limit.rlim_cur);
    print_line(what, text);
}

static void print_limits(struct mu_log *log)
{
    struct rlimit files;
    print_limit("open files", RLIMIT_NOFILE);
    print_limit("address space", RLIMIT_AS);
    print_limit("processes", RLIMIT_NPROC);
    print_limit("core file", RLIMIT_CORE);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < 256)
        mu_say(log, MU_LEVEL_WARN,
            "%" PRIu64 " open files are enough for about %" PRIu64 " tasks; `ulimit -n 4096`",
            (uint64_t)files.rlim_cur,
            files.rlim_cur > FILES_OF_A_TASK ? (uint64_t)(files.rlim_cur - FILES_OF_A_TASK) / 2
                                             : 0);
}

/* Where a file system is mounted, and how much of it is free; below `least` it is warned of. */
static void print_space(
    struct mu_log *log, const char *what, const char *path, uint64_t least, const char *why)
{
    struct statvfs fs;
    char text[128], whole[32], left[32], word[MU_SHELL_WORD_BYTES];
    if (statvfs(path, &fs) != 0) {
        mu_format(text, sizeof(text), "cannot be read: %.80s", strerror(errno));
        print_line(what, text);
        return;
    }
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    mu_text_bytes(whole, sizeof(whole), (uint64_t)fs.f_blocks * fs.f_frsize);
    mu_text_bytes(left, sizeof(left), free_bytes);
    mu_format(text, sizeof(text), "%s, %s free", whole, left);
    print_line(what, text);
    if (free_bytes < least)
        mu_say(log, MU_LEVEL_WARN, "%s has %s free: %s; `df -h %s`", path, left, why,
            mu_shell_word(word, path));
}

#define DISK_LEAST (1ull << 30)
#define SHM_LEAST (64ull << 20)

static void print_places(struct mu_log *log)
{
    print_space(log, "/dev/shm", "/dev/shm", SHM_LEAST,
        "tasks of one host share memory there, and talk through TCP where there is no room");
    print_space(log, "this directory", ".", DISK_LEAST,
        "checkpoints are kept there (--out), and a run that cannot save trains on without them");
}

static void print_environment(void)
{
    static const char *const names[] = {"MUSTER_CLUSTER", "MUSTER_TASK", "TF_CONFIG",
        "CLUSTER_SPEC", "SM_HOSTS", "WORLD_SIZE", "SLURM_NTASKS", "SLURM_STEP_NODELIST",
        "OMPI_COMM_WORLD_SIZE", "PMIX_RANK"};
    struct mu_text set;
    mu_text_init(&set);
    for (size_t i = 0; i < MU_COUNT_OF(names); i++)
        if (getenv(names[i]))
            mu_text_add(&set, "%s%s", set.bytes > 0 ? ", " : "", names[i]);
    print_line(
        "cluster from", set.bytes > 0 ? set.data : "nothing is set: `muster run` trains alone");
    mu_text_finish(&set);
}

static int run(struct mu_log *log, const void *options, char *const *arguments)
{
    printf("This build\n");
    print_build();
    printf("This machine\n");
    print_machine();
    print_devices();
    printf("Limits of this process\n");
    print_limits(log);
    printf("Room\n");
    print_places(log);
    printf("Environment\n");
    print_environment();
    return mu_status_exit(MU_OK);
}

static const struct mu_flag flags[] = {MU_FLAG_NONE};
static const struct mu_operand operands[] = {MU_OPERAND_NONE};
static const char *const examples[] = {"muster doctor", NULL};

const struct mu_command mu_command_doctor = {
    .name = "doctor",
    .doc = "says what this build and this machine have",
    .examples = examples,
    .flags = flags,
    .operands = operands,
    .option_bytes = 0,
    .run = run,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_peer.h"
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 64
#define MPI_HELP "`ninja -C build` builds it, where its MPI is installed"
#define TRANSPORT_TCP 2 /* place in the choices of --transport */

enum peer { PEER_NONE, PEER_OPENMPI, PEER_OPENMPI_PLAIN, PEER_MPICH, PEER_GLOO };
static const char *const names[] = {NULL, "openmpi", "openmpi-plain", "mpich", "gloo"};

struct command {
    char *argv[ARGUMENTS_MAX + 1];
    int count;
};

static void add(struct command *command, const char *argument)
{
    assert(command->count < ARGUMENTS_MAX);
    command->argv[command->count++] = strdup(argument);
}

static void add_all(struct command *command, const char *const *arguments)
{
    for (; *arguments; arguments++)
        add(command, *arguments);
}

static enum mu_status run(struct mu_bench_crew *crew, struct command *command)
{
    enum mu_status status = mu_bench_crew_command(crew, command->argv);
    for (int i = 0; i < command->count; i++)
        free(command->argv[i]);
    return status;
}

const char *mu_bench_peer_name(const struct mu_cmd_bench_allreduce_options *options)
{
    return names[options->peer];
}

/* ---- where things are ---- */

static bool find_self(char self[MU_CLI_PATH_MAX])
{
    ssize_t count = readlink("/proc/self/exe", self, MU_CLI_PATH_MAX - 1);
    self[count > 0 ? count : 0] = '\0';
    return count > 0;
}

/* A program of bench/, in the build folder beside this one or installed. */
static bool find_program(const char *name, char *out, size_t bytes)
{
    static const char *const folders[] = {"bench", "../libexec/muster"};
    char self[MU_CLI_PATH_MAX];
    if (!find_self(self))
        return false;
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < MU_COUNT_OF(folders); i++) {
        int length = snprintf(out, bytes, "%s/%s/%s", self, folders[i], name);
        if (length > 0 && (size_t)length < bytes && access(out, R_OK) == 0)
            return true;
    }
    return false;
}

static enum mu_status need_program(
    struct mu_bench_crew *crew, const char *name, const char *help, char path[MU_CLI_PATH_MAX])
{
    if (find_program(name, path, MU_CLI_PATH_MAX))
        return MU_OK;
    return mu_fail(crew->log, MU_E0802, help, "%s: this build has no %s", crew->name, name);
}

static int processors(void)
{
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
}

/* ---- the peers ---- */

static void add_open_mpi(struct command *command, const struct mu_bench_crew *crew)
{
    char ranks[16];
    mu_format(ranks, sizeof(ranks), "%d", crew->count);
    add_all(command, (const char *const[]){"mpirun", "--allow-run-as-root", "-np", ranks, NULL});
    if (crew->count > processors())
        add(command, "--oversubscribe");
}

static enum mu_status start_open_mpi(struct mu_bench_crew *crew, bool tcp, bool kept)
{
    static const char *const over_tcp[] = {"--mca", "btl", "tcp,self", "--mca",
        "btl_tcp_if_include", "lo", "--mca", "oob_tcp_if_include", "lo", NULL};
    /* Without these it maps and unmaps its scratch memory in every large call. */
    static const char *const kept_malloc[] = {"-x", "MALLOC_MMAP_THRESHOLD_=1073741824", "-x",
        "MALLOC_TRIM_THRESHOLD_=4294967296", "-x", "MALLOC_TOP_PAD_=268435456", NULL};
    struct command command = {0};
    char path[MU_CLI_PATH_MAX];
    MU_TRY(need_program(crew, "peer_openmpi", MPI_HELP, path));
    add_open_mpi(&command, crew);
    if (tcp)
        add_all(&command, over_tcp);
    if (kept)
        add_all(&command, kept_malloc);
    add_all(&command, (const char *const[]){path, crew->socket, NULL});
    return run(crew, &command);
}

static enum mu_status start_mpich(struct mu_bench_crew *crew, bool tcp)
{
    if (tcp)
        return mu_fail(crew->log, MU_E0001, "leave out --transport, or use --peer openmpi",
            "mpich: between the ranks of one host it uses shared memory, never tcp");
    struct command command = {0};
    char path[MU_CLI_PATH_MAX], ranks[16];
    MU_TRY(need_program(crew, "peer_mpich", MPI_HELP, path));
    mu_format(ranks, sizeof(ranks), "%d", crew->count);
    add_all(&command, (const char *const[]){"mpirun.mpich", "-n", ranks, NULL});
    if (crew->count <= processors())
        add_all(&command, (const char *const[]){"-bind-to", "core", NULL});
    add_all(&command, (const char *const[]){path, crew->socket, NULL});
    return run(crew, &command);
}

static enum mu_status start_gloo(struct mu_bench_crew *crew)
{
    struct command command = {0};
    char path[MU_CLI_PATH_MAX], ranks[16];
    const char *python = getenv("TORCH_PYTHON");
    MU_TRY(need_program(crew, "peer_gloo.py",
        "it lies in bench/ of the build folder: start muster from there", path));
    mu_format(ranks, sizeof(ranks), "%d", crew->count);
    add_all(&command,
        (const char *const[]){python ? python : "python3", path, crew->socket, ranks, NULL});
    return run(crew, &command);
}

enum mu_status mu_bench_peer_start(
    struct mu_bench_crew *crew, const struct mu_cmd_bench_allreduce_options *options)
{
    bool tcp = options->transport == TRANSPORT_TCP;
    MU_TRY(mu_bench_crew_listen(crew));
    switch ((enum peer)options->peer) {
    case PEER_OPENMPI:
        return start_open_mpi(crew, tcp, true);
    case PEER_OPENMPI_PLAIN:
        return start_open_mpi(crew, tcp, false);
    case PEER_MPICH:
        return start_mpich(crew, tcp);
    case PEER_GLOO:
        return start_gloo(crew);
    case PEER_NONE:
        break;
    }
    return MU_OK;
}

enum mu_status mu_bench_peer_start_ours(struct mu_bench_crew *crew, char *const *arguments)
{
    struct command command = {0};
    char self[MU_CLI_PATH_MAX];
    MU_TRY(mu_bench_crew_listen(crew));
    if (!find_self(self))
        return mu_fail(crew->log, MU_E0804, NULL, "/proc/self/exe cannot be read");
    add_open_mpi(&command, crew);
    add(&command, self);
    add_all(&command, (const char *const *)arguments);
    add_all(&command, (const char *const[]){"--join", crew->socket, NULL});
    return run(crew, &command);
}

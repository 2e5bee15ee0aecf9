/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/mpi.h"

#include "config.h"

#include <stdlib.h>

bool mu_mpi_is_rank(void)
{
    return getenv("PMIX_RANK") != NULL;
}

#if HAVE_MPI

#include "collectives/mpi_networks.h"
#include "runtime/base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <pmix.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * Twice the same exchange, put a text, fence, read everybody's:
 *
 *   1  "node3 10.0.0.3/24 ..."   which networks is my host in?      skipped on one host
 *      every rank computes the same choice; each binds a port at its address
 *   2  "10.0.0.3:41233"          where do I listen?
 */
#define BACKLOG 128
#define MISSING_MAX 8 /* ranks named when some do not come */
#define KEY_NETWORKS "muster.networks"
#define KEY_ADDRESS "muster.address"
#define PLACE_BYTES (MU_HOST_MAX + 20) /* "10.0.0.3:4242 1234" */

struct session {
    struct mu_log *log;
    pmix_proc_t self, all;
    int count, local_count;
    struct timespec deadline; /* on the monotonic clock */
    int64_t timeout_ns;
};

static enum mu_status fail_pmix(struct mu_log *log, const char *what, pmix_status_t status)
{
    return mu_fail(log, MU_E0802,
        "is mpirun or srun still there? `mpirun -n 2 hostname` should work",
        "the launcher does not answer: %s: %s", what, PMIx_Error_string(status));
}

static enum mu_status get_number(struct session *session, const char *key, int *ret_number)
{
    pmix_value_t *value = NULL;
    pmix_status_t status = PMIx_Get(&session->all, key, NULL, 0, &value);
    if (status != PMIX_SUCCESS)
        return fail_pmix(session->log, key, status);
    bool fine = value->type == PMIX_UINT32 && value->data.uint32 > 0;
    *ret_number = (int)value->data.uint32;
    PMIX_VALUE_RELEASE(value);
    return fine ? MU_OK : fail_pmix(session->log, key, PMIX_ERR_TYPE_MISMATCH);
}

/* ---- put, fence, read ---- */

/* The fence finishes on PMIx's thread, maybe after we have given up: this outlives the call. */
struct fence {
    sem_t done;
    pmix_status_t status;
};
static struct fence fence;

static void on_fence(pmix_status_t status, void *owner)
{
    struct fence *finished = owner;
    finished->status = status;
    sem_post(&finished->done);
}

/* Has this rank put its text? Asks the daemons, which know before the fence is through. */
static bool has_come(struct session *session, const char *key, int rank)
{
    pmix_info_t info[2];
    pmix_proc_t proc = session->all;
    pmix_value_t *value = NULL;
    bool yes = true;
    int wait_seconds = 1;
    proc.rank = (pmix_rank_t)rank;
    PMIx_Info_load(&info[0], PMIX_IMMEDIATE, &yes, PMIX_BOOL);
    PMIx_Info_load(&info[1], PMIX_TIMEOUT, &wait_seconds, PMIX_INT);
    pmix_status_t status = PMIx_Get(&proc, key, info, 2, &value);
    if (value)
        PMIX_VALUE_RELEASE(value);
    return status == PMIX_SUCCESS;
}

static enum mu_status fail_missing(struct session *session, const char *key)
{
    struct mu_text missing;
    char waited[32];
    mu_text_init(&missing);
    for (int rank = 0, told = 0; rank < session->count && told < MISSING_MAX; rank++)
        if (!has_come(session, key, rank))
            mu_text_add(&missing, "%s%d", told++ ? ", " : "", rank);
    mu_text_duration(waited, sizeof(waited), session->timeout_ns);
    enum mu_status status = mu_fail(session->log, MU_E0301,
        "`mpirun --display-map` shows on which host each rank is",
        "not all %d ranks came within %s; missing: rank %s", session->count, waited, missing.data);
    mu_text_finish(&missing);
    return status;
}

/* Until every rank has put what it has under `key`. */
static enum mu_status wait_for_all(struct session *session, const char *key)
{
    pmix_info_t collect;
    bool yes = true;
    sem_init(&fence.done, 0, 0);
    PMIx_Info_load(&collect, PMIX_COLLECT_DATA, &yes, PMIX_BOOL);
    pmix_status_t status = PMIx_Fence_nb(&session->all, 1, &collect, 1, on_fence, &fence);
    if (status != PMIX_SUCCESS)
        return fail_pmix(session->log, "fence", status);
    while (sem_clockwait(&fence.done, CLOCK_MONOTONIC, &session->deadline) != 0)
        if (errno != EINTR)
            return fail_missing(session, key);
    return fence.status == PMIX_SUCCESS ? MU_OK : fail_pmix(session->log, "fence", fence.status);
}

static enum mu_status put_text(struct session *session, const char *key, char *text)
{
    pmix_value_t value = {.type = PMIX_STRING, .data.string = text};
    pmix_status_t status = PMIx_Put(PMIX_GLOBAL, key, &value);
    if (status == PMIX_SUCCESS)
        status = PMIx_Commit();
    return status == PMIX_SUCCESS ? MU_OK : fail_pmix(session->log, key, status);
}

static enum mu_status get_text(
    struct session *session, const char *key, int rank, char *out, size_t bytes)
{
    pmix_proc_t proc = session->all;
    pmix_value_t *value = NULL;
    proc.rank = (pmix_rank_t)rank;
    pmix_status_t status = PMIx_Get(&proc, key, NULL, 0, &value);
    if (status == PMIX_SUCCESS && value->type != PMIX_STRING)
        status = PMIX_ERR_TYPE_MISMATCH;
    if (status == PMIX_SUCCESS)
        mu_text_copy(out, bytes, value->data.string);
    if (value)
        PMIX_VALUE_RELEASE(value);
    return status == PMIX_SUCCESS ? MU_OK : fail_pmix(session->log, key, status);
}

/* ---- the two rounds ---- */

static enum mu_status read_hosts(struct session *session, struct mu_mpi_host *hosts)
{
    char text[MU_MPI_NETWORKS_TEXT_MAX];
    for (int rank = 0; rank < session->count; rank++) {
        MU_TRY(get_text(session, KEY_NETWORKS, rank, text, sizeof(text)));
        if (!mu_mpi_networks_parse(text, &hosts[rank]))
            return mu_fail(session->log, MU_E0308, "start the same version of muster on every host",
                "rank %d says `%.60s`, not its networks", rank, text);
    }
    return MU_OK;
}

static enum mu_status choose_address(struct session *session, const struct mu_mpi_host *hosts,
    uint32_t *addresses, uint32_t *ret_address)
{
    int other = 0;
    if (!mu_mpi_networks_choose(hosts, session->count, addresses)) {
        while (other + 1 < session->count && strcmp(hosts[other].name, hosts[0].name) == 0)
            other++;
        return mu_fail(session->log, MU_E0111,
            "MUSTER_INTERFACE=eth0 in the environment of every rank names the interface to use",
            "no IPv4 network reaches all hosts, %s and %s among them", hosts[0].name,
            hosts[other].name);
    }
    *ret_address = addresses[session->self.rank];
    return MU_OK;
}

static enum mu_status find_address(struct session *session, uint32_t *ret_address)
{
    struct mu_mpi_host here;
    char text[MU_MPI_NETWORKS_TEXT_MAX];
    *ret_address = INADDR_LOOPBACK;
    if (session->local_count == session->count)
        return MU_OK;
    mu_mpi_networks_find(getenv("MUSTER_INTERFACE"), &here);
    mu_mpi_networks_write(&here, text, sizeof(text));
    MU_TRY(put_text(session, KEY_NETWORKS, text));
    MU_TRY(wait_for_all(session, KEY_NETWORKS));
    struct mu_mpi_host *hosts = calloc((size_t)session->count, sizeof(*hosts));
    uint32_t *addresses = calloc((size_t)session->count, sizeof(*addresses));
    enum mu_status status = hosts && addresses
                                ? read_hosts(session, hosts)
                                : mu_fail(session->log, MU_E0801, NULL, "no memory for addresses");
    if (status == MU_OK)
        status = choose_address(session, hosts, addresses, ret_address);
    free(hosts);
    free(addresses);
    return status;
}

/* Whoever is started in the place of a rank that died binds the port, too; its connections hold
 * it for a minute unless both ask for this. */
static bool can_be_bound_again(int fd)
{
    const int yes = 1;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0;
}

static enum mu_status listen_at(
    struct mu_log *log, uint32_t address, int *ret_fd, struct mu_address *ret_bound)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
    socklen_t bytes = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mu_mpi_networks_format(address, ret_bound->host, sizeof(ret_bound->host));
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || !can_be_bound_again(fd) ||
        listen(fd, BACKLOG) != 0 || getsockname(fd, (struct sockaddr *)&at, &bytes) != 0) {
        enum mu_status status = mu_fail(
            log, MU_E0303, NULL, "cannot listen on %s: %s", ret_bound->host, strerror(errno));
        if (fd >= 0)
            close(fd);
        return status;
    }
    ret_bound->port = ntohs(at.sin_port);
    *ret_fd = fd;
    return MU_OK;
}

/* "10.0.0.3:4242 1234" */
static bool parse_place(char *text, struct mu_address *ret_address, int *ret_process)
{
    int64_t port = 0, process = 0;
    char *space = strchr(text, ' ');
    if (!space || !mu_text_to_int64(space + 1, &process) || process < 1 || process > INT_MAX)
        return false;
    *space = 0;
    char *colon = strrchr(text, ':');
    if (!colon || !mu_text_to_int64(colon + 1, &port) || port < 1 || port > 65535)
        return false;
    *colon = 0;
    mu_text_copy(ret_address->host, sizeof(ret_address->host), text);
    ret_address->port = (int)port;
    *ret_process = (int)process;
    return true;
}

static enum mu_status read_places(struct session *session, struct mu_mpi_place *place)
{
    char text[PLACE_BYTES];
    for (int rank = 0; rank < session->count; rank++) {
        MU_TRY(get_text(session, KEY_ADDRESS, rank, text, sizeof(text)));
        if (!parse_place(text, &place->address[rank], &place->process[rank]))
            return mu_fail(session->log, MU_E0308, "start the same version of muster on every host",
                "rank %d says `%.60s`, not its address", rank, text);
    }
    return MU_OK;
}

static enum mu_status exchange(struct session *session, struct mu_mpi_place *place)
{
    uint32_t address;
    struct mu_address bound;
    char text[PLACE_BYTES];
    MU_TRY(get_number(session, PMIX_JOB_SIZE, &session->count));
    MU_TRY(get_number(session, PMIX_LOCAL_SIZE, &session->local_count));
    place->rank = (int)session->self.rank;
    place->count = session->count;
    place->address = calloc((size_t)session->count, sizeof(*place->address));
    place->process = calloc((size_t)session->count, sizeof(*place->process));
    if (!place->address || !place->process)
        return mu_fail(session->log, MU_E0801, NULL, "no memory for %d addresses", session->count);
    MU_TRY(find_address(session, &address));
    MU_TRY(listen_at(session->log, address, &place->listen_fd, &bound));
    mu_format(text, sizeof(text), "%s:%d %d", bound.host, bound.port, (int)getpid());
    MU_TRY(put_text(session, KEY_ADDRESS, text));
    MU_TRY(wait_for_all(session, KEY_ADDRESS));
    return read_places(session, place);
}

static struct timespec deadline_after(int64_t timeout_ns)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    int64_t ns = mu_deadline(at.tv_sec * MU_SECOND + at.tv_nsec, timeout_ns);
    return (struct timespec){.tv_sec = ns / MU_SECOND, .tv_nsec = ns % MU_SECOND};
}

enum mu_status mu_mpi_exchange(
    struct mu_log *log, int64_t timeout_ns, struct mu_mpi_place *ret_place)
{
    struct session session = {
        .log = log, .deadline = deadline_after(timeout_ns), .timeout_ns = timeout_ns};
    struct mu_mpi_place place = {.listen_fd = -1};
    if (!mu_mpi_is_rank())
        return mu_fail(log, MU_E0101, "start it as `mpirun -n 4 muster run ...`",
            "no launcher has numbered this process");
    pmix_status_t init = PMIx_Init(&session.self, NULL, 0);
    if (init != PMIX_SUCCESS)
        return fail_pmix(log, "PMIx_Init", init);
    PMIX_LOAD_PROCID(&session.all, session.self.nspace, PMIX_RANK_WILDCARD);
    enum mu_status status = exchange(&session, &place);
    if (status != MU_OK) {
        /* Without PMIx_Finalize: it could wait for a fence that never ends, and the launcher should
         * take this rank for failed. */
        mu_mpi_place_finish(&place);
        return status;
    }
    PMIx_Finalize(NULL, 0);
    /* mpirun that is killed leaves its ranks behind; they are ours to end. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    *ret_place = place;
    return MU_OK;
}

#else

#include <unistd.h>

enum mu_status mu_mpi_exchange(
    struct mu_log *log, int64_t timeout_ns, struct mu_mpi_place *ret_place)
{
    (void)timeout_ns;
    (void)ret_place;
    return mu_fail(log, MU_E0802, "build it with -Dmpi=enabled, or give a cluster spec",
        "this build does not know mpirun: it was made without PMIx");
}

#endif

void mu_mpi_place_finish(struct mu_mpi_place *place)
{
    if (place->listen_fd >= 0)
        close(place->listen_fd);
    free(place->address);
    free(place->process);
    *place = (struct mu_mpi_place){.listen_fd = -1};
}

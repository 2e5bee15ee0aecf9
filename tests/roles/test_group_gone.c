/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/group.h"
#include "loopback.h"
#include "roles/library/group_open.h"
#include "test.h"
#include <muster/collectives.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Ranks are processes that add without end, until one of them is killed or closes its group. */
#define RANKS_MAX 4
#define ELEMENTS 100000
#define CULPRIT 1
#define PATIENCE (60 * MU_SECOND)

struct shared {
    atomic_int adding; /* ranks that have come out of an operation */
    atomic_bool leave; /* the culprit is to close its group */
    enum mu_status status[RANKS_MAX];
    char error[RANKS_MAX][MU_GROUP_ERROR_MAX];
};

struct crew {
    int count;
    bool closes;
    const char *transport, *algorithm;
    struct mu_address address[RANKS_MAX];
    int listen_fd[RANKS_MAX];
    pid_t process[RANKS_MAX];
    struct shared *shared;
};

static int bind_port(struct mu_address *ret_address)
{
    int fd = loopback_bind(ret_address);
    assert_true(fd >= 0);
    return fd;
}

/* ---- a rank ---- */

static enum mu_status open_group(const struct crew *crew, int rank, struct mu_group **ret_group)
{
    static struct mu_test_log log;
    mu_test_log_init(&log);
    const struct mu_build_options options = {.log = &log.log,
        .transport = crew->transport,
        .algorithm = crew->algorithm,
        .timeout_ns = PATIENCE};
    const struct mu_group_place place = {.rank = rank,
        .count = crew->count,
        .address = crew->address,
        .listen_fd = crew->listen_fd[rank]};
    return mu_group_open_place(&place, &options, PATIENCE, ret_group);
}

static void add_without_end(const struct crew *crew, int rank, struct mu_group *group)
{
    static float vector[ELEMENTS];
    struct shared *shared = crew->shared;
    enum mu_status status = MU_OK;
    for (int i = 0; status == MU_OK; i++) {
        status = mu_group_allreduce(group, vector, ELEMENTS, MU_FLOAT32, MU_SUM);
        if (i == 0)
            atomic_fetch_add(&shared->adding, 1);
        if (rank == CULPRIT && atomic_load(&shared->leave))
            break;
    }
    shared->status[rank] = status;
    snprintf(shared->error[rank], sizeof(shared->error[rank]), "%s", mu_group_error(group));
}

static void be_rank(const struct crew *crew, int rank)
{
    struct mu_group *group;
    for (int r = 0; r < crew->count; r++)
        if (r != rank)
            close(crew->listen_fd[r]);
    if (open_group(crew, rank, &group) != MU_OK)
        _exit(1);
    add_without_end(crew, rank, group);
    mu_group_close(group);
    _exit(0);
}

/* ---- the test ---- */

static void start(struct crew *crew)
{
    crew->shared = mmap(
        NULL, sizeof(*crew->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(crew->shared != MAP_FAILED);
    for (int r = 0; r < crew->count; r++)
        crew->listen_fd[r] = bind_port(&crew->address[r]);
    for (int r = 0; r < crew->count; r++) {
        crew->process[r] = fork();
        assert_true(crew->process[r] >= 0);
        if (crew->process[r] == 0)
            be_rank(crew, r);
    }
    for (int r = 0; r < crew->count; r++)
        close(crew->listen_fd[r]);
    while (atomic_load(&crew->shared->adding) < crew->count)
        for (int r = 0; r < crew->count; r++) /* or it could not open its group */
            assert_int_equal(waitpid(crew->process[r], NULL, WNOHANG), 0);
}

static void take_away(struct crew *crew)
{
    if (crew->closes)
        atomic_store(&crew->shared->leave, true);
    else
        kill(crew->process[CULPRIT], SIGKILL);
    for (int r = 0; r < crew->count; r++)
        assert_int_equal(waitpid(crew->process[r], NULL, 0), crew->process[r]);
}

/* By number and address. */
static bool names_the_culprit(const struct crew *crew, const char *error)
{
    char gone[80];
    snprintf(gone, sizeof(gone), "rank 1 (127.0.0.1:%d) is gone", crew->address[CULPRIT].port);
    return strstr(error, gone) != NULL;
}

static void all_are_told_who_is_gone(const char *transport, const char *algorithm)
{
    for (int run = 0; run < 4; run++) {
        struct crew crew = {.count = 3 + run % 2,
            .closes = run / 2,
            .transport = transport,
            .algorithm = algorithm};
        start(&crew);
        take_away(&crew);
        for (int r = 0; r < crew.count; r++)
            if (r != CULPRIT && (crew.shared->status[r] != MU_CLOSED ||
                                    !names_the_culprit(&crew, crew.shared->error[r])))
                fail_msg("rank %d of %d: %s: %s", r, crew.count,
                    mu_status_text(crew.shared->status[r]), crew.shared->error[r]);
        munmap(crew.shared, sizeof(*crew.shared));
    }
}

static void in_shared_memory_all_are_told_who_is_gone(void **state)
{
    (void)state;
    all_are_told_who_is_gone("route", "direct");
}

static void by_messages_in_shared_memory_all_are_told_who_is_gone(void **state)
{
    (void)state;
    all_are_told_who_is_gone("shm", "ring");
}

static void by_tcp_all_are_told_who_is_gone(void **state)
{
    (void)state;
    all_are_told_who_is_gone("tcp", "ring");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_shared_memory_all_are_told_who_is_gone),
        cmocka_unit_test(by_messages_in_shared_memory_all_are_told_who_is_gone),
        cmocka_unit_test(by_tcp_all_are_told_who_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

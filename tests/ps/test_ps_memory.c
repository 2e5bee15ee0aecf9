/* SPDX-License-Identifier: Apache-2.0 */
#include "ps_rig.h"
#include <stdatomic.h>

/* Nothing is allocated once training goes on: every allocation of the process is counted. The
 * loop's driver keeps its records of writes for the next ones, so a moment when more frames than
 * ever before are under way at once may still make one: as many as can be under way, in all. */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTS 0
#endif
#endif
#ifndef COUNTS
#define COUNTS 1
#endif

static atomic_int counting, allocations;

#if COUNTS
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);

static void count(void)
{
    if (atomic_load(&counting))
        atomic_fetch_add(&allocations, 1);
}

void *malloc(size_t bytes)
{
    count();
    return __libc_malloc(bytes);
}

void *calloc(size_t items, size_t bytes)
{
    count();
    return __libc_calloc(items, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    count();
    return __libc_realloc(memory, bytes);
}
#endif

#define ELEMENTS 20000
#define WARM_UP 50
#define PUSHES 600
#define WORKERS 2
#define IN_FLIGHT 2
#define SERVERS 2
/* A push, a note, a verdict and a reply of each. */
#define FRAMES_UNDER_WAY (WORKERS * IN_FLIGHT * SERVERS * 4)

static atomic_int warm;

static enum mu_status push_and_count(struct rig_task *task)
{
    float *const fresh[] = {rig_vector(task, 1), rig_vector(task, 2)};
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    int64_t version;
    struct mu_ps_result result;
    MU_TRY(mu_ps_client_pull(task->client, fresh[0], deadline, &version));
    for (int k = 0; k <= PUSHES; k++) {
        int slot = k % 2;
        if (k == WARM_UP && atomic_fetch_add(&warm, 1) == WORKERS - 1)
            atomic_store(&counting, 1);
        if (k < PUSHES)
            MU_TRY(mu_ps_client_push(
                task->client, slot, rig_vector(task, 0), 1.0f, version, fresh[slot]));
        if (k > 0)
            MU_TRY(mu_ps_client_wait(task->client, 1 - slot, deadline, &result));
        if (k == PUSHES - 10)
            atomic_store(
                &counting, 0); /* the first to end would count what the other's end costs */
    }
    return MU_OK;
}

static void a_push_allocates_nothing(void **state)
{
    (void)state;
    if (!COUNTS)
        skip_saying("the sanitizer has its own malloc");
    static struct rig rig;
    rig = (struct rig){
        .server_count = SERVERS,
        .worker_count = WORKERS,
        .in_flight = IN_FLIGHT,
        .element_count = ELEMENTS,
        .optimizer = &rig_momentum,
        .policy = &rig_async,
        .worker = push_and_count,
    };
    rig_init(&rig);
    rig_run(&rig);
    assert_int_equal(atomic_load(&warm), WORKERS);
    assert_in_range(atomic_load(&allocations), 0, FRAMES_UNDER_WAY);
    atomic_store(&allocations, 0);
    /* The counter counts. */
    atomic_store(&counting, 1);
    void *volatile kept = malloc(1000);
    free(kept);
    atomic_store(&counting, 0);
    assert_int_equal(atomic_load(&allocations), 1);
    rig_finish(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_push_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

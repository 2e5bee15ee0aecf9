/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/net.h"
#include "runtime/io/real_world.h"
#include "runtime/io/resolve.h"
#include "tests/support/test.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/*
 * getaddrinfo is wrapped: "slow-N" is asked until the test lets it go, "nobody" has no address, and
 * both are otherwise 127.0.0.1.
 */
#define PATIENCE_NS (20 * MU_SECOND)

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool held;
    int asking, asked; /* now, in all */
    int asking_most;
} names = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
    struct addrinfo **ret_found);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
    struct addrinfo **ret_found);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
    struct addrinfo **ret_found)
{
    if (hints->ai_flags & AI_NUMERICHOST)
        return __real_getaddrinfo(host, service, hints, ret_found);
    pthread_mutex_lock(&names.mutex);
    names.asked++;
    names.asking++;
    if (names.asking > names.asking_most)
        names.asking_most = names.asking;
    pthread_cond_broadcast(&names.changed);
    while (names.held && strncmp(host, "slow-", 5) == 0)
        pthread_cond_wait(&names.changed, &names.mutex);
    names.asking--;
    pthread_cond_broadcast(&names.changed);
    pthread_mutex_unlock(&names.mutex);
    if (strcmp(host, "nobody") == 0)
        return EAI_NONAME;
    if (strcmp(host, "everywhere") == 0)
        return __real_getaddrinfo("0.0.0.0", service, hints, ret_found);
    return __real_getaddrinfo("127.0.0.1", service, hints, ret_found);
}

static void hold(void)
{
    pthread_mutex_lock(&names.mutex);
    names.held = true;
    names.asked = names.asking_most = 0;
    pthread_mutex_unlock(&names.mutex);
}

/* Until no thread asks any more: those who are told nothing have let go of everything, too. */
static void let_go(void)
{
    pthread_mutex_lock(&names.mutex);
    names.held = false;
    pthread_cond_broadcast(&names.changed);
    while (names.asking > 0)
        pthread_cond_wait(&names.changed, &names.mutex);
    pthread_mutex_unlock(&names.mutex);
}

static int asked_at_least(int count)
{
    pthread_mutex_lock(&names.mutex);
    while (names.asked < count)
        pthread_cond_wait(&names.changed, &names.mutex);
    int most = names.asking_most;
    pthread_mutex_unlock(&names.mutex);
    return most;
}

static int asked_so_far(void)
{
    pthread_mutex_lock(&names.mutex);
    int asked = names.asked;
    pthread_mutex_unlock(&names.mutex);
    return asked;
}

static void count_answer(void *owner)
{
    atomic_fetch_add((atomic_int *)owner, 1);
}

static void await_answer(const struct mu_question *question)
{
    while (!mu_resolve_is_answered(question))
        sched_yield();
}

static int port_of(const struct sockaddr_storage *address)
{
    return ntohs(((const struct sockaddr_in *)address)->sin_port);
}

/* ---- tests ---- */

static void numbers_are_addresses_without_a_question(void **state)
{
    (void)state;
    struct sockaddr_storage address;
    hold();
    assert_true(mu_resolve_numeric("127.0.0.1", 2222, &address));
    assert_int_equal(address.ss_family, AF_INET);
    assert_int_equal(port_of(&address), 2222);
    assert_true(mu_resolve_numeric("::1", 2223, &address));
    assert_int_equal(address.ss_family, AF_INET6);
    assert_int_equal(port_of(&address), 2223);
    assert_false(mu_resolve_numeric("slow-0", 2222, &address));
    assert_int_equal(names.asked, 0);
    let_go();
}

static void a_name_is_resolved_with_its_port_or_has_no_address(void **state)
{
    (void)state;
    struct sockaddr_storage address;
    assert_int_equal(mu_resolve_wait("somebody", 2222, PATIENCE_NS, &address), MU_OK);
    assert_int_equal(port_of(&address), 2222);
    assert_int_equal(mu_resolve_wait("nobody", 2222, PATIENCE_NS, &address), MU_NO_INPUT);
}

static void a_slow_name_is_given_up_and_taken_up_again(void **state)
{
    (void)state;
    struct sockaddr_storage address;
    struct mu_question *question;
    atomic_int answers = 0;
    hold();
    do /* who gives up before a thread has begun takes the question along */
        assert_int_equal(mu_resolve_wait("slow-1", 2222, MU_MS, &address), MU_TIMEOUT);
    while (asked_so_far() == 0);
    assert_int_equal(mu_resolve_ask("slow-1", count_answer, &answers, &question), MU_OK);
    assert_false(mu_resolve_is_answered(question));
    mu_resolve_drop(question);
    assert_int_equal(mu_resolve_wait("slow-1", 2222, MU_MS, &address), MU_TIMEOUT);
    assert_int_equal(mu_resolve_ask("slow-1", count_answer, &answers, &question), MU_OK);
    let_go();
    await_answer(question);
    assert_int_equal(names.asked, 1);
    assert_true(mu_resolve_take(question, 1, &address));
    assert_int_equal(answers, 1);
}

static void more_names_than_threads_are_all_resolved(void **state)
{
    (void)state;
    struct mu_question *question[3 * MU_RESOLVE_THREADS_MAX];
    int count = 3 * MU_RESOLVE_THREADS_MAX;
    struct sockaddr_storage address;
    atomic_int answers = 0;
    char name[16];
    hold();
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "slow-%d", 10 + i);
        assert_int_equal(mu_resolve_ask(name, count_answer, &answers, &question[i]), MU_OK);
    }
    assert_int_equal(asked_at_least(MU_RESOLVE_THREADS_MAX), MU_RESOLVE_THREADS_MAX);
    mu_resolve_drop(question[0]);         /* a thread has it */
    mu_resolve_drop(question[count - 1]); /* it waits its turn, and is asked no more */
    let_go();
    for (int i = 1; i < count - 1; i++) {
        await_answer(question[i]);
        assert_true(mu_resolve_take(question[i], 1, &address));
    }
    assert_int_equal(answers, count - 2);
    assert_int_equal(names.asked, count - 1);
    assert_true(names.asking_most <= MU_RESOLVE_THREADS_MAX);
}

static void on_connected(void *owner, enum mu_status status, int error)
{
    (void)status;
    (void)error;
    *(bool *)owner = true;
}

static void a_loop_ends_while_a_name_is_being_resolved(void **state)
{
    (void)state;
    static const struct mu_stream_events events = {.connected = on_connected};
    const struct mu_address address = {.host = "slow-2", .port = 2222};
    struct mu_real_world real;
    struct mu_loop *loop;
    struct mu_stream *stream;
    struct mu_listener *listener;
    bool connected = false;
    int error = 0;
    assert_int_equal(mu_real_world_init(&real), MU_OK);
    assert_int_equal(real.world.ops->loop_create(&real.world, &loop), MU_OK);
    hold();
    assert_int_equal(
        loop->ops->listen(loop, &address, -1, NULL, NULL, &listener, &error), MU_NO_INPUT);
    assert_int_equal(error, EAGAIN);
    assert_int_equal(loop->ops->connect(loop, &address, &events, &connected, &stream), MU_OK);
    asked_at_least(1);
    loop->ops->close(stream);
    loop->ops->destroy(loop); /* would wait for ever for a thread that cannot go on */
    let_go();
    assert_false(connected);
    mu_real_world_finish(&real);
}

static void a_name_of_every_address_is_not_listened_at(void **state)
{
    (void)state;
    const struct mu_address address = {.host = "everywhere", .port = 2222};
    struct mu_real_world real;
    struct mu_loop *loop;
    struct mu_listener *listener;
    int error = 0;
    assert_int_equal(mu_real_world_init(&real), MU_OK);
    assert_int_equal(real.world.ops->loop_create(&real.world, &loop), MU_OK);
    assert_int_equal(
        loop->ops->listen(loop, &address, -1, NULL, NULL, &listener, &error), MU_CONFIG);
    assert_int_equal(error, EADDRNOTAVAIL);
    loop->ops->destroy(loop);
    mu_real_world_finish(&real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_addresses_without_a_question),
        cmocka_unit_test(a_name_is_resolved_with_its_port_or_has_no_address),
        cmocka_unit_test(a_slow_name_is_given_up_and_taken_up_again),
        cmocka_unit_test(more_names_than_threads_are_all_resolved),
        cmocka_unit_test(a_loop_ends_while_a_name_is_being_resolved),
        cmocka_unit_test(a_name_of_every_address_is_not_listened_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

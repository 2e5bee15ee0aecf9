/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/mesh_inside.h"
#include "loopback.h"
#include "runtime/io/real_world.h"
#include "test.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

/* Ranks that are threads of this process and meet over loopback, in real time. */
#define RANKS 4
#define SOON (200 * MU_MS) /* for what must not come */
#define LATE (20 * MU_SECOND)

struct rank {
    struct mu_real_world *real;
    struct mu_loop *loop;
    struct mu_mesh_request request;
    struct mu_link *link[RANKS];
    struct mu_test_log log;
    atomic_bool knows; /* that not all agree: it has said so */
    int64_t deadline_ns;
    enum mu_status status;
    struct mu_thread *thread;
};

struct rig {
    struct mu_real_world real;
    struct mu_address address[RANKS];
    int listen_fd[RANKS];
    struct rank rank[RANKS];
};

static int bind_port(struct mu_address *ret_address)
{
    int fd = loopback_bind(ret_address);
    assert_true(fd >= 0);
    return fd;
}

/* That the ranks disagree is said as soon as it is known. */
static void note_and_write(struct mu_log *log, enum mu_level level, const char *text)
{
    struct mu_test_log *test = log->owner;
    struct rank *rank = (struct rank *)((char *)test - offsetof(struct rank, log));
    mu_test_log_write(log, level, text);
    if (strstr(text, "E0309"))
        atomic_store(&rank->knows, true);
}

static void set_up(struct rig *rig, int count, int64_t wait_ns)
{
    assert_ok(mu_real_world_init(&rig->real));
    for (int r = 0; r < count; r++)
        rig->listen_fd[r] = bind_port(&rig->address[r]);
    for (int r = 0; r < count; r++) {
        struct rank *rank = &rig->rank[r];
        *rank = (struct rank){.real = &rig->real};
        assert_ok(rig->real.world.ops->loop_create(&rig->real.world, &rank->loop));
        rank->deadline_ns = mu_now(&rig->real.world) + wait_ns;
        atomic_init(&rank->knows, false);
        rank->request = (struct mu_mesh_request){.loop = rank->loop,
            .log = mu_test_log_init(&rank->log),
            .rank = r,
            .count = count,
            .address = rig->address,
            .listen_fd = rig->listen_fd[r],
            .group = mu_mesh_group_of(rig->address, count)};
        rank->log.log.write = note_and_write;
    }
}

static void run_rank(void *argument)
{
    struct rank *rank = argument;
    rank->status = mu_mesh_open(&rank->request, rank->deadline_ns, rank->link);
}

static void start(struct rank *rank)
{
    struct mu_world *world = &rank->real->world;
    assert_ok(world->ops->spawn(world, "rank", run_rank, rank, &rank->thread));
}

static void join(struct rank *rank)
{
    rank->real->world.ops->join(&rank->real->world, rank->thread);
}

static void tear_down(struct rig *rig, int count)
{
    for (int r = 0; r < count; r++) {
        for (int other = 0; other < count; other++)
            mu_link_close(rig->rank[r].link[other]);
        rig->rank[r].loop->ops->destroy(rig->rank[r].loop);
    }
    mu_real_world_finish(&rig->real);
}

/* The port as a client of another kind finds it. */
static int call(const struct mu_address *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)address->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, address->host, &at.sin_addr);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void any_two_ranks_have_a_link(void **state)
{
    (void)state;
    struct rig rig;
    set_up(&rig, RANKS, LATE);
    for (int r = RANKS - 1; r >= 0; r--) /* callers first: they have to call again */
        start(&rig.rank[r]);
    for (int r = 0; r < RANKS; r++)
        join(&rig.rank[r]);
    for (int r = 0; r < RANKS; r++) {
        assert_ok(rig.rank[r].status);
        for (int other = 0; other < RANKS; other++)
            assert_true((rig.rank[r].link[other] != NULL) == (r != other));
    }
    tear_down(&rig, RANKS);
}

static void a_rank_binds_its_own_address(void **state)
{
    (void)state;
    struct rig rig;
    set_up(&rig, 2, LATE);
    for (int r = 0; r < 2; r++) {
        close(rig.listen_fd[r]);
        rig.rank[r].request.listen_fd = -1;
        start(&rig.rank[r]);
    }
    for (int r = 0; r < 2; r++) {
        join(&rig.rank[r]);
        assert_ok(rig.rank[r].status);
    }
    tear_down(&rig, 2);
}

static void a_port_in_use_is_told(void **state)
{
    (void)state;
    struct rig rig;
    set_up(&rig, 2, SOON);
    listen(rig.listen_fd[0], 1);
    rig.rank[0].request.listen_fd = -1;
    run_rank(&rig.rank[0]);
    assert_int_equal(rig.rank[0].status, MU_UNAVAILABLE);
    assert_said(&rig.rank[0].log, "E0302");
    close(rig.listen_fd[0]);
    close(rig.listen_fd[1]);
    tear_down(&rig, 2);
}

static void who_is_missing_is_named(void **state)
{
    (void)state;
    struct rig rig;
    set_up(&rig, 3, SOON);
    close(rig.listen_fd[0]);
    rig.rank[2].deadline_ns = rig.rank[1].deadline_ns;
    start(&rig.rank[1]);
    start(&rig.rank[2]);
    join(&rig.rank[1]);
    join(&rig.rank[2]);
    for (int r = 1; r < 3; r++) {
        char name[80];
        snprintf(name, sizeof(name), "missing: rank 0 (127.0.0.1:%d): connection refused",
            rig.address[0].port);
        assert_int_equal(rig.rank[r].status, MU_UNAVAILABLE);
        assert_said(&rig.rank[r].log, "E0301");
        for (char *at = rig.rank[r].log.text; *at; at++)
            *at = *at == 'C' ? 'c' : *at;
        assert_said(&rig.rank[r].log, name);
        assert_null(rig.rank[r].link[3 - r]);
    }
    tear_down(&rig, 3);
}

static void assert_not_missing(const struct mu_test_log *log, int rank)
{
    char name[16];
    const char *missing = strstr(log->text, "missing: ");
    snprintf(name, sizeof(name), "rank %d (", rank);
    if (!missing || strstr(missing, name))
        fail_msg("%s is named: %s", name, log->text);
}

static void ranks_that_give_up_one_after_the_other_name_only_who_never_came(void **state)
{
    (void)state;
    const int missing = 1; /* higher ranks have called it, the lower one waits for its call */
    struct rig rig;
    set_up(&rig, RANKS, 2 * MU_SECOND);
    close(rig.listen_fd[missing]);
    for (int r = 0; r < RANKS; r++) {
        rig.rank[r].deadline_ns += r * SOON;
        if (r != missing)
            start(&rig.rank[r]);
    }
    for (int r = 0; r < RANKS; r++) {
        if (r == missing)
            continue;
        join(&rig.rank[r]);
        assert_int_equal(rig.rank[r].status, MU_UNAVAILABLE);
        assert_said(&rig.rank[r].log, "E0301");
        assert_said(&rig.rank[r].log, "missing: rank 1 (127.0.0.1:");
        for (int other = 0; other < RANKS; other++)
            if (other != missing)
                assert_not_missing(&rig.rank[r].log, other);
    }
    tear_down(&rig, RANKS);
}

/* Rank 0 waits for less long than the others, and rank 2 comes when it has gone. */
static void who_has_given_up_is_named_where_all_others_are_there(void **state)
{
    (void)state;
    struct rig rig;
    set_up(&rig, 3, 2 * MU_SECOND);
    rig.rank[1].deadline_ns += MU_SECOND;
    rig.rank[2].deadline_ns += 2 * MU_SECOND;
    start(&rig.rank[0]);
    start(&rig.rank[1]);
    join(&rig.rank[0]);
    assert_said(&rig.rank[0].log, "missing: rank 2 (127.0.0.1:");
    start(&rig.rank[2]);
    join(&rig.rank[1]);
    join(&rig.rank[2]);
    assert_int_equal(rig.rank[1].status, MU_UNAVAILABLE);
    assert_said(&rig.rank[1].log, "missing: rank 0 (127.0.0.1:");
    assert_said(&rig.rank[1].log, "it came, and gave up waiting");
    assert_not_missing(&rig.rank[1].log, 2);
    tear_down(&rig, 3);
}

/* ---- a rank that is greeted and then gone, as one that was killed ---- */

static enum mu_link_answer take_any(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body, void **ret)
{
    return MU_LINK_TAKE;
}

static void note_welcome(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    *(bool *)owner = frame->type == MU_FRAME_HELLO;
}

static void ignore(void *owner, struct mu_link *link, enum mu_status why, int error) {}

static void come_and_die(struct rank *rank, int to)
{
    static const struct mu_link_events events = {
        .frame = take_any, .arrived = note_welcome, .ended = ignore, .connected = ignore};
    struct mu_link *link;
    bool welcome = false;
    assert_ok(mu_link_connect(rank->loop, &rank->request.address[to], &events, &welcome, &link));
    mu_mesh_send_hello(link, &rank->request, to);
    assert_ok(mu_loop_until(rank->loop, &welcome, rank->deadline_ns));
    mu_link_close(link);
}

static void who_came_and_died_is_named_beside_who_never_came(void **state)
{
    (void)state;
    struct rig rig;
    set_up(&rig, RANKS, 2 * MU_SECOND);
    listen(rig.listen_fd[0], 8);
    start(&rig.rank[0]);
    start(&rig.rank[1]);
    come_and_die(&rig.rank[2], 0);
    join(&rig.rank[0]);
    join(&rig.rank[1]);
    assert_int_equal(rig.rank[0].status, MU_UNAVAILABLE);
    assert_said(&rig.rank[0].log, "missing: rank 2 (127.0.0.1:");
    assert_said(&rig.rank[0].log, "it came, and is gone; rank 3 (127.0.0.1:");
    assert_said(&rig.rank[0].log, "it has not called");
    assert_not_missing(&rig.rank[0].log, 1);
    close(rig.listen_fd[2]);
    close(rig.listen_fd[3]);
    tear_down(&rig, RANKS);
}

static void a_stranger_is_turned_away_and_the_ranks_meet(void **state)
{
    (void)state;
    struct rig rig;
    char rest[64];
    set_up(&rig, 2, LATE);
    listen(rig.listen_fd[0], 8);
    int stranger = call(&rig.address[0]);
    assert_int_equal(send(stranger, "GET / HTTP/1.0\r\n\r\n", 18, 0), 18);
    start(&rig.rank[0]);
    while (recv(stranger, rest, sizeof(rest), 0) > 0) /* until it is closed there */
        ;
    start(&rig.rank[1]);
    for (int r = 0; r < 2; r++) {
        join(&rig.rank[r]);
        assert_ok(rig.rank[r].status);
    }
    assert_said(&rig.rank[0].log, "turned away 127.0.0.1");
    close(stranger);
    tear_down(&rig, 2);
}

static void silence_does_not_keep_ranks_from_meeting(void **state)
{
    (void)state;
    struct rig rig;
    int silent[MU_MESH_STRANGERS_MAX - 1];
    set_up(&rig, 2, LATE);
    listen(rig.listen_fd[0], 128);
    for (size_t i = 0; i < MU_COUNT_OF(silent); i++)
        silent[i] = call(&rig.address[0]);
    for (int r = 0; r < 2; r++)
        start(&rig.rank[r]);
    for (int r = 0; r < 2; r++) {
        join(&rig.rank[r]);
        assert_ok(rig.rank[r].status);
    }
    for (size_t i = 0; i < MU_COUNT_OF(silent); i++)
        close(silent[i]);
    tear_down(&rig, 2);
}

static void a_rank_of_another_group_is_refused_and_both_are_told(void **state)
{
    (void)state;
    struct rig rig;
    set_up(&rig, 2, LATE);
    rig.rank[1].request.group++;
    for (int r = 0; r < 2; r++)
        start(&rig.rank[r]);
    for (int r = 0; r < 2; r++) {
        join(&rig.rank[r]);
        assert_int_equal(rig.rank[r].status, MU_PROTOCOL);
        assert_said(&rig.rank[r].log, "E0309");
        assert_said(&rig.rank[r].log, "rank 1 of a group of 2 has met rank 0 (127.0.0.1:");
        assert_said(&rig.rank[r].log, "of a group of 2, of other addresses");
    }
    tear_down(&rig, 2);
}

/* The listening socket is there already: nobody looks for a host of this name. */
static void the_longest_name_of_a_host_is_cut_in_what_both_are_told(void **state)
{
    (void)state;
    struct rig rig;
    set_up(&rig, 2, LATE);
    struct mu_address named[2] = {rig.address[0], rig.address[1]};
    memset(named[0].host, 'a', MU_HOST_MAX - 1);
    rig.rank[0].request.address = named;
    rig.rank[0].request.group++;
    for (int r = 0; r < 2; r++)
        start(&rig.rank[r]);
    for (int r = 0; r < 2; r++) {
        join(&rig.rank[r]);
        assert_int_equal(rig.rank[r].status, MU_PROTOCOL);
        assert_said(&rig.rank[r].log, "rank 1 of a group of 2 has met rank 0 (aaaa");
        assert_said(&rig.rank[r].log, "aaaa of a group of 2, of other addresses");
    }
    tear_down(&rig, 2);
}

/* One of them has been told of fewer ranks: those that agree with each other learn it too. Rank 0
 * may begin when the others already know. */
static void ranks_that_count_otherwise(int odd, bool late)
{
    struct rig rig;
    set_up(&rig, 4, LATE);
    rig.rank[odd].request.count = 3;
    rig.rank[odd].request.group = mu_mesh_group_of(rig.address, 3);
    for (int r = 3; r > 0; r--)
        start(&rig.rank[r]);
    while (late && !atomic_load(&rig.rank[odd].knows))
        sched_yield();
    start(&rig.rank[0]);
    for (int r = 0; r < 4; r++) {
        join(&rig.rank[r]);
        assert_int_equal(rig.rank[r].status, MU_PROTOCOL);
        assert_said(&rig.rank[r].log, "E0309");
        assert_said(&rig.rank[r].log, " of a group of 3");
        assert_said(&rig.rank[r].log, " of a group of 4");
    }
    tear_down(&rig, 4);
}

static void ranks_that_count_otherwise_are_told_as_all_others(void **state)
{
    (void)state;
    for (int odd = 0; odd < 3; odd++)
        ranks_that_count_otherwise(odd, false);
}

static void a_rank_that_begins_when_the_others_disagree_is_told(void **state)
{
    (void)state;
    for (int odd = 1; odd < 3; odd++)
        ranks_that_count_otherwise(odd, true);
}

static void who_is_waited_for_is_said_after_two_seconds(void **state)
{
    (void)state;
    struct rig rig;
    char name[80];
    set_up(&rig, 3, 2 * MU_SECOND + SOON);
    start(&rig.rank[0]);
    start(&rig.rank[1]);
    for (int r = 0; r < 2; r++) {
        join(&rig.rank[r]);
        snprintf(name, sizeof(name), " s for rank 2 (127.0.0.1:%d): it has not called (",
            rig.address[2].port);
        assert_said(&rig.rank[r].log, "waiting since 2.");
        assert_said(&rig.rank[r].log, name);
    }
    close(rig.listen_fd[2]);
    tear_down(&rig, 3);
}

static void the_second_process_of_a_rank_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    set_up(&rig, 3, LATE);
    struct rank *twin = &rig.rank[2];
    for (int r = 0; r < 3; r++)
        rig.rank[r].deadline_ns = mu_now(&rig.real.world) + 2 * MU_SECOND;
    close(rig.listen_fd[2]);
    twin->request.rank = 1;
    twin->request.listen_fd = bind_port(&rig.address[2]);
    start(&rig.rank[0]);
    start(&rig.rank[1]);
    start(twin);
    for (int r = 0; r < 3; r++)
        join(&rig.rank[r]);
    /* Whichever came first is in; the other is told. */
    struct rank *late = twin->status == MU_PROTOCOL ? twin : &rig.rank[1];
    assert_int_equal(late->status, MU_PROTOCOL);
    assert_said(&late->log, "E0307");
    tear_down(&rig, 3);
}

static void serve_http(void *argument)
{
    int fd = accept(*(int *)argument, NULL, NULL);
    ssize_t sent = send(fd, "HTTP/1.0 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL);
    (void)sent;
    close(fd);
}

static void another_service_at_the_address_is_told(void **state)
{
    (void)state;
    struct rig rig;
    struct mu_thread *service;
    set_up(&rig, 2, LATE);
    listen(rig.listen_fd[0], 8);
    assert_ok(rig.real.world.ops->spawn(
        &rig.real.world, "service", serve_http, &rig.listen_fd[0], &service));
    run_rank(&rig.rank[1]);
    rig.real.world.ops->join(&rig.real.world, service);
    assert_int_equal(rig.rank[1].status, MU_PROTOCOL);
    assert_said(&rig.rank[1].log, "E0306");
    assert_said(&rig.rank[1].log, "HTTP/1.0 400");
    close(rig.listen_fd[0]);
    tear_down(&rig, 2);
}

static void ranks_of_other_terms_are_told_the_first_that_differs(void **state)
{
    (void)state;
    struct rig rig;
    set_up(&rig, 2, LATE);
    rig.rank[0].request.terms = "length 3\nwidth 5\ncolour red\n";
    rig.rank[1].request.terms = "colour blue\nwidth 50\nlength 3\n";
    for (int r = 0; r < 2; r++)
        start(&rig.rank[r]);
    for (int r = 0; r < 2; r++) {
        join(&rig.rank[r]);
        assert_int_equal(rig.rank[r].status, MU_PROTOCOL);
        assert_said(&rig.rank[r].log, "E0305");
        assert_said(&rig.rank[r].log, " on rank 0 and ");
    }
    tear_down(&rig, 2);
}

static void terms_are_compared_where_both_name_them(void **state)
{
    (void)state;
    struct mu_mesh_term term;
    assert_false(mu_mesh_terms_differ("a 1\nb 2\n", "b 2\nc 3", &term));
    assert_false(mu_mesh_terms_differ("", "a 1\n", &term));
    assert_false(mu_mesh_terms_differ("a 1\n", "\n\n a 2\na\nab 2\n", &term));
    assert_true(mu_mesh_terms_differ("a 1\nb 2\nc 3\n", "c 4\nb 22", &term));
    assert_memory_equal(term.key, "b", 1);
    assert_int_equal(term.key_bytes, 1);
    assert_int_equal(term.our_bytes, 1);
    assert_int_equal(term.their_bytes, 2);
    assert_memory_equal(term.theirs, "22", 2);
}

static void other_addresses_are_another_group(void **state)
{
    (void)state;
    struct mu_address two[] = {{"10.0.0.1", 22}, {"10.0.0.2", 22}};
    uint64_t group = mu_mesh_group_of(two, 2);
    assert_true(group == mu_mesh_group_of(two, 2));
    assert_true(group != mu_mesh_group_of(two, 1));
    two[1].port++;
    assert_true(group != mu_mesh_group_of(two, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_two_ranks_have_a_link),
        cmocka_unit_test(a_rank_binds_its_own_address),
        cmocka_unit_test(a_port_in_use_is_told),
        cmocka_unit_test(who_is_missing_is_named),
        cmocka_unit_test(ranks_that_give_up_one_after_the_other_name_only_who_never_came),
        cmocka_unit_test(who_has_given_up_is_named_where_all_others_are_there),
        cmocka_unit_test(who_came_and_died_is_named_beside_who_never_came),
        cmocka_unit_test(a_stranger_is_turned_away_and_the_ranks_meet),
        cmocka_unit_test(silence_does_not_keep_ranks_from_meeting),
        cmocka_unit_test(a_rank_of_another_group_is_refused_and_both_are_told),
        cmocka_unit_test(the_longest_name_of_a_host_is_cut_in_what_both_are_told),
        cmocka_unit_test(ranks_that_count_otherwise_are_told_as_all_others),
        cmocka_unit_test(a_rank_that_begins_when_the_others_disagree_is_told),
        cmocka_unit_test(who_is_waited_for_is_said_after_two_seconds),
        cmocka_unit_test(the_second_process_of_a_rank_is_refused),
        cmocka_unit_test(another_service_at_the_address_is_told),
        cmocka_unit_test(ranks_of_other_terms_are_told_the_first_that_differs),
        cmocka_unit_test(terms_are_compared_where_both_name_them),
        cmocka_unit_test(other_addresses_are_another_group),
    };
    return cmocka_run_group_tests_name("mesh", tests, NULL, NULL);
}

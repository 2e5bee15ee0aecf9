/* SPDX-License-Identifier: Apache-2.0 */
#include "loopback.h"
#include "ps/ps_bodies.h"
#include "tests/ps/hand_rig.h"
#include <sys/wait.h>

/*
 * A server in a process of its own, whose memory is measured, and workers that do what they can to
 * make it grow:
 *
 *   honest   pushes and reads, in turn
 *   greedy   has many more pushes under way than it may, and reads
 *   deaf     the same, and never reads
 *   loud     says that its gradient has a GiB, and sends it
 */
#define ELEMENTS ((size_t)1 << 20) /* 4 MiB */
#define IN_FLIGHT 4
#define PUSHES 100
/* That nobody has read: a socket's buffers grow to 32 MiB (tcp_rmem) and 4 MiB (tcp_wmem). */
#define KERNEL_ANSWERS 10
#define LOUD_BYTES ((size_t)1 << 30)
#define TIME (100 * MU_SECOND)
/* A link's staging and decoder; what the program grows by anyway, arenas rounded to huge pages. */
#define LINK_BYTES ((size_t)400 << 10)
#define SLACK_BYTES ((size_t)8 << 20)

enum { HONEST, GREEDY, DEAF, LOUD, WORKERS };

/* ---- the server ---- */

struct measured {
    uint64_t before, most, formula;
    int64_t judged[WORKERS];
    enum mu_status status;
};

struct serving {
    struct mu_loop *loop;
    struct mu_ps_server *server;
    int come;
    bool over;
};

/* Of /proc/self/status, in bytes. */
static uint64_t memory_of_process(const char *key)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, key, strlen(key)) == 0)
            sscanf(line + strlen(key), ": %llu", &kib);
    if (file)
        fclose(file);
    return kib << 10;
}

static void on_accepted(void *owner, struct mu_stream *stream)
{
    struct serving *serving = owner;
    struct mu_link *link;
    if (mu_link_accept(serving->loop, stream, &mu_link_hold_events, NULL, &link) == MU_OK)
        mu_ps_server_add_worker(serving->server, serving->come++, link);
}

static void look(void *owner)
{
    struct serving *serving = owner;
    serving->over = serving->come == WORKERS && mu_ps_server_deserted(serving->server);
}

static enum mu_status serve(struct serving *serving, int fd, struct measured *measured)
{
    struct mu_ps_server_options options = hand_rig_options(0, 1, ELEMENTS, 0.5);
    options.loop = serving->loop;
    options.replica_count = WORKERS;
    options.in_flight_max = IN_FLIGHT;
    const struct mu_address address = {.host = "127.0.0.1"};
    struct mu_listener *listener;
    struct mu_timer *timer;
    int error;
    measured->before = memory_of_process("VmHWM");
    MU_TRY(mu_ps_server_create(&options, &serving->server));
    measured->formula = mu_ps_server_kept(serving->server).memory;
    MU_TRY(mu_ps_server_lay(serving->server));
    mu_ps_server_begin(serving->server, 0);
    MU_TRY(serving->loop->ops->listen(
        serving->loop, &address, fd, on_accepted, serving, &listener, &error));
    MU_TRY(serving->loop->ops->timer_start(serving->loop, 5 * MU_MS, look, serving, &timer));
    enum mu_status status;
    do
        status = mu_ps_server_run(serving->server, &serving->over);
    while (status == MU_PROTOCOL);
    serving->loop->ops->timer_stop(timer);
    serving->loop->ops->listener_close(listener);
    measured->most = memory_of_process("VmHWM");
    for (int i = 0; i < WORKERS; i++)
        measured->judged[i] = mu_ps_server_judged(serving->server, i);
    return status;
}

_Noreturn static void server_main(int fd, int out)
{
    struct mu_real_world real;
    struct measured measured = {.status = mu_real_world_init(&real)};
    struct serving serving = {0};
    if (measured.status == MU_OK)
        measured.status = real.world.ops->loop_create(&real.world, &serving.loop);
    if (measured.status == MU_OK)
        measured.status = serve(&serving, fd, &measured);
    bool good = write(out, &measured, sizeof(measured)) == sizeof(measured);
    _exit(good ? 0 : 1);
}

/* ---- the workers ---- */

struct worker {
    struct mu_link *link;
    bool connected, ended, holds, done;
    int answers, answers_wanted;
    float *fresh;
};

static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    (void)link;
    (void)frame;
    (void)body;
    struct worker *worker = owner;
    *ret_payload = worker->fresh;
    return worker->holds ? MU_LINK_HOLD : MU_LINK_TAKE;
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)frame;
    (void)body;
    struct worker *worker = owner;
    worker->done = ++worker->answers == worker->answers_wanted;
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)why;
    (void)error;
    ((struct worker *)owner)->ended = true;
}

static void on_connected(void *owner, struct mu_link *link, enum mu_status status, int error)
{
    (void)link;
    (void)error;
    ((struct worker *)owner)->connected = status == MU_OK;
}

static const struct mu_link_events events = {
    .frame = on_frame, .arrived = on_arrived, .ended = on_ended, .connected = on_connected};

struct outgoing {
    struct mu_send send;
    uint8_t body[MU_PS_BODY_MAX];
};

static void push(
    struct worker *worker, struct outgoing *out, uint64_t sequence, const float *from, size_t bytes)
{
    const struct mu_ps_push_body fields = {.seen = 0, .scale = 1};
    const struct mu_frame frame = {
        .type = MU_FRAME_PUSH,
        .generation = 7,
        .tag = sequence,
        .body_bytes = (uint32_t)mu_ps_push_write(out->body, &fields),
        .payload_bytes = (uint32_t)bytes,
    };
    mu_link_send(worker->link, &out->send, &frame, out->body, from);
}

static void wait_for(struct mu_loop *loop, const bool *flag)
{
    assert_ok(mu_loop_until(loop, flag, mu_deadline(mu_now(loop->world), TIME)));
}

static void trouble(struct mu_loop *loop, const struct mu_address *address, struct worker *workers)
{
    static struct outgoing out[WORKERS][PUSHES];
    float *gradients = calloc(LOUD_BYTES / sizeof(float), sizeof(float));
    assert_non_null(gradients);
    for (int i = 0; i < WORKERS; i++) { /* the server numbers them as they come */
        workers[i].fresh = calloc(ELEMENTS, sizeof(float));
        workers[i].holds = i == DEAF;
        assert_ok(mu_link_connect(loop, address, &events, &workers[i], &workers[i].link));
        wait_for(loop, &workers[i].connected);
    }
    for (uint64_t k = 0; k < PUSHES; k++)
        for (int i = GREEDY; i <= DEAF; i++)
            push(&workers[i], &out[i][k], k, gradients, ELEMENTS * sizeof(float));
    push(&workers[LOUD], &out[LOUD][0], 0, gradients, LOUD_BYTES);
    for (uint64_t k = 0; k < PUSHES; k++) {
        workers[HONEST].done = false;
        workers[HONEST].answers_wanted = (int)k + 1;
        push(&workers[HONEST], &out[HONEST][k], k, gradients, ELEMENTS * sizeof(float));
        wait_for(loop, &workers[HONEST].done);
    }
    workers[LOUD].done = workers[LOUD].answers == 1;
    workers[LOUD].answers_wanted = 1;
    wait_for(loop, &workers[LOUD].done);
    workers[GREEDY].done = workers[GREEDY].answers == PUSHES;
    workers[GREEDY].answers_wanted = PUSHES;
    wait_for(loop, &workers[GREEDY].done);
    for (int i = 0; i < WORKERS; i++) {
        assert_false(workers[i].ended);
        mu_link_close(workers[i].link);
        free(workers[i].fresh);
    }
    free(gradients);
}

static int listen_anywhere(struct mu_address *ret_address)
{
    int fd = loopback_bind(ret_address);
    assert_true(fd >= 0);
    assert_return_code(listen(fd, WORKERS), 0);
    return fd;
}

static void the_memory_of_a_server_is_bounded_whatever_its_workers_do(void **state)
{
    (void)state;
    struct mu_address address = {0};
    struct worker workers[WORKERS] = {0};
    struct measured measured = {.status = MU_BUG};
    struct mu_real_world real;
    struct mu_loop *loop;
    int fd = listen_anywhere(&address), out[2], wait_status;
    assert_return_code(pipe(out), 0);
    pid_t child = fork();
    if (child == 0)
        server_main(fd, out[1]);
    close(fd);
    close(out[1]);
    assert_ok(mu_real_world_init(&real));
    assert_ok(real.world.ops->loop_create(&real.world, &loop));
    trouble(loop, &address, workers);
    assert_int_equal(read(out[0], &measured, sizeof(measured)), sizeof(measured));
    close(out[0]);
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    loop->ops->destroy(loop);
    mu_real_world_finish(&real);

    assert_ok(measured.status);
    assert_int_equal(measured.judged[HONEST], PUSHES);
    assert_int_equal(measured.judged[GREEDY], PUSHES);
    assert_in_range(measured.judged[DEAF], 1, IN_FLIGHT + KERNEL_ANSWERS);
    assert_int_equal(measured.judged[LOUD], 1);
    /* As ps/server/server.h has it: 4 workers with 4 in flight, the parameters and their copy. */
    uint64_t formula = ELEMENTS * sizeof(float) * (WORKERS * IN_FLIGHT + 2);
    assert_in_range(measured.formula, formula, formula + formula / 1000);
    uint64_t grown = measured.most - measured.before;
    print_message("# grew by %llu KiB, by the formula %llu KiB\n", (unsigned long long)grown >> 10,
        (unsigned long long)formula >> 10);
    assert_in_range(grown, formula / 2, formula + WORKERS * LINK_BYTES + SLACK_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_memory_of_a_server_is_bounded_whatever_its_workers_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

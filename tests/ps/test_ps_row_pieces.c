/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/ps_bodies.h"
#include "ps/server/server_pieces.h"
#include "tests/ps/hand_rig.h"

/* The embedding rows of a state, between a server and a leader whose frames are made by hand. Both
 * ends are on one loop. */
#define COUNT 16
#define GROUP 60 /* rows of a push */
#define IDS (3 * GROUP)

static struct mu_ps_server *make_server(int server_count, size_t width, size_t push_max)
{
    struct mu_ps_server_options options = hand_rig_options(0, server_count, COUNT, -1);
    options.rows =
        (struct mu_ps_rows_options){.width = width, .push_max = push_max, .id_count = IDS};
    return hand_rig_server(&options);
}

/* ---- rows that a leader restores ---- */

#define WIDTH 2

static const struct {
    const char *said;
    size_t width;
    uint32_t bytes;
    uint64_t id;
    bool begun;
} breaches[] = {
    {"sent ROWS, and the model has no embedding table", 0, 16, 0, false},
    {"sent ROWS of 15 bytes, which is no number of rows", WIDTH, 15, 0, false},
    {"sent ROWS of 0 bytes, which is no number of rows", WIDTH, 0, 0, false},
    {"sent ROWS of 1048592 bytes, which is no", WIDTH, (1 << 20) + 16, 0, false},
    {"sent ROWS after the state that they belong to", WIDTH, 16, 0, true},
    {"restores an embedding row with an id out of range", WIDTH, 16, IDS, false},
    {"restores an embedding row with an id out of range, or of another server", WIDTH, 16, 1,
        false},
};

static struct mu_link *hold_leader(struct mu_ps_server *server)
{
    struct mu_link *near, *far;
    link_pair_connect(&pair, &near, &far);
    mu_ps_server_add_leader(server, far);
    return near;
}

static void a_leader_that_restores_other_rows_is_named(void **state)
{
    (void)state;
    static uint8_t payload[(1 << 20) + 16];
    for (size_t i = 0; i < MU_COUNT_OF(breaches); i++) {
        struct mu_ps_server *server = make_server(2, breaches[i].width, 3);
        struct mu_link *leader = hold_leader(server);
        struct mu_send send = {0};
        bool never = false;
        uint64_t id = breaches[i].id;
        while (breaches[i].id > 0 && id < IDS && mu_split_row(id, 2) == 0)
            id++;
        memcpy(payload, &id, sizeof(id));
        const struct mu_frame frame = {
            .type = MU_FRAME_ROWS, .generation = 7, .payload_bytes = breaches[i].bytes};
        if (breaches[i].begun)
            mu_ps_server_begin(server, 0);
        mu_link_send(leader, &send, &frame, NULL, payload);
        assert_int_equal(mu_ps_server_run(server, &never), MU_PROTOCOL);
        assert_said(&log_of_test, "E0404");
        assert_said(&log_of_test, breaches[i].said);
        mu_ps_server_destroy(server);
        mu_link_close(leader);
    }
}

/* ---- a server that may set aside less than changes ---- */

#define WIDE ((size_t)1 << 17) /* so that few rows are all that may be set aside */
static_assert(MU_ROWS_ASIDE_BYTES / (WIDE * sizeof(float)) < 2 * GROUP, "one push, not two");

struct leader {
    struct mu_link *link;
    float vector[COUNT];
    uint8_t *piece;
    bool there[IDS];
    float value[IDS / GROUP]; /* of all rows of a push: how many came before the snapshot */
    int rows_come;
    bool over;
};

static enum mu_link_answer on_state(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    (void)link;
    (void)body;
    struct leader *leader = owner;
    *ret_payload = frame->type == MU_FRAME_ROWS ? (void *)leader->piece : (void *)leader->vector;
    return MU_LINK_TAKE;
}

static void on_piece(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)body;
    struct leader *leader = owner;
    if (frame->type != MU_FRAME_ROWS)
        return;
    leader->over = frame->payload_bytes == 0;
    size_t count = frame->payload_bytes / (sizeof(uint64_t) + WIDE * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        uint64_t id;
        float first;
        memcpy(&id, leader->piece + i * sizeof(id), sizeof(id));
        memcpy(
            &first, leader->piece + count * sizeof(id) + i * WIDE * sizeof(float), sizeof(first));
        assert(id < IDS && !leader->there[id]);
        float *value = &leader->value[id / GROUP];
        assert(*value == 0 || *value == first);
        *value = first;
        leader->there[id] = true;
        leader->rows_come++;
    }
}

static const struct mu_link_events leader_events = {
    .frame = on_state, .arrived = on_piece, .ended = hand_rig_ended};

struct worker {
    struct mu_link *link;
    float fresh[COUNT], dense[COUNT];
    uint64_t sequence;
    uint8_t *payload;
    struct mu_send rows, push;
    uint8_t rows_body[MU_PS_ROWS_BODY_MAX], push_body[MU_PS_BODY_MAX];
    bool answered;
};

static enum mu_link_answer on_fresh(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    (void)link;
    (void)frame;
    (void)body;
    *ret_payload = ((struct worker *)owner)->fresh;
    return MU_LINK_TAKE;
}

static void on_answer(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)frame;
    (void)body;
    ((struct worker *)owner)->answered = true;
}

static const struct mu_link_events worker_events = {
    .frame = on_fresh, .arrived = on_answer, .ended = hand_rig_ended};

/* Adds 1 to each element of GROUP rows. */
static void push(struct worker *worker, uint64_t first)
{
    const struct mu_ps_rows_body counts = {.given = GROUP};
    const struct mu_ps_push_body body = {.scale = 1};
    for (uint64_t i = 0; i < GROUP; i++) {
        uint64_t id = first + i;
        memcpy(worker->payload + i * sizeof(id), &id, sizeof(id));
    }
    const struct mu_frame rows = {
        .type = MU_FRAME_ROWS,
        .generation = 7,
        .tag = worker->sequence,
        .body_bytes = (uint32_t)mu_ps_rows_write(worker->rows_body, &counts),
        .payload_bytes = (uint32_t)mu_ps_rows_bytes(&counts, WIDE),
    };
    const struct mu_frame frame = {
        .type = MU_FRAME_PUSH,
        .generation = 7,
        .tag = worker->sequence++,
        .body_bytes = (uint32_t)mu_ps_push_write(worker->push_body, &body),
        .payload_bytes = sizeof(worker->dense),
    };
    worker->answered = worker->push.done = false;
    mu_link_send(worker->link, &worker->rows, &rows, worker->rows_body, worker->payload);
    mu_link_send(worker->link, &worker->push, &frame, worker->push_body, worker->dense);
}

static void worker_init(struct worker *worker, struct mu_ps_server *server)
{
    const struct mu_ps_rows_body counts = {.given = GROUP};
    *worker = (struct worker){.payload = malloc(mu_ps_rows_bytes(&counts, WIDE))};
    assert_non_null(worker->payload);
    float *gradients = (float *)(void *)(worker->payload + GROUP * sizeof(uint64_t));
    for (size_t i = 0; i < GROUP * WIDE; i++)
        gradients[i] = 1;
    mu_ps_server_add_worker(server, 0, hand_rig_link(&worker->link, &worker_events, worker));
}

static void push_group(struct mu_ps_server *server, struct worker *worker, uint64_t group)
{
    push(worker, group * GROUP);
    assert_ok(mu_ps_server_run(server, &worker->answered));
}

static void a_server_that_cannot_set_rows_aside_waits_for_its_leader(void **state)
{
    (void)state;
    static struct worker worker;
    static struct leader leader;
    struct mu_ps_server *server = make_server(1, WIDE, GROUP);
    mu_ps_server_begin(server, 0);
    worker_init(&worker, server);
    leader = (struct leader){.link = hold_leader(server), .piece = malloc(MU_ROW_PIECE_BYTES)};
    assert_non_null(leader.piece);
    for (uint64_t group = 0; group < IDS / GROUP; group++)
        push_group(server, &worker, group);
    /* All rows change while the leader reads nothing. */
    mu_link_post(leader.link, MU_FRAME_SNAPSHOT, 7, 1, NULL);
    push_group(server, &worker, 0);
    push(&worker, GROUP);
    assert_ok(mu_ps_server_run(server, &worker.push.done));
    mu_link_adopt(leader.link, &leader_events, &leader);
    mu_link_resume(leader.link);
    assert_ok(mu_ps_server_run(server, &worker.answered));
    push_group(server, &worker, 2);
    assert_ok(mu_ps_server_run(server, &leader.over));
    assert_int_equal(leader.rows_come, IDS);
    assert_true(leader.value[0] == 1 || leader.value[0] == 2);
    assert_true(leader.value[1] == 1 && leader.value[2] == 1);
    mu_ps_server_destroy(server);
    mu_link_close(worker.link);
    mu_link_close(leader.link);
    free(worker.payload);
    free(leader.piece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_that_restores_other_rows_is_named),
        cmocka_unit_test(a_server_that_cannot_set_rows_aside_waits_for_its_leader),
    };
    return cmocka_run_group_tests(tests, hand_rig_begin, hand_rig_end);
}

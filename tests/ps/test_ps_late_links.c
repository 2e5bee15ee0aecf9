/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/ps_bodies.h"
#include "ps/snapshot_inside.h"
#include "tests/ps/hand_rig.h"

/* Links that end while a snapshot is under way, or come back while a deputy takes over. */
#define SERVERS 2
#define SPAN 64
#define WIDTH 2

static int64_t deadline(void)
{
    return mu_deadline(mu_now(pair.loop->world), LINK_PAIR_TIME);
}

/* ---- servers of which each byte is written by hand ---- */

static struct mu_link *connect_server(int *ret_socket)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons((uint16_t)pair.address.port)};
    struct mu_link *link;
    *ret_socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*ret_socket, (const struct sockaddr *)&at, sizeof(at)), 0);
    assert_ok(
        mu_link_accept(pair.loop, link_pair_stream(&pair), &mu_link_hold_events, NULL, &link));
    return link;
}

static void put_bytes(int to, const void *from, size_t bytes)
{
    assert_int_equal(write(to, from, bytes), (ssize_t)bytes);
}

static void put_header(int to, enum mu_frame_type type, uint64_t tag, const void *body,
    size_t body_bytes, size_t bytes)
{
    const struct mu_frame frame = {
        .type = type,
        .generation = 7,
        .tag = tag,
        .body_bytes = (uint32_t)body_bytes,
        .payload_bytes = (uint32_t)bytes,
    };
    uint8_t header[MU_FRAME_HEADER_BYTES];
    mu_frame_encode(&frame, body, header);
    put_bytes(to, header, sizeof(header));
    if (body_bytes > 0)
        put_bytes(to, body, body_bytes);
}

/* A piece of one row. */
struct one_row {
    uint64_t id;
    float row[WIDTH];
};

static void put_piece(int to, uint64_t tag, const struct one_row *row)
{
    put_header(to, MU_FRAME_ROWS, tag, NULL, 0, sizeof(*row));
    put_bytes(to, row, sizeof(*row));
}

/* What is whole of a server's part but for its rows. */
static void put_rest(int to, uint64_t tag)
{
    static const float values[SPAN];
    const struct mu_ps_state_body state = {.vector_count = 1};
    uint8_t body[MU_PS_STATE_BODY_MAX];
    put_header(to, MU_FRAME_STATE, tag, body, mu_ps_state_write(body, sizeof(body), &state),
        sizeof(values));
    put_bytes(to, values, sizeof(values));
    put_header(to, MU_FRAME_ROWS, tag, NULL, 0, 0);
}

/* ---- the leader ---- */

static uint64_t ids_come[4];
static size_t ids_count;
static int offers_left; /* that are refused */
static int offers;

static bool put_rows(void *owner, const uint64_t *ids, const float *rows, size_t count)
{
    (void)owner;
    (void)rows;
    offers++;
    if (offers_left > 0) {
        offers_left--;
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        assert_true(ids_count < MU_COUNT_OF(ids_come));
        ids_come[ids_count++] = ids[i];
    }
    return true;
}

/* The servers have begun, with a state of zeros. */
static struct mu_ps_snapshot *make_snapshot(int sockets[SERVERS])
{
    static const float zeros[SERVERS * SPAN];
    const float *vectors[] = {zeros};
    const struct mu_ps_snapshot_options options = {
        .loop = pair.loop,
        .log = mu_test_log_init(&log_of_test),
        .server_count = SERVERS,
        .replica_count = 1,
        .relinks = true,
        .generation = 7,
        .element_count = SERVERS * SPAN,
        .row_width = WIDTH,
    };
    struct mu_ps_snapshot *snapshot;
    assert_ok(mu_ps_snapshot_create(&options, &snapshot));
    for (int i = 0; i < SERVERS; i++)
        mu_ps_snapshot_add_server(snapshot, i, connect_server(&sockets[i]));
    for (int i = 0; i < SERVERS; i++)
        put_header(sockets[i], MU_FRAME_READY, 0, NULL, 0, 0);
    assert_ok(mu_ps_snapshot_restore(snapshot, vectors, 1, 0, 1, NULL, deadline()));
    return snapshot;
}

static struct one_row row_of(int server)
{
    struct one_row row = {0};
    while (mu_split_row(row.id, SERVERS) != server)
        row.id++;
    return row;
}

static void rows_of_a_snapshot_that_was_given_up_do_not_come_into_the_next(void **state)
{
    (void)state;
    int sockets[SERVERS];
    float vector[SERVERS * SPAN];
    float *const vectors[] = {vector};
    const struct mu_row_sink sink = {.put = put_rows};
    int64_t version, judged[1];
    struct mu_ps_snapshot *snapshot = make_snapshot(sockets);
    const struct one_row row = row_of(1);
    ids_count = 0;
    assert_ok(mu_ps_snapshot_start(snapshot, vectors, &sink));
    put_header(sockets[1], MU_FRAME_ROWS, 1, NULL, 0, sizeof(row));
    while (snapshot->sources[1].piece.count == 0) /* the frame has begun */
        assert_ok(pair.loop->ops->turn(pair.loop, deadline()));
    close(sockets[0]);
    assert_int_equal(mu_ps_snapshot_wait(snapshot, deadline(), &version, judged), MU_UNAVAILABLE);
    assert_int_equal(mu_ps_snapshot_unlinked(snapshot, 0), 0);
    assert_ok(mu_ps_snapshot_start(snapshot, vectors, &sink));
    put_bytes(sockets[1], &row, sizeof(row));
    put_piece(sockets[1], 2, &row);
    put_rest(sockets[1], 2);
    mu_ps_snapshot_add_server(snapshot, 0, connect_server(&sockets[0]));
    put_rest(sockets[0], 2);
    assert_ok(mu_ps_snapshot_wait(snapshot, deadline(), &version, judged));
    assert_int_equal(ids_count, 1);
    assert_int_equal(ids_come[0], row.id);
    mu_ps_snapshot_destroy(snapshot);
    close(sockets[0]);
    close(sockets[1]);
}

/* ---- rows that are not taken at once ---- */

static void rows_that_are_not_taken_are_offered_again_and_others_come_meanwhile(void **state)
{
    (void)state;
    int sockets[SERVERS];
    float vector[SERVERS * SPAN];
    float *const vectors[] = {vector};
    const struct mu_row_sink sink = {.put = put_rows};
    int64_t version, judged[1];
    struct mu_ps_snapshot *snapshot = make_snapshot(sockets);
    const struct one_row first = row_of(0), second = row_of(1);
    ids_count = 0;
    offers = 0;
    offers_left = 3;
    assert_ok(mu_ps_snapshot_start(snapshot, vectors, &sink));
    assert_false(mu_ps_snapshot_is_held(snapshot));
    put_piece(sockets[0], 1, &first);
    while (!mu_ps_snapshot_is_held(snapshot))
        assert_ok(pair.loop->ops->turn(pair.loop, deadline()));
    /* The rest of this server stays in the network. */
    put_rest(sockets[0], 1);
    put_piece(sockets[1], 1, &second);
    put_rest(sockets[1], 1);
    assert_ok(mu_ps_snapshot_wait(snapshot, deadline(), &version, judged));
    assert_false(mu_ps_snapshot_is_held(snapshot));
    assert_int_equal(ids_count, 2);
    assert_int_equal(ids_come[0] + ids_come[1], first.id + second.id);
    assert_int_equal(offers, 5);
    mu_ps_snapshot_destroy(snapshot);
    close(sockets[0]);
    close(sockets[1]);
}

static void rows_that_wait_when_their_snapshot_is_given_up_are_not_offered_again(void **state)
{
    (void)state;
    int sockets[SERVERS];
    float vector[SERVERS * SPAN];
    float *const vectors[] = {vector};
    const struct mu_row_sink sink = {.put = put_rows};
    int64_t version, judged[1];
    struct mu_ps_snapshot *snapshot = make_snapshot(sockets);
    const struct one_row row = row_of(1);
    ids_count = 0;
    offers_left = INT32_MAX;
    assert_ok(mu_ps_snapshot_start(snapshot, vectors, &sink));
    put_piece(sockets[1], 1, &row);
    while (!mu_ps_snapshot_is_held(snapshot))
        assert_ok(pair.loop->ops->turn(pair.loop, deadline()));
    put_piece(sockets[1], 1, &row); /* held, and skipped */
    close(sockets[0]);
    assert_int_equal(mu_ps_snapshot_wait(snapshot, deadline(), &version, judged), MU_UNAVAILABLE);
    assert_false(mu_ps_snapshot_is_held(snapshot));
    offers_left = 0;
    assert_ok(mu_ps_snapshot_start(snapshot, vectors, &sink));
    mu_ps_snapshot_add_server(snapshot, 0, connect_server(&sockets[0]));
    put_rest(sockets[0], 2);
    put_rest(sockets[1], 2);
    assert_ok(mu_ps_snapshot_wait(snapshot, deadline(), &version, judged));
    assert_int_equal(ids_count, 0);
    mu_ps_snapshot_destroy(snapshot);
    close(sockets[0]);
    close(sockets[1]);
}

/* ---- a deputy that hears PLACEs ---- */

struct deputy {
    struct mu_link *link;
    int place_count;
    struct mu_ps_place_body place; /* the first */
    bool over;
};

static enum mu_link_answer on_deputy_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    (void)ret_payload;
    struct deputy *deputy = owner;
    struct mu_ps_place_body place;
    assert_int_equal(frame->type, MU_FRAME_PLACE);
    assert_true(mu_ps_place_read(mu_link_decoder(link), body, frame->body_bytes, &place));
    if (deputy->place_count++ == 0)
        deputy->place = place;
    deputy->over = true;
    return MU_LINK_TAKE;
}

static const struct mu_link_events deputy_events = {
    .frame = on_deputy_frame, .arrived = mu_link_ignore, .ended = hand_rig_ended};

/* A deputy that still collects places refuses one that asks. */
static void a_link_back_to_the_deputy_before_it_judges_only_tells_the_place(void **state)
{
    (void)state;
    const int order = 2, servers = 3;
    struct deputy head = {0}, first = {0}, second = {0};
    struct mu_ps_server_options options = hand_rig_options(order, servers, 12, -1);
    options.replicas = 1;
    options.relinks = true;
    struct mu_ps_server *server = hand_rig_server(&options);
    mu_ps_server_begin(server, 0);
    mu_ps_server_add_head(server, hand_rig_link(&head.link, &deputy_events, &head));
    mu_ps_server_add_deputy(server, hand_rig_link(&first.link, &deputy_events, &first));
    mu_link_close(first.link);
    while (mu_ps_server_unlinked(server, 0) != servers)
        assert_ok(pair.loop->ops->turn(pair.loop, deadline()));
    struct mu_link *back = hand_rig_link(&second.link, &deputy_events, &second);
    mu_ps_server_lose_server(server, 0);
    mu_ps_server_add_deputy(server, back);
    assert_ok(mu_ps_server_run(server, &second.over));
    assert_int_equal(second.place_count, 1);
    assert_false(second.place.asks);
    mu_ps_server_destroy(server);
    mu_link_close(second.link);
    mu_link_close(head.link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_a_snapshot_that_was_given_up_do_not_come_into_the_next),
        cmocka_unit_test(rows_that_are_not_taken_are_offered_again_and_others_come_meanwhile),
        cmocka_unit_test(rows_that_wait_when_their_snapshot_is_given_up_are_not_offered_again),
        cmocka_unit_test(a_link_back_to_the_deputy_before_it_judges_only_tells_the_place),
    };
    return cmocka_run_group_tests(tests, hand_rig_begin, hand_rig_end);
}

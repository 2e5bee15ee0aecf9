/* SPDX-License-Identifier: Apache-2.0 */
#include "party.h"

#define FAR (UINT64_C(1) << 40)

/* Row 7 is given twice in a push, and so moves by 1; that of `FAR` by a half; 9 is only looked at.
 */
static enum mu_status push_rows(struct actor *actor, struct mu_ps *ps)
{
    static const uint64_t given[] = {7, FAR, 7}, wanted[] = {9, 7, FAR, 9, 7};
    static const float dense[COUNT], ones[6] = {1, 1, 1, 1, 1, 1};
    bool is_alone = mu_ps_worker_count(ps) == 1;
    int push;
    float rows[10];
    MU_TRY(mu_ps_pull_rows(ps, wanted, 5, rows));
    if (is_alone && (rows[0] != 9 || rows[2] != 7 || rows[4] != (float)(FAR % 1000)))
        return MU_BUG;
    for (int k = 1; k <= PUSHES; k++) {
        const struct mu_ps_rows moved = {given, ones, 3, wanted, rows, 5};
        MU_TRY(mu_ps_push_rows(ps, dense, actor->version, NULL, &moved, &push));
        MU_TRY(mu_ps_wait(ps, push, NULL));
        const float expected[] = {9, -1, 7 - (float)k, -1 - (float)k,
            (float)(FAR % 1000) - 0.5f * (float)k, -1 - 0.5f * (float)k, 9, -1, 7 - (float)k,
            -1 - (float)k};
        if (is_alone && memcmp(rows, expected, sizeof(rows)) != 0)
            return MU_BUG;
    }
    MU_TRY(mu_ps_pull(ps, actor->vector, &actor->version));
    return mu_ps_row_count(ps) == 2 ? MU_OK : MU_BUG;
}

static enum mu_status misuse_rows(struct actor *actor, struct mu_ps *ps)
{
    static const uint64_t ids[6] = {1};
    static const float dense[COUNT], nan_[COUNT] = {(float)(0.0 / 0.0)};
    struct mu_ps_result result;
    float rows[12];
    int push;
    const struct mu_ps_rows many = {.ids = ids, .gradients = rows, .count = 6},
                            bare = {.wanted = ids, .wanted_count = 1},
                            sound = {.wanted = ids, .rows = rows, .wanted_count = 1};
    if (mu_ps_pull_rows(ps, ids, 6, rows) != MU_USAGE || !strstr(mu_ps_error(ps), "row_max is 5") ||
        mu_ps_push_rows(ps, dense, 0, NULL, &many, &push) != MU_USAGE ||
        mu_ps_push_rows(ps, dense, 0, NULL, &bare, &push) != MU_USAGE ||
        !strstr(mu_ps_error(ps), "rows without their vectors"))
        return MU_BUG;
    MU_TRY(mu_ps_pull_rows(ps, ids, 0, NULL));
    /* What a refused push wanted comes with no later one. */
    MU_TRY(mu_ps_push_rows(ps, nan_, 0, NULL, &sound, &push));
    MU_TRY(mu_ps_wait(ps, push, &result));
    rows[0] = 1234;
    MU_TRY(mu_ps_push(ps, dense, 0, NULL, &push));
    MU_TRY(mu_ps_wait(ps, push, NULL));
    return result.verdict == MU_VERDICT_REFUSE && rows[0] == 1234 ? MU_OK : MU_BUG;
}

#define IDS 100

/* Each way to name an id that is not there, beside one that is. */
static enum mu_status use_far_ids(struct actor *actor, struct mu_ps *ps)
{
    static const uint64_t ids[] = {IDS - 1, IDS};
    static const float dense[COUNT], ones[4] = {1, 1, 1, 1};
    float rows[4];
    int push;
    const struct mu_ps_rows given = {.ids = ids, .gradients = ones, .count = 2},
                            wanted = {.wanted = ids, .rows = rows, .wanted_count = 2};
    if (mu_ps_pull_rows(ps, ids, 2, rows) != MU_USAGE ||
        !strstr(mu_ps_error(ps), "a row of id 100; row_ids is 100") ||
        mu_ps_push_rows(ps, dense, 0, NULL, &given, &push) != MU_USAGE ||
        mu_ps_push_rows(ps, dense, 0, NULL, &wanted, &push) != MU_USAGE)
        return MU_BUG;
    MU_TRY(mu_ps_pull_rows(ps, ids, 1, rows));
    return rows[0] == IDS - 1 ? MU_OK : MU_BUG;
}

/* Of a worker that was not told of a limit: two refusals, and then the end. */
static enum mu_status push_far_ids(struct actor *actor, struct mu_ps *ps)
{
    static const uint64_t ids[] = {IDS - 1, IDS};
    static const float dense[COUNT], ones[4] = {1, 1, 1, 1};
    const struct mu_ps_rows given = {.ids = ids, .gradients = ones, .count = 2};
    struct mu_ps_result result;
    int push;
    for (int i = 0; i < 2; i++) {
        MU_TRY(mu_ps_push_rows(ps, dense, 0, NULL, &given, &push));
        MU_TRY(mu_ps_wait(ps, push, &result));
        MU_TRY(mu_ps_pull(ps, actor->vector, &actor->version));
        if (result.verdict != MU_VERDICT_REFUSE || mu_ps_row_count(ps) != 0)
            return MU_BUG;
    }
    MU_TRY(mu_ps_push_rows(ps, dense, 0, NULL, &given, &push));
    if (mu_ps_wait(ps, push, NULL) != MU_CLOSED)
        return MU_BUG;
    return strstr(mu_ps_error(ps), "the third in a row puts a worker out") ? MU_OK : MU_BUG;
}

#define FEW 8

/* All are there, those that nobody has touched, too. */
static enum mu_status push_dense(struct actor *actor, struct mu_ps *ps)
{
    static const uint64_t ids[] = {FEW - 1, 2};
    static const float dense[COUNT], ones[4] = {1, 1, 1, 1};
    const struct mu_ps_rows given = {.ids = ids, .gradients = ones, .count = 2};
    float rows[4];
    int push;
    MU_TRY(mu_ps_push_rows(ps, dense, 0, NULL, &given, &push));
    MU_TRY(mu_ps_wait(ps, push, NULL));
    MU_TRY(mu_ps_pull_rows(ps, ids, 2, rows));
    return rows[0] != FEW - 1 && rows[1] != -1 ? MU_OK : MU_BUG;
}

static enum mu_status want_rows_of_no_table(struct actor *actor, struct mu_ps *ps)
{
    static const uint64_t id = 1;
    float row[2];
    if (mu_ps_pull_rows(ps, &id, 1, row) != MU_USAGE ||
        !strstr(mu_ps_error(ps), "there is no embedding table"))
        return MU_BUG;
    return party_push_ones(actor, ps);
}

/* ---- claims ---- */

static void rows_of_all_pushes_are_added_up(void **state)
{
    for (int workers = 1; workers <= WORKERS; workers += WORKERS - 1) {
        static struct party party;
        party = (struct party){.options = party_row_options, .work = push_rows};
        party.options.worker_count = workers;
        party_run(&party);
        party_all_ended_well(&party);
        int rows = 0;
        for (int s = 0; s < SERVERS; s++)
            for (int i = 0; i < party.servers[s].row_count; i++, rows++) {
                bool is_near = party.servers[s].row_id[i] == 7;
                float steps = (float)(workers * PUSHES) * (is_near ? 1 : 0.5f);
                assert_true(is_near || party.servers[s].row_id[i] == FAR);
                assert_true(party.servers[s].row[i][1] == -1 - steps);
            }
        assert_int_equal(rows, 2);
    }
}

static void dense_rows_are_all_there_at_the_end(void **state)
{
    static struct party party;
    party = (struct party){.options = party_row_options, .work = push_dense};
    party.options.row_ids = FEW;
    party.options.row_dense = 1;
    party_run(&party);
    party_all_ended_well(&party);
    assert_int_equal(party.servers[0].row_count + party.servers[1].row_count, FEW);
    for (int s = 0; s < SERVERS; s++)
        for (int i = 0; i < party.servers[s].row_count; i++) {
            uint64_t id = party.servers[s].row_id[i];
            bool touched = id == 2 || id == FEW - 1;
            assert_true(id < FEW);
            assert_int_equal(party.servers[s].row[i][1] != -1, touched);
        }
}

static void a_range_of_rows_is_on_each_server(void **state)
{
    static struct party party;
    party = (struct party){.options = party_row_options, .work = push_dense};
    party.options.row_ids = FEW;
    party.options.row_dense = party.options.row_range = 1;
    party_run(&party);
    party_all_ended_well(&party);
    assert_int_equal(party.servers[0].row_count, FEW / 2);
    assert_int_equal(party.servers[1].row_count, FEW - FEW / 2);
    for (int s = 0; s < SERVERS; s++)
        for (int i = 0; i < party.servers[s].row_count; i++) {
            uint64_t id = party.servers[s].row_id[i];
            assert_int_equal(id >= FEW / 2, s);
            assert_int_equal(party.servers[s].row[i][1] != -1, id == 2 || id == FEW - 1);
        }
}

static void dense_rows_and_ranges_without_a_bound_are_refused(void **state)
{
    struct mu_ps_options options = party_row_options;
    static const char *const servers[] = {"127.0.0.1:1"};
    options.servers = servers;
    options.server_count = options.worker_count = 1;
    options.count = COUNT;
    options.row_dense = 1;
    assert_int_equal(mu_ps_serve(&options, NULL), MU_USAGE);
    assert_non_null(
        strstr(mu_ps_error(NULL), "row_dense: all rows below row_ids are kept, so say"));
    options.row_dense = 0;
    options.row_range = 1;
    assert_int_equal(mu_ps_serve(&options, NULL), MU_USAGE);
    assert_non_null(strstr(mu_ps_error(NULL), "so say row_ids"));
}

static void misuse_of_rows_is_said_and_does_no_harm(void **state)
{
    static struct party party, without = {.work = want_rows_of_no_table};
    party = (struct party){.options = party_row_options, .work = misuse_rows};
    party_run(&party);
    party_all_ended_well(&party);
    party_run(&without);
    party_all_ended_well(&without);
}

static void an_id_beyond_those_declared_goes_nowhere(void **state)
{
    static struct party party;
    party = (struct party){.options = party_row_options, .work = use_far_ids};
    party.options.row_ids = IDS;
    party_run(&party);
    party_all_ended_well(&party);
    assert_int_equal(party.servers[0].row_count + party.servers[1].row_count, 0);
}

/* With its sound neighbour, which may be another server's. */
static void servers_refuse_it_with_the_worker_and_the_reason(void **state)
{
    static struct party party;
    party = (struct party){
        .options = party_row_options, .work = push_far_ids, .only_servers_know_ids = true};
    party.options.row_ids = IDS;
    party_run(&party);
    assert_int_equal(party.workers[0].status, MU_OK);
    assert_int_equal(party.servers[0].status, MU_PROTOCOL);
    assert_non_null(strstr(party.servers[0].error,
        "worker/0 sent 3 gradients in a row that were refused, the last with an id out of range"));
    assert_non_null(strstr(party.servers[0].error, "E0406"));
    assert_int_equal(party.servers[0].row_count + party.servers[1].row_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_all_pushes_are_added_up),
        cmocka_unit_test(dense_rows_are_all_there_at_the_end),
        cmocka_unit_test(a_range_of_rows_is_on_each_server),
        cmocka_unit_test(dense_rows_and_ranges_without_a_bound_are_refused),
        cmocka_unit_test(misuse_of_rows_is_said_and_does_no_harm),
        cmocka_unit_test(an_id_beyond_those_declared_goes_nowhere),
        cmocka_unit_test(servers_refuse_it_with_the_worker_and_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

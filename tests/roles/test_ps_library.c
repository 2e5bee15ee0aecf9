/* SPDX-License-Identifier: Apache-2.0 */
#include "loopback.h"
#include "test.h"

#include "roles/library/ps_handle.h"
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* muster/ps.h as its users have it: servers and workers, here threads of one process on loopback.
 */
#define COUNT ((size_t)1000)
#define SERVERS 2
#define WORKERS 3
#define PUSHES 40

struct party;

struct actor {
    struct party *party;
    int index;
    pthread_t thread;
    enum mu_status status;
    char error[512];
    float vector[COUNT];
    int64_t version;
    /* Of a server: the rows that it ended with. */
    uint64_t row_id[8];
    float row[8][2];
    int row_count;
};

/* One set of servers and workers. */
struct party {
    struct mu_ps_options options;
    bool only_servers_know_ids;
    int server_count;
    enum mu_status (*work)(struct actor *actor, struct mu_ps *ps);
    char text[SERVERS][32];
    const char *addresses[SERVERS];
    struct actor servers[SERVERS], workers[WORKERS];
};

static void find_ports(struct party *party)
{
    int held[SERVERS];
    for (int i = 0; i < party->server_count; i++) {
        struct mu_address address;
        held[i] = loopback_bind(&address);
        assert_true(held[i] >= 0);
        snprintf(party->text[i], sizeof(party->text[i]), "127.0.0.1:%d", address.port);
        party->addresses[i] = party->text[i];
    }
    for (int i = 0; i < party->server_count; i++)
        close(held[i]);
}

static struct mu_ps_options options_of(const struct actor *actor)
{
    struct mu_ps_options options = actor->party->options;
    options.servers = actor->party->addresses;
    options.server_count = actor->party->server_count;
    options.index = actor->index;
    options.row_owner = (void *)(uintptr_t)actor;
    return options;
}

static void *serve(void *argument)
{
    struct actor *actor = argument;
    const struct mu_ps_options options = options_of(actor);
    for (size_t i = 0; i < COUNT; i++)
        actor->vector[i] = (float)i;
    actor->status = mu_ps_serve(&options, actor->vector);
    snprintf(actor->error, sizeof(actor->error), "%s", mu_ps_error(NULL));
    return NULL;
}

static void *work(void *argument)
{
    struct actor *actor = argument;
    struct mu_ps_options options = options_of(actor);
    struct mu_ps *ps = NULL;
    if (actor->party->only_servers_know_ids)
        options.row_ids = 0;
    actor->status = mu_ps_open(&options, &ps);
    if (actor->status == MU_OK)
        actor->status = actor->party->work(actor, ps);
    snprintf(actor->error, sizeof(actor->error), "%s", mu_ps_error(ps));
    mu_ps_close(ps);
    return NULL;
}

static void start(struct actor *actor, struct party *party, int index, void *(*run)(void *))
{
    actor->party = party;
    actor->index = index;
    assert_int_equal(pthread_create(&actor->thread, NULL, run, actor), 0);
}

static void run_party(struct party *party)
{
    party->server_count = party->server_count ? party->server_count : SERVERS;
    party->options.worker_count = party->options.worker_count ? party->options.worker_count : 1;
    party->options.count = party->options.count ? party->options.count : COUNT;
    party->options.timeout_seconds = 30;
    find_ports(party);
    for (int i = 0; i < party->options.worker_count; i++)
        start(&party->workers[i], party, i, work);
    for (int i = 0; i < party->server_count; i++)
        start(&party->servers[i], party, i, serve);
    for (int i = 0; i < party->options.worker_count; i++)
        pthread_join(party->workers[i].thread, NULL);
    for (int i = 0; i < party->server_count; i++)
        pthread_join(party->servers[i].thread, NULL);
}

static void all_ended_well(const struct party *party)
{
    for (int i = 0; i < party->options.worker_count; i++)
        if (party->workers[i].status != MU_OK)
            fail_msg("worker %d: %s", i, party->workers[i].error);
    for (int i = 0; i < party->server_count; i++)
        if (party->servers[i].status != MU_OK)
            fail_msg("server %d: %s", i, party->servers[i].error);
}

/* ---- what workers do ---- */

static enum mu_status push_ones(struct actor *actor, struct mu_ps *ps)
{
    float gradients[COUNT];
    struct mu_ps_result result;
    for (size_t i = 0; i < COUNT; i++)
        gradients[i] = 1;
    MU_TRY(mu_ps_pull(ps, actor->vector, &actor->version));
    for (int k = 0; k < PUSHES; k++) {
        MU_TRY(mu_ps_push_pull(ps, gradients, actor->version, actor->vector, &result));
        actor->version = result.version;
    }
    return MU_OK;
}

/* All in flight at once, waited for in another order than they went. */
static enum mu_status push_several(struct actor *actor, struct mu_ps *ps)
{
    float gradients[COUNT], fresh[COUNT];
    int push[3];
    for (size_t i = 0; i < COUNT; i++)
        gradients[i] = 1;
    MU_TRY(mu_ps_pull(ps, actor->vector, &actor->version));
    for (int k = 0; k < PUSHES; k++) {
        for (int i = 0; i < 3; i++)
            MU_TRY(mu_ps_push(ps, gradients, actor->version, i == 1 ? fresh : NULL, &push[i]));
        for (int i = 2; i >= 0; i--)
            MU_TRY(mu_ps_wait(ps, push[i], NULL));
        MU_TRY(mu_ps_pull(ps, actor->vector, &actor->version));
    }
    return MU_OK;
}

static enum mu_status misuse(struct actor *actor, struct mu_ps *ps)
{
    float gradients[COUNT] = {0}, fresh[COUNT];
    int push, other;
    MU_TRY(mu_ps_pull(ps, actor->vector, &actor->version));
    if (mu_ps_wait(ps, 0, NULL) != MU_USAGE || !strstr(mu_ps_error(ps), "not under way") ||
        mu_ps_push(ps, gradients, -1, fresh, &push) != MU_USAGE ||
        mu_ps_push(ps, gradients, 0, gradients, &push) != MU_USAGE)
        return MU_BUG;
    MU_TRY(mu_ps_push(ps, gradients, actor->version, fresh, &push));
    if (mu_ps_push(ps, gradients, actor->version, fresh, &other) != MU_USAGE ||
        !strstr(mu_ps_error(ps), "1 pushes are under way") ||
        mu_ps_pull(ps, actor->vector, &actor->version) != MU_USAGE)
        return MU_BUG;
    MU_TRY(mu_ps_wait(ps, push, NULL));
    return mu_ps_pull(ps, actor->vector, &actor->version);
}

static enum mu_status push_nan(struct actor *actor, struct mu_ps *ps)
{
    static const float nan_[COUNT] = {[COUNT - 1] = (float)(0.0 / 0.0)};
    struct mu_ps_result result = {0};
    MU_TRY(mu_ps_push_pull(ps, nan_, 0, actor->vector, &result));
    return result.verdict == MU_VERDICT_REFUSE && result.version == 0 ? MU_OK : MU_BUG;
}

static enum mu_status push_later_than_allowed(struct actor *actor, struct mu_ps *ps)
{
    float gradients[COUNT] = {0};
    struct mu_ps_result result = {0};
    MU_TRY(push_ones(actor, ps));
    MU_TRY(mu_ps_push_pull(ps, gradients, 0, actor->vector, &result));
    return result.verdict == MU_VERDICT_DROP && result.staleness == PUSHES ? MU_OK : MU_BUG;
}

/* ---- rows ---- */

#define FAR (UINT64_C(1) << 40)

static void begin_row(void *row_owner, uint64_t id, float *ret_row)
{
    ret_row[0] = (float)(id % 1000);
    ret_row[1] = -1;
}

static void end_row(void *row_owner, uint64_t id, const float *row)
{
    struct actor *server = row_owner;
    server->row_id[server->row_count] = id;
    memcpy(server->row[server->row_count++], row, sizeof(server->row[0]));
}

static const struct mu_ps_options row_options = {.worker_count = 1,
    .row_width = 2,
    .row_max = 5,
    .optimizer_options = "learning_rate=0.5",
    .row_begin = begin_row,
    .row_end = end_row};

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
    return push_ones(actor, ps);
}

/* ---- claims ---- */

static void rows_of_all_pushes_are_added_up(void **state)
{
    for (int workers = 1; workers <= WORKERS; workers += WORKERS - 1) {
        static struct party party;
        party = (struct party){.options = row_options, .work = push_rows};
        party.options.worker_count = workers;
        run_party(&party);
        all_ended_well(&party);
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
    party = (struct party){.options = row_options, .work = push_dense};
    party.options.row_ids = FEW;
    party.options.row_dense = 1;
    run_party(&party);
    all_ended_well(&party);
    assert_int_equal(party.servers[0].row_count + party.servers[1].row_count, FEW);
    for (int s = 0; s < SERVERS; s++)
        for (int i = 0; i < party.servers[s].row_count; i++) {
            uint64_t id = party.servers[s].row_id[i];
            bool touched = id == 2 || id == FEW - 1;
            assert_true(id < FEW);
            assert_int_equal(party.servers[s].row[i][1] != -1, touched);
        }
}

static void dense_rows_without_a_bound_are_refused(void **state)
{
    struct mu_ps_options options = row_options;
    static const char *const servers[] = {"127.0.0.1:1"};
    options.servers = servers;
    options.server_count = options.worker_count = 1;
    options.count = COUNT;
    options.row_dense = 1;
    assert_int_equal(mu_ps_serve(&options, NULL), MU_USAGE);
    assert_non_null(strstr(mu_ps_error(NULL), "say row_ids"));
}

static void misuse_of_rows_is_said_and_does_no_harm(void **state)
{
    static struct party party, without = {.work = want_rows_of_no_table};
    party = (struct party){.options = row_options, .work = misuse_rows};
    run_party(&party);
    all_ended_well(&party);
    run_party(&without);
    all_ended_well(&without);
}

static void an_id_beyond_those_declared_goes_nowhere(void **state)
{
    static struct party party;
    party = (struct party){.options = row_options, .work = use_far_ids};
    party.options.row_ids = IDS;
    run_party(&party);
    all_ended_well(&party);
    assert_int_equal(party.servers[0].row_count + party.servers[1].row_count, 0);
}

/* With its sound neighbour, which may be another server's. */
static void servers_refuse_it_with_the_worker_and_the_reason(void **state)
{
    static struct party party;
    party =
        (struct party){.options = row_options, .work = push_far_ids, .only_servers_know_ids = true};
    party.options.row_ids = IDS;
    run_party(&party);
    assert_int_equal(party.workers[0].status, MU_OK);
    assert_int_equal(party.servers[0].status, MU_PROTOCOL);
    assert_non_null(strstr(party.servers[0].error,
        "worker/0 sent 3 gradients in a row that were refused, the last with an id out of range"));
    assert_non_null(strstr(party.servers[0].error, "E0406"));
    assert_int_equal(party.servers[0].row_count + party.servers[1].row_count, 0);
}

static void every_gradient_is_applied_once(void **state)
{
    static struct party party = {
        .options = {.worker_count = WORKERS, .optimizer_options = "learning_rate=0.5"},
        .work = push_ones};
    run_party(&party);
    all_ended_well(&party);
    for (int s = 0; s < SERVERS; s++) {
        size_t first, count = mu_ps_span(COUNT, SERVERS, s, &first);
        for (size_t i = first; i < first + count; i++)
            assert_true(party.servers[s].vector[i] == (float)i - 0.5f * WORKERS * PUSHES);
    }
    for (int w = 0; w < WORKERS; w++)
        assert_in_range(party.workers[w].version, PUSHES, WORKERS * PUSHES);
}

static void several_pushes_are_under_way_at_once(void **state)
{
    static struct party party = {
        .options = {.in_flight = 4, .optimizer = "sgd", .optimizer_options = "learning_rate=1"},
        .work = push_several};
    run_party(&party);
    all_ended_well(&party);
    assert_int_equal(party.workers[0].version, 3 * PUSHES);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(party.workers[0].vector[i] == (float)i - 3 * PUSHES);
}

static void sync_makes_one_step_of_all_workers(void **state)
{
    static struct party party = {.options = {.worker_count = WORKERS,
                                     .mode = "sync",
                                     .optimizer_options = "learning_rate=1"},
        .work = push_ones};
    run_party(&party);
    all_ended_well(&party);
    for (int w = 0; w < WORKERS; w++) {
        assert_int_equal(party.workers[w].version, PUSHES);
        assert_true(party.workers[w].vector[7] == 7.0f - PUSHES);
    }
}

static void a_policy_has_its_say(void **state)
{
    static struct party party = {
        .options = {.policy = "drop", .bound = PUSHES - 1}, .work = push_later_than_allowed};
    run_party(&party);
    all_ended_well(&party);
}

static void what_is_no_gradient_is_refused(void **state)
{
    static struct party party = {.work = push_nan};
    run_party(&party);
    all_ended_well(&party);
}

static void misuse_is_said_and_does_no_harm(void **state)
{
    static struct party party = {.work = misuse};
    run_party(&party);
    all_ended_well(&party);
}

static void a_wrong_option_is_said_before_anybody_is_waited_for(void **state)
{
    static const char *const address[] = {"127.0.0.1:1"};
    static const struct {
        struct mu_ps_options options;
        const char *said;
    } cases[] = {
        {{.count = 1, .in_flight = 65}, "in_flight is 65"},
        {{.count = 0}, "count is 0"},
        {{.count = 1, .optimizer = "adamm"}, "did you mean `adam`?"},
        {{.count = 1, .optimizer_options = "learning_rat=1"}, "did you mean `learning_rate`?"},
        {{.count = 1, .optimizer_options = "learning_rate"}, "is not key=value"},
        {{.count = 1, .optimizer_options = "momentum=0.9"}, "there is no option `momentum`"},
        {{.count = 1, .optimizer_options = "clip_norm=1"}, "there is no option `clip_norm`"},
        {{.count = 1, .policy = "scal"}, "did you mean `scale`?"},
        {{.count = 1, .policy = "scale", .policy_options = "power=x"}, "power"},
        {{.count = 1, .mode = "asinc"}, "did you mean `async`?"},
        {{.count = 1, .mode = "sync", .policy = "scale"}, "has nothing to do in mode `sync`"},
        {{.count = 1, .mode = "sync", .in_flight = 2}, "waits for the answer"},
        {{.count = 1, .backups = 1}, "1 backups of 1 workers"},
        {{.count = 1, .row_width = 4}, "row_max is 0"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(cases); i++) {
        struct mu_ps_options options = cases[i].options;
        options.servers = address;
        options.server_count = options.worker_count = 1;
        options.timeout_seconds = 5;
        assert_int_equal(mu_ps_serve(&options, NULL), MU_USAGE);
        if (!strstr(mu_ps_error(NULL), cases[i].said))
            fail_msg("%s", mu_ps_error(NULL));
    }
}

static enum mu_status go_without_closing(struct actor *actor, struct mu_ps *ps)
{
    /* A vector of another length: the handle only serves to be closed. */
    return mu_ps_pull(ps, actor->vector, &actor->version);
}

static void *serve_longer(void *argument)
{
    struct actor *actor = argument;
    struct mu_ps_options options = options_of(actor);
    options.count = COUNT + 16;
    actor->status = mu_ps_serve(&options, NULL);
    snprintf(actor->error, sizeof(actor->error), "%s", mu_ps_error(NULL));
    return NULL;
}

static void vectors_of_two_lengths_do_not_go_together(void **state)
{
    static struct party party = {.server_count = 1, .work = go_without_closing};
    party.options =
        (struct mu_ps_options){.count = COUNT, .worker_count = 1, .timeout_seconds = 30};
    find_ports(&party);
    start(&party.servers[0], &party, 0, serve_longer);
    start(&party.workers[0], &party, 0, work);
    pthread_join(party.workers[0].thread, NULL);
    pthread_join(party.servers[0].thread, NULL);
    assert_int_equal(party.workers[0].status, MU_PROTOCOL);
    assert_non_null(strstr(party.workers[0].error, "of another length"));
    /* And so a worker is lost to the server, which says whom. */
    assert_int_equal(party.servers[0].status, MU_CLOSED);
    assert_non_null(strstr(party.servers[0].error, "worker/0 is gone without having closed"));
}

static void who_does_not_come_is_named(void **state)
{
    static struct party party = {.server_count = 1};
    struct mu_ps *ps;
    find_ports(&party);
    const struct mu_ps_options options = {.servers = party.addresses,
        .server_count = 1,
        .worker_count = 2,
        .index = 1,
        .count = COUNT,
        .timeout_seconds = 0.1};
    assert_int_equal(mu_ps_open(&options, &ps), MU_UNAVAILABLE);
    assert_non_null(strstr(mu_ps_error(NULL), "ps/0 (127.0.0.1:"));
    assert_int_equal(mu_ps_serve(&(struct mu_ps_options){.servers = party.addresses,
                                     .server_count = 1,
                                     .worker_count = 2,
                                     .count = COUNT,
                                     .timeout_seconds = 0.1},
                         NULL),
        MU_UNAVAILABLE);
    assert_non_null(strstr(mu_ps_error(NULL), "worker/0: it has not called; worker/1"));
}

/* ---- a server that is stopped ---- */

/* Of another process, with one worker, which has its parameters. */
static struct mu_ps *open_and_stop(pid_t *ret_server)
{
    static struct party party;
    struct mu_ps *ps;
    party = (struct party){.server_count = 1, .options = row_options};
    party.options.count = COUNT;
    party.options.timeout_seconds = 30;
    find_ports(&party);
    struct actor *worker = &party.workers[0];
    worker->party = &party;
    const struct mu_ps_options options = options_of(worker);
    *ret_server = fork();
    assert_true(*ret_server >= 0);
    if (*ret_server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(mu_ps_serve(&options, NULL) == MU_OK ? 0 : 1);
    }
    assert_ok(mu_ps_open(&options, &ps));
    assert_ok(mu_ps_pull(ps, worker->vector, &worker->version));
    kill(*ret_server, SIGSTOP);
    assert_int_equal(waitpid(*ret_server, NULL, WUNTRACED), *ret_server);
    ps->place.timeout_ns = MU_MS;
    return ps;
}

static enum mu_status just_pull(struct mu_ps *ps)
{
    static float parameters[COUNT];
    int64_t version;
    return mu_ps_pull(ps, parameters, &version);
}

static enum mu_status just_pull_rows(struct mu_ps *ps)
{
    static const uint64_t id = 7;
    static float row[2];
    return mu_ps_pull_rows(ps, &id, 1, row);
}

static enum mu_status just_push_pull(struct mu_ps *ps)
{
    static float parameters[COUNT];
    static const float gradients[COUNT];
    return mu_ps_push_pull(ps, gradients, 0, parameters, NULL);
}

static void a_call_that_nobody_can_wait_for_again_breaks_the_handle(void **state)
{
    enum mu_status (*const calls[])(struct mu_ps * ps) = {
        just_pull, just_pull_rows, just_push_pull};
    for (size_t i = 0; i < MU_COUNT_OF(calls); i++) {
        pid_t server;
        char first[200], then[200];
        struct mu_ps *ps = open_and_stop(&server);
        enum mu_status in_vain = calls[i](ps);
        snprintf(first, sizeof(first), "%s", mu_ps_error(ps));
        enum mu_status again = calls[i](ps);
        snprintf(then, sizeof(then), "%s", mu_ps_error(ps));
        mu_ps_close(ps);
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
        assert_int_equal(in_vain, MU_TIMEOUT);
        assert_non_null(strstr(first, "has not answered a pu"));
        assert_int_equal(again, MU_BROKEN);
        assert_string_equal(then, first);
    }
}

static void a_push_that_has_not_been_answered_can_be_waited_for_again(void **state)
{
    static const float gradients[COUNT];
    pid_t server;
    int push, code;
    struct mu_ps_result result;
    struct mu_ps *ps = open_and_stop(&server);
    enum mu_status pushed = mu_ps_push(ps, gradients, 0, NULL, &push);
    enum mu_status in_vain = mu_ps_wait(ps, push, NULL);
    kill(server, SIGCONT);
    assert_ok(pushed);
    assert_int_equal(in_vain, MU_TIMEOUT);
    ps->place.timeout_ns = 30 * MU_SECOND;
    assert_ok(mu_ps_wait(ps, push, &result));
    assert_int_equal(result.version, 1);
    assert_ok(just_push_pull(ps));
    mu_ps_close(ps);
    assert_int_equal(waitpid(server, &code, 0), server);
    assert_int_equal(code, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_beyond_those_declared_goes_nowhere),
        cmocka_unit_test(servers_refuse_it_with_the_worker_and_the_reason),
        cmocka_unit_test(every_gradient_is_applied_once),
        cmocka_unit_test(several_pushes_are_under_way_at_once),
        cmocka_unit_test(sync_makes_one_step_of_all_workers),
        cmocka_unit_test(rows_of_all_pushes_are_added_up),
        cmocka_unit_test(dense_rows_are_all_there_at_the_end),
        cmocka_unit_test(dense_rows_without_a_bound_are_refused),
        cmocka_unit_test(misuse_of_rows_is_said_and_does_no_harm),
        cmocka_unit_test(a_policy_has_its_say),
        cmocka_unit_test(what_is_no_gradient_is_refused),
        cmocka_unit_test(misuse_is_said_and_does_no_harm),
        cmocka_unit_test(a_wrong_option_is_said_before_anybody_is_waited_for),
        cmocka_unit_test(vectors_of_two_lengths_do_not_go_together),
        cmocka_unit_test(who_does_not_come_is_named),
        cmocka_unit_test(a_call_that_nobody_can_wait_for_again_breaks_the_handle),
        cmocka_unit_test(a_push_that_has_not_been_answered_can_be_waited_for_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

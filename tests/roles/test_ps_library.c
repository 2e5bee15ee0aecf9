/* SPDX-License-Identifier: Apache-2.0 */
#include "party.h"
#include "roles/library/library_help.h"
#include <math.h>

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

static bool is_misuse(struct mu_ps *ps, enum mu_status status, const char *said)
{
    return status == MU_USAGE && strstr(mu_ps_error(ps), said) != NULL;
}

/* Each pointer once, and then what may be NULL. */
static enum mu_status give_nothing(struct actor *actor, struct mu_ps *ps)
{
    static const uint64_t id = 1;
    float gradients[COUNT] = {0}, fresh[COUNT], row[2] = {0};
    int push;
    struct mu_ps_result result = {.refused = ""};
    const struct mu_ps_rows no_ids = {.gradients = row, .count = 1},
                            no_gradients = {.ids = &id, .count = 1},
                            no_wanted = {.rows = row, .wanted_count = 1},
                            no_rows = {.wanted = &id, .wanted_count = 1};
    const struct mu_ps_rows *const lacking[] = {&no_ids, &no_gradients, &no_wanted, &no_rows};
    bool told = is_misuse(ps, mu_ps_pull(ps, NULL, &actor->version), "parameters is NULL") &&
                is_misuse(ps, mu_ps_push(ps, NULL, 0, fresh, &push), "gradients is NULL") &&
                is_misuse(ps, mu_ps_push(ps, NULL, 0, NULL, &push), "gradients is NULL") &&
                is_misuse(ps, mu_ps_push(ps, gradients, 0, fresh, NULL), "ret_push is NULL") &&
                is_misuse(ps, mu_ps_push_pull(ps, NULL, 0, fresh, NULL), "gradients is NULL") &&
                is_misuse(ps, mu_ps_push_rows(ps, NULL, 0, fresh, NULL, &push), "is NULL") &&
                is_misuse(ps, mu_ps_push_rows(ps, gradients, 0, fresh, NULL, NULL), "is NULL") &&
                is_misuse(ps, mu_ps_pull_rows(ps, NULL, 1, row), "without their vectors") &&
                is_misuse(ps, mu_ps_pull_rows(ps, &id, 1, NULL), "without their vectors");
    for (size_t i = 0; i < MU_COUNT_OF(lacking); i++)
        told = told && is_misuse(ps, mu_ps_push_rows(ps, gradients, 0, fresh, lacking[i], &push),
                           "without their vectors");
    MU_TRY(mu_ps_pull(ps, fresh, NULL));
    MU_TRY(mu_ps_push_rows(ps, gradients, 0, NULL, NULL, &push));
    MU_TRY(mu_ps_wait(ps, push, NULL));
    MU_TRY(mu_ps_push_pull(ps, gradients, 1, NULL, &result));
    return told && !result.refused ? MU_OK : MU_BUG;
}

static enum mu_status push_nan(struct actor *actor, struct mu_ps *ps)
{
    static const float nan_[COUNT] = {[COUNT - 1] = (float)(0.0 / 0.0)};
    struct mu_ps_result result = {0};
    MU_TRY(mu_ps_push_pull(ps, nan_, 0, actor->vector, &result));
    if (result.verdict != MU_VERDICT_REFUSE || result.version != 0)
        return MU_BUG;
    return strcmp(result.refused, "with NaN or infinity") == 0 ? MU_OK : MU_BUG;
}

/* Each gradient is as late as there were others before it. */
static enum mu_status push_ever_later(struct actor *actor, struct mu_ps *ps)
{
    float gradients[COUNT] = {0};
    struct mu_ps_result result = {0};
    for (int i = 0; i < PUSHES; i++) {
        enum mu_verdict verdict = i > 1 ? MU_VERDICT_SCALE : MU_VERDICT_APPLY;
        MU_TRY(mu_ps_push_pull(ps, gradients, 0, actor->vector, &result));
        if (result.verdict != verdict || result.staleness != i ||
            result.scale != (i > 1 ? 1 / (float)i : 1))
            return MU_BUG;
    }
    return MU_OK;
}

static enum mu_status push_later_than_allowed(struct actor *actor, struct mu_ps *ps)
{
    float gradients[COUNT] = {0};
    struct mu_ps_result result = {0};
    MU_TRY(party_push_ones(actor, ps));
    MU_TRY(mu_ps_push_pull(ps, gradients, 0, actor->vector, &result));
    return result.verdict == MU_VERDICT_DROP && result.staleness == PUSHES ? MU_OK : MU_BUG;
}

/* ---- claims ---- */

static void every_gradient_is_applied_once(void **state)
{
    static struct party party = {
        .options = {.worker_count = WORKERS, .optimizer_options = "learning_rate=0.5"},
        .work = party_push_ones};
    party_run(&party);
    party_all_ended_well(&party);
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
    party_run(&party);
    party_all_ended_well(&party);
    assert_int_equal(party.workers[0].version, 3 * PUSHES);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(party.workers[0].vector[i] == (float)i - 3 * PUSHES);
}

static void sync_makes_one_step_of_all_workers(void **state)
{
    static struct party party = {.options = {.worker_count = WORKERS,
                                     .mode = "sync",
                                     .optimizer_options = "learning_rate=1"},
        .work = party_push_ones};
    party_run(&party);
    party_all_ended_well(&party);
    for (int w = 0; w < WORKERS; w++) {
        assert_int_equal(party.workers[w].version, PUSHES);
        assert_true(party.workers[w].vector[7] == 7.0f - PUSHES);
    }
}

static void a_policy_has_its_say(void **state)
{
    static struct party party = {
        .options = {.policy = "drop", .bound = PUSHES - 1}, .work = push_later_than_allowed};
    party_run(&party);
    party_all_ended_well(&party);
}

static void what_a_policy_says_comes_back(void **state)
{
    static struct party party = {.options = {.policy = "scale"}, .work = push_ever_later};
    party_run(&party);
    party_all_ended_well(&party);
}

static void what_is_no_gradient_is_refused(void **state)
{
    static struct party party = {.work = push_nan};
    party_run(&party);
    party_all_ended_well(&party);
}

static void misuse_is_said_and_does_no_harm(void **state)
{
    static struct party party = {.work = misuse};
    party_run(&party);
    party_all_ended_well(&party);
}

static void a_pointer_that_is_null_is_said_and_does_no_harm(void **state)
{
    static struct party party = {.work = give_nothing};
    party.options = (struct mu_ps_options){.row_width = 2, .row_max = 5};
    party_run(&party);
    party_all_ended_well(&party);
}

static enum mu_status nothing(struct actor *actor, struct mu_ps *ps)
{
    return MU_OK;
}

static void options_may_have_blanks_and_commas_between_them(void **state)
{
    static const char *const texts[] = {"", " ", " learning_rate=0.5 ",
        "learning_rate=0.5,weight_decay=1", "learning_rate=0.5 ,\n weight_decay=1",
        "learning_rate=0.5 weight_decay=1"};
    for (size_t i = 0; i < MU_COUNT_OF(texts); i++) {
        static struct party party;
        party = (struct party){.options = {.optimizer_options = texts[i]}, .work = nothing};
        party_run(&party);
        party_all_ended_well(&party);
    }
}

static void backups_are_of_mode_sync(void **state)
{
    static const char *const nowhere[] = {"127.0.0.1:1"};
    const struct mu_ps_options options = {
        .servers = nowhere, .server_count = 1, .worker_count = 2, .count = 1, .backups = 1};
    assert_true(is_misuse(NULL, mu_ps_serve(&options, NULL), "use mode sync, or leave out"));
}

static void where_there_is_no_handle_it_is_said(void **state)
{
    float x[1] = {0};
    int push;
    assert_true(is_misuse(NULL, mu_ps_pull(NULL, x, NULL), "the handle is NULL"));
    assert_true(is_misuse(NULL, mu_ps_pull_rows(NULL, NULL, 0, x), "the handle is NULL"));
    assert_true(is_misuse(NULL, mu_ps_push(NULL, x, 0, NULL, &push), "the handle is NULL"));
    assert_true(
        is_misuse(NULL, mu_ps_push_rows(NULL, x, 0, NULL, NULL, &push), "the handle is NULL"));
    assert_true(is_misuse(NULL, mu_ps_push_pull(NULL, x, 0, NULL, NULL), "the handle is NULL"));
    assert_true(is_misuse(NULL, mu_ps_wait(NULL, 0, NULL), "the handle is NULL"));
    assert_int_equal(mu_ps_worker(NULL), -1);
    assert_int_equal(mu_ps_worker_count(NULL), -1);
    assert_int_equal(mu_ps_row_count(NULL), -1);
    mu_ps_close(NULL);
}

static void a_handle_that_is_not_opened_is_null(void **state)
{
    static const char *const nowhere[] = {NULL};
    struct mu_ps_options options = {.count = 1, .worker_count = 1, .timeout_seconds = 0.1};
    struct mu_ps *ps = (struct mu_ps *)(uintptr_t)&options;
    assert_int_equal(mu_ps_open(NULL, &ps), MU_USAGE);
    assert_null(ps);
    ps = (struct mu_ps *)(uintptr_t)&options;
    options.servers = nowhere;
    options.server_count = 1;
    assert_true(is_misuse(NULL, mu_ps_open(&options, &ps), "servers[0] is NULL"));
    assert_null(ps);
    assert_true(is_misuse(NULL, mu_ps_serve(&options, NULL), "servers[0] is NULL"));
    assert_true(is_misuse(NULL, mu_ps_open(&options, NULL), "ret_ps is NULL"));
    assert_true(is_misuse(NULL, mu_ps_serve(NULL, NULL), "options is NULL"));
}

static void there_is_nothing_on_a_server_that_is_not_there(void **state)
{
    size_t first = 7;
    assert_int_equal(mu_ps_span(COUNT, 2, 1, NULL), COUNT - mu_ps_span(COUNT, 2, 0, &first));
    assert_int_equal(mu_ps_span(COUNT, 2, 2, &first), 0);
    assert_int_equal(mu_ps_span(COUNT, 0, 0, &first), 0);
    assert_int_equal(mu_ps_span(COUNT, 2, -1, &first), 0);
    assert_int_equal(first, 0);
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
        {{.count = 1, .transport = "shmem"}, "there is no transport `shmem`"},
        {{.count = 1, .transport = "rout"}, "did you mean `route`?"},
        {{.count = 1, .mode = "asinc"}, "did you mean `async`?"},
        {{.count = 1, .mode = "sync", .policy = "scale"}, "has nothing to do in mode `sync`"},
        {{.count = 1, .mode = "sync", .in_flight = 2}, "waits for the answer"},
        {{.count = 1, .backups = 1}, "1 backups of 1 workers"},
        {{.count = 1, .row_width = 4}, "row_max is 0"},
        {{.count = 1, .row_width = SIZE_MAX / 4 + 2, .row_max = 1}, "of 0 to 268435456"},
        {{.count = SIZE_MAX}, "of 1 to 17179869184"},
        {{.count = 1, .timeout_seconds = -1}, "timeout_seconds is -1"},
        {{.count = 1, .timeout_seconds = NAN}, "timeout_seconds is "},
        {{.count = 1, .optimizer_options = "learning_rate=0.1,,"}, "no option beside it"},
        {{.count = 1, .optimizer_options = ", learning_rate=0.1"}, "no option beside it"},
        {{.count = 1, .optimizer_options = "learning_rate=0.1 ,\n, weight_decay=1"}, "no option"},
        {{.count = 1, .optimizer_options = "learning_rate=1, weight_decay=0, learning_rate=1"},
            "`learning_rate` is said twice"},
        {{.count = 1, .mode = "async", .gradients = 5}, "use mode softsync"},
        {{.count = 1, .bound = 5}, "use mode bounded or policy drop"},
        {{.count = 1, .mode = "sync", .gradients = 2}, "use mode softsync"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(cases); i++) {
        struct mu_ps_options options = cases[i].options;
        options.servers = address;
        options.server_count = options.worker_count = 1;
        if (options.timeout_seconds == 0)
            options.timeout_seconds = 5;
        assert_int_equal(mu_ps_serve(&options, NULL), MU_USAGE);
        if (!strstr(mu_ps_error(NULL), cases[i].said) || strstr(mu_ps_error(NULL), "muster --help"))
            fail_msg("%s", mu_ps_error(NULL));
    }
}

static void who_does_not_come_is_named(void **state)
{
    static struct party party = {.server_count = 1};
    struct mu_ps *ps;
    party_find_ports(&party);
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

/* Neither in general nor where a server or worker knows more of it. */
static void no_error_tells_a_caller_to_use_the_trainer(void **state)
{
    static const char *const theirs[] = {"--", "muster ", "mode.", "data.", "optimizer.", "job"};
    static const char *const known[] = {"use a larger mode.row_limit, or a smaller data.batch",
        "add parameter servers, or leave out `mode.rows` dense: rows then begin at first touch",
        "add --cluster FILE, or set TF_CONFIG"};
    for (enum mu_error error = 0; error < MU_ERROR_COUNT; error++)
        for (size_t i = 0; i <= MU_COUNT_OF(known); i++) {
            const char *help = i < MU_COUNT_OF(known) ? known[i] : mu_error_remedy(error);
            const char *said = mu_library_help(error, help);
            for (size_t j = 0; j < MU_COUNT_OF(theirs); j++)
                if (strstr(said, theirs[j]))
                    fail_msg("E%04d: %s", mu_error_number(error), said);
        }
    assert_string_equal(mu_library_help(MU_E0302, "take another port"), "take another port");
}

/* In its own words. */
static void a_table_that_cannot_be_is_said_in_fields_of_the_options(void **state)
{
    static const char *const nowhere[] = {"127.0.0.1:1"};
    struct mu_ps_options options = party_row_options;
    options.servers = nowhere;
    options.server_count = 1;
    options.count = COUNT;
    options.row_limit = 1;
    assert_int_equal(mu_ps_serve(&options, NULL), MU_CONFIG);
    assert_non_null(strstr(mu_ps_error(NULL), "a row_limit must have room"));
    options.row_limit = 0;
    options.row_max = (size_t)1 << 40;
    assert_int_equal(mu_ps_serve(&options, NULL), MU_CONFIG);
    assert_non_null(strstr(mu_ps_error(NULL), "use a smaller row_max"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_gradient_is_applied_once),
        cmocka_unit_test(several_pushes_are_under_way_at_once),
        cmocka_unit_test(sync_makes_one_step_of_all_workers),
        cmocka_unit_test(a_policy_has_its_say),
        cmocka_unit_test(what_a_policy_says_comes_back),
        cmocka_unit_test(what_is_no_gradient_is_refused),
        cmocka_unit_test(misuse_is_said_and_does_no_harm),
        cmocka_unit_test(a_pointer_that_is_null_is_said_and_does_no_harm),
        cmocka_unit_test(options_may_have_blanks_and_commas_between_them),
        cmocka_unit_test(backups_are_of_mode_sync),
        cmocka_unit_test(where_there_is_no_handle_it_is_said),
        cmocka_unit_test(a_handle_that_is_not_opened_is_null),
        cmocka_unit_test(there_is_nothing_on_a_server_that_is_not_there),
        cmocka_unit_test(a_wrong_option_is_said_before_anybody_is_waited_for),
        cmocka_unit_test(who_does_not_come_is_named),
        cmocka_unit_test(no_error_tells_a_caller_to_use_the_trainer),
        cmocka_unit_test(a_table_that_cannot_be_is_said_in_fields_of_the_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "party.h"

/* Servers and workers of muster/ps.h that were told different things. */

static enum mu_status just_pull(struct actor *actor, struct mu_ps *ps)
{
    return mu_ps_pull(ps, actor->vector, &actor->version);
}

/* Each of them is told of it, and who is named in it. */
static void ended_with(const struct actor *actor, const char *said)
{
    if (actor->status != MU_PROTOCOL || !strstr(actor->error, "E0305") ||
        !strstr(actor->error, said))
        fail_msg("not `%s` but: %s", said, actor->error);
}

static void all_ended_with(const struct party *party, const char *said)
{
    for (int i = 0; i < party->options.worker_count; i++)
        ended_with(&party->workers[i], said);
    for (int i = 0; i < party->server_count; i++)
        ended_with(&party->servers[i], said);
}

/* ---- claims ---- */

#define WITH_ROWS .row_width = 4, .row_max = 10

static const struct {
    struct mu_ps_options options, odd; /* of all others, and of the one that differs */
    const char *said;
} servers_differ[] = {
    /* Of these two a worker may be the first to tell. */
    {{.count = 100}, {.count = 90}, "count is "},
    {{WITH_ROWS}, {.row_width = 0}, "row_width is "},
    {{.mode = "softsync", .gradients = 2}, {.mode = "async"},
        "mode is softsync on ps/0 and async on ps/1"},
    {{.mode = "async"}, {.mode = "softsync", .gradients = 2},
        "mode is async on ps/0 and softsync on ps/1"},
    {{.mode = "softsync", .gradients = 2}, {.mode = "softsync", .gradients = 3},
        "gradients is 2 on ps/0 and 3 on ps/1"},
    {{.mode = "bounded", .bound = 2}, {.mode = "bounded", .bound = 3},
        "bound is 2 on ps/0 and 3 on ps/1"},
    {{.optimizer = NULL}, {.optimizer = "adam"}, "optimizer is sgd on ps/0 and adam on ps/1"},
    {{.optimizer_options = NULL}, {.optimizer_options = "learning_rate=0.5"},
        "optimizer_options.learning_rate is 0.01 on ps/0 and 0.5 on ps/1"},
    {{.optimizer = "adam"}, {.optimizer = "adam", .optimizer_options = "beta1=0.5"},
        "optimizer_options.beta1 is 0.9 on ps/0 and 0.5 on ps/1"},
    {{.policy = NULL}, {.policy = "compensate"}, "policy is apply on ps/0 and compensate on ps/1"},
    {{.policy = "scale"}, {.policy = "scale", .policy_options = "power=0.5"},
        "policy_options.power is 1 on ps/0 and 0.5 on ps/1"},
    {{WITH_ROWS, .row_limit = 20}, {WITH_ROWS}, "row_limit is 20 on ps/0 and 0 on ps/1"},
    {{WITH_ROWS, .row_ids = 5, .row_dense = 1}, {WITH_ROWS, .row_ids = 5},
        "row_dense is 1 on ps/0 and 0 on ps/1"},
    {{WITH_ROWS, .row_begin = party_begin_row}, {WITH_ROWS},
        "row_begin is given on ps/0 and NULL on ps/1"},
};

static const struct {
    struct mu_ps_options options, odd;
    const char *said;
} workers_differ[] = {
    {{.count = 100}, {.count = 90}, "count is 100 on ps/0 and 90 on worker/0"},
    {{WITH_ROWS}, {.row_width = 5, .row_max = 10}, "row_width is 4 on ps/0 and 5 on worker/0"},
    {{WITH_ROWS}, {.row_width = 4, .row_max = 50}, "row_max is 10 on ps/0 and 50 on worker/0"},
    {{WITH_ROWS, .row_ids = 5}, {WITH_ROWS, .row_ids = 6},
        "row_ids is 5 on ps/0 and 6 on worker/0"},
    {{WITH_ROWS, .row_ids = 5, .row_range = 1}, {WITH_ROWS, .row_ids = 5},
        "row_range is 1 on ps/0 and 0 on worker/0"},
    {{.row_width = 0}, {WITH_ROWS}, "row_width is 0 on ps/0 and 4 on worker/0"},
};

/* Whoever disagrees stays for a while and tells those who come: all parties at once. */
static struct party parties[MU_COUNT_OF(servers_differ)];

static struct party *prepare(size_t i, struct mu_ps_options options, struct mu_ps_options odd)
{
    struct party *party = &parties[i];
    *party = (struct party){.options = options, .odd_options = odd, .work = just_pull};
    party_prepare(party);
    if (odd.count == 0)
        party->odd_options.count = party->options.count;
    return party;
}

static void run(size_t count)
{
    for (size_t i = 0; i < count; i++)
        party_start_all(&parties[i]);
    for (size_t i = 0; i < count; i++)
        party_join(&parties[i]);
}

static void the_first_option_in_which_two_servers_differ_is_named(void **state)
{
    for (size_t i = 0; i < MU_COUNT_OF(servers_differ); i++) {
        struct party *party = prepare(i, servers_differ[i].options, servers_differ[i].odd);
        party->odd = &party->servers[1];
    }
    run(MU_COUNT_OF(servers_differ));
    for (size_t i = 0; i < MU_COUNT_OF(servers_differ); i++)
        all_ended_with(&parties[i], servers_differ[i].said);
}

static void a_worker_that_speaks_of_another_vector_or_other_rows_is_told(void **state)
{
    static_assert(MU_COUNT_OF(workers_differ) <= MU_COUNT_OF(parties), "each has a party");
    for (size_t i = 0; i < MU_COUNT_OF(workers_differ); i++) {
        struct party *party = prepare(i, workers_differ[i].options, workers_differ[i].odd);
        party->server_count = 1;
        party->odd = &party->workers[0];
    }
    run(MU_COUNT_OF(workers_differ));
    for (size_t i = 0; i < MU_COUNT_OF(workers_differ); i++)
        all_ended_with(&parties[i], workers_differ[i].said);
}

/* Of the table, of its ids, and of all that is the servers'. */
static void what_a_worker_does_not_say_is_free(void **state)
{
    static const struct {
        struct mu_ps_options options, odd;
    } cases[] = {
        {{WITH_ROWS, .row_ids = 5}, {WITH_ROWS}},
        {{WITH_ROWS}, {.row_width = 0}},
        {{WITH_ROWS, .row_limit = 20, .row_begin = party_begin_row}, {WITH_ROWS}},
        {{.optimizer = "adam", .mode = "softsync", .gradients = 2, .policy = "scale"},
            {.mode = NULL}},
    };
    for (size_t i = 0; i < MU_COUNT_OF(cases); i++) {
        struct party *party = prepare(i, cases[i].options, cases[i].odd);
        party->odd = &party->workers[0];
    }
    run(MU_COUNT_OF(cases));
    for (size_t i = 0; i < MU_COUNT_OF(cases); i++)
        party_all_ended_well(&parties[i]);
}

/* The first one is welcome, and already waits for its parameters. */
static void who_came_before_the_one_that_differs_is_told_by_the_next_call(void **state)
{
    struct party *party =
        prepare(0, (struct mu_ps_options){.worker_count = 2}, (struct mu_ps_options){.count = 90});
    struct actor *early = &party->workers[0];
    struct mu_ps *ps;
    party->server_count = 1;
    party->odd = &party->workers[1];
    early->party = party;
    party_start(&party->servers[0], party, 0, party_serve);
    const struct mu_ps_options options = party_options_of(early);
    assert_ok(mu_ps_open(&options, &ps));
    party_start(&party->workers[1], party, 1, party_work);
    early->status = just_pull(early, ps);
    snprintf(early->error, sizeof(early->error), "%s", mu_ps_error(ps));
    mu_ps_close(ps);
    pthread_join(party->workers[1].thread, NULL);
    pthread_join(party->servers[0].thread, NULL);
    all_ended_with(party, "count is 1000 on ps/0 and 90 on worker/1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_option_in_which_two_servers_differ_is_named),
        cmocka_unit_test(a_worker_that_speaks_of_another_vector_or_other_rows_is_told),
        cmocka_unit_test(what_a_worker_does_not_say_is_free),
        cmocka_unit_test(who_came_before_the_one_that_differs_is_told_by_the_next_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

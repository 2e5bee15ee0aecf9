/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/transport/inproc.h"
#include "shared_checks.h"
#include <sched.h>

/* ---- ranks that disagree ---- */

static bool holds_only(const float *data, size_t count, float value)
{
    for (size_t i = 0; i < count; i++)
        if (data[i] != value)
            return false;
    return true;
}

/* Rank 2 has one element less than the others. */
static void disagree(struct mu_group *group, struct team_report *report, void *argument)
{
    bool in_arena = *(bool *)argument;
    size_t bytes = 100000 * sizeof(float), count = group->rank == 2 ? 99999 : 100000;
    float *data =
        in_arena ? mu_shared_alloc(group, bytes, team_deadline(group)) : (float *)malloc(bytes);
    for (size_t i = 0; i < 100000; i++)
        data[i] = (float)group->rank;
    sign(group, MU_ALLREDUCE, count);
    struct mu_request request = {.kind = MU_ALLREDUCE, .data = data, .count = count};
    enum mu_status status = mu_direct.run(group, &request, team_deadline(group), &report->culprit);
    const struct mu_signature *theirs = &group->transport->seen[report->culprit].signature;
    CHECK(report, status == MU_PROTOCOL);
    CHECK(report, group->rank == 2 ? report->culprit != 2 : report->culprit == 2);
    CHECK(report, theirs->count == (group->rank == 2 ? 100000 : 99999));
    CHECK(report, holds_only(data, 100000, (float)group->rank));
    if (!in_arena)
        free(data);
}

static void a_mismatch_names_both_sides_and_leaves_memory_untouched(void **state)
{
    (void)state;
    run_team(3, disagree, &(bool){false});
    run_team(3, disagree, &(bool){true});
}

/* Rank 1 does something that is not in shared memory. */
static void go_elsewhere(struct mu_group *group, struct team_report *report, void *argument)
{
    (void)argument;
    if (group->rank == 1) {
        sign(group, MU_BROADCAST, 5);
        mu_shared_note(group->shared, &group->signature, 0);
        return;
    }
    enum mu_status status = barrier(group, 20 * MU_SECOND, &report->culprit);
    CHECK(report, status == MU_PROTOCOL);
    CHECK(report, report->culprit == 1);
    CHECK(report, group->transport->seen[1].signature.count == 5);
}

static void who_waits_here_for_a_rank_in_another_operation_is_told(void **state)
{
    (void)state;
    run_team(2, go_elsewhere, NULL);
}

/* ---- ranks that do not come ---- */

static void stay_away(struct mu_group *group, struct team_report *report, void *argument)
{
    (void)argument;
    if (group->rank == 1)
        return;
    enum mu_status status = barrier(group, SOON, &report->culprit);
    if (group->rank == 0) {
        CHECK(report, status == MU_TIMEOUT);
        CHECK(report, report->culprit == 1);
    } else { /* what it hears of first */
        CHECK(report, status == MU_TIMEOUT || status == MU_CLOSED);
    }
}

static void a_rank_that_does_not_come_ends_in_timeout_with_its_name(void **state)
{
    (void)state;
    run_team(3, stay_away, NULL);
}

/* Rank 1 enters and never comes to the meeting that follows. */
static void stop_inside(struct mu_group *group, struct team_report *report, void *argument)
{
    (void)argument;
    int rank;
    sign(group, MU_ALLREDUCE, 100000);
    if (group->rank == 1) {
        mu_shared_note(group->shared, &group->signature, 0);
        CHECK(report, mu_shared_meet_enter(group, 0, team_deadline(group), &rank) == MU_OK);
        return;
    }
    float *data = calloc(100000, sizeof(float));
    struct mu_request request = {.kind = MU_ALLREDUCE, .data = data, .count = 100000};
    while (atomic_load(&group->shared->ranks[1]->slot[0].epoch) != 2)
        mu_futex_yield();
    enum mu_status status =
        mu_direct.run(group, &request, mu_now(group->world) + SOON, &report->culprit);
    CHECK(report, status == MU_TIMEOUT);
    CHECK(report, report->culprit == 1);
    struct mu_signature seen;
    CHECK(report, mu_shared_seen(group->shared, 1, &seen, NULL) && seen.sequence == 1);
    free(data);
}

static void a_rank_that_stops_inside_ends_in_timeout_with_its_name(void **state)
{
    (void)state;
    run_team(2, stop_inside, NULL);
}

static enum mu_status refuse_at_third(void *owner)
{
    int *calls = owner;
    return ++*calls == 3 ? MU_PREEMPTED : MU_OK;
}

static void be_called_off(struct mu_group *group, struct team_report *report, void *argument)
{
    (void)argument;
    int calls = 0;
    if (group->rank == 1)
        return;
    mu_shared_set_pause(group->shared, refuse_at_third, &calls);
    CHECK(report, barrier(group, 20 * MU_SECOND, &report->culprit) == MU_PREEMPTED);
    CHECK(report, calls == 3);
}

static void what_pause_says_ends_the_wait(void **state)
{
    (void)state;
    run_team(2, be_called_off, NULL);
}

/* ---- ranks that come late ---- */

static void come_when_the_other_sleeps(
    struct mu_group *group, struct team_report *report, void *argument)
{
    (void)argument;
    struct mu_shared *shared = group->shared;
    int64_t deadline = team_deadline(group);
    if (group->rank == 1)
        while (!atomic_load(&shared->ranks[1]->sleepers) && mu_now(group->world) < deadline)
            mu_futex_yield();
    CHECK(report, barrier(group, 20 * MU_SECOND, &report->culprit) == MU_OK);
    CHECK(report, barrier(group, 20 * MU_SECOND, &report->culprit) == MU_OK);
    CHECK(report, mu_now(group->world) < deadline);
    CHECK(report, atomic_load(&shared->ranks[1 - group->rank]->sleepers) == 0); /* it was us */
}

static void who_waits_for_long_sleeps_until_the_other_comes(void **state)
{
    (void)state;
    run_team(2, come_when_the_other_sleeps, NULL);
}

static void open_on(struct mu_group *group, int processor, int *ret_spins)
{
    struct mu_log log;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)processor, &set);
    mu_log_init_stderr(&log, MU_LEVEL_ERROR);
    struct mu_group bound = {.world = group->world,
        .transport = group->transport,
        .rank = group->rank,
        .count = group->count};
    *ret_spins = -1;
    if (sched_setaffinity(0, sizeof(set), &set) == 0 &&
        mu_shared_open_from(&bound, &log, team_deadline(group), group->shared->source) == MU_OK)
        *ret_spins = bound.shared->spins;
    mu_shared_close(bound.shared);
}

static void bind_to_processors(struct mu_group *group, struct team_report *report, void *argument)
{
    const int *processors = argument;
    int spins_together, spins_apart;
    open_on(group, processors[0], &spins_together);
    open_on(group, processors[group->rank], &spins_apart);
    CHECK(report, spins_together > 0 && spins_apart > 10 * spins_together);
}

static void ranks_bound_to_one_processor_yield_early_and_apart_they_spin(void **state)
{
    (void)state;
    int processors[2], found = 0;
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
        if (CPU_ISSET((size_t)i, &set))
            processors[found++] = i;
    if (found < 2)
        skip_saying("one processor only");
    run_team(2, bind_to_processors, processors);
}

/* ---- notes ---- */

static void look_at_notes(struct mu_group *group, struct team_report *report, void *argument)
{
    (void)argument;
    struct mu_shared *shared = group->shared;
    struct mu_signature seen;
    int64_t since_ns = 0;
    CHECK(report, !mu_shared_seen(shared, group->rank, &seen, NULL) && seen.sequence == 0);
    sign(group, MU_BROADCAST, 7);
    mu_shared_note(shared, &group->signature, 17);
    CHECK(report, mu_shared_seen(shared, group->rank, &seen, &since_ns) && since_ns == 17);
    CHECK(report, mu_signature_equal(&seen, &group->signature));
    mu_shared_note(shared, NULL, 0);
    CHECK(report, !mu_shared_seen(shared, group->rank, &seen, NULL) && seen.count == 7);
    /* Stopped while it wrote. */
    atomic_fetch_add(&shared->ranks[group->rank]->note.version, 1);
    CHECK(report, !mu_shared_seen(shared, group->rank, &seen, NULL) && seen.sequence == 0);
}

static void a_note_says_what_a_rank_does_and_whether_it_left(void **state)
{
    (void)state;
    run_team(1 + 1, look_at_notes, NULL);
}

/* ---- arenas ---- */

static void use_arenas(struct mu_group *group, struct team_report *report, void *argument)
{
    (void)argument;
    struct mu_shared *shared = group->shared;
    char *first = mu_shared_alloc(group, 10000, team_deadline(group));
    char *second = mu_shared_alloc(group, 1, team_deadline(group));
    CHECK(report, first && second && first[9999] == 0);
    CHECK(report, mu_shared_contains(shared, first + 5000, 5000));
    CHECK(report, !mu_shared_contains(shared, first + 5000, 10000));
    CHECK(report, !mu_shared_contains(shared, report, 1));
    CHECK(report, mu_shared_where(shared, report, 1) == 0);
    uint64_t where = mu_shared_where(shared, second + 5, 1);
    CHECK(report, mu_shared_at(shared, group->rank, where) == second + 5);
    first[7] = (char)(group->rank + 1);
    CHECK(report, barrier(group, 20 * MU_SECOND, &report->culprit) == MU_OK);
    int peer = 1 - group->rank;
    const char *theirs = mu_shared_at(shared, peer, mu_shared_where(shared, first + 7, 1));
    CHECK(report, *theirs == (char)(peer + 1));
    mu_shared_free(group, first);
    CHECK(report, !mu_shared_contains(shared, first, 1));
    CHECK(report, mu_shared_contains(shared, second, 1));
    mu_shared_free(group, NULL);
}

static void an_arena_is_zeroed_found_and_seen_by_the_other(void **state)
{
    (void)state;
    run_team(2, use_arenas, NULL);
}

static void be_refused(struct mu_group *group, struct team_report *report, void *argument)
{
    (void)argument;
    struct team_rank *rank = (struct team_rank *)group->transport;
    rank->refuses = true;
    CHECK(report, !mu_shared_alloc(group, 1, team_deadline(group)));
    rank->refuses = false;
    CHECK(report, mu_shared_alloc(group, 1, team_deadline(group)));
    int arenas = 1;
    while (mu_shared_alloc(group, 1, team_deadline(group)))
        arenas++;
    CHECK(report, arenas == MU_SHARED_ARENAS_MAX);
}

static void no_memory_on_one_rank_is_no_arena_on_all(void **state)
{
    (void)state;
    run_team(2, be_refused, NULL);
}

/* ---- over a transport, from segments.h ---- */

struct member {
    struct mu_world *world;
    struct mu_inproc_hub *hub;
    int rank;
    struct team_report report;
};

#define WHOLE 3
static const int members[] = {2, 0};

static void join_part(struct mu_group *whole, struct team_report *report)
{
    struct mu_log log;
    struct mu_group part = {0};
    int64_t deadline = mu_now(whole->world) + 20 * MU_SECOND;
    float data[1000];
    mu_log_init_stderr(&log, MU_LEVEL_ERROR);
    CHECK(report, mu_group_init_part(&part, whole, members, 2, 1) == MU_OK);
    CHECK(report, mu_shared_open(&part, &log, deadline) == MU_OK && part.shared);
    if (!report->text[0]) {
        for (int i = 0; i < 1000; i++)
            data[i] = (float)(i * (part.rank + 1));
        sign(&part, MU_ALLREDUCE, 1000);
        struct mu_request request = {.kind = MU_ALLREDUCE, .data = data, .count = 1000};
        CHECK(report, mu_direct.run(&part, &request, deadline, &report->culprit) == MU_OK);
        for (int i = 0; i < 1000; i++)
            CHECK(report, data[i] == (float)(3 * i));
        CHECK(report, mu_shared_alloc(&part, 5000, deadline));
    }
    mu_group_finish(&part);
}

static void run_member(void *argument)
{
    struct member *member = argument;
    struct mu_transport *transport;
    struct mu_group whole = {0};
    CHECK(&member->report, mu_inproc_open(member->hub, member->rank, &transport) == MU_OK);
    CHECK(&member->report, mu_group_init(&whole, member->world, transport) == MU_OK);
    if (!member->report.text[0] && member->rank != 1)
        join_part(&whole, &member->report);
    mu_group_finish(&whole);
}

static void a_sub_group_has_memory_of_its_own(void **state)
{
    (void)state;
    struct mu_real_world real;
    struct mu_inproc_hub *hub;
    struct mu_thread *threads[WHOLE];
    struct member member[WHOLE] = {0};
    assert_ok(mu_real_world_init(&real));
    assert_ok(mu_inproc_hub_create(&real.world, WHOLE, &hub));
    for (int r = 0; r < WHOLE; r++) {
        member[r] = (struct member){.world = &real.world, .hub = hub, .rank = r};
        assert_ok(real.world.ops->spawn(&real.world, "rank", run_member, &member[r], &threads[r]));
    }
    for (int r = 0; r < WHOLE; r++)
        real.world.ops->join(&real.world, threads[r]);
    for (int r = 0; r < WHOLE; r++)
        assert_string_equal(member[r].report.text, "");
    mu_inproc_hub_destroy(hub);
    mu_real_world_finish(&real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mismatch_names_both_sides_and_leaves_memory_untouched),
        cmocka_unit_test(who_waits_here_for_a_rank_in_another_operation_is_told),
        cmocka_unit_test(a_rank_that_does_not_come_ends_in_timeout_with_its_name),
        cmocka_unit_test(a_rank_that_stops_inside_ends_in_timeout_with_its_name),
        cmocka_unit_test(what_pause_says_ends_the_wait),
        cmocka_unit_test(who_waits_for_long_sleeps_until_the_other_comes),
        cmocka_unit_test(ranks_bound_to_one_processor_yield_early_and_apart_they_spin),
        cmocka_unit_test(a_note_says_what_a_rank_does_and_whether_it_left),
        cmocka_unit_test(an_arena_is_zeroed_found_and_seen_by_the_other),
        cmocka_unit_test(no_memory_on_one_rank_is_no_arena_on_all),
        cmocka_unit_test(a_sub_group_has_memory_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "shared_checks.h"
#include <sched.h>
#include <stdatomic.h>

/* Ranks that leave a meeting or die: who waits is told at once, and whose fault it is. */

static void run_team_from(const struct mu_shared_source *source, int ranks,
    void (*body)(struct mu_group *group, struct team_report *report, void *argument),
    void *argument)
{
    struct team team;
    team_init(&team, ranks, body, argument);
    team.source = source;
    team_run_threads(&team);
    team_assert(&team);
    team_finish(&team);
}

/* Rank 1 enters, and gives up. */
static void give_up(struct mu_group *group, struct team_report *report, void *argument)
{
    (void)argument;
    if (group->rank == 1) {
        sign(group, MU_BARRIER, 0);
        mu_shared_note(group->shared, &group->signature, 0);
        mu_shared_note(group->shared, NULL, 0);
        return;
    }
    enum mu_status status = barrier(group, 20 * MU_SECOND, &report->culprit);
    CHECK(report, status == MU_CLOSED);
    CHECK(report, report->culprit == 1);
}

static void a_rank_that_gave_up_is_not_waited_for(void **state)
{
    (void)state;
    run_team(2, give_up, NULL);
}

struct found {
    enum mu_status status;
    int culprit;
    const char *farewell; /* of rank 0; NULL: it has said nothing */
};

static atomic_bool gave_up;
/* Rank 0 has opened its group: from then on rank 1 is dead. */
static atomic_bool opened;

/* Rank 0 has given up on rank 1, which is not there; what does rank 2 find? */
static void follow(struct mu_group *group, struct team_report *report, void *argument)
{
    const struct found *found = argument;
    if (group->rank == 0) {
        atomic_store(&opened, true);
        sign(group, MU_BARRIER, 0);
        mu_shared_note(group->shared, &group->signature, 0);
        mu_shared_note(group->shared, NULL, 0);
        atomic_store(&gave_up, true);
    }
    if (group->rank != 2)
        return;
    /* Whoever says farewell has given up before. */
    while (!atomic_load(&gave_up))
        sched_yield();
    atomic_store(&gave_up, false);
    if (found->farewell) {
        strcpy(group->transport->seen[0].farewell, found->farewell);
        group->transport->seen[0].ended = MU_CLOSED;
    }
    enum mu_status status = barrier(group, 20 * MU_SECOND, &report->culprit);
    CHECK(report, status == found->status);
    CHECK(report, report->culprit == found->culprit);
}

static void not_who_gave_up_is_named_but_who_never_came(void **state)
{
    (void)state;
    run_team(3, follow, &(struct found){.status = MU_TIMEOUT, .culprit = 1});
}

static void who_gave_up_and_said_why_is_named_however_late_others_are(void **state)
{
    (void)state;
    run_team(3, follow, &(struct found){.status = MU_CLOSED, .farewell = "no memory"});
}

static bool all_but_1_live(const struct mu_segments *segments, int rank)
{
    (void)segments;
    return rank != 1 || !atomic_load(&opened);
}

static void who_never_came_because_it_is_dead_is_gone_and_not_late(void **state)
{
    (void)state;
    const struct mu_shared_source source = {team_open, team_close, all_but_1_live};
    struct found silent = {.status = MU_CLOSED, .culprit = 1};
    struct found heard = {.status = MU_CLOSED, .culprit = 1, .farewell = "rank 1 is gone"};
    atomic_store(&opened, false);
    run_team_from(&source, 3, follow, &silent);
    atomic_store(&opened, false);
    run_team_from(&source, 3, follow, &heard);
}

/* Rank 0 has opened its group: from then on nobody else lives. */
static atomic_bool alone;

static bool nobody_lives(const struct mu_segments *segments, int rank)
{
    (void)segments;
    (void)rank;
    return !atomic_load(&alone);
}

static void be_alone(struct mu_group *group, struct team_report *report, void *argument)
{
    (void)argument;
    if (group->rank == 1)
        return;
    atomic_store(&alone, true);
    enum mu_status status = barrier(group, 20 * MU_SECOND, &report->culprit);
    CHECK(report, status == MU_CLOSED);
    CHECK(report, report->culprit == 1);
}

static void a_dead_rank_ends_the_wait_before_the_deadline(void **state)
{
    (void)state;
    const struct mu_shared_source source = {team_open, team_close, nobody_lives};
    atomic_store(&alone, false);
    run_team_from(&source, 2, be_alone, NULL);
}

/* Rank 1 says why it goes no further and leaves, both after rank 0 has looked at what others say
 * and before it sees who lives. */
static atomic_bool said;
static enum mu_status said_as;

static bool leaves_a_word(const struct mu_segments *segments, int rank)
{
    (void)segments;
    if (rank != 1 || !atomic_load(&alone))
        return true;
    atomic_store(&said, true);
    return false;
}

static void look_for_the_word(struct mu_transport *transport)
{
    if (!atomic_load(&said))
        return;
    strcpy(transport->seen[1].farewell, "no memory");
    transport->seen[1].ended = said_as;
}

static void miss_who_left_a_word(struct mu_group *group, struct team_report *report, void *argument)
{
    static const struct mu_transport_ops ops = {.name = "words", .look = look_for_the_word};
    (void)argument;
    if (group->rank == 1)
        return;
    group->transport->ops = &ops;
    atomic_store(&alone, true);
    enum mu_status status = barrier(group, 20 * MU_SECOND, &report->culprit);
    CHECK(report, status == said_as);
    CHECK(report, report->culprit == 1);
    CHECK(report, strcmp(group->transport->seen[1].farewell, "no memory") == 0);
}

static void what_a_rank_said_just_before_it_was_gone_is_heard(void **state)
{
    (void)state;
    static const enum mu_status ways[] = {MU_CLOSED, MU_TIMEOUT, MU_PROTOCOL};
    const struct mu_shared_source source = {team_open, team_close, leaves_a_word};
    for (size_t i = 0; i < MU_COUNT_OF(ways); i++) {
        said_as = ways[i];
        atomic_store(&said, false);
        atomic_store(&alone, false);
        run_team_from(&source, 2, miss_who_left_a_word, NULL);
    }
}

static void hear_farewell(struct mu_group *group, struct team_report *report, void *argument)
{
    if (group->rank == 0) {
        strcpy(group->transport->seen[1].farewell, "no memory");
        group->transport->seen[1].ended = MU_CLOSED;
    }
    be_alone(group, report, argument);
}

static void a_farewell_ends_the_wait_before_the_deadline(void **state)
{
    (void)state;
    run_team(2, hear_farewell, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_that_gave_up_is_not_waited_for),
        cmocka_unit_test(not_who_gave_up_is_named_but_who_never_came),
        cmocka_unit_test(who_gave_up_and_said_why_is_named_however_late_others_are),
        cmocka_unit_test(who_never_came_because_it_is_dead_is_gone_and_not_late),
        cmocka_unit_test(a_dead_rank_ends_the_wait_before_the_deadline),
        cmocka_unit_test(what_a_rank_said_just_before_it_was_gone_is_heard),
        cmocka_unit_test(a_farewell_ends_the_wait_before_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

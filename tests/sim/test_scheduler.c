/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "sim/scheduler.h"

struct room {
    struct mu_scheduler scheduler;
    struct mu_crew crews[2], *crew_of[2];
    struct mu_test_log log;
    char order[64];
};

static struct room room;

static int setup(void **state)
{
    memset(&room, 0, sizeof(room));
    for (int i = 0; i < 2; i++)
        room.crew_of[i] = &room.crews[i];
    mu_scheduler_init(&room.scheduler, room.crew_of, 2);
    mu_test_log_init(&room.log);
    return 0;
}

static int teardown(void **state)
{
    mu_scheduler_finish(&room.scheduler);
    return 0;
}

static void note(char letter)
{
    room.order[strlen(room.order)] = letter;
}

struct walker {
    char letter;
    int64_t period_ns;
    int steps;
};

static void walk(void *argument)
{
    struct walker *walker = argument;
    for (int i = 0; i < walker->steps; i++) {
        note(walker->letter);
        int64_t now_ns = room.scheduler.agenda.now_ns;
        mu_strand_wait(&room.scheduler, "time to pass", now_ns + walker->period_ns);
    }
}

static struct mu_strand *start(int crew, const char *name, void (*run)(void *), void *argument)
{
    struct mu_strand *strand;
    assert_ok(mu_strand_create(&room.crews[crew], name, true, run, argument, &strand));
    return strand;
}

static void strands_run_in_the_order_they_became_ready(void **state)
{
    struct walker a = {'a', 10, 3}, b = {'b', 10, 3}, c = {'c', 15, 2};
    start(0, "a", walk, &a);
    start(1, "b", walk, &b);
    start(0, "c", walk, &c);
    assert_ok(mu_scheduler_run(&room.scheduler, &room.log.log));
    /* 0: abc; 10: ab; 15: c; 20: ab */
    assert_string_equal(room.order, "abcabcab");
    assert_int_equal(room.scheduler.agenda.now_ns, 30);
}

static void wait_forever(void *argument)
{
    mu_strand_wait(&room.scheduler, argument, MU_FOREVER);
}

static void a_deadlock_is_reported_and_not_waited_for(void **state)
{
    char what[] = "a miracle", other[] = "the other one";
    start(0, "worker/0 main", wait_forever, what);
    start(1, "worker/1 main", wait_forever, other);
    assert_int_equal(mu_scheduler_run(&room.scheduler, &room.log.log), MU_BROKEN);
    assert_said(&room.log, "nothing can ever run again");
    assert_said(&room.log, "worker/0 main waits for a miracle");
    assert_said(&room.log, "worker/1 main waits for the other one");
}

static void poll(void *argument)
{
    (void)argument;
    for (;;)
        mu_strand_wait(&room.scheduler, "nothing", 0);
}

static void polling_without_time_going_on_is_found(void **state)
{
    room.scheduler.instant_runs_max = 1000;
    start(0, "poller", poll, NULL);
    assert_int_equal(mu_scheduler_run(&room.scheduler, &room.log.log), MU_BROKEN);
    assert_said(&room.log, "time does not go on");
}

static void bounds_of_time_and_events_end_a_run(void **state)
{
    struct walker a = {'a', 10, 50};
    room.scheduler.now_ns_max = 55;
    start(0, "a", walk, &a);
    assert_int_equal(mu_scheduler_run(&room.scheduler, &room.log.log), MU_BROKEN);
    assert_said(&room.log, "the time of the simulation is over");
    assert_string_equal(room.order, "aaaaaa");
    room.scheduler.now_ns_max = MU_FOREVER;
    room.scheduler.events_max = 8;
    assert_int_equal(mu_scheduler_run(&room.scheduler, &room.log.log), MU_BROKEN);
    assert_said(&room.log, "too many events");
    assert_string_equal(room.order, "aaaaaaaaa");
}

static void a_thread_that_nobody_joins_is_reported(void **state)
{
    struct walker a = {'a', 10, 1}, b = {'b', 10, 5};
    struct mu_strand *strand;
    start(0, "a", walk, &a);
    assert_ok(mu_strand_create(&room.crews[0], "b", false, walk, &b, &strand));
    assert_int_equal(mu_scheduler_run(&room.scheduler, &room.log.log), MU_BROKEN);
    assert_said(&room.log, "never joined");
}

static void wake_both(void *argument)
{
    struct mu_strand **strands = argument;
    mu_strand_wait(&room.scheduler, "time to pass", 100);
    mu_strand_ready(strands[1]);
    mu_strand_ready(strands[0]);
    mu_strand_ready(strands[0]); /* nothing more */
}

static void wait_and_note(void *argument)
{
    bool woken = mu_strand_wait(&room.scheduler, "a wake", 1000);
    note(woken ? *(char *)argument : '-');
}

static void who_is_woken_first_runs_first(void **state)
{
    char letters[] = "xy";
    struct mu_strand *strands[2];
    strands[0] = start(0, "x", wait_and_note, &letters[0]);
    strands[1] = start(0, "y", wait_and_note, &letters[1]);
    start(1, "waker", wake_both, strands);
    assert_ok(mu_scheduler_run(&room.scheduler, &room.log.log));
    assert_string_equal(room.order, "yx");
    assert_int_equal(room.scheduler.agenda.now_ns, 100);
}

struct stopper {
    int64_t at_ns;
    void (*act)(struct mu_crew *crew);
};

static void act_once(void *argument)
{
    struct stopper *stopper = argument;
    mu_strand_wait(&room.scheduler, "time to pass", stopper->at_ns);
    stopper->act(&room.crews[0]);
}

static void a_stopped_crew_is_silent_and_then_late(void **state)
{
    struct walker a = {'a', 10, 4};
    struct stopper stop = {15, mu_crew_stop}, resume = {95, mu_crew_resume};
    start(0, "a", walk, &a);
    start(1, "stop", act_once, &stop);
    start(1, "resume", act_once, &resume);
    assert_ok(mu_scheduler_run(&room.scheduler, &room.log.log));
    /* 0, 10, then what was due at 20 at 95, then 105 and its end at 115 */
    assert_string_equal(room.order, "aaaa");
    assert_int_equal(room.scheduler.agenda.now_ns, 115);
}

static void a_killed_crew_is_not_waited_for(void **state)
{
    struct walker a = {'a', 10, 1000};
    struct stopper kill = {25, mu_crew_kill};
    start(0, "a", walk, &a);
    start(1, "kill", act_once, &kill);
    assert_ok(mu_scheduler_run(&room.scheduler, &room.log.log));
    assert_string_equal(room.order, "aaa");
    assert_int_equal(room.scheduler.agenda.now_ns, 25);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(strands_run_in_the_order_they_became_ready),
        CASE(a_deadlock_is_reported_and_not_waited_for),
        CASE(polling_without_time_going_on_is_found),
        CASE(bounds_of_time_and_events_end_a_run),
        CASE(a_thread_that_nobody_joins_is_reported),
        CASE(who_is_woken_first_runs_first),
        CASE(a_stopped_crew_is_silent_and_then_late),
        CASE(a_killed_crew_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

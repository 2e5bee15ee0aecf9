/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "sim/agenda.h"

#define EVENTS 200

struct happening {
    struct mu_event event;
    int number;
};

static int order[EVENTS], happened;

static void happen(void *owner)
{
    order[happened++] = ((struct happening *)owner)->number;
}

static int setup(void **state)
{
    happened = 0;
    return 0;
}

static void create(struct mu_agenda *agenda, struct happening *happenings)
{
    mu_agenda_init(agenda);
    for (int i = 0; i < EVENTS; i++) {
        happenings[i].number = i;
        assert_ok(mu_agenda_event_init(agenda, &happenings[i].event, happen, &happenings[i]));
    }
}

static void destroy(struct mu_agenda *agenda, struct happening *happenings)
{
    for (int i = 0; i < EVENTS; i++)
        mu_agenda_event_finish(&happenings[i].event);
    mu_agenda_finish(agenda);
}

static void events_happen_by_time_then_by_arming(void **state)
{
    struct mu_agenda agenda;
    static struct happening happenings[EVENTS];
    create(&agenda, happenings);
    /* Ten instants of twenty events, armed across each other. */
    for (int i = 0; i < EVENTS; i++)
        mu_agenda_arm(&happenings[i].event, 1000 - i % 10);
    while (mu_agenda_advance(&agenda))
        ;
    assert_int_equal(happened, EVENTS);
    for (int i = 0; i < EVENTS; i++)
        assert_int_equal(order[i], i % 20 * 10 + 9 - i / 20);
    assert_int_equal(agenda.now_ns, 1000);
    destroy(&agenda, happenings);
}

static void disarmed_events_do_not_happen(void **state)
{
    struct mu_agenda agenda;
    static struct happening happenings[EVENTS];
    create(&agenda, happenings);
    for (int i = 0; i < EVENTS; i++)
        mu_agenda_arm(&happenings[i].event, i * 7919 % EVENTS);
    for (int i = 0; i < EVENTS; i += 3)
        mu_agenda_disarm(&happenings[i].event);
    int64_t last_ns = 0;
    while (mu_agenda_advance(&agenda)) {
        assert_true(agenda.now_ns >= last_ns);
        last_ns = agenda.now_ns;
        assert_int_not_equal(order[happened - 1] % 3, 0);
        assert_int_equal(agenda.now_ns, order[happened - 1] * 7919 % EVENTS);
    }
    assert_int_equal(happened, EVENTS - (EVENTS + 2) / 3);
    destroy(&agenda, happenings);
}

static void the_past_is_now_and_forever_is_never(void **state)
{
    struct mu_agenda agenda;
    static struct happening happenings[EVENTS];
    create(&agenda, happenings);
    mu_agenda_arm(&happenings[0].event, 50);
    mu_agenda_arm(&happenings[1].event, MU_FOREVER);
    assert_true(mu_agenda_advance(&agenda));
    mu_agenda_arm(&happenings[2].event, 10);
    assert_int_equal(mu_agenda_next_ns(&agenda), 50);
    assert_true(mu_agenda_advance(&agenda));
    assert_int_equal(agenda.now_ns, 50);
    assert_false(mu_agenda_advance(&agenda));
    assert_int_equal(mu_agenda_next_ns(&agenda), MU_FOREVER);
    destroy(&agenda, happenings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(events_happen_by_time_then_by_arming, setup),
        cmocka_unit_test_setup(disarmed_events_do_not_happen, setup),
        cmocka_unit_test_setup(the_past_is_now_and_forever_is_never, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

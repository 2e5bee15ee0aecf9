/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_queue.h"
#include "test.h"

#define CAPACITY 5

static void add(struct mu_ps_queue *queue, uint64_t number)
{
    mu_ps_queue_add(queue,
        &(struct mu_ps_event){.kind = MU_PS_EVENT_SNAPSHOT, .snapshot_id = number, .gives = true});
}

static void expect_next(struct mu_ps_queue *queue, uint64_t number)
{
    assert_int_equal(mu_ps_queue_first(queue)->snapshot_id, number);
    struct mu_ps_event event = mu_ps_queue_take(queue);
    assert_int_equal(event.kind, MU_PS_EVENT_SNAPSHOT);
    assert_int_equal(event.snapshot_id, number);
    assert_true(event.gives);
}

/* At every fill, and round its end more than once. */
static void events_come_in_the_order_they_were_added(void **state)
{
    (void)state;
    for (uint64_t fill = 1; fill <= CAPACITY; fill++) {
        struct mu_ps_queue queue;
        uint64_t added = 0, taken = 0;
        assert_ok(mu_ps_queue_init(&queue, CAPACITY));
        for (int i = 0; i < 3 * CAPACITY; i++) {
            while (added - taken < fill)
                add(&queue, added++);
            assert_int_equal(queue.count, fill);
            expect_next(&queue, taken++);
        }
        while (taken < added)
            expect_next(&queue, taken++);
        assert_null(mu_ps_queue_first(&queue));
        mu_ps_queue_finish(&queue);
    }
}

static void an_empty_one_has_no_first(void **state)
{
    (void)state;
    struct mu_ps_queue none = {0};
    assert_null(mu_ps_queue_first(&none));
    mu_ps_queue_finish(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_in_the_order_they_were_added),
        cmocka_unit_test(an_empty_one_has_no_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

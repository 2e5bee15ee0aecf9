/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "collectives/flow.h"
#include "rank_threads.h"
#include <math.h>

/* Whom a group of one host or of several chooses, by costs that are given. */
static struct ranks ranks;
static struct mu_group group;

/* A LAN of 1 Gbit/s: 50 us, 8 ns a byte. */
static const struct mu_costs lan = {.message = 50e-6, .byte = 8e-9, .add = 2e-11};

static int begin(void **state)
{
    (void)state;
    ranks_begin(&ranks, 4);
    assert_ok(mu_group_init(&group, &ranks.real.world, ranks.rank[0].transport));
    group.costs = lan;
    return 0;
}

static int end(void **state)
{
    (void)state;
    group.transport = NULL;
    mu_group_finish(&group);
    ranks_end(&ranks);
    return 0;
}

static struct mu_request sum_of(size_t count)
{
    return (struct mu_request){.kind = MU_ALLREDUCE, .count = count};
}

static double score(const struct mu_algorithm *algorithm, const struct mu_request *request)
{
    const char *why;
    if (!(algorithm->kinds & 1u << request->kind))
        return INFINITY;
    return algorithm->score(&group, request, &why);
}

/* ---- the cases ---- */

static void the_lowest_score_runs(void **state)
{
    (void)state;
    for (size_t count = 1; count < (size_t)1 << 26; count *= 4) {
        struct mu_request request = sum_of(count);
        const struct mu_algorithm *chosen = mu_choose(&group, &request);
        assert_non_null(chosen);
        for (int a = 0; mu_algorithms[a]; a++)
            assert_true(score(chosen, &request) <= score(mu_algorithms[a], &request));
    }
}

static void a_short_message_takes_few_steps_and_a_long_one_few_bytes(void **state)
{
    (void)state;
    struct mu_request few = sum_of(1), many = sum_of(16 << 20);
    assert_string_not_equal(mu_choose(&group, &few)->name, "ring");
    assert_string_equal(mu_choose(&group, &many)->name, "ring");
}

static void what_is_forced_runs(void **state)
{
    (void)state;
    struct mu_request few = sum_of(1);
    group.forced = mu_choose_find("ring");
    assert_ptr_equal(mu_choose(&group, &few), group.forced);
}

static void what_is_forced_and_cannot_says_why_and_who_can(void **state)
{
    (void)state;
    struct mu_request few = sum_of(10);
    group.forced = mu_choose_find("direct");
    assert_null(mu_choose(&group, &few));
    const char *text = "direct cannot do all-reduce of 10 float32: it needs shared memory";
    if (strncmp(group.error, text, strlen(text)) != 0 || !strstr(group.error, "ring"))
        fail_msg("%s", group.error);
    static char memory; /* only that it is there is looked at */
    group.shared = (struct mu_shared *)(void *)&memory;
    group.deterministic = true;
    few.wire = MU_BFLOAT16;
    assert_null(mu_choose(&group, &few));
    group.shared = NULL;
    assert_non_null(strstr(group.error, ": it does not narrow in shared memory; "));
}

/* A group also gathers and broadcasts for itself. */
static void what_is_forced_leaves_other_operations_alone(void **state)
{
    (void)state;
    struct mu_request few = sum_of(10);
    const struct mu_algorithm *best = mu_choose(&group, &few);
    group.forced = mu_choose_find("pairwise");
    assert_ptr_equal(mu_choose(&group, &few), best);
}

static void a_deterministic_sum_is_left_to_who_keeps_the_order(void **state)
{
    (void)state;
    for (size_t count = 1; count < (size_t)1 << 26; count *= 4) {
        struct mu_request request = sum_of(count);
        group.deterministic = true;
        assert_true(mu_choose(&group, &request)->keeps_order);
    }
}

/* The order of what is exact does not matter. */
static void whole_numbers_and_extremes_may_take_any_order(void **state)
{
    (void)state;
    struct mu_request rounded = sum_of(10), whole = sum_of(10), most = sum_of(10);
    whole.dtype = whole.wire = MU_INT32;
    most.reduction = MU_MAX;
    group.forced = mu_choose_find("tree");
    group.deterministic = true;
    assert_false(group.forced->keeps_order);
    assert_null(mu_choose(&group, &rounded));
    assert_non_null(strstr(group.error, "it does not keep the order of rounding"));
    assert_ptr_equal(mu_choose(&group, &whole), group.forced);
    assert_ptr_equal(mu_choose(&group, &most), group.forced);
}

static void a_half_type_travels_with_who_can_narrow(void **state)
{
    (void)state;
    for (enum mu_dtype wire = MU_FLOAT16; wire <= MU_BFLOAT16; wire++) {
        struct mu_request request = sum_of(1 << 20);
        request.wire = wire;
        assert_non_null(mu_choose(&group, &request));
    }
}

static void the_table_names_all_and_says_why_not(void **state)
{
    (void)state;
    struct mu_text text;
    const struct mu_request requests[] = {sum_of(1), sum_of(1 << 20)};
    mu_text_init(&text);
    mu_choose_explain(&group, requests, 2, &text);
    assert_non_null(strstr(text.data, "       bytes      ring  doubling   halving"));
    assert_non_null(strstr(text.data, "\n           4  "));
    const char *longest = strstr(text.data, "\n     4194304 ");
    assert_non_null(longest);
    assert_int_equal(longest[strspn(longest, "\n 0123456789")], '*'); /* the ring's, the first */
    assert_non_null(strstr(text.data, "\n* is chosen"));
    assert_non_null(strstr(text.data, "\ndirect: needs shared memory"));
    for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1)
        assert_true(end - line <= 100);
    for (int a = 0; mu_algorithms[a]; a++)
        assert_non_null(strstr(text.data, mu_algorithms[a]->name));
    mu_text_finish(&text);
}

static void every_algorithm_has_its_place_and_name(void **state)
{
    (void)state;
    for (int a = 0; mu_algorithms[a]; a++) {
        assert_int_equal(mu_choose_place(mu_algorithms[a]), a);
        assert_ptr_equal(mu_choose_find(mu_algorithms[a]->name), mu_algorithms[a]);
        assert_true(mu_algorithms[a]->doc[0] && mu_algorithms[a]->kinds);
    }
    assert_null(mu_choose_find("rong"));
}

#define CASE(claim) cmocka_unit_test_setup_teardown(claim, begin, end)

static void a_segment_takes_as_long_as_eight_messages_and_is_a_quarter_at_most(void **state)
{
    (void)state;
    static const struct mu_costs none = {0}, home = {.message = 3e-6, .byte = 1e-10};
    const size_t most = MU_SEGMENT_BYTES, least = MU_FLOW_SEGMENT_BYTES_MIN;
    assert_int_equal(mu_flow_segment_bytes(&none, 1000), least);
    assert_int_equal(mu_flow_segment_bytes(&none, 400000), 102400); /* a quarter, in whole pages */
    assert_int_equal(mu_flow_segment_bytes(&none, 1 << 30), most);
    assert_int_equal(mu_flow_segment_bytes(&lan, 1000), 32 << 10); /* 50000 bytes: a power of two */
    assert_int_equal(mu_flow_segment_bytes(&lan, 400000), 102400);
    assert_int_equal(mu_flow_segment_bytes(&home, 1000), 128 << 10);
    assert_int_equal(mu_flow_segment_bytes(&home, 1 << 30), most);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_takes_as_long_as_eight_messages_and_is_a_quarter_at_most),
        CASE(the_lowest_score_runs),
        CASE(a_short_message_takes_few_steps_and_a_long_one_few_bytes),
        CASE(what_is_forced_runs),
        CASE(what_is_forced_and_cannot_says_why_and_who_can),
        CASE(what_is_forced_leaves_other_operations_alone),
        CASE(a_deterministic_sum_is_left_to_who_keeps_the_order),
        CASE(whole_numbers_and_extremes_may_take_any_order),
        CASE(a_half_type_travels_with_who_can_narrow),
        CASE(the_table_names_all_and_says_why_not),
        CASE(every_algorithm_has_its_place_and_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

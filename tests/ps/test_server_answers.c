/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_answers.h"
#include "runtime/base/random.h"
#include "test.h"

#define WORKERS 3
#define IN_FLIGHT 4
#define NUMBERS 400 /* that a worker gets to in one incarnation at the most */

/* The oracle: every answer of this incarnation, by its number. */
struct map {
    struct mu_ps_answer told[WORKERS][NUMBERS];
    uint64_t next[WORKERS]; /* the number that a worker gives next */
};

/* Answers leave in any order, but a worker has IN_FLIGHT numbers under way at the most. */
static uint64_t draw_unanswered(
    const struct map *map, struct mu_random *random, int worker, uint64_t *ret_next)
{
    uint64_t oldest = 0;
    while (map->told[worker][oldest].is_there)
        oldest++;
    uint64_t sequence = oldest + mu_random_below(random, IN_FLIGHT);
    while (map->told[worker][sequence].is_there)
        sequence--;
    *ret_next = sequence + 1 > map->next[worker] ? sequence + 1 : map->next[worker];
    return sequence;
}

static void answer_one(struct mu_ps_answers *answers, struct map *map, struct mu_random *random)
{
    int worker = (int)mu_random_below(random, WORKERS);
    uint64_t sequence = draw_unanswered(map, random, worker, &map->next[worker]);
    struct mu_ps_answer told = {
        .sequence = sequence,
        .tag = sequence + 1000,
        .link_number = (uint32_t)worker,
        .fresh = {.version = (int64_t)mu_random_below(random, 1 << 30)},
    };
    mu_ps_answers_add(answers, worker, &told);
    told.is_there = true;
    map->told[worker][sequence] = told;
}

static void begin_anew(struct mu_ps_answers *answers, struct map *map, int worker)
{
    mu_ps_answers_forget(answers, worker);
    for (int i = 0; i < NUMBERS; i++)
        map->told[worker][i].is_there = false;
    map->next[worker] = 0;
}

/* What is found was told; what a worker may still ask for is found. */
static void compare(const struct mu_ps_answers *answers, const struct map *map)
{
    for (int w = 0; w < WORKERS; w++)
        for (uint64_t k = 0; k < NUMBERS; k++) {
            const struct mu_ps_answer *found = mu_ps_answers_find(answers, w, k);
            const struct mu_ps_answer *told = &map->told[w][k];
            if (told->is_there && k + 2 * IN_FLIGHT > map->next[w])
                assert_non_null(found);
            if (!found)
                continue;
            assert_true(told->is_there);
            assert_int_equal(found->sequence, k);
            assert_int_equal(found->tag, told->tag);
            assert_int_equal(found->link_number, told->link_number);
            assert_int_equal(found->fresh.version, told->fresh.version);
        }
}

static void answers_that_may_be_asked_for_are_found_and_no_others(void **state)
{
    (void)state;
    static struct map map;
    struct mu_ps_answers answers;
    struct mu_random random;
    assert_ok(mu_ps_answers_init(&answers, WORKERS, IN_FLIGHT));
    mu_random_init(&random, 7);
    for (int i = 0; i < 2000; i++) {
        int worker = (int)mu_random_below(&random, WORKERS);
        if (map.next[worker] + 2 * IN_FLIGHT > NUMBERS || mu_random_below(&random, 50) == 0)
            begin_anew(&answers, &map, worker);
        else
            answer_one(&answers, &map, &random);
        compare(&answers, &map);
    }
    mu_ps_answers_finish(&answers);
}

static void another_incarnation_has_none_of_its_predecessor(void **state)
{
    (void)state;
    struct mu_ps_answers answers;
    assert_ok(mu_ps_answers_init(&answers, 2, 1));
    for (int worker = 0; worker < 2; worker++)
        mu_ps_answers_add(&answers, worker, &(struct mu_ps_answer){.sequence = 0, .tag = 5});
    mu_ps_answers_forget(&answers, 1);
    assert_null(mu_ps_answers_find(&answers, 1, 0));
    assert_int_equal(mu_ps_answers_find(&answers, 0, 0)->tag, 5);
    mu_ps_answers_finish(&answers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_that_may_be_asked_for_are_found_and_no_others),
        cmocka_unit_test(another_incarnation_has_none_of_its_predecessor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

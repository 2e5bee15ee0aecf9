/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/direct.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/random.h"
#include "shared_team.h"

/*
 * Every kind, type and length against a plain reference: element by element, in the canonical order
 * of rounding. Ranks are threads unless said.
 */
enum place { ELSEWHERE, IN_ARENAS, IN_SOME_ARENAS, IN_ARENAS_ANYWHERE, PLACES };

struct suite {
    const size_t *counts; /* of elements, ended by SIZE_MAX */
    unsigned dtypes;      /* 1u << enum mu_dtype */
    bool uneven;          /* parts of different lengths */
    bool once;            /* sums only, elsewhere and in arenas only */
};

struct trial {
    struct mu_group *group;
    struct team_report *report;
    struct mu_request request;
    size_t counts[TEAM_RANKS_MAX];
    size_t length; /* of the vectors in elements */
    size_t element;
    enum place place;
    char *arena;
    size_t arena_bytes;
    char *plain, *plain_from;    /* vectors that lie elsewhere */
    char *start[TEAM_RANKS_MAX]; /* what each rank has at the start */
    char *want;                  /* what this one has to have afterwards */
    struct mu_span promised;     /* of it; the rest may be anything */
};

#define VECTOR_BYTES_MAX ((size_t)3 << 20)

/* ---- values ---- */

/* Element i of what rank `rank` has at the start; numbers of very different sizes, so that the
 * order of adding shows. */
static void value(enum mu_dtype dtype, int rank, size_t i, void *out)
{
    uint64_t bits = mu_random_mix((uint64_t)rank + 11, i);
    double number = ((double)(int64_t)bits / 9.3e18) * (double)(1u << (bits % 11));
    float single = (float)number;
    switch (dtype) {
    case MU_FLOAT32:
        memcpy(out, &single, sizeof(single));
        return;
    case MU_FLOAT64:
        memcpy(out, &number, sizeof(number));
        return;
    case MU_FLOAT16:
    case MU_BFLOAT16:
        mu_reduce_narrow(dtype, out, &single, 1);
        return;
    default:
        memcpy(out, &bits, mu_dtype_bytes(dtype));
    }
}

static void *at(const struct trial *trial, char *vector, size_t i)
{
    return vector + i * trial->element;
}

static void copy_part(struct trial *trial, struct mu_span part, const char *from)
{
    memcpy(at(trial, trial->want, part.first), from, part.count * trial->element);
}

/* Part by part, each in its order: first the rank of the part's number. */
static void want_reduced(struct trial *trial)
{
    int ranks = trial->group->count;
    const struct mu_request *request = &trial->request;
    for (int p = 0; p < ranks; p++) {
        struct mu_span part = mu_request_part(request, ranks, p);
        copy_part(trial, part, at(trial, trial->start[p], part.first));
        for (int r = 1; r < ranks; r++)
            for (size_t i = part.first; i < part.first + part.count; i++)
                mu_reducer(request->dtype, request->reduction)
                    ->two(at(trial, trial->want, i), at(trial, trial->want, i),
                        at(trial, trial->start[(p + r) % ranks], i), 1);
    }
}

static void want_gathered(struct trial *trial)
{
    for (int r = 0; r < trial->group->count; r++) {
        struct mu_span part = mu_request_part(&trial->request, trial->group->count, r);
        copy_part(trial, part, at(trial, trial->start[r], part.first));
    }
}

static void want_exchanged(struct trial *trial)
{
    size_t count = trial->request.count;
    for (int r = 0; r < trial->group->count; r++)
        copy_part(trial, (struct mu_span){(size_t)r * count, count},
            at(trial, trial->start[r], (size_t)trial->group->rank * count));
}

static void find_wanted(struct trial *trial)
{
    const struct mu_request *request = &trial->request;
    trial->promised = (struct mu_span){0, trial->length};
    if (request->kind == MU_ALLREDUCE || request->kind == MU_REDUCE_SCATTER)
        want_reduced(trial);
    if (request->kind == MU_REDUCE_SCATTER)
        trial->promised = mu_request_part(request, trial->group->count, trial->group->rank);
    if (request->kind == MU_ALLGATHER)
        want_gathered(trial);
    if (request->kind == MU_BROADCAST)
        copy_part(trial, trial->promised, trial->start[request->root]);
    if (request->kind == MU_ALLTOALL)
        want_exchanged(trial);
    if (request->kind == MU_BARRIER)
        trial->promised.count = 0;
}

/* ---- one trial ---- */

static void complain(struct trial *trial, const char *what, size_t i)
{
    const struct mu_request *request = &trial->request;
    if (!trial->report->text[0])
        snprintf(trial->report->text, sizeof(trial->report->text),
            "%s of %zu %s, %s, place %d: %s, element %zu", mu_request_kind_name(request->kind),
            request->count, mu_dtype_name(request->dtype), mu_reduction_name(request->reduction),
            trial->place, what, i);
}

static bool is_in_arena(const struct trial *trial)
{
    return trial->place == IN_ARENAS || trial->place == IN_ARENAS_ANYWHERE ||
           (trial->place == IN_SOME_ARENAS && trial->group->rank % 2 == 0);
}

static void place_vectors(struct trial *trial)
{
    char *data = trial->plain, *from = trial->plain_from;
    if (is_in_arena(trial)) {
        size_t shift = trial->place == IN_ARENAS_ANYWHERE ? 64 * (size_t)trial->group->rank : 0;
        data = trial->arena + shift;
        from = trial->arena + trial->arena_bytes / 2 + shift;
    }
    trial->request.data = data;
    trial->request.from = trial->request.kind == MU_ALLTOALL ? from : NULL;
    char *start = trial->request.kind == MU_ALLTOALL ? from : data;
    memcpy(start, trial->start[trial->group->rank], trial->length * trial->element);
}

static enum mu_status run_request(struct trial *trial)
{
    struct mu_group *group = trial->group;
    const struct mu_request *request = &trial->request;
    group->signature = (struct mu_signature){.sequence = ++group->sequence,
        .kind = (uint8_t)request->kind,
        .dtype = (uint8_t)request->dtype,
        .reduction = (uint8_t)request->reduction,
        .root = request->root,
        .count = request->count};
    return mu_direct.run(group, request, team_deadline(group), &trial->report->culprit);
}

static void run_trial(struct trial *trial)
{
    place_vectors(trial);
    enum mu_status status = run_request(trial);
    if (status != MU_OK) {
        trial->report->status = status;
        complain(trial, "failed", 0);
        return;
    }
    for (size_t i = 0; i < trial->promised.count; i++) {
        size_t element = trial->promised.first + i;
        if (memcmp(at(trial, trial->request.data, element), at(trial, trial->want, element),
                trial->element) != 0)
            complain(trial, "differs", element);
    }
}

/* ---- all of them ---- */

static void set_count(struct trial *trial, const struct suite *suite, size_t count)
{
    struct mu_request *request = &trial->request;
    int ranks = trial->group->count;
    bool has_parts = request->kind == MU_REDUCE_SCATTER || request->kind == MU_ALLGATHER;
    request->counts = NULL;
    request->count = trial->length = count;
    if (request->kind == MU_ALLTOALL)
        trial->length = count * (size_t)ranks;
    if (has_parts && suite->uneven) {
        /* Rank 0's part is empty, the others' are longer and longer. */
        trial->length = 0;
        for (int r = 0; r < ranks; r++) {
            trial->counts[r] = (size_t)r * (count / 3);
            trial->length += trial->counts[r];
        }
        request->counts = trial->counts;
        request->count = trial->length;
    }
}

/* In place an all-reduce goes one way and, the next time, the other. */
static void run_trial_both_ways(struct trial *trial)
{
    run_trial(trial);
    if (trial->request.kind == MU_ALLREDUCE && trial->place != ELSEWHERE)
        run_trial(trial);
}

static void run_places(struct trial *trial, const struct suite *suite)
{
    if (trial->length * trial->element > VECTOR_BYTES_MAX)
        return;
    find_wanted(trial);
    for (trial->place = ELSEWHERE; trial->place < (suite->once ? IN_SOME_ARENAS : PLACES);
         trial->place++)
        if (!trial->report->text[0])
            run_trial_both_ways(trial);
}

static void run_kind(struct trial *trial, const struct suite *suite)
{
    bool reduces = trial->request.kind == MU_ALLREDUCE || trial->request.kind == MU_REDUCE_SCATTER;
    for (int i = 0; suite->counts[i] != SIZE_MAX; i++) {
        set_count(trial, suite, suite->counts[i]);
        for (int reduction = 0; reduction < (reduces && !suite->once ? MU_REDUCTION_COUNT : 1);
             reduction++) {
            trial->request.reduction = (enum mu_reduction)reduction;
            trial->request.root = (int)suite->counts[i] % trial->group->count;
            if (reduction != MU_MEAN)
                run_places(trial, suite);
        }
    }
}

static void run_dtype(struct trial *trial, const struct suite *suite, enum mu_dtype dtype)
{
    trial->request.dtype = trial->request.wire = dtype;
    trial->element = mu_dtype_bytes(dtype);
    size_t longest = 0;
    for (int i = 0; suite->counts[i] != SIZE_MAX; i++)
        longest = suite->counts[i];
    longest *= (size_t)trial->group->count;
    if (longest > VECTOR_BYTES_MAX / trial->element)
        longest = VECTOR_BYTES_MAX / trial->element;
    for (int r = 0; r < trial->group->count; r++)
        for (size_t i = 0; i < longest; i++)
            value(dtype, r, i, at(trial, trial->start[r], i));
    for (int kind = 0; kind < MU_REQUEST_KIND_COUNT; kind++) {
        trial->request.kind = (enum mu_request_kind)kind;
        run_kind(trial, suite);
    }
}

static void run_suite(struct mu_group *group, struct team_report *report, void *argument)
{
    const struct suite *suite = argument;
    struct trial trial = {.group = group, .report = report};
    trial.arena_bytes = 2 * (VECTOR_BYTES_MAX + 4096);
    trial.arena = mu_shared_alloc(group, trial.arena_bytes, team_deadline(group));
    trial.plain = malloc(VECTOR_BYTES_MAX);
    trial.plain_from = malloc(VECTOR_BYTES_MAX);
    trial.want = malloc(VECTOR_BYTES_MAX);
    for (int r = 0; r < group->count; r++)
        trial.start[r] = malloc(VECTOR_BYTES_MAX);
    for (int dtype = 0; dtype < MU_DTYPE_COUNT; dtype++)
        if (suite->dtypes & 1u << dtype)
            run_dtype(&trial, suite, (enum mu_dtype)dtype);
    for (int r = 0; r < group->count; r++)
        free(trial.start[r]);
    free(trial.want);
    free(trial.plain);
    free(trial.plain_from);
    mu_shared_free(group, trial.arena);
}

#define ALL_DTYPES ((1u << MU_DTYPE_COUNT) - 1)
static const size_t short_counts[] = {0, 1, 2, 3, 4, 5, 7, 16, 63, 1000, 4999, SIZE_MAX};
static const size_t long_counts[] = {40001, 131072, 300007, 600011, SIZE_MAX};

static void run_team(int ranks, struct suite *suite, void (*run)(struct team *team))
{
    struct team team;
    team_init(&team, ranks, run_suite, suite);
    run(&team);
    team_assert(&team);
    team_finish(&team);
}

static void every_kind_and_type_gives_the_reference_in_canonical_order(void **state)
{
    (void)state;
    struct suite suite = {.counts = short_counts, .dtypes = ALL_DTYPES};
    for (int ranks = 2; ranks <= 5; ranks++)
        run_team(ranks, &suite, team_run_threads);
}

static void parts_may_be_uneven_and_empty(void **state)
{
    (void)state;
    struct suite suite = {
        .counts = short_counts, .dtypes = 1u << MU_FLOAT32 | 1u << MU_UINT8, .uneven = true};
    for (int ranks = 2; ranks <= 5; ranks++)
        run_team(ranks, &suite, team_run_threads);
}

static void long_vectors_go_in_segments(void **state)
{
    (void)state;
    struct suite suite = {
        .counts = long_counts, .dtypes = 1u << MU_FLOAT32 | 1u << MU_BFLOAT16, .once = true};
    for (int ranks = 2; ranks <= 5; ranks++)
        run_team(ranks, &suite, team_run_threads);
    suite.uneven = true;
    run_team(3, &suite, team_run_threads);
}

static void ranks_may_be_processes(void **state)
{
    (void)state;
    struct suite suite = {.counts = short_counts, .dtypes = 1u << MU_FLOAT32};
    for (int ranks = 2; ranks <= 5; ranks++)
        run_team(ranks, &suite, team_run_processes);
}

/* ---- many in a row ---- */

static void run_many(struct mu_group *group, struct team_report *report, void *argument)
{
    const int *rounds = argument;
    struct trial trial = {.group = group, .report = report, .element = sizeof(uint64_t)};
    uint64_t data[300];
    for (int round = 0; round < *rounds && !report->text[0]; round++) {
        size_t count = (size_t)round % MU_COUNT_OF(data);
        trial.request = (struct mu_request){.kind = MU_ALLREDUCE,
            .dtype = MU_INT64,
            .wire = MU_INT64,
            .data = data,
            .count = count};
        for (size_t i = 0; i < count; i++)
            data[i] = (uint64_t)round + i + (uint64_t)group->rank;
        if (run_request(&trial) != MU_OK)
            complain(&trial, "failed", (size_t)round);
        uint64_t ranks = (uint64_t)group->count;
        for (size_t i = 0; i < count; i++)
            if (data[i] != ranks * ((uint64_t)round + i) + ranks * (ranks - 1) / 2)
                complain(&trial, "differs", i);
    }
}

static void short_ones_in_a_row_do_not_mix(void **state)
{
    (void)state;
    int rounds = 1000;
    for (int ranks = 2; ranks <= 5; ranks++) {
        struct team team;
        team_init(&team, ranks, run_many, &rounds);
        team_run_threads(&team);
        team_assert(&team);
        team_finish(&team);
    }
}

/* ---- score ---- */

static void without_shared_memory_it_says_what_it_needs(void **state)
{
    (void)state;
    struct mu_group group = {.count = 2};
    const char *why = NULL;
    double score = mu_direct.score(&group, &(struct mu_request){.kind = MU_BARRIER}, &why);
    assert_true(score > 1e300);
    assert_string_equal(why, "needs shared memory with all ranks");
}

static void score_grows_with_bytes_and_is_the_same_wherever_they_lie(void **state)
{
    (void)state;
    struct mu_shared shared = {0};
    struct mu_group group = {
        .count = 2, .shared = &shared, .costs = {.barrier = 1e-7, .direct = 1e-10}};
    const char *why = NULL;
    char here[8], *there = malloc(8);
    struct mu_request request = {.kind = MU_ALLREDUCE, .data = here, .count = 2};
    double at_here = mu_direct.score(&group, &request, &why);
    request.data = there;
    assert_true(mu_direct.score(&group, &request, &why) == at_here);
    request.count = 1000;
    assert_true(mu_direct.score(&group, &request, &why) > at_here);
    free(there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_and_type_gives_the_reference_in_canonical_order),
        cmocka_unit_test(parts_may_be_uneven_and_empty),
        cmocka_unit_test(long_vectors_go_in_segments),
        cmocka_unit_test(ranks_may_be_processes),
        cmocka_unit_test(short_ones_in_a_row_do_not_mix),
        cmocka_unit_test(without_shared_memory_it_says_what_it_needs),
        cmocka_unit_test(score_grows_with_bytes_and_is_the_same_wherever_they_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Workers learn what words are worth from texts of ten; built and started as ps.c is. All calls. */
#include <muster/ps.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORDS = 10, TEXTS = 64, ENTRIES = WORDS * TEXTS };

static void check(enum mu_status status, const struct mu_ps *ps)
{
    if (status != MU_OK)
        exit(fprintf(stderr, "%s\n", mu_ps_error(ps)) > 0);
}

/* A text is worth 5 more than its words are; the mean error, without its sign. */
static float learn(const uint64_t *ids, const float *rows, float bias, float *row_g, float *g)
{
    float off = *g = 0;
    for (int text = 0; text < ENTRIES; text += WORDS) {
        float error = bias - 5;
        for (int i = text; i < text + WORDS; i++)
            error += rows[i] - ((float)(ids[i] % 7) - 3);
        for (int i = text; i < text + WORDS; i++)
            row_g[i] = error / TEXTS;
        *g += error / TEXTS;
        off += (error < 0 ? -error : error) / TEXTS;
    }
    return off;
}

int main(void)
{
    const struct mu_ps_options options = {
        .count = 1, .row_width = 1, .row_max = ENTRIES, .optimizer = "adam"};
    if (mu_ps_is_server())
        return mu_ps_serve(&options, NULL) != MU_OK;
    static uint64_t ids[2][ENTRIES];
    static float rows[ENTRIES], row_g[ENTRIES], bias, g, off;
    struct mu_ps *ps;
    struct mu_ps_result result;
    check(mu_ps_open(&options, &ps), NULL);
    check(mu_ps_pull(ps, &bias, &result.version), ps);
    for (int i = 0; i < ENTRIES; i++)
        ids[0][i] = (uint64_t)i * 1000003;
    check(mu_ps_pull_rows(ps, ids[0], ENTRIES, rows), ps);
    int push, k = 0;
    for (int step = 0; step < 5000; step++, k = !k) {
        off = learn(ids[k], rows, bias, row_g, &g);
        for (int i = 0; i < ENTRIES; i++) /* the next texts: their rows come with the answer */
            ids[!k][i] = (uint64_t)(rand() % 1000) * 1000003;
        const struct mu_ps_rows moved = {ids[k], row_g, ENTRIES, ids[!k], rows, ENTRIES};
        check(mu_ps_push_rows(ps, &g, result.version, &bias, &moved, &push), ps);
        check(mu_ps_wait(ps, push, &result), ps);
    }
    check(mu_ps_push_pull(ps, &g, result.version, &bias, &result), ps); /* both, and no rows */
    check(mu_ps_push(ps, &g, result.version, NULL, &push), ps);         /* mu_ps_close waits */
    printf("worker %d of %d: off by %.1f\n", mu_ps_worker(ps), mu_ps_worker_count(ps), off);
    mu_ps_close(ps);
    return 0;
}

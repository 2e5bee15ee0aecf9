/* SPDX-License-Identifier: Apache-2.0 */
/* Workers fit a line to noisy points; a parameter server keeps it. Start each with its TF_CONFIG:
 *     cc -o ps ps.c $(pkg-config --cflags --libs --static muster)
 *     C='{"ps": ["127.0.0.1:2222"], "worker": ["127.0.0.1:2223"]}'
 *     TF_CONFIG='{"cluster": '$C', "task": {"type": "ps", "index": 0}}' ./ps &
 *     TF_CONFIG='{"cluster": '$C', "task": {"type": "worker", "index": 0}}' ./ps */
#include <muster/ps.h>
#include <stdio.h>
#include <stdlib.h>

static void check(enum mu_status status, const struct mu_ps *ps)
{
    if (status != MU_OK) {
        fprintf(stderr, "%s\n", mu_ps_error(ps));
        exit(1);
    }
}

/* Of the squared error over 32 points around y = 3 x + 2. */
static void compute_gradient(const float line[2], float gradient[2])
{
    gradient[0] = gradient[1] = 0;
    for (int i = 0; i < 32; i++) {
        float x = (float)rand() / (float)RAND_MAX, noise = (float)(rand() % 3 - 1) / 10;
        float error = line[0] * x + line[1] - (3 * x + 2 + noise);
        gradient[0] += error * x / 32;
        gradient[1] += error / 32;
    }
}

int main(void)
{
    struct mu_ps_options options = {
        .count = 2, .optimizer = "sgd", .optimizer_options = "learning_rate=0.1"};
    float line[2] = {0, 0}, gradient[2];
    if (mu_ps_is_server()) {
        static const char *const names[] = {"slope", "offset"};
        check(mu_ps_serve(&options, line), NULL); /* its span is as it has become: one or both */
        for (int i = 0; i < 2; i++)
            if (line[i] != 0)
                printf("this server ends with the %s %.1f\n", names[i], line[i]);
        return 0;
    }
    struct mu_ps *ps;
    struct mu_ps_result result;
    check(mu_ps_open(&options, &ps), NULL);
    check(mu_ps_pull(ps, line, &result.version), ps);
    srand((unsigned)mu_ps_worker(ps) + 1);
    for (int step = 0; step < 2000; step++) {
        compute_gradient(line, gradient);
        check(mu_ps_push_pull(ps, gradient, result.version, line, &result), ps);
    }
    printf("worker %d of %d: y = %.1f x + %.1f at version %lld\n", mu_ps_worker(ps),
        mu_ps_worker_count(ps), line[0], line[1], (long long)result.version);
    mu_ps_close(ps);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/library/ps_library.h"
#include "runtime/base/text.h"
#include <string.h>

/* A parameter server in a program of somebody else: serves until all workers have gone. */

#define LOOK_NS (10 * MU_MS) /* between two looks whether they have */

struct serving {
    struct mu_ps_place place;
    struct mu_ps_told told;
    struct mu_ps_server *server;
    struct mu_timer *timer;
    bool over;
    struct mu_log *log;
};

static double learning_rate(void *owner, int64_t version)
{
    const struct serving *serving = owner;
    return serving->told.learning_rate;
}

/* ---- the embedding table ---- */

static void begin_row(const void *owner, uint64_t seed, uint64_t id, size_t width, float *ret_row)
{
    const struct mu_ps_options *options = owner;
    options->row_begin(options->row_owner, id, ret_row);
}

static struct mu_ps_rows_options describe_rows(const struct mu_ps_options *options)
{
    return (struct mu_ps_rows_options){
        .width = options->row_width,
        .push_max = options->row_max,
        .id_count = options->row_ids,
        .row_limit = options->row_limit,
        .dense = options->row_dense != 0,
        .by_range = options->row_range != 0,
        .init_row = options->row_begin ? begin_row : NULL,
        .owner = options,
    };
}

static void give_rows(const struct serving *serving, const struct mu_ps_options *options)
{
    const struct mu_table *table = mu_ps_server_table(serving->server);
    size_t place = 0;
    uint64_t id;
    const float *row;
    while (table && options->row_end && (row = mu_table_next(table, &place, &id)))
        options->row_end(options->row_owner, id, row);
}

/* ---- serving ---- */

static void look(void *owner)
{
    struct serving *serving = owner;
    serving->over = mu_ps_server_deserted(serving->server);
}

static enum mu_status make_server(
    struct serving *serving, const struct mu_ps_options *options, const float *parameters)
{
    const struct mu_ps_place *place = &serving->place;
    struct mu_ps_server_options asked = {
        .loop = place->ground->loop,
        .log = serving->log,
        .order = place->index,
        .server_count = place->server_count,
        .replica_count = place->worker_count,
        .element_count = options->count,
        .optimizer = serving->told.optimizer,
        .optimizer_options = serving->told.optimizer_options,
        .weight_decay = serving->told.weight_decay,
        .policy = serving->told.policy,
        .policy_options = serving->told.policy_options,
        .mode = serving->told.mode,
        .rows = describe_rows(options),
        .learning_rate = learning_rate,
        .owner = serving,
        .replica_names = place->names + place->server_count,
        .patience_ns = place->timeout_ns,
    };
    MU_TRY(mu_ps_told_check(serving->log, options, &asked.in_flight_max));
    MU_TRY(mu_ps_server_create(&asked, &serving->server));
    MU_TRY(mu_ps_server_lay(serving->server));
    struct mu_span span = mu_ps_server_span(serving->server);
    if (parameters)
        memcpy(mu_ps_server_vector(serving->server, 0), parameters + span.first,
            span.count * sizeof(float));
    mu_ps_server_begin(serving->server, 0);
    return MU_OK;
}

/* The followers have their head, the head its followers; between followers there is nothing to
 * say. */
static void link_all(struct serving *serving)
{
    struct mu_ps_place *place = &serving->place;
    for (int i = 1; place->index == 0 && i < place->server_count; i++)
        mu_ps_server_add_follower(serving->server, i, mu_ps_place_take(place, i));
    if (place->index > 0)
        mu_ps_server_add_head(serving->server, mu_ps_place_take(place, 0));
    for (int i = 0; i < place->worker_count; i++)
        mu_ps_server_add_worker(
            serving->server, i, mu_ps_place_take(place, place->server_count + i));
}

/* The server cuts off who does not speak as he should, or does not read, and the others go on. */
static enum mu_status run(struct serving *serving)
{
    struct mu_loop *loop = serving->place.ground->loop;
    MU_TRY(loop->ops->timer_start(loop, LOOK_NS, look, serving, &serving->timer));
    enum mu_status first = MU_OK, status;
    do {
        status = mu_ps_server_run(serving->server, &serving->over);
        first = first == MU_OK ? status : first;
    } while (status == MU_PROTOCOL || status == MU_UNAVAILABLE);
    loop->ops->timer_stop(serving->timer);
    return first;
}

static enum mu_status say_culprit(struct serving *serving, enum mu_status status)
{
    if (status != MU_CLOSED)
        return status;
    struct mu_ps_culprit culprit = mu_ps_server_culprit(serving->server);
    char *error = serving->log->owner;
    if (!error[0])
        mu_format(error, MU_LOG_TEXT_MAX, "ps/%d is gone", culprit.index);
    return status;
}

/* A worker that closes has left before. */
static enum mu_status check_left(struct serving *serving)
{
    char *error = serving->log->owner;
    for (int i = 0; i < serving->place.worker_count; i++) {
        if (!mu_ps_server_lost(serving->server, i))
            continue;
        mu_format(error, MU_LOG_TEXT_MAX, "worker/%d is gone without having closed", i);
        return MU_CLOSED;
    }
    return MU_OK;
}

static enum mu_status meet(struct serving *serving, const struct mu_ps_options *options)
{
    struct mu_text terms;
    enum mu_status status = mu_ps_terms_write(serving->log, options, &serving->told, &terms);
    if (status == MU_OK)
        status = mu_ps_place_meet(serving->log, &serving->place, terms.data);
    mu_text_finish(&terms);
    return status;
}

static enum mu_status serve(
    struct serving *serving, const struct mu_ps_options *options, float *parameters)
{
    MU_TRY(make_server(serving, options, parameters));
    MU_TRY(meet(serving, options));
    link_all(serving);
    enum mu_status status = say_culprit(serving, run(serving));
    if (status == MU_OK)
        status = check_left(serving);
    struct mu_span span = mu_ps_server_span(serving->server);
    if (parameters)
        memcpy(parameters + span.first, mu_ps_server_vector(serving->server, 0),
            span.count * sizeof(float));
    give_rows(serving, options);
    return status;
}

enum mu_status mu_ps_serve(const struct mu_ps_options *options, float *parameters)
{
    struct mu_log log;
    struct serving serving = {.log = &log};
    int in_flight;
    mu_ps_library_log(&log, mu_ps_library_error());
    if (!options)
        return mu_fail(&log, MU_E0001, NULL, "options is NULL");
    MU_TRY(mu_ps_told_check(&log, options, &in_flight));
    MU_TRY(mu_ps_place_open(&log, options, true, &serving.place));
    enum mu_status status =
        mu_ps_told_read(&log, options, serving.place.worker_count, &serving.told);
    if (status == MU_OK)
        status = serve(&serving, options, parameters);
    mu_ps_server_destroy(serving.server);
    mu_ps_told_finish(&serving.told);
    mu_ps_place_finish(&serving.place);
    return status;
}

size_t mu_ps_span(size_t count, int server_count, int server, size_t *ret_first)
{
    struct mu_span span = {0};
    if (server_count >= 1 && server_count <= MU_PS_SERVERS_MAX && server >= 0 &&
        server < server_count)
        span = mu_split(count, server_count, server);
    if (ret_first)
        *ret_first = span.first;
    return span.count;
}

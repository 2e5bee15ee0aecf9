/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/library/ps_handle.h"
#include "runtime/base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A worker of parameter servers in a program of somebody else. */

const char *mu_ps_error(const struct mu_ps *ps)
{
    return ps ? ps->error : mu_ps_library_error();
}

int mu_ps_worker(const struct mu_ps *ps)
{
    return ps ? ps->place.index : -1;
}

int mu_ps_worker_count(const struct mu_ps *ps)
{
    return ps ? ps->place.worker_count : -1;
}

/* ---- failing ---- */

enum mu_status mu_ps_handle_misused(struct mu_ps *ps, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(ps ? ps->error : mu_ps_library_error(), MU_LOG_TEXT_MAX, format, list);
    va_end(list);
    return MU_USAGE;
}

/* What the client has not said yet. */
static enum mu_status explain(struct mu_ps *ps, enum mu_status status, const char *what)
{
    int culprit = mu_ps_client_culprit(ps->client);
    const char *name = culprit >= 0 ? ps->place.names[culprit] : "a server";
    char waited[32];
    if (status == MU_OK)
        return status;
    mu_text_duration(waited, sizeof(waited), ps->place.timeout_ns);
    if (status == MU_TIMEOUT)
        mu_format(
            ps->error, sizeof(ps->error), "%s has not answered %s within %s", name, what, waited);
    else if (!ps->error[0] && mu_ps_client_put_out(ps->client))
        mu_format(ps->error, sizeof(ps->error),
            "%s has ended the link, in %s: the two gradients before were refused, and the third in "
            "a row puts a worker out",
            name, what);
    else if (!ps->error[0])
        mu_format(ps->error, sizeof(ps->error), "%s %s, in %s", name,
            status == MU_CLOSED ? "is gone" : mu_status_text(status), what);
    return status;
}

enum mu_status mu_ps_handle_begin(struct mu_ps *ps)
{
    if (!ps)
        return mu_ps_handle_misused(ps, "the handle is NULL");
    if (ps->broken)
        return MU_BROKEN; /* the reason stays */
    ps->error[0] = '\0';
    return MU_OK;
}

enum mu_status mu_ps_handle_end(struct mu_ps *ps, enum mu_status status, const char *what)
{
    ps->broken = ps->broken || (status != MU_OK && status != MU_TIMEOUT);
    return explain(ps, status, what);
}

int64_t mu_ps_handle_deadline(const struct mu_ps *ps)
{
    return mu_deadline(mu_now(&ps->place.ground->real.world), ps->place.timeout_ns);
}

/* ---- calls ---- */

static int free_push(const struct mu_ps *ps)
{
    int push = 0;
    while (push < ps->in_flight && ps->push[push].in_use)
        push++;
    return push;
}

enum mu_status mu_ps_handle_find_free(struct mu_ps *ps, int *ret_push)
{
    *ret_push = free_push(ps);
    if (*ret_push < ps->in_flight)
        return MU_OK;
    return mu_ps_handle_misused(
        ps, "%d pushes are under way: wait for one, or use a larger in_flight", ps->in_flight);
}

enum mu_status mu_ps_pull(struct mu_ps *ps, float *parameters, int64_t *ret_version)
{
    int push;
    MU_TRY(mu_ps_handle_begin(ps));
    MU_TRY(mu_ps_handle_find_free(ps, &push));
    if (!parameters)
        return mu_ps_handle_misused(ps, "parameters is NULL: a pull has nowhere to go");
    int64_t deadline = mu_ps_handle_deadline(ps), version;
    enum mu_status status = mu_ps_handle_share(ps, deadline);
    if (status == MU_OK)
        status = mu_ps_client_pull(
            ps->client, mu_ps_handle_fresh(ps, push, parameters), deadline, &version);
    if (status == MU_OK)
        mu_ps_handle_fresh_came(ps, push);
    if (status == MU_OK && ret_version)
        *ret_version = version;
    ps->broken = status != MU_OK; /* its answer may still write into `parameters` */
    return mu_ps_handle_end(ps, status, "a pull");
}

static enum mu_status fresh_of(struct mu_ps *ps, int push, float *parameters, float **ret_fresh)
{
    struct mu_ps_handle_push *own = &ps->push[push];
    *ret_fresh = mu_ps_handle_fresh(ps, push, parameters);
    if (*ret_fresh)
        return MU_OK;
    if (!own->unwanted)
        own->unwanted = malloc(ps->count * sizeof(float));
    *ret_fresh = own->unwanted;
    if (own->unwanted)
        return MU_OK;
    ps->broken = true;
    mu_format(ps->error, sizeof(ps->error), "no memory for %zu floats", ps->count);
    return MU_NO_MEMORY;
}

static enum mu_status check_push(struct mu_ps *ps, const float *gradients, int64_t version,
    const float *parameters, const int *ret_push, int *ret_free)
{
    MU_TRY(mu_ps_handle_begin(ps));
    MU_TRY(mu_ps_handle_find_free(ps, ret_free));
    if (!gradients || !ret_push)
        return mu_ps_handle_misused(ps, "%s is NULL", gradients ? "ret_push" : "gradients");
    if (version < 0)
        return mu_ps_handle_misused(
            ps, "version %lld is none that a pull has given", (long long)version);
    if (gradients == parameters)
        return mu_ps_handle_misused(ps, "gradients and parameters are the same vector");
    return MU_OK;
}

/* In a push that is free. */
static enum mu_status start_push(struct mu_ps *ps, int push, const float *gradients,
    int64_t version, float *parameters, const struct mu_ps_rows *rows)
{
    float *fresh;
    MU_TRY(fresh_of(ps, push, parameters, &fresh));
    ps->rows.wanted[push].count = 0; /* of a push that was refused */
    if (rows && (rows->count > 0 || rows->wanted_count > 0))
        MU_TRY(mu_ps_handle_rows_put(ps, push, rows));
    enum mu_status status = mu_ps_client_push(
        ps->client, push, mu_ps_handle_gradients(ps, push, gradients), 1, version, fresh);
    ps->push[push].in_use = status == MU_OK;
    return mu_ps_handle_end(ps, status, "a push");
}

enum mu_status mu_ps_push(
    struct mu_ps *ps, const float *gradients, int64_t version, float *parameters, int *ret_push)
{
    return mu_ps_push_rows(ps, gradients, version, parameters, NULL, ret_push);
}

/* Nobody has waited for servers here: they may not serve yet. Only who allows shared memory alone
 * has to. */
enum mu_status mu_ps_push_rows(struct mu_ps *ps, const float *gradients, int64_t version,
    float *parameters, const struct mu_ps_rows *rows, int *ret_push)
{
    int push;
    MU_TRY(check_push(ps, gradients, version, parameters, ret_push, &push));
    if (ps->sharing == MU_PS_SHARE_ALWAYS)
        MU_TRY(mu_ps_handle_end(ps, mu_ps_handle_share(ps, mu_ps_handle_deadline(ps)), "a push"));
    MU_TRY(start_push(ps, push, gradients, version, parameters, rows));
    *ret_push = push;
    return MU_OK;
}

static enum mu_status wait_until(
    struct mu_ps *ps, int push, int64_t deadline_ns, struct mu_ps_result *ret_result)
{
    struct mu_ps_result result;
    enum mu_status status = mu_ps_client_wait(ps->client, push, deadline_ns, &result);
    if (status == MU_OK) {
        ps->push[push].in_use = false;
        mu_ps_handle_fresh_came(ps, push);
        if (result.verdict != MU_VERDICT_REFUSE)
            mu_ps_handle_rows_came(ps, push);
        if (ret_result)
            *ret_result = result;
    }
    return mu_ps_handle_end(ps, status, "a push");
}

enum mu_status mu_ps_wait(struct mu_ps *ps, int push, struct mu_ps_result *ret_result)
{
    MU_TRY(mu_ps_handle_begin(ps));
    if (push < 0 || push >= ps->in_flight || !ps->push[push].in_use)
        return mu_ps_handle_misused(ps, "push %d is not under way", push);
    return wait_until(ps, push, mu_ps_handle_deadline(ps), ret_result);
}

enum mu_status mu_ps_push_pull(struct mu_ps *ps, const float *gradients, int64_t version,
    float *parameters, struct mu_ps_result *ret_result)
{
    int push;
    MU_TRY(check_push(ps, gradients, version, parameters, &push, &push));
    int64_t deadline = mu_ps_handle_deadline(ps);
    MU_TRY(mu_ps_handle_end(ps, mu_ps_handle_share(ps, deadline), "a push"));
    MU_TRY(start_push(ps, push, gradients, version, parameters, NULL));
    enum mu_status status = wait_until(ps, push, deadline, ret_result);
    ps->broken = status != MU_OK; /* the caller does not know which push to wait for */
    return status;
}

/* ---- life ---- */

static void release(struct mu_ps *ps)
{
    mu_ps_client_destroy(ps->client);
    mu_vectors_finish(&ps->vectors);
    mu_ps_place_finish(&ps->place);
    mu_ps_handle_rows_finish(ps);
    for (int i = 0; i < MU_PS_IN_FLIGHT_MAX; i++)
        free(ps->push[i].unwanted);
    free(ps);
}

static enum mu_status open_client(struct mu_ps *ps)
{
    const struct mu_ps_client_options options = {
        .loop = ps->place.ground->loop,
        .log = &ps->log,
        .replica = ps->place.index,
        .server_count = ps->place.server_count,
        .in_flight = ps->in_flight,
        .element_count = ps->count,
        .row_width = ps->rows.width,
        .row_max = ps->rows.max,
    };
    MU_TRY(mu_ps_client_create(&options, &ps->client));
    for (int i = 0; i < ps->place.server_count; i++)
        mu_ps_client_add_server(ps->client, i, mu_ps_place_take(&ps->place, i));
    return ps->error[0] ? ps->log.first_status : MU_OK; /* it may have come with the greeting */
}

static enum mu_status meet(
    struct mu_log *log, const struct mu_ps_options *options, struct mu_ps_place *place)
{
    struct mu_text terms;
    enum mu_status status = mu_ps_terms_write(log, options, NULL, &terms);
    if (status == MU_OK)
        status = mu_ps_place_meet(log, place, terms.data);
    mu_text_finish(&terms);
    return status;
}

enum mu_status mu_ps_open(const struct mu_ps_options *options, struct mu_ps **ret_ps)
{
    struct mu_log log;
    mu_ps_library_log(&log, mu_ps_library_error());
    if (ret_ps)
        *ret_ps = NULL;
    if (!options || !ret_ps)
        return mu_fail(&log, MU_E0001, NULL, "%s is NULL", options ? "ret_ps" : "options");
    struct mu_ps *ps = calloc(1, sizeof(*ps));
    if (!ps)
        return mu_fail(&log, MU_E0801, NULL, "no memory for a worker");
    mu_ps_library_log(&ps->log, ps->error);
    ps->count = options->count;
    enum mu_status status = mu_ps_told_check(&log, options, &ps->in_flight);
    if (status == MU_OK)
        status = mu_ps_told_transport(&log, options, &ps->sharing);
    if (status == MU_OK)
        status = mu_ps_handle_rows_init(ps, options);
    if (status == MU_OK)
        status = mu_ps_place_open(&log, options, false, &ps->place);
    if (status == MU_OK)
        status = meet(&log, options, &ps->place);
    if (status == MU_OK)
        status = open_client(ps);
    if (status != MU_OK) {
        if (ps->error[0])
            mu_text_copy(mu_ps_library_error(), MU_LOG_TEXT_MAX, ps->error);
        release(ps);
        return status;
    }
    *ret_ps = ps;
    return MU_OK;
}

void mu_ps_close(struct mu_ps *ps)
{
    if (!ps)
        return;
    enum mu_status status = MU_OK;
    for (int i = 0; i < ps->in_flight && status == MU_OK; i++)
        if (ps->push[i].in_use)
            status = mu_ps_wait(ps, i, NULL);
    if (status == MU_OK && !ps->broken)
        status = mu_ps_client_leave(ps->client, mu_ps_handle_deadline(ps));
    (void)status; /* who does not hear it sees the end of the link */
    release(ps);
}

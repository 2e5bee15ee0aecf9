/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/spec.h"
#include "collectives/mesh.h"
#include "roles/library/library_help.h"
#include "roles/library/ps_library.h"
#include "runtime/base/log_quiet.h"
#include "runtime/base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is said ---- */

char *mu_ps_library_error(void)
{
    static _Thread_local char error[MU_LOG_TEXT_MAX];
    return error;
}

/* The first error is the cause. */
static void write_log(struct mu_log *log, enum mu_level level, const char *text)
{
    char *out = log->owner;
    if (level != MU_LEVEL_ERROR)
        fprintf(stderr, "muster: %s\n", text);
    else if (!out[0])
        mu_text_copy(out, MU_LOG_TEXT_MAX, text);
}

void mu_ps_library_log(struct mu_log *log, char *out)
{
    *log = (struct mu_log){
        .write = write_log, .owner = out, .help = mu_library_help, .level = MU_LEVEL_WARN};
    out[0] = '\0';
}

/* ---- who is where ---- */

static enum mu_status make_addresses(struct mu_log *log, struct mu_ps_place *place)
{
    place->address = calloc((size_t)place->server_count, sizeof(*place->address));
    return place->address ? MU_OK : mu_fail(log, MU_E0801, NULL, "no memory for addresses");
}

static enum mu_status given_place(
    struct mu_log *log, const struct mu_ps_options *options, struct mu_ps_place *place)
{
    char reason[128];
    int most = place->serves ? options->server_count : options->worker_count;
    place->server_count = options->server_count;
    place->worker_count = options->worker_count;
    place->index = options->index;
    if (place->server_count < 1 || place->server_count > MU_PS_SERVERS_MAX ||
        place->worker_count < 1 || place->worker_count > MU_PS_REPLICAS_MAX)
        return mu_fail(log, MU_E0106, NULL, "%d servers and %d workers, of 1 to %d and 1 to %d",
            place->server_count, place->worker_count, MU_PS_SERVERS_MAX, MU_PS_REPLICAS_MAX);
    if (place->index < 0 || place->index >= most)
        return mu_fail(log, MU_E0107, "they count from 0", "this is to be %s %d of %d",
            place->serves ? "server" : "worker", place->index, most);
    MU_TRY(make_addresses(log, place));
    for (int i = 0; i < place->server_count; i++)
        if (!options->servers[i])
            return mu_fail(log, MU_E0001, NULL, "servers[%d] is NULL", i);
        else if (!mu_address_parse(options->servers[i], &place->address[i], reason, sizeof(reason)))
            return mu_fail(log, MU_E0108, NULL, "address %d of the servers, `%.80s`, %s", i,
                options->servers[i], reason);
    return MU_OK;
}

static enum mu_status spec_place(
    struct mu_log *log, const struct mu_spec *spec, struct mu_ps_place *place)
{
    char name[MU_TASK_NAME_MAX];
    if (spec->local || spec->ps_count == 0)
        return mu_fail(log, MU_E0106, "set TF_CONFIG, or give the addresses of the servers",
            "there is no parameter server in the cluster");
    const struct mu_task *self = &spec->task[spec->self];
    mu_task_name(self, name, sizeof(name));
    place->server_count = spec->ps_count;
    place->worker_count = spec->replica_count;
    place->index = place->serves ? mu_spec_ps_order(spec, spec->self) : self->replica;
    if (place->index < 0)
        return mu_fail(log, MU_E0107, "mu_ps_is_server says which it is", "%s is no %s", name,
            place->serves ? "parameter server" : "worker");
    MU_TRY(make_addresses(log, place));
    for (int i = 0; i < spec->ps_count; i++)
        place->address[i] = spec->task[mu_spec_ps(spec, i)].address;
    return MU_OK;
}

static enum mu_status find_place(
    struct mu_log *log, const struct mu_ps_options *options, struct mu_ps_place *place)
{
    const struct mu_spec_request nothing = {0};
    struct mu_spec spec = {0};
    if (options->servers)
        return given_place(log, options, place);
    MU_TRY(mu_spec_load(log, &nothing, true, &spec));
    enum mu_status status = spec_place(log, &spec, place);
    mu_spec_finish(&spec);
    return status;
}

int mu_ps_is_server(void)
{
    const struct mu_spec_request nothing = {0};
    struct mu_log quiet = mu_log_quiet();
    struct mu_spec spec = {0};
    if (mu_spec_load(&quiet, &nothing, true, &spec) != MU_OK)
        return 0;
    bool serves = !spec.local && mu_spec_ps_order(&spec, spec.self) >= 0;
    mu_spec_finish(&spec);
    return serves;
}

/* ---- links ---- */

static enum mu_status name_all(struct mu_log *log, struct mu_ps_place *place)
{
    size_t count = (size_t)place->server_count + (size_t)place->worker_count;
    place->name = calloc(count, sizeof(*place->name));
    place->names = calloc(count, sizeof(*place->names));
    place->link = calloc(count, sizeof(*place->link));
    if (!place->name || !place->names || !place->link)
        return mu_fail(log, MU_E0801, NULL, "no memory for %zu links", count);
    for (int i = 0; i < (int)count; i++) {
        bool serves = i < place->server_count;
        mu_format(place->name[i], sizeof(place->name[i]), "%s/%d", serves ? "ps" : "worker",
            serves ? i : i - place->server_count);
        place->names[i] = place->name[i];
    }
    return MU_OK;
}

enum mu_status mu_ps_place_meet(struct mu_log *log, struct mu_ps_place *place, const char *terms)
{
    const struct mu_mesh_request request = {
        .loop = place->ground->loop,
        .log = log,
        .rank = place->serves ? place->index : place->server_count + place->index,
        .count = place->server_count + place->worker_count,
        .address = place->address,
        .listen_fd = -1,
        .group = mu_mesh_group_of(place->address, place->server_count),
        .listener_count = place->server_count,
        .names = place->names,
        .terms = terms,
    };
    int64_t now = mu_now(&place->ground->real.world);
    return mu_mesh_open(&request, mu_deadline(now, place->timeout_ns), place->link);
}

enum mu_status mu_ps_place_open(struct mu_log *log, const struct mu_ps_options *options,
    bool serves, struct mu_ps_place *ret_place)
{
    *ret_place = (struct mu_ps_place){.serves = serves};
    enum mu_status status =
        mu_ground_timeout(log, options->timeout_seconds, &ret_place->timeout_ns);
    if (status == MU_OK)
        status = find_place(log, options, ret_place);
    if (status == MU_OK)
        status = name_all(log, ret_place);
    if (status == MU_OK)
        status = mu_ground_make(log, &ret_place->ground);
    if (status != MU_OK)
        mu_ps_place_finish(ret_place);
    return status;
}

void mu_ps_place_finish(struct mu_ps_place *place)
{
    for (int i = 0; place->link && i < place->server_count + place->worker_count; i++)
        mu_link_close(place->link[i]);
    mu_ground_close(place->ground);
    free(place->link);
    free(place->address);
    free(place->name);
    free(place->names);
    *place = (struct mu_ps_place){0};
}

struct mu_link *mu_ps_place_take(struct mu_ps_place *place, int rank)
{
    struct mu_link *link = place->link[rank];
    place->link[rank] = NULL;
    assert(link);
    return link;
}

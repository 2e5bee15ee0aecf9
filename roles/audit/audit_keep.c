/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/audit/audit_keep.h"
#include "cluster/cluster.h"
#include "ps/ps_bodies.h"
#include "ps/seats.h"
#include "roles/audit/audit_header.h"
#include "roles/job/job_table.h"
#include "runtime/base/text.h"
#include "runtime/tensor/layout.h"

static enum mu_status open_log(const struct mu_audit_keep *keep,
    const struct mu_audit_header *header, size_t record_bytes, size_t row_stride,
    struct mu_audit **ret_audit)
{
    const struct mu_task_run *run = keep->run;
    char path[2200];
    struct mu_text text;
    mu_format(path, sizeof(path), "%s/audit/ps-%d%s.log", run->out_dir, header->order,
        header->standby ? "-standby" : "");
    mu_text_init(&text);
    mu_audit_header_write(header, run->job, &text);
    const struct mu_audit_options options = {
        .world = run->world,
        .loop = keep->loop,
        .log = run->log,
        .path = path,
        .text = text.data,
        .record_bytes = record_bytes,
        .row_stride = row_stride,
    };
    enum mu_status status = text.failed ? MU_NO_MEMORY : mu_audit_open(&options, ret_audit);
    mu_text_finish(&text);
    return status;
}

enum mu_status mu_audit_keep_open(
    const struct mu_audit_keep *keep, int seat, struct mu_audit **ret_audit)
{
    const struct mu_task_run *run = keep->run;
    int servers = run->spec->ps_count;
    const struct mu_audit_header header = {
        .order = mu_ps_seat_span(seat, servers),
        .standby = seat >= servers,
        .server_count = servers,
        .replica_count = run->spec->replica_count,
        .run = mu_cluster_run(keep->cluster),
        .generation = mu_cluster_generation(keep->cluster),
        .element_count = keep->layout->element_count,
        .layout_crc32c = mu_layout_crc32c(keep->layout),
        .facts = *keep->facts,
    };
    struct mu_ps_rows_options rows;
    *ret_audit = NULL;
    if (!run->job->mode.audit || !run->out_dir)
        return MU_OK;
    MU_TRY(mu_job_table(run->job, keep->facts, servers, run->log, &rows));
    const struct mu_ps_rows_body most = {.given = (uint32_t)rows.push_max};
    size_t span_bytes = mu_split(header.element_count, servers, header.order).count * sizeof(float);
    return open_log(keep, &header, span_bytes + mu_ps_rows_bytes(&most, rows.width),
        rows.width * (1 + (size_t)run->job->optimizer->slot_count), ret_audit);
}

/* The end record says that nothing is missing, whatever the run ends with. */
enum mu_status mu_audit_keep_close(struct mu_audit *audit, struct mu_ps_server *server)
{
    if (!audit || !server)
        return mu_audit_close(audit, 0, NULL, 0);
    if (mu_ps_server_without(server) >= 0)
        mu_audit_note_lost(audit, mu_ps_server_without(server));
    return mu_audit_close(audit, mu_ps_server_version(server), mu_ps_server_vector(server, 0),
        mu_ps_server_span(server).count);
}

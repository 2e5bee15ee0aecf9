/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/audit_keep.h"
#include "ps/ps_bodies.h"
#include "roles/audit_header.h"
#include "roles/job_table.h"
#include "runtime/base/text.h"
#include "runtime/tensor/layout.h"

enum mu_status mu_audit_keep_open(struct mu_task_run *run, struct mu_loop *loop, int order,
    const struct mu_layout *layout, const struct mu_dataset_facts *facts,
    struct mu_audit **ret_audit)
{
    const struct mu_audit_header header = {
        .order = order,
        .server_count = run->spec->ps_count,
        .replica_count = run->spec->replica_count,
        .element_count = layout->element_count,
        .layout_crc32c = mu_layout_crc32c(layout),
        .facts = *facts,
    };
    char path[2200];
    struct mu_text text;
    struct mu_ps_rows_options rows;
    *ret_audit = NULL;
    if (!run->job->mode.audit || !run->out_dir)
        return MU_OK;
    MU_TRY(mu_job_table(run->job, facts, header.server_count, run->log, &rows));
    const struct mu_ps_rows_body most = {.given = (uint32_t)rows.push_max};
    mu_format(path, sizeof(path), "%s/audit/ps-%d.log", run->out_dir, order);
    mu_text_init(&text);
    mu_audit_header_write(&header, run->job, &text);
    const struct mu_audit_options options = {
        .world = run->world,
        .loop = loop,
        .log = run->log,
        .path = path,
        .text = text.data,
        .record_bytes =
            mu_split(header.element_count, header.server_count, order).count * sizeof(float) +
            mu_ps_rows_bytes(&most, rows.width),
        .row_stride = rows.width * (1 + (size_t)run->job->optimizer->slot_count),
    };
    enum mu_status status = text.failed ? MU_NO_MEMORY : mu_audit_open(&options, ret_audit);
    mu_text_finish(&text);
    return status;
}

/* The end record says that nothing is missing, whatever the run ends with. */
enum mu_status mu_audit_keep_close(struct mu_audit *audit, struct mu_ps_server *server)
{
    if (!server)
        return mu_audit_close(audit, 0, NULL, 0);
    return mu_audit_close(audit, mu_ps_server_version(server), mu_ps_server_vector(server, 0),
        mu_ps_server_span(server).count);
}

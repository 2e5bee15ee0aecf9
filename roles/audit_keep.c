/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/audit_keep.h"
#include "roles/audit_header.h"
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
    *ret_audit = NULL;
    if (!run->job->mode.audit || !run->out_dir)
        return MU_OK;
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
            mu_split(header.element_count, header.server_count, order).count * sizeof(float),
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

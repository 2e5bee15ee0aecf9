/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/server/ps_load.h"
#include "runtime/base/text.h"

void mu_ps_load_of(const struct mu_ps_server *server, struct mu_load *ret_load)
{
    const struct mu_ps_load *load = mu_ps_server_load(server);
    const struct mu_ps_kept kept = mu_ps_server_kept(server);
    const struct mu_staleness *staleness = mu_ps_server_staleness(server);
    const struct mu_ps_chosen chosen = mu_ps_server_chosen(server);
    bool is_sync = chosen.predicted > 0 && chosen.mode.kind == MU_PS_SYNC;
    *ret_load =
        (struct mu_load){.value = {
                             [MU_LOAD_REQUESTS] = (int64_t)load->requests,
                             [MU_LOAD_BYTES_IN] = (int64_t)load->bytes_in,
                             [MU_LOAD_BYTES_OUT] = (int64_t)load->bytes_out,
                             [MU_LOAD_ROWS_GIVEN] = (int64_t)load->rows_given,
                             [MU_LOAD_ROWS_WANTED] = (int64_t)load->rows_wanted,
                             [MU_LOAD_DENSE_BYTES] = (int64_t)kept.dense_bytes,
                             [MU_LOAD_ROWS] = (int64_t)kept.rows,
                             [MU_LOAD_ROW_BYTES] = (int64_t)kept.row_bytes,
                             [MU_LOAD_ROWS_EVICTED] = (int64_t)kept.rows_evicted,
                             [MU_LOAD_MEMORY_BYTES] = (int64_t)kept.memory,
                             [MU_LOAD_GRADIENTS] = (int64_t)staleness->count,
                             [MU_LOAD_STALENESS_SUM] = (int64_t)staleness->sum,
                             [MU_LOAD_STALENESS_MAX] = (int64_t)staleness->max,
                             [MU_LOAD_HELD] = kept.held_count,
                             [MU_LOAD_UNREAD] = kept.unread_count,
                             [MU_LOAD_UNREAD_BYTES] = (int64_t)kept.unread_bytes,
                             [MU_LOAD_CUT_OFF] = (int64_t)load->cut_off,
                             [MU_LOAD_AUTO_WORKERS] = is_sync ? chosen.mode.workers : 0,
                             [MU_LOAD_AUTO_BOUND] = is_sync ? 0 : chosen.mode.bound,
                             [MU_LOAD_AUTO_PREDICTED] = (int64_t)(1000 * chosen.predicted + 0.5),
                             [MU_LOAD_REFUSED] = (int64_t)staleness->verdicts[MU_VERDICT_REFUSE],
                             [MU_LOAD_AUTO_MEASURED] = (int64_t)(1000 * chosen.measured + 0.5),
                         }};
}

void mu_ps_load_add_standby(const struct mu_ps_server *standby, struct mu_load *load)
{
    static const enum mu_load_row of_both[] = {MU_LOAD_REQUESTS, MU_LOAD_BYTES_IN,
        MU_LOAD_BYTES_OUT, MU_LOAD_ROWS_GIVEN, MU_LOAD_ROWS_WANTED, MU_LOAD_MEMORY_BYTES,
        MU_LOAD_HELD, MU_LOAD_UNREAD, MU_LOAD_UNREAD_BYTES, MU_LOAD_CUT_OFF};
    static const enum mu_load_row of_head[] = {
        MU_LOAD_AUTO_WORKERS, MU_LOAD_AUTO_BOUND, MU_LOAD_AUTO_PREDICTED, MU_LOAD_AUTO_MEASURED};
    struct mu_load its;
    mu_ps_load_of(standby, &its);
    for (size_t i = 0; mu_ps_server_is_head(standby) && i < MU_COUNT_OF(of_head); i++)
        load->value[of_head[i]] = its.value[of_head[i]];
    for (size_t i = 0; i < MU_COUNT_OF(of_both); i++)
        load->value[of_both[i]] += its.value[of_both[i]];
}

void mu_ps_load_write(
    const struct mu_load *load, struct mu_event_file *events, int64_t wall_ns, int64_t version)
{
    for (int row = 0; row < MU_LOAD_COUNT; row++) {
        char tag[40];
        mu_format(tag, sizeof(tag), "ps/load/%s", mu_load_name((enum mu_load_row)row));
        mu_event_file_scalar(events, wall_ns, version, tag, (float)load->value[row]);
    }
}

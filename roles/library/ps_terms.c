/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/mesh.h"
#include "roles/library/ps_library.h"
#include "runtime/base/options.h"

/* What servers and workers of muster/ps.h tell each other of their options when they meet. */

static void add_number(struct mu_text *out, const char *key, uint64_t value)
{
    mu_text_add(out, "%s %llu\n", key, (unsigned long long)value);
}

static void add_real(struct mu_text *out, const char *key, double value)
{
    mu_text_add(out, "%s ", key);
    mu_text_add_double(out, value);
    mu_text_add(out, "\n");
}

static void add_rows(
    struct mu_text *out, const char *field, const struct mu_option *rows, const void *values)
{
    for (const struct mu_option *row = rows; row && row->name; row++) {
        mu_text_add(out, "%s.%s ", field, row->name);
        mu_options_write_one(row, values, out);
        mu_text_add(out, "\n");
    }
}

/* A worker without a table has nothing to say of one, and need not know where its ids end. */
static void add_table(struct mu_text *out, const struct mu_ps_options *options, bool serves)
{
    if (options->row_width == 0 && !serves)
        return;
    add_number(out, "row_width", options->row_width);
    if (options->row_width == 0)
        return;
    add_number(out, "row_max", options->row_max);
    add_number(out, "row_range", options->row_range != 0);
    if (options->row_ids > 0 || serves)
        add_number(out, "row_ids", options->row_ids);
}

static void add_mode(
    struct mu_text *out, const struct mu_ps_options *options, const struct mu_ps_told *told)
{
    mu_text_add(out, "mode %s\n", options->mode ? options->mode : "async");
    add_number(out, "gradients", (uint64_t)told->mode.gradients);
    add_number(out, "backups", (uint64_t)options->backups);
    add_number(out, "bound", (uint64_t)told->mode.bound);
}

static void add_of_servers(
    struct mu_text *out, const struct mu_ps_options *options, const struct mu_ps_told *told)
{
    add_mode(out, options, told);
    mu_text_add(out, "policy %s\n", told->policy->name);
    add_rows(out, "policy_options", told->policy->options, told->policy_options);
    mu_text_add(out, "optimizer %s\n", told->optimizer->name);
    add_real(out, "optimizer_options.learning_rate", told->learning_rate);
    add_real(out, "optimizer_options.weight_decay", told->weight_decay);
    add_rows(out, "optimizer_options", told->optimizer->options, told->optimizer_options);
    if (options->row_width == 0)
        return;
    add_number(out, "row_limit", options->row_limit);
    add_number(out, "row_dense", options->row_dense != 0);
    mu_text_add(out, "row_begin %s\n", options->row_begin ? "given" : "NULL");
}

enum mu_status mu_ps_terms_write(struct mu_log *log, const struct mu_ps_options *options,
    const struct mu_ps_told *told, struct mu_text *ret_terms)
{
    mu_text_init(ret_terms);
    add_number(ret_terms, "count", options->count);
    add_table(ret_terms, options, told != NULL);
    if (told)
        add_of_servers(ret_terms, options, told);
    assert(ret_terms->bytes < MU_MESH_TERMS_MAX);
    return ret_terms->failed ? mu_fail(log, MU_E0801, NULL, "no memory for what is said to others")
                             : MU_OK;
}

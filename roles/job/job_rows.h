/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_JOB_ROWS_H
#define MU_ROLES_JOB_ROWS_H

#include "roles/job/job.h"
#include "runtime/base/options.h"

/*
 * The schema of a job as data: which sections there are, which rows each has of its own, and which
 * table of drivers a section chooses from. Reading, writing and describing follow it.
 */
#define MU_JOB_SECTIONS 9

/* One entry of a table of drivers, whatever the table. */
struct mu_job_kind {
    const char *name, *doc;
    const struct mu_option *options;
    size_t option_bytes;
    const void *ops;
};

struct mu_job_section {
    const char *name; /* "optimizer" */
    const char *doc;
    const struct mu_option *rows; /* of the section itself; never NULL */
    size_t offset;                /* of the struct in struct mu_job that the rows fill */
    /* The table of drivers, or NULL. False past its end. */
    bool (*kind)(size_t index, struct mu_job_kind *ret_kind);
    const char *kind_key;      /* the key that chooses: "kind", "policy" */
    const char *kind_fallback; /* NULL: it must be given */
    size_t ops_offset;         /* of the pointers in struct mu_job: the driver, its options */
    size_t options_offset;
    const char *list_key; /* a list of objects beside the rows (job_phases.h); NULL: none */
};

extern const struct mu_job_section mu_job_sections[MU_JOB_SECTIONS];
extern const struct mu_option mu_job_root_rows[]; /* "name" */

/* The row of "train.steps" and the like, of a section's own rows; NULL if there is none. */
const struct mu_option *mu_job_row_find(const char *path);
/* False if the table has no such kind. */
bool mu_job_kind_find(
    const struct mu_job_section *section, const char *name, struct mu_job_kind *ret_kind);
/* The kind that the job has in this section. */
struct mu_job_kind mu_job_kind_chosen(
    const struct mu_job_section *section, const struct mu_job *job);

void **mu_job_options_field(const struct mu_job_section *section, struct mu_job *job);

/* Over everything that must agree between tasks. */
uint64_t mu_job_hash(const struct mu_job *job);
/* What it is over, as one line of JSON. */
void mu_job_write_agreed(const struct mu_job *job, struct mu_text *out);

#endif

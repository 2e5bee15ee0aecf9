/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_PS_HANDLE_H
#define MU_ROLES_PS_HANDLE_H

#include "ps/client.h"
#include "roles/library/ps_library.h"

/* A worker of parameter servers in a program of somebody else, between the files that make it. */

/* The wanted rows of one push. */
struct mu_ps_handle_wanted {
    uint32_t *of_entry; /* (row_max): which of the values */
    float *values;      /* (row_max, row_width): each row once */
    float *rows;        /* the caller's */
    size_t count;       /* entries */
};

/* All that embedding rows need; zeroed where there is no table. */
struct mu_ps_handle_rows {
    size_t width, max;
    uint64_t ids; /* they are below it; 0: any */
    bool by_range;
    /* Of the call at hand. */
    struct mu_unique unique;
    struct mu_row_set set, wanted_set;
    uint32_t *of_entry;
    float *sums;
    struct mu_ps_handle_wanted wanted[MU_PS_IN_FLIGHT_MAX];
};

/* One push under way. */
struct mu_ps_handle_push {
    bool in_use;
    float *parameters; /* where fresh ones are copied to; NULL: they are there, or unwanted */
    float *unwanted;   /* fresh ones that nobody wants; made when it is needed first */
};

struct mu_ps {
    struct mu_ps_place place;
    struct mu_log log;
    struct mu_ps_client *client;
    size_t count;
    int in_flight;
    struct mu_ps_handle_push push[MU_PS_IN_FLIGHT_MAX];
    enum mu_ps_sharing sharing;
    bool has_asked;            /* who shares */
    struct mu_vectors vectors; /* a gradient and fresh parameters of each push; none: nobody does */
    struct mu_ps_handle_rows rows;
    bool broken;
    char error[MU_LOG_TEXT_MAX];
};

/* ---- of a call (ps_open.c) ---- */

enum mu_status mu_ps_handle_begin(struct mu_ps *ps); /* BROKEN: it has failed before */
enum mu_status mu_ps_handle_end(struct mu_ps *ps, enum mu_status status, const char *what);
__attribute__((format(printf, 2, 3))) enum mu_status mu_ps_handle_misused(
    struct mu_ps *ps, const char *format, ...);
enum mu_status mu_ps_handle_find_free(struct mu_ps *ps, int *ret_push);
int64_t mu_ps_handle_deadline(const struct mu_ps *ps);

/* ---- shared memory (ps_handle_share.c) ---- */

/* Finds out who shares, once, and not while anything is under way: then in a later call. Fails like
 * mu_ps_client_share_home. */
enum mu_status mu_ps_handle_share(struct mu_ps *ps, int64_t deadline_ns);
/* Where a push takes its gradient from: copied to where servers see it, if one does. */
const float *mu_ps_handle_gradients(struct mu_ps *ps, int push, const float *gradients);
/* Where its fresh parameters come; NULL: nobody wants them, and there is no place for them. */
float *mu_ps_handle_fresh(struct mu_ps *ps, int push, float *parameters);
/* They have come: copies them to who wants them, if they are not there. */
void mu_ps_handle_fresh_came(struct mu_ps *ps, int push);

/* ---- rows (ps_handle_rows.c) ---- */

enum mu_status mu_ps_handle_rows_init(
    struct mu_ps *ps, const struct mu_ps_options *options); /* NO_MEMORY */
void mu_ps_handle_rows_finish(struct mu_ps *ps);
/* Before the push of this slot, which is free. USAGE: they are no rows. */
enum mu_status mu_ps_handle_rows_put(struct mu_ps *ps, int push, const struct mu_ps_rows *rows);
/* The wanted rows are there. */
void mu_ps_handle_rows_came(struct mu_ps *ps, int push);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_AUDIT_FILES_H
#define MU_ROLES_AUDIT_FILES_H

#include "ps/seats.h"
#include "runtime/base/log.h"

/*
 * Which files are the logs of all servers of one run, or of one generation of it:
 *
 *   ps-0.log  ps-0-standby.log       of the last one
 *   ps-0.log.2  ps-0.log.1           of those before, the youngest first
 *
 * Where a server and its standby both have written one, it is taken that is whole: that of the
 * server, unless the others went on without the process that wrote it.
 */
#define MU_AUDIT_NAME_MAX 48

struct mu_audit_files {
    const char *directory; /* as it was named; borrowed */
    char folder[2048];
    int server_count;
    int number; /* that the name of the log of ps/0 ends with; 0: the last one */
    uint64_t run;
    uint32_t generation;
    int64_t version; /* that they begin with; -1: it cannot be read */
    char name[MU_PS_SERVERS_MAX][MU_AUDIT_NAME_MAX];
    bool standby[MU_PS_SERVERS_MAX]; /* it is the one of the standby */
};

/* The last ones in a run directory, or in the folder that they lie in. Whether they are there, and
 * what is in them, is for the reader to find out. */
void mu_audit_files_last(const char *directory, struct mu_audit_files *ret_files);
/* Those before them. False: there are none, or not of all servers. */
bool mu_audit_files_before(const struct mu_audit_files *files, struct mu_audit_files *ret_files);

#endif

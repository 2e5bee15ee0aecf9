/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_LOCAL_CHILD_H
#define MU_ROLES_LOCAL_CHILD_H

#include "cluster/spec.h"
#include <sys/types.h>

/* One task of the local launcher: a child process, its socket and its pipe. */
#define MU_LOCAL_LINE_MAX 8192
#define MU_LOCAL_SIGNAL_NAME_MAX 16
#define MU_LOCAL_LISTEN_FD 3 /* where the child finds its listening socket */

enum mu_local_state { MU_LOCAL_RUNNING, MU_LOCAL_STOPPED, MU_LOCAL_ENDED };

struct mu_local_child {
    char name[MU_TASK_NAME_MAX];
    enum mu_role role;
    int port;
    int listen_fd; /* -1 once the child has it */
    int output_fd; /* our end of its stdout and stderr; -1: closed */
    pid_t pid;
    enum mu_local_state state;
    int wait_status;  /* as waitpid gave it, once ended */
    int64_t ended_ns; /* on the monotonic clock */
    int64_t ended_wall_ns;
    int restarts;     /* so far */
    int64_t again_ns; /* when it is started again; 0: it is not */
    bool was_stopped; /* state T when the first of the others gave up, or when the run was over */
    int sent;         /* the last signal that we sent it; 0: none */
    int64_t due_ns;   /* when patience with it ends: then SIGTERM, and after that SIGKILL */
    /* The line that is not finished yet, and the last line that looked like a reason. */
    char line[MU_LOCAL_LINE_MAX];
    size_t line_bytes;
    char reason[512];
    bool reason_is_error;
    bool repeats; /* it is saying an error that another task has said */
};

static inline bool mu_local_is_replica(const struct mu_local_child *child)
{
    return child->role == MU_ROLE_CHIEF || child->role == MU_ROLE_WORKER;
}

/* What all children are started with. */
struct mu_local_start {
    const char *program; /* a path that exec takes */
    char *const *argv;   /* after the name */
    char **environment;  /* NULL-terminated, TF_CONFIG not among it */
    pid_t launcher;
};

/* The environment of the children: ours, without what could say who a task is, and with
 * MUSTER_LISTEN_FD, MUSTER_LAUNCHED (`terminal` or `pipe`) and COLUMNS (if > 0). free() it with
 * mu_local_child_environment_free. NULL: no memory. */
char **mu_local_child_environment(char *const *ours, bool terminal, int columns);
void mu_local_child_environment_free(char **environment);

/* Binds 127.0.0.1 and child->port (0: one that is free, which becomes its port), and listens.
 * CONFIG. */
enum mu_status mu_local_child_listen(struct mu_log *log, struct mu_local_child *child);
/* Starts the process. CONFIG, NO_MEMORY. */
enum mu_status mu_local_child_start(struct mu_log *log, const struct mu_local_start *start,
    const char *tf_config, struct mu_local_child *child);
/* The same for one that has ended, at its port. */
enum mu_status mu_local_child_start_again(struct mu_log *log, const struct mu_local_start *start,
    const char *tf_config, struct mu_local_child *child);
/* Looks whether the process was stopped, continued or has ended; true if its state changed. */
bool mu_local_child_reap(struct mu_local_child *child, int64_t now_ns, int64_t wall_ns);
void mu_local_child_signal(struct mu_local_child *child, int signal); /* unless it has ended */
void mu_local_child_close(struct mu_local_child *child);

/* The shell's code: 0..255, or 128 + signal. */
int mu_local_child_code(const struct mu_local_child *child);
/* It ended by a signal that it got from us. */
bool mu_local_child_ended_by_us(const struct mu_local_child *child);
/* "SIGSEGV" of one that a signal ended; "SIG34" of a real-time one, which has no name. */
void mu_local_child_signal_name(
    const struct mu_local_child *child, char out[MU_LOCAL_SIGNAL_NAME_MAX]);
/* "exit code 66 (an input is missing)", "signal 11 (SIGSEGV)" */
void mu_local_child_describe(const struct mu_local_child *child, char *out, size_t bytes);

#endif

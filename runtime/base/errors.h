/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_ERRORS_H
#define MU_BASE_ERRORS_H

#include "runtime/base/status.h"
#include <stdbool.h>
#include <stdint.h>

/*
 * Every error a user can meet has a number, so that it can be searched for; `muster explain` shows
 * the row. E00xx usage, E01xx cluster spec, E02xx job, E03xx start, E04xx peers, E05xx data,
 * E06xx checkpoints and outputs, E07xx training, E08xx machine.
 */
#define MU_ERROR_ROWS(ROW)                                                                         \
    ROW(0001, USAGE, "a command, flag or value on the command line is wrong")                      \
    ROW(0002, NO_INPUT, "a file named on the command line cannot be read")                         \
    ROW(0101, CONFIG, "no cluster spec was given")                                                 \
    ROW(0102, CONFIG, "the spec is not valid JSON")                                                \
    ROW(0103, CONFIG, "the spec is too large")                                                     \
    ROW(0104, CONFIG, "the spec names an unknown task type")                                       \
    ROW(0105, CONFIG, "the spec has a wrong key or a wrong type of value")                         \
    ROW(0106, CONFIG, "the cluster in the spec cannot train")                                      \
    ROW(0107, CONFIG, "the task in the spec is not a task of its cluster")                         \
    ROW(0108, CONFIG, "an address in the spec is malformed")                                       \
    ROW(0109, CONFIG, "two tasks in the spec share an address")                                    \
    ROW(0110, CONFIG, "two sources disagree about who this task is")                               \
    ROW(0111, CONFIG, "the hosts of the tasks have no network in common")                          \
    ROW(0201, CONFIG, "the job file is not valid JSON")                                            \
    ROW(0202, CONFIG, "the job has an unknown key or kind")                                        \
    ROW(0203, CONFIG, "the job has a value of the wrong type or out of range")                     \
    ROW(0204, CONFIG, "the job and the cluster do not fit together")                               \
    ROW(0301, UNAVAILABLE, "a task did not come before the start time-out")                        \
    ROW(0302, UNAVAILABLE, "the port of this task is in use")                                      \
    ROW(0303, CONFIG, "the address of this task is not of this host")                              \
    ROW(0304, PROTOCOL, "two tasks were started with different specs")                             \
    ROW(0305, PROTOCOL, "two tasks were started with different jobs, models or data")              \
    ROW(0306, PROTOCOL, "another service answers at the address of a task")                        \
    ROW(0307, PROTOCOL, "this task is already running")                                            \
    ROW(0308, PROTOCOL, "the peer speaks another version of the protocol")                         \
    ROW(0309, PROTOCOL, "the peer belongs to another run")                                         \
    ROW(0310, UNAVAILABLE, "a host name cannot be resolved")                                       \
    ROW(0311, UNAVAILABLE, "ranks have found each other and cannot work together")                 \
    ROW(0401, UNAVAILABLE, "a task died")                                                          \
    ROW(0402, UNAVAILABLE, "a task hangs")                                                         \
    ROW(0403, UNAVAILABLE, "a task failed and said so")                                            \
    ROW(0404, PROTOCOL, "a peer sent what the protocol does not allow")                            \
    ROW(0405, UNAVAILABLE, "the others have given this task up")                                   \
    ROW(0406, PROTOCOL, "a worker was put out: its gradients were refused")                        \
    ROW(0501, NO_INPUT, "a data file is missing or unreadable")                                    \
    ROW(0502, BAD_DATA, "a data file is damaged")                                                  \
    ROW(0503, BAD_DATA, "a label is out of range")                                                 \
    ROW(0504, BAD_DATA, "two data files do not belong together")                                   \
    ROW(0505, CONFIG, "a data file cannot be read in the order that the job asks for")             \
    ROW(0601, BAD_DATA, "a checkpoint is damaged")                                                 \
    ROW(0602, BAD_DATA, "a checkpoint belongs to another model or optimizer")                      \
    ROW(0603, NO_INPUT, "there is no checkpoint to resume from")                                   \
    ROW(0604, CANNOT_CREATE, "the run directory cannot be created or written")                     \
    ROW(0605, IO_ERROR, "writing an output failed")                                                \
    ROW(0606, PROTOCOL, "the checkpoint was written by a newer version")                           \
    ROW(0607, CANNOT_CREATE, "another run is using the directory")                                 \
    ROW(0608, BAD_DATA, "an audit log is damaged, cut, or does not fit")                           \
    ROW(0609, NO_INPUT, "a directory holds no run")                                                \
    ROW(0610, BAD_DATA, "the status of a run is damaged")                                          \
    ROW(0701, BROKEN, "the replicas are no longer equal")                                          \
    ROW(0702, BROKEN, "too many bad steps in a row")                                               \
    ROW(0704, BROKEN, "a simulation cannot go on")                                                 \
    ROW(0801, NO_MEMORY, "memory could not be had")                                                \
    ROW(0802, UNAVAILABLE, "a library or device that the job asks for is not on this machine")     \
    ROW(0803, CONFIG, "a limit of this machine is too low")                                        \
    ROW(0804, BUG, "muster itself is wrong: please report it")

#define MU_ERROR_ENUM(number, status, doc) MU_E##number,
enum mu_error { MU_ERROR_ROWS(MU_ERROR_ENUM) MU_ERROR_COUNT };
#undef MU_ERROR_ENUM

int mu_error_number(enum mu_error error);            /* 104 for MU_E0104 */
enum mu_status mu_error_status(enum mu_error error); /* CONFIG for MU_E0104 */
const char *mu_error_doc(enum mu_error error);
/* The next thing to type or to look at, for an error whose reason has no help of its own. */
const char *mu_error_remedy(enum mu_error error);
/* 104 gives MU_E0104; false: there is no such error. */
bool mu_error_find(int64_t number, enum mu_error *ret_error);

#endif

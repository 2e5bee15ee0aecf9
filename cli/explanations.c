/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/explanations.h"

/* clang-format off */
static const struct mu_explanation explanations[MU_ERROR_COUNT] = {
    [MU_E0001] = {
        "The command line was not understood, and nothing was started.",
        "a misspelt command or flag; a value out of its range; a flag of another command"},
    [MU_E0002] = {
        "A file that the command line names could not be opened or read.",
        "a wrong path or working directory; missing permissions"},
    [MU_E0101] = {
        "Nothing says where the tasks of the cluster are, or which of them this process is.",
        "no --cluster, $TF_CONFIG or launcher; a variable that a launcher or sudo did not pass "
        "on"},
    [MU_E0102] = {
        "The text of the cluster spec cannot be read as JSON; the caret shows where that ends.",
        "a missing comma or brace; quotes that a shell has taken away"},
    [MU_E0103] = {
        "The cluster spec has more bytes or more tasks than a spec may have.",
        "a file of something else; a list that was written twice"},
    [MU_E0104] = {
        "The spec has a task type other than chief, worker, ps and evaluator.",
        "a misspelling; `master`, as older programs call the chief"},
    [MU_E0105] = {
        "A key of the spec is unknown, or its value has the wrong type.",
        "an address where a list of addresses belongs; an index in quotes; a misspelt key"},
    [MU_E0106] = {
        "The spec is well formed, but its tasks cannot train: nobody computes, or there are "
        "too many of a kind.",
        "no chief and no worker; two chiefs"},
    [MU_E0107] = {
        "The spec says that this process is a task that its own cluster does not have.",
        "an index that begins at 1 and not at 0; a cluster that has become smaller"},
    [MU_E0108] = {
        "An address is not of the form host:port.",
        "a port that is missing or not 1 to 65535; an IPv6 address without brackets; an IPv4 "
        "address in hexadecimal or in brackets; 0.0.0.0, to which nobody can connect, or one of "
        "many hosts"},
    [MU_E0109] = {
        "Two tasks have the same address, and only one process can listen there.",
        "a line copied without a change of the port"},
    [MU_E0110] = {
        "Two sources, such as a flag and $TF_CONFIG, name different tasks for this process, or "
        "--roles and the cluster have different tasks.",
        "a variable left over from another run; a launcher below another launcher"},
    [MU_E0111] = {
        "The hosts have no network on which all of them can reach each other.",
        "interfaces of containers or of management networks only; one host without an address "
        "in the common network"},
    [MU_E0201] = {
        "The job file cannot be read as JSON; the caret shows where that ends.",
        "a missing comma or brace; a comma behind the last key; a comment"},
    [MU_E0202] = {
        "A key or kind in the job is unknown. Nothing was started.",
        "a misspelling; an option of another kind of model, optimizer or data"},
    [MU_E0203] = {
        "A value in the job, or after --set, is not of the right type or out of range.",
        "a number in quotes; a rate below zero; a path where a list belongs"},
    [MU_E0204] = {
        "Job and cluster are each in order, but not together.",
        "an asynchronous job without parameter servers; a job for more replicas than there "
        "are; no run directory"},
    [MU_E0301] = {
        "Some tasks did not come in time, and the run did not begin. Each is named with what "
        "was seen at its address.",
        "it was not started, or ended at once; a firewall (no answer); a wrong address "
        "(refused); a name that its host's resolver does not know"},
    [MU_E0302] = {
        "Another process listens at the address of this task.",
        "an earlier run that has not ended; a stopped process (state T), which holds its port; "
        "another service"},
    [MU_E0303] = {
        "The address that the spec has for this task cannot be listened at here.",
        "the task was started on another host than the spec says; a public address of a "
        "machine behind NAT"},
    [MU_E0304] = {
        "Two tasks were given different cluster specs, and would train in different clusters.",
        "a spec that was changed on some hosts only; tasks of an earlier run"},
    [MU_E0305] = {
        "Two tasks run different jobs, models or data. The message shows the first key that "
        "differs.",
        "--set or --lr on one host only; a job file that was changed on some hosts; another "
        "copy of the data"},
    [MU_E0306] = {
        "Something answers at the address of a task, but it is not muster.",
        "a wrong port, as 22 or 80; another service that has the port"},
    [MU_E0307] = {
        "The same task of the same cluster runs already; it goes on undisturbed.",
        "started twice, by hand and by a service; an earlier run that has not ended"},
    [MU_E0308] = {
        "The two programs speak different versions of the protocol and cannot train together.",
        "muster was updated on some hosts only"},
    [MU_E0309] = {
        "The peer takes part in another run, or the run has begun without this task. A parameter "
        "server whose standby has taken over is one of the servers again with the next start.",
        "a task of an earlier run that was stopped and goes on; a task that was started again "
        "alone"},
    [MU_E0310] = {
        "The name in the address could not be turned into an address, for as long as tasks are "
        "waited for.",
        "a misspelling; a name server that does not answer; a pod or host that is not "
        "registered yet"},
    [MU_E0311] = {
        "The ranks of a group are connected, but something that they need together could not be "
        "made: shared memory, the groups of each host, or measured costs. The message has the "
        "reason, and the exit code is that of the reason.",
        "a full /dev/shm; a rank that ended or was stopped just then; hosts with other limits"},
    [MU_E0401] = {
        "A task is gone: its connections closed while the run went on. All others end; for a "
        "parameter server they wait first, unless mode.recovery_seconds is 0; with mode.replicas "
        "they go on without one.",
        "killed by hand, by the kernel for want of memory, or by a scheduler; the host went "
        "down; a crash"},
    [MU_E0402] = {
        "A task is there and does not get on, or nothing is heard from it. The message has "
        "what it did last.",
        "stopped (state T); a disk or network file system that hangs; a cut network; a step "
        "that takes longer than --step-timeout; a worker that does not read the answers of a "
        "parameter server"},
    [MU_E0403] = {
        "A task ended for a reason of its own and told the others, which end as well; or a "
        "parameter server cut it off for what it sent.",
        "what that task says: this is only the echo"},
    [MU_E0404] = {
        "A peer broke a rule of the protocol, and the link to it was ended.",
        "another program at that address; a damaged connection; a fault of muster"},
    [MU_E0405] = {
        "The others heard nothing from this task for longer than they wait (--failure-detection), "
        "and have ended, wait for another in its place, or go on with its standby.",
        "stopped (state T) and let go on; a network that was cut for a while; a machine that slept "
        "or swapped"},
    [MU_E0406] = {
        "Three gradients of a worker in a row were refused by the servers, whole, and it was put "
        "out; none of them changed a parameter.",
        "a rate at which training diverges; data that it does not expect; a program that pushes "
        "NaN, or ids out of range, through muster/ps.h"},
    [MU_E0501] = {
        "A data file is not there, cannot be opened, or cannot be read in time.",
        "a wrong data.path; data that is on another host only; a network file system that is "
        "not mounted"},
    [MU_E0502] = {
        "A data file is not what its format says it must be.",
        "a download that was cut; another format; a text page in place of the file"},
    [MU_E0503] = {
        "A sample has a label that the model has no output for.",
        "labels that begin at 1; a model with fewer outputs than there are classes; a test file "
        "with labels that the training file lacks"},
    [MU_E0504] = {
        "The files of a data set do not fit each other, as images and labels of different "
        "counts, or files to train and to test with whose samples have other sizes.",
        "files of different sets or splits in one folder"},
    [MU_E0505] = {
        "The job asks for samples in an order in which this file cannot be read.",
        "a compressed text, which is read from front to back only, and data.shuffle"},
    [MU_E0601] = {
        "A checkpoint is incomplete or its checksums do not match. It is never loaded.",
        "a disk that was full; a file that was changed or copied in part"},
    [MU_E0602] = {
        "The checkpoint has other tensors than the job's model or optimizer.",
        "model.widths or optimizer.kind were changed since; another run's directory"},
    [MU_E0603] = {
        "--resume was given, and there is nothing to resume from.",
        "the run ended before its first checkpoint; another --out"},
    [MU_E0604] = {
        "The run directory cannot be made or written, or holds a run already.",
        "missing permissions; a full disk; a run of the same name"},
    [MU_E0605] = {
        "An output could not be written to its end. A run whose checkpoint it was trains on and "
        "tries the next; only the last checkpoint of a run ends it with this. So does a resume "
        "that may not read its checkpoints: they may well be whole.",
        "a full disk or quota; a network file system that went away; files of another user"},
    [MU_E0606] = {
        "The checkpoint has a format that this version does not know.",
        "it was written by a newer muster"},
    [MU_E0607] = {
        "Another process of a run uses this directory, and two would overwrite each other.",
        "an earlier run that has not ended; two runs of the same name"},
    [MU_E0608] = {
        "A record of an audit log is not what was written, is missing, or says what cannot have "
        "happened: the log proves nothing about the parameters.",
        "a server that was killed or had no room on its disk; a defective disk; files of two runs; "
        "an edited file"},
    [MU_E0609] = {
        "`muster status` shows the run of a directory, and the leader of a run keeps status.json "
        "there. This one has none.",
        "the directory of another host, where only tasks ran that do not lead; a mistyped name; a "
        "simulated run, or one of an older muster"},
    [MU_E0610] = {
        "status.json is not what a leader writes. It is replaced whole every second, so no run is "
        "ever in the middle of it.",
        "an edited file; a disk that lost power just then"},
    [MU_E0701] = {
        "The replicas' parameters were compared and are not the same bits: the result would be "
        "worthless.",
        "defective memory or processor of the host that is named; a plug-in whose results "
        "depend on time or threads"},
    [MU_E0702] = {
        "Too many steps in a row had a loss or gradient that is not finite, or a gradient too "
        "large for sums and squares. Such a step is left out: on all replicas if they step "
        "together.",
        "a learning rate that is too high; values in the data that are not finite; no warm-up"},
    [MU_E0704] = {
        "In the simulated cluster every task waits, and nothing can happen any more.",
        "a fault of muster or of a plug-in, which a seed reproduces"},
    [MU_E0801] = {
        "Memory could not be had.",
        "a batch or model that is too large; a limit of the container"},
    [MU_E0802] = {
        "The job or a flag asks for something that this build or machine does not have.",
        "built without MPI or CUDA; no such device or driver"},
    [MU_E0803] = {
        "A limit of the system is too low for what was asked.",
        "few open files or processes allowed"},
    [MU_E0804] = {
        "An assumption of the program did not hold.",
        "a fault of muster, or of a plug-in"},
};
/* clang-format on */

const struct mu_explanation *mu_explanation_of(enum mu_error error)
{
    assert((unsigned)error < MU_ERROR_COUNT);
    return &explanations[error];
}

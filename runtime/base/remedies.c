/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/errors.h"

/* What to type or to look at, in general: an error that knows better brings its own help. */
/* clang-format off */
static const char *const remedies[MU_ERROR_COUNT] = {
    [MU_E0001] = "muster --help lists the commands; with --help each of them lists its flags",
    [MU_E0002] = "ls -l FILE",
    [MU_E0101] =
        "muster run JOB --local 2 for one machine; muster spec check shows what is found",
    [MU_E0102] = "put $TF_CONFIG in single quotes, then: muster spec check",
    [MU_E0103] = "wc -c FILE; muster spec check --cluster FILE",
    [MU_E0104] = "muster spec check",
    [MU_E0105] = "muster spec check; docs/CLUSTER_SPEC.md has the form",
    [MU_E0106] = "muster spec check",
    [MU_E0107] = "muster spec check; --task names another",
    [MU_E0108] = "write 10.0.0.1:2222, name:2222 or [fd00::1]:2222",
    [MU_E0109] = "muster spec check",
    [MU_E0110] = "env | grep -E 'TF_CONFIG|SLURM|OMPI|MUSTER'; unset what is left over",
    [MU_E0111] = "ip addr on every host; name the addresses in a cluster spec",
    [MU_E0201] = "muster man job; configs/ has jobs that work",
    [MU_E0202] = "muster man job lists every key; the message names the nearest",
    [MU_E0203] = "muster man job lists types and ranges",
    [MU_E0204] = "muster man job; --local chief=1,worker=2,ps=1 adds servers",
    [MU_E0301] =
        "look at the log of the task that is missing; timeout 3 bash -c "
        "'</dev/tcp/HOST/PORT' && echo open; --start-timeout SECONDS waits longer",
    [MU_E0302] =
        "kill PID of the message ends it (kill -KILL PID if it is stopped); or another port in "
        "the spec",
    [MU_E0303] = "ip addr; --task TYPE/INDEX names the task that belongs here",
    [MU_E0304] =
        "muster spec check with the same --cluster on every host: the hash in its last line must "
        "be equal",
    [MU_E0305] = "start every task with the same job file and flags; sha256sum the files",
    [MU_E0306] = "curl -v HOST:PORT; ss -ltnp on that host",
    [MU_E0307] = "the message has host and pid: kill PID there, or leave it",
    [MU_E0308] = "muster --version on every host",
    [MU_E0309] =
        "leave it ended if a standby has taken over, as the message says; else start all tasks "
        "again with --resume",
    [MU_E0310] = "getent hosts NAME; or write the address as a number",
    [MU_E0311] =
        "muster doctor on every host; --set mode.transport=tcp leaves shared memory out",
    [MU_E0401] =
        "dmesg -T | grep -i oom on its host; its log; then the command in the message",
    [MU_E0402] =
        "kill -KILL PID if it is stopped; --step-timeout SECONDS; then the command in the message",
    [MU_E0403] =
        "the first error in logs/TASK.log of the run directory, of the task that is named; then "
        "the same command with --resume",
    [MU_E0404] = "muster --version on both; report it if both are the same",
    [MU_E0405] = "nothing, if the message says that the run goes on; else --resume, as it says",
    [MU_E0406] = "what each gradient had is in the lines before; for NaN, infinity or 2^48 lower "
                 "optimizer.learning_rate, else look at what that worker reads and computes",
    [MU_E0501] = "ls -l PATH on the host of the task; --set data.path=DIR",
    [MU_E0502] = "sha256sum FILE against the source; fetch it again",
    [MU_E0503] = "the last number of model.widths is the count of classes",
    [MU_E0504] = "ls -l PATH; fetch both again",
    [MU_E0505] = "gunzip -k FILE; or --set data.shuffle=false",
    [MU_E0601] = "--resume goes on from the newest that is whole; rm -r the damaged one",
    [MU_E0602] = "muster checkpoint show DIR shows of which job it is; resume with that",
    [MU_E0603] = "ls RUN/checkpoints; leave --resume out to begin",
    [MU_E0604] =
        "df -h; df -i; make room, then --resume goes on from what is saved; or --out DIR elsewhere",
    [MU_E0605] = "df -h; df -i; quota: make room where the message says",
    [MU_E0606] = "muster --version where it was written; install that one",
    [MU_E0607] = "muster status DIR; kill -TERM PID of the message; --out DIR for a second run",
    [MU_E0608] = "muster audit replay --to VERSION DIR for what came before it",
    [MU_E0609] = "the directory is that of --out on the host of the leader; ls runs",
    [MU_E0610] = "remove status.json; a run that lives writes it anew within a second",
    [MU_E0701] = "resume without that host; memtester there",
    [MU_E0702] = "--lr RATE lower; --set optimizer.clip_norm=1; then --resume",
    [MU_E0704] = "keep the command with its --seed, and report it",
    [MU_E0801] = "free -g; ulimit -v; --batch smaller",
    [MU_E0802] = "muster doctor shows what is here",
    [MU_E0803] = "ulimit -n; ulimit -u; muster doctor",
    [MU_E0804] = "report it, with the command, the log and muster --version",
};
/* clang-format on */

const char *mu_error_remedy(enum mu_error error)
{
    assert((unsigned)error < MU_ERROR_COUNT);
    return remedies[error];
}

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every task of a cluster started by hand, as a launcher that sets TF_CONFIG starts them: the cluster
# is the same in all, the task differs. On several machines each line runs on its own, with the
# machines' addresses. `muster spec make --task` writes such lines.
#
#   examples/tf_config.sh [JOB [RUN_DIRECTORY]]        MUSTER=build/muster
set -eu

muster=${MUSTER:-build/muster}
job=${1:-configs/demo-async.json}
out=${2:-runs/by-hand}
cluster='{"chief": ["127.0.0.1:2222"], "worker": ["127.0.0.1:2223"], "ps": ["127.0.0.1:2224"]}'

start() {
    TF_CONFIG="{\"cluster\": $cluster, \"task\": {\"type\": \"$1\", \"index\": $2}}" \
        "$muster" run "$job" --out "$out"
}

start ps 0 &
start worker 0 &
start evaluator 0 & # need not be listed: nobody calls it, and nobody waits for it
start chief 0
wait

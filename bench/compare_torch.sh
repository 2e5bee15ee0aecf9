#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Samples a second of one training step, muster against PyTorch, one thread each, run by turns on
# this machine: the median of each and their ratio.
#
#   bench/compare_torch.sh BUILD_FOLDER [BATCH [ROUNDS]]
#
# TORCH_PYTHON   a Python that can import torch (default: python3)
# MUSTER_PEERS   the folder with torch_train.py (default: ../shared/peers beside the checkout)
set -eu

build=${1:?usage: compare_torch.sh BUILD_FOLDER [BATCH [ROUNDS]]}
batch=${2:-64}
rounds=${3:-3}
python=${TORCH_PYTHON:-python3}
peers=${MUSTER_PEERS:-$(dirname "$0")/../../shared/peers}

if [ ! -f "$peers/torch_train.py" ]; then
    echo "skipped: $peers/torch_train.py is not there (MUSTER_PEERS)"
    exit 0
fi
if ! "$python" -c 'import torch' >/dev/null 2>&1; then
    echo "skipped: $python cannot import torch (TORCH_PYTHON)"
    exit 0
fi

median() {
    sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

ours=$(mktemp)
theirs=$(mktemp)
trap 'rm -f "$ours" "$theirs"' EXIT
round=0
while [ "$round" -lt "$rounds" ]; do
    "$build/bench/bench_compute" "$batch" |
        sed 's/.*"median":\([0-9]*\).*/\1/' >>"$ours"
    OMP_NUM_THREADS=1 "$python" "$peers/torch_train.py" mlp "$batch" 1 |
        sed 's/.*median \([0-9]*\).*/\1/' >>"$theirs"
    round=$((round + 1))
done
us=$(median <"$ours")
them=$(median <"$theirs")
awk -v us="$us" -v them="$them" -v batch="$batch" -v rounds="$rounds" 'BEGIN {
    printf "batch %d, %d rounds: muster %d, PyTorch %d samples/s, ratio %.2f\n",
        batch, rounds, us, them, us / them
}'

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Other people's programs read what muster writes. Makes a virtual environment in the build folder
# the first time; without Python, its venv or the packages the test is skipped (77).
#
#   run.sh BUILD_FOLDER MAKE_RUN MUSTER
set -eu
here=$(dirname "$0")
build=$1
make_run=$2
muster=$3
venv=$build/interop-venv

skip() {
    echo "skipped: $1"
    exit 77
}

if ! [ -e "$venv/ready" ]; then
    command -v python3 >/dev/null || skip "there is no python3"
    python3 -m venv "$venv" || skip "python3 has no venv module"
    "$venv/bin/pip" install -q tensorboard safetensors numpy 'setuptools<81' ||
        skip "tensorboard, safetensors and numpy cannot be installed"
    touch "$venv/ready"
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A run that was made by hand has everything in it, a resume too.
"$make_run" "$scratch/made"
"$venv/bin/python" "$here/check.py" "$scratch/made" "$muster"

# What the program itself leaves, also where it went on from a checkpoint.
job=$here/../../configs/demo.json
for more in "--steps 60" "--steps 90 --resume"; do
    # shellcheck disable=SC2086 # words of $more are arguments
    "$muster" run --quiet --local 2 --set log.every_steps=10 --set checkpoint.every_steps=25 \
        --out "$scratch/ran" $more "$job"
    "$venv/bin/python" "$here/check.py" "$scratch/ran" "$muster"
done

# The same with an embedding table.
cat >"$scratch/clicks.json" <<END
{ "name": "clicks",
  "model": { "kind": "linear" },
  "data": { "kind": "clicks", "samples": 1000, "test_samples": 200, "fields": "50x2,400",
            "batch": 20 },
  "optimizer": { "kind": "ftrl", "learning_rate": 0.05 },
  "train": { "epochs": 2 } }
END
for more in "--epochs 1" "--epochs 2 --resume"; do
    # shellcheck disable=SC2086
    "$muster" run --quiet --local 1 --set log.every_steps=10 --out "$scratch/clicked" $more \
        "$scratch/clicks.json"
    "$venv/bin/python" "$here/check.py" "$scratch/clicked" "$muster"
done
[ -e "$scratch/clicked/checkpoints/100/embedding.safetensors" ]

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

# `muster checkpoint show` takes part where the command is in the build.
shown=
if "$muster" checkpoint show --help >/dev/null 2>&1; then
    shown=$muster
fi

"$make_run" "$scratch/made"
"$venv/bin/python" "$here/check.py" "$scratch/made" ${shown:+"$shown"}

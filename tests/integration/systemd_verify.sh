#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# systemd_verify.sh UNIT: systemd must have nothing to say about the unit. The program it starts and
# the user it runs as need not be on this machine: both are replaced in a copy.
set -eu
command -v systemd-analyze >/dev/null || exit 77
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sed -e 's|/usr/bin/muster|/bin/true|' -e 's|^User=.*|User=root|' "$1" >"$folder/muster@.service"
said=$(systemd-analyze verify --man=no --recursive-errors=no "$folder/muster@ctr.service" 2>&1) || {
    printf '%s\n' "$said"
    exit 1
}
printf '%s' "$said"
[ -z "$said" ]
# The copy with a wrong line must not pass, or this test proves nothing.
printf '[Service]\nRestart=sometimes\n' >>"$folder/muster@.service"
said=$(systemd-analyze verify --man=no --recursive-errors=no "$folder/muster@ctr.service" 2>&1) || true
[ -n "$said" ]

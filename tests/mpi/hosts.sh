#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts.sh MPIRUN EXCHANGE_RANK: five ranks on three hosts, which are network namespaces. Every host
# is in 10.77.0.0/24, and every host has a docker0 with one and the same address, listed first: the
# ranks must pass it over. Needs root; all of it lives in namespaces of its own and ends with them.
set -eu
if [ "${3:-}" != inside ]; then
    if ! command -v ip >/dev/null || ! unshare --net --mount --fork true 2>/dev/null; then
        echo 'no namespaces of our own to be had here'
        exit 77
    fi
    exec unshare --net --mount --fork "$0" "$1" "$2" inside
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p /run/netns
mount -t tmpfs none /run/netns
ip link add switch0 type bridge
ip link set switch0 up
for i in 0 1 2; do
    ip netns add "host$i"
    ip -n "host$i" link set lo up
    ip -n "host$i" link add docker0 type veth peer name inner
    ip -n "host$i" link set docker0 up
    ip -n "host$i" link set inner up
    ip -n "host$i" address add 172.17.0.1/16 dev docker0
    ip link add "port$i" type veth peer name eth0 netns "host$i"
    ip link set dev "port$i" master switch0 up
    ip -n "host$i" address add "10.77.0.$((i + 1))/24" dev eth0
    ip -n "host$i" link set eth0 up
done
# The kernel takes up to a second to find that a new link has its carrier.
for i in 0 1 2; do
    timeout 10 bash -c "until ip -n host$i -br link show eth0 | grep -q ' UP '; do :; done"
done

# What mpirun takes for ssh.
cat >"$folder/agent" <<'AGENT'
#!/bin/bash
host=$1
shift
exec ip netns exec "$host" unshare --uts bash -c "hostname $host; $*"
AGENT
chmod +x "$folder/agent"

"$folder/agent" host0 "timeout 60 '$1' --mca plm_rsh_agent '$folder/agent' \
    --mca oob_tcp_if_include eth0 --host host0:2,host1:2,host2:1 -n 5 '$2' meet" >"$folder/said" ||
    { cat "$folder/said"; exit 1; }
cat "$folder/said"
[ "$(grep -c ' of 5 heard ' "$folder/said")" -eq 5 ]

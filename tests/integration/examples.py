# SPDX-License-Identifier: Apache-2.0
"""What tests of the example programs share: a clean environment, clusters, building as users do."""
import json
import os
import socket
import subprocess

LAUNCHERS = ("TF_CONFIG", "CLUSTER_SPEC", "MUSTER_", "SM_", "SLURM_", "OMPI_", "PMIX_", "RANK",
             "WORLD_SIZE")


def free_addresses(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [f"127.0.0.1:{one.getsockname()[1]}" for one in held]
    for one in held:
        one.close()
    return found


def start(program, cluster=None, role=None, index=None, wrapper=()):
    """With the cluster in TF_CONFIG; without one, with nothing that says where it is."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHERS)}
    if cluster:
        clean["TF_CONFIG"] = json.dumps(
            {"cluster": cluster, "task": {"type": role, "index": index}})
    return subprocess.Popen([*wrapper, program], env=clean, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)


def outputs(test, processes):
    """What each has printed; all must end with 0."""
    out = []
    for process in processes:
        stdout, stderr = process.communicate(timeout=60)
        test.assertEqual(process.returncode, 0, stderr)
        out.append(stdout)
    return out


def build_by_pkg_config(build, source, name, folder):
    """The path of the program examples/NAME.c, made with what pkg-config says."""
    path = os.path.join(build, "meson-uninstalled")
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "--static", "muster"],
                           env=dict(os.environ, PKG_CONFIG_PATH=path), check=True,
                           capture_output=True, text=True).stdout.split()
    program = os.path.join(folder, name)
    subprocess.run([*os.environ.get("CC", "cc").split(), "-o", program,
                    os.path.join(source, "examples", f"{name}.c"), *flags], check=True)
    return program

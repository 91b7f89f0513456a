"""Adapter of `helve` for the test runner of WebAssembly/wasi-testsuite.

    HELVE=target/release/helve python3 SUITE/test-runner/wasi_test_runner.py \
        -r tests/wasi/helve.py -t SUITE/tests/rust/testsuite SUITE/tests/c/testsuite ...

With HELVE_NO_GRANTS set, guests are granted nothing: most tests must fail then, which
shows that the runner can tell (`check.py` does both).
"""

import os
import shlex
import subprocess

HELVE = shlex.split(os.getenv("HELVE", "helve"))
NO_GRANTS = bool(os.getenv("HELVE_NO_GRANTS"))


def get_name():
    return "helve"


def get_version():
    said = subprocess.run(
        HELVE[:1] + ["--version"], encoding="UTF-8", capture_output=True, check=True
    )
    return said.stdout.split()[1]


def get_wasi_versions():
    return ["wasm32-wasip1", "wasm32-wasip3"]


def get_wasi_worlds():
    return ["wasi:cli/command", "wasi:http/service"]


def get_timeout_seconds():
    return float(os.getenv("HELVE_TEST_SECONDS", "20"))


def remove_links(root):
    """The runner cleans a test's folder up, but for symbolic links, which other tests see."""
    for name in os.listdir(root):
        path = os.path.join(root, name)
        if name.endswith(".cleanup") and os.path.islink(path):
            os.unlink(path)


def compute_argv(test_path, args_env_root, proposals, wasi_world, wasi_version):
    args, env, root = args_env_root
    if root:
        remove_links(root)
    argv = list(HELVE)
    if wasi_world == "wasi:http/service":
        argv += ["serve", "--addr", "127.0.0.1:0"]
    else:
        argv += ["run"]
    if not NO_GRANTS:
        for name, value in env.items():
            argv += ["--env", f"{name}={value}"]
        if root:
            argv += ["--dir", f"{root}::/"]
        if "sockets" in proposals or "http" in proposals:
            argv += ["--net"]
    return argv + [test_path] + args

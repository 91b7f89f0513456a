#!/usr/bin/env python3
"""Runs WebAssembly/wasi-testsuite (branch prod/testsuite-base) with helve, twice.

    python3 tests/wasi/check.py SUITE [HELVE]

SUITE is a checkout of the suite; HELVE the command (target/release/helve if not given).
First everything must pass. Then the same guests are granted nothing: many must fail, or the
runner would call anything a success.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# The suite has this many of each kind; and so many at least need a folder, an environment
# or the network.
TESTS = {"wasm32-wasip1": 72, "wasm32-wasip3": 55}
LEAST_FAILURES = 40


def run(suite, helve, grants):
    """Numbers of tests that passed, failed and were skipped, by kind."""
    env = dict(os.environ, HELVE=helve)
    if not grants:
        env["HELVE_NO_GRANTS"] = "1"
        env["HELVE_TEST_SECONDS"] = "3"
    suites = sorted(str(path.parent) for path in suite.glob("tests/*/testsuite/*/manifest.json"))
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        command = [sys.executable, str(suite / "test-runner/wasi_test_runner.py")]
        command += ["-r", str(HERE / "helve.py"), "--json-output-location", str(report)]
        command += ["--disable-colors", "-t"] + suites
        subprocess.run(command, env=env, capture_output=not grants, check=False)
        results = json.loads(report.read_text())["results"]
    counts = {}
    for suite_path, result in zip(suites, results):
        kind = counts.setdefault(pathlib.Path(suite_path).name, [0, 0, 0])
        for at, name in enumerate(["passed", "failed", "skipped"]):
            kind[at] += result[name]
    return counts


def main():
    suite = pathlib.Path(sys.argv[1]).resolve()
    helve = sys.argv[2] if len(sys.argv) > 2 else str(HERE / "../../target/release/helve")
    helve = str(pathlib.Path(helve).resolve())
    counts = run(suite, helve, grants=True)
    wanted = {kind: [count, 0, 0] for kind, count in TESTS.items()}
    if counts != wanted:
        sys.exit(f"the suite does not pass: {counts} (passed, failed, skipped)")
    counts = run(suite, helve, grants=False)
    failed = sum(kind[1] for kind in counts.values())
    if failed < LEAST_FAILURES:
        sys.exit(f"without grants only {failed} tests fail: the runner proves little")
    print(f"all pass; without grants {failed} fail, as they should")


if __name__ == "__main__":
    main()

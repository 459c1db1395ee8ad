"""`gpudoctor check` against what it cannot be faster than (`import torch`) and torch's own report."""

from __future__ import annotations

import sys

from benchmarks.common import BIN, report, time_commands
from benchmarks.sim import simulated

GPUDOCTOR = str(BIN / "gpudoctor")


def main() -> None:
    """Measure and write results/check.json."""
    with simulated() as env:
        timings = time_commands(
            {
                "python -c 'import torch'": [sys.executable, "-c", "import torch"],
                "gpudoctor check": [GPUDOCTOR, "check", "--python", sys.executable],
                "gpudoctor check --only clocks,ecc,links,xid,...": [
                    GPUDOCTOR,
                    "check",
                    "--only",
                    "clocks,ecc,links,xid,driver.gpu-lost,driver.hangs",
                ],
                "gpudoctor check SCRIPT --only script": [
                    GPUDOCTOR,
                    "check",
                    "examples/train_transformer.py",
                    "--only",
                    "script",
                ],
                "python -m torch.utils.collect_env": [
                    sys.executable,
                    "-m",
                    "torch.utils.collect_env",
                ],
            },
            env=env,
            rounds=5,
            may_fail=True,
        )
    report(
        "check",
        "Diagnosis of a machine with 8 simulated H100 and a torch for the CPU",
        timings,
        aim="gpudoctor check under 3 s with torch installed",
    )


if __name__ == "__main__":
    main()

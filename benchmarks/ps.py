"""`gpudoctor ps --json` against `nvitop -1`, on the same simulated driver in the same rounds."""

from __future__ import annotations

from benchmarks.common import BIN, report, time_commands
from benchmarks.sim import simulated

PROCESSES = 12


def main() -> None:
    """Measure and write results/ps.json."""
    with simulated(PROCESSES) as env:
        timings = time_commands(
            {
                "nvitop -1": [str(BIN / "nvitop"), "-1"],
                "gpudoctor ps --json": [str(BIN / "gpudoctor"), "ps", "--json"],
                "gpudoctor ps": [str(BIN / "gpudoctor"), "ps"],
                "gpustat --json": [str(BIN / "gpustat"), "--json"],
            },
            env=env,
            rounds=12,
        )
    report(
        "ps",
        f"Processes on 8 simulated H100, {PROCESSES} processes",
        timings,
        aim="gpudoctor ps --json at most 1x nvitop -1",
    )


if __name__ == "__main__":
    main()

"""What it costs to ask for the version and the help, against a Python that does nothing."""

from __future__ import annotations

import sys

from benchmarks.common import BIN, report, time_commands

MOST = 4.0  # times `python -c pass`


def main() -> None:
    """Measure and write results/startup.json."""
    timings = time_commands(
        {
            "python -c pass": [sys.executable, "-c", "pass"],
            "gpudoctor --version": [str(BIN / "gpudoctor"), "--version"],
            "gpudoctor --help": [str(BIN / "gpudoctor"), "--help"],
            "nvitop --version": [str(BIN / "nvitop"), "--version"],
            "gpustat --version": [str(BIN / "gpustat"), "--version"],
        },
        rounds=20,
    )
    report("startup", "Start-up", timings, aim=f"gpudoctor at most {MOST:g}x python -c pass")


if __name__ == "__main__":
    main()

"""CPU of one sample against that of the bare NVML calls which it makes, on the simulated driver."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.common import machine, write
from benchmarks.sim import simulated

PROCESSES = 12
TICKS = 200
MOST = 3.0  # times the bare calls
_MEASURED = "GPUDOCTOR_BENCH_SAMPLE"


class _Tape:
    """Every call into the library while `recording`, with its arguments."""

    def __init__(self) -> None:
        import pynvml

        self.calls: list[tuple[Callable[..., int], tuple[Any, ...]]] = []
        self.recording = False
        self._look_up = pynvml._nvmlGetFunctionPointer
        self._wrapped: dict[str, Callable[..., int]] = {}
        pynvml._nvmlGetFunctionPointer = self._find

    def _find(self, name: str) -> Callable[..., int]:
        if not self.recording:
            return self._look_up(name)
        if name not in self._wrapped:
            function = self._look_up(name)

            def call(*arguments: Any) -> int:
                self.calls.append((function, arguments))
                return function(*arguments)

            self._wrapped[name] = call
        return self._wrapped[name]

    def play(self) -> None:
        """Make the recorded calls again, straight into the library."""
        for function, arguments in self.calls:
            function(*arguments)


def _cpu(call: Callable[[], object]) -> float:
    begun = time.process_time()
    for _ in range(TICKS):
        call()
    return (time.process_time() - begun) / TICKS


def _measure() -> None:
    from gpudoctor.host.procs import LocalHost
    from gpudoctor.nvml.binding import open_nvml
    from gpudoctor.sampling.sampler import Sampler

    tape = _Tape()
    sampler = Sampler(open_nvml(), LocalHost())
    sampler.once()
    sampler.once()
    tape.recording = True
    sampler.once()
    tape.recording = False
    samples, bare = [], []
    for _ in range(5):
        samples.append(_cpu(sampler.once))
        bare.append(_cpu(tape.play))
    result = {
        "title": f"One sample of 8 GPUs with {PROCESSES} processes",
        **machine(),
        "nvml_calls": len(tape.calls),
        "sample_cpu_ms": statistics.median(samples) * 1e3,
        "bare_calls_cpu_ms": statistics.median(bare) * 1e3,
        "ratio": statistics.median(samples) / statistics.median(bare),
        "ratios": [sample / floor for sample, floor in zip(samples, bare, strict=True)],
        "aim": f"at most {MOST:g}x",
    }
    print(
        f"\n{result['title']}: {result['sample_cpu_ms']:.2f} ms CPU; "
        f"its {len(tape.calls)} NVML calls alone: {result['bare_calls_cpu_ms']:.2f} ms; "
        f"{result['ratio']:.2f}x"
    )
    write("sample", result)
    sampler.stop()


def main() -> None:
    """Measure in a child that sees the simulated driver, and write results/sample.json."""
    if os.environ.get(_MEASURED):
        _measure()
        return
    with simulated(PROCESSES) as env:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.sample"], env={**env, _MEASURED: "1"}, check=True
        )


if __name__ == "__main__":
    main()

"""CPU of one sample against that of the bare NVML calls which it makes, on the simulated driver."""

from __future__ import annotations

import contextlib
import functools
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.common import machine, write
from benchmarks.sim import simulated

PROCESSES = 12
TICKS = 200
MOST = 3.0  # times the bare calls
_MEASURED = "GPUDOCTOR_BENCH_SAMPLE"


class _Binding:
    """The calls of nvidia-ml-py's functions while `recording`: what any Python program pays."""

    def __init__(self) -> None:
        import pynvml

        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.recording = False
        self._inside = threading.local()
        for name, function in vars(pynvml).copy().items():
            if name.startswith("nvml") and callable(function) and not isinstance(function, type):
                setattr(pynvml, name, self._wrap(function))

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            if not self.recording or getattr(self._inside, "one", False):
                return function(*arguments)
            self.calls.append((function, arguments))
            self._inside.one = True
            try:
                return function(*arguments)
            finally:
                self._inside.one = False

        return call

    def play(self) -> None:
        """Make the recorded calls again."""
        import pynvml

        for function, arguments in self.calls:
            with contextlib.suppress(pynvml.NVMLError):
                function(*arguments)


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
    tape, binding = _Tape(), _Binding()
    from gpudoctor.host.procs import LocalHost
    from gpudoctor.nvml.binding import open_nvml
    from gpudoctor.sampling.sampler import Sampler

    sampler = Sampler(open_nvml(), LocalHost())
    sampler.once()
    sampler.once()
    for recorder in (tape, binding):
        recorder.recording = True
        sampler.once()
        recorder.recording = False
    samples, bare, bound = [], [], []
    for _ in range(7):
        samples.append(_cpu(sampler.once))
        bare.append(_cpu(tape.play))
        bound.append(_cpu(binding.play))
    result = {
        "title": f"One sample of 8 GPUs with {PROCESSES} processes",
        **machine(),
        "nvml_calls": len(tape.calls),
        "sample_cpu_ms": statistics.median(samples) * 1e3,
        "bare_calls_cpu_ms": statistics.median(bare) * 1e3,
        "binding_calls_cpu_ms": statistics.median(bound) * 1e3,
        "ratio_to_binding_calls": statistics.median(samples) / statistics.median(bound),
        "ratio_to_bare_calls": statistics.median(samples) / statistics.median(bare),
        "aim": f"at most {MOST:g}x the same calls through nvidia-ml-py",
    }
    print(
        f"\n{result['title']}: {result['sample_cpu_ms']:.2f} ms CPU; "
        f"its {len(tape.calls)} NVML calls through nvidia-ml-py: "
        f"{result['binding_calls_cpu_ms']:.2f} ms ({result['ratio_to_binding_calls']:.2f}x), "
        f"in C alone: {result['bare_calls_cpu_ms']:.2f} ms ({result['ratio_to_bare_calls']:.2f}x)"
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

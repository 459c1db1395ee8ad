"""A trace of a CUDA run in the layout that torch's profiler exports: operators, launches, kernels, copies."""

from __future__ import annotations

from pathlib import Path

from gpudoctor.model.profile import Window
from gpudoctor.profile.session import WindowSeen
from gpudoctor.profile.trace import read_trace
from gpudoctor.profile.window import window_of
from tests.profile.build import trace

MAIN = 77


class CudaTrace:
    """Events one after the other; times in microseconds."""

    def __init__(self) -> None:
        self.events: list[dict] = []
        self.now = 100.0
        self.number = 0

    def _add(self, cat, name, ts, dur, tid, **args) -> None:
        pid = MAIN if cat in ("cpu_op", "cuda_runtime") else 0
        event = {"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur}
        self.events.append(event | {"args": args})

    def operator(self, name, kernel=None, dur=0.0, *, shapes=(), types=(), cpu=20.0) -> None:
        """An operator on the main thread, and the kernel that it launches."""
        self.number += 1
        number = self.number
        given = {"External id": number, "Record function id": 0, "Ev Idx": number}
        if shapes:
            strides = [[1] * len(shape) for shape in shapes]
            given |= {"Input Dims": [list(shape) for shape in shapes]} | {"Input type": list(types)}
            given |= {"Input Strides": strides, "Concrete Inputs": [""] * len(shapes)}
        self._add("cpu_op", name, self.now, cpu, MAIN, **given)
        if kernel is not None:
            launch = {"External id": number, "cbid": 211, "correlation": number}
            self._add("cuda_runtime", "cudaLaunchKernel", self.now + 5, 5, MAIN, **launch)
            self._kernel(kernel, dur, number)
        self.now += max(cpu, dur)

    def _kernel(self, name, dur, number) -> None:
        details = {"registers per thread": 122, "shared memory": 32768, "blocks per SM": 1.2}
        place = {"device": 0, "context": 1, "stream": 7, "correlation": number}
        sizes = {"grid": [128, 1, 1], "block": [256, 1, 1], "est. achieved occupancy %": 37}
        all_ = {"External id": number, "queued": 0, **place, **details, **sizes}
        self._add("kernel", name, self.now + 10, dur, 7, **all_)

    def copy(self, kind, dur) -> None:
        """A copy such as "HtoD (Pinned -> Device)"."""
        place = {
            "device": 0,
            "context": 1,
            "stream": 7,
            "bytes": 4096,
            "memory bandwidth (GB/s)": 1.0,
        }
        self._add("gpu_memcpy", f"Memcpy {kind}", self.now, dur, 7, **place)
        self.now += dur

    def runtime(self, name, dur) -> None:
        """A call of the CUDA runtime."""
        self.number += 1
        self._add("cuda_runtime", name, self.now, dur, MAIN, cbid=20, correlation=self.number)
        self.now += dur

    def window(self, folder: Path, *, microseconds: float = 10_000, steps: int = 4) -> Window:
        """What the reader makes of it."""
        seen = WindowSeen("done", 5, steps, seconds=microseconds * 1e-6, device=True)
        return window_of(read_trace(trace(folder, self.events), MAIN), seen)

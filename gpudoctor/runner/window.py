"""Runs torch's profiler over a few steps in the middle of the script, and never longer."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any, Dict, Iterator, List, Optional, Sequence

_LONG_ENOUGH = 1.0


@contextlib.contextmanager
def _quiet_kineto() -> Iterator[None]:
    if "KINETO_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["KINETO_LOG_LEVEL"] = "6"
    try:
        yield
    finally:
        del os.environ["KINETO_LOG_LEVEL"]


class Window:
    """One profiled window. `after_step` drives it; `close` must be called before the interpreter ends,
    for a profiler that still runs then crashes it. `beside` are watchers that look as long as it does."""

    def __init__(self, folder: str, options: Dict[str, Any], beside: Sequence[Any] = ()) -> None:
        self._path = os.path.join(folder, "trace.json")
        self._wait: int = options["wait"]
        self._steps: Optional[int] = options["steps"]
        self._shapes: bool = options["shapes"]
        # Several ranks: all must trace the same steps, so that no rank may begin by its own clock.
        self._together: bool = options.get("ranks", False)
        self._profiler: Any = None
        self._beside = beside
        self._left = 0
        self._begun = 0.0
        self._unwrap: Optional[List[Any]] = None
        self.state = "waiting" if options["window"] else "off"
        self.facts: Dict[str, Any] = {}

    @property
    def active(self) -> bool:
        """Whether the window is open: torch's profiler is running."""
        return self.state == "active"

    @property
    def over(self) -> bool:
        """Whether there was a window, or can be none."""
        return self.state not in ("waiting", "active")

    def restart(self) -> None:
        """Forget the window that there was, and wait for one anew."""
        self.close("begun anew")
        if self.state == "done":
            self.state, self.facts = "waiting", {}

    def after_step(self, count: int, lengths: List[float], span: float) -> float:
        """A step has ended; starts or ends the window where it is time. Seconds that this took."""
        begun = time.perf_counter()
        if self.state == "waiting":
            slow = count >= 2 and span > 2.0 and not self._together
            if count >= self._wait or slow:
                self._open(count, lengths)
        elif self.state == "active":
            self._left -= 1
            for one in self._beside:
                one.step()
            if self._left <= 0 or begun - self._begun > 10 * _LONG_ENOUGH:
                self.close("done")
        else:
            return 0.0
        return time.perf_counter() - begun

    def _open(self, count: int, lengths: List[float]) -> None:
        torch = sys.modules["torch"]
        if torch.autograd._profiler_enabled():
            return
        typical = sorted(lengths)[len(lengths) // 2] if lengths else 0.1
        steps = self._steps or max(1, min(8, int(_LONG_ENOUGH / max(typical, 1e-6))))
        activities = [torch.profiler.ProfilerActivity.CPU]
        if torch.cuda.is_initialized():
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        before = time.perf_counter()
        try:
            with _quiet_kineto():
                self._profiler = torch.profiler.profile(
                    activities=activities, record_shapes=self._shapes
                )
                self._profiler.start()
        except Exception as error:
            self._fail(error)
            return
        self._give_way(torch)
        for one in self._beside:
            one.open()
        self.state, self._left, self._begun = "active", steps, time.perf_counter()
        self.facts = {
            "first_step": count,
            "steps": steps,
            "plain_step_seconds": typical,
            "device": len(activities) > 1,
            "open_seconds": self._begun - before,
            "begun_at_ns": time.time_ns(),
        }

    def close(self, why: str) -> None:
        """End the window, if one is open, and write its trace."""
        if self.state != "active":
            return
        self.state = "done"
        ended, ended_at_ns = time.perf_counter(), time.time_ns()
        self._take_back()
        for one in self._beside:
            one.close()
        try:
            self._profiler.stop()
            stopped = time.perf_counter()
            self._profiler.export_chrome_trace(self._path)
        except Exception as error:
            self._discard()
            self._fail(error)
            return
        finally:
            self._profiler = None
        self.facts.update(
            ended=why,
            ended_at_ns=ended_at_ns,
            seconds=ended - self._begun,
            steps=self.facts["steps"] - max(0, self._left),
            stop_seconds=stopped - ended,
            export_seconds=time.perf_counter() - stopped,
            trace=os.path.basename(self._path),
        )
        for one in self._beside:
            self.facts.update(one.write())

    def _discard(self) -> None:
        # Half a trace says nothing, and on a full disk the session needs its room.
        for path in (self._path, self._path + ".tmp"):
            try:
                os.unlink(path)
            except OSError:
                pass

    def _fail(self, error: Exception) -> None:
        self.state = "failed"
        self.facts["error"] = f"{type(error).__name__}: {error}"

    def _give_way(self, torch: Any) -> None:
        # torch allows one profiler at a time: where the script starts its own, ours ends first.
        kind = torch.autograd.profiler.profile
        plain = getattr(kind, "_prepare_trace", None)
        if plain is None:
            return

        def prepare(profiler: Any) -> Any:
            self.close("the script started its own profiler")
            return plain(profiler)

        kind._prepare_trace = prepare
        self._unwrap = [kind, plain]

    def _take_back(self) -> None:
        if self._unwrap is not None:
            kind, plain = self._unwrap
            kind._prepare_trace = plain
            self._unwrap = None

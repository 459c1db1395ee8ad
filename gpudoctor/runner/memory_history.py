"""Records what CUDA's allocator does in the profiled window, where it was asked for."""

from __future__ import annotations

import json
import os
import pickle
import sys
from typing import Any, Callable, Dict, List, Optional, Tuple

from .code_paths import is_user
from .files import replace

# Each costs some kilobytes while it is recorded.
MOST_ENTRIES = 50_000


class MemoryHistory:
    """Beside the window: memory.json for gpudoctor, and memory.pickle for pytorch.org/memory_viz."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._clear()

    def _clear(self) -> None:
        self._recording = False
        self._snapshot: Optional[Dict[str, Any]] = None
        self._why: Optional[str] = None

    def open(self) -> None:
        """Begin to record, unless the script itself does: its record is then its own."""
        self._clear()
        torch = sys.modules["torch"]
        try:
            if torch.version.cuda is None or torch.cuda.device_count() == 0:
                self._why = "no CUDA device"
            elif not torch.cuda.is_initialized():
                self._why = "the script had not used CUDA when the profiled window began"
            elif torch._C._cuda_isHistoryEnabled():
                self._why = "the script records its memory history itself"
            else:
                torch.cuda.memory._record_memory_history(
                    "all", context="alloc", stacks="python", max_entries=MOST_ENTRIES
                )
                self._recording = True
        except Exception as error:
            self._why = f"{type(error).__name__}: {error}"

    def step(self) -> None:
        """A step of the window has ended; nothing to do."""

    def close(self) -> None:
        """End the record, and keep what it holds; safe to call twice."""
        if not self._recording:
            return
        self._recording = False
        memory = sys.modules["torch"].cuda.memory
        try:
            self._snapshot = memory._snapshot()
        except Exception as error:
            self._why = f"{type(error).__name__}: {error}"
        try:
            memory._record_memory_history(None)
        except Exception as error:
            self._why = f"{type(error).__name__}: {error}"

    def write(self) -> Dict[str, Any]:
        """Write both files; what the session is to say of it."""
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is None:
            return {
                "memory_history": None,
                "memory_history_why": self._why or "it was not recorded",
            }
        try:
            with open(os.path.join(self._folder, "memory.pickle"), "wb") as kept:
                pickle.dump(snapshot, kept)
            path = os.path.join(self._folder, "memory.json")
            replace(path, json.dumps(converted(snapshot, is_user)))
        except Exception as error:
            return {
                "memory_history": None,
                "memory_history_why": f"{type(error).__name__}: {error}",
            }
        return {"memory_history": "memory.json", "memory_history_why": self._why}


def converted(snapshot: Dict[str, Any], user: Callable[[str], bool]) -> Dict[str, Any]:
    """A snapshot of torch's allocator in plain numbers; of a stack only its innermost line that `user`
    takes for the user's, else the innermost one."""
    sites = _Sites(user)
    segments = [
        [
            segment.get("device", 0),
            segment["total_size"],
            segment["allocated_size"],
            segment["active_size"],
            [
                [
                    block.get("address", 0),
                    block["size"],
                    block.get("requested_size", block["size"]),
                    block["state"],
                    sites.of(block.get("frames")),
                ]
                for block in _placed(segment)
            ],
        ]
        for segment in snapshot["segments"]
    ]
    traces = [
        [
            [one["action"], one.get("addr", 0), one["size"], sites.of(one.get("frames"))]
            for one in trace
        ]
        for trace in snapshot.get("device_traces", [])
    ]
    return {
        "sites": sites.known,
        "segments": segments,
        "traces": traces,
        "most_entries": MOST_ENTRIES,
    }


def _placed(segment: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The blocks with their addresses; one that has none follows the one before it."""
    blocks, address = [], segment.get("address", 0)
    for block in segment["blocks"]:
        blocks.append({"address": address, **block})
        address += block["size"]
    return blocks


class _Sites:
    """Numbers for lines of code, each kept once; -1 is unknown."""

    def __init__(self, user: Callable[[str], bool]) -> None:
        self._user = user
        self._numbers: Dict[Tuple[str, int, str], int] = {}
        self.known: List[Tuple[str, int, str]] = []

    def of(self, frames: Optional[List[Dict[str, Any]]]) -> int:
        if not frames:
            return -1
        frame = next((one for one in frames if self._user(one["filename"])), frames[0])
        site = (frame["filename"], frame["line"], frame["name"])
        number = self._numbers.get(site)
        if number is None:
            number = self._numbers[site] = len(self.known)
            self.known.append(site)
        return number

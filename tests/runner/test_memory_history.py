"""When the allocator's history is recorded, and what is left of it, with a torch that only takes notes."""

from __future__ import annotations

import json
import pickle
import sys
from types import SimpleNamespace

import pytest

from gpudoctor.runner.memory_history import MOST_ENTRIES, MemoryHistory

SNAPSHOT = {
    "segments": [
        {
            "device": 0,
            "address": 4096,
            "total_size": 2048,
            "allocated_size": 512,
            "active_size": 512,
            "blocks": [
                {"address": 4096, "size": 512, "requested_size": 500, "state": "active_allocated"},
                {"address": 4608, "size": 1536, "requested_size": 0, "state": "inactive"},
            ],
        }
    ],
    "device_traces": [[{"action": "alloc", "addr": 4096, "size": 500, "frames": []}]],
}


class Torch:
    """A stand-in with the four things that are asked of it."""

    def __init__(self, *, cuda="13.0", devices=1, initialized=True, recording=False, fails=False):
        self.asked = []
        self.fails = fails
        self.version = SimpleNamespace(cuda=cuda)
        self._C = SimpleNamespace(_cuda_isHistoryEnabled=lambda: recording)
        self.cuda = SimpleNamespace(
            device_count=lambda: devices,
            is_initialized=lambda: initialized,
            memory=SimpleNamespace(_record_memory_history=self.record, _snapshot=self.snapshot),
        )

    def record(self, enabled, **options):
        self.asked.append((enabled, options.get("max_entries")))

    def snapshot(self):
        if self.fails:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return SNAPSHOT


def run(folder, monkeypatch, torch):
    monkeypatch.setitem(sys.modules, "torch", torch)
    watch = MemoryHistory(str(folder))
    watch.open()
    watch.step()
    watch.close()
    watch.close()
    return watch.write()


def test_the_window_is_recorded_with_a_bound_and_the_record_ends_with_it(tmp_path, monkeypatch):
    torch = Torch()
    facts = run(tmp_path, monkeypatch, torch)
    assert torch.asked == [("all", MOST_ENTRIES), (None, None)]
    assert facts == {"memory_history": "memory.json", "memory_history_why": None}
    assert pickle.loads((tmp_path / "memory.pickle").read_bytes()) == SNAPSHOT
    body = json.loads((tmp_path / "memory.json").read_text())
    assert body["segments"][0][4][0] == [4096, 512, 500, "active_allocated", -1]
    assert body["traces"] == [[["alloc", 4096, 500, -1]]]


@pytest.mark.parametrize(
    ("torch", "why"),
    [
        (Torch(cuda=None), "no CUDA device"),
        (Torch(devices=0), "no CUDA device"),
        (
            Torch(initialized=False),
            "the script had not used CUDA when the profiled window began",
        ),
        (Torch(recording=True), "the script records its memory history itself"),
    ],
    ids=["a CPU build", "no card", "CUDA not begun", "the script's own record"],
)
def test_nothing_is_started_where_there_is_nothing_to_record(torch, why, tmp_path, monkeypatch):
    facts = run(tmp_path, monkeypatch, torch)
    assert facts == {"memory_history": None, "memory_history_why": why}
    assert torch.asked == []
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_that_fails_still_ends_the_record_and_is_said(tmp_path, monkeypatch):
    torch = Torch(fails=True)
    facts = run(tmp_path, monkeypatch, torch)
    assert torch.asked[-1] == (None, None)
    assert facts["memory_history"] is None
    assert "unspecified launch failure" in facts["memory_history_why"]


def test_a_folder_that_cannot_be_written_is_no_error_of_the_script(tmp_path, monkeypatch):
    facts = run(tmp_path / "gone", monkeypatch, Torch())
    assert facts["memory_history"] is None
    assert "No such file" in facts["memory_history_why"]

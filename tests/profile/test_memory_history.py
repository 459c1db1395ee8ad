"""On snapshots in the layout that torch.cuda.memory._snapshot() documents."""

from __future__ import annotations

import json

import msgspec
import pytest

from gpudoctor.profile.memory_history import HistorySeen, histories, read_history
from gpudoctor.profile.summary import load_profile
from gpudoctor.runner import memory_history
from gpudoctor.runner.memory_history import converted
from tests.profile.build import session, trace

MIB = 2**20
MINE = {"filename": "/home/me/main.py", "line": 7, "name": "forward"}
OTHER = {"filename": "/home/me/main.py", "line": 9, "name": "forward"}
TORCHS = {"filename": "/x/torch/nn/linear.py", "line": 1, "name": "linear"}


def block(address, size, state="active_allocated", frames=(), requested=None):
    asked = size if requested is None else requested
    return {
        "address": address,
        "size": size,
        "requested_size": asked,
        "state": state,
        "frames": list(frames),
    }


def segment(*blocks, device=0):
    active = [one["size"] for one in blocks if one["state"].startswith("active")]
    mine = [one["size"] for one in blocks if one["state"] == "active_allocated"]
    return {
        "device": device,
        "address": blocks[0]["address"],
        "total_size": sum(one["size"] for one in blocks),
        "allocated_size": sum(mine),
        "active_size": sum(active),
        "stream": 0,
        "segment_type": "large",
        "blocks": list(blocks),
    }


def did(action, address, size, *frames):
    return {"action": action, "addr": address, "size": size, "stream": 0, "frames": list(frames)}


def told(segments, *traces):
    body = converted({"segments": segments, "device_traces": list(traces)}, mine)
    return histories(msgspec.json.decode(json.dumps(body), type=HistorySeen))


def mine(filename):
    return filename.startswith("/home/me/")


def sites(found):
    return [(one.source_line, one.blocks, one.bytes) for one in found]


def test_what_is_free_between_used_pieces_is_fragmentation_and_a_free_segment_is_not():
    (seen,) = told(
        [
            segment(block(0, 2 * MIB), block(2 * MIB, 6 * MIB, "inactive")),
            segment(block(100 * MIB, 8 * MIB, "inactive")),
            segment(block(200 * MIB, 4 * MIB, "active_pending_free")),
        ]
    )
    assert (seen.reserved_bytes, seen.allocated_bytes) == (20 * MIB, 2 * MIB)
    assert (seen.active_bytes, seen.inactive_split_bytes) == (6 * MIB, 6 * MIB)
    assert seen.largest_free_bytes == 8 * MIB
    assert seen.fragmentation_ratio == pytest.approx(0.3)


def test_live_memory_is_told_by_the_innermost_line_of_the_user():
    (seen,) = told(
        [
            segment(
                block(0, 512, frames=[TORCHS, MINE, OTHER], requested=500),
                block(512, 512, frames=[TORCHS, MINE]),
                block(1024, 4096, frames=[TORCHS]),
                block(8192, 2 * MIB),
            )
        ]
    )
    assert sites(seen.live) == [
        (None, 1, 2 * MIB),
        ("/x/torch/nn/linear.py:1", 1, 4096),
        ("/home/me/main.py:7", 2, 1012),
    ]


def test_the_peak_is_found_in_the_middle_of_the_history():
    (seen,) = told(
        [segment(block(0, 100), block(100, 900, "inactive"))],
        [
            did("free_requested", 500, 50),
            did("free_completed", 500, 50),
            did("alloc", 200, 300, MINE),
            did("alloc", 600, 400, OTHER),
            did("free_requested", 200, 300, MINE),
            did("alloc", 200, 10, MINE),
            did("free_requested", 200, 10, MINE),
            did("free_requested", 600, 400, OTHER),
            did("segment_alloc", 0, 1000),
        ],
    )
    assert seen.peak_bytes == 800
    assert sites(seen.peak) == [
        ("/home/me/main.py:9", 1, 400),
        ("/home/me/main.py:7", 1, 300),
        (None, 1, 100),
    ]
    assert (seen.events, seen.cut, seen.failed) == (9, False, 0)


def test_memory_that_only_the_beginning_held_can_be_the_peak():
    (seen,) = told(
        [segment(block(0, 100))], [did("free_requested", 500, 50), did("alloc", 500, 20)]
    )
    assert seen.peak_bytes == 150
    assert sites(seen.peak) == [(None, 2, 150)]


def test_devices_do_not_mix():
    first, second = told(
        [segment(block(0, 100)), segment(block(0, 300), device=1)],
        [did("alloc", 7, 40, MINE), did("free_requested", 7, 40)],
        [{"action": "oom", "size": 10**9, "device_free": 5, "frames": []}],
    )
    assert (first.device, first.peak_bytes, first.failed) == (0, 140, 0)
    assert (second.device, second.peak_bytes, second.failed) == (1, 300, 1)


def test_a_history_that_is_full_says_that_it_is_cut(monkeypatch):
    monkeypatch.setattr(memory_history, "MOST_ENTRIES", 2)
    steps = [did("alloc", 7, 40), did("free_requested", 7, 40)]
    assert told([segment(block(0, 100))], steps)[0].cut
    assert not told([segment(block(0, 100))], steps[:1])[0].cut


def test_blocks_without_addresses_are_where_their_segment_says():
    one = segment(block(1000, 100, "inactive"), block(1100, 50))
    for piece in one["blocks"]:
        del piece["address"]
    (seen,) = told([one], [did("free_requested", 5, 7), did("alloc", 1100, 50, MINE)])
    assert sites(seen.live) == [(None, 1, 50)]
    assert sites(seen.peak) == [("/home/me/main.py:7", 1, 50)]


@pytest.mark.parametrize("text", ["{", '{"sites": []}', "[]", '{"segments": 1}'])
def test_a_file_that_makes_no_sense_is_no_history(text, tmp_path):
    (tmp_path / "memory.json").write_text(text)
    assert read_history(tmp_path) == ()


def test_a_profile_says_why_it_has_no_history(tmp_path):
    trace(tmp_path, [])
    seen = {"state": "done", "trace": "trace.json", "steps": 2, "seconds": 1.0}
    folder = session(tmp_path, window={**seen, "memory_history_why": "no CUDA device"})
    assert "No memory history: no CUDA device." in load_profile(folder).notes


def test_a_profile_holds_the_history_of_its_session(tmp_path):
    trace(tmp_path, [])
    body = converted({"segments": [segment(block(0, 100))], "device_traces": [[]]}, mine)
    (tmp_path / "memory.json").write_text(json.dumps(body))
    seen = {"state": "done", "trace": "trace.json", "steps": 2, "seconds": 1.0}
    folder = session(tmp_path, window={**seen, "memory_history": "memory.json"})
    assert load_profile(folder).memory_history[0].allocated_bytes == 100

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.codec import decode, encode_line, envelope, to_builtins
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.nvml.demo import DemoTimeline
from tests.builders import AT, device, process, snapshot


def test_the_envelope_names_its_schema_and_time():
    body = json.loads(envelope("gpudoctor.ps/1", {"processes": []}, at=AT))
    assert body == {
        "schema": "gpudoctor.ps/1",
        "generated_at": "2026-09-21T14:13:20.000+00:00",
        "processes": [],
    }


def test_unknown_is_null_and_not_zero():
    assert to_builtins(process(used=None))["memory_used_bytes"] is None


@settings(max_examples=25)
@given(st.floats(min_value=0, max_value=1000))
def test_every_snapshot_survives_json(elapsed):
    shown = DemoTimeline(opened_at=AT).at(elapsed)
    assert decode(encode_line(shown), Snapshot, what="it") == shown


def test_a_snapshot_with_nothing_known_survives_json():
    bare = snapshot(device(memory=type(device().memory)(), clocks=type(device().clocks)()))
    assert decode(encode_line(bare), Snapshot, what="it") == bare


@given(st.binary(max_size=200))
def test_no_input_makes_decoding_fail_otherwise_than_with_our_error(data):
    try:
        decode(data, Snapshot, what="it")
    except GpuDoctorError as error:
        assert error.cause


def test_values_of_the_wrong_kind_are_refused():
    with pytest.raises(GpuDoctorError, match="the file cannot be read"):
        decode(msgspec.json.encode({"taken_at": "x"}), Snapshot, what="the file")

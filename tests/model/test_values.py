"""Values behave as frozen dataclasses, whatever they are made of."""

from __future__ import annotations

import dataclasses

import pytest

from gpudoctor.model.process import ProcessKey
from gpudoctor.model.readings import MemoryReading
from tests.builders import snapshot


def test_a_value_cannot_be_changed():
    with pytest.raises(AttributeError):
        MemoryReading().used_bytes = 1


def test_a_changed_copy_is_made_as_of_a_dataclass():
    before = snapshot()
    after = dataclasses.replace(before, taken_at=1.0)
    assert after.taken_at == 1.0
    assert after.devices is before.devices
    assert before != after


def test_the_fields_are_known_in_their_order():
    assert [item.name for item in dataclasses.fields(ProcessKey(1, None))] == ["pid", "started"]


def test_equal_values_are_one_key_of_a_dict():
    assert {ProcessKey(1, 2.0): "a"}[ProcessKey(1, 2.0)] == "a"


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError):
        dataclasses.replace(ProcessKey(1, None), name="x")

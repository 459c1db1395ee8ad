from __future__ import annotations

import io

import pytest
from rich.console import Console

from gpudoctor.host.visible_devices import resolve
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.readings import MigInstance, MigReading
from gpudoctor.model.visible import Standing, Visibility, VisibleDevice
from gpudoctor.render.visible import print_text
from tests.builders import device

GPUS = [GpuRow(device(index).facts) for index in range(2)]


def text(answer: Visibility) -> str:
    out = io.StringIO()
    print_text(answer, Console(file=out, width=160, color_system=None))
    return out.getvalue()


def of(value: str, gpus=GPUS) -> str:
    return text(resolve({"CUDA_VISIBLE_DEVICES": value}, gpus))


def test_each_ordinal_has_its_gpu_and_each_token_its_reason():
    shown = of("1,7")
    assert "cuda:0  GPU 1" in shown
    assert "'7'  ends the list  there is no GPU 7: there are 2 (0 to 1)" in shown
    assert "unverified" not in shown


def test_what_is_unverified_is_marked():
    shown = of(" 1")
    assert "one of them is unverified" in shown
    assert shown.count("unverified") == 2


def test_no_gpu_is_said():
    assert "No GPU is visible to CUDA." in of("")


def test_an_unset_variable_is_not_an_empty_one():
    assert "CUDA_VISIBLE_DEVICES is not set" in text(resolve({}, GPUS))
    assert "CUDA_VISIBLE_DEVICES = ''" in of("")


def test_an_instance_is_shown_with_its_place():
    part = MigInstance("MIG-1", 2, 0, "1g.10gb")
    shown = of("0", [GpuRow(GPUS[0].facts, MigReading(True, (part,)))])
    assert "1g.10gb (GI 2 CI 0)  MIG-1" in shown


@pytest.mark.parametrize(
    ("source", "words"),
    [("driver", "by CUDA itself"), ("torch", "by torch"), ("nvml", "by NVML's list")],
)
def test_who_answers_is_said(source, words):
    row = VisibleDevice(0, None, "GPU-x")
    shown = text(Visibility((row,), (), None, "PCI_BUS_ID", source, None, expected=()))
    assert f"Answered {words}" in shown
    assert "The rules would give\nno GPU" in shown
    assert "GPU –" in shown


def test_an_order_that_is_not_known_has_no_number():
    row = VisibleDevice(None, 1, "GPU-x")
    shown = text(Visibility((row,), (), "1", "FASTEST_FIRST", "nvml", None))
    assert "cuda:?  GPU 1" in shown


def test_a_token_cannot_drive_the_terminal():
    assert "\x1b" not in of("\x1b[31m")


def test_the_standing_is_of_the_weakest_rule():
    assert resolve({"CUDA_VISIBLE_DEVICES": "0,+1"}, GPUS).standing is Standing.UNVERIFIED

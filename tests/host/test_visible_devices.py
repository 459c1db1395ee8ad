"""CUDA_VISIBLE_DEVICES: every known case, and properties that hold for any value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.host.device_order import given_to_container
from gpudoctor.host.visible_devices import resolve
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.readings import DeviceFacts, MigInstance, MigReading
from gpudoctor.model.visible import Standing, TokenOutcome

FILE = Path(__file__).parent.parent / "fixtures" / "visible_devices_cases.json"
CASES = json.loads(FILE.read_text())["cases"]
# Data sheets: compute capability, CUDA cores, boost clock in Hz.
SHEETS = {
    "GeForce GTX 745": ((5, 0), 384, 1.033e9),
    "GeForce GTX 1080 Ti": ((6, 1), 3584, 1.582e9),
}
# What the case's machine is like besides its variables: GPUs of the job's device control group.
GROUPS = {"cvd115": {1}}


def row(facts: dict) -> GpuRow:
    index = facts["nvml_index"]
    capability, cores, clock = SHEETS.get(facts["name"], (None, None, None))
    parts = tuple(
        MigInstance(part["uuid"], part["gi"], part["ci"]) for part in facts.get("mig_devices", ())
    )
    return GpuRow(
        DeviceFacts(
            facts.get("uuid", f"GPU-{index}"),
            index,
            facts["name"],
            facts.get("pci", f"0000:{index:02x}:00.0"),
            compute_capability=capability,
            cuda_cores=cores,
            sm_clock_max_hertz=clock,
        ),
        MigReading(facts.get("mig_mode"), parts),
    )


def machine(case: dict) -> list[GpuRow]:
    """The GPUs that exist where the case's process runs."""
    rows = [row(facts) for facts in case["gpus"]]
    if "NVIDIA_VISIBLE_DEVICES" in case["env"]:
        return list(given_to_container(case["env"]["NVIDIA_VISIBLE_DEVICES"], rows))
    group = GROUPS.get(case["id"])
    return [gpu for gpu in rows if group is None or gpu.facts.index in group]


def test_no_case_is_missing():
    assert len(CASES) == 79


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_case_comes_out_as_known_and_is_no_surer_than_known(case):
    answer = resolve(case["env"], machine(case))
    shown = [
        device.uuid if device.gpu_instance is not None else device.nvml_index
        for device in answer.visible
    ]
    assert shown == case["expect"], answer.tokens
    if case["confidence"] == "unverified":
        assert answer.standing is Standing.UNVERIFIED, answer.tokens


DOCUMENTED = [case for case in CASES if case["confidence"] == "documented"]


@pytest.mark.parametrize("case", DOCUMENTED, ids=lambda case: case["id"])
def test_what_is_documented_is_not_called_unverified(case):
    assert resolve(case["env"], machine(case)).standing is Standing.DOCUMENTED


A100S = [row(facts) for facts in CASES[0]["gpus"]]
MIG = next(machine(case) for case in CASES if any("mig_mode" in gpu for gpu in case["gpus"]))
VALUES = st.lists(
    st.one_of(
        st.integers(-2, 6).map(str),
        st.sampled_from([gpu.facts.uuid for gpu in A100S]),
        st.sampled_from(
            ["GPU-8", "MIG-37b5", "MIG-", "MIG-GPU-b0c1ffff/1/0", "all", "1x", "²", ""]
        ),
        st.text(
            st.characters(blacklist_characters=",\0", blacklist_categories=("Cs",)), max_size=8
        ),
    ),
    max_size=6,
).map(",".join)


@given(VALUES, st.sampled_from([A100S, MIG, A100S[:1], []]))
def test_any_value_is_answered_token_for_token(value, gpus):
    answer = resolve({"CUDA_VISIBLE_DEVICES": value}, gpus)
    assert [token.text for token in answer.tokens] == value.split(",")
    assert [device.ordinal for device in answer.visible] == list(range(len(answer.visible)))
    assert len({device.uuid for device in answer.visible}) == len(answer.visible)
    selected = [token for token in answer.tokens if token.outcome is TokenOutcome.SELECTED]
    assert [(token.ordinal, token.uuid) for token in selected] == [
        (device.ordinal, device.uuid) for device in answer.visible
    ]
    assert all(token.reason for token in answer.tokens)


@given(st.permutations(range(4)))
def test_the_list_order_is_the_order_of_the_ordinals(order):
    by_index = resolve({"CUDA_VISIBLE_DEVICES": ",".join(map(str, order))}, A100S)
    uuids = ",".join(A100S[index].facts.uuid for index in order)
    by_uuid = resolve({"CUDA_VISIBLE_DEVICES": uuids}, A100S)
    assert [device.nvml_index for device in by_index.visible] == order
    assert by_uuid.visible == by_index.visible


def reasons(value: str, gpus=A100S, **environ: str) -> dict[str, str]:
    tokens = resolve({"CUDA_VISIBLE_DEVICES": value, **environ}, gpus).tokens
    return {token.text: f"{token.outcome}: {token.reason}" for token in tokens}


def test_every_token_says_why():
    assert reasons("2,9,1") == {
        "2": "selected: index 2 in CUDA's order",
        "9": "ends the list: there is no GPU 9: there are 4 (0 to 3)",
        "1": "not read: the list has ended before",
    }
    assert "ambiguous: GPUs 0, 1 begin so" in reasons("GPU-8")["GPU-8"]
    assert "a word of NVIDIA_VISIBLE_DEVICES" in reasons("all")["all"]
    assert "do not mix" in reasons("0,GPU-8932")["GPU-8932"]
    assert "a duplicate hides every GPU" in reasons("1,3,1")["1"]
    assert reasons("0", [])["0"].endswith("there is no GPU 0: there is no GPU")


def test_a_gpu_in_mig_mode_without_an_instance_is_not_claimed_to_be_visible():
    bare = [GpuRow(A100S[0].facts, MigReading(True, ()))]
    answer = resolve({}, bare)
    assert answer.visible == ()
    assert answer.standing is Standing.UNVERIFIED


def test_all_gpus_of_a_mig_machine_are_its_first_instance():
    answer = resolve({}, MIG)
    assert [device.uuid for device in answer.visible] == [
        "MIG-37b51284-1df4-5451-979d-3231ccb0822e"
    ]
    assert answer.visible[0].parent_uuid == MIG[3].facts.uuid


def test_a_mixed_machine_is_unverified_without_pci_order_and_says_what_to_set():
    mixed = [row({"nvml_index": i, "name": name}) for i, name in enumerate(SHEETS)]
    answer = resolve({"CUDA_VISIBLE_DEVICES": "0"}, mixed)
    assert answer.standing is Standing.UNVERIFIED
    assert any("CUDA_DEVICE_ORDER=PCI_BUS_ID" in note for note in answer.notes)
    by_uuid = resolve({"CUDA_VISIBLE_DEVICES": "GPU-1"}, mixed)
    assert (by_uuid.standing, by_uuid.notes) == (Standing.DOCUMENTED, ())


def test_an_unknown_device_order_is_unverified():
    assert resolve({"CUDA_DEVICE_ORDER": "pci"}, A100S).standing is Standing.UNVERIFIED

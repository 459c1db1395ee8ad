"""The children of `bench cudnn` on this machine's torch, and the report without CUDA."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpudoctor.bench.children import launcher

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
RUNNER = Path(__file__).parents[2] / "gpudoctor" / "runner"


@pytest.fixture(scope="module")
def runner():
    """The runner's modules as they are loaded in the target interpreter."""
    pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location(
        "_bench_runner", RUNNER / "__init__.py", submodule_search_locations=[str(RUNNER)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["_bench_runner"] = package
    spec.loader.exec_module(package)
    return lambda name: importlib.import_module(f"_bench_runner.bench.{name}")


def bench_cudnn(*arguments, cwd=None):
    command = [sys.executable, "-m", "gpudoctor", "bench", "cudnn", "--python", sys.executable]
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet50", 25_557_032),
        ("vgg", 138_365_992 - 4_224),
        ("convnext", 28_589_128),
        ("unet", 31_037_698 + 19 * 65),
    ],
)
def test_the_networks_have_as_many_parameters_as_the_published_ones(runner, name, parameters):
    # Less the biases before a batch normalisation in vgg, more for 21 classes in place of 2 in unet.
    import torch

    network = runner("networks").NETWORKS[name]
    with torch.device("meta"):
        model = network.make(network.classes)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_a_checksum_sees_one_bit_and_the_place_of_a_value(runner):
    import torch

    checksum = runner("bits").checksum
    one = torch.arange(10, dtype=torch.float32)
    other = one.clone()
    other[3] = torch.nextafter(other[3], torch.tensor(9.0))
    swapped = one.clone()
    swapped[0], swapped[1] = one[1], one[0]
    assert checksum(one) == checksum(one.clone().reshape(2, 5))
    assert len({checksum(one), checksum(other), checksum(swapped)}) == 3
    assert checksum(torch.tensor([0.0])) != checksum(torch.tensor([-0.0]))
    for kind in (torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.complex64):
        assert checksum(torch.ones(3, dtype=kind)) == checksum(torch.ones(3, dtype=kind))


def test_the_largest_difference_is_of_all_elements_and_zero_only_for_equal_bits(runner):
    import torch

    differences = runner("bits").largest_differences
    one = {"outputs": [torch.tensor([1.0, 2.0])], "weights": [torch.ones(2)]}
    other = {"outputs": [torch.tensor([1.0, 2.5])], "weights": [torch.ones(2)]}
    assert differences(one, other) == {"outputs": 0.5, "weights": 0.0}


MODELS = """
import os, torch
class Unpooled(torch.nn.Module):
    def __init__(self, noisy):
        super().__init__()
        self.noisy = noisy
        self.first, self.second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
        self.pool, self.back = torch.nn.MaxPool2d(2, return_indices=True), torch.nn.MaxUnpool2d(2)
    def forward(self, x):
        noise = int.from_bytes(os.urandom(2), "big") / 2**16 if self.noisy else 0.0
        z = self.second(self.first(x) + noise).reshape(1, 1, 4, 4)
        return self.back(*self.pool(z))
def noisy():
    return Unpooled(True), torch.ones(4, 4)
def plain():
    return torch.nn.Linear(4, 4), torch.ones(4, 4)
def broken():
    raise ValueError("no weights here")
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Three models of a user on the CPU, in two rounds."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "mine.py").write_text(MODELS)
    models = "mine:plain,mine:noisy,mine:broken"
    options = ("--rounds", 2, "--steps", 2, "--device", "cpu", "--json")
    done = bench_cudnn("--model", models, *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def rows_of(report, subject):
    return [row for row in report["results"] if row["subject"] == subject]


def test_on_the_cpu_it_is_said_that_nothing_was_run_on_cudnn(report):
    assert report["kind"] == "cpu" and report["machine"]["device"] == "cpu"
    assert "nothing below was run on cuDNN" in report["notes"][0]
    default, deterministic = rows_of(report, "mine:plain")
    assert (default["setting"], deterministic["setting"]) == (
        "default",
        "use_deterministic_algorithms",
    )
    for row in (default, deterministic):
        assert row["status"] == "measured"
        assert row["step"]["rounds"] == 2 and row["step"]["median_seconds"] > 0
        assert row["equality"]["weights"] and row["equality"]["difference"] is None
        assert row["peak_memory_bytes"] > 50e6


def test_a_model_that_is_not_reproducible_is_found_with_its_layer_and_its_operator(report):
    default, deterministic = rows_of(report, "mine:noisy")
    assert default["equality"]["weights"] is False
    assert default["equality"]["difference"]["layer"] == "second"
    assert default["equality"]["difference"]["weights"] > 0
    assert [one["name"] for one in deterministic["operators"]] == ["max_unpooling2d_forward_out"]


def test_two_rounds_are_too_few_for_any_claim(report):
    assert all(row["speedup"] is None for row in report["results"])


def test_a_model_that_cannot_be_made_is_a_row_with_the_reason(report):
    assert [row["status"] for row in rows_of(report, "mine:broken")] == ["failed", "failed"]
    assert "no weights here" in report["verdicts"][2]


def test_a_network_of_ours_is_timed_with_known_and_new_shapes(tmp_path):
    options = {
        "model": "conv1d", "mode": "use_deterministic_algorithms", "device": "cpu", "batch": 1,
        "size": 256, "amp": True, "channels_last": False, "steps": 2, "warmup": 1, "seed": 1,
        "shapes": 2, "check_steps": 1, "values": str(tmp_path / "values"), "leave_values": True,
    }  # fmt: skip
    with launcher(sys.executable, {**os.environ, "OMP_NUM_THREADS": "1"}) as launch:
        result = launch.run("train", options, timeout_s=200).result
    assert len(result["step_seconds"]) == 2 and len(result["warmup_seconds"]) == 1
    assert len(result["first_shape_seconds"]) == len(result["known_shape_seconds"]) == 2
    assert (result["batch"], result["size"], result["operators"]) == (1, 256, [])
    assert {mark[1] for mark in result["marks"]} == {"forward", "backward"}
    assert (tmp_path / "values").stat().st_size > 1e6

"""Everything that torch.utils.collect_env prints has its line in ours, on the same interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

THEIRS = """
import json
from torch.utils import collect_env
print("@" + json.dumps(collect_env.get_env_info()._asdict()))
"""


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def theirs():
    pytest.importorskip("torch")
    lines = run(sys.executable, "-c", THEIRS).splitlines()
    return json.loads(next(line[1:] for line in lines if line.startswith("@")))


@pytest.fixture(scope="module")
def ours():
    return json.loads(
        run(sys.executable, "-m", "gpudoctor", "env", "--json", "--python", sys.executable)
    )


@pytest.fixture(scope="module")
def pasted():
    return run(sys.executable, "-m", "gpudoctor", "env", "--markdown", "--python", sys.executable)


def test_torch_is_described_alike(theirs, ours):
    torch, cuda = ours["probe"]["torch"], ours["probe"]["cuda"]
    assert torch["version"] == theirs["torch_version"]
    assert str(torch["debug"]) == theirs["is_debug_build"]
    assert torch["cuda_version"] == theirs["cuda_compiled_version"]
    assert (torch["hip_version"] or "N/A") == theirs["hip_compiled_version"]
    assert (torch["hip_runtime_version"] or "N/A") == theirs["hip_runtime_version"]
    assert (torch["miopen_version"] or "N/A") == theirs["miopen_runtime_version"]
    assert str(cuda["available"]) == theirs["is_cuda_available"]
    assert str(cuda["xpu_available"]) == theirs["is_xpu_available"].splitlines()[0]
    assert str(cuda["xnnpack_available"]) == theirs["is_xnnpack_available"]


def test_python_and_the_system_are_described_alike(theirs, ours):
    python, system = ours["probe"]["python"], ours["system"]
    assert f"{python['build']} ({python['bits']}-bit runtime)" == theirs["python_version"]
    assert python["platform"] == theirs["python_platform"]
    assert f"{system['os']} ({system['machine']})" == theirs["os"]
    assert system["libc"] == theirs["libc_version"]


def test_tools_are_described_alike(theirs, ours):
    tools = {row["name"]: row["version"] for row in ours["tools"]}
    for name, key in (
        ("gcc", "gcc_version"),
        ("clang", "clang_version"),
        ("cmake", "cmake_version"),
    ):
        assert (tools[name] or "") in (theirs[key] or "")
        assert (tools[name] is None) == (theirs[key] is None)
    assert ours["toolkit"]["nvcc"]["version"] == theirs["cuda_runtime_version"]


def test_the_processor_is_described_line_for_line(theirs, ours):
    details = ours["system"]["cpu"]["details"]
    lines = [line for line in theirs["cpu_info"].splitlines() if line.strip()]
    assert len(lines) > 5
    for line in lines:
        name, _, value = line.partition(":")
        if value.strip():
            assert details[name.strip()].split() == value.split()


def test_every_package_that_they_list_is_listed_with_its_version(theirs, ours, pasted):
    installed = {row["name"]: row["version"] for row in ours["probe"]["packages"]}
    listed = [line.split("==") for line in theirs["pip_packages"].splitlines()]
    assert listed
    for name, version in listed:
        normal = name.lower().replace("_", "-").replace(".", "-")
        assert installed[normal] == version
        assert f"{normal}: {version}" in pasted


def test_every_line_of_theirs_has_a_line_in_the_pasted_report(theirs, ours, pasted):
    labels = {
        "torch_version": "PyTorch version:",
        "is_debug_build": "Debug build:",
        "cuda_compiled_version": "CUDA that torch was built with:",
        "hip_compiled_version": "ROCm built with:",
        "os": "OS:",
        "gcc_version": "gcc:",
        "clang_version": "clang:",
        "cmake_version": "cmake:",
        "libc_version": "Libc:",
        "python_version": "Python:",
        "python_platform": "Platform:",
        "is_cuda_available": "torch.cuda.is_available():",
        "cuda_runtime_version": "CUDA toolkit on PATH (nvcc):",
        "cuda_module_loading": "CUDA_MODULE_LOADING:",
        "nvidia_gpu_models": "GPU 0:" if ours["driver"]["gpus"] else "NVML:",
        "nvidia_driver_version": "Driver by NVML:",
        "cudnn_version": "cuDNN by torch:",
        "is_xpu_available": "XPU available:",
        "hip_runtime_version": "HIP runtime:",
        "miopen_runtime_version": "MIOpen:",
        "is_xnnpack_available": "XNNPACK available:",
        "caching_allocator_config": "Allocator settings:",
        "cpu_info": "Architecture:",
        "pip_packages": "torch:",
        "conda_packages": "Conda environment:",
        "pip_version": "Packages",
    }
    # A field that a newer torch adds is to be noticed here.
    assert set(theirs) == set(labels)
    missing = [key for key, label in labels.items() if label not in pasted]
    assert missing == []

from __future__ import annotations

import time
from pathlib import Path

from gpudoctor.host.tools import answer_of, conda_packages, located, tool, toolkit
from gpudoctor.host.variables import HIDDEN, relevant

NVCC = """nvcc: NVIDIA (R) Cuda compiler driver
Copyright (c) 2005-2025 NVIDIA Corporation
Built on Wed_Aug_20_01:58:59_PM_PDT_2025
Cuda compilation tools, release 13.0, V13.0.88
Build cuda_13.0.r13.0/compiler.36424714_0"""


def program(folder: Path, name: str, body: str) -> dict[str, str]:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_a_tool_tells_its_own_version_and_not_its_packagers(tmp_path):
    environ = program(tmp_path, "gcc", "echo 'gcc (Debian 12.2.0-14+deb12u1) 12.3.4'")
    found = tool("gcc", environ)
    assert (found.version, found.path, found.error) == ("12.3.4", str(tmp_path / "gcc"), None)


def test_a_tool_that_is_not_there_is_a_name_alone(tmp_path):
    assert tool("clang", {"PATH": str(tmp_path)}).path is None


def test_a_tool_that_hangs_is_ended_with_its_children(tmp_path):
    environ = program(tmp_path, "cmake", "sleep 60")
    begun = time.monotonic()
    assert tool("cmake", environ, limit_s=0.3).error == "no answer within 0.3 s"
    assert time.monotonic() - begun < 3


def test_a_tool_that_fails_is_told_with_its_code(tmp_path):
    assert tool("cmake", program(tmp_path, "cmake", "exit 3")).error == "exit code 3"
    assert answer_of(["/nonexistent"]).error == "No such file or directory"


def test_the_toolkit_is_that_of_nvcc_and_that_of_cuda_home(tmp_path):
    environ = program(tmp_path, "nvcc", f"cat <<'X'\n{NVCC}\nX")
    home = tmp_path / "cuda-12.8"
    home.mkdir()
    (home / "version.json").write_text('{"cuda": {"name": "CUDA SDK", "version": "12.8.1"}}')
    found = toolkit({**environ, "CUDA_HOME": str(home)})
    assert found.nvcc.version == "13.0.88"
    assert (found.cuda_home_version, found.cuda_home_exists) == ("12.8.1", True)
    assert toolkit({"PATH": "", "CUDA_PATH": "/nowhere"}).cuda_home_exists is False


def test_a_program_is_located_and_not_run(tmp_path):
    environ = program(tmp_path, "nvidia-smi", f"touch {tmp_path}/ran")
    assert located("nvidia-smi", environ) == str(tmp_path / "nvidia-smi")
    assert not (tmp_path / "ran").exists()


def test_conda_packages_are_read_from_its_records(tmp_path):
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "conda-meta" / "pytorch-gpu-2.5.1-cuda126.json").touch()
    assert conda_packages({"CONDA_PREFIX": str(tmp_path)}) == ("pytorch-gpu 2.5.1 cuda126",)
    assert conda_packages({}) is None


def test_relevant_variables_are_kept_and_secrets_hidden():
    environ = {
        "CUDA_VISIBLE_DEVICES": "0",
        "NCCL_DEBUG": "INFO",
        "HOME": "/home/ana",
        "NVIDIA_API_KEY": "nvapi-1",
        "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
        "AWS_SECRET": "x",
    }
    assert relevant(environ) == {
        "CUDA_VISIBLE_DEVICES": "0",
        "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
        "NCCL_DEBUG": "INFO",
        "NVIDIA_API_KEY": HIDDEN,
    }

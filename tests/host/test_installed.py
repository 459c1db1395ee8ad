from __future__ import annotations

import sys

import pytest

from gpudoctor.host.installed import in_folders, installed_torch
from gpudoctor.host.interpreter import Target
from gpudoctor.model.environment import InstalledTorch

CUDA_BUILD = """
from typing import Optional
__all__ = ['__version__', 'debug', 'cuda']
__version__ = '2.9.0+cu130'
debug = False
cuda: Optional[str] = '13.0'
hip: Optional[str] = None
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "version.py").write_text(CUDA_BUILD)
    return tmp_path


def test_torch_and_cuda_are_read_from_the_file_that_torch_itself_reads(folder):
    assert in_folders("3.11.7", [folder]) == InstalledTorch("3.11.7", "2.9.0+cu130", "13.0")


def test_the_first_folder_with_a_torch_counts_and_cudnn_may_lie_in_another(tmp_path, folder):
    other = tmp_path / "other"
    (other / "nvidia_cudnn_cu13-9.13.0.50.dist-info").mkdir(parents=True)
    found = in_folders("3.11.7", [tmp_path / "missing", other, folder])
    assert (found.torch, found.cudnn) == ("2.9.0+cu130", "9.13.0.50")


def test_without_torch_only_the_interpreter_is_told(tmp_path):
    assert in_folders("3.12.1", [tmp_path]) == InstalledTorch("3.12.1")


def test_a_version_file_that_is_no_python_is_a_torch_of_unknown_version(folder):
    (folder / "torch" / "version.py").write_text("<<<<<<< HEAD")
    assert in_folders("3.11.7", [folder]).torch is None


def test_an_interpreter_is_asked_for_its_own_folders(folder):
    target = Target(sys.executable, "here", {"PYTHONPATH": str(folder)})
    found = installed_torch(target)
    assert found is not None
    assert (found.python, found.torch) == (sys.version.split()[0], "2.9.0+cu130")


def test_what_is_no_interpreter_tells_nothing():
    assert installed_torch(Target("/bin/false", "here", {})) is None
    assert installed_torch(Target("/no/such/python", "here", {})) is None
